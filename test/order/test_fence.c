/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * ring.md 10, as on processors where a publication is a release and a fence. Each scenario in all its schedules
 * (walk.h): no lost wake-up, no needless signal, no byte read before it was written.
 */
#include "scenarios.h"

#include <criterion/criterion.h>

#define ORDER_PORTABLE
#define VMB_ENV_HEADER "test/order/atomics.h"
#include "lib/ring/memory.c"
#include "lib/ring/tx.c"
#include "lib/ring/rx.c"

#define WALKED(name) Test(order_fence, name) { scenario_passes(#name, 0); }
SCENARIOS(WALKED)

Test(order_fence, all_orders_are_in_the_table)
{
	orders_complete(0);
}

Test(order_fence, every_order_weakened_alone_is_noticed)
{
	orders_needed(0);
}

Test(order_fence, merging_states_loses_no_schedule)
{
	static const char *const small[] = { "wakes_one_that_sleeps", "wakes_one_about_to_sleep", "ranges_mapped_once", "discard",
		"armed_or_told", "size_never_taken_back" };

	for (uint32_t i = 0; i < sizeof small / sizeof small[0]; i++)
		scenario_merged(small[i], 0);
}
