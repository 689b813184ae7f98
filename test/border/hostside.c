/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See hostside.h. */
#include "hostside.h"
#include "lib/bus/host.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

struct hostside hs;
uint32_t hs_signallers, hs_owners, hs_marks;

static uint8_t ram[HS_PAGES][VMB_PAGE] __attribute__((aligned(4096)));
static uint8_t storage[32768] __attribute__((aligned(64)));
static uint8_t channel_mem[2048] __attribute__((aligned(64)));

/* Kinds of deeds. Signallers: a wake, a look at the interrupt page. Senders: an interrupt to the VP that a retarget leaves.
 * Owner: the beginning of an attach. */
enum { WAKE, PAGE, INTERRUPT = 0, ATTACH = 0 };

/* A signaller's call may pass through a gate that is being closed if it had begun before; a later one may not even try, so that
 * nobody can keep a gate busy. Where each signaller keeps whether its call began with the gate closed: */
static const uint32_t *late_call[BORDER_THREADS];

/* 0: it is open. Else how often control has changed it so far, and one. */
static uint32_t gate_is_closed(void)
{
	return hs.h->ch[1].gate.word & VMBI_GATE_CLOSED ? hs.changes + 1 : 0;
}

/* ---- what the callbacks judge */

static uint32_t all_mapped(void)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < HS_PAGES; i++)
		n += hs.mapped[i];
	return n;
}

static uint32_t word(const void *p, uint32_t at)
{
	uint32_t v;

	memcpy(&v, (const uint8_t *)p + at, 4);
	return le32toh(v);
}

/* What frees memory of the guest's: it may reuse it the moment that it reads this. */
static int frees(uint32_t type)
{
	return type == HS_RESCIND || type == HS_TORNDOWN || type == HS_VERSION || type == HS_UNLOADED;
}

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *msg, uint32_t len)
{
	uint32_t type = word(msg, 0);

	(void)ctx, (void)vp, (void)vtl, (void)sint;
	if (frees(type)) {
		if (all_mapped() - (type == HS_VERSION ? hs.mapped[hs.page] : 0))
			border_fail("the guest is told that its memory is free, and it is mapped");
		if (hs.senders)
			border_fail("the guest is told that its memory is free, and a data call runs");
		if (!border_knows(WAKE, hs_signallers) ||
		    ((type == HS_VERSION || type == HS_UNLOADED) && !border_knows(PAGE, hs_signallers)))
			border_fail("the guest is told that its memory is free, and a signaller's work may not be over");
	}
	if (type == HS_MODIFIED && !word(msg, len - 4)) {
		if (!border_knows(INTERRUPT, ~hs_owners))
			border_fail("the answer is given, and an interrupt to the old VP may not be over");
		hs.forbidden = hs.old_vp++; /* the next retarget leaves the next one */
	}
	hs.sent[type]++;
	hs.said[type] = word(msg, len - 4);
	return 0;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx, (void)vtl, (void)sint, (void)flag;
	border_point();
	if (vp == hs.forbidden)
		border_fail("an interrupt to the old VP after the answer");
	if (!hs.alive[hs.user])
		border_fail("an interrupt after the end of the channel");
	hs.interrupts |= 1u << vp;
	if (vp == hs.old_vp && hs_marks)
		border_mark(INTERRUPT);
}

static void on_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	border_point();
	if (user >= 8 || !hs.alive[user])
		border_fail("a wake before the open or after EV_CLOSED");
	if (user == hs.unsignalled && border_in(hs_signallers))
		border_fail("a wake for a signal to another channel's id");
	if (!border_knows(ATTACH, hs_owners))
		border_fail("a wake by someone who may not see the channel yet");
	hs.wakes |= 1u << user;
	if (!border_in(hs_signallers | hs_owners))
		hs.woken = 1;
	else if (border_in(hs_signallers) && hs_marks)
		border_mark(WAKE);
}

static void on_poke(void *ctx)
{
	(void)ctx;
	hs.poked = 1;
}

static int on_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx, (void)flags;
	for (uint32_t i = 0; i < n; i++) {
		hs.mapped[pfns[i]]++;
		pages[i] = ram[pfns[i]];
	}
	return 0;
}

static void on_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)flags;
	if (hs.senders)
		border_fail("unmapped below a data call");
	if (!border_knows(pfns[0] < HS_PAGE ? WAKE : PAGE, hs_signallers))
		border_fail("unmapped, and a signaller's work may not be over");
	for (uint32_t i = 0; i < n; i++) {
		if (!hs.mapped[pfns[i]] || pages[i] != ram[pfns[i]])
			border_fail("unmapped what was not mapped");
		hs.mapped[pfns[i]]--;
		hs.unmaps++;
	}
}

/* Of each page so many bytes are part of the state, and of the second half of an interrupt page. */
enum { KEPT = 256 };

