/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The world's memory and its platform: pages in three views, callbacks of both ends, and the steps that are the platform's. See world.h. */
#include "world.h"
#include "lib/bus/guest.h"
#include "lib/bus/host.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct iv_world iv __attribute__((aligned(4096)));
const struct iv_scenario *iv_scenario;
const char *iv_bad;

enum { MS = 1000000, RETRY_MS = 300, REPLY_MS = 1000, MESSAGE_VP = 0 };

/* Views of the pages, and what may be touched of them now. */
static uint8_t *view_own, *view_guest, *view_host;
static uint8_t guest_may[IV_PAGES], host_may[IV_PAGES];

void iv_fail(const char *what)
{
	if (!iv_bad)
		iv_bad = what;
}

int iv_strict(void)
{
	if (iv_scenario->flags & IV_LOSSY)
		return 0;
	return iv.faulted == IV_FINE || iv.faulted == IV_POST_BUSY || iv.faulted == IV_POST_BUSY_2 || iv.faulted == IV_MAP_FAILS ||
	       iv.faulted == IV_MESSAGE_FAILS;
}

int iv_peer_is_sane(void)
{
	return iv.faulted != IV_ECHO_HOST && iv.faulted != IV_ECHO_GUEST;
}

int iv_fault_now(enum iv_fault fault)
{
	if (iv.fault != fault || iv.skip)
		return 0;
	iv.faulted = iv.fault;
	iv.fault = IV_FINE;
	return 1;
}

/* ---- pages */

static uint8_t *map_view(int fd)
{
	uint8_t *at = mmap(NULL, IV_PAGES * VMB_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED) {
		perror("interleave");
		abort();
	}
	return at;
}

static void map_views(void)
{
	int fd;

	if (view_own)
		return;
	fd = memfd_create("interleave", 0);
	if (fd < 0 || ftruncate(fd, IV_PAGES * VMB_PAGE) < 0) {
		perror("interleave");
		abort();
	}
	view_own = map_view(fd);
	view_guest = map_view(fd);
	view_host = map_view(fd);
	memset(guest_may, 1, sizeof guest_may);
	memset(host_may, 1, sizeof host_may);
	close(fd);
}

static void protect_view(uint8_t *view, uint8_t *may, const uint8_t *shall)
{
	for (uint32_t from = 0, to; from < IV_PAGES; from = to) {
		for (to = from + 1; to < IV_PAGES && shall[to] == shall[from]; to++)
			;
		if (!memcmp(may + from, shall + from, to - from))
			continue;
		if (mprotect(view + from * VMB_PAGE, (to - from) * VMB_PAGE, shall[from] ? PROT_READ | PROT_WRITE : PROT_NONE) < 0)
			abort();
		memcpy(may + from, shall + from, to - from);
	}
}

void iv_protect(void)
{
	uint8_t guest[IV_PAGES], host[IV_PAGES];

	for (uint32_t i = 0; i < IV_PAGES; i++) {
		guest[i] = iv.lent[i] == IV_LENT || iv.lent[i] == IV_LENT_FOR_GOOD;
		host[i] = iv.mapped[i] != 0;
	}
	protect_view(view_guest, guest_may, guest);
	protect_view(view_host, host_may, host);
}

uint8_t *iv_page(uint32_t page)
{
	return view_own + page * VMB_PAGE;
}

uint8_t *iv_guest_page(uint32_t page)
{
	return view_guest + page * VMB_PAGE;
}

uint32_t iv_lend(uint32_t pages)
{
	uint32_t page = iv.pages;

	if (page + pages > IV_PAGES) {
		iv_fail("the bench has too few pages");
		return 0;
	}
	iv.pages += pages;
	memset(iv.lent + page, IV_LENT, pages);
	iv_protect();
	return page;
}

void iv_take_back(uint32_t page, uint32_t pages)
{
	for (uint32_t i = page; i < page + pages; i++) {
		if (iv_peer_is_sane() && (iv.mapped[i] || iv.held[i]))
			iv_fail("the guest may free memory that the host has still");
		iv.lent[i] = IV_FREED;
	}
	iv_protect();
}

