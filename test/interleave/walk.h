/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* All orders in which the steps of a scenario can happen: depth-first, a state that was seen before is not walked again. */
#ifndef TEST_INTERLEAVE_WALK_H
#define TEST_INTERLEAVE_WALK_H

#include "world.h"

struct iv_result {
	double schedules;     /* how many ways there are from the beginning to an end */
	uint64_t states, ends; /* states; of them such in which nothing can happen any more */
	int whole;            /* 1: nothing was left to expand */
	const char *bad;      /* NULL: all is well in all of them */
	char schedule[4096];  /* where it is not: the steps that lead there */
};

enum iv_orders {
	IV_ORDINARY, /* as a test that takes one step after the other: what follows from it is over before the next one */
	IV_ALL,      /* all orders */
	IV_ONE_FAULT, /* all orders, and in each at most one fault, anywhere */
	IV_HOST_SAVED, /* all orders, and in each the host's end is saved and restored at most once, anywhere */
	IV_GUEST_SAVED, /* the same with the guest's */
	IV_ORDERS
};

void iv_walk(const struct iv_scenario *s, enum iv_orders orders, uint64_t most_states, struct iv_result *r);

#endif /* TEST_INTERLEAVE_WALK_H */