static void on_touch(const void *p, size_t bytes, int write)
{
	const uint8_t *at = p, *base = &ram[0][0];

	if (write && p == &hs.h->ch[1].gate.word) {
		if (!border_in(hs_signallers))
			hs.changes++;
		else if (*late_call[border_me()] && gate_is_closed() == *late_call[border_me()])
			border_fail("a call that began after the gate was closed gets in its way");
	}
	if (at < base || at >= base + sizeof ram)
		return;
	if (write && (uintptr_t)(at - base) % 2048 + bytes > KEPT)
		border_fail("the bench keeps too little");
	for (size_t i = (size_t)(at - base) / VMB_PAGE; i <= (size_t)(at + bytes - 1 - base) / VMB_PAGE; i++) {
		if (!hs.mapped[i])
			border_fail("touches memory that is not mapped");
		if (i == HS_PAGE)
			border_mark(PAGE); /* whoever unmaps it must know */
	}
}

/* ---- steps of control */

static int call_end(int r)
{
	border_unlock();
	return r;
}


void hs_post(const uint32_t *words, uint32_t n)
{
	uint32_t in[64] = { htole32(1), 0, htole32(1), htole32(4 * n) };
	int r;

	for (uint32_t i = 0; i < n; i++)
		in[4 + i] = htole32(words[i]);
	border_lock();
	r = call_end(vmb_host_post(hs.h, in, sizeof in));
	if (r)
		border_fail("a message was not taken");
}

void hs_open(uint32_t id, uint32_t gpadl)
{
	uint32_t open[37] = { 5, 0, id, 7, gpadl, 1, 2 };

	HS_POST(8, 0, id, gpadl, 40 | 1 << 16, 4 * VMB_PAGE, 0, HS_RING, 0, HS_RING + 1, 0, HS_RING + 2, 0, HS_RING + 3, 0);
	hs_post(open, 37);
}

void hs_contact(uint32_t version, uint32_t page)
{
	hs.page = page;
	HS_POST(14, 0, version, 0, version < VMB_V2_4 ? page * VMB_PAGE : version >= VMB_V5_0 ? 2u : 0, 0, 0, 0, 0, 0);
}

static void event(const struct vmb_event *ev)
{
	hs.got[ev->kind]++;
	if (ev->kind == VMB_EV_CLOSE) {
		if (!hs.woken)
			border_fail("the owner was asked for its channel, and not woken");
		hs.close_asked = hs.told = 1;
	}
	if (ev->kind == VMB_EV_OPEN)
		hs.open_asked = 1;
	if (ev->kind == VMB_EV_CLOSED) {
		if (!border_knows(WAKE, hs_signallers))
			border_fail("EV_CLOSED, and a signaller's work may not be over");
		if (all_mapped() - hs.mapped[HS_PAGE] - hs.mapped[HS_PAGE2])
			border_fail("EV_CLOSED, and the rings are mapped");
		hs.alive[ev->user] = hs.woken = hs.told = 0;
	}
}

static int control_is_wanted(void)
{
	return hs.poked || *hs.want;
}

/* Only a poke makes control poll: whatever it waits for, somebody must say when. */
static void pull(const uint32_t *what)
{
	struct vmb_event ev;
	int r;

	hs.want = what;
	for (;;) {
		border_until(control_is_wanted);
		border_lock();
		if (*what) {
			border_unlock();
			return;
		}
		hs.poked = 0;
		do {
			r = vmb_host_poll(hs.h, 0, &ev);
			if (r > 0)
				event(&ev);
			if (r < 0)
				border_fail("poll was refused");
		} while (r > 0);
		border_unlock();
	}
}

/* The counters start anew, so that one of before does not count. */
void hs_events(uint32_t kind)
{
	pull(&hs.got[kind]);
	hs.got[kind] = 0;
}

void hs_message(uint32_t type)
{
	pull(&hs.sent[type]);
	hs.sent[type] = 0;
}

void hs_offer(uint64_t user, uint32_t id)
{
	struct vmb_offer o = { .size = sizeof o, .user = user, .channel_id = id };
	vmb_handle ch;

	o.class_id.byte[0] = 1;
	border_lock();
	if (call_end(vmb_host_offer(hs.h, &o, &ch)))
		border_fail("the offer was refused");
	hs.ch = ch;
	hs.user = user;
}

void hs_remove(void)
{
	border_lock();
	if (call_end(vmb_host_remove(hs.h, hs.ch)))
		border_fail("remove was refused");
}

void hs_reset(void)
{
	border_lock();
	if (call_end(vmb_host_reset(hs.h)))
		border_fail("reset was refused");
}

void hs_detach(void)
{
	hs.close_asked = 1;
}

static int is_attached(void)
{
	return !hs.open_asked;
}

void hs_attach(void)
{
	hs.open_asked = 1;
	border_until(is_attached);
}

void hs_done(void)
{
	hs.done = 1;
}

/* ---- bodies */

