/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Guest memory for tests of list access: some pages, a mapper that keeps books on every page it lends, and an oracle that knows
 * each byte of a list by its address and nothing else. Where `slow` is set, unmapped pages cannot be touched at all, and pages
 * mapped without VMB_MAP_WRITE cannot be written.
 */
#ifndef TEST_GPADL_MEMORY_H
#define TEST_GPADL_MEMORY_H

#include "vmbus.h"

#define MEMORY_PAGES 64u
#define MEMORY_FIRST 0x1000u /* number of the first page */
#define MEMORY_BYTES (MEMORY_PAGES * VMB_PAGE)

struct memory {
	uint8_t *bytes;         /* as the test sees them, always */
	uint8_t *lent;          /* the same memory as map gives it */
	struct vmb_mapper mapper;
	uint32_t maps, pages;   /* calls that succeeded; pages in them */
	uint32_t calls;         /* all */
	uint32_t most;          /* pages in one */
	uint32_t dirty[MEMORY_PAGES]; /* times that a page was unmapped as written */
	uint32_t fail_from, fail_count; /* so many calls fail, from that number on */
	uint64_t bad_pfn;       /* 0: none; any call with it fails */
	uint32_t slow;          /* 1: see above; 0: for many rounds */
	/* What is out: */
	uint32_t out, out_flags;
	uint64_t out_pfns[32];
	void *out_pages[32];
};

void memory_new(struct memory *m);
/* The next test of this memory: random bytes, nothing counted, nothing to fail. */
void memory_reset(struct memory *m, uint64_t *seed);
/* Nothing may be out. */
void memory_assert_balanced(const struct memory *m);

/* A list of `ranges` ranges over random pages of the memory, each page perhaps several times. */
uint32_t memory_list(uint64_t *words, uint32_t max, uint32_t ranges, uint64_t *seed);
/* The oracle: at[k] becomes the offset in m->bytes of byte k of the list. Returns how many bytes there are; at most max. */
uint32_t memory_bytes_of(const struct vmb_list *list, uint32_t *at, uint32_t max);

#endif /* TEST_GPADL_MEMORY_H */
