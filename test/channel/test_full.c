/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Waiting for room: what VMB_EFULL promises, and who signals whom then. ring.md 8.4, 8.5, 10 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hooks.h"
#include "pair.h"

static uint8_t zeros[16384];

static int put(struct pair *p, uint32_t len)
{
	struct vmb_packet out = pair_packet(zeros, len);

	return vmb_channel_put(p->side[0].ch, &out);
}

static int send(struct pair *p, uint32_t len)
{
	struct vmb_packet out = pair_packet(zeros, len);

	return vmb_channel_send(p->side[0].ch, &out);
}

/* Side 1 takes n packets and gives the space back, each by itself. */
static void take(struct pair *p, unsigned n)
{
	struct vmb_packet in;

	while (n--) {
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		cr_assert_eq(vmb_channel_release(p->side[1].ch), 0);
	}
}

static uint32_t pending(const struct pair *p)
{
	return rig_word(p->ring[0], RIG_PENDING);
}

/* All is published, a pending size is stored, and when more than that is free one signal comes: then it fits. */
Test(full, a_wake_is_promised_and_comes_once)
{
	struct pair *p = pair_new(NULL, NULL);

	for (uint32_t i = 0; i < 15; i++) /* 1024 bytes each in a ring of 16384, of which 1024 are left, which is not enough */
		cr_assert_eq(put(p, 1000), 0);
	cr_assert_eq(rig_word(p->ring[0], RIG_IN), 0);
	cr_assert_eq(put(p, 1000), VMB_EFULL);
	cr_assert_eq(rig_word(p->ring[0], RIG_IN), 15 * 1024, "flushed");
	cr_assert_eq(p->side[0].signals, 1, "for the flush");
	cr_assert_eq(pending(p), 4096, "a quarter");
	for (unsigned i = 0; i < 3; i++) {
		take(p, 1);
		cr_assert_eq(p->side[1].signals, 0, "%u free: not more than asked for", 1024 * (i + 2));
	}
	cr_assert_eq(put(p, 1000), VMB_EFULL, "and so not for those who try");
	take(p, 1);
	cr_assert_eq(p->side[1].signals, 1);
	take(p, 5);
	cr_assert_eq(p->side[1].signals, 1, "once");
	cr_assert_eq(put(p, 1000), 0);
	cr_assert_eq(vmb_channel_flush(p->side[0].ch), 0);
	cr_assert_eq(pending(p), 0);
	cr_assert_eq(p->side[0].signals, 1, "the ring was not empty");
	cr_assert_eq(pair_info(p, 1).signals_room, 1);
	cr_assert_eq(pair_info(p, 0).signals_data, 1);
	pair_free(p);
}

/* The trap: while a large packet waits, a small one would fit. Were it sent, the pending size would go, and with it the wake. */
Test(full, a_smaller_packet_does_not_break_the_promise)
{
	struct pair *p = pair_new(NULL, NULL);

	for (uint32_t i = 0; i < 14; i++)
		cr_assert_eq(send(p, 1000), 0);
	cr_assert_eq(send(p, 5000), VMB_EFULL);
	cr_assert_eq(pending(p), 5024);
	for (unsigned i = 0; i < 4; i++) { /* 2048 are free, then more */
		struct vmb_record rec = { .kind = VMB_PKT_INBAND, .len = 8 };
		struct vmb_packet out = pair_packet(NULL, 8);
		struct vmb_span part = { zeros, 8 };
		struct vmb_view v;
		uint64_t buf[1] = { 0 };

		if (i)
			take(p, i > 1 ? 1 : 0);
		cr_assert_eq(send(p, 8), VMB_EFULL);
		cr_assert_eq(vmb_channel_putv(p->side[0].ch, &out, &part, 1), VMB_EFULL);
		cr_assert_eq(vmb_channel_reserve(p->side[0].ch, &out, &v), VMB_EFULL);
		cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, (const uint8_t *)buf, 8, &rec, 1), VMB_EFULL);
		cr_assert_eq(vmb_channel_flush(p->side[0].ch), 0);
		cr_assert_eq(pending(p), 5024, "still wanted");
	}
	cr_assert_eq(p->side[1].signals, 0);
	take(p, 1);
	cr_assert_eq(p->side[1].signals, 1);
	cr_assert_eq(send(p, 8), 0, "who comes first is first");
	cr_assert_eq(send(p, 5000), 0);
	pair_free(p);
}

