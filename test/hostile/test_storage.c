/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Storage that holds anything: what it held before an init shows nowhere, nothing around it is touched, and an init that refuses
 * touches nothing.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "life.h"
#include "test/ring/rig.h"

/* Where two traces differ: the lines around it. */
static void same(const struct life_trace *a, const struct life_trace *b, const char *what)
{
	size_t at = 0, from;

	while (at < a->used && at < b->used && a->text[at] == b->text[at])
		at++;
	from = at > 300 ? at - 300 : 0;
	cr_assert(at == a->used && at == b->used, "%s: the traces differ: ...%.400s\n---- the other one: ...%.400s", what, a->text + from,
		  b->text + from);
	cr_assert_eq(memcmp(a->memory, b->memory, sizeof a->memory), 0, "%s: the memory differs", what);
	cr_assert_eq(b->bad, 0, "%s: something around storage or a buffer has changed", what);
}

TestSuite(hostile_storage);

static const uint32_t versions[] = { VMB_V0_13, VMB_V1_1, VMB_V2_4, VMB_V3_0, VMB_V4_1, VMB_V5_0, VMB_V5_3, VMB_V6_0 };
enum { VERSIONS = sizeof versions / sizeof *versions };

Test(hostile_storage, every_filling_on_either_side_of_memory_gives_the_same_trace)
{
	static struct life_trace first, next;

	for (unsigned v = 0; v < VERSIONS; v++) {
		struct life_config cfg = { .fill = GUARD_ZEROS, .version = versions[v] };

		life_run(&cfg, &first);
		cr_assert_eq(first.bad, 0);
		for (cfg.fill = GUARD_ZEROS; cfg.fill < GUARD_RANDOM + 3; cfg.fill++) {
			if (v > 1 && v < VERSIONS - 1 && cfg.fill > GUARD_ZEROS && cfg.fill != GUARD_RANDOM)
				continue;
			for (cfg.right = 0; cfg.right < 2; cfg.right++) {
				life_run(&cfg, &next);
				same(&first, &next, "another filling");
				life_end(&next);
			}
		}
		life_end(&first);
	}
	life_forget();
}

Test(hostile_storage, a_second_life_in_what_the_first_left_gives_the_same_trace)
{
	static struct life_trace first, next;

	for (unsigned v = 0; v < VERSIONS; v++) {
		struct life_config cfg = { .fill = GUARD_RANDOM + v, .version = versions[v], .right = v % 2 };

		life_run(&cfg, &first);
		cfg.again = 1;
		for (unsigned n = 0; n < 2; n++) {
			life_run(&cfg, &next);
			same(&first, &next, "in dirty storage");
			life_end(&next);
		}
		life_end(&first);
	}
	life_forget();
}

/* So that the two above cannot pass by seeing nothing. */
Test(hostile_storage, a_life_has_all_that_there_is)
{
	static const uint8_t both[] = { VMB_EV_CONNECTED, VMB_EV_DISCONNECTED, VMB_EV_CLOSED, VMB_EV_GONE };
	static const uint8_t guest[] = { VMB_EV_OFFER, VMB_EV_OFFERS_DONE, VMB_EV_OPENED, VMB_EV_RESCINDED, VMB_EV_GPADL, VMB_EV_GPADL_DOWN };
	static const uint8_t host[] = { VMB_EV_OPEN, VMB_EV_CLOSE, VMB_EV_GPADL_DOWN, VMB_EV_RESET };
	static struct life_trace t;

	for (unsigned v = 0; v < VERSIONS; v++) {
		struct life_config cfg = { .fill = GUARD_A5, .version = versions[v] };

		life_run(&cfg, &t);
		for (unsigned i = 0; i < sizeof both; i++)
			cr_assert(t.events[0][both[i]] && (t.events[1][both[i]] || both[i] == VMB_EV_GONE), "event %u", both[i]);
		for (unsigned i = 0; i < sizeof guest; i++)
			cr_assert(t.events[0][guest[i]], "guest event %u", guest[i]);
		for (unsigned i = 0; i < sizeof host; i++)
			cr_assert(t.events[1][host[i]], "host event %u", host[i]);
		cr_assert_gt(t.packets, 60, "%u packets", t.packets);
		cr_assert_gt(t.answers, 20, "%u answers", t.answers);
		cr_assert_eq(t.lates, 1);
		cr_assert_gt(t.used, 50000);
		life_end(&t);
	}
	life_forget();
}

/* ---- inits by themselves */

static int on_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	(void)ctx, (void)connection, (void)payload, (void)len;
	return 0;
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx, (void)connection, (void)flag;
	return 0;
}

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	(void)ctx, (void)vp, (void)vtl, (void)sint, (void)payload, (void)len;
	return 0;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx, (void)vp, (void)vtl, (void)sint, (void)flag;
}

static void on_wake(void *ctx, uint64_t user)
{
	(void)ctx, (void)user;
}

enum init { TX, RX, CHANNEL, GUEST, HOST, INITS };

