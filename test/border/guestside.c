/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See guestside.h. */
#include "guestside.h"
#include "lib/bus/guest.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

struct guestside gs;
uint32_t gs_cpus, gs_control, gs_marks;

enum { KEPT = 256, RING_PAGES = 4, RING_GPA = 0x100000 };

static uint8_t ring[RING_PAGES][VMB_PAGE] __attribute__((aligned(4096)));
static uint8_t page[4][VMB_PAGE] __attribute__((aligned(4096))); /* interrupt, monitor */
static uint8_t storage[32768] __attribute__((aligned(64)));
static uint8_t channel_mem[2048] __attribute__((aligned(64)));

/* Kinds of deeds. CPUs: a wake. Control: the beginning of an open. */
enum { WAKE = 0, OPEN = 0 };

/* As in hostside.c: where each CPU keeps whether its interrupt began with the gate closed. */
static const uint32_t *late_call[BORDER_THREADS];

static uint32_t gate_is_closed(void)
{
	return gs.g->channels[1].gate.word & VMBI_GATE_CLOSED ? gs.changes + 1 : 0;
}

/* ---- what the callbacks judge */

static uint32_t word(const void *p, uint32_t at)
{
	uint32_t v;

	memcpy(&v, (const uint8_t *)p + at, 4);
	return le32toh(v);
}

static void reply(uint32_t type, uint32_t a, uint32_t b, uint32_t c)
{
	if (gs.replies == GS_REPLIES) {
		border_fail("too many answers");
		return;
	}
	gs.reply[gs.replies].type = type;
	gs.reply[gs.replies].a = a;
	gs.reply[gs.replies].b = b;
	gs.reply[gs.replies++].c = c;
}

/* The host says yes to everything. */
static int on_post(void *ctx, uint32_t connection, const void *msg, uint32_t len)
{
	uint32_t type = word(msg, 0);

	(void)ctx, (void)connection, (void)len;
	if ((type == GS_CLOSE || type == GS_TEARDOWN || type == GS_RELEASED || type == GS_UNLOAD) && !gs.given_back)
		border_fail("the host is told of an end, and the owner has the channel still");
	if ((type == GS_RELEASED || type == GS_UNLOAD) && !border_knows(WAKE, gs_cpus))
		border_fail("the host is told of the end of all, and an interrupt's work may not be over");
	gs.posts[type]++;
	switch (type) {
	case 14: reply(15, 1, 1, 0); break;
	case 3: reply(4, 0, 0, 0); break;
	case 8: reply(10, word(msg, 8), word(msg, 12), 0); break;
	case 5: reply(6, word(msg, 8), word(msg, 12), 0); break;
	case 11: reply(12, word(msg, 12), 0, 0); break;
	case 16: reply(17, 0, 0, 0); break;
	default: break;
	}
	return VMB_HV_SUCCESS;
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx, (void)connection, (void)flag;
	border_point();
	if (!gs.alive[gs.user])
		border_fail("a signal for a channel that is closed");
	return 0;
}

static void on_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	border_point();
	if (user >= 8 || !gs.alive[user])
		border_fail("a wake before the open or after EV_CLOSED");
	if (user == gs.uninterrupted && border_in(gs_cpus))
		border_fail("a wake for an interrupt of another channel's");
	if (!border_knows(OPEN, gs_control))
		border_fail("a wake by someone who may not see the channel yet");
	if (border_in(gs_cpus) && gs_marks)
		border_mark(WAKE);
}

static void on_poke(void *ctx)
{
	(void)ctx;
	gs.poked = 1;
}

static void on_touch(const void *p, size_t bytes, int write)
{
	const uint8_t *at = p, *base = &ring[0][0];

	if (write && p == &gs.g->channels[1].gate.word) {
		if (!border_in(gs_cpus))
			gs.changes++;
		else if (*late_call[border_me()] && gate_is_closed() == *late_call[border_me()])
			border_fail("an interrupt that began after the gate was closed gets in its way");
	}
	if (at < base || at >= base + sizeof ring)
		return;
	if (write && bytes < VMB_PAGE && (uintptr_t)(at - base) % VMB_PAGE + bytes > KEPT)
		border_fail("the bench keeps too little");
	if (!gs.owned)
		border_fail("touches a ring that was said to be free");
}

