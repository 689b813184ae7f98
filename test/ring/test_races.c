/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The lost wake-ups of ring.md 10.4, R1 ... R12, each as far as a ring can show it. Where two sides race, all interleavings are
 * walked with all that the memory model lets a load see (test/order/walk.h). So that a walk that finds nothing means something, the
 * mistakes that the table names are made on purpose in small wrong halves, and the walk must find each.
 */
#include "hooked.h"

#include <criterion/criterion.h>
#include <string.h>

#include "rig.h"
#include "weak.h"

static struct rig *r;

/* What the sides of a case did, for its check. */
static struct {
	int commit[4], arm, release[4], sleep[4], got[8];
	uint64_t id[8];
	uint32_t commits, releases, sleeps, nexts;
} did;

static enum walk_kind place(void *ctx, const void *address, uint32_t *number)
{
	uintptr_t at = (uintptr_t)address - (uintptr_t)r->mem.data;
	uint32_t word;

	(void)ctx;
	if (rig_is_control(r, address, &word)) {
		*number = word == RIG_FEATURES ? 4 : word / 4;
		return WALK_CONTROL;
	}
	*number = (uint32_t)(at % r->size / 8);
	return at < 2 * (uintptr_t)r->size ? WALK_DATA : WALK_PRIVATE;
}

static void at_rest(void)
{
	memset(&did, 0, sizeof did);
	memset(r->data, 0, r->size);
	rig_both_at(r, 0);
}

static void setup(void)
{
	r = rig_new(RIG_TWICE, 1);
}

static void teardown(void)
{
	rig_free(r);
}

TestSuite(ring_races, .init = setup, .fini = teardown);

static double explore(void (*begin)(void *), void (*a)(void *), void (*b)(void *), int (*check)(void *), uint64_t *bad)
{
	struct weak_case c = { NULL, begin, { a, b }, check, place };

	return weak_explore(&c, bad);
}

static void never_lost(void (*begin)(void *), void (*a)(void *), void (*b)(void *), int (*check)(void *), uint64_t least)
{
	uint64_t bad;
	double n = explore(begin, a, b, check, &bad);

	cr_assert_eq(bad, 0, "%llu bad runs in %.0f schedules", (unsigned long long)bad, n);
	cr_assert(n >= (double)least, "only %.0f schedules", n);
}

static void found(void (*begin)(void *), void (*a)(void *), void (*b)(void *), int (*check)(void *))
{
	uint64_t bad;
	double n = explore(begin, a, b, check, &bad);

	cr_assert_gt(bad, 0, "the mistake is not found in %.0f schedules", n);
}

/* ---- steps that sides are made of */

static void put(uint64_t id, uint32_t total)
{
	static const uint8_t zeros[VMB_PAGE];
	struct vmb_packet p = rig_packet(zeros, total - 24);

	p.id = id;
	did.got[7] |= vmb_tx_put(r->tx, &p);
}

static void commit(void)
{
	did.commit[did.commits++] = vmb_tx_commit(r->tx);
}

static void arm(uint32_t total)
{
	struct vmb_packet p = rig_packet(NULL, total - 24);

	did.arm = vmb_tx_arm(r->tx, &p, 0);
}

static int next(void)
{
	struct vmb_packet p = { 0 };
	struct vmb_view v;
	int got = vmb_rx_next(r->rx, &p, &v);

	did.got[did.nexts] = got;
	did.id[did.nexts++] = p.id;
	return got;
}

static int nap(void)
{
	return did.sleep[did.sleeps++] = vmb_rx_sleep(r->rx);
}

static void release(void)
{
	did.release[did.releases++] = vmb_rx_release(r->rx);
}

/* The packets that came are 1, 2 ...; nobody saw a violation. */
static int in_order(void)
{
	uint64_t expect = 1;

	for (uint32_t i = 0; i < did.nexts; i++) {
		if (did.got[i] < 0 || (did.got[i] && did.id[i] != expect++))
			return 0;
	}
	return !did.got[7] && !vmb_rx_reason(r->rx, NULL) && !vmb_tx_reason(r->tx, NULL);
}

static int signalled(const int *results, uint32_t n)
{
	int any = 0;

	for (uint32_t i = 0; i < n; i++)
		any |= results[i] & VMB_SIGNAL;
	return any;
}

/* ---- data: commit against sleep */

static void begin_draining(void *ctx)
{
	(void)ctx;
	at_rest();
	(void)rig_send(r, 0); /* taken: the consumer is masked and about to find the ring empty */
	(void)rig_next(r, &(struct vmb_packet){ 0 });
	cr_assert_eq(vmb_rx_release(r->rx), 0);
}

