/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The consumer, call by call: next, release, rewind, sleep, mask, reading in place. */
#include <criterion/criterion.h>
#include <string.h>

#include "rig.h"

static struct rig *r;

static void setup(void)
{
	r = rig_new(RIG_TWICE, 1);
	rig_both_at(r, 0);
}

static void teardown(void)
{
	rig_free(r);
}

TestSuite(ring_consumer, .init = setup, .fini = teardown);

/* Put n packets of 24 bytes each, ids from `id` on. */
static void send_empty(uint32_t n, uint64_t id)
{
	struct vmb_packet p = rig_packet(NULL, 0);

	for (uint32_t i = 0; i < n; i++) {
		p.id = id + i;
		cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	}
	cr_assert_geq(vmb_tx_commit(r->tx), 0);
}

static uint64_t take(void)
{
	struct vmb_packet p;

	(void)rig_next(r, &p);
	return p.id;
}

static int look(void)
{
	struct vmb_packet p;
	struct vmb_view v;

	return vmb_rx_next(r->rx, &p, &v);
}

Test(ring_consumer, empty_ring_gives_nothing_and_masks_nothing)
{
	cr_assert_eq(look(), 0);
	cr_assert_eq(rig_word(r, RIG_MASK), 0);
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	cr_assert_eq(look(), 0);
}

Test(ring_consumer, first_packet_after_a_sleep_masks_once)
{
	for (uint32_t round = 0; round < 3; round++) {
		send_empty(3, 1);
		cr_assert_eq(rig_word(r, RIG_MASK), 0);
		cr_assert_eq(take(), 1);
		cr_assert_eq(rig_word(r, RIG_MASK), 1);
		rig_set(r, RIG_MASK, 5); /* not stored again */
		cr_assert_eq(take(), 2);
		cr_assert_eq(vmb_rx_release(r->rx), 0);
		cr_assert_eq(take(), 3);
		cr_assert_eq(vmb_rx_release(r->rx), 0);
		send_empty(1, 4);
		cr_assert_eq(take(), 4);
		cr_assert_eq(rig_word(r, RIG_MASK), 5);
		cr_assert_eq(vmb_rx_sleep(r->rx), 0);
		cr_assert_eq(rig_word(r, RIG_MASK), 0);
	}
}

Test(ring_consumer, release_gives_all_that_was_taken_and_no_more)
{
	send_empty(5, 1);
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(rig_word(r, RIG_OUT), 0);
	(void)take();
	(void)take();
	cr_assert_eq(rig_word(r, RIG_OUT), 0);
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(rig_word(r, RIG_OUT), 48);
	(void)take();
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(rig_word(r, RIG_OUT), 72);
}

Test(ring_consumer, rewound_packets_come_again_and_are_validated_again)
{
	struct vmb_packet p;
	struct vmb_view v;
	uint32_t at;

	send_empty(3, 1);
	cr_assert_eq(take(), 1);
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(take(), 2);
	cr_assert_eq(take(), 3);
	cr_assert_eq(look(), 0);
	cr_assert_eq(vmb_rx_rewind(r->rx), 0);
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(rig_word(r, RIG_OUT), 24, "rewound is not released");
	cr_assert_eq(take(), 2);
	cr_assert_eq(vmb_rx_rewind(r->rx), 0);
	rig_set_qword(r, 24, VMB_PKT_INBAND | 1u << 16 | (uint64_t)2 << 32); /* the peer has changed it */
	cr_assert_eq(vmb_rx_next(r->rx, &p, &v), VMB_EPEER);
	cr_assert_eq(vmb_rx_reason(r->rx, &at), VMB_R_HEADER);
	cr_assert_eq(at, 24);
}

Test(ring_consumer, rewind_after_a_sleep_is_harmless_and_next_still_masks)
{
	send_empty(2, 1);
	(void)take();
	(void)take();
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	send_empty(1, 3);
	cr_assert_eq(vmb_rx_rewind(r->rx), 0);
	cr_assert_eq(take(), 3);
	cr_assert_eq(rig_word(r, RIG_MASK), 1);
}

Test(ring_consumer, sleep_releases_unmasks_and_looks_once_more)
{
	send_empty(3, 1);
	(void)take();
	cr_assert_eq(vmb_rx_sleep(r->rx), VMB_YES, "two are left");
	cr_assert_eq(rig_word(r, RIG_OUT), 24);
	cr_assert_eq(rig_word(r, RIG_MASK), 0);
	cr_assert_eq(take(), 2);
	cr_assert_eq(rig_word(r, RIG_MASK), 1, "masked again with the next packet");
	(void)take();
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	cr_assert_eq(rig_word(r, RIG_OUT), 72);
	cr_assert_eq(rig_word(r, RIG_MASK), 0);
}

/* Sleeping twice, or with packets not taken since the last time, is right as well. */
Test(ring_consumer, sleep_can_be_repeated)
{
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	send_empty(1, 1);
	cr_assert_eq(vmb_rx_sleep(r->rx), VMB_YES);
	cr_assert_eq(vmb_rx_sleep(r->rx), VMB_YES);
	cr_assert_eq(take(), 1);
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
}

Test(ring_consumer, mask_holds_until_the_next_sleep)
{
	cr_assert_eq(vmb_rx_mask(r->rx), 0);
	cr_assert_eq(rig_word(r, RIG_MASK), 1);
	cr_assert_eq(rig_send(r, 0), 0, "masked");
	(void)take();
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(rig_send(r, 0), 0, "masked");
	(void)take();
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	cr_assert_eq(rig_send(r, 0), VMB_SIGNAL);
}