/* ---- control */

static void answer(void)
{
	for (uint32_t i = 0; i < gs.replies; i++) {
		uint8_t m[VMB_MESSAGE_MAX] = { 0 };
		uint32_t type = htole32(gs.reply[i].type);
		uint32_t words[] = { htole32(gs.reply[i].a), htole32(gs.reply[i].b), htole32(gs.reply[i].c) };
		int len = vmb_message_size(gs.reply[i].type, gs.version, 0);

		memcpy(m, &type, 4);
		memcpy(m + 8, words, sizeof words);
		if (gs.reply[i].type == 15)
			m[8] = 1, m[9] = 0;
		if (len < 8 || vmb_guest_message(gs.g, m, (uint32_t)len))
			border_fail("an answer was refused");
	}
	gs.replies = 0;
}

static void event(const struct vmb_event *ev)
{
	gs.got[ev->kind]++;
	if (ev->kind == VMB_EV_OFFER)
		gs.ch = ev->ch;
	if (ev->kind == VMB_EV_RESCINDED)
		gs.stop = 1;
	if (ev->status)
		border_fail("an event of failure");
	if (ev->kind == VMB_EV_CLOSED) {
		if (!border_knows(WAKE, gs_cpus))
			border_fail("EV_CLOSED, and an interrupt's work may not be over");
		gs.alive[ev->user] = 0;
		gs.owned = 0;
	}
}

static int control_is_wanted(void)
{
	return gs.poked || gs.replies;
}

static void work(void)
{
	struct vmb_event ev;
	int r;

	gs.poked = 0;
	do {
		answer();
		r = vmb_guest_poll(gs.g, 0, &ev);
		if (r > 0)
			event(&ev);
		if (r < 0)
			border_fail("poll was refused");
	} while (r > 0 || gs.replies);
}

/* Only a poke makes control poll: whatever it waits for, somebody must say when. */
void gs_events(uint32_t kind)
{
	while (!gs.got[kind]) {
		border_until(control_is_wanted);
		work();
	}
	gs.got[kind] = 0;
}

static void say(uint32_t type, const void *body, uint32_t bytes)
{
	uint8_t m[VMB_MESSAGE_MAX] = { 0 };
	uint32_t first = htole32(type);

	memcpy(m, &first, 4);
	memcpy(m + 8, body, bytes);
	if (vmb_guest_message(gs.g, m, (uint32_t)vmb_message_size(type, gs.version, 0)))
		border_fail("a message was refused");
}

void gs_offer(uint32_t id)
{
	uint8_t m[188] = { 0 };

	m[0] = 1;            /* class */
	m[16] = (uint8_t)id; /* instance */
	m[176] = (uint8_t)id;
	m[180] = 255;        /* no monitor id */
	m[182] = 1;
	m[184] = (uint8_t)id;
	gs.id = id;
	say(1, m, sizeof m);
}

void gs_rescind(void)
{
	uint32_t id = gs.id;

	id = htole32(id);
	say(2, &id, 4);
}

static void done(int r, const char *what)
{
	if (r)
		border_fail(what);
}

void gs_open(void)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_open open = { .size = sizeof open, .tx_pages = 2, .rx_pages = 2, .ring_gpa = RING_GPA, .ring = ring };

	open.user = ++gs.user;
	gs.alive[gs.user] = gs.owned = 1;
	gs.given_back = gs.stop = 0;
	border_mark(OPEN); /* a waker must have seen this */
	done(vmb_guest_open(gs.g, gs.ch, channel_mem, sizeof channel_mem, &cfg, &open, &gs.channel), "open was refused");
}

static int nobody_sends(void)
{
	return !gs.senders;
}

void gs_senders(void)
{
	border_until(nobody_sends);
}

void gs_close(void)
{
	gs.given_back = 1;
	done(vmb_guest_close(gs.g, gs.ch), "close was refused");
}

void gs_release(void)
{
	gs.given_back = 1;
	done(vmb_guest_release(gs.g, gs.ch), "release was refused");
}