static void one_packet(void *ctx)
{
	(void)ctx;
	put(1, 24);
	commit();
}

static void drain_and_sleep(void *ctx)
{
	(void)ctx;
	while (next() == VMB_YES)
		;
	(void)nap();
}

/* It sleeps: then what is in the ring must have been signalled. */
static int woken_if_asleep(void *ctx)
{
	int asleep = !(did.sleep[did.sleeps - 1] & VMB_YES);

	(void)ctx;
	return in_order() && (!asleep || rig_word(r, RIG_IN) == rig_word(r, RIG_OUT) || signalled(did.commit, did.commits));
}

Test(ring_races, r01_producer_samples_after_its_in_is_visible)
{
	never_lost(begin_draining, one_packet, drain_and_sleep, woken_if_asleep, 100);
}

static void two_batches(void *ctx)
{
	(void)ctx;
	put(1, 24);
	commit();
	put(2, 24);
	put(3, 24);
	commit();
}

Test(ring_races, r01_two_batches_against_two_sleeps)
{
	never_lost(begin_draining, two_batches, drain_and_sleep, woken_if_asleep, 1000);
}

static void drain_without_sleep(void *ctx)
{
	(void)ctx;
	while (next() == VMB_YES)
		;
	release();
}

static int no_signal(void *ctx)
{
	(void)ctx;
	return !signalled(did.commit, did.commits);
}

Test(ring_races, r01_no_signal_to_a_consumer_that_stays_masked)
{
	never_lost(begin_draining, two_batches, drain_without_sleep, no_signal, 300);
}

static void begin_asleep(void *ctx)
{
	begin_draining(ctx);
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
}

static void stay_asleep(void *ctx)
{
	(void)ctx;
}

static int first_alone_signals(void *ctx)
{
	(void)ctx;
	return did.commit[0] == VMB_SIGNAL && did.commit[1] == 0;
}

Test(ring_races, r01_one_signal_to_a_consumer_that_sleeps)
{
	never_lost(begin_asleep, two_batches, stay_asleep, first_alone_signals, 1);
}

static void wrong_publish_without_fence(void *ctx)
{
	(void)ctx;
	put(1, 24);
	VMBI_STORE32_RELEASE(r->tx->ring.control + RIG_IN, r->tx->next);
	did.commit[did.commits++] = VMBI_LOAD32_RELAXED(r->tx->ring.control + RIG_MASK) == 0 &&
				    VMBI_LOAD32_RELAXED(r->tx->ring.control + RIG_OUT) == r->tx->pub ? VMB_SIGNAL : 0;
}

Test(ring_races, r01_walk_finds_a_commit_without_fence)
{
	found(begin_draining, wrong_publish_without_fence, drain_and_sleep, woken_if_asleep);
}

static void wrong_sleep_without_fence(void *ctx)
{
	(void)ctx;
	while (next() == VMB_YES)
		;
	VMBI_STORE32_RELEASE(r->rx->ring.control + RIG_OUT, r->rx->next);
	VMBI_STORE32_RELEASE(r->rx->ring.control + RIG_MASK, 0);
	did.sleep[did.sleeps++] = VMBI_LOAD32_ACQUIRE(r->rx->ring.control + RIG_IN) == r->rx->next ? 0 : VMB_YES;
}

Test(ring_races, r01_walk_finds_an_unmask_without_fence)
{
	found(begin_draining, one_packet, wrong_sleep_without_fence, woken_if_asleep);
}

Test(ring_races, r02_sleep_looks_again_after_unmasking)
{
	/* The packet comes when the mask has been taken away but In not yet looked at, and just before. */
	for (uint32_t early = 0; early < 2; early++) {
		begin_draining(NULL);
		put(1, 24);
		if (early)
			cr_assert_eq(vmb_tx_commit(r->tx), 0, "still masked");
		cr_assert_eq(vmb_rx_sleep(r->rx), early ? VMB_YES : 0);
		if (!early)
			cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	}
	never_lost(begin_draining, one_packet, drain_and_sleep, woken_if_asleep, 100);
}

static void wrong_sleep_without_look(void *ctx)
{
	(void)ctx;
	while (next() == VMB_YES)
		;
	VMBI_STORE32_RELEASE(r->rx->ring.control + RIG_OUT, r->rx->next);
	VMBI_PUBLISH32(r->rx->ring.control + RIG_MASK, 0);
	did.sleep[did.sleeps++] = 0;
}

