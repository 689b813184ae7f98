/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * How a sample is taken: rings opened anew, some packets first that nobody counts, then as many as take SAMPLE_NS. A loop of plain arithmetic
 * before and after tells whether somebody else had the processor, or its clock had changed: then the sample is thrown away.
 */
#define _GNU_SOURCE
#include "measure.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLE_NS = 1500000, WARM = 2000, REFERENCE_ROUNDS = 20000, TRIES = 4, LINE_ROUNDS = 2000, CHECK_PACKETS = 20000, COUNTED = 64000 };
#define DISTURBED 1.05 /* a reference loop takes so many times its best */

const char *const work_names[WORKS] = { "write-read", "fill", "drain", "stream", "request" };

static double reference_best = 1e30;
static uint8_t text[PAYLOAD_MOST + 64] __attribute__((aligned(64))), to[2][PAYLOAD_MOST + 64] __attribute__((aligned(64)));

const char *memory_name(enum memory m)
{
	return m == MEMORY_TWICE ? "twice" : m == MEMORY_ONCE ? "once" : "pages";
}

const char *mode_name(const struct cell *c)
{
	static const char *const names[] = { "single", "batch", "in-place", "in-place-batch" };
	static const char *const paged[][2] = { { "1-page", "1-page-batch" }, { "8-pages", "8-pages-batch" }, { "32-pages", "32-pages-batch" } };

	if (c->pages)
		return paged[c->pages < 8 ? 0 : c->pages < 32 ? 1 : 2][c->batch > 1];
	return names[c->in_place * 2 + (c->batch > 1)];
}

int takes_two(enum work w)
{
	return w == STREAM || w == REQUEST;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- memory of rings */

static void *map_or_stop(void *at, size_t bytes, int fd, off_t offset)
{
	void *p = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0) | MAP_POPULATE, fd, offset);

	if (p == MAP_FAILED) {
		perror("bench: mmap");
		exit(1);
	}
	return p;
}

static void ring_make(struct ring_memory *m, enum memory kind, uint32_t bytes)
{
	size_t data = bytes, room = BENCH_PAGE + 2 * data;
	int fd = memfd_create("bench", 0);

	if (fd < 0 || ftruncate(fd, (off_t)(BENCH_PAGE + data)) < 0) {
		perror("bench: memfd");
		exit(1);
	}
	m->kind = kind;
	m->pages = bytes / BENCH_PAGE;
	m->control = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	map_or_stop(m->control, BENCH_PAGE + data, fd, 0);
	m->data = m->control + BENCH_PAGE;
	m->list = NULL;
	if (kind == MEMORY_TWICE)
		map_or_stop(m->data + data, data, fd, BENCH_PAGE);
	if (kind == MEMORY_PAGES) { /* in no order */
		m->list = malloc(m->pages * sizeof *m->list);
		for (uint32_t i = 0; m->list && i < m->pages; i++)
			m->list[i] = m->data + (size_t)((i * 7 + 3) % m->pages) * BENCH_PAGE;
		m->data = NULL;
	}
	close(fd);
}

static void ring_drop(struct ring_memory *m)
{
	munmap(m->control, BENCH_PAGE + 2 * (size_t)m->pages * BENCH_PAGE);
	free(m->list);
}

/* ---- the other thread: does one job at a time, on its own processor */

static struct {
	int job __attribute__((aligned(64))); /* counts up when there is one; the other thread follows with done */
	int done __attribute__((aligned(64)));
	uint32_t line __attribute__((aligned(64)));
	void (*run)(void);
} other;

static const struct cell *job_cell;
static void *job_ring[2];
static uint32_t job_packets;

static void *other_main(void *unused)
{
	for (int seen = 0;;) {
		while (__atomic_load_n(&other.job, __ATOMIC_ACQUIRE) == seen)
			sched_yield();
		seen++;
		other.run();
		__atomic_store_n(&other.done, seen, __ATOMIC_RELEASE);
	}
	return unused;
}

static void other_start(void (*run)(void))
{
	other.run = run;
	__atomic_fetch_add(&other.job, 1, __ATOMIC_ACQ_REL);
}

