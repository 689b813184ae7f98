/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See loss.h. */
#define _GNU_SOURCE
#include "loss.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MISSING = 1024, PATIENCE_MS = 400, TOLD_MOST = 3 };

static const char *const name[LOSS_KINDS] = { "interrupt", "event", "message", "signal" };

static struct {
	unsigned period, at, chosen; /* of each `period` of them the `chosen`-th */
	struct loss_count count;
} kind_[LOSS_KINDS];

static struct missing {
	uint32_t vp, flag;
	uint64_t since;
	int used;
} missing[MISSING];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all here */
static uint64_t state = 1;
static int stopped;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static unsigned draw(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((state >> 33) % n);
}

const char *loss_name(enum loss_kind kind)
{
	return name[kind];
}

int loss_parse(const char *text)
{
	const char *value = strchr(text, '=');

	for (unsigned i = 0; value && i < LOSS_KINDS; i++)
		if (strlen(name[i]) == (size_t)(value - text) && !strncmp(name[i], text, (size_t)(value - text))) {
			kind_[i].period = (unsigned)strtoul(value + 1, NULL, 10);
			return kind_[i].period ? 0 : -1;
		}
	return -1;
}

void loss_seed(uint64_t seed)
{
	state = seed;
	for (unsigned i = 0; i < LOSS_KINDS; i++)
		if (kind_[i].period)
			kind_[i].chosen = draw(kind_[i].period);
}

void loss_stop(void)
{
	pthread_mutex_lock(&lock);
	stopped = 1;
	pthread_mutex_unlock(&lock);
}

int loss_wanted(void)
{
	for (unsigned i = 0; i < LOSS_KINDS; i++)
		if (kind_[i].period)
			return 1;
	return 0;
}

int loss_now(enum loss_kind kind)
{
	int lose;

	if (!kind_[kind].period)
		return 0;
	pthread_mutex_lock(&lock);
	lose = !stopped && kind_[kind].at == kind_[kind].chosen;
	kind_[kind].count.chances++;
	kind_[kind].count.lost += (unsigned)lose;
	if (++kind_[kind].at == kind_[kind].period) {
		kind_[kind].at = 0;
		kind_[kind].chosen = draw(kind_[kind].period);
	}
	pthread_mutex_unlock(&lock);
	return lose;
}

/* Under the lock. */
static void ended(enum loss_kind kind, enum loss_fate fate, unsigned n)
{
	kind_[kind].count.fate[fate] += n;
	if (fate == LOSS_REPORTED && kind_[kind].count.fate[fate] <= TOLD_MOST)
		fprintf(stderr, "VMB-NOTE: missing: %s; done again\n", name[kind]);
}

void loss_ended(enum loss_kind kind, enum loss_fate fate, unsigned n)
{
	pthread_mutex_lock(&lock);
	ended(kind, fate, n);
	pthread_mutex_unlock(&lock);
}

void loss_remember(uint32_t vp, uint32_t flag)
{
	unsigned i = 0;

	pthread_mutex_lock(&lock);
	while (i < MISSING && missing[i].used)
		i++;
	if (i < MISSING)
		missing[i] = (struct missing){ vp, flag, now_ms(), 1 };
	else
		fprintf(stderr, "loss: more than %d are missing\n", MISSING); /* and the sums will not add up */
	pthread_mutex_unlock(&lock);
}

static enum loss_kind missing_kind(const struct missing *m)
{
	return m->flag == LOSS_NO_FLAG ? LOSS_MESSAGE : LOSS_INTERRUPT;
}

static void missing_end(struct missing *m, enum loss_fate fate)
{
	m->used = 0;
	ended(missing_kind(m), fate, 1);
}

void loss_slot_was_free(uint32_t vp)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < MISSING; i++)
		if (missing[i].used && missing[i].vp == vp && missing[i].flag == LOSS_NO_FLAG)
			missing_end(&missing[i], LOSS_SELF);
	pthread_mutex_unlock(&lock);
}

/* Is what it should have told of still there? The first word of a slot is the message's type, 0 in a free one. */
static int missing_waits(const struct missing *m, const uint8_t *flags, const uint8_t *slot)
{
	uint32_t word;

	if (m->flag == LOSS_NO_FLAG)
		word = __atomic_load_n((const uint32_t *)(const void *)slot, __ATOMIC_ACQUIRE);
	else
		word = __atomic_load_n((const uint32_t *)(const void *)flags + m->flag / 32, __ATOMIC_ACQUIRE) & 1u << m->flag % 32;
	return word != 0;
}

int loss_look(uint32_t vp, const uint8_t *flags, const uint8_t *slot)
{
	uint64_t now = now_ms();
	int raise = 0;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < MISSING; i++) {
		if (!missing[i].used || missing[i].vp != vp)
			continue;
		/* no pages: the guest was reset or is off */
		if (!flags || !slot || !missing_waits(&missing[i], flags, slot)) {
			missing_end(&missing[i], LOSS_SELF);
		} else if (now - missing[i].since >= PATIENCE_MS) {
			missing_end(&missing[i], LOSS_REPORTED);
			raise = 1;
		}
	}
	pthread_mutex_unlock(&lock);
	return raise;
}

void loss_counts(enum loss_kind kind, struct loss_count *out)
{
	pthread_mutex_lock(&lock);
	*out = kind_[kind].count;
	pthread_mutex_unlock(&lock);
}
