/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Port of env.h for fuzzing: every access through its macros is announced to the target first. So a peer can rewrite memory between any
 * two loads, and a target can see that the library touches what is not mapped. The macros serve private words of the library as well; the
 * target tells them by their address.
 */
#ifndef FUZZ_PORT_H
#define FUZZ_PORT_H

#include <stddef.h>
#include <stdint.h>

/* In each target. */
extern void fuzz_touch(const volatile void *p, size_t n);

#define FUZZ_TOUCH(p, n) fuzz_touch((const volatile void *)(p), (n))

#define VMBI_LOAD32_RELAXED(p) (FUZZ_TOUCH(p, 4), __atomic_load_n(VMBI_WORD(p), __ATOMIC_RELAXED))
#define VMBI_LOAD32_ACQUIRE(p) (FUZZ_TOUCH(p, 4), __atomic_load_n(VMBI_WORD(p), __ATOMIC_ACQUIRE))
#define VMBI_STORE32_RELAXED(p, v) (FUZZ_TOUCH(p, 4), __atomic_store_n(VMBI_WORD(p), (v), __ATOMIC_RELAXED))
#define VMBI_STORE32_RELEASE(p, v) (FUZZ_TOUCH(p, 4), __atomic_store_n(VMBI_WORD(p), (v), __ATOMIC_RELEASE))
#define VMBI_PUBLISH32(p, v) (FUZZ_TOUCH(p, 4), (void)__atomic_exchange_n(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST))
#define VMBI_EXCHANGE32(p, v) (FUZZ_TOUCH(p, 4), __atomic_exchange_n(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST))
#define VMBI_FETCH_ADD32(p, v) (FUZZ_TOUCH(p, 4), __atomic_fetch_add(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST))
#define VMBI_FETCH_SUB32(p, v) (FUZZ_TOUCH(p, 4), __atomic_fetch_sub(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST))
#define VMBI_FETCH_OR32(p, v) (FUZZ_TOUCH(p, 4), __atomic_fetch_or(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST))
#define VMBI_FETCH_AND32(p, v) (FUZZ_TOUCH(p, 4), __atomic_fetch_and(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST))

#define VMBI_SWAP32(p, from, to) (FUZZ_TOUCH(p, 4), fuzz_swap32(VMBI_WORD(p), (from), (to)))
static inline int fuzz_swap32(volatile uint32_t __attribute__((may_alias)) *p, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(p, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* One announcement, so one fetch as far as the peer can tell. */
#define VMBI_READ64(p) (FUZZ_TOUCH(p, 8), vmbi_get64(p))
#define VMBI_WRITE64(p, v) (FUZZ_TOUCH(p, 8), vmbi_put64((p), (v)))

#define VMBI_COPY_OUT(dst, shared, n) (FUZZ_TOUCH(shared, n), vmbi_copy((dst), (shared), (n)))
#define VMBI_COPY_IN(shared, src, n) (FUZZ_TOUCH(shared, n), vmbi_copy((shared), (src), (n)))
#define VMBI_PAYLOAD_OUT(dst, shared, n) do { if (n) { FUZZ_TOUCH(shared, n); vmbi_copy_payload((dst), (shared), (n)); } } while (0)
#define VMBI_PAYLOAD_IN(shared, src, n) do { if (n) { FUZZ_TOUCH(shared, n); vmbi_copy_payload((shared), (src), (n)); } } while (0)
#define VMBI_CLEAR(shared, n) (FUZZ_TOUCH(shared, n), (void)VMBI_MEMSET((shared), 0, (n)))

#endif /* FUZZ_PORT_H */