Test(ring_races, r02_walk_finds_a_sleep_without_a_look)
{
	found(begin_draining, one_packet, wrong_sleep_without_look, woken_if_asleep);
}

/* C1, P2: what In shows has been written, in all its words. */
static void wrong_publish_relaxed(void *ctx)
{
	(void)ctx;
	put(1, 24);
	VMBI_STORE32_RELAXED(r->tx->ring.control + RIG_IN, r->tx->next);
}

static int packets_whole(void *ctx)
{
	(void)ctx;
	return in_order();
}

static void look_twice(void *ctx)
{
	(void)ctx;
	(void)next();
	(void)next();
}

Test(ring_races, p2_c1_packets_are_whole_when_they_are_seen)
{
	never_lost(begin_draining, two_batches, look_twice, packets_whole, 100);
	found(begin_draining, wrong_publish_relaxed, look_twice, packets_whole);
}

/* ---- room: arm against release */

static void begin_full(void *ctx)
{
	(void)ctx;
	at_rest();
	put(1, 0x400);
	put(2, 0xbf8); /* full */
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
}

static void wait_for_room(void *ctx)
{
	(void)ctx;
	arm(0x600);
}

static void take_all(void *ctx)
{
	(void)ctx;
	(void)next();
	release();
	(void)next();
	release();
}

static void take_all_and_sleep(void *ctx)
{
	(void)ctx;
	(void)next();
	(void)nap();
	(void)next();
	(void)nap();
}

/* Armed: then the consumer, which has drained the ring, has told. */
static int told_if_armed(void *ctx)
{
	(void)ctx;
	return in_order() && (did.arm == VMB_YES || signalled(did.release, did.releases) || signalled(did.sleep, did.sleeps));
}

/* Told at most once, and not before it was enough. */
static int told_once(void *ctx)
{
	(void)ctx;
	return !(signalled(did.release, 1) || (signalled(did.sleep, 1))) &&
	       (did.arm == VMB_YES || signalled(did.release + 1, 1) != signalled(did.sleep + 1, 1));
}

Test(ring_races, r03_consumer_samples_pending_after_its_out_is_visible)
{
	never_lost(begin_full, wait_for_room, take_all, told_if_armed, 100);
	never_lost(begin_full, wait_for_room, take_all, told_once, 100);
}

Test(ring_races, r03_the_same_by_sleep)
{
	never_lost(begin_full, wait_for_room, take_all_and_sleep, told_if_armed, 200);
	never_lost(begin_full, wait_for_room, take_all_and_sleep, told_once, 200);
}

static void wrong_release_without_fence(void *ctx)
{
	(void)ctx;
	(void)next();
	(void)next();
	VMBI_STORE32_RELEASE(r->rx->ring.control + RIG_OUT, r->rx->next);
	did.release[did.releases++] = VMBI_LOAD32_ACQUIRE(r->rx->ring.control + RIG_PENDING) ? VMB_SIGNAL : 0;
}

Test(ring_races, r03_walk_finds_a_release_without_fence)
{
	found(begin_full, wait_for_room, wrong_release_without_fence, told_if_armed);
}

static void wrong_arm_without_fence(void *ctx)
{
	uint32_t out;

	(void)ctx;
	VMBI_STORE32_RELEASE(r->tx->ring.control + RIG_PENDING, 0x600);
	out = VMBI_LOAD32_ACQUIRE(r->tx->ring.control + RIG_OUT);
	did.arm = vmbi_ring_raw(r->tx->pub, out, r->size) > 0x600 ? VMB_YES : 0;
}

Test(ring_races, r03_walk_finds_an_arm_without_fence)
{
	found(begin_full, wrong_arm_without_fence, take_all, told_if_armed);
}

/* R4: the producer publishes a packet and then waits for more room than there was even before it. */
static void begin_r04(void *ctx)
{
	(void)ctx;
	at_rest();
	put(1, 0x800);
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
}

static void fill_and_wait(void *ctx)
{
	(void)ctx;
	put(2, 0x700);
	commit();
	arm(0x780);
}

static void take_one(void *ctx)
{
	(void)ctx;
	(void)next();
	release();
}

static int told_if_it_fits(void *ctx)
{
	uint32_t raw = vmbi_ring_raw(rig_word(r, RIG_IN), rig_word(r, RIG_OUT), r->size);

	(void)ctx;
	return in_order() && (did.arm == VMB_YES || raw <= 0x780 || signalled(did.release, did.releases));
}

