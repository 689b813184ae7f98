/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Requests in flight: ids, completions that match and that do not, cancelling, and that each request is told exactly once.
 * ring.md 7 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "pair.h"

/* Side 0 has a table of this size, side 1 echoes by hand. */
static struct pair *with_table(uint32_t requests)
{
	struct vmb_channel_config cfg = pair_config();

	cfg.requests = requests;
	return pair_new(&cfg, NULL);
}

static int ask(struct pair *p, uint64_t user, uint64_t *id)
{
	struct vmb_packet out = pair_packet("question", 8);
	int r;

	out.flags = VMB_PKT_WANTS_REPLY;
	out.user = user;
	r = vmb_channel_send(p->side[0].ch, &out);
	*id = out.id;
	return r;
}

static void answer(struct pair *p, uint64_t id)
{
	struct vmb_packet out = pair_answer(id, "answer", 6);

	cr_assert_eq(vmb_channel_send(p->side[1].ch, &out), 0);
}

/* The next completion that side 0 is told of, its user; 0: none. */
static uint64_t told(struct pair *p, uint32_t *flags)
{
	struct vmb_packet in;
	int r = pair_recv(p, 0, &in);

	cr_assert(r == VMB_YES || r == 0, "%d", r);
	if (!r)
		return 0;
	cr_assert(in.kind == VMB_PKT_COMPLETION && in.len == 8 && !memcmp(in.payload, "answer\0", 8));
	if (flags)
		*flags = in.flags;
	return in.user;
}

static uint32_t in_flight(struct pair *p)
{
	return pair_info(p, 0).requests;
}

Test(request, in_any_order)
{
	struct pair *p = with_table(8);
	uint64_t id[8];
	struct vmb_packet in;

	for (uint32_t i = 0; i < 8; i++) {
		cr_assert_eq(ask(p, 100 + i, &id[i]), 0);
		cr_assert_neq(id[i], 0);
		for (uint32_t k = 0; k < i; k++)
			cr_assert_neq(id[i], id[k]);
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		cr_assert(in.id == id[i] && in.flags == VMB_PKT_WANTS_REPLY && in.user == 0, "user is not on the wire");
	}
	cr_assert_eq(in_flight(p), 8);
	for (uint32_t i = 0; i < 8; i++) {
		uint32_t flags = 1;

		answer(p, id[i * 5 % 8]);
		cr_assert_eq(told(p, &flags), 100 + i * 5 % 8);
		cr_assert_eq(flags, 0);
		cr_assert_eq(told(p, NULL), 0);
		cr_assert_eq(in_flight(p), 7 - i);
	}
	cr_assert_eq(pair_info(p, 0).unmatched, 0);
	pair_free(p);
}

/* Full: refused, nothing is queued, and the id stays for the library to choose. One completion makes room for one. */
Test(request, a_full_table)
{
	static const uint32_t sizes[] = { 1, 2, 3, 7, 64, 100 };

	for (unsigned s = 0; s < 6; s++) {
		struct pair *p = with_table(sizes[s]);
		uint64_t id, first;

		cr_assert_eq(ask(p, 1, &first), 0);
		for (uint32_t i = 1; i < sizes[s]; i++)
			cr_assert_eq(ask(p, 1 + i, &id), 0);
		for (uint32_t n = 0; n < 200; n++) {
			uint64_t sent = pair_info(p, 0).sent;
			struct vmb_packet in;

			cr_assert_eq(ask(p, 9, &id), VMB_ENOSLOT);
			cr_assert_eq(id, 0);
			cr_assert_eq(pair_info(p, 0).sent, sent);
			cr_assert_eq(in_flight(p), sizes[s]);
			while (pair_recv(p, 1, &in) == VMB_YES)
				;
			answer(p, first);
			cr_assert_neq(told(p, NULL), 0);
			cr_assert_eq(told(p, NULL), 0);
			cr_assert_eq(ask(p, 1000 + n, &first), 0);
		}
		pair_free(p);
	}
}

