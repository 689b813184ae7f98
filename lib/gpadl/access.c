/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Reading, writing and comparing through a page list. The list's words are private and checked at each step; the pages are shared
 * with a hostile peer, so every byte of them is touched once, by the copy macros, and what is compared is a copy.
 */
#include "access.h"
#include "list.h"

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

int vmbi_access_check(struct vmbi_access *a, uint64_t offset, uint32_t n)
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

int vmbi_access_run(struct vmbi_access *a, uint64_t offset, uint32_t n)
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
