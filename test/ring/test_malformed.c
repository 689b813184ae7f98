/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A malicious peer: the rules of ring.md 9.1 and the rows of 9.2, whose result is 16.6's: corrupt, Out not advanced, nothing
 * touched. */
#include <criterion/criterion.h>
#include <string.h>

#include "rig.h"

#define WORD(kind, off8, len8, flags) ((kind) | (uint64_t)(off8) << 16 | (uint64_t)(len8) << 32 | (uint64_t)(flags) << 48)

/* Every call of a stuck consumer says so, and nothing of the ring changes. */
static void check_rx_stuck(struct rig *r, uint32_t reason, uint32_t at)
{
	uint8_t control[VMB_PAGE], copy[8];
	struct vmb_view v = { 0, 8 };
	struct vmb_cursor cursor;
	struct vmb_packet p;
	struct vmb_span span;
	uint32_t where;

	memcpy(control, r->control, VMB_PAGE);
	for (uint32_t i = 0; i < 2; i++) {
		cr_assert_eq(vmb_rx_reason(r->rx, &where), reason);
		cr_assert_eq(where, at);
		cr_assert_eq(vmb_rx_reason(r->rx, NULL), reason);
		cr_assert_eq(vmb_rx_next(r->rx, &p, &v), VMB_EPEER);
		cr_assert_eq(vmb_rx_release(r->rx), VMB_EPEER);
		cr_assert_eq(vmb_rx_rewind(r->rx), VMB_EPEER);
		cr_assert_eq(vmb_rx_sleep(r->rx), VMB_EPEER);
		cr_assert_eq(vmb_rx_mask(r->rx), VMB_EPEER);
		cr_assert_eq(vmb_rx_spans(r->rx, &v, 0, &span, 1), VMB_EPEER);
		cr_assert_eq(vmb_rx_copy(r->rx, &v, 0, copy, 8), VMB_EPEER);
		rig_set(r, RIG_IN, 0); /* the peer repents: too late */
		memcpy(control, r->control, 4);
	}
	cr_assert_eq(memcmp(control, r->control, VMB_PAGE), 0);
	cr_assert_eq(vmb_rx_end(r->rx, &cursor), 0, "storage can be given back all the same");
	cr_assert_eq(cursor.index, rig_word(r, RIG_OUT));
}

static void check_tx_stuck(struct rig *r, uint32_t at)
{
	struct vmb_packet p = rig_packet("12345678", 8);
	struct vmb_span part = { (void *)(uintptr_t)p.payload, 8 };
	struct vmb_view v = { 0, 8 };
	uint8_t control[VMB_PAGE];
	struct vmb_cursor cursor;
	uint32_t where;

	for (uint32_t i = 0; i < 2; i++) {
		memcpy(control, r->control, VMB_PAGE);
		cr_assert_eq(vmb_tx_reason(r->tx, &where), VMB_R_INDEX);
		cr_assert_eq(where, at);
		cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EPEER);
		cr_assert_eq(vmb_tx_putv(r->tx, &p, &part, 1), VMB_EPEER);
		cr_assert_eq(vmb_tx_reserve(r->tx, &p, &v), VMB_EPEER);
		cr_assert_eq(vmb_tx_commit(r->tx), VMB_EPEER);
		cr_assert_eq(vmb_tx_discard(r->tx), VMB_EPEER);
		cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), VMB_EPEER);
		p.kind = 99;
		cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EPEER);
		cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), VMB_EPEER);
		p.kind = VMB_PKT_INBAND;
		cr_assert_eq(vmb_tx_spans(r->tx, &v, 0, &part, 1), VMB_EPEER);
		cr_assert_eq(vmb_tx_copy(r->tx, &v, 0, "12345678", 8), VMB_EPEER);
		part = (struct vmb_span){ (void *)(uintptr_t)p.payload, 8 };
		cr_assert_eq(memcmp(control, r->control, VMB_PAGE), 0);
		rig_set(r, RIG_OUT, 0);
	}
	cr_assert_eq(vmb_tx_end(r->tx, &cursor), 0);
	cr_assert_eq(cursor.index, rig_word(r, RIG_IN));
}

