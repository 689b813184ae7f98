/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The producer, call by call: reserve, put, gather, commit, discard, arm, filling in place. */
#include <criterion/criterion.h>
#include <string.h>

#include "rig.h"

static uint8_t pattern[8192];

static void fill(void)
{
	for (uint32_t i = 0; i < sizeof pattern; i++)
		pattern[i] = (uint8_t)(i * 7 + i / 251 + 1);
}

TestSuite(ring_producer, .init = fill);

/* ---- arguments */

Test(ring_producer, what_may_be_sent)
{
	static const uint64_t words[3] = { VMB_RANGE(8, 0), 1, VMB_RANGE(8, 0) };
	static const struct { uint16_t kind, flags; uint32_t count, ranges; int result; } rows[] = {
		{ VMB_PKT_INBAND, 0, 0, 0, 0 },
		{ VMB_PKT_INBAND, 1, 0, 0, 0 },
		{ VMB_PKT_INBAND, 2, 0, 0, VMB_EINVAL },
		{ VMB_PKT_INBAND, 0x8000, 0, 0, VMB_EINVAL },
		{ VMB_PKT_INBAND, 0, 2, 1, VMB_EINVAL },
		{ VMB_PKT_INBAND, 0, 0, 1, VMB_EINVAL },
		{ VMB_PKT_COMPLETION, 0, 0, 0, 0 },
		{ VMB_PKT_COMPLETION, 1, 0, 0, VMB_EINVAL },
		{ VMB_PKT_COMPLETION, 0, 1, 0, VMB_EINVAL },
		{ VMB_PKT_GPA, 1, 2, 1, 0 },
		{ VMB_PKT_GPA, 0, 2, 1, 0 },
		{ VMB_PKT_GPA, 1, 0, 0, VMB_EINVAL },
		{ VMB_PKT_GPA, 1, 3, 1, VMB_EINVAL },
		{ VMB_PKT_GPA, 1, 3, 2, VMB_EINVAL },
		{ VMB_PKT_GPA, 2, 2, 1, VMB_EINVAL },
		{ VMB_PKT_XFER, 1, 1, 1, 0 },
		{ VMB_PKT_XFER, 1, 1, 2, VMB_EINVAL },
		{ VMB_PKT_XFER, 1, 0, 0, VMB_EINVAL },
		{ 0, 0, 0, 0, VMB_EINVAL }, { 5, 0, 0, 0, VMB_EINVAL }, { 8, 0, 0, 0, VMB_EINVAL }, { 10, 0, 0, 0, VMB_EINVAL },
		{ 0x106, 0, 0, 0, VMB_EINVAL }, { 0xffff, 0, 0, 0, VMB_EINVAL },
	};
	struct rig *r = rig_new(RIG_TWICE, 1);

	for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct vmb_packet p = rig_packet(pattern, 8);
		struct vmb_span part = { pattern, 8 };
		struct vmb_view view;

		p.kind = rows[i].kind;
		p.flags = rows[i].flags;
		p.list = (struct vmb_list){ rows[i].count ? words : NULL, rows[i].count, rows[i].ranges };
		rig_both_at(r, 0x100);
		cr_assert_eq(vmb_tx_put(r->tx, &p), rows[i].result, "row %u", i);
		cr_assert_eq(vmb_tx_putv(r->tx, &p, &part, 1), rows[i].result, "row %u", i);
		cr_assert_eq(vmb_tx_reserve(r->tx, &p, &view), rows[i].result, "row %u", i);
		cr_assert_eq(vmb_tx_discard(r->tx), 0);
		cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), rows[i].result ? rows[i].result : VMB_YES, "row %u", i);
		cr_assert_eq(vmb_tx_commit(r->tx), 0, "nothing is left of it");
		cr_assert_eq(rig_word(r, RIG_IN), 0x100);
	}
	rig_free(r);
}

