/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* One range word, taken apart and checked: what every walk over a page list is made of. gpadl.md 3, ring.md 5.3 */
#ifndef VMBI_LIST_H
#define VMBI_LIST_H

#include "vmbus.h"
#include "../env.h"

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
