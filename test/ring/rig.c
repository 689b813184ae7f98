/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Rings between inaccessible pages. Every mapping is of one memfd: control page first, then the data pages. */
#include "rig.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STORAGE_BYTES (256u * 1024) /* at most, of one half */

static void rig_need(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "rig: %s failed\n", what);
		abort();
	}
}

static void rig_map(const struct rig *r, uint8_t *at, uint32_t page, uint32_t pages)
{
	void *got = mmap(at, (size_t)pages * VMB_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, r->fd,
			 (off_t)page * VMB_PAGE);

	rig_need(got == at, "mmap");
}

/* Page i of a list lies at another place than i, and before its neighbour. */
static uint32_t rig_place(const struct rig *r, uint32_t i)
{
	return r->pages - 1 - i;
}

struct rig *rig_new(uint32_t kind, uint32_t pages)
{
	struct rig *r = calloc(1, sizeof *r);
	size_t at, total = (size_t)pages + 1;

	rig_need(r != NULL, "calloc");
	r->kind = kind;
	r->pages = pages;
	r->size = pages * VMB_PAGE;
	r->poison = 0xa5;
	r->fd = memfd_create("ring", 0);
	rig_need(r->fd >= 0 && !ftruncate(r->fd, (off_t)(total * VMB_PAGE)), "memfd");
	/* the test's view; a gap; control; a gap; data, twice or with gaps; a gap; storage, gap, storage, gap */
	r->range_bytes = (total + 3 + 2 * (size_t)pages + 2) * VMB_PAGE + 2 * (STORAGE_BYTES + VMB_PAGE);
	r->range = mmap(NULL, r->range_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	rig_need(r->range != MAP_FAILED, "mmap");
	rig_map(r, r->range, 0, (uint32_t)total);
	r->control = r->range;
	r->data = r->range + VMB_PAGE;
	at = (total + 1) * VMB_PAGE;
	r->mem.control = r->range + at;
	rig_map(r, r->mem.control, 0, 1);
	at += 2 * VMB_PAGE;
	r->mem.data_pages = pages;
	if (kind == RIG_LIST) {
		r->list = calloc(pages, sizeof *r->list);
		rig_need(r->list != NULL, "calloc");
		for (uint32_t i = 0; i < pages; i++) {
			r->list[i] = r->range + at + (size_t)rig_place(r, i) * 2 * VMB_PAGE;
			rig_map(r, r->list[i], 1 + i, 1);
		}
		r->mem.pages = r->list;
	} else {
		r->mem.data = r->range + at;
		rig_map(r, r->mem.data, 1, pages);
		if (kind == RIG_TWICE)
			rig_map(r, r->range + at + r->size, 1, pages);
		r->mem.flags = kind == RIG_TWICE ? VMB_RING_TWICE : 0;
	}
	at += (2 * (size_t)pages + 1) * VMB_PAGE;
	for (uint32_t i = 0; i < 2; i++) {
		r->storage[i] = r->range + at;
		rig_need(!mprotect(r->storage[i], STORAGE_BYTES, PROT_READ | PROT_WRITE), "mprotect");
		at += STORAGE_BYTES + VMB_PAGE;
	}
	return r;
}

void rig_free(struct rig *r)
{
	munmap(r->range, r->range_bytes);
	close(r->fd);
	free(r->list);
	free(r);
}

/* Storage of this many bytes that ends where the inaccessible page begins. */
static void *rig_storage(struct rig *r, uint32_t half, const struct vmb_storage *need)
{
	uint8_t *end = r->storage[half] + STORAGE_BYTES;

	rig_need(need->bytes <= STORAGE_BYTES && need->bytes % need->align == 0, "storage");
	end -= need->bytes;
	memset(end, r->poison, need->bytes);
	return end;
}

int rig_tx(struct rig *r, uint32_t flags, const struct vmb_cursor *from)
{
	struct vmb_ring_mem mem = r->mem;
	struct vmb_storage need;

	mem.flags |= flags;
	rig_need(!vmb_tx_storage(&mem, &need), "vmb_tx_storage");
	return vmb_tx_init(rig_storage(r, 0, &need), need.bytes, &mem, from, &r->tx);
}

int rig_rx(struct rig *r, uint32_t flags, const struct vmb_cursor *from)
{
	struct vmb_ring_mem mem = r->mem;
	struct vmb_storage need;

	mem.flags |= flags;
	rig_need(!vmb_rx_storage(&mem, &need), "vmb_rx_storage");
	return vmb_rx_init(rig_storage(r, 1, &need), need.bytes, &mem, from, &r->rx);
}

void rig_both_at(struct rig *r, uint32_t index)
{
	rig_set(r, RIG_IN, index);
	rig_set(r, RIG_OUT, index);
	rig_set(r, RIG_MASK, 0);
	rig_set(r, RIG_PENDING, 0);
	rig_need(!rig_tx(r, 0, NULL) && !rig_rx(r, 0, NULL), "init");
}

uint32_t rig_word(const struct rig *r, uint32_t word)
{
	return le32toh(*(volatile uint32_t *)(r->control + word));
}

void rig_set(struct rig *r, uint32_t word, uint32_t value)
{
	*(volatile uint32_t *)(r->control + word) = htole32(value);
}

uint64_t rig_qword(const struct rig *r, uint32_t index)
{
	return le64toh(*(volatile uint64_t *)(r->data + index % r->size));
}

void rig_set_qword(struct rig *r, uint32_t index, uint64_t value)
{
	*(volatile uint64_t *)(r->data + index % r->size) = htole64(value);
}

int rig_is_control(const struct rig *r, const void *p, uint32_t *word)
{
	uintptr_t at = (uintptr_t)p - (uintptr_t)r->mem.control;

	*word = (uint32_t)at;
	return at < VMB_PAGE;
}

struct vmb_packet rig_packet(const void *payload, uint32_t len)
{
	struct vmb_packet p = { 0 };

