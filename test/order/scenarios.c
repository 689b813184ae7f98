/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The scenarios. Rings of one page; where it matters, packets go over its end. */
#include "scenarios.h"
#include "lib/ring/ring.h"

#include <string.h>

#define NEAR_END 0xfc8u /* the second packet of 24 bytes goes over the end */

static void nothing(void *ctx)
{
	(void)ctx;
}

/* ---- data: commit against sleep and wake */

static void begin_asleep(void *ctx)
{
	(void)ctx;
	ends_rest(NEAR_END, 0);
}

static void begin_draining(void *ctx)
{
	(void)ctx;
	ends_rest(NEAR_END, 1);
}

static void one(void *ctx)
{
	(void)ctx;
	(void)ends_put(32);
	ends_commit();
}

static void two(void *ctx)
{
	one(ctx);
	one(ctx);
}

static void three(void *ctx)
{
	two(ctx);
	one(ctx);
}

static void batches(void *ctx)
{
	(void)ctx;
	(void)ends_put(24);
	(void)ends_put(40);
	ends_commit();
	(void)ends_put(24);
	ends_commit();
}

static void ranges(void *ctx)
{
	(void)ctx;
	(void)ends_put_ranges();
	(void)ends_put(40);
	ends_commit();
}

static void discard(void *ctx)
{
	(void)ctx;
	(void)ends_put(32);
	ends_discard(1);
	(void)ends_put(24);
	ends_commit();
	(void)ends_put(40);
	ends_discard(1);
}

static void take_1(void *ctx)
{
	(void)ctx;
	ends_take(1, BY_RELEASE);
}

static void take_2(void *ctx)
{
	(void)ctx;
	ends_take(2, BY_RELEASE);
}

static void take_3(void *ctx)
{
	(void)ctx;
	ends_take(3, BY_RELEASE);
}

static void take_3_by_sleep(void *ctx)
{
	(void)ctx;
	ends_take(3, BY_SLEEP);
}

static void take_4_by_sleep(void *ctx)
{
	(void)ctx;
	ends_take(4, BY_SLEEP);
}

static void take_3_each_by_sleep(void *ctx)
{
	(void)ctx;
	ends_take(3, BY_SLEEP_EACH);
}

/* The last one is not taken. */
static const char *three_of_four(void *ctx)
{
	(void)ctx;
	return ends.got == 3 && ends.sent == 4 ? NULL : "a packet did not come";
}

static void take_4(void *ctx)
{
	(void)ctx;
	ends_take(4, BY_RELEASE);
}

/* Drain, release once for all of it. */
static void take_3_at_once(void *ctx)
{
	(void)ctx;
	while (ends.got < 3) {
		while (ends_next())
			;
		ends_release();
		if (ends.got < 3 && !ends_sleep())
			walk_wait();
	}
}

/* ---- masking */

/* Polls with signals off, then asks for them. */
static void poll_then_sleep(void *ctx)
{
	(void)ctx;
	ends_mask();
	for (uint32_t i = 0; i < 2; i++)
		while (ends.got < 2 && ends_next())
			ends_release();
	ends_take(2, BY_RELEASE);
}

/* Signals are never on, and none comes. */
static void poll(void *ctx)
{
	(void)ctx;
	ends_mask();
	for (uint32_t i = 0; i < 3; i++)
		while (ends_next())
			ends_release();
}

static const char *no_signal(void *ctx)
{
	(void)ctx;
	return ends.signals[0] ? "needless signal of the producer: the consumer never asked for one" : NULL;
}

/* Asks and takes it back, and asks. */
static void mask_and_unmask(void *ctx)
{
	(void)ctx;
	(void)ends_sleep();
	ends_mask();
	ends_take(2, BY_RELEASE);
}

/* One signal to one that sleeps, with the first packet. */
static const char *one_signal(void *ctx)
{
	(void)ctx;
	return ends.signals[0] == 1 ? NULL : "not one signal to a consumer that sleeps on";
}

/* ---- room: arm against release */

static void fill_ring(uint32_t first)
{
	(void)ends_put(first);
	(void)ends_put(0xff8 - first);
	ends.pub = 0xff8;
	if (vmb_tx_commit(ends.tx) < 0)
		walk_fail("vmb_tx_commit");
}

