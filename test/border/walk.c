/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A case, walked whole: how much there was, and that all of it is well. */
#include "explore.h"

#include <criterion/criterion.h>
#include <stdio.h>

void border_walk(const char *end, const struct border_case *c)
{
	struct border_result r;

	border_explore(c, &r);
	printf("border %-5s %-34s %8.3g schedules, %7llu states, %2u words\n", end, c->name, r.schedules,
	       (unsigned long long)r.states, r.words);
	fflush(stdout);
	cr_assert_null(r.bad, "%s: %s; schedule %s", c->name, r.bad ? r.bad : "", r.schedule);
	cr_assert_gt(r.states, 10);
}
