/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The memory of a ring: checking its description, walking its data area in runs, looking at its control page. ring.md 2, 11 */
#include "access.h"

uint32_t vmbi_ring_table(const struct vmb_ring_mem *mem)
{
	return mem->data ? 0 : 2 * mem->data_pages;
}

int vmbi_ring_check(const struct vmb_ring_mem *mem)
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

int vmbi_ring_place(struct vmbi_ring *r, uint8_t **table, const struct vmb_ring_mem *mem)
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

int vmbi_ring_cursor_ok(const struct vmbi_ring *r, const struct vmb_cursor *from)
{
	if (!from || !from->valid)
		return 1;
	return from->valid == 1 && !from->reserved && vmbi_ring_index_ok(from->index, r->size);
}

void vmbi_ring_write(const struct vmbi_ring *r, uint32_t pos, const void *src, uint32_t n)
{
	const uint8_t *from = src;
	uint32_t run;

	for (; n; n -= run, pos += run, from += run) {
		uint8_t *to = vmbi_ring_run(r, pos, n, &run);

		VMBI_COPY_IN(to, from, run);
	}
}

void vmbi_ring_read(const struct vmbi_ring *r, uint32_t pos, void *dst, uint32_t n)
{
	uint8_t *to = dst;
	uint32_t run;

	for (; n; n -= run, pos += run, to += run) {
		const uint8_t *from = vmbi_ring_run(r, pos, n, &run);

		VMBI_COPY_OUT(to, from, run);
	}
}

void vmbi_ring_words(const struct vmbi_ring *r, uint32_t pos, const uint64_t *words, uint32_t n)
{
	uint32_t run;

	for (; n; n -= run / 8, pos += run) {
		uint8_t *to = vmbi_ring_run(r, pos, n * 8, &run);

		for (uint32_t i = 0; i < run; i += 8, words++)
			VMBI_WRITE64(to + i, *words);
	}
}

int vmbi_ring_spans(const struct vmbi_ring *r, uint32_t pos, uint32_t n, struct vmb_span *spans, uint32_t max)
{
	uint32_t count = 0, run;

	for (; n && count < max; n -= run, pos += run, count++) {
		spans[count].base = vmbi_ring_run(r, pos, n, &run);
		spans[count].len = run;
	}
	return (int)count;
}

void vmbi_ring_mark_data(const struct vmbi_ring *r, const struct vmbi_dirty *dirty, uint32_t index, uint32_t n)
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