/* Where there is a table, packets that ask for no reply, and requests with an id of the caller's, take no slot. */
Test(request, only_requests_without_an_id_take_slots)
{
	struct pair *p = with_table(1);
	struct vmb_packet out = pair_packet("x", 1);

	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	out.flags = VMB_PKT_WANTS_REPLY;
	out.id = 0x7777777777;
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(in_flight(p), 0);
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, out.id, NULL), VMB_ENOENT);
	answer(p, out.id);
	cr_assert_eq(told(p, NULL), 0, "nobody expects it");
	cr_assert_eq(pair_info(p, 0).unmatched, 1);
	pair_free(p);
}

/* Without a table every completion comes through, whatever its id. */
Test(request, no_table)
{
	static const uint64_t ids[] = { 0, 1, UINT64_MAX, 0xfffd };
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet in;

	for (unsigned i = 0; i < 4; i++) {
		answer(p, ids[i]);
		cr_assert_eq(pair_recv(p, 0, &in), VMB_YES);
		cr_assert(in.kind == VMB_PKT_COMPLETION && in.id == ids[i] && in.user == 0);
	}
	cr_assert_eq(pair_info(p, 0).unmatched, 0);
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, 1, NULL), VMB_ENOENT);
	cr_assert_eq(vmb_channel_adopt(p->side[0].ch, 1, 1), VMB_EINVAL);
	pair_free(p);
}

/* Ids that are not in flight find nothing: never given, of no table, given and completed, given to somebody else. */
Test(request, foreign_completions_find_nothing)
{
	static const uint64_t foreign[] = { 0, 5, 6, 0x10000, 0xffff, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 46,
					    (uint64_t)1 << 63, 0x100000000, (uint64_t)0x7fffffff << 16 };
	struct pair *p = with_table(4);
	uint64_t id[4], unmatched = 0;

	for (uint32_t i = 0; i < 4; i++)
		cr_assert_eq(ask(p, 50 + i, &id[i]), 0);
	for (unsigned i = 0; i < sizeof foreign / sizeof *foreign; i++) {
		answer(p, foreign[i]);
		cr_assert_eq(told(p, NULL), 0, "id %llx", (unsigned long long)foreign[i]);
		cr_assert_eq(pair_info(p, 0).unmatched, ++unmatched);
		cr_assert_eq(in_flight(p), 4);
	}
	for (uint32_t i = 0; i < 4; i++) {
		for (uint32_t bit = 0; bit < 64; bit++) { /* every id that differs in one bit, but for those in flight */
			uint64_t forged = id[i] ^ (uint64_t)1 << bit;

			if (forged == id[0] || forged == id[1] || forged == id[2] || forged == id[3])
				continue;
			answer(p, forged);
			cr_assert_eq(told(p, NULL), 0, "bit %u", bit);
			unmatched++;
		}
	}
	cr_assert_eq(pair_info(p, 0).unmatched, unmatched);
	for (uint32_t i = 0; i < 4; i++) {
		answer(p, id[i]);
		answer(p, id[i]); /* repeated */
		cr_assert_eq(told(p, NULL), 50 + i);
		cr_assert_eq(told(p, NULL), 0);
	}
	cr_assert_eq(pair_info(p, 0).unmatched, unmatched + 4);
	cr_assert_eq(pair_info(p, 0).error, 0, "all this is no violation");
	pair_free(p);
}

/* A repeated completion does not end the request that has the slot now. */
Test(request, generations)
{
	struct pair *p = with_table(1);
	uint64_t old, id;

	cr_assert_eq(ask(p, 1, &old), 0);
	answer(p, old);
	cr_assert_eq(told(p, NULL), 1);
	cr_assert_eq(ask(p, 2, &id), 0);
	cr_assert_neq(id, old);
	answer(p, old);
	cr_assert_eq(told(p, NULL), 0);
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, old, NULL), VMB_ENOENT);
	answer(p, id);
	cr_assert_eq(told(p, NULL), 2);
	pair_free(p);
}

/* The last generation of a slot is followed by the first. */
Test(request, generations_wrap)
{
	uint64_t last = ((uint64_t)0x3fffffff << 16 | 0) + 1, id, first;
	struct pair *p = with_table(1);

	cr_assert_eq(vmb_channel_adopt(p->side[0].ch, last, 7), 0);
	answer(p, last);
	cr_assert_eq(told(p, NULL), 7);
	cr_assert_eq(ask(p, 8, &first), 0);
	cr_assert_eq(first, 1);
	answer(p, last);
	cr_assert_eq(told(p, NULL), 0);
	answer(p, first);
	cr_assert_eq(told(p, NULL), 8);
	cr_assert_eq(ask(p, 9, &id), 0);
	cr_assert_eq(id, 0x10001);
	answer(p, first);
	cr_assert_eq(told(p, NULL), 0);
	pair_free(p);
}