/* Hysteresis: least_free, never below the packet, never above what the ring can have free. */
Test(full, least_free)
{
	static const struct { uint32_t least, len, pending; } want[] = {
		{ 0, 100, 4096 }, { 0, 8000, 8024 }, { 1, 100, 128 }, { 1000, 100, 1000 }, { 1001, 100, 1008 },
		{ 16376, 100, 16376 }, { 16384, 100, 16376 }, { 0xffffffff, 100, 16376 },
	};

	for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
		struct vmb_channel_config cfg = pair_config();
		struct pair *p;
		unsigned n = 0;

		cfg.least_free = want[i].least;
		p = pair_new(&cfg, NULL);
		while (send(p, want[i].len) == 0)
			n++;
		cr_assert_eq(pending(p), want[i].pending, "case %u: %u", i, pending(p));
		while (!p->side[1].signals)
			take(p, 1), n--;
		cr_assert_eq(send(p, want[i].len), 0, "case %u", i);
		cr_assert(n || want[i].pending == 16376, "case %u: only the largest drains the ring", i);
		pair_free(p);
	}
}

/* A pipe packet waits for its header too. */
Test(full, pipe)
{
	struct vmb_channel_config cfg = pair_config();
	struct pair *p;

	cfg.flags = VMB_CHANNEL_PIPE;
	cfg.least_free = 1;
	p = pair_new(&cfg, &cfg);
	while (send(p, 1000) == 0)
		;
	cr_assert_eq(pending(p), 1032);
	take(p, 1);
	cr_assert_eq(p->side[1].signals, 1);
	cr_assert_eq(send(p, 1000), 0);
	pair_free(p);
}

static struct pair *drain_pair;

static void drain_at_pending(const void *word)
{
	void (*hook)(const void *) = pair_before_publish;
	uint32_t at;

	if (!rig_is_control(drain_pair->ring[0], word, &at) || at != RIG_PENDING)
		return;
	pair_before_publish = NULL;
	take(drain_pair, 4);
	pair_before_publish = hook;
}

/* Room appears between the look that finds none and the store of the pending size: the peer has seen no size and signals
 * nobody, so the sender must see the room. R3, R5 */
Test(full, R05_room_appears_before_the_pending_size)
{
	struct pair *p = drain_pair = pair_new(NULL, NULL);

	for (uint32_t i = 0; i < 15; i++)
		cr_assert_eq(send(p, 1000), 0);
	pair_before_publish = drain_at_pending;
	cr_assert_eq(send(p, 1000), 0);
	pair_before_publish = NULL;
	cr_assert_eq(pending(p), 0);
	cr_assert_eq(p->side[1].signals, 0, "nobody asked");
	cr_assert_eq(pair_info(p, 0).full, 1);
	cr_assert_eq(pair_info(p, 0).sent, 16);
	pair_free(p);
}

/* ---- deferred signals */

Test(full, defer)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet in;
	struct pair *p;

	cfg.flags = VMB_CHANNEL_DEFER;
	p = pair_new(&cfg, &cfg);
	cr_assert_eq(put(p, 8), 0);
	cr_assert_eq(vmb_channel_flush(p->side[0].ch), VMB_SIGNAL);
	cr_assert_eq(send(p, 8), 0, "not empty");
	cr_assert_eq(p->side[0].signals, 0);
	cr_assert_eq(vmb_channel_signal(p->side[0].ch), 0);
	cr_assert_eq(p->side[0].signals, 1);
	while (pair_recv(p, 1, &in) == VMB_YES)
		;
	cr_assert_eq(send(p, 8), VMB_SIGNAL);
	cr_assert_eq(pair_info(p, 0).signals_data, 2);
	pair_free(p);
}

/* An error has no room for VMB_SIGNAL: what a full ring had to flush is signalled at once. So is a batch, whose result is a
 * number. */
