/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The scenarios that are walked, each by name, and the orders of lib/ring with the scenario that fails without each. */
#ifndef TEST_ORDER_SCENARIOS_H
#define TEST_ORDER_SCENARIOS_H

#include "ends.h"

struct scenario {
	const char *name;
	void (*begin)(void *ctx);
	void (*side[2])(void *ctx);
	const char *(*check)(void *ctx);
	uint32_t kind;  /* RIG_* */
	uint32_t flags; /* WALK_* */
};
extern const struct scenario scenarios[];

/* Their names, in the same order. */
#define SCENARIOS(X) \
	X(wakes_one_that_sleeps) X(wakes_one_about_to_sleep) X(two_packets_and_two_sleeps) \
	X(three_packets_and_three_sleeps) X(signals_once_to_one_that_sleeps_on) X(batches) X(batches_in_a_list_of_pages) \
	X(ranges_mapped_once) X(discard) X(polls_then_sleeps) X(masked_all_the_time) X(masks_and_unmasks) X(armed_or_told) \
	X(waits_for_room) X(waits_for_room_given_by_sleep) X(waits_for_room_twice_in_a_list_of_pages) \
	X(waits_for_more_room_than_it_needs) X(waits_behind_what_is_not_published) X(waits_after_publishing) \
	X(waits_after_publishing_and_sleep) X(waits_again_after_publishing) X(waits_again_after_publishing_and_sleep) \
	X(size_never_taken_back) X(consumer_attaches) X(consumer_restored_in_a_batch) X(consumer_restored_asleep) \
	X(producer_attaches) X(producer_attaches_to_a_full_ring) X(producer_restored) X(producer_restored_armed) \
	X(reason_of_the_consumer) X(reason_of_the_producer) X(log_of_dropped_packets) X(log_of_the_mask)

/* Tests, for each way to publish. flags: 0, or WALK_X86 where it is by exchange. */

/* Nothing goes wrong in it. Prints how much has been walked. */
void scenario_passes(const char *name, uint32_t flags);
/* One by one there are as many schedules in it as with those merged that have come to the same state. */
void scenario_merged(const char *name, uint32_t flags);
/* SCENARIOS and scenarios are the same; the table of orders has what the library asks for, and nothing else. */
void orders_complete(uint32_t flags);
/* Each order weakened by itself: the scenario that the table names fails; or does not, where the table says that the order is implied
 * by another. */
void orders_needed(uint32_t flags);

#endif /* TEST_ORDER_SCENARIOS_H */
