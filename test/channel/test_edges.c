/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Cases at the edge of a rule that no other test of this directory is about. */
#include <criterion/criterion.h>

#include "lib/channel/request.h"

#include "hooks.h"
#include "pair.h"

static struct pair *edge_pair;

/* ---- the peer's index goes bad between two looks of one call */

static void out_goes_bad(const void *word)
{
	uint32_t at;

	if (!rig_is_control(edge_pair->ring[0], word, &at) || at != RIG_IN)
		return;
	pair_before_publish = NULL;
	rig_set(edge_pair->ring[0], RIG_OUT, 5);
}

/* In every call that publishes: the violation is for both sides, and the call says so. ring.md 9.1 rule 2 */
Test(edges, out_goes_bad_at_a_flush)
{
	struct vmb_packet out = pair_packet("12345678", 8);
	struct pair *p = edge_pair = pair_new(NULL, NULL);

	cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	pair_before_publish = out_goes_bad;
	cr_assert_eq(vmb_channel_flush(p->side[0].ch), VMB_EPEER);
	cr_assert(pair_broken(p, 0, VMB_R_INDEX));
	pair_free(p);
}

Test(edges, out_goes_bad_at_the_flush_of_a_full_ring)
{
	static const uint8_t bytes[1000];
	struct vmb_packet out = pair_packet(bytes, sizeof bytes);
	struct pair *p = edge_pair = pair_new(NULL, NULL);
	int r;

	pair_before_publish = out_goes_bad;
	while ((r = vmb_channel_put(p->side[0].ch, &out)) == 0)
		cr_assert(pair_before_publish, "nothing was published yet");
	cr_assert_eq(r, VMB_EPEER);
	cr_assert(pair_broken(p, 0, VMB_R_INDEX));
	pair_free(p);
}

Test(edges, out_goes_bad_at_the_end)
{
	struct vmb_packet out = pair_packet("12345678", 8);
	struct pair *p = edge_pair = pair_new(NULL, NULL);
	struct vmb_channel_info info;

	cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	pair_before_publish = out_goes_bad;
	cr_assert_eq(vmb_channel_end(p->side[0].ch, NULL, NULL), 0);
	info = pair_info(p, 0);
	cr_assert_eq(info.error, VMB_EPEER);
	cr_assert_eq(info.reason, VMB_R_INDEX);
	cr_assert_eq(info.reason_at, 5);
	cr_assert_eq(p->side[0].signals, 0);
	pair_free(p);
}

Test(edges, in_goes_bad_before_the_end)
{
	struct vmb_packet out = pair_packet("12345678", 8), in;
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_channel_info info;

	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	rig_set(p->ring[0], RIG_PENDING, 8);
	rig_set(p->ring[0], RIG_IN, 5);
	cr_assert_eq(vmb_channel_end(p->side[1].ch, NULL, NULL), 0);
	info = pair_info(p, 1);
	cr_assert_eq(info.error, VMB_EPEER);
	cr_assert_eq(info.reason, VMB_R_INDEX);
	pair_free(p);
}

/* ---- a peer that keeps a receiver busy */

static unsigned forged;

/* Each time that the mask is about to go off, one completion of nothing. */
static void forge_at_mask(const void *word)
{
	struct vmb_packet out = pair_answer(77, NULL, 0);
	uint32_t at;

	if (!rig_is_control(edge_pair->ring[0], word, &at) || at != RIG_MASK)
		return;
	forged++;
	cr_assert_eq(vmb_channel_send(edge_pair->side[0].ch, &out), 0);
}

/* However often the ring is found empty and then not: each call of each kind has an end. ring.md 9.1 rule 11 */
Test(edges, completions_of_nothing_one_by_one)
{
	struct vmb_channel_config cfg = pair_config();

	cfg.requests = 4;
	for (unsigned way = 0; way < 3; way++) {
		struct pair *p = edge_pair = pair_new(NULL, &cfg);
		struct vmb_packet in;
		struct vmb_record rec;
		struct vmb_view v;
		uint64_t buf[8];
		int r;

		forged = 0;
		pair_before_publish = forge_at_mask;
		if (way == 0)
			r = pair_recv(p, 1, &in);
		else if (way == 1)
			r = vmb_channel_next(p->side[1].ch, &in, &v);
		else
			r = vmb_channel_recv_batch(p->side[1].ch, (uint8_t *)buf, sizeof buf, &rec, 1);
		pair_before_publish = NULL;
		cr_assert_eq(r, VMB_EAGAIN);
		cr_assert(forged >= 16 && forged <= 64, "%u in one call", forged);
		cr_assert_eq(pair_recv(p, 1, &in), 0);
		cr_assert_eq(pair_info(p, 1).unmatched, forged);
		pair_free(p);
	}
}

/* ---- requests */