Test(ring_races, r04_pending_is_sampled_before_in)
{
	never_lost(begin_r04, fill_and_wait, take_one, told_if_it_fits, 500);
}

static void wrong_in_sampled_early(void *ctx)
{
	uint32_t in, pending, old = r->rx->pub;

	(void)ctx;
	(void)next();
	in = VMBI_LOAD32_ACQUIRE(r->rx->ring.control + RIG_IN);
	VMBI_PUBLISH32(r->rx->ring.control + RIG_OUT, r->rx->next);
	pending = VMBI_LOAD32_ACQUIRE(r->rx->ring.control + RIG_PENDING);
	did.release[did.releases++] = pending && vmbi_ring_raw(in, old, r->size) <= pending &&
				      vmbi_ring_raw(in, r->rx->next, r->size) > pending ? VMB_SIGNAL : 0;
}

Test(ring_races, r04_walk_finds_in_sampled_before_pending)
{
	found(begin_r04, fill_and_wait, wrong_in_sampled_early, told_if_it_fits);
}

/* P5: relaxed, the pending size could be seen without the In that it belongs to. */
static void wrong_pending_relaxed(void *ctx)
{
	uint32_t out;

	(void)ctx;
	put(2, 0x700);
	VMBI_STORE32_RELEASE(r->tx->ring.control + RIG_IN, r->tx->next);
	r->tx->pub = r->tx->next;
	VMBI_STORE32_RELAXED(r->tx->ring.control + RIG_PENDING, 0x780);
	out = VMBI_LOAD32_ACQUIRE(r->tx->ring.control + RIG_OUT);
	did.arm = vmbi_ring_raw(r->tx->pub, out, r->size) > 0x780 ? VMB_YES : 0;
}

Test(ring_races, r04_walk_finds_a_relaxed_pending_size)
{
	found(begin_r04, wrong_pending_relaxed, take_one, told_if_it_fits);
}

Test(ring_races, r05_arm_looks_at_out_again)
{
	begin_full(NULL); /* everything is taken between the failed put and the arm: no release will follow */
	take_all(NULL);
	cr_assert_eq(signalled(did.release, 2), 0);
	arm(0x600);
	cr_assert_eq(did.arm, VMB_YES);
	never_lost(begin_full, wait_for_room, take_all, told_if_armed, 100);
}

static void wrong_arm_without_look(void *ctx)
{
	(void)ctx;
	VMBI_PUBLISH32(r->tx->ring.control + RIG_PENDING, 0x600);
	did.arm = 0;
}

Test(ring_races, r05_walk_finds_an_arm_without_a_look)
{
	found(begin_full, wrong_arm_without_look, take_all, told_if_armed);
}

/* R6: what was put but not published is no room for the consumer. Then the packet fits when it tells. */
static void begin_r06(void *ctx)
{
	(void)ctx;
	at_rest();
	put(1, 0x400);
	put(2, 0x400);
	put(3, 0x400);
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	put(4, 0x200);
}

static void take_three(void *ctx)
{
	(void)ctx;
	for (uint32_t i = 0; i < 3; i++) {
		(void)next();
		release();
	}
}

/* The signal came with the release after which the packet fits behind what was put, not earlier, not later. */
static int told_in_time(void *ctx)
{
	(void)ctx;
	return in_order() && (did.arm == VMB_YES || did.release[1] == VMB_SIGNAL) && !did.release[0] && !did.release[2];
}

Test(ring_races, r06_pending_counts_what_is_not_published)
{
	begin_r06(NULL);
	arm(0x700); /* raw(In, Out) > 0x700 after one release; but behind the 0x200 that were put only after two */
	take_three(NULL);
	cr_assert(told_in_time(NULL));
	never_lost(begin_r06, wait_for_room, take_three, packets_whole, 100);
}

Test(ring_races, r07_old_is_the_last_published_out)
{
	/* Two releases in one session: the second must not count what the first has given. */
	begin_r06(NULL);
	cr_assert_eq(vmb_tx_discard(r->tx), 0);
	arm(0x700); /* raw: 0x400, 0x800 after one, 0xc00 after two */
	cr_assert_eq(did.arm, 0);
	take_three(NULL);
	cr_assert_eq(did.release[0], VMB_SIGNAL);
	cr_assert_eq(did.release[1], 0, "was enough before");
	cr_assert_eq(did.release[2], 0);
}

