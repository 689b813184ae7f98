/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* No ring at all: each payload copied into the memory and out again, one after the other. On one processor only. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct c {
	uint8_t *data;
	uint64_t size, at, from, sum;
	uint32_t len;
};

static inline int c_put(struct c *c, const uint8_t *from, uint32_t len)
{
	if (c->size - (c->at - c->from) < len)
		return 0;
	c->len = len;
	memcpy(c->data + (c->at & (c->size - 1)), from, len);
	c->at += len;
	return 1;
}

static inline int c_get(struct c *c, uint8_t *to)
{
	if (c->at == c->from)
		return 0;
	memcpy(to, c->data + (c->from & (c->size - 1)), c->len);
	c->from += c->len;
	return 1;
}

static inline void c_publish(struct c *c)
{
	(void)c;
	__asm__ volatile("" ::: "memory");
}

static inline void c_release(struct c *c)
{
	(void)c;
	__asm__ volatile("" ::: "memory");
}

#define COPIES_ONLY
#include "contender.h"

static void *memcpy_open(const struct ring_memory *m, const struct ring_memory *back)
{
	struct c *c = calloc(1, sizeof *c);

	(void)back;
	if (!c)
		return NULL;
	c->data = m->data;
	c->size = (uint64_t)m->pages * BENCH_PAGE;
	return c;
}

CONTENDER = { .layer = "ring", .name = "memcpy", .memories = MEMORY_TWICE, .in_place = 0, .batches = 1, .open = memcpy_open,
				     .close = free, CONTENDER_LOOPS };