void hs_signaller(void)
{
	uint32_t late;

	late_call[border_me()] = &late;
	for (unsigned i = 0; i < HS_ROUNDS; i++) {
		int r;

		late = gate_is_closed();
		r = vmb_host_signal(hs.h, 0x2001, 0);
		if (r != VMB_HV_SUCCESS && r != VMB_HV_INVALID_CONNECTION)
			border_fail("signal: an impossible status");
	}
}

void hs_page_signaller(void)
{
	uint32_t late = 0;

	late_call[border_me()] = &late;
	for (unsigned i = 0; i < hs.page_rounds; i++) {
		ram[HS_PAGE][2048] |= 2; /* the guest's: it may write there at any time */
		(void)!vmb_host_signal(hs.h, 2, 0);
	}
}

void hs_sender(void)
{
	for (unsigned i = 0; i < HS_ROUNDS && !hs.close_asked; i++)
		(void)vmb_channel_signal(hs.channel);
	hs.senders--;
}

void hs_packet_sender(void)
{
	int r = 0;

	for (unsigned i = 0; i < HS_ROUNDS && r != VMB_ESTOPPED; i++) {
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "01234567", .len = 8 };
		int told = (int)hs.told;

		r = vmb_channel_send(hs.channel, &p);
		if (told && r != VMB_ESTOPPED)
			border_fail("a data call works though the owner was told to stop");
		/* the guest reads at once, so that each packet signals */
		memcpy(ram[HS_RING + 2] + 4, ram[HS_RING + 2], 4);
	}
	hs.senders--;
}

static int owner_is_wanted(void)
{
	return (hs.close_asked && !hs.senders) || hs.open_asked || hs.done;
}

static int owner_attach(void)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .ring_pages = 4 };
	int r;

	hs.alive[hs.user] = 1;
	border_mark(ATTACH); /* a waker must have seen this */
	r = vmb_host_attach(hs.h, hs.ch, channel_mem, sizeof channel_mem, &cfg, &hs.channel);
	if (r)
		hs.alive[hs.user] = 0;
	return r;
}

void hs_owner(void)
{
	for (;;) {
		int r = 0;

		border_until(owner_is_wanted);
		border_lock();
		if (hs.close_asked && !hs.senders) {
			hs.close_asked = 0;
			r = vmb_host_detach(hs.h, hs.ch);
		} else if (hs.open_asked) {
			r = owner_attach();
			hs.open_asked = 0;
			if (r == VMB_ESTOPPED)
				r = 0; /* the guest has gone meanwhile */
		} else if (hs.done) {
			(void)call_end(0);
			return;
		}
		if (call_end(r))
			border_fail("the owner's call was refused");
	}
}

/* ---- making it */

static void at_end(void)
{
	if (hs.senders)
		border_fail("a sender is still there");
	if (hs.got[VMB_EV_CLOSED] > 1)
		border_fail("EV_CLOSED came twice");
}

void hs_make(struct border_case *c, const char *name, uint32_t version, uint32_t max_channels)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .vps = 8, .max_channels = max_channels, .max_gpadls = 4,
				       .max_gpadl_pages = 32, .max_messages = 8, .message = on_message,
				       .interrupt = on_interrupt, .wake = on_wake, .poke = on_poke, .map = on_map,
				       .unmap = on_unmap };
	struct vmb_storage need;
	struct vmb_event ev;

	memset(&hs, 0, sizeof hs);
	memset(ram, 0, sizeof ram);
	memset(storage, 0, sizeof storage);
	memset(channel_mem, 0, sizeof channel_mem);
	hs.forbidden = VMB_VP_NONE;
	hs.old_vp = 1; /* as hs_open wants it */
	hs.version = version;
	cr_assert_eq(vmb_host_storage(&cfg, &need), 0);
	cr_assert_leq(need.bytes, sizeof storage);
	cr_assert_eq(vmb_host_init(storage, sizeof storage, &cfg, &hs.h), 0);
	hs_offer(HS_USER, 0);
	hs_contact(version, HS_PAGE);
	HS_POST(3, 0);
	hs_open(1, HS_GPADL);
	while (vmb_host_poll(hs.h, 0, &ev) > 0)
		;
	cr_assert_eq(owner_attach(), 0);
	memset(hs.sent, 0, sizeof hs.sent);
	hs.wakes = hs.interrupts = hs.poked = hs.woken = 0;
	memset(c, 0, sizeof *c);
	c->name = name;
	border_keep(c, &hs, sizeof hs);
	border_keep(c, storage, offsetof(struct vmb_host, stray)); /* a counter that nobody looks at */
	border_keep(c, &hs.h->stray + 1, need.bytes - offsetof(struct vmb_host, stray) - sizeof hs.h->stray);
	border_keep_channel(c, channel_mem, sizeof channel_mem);
	for (unsigned i = 0; i < 4; i++)
		border_keep(c, ram[HS_RING + i], KEPT);
	border_keep(c, ram[HS_PAGE], KEPT);
	border_keep(c, ram[HS_PAGE] + 2048, KEPT);
	c->exempt[0] = &hs.h->stray;
	c->touched = on_touch;
	c->end = at_end;
}