/* The consumer drains. The first packet makes room of exactly 0x600, which is not enough for a packet of that size: 10.1 */
static void begin_full(void *ctx)
{
	(void)ctx;
	ends_rest(0, 1);
	fill_ring(0x5f8);
}

static void send_large(void *ctx)
{
	(void)ctx;
	ends_send(0x600, 0);
}

static void send_two_large(void *ctx)
{
	(void)ctx;
	ends_send(0x600, 0);
	ends_send(0xb00, 0);
}

/* More than the packet needs: all that was there. */
static void send_with_least(void *ctx)
{
	(void)ctx;
	ends_send(0x300, 0xc00);
}

/* R6: something is there that was put and not published. */
static void begin_unpublished(void *ctx)
{
	(void)ctx;
	ends_rest(0x900, 1);
	(void)ends_put(0x400);
	(void)ends_put(0x700);
	ends.pub = (0x900 + 0xb00) % 0x1000;
	if (vmb_tx_commit(ends.tx) < 0)
		walk_fail("vmb_tx_commit");
	(void)ends_put(0x200);
}

static void send_behind_unpublished(void *ctx)
{
	(void)ctx;
	ends_send(0x700, 0);
}

/* R4: publishes, and then waits for more room than there was even before that. */
static void begin_some(void *ctx)
{
	(void)ctx;
	ends_rest(0, 1);
	(void)ends_put(0x800);
	ends.pub = 0x800;
	if (vmb_tx_commit(ends.tx) < 0)
		walk_fail("vmb_tx_commit");
}

static void refill(void *ctx)
{
	(void)ctx;
	ends_send(0x700, 0);
	ends_send(0x780, 0);
}

/* C4, P5: room for the first packet, by the In before it was published, is none for the second. */
static void begin_half(void *ctx)
{
	(void)ctx;
	ends_rest(0, 1);
	(void)ends_put(0x400);
	(void)ends_put(0x800);
	ends.pub = 0xc00;
	if (vmb_tx_commit(ends.tx) < 0)
		walk_fail("vmb_tx_commit");
}

static void send_small_and_large(void *ctx)
{
	(void)ctx;
	ends_send(0x200, 0);
	ends_send(0x700, 0);
}

/* Waits for no more than a signal, and never takes its size back, as some peers do. */
static void begin_kept(void *ctx)
{
	begin_full(ctx);
	ends.keeps_pending = 1;
	rig_set(ends.rig, RIG_PENDING, 0x600);
}

static void send_large_if_it_fits(void *ctx)
{
	(void)ctx;
	while (ends_put(0x600) == VMB_EFULL) {
		walk_wait();
		walk_fence(__ATOMIC_SEQ_CST); /* as an interrupt is: it has nothing else to go by */
	}
	ends_commit();
}

static const char *told_once(void *ctx)
{
	const char *why = ends_all(ctx);

	return why ? why : ends.signals[1] < 2 ? NULL : "two signals for a size that is crossed once";
}

static void take_2_by_release(void *ctx)
{
	(void)ctx;
	(void)ends_next();
	ends_release();
	(void)ends_next();
	ends_release();
}

static void arm_and_look(void *ctx)
{
	(void)ctx;
	(void)ends_arm(0x600, 0);
}

/* Told exactly when it waits; at most once. */
static const char *told_if_armed(void *ctx)
{
	(void)ctx;
	if (ends.got != 2 || ends.signals[1] > 1)
		return "told twice";
	if (ends.armed == VMB_YES && rig_word(ends.rig, RIG_PENDING))
		return "a size that nobody waits for";
	return ends.armed == VMB_YES || ends.signals[1] ? NULL : "armed, the ring is empty, and nobody told";
}

/* ---- attach and restore, of one end while the other goes on */

/* A mask that its predecessor has left. */
static void begin_no_consumer(void *ctx)
{
	(void)ctx;
	ends_rest(NEAR_END, 1);
}

static void attach_and_take_2(void *ctx)
{
	(void)ctx;
	ends_rx_init(NULL);
	ends_take(2, BY_RELEASE);
}

/* The first half has taken a packet that it has not released: it comes again. */
static void take_and_restore(void *ctx)
{
	struct vmb_cursor at;

	(void)ctx;
	if (ends_next())
		ends.got--;
	ends_rx_end(&at);
	ends_rx_init(&at);
	ends_take(2, BY_RELEASE);
}