Test(ring_consumer, room_signal_uses_the_last_published_out_in_every_path)
{
	/* Four packets of 0x400, of which the last takes 8 less; the producer waits for 0x600. */
	struct vmb_packet p = rig_packet(NULL, 0x600 - 24);

	for (uint32_t by_sleep = 0; by_sleep < 2; by_sleep++) {
		rig_both_at(r, 0);
		for (uint32_t i = 0; i < 3; i++)
			(void)rig_send(r, 0x400 - 24);
		(void)rig_send(r, 0x400 - 32);
		cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), 0);
		(void)take();
		cr_assert_eq(vmb_rx_release(r->rx), 0, "0x408 are not enough");
		(void)take();
		(void)take(); /* 0x408 to 0xc08: crosses, whatever was taken before the last publication */
		cr_assert_eq(by_sleep ? vmb_rx_sleep(r->rx) : vmb_rx_release(r->rx), VMB_SIGNAL | (by_sleep ? VMB_YES : 0));
		(void)take();
		cr_assert_eq(by_sleep ? vmb_rx_sleep(r->rx) : vmb_rx_release(r->rx), 0, "crossed already");
	}
}

Test(ring_consumer, loose_gives_what_it_does_not_know)
{
	struct vmb_packet p;

	send_empty(1, 9);
	for (uint32_t kind = 0; kind < 0x10; kind++) {
		int external = kind == VMB_PKT_GPA || kind == VMB_PKT_XFER;

		rig_both_at(r, 0);
		rig_set(r, RIG_IN, 40);
		cr_assert_eq(rig_rx(r, VMB_RING_LOOSE, NULL), 0);
		rig_set_qword(r, 0, kind | 3u << 16 | (uint64_t)4 << 32 | (uint64_t)0xfffe << 48);
		if (external) /* one word is too little for a range, whoever looks */
			continue;
		(void)rig_next(r, &p);
		cr_assert_eq(p.kind, kind);
		cr_assert_eq(p.flags, 0xfffe);
		cr_assert_eq(p.head_len, 8);
		cr_assert_eq(p.len, 8);
	}
}

Test(ring_consumer, loose_checks_lengths_all_the_same)
{
	struct vmb_packet p;
	struct vmb_view v;

	rig_set(r, RIG_IN, 32);
	cr_assert_eq(rig_rx(r, VMB_RING_LOOSE, NULL), 0);
	rig_set_qword(r, 0, 0xffu | 2u << 16 | (uint64_t)4 << 32);
	cr_assert_eq(vmb_rx_next(r->rx, &p, &v), VMB_EPEER);
	cr_assert_eq(vmb_rx_reason(r->rx, NULL), VMB_R_LENGTH);
}

Test(ring_consumer, spans_and_copy_reach_exactly_the_view)
{
	static uint8_t payload[5000], copy[5000];

	for (uint32_t i = 0; i < sizeof payload; i++)
		payload[i] = (uint8_t)(i * 11 + i / 256);
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (uint32_t start = 0; start < 3 * VMB_PAGE; start += 8 * 61) {
			struct rig *ring = rig_new(kind, 3);
			struct vmb_packet p = rig_packet(payload, sizeof payload);
			struct vmb_span spans[8];
			struct vmb_view v;
			uint32_t done = 0;
			int n;

			rig_both_at(ring, start);
			cr_assert_eq(vmb_tx_put(ring->tx, &p), 0);
			cr_assert_eq(vmb_tx_commit(ring->tx), VMB_SIGNAL);
			v = rig_next(ring, &p);
			n = vmb_rx_spans(ring->rx, &v, 0, spans, 8);
			cr_assert_leq(n, kind == RIG_TWICE ? 1 : kind == RIG_ONCE ? 2 : 2 + 5000 / 4096);
			for (int i = 0; i < n; i++) {
				cr_assert_eq(memcmp(spans[i].base, payload + done, spans[i].len), 0);
				done += (uint32_t)spans[i].len;
			}
			cr_assert_eq(done, 5000);
			for (uint32_t at = 0; at <= 5000; at += 333) {
				memset(copy, 0xdd, sizeof copy);
				cr_assert_eq(vmb_rx_copy(ring->rx, &v, at, copy, 5000 - at), 0);
				cr_assert_eq(memcmp(copy, payload + at, 5000 - at), 0);
				cr_assert(at == 0 || copy[5000 - at] == 0xdd);
				cr_assert_eq(vmb_rx_copy(ring->rx, &v, at, copy, 5001 - at), VMB_EINVAL);
				if (at < 5000)
					cr_assert_eq(vmb_rx_spans(ring->rx, &v, at, spans, 1), 1);
			}
			cr_assert_eq(vmb_rx_spans(ring->rx, &v, 5000, spans, 1), 0);
			cr_assert_eq(vmb_rx_spans(ring->rx, &v, 5001, spans, 1), VMB_EINVAL);
			cr_assert_eq(vmb_rx_copy(ring->rx, &v, 2, copy, UINT32_MAX), VMB_EINVAL);
			cr_assert_eq(vmb_rx_copy(ring->rx, &v, UINT32_MAX, copy, 2), VMB_EINVAL);
			rig_free(ring);
		}
}