/* Cancelling tells the user once, and keeps the slot until the completion has come, which is told once as late. */
Test(request, cancel)
{
	struct pair *p = with_table(2);
	uint64_t id[2], none, user = 0;
	uint32_t flags = 0;

	cr_assert_eq(ask(p, 10, &id[0]), 0);
	cr_assert_eq(ask(p, 11, &id[1]), 0);
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, id[0], &user), 0);
	cr_assert_eq(user, 10);
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, id[0], &user), VMB_ENOENT, "once");
	cr_assert_eq(pair_info(p, 0).requests, 2);
	cr_assert_eq(pair_info(p, 0).zombies, 1);
	cr_assert_eq(ask(p, 12, &none), VMB_ENOSLOT, "its pages are lent out still");
	answer(p, id[0]);
	cr_assert_eq(told(p, &flags), 10);
	cr_assert_eq(flags, VMB_PKT_LATE);
	cr_assert_eq(pair_info(p, 0).requests, 1);
	cr_assert_eq(pair_info(p, 0).zombies, 0);
	answer(p, id[0]);
	cr_assert_eq(told(p, NULL), 0);
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, id[0], NULL), VMB_ENOENT, "it is over");
	cr_assert_eq(ask(p, 12, &none), 0);
	answer(p, id[1]);
	cr_assert_eq(told(p, &flags), 11);
	cr_assert_eq(flags, 0);
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, id[1], NULL), VMB_ENOENT, "completed");
	pair_free(p);
}

/* A request that is queued and not flushed yet can be cancelled as well; one that never got into the ring has no id. */
Test(request, cancel_before_the_flush)
{
	struct pair *p = with_table(2);
	struct vmb_packet out = pair_packet("question", 8), in;
	uint32_t flags = 0;
	uint64_t user = 0;

	out.flags = VMB_PKT_WANTS_REPLY;
	out.user = 3;
	cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, out.id, &user), 0);
	cr_assert_eq(user, 3);
	cr_assert_eq(vmb_channel_flush(p->side[0].ch), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	answer(p, in.id);
	cr_assert_eq(told(p, &flags), 3);
	cr_assert_eq(flags, VMB_PKT_LATE);
	pair_free(p);
}

/* A request that does not fit leaves no trace: no slot, no id, and nothing to forge a completion for. */
Test(request, a_full_ring_takes_no_slot)
{
	struct pair *p = with_table(2);
	uint64_t id, guess;
	struct vmb_packet in;

	(void)pair_fill(p, 0, 0);
	cr_assert_eq(ask(p, 1, &id), VMB_EFULL);
	cr_assert_eq(id, 0);
	cr_assert_eq(in_flight(p), 0);
	for (guess = 1; guess < 3; guess++)
		for (uint64_t generation = 0; generation < 3; generation++)
			answer(p, (generation << 16) + guess);
	cr_assert_eq(told(p, NULL), 0);
	cr_assert_eq(pair_info(p, 0).unmatched, 6);
	while (pair_recv(p, 1, &in) == VMB_YES)
		;
	cr_assert_eq(ask(p, 1, &id), 0);
	cr_assert_eq(in_flight(p), 1);
	pair_free(p);
}

