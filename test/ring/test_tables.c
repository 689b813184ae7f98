/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The tables of ring.md 16: sizes, fit, when to signal, and the picture of a control page. */
#include <criterion/criterion.h>
#include <string.h>

#include "rig.h"

#define ROWS(table) (sizeof(table) / sizeof *(table))

static const uint8_t zeros[524265];

Test(ring_tables, sizes_16_2)
{
	static const struct { uint32_t payload, len8, total; } rows[] = {
		{ 0, 2, 24 }, { 1, 3, 32 }, { 7, 3, 32 }, { 8, 3, 32 }, { 9, 4, 40 }, { 15, 4, 40 }, { 16, 4, 40 }, { 17, 5, 48 },
		{ 4064, 510, 4088 }, { 524264, 65535, 524288 },
	};
	struct rig *r = rig_new(RIG_ONCE, 129);

	for (uint32_t i = 0; i < ROWS(rows); i++)
		for (uint16_t kind = VMB_PKT_INBAND; kind <= VMB_PKT_COMPLETION; kind += VMB_PKT_COMPLETION - VMB_PKT_INBAND) {
			struct vmb_packet p = rig_packet(zeros, rows[i].payload);

			p.kind = kind;
			rig_both_at(r, 0);
			cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
			cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
			cr_assert_eq(rig_word(r, RIG_IN), rows[i].total);
			cr_assert_eq(rig_qword(r, 0), kind | 2u << 16 | (uint64_t)rows[i].len8 << 32);
			cr_assert_eq(vmb_rx_next(r->rx, &p, &(struct vmb_view){ 0 }), VMB_YES);
			cr_assert_eq(p.len, (rows[i].payload + 7) / 8 * 8);
		}
	rig_free(r);
}

/* 4.4: what can never be sent is said so, whether the ring is full or empty, and by every way of sending. */
Test(ring_tables, too_big_for_ever_16_2)
{
	struct rig *r = rig_new(RIG_LIST, 129);
	struct vmb_packet p = rig_packet(zeros, 524265);
	struct vmb_span part = { (void *)(uintptr_t)zeros, 524265 };
	struct vmb_view view;

	rig_both_at(r, 0);
	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_ETOOBIG, "length8 would be 65536");
	cr_assert_eq(vmb_tx_putv(r->tx, &p, &part, 1), VMB_ETOOBIG);
	cr_assert_eq(vmb_tx_reserve(r->tx, &p, &view), VMB_ETOOBIG);
	cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), VMB_ETOOBIG);
	p.len = UINT32_MAX;
	cr_assert_eq(vmb_tx_reserve(r->tx, &p, &view), VMB_ETOOBIG);
	cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), VMB_ETOOBIG);
	cr_assert_eq(rig_word(r, RIG_PENDING), 0);
	rig_free(r);

	r = rig_new(RIG_TWICE, 1);
	rig_both_at(r, 0x800);
	p.len = 4065; /* T is the whole ring */
	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_ETOOBIG);
	cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), VMB_ETOOBIG);
	p.len = 4064;
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	p.len = 4065;
	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_ETOOBIG, "not merely full");
	p.len = 0;
	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EFULL);
	rig_free(r);
}

Test(ring_tables, fit_16_3)
{
	static const struct { uint32_t in, out, total; int result; uint32_t new_in; } rows[] = {
		{ 0, 0, 0xff8, 0, 0xff8 },
		{ 0, 0, 0x1000, VMB_ETOOBIG, 0 },
		{ 0, 8, 0x18, VMB_EFULL, 0 },
		{ 0x18, 0x30, 0x18, VMB_EFULL, 0x18 },
		{ 0x18, 0x38, 0x18, 0, 0x30 },
		{ 0xff8, 0, 0x18, VMB_EFULL, 0xff8 },
		{ 0xff8, 0x20, 0x20, 0, 0x18 },
	};

	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		struct rig *r = rig_new(kind, 1);

		for (uint32_t i = 0; i < ROWS(rows); i++) {
			struct vmb_packet p = rig_packet(zeros, rows[i].total - 24);

			rig_set(r, RIG_IN, rows[i].in);
			rig_set(r, RIG_OUT, rows[i].out);
			cr_assert_eq(rig_tx(r, 0, NULL), 0);
			cr_assert_eq(vmb_tx_put(r->tx, &p), rows[i].result, "row %u", i);
			cr_assert_geq(vmb_tx_commit(r->tx), 0);
			cr_assert_eq(rig_word(r, RIG_IN), rows[i].new_in, "row %u", i);
		}
		rig_free(r);
	}
}