/* ---- 9.2 */

/* Ring 4096, Out = 0, the descriptor at 0 with id 0x1111; `more` lies behind it. */
static void malformed(uint64_t word, uint64_t more, uint32_t in, uint32_t reason, const char *what)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		struct rig *r = rig_new(kind, 1);
		struct vmb_packet p;
		struct vmb_view v;

		cr_assert_eq(rig_rx(r, VMB_RING_FRESH, NULL), 0);
		rig_set_qword(r, 0, word);
		rig_set_qword(r, 8, 0x1111);
		rig_set_qword(r, 16, more);
		rig_set(r, RIG_IN, in);
		cr_assert_eq(vmb_rx_next(r->rx, &p, &v), VMB_EPEER, "%s", what);
		cr_assert_eq(rig_word(r, RIG_OUT), 0, "%s", what);
		check_rx_stuck(r, reason, reason == VMB_R_INDEX ? in : 0);
		rig_free(r);
	}
}

Test(ring_malformed, every_row_of_9_2)
{
	malformed(WORD(6, 2, 2, 0), 0, 8, VMB_R_LENGTH, "avail = 8");
	malformed(WORD(6, 2, 2, 0), 0, 16, VMB_R_LENGTH, "len8=2, avail=16 (no footer)");
	malformed(WORD(6, 2, 0, 0), 0, 64, VMB_R_LENGTH, "len8=0");
	malformed(WORD(6, 2, 1, 0), 0, 64, VMB_R_LENGTH, "len8=1");
	malformed(WORD(6, 0, 3, 0), 0, 32, VMB_R_HEADER, "off8=0");
	malformed(WORD(6, 1, 3, 0), 0, 32, VMB_R_HEADER, "off8=1");
	malformed(WORD(6, 4, 3, 0), 0, 32, VMB_R_HEADER, "off8 > len8");
	malformed(WORD(6, 65535, 3, 0), 0, 32, VMB_R_HEADER, "off8 > len8");
	malformed(WORD(6, 2, 8, 0), 0, 32, VMB_R_LENGTH, "len8*8 > avail");
	malformed(WORD(6, 2, 65535, 0), 0, 4088, VMB_R_LENGTH, "len8*8 > avail, all that can be");
	malformed(WORD(6, 2, 4, 0), 0, 32, VMB_R_LENGTH, "len8*8 == avail (footer missing)");
	malformed(WORD(11, 2, 4, 0), 0, 32, VMB_R_LENGTH, "the same of a completion");
	malformed(WORD(6, 2, 2, 2), 0, 24, VMB_R_FLAGS, "flags 2");
	malformed(WORD(6, 2, 2, 3), 0, 24, VMB_R_FLAGS, "flags 3");
	malformed(WORD(11, 2, 2, 0x8000), 0, 24, VMB_R_FLAGS, "flags 0x8000 of a completion");
	malformed(WORD(0, 2, 2, 0), 0, 24, VMB_R_TYPE, "type 0");
	malformed(WORD(5, 2, 2, 0), 0, 24, VMB_R_TYPE, "type 5");
	malformed(WORD(0xa, 2, 2, 0), 0, 24, VMB_R_TYPE, "type 0xA");
	malformed(WORD(0xff, 2, 2, 0), 0, 24, VMB_R_TYPE, "type 0xFF");
	malformed(WORD(0x106, 2, 2, 0), 0, 24, VMB_R_TYPE, "type 0x106");
	malformed(WORD(9, 2, 2, 1), 0, 24, VMB_R_HEADER, "type 9, off8=2");
	malformed(WORD(9, 5, 5, 1), 0, 48, VMB_R_RANGES, "type 9, range_count=0");
	malformed(WORD(9, 5, 5, 1), (uint64_t)0xffffffff << 32, 48, VMB_R_RANGES, "type 9, range_count=0xFFFFFFFF");
	malformed(WORD(6, 2, 2, 0), 0, 0x1c, VMB_R_INDEX, "In unaligned");
	malformed(WORD(6, 2, 2, 0), 0, 0x1000, VMB_R_INDEX, "In == size");
	malformed(WORD(6, 2, 2, 0), 0, 0x2000, VMB_R_INDEX, "In > size");
	malformed(WORD(6, 2, 2, 0), 0, 0x80000000, VMB_R_INDEX, "In > size");
	malformed(WORD(6, 2, 2, 0), 0, 0xffffffff, VMB_R_INDEX, "In=~0");
}

