/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The explorer: two coroutines, a depth-first walk over all choices by replaying them, and the states that it has been in. */
#include "walk_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define CHOICES 2048u
#define STACK (128u * 1024)

enum run_end { RUN_ENDED, RUN_FAILED, RUN_KNOWN, RUN_IMPOSSIBLE };

struct state {
	struct walk_hash key;
	double schedules; /* from there on; while it is being walked: none yet */
	int known;
};

struct choice {
	uint16_t pick, of;
	uint32_t state; /* of choices which side goes on: its slot + 1 */
	double schedules;
};

static struct {
	const struct walk_case *c;
	struct walk_result *result;
	ucontext_t explorer, context[2];
	void *stack[2];
	uint32_t running, started;
	int active;
	enum run_end end;
	double known_schedules; /* RUN_KNOWN */
	struct choice choice[CHOICES];
	uint32_t depth, known;
	struct state *table;
	uint32_t slots, states;
} walk;

void walk_need(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "walk: %s\n", what);
		abort();
	}
}

uint32_t walk_side(void)
{
	return walk.running;
}

const struct walk_case *walk_running_case(void)
{
	return walk.active ? walk.c : NULL;
}

/* ---- states */

static uint32_t walk_slot(const struct state *table, uint32_t slots, const struct walk_hash *key)
{
	uint32_t i = (uint32_t)key->a & (slots - 1);

	while (table[i].known && memcmp(&table[i].key, key, sizeof *key))
		i = (i + 1) & (slots - 1);
	return i;
}

static void walk_grow(void)
{
	uint32_t slots = walk.slots ? walk.slots * 2 : 1u << 12;
	struct state *table = calloc(slots, sizeof *table);

	walk_need(table != NULL, "no memory");
	for (uint32_t i = 0; i < walk.slots; i++)
		if (walk.table[i].known)
			table[walk_slot(table, slots, &walk.table[i].key)] = walk.table[i];
	/* the choices on the way to here name slots */
	for (uint32_t i = 0; i < walk.known; i++)
		if (walk.choice[i].state)
			walk.choice[i].state = 1 + walk_slot(table, slots, &walk.table[walk.choice[i].state - 1].key);
	free(walk.table);
	walk.table = table;
	walk.slots = slots;
}

/* ---- choices */

static _Noreturn void walk_leave(enum run_end end)
{
	walk.end = end;
	walk.active = 0;
	swapcontext(&walk.context[walk.running], &walk.explorer);
	abort();
}

static struct choice *walk_new_choice(uint32_t n, uint32_t state)
{
	walk_need(walk.known < CHOICES, "too many choices");
	walk.choice[walk.known] = (struct choice){ 0, (uint16_t)n, state, 0 };
	return &walk.choice[walk.known++];
}

uint32_t walk_choose(uint32_t n)
{
	if (n < 2)
		return 0;
	if (walk.depth == walk.known)
		(void)walk_new_choice(n, 0);
	walk_need(walk.choice[walk.depth].of == n, "the sides are not deterministic");
	return walk.choice[walk.depth++].pick;
}

/* Which side goes on, of two that can? */
static uint32_t walk_choose_side(void)
{
	struct state *s;
	uint32_t slot;

	if (walk.depth == walk.known && !(walk.c->flags & WALK_ALL)) {
		struct walk_hash key;

		if (walk.states * 2 >= walk.slots)
			walk_grow();
		key = walk_memory_hash();
		slot = walk_slot(walk.table, walk.slots, &key);
		s = &walk.table[slot];
		if (s->known) {
			walk.known_schedules = s->schedules;
			walk_leave(RUN_KNOWN);
		}
		*s = (struct state){ key, 0, 1 };
		walk.states++;
		(void)walk_new_choice(2, slot + 1);
	}
	return walk_choose(2);
}

