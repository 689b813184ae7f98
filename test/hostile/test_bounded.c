/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * How much a call does is bounded, whatever the peer does between any two accesses of it: it can refill as fast as we drain,
 * send completions of nothing, and fill the ring whenever we are about to sleep. ring.md 9.1 rule 11. Ring and channel are
 * built upon the port that shows every access.
 */
#define VMB_ENV_HEADER "harness/port.h"
#pragma GCC diagnostic ignored "-Wunused-value" /* of the port's macros */
#include "lib/ring/memory.c"
#include "lib/ring/tx.c"
#include "lib/ring/rx.c"
#include "lib/channel/make.c"
#include "lib/channel/send.c"
#include "lib/channel/recv.c"
#include "lib/channel/request.c"
#include "lib/channel/info.c"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "test/ring/rig.h"

#define PASSED_MAX 64u /* packets that one call may pass over, or turns that it may make */
#define BATCH 4u
#define SIZE 12288u /* a whole number of packets of 24 bytes */

static struct rig *ring[2]; /* sent into, received from */
static struct vmb_channel *ch;
static void *storage;
static unsigned signals;
static uint64_t state;

static struct { unsigned control, words, copies, most_control, most_words, most_copies; } done;

/* How the peer makes it long. */
static enum trick { REFILL, UNMATCHED, TEASE, PACKS, MIXED, TRICKS } trick;

static void on_signal(void *ctx)
{
	(void)ctx;
	signals++;
}

static int is_data(const void *at)
{
	uintptr_t p = (uintptr_t)at;

	for (unsigned i = 0; i < 2; i++) {
		for (uint32_t k = 0; ring[i]->kind == RIG_LIST && k < ring[i]->pages; k++)
			if (p - (uintptr_t)ring[i]->mem.pages[k] < VMB_PAGE)
				return 1;
		if (ring[i]->kind != RIG_LIST && p - (uintptr_t)ring[i]->mem.data < 2 * SIZE)
			return 1;
	}
	return 0;
}

static int is_control(const void *at, uint32_t *word)
{
	return rig_is_control(ring[0], at, word) ? 1 : rig_is_control(ring[1], at, word) ? 2 : 0;
}

/* The ring is always nearly full of the smallest packets: In stays right behind Out. */
static void refill(void)
{
	rig_set(ring[1], RIG_IN, (rig_word(ring[1], RIG_OUT) + SIZE - 24) % SIZE);
}

/* Nothing when it looks, something when it is about to sleep. */
static void tease(uint32_t word)
{
	static unsigned turn;

	if (word == RIG_IN)
		rig_set(ring[1], RIG_IN, turn++ % 2 ? ch->rx.next : (ch->rx.next + 24) % SIZE);
}

/* Sixty completions of nothing whenever it looks for the first time, and when it is about to sleep; none when it looks for more. */
static void packs(uint32_t word)
{
	static unsigned turn;

	if (word == RIG_IN)
		rig_set(ring[1], RIG_IN, (ch->rx.next + (turn++ % 3 == 1 ? 0 : 60 * 24)) % SIZE);
}

static int hook(struct port_access *a)
{
	uint32_t word = 0;
	int control = is_control(a->shared, &word);

	if (!control && !is_data(a->shared))
		return 0;
	done.control += control != 0;
	done.words += !control && (a->op == PORT_READ64 || a->op == PORT_WRITE64);
	done.copies += a->op == PORT_COPY_IN || a->op == PORT_COPY_OUT;
	if (control && (trick == TEASE || (trick == MIXED && rig_random(&state) % 2)))
		tease(word);
	else if (control && trick == PACKS)
		packs(word);
	else if (control)
		refill();
	if (control && word == RIG_IN && rig_random(&state) % 4 == 0)
		rig_set(ring[1], RIG_PENDING, rig_random(&state) % SIZE);
	if (control == 1 && word == RIG_OUT)
		rig_set(ring[0], RIG_OUT, rig_random(&state) % 3 ? rig_word(ring[0], RIG_OUT) : rig_random(&state) % SIZE & ~7u);
	return 0;
}

static void begin(uint32_t kind, enum trick how)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 4, .signal = on_signal };
	struct vmb_storage need;

	trick = how;
	for (unsigned i = 0; i < 2; i++)
		ring[i] = rig_new(kind, SIZE / VMB_PAGE);
	for (uint32_t at = 0; at < SIZE; at += 24)
		rig_set_qword(ring[1], at, (how == REFILL ? 6 : 11) | (uint64_t)2 << 16 | (uint64_t)2 << 32);
	cfg.tx = ring[0]->mem;
	cfg.rx = ring[1]->mem;
	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	storage = aligned_alloc(need.align, need.bytes);
	cr_assert_eq(vmb_channel_init(storage, need.bytes, &cfg, &ch), 0);
}

static void end(void)
{
	free(storage);
	rig_free(ring[0]);
	rig_free(ring[1]);
}

static int call(unsigned which)
{
	static uint64_t buf[SIZE / 8];
	static const uint8_t payload[4000];
	struct vmb_packet p = rig_packet(payload, which % 2 ? 8 : 4000), in;
	struct vmb_record recs[BATCH];
	struct vmb_view v;

	switch (which) {
	case 0: return vmb_channel_recv(ch, buf, sizeof buf, &in);
	case 1: return vmb_channel_recv(ch, NULL, 0, &in);
	case 2: return vmb_channel_next(ch, &in, &v);
	case 3: return vmb_channel_recv_batch(ch, (uint8_t *)buf, sizeof buf, recs, BATCH);
	case 4: return vmb_channel_skip(ch);
	case 5: return vmb_channel_release(ch);
	case 6: case 7: return vmb_channel_send(ch, &p);
	case 8: case 9: return vmb_channel_put(ch, &p);
	case 10: return vmb_channel_flush(ch);
	default: return vmb_rx_sleep(&ch->rx);
	}
}

