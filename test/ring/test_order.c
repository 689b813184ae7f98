/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Which words a call touches, in which order and how: ring.md 10.2, 8, 9.1 rules 1, 3 and 4, read off a trace. A step is one
 * letter for the access and one for the word:
 *
 *   l load, L load-acquire, s store, S store-release, P store and full fence
 *   I In, O Out, M mask, Q pending size, F features
 *   r 64-bit load of the data, w 64-bit store, c copy of bytes
 *
 * One after the other and nothing else, so these strings also say: no own word is loaded, no peer's word twice.
 */
#include "hooked.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "rig.h"

static struct rig *r;
static char trace[4096];

static int note(struct port_access *a)
{
	static const char letter[] = "lLsSP?rwccc";
	size_t used = strlen(trace);
	char name = 0;
	uint32_t word;

	if (rig_is_control(r, a->shared, &word))
		name = word == 0 ? 'I' : word == 4 ? 'O' : word == 8 ? 'M' : word == 12 ? 'Q' : word == 0x40 ? 'F' : '?';
	else if ((uint8_t *)a->shared < (uint8_t *)r->mem.data || (uint8_t *)a->shared >= (uint8_t *)r->mem.data + 2 * r->size)
		return 0; /* not shared */
	snprintf(trace + used, sizeof trace - used, "%s%c%.1s", used ? " " : "", letter[a->op], name ? &name : "");
	return 0;
}

/* The steps of one call, which returns `result`. */
#define STEPS(result, call, steps) \
	do { \
		trace[0] = 0; \
		port_hook = note; \
		int got_ = (call); \
		port_hook = NULL; \
		cr_assert_eq(got_, (result), "%s gives %d", #call, got_); \
		cr_assert_str_eq(trace, steps, "%s: %s", #call, trace); \
	} while (0)

static void setup(void)
{
	r = rig_new(RIG_TWICE, 1);
	rig_both_at(r, 0);
}

static void teardown(void)
{
	rig_free(r);
}

TestSuite(ring_order, .init = setup, .fini = teardown);

static const uint8_t payload[4064];

Test(ring_order, put_loads_out_with_acquire_once_and_only_when_it_must)
{
	struct vmb_packet p = rig_packet(payload, 8);
	struct vmb_view v;

	STEPS(0, vmb_tx_put(r->tx, &p), "LO w w w c"); /* P1 */
	STEPS(0, vmb_tx_put(r->tx, &p), "w w w c");
	p.len = 13;
	STEPS(0, vmb_tx_put(r->tx, &p), "w w w w c");
	STEPS(0, vmb_tx_reserve(r->tx, &p, &v), "w w w w");
	p.len = 0;
	STEPS(0, vmb_tx_put(r->tx, &p), "w w w");
	p.len = 4000;
	STEPS(VMB_EFULL, vmb_tx_put(r->tx, &p), "LO");
	p.len = 4064 + 8;
	STEPS(VMB_ETOOBIG, vmb_tx_put(r->tx, &p), "");
	p.len = 8;
	STEPS(0, vmb_tx_put(r->tx, &p), "w w w c");
	STEPS(0, vmb_tx_discard(r->tx), "");
	STEPS(0, vmb_tx_put(r->tx, &p), "LO w w w c");
}

Test(ring_order, commit_p2_p3_publishes_then_samples_mask_then_out)
{
	struct vmb_packet p = rig_packet(payload, 8);

	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	STEPS(VMB_SIGNAL, vmb_tx_commit(r->tx), "PI lM lO");
	STEPS(0, vmb_tx_commit(r->tx), "");
}

Test(ring_order, commit_clears_pending_before_in)
{
	struct vmb_packet p = rig_packet(payload, 4000), q;

	(void)rig_send(r, 2000);
	cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), 0);
	(void)rig_next(r, &q);
	cr_assert_eq(vmb_rx_release(r->rx), VMB_SIGNAL);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	STEPS(0, vmb_tx_commit(r->tx), "sQ PI lM lO");
	(void)rig_next(r, &q);
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	STEPS(VMB_SIGNAL, vmb_tx_commit(r->tx), "PI lM lO");
}

Test(ring_order, arm_p4_p5_publishes_pending_then_looks_at_out)
{
	struct vmb_packet p = rig_packet(payload, 4000), q;

	(void)rig_send(r, 2000);
	STEPS(0, vmb_tx_arm(r->tx, &p, 0), "PQ LO");
	(void)rig_next(r, &q);
	cr_assert_eq(vmb_rx_release(r->rx), VMB_SIGNAL);
	STEPS(VMB_YES, vmb_tx_arm(r->tx, &p, 0), "PQ LO sQ");
}

