/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A port of lib/env.h (VMB_ENV_HEADER) for walk.h. It replaces what env.h is made of, the compiler's atomics, so that what is
 * walked is env.h itself: its orders, and its way to publish. ORDER_PORTABLE: the way of processors other than x86. Nothing but lib/
 * may be included after this.
 */
#ifndef TEST_ORDER_ATOMICS_H
#define TEST_ORDER_ATOMICS_H

#include "test/order/walk.h"

#define __atomic_load_n(p, order) ((__typeof__(*(p)))walk_load((p), sizeof *(p), (order)))
#define __atomic_store_n(p, v, order) walk_store((p), sizeof *(p), (v), (order))
#define __atomic_exchange_n(p, v, order) ((__typeof__(*(p)))walk_exchange((p), sizeof *(p), (v), (order)))
#define __atomic_fetch_or(p, v, order) ((__typeof__(*(p)))walk_or((p), sizeof *(p), (v), (order)))
#define __atomic_thread_fence(order) walk_fence(order)

#define VMBI_COPY_OUT(dst, shared, n) walk_copy_out((dst), (shared), (n))
#define VMBI_COPY_IN(shared, src, n) walk_copy_in((shared), (src), (n))

#ifdef ORDER_PORTABLE
# undef __x86_64__
# undef __i386__
#endif

#endif /* TEST_ORDER_ATOMICS_H */
