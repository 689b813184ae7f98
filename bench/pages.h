/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The pages that libvmbus's contenders name in a GPA-direct packet, whole and each in a range of its own: the first n of them are 2 * n words. */
#ifndef BENCH_PAGES_H
#define BENCH_PAGES_H

#include <vmbus.h>

#include "bench.h"

static inline void pages_name(uint64_t words[2 * PAGES_MOST])
{
	for (uint32_t i = 0; i < PAGES_MOST; i++) {
		words[2 * i] = VMB_RANGE(BENCH_PAGE, 0);
		words[2 * i + 1] = 1000 + 7 * i;
	}
}

#endif
