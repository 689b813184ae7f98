/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Two sides of a ring under the memory model of C11: all orders of their accesses, and at each load all values that the model
 * lets it see. Stores become messages; a side has a view of how far it has seen each word; release attaches the view to the
 * message, acquire takes it in, a seq_cst fence exchanges it with all earlier fences. Loads are never late, so what needs "read
 * before write" (C2, P1) is not shown here: test_order.c looks at the accesses themselves.
 *
 * Each word may have one writer only, as the words of a ring do.
 */
#ifndef TEST_RING_WEAK_H
#define TEST_RING_WEAK_H

#include <stdint.h>

struct weak_case {
	void *ctx;
	void (*begin)(void *ctx);                       /* make everything anew: not observed */
	void (*side[2])(void *ctx);                     /* run side by side, on port.h */
	int (*check)(void *ctx);                        /* afterwards, not observed: 1 if all is well */
	int (*shared)(void *ctx, const void *address);  /* is this a word that both sides use? 2: a control word */
};

/* How many executions there are; *bad of them failed the check. */
uint64_t weak_explore(const struct weak_case *c, uint64_t *bad);

#endif /* TEST_RING_WEAK_H */