void gs_disconnect(void)
{
	done(vmb_guest_disconnect(gs.g), "disconnect was refused");
}

/* ---- bodies */

void gs_cpu(void)
{
	uint8_t flags[256] __attribute__((aligned(8))) = { 0 }, slot[256] __attribute__((aligned(8))) = { 0 };
	uint32_t late;

	late_call[border_me()] = &late;
	for (unsigned i = 0; i < gs.cpu_rounds; i++) {
		late = gate_is_closed();
		flags[0] = 2;
		if (vmb_guest_interrupt(gs.g, flags, slot))
			border_fail("there was no message");
		flags[0] = 0;
	}
}

void gs_page_cpu(void)
{
	uint8_t flags[256] __attribute__((aligned(8))) = { 0 }, slot[256] __attribute__((aligned(8))) = { 0 };
	uint32_t late = 0;

	late_call[border_me()] = &late;
	for (unsigned i = 0; i < gs.cpu_rounds; i++) {
		page[0][0] |= 2;
		flags[0] = 1;
		(void)!vmb_guest_interrupt(gs.g, flags, slot);
		flags[0] = 0;
	}
}

void gs_sender(void)
{
	for (unsigned i = 0; i < GS_ROUNDS && !gs.stop; i++) {
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "01234567", .len = 8 };

		if (vmb_channel_send(gs.channel, &p))
			break;
		if (gs.owned)
			memcpy(ring[0] + 4, ring[0], 4); /* the host reads at once, so that each packet signals */
	}
	gs.senders--;
}

/* ---- making it */

static size_t between(const void *from, const void *to)
{
	return (size_t)((const uint8_t *)to - (const uint8_t *)from);
}

static void at_end(void)
{
	if (gs.senders)
		border_fail("a sender is still there");
	if (gs.alive[1])
		border_fail("the first open has not come to its end");
}

/* All that may change; not the counter of strays, which nobody looks at. */
static void keep_all(struct border_case *c, size_t bytes)
{
	border_keep(c, &gs, sizeof gs);
	border_keep(c, storage, between(storage, &gs.g->stray));
	border_keep(c, &gs.g->stray + 1, between(&gs.g->stray + 1, storage + bytes));
	border_keep_channel(c, channel_mem, sizeof channel_mem);
	for (unsigned i = 0; i < RING_PAGES; i++)
		border_keep(c, ring[i], KEPT);
	border_keep(c, page[0], KEPT);
	c->exempt[0] = &gs.g->stray;
}

void gs_make(struct border_case *c, const char *name, uint32_t version)
{
	struct vmb_guest_config cfg = { .size = sizeof cfg, .max_version = version, .max_channels = 1, .max_gpadls = 2,
					.max_gpadl_pages = 16, .post = on_post, .signal = on_signal, .wake = on_wake,
					.poke = on_poke };
	struct vmb_storage need;

	memset(&gs, 0, sizeof gs);
	memset(ring, 0, sizeof ring);
	memset(page, 0, sizeof page);
	memset(channel_mem, 0, sizeof channel_mem);
	gs.version = version;
	gs.cpu_rounds = GS_ROUNDS;
	if (version < VMB_V2_4) {
		cfg.interrupt_page = page[0];
		cfg.interrupt_gpa = 0x200000;
	}
	cr_assert_eq(vmb_guest_storage(&cfg, &need), 0);
	cr_assert_leq(need.bytes, sizeof storage);
	cr_assert_eq(vmb_guest_init(storage, sizeof storage, &cfg, &gs.g), 0);
	cr_assert_eq(vmb_guest_connect(gs.g), 0);
	work();
	gs_offer(1);
	work();
	cr_assert_neq(gs.ch, 0);
	gs_open();
	work();
	cr_assert_eq(gs.got[VMB_EV_OPENED], 1);
	memset(gs.got, 0, sizeof gs.got);
	memset(gs.posts, 0, sizeof gs.posts);
	gs.poked = 0;
	memset(c, 0, sizeof *c);
	c->name = name;
	keep_all(c, need.bytes);
	c->touched = on_touch;
	c->end = at_end;
}