/* What is next to each of these rows is good. */
Test(ring_malformed, neighbours_of_the_rows_are_delivered)
{
	static const struct { uint64_t word, more; uint32_t in; } rows[] = {
		{ WORD(6, 2, 2, 0), 0, 24 }, { WORD(6, 2, 2, 1), 0, 24 }, { WORD(6, 3, 3, 0), 0, 32 },
		{ WORD(11, 2, 2, 0), 0, 24 },
		{ WORD(6, 2, 3, 0), 0, 32 }, { WORD(6, 2, 510, 0), 0, 4088 }, { WORD(9, 5, 5, 1), (uint64_t)1 << 32, 48 },
		{ WORD(9, 7, 7, 1), (uint64_t)2 << 32 | 0xdeadbeef, 64 }, { WORD(7, 4, 4, 1), (uint64_t)1 << 32, 40 },
		{ WORD(7, 9, 9, 1), (uint64_t)3 << 32 | 0xffff0000, 80 },
	};
	struct rig *r = rig_new(RIG_ONCE, 1);

	for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct vmb_packet p;

		cr_assert_eq(rig_rx(r, VMB_RING_FRESH, NULL), 0);
		rig_set_qword(r, 0, rows[i].word);
		rig_set_qword(r, 16, rows[i].more);
		rig_set(r, RIG_IN, rows[i].in);
		(void)rig_next(r, &p);
		cr_assert_eq(p.list.ranges, rows[i].more >> 32);
		cr_assert_eq(vmb_rx_release(r->rx), 0);
		cr_assert_eq(rig_word(r, RIG_OUT), rows[i].in);
	}
	rig_free(r);
}

/* ---- 9.1, rule by rule */

Test(ring_malformed, rule_02_every_peer_index_is_validated_wherever_it_is_loaded)
{
	static const uint32_t bad[] = { 0x1000, 0x1008, 0xfffffff8, 0x14, 1 };
	static const uint8_t payload[4064];

	for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct rig *r = rig_new(RIG_LIST, 1);
		struct vmb_packet p = rig_packet(payload, 4000), q;

		rig_both_at(r, 0); /* Out, when room is needed */
		rig_set(r, RIG_OUT, bad[i]);
		cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EPEER);
		check_tx_stuck(r, bad[i]);
		rig_both_at(r, 0); /* Out, after publication */
		cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
		rig_set(r, RIG_OUT, bad[i]);
		cr_assert_eq(vmb_tx_commit(r->tx), VMB_EPEER);
		check_tx_stuck(r, bad[i]);
		rig_both_at(r, 0); /* Out, after arming */
		cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
		cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
		rig_set(r, RIG_OUT, bad[i]);
		cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), VMB_EPEER);
		check_tx_stuck(r, bad[i]);

		rig_both_at(r, 0); /* In, when a packet is looked for */
		rig_set(r, RIG_IN, bad[i]);
		cr_assert_eq(vmb_rx_next(r->rx, &q, &(struct vmb_view){ 0 }), VMB_EPEER);
		check_rx_stuck(r, VMB_R_INDEX, bad[i]);
		rig_both_at(r, 0); /* In, for the room decision */
		(void)rig_send(r, 8);
		(void)rig_next(r, &q);
		rig_set(r, RIG_PENDING, 0x800);
		rig_set(r, RIG_IN, bad[i]);
		cr_assert_eq(vmb_rx_release(r->rx), VMB_EPEER);
		check_rx_stuck(r, VMB_R_INDEX, bad[i]);
		rig_both_at(r, 0); /* In, before sleeping */
		rig_set(r, RIG_IN, bad[i]);
		cr_assert_eq(vmb_rx_sleep(r->rx), VMB_EPEER);
		check_rx_stuck(r, VMB_R_INDEX, bad[i]);
		rig_free(r);
	}
}

