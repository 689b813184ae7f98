/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * DPDK's VMBus driver: its compiled ring and channel objects as Debian's libdpdk-dev has them, unmodified. What they want of the rest of DPDK
 * is below: it is never called while the rings work, but for rte_mem_page_size. Layouts are those of the objects of version 22.11: a channel has
 * its receiving ring at 0x20 and its sending one at 0x30 (rte_vmbus_chan_recv, rte_vmbus_chan_send), each a pointer and two words.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

struct vmbus_br {
	void *control;
	uint32_t bytes, index;
};

struct vmbus_channel {
	uint8_t before[0x20];
	struct vmbus_br rx, tx;
	uint8_t behind[0x40];
};

struct c {
	struct vmbus_channel channel;
	uint64_t sum;
	bool signal;
	uint64_t signals;
	struct vmbus_gpa {
		uint32_t len, offset;
		uint64_t page;
	} gpa[PAGES_MOST];
};

enum { INBAND = 6, ROOM = PAYLOAD_MOST + 64 };

void vmbus_br_setup(struct vmbus_br *br, void *control, unsigned bytes);
int rte_vmbus_chan_send(struct vmbus_channel *channel, uint16_t type, const void *data, uint32_t len, uint64_t id, uint32_t flags, bool *signal);
int rte_vmbus_chan_send_sglist(struct vmbus_channel *channel, struct vmbus_gpa gpa[], uint32_t n, void *data, uint32_t len, uint64_t id,
			       bool *signal);
int rte_vmbus_chan_recv(struct vmbus_channel *channel, void *data, uint32_t *len, uint64_t *id);

/* ---- the rest of DPDK */

int vmbus_logtype_bus;
size_t rte_mem_page_size(void);
size_t rte_mem_page_size(void)
{
	return BENCH_PAGE;
}

#define NEVER(name) \
	void name(void); \
	void name(void) \
	{ \
		fprintf(stderr, "bench: DPDK calls " #name "\n"); \
		abort(); \
	}
NEVER(__rte_panic)
NEVER(rte_log)
NEVER(rte_free)
NEVER(rte_zmalloc_socket)
NEVER(vmbus_uio_find_resource)
NEVER(vmbus_uio_get_subchan)
NEVER(vmbus_uio_map_rings)
NEVER(vmbus_uio_subchannels_supported)

/* ---- the contender. Each packet is published, and its space given back, at once: it has no other way. */

static inline int c_put(struct c *c, const uint8_t *from, uint32_t len)
{
	return rte_vmbus_chan_send(&c->channel, INBAND, from, len, 0, 0, &c->signal) == 0;
}

static inline int c_get(struct c *c, uint8_t *to)
{
	uint32_t len = ROOM;
	uint64_t id;

	return rte_vmbus_chan_recv(&c->channel, to, &len, &id) == 0;
}

static inline int c_put_pages(struct c *c, const uint8_t *from, uint32_t len, uint32_t pages)
{
	return rte_vmbus_chan_send_sglist(&c->channel, c->gpa, pages, (void *)(uintptr_t)from, len, 0, &c->signal) == 0;
}

/* It passes over the list. */
static inline int c_get_pages(struct c *c, uint8_t *to, int check)
{
	(void)check;
	return c_get(c, to);
}

static inline void c_publish(struct c *c)
{
	(void)c;
}

static inline void c_release(struct c *c)
{
	(void)c;
}

#define COPIES_ONLY

/* Those for data; that for room is another call (rte_vmbus_chan_signal_read). */
static inline void c_count(struct c *c, int side)
{
	if (side)
		return;
	c->signals += c->signal;
	c->signal = false;
}

#define NAMES_PAGES
#define COUNTS_SIGNALS
#include "contender.h"

static void *dpdk_open(const struct ring_memory *m, const struct ring_memory *back)
{
	struct c *c = aligned_alloc(64, (sizeof *c + 63) / 64 * 64);

	(void)back;
	if (!c || m->data != m->control + BENCH_PAGE)
		return NULL;
	memset(c, 0, sizeof *c);
	memset(m->control, 0, BENCH_PAGE);
	vmbus_br_setup(&c->channel.rx, m->control, (m->pages + 1) * BENCH_PAGE);
	c->channel.tx = c->channel.rx;
	for (uint32_t i = 0; i < PAGES_MOST; i++)
		c->gpa[i] = (struct vmbus_gpa){ BENCH_PAGE, 0, 1000 + 7 * i };
	return c;
}

static uint64_t dpdk_signals(void *ring)
{
	return ((const struct c *)ring)->signals;
}

CONTENDER = { .layer = "ring", .name = "dpdk", .memories = MEMORY_ONCE, .in_place = 0, .batches = 0, .pages = 1, .signals = dpdk_signals,
	      .open = dpdk_open, .close = free, CONTENDER_LOOPS };
