/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* One figure: a contender at one work, in one kind of memory, with one size of payload and ring. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "bench.h"

enum work { WRITE_READ, FILL, DRAIN, STREAM, REQUEST, WORKS };
enum { SAMPLES_MOST = 128, BATCH = 32 };

struct cell {
	const struct contender *contender;
	enum work work;
	enum memory memory;
	uint32_t in_place, batch;      /* batch: 1 or BATCH */
	uint32_t payload, ring_bytes;
	uint32_t pages;                /* 0: in-band */
	double signals;                /* per packet; below 0: not counted */
	unsigned samples;              /* one per pass */
	double ns[SAMPLES_MOST];       /* per packet; REQUEST: per request with its answer. NAN: disturbed each time */
	double line_ns[SAMPLES_MOST];  /* two processors: round trip of a cache line just before */
};

extern const char *const work_names[WORKS];
const char *memory_name(enum memory m);
const char *mode_name(const struct cell *c);
int takes_two(enum work w);

/* Pin this thread, start the other one. -1: there is one processor only. */
int measure_start(void);
/* Does what is written come out, packet by packet, over several laps? 0 or -1 after saying what is wrong. */
int measure_check(const struct cell *c);
/* Count signals, in a run without a clock. */
void measure_signals(struct cell *c);
/* Take one sample. */
void measure_sample(struct cell *c);
/* The same work without a clock, n packets, for who counts instructions. */
void measure_work(const struct cell *c, uint32_t n);

#endif
