/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * ring.md 10, as on x86, where a publication is an exchange. Each scenario in all its schedules
 * (walk.h): no lost wake-up, no needless signal, no byte read before it was written.
 */
#include "scenarios.h"

#include <criterion/criterion.h>

#define VMB_ENV_HEADER "test/order/atomics.h"
#include "lib/ring/memory.c"
#include "lib/ring/tx.c"
#include "lib/ring/rx.c"

#define WALKED(name) Test(order_exchange, name) { scenario_passes(#name, WALK_X86); }
SCENARIOS(WALKED)

Test(order_exchange, all_orders_are_in_the_table)
{
	orders_complete(WALK_X86);
}

Test(order_exchange, every_order_weakened_alone_is_noticed)
{
	orders_needed(WALK_X86);
}

Test(order_exchange, merging_states_loses_no_schedule)
{
	static const char *const small[] = { "wakes_one_that_sleeps", "wakes_one_about_to_sleep", "ranges_mapped_once", "discard",
		"armed_or_told", "size_never_taken_back" };

	for (uint32_t i = 0; i < sizeof small / sizeof small[0]; i++)
		scenario_merged(small[i], WALK_X86);
}