Test(ring_order, next_c1_looks_at_in_once_per_batch_and_at_each_descriptor_once)
{
	struct vmb_packet p;
	struct vmb_view v;

	STEPS(0, vmb_rx_next(r->rx, &p, &v), "LI");
	(void)rig_send(r, 8);
	(void)rig_send(r, 0);
	(void)rig_send(r, 8);
	STEPS(VMB_YES, vmb_rx_next(r->rx, &p, &v), "LI sM r r");
	STEPS(VMB_YES, vmb_rx_next(r->rx, &p, &v), "r r");
	STEPS(VMB_YES, vmb_rx_next(r->rx, &p, &v), "r r");
	STEPS(0, vmb_rx_next(r->rx, &p, &v), "LI");
	STEPS(0, vmb_rx_rewind(r->rx), "");
	STEPS(VMB_YES, vmb_rx_next(r->rx, &p, &v), "LI r r");
	STEPS(0, vmb_rx_copy(r->rx, &v, 0, (uint8_t[8]){ 0 }, 8), "c");
	STEPS(0, vmb_rx_release(r->rx), "PO LQ");
	(void)rig_send(r, 8);
	STEPS(VMB_YES, vmb_rx_next(r->rx, &p, &v), "r r");
	STEPS(VMB_YES, vmb_rx_next(r->rx, &p, &v), "r r");
	STEPS(VMB_YES, vmb_rx_next(r->rx, &p, &v), "LI r r");
}

/* The count word is fetched once, too. */
Test(ring_order, next_fetches_the_count_of_ranges_once)
{
	static const uint64_t words[4] = { VMB_RANGE(16, 0), 7, VMB_RANGE(16, 0), 8 };
	struct vmb_packet p = rig_packet(payload, 16);
	struct vmb_view v;

	p.kind = VMB_PKT_GPA;
	p.list = (struct vmb_list){ words, 4, 2 };
	STEPS(0, vmb_tx_put(r->tx, &p), "LO w w w w w w w w c");
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	STEPS(VMB_YES, vmb_rx_next(r->rx, &p, &v), "LI sM r r r");
	cr_assert_eq(p.list.ranges, 2);
}

Test(ring_order, release_c2_c3_c4_publishes_then_samples_pending_then_in)
{
	struct vmb_packet p;

	(void)rig_send(r, 8);
	(void)rig_next(r, &p);
	rig_set(r, RIG_PENDING, 0x800);
	STEPS(0, vmb_rx_release(r->rx), "PO LQ LI");
	STEPS(0, vmb_rx_release(r->rx), "");
}

/* 10.3: one fence serves both; that In decides the signal and whether to sleep. */
Test(ring_order, sleep_c3_c4_c5_is_one_sequence_with_one_fence)
{
	struct vmb_packet p;

	(void)rig_send(r, 8);
	(void)rig_next(r, &p);
	STEPS(0, vmb_rx_sleep(r->rx), "SO PM LQ LI");
	STEPS(0, vmb_rx_sleep(r->rx), "PM LQ LI");
	rig_set(r, RIG_PENDING, 0x800);
	(void)rig_send(r, 8);
	STEPS(VMB_YES, vmb_rx_sleep(r->rx), "PM LQ LI");
	STEPS(0, vmb_rx_mask(r->rx), "sM");
	STEPS(0, vmb_rx_mask(r->rx), "");
}

Test(ring_order, init_reads_each_index_once)
{
	struct vmb_cursor at = { 1, 0, 0, 0 };

	STEPS(0, rig_tx(r, 0, NULL), "lI LO sQ sF");
	STEPS(0, rig_rx(r, 0, NULL), "lO LI");
	STEPS(0, rig_tx(r, 0, &at), "LO");
	STEPS(0, rig_rx(r, 0, &at), "LI");
	STEPS(0, rig_tx(r, VMB_RING_FRESH, NULL), "cI lI LO sQ sF"); /* "cI": the page is cleared, from In on */
	STEPS(0, rig_rx(r, VMB_RING_FRESH, NULL), "cI lO LI");
	STEPS(0, vmb_tx_end(r->tx, &at), "");
	STEPS(0, vmb_rx_end(r->rx, &at), "");
}

Test(ring_order, inspect_reads_each_word_once)
{
	struct vmb_ring_info info;

	STEPS(0, vmb_ring_inspect(&r->mem, &info), "lI lO lM lQ lF");
}

Test(ring_order, spans_touch_nothing)
{
	struct vmb_view v = { 0, 64 };
	struct vmb_span s;

	STEPS(1, vmb_tx_spans(r->tx, &v, 0, &s, 1), "");
	STEPS(1, vmb_rx_spans(r->rx, &v, 0, &s, 1), "");
	STEPS(0, vmb_tx_copy(r->tx, &v, 0, payload, 64), "c");
}
