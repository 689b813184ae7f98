/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Port of env.h for these tests: copies out of shared memory, and stores that publish something to the peer, are announced
 * before they are done, so that the peer can act at the worst moment.
 */
#ifndef TEST_CHANNEL_HOOKS_H
#define TEST_CHANNEL_HOOKS_H

#include <stddef.h>

/* In pair.c. NULL: nothing to do. */
extern void (*pair_before_copy)(const void *shared, size_t n);
extern void (*pair_before_publish)(const void *word);

#define VMBI_COPY_OUT(dst, shared, n) \
	(pair_before_copy ? pair_before_copy((shared), (n)) : (void)0, vmbi_copy((dst), (shared), (n)))

#define VMBI_PUBLISH32(p, v) \
	(pair_before_publish ? pair_before_publish(p) : (void)0, (void)__atomic_exchange_n(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST))

#endif /* TEST_CHANNEL_HOOKS_H */