Test(ring_tables, producer_signals_16_4)
{
	static const struct { uint32_t old, len1, len2, out, mask; int signal; } rows[] = {
		{ 0, 0, 0, 0, 0, VMB_SIGNAL },
		{ 0, 0, 0, 0, 1, 0 },
		{ 0, 0, 0, 0, 0x80000000, 0 },
		{ 0x18, 0, 0, 0, 0, 0 },
		{ 0x18, 0, 0, 0x18, 0, VMB_SIGNAL },
		{ 0x18, 0, 1, 0x30, 0, 0 },
		{ 0x18, 0, 1, 0x48, 0, 0 },
		{ 0xff8, 0, 0, 0xff8, 0, VMB_SIGNAL },
		{ 0xfc8, 8, 16, 0xfc8, 0, VMB_SIGNAL }, /* TV-17: two packets */
	};
	struct rig *r = rig_new(RIG_ONCE, 1);

	for (uint32_t i = 0; i < ROWS(rows); i++) {
		struct vmb_packet p = rig_packet(zeros, rows[i].len1);

		rig_both_at(r, rows[i].old);
		cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
		p.len = rows[i].len2;
		if (p.len)
			cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
		rig_set(r, RIG_OUT, rows[i].out);
		rig_set(r, RIG_MASK, rows[i].mask);
		cr_assert_eq(vmb_tx_commit(r->tx), rows[i].signal, "row %u", i);
		cr_assert_eq(vmb_tx_commit(r->tx), 0, "one decision per publication, row %u", i);
	}
	rig_free(r);
}

static const struct consumer_row { uint32_t in, old, new, pending; int signal; } consumer_rows[] = {
	{ 0xff8, 0, 0x28, 0, 0 },
	{ 0xff8, 0, 0x28, 0x20, VMB_SIGNAL },
	{ 0xff8, 0, 0x28, 0x28, VMB_SIGNAL },
	{ 0xff8, 0, 0x28, 0x29, VMB_SIGNAL },
	{ 0xff8, 0, 0x28, 0x30, 0 },
	{ 0x800, 0, 0x800, 0x800, VMB_SIGNAL },
	{ 0x800, 0, 0x100, 0x800, VMB_SIGNAL },
	{ 0x800, 0x100, 0x200, 0x800, 0 },
	{ 0xff8, 0, 0xff0, 0xfff, 0 },
	{ 0xff8, 0, 0xff8, 0xfff, VMB_SIGNAL },
	{ 0xff8, 0, 0xff8, 0x1000, 0 },
	{ 0x10, 0x18, 0x818, 0x400, VMB_SIGNAL },
	/* The packets that were read end at 0x818; by the time In is looked at it has gone round to 0x418. */
	{ 0x418, 0x18, 0x818, 0x300, 0 },
};

/* A row of 16.5: packets that fill [old, new) are taken, then In and the pending size are as the row says when they are
 * looked at. */
static int consume(struct rig *r, const struct consumer_row *row, int sleeping, uint32_t mask, uint32_t features)
{
	uint32_t bytes = (row->new - row->old) & 0xfff;
	int got;

	rig_both_at(r, row->old);
	rig_set_qword(r, row->old, VMB_PKT_INBAND | 2u << 16 | (uint64_t)(bytes / 8 - 1) << 32);
	rig_set(r, RIG_IN, row->new);
	(void)rig_next(r, &(struct vmb_packet){ 0 });
	rig_set(r, RIG_IN, row->in);
	rig_set(r, RIG_PENDING, row->pending);
	rig_set(r, RIG_FEATURES, features);
	rig_set(r, RIG_MASK, mask);
	got = sleeping ? vmb_rx_sleep(r->rx) : vmb_rx_release(r->rx);
	cr_assert_eq(rig_word(r, RIG_OUT), row->new);
	return got;
}

Test(ring_tables, consumer_signals_16_5_at_release)
{
	struct rig *r = rig_new(RIG_ONCE, 1);

	for (uint32_t i = 0; i < ROWS(consumer_rows); i++)
		cr_assert_eq(consume(r, &consumer_rows[i], 0, 1, 1), consumer_rows[i].signal, "row %u", i);
	rig_free(r);
}

