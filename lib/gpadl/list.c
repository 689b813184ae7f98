/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Page lists as data: the check that everything from outside goes through, and the walk over ranges. gpadl.md 3.1, ring.md 9.1 */
#include "list.h"

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