/* In place, and in parts: the same table. */
Test(request, every_way_of_sending_and_receiving)
{
	struct pair *p = with_table(4);
	struct vmb_packet out = pair_packet(NULL, 8), in;
	struct vmb_span part = { "question", 8 };
	struct vmb_view v;

	out.flags = VMB_PKT_WANTS_REPLY;
	out.user = 21;
	cr_assert_eq(vmb_channel_putv(p->side[0].ch, &out, &part, 1), 0);
	answer(p, out.id);
	out.id = 0;
	out.user = 22;
	cr_assert_eq(vmb_channel_reserve(p->side[0].ch, &out, &v), 0);
	answer(p, out.id);
	answer(p, out.id);
	cr_assert_eq(vmb_channel_next(p->side[0].ch, &in, &v), VMB_YES);
	cr_assert_eq(in.user, 21);
	cr_assert_eq(vmb_channel_next(p->side[0].ch, &in, &v), VMB_YES);
	cr_assert_eq(in.user, 22);
	cr_assert_eq(vmb_channel_next(p->side[0].ch, &in, &v), 0);
	cr_assert_eq(pair_info(p, 0).unmatched, 1);
	cr_assert_eq(in_flight(p), 0);
	pair_free(p);
}

/* Too small a buffer does not complete the request, receiving it does; who is meant is told at once. */
Test(request, too_small_a_buffer)
{
	struct pair *p = with_table(2);
	struct vmb_packet in;
	uint64_t id, buf[1];

	cr_assert_eq(ask(p, 31, &id), 0);
	answer(p, 12345);
	answer(p, id);
	cr_assert_eq(vmb_channel_recv(p->side[0].ch, buf, 4, &in), VMB_ETOOSMALL);
	cr_assert(in.user == 31 && in.flags == 0 && in.len == 8);
	cr_assert_eq(pair_info(p, 0).unmatched, 1, "the first was for nobody");
	cr_assert_eq(in_flight(p), 1);
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, id, NULL), 0);
	cr_assert_eq(vmb_channel_recv(p->side[0].ch, buf, 4, &in), VMB_ETOOSMALL);
	cr_assert(in.user == 31 && in.flags == VMB_PKT_LATE);
	cr_assert_eq(vmb_channel_recv(p->side[0].ch, buf, 8, &in), VMB_YES);
	cr_assert(in.user == 31 && in.flags == VMB_PKT_LATE);
	cr_assert_eq(in_flight(p), 0);
	pair_free(p);
}

/* A completion that is skipped has come. */
Test(request, skip_completes)
{
	struct pair *p = with_table(1);
	struct vmb_packet in;
	uint64_t id, next;

	cr_assert_eq(ask(p, 41, &id), 0);
	answer(p, id);
	cr_assert_eq(vmb_channel_recv(p->side[0].ch, NULL, 0, &in), VMB_ETOOSMALL);
	cr_assert_eq(in.user, 41);
	cr_assert_eq(ask(p, 42, &next), VMB_ENOSLOT);
	cr_assert_eq(vmb_channel_skip(p->side[0].ch), 0);
	cr_assert_eq(in_flight(p), 0);
	cr_assert_eq(ask(p, 42, &next), 0);
	answer(p, id);
	cr_assert_eq(told(p, NULL), 0);
	answer(p, next);
	cr_assert_eq(told(p, NULL), 42);
	pair_free(p);
}

/* A peer that sends nothing but completions for nobody does not hold a call for ever. ring.md 9.1 rule 11 */
Test(request, passed_over_in_portions)
{
	struct pair *p = with_table(1);
	struct vmb_record rec;
	struct vmb_packet in;
	struct vmb_view v;
	uint64_t id, buf[8];
	unsigned calls = 0;
	int r;

	cr_assert_eq(ask(p, 51, &id), 0);
	for (uint32_t i = 0; i < 400; i++)
		answer(p, 0xabc0000 + i);
	answer(p, id);
	while ((r = pair_recv(p, 0, &in)) == VMB_EAGAIN) {
		cr_assert_lt(++calls, 20);
		r = vmb_channel_next(p->side[0].ch, &in, &v);
		if (r == VMB_EAGAIN)
			r = vmb_channel_recv_batch(p->side[0].ch, (uint8_t *)buf, sizeof buf, &rec, 1);
		cr_assert(r == VMB_EAGAIN || r == VMB_YES);
		in.user = r == VMB_YES ? rec.user : 0;
		if (r == VMB_YES)
			break;
	}
	cr_assert_eq(r, VMB_YES);
	cr_assert_eq(in.user, 51);
	cr_assert_geq(calls, 2);
	cr_assert_eq(pair_recv(p, 0, &in), 0);
	cr_assert_eq(pair_info(p, 0).unmatched, 400);
	cr_assert_eq(rig_word(p->ring[1], RIG_OUT), rig_word(p->ring[1], RIG_IN));
	pair_free(p);
}