Test(ring_producer, gathered_parts_must_sum_up)
{
	struct vmb_packet p = rig_packet(NULL, 20);
	struct vmb_span parts[3] = { { pattern, 8 }, { pattern + 8, 8 }, { pattern + 16, 4 } };
	struct rig *r = rig_new(RIG_LIST, 1);

	rig_both_at(r, 0);
	cr_assert_eq(vmb_tx_putv(r->tx, &p, parts, 2), VMB_EINVAL);
	cr_assert_eq(vmb_tx_putv(r->tx, &p, NULL, 0), VMB_EINVAL);
	parts[2].len = 5;
	cr_assert_eq(vmb_tx_putv(r->tx, &p, parts, 3), VMB_EINVAL);
	parts[2].len = SIZE_MAX - 11; /* the sum overflows to 4 more */
	cr_assert_eq(vmb_tx_putv(r->tx, &p, parts, 3), VMB_EINVAL);
	parts[1].len = SIZE_MAX;
	parts[2].len = 13;
	cr_assert_eq(vmb_tx_putv(r->tx, &p, parts, 3), VMB_EINVAL);
	cr_assert_eq(vmb_tx_commit(r->tx), 0);
	cr_assert_eq(rig_word(r, RIG_IN), 0);
	parts[1].len = 8;
	parts[2].len = 4;
	cr_assert_eq(vmb_tx_putv(r->tx, &p, parts, 3), 0);
	p.len = 0;
	cr_assert_eq(vmb_tx_putv(r->tx, &p, NULL, 0), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	cr_assert_eq(memcmp(r->data + 16, pattern, 20), 0);
	rig_free(r);
}

/* ---- what is written */

/* 9.1 rule 14: put overwrites every byte of [start, start + T), and no other. */
Test(ring_producer, put_overwrites_every_byte_of_its_packet_and_no_other)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		struct rig *r = rig_new(kind, 3);

		for (uint32_t len = 0; len < 48; len++) {
			uint32_t total = 24 + (len + 7) / 8 * 8;

			for (uint32_t start = 0; start < r->size; start += start % VMB_PAGE < 3900 ? 1000 : 8) {
				struct vmb_packet p = rig_packet(pattern, len);
				uint8_t first[80];

				for (uint32_t pass = 0; pass < 2; pass++) { /* twice on different rubbish: the same bytes */
					memset(r->data, pass ? 0x11 : 0xee, r->size);
					rig_both_at(r, start);
					cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
					for (uint32_t i = 0; i < r->size; i++) {
						uint32_t at = (start + i) % r->size;

						if (i >= total)
							cr_assert_eq(r->data[at], pass ? 0x11 : 0xee);
						else if (!pass)
							first[i] = r->data[at];
						else
							cr_assert_eq(r->data[at], first[i]);
					}
				}
			}
		}
		rig_free(r);
	}
}

Test(ring_producer, reserve_leaves_the_payload_to_the_caller_and_clears_the_padding)
{
	struct rig *r = rig_new(RIG_ONCE, 1);
	struct vmb_packet p = rig_packet(NULL, 19);
	struct vmb_view v;

	memset(r->data, 0xee, r->size);
	rig_both_at(r, 0x200);
	p.id = 0x1122334455667788;
	cr_assert_eq(vmb_tx_reserve(r->tx, &p, &v), 0);
	cr_assert_eq(v.pos, 0x210);
	cr_assert_eq(v.len, 19);
	cr_assert_eq(rig_qword(r, 0x200), VMB_PKT_INBAND | 2u << 16 | (uint64_t)5 << 32);
	cr_assert_eq(rig_qword(r, 0x208), 0x1122334455667788);
	cr_assert_eq(rig_qword(r, 0x210), 0xeeeeeeeeeeeeeeee);
	cr_assert_eq(rig_qword(r, 0x218), 0xeeeeeeeeeeeeeeee);
	cr_assert_eq(rig_qword(r, 0x220), 0, "the word with the padding, before the payload comes");
	cr_assert_eq(rig_qword(r, 0x228), (uint64_t)0x200 << 32);
	cr_assert_eq(rig_qword(r, 0x230), 0xeeeeeeeeeeeeeeee);
	rig_free(r);
}

/* Short ones have ways of their own for each length. */
Test(ring_producer, payloads_of_each_length_come_through_whole)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		struct rig *r = rig_new(kind, 3);

		rig_both_at(r, 0);
		for (uint32_t len = 0; len < 100; len++) {
			struct vmb_packet p = rig_packet(pattern + len, len), came;
			uint8_t to[128];

			memset(to, 0xee, sizeof to);
			cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
			cr_assert_geq(vmb_tx_commit(r->tx), 0);
			cr_assert_eq(vmb_rx_get(r->rx, to, sizeof to, &came), VMB_YES);
			cr_assert_eq(came.len, (len + 7) / 8 * 8);
			cr_assert_arr_eq(to, pattern + len, len);
			for (uint32_t i = came.len; i < sizeof to; i++)
				cr_assert_eq(to[i], 0xee);
			cr_assert_geq(vmb_rx_release(r->rx), 0);
		}
		rig_free(r);
	}
}

