/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* test/order/walk.h for halves that are built on harness/port.h: all schedules of two sides of a ring. */
#ifndef TEST_RING_WEAK_H
#define TEST_RING_WEAK_H

#include "test/order/walk.h"

struct weak_case {
	void *ctx;
	void (*begin)(void *ctx);       /* make everything anew: not observed */
	void (*side[2])(void *ctx);     /* run side by side, on port.h */
	int (*check)(void *ctx);        /* afterwards, not observed: 1 if all is well */
	enum walk_kind (*place)(void *ctx, const void *address, uint32_t *number); /* as in walk.h */
};

/* How many schedules there are; *bad: how many runs of them failed. */
double weak_explore(const struct weak_case *c, uint64_t *bad);

#endif /* TEST_RING_WEAK_H */
