/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See walk.h. Schedules are counted by adding up: those that lead on from a state that is known are known. */
#include "walk.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 1000 };

struct node {
	uint64_t hash;
	double schedules;
	uint8_t *state;
	struct iv_choice *choice;
	uint32_t choices, next;
};

static struct {
	enum iv_orders orders;
	uint64_t most;
	struct iv_result *r;
	struct node node[DEPTH];
	uint32_t depth;
	struct seen { uint64_t hash; double schedules; } *seen;
	uint64_t room, used;
} w;

static sigjmp_buf fault;

static void *need(void *p)
{
	if (!p) {
		fprintf(stderr, "interleave: no memory\n");
		abort();
	}
	return p;
}

/* ---- states that were seen */

static double *seen_find(uint64_t hash)
{
	uint64_t i = hash & (w.room - 1);

	while (w.seen[i].hash && w.seen[i].hash != hash)
		i = (i + 1) & (w.room - 1);
	w.seen[i].hash = hash;
	return &w.seen[i].schedules;
}

static void seen_grow(void)
{
	uint64_t old = w.room;
	struct seen *from = w.seen;

	w.room = old ? 4 * old : 1 << 16;
	w.seen = need(calloc((size_t)w.room, sizeof *w.seen));
	for (uint64_t i = 0; i < old; i++)
		if (from[i].hash)
			*seen_find(from[i].hash) = from[i].schedules;
	free(from);
}

/* -1: it is on the way that we are on. 0: new, and now is. */
static double seen_add(uint64_t hash)
{
	double *at;

	if (2 * w.used >= w.room)
		seen_grow();
	at = seen_find(hash);
	if (*at == 0.0) {
		*at = -1;
		w.used++;
		return 0;
	}
	return *at;
}

/* ---- steps */

static void on_fault(int sig)
{
	(void)sig;
	siglongjmp(fault, 1);
}

/* So that padding that is copied from the stack makes no other state. */
static __attribute__((noinline)) void clear_stack(void)
{
	volatile uint64_t below[1024];

	for (unsigned i = 0; i < sizeof below / sizeof below[0]; i++)
		below[i] = 0;
}

/* What touches memory that is not its own ends here. */
static int take(const struct iv_choice *c)
{
	int r = 1;

	if (sigsetjmp(fault, 1)) {
		iv_fail("somebody touches memory that is not theirs");
		return 1;
	}
	clear_stack();
	r = iv_take(c);
	if (w.orders == IV_ORDINARY && r)
		iv_settle();
	return r;
}

static void judge_end(void)
{
	if (sigsetjmp(fault, 1))
		iv_fail("somebody touches memory that is not theirs");
	else
		iv_judge_end();
}

/* The last node's choice was taken: a new node, or one more end of that one. 1: there is a new one. */
static int arrive(void)
{
	struct node *last = w.depth ? &w.node[w.depth - 1] : NULL, *n = &w.node[w.depth];
	struct iv_choice out[IV_CHOICES];
	uint32_t count;
	uint64_t hash;
	double known;

	if (iv_bad)
		return 0;
	hash = iv_hash();
	known = seen_add(hash);
	if (known < 0.0) {
		iv_fail("somebody runs in a circle");
		return 0;
	}
	if (known != 0.0) {
		last->schedules += known;
		return 0;
	}
	count = iv_choices(out, w.orders == IV_ONE_FAULT);
	if (!count) {
		w.r->ends++;
		*seen_find(hash) = 1;
		judge_end();
		if (last)
			last->schedules += 1;
		return 0;
	}
	if (w.depth == DEPTH) {
		iv_fail("it does not come to an end");
		return 0;
	}
	n->hash = hash;
	n->schedules = 0;
	n->choices = count;
	n->next = 0;
	n->state = n->state ? n->state : need(malloc(iv_state_size()));
	iv_save(n->state);
	n->choice = need(malloc(count * sizeof out[0]));
	memcpy(n->choice, out, count * sizeof out[0]);
	w.depth++;
	return 1;
}

static void leave(struct node *n)
{
	free(n->choice);
	n->choice = NULL;
	w.depth--;
	*seen_find(n->hash) = n->schedules;
	if (w.depth)
		w.node[w.depth - 1].schedules += n->schedules;
	else
		w.r->schedules = n->schedules;
}

static void tell_schedule(void)
{
	size_t at = 0;
	char name[64];

	for (uint32_t d = 0; d < w.depth && at + 32 < sizeof w.r->schedule; d++)
		at += (size_t)snprintf(w.r->schedule + at, sizeof w.r->schedule - at, "%s ",
				       iv_step_name(&w.node[d].choice[w.node[d].next - 1], name, sizeof name));
}

static void walk(void)
{
	int fresh = 1; /* the world is as the last node has it */

	arrive();
	while (w.depth && !iv_bad && w.used < w.most) {
		struct node *n = &w.node[w.depth - 1];

		if (n->next == n->choices) {
			leave(n);
			fresh = 0;
			continue;
		}
		if (!fresh)
			iv_restore(n->state);
		fresh = take(&n->choice[n->next++]) && arrive();
	}
	w.r->whole = !w.depth;
	if (iv_bad)
		tell_schedule();
	while (w.depth)
		leave(&w.node[w.depth - 1]);
}

void iv_walk(const struct iv_scenario *s, enum iv_orders orders, uint64_t most_states, struct iv_result *r)
{
	struct sigaction act = { .sa_handler = on_fault }, segv, bus;

	memset(r, 0, sizeof *r);
	w.orders = orders;
	w.most = most_states;
	w.r = r;
	w.used = w.room = w.depth = 0;
	w.seen = NULL;
	seen_grow();
	sigaction(SIGSEGV, &act, &segv);
	sigaction(SIGBUS, &act, &bus);
	iv_make(s);
	walk();
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	r->states = w.used;
	r->bad = iv_bad;
	for (uint32_t d = 0; d < DEPTH; d++) {
		free(w.node[d].state);
		w.node[d].state = NULL;
	}
	free(w.seen);
	w.seen = NULL;
}
