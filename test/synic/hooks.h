/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A port of env.h for the tests of this directory (lib.flags): the other side of a slot may act at the two places where it matters. */
#ifndef TEST_SYNIC_HOOKS_H
#define TEST_SYNIC_HOOKS_H

#include <stdint.h>

/* Called once, just before the barrier or the exchange; then forgotten. */
extern void (*synic_at_fence)(void);
extern void (*synic_at_swap)(void);

void synic_fence(void);
int synic_swap(void *word, uint32_t from, uint32_t to);

#define VMBI_FENCE() synic_fence()
#define VMBI_SWAP32(p, from, to) synic_swap((p), (from), (to))

#endif /* TEST_SYNIC_HOOKS_H */