/* What wants an answer and is no in-band packet goes the long way, and is refused there where it is none: no slot is taken. ring.md 7 */
Test(edges, requests_that_are_no_packets_take_no_slot)
{
	struct vmb_channel_config cfg = pair_config();
	struct pair *p;
	struct vmb_packet out;

	cfg.requests = 1;
	p = pair_new(&cfg, NULL);
	out = pair_packet("x", 1); /* so that it is known how much room there is */
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	for (unsigned i = 0; i < 3; i++) {
		out = pair_packet("x", 1);
		out.flags = VMB_PKT_WANTS_REPLY;
		if (i == 0)
			out.kind = VMB_PKT_COMPLETION;
		else if (i == 1)
			out.kind = 5;
		else
			out.flags |= 2;
		cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), VMB_EINVAL);
		cr_assert_eq(out.id, 0);
	}
	cr_assert_eq(pair_info(p, 0).requests, 0);
	out = pair_packet("x", 1);
	out.flags = VMB_PKT_WANTS_REPLY;
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_neq(out.id, 0);
	pair_free(p);
}

/* Who looks from beside sees four words of different moments: what it is told is at least possible. */
Test(edges, counters_of_different_moments)
{
	struct vmbi_requests r = { .size = 4 };
	uint32_t requests, zombies;

	r.in = 4;
	vmbi_requests_count(&r, &requests, &zombies);
	cr_assert(requests == 0 && zombies == 0);
	r.out = 9; /* 5 came back meanwhile */
	r.zombies = 7;
	r.buried = 1;
	vmbi_requests_count(&r, &requests, &zombies);
	cr_assert(requests == 4 && zombies == 4);
	r.out = 2;
	r.zombies = 1;
	vmbi_requests_count(&r, &requests, &zombies);
	cr_assert(requests == 2 && zombies == 0);
}

/* What lies behind the slots is no slot, even where it looks like one: this id fits the words there. ring.md 7 */
Test(edges, nothing_behind_the_table_is_taken_for_a_slot)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out[2], in, answer;
	struct pair *p;

	cfg.requests = 4;
	p = pair_new(&cfg, NULL);
	for (unsigned i = 0; i < 2; i++) {
		out[i] = pair_packet("x", 1);
		out[i].flags = VMB_PKT_WANTS_REPLY;
		cr_assert_eq(vmb_channel_send(p->side[0].ch, &out[i]), 0);
	}
	answer = pair_answer(out[1].id, NULL, 0);
	cr_assert_eq(vmb_channel_send(p->side[1].ch, &answer), 0);
	cr_assert_eq(pair_recv(p, 0, &in), VMB_YES);
	for (uint64_t slot = 4; slot < 8; slot++) {
		answer = pair_answer((UINT64_C(0x4000) << 16 | slot) + 1, NULL, 0);
		cr_assert_eq(vmb_channel_send(p->side[1].ch, &answer), 0);
		cr_assert_eq(pair_recv(p, 0, &in), 0);
	}
	cr_assert_eq(pair_info(p, 0).unmatched, 4);
	cr_assert_eq(pair_info(p, 0).requests, 1);
	pair_free(p);
}

/* Without a table there is no id to be had. ring.md 7 */
Test(edges, without_a_table_a_request_has_an_id_of_its_own)
{
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet out = pair_packet("x", 1);

	out.flags = VMB_PKT_WANTS_REPLY;
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), VMB_EINVAL);
	out.id = 1;
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	pair_free(p);
}

/* On a loose ring the peer can set any flag, but not this one: it is said by the table. ring.md 4.1 */
Test(edges, the_peer_cannot_say_that_a_completion_is_late)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out = pair_packet("x", 1), in, answer;
	struct pair *p;

	cfg.requests = 4;
	cfg.flags = VMB_CHANNEL_LOOSE;
	p = pair_new(&cfg, NULL);
	out.flags = VMB_PKT_WANTS_REPLY;
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	answer = pair_answer(out.id, NULL, 0);
	cr_assert_eq(vmb_channel_put(p->side[1].ch, &answer), 0);
	rig_set_qword(p->ring[1], 0, rig_qword(p->ring[1], 0) | UINT64_C(0xfffe) << 48);
	cr_assert_eq(vmb_channel_flush(p->side[1].ch), 0);
	cr_assert_eq(pair_recv(p, 0, &in), VMB_YES);
	cr_assert_eq(in.flags & VMB_PKT_LATE, 0);
	cr_assert_neq(in.flags, 0, "the others are given out");
	pair_free(p);
}

/* ---- limits */

/* Exactly max_payload, by every way of receiving. vmbus.h */
Test(edges, a_payload_of_max_payload_is_in_order)
{
	static const uint8_t bytes[1000];
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out, in;
	struct vmb_record rec;
	struct vmb_view v;
	static uint64_t buf[200];
	struct pair *p;

	cfg.max_payload = 1000;
	p = pair_new(NULL, &cfg);
	for (unsigned way = 0; way < 3; way++) {
		out = pair_packet(bytes, sizeof bytes);
		cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
		if (way == 0)
			cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		else if (way == 1)
			cr_assert_eq(vmb_channel_next(p->side[1].ch, &in, &v), VMB_YES);
		else
			cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, (uint8_t *)buf, sizeof buf, &rec, 1), 1);
	}
	pair_free(p);
}