Test(ring_races, r08_mask_never_gates_the_room_signal)
{
	for (uint32_t mask = 0; mask < 2; mask++) {
		begin_full(NULL);
		arm(0x600);
		(void)next();
		(void)next();
		rig_set(r, RIG_MASK, mask);
		release();
		cr_assert_eq(did.release[0], VMB_SIGNAL);
	}
}

Test(ring_races, r09_out_is_published_before_sleeping)
{
	begin_full(NULL);
	arm(0x600);
	(void)next();
	(void)next(); /* taken, not released */
	cr_assert_eq(nap(), VMB_SIGNAL);
	cr_assert_eq(rig_word(r, RIG_OUT), 0xff8);
	never_lost(begin_full, wait_for_room, take_all_and_sleep, told_if_armed, 200);
}

Test(ring_races, r10_both_rings_are_found_as_they_are_after_attach)
{
	/* Packets and an armed producer were there before this consumer; no signal will come again for either. */
	begin_full(NULL);
	arm(0x600);
	rig_set(r, RIG_MASK, 1);
	cr_assert_eq(rig_rx(r, 0, NULL), 0);
	cr_assert_eq(nap(), VMB_YES, "there is something, without any signal");
	take_all(NULL);
	cr_assert_eq(did.release[1], VMB_SIGNAL, "and the producer is told");
	/* A new producer takes back what its predecessor asked for, and asks anew. */
	begin_full(NULL);
	arm(0x600);
	cr_assert_eq(rig_tx(r, 0, NULL), 0);
	cr_assert_eq(rig_word(r, RIG_PENDING), 0);
	take_all(NULL);
	cr_assert_eq(signalled(did.release, 2), 0);
	arm(0x600);
	cr_assert_eq(did.arm, VMB_YES);
}

/* R11: one signal may mean packets in one ring, room in the other, or both. Whoever wakes looks at both halves and finds both. */
Test(ring_races, r11_one_signal_serves_both_halves_of_an_end)
{
	struct rig *out = r, *in = rig_new(RIG_LIST, 1);
	struct vmb_packet p = rig_packet(out->data, 2000), q;

	rig_both_at(out, 0);
	rig_both_at(in, 0);
	while (vmb_tx_put(out->tx, &p) == 0)
		;
	cr_assert_eq(vmb_tx_commit(out->tx), VMB_SIGNAL);
	cr_assert_eq(vmb_tx_arm(out->tx, &p, 0), 0);
	cr_assert_eq(vmb_rx_sleep(in->rx), 0); /* this end sleeps, for both reasons */
	cr_assert_eq(rig_send(in, 8), VMB_SIGNAL);
	(void)rig_next(out, &q);
	cr_assert_eq(vmb_rx_release(out->rx), VMB_SIGNAL); /* two signals, of which the second may be swallowed by the first */
	cr_assert_eq(rig_next(in, &q).len, 8);
	cr_assert_eq(vmb_tx_put(out->tx, &p), 0);
	rig_free(in);
}

/* R12: the flag of the interrupt is cleared first, then the ring is drained. At every access of the drain a packet may come. */
static struct {
	uint32_t countdown, flag, sent;
} irq;

/* A moment in which a packet may come. */
static void moment(void)
{
	if (--irq.countdown)
		return;
	port_hook = NULL;
	put(++irq.sent, 24);
	irq.flag |= vmb_tx_commit(r->tx) == VMB_SIGNAL;
}

static int moment_before(struct port_access *a)
{
	uint32_t word;

	if (rig_is_control(r, a->shared, &word))
		moment();
	return 0;
}

static uint32_t serve(int clear_last)
{
	uint32_t got = 0;

	while (irq.flag) {
		if (!clear_last)
			irq.flag = 0;
		do
			while (next() == VMB_YES)
				got++;
		while (nap() & VMB_YES);
		moment();
		if (clear_last)
			irq.flag = 0;
	}
	return got;
}

static uint32_t lost_in_service(int clear_last)
{
	uint32_t lost = 0;

	for (uint32_t at = 1; at < 12; at++) {
		at_rest();
		irq.sent = irq.flag = 0;
		irq.countdown = at;
		put(++irq.sent, 24);
		irq.flag |= vmb_tx_commit(r->tx) == VMB_SIGNAL;
		port_hook = moment_before;
		lost += serve(clear_last) != irq.sent;
		port_hook = NULL;
	}
	return lost;
}

Test(ring_races, r12_flag_cleared_before_the_drain_loses_nothing)
{
	cr_assert_eq(lost_in_service(0), 0);
	cr_assert_gt(lost_in_service(1), 0, "the other way round is found");
}
