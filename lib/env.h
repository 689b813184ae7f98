/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The port surface: everything that depends on compiler, processor or C library. All of lib/ touches shared memory through this file
 * and calls nothing but it. A port defines VMB_ENV_HEADER to the name of a header of its own, in quotes, that may define any of the
 * macros below; so do the tests that mutate memory between two loads or walk all orders of stores.
 *
 * Three kinds of memory:
 *   private    the library's own: plain C. Wire data in it through vmbi_get16 ... vmbi_put64, at any alignment.
 *   shared     seen by the peer: control words by VMBI_LOAD32_* and VMBI_STORE32_*, aligned words by VMBI_READ64 and VMBI_WRITE64, byte
 *              strings by VMBI_COPY_IN, VMBI_COPY_OUT and VMBI_CLEAR. A word is touched once. Of a copied byte one value comes out, though
 *              a memcpy may load it twice.
 *   between    the library's own words that several threads use: the VMBI_*32 atomics.
 */
#ifndef VMBI_ENV_H
#define VMBI_ENV_H

#include <stddef.h>
#include <stdint.h>

#ifdef VMB_ENV_HEADER
# include VMB_ENV_HEADER
#endif

/* ---- memory functions: the only undefined symbols that lib/ may have */

#ifndef VMBI_MEMCPY
# define VMBI_MEMCPY(dst, src, n) __builtin_memcpy(dst, src, n)
#endif
#ifndef VMBI_MEMMOVE
# define VMBI_MEMMOVE(dst, src, n) __builtin_memmove(dst, src, n)
#endif
#ifndef VMBI_MEMSET
# define VMBI_MEMSET(dst, c, n) __builtin_memset(dst, c, n)
#endif
#ifndef VMBI_MEMCMP
# define VMBI_MEMCMP(a, b, n) __builtin_memcmp(a, b, n)
#endif

/* What is true once in a round of a ring: a branch is cheaper than to compute both. */
#ifndef VMBI_RARELY
# if defined(__clang__) || __GNUC__ >= 9
#  define VMBI_RARELY(x) __builtin_expect_with_probability(!!(x), 0, 0.999)
# else
#  define VMBI_RARELY(x) __builtin_expect(!!(x), 0)
# endif
#endif

/* ---- 32-bit atomics. p: pointer to an aligned uint32_t, shared or between threads */

#define VMBI_WORD(p) ((volatile uint32_t __attribute__((may_alias)) *)(p))

#ifndef VMBI_LOAD32_RELAXED
# define VMBI_LOAD32_RELAXED(p) __atomic_load_n(VMBI_WORD(p), __ATOMIC_RELAXED)
#endif
#ifndef VMBI_LOAD32_ACQUIRE
# define VMBI_LOAD32_ACQUIRE(p) __atomic_load_n(VMBI_WORD(p), __ATOMIC_ACQUIRE)
#endif
#ifndef VMBI_STORE32_RELAXED
# define VMBI_STORE32_RELAXED(p, v) __atomic_store_n(VMBI_WORD(p), (v), __ATOMIC_RELAXED)
#endif
#ifndef VMBI_STORE32_RELEASE
# define VMBI_STORE32_RELEASE(p, v) __atomic_store_n(VMBI_WORD(p), (v), __ATOMIC_RELEASE)
#endif

/* Store-release, then a full barrier: nothing after it is done before the store is seen by all. What ring.md 10.2 P3, P4, C3 and C5
 * need. x86: one xchg is both, and cheaper than a store and a fence. */
#ifndef VMBI_PUBLISH32
# if defined(__x86_64__) || defined(__i386__)
#  define VMBI_PUBLISH32(p, v) ((void)__atomic_exchange_n(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST))
# else
#  define VMBI_PUBLISH32(p, v) \
	(__atomic_store_n(VMBI_WORD(p), (v), __ATOMIC_RELEASE), __atomic_thread_fence(__ATOMIC_SEQ_CST))
# endif
#endif
/* A full barrier alone; for the SynIC slot's handshake. */
#ifndef VMBI_FENCE
# if defined(__x86_64__) && defined(__SANITIZE_THREAD__) /* which does not model fences and refuses them */
#  define VMBI_FENCE() __asm__ volatile("mfence" ::: "memory")
# else
#  define VMBI_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)
# endif
#endif