/* At the end: each one that is in flight, cancelled or not, exactly once, before and after vmb_channel_end. */
Test(request, outstanding)
{
	struct pair *p = with_table(100);
	uint64_t id[100], seen[100] = { 0 }, got, user;
	uint32_t cursor, flags, n = 0;

	for (uint32_t i = 0; i < 100; i++) {
		struct vmb_packet in;

		cr_assert_eq(ask(p, i + 1, &id[i]), 0);
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		if (i % 3 == 1)
			cr_assert_eq(vmb_channel_cancel(p->side[0].ch, id[i], NULL), 0);
	}
	for (uint32_t i = 0; i < 100; i += 3)
		answer(p, id[i]);
	for (uint32_t i = 0; i < 34; i++)
		cr_assert_neq(told(p, NULL), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (cursor = 0; vmb_channel_outstanding(p->side[0].ch, &cursor, &got, &user, &flags) == VMB_YES; n++) {
			cr_assert(user >= 1 && user <= 100 && got == id[user - 1] && (user - 1) % 3 != 0);
			cr_assert_eq(flags, (user - 1) % 3 == 1 ? VMB_PKT_LATE : 0);
			cr_assert_eq(seen[user - 1]++, round);
		}
		cr_assert_eq(vmb_channel_outstanding(p->side[0].ch, &cursor, &got, NULL, NULL), 0, "and stays at the end");
		if (!round)
			cr_assert_eq(vmb_channel_end(p->side[0].ch, NULL, NULL), 0);
	}
	cr_assert_eq(n, 132);
	cr_assert_eq(pair_info(p, 0).requests, 66);
	cr_assert_eq(pair_info(p, 0).zombies, 33);
	pair_free(p);
}

/* A table moves to another object: what was in flight there is known here, and new ids are new. */
Test(request, adopt)
{
	struct pair *p = with_table(6);
	struct vmb_channel_config cfg = pair_config();
	uint64_t id[40], saved[6], users[6], user, got;
	uint32_t cursor = 0, flags[6], n = 0;
	struct vmb_packet in;

	for (uint32_t i = 0; i < 40; i++) {
		cr_assert_eq(ask(p, 1000 + i, &id[i]), 0);
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		if (i < 36) {
			answer(p, id[i]);
			cr_assert_eq(told(p, NULL), 1000 + i);
		}
	}
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, id[38], NULL), 0);
	cfg.requests = 6;
	cr_assert_eq(vmb_channel_end(p->side[0].ch, &cfg.tx_at, &cfg.rx_at), 0);
	while (vmb_channel_outstanding(p->side[0].ch, &cursor, &saved[n], &users[n], &flags[n]) == VMB_YES)
		n++;
	cr_assert_eq(n, 4);
	cr_assert_eq(pair_open(p, 0, &cfg), 0);
	for (uint32_t i = 0; i < n; i++) {
		cr_assert_eq(vmb_channel_adopt(p->side[0].ch, saved[i], users[i]), 0);
		cr_assert_eq(vmb_channel_adopt(p->side[0].ch, saved[i], users[i]), VMB_EINVAL, "taken");
		if (flags[i] & VMB_PKT_LATE)
			cr_assert_eq(vmb_channel_cancel(p->side[0].ch, saved[i], &user), 0);
	}
	cr_assert_eq(in_flight(p), 4);
	for (uint32_t i = 0; i < 2; i++) {
		cr_assert_eq(ask(p, 1, &got), 0);
		for (uint32_t k = 36; k < 40; k++)
			cr_assert_neq(got, id[k]);
		answer(p, got);
		cr_assert_eq(told(p, NULL), 1);
	}
	for (uint32_t i = 36; i < 40; i++) {
		uint32_t late = 0;

		answer(p, id[i]);
		answer(p, id[i]);
		cr_assert_eq(told(p, &late), 1000 + i);
		cr_assert_eq(late, i == 38 ? VMB_PKT_LATE : 0);
		cr_assert_eq(told(p, NULL), 0);
	}
	for (uint32_t i = 0; i < 6; i++) /* all slots are there, none twice */
		cr_assert_eq(ask(p, 1, &got), 0);
	cr_assert_eq(ask(p, 1, &got), VMB_ENOSLOT);
	pair_free(p);
}