/* The next combination of choices; 0: that was the last. What has been walked to its end is summed up. */
static int walk_advance(double schedules)
{
	while (walk.known) {
		struct choice *c = &walk.choice[walk.known - 1];

		c->schedules += schedules;
		if (c->pick + 1 < c->of) {
			c->pick++;
			return 1;
		}
		schedules = c->schedules;
		if (c->state)
			walk.table[c->state - 1].schedules = schedules;
		walk.known--;
	}
	walk.result->schedules = schedules;
	return 0;
}

/* ---- coroutines */

static void walk_switch(uint32_t to)
{
	uint32_t from = walk.running;

	if (to == from)
		return;
	walk.running = to;
	swapcontext(&walk.context[from], &walk.context[to]);
}

void walk_yield(void)
{
	int can[2] = { walk_can_run(0), walk_can_run(1) };

	if (walk.started < 2) { /* both up to their first access, before anything is chosen */
		walk.started++;
		if (walk.started == 1) {
			walk_switch(1);
			return;
		}
	}
	if (can[0] && can[1])
		walk_switch(walk_choose_side());
	else if (can[0] || can[1])
		walk_switch(can[1] != 0);
	else
		walk_leave(RUN_ENDED);
}

static void walk_run(void)
{
	walk.c->side[walk.running](walk.c->ctx);
	walk_memory_done();
	walk_yield(); /* for good */
}

static void walk_start(uint32_t i)
{
	getcontext(&walk.context[i]);
	walk.context[i].uc_stack.ss_sp = walk.stack[i];
	walk.context[i].uc_stack.ss_size = STACK;
	walk.context[i].uc_link = &walk.explorer;
	makecontext(&walk.context[i], walk_run, 0);
}

static void walk_bad(const char *why)
{
	if (!walk.result->bad++)
		snprintf(walk.result->why, sizeof walk.result->why, "%s", why);
}

_Noreturn void walk_impossible(void)
{
	walk_leave(RUN_IMPOSSIBLE);
}

_Noreturn void walk_fail(const char *why)
{
	walk_need(walk.active, why);
	if (walk_memory_late())
		walk_impossible(); /* or perhaps: only what is certain is a failure */
	walk_bad(why);
	walk_leave(RUN_FAILED);
}

/* One run. How many schedules it stands for. */
static double walk_once(void)
{
	const char *why;

	walk.depth = 0;
	walk.c->begin(walk.c->ctx);
	walk_memory_begin();
	walk_start(0);
	walk_start(1);
	walk.running = 0;
	walk.started = 0;
	walk.active = 1;
	swapcontext(&walk.explorer, &walk.context[0]);
	walk.active = 0;
	if (walk.end == RUN_KNOWN)
		return walk.known_schedules;
	if (walk.end == RUN_IMPOSSIBLE || (walk.end == RUN_ENDED && walk_memory_late()))
		return 0;
	if (walk.end == RUN_ENDED) {
		why = walk_memory_asleep() ? "lost wake-up" : walk.c->check(walk.c->ctx);
		if (why)
			walk_bad(why);
	}
	return 1;
}

static void walk_all(void)
{
	int more;

	walk.known = 0;
	walk.states = 0;
	free(walk.table);
	walk.table = NULL;
	walk.slots = 0;
	walk.result->runs = 0;
	do {
		walk.result->runs++;
		more = walk_advance(walk_once());
		if ((walk.result->bad && walk.c->flags & WALK_FIRST) || walk.result->runs == walk.c->most)
			break;
	} while (more);
	walk.result->states = walk.states;
}

void walk_explore(const struct walk_case *c, struct walk_result *result)
{
	memset(result, 0, sizeof *result);
	walk.c = c;
	walk.result = result;
	for (uint32_t i = 0; i < 2; i++) {
		walk.stack[i] = malloc(STACK);
		walk_need(walk.stack[i] != NULL, "no memory");
	}
	/* What late loads may give is learned on the way: again until nothing new was. */
	walk_memory_learn(0);
	do
		walk_all();
	while (c->flags & WALK_LATE && !result->bad && walk_memory_learn(1));
	for (uint32_t i = 0; i < 2; i++)
		free(walk.stack[i]);
	free(walk.table);
	walk.table = NULL;
	walk.slots = 0;
}