Test(full, defer_loses_no_signal)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_record rec = { .kind = VMB_PKT_INBAND, .len = 8 };
	uint64_t buf[1] = { 0 };
	struct pair *p;

	cfg.flags = VMB_CHANNEL_DEFER;
	p = pair_new(&cfg, NULL);
	for (uint32_t i = 0; i < 15; i++)
		cr_assert_eq(put(p, 1000), 0);
	cr_assert_eq(put(p, 1000), VMB_EFULL);
	cr_assert_eq(p->side[0].signals, 1);
	pair_free(p);
	p = pair_new(&cfg, NULL);
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, (const uint8_t *)buf, 8, &rec, 1), 1);
	cr_assert_eq(p->side[0].signals, 1);
	pair_free(p);
}

/* Room appears while a full ring is dealt with: put has flushed by the way, and its signal is not lost either. */
Test(full, a_put_that_had_to_flush)
{
	for (unsigned defer = 0; defer < 2; defer++) {
		for (unsigned whole = 0; whole < 2; whole++) {
			struct vmb_channel_config cfg = pair_config();
			struct pair *p;

			cfg.flags = defer ? VMB_CHANNEL_DEFER : 0;
			drain_pair = p = pair_new(&cfg, NULL);
			for (uint32_t i = 0; i < 15; i++)
				cr_assert_eq(put(p, 1000), 0);
			pair_before_publish = drain_at_pending;
			cr_assert_eq(whole ? send(p, 1000) : put(p, 1000), defer ? VMB_SIGNAL : 0);
			pair_before_publish = NULL;
			cr_assert_eq(p->side[0].signals, !defer);
			cr_assert_eq(rig_word(p->ring[0], RIG_IN), (15 + whole) * 1024 % 16384);
			pair_free(p);
		}
	}
}

/* ---- polling */

/* A channel that polls asks for nothing: the mask stays, there is no pending size; space is given back all the same. */
Test(full, polled)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet in;
	struct pair *p;

	cfg.flags = VMB_CHANNEL_POLLED;
	p = pair_new(&cfg, &cfg);
	for (unsigned round = 0; round < 3; round++) {
		cr_assert_eq(rig_word(p->ring[0], RIG_MASK), 1);
		for (uint32_t i = 0; i < 15; i++)
			cr_assert_eq(send(p, 1000), 0);
		cr_assert_eq(send(p, 1000), VMB_EFULL);
		cr_assert_eq(pending(p), 0);
		cr_assert_eq(send(p, 1000), VMB_EFULL, "no room is no room");
		cr_assert_eq(send(p, 8), 0, "but nobody waits, so small ones go");
		for (uint32_t i = 0; i < 16; i++)
			cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		cr_assert_eq(pair_recv(p, 1, &in), 0);
		cr_assert_eq(rig_word(p->ring[0], RIG_OUT), rig_word(p->ring[0], RIG_IN));
	}
	cr_assert_eq(rig_word(p->ring[0], RIG_MASK), 1);
	cr_assert(p->side[0].signals == 0 && p->side[1].signals == 0);
	cr_assert_eq(pair_info(p, 0).masked, 3);
	pair_free(p);
}

/* ---- giving space back, and sleeping */

/* Lazily: a quarter of the ring at once, or at 0, and then always. R9 */
Test(full, R09_nothing_is_held_back_when_the_ring_is_found_empty)
{
	struct vmb_packet in;
	struct pair *p = pair_new(NULL, NULL);

	for (uint32_t i = 0; i < 10; i++)
		cr_assert_eq(send(p, 1000), 0);
	for (uint32_t i = 1; i <= 10; i++) {
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		cr_assert_eq(rig_word(p->ring[0], RIG_OUT), i / 4 * 4096, "packet %u", i);
		cr_assert_eq(rig_word(p->ring[0], RIG_MASK), 1, "while there is more, no signals");
	}
	cr_assert_eq(pair_recv(p, 1, &in), 0);
	cr_assert_eq(rig_word(p->ring[0], RIG_OUT), 10240);
	cr_assert_eq(rig_word(p->ring[0], RIG_MASK), 0);
	pair_free(p);
}

static void refill_at_mask(const void *word)
{
	uint32_t at;

	if (!rig_is_control(drain_pair->ring[0], word, &at) || at != RIG_MASK)
		return;
	pair_before_publish = NULL;
	cr_assert_eq(send(drain_pair, 8), 0);
}