void iv_take_back_all(void)
{
	for (uint32_t i = 0; i < iv.pages; i++)
		if (iv.lent[i] == IV_LENT)
			iv_take_back(i, 1);
}

/* ---- callbacks of the guest */

static int on_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	struct iv_message *m = &iv.to_host[iv.queued];
	int twice;

	(void)ctx;
	if (iv.fault && iv.fault <= IV_POST_FAILS && iv.skip) {
		iv.skip--;
	} else {
		if (iv_fault_now(IV_POST_BUSY) || iv_fault_now(IV_POST_BUSY_2))
			return VMB_HV_NO_BUFFERS;
		if (iv_fault_now(IV_POST_FAILS))
			return VMB_HV_INVALID_PARAMETER;
		if (iv_fault_now(IV_POST_LOST)) {
			iv_wire_sent(payload, len, 0);
			return VMB_HV_TIMEOUT;
		}
	}
	if (iv.queued == IV_QUEUE) {
		iv_fail("the bench's queue is too short");
		return VMB_HV_NO_BUFFERS;
	}
	twice = !iv.skip && (iv_fault_now(IV_POST_TWICE) || iv_fault_now(IV_POST_TWICE_2));
	iv.queued++;
	m->len = len;
	m->connection = connection;
	memcpy(m->bytes, payload, len);
	iv_wire_sent(payload, len, !twice);
	return twice ? VMB_HV_TIMEOUT : VMB_HV_SUCCESS;
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx, (void)flag;
	iv.signals |= 1u << connection % IV_IDS;
	return 0;
}

static void on_guest_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	if (user >= iv.drivers || iv.driver[user].dead || (!iv.driver[user].object && !iv.driver[user].closing)) {
		iv_fail("the guest's end wakes a driver that has no channel");
		return;
	}
	iv.driver[user].woken = 1;
}

static void on_guest_poke(void *ctx)
{
	(void)ctx;
	iv.guest_poke = 1;
}

/* ---- and of the host */

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	(void)ctx, (void)vp, (void)vtl, (void)sint;
	if (iv.slot.len)
		return VMB_EAGAIN;
	if (iv_fault_now(IV_MESSAGE_FAILS)) {
		iv.host_poke = 1; /* the embedder knows that it must come again */
		return VMB_EPLATFORM;
	}
	iv_wire_told(payload, len);
	iv.slot.len = len;
	memcpy(iv.slot.bytes, payload, len);
	return 0;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx, (void)vp, (void)vtl, (void)sint;
	iv.interrupts |= 1u << flag % IV_IDS;
}

static void on_host_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	if (user >= iv.devices || !iv.device[user].alive) {
		iv_fail("the host's end wakes a device that has no channel");
		return;
	}
	iv.device[user].woken = 1;
}

static void on_host_poke(void *ctx)
{
	(void)ctx;
	iv.host_poke = 1;
}

static int on_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx, (void)flags;
	if (iv_fault_now(IV_MAP_FAILS))
		return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] >= IV_PAGES)
			return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++) {
		if (iv_peer_is_sane() && iv.lent[pfns[i]] != IV_LENT && iv.lent[pfns[i]] != IV_LENT_FOR_GOOD)
			iv_fail("the host maps a page that the guest has not lent");
		iv.mapped[pfns[i]]++;
		pages[i] = view_host + pfns[i] * VMB_PAGE;
	}
	iv_protect();
	return 0;
}

static void on_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)flags;
	for (uint32_t i = 0; i < n; i++) {
		if (pfns[i] >= IV_PAGES || !iv.mapped[pfns[i]] || pages[i] != view_host + pfns[i] * VMB_PAGE) {
			iv_fail("the host unmaps what it has not mapped");
			continue;
		}
		iv.mapped[pfns[i]]--;
	}
	iv_protect();
}

/* ---- steps of the platform */

static void post_to_host(const struct iv_message *m)
{
	uint32_t in[64] = { htole32(m->connection), 0, htole32(1), htole32(m->len) };
	int r;

	memcpy(in + 4, m->bytes, m->len);
	r = vmb_host_post(iv.h, in, 16 + m->len);
	if (r == VMB_HV_NO_BUFFERS)
		iv.host_full = 1;
	else if (r)
		iv_fail("the host's end refused a post");
}

