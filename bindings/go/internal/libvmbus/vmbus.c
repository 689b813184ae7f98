/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * libvmbus 0.1.0 in one file, made by scripts/amalgamate from the files named below: change those, not this one.
 * Compile it beside vmbus.h, or include it where VMB_API is defined as you like, for example as static.
 */
#include "vmbus.h"

#ifdef __clang__
# pragma clang diagnostic push
# pragma clang diagnostic ignored "-Wunused-function"
#endif

/* ---- lib/protocol/version.c ---- */
/* The versions of the protocol and the features of its newest one. control-plane.md 3 */

/* ---- lib/protocol/message.h ---- */
/*
 * The control messages as data: the one place that knows types, sizes and offsets. control-plane.md 2, 6, gpadl.md 2.
 * The constants for lib/ and the field tables for tools are both made from these lists.
 */
#ifndef VMBI_PROTOCOL_MESSAGE_H
#define VMBI_PROTOCOL_MESSAGE_H


/* ---- lib/env.h ---- */
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

/* type, name, direction (H: to host, G: to guest), bytes of the smallest legal form, least version, feature needed or 0 */
#define VMBI_MESSAGES(X) \
	X(1, OFFER_CHANNEL, G, 190, VMB_V0_13, 0) \
	X(2, RESCIND_CHANNEL_OFFER, G, 12, VMB_V0_13, 0) \
	X(3, REQUEST_OFFERS, H, 8, VMB_V0_13, 0) \
	X(4, ALL_OFFERS_DELIVERED, G, 8, VMB_V0_13, 0) \
	X(5, OPEN_CHANNEL, H, 148, VMB_V0_13, 0) \
	X(6, OPEN_CHANNEL_RESULT, G, 20, VMB_V0_13, 0) \
	X(7, CLOSE_CHANNEL, H, 12, VMB_V0_13, 0) \
	X(8, GPADL_HEADER, H, 20, VMB_V0_13, 0) \
	X(9, GPADL_BODY, H, 16, VMB_V0_13, 0) \
	X(10, GPADL_CREATED, G, 20, VMB_V0_13, 0) \
	X(11, GPADL_TEARDOWN, H, 16, VMB_V0_13, 0) \
	X(12, GPADL_TORNDOWN, G, 12, VMB_V0_13, 0) \
	X(13, REL_ID_RELEASED, H, 12, VMB_V0_13, 0) \
	X(14, INITIATE_CONTACT, H, 40, VMB_V0_13, 0) \
	X(15, VERSION_RESPONSE, G, 16, VMB_V0_13, 0) \
	X(16, UNLOAD, H, 8, VMB_V0_13, 0) \
	X(17, UNLOAD_COMPLETE, G, 8, VMB_V1_1, 0) \
	X(18, OPEN_RESERVED_CHANNEL, H, 28, VMB_V4_0, 0) \
	X(19, CLOSE_RESERVED_CHANNEL, H, 20, VMB_V4_0, 0) \
	X(20, CLOSE_RESERVED_RESPONSE, G, 12, VMB_V4_0, 0) \
	X(21, TL_CONNECT_REQUEST, H, 40, VMB_V4_0, 0) \
	X(22, MODIFY_CHANNEL, H, 16, VMB_V4_1, 0) \
	X(23, TL_CONNECT_RESULT, G, 44, VMB_V4_1, 0) \
	X(24, MODIFY_CHANNEL_RESPONSE, G, 16, VMB_V5_3, 0) \
	X(25, MODIFY_CONNECTION, H, 24, VMB_V6_0, VMB_FEATURE_MODIFY_CONNECTION) \
	X(26, MODIFY_CONNECTION_RESPONSE, G, 9, VMB_V6_0, VMB_FEATURE_MODIFY_CONNECTION) \
	X(27, PAUSE, H, 8, VMB_V6_0, VMB_FEATURE_PAUSE) \
	X(28, PAUSE_RESPONSE, G, 8, VMB_V6_0, VMB_FEATURE_PAUSE) \
	X(29, RESUME, H, 8, VMB_V6_0, VMB_FEATURE_PAUSE)

/*
 * message, bytes, least version, features of which one is needed (0: none): the longer forms of a message, the longest last. From
 * there on a sender uses it; R: and a receiver insists on it. A: it also takes the shorter one. control-plane.md 2, 6
 */
#define VMBI_FORMS(X) \
	X(OFFER_CHANNEL, 196, VMB_V1_1, 0, R) \
	X(OPEN_CHANNEL, 156, VMB_V6_0, VMB_FEATURE_SIGNAL_PARAMETERS | VMB_FEATURE_REDIRECT, R) \
	X(INITIATE_CONTACT, 56, VMB_V6_0, VMB_FEATURE_CLIENT_ID, R) \
	X(VERSION_RESPONSE, 20, VMB_V6_0, 0, R) /* only where the version is supported */ \
	X(VERSION_RESPONSE, 40, VMB_V6_0, VMB_FEATURE_SERVER_MONITOR, R) /* only where this very response grants it */ \
	X(TL_CONNECT_REQUEST, 56, VMB_V5_2, 0, A) /* Linux sends the short one at every version */

/*
 * message, field, offset, bytes, kind, least version, version from which on it is gone (0: never), feature: where a field exists.
 * Kinds: N number, A guest-physical address, U GUID, B bytes. A field whose version or feature is not in force is not shown and
 * is not to be read.
 */
#define VMBI_FIELDS(F) \
	F(OFFER_CHANNEL, class_id, 8, 16, U, 0, 0, 0) \
	F(OFFER_CHANNEL, instance_id, 24, 16, U, 0, 0, 0) \
	F(OFFER_CHANNEL, flags, 56, 2, N, 0, 0, 0) \
	F(OFFER_CHANNEL, mmio_megabytes, 58, 2, N, 0, 0, 0) \
	F(OFFER_CHANNEL, user_defined, 60, 120, B, 0, 0, 0) \
	F(OFFER_CHANNEL, subchannel_index, 180, 2, N, 0, 0, 0) \
	F(OFFER_CHANNEL, mmio_megabytes_optional, 182, 2, N, 0, 0, 0) \
	F(OFFER_CHANNEL, channel_id, 184, 4, N, 0, 0, 0) \
	F(OFFER_CHANNEL, monitor_id, 188, 1, N, 0, 0, 0) \
	F(OFFER_CHANNEL, monitor_allocated, 189, 1, N, 0, 0, 0) \
	F(OFFER_CHANNEL, is_dedicated, 190, 2, N, VMB_V1_1, 0, 0) \
	F(OFFER_CHANNEL, connection_id, 192, 4, N, VMB_V1_1, 0, 0) \
	F(RESCIND_CHANNEL_OFFER, channel_id, 8, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, channel_id, 8, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, open_id, 12, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, ring_gpadl, 16, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, target_vp, 20, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, downstream_page_offset, 24, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, user_data, 28, 120, B, 0, 0, 0) \
	F(OPEN_CHANNEL, connection_id, 148, 4, N, VMB_V6_0, 0, VMB_FEATURE_SIGNAL_PARAMETERS) \
	F(OPEN_CHANNEL, event_flag, 152, 2, N, VMB_V6_0, 0, VMB_FEATURE_SIGNAL_PARAMETERS) \
	F(OPEN_CHANNEL, open_flags, 154, 2, N, VMB_V6_0, 0, VMB_FEATURE_REDIRECT) \
	F(OPEN_CHANNEL_RESULT, channel_id, 8, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL_RESULT, open_id, 12, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL_RESULT, status, 16, 4, N, 0, 0, 0) \
	F(CLOSE_CHANNEL, channel_id, 8, 4, N, 0, 0, 0) \
	F(GPADL_HEADER, channel_id, 8, 4, N, 0, 0, 0) \
	F(GPADL_HEADER, gpadl_id, 12, 4, N, 0, 0, 0) \
	F(GPADL_HEADER, range_buflen, 16, 2, N, 0, 0, 0) \
	F(GPADL_HEADER, range_count, 18, 2, N, 0, 0, 0) \
	F(GPADL_BODY, message_number, 8, 4, N, 0, 0, 0) \
	F(GPADL_BODY, gpadl_id, 12, 4, N, 0, 0, 0) \
	F(GPADL_CREATED, channel_id, 8, 4, N, 0, 0, 0) \
	F(GPADL_CREATED, gpadl_id, 12, 4, N, 0, 0, 0) \
	F(GPADL_CREATED, status, 16, 4, N, 0, 0, 0) \
	F(GPADL_TEARDOWN, channel_id, 8, 4, N, 0, 0, 0) \
	F(GPADL_TEARDOWN, gpadl_id, 12, 4, N, 0, 0, 0) \
	F(GPADL_TORNDOWN, gpadl_id, 8, 4, N, 0, 0, 0) \
	F(REL_ID_RELEASED, channel_id, 8, 4, N, 0, 0, 0) \
	F(INITIATE_CONTACT, version, 8, 4, N, 0, 0, 0) \
	F(INITIATE_CONTACT, target_vp, 12, 4, N, 0, 0, 0) \
	F(INITIATE_CONTACT, interrupt_page, 16, 8, A, 0, VMB_V5_0, 0) \
	F(INITIATE_CONTACT, target_sint, 16, 1, N, VMB_V5_0, 0, 0) \
	F(INITIATE_CONTACT, target_vtl, 17, 1, N, VMB_V5_1, 0, 0) \
	F(INITIATE_CONTACT, feature_flags, 20, 4, N, VMB_V6_0, 0, 0) \
	F(INITIATE_CONTACT, parent_to_child_page, 24, 8, A, 0, 0, 0) \
	F(INITIATE_CONTACT, child_to_parent_page, 32, 8, A, 0, 0, 0) \
	F(INITIATE_CONTACT, client_id, 40, 16, U, VMB_V6_0, 0, VMB_FEATURE_CLIENT_ID) \
	F(VERSION_RESPONSE, version_supported, 8, 1, N, 0, 0, 0) \
	F(VERSION_RESPONSE, connection_state, 9, 1, N, 0, 0, 0) \
	F(VERSION_RESPONSE, selected, 12, 4, N, 0, 0, 0) /* version below 5.0, message connection id from 5.0 */ \
	F(VERSION_RESPONSE, supported_features, 16, 4, N, VMB_V6_0, 0, 0) \
	F(VERSION_RESPONSE, parent_to_child_page, 24, 8, A, VMB_V6_0, 0, VMB_FEATURE_SERVER_MONITOR) \
	F(VERSION_RESPONSE, child_to_parent_page, 32, 8, A, VMB_V6_0, 0, VMB_FEATURE_SERVER_MONITOR) \
	F(OPEN_RESERVED_CHANNEL, channel_id, 8, 4, N, 0, 0, 0) \
	F(OPEN_RESERVED_CHANNEL, target_vp, 12, 4, N, 0, 0, 0) \
	F(OPEN_RESERVED_CHANNEL, target_sint, 16, 4, N, 0, 0, 0) \
	F(OPEN_RESERVED_CHANNEL, ring_gpadl, 20, 4, N, 0, 0, 0) \
	F(OPEN_RESERVED_CHANNEL, downstream_page_offset, 24, 4, N, 0, 0, 0) \
	F(CLOSE_RESERVED_CHANNEL, channel_id, 8, 4, N, 0, 0, 0) \
	F(CLOSE_RESERVED_CHANNEL, target_vp, 12, 4, N, 0, 0, 0) \
	F(CLOSE_RESERVED_CHANNEL, target_sint, 16, 4, N, 0, 0, 0) \
	F(CLOSE_RESERVED_RESPONSE, channel_id, 8, 4, N, 0, 0, 0) \
	F(TL_CONNECT_REQUEST, endpoint_id, 8, 16, U, 0, 0, 0) \
	F(TL_CONNECT_REQUEST, service_id, 24, 16, U, 0, 0, 0) \
	F(TL_CONNECT_REQUEST, silo_id, 40, 16, U, 0, 0, 0) /* by length */ \
	F(MODIFY_CHANNEL, channel_id, 8, 4, N, 0, 0, 0) \
	F(MODIFY_CHANNEL, target_vp, 12, 4, N, 0, 0, 0) \
	F(TL_CONNECT_RESULT, endpoint_id, 8, 16, U, 0, 0, 0) \
	F(TL_CONNECT_RESULT, service_id, 24, 16, U, 0, 0, 0) \
	F(TL_CONNECT_RESULT, status, 40, 4, N, 0, 0, 0) \
	F(MODIFY_CHANNEL_RESPONSE, channel_id, 8, 4, N, 0, 0, 0) \
	F(MODIFY_CHANNEL_RESPONSE, status, 12, 4, N, 0, 0, 0) \
	F(MODIFY_CONNECTION, parent_to_child_page, 8, 8, A, 0, 0, 0) \
	F(MODIFY_CONNECTION, child_to_parent_page, 16, 8, A, 0, 0, 0) \
	F(MODIFY_CONNECTION_RESPONSE, connection_state, 8, 1, N, 0, 0, 0)

#define VMBI_MSG_ENUM(type, name, dir, size, version, feature) VMBI_MSG_##name = type,
enum { VMBI_MESSAGES(VMBI_MSG_ENUM) VMBI_MSG_COUNT = 30 };
#undef VMBI_MSG_ENUM
#define VMBI_AT_ENUM(msg, field, offset, bytes, kind, from, gone, feature) VMBI_AT_##msg##_##field = offset,
enum { VMBI_FIELDS(VMBI_AT_ENUM) VMBI_AT_TYPE = 0 };
#undef VMBI_AT_ENUM

/* Offset of a field: msg + VMBI_AT(OPEN_CHANNEL, target_vp). */
#define VMBI_AT(msg, field) VMBI_AT_##msg##_##field

#define VMBI_GPADL_HEADER_DATA 20u /* where range data starts */
#define VMBI_GPADL_BODY_DATA 16u
#define VMBI_FAILED 0x8000ffffu    /* the status that says no. control-plane.md 4 */
#define VMBI_SINT 2u
#define VMBI_CONNECTION_LEGACY 1u
#define VMBI_CONNECTION_EVENT 2u   /* below 1.1: the one event connection of all channels */
#define VMBI_CONNECTION_MULTICLIENT 4u
#define VMBI_CONNECTION_REDIRECTED 0x800074u /* VTL 2, SINT 7, VP 0 */
#define VMBI_REDIRECT_SINT 7u
#define VMBI_REDIRECT_VTL 2u
#define VMBI_MAX_CHANNEL_ID 2047u

/* 1 if these 16 bytes are all 0: no GUID. */
static int vmbi_guid_is_zero(const void *guid);
/* 1 if this is one of the protocol's versions: an in-between number is none. control-plane.md 3 */
static int vmbi_version_known(uint32_t version);

#endif /* VMBI_PROTOCOL_MESSAGE_H */

static const uint32_t version_list[] = {
	VMB_V0_13, VMB_V1_1, VMB_V2_4, VMB_V3_0, VMB_V4_0, VMB_V4_1, VMB_V5_0, VMB_V5_1, VMB_V5_2, VMB_V5_3, VMB_V6_0,
};

#define VERSION_COUNT (sizeof version_list / sizeof *version_list)

uint32_t vmb_version_at(uint32_t index)
{
	return index < VERSION_COUNT ? version_list[index] : 0;
}

static int vmbi_version_known(uint32_t version)
{
	for (uint32_t i = 0; i < VERSION_COUNT; i++)
		if (version_list[i] == version)
			return 1;
	return 0;
}

static const char version_features[][24] = { /* in the order of their bits */
	"SIGNAL_PARAMETERS", "REDIRECT", "MODIFY_CONNECTION", "CLIENT_ID", "CONFIDENTIAL", "PAUSE", "SERVER_MONITOR", "PINNING",
};

const char *vmb_feature_name(uint32_t bit)
{
	for (uint32_t i = 0; i < sizeof version_features / sizeof *version_features; i++)
		if (bit == 1u << i)
			return version_features[i];
	return "?";
}

int vmb_version(void)
{
	return (int)VMB_VERSION;
}

/* ---- lib/protocol/text.c ---- */
/* Results, reasons, and what trace and snapshot tell, in words. The texts lie in the tables themselves, so that nothing needs relocation. */

struct text_error {
	int8_t code;
	char text[63];
};

static const struct text_error text_errors[] = {
	{ VMB_EFULL, "no room in the ring" },
	{ VMB_EAGAIN, "not now, try again" },
	{ VMB_ESTOPPED, "stopped: give the channel back" },
	{ VMB_ENOSLOT, "too many requests in flight" },
	{ VMB_ETOOSMALL, "buffer too small" },
	{ VMB_ENOENT, "no such request, GPADL, field or name" },
	{ VMB_EFOREIGN, "a SynIC message that is not VMBus's" },
	{ VMB_EINVAL, "invalid argument" },
	{ VMB_ESTRUCT, "struct size or unknown tail" },
	{ VMB_EHANDLE, "no such channel any more" },
	{ VMB_ESTATE, "not in this state" },
	{ VMB_EREENTRY, "a second control call at once, or one from a callback" },
	{ VMB_ENOSPACE, "over a limit, or storage too small or misaligned" },
	{ VMB_ETOOBIG, "can never be sent: too big" },
	{ VMB_EPEER, "the peer violated the protocol" },
	{ VMB_EREFUSED, "the peer said no" },
	{ VMB_ERESCINDED, "the device went away" },
	{ VMB_EVERSION, "not in this protocol version" },
	{ VMB_ETIMEDOUT, "the peer did not answer in time" },
	{ VMB_EPLATFORM, "the platform failed to post a message" },
	{ VMB_EMAP, "a page could not be mapped or translated" },
	{ VMB_ELEAK, "the peer may still write this memory" },
};

const char *vmb_strerror(int err)
{
	if (err >= 0)
		return "no error";
	for (uint32_t i = 0; i < sizeof text_errors / sizeof *text_errors; i++)
		if (text_errors[i].code == err)
			return text_errors[i].text;
	return "unknown error";
}

static const char text_reasons[][48] = { /* from VMB_R_INDEX on */
	"index outside the ring or unaligned",
	"packet longer than what is there, or too short",
	"header and payload disagree",
	"unknown packet type",
	"unknown flag bits",
	"ranges do not fit their header, or are empty",
	"pipe header",
	"payload above max_payload",
};

_Static_assert(VMB_R_INDEX == 1 && VMB_R_PAYLOAD == sizeof text_reasons / sizeof *text_reasons, "one text per VMB_R_*");

const char *vmb_reason_name(uint32_t reason)
{
	return reason >= VMB_R_INDEX && reason <= VMB_R_PAYLOAD ? text_reasons[reason - VMB_R_INDEX] : "?";
}

/* ---- what is told by trace and snapshot. Each table begins with value 0; "" has no name */

static const char text_trace[][16] = { "", "message in", "message out", "connection", "channel", "device", "gpadl", "signals" };
static const char text_fate[][12] = { "", "taken", "late", "malformed", "version", "direction", "untrusted", "state", "unknown", "value",
				      "refused", "quota", "again", "lost" };
static const char text_bus[][12] = { "none", "connecting", "connected", "running", "leaving", "resetting", "unloading" };
static const char text_state[][12] = { "free", "unoffered", "offered", "announcing", "opening", "open", "failed", "closing", "closed",
				       "reopening", "revoked" };
static const char text_device[][12] = { "none", "asking", "asked", "stale", "attached", "remote", "draining" };
static const char text_list[][12] = { "none", "building", "sent", "alive", "leaving", "tearing", "settled", "burnt" };
static const char text_has[][12] = { "seen", "released", "rescinded", "removed", "reserved", "object", "abandoned", "kept", "ring" };

#define TEXT_NAME(table, value) \
	((value) < sizeof table / sizeof *table && *table[value] ? table[value] : "?")
#define TEXT_LAST(table, value) \
	_Static_assert((value) + 1 == sizeof table / sizeof *table, "one text per value")
TEXT_LAST(text_trace, VMB_TRACE_SIGNALS);
TEXT_LAST(text_fate, VMB_FATE_LOST);
TEXT_LAST(text_bus, VMB_BUS_UNLOADING);
TEXT_LAST(text_state, VMB_STATE_REVOKED);
TEXT_LAST(text_device, VMB_DEVICE_DRAINING);
TEXT_LAST(text_list, VMB_LIST_BURNT);

static const char *text_of_bit(uint32_t bit)
{
	for (uint32_t i = 0; i < sizeof text_has / sizeof *text_has; i++)
		if (bit == 1u << i)
			return text_has[i];
	return "?";
}

const char *vmb_name(uint32_t set, uint32_t value)
{
	switch (set) {
	case VMB_NAMES_TRACE:
		return TEXT_NAME(text_trace, value);
	case VMB_NAMES_FATE:
		return TEXT_NAME(text_fate, value);
	case VMB_NAMES_BUS:
		return TEXT_NAME(text_bus, value);
	case VMB_NAMES_STATE:
		return TEXT_NAME(text_state, value);
	case VMB_NAMES_DEVICE:
		return TEXT_NAME(text_device, value);
	case VMB_NAMES_LIST:
		return TEXT_NAME(text_list, value);
	case VMB_NAMES_HAS:
		return text_of_bit(value);
	default:
		return "?";
	}
}

/* ---- lib/protocol/guid.c ---- */
/* GUIDs as text: the first three groups are little-endian numbers, the rest is bytes as printed. devices.md 1 */

#define GUID_TEXT 36u

/* Where the hexadecimal digits of each byte stand in the text. */
static const uint8_t guid_place[16] = { 6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34 };

static uint32_t guid_is_dash(uint32_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

static int guid_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int vmb_guid_parse(const char *text, struct vmb_guid *out)
{
	if (!text || !out)
		return VMB_EINVAL;
	for (uint32_t i = 0; i < GUID_TEXT; i++) /* stops at a terminating zero: it is no digit */
		if (guid_is_dash(i) ? text[i] != '-' : guid_digit(text[i]) < 0)
			return VMB_EINVAL;
	if (text[GUID_TEXT])
		return VMB_EINVAL;
	for (uint32_t i = 0; i < 16; i++) {
		const char *p = text + guid_place[i];

		out->byte[i] = (uint8_t)(guid_digit(p[0]) << 4 | guid_digit(p[1]));
	}
	return 0;
}

int vmb_guid_format(const struct vmb_guid *guid, char out[37])
{
	static const char digits[16] = { '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f' };

	if (!guid || !out)
		return VMB_EINVAL;
	VMBI_MEMSET(out, '-', GUID_TEXT);
	for (uint32_t i = 0; i < 16; i++) {
		out[guid_place[i]] = digits[guid->byte[i] >> 4];
		out[guid_place[i] + 1] = digits[guid->byte[i] & 15];
	}
	out[GUID_TEXT] = '\0';
	return 0;
}

static int vmbi_guid_is_zero(const void *guid)
{
	static const struct vmb_guid zero;

	return !VMBI_MEMCMP(guid, &zero, sizeof zero);
}

/* ---- lib/protocol/class.c ---- */
/* The registry of well-known device classes. devices.md 1, 2.1 */

struct class_row {
	char name[14];
	char text[37];
	uint8_t pipe; /* 0 also where nobody outside Microsoft knows the framing: the last four */
};

static const struct class_row class_rows[] = {
	{ "net", VMB_CLASS_NET, 0 },
	{ "ide", VMB_CLASS_IDE, 0 },
	{ "scsi", VMB_CLASS_SCSI, 0 },
	{ "fc", VMB_CLASS_FC, 0 },
	{ "keyboard", VMB_CLASS_KEYBOARD, 0 },
	{ "mouse", VMB_CLASS_MOUSE, 1 },
	{ "video", VMB_CLASS_VIDEO, 1 },
	{ "heartbeat", VMB_CLASS_HEARTBEAT, 1 },
	{ "shutdown", VMB_CLASS_SHUTDOWN, 1 },
	{ "timesync", VMB_CLASS_TIMESYNC, 1 },
	{ "kvp", VMB_CLASS_KVP, 1 },
	{ "vss", VMB_CLASS_VSS, 1 },
	{ "fcopy", VMB_CLASS_FCOPY, 1 },
	{ "balloon", VMB_CLASS_BALLOON, 0 },
	{ "vpci", VMB_CLASS_VPCI, 0 },
	{ "vmbfs", "c376c1c3-d276-48d2-90a9-c04748072c60", 1 },
	{ "hvsock", "00000000-facb-11e6-bd58-64006a7986d3", 1 }, /* its first group is the port: ignored in a search */
	{ "networkdirect", "8c2eaf3d-32a7-4b09-ab99-bd1f1c86b501", 0 },
	{ "rdv", "276aacf4-ac15-426c-98dd-7521ad3f01fe", 0 },
	{ "avma", "f8e65716-3cb3-4a06-9a60-1889c5cccab5", 0 },
	{ "avma2", "3375baf4-9e15-4b30-b765-67acb10d607b", 0 },
};

#define CLASS_HVSOCK 16u

int vmb_class_at(uint32_t index, struct vmb_class *out)
{
	if (!out)
		return VMB_EINVAL;
	if (index >= sizeof class_rows / sizeof *class_rows)
		return VMB_ENOENT;
	*out = (struct vmb_class){ class_rows[index].name, class_rows[index].text, { { 0 } }, class_rows[index].pipe, 0 };
	return vmb_guid_parse(out->text, &out->guid);
}

int vmb_class_find(const struct vmb_guid *guid, struct vmb_class *out)
{
	if (!guid || !out)
		return VMB_EINVAL;
	for (uint32_t i = 0; !vmb_class_at(i, out); i++) {
		uint32_t skip = i == CLASS_HVSOCK ? 4 : 0;

		if (!VMBI_MEMCMP(out->guid.byte + skip, guid->byte + skip, 16 - skip))
			return 0;
	}
	*out = (struct vmb_class){ 0 };
	return VMB_ENOENT;
}

/* ---- lib/protocol/hvsock.c ---- */
/* What an offer says of a Hyper-V socket. control-plane.md 15.1, 15.2 */

/* ---- lib/protocol/words.h ---- */
/* Fields as they are shown: reading one out of a message or packet, and the 64-bit words of range lists, in wire order. */
#ifndef VMBI_PROTOCOL_WORDS_H
#define VMBI_PROTOCOL_WORDS_H


/* Words in a row within a message or packet. */
struct vmbi_words {
	uint32_t at, count; /* offset of the first one; how many lie there */
	uint32_t ranges;    /* how many the header says there are */
	uint32_t kind;      /* what they are: */
};
#define VMBI_WORDS_LIST 0u  /* for each range its word, then its pages. gpadl.md 3, ring.md 5.3 */
#define VMBI_WORDS_RANGE 1u /* range words only. ring.md 5.4 */
#define VMBI_WORDS_PFN 2u   /* the middle of a list: nothing tells its range words from its page numbers. gpadl.md 2.2 */

/* The field of `bytes` at `at`, which lie within base. value is set for numbers. */
static struct vmb_field vmbi_field(const uint8_t *base, const char *name, uint32_t at, uint32_t bytes, uint32_t kind);
/* Word number k as a field: "range", "pfn", or "unused" beyond the last range. VMB_YES, or VMB_ENOENT after the last. */
static int vmbi_words_field(const uint8_t *base, const struct vmbi_words *w, uint32_t k, struct vmb_field *out);

#endif /* VMBI_PROTOCOL_WORDS_H */

/* In user_defined; the pipe type before them is 0, a byte stream. The version is that of RS5. */
#define HVSOCK_AT_ACCEPT 4u
#define HVSOCK_AT_CONTAINER 5u
#define HVSOCK_AT_VERSION 6u
#define HVSOCK_AT_SILO 10u

int vmb_hvsock_offer(const struct vmb_hvsock *socket, struct vmb_offer *offer)
{
	uint8_t *user = offer ? offer->user_defined : NULL;

	if (!socket || !offer || socket->flags >= VMB_HVSOCK_SILO << 1)
		return VMB_EINVAL;
	offer->class_id = socket->service;
	offer->instance = socket->endpoint;
	offer->flags = VMB_OFFER_HVSOCK | VMB_OFFER_PIPE | VMB_OFFER_ENUMERATE;
	VMBI_MEMSET(user, 0, sizeof offer->user_defined);
	user[HVSOCK_AT_ACCEPT] = (socket->flags & VMB_HVSOCK_TO_GUEST) != 0;
	user[HVSOCK_AT_CONTAINER] = (socket->flags & VMB_HVSOCK_CONTAINER) != 0;
	if (socket->flags & VMB_HVSOCK_SILO) {
		user[HVSOCK_AT_VERSION] = 1;
		VMBI_MEMCPY(user + HVSOCK_AT_SILO, &socket->silo, 16);
	}
	return 0;
}

int vmb_hvsock_of(const struct vmb_offer *offer, struct vmb_hvsock *out)
{
	const uint8_t *user = offer ? offer->user_defined : NULL;

	if (!offer || !out)
		return VMB_EINVAL;
	if (!(offer->flags & VMB_OFFER_HVSOCK))
		return VMB_ENOENT;
	out->service = offer->class_id;
	out->endpoint = offer->instance;
	out->reserved = 0;
	out->flags = user[HVSOCK_AT_ACCEPT] ? VMB_HVSOCK_TO_GUEST : 0;
	out->flags |= user[HVSOCK_AT_CONTAINER] ? VMB_HVSOCK_CONTAINER : 0;
	out->flags |= vmbi_get32(user + HVSOCK_AT_VERSION) ? VMB_HVSOCK_SILO : 0;
	VMBI_MEMCPY(&out->silo, user + HVSOCK_AT_SILO, 16);
	return 0;
}

int vmb_hvsock_port(uint32_t port, struct vmb_guid *service)
{
	int r = service ? vmb_guid_parse("00000000-facb-11e6-bd58-64006a7986d3", service) : VMB_EINVAL;

	if (!r)
		vmbi_put32(service->byte, port);
	return r;
}

/* ---- lib/protocol/message.c ---- */
/* Control messages by type: their names, sizes, and the gate that every received one has to pass. control-plane.md 2 */

enum { MESSAGE_TO_H, MESSAGE_TO_G };

struct message_row {
	char name[28];
	uint8_t to, bytes;
	uint16_t feature;
	uint32_t version;
};

#define MESSAGE_ROW(type, name, dir, bytes, version, feature) [type] = { #name, MESSAGE_TO_##dir, bytes, feature, version },
static const struct message_row message_rows[VMBI_MSG_COUNT] = { VMBI_MESSAGES(MESSAGE_ROW) };

enum { MESSAGE_FORM_A, MESSAGE_FORM_R };

struct message_form {
	uint8_t type, bytes, insist;
	uint8_t features;
	uint32_t version;
};

#define MESSAGE_FORM(name, bytes, version, features, insist) { VMBI_MSG_##name, bytes, MESSAGE_FORM_##insist, features, version },
static const struct message_form message_forms[] = { VMBI_FORMS(MESSAGE_FORM) };

static int message_known(uint32_t type)
{
	return type && type < VMBI_MSG_COUNT;
}

const char *vmb_message_name(uint32_t type)
{
	return message_known(type) ? message_rows[type].name : "?";
}

/* Bytes of the form that is in force; insist: the shortest that a receiver may take. Features count from 6.0 on: all that hangs
 * on one needs that version as well. control-plane.md 3.1 */
static uint32_t message_bytes(uint32_t type, uint32_t version, uint32_t features, int insist)
{
	uint32_t bytes = message_rows[type].bytes;

	for (uint32_t i = 0; i < sizeof message_forms / sizeof *message_forms; i++) {
		const struct message_form *f = &message_forms[i];

		if (f->type == type && version >= f->version && (!f->features || f->features & features) &&
		    (!insist || f->insist == MESSAGE_FORM_R))
			bytes = f->bytes;
	}
	return bytes;
}

/* Does this type exist here? Contact is made before there is a version, and a reserved channel outlives the connection:
 * control-plane.md 10.5, 17.1. */
static int message_exists(uint32_t type, uint32_t version, uint32_t features)
{
	const struct message_row *row = &message_rows[type];

	if (type == VMBI_MSG_INITIATE_CONTACT || type == VMBI_MSG_VERSION_RESPONSE)
		return 1;
	if (!version)
		return type == VMBI_MSG_CLOSE_RESERVED_CHANNEL || type == VMBI_MSG_CLOSE_RESERVED_RESPONSE;
	return version >= row->version && (!row->feature || features & row->feature);
}

int vmb_message_size(uint32_t type, uint32_t version, uint32_t features)
{
	if (!message_known(type))
		return VMB_EINVAL;
	if (!message_exists(type, version, features))
		return VMB_EVERSION;
	return (int)message_bytes(type, version, features, 0);
}

/* The least that a receiver may take. Contact tells its own version, and a response which of the requested features it grants. */
static uint32_t message_least(const uint8_t *msg, uint32_t len, uint32_t type, uint32_t version, uint32_t features)
{
	uint32_t least = message_rows[type].bytes;

	if (len < least)
		return least;
	if (type == VMBI_MSG_INITIATE_CONTACT) {
		version = vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, version));
		features = vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, feature_flags));
	} else if (type == VMBI_MSG_VERSION_RESPONSE) {
		uint32_t at = VMBI_AT(VERSION_RESPONSE, supported_features);

		if (!msg[VMBI_AT(VERSION_RESPONSE, version_supported)])
			version = 0;
		features &= len >= at + 4 ? vmbi_get32(msg + at) : 0;
	}
	return message_bytes(type, version, features, 1);
}

int vmb_message_check(const void *msg, uint32_t len, uint32_t version, uint32_t features, int to_host)
{
	uint32_t type;

	if (!msg)
		return VMB_EINVAL;
	if (len < 8 || len > VMB_MESSAGE_MAX)
		return VMB_EPEER;
	type = vmbi_get32(msg);
	if (!message_known(type))
		return VMB_EPEER;
	if (message_rows[type].to != (to_host ? MESSAGE_TO_H : MESSAGE_TO_G))
		return VMB_EINVAL;
	if (!message_exists(type, version, features))
		return VMB_EVERSION;
	return len < message_least(msg, len, type, version, features) ? VMB_EPEER : 0;
}

int vmb_message_init(void *buf, uint32_t bytes, uint32_t type, uint32_t version, uint32_t features)
{
	int size = vmb_message_size(type, version, features);

	if (!buf)
		return VMB_EINVAL;
	if (size < 0)
		return size;
	if (bytes < (uint32_t)size)
		return VMB_ETOOSMALL;
	VMBI_MEMSET(buf, 0, (uint32_t)size);
	vmbi_put32(buf, type);
	return size;
}

/* ---- lib/protocol/words.c ---- */
/* One field or list word out of bytes on the wire. gpadl.md 3 */

static struct vmb_field vmbi_field(const uint8_t *base, const char *name, uint32_t at, uint32_t bytes, uint32_t kind)
{
	struct vmb_field f = { .name = name, .offset = at, .bytes = bytes, .kind = kind };

	if (kind != VMB_FIELD_GUID && kind != VMB_FIELD_BYTES)
		for (uint32_t i = bytes; i--;)
			f.value = f.value << 8 | base[at + i];
	return f;
}

/* What word k is: VMB_FIELD_RANGE, VMB_FIELD_PFN, or VMB_FIELD_NUMBER beyond the list. Every range is a step of one word at
 * least, and no step is taken beyond k: so this ends, whatever byte counts and offsets are. */
static uint32_t words_kind(const uint8_t *base, const struct vmbi_words *w, uint32_t k)
{
	uint64_t pos = 0;

	if (w->kind == VMBI_WORDS_PFN)
		return VMB_FIELD_PFN;
	if (w->kind == VMBI_WORDS_RANGE)
		return k < w->ranges ? VMB_FIELD_RANGE : VMB_FIELD_NUMBER;
	for (uint32_t r = 0; r < w->ranges; r++) {
		uint64_t word = vmbi_get64(base + w->at + pos * 8);

		if (pos == k)
			return VMB_FIELD_RANGE;
		pos += 1 + (((word & 0xffffffff) + (word >> 32) + VMB_PAGE - 1) >> 12);
		if (k < pos)
			return VMB_FIELD_PFN;
	}
	return VMB_FIELD_NUMBER;
}

static int vmbi_words_field(const uint8_t *base, const struct vmbi_words *w, uint32_t k, struct vmb_field *out)
{
	uint32_t kind;
	const char *name;

	if (k >= w->count)
		return VMB_ENOENT;
	kind = words_kind(base, w, k);
	name = kind == VMB_FIELD_RANGE ? "range" : kind == VMB_FIELD_PFN ? "pfn" : "unused";
	*out = vmbi_field(base, name, w->at + k * 8, 8, kind);
	return VMB_YES;
}

/* ---- lib/protocol/field.c ---- */
/*
 * Control messages as named fields. Which fields a message has hangs on version and features; with version 0 on its length alone.
 * INITIATE_CONTACT comes before there is a version: it is read as the version that it asks for, once that is not 0.
 */

enum {
	FIELD_N = VMB_FIELD_NUMBER,
	FIELD_U = VMB_FIELD_GUID,
	FIELD_B = VMB_FIELD_BYTES,
	FIELD_A = VMB_FIELD_GPA
};

struct field_row {
	char name[24];
	uint8_t type, offset, bytes, kind;
	uint32_t from, gone, feature;
};

#define FIELD_ROW(msg, field, offset, bytes, kind, from, gone, feature) \
	{ #field, VMBI_MSG_##msg, offset, bytes, FIELD_##kind, from, gone, feature },
static const struct field_row field_rows[] = {
	{ "type", 0, 0, 4, FIELD_N, 0, 0, 0 }, /* of all messages */
	{ "padding", 0, 4, 4, FIELD_N, 0, 0, 0 },
	VMBI_FIELDS(FIELD_ROW)
};

/* The form of one message. */
struct field_form {
	uint32_t type, len, version, features;
};

static struct field_form field_form(const uint8_t *msg, uint32_t len, uint32_t version, uint32_t features)
{
	struct field_form form = { len < 4 ? 0 : vmbi_get32(msg), len, version, features };

	if (form.type == VMBI_MSG_INITIATE_CONTACT) {
		uint32_t asked = len < 12 ? 0 : vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, version));

		if (asked) {
			form.version = asked;
			form.features = len < 24 ? 0 : vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, feature_flags));
		} else if (!version) {
			form.version = VMB_V0_13;
		}
	}
	return form;
}

static int field_exists(const struct field_row *row, const struct field_form *form)
{
	if (row->type && row->type != form->type)
		return 0;
	if (row->offset + row->bytes > form->len)
		return 0;
	if (!form->version)
		return 1;
	return form->version >= row->from && (!row->gone || form->version < row->gone) &&
	       (!row->feature || form->features & row->feature);
}

/* The range words of the two GPADL messages: what lies there in full, and belongs to the list as far as its header is known. */
static struct vmbi_words field_words(const uint8_t *msg, const struct field_form *form)
{
	struct vmbi_words w = { 0, 0, 0, VMBI_WORDS_LIST };

	if (form->type == VMBI_MSG_GPADL_HEADER && form->len >= VMBI_GPADL_HEADER_DATA) {
		uint32_t promised = vmbi_get16(msg + VMBI_AT(GPADL_HEADER, range_buflen));

		w.at = VMBI_GPADL_HEADER_DATA;
		w.count = (form->len - w.at < promised ? form->len - w.at : promised) / 8;
		w.ranges = vmbi_get16(msg + VMBI_AT(GPADL_HEADER, range_count));
	} else if (form->type == VMBI_MSG_GPADL_BODY && form->len >= VMBI_GPADL_BODY_DATA) {
		w.at = VMBI_GPADL_BODY_DATA;
		w.count = (form->len - w.at) / 8;
		w.kind = VMBI_WORDS_PFN;
	}
	return w;
}

int vmb_message_field(const void *msg, uint32_t len, uint32_t version, uint32_t features, uint32_t index, struct vmb_field *out)
{
	struct field_form form;
	struct vmbi_words words;

	if (!msg || !out)
		return VMB_EINVAL;
	form = field_form(msg, len, version, features);
	for (uint32_t i = 0; i < sizeof field_rows / sizeof *field_rows; i++) {
		const struct field_row *row = &field_rows[i];

		if (!field_exists(row, &form) || index--)
			continue;
		*out = vmbi_field(msg, row->name, row->offset, row->bytes, row->kind);
		return VMB_YES;
	}
	words = field_words(msg, &form);
	return vmbi_words_field(msg, &words, index, out);
}

static int field_is_named(const struct vmb_field *f, const char *name)
{
	uint32_t i = 0;

	while (f->name[i] && f->name[i] == name[i])
		i++;
	return f->name[i] == name[i];
}

int vmb_message_set(void *msg, uint32_t len, uint32_t version, uint32_t features, const char *name, uint64_t value)
{
	struct vmb_field f;

	if (!msg || !name)
		return VMB_EINVAL;
	for (uint32_t i = 0; vmb_message_field(msg, len, version, features, i, &f) == VMB_YES; i++) {
		if (f.kind == VMB_FIELD_GUID || f.kind == VMB_FIELD_BYTES || !field_is_named(&f, name))
			continue;
		if (f.bytes < 8 && value >> (8 * f.bytes))
			return VMB_EINVAL;
		for (uint32_t b = 0; b < f.bytes; b++)
			((uint8_t *)msg)[f.offset + b] = (uint8_t)(value >> (8 * b));
		return 0;
	}
	return VMB_ENOENT;
}

/* ---- lib/protocol/packet.c ---- */
/* What makes a ring packet's header legal: one that was received, and one that is to be sent. ring.md 4.1, 5, 9.1 */

/* ---- lib/protocol/packet.h ---- */
/* Ring packets: the descriptor word, its checks, sizes. Pure. ring.md 4, 5, 9.1 */
#ifndef VMBI_PROTOCOL_PACKET_H
#define VMBI_PROTOCOL_PACKET_H


#define VMBI_DESCRIPTOR 16u /* bytes */
#define VMBI_FOOTER 8u
#define VMBI_LEN8_MAX 65535u
#define VMBI_PIPE_HEADER 8u
#define VMBI_PIPE_DATA 1u
#define VMBI_PIPE_MAX 16384u /* bytes of data in one pipe packet. ring.md 6 */

/* The first word of a descriptor, taken apart. */
struct vmbi_descriptor {
	uint32_t kind, data8, len8, flags;
};

static inline struct vmbi_descriptor vmbi_descriptor_get(uint64_t word)
{
	struct vmbi_descriptor d = { (uint32_t)word & 0xffff, (uint32_t)(word >> 16) & 0xffff, (uint32_t)(word >> 32) & 0xffff,
				     (uint32_t)(word >> 48) };
	return d;
}

static inline uint64_t vmbi_descriptor_put(uint32_t kind, uint32_t data8, uint32_t len8, uint32_t flags)
{
	return kind | (uint64_t)data8 << 16 | (uint64_t)len8 << 32 | (uint64_t)flags << 48;
}

/* Bytes that a packet with this header and payload takes in a ring, footer included: T of ring.md 1. */
static inline uint64_t vmbi_packet_total(uint64_t head, uint64_t payload)
{
	return VMBI_DESCRIPTOR + head + ((payload + 7) & ~(uint64_t)7) + VMBI_FOOTER;
}

/* May a receiver act on this descriptor, `avail` bytes being there? 0 or VMB_R_*. loose: unknown kinds and flags pass. The count
 * words of GPA and transfer packets are not looked at: they are in shared memory. ring.md 9.1 rules 5, 6 */
static uint32_t vmbi_descriptor_check(const struct vmbi_descriptor *d, uint32_t avail, int loose);

/* Bytes of variable header that sending p needs (a multiple of 8). VMB_EINVAL where kind, flags or list do not fit each other:
 * the list must be exactly its ranges, each word is read once. VMB_ETOOBIG where length8 cannot express header and payload. */
static int vmbi_packet_head(const struct vmb_packet *p, uint32_t *head);

#endif /* VMBI_PROTOCOL_PACKET_H */

static uint32_t vmbi_descriptor_check(const struct vmbi_descriptor *d, uint32_t avail, int loose)
{
	int external = d->kind == VMB_PKT_XFER || d->kind == VMB_PKT_GPA;

	if (avail < VMBI_DESCRIPTOR + VMBI_FOOTER || d->len8 < VMBI_DESCRIPTOR / 8 || d->len8 * 8 + VMBI_FOOTER > avail)
		return VMB_R_LENGTH;
	if (d->data8 < VMBI_DESCRIPTOR / 8 || d->data8 > d->len8)
		return VMB_R_HEADER;
	if (external && d->data8 < VMBI_DESCRIPTOR / 8 + 1) /* the word with the count must lie before the payload */
		return VMB_R_HEADER;
	if (loose)
		return 0;
	if (!external && d->kind != VMB_PKT_INBAND && d->kind != VMB_PKT_COMPLETION)
		return VMB_R_TYPE;
	return d->flags & ~(uint32_t)VMB_PKT_WANTS_REPLY ? VMB_R_FLAGS : 0;
}

/* Is this list, in the byte order of the CPU, exactly its ranges? Those of transfer pages have no page numbers. */
static int packet_list_fits(const struct vmb_list *list, int has_pages)
{
	uint64_t pos = 0;

	if (!list->words || !list->count || !list->ranges)
		return 0;
	for (uint32_t r = 0; r < list->ranges; r++) {
		uint64_t bytes, offset;

		if (pos >= list->count)
			return 0;
		bytes = list->words[pos] & 0xffffffff;
		offset = list->words[pos++] >> 32;
		if (!bytes)
			return 0;
		if (!has_pages)
			continue;
		if (offset >= VMB_PAGE)
			return 0;
		pos += (offset + bytes + VMB_PAGE - 1) >> 12;
	}
	return pos == list->count;
}

static int vmbi_packet_head(const struct vmb_packet *p, uint32_t *head)
{
	int external = p->kind == VMB_PKT_XFER || p->kind == VMB_PKT_GPA;
	uint64_t bytes = external ? 8 + (uint64_t)p->list.count * 8 : 0;

	if (!external && p->kind != VMB_PKT_INBAND && p->kind != VMB_PKT_COMPLETION)
		return VMB_EINVAL;
	if (p->flags & ~VMB_PKT_WANTS_REPLY || (p->kind == VMB_PKT_COMPLETION && p->flags))
		return VMB_EINVAL;
	if (external ? !packet_list_fits(&p->list, p->kind == VMB_PKT_GPA) : p->list.count || p->list.ranges)
		return VMB_EINVAL;
	if (vmbi_packet_total(bytes, p->len) - VMBI_FOOTER > VMBI_LEN8_MAX * 8)
		return VMB_ETOOBIG;
	*head = (uint32_t)bytes;
	return 0;
}

/* ---- lib/protocol/packet_field.c ---- */
/*
 * Ring packets as named fields: descriptor, variable header, payload, of today's and of the historic types. ring.md 4, 5
 * The fields tile the packet: what the type does not explain before the payload is shown as "header".
 */

static const char packet_names[][24] = {
	"?", "SYNCH", "ADD_XFER_SET", "REMOVE_XFER_SET", "ESTABLISH_GPADL", "TEARDOWN_GPADL", "INBAND", "XFER",
	"DATA_USING_GPADL", "GPA", "CANCEL", "COMPLETION", "DATA_USING_ADDITIONAL", "ADDITIONAL_DATA",
};

const char *vmb_packet_name(uint32_t kind)
{
	return packet_names[kind < sizeof packet_names / sizeof *packet_names ? kind : 0];
}

struct packet_row {
	char name[17];
	uint8_t offset, bytes;
	uint16_t kinds; /* bit n: packets of type n have it */
};

#define PACKET_EVERY 0xffffu /* also types above 15 */
#define PACKET_XFER (1u << VMB_PKT_XFER)
#define PACKET_GPA (1u << VMB_PKT_GPA)

static const struct packet_row packet_rows[] = { /* in the order of their offsets */
	{ "type", 0, 2, PACKET_EVERY },
	{ "data_offset8", 2, 2, PACKET_EVERY },
	{ "length8", 4, 2, PACKET_EVERY },
	{ "flags", 6, 2, PACKET_EVERY },
	{ "transaction_id", 8, 8, PACKET_EVERY },
	{ "page_set", 16, 2, PACKET_XFER },
	{ "sender_owns_set", 18, 1, PACKET_XFER },
	{ "reserved", 19, 1, PACKET_XFER },
	{ "reserved", 16, 4, PACKET_GPA },
	{ "gpadl", 16, 4, 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 8 },
	{ "total_bytes", 16, 8, 1u << 13 },
	{ "range_count", 20, 4, PACKET_XFER | PACKET_GPA | 1u << 4 },
	{ "page_set", 20, 2, 1u << 2 | 1u << 3 },
	{ "reserved", 22, 2, 1u << 2 | 1u << 3 },
	{ "reserved", 20, 4, 1u << 5 | 1u << 8 },
	{ "byte_offset", 24, 4, 1u << 13 },
	{ "byte_count", 28, 4, 1u << 13 },
};

#define PACKET_COUNT_AT 20u
#define PACKET_WORDS_AT 24u

/* Where header and payload end: by the descriptor as far as it makes sense, and never beyond len. */
static void packet_ends(const uint8_t *p, uint32_t len, uint32_t *head, uint32_t *end)
{
	*end = len;
	if (len >= VMBI_DESCRIPTOR) {
		uint32_t all = vmbi_get16(p + 4) * 8u;

		if (all < VMBI_DESCRIPTOR)
			all = VMBI_DESCRIPTOR;
		*end = len < all ? len : all;
		len = vmbi_get16(p + 2) * 8u;
		if (len < VMBI_DESCRIPTOR)
			len = VMBI_DESCRIPTOR;
	}
	*head = len < *end ? len : *end;
}

static struct vmbi_words packet_words(const uint8_t *p, uint32_t kinds, uint32_t head)
{
	struct vmbi_words w = { PACKET_WORDS_AT, 0, 0, kinds & PACKET_XFER ? VMBI_WORDS_RANGE : VMBI_WORDS_LIST };

	if (kinds & (PACKET_XFER | PACKET_GPA | 1u << 4) && head >= PACKET_WORDS_AT) {
		w.count = (head - PACKET_WORDS_AT) / 8;
		w.ranges = vmbi_get32(p + PACKET_COUNT_AT);
	}
	return w;
}

int vmb_packet_field(const void *packet, uint32_t len, uint32_t index, struct vmb_field *out)
{
	uint32_t head, end, done = 0, kinds;
	struct vmbi_words words;

	if (!packet || !out)
		return VMB_EINVAL;
	packet_ends(packet, len, &head, &end);
	kinds = len < 2 ? 0 : vmbi_get16(packet);
	kinds = kinds < 16 ? 1u << kinds : 0;
	for (uint32_t i = 0; i < sizeof packet_rows / sizeof *packet_rows; i++) {
		const struct packet_row *row = &packet_rows[i];

		if ((row->kinds != PACKET_EVERY && !(row->kinds & kinds)) || (uint32_t)row->offset + row->bytes > head)
			continue;
		done = (uint32_t)row->offset + row->bytes;
		if (index--)
			continue;
		*out = vmbi_field(packet, row->name, row->offset, row->bytes, VMB_FIELD_NUMBER);
		return VMB_YES;
	}
	words = packet_words(packet, kinds, head);
	if (index < words.count)
		return vmbi_words_field(packet, &words, index, out);
	index -= words.count;
	done += words.count * 8;
	if (done < head && !index--) {
		*out = vmbi_field(packet, "header", done, head - done, VMB_FIELD_BYTES);
		return VMB_YES;
	}
	if (head < end && !index) {
		*out = vmbi_field(packet, "payload", head, end - head, VMB_FIELD_BYTES);
		return VMB_YES;
	}
	return VMB_ENOENT;
}

/* ---- lib/ring/memory.c ---- */
/* The memory of a ring: checking its description, walking its data area in runs, looking at its control page. ring.md 2, 11 */

/* ---- lib/ring/access.h ---- */
/*
 * How both halves reach shared memory: the words of the control page, and the data area of any of its three kinds. Offsets into
 * the data that are called pos may be up to twice the size; what is called an index is below it. ring.md 3, 11
 */
#ifndef VMBI_RING_ACCESS_H
#define VMBI_RING_ACCESS_H


/* ---- lib/ring/ring.h ---- */
/*
 * One direction of a ring, seen from its producer (struct vmb_tx) or its consumer (struct vmb_rx). The structs are here so that a
 * channel can hold one of each in its storage; nobody but lib/ring looks into them, except at what is marked "for the channel".
 */
#ifndef VMBI_RING_H
#define VMBI_RING_H


/* Words of the control page. ring.md 2.2 */
#define VMBI_RING_IN 0x00u
#define VMBI_RING_OUT 0x04u
#define VMBI_RING_MASK 0x08u
#define VMBI_RING_PENDING 0x0cu
#define VMBI_RING_FEATURES 0x40u

/* Where the ring lies. Written at init only. */
struct vmbi_ring {
	uint8_t *control;
	uint8_t *data;   /* NULL: the page table */
	uint8_t **pages; /* every page twice in a row: an offset below 2 * size finds its page without a modulo */
	uint32_t size;   /* data bytes, a multiple of 4096 */
	uint32_t linear; /* bytes in a row at data: size, or twice that where it is mapped twice */
	uint32_t flags;  /* VMB_RING_* */
	uint32_t magic;  /* VMB_CHECKED builds: this is one of ours, and which half */
};

/* The stick: why a half refuses. Written once by its owner, read by anybody. */
struct vmbi_stick {
	uint32_t reason; /* VMB_R_*, 0: none. Stored after `at`, with release */
	uint32_t at;     /* the bad index itself, or where the bad packet starts */
};

/* Pages written. For the channel: setup leaves it off and has by then written to the control page. */
struct vmbi_dirty {
	uint32_t *bits; /* one bit per page, set after writing; page 0 is the control page. NULL: off */
	uint32_t base;  /* bit number of page 0 */
};

/* Counters have one writer and any number of readers, who use VMBI_READ64. What is counted by the packet counts when it is
 * published. */
struct vmb_tx {
	struct vmbi_ring ring;
	struct vmbi_stick stick;
	/* private cursors, ring.md 8.1 */
	uint32_t next;    /* where the next packet starts */
	uint32_t room;    /* the largest packet that fits there for certain, by Out as last seen. 0 on a violation */
	uint32_t pub;     /* In, as last published */
	uint32_t pending; /* the pending size in the control page, as last stored */
	uint32_t fresh;   /* packets between pub and next */
	struct vmbi_dirty dirty;
	/* for the channel */
	uint64_t packets, signals;
	uint64_t masked; /* publications that would have signalled, had the consumer not masked */
	uint64_t full;   /* times that a packet did not fit */
	uint64_t bytes;  /* published */
};

struct vmb_rx {
	struct vmbi_ring ring;
	struct vmbi_stick stick;
	uint32_t next;    /* where the next packet starts */
	uint32_t left;    /* bytes from there to In as last seen; 0: look again. Above 0 only while mask is 1 */
	uint32_t pub;     /* Out, as last published */
	uint32_t mask;    /* the mask in the control page, as last stored */
	uint32_t fresh;   /* packets between pub and next */
	struct vmbi_dirty dirty;
	/* for the channel */
	uint64_t packets, signals;
	uint64_t bytes;   /* released */
	uint64_t head;    /* of the last packet given out that has a list: the word that counts its ranges, as fetched */
};

/* How many page table entries such a ring needs: 0, or twice its pages. */
static uint32_t vmbi_ring_table(const struct vmb_ring_mem *mem);
/* Check a description: VMB_EINVAL, or 0. Not the memory itself. */
static int vmbi_ring_check(const struct vmb_ring_mem *mem);
/* Make a half in place; the table has vmbi_ring_table entries (NULL where 0) and may be where mem->pages points. from may be
 * NULL or not valid. 0, VMB_EINVAL, VMB_EPEER. */
static int vmbi_tx_setup(struct vmb_tx *tx, uint8_t **table, const struct vmb_ring_mem *mem, const struct vmb_cursor *from);
static int vmbi_rx_setup(struct vmb_rx *rx, uint8_t **table, const struct vmb_ring_mem *mem, const struct vmb_cursor *from);

/* Bytes between Out and In. ring.md 3.2 */
static inline uint32_t vmbi_ring_used(uint32_t in, uint32_t out, uint32_t size)
{
	return in >= out ? in - out : size - out + in;
}

/* For the channel: where a side stands, as its end gives it. 0: something is put and not committed, or taken and not released. */
static inline int vmbi_tx_where(const struct vmb_tx *tx, struct vmb_cursor *at)
{
	*at = (struct vmb_cursor){ 1, tx->pub, tx->pending, 0 };
	return tx->next == tx->pub;
}

static inline int vmbi_rx_where(const struct vmb_rx *rx, struct vmb_cursor *at)
{
	*at = (struct vmb_cursor){ 1, rx->pub, rx->mask, 0 };
	return rx->next == rx->pub;
}

#endif /* VMBI_RING_H */

#ifdef VMB_CHECKED
# define VMBI_RING_CHECKED 1
#else
# define VMBI_RING_CHECKED 0
#endif
#define VMBI_TX_MAGIC 0x74626d76u
#define VMBI_RX_MAGIC 0x72626d76u

/* The short way of a packet, and the longer ones, kept out of it so that it needs no registers saved; and the ways of errors. */
#define VMBI_RING_SHORT inline __attribute__((always_inline))
#define VMBI_RING_LONG __attribute__((noinline))
#define VMBI_RING_COLD __attribute__((noinline, cold))

/* ---- the control page */

static inline uint32_t vmbi_ring_load(const struct vmbi_ring *r, uint32_t word)
{
	return VMBI_LE32(VMBI_LOAD32_RELAXED(r->control + word));
}

static inline uint32_t vmbi_ring_acquire(const struct vmbi_ring *r, uint32_t word)
{
	return VMBI_LE32(VMBI_LOAD32_ACQUIRE(r->control + word));
}

static inline void vmbi_ring_store(const struct vmbi_ring *r, uint32_t word, uint32_t v)
{
	VMBI_STORE32_RELAXED(r->control + word, VMBI_LE32(v));
}

static inline void vmbi_ring_release(const struct vmbi_ring *r, uint32_t word, uint32_t v)
{
	VMBI_STORE32_RELEASE(r->control + word, VMBI_LE32(v));
}

/* Release, and seen by all before anything after it. ring.md 10.2 */
static inline void vmbi_ring_publish(const struct vmbi_ring *r, uint32_t word, uint32_t v)
{
	VMBI_PUBLISH32(r->control + word, VMBI_LE32(v));
}

/* ---- indexes. ring.md 3, 9.1 rule 2 */

static inline int vmbi_ring_index_ok(uint32_t index, uint32_t size)
{
	return index < size && !(index & 7);
}

/* n <= size */
static inline uint32_t vmbi_ring_forward(uint32_t index, uint32_t n, uint32_t size)
{
	uint32_t pos = index + n;

	if (VMBI_RARELY(pos >= size))
		pos -= size;
	return pos;
}

/* Bytes that are not occupied, 8 ... size. */
static inline uint32_t vmbi_ring_raw(uint32_t in, uint32_t out, uint32_t size)
{
	return size - vmbi_ring_used(in, out, size);
}

static inline int vmbi_ring_stick(struct vmbi_stick *stick, uint32_t reason, uint32_t at)
{
	VMBI_STORE32_RELAXED(&stick->at, at);
	VMBI_STORE32_RELEASE(&stick->reason, reason);
	return VMB_EPEER;
}

static inline void vmbi_ring_count(uint64_t *counter, uint32_t n)
{
	VMBI_WRITE64(counter, VMBI_READ64(counter) + n);
}

/* ---- the data area */

/* The aligned word at pos. */
static inline uint8_t *vmbi_ring_word(const struct vmbi_ring *r, uint32_t pos)
{
	if (r->data)
		return r->data + (pos < r->linear ? pos : pos - r->size);
	return r->pages[pos / VMB_PAGE] + pos % VMB_PAGE;
}

/* Where this index is, and up to which pos the bytes lie in a row. */
static inline uint8_t *vmbi_ring_at(const struct vmbi_ring *r, uint32_t index, uint32_t *end)
{
	if (r->data) {
		*end = r->linear;
		return r->data + index;
	}
	*end = (index | (VMB_PAGE - 1)) + 1;
	return r->pages[index / VMB_PAGE] + index % VMB_PAGE;
}

/* The len bytes from this index on if they lie in a row, else NULL. len <= size. */
static inline uint8_t *vmbi_ring_row(const struct vmbi_ring *r, uint32_t index, uint32_t len)
{
	if (r->data)
		return index + len <= r->linear ? r->data + index : NULL;
	return index % VMB_PAGE + len <= VMB_PAGE ? r->pages[index / VMB_PAGE] + index % VMB_PAGE : NULL;
}

/* What lies in a row from pos on, len bytes at most: *run of them. */
static inline uint8_t *vmbi_ring_run(const struct vmbi_ring *r, uint32_t pos, uint32_t len, uint32_t *run)
{
	uint32_t most;

	if (r->data) {
		if (pos >= r->linear)
			pos -= r->size;
		most = r->linear - pos;
	} else {
		most = VMB_PAGE - pos % VMB_PAGE;
	}
	*run = len < most ? len : most;
	return vmbi_ring_word(r, pos);
}

/* Is this a view that a ring of this size could have given, or a part of one, with n bytes of it at offset? */
static inline int vmbi_ring_within(const struct vmbi_ring *r, const struct vmb_view *v, uint32_t offset, uint32_t n)
{
	return v->pos < r->size && v->len <= r->size && offset <= v->len && n <= v->len - offset;
}

/* Copy n bytes in or out, from pos on; pos + n <= 2 * size. */
static void vmbi_ring_write(const struct vmbi_ring *r, uint32_t pos, const void *src, uint32_t n);
static void vmbi_ring_read(const struct vmbi_ring *r, uint32_t pos, void *dst, uint32_t n);
/* Write n words in wire order. */
static void vmbi_ring_words(const struct vmbi_ring *r, uint32_t pos, const uint64_t *words, uint32_t n);
/* The spans of n bytes from pos on, at most max of them. */
static int vmbi_ring_spans(const struct vmbi_ring *r, uint32_t pos, uint32_t n, struct vmb_span *spans, uint32_t max);

/* ---- dirty pages: written first, marked second, each time, so that a reader who takes the mark away in between copies what was
 * written */

static inline void vmbi_ring_mark(const struct vmbi_dirty *dirty, uint32_t page)
{
	uint32_t bit = dirty->base + page;

	(void)VMBI_FETCH_OR32(&dirty->bits[bit / 32], 1u << bit % 32);
}

static inline void vmbi_ring_mark_control(const struct vmbi_dirty *dirty)
{
	if (dirty->bits)
		vmbi_ring_mark(dirty, 0);
}

/* The data pages of n bytes from this index on. */
static void vmbi_ring_mark_data(const struct vmbi_ring *r, const struct vmbi_dirty *dirty, uint32_t index, uint32_t n);

/* ---- making a half */

/* Take in where the ring lies. mem has been checked. VMB_EINVAL: not such memory. */
static int vmbi_ring_place(struct vmbi_ring *r, uint8_t **table, const struct vmb_ring_mem *mem);
/* Is this a cursor for such a ring, or none? */
static int vmbi_ring_cursor_ok(const struct vmbi_ring *r, const struct vmb_cursor *from);

#endif /* VMBI_RING_ACCESS_H */

static uint32_t vmbi_ring_table(const struct vmb_ring_mem *mem)
{
	return mem->data ? 0 : 2 * mem->data_pages;
}

static int vmbi_ring_check(const struct vmb_ring_mem *mem)
{
	if (!mem->control || (uintptr_t)mem->control % VMB_PAGE)
		return VMB_EINVAL;
	if (!mem->data == !mem->pages || (uintptr_t)mem->data % VMB_PAGE)
		return VMB_EINVAL;
	if (!mem->data_pages || mem->data_pages > 8188)
		return VMB_EINVAL;
	if (mem->flags & ~(VMB_RING_TWICE | VMB_RING_FRESH | VMB_RING_LOOSE) || (mem->flags & VMB_RING_TWICE && !mem->data))
		return VMB_EINVAL;
	return 0;
}

static int vmbi_ring_place(struct vmbi_ring *r, uint8_t **table, const struct vmb_ring_mem *mem)
{
	r->control = mem->control;
	r->data = mem->data;
	r->pages = table;
	r->size = mem->data_pages * VMB_PAGE;
	r->linear = mem->flags & VMB_RING_TWICE ? 2 * r->size : r->size;
	r->flags = mem->flags;
	if (mem->data)
		return 0;
	for (uint32_t i = 0; i < mem->data_pages; i++) {
		uint8_t *page = mem->pages[i];

		if (!page || (uintptr_t)page % VMB_PAGE)
			return VMB_EINVAL;
		table[i] = page;
		table[i + mem->data_pages] = page;
	}
	return 0;
}

static int vmbi_ring_cursor_ok(const struct vmbi_ring *r, const struct vmb_cursor *from)
{
	if (!from || !from->valid)
		return 1;
	return from->valid == 1 && !from->reserved && vmbi_ring_index_ok(from->index, r->size);
}

static void vmbi_ring_write(const struct vmbi_ring *r, uint32_t pos, const void *src, uint32_t n)
{
	const uint8_t *from = src;
	uint32_t run;

	for (; n; n -= run, pos += run, from += run) {
		uint8_t *to = vmbi_ring_run(r, pos, n, &run);

		VMBI_COPY_IN(to, from, run);
	}
}

static void vmbi_ring_read(const struct vmbi_ring *r, uint32_t pos, void *dst, uint32_t n)
{
	uint8_t *to = dst;
	uint32_t run;

	for (; n; n -= run, pos += run, to += run) {
		const uint8_t *from = vmbi_ring_run(r, pos, n, &run);

		VMBI_COPY_OUT(to, from, run);
	}
}

static void vmbi_ring_words(const struct vmbi_ring *r, uint32_t pos, const uint64_t *words, uint32_t n)
{
	uint32_t run;

	for (; n; n -= run / 8, pos += run) {
		uint8_t *to = vmbi_ring_run(r, pos, n * 8, &run);

		for (uint32_t i = 0; i < run; i += 8, words++)
			VMBI_WRITE64(to + i, *words);
	}
}

static int vmbi_ring_spans(const struct vmbi_ring *r, uint32_t pos, uint32_t n, struct vmb_span *spans, uint32_t max)
{
	uint32_t count = 0, run;

	for (; n && count < max; n -= run, pos += run, count++) {
		spans[count].base = vmbi_ring_run(r, pos, n, &run);
		spans[count].len = run;
	}
	return (int)count;
}

static void vmbi_ring_mark_data(const struct vmbi_ring *r, const struct vmbi_dirty *dirty, uint32_t index, uint32_t n)
{
	uint32_t pages = r->size / VMB_PAGE;
	uint32_t page = index / VMB_PAGE;

	if (!dirty->bits || !n)
		return;
	for (uint32_t left = (index + n - 1) / VMB_PAGE - page + 1; left; left--) {
		vmbi_ring_mark(dirty, 1 + page);
		page = page + 1 == pages ? 0 : page + 1;
	}
}

int vmb_ring_inspect(const struct vmb_ring_mem *ring, struct vmb_ring_info *out)
{
	struct vmbi_ring r = { 0 };

	if (!ring || !out || vmbi_ring_check(ring))
		return VMB_EINVAL;
	r.control = ring->control;
	out->data_bytes = ring->data_pages * VMB_PAGE;
	out->in = vmbi_ring_load(&r, VMBI_RING_IN);
	out->out = vmbi_ring_load(&r, VMBI_RING_OUT);
	out->interrupt_mask = vmbi_ring_load(&r, VMBI_RING_MASK);
	out->pending_send = vmbi_ring_load(&r, VMBI_RING_PENDING);
	out->features = vmbi_ring_load(&r, VMBI_RING_FEATURES);
	return 0;
}

/* ---- lib/ring/tx.c ---- */
/*
 * The producer of a ring: packets are written behind what is published, then published together. Its own words (In, pending
 * size) are kept privately and only ever stored; of the consumer's, Out and the mask, each is loaded once per decision. ring.md
 * 8.2, 8.4, 10
 */

/* ---- lib/ring/short.h ---- */
/*
 * The short ways of a packet through both halves: in-band data and completions without a variable header, in a row of memory. They are what
 * a packet costs, so they are compiled into each call that puts or takes one, of halves and of channels. All others go the way of
 * tx.c and rx.c.
 */
#ifndef VMBI_RING_SHORTWAY_H
#define VMBI_RING_SHORTWAY_H


/* ---- into the ring. ring.md 4 */

static inline void vmbi_tx_advance(struct vmb_tx *tx, uint32_t start, uint32_t total)
{
	tx->next = vmbi_ring_forward(start, total, tx->ring.size);
	tx->room -= total;
	tx->fresh++;
}

/* Is this, kind and flags of a first word, a packet that has no variable header and may be sent? */
static inline int vmbi_tx_plain(uint64_t first)
{
	return (first & ~((uint64_t)VMB_PKT_WANTS_REPLY << 48)) == VMB_PKT_INBAND || first == VMB_PKT_COMPLETION;
}

/*
 * Write all but the payload of a packet with this id that is plain, fits for certain and lies in a row, and count it in. Where its
 * payload goes; NULL: it is not such a packet, and nothing has happened.
 */
static VMBI_RING_SHORT uint8_t *vmbi_tx_frame(struct vmb_tx *tx, const struct vmb_packet *p, uint64_t id)
{
	uint64_t first = p->kind | (uint64_t)p->flags << 48;
	uint64_t total = vmbi_packet_total(0, p->len);
	uint32_t start = tx->next;
	uint8_t *to, *end;

	if (!vmbi_tx_plain(first) || (p->list.count | p->list.ranges) || total > tx->room)
		return NULL;
	to = vmbi_ring_row(&tx->ring, start, (uint32_t)total);
	if (!to)
		return NULL;
	end = to + (uint32_t)total - VMBI_FOOTER;
	VMBI_WRITE64(to, first | VMBI_DESCRIPTOR / 8 << 16 | (total - VMBI_FOOTER) / 8 << 32);
	VMBI_WRITE64(to + 8, id);
	if (p->len & 7)
		VMBI_WRITE64(end - 8, 0);
	VMBI_WRITE64(end, (uint64_t)start << 32);
	vmbi_tx_advance(tx, start, (uint32_t)total);
	return to + VMBI_DESCRIPTOR;
}

/* ---- out of it. ring.md 8.3, 9.1 */

/* Bytes that a packet takes, by its first word. */
static inline uint32_t vmbi_rx_total(uint64_t word)
{
	return ((uint32_t)(word >> 32) & 0xffff) * 8 + VMBI_FOOTER;
}

/*
 * Fetch the first word of the packet at start, which is rx->next; it is there. Is it one that nearly all packets have: in-band or completion, no
 * header, known flags, all of it there, and in a row? Then that is at *at, with a payload of *len bytes. The others go the way of
 * vmbi_descriptor_check, which agrees.
 */
static VMBI_RING_SHORT int vmbi_rx_plain(const struct vmb_rx *rx, uint32_t start, uint64_t *word, const uint8_t **at, size_t *len)
{
	uint64_t fixed;
	uint32_t end, total;

	*at = vmbi_ring_at(&rx->ring, start, &end);
	*word = VMBI_READ64(*at);
	fixed = *word & ~((uint64_t)VMB_PKT_WANTS_REPLY << 48 | (uint64_t)VMBI_LEN8_MAX << 32);
	if (fixed != (VMB_PKT_INBAND | 2 << 16) && VMBI_RARELY(fixed != (VMB_PKT_COMPLETION | 2 << 16)))
		return 0;
	total = vmbi_rx_total(*word);
	if (VMBI_RARELY(total < VMBI_DESCRIPTOR + VMBI_FOOTER) || VMBI_RARELY(total > rx->left) || VMBI_RARELY(start + total > end))
		return 0;
	*len = total - VMBI_DESCRIPTOR - VMBI_FOOTER;
	return 1;
}

/* Take the packet at start, whose first word has been fetched and checked: *p is what that says and the id, which is at `id`. */
static VMBI_RING_SHORT void vmbi_rx_take(struct vmb_rx *rx, uint32_t start, uint64_t word, const uint8_t *id, const void *payload,
					 struct vmb_packet *p)
{
	uint32_t total = vmbi_rx_total(word);

	p->kind = (uint16_t)word;
	p->flags = (uint16_t)(word >> 48);
	p->len = total - VMBI_DESCRIPTOR - VMBI_FOOTER;
	p->id = VMBI_READ64(id);
	p->user = 0;
	p->payload = payload;
	VMBI_MEMSET(&p->list, 0, sizeof *p - offsetof(struct vmb_packet, list));
	rx->next = vmbi_ring_forward(start, total, rx->ring.size);
	rx->left -= total;
	rx->fresh++;
}

/* Everything known has been taken: look at In. VMB_YES, 0 or VMB_EPEER. */
static int vmbi_rx_look(struct vmb_rx *rx);
/* Take the packet at next, whatever it is; word is its first, fetched. VMB_YES or VMB_EPEER. */
static int vmbi_rx_take_any(struct vmb_rx *rx, uint64_t word, struct vmb_packet *p, struct vmb_view *all);

#endif /* VMBI_RING_SHORTWAY_H */

/* ---- lib/abi.h ---- */
/*
 * How structs and storage cross the ABI. Structs that begin with `size` may come from an older or a newer caller; storage is one block
 * that is carved into aligned parts, by the same code that computes how much is needed.
 */
#ifndef VMBI_ABI_H
#define VMBI_ABI_H


#define VMBI_ALIGN 64u /* of every storage: a cache line */

/*
 * Take a caller's struct: `known` bytes are what this library knows, `least` what its first release knew. A missing tail counts as
 * zero, an unknown one must be zero. Returns 0 or VMB_ESTRUCT.
 */
static inline int vmbi_struct_in(void *to, uint32_t known, const void *from, uint32_t least)
{
	const uint8_t *bytes = from;
	uint32_t size;

	VMBI_MEMCPY(&size, from, sizeof size);
	if (size < least || size > 0x10000)
		return VMB_ESTRUCT;
	for (uint32_t i = known; i < size; i++)
		if (bytes[i])
			return VMB_ESTRUCT;
	VMBI_MEMSET(to, 0, known);
	VMBI_MEMCPY(to, from, size < known ? size : known);
	VMBI_MEMCPY(to, &known, sizeof known);
	return 0;
}

/* Give a struct to a caller, whose `size` stays as it set it; a tail that this library does not know is cleared. */
static inline int vmbi_struct_out(void *to, const void *from, uint32_t known, uint32_t least)
{
	uint32_t size;

	VMBI_MEMCPY(&size, to, sizeof size);
	if (size < least || size > 0x10000)
		return VMB_ESTRUCT;
	VMBI_MEMSET(to, 0, size);
	VMBI_MEMCPY(to, from, size < known ? size : known);
	VMBI_MEMCPY(to, &size, sizeof size);
	return 0;
}

/* A block being carved. base NULL: only computing. Sums cannot overflow: counts are 32-bit and element sizes small, and 32-bit
 * size_t is checked by vmbi_carve_end. */
struct vmbi_carve {
	uint8_t *base;
	uint64_t used;
};

/* The next `count` elements of `bytes` each, cache-line aligned. NULL while only computing. */
static inline void *vmbi_carve(struct vmbi_carve *c, uint64_t count, uint32_t bytes)
{
	void *part = c->base ? c->base + (size_t)c->used : NULL;

	c->used += (count * bytes + VMBI_ALIGN - 1) & ~(uint64_t)(VMBI_ALIGN - 1);
	return part;
}

static inline int vmbi_carve_end(const struct vmbi_carve *c, struct vmb_storage *need)
{
	if (c->used > SIZE_MAX / 2)
		return VMB_ENOSPACE;
	need->bytes = (size_t)c->used;
	need->align = VMBI_ALIGN;
	return 0;
}

/* Is this block large and aligned enough? 0 or VMB_ENOSPACE; VMB_EINVAL for NULL. */
static inline int vmbi_storage_fits(const void *mem, size_t bytes, const struct vmb_storage *need)
{
	if (!mem)
		return VMB_EINVAL;
	return bytes < need->bytes || (uintptr_t)mem % need->align ? VMB_ENOSPACE : 0;
}

#endif /* VMBI_ABI_H */

#define TX_TOTAL_MAX (VMBI_LEN8_MAX * 8 + VMBI_FOOTER)

/* VMB_CHECKED builds: is this a producer? */
static inline int tx_ours(const struct vmb_tx *tx)
{
	return !VMBI_RING_CHECKED || (tx && tx->ring.magic == VMBI_TX_MAGIC);
}

static inline int tx_given(const void *p)
{
	return !VMBI_RING_CHECKED || p;
}

/* ---- making and unmaking */

static int vmbi_tx_setup(struct vmb_tx *tx, uint8_t **table, const struct vmb_ring_mem *mem, const struct vmb_cursor *from)
{
	const struct vmbi_ring *r = &tx->ring;
	int resumed = from && from->valid;
	uint32_t out;

	if (vmbi_ring_check(mem))
		return VMB_EINVAL;
	VMBI_MEMSET(tx, 0, sizeof *tx);
	if (vmbi_ring_place(&tx->ring, table, mem) || !vmbi_ring_cursor_ok(r, from))
		return VMB_EINVAL;
	if (resumed) {
		tx->pub = from->index;
		tx->pending = from->armed;
	} else {
		if (mem->flags & VMB_RING_FRESH)
			VMBI_CLEAR(r->control, VMB_PAGE);
		tx->pub = vmbi_ring_load(r, VMBI_RING_IN);
	}
	out = vmbi_ring_acquire(r, VMBI_RING_OUT);
	if (!vmbi_ring_index_ok(tx->pub, r->size) || !vmbi_ring_index_ok(out, r->size))
		return VMB_EPEER;
	if (!resumed) {
		vmbi_ring_store(r, VMBI_RING_PENDING, 0);
		vmbi_ring_store(r, VMBI_RING_FEATURES, 1);
	}
	tx->next = tx->pub;
	tx->ring.magic = VMBI_TX_MAGIC;
	return 0;
}

/* The struct, then the page table. */
static struct vmb_tx *tx_carve(void *mem, const struct vmb_ring_mem *ring, uint8_t ***table, struct vmb_storage *need)
{
	struct vmbi_carve c = { mem, 0 };
	struct vmb_tx *tx = vmbi_carve(&c, 1, sizeof *tx);

	*table = vmbi_carve(&c, vmbi_ring_table(ring), sizeof **table);
	(void)vmbi_carve_end(&c, need);
	return tx;
}

int vmb_tx_storage(const struct vmb_ring_mem *ring, struct vmb_storage *need)
{
	uint8_t **table;

	if (!ring || !need || vmbi_ring_check(ring))
		return VMB_EINVAL;
	(void)tx_carve(NULL, ring, &table, need);
	return 0;
}

int vmb_tx_init(void *mem, size_t bytes, const struct vmb_ring_mem *ring, const struct vmb_cursor *from, struct vmb_tx **tx)
{
	struct vmb_storage need;
	struct vmb_tx *made;
	uint8_t **table;
	int r;

	if (!tx || vmb_tx_storage(ring, &need))
		return VMB_EINVAL;
	r = vmbi_storage_fits(mem, bytes, &need);
	if (r)
		return r;
	made = tx_carve(mem, ring, &table, &need);
	r = vmbi_tx_setup(made, table, ring, from);
	if (!r)
		*tx = made;
	return r;
}

/* Mark what was written since the last publication, whether it will ever be published or not. */
static void tx_mark(const struct vmb_tx *tx)
{
	if (tx->dirty.bits)
		vmbi_ring_mark_data(&tx->ring, &tx->dirty, tx->pub, vmbi_ring_used(tx->next, tx->pub, tx->ring.size));
}

int vmb_tx_end(struct vmb_tx *tx, struct vmb_cursor *at)
{
	if (!tx_ours(tx))
		return VMB_EINVAL;
	tx_mark(tx);
	if (at)
		(void)vmbi_tx_where(tx, at);
	tx->ring.magic = 0;
	return 0;
}

uint32_t vmb_tx_reason(const struct vmb_tx *tx, uint32_t *at)
{
	uint32_t reason = tx_ours(tx) ? VMBI_LOAD32_ACQUIRE(&tx->stick.reason) : 0;

	if (at)
		*at = reason ? VMBI_LOAD32_RELAXED(&tx->stick.at) : 0;
	return reason;
}

/* ---- room */

static VMBI_RING_COLD int tx_violated(struct vmb_tx *tx, uint32_t index)
{
	tx->room = 0;
	tx_mark(tx);
	return vmbi_ring_stick(&tx->stick, VMB_R_INDEX, index);
}

/* An error of the caller, unless the ring is dead anyway. */
static VMBI_RING_COLD int tx_refuse(const struct vmb_tx *tx, int error)
{
	return tx->stick.reason ? VMB_EPEER : error;
}

/* Look at Out: how large a packet fits now? ring.md 3.2, 10.2 P1 */
static int tx_look(struct vmb_tx *tx)
{
	uint32_t out = vmbi_ring_acquire(&tx->ring, VMBI_RING_OUT);
	uint32_t room;

	if (!vmbi_ring_index_ok(out, tx->ring.size))
		return tx_violated(tx, out);
	room = vmbi_ring_raw(tx->next, out, tx->ring.size) - 8;
	tx->room = room < TX_TOTAL_MAX ? room : TX_TOTAL_MAX;
	return 0;
}

/* Can such a packet ever be sent? ring.md 4.4 */
static inline int tx_possible(const struct vmb_tx *tx, uint64_t total)
{
	return total <= TX_TOTAL_MAX && total <= tx->ring.size - 8;
}

static int tx_make_room(struct vmb_tx *tx, uint64_t total)
{
	if (tx->stick.reason)
		return VMB_EPEER;
	if (!tx_possible(tx, total))
		return VMB_ETOOBIG;
	if (total <= tx->room)
		return 0;
	if (tx_look(tx))
		return VMB_EPEER;
	if (total <= tx->room)
		return 0;
	vmbi_ring_count(&tx->full, 1);
	return VMB_EFULL;
}

/* ---- writing a packet. ring.md 4 */

/* The same for any packet: 0 and the pos of its payload, or an error. */
static VMBI_RING_LONG int tx_frame_any(struct vmb_tx *tx, const struct vmb_packet *p, uint32_t *payload)
{
	const struct vmbi_ring *r = &tx->ring;
	uint32_t start = tx->next, head, size, end;
	int error = vmbi_packet_head(p, &head);

	if (error)
		return tx_refuse(tx, error);
	error = tx_make_room(tx, vmbi_packet_total(head, p->len));
	if (error)
		return error;
	size = (uint32_t)vmbi_packet_total(head, p->len) - VMBI_FOOTER;
	end = start + size;
	VMBI_WRITE64(vmbi_ring_word(r, start), vmbi_descriptor_put(p->kind, (VMBI_DESCRIPTOR + head) / 8, size / 8, p->flags));
	VMBI_WRITE64(vmbi_ring_word(r, start + 8), p->id);
	if (head) {
		uint32_t set = p->kind == VMB_PKT_XFER ? p->page_set : 0;

		VMBI_WRITE64(vmbi_ring_word(r, start + VMBI_DESCRIPTOR), (uint64_t)p->list.ranges << 32 | set);
		vmbi_ring_words(r, start + VMBI_DESCRIPTOR + 8, p->list.words, head / 8 - 1);
	}
	if (p->len & 7)
		VMBI_WRITE64(vmbi_ring_word(r, end - 8), 0);
	VMBI_WRITE64(vmbi_ring_word(r, end), (uint64_t)start << 32);
	vmbi_tx_advance(tx, start, size + VMBI_FOOTER);
	*payload = start + VMBI_DESCRIPTOR + head;
	return 0;
}

/* The view of a payload at pos. */
static inline void tx_view(const struct vmb_tx *tx, struct vmb_view *view, uint32_t pos, uint32_t len)
{
	view->pos = vmbi_ring_forward(pos, 0, tx->ring.size);
	view->len = len;
}

int vmb_tx_reserve(struct vmb_tx *tx, const struct vmb_packet *p, struct vmb_view *payload)
{
	uint32_t pos;
	int r;

	if (!tx_ours(tx) || !tx_given(p) || !tx_given(payload))
		return VMB_EINVAL;
	pos = tx->next + VMBI_DESCRIPTOR;
	if (!vmbi_tx_frame(tx, p, p->id)) {
		r = tx_frame_any(tx, p, &pos);
		if (r)
			return r;
	}
	tx_view(tx, payload, pos, p->len);
	return 0;
}

void *vmb_tx_place(struct vmb_tx *tx, const struct vmb_packet *p)
{
	return tx_ours(tx) && tx_given(p) ? vmbi_tx_frame(tx, p, p->id) : NULL;
}

static VMBI_RING_LONG int tx_put_any(struct vmb_tx *tx, const struct vmb_packet *p)
{
	uint32_t pos;
	int r = tx_frame_any(tx, p, &pos);

	if (!r)
		vmbi_ring_write(&tx->ring, pos, p->payload, p->len);
	return r;
}

int vmb_tx_put(struct vmb_tx *tx, const struct vmb_packet *p)
{
	uint8_t *to;

	if (!tx_ours(tx) || !tx_given(p) || (p->len && !tx_given(p->payload)))
		return VMB_EINVAL;
	to = vmbi_tx_frame(tx, p, p->id);
	if (!to)
		return tx_put_any(tx, p);
	VMBI_PAYLOAD_IN(to, p->payload, p->len);
	return 0;
}

/* Do the parts make up exactly len bytes? */
static int tx_parts_fit(const struct vmb_span *parts, uint32_t n, uint32_t len)
{
	for (uint32_t i = 0; i < n; i++) {
		if (parts[i].len > len || (parts[i].len && !tx_given(parts[i].base)))
			return 0;
		len -= (uint32_t)parts[i].len;
	}
	return !len;
}

int vmb_tx_putv(struct vmb_tx *tx, const struct vmb_packet *p, const struct vmb_span *parts, uint32_t n)
{
	uint32_t pos;
	int r;

	if (!tx_ours(tx) || !tx_given(p) || (n && !tx_given(parts)))
		return VMB_EINVAL;
	if (!tx_parts_fit(parts, n, p->len))
		return tx_refuse(tx, VMB_EINVAL);
	r = tx_frame_any(tx, p, &pos);
	if (r)
		return r;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = (uint32_t)parts[i].len;

		vmbi_ring_write(&tx->ring, pos, parts[i].base, len);
		pos += len;
	}
	return 0;
}

/* ---- publishing */

int vmb_tx_commit(struct vmb_tx *tx)
{
	const struct vmbi_ring *r;
	uint32_t old, mask, out;

	if (!tx_ours(tx))
		return VMB_EINVAL;
	r = &tx->ring;
	if (tx->stick.reason)
		return VMB_EPEER;
	if (tx->next == tx->pub)
		return 0;
	if (tx->pending) { /* before In: or the consumer acts on a size that nobody waits for any more */
		vmbi_ring_store(r, VMBI_RING_PENDING, 0);
		tx->pending = 0;
	}
	vmbi_ring_publish(r, VMBI_RING_IN, tx->next); /* P2; P3 with the consumer's mask and Out */
	tx_mark(tx);
	vmbi_ring_mark_control(&tx->dirty);
	vmbi_ring_count(&tx->packets, tx->fresh);
	tx->fresh = 0;
	old = tx->pub;
	tx->pub = tx->next;
	vmbi_ring_count(&tx->bytes, vmbi_ring_used(tx->pub, old, r->size));

	mask = vmbi_ring_load(r, VMBI_RING_MASK);
	out = vmbi_ring_load(r, VMBI_RING_OUT);
	if (!vmbi_ring_index_ok(out, r->size))
		return tx_violated(tx, out);
	if (out != old) /* it had not drained yet, or has already seen these packets: it will look again */
		return 0;
	vmbi_ring_count(mask ? &tx->masked : &tx->signals, 1);
	return mask ? 0 : VMB_SIGNAL;
}

int vmb_tx_discard(struct vmb_tx *tx)
{
	if (!tx_ours(tx))
		return VMB_EINVAL;
	if (tx->stick.reason)
		return VMB_EPEER;
	tx_mark(tx);
	tx->next = tx->pub;
	tx->room = 0; /* look again */
	tx->fresh = 0;
	return 0;
}

int vmb_tx_arm(struct vmb_tx *tx, const struct vmb_packet *p, uint32_t least)
{
	uint32_t head, most, want;
	uint64_t total, need;
	int r;

	if (!tx_ours(tx) || !tx_given(p))
		return VMB_EINVAL;
	r = vmbi_packet_head(p, &head);
	if (r)
		return tx_refuse(tx, r);
	total = vmbi_packet_total(head, p->len);
	most = tx->ring.size - 8;
	if (!tx_possible(tx, total))
		return tx_refuse(tx, VMB_ETOOBIG);
	if (tx->stick.reason)
		return VMB_EPEER;
	need = total + vmbi_ring_used(tx->next, tx->pub, tx->ring.size); /* the consumer computes from the published In */
	if (need < least)
		need = ((uint64_t)least + 7) & ~(uint64_t)7;
	want = need < most ? (uint32_t)need : most;
	vmbi_ring_publish(&tx->ring, VMBI_RING_PENDING, want); /* P5; P4 with the consumer's Out */
	tx->pending = want;
	r = tx_look(tx);
	if (!r && total <= tx->room) {
		vmbi_ring_store(&tx->ring, VMBI_RING_PENDING, 0);
		tx->pending = 0;
		r = VMB_YES;
	}
	vmbi_ring_mark_control(&tx->dirty);
	return r;
}

/* ---- filling in place */

int vmb_tx_spans(const struct vmb_tx *tx, const struct vmb_view *v, uint32_t offset, struct vmb_span *spans, uint32_t n)
{
	if (!tx_ours(tx) || !tx_given(v) || (n && !tx_given(spans)))
		return VMB_EINVAL;
	if (tx->stick.reason || !vmbi_ring_within(&tx->ring, v, offset, 0))
		return tx_refuse(tx, VMB_EINVAL);
	return vmbi_ring_spans(&tx->ring, v->pos + offset, v->len - offset, spans, n);
}

int vmb_tx_copy(struct vmb_tx *tx, const struct vmb_view *v, uint32_t offset, const void *src, uint32_t n)
{
	if (!tx_ours(tx) || !tx_given(v) || (n && !tx_given(src)))
		return VMB_EINVAL;
	if (tx->stick.reason || !vmbi_ring_within(&tx->ring, v, offset, n))
		return tx_refuse(tx, VMB_EINVAL);
	vmbi_ring_write(&tx->ring, v->pos + offset, src, n);
	return 0;
}

/* ---- lib/ring/rx.c ---- */
/*
 * The consumer of a ring: packets are given out in place, then released together. Its own words (Out, mask) are kept privately
 * and only ever stored; of the producer's, each is loaded once per decision, each descriptor word once. ring.md 8.3, 9.1, 10
 */

/* VMB_CHECKED builds: is this a consumer? */
static inline int rx_ours(const struct vmb_rx *rx)
{
	return !VMBI_RING_CHECKED || (rx && rx->ring.magic == VMBI_RX_MAGIC);
}

static inline int rx_given(const void *p)
{
	return !VMBI_RING_CHECKED || p;
}

/* ---- making and unmaking */

static int vmbi_rx_setup(struct vmb_rx *rx, uint8_t **table, const struct vmb_ring_mem *mem, const struct vmb_cursor *from)
{
	const struct vmbi_ring *r = &rx->ring;
	uint32_t in;

	if (vmbi_ring_check(mem))
		return VMB_EINVAL;
	VMBI_MEMSET(rx, 0, sizeof *rx);
	if (vmbi_ring_place(&rx->ring, table, mem) || !vmbi_ring_cursor_ok(r, from))
		return VMB_EINVAL;
	if (from && from->valid) {
		rx->pub = from->index;
		rx->mask = from->armed != 0;
	} else { /* what the mask is found to be does not matter: the first packet sets it, the first sleep clears it */
		if (mem->flags & VMB_RING_FRESH)
			VMBI_CLEAR(r->control, VMB_PAGE);
		rx->pub = vmbi_ring_load(r, VMBI_RING_OUT);
	}
	in = vmbi_ring_acquire(r, VMBI_RING_IN);
	if (!vmbi_ring_index_ok(rx->pub, r->size) || !vmbi_ring_index_ok(in, r->size))
		return VMB_EPEER;
	rx->next = rx->pub;
	rx->ring.magic = VMBI_RX_MAGIC;
	return 0;
}

/* The struct, then the page table. */
static struct vmb_rx *rx_carve(void *mem, const struct vmb_ring_mem *ring, uint8_t ***table, struct vmb_storage *need)
{
	struct vmbi_carve c = { mem, 0 };
	struct vmb_rx *rx = vmbi_carve(&c, 1, sizeof *rx);

	*table = vmbi_carve(&c, vmbi_ring_table(ring), sizeof **table);
	(void)vmbi_carve_end(&c, need);
	return rx;
}

int vmb_rx_storage(const struct vmb_ring_mem *ring, struct vmb_storage *need)
{
	uint8_t **table;

	if (!ring || !need || vmbi_ring_check(ring))
		return VMB_EINVAL;
	(void)rx_carve(NULL, ring, &table, need);
	return 0;
}

int vmb_rx_init(void *mem, size_t bytes, const struct vmb_ring_mem *ring, const struct vmb_cursor *from, struct vmb_rx **rx)
{
	struct vmb_storage need;
	struct vmb_rx *made;
	uint8_t **table;
	int r;

	if (!rx || vmb_rx_storage(ring, &need))
		return VMB_EINVAL;
	r = vmbi_storage_fits(mem, bytes, &need);
	if (r)
		return r;
	made = rx_carve(mem, ring, &table, &need);
	r = vmbi_rx_setup(made, table, ring, from);
	if (!r)
		*rx = made;
	return r;
}

int vmb_rx_end(struct vmb_rx *rx, struct vmb_cursor *at)
{
	if (!rx_ours(rx))
		return VMB_EINVAL;
	if (at)
		(void)vmbi_rx_where(rx, at);
	rx->ring.magic = 0;
	return 0;
}

uint32_t vmb_rx_reason(const struct vmb_rx *rx, uint32_t *at)
{
	uint32_t reason = rx_ours(rx) ? VMBI_LOAD32_ACQUIRE(&rx->stick.reason) : 0;

	if (at)
		*at = reason ? VMBI_LOAD32_RELAXED(&rx->stick.at) : 0;
	return reason;
}

static VMBI_RING_COLD int rx_violated(struct vmb_rx *rx, uint32_t reason, uint32_t at)
{
	rx->left = 0;
	return vmbi_ring_stick(&rx->stick, reason, at);
}

/* A view that is none, unless the ring is dead anyway. */
static VMBI_RING_COLD int rx_refuse(const struct vmb_rx *rx)
{
	return rx->stick.reason ? VMB_EPEER : VMB_EINVAL;
}

/* ---- taking packets */

static void rx_mask(struct vmb_rx *rx)
{
	if (rx->mask)
		return;
	vmbi_ring_store(&rx->ring, VMBI_RING_MASK, 1); /* C6: late costs a signal at most */
	vmbi_ring_mark_control(&rx->dirty);
	rx->mask = 1;
}

static VMBI_RING_LONG int vmbi_rx_look(struct vmb_rx *rx)
{
	uint32_t in;

	if (rx->stick.reason)
		return VMB_EPEER;
	in = vmbi_ring_acquire(&rx->ring, VMBI_RING_IN); /* C1 */
	if (!vmbi_ring_index_ok(in, rx->ring.size))
		return rx_violated(rx, VMB_R_INDEX, in);
	if (in == rx->next)
		return 0;
	rx->left = vmbi_ring_used(in, rx->next, rx->ring.size);
	rx_mask(rx);
	return VMB_YES;
}

/* What the word that counts the ranges says, and whether so many can be there. ring.md 9.1 rule 7 */
static inline int rx_ranges_fit(uint64_t word, const struct vmbi_descriptor *d)
{
	uint32_t words = d->data8 - 3;
	uint32_t ranges = (uint32_t)(word >> 32);

	return ranges && ranges <= (d->kind == VMB_PKT_GPA ? words / 2 : words);
}

/* The len bytes behind the descriptor at start. */
static inline struct vmb_view rx_view(const struct vmb_rx *rx, uint32_t start, uint32_t len)
{
	return (struct vmb_view){ vmbi_ring_forward(start, VMBI_DESCRIPTOR, rx->ring.size), len };
}

static VMBI_RING_LONG int vmbi_rx_take_any(struct vmb_rx *rx, uint64_t word, struct vmb_packet *p, struct vmb_view *all)
{
	struct vmbi_descriptor d = vmbi_descriptor_get(word);
	uint32_t reason = vmbi_descriptor_check(&d, rx->left, (rx->ring.flags & VMB_RING_LOOSE) != 0);
	uint32_t start = rx->next;
	uint64_t ranges = 0;

	if (!reason && (d.kind == VMB_PKT_GPA || d.kind == VMB_PKT_XFER)) {
		ranges = VMBI_READ64(vmbi_ring_word(&rx->ring, start + VMBI_DESCRIPTOR));
		reason = rx_ranges_fit(ranges, &d) ? 0 : VMB_R_RANGES;
	}
	if (reason)
		return rx_violated(rx, reason, start);
	*all = rx_view(rx, start, vmbi_rx_total(word) - VMBI_DESCRIPTOR - VMBI_FOOTER);
	vmbi_rx_take(rx, start, word, vmbi_ring_word(&rx->ring, start + 8), NULL, p);
	p->head_len = d.data8 * 8 - VMBI_DESCRIPTOR;
	p->len -= p->head_len;
	if (ranges) {
		rx->head = ranges;
		p->list.count = d.data8 - 3;
		p->list.ranges = (uint32_t)(ranges >> 32);
		p->page_set = d.kind == VMB_PKT_XFER ? (uint16_t)ranges : 0;
	}
	return VMB_YES;
}

/* The packet at next, in place; there are bytes left. */
static VMBI_RING_SHORT int rx_next(struct vmb_rx *rx, struct vmb_packet *p, struct vmb_view *all)
{
	uint32_t start = rx->next;
	const uint8_t *at;
	uint64_t word;
	size_t len;

	if (!vmbi_rx_plain(rx, start, &word, &at, &len))
		return vmbi_rx_take_any(rx, word, p, all);
	*all = rx_view(rx, start, (uint32_t)len);
	vmbi_rx_take(rx, start, word, at + 8, at + VMBI_DESCRIPTOR, p);
	return VMB_YES;
}

static VMBI_RING_LONG int rx_look_and_next(struct vmb_rx *rx, struct vmb_packet *p, struct vmb_view *all)
{
	int r = vmbi_rx_look(rx);

	return r == VMB_YES ? rx_next(rx, p, all) : r;
}

int vmb_rx_next(struct vmb_rx *rx, struct vmb_packet *p, struct vmb_view *all)
{
	if (!rx_ours(rx) || !rx_given(p) || !rx_given(all))
		return VMB_EINVAL;
	return rx->left ? rx_next(rx, p, all) : rx_look_and_next(rx, p, all);
}

/* The packet at next, copied: the way of those that are not plain, do not lie in a row, or for which there is no room. word is its first,
 * fetched. */
static VMBI_RING_LONG int rx_get_any(struct vmb_rx *rx, uint64_t word, void *buf, size_t bytes, struct vmb_packet *p)
{
	uint32_t start = rx->next, left = rx->left, done = 0;
	struct vmb_view all;
	int r = vmbi_rx_take_any(rx, word, p, &all);

	if (r != VMB_YES)
		return r;
	if (all.len > bytes) { /* as if it had not been taken */
		rx->next = start;
		rx->left = left;
		rx->fresh--;
		return VMB_ETOOSMALL;
	}
	if (p->list.count && all.len >= 8) { /* the second is so if the first is */
		vmbi_put64(buf, rx->head); /* as it was checked, whatever it is by now */
		done = 8;
	}
	vmbi_ring_read(&rx->ring, all.pos + done, (uint8_t *)buf + done, all.len - done);
	p->payload = (const uint8_t *)buf + p->head_len;
	return VMB_YES;
}

/* The packet at next, copied; there are bytes left. */
static VMBI_RING_SHORT int rx_get(struct vmb_rx *rx, void *buf, size_t bytes, struct vmb_packet *p)
{
	uint32_t start = rx->next;
	const uint8_t *at;
	uint64_t word;
	size_t len;

	if (!vmbi_rx_plain(rx, start, &word, &at, &len) || !len || len > bytes)
		return rx_get_any(rx, word, buf, bytes, p);
	vmbi_rx_take(rx, start, word, at + 8, buf, p);
	VMBI_PAYLOAD_OUT(buf, at + VMBI_DESCRIPTOR, len);
	return VMB_YES;
}

static VMBI_RING_LONG int rx_look_and_get(struct vmb_rx *rx, void *buf, size_t bytes, struct vmb_packet *p)
{
	int r = vmbi_rx_look(rx);

	return r == VMB_YES ? rx_get(rx, buf, bytes, p) : r;
}

int vmb_rx_get(struct vmb_rx *rx, void *buf, size_t bytes, struct vmb_packet *p)
{
	if (!rx_ours(rx) || !rx_given(p) || (bytes && !rx_given(buf)))
		return VMB_EINVAL;
	return rx->left ? rx_get(rx, buf, bytes, p) : rx_look_and_get(rx, buf, bytes, p);
}

int vmb_rx_rewind(struct vmb_rx *rx)
{
	if (!rx_ours(rx))
		return VMB_EINVAL;
	if (rx->stick.reason)
		return VMB_EPEER;
	rx->next = rx->pub;
	rx->left = 0; /* look again */
	rx->fresh = 0;
	return 0;
}

/* ---- giving space back */

/* All up to next is free: what does that make of Out? Gives the Out before. */
static inline uint32_t rx_settle(struct vmb_rx *rx)
{
	uint32_t old = rx->pub;

	vmbi_ring_mark_control(&rx->dirty);
	vmbi_ring_count(&rx->packets, rx->fresh);
	rx->fresh = 0;
	rx->pub = rx->next;
	vmbi_ring_count(&rx->bytes, vmbi_ring_used(rx->pub, old, rx->ring.size));
	return old;
}

/* Did moving Out from old to pub make the room that the producer waits for? pending and in are as sampled after that.
 * ring.md 10.1 */
static inline int rx_crossed(struct vmb_rx *rx, uint32_t pending, uint32_t in, uint32_t old)
{
	uint32_t size = rx->ring.size;

	if (!pending || vmbi_ring_raw(in, old, size) > pending || vmbi_ring_raw(in, rx->pub, size) <= pending)
		return 0;
	vmbi_ring_count(&rx->signals, 1);
	return VMB_SIGNAL;
}

int vmb_rx_release(struct vmb_rx *rx)
{
	const struct vmbi_ring *r;
	uint32_t old, pending, in;

	if (!rx_ours(rx))
		return VMB_EINVAL;
	r = &rx->ring;
	if (rx->stick.reason)
		return VMB_EPEER;
	if (rx->next == rx->pub)
		return 0;
	vmbi_ring_publish(r, VMBI_RING_OUT, rx->next); /* C2; C3 with the producer's pending size */
	old = rx_settle(rx);
	pending = vmbi_ring_acquire(r, VMBI_RING_PENDING); /* C4: before In */
	if (!pending)
		return 0;
	in = vmbi_ring_acquire(r, VMBI_RING_IN);
	if (!vmbi_ring_index_ok(in, r->size))
		return rx_violated(rx, VMB_R_INDEX, in);
	return rx_crossed(rx, pending, in, old);
}

int vmb_rx_sleep(struct vmb_rx *rx)
{
	const struct vmbi_ring *r;
	uint32_t old, pending, in;
	int facts;

	if (!rx_ours(rx))
		return VMB_EINVAL;
	r = &rx->ring;
	if (rx->stick.reason)
		return VMB_EPEER;
	if (rx->next != rx->pub)
		vmbi_ring_release(r, VMBI_RING_OUT, rx->next); /* C2 */
	vmbi_ring_publish(r, VMBI_RING_MASK, 0); /* C3 and C5: one fence for both */
	old = rx_settle(rx);
	rx->mask = 0;
	rx->left = 0; /* so that the next packet masks */
	pending = vmbi_ring_acquire(r, VMBI_RING_PENDING); /* C4: before In */
	in = vmbi_ring_acquire(r, VMBI_RING_IN);
	if (!vmbi_ring_index_ok(in, r->size))
		return rx_violated(rx, VMB_R_INDEX, in);
	facts = rx_crossed(rx, pending, in, old);
	return in == rx->pub ? facts : facts | VMB_YES;
}

int vmb_rx_mask(struct vmb_rx *rx)
{
	if (!rx_ours(rx))
		return VMB_EINVAL;
	if (rx->stick.reason)
		return VMB_EPEER;
	rx_mask(rx);
	return 0;
}

/* ---- reading in place */

int vmb_rx_spans(const struct vmb_rx *rx, const struct vmb_view *v, uint32_t offset, struct vmb_span *spans, uint32_t n)
{
	if (!rx_ours(rx) || !rx_given(v) || (n && !rx_given(spans)))
		return VMB_EINVAL;
	if (rx->stick.reason || !vmbi_ring_within(&rx->ring, v, offset, 0))
		return rx_refuse(rx);
	return vmbi_ring_spans(&rx->ring, v->pos + offset, v->len - offset, spans, n);
}

int vmb_rx_copy(const struct vmb_rx *rx, const struct vmb_view *v, uint32_t offset, void *dst, uint32_t n)
{
	const uint8_t *row;
	uint32_t pos;

	if (!rx_ours(rx) || !rx_given(v) || (n && !rx_given(dst)))
		return VMB_EINVAL;
	if (rx->stick.reason || !vmbi_ring_within(&rx->ring, v, offset, n))
		return rx_refuse(rx);
	pos = vmbi_ring_forward(v->pos, offset, rx->ring.size);
	row = vmbi_ring_row(&rx->ring, pos, n);
	if (row && n)
		VMBI_COPY_OUT(dst, row, n);
	else
		vmbi_ring_read(&rx->ring, pos, dst, n);
	return 0;
}

/* ---- lib/synic/slot.c ---- */
/*
 * The message slot: one message from host to guest at a time. The type word hands the slot over: the host stores it last, the
 * guest clears it. The pending bit settles who acts when the host finds the slot full: the host sets it and looks at the type
 * once more, the guest clears the type and looks at the bit once more. With a full barrier between the two on either side, at
 * least one of them sees the other. control-plane.md 1.3, platform.md 5.1
 */

/* ---- lib/synic/synic.h ---- */
/* Pages that hypervisor and guest share: message slots, event flags, the interrupt page, monitor bits. control-plane.md 1.3, 9 */
#ifndef VMBI_SYNIC_H
#define VMBI_SYNIC_H


#define VMBI_FLAG_WORDS 64u /* 2048 flags */

/* Guest: is there something in the slot? Does not take it. */
static int vmbi_slot_busy(const void *slot);
/* Guest: take the slot's VMBus message: copy once, free the slot. 0: empty. VMB_YES, | VMB_EOM where another message waits.
 * VMB_EFOREIGN: of another type, left alone. *len is what the slot said, or 0 where it said more than 240 (to be dropped). */
static int vmbi_slot_take(void *slot, uint8_t out[VMB_MESSAGE_MAX], uint32_t *len);

/* Take 32 flags at once: word w of an event-flags array or of the receiving half of an interrupt page; bit b is flag 32 w + b. */
static uint32_t vmbi_flags_take(void *flags, uint32_t w);
/* All words below `end` that have flags are taken, one after the other: { .flags = ..., .end = ... }. */
struct vmbi_flags_scan {
	void *flags;
	uint32_t end;
	uint32_t first; /* number of the first flag of the word that was given last */
	uint32_t at;    /* eight words are looked at together: the next ones */
	uint32_t set;   /* bit i: word at - 8 + i had flags, and is still to be taken */
};
/* The flags of the next word; 0: there is none. */
static uint32_t vmbi_flags_next(struct vmbi_flags_scan *s);
/* The number of the lowest bit that is set; one is. Compilers have it as a call for some processors. */
static inline uint32_t vmbi_flags_lowest(uint32_t bits)
{
	uint32_t n = 0;

	for (uint32_t half = 16; half; half /= 2)
		if (!(bits & ((1u << half) - 1))) {
			n += half;
			bits >>= half;
		}
	return n;
}

/* Set one flag, whose number the caller has checked; 1 if it was clear. */
static int vmbi_flags_set(void *flags, uint32_t flag);

/* The interrupt page of versions below 2.4: half 0 is host to guest, half 1 guest to host; each is an array of flags. */
#define VMBI_INTERRUPT_HALF 2048u
/* Guest: set the trigger bit of a monitor id (below 128) in the guest-to-host page. control-plane.md 9.4 */
static void vmbi_monitor_set(void *page, uint32_t id);
/* Host: take the trigger bits of a group (0...3). */
static uint32_t vmbi_trigger_take(void *page, uint32_t group);
/* Host: what belongs to it in a page: all groups on, every latency (100 ns) the same; and where an id leads. */
static void vmbi_trigger_init(void *page, uint32_t latency);
static void vmbi_trigger_connect(void *page, uint32_t id, uint32_t connection);

#endif /* VMBI_SYNIC_H */

#define SLOT_STATE 4u   /* a word: payload size, flags, reserved */
#define SLOT_SENDER 8u
#define SLOT_PAYLOAD 16u

#define SLOT_EMPTY 0u
#define SLOT_VMBUS 1u   /* the hypervisor's message type that carries VMBus */
#define SLOT_PENDING 0x100u

static int vmbi_slot_busy(const void *slot)
{
	return VMBI_LOAD32_ACQUIRE(slot) != SLOT_EMPTY;
}

static int vmbi_slot_take(void *slot, uint8_t out[VMB_MESSAGE_MAX], uint32_t *len)
{
	uint8_t *s = slot;
	uint32_t type = VMBI_LE32(VMBI_LOAD32_ACQUIRE(s)); /* pairs with the release in vmb_synic_post */
	uint32_t bytes;

	if (type == SLOT_EMPTY)
		return 0;
	if (type != SLOT_VMBUS)
		return VMB_EFOREIGN;
	bytes = VMBI_LE32(VMBI_LOAD32_RELAXED(s + SLOT_STATE)) & 0xff;
	if (bytes > VMB_MESSAGE_MAX)
		bytes = 0;
	VMBI_COPY_OUT(out, s + SLOT_PAYLOAD, bytes);
	/* Not a plain store: were the slot something else by now, it is not ours to free. Releases the copy to the next post. */
	if (!VMBI_SWAP32(s, VMBI_LE32(SLOT_VMBUS), VMBI_LE32(SLOT_EMPTY)))
		return 0;
	VMBI_FENCE(); /* pairs with the one in vmb_synic_post */
	*len = bytes;
	return VMBI_LE32(VMBI_LOAD32_RELAXED(s + SLOT_STATE)) & SLOT_PENDING ? VMB_YES | VMB_EOM : VMB_YES;
}

int vmb_synic_post(void *slot, const void *payload, uint32_t len)
{
	uint8_t *s = slot;

	if (!slot || (!payload && len) || len > VMB_MESSAGE_MAX)
		return VMB_EINVAL;
	if (VMBI_LOAD32_ACQUIRE(s) != SLOT_EMPTY) { /* pairs with the swap in vmbi_slot_take */
		(void)VMBI_FETCH_OR32(s + SLOT_STATE, VMBI_LE32(SLOT_PENDING));
		VMBI_FENCE();
		if (VMBI_LOAD32_ACQUIRE(s) != SLOT_EMPTY)
			return VMB_EAGAIN;
	}
	VMBI_STORE32_RELAXED(s + SLOT_STATE, VMBI_LE32(len));
	VMBI_WRITE64(s + SLOT_SENDER, 0);
	if (len)
		VMBI_COPY_IN(s + SLOT_PAYLOAD, payload, len);
	VMBI_STORE32_RELEASE(s, VMBI_LE32(SLOT_VMBUS));
	return 0;
}

/* ---- lib/synic/flags.c ---- */
/*
 * Bits that one side sets and the other takes: event flags, the interrupt page, monitor triggers. Bit n is bit n % 8 of byte
 * n / 8; only whole words are touched, atomically. control-plane.md 9.2, 9.3, 9.4
 */

#define FLAGS_COUNT (VMBI_FLAG_WORDS * 32u)
/* A monitor page: all groups' enable bits, the trigger groups, latencies (16 bits each), parameters (8 bytes each). */
#define FLAGS_MONITOR_STATE 0u
#define FLAGS_MONITOR_GROUPS 8u
#define FLAGS_MONITOR_LATENCY 0x240u
#define FLAGS_MONITOR_PARAMETER 0x440u
#define FLAGS_MONITOR_IDS 128u

static uint8_t *flags_word(void *flags, uint32_t w)
{
	return (uint8_t *)flags + (size_t)w * 4;
}

static uint32_t vmbi_flags_take(void *flags, uint32_t w)
{
	uint8_t *word = flags_word(flags, w);

	return VMBI_LE32(VMBI_EXCHANGE32(word, 0));
}

/* Which of the next words have flags: each is looked at once. 0: none below the end. Most words are 0, and looking costs less than an exchange; a
 * flag set just now raises its interrupt after. Written out, for each interrupt looks at all words. */
static uint32_t flags_look(struct vmbi_flags_scan *s)
{
	uint32_t v0, v1, v2, v3, v4, v5, v6, v7, at = s->at, set;
	const uint8_t *word = flags_word(s->flags, at);

	do {
		if (at >= s->end)
			return 0;
		v0 = VMBI_LOAD32_RELAXED(word);
		v1 = VMBI_LOAD32_RELAXED(word + 4);
		v2 = VMBI_LOAD32_RELAXED(word + 8);
		v3 = VMBI_LOAD32_RELAXED(word + 12);
		v4 = VMBI_LOAD32_RELAXED(word + 16);
		v5 = VMBI_LOAD32_RELAXED(word + 20);
		v6 = VMBI_LOAD32_RELAXED(word + 24);
		v7 = VMBI_LOAD32_RELAXED(word + 28);
		at += 8;
		word += 32;
	} while (!(v0 | v1 | v2 | v3 | v4 | v5 | v6 | v7));
	s->at = at;
	set = (v0 ? 1u : 0) | (v1 ? 2u : 0) | (v2 ? 4u : 0) | (v3 ? 8u : 0) | (v4 ? 16u : 0) | (v5 ? 32u : 0) | (v6 ? 64u : 0) | (v7 ? 128u : 0);
	return at <= s->end ? set : set & (0xffu >> (at - s->end));
}

static uint32_t vmbi_flags_next(struct vmbi_flags_scan *s)
{
	uint32_t bits = 0;

	while (!bits) {
		uint32_t w;

		if (!s->set && !(s->set = flags_look(s)))
			return 0;
		w = s->at - 8 + vmbi_flags_lowest(s->set);
		s->set &= s->set - 1;
		s->first = w * 32;
		bits = vmbi_flags_take(s->flags, w);
	}
	return bits;
}

static int vmbi_flags_set(void *flags, uint32_t flag)
{
	uint32_t bit = VMBI_LE32(1u << flag % 32);

	return !(VMBI_FETCH_OR32((uint8_t *)flags + (size_t)(flag / 32) * 4, bit) & bit);
}

int vmb_synic_set(void *flags, uint32_t flag)
{
	if (!flags || flag >= FLAGS_COUNT)
		return VMB_EINVAL;
	return vmbi_flags_set(flags, flag) ? VMB_YES : 0;
}

static void vmbi_monitor_set(void *page, uint32_t id)
{
	uint8_t *group = (uint8_t *)page + FLAGS_MONITOR_GROUPS + (size_t)(id / 32) * 8;

	(void)VMBI_FETCH_OR32(group, VMBI_LE32(1u << id % 32));
}

static uint32_t vmbi_trigger_take(void *page, uint32_t group)
{
	uint8_t *pending = (uint8_t *)page + FLAGS_MONITOR_GROUPS + (size_t)group * 8;

	return VMBI_LOAD32_RELAXED(pending) ? VMBI_LE32(VMBI_EXCHANGE32(pending, 0)) : 0;
}

static void vmbi_trigger_init(void *page, uint32_t latency)
{
	uint8_t *p = page;

	VMBI_STORE32_RELAXED(p + FLAGS_MONITOR_STATE, VMBI_LE32(0xfu));
	for (uint32_t id = 0; id < FLAGS_MONITOR_IDS; id += 2)
		VMBI_STORE32_RELAXED(p + FLAGS_MONITOR_LATENCY + (size_t)id * 2, VMBI_LE32(latency << 16 | latency));
}

static void vmbi_trigger_connect(void *page, uint32_t id, uint32_t connection)
{
	VMBI_STORE32_RELAXED((uint8_t *)page + FLAGS_MONITOR_PARAMETER + (size_t)id * 8, VMBI_LE32(connection));
}

/* ---- lib/gpadl/list.c ---- */
/* Page lists as data: the check that everything from outside goes through, and the walk over ranges. gpadl.md 3.1, ring.md 9.1 */

/* ---- lib/gpadl/list.h ---- */
/* One range word, taken apart and checked: what every walk over a page list is made of. gpadl.md 3, ring.md 5.3 */
#ifndef VMBI_LIST_H
#define VMBI_LIST_H


static inline uint32_t vmbi_range_bytes(uint64_t word)
{
	return (uint32_t)word;
}

static inline uint32_t vmbi_range_offset(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

/* How many pages a range covers; 0: the word names no range. It is empty, does not begin in its first page, or its end, rounded
 * up to pages, overflows 32 bits. gpadl.md 3.1 */
static inline uint32_t vmbi_range_pages(uint64_t word)
{
	uint64_t end = (uint64_t)vmbi_range_bytes(word) + vmbi_range_offset(word) + VMB_PAGE - 1;

	if (!vmbi_range_bytes(word) || vmbi_range_offset(word) >= VMB_PAGE || end > UINT32_MAX)
		return 0;
	return (uint32_t)end / VMB_PAGE;
}

/* The same for the range word at `at` of a list: its pages must be there, too. */
static inline uint32_t vmbi_list_pages(const uint64_t *words, uint32_t count, uint32_t at)
{
	uint32_t pages;

	if (at >= count)
		return 0;
	pages = vmbi_range_pages(words[at]);
	return pages > count - at - 1 ? 0 : pages;
}

#endif /* VMBI_LIST_H */

int vmb_list_check(const uint64_t *words, uint32_t count, uint32_t ranges, struct vmb_list *out, uint64_t *bytes)
{
	uint64_t sum = 0; /* cannot overflow: fewer than 2^32 ranges of fewer than 2^32 bytes */
	uint32_t at = 0;

	if (!words || !out || !ranges || ranges > count)
		return VMB_EINVAL;
	for (uint32_t i = 0; i < ranges; i++) {
		uint32_t pages = vmbi_list_pages(words, count, at);

		if (!pages)
			return VMB_EINVAL;
		sum += vmbi_range_bytes(words[at]);
		at += 1 + pages;
	}
	*out = (struct vmb_list){ words, at, ranges };
	if (bytes)
		*bytes = sum;
	return 0;
}

int vmb_list_next(const struct vmb_list *list, uint32_t *cursor, struct vmb_range *out)
{
	uint32_t at, pages;

	if (!list || !cursor || !out)
		return VMB_EINVAL;
	at = *cursor;
	if (!at) {
		/* The cursor does not count ranges, so their number is compared with the words once, at the start. */
		struct vmb_list exact;

		if (vmb_list_check(list->words, list->count, list->ranges, &exact, NULL) || exact.count != list->count)
			return VMB_EINVAL;
	}
	if (at == list->count)
		return 0;
	pages = vmbi_list_pages(list->words, list->count, at);
	if (!pages)
		return VMB_EINVAL;
	*out = (struct vmb_range){ vmbi_range_bytes(list->words[at]), vmbi_range_offset(list->words[at]), &list->words[at + 1],
				   pages, 0 };
	*cursor = at + 1 + pages;
	return VMB_YES;
}

/* ---- lib/gpadl/access.c ---- */
/*
 * Reading, writing and comparing through a page list. The list's words are private and checked at each step; the pages are shared
 * with a hostile peer, so every byte of them is touched once, by the copy macros, and what is compared is a copy.
 */

/* ---- lib/gpadl/access.h ---- */
/* Moving bytes between private memory and the pages of a list. */
#ifndef VMBI_GPADL_ACCESS_H
#define VMBI_GPADL_ACCESS_H


#define VMBI_ACCESS_READ 0u
#define VMBI_ACCESS_WRITE 1u
#define VMBI_ACCESS_COMPARE 2u
#define VMBI_ACCESS_PAGES 32u /* mapped at once */

/* A range of a list: its word, how many ranges there are from it on, and how many bytes lie before it. */
struct vmbi_access_place {
	uint32_t at, left;
	uint64_t start;
};

/* One transfer. Set list, mapper, kind, and dst (read) or src; the rest is zero. */
struct vmbi_access {
	const struct vmb_list *list;
	const struct vmb_mapper *mapper;
	uint8_t *dst;
	const uint8_t *src;
	uint32_t kind;
	uint32_t one_by_one; /* the mapper has refused several pages at once */
	struct vmbi_access_place place;
};

/* Are all of [offset, offset + n) in the list? 0 or VMB_EINVAL. */
static int vmbi_access_check(struct vmbi_access *a, uint64_t offset, uint32_t n);
/* Transfer the next n bytes, from `offset` of the list on. 0, VMB_YES (different), VMB_EMAP, VMB_EINVAL (not in the list). */
static int vmbi_access_run(struct vmbi_access *a, uint64_t offset, uint32_t n);

#endif /* VMBI_GPADL_ACCESS_H */

#define ACCESS_PIECE 256u /* bytes compared at once */

/* Go to the range that holds the byte at `offset`: forward from the last one, over range words only. Only transfer-page windows
 * that lie in the wrong order make it start again. */
static int access_seek(struct vmbi_access *a, uint64_t offset)
{
	const struct vmb_list *list = a->list;
	struct vmbi_access_place *p = &a->place;

	if (!p->at || offset < p->start)
		*p = (struct vmbi_access_place){ 0, list->ranges, 0 };
	while (p->left) {
		uint32_t pages = vmbi_list_pages(list->words, list->count, p->at), bytes;

		if (!pages)
			return VMB_EINVAL;
		bytes = vmbi_range_bytes(list->words[p->at]);
		if (offset - p->start < bytes)
			return 0;
		p->start += bytes;
		p->at += 1 + pages;
		p->left--;
	}
	return VMB_EINVAL;
}

static int vmbi_access_check(struct vmbi_access *a, uint64_t offset, uint32_t n)
{
	struct vmbi_access_place start;

	if (!a->list->words || !a->list->ranges)
		return VMB_EINVAL;
	if (!n)
		return offset ? access_seek(a, offset - 1) : 0;
	if (access_seek(a, offset))
		return VMB_EINVAL;
	start = a->place;
	/* The sum does not overflow: a list names at most 2^44 bytes, and the one at this offset is among them. */
	if (access_seek(a, offset + n - 1))
		return VMB_EINVAL;
	a->place = start;
	return 0;
}

/* Up to `n` bytes at `shared`, which is in one page. VMB_YES: they differ. */
static int access_bytes(struct vmbi_access *a, uint8_t *shared, uint32_t n)
{
	uint8_t copy[ACCESS_PIECE];

	if (a->kind == VMBI_ACCESS_READ) {
		VMBI_COPY_OUT(a->dst, shared, n);
		a->dst += n;
		return 0;
	}
	if (a->kind == VMBI_ACCESS_WRITE) {
		VMBI_COPY_IN(shared, a->src, n);
		a->src += n;
		return 0;
	}
	for (uint32_t done = 0, part; done < n; done += part) {
		part = n - done < ACCESS_PIECE ? n - done : ACCESS_PIECE;
		VMBI_COPY_OUT(copy, shared + done, part);
		if (VMBI_MEMCMP(copy, a->src, part))
			return VMB_YES;
		a->src += part;
	}
	return 0;
}

static int access_map(struct vmbi_access *a, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] >= UINT64_C(1) << 52) /* so that no callback's shift can overflow. gpadl.md 8 */
			return VMB_EMAP;
	return a->mapper->map(a->mapper->ctx, pfns, n, flags, pages) ? VMB_EMAP : 0;
}

/* Transfer n bytes that lie in consecutive pages of one range, from byte `offset` of the first of them on. The sum does not
 * overflow: the range has been checked. */
static int access_pages(struct vmbi_access *a, const uint64_t *pfns, uint32_t offset, uint32_t n)
{
	uint32_t flags = a->kind == VMBI_ACCESS_WRITE ? VMB_MAP_WRITE : 0;
	void *pages[VMBI_ACCESS_PAGES];
	int differs = 0;

	while (n && !differs) {
		uint32_t count = (offset + n + VMB_PAGE - 1) / VMB_PAGE;

		if (a->one_by_one)
			count = 1;
		else if (count > VMBI_ACCESS_PAGES)
			count = VMBI_ACCESS_PAGES;
		if (access_map(a, pfns, count, flags, pages)) {
			if (count == 1)
				return VMB_EMAP;
			a->one_by_one = 1; /* to get as far as the page that is refused */
			continue;
		}
		for (uint32_t i = 0; i < count && !differs; i++) {
			uint32_t part = VMB_PAGE - offset < n ? VMB_PAGE - offset : n;

			differs = access_bytes(a, (uint8_t *)pages[i] + offset, part);
			n -= part;
			offset = 0;
		}
		a->mapper->unmap(a->mapper->ctx, pfns, count, flags, pages);
		pfns += count;
	}
	return differs;
}

static int vmbi_access_run(struct vmbi_access *a, uint64_t offset, uint32_t n)
{
	while (n) {
		const uint64_t *range;
		uint32_t into, part, in_first;
		int err;

		if (access_seek(a, offset))
			return VMB_EINVAL;
		range = a->list->words + a->place.at;
		into = (uint32_t)(offset - a->place.start);
		part = vmbi_range_bytes(*range) - into < n ? vmbi_range_bytes(*range) - into : n;
		in_first = vmbi_range_offset(*range) + into;
		err = access_pages(a, range + 1 + in_first / VMB_PAGE, in_first % VMB_PAGE, part);
		if (err)
			return err;
		offset += part;
		n -= part;
	}
	return 0;
}

static int access_list(const struct vmb_list *list, const struct vmb_mapper *m, uint64_t offset, uint32_t n,
		       struct vmbi_access *a)
{
	if (!list || !m || (n && !a->dst && !a->src))
		return VMB_EINVAL;
	a->list = list;
	a->mapper = m;
	return vmbi_access_check(a, offset, n) ? VMB_EINVAL : vmbi_access_run(a, offset, n);
}

int vmb_list_read(const struct vmb_list *list, const struct vmb_mapper *m, uint64_t offset, void *dst, uint32_t n)
{
	struct vmbi_access a = { .kind = VMBI_ACCESS_READ, .dst = dst };

	return access_list(list, m, offset, n, &a);
}

int vmb_list_write(const struct vmb_list *list, const struct vmb_mapper *m, uint64_t offset, const void *src, uint32_t n)
{
	struct vmbi_access a = { .kind = VMBI_ACCESS_WRITE, .src = src };

	return access_list(list, m, offset, n, &a);
}

int vmb_list_compare(const struct vmb_list *list, const struct vmb_mapper *m, uint64_t offset, const void *with, uint32_t n)
{
	struct vmbi_access a = { .kind = VMBI_ACCESS_COMPARE, .src = with };

	return access_list(list, m, offset, n, &a);
}

/* ---- lib/gpadl/packet_memory.c ---- */
/*
 * The external memory of a packet. GPA direct: the list in the packet itself. Transfer pages: windows into a set, and whoever
 * sent them is not believed that they lie within it. ring.md 5.3, 5.4, 9.1
 */

/* The bytes of all windows, each of which must lie in a set of this size; they may overlap, repeat, and be in any order. */
static int packet_windows(const struct vmb_list *windows, uint64_t size, uint64_t *bytes)
{
	uint64_t sum = 0;

	if (!windows->words || windows->ranges > windows->count)
		return VMB_EINVAL;
	for (uint32_t i = 0; i < windows->ranges; i++) {
		uint64_t word = windows->words[i];

		if ((uint64_t)vmbi_range_offset(word) + vmbi_range_bytes(word) > size)
			return VMB_EINVAL;
		sum += vmbi_range_bytes(word);
	}
	*bytes = sum;
	return 0;
}

/* Transfer n bytes from `offset` of the windows on. */
static int packet_run(struct vmbi_access *a, const struct vmb_list *windows, uint64_t offset, uint32_t n)
{
	for (uint32_t i = 0; i < windows->ranges && n; i++) {
		uint32_t bytes = vmbi_range_bytes(windows->words[i]), part;
		int err;

		if (offset >= bytes) {
			offset -= bytes;
			continue;
		}
		part = bytes - (uint32_t)offset < n ? bytes - (uint32_t)offset : n;
		err = vmbi_access_run(a, vmbi_range_offset(windows->words[i]) + offset, part);
		if (err)
			return err;
		n -= part;
		offset = 0;
	}
	return 0;
}

static int packet_access(const struct vmb_packet *p, const struct vmb_list *set, const struct vmb_mapper *m, uint64_t offset,
			 uint32_t n, struct vmbi_access *a)
{
	uint64_t size, bytes;
	struct vmb_list pages;

	if (!p || !m || (n && !a->dst && !a->src))
		return VMB_EINVAL;
	a->mapper = m;
	if (p->kind == VMB_PKT_GPA) {
		a->list = &p->list;
		return vmbi_access_check(a, offset, n) ? VMB_EINVAL : vmbi_access_run(a, offset, n);
	}
	if (p->kind != VMB_PKT_XFER || !set || vmb_list_check(set->words, set->count, set->ranges, &pages, &size))
		return VMB_EINVAL;
	if (packet_windows(&p->list, size, &bytes) || offset > bytes || n > bytes - offset)
		return VMB_EINVAL;
	a->list = &pages;
	return packet_run(a, &p->list, offset, n);
}

int vmb_packet_read(const struct vmb_packet *p, const struct vmb_list *set, const struct vmb_mapper *m, uint64_t offset,
		    void *dst, uint32_t n)
{
	struct vmbi_access a = { .kind = VMBI_ACCESS_READ, .dst = dst };

	return packet_access(p, set, m, offset, n, &a);
}

int vmb_packet_write(const struct vmb_packet *p, const struct vmb_list *set, const struct vmb_mapper *m, uint64_t offset,
		     const void *src, uint32_t n)
{
	struct vmbi_access a = { .kind = VMBI_ACCESS_WRITE, .src = src };

	return packet_access(p, set, m, offset, n, &a);
}

int vmb_packet_compare(const struct vmb_packet *p, const struct vmb_list *set, const struct vmb_mapper *m, uint64_t offset,
		       const void *with, uint32_t n)
{
	struct vmbi_access a = { .kind = VMBI_ACCESS_COMPARE, .src = with };

	return packet_access(p, set, m, offset, n, &a);
}

uint64_t vmb_packet_bytes(const struct vmb_packet *p)
{
	uint64_t bytes = 0;
	struct vmb_list list;

	if (!p)
		return 0;
	if (p->kind == VMB_PKT_GPA)
		return vmb_list_check(p->list.words, p->list.count, p->list.ranges, &list, &bytes) ? 0 : bytes;
	if (p->kind == VMB_PKT_XFER)
		return packet_windows(&p->list, UINT64_MAX, &bytes) ? 0 : bytes;
	return 0;
}

/* ---- lib/gpadl/build.c ---- */
/*
 * Making a page list of memory as its owner sees it. Neighbours become one range wherever the wire can say so, because some
 * device models take one range with many pages better than many ranges. ring.md 5.3, 11.3
 */

/* The most pages of one range: more would not fit its 32-bit byte count with room to round up. gpadl.md 3.1 */
#define BUILD_RANGE_PAGES 0xfffffu

struct build {
	uint64_t *words;
	uint32_t max;
	uint32_t count, ranges;  /* words and ranges so far, written or not */
	/* The last range: */
	uint32_t head;           /* its word */
	uint32_t offset, pages;
	uint32_t end;            /* of its last page, 1...4096 */
	uint32_t bytes;
	uint64_t pfn;            /* its last page */
	/* The guest's page that was translated last: */
	uint64_t page, gpa;
	uint32_t known, reserved;
};

static void build_put(struct build *b, uint32_t at, uint64_t word)
{
	if (at < b->max)
		b->words[at] = word;
}

/* Name n bytes at `offset` of one protocol page. */
static void build_part(struct build *b, uint64_t pfn, uint32_t offset, uint32_t n)
{
	if (b->ranges && b->end == offset && b->pfn == pfn) {
		b->end += n; /* goes on in the same page */
		b->bytes += n;
	} else {
		if (!b->ranges || b->end != VMB_PAGE || offset || b->pages == BUILD_RANGE_PAGES) {
			b->head = b->count++;
			b->ranges++;
			b->offset = offset;
			b->pages = 0;
			b->bytes = 0;
		}
		build_put(b, b->count++, pfn);
		b->pfn = pfn;
		b->pages++;
		b->end = offset + n;
		b->bytes += n;
	}
	build_put(b, b->head, VMB_RANGE(b->bytes, b->offset));
}

/* Every piece must have bytes and end within the address space, and the words in their number must be countable. */
static int build_check(const struct vmb_piece *pieces, uint32_t n)
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t bytes = pieces[i].bytes;
		uint64_t rest = (pieces[i].address & (VMB_PAGE - 1)) + (bytes & (VMB_PAGE - 1)) + VMB_PAGE - 1;

		if (!bytes || bytes - 1 > UINT64_MAX - pieces[i].address)
			return VMB_EINVAL;
		/* Its pages, its range words, one more for each time that a range is full. */
		most += bytes / VMB_PAGE + rest / VMB_PAGE + 1 + (bytes >> 31);
		if (most > UINT32_MAX)
			return VMB_EINVAL;
	}
	return 0;
}

int vmb_list_build(const struct vmb_piece *pieces, uint32_t n, uint32_t page_bytes,
		   int (*translate)(void *ctx, uint64_t address, uint64_t *gpa), void *ctx, uint64_t *words, uint32_t max,
		   struct vmb_list *out)
{
	struct build b = { .words = words, .max = max };

	if (!pieces || !n || !translate || !out || (max && !words))
		return VMB_EINVAL;
	if (page_bytes != 4096 && page_bytes != 16384 && page_bytes != 65536)
		return VMB_EINVAL;
	if (build_check(pieces, n))
		return VMB_EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t address = pieces[i].address, left = pieces[i].bytes;

		while (left) {
			uint64_t page = address & ~(uint64_t)(page_bytes - 1), gpa;
			uint32_t offset = (uint32_t)(address & (VMB_PAGE - 1));
			uint32_t part = VMB_PAGE - offset < left ? VMB_PAGE - offset : (uint32_t)left;

			if (!b.known || b.page != page) {
				if (translate(ctx, page, &b.gpa) || (b.gpa & (page_bytes - 1)))
					return VMB_EMAP;
				b.page = page;
				b.known = 1;
			}
			gpa = b.gpa + (address - page);
			build_part(&b, gpa / VMB_PAGE, offset, part);
			address += part;
			left -= part;
		}
	}
	*out = (struct vmb_list){ words, b.count, b.ranges };
	return b.count > max ? VMB_ENOSPACE : 0;
}

/* ---- lib/gpadl/split.c ---- */
/* The guest's side of a GPADL: one list as header and bodies. Messages are as long as their data, never padded. gpadl.md 2, 4 */

/* ---- lib/gpadl/gpadl.h ---- */
/* Page lists on the wire: splitting one into messages (guest), putting it together again and keeping it (host). gpadl.md */
#ifndef VMBI_GPADL_H
#define VMBI_GPADL_H


#define VMBI_GPADL_WORDS_MAX 8191u /* range_buflen is 16 bits of bytes. gpadl.md 4 */
#define VMBI_GPADL_HEADER_WORDS 27u
#define VMBI_GPADL_BODY_WORDS 28u

/* ---- split.c: the guest's side */

/* How many messages announce a list of this many words. */
static uint32_t vmbi_gpadl_messages(uint32_t words);
/* Write message number k (0: the header) into out; returns its length. */
static uint32_t vmbi_gpadl_message(uint8_t out[VMB_MESSAGE_MAX], uint32_t k, uint32_t channel_id, uint32_t gpadl_id,
			    const uint64_t *words, uint32_t count, uint32_t ranges);

/* ---- store.c: the host's side. A table of lists and an arena of words, in storage carved by the end. `owner` is a number of the
 * end's, from 1 (its channel slot): ids are unique per owner, and over all owners while bodies are missing. gpadl.md 5 */

struct vmbi_gpadl_limits {
	/* Over all owners. Pages: all words of all lists but the first range word of each; for lists of one range that is their
	 * pages. Words announced count from the header on. */
	uint32_t gpadls, building, pages;
	uint32_t owners; /* 1...owners; 0: 2047 */
};

struct vmbi_gpadl_store; /* opaque; its memory is carved below */

/* Carve the store's memory; NULL while only computing. Nothing is written before init. */
static struct vmbi_gpadl_store *vmbi_gpadls_carve(struct vmbi_carve *c, const struct vmbi_gpadl_limits *limits);
/* Start empty. */
static void vmbi_gpadls_init(struct vmbi_gpadl_store *s, const struct vmbi_gpadl_limits *limits);

/* What became of a header or body. */
#define VMBI_GPADL_DROPPED 0  /* no answer: too short, or a body of nothing known */
#define VMBI_GPADL_WAITING 1  /* more bodies to come */
#define VMBI_GPADL_COMPLETE 2 /* answer CREATED(0) */
#define VMBI_GPADL_REFUSED 3  /* answer CREATED(failed); nothing is kept, the id is free again */
#define VMBI_GPADL_QUOTA 4    /* the same, for a limit */

struct vmbi_gpadl_answer {
	uint32_t owner, id; /* whom to answer; for DROPPED: undefined */
	uint32_t ref;       /* for WAITING and COMPLETE: the list */
};

/* A GPADL_HEADER of at least 20 bytes for a live owner. max_gpadls, max_pages: the owner's own limits, counted alike; 0: none. */
static int vmbi_gpadls_header(struct vmbi_gpadl_store *s, uint32_t owner, const uint8_t *msg, uint32_t len, uint32_t max_gpadls,
		       uint32_t max_pages, struct vmbi_gpadl_answer *answer);
/* A GPADL_BODY of at least 16 bytes. */
static int vmbi_gpadls_body(struct vmbi_gpadl_store *s, const uint8_t *msg, uint32_t len, struct vmbi_gpadl_answer *answer);

/* A complete list, leaving or not, or 0. References are numbers from 1 to limits.gpadls, valid until forgotten. */
static uint32_t vmbi_gpadls_find(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id);
static void vmbi_gpadls_info(struct vmbi_gpadl_store *s, uint32_t ref, struct vmb_gpadl_info *out); /* out->size is not touched */
/* Copy n words from word `first` on; the caller has checked them against info. */
static void vmbi_gpadls_words(struct vmbi_gpadl_store *s, uint32_t ref, uint32_t first, uint64_t *words, uint32_t n);

/* Uses of a list: the ring of an open channel, or a hold. */
static void vmbi_gpadls_use(struct vmbi_gpadl_store *s, uint32_t ref);
/* 1: that was the last use and the list is leaving: it is forgotten now, answer or count it. */
static int vmbi_gpadls_unuse(struct vmbi_gpadl_store *s, uint32_t ref);
static int vmbi_gpadls_is_leaving(struct vmbi_gpadl_store *s, uint32_t ref);
/* The guest wants it back, or its owner goes. 1: nobody uses it, it is forgotten at once. 0: it waits for unuse. */
static int vmbi_gpadls_leave(struct vmbi_gpadl_store *s, uint32_t ref);
/* The lists of an owner of which bodies are missing, by rising id: start with ref 0; 0 after the last. */
static uint32_t vmbi_gpadls_building(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref);
/* What is at a reference, and whose: VMB_LIST_*; NONE: nothing. */
static uint32_t vmbi_gpadls_look(const struct vmbi_gpadl_store *s, uint32_t ref, uint32_t *owner);
/* Forget what is still being built for an owner. */
static void vmbi_gpadls_purge(struct vmbi_gpadl_store *s, uint32_t owner);
/* The owner's complete lists, leaving or not, by rising id: start with ref 0; 0 after the last. Safe against forgetting the one
 * just given, or any other; not against new ones. */
static uint32_t vmbi_gpadls_next(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref);
static uint32_t vmbi_gpadls_id(struct vmbi_gpadl_store *s, uint32_t ref);
/* The first complete list after `ref` (0: from the start) that is in use and names one of the pages [pfn, pfn + pages), and its
 * owner; 0: none. Reads every word of the lists that it passes. */
static uint32_t vmbi_gpadls_touching(const struct vmbi_gpadl_store *s, uint32_t ref, uint64_t pfn, uint64_t pages, uint32_t *owner);
/* The same over lists in any state. */
static uint32_t vmbi_gpadls_each(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref);
/* A list as it is saved. */
struct vmbi_gpadl_state {
	uint32_t id, complete, leaving, ranges;
	uint32_t words, got; /* announced, received */
	uint32_t kept;       /* of those received, how many belong to ranges: vmbi_gpadls_words gives them */
};
static void vmbi_gpadls_state(struct vmbi_gpadl_store *s, uint32_t ref, struct vmbi_gpadl_state *out);
/* Take in a saved one, with its kept words as little-endian bytes; nobody uses it yet. 0 and its reference, VMB_EINVAL: it cannot be, or
 * VMB_ENOSPACE. gpadl.md 9 */
static int vmbi_gpadls_load(struct vmbi_gpadl_store *s, uint32_t owner, const struct vmbi_gpadl_state *g, const uint8_t *words,
		     uint32_t max_gpadls, uint32_t max_pages, uint32_t *ref);
/* Totals for vmb_bus_info: lists in any state, and their pages (of those still being built: as the quota counts them). */
static void vmbi_gpadls_count(const struct vmbi_gpadl_store *s, uint32_t *gpadls, uint32_t *pages);

#endif /* VMBI_GPADL_H */

static uint32_t vmbi_gpadl_messages(uint32_t words)
{
	if (words <= VMBI_GPADL_HEADER_WORDS)
		return 1;
	return 1 + (words - VMBI_GPADL_HEADER_WORDS + VMBI_GPADL_BODY_WORDS - 1) / VMBI_GPADL_BODY_WORDS;
}

static uint32_t vmbi_gpadl_message(uint8_t out[VMB_MESSAGE_MAX], uint32_t k, uint32_t channel_id, uint32_t gpadl_id,
			    const uint64_t *words, uint32_t count, uint32_t ranges)
{
	uint32_t data = k ? VMBI_GPADL_BODY_DATA : VMBI_GPADL_HEADER_DATA;
	uint32_t first = k ? VMBI_GPADL_HEADER_WORDS + (k - 1) * VMBI_GPADL_BODY_WORDS : 0;
	uint32_t n = k ? VMBI_GPADL_BODY_WORDS : VMBI_GPADL_HEADER_WORDS;

	if (n > count - first)
		n = count - first;
	VMBI_MEMSET(out, 0, data);
	vmbi_put32(out, k ? VMBI_MSG_GPADL_BODY : VMBI_MSG_GPADL_HEADER);
	if (k) {
		vmbi_put32(out + VMBI_AT(GPADL_BODY, gpadl_id), gpadl_id); /* message_number stays 0, as from everyone */
	} else {
		vmbi_put32(out + VMBI_AT(GPADL_HEADER, channel_id), channel_id);
		vmbi_put32(out + VMBI_AT(GPADL_HEADER, gpadl_id), gpadl_id);
		vmbi_put16(out + VMBI_AT(GPADL_HEADER, range_buflen), (uint16_t)(count * 8));
		vmbi_put16(out + VMBI_AT(GPADL_HEADER, range_count), (uint16_t)ranges);
	}
	for (uint32_t i = 0; i < n; i++)
		vmbi_put64(out + data + i * 8, words[first + i]);
	return data + n * 8;
}

/* ---- lib/gpadl/ids.c ---- */
/* The tries of ids.h. A link is 0 (empty set), reference << 1 | 1, or node << 1. */

/* ---- lib/gpadl/ids.h ---- */
/*
 * Sets of 32-bit numbers that the peer chooses: binary tries with one node per branching. Nothing the peer chooses makes a path
 * longer than 32 steps; a hash table would have bad inputs. Many sets share one pool of nodes and one array of ids: a set is its
 * root, its members are references into that array.
 */
#ifndef VMBI_GPADL_IDS_H
#define VMBI_GPADL_IDS_H


struct vmbi_ids_node {
	uint32_t mask;     /* the one bit in which the members below child[0] and child[1] differ; above it all are the same */
	uint32_t child[2]; /* reference << 1 | 1, or node << 1; child[0] links the free nodes */
};

struct vmbi_ids {
	struct vmbi_ids_node *nodes; /* from 1; 0 ends the list of free ones */
	const uint32_t *id;          /* of each reference, from 1 */
	uint32_t free, reserved;
};

/* Room for n nodes in nodes[1...n]: one less than members for each set is enough. */
static void vmbi_ids_init(struct vmbi_ids *t, struct vmbi_ids_node *nodes, uint32_t n, const uint32_t *id);
/* The member with this id, or 0. */
static uint32_t vmbi_ids_find(const struct vmbi_ids *t, uint32_t root, uint32_t id);
/* The member with the least id, or 0; and with the least id above this one, which may be no member. */
static uint32_t vmbi_ids_first(const struct vmbi_ids *t, uint32_t root);
static uint32_t vmbi_ids_after(const struct vmbi_ids *t, uint32_t root, uint32_t id);
/* ref's id must not be in the set yet. */
static void vmbi_ids_insert(struct vmbi_ids *t, uint32_t *root, uint32_t ref);
/* ref must be a member. */
static void vmbi_ids_remove(struct vmbi_ids *t, uint32_t *root, uint32_t ref);

#endif /* VMBI_GPADL_IDS_H */

static uint32_t ids_top_bit(uint32_t v)
{
	for (uint32_t shift = 1; shift < 32; shift *= 2)
		v |= v >> shift;
	return v ^ v >> 1;
}

static int ids_is_node(uint32_t link)
{
	return link && !(link & 1);
}

static uint32_t ids_side(const struct vmbi_ids *t, uint32_t link, uint32_t id)
{
	return (id & t->nodes[link >> 1].mask) != 0;
}

/* Follow an id down: to a member that has all the bits looked at in common with it. */
static uint32_t ids_nearest(const struct vmbi_ids *t, uint32_t link, uint32_t id)
{
	while (ids_is_node(link))
		link = t->nodes[link >> 1].child[ids_side(t, link, id)];
	return link >> 1;
}

static void vmbi_ids_init(struct vmbi_ids *t, struct vmbi_ids_node *nodes, uint32_t n, const uint32_t *id)
{
	*t = (struct vmbi_ids){ nodes, id, 0, 0 };
	for (uint32_t i = n; i; i--) {
		nodes[i] = (struct vmbi_ids_node){ 0, { t->free, 0 } };
		t->free = i;
	}
}

static uint32_t vmbi_ids_find(const struct vmbi_ids *t, uint32_t root, uint32_t id)
{
	uint32_t ref = ids_nearest(t, root, id);

	return ref && t->id[ref] == id ? ref : 0;
}

static uint32_t vmbi_ids_first(const struct vmbi_ids *t, uint32_t root)
{
	return ids_nearest(t, root, 0);
}

static uint32_t vmbi_ids_after(const struct vmbi_ids *t, uint32_t root, uint32_t id)
{
	uint32_t best = 0, link = root, differs, near = ids_nearest(t, root, id);

	if (!near)
		return 0;
	differs = ids_top_bit(t->id[near] ^ id);
	while (ids_is_node(link) && t->nodes[link >> 1].mask > differs) {
		uint32_t side = ids_side(t, link, id);

		if (!side)
			best = t->nodes[link >> 1].child[1]; /* all there are above id; the last such branch is the nearest */
		link = t->nodes[link >> 1].child[side];
	}
	if (differs && !(id & differs))
		best = link; /* everything from here down has that bit set */
	return vmbi_ids_first(t, best);
}

static void vmbi_ids_insert(struct vmbi_ids *t, uint32_t *root, uint32_t ref)
{
	uint32_t id = t->id[ref], near = ids_nearest(t, *root, id), n = t->free, mask, side;
	struct vmbi_ids_node *node = &t->nodes[n];

	if (!near) {
		*root = ref << 1 | 1;
		return;
	}
	mask = ids_top_bit(t->id[near] ^ id);
	side = (id & mask) != 0;
	while (ids_is_node(*root) && t->nodes[*root >> 1].mask > mask)
		root = &t->nodes[*root >> 1].child[ids_side(t, *root, id)];
	t->free = node->child[0];
	node->mask = mask;
	node->child[side] = ref << 1 | 1;
	node->child[!side] = *root;
	*root = n << 1;
}

static void vmbi_ids_remove(struct vmbi_ids *t, uint32_t *root, uint32_t ref)
{
	uint32_t *above = NULL, id = t->id[ref], n;

	while (ids_is_node(*root)) {
		above = root;
		root = &t->nodes[*root >> 1].child[ids_side(t, *root, id)];
	}
	if (!above) {
		*root = 0;
		return;
	}
	n = *above >> 1;
	*above = t->nodes[n].child[!ids_side(t, *above, id)];
	t->nodes[n].child[0] = t->free;
	t->free = n;
}

/* ---- lib/gpadl/store.c ---- */
/*
 * The host's page lists, from the first header to the last use. gpadl.md 5, 8
 *
 * Words lie in chunks, chained by number. A list takes all its chunks when its header comes, so a body never finds the arena
 * full. The quota of pages is charged with all words of a list but its first; then a list of c charged words has c / 32 + 1
 * chunks, and pages / 32 + gpadls chunks are enough for everything that the quotas admit, however it is cut up.
 *
 * A list is parsed while it arrives, one word after the other, out of the private message: no message costs more than its own
 * words and the links of the chunks.
 */

#define GPADLS_CHUNK 32u /* words */

struct gpadls_entry {
	uint64_t bytes;
	uint32_t owner;       /* 0: free; then `first` links the free ones */
	uint32_t complete;    /* 0: bodies are missing */
	uint32_t uses, leaving;
	uint32_t words, got;  /* announced, received; once complete: kept, both */
	uint32_t used;        /* of those received, the words that belong to ranges */
	uint32_t ranges;      /* announced */
	uint32_t ranges_left, pages_left; /* not yet seen; of the range at hand */
	uint32_t bad;         /* a range word that is none has been seen */
	uint32_t first, last; /* its chunks */
	uint32_t at;          /* the chunk of the word received last */
};

struct gpadls_owner {
	uint32_t set;         /* its lists in any state, by id */
	uint32_t lists, charged;
};

struct vmbi_gpadl_store {
	struct vmbi_ids ids;
	struct gpadls_entry *entries; /* entries, ids, owners and chunks are numbered from 1 */
	uint32_t *id;
	struct gpadls_owner *owners;
	uint64_t (*chunks)[GPADLS_CHUNK];
	uint32_t *links;              /* the next chunk of the same list, or the next free one */
	struct vmbi_gpadl_limits limits;
	uint32_t free_entry, free_chunk;
	uint32_t building_set;        /* the lists that wait for bodies, by id alone: a body names no channel */
	uint32_t building, lists, charged;
	uint32_t pages;               /* as vmbi_gpadls_count gives them */
};

/* The parts of the store's memory; s NULL: only their size. */
static uint64_t gpadls_layout(struct vmbi_gpadl_store *s, const struct vmbi_gpadl_limits *limits)
{
	struct vmbi_carve c = { (uint8_t *)s, 0 };
	uint32_t owners = limits->owners ? limits->owners : VMBI_MAX_CHANNEL_ID;
	uint64_t lists = (uint64_t)limits->gpadls + 1, chunks = (uint64_t)limits->pages / GPADLS_CHUNK + lists;
	void *nodes, *part[5];

	vmbi_carve(&c, 1, sizeof *s);
	part[0] = vmbi_carve(&c, lists, sizeof *s->entries);
	part[1] = vmbi_carve(&c, lists, sizeof *s->id);
	part[2] = vmbi_carve(&c, (uint64_t)owners + 1, sizeof *s->owners);
	part[3] = vmbi_carve(&c, chunks, sizeof *s->chunks);
	part[4] = vmbi_carve(&c, chunks, sizeof *s->links);
	nodes = vmbi_carve(&c, 2 * lists, sizeof(struct vmbi_ids_node));
	if (!s)
		return c.used;

	*s = (struct vmbi_gpadl_store){ .entries = part[0], .id = part[1], .owners = part[2], .chunks = part[3], .links = part[4],
					.limits = *limits };
	s->limits.owners = owners;
	vmbi_ids_init(&s->ids, nodes, 2 * limits->gpadls, s->id);
	return c.used;
}

static struct vmbi_gpadl_store *vmbi_gpadls_carve(struct vmbi_carve *c, const struct vmbi_gpadl_limits *limits)
{
	return vmbi_carve(c, gpadls_layout(NULL, limits), 1);
}

static void vmbi_gpadls_init(struct vmbi_gpadl_store *s, const struct vmbi_gpadl_limits *limits)
{
	gpadls_layout(s, limits);
	for (uint32_t i = limits->gpadls; i; i--) {
		s->entries[i] = (struct gpadls_entry){ .first = s->free_entry };
		s->id[i] = 0;
		s->free_entry = i;
	}
	for (uint32_t i = limits->pages / GPADLS_CHUNK + limits->gpadls; i; i--) {
		s->links[i] = s->free_chunk;
		s->free_chunk = i;
	}
	for (uint32_t i = 0; i <= s->limits.owners; i++)
		s->owners[i] = (struct gpadls_owner){ 0, 0, 0 };
}

/* What vmbi_gpadls_count counts of a list. */
static uint32_t gpadls_pages(const struct gpadls_entry *e)
{
	return e->words - (e->complete ? e->ranges : 1);
}

static uint32_t gpadls_chunks(uint32_t words)
{
	return (words + GPADLS_CHUNK - 1) / GPADLS_CHUNK;
}

/* Give back all chunks of the chain first ... last. */
static void gpadls_free_chunks(struct vmbi_gpadl_store *s, uint32_t first, uint32_t last)
{
	s->links[last] = s->free_chunk;
	s->free_chunk = first;
}

/* A new list in all the sets, with its chunks. The quotas have been looked at. */
static uint32_t gpadls_new(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id, uint32_t words, uint32_t ranges)
{
	uint32_t ref = s->free_entry;
	struct gpadls_entry *e = &s->entries[ref];
	struct gpadls_owner *o = &s->owners[owner];

	s->free_entry = e->first;
	*e = (struct gpadls_entry){ .owner = owner, .words = words, .ranges = ranges, .ranges_left = ranges };
	e->first = e->last = e->at = s->free_chunk;
	for (uint32_t n = gpadls_chunks(words); n > 1; n--)
		e->last = s->links[e->last];
	s->free_chunk = s->links[e->last];
	s->id[ref] = id;
	vmbi_ids_insert(&s->ids, &o->set, ref);
	o->lists++;
	o->charged += words - 1;
	s->lists++;
	s->charged += words - 1;
	s->pages += gpadls_pages(e);
	return ref;
}

static void gpadls_built(struct vmbi_gpadl_store *s, uint32_t ref)
{
	vmbi_ids_remove(&s->ids, &s->building_set, ref);
	s->building--;
}

/* The id stays readable until the reference is used again: vmbi_gpadls_next goes on from there. */
static void gpadls_forget(struct vmbi_gpadl_store *s, uint32_t ref)
{
	struct gpadls_entry *e = &s->entries[ref];
	struct gpadls_owner *o = &s->owners[e->owner];

	vmbi_ids_remove(&s->ids, &o->set, ref);
	o->lists--;
	o->charged -= e->words - 1;
	s->lists--;
	s->charged -= e->words - 1;
	s->pages -= gpadls_pages(e);
	gpadls_free_chunks(s, e->first, e->last);
	e->owner = 0;
	e->first = s->free_entry;
	s->free_entry = ref;
}

/* Parse and keep one word. Those behind the last range are of no use, but count as received. */
static void gpadls_word(struct vmbi_gpadl_store *s, struct gpadls_entry *e, uint64_t word)
{
	e->got++;
	if (e->pages_left) {
		e->pages_left--;
	} else if (e->ranges_left) {
		e->ranges_left--;
		e->pages_left = vmbi_range_pages(word);
		e->bytes += vmbi_range_bytes(word);
		e->bad |= !e->pages_left;
	} else {
		return;
	}
	if (e->used && e->used % GPADLS_CHUNK == 0)
		e->at = s->links[e->at];
	s->chunks[e->at][e->used++ % GPADLS_CHUNK] = word;
}

/* All words are here: is it a list? Cut off what lies behind its ranges. gpadl.md 3.1 */
static int gpadls_finish(struct vmbi_gpadl_store *s, uint32_t ref)
{
	struct gpadls_entry *e = &s->entries[ref];

	if (e->bad || e->ranges_left || e->pages_left) {
		gpadls_forget(s, ref);
		return VMBI_GPADL_REFUSED;
	}
	if (e->at != e->last) {
		gpadls_free_chunks(s, s->links[e->at], e->last);
		e->last = e->at;
	}
	s->pages -= gpadls_pages(e);
	s->charged -= e->words - e->used;
	s->owners[e->owner].charged -= e->words - e->used;
	e->words = e->got = e->used;
	e->complete = 1;
	s->pages += gpadls_pages(e);
	return VMBI_GPADL_COMPLETE;
}

/* May this owner have one more list of this many words? */
static int gpadls_over_quota(const struct vmbi_gpadl_store *s, const struct gpadls_owner *o, uint32_t words, int building,
			     uint32_t max_gpadls, uint32_t max_pages)
{
	if (s->lists >= s->limits.gpadls || (uint64_t)s->charged + words - 1 > s->limits.pages)
		return 1;
	if (building && s->building >= s->limits.building)
		return 1;
	return (max_gpadls && o->lists >= max_gpadls) || (max_pages && (uint64_t)o->charged + words - 1 > max_pages);
}

static int vmbi_gpadls_header(struct vmbi_gpadl_store *s, uint32_t owner, const uint8_t *msg, uint32_t len, uint32_t max_gpadls,
		       uint32_t max_pages, struct vmbi_gpadl_answer *answer)
{
	uint32_t id, bytes, words, ranges, n, ref;

	if (len < VMBI_GPADL_HEADER_DATA)
		return VMBI_GPADL_DROPPED;
	id = vmbi_get32(msg + VMBI_AT(GPADL_HEADER, gpadl_id));
	bytes = vmbi_get16(msg + VMBI_AT(GPADL_HEADER, range_buflen));
	ranges = vmbi_get16(msg + VMBI_AT(GPADL_HEADER, range_count));
	words = bytes / 8;
	n = (len - VMBI_GPADL_HEADER_DATA) / 8;
	*answer = (struct vmbi_gpadl_answer){ owner, id, 0 };

	if (!owner || owner > s->limits.owners || bytes % 8 || !ranges || ranges > words)
		return VMBI_GPADL_REFUSED;
	if (vmbi_ids_find(&s->ids, s->owners[owner].set, id))
		return VMBI_GPADL_REFUSED;
	if (n < words && vmbi_ids_find(&s->ids, s->building_set, id))
		return VMBI_GPADL_REFUSED; /* else nobody could tell whose its bodies are */
	if (gpadls_over_quota(s, &s->owners[owner], words, n < words, max_gpadls, max_pages))
		return VMBI_GPADL_QUOTA;

	ref = answer->ref = gpadls_new(s, owner, id, words, ranges);
	for (uint32_t i = 0; i < n && i < words; i++)
		gpadls_word(s, &s->entries[ref], vmbi_get64(msg + VMBI_GPADL_HEADER_DATA + i * 8));
	if (n >= words)
		return gpadls_finish(s, ref);
	vmbi_ids_insert(&s->ids, &s->building_set, ref);
	s->building++;
	return VMBI_GPADL_WAITING;
}

static int vmbi_gpadls_body(struct vmbi_gpadl_store *s, const uint8_t *msg, uint32_t len, struct vmbi_gpadl_answer *answer)
{
	struct gpadls_entry *e;
	uint32_t id, n, ref;

	if (len < VMBI_GPADL_BODY_DATA)
		return VMBI_GPADL_DROPPED;
	id = vmbi_get32(msg + VMBI_AT(GPADL_BODY, gpadl_id));
	ref = vmbi_ids_find(&s->ids, s->building_set, id);
	if (!ref)
		return VMBI_GPADL_DROPPED;
	e = &s->entries[ref];
	*answer = (struct vmbi_gpadl_answer){ e->owner, id, ref };
	n = (len - VMBI_GPADL_BODY_DATA) / 8;
	for (uint32_t i = 0; i < n && e->got < e->words; i++)
		gpadls_word(s, e, vmbi_get64(msg + VMBI_GPADL_BODY_DATA + i * 8));
	if (e->got < e->words)
		return VMBI_GPADL_WAITING;
	gpadls_built(s, ref);
	return gpadls_finish(s, ref);
}

static uint32_t vmbi_gpadls_find(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id)
{
	uint32_t ref;

	if (!owner || owner > s->limits.owners)
		return 0;
	ref = vmbi_ids_find(&s->ids, s->owners[owner].set, id);
	return ref && s->entries[ref].complete ? ref : 0;
}

static void vmbi_gpadls_info(struct vmbi_gpadl_store *s, uint32_t ref, struct vmb_gpadl_info *out)
{
	const struct gpadls_entry *e = &s->entries[ref];

	out->flags = 0;
	out->ranges = e->ranges;
	out->words = e->words;
	out->pages = gpadls_pages(e);
	out->held = e->uses;
	out->bytes = e->bytes;
}

static void vmbi_gpadls_words(struct vmbi_gpadl_store *s, uint32_t ref, uint32_t first, uint64_t *words, uint32_t n)
{
	uint32_t chunk = s->entries[ref].first;

	for (; first >= GPADLS_CHUNK; first -= GPADLS_CHUNK)
		chunk = s->links[chunk];
	while (n) {
		uint32_t part = GPADLS_CHUNK - first;

		if (part > n)
			part = n;
		VMBI_MEMCPY(words, &s->chunks[chunk][first], part * sizeof *words);
		words += part;
		n -= part;
		first = 0;
		chunk = s->links[chunk];
	}
}

/* Does a complete list name one of the pages pfn ... pfn + pages - 1? */
static int gpadls_touches(const struct vmbi_gpadl_store *s, const struct gpadls_entry *e, uint64_t pfn, uint64_t pages)
{
	uint32_t chunk = e->first, left = 0;

	for (uint32_t i = 0; i < e->words; i++) {
		uint64_t word = s->chunks[chunk][i % GPADLS_CHUNK];

		if (!left)
			left = vmbi_range_pages(word);
		else if (left--, word - pfn < pages)
			return 1;
		if (i % GPADLS_CHUNK == GPADLS_CHUNK - 1)
			chunk = s->links[chunk];
	}
	return 0;
}

static uint32_t vmbi_gpadls_touching(const struct vmbi_gpadl_store *s, uint32_t ref, uint64_t pfn, uint64_t pages, uint32_t *owner)
{
	while (ref < s->limits.gpadls) {
		const struct gpadls_entry *e = &s->entries[++ref];

		if (e->owner && e->complete && e->uses && gpadls_touches(s, e, pfn, pages)) {
			*owner = e->owner;
			return ref;
		}
	}
	return 0;
}

static void vmbi_gpadls_use(struct vmbi_gpadl_store *s, uint32_t ref)
{
	s->entries[ref].uses++;
}

static int vmbi_gpadls_unuse(struct vmbi_gpadl_store *s, uint32_t ref)
{
	struct gpadls_entry *e = &s->entries[ref];

	if (--e->uses || !e->leaving)
		return 0;
	gpadls_forget(s, ref);
	return 1;
}

static int vmbi_gpadls_is_leaving(struct vmbi_gpadl_store *s, uint32_t ref)
{
	return (int)s->entries[ref].leaving;
}

static int vmbi_gpadls_leave(struct vmbi_gpadl_store *s, uint32_t ref)
{
	struct gpadls_entry *e = &s->entries[ref];

	if (!e->uses) {
		gpadls_forget(s, ref);
		return 1;
	}
	e->leaving = 1;
	return 0;
}

/* The first list of the owner, in any state, with an id above that of ref; ref 0: the first of all. */
static uint32_t gpadls_step(const struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref)
{
	uint32_t set = s->owners[owner].set;

	return ref ? vmbi_ids_after(&s->ids, set, s->id[ref]) : vmbi_ids_first(&s->ids, set);
}

static uint32_t vmbi_gpadls_building(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref)
{
	do
		ref = gpadls_step(s, owner, ref);
	while (ref && s->entries[ref].complete);
	return ref;
}

static uint32_t vmbi_gpadls_look(const struct vmbi_gpadl_store *s, uint32_t ref, uint32_t *owner)
{
	const struct gpadls_entry *e = &s->entries[ref];

	*owner = e->owner;
	if (!e->owner)
		return VMB_LIST_NONE;
	if (!e->complete)
		return VMB_LIST_BUILDING;
	return e->leaving ? VMB_LIST_LEAVING : VMB_LIST_ALIVE;
}

static void vmbi_gpadls_purge(struct vmbi_gpadl_store *s, uint32_t owner)
{
	for (uint32_t ref = gpadls_step(s, owner, 0); ref; ref = gpadls_step(s, owner, ref)) {
		if (s->entries[ref].complete)
			continue;
		gpadls_built(s, ref);
		gpadls_forget(s, ref);
	}
}

static uint32_t vmbi_gpadls_next(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref)
{
	do
		ref = gpadls_step(s, owner, ref);
	while (ref && !s->entries[ref].complete);
	return ref;
}

static uint32_t vmbi_gpadls_each(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t ref)
{
	return gpadls_step(s, owner, ref);
}

static void vmbi_gpadls_state(struct vmbi_gpadl_store *s, uint32_t ref, struct vmbi_gpadl_state *out)
{
	const struct gpadls_entry *e = &s->entries[ref];

	*out = (struct vmbi_gpadl_state){ s->id[ref], e->complete, e->leaving, e->ranges, e->words, e->got, e->used };
}

/* Feed it what it had received: 0, or VMB_EINVAL and it is forgotten. */
static int gpadls_replay(struct vmbi_gpadl_store *s, uint32_t ref, const struct vmbi_gpadl_state *g, const uint8_t *words)
{
	struct gpadls_entry *e = &s->entries[ref];

	for (uint32_t i = 0; i < g->kept; i++)
		gpadls_word(s, e, vmbi_get64(words + i * 8));
	if (g->complete)
		return gpadls_finish(s, ref) == VMBI_GPADL_COMPLETE ? 0 : VMB_EINVAL;
	if (e->used != g->kept || (g->got > g->kept && (e->ranges_left || e->pages_left))) {
		gpadls_forget(s, ref);
		return VMB_EINVAL;
	}
	e->got = g->got;
	vmbi_ids_insert(&s->ids, &s->building_set, ref);
	s->building++;
	return 0;
}

static int vmbi_gpadls_load(struct vmbi_gpadl_store *s, uint32_t owner, const struct vmbi_gpadl_state *g, const uint8_t *words,
		     uint32_t max_gpadls, uint32_t max_pages, uint32_t *ref)
{
	int r;

	if (!g->ranges || g->ranges > g->words || g->words > VMBI_GPADL_WORDS_MAX || g->got > g->words || g->kept > g->got ||
	    g->complete != (g->got == g->words) || (g->complete && g->kept != g->words) || (g->leaving && !g->complete))
		return VMB_EINVAL;
	if (vmbi_ids_find(&s->ids, s->owners[owner].set, g->id) ||
	    (!g->complete && vmbi_ids_find(&s->ids, s->building_set, g->id)))
		return VMB_EINVAL;
	if (gpadls_over_quota(s, &s->owners[owner], g->words, !g->complete, max_gpadls, max_pages))
		return VMB_ENOSPACE;
	*ref = gpadls_new(s, owner, g->id, g->words, g->ranges);
	r = gpadls_replay(s, *ref, g, words);
	if (!r)
		s->entries[*ref].leaving = g->leaving;
	return r;
}

static uint32_t vmbi_gpadls_id(struct vmbi_gpadl_store *s, uint32_t ref)
{
	return s->id[ref];
}

static void vmbi_gpadls_count(const struct vmbi_gpadl_store *s, uint32_t *gpadls, uint32_t *pages)
{
	*gpadls = s->lists;
	*pages = s->pages;
}

/* ---- lib/channel/make.c ---- */
/* How a channel begins and ends: its storage, its two rings, and the cursors that let another object go on. ring.md 12 */

/* ---- lib/channel/channel.h ---- */
/*
 * The data plane of an open channel. It knows nothing of a bus: it has two ring halves, a request table, one stop word and one
 * function that signals the peer. The bus makes it through the functions below and keeps only a pointer to set the stop word.
 *
 *   make.c      storage, init, end, stop
 *   send.c      [tx]: put, flush, what happens when the ring is full
 *   recv.c      [rx]: recv, in-place views, when space goes back
 *   request.c   the table of requests in flight
 *   signals.c   which signals were needed, and the budget for others
 *   info.c      looking at it from outside: info, dirty log
 */
#ifndef VMBI_CHANNEL_H
#define VMBI_CHANNEL_H


/* ---- lib/channel/request.h ---- */
/*
 * Requests in flight: a fixed table between two threads. [tx] takes slots and cancels, [rx] completes. A slot's word holds
 * generation and state: [tx] makes a free slot live, all else is by compare-and-swap. The numbers of free slots go round in a
 * ring, from [rx] to [tx]. ids: (generation << 16 | slot) + 1, never 0, never a pointer, not given again before the slot was
 * used 2^30 times. ring.md 7
 *
 * Taking is two steps: the id is needed to write the packet, but the slot goes live only when it is certain that the packet is
 * in the ring, or will be, and before it is published. So a packet that does not fit leaves nothing to undo, and a forged
 * completion nothing to find.
 */
#ifndef VMBI_REQUEST_H
#define VMBI_REQUEST_H


/* A slot's word: 30 bits of generation, 2 of state. */
#define VMBI_REQUEST_FREE 0u
#define VMBI_REQUEST_LIVE 1u
#define VMBI_REQUEST_ZOMBIE 2u
#define VMBI_REQUEST_STATE 3u
#define VMBI_REQUEST_GENERATION 4u /* one more */

#define VMBI_REQUESTS_MAX 65535u

struct vmbi_request {
	uint32_t word;  /* generation << 2 | state; between threads */
	uint32_t place; /* [owner] where in the ring of free slots its number was first: a hint */
	uint64_t user;  /* [tx] writes it before the slot is live, [rx] reads it before the slot is free */
};

struct vmbi_requests {
	/* written at init only */
	struct vmbi_request *slots;
	uint16_t *free; /* ring of slot numbers, mask + 1 of them; never more than `size` in it */
	uint32_t size;  /* slots; 0: no table */
	uint32_t mask;
	/* [tx] */
	uint32_t out __attribute__((aligned(64))); /* numbers ever taken out of the ring */
	uint32_t seen;    /* `in`, as last seen */
	uint32_t zombies; /* ever cancelled */
	uint32_t reserved;
	uint64_t sent;    /* ever taken */
	/* [rx] */
	uint32_t in __attribute__((aligned(64))); /* numbers ever put into the ring */
	uint32_t buried;  /* cancelled ones that were completed */
};

/* [tx] VMB_YES, the slot of the next request, and the id that it will have; 0: all slots are in flight. */
static inline int vmbi_request_next(struct vmbi_requests *r, struct vmbi_request **q, uint64_t *id)
{
	uint32_t slot;

	if (r->out == r->seen) {
		r->seen = VMBI_LOAD32_ACQUIRE(&r->in);
		if (r->out == r->seen)
			return 0;
	}
	slot = r->free[r->out & r->mask];
	*q = &r->slots[slot];
	*id = ((uint64_t)(uint32_t)(VMBI_LOAD32_RELAXED(&(*q)->word) + VMBI_REQUEST_GENERATION) << 14 | slot) + 1;
	return VMB_YES;
}

/* [tx] Its packet is in the ring, the peer has not seen it: from now on its completion is expected. */
static inline void vmbi_request_take(struct vmbi_requests *r, struct vmbi_request *q, uint64_t user)
{
	q->user = user;
	VMBI_STORE32_RELEASE(&q->word, VMBI_LOAD32_RELAXED(&q->word) + VMBI_REQUEST_GENERATION + VMBI_REQUEST_LIVE);
	VMBI_STORE32_RELAXED(&r->out, r->out + 1);
	VMBI_WRITE64(&r->sent, VMBI_READ64(&r->sent) + 1);
}

/* Where an id belongs, and the word of its slot while it is live; the number of slots, if no table gave it. */
static inline uint32_t vmbi_request_find(const struct vmbi_requests *r, uint64_t id, uint32_t *live)
{
	uint64_t n = id - 1;
	uint32_t slot = (uint32_t)n & 0xffff;

	*live = ((uint32_t)(n >> 14) & ~VMBI_REQUEST_STATE) | VMBI_REQUEST_LIVE;
	return slot < r->size && !(n >> 46) ? slot : r->size;
}

/* [rx] A completion came. `state`: of its request, live or zombie. VMB_YES with its user, and the slot is free; 0: none such is in flight. */
static inline int vmbi_request_complete(struct vmbi_requests *r, uint64_t id, uint32_t state, uint64_t *user)
{
	uint32_t live, slot = vmbi_request_find(r, id, &live), freed = live - VMBI_REQUEST_LIVE;

	if (slot == r->size || !VMBI_SWAP32(&r->slots[slot].word, freed + state, freed))
		return 0;
	*user = r->slots[slot].user;
	/* What [tx] read at this place it read before the latest of the takes whose completions came here, and each of those
	 * was acquired. */
	r->free[r->in & r->mask] = (uint16_t)slot;
	VMBI_STORE32_RELEASE(&r->in, r->in + 1);
	return VMB_YES;
}

/* Fills in slots, free, size and mask; the pointers are NULL while only computing. */
static void vmbi_requests_carve(struct vmbi_carve *c, uint32_t size, struct vmbi_requests *r);
static void vmbi_requests_init(struct vmbi_requests *r);
/* [rx] What vmbi_request_complete would say, changing nothing. */
static int vmbi_request_look(const struct vmbi_requests *r, uint64_t id, uint64_t *user, uint32_t *late);
/* [tx] Make it a zombie: 0 or VMB_ENOENT. user may be NULL. */
static int vmbi_request_cancel(struct vmbi_requests *r, uint64_t id, uint64_t *user);
/* [owner] As vmb_channel_adopt and vmb_channel_outstanding. */
static int vmbi_request_adopt(struct vmbi_requests *r, uint64_t id, uint64_t user);
static int vmbi_request_outstanding(const struct vmbi_requests *r, uint32_t *cursor, uint64_t *id, uint64_t *user, uint32_t *flags);
/* [any] How many are in flight, and how many of them were cancelled, about now. */
static void vmbi_requests_count(const struct vmbi_requests *r, uint32_t *requests, uint32_t *zombies);

#endif /* VMBI_REQUEST_H */

/* ---- lib/channel/signals.h ---- */
/*
 * Which of the signals that come were needed, as Hyper-V counts it (ring.md 10.5): the receiver expects 2 to begin with, one more each
 * time that it has emptied its ring and takes the mask off, and one more each time that it begins to wait for room. 64 are remembered at
 * most. One that was not expected is needless.
 *
 * Who is signalled may be any thread, on several CPUs at once, so the one word that it changes is a count. The account is drawn up by the
 * owner, [rx], before it sleeps, and what came since is added by whoever looks. The account is one difference: n - line - asked, where n
 * have come, line is the owner's word and asked that of [tx]. Above `needless` it is the number of needless ones, and below it the
 * distance is what is still expected.
 *
 * Signals sent without need are those that vmb_channel_signal makes and no VMB_SIGNAL had asked for.
 */
#ifndef VMBI_SIGNALS_H
#define VMBI_SIGNALS_H


#define VMBI_SIGNALS_FIRST 2u /* expected to begin with */
#define VMBI_SIGNALS_MOST 64u /* remembered */
#define VMBI_SIGNALS_NEVER 0x80000000u /* as many needless ones never come before somebody has looked */

/* One direction against its budget. Control's, but for `alarm` */
struct vmbi_signals_budget {
	uint64_t since;  /* beginning of the period */
	uint32_t base;   /* needless ones before it */
	uint32_t over;   /* times over the budget */
	uint32_t alarm;  /* at so many needless ones control is to look. Read by [any] */
	uint32_t reserved;
};

struct vmbi_signals {
	/* [rx] writes */
	uint32_t line;
	uint32_t needless;  /* found when it slept last */
	/* [tx] writes */
	uint32_t asked;     /* times it began to wait for room */
	uint32_t deferred;  /* VMB_SIGNAL was returned so often */
	/* control writes; with what is above one line, which [any] reads */
	struct vmbi_signals_budget in, out;
	/* [any] writes; on a line of its own */
	uint32_t arrived __attribute__((aligned(64)));
	uint32_t rung;      /* calls of vmb_channel_signal */
	uint32_t extra;     /* of them those that nothing had asked for */
	uint32_t look;      /* control is to look at the budgets */
};

/* How an account begins. */
static void vmbi_signals_init(struct vmbi_signals *s);
/* [control] A bus watches the budgets, from this time on. */
static void vmbi_signals_watch(struct vmbi_signals *s, uint64_t now, uint32_t budget);
/* [any] Needless ones that have come so far. */
static uint32_t vmbi_signals_needless(const struct vmbi_signals *s);
/* [control] Is a direction over its budget: more than `budget` needless ones since less than `period`? VMB_OVER_*, 0. A period that has
 * brought a budget's worth is over, and the next begins. */
static uint32_t vmbi_signals_over(struct vmbi_signals *s, uint64_t now, uint64_t period, uint32_t budget);

/* n - line - asked */
static inline uint32_t vmbi_signals_difference(const struct vmbi_signals *s, uint32_t n)
{
	return n - VMBI_LOAD32_RELAXED(&s->line) - VMBI_LOAD32_RELAXED(&s->asked);
}

/* [rx] Before it sleeps. emptied: 1 if it takes the mask off. */
static inline void vmbi_signals_settle(struct vmbi_signals *s, uint32_t emptied)
{
	uint32_t now = vmbi_signals_difference(s, VMBI_LOAD32_RELAXED(&s->arrived)), line = s->line + emptied;
	int32_t expected = (int32_t)(s->needless - now);

	if (expected < 0)
		VMBI_STORE32_RELAXED(&s->needless, now);
	else if ((uint32_t)expected + emptied > VMBI_SIGNALS_MOST)
		line -= (uint32_t)expected + emptied - VMBI_SIGNALS_MOST;
	VMBI_STORE32_RELAXED(&s->line, line);
}

/* [any] One has come. 1: control is to look. */
static inline int vmbi_signals_arrive(struct vmbi_signals *s)
{
	uint32_t n = VMBI_FETCH_ADD32(&s->arrived, 1u) + 1;

	if (vmbi_signals_difference(s, n) != VMBI_LOAD32_RELAXED(&s->in.alarm))
		return 0;
	VMBI_STORE32_RELAXED(&s->look, 1u);
	return 1;
}

/* [tx] It begins to wait for room. Before the pending size is stored. */
static inline void vmbi_signals_ask(struct vmbi_signals *s)
{
	VMBI_STORE32_RELAXED(&s->asked, s->asked + 1);
}

#endif /* VMBI_SIGNALS_H */

/* Bits of vmb_channel.state, between threads. Only ever set. Each data call looks at it once, first. */
#define VMBI_CHANNEL_STOPPED 1u /* the control side asks for the channel */
#define VMBI_CHANNEL_BROKEN 2u  /* a violation on either side */
#define VMBI_CHANNEL_ENDED 4u   /* given back: the rings may be unmapped */

#define VMBI_CHANNEL_MAGIC 0x6c686376u
#define VMBI_CHANNEL_PAGES_MAX 8190u /* of both rings. gpadl.md 4 */

struct vmb_channel {
	/* written at init, then only read; but for state, which changes once or twice */
	uint32_t state;
	uint32_t flags;        /* VMB_CHANNEL_*; PIPE only if there is pipe framing to do */
	uint32_t max_payload;  /* of a packet, rounded up to what such a payload takes */
	uint32_t max_pipe;     /* of the data in a pipe packet */
	void *ctx;
	void (*signal)(void *ctx);
	uint32_t *dirty;       /* bits of all ring pages; NULL: off */
	uint32_t dirty_words;
	uint32_t owned;        /* 1: made by a bus */
	uint32_t magic;
	uint32_t least_free;

	/* [tx] on lines of its own */
	struct vmb_tx tx __attribute__((aligned(64)));
	uint32_t want;         /* the pending size while the ring counts as full; 0: it does not. See send.c */
	uint32_t tx_long;      /* packets go the long way: the ring counts as full, or it is a pipe */

	/* [rx] */
	struct vmb_rx rx __attribute__((aligned(64)));
	uint32_t short_below;  /* payloads of so many bytes go the long way; 0: all, it is a pipe */
	int32_t due;           /* space is released when more than so many bytes, about, have been received */
	uint64_t too_small;    /* number of the packet that was announced with VMB_ETOOSMALL */
	uint64_t unmatched;

	struct vmbi_requests requests __attribute__((aligned(64)));
	struct vmbi_signals signals __attribute__((aligned(64)));
	struct vmb_ring_info last[2]; /* tx and rx when the channel was given back */
};

#ifdef VMB_CHECKED
# define VMBI_CHANNEL_CHECK(ch, arguments) \
	do { \
		if (!(ch) || (ch)->magic != VMBI_CHANNEL_MAGIC || !(arguments)) \
			return VMB_EINVAL; \
	} while (0)
#else
# define VMBI_CHANNEL_CHECK(ch, arguments) ((void)0)
#endif

/* A quarter of the ring is the most that is held back. ring.md 8.5 */
static inline void vmbi_channel_due(struct vmb_channel *ch)
{
	ch->due = (int32_t)(ch->rx.ring.size / 4) - 1;
}

/* What a state that is not 0 makes of every data call. */
static inline int vmbi_channel_refusal(uint32_t state)
{
	return state & (VMBI_CHANNEL_STOPPED | VMBI_CHANNEL_ENDED) ? VMB_ESTOPPED : VMB_EPEER;
}

/* len bytes of a view, behind the first `skip`: a pipe packet's data. */
static inline struct vmb_view vmbi_channel_strip(const struct vmb_view *v, uint32_t skip, uint32_t len, uint32_t size)
{
	uint32_t pos = v->pos + skip;

	return (struct vmb_view){ pos < size ? pos : pos - size, len };
}

/* What the two control pages say, tx first. The rings must be mapped. */
static void vmbi_channel_inspect(const struct vmb_channel *ch, struct vmb_ring_info info[2]);
/* A violation was found: for good, and for both sides. Returns VMB_EPEER. */
static int vmbi_channel_break(struct vmb_channel *ch);

/*
 * Make a channel in mem for a bus: like vmb_channel_init, with signal and ctx of the bus, VMB_CHANNEL_PIPE decided by the
 * offer, and the dirty log laid out as the GPADL is (guest_end: its sending ring is the first). cfg has been taken in by
 * vmbi_struct_in.
 */
static int vmbi_channel_make(void *mem, size_t bytes, const struct vmb_channel_config *cfg, int guest_end, struct vmb_channel **out);
/*
 * For a bus that maps ring pages one by one: where the page tables of a channel to be made in mem will lie, one for each ring.
 * Fill the first data_pages entries and let cfg->tx.pages, cfg->rx.pages point here: vmbi_channel_make takes them in place.
 * cfg->ring_pages bounds both.
 */
static void vmbi_channel_tables(void *mem, const struct vmb_channel_config *cfg, uint32_t tx_data_pages, void ***tx, void ***rx);
/* The same computation as vmb_channel_storage on a config that has been taken in. */
static int vmbi_channel_need(const struct vmb_channel_config *cfg, struct vmb_storage *need);
/* [any] Ask the owner to stop. */
static void vmbi_channel_stop(struct vmb_channel *ch);
/*
 * [control] After the owner has given it back: where its sides stand. If it was not asked to stop, what was put is flushed and
 * what was received is released first, which may call signal: the rings must still be mapped, and signals get through. Then it
 * is over with the rings: info does not look at them any more.
 */
static void vmbi_channel_cursors(struct vmb_channel *ch, struct vmb_cursor *tx, struct vmb_cursor *rx);

/* [control] While its owner is in no data call: where its sides stand. 0: something is put and not flushed, or received and not released. */
static int vmbi_channel_where(const struct vmb_channel *ch, struct vmb_cursor *tx, struct vmb_cursor *rx);
/* [any] Has it seen a violation? */
static inline int vmbi_channel_is_broken(struct vmb_channel *ch)
{
	return (VMBI_LOAD32_ACQUIRE(&ch->state) & VMBI_CHANNEL_BROKEN) != 0;
}

#endif /* VMBI_CHANNEL_H */

#define CHANNEL_FLAGS \
	(VMB_CHANNEL_DEFER | VMB_CHANNEL_PIPE | VMB_CHANNEL_RAW | VMB_CHANNEL_POLLED | VMB_CHANNEL_DIRTY | VMB_CHANNEL_LOOSE)

/* The parts of a channel's storage, in this order: the page tables come first, so that vmbi_channel_tables finds them. */
struct channel_parts {
	struct vmb_channel *ch;
	uint8_t **tables;
	struct vmbi_requests requests;
	uint32_t *dirty;
	uint32_t dirty_words;
};

static int channel_check(const struct vmb_channel_config *cfg)
{
	if (cfg->flags & ~CHANNEL_FLAGS || cfg->requests > VMBI_REQUESTS_MAX || cfg->ring_pages > VMBI_CHANNEL_PAGES_MAX)
		return VMB_EINVAL;
	if (cfg->tx.control && vmbi_ring_check(&cfg->tx))
		return VMB_EINVAL;
	return cfg->rx.control && vmbi_ring_check(&cfg->rx) ? VMB_EINVAL : 0;
}

/* Both rings' pages, if the log needs them: as given, or as the library will map them. */
static int channel_dirty_pages(const struct vmb_channel_config *cfg, uint32_t *pages)
{
	*pages = 0;
	if (!(cfg->flags & VMB_CHANNEL_DIRTY))
		return 0;
	if (cfg->tx.control && cfg->rx.control)
		*pages = cfg->tx.data_pages + cfg->rx.data_pages + 2;
	if (cfg->ring_pages > *pages)
		*pages = cfg->ring_pages;
	return *pages ? 0 : VMB_EINVAL;
}

static int channel_carve(struct vmbi_carve *c, const struct vmb_channel_config *cfg, struct channel_parts *parts)
{
	uint32_t pages, entries = 0;
	int r = channel_check(cfg);

	if (!r)
		r = channel_dirty_pages(cfg, &pages);
	if (r)
		return r;
	if (cfg->tx.control)
		entries += vmbi_ring_table(&cfg->tx);
	if (cfg->rx.control)
		entries += vmbi_ring_table(&cfg->rx);
	if (entries < 2 * cfg->ring_pages)
		entries = 2 * cfg->ring_pages;
	parts->ch = vmbi_carve(c, 1, sizeof *parts->ch);
	parts->tables = vmbi_carve(c, entries, sizeof *parts->tables);
	vmbi_requests_carve(c, cfg->requests, &parts->requests);
	parts->dirty_words = (pages + 31) / 32;
	parts->dirty = vmbi_carve(c, parts->dirty_words, sizeof *parts->dirty);
	return 0;
}

static int vmbi_channel_need(const struct vmb_channel_config *cfg, struct vmb_storage *need)
{
	struct channel_parts parts;
	struct vmbi_carve c = { NULL, 0 };
	int r = channel_carve(&c, cfg, &parts);

	return r ? r : vmbi_carve_end(&c, need);
}

static void vmbi_channel_tables(void *mem, const struct vmb_channel_config *cfg, uint32_t tx_data_pages, void ***tx, void ***rx)
{
	struct vmbi_carve c = { mem, 0 };

	(void)cfg;
	vmbi_carve(&c, 1, sizeof(struct vmb_channel));
	*tx = vmbi_carve(&c, 0, 0);
	*rx = *tx + 2 * (size_t)tx_data_pages;
}

/* Log ring pages, in the order of the GPADL: the ring that the guest sends into is the first. Making a half wrote its
 * control page. */
static void channel_log(struct vmb_channel *ch, const struct vmb_channel_config *cfg, const struct channel_parts *parts,
			int guest_end)
{
	uint32_t first = guest_end ? cfg->tx.data_pages + 1 : cfg->rx.data_pages + 1;

	ch->dirty = parts->dirty;
	ch->dirty_words = parts->dirty_words;
	VMBI_MEMSET(ch->dirty, 0, ch->dirty_words * sizeof *ch->dirty);
	ch->dirty[0] = 1;
	ch->dirty[first / 32] |= 1u << first % 32;
	ch->tx.dirty = (struct vmbi_dirty){ ch->dirty, guest_end ? 0 : first };
	ch->rx.dirty = (struct vmbi_dirty){ ch->dirty, guest_end ? first : 0 };
}

static void channel_limits(struct vmb_channel *ch, const struct vmb_channel_config *cfg)
{
	uint32_t most = cfg->max_payload ? cfg->max_payload : UINT32_MAX;

	ch->max_payload = most < UINT32_MAX - 7 ? (most + 7) & ~7u : UINT32_MAX;
	ch->max_pipe = most < VMBI_PIPE_MAX ? most : VMBI_PIPE_MAX;
	ch->short_below = ch->flags & VMB_CHANNEL_PIPE ? 0 : ch->max_payload;
	ch->short_below += ch->short_below && ch->short_below < UINT32_MAX;
	vmbi_channel_due(ch);
	ch->least_free = cfg->least_free ? cfg->least_free : ch->tx.ring.size / 4;
	/* A restored sender that was waiting still is: its peer has the pending size and will signal. */
	ch->want = ch->tx.pending < ch->tx.ring.size ? ch->tx.pending : 0;
	ch->tx_long = ch->want || ch->flags & VMB_CHANNEL_PIPE;
}

static int channel_rings(struct vmb_channel *ch, const struct vmb_channel_config *cfg, uint8_t **tables)
{
	struct vmb_ring_mem rx = cfg->rx;
	int r = vmbi_tx_setup(&ch->tx, tables, &cfg->tx, cfg->tx_at.valid ? &cfg->tx_at : NULL);

	if (r)
		return r;
	if (cfg->flags & VMB_CHANNEL_LOOSE)
		rx.flags |= VMB_RING_LOOSE;
	return vmbi_rx_setup(&ch->rx, tables + vmbi_ring_table(&cfg->tx), &rx, cfg->rx_at.valid ? &cfg->rx_at : NULL);
}

static int vmbi_channel_make(void *mem, size_t bytes, const struct vmb_channel_config *cfg, int guest_end, struct vmb_channel **out)
{
	struct channel_parts parts;
	struct vmbi_carve c = { mem, 0 };
	struct vmb_storage need;
	struct vmb_channel *ch;
	int r;

	r = vmbi_channel_need(cfg, &need);
	if (!r)
		r = vmbi_storage_fits(mem, bytes, &need);
	if (!r)
		r = channel_carve(&c, cfg, &parts);
	if (r)
		return r;
	ch = parts.ch;
	VMBI_MEMSET(ch, 0, sizeof *ch);
	ch->flags = cfg->flags & VMB_CHANNEL_RAW ? cfg->flags & ~VMB_CHANNEL_PIPE : cfg->flags;
	ch->ctx = cfg->ctx;
	ch->signal = cfg->signal;
	ch->owned = 1;
	ch->requests = parts.requests;
	vmbi_requests_init(&ch->requests);
	vmbi_signals_init(&ch->signals);
	r = channel_rings(ch, cfg, parts.tables);
	if (r)
		return r;
	channel_limits(ch, cfg);
	if (cfg->flags & VMB_CHANNEL_DIRTY)
		channel_log(ch, cfg, &parts, guest_end);
	if (cfg->flags & VMB_CHANNEL_POLLED)
		vmb_rx_mask(&ch->rx);
	ch->magic = VMBI_CHANNEL_MAGIC;
	*out = ch;
	return 0;
}

int vmb_channel_storage(const struct vmb_channel_config *cfg, struct vmb_storage *need)
{
	struct vmb_channel_config in;
	int r;

	if (!cfg || !need)
		return VMB_EINVAL;
	r = vmbi_struct_in(&in, sizeof in, cfg, sizeof in);
	return r ? r : vmbi_channel_need(&in, need);
}

int vmb_channel_init(void *mem, size_t bytes, const struct vmb_channel_config *cfg, struct vmb_channel **ch)
{
	struct vmb_channel_config in;
	int r;

	if (!mem || !cfg || !ch)
		return VMB_EINVAL;
	r = vmbi_struct_in(&in, sizeof in, cfg, sizeof in);
	if (!r)
		r = vmbi_channel_make(mem, bytes, &in, 0, ch);
	if (!r)
		(*ch)->owned = 0;
	return r;
}

static int vmbi_channel_break(struct vmb_channel *ch)
{
	VMBI_FETCH_OR32(&ch->state, VMBI_CHANNEL_BROKEN);
	return VMB_EPEER;
}

static void vmbi_channel_stop(struct vmb_channel *ch)
{
	VMBI_FETCH_OR32(&ch->state, VMBI_CHANNEL_STOPPED);
}

int vmb_channel_stop(struct vmb_channel *ch)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC)
		return VMB_EINVAL;
	vmbi_channel_stop(ch);
	return 0;
}

/*
 * Leave the rings as the cursors say: without this, packets that recv has delivered would come again, and requests that the
 * table knows would never have been sent.
 */
static void channel_settle(struct vmb_channel *ch)
{
	int sent = vmb_tx_commit(&ch->tx), freed = vmb_rx_release(&ch->rx);

	if (sent < 0 || freed < 0)
		vmbi_channel_break(ch);
	if (((sent > 0 && sent & VMB_SIGNAL) || (freed > 0 && freed & VMB_SIGNAL)) && ch->signal)
		ch->signal(ch->ctx);
}

static void channel_end(struct vmb_channel *ch, struct vmb_cursor *tx, struct vmb_cursor *rx)
{
	vmbi_channel_inspect(ch, ch->last);
	vmb_tx_end(&ch->tx, tx);
	vmb_rx_end(&ch->rx, rx);
	VMBI_FETCH_OR32(&ch->state, VMBI_CHANNEL_ENDED);
}

static void vmbi_channel_cursors(struct vmb_channel *ch, struct vmb_cursor *tx, struct vmb_cursor *rx)
{
	if (!VMBI_LOAD32_ACQUIRE(&ch->state))
		channel_settle(ch);
	channel_end(ch, tx, rx);
}

static int vmbi_channel_where(const struct vmb_channel *ch, struct vmb_cursor *tx, struct vmb_cursor *rx)
{
	return vmbi_tx_where(&ch->tx, tx) & vmbi_rx_where(&ch->rx, rx);
}

int vmb_channel_end(struct vmb_channel *ch, struct vmb_cursor *tx_at, struct vmb_cursor *rx_at)
{
	uint32_t state;

	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC)
		return VMB_EINVAL;
	state = VMBI_LOAD32_ACQUIRE(&ch->state);
	if (ch->owned || state & VMBI_CHANNEL_ENDED)
		return VMB_ESTATE;
	/* Stopped or not: who asked for it may want to go on elsewhere. */
	if (!(state & VMBI_CHANNEL_BROKEN))
		channel_settle(ch);
	channel_end(ch, tx_at, rx_at);
	return 0;
}

/* ---- lib/channel/send.c ---- */
/*
 * Sending: packets are queued in the ring, then shown to the peer together. Requests get their ids here.
 *
 * When the ring is full. VMB_EFULL promises a wake, to whoever got it, and a peer signals only when a release of its takes the
 * free space across the pending size; publishing anything meanwhile would clear that size, or use up the space unseen by the
 * peer (ring.md 8.2, 10.1). So once a packet did not fit, what was queued is flushed, the pending size is stored, and the ring
 * counts as full: for every packet, until more than that size is free. In stands still all the time, so the peer's one crossing
 * signals for certain, and a smaller packet can neither break the promise nor starve the larger one.
 */

/* A payload that is not at p->payload: in parts; or, with a view, to be filled in place by the caller. */
struct send_source {
	const struct vmb_span *parts;
	uint32_t n;
	struct vmb_view *view;
};

static inline int send_is_pipe(const struct vmb_channel *ch, const struct vmb_packet *p)
{
	return ch->flags & VMB_CHANNEL_PIPE && p->kind == VMB_PKT_INBAND;
}

/* The peer must be signalled: do it, or say so. The last act of every call. */
static int send_signal(struct vmb_channel *ch)
{
	if (ch->flags & VMB_CHANNEL_DEFER) {
		VMBI_STORE32_RELAXED(&ch->signals.deferred, ch->signals.deferred + 1);
		return VMB_SIGNAL;
	}
	if (ch->signal)
		ch->signal(ch->ctx);
	return 0;
}

/* ---- into the ring. from NULL: the payload is at p->payload */

static int send_parts_fit(const struct send_source *from, uint32_t len)
{
	for (uint32_t i = 0; i < from->n; i++) {
		if (from->parts[i].len > len)
			return 0;
		len -= (uint32_t)from->parts[i].len;
	}
	return !len;
}

/* Copy the payload into a view, behind the pipe header. */
static void send_fill(struct vmb_channel *ch, const struct vmb_view *v, const struct vmb_packet *p,
		      const struct send_source *from)
{
	struct vmb_span whole = { (void *)(uintptr_t)p->payload, p->len };
	const struct vmb_span *parts = from ? from->parts : &whole;
	uint32_t n = from ? from->n : 1, at = VMBI_PIPE_HEADER;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = (uint32_t)parts[i].len;

		if (len)
			(void)vmb_tx_copy(&ch->tx, v, at, parts[i].base, len);
		at += len;
	}
}

/* A pipe packet: its header goes before the data. ring.md 6 */
static int send_pipe(struct vmb_channel *ch, const struct vmb_packet *p, const struct send_source *from)
{
	struct vmb_packet framed = *p;
	uint8_t header[VMBI_PIPE_HEADER];
	struct vmb_view v;
	int r;

	if (p->len > VMBI_PIPE_MAX)
		return VMB_ETOOBIG;
	if (from && !from->view && !send_parts_fit(from, p->len))
		return VMB_EINVAL;
	framed.len += VMBI_PIPE_HEADER;
	r = vmb_tx_reserve(&ch->tx, &framed, &v);
	if (r)
		return r;
	vmbi_put32(header, VMBI_PIPE_DATA);
	vmbi_put32(header + 4, p->len);
	(void)vmb_tx_copy(&ch->tx, &v, 0, header, sizeof header);
	if (from && from->view)
		*from->view = vmbi_channel_strip(&v, VMBI_PIPE_HEADER, p->len, ch->tx.ring.size);
	else
		send_fill(ch, &v, p, from);
	return 0;
}

static inline int send_write(struct vmb_channel *ch, const struct vmb_packet *p, const struct send_source *from)
{
	if (send_is_pipe(ch, p))
		return send_pipe(ch, p, from);
	if (!from)
		return vmb_tx_put(&ch->tx, p);
	return from->view ? vmb_tx_reserve(&ch->tx, p, from->view) : vmb_tx_putv(&ch->tx, p, from->parts, from->n);
}

/* ---- the full ring */

/* Is there more free than was waited for? Then it is full no longer. A bad index is left to the ring to find. */
static int send_room(struct vmb_channel *ch)
{
	uint32_t size = ch->tx.ring.size;
	uint32_t out = VMBI_LE32(VMBI_LOAD32_ACQUIRE(ch->tx.ring.control + VMBI_RING_OUT));

	if (out < size && !(out & 7) && size - vmbi_ring_used(ch->tx.next, out, size) <= ch->want)
		return 0;
	ch->want = 0;
	ch->tx_long = ch->flags & VMB_CHANNEL_PIPE;
	return 1;
}

/*
 * It did not fit: flush, ask the peer for a signal, and if it fits meanwhile, put it. 0, VMB_SIGNAL (the flush wants one,
 * nobody has done it yet), or an error. With an error nobody could be told, so the signal is done here, whoever else does them.
 */
static VMBI_RING_COLD int send_full(struct vmb_channel *ch, const struct vmb_packet *p, const struct send_source *from)
{
	int facts = vmb_tx_commit(&ch->tx), r = VMB_EFULL;

	if (facts < 0)
		return facts;
	if (!(ch->flags & VMB_CHANNEL_POLLED)) {
		struct vmb_packet framed = *p;

		if (send_is_pipe(ch, p))
			framed.len += VMBI_PIPE_HEADER;
		vmbi_signals_ask(&ch->signals);
		r = vmb_tx_arm(&ch->tx, &framed, ch->least_free);
		if (r == VMB_YES) {
			r = send_write(ch, p, from);
		} else if (!r) {
			ch->want = ch->tx.pending;
			ch->tx_long = 1;
			r = VMB_EFULL;
		}
	}
	if (!r)
		return facts;
	if (facts & VMB_SIGNAL && ch->signal)
		ch->signal(ch->ctx);
	return r;
}

/* Anything but success of a write. What send_full says, with a violation made known. */
static VMBI_RING_COLD int send_refused(struct vmb_channel *ch, const struct vmb_packet *p, const struct send_source *from, int r)
{
	if (r == VMB_EFULL)
		r = send_full(ch, p, from);
	return r == VMB_EPEER ? vmbi_channel_break(ch) : r;
}

/* ---- one packet */

static inline int send_is_request(const struct vmb_packet *p)
{
	return p->flags & VMB_PKT_WANTS_REPLY && !p->id;
}

/* Queue a request that gets its id here; the slot is taken when the packet is in the ring. As send_queue. */
static int send_request(struct vmb_channel *ch, struct vmb_packet *p, const struct send_source *from)
{
	struct vmbi_request *q;
	int r;

	if (!vmbi_request_next(&ch->requests, &q, &p->id))
		return ch->requests.size ? VMB_ENOSLOT : VMB_EINVAL; /* id 0 is no request's. ring.md 7 */
	r = send_write(ch, p, from);
	if (r)
		r = send_refused(ch, p, from, r);
	if (r < 0)
		p->id = 0;
	else
		vmbi_request_take(&ch->requests, q, p->user);
	return r;
}

/* Queue any packet, in any case. 0, VMB_SIGNAL (to be done, see send_signal), or an error. */
static VMBI_RING_LONG int send_queue(struct vmb_channel *ch, struct vmb_packet *p, const struct send_source *from)
{
	int r;

	if (ch->want && !send_room(ch))
		return VMB_EFULL;
	if (send_is_request(p))
		return send_request(ch, p, from);
	r = send_write(ch, p, from);
	return r ? send_refused(ch, p, from, r) : 0;
}

static VMBI_RING_LONG int send_put(struct vmb_channel *ch, struct vmb_packet *p, const struct send_source *from)
{
	int r = send_queue(ch, p, from);

	return r > 0 ? send_signal(ch) : r;
}

/* The short way, for nearly all packets: no variable header, no pipe, room for certain, in a row. 1: done; 0: nothing has happened. */
static VMBI_RING_SHORT int send_short(struct vmb_channel *ch, struct vmb_packet *p)
{
	struct vmbi_request *q;
	uint64_t id;
	uint8_t *to;

	if (ch->tx_long)
		return 0;
	if (!send_is_request(p)) {
		to = vmbi_tx_frame(&ch->tx, p, p->id);
		if (!to)
			return 0;
	} else {
		if (!vmbi_request_next(&ch->requests, &q, &id))
			return 0;
		to = vmbi_tx_frame(&ch->tx, p, id);
		if (!to)
			return 0;
		vmbi_request_take(&ch->requests, q, p->user);
		p->id = id;
	}
	VMBI_PAYLOAD_IN(to, p->payload, p->len);
	return 1;
}

int vmb_channel_put(struct vmb_channel *ch, struct vmb_packet *p)
{
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, p && (p->payload || !p->len));
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	return send_short(ch, p) ? 0 : send_put(ch, p, NULL);
}

int vmb_channel_putv(struct vmb_channel *ch, struct vmb_packet *p, const struct vmb_span *parts, uint32_t n)
{
	struct send_source from = { parts, n, NULL };
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, p && (parts || !n));
	state = VMBI_LOAD32_RELAXED(&ch->state);
	return state ? vmbi_channel_refusal(state) : send_put(ch, p, &from);
}

int vmb_channel_reserve(struct vmb_channel *ch, struct vmb_packet *p, struct vmb_view *payload)
{
	struct send_source from = { .view = payload };
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, p && payload);
	state = VMBI_LOAD32_RELAXED(&ch->state);
	return state ? vmbi_channel_refusal(state) : send_put(ch, p, &from);
}

/* ---- showing it to the peer */

static VMBI_RING_COLD int send_failed(struct vmb_channel *ch, int r)
{
	return r == VMB_EPEER ? vmbi_channel_break(ch) : r;
}

/* facts: of what was done before. */
static inline int send_flush(struct vmb_channel *ch, int facts)
{
	int r = vmb_tx_commit(&ch->tx);

	if (r < 0)
		return send_failed(ch, r);
	return (r | facts) & VMB_SIGNAL ? send_signal(ch) : 0;
}

int vmb_channel_flush(struct vmb_channel *ch)
{
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, 1);
	state = VMBI_LOAD32_RELAXED(&ch->state);
	return state ? vmbi_channel_refusal(state) : send_flush(ch, 0);
}

int vmb_channel_send(struct vmb_channel *ch, struct vmb_packet *p)
{
	uint32_t state;
	int r;

	VMBI_CHANNEL_CHECK(ch, p && (p->payload || !p->len));
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	r = send_short(ch, p) ? 0 : send_queue(ch, p, NULL);
	return r < 0 ? r : send_flush(ch, r);
}

/* ---- several packets */

/* The packet that a record describes, or VMB_EINVAL: it is not all in the buffer. */
static int send_record(const uint8_t *buf, uint32_t bytes, const struct vmb_record *rec, struct vmb_packet *p)
{
	const uint8_t *head;

	if (rec->offset % 8 || rec->head_len % 8 || (uint64_t)rec->offset + rec->head_len + rec->len > bytes)
		return VMB_EINVAL;
	head = buf + rec->offset;
	*p = (struct vmb_packet){ .kind = rec->kind, .flags = rec->flags, .len = rec->len, .id = rec->id, .user = rec->user,
				  .payload = head + rec->head_len, .page_set = rec->page_set };
	if (rec->head_len)
		p->list = (struct vmb_list){ (const uint64_t *)(const void *)(head + 8), rec->head_len / 8 - 1, rec->ranges };
	return 0;
}

int vmb_channel_send_batch(struct vmb_channel *ch, const uint8_t *buf, uint32_t bytes, struct vmb_record *recs, uint32_t n)
{
	uint32_t state, i;
	int r = 0, facts = 0;

	VMBI_CHANNEL_CHECK(ch, recs && buf);
	if (!n || n > INT32_MAX || (uintptr_t)buf % 8)
		return VMB_EINVAL;
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	for (i = 0; i < n; i++) {
		struct vmb_packet p;

		r = send_record(buf, bytes, &recs[i], &p);
		if (!r)
			r = send_short(ch, &p) ? 0 : send_queue(ch, &p, NULL);
		if (r < 0)
			break;
		recs[i].id = p.id;
		facts |= r;
	}
	if (!i)
		return r;
	r = vmb_tx_commit(&ch->tx);
	if (r < 0)
		(void)send_failed(ch, r); /* the next call says so: these were taken */
	else if ((r | facts) & VMB_SIGNAL && ch->signal) /* the result has no place for it, so DEFER or not */
		ch->signal(ch->ctx);
	return (int)i;
}

/* ---- lib/channel/recv.c ---- */
/*
 * Receiving: packets are taken out of the ring one by one, copied once, and judged from the copy. Completions find their
 * requests here.
 *
 * When space goes back to the peer: after a copy, once about a quarter of the ring is due; at 0, before sleeping; and by
 * vmb_channel_release. A release costs a full fence, so not for every packet. Nothing may be held back while waiting for the
 * peer (ring.md 8.5); recv waits for nothing, and who stops calling it before it gave 0, to wait for something else, calls
 * release.
 *
 * Nearly all packets take the short way through vmb_channel_recv: in-band or a completion, no variable header, no pipe, the
 * buffer is large enough. What else there is to do is kept out of it, so that it costs little more than the ring does.
 */

#define RECV_PASSED_MAX 64u /* completions without a request that one call passes over. ring.md 9.1 rule 11 */

/* ---- violations, and giving space back */

static VMBI_RING_COLD int recv_violation(struct vmb_channel *ch, uint32_t reason, uint32_t at)
{
	(void)vmbi_ring_stick(&ch->rx.stick, reason, at);
	return vmbi_channel_break(ch);
}

/* An error of the ring's. */
static VMBI_RING_COLD int recv_failed(struct vmb_channel *ch, int r)
{
	return r == VMB_EPEER ? vmbi_channel_break(ch) : r;
}

/* What a release or a sleep said. */
static int recv_released(struct vmb_channel *ch, int r)
{
	vmbi_channel_due(ch);
	if (r < 0)
		return recv_failed(ch, r);
	if (r & VMB_SIGNAL && ch->signal)
		ch->signal(ch->ctx);
	return r & VMB_YES;
}

static VMBI_RING_LONG int recv_release(struct vmb_channel *ch)
{
	return recv_released(ch, vmb_rx_release(&ch->rx));
}

/* n bytes of a packet were copied: is enough space due? A violation found by the way is told by the next call: this packet
 * is good. */
static inline void recv_due(struct vmb_channel *ch, uint32_t n)
{
	ch->due -= (int32_t)(VMBI_DESCRIPTOR + n + VMBI_FOOTER);
	if (ch->due < 0)
		(void)recv_release(ch);
}

/* The ring is empty, or dead. 0: sleep. VMB_YES: look again. */
static VMBI_RING_LONG int recv_idle(struct vmb_channel *ch, int r)
{
	if (r < 0)
		return recv_failed(ch, r);
	if (ch->flags & VMB_CHANNEL_POLLED)
		return recv_release(ch);
	vmbi_signals_settle(&ch->signals, ch->rx.mask);
	return recv_released(ch, vmb_rx_sleep(&ch->rx));
}

/* ---- going back by one packet. all: what vmb_rx_next gave */

static uint32_t recv_start(const struct vmb_channel *ch, const struct vmb_view *all)
{
	return vmbi_ring_forward(all->pos, ch->rx.ring.size - VMBI_DESCRIPTOR, ch->rx.ring.size);
}

static void recv_back(struct vmb_channel *ch, const struct vmb_view *all)
{
	ch->rx.next = recv_start(ch, all);
	ch->rx.left += VMBI_DESCRIPTOR + all->len + VMBI_FOOTER;
	ch->rx.fresh--;
}

/* The number of the packet at next, from 1. */
static uint64_t recv_number(const struct vmb_channel *ch)
{
	return VMBI_READ64(&ch->rx.packets) + ch->rx.fresh + 1;
}

/* ---- completions */

static void recv_unmatched(struct vmb_channel *ch)
{
	vmbi_ring_count(&ch->unmatched, 1);
}

/* The flag is the library's, whatever a loose ring lets through. */
static void recv_late(struct vmb_packet *p, uint32_t late)
{
	p->flags = (uint16_t)((p->flags & (VMB_PKT_LATE - 1)) | late);
}

/* A completion, taken: VMB_YES if it is for the caller, 0 if no request is waiting for it. */
static int recv_match(struct vmb_channel *ch, struct vmb_packet *p)
{
	uint32_t late = 0;

	if (!ch->requests.size)
		return VMB_YES;
	if (!vmbi_request_complete(&ch->requests, p->id, VMBI_REQUEST_LIVE, &p->user)) {
		if (!vmbi_request_complete(&ch->requests, p->id, VMBI_REQUEST_ZOMBIE, &p->user)) {
			recv_unmatched(ch);
			return 0;
		}
		late = VMB_PKT_LATE;
		VMBI_STORE32_RELAXED(&ch->requests.buried, ch->requests.buried + 1);
	}
	recv_late(p, late);
	return VMB_YES;
}

/* ---- variable headers, pipe headers */

static int recv_is_listed(const struct vmb_packet *p)
{
	return p->head_len && (p->kind == VMB_PKT_GPA || p->kind == VMB_PKT_XFER);
}

/* Copy a packet with a list: the word that counts the ranges has been fetched, and is not fetched again. ring.md 9.1 rules 4, 7 */
static void recv_copy_listed(const struct vmb_channel *ch, const struct vmb_view *all, uint8_t *buf)
{
	vmbi_put64(buf, ch->rx.head);
	(void)vmb_rx_copy(&ch->rx, all, 8, buf + 8, all->len - 8);
}

/* Judge the header of a GPA direct or transfer page packet from the copy in buf, and point p->list at it. ring.md 5.3, 5.4,
 * 9.1 */
static int recv_list(struct vmb_packet *p, void *buf)
{
	const uint8_t *head = buf;
	uint64_t *words = (uint64_t *)buf + 1;
	uint32_t count = p->head_len / 8 - 1, ranges = vmbi_get32(head + 4);

	if (VMBI_LE32(1u) != 1u)
		for (uint32_t i = 0; i < count; i++)
			words[i] = VMBI_LE64(words[i]);
	if (p->kind == VMB_PKT_GPA)
		return vmb_list_check(words, count, ranges, &p->list, NULL);
	if (!ranges || ranges > count)
		return VMB_EINVAL;
	for (uint32_t i = 0; i < ranges; i++)
		if (!(uint32_t)words[i])
			return VMB_EINVAL;
	p->page_set = vmbi_get16(head);
	p->list = (struct vmb_list){ words, ranges, ranges };
	return 0;
}

/* The packet in *p is a pipe packet: VMB_YES, its data of p->len bytes in *data; or VMB_EPEER. ring.md 6 */
static int recv_pipe(struct vmb_channel *ch, struct vmb_packet *p, const struct vmb_view *all, struct vmb_view *data)
{
	uint8_t header[VMBI_PIPE_HEADER];
	uint32_t len;

	if (vmb_rx_copy(&ch->rx, all, p->head_len, header, sizeof header)) /* there are fewer bytes */
		return recv_violation(ch, VMB_R_PIPE, recv_start(ch, all));
	len = vmbi_get32(header + 4);
	/* Types 2 to 5 are for what is not done over a ring, or not at all: rewriting one's own ring, memory set up by handle. */
	if (vmbi_get32(header) != VMBI_PIPE_DATA || len > p->len - VMBI_PIPE_HEADER || len > VMBI_PIPE_MAX)
		return recv_violation(ch, VMB_R_PIPE, recv_start(ch, all));
	if (len > ch->max_pipe)
		return recv_violation(ch, VMB_R_PAYLOAD, recv_start(ch, all));
	*data = vmbi_channel_strip(all, p->head_len + VMBI_PIPE_HEADER, len, ch->rx.ring.size);
	p->payload = p->payload ? (const uint8_t *)p->payload + VMBI_PIPE_HEADER : NULL;
	p->len = len;
	p->head_len = 0;
	return VMB_YES;
}

/* A packet just taken: is it one that this channel may be sent? VMB_YES and what of it the caller gets, or VMB_EPEER. */
static int recv_check(struct vmb_channel *ch, struct vmb_packet *p, const struct vmb_view *all, struct vmb_view *data)
{
	*data = *all;
	if (ch->flags & VMB_CHANNEL_PIPE && p->kind == VMB_PKT_INBAND)
		return recv_pipe(ch, p, all, data);
	return p->len > ch->max_payload ? recv_violation(ch, VMB_R_PAYLOAD, recv_start(ch, all)) : VMB_YES;
}

/* ---- one packet */

#define RECV_PASSED 2 /* it was not for the caller */

/* The buffer is too small: say what it needs and leave it, unless nobody wants it anyway. */
static VMBI_RING_COLD int recv_small(struct vmb_channel *ch, struct vmb_packet *p, const struct vmb_view *all)
{
	uint32_t late = 0;

	if (p->kind == VMB_PKT_COMPLETION && ch->requests.size) {
		if (vmbi_request_look(&ch->requests, p->id, &p->user, &late) < 0) {
			recv_unmatched(ch);
			return RECV_PASSED;
		}
		recv_late(p, late);
	}
	p->payload = NULL;
	recv_back(ch, all);
	ch->too_small = recv_number(ch);
	return VMB_ETOOSMALL;
}

/* Any packet just taken: into buf with it. VMB_YES, RECV_PASSED, or an error. */
static VMBI_RING_LONG int recv_any(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p,
				   const struct vmb_view *all)
{
	struct vmb_view data;
	int r = recv_check(ch, p, all, &data);

	if (r != VMB_YES)
		return r;
	if (data.len > bytes)
		return recv_small(ch, p, all);
	if (p->kind == VMB_PKT_COMPLETION && !recv_match(ch, p))
		return RECV_PASSED;
	if (recv_is_listed(p)) {
		recv_copy_listed(ch, &data, buf);
		if (recv_list(p, buf))
			return recv_violation(ch, VMB_R_RANGES, recv_start(ch, all));
	} else {
		(void)vmb_rx_copy(&ch->rx, &data, 0, buf, data.len);
	}
	p->payload = (const void *)((uintptr_t)buf + p->head_len);
	return VMB_YES;
}

/* vmb_rx_next said r, or RECV_PASSED: the packet that it gave was. The rest of the call, whatever there is. */
static VMBI_RING_LONG int recv_long(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p, struct vmb_view *all,
				    int r)
{
	for (uint32_t budget = RECV_PASSED_MAX;;) {
		if (r == VMB_YES)
			r = recv_any(ch, buf, bytes, p, all);
		if (r <= 0) {
			r = recv_idle(ch, r);
			if (r <= 0)
				return r;
		} else {
			recv_due(ch, all->len);
			if (r == VMB_YES)
				return r;
		}
		if (!--budget)
			return VMB_EAGAIN;
		r = vmb_rx_next(&ch->rx, p, all);
	}
}

/* ---- the short way */

/* The packet at next is not for it; word is its first, fetched. */
static VMBI_RING_LONG int recv_word(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p, uint64_t word)
{
	struct vmb_view all;
	int r = vmbi_rx_take_any(&ch->rx, word, p, &all);

	return recv_long(ch, buf, bytes, p, &all, r);
}

/* So much space is due with this packet that it is given back now. */
static VMBI_RING_LONG int recv_last(struct vmb_channel *ch, void *buf, const uint8_t *at, uint32_t len)
{
	VMBI_PAYLOAD_OUT(buf, at, len);
	(void)recv_release(ch);
	return VMB_YES;
}

/* A packet for the caller, taken, with len bytes at `at`. */
static VMBI_RING_SHORT int recv_give(struct vmb_channel *ch, void *buf, const uint8_t *at, uint32_t len)
{
	ch->due -= (int32_t)(VMBI_DESCRIPTOR + len + VMBI_FOOTER);
	if (VMBI_RARELY(ch->due < 0))
		return recv_last(ch, buf, at, len);
	VMBI_PAYLOAD_OUT(buf, at, len);
	return VMB_YES;
}

/* A completion, taken, that no live request waits for. */
static VMBI_RING_LONG int recv_other(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p, const uint8_t *at)
{
	struct vmb_view all = { 0, p->len };

	return recv_match(ch, p) ? recv_give(ch, buf, at, p->len) : recv_long(ch, buf, bytes, p, &all, RECV_PASSED);
}

static VMBI_RING_LONG int recv_completion(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p, const uint8_t *at)
{
	if (!vmbi_request_complete(&ch->requests, p->id, VMBI_REQUEST_LIVE, &p->user))
		return recv_other(ch, buf, bytes, p, at);
	return recv_give(ch, buf, at, p->len);
}

/* The packet at next; there are bytes left. */
static VMBI_RING_SHORT int recv_short(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p)
{
	uint32_t start = ch->rx.next;
	const uint8_t *at;
	uint64_t word;
	size_t len;

	if (!vmbi_rx_plain(&ch->rx, start, &word, &at, &len) || len >= ch->short_below || len > bytes)
		return recv_word(ch, buf, bytes, p, word);
	vmbi_rx_take(&ch->rx, start, word, at + 8, buf, p);
	at += VMBI_DESCRIPTOR;
	return p->kind == VMB_PKT_COMPLETION ? recv_completion(ch, buf, bytes, p, at) : recv_give(ch, buf, at, p->len);
}

static VMBI_RING_LONG int recv_look(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p)
{
	struct vmb_view none = { 0, 0 };
	int r = vmbi_rx_look(&ch->rx);

	return r == VMB_YES ? recv_short(ch, buf, bytes, p) : recv_long(ch, buf, bytes, p, &none, r);
}

int vmb_channel_recv(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p)
{
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, p && (buf || !bytes) && !((uintptr_t)buf % 8));
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	return ch->rx.left ? recv_short(ch, buf, bytes, p) : recv_look(ch, buf, bytes, p);
}

int vmb_channel_next(struct vmb_channel *ch, struct vmb_packet *p, struct vmb_view *all)
{
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, p && all);
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	for (uint32_t budget = RECV_PASSED_MAX; budget; budget--) {
		struct vmb_view whole;
		int r = vmb_rx_next(&ch->rx, p, &whole);

		if (r == VMB_YES) {
			r = recv_check(ch, p, &whole, all);
			if (r < 0 || p->kind != VMB_PKT_COMPLETION || recv_match(ch, p))
				return r;
		} else {
			r = recv_idle(ch, r);
			if (r <= 0)
				return r;
		}
	}
	return VMB_EAGAIN;
}

int vmb_channel_skip(struct vmb_channel *ch)
{
	struct vmb_packet p;
	struct vmb_view all;
	uint32_t state;
	int r;

	VMBI_CHANNEL_CHECK(ch, 1);
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	if (ch->too_small != recv_number(ch))
		return VMB_ESTATE;
	r = vmb_rx_next(&ch->rx, &p, &all);
	if (r != VMB_YES)
		return recv_failed(ch, r);
	if (p.kind == VMB_PKT_COMPLETION)
		(void)recv_match(ch, &p);
	recv_due(ch, all.len);
	return 0;
}

int vmb_channel_release(struct vmb_channel *ch)
{
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, 1);
	state = VMBI_LOAD32_RELAXED(&ch->state);
	return state ? vmbi_channel_refusal(state) : recv_release(ch);
}

/* ---- several packets */

static void recv_record(struct vmb_record *rec, const struct vmb_packet *p, uint32_t offset)
{
	*rec = (struct vmb_record){ p->kind, p->flags, offset, p->head_len, p->len, p->id, p->user, p->list.ranges,
				    p->page_set, 0 };
}

/* Packets into buf as long as there are any and they fit. How many; *why: what there was instead of one more. *budget: of the call. */
static uint32_t recv_records(struct vmb_channel *ch, uint8_t *buf, uint32_t bytes, struct vmb_record *recs, uint32_t n, uint32_t *budget,
			     int *why)
{
	uint32_t used = 0, i = 0;

	*why = VMB_EAGAIN;
	while (i < n && used <= bytes && *budget) {
		struct vmb_packet p;
		struct vmb_view all;
		int r = vmb_rx_next(&ch->rx, &p, &all);

		if (r == VMB_YES)
			r = recv_any(ch, buf + used, bytes - used, &p, &all);
		if (r == RECV_PASSED) {
			--*budget;
			continue;
		}
		if (r == VMB_YES || r == VMB_ETOOSMALL)
			recv_record(&recs[i], &p, used);
		if (r != VMB_YES) {
			*why = r;
			break;
		}
		used += (p.head_len + p.len + 7) & ~7u;
		i++;
	}
	return i;
}

int vmb_channel_recv_batch(struct vmb_channel *ch, uint8_t *buf, uint32_t bytes, struct vmb_record *recs, uint32_t n)
{
	uint32_t state, count;
	int r;

	VMBI_CHANNEL_CHECK(ch, recs && buf);
	if (!n || n > INT32_MAX || bytes > INT32_MAX || (uintptr_t)buf % 8)
		return VMB_EINVAL;
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	for (uint32_t budget = RECV_PASSED_MAX; budget; budget--) {
		count = recv_records(ch, buf, bytes, recs, n, &budget, &r);
		if (count) {
			ch->too_small = 0; /* nobody was told */
			(void)recv_release(ch);
			return (int)count;
		}
		r = recv_idle(ch, r);
		if (r <= 0)
			return r;
	}
	return VMB_EAGAIN;
}

/* ---- lib/channel/request.c ---- */
/* The table of requests in flight: what is not done once per request. See request.h. ring.md 7 */

static void vmbi_requests_carve(struct vmbi_carve *c, uint32_t size, struct vmbi_requests *r)
{
	uint32_t places = 1;

	while (places < size)
		places *= 2;
	r->size = size;
	r->mask = places - 1;
	r->slots = vmbi_carve(c, size, sizeof *r->slots);
	r->free = vmbi_carve(c, size ? places : 0, sizeof *r->free);
}

static void vmbi_requests_init(struct vmbi_requests *r)
{
	for (uint32_t i = 0; i < r->size; i++) {
		r->slots[i] = (struct vmbi_request){ .word = VMBI_REQUEST_FREE, .place = i };
		r->free[i] = (uint16_t)i;
	}
	r->out = 0;
	r->sent = 0;
	r->zombies = 0;
	r->buried = 0;
	r->in = r->size;
	r->seen = r->size;
}

static int vmbi_request_look(const struct vmbi_requests *r, uint64_t id, uint64_t *user, uint32_t *late)
{
	uint32_t live, word, slot = vmbi_request_find(r, id, &live);

	if (slot == r->size)
		return VMB_ENOENT;
	word = VMBI_LOAD32_ACQUIRE(&r->slots[slot].word);
	if (word != live && word != live - VMBI_REQUEST_LIVE + VMBI_REQUEST_ZOMBIE)
		return VMB_ENOENT;
	*user = r->slots[slot].user;
	*late = word == live ? 0 : VMB_PKT_LATE;
	return VMB_YES;
}

static int vmbi_request_cancel(struct vmbi_requests *r, uint64_t id, uint64_t *user)
{
	uint32_t live, slot = vmbi_request_find(r, id, &live);

	if (slot == r->size || !VMBI_SWAP32(&r->slots[slot].word, live, live - VMBI_REQUEST_LIVE + VMBI_REQUEST_ZOMBIE))
		return VMB_ENOENT;
	VMBI_STORE32_RELAXED(&r->zombies, r->zombies + 1);
	if (user)
		*user = r->slots[slot].user;
	return 0;
}

/* Where in the ring is this free slot? Always the hint, until slots have been freed. */
static uint32_t request_place(const struct vmbi_requests *r, uint32_t slot)
{
	uint32_t at = r->slots[slot].place;

	if (at - r->out < r->in - r->out && r->free[at & r->mask] == slot)
		return at;
	for (at = r->out; at != r->in && r->free[at & r->mask] != slot; at++)
		;
	return at;
}

static int vmbi_request_adopt(struct vmbi_requests *r, uint64_t id, uint64_t user)
{
	uint32_t live, slot = vmbi_request_find(r, id, &live), at, first;

	if (slot == r->size || VMBI_LOAD32_ACQUIRE(&r->slots[slot].word) & VMBI_REQUEST_STATE)
		return VMB_EINVAL;
	/* Out of the ring of free slots: the first of them takes its place there. */
	at = request_place(r, slot);
	first = r->free[r->out & r->mask];
	r->free[at & r->mask] = (uint16_t)first;
	r->slots[first].place = at;
	r->seen = VMBI_LOAD32_ACQUIRE(&r->in);
	VMBI_STORE32_RELAXED(&r->out, r->out + 1);
	r->slots[slot].user = user;
	VMBI_STORE32_RELEASE(&r->slots[slot].word, live);
	return 0;
}

static int vmbi_request_outstanding(const struct vmbi_requests *r, uint32_t *cursor, uint64_t *id, uint64_t *user, uint32_t *flags)
{
	for (uint32_t slot = *cursor; slot < r->size; slot++) {
		uint32_t word = VMBI_LOAD32_ACQUIRE(&r->slots[slot].word);

		if (!(word & VMBI_REQUEST_STATE))
			continue;
		*cursor = slot + 1;
		*id = ((uint64_t)(word >> 2) << 16 | slot) + 1;
		if (user)
			*user = r->slots[slot].user;
		if (flags)
			*flags = word & VMBI_REQUEST_ZOMBIE ? VMB_PKT_LATE : 0;
		return VMB_YES;
	}
	*cursor = r->size;
	return 0;
}

static void vmbi_requests_count(const struct vmbi_requests *r, uint32_t *requests, uint32_t *zombies)
{
	uint32_t buried = VMBI_LOAD32_RELAXED(&r->buried), in = VMBI_LOAD32_RELAXED(&r->in);
	uint32_t out = VMBI_LOAD32_RELAXED(&r->out), cancelled = VMBI_LOAD32_RELAXED(&r->zombies);

	*requests = r->size - (in - out);
	if (*requests > r->size) /* the four words are not of one moment */
		*requests = r->size;
	*zombies = cancelled - buried;
	if (*zombies > *requests)
		*zombies = *requests;
}

/* ---- the calls of a channel. They look at the table only, so they are the same in any state of it, also after its end. */

int vmb_channel_cancel(struct vmb_channel *ch, uint64_t id, uint64_t *user)
{
	VMBI_CHANNEL_CHECK(ch, 1);
	return vmbi_request_cancel(&ch->requests, id, user);
}

int vmb_channel_outstanding(const struct vmb_channel *ch, uint32_t *cursor, uint64_t *id, uint64_t *user, uint32_t *flags)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC || !cursor || !id)
		return VMB_EINVAL;
	return vmbi_request_outstanding(&ch->requests, cursor, id, user, flags);
}

int vmb_channel_adopt(struct vmb_channel *ch, uint64_t id, uint64_t user)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC)
		return VMB_EINVAL;
	return vmbi_request_adopt(&ch->requests, id, user);
}

/* ---- lib/channel/signals.c ---- */
/* The account of signals, both ways: see signals.h. ring.md 10.1, 10.5 */

static void vmbi_signals_init(struct vmbi_signals *s)
{
	s->line = VMBI_SIGNALS_FIRST;
	s->in.alarm = s->out.alarm = VMBI_SIGNALS_NEVER;
}

static uint32_t signals_alarm(uint32_t needless, uint32_t budget)
{
	return budget < VMBI_SIGNALS_NEVER ? needless + budget + 1 : needless + VMBI_SIGNALS_NEVER;
}

static void vmbi_signals_watch(struct vmbi_signals *s, uint64_t now, uint32_t budget)
{
	s->in.since = s->out.since = now;
	VMBI_STORE32_RELAXED(&s->in.alarm, signals_alarm(0, budget));
	VMBI_STORE32_RELAXED(&s->out.alarm, signals_alarm(0, budget));
}

static uint32_t vmbi_signals_needless(const struct vmbi_signals *s)
{
	uint32_t known = VMBI_LOAD32_RELAXED(&s->needless);
	uint32_t now = vmbi_signals_difference(s, VMBI_LOAD32_RELAXED(&s->arrived));

	return (int32_t)(now - known) > 0 ? now : known;
}

/* ---- budgets */

static int signals_is_over(struct vmbi_signals_budget *b, uint32_t needless, uint64_t now, uint64_t period, uint32_t budget)
{
	int over = 0;

	if (needless - b->base <= budget)
		return 0;
	if (!now || now - b->since < period) {
		over = 1;
		VMBI_STORE32_RELAXED(&b->over, b->over + 1);
	}
	b->since = now;
	b->base = needless;
	VMBI_STORE32_RELAXED(&b->alarm, signals_alarm(needless, budget));
	return over;
}

static uint32_t vmbi_signals_over(struct vmbi_signals *s, uint64_t now, uint64_t period, uint32_t budget)
{
	uint32_t over = 0;

	if (!VMBI_LOAD32_RELAXED(&s->look) || !VMBI_EXCHANGE32(&s->look, 0u))
		return 0;
	if (signals_is_over(&s->in, vmbi_signals_needless(s), now, period, budget))
		over |= VMB_OVER_IN;
	if (signals_is_over(&s->out, VMBI_LOAD32_RELAXED(&s->extra), now, period, budget))
		over |= VMB_OVER_OUT;
	return over;
}

/* ---- the calls */

int vmb_channel_signalled(struct vmb_channel *ch)
{
	VMBI_CHANNEL_CHECK(ch, 1);
	(void)vmbi_signals_arrive(&ch->signals);
	return 0;
}

int vmb_channel_signal(struct vmb_channel *ch)
{
	struct vmbi_signals *s;
	uint32_t rung;

	VMBI_CHANNEL_CHECK(ch, 1);
	s = &ch->signals;
	rung = VMBI_FETCH_ADD32(&s->rung, 1u) + 1;
	if ((int32_t)(rung - VMBI_LOAD32_RELAXED(&s->extra) - VMBI_LOAD32_RELAXED(&s->deferred)) > 0 &&
	    VMBI_FETCH_ADD32(&s->extra, 1u) + 1 == VMBI_LOAD32_RELAXED(&s->out.alarm))
		VMBI_STORE32_RELAXED(&s->look, 1u);
	if (ch->signal)
		ch->signal(ch->ctx);
	return 0;
}

/* ---- lib/channel/info.c ---- */
/* A channel seen from outside, by any thread, beside its owner: counters, control pages, and the log of ring pages written.
 * ring.md 12 */

static void channel_ring(const struct vmbi_ring *r, struct vmb_ring_info *info)
{
	struct vmb_ring_mem mem = { .control = r->control, .data = r->data, .data_pages = r->size / VMB_PAGE };

	if (!r->data)
		mem.pages = (void *const *)(void *)r->pages;
	(void)vmb_ring_inspect(&mem, info);
}

static void vmbi_channel_inspect(const struct vmb_channel *ch, struct vmb_ring_info info[2])
{
	channel_ring(&ch->tx.ring, &info[0]);
	channel_ring(&ch->rx.ring, &info[1]);
}

/* Why: what was received comes first, it is where nearly all violations are. */
static void channel_reason(const struct vmb_channel *ch, struct vmb_channel_info *info)
{
	const struct vmbi_stick *stick = &ch->rx.stick;

	info->reason = VMBI_LOAD32_ACQUIRE(&stick->reason);
	if (!info->reason) {
		stick = &ch->tx.stick;
		info->reason = VMBI_LOAD32_ACQUIRE(&stick->reason);
	}
	info->reason_at = info->reason ? VMBI_LOAD32_RELAXED(&stick->at) : 0;
}

static void channel_signals(const struct vmbi_signals *s, struct vmb_channel_info *info)
{
	info->signals_in = VMBI_LOAD32_RELAXED(&s->arrived);
	info->signals_in_needless = vmbi_signals_needless(s);
	info->signals_out_needless = VMBI_LOAD32_RELAXED(&s->extra);
	info->over_in = VMBI_LOAD32_RELAXED(&s->in.over);
	info->over_out = VMBI_LOAD32_RELAXED(&s->out.over);
	info->over = (info->over_in ? VMB_OVER_IN : 0) | (info->over_out ? VMB_OVER_OUT : 0);
}

int vmb_channel_info(const struct vmb_channel *ch, struct vmb_channel_info *out)
{
	struct vmb_channel_info info = { .size = sizeof info };
	struct vmb_ring_info rings[2];
	uint32_t state;

	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC || !out)
		return VMB_EINVAL;
	state = VMBI_LOAD32_ACQUIRE(&ch->state);
	if (state & (VMBI_CHANNEL_STOPPED | VMBI_CHANNEL_BROKEN))
		info.error = vmbi_channel_refusal(state & ~VMBI_CHANNEL_ENDED);
	if (state & VMBI_CHANNEL_ENDED) {
		info.tx = ch->last[0];
		info.rx = ch->last[1];
	} else {
		vmbi_channel_inspect(ch, rings);
		info.tx = rings[0];
		info.rx = rings[1];
	}
	channel_reason(ch, &info);
	vmbi_requests_count(&ch->requests, &info.requests, &info.zombies);
	info.sent = VMBI_READ64(&ch->tx.packets);
	info.received = VMBI_READ64(&ch->rx.packets);
	info.signals_data = VMBI_READ64(&ch->tx.signals);
	info.signals_room = VMBI_READ64(&ch->rx.signals);
	info.full = VMBI_READ64(&ch->tx.full);
	info.unmatched = VMBI_READ64(&ch->unmatched);
	info.masked = VMBI_READ64(&ch->tx.masked);
	info.bytes_sent = VMBI_READ64(&ch->tx.bytes);
	info.bytes_received = VMBI_READ64(&ch->rx.bytes);
	info.requests_sent = VMBI_READ64(&ch->requests.sent);
	info.cancelled = VMBI_LOAD32_RELAXED(&ch->requests.zombies);
	info.late = VMBI_LOAD32_RELAXED(&ch->requests.buried);
	channel_signals(&ch->signals, &info);
	return vmbi_struct_out(out, &info, sizeof info, offsetof(struct vmb_channel_info, bytes_sent));
}

int vmb_channel_dirty(struct vmb_channel *ch, uint64_t *bits, uint32_t words)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC || !bits)
		return VMB_EINVAL;
	if (!ch->dirty)
		return VMB_ESTATE;
	if (words < (ch->dirty_words + 1) / 2)
		return VMB_ETOOSMALL;
	for (uint32_t i = 0; i < ch->dirty_words; i++)
		if (VMBI_LOAD32_RELAXED(&ch->dirty[i])) /* most are clean: no write to a line of the device's thread */
			bits[i / 2] |= (uint64_t)VMBI_EXCHANGE32(&ch->dirty[i], 0u) << (i % 2 ? 32 : 0);
	return 0;
}

int vmb_channel_tx(struct vmb_channel *ch, struct vmb_tx **tx)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC || !tx)
		return VMB_EINVAL;
	*tx = &ch->tx;
	return 0;
}

int vmb_channel_rx(struct vmb_channel *ch, struct vmb_rx **rx)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC || !rx)
		return VMB_EINVAL;
	*rx = &ch->rx;
	return 0;
}

/* ---- lib/bus/trace.c ---- */
/* Messages as they are told to a watcher, from any bytes. control-plane.md 6 */

/* ---- lib/bus/trace.h ---- */
/*
 * What both ends need to be watched: how a message is told, and its fate. Each end has one function for each kind of change; they are in
 * guest_watch.c and host_watch.c, and where nobody looks one test is all that is left of them.
 */
#ifndef VMBI_TRACE_H
#define VMBI_TRACE_H


#define VMBI_FATES 16u
#define VMBI_SIGNAL_MS 1000u /* signal_ms, if the config says 0 */

_Static_assert(sizeof(struct vmb_trace) == 32, "frozen");
_Static_assert(VMB_FATE_LOST < VMBI_FATES && sizeof((struct vmb_bus_info *)0)->fate == VMBI_FATES * 8, "one counter per fate");

/* A message as it is told: type, bytes, channel id and GPADL id, as far as they lie in len. */
static struct vmb_trace vmbi_trace_message(uint32_t point, const uint8_t *msg, uint32_t len);
/* The fate of a message that vmb_message_check refuses at this version; 0: there is no connection. */
static uint32_t vmbi_fate_of(int error, uint32_t version);

#endif /* VMBI_TRACE_H */

/* Where a type has its channel id and its GPADL id; 0: it has none. */
struct trace_place {
	uint8_t channel, gpadl;
};

static const struct trace_place trace_places[VMBI_MSG_COUNT] = {
	[VMBI_MSG_OFFER_CHANNEL] = { VMBI_AT(OFFER_CHANNEL, channel_id), 0 },
	[VMBI_MSG_RESCIND_CHANNEL_OFFER] = { VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id), 0 },
	[VMBI_MSG_OPEN_CHANNEL] = { VMBI_AT(OPEN_CHANNEL, channel_id), VMBI_AT(OPEN_CHANNEL, ring_gpadl) },
	[VMBI_MSG_OPEN_CHANNEL_RESULT] = { VMBI_AT(OPEN_CHANNEL_RESULT, channel_id), 0 },
	[VMBI_MSG_CLOSE_CHANNEL] = { VMBI_AT(CLOSE_CHANNEL, channel_id), 0 },
	[VMBI_MSG_GPADL_HEADER] = { VMBI_AT(GPADL_HEADER, channel_id), VMBI_AT(GPADL_HEADER, gpadl_id) },
	[VMBI_MSG_GPADL_BODY] = { 0, VMBI_AT(GPADL_BODY, gpadl_id) },
	[VMBI_MSG_GPADL_CREATED] = { VMBI_AT(GPADL_CREATED, channel_id), VMBI_AT(GPADL_CREATED, gpadl_id) },
	[VMBI_MSG_GPADL_TEARDOWN] = { VMBI_AT(GPADL_TEARDOWN, channel_id), VMBI_AT(GPADL_TEARDOWN, gpadl_id) },
	[VMBI_MSG_GPADL_TORNDOWN] = { 0, VMBI_AT(GPADL_TORNDOWN, gpadl_id) },
	[VMBI_MSG_REL_ID_RELEASED] = { VMBI_AT(REL_ID_RELEASED, channel_id), 0 },
	[VMBI_MSG_OPEN_RESERVED_CHANNEL] = { VMBI_AT(OPEN_RESERVED_CHANNEL, channel_id), VMBI_AT(OPEN_RESERVED_CHANNEL, ring_gpadl) },
	[VMBI_MSG_CLOSE_RESERVED_CHANNEL] = { VMBI_AT(CLOSE_RESERVED_CHANNEL, channel_id), 0 },
	[VMBI_MSG_CLOSE_RESERVED_RESPONSE] = { VMBI_AT(CLOSE_RESERVED_RESPONSE, channel_id), 0 },
	[VMBI_MSG_MODIFY_CHANNEL] = { VMBI_AT(MODIFY_CHANNEL, channel_id), 0 },
	[VMBI_MSG_MODIFY_CHANNEL_RESPONSE] = { VMBI_AT(MODIFY_CHANNEL_RESPONSE, channel_id), 0 },
};

static uint32_t trace_word(const uint8_t *msg, uint32_t len, uint32_t at)
{
	return at && at + 4 <= len ? vmbi_get32(msg + at) : 0;
}

static struct vmb_trace vmbi_trace_message(uint32_t point, const uint8_t *msg, uint32_t len)
{
	struct vmb_trace t = { .point = point, .a = len >= 4 ? vmbi_get32(msg) : 0, .b = len };

	if (t.a < VMBI_MSG_COUNT) {
		t.channel = trace_word(msg, len, trace_places[t.a].channel);
		t.gpadl = trace_word(msg, len, trace_places[t.a].gpadl);
	}
	return t;
}

static uint32_t vmbi_fate_of(int error, uint32_t version)
{
	if (error == VMB_EVERSION)
		return version ? VMB_FATE_VERSION : VMB_FATE_STATE;
	return error == VMB_EINVAL ? VMB_FATE_DIRECTION : VMB_FATE_MALFORMED;
}

/* ---- lib/bus/host_watch.c ---- */
/* The host end as others see it: what it tells a watcher, the budgets of signals, and the snapshot. */

/* ---- lib/bus/host.h ---- */
/*
 * The host end: its state, and what its files do for one another. control-plane.md 17, gpadl.md 5.
 *
 *   host.c          storage, init, end, info; entering and leaving a [control] call
 *   host_post.c     the guest's messages: admission and dispatch
 *   host_contact.c  contact, unload, reset, pause: the connection and its one pending action
 *   host_offer.c    slots, handles, ids, offers
 *   host_remove.c   rescind, release, and when a handle is gone
 *   host_open.c     OPEN, CLOSE, MODIFY; the questions to the device
 *   host_serve.c    attach, detach, answer: the channel object
 *   host_ring.c     mapping guest pages: single ones, and those of a ring pair
 *   host_gpadl.c    GPADL messages and holds
 *   host_queue.c    messages on their way to the guest
 *   host_signal.c   [any]: signals both ways, and waiting for those inside a gate
 *   host_ports.c    connection ids that a guest chose itself: the way from an id to a channel
 *   host_monitor.c  monitor pages, monitor ids, MODIFY_CONNECTION
 *   host_reserved.c reserved channels
 *   host_hvsock.c   connects of the guest, and the time that it has to open what they lead to
 *   host_event.c    events on their way to the embedder
 *   host_save.c, host_restore.c   the end as bytes, and back
 *   host_watch.c    what a watcher is told, the budgets of signals, the snapshot
 *
 * A slot is one offer, from vmb_host_offer to its EV_GONE, and has two states that move by themselves: `state`, what the guest
 * knows of it (control-plane.md 17.2), and `dev`, what the device has of it. The guest's side never waits for the device but in
 * three places: CLOSING (a new OPEN is queued), REVOKED before its RESCIND, and the connection's LEAVING.
 *
 * A device that was removed and is offered again while the guest still knows the old id (control-plane.md 12.3, Reoffered) gets
 * a slot and a handle of its own: the heir. The embedder sees two handles with two lives. The old one ends with its own
 * EV_CLOSED and EV_GONE, as if nothing had come after it. The heir's first EV_OPEN cannot come before the guest has let go of
 * the old id and seen the new offer, which has the same id. EV_GONE also waits for the answer to an EV_OPEN that was given out,
 * so that after it nothing of the handle is left anywhere.
 */
#ifndef VMBI_HOST_H
#define VMBI_HOST_H


/* ---- lib/bus/bus.h ---- */
/* What the two control-plane state machines share: the guard of [control] calls, handles, and lists of numbered objects. */
#ifndef VMBI_BUS_H
#define VMBI_BUS_H


/* ---- lib/bus/gate.h ---- */
/*
 * The gate of a channel: what keeps wake and interrupt away from a channel that is being closed or retargeted. One word between threads:
 * CLOSED, WATCH, and the number of users inside. Signallers on any CPU enter and leave; control closes or watches and, while somebody is
 * inside, waits for the poke of the last one out. All accesses are read-modify-writes, so they have one order.
 */
#ifndef VMBI_GATE_H
#define VMBI_GATE_H


#define VMBI_GATE_CLOSED 1u
#define VMBI_GATE_WATCH 2u
#define VMBI_GATE_USER 4u

struct vmbi_gate {
	uint32_t word;
};

/* [any] Not worth entering? Whoever asks this first can get in the way of a closing gate once, not for ever. */
static inline int vmbi_gate_is_closed(struct vmbi_gate *g)
{
	return (VMBI_LOAD32_RELAXED(&g->word) & VMBI_GATE_CLOSED) != 0;
}

/* [any] 1: inside, the channel stays until leave. 0: closed; leave must be called all the same. */
static inline int vmbi_gate_enter(struct vmbi_gate *g)
{
	return !(VMBI_FETCH_ADD32(&g->word, VMBI_GATE_USER) & VMBI_GATE_CLOSED);
}

/* [any] 1: control waits for this moment: poke. The gate's memory outlives every leave. */
static inline int vmbi_gate_leave(struct vmbi_gate *g)
{
	uint32_t word = VMBI_FETCH_SUB32(&g->word, VMBI_GATE_USER) - VMBI_GATE_USER;

	return word < VMBI_GATE_USER && word & VMBI_GATE_WATCH;
}

/* [control] Let nobody in. 1: nobody is inside. 0: a poke will come; then ask vmbi_gate_empty. */
static inline int vmbi_gate_close(struct vmbi_gate *g)
{
	return VMBI_FETCH_OR32(&g->word, VMBI_GATE_CLOSED | VMBI_GATE_WATCH) < VMBI_GATE_USER;
}

/* [control] Call after a change that those inside may not have seen. 1: all have. 0: as above. */
static inline int vmbi_gate_watch(struct vmbi_gate *g)
{
	return VMBI_FETCH_OR32(&g->word, VMBI_GATE_WATCH) < VMBI_GATE_USER;
}

/* [control] Is nobody inside? */
static inline int vmbi_gate_empty(struct vmbi_gate *g)
{
	return VMBI_LOAD32_ACQUIRE(&g->word) < VMBI_GATE_USER;
}

/* [control] After a watch has come to its end. */
static inline void vmbi_gate_unwatch(struct vmbi_gate *g)
{
	VMBI_FETCH_AND32(&g->word, ~VMBI_GATE_WATCH);
}

/* [control] Let signallers in again; those that are passing through a closed gate keep their count. */
static inline void vmbi_gate_open(struct vmbi_gate *g)
{
	VMBI_FETCH_AND32(&g->word, ~(VMBI_GATE_CLOSED | VMBI_GATE_WATCH));
}

/* [control] How a gate begins. */
static inline void vmbi_gate_init(struct vmbi_gate *g)
{
	VMBI_STORE32_RELAXED(&g->word, VMBI_GATE_CLOSED);
}

#endif /* VMBI_GATE_H */

/* ---- one [control] caller at a time */

struct vmbi_guard {
	uint32_t busy;
	uint32_t reserved;
};

/* 0: inside, leave later. VMB_EREENTRY: somebody is, perhaps this very call chain. */
static inline int vmbi_guard_enter(struct vmbi_guard *g)
{
	return VMBI_EXCHANGE32(&g->busy, 1u) ? VMB_EREENTRY : 0;
}

static inline void vmbi_guard_leave(struct vmbi_guard *g)
{
	VMBI_STORE32_RELEASE(&g->busy, 0u);
}

/* ---- handles: generation << 11 | slot, where slots count from 1; a generation is never repeated while the end lives: a slot that has
 * used up its 2^21 - 1 generations is not used again */

#define VMBI_SLOT_BITS 11u
#define VMBI_SLOT_MASK ((1u << VMBI_SLOT_BITS) - 1u)
#define VMBI_GENERATION_MAX ((1u << (32u - VMBI_SLOT_BITS)) - 1u)

static inline vmb_handle vmbi_handle(uint32_t slot, uint32_t generation)
{
	return generation << VMBI_SLOT_BITS | slot;
}

static inline uint32_t vmbi_handle_slot(vmb_handle h)
{
	return h & VMBI_SLOT_MASK;
}

static inline uint32_t vmbi_handle_generation(vmb_handle h)
{
	return h >> VMBI_SLOT_BITS;
}

/* ---- lists of numbered objects (1...n; 0 is none), the links in an array of the user's: append, remove and pop in constant time */

struct vmbi_link {
	uint32_t next, prev; /* of a member */
	uint32_t in;         /* 1: is in its list */
	uint32_t reserved;
};

struct vmbi_fifo {
	uint32_t head, tail;
	uint32_t count, most; /* members, and how many there were at most */
};

static inline void vmbi_fifo_append(struct vmbi_fifo *f, struct vmbi_link *links, uint32_t n)
{
	if (links[n].in)
		return;
	links[n] = (struct vmbi_link){ 0, f->tail, 1, 0 };
	if (f->tail)
		links[f->tail].next = n;
	else
		f->head = n;
	f->tail = n;
	if (++f->count > f->most)
		f->most = f->count;
}

static inline void vmbi_fifo_remove(struct vmbi_fifo *f, struct vmbi_link *links, uint32_t n)
{
	struct vmbi_link *l = &links[n];

	if (!l->in)
		return;
	if (l->prev)
		links[l->prev].next = l->next;
	else
		f->head = l->next;
	if (l->next)
		links[l->next].prev = l->prev;
	else
		f->tail = l->prev;
	f->count--;
	*l = (struct vmbi_link){ 0, 0, 0, 0 };
}

/* Call poke where there is one. A macro: the two configs are different types. */
#define VMBI_POKE(cfg) ((cfg)->poke ? (cfg)->poke((cfg)->ctx) : (void)0)

#endif /* VMBI_BUS_H */

#define VMBI_HOST_IDS 2048u        /* indexed by channel id: 1...2047 (control-plane.md 21, 27) */
#define VMBI_HOST_KNOWN 0x10000u   /* in the route: the guest knows the id; without it the id is only claimed */
#define VMBI_HOST_MAP_CHUNK 32u
#define VMBI_HOST_HOLDS_MAX 0xffffu /* of one GPADL */
#define VMBI_HOST_MONITORS 128u

/* vmbi_hc.state: what the guest knows. */
#define VMBI_HC_FREE 0u
#define VMBI_HC_UNOFFERED 1u /* nothing: not offered yet, or released. ClientReleased, and with dev both *ClientRelease states */
#define VMBI_HC_CLOSED 2u
#define VMBI_HC_OPENING 3u
#define VMBI_HC_OPEN 4u
#define VMBI_HC_CLOSING 5u
#define VMBI_HC_REOPEN 6u
#define VMBI_HC_REVOKED 7u   /* removed; RESCIND sent if `rescinded`. With an heir: Reoffered */

/* vmbi_hc.dev: what the device has. */
#define VMBI_DEV_NONE 0u
#define VMBI_DEV_ASKING 1u   /* EV_OPEN is queued */
#define VMBI_DEV_ASKED 2u    /* EV_OPEN was given out */
#define VMBI_DEV_STALE 3u    /* the same, and has lost its sense */
#define VMBI_DEV_ATTACHED 4u
#define VMBI_DEV_REMOTE 5u   /* answered with 0: somebody else serves the rings */
#define VMBI_DEV_DRAINING 6u /* given back; signallers are still inside the gate */

/* vmbi_hc.events, in the order in which they are given out. */
#define VMBI_HE_CLOSE 1u
#define VMBI_HE_CLOSED 2u
#define VMBI_HE_OPEN 4u
#define VMBI_HE_GONE 8u

/* vmb_host.action: what is done when all devices have let go. control-plane.md 11 */
#define VMBI_ACTION_NONE 0u
#define VMBI_ACTION_UNLOAD 1u
#define VMBI_ACTION_CONTACT 2u
#define VMBI_ACTION_RESET 3u

struct vmbi_host_open {
	uint32_t open_id;
	uint32_t ring_ref, ring_id; /* GPADL: in the store, on the wire */
	uint32_t ring_pages, rx_pages;
	uint32_t target_vp;
	uint32_t connection, flag; /* the guest's signals, and its event flag */
	uint32_t flags;            /* VMB_OPEN_* */
	uint32_t version, offer_flags; /* in force when it was opened */
	uint32_t result_vp, result_sint; /* reserved: where answers go */
	uint8_t user_data[120];
};

struct vmbi_hc {
	/* what [any] calls read: written while the gates are closed, but for target */
	struct vmbi_gate gate; /* the guest's signals: into wake */
	struct vmbi_gate out;  /* the device's signals: into interrupt. Never closed: who gave the channel back does not signal */
	uint32_t target;      /* VP, between threads */
	uint32_t flag;        /* event flag; below 2.4 the bit of the interrupt page */
	uint32_t legacy;      /* 1: below 2.4 */
	uint32_t redirect;    /* 1: to SINT 7 of VTL 2 */
	uint32_t connection;  /* connection id of the guest's signals, while it has one of its own choice; else 0. Between threads */
	uint32_t reserved;
	uint64_t user;
	struct vmb_host *host;

	/* control's own, on lines of its own */
	uint32_t state __attribute__((aligned(64)));
	uint32_t dev;
	uint32_t slot, generation;
	uint32_t id;          /* channel id; 0: none. UNOFFERED: inherited, for when it is offered */
	uint32_t events;      /* VMBI_HE_* not given out yet */
	uint32_t removed;     /* vmb_host_remove was called */
	uint32_t rescinded;   /* RESCIND is queued or sent */
	uint32_t gone;        /* EV_GONE is queued */
	uint32_t modifying;   /* a MODIFY_CHANNEL_RESPONSE waits for the gate */
	uint32_t kept;        /* open as a reserved channel: outlives the connection */
	uint32_t renewing;    /* it will be offered again, when the guest and the device have let go */
	uint32_t monitor;     /* monitor id + 1; 0: none */
	uint32_t triggered;   /* its monitor id leads to it */
	uint32_t poisoned;    /* this open saw a ring violation */
	uint32_t mapped;      /* the rings are mapped by us */
	uint32_t wire;        /* the message that its node in the outgoing queue stands for */
	uint32_t holds;       /* GPADLs of its that are held */
	uint32_t heir, heir_of;
	uint32_t primary;     /* of a subchannel */
	uint32_t first_sub, next_sub, prev_sub;
	uint32_t live_subs;   /* of a primary: subchannels that the guest knows and that are not rescinded */
	uint32_t counted;     /* of a subchannel: is in its primary's live_subs */
	uint32_t next_free;   /* of a free slot */
	uint32_t next_device; /* with the same hash of class and instance */
	uint64_t token;       /* of the question that was given out; 0: none */
	uint64_t offered_in;  /* number of the connection that was told of it */
	uint64_t deadline;    /* an hvsock channel must be opened by then; 0: not in `unopened` */
	int32_t gone_status;
	uint32_t opens, refused, closes, lost; /* as in vmb_part */
	uint32_t shown_state, shown_has; /* what a watcher was told last */
	uint32_t saved;       /* while a blob is loaded: VMBI_HS_*, the flags from bit 8 up; else 0 */
	uint32_t restored;    /* the next question is asked again after a restore */
	uint32_t unclaimed;   /* saved, and no device of this host: no handle, no events */
	struct vmb_channel *channel;
	struct vmb_cursor tx_at, rx_at; /* where a detached one stood */
	struct vmbi_host_open open, reopen;

	/* the offer */
	struct vmb_guid class_id, instance;
	uint32_t offer_flags;
	uint32_t subchannel, mmio_mb, mmio_optional_mb, order, wanted;
	uint32_t max_gpadls, max_gpadl_pages;
	uint8_t user_defined[120];
};

struct vmbi_host_reply { /* one message in full, without its 8 bytes of header */
	uint32_t type, len;
	uint8_t body[12];
};

/* vmbi_host_connect.state */
#define VMBI_CONNECT_FREE 0u
#define VMBI_CONNECT_ASKING 1u /* EV_HVSOCK is queued */
#define VMBI_CONNECT_ASKED 2u  /* it was given out */
#define VMBI_CONNECT_STALE 3u  /* the same, and has lost its sense */
#define VMBI_CONNECT_RESULT 4u /* TL_CONNECT_RESULT is queued */

struct vmbi_host_connect { /* one TL_CONNECT_REQUEST */
	uint32_t state, next, status, silo; /* silo: the request had one */
	uint64_t token;
	uint8_t guids[48];      /* endpoint, service, silo: as in the request */
};

struct vmbi_host_gpadl { /* beside the store, by reference */
	uint64_t token;
	uint32_t slot;
	uint32_t holds;
	uint32_t quiet; /* its tear-down is not answered: the guest has released the channel or left */
	uint32_t asked; /* EV_GPADL_DOWN is queued or was given out */
	uint32_t restored; /* its holds are those of a device before a restore: the next hold takes them over */
	uint32_t reserved;
};

struct vmbi_host_request { /* an INITIATE_CONTACT that is to be answered */
	uint32_t version, connection, vp;
	uint32_t features;  /* asked for */
	uint32_t trusted;
	uint32_t bad_pages; /* monitor pages that cannot be: one of two, misaligned, or the same twice */
	uint64_t page;      /* interrupt page, or 0 */
	uint64_t monitor[2];
	struct vmb_guid client_id;
};

struct vmbi_host_monitor { /* the monitor pages of the connection */
	struct vmbi_gate gate;
	uint32_t mapped;    /* the guest's page is */
	uint32_t swapping;  /* MODIFY_CONNECTION waits for the gate */
	uint32_t users;     /* channels whose trigger leads to them */
	uint8_t *page;      /* guest-to-host; NULL: none. Changed while the gate is closed and empty */
	uint64_t gpa[2], wanted[2];
	uint32_t taken[VMBI_HOST_MONITORS / 32];
	uint32_t route[VMBI_HOST_MONITORS]; /* monitor id -> slot. Between threads */
};

struct vmb_host {
	/* [any] */
	struct vmbi_gate page_gate;
	uint32_t poked;      /* somebody was the last one out of a gate that is watched */
	uint32_t stray;
	uint32_t alarm;      /* some channel's signals are to be looked at */
	uint8_t *page;       /* the interrupt page, while mapped */
	uint32_t *route;     /* channel id -> slot | VMBI_HOST_KNOWN */
	uint32_t *ports;     /* hash table of slots with a connection id of their own; between threads */
	uint32_t port_mask;
	uint32_t device_mask;
	uint32_t *devices;   /* control's: hash table of slots by class and instance: vmbi_hc.next_device */
	uint32_t *sorted;    /* control's: slots of the offers in their order */
	struct vmbi_host_monitor monitor;
	struct vmbi_hc *ch;  /* [0] is not used */
	struct vmb_host_config cfg;

	struct vmbi_guard guard __attribute__((aligned(64)));
	uint32_t slots, gpadls, replies; /* how many there are */
	uint32_t state;      /* VMB_BUS_* */
	uint32_t action;
	uint32_t version, features, message_vp;
	uint32_t poke;       /* an event was queued by this call */
	uint32_t reset_done; /* EV_RESET is due */
	uint32_t offers, serving, attached;
	uint32_t blocked, blocked_vp; /* the head of the queue: VMBI_BLOCKED_* */
	uint32_t queued;
	uint32_t free_slot, free_reply, free_connect;
	uint32_t connects;   /* records of connects: some more than may wait, for refusals on their way */
	uint32_t lowest_id;  /* all ids from the first one up to here are taken */
	uint32_t sorted_used; /* offers in `sorted` */
	uint32_t page_mapped;
	uint64_t page_gpa;
	uint64_t tokens;
	uint64_t connections; /* how many there were */
	uint64_t connection, told; /* number of the one that is, and of the one that the embedder knows of; 0: none */
	uint64_t messages_in, messages_out, dropped, refused_quota, post_retries, late_answers;
	uint64_t fates[VMBI_FATES], post_failed, over_budget;
	uint64_t now;        /* of the last poll */
	uint32_t fate;       /* of the message at hand */
	uint32_t reserved;
	uint32_t trusted;    /* the connection is */
	uint32_t restored;   /* the next EV_CONNECTED tells of a restored connection */
	uint32_t paused;
	uint32_t pause_node; /* the queued PAUSE_RESPONSE: what stands behind it waits */
	uint32_t kept;       /* reserved channels that are open */
	uint32_t limit_version, limit_features; /* by vmb_host_limit */
	struct vmb_guid client_id;
	struct vmbi_host_request request;

	uint32_t connection_len, connection_vp; /* the message of the connection node */
	uint8_t connection_msg[40];

	struct vmbi_fifo out, events, waiting;
	struct vmbi_fifo fresh, unopened; /* hvsock channels that the guest has not opened: since the last poll, and before. hc.timed */
	struct vmbi_link *out_links;   /* slots, connection, replies */
	struct vmbi_link *event_links; /* slots, GPADLs, connection */
	struct vmbi_link *wait_links;  /* slots */
	struct vmbi_link *timed_links; /* slots */
	struct vmbi_host_reply *reply;
	struct vmbi_host_connect *connect;
	struct vmbi_host_gpadl *gpadl;
	struct vmbi_gpadl_store *store;
};

#define VMBI_BLOCKED_SLOT 1u  /* occupied: vmb_host_eom will follow */
#define VMBI_BLOCKED_ERROR 2u /* the callback failed: the next poll tries again */

/* ---- host.c */

/* Is this a port that this end takes messages from? control-plane.md 1.1 */
static int vmbi_host_is_port(const struct vmb_host *h, uint32_t connection);
/* Begin a [control] call: 0, VMB_EINVAL for NULL, VMB_EREENTRY. */
static int vmbi_host_enter(struct vmb_host *h);
/* End it: what has become due is done, then the callbacks are called. */
static void vmbi_host_leave(struct vmb_host *h);
/* The slot of a handle, or NULL. */
static struct vmbi_hc *vmbi_host_find(struct vmb_host *h, vmb_handle ch);
/* The slot of a channel id that came from the guest, or NULL: known means that this connection was told of it, named that it is some
 * connection's, now or, of a reserved channel, earlier. */
static struct vmbi_hc *vmbi_host_known(struct vmb_host *h, uint32_t id);
static struct vmbi_hc *vmbi_host_named(struct vmb_host *h, uint32_t id);

/* ---- host_watch.c: told only where there is a watcher; so these are asked for by the functions below */

static void vmbi_host_trace_connection(struct vmb_host *h, uint32_t before);
static void vmbi_host_trace_message(struct vmb_host *h, uint32_t point, const uint8_t *msg, uint32_t len, uint32_t fate, uint32_t said);
static void vmbi_host_trace_channel(struct vmb_host *h, struct vmbi_hc *c);
static void vmbi_host_trace_device(struct vmb_host *h, const struct vmbi_hc *c, uint32_t before);
static void vmbi_host_trace_gpadl(struct vmb_host *h, uint32_t slot, uint32_t id, uint32_t before, uint32_t now, uint32_t words, uint32_t ranges);
/* [any] The signals of some channel are to be looked at. */
static void vmbi_host_alarm(struct vmb_host *h);
/* Look at them, if that is so. */
static void vmbi_host_watch_signals(struct vmb_host *h, uint64_t now);

/* The connection's state changes. */
static inline void vmbi_host_become(struct vmb_host *h, uint32_t state)
{
	uint32_t before = h->state;

	h->state = state;
	if (h->cfg.trace)
		vmbi_host_trace_connection(h, before);
}

/* What the outside may see of a channel has changed. */
static inline void vmbi_hc_changed(struct vmb_host *h, struct vmbi_hc *c)
{
	if (h->cfg.trace)
		vmbi_host_trace_channel(h, c);
}

static inline void vmbi_hc_become(struct vmb_host *h, struct vmbi_hc *c, uint32_t state)
{
	c->state = state;
	vmbi_hc_changed(h, c);
}

static inline void vmbi_hc_device(struct vmb_host *h, struct vmbi_hc *c, uint32_t dev)
{
	uint32_t before = c->dev;

	c->dev = dev;
	if (h->cfg.trace)
		vmbi_host_trace_device(h, c, before);
}

/* The message at hand is dropped, and why. */
static inline void vmbi_host_drop(struct vmb_host *h, uint32_t fate)
{
	h->dropped++;
	h->fate = fate;
}

static inline int vmbi_hc_is_served(const struct vmbi_hc *c)
{
	return c->dev >= VMBI_DEV_ATTACHED;
}

/* May interrupts or messages go to this VP? */
static inline int vmbi_host_vp_ok(const struct vmb_host *h, uint32_t vp)
{
	return vp != VMB_VP_NONE && (!h->cfg.vps || vp < h->cfg.vps);
}

/* The first connection id of channels: that of channel id 0, which none has. control-plane.md 1.1 */
static inline uint32_t vmbi_host_event_base(const struct vmb_host *h)
{
	return VMBI_SINT << 12 | h->cfg.vtl << 16;
}

/* The connection id that a channel is offered with. */
static inline uint32_t vmbi_host_connection(const struct vmb_host *h, const struct vmbi_hc *c)
{
	return vmbi_host_event_base(h) | c->id;
}

/* Has the guest of this connection been told of the channel? */
static inline int vmbi_hc_is_told(const struct vmb_host *h, const struct vmbi_hc *c)
{
	return h->state == VMB_BUS_RUNNING && c->offered_in == h->connection;
}

/* Removed while it was open for an owner of old: it ends when the device has let go, and no guest hears of that. */
static inline int vmbi_host_is_left(const struct vmb_host *h, const struct vmbi_hc *c)
{
	return c->state == VMBI_HC_REVOKED && !vmbi_hc_is_told(h, c);
}

/* ---- host_contact.c */

static void vmbi_host_contact(struct vmb_host *h, const uint8_t *msg, uint32_t connection, uint32_t trusted);
static void vmbi_host_unload(struct vmb_host *h);
static void vmbi_host_pause(struct vmb_host *h);
static void vmbi_host_resume(struct vmb_host *h);
/* Finish the pending action if nothing stands in its way any more. */
static void vmbi_host_settle(struct vmb_host *h);
/* May a connection have this version; what it gets of the features that it asks for. One answer for contact and restore. */
static int vmbi_host_speaks(const struct vmb_host *h, uint32_t version);
static uint32_t vmbi_host_grant(const struct vmb_host *h, uint32_t asked, uint32_t trusted);
/* Take the interrupt page in use, should there be one (gpa 0: none): 0, or VMB_EMAP. */
static int vmbi_host_use_page(struct vmb_host *h, uint64_t gpa);
/* Give the interrupt page back, if there is one. */
static void vmbi_host_unuse_page(struct vmb_host *h);

/* ---- host_offer.c */

static void vmbi_host_request_offers(struct vmb_host *h);
/* Offer it, should there be a guest that may hear of it now, and its subchannels. */
static void vmbi_host_offer_now(struct vmb_host *h, struct vmbi_hc *c);
/* May the guest hear of it now, who does not know it? */
static int vmbi_host_may_offer(struct vmb_host *h, const struct vmbi_hc *c);
/* The slot of a saved channel: the device that is offered now, or, if spare, a free slot for one that is not. NULL: there is none, or *error. */
static struct vmbi_hc *vmbi_host_claim(struct vmb_host *h, const struct vmb_guid *class_id, const struct vmb_guid *instance, uint32_t subchannel,
				int spare, int *error);
/* The guest knows it by this id: 0, or VMB_EINVAL: it is another one's. */
static int vmbi_host_claim_id(struct vmb_host *h, struct vmbi_hc *c, uint32_t id);
/* Out of the order of offers: it will be offered no more. */
static void vmbi_host_unsort(struct vmb_host *h, const struct vmbi_hc *c);
/* The id is no longer the guest's: it is the heir's, or stays claimed for a device that asked for it, or is free. */
static void vmbi_host_drop_id(struct vmb_host *h, struct vmbi_hc *c);
/* A removed device claims no id beyond the one that the guest knows. */
static void vmbi_host_unclaim(struct vmb_host *h, const struct vmbi_hc *c);
/* After EV_GONE was given out. */
static void vmbi_host_free(struct vmb_host *h, struct vmbi_hc *c);

/* ---- host_remove.c */

static void vmbi_host_released(struct vmb_host *h, struct vmbi_hc *c); /* REL_ID_RELEASED */
/* As vmb_host_remove. */
static void vmbi_host_remove(struct vmb_host *h, struct vmbi_hc *c);
/* The guest knows this channel no more: what it had open ends, its GPADLs leave, without a message. */
static void vmbi_host_forget(struct vmb_host *h, struct vmbi_hc *c);
/* By the device's policy: rescind it, and offer it again when the guest has let go. */
static void vmbi_host_renew(struct vmb_host *h, struct vmbi_hc *c);
/* Its device cannot go on with what a guest had open before a restore: rescind it and its subchannels, and offer them again. */
static void vmbi_host_revoke(struct vmb_host *h, struct vmbi_hc *c);
/* A subchannel that the guest knows and that is not rescinded is in its primary's way. */
static void vmbi_host_count(struct vmb_host *h, struct vmbi_hc *c);
/* Something that a removed channel waited for has happened: rescind it, or end its handle, if that was the last. */
static void vmbi_host_removed_step(struct vmb_host *h, struct vmbi_hc *c);
/* Neither guest nor device have anything of it. */
static int vmbi_host_is_drained(struct vmb_host *h, const struct vmbi_hc *c);

/* ---- host_open.c */

static void vmbi_host_open_message(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg);
static void vmbi_host_close_message(struct vmb_host *h, struct vmbi_hc *c);
/* May this message act now? Else it is dropped: a removed channel in silence, another one counted. control-plane.md 17.2 */
static int vmbi_host_may(struct vmb_host *h, const struct vmbi_hc *c, int in_place);
/* The guest closes what it has open. */
static void vmbi_host_begin_close(struct vmb_host *h, struct vmbi_hc *c);
/* The guest closed it, and the device has let go. */
static void vmbi_host_closed(struct vmb_host *h, struct vmbi_hc *c);
/* The ring of an OPEN that names it, of *o's ring_id and rx_pages: 1 and the rest of *o, or 0. */
static int vmbi_host_open_ring(struct vmb_host *h, const struct vmbi_hc *c, struct vmbi_host_open *o);
/* The same of one that has been opened: its list may be on its way out. */
static int vmbi_host_find_ring(struct vmb_host *h, const struct vmbi_hc *c, struct vmbi_host_open *o);
static void vmbi_host_modify_message(struct vmb_host *h, const uint8_t *msg);
/* The guest's OPEN takes its course; its ring is in use already. */
static void vmbi_host_begin_open(struct vmb_host *h, struct vmbi_hc *c, const struct vmbi_host_open *o);
/* Put the question EV_OPEN, now or when the device has answered the last one. */
static void vmbi_host_ask_open(struct vmb_host *h, struct vmbi_hc *c);
/* End what the guest had in `state`; the caller has set the new one. */
static void vmbi_host_end_open(struct vmb_host *h, struct vmbi_hc *c, uint32_t state);
/* A response that waits for the gate gets this status, where the version has responses. */
static void vmbi_host_modified(struct vmb_host *h, struct vmbi_hc *c, uint32_t status);
/* OPEN_CHANNEL_RESULT. */
static void vmbi_host_open_result(struct vmb_host *h, const struct vmbi_hc *c, const struct vmbi_host_open *o, uint32_t status);

/* ---- host_serve.c */

/* Go on with what waits for the gates of a channel, if nobody is inside any more; else wait. */
static void vmbi_host_gate_step(struct vmb_host *h, struct vmbi_hc *c);

/* ---- host_ring.c */

/* One guest page that stays mapped: 0 or VMB_EMAP; and back. */
static int vmbi_host_map_page(struct vmb_host *h, uint64_t gpa, void **page);
static void vmbi_host_unmap_page(struct vmb_host *h, uint64_t gpa, void *page);
/* Map the rings of c->open into the page tables of a channel that is to be made in mem, and describe them in cfg. 0 or
 * VMB_EMAP. */
static int vmbi_host_map_rings(struct vmb_host *h, struct vmbi_hc *c, void *mem, struct vmb_channel_config *cfg);
static void vmbi_host_unmap_rings(struct vmb_host *h, struct vmbi_hc *c, const struct vmb_ring_mem *tx, const struct vmb_ring_mem *rx);

/* ---- host_gpadl.c */

static void vmbi_host_gpadl_header(struct vmb_host *h, const uint8_t *msg, uint32_t len);
static void vmbi_host_gpadl_body(struct vmb_host *h, const uint8_t *msg, uint32_t len);
static void vmbi_host_gpadl_teardown(struct vmb_host *h, const uint8_t *msg);
/* An open ends: its ring is no longer used. */
static void vmbi_host_gpadl_unuse(struct vmb_host *h, uint32_t ref);
/* Ask for everything that is held of this channel. */
static void vmbi_host_gpadl_ask(struct vmb_host *h, const struct vmbi_hc *c);
/* Those of which bodies are missing are forgotten. */
static void vmbi_host_gpadl_purge(struct vmb_host *h, const struct vmbi_hc *c);
/* The guest gave up the channel: all its lists leave, unanswered. */
static void vmbi_host_gpadl_drop(struct vmb_host *h, const struct vmbi_hc *c);
/* Lists that were saved with this channel, whose opens use theirs already: held ones are held again, and asked for if they are on their way out
 * or if `ask`; others on their way out that nobody uses go. */
static void vmbi_host_gpadl_restored(struct vmb_host *h, struct vmbi_hc *c, int ask);
/* The answer to EV_GPADL_DOWN: 0 or VMB_ENOENT. */
static int vmbi_host_gpadl_answer(struct vmb_host *h, struct vmbi_hc *c, const struct vmb_event *question);

/* ---- host_queue.c */

static void vmbi_hq_init(struct vmb_host *h);
/* What this guest may know of an offer's flags. */
static uint32_t vmbi_host_offer_flags(const struct vmb_host *h, uint32_t flags);
/* One message more than max_messages is not taken from the guest. */
static int vmbi_hq_full(const struct vmb_host *h);
/* A message of up to three words. There is always room: see there. */
static void vmbi_hq_reply(struct vmb_host *h, uint32_t type, uint32_t a, uint32_t b, uint32_t c);
/* PAUSE_RESPONSE: the last message for now. */
static void vmbi_hq_pause(struct vmb_host *h);
/* TL_CONNECT_RESULT of a record, which is free when it has gone. */
static void vmbi_hq_connect_result(struct vmb_host *h, uint32_t connect);
/* Offer or rescind: composed when it is sent. */
static void vmbi_hq_channel(struct vmb_host *h, struct vmbi_hc *c, uint32_t type);
/* 1: it was still waiting, and is no more. */
static int vmbi_hq_forget(struct vmb_host *h, struct vmbi_hc *c);
/* A message for another place than the connection's: sent now if the slot is free, else lost. control-plane.md 1.4 */
static void vmbi_hq_direct(struct vmb_host *h, uint32_t vp, uint32_t sint, const uint8_t *msg, uint32_t len);
/* The one message of the connection: VERSION_RESPONSE or UNLOAD_COMPLETE. */
static void vmbi_hq_connection(struct vmb_host *h, const uint8_t *msg, uint32_t len, uint32_t vp);
static void vmbi_hq_clear(struct vmb_host *h);
static void vmbi_hq_forget_all(struct vmb_host *h); /* the same, of messages that nobody has heard of */
/* To save: the message behind `node` (0: the first), and its own node; 0: there is none. An offer is only its type and its channel id, where a
 * rescind has that. */
static uint32_t vmbi_hq_look(const struct vmb_host *h, uint32_t node, uint8_t out[48], uint32_t *len, uint32_t *vp);
/* Queue a saved one: 0, VMB_EINVAL, VMB_ENOSPACE. */
static int vmbi_hq_load(struct vmb_host *h, const uint8_t msg[48], uint32_t len, uint32_t vp);
/* How many of those waiting are replies. */
static uint32_t vmbi_hq_replies(const struct vmb_host *h);
/* Deliver as long as the guest takes them. */
static void vmbi_hq_pump(struct vmb_host *h);

/* ---- host_signal.c */

static void vmbi_host_signal_guest(void *ctx); /* signal of a channel; ctx: its slot */
/* The interrupt alone: there may be no channel object. */
static void vmbi_host_interrupt_guest(struct vmbi_hc *c);
/* [any] Leave a gate, and tell control if it waits for that. */
static void vmbi_host_gate_leave(struct vmb_host *h, struct vmbi_gate *g);
/* Control waits until nobody is inside this channel's gates. */
static void vmbi_host_gate_wait(struct vmb_host *h, const struct vmbi_hc *c);
/* Look after those that wait, if there was a poke. */
static void vmbi_host_gates(struct vmb_host *h);

/* Wake the device of a slot, unless it is closed or `route`, which led to it, is no more what it was. */
static void vmbi_host_wake(struct vmb_host *h, uint32_t slot, uint32_t *route, uint32_t expected);

/* ---- host_ports.c */

/* May a guest have its signals by this connection id? */
static int vmbi_ports_may(const struct vmb_host *h, const struct vmbi_hc *c, uint32_t connection);
static void vmbi_ports_add(struct vmb_host *h, struct vmbi_hc *c, uint32_t connection);
static void vmbi_ports_remove(struct vmb_host *h, struct vmbi_hc *c);
/* [any] Wake the channel of this connection id. 1: there is one. */
static int vmbi_ports_signal(struct vmb_host *h, uint32_t connection);
/* Nobody has one: forget what has collected. */
static void vmbi_ports_clear(struct vmb_host *h);

/* ---- host_monitor.c */

/* The monitor pages of a request: 1 if they can be, both or none. */
static int vmbi_monitor_pages_ok(const uint64_t gpa[2]);
/* Take the guest's pages in use, or the server's own where those were granted: 0 or VMB_EMAP. */
static int vmbi_monitor_use(struct vmb_host *h, const uint64_t gpa[2]);
/* Nobody is inside: give the page back. */
static void vmbi_monitor_unuse(struct vmb_host *h);
static void vmbi_monitor_message(struct vmb_host *h, const uint8_t *msg);
/* Go on with what waits for the gate. */
static void vmbi_monitor_step(struct vmb_host *h);
/* A monitor id for a channel that is being offered, if there is one; and back. */
static void vmbi_monitor_give(struct vmb_host *h, struct vmbi_hc *c);
static void vmbi_monitor_take(struct vmb_host *h, struct vmbi_hc *c);
/* While it is served, its id leads to it. */
static void vmbi_monitor_connect(struct vmb_host *h, struct vmbi_hc *c);
static void vmbi_monitor_disconnect(struct vmb_host *h, struct vmbi_hc *c);

/* ---- host_reserved.c */

static void vmbi_reserved_open(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg);
static void vmbi_reserved_close(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg);
/* Its lists go with it and the answer to CLOSE_RESERVED is all that the guest hears: that waits for those who hold one. Until then it is
 * CLOSING, served or not, and its ring in use. */
static int vmbi_reserved_lingers(struct vmb_host *h, const struct vmbi_hc *c);
/* The device has let go of a reserved channel that the guest closed. */
static void vmbi_reserved_closed(struct vmb_host *h, struct vmbi_hc *c);
/* Nobody holds one any more. */
static void vmbi_reserved_lingered(struct vmb_host *h, struct vmbi_hc *c);
/* Closed, or refused. Where this connection was never told of the channel, it is now as good as new. */
static void vmbi_reserved_end(struct vmb_host *h, struct vmbi_hc *c);
/* It is open no more. */
static void vmbi_reserved_drop(struct vmb_host *h, struct vmbi_hc *c);
/* The connection ends, and this channel stays. */
static void vmbi_reserved_keep(struct vmb_host *h, struct vmbi_hc *c);
/* GPADLs that stay when all others have gone. */
static uint32_t vmbi_reserved_gpadls(const struct vmb_host *h);

/* ---- host_event.c */

static void vmbi_he_channel(struct vmb_host *h, struct vmbi_hc *c, uint32_t event);
static void vmbi_he_cancel(struct vmb_host *h, struct vmbi_hc *c, uint32_t event);
static void vmbi_he_gpadl(struct vmb_host *h, uint32_t ref);
static void vmbi_he_gpadl_cancel(struct vmb_host *h, uint32_t ref);
static void vmbi_he_connection(struct vmb_host *h);
static void vmbi_he_connect(struct vmb_host *h, uint32_t connect);
static void vmbi_he_connect_cancel(struct vmb_host *h, uint32_t connect);

/* ---- host_hvsock.c */

/* Is there a record for one more connect? */
static inline int vmbi_hvsock_room(const struct vmb_host *h)
{
	return h->free_connect != 0;
}
static void vmbi_hvsock_init(struct vmb_host *h);
static void vmbi_hvsock_message(struct vmb_host *h, const uint8_t *msg, uint32_t len);
static void vmbi_hvsock_free(struct vmb_host *h, uint32_t connect);
/* The guest leaves: its connects lose their sense. */
static void vmbi_hvsock_leave(struct vmb_host *h);
/* To save: the refusal of the first connect after `connect` that waits for an answer, and its number; 0: there is none. */
static uint32_t vmbi_hvsock_look(const struct vmb_host *h, uint32_t connect, uint8_t msg[48], uint32_t *len);
/* The answer to EV_HVSOCK: 0 or VMB_ENOENT. */
static int vmbi_hvsock_answer(struct vmb_host *h, const struct vmb_event *question, uint32_t status);
/* The guest has been offered an hvsock channel, and must open it in time; it has opened it, or it is gone. */
static void vmbi_hvsock_watch(struct vmb_host *h, struct vmbi_hc *c);
static void vmbi_hvsock_unwatch(struct vmb_host *h, struct vmbi_hc *c);
/* Remove those that are due at `now`; the next deadline, or UINT64_MAX. */
static uint64_t vmbi_hvsock_time(struct vmb_host *h, uint64_t now);

#endif /* VMBI_HOST_H */

/* ---- told as it happens */

static void vmbi_host_trace_connection(struct vmb_host *h, uint32_t before)
{
	struct vmb_trace t = { .point = VMB_TRACE_CONNECTION, .a = before, .b = h->state, .c = h->version, .d = h->features };

	if (before != h->state)
		h->cfg.trace(h->cfg.ctx, &t);
}

static void vmbi_host_trace_message(struct vmb_host *h, uint32_t point, const uint8_t *msg, uint32_t len, uint32_t fate, uint32_t said)
{
	struct vmb_trace t = vmbi_trace_message(point, msg, len);

	t.c = fate;
	t.d = said;
	h->cfg.trace(h->cfg.ctx, &t);
}

static const uint8_t hc_states[] = {
	[VMBI_HC_FREE] = VMB_STATE_FREE,       [VMBI_HC_UNOFFERED] = VMB_STATE_UNOFFERED, [VMBI_HC_CLOSED] = VMB_STATE_OFFERED,
	[VMBI_HC_OPENING] = VMB_STATE_OPENING, [VMBI_HC_OPEN] = VMB_STATE_OPEN,           [VMBI_HC_CLOSING] = VMB_STATE_CLOSING,
	[VMBI_HC_REOPEN] = VMB_STATE_REOPENING, [VMBI_HC_REVOKED] = VMB_STATE_REVOKED,
};

static uint32_t hc_has(const struct vmbi_hc *c)
{
	if (c->state == VMBI_HC_FREE)
		return 0;
	return (c->removed ? VMB_HAS_REMOVED : 0) | (c->rescinded ? VMB_HAS_RESCINDED : 0) | (c->kept ? VMB_HAS_RESERVED : 0) |
	       (c->channel ? VMB_HAS_OBJECT : 0);
}

/* Tell what it is now, if that was not told before. */
static void vmbi_host_trace_channel(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmb_trace t = { .point = VMB_TRACE_CHANNEL, .ch = vmbi_handle(c->slot, c->generation), .channel = c->id,
			       .a = c->shown_state, .b = hc_states[c->state], .c = c->shown_has, .d = hc_has(c) };

	if (t.a == t.b && t.c == t.d)
		return;
	c->shown_state = t.b;
	c->shown_has = t.d;
	h->cfg.trace(h->cfg.ctx, &t);
}

static void vmbi_host_trace_device(struct vmb_host *h, const struct vmbi_hc *c, uint32_t before)
{
	struct vmb_trace t = { .point = VMB_TRACE_DEVICE, .ch = vmbi_handle(c->slot, c->generation), .channel = c->id,
			       .a = before, .b = c->dev };

	if (before != c->dev)
		h->cfg.trace(h->cfg.ctx, &t);
}

static void vmbi_host_trace_gpadl(struct vmb_host *h, uint32_t slot, uint32_t id, uint32_t before, uint32_t now, uint32_t words, uint32_t ranges)
{
	struct vmb_trace t = { .point = VMB_TRACE_GPADL, .ch = vmbi_handle(slot, h->ch[slot].generation), .channel = h->ch[slot].id,
			       .gpadl = id, .a = before, .b = now, .c = words, .d = ranges };

	if (before != now)
		h->cfg.trace(h->cfg.ctx, &t);
}

/* ---- signals */

static void vmbi_host_alarm(struct vmb_host *h)
{
	VMBI_STORE32_RELAXED(&h->alarm, 1u);
	VMBI_POKE(&h->cfg);
}

static void hc_over(struct vmb_host *h, struct vmbi_hc *c, uint32_t which)
{
	struct vmbi_signals *s = &c->channel->signals;
	struct vmb_trace t = { .point = VMB_TRACE_SIGNALS, .ch = vmbi_handle(c->slot, c->generation), .channel = c->id, .a = which,
			       .c = h->cfg.signal_budget };

	t.b = which == VMB_OVER_IN ? s->in.base : s->out.base;
	t.d = which == VMB_OVER_IN ? s->in.over : s->out.over;
	h->over_budget++;
	if (h->cfg.trace)
		h->cfg.trace(h->cfg.ctx, &t);
}

static void vmbi_host_watch_signals(struct vmb_host *h, uint64_t now)
{
	if (!VMBI_LOAD32_RELAXED(&h->alarm) || !VMBI_EXCHANGE32(&h->alarm, 0u))
		return;
	for (uint32_t i = 1; i <= h->slots; i++) {
		struct vmbi_hc *c = &h->ch[i];
		uint32_t over = 0;

		if (c->channel)
			over = vmbi_signals_over(&c->channel->signals, now, h->cfg.signal_ms * (uint64_t)1000000, h->cfg.signal_budget);
		if (over & VMB_OVER_IN)
			hc_over(h, c, VMB_OVER_IN);
		if (over & VMB_OVER_OUT)
			hc_over(h, c, VMB_OVER_OUT);
	}
}

/* ---- the snapshot: number 1 is the connection, then the channels, then the lists */

static void hc_part(const struct vmb_host *h, const struct vmbi_hc *c, struct vmb_part *p)
{
	int open = c->state >= VMBI_HC_OPENING && c->state <= VMBI_HC_REOPEN;

	p->kind = VMB_PART_CHANNEL;
	p->state = hc_states[c->state];
	p->flags = hc_has(c);
	p->device = c->dev;
	p->ch = vmbi_handle(c->slot, c->generation);
	p->channel = c->id;
	p->gpadl = open ? c->open.ring_id : 0;
	p->subchannel = c->subchannel;
	p->monitor_id = c->monitor ? c->monitor - 1 : 255;
	p->target_vp = open ? c->open.target_vp : VMB_VP_NONE;
	p->event_flag = open ? c->open.flag : 0;
	p->connection_id = open ? c->open.connection : c->id ? vmbi_host_connection(h, c) : 0;
	p->opens = c->opens;
	p->refused = c->refused;
	p->closes = c->closes;
	p->lost = c->lost;
	p->user = c->user;
	p->class_id = c->class_id;
	p->instance = c->instance;
	p->object = c->channel;
}

static int host_gpadl_part(struct vmb_host *h, uint32_t ref, struct vmb_part *p)
{
	struct vmb_gpadl_info info;
	uint32_t owner;

	p->state = vmbi_gpadls_look(h->store, ref, &owner);
	if (p->state == VMB_LIST_NONE)
		return 0;
	vmbi_gpadls_info(h->store, ref, &info);
	p->kind = VMB_PART_GPADL;
	p->ch = vmbi_handle(owner, h->ch[owner].generation);
	p->channel = h->ch[owner].id;
	p->gpadl = vmbi_gpadls_id(h->store, ref);
	p->words = info.words;
	p->ranges = info.ranges;
	p->held = info.held;
	return 1;
}

static int host_part(struct vmb_host *h, uint32_t n, struct vmb_part *p)
{
	if (n == 1) {
		p->kind = VMB_PART_CONNECTION;
		p->state = h->state;
		return 1;
	}
	if (n > 1 + h->slots)
		return host_gpadl_part(h, n - 1 - h->slots, p);
	if (h->ch[n - 1].state == VMBI_HC_FREE)
		return 0;
	hc_part(h, &h->ch[n - 1], p);
	return 1;
}

int vmb_host_snapshot(struct vmb_host *h, uint32_t *cursor, struct vmb_part *out)
{
	struct vmb_part part;
	int r = cursor && out ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	VMBI_MEMSET(&part, 0, sizeof part);
	while (!r && *cursor < 1 + h->slots + h->gpadls)
		r = host_part(h, ++*cursor, &part);
	if (r) {
		r = vmbi_struct_out(out, &part, sizeof part, sizeof part);
		r = r < 0 ? r : VMB_YES;
	}
	vmbi_guard_leave(&h->guard);
	return r;
}

/* ---- lib/bus/guest_watch.c ---- */
/* The guest end as others see it: what it tells a watcher, the budgets of signals, and the snapshot. */

/* ---- lib/bus/guest.h ---- */
/*
 * The guest end: its state, and what its files do for one another. control-plane.md 7.1, 8, 10, 12.5, 19, gpadl.md 7.
 *
 *   guest.c            storage, init, end, info; entering and leaving a [control] call
 *   guest_message.c    the host's messages: admission and dispatch
 *   guest_connect.c    contact, version ladder, UNLOAD
 *   guest_request.c    what is asked of a living connection: other monitor pages, pause, sockets, closing what others left open
 *   guest_crash.c      [any]: UNLOAD by a dying system
 *   guest_offer.c      slots, handles, channel ids, offers, rescind, release
 *   guest_open.c       OPEN, CLOSE, MODIFY: the life of a channel object
 *   guest_gpadl.c      page lists: the arena while announcing, creation, tear-down
 *   guest_post.c       messages on their way to the host
 *   guest_event.c      events on their way to the embedder; time
 *   guest_save.c, guest_restore.c   the end as bytes, and back
 *   guest_interrupt.c  [any]: event flags, the interrupt page, signals to the host
 *   guest_watch.c      what a watcher is told, the budgets of signals, the snapshot
 *
 * Everything that can wait for something is a numbered object: the connection, the decliner (which refuses offers that there is
 * no slot for), channels, page lists, and records of handles that are gone. A message or an event is never stored: an object
 * stands in the queue and is asked, when its turn comes, what it has to say.
 *
 * What the host may still have of a channel is kept apart from what the embedder has of it. OPEN_OUT and HOST_OPEN, and the
 * states of page lists, say the first; OBJECT, RELEASED, `untold` and the events not yet given out say the second.
 * vmbi_guest_channel_step looks at both after each change and does what has become possible, until nothing is left and the id
 * can go back.
 *
 * A post that ended with HV_STATUS_TIMEOUT may have arrived (control-plane.md 1.2). It is repeated, and its answer is taken all
 * the same.
 */
#ifndef VMBI_GUEST_H
#define VMBI_GUEST_H


#define VMBI_GUEST_TRIES 100u           /* posts of one message, at most. control-plane.md 1.2 */
#define VMBI_GUEST_FIRST_GPADL 0xe1e10u /* where ids start, as in other guests. gpadl.md 7.2 */
#define VMBI_GUEST_MAX_GPADLS 65535u
#define VMBI_GUEST_UNLOADABLE 0x80000000u

/* vmb_guest.state: VMB_BUS_*, and after UNLOAD has been queued: */
#define VMBI_GUEST_UNLOADING VMB_BUS_UNLOADING

/* Object numbers. Channels come first, so that a channel's number is its slot. */
#define VMBI_GUEST_NODE_CONNECTION(g) ((g)->cfg.max_channels + 1)
#define VMBI_GUEST_NODE_DECLINER(g) ((g)->cfg.max_channels + 2)
#define VMBI_GUEST_NODE_CLOSER(g) ((g)->cfg.max_channels + 3)
#define VMBI_GUEST_NODE_GPADL(g, k) ((g)->cfg.max_channels + 3 + (k))
#define VMBI_GUEST_NODE_CONNECT(g, k) ((g)->cfg.max_channels + 3 + (g)->cfg.max_gpadls + (k))
#define VMBI_GUEST_NODE_GONE(g, k) ((g)->cfg.max_channels + 3 + (g)->cfg.max_gpadls + (g)->cfg.max_hvsock + (k))

/* What became of a post. */
#define VMBI_GUEST_SENT 0
#define VMBI_GUEST_MAYBE 1  /* and it is tried again */
#define VMBI_GUEST_FAILED 2 /* for good */

/* vmbi_gc.state */
#define VMBI_GC_IDLE 0u     /* offered, no channel object */
#define VMBI_GC_CREATING 1u /* the ring's list is being announced */
#define VMBI_GC_OPENING 2u  /* OPEN is queued or unanswered */
#define VMBI_GC_OPEN 3u
#define VMBI_GC_FAILED 4u   /* the open came to nothing; the object is still out */
#define VMBI_GC_CLOSING 5u  /* the object was given back */
#define VMBI_GC_CLOSED 6u   /* EV_CLOSED is queued */

/* vmbi_gc.flags */
#define VMBI_GC_SEEN 0x1u          /* EV_OFFER was given out */
#define VMBI_GC_RELEASED 0x2u      /* by the embedder, or never shown to it */
#define VMBI_GC_RESCINDED 0x4u     /* by the host */
#define VMBI_GC_ABANDONED 0x8u     /* the embedder has been asked to stop: rescinded, or disconnecting */
#define VMBI_GC_OBJECT 0x10u       /* the channel object is with its owner */
#define VMBI_GC_OPEN_OUT 0x20u     /* the host may have an OPEN that it has not answered */
#define VMBI_GC_OPEN_LOST 0x40u    /* and we do not wait for the answer any more */
#define VMBI_GC_HOST_OPEN 0x80u    /* the host has it open: it needs a CLOSE */
#define VMBI_GC_CLOSE_FAILED 0x100u /* and cannot be told so */
#define VMBI_GC_MODIFY_OUT 0x200u
#define VMBI_GC_MODIFY_LOST 0x400u
#define VMBI_GC_TARGET 0x800u      /* EV_TARGET is owed */
#define VMBI_GC_MAYBE_GONE 0x1000u /* REL_ID_RELEASED is being repeated, and may have arrived */
#define VMBI_GC_LEAK 0x2000u       /* EV_CLOSED will say VMB_ELEAK */
#define VMBI_GC_LISTS_DOWN 0x4000u /* released, and its lists have been sent down */
#define VMBI_GC_RESERVED 0x8000u   /* this open is that of a reserved channel */
#define VMBI_GC_KEPT 0x10000u      /* its connection is over, and it is open all the same */
#define VMBI_GC_CLOSE_OUT 0x20000u /* CLOSE_RESERVED is not answered */
#define VMBI_GC_UNPROVEN 0x40000u  /* kept, and its connection may be there still */
#define VMBI_GC_AWAY 0x80000u      /* with OBJECT, after a restore: its owner has not come with the memory yet */
#define VMBI_GC_UNTOLD 0x100000u   /* EV_OFFER is told once more, after a restore */
#define VMBI_GC_LOST 0x200000u     /* its owner knows it from before a sleep, this host has not offered it yet: no id */

/* Events not given out yet, in the order in which one object gives them. */
#define VMBI_GE_OFFER 0x1u
#define VMBI_GE_OPENED 0x2u
#define VMBI_GE_TARGET 0x4u
#define VMBI_GE_RESCINDED 0x8u
#define VMBI_GE_CLOSED 0x10u
#define VMBI_GE_GPADL 0x1u
#define VMBI_GE_DOWN 0x2u
#define VMBI_GE_DISCONNECTED 0x1u
#define VMBI_GE_CONNECTED 0x2u
#define VMBI_GE_OFFERS_DONE 0x4u
#define VMBI_GE_MONITOR 0x8u
#define VMBI_GE_PAUSED 0x10u
#define VMBI_GE_GONE 0x1u

struct vmbi_gc { /* one offered channel */
	/* read by [any] inside the gate, and by the object's owner: written only while the gate is closed and the object is
	 * not out */
	struct vmbi_gate gate;
	uint32_t id;            /* the wire's */
	uint64_t user;
	struct vmb_guest *guest;
	uint32_t signal_connection;
	uint32_t signal_page;   /* 1: set the id's bit in the interrupt page, too */
	uint32_t signal_monitor; /* monitor id + 1: set that bit instead; 0: none */
	void *monitor_page;     /* there */
	uint32_t flag;          /* its event flag */
	uint32_t reserved;

	/* control's own, on lines of its own */
	uint32_t state __attribute__((aligned(64)));
	uint32_t flags;
	uint32_t generation;
	uint32_t send;          /* type of the message that is to be sent; 0: none */
	uint32_t next;          /* free list */
	uint32_t gpadls;        /* first of its page lists, the ring's too */
	uint32_t untold;        /* how many of those the embedder does not know to be down */
	uint32_t ring;          /* its list; after a leak, what is left of it */
	uint32_t open_id, tx_pages;
	uint32_t target_vp, new_vp;
	int32_t open_status, target_status;
	uint32_t open_said, target_said; /* by the wire */
	uint32_t result_vp, result_sint; /* reserved: where answers come */
	uint32_t redirect;
	uint32_t dedicated;     /* is_dedicated of the offer */
	uint32_t socket;        /* the connect that it answers, until that is told: EV_HVSOCK instead of EV_OFFER */
	uint32_t reserved1;
	uint32_t opens, refused, closes, lost; /* as in vmb_part */
	uint32_t shown_state, shown_has; /* what a watcher was told last */
	struct vmb_channel *object;
	struct vmb_cursor tx_at, rx_at; /* while it is away: where it stood */
	uint8_t user_data[120];
	struct vmb_offer offer;
};

/* vmbi_gg.state: what the host may have of the list. */
#define VMBI_GG_FREE 0u
#define VMBI_GG_ANNOUNCE 1u /* messages are left to send */
#define VMBI_GG_CREATE 2u   /* all sent, not answered */
#define VMBI_GG_ALIVE 3u
#define VMBI_GG_TEARDOWN 4u /* to be sent */
#define VMBI_GG_TEARING 5u  /* sent, not answered */
#define VMBI_GG_SETTLED 6u  /* nothing, and no answer will come */
#define VMBI_GG_BURNT 7u    /* a part that we can neither finish nor take back. gpadl.md 4 */

/* vmbi_gg.flags */
#define VMBI_GG_RING 0x1u
#define VMBI_GG_CANCELLED 0x2u /* nobody wants it: tear it down as soon as it is there */
#define VMBI_GG_ASKED 0x4u     /* the embedder has asked for its end: the last event is EV_GPADL_DOWN */
#define VMBI_GG_FINAL 0x8u     /* the last event is queued or was given out */
#define VMBI_GG_TOLD 0x40u     /* it was given out */
#define VMBI_GG_UNSURE 0x10u   /* some message may have arrived twice: a refusal proves nothing */
#define VMBI_GG_MAYBE 0x20u    /* the message that is being repeated may have arrived */

struct vmbi_gg { /* one page list, of a ring or of the embedder's */
	uint32_t id;
	uint32_t channel;       /* slot */
	uint32_t state, flags;
	uint32_t first, words, ranges; /* in the arena, while announcing */
	uint32_t sent;          /* messages */
	uint32_t next, prev;    /* of the same channel; next: free list */
	int32_t status;         /* of the last event */
	uint32_t said;          /* by the wire */
};

/* vmbi_gs.state */
#define VMBI_GS_FREE 0u
#define VMBI_GS_QUEUED 1u
#define VMBI_GS_SENT 2u
#define VMBI_GS_OFFERED 3u /* the offer's event tells */
#define VMBI_GS_DONE 4u /* its event is queued */

struct vmbi_gs { /* a connect to a service of the host */
	struct vmb_guid endpoint, service, silo; /* as on the wire */
	uint64_t user;
	uint32_t state, next;
	int32_t status;
	uint32_t said;
};

/* What the host may still have, to be said with EV_DISCONNECTED. */
#define VMBI_OWED 1u          /* until the next contact */
#define VMBI_OWED_FOR_GOOD 2u /* that of a reserved channel which could not be closed */

struct vmb_guest {
	/* [any] */
	uint32_t scan;          /* words of event flags that are looked at; 0: not connected */
	uint32_t by_page;       /* 1: below 2.4 */
	uint32_t unloadable;    /* for guest_crash.c: connection to post UNLOAD on, | 1 << 31; 0: nothing to unload */
	uint32_t map_bits;      /* of a slot in these maps: 8, or 16 where there are many */
	uint32_t *ids;          /* channel id -> slot */
	uint32_t *event_slots;  /* event flag -> slot */
	struct vmbi_gc *channels; /* [0] is not used */
	struct vmb_guest_config cfg;
	uint32_t stray __attribute__((aligned(64)));
	uint32_t alarm;         /* some channel's signals are to be looked at */

	/* control's own */
	struct vmbi_guard guard __attribute__((aligned(64)));
	uint32_t state;
	uint32_t version;       /* negotiated, or tried */
	uint32_t connection;    /* to post on */
	uint32_t features;      /* negotiated */
	uint32_t redirected;    /* the redirected message connection is being tried */
	uint32_t only_version;  /* after a sleep: no other one is tried; 0: any */
	uint32_t kept;          /* channels with VMBI_GC_KEPT */
	uint32_t paused;        /* 1: PAUSE is sent, or to be sent next */
	uint32_t asking;        /* MODIFY_CONNECTION or PAUSE that is not answered: its type */
	int32_t monitor_status, pause_status;
	uint32_t monitor_said;
	uint64_t monitor_gpa[2], new_gpa[2]; /* in use; asked for */
	void *monitor_page[2], *new_page[2];
	struct { uint32_t id, vp, sint, out; } closer; /* CLOSE_RESERVED of nobody's channel: id 0: none; out: sent */
	int32_t closer_status;
	uint32_t free_connect;
	uint32_t send;          /* type of the connection's next message; 0: none */
	uint32_t answer_due;    /* the host may have our INITIATE_CONTACT or UNLOAD */
	uint32_t owed;          /* a connection ended without proof that memory is free: VMBI_OWED_* */
	uint32_t leaks;         /* lists that were reported as leaked, since contact */
	uint32_t poke;          /* there is something to poll for */
	uint32_t live, objects; /* channels in use; channel objects out */
	int32_t connect_status, disconnect_status, offers_status;
	uint32_t connect_said;
	uint32_t tries, held;   /* of the first message in the queue; 1: it waits for retry_at */
	uint32_t clock_ms;      /* the connection's own deadline is running; 0: not */
	uint64_t clock_at;      /* 0: from the next poll on */
	uint64_t retry_at;      /* the same */
	uint64_t messages_in, messages_out, dropped, refused_quota, post_retries, stray_events, late_answers;
	uint64_t fates[VMBI_FATES], post_failed, over_budget;
	uint64_t now;           /* of the last poll */
	uint32_t fate;          /* of the message at hand */
	uint32_t reserved;

	uint32_t nodes, lists;  /* how many objects; page lists in use */
	uint32_t slots_used;    /* highest slot that was ever in use */
	uint32_t free_slot, last_free_slot, free_gpadl;
	uint32_t opens;         /* count of OPENs, for their ids */
	uint32_t next_gpadl;    /* id */
	uint32_t gpadl_mask, device_mask;
	uint32_t arena_words, arena_used, arena_top;
	uint32_t gone_in, gone_out;

	struct vmbi_fifo post, events, fresh, waiting, draining, arena_order;
	struct vmbi_link *post_links;  /* all but gone records */
	struct vmbi_link *event_links; /* all */
	struct vmbi_link *wait_links;  /* as post_links; in fresh or in waiting */
	struct vmbi_link *drain_links; /* channels */
	struct vmbi_link *arena_links; /* lists */
	uint64_t *deadlines;           /* as wait_links; 0: in fresh */
	uint8_t *marks;                /* as event_links: VMBI_GE_* */
	uint32_t *device_keys;         /* of channels: hash of class and instance; 0: none */
	uint32_t *devices, *device_next; /* first channel by that hash, and the next one */
	uint32_t *declined;            /* bit per channel id */
	uint32_t *gpadl_map;           /* GPADL id & gpadl_mask -> list */
	struct vmbi_gg *gpadls;        /* [0] is not used */
	struct vmbi_gs *connects;      /* the same */
	vmb_handle *gone;              /* ring of handles */
	uint64_t *arena;
};

/* ---- guest.c */

/* Monitor pages of an embedder: 0, or VMB_EINVAL. */
static int vmbi_guest_check_monitor(const uint64_t gpa[2], void *const page[2]);

/* As after init, inside of a [control] call; handles: the channels' memory is left alone. */
static void vmbi_guest_reset(struct vmb_guest *g, int handles);
/* Begin a [control] call: 0, VMB_EINVAL for NULL, VMB_EREENTRY. */
static int vmbi_guest_enter(struct vmb_guest *g);
/* End it: send what can be sent, poke if there is something to poll for. Returns r. */
static int vmbi_guest_leave(struct vmb_guest *g, int r);

static inline uint32_t vmbi_gc_slot(const struct vmb_guest *g, const struct vmbi_gc *c)
{
	return (uint32_t)(c - g->channels);
}

static inline uint32_t vmbi_gg_index(const struct vmb_guest *g, const struct vmbi_gg *d)
{
	return (uint32_t)(d - g->gpadls);
}

/* [any] The slot of a channel id or event flag below 2048, or 0. */
static inline uint32_t vmbi_guest_map_get(const struct vmb_guest *g, const uint32_t *map, uint32_t key)
{
	uint32_t bits = g->map_bits, at = key * bits;

	return VMBI_LOAD32_RELAXED(&map[at / 32]) >> at % 32 & ((1u << bits) - 1);
}

/* One writer; readers on any CPU see the old or the new slot. */
static inline void vmbi_guest_map_set(const struct vmb_guest *g, uint32_t *map, uint32_t key, uint32_t slot)
{
	uint32_t bits = g->map_bits, at = key * bits, *word = &map[at / 32], mask = ((1u << bits) - 1) << at % 32;

	VMBI_STORE32_RELEASE(word, (VMBI_LOAD32_RELAXED(word) & ~mask) | slot << at % 32);
}

/* ---- guest_watch.c: told only where there is a watcher; so these are asked for by the functions below */

static void vmbi_guest_trace_connection(struct vmb_guest *g, uint32_t before);
static void vmbi_guest_trace_message(struct vmb_guest *g, uint32_t point, const uint8_t *msg, uint32_t len, uint32_t fate, uint32_t said);
static void vmbi_guest_trace_channel(struct vmb_guest *g, struct vmbi_gc *c, uint32_t gone);
static void vmbi_guest_trace_gpadl(struct vmb_guest *g, const struct vmbi_gg *d, uint32_t before, uint32_t now);
/* [any] The signals of some channel are to be looked at. */
static void vmbi_guest_alarm(struct vmb_guest *g);
/* Look at them, if that is so. */
static void vmbi_guest_watch_signals(struct vmb_guest *g, uint64_t now);

/* The connection's state changes. */
static inline void vmbi_guest_become(struct vmb_guest *g, uint32_t state)
{
	uint32_t before = g->state;

	g->state = state;
	if (g->cfg.trace && before != state)
		vmbi_guest_trace_connection(g, before);
}

/* What the outside may see of a channel has changed. */
static inline void vmbi_gc_changed(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (g->cfg.trace)
		vmbi_guest_trace_channel(g, c, 0);
}

static inline void vmbi_gc_become(struct vmb_guest *g, struct vmbi_gc *c, uint32_t state)
{
	c->state = state;
	vmbi_gc_changed(g, c);
}

static inline void vmbi_gc_flag(struct vmb_guest *g, struct vmbi_gc *c, uint32_t flags)
{
	c->flags |= flags;
	vmbi_gc_changed(g, c);
}

/* ---- guest_message.c */

static void vmbi_guest_receive(struct vmb_guest *g, const uint8_t *msg, uint32_t len);

/* ---- guest_connect.c */

/* May this version be spoken? */
static int vmbi_guest_may_speak(const struct vmb_guest_config *cfg, uint32_t version);
/* The highest version that may be tried below `version`; 0: none. */
static uint32_t vmbi_guest_version_below(const struct vmb_guest_config *cfg, uint32_t version);
static uint32_t vmbi_guest_connection_message(struct vmb_guest *g, uint8_t *out, uint32_t *connection);
static void vmbi_guest_connection_posted(struct vmb_guest *g, int outcome, uint32_t status);
static int vmbi_guest_on_version(struct vmb_guest *g, const uint8_t *msg);
static void vmbi_guest_on_all_offers(struct vmb_guest *g);
static int vmbi_guest_on_unloaded(struct vmb_guest *g);
static void vmbi_guest_connection_timeout(struct vmb_guest *g);
/* The connection's next message; its next event. */
static void vmbi_guest_connection_send(struct vmb_guest *g, uint32_t type);
static void vmbi_guest_connection_mark(struct vmb_guest *g, uint32_t marks);
/* A channel is gone. If it was the last one, and we want to leave: UNLOAD. */
static void vmbi_guest_connection_step(struct vmb_guest *g);

/* ---- guest_request.c */

/* The messages of the connection that are none of guest_connect.c's: PAUSE, RESUME, MODIFY_CONNECTION. */
static uint32_t vmbi_guest_request_message(struct vmb_guest *g, uint8_t *out);
static void vmbi_guest_request_posted(struct vmb_guest *g, uint32_t type, int outcome, uint32_t status);
static int vmbi_guest_on_paused(struct vmb_guest *g);
static int vmbi_guest_on_monitor(struct vmb_guest *g, const uint8_t *msg);
/* The answer to `asking` does not come. */
static void vmbi_guest_request_timeout(struct vmb_guest *g);
/* The connection ends: nothing that is asked will be answered. */
static void vmbi_guest_requests_end(struct vmb_guest *g);
static uint32_t vmbi_guest_closer_message(struct vmb_guest *g, uint8_t *out);
static void vmbi_guest_closer_posted(struct vmb_guest *g, int outcome);
static void vmbi_guest_closer_timeout(struct vmb_guest *g);
static uint32_t vmbi_guest_close_reserved_message(uint8_t *out, uint32_t id, uint32_t vp, uint32_t sint);
/* CLOSE_RESERVED_RESPONSE for no channel of ours. */
static int vmbi_guest_on_closer(struct vmb_guest *g, uint32_t id);
static uint32_t vmbi_guest_connect_message(struct vmb_guest *g, struct vmbi_gs *s, uint8_t *out);
static void vmbi_guest_connect_posted(struct vmb_guest *g, struct vmbi_gs *s, int outcome, uint32_t status);
static void vmbi_guest_connect_timeout(struct vmb_guest *g, struct vmbi_gs *s);
static int vmbi_guest_on_connect_result(struct vmb_guest *g, const uint8_t *msg);
/* An hvsock channel is offered: the connect that asked for it; 0: nobody did. */
static uint32_t vmbi_guest_connect_offered(struct vmb_guest *g, const struct vmb_offer *o);
/* And was taken back before its event was given out. */
static void vmbi_guest_connect_lost(struct vmb_guest *g, uint32_t connect);
/* The event of a connect was given out: its record is free. */
static void vmbi_guest_connect_told(struct vmb_guest *g, struct vmbi_gs *s);

/* ---- guest_offer.c */

/* The channel of a handle that the embedder was given, or NULL. */
static struct vmbi_gc *vmbi_guest_find(struct vmb_guest *g, vmb_handle ch);
/* By class and instance the channels of a device are found: their hash, not 0; a channel under it. */
static uint32_t vmbi_guest_device_key(const struct vmb_offer *o);
static void vmbi_guest_device_add(struct vmb_guest *g, uint32_t slot, uint32_t key);
/* All offers are here: what was known before a sleep and is not among them is gone. */
static void vmbi_guest_lose(struct vmb_guest *g);
/* The channel of an id that came from the host, or NULL. */
static struct vmbi_gc *vmbi_guest_by_id(struct vmb_guest *g, uint32_t id);
static int vmbi_guest_on_offer(struct vmb_guest *g, const uint8_t *msg);
static int vmbi_guest_on_rescind(struct vmb_guest *g, const uint8_t *msg);
static uint32_t vmbi_guest_decline_message(struct vmb_guest *g, uint8_t *out);
static void vmbi_guest_decline_posted(struct vmb_guest *g, int outcome);
/* Hide or take back every channel: we disconnect. */
static void vmbi_guest_abandon_all(struct vmb_guest *g);
/* If the embedder has released it and nothing is left of it: tell the host, or forget it. */
static void vmbi_guest_settle(struct vmb_guest *g, struct vmbi_gc *c);
/* Forget it: the host has been told, or need not be. */
static void vmbi_guest_forget(struct vmb_guest *g, struct vmbi_gc *c);

/* ---- guest_open.c */

static uint32_t vmbi_guest_channel_message(struct vmb_guest *g, struct vmbi_gc *c, uint8_t *out);
static void vmbi_guest_channel_posted(struct vmb_guest *g, struct vmbi_gc *c, int outcome, uint32_t status);
static int vmbi_guest_on_opened(struct vmb_guest *g, const uint8_t *msg);
static int vmbi_guest_on_modified(struct vmb_guest *g, const uint8_t *msg);
static int vmbi_guest_on_reserved_closed(struct vmb_guest *g, const uint8_t *msg);
static void vmbi_guest_channel_timeout(struct vmb_guest *g, struct vmbi_gc *c);
/* Do what has become possible. The channel may be gone after it. */
static void vmbi_guest_channel_step(struct vmb_guest *g, struct vmbi_gc *c);
/* Take the channel object back. */
static void vmbi_guest_give_back(struct vmb_guest *g, struct vmbi_gc *c);
/* Ask its owner for it. */
static void vmbi_guest_abandon(struct vmb_guest *g, struct vmbi_gc *c);
/* The connection ends: 1 if this is an open reserved channel, which stays. */
static int vmbi_guest_keep(struct vmb_guest *g, struct vmbi_gc *c);
/* Can its owner, who is away, come again? Else the channel is to be closed or released. Of a ring that was found to be bad there are no cursors. */
static inline int vmbi_guest_may_reopen(const struct vmbi_gc *c)
{
	return (c->flags & (VMBI_GC_AWAY | VMBI_GC_ABANDONED | VMBI_GC_RELEASED)) == VMBI_GC_AWAY && c->state != VMBI_GC_FAILED &&
	       c->tx_at.valid;
}
static inline int vmbi_guest_is_open_message(uint32_t type)
{
	return type == VMBI_MSG_OPEN_CHANNEL || type == VMBI_MSG_OPEN_RESERVED_CHANNEL;
}
static inline int vmbi_guest_is_close_message(uint32_t type)
{
	return type == VMBI_MSG_CLOSE_CHANNEL || type == VMBI_MSG_CLOSE_RESERVED_CHANNEL;
}
/* The ring's list is there, or will not be. */
static void vmbi_guest_ring_created(struct vmb_guest *g, struct vmbi_gc *c, int32_t status, uint32_t said);

/* ---- guest_gpadl.c */

/* Is there room for one more list of so many words? */
static int vmbi_guest_gpadl_room(const struct vmb_guest *g, uint32_t words);
/* Announce a list; there is room. *words: to be filled in. */
static struct vmbi_gg *vmbi_guest_gpadl_new(struct vmb_guest *g, struct vmbi_gc *c, uint32_t count, uint32_t ranges, uint32_t flags,
				     uint64_t **words);
static uint32_t vmbi_guest_gpadl_message(struct vmb_guest *g, struct vmbi_gg *d, uint8_t *out);
static void vmbi_guest_gpadl_posted(struct vmb_guest *g, struct vmbi_gg *d, int outcome);
static int vmbi_guest_on_created(struct vmb_guest *g, const uint8_t *msg);
static int vmbi_guest_on_torndown(struct vmb_guest *g, const uint8_t *msg);
static void vmbi_guest_gpadl_timeout(struct vmb_guest *g, struct vmbi_gg *d);
/* Take it down, as far as that goes now. Harmless when it is going already. */
static void vmbi_guest_gpadl_down(struct vmb_guest *g, struct vmbi_gg *d);
/* Tell the embedder, without waiting any more, that the host may still have it. */
static void vmbi_guest_gpadl_leak(struct vmb_guest *g, struct vmbi_gg *d);
/* The channel was rescinded by the host. */
static void vmbi_guest_gpadls_rescinded(struct vmb_guest *g, struct vmbi_gc *c);
/* It was released by the embedder: no event but the last one of each list comes any more. */
static void vmbi_guest_gpadls_released(struct vmb_guest *g, struct vmbi_gc *c);
/* And then, once, take all of its lists down but the ring's. */
static void vmbi_guest_gpadls_down(struct vmb_guest *g, struct vmbi_gc *c);
/* The connection is over and the channel stays: nothing that is not answered will be. alive: those that are lists stay so. */
static void vmbi_guest_gpadls_kept(struct vmb_guest *g, struct vmbi_gc *c, int alive);
/* Has it lists whose owners were told to keep the memory? */
static int vmbi_guest_gpadls_leaked(const struct vmb_guest *g, const struct vmbi_gc *c);
/* The host has been told that we forget the channel: so it has forgotten its lists. */
static void vmbi_guest_gpadls_forget(struct vmb_guest *g, struct vmbi_gc *c);
/* The last event of a list was given out. */
static void vmbi_guest_gpadl_told(struct vmb_guest *g, struct vmbi_gg *d);

/* ---- guest_post.c */

/* This object has something to send. */
static void vmbi_guest_queue(struct vmb_guest *g, uint32_t node);
/* Has this object a message to send? msg: room for it. */
static int vmbi_guest_post_has(struct vmb_guest *g, uint32_t node, uint8_t *msg);
/* Send until the queue is empty or the hypervisor is busy. */
static void vmbi_guest_post(struct vmb_guest *g);
/* Is this result of a post worth another try? */
static int vmbi_guest_is_busy(int status, uint32_t type);
/* How long to wait before the next try, in nanoseconds. */
static uint64_t vmbi_guest_retry_delay(const struct vmb_guest *g);

/* ---- guest_event.c */

static void vmbi_guest_mark(struct vmb_guest *g, uint32_t node, uint32_t marks);
static void vmbi_guest_unmark(struct vmb_guest *g, uint32_t node, uint32_t marks);
/* Wait for an answer, at most reply_ms. One wait per object. */
static void vmbi_guest_wait(struct vmb_guest *g, uint32_t node);
static void vmbi_guest_unwait(struct vmb_guest *g, uint32_t node);
/* All waits begin anew at the next poll: no answer could come meanwhile. */
static void vmbi_guest_wait_again(struct vmb_guest *g);
/* The connection's own deadline, from now on; 0 ms: none. */
static void vmbi_guest_clock(struct vmb_guest *g, uint32_t ms);

/* ---- guest_interrupt.c */

static void vmbi_guest_signal_host(void *ctx); /* signal of a channel; ctx: its struct vmbi_gc */

#endif /* VMBI_GUEST_H */

/* ---- told as it happens */

static void vmbi_guest_trace_connection(struct vmb_guest *g, uint32_t before)
{
	struct vmb_trace t = { .point = VMB_TRACE_CONNECTION, .a = before, .b = g->state, .d = g->features };

	t.c = g->state > VMB_BUS_CONNECTING ? g->version : 0;
	g->cfg.trace(g->cfg.ctx, &t);
}

static void vmbi_guest_trace_message(struct vmb_guest *g, uint32_t point, const uint8_t *msg, uint32_t len, uint32_t fate, uint32_t said)
{
	struct vmb_trace t = vmbi_trace_message(point, msg, len);

	t.c = fate;
	t.d = said;
	g->cfg.trace(g->cfg.ctx, &t);
}

static const uint8_t gc_states[] = {
	[VMBI_GC_IDLE] = VMB_STATE_OFFERED, [VMBI_GC_CREATING] = VMB_STATE_ANNOUNCING, [VMBI_GC_OPENING] = VMB_STATE_OPENING,
	[VMBI_GC_OPEN] = VMB_STATE_OPEN,    [VMBI_GC_FAILED] = VMB_STATE_FAILED,       [VMBI_GC_CLOSING] = VMB_STATE_CLOSING,
	[VMBI_GC_CLOSED] = VMB_STATE_CLOSED,
};

static uint32_t gc_has(const struct vmbi_gc *c)
{
	static const uint32_t bits[][2] = {
		{ VMBI_GC_SEEN, VMB_HAS_SEEN },         { VMBI_GC_RELEASED, VMB_HAS_RELEASED },   { VMBI_GC_RESCINDED, VMB_HAS_RESCINDED },
		{ VMBI_GC_RESERVED, VMB_HAS_RESERVED }, { VMBI_GC_OBJECT, VMB_HAS_OBJECT },       { VMBI_GC_ABANDONED, VMB_HAS_ABANDONED },
		{ VMBI_GC_KEPT, VMB_HAS_KEPT },
	};
	uint32_t has = 0;

	for (uint32_t i = 0; i < sizeof bits / sizeof *bits; i++)
		has |= c->flags & bits[i][0] ? bits[i][1] : 0;
	return has;
}

/* Tell what it is now, if that was not told before. */
static void vmbi_guest_trace_channel(struct vmb_guest *g, struct vmbi_gc *c, uint32_t gone)
{
	struct vmb_trace t = { .point = VMB_TRACE_CHANNEL, .ch = vmbi_handle(vmbi_gc_slot(g, c), c->generation), .channel = c->id,
			       .a = c->shown_state, .b = gone ? VMB_STATE_FREE : gc_states[c->state], .c = c->shown_has,
			       .d = gone ? 0 : gc_has(c) };

	if (t.a == t.b && t.c == t.d)
		return;
	c->shown_state = t.b;
	c->shown_has = t.d;
	g->cfg.trace(g->cfg.ctx, &t);
}

static const uint8_t gg_states[] = {
	[VMBI_GG_FREE] = VMB_LIST_NONE,        [VMBI_GG_ANNOUNCE] = VMB_LIST_BUILDING, [VMBI_GG_CREATE] = VMB_LIST_SENT,
	[VMBI_GG_ALIVE] = VMB_LIST_ALIVE,      [VMBI_GG_TEARDOWN] = VMB_LIST_LEAVING,  [VMBI_GG_TEARING] = VMB_LIST_TEARING,
	[VMBI_GG_SETTLED] = VMB_LIST_SETTLED,  [VMBI_GG_BURNT] = VMB_LIST_BURNT,
};

static void vmbi_guest_trace_gpadl(struct vmb_guest *g, const struct vmbi_gg *d, uint32_t before, uint32_t now)
{
	const struct vmbi_gc *c = &g->channels[d->channel];
	struct vmb_trace t = { .point = VMB_TRACE_GPADL, .ch = vmbi_handle(d->channel, c->generation), .channel = c->id, .gpadl = d->id,
			       .a = gg_states[before], .b = gg_states[now], .c = d->words, .d = d->ranges };

	if (before != now)
		g->cfg.trace(g->cfg.ctx, &t);
}

/* ---- signals */

static void vmbi_guest_alarm(struct vmb_guest *g)
{
	VMBI_STORE32_RELAXED(&g->alarm, 1u);
	VMBI_POKE(&g->cfg);
}

static void gc_over(struct vmb_guest *g, struct vmbi_gc *c, uint32_t which)
{
	struct vmbi_signals *s = &c->object->signals;
	struct vmb_trace t = { .point = VMB_TRACE_SIGNALS, .ch = vmbi_handle(vmbi_gc_slot(g, c), c->generation), .channel = c->id,
			       .a = which, .c = g->cfg.signal_budget };

	t.b = which == VMB_OVER_IN ? s->in.base : s->out.base;
	t.d = which == VMB_OVER_IN ? s->in.over : s->out.over;
	g->over_budget++;
	if (g->cfg.trace)
		g->cfg.trace(g->cfg.ctx, &t);
}

static void vmbi_guest_watch_signals(struct vmb_guest *g, uint64_t now)
{
	if (!VMBI_LOAD32_RELAXED(&g->alarm) || !VMBI_EXCHANGE32(&g->alarm, 0u))
		return;
	for (uint32_t i = 1; i <= g->slots_used; i++) {
		struct vmbi_gc *c = &g->channels[i];
		uint32_t over = 0;

		if (c->flags & VMBI_GC_OBJECT)
			over = vmbi_signals_over(&c->object->signals, now, g->cfg.signal_ms * (uint64_t)1000000, g->cfg.signal_budget);
		if (over & VMB_OVER_IN)
			gc_over(g, c, VMB_OVER_IN);
		if (over & VMB_OVER_OUT)
			gc_over(g, c, VMB_OVER_OUT);
	}
}

/* ---- the snapshot: number 1 is the connection, then the channels, then the lists */

static void gc_part(const struct vmb_guest *g, const struct vmbi_gc *c, struct vmb_part *p)
{
	p->kind = VMB_PART_CHANNEL;
	p->state = gc_states[c->state];
	p->flags = gc_has(c);
	p->ch = c->flags & VMBI_GC_SEEN ? vmbi_handle(vmbi_gc_slot(g, c), c->generation) : 0;
	p->channel = c->id;
	p->gpadl = g->gpadls[c->ring].id;
	p->subchannel = c->offer.subchannel;
	p->monitor_id = c->offer.monitor_id;
	p->connection_id = c->offer.connection_id;
	p->opens = c->opens;
	p->refused = c->refused;
	p->closes = c->closes;
	p->lost = c->lost;
	p->class_id = c->offer.class_id;
	p->instance = c->offer.instance;
	p->target_vp = VMB_VP_NONE;
	if (c->state == VMBI_GC_IDLE)
		return;
	p->target_vp = c->target_vp;
	p->event_flag = c->flag;
	p->connection_id = c->signal_connection;
	p->user = c->user;
	p->object = c->flags & VMBI_GC_OBJECT ? c->object : NULL;
}

static void gg_part(const struct vmb_guest *g, const struct vmbi_gg *d, struct vmb_part *p)
{
	const struct vmbi_gc *c = &g->channels[d->channel];

	p->kind = VMB_PART_GPADL;
	p->state = gg_states[d->state];
	p->flags = d->flags & VMBI_GG_RING ? VMB_HAS_RING : 0;
	p->ch = c->flags & VMBI_GC_SEEN ? vmbi_handle(d->channel, c->generation) : 0;
	p->channel = c->id;
	p->gpadl = d->id;
	p->words = d->words;
	p->ranges = d->ranges;
}

static int guest_part(const struct vmb_guest *g, uint32_t n, struct vmb_part *p)
{
	uint32_t k = n - 1;

	if (n == 1) {
		p->kind = VMB_PART_CONNECTION;
		p->state = g->state;
		return 1;
	}
	if (k <= g->cfg.max_channels) {
		if (!g->channels[k].id)
			return 0;
		gc_part(g, &g->channels[k], p);
		return 1;
	}
	k -= g->cfg.max_channels;
	if (!g->gpadls[k].id)
		return 0;
	gg_part(g, &g->gpadls[k], p);
	return 1;
}

int vmb_guest_snapshot(struct vmb_guest *g, uint32_t *cursor, struct vmb_part *out)
{
	struct vmb_part part;
	int r = cursor && out ? vmbi_guest_enter(g) : VMB_EINVAL;

	if (r < 0)
		return r;
	VMBI_MEMSET(&part, 0, sizeof part);
	while (!r && *cursor < 1 + g->cfg.max_channels + g->cfg.max_gpadls)
		r = guest_part(g, ++*cursor, &part);
	if (r) {
		r = vmbi_struct_out(out, &part, sizeof part, sizeof part);
		r = r < 0 ? r : VMB_YES;
	}
	vmbi_guard_leave(&g->guard);
	return r;
}

/* ---- lib/bus/host.c ---- */
/* The host end as an object: its storage, init and end, the frame of every [control] call, and looking at it. */

#define HOST_COUNT_MAX 0x1000000u /* of what a config may ask for */

static uint32_t host_default(uint32_t value, uint32_t otherwise)
{
	return value ? value : otherwise;
}

/* What may be granted, and what that needs. control-plane.md 3.1 */
static int host_features(struct vmb_host_config *c)
{
	uint32_t possible = VMB_FEATURES_DEFAULT | VMB_FEATURE_PINNING;

	if (!c->monitor_gpa[1] != !c->monitor_page[1] || !c->monitor_gpa[0] != !c->monitor_page[0] ||
	    (c->monitor_gpa[0] && !c->monitor_gpa[1]) || (c->monitor_gpa[0] | c->monitor_gpa[1]) % VMB_PAGE)
		return VMB_EINVAL;
	if (c->monitor_gpa[1] && c->flags & VMB_HOST_MONITOR)
		possible |= VMB_FEATURE_SERVER_MONITOR;
	if (c->flags & VMB_HOST_TRUSTED)
		possible |= VMB_FEATURE_CONFIDENTIAL;
	if (!c->features)
		c->features = possible & ~VMB_FEATURE_PINNING;
	else if (c->features == VMB_FEATURE_NONE)
		c->features = 0;
	return c->features & ~possible ? VMB_EINVAL : 0;
}

/* Take a config in and fill its defaults. */
static int host_config(struct vmb_host_config *c, const struct vmb_host_config *from)
{
	int r;

	if (!from)
		return VMB_EINVAL;
	r = vmbi_struct_in(c, sizeof *c, from, offsetof(struct vmb_host_config, signal_budget));
	if (r)
		return r;
	c->first_channel_id = host_default(c->first_channel_id, 1);
	c->max_channels = host_default(c->max_channels, 64);
	c->max_gpadls = host_default(c->max_gpadls, 256);
	c->max_gpadl_pages = host_default(c->max_gpadl_pages, 65536);
	c->max_gpadls_building = host_default(c->max_gpadls_building, c->max_gpadls < 64 ? c->max_gpadls : 64);
	c->max_messages = host_default(c->max_messages, c->max_channels + 64);
	c->monitor_latency = host_default(c->monitor_latency, 1000);
	c->hvsock_ms = host_default(c->hvsock_ms, 5000);
	c->signal_budget = host_default(c->signal_budget, VMB_SIGNAL_BUDGET);
	c->signal_ms = host_default(c->signal_ms, VMBI_SIGNAL_MS);
	if (!c->message || !c->interrupt || !c->wake || !c->map != !c->unmap || c->reserved)
		return VMB_EINVAL;
	if (c->flags & ~(VMB_HOST_MONITOR | VMB_HOST_REDIRECT | VMB_HOST_TRUSTED) || c->vtl > 15 || c->monitor_latency > 0xffff)
		return VMB_EINVAL;
	r = host_features(c);
	if (r)
		return r;
	if (c->max_version && !vmbi_version_known(c->max_version))
		return VMB_EINVAL;
	if (c->max_channels > VMBI_MAX_CHANNEL_ID || c->first_channel_id > VMBI_MAX_CHANNEL_ID + 1 - c->max_channels)
		return VMB_EINVAL;
	if (c->max_hvsock > HOST_COUNT_MAX || c->max_gpadls > HOST_COUNT_MAX ||
	    c->max_gpadl_pages > 16 * HOST_COUNT_MAX || c->max_messages > HOST_COUNT_MAX)
		return VMB_EINVAL;
	return c->max_gpadls_building > c->max_gpadls ? VMB_EINVAL : 0;
}

static struct vmbi_gpadl_limits host_limits(const struct vmb_host_config *c)
{
	return (struct vmbi_gpadl_limits){ c->max_gpadls, c->max_gpadls_building, c->max_gpadl_pages, c->max_channels };
}

/*
 * How many replies there can be. A message is taken only while fewer than max_messages are queued, so at most that many replies
 * are there right after it. What it leaves open is answered later whatever the queue holds: one TORNDOWN for each GPADL, and
 * for each channel one OPEN_RESULT or one MODIFY_CHANNEL_RESPONSE, which cannot be due both, and one
 * MODIFY_CONNECTION_RESPONSE. So none is ever lost. Connects have nodes of their own.
 * control-plane.md 1.4
 */
static uint32_t host_replies(const struct vmb_host_config *c)
{
	return c->max_messages + c->max_gpadls + c->max_channels + 1;
}

/* Records of connects: four more than may wait for an answer, for refusals that wait for the slot. */
static uint32_t host_connects(const struct vmb_host_config *c)
{
	return c->max_hvsock + 4;
}

/* Entries of a hash table: a power of two, more than n. */
static uint32_t host_table(uint32_t n)
{
	uint32_t entries = 4;

	while (entries <= n)
		entries *= 2;
	return entries;
}

/* Of chosen connection ids: half of it is always free. */
static uint32_t host_ports(const struct vmb_host_config *c)
{
	return host_table(2 * c->max_channels);
}

/* The one layout, used to compute (base NULL) and to carve. */
static void host_carve(struct vmbi_carve *carve, const struct vmb_host_config *c, struct vmb_host **out)
{
	struct vmbi_gpadl_limits limits = host_limits(c);
	uint64_t slots = (uint64_t)c->max_channels + 1, replies = (uint64_t)host_replies(c) + 1;
	uint64_t connects = (uint64_t)host_connects(c) + 1;
	struct vmb_host *h = vmbi_carve(carve, 1, sizeof *h);
	uint64_t first = carve->used;
	uint64_t devices = host_table(c->max_channels);
	uint32_t *route = vmbi_carve(carve, VMBI_HOST_IDS + host_ports(c) + devices + slots, sizeof *route); /* and three more tables */
	struct vmbi_hc *ch = vmbi_carve(carve, slots, sizeof *ch);
	struct vmbi_link *out_links = vmbi_carve(carve, slots + connects + replies, sizeof *out_links);
	struct vmbi_link *event_links = vmbi_carve(carve, slots + c->max_gpadls + connects + 1, sizeof *event_links);
	struct vmbi_link *wait_links = vmbi_carve(carve, slots, sizeof *wait_links);
	struct vmbi_link *timed_links = vmbi_carve(carve, slots, sizeof *timed_links);
	struct vmbi_host_connect *connect = vmbi_carve(carve, connects, sizeof *connect);
	struct vmbi_host_reply *reply = vmbi_carve(carve, replies, sizeof *reply);
	struct vmbi_host_gpadl *gpadl = vmbi_carve(carve, (uint64_t)c->max_gpadls + 1, sizeof *gpadl);
	uint64_t after = carve->used;
	struct vmbi_gpadl_store *store = vmbi_gpadls_carve(carve, &limits);

	if (!h)
		return;
	VMBI_MEMSET(h, 0, sizeof *h);
	VMBI_MEMSET(carve->base + (size_t)first, 0, (size_t)(after - first));
	h->route = route;
	h->ports = h->route + VMBI_HOST_IDS;
	h->port_mask = host_ports(c) - 1;
	h->devices = h->ports + host_ports(c);
	h->device_mask = (uint32_t)devices - 1;
	h->sorted = h->devices + devices;
	h->ch = ch;
	h->out_links = out_links;
	h->event_links = event_links;
	h->wait_links = wait_links;
	h->timed_links = timed_links;
	h->connect = connect;
	h->reply = reply;
	h->gpadl = gpadl;
	h->store = store;
	vmbi_gpadls_init(store, &limits);
	*out = h;
}

int vmb_host_storage(const struct vmb_host_config *cfg, struct vmb_storage *need)
{
	struct vmbi_carve carve = { NULL, 0 };
	struct vmb_host_config c;
	int r = host_config(&c, cfg);

	if (r)
		return r;
	if (!need)
		return VMB_EINVAL;
	host_carve(&carve, &c, NULL);
	return vmbi_carve_end(&carve, need);
}

static void host_slots(struct vmb_host *h)
{
	for (uint32_t i = h->slots; i; i--) {
		struct vmbi_hc *c = &h->ch[i];

		vmbi_gate_init(&c->gate);
		c->host = h;
		c->slot = i;
		c->generation = 1;
		c->next_free = h->free_slot;
		h->free_slot = i;
	}
}

int vmb_host_init(void *mem, size_t bytes, const struct vmb_host_config *cfg, struct vmb_host **host)
{
	struct vmbi_carve carve = { NULL, 0 };
	struct vmb_host_config c;
	struct vmb_storage need;
	struct vmb_host *h;
	int r = host_config(&c, cfg);

	if (r)
		return r;
	if (!host)
		return VMB_EINVAL;
	host_carve(&carve, &c, NULL);
	r = vmbi_carve_end(&carve, &need);
	if (!r)
		r = vmbi_storage_fits(mem, bytes, &need);
	if (r)
		return r;
	carve = (struct vmbi_carve){ mem, 0 };
	host_carve(&carve, &c, &h);
	h->cfg = c;
	h->slots = c.max_channels;
	h->gpadls = c.max_gpadls;
	h->replies = host_replies(&c);
	h->connects = host_connects(&c);
	h->lowest_id = c.first_channel_id;
	vmbi_gate_init(&h->page_gate);
	vmbi_gate_init(&h->monitor.gate);
	host_slots(h);
	vmbi_hq_init(h);
	vmbi_hvsock_init(h);
	*host = h;
	return 0;
}

int vmb_host_end(struct vmb_host *h)
{
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	if (h->serving) {
		r = VMB_ESTATE;
	} else { /* the vCPUs have been stopped */
		(void)vmbi_gate_close(&h->page_gate);
		(void)vmbi_gate_close(&h->monitor.gate);
		vmbi_host_unuse_page(h);
		vmbi_monitor_unuse(h);
	}
	vmbi_guard_leave(&h->guard);
	return r;
}

static int vmbi_host_enter(struct vmb_host *h)
{
	return h ? vmbi_guard_enter(&h->guard) : VMB_EINVAL;
}

static void vmbi_host_leave(struct vmb_host *h)
{
	vmbi_host_settle(h);
	vmbi_hq_pump(h);
	if (h->poke) {
		h->poke = 0;
		VMBI_POKE(&h->cfg);
	}
	vmbi_guard_leave(&h->guard);
}

static struct vmbi_hc *vmbi_host_find(struct vmb_host *h, vmb_handle ch)
{
	uint32_t slot = vmbi_handle_slot(ch);
	struct vmbi_hc *c;

	if (slot > h->slots)
		return NULL;
	c = &h->ch[slot];
	return c->state != VMBI_HC_FREE && c->generation == vmbi_handle_generation(ch) ? c : NULL;
}

static struct vmbi_hc *vmbi_host_named(struct vmb_host *h, uint32_t id)
{
	uint32_t route = id < VMBI_HOST_IDS ? h->route[id] : 0;

	return route & VMBI_HOST_KNOWN ? &h->ch[route & ~VMBI_HOST_KNOWN] : NULL;
}

static struct vmbi_hc *vmbi_host_known(struct vmb_host *h, uint32_t id)
{
	struct vmbi_hc *c = vmbi_host_named(h, id);

	return c && vmbi_hc_is_told(h, c) ? c : NULL;
}

int vmb_host_info(struct vmb_host *h, struct vmb_bus_info *out)
{
	struct vmb_bus_info i;
	int r = out ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	VMBI_MEMSET(&i, 0, sizeof i);
	i.state = h->state;
	i.version = h->version;
	i.features = h->features;
	i.channels = h->offers;
	i.attached = h->attached;
	vmbi_gpadls_count(h->store, &i.gpadls, &i.gpadl_pages);
	i.message_vp = h->message_vp;
	i.queued = h->queued;
	i.queued_most = h->out.most;
	i.events = h->events.count;
	i.events_most = h->events.most;
	i.messages_in = h->messages_in;
	i.messages_out = h->messages_out;
	i.dropped = h->dropped;
	i.refused_quota = h->refused_quota;
	i.post_retries = h->post_retries;
	i.stray_events = VMBI_LOAD32_RELAXED(&h->stray);
	i.late_answers = h->late_answers;
	i.monitor_gpa[0] = h->monitor.gpa[0];
	i.monitor_gpa[1] = h->monitor.gpa[1];
	i.client_id = h->client_id;
	i.paused = h->paused;
	i.trusted = h->trusted;
	i.post_failed = h->post_failed;
	i.over_budget = h->over_budget;
	VMBI_MEMCPY(i.fate, h->fates, sizeof i.fate);
	r = vmbi_struct_out(out, &i, sizeof i, offsetof(struct vmb_bus_info, fate));
	vmbi_guard_leave(&h->guard);
	return r;
}

/* ---- lib/bus/host_post.c ---- */
/* The guest's messages: the hypercall's input, back-pressure, and who handles which type in which state. control-plane.md 1.2,
 * 1.4, 17 */

#define HOST_POST_HEADER 16u /* of the hypercall's input */
#define HOST_POST_TYPE 1u    /* VMBus's message type of the hypervisor */

/* The states of the connection in which a type is accepted. control-plane.md 17.1 */
#define HOST_IN(state) (uint8_t)(1u << (state))
#define HOST_IN_CONNECTED (HOST_IN(VMB_BUS_CONNECTED) | HOST_IN(VMB_BUS_RUNNING))

static const uint8_t host_accepts[VMBI_MSG_COUNT] = {
	[VMBI_MSG_INITIATE_CONTACT] = HOST_IN(VMB_BUS_NONE) | HOST_IN_CONNECTED | HOST_IN(VMB_BUS_LEAVING),
	[VMBI_MSG_REQUEST_OFFERS] = HOST_IN(VMB_BUS_CONNECTED),
	[VMBI_MSG_OPEN_CHANNEL] = HOST_IN_CONNECTED,
	[VMBI_MSG_CLOSE_CHANNEL] = HOST_IN_CONNECTED,
	[VMBI_MSG_GPADL_HEADER] = HOST_IN_CONNECTED,
	[VMBI_MSG_GPADL_BODY] = HOST_IN_CONNECTED,
	[VMBI_MSG_GPADL_TEARDOWN] = HOST_IN_CONNECTED,
	[VMBI_MSG_REL_ID_RELEASED] = HOST_IN_CONNECTED,
	[VMBI_MSG_UNLOAD] = HOST_IN_CONNECTED,
	[VMBI_MSG_TL_CONNECT_REQUEST] = HOST_IN_CONNECTED,
	[VMBI_MSG_MODIFY_CHANNEL] = HOST_IN_CONNECTED,
	[VMBI_MSG_OPEN_RESERVED_CHANNEL] = HOST_IN_CONNECTED,
	[VMBI_MSG_CLOSE_RESERVED_CHANNEL] = HOST_IN(VMB_BUS_NONE) | HOST_IN_CONNECTED | HOST_IN(VMB_BUS_LEAVING),
	[VMBI_MSG_MODIFY_CONNECTION] = HOST_IN_CONNECTED,
	[VMBI_MSG_PAUSE] = HOST_IN_CONNECTED,
	[VMBI_MSG_RESUME] = HOST_IN_CONNECTED,
};

static int host_post_accepts(const struct vmb_host *h, uint32_t type)
{
	if (h->paused && type != VMBI_MSG_RESUME && type != VMBI_MSG_UNLOAD && type != VMBI_MSG_INITIATE_CONTACT)
		return 0;
	return host_accepts[type] & HOST_IN(h->state);
}

/* Messages about one channel that the guest may name; unknown ids were sorted out before. */
static void host_post_channel(struct vmb_host *h, uint32_t type, const uint8_t *msg)
{
	uint32_t id = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, channel_id)); /* the same place in all */
	struct vmbi_hc *c = type == VMBI_MSG_CLOSE_RESERVED_CHANNEL ? vmbi_host_named(h, id) : vmbi_host_known(h, id);

	if (!c)
		vmbi_host_drop(h, VMB_FATE_UNKNOWN);
	else if (type == VMBI_MSG_OPEN_CHANNEL)
		vmbi_host_open_message(h, c, msg);
	else if (type == VMBI_MSG_CLOSE_CHANNEL)
		vmbi_host_close_message(h, c);
	else if (type == VMBI_MSG_OPEN_RESERVED_CHANNEL)
		vmbi_reserved_open(h, c, msg);
	else if (type == VMBI_MSG_CLOSE_RESERVED_CHANNEL)
		vmbi_reserved_close(h, c, msg);
	else
		vmbi_host_released(h, c);
}

static void host_post_dispatch(struct vmb_host *h, uint32_t connection, const uint8_t *msg, uint32_t len, uint32_t trusted)
{
	uint32_t type;
	int r = vmb_message_check(msg, len, h->version, h->features, 1);

	if ((h->trusted && !trusted) || r < 0) {
		vmbi_host_drop(h, r < 0 ? vmbi_fate_of(r, h->version) : VMB_FATE_UNTRUSTED);
		return;
	}
	type = vmbi_get32(msg);
	if (!host_post_accepts(h, type)) {
		vmbi_host_drop(h, VMB_FATE_STATE);
		return;
	}
	switch (type) {
	case VMBI_MSG_INITIATE_CONTACT:
		vmbi_host_contact(h, msg, connection, trusted);
		break;
	case VMBI_MSG_UNLOAD:
		vmbi_host_unload(h);
		break;
	case VMBI_MSG_REQUEST_OFFERS:
		vmbi_host_request_offers(h);
		break;
	case VMBI_MSG_GPADL_HEADER:
		vmbi_host_gpadl_header(h, msg, len);
		break;
	case VMBI_MSG_GPADL_BODY:
		vmbi_host_gpadl_body(h, msg, len);
		break;
	case VMBI_MSG_GPADL_TEARDOWN:
		vmbi_host_gpadl_teardown(h, msg);
		break;
	case VMBI_MSG_MODIFY_CHANNEL:
		vmbi_host_modify_message(h, msg);
		break;
	case VMBI_MSG_TL_CONNECT_REQUEST:
		vmbi_hvsock_message(h, msg, len);
		break;
	case VMBI_MSG_MODIFY_CONNECTION:
		vmbi_monitor_message(h, msg);
		break;
	case VMBI_MSG_PAUSE:
		vmbi_host_pause(h);
		break;
	case VMBI_MSG_RESUME:
		vmbi_host_resume(h);
		break;
	default:
		host_post_channel(h, type, msg);
		break;
	}
}

/* A new owner of the guest can always make contact and an old one can always leave: what is queued is for nobody then, and
 * their one answer has its own place. So a slot that nobody empties any more cannot lock out a crash kernel. RESUME has no answer. */
static int host_post_always(const uint8_t *msg, uint32_t len)
{
	uint32_t type = len >= 8 ? vmbi_get32(msg) : 0;

	return type == VMBI_MSG_INITIATE_CONTACT || type == VMBI_MSG_UNLOAD || type == VMBI_MSG_RESUME;
}

static int vmbi_host_is_port(const struct vmb_host *h, uint32_t connection)
{
	return connection == VMBI_CONNECTION_LEGACY || connection == VMBI_CONNECTION_MULTICLIENT ||
	       (connection == VMBI_CONNECTION_REDIRECTED && h->cfg.vtl == VMBI_REDIRECT_VTL);
}

/* More than can be taken now: it must come again. */
static int host_post_is_too_much(const struct vmb_host *h, const uint8_t *msg, uint32_t len)
{
	uint32_t type = len >= 8 ? vmbi_get32(msg) : 0;

	if (type == VMBI_MSG_TL_CONNECT_REQUEST && !vmbi_hvsock_room(h))
		return 1;
	return vmbi_hq_full(h) && !host_post_always(msg, len);
}

/* One message, taken or not: its fate, and what the hypercall says. */
static int host_post_one(struct vmb_host *h, uint32_t connection, const uint8_t *msg, uint32_t len, uint32_t trusted)
{
	uint32_t state = h->state;

	h->fate = VMB_FATE_TAKEN;
	if (h->state == VMB_BUS_RESETTING || host_post_is_too_much(h, msg, len)) {
		h->fate = VMB_FATE_AGAIN;
	} else {
		h->messages_in++;
		host_post_dispatch(h, connection, msg, len, trusted);
	}
	h->fates[h->fate]++;
	if (h->cfg.trace)
		vmbi_host_trace_message(h, VMB_TRACE_MESSAGE_IN, msg, len, h->fate, state);
	return h->fate == VMB_FATE_AGAIN ? VMB_HV_NO_BUFFERS : VMB_HV_SUCCESS;
}

static int host_post(struct vmb_host *h, const void *input, uint32_t len, uint32_t trusted)
{
	const uint8_t *in = input;
	uint32_t connection, bytes;
	int r;

	if (!h || !in || len > HOST_POST_HEADER + VMB_MESSAGE_MAX)
		return VMB_EINVAL;
	if (len < HOST_POST_HEADER)
		return VMB_HV_INVALID_PARAMETER;
	connection = vmbi_get32(in);
	bytes = vmbi_get32(in + 12);
	if (!vmbi_host_is_port(h, connection))
		return VMB_HV_INVALID_CONNECTION;
	if (vmbi_get32(in + 8) != HOST_POST_TYPE || bytes > len - HOST_POST_HEADER)
		return VMB_HV_INVALID_PARAMETER;
	r = vmbi_host_enter(h);
	if (r)
		return r;
	r = host_post_one(h, connection, in + HOST_POST_HEADER, bytes, trusted);
	vmbi_host_leave(h);
	return r;
}

int vmb_host_post(struct vmb_host *h, const void *input, uint32_t len)
{
	return host_post(h, input, len, 0);
}

int vmb_host_post_trusted(struct vmb_host *h, const void *input, uint32_t len)
{
	return host_post(h, input, len, h && h->cfg.flags & VMB_HOST_TRUSTED);
}

/* ---- lib/bus/host_contact.c ---- */
/*
 * The connection: contact, unload, reset. All three end what there was, wait until the devices have let go of it, and then do
 * the one pending action; the newest wins, and a reset wins over all. control-plane.md 7.2, 11
 */

#define CONTACT_FAILED 2u /* connection_state. control-plane.md 5 */

static void contact_leave_channel(struct vmb_host *h, struct vmbi_hc *c, int known, uint32_t action)
{
	if (c->kept && action != VMBI_ACTION_RESET)
		vmbi_reserved_keep(h, c);
	else if (c->state != VMBI_HC_FREE && (known || c->kept))
		vmbi_host_forget(h, c);
}

/* End what the guest has. What was queued for it is for nobody: it ignores everything until its answer comes. */
static void contact_leave(struct vmb_host *h, uint32_t action)
{
	int known = h->state == VMB_BUS_RUNNING; /* before, the guest knows of no channel but the reserved ones of older connections */

	h->action = action;
	h->paused = 0;
	h->monitor.swapping = 0;
	vmbi_hvsock_leave(h);
	vmbi_host_become(h, action == VMBI_ACTION_RESET ? VMB_BUS_RESETTING : VMB_BUS_LEAVING);
	vmbi_hq_clear(h);
	for (uint32_t i = 1; (known || h->kept) && i <= h->slots; i++)
		contact_leave_channel(h, &h->ch[i], known, action);
	(void)vmbi_gate_close(&h->page_gate);
	(void)vmbi_gate_close(&h->monitor.gate);
}

static void vmbi_host_unload(struct vmb_host *h)
{
	contact_leave(h, VMBI_ACTION_UNLOAD);
}

static void vmbi_host_pause(struct vmb_host *h)
{
	h->paused = 1;
	vmbi_hq_pause(h);
}

static void vmbi_host_resume(struct vmb_host *h)
{
	h->paused = 0;
}

int vmb_host_reset(struct vmb_host *h)
{
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	contact_leave(h, VMBI_ACTION_RESET);
	vmbi_host_leave(h);
	return 0;
}

/* ---- the request */

/* A connection for another SINT is not ours: it is told so there, if its slot is free; ours stays as it is. */
static void contact_wrong_sint(struct vmb_host *h, uint32_t vp, uint32_t sint)
{
	uint8_t msg[16] = { VMBI_MSG_VERSION_RESPONSE };

	vmbi_hq_direct(h, vp, sint, msg, sizeof msg);
}

/* Which fields count depends on the number asked for, even if it is no version that we know. */
static void vmbi_host_contact(struct vmb_host *h, const uint8_t *msg, uint32_t connection, uint32_t trusted)
{
	struct vmbi_host_request q = { .version = vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, version)),
				       .connection = connection, .trusted = trusted };
	int multi = connection != VMBI_CONNECTION_LEGACY;
	uint32_t sint = VMBI_SINT, vtl = multi ? 0 : h->cfg.vtl;

	if (multi && q.version >= VMB_V5_0)
		sint = msg[VMBI_AT(INITIATE_CONTACT, target_sint)];
	if (multi && q.version >= VMB_V5_1)
		vtl = msg[VMBI_AT(INITIATE_CONTACT, target_vtl)];
	if (q.version >= VMB_V3_0)
		q.vp = vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, target_vp));
	if (q.version < VMB_V2_4)
		q.page = vmbi_get64(msg + VMBI_AT(INITIATE_CONTACT, interrupt_page));
	if (q.version >= VMB_V6_0)
		q.features = vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, feature_flags));
	if (q.features & VMB_FEATURE_CLIENT_ID)
		VMBI_MEMCPY(&q.client_id, msg + VMBI_AT(INITIATE_CONTACT, client_id), sizeof q.client_id);
	q.monitor[0] = vmbi_get64(msg + VMBI_AT(INITIATE_CONTACT, parent_to_child_page));
	q.monitor[1] = vmbi_get64(msg + VMBI_AT(INITIATE_CONTACT, child_to_parent_page));
	q.bad_pages = !vmbi_monitor_pages_ok(q.monitor);

	/* Another VTL's server, a VP or a SINT that is not there: no answer can reach who asked. control-plane.md 7.2, 20.1 */
	if (vtl != h->cfg.vtl || sint > 15 || !vmbi_host_vp_ok(h, q.vp)) {
		vmbi_host_drop(h, VMB_FATE_VALUE);
		return;
	}
	if (sint != VMBI_SINT) {
		h->fate = VMB_FATE_REFUSED;
		contact_wrong_sint(h, q.vp, sint);
		return;
	}
	h->request = q;
	contact_leave(h, VMBI_ACTION_CONTACT);
}

/* ---- the answer */

/* state is not 0: the version is known, but something failed. Below 2.4 there is no way to say that. */
static void contact_respond(struct vmb_host *h, const struct vmbi_host_request *q, uint32_t supported, uint32_t state)
{
	uint8_t msg[40] = { VMBI_MSG_VERSION_RESPONSE };
	uint32_t len = 16;

	if (state && q->version < VMB_V2_4)
		supported = 0;
	if (supported) {
		msg[VMBI_AT(VERSION_RESPONSE, version_supported)] = 1;
		msg[VMBI_AT(VERSION_RESPONSE, connection_state)] = (uint8_t)state;
		vmbi_put32(msg + VMBI_AT(VERSION_RESPONSE, selected), q->version < VMB_V5_0 ? q->version : q->connection);
		if (q->version >= VMB_V6_0) {
			vmbi_put32(msg + VMBI_AT(VERSION_RESPONSE, supported_features), h->features);
			len = 20;
		}
		if (h->features & VMB_FEATURE_SERVER_MONITOR) {
			vmbi_put64(msg + VMBI_AT(VERSION_RESPONSE, parent_to_child_page), h->cfg.monitor_gpa[0]);
			vmbi_put64(msg + VMBI_AT(VERSION_RESPONSE, child_to_parent_page), h->cfg.monitor_gpa[1]);
			len = 40;
		}
	}
	vmbi_hq_connection(h, msg, len, q->vp);
}

/* The interrupt page of versions below 2.4. */
static int vmbi_host_use_page(struct vmb_host *h, uint64_t gpa)
{
	void *page = NULL;

	if (!gpa)
		return 0;
	if (vmbi_host_map_page(h, gpa, &page))
		return VMB_EMAP;
	h->page_gpa = gpa;
	h->page = page;
	h->page_mapped = 1;
	return 0;
}

static void vmbi_host_unuse_page(struct vmb_host *h)
{
	void *page = h->page;

	if (!h->page_mapped)
		return;
	h->page = NULL;
	h->page_mapped = 0;
	vmbi_host_unmap_page(h, h->page_gpa, page);
}

/* control-plane.md 3.1, 16.2 */
static uint32_t vmbi_host_grant(const struct vmb_host *h, uint32_t asked, uint32_t trusted)
{
	uint32_t features = asked & h->cfg.features;

	if (h->limit_features)
		features &= h->limit_features;
	return trusted ? features : features & ~VMB_FEATURE_CONFIDENTIAL;
}

static int vmbi_host_speaks(const struct vmb_host *h, uint32_t version)
{
	return vmbi_version_known(version) && (!h->cfg.max_version || version <= h->cfg.max_version) &&
	       (!h->limit_version || version <= h->limit_version);
}

/* The old connection is gone. control-plane.md 7.2 steps 8 to 11 */
static void contact_negotiate(struct vmb_host *h)
{
	const struct vmbi_host_request *q = &h->request;

	if (!vmbi_host_speaks(h, q->version)) {
		contact_respond(h, q, 0, 0);
		return;
	}
	h->features = vmbi_host_grant(h, q->features, q->trusted);
	if (q->bad_pages || vmbi_host_use_page(h, q->page) || vmbi_monitor_use(h, q->monitor)) {
		vmbi_host_unuse_page(h);
		h->features &= ~VMB_FEATURE_SERVER_MONITOR;
		contact_respond(h, q, 1, CONTACT_FAILED);
		h->features = 0;
		return;
	}
	h->version = q->version;
	h->trusted = q->trusted;
	h->client_id = q->client_id;
	h->message_vp = q->vp;
	vmbi_host_become(h, VMB_BUS_CONNECTED);
	h->connection = ++h->connections; /* the event is queued already */
	if (h->page_mapped)
		vmbi_gate_open(&h->page_gate); /* from here on signallers read it */
	contact_respond(h, q, 1, 0);
}

int vmb_host_limit(struct vmb_host *h, uint32_t max_version, uint32_t features)
{
	int r = max_version && !vmbi_version_known(max_version) ? VMB_EINVAL : vmbi_host_enter(h);

	if (r)
		return r;
	h->limit_version = max_version;
	h->limit_features = features;
	vmbi_host_leave(h);
	return 0;
}

static void vmbi_host_settle(struct vmb_host *h)
{
	uint32_t gpadls, pages, action = h->action, version = h->version;
	uint8_t complete[8] = { VMBI_MSG_UNLOAD_COMPLETE };

	vmbi_monitor_step(h);
	vmbi_gpadls_count(h->store, &gpadls, &pages);
	/* A channel that is served uses its ring: no GPADL means that no device has anything. */
	if (!action || gpadls != vmbi_reserved_gpadls(h) || (h->page_mapped && !vmbi_gate_empty(&h->page_gate)) ||
	    (h->monitor.page && !vmbi_gate_empty(&h->monitor.gate)))
		return;
	vmbi_host_unuse_page(h);
	h->action = VMBI_ACTION_NONE;
	vmbi_monitor_unuse(h);
	vmbi_ports_clear(h);
	h->version = h->features = h->trusted = 0;
	vmbi_host_become(h, VMB_BUS_NONE);
	VMBI_MEMSET(&h->client_id, 0, sizeof h->client_id);
	h->connection = 0;
	if (action == VMBI_ACTION_RESET) {
		h->message_vp = 0;
		h->reset_done = 1;
	}
	vmbi_he_connection(h);
	if (action == VMBI_ACTION_CONTACT)
		contact_negotiate(h);
	else if (action == VMBI_ACTION_UNLOAD && version >= VMB_V1_1)
		vmbi_hq_connection(h, complete, sizeof complete, h->message_vp);
}

/* ---- lib/bus/host_offer.c ---- */
/*
 * Offers: their slots, their order, their ids, and when the guest hears of them. control-plane.md 8
 *
 * Ids are given in the order of the offers (class, rank, instance, subchannel), lowest free one first, so that the same devices
 * get the same ids at each boot. An id that a device asked for stays claimed for it as long as it is offered.
 */

/* ---- ids */

static void offer_set_route(struct vmb_host *h, uint32_t id, uint32_t route)
{
	VMBI_STORE32_RELEASE(&h->route[id], route); /* vmb_host_signal reads it, from any thread */
	if (!route && id < h->lowest_id && id >= h->cfg.first_channel_id)
		h->lowest_id = id;
}

/* There are at least as many ids from the first one up as slots, and no slot has two: there is a free one. */
static uint32_t offer_free_id(struct vmb_host *h)
{
	while (h->lowest_id < VMBI_MAX_CHANNEL_ID && h->route[h->lowest_id])
		h->lowest_id++;
	return h->lowest_id;
}

static void vmbi_host_drop_id(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmbi_hc *heir = c->heir ? &h->ch[c->heir] : NULL;
	uint32_t id = c->id, route = 0;

	vmbi_monitor_take(h, c);
	c->id = 0;
	if (!id)
		return;
	if (heir && (heir->wanted ? heir->wanted == id : h->state == VMB_BUS_RUNNING)) {
		heir->id = id;
		route = heir->slot;
	} else if (id == c->wanted && !c->removed) {
		route = c->slot;
	}
	offer_set_route(h, id, route);
}

static void vmbi_host_unclaim(struct vmb_host *h, const struct vmbi_hc *c)
{
	if (h->route[c->wanted] == c->slot)
		offer_set_route(h, c->wanted, 0);
}

/* ---- when the guest hears of it */

static struct vmbi_hc *offer_primary(struct vmb_host *h, const struct vmbi_hc *c)
{
	return c->primary ? &h->ch[c->primary] : NULL;
}

/* Subchannels come after their primary, and exist since 2.4. control-plane.md 3, 8.6 */
static int vmbi_host_may_offer(struct vmb_host *h, const struct vmbi_hc *c)
{
	const struct vmbi_hc *primary = offer_primary(h, c);

	if (h->state != VMB_BUS_RUNNING || c->removed || c->heir_of || c->state != VMBI_HC_UNOFFERED || vmbi_hc_is_served(c))
		return 0;
	if (!c->subchannel)
		return 1;
	return primary && primary->state != VMBI_HC_UNOFFERED && primary->state != VMBI_HC_REVOKED && vmbi_hc_is_told(h, primary) &&
	       h->version >= VMB_V2_4;
}

static void offer_one(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmbi_hc *primary = offer_primary(h, c);

	if (c->wanted)
		c->id = c->wanted;
	else if (!c->id) /* else inherited */
		c->id = offer_free_id(h);
	vmbi_hc_become(h, c, VMBI_HC_CLOSED);
	c->offered_in = h->connection;
	vmbi_hvsock_watch(h, c);
	vmbi_monitor_give(h, c);
	offer_set_route(h, c->id, c->slot | VMBI_HOST_KNOWN);
	if (primary) {
		primary->live_subs++;
		c->counted = 1;
	}
	vmbi_hq_channel(h, c, VMBI_MSG_OFFER_CHANNEL);
}

static void vmbi_host_offer_now(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!vmbi_host_may_offer(h, c))
		return;
	offer_one(h, c);
	for (uint32_t sub = c->first_sub; sub; sub = h->ch[sub].next_sub)
		if (vmbi_host_may_offer(h, &h->ch[sub]))
			offer_one(h, &h->ch[sub]);
}

static void vmbi_host_request_offers(struct vmb_host *h)
{
	vmbi_host_become(h, VMB_BUS_RUNNING);
	for (uint32_t i = 0; i < h->sorted_used; i++)
		if (vmbi_host_may_offer(h, &h->ch[h->sorted[i]]))
			offer_one(h, &h->ch[h->sorted[i]]);
	vmbi_hq_reply(h, VMBI_MSG_ALL_OFFERS_DELIVERED, 0, 0, 0);
}

/* ---- order */

static int offer_compare(const struct vmbi_hc *a, const struct vmbi_hc *b)
{
	int r = VMBI_MEMCMP(&a->class_id, &b->class_id, sizeof a->class_id);

	if (!r)
		r = a->order < b->order ? -1 : a->order > b->order;
	if (!r)
		r = VMBI_MEMCMP(&a->instance, &b->instance, sizeof a->instance);
	return r ? r : a->subchannel < b->subchannel ? -1 : 1;
}

/* Where it stands in the order, or would stand. */
static uint32_t offer_place(const struct vmb_host *h, const struct vmbi_hc *c)
{
	uint32_t low = 0, high = h->sorted_used;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (offer_compare(&h->ch[h->sorted[middle]], c) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void offer_sort_in(struct vmb_host *h, const struct vmbi_hc *c)
{
	uint32_t *at = h->sorted + offer_place(h, c);

	VMBI_MEMMOVE(at + 1, at, (size_t)(h->sorted + h->sorted_used++ - at) * sizeof *at);
	*at = c->slot;
}

static void vmbi_host_unsort(struct vmb_host *h, const struct vmbi_hc *c)
{
	uint32_t *at = h->sorted + offer_place(h, c);

	VMBI_MEMMOVE(at, at + 1, (size_t)(h->sorted + --h->sorted_used - at) * sizeof *at);
}

/* ---- devices: class and instance */

static uint32_t *offer_device(struct vmb_host *h, const struct vmb_guid *class_id, const struct vmb_guid *instance)
{
	uint32_t hash = 0;

	for (uint32_t i = 0; i < 16; i += 4)
		hash = (hash ^ vmbi_get32(class_id->byte + i)) * 0x9e3779b1u + vmbi_get32(instance->byte + i);
	hash ^= hash >> 16;
	return &h->devices[(hash ^ hash >> 8) & h->device_mask];
}

static void offer_device_add(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t *first = offer_device(h, &c->class_id, &c->instance);

	c->next_device = *first;
	*first = c->slot;
}

static void offer_device_drop(struct vmb_host *h, const struct vmbi_hc *c)
{
	uint32_t *link = offer_device(h, &c->class_id, &c->instance);

	while (*link != c->slot)
		link = &h->ch[*link].next_device;
	*link = c->next_device;
}

/* ---- a new offer */

static void offer_link_sub(struct vmb_host *h, struct vmbi_hc *primary, struct vmbi_hc *c)
{
	c->primary = primary->slot;
	c->order = primary->order; /* so that it sorts behind it */
	c->next_sub = primary->first_sub;
	if (c->next_sub)
		h->ch[c->next_sub].prev_sub = c->slot;
	primary->first_sub = c->slot;
}

/* Does the slot hold this device, or another channel of it? */
static int offer_same_device(const struct vmbi_hc *c, const struct vmb_guid *class_id, const struct vmb_guid *instance)
{
	return !VMBI_MEMCMP(&c->class_id, class_id, sizeof *class_id) && !VMBI_MEMCMP(&c->instance, instance, sizeof *instance);
}

struct offer_relations {
	struct vmbi_hc *old;     /* the same channel, removed, that the guest still knows */
	struct vmbi_hc *primary;
};

/* Twins are refused, the primary must be there. control-plane.md 8.4, 8.6 */
static int offer_relate(struct vmb_host *h, const struct vmb_offer *o, struct offer_relations *rel)
{
	uint32_t route;

	*rel = (struct offer_relations){ NULL, NULL };
	for (uint32_t i = *offer_device(h, &o->class_id, &o->instance); i; i = h->ch[i].next_device) {
		struct vmbi_hc *c = &h->ch[i];

		if (!offer_same_device(c, &o->class_id, &o->instance))
			continue;
		if (c->subchannel == o->subchannel) {
			if (!c->removed)
				return VMB_EINVAL;
			if (!c->gone)
				rel->old = c;
		} else if (!c->subchannel && !c->removed) {
			rel->primary = c;
		}
	}
	if (o->subchannel && !rel->primary)
		return VMB_EINVAL;
	/* The old one's id may be asked for again, any other that is taken may not. */
	route = h->route[o->channel_id];
	return route && rel->old != &h->ch[route & ~VMBI_HOST_KNOWN] ? VMB_EINVAL : 0;
}

static int offer_take(struct vmb_offer *o, const struct vmb_offer *from)
{
	int r = from ? vmbi_struct_in(o, sizeof *o, from, sizeof *o) : VMB_EINVAL;

	if (r)
		return r;
	if (o->flags >= VMB_OFFER_RENEW << 1 || o->subchannel > 0xffff || o->mmio_mb > 0xffff || o->mmio_optional_mb > 0xffff)
		return VMB_EINVAL;
	if (o->channel_id > VMBI_MAX_CHANNEL_ID || o->connection_id || o->monitor_id || o->reserved)
		return VMB_EINVAL;
	return 0;
}

static struct vmbi_hc *offer_slot(struct vmb_host *h, const struct vmb_offer *o)
{
	struct vmbi_hc *c = &h->ch[h->free_slot];

	h->free_slot = c->next_free;
	vmbi_hc_become(h, c, VMBI_HC_UNOFFERED);
	c->user = o->user;
	c->class_id = o->class_id;
	c->instance = o->instance;
	c->offer_flags = o->flags;
	c->subchannel = o->subchannel;
	c->mmio_mb = o->mmio_mb;
	c->mmio_optional_mb = o->mmio_optional_mb;
	c->order = o->order;
	c->wanted = o->channel_id;
	c->max_gpadls = o->max_gpadls;
	c->max_gpadl_pages = o->max_gpadl_pages;
	VMBI_MEMCPY(c->user_defined, o->user_defined, sizeof c->user_defined);
	offer_device_add(h, c);
	return c;
}

static int offer_new(struct vmb_host *h, const struct vmb_offer *o, vmb_handle *ch)
{
	struct offer_relations rel;
	struct vmbi_hc *c;
	int r = offer_relate(h, o, &rel);

	if (r)
		return r;
	if (!h->free_slot) {
		h->refused_quota++;
		return VMB_ENOSPACE;
	}
	c = offer_slot(h, o);
	if (c->wanted && !h->route[c->wanted])
		offer_set_route(h, c->wanted, c->slot);
	if (rel.old && !vmbi_host_is_drained(h, rel.old)) {
		rel.old->heir = c->slot;
		c->heir_of = rel.old->slot;
	}
	if (rel.primary)
		offer_link_sub(h, rel.primary, c);
	offer_sort_in(h, c);
	h->offers++;
	*ch = vmbi_handle(c->slot, c->generation);
	vmbi_host_offer_now(h, c);
	return 0;
}

int vmb_host_offer(struct vmb_host *h, const struct vmb_offer *offer, vmb_handle *ch)
{
	struct vmb_offer o;
	int r = ch ? offer_take(&o, offer) : VMB_EINVAL;

	if (!r)
		r = vmbi_host_enter(h);
	if (r)
		return r;
	r = offer_new(h, &o, ch);
	vmbi_host_leave(h);
	return r;
}

/* ---- what was saved */

static struct vmbi_hc *vmbi_host_claim(struct vmb_host *h, const struct vmb_guid *class_id, const struct vmb_guid *instance, uint32_t subchannel,
				int spare, int *error)
{
	struct vmbi_hc *found = NULL;

	*error = 0;
	for (uint32_t i = *offer_device(h, class_id, instance); i; i = h->ch[i].next_device) {
		struct vmbi_hc *c = &h->ch[i];

		if (c->subchannel != subchannel || !offer_same_device(c, class_id, instance))
			continue;
		if (c->saved)
			*error = VMB_EINVAL; /* twice the same */
		else if (!c->removed)
			found = c;
	}
	if (*error)
		return NULL;
	if (found || !spare)
		return found;
	if (!h->free_slot) {
		*error = VMB_ENOSPACE;
		return NULL;
	}
	found = &h->ch[h->free_slot];
	h->free_slot = found->next_free;
	found->next_free = 0;
	found->class_id = *class_id;
	found->instance = *instance;
	found->subchannel = subchannel;
	found->removed = found->unclaimed = 1;
	offer_device_add(h, found);
	return found;
}

static int vmbi_host_claim_id(struct vmb_host *h, struct vmbi_hc *c, uint32_t id)
{
	if (h->route[id] && h->route[id] != c->slot)
		return VMB_EINVAL;
	c->id = id;
	offer_set_route(h, id, c->slot | VMBI_HOST_KNOWN);
	return 0;
}

/* ---- the end of a slot */

static void offer_unlink_sub(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmbi_hc *primary = offer_primary(h, c);

	if (!primary)
		return;
	if (c->prev_sub)
		h->ch[c->prev_sub].next_sub = c->next_sub;
	else
		primary->first_sub = c->next_sub;
	if (c->next_sub)
		h->ch[c->next_sub].prev_sub = c->prev_sub;
}

/* Late signallers may still count in and out of the gate: its line stays. A slot that has used up its generations is not used
 * again. */
static void vmbi_host_free(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t slot = c->slot, generation = c->generation;

	for (uint32_t sub = c->first_sub; sub; sub = h->ch[sub].next_sub)
		h->ch[sub].primary = 0;
	offer_unlink_sub(h, c);
	offer_device_drop(h, c);
	vmbi_hc_become(h, c, VMBI_HC_FREE);
	VMBI_MEMSET(&c->state, 0, sizeof *c - offsetof(struct vmbi_hc, state));
	c->slot = slot;
	c->generation = generation + 1;
	if (generation == VMBI_GENERATION_MAX)
		return;
	c->next_free = h->free_slot;
	h->free_slot = slot;
}

/* ---- lib/bus/host_remove.c ---- */
/*
 * The end of an offer, from either side: the device goes (RESCIND), or the guest gives the id back or leaves. control-plane.md
 * 12, gpadl.md 5.5
 *
 * RESCIND is sent when the device is off all memory of the channel, and the subchannels have been rescinded: a guest may free
 * that memory the moment it reads it. From the call of vmb_host_remove on the guest's messages are treated as after the
 * RESCIND.
 */

static int vmbi_host_is_drained(struct vmb_host *h, const struct vmbi_hc *c)
{
	/* what is served uses its ring */
	return c->state == VMBI_HC_UNOFFERED && !vmbi_gpadls_next(h->store, c->slot, 0);
}

/* A subchannel is no longer in its primary's way. */
static void remove_uncount(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->counted && c->primary)
		h->ch[c->primary].live_subs--;
	c->counted = 0;
}

static void vmbi_host_count(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!c->primary || c->state == VMBI_HC_UNOFFERED || c->rescinded)
		return;
	h->ch[c->primary].live_subs++;
	c->counted = 1;
}

/* The guest has nothing of it any more. What was to begin anew is offered again, when its device has let go, too. */
static void remove_let_go(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t again = c->renewing;

	vmbi_host_forget(h, c);
	if (!again || c->removed || c->state != VMBI_HC_UNOFFERED) /* its primary is offered anew, and it with that */
		return;
	c->renewing = 1;
	vmbi_host_removed_step(h, c);
}

static void remove_rescind(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->rescinded || vmbi_hc_is_served(c) || c->holds || c->live_subs)
		return;
	if (!vmbi_hc_is_told(h, c)) { /* it was open for an owner of old, and nobody is told that it ends */
		remove_let_go(h, c);
		return;
	}
	c->rescinded = 1;
	vmbi_hc_changed(h, c);
	remove_uncount(h, c);
	vmbi_hq_channel(h, c, VMBI_MSG_RESCIND_CHANNEL_OFFER);
}

static void remove_finish(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmbi_hc *heir = c->heir ? &h->ch[c->heir] : NULL;

	if (!vmbi_host_is_drained(h, c))
		return;
	if (heir) {
		c->heir = heir->heir_of = 0;
		vmbi_host_offer_now(h, heir);
	}
	if (c->unclaimed) {
		vmbi_host_free(h, c);
	} else if (c->dev == VMBI_DEV_NONE) {
		c->gone = 1;
		vmbi_he_channel(h, c, VMBI_HE_GONE);
	}
}

static void remove_renewed(struct vmb_host *h, struct vmbi_hc *c)
{
	c->renewing = 0;
	vmbi_host_offer_now(h, c);
}

static void remove_step(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->state == VMBI_HC_REVOKED)
		remove_rescind(h, c);
	else if (c->state == VMBI_HC_CLOSING && !vmbi_hc_is_served(c) && !c->holds)
		vmbi_reserved_lingered(h, c);
	else if (c->removed)
		remove_finish(h, c);
	else if (c->renewing && vmbi_host_is_drained(h, c)) /* the guest has let go before the device */
		remove_renewed(h, c);
}

static void vmbi_host_removed_step(struct vmb_host *h, struct vmbi_hc *c)
{
	remove_step(h, c);
	if (c->primary)
		remove_step(h, &h->ch[c->primary]);
}

static void vmbi_host_forget(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t was = c->state;

	c->lost += was == VMBI_HC_OPEN;
	c->modifying = 0;
	c->renewing = c->rescinded = 0;
	vmbi_hc_become(h, c, VMBI_HC_UNOFFERED);
	vmbi_hvsock_unwatch(h, c);
	vmbi_reserved_drop(h, c);
	(void)vmbi_hq_forget(h, c);
	vmbi_host_gpadl_drop(h, c);
	vmbi_host_end_open(h, c, was);
	remove_uncount(h, c);
	vmbi_host_drop_id(h, c);
	vmbi_host_removed_step(h, c);
}

/* Where the guest gives up a device that is there, nothing offers it again on this connection. control-plane.md 12.4 */
static void vmbi_host_released(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->kept || (c->state != VMBI_HC_CLOSED && c->state != VMBI_HC_CLOSING && c->state != VMBI_HC_REVOKED)) {
		vmbi_host_drop(h, VMB_FATE_STATE);
		return;
	}
	remove_let_go(h, c);
}

/* Its subchannels go first, as ever; the device offers them again if it wants them. */
static void vmbi_host_renew(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->removed || c->live_subs || h->out_links[c->slot].in) /* its offer is still to come */
		return;
	vmbi_hc_become(h, c, VMBI_HC_REVOKED);
	c->renewing = 1;
	vmbi_host_gpadl_ask(h, c);
	remove_rescind(h, c);
}

/* What the guest has of it ends, whatever that is. */
static void remove_revoke(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t was = c->state;

	vmbi_host_modified(h, c, VMBI_FAILED);
	vmbi_reserved_drop(h, c);
	c->lost += was == VMBI_HC_OPEN;
	vmbi_hc_become(h, c, VMBI_HC_REVOKED);
	vmbi_host_end_open(h, c, was);
	vmbi_host_gpadl_ask(h, c);
	vmbi_host_removed_step(h, c);
}

/* The device is there, and the guest has to begin anew with it. */
static void remove_again(struct vmb_host *h, struct vmbi_hc *c)
{
	c->renewing = 1;
	remove_revoke(h, c);
}

static void remove_one(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->removed)
		return;
	c->removed = 1;
	vmbi_hc_changed(h, c);
	vmbi_hvsock_unwatch(h, c);
	h->offers--;
	vmbi_host_unsort(h, c);
	h->ch[c->heir_of].heir = 0; /* [0] is nobody's */
	c->heir_of = 0;
	vmbi_host_unclaim(h, c);
	if (c->state == VMBI_HC_UNOFFERED || (h->out_links[c->slot].in && c->wire == VMBI_MSG_OFFER_CHANNEL)) {
		vmbi_host_forget(h, c); /* the guest has not heard of it */
		return;
	}
	remove_revoke(h, c);
}

static void vmbi_host_revoke(struct vmb_host *h, struct vmbi_hc *c)
{
	for (uint32_t sub = c->first_sub; sub; sub = h->ch[sub].next_sub)
		if (h->ch[sub].state != VMBI_HC_UNOFFERED && h->ch[sub].state != VMBI_HC_REVOKED)
			remove_again(h, &h->ch[sub]);
	remove_again(h, c);
}

static void vmbi_host_remove(struct vmb_host *h, struct vmbi_hc *c)
{
	for (uint32_t sub = c->first_sub; sub; sub = h->ch[sub].next_sub)
		remove_one(h, &h->ch[sub]);
	remove_one(h, c);
}

int vmb_host_remove(struct vmb_host *h, vmb_handle ch)
{
	struct vmbi_hc *c;
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	c = vmbi_host_find(h, ch);
	if (c)
		vmbi_host_remove(h, c);
	vmbi_host_leave(h);
	return c ? 0 : VMB_EHANDLE;
}

/* ---- lib/bus/host_open.c ---- */
/*
 * Open, close, retarget: what the guest asks of a channel, and the questions to its device that come of it. control-plane.md
 * 10, 17.2
 *
 * The guest's side goes on without the device: an OPEN that it takes back by leaving, or that a rescind overtakes, leaves
 * behind a question that has lost its sense. The device still answers it, and only then gets the next one.
 */

/* ---- questions */

static void vmbi_host_ask_open(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->state != VMBI_HC_OPENING || c->dev != VMBI_DEV_NONE)
		return;
	vmbi_hc_device(h, c, VMBI_DEV_ASKING);
	vmbi_he_channel(h, c, VMBI_HE_OPEN);
}

static void open_withdraw(struct vmb_host *h, struct vmbi_hc *c)
{
	c->restored = 0;
	if (c->dev == VMBI_DEV_ASKING) {
		vmbi_he_cancel(h, c, VMBI_HE_OPEN);
		vmbi_hc_device(h, c, VMBI_DEV_NONE);
	} else {
		vmbi_hc_device(h, c, VMBI_DEV_STALE);
	}
}

static int vmbi_host_may(struct vmb_host *h, const struct vmbi_hc *c, int in_place)
{
	if (!in_place && c->state == VMBI_HC_REVOKED)
		h->fate = VMB_FATE_LATE;
	else if (!in_place)
		vmbi_host_drop(h, VMB_FATE_STATE);
	return in_place;
}

/* Ask for the channel back. Only the flag and the owner's wake: the rings are the owner's. */
static void open_stop(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->dev == VMBI_DEV_DRAINING)
		return;
	vmbi_he_channel(h, c, VMBI_HE_CLOSE);
	if (c->channel)
		vmbi_channel_stop(c->channel);
	h->cfg.wake(h->cfg.ctx, c->user);
}

static void vmbi_host_end_open(struct vmb_host *h, struct vmbi_hc *c, uint32_t state)
{
	if (state != VMBI_HC_REOPEN)
		vmbi_ports_remove(h, c);
	if (state == VMBI_HC_REOPEN) {
		vmbi_host_gpadl_unuse(h, c->reopen.ring_ref); /* that of the first open goes when the device lets go */
	} else if (state == VMBI_HC_OPENING) {
		open_withdraw(h, c);
		vmbi_host_gpadl_unuse(h, c->open.ring_ref);
	} else if (state == VMBI_HC_OPEN) {
		if (vmbi_hc_is_served(c)) {
			open_stop(h, c);
			return;
		}
		if (c->dev != VMBI_DEV_NONE) /* asked whether it can go on after a restore */
			open_withdraw(h, c);
		if (c->state != VMBI_HC_CLOSING)
			vmbi_host_gpadl_unuse(h, c->open.ring_ref);
	} else if (state == VMBI_HC_CLOSING && !vmbi_hc_is_served(c)) {
		vmbi_host_gpadl_unuse(h, c->open.ring_ref);
	}
}

/* ---- OPEN_CHANNEL */

/* One range of whole pages, split in two rings of a control page and at least one data page. gpadl.md 6 */
static int open_ring_ok(struct vmb_host *h, uint32_t ref, uint32_t rx_pages, uint32_t *pages)
{
	struct vmb_gpadl_info info;
	uint64_t range;

	vmbi_gpadls_info(h->store, ref, &info);
	if (info.ranges != 1)
		return 0;
	vmbi_gpadls_words(h->store, ref, 0, &range, 1);
	if (range >> 32 || range % VMB_PAGE)
		return 0;
	*pages = info.pages;
	return rx_pages >= 2 && rx_pages < info.pages && info.pages - rx_pages >= 2;
}

static int vmbi_host_find_ring(struct vmb_host *h, const struct vmbi_hc *c, struct vmbi_host_open *o)
{
	o->ring_ref = vmbi_gpadls_find(h->store, c->slot, o->ring_id);
	return o->ring_ref && open_ring_ok(h, o->ring_ref, o->rx_pages, &o->ring_pages);
}

static int vmbi_host_open_ring(struct vmb_host *h, const struct vmbi_hc *c, struct vmbi_host_open *o)
{
	return vmbi_host_find_ring(h, c, o) && !vmbi_gpadls_is_leaving(h->store, o->ring_ref);
}

/* With feature 0x01 the guest's choice counts, whatever it is; else the offer's. control-plane.md 6.4, 20.1 */
static int open_parameters(struct vmb_host *h, const struct vmbi_hc *c, const uint8_t *msg, struct vmbi_host_open *o)
{
	o->connection = vmbi_host_connection(h, c);
	o->flag = c->id;
	if (h->features & VMB_FEATURE_REDIRECT && vmbi_get16(msg + VMBI_AT(OPEN_CHANNEL, open_flags)) & 1)
		o->flags = VMB_OPEN_REDIRECT;
	if (!(h->features & VMB_FEATURE_SIGNAL_PARAMETERS))
		return 1;
	o->connection = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, connection_id));
	o->flag = vmbi_get16(msg + VMBI_AT(OPEN_CHANNEL, event_flag));
	return o->flag && o->flag < VMBI_HOST_IDS && vmbi_ports_may(h, c, o->connection);
}

/* control-plane.md 10.2 */
static int open_parse(struct vmb_host *h, const struct vmbi_hc *c, const uint8_t *msg, struct vmbi_host_open *o)
{
	VMBI_MEMSET(o, 0, sizeof *o);
	o->open_id = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, open_id));
	o->ring_id = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, ring_gpadl));
	o->rx_pages = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, downstream_page_offset));
	o->target_vp = h->version >= VMB_V2_4 ? vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, target_vp)) : 0;
	o->version = h->version;
	o->offer_flags = vmbi_host_offer_flags(h, c->offer_flags);
	VMBI_MEMCPY(o->user_data, msg + VMBI_AT(OPEN_CHANNEL, user_data), sizeof o->user_data);
	if (o->target_vp != VMB_VP_NONE && !vmbi_host_vp_ok(h, o->target_vp))
		return 0;
	return open_parameters(h, c, msg, o) && vmbi_host_open_ring(h, c, o);
}

static void vmbi_host_open_result(struct vmb_host *h, const struct vmbi_hc *c, const struct vmbi_host_open *o, uint32_t status)
{
	uint8_t msg[20] = { VMBI_MSG_OPEN_CHANNEL_RESULT };

	if (!(o->flags & VMB_OPEN_RESERVED)) {
		vmbi_hq_reply(h, VMBI_MSG_OPEN_CHANNEL_RESULT, c->id, o->open_id, status);
		return;
	}
	vmbi_put32(msg + VMBI_AT(OPEN_CHANNEL_RESULT, channel_id), c->id);
	vmbi_put32(msg + VMBI_AT(OPEN_CHANNEL_RESULT, status), status);
	vmbi_hq_direct(h, o->result_vp, o->result_sint, msg, sizeof msg);
}

static void vmbi_host_open_message(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg)
{
	struct vmbi_host_open o;

	if (!vmbi_host_may(h, c, c->state == VMBI_HC_CLOSED || c->state == VMBI_HC_CLOSING))
		return;
	if (!open_parse(h, c, msg, &o)) {
		c->refused++;
		h->fate = VMB_FATE_REFUSED;
		vmbi_host_open_result(h, c, &o, VMBI_FAILED);
		return;
	}
	vmbi_gpadls_use(h->store, o.ring_ref);
	if (c->state == VMBI_HC_CLOSING) {
		c->reopen = o;
		vmbi_hc_become(h, c, VMBI_HC_REOPEN);
		return;
	}
	vmbi_host_begin_open(h, c, &o);
}

static void vmbi_host_begin_open(struct vmb_host *h, struct vmbi_hc *c, const struct vmbi_host_open *o)
{
	c->open = *o;
	vmbi_ports_add(h, c, o->connection);
	vmbi_hvsock_unwatch(h, c);
	c->tx_at.valid = c->rx_at.valid = 0;
	c->poisoned = 0;
	vmbi_hc_become(h, c, VMBI_HC_OPENING);
	vmbi_host_ask_open(h, c);
}

/* ---- CLOSE_CHANNEL: has no answer */

static void vmbi_host_close_message(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!vmbi_host_may(h, c, c->state == VMBI_HC_OPEN && !c->kept))
		return;
	vmbi_host_modified(h, c, VMBI_FAILED);
	vmbi_host_begin_close(h, c);
}

static void vmbi_host_begin_close(struct vmb_host *h, struct vmbi_hc *c)
{
	int lingers = vmbi_reserved_lingers(h, c);

	c->closes++;
	vmbi_hc_become(h, c, vmbi_hc_is_served(c) || lingers ? VMBI_HC_CLOSING : VMBI_HC_CLOSED);
	vmbi_host_end_open(h, c, VMBI_HC_OPEN);
	if (lingers)
		vmbi_host_gpadl_ask(h, c);
	if (c->state == VMBI_HC_CLOSED)
		vmbi_host_closed(h, c);
}

static void vmbi_host_closed(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->kept)
		vmbi_reserved_closed(h, c);
	else if (c->offer_flags & VMB_OFFER_RENEW)
		vmbi_host_renew(h, c);
}

/* ---- MODIFY_CHANNEL. control-plane.md 10.3 */

static void vmbi_host_modified(struct vmb_host *h, struct vmbi_hc *c, uint32_t status)
{
	if (c->modifying)
		vmbi_hq_reply(h, VMBI_MSG_MODIFY_CHANNEL_RESPONSE, c->id, status, 0);
	c->modifying = 0;
}

static void open_modify_error(struct vmb_host *h, uint32_t id, uint32_t why)
{
	if (h->version < VMB_V5_3) {
		vmbi_host_drop(h, why);
		return;
	}
	h->fate = VMB_FATE_REFUSED;
	vmbi_hq_reply(h, VMBI_MSG_MODIFY_CHANNEL_RESPONSE, id, VMBI_FAILED, 0);
}

/* The response promises that no interrupt comes to the old VP any more: it waits for those who may have seen the old one, which
 * are the device's own threads; the guest's signals do not hold it up. Without responses there is no such promise, and the
 * newest target counts. */
static void vmbi_host_modify_message(struct vmb_host *h, const uint8_t *msg)
{
	uint32_t id = vmbi_get32(msg + VMBI_AT(MODIFY_CHANNEL, channel_id));
	uint32_t vp = vmbi_get32(msg + VMBI_AT(MODIFY_CHANNEL, target_vp));
	struct vmbi_hc *c = vmbi_host_known(h, id);

	if (c && c->modifying) {
		vmbi_host_drop(h, VMB_FATE_STATE); /* the guest's bug: one answer is due, not two */
		return;
	}
	if (!c || c->state != VMBI_HC_OPEN || c->open.target_vp == VMB_VP_NONE || !vmbi_host_vp_ok(h, vp)) {
		open_modify_error(h, id, !c ? VMB_FATE_UNKNOWN : c->state != VMBI_HC_OPEN ? VMB_FATE_STATE : VMB_FATE_VALUE);
		return;
	}
	c->open.target_vp = vp;
	VMBI_STORE32_RELEASE(&c->target, vp);
	if (h->version < VMB_V5_3)
		return;
	c->modifying = 1;
	(void)vmbi_gate_watch(&c->out);
	vmbi_host_gate_step(h, c);
}

/* ---- looking at it */

static int open_is_redirected(const struct vmb_host *h, const struct vmbi_host_open *o)
{
	return o->flags & VMB_OPEN_REDIRECT && h->cfg.flags & VMB_HOST_REDIRECT;
}

int vmb_host_open_info(struct vmb_host *h, vmb_handle ch, struct vmb_open_info *out)
{
	struct vmb_open_info i;
	struct vmbi_hc *c;
	int r = out ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	c = vmbi_host_find(h, ch);
	if (!c) {
		r = VMB_EHANDLE;
	} else if (c->dev == VMBI_DEV_NONE && c->state != VMBI_HC_OPENING && c->state != VMBI_HC_OPEN) {
		r = VMB_ESTATE; /* but for a question that has lost its sense: it is still to be answered */
	} else {
		VMBI_MEMSET(&i, 0, sizeof i);
		i.flags = c->open.offer_flags & (VMB_OFFER_PRIVATE_RING | VMB_OFFER_PRIVATE_MEMORY | VMB_OFFER_PINNED);
		i.open_flags = c->open.flags;
		i.version = c->open.version;
		i.ring_gpadl = c->open.ring_id;
		i.ring_pages = c->open.ring_pages;
		i.rx_pages = c->open.rx_pages;
		i.target_vp = c->open.target_vp;
		i.target_vtl = open_is_redirected(h, &c->open) ? VMBI_REDIRECT_VTL : h->cfg.vtl;
		i.target_sint = open_is_redirected(h, &c->open) ? VMBI_REDIRECT_SINT : VMBI_SINT;
		i.event_flag = c->open.version >= VMB_V2_4 ? c->open.flag : 0;
		i.connection_id = c->open.connection;
		VMBI_MEMCPY(i.user_data, c->open.user_data, sizeof i.user_data);
		r = vmbi_struct_out(out, &i, sizeof i, sizeof i);
	}
	vmbi_guard_leave(&h->guard);
	return r;
}

/* ---- lib/bus/host_serve.c ---- */
/*
 * Serving an open channel: the device's answer to EV_OPEN, by an object of ours or elsewhere, and giving it back. The gates of
 * the channel are open from the one to the other.
 */

/* ---- giving back */

static void serve_unmap(struct vmb_host *h, struct vmbi_hc *c)
{
	const struct vmbi_ring *tx = &c->channel->tx.ring, *rx = &c->channel->rx.ring;
	struct vmb_ring_mem tx_mem = { .control = tx->control, .pages = (void **)(uintptr_t)tx->pages };
	struct vmb_ring_mem rx_mem = { .control = rx->control, .pages = (void **)(uintptr_t)rx->pages };

	vmbi_host_unmap_rings(h, c, &tx_mem, &rx_mem);
	c->mapped = 0;
}

/* Nobody uses the object any more and nobody is in the gate: what waited for that goes on. */
static void serve_finish(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t ring = c->open.ring_ref;

	if (c->mapped)
		serve_unmap(h, c);
	if (c->channel)
		h->attached--;
	c->channel = NULL;
	vmbi_hc_changed(h, c);
	vmbi_hc_device(h, c, VMBI_DEV_NONE);
	h->serving--;
	vmbi_he_channel(h, c, VMBI_HE_CLOSED);
	if (c->state == VMBI_HC_OPEN)
		return; /* for the guest it is open still */
	if (c->state == VMBI_HC_CLOSING && vmbi_reserved_lingers(h, c)) {
		vmbi_host_gpadl_ask(h, c);
		return;
	}
	vmbi_host_gpadl_unuse(h, ring);
	if (c->state == VMBI_HC_CLOSING) {
		vmbi_hc_become(h, c, VMBI_HC_CLOSED);
		vmbi_host_closed(h, c);
	} else if (c->state == VMBI_HC_REOPEN) {
		if (c->kept)
			vmbi_reserved_closed(h, c);
		vmbi_host_begin_open(h, c, &c->reopen);
	}
	vmbi_host_removed_step(h, c);
}

static void vmbi_host_gate_step(struct vmb_host *h, struct vmbi_hc *c)
{
	if (vmbi_gate_empty(&c->out)) {
		vmbi_gate_unwatch(&c->out);
		vmbi_host_modified(h, c, 0);
	}
	if (c->dev == VMBI_DEV_DRAINING && vmbi_gate_empty(&c->gate))
		serve_finish(h, c);
	if (c->modifying || c->dev == VMBI_DEV_DRAINING)
		vmbi_host_gate_wait(h, c); /* the last one out pokes */
}

static void serve_let_go(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->channel) {
		vmbi_channel_cursors(c->channel, &c->tx_at, &c->rx_at);
		c->poisoned = (uint32_t)vmbi_channel_is_broken(c->channel);
	}
	vmbi_he_cancel(h, c, VMBI_HE_CLOSE);
	vmbi_monitor_disconnect(h, c);
	c->token = 0;
	c->restored = 0;
	vmbi_hc_device(h, c, VMBI_DEV_DRAINING);
	(void)vmbi_gate_close(&c->gate);
	vmbi_host_gate_step(h, c);
}

int vmb_host_detach(struct vmb_host *h, vmb_handle ch)
{
	struct vmbi_hc *c;
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	c = vmbi_host_find(h, ch);
	if (!c)
		r = VMB_EHANDLE;
	else if (c->dev != VMBI_DEV_ATTACHED && c->dev != VMBI_DEV_REMOTE)
		r = VMB_ESTATE;
	else
		serve_let_go(h, c);
	vmbi_host_leave(h);
	return r;
}

/* ---- taking over */

/* The device answered a question that has lost its sense. */
static void serve_late(struct vmb_host *h, struct vmbi_hc *c)
{
	c->token = 0;
	c->restored = 0;
	vmbi_hc_device(h, c, VMBI_DEV_NONE);
	vmbi_host_ask_open(h, c);
	vmbi_host_removed_step(h, c);
}

/* The device serves the channel from now on; if it had been asked, the guest is told. */
static void serve_begin(struct vmb_host *h, struct vmbi_hc *c, struct vmb_channel *channel)
{
	int asked = c->dev == VMBI_DEV_ASKED;

	c->channel = channel;
	vmbi_hc_device(h, c, channel ? VMBI_DEV_ATTACHED : VMBI_DEV_REMOTE);
	vmbi_hc_changed(h, c);
	if (channel)
		vmbi_signals_watch(&channel->signals, h->now, h->cfg.signal_budget);
	c->token = 0;
	c->legacy = c->open.version < VMB_V2_4;
	c->flag = c->open.flag;
	c->redirect = c->open.flags & VMB_OPEN_REDIRECT && h->cfg.flags & VMB_HOST_REDIRECT;
	h->serving++;
	h->attached += channel != NULL;
	VMBI_STORE32_RELEASE(&c->target, c->open.target_vp);
	vmbi_gate_unwatch(&c->out); /* a retarget of the last open may have been given up */
	vmbi_gate_open(&c->gate);
	vmbi_monitor_connect(h, c);
	if (asked && c->state == VMBI_HC_OPENING) { /* else it was open before a restore, and the guest knows */
		c->opens++;
		vmbi_hc_become(h, c, VMBI_HC_OPEN);
		vmbi_host_open_result(h, c, &c->open, 0);
	}
}

/* What the guest sent or signalled before is not announced again: the device looks once. ring.md 10.4 R10. The guest hears that
 * it is open before the device may signal it, if its slot is free. After a restore the guest looks, too: control-plane.md 18. */
static void serve_wake(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t restored = c->restored;

	c->restored = 0;
	vmbi_hq_pump(h);
	h->cfg.wake(h->cfg.ctx, c->user);
	if (restored)
		vmbi_host_interrupt_guest(c);
}

/* No to EV_OPEN. */
static void serve_refuse(struct vmb_host *h, struct vmbi_hc *c, uint32_t status)
{
	c->token = 0;
	c->refused++;
	vmbi_hc_device(h, c, VMBI_DEV_NONE);
	c->restored = 0;
	if (c->state == VMBI_HC_OPEN) { /* open before a restore, and cannot go on: the guest is told by a rescind. control-plane.md 18 */
		vmbi_host_revoke(h, c);
		return;
	}
	vmbi_hc_become(h, c, VMBI_HC_CLOSED);
	vmbi_ports_remove(h, c);
	vmbi_host_open_result(h, c, &c->open, status);
	vmbi_host_gpadl_unuse(h, c->open.ring_ref);
	if (c->kept)
		vmbi_reserved_end(h, c);
}

/* May this channel be attached now? 0, or why not. */
static int serve_may(struct vmb_host *h, struct vmbi_hc *c)
{
	switch (c->dev) {
	case VMBI_DEV_ASKED:
		return 0;
	case VMBI_DEV_STALE:
		serve_late(h, c);
		h->late_answers++;
		return VMB_ESTOPPED;
	case VMBI_DEV_DRAINING:
		return VMB_EAGAIN;
	case VMBI_DEV_NONE:
		if (c->state != VMBI_HC_OPEN)
			return VMB_ESTATE;
		if (c->events & VMBI_HE_CLOSED)
			return VMB_EAGAIN; /* the last one is not over */
		return c->poisoned ? VMB_EPEER : 0;
	default:
		return VMB_ESTATE;
	}
}

/* The config as this channel needs it: its signal, its pipe framing, where it stands. */
static int serve_config(struct vmbi_hc *c, struct vmb_channel_config *cfg)
{
	uint32_t tx_data = c->open.ring_pages - c->open.rx_pages - 1, rx_data = c->open.rx_pages - 1;

	if (!cfg->tx.control != !cfg->rx.control)
		return VMB_EINVAL;
	if (cfg->tx.control && (cfg->tx.data_pages != tx_data || cfg->rx.data_pages != rx_data))
		return VMB_EINVAL;
	if (!cfg->tx.control && cfg->ring_pages < c->open.ring_pages)
		return VMB_EINVAL;
	cfg->flags &= ~VMB_CHANNEL_PIPE;
	if (c->offer_flags & VMB_OFFER_PIPE)
		cfg->flags |= VMB_CHANNEL_PIPE; /* VMB_CHANNEL_RAW is above that */
	cfg->tx.flags &= ~VMB_RING_FRESH; /* the guest has initialised the rings; gpadl.md 6 */
	cfg->rx.flags &= ~VMB_RING_FRESH;
	cfg->tx_at = c->tx_at;
	cfg->rx_at = c->rx_at;
	cfg->ctx = c;
	cfg->signal = vmbi_host_signal_guest;
	return 0;
}

static int serve_attach(struct vmb_host *h, struct vmbi_hc *c, void *mem, size_t bytes, struct vmb_channel_config *cfg,
			struct vmb_channel **out)
{
	int mine, r = serve_config(c, cfg);
	struct vmb_storage need;

	if (!r)
		r = vmbi_channel_need(cfg, &need);
	if (!r)
		r = vmbi_storage_fits(mem, bytes, &need);
	if (r)
		return r;
	mine = !cfg->tx.control;
	if (mine)
		r = vmbi_host_map_rings(h, c, mem, cfg);
	if (!r) {
		r = vmbi_channel_make(mem, bytes, cfg, 0, out);
		if (r && mine)
			vmbi_host_unmap_rings(h, c, &cfg->tx, &cfg->rx);
	}
	if ((r == VMB_EMAP || r == VMB_EPEER) && c->dev == VMBI_DEV_ASKED)
		serve_refuse(h, c, VMBI_FAILED);
	if (r)
		return r;
	c->mapped = (uint32_t)mine;
	serve_begin(h, c, *out);
	return 0;
}

int vmb_host_attach(struct vmb_host *h, vmb_handle ch, void *mem, size_t bytes, const struct vmb_channel_config *cfg,
		    struct vmb_channel **out)
{
	struct vmb_channel_config own;
	struct vmbi_hc *c;
	int r = !mem || !cfg || !out ? VMB_EINVAL : vmbi_struct_in(&own, sizeof own, cfg, sizeof own);

	if (!r)
		r = vmbi_host_enter(h);
	if (r)
		return r;
	c = vmbi_host_find(h, ch);
	r = c ? serve_may(h, c) : VMB_EHANDLE;
	if (!r)
		r = serve_attach(h, c, mem, bytes, &own, out);
	if (!r)
		serve_wake(h, c);
	vmbi_host_leave(h);
	return r;
}

/* ---- answering without an object */

/* What the guest shall see. Errors of this library mean nothing to it. */
static uint32_t serve_status(int32_t status)
{
	return status < 0 && status > -64 ? VMBI_FAILED : (uint32_t)status;
}

static int serve_answer_open(struct vmb_host *h, struct vmbi_hc *c, int32_t status)
{
	if (c->dev == VMBI_DEV_STALE) {
		serve_late(h, c);
		return VMB_ENOENT;
	}
	if (c->dev != VMBI_DEV_ASKED)
		return VMB_ENOENT;
	if (status) {
		serve_refuse(h, c, serve_status(status));
		return 0;
	}
	serve_begin(h, c, NULL);
	serve_wake(h, c);
	return 0;
}

static int serve_answer_close(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->dev == VMBI_DEV_ATTACHED)
		return VMB_ESTATE; /* there is an object to give back */
	if (c->dev != VMBI_DEV_REMOTE)
		return VMB_ENOENT;
	serve_let_go(h, c);
	return 0;
}

static int serve_answer(struct vmb_host *h, const struct vmb_event *q, int32_t status)
{
	struct vmbi_hc *c = vmbi_host_find(h, q->ch);

	if (q->kind == VMB_EV_HVSOCK)
		return vmbi_hvsock_answer(h, q, serve_status(status));
	if (c && q->kind == VMB_EV_GPADL_DOWN)
		return vmbi_host_gpadl_answer(h, c, q);
	if (!c || !q->token || c->token != q->token)
		return VMB_ENOENT;
	return q->kind == VMB_EV_OPEN ? serve_answer_open(h, c, status) : serve_answer_close(h, c);
}

int vmb_host_answer(struct vmb_host *h, const struct vmb_event *question, int32_t status)
{
	int r;

	if (!question)
		return VMB_EINVAL;
	if (question->kind != VMB_EV_OPEN && question->kind != VMB_EV_HVSOCK &&
	    (status || (question->kind != VMB_EV_CLOSE && question->kind != VMB_EV_GPADL_DOWN)))
		return VMB_EINVAL;
	r = vmbi_host_enter(h);
	if (r)
		return r;
	r = serve_answer(h, question, status);
	if (r == VMB_ENOENT)
		h->late_answers++;
	vmbi_host_leave(h);
	return r;
}

/* ---- lib/bus/host_ring.c ---- */
/*
 * Mapping guest memory: single pages, and the ring pair of an open channel, a few pages at a time. The GPADL's pages are the
 * control page of the guest's sending ring, its data, the control page of the host's sending ring, its data. gpadl.md 6
 */

/* ---- one page, for as long as the guest lets us have it */

#define RING_PAGE_FLAGS (VMB_MAP_WRITE | VMB_MAP_ALWAYS)

static int vmbi_host_map_page(struct vmb_host *h, uint64_t gpa, void **page)
{
	uint64_t pfn = gpa / VMB_PAGE;

	if (gpa % VMB_PAGE || !h->cfg.map || h->cfg.map(h->cfg.ctx, &pfn, 1, RING_PAGE_FLAGS, page) < 0)
		return VMB_EMAP;
	return 0;
}

static void vmbi_host_unmap_page(struct vmb_host *h, uint64_t gpa, void *page)
{
	uint64_t pfn = gpa / VMB_PAGE;

	h->cfg.unmap(h->cfg.ctx, &pfn, 1, RING_PAGE_FLAGS, &page);
}

/* ---- ring pairs */

/* A confidential channel's ring is private memory. control-plane.md 16.2 */
static uint32_t ring_flags(const struct vmbi_host_open *o)
{
	return VMB_MAP_WRITE | VMB_MAP_RING | (o->offer_flags & VMB_OFFER_PRIVATE_RING ? VMB_MAP_PRIVATE : 0);
}

/* Where the pages of the two rings are kept. The data pages' tables lie in the storage of the channel. */
struct ring_pages {
	void *rx_control, *tx_control;
	void **rx, **tx;
	uint32_t rx_pages; /* of the guest's sending ring, with its control page */
	/* those at hand */
	uint64_t pfns[VMBI_HOST_MAP_CHUNK];
	void *map[VMBI_HOST_MAP_CHUNK];
};

static void **ring_page(struct ring_pages *p, uint32_t i)
{
	if (i == 0)
		return &p->rx_control;
	if (i < p->rx_pages)
		return &p->rx[i - 1];
	if (i == p->rx_pages)
		return &p->tx_control;
	return &p->tx[i - p->rx_pages - 1];
}

static uint32_t ring_chunk(const struct vmbi_host_open *o, uint32_t at)
{
	return o->ring_pages - at < VMBI_HOST_MAP_CHUNK ? o->ring_pages - at : VMBI_HOST_MAP_CHUNK;
}

/* The first n pages, in the chunks in which they were mapped. */
static void ring_unmap(struct vmb_host *h, const struct vmbi_host_open *o, struct ring_pages *p, uint32_t pages)
{
	for (uint32_t at = 0, n; at < pages; at += n) {
		n = ring_chunk(o, at);
		vmbi_gpadls_words(h->store, o->ring_ref, 1 + at, p->pfns, n);
		for (uint32_t i = 0; i < n; i++)
			p->map[i] = *ring_page(p, at + i);
		h->cfg.unmap(h->cfg.ctx, p->pfns, n, ring_flags(o), p->map);
	}
}

static int ring_map(struct vmb_host *h, const struct vmbi_host_open *o, struct ring_pages *p)
{
	for (uint32_t at = 0, n; at < o->ring_pages; at += n) {
		n = ring_chunk(o, at);
		vmbi_gpadls_words(h->store, o->ring_ref, 1 + at, p->pfns, n);
		if (h->cfg.map(h->cfg.ctx, p->pfns, n, ring_flags(o), p->map) < 0) {
			ring_unmap(h, o, p, at);
			return VMB_EMAP;
		}
		for (uint32_t i = 0; i < n; i++)
			*ring_page(p, at + i) = p->map[i];
	}
	return 0;
}

static int vmbi_host_map_rings(struct vmb_host *h, struct vmbi_hc *c, void *mem, struct vmb_channel_config *cfg)
{
	const struct vmbi_host_open *o = &c->open;
	struct ring_pages p;
	uint32_t rx_data = o->rx_pages - 1, tx_data = o->ring_pages - o->rx_pages - 1;
	int r;

	if (!h->cfg.map)
		return VMB_EMAP;
	p.rx_pages = o->rx_pages;
	vmbi_channel_tables(mem, cfg, tx_data, &p.tx, &p.rx);
	r = ring_map(h, o, &p);
	if (r)
		return r;
	cfg->tx = (struct vmb_ring_mem){ .control = p.tx_control, .pages = p.tx, .data_pages = tx_data };
	cfg->rx = (struct vmb_ring_mem){ .control = p.rx_control, .pages = p.rx, .data_pages = rx_data };
	return 0;
}

static void vmbi_host_unmap_rings(struct vmb_host *h, struct vmbi_hc *c, const struct vmb_ring_mem *tx, const struct vmb_ring_mem *rx)
{
	struct ring_pages p;

	p.rx_control = rx->control;
	p.tx_control = tx->control;
	p.rx_pages = c->open.rx_pages;
	p.rx = (void **)(uintptr_t)rx->pages;
	p.tx = (void **)(uintptr_t)tx->pages;
	ring_unmap(h, &c->open, &p, c->open.ring_pages);
}

/* ---- lib/bus/host_gpadl.c ---- */
/*
 * GPADLs: the guest's messages about them, and holds by devices. A list in use, as the ring of an open or by a hold, outlives its
 * tear-down, and TORNDOWN waits for the last use. gpadl.md 5
 */

static void gpadl_created(struct vmb_host *h, uint32_t id, uint32_t gpadl, uint32_t status)
{
	vmbi_hq_reply(h, VMBI_MSG_GPADL_CREATED, id, gpadl, status);
}

/* What has become of a list of this slot; before: VMB_LIST_*. */
static void gpadl_trace(struct vmb_host *h, uint32_t slot, uint32_t ref, uint32_t id, uint32_t before)
{
	struct vmb_gpadl_info info = { 0 };
	uint32_t owner, now;

	if (!h->cfg.trace)
		return;
	now = ref ? vmbi_gpadls_look(h->store, ref, &owner) : VMB_LIST_NONE;
	if (now)
		vmbi_gpadls_info(h->store, ref, &info);
	vmbi_host_trace_gpadl(h, slot, id, before, now, info.words, info.ranges);
}

/* before: what the list was; VMB_LIST_NONE: it is new. */
static void gpadl_answer(struct vmb_host *h, int what, const struct vmbi_gpadl_answer *a, uint32_t before)
{
	switch (what) {
	case VMBI_GPADL_WAITING:
		if (!before)
			gpadl_trace(h, a->owner, a->ref, a->id, before);
		break;
	case VMBI_GPADL_COMPLETE:
		gpadl_trace(h, a->owner, a->ref, a->id, before);
		gpadl_created(h, h->ch[a->owner].id, a->id, 0);
		break;
	case VMBI_GPADL_QUOTA:
		h->refused_quota++;
		h->fate = VMB_FATE_QUOTA;
		gpadl_created(h, h->ch[a->owner].id, a->id, VMBI_FAILED);
		break;
	case VMBI_GPADL_REFUSED:
		h->fate = VMB_FATE_REFUSED;
		gpadl_trace(h, a->owner, 0, a->id, before);
		gpadl_created(h, h->ch[a->owner].id, a->id, VMBI_FAILED);
		break;
	case VMBI_GPADL_DROPPED:
		vmbi_host_drop(h, VMB_FATE_UNKNOWN);
		break;
	}
}

/* In every state of the channel, rescinded too: Linux cannot bear a failure there. gpadl.md 5.2, control-plane.md 12.2 */
static void vmbi_host_gpadl_header(struct vmb_host *h, const uint8_t *msg, uint32_t len)
{
	uint32_t id = vmbi_get32(msg + VMBI_AT(GPADL_HEADER, channel_id));
	struct vmbi_hc *c = vmbi_host_known(h, id);
	struct vmbi_gpadl_answer a;
	int what;

	if (!c || c->kept) { /* to a reserved channel nothing is added. control-plane.md 10.5 */
		h->fate = VMB_FATE_REFUSED;
		gpadl_created(h, id, vmbi_get32(msg + VMBI_AT(GPADL_HEADER, gpadl_id)), VMBI_FAILED);
		return;
	}
	what = vmbi_gpadls_header(h->store, c->slot, msg, len, c->max_gpadls, c->max_gpadl_pages, &a);
	gpadl_answer(h, what, &a, VMB_LIST_NONE);
}

static void vmbi_host_gpadl_body(struct vmb_host *h, const uint8_t *msg, uint32_t len)
{
	struct vmbi_gpadl_answer a;

	gpadl_answer(h, vmbi_gpadls_body(h->store, msg, len, &a), &a, VMB_LIST_BUILDING);
}

/* ---- leaving */

/* The store has forgotten it, and so do we. */
static void gpadl_forgotten(struct vmb_host *h, uint32_t ref, uint32_t id, int answer)
{
	h->gpadl[ref] = (struct vmbi_host_gpadl){ 0, 0, 0, 0, 0, 0, 0 };
	if (answer)
		vmbi_hq_reply(h, VMBI_MSG_GPADL_TORNDOWN, id, 0, 0);
}

static void gpadl_ask(struct vmb_host *h, uint32_t ref)
{
	struct vmbi_host_gpadl *g = &h->gpadl[ref];

	if (!g->holds || g->asked)
		return;
	g->asked = 1;
	vmbi_he_gpadl(h, ref);
}

/* The guest wants it back: 1: it is forgotten. */
static int gpadl_leave(struct vmb_host *h, uint32_t slot, uint32_t ref)
{
	int gone = vmbi_gpadls_leave(h->store, ref);

	gpadl_trace(h, slot, ref, vmbi_gpadls_id(h->store, ref), VMB_LIST_ALIVE);
	return gone;
}

/* gpadl.md 5.4 */
static void vmbi_host_gpadl_teardown(struct vmb_host *h, const uint8_t *msg)
{
	struct vmbi_hc *c = vmbi_host_known(h, vmbi_get32(msg + VMBI_AT(GPADL_TEARDOWN, channel_id)));
	uint32_t id = vmbi_get32(msg + VMBI_AT(GPADL_TEARDOWN, gpadl_id));
	uint32_t ref = c && !c->kept ? vmbi_gpadls_find(h->store, c->slot, id) : 0;

	if (!ref || vmbi_gpadls_is_leaving(h->store, ref)) {
		vmbi_host_drop(h, VMB_FATE_UNKNOWN);
		return;
	}
	if (gpadl_leave(h, c->slot, ref))
		gpadl_forgotten(h, ref, id, 1);
	else
		gpadl_ask(h, ref);
}

static void vmbi_host_gpadl_unuse(struct vmb_host *h, uint32_t ref)
{
	uint32_t id = vmbi_gpadls_id(h->store, ref), quiet = h->gpadl[ref].quiet, slot;

	(void)vmbi_gpadls_look(h->store, ref, &slot);
	if (!vmbi_gpadls_unuse(h->store, ref))
		return;
	gpadl_trace(h, slot, ref, id, VMB_LIST_LEAVING);
	gpadl_forgotten(h, ref, id, !quiet);
}

static void vmbi_host_gpadl_ask(struct vmb_host *h, const struct vmbi_hc *c)
{
	for (uint32_t ref = vmbi_gpadls_next(h->store, c->slot, 0); ref; ref = vmbi_gpadls_next(h->store, c->slot, ref))
		gpadl_ask(h, ref);
}

static void vmbi_host_gpadl_purge(struct vmb_host *h, const struct vmbi_hc *c)
{
	uint32_t ref = h->cfg.trace ? vmbi_gpadls_building(h->store, c->slot, 0) : 0;

	for (; ref; ref = vmbi_gpadls_building(h->store, c->slot, ref))
		vmbi_host_trace_gpadl(h, c->slot, vmbi_gpadls_id(h->store, ref), VMB_LIST_BUILDING, VMB_LIST_NONE, 0, 0);
	vmbi_gpadls_purge(h->store, c->slot);
}

static void vmbi_host_gpadl_drop(struct vmb_host *h, const struct vmbi_hc *c)
{
	vmbi_host_gpadl_purge(h, c);
	for (uint32_t ref = vmbi_gpadls_next(h->store, c->slot, 0); ref; ref = vmbi_gpadls_next(h->store, c->slot, ref)) {
		h->gpadl[ref].quiet = 1;
		if (vmbi_gpadls_is_leaving(h->store, ref))
			continue;
		if (gpadl_leave(h, c->slot, ref))
			gpadl_forgotten(h, ref, 0, 0);
		else
			gpadl_ask(h, ref);
	}
}

/* ---- what was saved. gpadl.md 9 */

static void vmbi_host_gpadl_restored(struct vmb_host *h, struct vmbi_hc *c, int ask)
{
	for (uint32_t ref = vmbi_gpadls_each(h->store, c->slot, 0); ref; ref = vmbi_gpadls_each(h->store, c->slot, ref))
		gpadl_trace(h, c->slot, ref, vmbi_gpadls_id(h->store, ref), VMB_LIST_NONE);
	for (uint32_t ref = vmbi_gpadls_next(h->store, c->slot, 0); ref; ref = vmbi_gpadls_next(h->store, c->slot, ref)) {
		struct vmbi_host_gpadl *g = &h->gpadl[ref];
		uint32_t id = vmbi_gpadls_id(h->store, ref), quiet = g->quiet;

		g->slot = c->slot;
		if (g->holds) {
			g->restored = 1;
			c->holds++;
			vmbi_gpadls_use(h->store, ref);
		}
		if (!vmbi_gpadls_is_leaving(h->store, ref)) {
			if (ask)
				gpadl_ask(h, ref);
		} else if (vmbi_gpadls_leave(h->store, ref)) {
			gpadl_trace(h, c->slot, ref, id, VMB_LIST_LEAVING);
			gpadl_forgotten(h, ref, id, !quiet); /* whoever used it is gone */
		} else {
			gpadl_ask(h, ref);
		}
	}
}

/* ---- holds */

/* All holds of a list end. */
static void gpadl_let_go(struct vmb_host *h, struct vmbi_hc *c, uint32_t ref)
{
	struct vmbi_host_gpadl *g = &h->gpadl[ref];

	vmbi_he_gpadl_cancel(h, ref);
	g->holds = g->asked = g->restored = 0;
	g->token = 0;
	c->holds--;
	vmbi_host_gpadl_unuse(h, ref);
	vmbi_host_removed_step(h, c);
}

static int vmbi_host_gpadl_answer(struct vmb_host *h, struct vmbi_hc *c, const struct vmb_event *question)
{
	uint32_t ref = (uint32_t)question->token;

	if (!ref || ref > h->gpadls || h->gpadl[ref].token != question->token || h->gpadl[ref].slot != c->slot)
		return VMB_ENOENT;
	gpadl_let_go(h, c, ref);
	return 0;
}

/* Begin a call about one list: 0 with its channel and reference, or the call's result. */
static int gpadl_enter(struct vmb_host *h, vmb_handle ch, uint32_t gpadl, struct vmbi_hc **c, uint32_t *ref)
{
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	*c = vmbi_host_find(h, ch);
	*ref = *c ? vmbi_gpadls_find(h->store, (*c)->slot, gpadl) : 0;
	if (*ref)
		return 0;
	vmbi_guard_leave(&h->guard);
	return *c ? VMB_ENOENT : VMB_EHANDLE;
}

static void gpadl_info(struct vmb_host *h, uint32_t ref, struct vmb_gpadl_info *info)
{
	VMBI_MEMSET(info, 0, sizeof *info);
	vmbi_gpadls_info(h->store, ref, info);
	info->held = h->gpadl[ref].holds;
}

int vmb_host_gpadl_info(struct vmb_host *h, vmb_handle ch, uint32_t gpadl, struct vmb_gpadl_info *out)
{
	struct vmb_gpadl_info info;
	struct vmbi_hc *c;
	uint32_t ref;
	int r = out ? gpadl_enter(h, ch, gpadl, &c, &ref) : VMB_EINVAL;

	if (r)
		return r;
	gpadl_info(h, ref, &info);
	r = vmbi_struct_out(out, &info, sizeof info, sizeof info);
	vmbi_guard_leave(&h->guard);
	return r;
}

/* Nothing that is on its way out may be held. */
static int gpadl_hold(struct vmb_host *h, struct vmbi_hc *c, uint32_t ref, uint64_t *words, uint32_t max, struct vmb_list *list)
{
	struct vmbi_host_gpadl *g = &h->gpadl[ref];
	struct vmb_gpadl_info info;

	if (c->removed || vmbi_gpadls_is_leaving(h->store, ref))
		return VMB_ENOENT;
	gpadl_info(h, ref, &info);
	list->count = info.words;
	list->ranges = info.ranges;
	list->words = NULL;
	if (max < info.words)
		return VMB_ETOOSMALL;
	if (g->holds == VMBI_HOST_HOLDS_MAX)
		return VMB_ENOSPACE;
	vmbi_gpadls_words(h->store, ref, 0, words, info.words);
	list->words = words;
	if (g->restored) { /* these are its own, from before */
		g->restored = 0;
		return 0;
	}
	if (!g->holds++) {
		vmbi_gpadls_use(h->store, ref);
		g->slot = c->slot;
		c->holds++;
	}
	return 0;
}

int vmb_host_gpadl_hold(struct vmb_host *h, vmb_handle ch, uint32_t gpadl, uint64_t *words, uint32_t max, struct vmb_list *list)
{
	struct vmbi_hc *c;
	uint32_t ref;
	int r = (!words && max) || !list ? VMB_EINVAL : gpadl_enter(h, ch, gpadl, &c, &ref);

	if (r)
		return r;
	r = gpadl_hold(h, c, ref, words, max, list);
	vmbi_host_leave(h);
	return r;
}

int vmb_host_gpadl_release(struct vmb_host *h, vmb_handle ch, uint32_t gpadl)
{
	struct vmbi_hc *c;
	uint32_t ref;
	int r = gpadl_enter(h, ch, gpadl, &c, &ref);

	if (r)
		return r;
	if (!h->gpadl[ref].holds)
		r = VMB_ENOENT;
	else if (h->gpadl[ref].holds > 1)
		h->gpadl[ref].holds--;
	else
		gpadl_let_go(h, c, ref);
	vmbi_host_leave(h);
	return r;
}

/* ---- lib/bus/host_queue.c ---- */
/*
 * Messages on their way to the guest: one FIFO of nodes, delivered one by one as the guest empties its slot. A node is a
 * channel's (its offer or its rescind, composed from the channel when it is sent, so any number of them costs nothing), the
 * connection's, or a reply. control-plane.md 1.4, 6, 8.5
 */

/* Nodes: 1...slots, the connection, the connects, then the replies. */
static uint32_t hq_connection_node(const struct vmb_host *h)
{
	return h->slots + 1;
}

static uint32_t hq_connect_node(const struct vmb_host *h, uint32_t connect)
{
	return h->slots + 1 + connect;
}

static uint32_t hq_reply_node(const struct vmb_host *h, uint32_t reply)
{
	return h->slots + 1 + h->connects + reply;
}

static void vmbi_hq_init(struct vmb_host *h)
{
	for (uint32_t i = h->replies; i; i--) {
		h->reply[i].len = h->free_reply; /* the next free one */
		h->free_reply = i;
	}
}

static void hq_append(struct vmb_host *h, uint32_t node)
{
	vmbi_fifo_append(&h->out, h->out_links, node);
	h->queued++;
}

static void hq_remove(struct vmb_host *h, uint32_t node)
{
	vmbi_fifo_remove(&h->out, h->out_links, node);
	h->queued--;
	if (node == h->pause_node)
		h->pause_node = 0;
	if (node > hq_connection_node(h) && node <= hq_reply_node(h, 0)) {
		vmbi_hvsock_free(h, node - hq_connect_node(h, 0));
	} else if (node > hq_reply_node(h, 0)) {
		uint32_t reply = node - hq_reply_node(h, 0);

		h->reply[reply].len = h->free_reply;
		h->free_reply = reply;
	}
}

static int vmbi_hq_full(const struct vmb_host *h)
{
	return h->queued >= h->cfg.max_messages;
}

/* host.c counts the replies so that there is always one. */
static struct vmbi_host_reply *hq_new_reply(struct vmb_host *h, uint32_t type, uint32_t len)
{
	uint32_t n = h->free_reply;
	struct vmbi_host_reply *reply = &h->reply[n];

	h->free_reply = reply->len;
	reply->type = type;
	reply->len = len;
	hq_append(h, hq_reply_node(h, n));
	return reply;
}

static void vmbi_hq_reply(struct vmb_host *h, uint32_t type, uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t bytes = 0;
	struct vmbi_host_reply *reply;

	switch (type) {
	case VMBI_MSG_MODIFY_CONNECTION_RESPONSE:
		bytes = 1;
		break;
	case VMBI_MSG_GPADL_TORNDOWN:
		bytes = 4;
		break;
	case VMBI_MSG_MODIFY_CHANNEL_RESPONSE:
		bytes = 8;
		break;
	case VMBI_MSG_OPEN_CHANNEL_RESULT:
	case VMBI_MSG_GPADL_CREATED:
		bytes = 12;
		break;
	}
	reply = hq_new_reply(h, type, bytes);
	vmbi_put32(reply->body, a);
	vmbi_put32(reply->body + 4, b);
	vmbi_put32(reply->body + 8, c);
}

static void vmbi_hq_connect_result(struct vmb_host *h, uint32_t connect)
{
	hq_append(h, hq_connect_node(h, connect));
}

static void vmbi_hq_pause(struct vmb_host *h)
{
	vmbi_hq_reply(h, VMBI_MSG_PAUSE_RESPONSE, 0, 0, 0);
	h->pause_node = h->out.tail;
}

static void vmbi_hq_direct(struct vmb_host *h, uint32_t vp, uint32_t sint, const uint8_t *msg, uint32_t len)
{
	int r = VMB_EINVAL;

	if (vmbi_host_vp_ok(h, vp) && sint < 16)
		r = h->cfg.message(h->cfg.ctx, vp, h->cfg.vtl, sint, msg, len);
	h->post_failed += r < 0;
	if (h->cfg.trace)
		vmbi_host_trace_message(h, VMB_TRACE_MESSAGE_OUT, msg, len, r < 0 ? VMB_FATE_LOST : VMB_FATE_TAKEN, (uint32_t)r);
}

static void vmbi_hq_channel(struct vmb_host *h, struct vmbi_hc *c, uint32_t type)
{
	c->wire = type;
	hq_append(h, c->slot);
}

static int vmbi_hq_forget(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!h->out_links[c->slot].in)
		return 0;
	hq_remove(h, c->slot);
	return 1;
}

static void vmbi_hq_connection(struct vmb_host *h, const uint8_t *msg, uint32_t len, uint32_t vp)
{
	VMBI_MEMCPY(h->connection_msg, msg, len);
	h->connection_len = len;
	h->connection_vp = vp;
	hq_append(h, hq_connection_node(h));
}

/* ---- composing */

/* control-plane.md 8.1 */
static uint32_t vmbi_host_offer_flags(const struct vmb_host *h, uint32_t flags)
{
	uint32_t mask = VMB_OFFER_ENUMERATE | VMB_OFFER_PIPE;

	if (h->version >= VMB_V4_0)
		mask |= VMB_OFFER_HVSOCK;
	if (h->features & VMB_FEATURE_CONFIDENTIAL)
		mask |= VMB_OFFER_PRIVATE_RING | VMB_OFFER_PRIVATE_MEMORY;
	if (h->features & VMB_FEATURE_PINNING)
		mask |= VMB_OFFER_PINNED;
	return flags & mask;
}

/* The long form to every version: who is too old for its tail ignores that. control-plane.md 6.1 */
static uint32_t hq_offer(const struct vmb_host *h, const struct vmbi_hc *c, uint8_t *msg)
{
	VMBI_MEMCPY(msg + VMBI_AT(OFFER_CHANNEL, class_id), &c->class_id, 16);
	VMBI_MEMCPY(msg + VMBI_AT(OFFER_CHANNEL, instance_id), &c->instance, 16);
	vmbi_put16(msg + VMBI_AT(OFFER_CHANNEL, flags), (uint16_t)vmbi_host_offer_flags(h, c->offer_flags));
	vmbi_put16(msg + VMBI_AT(OFFER_CHANNEL, mmio_megabytes), (uint16_t)c->mmio_mb);
	VMBI_MEMCPY(msg + VMBI_AT(OFFER_CHANNEL, user_defined), c->user_defined, sizeof c->user_defined);
	vmbi_put16(msg + VMBI_AT(OFFER_CHANNEL, subchannel_index), (uint16_t)c->subchannel);
	vmbi_put16(msg + VMBI_AT(OFFER_CHANNEL, mmio_megabytes_optional), (uint16_t)c->mmio_optional_mb);
	vmbi_put32(msg + VMBI_AT(OFFER_CHANNEL, channel_id), c->id);
	msg[VMBI_AT(OFFER_CHANNEL, monitor_id)] = c->monitor ? (uint8_t)(c->monitor - 1) : 0xff;
	msg[VMBI_AT(OFFER_CHANNEL, monitor_allocated)] = c->monitor != 0;
	vmbi_put16(msg + VMBI_AT(OFFER_CHANNEL, is_dedicated), 1);
	vmbi_put32(msg + VMBI_AT(OFFER_CHANNEL, connection_id), vmbi_host_connection(h, c));
	return 196;
}

/* The message of a node, in exactly its size. control-plane.md 1.4, 21 (22) */
static uint32_t hq_compose(const struct vmb_host *h, uint32_t node, uint8_t *msg, uint32_t *vp)
{
	const struct vmbi_host_reply *reply;

	VMBI_MEMSET(msg, 0, 196);
	*vp = h->message_vp;
	if (node == hq_connection_node(h)) {
		*vp = h->connection_vp;
		VMBI_MEMCPY(msg, h->connection_msg, h->connection_len);
		return h->connection_len;
	}
	if (node < hq_connection_node(h)) {
		const struct vmbi_hc *c = &h->ch[node];

		vmbi_put32(msg, c->wire);
		if (c->wire == VMBI_MSG_OFFER_CHANNEL)
			return hq_offer(h, c, msg);
		vmbi_put32(msg + VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id), c->id);
		return 12;
	}
	if (node <= hq_reply_node(h, 0)) {
		const struct vmbi_host_connect *q = &h->connect[node - hq_connect_node(h, 0)];

		vmbi_put32(msg, VMBI_MSG_TL_CONNECT_RESULT);
		VMBI_MEMCPY(msg + VMBI_AT(TL_CONNECT_RESULT, endpoint_id), q->guids, 32);
		vmbi_put32(msg + VMBI_AT(TL_CONNECT_RESULT, status), q->status);
		return 44;
	}
	reply = &h->reply[node - hq_reply_node(h, 0)];
	vmbi_put32(msg, reply->type);
	VMBI_MEMCPY(msg + 8, reply->body, reply->len);
	return 8 + reply->len;
}

/* ---- saving. control-plane.md 18 */

static uint32_t vmbi_hq_look(const struct vmb_host *h, uint32_t node, uint8_t out[48], uint32_t *len, uint32_t *vp)
{
	uint8_t msg[196];

	node = node ? h->out_links[node].next : h->out.head;
	if (!node)
		return 0;
	*len = hq_compose(h, node, msg, vp);
	if (node < hq_connection_node(h)) { /* it is composed when it is sent */
		*len = 12;
		vmbi_put32(msg + VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id), h->ch[node].id);
	}
	VMBI_MEMSET(out, 0, 48);
	VMBI_MEMCPY(out, msg, *len);
	return node;
}

static int hq_load_channel(struct vmb_host *h, const uint8_t *msg, uint32_t len, uint32_t type)
{
	struct vmbi_hc *c = vmbi_host_named(h, vmbi_get32(msg + VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id)));

	if (len != 12 || !c || h->out_links[c->slot].in)
		return VMB_EINVAL;
	vmbi_hq_channel(h, c, type);
	return 0;
}

static int hq_load_connection(struct vmb_host *h, const uint8_t *msg, uint32_t len, uint32_t vp, uint32_t type)
{
	int ok = type == VMBI_MSG_UNLOAD_COMPLETE ? len == 8 : len == 16 || len == 20 || len == 40;

	if (!ok || h->out_links[hq_connection_node(h)].in)
		return VMB_EINVAL;
	vmbi_hq_connection(h, msg, len, vp);
	return 0;
}

/* Of 44 bytes: fewer are no such message, and more are none that is saved. */
static int hq_load_connect(struct vmb_host *h, const uint8_t *msg)
{
	uint32_t n = h->free_connect;

	if (!n)
		return VMB_ENOSPACE;
	h->free_connect = h->connect[n].next;
	h->connect[n].state = VMBI_CONNECT_RESULT;
	VMBI_MEMCPY(h->connect[n].guids, msg + VMBI_AT(TL_CONNECT_RESULT, endpoint_id), 32);
	h->connect[n].status = vmbi_get32(msg + VMBI_AT(TL_CONNECT_RESULT, status));
	vmbi_hq_connect_result(h, n);
	return 0;
}

static int hq_load_reply(struct vmb_host *h, const uint8_t *msg, uint32_t len, uint32_t type)
{
	if (!h->free_reply)
		return VMB_ENOSPACE;
	vmbi_hq_reply(h, type, vmbi_get32(msg + 8), vmbi_get32(msg + 12), vmbi_get32(msg + 16));
	if (type == VMBI_MSG_PAUSE_RESPONSE && h->paused) /* else the guest has resumed already, and it is a message like others */
		h->pause_node = h->out.tail;
	return 8 + h->reply[h->out.tail - hq_reply_node(h, 0)].len == len ? 0 : VMB_EINVAL;
}

static int vmbi_hq_load(struct vmb_host *h, const uint8_t msg[48], uint32_t len, uint32_t vp)
{
	uint32_t type = vmbi_get32(msg);

	if (len < 8 || len > 44 || vmbi_get32(msg + 4))
		return VMB_EINVAL;
	for (uint32_t i = len; i < 48; i++)
		if (msg[i])
			return VMB_EINVAL;
	if (type == VMBI_MSG_VERSION_RESPONSE || type == VMBI_MSG_UNLOAD_COMPLETE)
		return vmbi_host_vp_ok(h, vp) ? hq_load_connection(h, msg, len, vp, type) : VMB_ENOSPACE;
	if (vp != h->message_vp || (h->state != VMB_BUS_CONNECTED && h->state != VMB_BUS_RUNNING))
		return VMB_EINVAL;
	if (type == VMBI_MSG_OFFER_CHANNEL || type == VMBI_MSG_RESCIND_CHANNEL_OFFER)
		return hq_load_channel(h, msg, len, type);
	if (type == VMBI_MSG_CLOSE_RESERVED_RESPONSE || vmb_message_check(msg, len, h->version, h->features, 0) < 0)
		return VMB_EINVAL;
	if (type == VMBI_MSG_TL_CONNECT_RESULT)
		return hq_load_connect(h, msg);
	return hq_load_reply(h, msg, len, type);
}

static uint32_t vmbi_hq_replies(const struct vmb_host *h)
{
	uint32_t n = 0;

	for (uint32_t node = h->out.head; node; node = h->out_links[node].next)
		n += node > hq_reply_node(h, 0);
	return n;
}

/* ---- delivering */

static void vmbi_hq_forget_all(struct vmb_host *h)
{
	while (h->out.head)
		hq_remove(h, h->out.head);
	h->blocked = 0;
}

static void vmbi_hq_clear(struct vmb_host *h)
{
	uint8_t msg[196];

	for (uint32_t node = h->cfg.trace ? h->out.head : 0; node; node = h->out_links[node].next) {
		uint32_t vp, len = hq_compose(h, node, msg, &vp);

		vmbi_host_trace_message(h, VMB_TRACE_MESSAGE_OUT, msg, len, VMB_FATE_STATE, 0);
	}
	vmbi_hq_forget_all(h);
}

static void vmbi_hq_pump(struct vmb_host *h)
{
	uint8_t msg[196];

	while (h->out.head && !h->blocked && (!h->paused || h->pause_node)) {
		uint32_t node = h->out.head, vp, len = hq_compose(h, node, msg, &vp);
		int r = h->cfg.message(h->cfg.ctx, vp, h->cfg.vtl, VMBI_SINT, msg, len);

		if (h->cfg.trace)
			vmbi_host_trace_message(h, VMB_TRACE_MESSAGE_OUT, msg, len, r < 0 ? VMB_FATE_AGAIN : VMB_FATE_TAKEN, (uint32_t)r);
		if (r < 0) {
			h->blocked = r == VMB_EAGAIN ? VMBI_BLOCKED_SLOT : VMBI_BLOCKED_ERROR;
			h->blocked_vp = vp;
			h->post_retries++;
			return;
		}
		hq_remove(h, node);
		h->messages_out++;
	}
}

int vmb_host_eom(struct vmb_host *h, uint32_t vp)
{
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	if (h->blocked_vp == vp)
		h->blocked = 0;
	vmbi_host_leave(h);
	return 0;
}

/* ---- lib/bus/host_signal.c ---- */
/*
 * Signals, on any thread beside everything else: the guest's to a device, a device's to the guest. Each passes through a gate
 * of the channel, and while somebody is inside, control neither tells the device that it is closed, nor the guest that an old
 * VP is out of use. control-plane.md 9
 */

static void vmbi_host_gate_leave(struct vmb_host *h, struct vmbi_gate *g)
{
	if (!vmbi_gate_leave(g))
		return;
	VMBI_STORE32_RELEASE(&h->poked, 1u);
	VMBI_POKE(&h->cfg);
}

/* Inside the gate: the object stays. Where somebody else serves the rings there is none, and no account. */
static void signal_take(struct vmb_host *h, const struct vmbi_hc *c)
{
	if (c->channel && vmbi_signals_arrive(&c->channel->signals))
		vmbi_host_alarm(h);
	h->cfg.wake(h->cfg.ctx, c->user);
}

static void vmbi_host_wake(struct vmb_host *h, uint32_t slot, uint32_t *route, uint32_t expected)
{
	struct vmbi_hc *c = &h->ch[slot];

	if (vmbi_gate_is_closed(&c->gate)) {
		(void)VMBI_FETCH_ADD32(&h->stray, 1u);
		return;
	}
	/* It may have gone to another channel since: look again from inside, where this one cannot be closed. */
	if (vmbi_gate_enter(&c->gate) && VMBI_LOAD32_ACQUIRE(route) == expected)
		signal_take(h, c);
	else
		(void)VMBI_FETCH_ADD32(&h->stray, 1u);
	vmbi_host_gate_leave(h, &c->gate);
}

/* Wake the device of a channel id that the guest knows. 1: there is such an id, whether or not anybody serves it. */
static int signal_channel(struct vmb_host *h, uint32_t id)
{
	uint32_t route = VMBI_LOAD32_ACQUIRE(&h->route[id]);

	if (!(route & VMBI_HOST_KNOWN))
		return 0;
	vmbi_host_wake(h, route & ~VMBI_HOST_KNOWN, &h->route[id], route);
	return 1;
}

/* Versions below 2.4: one event for all, the guest's half of the interrupt page says for whom. Its bits are the guest's: one
 * without a channel is ignored. */
static int signal_page(struct vmb_host *h)
{
	struct vmbi_flags_scan scan = { .end = VMBI_FLAG_WORDS };
	uint32_t bits;
	int open;

	if (vmbi_gate_is_closed(&h->page_gate))
		return 0;
	open = vmbi_gate_enter(&h->page_gate);
	scan.flags = open ? h->page + VMBI_INTERRUPT_HALF : NULL;
	while (open && (bits = vmbi_flags_next(&scan)) != 0)
		for (; bits; bits &= bits - 1)
			if (!signal_channel(h, scan.first + vmbi_flags_lowest(bits)))
				(void)VMBI_FETCH_ADD32(&h->stray, 1u);
	vmbi_host_gate_leave(h, &h->page_gate);
	return open;
}

int vmb_host_signal(struct vmb_host *h, uint32_t connection, uint32_t flag)
{
	uint32_t id = connection & (VMBI_HOST_IDS - 1);
	int known;

	if (!h || flag)
		return VMB_HV_INVALID_PARAMETER;
	if (connection == VMBI_CONNECTION_EVENT)
		known = signal_page(h);
	else if (connection == (vmbi_host_event_base(h) | id))
		known = id && signal_channel(h, id);
	else
		known = vmbi_ports_signal(h, connection);
	return known ? VMB_HV_SUCCESS : VMB_HV_INVALID_CONNECTION;
}

static void vmbi_host_interrupt_guest(struct vmbi_hc *c)
{
	struct vmb_host *h = c->host;
	uint32_t vp;

	(void)vmbi_gate_enter(&c->out);
	vp = VMBI_LOAD32_ACQUIRE(&c->target);
	if (c->legacy) {
		if (h->page)
			(void)vmbi_flags_set(h->page, c->flag);
		h->cfg.interrupt(h->cfg.ctx, 0, h->cfg.vtl, VMBI_SINT, 0);
	} else if (vp != VMB_VP_NONE && c->redirect) {
		h->cfg.interrupt(h->cfg.ctx, vp, VMBI_REDIRECT_VTL, VMBI_REDIRECT_SINT, c->flag);
	} else if (vp != VMB_VP_NONE) {
		h->cfg.interrupt(h->cfg.ctx, vp, h->cfg.vtl, VMBI_SINT, c->flag);
	}
	vmbi_host_gate_leave(h, &c->out);
}

static void vmbi_host_signal_guest(void *ctx)
{
	struct vmbi_hc *c = ctx;

	if (VMBI_LOAD32_RELAXED(&c->channel->signals.look))
		vmbi_host_alarm(c->host);
	vmbi_host_interrupt_guest(c);
}

/* ---- control waits */

static void vmbi_host_gate_wait(struct vmb_host *h, const struct vmbi_hc *c)
{
	vmbi_fifo_append(&h->waiting, h->wait_links, c->slot);
}

static void vmbi_host_gates(struct vmb_host *h)
{
	uint32_t last = h->waiting.tail;

	if (!VMBI_LOAD32_RELAXED(&h->poked) || !VMBI_EXCHANGE32(&h->poked, 0u))
		return;
	for (uint32_t slot = 0; slot != last;) {
		struct vmbi_hc *c = &h->ch[slot = h->waiting.head];

		vmbi_fifo_remove(&h->waiting, h->wait_links, slot);
		vmbi_host_gate_step(h, c); /* appends it again if it must still wait */
	}
}

/* ---- lib/bus/host_event.c ---- */
/*
 * Events on their way to the embedder: marks on the objects that they are about, and one FIFO of marked objects. So events cannot
 * overflow, one that has lost its sense is taken back, and giving one out costs the same however many channels there are.
 */

/* Nodes: 1...slots, then the GPADLs, the connects, and the connection. */
static uint32_t he_connect_node(const struct vmb_host *h, uint32_t connect)
{
	return h->slots + h->gpadls + connect;
}

static uint32_t he_connection_node(const struct vmb_host *h)
{
	return h->slots + h->gpadls + h->connects + 1;
}

static void he_append(struct vmb_host *h, uint32_t node)
{
	vmbi_fifo_append(&h->events, h->event_links, node);
	h->poke = 1;
}

static void vmbi_he_channel(struct vmb_host *h, struct vmbi_hc *c, uint32_t event)
{
	c->events |= event;
	he_append(h, c->slot);
}

static void vmbi_he_cancel(struct vmb_host *h, struct vmbi_hc *c, uint32_t event)
{
	c->events &= ~event;
	if (!c->events)
		vmbi_fifo_remove(&h->events, h->event_links, c->slot);
}

static void vmbi_he_gpadl(struct vmb_host *h, uint32_t ref)
{
	he_append(h, h->slots + ref);
}

static void vmbi_he_gpadl_cancel(struct vmb_host *h, uint32_t ref)
{
	vmbi_fifo_remove(&h->events, h->event_links, h->slots + ref);
}

static void vmbi_he_connection(struct vmb_host *h)
{
	he_append(h, he_connection_node(h));
}

static void vmbi_he_connect(struct vmb_host *h, uint32_t connect)
{
	he_append(h, he_connect_node(h, connect));
}

static void vmbi_he_connect_cancel(struct vmb_host *h, uint32_t connect)
{
	vmbi_fifo_remove(&h->events, h->event_links, he_connect_node(h, connect));
}

static void he_of_channel(struct vmb_event *ev, const struct vmbi_hc *c, uint32_t kind)
{
	ev->kind = kind;
	ev->ch = vmbi_handle(c->slot, c->generation);
	ev->user = c->user;
}

/* A question: its answer must name this token. The low half is the GPADL's reference, or 0. */
static uint64_t he_question(struct vmb_host *h, struct vmb_event *ev, uint32_t ref, uint32_t restored)
{
	ev->flags = VMB_EVF_ASK | (restored ? VMB_EVF_RESTORED : 0);
	ev->token = ++h->tokens << 32 | ref;
	return ev->token;
}

/* The oldest event of a channel; it stays in the queue while there are more. */
static void he_take_channel(struct vmb_host *h, struct vmbi_hc *c, struct vmb_event *ev)
{
	uint32_t event = c->events & (0u - c->events);

	vmbi_he_cancel(h, c, event);
	switch (event) {
	case VMBI_HE_CLOSE:
		he_of_channel(ev, c, VMB_EV_CLOSE);
		c->token = he_question(h, ev, 0, c->restored);
		break;
	case VMBI_HE_CLOSED:
		he_of_channel(ev, c, VMB_EV_CLOSED);
		break;
	case VMBI_HE_OPEN:
		he_of_channel(ev, c, VMB_EV_OPEN);
		c->token = he_question(h, ev, 0, c->restored);
		vmbi_hc_device(h, c, VMBI_DEV_ASKED);
		break;
	default:
		he_of_channel(ev, c, VMB_EV_GONE);
		ev->status = c->gone_status;
		vmbi_host_free(h, c);
		break;
	}
}

static void he_take_gpadl(struct vmb_host *h, uint32_t ref, struct vmb_event *ev)
{
	struct vmbi_host_gpadl *g = &h->gpadl[ref];

	vmbi_he_gpadl_cancel(h, ref);
	he_of_channel(ev, &h->ch[g->slot], VMB_EV_GPADL_DOWN);
	ev->gpadl = vmbi_gpadls_id(h->store, ref);
	g->token = he_question(h, ev, ref, g->restored);
}

static void he_take_connect(struct vmb_host *h, uint32_t connect, struct vmb_event *ev)
{
	struct vmbi_host_connect *q = &h->connect[connect];

	vmbi_he_connect_cancel(h, connect);
	q->state = VMBI_CONNECT_ASKED;
	ev->kind = VMB_EV_HVSOCK;
	q->token = he_question(h, ev, connect, 0);
}

/* What the embedder knows of the connection against what is: a connection that came and went unseen is not shown. 0: no news. */
static int he_take_connection(struct vmb_host *h, struct vmb_event *ev)
{
	if (h->told && h->told != h->connection) {
		h->told = 0;
		ev->kind = VMB_EV_DISCONNECTED;
	} else if (h->reset_done) {
		h->reset_done = 0;
		ev->kind = VMB_EV_RESET;
	} else if (h->told != h->connection) {
		h->told = h->connection;
		ev->kind = VMB_EV_CONNECTED;
		ev->flags = h->restored ? VMB_EVF_RESTORED : 0;
		h->restored = 0;
	}
	if (h->told == h->connection && !h->reset_done)
		vmbi_fifo_remove(&h->events, h->event_links, he_connection_node(h));
	return ev->kind != 0;
}

static int he_take(struct vmb_host *h, struct vmb_event *ev)
{
	uint32_t node = h->events.head;

	if (node == he_connection_node(h)) {
		if (he_take_connection(h, ev))
			return VMB_YES;
		node = h->events.head; /* it had no news and is out of the queue */
	}
	if (!node)
		return 0;
	if (node <= h->slots)
		he_take_channel(h, &h->ch[node], ev);
	else if (node <= h->slots + h->gpadls)
		he_take_gpadl(h, node - h->slots, ev);
	else
		he_take_connect(h, node - he_connect_node(h, 0), ev);
	return VMB_YES;
}

int vmb_host_poll(struct vmb_host *h, uint64_t now, struct vmb_event *ev)
{
	uint64_t deadline = UINT64_MAX, look;
	int r = ev ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	VMBI_MEMSET(ev, 0, sizeof *ev);
	if (h->blocked == VMBI_BLOCKED_ERROR)
		h->blocked = 0;
	h->now = now;
	vmbi_host_gates(h);
	vmbi_host_settle(h);
	vmbi_host_watch_signals(h, now);
	if (h->monitor.users)
		(void)vmb_host_monitor(h);
	if (now)
		deadline = vmbi_hvsock_time(h, now);
	r = he_take(h, ev);
	look = now + (uint64_t)h->cfg.monitor_latency * 100;
	ev->deadline = now && h->monitor.users && look < deadline ? look : deadline;
	h->poke = 0; /* the caller goes on until there is none */
	vmbi_host_leave(h);
	return r;
}

/* ---- lib/bus/host_users.c ---- */
/* Who uses a piece of guest memory: for an embedder that takes memory away. */

int vmb_host_users(struct vmb_host *h, uint64_t pfn, uint64_t pages, uint32_t *cursor, vmb_handle *ch, uint32_t *gpadl)
{
	uint32_t ref, slot;
	int r = cursor && ch && gpadl && pages && pfn <= UINT64_MAX - pages ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	ref = vmbi_gpadls_touching(h->store, *cursor, pfn, pages, &slot);
	if (ref) {
		*cursor = ref;
		*ch = vmbi_handle(slot, h->ch[slot].generation);
		*gpadl = vmbi_gpadls_id(h->store, ref);
		r = VMB_YES;
	}
	vmbi_guard_leave(&h->guard);
	return r;
}

/* ---- lib/bus/host_ports.c ---- */
/*
 * Connection ids that guests choose for their signals (6.0, feature 0x01): a hash table of slots, open addressing, written by control and
 * read from any thread. An entry is a slot, whose connection id does not change while the entry stands. One that is taken out leaves a mark
 * behind, so that no search ends early; marks are used again, and go when a connection ends. So a guest that changes its ids all the time
 * makes its own signals slower, up to one look at each entry. control-plane.md 9.1, 20.1
 */

#define PORTS_MARK 0xffffffffu

static uint32_t ports_hash(const struct vmb_host *h, uint32_t connection)
{
	return (connection * 0x9e3779b1u >> 16) & h->port_mask;
}

/* 24 bits; none of the ports for messages and the monitor; no id that is offered with another channel. */
static int vmbi_ports_may(const struct vmb_host *h, const struct vmbi_hc *c, uint32_t connection)
{
	uint32_t entry;

	if (connection >> 24 || connection <= VMBI_CONNECTION_MULTICLIENT || connection == VMBI_CONNECTION_REDIRECTED)
		return 0;
	if ((connection & ~VMBI_MAX_CHANNEL_ID) == vmbi_host_event_base(h))
		return connection == vmbi_host_connection(h, c);
	for (uint32_t n = 0, i = ports_hash(h, connection); n <= h->port_mask; n++, i = (i + 1) & h->port_mask) {
		entry = h->ports[i];
		if (!entry)
			break;
		if (entry != PORTS_MARK && entry != c->slot && h->ch[entry].connection == connection)
			return 0;
	}
	return 1;
}

/* There are twice as many entries as slots: one is free. */
static void vmbi_ports_add(struct vmb_host *h, struct vmbi_hc *c, uint32_t connection)
{
	uint32_t i = ports_hash(h, connection);

	if (connection == vmbi_host_connection(h, c))
		return;
	while (h->ports[i] && h->ports[i] != PORTS_MARK)
		i = (i + 1) & h->port_mask;
	VMBI_STORE32_RELAXED(&c->connection, connection);
	VMBI_STORE32_RELEASE(&h->ports[i], c->slot);
}

static void vmbi_ports_remove(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t i = ports_hash(h, c->connection);

	if (!c->connection)
		return;
	while (h->ports[i] != c->slot)
		i = (i + 1) & h->port_mask;
	VMBI_STORE32_RELEASE(&h->ports[i], PORTS_MARK);
	VMBI_STORE32_RELAXED(&c->connection, 0u);
}

static void vmbi_ports_clear(struct vmb_host *h)
{
	for (uint32_t i = 0; i <= h->port_mask; i++)
		if (h->ports[i] == PORTS_MARK)
			VMBI_STORE32_RELAXED(&h->ports[i], 0u);
}

static int vmbi_ports_signal(struct vmb_host *h, uint32_t connection)
{
	for (uint32_t n = 0, i = ports_hash(h, connection); n <= h->port_mask; n++, i = (i + 1) & h->port_mask) {
		uint32_t entry = VMBI_LOAD32_ACQUIRE(&h->ports[i]);

		if (!entry)
			return 0;
		if (entry == PORTS_MARK || VMBI_LOAD32_RELAXED(&h->ch[entry].connection) != connection)
			continue;
		vmbi_host_wake(h, entry, &h->ch[entry].connection, connection);
		return 1;
	}
	return 0;
}

/* ---- lib/bus/host_monitor.c ---- */
/*
 * Monitored notification: a guest sets a bit in a page instead of making a hypercall, and the host looks now and then. The page is the
 * guest's, or the server's own (6.0, feature 0x40). Its gate keeps it there while somebody looks; MODIFY_CONNECTION swaps pages in a living
 * connection and waits for that gate. control-plane.md 8.3, 9.4, 13
 */

/* connection_state. control-plane.md 5 */
#define MONITOR_DONE 0u
#define MONITOR_FAILED 2u

static int vmbi_monitor_pages_ok(const uint64_t gpa[2])
{
	if (!gpa[0] && !gpa[1])
		return 1;
	return gpa[0] && gpa[1] && (gpa[0] | gpa[1]) % VMB_PAGE == 0 && gpa[0] != gpa[1];
}

static int monitor_is_own(const struct vmb_host *h)
{
	return (h->features & VMB_FEATURE_SERVER_MONITOR) != 0;
}

static int vmbi_monitor_use(struct vmb_host *h, const uint64_t gpa[2])
{
	struct vmbi_host_monitor *m = &h->monitor;
	void *page = h->cfg.monitor_page[1];

	if (monitor_is_own(h))
		gpa = h->cfg.monitor_gpa;
	m->gpa[0] = gpa[0];
	m->gpa[1] = gpa[1];
	if (!gpa[1] || !(h->cfg.flags & VMB_HOST_MONITOR))
		return 0;
	if (!monitor_is_own(h)) {
		if (vmbi_host_map_page(h, gpa[1], &page)) {
			m->gpa[0] = m->gpa[1] = 0;
			return VMB_EMAP;
		}
		m->mapped = 1;
	}
	vmbi_trigger_init(page, h->cfg.monitor_latency);
	m->page = page;
	vmbi_gate_open(&m->gate);
	return 0;
}

static void vmbi_monitor_unuse(struct vmb_host *h)
{
	struct vmbi_host_monitor *m = &h->monitor;
	uint64_t gpa = m->gpa[1];
	void *page = m->page;

	m->page = NULL;
	m->gpa[0] = m->gpa[1] = 0;
	if (m->mapped)
		vmbi_host_unmap_page(h, gpa, page);
	m->mapped = 0;
}

/* ---- MODIFY_CONNECTION: exactly one answer each */

static void vmbi_monitor_message(struct vmb_host *h, const uint8_t *msg)
{
	struct vmbi_host_monitor *m = &h->monitor;
	uint64_t gpa[2] = { vmbi_get64(msg + VMBI_AT(MODIFY_CONNECTION, parent_to_child_page)),
			    vmbi_get64(msg + VMBI_AT(MODIFY_CONNECTION, child_to_parent_page)) };

	if (m->swapping || monitor_is_own(h) || m->users || !vmbi_monitor_pages_ok(gpa)) {
		h->fate = VMB_FATE_REFUSED;
		vmbi_hq_reply(h, VMBI_MSG_MODIFY_CONNECTION_RESPONSE, MONITOR_FAILED, 0, 0);
		return;
	}
	m->swapping = 1;
	m->wanted[0] = gpa[0];
	m->wanted[1] = gpa[1];
	(void)vmbi_gate_close(&m->gate);
	vmbi_monitor_step(h);
}

static void vmbi_monitor_step(struct vmb_host *h)
{
	struct vmbi_host_monitor *m = &h->monitor;
	uint32_t state = MONITOR_DONE;

	if (!m->swapping || !vmbi_gate_empty(&m->gate))
		return;
	m->swapping = 0;
	vmbi_monitor_unuse(h);
	if (vmbi_monitor_use(h, m->wanted))
		state = MONITOR_FAILED;
	vmbi_hq_reply(h, VMBI_MSG_MODIFY_CONNECTION_RESPONSE, state, 0, 0);
}

/* ---- ids */

static void vmbi_monitor_give(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmbi_host_monitor *m = &h->monitor;
	uint32_t id = 0;

	if (!m->page || c->offer_flags & VMB_OFFER_NO_MONITOR)
		return;
	while (id < VMBI_HOST_MONITORS && m->taken[id / 32] >> id % 32 & 1)
		id++;
	if (id == VMBI_HOST_MONITORS)
		return;
	m->taken[id / 32] |= 1u << id % 32;
	c->monitor = id + 1;
	vmbi_trigger_connect(m->page, id, vmbi_host_connection(h, c));
}

static void vmbi_monitor_take(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t id = c->monitor - 1;

	if (!c->monitor)
		return;
	h->monitor.taken[id / 32] &= ~(1u << id % 32);
	c->monitor = 0;
}

/* Not for channels without interrupts, which the reserved ones are, too. */
static void vmbi_monitor_connect(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!c->monitor || c->open.target_vp == VMB_VP_NONE)
		return;
	c->triggered = c->monitor;
	h->monitor.users++;
	VMBI_STORE32_RELEASE(&h->monitor.route[c->monitor - 1], c->slot);
}

static void vmbi_monitor_disconnect(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!c->triggered)
		return;
	VMBI_STORE32_RELEASE(&h->monitor.route[c->triggered - 1], 0u);
	h->monitor.users--;
	c->triggered = 0;
}

/* ---- looking */

static void monitor_trigger(struct vmb_host *h, uint32_t id)
{
	uint32_t *route = &h->monitor.route[id], slot = VMBI_LOAD32_ACQUIRE(route);

	if (slot)
		vmbi_host_wake(h, slot, route, slot);
	else
		(void)VMBI_FETCH_ADD32(&h->stray, 1u);
}

int vmb_host_monitor(struct vmb_host *h)
{
	struct vmbi_gate *gate;
	int found = 0;

	if (!h)
		return VMB_EINVAL;
	gate = &h->monitor.gate;
	if (vmbi_gate_is_closed(gate))
		return 0;
	if (vmbi_gate_enter(gate)) {
		for (uint32_t group = 0; group < VMBI_HOST_MONITORS / 32; group++) {
			uint32_t bits = vmbi_trigger_take(h->monitor.page, group);

			found |= bits != 0;
			for (uint32_t id = group * 32; bits; id++, bits >>= 1)
				if (bits & 1)
					monitor_trigger(h, id);
		}
	}
	vmbi_host_gate_leave(h, gate);
	return found ? VMB_YES : 0;
}

/* ---- lib/bus/host_reserved.c ---- */
/*
 * Reserved channels: what a debugger or a crashed system opens beside the connection of the running one. They have no interrupts, answers
 * go to the place that the request names, and UNLOAD and a new contact leave them alone; a reset of the VM does not. control-plane.md 10.5
 */

static void vmbi_reserved_open(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg)
{
	struct vmbi_host_open o;

	if (!vmbi_host_may(h, c, c->state == VMBI_HC_CLOSED))
		return;
	VMBI_MEMSET(&o, 0, sizeof o);
	o.flags = VMB_OPEN_RESERVED;
	o.target_vp = VMB_VP_NONE;
	o.connection = vmbi_host_connection(h, c);
	o.flag = c->id;
	o.version = h->version;
	o.result_vp = vmbi_get32(msg + VMBI_AT(OPEN_RESERVED_CHANNEL, target_vp));
	o.result_sint = msg[VMBI_AT(OPEN_RESERVED_CHANNEL, target_sint)];
	o.ring_id = vmbi_get32(msg + VMBI_AT(OPEN_RESERVED_CHANNEL, ring_gpadl));
	o.rx_pages = vmbi_get32(msg + VMBI_AT(OPEN_RESERVED_CHANNEL, downstream_page_offset));
	if (!vmbi_host_open_ring(h, c, &o)) {
		c->refused++;
		h->fate = VMB_FATE_REFUSED;
		vmbi_host_open_result(h, c, &o, VMBI_FAILED);
		return;
	}
	vmbi_gpadls_use(h->store, o.ring_ref);
	c->kept = 1;
	vmbi_hc_changed(h, c);
	h->kept++;
	vmbi_host_begin_open(h, c, &o);
}

static void vmbi_reserved_close(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg)
{
	if (!vmbi_host_may(h, c, c->state == VMBI_HC_OPEN && c->kept))
		return;
	c->open.result_vp = vmbi_get32(msg + VMBI_AT(CLOSE_RESERVED_CHANNEL, target_vp));
	c->open.result_sint = msg[VMBI_AT(CLOSE_RESERVED_CHANNEL, target_sint)];
	vmbi_host_begin_close(h, c);
}

static int vmbi_reserved_lingers(struct vmb_host *h, const struct vmbi_hc *c)
{
	return c->kept && c->holds && !vmbi_hc_is_told(h, c) && !c->removed;
}

static void vmbi_reserved_end(struct vmb_host *h, struct vmbi_hc *c)
{
	vmbi_reserved_drop(h, c);
	if (vmbi_hc_is_told(h, c) || c->removed)
		return;
	vmbi_host_forget(h, c);
	vmbi_host_offer_now(h, c);
}

static void vmbi_reserved_closed(struct vmb_host *h, struct vmbi_hc *c)
{
	uint8_t msg[12] = { VMBI_MSG_CLOSE_RESERVED_RESPONSE };

	vmbi_put32(msg + VMBI_AT(CLOSE_RESERVED_RESPONSE, channel_id), c->id);
	vmbi_hq_direct(h, c->open.result_vp, c->open.result_sint, msg, sizeof msg);
	vmbi_reserved_end(h, c);
}

static void vmbi_reserved_lingered(struct vmb_host *h, struct vmbi_hc *c)
{
	vmbi_hc_become(h, c, VMBI_HC_CLOSED);
	vmbi_host_gpadl_unuse(h, c->open.ring_ref);
	vmbi_reserved_closed(h, c);
}

static void vmbi_reserved_drop(struct vmb_host *h, struct vmbi_hc *c)
{
	h->kept -= c->kept;
	c->kept = 0;
	vmbi_hc_changed(h, c);
}

static void vmbi_reserved_keep(struct vmb_host *h, struct vmbi_hc *c)
{
	vmbi_host_gpadl_purge(h, c);
	vmbi_monitor_take(h, c);
	if (c->state == VMBI_HC_REOPEN) { /* what was to come after it was the connection's */
		vmbi_hc_become(h, c, VMBI_HC_CLOSING);
		vmbi_host_end_open(h, c, VMBI_HC_REOPEN);
	}
}

static uint32_t vmbi_reserved_gpadls(const struct vmb_host *h)
{
	uint32_t n = 0;

	for (uint32_t slot = 1; h->kept && slot <= h->slots; slot++) {
		uint32_t ref = h->ch[slot].kept ? vmbi_gpadls_next(h->store, slot, 0) : 0;

		for (; ref; ref = vmbi_gpadls_next(h->store, slot, ref))
			n++;
	}
	return n;
}

/* ---- lib/bus/host_hvsock.c ---- */
/*
 * Hyper-V sockets: the guest asks for a connection to a service, the embedder answers by an offer or by a refusal. A channel that was offered
 * and is not opened in time is removed. control-plane.md 15
 */

#define HVSOCK_REFUSED 0xc0000236u /* control-plane.md 4 */
#define HVSOCK_MS 1000000u         /* nanoseconds */

static void vmbi_hvsock_init(struct vmb_host *h)
{
	for (uint32_t i = h->connects; i; i--)
		vmbi_hvsock_free(h, i);
}

static void vmbi_hvsock_free(struct vmb_host *h, uint32_t connect)
{
	h->connect[connect].state = VMBI_CONNECT_FREE;
	h->connect[connect].token = 0;
	h->connect[connect].next = h->free_connect;
	h->free_connect = connect;
}

/* A guest older than 4.1 finds out by itself. control-plane.md 15.1 */
static void hvsock_refuse(struct vmb_host *h, uint32_t connect, uint32_t status)
{
	struct vmbi_host_connect *q = &h->connect[connect];

	if (h->version < VMB_V4_1) {
		h->dropped++;
		vmbi_hvsock_free(h, connect);
		return;
	}
	q->state = VMBI_CONNECT_RESULT;
	q->status = status;
	vmbi_hq_connect_result(h, connect);
}

/* The two forms are told apart by size, at every version. control-plane.md 6.15 */
static void vmbi_hvsock_message(struct vmb_host *h, const uint8_t *msg, uint32_t len)
{
	uint32_t connect = h->free_connect, asking = 0;
	struct vmbi_host_connect *q = &h->connect[connect];

	for (uint32_t i = 1; i <= h->connects; i++)
		asking += h->connect[i].state != VMBI_CONNECT_FREE && h->connect[i].state != VMBI_CONNECT_RESULT;
	h->free_connect = q->next;
	q->silo = len >= VMBI_AT(TL_CONNECT_REQUEST, silo_id) + 16;
	VMBI_MEMSET(q->guids, 0, sizeof q->guids);
	VMBI_MEMCPY(q->guids, msg + VMBI_AT(TL_CONNECT_REQUEST, endpoint_id), q->silo ? 48 : 32);
	if (asking >= h->cfg.max_hvsock || vmbi_guid_is_zero(q->guids + 16)) {
		h->refused_quota += asking >= h->cfg.max_hvsock && h->cfg.max_hvsock;
		h->fate = asking >= h->cfg.max_hvsock ? VMB_FATE_QUOTA : VMB_FATE_REFUSED;
		hvsock_refuse(h, connect, HVSOCK_REFUSED);
		return;
	}
	q->state = VMBI_CONNECT_ASKING;
	vmbi_he_connect(h, connect);
}

static void vmbi_hvsock_leave(struct vmb_host *h)
{
	for (uint32_t i = 1; i <= h->connects; i++) {
		if (h->connect[i].state == VMBI_CONNECT_ASKED) {
			h->connect[i].state = VMBI_CONNECT_STALE;
		} else if (h->connect[i].state == VMBI_CONNECT_ASKING) {
			vmbi_he_connect_cancel(h, i);
			vmbi_hvsock_free(h, i);
		}
	}
}

static uint32_t vmbi_hvsock_look(const struct vmb_host *h, uint32_t connect, uint8_t msg[48], uint32_t *len)
{
	while (h->version >= VMB_V4_1 && connect++ < h->connects) {
		const struct vmbi_host_connect *q = &h->connect[connect];

		if (q->state != VMBI_CONNECT_ASKING && q->state != VMBI_CONNECT_ASKED)
			continue;
		VMBI_MEMSET(msg, 0, 48);
		vmbi_put32(msg, VMBI_MSG_TL_CONNECT_RESULT);
		VMBI_MEMCPY(msg + VMBI_AT(TL_CONNECT_RESULT, endpoint_id), q->guids, 32);
		vmbi_put32(msg + VMBI_AT(TL_CONNECT_RESULT, status), HVSOCK_REFUSED);
		*len = 44;
		return connect;
	}
	return 0;
}

static uint32_t hvsock_find(const struct vmb_host *h, const struct vmb_event *question)
{
	uint32_t i = (uint32_t)question->token;

	return question->token && i <= h->connects && h->connect[i].token == question->token ? i : 0;
}

static int vmbi_hvsock_answer(struct vmb_host *h, const struct vmb_event *question, uint32_t status)
{
	uint32_t i = hvsock_find(h, question);

	if (!i)
		return VMB_ENOENT;
	h->connect[i].token = 0;
	if (h->connect[i].state == VMBI_CONNECT_STALE) {
		vmbi_hvsock_free(h, i);
		return VMB_ENOENT;
	}
	if (status)
		hvsock_refuse(h, i, status == VMBI_FAILED ? HVSOCK_REFUSED : status);
	else
		vmbi_hvsock_free(h, i);
	return 0;
}

int vmb_host_hvsock(struct vmb_host *h, const struct vmb_event *question, struct vmb_hvsock *out)
{
	int r = question && out ? vmbi_host_enter(h) : VMB_EINVAL;
	uint32_t i;

	if (r)
		return r;
	i = hvsock_find(h, question);
	if (!i || h->connect[i].state != VMBI_CONNECT_ASKED) {
		r = VMB_ENOENT;
	} else {
		VMBI_MEMCPY(out, h->connect[i].guids, 48);
		out->flags = h->connect[i].silo ? VMB_HVSOCK_SILO : 0;
		out->reserved = 0;
	}
	vmbi_guard_leave(&h->guard);
	return r;
}

/* ---- time: all have equally long, so who was offered first is due first */

static void vmbi_hvsock_watch(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!(c->offer_flags & VMB_OFFER_HVSOCK))
		return;
	c->deadline = 0;
	vmbi_fifo_append(&h->fresh, h->timed_links, c->slot);
	h->poke = 1;
}

static void vmbi_hvsock_unwatch(struct vmb_host *h, struct vmbi_hc *c)
{
	vmbi_fifo_remove(c->deadline ? &h->unopened : &h->fresh, h->timed_links, c->slot);
	c->deadline = 0;
}

static uint64_t vmbi_hvsock_time(struct vmb_host *h, uint64_t now)
{
	uint32_t slot;

	while ((slot = h->unopened.head) != 0 && h->ch[slot].deadline <= now) {
		struct vmbi_hc *c = &h->ch[slot];

		vmbi_hvsock_unwatch(h, c);
		c->gone_status = VMB_ETIMEDOUT;
		vmbi_host_remove(h, c);
	}
	while ((slot = h->fresh.head) != 0) {
		vmbi_fifo_remove(&h->fresh, h->timed_links, slot);
		h->ch[slot].deadline = now + (uint64_t)h->cfg.hvsock_ms * HVSOCK_MS;
		vmbi_fifo_append(&h->unopened, h->timed_links, slot);
	}
	return h->unopened.head ? h->ch[h->unopened.head].deadline : UINT64_MAX;
}

/* ---- lib/bus/blob.c ---- */
/* The frame of a saved end: header, records, checksum. It knows nothing of what is in the records. doc/SAVED.md */

/* ---- lib/bus/blob.h ---- */
/*
 * A saved end as bytes: a header, then records, everything little-endian. doc/SAVED.md describes it byte by byte.
 *
 * One function per kind of record serves both ways: it names the record's fields in their order, and the blob writes or reads them. So
 * what is saved and what is restored cannot disagree. Reading never leaves the record: what lies beyond reads as 0, and the blob has failed.
 */
#ifndef VMBI_BLOB_H
#define VMBI_BLOB_H


#define VMBI_BLOB_HOST 1u /* whose state it is */
#define VMBI_BLOB_GUEST 2u
#define VMBI_BLOB_STATISTICS 2u /* the format from which on counters of the end are saved; and what was counted since: */
#define VMBI_BLOB_FATES 3u      /* fates of messages, posts that failed, signals over the budget, lives of channels */

struct vmbi_blob {
	uint8_t *out;       /* saving: where to; NULL: only counting */
	const uint8_t *in;  /* loading */
	size_t size;        /* of the buffer; loading: of the blob */
	size_t at;          /* the next byte */
	size_t body, end;   /* of the record at hand */
	uint32_t format;
	uint32_t records;   /* written so far, or left to read */
	uint32_t known;     /* loading: bits of the record types that this format has */
	uint32_t failed;    /* loading: it is none */
};

/* ---- saving */

/* Begin a blob: 0, or VMB_EVERSION where there is no such format. format 0: the newest. */
static int vmbi_blob_save(struct vmbi_blob *b, void *buf, size_t bytes, uint32_t format, uint32_t whose);
static void vmbi_blob_begin(struct vmbi_blob *b, uint32_t type);
static void vmbi_blob_close(struct vmbi_blob *b);
/* Header and checksum. *used is what it takes. 0; VMB_ETOOSMALL: the buffer is smaller (one of NULL never is). */
static int vmbi_blob_finish(struct vmbi_blob *b, size_t *used);

/* ---- loading */

/* Check header, checksum and the frame of each record: 0, VMB_EINVAL, or VMB_EVERSION where the format is a newer one. types[format]: bits of
 * the types that this format has. */
static int vmbi_blob_load(struct vmbi_blob *b, const void *buf, size_t bytes, uint32_t whose, const uint32_t types[VMB_SAVED_FORMAT + 1]);
/* The type of the next record that is known; 0: there is none. */
static uint32_t vmbi_blob_next(struct vmbi_blob *b);
/* All of this record has been read, and nothing else than zeros is behind it: 0 or VMB_EINVAL. */
static int vmbi_blob_done(struct vmbi_blob *b);

/* ---- both: the fields of the record at hand */

static inline int vmbi_blob_saving(const struct vmbi_blob *b)
{
	return !b->in;
}

static void vmbi_blob_bytes(struct vmbi_blob *b, void *p, uint32_t n);
static void vmbi_blob_32(struct vmbi_blob *b, uint32_t *v);
static void vmbi_blob_64(struct vmbi_blob *b, uint64_t *v);
/* Several 32-bit words in a row. */
static void vmbi_blob_words(struct vmbi_blob *b, uint32_t *v, uint32_t n);
/* What the formats since VMBI_BLOB_FATES have, of an end; and of a channel: opens, refused, closes, lost. */
static void vmbi_blob_fates(struct vmbi_blob *b, uint64_t fates[VMBI_FATES], uint64_t *post_failed, uint64_t *over_budget);
static void vmbi_blob_lives(struct vmbi_blob *b, uint32_t *opens);

#endif /* VMBI_BLOB_H */

#define BLOB_HEADER 32u
#define BLOB_RECORD 8u        /* header of a record: type and flags of 16 bits, length of 32 */
#define BLOB_SKIPPABLE 0x1u   /* flag: who does not know the type may pass over it */
#define BLOB_MAX 0x40000000u
#define BLOB_AT_FORMAT 8u     /* the header's fields */
#define BLOB_AT_WHOSE 12u
#define BLOB_AT_BYTES 16u
#define BLOB_AT_CHECKSUM 20u
#define BLOB_AT_RECORDS 24u
#define BLOB_AT_RESERVED 28u

static const uint8_t blob_magic[8] = { 'V', 'M', 'B', 'u', 's', 'S', 'a', 'v' };

/* ---- checksum: CRC-32 as in Ethernet and zip, over the whole blob with the checksum's own bytes as 0 */

static uint32_t blob_crc(const uint8_t *p, size_t n)
{
	static const uint32_t table[16] = {
		0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
		0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu, 0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu,
	};
	uint32_t crc = 0xffffffffu;

	for (size_t i = 0; i < n; i++) {
		crc ^= i >= BLOB_AT_CHECKSUM && i < BLOB_AT_CHECKSUM + 4 ? 0 : p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

/* ---- saving */

static int vmbi_blob_save(struct vmbi_blob *b, void *buf, size_t bytes, uint32_t format, uint32_t whose)
{
	if (format > VMB_SAVED_FORMAT)
		return VMB_EVERSION;
	*b = (struct vmbi_blob){ .out = buf, .size = buf ? bytes : 0, .format = format ? format : VMB_SAVED_FORMAT };
	if (b->size >= BLOB_HEADER) {
		VMBI_MEMSET(b->out, 0, BLOB_HEADER);
		VMBI_MEMCPY(b->out, blob_magic, sizeof blob_magic);
		vmbi_put32(b->out + BLOB_AT_FORMAT, b->format);
		vmbi_put32(b->out + BLOB_AT_WHOSE, whose);
	}
	b->at = BLOB_HEADER;
	return 0;
}

static void blob_put(struct vmbi_blob *b, size_t at, const void *p, uint32_t n)
{
	if (at <= b->size && n <= b->size - at)
		VMBI_MEMCPY(b->out + at, p, n);
}

static void vmbi_blob_begin(struct vmbi_blob *b, uint32_t type)
{
	uint8_t header[BLOB_RECORD] = { (uint8_t)type };

	blob_put(b, b->at, header, sizeof header);
	b->at += BLOB_RECORD;
	b->body = b->at;
}

static void vmbi_blob_close(struct vmbi_blob *b)
{
	static const uint8_t zeros[BLOB_RECORD];
	uint8_t length[4];

	vmbi_put32(length, (uint32_t)(b->at - b->body));
	blob_put(b, b->body - 4, length, sizeof length);
	vmbi_blob_bytes(b, (void *)(uintptr_t)zeros, (uint32_t)(0 - b->at) % BLOB_RECORD);
	b->records++;
}

static int vmbi_blob_finish(struct vmbi_blob *b, size_t *used)
{
	*used = b->at;
	if (!b->out)
		return 0;
	if (b->at > b->size)
		return VMB_ETOOSMALL;
	vmbi_put32(b->out + BLOB_AT_BYTES, (uint32_t)b->at);
	vmbi_put32(b->out + BLOB_AT_RECORDS, b->records);
	vmbi_put32(b->out + BLOB_AT_CHECKSUM, blob_crc(b->out, b->at));
	return 0;
}

/* ---- loading */

/* The frame of the record at b->at: 0 if there is none. */
static int blob_frame(struct vmbi_blob *b)
{
	uint32_t length;

	if (b->size - b->at < BLOB_RECORD)
		return 0;
	length = vmbi_get32(b->in + b->at + 4);
	b->body = b->at + BLOB_RECORD;
	if (length > b->size - b->body || (0u - length) % BLOB_RECORD > b->size - b->body - length)
		return 0;
	b->end = b->body + length;
	return 1;
}

static size_t blob_behind(const struct vmbi_blob *b)
{
	return b->end + (0 - b->end) % BLOB_RECORD;
}

/* May this record be here: a type of the format, or one that may be passed over? */
static int blob_is_known(const struct vmbi_blob *b, uint32_t type)
{
	return type < 32 && b->known >> type & 1;
}

static int blob_records(struct vmbi_blob *b)
{
	for (uint32_t n = b->records; n; n--) {
		uint32_t type, flags;

		if (!blob_frame(b))
			return VMB_EINVAL;
		type = vmbi_get16(b->in + b->at);
		flags = vmbi_get16(b->in + b->at + 2);
		if (flags != (blob_is_known(b, type) ? 0 : BLOB_SKIPPABLE))
			return VMB_EINVAL;
		b->at = blob_behind(b);
	}
	return b->at == b->size ? 0 : VMB_EINVAL;
}

static int vmbi_blob_load(struct vmbi_blob *b, const void *buf, size_t bytes, uint32_t whose, const uint32_t types[VMB_SAVED_FORMAT + 1])
{
	const uint8_t *in = buf;
	int r;

	*b = (struct vmbi_blob){ .in = in, .size = bytes, .at = BLOB_HEADER };
	if (bytes < BLOB_HEADER || bytes > BLOB_MAX || VMBI_MEMCMP(in, blob_magic, sizeof blob_magic) ||
	    vmbi_get32(in + BLOB_AT_BYTES) != bytes || vmbi_get32(in + BLOB_AT_CHECKSUM) != blob_crc(in, bytes))
		return VMB_EINVAL;
	b->format = vmbi_get32(in + BLOB_AT_FORMAT);
	if (!b->format || b->format > VMB_SAVED_FORMAT)
		return VMB_EVERSION;
	if (vmbi_get32(in + BLOB_AT_WHOSE) != whose || vmbi_get32(in + BLOB_AT_RESERVED))
		return VMB_EINVAL;
	b->known = types[b->format];
	b->records = vmbi_get32(in + BLOB_AT_RECORDS);
	r = blob_records(b);
	b->at = BLOB_HEADER;
	b->end = BLOB_HEADER;
	return r;
}

static uint32_t vmbi_blob_next(struct vmbi_blob *b)
{
	while (b->records) {
		uint32_t type;

		b->at = blob_behind(b);
		type = vmbi_get16(b->in + b->at);
		(void)blob_frame(b); /* as it was found by vmbi_blob_load */
		b->at = b->body;
		b->records--;
		if (blob_is_known(b, type))
			return type;
	}
	return 0;
}

static int vmbi_blob_done(struct vmbi_blob *b)
{
	b->failed |= b->at != b->end;
	for (size_t i = b->end; i < blob_behind(b); i++)
		b->failed |= b->in[i];
	return b->failed ? VMB_EINVAL : 0;
}

/* ---- fields */

static void vmbi_blob_bytes(struct vmbi_blob *b, void *p, uint32_t n)
{
	if (vmbi_blob_saving(b)) {
		blob_put(b, b->at, p, n);
	} else if (n > b->end - b->at) {
		b->failed = 1;
		VMBI_MEMSET(p, 0, n);
		return;
	} else {
		VMBI_MEMCPY(p, b->in + b->at, n);
	}
	b->at += n;
}

static void vmbi_blob_32(struct vmbi_blob *b, uint32_t *v)
{
	uint8_t word[4];

	vmbi_put32(word, *v);
	vmbi_blob_bytes(b, word, sizeof word);
	*v = vmbi_get32(word);
}

static void vmbi_blob_64(struct vmbi_blob *b, uint64_t *v)
{
	uint8_t word[8];

	vmbi_put64(word, *v);
	vmbi_blob_bytes(b, word, sizeof word);
	*v = vmbi_get64(word);
}

static void vmbi_blob_words(struct vmbi_blob *b, uint32_t *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		vmbi_blob_32(b, &v[i]);
}

static void vmbi_blob_fates(struct vmbi_blob *b, uint64_t fates[VMBI_FATES], uint64_t *post_failed, uint64_t *over_budget)
{
	if (b->format < VMBI_BLOB_FATES)
		return;
	for (uint32_t i = 0; i < VMBI_FATES; i++)
		vmbi_blob_64(b, &fates[i]);
	vmbi_blob_64(b, post_failed);
	vmbi_blob_64(b, over_budget);
}

static void vmbi_blob_lives(struct vmbi_blob *b, uint32_t *opens)
{
	if (b->format >= VMBI_BLOB_FATES)
		vmbi_blob_words(b, opens, 4);
}

/* ---- lib/bus/host_save.c ---- */
/*
 * A host end as bytes. Saving changes nothing: what devices have of the end is written down as what they must be asked for again.
 * control-plane.md 18, gpadl.md 9, ring.md 14
 */

/* ---- lib/bus/host_saved.h ---- */
/*
 * What is saved of a host end, record by record, and the functions that write and read each kind. doc/SAVED.md has the bytes.
 *
 * The order of the records: the connection, the contact that waits, then for each channel the channel itself, its page lists and its
 * opens, then the messages that wait for the guest, then the counters. So whatever a record is about has been seen before.
 */
#ifndef VMBI_HOST_SAVED_H
#define VMBI_HOST_SAVED_H


#define VMBI_HS_CONNECTION 1u
#define VMBI_HS_CONTACT 2u
#define VMBI_HS_CHANNEL 3u
#define VMBI_HS_LIST 4u
#define VMBI_HS_OPEN 5u
#define VMBI_HS_MESSAGE 6u
#define VMBI_HS_STATISTICS 7u

/* A channel's state as saved: 1...6 the guest knows it. */
#define VMBI_HS_CLOSED 1u
#define VMBI_HS_OPENING 2u
#define VMBI_HS_IS_OPEN 3u
#define VMBI_HS_CLOSING 4u
#define VMBI_HS_REOPEN 5u
#define VMBI_HS_REVOKED 6u
#define VMBI_HS_RELEASED 7u /* the guest gave it up: it is not offered again on this connection */
#define VMBI_HS_LEFT 8u     /* the guest knows it no more, a device still uses its memory */

#define VMBI_HS_TOLD 0x1u      /* this connection was told of it */
#define VMBI_HS_KEPT 0x2u      /* open as a reserved channel */
#define VMBI_HS_MODIFYING 0x4u /* MODIFY_CHANNEL is not answered */
#define VMBI_HS_POISONED 0x8u  /* its ring was found to be bad */
#define VMBI_HS_UNOPENED 0x10u /* a socket that is to be opened in time */
#define VMBI_HS_RESCINDED 0x20u
#define VMBI_HS_SERVED 0x40u   /* the device was still on the ring */
#define VMBI_HS_AGAIN 0x80u    /* to be offered when that has ended */

struct vmbi_hs_connection {
	uint32_t vtl, state, action, version, features, trusted, paused, message_vp, reset_done, swapping;
	uint64_t tokens, page_gpa, monitor[2], wanted[2];
	struct vmb_guid client_id;
};

struct vmbi_hs_channel {
	struct vmb_guid class_id, instance;
	uint32_t subchannel, id, state, flags, monitor, reserved;
	struct vmb_cursor tx_at, rx_at;
	uint32_t opens, refused, closes, lost; /* as in vmb_part */
};

struct vmbi_hs_list {
	struct vmbi_gpadl_state s;
	uint32_t quiet, held, reserved;
};

struct vmbi_hs_message {
	uint32_t vp, len;
	uint8_t bytes[48]; /* as it goes out; of an offer only type and channel id, where a rescind has them */
};

static void vmbi_hs_connection(struct vmbi_blob *b, struct vmbi_hs_connection *c);
static void vmbi_hs_contact(struct vmbi_blob *b, struct vmbi_host_request *q);
static void vmbi_hs_channel(struct vmbi_blob *b, struct vmbi_hs_channel *c);
static void vmbi_hs_list(struct vmbi_blob *b, struct vmbi_hs_list *l); /* the words come after it */
static void vmbi_hs_open(struct vmbi_blob *b, struct vmbi_host_open *o, uint32_t *again); /* *again: of the open that waits for the end of another */
static void vmbi_hs_message(struct vmbi_blob *b, struct vmbi_hs_message *m);
static void vmbi_hs_statistics(struct vmbi_blob *b, struct vmb_host *h);

/* How many opens stand behind a channel in this state. */
static uint32_t vmbi_hs_opens(uint32_t state, uint32_t flags);

#endif /* VMBI_HOST_SAVED_H */

/* ---- the records, both ways */

static void vmbi_hs_connection(struct vmbi_blob *b, struct vmbi_hs_connection *c)
{
	vmbi_blob_words(b, &c->vtl, 10); /* up to swapping */
	vmbi_blob_64(b, &c->tokens);
	vmbi_blob_64(b, &c->page_gpa);
	vmbi_blob_64(b, &c->monitor[0]);
	vmbi_blob_64(b, &c->monitor[1]);
	vmbi_blob_64(b, &c->wanted[0]);
	vmbi_blob_64(b, &c->wanted[1]);
	vmbi_blob_bytes(b, &c->client_id, sizeof c->client_id);
}

static void vmbi_hs_contact(struct vmbi_blob *b, struct vmbi_host_request *q)
{
	vmbi_blob_32(b, &q->version);
	vmbi_blob_32(b, &q->connection);
	vmbi_blob_32(b, &q->vp);
	vmbi_blob_32(b, &q->features);
	vmbi_blob_32(b, &q->trusted);
	vmbi_blob_64(b, &q->page);
	vmbi_blob_64(b, &q->monitor[0]);
	vmbi_blob_64(b, &q->monitor[1]);
	vmbi_blob_bytes(b, &q->client_id, sizeof q->client_id);
}

static void hs_cursor(struct vmbi_blob *b, struct vmb_cursor *c)
{
	vmbi_blob_words(b, &c->valid, 3);
}

static void vmbi_hs_channel(struct vmbi_blob *b, struct vmbi_hs_channel *c)
{
	vmbi_blob_bytes(b, &c->class_id, sizeof c->class_id);
	vmbi_blob_bytes(b, &c->instance, sizeof c->instance);
	vmbi_blob_words(b, &c->subchannel, 5); /* up to monitor */
	hs_cursor(b, &c->tx_at);
	hs_cursor(b, &c->rx_at);
	vmbi_blob_lives(b, &c->opens);
}

static void vmbi_hs_list(struct vmbi_blob *b, struct vmbi_hs_list *l)
{
	vmbi_blob_words(b, &l->s.id, 7);
	vmbi_blob_words(b, &l->quiet, 2);
}

static void vmbi_hs_open(struct vmbi_blob *b, struct vmbi_host_open *o, uint32_t *again)
{
	vmbi_blob_32(b, again);
	vmbi_blob_32(b, &o->open_id);
	vmbi_blob_32(b, &o->ring_id);
	vmbi_blob_32(b, &o->rx_pages);
	vmbi_blob_words(b, &o->target_vp, 8); /* up to result_sint */
	vmbi_blob_bytes(b, o->user_data, sizeof o->user_data);
}

static void vmbi_hs_message(struct vmbi_blob *b, struct vmbi_hs_message *m)
{
	vmbi_blob_32(b, &m->vp);
	vmbi_blob_32(b, &m->len);
	vmbi_blob_bytes(b, m->bytes, sizeof m->bytes);
}

static void vmbi_hs_statistics(struct vmbi_blob *b, struct vmb_host *h)
{
	vmbi_blob_64(b, &h->messages_in);
	vmbi_blob_64(b, &h->messages_out);
	vmbi_blob_64(b, &h->dropped);
	vmbi_blob_64(b, &h->refused_quota);
	vmbi_blob_64(b, &h->post_retries);
	vmbi_blob_64(b, &h->late_answers);
	vmbi_blob_32(b, &h->stray);
	vmbi_blob_fates(b, h->fates, &h->post_failed, &h->over_budget);
}

/* ---- the connection */

static void hs_save_connection(struct vmb_host *h, struct vmbi_blob *b)
{
	struct vmbi_hs_connection c = {
		.vtl = h->cfg.vtl, .state = h->state, .action = h->action, .version = h->version, .features = h->features,
		.trusted = h->trusted, .paused = h->paused, .message_vp = h->message_vp, .reset_done = h->reset_done,
		.swapping = h->monitor.swapping, .tokens = h->tokens, .client_id = h->client_id,
	};

	if (!h->action) { /* else the pages are on their way out */
		c.page_gpa = h->page_mapped ? h->page_gpa : 0;
		for (uint32_t i = 0; i < 2; i++) {
			c.monitor[i] = h->monitor.gpa[i];
			c.wanted[i] = c.swapping ? h->monitor.wanted[i] : 0;
		}
	}
	vmbi_blob_begin(b, VMBI_HS_CONNECTION);
	vmbi_hs_connection(b, &c);
	vmbi_blob_close(b);
	if (h->action != VMBI_ACTION_CONTACT)
		return;
	vmbi_blob_begin(b, VMBI_HS_CONTACT);
	vmbi_hs_contact(b, &h->request);
	vmbi_blob_close(b);
}

/* ---- channels */

/* left: no guest knows it any more, and it goes when the device has let go. */
static void hs_save_list(struct vmb_host *h, struct vmbi_blob *b, uint32_t ref, int left)
{
	struct vmbi_hs_list l = { .held = h->gpadl[ref].holds != 0 };

	vmbi_gpadls_state(h->store, ref, &l.s);
	if (left) /* it is complete: parts of lists are forgotten when a guest lets go */
		l.quiet = l.s.leaving = 1;
	vmbi_blob_begin(b, VMBI_HS_LIST);
	vmbi_hs_list(b, &l);
	for (uint32_t i = 0; i < l.s.kept; i++) {
		uint64_t word;

		vmbi_gpadls_words(h->store, ref, i, &word, 1);
		vmbi_blob_64(b, &word);
	}
	vmbi_blob_close(b);
}

static void hs_save_open(struct vmbi_blob *b, struct vmbi_host_open *o, uint32_t again)
{
	vmbi_blob_begin(b, VMBI_HS_OPEN);
	vmbi_hs_open(b, o, &again);
	vmbi_blob_close(b);
}

/* How the guest's state is saved. */
static uint32_t hs_state(const struct vmbi_hc *c)
{
	static const uint32_t saved[] = {
		[VMBI_HC_UNOFFERED] = VMBI_HS_RELEASED, [VMBI_HC_CLOSED] = VMBI_HS_CLOSED, [VMBI_HC_OPENING] = VMBI_HS_OPENING,
		[VMBI_HC_OPEN] = VMBI_HS_IS_OPEN, [VMBI_HC_CLOSING] = VMBI_HS_CLOSING, [VMBI_HC_REOPEN] = VMBI_HS_REOPEN,
		[VMBI_HC_REVOKED] = VMBI_HS_REVOKED,
	};

	return saved[c->state];
}

static uint32_t hs_flags(struct vmb_host *h, const struct vmbi_hc *c, uint32_t state)
{
	uint32_t flags = 0;

	if (state == VMBI_HS_LEFT)
		return (vmbi_hc_is_served(c) ? VMBI_HS_SERVED : 0) | (c->removed || c->renewing ? VMBI_HS_AGAIN : 0);
	if (state == VMBI_HS_RELEASED)
		return 0;
	flags |= vmbi_hc_is_told(h, c) ? VMBI_HS_TOLD : 0;
	flags |= c->kept ? VMBI_HS_KEPT : 0;
	flags |= c->modifying ? VMBI_HS_MODIFYING : 0;
	flags |= c->rescinded ? VMBI_HS_RESCINDED : 0;
	if (state == VMBI_HS_CLOSED && h->timed_links[c->slot].in)
		flags |= VMBI_HS_UNOPENED;
	if (state == VMBI_HS_REVOKED && vmbi_hc_is_served(c))
		flags |= VMBI_HS_SERVED;
	if (state == VMBI_HS_IS_OPEN && (c->poisoned || (c->channel && vmbi_channel_is_broken(c->channel))))
		flags |= VMBI_HS_POISONED;
	return flags;
}

/* How many opens stand behind a channel in this state. */
static uint32_t vmbi_hs_opens(uint32_t state, uint32_t flags)
{
	switch (state) {
	case VMBI_HS_OPENING:
	case VMBI_HS_IS_OPEN:
	case VMBI_HS_CLOSING:
		return 1;
	case VMBI_HS_REOPEN:
		return 2;
	default:
		return flags & VMBI_HS_SERVED ? 1 : 0;
	}
}

static void hs_save_channel(struct vmb_host *h, struct vmbi_blob *b, struct vmbi_hc *c, uint32_t state)
{
	struct vmbi_hs_channel s = { .class_id = c->class_id, .instance = c->instance, .subchannel = c->subchannel,
				     .state = state, .flags = hs_flags(h, c, state), .opens = c->opens, .refused = c->refused,
				     .closes = c->closes, .lost = c->lost };
	uint32_t opens = vmbi_hs_opens(state, s.flags);

	if (state < VMBI_HS_RELEASED) {
		s.id = c->id;
		s.monitor = c->monitor;
	}
	if (state == VMBI_HS_IS_OPEN && !(s.flags & VMBI_HS_POISONED)) {
		s.tx_at = c->tx_at;
		s.rx_at = c->rx_at;
		if (c->channel)
			vmbi_channel_where(c->channel, &s.tx_at, &s.rx_at);
	}
	vmbi_blob_begin(b, VMBI_HS_CHANNEL);
	vmbi_hs_channel(b, &s);
	vmbi_blob_close(b);
	if (state == VMBI_HS_RELEASED)
		return;
	for (uint32_t ref = vmbi_gpadls_each(h->store, c->slot, 0); ref; ref = vmbi_gpadls_each(h->store, c->slot, ref))
		hs_save_list(h, b, ref, state == VMBI_HS_LEFT);
	if (opens)
		hs_save_open(b, &c->open, 0);
	if (opens > 1)
		hs_save_open(b, &c->reopen, 1);
}

/* Of a channel that the guest knows no more: does something of it live on? */
static uint32_t hs_left(struct vmb_host *h, const struct vmbi_hc *c)
{
	if (c->state == VMBI_HC_FREE || (c->state != VMBI_HC_UNOFFERED && !vmbi_host_is_left(h, c)))
		return 0;
	if (vmbi_hc_is_served(c) || c->holds)
		return VMBI_HS_LEFT;
	return !c->removed && vmbi_host_may_offer(h, c) ? VMBI_HS_RELEASED : 0;
}

/* In an order that does not depend on slots: by channel id, then as they would be offered, then removed ones. */
static void hs_save_channels(struct vmb_host *h, struct vmbi_blob *b)
{
	for (uint32_t id = 1; id < VMBI_HOST_IDS; id++) {
		struct vmbi_hc *c = vmbi_host_named(h, id);

		if (c && !vmbi_host_is_left(h, c))
			hs_save_channel(h, b, c, hs_state(c));
	}
	for (uint32_t i = 0; i < h->sorted_used; i++) {
		struct vmbi_hc *c = &h->ch[h->sorted[i]];

		if (hs_left(h, c))
			hs_save_channel(h, b, c, hs_left(h, c));
	}
	for (uint32_t i = 1; i <= h->slots; i++)
		if (h->ch[i].removed && hs_left(h, &h->ch[i]))
			hs_save_channel(h, b, &h->ch[i], VMBI_HS_LEFT);
}

/* ---- messages */

static void hs_save_message(struct vmbi_blob *b, struct vmbi_hs_message *m)
{
	vmbi_blob_begin(b, VMBI_HS_MESSAGE);
	vmbi_hs_message(b, m);
	vmbi_blob_close(b);
}

/* A connect that waits for an answer is not known to anybody after a restore: it is refused. */
static void hs_save_messages(struct vmb_host *h, struct vmbi_blob *b)
{
	struct vmbi_hs_message m = { 0, 0, { 0 } };

	for (uint32_t node = 0; (node = vmbi_hq_look(h, node, m.bytes, &m.len, &m.vp)) != 0;)
		hs_save_message(b, &m);
	for (uint32_t i = 0; (i = vmbi_hvsock_look(h, i, m.bytes, &m.len)) != 0;) {
		m.vp = h->message_vp;
		hs_save_message(b, &m);
	}
}

/* ---- the call */

/* Whoever serves a channel must be between two packets. */
static int hs_ready(struct vmb_host *h)
{
	struct vmb_cursor tx, rx;

	for (uint32_t i = 1; i <= h->slots; i++) {
		const struct vmbi_hc *c = &h->ch[i];

		if (c->state == VMBI_HC_OPEN && c->channel && !vmbi_channel_is_broken(c->channel) &&
		    !vmbi_channel_where(c->channel, &tx, &rx))
			return VMB_ESTATE;
	}
	return 0;
}

static int hs_save(struct vmb_host *h, uint32_t format, void *buf, size_t bytes, size_t *used)
{
	struct vmbi_blob b;
	int r = vmbi_blob_save(&b, buf, bytes, format, VMBI_BLOB_HOST);

	if (!r)
		r = hs_ready(h);
	if (r)
		return r;
	hs_save_connection(h, &b);
	hs_save_channels(h, &b);
	hs_save_messages(h, &b);
	if (b.format >= VMBI_BLOB_STATISTICS) {
		vmbi_blob_begin(&b, VMBI_HS_STATISTICS);
		vmbi_hs_statistics(&b, h);
		vmbi_blob_close(&b);
	}
	return vmbi_blob_finish(&b, used);
}

int vmb_host_save(struct vmb_host *h, uint32_t format, void *buf, size_t bytes, size_t *used)
{
	int r = used ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	r = hs_save(h, format, buf, bytes, used);
	vmbi_guard_leave(&h->guard);
	return r;
}

/* ---- lib/bus/host_restore.c ---- */
/*
 * A host end out of bytes. The blob may have been made by anybody: each field is checked before it is used, against the config and against the
 * records before it. What is taken in lies in slots, lists and queue of an end that has no connection yet, so that it can be thrown away
 * again up to the last check; only then do devices, guest and embedder hear of anything. control-plane.md 18, gpadl.md 9
 */

#define HR_KNOWN(type) (1u << (type))
/* The counters of an end lie in a row. */
#define HR_COUNTERS_AT offsetof(struct vmb_host, messages_in)
#define HR_COUNTERS (offsetof(struct vmb_host, now) - HR_COUNTERS_AT)

struct host_restore {
	struct vmb_host *h;
	struct vmbi_blob b;
	struct vmbi_hs_connection s;
	struct vmbi_host_request contact;
	struct vmbi_hc *c;        /* the channel at hand; NULL: it is of no interest */
	uint32_t channels;        /* seen so far */
	uint32_t state, flags;    /* of the one at hand */
	uint32_t opens, lists;    /* seen of it */
	uint32_t last, last_id, last_list;
	uint32_t pending;         /* answers that will be due: control-plane.md 1.4 */
	uint32_t stray;           /* these and counters: as they were, should it fail */
	uint8_t counters[HR_COUNTERS];
};

/* ---- the connection */

static int hr_is_connected(const struct vmbi_hs_connection *s)
{
	return s->state == VMB_BUS_CONNECTED || s->state == VMB_BUS_RUNNING;
}

/* State and action fit together. */
static int hr_state_ok(const struct vmbi_hs_connection *s)
{
	switch (s->state) {
	case VMB_BUS_NONE:
		return !s->action && !s->version;
	case VMB_BUS_CONNECTED:
	case VMB_BUS_RUNNING:
		return !s->action && s->version;
	case VMB_BUS_LEAVING:
		return s->action == VMBI_ACTION_CONTACT || (s->action == VMBI_ACTION_UNLOAD && s->version);
	case VMB_BUS_RESETTING:
		return s->action == VMBI_ACTION_RESET;
	default:
		return 0;
	}
}

static int hr_pages_ok(const struct vmb_host *h, const struct vmbi_hs_connection *s)
{
	const uint64_t *gpa = s->monitor;

	if (s->page_gpa && (s->version >= VMB_V2_4 || s->page_gpa % VMB_PAGE))
		return 0;
	if (!hr_is_connected(s))
		return !s->page_gpa && !gpa[0] && !gpa[1] && !s->swapping;
	if (s->features & VMB_FEATURE_SERVER_MONITOR) /* the guest has mapped those */
		return gpa[0] == h->cfg.monitor_gpa[0] && gpa[1] == h->cfg.monitor_gpa[1] && !s->swapping;
	if (s->swapping && (!(s->features & VMB_FEATURE_MODIFY_CONNECTION) || !vmbi_monitor_pages_ok(s->wanted)))
		return 0;
	return vmbi_monitor_pages_ok(gpa);
}

static int hr_connection(struct host_restore *l)
{
	struct vmbi_hs_connection *s = &l->s;
	const struct vmb_host *h = l->h;

	vmbi_hs_connection(&l->b, s);
	if (vmbi_blob_done(&l->b) || s->vtl != h->cfg.vtl || !hr_state_ok(s) || (s->trusted | s->reset_done | s->swapping | s->paused) > 1)
		return VMB_EINVAL;
	if ((s->version && !vmbi_host_speaks(h, s->version)) || s->features != vmbi_host_grant(h, s->features, s->trusted) ||
	    (s->trusted && !(h->cfg.flags & VMB_HOST_TRUSTED)))
		return VMB_EVERSION;
	if ((s->features && s->version < VMB_V6_0) || (s->trusted && !s->version) ||
	    (s->paused && (!hr_is_connected(s) || !(s->features & VMB_FEATURE_PAUSE))) ||
	    (s->version < VMB_V6_0 && !vmbi_guid_is_zero(&s->client_id)) || !hr_pages_ok(h, s) || /* told, if granted or not */
	    (!s->swapping && (s->wanted[0] | s->wanted[1])))
		return VMB_EINVAL;
	return vmbi_host_vp_ok(h, s->message_vp) ? 0 : VMB_ENOSPACE;
}

/* As vmbi_host_contact lets it pass. */
static int hr_contact(struct host_restore *l)
{
	struct vmbi_host_request *q = &l->contact;

	vmbi_hs_contact(&l->b, q);
	if (vmbi_blob_done(&l->b) || q->trusted > 1 || (q->page && q->version >= VMB_V2_4) || (q->features && q->version < VMB_V6_0) ||
	    (!(q->features & VMB_FEATURE_CLIENT_ID) && !vmbi_guid_is_zero(&q->client_id)) || (q->vp && q->version < VMB_V3_0) ||
	    !vmbi_host_is_port(l->h, q->connection))
		return VMB_EINVAL;
	if (q->trusted && !(l->h->cfg.flags & VMB_HOST_TRUSTED))
		return VMB_EVERSION;
	q->bad_pages = !vmbi_monitor_pages_ok(q->monitor);
	return vmbi_host_vp_ok(l->h, q->vp) ? 0 : VMB_ENOSPACE;
}

/* ---- channels */

static int hr_flags_ok(const struct host_restore *l, const struct vmbi_hs_channel *c)
{
	static const uint32_t may[] = {
		[VMBI_HS_CLOSED] = VMBI_HS_TOLD | VMBI_HS_UNOPENED,
		[VMBI_HS_OPENING] = VMBI_HS_TOLD | VMBI_HS_KEPT,
		[VMBI_HS_IS_OPEN] = VMBI_HS_TOLD | VMBI_HS_KEPT | VMBI_HS_MODIFYING | VMBI_HS_POISONED,
		[VMBI_HS_CLOSING] = VMBI_HS_TOLD | VMBI_HS_KEPT,
		[VMBI_HS_REOPEN] = VMBI_HS_TOLD | VMBI_HS_KEPT,
		[VMBI_HS_REVOKED] = VMBI_HS_TOLD | VMBI_HS_RESCINDED | VMBI_HS_SERVED,
		[VMBI_HS_RELEASED] = 0,
		[VMBI_HS_LEFT] = VMBI_HS_SERVED | VMBI_HS_AGAIN,
	};
	uint32_t running = l->s.state == VMB_BUS_RUNNING, f = c->flags;

	if (!c->state || c->state > VMBI_HS_LEFT || f & ~may[c->state])
		return 0;
	if ((f & VMBI_HS_TOLD && (!running || (c->subchannel && l->s.version < VMB_V2_4))) || (c->state == VMBI_HS_RELEASED && !running))
		return 0;
	if (c->state < VMBI_HS_RELEASED && !(f & VMBI_HS_TOLD) && (!(f & VMBI_HS_KEPT) || c->state == VMBI_HS_REOPEN))
		return 0;
	if (f & VMBI_HS_MODIFYING && (l->s.version < VMB_V5_3 || f & VMBI_HS_KEPT))
		return 0;
	return !(f & VMBI_HS_RESCINDED) || !(f & VMBI_HS_SERVED);
}

static int hr_cursors_ok(const struct vmbi_hs_channel *c)
{
	const struct vmb_cursor *t = &c->tx_at, *r = &c->rx_at;

	if (t->valid > 1 || r->valid != t->valid || (!t->valid && (t->index | t->armed | r->index | r->armed)) || r->armed > 1)
		return 0;
	return !t->valid || (c->state == VMBI_HS_IS_OPEN && !(c->flags & VMBI_HS_POISONED));
}

/* The id is in rising order; those without one come last. */
static int hr_id_ok(struct host_restore *l, const struct vmbi_hs_channel *c)
{
	if (c->state >= VMBI_HS_RELEASED) {
		l->last_id = UINT32_MAX;
		return !c->id;
	}
	if (c->id <= l->last_id || c->id > VMBI_MAX_CHANNEL_ID)
		return 0;
	l->last_id = c->id;
	return 1;
}

/* Its monitor id is the guest's to use, so it must mean what it did. */
static int hr_monitor(struct host_restore *l, const struct vmbi_hs_channel *c)
{
	struct vmbi_host_monitor *m = &l->h->monitor;
	uint32_t id = c->monitor - 1;

	if (!c->monitor)
		return 0;
	if (!(c->flags & VMBI_HS_TOLD) || c->monitor > VMBI_HOST_MONITORS || !(l->h->cfg.flags & VMB_HOST_MONITOR) ||
	    m->taken[id / 32] >> id % 32 & 1)
		return VMB_EINVAL;
	/* The pages may have gone since it was given: by MODIFY_CONNECTION, or because the connection is going. */
	if (!l->s.monitor[1] && hr_is_connected(&l->s) && !(l->s.features & VMB_FEATURE_MODIFY_CONNECTION))
		return VMB_EINVAL;
	m->taken[id / 32] |= 1u << id % 32;
	l->c->monitor = c->monitor;
	return 0;
}

static int hr_take(struct host_restore *l, const struct vmbi_hs_channel *c)
{
	int known = c->state < VMBI_HS_RELEASED, r;

	l->c = vmbi_host_claim(l->h, &c->class_id, &c->instance, c->subchannel, known, &r);
	if (!l->c)
		return r;
	l->c->saved = c->state | c->flags << 8;
	l->c->tx_at = c->tx_at;
	l->c->rx_at = c->rx_at;
	VMBI_MEMCPY(&l->c->opens, &c->opens, 4 * sizeof c->opens);
	if (!known)
		return 0;
	if (!l->c->removed && l->c->wanted && l->c->wanted != c->id && c->state != VMBI_HS_REVOKED)
		return VMB_EINVAL;
	r = vmbi_host_claim_id(l->h, l->c, c->id);
	return r ? r : hr_monitor(l, c);
}

/* All that stands behind the channel at hand has been seen. */
static int hr_channel_end(const struct host_restore *l)
{
	return l->channels && l->opens != vmbi_hs_opens(l->state, l->flags) ? VMB_EINVAL : 0;
}

static int hr_channel(struct host_restore *l)
{
	struct vmbi_hs_channel c = { .id = 0 };
	int r = hr_channel_end(l);

	vmbi_hs_channel(&l->b, &c);
	if (r || vmbi_blob_done(&l->b) || !hr_flags_ok(l, &c) || !hr_cursors_ok(&c) || !hr_id_ok(l, &c) || c.subchannel > 0xffff ||
	    (c.state >= VMBI_HS_RELEASED && c.monitor))
		return VMB_EINVAL;
	l->channels++;
	l->state = c.state;
	l->flags = c.flags;
	l->opens = l->lists = 0;
	if (c.state == VMBI_HS_OPENING || c.state == VMBI_HS_REOPEN || c.flags & VMBI_HS_MODIFYING)
		l->pending++;
	return hr_take(l, &c);
}

/* ---- lists */

static int hr_list(struct host_restore *l)
{
	struct vmbi_hs_list list = { .quiet = 0 };
	const uint8_t *words;
	struct vmbi_hc *c = l->c;
	uint32_t ref;
	int r, over;

	vmbi_hs_list(&l->b, &list);
	if (l->b.failed || list.s.kept > (l->b.end - l->b.at) / 8)
		return VMB_EINVAL;
	words = l->b.in + l->b.at;
	l->b.at += (size_t)list.s.kept * 8;
	if (vmbi_blob_done(&l->b) || !l->channels || l->opens || l->state == VMBI_HS_RELEASED || (l->lists && list.s.id <= l->last_list) ||
	    list.s.complete > 1 || list.s.leaving > 1 || list.quiet != (l->state == VMBI_HS_LEFT) || list.quiet > list.s.leaving ||
	    list.held > list.s.complete)
		return VMB_EINVAL;
	l->lists++;
	l->last_list = list.s.id;
	if (!c)
		return 0;
	/* What is on its way out may be another device's: the limits of the one that is offered now are not for it. */
	over = l->state == VMBI_HS_REVOKED || l->state == VMBI_HS_LEFT;
	r = vmbi_gpadls_load(l->h->store, c->slot, &list.s, words, over ? 0 : c->max_gpadls, over ? 0 : c->max_gpadl_pages, &ref);
	if (r)
		return r;
	l->h->gpadl[ref].slot = c->slot;
	l->h->gpadl[ref].quiet = list.quiet;
	l->h->gpadl[ref].holds = c->removed ? 0 : list.held;
	l->pending++;
	return 0;
}

/* ---- opens */

/* Where the guest's signals come and its interrupts go. control-plane.md 6.4 */
static int hr_signals_ok(const struct host_restore *l, const struct vmbi_host_open *o)
{
	const struct vmbi_hc *c = l->c;

	if (!o->flag || o->flag >= VMBI_HOST_IDS || o->connection >> 24)
		return 0;
	if (l->state == VMBI_HS_LEFT) /* for nobody any more */
		return 1;
	if (o->flags & VMB_OPEN_RESERVED || !(l->s.features & VMB_FEATURE_SIGNAL_PARAMETERS))
		return o->flag == c->id && o->connection == vmbi_host_connection(l->h, c);
	return (l->state != VMBI_HS_OPENING && l->state != VMBI_HS_IS_OPEN && !l->opens) || vmbi_ports_may(l->h, c, o->connection);
}

static int hr_reserved_ok(const struct host_restore *l, const struct vmbi_host_open *o)
{
	return o->flags == VMB_OPEN_RESERVED && o->version >= VMB_V4_0 && vmbi_host_speaks(l->h, o->version) && !o->offer_flags &&
	       o->target_vp == VMB_VP_NONE && !o->open_id && o->result_sint <= 0xff;
}

static int hr_plain_ok(const struct host_restore *l, const struct vmbi_host_open *o)
{
	uint32_t flags = l->s.features & VMB_FEATURE_REDIRECT ? VMB_OPEN_REDIRECT : 0;

	if (l->state == VMBI_HS_LEFT) /* its connection may be over */
		return !(o->flags & ~(VMB_OPEN_REDIRECT | VMB_OPEN_RESERVED)) && vmbi_version_known(o->version) && o->offer_flags <= 0xffff;
	return !(o->flags & ~flags) && o->version == l->s.version && o->offer_flags == vmbi_host_offer_flags(l->h, o->offer_flags) &&
	       !o->result_vp && !o->result_sint;
}

/* Its ring, which the list before it names. */
static int hr_ring(const struct host_restore *l, struct vmbi_host_open *o)
{
	const struct vmb_cursor *t = &l->c->tx_at, *r = &l->c->rx_at;

	if (!vmbi_host_find_ring(l->h, l->c, o))
		return 0;
	return !t->valid || (t->index % 8 == 0 && t->index / VMB_PAGE < o->ring_pages - o->rx_pages - 1 && r->index % 8 == 0 &&
			     r->index / VMB_PAGE < o->rx_pages - 1);
}

static int hr_open(struct host_restore *l)
{
	struct vmbi_host_open o = { .ring_ref = 0 };
	struct vmbi_hc *c = l->c;
	uint32_t again = 0;
	int kept;

	vmbi_hs_open(&l->b, &o, &again);
	if (vmbi_blob_done(&l->b) || !l->channels || l->opens >= vmbi_hs_opens(l->state, l->flags) || again != l->opens)
		return VMB_EINVAL;
	if (!c) {
		l->opens++;
		return 0;
	}
	kept = l->state == VMBI_HS_REVOKED ? (o.flags & VMB_OPEN_RESERVED) != 0 : l->flags & VMBI_HS_KEPT && !again;
	if (!(kept ? hr_reserved_ok(l, &o) : hr_plain_ok(l, &o)) || !hr_signals_ok(l, &o) || !hr_ring(l, &o))
		return VMB_EINVAL;
	if (o.target_vp != VMB_VP_NONE && !vmbi_host_vp_ok(l->h, o.target_vp))
		return VMB_ENOSPACE;
	l->opens++;
	if (again)
		c->reopen = o;
	else
		c->open = o;
	if (l->state == VMBI_HS_OPENING || l->state == VMBI_HS_IS_OPEN)
		vmbi_ports_add(l->h, c, o.connection);
	return 0;
}

/* ---- messages */

/* An offer is still to come, or a rescind is: the channel must be in that state. */
static int hr_message_fits(const struct host_restore *l, const struct vmbi_hs_message *m)
{
	uint32_t type = vmbi_get32(m->bytes), saved;
	const struct vmbi_hc *c;

	if (type != VMBI_MSG_OFFER_CHANNEL && type != VMBI_MSG_RESCIND_CHANNEL_OFFER)
		return 1;
	c = vmbi_host_named(l->h, vmbi_get32(m->bytes + VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id)));
	saved = c ? c->saved : 0;
	if (!(saved >> 8 & VMBI_HS_TOLD))
		return 0;
	return type == VMBI_MSG_OFFER_CHANNEL ? (saved & 0xff) != VMBI_HS_REVOKED : (saved >> 8 & VMBI_HS_RESCINDED) != 0;
}

static int hr_message(struct host_restore *l)
{
	struct vmbi_hs_message m = { 0, 0, { 0 } };

	vmbi_hs_message(&l->b, &m);
	if (vmbi_blob_done(&l->b) || hr_channel_end(l) || !hr_message_fits(l, &m))
		return VMB_EINVAL;
	return vmbi_hq_load(l->h, m.bytes, m.len, m.vp);
}

static int hr_statistics(struct host_restore *l)
{
	vmbi_hs_statistics(&l->b, l->h);
	return vmbi_blob_done(&l->b) || hr_channel_end(l) ? VMB_EINVAL : 0;
}

/* ---- all records, in their order */

static int hr_record(struct host_restore *l, uint32_t type)
{
	/* What may come behind what: rising, but that a channel begins its own again. */
	if (type < l->last && !(type == VMBI_HS_CHANNEL && l->last <= VMBI_HS_OPEN))
		return VMB_EINVAL;
	if (type == l->last && (type < VMBI_HS_CHANNEL || type == VMBI_HS_STATISTICS))
		return VMB_EINVAL;
	l->last = type;
	switch (type) {
	case VMBI_HS_CONTACT:
		return hr_contact(l);
	case VMBI_HS_CHANNEL:
		return hr_channel(l);
	case VMBI_HS_LIST:
		return hr_list(l);
	case VMBI_HS_OPEN:
		return hr_open(l);
	case VMBI_HS_MESSAGE:
		return hr_message(l);
	default:
		return hr_statistics(l);
	}
}

/* The connection is always the first. From here on the end looks as if it had one, so that its own functions may be asked. */
static int hr_first(struct host_restore *l)
{
	struct vmb_host *h = l->h;
	int r = vmbi_blob_next(&l->b) == VMBI_HS_CONNECTION ? hr_connection(l) : VMB_EINVAL;

	if (r)
		return r;
	l->last = VMBI_HS_CONNECTION;
	h->state = l->s.state;
	h->version = l->s.version;
	h->features = l->s.features;
	h->message_vp = l->s.message_vp;
	h->paused = l->s.paused;
	return 0;
}

static int hr_pages(struct host_restore *l)
{
	struct vmb_host *h = l->h;

	if (vmbi_host_use_page(h, l->s.page_gpa))
		return VMB_EMAP;
	if (!l->s.swapping && !l->s.action && vmbi_monitor_use(h, l->s.monitor)) { /* nobody looks for triggers of a guest that leaves */
		vmbi_host_unuse_page(h);
		return VMB_EMAP;
	}
	return 0;
}

static int hr_load(struct host_restore *l)
{
	int r = hr_first(l), contact = l->s.action == VMBI_ACTION_CONTACT;
	uint32_t type, seen = 0;

	while (!r && (type = vmbi_blob_next(&l->b)) != 0) {
		seen |= HR_KNOWN(type);
		r = hr_record(l, type);
	}
	if (r)
		return r;
	if (hr_channel_end(l) || !(seen & HR_KNOWN(VMBI_HS_CONTACT)) != !contact ||
	    !(seen & HR_KNOWN(VMBI_HS_STATISTICS)) != (l->b.format < VMBI_BLOB_STATISTICS))
		return VMB_EINVAL;
	/* host.c counts the replies so that there is always one. */
	if ((uint64_t)vmbi_hq_replies(l->h) + l->pending + l->s.swapping > l->h->replies)
		return VMB_ENOSPACE;
	return hr_pages(l);
}

/* ---- throwing it away */

static void hr_undo_channel(struct vmb_host *h, struct vmbi_hc *c)
{
	for (uint32_t ref = vmbi_gpadls_each(h->store, c->slot, 0); ref; ref = vmbi_gpadls_each(h->store, c->slot, ref))
		h->gpadl[ref] = (struct vmbi_host_gpadl){ 0, 0, 0, 0, 0, 0, 0 };
	vmbi_gpadls_purge(h->store, c->slot);
	for (uint32_t ref = vmbi_gpadls_next(h->store, c->slot, 0); ref; ref = vmbi_gpadls_next(h->store, c->slot, ref))
		(void)vmbi_gpadls_leave(h->store, ref); /* nobody uses it yet */
	vmbi_ports_remove(h, c);
	vmbi_host_drop_id(h, c);
	c->saved = 0;
	c->tx_at.valid = c->rx_at.valid = 0;
	c->opens = c->refused = c->closes = c->lost = 0;
	if (c->unclaimed)
		vmbi_host_free(h, c);
}

static void hr_undo(struct host_restore *l)
{
	struct vmb_host *h = l->h;

	vmbi_hq_forget_all(h);
	for (uint32_t i = 1; i <= h->slots; i++)
		if (h->ch[i].saved)
			hr_undo_channel(h, &h->ch[i]);
	vmbi_ports_clear(h);
	h->state = VMB_BUS_NONE;
	h->version = h->features = h->message_vp = h->paused = 0;
	VMBI_MEMCPY((uint8_t *)h + HR_COUNTERS_AT, l->counters, sizeof l->counters);
	h->stray = l->stray;
}

/* ---- taking it over: nothing fails any more */

static void hr_ask_close(struct vmb_host *h, struct vmbi_hc *c)
{
	vmbi_hc_device(h, c, VMBI_DEV_REMOTE); /* for all that this end knows somebody uses the ring */
	c->restored = 1;
	h->serving++;
	vmbi_he_channel(h, c, VMBI_HE_CLOSE);
}

/* One that was open goes on if its device says so. */
static void hr_open_again(struct vmb_host *h, struct vmbi_hc *c, uint32_t flags)
{
	vmbi_hc_become(h, c, VMBI_HC_OPEN);
	c->poisoned = (flags & VMBI_HS_POISONED) != 0;
	c->modifying = (flags & VMBI_HS_MODIFYING) != 0;
	if (c->poisoned) /* it waits for the guest's CLOSE */
		return;
	vmbi_hc_device(h, c, VMBI_DEV_ASKING);
	c->restored = 1;
	vmbi_he_channel(h, c, VMBI_HE_OPEN);
}

static void hr_device(struct vmb_host *h, struct vmbi_hc *c, uint32_t state, uint32_t flags)
{
	uint32_t opens = vmbi_hs_opens(state, flags);

	if (opens)
		vmbi_gpadls_use(h->store, c->open.ring_ref);
	if (opens > 1)
		vmbi_gpadls_use(h->store, c->reopen.ring_ref);
	c->kept = (flags & VMBI_HS_KEPT) != 0;
	h->kept += c->kept;
	c->renewing = state == VMBI_HS_REVOKED || flags & VMBI_HS_AGAIN;
	c->rescinded = (flags & VMBI_HS_RESCINDED) != 0;
	switch (state) {
	case VMBI_HS_CLOSED:
		vmbi_hc_become(h, c, VMBI_HC_CLOSED);
		if (flags & VMBI_HS_UNOPENED)
			vmbi_hvsock_watch(h, c);
		break;
	case VMBI_HS_OPENING:
		vmbi_hc_become(h, c, VMBI_HC_OPENING);
		c->restored = 1;
		vmbi_host_ask_open(h, c);
		break;
	case VMBI_HS_IS_OPEN:
		hr_open_again(h, c, flags);
		break;
	case VMBI_HS_CLOSING:
	case VMBI_HS_REOPEN:
		vmbi_hc_become(h, c, state == VMBI_HS_CLOSING ? VMBI_HC_CLOSING : VMBI_HC_REOPEN);
		hr_ask_close(h, c);
		break;
	case VMBI_HS_REVOKED:
		vmbi_hc_become(h, c, VMBI_HC_REVOKED);
		break;
	}
	if (flags & VMBI_HS_SERVED)
		hr_ask_close(h, c);
}

/* Nobody offers it: it is as if it had been removed. */
static void hr_nobody(struct vmb_host *h, struct vmbi_hc *c, uint32_t flags)
{
	vmbi_ports_remove(h, c);
	c->rescinded = (flags & VMBI_HS_RESCINDED) != 0;
	vmbi_hc_become(h, c, VMBI_HC_REVOKED);
}

/* Both ends have their part; what can be done now is done: subchannels first. */
static void hr_step(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t state = c->saved & 0xff;

	if (!c->saved)
		return;
	if (state < VMBI_HS_RELEASED)
		c->saved = 0; /* else until it is clear that it is not new */
	if (c->unclaimed && h->out_links[c->slot].in && c->wire == VMBI_MSG_OFFER_CHANNEL) {
		vmbi_host_forget(h, c);
		return;
	}
	if (c->modifying) { /* nobody interrupts the guest now, at the old VP or elsewhere */
		(void)vmbi_gate_watch(&c->out);
		vmbi_host_gate_step(h, c);
	}
	if (state == VMBI_HS_REVOKED || state == VMBI_HS_LEFT || c->unclaimed)
		vmbi_host_removed_step(h, c);
}

static void hr_channels(struct vmb_host *h)
{
	for (uint32_t i = 1; i <= h->slots; i++) {
		struct vmbi_hc *c = &h->ch[i];

		if (!c->saved)
			continue;
		c->offered_in = c->saved >> 8 & VMBI_HS_TOLD ? h->connection : 0;
		if (c->unclaimed)
			hr_nobody(h, c, c->saved >> 8);
		else
			hr_device(h, c, c->saved & 0xff, c->saved >> 8);
		vmbi_host_count(h, c);
	}
}

static void hr_commit(struct host_restore *l)
{
	struct vmb_host *h = l->h;

	h->state = VMB_BUS_NONE;
	vmbi_host_become(h, l->s.state);
	h->action = l->s.action;
	h->trusted = l->s.trusted;
	h->reset_done = l->s.reset_done;
	h->tokens = l->s.tokens;
	h->client_id = l->s.client_id;
	h->request = l->contact;
	h->monitor.swapping = l->s.swapping;
	h->connections = 1;
	if (l->s.swapping)
		VMBI_MEMCPY(h->monitor.wanted, l->s.wanted, sizeof l->s.wanted);
	if (hr_is_connected(&l->s)) {
		h->connection = 1;
		h->restored = 1;
		if (h->page_mapped)
			vmbi_gate_open(&h->page_gate);
	}
	if (h->connection || h->reset_done)
		vmbi_he_connection(h);
	hr_channels(h);
	for (uint32_t i = 1; i <= h->slots; i++)
		if (h->ch[i].monitor && h->monitor.page)
			vmbi_trigger_connect(h->monitor.page, h->ch[i].monitor - 1, vmbi_host_connection(h, &h->ch[i]));
	for (uint32_t i = 1; i <= h->slots; i++) /* before any step: what is held holds up its channel's, whoever else goes on */
		vmbi_host_gpadl_restored(h, &h->ch[i], h->ch[i].state == VMBI_HC_REVOKED);
	for (uint32_t i = 1; i <= h->slots; i++)
		if (h->ch[i].subchannel)
			hr_step(h, &h->ch[i]);
	for (uint32_t i = 1; i <= h->slots; i++)
		if (!h->ch[i].subchannel)
			hr_step(h, &h->ch[i]);
}

/* Devices that the blob does not know are new. control-plane.md 18 */
static void hr_fresh(struct vmb_host *h)
{
	for (uint32_t i = 0; i < h->sorted_used; i++)
		if (!h->ch[h->sorted[i]].saved)
			vmbi_host_offer_now(h, &h->ch[h->sorted[i]]);
	for (uint32_t i = 1; i <= h->slots; i++)
		h->ch[i].saved = 0;
}

/* ---- the call */

static int hr_may(struct vmb_host *h)
{
	uint32_t lists, pages;

	vmbi_gpadls_count(h->store, &lists, &pages);
	return h->state != VMB_BUS_NONE || h->connections || h->action || h->out.head || h->reset_done || lists ? VMB_ESTATE : 0;
}

static int hr_restore(struct vmb_host *h, const void *buf, size_t bytes)
{
	static const uint32_t types[] = { 0, 0x7e, 0xfe, 0xfe };
	struct host_restore l;
	int r = hr_may(h);

	if (r)
		return r;
	VMBI_MEMSET(&l, 0, sizeof l);
	l.h = h;
	l.stray = h->stray;
	VMBI_MEMCPY(l.counters, (uint8_t *)h + HR_COUNTERS_AT, sizeof l.counters);
	r = vmbi_blob_load(&l.b, buf, bytes, VMBI_BLOB_HOST, types);
	if (r)
		return r;
	r = hr_load(&l);
	if (r) {
		hr_undo(&l);
		return r;
	}
	hr_commit(&l);
	hr_fresh(h);
	return 0;
}

int vmb_host_restore(struct vmb_host *h, const void *buf, size_t bytes)
{
	int r = buf ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	r = hr_restore(h, buf, bytes);
	if (r)
		vmbi_guard_leave(&h->guard);
	else
		vmbi_host_leave(h);
	return r;
}

/* ---- lib/bus/guest_save.c ---- */
/*
 * A guest end as bytes: for a relay that is serviced, and for a system that sleeps. Everything that waits is in it, with its place in the
 * queues; only waits begin anew. control-plane.md 14, 18, gpadl.md 9
 */

/* ---- lib/bus/guest_saved.h ---- */
/*
 * What is saved of a guest end, record by record, and the functions that write and read each kind. doc/SAVED.md has the bytes.
 *
 * The order of the records: the connection, the generations of its handles, connects, channels, page lists, then what stands in the two queues,
 * in their order, then the counters.
 */
#ifndef VMBI_GUEST_SAVED_H
#define VMBI_GUEST_SAVED_H


#define VMBI_GSV_CONNECTION 1u
#define VMBI_GSV_SLOTS 2u
#define VMBI_GSV_CONNECT 3u
#define VMBI_GSV_CHANNEL 4u
#define VMBI_GSV_LIST 5u
#define VMBI_GSV_QUEUED 6u
#define VMBI_GSV_EVENT 7u
#define VMBI_GSV_STATISTICS 8u

/* An object of the end, as queues name it. */
struct vmbi_gsv_node {
	uint32_t kind, n; /* n: slot, GPADL id, number of a connect, or handle */
};
#define VMBI_GSV_OF_CONNECTION 1u
#define VMBI_GSV_OF_DECLINER 2u
#define VMBI_GSV_OF_CLOSER 3u
#define VMBI_GSV_OF_CHANNEL 4u
#define VMBI_GSV_OF_LIST 5u
#define VMBI_GSV_OF_CONNECT 6u
#define VMBI_GSV_OF_GONE 7u

struct vmbi_gsv_connection {
	/* where the host's messages and interrupts go, and where it has pages: must be the same as before */
	uint32_t message_vp, sint, vtl, reserved;
	uint64_t interrupt_gpa, monitor_gpa[2];
	uint32_t declined[VMBI_FLAG_WORDS];
};

struct vmbi_gsv_channel {
	uint32_t slot, mapped; /* mapped: its id leads to it */
	struct vmb_cursor tx_at, rx_at;
};

static void vmbi_gsv_connection(struct vmbi_blob *b, struct vmbi_gsv_connection *c, struct vmb_guest *g);
static void vmbi_gsv_connect(struct vmbi_blob *b, struct vmbi_gs *s);
/* c is where to read the channel from; or, loading, into: it is chosen by the slot, which is read first. */
static void vmbi_gsv_channel_head(struct vmbi_blob *b, struct vmbi_gsv_channel *s);
static void vmbi_gsv_channel(struct vmbi_blob *b, struct vmbi_gc *c);
static void vmbi_gsv_list(struct vmbi_blob *b, struct vmbi_gg *d, uint32_t *ring); /* *ring: it is its channel's. An announced list's words come after it */
static void vmbi_gsv_node(struct vmbi_blob *b, struct vmbi_gsv_node *n);
static void vmbi_gsv_statistics(struct vmbi_blob *b, struct vmb_guest *g);

/* Does this list wait for an answer; does this channel? */
static int vmbi_gsv_list_waits(const struct vmbi_gg *d);
static int vmbi_gsv_channel_waits(const struct vmbi_gc *c);

#endif /* VMBI_GUEST_SAVED_H */

/* ---- the records, both ways */

static void vmbi_gsv_connection(struct vmbi_blob *b, struct vmbi_gsv_connection *c, struct vmb_guest *g)
{
	vmbi_blob_words(b, &c->message_vp, 3);
	vmbi_blob_64(b, &c->interrupt_gpa);
	vmbi_blob_64(b, &c->monitor_gpa[0]);
	vmbi_blob_64(b, &c->monitor_gpa[1]);
	vmbi_blob_words(b, &g->state, 5); /* up to redirected */
	vmbi_blob_32(b, &g->paused);
	vmbi_blob_32(b, &g->asking);
	vmbi_blob_32(b, &g->send);
	vmbi_blob_32(b, &g->answer_due);
	vmbi_blob_32(b, &g->owed);
	vmbi_blob_32(b, &g->leaks);
	vmbi_blob_words(b, &g->closer.id, 4);
	vmbi_blob_32(b, (uint32_t *)&g->closer_status);
	vmbi_blob_32(b, (uint32_t *)&g->connect_status);
	vmbi_blob_32(b, (uint32_t *)&g->disconnect_status);
	vmbi_blob_32(b, (uint32_t *)&g->offers_status);
	vmbi_blob_32(b, (uint32_t *)&g->monitor_status);
	vmbi_blob_32(b, (uint32_t *)&g->pause_status);
	vmbi_blob_32(b, &g->connect_said);
	vmbi_blob_32(b, &g->monitor_said);
	vmbi_blob_32(b, &g->opens);
	vmbi_blob_32(b, &g->next_gpadl);
	vmbi_blob_words(b, c->declined, VMBI_FLAG_WORDS);
}

static void vmbi_gsv_connect(struct vmbi_blob *b, struct vmbi_gs *s)
{
	vmbi_blob_bytes(b, &s->endpoint, 16);
	vmbi_blob_bytes(b, &s->service, 16);
	vmbi_blob_bytes(b, &s->silo, 16);
	vmbi_blob_64(b, &s->user);
	vmbi_blob_32(b, &s->state);
	vmbi_blob_32(b, (uint32_t *)&s->status);
	vmbi_blob_32(b, &s->said);
}

static void vmbi_gsv_channel_head(struct vmbi_blob *b, struct vmbi_gsv_channel *s)
{
	vmbi_blob_32(b, &s->slot);
	vmbi_blob_32(b, &s->mapped);
	vmbi_blob_words(b, &s->tx_at.valid, 3);
	vmbi_blob_words(b, &s->rx_at.valid, 3);
}

static void gsv_offer(struct vmbi_blob *b, struct vmb_offer *o)
{
	vmbi_blob_32(b, &o->flags);
	vmbi_blob_bytes(b, &o->class_id, 16);
	vmbi_blob_bytes(b, &o->instance, 16);
	vmbi_blob_bytes(b, o->user_defined, sizeof o->user_defined);
	vmbi_blob_words(b, &o->subchannel, 3); /* and both sizes of MMIO */
	vmbi_blob_32(b, &o->connection_id);
	vmbi_blob_32(b, &o->monitor_id);
}

static void vmbi_gsv_channel(struct vmbi_blob *b, struct vmbi_gc *c)
{
	vmbi_blob_32(b, &c->id);
	vmbi_blob_64(b, &c->user);
	vmbi_blob_32(b, &c->signal_connection);
	vmbi_blob_32(b, &c->signal_page);
	vmbi_blob_32(b, &c->signal_monitor);
	vmbi_blob_32(b, &c->flag);
	vmbi_blob_32(b, &c->state);
	vmbi_blob_32(b, &c->flags);
	vmbi_blob_32(b, &c->send);
	vmbi_blob_words(b, &c->open_id, 4); /* up to new_vp */
	vmbi_blob_32(b, (uint32_t *)&c->open_status);
	vmbi_blob_32(b, (uint32_t *)&c->target_status);
	vmbi_blob_words(b, &c->open_said, 7); /* up to socket */
	vmbi_blob_bytes(b, c->user_data, sizeof c->user_data);
	gsv_offer(b, &c->offer);
	vmbi_blob_lives(b, &c->opens);
}

static void vmbi_gsv_list(struct vmbi_blob *b, struct vmbi_gg *d, uint32_t *ring)
{
	vmbi_blob_words(b, &d->id, 4); /* up to flags */
	vmbi_blob_32(b, &d->words);
	vmbi_blob_32(b, &d->ranges);
	vmbi_blob_32(b, &d->sent);
	vmbi_blob_32(b, (uint32_t *)&d->status);
	vmbi_blob_32(b, &d->said);
	vmbi_blob_32(b, ring);
}

static void vmbi_gsv_node(struct vmbi_blob *b, struct vmbi_gsv_node *n)
{
	vmbi_blob_32(b, &n->kind);
	vmbi_blob_32(b, &n->n);
}

static void vmbi_gsv_statistics(struct vmbi_blob *b, struct vmb_guest *g)
{
	vmbi_blob_64(b, &g->messages_in);
	vmbi_blob_64(b, &g->messages_out);
	vmbi_blob_64(b, &g->dropped);
	vmbi_blob_64(b, &g->refused_quota);
	vmbi_blob_64(b, &g->post_retries);
	vmbi_blob_64(b, &g->stray_events);
	vmbi_blob_64(b, &g->late_answers);
	vmbi_blob_fates(b, g->fates, &g->post_failed, &g->over_budget);
}

static int vmbi_gsv_list_waits(const struct vmbi_gg *d)
{
	return (d->state == VMBI_GG_CREATE || d->state == VMBI_GG_TEARING) && !(d->flags & VMBI_GG_FINAL);
}

static int vmbi_gsv_channel_waits(const struct vmbi_gc *c)
{
	return (c->flags & (VMBI_GC_OPEN_OUT | VMBI_GC_OPEN_LOST)) == VMBI_GC_OPEN_OUT ||
	       (c->flags & (VMBI_GC_CLOSE_OUT | VMBI_GC_CLOSE_FAILED)) == VMBI_GC_CLOSE_OUT ||
	       (c->flags & (VMBI_GC_MODIFY_OUT | VMBI_GC_MODIFY_LOST)) == VMBI_GC_MODIFY_OUT;
}

/* ---- may it be saved? */

/* Not while a post is repeated that may have arrived: who goes on from here would not know. control-plane.md 1.2 */
static int gsv_is_unsure(const struct vmb_guest *g)
{
	if ((g->answer_due && g->send) || (g->asking && g->send == g->asking) ||
	    (g->closer.out && g->post_links[VMBI_GUEST_NODE_CLOSER(g)].in))
		return 1;
	for (uint32_t k = 1; k <= g->cfg.max_gpadls; k++)
		if (g->gpadls[k].flags & VMBI_GG_MAYBE)
			return 1;
	return 0;
}

/* Will its owner come again? */
static int gsv_talks(const struct vmbi_gc *c)
{
	return c->state >= VMBI_GC_CREATING && c->state <= VMBI_GC_OPEN && !(c->flags & VMBI_GC_ABANDONED) && c->object &&
	       !vmbi_channel_is_broken(c->object);
}

static int gsv_channel_ready(const struct vmb_guest *g, uint32_t slot)
{
	const struct vmbi_gc *c = &g->channels[slot];
	struct vmb_cursor tx, rx;

	if (c->flags & (VMBI_GC_MAYBE_GONE | VMBI_GC_LOST) || (c->flags & VMBI_GC_OPEN_OUT && vmbi_guest_is_open_message(c->send)) ||
	    (c->flags & VMBI_GC_MODIFY_OUT && c->send == VMBI_MSG_MODIFY_CHANNEL) ||
	    (c->flags & VMBI_GC_CLOSE_OUT && c->send == VMBI_MSG_CLOSE_RESERVED_CHANNEL) || g->drain_links[slot].in)
		return 0;
	return !gsv_talks(c) || vmbi_channel_where(c->object, &tx, &rx);
}

static int gsv_ready(const struct vmb_guest *g)
{
	if (gsv_is_unsure(g) || g->only_version || g->send == VMBI_MSG_MODIFY_CONNECTION || g->asking == VMBI_MSG_MODIFY_CONNECTION)
		return VMB_ESTATE;
	for (uint32_t i = 1; i <= g->slots_used; i++)
		if (!gsv_channel_ready(g, i))
			return VMB_ESTATE;
	return 0;
}

/* ---- saving */

static void gsv_save_connection(struct vmb_guest *g, struct vmbi_blob *b)
{
	struct vmbi_gsv_connection c = { .message_vp = g->cfg.message_vp, .sint = g->cfg.sint, .vtl = g->cfg.vtl,
					 .interrupt_gpa = g->cfg.interrupt_gpa };
	uint32_t version = g->version;

	for (uint32_t i = 0; i < 2; i++)
		c.monitor_gpa[i] = g->state > VMB_BUS_CONNECTING ? g->monitor_gpa[i] : g->cfg.monitor_gpa[i];
	VMBI_MEMCPY(c.declined, g->declined, sizeof c.declined);
	if (g->state == VMB_BUS_NONE)
		g->version = 0; /* of a connection that is over, or was tried */
	vmbi_blob_begin(b, VMBI_GSV_CONNECTION);
	vmbi_gsv_connection(b, &c, g);
	vmbi_blob_close(b);
	g->version = version;
	vmbi_blob_begin(b, VMBI_GSV_SLOTS);
	for (uint32_t i = 1; i <= g->slots_used; i++)
		vmbi_blob_32(b, &g->channels[i].generation);
	vmbi_blob_close(b);
}

/* Connects are numbered anew, from 1 on. */
static uint32_t gsv_connect_number(const struct vmb_guest *g, uint32_t connect)
{
	uint32_t n = 0;

	for (uint32_t k = 1; k <= connect; k++)
		n += g->connects[k].state != VMBI_GS_FREE;
	return n;
}

static void gsv_save_connects(struct vmb_guest *g, struct vmbi_blob *b)
{
	for (uint32_t k = 1; k <= g->cfg.max_hvsock; k++) {
		if (g->connects[k].state == VMBI_GS_FREE)
			continue;
		vmbi_blob_begin(b, VMBI_GSV_CONNECT);
		vmbi_gsv_connect(b, &g->connects[k]);
		vmbi_blob_close(b);
	}
}

static void gsv_save_channel(struct vmb_guest *g, struct vmbi_blob *b, uint32_t slot)
{
	struct vmbi_gc *c = &g->channels[slot];
	struct vmbi_gsv_channel s = { .slot = slot, .mapped = vmbi_guest_map_get(g, g->ids, c->id) == slot };
	uint32_t socket = c->socket, flags = c->flags;

	if (gsv_talks(c)) {
		(void)vmbi_channel_where(c->object, &s.tx_at, &s.rx_at);
	} else if (vmbi_guest_may_reopen(c)) {
		s.tx_at = c->tx_at;
		s.rx_at = c->rx_at;
	}
	c->socket = gsv_connect_number(g, socket);
	c->flags &= ~(VMBI_GC_UNTOLD | VMBI_GC_AWAY);
	vmbi_blob_begin(b, VMBI_GSV_CHANNEL);
	vmbi_gsv_channel_head(b, &s);
	vmbi_gsv_channel(b, c);
	vmbi_blob_close(b);
	c->socket = socket;
	c->flags = flags;
}

static void gsv_save_lists(struct vmb_guest *g, struct vmbi_blob *b)
{
	for (uint32_t k = 1; k <= g->cfg.max_gpadls; k++) {
		struct vmbi_gg *d = &g->gpadls[k];
		uint32_t ring;

		if (!d->id)
			continue;
		ring = g->channels[d->channel].ring == k;
		vmbi_blob_begin(b, VMBI_GSV_LIST);
		vmbi_gsv_list(b, d, &ring);
		for (uint32_t i = 0; d->state == VMBI_GG_ANNOUNCE && i < d->words; i++)
			vmbi_blob_64(b, &g->arena[d->first + i]);
		vmbi_blob_close(b);
	}
}

static struct vmbi_gsv_node gsv_node(const struct vmb_guest *g, uint32_t node)
{
	if (node <= g->cfg.max_channels)
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_CHANNEL, node };
	if (node == VMBI_GUEST_NODE_CONNECTION(g))
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_CONNECTION, 0 };
	if (node == VMBI_GUEST_NODE_DECLINER(g))
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_DECLINER, 0 };
	if (node == VMBI_GUEST_NODE_CLOSER(g))
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_CLOSER, 0 };
	if (node <= VMBI_GUEST_NODE_CONNECT(g, 0))
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_LIST, g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)].id };
	if (node <= VMBI_GUEST_NODE_GONE(g, 0))
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_CONNECT, gsv_connect_number(g, node - VMBI_GUEST_NODE_CONNECT(g, 0)) };
	return (struct vmbi_gsv_node){ VMBI_GSV_OF_GONE, g->gone[node - VMBI_GUEST_NODE_GONE(g, 1)] };
}

/* What has lost its sense while it stood in the queue is left out. */
static int gsv_has_message(struct vmb_guest *g, uint32_t node)
{
	uint8_t msg[VMB_MESSAGE_MAX];

	return vmbi_guest_post_has(g, node, msg);
}

static void gsv_save_queues(struct vmb_guest *g, struct vmbi_blob *b)
{
	for (uint32_t node = g->post.head; node; node = g->post_links[node].next) {
		struct vmbi_gsv_node n = gsv_node(g, node);

		if (!gsv_has_message(g, node))
			continue;
		vmbi_blob_begin(b, VMBI_GSV_QUEUED);
		vmbi_gsv_node(b, &n);
		vmbi_blob_close(b);
	}
	for (uint32_t node = g->events.head; node; node = g->event_links[node].next) {
		struct vmbi_gsv_node n = gsv_node(g, node);
		uint32_t marks = g->marks[node];

		if (n.kind == VMBI_GSV_OF_CHANNEL && g->channels[n.n].flags & VMBI_GC_UNTOLD)
			marks &= ~VMBI_GE_OFFER; /* the next restore tells it anyway */
		if (!marks)
			continue;
		vmbi_blob_begin(b, VMBI_GSV_EVENT);
		vmbi_gsv_node(b, &n);
		vmbi_blob_32(b, &marks);
		vmbi_blob_close(b);
	}
}

static int gsv_save(struct vmb_guest *g, uint32_t format, void *buf, size_t bytes, size_t *used)
{
	struct vmbi_blob b;
	int r = vmbi_blob_save(&b, buf, bytes, format, VMBI_BLOB_GUEST);

	if (!r)
		r = gsv_ready(g);
	if (r)
		return r;
	gsv_save_connection(g, &b);
	gsv_save_connects(g, &b);
	for (uint32_t i = 1; i <= g->slots_used; i++)
		if (g->device_keys[i])
			gsv_save_channel(g, &b, i);
	gsv_save_lists(g, &b);
	gsv_save_queues(g, &b);
	if (b.format >= VMBI_BLOB_STATISTICS) {
		g->stray_events += VMBI_EXCHANGE32(&g->stray, 0u);
		vmbi_blob_begin(&b, VMBI_GSV_STATISTICS);
		vmbi_gsv_statistics(&b, g);
		vmbi_blob_close(&b);
	}
	return vmbi_blob_finish(&b, used);
}

int vmb_guest_save(struct vmb_guest *g, uint32_t format, void *buf, size_t bytes, size_t *used)
{
	int r = used ? vmbi_guest_enter(g) : VMB_EINVAL;

	if (r < 0)
		return r;
	r = gsv_save(g, format, buf, bytes, used);
	vmbi_guard_leave(&g->guard);
	return r;
}

/* ---- lib/bus/guest_restore.c ---- */
/*
 * A guest end out of bytes. Everything is taken into an end that has had no connection, and checked while that is done; if a check fails the
 * end is made anew. Channel objects are not in a blob: what was open stays so, and waits for its owner to come with the same memory.
 *
 * Or anew: after a sleep the host has a new connection to give. Of the blob only the handles of primary channels count: each gets the channel
 * that is offered for the same device, whatever its new id. control-plane.md 14, 18
 */

#define GR_KNOWN(type) (1u << (type))
#define GR_CONNECTED(g) ((g)->state > VMB_BUS_CONNECTING)
#define GR_EVENTS 0x1fu
/* The counters of an end lie in a row. */
#define GR_COUNTERS_AT offsetof(struct vmb_guest, messages_in)
#define GR_COUNTERS (offsetof(struct vmb_guest, now) - GR_COUNTERS_AT)

struct guest_restore {
	struct vmb_guest *g;
	struct vmbi_blob b;
	uint32_t last;      /* type of the record before */
	uint32_t connects, lists;
	uint32_t last_slot, last_id;
	uint32_t anew;
};

/* ---- the connection */

static int gr_is_status(int32_t status)
{
	return status <= 0 && status > -64;
}

static int gr_state_ok(const struct vmb_guest *g)
{
	uint32_t send = g->send;

	switch (g->state) {
	case VMB_BUS_NONE:
		return !send && !g->answer_due && !g->asking && !g->paused && !g->features && !g->version;
	case VMB_BUS_CONNECTING:
		return (send == VMBI_MSG_INITIATE_CONTACT) != g->answer_due && (!send || send == VMBI_MSG_INITIATE_CONTACT) && !g->asking &&
		       !g->paused && !g->features;
	case VMB_BUS_CONNECTED:
	case VMB_BUS_RUNNING:
		return (!send || (send == VMBI_MSG_REQUEST_OFFERS && g->state == VMB_BUS_CONNECTED) || send == VMBI_MSG_PAUSE ||
			(send == VMBI_MSG_RESUME && g->paused)) && !g->answer_due;
	case VMB_BUS_LEAVING:
		return (!send || send == VMBI_MSG_RESUME) && !g->answer_due && !g->asking;
	case VMBI_GUEST_UNLOADING:
		return (send == VMBI_MSG_UNLOAD) != g->answer_due && (!send || send == VMBI_MSG_UNLOAD) && !g->asking && !g->paused;
	default:
		return 0;
	}
}

static int gr_flags_ok(const struct vmb_guest *g)
{
	if ((g->redirected | g->paused | g->answer_due | g->closer.out) > 1 || g->owed > (VMBI_OWED | VMBI_OWED_FOR_GOOD) ||
	    (g->asking && g->asking != VMBI_MSG_PAUSE))
		return 0;
	if ((g->paused || g->asking || g->send == VMBI_MSG_PAUSE || g->send == VMBI_MSG_RESUME) &&
	    (!GR_CONNECTED(g) || !(g->features & VMB_FEATURE_PAUSE)))
		return 0;
	if (g->redirected && (g->state != VMB_BUS_CONNECTING || g->cfg.vtl != VMBI_REDIRECT_VTL))
		return 0;
	if (GR_CONNECTED(g) ? !g->connection || (g->connection >> 24 && g->connection != VMBI_CONNECTION_REDIRECTED)
			    : g->connection >> 24 != 0)
		return 0;
	return gr_is_status(g->closer_status) && gr_is_status(g->connect_status) && gr_is_status(g->disconnect_status) &&
	       gr_is_status(g->offers_status) && gr_is_status(g->monitor_status) && gr_is_status(g->pause_status);
}

/* The host's part of the config must be what it was: it has been told. After a sleep it is told again. */
static int gr_config(const struct guest_restore *l, const struct vmbi_gsv_connection *c)
{
	struct vmb_guest *g = l->g;
	const struct vmb_guest_config *cfg = &g->cfg;

	if (g->state == VMB_BUS_NONE)
		return 0;
	if (!vmbi_guest_may_speak(cfg, g->version) || g->features & ~cfg->features)
		return VMB_EVERSION;
	if ((g->features && g->version < VMB_V6_0) || (c->monitor_gpa[0] | c->monitor_gpa[1]) % VMB_PAGE)
		return VMB_EINVAL;
	if (GR_CONNECTED(g))
		VMBI_MEMCPY(g->monitor_gpa, c->monitor_gpa, sizeof g->monitor_gpa);
	if (l->anew)
		return 0;
	if (c->message_vp != cfg->message_vp || c->sint != cfg->sint || c->vtl != cfg->vtl || c->interrupt_gpa != cfg->interrupt_gpa)
		return VMB_EINVAL;
	if (g->features & VMB_FEATURE_SERVER_MONITOR)
		return c->monitor_gpa[0] && !c->monitor_gpa[1] ? VMB_EINVAL : 0;
	return c->monitor_gpa[0] != cfg->monitor_gpa[0] || c->monitor_gpa[1] != cfg->monitor_gpa[1] ? VMB_EINVAL : 0;
}

/* The monitor pages of the connection, as this system sees them. */
static int gr_map(struct vmb_guest *g)
{
	void *page[2] = { g->cfg.monitor_page[0], g->cfg.monitor_page[1] };

	if (!g->monitor_gpa[1])
		return 0;
	if (g->features & VMB_FEATURE_SERVER_MONITOR) {
		page[0] = page[1] = NULL;
		if (g->cfg.monitor(g->cfg.ctx, g->monitor_gpa, page) < 0 || !page[1])
			return VMB_EMAP;
	}
	VMBI_MEMCPY(g->monitor_page, page, sizeof page);
	for (uint32_t i = 1; i <= g->slots_used; i++)
		g->channels[i].monitor_page = page[1];
	return 0;
}

static int gr_connection(struct guest_restore *l)
{
	struct vmbi_gsv_connection c = { .sint = 0 };
	struct vmb_guest *g = l->g;
	int declines = 0;

	vmbi_gsv_connection(&l->b, &c, g);
	for (uint32_t w = 0; w < VMBI_FLAG_WORDS; w++)
		declines |= c.declined[w] != 0;
	if (vmbi_blob_done(&l->b) || !gr_state_ok(g) || !gr_flags_ok(g) || c.declined[0] & 1 ||
	    (declines && g->state != VMB_BUS_CONNECTED && g->state != VMB_BUS_RUNNING && g->state != VMB_BUS_LEAVING) ||
	    g->closer.id > VMBI_MAX_CHANNEL_ID || g->closer.sint > 15 || (!g->closer.id && g->closer.out))
		return VMB_EINVAL;
	VMBI_MEMCPY(g->declined, c.declined, sizeof c.declined);
	return gr_config(l, &c);
}

/* ---- handles */

static int gr_slots(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	uint64_t n = (l->b.end - l->b.at) / 4;

	if (n > VMBI_MAX_CHANNEL_ID)
		return VMB_EINVAL;
	if (n > g->cfg.max_channels)
		return VMB_ENOSPACE;
	for (uint32_t i = 1; i <= n; i++) {
		vmbi_blob_32(&l->b, &g->channels[i].generation);
		if (!g->channels[i].generation || g->channels[i].generation > VMBI_GENERATION_MAX)
			return VMB_EINVAL;
	}
	g->slots_used = (uint32_t)n;
	return vmbi_blob_done(&l->b);
}

/* ---- connects */

static int gr_connect(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	struct vmbi_gs s = { .state = 0 };

	vmbi_gsv_connect(&l->b, &s);
	if (vmbi_blob_done(&l->b) || s.state == VMBI_GS_FREE || s.state > VMBI_GS_DONE || !gr_is_status(s.status))
		return VMB_EINVAL;
	if (s.state != VMBI_GS_DONE && (!GR_CONNECTED(g) || g->version < VMB_V4_0 || vmbi_guid_is_zero(&s.service)))
		return VMB_EINVAL;
	if (l->connects >= g->cfg.max_hvsock)
		return VMB_ENOSPACE;
	g->connects[++l->connects] = s;
	return 0;
}

/* ---- channels */

static int gr_has_object(const struct vmbi_gc *c)
{
	return c->state >= VMBI_GC_CREATING && c->state <= VMBI_GC_FAILED;
}

/* Its owner can use the rings. */
static int gr_may_talk(const struct vmbi_gc *c)
{
	return c->state >= VMBI_GC_CREATING && c->state <= VMBI_GC_OPEN;
}

static int gr_channel_flags_ok(const struct vmb_guest *g, const struct vmbi_gc *c)
{
	uint32_t f = c->flags;

	if (f >= VMBI_GC_AWAY || f & VMBI_GC_MAYBE_GONE || c->state > VMBI_GC_CLOSED || !(f & VMBI_GC_OBJECT) != !gr_has_object(c))
		return 0;
	if (!(f & VMBI_GC_SEEN) && (c->state != VMBI_GC_IDLE || (f & ~VMBI_GC_RELEASED && f != (VMBI_GC_RESCINDED | VMBI_GC_RELEASED))))
		return 0;
	if ((f & VMBI_GC_OPEN_LOST && !(f & VMBI_GC_OPEN_OUT)) || (f & VMBI_GC_MODIFY_LOST && !(f & VMBI_GC_MODIFY_OUT)))
		return 0;
	if (f & VMBI_GC_RESCINDED && f & VMBI_GC_SEEN &&
	    (!(f & VMBI_GC_ABANDONED) || f & (VMBI_GC_OPEN_OUT | VMBI_GC_HOST_OPEN | VMBI_GC_CLOSE_OUT)))
		return 0;
	if (f & VMBI_GC_CLOSE_OUT && !(f & VMBI_GC_RESERVED))
		return 0;
	if (f & VMBI_GC_RESERVED && !(f & VMBI_GC_KEPT) && g->version < VMB_V4_0)
		return 0;
	if ((f & VMBI_GC_KEPT && !(f & VMBI_GC_RESERVED)) || (f & VMBI_GC_UNPROVEN && !(f & VMBI_GC_KEPT)))
		return 0;
	/* Without a connection only reserved channels that outlived one are there. */
	return f & VMBI_GC_KEPT || g->state == VMB_BUS_CONNECTED || g->state == VMB_BUS_RUNNING || g->state == VMB_BUS_LEAVING;
}

/* Is this the message that such a channel has to send? */
static int gr_send_ok(const struct vmb_guest *g, const struct vmbi_gc *c)
{
	uint32_t f = c->flags;

	switch (c->send) {
	case 0:
		return c->state != VMBI_GC_OPENING || f & VMBI_GC_OPEN_OUT;
	case VMBI_MSG_OPEN_CHANNEL:
	case VMBI_MSG_OPEN_RESERVED_CHANNEL:
		return c->state == VMBI_GC_OPENING && !(f & VMBI_GC_OPEN_OUT) &&
		       !(f & VMBI_GC_RESERVED) == (c->send == VMBI_MSG_OPEN_CHANNEL) && !(f & VMBI_GC_KEPT);
	case VMBI_MSG_CLOSE_CHANNEL:
		return f & VMBI_GC_HOST_OPEN && !(f & (VMBI_GC_RESERVED | VMBI_GC_OBJECT));
	case VMBI_MSG_CLOSE_RESERVED_CHANNEL:
		return f & VMBI_GC_HOST_OPEN && f & VMBI_GC_RESERVED && !(f & (VMBI_GC_OBJECT | VMBI_GC_CLOSE_OUT));
	case VMBI_MSG_MODIFY_CHANNEL:
		return c->state == VMBI_GC_OPEN && f & VMBI_GC_TARGET && g->version >= VMB_V4_1 && !(f & VMBI_GC_MODIFY_OUT);
	case VMBI_MSG_REL_ID_RELEASED:
		return f & VMBI_GC_RELEASED && c->state == VMBI_GC_IDLE && !(f & VMBI_GC_KEPT);
	default:
		return 0;
	}
}

static int gr_channel_ok(const struct guest_restore *l, const struct vmbi_gc *c, const struct vmbi_gsv_channel *s)
{
	const struct vmb_guest *g = l->g;
	const struct vmb_cursor *t = &s->tx_at, *r = &s->rx_at;

	if (!c->id || c->id > VMBI_MAX_CHANNEL_ID || c->flag > VMBI_MAX_CHANNEL_ID || (c->state != VMBI_GC_IDLE && !c->flag) ||
	    c->signal_page > 1 || (c->signal_page && !g->cfg.interrupt_page) || c->signal_monitor > 128 ||
	    (c->signal_monitor && !g->monitor_gpa[1] && c->state != VMBI_GC_IDLE) || c->redirect > VMB_OPEN_REDIRECT ||
	    c->dedicated > 1 || c->result_sint > 15 || c->signal_connection >> 24 || c->tx_pages > VMBI_GPADL_WORDS_MAX)
		return 0;
	if (!gr_is_status(c->open_status) || !gr_is_status(c->target_status) || c->offer.flags > 0xffff || c->offer.subchannel > 0xffff ||
	    c->offer.mmio_mb > 0xffff || c->offer.mmio_optional_mb > 0xffff || (c->offer.monitor_id > 127 && c->offer.monitor_id != 255))
		return 0;
	if (t->valid > 1 || r->valid != t->valid || (t->valid ? !gr_may_talk(c) : (t->index | t->armed | r->index | r->armed) != 0) ||
	    r->armed > 1)
		return 0;
	if (c->socket && (c->flags & VMBI_GC_SEEN || c->socket > l->connects || g->connects[c->socket].state != VMBI_GS_OFFERED))
		return 0;
	return gr_channel_flags_ok(g, c) && gr_send_ok(g, c);
}

static int gr_channel(struct guest_restore *l)
{
	struct vmbi_gsv_channel s = { .slot = 0 };
	struct vmb_guest *g = l->g;
	struct vmbi_gc *c;

	vmbi_gsv_channel_head(&l->b, &s);
	if (s.slot <= l->last_slot || s.slot > g->slots_used || s.mapped > 1)
		return VMB_EINVAL;
	l->last_slot = s.slot;
	c = &g->channels[s.slot];
	vmbi_gsv_channel(&l->b, c);
	if (vmbi_blob_done(&l->b) || !gr_channel_ok(l, c, &s))
		return VMB_EINVAL;
	if (s.mapped ? vmbi_guest_map_get(g, g->ids, c->id) != 0 : !(c->flags & VMBI_GC_KEPT && c->flags & VMBI_GC_RESCINDED))
		return VMB_EINVAL;
	if (s.mapped)
		vmbi_guest_map_set(g, g->ids, c->id, s.slot);
	if (c->state != VMBI_GC_IDLE && c->state != VMBI_GC_CLOSED && !(c->flags & VMBI_GC_RESERVED)) {
		if (vmbi_guest_map_get(g, g->event_slots, c->flag))
			return VMB_EINVAL;
		vmbi_guest_map_set(g, g->event_slots, c->flag, s.slot);
	}
	if (c->socket) {
		if (g->connects[c->socket].next) /* two channels for one connect */
			return VMB_EINVAL;
		g->connects[c->socket].next = s.slot;
	}
	c->offer.size = sizeof c->offer;
	c->offer.channel_id = c->id;
	c->tx_at = s.tx_at;
	c->rx_at = s.rx_at;
	vmbi_guest_device_add(g, s.slot, vmbi_guest_device_key(&c->offer));
	g->live++;
	g->kept += (c->flags & VMBI_GC_KEPT) != 0;
	g->objects += c->state != VMBI_GC_IDLE;
	return 0;
}

/* ---- lists */

static int gr_list_ok(const struct vmb_guest *g, const struct vmbi_gg *d, uint32_t ring)
{
	uint32_t f = d->flags, asked = VMBI_GG_ASKED | VMBI_GG_CANCELLED;
	const struct vmbi_gc *c = &g->channels[d->channel];

	if (!d->id || !d->state || d->state > VMBI_GG_BURNT || f > (VMBI_GG_TOLD << 1) - 1 || f & VMBI_GG_MAYBE || ring > 1 ||
	    !gr_is_status(d->status) || !d->ranges || d->ranges > d->words || d->words > VMBI_GPADL_WORDS_MAX || !(c->flags & VMBI_GC_SEEN))
		return 0;
	if ((f & VMBI_GG_TOLD && !(f & VMBI_GG_FINAL)) || (f & VMBI_GG_FINAL && !(f & VMBI_GG_CANCELLED)))
		return 0;
	if (f & VMBI_GG_RING ? f & VMBI_GG_FINAL && !(f & VMBI_GG_TOLD) : ring)
		return 0;
	if (d->state == VMBI_GG_SETTLED && (f & (VMBI_GG_FINAL | VMBI_GG_TOLD)) != VMBI_GG_FINAL)
		return 0;
	if ((d->state == VMBI_GG_TEARDOWN || d->state == VMBI_GG_TEARING) && !(f & asked))
		return 0;
	if (d->state == VMBI_GG_ALIVE && f & VMBI_GG_FINAL && !(f & VMBI_GG_RING)) /* that of an open that was not answered has leaked */
		return 0;
	if (!GR_CONNECTED(g) && (d->state == VMBI_GG_ANNOUNCE || d->state == VMBI_GG_CREATE))
		return 0;
	return d->state != VMBI_GG_ANNOUNCE || d->sent < vmbi_gpadl_messages(d->words);
}

/* What is still to be announced. */
static int gr_list_words(struct guest_restore *l, struct vmbi_gg *d, uint32_t k)
{
	struct vmb_guest *g = l->g;
	struct vmb_list checked;
	uint64_t *words = g->arena + g->arena_top;

	if (d->state != VMBI_GG_ANNOUNCE)
		return 0;
	if (d->words > g->arena_words - g->arena_top)
		return VMB_ENOSPACE;
	for (uint32_t i = 0; i < d->words; i++)
		vmbi_blob_64(&l->b, &words[i]);
	if (l->b.failed || vmb_list_check(words, d->words, d->ranges, &checked, NULL) || checked.count != d->words)
		return VMB_EINVAL;
	d->first = g->arena_top;
	g->arena_top += d->words;
	g->arena_used += d->words;
	vmbi_fifo_append(&g->arena_order, g->arena_links, k);
	return 0;
}

static int gr_list(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	struct vmbi_gg d = { .id = 0 };
	uint32_t ring = 0, k = l->lists + 1;
	struct vmbi_gc *c;
	int r;

	vmbi_gsv_list(&l->b, &d, &ring);
	if (l->b.failed || d.channel > g->slots_used || !g->device_keys[d.channel] || !gr_list_ok(g, &d, ring))
		return VMB_EINVAL;
	if (k > g->cfg.max_gpadls || g->gpadl_map[d.id & g->gpadl_mask])
		return k <= g->cfg.max_gpadls && g->gpadls[g->gpadl_map[d.id & g->gpadl_mask]].id == d.id ? VMB_EINVAL : VMB_ENOSPACE;
	r = gr_list_words(l, &d, k);
	if (r || vmbi_blob_done(&l->b))
		return r ? r : VMB_EINVAL;
	c = &g->channels[d.channel];
	if (ring && c->ring)
		return VMB_EINVAL;
	if (ring)
		c->ring = k;
	d.next = c->gpadls;
	g->gpadls[k] = d;
	if (c->gpadls)
		g->gpadls[c->gpadls].prev = k;
	c->gpadls = k;
	c->untold += !(d.flags & VMBI_GG_TOLD);
	g->gpadl_map[d.id & g->gpadl_mask] = k;
	g->lists = l->lists = k;
	return 0;
}

/* A channel's open rests on its ring: is that as it must be? */
static int gr_ring_ok(const struct vmb_guest *g, const struct vmbi_gc *c)
{
	const struct vmbi_gg *d = &g->gpadls[c->ring];
	uint32_t data = c->tx_pages - 1;

	switch (c->state) {
	case VMBI_GC_CREATING:
		if (!c->ring || (d->state != VMBI_GG_ANNOUNCE && d->state != VMBI_GG_CREATE) || d->flags & VMBI_GG_CANCELLED)
			return 0;
		break;
	case VMBI_GC_OPENING:
	case VMBI_GC_OPEN:
		if (!c->ring || d->state != VMBI_GG_ALIVE || d->flags & VMBI_GG_CANCELLED)
			return 0;
		break;
	case VMBI_GC_CLOSING:
		return c->ring || !(c->flags & (VMBI_GC_OPEN_OUT | VMBI_GC_HOST_OPEN));
	default:
		return 1;
	}
	if (c->state == VMBI_GC_OPEN && !(c->flags & VMBI_GC_HOST_OPEN) && !(c->flags & VMBI_GC_RESCINDED))
		return 0;
	if (d->ranges != 1 || c->tx_pages < 2 || d->words < c->tx_pages + 3)
		return 0;
	return !c->tx_at.valid || (c->tx_at.index % 8 == 0 && c->tx_at.index / VMB_PAGE < data && c->rx_at.index % 8 == 0 &&
				   c->rx_at.index / VMB_PAGE < d->words - 1 - c->tx_pages - 1);
}

/* ---- queues */

/* The node that this names; 0: there is none such. */
static uint32_t gr_node(struct guest_restore *l, const struct vmbi_gsv_node *n)
{
	struct vmb_guest *g = l->g;
	uint32_t k;

	switch (n->kind) {
	case VMBI_GSV_OF_CONNECTION:
		return n->n ? 0 : VMBI_GUEST_NODE_CONNECTION(g);
	case VMBI_GSV_OF_DECLINER:
		return n->n ? 0 : VMBI_GUEST_NODE_DECLINER(g);
	case VMBI_GSV_OF_CLOSER:
		return n->n ? 0 : VMBI_GUEST_NODE_CLOSER(g);
	case VMBI_GSV_OF_CHANNEL:
		return n->n <= g->slots_used && g->device_keys[n->n] ? n->n : 0;
	case VMBI_GSV_OF_LIST:
		k = g->gpadl_map[n->n & g->gpadl_mask];
		return k && g->gpadls[k].id == n->n ? VMBI_GUEST_NODE_GPADL(g, k) : 0;
	case VMBI_GSV_OF_CONNECT:
		return n->n && n->n <= l->connects ? VMBI_GUEST_NODE_CONNECT(g, n->n) : 0;
	default:
		return 0;
	}
}

static int gr_queued(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	struct vmbi_gsv_node n = { 0, 0 };
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t node;

	vmbi_gsv_node(&l->b, &n);
	node = gr_node(l, &n);
	if (vmbi_blob_done(&l->b) || !node || g->post_links[node].in || !vmbi_guest_post_has(g, node, msg) ||
	    (n.kind == VMBI_GSV_OF_CLOSER && g->closer.out))
		return VMB_EINVAL;
	vmbi_guest_queue(g, node);
	return 0;
}

/* May these marks be on this object? */
static int gr_marks_ok(const struct guest_restore *l, const struct vmbi_gsv_node *n, uint32_t node, uint32_t marks)
{
	const struct vmb_guest *g = l->g;
	const struct vmbi_gc *c = &g->channels[node <= g->cfg.max_channels ? node : 0];
	const struct vmbi_gg *d;

	if (!marks || marks > GR_EVENTS)
		return 0;
	switch (n->kind) {
	case VMBI_GSV_OF_CONNECTION:
		return 1;
	case VMBI_GSV_OF_CLOSER:
		return marks == VMBI_GE_GONE && !g->closer.id;
	case VMBI_GSV_OF_CHANNEL:
		return !(marks & VMBI_GE_OFFER) == !!(c->flags & (VMBI_GC_SEEN | VMBI_GC_RELEASED)) &&
		       !(marks & VMBI_GE_CLOSED) == (c->state != VMBI_GC_CLOSED) &&
		       (!(marks & VMBI_GE_OPENED) || c->state == VMBI_GC_OPEN || c->state == VMBI_GC_FAILED) &&
		       (!(marks & VMBI_GE_RESCINDED) || (c->flags & VMBI_GC_ABANDONED && !(c->flags & VMBI_GC_RELEASED))) &&
		       (!(marks & VMBI_GE_TARGET) || (c->state == VMBI_GC_OPEN && !(c->flags & VMBI_GC_TARGET)));
	case VMBI_GSV_OF_LIST:
		d = &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)];
		return !(d->flags & (VMBI_GG_RING | VMBI_GG_TOLD)) && (marks == VMBI_GE_GPADL || marks == VMBI_GE_DOWN) &&
		       (d->flags & VMBI_GG_FINAL || (marks == VMBI_GE_GPADL && d->state == VMBI_GG_ALIVE));
	case VMBI_GSV_OF_CONNECT:
		return marks == VMBI_GE_GONE && g->connects[n->n].state == VMBI_GS_DONE;
	default:
		return 0;
	}
}

/* A handle that is gone: its slot has gone on. */
static int gr_gone(struct guest_restore *l, uint32_t handle, uint32_t marks)
{
	struct vmb_guest *g = l->g;
	uint32_t slot = vmbi_handle_slot(handle), generation = vmbi_handle_generation(handle);

	if (marks != VMBI_GE_GONE || !slot || slot > g->slots_used || !generation || generation > g->channels[slot].generation ||
	    (generation == g->channels[slot].generation && g->device_keys[slot]))
		return VMB_EINVAL;
	if (g->gone_in == g->cfg.max_channels)
		return VMB_ENOSPACE;
	g->gone[g->gone_in++] = handle;
	vmbi_guest_mark(g, VMBI_GUEST_NODE_GONE(g, g->gone_in), VMBI_GE_GONE);
	return 0;
}

static int gr_event(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	struct vmbi_gsv_node n = { 0, 0 };
	uint32_t marks = 0, node;

	vmbi_gsv_node(&l->b, &n);
	vmbi_blob_32(&l->b, &marks);
	if (vmbi_blob_done(&l->b))
		return VMB_EINVAL;
	if (n.kind == VMBI_GSV_OF_GONE)
		return gr_gone(l, n.n, marks);
	node = gr_node(l, &n);
	if (!node || g->event_links[node].in || !gr_marks_ok(l, &n, node, marks))
		return VMB_EINVAL;
	vmbi_guest_mark(g, node, marks);
	return 0;
}

/* ---- all of it */

static int gr_record(struct guest_restore *l, uint32_t type)
{
	if (type < l->last || (type == l->last && (type <= VMBI_GSV_SLOTS || type == VMBI_GSV_STATISTICS)) ||
	    (type > VMBI_GSV_SLOTS && l->last < VMBI_GSV_SLOTS))
		return VMB_EINVAL;
	l->last = type;
	switch (type) {
	case VMBI_GSV_CONNECTION:
		return gr_connection(l);
	case VMBI_GSV_SLOTS:
		return gr_slots(l);
	case VMBI_GSV_CONNECT:
		return gr_connect(l);
	case VMBI_GSV_CHANNEL:
		return gr_channel(l);
	case VMBI_GSV_LIST:
		return gr_list(l);
	case VMBI_GSV_QUEUED:
		return gr_queued(l);
	case VMBI_GSV_EVENT:
		return gr_event(l);
	default:
		vmbi_gsv_statistics(&l->b, l->g);
		return vmbi_blob_done(&l->b);
	}
}

/* Whatever has something to say stands in its queue. */
static int gr_queues_ok(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	uint8_t msg[VMB_MESSAGE_MAX];

	for (uint32_t node = 1; node <= VMBI_GUEST_NODE_CONNECT(g, l->connects); node++) {
		int out = node == VMBI_GUEST_NODE_CLOSER(g) && g->closer.out;

		if (!g->post_links[node].in && !out && vmbi_guest_post_has(g, node, msg))
			return 0;
	}
	for (uint32_t k = 1; k <= l->lists; k++) {
		const struct vmbi_gg *d = &g->gpadls[k];

		if ((d->flags & (VMBI_GG_FINAL | VMBI_GG_TOLD)) == VMBI_GG_FINAL && !g->marks[VMBI_GUEST_NODE_GPADL(g, k)])
			return 0;
	}
	for (uint32_t k = 1; k <= l->connects; k++) {
		struct vmbi_gs *s = &g->connects[k];

		if ((s->state == VMBI_GS_DONE && !g->marks[VMBI_GUEST_NODE_CONNECT(g, k)]) || (s->state == VMBI_GS_OFFERED && !s->next))
			return 0;
	}
	return 1;
}

static int gr_channels_ok(const struct vmb_guest *g)
{
	for (uint32_t i = 1; i <= g->slots_used; i++) {
		const struct vmbi_gc *c = &g->channels[i];

		if (!g->device_keys[i])
			continue;
		if (!gr_ring_ok(g, c) || (c->send == VMBI_MSG_REL_ID_RELEASED && c->untold))
			return 0;
		if ((c->state == VMBI_GC_CLOSED && !g->marks[i]) || (!(c->flags & (VMBI_GC_SEEN | VMBI_GC_RELEASED)) && !g->marks[i]))
			return 0;
	}
	return 1;
}

static int gr_load(struct guest_restore *l)
{
	uint32_t type, seen = 0;
	int r = 0;

	while (!r && (type = vmbi_blob_next(&l->b)) != 0) {
		seen |= GR_KNOWN(type);
		r = gr_record(l, type);
	}
	if (r)
		return r;
	if (!(seen & GR_KNOWN(VMBI_GSV_SLOTS)) || !(seen & GR_KNOWN(VMBI_GSV_STATISTICS)) != (l->b.format < VMBI_BLOB_STATISTICS))
		return VMB_EINVAL;
	return gr_channels_ok(l->g) && gr_queues_ok(l) ? 0 : VMB_EINVAL;
}

/* ---- taking it over */

static void gr_free_lists(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;

	g->free_slot = g->last_free_slot = 0;
	for (uint32_t i = g->cfg.max_channels; i; i--) {
		if (g->device_keys[i] || g->channels[i].generation >= VMBI_GENERATION_MAX)
			continue;
		g->channels[i].next = g->free_slot;
		g->free_slot = i;
		if (!g->last_free_slot)
			g->last_free_slot = i;
	}
	g->free_gpadl = l->lists < g->cfg.max_gpadls ? l->lists + 1 : 0;
	for (uint32_t k = 1; k <= l->connects; k++)
		g->connects[k].next = 0;
	g->free_connect = l->connects < g->cfg.max_hvsock ? l->connects + 1 : 0;
	if (g->gone_in == g->cfg.max_channels)
		g->gone_in = 0;
}

static void gr_scan(struct vmb_guest *g)
{
	uint32_t words = GR_CONNECTED(g) && g->state != VMBI_GUEST_UNLOADING;

	for (uint32_t id = 0; id <= VMBI_MAX_CHANNEL_ID; id++)
		if (vmbi_guest_map_get(g, g->ids, id) || vmbi_guest_map_get(g, g->event_slots, id))
			words = id / 32 + 1;
	if (!GR_CONNECTED(g))
		return;
	VMBI_STORE32_RELAXED(&g->unloadable, g->connection | VMBI_GUEST_UNLOADABLE);
	VMBI_STORE32_RELAXED(&g->by_page, g->version < VMB_V2_4);
	VMBI_STORE32_RELEASE(&g->scan, words ? words : 1);
}

/* Its owner comes again: EV_OFFER says so. */
static void gr_tell(struct vmb_guest *g, uint32_t slot)
{
	struct vmbi_gc *c = &g->channels[slot];

	if (gr_has_object(c))
		c->flags |= VMBI_GC_AWAY;
	if ((c->flags & (VMBI_GC_SEEN | VMBI_GC_RELEASED)) != VMBI_GC_SEEN)
		return;
	c->flags |= VMBI_GC_UNTOLD;
	vmbi_guest_mark(g, slot, VMBI_GE_OFFER);
}

static void gr_list_commit(struct vmb_guest *g, uint32_t k)
{
	if (g->cfg.trace)
		vmbi_guest_trace_gpadl(g, &g->gpadls[k], VMBI_GG_FREE, g->gpadls[k].state);
	if (vmbi_gsv_list_waits(&g->gpadls[k]))
		vmbi_guest_wait(g, VMBI_GUEST_NODE_GPADL(g, k));
}

static void gr_commit(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	uint32_t state = g->state;

	g->state = VMB_BUS_NONE;
	vmbi_guest_become(g, state);
	gr_free_lists(l);
	gr_scan(g);
	for (uint32_t i = 1; i <= g->slots_used; i++) {
		if (!g->device_keys[i])
			continue;
		if (vmbi_gsv_channel_waits(&g->channels[i]))
			vmbi_guest_wait(g, i);
		gr_tell(g, i);
		vmbi_gc_changed(g, &g->channels[i]);
	}
	for (uint32_t k = 1; k <= l->lists; k++)
		gr_list_commit(g, k);
	for (uint32_t k = 1; k <= l->connects; k++)
		if (g->connects[k].state == VMBI_GS_SENT)
			vmbi_guest_wait(g, VMBI_GUEST_NODE_CONNECT(g, k));
	if (g->closer.out)
		vmbi_guest_wait(g, VMBI_GUEST_NODE_CLOSER(g));
	if (g->answer_due)
		vmbi_guest_clock(g, g->state == VMB_BUS_CONNECTING ? g->cfg.connect_ms : g->cfg.unload_ms);
	else if (g->asking)
		vmbi_guest_clock(g, g->cfg.reply_ms);
	g->poke = 1;
}

/* ---- anew */

/* A primary that its owner knows: its handle stays. */
static int gr_outlives(const struct vmbi_gc *c)
{
	return (c->flags & (VMBI_GC_SEEN | VMBI_GC_RELEASED)) == VMBI_GC_SEEN && !c->offer.subchannel && !(c->offer.flags & VMB_OFFER_HVSOCK);
}

/* The end that was loaded becomes one that was never connected, but for handles, and the version that it will ask for. */
static int gr_anew(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	uint32_t version = g->version, slots = g->slots_used, opens = g->opens, next_gpadl = g->next_gpadl;

	if (g->state != VMB_BUS_CONNECTED && g->state != VMB_BUS_RUNNING)
		return VMB_ESTATE;
	vmbi_guest_reset(g, 1);
	g->only_version = version;
	g->slots_used = slots;
	g->opens = opens;
	g->next_gpadl = next_gpadl;
	l->lists = l->connects = 0;
	for (uint32_t i = 1; i <= slots; i++) {
		struct vmbi_gc *c = &g->channels[i];
		uint32_t generation = c->generation, lives = (uint32_t)gr_outlives(c), rescinded = c->flags & VMBI_GC_RESCINDED;
		struct vmb_offer offer = c->offer;

		VMBI_MEMSET(&c->state, 0, sizeof *c - offsetof(struct vmbi_gc, state));
		c->generation = generation;
		c->id = 0;
		if (!lives)
			continue;
		c->offer = offer;
		c->flags = VMBI_GC_SEEN | VMBI_GC_LOST | rescinded;
		vmbi_guest_device_add(g, i, vmbi_guest_device_key(&offer));
		g->live++;
		if (rescinded) /* which its owner may not have been told */
			vmbi_guest_abandon(g, c);
		vmbi_gc_changed(g, c);
	}
	gr_free_lists(l);
	return 0;
}

/* ---- the call */

static int gr_may(const struct vmb_guest *g)
{
	return g->state != VMB_BUS_NONE || g->slots_used || g->closer.id || g->events.head || g->post.head || g->messages_out ||
	       g->only_version ? VMB_ESTATE : 0;
}

static int gr_restore(struct vmb_guest *g, const void *buf, size_t bytes, uint32_t anew)
{
	static const uint32_t types[] = { 0, 0xfe, 0x1fe, 0x1fe };
	struct guest_restore l = { .g = g, .anew = anew };
	uint8_t counters[GR_COUNTERS];
	int r = gr_may(g);

	if (!r)
		r = vmbi_blob_load(&l.b, buf, bytes, VMBI_BLOB_GUEST, types);
	if (r)
		return r;
	g->stray_events += VMBI_EXCHANGE32(&g->stray, 0u);
	VMBI_MEMCPY(counters, (uint8_t *)g + GR_COUNTERS_AT, sizeof counters);
	r = gr_load(&l);
	if (!r)
		r = anew ? gr_anew(&l) : gr_map(g);
	if (r)
		vmbi_guest_reset(g, 0);
	else if (!anew)
		gr_commit(&l);
	if (r || anew)
		VMBI_MEMCPY((uint8_t *)g + GR_COUNTERS_AT, counters, sizeof counters);
	return r;
}

int vmb_guest_restore(struct vmb_guest *g, const void *buf, size_t bytes, uint32_t flags)
{
	int r = buf && !(flags & ~VMB_RESTORE_ANEW) ? vmbi_guest_enter(g) : VMB_EINVAL;

	if (r < 0)
		return r;
	r = gr_restore(g, buf, bytes, flags & VMB_RESTORE_ANEW);
	if (r < 0) {
		vmbi_guard_leave(&g->guard);
		return r;
	}
	return vmbi_guest_leave(g, 0);
}

/* ---- lib/bus/guest.c ---- */
/* The guest end as an object: its config, its storage, its beginning and end, and the frame around every [control] call. */

#define GUEST_CHANNELS 64u
#define GUEST_GPADL_PAGES 8190u
#define GUEST_PAGES_MAX 0x1000000u /* of lists being announced at once: 64 GiB of memory */
#define GUEST_IDS 2048u

/* ---- config */

static int vmbi_guest_check_monitor(const uint64_t gpa[2], void *const page[2])
{
	int pages = !!gpa[0] + !!gpa[1] + !!page[0] + !!page[1];

	if (pages != 0 && pages != 4)
		return VMB_EINVAL;
	return (gpa[0] | gpa[1]) % VMB_PAGE || ((uintptr_t)page[0] | (uintptr_t)page[1]) % VMB_PAGE ? VMB_EINVAL : 0;
}

static int guest_check_pages(const struct vmb_guest_config *cfg)
{
	if (!cfg->interrupt_gpa != !cfg->interrupt_page || cfg->interrupt_gpa % VMB_PAGE || (uintptr_t)cfg->interrupt_page % VMB_PAGE)
		return VMB_EINVAL;
	return vmbi_guest_check_monitor(cfg->monitor_gpa, cfg->monitor_page);
}

/* control-plane.md 3.1 */
static int guest_check_features(const struct vmb_guest_config *cfg)
{
	if (cfg->features >= VMB_FEATURE_PINNING << 1 || cfg->vtl > 15)
		return VMB_EINVAL;
	return cfg->features & VMB_FEATURE_SERVER_MONITOR && !cfg->monitor ? VMB_EINVAL : 0;
}

static int guest_check_versions(struct vmb_guest_config *cfg)
{
	if ((cfg->min_version && !vmbi_version_known(cfg->min_version)) ||
	    (cfg->max_version && !vmbi_version_known(cfg->max_version)))
		return VMB_EINVAL;
	if (!cfg->max_version)
		cfg->max_version = VMB_V6_0;
	return vmbi_guest_version_below(cfg, UINT32_MAX) ? 0 : VMB_EINVAL;
}

static int guest_config(struct vmb_guest_config *to, const struct vmb_guest_config *from)
{
	int r;

	if (!from)
		return VMB_EINVAL;
	r = vmbi_struct_in(to, sizeof *to, from, offsetof(struct vmb_guest_config, signal_budget));
	if (r < 0)
		return r;
	if (!to->sint)
		to->sint = VMBI_SINT;
	if (!to->signal_budget)
		to->signal_budget = VMB_SIGNAL_BUDGET;
	if (!to->signal_ms)
		to->signal_ms = VMBI_SIGNAL_MS;
	if (!to->max_channels)
		to->max_channels = GUEST_CHANNELS;
	if (to->flags || to->sint > 15 || to->max_channels > VMBI_MAX_CHANNEL_ID || !to->post || !to->signal)
		return VMB_EINVAL;
	if (!to->max_gpadls)
		to->max_gpadls = 2 * to->max_channels;
	if (!to->max_gpadl_pages)
		to->max_gpadl_pages = GUEST_GPADL_PAGES;
	if (to->max_gpadls > VMBI_GUEST_MAX_GPADLS || to->max_gpadl_pages > GUEST_PAGES_MAX || to->max_hvsock > VMBI_GUEST_MAX_GPADLS ||
	    to->reserved)
		return VMB_EINVAL;
	r = guest_check_features(to);
	if (r >= 0)
		r = guest_check_pages(to);
	return r < 0 ? r : guest_check_versions(to);
}

/* ---- storage */

/* A power of two, at least twice as many. */
static uint32_t guest_map_size(uint32_t gpadls)
{
	uint32_t n = 4;

	while (n < 2 * gpadls)
		n *= 2;
	return n;
}

static uint32_t guest_map_bits(const struct vmb_guest_config *cfg)
{
	return cfg->max_channels < 256 ? 8 : 16;
}

/* The one place that knows what the storage is made of. base NULL: only computing. In the arena each list has one word of its own
 * beside its pages; further range words count as pages. */
static struct vmb_guest *guest_carve(struct vmbi_carve *c, const struct vmb_guest_config *cfg)
{
	struct vmb_guest *g = vmbi_carve(c, 1, sizeof *g);
	uint32_t posts = cfg->max_channels + 3 + cfg->max_gpadls + cfg->max_hvsock + 1, events = posts + cfg->max_channels;
	uint32_t arena = cfg->max_gpadl_pages + cfg->max_gpadls;
	void *part;

#define GUEST_PART(member, count) \
	part = vmbi_carve(c, (count), sizeof *g->member); \
	if (g) \
		g->member = part
	GUEST_PART(channels, cfg->max_channels + 1);
	GUEST_PART(gpadls, cfg->max_gpadls + 1);
	GUEST_PART(connects, cfg->max_hvsock + 1);
	GUEST_PART(ids, GUEST_IDS * guest_map_bits(cfg) / 32);
	GUEST_PART(event_slots, GUEST_IDS * guest_map_bits(cfg) / 32);
	GUEST_PART(declined, VMBI_FLAG_WORDS);
	GUEST_PART(device_keys, cfg->max_channels + 1);
	GUEST_PART(device_next, cfg->max_channels + 1);
	GUEST_PART(devices, guest_map_size(cfg->max_channels) / 2);
	GUEST_PART(gone, cfg->max_channels);
	GUEST_PART(gpadl_map, guest_map_size(cfg->max_gpadls));
	GUEST_PART(post_links, posts);
	GUEST_PART(wait_links, posts);
	GUEST_PART(event_links, events);
	GUEST_PART(drain_links, cfg->max_channels + 1);
	GUEST_PART(arena_links, cfg->max_gpadls + 1);
	GUEST_PART(deadlines, posts);
	GUEST_PART(marks, events);
	GUEST_PART(arena, arena);
#undef GUEST_PART
	if (g)
		g->arena_words = arena;
	return g;
}

static int guest_need(const struct vmb_guest_config *cfg, struct vmb_storage *need)
{
	struct vmbi_carve c = { NULL, 0 };

	(void)guest_carve(&c, cfg);
	return vmbi_carve_end(&c, need);
}

int vmb_guest_storage(const struct vmb_guest_config *cfg, struct vmb_storage *need)
{
	struct vmb_guest_config own;
	int r = need ? guest_config(&own, cfg) : VMB_EINVAL;

	return r < 0 ? r : guest_need(&own, need);
}

/* Its memory is all 0, but for the pointers into it. */
static void guest_begin(struct vmb_guest *g, const struct vmb_guest_config *own)
{
	g->cfg = *own;
	g->next_gpadl = VMBI_GUEST_FIRST_GPADL;
	g->map_bits = guest_map_bits(own);
	g->gpadl_mask = guest_map_size(own->max_gpadls) - 1;
	g->device_mask = guest_map_size(own->max_channels) / 2 - 1;
	for (uint32_t i = 1; i <= own->max_channels; i++) {
		g->channels[i].guest = g;
		g->channels[i].next = i < own->max_channels ? i + 1 : 0;
		vmbi_gate_init(&g->channels[i].gate);
	}
	g->free_slot = 1;
	g->last_free_slot = own->max_channels;
	for (uint32_t i = 1; i <= own->max_gpadls; i++)
		g->gpadls[i].next = i < own->max_gpadls ? i + 1 : 0;
	g->free_gpadl = 1;
	for (uint32_t i = 1; i <= own->max_hvsock; i++)
		g->connects[i].next = i < own->max_hvsock ? i + 1 : 0;
	g->free_connect = own->max_hvsock != 0;
}

static void vmbi_guest_reset(struct vmb_guest *g, int handles)
{
	struct vmb_guest_config own = g->cfg;
	struct vmbi_carve c = { (uint8_t *)g, 0 };
	struct vmb_storage need = { 0, 0 };
	uint8_t *after = (uint8_t *)(handles ? (void *)g->gpadls : (void *)g->channels);

	(void)guest_need(&own, &need);
	VMBI_MEMSET(after, 0, need.bytes - (size_t)(after - (uint8_t *)g));
	VMBI_MEMSET(g, 0, sizeof *g);
	guest_begin(guest_carve(&c, &own), &own);
	(void)vmbi_guard_enter(&g->guard); /* we are inside */
}

int vmb_guest_init(void *mem, size_t bytes, const struct vmb_guest_config *cfg, struct vmb_guest **guest)
{
	struct vmb_guest_config own;
	struct vmb_storage need;
	struct vmbi_carve c = { mem, 0 };
	struct vmb_guest *g;
	int r = guest ? guest_config(&own, cfg) : VMB_EINVAL;

	if (r < 0 || (r = guest_need(&own, &need)) < 0 || (r = vmbi_storage_fits(mem, bytes, &need)) < 0)
		return r;
	VMBI_MEMSET(mem, 0, need.bytes);
	g = guest_carve(&c, &own);
	guest_begin(g, &own);
	*guest = g;
	return 0;
}

/* ---- the frame */

static int vmbi_guest_enter(struct vmb_guest *g)
{
	return g ? vmbi_guard_enter(&g->guard) : VMB_EINVAL;
}

static int vmbi_guest_leave(struct vmb_guest *g, int r)
{
	vmbi_guest_post(g);
	if (g->poke) {
		g->poke = 0;
		VMBI_POKE(&g->cfg);
	}
	vmbi_guard_leave(&g->guard);
	return r;
}

int vmb_guest_end(struct vmb_guest *g)
{
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	/* Without a connection only reserved channels have an object out. */
	r = g->state == VMB_BUS_NONE && !g->objects ? 0 : VMB_ESTATE;
	vmbi_guard_leave(&g->guard);
	return r;
}

static uint32_t guest_pages(const struct vmb_guest *g)
{
	uint32_t n = 0;

	for (uint32_t k = 1; k <= g->cfg.max_gpadls; k++)
		n += g->gpadls[k].id ? g->gpadls[k].words - g->gpadls[k].ranges : 0;
	return n;
}

int vmb_guest_info(struct vmb_guest *g, struct vmb_bus_info *out)
{
	struct vmb_bus_info info;
	int connected, r = out ? vmbi_guest_enter(g) : VMB_EINVAL;

	if (r < 0)
		return r;
	VMBI_MEMSET(&info, 0, sizeof info);
	connected = g->state > VMB_BUS_CONNECTING;
	info.state = g->state == VMBI_GUEST_UNLOADING ? VMB_BUS_LEAVING : g->state;
	info.version = connected ? g->version : 0;
	info.features = g->features;
	info.monitor_gpa[0] = g->monitor_gpa[0];
	info.monitor_gpa[1] = g->monitor_gpa[1];
	info.paused = g->paused;
	info.channels = g->live;
	info.attached = g->objects;
	info.gpadls = g->lists;
	info.gpadl_pages = guest_pages(g);
	info.message_vp = g->cfg.message_vp;
	info.queued = g->post.count;
	info.queued_most = g->post.most;
	info.events = g->events.count;
	info.events_most = g->events.most;
	info.messages_in = g->messages_in;
	info.messages_out = g->messages_out;
	info.dropped = g->dropped;
	info.refused_quota = g->refused_quota;
	info.post_retries = g->post_retries;
	g->stray_events += VMBI_EXCHANGE32(&g->stray, 0u);
	info.stray_events = g->stray_events;
	info.late_answers = g->late_answers;
	info.post_failed = g->post_failed;
	info.over_budget = g->over_budget;
	VMBI_MEMCPY(info.fate, g->fates, sizeof info.fate);
	return vmbi_guest_leave(g, vmbi_struct_out(out, &info, sizeof info, offsetof(struct vmb_bus_info, fate)));
}

/* ---- lib/bus/guest_message.c ---- */
/*
 * What the host says: out of the slot, checked, and to the one who waits for it. The table of control-plane.md 19 says in which
 * state of the connection a message may be looked at; everything else is dropped and counted, and so is an answer to nothing.
 */

#define GUEST_ON_CONTACT 0x1u  /* allowed while negotiating */
#define GUEST_ON_OFFERING 0x2u /* between REQUEST_OFFERS and the end of offers */
#define GUEST_ON_RUNNING 0x4u
#define GUEST_ON_LEAVING 0x8u  /* before UNLOAD: channels are being closed */
#define GUEST_ON_UNLOADING 0x10u
#define GUEST_ON_NONE 0x20u
#define GUEST_ON_ANY 0x3fu
#define GUEST_ON_LIVE (GUEST_ON_OFFERING | GUEST_ON_RUNNING | GUEST_ON_LEAVING)

/* By type. Messages for which this end never asks are not looked at. */
static const uint8_t guest_message_when[VMBI_MSG_COUNT] = {
	[VMBI_MSG_OFFER_CHANNEL] = GUEST_ON_OFFERING | GUEST_ON_RUNNING,
	[VMBI_MSG_RESCIND_CHANNEL_OFFER] = GUEST_ON_LIVE,
	[VMBI_MSG_ALL_OFFERS_DELIVERED] = GUEST_ON_OFFERING,
	[VMBI_MSG_OPEN_CHANNEL_RESULT] = GUEST_ON_LIVE,
	[VMBI_MSG_GPADL_CREATED] = GUEST_ON_LIVE,
	[VMBI_MSG_GPADL_TORNDOWN] = GUEST_ON_LIVE,
	[VMBI_MSG_VERSION_RESPONSE] = GUEST_ON_CONTACT,
	[VMBI_MSG_UNLOAD_COMPLETE] = GUEST_ON_UNLOADING,
	[VMBI_MSG_MODIFY_CHANNEL_RESPONSE] = GUEST_ON_LIVE,
	[VMBI_MSG_TL_CONNECT_RESULT] = GUEST_ON_LIVE,
	[VMBI_MSG_MODIFY_CONNECTION_RESPONSE] = GUEST_ON_LIVE,
	[VMBI_MSG_PAUSE_RESPONSE] = GUEST_ON_LIVE,
	[VMBI_MSG_CLOSE_RESERVED_RESPONSE] = GUEST_ON_ANY, /* what it closes outlives connections */
};

static const uint8_t guest_message_state[] = {
	[VMB_BUS_NONE] = GUEST_ON_NONE,
	[VMB_BUS_CONNECTING] = GUEST_ON_CONTACT, [VMB_BUS_CONNECTED] = GUEST_ON_OFFERING, [VMB_BUS_RUNNING] = GUEST_ON_RUNNING,
	[VMB_BUS_LEAVING] = GUEST_ON_LEAVING,    [VMBI_GUEST_UNLOADING] = GUEST_ON_UNLOADING,
};

static int guest_message_is_answer(uint32_t type)
{
	switch (type) {
	case VMBI_MSG_OPEN_CHANNEL_RESULT:
	case VMBI_MSG_GPADL_CREATED:
	case VMBI_MSG_GPADL_TORNDOWN:
	case VMBI_MSG_MODIFY_CHANNEL_RESPONSE:
	case VMBI_MSG_TL_CONNECT_RESULT:
	case VMBI_MSG_MODIFY_CONNECTION_RESPONSE:
	case VMBI_MSG_PAUSE_RESPONSE:
	case VMBI_MSG_CLOSE_RESERVED_RESPONSE:
		return 1;
	default:
		return 0;
	}
}

/* 1: it was for somebody. */
static int guest_message_handle(struct vmb_guest *g, uint32_t type, const uint8_t *msg)
{
	switch (type) {
	case VMBI_MSG_OFFER_CHANNEL:
		return vmbi_guest_on_offer(g, msg);
	case VMBI_MSG_RESCIND_CHANNEL_OFFER:
		return vmbi_guest_on_rescind(g, msg);
	case VMBI_MSG_ALL_OFFERS_DELIVERED:
		vmbi_guest_on_all_offers(g);
		return 1;
	case VMBI_MSG_OPEN_CHANNEL_RESULT:
		return vmbi_guest_on_opened(g, msg);
	case VMBI_MSG_GPADL_CREATED:
		return vmbi_guest_on_created(g, msg);
	case VMBI_MSG_GPADL_TORNDOWN:
		return vmbi_guest_on_torndown(g, msg);
	case VMBI_MSG_MODIFY_CHANNEL_RESPONSE:
		return vmbi_guest_on_modified(g, msg);
	case VMBI_MSG_VERSION_RESPONSE:
		return vmbi_guest_on_version(g, msg);
	case VMBI_MSG_TL_CONNECT_RESULT:
		return vmbi_guest_on_connect_result(g, msg);
	case VMBI_MSG_MODIFY_CONNECTION_RESPONSE:
		return vmbi_guest_on_monitor(g, msg);
	case VMBI_MSG_PAUSE_RESPONSE:
		return vmbi_guest_on_paused(g);
	case VMBI_MSG_CLOSE_RESERVED_RESPONSE:
		return vmbi_guest_on_reserved_closed(g, msg);
	default:
		return vmbi_guest_on_unloaded(g);
	}
}

/* Of a message that was for nobody. */
static uint32_t guest_message_nobodys(uint32_t type)
{
	if (guest_message_is_answer(type))
		return VMB_FATE_LATE;
	if (type == VMBI_MSG_OFFER_CHANNEL)
		return VMB_FATE_VALUE;
	return type == VMBI_MSG_RESCIND_CHANNEL_OFFER ? VMB_FATE_UNKNOWN : VMB_FATE_STATE;
}

/* Act on it: VMB_FATE_*. */
static uint32_t guest_message_act(struct vmb_guest *g, const uint8_t *msg, uint32_t len)
{
	uint32_t version = g->state == VMB_BUS_NONE ? 0 : g->version, type;
	uint32_t features = g->state == VMB_BUS_CONNECTING ? g->cfg.features : g->features;
	int r = vmb_message_check(msg, len, version, features, 0);

	if (r < 0)
		return vmbi_fate_of(r, version);
	type = vmbi_get32(msg);
	if (!(guest_message_when[type] & guest_message_state[g->state]))
		return VMB_FATE_STATE;
	g->fate = VMB_FATE_TAKEN;
	return guest_message_handle(g, type, msg) ? g->fate : guest_message_nobodys(type);
}

/* msg is a copy, of VMB_MESSAGE_MAX bytes: the checked length is what may be read of it. */
static void vmbi_guest_receive(struct vmb_guest *g, const uint8_t *msg, uint32_t len)
{
	uint32_t state = g->state, fate = guest_message_act(g, msg, len);

	g->messages_in++;
	g->fates[fate]++;
	if (fate == VMB_FATE_LATE)
		g->late_answers++;
	else if (fate >= VMB_FATE_MALFORMED && fate <= VMB_FATE_VALUE)
		g->dropped++;
	if (g->cfg.trace)
		vmbi_guest_trace_message(g, VMB_TRACE_MESSAGE_IN, msg, len, fate, state);
}

int vmb_guest_slot(struct vmb_guest *g, void *slot)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len = 0;
	int taken, r;

	if (!slot)
		return VMB_EINVAL;
	r = vmbi_guest_enter(g);
	if (r < 0)
		return r;
	taken = vmbi_slot_take(slot, msg, &len);
	if (taken > 0)
		vmbi_guest_receive(g, msg, len);
	return vmbi_guest_leave(g, taken);
}

int vmb_guest_message(struct vmb_guest *g, const void *payload, uint32_t len)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	int r;

	if (!payload)
		return VMB_EINVAL;
	r = vmbi_guest_enter(g);
	if (r < 0)
		return r;
	if (len <= VMB_MESSAGE_MAX)
		VMBI_COPY_OUT(msg, payload, len);
	vmbi_guest_receive(g, msg, len <= VMB_MESSAGE_MAX ? len : 0);
	return vmbi_guest_leave(g, 0);
}

/* ---- lib/bus/guest_connect.c ---- */
/*
 * The connection of the guest: contact with one version after the other, offers asked for, UNLOAD. control-plane.md 7.1, 11, 19
 *
 * A version that is refused leads to the next lower one; so does a hypervisor that does not know the message connection.
 * Silence ends the attempt: an answer to it may still come and be taken for one to the next.
 */

static int vmbi_guest_may_speak(const struct vmb_guest_config *cfg, uint32_t version)
{
	return vmbi_version_known(version) && version <= cfg->max_version && version >= cfg->min_version &&
	       (version >= VMB_V2_4 || cfg->interrupt_gpa);
}

static uint32_t vmbi_guest_version_below(const struct vmb_guest_config *cfg, uint32_t version)
{
	uint32_t best = 0, v;

	for (uint32_t i = 0; (v = vmb_version_at(i)) != 0 && v < version; i++)
		if (vmbi_guest_may_speak(cfg, v))
			best = v;
	return best;
}

static void vmbi_guest_connection_send(struct vmb_guest *g, uint32_t type)
{
	g->send = type;
	vmbi_guest_queue(g, VMBI_GUEST_NODE_CONNECTION(g));
}

static void vmbi_guest_connection_mark(struct vmb_guest *g, uint32_t marks)
{
	vmbi_guest_mark(g, VMBI_GUEST_NODE_CONNECTION(g), marks);
}

/* No connection: nothing is queued, no event flag is ours. */
static void guest_connect_none(struct vmb_guest *g)
{
	vmbi_guest_clock(g, 0);
	VMBI_STORE32_RELAXED(&g->scan, 0);
	VMBI_STORE32_RELAXED(&g->unloadable, 0);
	g->features = 0;
	vmbi_guest_become(g, VMB_BUS_NONE);
	g->send = 0;
	g->answer_due = 0;
	g->redirected = 0;
	vmbi_guest_requests_end(g);
	for (uint32_t i = 1; g->kept && i <= g->slots_used; i++)
		if (g->channels[i].flags & VMBI_GC_KEPT)
			vmbi_guest_gpadls_kept(g, &g->channels[i], 1);
}

/* Of what outlives connections: is it known that this one is over, or that those before are? 1: lists of such a channel have leaked. The host
 * still has them. control-plane.md 10.5 */
static int guest_connect_kept(struct vmb_guest *g, int unproven)
{
	int leaks = 0;

	for (uint32_t i = 1; g->kept && i <= g->slots_used; i++) {
		struct vmbi_gc *c = &g->channels[i];

		if (!(c->flags & VMBI_GC_KEPT))
			continue;
		c->flags &= ~VMBI_GC_UNPROVEN;
		c->flags |= unproven ? VMBI_GC_UNPROVEN : 0;
		leaks |= vmbi_guest_gpadls_leaked(g, c);
	}
	return leaks;
}

/* ---- contact */

static void guest_connect_failed(struct vmb_guest *g, int32_t status, uint32_t said)
{
	guest_connect_none(g);
	g->connect_status = status;
	g->connect_said = said;
	vmbi_guest_connection_mark(g, VMBI_GE_CONNECTED);
}

/* This version is not to be had. What a host said about a version that it knows outweighs that it does not know others. */
static void guest_connect_next(struct vmb_guest *g, int32_t status, uint32_t said)
{
	vmbi_guest_clock(g, 0);
	g->answer_due = 0;
	if (!g->connect_status || g->connect_status == VMB_EPLATFORM || status == VMB_EREFUSED) {
		g->connect_status = status;
		g->connect_said = said;
	}
	g->version = g->only_version ? 0 : vmbi_guest_version_below(&g->cfg, g->version);
	if (g->version)
		vmbi_guest_connection_send(g, VMBI_MSG_INITIATE_CONTACT);
	else
		guest_connect_failed(g, g->connect_status, g->connect_said);
}

static uint32_t guest_connect_contact(const struct vmb_guest *g, uint8_t *out, uint32_t *connection)
{
	const struct vmb_guest_config *cfg = &g->cfg;
	int len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_INITIATE_CONTACT, g->version, cfg->features);

	*connection = VMBI_CONNECTION_LEGACY;
	if (g->version >= VMB_V5_0)
		*connection = g->redirected ? VMBI_CONNECTION_REDIRECTED : VMBI_CONNECTION_MULTICLIENT;
	vmbi_put32(out + VMBI_AT(INITIATE_CONTACT, version), g->version);
	if (g->version >= VMB_V3_0)
		vmbi_put32(out + VMBI_AT(INITIATE_CONTACT, target_vp), cfg->message_vp);
	if (g->version >= VMB_V5_0)
		out[VMBI_AT(INITIATE_CONTACT, target_sint)] = (uint8_t)cfg->sint;
	else
		vmbi_put64(out + VMBI_AT(INITIATE_CONTACT, interrupt_page), cfg->interrupt_gpa);
	if (g->version >= VMB_V5_1)
		out[VMBI_AT(INITIATE_CONTACT, target_vtl)] = (uint8_t)cfg->vtl;
	if (g->version >= VMB_V6_0)
		vmbi_put32(out + VMBI_AT(INITIATE_CONTACT, feature_flags), cfg->features);
	if (g->version >= VMB_V6_0 && cfg->features & VMB_FEATURE_CLIENT_ID)
		VMBI_MEMCPY(out + VMBI_AT(INITIATE_CONTACT, client_id), &cfg->client_id, 16);
	vmbi_put64(out + VMBI_AT(INITIATE_CONTACT, parent_to_child_page), cfg->monitor_gpa[0]);
	vmbi_put64(out + VMBI_AT(INITIATE_CONTACT, child_to_parent_page), cfg->monitor_gpa[1]);
	return (uint32_t)len;
}

static void guest_connect_contact_posted(struct vmb_guest *g, int outcome, uint32_t status)
{
	if (outcome == VMBI_GUEST_FAILED && status == VMB_HV_INVALID_CONNECTION && g->redirected && g->version >= VMB_V5_0) {
		g->redirected = 0;
		vmbi_guest_connection_send(g, VMBI_MSG_INITIATE_CONTACT);
	} else if (outcome == VMBI_GUEST_FAILED && status == VMB_HV_INVALID_CONNECTION) {
		guest_connect_next(g, VMB_EPLATFORM, status);
	} else if (outcome == VMBI_GUEST_FAILED) {
		guest_connect_failed(g, VMB_EPLATFORM, status);
	} else {
		g->answer_due = 1;
		if (outcome == VMBI_GUEST_SENT)
			vmbi_guest_clock(g, g->cfg.connect_ms);
	}
}

/* Whose monitor pages are in use. The host's own come with this very response; where they are none, or cannot be had, signals are
 * hypercalls. control-plane.md 3.1, 20.2 */
static void guest_connect_monitor(struct vmb_guest *g, const uint8_t *msg)
{
	uint64_t gpa[2] = { g->cfg.monitor_gpa[0], g->cfg.monitor_gpa[1] };
	void *page[2] = { g->cfg.monitor_page[0], g->cfg.monitor_page[1] };

	if (g->features & VMB_FEATURE_SERVER_MONITOR) {
		gpa[0] = vmbi_get64(msg + VMBI_AT(VERSION_RESPONSE, parent_to_child_page));
		gpa[1] = vmbi_get64(msg + VMBI_AT(VERSION_RESPONSE, child_to_parent_page));
		page[0] = page[1] = NULL;
		if (!gpa[1] || (gpa[0] | gpa[1]) % VMB_PAGE || g->cfg.monitor(g->cfg.ctx, gpa, page) < 0 || !page[1])
			gpa[0] = gpa[1] = 0;
	}
	for (uint32_t i = 0; i < 2; i++) {
		g->monitor_gpa[i] = gpa[i];
		g->monitor_page[i] = gpa[1] ? page[i] : NULL;
	}
}

static int vmbi_guest_on_version(struct vmb_guest *g, const uint8_t *msg)
{
	uint32_t selected = vmbi_get32(msg + VMBI_AT(VERSION_RESPONSE, selected));
	uint32_t said = g->version >= VMB_V2_4 ? msg[VMBI_AT(VERSION_RESPONSE, connection_state)] : 0; /* control-plane.md 5 */
	int supported = msg[VMBI_AT(VERSION_RESPONSE, version_supported)] != 0;

	if (!g->answer_due || (supported && !said && g->version >= VMB_V5_0 && selected >> 24))
		return 0;
	g->send = 0; /* should it be waiting to be repeated */
	if (!supported || said) {
		guest_connect_next(g, supported ? VMB_EREFUSED : VMB_EVERSION, said);
		return 1;
	}
	vmbi_guest_clock(g, 0);
	g->answer_due = 0;
	g->redirected = 0; /* it is not being tried any more */
	g->connection = g->version >= VMB_V5_0 ? selected : VMBI_CONNECTION_LEGACY;
	g->leaks = 0;
	g->features = 0;
	if (g->version >= VMB_V6_0)
		g->features = g->cfg.features & vmbi_get32(msg + VMBI_AT(VERSION_RESPONSE, supported_features));
	vmbi_guest_become(g, VMB_BUS_CONNECTED);
	guest_connect_monitor(g, msg);
	VMBI_STORE32_RELAXED(&g->unloadable, g->connection | VMBI_GUEST_UNLOADABLE);
	VMBI_STORE32_RELAXED(&g->by_page, g->version < VMB_V2_4);
	VMBI_STORE32_RELEASE(&g->scan, 1); /* flag 0 is the interrupt page's */
	/* The contact has ended whatever was before. control-plane.md 7.2 step 7, gpadl.md 7.9 */
	if (!guest_connect_kept(g, 0) && g->owed == VMBI_OWED) {
		g->owed = 0;
		g->disconnect_status = 0;
		vmbi_guest_connection_mark(g, VMBI_GE_DISCONNECTED);
	}
	g->connect_status = 0;
	g->connect_said = 0;
	vmbi_guest_connection_mark(g, VMBI_GE_CONNECTED);
	vmbi_guest_connection_send(g, VMBI_MSG_REQUEST_OFFERS);
	return 1;
}

static void vmbi_guest_on_all_offers(struct vmb_guest *g)
{
	vmbi_guest_become(g, VMB_BUS_RUNNING);
	if (g->send == VMBI_MSG_REQUEST_OFFERS) /* should it be waiting to be repeated */
		g->send = 0;
	vmbi_guest_lose(g);
	g->offers_status = 0;
	vmbi_guest_connection_mark(g, VMBI_GE_OFFERS_DONE);
}

static int guest_connect(struct vmb_guest *g)
{
	if (g->state != VMB_BUS_NONE)
		return VMB_ESTATE;
	if (g->cfg.interrupt_page)
		VMBI_CLEAR(g->cfg.interrupt_page, VMB_PAGE);
	for (uint32_t i = 0; i < 2; i++)
		if (g->cfg.monitor_page[i])
			VMBI_CLEAR(g->cfg.monitor_page[i], VMB_PAGE);
	vmbi_guest_unmark(g, VMBI_GUEST_NODE_CONNECTION(g), VMBI_GE_CONNECTED); /* of an attempt before */
	vmbi_guest_become(g, VMB_BUS_CONNECTING);
	g->connect_status = 0;
	g->version = g->only_version ? g->only_version : vmbi_guest_version_below(&g->cfg, UINT32_MAX);
	g->redirected = g->cfg.vtl == VMBI_REDIRECT_VTL;
	vmbi_guest_connection_send(g, VMBI_MSG_INITIATE_CONTACT);
	return 0;
}

int vmb_guest_connect(struct vmb_guest *g)
{
	int r = vmbi_guest_enter(g);

	return r < 0 ? r : vmbi_guest_leave(g, guest_connect(g));
}

/* ---- the end of a connection */

static void guest_connect_ended(struct vmb_guest *g, int32_t status)
{
	guest_connect_none(g);
	if ((guest_connect_kept(g, status != 0) || g->owed & VMBI_OWED_FOR_GOOD) && !status)
		status = VMB_ELEAK;
	g->owed = (g->owed & VMBI_OWED_FOR_GOOD) | (status ? VMBI_OWED : 0);
	g->disconnect_status = status;
	vmbi_guest_connection_mark(g, VMBI_GE_DISCONNECTED);
}

static void vmbi_guest_connection_step(struct vmb_guest *g)
{
	if (g->state != VMB_BUS_LEAVING || g->live != g->kept)
		return;
	vmbi_guest_become(g, VMBI_GUEST_UNLOADING);
	g->paused = 0; /* UNLOAD ends that, too */
	VMBI_MEMSET(g->declined, 0, VMBI_FLAG_WORDS * 4); /* UNLOAD releases all */
	vmbi_guest_connection_send(g, VMBI_MSG_UNLOAD);
}

static void guest_connect_unload_posted(struct vmb_guest *g, int outcome)
{
	if (outcome == VMBI_GUEST_FAILED) {
		guest_connect_ended(g, VMB_EPLATFORM);
	} else if (g->version >= VMB_V1_1) {
		g->answer_due = 1;
		if (outcome == VMBI_GUEST_SENT)
			vmbi_guest_clock(g, g->cfg.unload_ms);
	} else if (outcome == VMBI_GUEST_SENT) {
		/* Such hosts do not tell when they are done: what was leaked stays so. */
		guest_connect_ended(g, g->leaks ? VMB_ELEAK : 0);
	}
}

static int vmbi_guest_on_unloaded(struct vmb_guest *g)
{
	if (!g->answer_due)
		return 0;
	guest_connect_ended(g, 0);
	return 1;
}

static void vmbi_guest_connection_timeout(struct vmb_guest *g)
{
	if (g->asking)
		vmbi_guest_request_timeout(g);
	else if (g->state == VMB_BUS_CONNECTING)
		guest_connect_failed(g, VMB_ETIMEDOUT, 0);
	else
		guest_connect_ended(g, VMB_ETIMEDOUT);
}

static int guest_connect_leave(struct vmb_guest *g)
{
	int pages = g->cfg.interrupt_page || g->cfg.monitor_page[0];

	if (g->state == VMB_BUS_CONNECTING) { /* the host may have the pages, or still what a connection before has left */
		guest_connect_ended(g, g->owed || (g->answer_due && pages) ? VMB_ELEAK : 0);
		return 0;
	}
	if (g->state != VMB_BUS_CONNECTED && g->state != VMB_BUS_RUNNING)
		return VMB_ESTATE;
	/* Nor that an earlier connection is over: of this one it would be untrue, and its own end says the same. */
	vmbi_guest_unmark(g, VMBI_GUEST_NODE_CONNECTION(g),
			  VMBI_GE_CONNECTED | VMBI_GE_OFFERS_DONE | VMBI_GE_MONITOR | VMBI_GE_PAUSED | VMBI_GE_DISCONNECTED);
	g->send = 0; /* what was to be asked has lost its sense */
	g->asking = 0;
	vmbi_guest_clock(g, 0);
	vmbi_guest_become(g, VMB_BUS_LEAVING);
	if (g->paused) /* there is a lot to say first */
		vmbi_guest_connection_send(g, VMBI_MSG_RESUME);
	vmbi_guest_abandon_all(g);
	vmbi_guest_connection_step(g);
	return 0;
}

int vmb_guest_disconnect(struct vmb_guest *g)
{
	int r = vmbi_guest_enter(g);

	return r < 0 ? r : vmbi_guest_leave(g, guest_connect_leave(g));
}

/* ---- messages out */

static uint32_t vmbi_guest_connection_message(struct vmb_guest *g, uint8_t *out, uint32_t *connection)
{
	if (!g->send)
		return 0;
	if (g->send == VMBI_MSG_INITIATE_CONTACT)
		return guest_connect_contact(g, out, connection);
	if (g->send == VMBI_MSG_REQUEST_OFFERS || g->send == VMBI_MSG_UNLOAD)
		return (uint32_t)vmb_message_init(out, VMB_MESSAGE_MAX, g->send, g->version, 0);
	return vmbi_guest_request_message(g, out);
}

static void vmbi_guest_connection_posted(struct vmb_guest *g, int outcome, uint32_t status)
{
	uint32_t type = g->send;

	if (outcome != VMBI_GUEST_MAYBE)
		g->send = 0;
	if (type == VMBI_MSG_INITIATE_CONTACT) {
		guest_connect_contact_posted(g, outcome, status);
	} else if (type == VMBI_MSG_UNLOAD) {
		guest_connect_unload_posted(g, outcome);
	} else if (type != VMBI_MSG_REQUEST_OFFERS) {
		vmbi_guest_request_posted(g, type, outcome, status);
	} else if (outcome == VMBI_GUEST_FAILED) { /* no offers will come */
		g->offers_status = VMB_EPLATFORM;
		vmbi_guest_connection_mark(g, VMBI_GE_OFFERS_DONE);
	}
}

/* ---- lib/bus/guest_offer.c ---- */
/*
 * Offers on the guest: slots and handles, channel ids, rescind, release. control-plane.md 8, 12.5, 20.2
 *
 * A slot is free again as soon as the host has been told, for the same device may be offered at once; that its handle is gone
 * is told from a record. There are enough of those: all handles that are gone and not told were in slots at the time when the
 * last of them was offered.
 */

/* ---- names */

static struct vmbi_gc *vmbi_guest_find(struct vmb_guest *g, vmb_handle ch)
{
	uint32_t slot = vmbi_handle_slot(ch);

	if (!slot || slot > g->cfg.max_channels || g->channels[slot].generation != vmbi_handle_generation(ch) ||
	    !(g->channels[slot].flags & VMBI_GC_SEEN))
		return NULL;
	return &g->channels[slot];
}

static struct vmbi_gc *vmbi_guest_by_id(struct vmb_guest *g, uint32_t id)
{
	uint32_t slot = id <= VMBI_MAX_CHANNEL_ID ? vmbi_guest_map_get(g, g->ids, id) : 0;

	return slot ? &g->channels[slot] : NULL;
}

static uint32_t vmbi_guest_device_key(const struct vmb_offer *o)
{
	uint32_t key = 0;

	for (uint32_t i = 0; i < 16; i += 4) {
		key = (key ^ vmbi_get32(o->instance.byte + i)) * 0x9e3779b1u;
		key = (key ^ (key >> 15) ^ vmbi_get32(o->class_id.byte + i)) * 0x85ebca77u;
	}
	return key | 1u;
}

/* The channel of this device and subchannel of whose flags those in `mask` are `flags`, or NULL. */
static struct vmbi_gc *guest_offer_find(struct vmb_guest *g, const struct vmb_offer *o, uint32_t key, uint32_t subchannel, uint32_t mask,
					uint32_t flags)
{
	for (uint32_t i = g->devices[key >> 1 & g->device_mask]; i; i = g->device_next[i]) {
		struct vmbi_gc *c = &g->channels[i];

		if (g->device_keys[i] == key && (c->flags & mask) == flags && c->offer.subchannel == subchannel &&
		    !VMBI_MEMCMP(&c->offer.class_id, &o->class_id, 16) && !VMBI_MEMCMP(&c->offer.instance, &o->instance, 16))
			return c;
	}
	return NULL;
}

/* The live offer, or NULL: not rescinded, not released. */
static const struct vmbi_gc *guest_offer_same(struct vmb_guest *g, const struct vmb_offer *o, uint32_t key, uint32_t subchannel)
{
	return guest_offer_find(g, o, key, subchannel, VMBI_GC_RESCINDED | VMBI_GC_RELEASED, 0);
}

static void vmbi_guest_device_add(struct vmb_guest *g, uint32_t slot, uint32_t key)
{
	uint32_t *first = &g->devices[key >> 1 & g->device_mask];

	g->device_keys[slot] = key;
	g->device_next[slot] = *first;
	*first = slot;
}

static void guest_offer_device_drop(struct vmb_guest *g, uint32_t slot)
{
	uint32_t *link = &g->devices[g->device_keys[slot] >> 1 & g->device_mask];

	while (*link != slot)
		link = &g->device_next[*link];
	*link = g->device_next[slot];
	g->device_keys[slot] = 0;
}

/* ---- offers that are not taken */

static void guest_offer_decline(struct vmb_guest *g, uint32_t id)
{
	g->declined[id / 32] |= 1u << id % 32;
	vmbi_guest_queue(g, VMBI_GUEST_NODE_DECLINER(g));
}

/* The first id to be declined, or 0. */
static uint32_t guest_offer_first_declined(const struct vmb_guest *g)
{
	for (uint32_t w = 0; w < VMBI_FLAG_WORDS; w++)
		for (uint32_t b = 0; g->declined[w] >> b; b++)
			if (g->declined[w] >> b & 1)
				return w * 32 + b;
	return 0;
}

static uint32_t vmbi_guest_decline_message(struct vmb_guest *g, uint8_t *out)
{
	uint32_t id = guest_offer_first_declined(g);
	int len;

	if (!id)
		return 0;
	len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_REL_ID_RELEASED, g->version, 0);
	vmbi_put32(out + VMBI_AT(REL_ID_RELEASED, channel_id), id);
	return (uint32_t)len;
}

static void vmbi_guest_decline_posted(struct vmb_guest *g, int outcome)
{
	uint32_t id = guest_offer_first_declined(g);

	if (outcome == VMBI_GUEST_MAYBE)
		return;
	g->declined[id / 32] &= ~(1u << id % 32);
	if (guest_offer_first_declined(g))
		vmbi_guest_queue(g, VMBI_GUEST_NODE_DECLINER(g));
}

/* ---- offers */

static void guest_offer_read(const struct vmb_guest *g, const uint8_t *msg, struct vmb_offer *o)
{
	/* Flags that tell what is private mean nothing without their features. control-plane.md 8.1 */
	uint32_t unknown = 0;

	if (!(g->features & VMB_FEATURE_CONFIDENTIAL))
		unknown |= VMB_OFFER_PRIVATE_RING | VMB_OFFER_PRIVATE_MEMORY;
	if (!(g->features & VMB_FEATURE_PINNING))
		unknown |= VMB_OFFER_PINNED;
	VMBI_MEMSET(o, 0, sizeof *o);
	o->flags = vmbi_get16(msg + VMBI_AT(OFFER_CHANNEL, flags)) & ~unknown;
	VMBI_MEMCPY(&o->class_id, msg + VMBI_AT(OFFER_CHANNEL, class_id), 16);
	VMBI_MEMCPY(&o->instance, msg + VMBI_AT(OFFER_CHANNEL, instance_id), 16);
	VMBI_MEMCPY(o->user_defined, msg + VMBI_AT(OFFER_CHANNEL, user_defined), sizeof o->user_defined);
	if (g->version >= VMB_V2_4)
		o->subchannel = vmbi_get16(msg + VMBI_AT(OFFER_CHANNEL, subchannel_index));
	o->mmio_mb = vmbi_get16(msg + VMBI_AT(OFFER_CHANNEL, mmio_megabytes));
	o->mmio_optional_mb = vmbi_get16(msg + VMBI_AT(OFFER_CHANNEL, mmio_megabytes_optional));
	o->channel_id = vmbi_get32(msg + VMBI_AT(OFFER_CHANNEL, channel_id));
	o->connection_id = VMBI_CONNECTION_EVENT;
	if (g->version >= VMB_V1_1)
		o->connection_id = vmbi_get32(msg + VMBI_AT(OFFER_CHANNEL, connection_id));
	o->monitor_id = msg[VMBI_AT(OFFER_CHANNEL, monitor_id)];
	if (!(msg[VMBI_AT(OFFER_CHANNEL, monitor_allocated)] & 1) || o->monitor_id > 127)
		o->monitor_id = 255; /* control-plane.md 8.3: then by hypercall */
}

/* Its id leads to it. */
static void guest_offer_route(struct vmb_guest *g, const struct vmbi_gc *c)
{
	vmbi_guest_map_set(g, g->ids, c->id, vmbi_gc_slot(g, c));
	if (g->scan < c->id / 32 + 1)
		VMBI_STORE32_RELEASE(&g->scan, c->id / 32 + 1);
}

static struct vmbi_gc *guest_offer_slot(struct vmb_guest *g, const struct vmb_offer *o, uint32_t key)
{
	uint32_t slot = g->free_slot, id = o->channel_id;
	struct vmbi_gc *c = &g->channels[slot];

	g->free_slot = c->next;
	if (!g->free_slot)
		g->last_free_slot = 0;
	if (slot > g->slots_used)
		g->slots_used = slot;
	g->live++;
	vmbi_guest_device_add(g, slot, key);
	c->id = id;
	c->generation++;
	c->offer = *o;
	c->opens = c->refused = c->closes = c->lost = 0;
	c->shown_state = c->shown_has = 0;
	vmbi_gc_changed(g, c);
	guest_offer_route(g, c);
	return c;
}

/* No second one of the same channel, no subchannel without its primary, no private buffers with a public ring. control-plane.md 8.6, 16.2 */
static int guest_offer_is_sound(struct vmb_guest *g, const struct vmb_offer *o, uint32_t key)
{
	if ((o->flags & (VMB_OFFER_PRIVATE_RING | VMB_OFFER_PRIVATE_MEMORY)) == VMB_OFFER_PRIVATE_MEMORY)
		return 0;
	return !guest_offer_same(g, o, key, o->subchannel) && (!o->subchannel || guest_offer_same(g, o, key, 0));
}

/* Its owner knows it from before a sleep: the handle stays, all else is new. control-plane.md 14 */
static int guest_offer_adopt(struct vmb_guest *g, const struct vmb_offer *o, uint32_t key, uint32_t dedicated)
{
	struct vmbi_gc *c = o->subchannel ? NULL : guest_offer_find(g, o, key, 0, VMBI_GC_LOST | VMBI_GC_RELEASED | VMBI_GC_ABANDONED, VMBI_GC_LOST);

	if (!c)
		return 0;
	c->flags = (c->flags & ~VMBI_GC_LOST) | VMBI_GC_UNTOLD;
	c->id = o->channel_id;
	c->offer = *o;
	c->dedicated = dedicated;
	guest_offer_route(g, c);
	vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_OFFER);
	return 1;
}

static void vmbi_guest_lose(struct vmb_guest *g)
{
	g->only_version = 0;
	for (uint32_t i = 1; i <= g->slots_used; i++) {
		struct vmbi_gc *c = &g->channels[i];

		if (!(c->flags & VMBI_GC_LOST))
			continue;
		c->flags |= VMBI_GC_RESCINDED; /* its device may be offered again before it is released */
		vmbi_guest_abandon(g, c);
	}
}

static int vmbi_guest_on_offer(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmb_offer o;
	struct vmbi_gc *c;
	uint32_t id, key, dedicated;

	guest_offer_read(g, msg, &o);
	id = o.channel_id;
	if (!id || id > VMBI_MAX_CHANNEL_ID || g->declined[id / 32] >> id % 32 & 1)
		return 0;
	c = vmbi_guest_by_id(g, id);
	if (c && c->flags & VMBI_GC_MAYBE_GONE)
		vmbi_guest_forget(g, c); /* it was released: our message did arrive. control-plane.md 12.3 */
	else if (c)
		return 0;
	key = vmbi_guest_device_key(&o);
	dedicated = g->version >= VMB_V1_1 && vmbi_get16(msg + VMBI_AT(OFFER_CHANNEL, is_dedicated)) & 1;
	if (g->only_version && guest_offer_adopt(g, &o, key, dedicated))
		return 1;
	if (!guest_offer_is_sound(g, &o, key)) {
		guest_offer_decline(g, id);
		return 0;
	}
	if (!g->free_slot) {
		g->refused_quota++;
		g->fate = VMB_FATE_QUOTA;
		guest_offer_decline(g, id);
		return 1;
	}
	c = guest_offer_slot(g, &o, key);
	c->dedicated = dedicated;
	c->socket = vmbi_guest_connect_offered(g, &o);
	vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_OFFER);
	return 1;
}

/* Nobody has seen it: it goes without a word to the embedder. */
static void guest_offer_hide(struct vmb_guest *g, struct vmbi_gc *c)
{
	vmbi_guest_unmark(g, vmbi_gc_slot(g, c), VMBI_GE_OFFER);
	vmbi_guest_connect_lost(g, c->socket);
	vmbi_gc_flag(g, c, VMBI_GC_RELEASED);
	vmbi_guest_settle(g, c);
}

static int vmbi_guest_on_rescind(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gc *c = vmbi_guest_by_id(g, vmbi_get32(msg + VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id)));

	if (!c || c->flags & VMBI_GC_RESCINDED)
		return 0;
	if ((c->flags & VMBI_GC_OPEN_OUT && !(c->flags & VMBI_GC_OPEN_LOST)) || c->flags & VMBI_GC_CLOSE_OUT)
		vmbi_guest_unwait(g, vmbi_gc_slot(g, c));
	/* An OPEN is not answered any more, and the host is off the ring. control-plane.md 10.1, 12.2 */
	c->flags &= ~(VMBI_GC_OPEN_OUT | VMBI_GC_OPEN_LOST | VMBI_GC_HOST_OPEN | VMBI_GC_CLOSE_FAILED | VMBI_GC_CLOSE_OUT);
	vmbi_gc_flag(g, c, VMBI_GC_RESCINDED);
	if (vmbi_guest_is_open_message(c->send) || vmbi_guest_is_close_message(c->send))
		c->send = 0;
	if (!(c->flags & VMBI_GC_SEEN)) {
		guest_offer_hide(g, c);
		return 1;
	}
	vmbi_guest_gpadls_rescinded(g, c);
	vmbi_guest_abandon(g, c);
	vmbi_guest_channel_step(g, c);
	return 1;
}

static void vmbi_guest_abandon_all(struct vmb_guest *g)
{
	for (uint32_t i = 1; i <= g->slots_used; i++) {
		struct vmbi_gc *c = &g->channels[i];

		if (!g->device_keys[i] || vmbi_guest_keep(g, c))
			continue;
		if (c->flags & VMBI_GC_SEEN)
			vmbi_guest_abandon(g, c);
		else
			guest_offer_hide(g, c);
	}
}

/* ---- release */

static void vmbi_guest_settle(struct vmb_guest *g, struct vmbi_gc *c)
{
	uint32_t slot = vmbi_gc_slot(g, c);

	if (!(c->flags & VMBI_GC_RELEASED) || c->state != VMBI_GC_IDLE || c->untold || c->send || g->marks[slot])
		return;
	if (g->state == VMB_BUS_LEAVING || c->flags & (VMBI_GC_KEPT | VMBI_GC_LOST)) {
		vmbi_guest_forget(g, c); /* UNLOAD releases all. control-plane.md 11 */
	} else {
		c->send = VMBI_MSG_REL_ID_RELEASED;
		vmbi_guest_queue(g, slot);
	}
}

static void vmbi_guest_forget(struct vmb_guest *g, struct vmbi_gc *c)
{
	uint32_t slot = vmbi_gc_slot(g, c);

	if (c->flags & VMBI_GC_SEEN) {
		g->gone[g->gone_in] = vmbi_handle(slot, c->generation);
		vmbi_guest_mark(g, VMBI_GUEST_NODE_GONE(g, g->gone_in + 1), VMBI_GE_GONE);
		if (++g->gone_in == g->cfg.max_channels)
			g->gone_in = 0;
	}
	vmbi_guest_gpadls_forget(g, c);
	if (g->cfg.trace)
		vmbi_guest_trace_channel(g, c, 1);
	if (vmbi_guest_map_get(g, g->ids, c->id) == slot) /* else it is another one's already */
		vmbi_guest_map_set(g, g->ids, c->id, 0);
	guest_offer_device_drop(g, slot);
	g->live--;
	if (c->flags & VMBI_GC_KEPT)
		g->kept--;
	if (c->flags & VMBI_GC_RESERVED && c->flags & (VMBI_GC_OPEN_OUT | VMBI_GC_HOST_OPEN))
		g->owed |= VMBI_OWED_FOR_GOOD; /* it could not be closed, and stays open whatever ends. control-plane.md 10.5 */
	c->id = 0;
	c->flags = 0;
	c->send = 0;
	c->next = 0;
	if (c->generation < VMBI_GENERATION_MAX) { /* else its handles are used up */
		if (g->last_free_slot)
			g->channels[g->last_free_slot].next = slot;
		else
			g->free_slot = slot;
		g->last_free_slot = slot;
	}
	vmbi_guest_connection_step(g);
}

int vmb_guest_release(struct vmb_guest *g, vmb_handle ch)
{
	struct vmbi_gc *c;
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	c = vmbi_guest_find(g, ch);
	if (!c)
		return vmbi_guest_leave(g, VMB_EHANDLE);
	if (c->flags & VMBI_GC_RELEASED)
		return vmbi_guest_leave(g, VMB_ESTATE);
	vmbi_gc_flag(g, c, VMBI_GC_RELEASED);
	c->flags &= ~VMBI_GC_UNTOLD; /* nor is it told again after a restore */
	vmbi_guest_unmark(g, vmbi_gc_slot(g, c), VMBI_GE_OFFER | VMBI_GE_OPENED | VMBI_GE_TARGET | VMBI_GE_RESCINDED);
	vmbi_guest_gpadls_released(g, c);
	if (g->version < VMB_V4_0) /* device lists go before CLOSE there, after it later: gpadl.md 7.6 */
		vmbi_guest_gpadls_down(g, c);
	if (c->flags & VMBI_GC_OBJECT)
		vmbi_guest_give_back(g, c);
	else
		vmbi_guest_channel_step(g, c);
	return vmbi_guest_leave(g, 0);
}

int vmb_guest_offer(struct vmb_guest *g, vmb_handle ch, struct vmb_offer *out)
{
	struct vmbi_gc *c;
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	c = vmbi_guest_find(g, ch);
	if (!c)
		r = VMB_EHANDLE;
	else
		r = out ? vmbi_struct_out(out, &c->offer, sizeof c->offer, sizeof c->offer) : VMB_EINVAL;
	return vmbi_guest_leave(g, r);
}

/* ---- lib/bus/guest_open.c ---- */
/*
 * The life of a channel object on the guest: ring list, OPEN, OPEN_RESULT, MODIFY, CLOSE, and back. control-plane.md 10,
 * gpadl.md 7
 *
 * A CLOSE is refused by a host that is still opening (control-plane.md 17.2), so an object given back early waits for the
 * OPEN_RESULT. After a RESCIND there will be none, and neither CLOSE nor TEARDOWN are needed.
 */

/* ---- open */

static int guest_open_config(const struct vmbi_gc *c, const struct vmb_open *open, struct vmb_channel_config *cfg)
{
	uint8_t *ring = open->ring;

	if (cfg->tx_at.valid || cfg->rx_at.valid)
		return VMB_EINVAL;
	if (ring) {
		uint32_t at = open->tx_pages * VMB_PAGE;

		if ((uintptr_t)ring % VMB_PAGE)
			return VMB_EINVAL;
		cfg->tx = (struct vmb_ring_mem){ ring, ring + VMB_PAGE, NULL, open->tx_pages - 1, 0 };
		cfg->rx = (struct vmb_ring_mem){ ring + at, ring + at + VMB_PAGE, NULL, open->rx_pages - 1, 0 };
	} else if (!cfg->tx.control || !cfg->rx.control || cfg->tx.data_pages != open->tx_pages - 1 ||
		   cfg->rx.data_pages != open->rx_pages - 1) {
		return VMB_EINVAL;
	}
	cfg->tx.flags |= VMB_RING_FRESH; /* where there are cursors, nothing is cleared */
	cfg->rx.flags |= VMB_RING_FRESH;
	cfg->flags &= ~VMB_CHANNEL_PIPE;
	if (c->offer.flags & VMB_OFFER_PIPE && !(cfg->flags & VMB_CHANNEL_RAW))
		cfg->flags |= VMB_CHANNEL_PIPE;
	return 0;
}

static int guest_open_check(const struct vmb_open *open)
{
	uint32_t pages = open->tx_pages + open->rx_pages;

	if (open->tx_pages < 2 || open->rx_pages < 2 || open->tx_pages > VMBI_GPADL_WORDS_MAX ||
	    open->rx_pages > VMBI_GPADL_WORDS_MAX || pages >= VMBI_GPADL_WORDS_MAX)
		return VMB_EINVAL;
	if (open->pfns)
		return open->ring_gpa ? VMB_EINVAL : 0;
	if (!open->ring_gpa || open->ring_gpa % VMB_PAGE || open->ring_gpa > UINT64_MAX - (uint64_t)pages * VMB_PAGE)
		return VMB_EINVAL;
	return 0;
}

/* What this version and these features allow. control-plane.md 6.4, 9.3, 10.5 */
static int guest_open_parameters(const struct vmb_guest *g, const struct vmbi_gc *c, const struct vmb_open *open)
{
	uint32_t flag = open->event_flag ? open->event_flag : c->id;

	if (open->flags & VMB_OPEN_RESERVED) {
		if (open->flags != VMB_OPEN_RESERVED || open->target_vp == VMB_VP_NONE || open->target_sint > 15 || open->connection_id ||
		    open->event_flag)
			return VMB_EINVAL;
		return g->version < VMB_V4_0 ? VMB_EVERSION : 0;
	}
	if (open->flags & ~VMB_OPEN_REDIRECT || open->target_sint || open->connection_id >> 24 || flag > VMBI_MAX_CHANNEL_ID)
		return VMB_EINVAL;
	if (open->flags && !(g->features & VMB_FEATURE_REDIRECT))
		return VMB_EVERSION;
	if ((open->connection_id || open->event_flag) && !(g->features & VMB_FEATURE_SIGNAL_PARAMETERS))
		return VMB_EVERSION;
	return vmbi_guest_map_get(g, g->event_slots, flag) ? VMB_EINVAL : 0; /* another open channel's */
}

/* How this channel signals the host. control-plane.md 9.1, 9.4 */
static void guest_open_route(const struct vmb_guest *g, struct vmbi_gc *c, const struct vmb_open *open)
{
	int swapping = g->send == VMBI_MSG_MODIFY_CONNECTION || g->asking == VMBI_MSG_MODIFY_CONNECTION;

	c->signal_connection = g->version < VMB_V1_1 ? VMBI_CONNECTION_EVENT : c->offer.connection_id;
	if (open->connection_id)
		c->signal_connection = open->connection_id;
	c->signal_page = g->cfg.interrupt_page && !c->dedicated;
	/* A channel without interrupts gets no monitored notifications. control-plane.md 9.4 */
	c->signal_monitor = 0;
	if (g->monitor_page[1] && !swapping && c->target_vp != VMB_VP_NONE && c->offer.monitor_id < 128)
		c->signal_monitor = c->offer.monitor_id + 1;
	c->monitor_page = g->monitor_page[1];
}

/* Its event flag leads to it from here to the end of the open: where there are interrupts. */
static void guest_open_claim(struct vmb_guest *g, struct vmbi_gc *c, const struct vmb_open *open)
{
	uint32_t words;

	c->flag = open->event_flag ? open->event_flag : c->id;
	if (c->flags & VMBI_GC_RESERVED)
		return;
	words = c->flag / 32 + 1;
	vmbi_guest_map_set(g, g->event_slots, c->flag, vmbi_gc_slot(g, c));
	if (g->scan < words)
		VMBI_STORE32_RELEASE(&g->scan, words);
}

static void guest_open_unclaim(struct vmb_guest *g, const struct vmbi_gc *c)
{
	if (!(c->flags & VMBI_GC_RESERVED))
		vmbi_guest_map_set(g, g->event_slots, c->flag, 0);
}

static void guest_open_announce(struct vmb_guest *g, struct vmbi_gc *c, const struct vmb_open *open)
{
	uint32_t pages = open->tx_pages + open->rx_pages;
	uint64_t *words;
	struct vmbi_gg *d = vmbi_guest_gpadl_new(g, c, pages + 1, 1, VMBI_GG_RING, &words);

	words[0] = VMB_RANGE(pages * VMB_PAGE, 0);
	for (uint32_t i = 0; i < pages; i++)
		words[1 + i] = open->pfns ? open->pfns[i] : open->ring_gpa / VMB_PAGE + i;
	c->ring = vmbi_gg_index(g, d);
}

/* The object, in the owner's memory. */
static int guest_open_make(struct vmbi_gc *c, void *mem, size_t bytes, struct vmb_channel_config *cfg)
{
	cfg->ctx = c;
	cfg->signal = vmbi_guest_signal_host;
	return vmbi_channel_make(mem, bytes, cfg, 1, &c->object);
}

static void guest_open_wake(struct vmb_guest *g, const struct vmbi_gc *c)
{
	if (g->cfg.wake && !(c->flags & VMBI_GC_AWAY))
		g->cfg.wake(g->cfg.ctx, c->user);
}

/* It was open when it was saved: the same rings again, as they are. Both sides look once, for what was signalled may have been lost.
 * control-plane.md 18 */
static int guest_open_again(struct vmb_guest *g, struct vmbi_gc *c, void *mem, size_t bytes, struct vmb_channel_config *cfg,
			    const struct vmb_open *open)
{
	uint32_t flags = (c->flags & VMBI_GC_RESERVED ? VMB_OPEN_RESERVED : 0) | (c->redirect ? VMB_OPEN_REDIRECT : 0);
	int r;

	if (!vmbi_guest_may_reopen(c))
		return VMB_ESTATE;
	if ((r = guest_open_check(open)) < 0 || (r = guest_open_config(c, open, cfg)) < 0)
		return r;
	if (open->flags != flags || open->tx_pages != c->tx_pages ||
	    open->tx_pages + open->rx_pages + 1 != g->gpadls[c->ring].words ||
	    (open->event_flag ? open->event_flag : c->id) != c->flag)
		return VMB_EINVAL;
	cfg->tx_at = c->tx_at;
	cfg->rx_at = c->rx_at;
	r = guest_open_make(c, mem, bytes, cfg);
	if (r < 0)
		return r;
	c->flags &= ~VMBI_GC_AWAY;
	c->user = open->user;
	vmbi_signals_watch(&c->object->signals, g->now, g->cfg.signal_budget);
	if (c->state != VMBI_GC_CREATING)
		vmbi_gate_open(&c->gate);
	if (c->state == VMBI_GC_OPEN) {
		c->open_status = 0;
		c->open_said = 0;
		vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_OPENED);
		guest_open_wake(g, c);
		vmbi_guest_signal_host(c);
	}
	return 0;
}

static int guest_open(struct vmb_guest *g, struct vmbi_gc *c, void *mem, size_t bytes, const struct vmb_channel_config *config,
		      const struct vmb_open *caller, struct vmb_channel **out)
{
	struct vmb_channel_config cfg;
	struct vmb_open open;
	int r = vmbi_struct_in(&cfg, sizeof cfg, config, sizeof cfg);

	if (r < 0 || (r = vmbi_struct_in(&open, sizeof open, caller, sizeof open)) < 0)
		return r;
	if (c->flags & VMBI_GC_AWAY) {
		r = guest_open_again(g, c, mem, bytes, &cfg, &open);
		*out = r < 0 ? *out : c->object;
		return r;
	}
	if (c->state != VMBI_GC_IDLE ||
	    c->flags & (VMBI_GC_RELEASED | VMBI_GC_ABANDONED | VMBI_GC_OPEN_OUT | VMBI_GC_HOST_OPEN | VMBI_GC_LOST))
		return VMB_ESTATE;
	if ((r = guest_open_check(&open)) < 0 || (r = guest_open_config(c, &open, &cfg)) < 0 ||
	    (r = guest_open_parameters(g, c, &open)) < 0)
		return r;
	if (!vmbi_guest_gpadl_room(g, open.tx_pages + open.rx_pages + 1))
		return VMB_ENOSPACE;
	r = guest_open_make(c, mem, bytes, &cfg);
	if (r < 0)
		return r;
	c->flags = (c->flags & ~(VMBI_GC_LEAK | VMBI_GC_RESERVED)) | VMBI_GC_OBJECT;
	if (open.flags & VMB_OPEN_RESERVED)
		c->flags |= VMBI_GC_RESERVED;
	c->user = open.user;
	c->target_vp = open.flags & VMB_OPEN_RESERVED ? VMB_VP_NONE : open.target_vp;
	c->result_vp = open.target_vp;
	c->result_sint = open.target_sint;
	c->redirect = open.flags & VMB_OPEN_REDIRECT;
	c->tx_pages = open.tx_pages;
	VMBI_MEMCPY(c->user_data, open.user_data, sizeof c->user_data);
	guest_open_route(g, c, &open);
	guest_open_claim(g, c, &open);
	vmbi_gc_become(g, c, VMBI_GC_CREATING);
	guest_open_announce(g, c, &open);
	vmbi_signals_watch(&c->object->signals, g->now, g->cfg.signal_budget);
	g->objects++;
	*out = c->object;
	return 0;
}

int vmb_guest_open(struct vmb_guest *g, vmb_handle ch, void *mem, size_t bytes, const struct vmb_channel_config *cfg,
		   const struct vmb_open *open, struct vmb_channel **out)
{
	struct vmbi_gc *c;
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	c = vmbi_guest_find(g, ch);
	if (!c)
		r = VMB_EHANDLE;
	else if (!mem || !cfg || !open || !out)
		r = VMB_EINVAL;
	else
		r = guest_open(g, c, mem, bytes, cfg, open, out);
	return vmbi_guest_leave(g, r);
}

/* ---- the open comes to an end */

/* Ask the owner for the object; who is away will see. */
static void guest_open_stop(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (!(c->flags & VMBI_GC_AWAY))
		vmbi_channel_stop(c->object);
	guest_open_wake(g, c);
}

/* It will not work: the owner is asked for the object. */
static void guest_open_fail(struct vmb_guest *g, struct vmbi_gc *c, int32_t status, uint32_t said)
{
	if (c->state != VMBI_GC_CREATING && c->state != VMBI_GC_OPENING)
		return;
	c->refused++;
	vmbi_gc_become(g, c, VMBI_GC_FAILED);
	c->open_status = status;
	c->open_said = said;
	if (vmbi_guest_is_open_message(c->send) && !(c->flags & VMBI_GC_OPEN_OUT))
		c->send = 0;
	vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_OPENED);
	guest_open_stop(g, c);
}

static void vmbi_guest_ring_created(struct vmb_guest *g, struct vmbi_gc *c, int32_t status, uint32_t said)
{
	if (status) {
		guest_open_fail(g, c, status, said);
	} else if (c->state == VMBI_GC_CREATING) {
		vmbi_gc_become(g, c, VMBI_GC_OPENING);
		c->open_id = g->opens++ << VMBI_SLOT_BITS | c->id; /* the slot bits hold any channel id */
		c->send = VMBI_MSG_OPEN_CHANNEL;
		if (c->flags & VMBI_GC_RESERVED) {
			c->open_id = 0;
			c->send = VMBI_MSG_OPEN_RESERVED_CHANNEL;
		}
		if (!(c->flags & VMBI_GC_AWAY))
			vmbi_gate_open(&c->gate); /* interrupts may come before the result. control-plane.md 9.6 */
		vmbi_guest_queue(g, vmbi_gc_slot(g, c));
	}
}

static void guest_open_target_event(struct vmb_guest *g, struct vmbi_gc *c, int32_t status, uint32_t said)
{
	if (!(c->flags & VMBI_GC_TARGET))
		return;
	c->flags &= ~VMBI_GC_TARGET;
	c->target_status = status;
	c->target_said = said;
	vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_TARGET);
}

static void vmbi_guest_abandon(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & VMBI_GC_ABANDONED)
		return;
	vmbi_gc_flag(g, c, VMBI_GC_ABANDONED);
	guest_open_target_event(g, c, VMB_ERESCINDED, 0);
	if (c->send == VMBI_MSG_MODIFY_CHANNEL && !(c->flags & VMBI_GC_MODIFY_OUT))
		c->send = 0;
	if (!(c->flags & VMBI_GC_RELEASED))
		vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_RESCINDED);
	if (!(c->flags & VMBI_GC_OBJECT))
		return;
	if (c->state != VMBI_GC_OPEN) {
		guest_open_fail(g, c, VMB_ERESCINDED, 0);
		return;
	}
	c->lost++;
	guest_open_stop(g, c);
}

/* UNLOAD has not been said yet: when the host closes this reserved channel, it keeps the lists of it as of any other. control-plane.md 10.5 */
static void guest_open_unkeep(struct vmb_guest *g, struct vmbi_gc *c)
{
	c->flags &= ~VMBI_GC_KEPT;
	g->kept--;
	vmbi_guest_abandon(g, c);
}

static void vmbi_guest_give_back(struct vmb_guest *g, struct vmbi_gc *c)
{
	uint32_t slot = vmbi_gc_slot(g, c);
	struct vmb_cursor tx, rx;

	/* Stopped first: what was put and not flushed is not sent. After the second the object looks at the rings no more. */
	if (!(c->flags & VMBI_GC_AWAY)) {
		vmbi_channel_stop(c->object);
		vmbi_channel_cursors(c->object, &tx, &rx);
	}
	vmbi_guest_unmark(g, slot, VMBI_GE_OPENED | VMBI_GE_TARGET);
	c->flags &= ~(VMBI_GC_OBJECT | VMBI_GC_TARGET | VMBI_GC_AWAY);
	if ((vmbi_guest_is_open_message(c->send) && !(c->flags & VMBI_GC_OPEN_OUT)) ||
	    (c->send == VMBI_MSG_MODIFY_CHANNEL && !(c->flags & VMBI_GC_MODIFY_OUT)))
		c->send = 0;
	c->closes += c->state == VMBI_GC_OPEN && !(c->flags & VMBI_GC_ABANDONED);
	vmbi_gc_become(g, c, VMBI_GC_CLOSING);
	if (!vmbi_gate_close(&c->gate))
		vmbi_fifo_append(&g->draining, g->drain_links, slot);
	if (c->flags & VMBI_GC_KEPT && g->state == VMB_BUS_LEAVING)
		guest_open_unkeep(g, c);
	vmbi_guest_channel_step(g, c);
}

/* ---- what is left to do */

static void guest_open_send(struct vmb_guest *g, struct vmbi_gc *c, uint32_t type)
{
	if (c->send == type)
		return;
	c->send = type;
	vmbi_guest_queue(g, vmbi_gc_slot(g, c));
}

/* A reserved channel's is answered. */
static void guest_open_send_close(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (!(c->flags & VMBI_GC_RESERVED))
		guest_open_send(g, c, VMBI_MSG_CLOSE_CHANNEL);
	else if (!(c->flags & VMBI_GC_CLOSE_OUT))
		guest_open_send(g, c, VMBI_MSG_CLOSE_RESERVED_CHANNEL);
}

/* The object is back: CLOSE, then the ring's list. 1: nothing stands in the way of EV_CLOSED any more. */
static int guest_open_closing(struct vmb_guest *g, struct vmbi_gc *c)
{
	struct vmbi_gg *ring = c->ring ? &g->gpadls[c->ring] : NULL;

	/* Not the gate itself: once it was empty, those that pass through it do not matter. */
	if (g->drain_links[vmbi_gc_slot(g, c)].in)
		return 0;
	if (c->flags & VMBI_GC_MODIFY_OUT && !(c->flags & VMBI_GC_MODIFY_LOST))
		return 0;
	if (c->flags & VMBI_GC_OPEN_OUT) {
		if (!(c->flags & VMBI_GC_OPEN_LOST))
			return 0;
		vmbi_guest_gpadl_leak(g, ring);
	} else if (c->flags & VMBI_GC_HOST_OPEN) {
		if (!(c->flags & VMBI_GC_CLOSE_FAILED)) {
			guest_open_send_close(g, c);
			return 0;
		}
		vmbi_guest_gpadl_leak(g, ring);
	} else if (ring) {
		vmbi_guest_gpadl_down(g, ring);
	}
	return !c->ring || c->flags & VMBI_GC_LEAK;
}

/* After a leak was told, an answer has come: leave nothing at the host. */
static void guest_open_clean_up(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & (VMBI_GC_OPEN_OUT | VMBI_GC_CLOSE_FAILED | VMBI_GC_RELEASED))
		return;
	if (c->flags & VMBI_GC_HOST_OPEN)
		guest_open_send_close(g, c);
	else if (c->ring)
		vmbi_guest_gpadl_down(g, &g->gpadls[c->ring]);
}

/* Has the host still to hear of a CLOSE? */
static int guest_open_is_up(const struct vmbi_gc *c)
{
	return (c->flags & VMBI_GC_OPEN_OUT && !(c->flags & VMBI_GC_OPEN_LOST)) ||
	       (c->flags & VMBI_GC_HOST_OPEN && !(c->flags & VMBI_GC_CLOSE_FAILED));
}

static void vmbi_guest_channel_step(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & VMBI_GC_OBJECT)
		return;
	if (c->flags & VMBI_GC_RELEASED && !guest_open_is_up(c))
		vmbi_guest_gpadls_down(g, c);
	if (c->state != VMBI_GC_CLOSING) {
		guest_open_clean_up(g, c);
	} else if (guest_open_closing(g, c)) {
		vmbi_gc_become(g, c, VMBI_GC_CLOSED);
		guest_open_unclaim(g, c);
		vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_CLOSED);
	}
	vmbi_guest_settle(g, c);
}

/* ---- messages out */

static uint32_t guest_open_message(struct vmb_guest *g, const struct vmbi_gc *c, uint8_t *out)
{
	int len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_OPEN_CHANNEL, g->version, g->features);

	vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, channel_id), c->id);
	vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, open_id), c->open_id);
	vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, ring_gpadl), g->gpadls[c->ring].id);
	vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, target_vp), c->target_vp);
	vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, downstream_page_offset), c->tx_pages);
	VMBI_MEMCPY(out + VMBI_AT(OPEN_CHANNEL, user_data), c->user_data, sizeof c->user_data);
	if (g->features & VMB_FEATURE_SIGNAL_PARAMETERS) {
		vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, connection_id), c->signal_connection);
		vmbi_put16(out + VMBI_AT(OPEN_CHANNEL, event_flag), (uint16_t)c->flag);
	}
	if (c->redirect)
		vmbi_put16(out + VMBI_AT(OPEN_CHANNEL, open_flags), 1);
	return (uint32_t)len;
}

static uint32_t guest_open_reserved_message(struct vmb_guest *g, const struct vmbi_gc *c, uint8_t *out)
{
	int len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_OPEN_RESERVED_CHANNEL, g->version, 0);

	vmbi_put32(out + VMBI_AT(OPEN_RESERVED_CHANNEL, channel_id), c->id);
	vmbi_put32(out + VMBI_AT(OPEN_RESERVED_CHANNEL, target_vp), c->result_vp);
	vmbi_put32(out + VMBI_AT(OPEN_RESERVED_CHANNEL, target_sint), c->result_sint);
	vmbi_put32(out + VMBI_AT(OPEN_RESERVED_CHANNEL, ring_gpadl), g->gpadls[c->ring].id);
	vmbi_put32(out + VMBI_AT(OPEN_RESERVED_CHANNEL, downstream_page_offset), c->tx_pages);
	return (uint32_t)len;
}

static uint32_t vmbi_guest_channel_message(struct vmb_guest *g, struct vmbi_gc *c, uint8_t *out)
{
	int len;

	if (!c->send)
		return 0;
	if (c->send == VMBI_MSG_OPEN_CHANNEL)
		return guest_open_message(g, c, out);
	if (c->send == VMBI_MSG_OPEN_RESERVED_CHANNEL)
		return guest_open_reserved_message(g, c, out);
	if (c->send == VMBI_MSG_CLOSE_RESERVED_CHANNEL)
		return vmbi_guest_close_reserved_message(out, c->id, c->result_vp, c->result_sint);
	len = vmb_message_init(out, VMB_MESSAGE_MAX, c->send, g->version, 0);
	vmbi_put32(out + VMBI_AT(CLOSE_CHANNEL, channel_id), c->id); /* the same place in CLOSE, MODIFY and REL_ID_RELEASED */
	if (c->send == VMBI_MSG_MODIFY_CHANNEL)
		vmbi_put32(out + VMBI_AT(MODIFY_CHANNEL, target_vp), c->new_vp);
	return (uint32_t)len;
}

static void guest_open_posted(struct vmb_guest *g, struct vmbi_gc *c, int outcome, uint32_t status)
{
	if (outcome != VMBI_GUEST_FAILED) {
		c->flags |= VMBI_GC_OPEN_OUT;
		if (outcome == VMBI_GUEST_SENT)
			vmbi_guest_wait(g, vmbi_gc_slot(g, c));
		return;
	}
	if (c->flags & VMBI_GC_OPEN_OUT)
		c->flags |= VMBI_GC_OPEN_LOST;
	guest_open_fail(g, c, VMB_EPLATFORM, status);
	vmbi_guest_channel_step(g, c);
}

static void guest_open_close_posted(struct vmb_guest *g, struct vmbi_gc *c, int outcome)
{
	if (outcome == VMBI_GUEST_FAILED)
		c->flags |= VMBI_GC_CLOSE_FAILED;
	else if (c->flags & VMBI_GC_RESERVED)
		c->flags |= VMBI_GC_CLOSE_OUT;
	else if (outcome == VMBI_GUEST_SENT)
		c->flags &= ~VMBI_GC_HOST_OPEN;
	if (outcome == VMBI_GUEST_SENT && c->flags & VMBI_GC_CLOSE_OUT)
		vmbi_guest_wait(g, vmbi_gc_slot(g, c));
	if (outcome != VMBI_GUEST_MAYBE)
		vmbi_guest_channel_step(g, c);
}

static void guest_open_modify_posted(struct vmb_guest *g, struct vmbi_gc *c, int outcome, uint32_t status)
{
	if (outcome == VMBI_GUEST_FAILED) {
		if (c->flags & VMBI_GC_MODIFY_OUT)
			c->flags |= VMBI_GC_MODIFY_LOST;
		guest_open_target_event(g, c, VMB_EPLATFORM, status);
		vmbi_guest_channel_step(g, c);
	} else if (g->version >= VMB_V5_3) {
		c->flags |= VMBI_GC_MODIFY_OUT;
		if (outcome == VMBI_GUEST_SENT)
			vmbi_guest_wait(g, vmbi_gc_slot(g, c));
	} else if (outcome == VMBI_GUEST_SENT) {
		c->target_vp = c->new_vp;
		guest_open_target_event(g, c, 0, 0); /* nothing will tell when the host obeys. control-plane.md 10.3 */
	}
}

static void vmbi_guest_channel_posted(struct vmb_guest *g, struct vmbi_gc *c, int outcome, uint32_t status)
{
	uint32_t type = c->send;

	if (outcome != VMBI_GUEST_MAYBE)
		c->send = 0;
	switch (type) {
	case VMBI_MSG_OPEN_CHANNEL:
	case VMBI_MSG_OPEN_RESERVED_CHANNEL:
		guest_open_posted(g, c, outcome, status);
		break;
	case VMBI_MSG_CLOSE_CHANNEL:
	case VMBI_MSG_CLOSE_RESERVED_CHANNEL:
		guest_open_close_posted(g, c, outcome);
		break;
	case VMBI_MSG_MODIFY_CHANNEL:
		guest_open_modify_posted(g, c, outcome, status);
		break;
	default: /* REL_ID_RELEASED. If it cannot be told, the id is never offered again: no harm */
		if (outcome == VMBI_GUEST_MAYBE)
			c->flags |= VMBI_GC_MAYBE_GONE;
		else
			vmbi_guest_forget(g, c);
	}
}

/* ---- messages in, and their absence */

static int vmbi_guest_on_opened(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gc *c = vmbi_guest_by_id(g, vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL_RESULT, channel_id)));
	uint32_t status = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL_RESULT, status));
	int late;

	if (!c || !(c->flags & VMBI_GC_OPEN_OUT) || c->open_id != vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL_RESULT, open_id)))
		return 0;
	late = !!(c->flags & VMBI_GC_OPEN_LOST);
	vmbi_guest_unwait(g, vmbi_gc_slot(g, c));
	c->flags &= ~(VMBI_GC_OPEN_OUT | VMBI_GC_OPEN_LOST);
	if (vmbi_guest_is_open_message(c->send))
		c->send = 0;
	if (!status)
		c->flags |= VMBI_GC_HOST_OPEN;
	if (status) {
		guest_open_fail(g, c, VMB_EREFUSED, status);
	} else if (c->state == VMBI_GC_OPENING) {
		c->opens++;
		vmbi_gc_become(g, c, VMBI_GC_OPEN);
		c->open_status = 0;
		c->open_said = 0;
		vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_OPENED);
		guest_open_wake(g, c); /* a signal may have come to nobody. ring.md 10.4 R10 */
	}
	vmbi_guest_channel_step(g, c);
	return !late;
}

static int vmbi_guest_on_modified(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gc *c = vmbi_guest_by_id(g, vmbi_get32(msg + VMBI_AT(MODIFY_CHANNEL_RESPONSE, channel_id)));
	uint32_t status = vmbi_get32(msg + VMBI_AT(MODIFY_CHANNEL_RESPONSE, status));
	int late;

	if (!c || !(c->flags & VMBI_GC_MODIFY_OUT))
		return 0;
	late = !!(c->flags & VMBI_GC_MODIFY_LOST);
	if (!late) /* else the wait may be another's */
		vmbi_guest_unwait(g, vmbi_gc_slot(g, c));
	c->flags &= ~(VMBI_GC_MODIFY_OUT | VMBI_GC_MODIFY_LOST);
	if (c->send == VMBI_MSG_MODIFY_CHANNEL)
		c->send = 0;
	if (!status)
		c->target_vp = c->new_vp;
	guest_open_target_event(g, c, status ? VMB_EREFUSED : 0, status);
	vmbi_guest_channel_step(g, c);
	return !late;
}

static void vmbi_guest_channel_timeout(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & VMBI_GC_OPEN_OUT) {
		c->flags |= VMBI_GC_OPEN_LOST;
		guest_open_fail(g, c, VMB_ETIMEDOUT, 0);
	} else if (c->flags & VMBI_GC_CLOSE_OUT) {
		c->flags |= VMBI_GC_CLOSE_FAILED;
	} else {
		c->flags |= VMBI_GC_MODIFY_LOST;
		guest_open_target_event(g, c, VMB_ETIMEDOUT, 0);
	}
	vmbi_guest_channel_step(g, c);
}

/* CLOSE_RESERVED_RESPONSE. A host that nobody is connected to, or another connection, drops the channel with its lists. control-plane.md 10.5 */
static int vmbi_guest_on_reserved_closed(struct vmb_guest *g, const uint8_t *msg)
{
	uint32_t id = vmbi_get32(msg + VMBI_AT(CLOSE_RESERVED_RESPONSE, channel_id));
	struct vmbi_gc *c = vmbi_guest_by_id(g, id);
	int late;

	if (!c || !(c->flags & VMBI_GC_CLOSE_OUT))
		return vmbi_guest_on_closer(g, id);
	late = !!(c->flags & VMBI_GC_CLOSE_FAILED);
	vmbi_guest_unwait(g, vmbi_gc_slot(g, c));
	c->flags &= ~(VMBI_GC_CLOSE_OUT | VMBI_GC_CLOSE_FAILED | VMBI_GC_HOST_OPEN);
	if (c->send == VMBI_MSG_CLOSE_RESERVED_CHANNEL)
		c->send = 0;
	if (c->flags & VMBI_GC_KEPT) {
		vmbi_gc_flag(g, c, VMBI_GC_RESCINDED);
		vmbi_guest_map_set(g, g->ids, id, 0); /* it may be offered at once */
		if (c->flags & VMBI_GC_UNPROVEN) /* the lists are where the connection is */
			vmbi_guest_gpadls_kept(g, c, 0);
		vmbi_guest_gpadls_rescinded(g, c);
		vmbi_guest_abandon(g, c);
	}
	vmbi_guest_channel_step(g, c);
	return !late;
}

static int vmbi_guest_keep(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & VMBI_GC_KEPT)
		return 1;
	if (!(c->flags & VMBI_GC_RESERVED) || c->state != VMBI_GC_OPEN || c->flags & VMBI_GC_ABANDONED)
		return 0;
	vmbi_gc_flag(g, c, VMBI_GC_KEPT);
	g->kept++;
	return 1;
}

/* ---- calls on an open channel */

int vmb_guest_close(struct vmb_guest *g, vmb_handle ch)
{
	struct vmbi_gc *c;
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	c = vmbi_guest_find(g, ch);
	if (!c)
		r = VMB_EHANDLE;
	else if (!(c->flags & VMBI_GC_OBJECT))
		r = VMB_ESTATE;
	else
		vmbi_guest_give_back(g, c);
	return vmbi_guest_leave(g, r);
}

static int guest_open_target(struct vmb_guest *g, vmb_handle ch, uint32_t vp)
{
	struct vmbi_gc *c = vmbi_guest_find(g, ch);

	if (!c)
		return VMB_EHANDLE;
	if (vp == VMB_VP_NONE)
		return VMB_EINVAL;
	if (g->version < VMB_V4_1)
		return VMB_EVERSION;
	if (c->state != VMBI_GC_OPEN || c->flags & VMBI_GC_ABANDONED || c->target_vp == VMB_VP_NONE ||
	    c->send == VMBI_MSG_MODIFY_CHANNEL || c->flags & (VMBI_GC_MODIFY_OUT | VMBI_GC_TARGET) ||
	    g->marks[vmbi_gc_slot(g, c)] & VMBI_GE_TARGET)
		return VMB_ESTATE;
	c->new_vp = vp;
	c->flags |= VMBI_GC_TARGET;
	guest_open_send(g, c, VMBI_MSG_MODIFY_CHANNEL);
	return 0;
}

int vmb_guest_target(struct vmb_guest *g, vmb_handle ch, uint32_t vp)
{
	int r = vmbi_guest_enter(g);

	return r < 0 ? r : vmbi_guest_leave(g, guest_open_target(g, ch, vp));
}

int vmb_guest_targets(struct vmb_guest *g, uint32_t vp, uint32_t *cursor, vmb_handle *ch)
{
	int r = cursor && ch ? vmbi_guest_enter(g) : VMB_EINVAL;

	if (r < 0)
		return r;
	while (*cursor < g->slots_used) {
		const struct vmbi_gc *c = &g->channels[++*cursor];

		if (c->flags & VMBI_GC_OBJECT && c->target_vp == vp && vp != VMB_VP_NONE) {
			*ch = vmbi_handle(*cursor, c->generation);
			return vmbi_guest_leave(g, VMB_YES);
		}
	}
	return vmbi_guest_leave(g, 0);
}

/* ---- lib/bus/guest_gpadl.c ---- */
/*
 * Page lists of the guest: of rings, and those that packets name. A list lies in the end's arena only while it is being
 * announced. gpadl.md 7
 *
 * Each list ends with exactly one report: to the channel for a ring, else EV_GPADL with an error or EV_GPADL_DOWN. The report
 * says that the memory is free, or VMB_ELEAK. After a leak the entry stays for a late answer: a list that came to life after
 * all is torn down.
 */

/* ---- entries */

static struct vmbi_gg *guest_gpadl_find(struct vmb_guest *g, uint32_t id)
{
	uint32_t k = g->gpadl_map[id & g->gpadl_mask];

	return k && g->gpadls[k].id == id ? &g->gpadls[k] : NULL;
}

/* The next id whose place in the map is free: unique over the connection, and not 0. */
static uint32_t guest_gpadl_id(struct vmb_guest *g)
{
	while (!g->next_gpadl || g->gpadl_map[g->next_gpadl & g->gpadl_mask])
		g->next_gpadl++;
	return g->next_gpadl++;
}

/* Move the lists in the arena together. They lie there in the order in which they came. */
static void guest_gpadl_pack(struct vmb_guest *g)
{
	uint32_t top = 0;

	for (uint32_t k = g->arena_order.head; k; k = g->arena_links[k].next) {
		struct vmbi_gg *d = &g->gpadls[k];

		if (d->first != top)
			for (uint32_t i = 0; i < d->words; i++)
				g->arena[top + i] = g->arena[d->first + i];
		d->first = top;
		top += d->words;
	}
	g->arena_top = top;
}

static void guest_gpadl_trace(struct vmb_guest *g, const struct vmbi_gg *d, uint32_t before, uint32_t now)
{
	if (g->cfg.trace)
		vmbi_guest_trace_gpadl(g, d, before, now);
}

/* What a change of state brings with it: a place in the arena while announcing, a wait for an answer, a message to send. */
static void guest_gpadl_become(struct vmb_guest *g, struct vmbi_gg *d, uint32_t state)
{
	uint32_t k = vmbi_gg_index(g, d), node = VMBI_GUEST_NODE_GPADL(g, k), before = d->state;

	if (d->state == VMBI_GG_ANNOUNCE) {
		vmbi_fifo_remove(&g->arena_order, g->arena_links, k);
		g->arena_used -= d->words;
	}
	vmbi_guest_unwait(g, node);
	d->flags &= ~VMBI_GG_MAYBE;
	d->state = state;
	guest_gpadl_trace(g, d, before, state);
	if (state == VMBI_GG_CREATE || state == VMBI_GG_TEARING)
		vmbi_guest_wait(g, node);
	else if (state == VMBI_GG_TEARDOWN)
		vmbi_guest_queue(g, node);
}

static int vmbi_guest_gpadl_room(const struct vmb_guest *g, uint32_t words)
{
	return g->free_gpadl && words <= g->arena_words - g->arena_used;
}

static struct vmbi_gg *vmbi_guest_gpadl_new(struct vmb_guest *g, struct vmbi_gc *c, uint32_t count, uint32_t ranges, uint32_t flags,
				     uint64_t **words)
{
	uint32_t k = g->free_gpadl;
	struct vmbi_gg *d = &g->gpadls[k];

	if (count > g->arena_words - g->arena_top)
		guest_gpadl_pack(g);
	g->free_gpadl = d->next;
	*d = (struct vmbi_gg){ .id = guest_gpadl_id(g), .channel = vmbi_gc_slot(g, c), .state = VMBI_GG_ANNOUNCE, .flags = flags,
			       .first = g->arena_top, .words = count, .ranges = ranges, .next = c->gpadls };
	g->gpadl_map[d->id & g->gpadl_mask] = k;
	if (c->gpadls)
		g->gpadls[c->gpadls].prev = k;
	c->gpadls = k;
	c->untold++;
	g->lists++;
	*words = g->arena + g->arena_top;
	g->arena_top += count;
	g->arena_used += count;
	vmbi_fifo_append(&g->arena_order, g->arena_links, k);
	vmbi_guest_queue(g, VMBI_GUEST_NODE_GPADL(g, k));
	guest_gpadl_trace(g, d, VMBI_GG_FREE, VMBI_GG_ANNOUNCE);
	return d;
}

static void guest_gpadl_free(struct vmb_guest *g, struct vmbi_gg *d)
{
	uint32_t k = vmbi_gg_index(g, d);
	struct vmbi_gc *c = &g->channels[d->channel];

	vmbi_guest_unwait(g, VMBI_GUEST_NODE_GPADL(g, k));
	if (d->prev)
		g->gpadls[d->prev].next = d->next;
	else
		c->gpadls = d->next;
	if (d->next)
		g->gpadls[d->next].prev = d->prev;
	if (c->ring == k)
		c->ring = 0;
	g->gpadl_map[d->id & g->gpadl_mask] = 0;
	g->lists--;
	guest_gpadl_trace(g, d, d->state, VMBI_GG_FREE);
	*d = (struct vmbi_gg){ .next = g->free_gpadl };
	g->free_gpadl = k;
}

/* ---- reports */

static void vmbi_guest_gpadl_told(struct vmb_guest *g, struct vmbi_gg *d)
{
	d->flags |= VMBI_GG_TOLD;
	g->channels[d->channel].untold--;
	if (d->state == VMBI_GG_SETTLED)
		guest_gpadl_free(g, d);
}

/* The last report, once: 0, or VMB_ELEAK. Of a list that was not created it says 0 by the reason for that. */
static void guest_gpadl_report(struct vmb_guest *g, struct vmbi_gg *d, int32_t status)
{
	uint32_t node = VMBI_GUEST_NODE_GPADL(g, vmbi_gg_index(g, d));

	if (d->flags & VMBI_GG_FINAL) {
		if (d->flags & VMBI_GG_TOLD && d->state == VMBI_GG_SETTLED)
			guest_gpadl_free(g, d);
		return;
	}
	d->flags |= VMBI_GG_FINAL | VMBI_GG_CANCELLED;
	if (status == VMB_ELEAK)
		g->leaks++;
	if (d->flags & VMBI_GG_RING) {
		if (status == VMB_ELEAK)
			g->channels[d->channel].flags |= VMBI_GC_LEAK;
		vmbi_guest_gpadl_told(g, d);
	} else if (d->flags & VMBI_GG_ASKED) {
		d->status = status == VMB_ELEAK ? VMB_ELEAK : 0;
		vmbi_guest_mark(g, node, VMBI_GE_DOWN);
	} else {
		if (status == VMB_ELEAK)
			d->status = status;
		vmbi_guest_mark(g, node, VMBI_GE_GPADL);
	}
}

/* The host has nothing of it any more. */
static void guest_gpadl_settle(struct vmb_guest *g, struct vmbi_gg *d)
{
	guest_gpadl_become(g, d, VMBI_GG_SETTLED);
	guest_gpadl_report(g, d, 0);
}

static void vmbi_guest_gpadl_leak(struct vmb_guest *g, struct vmbi_gg *d)
{
	guest_gpadl_report(g, d, VMB_ELEAK);
}

/* It will not be created, and why. Its memory may still be the host's. */
static void guest_gpadl_refused(struct vmb_guest *g, struct vmbi_gg *d, int32_t status, uint32_t said)
{
	struct vmbi_gc *c = &g->channels[d->channel];

	if (d->flags & VMBI_GG_CANCELLED)
		return;
	d->flags |= VMBI_GG_CANCELLED;
	d->status = status;
	d->said = said;
	if (d->flags & VMBI_GG_RING)
		vmbi_guest_ring_created(g, c, status, said);
}

static void guest_gpadl_step(struct vmb_guest *g, uint32_t channel)
{
	vmbi_guest_channel_step(g, &g->channels[channel]);
}

/* ---- messages out */

/* Is the message to be sent the last one of a list that is being announced? */
static int guest_gpadl_is_last(const struct vmbi_gg *d)
{
	return d->sent + 1 >= vmbi_gpadl_messages(d->words);
}

static uint32_t vmbi_guest_gpadl_message(struct vmb_guest *g, struct vmbi_gg *d, uint8_t *out)
{
	uint32_t channel_id = g->channels[d->channel].id;

	if (d->state == VMBI_GG_ANNOUNCE)
		return vmbi_gpadl_message(out, d->sent, channel_id, d->id, g->arena + d->first, d->words, d->ranges);
	if (d->state != VMBI_GG_TEARDOWN)
		return 0;
	VMBI_MEMSET(out, 0, 16);
	vmbi_put32(out, VMBI_MSG_GPADL_TEARDOWN);
	vmbi_put32(out + VMBI_AT(GPADL_TEARDOWN, channel_id), channel_id);
	vmbi_put32(out + VMBI_AT(GPADL_TEARDOWN, gpadl_id), d->id);
	return 16;
}

/* Nobody can be told the rest. What the host has of it cannot be known: gpadl.md 7.8. */
static void guest_gpadl_burn(struct vmb_guest *g, struct vmbi_gg *d)
{
	uint32_t channel = d->channel;

	guest_gpadl_become(g, d, VMBI_GG_BURNT);
	guest_gpadl_refused(g, d, VMB_EPLATFORM, 0);
	vmbi_guest_gpadl_leak(g, d);
	guest_gpadl_step(g, channel);
}

static void vmbi_guest_gpadl_posted(struct vmb_guest *g, struct vmbi_gg *d, int outcome)
{
	if (outcome == VMBI_GUEST_FAILED) {
		guest_gpadl_burn(g, d);
	} else if (outcome == VMBI_GUEST_MAYBE) {
		d->flags |= VMBI_GG_MAYBE | (d->state == VMBI_GG_ANNOUNCE ? VMBI_GG_UNSURE : 0);
	} else if (d->state == VMBI_GG_TEARDOWN) {
		guest_gpadl_become(g, d, VMBI_GG_TEARING);
	} else if (guest_gpadl_is_last(d)) {
		guest_gpadl_become(g, d, VMBI_GG_CREATE);
	} else {
		d->sent++;
		d->flags &= ~VMBI_GG_MAYBE;
		vmbi_guest_queue(g, VMBI_GUEST_NODE_GPADL(g, vmbi_gg_index(g, d))); /* lists may interleave. gpadl.md 4 */
	}
}

static void vmbi_guest_gpadl_down(struct vmb_guest *g, struct vmbi_gg *d)
{
	d->flags |= VMBI_GG_CANCELLED;
	if (d->state == VMBI_GG_ANNOUNCE && !d->sent && !(d->flags & VMBI_GG_MAYBE))
		guest_gpadl_settle(g, d); /* the host has not heard of it */
	else if (d->state == VMBI_GG_ALIVE && g->channels[d->channel].flags & VMBI_GC_RESCINDED)
		guest_gpadl_settle(g, d); /* it was off the memory before it said RESCIND. gpadl.md 7.7 */
	else if (d->state == VMBI_GG_ALIVE)
		guest_gpadl_become(g, d, VMBI_GG_TEARDOWN);
	else if (d->state == VMBI_GG_BURNT && !(d->flags & VMBI_GG_FINAL) && g->channels[d->channel].flags & VMBI_GC_UNPROVEN)
		vmbi_guest_gpadl_leak(g, d);
	else if (d->state == VMBI_GG_BURNT && !(d->flags & VMBI_GG_FINAL))
		guest_gpadl_settle(g, d); /* a contact since has ended all */
}

/* ---- messages in */

static int vmbi_guest_on_created(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gg *d = guest_gpadl_find(g, vmbi_get32(msg + VMBI_AT(GPADL_CREATED, gpadl_id)));
	uint32_t status = vmbi_get32(msg + VMBI_AT(GPADL_CREATED, status));
	struct vmbi_gc *c;
	uint32_t channel;
	int whole, late;

	if (!d)
		return 0;
	channel = d->channel;
	c = &g->channels[channel];
	late = !!(d->flags & VMBI_GG_FINAL);
	/* The host may refuse a list as soon as it has seen a part of it. It has created it too early if a message arrived
	 * twice. */
	whole = d->state == VMBI_GG_CREATE || (d->flags & VMBI_GG_MAYBE && guest_gpadl_is_last(d));
	if (c->id != vmbi_get32(msg + VMBI_AT(GPADL_CREATED, channel_id)) ||
	    !(d->state == VMBI_GG_CREATE ||
	      (d->state == VMBI_GG_ANNOUNCE && (d->flags & VMBI_GG_UNSURE || (status && d->sent)))))
		return 0;
	if (!status && !whole) /* the wrong pages, in part */
		guest_gpadl_refused(g, d, VMB_EPLATFORM, VMB_HV_TIMEOUT);
	if (status) {
		guest_gpadl_refused(g, d, VMB_EREFUSED, status);
		if (d->flags & VMBI_GG_UNSURE) { /* it may be the second of two answers to one header: gpadl.md 5.2 */
			guest_gpadl_become(g, d, VMBI_GG_CREATE);
			vmbi_guest_gpadl_leak(g, d);
		} else {
			guest_gpadl_settle(g, d);
		}
	} else if (d->flags & VMBI_GG_CANCELLED) {
		guest_gpadl_become(g, d, VMBI_GG_TEARDOWN); /* gpadl.md 7.11 */
	} else {
		guest_gpadl_become(g, d, VMBI_GG_ALIVE);
		if (d->flags & VMBI_GG_RING)
			vmbi_guest_ring_created(g, c, 0, 0);
		else if (!(d->flags & VMBI_GG_ASKED)) /* else the channel was released meanwhile */
			vmbi_guest_mark(g, VMBI_GUEST_NODE_GPADL(g, vmbi_gg_index(g, d)), VMBI_GE_GPADL);
	}
	guest_gpadl_step(g, channel);
	return !late;
}

static int vmbi_guest_on_torndown(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gg *d = guest_gpadl_find(g, vmbi_get32(msg + VMBI_AT(GPADL_TORNDOWN, gpadl_id)));
	uint32_t channel;
	int late;

	if (!d || !(d->state == VMBI_GG_TEARING || (d->state == VMBI_GG_TEARDOWN && d->flags & VMBI_GG_MAYBE)))
		return 0;
	channel = d->channel;
	late = !!(d->flags & VMBI_GG_FINAL);
	guest_gpadl_settle(g, d);
	guest_gpadl_step(g, channel);
	return !late;
}

static void vmbi_guest_gpadl_timeout(struct vmb_guest *g, struct vmbi_gg *d)
{
	uint32_t channel = d->channel;

	if (d->state == VMBI_GG_CREATE)
		guest_gpadl_refused(g, d, VMB_ETIMEDOUT, 0);
	vmbi_guest_gpadl_leak(g, d);
	guest_gpadl_step(g, channel);
}

/* ---- what happens to the channel */

static void vmbi_guest_gpadls_rescinded(struct vmb_guest *g, struct vmbi_gc *c)
{
	for (uint32_t k = c->gpadls, next; k; k = next) {
		struct vmbi_gg *d = &g->gpadls[k];
		int maybe = !!(d->flags & VMBI_GG_MAYBE);

		next = d->next;
		if (d->state == VMBI_GG_ANNOUNCE || d->state == VMBI_GG_CREATE)
			guest_gpadl_refused(g, d, VMB_ERESCINDED, 0);
		/* A part of a list is never answered; a whole one is, even now (control-plane.md 12.2), and so is a TEARDOWN. */
		if (d->state == VMBI_GG_ANNOUNCE && !(maybe && guest_gpadl_is_last(d)))
			guest_gpadl_settle(g, d);
		else if (d->state == VMBI_GG_TEARDOWN && !maybe)
			guest_gpadl_settle(g, d);
	}
}

static void vmbi_guest_gpadls_kept(struct vmb_guest *g, struct vmbi_gc *c, int alive)
{
	for (uint32_t k = c->gpadls, next; k; k = next) {
		struct vmbi_gg *d = &g->gpadls[k];
		int known;

		next = d->next;
		if ((alive && d->state == VMBI_GG_ALIVE) || d->state == VMBI_GG_SETTLED || d->state == VMBI_GG_BURNT)
			continue;
		known = d->state == VMBI_GG_ALIVE && !(d->flags & (VMBI_GG_RING | VMBI_GG_ASKED));
		guest_gpadl_become(g, d, VMBI_GG_BURNT);
		if (known) /* its owner thinks that it lives, and hears when it asks for it */
			continue;
		guest_gpadl_refused(g, d, VMB_ERESCINDED, 0);
		vmbi_guest_gpadl_leak(g, d);
	}
}

static int vmbi_guest_gpadls_leaked(const struct vmb_guest *g, const struct vmbi_gc *c)
{
	for (uint32_t k = c->gpadls; k; k = g->gpadls[k].next)
		if (g->gpadls[k].flags & VMBI_GG_FINAL && g->gpadls[k].state != VMBI_GG_SETTLED)
			return 1;
	return 0;
}

static void vmbi_guest_gpadls_released(struct vmb_guest *g, struct vmbi_gc *c)
{
	for (uint32_t k = c->gpadls; k; k = g->gpadls[k].next) {
		struct vmbi_gg *d = &g->gpadls[k];
		uint32_t node = VMBI_GUEST_NODE_GPADL(g, k);
		int failed = d->flags & VMBI_GG_FINAL && g->marks[node] & VMBI_GE_GPADL; /* and that is not told yet */

		if (d->flags & (VMBI_GG_RING | VMBI_GG_TOLD))
			continue;
		d->flags |= VMBI_GG_ASKED;
		vmbi_guest_unmark(g, node, VMBI_GE_GPADL);
		if (failed) {
			d->status = d->status == VMB_ELEAK ? VMB_ELEAK : 0;
			vmbi_guest_mark(g, node, VMBI_GE_DOWN);
		}
	}
}

static void vmbi_guest_gpadls_down(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & VMBI_GC_LISTS_DOWN)
		return;
	c->flags |= VMBI_GC_LISTS_DOWN;
	for (uint32_t k = c->gpadls; k; k = g->gpadls[k].next)
		if (!(g->gpadls[k].flags & (VMBI_GG_RING | VMBI_GG_FINAL)))
			vmbi_guest_gpadl_down(g, &g->gpadls[k]);
}

static void vmbi_guest_gpadls_forget(struct vmb_guest *g, struct vmbi_gc *c)
{
	while (c->gpadls)
		guest_gpadl_free(g, &g->gpadls[c->gpadls]);
}

/* ---- the embedder's lists */

static int guest_gpadl_create(struct vmb_guest *g, vmb_handle ch, const struct vmb_list *list, uint32_t *gpadl)
{
	struct vmbi_gc *c = vmbi_guest_find(g, ch);
	struct vmb_list checked;
	struct vmbi_gg *d;
	uint64_t *words;
	int r;

	if (!list || !list->words || !gpadl)
		return VMB_EINVAL;
	if (!c)
		return VMB_EHANDLE;
	if (c->flags & (VMBI_GC_RELEASED | VMBI_GC_ABANDONED | VMBI_GC_KEPT | VMBI_GC_LOST))
		return VMB_ESTATE;
	if (list->count > VMBI_GPADL_WORDS_MAX)
		return VMB_ETOOBIG;
	r = vmb_list_check(list->words, list->count, list->ranges, &checked, NULL);
	if (r < 0)
		return r;
	if (!vmbi_guest_gpadl_room(g, checked.count))
		return VMB_ENOSPACE;
	d = vmbi_guest_gpadl_new(g, c, checked.count, checked.ranges, 0, &words);
	VMBI_MEMCPY(words, checked.words, checked.count * sizeof *words);
	*gpadl = d->id;
	return 0;
}

int vmb_guest_gpadl_create(struct vmb_guest *g, vmb_handle ch, const struct vmb_list *list, uint32_t *gpadl)
{
	int r = vmbi_guest_enter(g);

	return r < 0 ? r : vmbi_guest_leave(g, guest_gpadl_create(g, ch, list, gpadl));
}

int vmb_guest_gpadl_destroy(struct vmb_guest *g, uint32_t gpadl)
{
	struct vmbi_gg *d;
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	d = guest_gpadl_find(g, gpadl);
	if (!d || d->flags & (VMBI_GG_RING | VMBI_GG_FINAL | VMBI_GG_ASKED))
		return vmbi_guest_leave(g, VMB_ENOENT);
	d->flags |= VMBI_GG_ASKED;
	vmbi_guest_unmark(g, VMBI_GUEST_NODE_GPADL(g, vmbi_gg_index(g, d)), VMBI_GE_GPADL);
	vmbi_guest_gpadl_down(g, d);
	return vmbi_guest_leave(g, 0);
}

/* ---- lib/bus/guest_post.c ---- */
/*
 * Messages on their way to the host. The queue holds objects that have something to say. The first one is asked for its
 * message; a busy hypervisor holds it and all behind it up until a poll finds that it is time to try again. control-plane.md
 * 1.2
 */

#define GUEST_POST_SHORTEST 1000000u /* nanoseconds */
#define GUEST_POST_DOUBLINGS 8u      /* up to 256 ms */

static void vmbi_guest_queue(struct vmb_guest *g, uint32_t node)
{
	vmbi_fifo_append(&g->post, g->post_links, node);
}

static uint64_t vmbi_guest_retry_delay(const struct vmb_guest *g)
{
	uint32_t n = g->tries - 1;

	return GUEST_POST_SHORTEST << (n < GUEST_POST_DOUBLINGS ? n : GUEST_POST_DOUBLINGS);
}

static uint32_t guest_post_message(struct vmb_guest *g, uint32_t node, uint8_t *out, uint32_t *connection)
{
	*connection = g->connection ? g->connection : VMBI_CONNECTION_LEGACY; /* CLOSE_RESERVED may come before any contact */
	if (node <= g->cfg.max_channels)
		return vmbi_guest_channel_message(g, &g->channels[node], out);
	if (node == VMBI_GUEST_NODE_CONNECTION(g))
		return vmbi_guest_connection_message(g, out, connection);
	if (node == VMBI_GUEST_NODE_DECLINER(g))
		return vmbi_guest_decline_message(g, out);
	if (node == VMBI_GUEST_NODE_CLOSER(g))
		return vmbi_guest_closer_message(g, out);
	if (node > VMBI_GUEST_NODE_CONNECT(g, 0))
		return vmbi_guest_connect_message(g, &g->connects[node - VMBI_GUEST_NODE_CONNECT(g, 0)], out);
	return vmbi_guest_gpadl_message(g, &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)], out);
}

static int vmbi_guest_post_has(struct vmb_guest *g, uint32_t node, uint8_t *msg)
{
	uint32_t connection;

	return guest_post_message(g, node, msg, &connection) != 0;
}

static void guest_post_outcome(struct vmb_guest *g, uint32_t node, int outcome, uint32_t status)
{
	if (node <= g->cfg.max_channels)
		vmbi_guest_channel_posted(g, &g->channels[node], outcome, status);
	else if (node == VMBI_GUEST_NODE_CONNECTION(g))
		vmbi_guest_connection_posted(g, outcome, status);
	else if (node == VMBI_GUEST_NODE_DECLINER(g))
		vmbi_guest_decline_posted(g, outcome);
	else if (node == VMBI_GUEST_NODE_CLOSER(g))
		vmbi_guest_closer_posted(g, outcome);
	else if (node > VMBI_GUEST_NODE_CONNECT(g, 0))
		vmbi_guest_connect_posted(g, &g->connects[node - VMBI_GUEST_NODE_CONNECT(g, 0)], outcome, status);
	else
		vmbi_guest_gpadl_posted(g, &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)], outcome);
}

/* That a connection does not exist is an answer only to the first message of all. */
static int vmbi_guest_is_busy(int status, uint32_t type)
{
	switch (status) {
	case VMB_HV_NO_MEMORY:
	case VMB_HV_NO_BUFFERS:
	case VMB_HV_TIMEOUT:
		return 1;
	case VMB_HV_INVALID_CONNECTION:
		return type != VMBI_MSG_INITIATE_CONTACT;
	default:
		return 0;
	}
}

static void guest_post_done(struct vmb_guest *g, uint32_t node)
{
	vmbi_fifo_remove(&g->post, g->post_links, node);
	g->tries = 0;
}

/* Whose turn it is; 0: nobody's. While paused only the connection may speak. control-plane.md 13 */
static uint32_t guest_post_turn(const struct vmb_guest *g)
{
	uint32_t connection = VMBI_GUEST_NODE_CONNECTION(g);

	if (g->paused)
		return g->post_links[connection].in ? connection : 0;
	return g->post.head;
}

static uint32_t guest_post_fate(int status, int again)
{
	if (again)
		return VMB_FATE_AGAIN;
	return status == VMB_HV_SUCCESS ? VMB_FATE_TAKEN : VMB_FATE_LOST;
}

static void vmbi_guest_post(struct vmb_guest *g)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t node;

	while (!g->held && (node = guest_post_turn(g)) != 0) {
		uint32_t connection, len = guest_post_message(g, node, msg, &connection);
		int status, again;

		if (!len) { /* it has lost its sense meanwhile */
			guest_post_done(g, node);
			continue;
		}
		status = g->cfg.post(g->cfg.ctx, connection, msg, len);
		again = vmbi_guest_is_busy(status, vmbi_get32(msg)) && ++g->tries < VMBI_GUEST_TRIES;
		if (g->cfg.trace)
			vmbi_guest_trace_message(g, VMB_TRACE_MESSAGE_OUT, msg, len, guest_post_fate(status, again), (uint32_t)status);
		if (again) {
			g->post_retries++;
			g->held = 1;
			g->retry_at = 0;
			g->poke = 1;
			if (status == VMB_HV_TIMEOUT)
				guest_post_outcome(g, node, VMBI_GUEST_MAYBE, VMB_HV_TIMEOUT);
			return;
		}
		guest_post_done(g, node);
		if (status == VMB_HV_SUCCESS) {
			g->messages_out++;
			guest_post_outcome(g, node, VMBI_GUEST_SENT, 0);
		} else {
			g->post_failed++;
			guest_post_outcome(g, node, VMBI_GUEST_FAILED, (uint32_t)status);
		}
	}
}

/* ---- lib/bus/guest_event.c ---- */
/*
 * Events on their way to the embedder, and time. An event is a mark on an object; objects with marks stand in a queue, and one
 * that has more to tell goes to its end. All waits for answers last equally long, so those that begin later end later: a queue
 * of them needs only its head looked at. A wait that began outside of poll gets its deadline at the next poll, which knows the
 * time.
 */

#define GUEST_EVENT_MS 1000000u /* nanoseconds */

/* ---- marks */

static void vmbi_guest_mark(struct vmb_guest *g, uint32_t node, uint32_t marks)
{
	g->marks[node] = (uint8_t)(g->marks[node] | marks);
	vmbi_fifo_append(&g->events, g->event_links, node);
	g->poke = 1;
}

static void vmbi_guest_unmark(struct vmb_guest *g, uint32_t node, uint32_t marks)
{
	g->marks[node] = (uint8_t)(g->marks[node] & ~marks);
	if (!g->marks[node])
		vmbi_fifo_remove(&g->events, g->event_links, node);
}

/* ---- waits */

static void vmbi_guest_wait(struct vmb_guest *g, uint32_t node)
{
	if (!g->cfg.reply_ms)
		return;
	g->deadlines[node] = 0;
	vmbi_fifo_append(&g->fresh, g->wait_links, node);
	g->poke = 1;
}

static void vmbi_guest_unwait(struct vmb_guest *g, uint32_t node)
{
	vmbi_fifo_remove(g->deadlines[node] ? &g->waiting : &g->fresh, g->wait_links, node);
}

static void vmbi_guest_clock(struct vmb_guest *g, uint32_t ms)
{
	g->clock_ms = ms;
	g->clock_at = 0;
	if (ms)
		g->poke = 1;
}

static void vmbi_guest_wait_again(struct vmb_guest *g)
{
	uint32_t node;

	while ((node = g->waiting.head) != 0) {
		vmbi_guest_unwait(g, node);
		vmbi_guest_wait(g, node);
	}
}

static void guest_event_expire(struct vmb_guest *g, uint64_t now)
{
	uint32_t node;

	while (!g->paused && (node = g->waiting.head) != 0 && g->deadlines[node] <= now) {
		vmbi_guest_unwait(g, node);
		if (node <= g->cfg.max_channels)
			vmbi_guest_channel_timeout(g, &g->channels[node]);
		else if (node == VMBI_GUEST_NODE_CLOSER(g))
			vmbi_guest_closer_timeout(g);
		else if (node > VMBI_GUEST_NODE_CONNECT(g, 0))
			vmbi_guest_connect_timeout(g, &g->connects[node - VMBI_GUEST_NODE_CONNECT(g, 0)]);
		else
			vmbi_guest_gpadl_timeout(g, &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)]);
	}
	if (g->clock_at && g->clock_at <= now)
		vmbi_guest_connection_timeout(g); /* which stops the clock */
}

/* What has begun since the last poll begins now. */
static void guest_event_stamp(struct vmb_guest *g, uint64_t now)
{
	uint32_t node;

	while ((node = g->fresh.head) != 0) {
		vmbi_fifo_remove(&g->fresh, g->wait_links, node);
		g->deadlines[node] = now + (uint64_t)g->cfg.reply_ms * GUEST_EVENT_MS;
		vmbi_fifo_append(&g->waiting, g->wait_links, node);
	}
	if (g->clock_ms && !g->clock_at)
		g->clock_at = now + (uint64_t)g->clock_ms * GUEST_EVENT_MS;
	if (g->held && !g->retry_at)
		g->retry_at = now + vmbi_guest_retry_delay(g);
}

static uint64_t guest_event_deadline(const struct vmb_guest *g, uint64_t now)
{
	uint64_t at = UINT64_MAX;

	if (g->held)
		at = g->retry_at; /* without a clock 0: as soon as you can */
	if (now && !g->paused && g->waiting.head && g->deadlines[g->waiting.head] < at)
		at = g->deadlines[g->waiting.head];
	if (now && g->clock_at && g->clock_at < at)
		at = g->clock_at;
	return at;
}

/* ---- what each event says */

/* After a restore: the owner learns what it may have known. */
static void guest_event_again(struct vmb_guest *g, struct vmbi_gc *c, struct vmb_event *ev)
{
	ev->flags = VMB_EVF_RESTORED | (vmbi_guest_may_reopen(c) ? VMB_EVF_OPEN : 0);
	if ((c->flags & (VMBI_GC_ABANDONED | VMBI_GC_RELEASED)) == VMBI_GC_ABANDONED)
		vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_RESCINDED);
}

static void guest_event_of_channel(struct vmb_guest *g, struct vmbi_gc *c, uint32_t mark, struct vmb_event *ev)
{
	ev->ch = vmbi_handle(vmbi_gc_slot(g, c), c->generation);
	ev->user = c->user;
	switch (mark) {
	case VMBI_GE_OFFER:
		ev->kind = VMB_EV_OFFER;
		if (c->flags & VMBI_GC_UNTOLD)
			guest_event_again(g, c, ev);
		c->flags &= ~VMBI_GC_UNTOLD;
		vmbi_gc_flag(g, c, VMBI_GC_SEEN);
		if (c->socket) {
			ev->kind = VMB_EV_HVSOCK;
			ev->user = g->connects[c->socket].user;
			vmbi_guest_connect_told(g, &g->connects[c->socket]);
			c->socket = 0;
		}
		break;
	case VMBI_GE_OPENED:
		ev->kind = VMB_EV_OPENED;
		ev->status = c->open_status;
		ev->peer_status = c->open_said;
		break;
	case VMBI_GE_TARGET:
		ev->kind = VMB_EV_TARGET;
		ev->status = c->target_status;
		ev->peer_status = c->target_said;
		ev->vp = c->new_vp;
		break;
	case VMBI_GE_RESCINDED:
		ev->kind = VMB_EV_RESCINDED;
		break;
	default:
		ev->kind = VMB_EV_CLOSED;
		ev->status = c->flags & VMBI_GC_LEAK ? VMB_ELEAK : 0;
		c->user = 0;
		vmbi_gc_become(g, c, VMBI_GC_IDLE);
		g->objects--;
		vmbi_guest_channel_step(g, c);
	}
}

static void guest_event_of_gpadl(struct vmb_guest *g, struct vmbi_gg *d, uint32_t mark, struct vmb_event *ev)
{
	struct vmbi_gc *c = &g->channels[d->channel];

	ev->ch = vmbi_handle(d->channel, c->generation);
	ev->user = c->user;
	ev->gpadl = d->id;
	ev->status = d->status;
	ev->peer_status = d->said;
	ev->kind = mark == VMBI_GE_GPADL ? VMB_EV_GPADL : VMB_EV_GPADL_DOWN;
	if (d->flags & VMBI_GG_FINAL) {
		vmbi_guest_gpadl_told(g, d);
		vmbi_guest_channel_step(g, c);
	}
}

static void guest_event_of_connection(struct vmb_guest *g, uint32_t mark, struct vmb_event *ev)
{
	if (mark == VMBI_GE_DISCONNECTED) {
		ev->kind = VMB_EV_DISCONNECTED;
		ev->status = g->disconnect_status;
	} else if (mark == VMBI_GE_CONNECTED) {
		ev->kind = VMB_EV_CONNECTED;
		ev->status = g->connect_status;
		ev->peer_status = g->connect_said;
	} else if (mark == VMBI_GE_OFFERS_DONE) {
		ev->kind = VMB_EV_OFFERS_DONE;
		ev->status = g->offers_status;
	} else if (mark == VMBI_GE_MONITOR) {
		ev->kind = VMB_EV_MONITOR;
		ev->status = g->monitor_status;
		ev->peer_status = g->monitor_said;
	} else {
		ev->kind = VMB_EV_PAUSED;
		ev->status = g->pause_status;
	}
}

static void guest_event_of_connect(struct vmb_guest *g, struct vmbi_gs *s, struct vmb_event *ev)
{
	ev->kind = VMB_EV_HVSOCK;
	ev->user = s->user;
	ev->status = s->status;
	ev->peer_status = s->said;
	vmbi_guest_connect_told(g, s);
}

static int guest_event_pull(struct vmb_guest *g, struct vmb_event *ev)
{
	uint32_t node = g->events.head, mark;

	if (!node)
		return 0;
	mark = g->marks[node] & ~(g->marks[node] - 1u); /* the lowest */
	g->marks[node] = (uint8_t)(g->marks[node] & ~mark);
	/* The end of a connection and the beginning of the next are told one after the other: offers stand behind both. */
	if (!g->marks[node] || node != VMBI_GUEST_NODE_CONNECTION(g) || mark != VMBI_GE_DISCONNECTED) {
		vmbi_fifo_remove(&g->events, g->event_links, node);
		if (g->marks[node])
			vmbi_fifo_append(&g->events, g->event_links, node);
	}
	if (node <= g->cfg.max_channels) {
		guest_event_of_channel(g, &g->channels[node], mark, ev);
	} else if (node == VMBI_GUEST_NODE_CONNECTION(g)) {
		guest_event_of_connection(g, mark, ev);
	} else if (node == VMBI_GUEST_NODE_CLOSER(g)) {
		ev->kind = VMB_EV_CLOSED;
		ev->status = g->closer_status;
	} else if (node > VMBI_GUEST_NODE_CONNECT(g, 0) && node <= VMBI_GUEST_NODE_GONE(g, 0)) {
		guest_event_of_connect(g, &g->connects[node - VMBI_GUEST_NODE_CONNECT(g, 0)], ev);
	} else if (node <= VMBI_GUEST_NODE_GONE(g, 0)) {
		guest_event_of_gpadl(g, &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)], mark, ev);
	} else {
		ev->kind = VMB_EV_GONE;
		ev->ch = g->gone[node - VMBI_GUEST_NODE_GONE(g, 1)];
	}
	return VMB_YES;
}

/* ---- poll */

/* Go on with channels whose gate has emptied. As many wait as there are CPUs inside a gate. */
static void guest_event_drain(struct vmb_guest *g)
{
	for (uint32_t slot = g->draining.head, next; slot; slot = next) {
		next = g->drain_links[slot].next;
		if (vmbi_gate_empty(&g->channels[slot].gate)) {
			vmbi_fifo_remove(&g->draining, g->drain_links, slot);
			vmbi_guest_channel_step(g, &g->channels[slot]);
		}
	}
}

int vmb_guest_poll(struct vmb_guest *g, uint64_t now, struct vmb_event *ev)
{
	int r;

	if (!ev)
		return VMB_EINVAL;
	r = vmbi_guest_enter(g);
	if (r < 0)
		return r;
	g->now = now;
	vmbi_guest_watch_signals(g, now);
	if (now)
		guest_event_expire(g, now);
	if (!now || g->retry_at)
		g->held = g->held && now && now < g->retry_at;
	guest_event_drain(g);
	vmbi_guest_post(g);
	VMBI_MEMSET(ev, 0, sizeof *ev);
	r = guest_event_pull(g, ev);
	vmbi_guest_post(g);
	if (now)
		guest_event_stamp(g, now);
	ev->deadline = guest_event_deadline(g, now);
	g->poke = 0;
	return vmbi_guest_leave(g, r);
}

/* ---- lib/bus/guest_interrupt.c ---- */
/*
 * Interrupts and signals, from any CPU, beside control calls: flags to channels, and channels to the host. control-plane.md 9,
 * ring.md 10.4
 *
 * Flags are cleared before the channel is woken (R12). The way from an event flag to its slot is one load; the slot's gate keeps
 * the channel there, and inside the gate the flag is compared once more, for the slot may have become another's meanwhile.
 */

static void guest_interrupt_stray(struct vmb_guest *g)
{
	(void)VMBI_FETCH_ADD32(&g->stray, 1u);
}

static void guest_interrupt_channel(struct vmb_guest *g, uint32_t flag)
{
	uint32_t slot = vmbi_guest_map_get(g, g->event_slots, flag);
	struct vmbi_gc *c = &g->channels[slot];

	if (!slot || vmbi_gate_is_closed(&c->gate)) {
		guest_interrupt_stray(g);
		return;
	}
	if (vmbi_gate_enter(&c->gate) && c->flag == flag) {
		if (vmbi_signals_arrive(&c->object->signals))
			vmbi_guest_alarm(g);
		if (g->cfg.wake)
			g->cfg.wake(g->cfg.ctx, c->user);
	} else {
		guest_interrupt_stray(g);
	}
	if (vmbi_gate_leave(&c->gate))
		VMBI_POKE(&g->cfg);
}

/* 1: flag 0 was set, which is no channel. */
static uint32_t guest_interrupt_flags(struct vmb_guest *g, void *flags, uint32_t words)
{
	struct vmbi_flags_scan scan = { .flags = flags, .end = words };
	uint32_t zero = 0, bits;

	while ((bits = vmbi_flags_next(&scan)) != 0) {
		if (!scan.first) {
			zero = bits & 1;
			bits -= zero;
		}
		for (; bits; bits &= bits - 1)
			guest_interrupt_channel(g, scan.first + vmbi_flags_lowest(bits));
	}
	return zero;
}

int vmb_guest_interrupt(struct vmb_guest *g, void *flags, const void *slot)
{
	uint32_t words, zero;

	if (!g || !flags || !slot)
		return VMB_EINVAL;
	words = VMBI_LOAD32_ACQUIRE(&g->scan);
	zero = guest_interrupt_flags(g, flags, words);
	if (zero && VMBI_LOAD32_RELAXED(&g->by_page)) /* below 2.4 flag 0 says, look at the page */
		zero = guest_interrupt_flags(g, g->cfg.interrupt_page, words);
	if (zero)
		guest_interrupt_stray(g);
	if (!vmbi_slot_busy(slot))
		return 0;
	VMBI_POKE(&g->cfg);
	return VMB_YES;
}

static void vmbi_guest_signal_host(void *ctx)
{
	const struct vmbi_gc *c = ctx;
	const struct vmb_guest_config *cfg = &c->guest->cfg;

	if (VMBI_LOAD32_RELAXED(&c->object->signals.look))
		vmbi_guest_alarm(c->guest);
	if (c->signal_monitor) {
		vmbi_monitor_set(c->monitor_page, c->signal_monitor - 1);
		return;
	}
	if (c->signal_page)
		(void)vmbi_flags_set((uint8_t *)cfg->interrupt_page + VMBI_INTERRUPT_HALF, c->id);
	(void)cfg->signal(cfg->ctx, c->signal_connection, 0);
}

/* ---- lib/bus/guest_request.c ---- */
/*
 * What is asked of a living connection beside its channels: other monitor pages and quiet (control-plane.md 13), sockets (15), and the end of
 * a reserved channel that somebody else has left open (10.5).
 */

/* ---- other monitor pages, pause, resume: one at a time, until its event was given out */

/* 0: this may be asked now. */
static int guest_request_may(const struct vmb_guest *g, uint32_t feature)
{
	uint32_t untold = g->marks[VMBI_GUEST_NODE_CONNECTION(g)] & (VMBI_GE_MONITOR | VMBI_GE_PAUSED);

	if (g->state != VMB_BUS_CONNECTED && g->state != VMB_BUS_RUNNING)
		return VMB_ESTATE;
	if (!(g->features & feature))
		return VMB_EVERSION;
	return g->send || g->asking || g->paused || untold ? VMB_ESTATE : 0;
}

static int guest_request_uses_monitor(const struct vmb_guest *g)
{
	for (uint32_t i = 1; i <= g->slots_used; i++)
		if (g->channels[i].state != VMBI_GC_IDLE && g->channels[i].signal_monitor)
			return 1;
	return 0;
}

static int guest_request_monitor(struct vmb_guest *g, const uint64_t gpa[2], void *const page[2])
{
	int r = vmbi_guest_check_monitor(gpa, page);

	if (r >= 0)
		r = guest_request_may(g, VMB_FEATURE_MODIFY_CONNECTION);
	if (r < 0)
		return r;
	if (g->features & VMB_FEATURE_SERVER_MONITOR || guest_request_uses_monitor(g))
		return VMB_ESTATE;
	for (uint32_t i = 0; i < 2; i++) {
		g->new_gpa[i] = gpa[i];
		g->new_page[i] = page[i];
		if (page[i])
			VMBI_CLEAR(page[i], VMB_PAGE);
	}
	vmbi_guest_connection_send(g, VMBI_MSG_MODIFY_CONNECTION);
	return 0;
}

int vmb_guest_monitor(struct vmb_guest *g, const uint64_t gpa[2], void *const page[2])
{
	int r = gpa && page ? vmbi_guest_enter(g) : VMB_EINVAL;

	return r < 0 ? r : vmbi_guest_leave(g, guest_request_monitor(g, gpa, page));
}

int vmb_guest_pause(struct vmb_guest *g)
{
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	r = guest_request_may(g, VMB_FEATURE_PAUSE);
	if (!r)
		vmbi_guest_connection_send(g, VMBI_MSG_PAUSE);
	return vmbi_guest_leave(g, r);
}

int vmb_guest_resume(struct vmb_guest *g)
{
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	if (!g->paused || g->asking || g->send)
		return vmbi_guest_leave(g, VMB_ESTATE);
	vmbi_guest_connection_send(g, VMBI_MSG_RESUME);
	return vmbi_guest_leave(g, 0);
}

static uint32_t vmbi_guest_request_message(struct vmb_guest *g, uint8_t *out)
{
	int len = vmb_message_init(out, VMB_MESSAGE_MAX, g->send, g->version, g->features);

	if (g->send == VMBI_MSG_MODIFY_CONNECTION) {
		vmbi_put64(out + VMBI_AT(MODIFY_CONNECTION, parent_to_child_page), g->new_gpa[0]);
		vmbi_put64(out + VMBI_AT(MODIFY_CONNECTION, child_to_parent_page), g->new_gpa[1]);
	}
	return (uint32_t)len;
}

/* Pages that the host may have, or not: none are used. */
static void guest_request_monitor_done(struct vmb_guest *g, int32_t status, uint32_t said)
{
	for (uint32_t i = 0; i < 2; i++) {
		g->monitor_gpa[i] = status ? 0 : g->new_gpa[i];
		g->monitor_page[i] = status ? NULL : g->new_page[i];
	}
	g->monitor_status = status;
	g->monitor_said = said;
	vmbi_guest_connection_mark(g, VMBI_GE_MONITOR);
}

static void guest_request_paused(struct vmb_guest *g, int32_t status)
{
	g->pause_status = status;
	vmbi_guest_connection_mark(g, VMBI_GE_PAUSED);
}

static void guest_request_failed(struct vmb_guest *g, uint32_t type, int32_t status, uint32_t said)
{
	if (type == VMBI_MSG_MODIFY_CONNECTION)
		guest_request_monitor_done(g, status, said);
	else if (type == VMBI_MSG_PAUSE)
		guest_request_paused(g, status);
}

static void vmbi_guest_request_posted(struct vmb_guest *g, uint32_t type, int outcome, uint32_t status)
{
	if (type == VMBI_MSG_RESUME) {
		if (outcome == VMBI_GUEST_MAYBE || (outcome == VMBI_GUEST_FAILED && g->state != VMB_BUS_LEAVING))
			return; /* it may be asked for again; but who leaves has only this try */
		g->paused = 0;
		vmbi_guest_wait_again(g);
		return;
	}
	if (outcome == VMBI_GUEST_FAILED) {
		g->asking = 0;
		g->paused = 0;
		guest_request_failed(g, type, VMB_EPLATFORM, status);
		return;
	}
	g->asking = type;
	g->paused = type == VMBI_MSG_PAUSE;
	if (outcome == VMBI_GUEST_SENT)
		vmbi_guest_clock(g, g->cfg.reply_ms);
}

static int guest_request_answered(struct vmb_guest *g, uint32_t type)
{
	if (g->asking != type)
		return 0;
	g->asking = 0;
	if (g->send == type) /* should it be waiting to be repeated */
		g->send = 0;
	vmbi_guest_clock(g, 0);
	return 1;
}

static int vmbi_guest_on_paused(struct vmb_guest *g)
{
	if (!guest_request_answered(g, VMBI_MSG_PAUSE))
		return 0;
	guest_request_paused(g, 0);
	return 1;
}

static int vmbi_guest_on_monitor(struct vmb_guest *g, const uint8_t *msg)
{
	uint32_t said = msg[VMBI_AT(MODIFY_CONNECTION_RESPONSE, connection_state)];

	if (!guest_request_answered(g, VMBI_MSG_MODIFY_CONNECTION))
		return 0;
	guest_request_monitor_done(g, said ? VMB_EREFUSED : 0, said);
	return 1;
}

static void vmbi_guest_request_timeout(struct vmb_guest *g)
{
	uint32_t type = g->asking;

	g->asking = 0;
	vmbi_guest_clock(g, 0);
	guest_request_failed(g, type, VMB_ETIMEDOUT, 0);
}

/* ---- sockets */

static uint32_t guest_request_node(const struct vmb_guest *g, const struct vmbi_gs *s)
{
	return VMBI_GUEST_NODE_CONNECT(g, (uint32_t)(s - g->connects));
}

static void guest_request_connect_done(struct vmb_guest *g, struct vmbi_gs *s, int32_t status, uint32_t said)
{
	uint32_t node = guest_request_node(g, s);

	vmbi_guest_unwait(g, node);
	s->state = VMBI_GS_DONE;
	s->status = status;
	s->said = said;
	vmbi_guest_mark(g, node, VMBI_GE_GONE);
}

static void vmbi_guest_connect_told(struct vmb_guest *g, struct vmbi_gs *s)
{
	s->state = VMBI_GS_FREE;
	s->next = g->free_connect;
	g->free_connect = (uint32_t)(s - g->connects);
}

static struct vmbi_gs *guest_request_connect_find(struct vmb_guest *g, const void *endpoint, const void *service)
{
	for (uint32_t k = 1; k <= g->cfg.max_hvsock; k++) {
		struct vmbi_gs *s = &g->connects[k];

		if ((s->state == VMBI_GS_SENT || s->state == VMBI_GS_QUEUED) && !VMBI_MEMCMP(&s->endpoint, endpoint, 16) &&
		    !VMBI_MEMCMP(&s->service, service, 16))
			return s;
	}
	return NULL;
}

static int guest_request_connect(struct vmb_guest *g, const struct vmb_hvsock *socket, uint64_t user)
{
	struct vmbi_gs *s;

	if (socket->flags || socket->reserved || vmbi_guid_is_zero(&socket->service))
		return VMB_EINVAL;
	if (g->state != VMB_BUS_CONNECTED && g->state != VMB_BUS_RUNNING)
		return VMB_ESTATE;
	if (g->version < VMB_V4_0)
		return VMB_EVERSION;
	if (guest_request_connect_find(g, &socket->endpoint, &socket->service))
		return VMB_EINVAL;
	if (!g->free_connect)
		return VMB_ENOSPACE;
	s = &g->connects[g->free_connect];
	g->free_connect = s->next;
	*s = (struct vmbi_gs){ .endpoint = socket->endpoint, .service = socket->service, .silo = socket->silo, .user = user,
			       .state = VMBI_GS_QUEUED };
	vmbi_guest_queue(g, guest_request_node(g, s));
	return 0;
}

int vmb_guest_hvsock(struct vmb_guest *g, const struct vmb_hvsock *socket, uint64_t user)
{
	int r = socket ? vmbi_guest_enter(g) : VMB_EINVAL;

	return r < 0 ? r : vmbi_guest_leave(g, guest_request_connect(g, socket, user));
}

static uint32_t vmbi_guest_connect_message(struct vmb_guest *g, struct vmbi_gs *s, uint8_t *out)
{
	int len;

	if (s->state != VMBI_GS_QUEUED)
		return 0;
	len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_TL_CONNECT_REQUEST, g->version, g->features);
	VMBI_MEMCPY(out + VMBI_AT(TL_CONNECT_REQUEST, endpoint_id), &s->endpoint, 16);
	VMBI_MEMCPY(out + VMBI_AT(TL_CONNECT_REQUEST, service_id), &s->service, 16);
	if (g->version >= VMB_V5_2)
		VMBI_MEMCPY(out + VMBI_AT(TL_CONNECT_REQUEST, silo_id), &s->silo, 16);
	return (uint32_t)len;
}

static void vmbi_guest_connect_posted(struct vmb_guest *g, struct vmbi_gs *s, int outcome, uint32_t status)
{
	if (outcome == VMBI_GUEST_FAILED) {
		guest_request_connect_done(g, s, VMB_EPLATFORM, status);
	} else if (outcome == VMBI_GUEST_SENT) {
		s->state = VMBI_GS_SENT;
		vmbi_guest_wait(g, guest_request_node(g, s));
	}
}

static void vmbi_guest_connect_timeout(struct vmb_guest *g, struct vmbi_gs *s)
{
	guest_request_connect_done(g, s, VMB_ETIMEDOUT, 0);
}

/* It is a refusal: success is an offer. control-plane.md 15.1 */
static int vmbi_guest_on_connect_result(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gs *s = guest_request_connect_find(g, msg + VMBI_AT(TL_CONNECT_RESULT, endpoint_id),
						       msg + VMBI_AT(TL_CONNECT_RESULT, service_id));
	uint32_t status = vmbi_get32(msg + VMBI_AT(TL_CONNECT_RESULT, status));

	if (!s || !(status >> 31))
		return 0;
	guest_request_connect_done(g, s, VMB_EREFUSED, status);
	return 1;
}

static uint32_t vmbi_guest_connect_offered(struct vmb_guest *g, const struct vmb_offer *o)
{
	struct vmb_hvsock socket;
	struct vmbi_gs *s;

	if (vmb_hvsock_of(o, &socket) < 0 || socket.flags & VMB_HVSOCK_TO_GUEST)
		return 0;
	s = guest_request_connect_find(g, &socket.endpoint, &socket.service);
	if (!s)
		return 0;
	vmbi_guest_unwait(g, guest_request_node(g, s));
	s->state = VMBI_GS_OFFERED;
	return (uint32_t)(s - g->connects);
}

static void vmbi_guest_connect_lost(struct vmb_guest *g, uint32_t connect)
{
	if (connect)
		guest_request_connect_done(g, &g->connects[connect], VMB_ERESCINDED, 0);
}

/* ---- a reserved channel of somebody else */

static void guest_request_closed(struct vmb_guest *g, int32_t status)
{
	uint32_t node = VMBI_GUEST_NODE_CLOSER(g);

	vmbi_guest_unwait(g, node);
	g->closer.id = g->closer.out = 0;
	g->closer_status = status;
	vmbi_guest_mark(g, node, VMBI_GE_GONE);
}

static int guest_request_close(struct vmb_guest *g, uint32_t id, uint32_t vp, uint32_t sint)
{
	uint32_t node = VMBI_GUEST_NODE_CLOSER(g);

	if (!id || id > VMBI_MAX_CHANNEL_ID || sint > 15)
		return VMB_EINVAL;
	if (g->closer.id || g->marks[node] || vmbi_guest_map_get(g, g->ids, id))
		return VMB_ESTATE;
	g->closer.id = id;
	g->closer.vp = vp;
	g->closer.sint = sint;
	vmbi_guest_queue(g, node);
	return 0;
}

int vmb_guest_close_reserved(struct vmb_guest *g, uint32_t channel_id, uint32_t vp, uint32_t sint)
{
	int r = vmbi_guest_enter(g);

	return r < 0 ? r : vmbi_guest_leave(g, guest_request_close(g, channel_id, vp, sint));
}

static uint32_t vmbi_guest_closer_message(struct vmb_guest *g, uint8_t *out)
{
	if (!g->closer.id)
		return 0;
	return vmbi_guest_close_reserved_message(out, g->closer.id, g->closer.vp, g->closer.sint);
}

static uint32_t vmbi_guest_close_reserved_message(uint8_t *out, uint32_t id, uint32_t vp, uint32_t sint)
{
	int len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_CLOSE_RESERVED_CHANNEL, 0, 0);

	vmbi_put32(out + VMBI_AT(CLOSE_RESERVED_CHANNEL, channel_id), id);
	vmbi_put32(out + VMBI_AT(CLOSE_RESERVED_CHANNEL, target_vp), vp);
	vmbi_put32(out + VMBI_AT(CLOSE_RESERVED_CHANNEL, target_sint), sint);
	return (uint32_t)len;
}

static void vmbi_guest_closer_posted(struct vmb_guest *g, int outcome)
{
	if (outcome == VMBI_GUEST_FAILED) {
		guest_request_closed(g, VMB_EPLATFORM);
		return;
	}
	g->closer.out = 1;
	if (outcome == VMBI_GUEST_SENT)
		vmbi_guest_wait(g, VMBI_GUEST_NODE_CLOSER(g));
}

static void vmbi_guest_closer_timeout(struct vmb_guest *g)
{
	guest_request_closed(g, VMB_ETIMEDOUT);
}

static int vmbi_guest_on_closer(struct vmb_guest *g, uint32_t id)
{
	if (!g->closer.out || g->closer.id != id)
		return 0;
	guest_request_closed(g, 0);
	return 1;
}

/* ---- the end */

static void vmbi_guest_requests_end(struct vmb_guest *g)
{
	uint32_t node = VMBI_GUEST_NODE_CONNECTION(g);

	vmbi_guest_unmark(g, node, VMBI_GE_MONITOR | VMBI_GE_PAUSED);
	g->asking = g->paused = 0;
	for (uint32_t i = 0; i < 2; i++) {
		g->monitor_gpa[i] = 0;
		g->monitor_page[i] = NULL;
	}
	for (uint32_t k = 1; k <= g->cfg.max_hvsock; k++)
		if (g->connects[k].state == VMBI_GS_QUEUED || g->connects[k].state == VMBI_GS_SENT)
			guest_request_connect_done(g, &g->connects[k], VMB_ERESCINDED, 0);
}

/* ---- lib/bus/guest_crash.c ---- */
/*
 * UNLOAD by a dying system: one word, published while there is a connection, and the embedder's post. Nothing else of the end is looked at,
 * for its lock may be held by a CPU that is dead. control-plane.md 11, 19
 */

static int guest_crash_post(struct vmb_guest *g, uint32_t unloadable)
{
	uint8_t msg[8] = { VMBI_MSG_UNLOAD };
	int status;

	if (!unloadable)
		return VMB_ESTATE;
	status = g->cfg.post(g->cfg.ctx, unloadable & ~VMBI_GUEST_UNLOADABLE, msg, sizeof msg);
	if (status == VMB_HV_SUCCESS)
		return 0;
	return vmbi_guest_is_busy(status, VMBI_MSG_UNLOAD) ? VMB_EAGAIN : VMB_EPLATFORM;
}

/* Whatever else the host had to say is for nobody any more. */
static int guest_crash_look(void *slot)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len = 0;
	int taken = vmbi_slot_take(slot, msg, &len);

	if (taken > 0 && (len < 8 || vmbi_get32(msg) != VMBI_MSG_UNLOAD_COMPLETE))
		taken &= ~VMB_YES;
	return taken;
}

int vmb_guest_crash(struct vmb_guest *g, void *slot)
{
	if (!g)
		return VMB_EINVAL;
	return slot ? guest_crash_look(slot) : guest_crash_post(g, VMBI_LOAD32_RELAXED(&g->unloadable));
}

#ifdef __clang__
# pragma clang diagnostic pop
#endif