static void other_wait(void)
{
	while (__atomic_load_n(&other.done, __ATOMIC_ACQUIRE) != __atomic_load_n(&other.job, __ATOMIC_RELAXED))
		;
}

static void pin(pthread_t thread, size_t processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	pthread_setaffinity_np(thread, sizeof set, &set);
}

int measure_start(void)
{
	cpu_set_t set;
	pthread_t thread;
	size_t found = 0, cpu[2] = { 0, 0 };

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)(i * 131 + (i >> 8));
	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return -1;
	for (size_t i = 0; i < CPU_SETSIZE && found < 2; i++)
		if (CPU_ISSET(i, &set))
			cpu[found++] = i;
	pin(pthread_self(), cpu[0]);
	if (found < 2 || pthread_create(&thread, NULL, other_main, NULL))
		return -1;
	pin(thread, cpu[1]);
	return 0;
}

/* ---- is anybody else here? */

static double reference(void)
{
	uint64_t x = 88172645463325252u;
	double start = now();

	for (int i = 0; i < REFERENCE_ROUNDS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		__asm__ volatile("" : "+r"(x));
	}
	return now() - start;
}

static int undisturbed(void)
{
	double ns = reference();

	if (ns < reference_best)
		reference_best = ns;
	return ns <= DISTURBED * reference_best;
}

static void line_answer(void)
{
	for (uint32_t i = 0; i < LINE_ROUNDS; i++) {
		while (__atomic_load_n(&other.line, __ATOMIC_ACQUIRE) != 2 * i + 1)
			;
		__atomic_store_n(&other.line, 2 * i + 2, __ATOMIC_RELEASE);
	}
}

static double line_round_trip(void)
{
	double start;

	other.line = 0;
	other_start(line_answer);
	start = now();
	for (uint32_t i = 0; i < LINE_ROUNDS; i++) {
		__atomic_store_n(&other.line, 2 * i + 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&other.line, __ATOMIC_ACQUIRE) != 2 * i + 2)
			;
	}
	start = now() - start;
	other_wait();
	return start / LINE_ROUNDS;
}

/* ---- works. Each returns nanoseconds for n packets, or, where n is what fits, for as many as *n says afterwards */

static uint32_t counting; /* COUNT, or 0 */

static uint32_t flags_of(const struct cell *c)
{
	return (c->in_place ? IN_PLACE : 0) | c->pages << PAGES | counting;
}

static void stream_read(void)
{
	const struct cell *c = job_cell;

	c->contender->consume(job_ring[0], to[1], job_packets, c->batch, flags_of(c));
}

static void request_answer(void)
{
	const struct cell *c = job_cell;

	c->contender->answer(job_ring[1], job_ring[0], to[1], job_packets, c->payload, flags_of(c));
}

static double run(const struct cell *c, void **ring, uint32_t *n)
{
	const struct contender *x = c->contender;
	uint32_t done = 0, got;
	double start = now(), spent = 0;

	job_cell = c;
	job_ring[0] = ring[0];
	job_ring[1] = ring[1];
	job_packets = *n;
	switch (c->work) {
	case WRITE_READ:
		x->write_read(ring[0], text, to[0], *n, c->payload, c->batch, flags_of(c));
		return now() - start;
	case FILL:
	case DRAIN:
		while (done < *n) {
			start = now();
			got = x->write(ring[0], text, UINT32_MAX, c->payload, c->batch, flags_of(c));
			spent += c->work == FILL ? now() - start : 0;
			start = now();
			x->read(ring[0], to[0], got, c->batch, flags_of(c));
			spent += c->work == DRAIN ? now() - start : 0;
			done += got;
			if (!got)
				return -1;
		}
		*n = done;
		return spent;
	case STREAM:
		other_start(stream_read);
		start = now();
		x->produce(ring[0], text, *n, c->payload, c->batch, flags_of(c));
		other_wait();
		return now() - start;
	case REQUEST:
		other_start(request_answer);
		start = now();
		x->ask(ring[0], ring[1], text, to[0], *n, c->payload, flags_of(c));
		start = now() - start;
		other_wait();
		return start;
	default:
		return -1;
	}
}

