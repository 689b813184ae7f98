/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Making a page list of memory as its owner sees it. Neighbours become one range wherever the wire can say so, because some
 * device models take one range with many pages better than many ranges. ring.md 5.3, 11.3
 */
#include "list.h"

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