#ifndef VMBI_EXCHANGE32
# define VMBI_EXCHANGE32(p, v) __atomic_exchange_n(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST)
#endif
/* 1 if *p was `from` and is `to` now. */
#ifndef VMBI_SWAP32
# define VMBI_SWAP32(p, from, to) vmbi_swap32(VMBI_WORD(p), (from), (to))
static inline int vmbi_swap32(volatile uint32_t __attribute__((may_alias)) *p, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(p, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
#endif
/* Each gives the value before. */
#ifndef VMBI_FETCH_ADD32
# define VMBI_FETCH_ADD32(p, v) __atomic_fetch_add(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST)
#endif
#ifndef VMBI_FETCH_SUB32
# define VMBI_FETCH_SUB32(p, v) __atomic_fetch_sub(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST)
#endif
#ifndef VMBI_FETCH_OR32
# define VMBI_FETCH_OR32(p, v) __atomic_fetch_or(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST)
#endif
#ifndef VMBI_FETCH_AND32
# define VMBI_FETCH_AND32(p, v) __atomic_fetch_and(VMBI_WORD(p), (v), __ATOMIC_SEQ_CST)
#endif

/* ---- byte order: the wire is little-endian */

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
# define VMBI_LE16(v) __builtin_bswap16(v)
# define VMBI_LE32(v) __builtin_bswap32(v)
# define VMBI_LE64(v) __builtin_bswap64(v)
#else
# define VMBI_LE16(v) (v)
# define VMBI_LE32(v) (v)
# define VMBI_LE64(v) (v)
#endif

static inline uint16_t vmbi_get16(const void *p)
{
	uint16_t v;
	VMBI_MEMCPY(&v, p, sizeof v);
	return VMBI_LE16(v);
}

static inline uint32_t vmbi_get32(const void *p)
{
	uint32_t v;
	VMBI_MEMCPY(&v, p, sizeof v);
	return VMBI_LE32(v);
}

static inline uint64_t vmbi_get64(const void *p)
{
	uint64_t v;
	VMBI_MEMCPY(&v, p, sizeof v);
	return VMBI_LE64(v);
}

static inline void vmbi_put16(void *p, uint16_t v)
{
	v = VMBI_LE16(v);
	VMBI_MEMCPY(p, &v, sizeof v);
}

static inline void vmbi_put32(void *p, uint32_t v)
{
	v = VMBI_LE32(v);
	VMBI_MEMCPY(p, &v, sizeof v);
}

static inline void vmbi_put64(void *p, uint64_t v)
{
	v = VMBI_LE64(v);
	VMBI_MEMCPY(p, &v, sizeof v);
}

/* ---- shared memory: 8-aligned words in wire order, and byte strings */

/* One fetch: a single 64-bit load where words have 64 bits, else two of 32, each done once (ring.md 9.1 rule 4). */
#ifndef VMBI_READ64
# define VMBI_READ64(p) vmbi_read64(p)
static inline uint64_t vmbi_read64(const void *p)
{
# if UINTPTR_MAX > 0xffffffffu
	return VMBI_LE64(__atomic_load_n((const volatile uint64_t __attribute__((may_alias)) *)p, __ATOMIC_RELAXED));
# else
	const volatile uint32_t __attribute__((may_alias)) *w = p;
	uint32_t low = VMBI_LE32(__atomic_load_n(w, __ATOMIC_RELAXED));

	return low | (uint64_t)VMBI_LE32(__atomic_load_n(w + 1, __ATOMIC_RELAXED)) << 32;
# endif
}
#endif
#ifndef VMBI_WRITE64
# define VMBI_WRITE64(p, v) vmbi_write64((p), (v))
static inline void vmbi_write64(void *p, uint64_t v)
{
# if UINTPTR_MAX > 0xffffffffu
	__atomic_store_n((volatile uint64_t __attribute__((may_alias)) *)p, VMBI_LE64(v), __ATOMIC_RELAXED);
# else
	volatile uint32_t __attribute__((may_alias)) *w = p;

	__atomic_store_n(w, VMBI_LE32((uint32_t)v), __ATOMIC_RELAXED);
	__atomic_store_n(w + 1, VMBI_LE32((uint32_t)(v >> 32)), __ATOMIC_RELAXED);
# endif
}
#endif

/* The barrier keeps compiler and link-time optimiser from reading the source again after the copy, or instead of it. PAYLOAD: the same where
 * short ones are what counts; nothing of nothing. */
#ifndef VMBI_COPY_OUT
# define VMBI_COPY_OUT(dst, shared, n) vmbi_copy((dst), (shared), (n))
# define VMBI_PAYLOAD_OUT(dst, shared, n) vmbi_copy_payload((dst), (shared), (n))
#elif !defined(VMBI_PAYLOAD_OUT)
# define VMBI_PAYLOAD_OUT(dst, shared, n) do { if (n) VMBI_COPY_OUT((dst), (shared), (n)); } while (0)
#endif
#ifndef VMBI_COPY_IN
# define VMBI_COPY_IN(shared, src, n) vmbi_copy((shared), (src), (n))
# define VMBI_PAYLOAD_IN(shared, src, n) vmbi_copy_payload((shared), (src), (n))
#elif !defined(VMBI_PAYLOAD_IN)
# define VMBI_PAYLOAD_IN(shared, src, n) do { if (n) VMBI_COPY_IN((shared), (src), (n)); } while (0)
#endif
#ifndef VMBI_CLEAR
# define VMBI_CLEAR(shared, n) VMBI_MEMSET((shared), 0, (n))
#endif
static inline void vmbi_copy(void *dst, const void *src, size_t n)
{
	__asm__ volatile("" : "+r"(dst), "+r"(src) : : "memory"); /* from here on both may be anywhere, and who knows who has them */
	VMBI_MEMCPY(dst, src, n);
	__asm__ volatile("" : : : "memory");
}

/* Up to 64 bytes, whole words, cost less by themselves than a call; where unaligned words cost nothing. Each byte is loaded once. */
static inline __attribute__((always_inline)) void vmbi_copy_payload(void *dst, const void *src, size_t n)
{
#if defined(__x86_64__) || defined(__aarch64__)
	char *to = dst;
	const char *from = src;

	if (n <= 64 && !(n & 7)) {
		__asm__ volatile("" : : "r"(to), "r"(from) : "memory"); /* as in vmbi_copy */
		if (n == 64) {
			VMBI_MEMCPY(to, from, 64);
		} else {
			if (n & 32)
				VMBI_MEMCPY(to, from, 32);
			if (n & 16)
				VMBI_MEMCPY(to + (n & 32), from + (n & 32), 16);
			if (n & 8)
				VMBI_MEMCPY(to + (n & 48), from + (n & 48), 8);
		}
		__asm__ volatile("" : : : "memory");
		return;
	}
#endif
	if (n)
		vmbi_copy(dst, src, n);
}

#endif /* VMBI_ENV_H */