static void step_to_host(int echo)
{
	struct iv_message m = iv.to_host[0];

	if (echo)
		iv.echo_host = m;
	iv_wire_taken(m.bytes, m.len);
	post_to_host(&m);
	if (iv.host_full)
		return;
	memmove(&iv.to_host[0], &iv.to_host[1], (IV_QUEUE - 1) * sizeof m);
	iv.queued--;
	memset(&iv.to_host[IV_QUEUE - 1], 0, sizeof m);
}

static void step_to_guest(int echo)
{
	struct iv_message m = iv.slot;
	uint32_t before = iv_wire_reads(m.bytes);

	if (echo)
		iv.echo_guest = m;
	memset(&iv.slot, 0, sizeof iv.slot);
	if (vmb_guest_message(iv.g, m.bytes, m.len))
		iv_fail("the guest's end refused a message");
	iv_wire_read(m.bytes, before);
	if (vmb_host_eom(iv.h, MESSAGE_VP))
		iv_fail("EOM was refused");
}

static void step_echo_guest(void)
{
	struct iv_message m = iv.echo_guest;

	memset(&iv.echo_guest, 0, sizeof m);
	if (vmb_guest_message(iv.g, m.bytes, m.len))
		iv_fail("the guest's end refused a message");
}

static void step_echo_host(void)
{
	struct iv_message m = iv.echo_host;

	memset(&iv.echo_host, 0, sizeof m);
	post_to_host(&m);
	iv.host_full = 0; /* then it is refused */
}

static void step_guest_poll(void)
{
	struct vmb_event ev;
	int r = vmb_guest_poll(iv.g, iv.now, &ev);

	iv.guest_deadline = ev.deadline;
	if (r == VMB_YES)
		iv_guest_event(&ev);
	else if (r)
		iv_fail("the guest's poll was refused");
	else
		iv_judge_guest_told();
	iv.guest_poke = r == VMB_YES;
}

static void step_host_poll(void)
{
	struct vmb_event ev;
	int r = vmb_host_poll(iv.h, iv.now, &ev);

	if (r == VMB_YES)
		iv_host_event(&ev);
	else if (r)
		iv_fail("the host's poll was refused");
	else
		iv_judge_host_told();
	iv.host_poke = r == VMB_YES;
}

/* At most a few of each kind are pending: bit by bit would be no other order for one channel. */
static void step_signal(void)
{
	uint32_t id = (uint32_t)__builtin_ctz(iv.signals);

	iv.signals &= iv.signals - 1;
	(void)!vmb_host_signal(iv.h, 0x2000 + id, 0);
}

static void step_interrupt(void)
{
	uint8_t flags[256] __attribute__((aligned(8))) = { (uint8_t)iv.interrupts }; /* IV_IDS of them, as the wire has them */
	uint8_t slot[256] __attribute__((aligned(8))) = { 0 };

	iv.interrupts = 0;
	if (vmb_guest_interrupt(iv.g, flags, slot))
		iv_fail("there was no message");
}

static int time_is_near(void)
{
	return iv.guest_deadline != UINT64_MAX && iv.guest_deadline < iv.now + (uint64_t)RETRY_MS * MS;
}

static void step_time(int early)
{
	if (early || !time_is_near())
		iv.timed_out = 1;
	if (iv.guest_deadline > iv.now)
		iv.now = iv.guest_deadline;
	iv.guest_deadline = UINT64_MAX;
	iv.guest_poke = 1;
}

/* ---- choices */

static uint32_t choice_add(struct iv_choice *out, uint32_t n, enum iv_step step, uint32_t what)
{
	out[n] = (struct iv_choice){ .step = (uint8_t)step, .n = (uint8_t)what };
	return n + 1;
}

