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
 *	int c_put_pages(struct c *, const uint8_t *from, uint32_t len, uint32_t pages)   as c_put, with pages named in a list
 *	int c_get_pages(struct c *, uint8_t *to, int check)        as c_get, the list looked at; check: the payload alone to `to`
 *	NAMES_PAGES                                     if it has these two
 *	void c_count(struct c *, int side)              count it if what c_publish (side 0) or c_release (1) did last asks for a signal; the reader
 *	                                                then sleeps, as one does that has found nothing
 *	COUNTS_SIGNALS                                  if it has that one
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

#ifndef COUNTS_SIGNALS
static inline void c_count(struct c *c, int side)
{
	(void)c, (void)side;
}
#endif

#ifndef NAMES_PAGES
static inline int c_put_pages(struct c *c, const uint8_t *from, uint32_t len, uint32_t pages)
{
	(void)c, (void)from, (void)len, (void)pages;
	return 0;
}

static inline int c_get_pages(struct c *c, uint8_t *to, int check)
{
	(void)c, (void)to, (void)check;
	return 0;
}
#endif

/* Payload written in place, as a driver does that builds its message there. */
static inline int write_one(struct c *c, const uint8_t *text, uint32_t len, uint32_t flags)
{
	uint8_t *at;

	if (flags >> PAGES)
		return c_put_pages(c, text, len, flags >> PAGES);
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

	if (flags >> PAGES)
		return c_get_pages(c, to, flags & CHECK);
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

static inline void publish(struct c *c, uint32_t flags)
{
	c_publish(c);
	if (flags & COUNT)
		c_count(c, 0);
}

static inline void give_back(struct c *c, uint32_t flags)
{
	c_release(c);
	if (flags & COUNT)
		c_count(c, 1);
}

static LOOP uint32_t loop_write(void *ring, const uint8_t *text, uint32_t n, uint32_t len, uint32_t batch, uint32_t flags)
{
	struct c *c = ring;
	uint32_t i, left = batch;

	for (i = 0; i < n && write_one(c, text, len, flags); i++)
		if (!--left) {
			publish(c, flags);
			left = batch;
		}
	if (left != batch)
		publish(c, flags);
	return i;
}

static LOOP uint32_t loop_read(void *ring, uint8_t *to, uint32_t n, uint32_t batch, uint32_t flags)
{
	struct c *c = ring;
	uint32_t i, left = batch;

	for (i = 0; i < n && read_one(c, to, flags); i++)
		if (!--left) {
			give_back(c, flags);
			left = batch;
		}
	if (left != batch)
		give_back(c, flags);
	return i;
}

static LOOP void loop_write_read(void *ring, const uint8_t *text, uint8_t *to, uint32_t n, uint32_t len, uint32_t batch, uint32_t flags)
{
	struct c *c = ring;

	for (uint32_t i = 0; i < n; i += batch) {
		for (uint32_t k = 0; k < batch; k++)
			write_one(c, text, len, flags);
		publish(c, flags);
		for (uint32_t k = 0; k < batch; k++)
			read_one(c, to, flags);
		give_back(c, flags);
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
				publish(c, flags);
				left = batch;
			}
			continue;
		}
		if (left != batch) {
			publish(c, flags);
			left = batch;
		}
		pause_a_little();
	}
	if (left != batch)
		publish(c, flags);
}

static LOOP void loop_consume(void *ring, uint8_t *to, uint32_t n, uint32_t batch, uint32_t flags)
{
	struct c *c = ring;
	uint32_t left = batch;

	for (uint32_t i = 0; i < n;) {
		if (read_one(c, to, flags)) {
			i++;
			if (!--left) {
				give_back(c, flags);
				left = batch;
			}
			continue;
		}
		if (left != batch) {
			give_back(c, flags);
			left = batch;
		}
		pause_a_little();
	}
	if (left != batch)
		give_back(c, flags);
}

static LOOP void loop_ask(void *out, void *in, const uint8_t *text, uint8_t *to, uint32_t n, uint32_t len, uint32_t flags)
{
	for (uint32_t i = 0; i < n; i++) {
		while (!write_one(out, text, len, flags))
			;
		publish(out, flags);
		while (!read_one(in, to, flags))
			;
		give_back(in, flags);
	}
}

static LOOP void loop_answer(void *out, void *in, uint8_t *to, uint32_t n, uint32_t len, uint32_t flags)
{
	for (uint32_t i = 0; i < n; i++) {
		while (!read_one(in, to, flags))
			;
		give_back(in, flags);
		while (!write_one(out, to, len, flags))
			;
		publish(out, flags);
	}
}

#define CONTENDER_LOOPS .write = loop_write, .read = loop_read, .write_read = loop_write_read, .produce = loop_produce, \
			.consume = loop_consume, .ask = loop_ask, .answer = loop_answer