/* Lists of any length, over pages and around the end: header words are those of the list, the first names their number. */
Test(ring_producer, long_lists_go_through_every_memory)
{
	static uint64_t words[1200];
	struct vmb_packet p = rig_packet(pattern, 100);

	for (uint32_t i = 0; i < 1200; i += 2) {
		words[i] = VMB_RANGE(VMB_PAGE - i, i % 64);
		words[i + 1] = (uint64_t)i << 32 | 0x55;
	}
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (uint32_t start = 0; start < 3 * VMB_PAGE; start += 8 * 37) {
			struct rig *r = rig_new(kind, 3);
			uint32_t head = 8 + sizeof words, off8 = 2 + head / 8;

			rig_both_at(r, start);
			p.kind = VMB_PKT_GPA;
			p.list = (struct vmb_list){ words, 1200, 600 };
			cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
			cr_assert_eq(rig_qword(r, start), VMB_PKT_GPA | (uint64_t)off8 << 16 | (uint64_t)(off8 + 13) << 32);
			cr_assert_eq(rig_qword(r, start + 16), (uint64_t)600 << 32);
			for (uint32_t i = 0; i < 1200; i++)
				cr_assert_eq(rig_qword(r, start + 24 + 8 * i), words[i]);
			for (uint32_t i = 0; i < 100; i++)
				cr_assert_eq(r->data[(start + 16 + head + i) % r->size], pattern[i]);
			rig_free(r);
		}
}

/* ---- publishing */

Test(ring_producer, nothing_is_published_before_commit_and_all_of_it_then)
{
	struct rig *r = rig_new(RIG_TWICE, 1);
	struct vmb_packet p = rig_packet(pattern, 40);

	rig_both_at(r, 0);
	for (uint32_t i = 0; i < 10; i++)
		cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(rig_word(r, RIG_IN), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	cr_assert_eq(rig_word(r, RIG_IN), 640);
	cr_assert_eq(vmb_tx_commit(r->tx), 0, "nothing new, no second signal");
	for (uint32_t i = 0; i < 10; i++) {
		struct vmb_view v = rig_next(r, &p);

		cr_assert_eq(v.pos, 64 * i + 16);
		cr_assert_eq(rig_qword(r, 64 * i + 56), (uint64_t)(64 * i) << 32, "each footer has its own start");
	}
	rig_free(r);
}

Test(ring_producer, discard_forgets_and_the_room_comes_back)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		struct rig *r = rig_new(kind, 1);
		struct vmb_packet p = rig_packet(pattern, 1000);

		rig_both_at(r, 0xf00);
		for (uint32_t round = 0; round < 5; round++) {
			for (uint32_t i = 0; i < 3; i++)
				cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
			cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EFULL);
			cr_assert_eq(vmb_tx_discard(r->tx), 0);
			cr_assert_eq(vmb_tx_commit(r->tx), 0);
			cr_assert_eq(rig_word(r, RIG_IN), 0xf00);
		}
		p.len = 16;
		cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
		cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
		cr_assert_eq(rig_word(r, RIG_IN), 0xf28);
		cr_assert_eq(rig_next(r, &p).pos, 0xf10);
		cr_assert_eq(p.len, 16);
		rig_free(r);
	}
}

/* A full packet leaves no trace: no byte, no room taken. */
Test(ring_producer, full_changes_nothing)
{
	struct rig *r = rig_new(RIG_ONCE, 1);
	struct vmb_packet p = rig_packet(pattern, 3000);
	uint8_t before[VMB_PAGE];

	rig_both_at(r, 0);
	cr_assert_eq(rig_send(r, 3000), VMB_SIGNAL);
	memcpy(before, r->data, sizeof before);
	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EFULL);
	cr_assert_eq(vmb_tx_commit(r->tx), 0);
	cr_assert_eq(memcmp(before, r->data, sizeof before), 0);
	p.len = 0xff8 - 3024 - 24;
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0, "what is left can be used to the last word");
	p.len = 0;
	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EFULL);
	rig_free(r);
}

/* The room is taken from Out as it is when more is needed: not before, and always then. */
Test(ring_producer, room_that_the_consumer_makes_is_found)
{
	struct rig *r = rig_new(RIG_LIST, 2);
	struct vmb_packet p = rig_packet(pattern, 1000), q;

	rig_both_at(r, 0x1ff8);
	for (uint32_t i = 0; i < 1000; i++) {
		while (vmb_tx_put(r->tx, &p) == 0)
			;
		cr_assert_geq(vmb_tx_commit(r->tx), 0);
		(void)rig_next(r, &q);
		cr_assert_eq(vmb_rx_release(r->rx), 0);
		cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
		cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EFULL);
	}
	rig_free(r);
}

