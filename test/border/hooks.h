/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A port of env.h that shows every access to words between threads and to shared memory to the explorer (explore.h), which may
 * let other threads go first. Where nothing is explored it does what lib/env.h does.
 */
#ifndef TEST_BORDER_HOOKS_H
#define TEST_BORDER_HOOKS_H

#include <stddef.h>
#include <stdint.h>

enum border_op {
	BORDER_LOAD, BORDER_LOAD_ACQUIRE, BORDER_STORE, BORDER_STORE_RELEASE,
	BORDER_EXCHANGE, BORDER_ADD, BORDER_SUB, BORDER_OR, BORDER_AND, /* sequentially consistent, all of them */
	BORDER_READ64, BORDER_WRITE64
};

/* What the access gives: the value before. */
uint64_t border_do(enum border_op op, const volatile void *p, uint64_t value);
uint32_t border_do32(enum border_op op, const volatile void *p, uint32_t value);
int border_swap(const volatile void *p, uint32_t from, uint32_t to);
void border_copy(void *dst, const void *src, size_t n);
void border_clear(void *dst, size_t n);

#define VMBI_LOAD32_RELAXED(p) border_do32(BORDER_LOAD, (p), 0)
#define VMBI_LOAD32_ACQUIRE(p) border_do32(BORDER_LOAD_ACQUIRE, (p), 0)
#define VMBI_STORE32_RELAXED(p, v) ((void)border_do(BORDER_STORE, (p), (v)))
#define VMBI_STORE32_RELEASE(p, v) ((void)border_do(BORDER_STORE_RELEASE, (p), (v)))
#define VMBI_PUBLISH32(p, v) ((void)border_do(BORDER_EXCHANGE, (p), (v)))
#define VMBI_EXCHANGE32(p, v) border_do32(BORDER_EXCHANGE, (p), (v))
#define VMBI_SWAP32(p, from, to) border_swap((p), (from), (to))
#define VMBI_FETCH_ADD32(p, v) border_do32(BORDER_ADD, (p), (v))
#define VMBI_FETCH_SUB32(p, v) border_do32(BORDER_SUB, (p), (v))
#define VMBI_FETCH_OR32(p, v) border_do32(BORDER_OR, (p), (v))
#define VMBI_FETCH_AND32(p, v) border_do32(BORDER_AND, (p), (v))
#define VMBI_READ64(p) border_do(BORDER_READ64, (p), 0)
#define VMBI_WRITE64(p, v) ((void)border_do(BORDER_WRITE64, (p), (v)))
#define VMBI_COPY_OUT(dst, s, n) border_copy((dst), (s), (n))
#define VMBI_COPY_IN(s, src, n) border_copy((s), (src), (n))
#define VMBI_CLEAR(s, n) border_clear((s), (n))

#endif /* TEST_BORDER_HOOKS_H */