Test(ring_tables, consumer_signals_16_5_at_sleep_with_one_look_at_in)
{
	struct rig *r = rig_new(RIG_ONCE, 1);

	for (uint32_t i = 0; i < ROWS(consumer_rows); i++) {
		int more = consumer_rows[i].in == consumer_rows[i].new ? 0 : VMB_YES;

		cr_assert_eq(consume(r, &consumer_rows[i], 1, 1, 1), consumer_rows[i].signal | more, "row %u", i);
		cr_assert_eq(rig_word(r, RIG_MASK), 0);
	}
	rig_free(r);
}

/* 2.3, 14: "feature bit and mask do not change any row". */
Test(ring_tables, consumer_signals_16_5_whatever_mask_and_feature_bit)
{
	struct rig *r = rig_new(RIG_ONCE, 1);

	for (uint32_t i = 0; i < ROWS(consumer_rows); i++)
		for (uint32_t mask = 0; mask < 2; mask++)
			for (uint32_t features = 0; features < 2; features++)
				cr_assert_eq(consume(r, &consumer_rows[i], 0, mask, features), consumer_rows[i].signal);
	rig_free(r);
}

/* 10.1: misaligned P acts as floor8(P); 1...7 and everything from the size on never signal. All P, all moves of Out, in one
 * page. */
Test(ring_tables, every_pending_size_acts_rounded_down)
{
	struct rig *r = rig_new(RIG_ONCE, 1);

	for (uint32_t pending = 1; pending < 0x1020; pending += pending < 64 || pending > 0xfb0 ? 1 : 13)
		for (uint32_t out = 0; out < 0xff8; out += 0x88)
			for (uint32_t to = out + 24; to <= 0xff8; to += 0x1d8) {
				struct consumer_row row = { 0xff8, out, to, pending, 0 };
				uint32_t floor = pending & ~7u;
				int crossed = pending >= 8 && floor < 0x1000 && 8 + out <= floor && 8 + to > floor;

				cr_assert_eq(consume(r, &row, 0, 1, 1), crossed ? VMB_SIGNAL : 0, "P %#x, %#x to %#x", pending,
					     out, to);
			}
	rig_free(r);
}

Test(ring_tables, control_page_16_8)
{
	static const uint8_t picture[20] = { 0x38, 0x10, 0, 0, 0, 0x10, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0 };
	static const uint64_t words[2] = { VMB_RANGE(0x200, 0x100), 0x12345 };
	struct rig *r = rig_new(RIG_ONCE, 4);
	struct vmb_packet p = rig_packet("\xde\xad\xbe\xef\xca\xfe\xf0\x0d", 8), large = rig_packet(NULL, 0x4000 - 8 - 24);

	rig_both_at(r, 0x1000);
	p.kind = VMB_PKT_GPA;
	p.flags = VMB_PKT_WANTS_REPLY;
	p.id = 0x42;
	p.list = (struct vmb_list){ words, 2, 1 };
	cr_assert_eq(vmb_rx_mask(r->rx), 0, "the host has masked");
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), 0);
	cr_assert_eq(vmb_tx_arm(r->tx, &large, 0), 0);
	cr_assert_eq(rig_word(r, RIG_PENDING), 0x3ff8);
	rig_set(r, RIG_PENDING, 0x100); /* the value shown there; no packet that waits for so little finds the ring full */
	cr_assert_eq(memcmp(r->control, picture, sizeof picture), 0);
	for (uint32_t at = 16; at < VMB_PAGE; at += 4)
		cr_assert_eq(rig_word(r, at), at == RIG_FEATURES ? 1 : 0);
	rig_free(r);
}

/* Nothing but the named words of a control page is ever written: FreeBSD counts at 0xff8, and who knows what lies between. */
Test(ring_tables, foreign_bytes_of_the_control_page_stay)
{
	struct rig *r = rig_new(RIG_ONCE, 1);
	struct vmb_packet p = rig_packet(zeros, 4000);

	memset(r->control + 0x10, 0x77, 0x30);
	memset(r->control + 0x44, 0x77, VMB_PAGE - 0x44);
	rig_both_at(r, 0);
	cr_assert_eq(rig_send(r, 3000), VMB_SIGNAL);
	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EFULL);
	cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), 0);
	(void)rig_next(r, &p);
	cr_assert_eq(vmb_rx_release(r->rx), VMB_SIGNAL);
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	for (uint32_t at = 0x10; at < VMB_PAGE; at++)
		cr_assert(r->control[at] == 0x77 || (at >= RIG_FEATURES && at < RIG_FEATURES + 4));
	rig_free(r);
}
