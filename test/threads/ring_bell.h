/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What a signal does in the thread tests of the ring: it wakes the other side, once. A wake-up that was lost shows as a wait
 * that ends by time. */
#ifndef TEST_THREADS_RING_BELL_H
#define TEST_THREADS_RING_BELL_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "tally.h"

#define BELL_SECONDS 20

struct bell {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int rung;
	uint32_t waits; /* times that somebody had to wait for it */
};

#define BELL_INIT { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 }

static inline void bell_ring(struct bell *b)
{
	pthread_mutex_lock(&b->lock);
	b->rung = 1;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->lock);
}

/* 0: nobody rang. */
static inline int bell_wait(struct bell *b)
{
	struct timespec end;
	int rung, late = 0;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += BELL_SECONDS;
	pthread_mutex_lock(&b->lock);
	b->waits++;
	while (!b->rung && !late)
		late = pthread_cond_timedwait(&b->cond, &b->lock, &end);
	rung = b->rung;
	b->rung = 0;
	pthread_mutex_unlock(&b->lock);
	return rung;
}

#endif /* TEST_THREADS_RING_BELL_H */