/* In a ring that holds more than the longest packet the room is not forgotten beyond that. */
Test(ring_producer, rings_beyond_the_longest_packet_fill_up_to_the_end)
{
	struct rig *r = rig_new(RIG_LIST, 300);
	struct vmb_packet p = rig_packet(pattern, 8168);
	uint32_t n = 0;

	rig_both_at(r, 0x8000);
	while (vmb_tx_put(r->tx, &p) == 0)
		n++;
	cr_assert_eq(n, (300 * VMB_PAGE - 8) / 8192);
	p.len = 8192 - 8 - 24;
	cr_assert_eq(vmb_tx_put(r->tx, &p), 300 * VMB_PAGE % 8192 ? VMB_EFULL : 0);
	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EFULL);
	rig_free(r);
}

/* ---- waiting for room. ring.md 8.4 */

static struct rig *filled(uint32_t used)
{
	struct rig *r = rig_new(RIG_TWICE, 1);

	rig_both_at(r, 0);
	cr_assert_eq(rig_send(r, used - 24), VMB_SIGNAL);
	return r;
}

Test(ring_producer, arm_stores_what_the_packet_needs_with_its_footer)
{
	struct rig *r = filled(0xf00);
	struct vmb_packet p = rig_packet(pattern, 1001);

	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EFULL);
	cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), 0);
	cr_assert_eq(rig_word(r, RIG_PENDING), 24 + 1008);
	rig_free(r);
}

Test(ring_producer, arm_takes_the_larger_of_packet_and_hysteresis_rounded_up_and_cut)
{
	static const struct { uint32_t least, pending; } rows[] = {
		{ 0, 1032 }, { 1, 1032 }, { 1032, 1032 }, { 1033, 1040 }, { 2000, 2000 }, { 2001, 2008 },
		{ 0xff8, 0xff8 }, { 0xff9, 0xff8 }, { 0x1000, 0xff8 }, { UINT32_MAX, 0xff8 },
	};
	struct vmb_packet p = rig_packet(pattern, 1001);

	for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct rig *r = filled(0xf00);

		cr_assert_eq(vmb_tx_arm(r->tx, &p, rows[i].least), 0);
		cr_assert_eq(rig_word(r, RIG_PENDING), rows[i].pending, "least %u", rows[i].least);
		rig_free(r);
	}
}

/* R6, 17.10: the consumer computes from the published In, so what is not yet published counts. */
Test(ring_producer, arm_counts_what_is_not_yet_committed)
{
	struct rig *r = filled(0x800);
	struct vmb_packet small = rig_packet(pattern, 0x400 - 24), large = rig_packet(pattern, 0x600 - 24);

	cr_assert_eq(vmb_tx_put(r->tx, &small), 0);
	cr_assert_eq(vmb_tx_put(r->tx, &large), VMB_EFULL);
	cr_assert_eq(vmb_tx_arm(r->tx, &large, 0), 0);
	cr_assert_eq(rig_word(r, RIG_PENDING), 0xa00);
	cr_assert_eq(vmb_tx_arm(r->tx, &large, 0xb00), 0, "hysteresis is a floor, no addend");
	cr_assert_eq(rig_word(r, RIG_PENDING), 0xb00);
	cr_assert_eq(vmb_tx_discard(r->tx), 0);
	cr_assert_eq(vmb_tx_arm(r->tx, &large, 0), VMB_YES);
	rig_free(r);

	r = filled(0x800);
	small.len = 0x700 - 24;
	cr_assert_eq(vmb_tx_put(r->tx, &small), 0);
	large.len = 0xff8 - 24;
	cr_assert_eq(vmb_tx_arm(r->tx, &large, 0), 0);
	cr_assert_eq(rig_word(r, RIG_PENDING), 0xff8, "cut to what the ring holds");
	rig_free(r);
}

Test(ring_producer, arm_says_yes_and_disarms_if_it_fits_by_now)
{
	struct rig *r = filled(0xf00);
	struct vmb_packet p = rig_packet(pattern, 1000), q;

	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EFULL);
	(void)rig_next(r, &q);
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(vmb_tx_arm(r->tx, &p, 0xff8), VMB_YES);
	cr_assert_eq(rig_word(r, RIG_PENDING), 0);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	rig_free(r);
}

/* raw == T does not fit: then arming holds. */
Test(ring_producer, arm_tests_the_fit_exactly)
{
	for (uint32_t len = 0x100 - 24 - 16; len <= 0x100 - 24 + 16; len += 8) {
		struct rig *r = filled(0xf00); /* raw is 0x100 */
		struct vmb_packet p = rig_packet(pattern, len);
		int fits = len + 24 < 0x100;

		cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), fits ? VMB_YES : 0);
		cr_assert_eq(rig_word(r, RIG_PENDING), fits ? 0 : len + 24);
		cr_assert_eq(vmb_tx_put(r->tx, &p), fits ? 0 : VMB_EFULL);
		rig_free(r);
	}
}