	p.kind = VMB_PKT_INBAND;
	p.payload = payload;
	p.len = len;
	return p;
}

int rig_send(struct rig *r, uint32_t len)
{
	uint8_t *payload = malloc(len + 1);
	struct vmb_packet p = rig_packet(payload, len);

	rig_need(payload != NULL, "malloc");
	for (uint32_t i = 0; i < len; i++)
		payload[i] = (uint8_t)i;
	rig_need(!vmb_tx_put(r->tx, &p), "vmb_tx_put");
	free(payload);
	return vmb_tx_commit(r->tx);
}

struct vmb_view rig_next(struct rig *r, struct vmb_packet *p)
{
	struct vmb_view all;

	rig_need(vmb_rx_next(r->rx, p, &all) == VMB_YES, "vmb_rx_next");
	return all;
}

int rig_in_place(const struct rig *r, const struct vmb_packet *p, const struct vmb_view *all)
{
	uint32_t start = (all->pos + r->size - 16) % r->size, total = all->len + 24;
	int plain = (p->kind == VMB_PKT_INBAND || p->kind == VMB_PKT_COMPLETION) && !p->head_len && p->flags <= VMB_PKT_WANTS_REPLY;
	const uint8_t *at = p->payload;

	if (r->kind == RIG_LIST) {
		int row = start % VMB_PAGE + total <= VMB_PAGE;

		return at == (plain && row ? (const uint8_t *)r->mem.pages[all->pos / VMB_PAGE] + all->pos % VMB_PAGE : NULL);
	}
	if (!plain || (r->kind == RIG_ONCE && start + total > r->size))
		return !at;
	return at && at >= (const uint8_t *)r->mem.data && (size_t)(at - (const uint8_t *)r->mem.data) % r->size == all->pos &&
	       at + total - 16 <= (const uint8_t *)r->mem.data + (r->kind == RIG_TWICE ? 2 : 1) * r->size;
}

uint32_t rig_random(uint64_t *state)
{
	uint32_t x = (uint32_t)((*state >> 18 ^ *state) >> 27), turn = (uint32_t)(*state >> 59);

	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return x >> turn | x << (-turn & 31);
}