static struct rig *rig[2];

static int call_init(enum init what, struct vmb_storage *s, void *mem, size_t bytes, void **made)
{
	struct vmb_guest_config guest = { .size = sizeof guest, .post = on_post, .signal = on_signal, .wake = on_wake, .max_channels = 3 };
	struct vmb_host_config host = { .size = sizeof host, .message = on_message, .interrupt = on_interrupt, .wake = on_wake,
					.max_channels = 3, .max_gpadl_pages = 50 };
	struct vmb_channel_config channel = { .size = sizeof channel, .requests = 5, .flags = VMB_CHANNEL_DIRTY, .tx = rig[0]->mem,
					      .rx = rig[1]->mem };

	switch (what) {
	case TX: return s ? vmb_tx_storage(&channel.tx, s) : vmb_tx_init(mem, bytes, &channel.tx, NULL, (struct vmb_tx **)made);
	case RX: return s ? vmb_rx_storage(&channel.tx, s) : vmb_rx_init(mem, bytes, &channel.tx, NULL, (struct vmb_rx **)made);
	case CHANNEL: return s ? vmb_channel_storage(&channel, s) : vmb_channel_init(mem, bytes, &channel, (struct vmb_channel **)made);
	case GUEST: return s ? vmb_guest_storage(&guest, s) : vmb_guest_init(mem, bytes, &guest, (struct vmb_guest **)made);
	default: return s ? vmb_host_storage(&host, s) : vmb_host_init(mem, bytes, &host, (struct vmb_host **)made);
	}
}

Test(hostile_storage, an_init_stays_within_what_it_asked_for_and_refuses_less_without_a_touch)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		rig[0] = rig_new(kind, 2);
		rig[1] = rig_new(kind, 1);
		for (enum init what = TX; what < INITS; what++)
			for (uint32_t fill = GUARD_ZEROS; fill < GUARD_RANDOM + 2; fill++)
				for (int right = 0; right < 2; right++) {
					struct vmb_storage s;
					void *made = &s;
					struct guard g;

					cr_assert_eq(call_init(what, &s, NULL, 0, NULL), 0);
					cr_assert(s.align && !(s.align & (s.align - 1)) && s.align <= 64 && s.bytes % s.align == 0);
					guard_make(&g, s.bytes, right, fill);
					cr_assert_eq(call_init(what, NULL, g.at, s.bytes - 1, &made), VMB_ENOSPACE);
					cr_assert_eq(call_init(what, NULL, g.at + 8, s.bytes, &made), VMB_ENOSPACE);
					cr_assert_eq(call_init(what, NULL, NULL, s.bytes, &made), VMB_EINVAL);
					cr_assert(guard_untouched(&g), "init %u touches storage that it refuses", what);
					cr_assert_eq(made, &s);
					cr_assert_eq(call_init(what, NULL, g.at, s.bytes, &made), 0);
					cr_assert(guard_intact(&g), "init %u touches what is not its storage", what);
					cr_assert((uint8_t *)made >= g.at && (uint8_t *)made < g.at + s.bytes);
					guard_free(&g);
				}
		rig_free(rig[0]);
		rig_free(rig[1]);
	}
}

/* The log of pages, where it takes several words. */
Test(hostile_storage, a_log_of_pages_begins_with_the_two_control_pages)
{
	for (uint32_t fill = GUARD_ZEROS; fill < GUARD_RANDOM + 2; fill++) {
		struct vmb_channel_config cfg = { .size = sizeof cfg, .flags = VMB_CHANNEL_DIRTY };
		struct vmb_channel *ch;
		struct vmb_storage s;
		uint64_t bits[3] = { 0 };
		struct guard g;

		rig[0] = rig_new(RIG_ONCE, 60);
		rig[1] = rig_new(RIG_ONCE, 70);
		cfg.tx = rig[0]->mem;
		cfg.rx = rig[1]->mem;
		cr_assert_eq(vmb_channel_storage(&cfg, &s), 0);
		guard_make(&g, s.bytes, 1, fill);
		cr_assert_eq(vmb_channel_init(g.at, s.bytes, &cfg, &ch), 0);
		cr_assert_eq(vmb_channel_dirty(ch, bits, 3), 0);
		cr_assert(bits[0] == 1 && bits[1] == 1u << (71 - 64) && bits[2] == 0, "filling %u: %llx %llx %llx", fill,
			  (unsigned long long)bits[0], (unsigned long long)bits[1], (unsigned long long)bits[2]);
		guard_free(&g);
		rig_free(rig[0]);
		rig_free(rig[1]);
	}
}

/* ---- halves of a ring by themselves: random work of both, results and memory summed up */

static const uint8_t payload[1024] = { 1, 2, 3 };

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 31;
}

