/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Two channels over one pair of rings, for programs with threads: side 0 and side 1. A signal wakes all threads of the other
 * side. A thread that sleeps does so until it is woken: a lost wake hangs the program, and the alarm ends it.
 */
#ifndef TEST_THREADS_CHANNEL_RIG_H
#define TEST_THREADS_CHANNEL_RIG_H

#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tally.h"
#include "vmbus.h"

#define WAKERS 2 /* threads of one side that sleep */

struct side {
	struct vmb_channel *ch;
	void *mem;
	sem_t wake[WAKERS];
	struct side *peer;
};

struct rings {
	struct side side[2];
	uint8_t *mem[2]; /* control page and data of what side i sends into */
};

static void wake_side(struct side *s)
{
	for (unsigned i = 0; i < WAKERS; i++)
		sem_post(&s->wake[i]);
}

static void rig_signal(void *ctx)
{
	struct side *s = ctx;

	wake_side(s->peer);
}

static void nap(struct side *s, unsigned who)
{
	while (sem_wait(&s->wake[who]))
		;
	while (!sem_trywait(&s->wake[who])) /* one wake is as good as many */
		;
}

static void *block(size_t align, size_t bytes)
{
	void *p = aligned_alloc(align, bytes);

	must(p != NULL, "memory");
	memset(p, 0, bytes);
	return p;
}

/* pages of data in each ring; cfg[i]: what is wanted of side i besides memory and signals */
static void rings_make(struct rings *r, uint32_t pages, const struct vmb_channel_config *cfg)
{
	for (unsigned i = 0; i < 2; i++)
		r->mem[i] = block(VMB_PAGE, (pages + 1) * VMB_PAGE);
	for (unsigned i = 0; i < 2; i++) {
		struct vmb_channel_config c = cfg[i];
		struct vmb_storage need;

		c.size = sizeof c;
		c.tx = (struct vmb_ring_mem){ .control = r->mem[i], .data = r->mem[i] + VMB_PAGE, .data_pages = pages };
		c.rx = (struct vmb_ring_mem){ .control = r->mem[!i], .data = r->mem[!i] + VMB_PAGE, .data_pages = pages };
		c.ctx = &r->side[i];
		c.signal = rig_signal;
		must(!vmb_channel_storage(&c, &need), "storage");
		r->side[i].mem = block(need.align, need.bytes);
		r->side[i].peer = &r->side[!i];
		for (unsigned k = 0; k < WAKERS; k++)
			sem_init(&r->side[i].wake[k], 0, 1); /* look once */
		must(!vmb_channel_init(r->side[i].mem, need.bytes, &c, &r->side[i].ch), "init");
	}
}

static void rings_free(struct rings *r)
{
	for (unsigned i = 0; i < 2; i++)
		must(!vmb_channel_end(r->side[i].ch, NULL, NULL), "end");
	for (unsigned i = 0; i < 2; i++) {
		free(r->side[i].mem);
		free(r->mem[i]);
		for (unsigned k = 0; k < WAKERS; k++)
			sem_destroy(&r->side[i].wake[k]);
	}
}

static pthread_t thread(void *(*body)(void *), void *arg)
{
	pthread_t t;

	must(!pthread_create(&t, NULL, body, arg), "thread");
	return t;
}

static inline uint32_t random_next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static int finish(void)
{
	return tally();
}

#endif /* TEST_THREADS_CHANNEL_RIG_H */