/* Between them it says that it sleeps. */
static void sleep_and_restore(void *ctx)
{
	struct vmb_cursor at;

	(void)ctx;
	(void)ends_sleep();
	ends_rx_end(&at);
	ends_rx_init(&at);
	ends_take(2, BY_RELEASE);
}

/* What the predecessor waited for is not what this one wants. */
static void begin_no_producer(void *ctx)
{
	begin_full(ctx);
	rig_set(ends.rig, RIG_PENDING, 0x100);
}

static void attach_and_send(void *ctx)
{
	(void)ctx;
	ends_tx_init(NULL);
	ends_send(0x600, 0);
}

static void attach_and_send_two(void *ctx)
{
	(void)ctx;
	ends_tx_init(NULL);
	one(ctx);
	one(ctx);
}

static void arm_and_restore(void *ctx)
{
	struct vmb_cursor at;

	(void)ctx;
	if (ends_put(0x600) == VMB_EFULL)
		(void)ends_arm(0x600, 0);
	else
		ends_discard(1);
	ends_tx_end(&at);
	ends_tx_init(&at);
	ends_send(0x600, 0);
}

static void send_and_restore(void *ctx)
{
	struct vmb_cursor at;

	one(ctx);
	ends_tx_end(&at);
	ends_tx_init(&at);
	one(ctx);
}

/* ---- the stick, and another thread that asks for it */

static void begin_bad_in(void *ctx)
{
	begin_draining(ctx);
	rig_set(ends.rig, RIG_IN, 0x2000);
}

static void begin_bad_out(void *ctx)
{
	begin_draining(ctx);
	rig_set(ends.rig, RIG_OUT, 0x2000);
}

static void consumer_violated(void *ctx)
{
	struct vmb_packet p;
	struct vmb_view all;

	(void)ctx;
	ends.call[walk_side()] = CALL_NEXT;
	if (vmb_rx_next(ends.rx, &p, &all) != VMB_EPEER)
		walk_fail("no violation");
}

static void producer_violated(void *ctx)
{
	struct vmb_packet p = rig_packet(NULL, 0);

	(void)ctx;
	ends.call[walk_side()] = CALL_PUT;
	if (vmb_tx_put(ends.tx, &p) != VMB_EPEER)
		walk_fail("no violation");
}

static void consumer_reason(void *ctx)
{
	uint32_t at = 0, reason;

	(void)ctx;
	ends.call[walk_side()] = CALL_RX_REASON;
	reason = vmb_rx_reason(ends.rx, &at);
	if (reason ? reason != VMB_R_INDEX || at != 0x2000 : at)
		walk_fail("a reason without its place");
}

static void producer_reason(void *ctx)
{
	uint32_t at = 0, reason;

	(void)ctx;
	ends.call[walk_side()] = CALL_TX_REASON;
	reason = vmb_tx_reason(ends.tx, &at);
	if (reason ? reason != VMB_R_INDEX || at != 0x2000 : at)
		walk_fail("a reason without its place");
}

static const char *any(void *ctx)
{
	(void)ctx;
	return NULL;
}

/* ---- the log of pages written, and who copies them: what is marked has been written */

static void begin_logged(void *ctx)
{
	begin_asleep(ctx);
	ends.tx->dirty = ends.rx->dirty = (struct vmbi_dirty){ &ends.dirty, 0 };
}

static void put_and_discard(void *ctx)
{
	(void)ctx;
	(void)ends_put(32);
	ends_discard(1);
}

static void mask_alone(void *ctx)
{
	(void)ctx;
	ends_mask();
}

static void copy_data_page(void *ctx)
{
	uint8_t bytes[32];

	(void)ctx;
	if (walk_exchange(&ends.dirty, 4, 0, __ATOMIC_SEQ_CST) & 2)
		walk_copy_out(bytes, (uint8_t *)ends.rig->mem.data + NEAR_END, sizeof bytes);
}

static void copy_control_page(void *ctx)
{
	(void)ctx;
	if (walk_exchange(&ends.dirty, 4, 0, __ATOMIC_SEQ_CST) & 1)
		if (!walk_load((uint8_t *)ends.rig->mem.control + RIG_MASK, 4, __ATOMIC_RELAXED))
			walk_fail("marked before it was written");
}

