/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Walking scenarios, whole and with one order weakened. */
#include "scenarios.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
#define NAME(name) #name,
	SCENARIOS(NAME)
};

/* An order of lib/ring, and the scenario that fails without it; or, if another makes up for it, one in which that shows. */
static const struct {
	struct ends_site site;
	const char *scenario, *implied;
} orders[] = {
	{ { CALL_TX_INIT, PART_ACQUIRE, WORD_OUT }, "producer_attaches_to_a_full_ring", "put and arm look at Out again" },
	{ { CALL_PUT, PART_ACQUIRE, WORD_OUT }, "waits_for_room", NULL },
	{ { CALL_PUT, PART_RELEASE, WORD_REASON }, "reason_of_the_producer", NULL },
	{ { CALL_COMMIT, PART_RELEASE, WORD_IN }, "wakes_one_that_sleeps", NULL },
	{ { CALL_COMMIT, PART_FENCE, WORD_IN }, "wakes_one_about_to_sleep", NULL },
	{ { CALL_ARM, PART_ACQUIRE, WORD_OUT }, "waits_for_room_given_by_sleep", NULL },
	{ { CALL_ARM, PART_RELEASE, WORD_PENDING }, "waits_again_after_publishing", "In was published with a fence" },
	{ { CALL_ARM, PART_FENCE, WORD_PENDING }, "waits_for_room_given_by_sleep", NULL },
	{ { CALL_DISCARD, PART_RELEASE, WORD_DIRTY }, "log_of_dropped_packets", NULL },
	{ { CALL_TX_REASON, PART_ACQUIRE, WORD_REASON }, "reason_of_the_producer", NULL },
	{ { CALL_RX_INIT, PART_ACQUIRE, WORD_IN }, "consumer_attaches", "next looks at In again" },
	{ { CALL_NEXT, PART_ACQUIRE, WORD_IN }, "wakes_one_that_sleeps", NULL },
	{ { CALL_NEXT, PART_RELEASE, WORD_REASON }, "reason_of_the_consumer", NULL },
	{ { CALL_RELEASE, PART_RELEASE, WORD_OUT }, "waits_after_publishing", NULL },
	{ { CALL_RELEASE, PART_FENCE, WORD_OUT }, "waits_for_room", NULL },
	{ { CALL_RELEASE, PART_ACQUIRE, WORD_PENDING }, "waits_again_after_publishing", NULL },
	{ { CALL_RELEASE, PART_ACQUIRE, WORD_IN }, "waits_after_publishing", "no packet is read by this In" },
	{ { CALL_SLEEP, PART_RELEASE, WORD_OUT }, "waits_for_room_given_by_sleep", NULL },
	{ { CALL_SLEEP, PART_RELEASE, WORD_MASK }, "two_packets_and_two_sleeps", "the fence behind it is what counts" },
	{ { CALL_SLEEP, PART_FENCE, WORD_MASK }, "wakes_one_about_to_sleep", NULL },
	{ { CALL_SLEEP, PART_ACQUIRE, WORD_PENDING }, "waits_again_after_publishing_and_sleep", NULL },
	{ { CALL_SLEEP, PART_ACQUIRE, WORD_IN }, "two_packets_and_two_sleeps", "next looks at In again" },
	{ { CALL_MASK, PART_RELEASE, WORD_DIRTY }, "log_of_the_mask", NULL },
	{ { CALL_RX_REASON, PART_ACQUIRE, WORD_REASON }, "reason_of_the_consumer", NULL },
};
#define ORDERS (sizeof orders / sizeof orders[0])

static const char *const parts[] = { "acquire", "release", "fence" };

static const struct scenario *scenario_find(const char *name)
{
	const struct scenario *s = scenarios;

	while (s->name && strcmp(s->name, name))
		s++;
	cr_assert(s->name, "no scenario %s", name);
	return s;
}

static void scenario_walk(const struct scenario *s, uint32_t flags, uint64_t most, struct walk_result *result)
{
	struct walk_case c = {
		NULL, s->begin, { s->side[0], s->side[1] }, s->check, ends_place, ends_weaken, s->flags | flags, most
	};

	ends_make(s->kind, 1);
	walk_explore(&c, result);
	ends_unmake();
}

void scenario_passes(const char *name, uint32_t flags)
{
	struct walk_result r;

	scenario_walk(scenario_find(name), flags, 0, &r);
	printf("%-42s %19.0f schedules, %6llu states, %6llu runs\n", name, r.schedules, (unsigned long long)r.states,
	       (unsigned long long)r.runs);
	fflush(stdout);
	cr_assert_eq(r.bad, 0, "%s: %s, in %llu of %llu runs", name, r.why, (unsigned long long)r.bad, (unsigned long long)r.runs);
}

void scenario_merged(const char *name, uint32_t flags)
{
	struct walk_result all, merged;

	scenario_walk(scenario_find(name), flags | WALK_ALL, 0, &all);
	scenario_walk(scenario_find(name), flags, 0, &merged);
	cr_assert_eq(all.bad, 0, "%s", all.why);
	cr_assert((double)all.runs >= all.schedules && merged.runs < all.runs); /* more: guesses that did not come true */
	cr_assert_eq(all.schedules, merged.schedules, "%s: %.0f, merged %.0f", name, all.schedules, merged.schedules);
}

static int order_known(enum ends_call call, enum ends_part part, uint32_t word)
{
	for (uint32_t i = 0; i < ORDERS; i++)
		if (orders[i].site.call == call && orders[i].site.part == part && orders[i].site.word == word)
			return 1;
	return 0;
}

void orders_complete(uint32_t flags)
{
	struct walk_result r;
	uint32_t n = 0;

	memset(ends_used, 0, sizeof ends_used);
	for (; scenarios[n].name; n++) { /* the orders are in the first few runs already */
		cr_assert(n < sizeof names / sizeof names[0] && !strcmp(names[n], scenarios[n].name), "%s", scenarios[n].name);
		scenario_walk(&scenarios[n], flags, 500, &r);
	}
	cr_assert_eq(n, sizeof names / sizeof names[0]);
	for (uint32_t call = 0; call < CALL_COUNT; call++)
		for (uint32_t part = 0; part < 3; part++)
			for (uint32_t word = 0; word < WORD_COUNT; word++)
				cr_assert_eq(ends_used[call][part][word], order_known(call, part, word), "%s: %s of %s",
					     ends_call_names[call], parts[part], ends_word_names[word]);
}

void orders_needed(uint32_t flags)
{
	struct walk_result r;

	for (uint32_t i = 0; i < ORDERS; i++) {
		ends_weak = &orders[i].site;
		scenario_walk(scenario_find(orders[i].scenario), flags | WALK_FIRST, 0, &r);
		printf("without %-7s of %-8s in %-9s %-40s %s\n", parts[ends_weak->part], ends_word_names[ends_weak->word],
		       ends_call_names[ends_weak->call], orders[i].scenario, r.bad ? r.why : orders[i].implied);
		fflush(stdout);
		cr_assert_eq(r.bad, !orders[i].implied, "%s of %s in %s: %s", parts[ends_weak->part],
			     ends_word_names[ends_weak->word], ends_call_names[ends_weak->call], r.bad ? r.why : "nothing fails");
	}
}
