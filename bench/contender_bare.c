/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The limit: a ring for one producer and one consumer that carries no VMBus framing and checks nothing. Eight bytes of length before each
 * payload; indexes on lines of their own, the other side's cached; memory mapped twice, so that no packet is cut.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct c {
	uint64_t *in, *out;     /* in shared memory */
	uint8_t *data;
	uint64_t size;
	uint64_t at, out_seen __attribute__((aligned(64)));  /* the writer's */
	uint64_t from, in_seen __attribute__((aligned(64))), sum; /* the reader's */
};

int bare_put(struct c *c, const uint8_t *from, uint32_t len);
uint8_t *bare_place(struct c *c, uint32_t len);
void bare_publish(struct c *c);
int bare_get(struct c *c, uint8_t *to);
const uint8_t *bare_look(struct c *c, uint32_t *len);
void bare_release(struct c *c);

__attribute__((noinline)) uint8_t *bare_place(struct c *c, uint32_t len)
{
	uint64_t need = 8 + ((len + 7ull) & ~7ull), length = len;
	uint8_t *at;

	if (c->size - (c->at - c->out_seen) < need) {
		c->out_seen = __atomic_load_n(c->out, __ATOMIC_ACQUIRE);
		if (c->size - (c->at - c->out_seen) < need)
			return NULL;
	}
	at = c->data + (c->at & (c->size - 1));
	memcpy(at, &length, 8);
	c->at += need;
	return at + 8;
}

__attribute__((noinline)) int bare_put(struct c *c, const uint8_t *from, uint32_t len)
{
	uint64_t need = 8 + ((len + 7ull) & ~7ull), length = len;
	uint8_t *at;

	if (c->size - (c->at - c->out_seen) < need) {
		c->out_seen = __atomic_load_n(c->out, __ATOMIC_ACQUIRE);
		if (c->size - (c->at - c->out_seen) < need)
			return 0;
	}
	at = c->data + (c->at & (c->size - 1));
	memcpy(at, &length, 8);
	memcpy(at + 8, from, len);
	c->at += need;
	return 1;
}

__attribute__((noinline)) void bare_publish(struct c *c)
{
	__atomic_store_n(c->in, c->at, __ATOMIC_RELEASE);
}

__attribute__((noinline)) const uint8_t *bare_look(struct c *c, uint32_t *len)
{
	const uint8_t *at;
	uint64_t length;

	if (c->from == c->in_seen) {
		c->in_seen = __atomic_load_n(c->in, __ATOMIC_ACQUIRE);
		if (c->from == c->in_seen)
			return NULL;
	}
	at = c->data + (c->from & (c->size - 1));
	memcpy(&length, at, 8);
	*len = (uint32_t)length;
	c->from += 8 + ((length + 7) & ~7ull);
	return at + 8;
}

__attribute__((noinline)) int bare_get(struct c *c, uint8_t *to)
{
	const uint8_t *at;
	uint64_t length;

	if (c->from == c->in_seen) {
		c->in_seen = __atomic_load_n(c->in, __ATOMIC_ACQUIRE);
		if (c->from == c->in_seen)
			return 0;
	}
	at = c->data + (c->from & (c->size - 1));
	memcpy(&length, at, 8);
	memcpy(to, at + 8, length);
	c->from += 8 + ((length + 7) & ~7ull);
	return 1;
}

__attribute__((noinline)) void bare_release(struct c *c)
{
	__atomic_store_n(c->out, c->from, __ATOMIC_RELEASE);
}

#define c_put bare_put
#define c_place bare_place
#define c_publish bare_publish
#define c_get bare_get
#define c_look bare_look
#define c_release bare_release
#include "contender.h"

static void *bare_open(const struct ring_memory *m, const struct ring_memory *back)
{
	struct c *c = aligned_alloc(64, (sizeof *c + 63) / 64 * 64);

	(void)back;
	if (!c || m->pages & (m->pages - 1))
		return NULL;
	memset(c, 0, sizeof *c);
	memset(m->control, 0, BENCH_PAGE);
	c->in = (uint64_t *)(void *)m->control;
	c->out = (uint64_t *)(void *)(m->control + 128);
	c->data = m->data;
	c->size = (uint64_t)m->pages * BENCH_PAGE;
	return c;
}

CONTENDER = { .layer = "ring", .name = "bare", .memories = MEMORY_TWICE, .in_place = 1, .batches = 1, .open = bare_open,
				     .close = free, CONTENDER_LOOPS };
