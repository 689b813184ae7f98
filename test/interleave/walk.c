/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See walk.h. Schedules are counted by adding up: those that lead on from a state that is known are known. */
#include "walk.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 1000, STROLL = 50, STROLLS = 2000 /* schedules by chance: one for so many states; at most */ };

struct node {
	uint64_t hash;
	double schedules;
	struct iv_state *state;
	struct iv_choice *choice;
	uint32_t choices, next;
};

static struct {
	enum iv_orders orders;
	uint32_t with;
	uint64_t most;
	struct iv_result *r;
	struct node node[DEPTH];
	uint32_t depth;
	int hashed;           /* the world, against the last node's state */
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
	uint8_t below[8192];

	memset(below, 0, sizeof below);
	__asm__ volatile("" : : "r"(below) : "memory");
}

/* What touches memory that is not its own ends here. */
static int take(const struct iv_choice *c)
{
	int r = 1;

	if (sigsetjmp(fault, 0)) {
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
	if (sigsetjmp(fault, 0))
		iv_fail("somebody touches memory that is not theirs");
	else
		iv_judge_end();
}

static const uint32_t with[IV_ORDERS] = { [IV_ONE_FAULT] = IV_WITH_FAULT, [IV_HOST_SAVED] = IV_WITH_HOST_SAVED,
					  [IV_GUEST_SAVED] = IV_WITH_GUEST_SAVED };

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
	hash = iv_hash(last ? last->state : NULL);
	w.hashed = 1;
	known = seen_add(hash);
	if (known < 0.0) {
		iv_fail("somebody runs in a circle");
		return 0;
	}
	if (known != 0.0) {
		last->schedules += known;
		return 0;
	}
	count = iv_choices(out, w.with);
	if (!count) {
		w.r->ends++;
		*seen_find(hash) = 1;
		judge_end();
		w.hashed = 0;
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
	iv_save(n->state, last ? last->state : NULL);
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
			fresh = w.hashed = 0;
			continue;
		}
		if (!fresh)
			iv_restore(n->state, w.hashed);
		w.hashed = 0;
		fresh = take(&n->choice[n->next++]) && arrive();
	}
	w.r->whole = !w.depth;
	if (iv_bad)
		tell_schedule();
	while (w.depth)
		leave(&w.node[w.depth - 1]);
}

/* ---- by chance */

static uint64_t dice(uint64_t *seed, uint64_t sides)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (*seed >> 33) % sides;
}

/* Any of the choices, but that the save comes at this step of the schedule, or as soon after it as it can. */
static struct iv_choice stroll_choice(const struct iv_choice *out, uint32_t count, uint32_t save_at, uint64_t *seed)
{
	int saves = out[count - 1].step >= IV_STEP_SAVE_HOST;

	if (saves && (w.depth >= save_at || count == 1))
		return out[count - 1];
	return out[dice(seed, count - (uint32_t)saves)];
}

static void stroll(uint64_t *seed)
{
	uint32_t save_at = (uint32_t)dice(seed, 64), count;
	struct iv_choice out[IV_CHOICES], c;
	double *at;

	while (!iv_bad && (count = iv_choices(out, w.with)) != 0 && w.depth < DEPTH) {
		c = stroll_choice(out, count, save_at, seed);
		w.node[w.depth].choice = need(malloc(sizeof c));
		w.node[w.depth].choice[0] = c;
		w.node[w.depth++].next = 1;
		if (!take(&c))
			save_at = DEPTH; /* not here */
		at = seen_find(iv_hash(NULL));
		w.used += *at == 0.0;
		*at = 1;
	}
	if (!iv_bad)
		judge_end();
	if (iv_bad)
		tell_schedule();
	while (w.depth)
		free(w.node[--w.depth].choice);
}

/* Where not all was walked, or much of the same: some schedules more, from all over the scenario. */
static void strolls(const struct iv_scenario *s, uint32_t n)
{
	uint64_t seed = n;

	for (; n && !iv_bad; n--) {
		if (2 * w.used + 2 * DEPTH >= w.room)
			seen_grow();
		iv_make(s);
		stroll(&seed);
		w.r->schedules += 1;
	}
}

void iv_walk(const struct iv_scenario *s, enum iv_orders orders, uint64_t most_states, struct iv_result *r)
{
	struct sigaction act = { .sa_handler = on_fault, .sa_flags = SA_NODEFER }, segv, bus;

	memset(r, 0, sizeof *r);
	w.orders = orders;
	w.with = with[orders] | (orders >= IV_HOST_SAVED && s->flags & IV_BOTH ? IV_WITH_FAULT : 0);
	w.most = most_states;
	w.r = r;
	w.used = w.room = w.depth = 0;
	w.seen = NULL;
	seen_grow();
	sigaction(SIGSEGV, &act, &segv);
	sigaction(SIGBUS, &act, &bus);
	iv_make(s);
	walk();
	if (orders >= IV_HOST_SAVED && !r->whole)
		strolls(s, most_states / STROLL < STROLLS ? (uint32_t)(most_states / STROLL) : STROLLS);
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