Test(ring_malformed, rule_03_own_words_are_never_read_back)
{
	for (uint32_t rubbish = 0; rubbish < 3; rubbish++) {
		struct rig *r = rig_new(RIG_ONCE, 1);
		uint32_t at = 0, v = rubbish == 0 ? 0 : rubbish == 1 ? 0xffffffff : 0x558;
		struct vmb_packet p;

		rig_both_at(r, 0);
		for (uint32_t i = 0; i < 500; i++) {
			rig_set(r, RIG_IN, v); /* the peer plays with our side, then restores it for its own reading */
			rig_set(r, RIG_PENDING, v);
			rig_set(r, RIG_FEATURES, v);
			rig_set(r, RIG_MASK, 0);
			cr_assert_eq(rig_send(r, 40), VMB_SIGNAL);
			at = (at + 64) % r->size;
			cr_assert_eq(rig_word(r, RIG_IN), at);
			rig_set(r, RIG_OUT, v);
			rig_set(r, RIG_MASK, v);
			rig_set(r, RIG_PENDING, 0);
			(void)rig_next(r, &p);
			cr_assert_eq(p.len, 40);
			cr_assert_eq(vmb_rx_release(r->rx), 0);
			cr_assert_eq(rig_word(r, RIG_OUT), at);
		}
		rig_free(r);
	}
}

Test(ring_malformed, rule_05_lengths_against_what_is_there)
{
	/* Every length and offset against every amount in a row of small ones. */
	struct rig *r = rig_new(RIG_ONCE, 1);

	for (uint32_t avail = 8; avail <= 64; avail += 8)
		for (uint32_t len8 = 0; len8 < 10; len8++)
			for (uint32_t off8 = 0; off8 < 10; off8++) {
				int good = avail >= 24 && off8 >= 2 && len8 >= off8 && len8 * 8 + 8 <= avail;
				struct vmb_packet p;
				struct vmb_view v;

				cr_assert_eq(rig_rx(r, VMB_RING_FRESH, NULL), 0);
				rig_set_qword(r, 0, WORD(6, off8, len8, 0));
				rig_set(r, RIG_IN, avail);
				cr_assert_eq(vmb_rx_next(r->rx, &p, &v), good ? VMB_YES : VMB_EPEER, "%u %u %u", avail, len8,
					     off8);
				if (good)
					cr_assert_eq(v.len, len8 * 8 - 16);
			}
	rig_free(r);
}

Test(ring_malformed, rule_06_no_count_word_without_room_for_it)
{
	malformed(WORD(7, 2, 2, 1), 0, 24, VMB_R_HEADER, "type 7");
	malformed(WORD(9, 2, 10, 1), (uint64_t)1 << 32, 88, VMB_R_HEADER, "type 9");
}

Test(ring_malformed, rule_07_count_is_bounded_by_the_words_there_are)
{
	malformed(WORD(9, 3, 3, 1), (uint64_t)1 << 32, 32, VMB_R_RANGES, "no word");
	malformed(WORD(9, 4, 4, 1), (uint64_t)1 << 32, 40, VMB_R_RANGES, "one word");
	malformed(WORD(9, 6, 6, 1), (uint64_t)2 << 32, 56, VMB_R_RANGES, "three words for two ranges");
	malformed(WORD(7, 3, 3, 1), (uint64_t)1 << 32, 32, VMB_R_RANGES, "no word");
	malformed(WORD(7, 5, 5, 1), (uint64_t)3 << 32, 48, VMB_R_RANGES, "two words for three ranges");
	malformed(WORD(7, 5, 5, 1), (uint64_t)0x80000001 << 32, 48, VMB_R_RANGES, "as a signed number");
	malformed(WORD(7, 5, 5, 1), 0, 48, VMB_R_RANGES, "none");
}

