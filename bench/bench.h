/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What a contender is: a shared object that exports one `struct contender`, loaded by bench/main.c. The loops around its calls are the same
 * for all (contender.h), compiled once for each, so that its calls are made as a user makes them: through the PLT, static, or inlined.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

enum memory { MEMORY_ONCE = 1, MEMORY_TWICE = 2, MEMORY_PAGES = 4 };
/* Flags of a loop. CHECK: all of the payload to where it is read to, also in place or behind a list. COUNT: signals. From bit PAGES on: that many
 * pages are named in each packet (GPA direct, a range for each); 0: in-band. */
enum { IN_PLACE = 1, CHECK = 2, COUNT = 4, PAGES = 8, PAGES_MOST = 32 };
enum { BENCH_PAGE = 4096, PAYLOAD_MOST = 16384, BATCH_MOST = 64 };

/* One ring in shared memory: a control page, and data pages that are mapped once, twice in a row, or are given as a list. */
struct ring_memory {
	enum memory kind;
	uint32_t pages;
	uint8_t *control, *data;
	void **list;        /* MEMORY_PAGES: data is NULL */
};

struct contender {
	const char *name;
	uint32_t memories;  /* that it can use: MEMORY_*, ORed */
	uint32_t in_place;  /* 1: it can write and read without a copy of its own */
	uint32_t batches;   /* 1: one publication for several packets */
	uint32_t pages;     /* 1: it can name pages */
	const char *layer;  /* "ring", or "channel": two rings, m and back, each packet a request or its completion */
	/* Both sides of one ring, its control page cleared. NULL: cannot. */
	void *(*open)(const struct ring_memory *m, const struct ring_memory *back);
	void (*close)(void *ring);
	/* Write up to n packets of len bytes, published every `batch`: how many there was room for. */
	uint32_t (*write)(void *ring, const uint8_t *text, uint32_t n, uint32_t len, uint32_t batch, uint32_t flags);
	/* Read up to n packets, space given back every `batch`: how many were there. */
	uint32_t (*read)(void *ring, uint8_t *to, uint32_t n, uint32_t batch, uint32_t flags);
	/* n packets through the ring, `batch` written, then read, and so on. */
	void (*write_read)(void *ring, const uint8_t *text, uint8_t *to, uint32_t n, uint32_t len, uint32_t batch, uint32_t flags);
	/* For a thread each: write, or read, n packets, waiting for room or packets without sleeping. */
	void (*produce)(void *ring, const uint8_t *text, uint32_t n, uint32_t len, uint32_t batch, uint32_t flags);
	void (*consume)(void *ring, uint8_t *to, uint32_t n, uint32_t batch, uint32_t flags);
	/* For a thread each: n requests on `out`, each answered on `in`; n answers. */
	void (*ask)(void *out, void *in, const uint8_t *text, uint8_t *to, uint32_t n, uint32_t len, uint32_t flags);
	void (*answer)(void *out, void *in, uint8_t *to, uint32_t n, uint32_t len, uint32_t flags);
	/* Signals that both sides have been told to send, in loops with COUNT. NULL: it has none. */
	uint64_t (*signals)(void *ring);
};

#define CONTENDER const struct contender contender __attribute__((visibility("default")))

#endif
