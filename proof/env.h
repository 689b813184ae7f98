/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Port of env.h for Frama-C. Shared memory holds arbitrary bytes at every moment: a load gives any value, a store checks its
 * target and leaves any value there, so that no two loads ever agree by what has been stored. That is a peer who writes at any
 * time. The macros serve private words of the library as well: those become arbitrary too, which can only make the proof
 * harder.
 *
 * Every access also states its alignment, counted from the start of its object (objects begin on a page), and every byte string
 * that goes out that it is initialised.
 */
#ifndef PROOF_ENV_H
#define PROOF_ENV_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "__fc_builtin.h"

extern volatile uint32_t proof_any32; /* a new value each time that it is read */
extern volatile uint64_t proof_any64;

#define VMBI_MEMCPY(dst, src, n) memcpy((dst), (src), (n))
#define VMBI_MEMSET(dst, c, n) memset((dst), (c), (n))
#define VMBI_MEMCMP(a, b, n) memcmp((a), (b), (n))

static inline uint32_t proof_load32(const volatile void *p)
{
	/*@ check aligned: \offset((char *)p) % 4 == 0; */
	return *(const volatile uint32_t *)p;
}

static inline void proof_store32(volatile void *p, uint32_t v)
{
	/*@ check aligned: \offset((char *)p) % 4 == 0; */
	/*@ check known: \initialized(&v); */
	*(volatile uint32_t *)p = proof_any32;
}

static inline uint32_t proof_change32(volatile void *p, uint32_t v)
{
	uint32_t before = proof_load32(p);

	proof_store32(p, v);
	return before;
}

static inline int proof_swap32(volatile void *p, uint32_t from, uint32_t to)
{
	uint32_t before = proof_load32(p);

	if (before != from)
		return 0;
	proof_store32(p, to);
	return 1;
}

/*
 * The next word loaded has `bits` where `mask` is set: how a driver goes through the cases of what is loaded, all of them one
 * after the other. Then every word is any word again.
 */
struct proof_case {
	uint32_t on;
	uint64_t mask, bits;
};
extern struct proof_case proof_case;

static inline uint64_t proof_read64(const volatile void *p)
{
	uint64_t v;

	/*@ check aligned: \offset((char *)p) % 8 == 0; */
	v = *(const volatile uint64_t *)p;
	if (proof_case.on) {
		proof_case.on = 0;
		v = (v & ~proof_case.mask) | proof_case.bits;
	}
	return v;
}

static inline void proof_write64(volatile void *p, uint64_t v)
{
	/*@ check aligned: \offset((char *)p) % 8 == 0; */
	/*@ check known: \initialized(&v); */
	*(volatile uint64_t *)p = proof_any64;
}

static inline void proof_copy_out(void *dst, const void *shared, size_t n)
{
	memcpy(dst, shared, n);
}

static inline void proof_copy_in(void *shared, const void *src, size_t n)
{
	/*@ check known: \initialized((char *)src + (0 .. n - 1)); */
	memcpy(shared, src, n);
	Frama_C_make_unknown(shared, n);
}

static inline void proof_clear(void *shared, size_t n)
{
	memset(shared, 0, n);
	Frama_C_make_unknown(shared, n);
}

#define VMBI_RARELY(x) (x)
#define VMBI_LOAD32_RELAXED(p) proof_load32(p)
#define VMBI_LOAD32_ACQUIRE(p) proof_load32(p)
#define VMBI_STORE32_RELAXED(p, v) proof_store32((p), (v))
#define VMBI_STORE32_RELEASE(p, v) proof_store32((p), (v))
#define VMBI_PUBLISH32(p, v) proof_store32((p), (v))
#define VMBI_FENCE() ((void)0)
#define VMBI_EXCHANGE32(p, v) proof_change32((p), (v))
#define VMBI_SWAP32(p, from, to) proof_swap32((p), (from), (to))
#define VMBI_FETCH_ADD32(p, v) proof_change32((p), (v))
#define VMBI_FETCH_SUB32(p, v) proof_change32((p), (v))
#define VMBI_FETCH_OR32(p, v) proof_change32((p), (v))
#define VMBI_FETCH_AND32(p, v) proof_change32((p), (v))
#define VMBI_READ64(p) proof_read64(p)
#define VMBI_WRITE64(p, v) proof_write64((p), (v))
#define VMBI_COPY_OUT(dst, shared, n) proof_copy_out((dst), (shared), (n))
#define VMBI_COPY_IN(shared, src, n) proof_copy_in((shared), (src), (n))
#define VMBI_CLEAR(shared, n) proof_clear((shared), (n))

#endif /* PROOF_ENV_H */