#define CALLS 12u

/* ---- what a call loads of the packets, it loads once */

static struct { const uint8_t *at; size_t bytes; } loaded[512];
static unsigned loads, twice;

static int once(struct port_access *a)
{
	const uint8_t *at = a->shared;

	if ((a->op != PORT_READ64 && a->op != PORT_COPY_OUT) || !is_data(a->shared))
		return 0;
	for (unsigned i = 0; i < loads; i++)
		twice += at < loaded[i].at + loaded[i].bytes && loaded[i].at < at + a->bytes;
	cr_assert_lt(loads, 512u);
	loaded[loads].at = at;
	loaded[loads++].bytes = a->bytes;
	return 0;
}

static void count(unsigned *most, unsigned now)
{
	if (now > *most)
		*most = now;
}

static void run(uint32_t kind, enum trick how)
{
	begin(kind, how);
	for (unsigned i = 0; i < 4000; i++) {
		unsigned which = rig_random(&state) % (i % 3 ? CALLS : 4), before = signals;
		int r;

		done.control = done.words = done.copies = 0;
		port_hook = hook;
		r = call(which);
		port_hook = NULL;
		/* Per packet: what says that it is there, two words and the count of its list, what is passed over included. */
		cr_assert_leq(done.words, 4 * (PASSED_MAX + BATCH) + 16, "call %u: %u words", which, done.words);
		cr_assert_leq(done.control, 8 * PASSED_MAX + 16, "call %u: %u control words", which, done.control);
		cr_assert_leq(done.copies, 3 * BATCH + 8, "call %u: %u copies", which, done.copies);
		cr_assert_leq(signals - before, PASSED_MAX + 2);
		count(&done.most_words, done.words);
		count(&done.most_control, done.control);
		count(&done.most_copies, done.copies);
		if (r == VMB_EPEER || ch->state) {
			end();
			begin(kind, how);
		}
	}
	end();
}

TestSuite(hostile_bounded);

Test(hostile_bounded, no_call_does_more_than_its_budget)
{
	state = 3;
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (enum trick how = REFILL; how < TRICKS; how++)
			run(kind, how);
	/* The peer did hold us up. */
	cr_assert_gt(done.most_words, 2 * PASSED_MAX - 8, "%u", done.most_words);
	cr_assert_gt(done.most_control, 3 * PASSED_MAX, "%u", done.most_control);
	cr_assert_gt(signals, 100);
}

/* Each kind of packet, wherever it begins, by each call that receives. */
Test(hostile_bounded, no_call_loads_a_byte_of_a_packet_twice)
{
	static const uint64_t packets[][9] = {
		{ 6 | 2 << 16 | (uint64_t)5 << 32, 1, 1 | (uint64_t)9 << 32, 2, 3 }, /* in-band; good for a pipe as well */
		{ 11 | 2 << 16 | (uint64_t)3 << 32, 77, 5 },
		{ 9 | 6 << 16 | (uint64_t)7 << 32, 1, (uint64_t)1 << 32, VMB_RANGE(5000, 8), 4, 5, 6 },
		{ 7 | 5 << 16 | (uint64_t)6 << 32, 1, (uint64_t)2 << 32 | 0xcafe, VMB_RANGE(5, 0), VMB_RANGE(7, 100), 4 },
	};
	unsigned some = 0;

	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (unsigned what = 0; what < 8; what++)
			for (uint32_t at = SIZE - 80; at < SIZE; at += 8)
				for (unsigned which = 0; which < 5; which++) {
					const uint64_t *packet = packets[what % 4];
					int r;

					begin(kind, REFILL);
					if (what > 3)
						ch->flags |= VMB_CHANNEL_PIPE, ch->short_below = 0;
					ch->rx.next = ch->rx.pub = at;
					for (uint32_t i = 0; i < 9; i++)
						rig_set_qword(ring[1], at + 8 * i, packet[i]);
					rig_set(ring[1], RIG_IN, (uint32_t)((at + (packet[0] >> 32) * 8 + 8) % SIZE));
					if (which == 4) /* there is one to skip */
						(void)call(1);
					loads = twice = 0;
					port_hook = once;
					r = call(which);
					port_hook = NULL;
					cr_assert(r >= 0 || r == VMB_ETOOSMALL || (r == VMB_ESTATE && which == 4), "%d", r);
					cr_assert_eq(twice, 0, "packet %u at %u, call %u, memory %u", what, at, which, kind);
					some += loads;
					end();
				}
	cr_assert_gt(some, 3000u);
}

/* A half never looks at more than one packet in a call. */
Test(hostile_bounded, a_half_takes_one_packet_a_call)
{
	struct vmb_packet p;
	struct vmb_view v;

	state = 4;
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		begin(kind, REFILL);
		for (unsigned i = 0; i < 1000; i++) {
			int r;

			done.control = done.words = done.copies = 0;
			port_hook = hook;
			r = vmb_rx_next(&ch->rx, &p, &v);
			port_hook = NULL;
			cr_assert_leq(done.words, 3u);
			cr_assert_leq(done.control, 2u);
			cr_assert_eq(done.copies, 0u);
			port_hook = hook;
			r = r < 0 ? r : rig_random(&state) % 2 ? vmb_rx_release(&ch->rx) : vmb_rx_sleep(&ch->rx);
			port_hook = NULL;
			cr_assert_leq(done.control, 8u);
			cr_assert_leq(done.words, 3u);
			if (r < 0) {
				end();
				begin(kind, REFILL);
			}
		}
		end();
	}
}
