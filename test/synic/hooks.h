/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A port of env.h for the tests of this directory (lib.flags): the other side of a slot may act at the places where it matters. */
#ifndef TEST_SYNIC_HOOKS_H
#define TEST_SYNIC_HOOKS_H

#include <stddef.h>
#include <stdint.h>

/* Called once, just before the barrier, the exchange, or the copy into the slot; then forgotten. */
extern void (*synic_at_fence)(void);
extern void (*synic_at_swap)(void);
extern void (*synic_at_copy)(void);

void synic_fence(void);
int synic_swap(void *word, uint32_t from, uint32_t to);
void synic_copy(void *to, const void *from, size_t n);

#define VMBI_FENCE() synic_fence()
#define VMBI_SWAP32(p, from, to) synic_swap((p), (from), (to))
#define VMBI_COPY_IN(shared, src, n) synic_copy((shared), (src), (n))

#endif /* TEST_SYNIC_HOOKS_H */