/* In a table that has been in use, whose free slots are in no order any more. */
Test(request, adopt_into_a_used_table)
{
	struct pair *p = with_table(5);
	uint64_t id[5], all[5], random = 4;
	struct vmb_packet in;

	for (unsigned round = 0; round < 200; round++) {
		uint32_t slot = rig_random(&random) % 5, n;

		for (n = 0; n < 5; n++)
			cr_assert_eq(ask(p, n + 1, &id[n]), 0);
		for (uint32_t i = 0, from = rig_random(&random); i < 5; i++) {
			answer(p, id[(i * 2 + from) % 5]);
			cr_assert_neq(told(p, NULL), 0);
		}
		all[0] = ((uint64_t)(round * 1000 + 500) << 16 | slot) + 1;
		cr_assert_eq(vmb_channel_adopt(p->side[0].ch, all[0], 9), 0);
		for (n = 1; n < 5; n++)
			cr_assert_eq(ask(p, n, &all[n]), 0);
		cr_assert_eq(ask(p, 1, &id[0]), VMB_ENOSLOT);
		for (uint32_t i = 0; i < 5; i++)
			for (uint32_t k = 0; k < i; k++)
				cr_assert_neq(all[i] & 0xffff, all[k] & 0xffff, "one slot twice");
		for (uint32_t i = 0; i < 5; i++) {
			answer(p, all[i]);
			cr_assert_eq(told(p, NULL), i ? i : 9);
		}
		while (pair_recv(p, 1, &in) == VMB_YES)
			;
	}
	pair_free(p);
}

Test(request, ids_that_cannot_be_adopted)
{
	static const uint64_t bad[] = { 0, 5, 0x10005, 0x10000, (uint64_t)1 << 46 | 1, UINT64_MAX };
	struct pair *p = with_table(4);
	uint64_t id;

	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_assert_eq(vmb_channel_adopt(p->side[0].ch, bad[i], 1), VMB_EINVAL, "%llx", (unsigned long long)bad[i]);
	cr_assert_eq(ask(p, 1, &id), 0);
	cr_assert_eq(vmb_channel_adopt(p->side[0].ch, id, 1), VMB_EINVAL);
	cr_assert_eq(vmb_channel_adopt(p->side[0].ch, id + 0x10000, 1), VMB_EINVAL, "the slot is taken");
	cr_assert_eq(in_flight(p), 1);
	pair_free(p);
}

/* The largest table, adopted in the worst order, in reasonable time. */
Test(request, the_largest_table)
{
	struct pair *p = with_table(65535);
	uint64_t id;

	for (uint32_t slot = 65535; slot--;)
		cr_assert_eq(vmb_channel_adopt(p->side[0].ch, ((uint64_t)77 << 16 | slot) + 1, slot + 1), 0);
	cr_assert_eq(ask(p, 1, &id), VMB_ENOSLOT);
	for (uint32_t slot = 0; slot < 65535; slot += 1000) {
		answer(p, ((uint64_t)77 << 16 | slot) + 1);
		cr_assert_eq(told(p, NULL), slot + 1);
		cr_assert_eq(ask(p, 1, &id), 0);
		cr_assert_eq(id, ((uint64_t)78 << 16 | slot) + 1);
	}
	pair_free(p);
}

/* ---- against a model */

enum { MODEL_MAX = 23, MODEL_OLD = 64 };

static struct model {
	struct { uint64_t id, user; int cancelled; } live[MODEL_MAX];
	uint32_t n, size;
	uint64_t old[MODEL_OLD]; /* ids that are over */
	uint32_t olds;
	uint64_t unmatched, users;
} model;

static void model_over(uint64_t id)
{
	model.old[model.olds++ % MODEL_OLD] = id;
}

static int model_is_live(uint64_t id)
{
	for (uint32_t i = 0; i < model.n; i++)
		if (model.live[i].id == id)
			return 1;
	return 0;
}