/* In range, aligned, nonsense: no violation, and no byte elsewhere. Stale bytes go through the same checks. */
Test(ring_malformed, rule_13_illogical_indexes_are_safe)
{
	static const uint8_t payload[64];
	struct rig *r = rig_new(RIG_LIST, 1);
	struct vmb_packet p = rig_packet(payload, 64), q;
	struct vmb_view v;
	uint32_t n = 0;
	int got;

	rig_both_at(r, 0x800);
	rig_set(r, RIG_OUT, 0x810); /* Out past In: the ring looks nearly full */
	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EFULL);
	rig_set(r, RIG_OUT, 0x7f8);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), 0);
	cr_assert_eq(rig_word(r, RIG_IN), 0x858);

	rig_both_at(r, 0x800);
	for (uint32_t i = 0; i < 20; i++)
		(void)rig_send(r, 8);
	for (uint32_t i = 0; i < 10; i++)
		(void)rig_next(r, &q);
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	rig_set(r, RIG_IN, 0x820); /* In backwards: stale packets, then zeros, which are none */
	for (uint32_t i = 0; i < 10; i++)
		(void)rig_next(r, &q); /* these it had seen before */
	while ((got = vmb_rx_next(r->rx, &q, &v)) == VMB_YES)
		cr_assert_lt(n++, 1000, "no endless loop");
	cr_assert_eq(got, VMB_EPEER);
	rig_free(r);
}

/* 12: pending size and mask are trusted for nothing but the decision. */
Test(ring_malformed, rule_12_any_pending_size_and_mask_only_decides_a_signal)
{
	static const uint32_t values[] = { 1, 7, 8, 0xff8, 0xfff, 0x1000, 0x7fffffff, 0x80000000, 0xffffffff };

	for (uint32_t i = 0; i < sizeof values / sizeof *values; i++) {
		struct rig *r = rig_new(RIG_ONCE, 1);
		struct vmb_packet p;

		rig_both_at(r, 0);
		rig_set(r, RIG_MASK, values[i]);
		cr_assert_eq(rig_send(r, 8), 0);
		rig_set(r, RIG_PENDING, values[i]);
		(void)rig_next(r, &p);
		cr_assert_eq(vmb_rx_release(r->rx), values[i] == 0xff8 || values[i] == 0xfff ? VMB_SIGNAL : 0);
		cr_assert_eq(rig_word(r, RIG_OUT), 32);
		cr_assert_eq(vmb_rx_reason(r->rx, NULL), 0);
		rig_free(r);
	}
}

/* 11: a peer that refills as fast as the ring is drained holds nobody: a call takes one packet, and the loop is the caller's. */
Test(ring_malformed, rule_11_a_call_takes_one_packet_at_most)
{
	struct rig *r = rig_new(RIG_TWICE, 1);
	struct vmb_packet p;

	rig_both_at(r, 0);
	for (uint32_t i = 0; i < 1000; i++) {
		for (uint32_t ahead = 0; ahead < 100; ahead++)
			rig_set_qword(r, 24 * (i + ahead), WORD(6, 2, 2, 0));
		rig_set(r, RIG_IN, 24 * (i + 100) % r->size);
		cr_assert_eq(rig_next(r, &p).pos, (24 * i + 16) % r->size);
		cr_assert_eq(vmb_rx_release(r->rx), 0);
		cr_assert_eq(rig_word(r, RIG_OUT), 24 * (i + 1) % r->size);
	}
	rig_free(r);
}

/* A violation of one half is not one of the other: that is the channel's to join. */
Test(ring_malformed, reasons_are_none_while_all_is_well)
{
	struct rig *r = rig_new(RIG_ONCE, 1);
	uint32_t at = 77;

	rig_both_at(r, 0);
	cr_assert_eq(vmb_tx_reason(r->tx, &at), 0);
	cr_assert_eq(at, 0);
	at = 77;
	cr_assert_eq(vmb_rx_reason(r->rx, &at), 0);
	cr_assert_eq(at, 0);
	rig_set(r, RIG_IN, 3);
	cr_assert_eq(vmb_rx_sleep(r->rx), VMB_EPEER);
	cr_assert_eq(vmb_tx_reason(r->tx, NULL), 0);
	cr_assert_eq(rig_send(r, 8), VMB_SIGNAL);
	rig_free(r);
}
