/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The pool: all of RAM from 8 MiB on. It goes in short runs with holes between, so that one request becomes many ranges. */
#include "bare.h"

#define FIRST (0x800000u / VMB_PAGE)
#define MOST 32768u                      /* pages: 128 MiB */
#define RUN_MASK 15u                     /* 1...16 pages in a run */
#define LAST_WORD (VMB_PAGE / 8 - 1)

static uint8_t away[MOST];
static uint32_t pages, left, next;       /* next: where to look for the next run */
static uint64_t pattern, random;

void pages_init(uint64_t top, uint64_t number)
{
	uint64_t n = top / VMB_PAGE;

	if (n <= FIRST)
		die("too little memory", (int64_t)top);
	pages = n - FIRST < MOST ? (uint32_t)(n - FIRST) : MOST;
	left = pages;
	pattern = number;
	random = number | 1;
}

static volatile uint64_t *page(uint64_t pfn)
{
	return (volatile uint64_t *)(uintptr_t)(pfn * VMB_PAGE);
}

static uint32_t run_length(void)
{
	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	return 1 + (uint32_t)(random >> 32 & RUN_MASK);
}

uint32_t pages_give(uint32_t want, uint64_t *ranges, uint32_t max, uint32_t *n)
{
	uint32_t given = 0;

	for (*n = 0; given < want && left && *n < max; ++*n) {
		uint32_t most = run_length(), count;
		uint64_t pfn;

		while (away[next])
			next = (next + 1) % pages;
		pfn = FIRST + next;
		for (count = 0; count < most && given < want && next < pages && !away[next]; count++, next++, given++, left--) {
			page(FIRST + next)[0] = page(FIRST + next)[LAST_WORD] = pattern ^ (FIRST + next);
			away[next] = 1;
		}
		ranges[*n] = (uint64_t)count << 40 | pfn;
		next = next + 1 < pages ? next + 1 : 0;
	}
	return given;
}

uint32_t pages_take(uint64_t pfn, uint64_t count, uint32_t *wiped)
{
	uint32_t taken = 0;

	*wiped = 0;
	for (; count && pfn >= FIRST && pfn < FIRST + pages && away[pfn - FIRST]; pfn++, count--, taken++) {
		*wiped += !page(pfn)[0] && !page(pfn)[LAST_WORD];
		away[pfn - FIRST] = 0;
		left++;
	}
	return taken;
}

uint64_t pages_free(void)
{
	return left;
}