/* What happens by itself; embedders first. */
static uint32_t choices_plain(struct iv_choice *out)
{
	uint32_t n = iv_reactions(out);

	if (iv.host_poke)
		n = choice_add(out, n, IV_STEP_HOST_POLL, 0);
	if (iv.guest_poke)
		n = choice_add(out, n, IV_STEP_GUEST_POLL, 0);
	if (iv.signals)
		n = choice_add(out, n, IV_STEP_SIGNAL, 0);
	if (iv.interrupts)
		n = choice_add(out, n, IV_STEP_INTERRUPT, 0);
	if (iv.slot.len)
		n = choice_add(out, n, IV_STEP_TO_GUEST, 0);
	if (iv.queued && !iv.host_full)
		n = choice_add(out, n, IV_STEP_TO_HOST, 0);
	if (iv.echo_guest.len)
		n = choice_add(out, n, IV_STEP_ECHO_GUEST, 0);
	if (iv.echo_host.len)
		n = choice_add(out, n, IV_STEP_ECHO_HOST, 0);
	return n;
}

static uint32_t choices_scripts(struct iv_choice *out, uint32_t n)
{
	for (uint32_t i = 0; i < IV_SCRIPTS; i++) {
		const struct iv_op *op = &iv_scenario->script[i][iv.at[i]];

		if (op->op != IV_END && iv_op_ready(op))
			n = choice_add(out, n, IV_STEP_SCRIPT, i);
	}
	return n;
}

static int fault_fits(const struct iv_choice *c, enum iv_fault fault)
{
	if (fault == IV_ECHO_HOST)
		return c->step == IV_STEP_TO_HOST;
	if (fault == IV_ECHO_GUEST)
		return c->step == IV_STEP_TO_GUEST;
	if (fault == IV_MAP_FAILS)
		return c->step == IV_STEP_ATTACH;
	return fault != IV_EARLY;
}

/* The guest's slot has been emptied before the guest is saved. */
static uint32_t choices_saves(struct iv_choice *out, uint32_t n, uint32_t with)
{
	if (with & IV_WITH_HOST_SAVED && !iv.saved)
		n = choice_add(out, n, IV_STEP_SAVE_HOST, 0);
	if (with & IV_WITH_GUEST_SAVED && !iv.saved && !iv.slot.len)
		n = choice_add(out, n, IV_STEP_SAVE_GUEST, 0);
	return n;
}

uint32_t iv_choices(struct iv_choice *out, uint32_t with)
{
	uint32_t n = choices_scripts(out, choices_plain(out)), plain;

	if (iv.guest_deadline != UINT64_MAX && (!n || time_is_near()))
		n = choice_add(out, n, IV_STEP_TIME, 0);
	plain = n;
	for (uint32_t fault = IV_FINE + 1; with & IV_WITH_FAULT && !iv.faulted && fault < IV_FAULTS; fault++) {
		if (!(iv_scenario->faults >> fault & 1))
			continue;
		for (uint32_t i = 0; i < plain; i++)
			if (fault_fits(&out[i], fault) && n < IV_CHOICES) {
				out[n] = out[i];
				out[n++].fault = (uint8_t)fault;
			}
		if (fault == IV_EARLY && plain && iv.guest_deadline != UINT64_MAX && n < IV_CHOICES)
			out[n++] = (struct iv_choice){ IV_STEP_TIME, 0, IV_EARLY };
	}
	return choices_saves(out, n, with);
}

static void take_script(uint32_t i)
{
	const struct iv_op *op = &iv_scenario->script[i][iv.at[i]];

	if (iv_op_ready(op) > 0)
		iv_op_do(op);
	iv.at[i]++;
}

static int take(const struct iv_choice *c)
{
	int echo = c->fault == IV_ECHO_HOST || c->fault == IV_ECHO_GUEST;

	switch (c->step) {
	case IV_STEP_TO_HOST: step_to_host(echo); break;
	case IV_STEP_TO_GUEST: step_to_guest(echo); break;
	case IV_STEP_HOST_POLL: step_host_poll(); break;
	case IV_STEP_GUEST_POLL: step_guest_poll(); break;
	case IV_STEP_SIGNAL: step_signal(); break;
	case IV_STEP_INTERRUPT: step_interrupt(); break;
	case IV_STEP_ECHO_GUEST: step_echo_guest(); break;
	case IV_STEP_ECHO_HOST: step_echo_host(); break;
	case IV_STEP_TIME: step_time(c->fault == IV_EARLY); break;
	case IV_STEP_SCRIPT: take_script(c->n); break;
	case IV_STEP_SAVE_HOST: return iv_save_host();
	case IV_STEP_SAVE_GUEST: return iv_save_guest();
	default: iv_react(c); break;
	}
	return 1;
}