/* A packet comes after the ring was found empty and before the mask is off: no signal is sent, so 0 would be wrong. R1, R2 */
Test(full, R02_a_packet_comes_before_the_mask_is_off)
{
	struct vmb_packet in;
	struct vmb_view v;
	struct pair *p;

	for (unsigned way = 0; way < 3; way++) {
		struct vmb_record rec;
		uint64_t buf[8];

		drain_pair = p = pair_new(NULL, NULL);
		cr_assert_eq(send(p, 8), 0);
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		pair_before_publish = refill_at_mask;
		if (way == 0)
			cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		else if (way == 1)
			cr_assert_eq(vmb_channel_next(p->side[1].ch, &in, &v), VMB_YES);
		else
			cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, (uint8_t *)buf, sizeof buf, &rec, 1), 1);
		cr_assert_eq(pair_info(p, 0).sent, 2);
		cr_assert_eq(p->side[0].signals, 1, "the first only");
		cr_assert_eq(pair_recv(p, 1, &in), 0);
		pair_free(p);
	}
}

/* One signal may mean packets, room, or both: a side that waits for both tries both. R11 */
Test(full, R11_one_signal_for_packets_and_room)
{
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet out = pair_packet("x", 1), in;

	while (send(p, 1000) == 0)
		;
	cr_assert_eq(pair_recv(p, 0, &in), 0, "side 0 waits for both");
	for (uint32_t i = 0; i < 15; i++)
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(vmb_channel_put(p->side[1].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), 0);
	cr_assert_eq(p->side[1].signals, 1, "for room");
	cr_assert_eq(send(p, 1000), 0);
	cr_assert_eq(vmb_channel_flush(p->side[1].ch), 0);
	cr_assert_eq(p->side[1].signals, 2, "for a packet: room did not use it up");
	cr_assert_eq(pair_recv(p, 0, &in), VMB_YES);
	pair_free(p);
}

/* In place nothing is given back before it is said so, or the ring is found empty. */
Test(full, in_place_gives_nothing_back_by_itself)
{
	struct vmb_packet in;
	struct vmb_view v;
	struct pair *p = pair_new(NULL, NULL);

	for (uint32_t i = 0; i < 15; i++)
		cr_assert_eq(send(p, 1000), 0);
	for (uint32_t i = 0; i < 15; i++) {
		cr_assert_eq(vmb_channel_next(p->side[1].ch, &in, &v), VMB_YES);
		cr_assert_eq(rig_word(p->ring[0], RIG_OUT), 0);
	}
	cr_assert_eq(vmb_channel_next(p->side[1].ch, &in, &v), 0);
	cr_assert_eq(rig_word(p->ring[0], RIG_OUT), 15 * 1024);
	pair_free(p);
}

/* A waiting sender that moves to another object goes on waiting: same size, same signal. */
Test(full, the_promise_moves_along)
{
	struct vmb_channel_config cfg = pair_config();
	struct pair *p = pair_new(NULL, NULL);

	while (send(p, 1000) == 0)
		;
	cr_assert_eq(vmb_channel_end(p->side[0].ch, &cfg.tx_at, &cfg.rx_at), 0);
	cr_assert_eq(cfg.tx_at.armed, 4096);
	cr_assert_eq(pair_open(p, 0, &cfg), 0);
	take(p, 3);
	cr_assert_eq(send(p, 8), VMB_EFULL);
	cr_assert_eq(p->side[1].signals, 0);
	take(p, 1);
	cr_assert_eq(p->side[1].signals, 1);
	cr_assert_eq(send(p, 1000), 0);
	pair_free(p);
}

/* ---- everybody sleeps until signalled: nobody sleeps for ever */

enum { SENDERS = 3, PACKETS = 4000 };

struct sleeper {
	int awake[SENDERS]; /* each sender of this side by itself: it had VMB_EFULL */
	int reading;
	uint32_t sent, got;
};

static struct sleeper sleepers[2];

static void sleeper_signal(void *ctx)
{
	struct sleeper *peer = &sleepers[ctx == &sleepers[0]];

	for (unsigned i = 0; i < SENDERS; i++)
		peer->awake[i] = 1;
	peer->reading = 1;
}