Test(ring_producer, pending_is_cleared_by_the_next_publication_and_stays_till_then)
{
	struct rig *r = filled(0xf00);
	struct vmb_packet p = rig_packet(pattern, 1000), q;

	cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), 0);
	cr_assert_eq(rig_word(r, RIG_PENDING), 1024, "an empty commit publishes nothing");
	(void)rig_next(r, &q);
	cr_assert_eq(vmb_rx_release(r->rx), VMB_SIGNAL);
	cr_assert_eq(rig_word(r, RIG_PENDING), 1024);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(rig_word(r, RIG_PENDING), 1024);
	cr_assert_eq(vmb_tx_commit(r->tx), 0, "the consumer, awake, has masked");
	cr_assert_eq(rig_word(r, RIG_PENDING), 0);
	rig_free(r);
}

/* ---- filling in place */

Test(ring_producer, spans_and_copy_reach_exactly_the_payload)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (uint32_t start = 0; start < 3 * VMB_PAGE; start += 8 * 61) {
			struct rig *r = rig_new(kind, 3);
			struct vmb_packet p = rig_packet(NULL, 5001);
			struct vmb_span spans[8];
			struct vmb_view v;
			uint32_t done = 0;
			int n;

			rig_both_at(r, start);
			cr_assert_eq(vmb_tx_reserve(r->tx, &p, &v), 0);
			n = vmb_tx_spans(r->tx, &v, 0, spans, 8);
			cr_assert_leq(n, kind == RIG_TWICE ? 1 : kind == RIG_ONCE ? 2 : 2 + 5001 / 4096);
			for (int i = 0; i < n; i++) {
				memcpy(spans[i].base, pattern + done, spans[i].len);
				done += (uint32_t)spans[i].len;
			}
			cr_assert_eq(done, 5001);
			for (uint32_t i = 0; i < 5008; i++)
				cr_assert_eq(r->data[(start + 16 + i) % r->size], i < 5001 ? pattern[i] : 0);
			/* one span at a time, by offset */
			for (uint32_t at = 0; at < 5001; at += (uint32_t)spans[0].len) {
				cr_assert_eq(vmb_tx_spans(r->tx, &v, at, spans, 1), 1);
				cr_assert_eq(*(uint8_t *)spans[0].base, pattern[at]);
			}
			cr_assert_eq(vmb_tx_spans(r->tx, &v, 5001, spans, 8), 0);
			cr_assert_eq(vmb_tx_spans(r->tx, &v, 5002, spans, 8), VMB_EINVAL);
			cr_assert_eq(vmb_tx_spans(r->tx, &v, 0, spans, 0), 0);
			cr_assert_eq(vmb_tx_copy(r->tx, &v, 4001, pattern, 1000), 0);
			cr_assert_eq(r->data[(start + 16 + 5000) % r->size], pattern[999]);
			cr_assert_eq(vmb_tx_copy(r->tx, &v, 4001, pattern, 1001), VMB_EINVAL);
			cr_assert_eq(vmb_tx_copy(r->tx, &v, 1, pattern, UINT32_MAX), VMB_EINVAL);
			cr_assert_eq(vmb_tx_copy(r->tx, &v, UINT32_MAX, pattern, 2), VMB_EINVAL);
			cr_assert_eq(vmb_tx_copy(r->tx, &v, 5001, NULL, 0), 0);
			rig_free(r);
		}
}

Test(ring_producer, foreign_views_are_refused)
{
	static const struct vmb_view bad[] = { { 0x1000, 8 }, { UINT32_MAX, 8 }, { 0, 0x1008 }, { 0xff8, UINT32_MAX } };
	struct rig *r = rig_new(RIG_ONCE, 1);
	struct vmb_span span;
	uint8_t byte[8];

	rig_both_at(r, 0);
	for (uint32_t i = 0; i < 4; i++) {
		cr_assert_eq(vmb_tx_spans(r->tx, &bad[i], 0, &span, 1), VMB_EINVAL);
		cr_assert_eq(vmb_rx_spans(r->rx, &bad[i], 0, &span, 1), VMB_EINVAL);
		cr_assert_eq(vmb_tx_copy(r->tx, &bad[i], 0, pattern, 8), VMB_EINVAL);
		cr_assert_eq(vmb_rx_copy(r->rx, &bad[i], 0, byte, 8), VMB_EINVAL);
	}
	rig_free(r);
}