static void rings_open(const struct cell *c, struct ring_memory *m, void **ring)
{
	int two = c->work == REQUEST && !strcmp(c->contender->layer, "ring");

	ring_make(&m[0], c->memory, c->ring_bytes);
	ring_make(&m[1], c->memory, c->ring_bytes);
	ring[0] = c->contender->open(&m[0], &m[1]);
	ring[1] = two ? c->contender->open(&m[1], &m[0]) : ring[0];
	if (!ring[0] || !ring[1]) {
		fprintf(stderr, "bench: %s cannot make a ring\n", c->contender->name);
		exit(1);
	}
}

static void rings_close(const struct cell *c, struct ring_memory *m, void **ring)
{
	c->contender->close(ring[0]);
	if (ring[1] != ring[0])
		c->contender->close(ring[1]);
	ring_drop(&m[0]);
	ring_drop(&m[1]);
}

void measure_sample(struct cell *c)
{
	struct ring_memory m[2];
	void *ring[2];
	double *sample = &c->ns[c->samples];

	if (c->samples == SAMPLES_MOST)
		return;
	*sample = NAN;
	rings_open(c, m, ring);
	for (int i = 0; i < TRIES && isnan(*sample); i++) {
		uint32_t n = WARM;
		double ns = run(c, ring, &n) / n, line = 0;

		n = (uint32_t)(SAMPLE_NS / ns) / BATCH_MOST * BATCH_MOST + BATCH_MOST;
		if (!undisturbed())
			continue;
		if (takes_two(c->work))
			line = line_round_trip();
		ns = run(c, ring, &n) / n;
		if (!undisturbed())
			continue;
		*sample = ns;
		c->line_ns[c->samples] = line;
	}
	c->samples++;
	rings_close(c, m, ring);
}

void measure_signals(struct cell *c)
{
	const struct contender *x = c->contender;
	struct ring_memory m[2];
	uint32_t n = COUNTED;
	uint64_t signals;
	void *ring[2];

	c->signals = -1;
	if (!x->signals)
		return;
	rings_open(c, m, ring);
	counting = COUNT;
	(void)run(c, ring, &n);
	counting = 0;
	signals = x->signals(ring[0]) + (ring[1] != ring[0] ? x->signals(ring[1]) : 0);
	c->signals = (double)signals / n;
	rings_close(c, m, ring);
}

void measure_work(const struct cell *c, uint32_t n)
{
	struct ring_memory m[2];
	void *ring[2];

	rings_open(c, m, ring);
	c->contender->write_read(ring[0], text, to[0], n, c->payload, c->batch, flags_of(c));
	rings_close(c, m, ring);
}

int measure_check(const struct cell *c)
{
	static uint8_t sent[PAYLOAD_MOST + 64] __attribute__((aligned(64)));
	const struct contender *x = c->contender;
	struct ring_memory m[2];
	void *ring[2];
	uint64_t in = 0, out = 0;
	int r = 0;

	rings_open(c, m, ring);
	memcpy(sent, text, sizeof sent);
	while (out < CHECK_PACKETS && !r) {
		uint32_t burst = (uint32_t)(in * 2654435761u >> 7) % 40 + 1; /* so that both are apart by all distances */

		for (; burst && in < CHECK_PACKETS; burst--) {
			memcpy(sent, &in, 8);
			if (!x->write(ring[0], sent, 1, c->payload, 1, flags_of(c)))
				break;
			in++;
		}
		for (burst = (uint32_t)(out * 2246822519u >> 7) % 48 + 1; burst && out < in && !r; burst--) {
			memset(to[0], 0xaa, c->payload);
			memcpy(sent, &out, 8);
			if (!x->read(ring[0], to[0], 1, 1, flags_of(c) | CHECK) || memcmp(to[0], sent, c->payload)) {
				fprintf(stderr, "bench: %s: packet %llu of %u bytes is not what was written\n", x->name,
					(unsigned long long)out, c->payload);
				r = -1;
			}
			out++;
		}
	}
	rings_close(c, m, ring);
	return r;
}