/* Statistics make no other state. */
static void forget_host(struct vmb_host *h)
{
	h->messages_in = h->messages_out = h->dropped = h->refused_quota = h->post_retries = h->late_answers = h->post_failed = h->over_budget = 0;
	h->stray = h->fate = h->out.most = h->events.most = h->waiting.most = 0;
	memset(h->fates, 0, sizeof h->fates);
	for (uint32_t i = 1; i <= h->slots; i++)
		h->ch[i].opens = h->ch[i].refused = h->ch[i].closes = h->ch[i].lost = 0;
}

static void forget_guest(struct vmb_guest *g)
{
	g->messages_in = g->messages_out = g->dropped = g->refused_quota = g->post_retries = g->stray_events = g->late_answers = 0;
	g->post_failed = g->over_budget = 0;
	g->stray = g->fate = g->post.most = g->events.most = g->fresh.most = g->waiting.most = g->draining.most = g->arena_order.most = 0;
	memset(g->fates, 0, sizeof g->fates);
	for (uint32_t i = 1; i <= g->cfg.max_channels; i++)
		g->channels[i].opens = g->channels[i].refused = g->channels[i].closes = g->channels[i].lost = 0;
}

int iv_take(const struct iv_choice *c)
{
	if (c->step != IV_STEP_TO_HOST)
		iv.host_full = 0;
	iv.fault = iv.skip = 0;
	if (c->fault >= IV_ECHO_HOST) {
		iv.faulted = c->fault;
	} else {
		iv.fault = c->fault;
		iv.skip = c->fault == IV_POST_BUSY_2 || c->fault == IV_POST_TWICE_2;
	}
	if (c->step == IV_STEP_TO_HOST || c->step == IV_STEP_ECHO_HOST || c->step == IV_STEP_SCRIPT || c->step == IV_STEP_REFUSE)
		iv.fresh = 0;
	if (!take(c) || iv.fault)
		return 0;
	forget_host(iv.h);
	forget_guest(iv.g);
	return 1;
}

void iv_settle(void)
{
	struct iv_choice c[IV_CHOICES];

	for (unsigned i = 0; i < 2000 && !iv_bad && choices_plain(c); i++)
		(void)iv_take(&c[0]);
}

/* ---- making it */

void iv_guest_init(int poison)
{
	struct vmb_guest_config cfg = { .size = sizeof cfg, .max_version = iv_scenario->version, .features = iv_scenario->features,
					.max_channels = 4, .max_gpadls = 8, .max_gpadl_pages = 48, .connect_ms = REPLY_MS,
					.reply_ms = REPLY_MS, .unload_ms = REPLY_MS, .post = on_post, .signal = on_signal,
					.wake = on_guest_wake, .poke = on_guest_poke };

	memset(iv.guest_mem, poison, sizeof iv.guest_mem);
	if (vmb_guest_init(iv.guest_mem, sizeof iv.guest_mem, &cfg, &iv.g))
		iv_fail("the guest's end cannot be made");
	iv.guest_deadline = UINT64_MAX;
	iv.guest_poke = 0;
}

void iv_host_init(int poison)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .max_channels = 4, .max_gpadls = 6, .max_gpadl_pages = 48, .max_messages = 8,
				       .vps = 4, .message = on_message, .interrupt = on_interrupt, .wake = on_host_wake, .poke = on_host_poke,
				       .map = on_map, .unmap = on_unmap };

	memset(iv.host_mem, poison, sizeof iv.host_mem);
	if (vmb_host_init(iv.host_mem, sizeof iv.host_mem, &cfg, &iv.h))
		iv_fail("the host's end cannot be made");
}

void iv_platform_make(void)
{
	map_views();
	memset(&iv, 0, sizeof iv);
	memset(view_own, 0, IV_PAGES * VMB_PAGE);
	iv_protect();
	iv.pages = 1;
	iv.now = MS;
	iv_host_init(0);
	iv_guest_init(0);
}

void iv_make(const struct iv_scenario *s)
{
	iv_bad = NULL;
	iv_scenario = s;
	iv_platform_make();
	iv_begin();
}