static void model_ask(struct pair *p)
{
	struct vmb_packet in;
	uint64_t id;
	int r = ask(p, ++model.users, &id);

	cr_assert_eq(r, model.n == model.size ? VMB_ENOSLOT : 0);
	if (r)
		return;
	cr_assert(!model_is_live(id));
	for (uint32_t i = 0; i < MODEL_OLD; i++)
		cr_assert_neq(model.old[i], id);
	model.live[model.n].id = id;
	model.live[model.n].user = model.users;
	model.live[model.n++].cancelled = 0;
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(in.id, id);
}

static void model_cancel(struct pair *p, uint64_t *random)
{
	uint32_t i = rig_random(random) % (model.n + 1);
	uint64_t user = 0, id = i < model.n ? model.live[i].id : model.old[rig_random(random) % MODEL_OLD];
	int r = vmb_channel_cancel(p->side[0].ch, id, &user);

	if (i == model.n || model.live[i].cancelled) {
		cr_assert_eq(r, VMB_ENOENT);
		return;
	}
	cr_assert(r == 0 && user == model.live[i].user);
	model.live[i].cancelled = 1;
}

static void model_answer(struct pair *p, uint64_t *random)
{
	uint32_t i = rig_random(random) % (model.n + 1), flags = 0;

	if (i == model.n) { /* of nobody */
		uint64_t old = model.old[rig_random(random) % MODEL_OLD];
		uint64_t forged = rig_random(random) % 2 ? old : rig_random(random) % 200000;

		if (!model_is_live(forged)) {
			answer(p, forged);
			model.unmatched++;
			cr_assert_eq(told(p, NULL), 0);
		}
		return;
	}
	answer(p, model.live[i].id);
	cr_assert_eq(told(p, &flags), model.live[i].user);
	cr_assert_eq(flags, model.live[i].cancelled ? VMB_PKT_LATE : 0);
	model_over(model.live[i].id);
	model.live[i] = model.live[--model.n];
}

static void model_compare(struct pair *p)
{
	uint32_t cursor = 0, flags, n = 0, cancelled = 0;
	uint64_t id, user;

	for (; vmb_channel_outstanding(p->side[0].ch, &cursor, &id, &user, &flags) == VMB_YES; n++) {
		uint32_t i = 0;

		while (i < model.n && model.live[i].id != id)
			i++;
		cr_assert(i < model.n && model.live[i].user == user && !model.live[i].cancelled == !(flags & VMB_PKT_LATE));
		cancelled += flags != 0;
	}
	cr_assert_eq(n, model.n);
	cr_assert_eq(pair_info(p, 0).requests, n);
	cr_assert_eq(pair_info(p, 0).zombies, cancelled);
	cr_assert_eq(pair_info(p, 0).unmatched, model.unmatched);
}

/* Another object takes over. */
static void model_move(struct pair *p)
{
	struct vmb_channel_config cfg = pair_config();

	cfg.requests = model.size;
	cr_assert_eq(vmb_channel_end(p->side[0].ch, &cfg.tx_at, &cfg.rx_at), 0);
	cr_assert_eq(pair_open(p, 0, &cfg), 0);
	memset(model.old, 0, sizeof model.old); /* ids of the old object's that are over are not known to the new one */
	for (uint32_t i = 0; i < model.n; i++) {
		cr_assert_eq(vmb_channel_adopt(p->side[0].ch, model.live[i].id, model.live[i].user), 0);
		if (model.live[i].cancelled)
			cr_assert_eq(vmb_channel_cancel(p->side[0].ch, model.live[i].id, NULL), 0);
	}
	model.unmatched = 0;
}

Test(request, random_model)
{
	uint64_t random = 2024;
	unsigned ops = 0;

	for (uint32_t size = 1; size <= MODEL_MAX; size += 2) {
		struct pair *p = with_table(size);

		memset(&model, 0, sizeof model);
		model.size = size;
		for (unsigned i = 0; i < 12000; i++, ops++) {
			uint32_t what = rig_random(&random) % 100;

			if (what < 44)
				model_ask(p);
			else if (what < 55)
				model_cancel(p, &random);
			else if (what < 98)
				model_answer(p, &random);
			else if (what == 98)
				model_compare(p);
			else if (i % 16 == 0)
				model_move(p);
		}
		model_compare(p);
		pair_free(p);
	}
	cr_assert_gt(ops, 100000);
}
