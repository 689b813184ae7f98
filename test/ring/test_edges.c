/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Cases at the edge of a rule that no other test of this directory is about. */
#include <criterion/criterion.h>

#include "rig.h"

/* What lies between Out and In is counted anew after a rewind: here the packet that is left over is longer than what was taken. ring.md 9.1
 * rule 9 */
Test(ring_edges, after_a_rewind_a_longer_packet_behind_is_still_whole)
{
	static const uint8_t bytes[1000];
	struct rig *r = rig_new(RIG_ONCE, 1);
	struct vmb_packet p = rig_packet(NULL, 0);

	rig_both_at(r, 0);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	p = rig_packet(bytes, sizeof bytes);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	for (uint32_t round = 0; round < 2; round++) {
		(void)rig_next(r, &p);
		(void)rig_next(r, &p);
		cr_assert_eq(p.len, 0);
		cr_assert_eq(vmb_rx_rewind(r->rx), 0);
	}
	(void)rig_next(r, &p);
	(void)rig_next(r, &p);
	(void)rig_next(r, &p);
	cr_assert_eq(p.len, 1000);
	cr_assert_eq(vmb_rx_reason(r->rx, NULL), 0);
	rig_free(r);
}

/* The word before the count of a GPA direct packet is reserved: 0, whatever else the caller's struct says. ring.md 5.3 */
Test(ring_edges, a_gpa_packet_has_no_page_set)
{
	static const uint64_t words[] = { VMB_RANGE(8, 0), 0x1234 };
	struct rig *r = rig_new(RIG_ONCE, 1);
	struct vmb_packet p = rig_packet(NULL, 0);

	rig_both_at(r, 0);
	p.kind = VMB_PKT_GPA;
	p.list = (struct vmb_list){ words, 2, 1 };
	p.page_set = 0xcafe;
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(rig_qword(r, 16), (uint64_t)1 << 32);
	rig_free(r);
}

/* The peer can clear our mask; we neither see nor repair that: own words are stored once for each change. ring.md 9.1 rule 3 */
Test(ring_edges, a_mask_that_the_peer_has_cleared_is_not_stored_again)
{
	struct rig *r = rig_new(RIG_ONCE, 1);
	struct vmb_packet p;

	rig_both_at(r, 0);
	(void)rig_send(r, 8);
	(void)rig_next(r, &p);
	cr_assert_eq(rig_word(r, RIG_MASK), 1);
	rig_set(r, RIG_MASK, 0);
	(void)rig_send(r, 8);
	(void)rig_next(r, &p);
	cr_assert_eq(vmb_rx_mask(r->rx), 0);
	cr_assert_eq(rig_word(r, RIG_MASK), 0);
	rig_free(r);
}

/* A producer that begins anew waits for nothing, whatever its predecessor has left: a size found there would be answered by a signal that
 * nobody needs. ring.md 2.4 */
Test(ring_edges, a_pending_size_of_before_is_cleared_at_attach)
{
	struct rig *r = rig_new(RIG_ONCE, 1);

	rig_set(r, RIG_PENDING, 0x100);
	cr_assert_eq(rig_tx(r, 0, NULL), 0);
	cr_assert_eq(rig_word(r, RIG_PENDING), 0);
	rig_free(r);
}
