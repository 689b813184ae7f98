/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * All interleavings of a few threads over real code, which runs on hooks.h.
 *
 * Each thread is a coroutine and stops before every access to a word that two of them use and one of them writes, and not all
 * of them below the lock; which words those are is found out: one that turns out to be shared makes the walk begin anew. The
 * walk is depth-first, by running the threads again from the beginning. A state is the bytes of the memory of the case and of
 * the stacks; one that was seen before is not walked again, but the schedules that lead on from it count.
 *
 * Beside the order of accesses it keeps what happened before what in the sense of C11: a thread marks what it does, and
 * another can ask whether it knows of it by a chain of releases and acquires, rather than by luck.
 */
#ifndef TEST_BORDER_EXPLORE_H
#define TEST_BORDER_EXPLORE_H

#include <stddef.h>
#include <stdint.h>

enum { BORDER_THREADS = 6, BORDER_MEMORIES = 12, BORDER_EXEMPT = 12 };

struct border_case {
	const char *name;
	unsigned threads;
	unsigned alike;              /* the first so many do the same, so it does not matter which of them is where */
	void (*body[BORDER_THREADS])(void);
	struct { void *at; size_t bytes; } memory[BORDER_MEMORIES]; /* all that the threads share, as it is at the beginning */
	const void *exempt[BORDER_EXEMPT]; /* words that need no interleaving: counters that nobody looks at */
	void (*touched)(const void *p, size_t bytes, int write); /* before each access; may be NULL */
	void (*end)(void);           /* when all threads have ended: calls border_fail if something is not as it should be */
};

struct border_result {
	double schedules;            /* how many there are */
	uint64_t states, runs;
	unsigned words;              /* that are shared */
	const char *bad;             /* NULL: all is well in all of them */
	char schedule[512];          /* where it is not: the threads in the order in which they ran */
};

/* Walk them all, or up to the first that is bad. */
void border_explore(const struct border_case *c, struct border_result *r);
/* The same for a test of an end, "host" or "guest": prints what there was, and demands that all of it is well. walk.c */
void border_walk(const char *end, const struct border_case *c);
/* One more piece of memory of a case; and a channel's, whose account of signals needs no interleaving. walk.c */
void border_keep(struct border_case *c, void *at, size_t bytes);
void border_keep_channel(struct border_case *c, void *at, size_t bytes);

/* ---- what the threads and their callbacks may call */

void border_point(void);                          /* others may go first */
void border_until(int (*ready)(void));            /* wait */
void border_lock(void);                           /* the one lock: [control] */
void border_unlock(void);
void border_fail(const char *what);

int border_me(void);                              /* the thread that we are in, or -1 */
int border_in(uint32_t threads);                  /* are we in one of these (bits)? */

void border_mark(unsigned kind);                  /* this thread's latest deed of this kind, 0 or 1, is now */
int border_knows(unsigned kind, uint32_t threads); /* 1: the latest ones of these (bits) happened before */

#endif /* TEST_BORDER_EXPLORE_H */