static void sleeper_send(struct pair *p, unsigned side, unsigned sender, uint64_t *random)
{
	static const uint32_t least[SENDERS] = { 0, 100, 3000 }, most[SENDERS] = { 60, 900, 4000 };
	struct sleeper *s = &sleepers[side];
	uint32_t len = least[sender] + rig_random(random) % (most[sender] - least[sender]);
	struct vmb_packet out = pair_packet(zeros, len);
	int r;

	if (!s->awake[sender] || s->sent == PACKETS)
		return;
	r = rig_random(random) % 2 ? vmb_channel_send(p->side[side].ch, &out) : vmb_channel_put(p->side[side].ch, &out);
	cr_assert(r >= 0 || r == VMB_EFULL, "%d", r);
	if (r & VMB_SIGNAL && r > 0)
		cr_assert_eq(vmb_channel_signal(p->side[side].ch), 0);
	if (r >= 0)
		s->sent++;
	else
		s->awake[sender] = 0;
	if (rig_random(random) % 4 == 0 || s->sent == PACKETS) {
		r = vmb_channel_flush(p->side[side].ch);
		cr_assert_geq(r, 0);
		if (r)
			cr_assert_eq(vmb_channel_signal(p->side[side].ch), 0);
	}
}

static void sleeper_read(struct pair *p, unsigned side, uint64_t *random)
{
	struct sleeper *s = &sleepers[side];
	struct vmb_packet in;
	struct vmb_view v;
	static uint64_t buf[1024];
	struct vmb_record recs[8];
	int r;

	if (!s->reading)
		return;
	switch (rig_random(random) % 4) {
	case 0: r = vmb_channel_next(p->side[side].ch, &in, &v); break;
	case 1: r = vmb_channel_recv_batch(p->side[side].ch, (uint8_t *)buf, sizeof buf, recs, 8); break;
	default: r = pair_recv(p, side, &in); break;
	}
	cr_assert_geq(r, 0);
	s->got += (uint32_t)r;
	s->reading = r > 0;
}

static void sleepers_run(uint32_t kind, uint32_t flags, uint64_t seed)
{
	struct pair *p = pair_rings(kind, 2, 3);
	struct vmb_channel_config cfg = pair_config();
	unsigned idle = 0;
	uint64_t random = seed;

	memset(sleepers, 0, sizeof sleepers);
	cfg.flags = flags;
	cfg.signal = sleeper_signal;
	for (unsigned i = 0; i < 2; i++) {
		cfg.ctx = &sleepers[i];
		cfg.least_free = i ? 1 : 0;
		cr_assert_eq(pair_open(p, i, &cfg), 0);
		sleeper_signal(&sleepers[i]); /* after making it, look once */
	}
	while (sleepers[0].got < PACKETS || sleepers[1].got < PACKETS) {
		uint32_t before = sleepers[0].got + sleepers[1].got;
		unsigned side = rig_random(&random) % 2;

		if (rig_random(&random) % 3)
			sleeper_send(p, side, rig_random(&random) % SENDERS, &random);
		else
			sleeper_read(p, side, &random);
		idle = sleepers[0].got + sleepers[1].got == before ? idle + 1 : 0;
		cr_assert_lt(idle, 2000, "everybody sleeps: %u and %u packets came", sleepers[0].got, sleepers[1].got);
	}
	cr_assert_eq(sleepers[0].got, PACKETS);
	for (unsigned i = 0; i < 2; i++) {
		struct vmb_channel_info info = pair_info(p, i);

		cr_assert_gt(info.full, 50, "%llu", (unsigned long long)info.full);
		cr_assert_gt(info.signals_room, 20);
		cr_assert_lt(info.signals_data + info.signals_room, PACKETS, "far fewer signals than packets");
	}
	pair_free(p);
}

Test(full, nobody_sleeps_for_ever) { sleepers_run(RIG_ONCE, 0, 1); }
Test(full, nobody_sleeps_for_ever_deferring) { sleepers_run(RIG_TWICE, VMB_CHANNEL_DEFER, 2); }
Test(full, nobody_sleeps_for_ever_on_pipes) { sleepers_run(RIG_LIST, VMB_CHANNEL_PIPE, 3); }