static uint64_t produce(struct rig *r, uint64_t *state, uint64_t h)
{
	static const uint64_t words[] = { VMB_RANGE(100, 0), 7 };
	uint32_t dice = rig_random(state);
	struct vmb_packet p = rig_packet(payload, dice >> 8 & 0x1ff);
	struct vmb_view v = { 0, 0 };

	if (dice & 1) {
		p.kind = VMB_PKT_GPA;
		p.list = (struct vmb_list){ words, 2, 1 };
	}
	switch (dice >> 4 & 7) {
	case 0: case 1: return mix(h, (uint64_t)vmb_tx_commit(r->tx));
	case 2: return mix(h, (uint64_t)vmb_tx_arm(r->tx, &p, 500));
	case 3: return mix(h, (uint64_t)vmb_tx_discard(r->tx));
	case 4:
		h = mix(h, (uint64_t)vmb_tx_reserve(r->tx, &p, &v));
		h = mix(h, v.len ? (uint64_t)vmb_tx_copy(r->tx, &v, 0, payload, v.len) : 0);
		return mix(h, (uint64_t)v.pos << 32 | v.len);
	default: return mix(h, (uint64_t)vmb_tx_put(r->tx, &p));
	}
}

static uint64_t look(struct rig *r, uint64_t h, uint32_t fill)
{
	struct vmb_packet p;
	struct vmb_view v;
	int got;

	guard_fill((uint8_t *)&p, sizeof p, fill);
	guard_fill((uint8_t *)&v, sizeof v, fill);
	got = vmb_rx_next(r->rx, &p, &v);
	h = mix(h, (uint64_t)got);
	if (got != VMB_YES)
		return h;
	h = mix(mix(h, (uint64_t)v.pos << 32 | v.len), (uint64_t)p.kind << 32 | p.flags);
	h = mix(mix(h, p.id), (uint64_t)p.head_len << 32 | p.len);
	h = mix(mix(h, p.user), (uint64_t)p.page_set << 16 | p.reserved);
	return mix(h, (uint64_t)p.list.count << 32 | p.list.ranges | (p.payload != NULL) | (p.list.words != NULL));
}

static uint64_t consume(struct rig *r, uint64_t *state, uint64_t h, uint32_t fill)
{
	switch (rig_random(state) & 7) {
	case 0: case 1: return mix(h, (uint64_t)vmb_rx_release(r->rx));
	case 2: return mix(h, (uint64_t)vmb_rx_sleep(r->rx));
	case 3: return mix(h, (uint64_t)vmb_rx_rewind(r->rx));
	default: return look(r, h, fill);
	}
}

static uint64_t work(uint32_t kind, uint32_t fill, int right)
{
	struct rig *r = rig_new(kind, 2);
	struct vmb_storage s[2];
	struct guard g[2];
	uint64_t state = 5, h = kind;

	cr_assert(!vmb_tx_storage(&r->mem, &s[0]) && !vmb_rx_storage(&r->mem, &s[1]));
	guard_make(&g[0], s[0].bytes, right, fill);
	guard_make(&g[1], s[1].bytes, right, fill);
	for (unsigned life = 0; life < 40; life++) { /* all but the first in what the one before has left */
		struct vmb_packet large = rig_packet(payload, 900);
		struct vmb_cursor at[2];

		cr_assert_eq(vmb_tx_init(g[0].at, s[0].bytes, &r->mem, NULL, &r->tx), 0);
		cr_assert_eq(vmb_rx_init(g[1].at, s[1].bytes, &r->mem, NULL, &r->rx), 0);
		if (life % 2 == 0) /* look into a ring that may be empty */
			h = look(r, h, fill);
		for (unsigned i = 0; life % 4 < 2 && i < 12; i++) /* until it is full, then more */
			h = mix(h, (uint64_t)vmb_tx_put(r->tx, &large));
		for (unsigned i = 0; i < 300; i++)
			h = rig_random(&state) & 1 ? produce(r, &state, h) : consume(r, &state, h, fill);
		guard_fill((uint8_t *)at, sizeof at, fill);
		cr_assert(!vmb_tx_end(r->tx, &at[0]) && !vmb_rx_end(r->rx, &at[1]));
		for (unsigned i = 0; i < 2; i++)
			h = mix(mix(h, (uint64_t)at[i].valid << 32 | at[i].index), (uint64_t)at[i].armed << 32 | at[i].reserved);
		for (uint32_t i = 0; i < r->size + VMB_PAGE; i += 8)
			h = mix(h, i < VMB_PAGE ? ((uint64_t *)(void *)r->control)[i / 8] : rig_qword(r, i - VMB_PAGE));
	}
	cr_assert(guard_intact(&g[0]) && guard_intact(&g[1]));
	guard_free(&g[0]);
	guard_free(&g[1]);
	rig_free(r);
	return h;
}

Test(hostile_storage, halves_of_a_ring_in_any_storage_do_the_same)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		uint64_t first = work(kind, GUARD_ZEROS, 0);

		for (uint32_t fill = GUARD_ZEROS; fill < GUARD_RANDOM + 3; fill++)
			for (int right = 0; right < 2; right++)
				cr_assert_eq(work(kind, fill, right), first, "memory %u, filling %u", kind, fill);
	}
}
