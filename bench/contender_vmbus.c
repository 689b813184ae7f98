/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* libvmbus's ring halves. Linked four ways: with the shared library, the static one, its sources by LTO, and the amalgamation. */
#include <stdlib.h>
#include <string.h>
#include <vmbus.h>

#include "pages.h"

struct c {
	struct vmb_tx *tx;
	struct vmb_rx *rx;
	struct vmb_packet packet;                           /* the writer's */
	struct vmb_packet came __attribute__((aligned(64))); /* the reader's */
	uint64_t sum;
	int facts[2]; /* of the last commit and release */
	uint64_t signals[2];
	struct vmb_packet paged; /* GPA direct */
	uint64_t words[2 * PAGES_MOST];
};

static inline int c_put(struct c *c, const uint8_t *from, uint32_t len)
{
	c->packet.payload = from;
	c->packet.len = len;
	return vmb_tx_put(c->tx, &c->packet) >= 0;
}

static inline uint8_t *c_place(struct c *c, uint32_t len)
{
	struct vmb_view v = { 0, 0 };
	struct vmb_span s = { NULL, 0 };
	void *at;

	c->packet.len = len;
	at = vmb_tx_place(c->tx, &c->packet);
	if (at)
		return at;
	if (vmb_tx_reserve(c->tx, &c->packet, &v) < 0 || vmb_tx_spans(c->tx, &v, 0, &s, 1) < 1)
		return NULL;
	return s.base;
}

static inline void c_publish(struct c *c)
{
	c->facts[0] = vmb_tx_commit(c->tx);
	if (c->facts[0] < 0)
		abort();
}

static inline int c_get(struct c *c, uint8_t *to)
{
	return vmb_rx_get(c->rx, to, PAYLOAD_MOST, &c->came) == VMB_YES;
}

static inline const uint8_t *c_look(struct c *c, uint32_t *len)
{
	struct vmb_view v;

	if (vmb_rx_next(c->rx, &c->came, &v) != VMB_YES)
		return NULL;
	*len = c->came.len;
	return c->came.payload;
}

static inline void c_release(struct c *c)
{
	c->facts[1] = vmb_rx_release(c->rx);
	if (c->facts[1] < 0)
		abort();
}

static inline void c_count(struct c *c, int side)
{
	c->signals[side] += (c->facts[side] & VMB_SIGNAL) != 0;
	if (side)
		c->signals[1] += (vmb_rx_sleep(c->rx) & VMB_SIGNAL) != 0;
}

static inline int c_put_pages(struct c *c, const uint8_t *from, uint32_t len, uint32_t pages)
{
	c->paged.payload = from;
	c->paged.len = len;
	c->paged.list.count = 2 * pages;
	c->paged.list.ranges = pages;
	return vmb_tx_put(c->tx, &c->paged) >= 0;
}

static inline int c_get_pages(struct c *c, uint8_t *to, int check)
{
	struct vmb_list list;

	if (vmb_rx_get(c->rx, to, PAYLOAD_MOST, &c->came) != VMB_YES ||
	    vmb_list_check((const uint64_t *)to + 1, c->came.list.count, c->came.list.ranges, &list, NULL) < 0)
		return 0;
	if (check)
		memmove(to, c->came.payload, c->came.len);
	return 1;
}

#define NAMES_PAGES
#define COUNTS_SIGNALS
#include "contender.h"

static void *half_memory(int r, const struct vmb_storage *need)
{
	return r < 0 ? NULL : aligned_alloc(64, (need->bytes + 63) / 64 * 64);
}

static void *vmbus_open(const struct ring_memory *m, const struct ring_memory *back)
{
	struct vmb_ring_mem ring = { .control = m->control, .data = m->data, .pages = m->kind == MEMORY_PAGES ? m->list : NULL,
				     .data_pages = m->pages, .flags = VMB_RING_FRESH | (m->kind == MEMORY_TWICE ? VMB_RING_TWICE : 0) };
	struct vmb_storage tx, rx;
	struct c *c = aligned_alloc(64, (sizeof *c + 63) / 64 * 64);
	void *tx_mem = half_memory(vmb_tx_storage(&ring, &tx), &tx), *rx_mem = half_memory(vmb_rx_storage(&ring, &rx), &rx);

	(void)back;
	if (!c || !tx_mem || !rx_mem)
		return NULL;
	memset(c, 0, sizeof *c);
	c->packet.kind = VMB_PKT_INBAND;
	c->paged = (struct vmb_packet){ .kind = VMB_PKT_GPA, .flags = VMB_PKT_WANTS_REPLY, .list = { c->words, 0, 0 } };
	pages_name(c->words);
	if (vmb_tx_init(tx_mem, tx.bytes, &ring, NULL, &c->tx) < 0)
		return NULL;
	ring.flags &= ~VMB_RING_FRESH;
	return vmb_rx_init(rx_mem, rx.bytes, &ring, NULL, &c->rx) < 0 ? NULL : c;
}

static void vmbus_close(void *ring)
{
	struct c *c = ring;

	vmb_tx_end(c->tx, NULL);
	vmb_rx_end(c->rx, NULL);
	free(c->tx);
	free(c->rx);
	free(c);
}

static uint64_t vmbus_signals(void *ring)
{
	const struct c *c = ring;

	return c->signals[0] + c->signals[1];
}

CONTENDER = { .layer = "ring", .name = BENCH_NAME, .memories = MEMORY_ONCE | MEMORY_TWICE | MEMORY_PAGES, .in_place = 1, .batches = 1, .pages = 1,
	      .signals = vmbus_signals, .open = vmbus_open, .close = vmbus_close, CONTENDER_LOOPS };