const struct scenario scenarios[] = {
	{ "wakes_one_that_sleeps", begin_asleep, { one, take_1 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "wakes_one_about_to_sleep", begin_draining, { one, take_1 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "two_packets_and_two_sleeps", begin_draining, { two, take_2 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "three_packets_and_three_sleeps", begin_asleep, { three, take_3_by_sleep }, ends_all, RIG_TWICE, 0 },
	{ "signals_once_to_one_that_sleeps_on", begin_asleep, { two, nothing }, one_signal, RIG_TWICE, WALK_LATE },
	{ "batches", begin_draining, { batches, take_3_at_once }, ends_all, RIG_TWICE, WALK_LATE },
	{ "batches_in_a_list_of_pages", begin_draining, { batches, take_3 }, ends_all, RIG_LIST, 0 },
	{ "ranges_mapped_once", begin_asleep, { ranges, take_2 }, ends_all, RIG_ONCE, WALK_LATE },
	{ "discard", begin_asleep, { discard, take_1 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "polls_then_sleeps", begin_asleep, { two, poll_then_sleep }, ends_all, RIG_TWICE, WALK_LATE },
	{ "masked_all_the_time", begin_draining, { three, poll }, no_signal, RIG_TWICE, 0 },
	{ "masks_and_unmasks", begin_asleep, { two, mask_and_unmask }, ends_all, RIG_TWICE, WALK_LATE },
	{ "armed_or_told", begin_full, { arm_and_look, take_2_by_release }, told_if_armed, RIG_TWICE, WALK_LATE },
	{ "waits_for_room", begin_full, { send_large, take_3 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "waits_for_room_given_by_sleep", begin_full, { send_large, take_3_by_sleep }, ends_all, RIG_ONCE, WALK_LATE },
	{ "waits_for_room_twice_in_a_list_of_pages", begin_full, { send_two_large, take_4_by_sleep }, ends_all, RIG_LIST, 0 },
	{ "waits_for_more_room_than_it_needs", begin_full, { send_with_least, take_3 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "waits_behind_what_is_not_published", begin_unpublished, { send_behind_unpublished, take_4 }, ends_all, RIG_TWICE, 0 },
	{ "waits_after_publishing", begin_some, { refill, take_3 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "waits_after_publishing_and_sleep", begin_some, { refill, take_3_by_sleep }, ends_all, RIG_TWICE, WALK_LATE },
	{ "waits_again_after_publishing", begin_half, { send_small_and_large, take_4 }, ends_all, RIG_TWICE, 0 },
	{ "waits_again_after_publishing_and_sleep", begin_half, { send_small_and_large, take_3_each_by_sleep }, three_of_four, RIG_TWICE, 0 },
	{ "size_never_taken_back", begin_kept, { send_large_if_it_fits, take_3_by_sleep }, told_once, RIG_TWICE, 0 },
	{ "consumer_attaches", begin_no_consumer, { two, attach_and_take_2 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "consumer_restored_in_a_batch", begin_asleep, { two, take_and_restore }, ends_all, RIG_TWICE, WALK_LATE },
	{ "consumer_restored_asleep", begin_draining, { two, sleep_and_restore }, ends_all, RIG_TWICE, WALK_LATE },
	{ "producer_attaches", begin_asleep, { attach_and_send_two, take_2 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "producer_attaches_to_a_full_ring", begin_no_producer, { attach_and_send, take_3 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "producer_restored", begin_draining, { send_and_restore, take_2 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "producer_restored_armed", begin_full, { arm_and_restore, take_3 }, ends_all, RIG_TWICE, WALK_LATE },
	{ "reason_of_the_consumer", begin_bad_in, { consumer_reason, consumer_violated }, any, RIG_TWICE, WALK_LATE },
	{ "reason_of_the_producer", begin_bad_out, { producer_violated, producer_reason }, any, RIG_TWICE, WALK_LATE },
	{ "log_of_dropped_packets", begin_logged, { put_and_discard, copy_data_page }, any, RIG_TWICE, WALK_LATE },
	{ "log_of_the_mask", begin_logged, { copy_control_page, mask_alone }, any, RIG_TWICE, WALK_LATE },
	{ 0 }
};
