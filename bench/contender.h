/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The loops of every contender. Its file defines before it includes this
 *
 *	struct c                                        both sides of a ring, with a uint64_t sum in it, the reader's
 *	int c_put(struct c *, const uint8_t *from, uint32_t len)   copy one packet in: 1, or 0 when full
 *	uint8_t *c_place(struct c *, uint32_t len)      room for one packet to be filled in place, or NULL when full
 *	void c_publish(struct c *)                      show the reader what was written
 *	int c_get(struct c *, uint8_t *to)              copy one packet out: 1, or 0 when empty
 *	const uint8_t *c_look(struct c *, uint32_t *len) one packet in place, or NULL when empty
 *	void c_release(struct c *)                      give space back
 *	COPIES_ONLY                                     if it has neither c_place nor c_look
 *
 * and behind it its `const struct contender contender`, of CONTENDER_LOOPS.
 */
#include "bench.h"

#include <string.h>

#define LOOP __attribute__((unused)) /* a contender may have some of its own */

static inline void pause_a_little(void)
{
#if defined __x86_64__
	__builtin_ia32_pause();
#elif defined __aarch64__
	__asm__ volatile("yield");
#endif
}

#ifdef COPIES_ONLY
static inline uint8_t *c_place(struct c *c, uint32_t len)
{
	(void)c, (void)len;
	return NULL;
}

static inline const uint8_t *c_look(struct c *c, uint32_t *len)
{
	(void)c, (void)len;
	return NULL;
}
#endif

/* Payload written in place, as a driver does that builds its message there. */
static inline int write_one(struct c *c, const uint8_t *text, uint32_t len, uint32_t flags)
{
	uint8_t *at;

	if (!(flags & IN_PLACE))
		return c_put(c, text, len);
	at = c_place(c, len);
	if (!at)
		return 0;
	memcpy(at, text, len);
	return 1;
}

/* In place, one word of each cache line is read; to check what came, all. */
static inline int read_one(struct c *c, uint8_t *to, uint32_t flags)
{
	uint64_t sum = 0, word;
	const uint8_t *at;
	uint32_t len;

	if (!(flags & IN_PLACE))
		return c_get(c, to);
	at = c_look(c, &len);
	if (!at)
		return 0;
	if (flags & CHECK) {
		memcpy(to, at, len);
		return 1;
	}
	for (uint32_t i = 0; i < len; i += 64) {
		memcpy(&word, at + i, 8);
		sum += word;
	}
	c->sum += sum;
	return 1;
}

static LOOP uint32_t loop_write(void *ring, const uint8_t *text, uint32_t n, uint32_t len, uint32_t batch, uint32_t flags)
{
	struct c *c = ring;
	uint32_t i, left = batch;

	for (i = 0; i < n && write_one(c, text, len, flags); i++)
		if (!--left) {
			c_publish(c);
			left = batch;
		}
	if (left != batch)
		c_publish(c);
	return i;
}

static LOOP uint32_t loop_read(void *ring, uint8_t *to, uint32_t n, uint32_t batch, uint32_t flags)
{
	struct c *c = ring;
	uint32_t i, left = batch;

	for (i = 0; i < n && read_one(c, to, flags); i++)
		if (!--left) {
			c_release(c);
			left = batch;
		}
	if (left != batch)
		c_release(c);
	return i;
}

static LOOP void loop_write_read(void *ring, const uint8_t *text, uint8_t *to, uint32_t n, uint32_t len, uint32_t batch, uint32_t flags)
{
	struct c *c = ring;

	for (uint32_t i = 0; i < n; i += batch) {
		for (uint32_t k = 0; k < batch; k++)
			write_one(c, text, len, flags);
		c_publish(c);
		for (uint32_t k = 0; k < batch; k++)
			read_one(c, to, flags);
		c_release(c);
	}
}

static LOOP void loop_produce(void *ring, const uint8_t *text, uint32_t n, uint32_t len, uint32_t batch, uint32_t flags)
{
	struct c *c = ring;
	uint32_t left = batch;

	for (uint32_t i = 0; i < n;) {
		if (write_one(c, text, len, flags)) {
			i++;
			if (!--left) {
				c_publish(c);
				left = batch;
			}
			continue;
		}
		if (left != batch) {
			c_publish(c);
			left = batch;
		}
		pause_a_little();
	}
	if (left != batch)
		c_publish(c);
}

static LOOP void loop_consume(void *ring, uint8_t *to, uint32_t n, uint32_t batch, uint32_t flags)
{
	struct c *c = ring;
	uint32_t left = batch;

	for (uint32_t i = 0; i < n;) {
		if (read_one(c, to, flags)) {
			i++;
			if (!--left) {
				c_release(c);
				left = batch;
			}
			continue;
		}
		if (left != batch) {
			c_release(c);
			left = batch;
		}
		pause_a_little();
	}
	if (left != batch)
		c_release(c);
}

static LOOP void loop_ask(void *out, void *in, const uint8_t *text, uint8_t *to, uint32_t n, uint32_t len)
{
	for (uint32_t i = 0; i < n; i++) {
		while (!write_one(out, text, len, 0))
			;
		c_publish(out);
		while (!read_one(in, to, 0))
			;
		c_release(in);
	}
}

static LOOP void loop_answer(void *out, void *in, uint8_t *to, uint32_t n, uint32_t len)
{
	for (uint32_t i = 0; i < n; i++) {
		while (!read_one(in, to, 0))
			;
		c_release(in);
		while (!write_one(out, to, len, 0))
			;
		c_publish(out);
	}
}

#define CONTENDER_LOOPS .write = loop_write, .read = loop_read, .write_read = loop_write_read, .produce = loop_produce, \
			.consume = loop_consume, .ask = loop_ask, .answer = loop_answer