static void refill_and_wait(const void *word)
{
	struct vmb_packet out = pair_packet("12345678", 8);
	uint32_t at;

	if (!rig_is_control(edge_pair->ring[0], word, &at) || at != RIG_MASK)
		return;
	pair_before_publish = NULL;
	cr_assert_eq(vmb_channel_send(edge_pair->side[0].ch, &out), 0);
	rig_set(edge_pair->ring[0], RIG_PENDING, 14000);
}

/* Just before it sleeps, a receiver finds a packet, and that it has made room that somebody waits for: it does both. ring.md R11 */
Test(edges, a_packet_and_room_at_once)
{
	static const uint8_t bytes[1000];
	struct pair *p = edge_pair = pair_new(NULL, NULL);
	struct vmb_packet out, in;

	for (unsigned i = 0; i < 3; i++) {
		out = pair_packet(bytes, sizeof bytes);
		cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(rig_word(p->ring[0], RIG_OUT), 0, "nothing is given back yet");
	pair_before_publish = refill_and_wait;
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(in.len, 8);
	cr_assert_eq(p->side[1].signals, 1);
	pair_free(p);
}

/* ---- configs */

/* Both rings have 8190 pages at most. gpadl.md 4 */
Test(edges, pages_of_both_rings)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_storage need;

	cfg.ring_pages = 8190;
	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	cfg.ring_pages = 8191;
	cr_assert_eq(vmb_channel_storage(&cfg, &need), VMB_EINVAL);
}

/* The log of a few pages needs a word, too. DESIGN 4 */
Test(edges, the_dirty_log_needs_a_word)
{
	struct vmb_channel_config cfg = pair_config();
	uint64_t bits = 0;
	struct pair *p;

	cfg.flags = VMB_CHANNEL_DIRTY;
	p = pair_new(&cfg, NULL);
	cr_assert_eq(vmb_channel_dirty(p->side[0].ch, &bits, 0), VMB_ETOOSMALL);
	cr_assert_eq(bits, 0);
	cr_assert_eq(vmb_channel_dirty(p->side[0].ch, &bits, 1), 0);
	cr_assert_neq(bits, 0);
	pair_free(p);
}

/* One ring described and the other not, with or without a dirty log. */
Test(edges, one_ring_is_no_channel)
{
	struct pair *p = pair_rings(RIG_ONCE, 4, 4);
	struct vmb_channel_config cfg = pair_config();
	struct vmb_storage need;
	struct vmb_channel *ch = NULL;
	void *mem;

	for (unsigned i = 0; i < 4; i++) {
		cfg = pair_config();
		cfg.flags = i & 1 ? VMB_CHANNEL_DIRTY : 0;
		cfg.ring_pages = 10;
		if (i & 2)
			cfg.tx = p->ring[0]->mem;
		else
			cfg.rx = p->ring[1]->mem;
		cr_assert_eq(vmb_channel_storage(&cfg, &need), 0, "a bus would fill in the other");
		mem = aligned_alloc(need.align, need.bytes);
		cr_assert_eq(vmb_channel_init(mem, need.bytes, &cfg, &ch), VMB_EINVAL);
		cr_assert_eq(ch, NULL);
		free(mem);
	}
	pair_free(p);
}

/* A channel without a signal function signals nobody: whatever it has to say is in the ring. */
Test(edges, no_signal_function)
{
	struct pair *p = pair_rings(RIG_ONCE, 4, 4);
	struct vmb_channel_config cfg = pair_config();
	struct vmb_storage need;
	struct vmb_packet out = pair_packet("12345678", 8), in;
	struct vmb_record rec = { .kind = VMB_PKT_INBAND, .len = 8 };
	uint64_t buf[8] = { 0 };

	cfg.tx = p->ring[0]->mem;
	cfg.rx = p->ring[1]->mem;
	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	p->side[0].mem = aligned_alloc(need.align, need.bytes);
	cr_assert_eq(vmb_channel_init(p->side[0].mem, need.bytes, &cfg, &p->side[0].ch), 0);
	cr_assert_eq(pair_open(p, 1, NULL), 0);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(pair_recv(p, 1, &in), 0);
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, (const uint8_t *)buf, sizeof buf, &rec, 1), 1);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(vmb_channel_signal(p->side[0].ch), 0);

	/* Room: the peer waits for it, and nobody tells it. */
	(void)pair_fill(p, 1, 1000);
	out = pair_packet("12345678", 8);
	rig_set(p->ring[1], RIG_PENDING, 2000);
	for (unsigned i = 0; i < 15; i++)
		cr_assert_eq(pair_recv(p, 0, &in), VMB_YES);
	cr_assert_eq(pair_recv(p, 0, &in), 0);
	cr_assert_eq(pair_info(p, 0).signals_room, 1);

	/* And at its end. */
	cr_assert_eq(pair_recv(p, 1, &in), 0);
	cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_end(p->side[0].ch, NULL, NULL), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	pair_free(p);
}
