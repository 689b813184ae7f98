/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The explorer: two coroutines, a view each, and a depth-first walk over all choices by replaying them. */
#include "weak.h"
#include "harness/port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define WORDS 32u
#define MESSAGES 16u /* to one word */
#define CHOICES 256u
#define STACK (256u * 1024)

struct weak_view { uint8_t seen[WORDS]; };

struct weak_message {
	uint64_t value;
	struct weak_view view;
};

struct weak_word {
	void *address;
	uint32_t count;
	struct weak_message message[MESSAGES];
};

struct weak_side {
	ucontext_t context;
	void *stack;
	int done;
	struct weak_view now, read, fence; /* seen; attached to what relaxed loads read; as of the last fence */
};

static struct {
	const struct weak_case *c;
	ucontext_t scheduler;
	struct weak_side side[2];
	uint32_t running;
	struct weak_view fences; /* what all fences so far have exchanged */
	struct weak_word word[WORDS];
	uint32_t words;
	struct { uint16_t pick, of; } choice[CHOICES];
	uint32_t depth, known;
} weak;

static void weak_need(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "weak: %s\n", what);
		abort();
	}
}

/* One of n: as the replay says, else the first. */
static uint32_t weak_choose(uint32_t n)
{
	if (n < 2)
		return 0;
	if (weak.depth == weak.known) {
		weak_need(weak.known < CHOICES, "too many choices");
		weak.choice[weak.known].pick = 0;
		weak.choice[weak.known].of = (uint16_t)n;
		weak.known++;
	}
	weak_need(weak.choice[weak.depth].of == n, "the sides are not deterministic");
	return weak.choice[weak.depth++].pick;
}

/* The next combination of choices; 0: that was the last. */
static int weak_advance(void)
{
	while (weak.known && weak.choice[weak.known - 1].pick + 1 == weak.choice[weak.known - 1].of)
		weak.known--;
	if (!weak.known)
		return 0;
	weak.choice[weak.known - 1].pick++;
	return 1;
}

static void weak_join(struct weak_view *to, const struct weak_view *from)
{
	for (uint32_t i = 0; i < WORDS; i++)
		if (to->seen[i] < from->seen[i])
			to->seen[i] = from->seen[i];
}

static uint64_t weak_memory(const void *address, size_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, address, bytes);
	return value;
}

static uint32_t weak_find(void *address, size_t bytes)
{
	uint32_t i;

	for (i = 0; i < weak.words; i++)
		if (weak.word[i].address == address)
			return i;
	weak_need(i < WORDS, "too many words");
	memset(&weak.word[i], 0, sizeof weak.word[i]);
	weak.word[i].address = address;
	weak.word[i].count = 1;
	weak.word[i].message[0].value = weak_memory(address, bytes);
	weak.words++;
	return i;
}

static uint64_t weak_load(struct weak_side *s, uint32_t i, int acquire)
{
	uint32_t first = s->now.seen[i];
	uint32_t at = first + weak_choose(weak.word[i].count - first);

	s->now.seen[i] = (uint8_t)at;
	weak_join(acquire ? &s->now : &s->read, &weak.word[i].message[at].view);
	return weak.word[i].message[at].value;
}

static void weak_fence(struct weak_side *s)
{
	weak_join(&s->now, &s->read);
	weak_join(&s->now, &weak.fences);
	weak.fences = s->now;
	s->fence = s->now;
}

static void weak_store(struct weak_side *s, uint32_t i, const struct port_access *a, int release)
{
	struct weak_word *w = &weak.word[i];

	weak_need(w->count < MESSAGES, "too many stores to one word");
	weak_need(s->now.seen[i] == w->count - 1, "a word has two writers");
	s->now.seen[i] = (uint8_t)w->count;
	w->message[w->count].value = a->value;
	w->message[w->count].view = release ? s->now : s->fence;
	w->message[w->count].view.seen[i] = (uint8_t)w->count;
	w->count++;
	memcpy(a->shared, &a->value, a->bytes);
}

static void weak_yield(void)
{
	struct weak_side *s = &weak.side[weak.running];

	swapcontext(&s->context, &weak.scheduler);
}

static int weak_access(struct port_access *a)
{
	struct weak_side *s = &weak.side[weak.running];
	int shared = weak.c->shared(weak.c->ctx, a->shared);
	uint32_t i;

	if (!shared || a->op == PORT_COPY_IN || a->op == PORT_COPY_OUT)
		return 0;
	if (shared == 2)
		weak_yield(); /* other words are reached through these */
	i = weak_find(a->shared, a->bytes);
	switch (a->op) {
	case PORT_LOAD:
	case PORT_READ64:
		a->value = weak_load(s, i, 0);
		return 1;
	case PORT_LOAD_ACQUIRE:
		a->value = weak_load(s, i, 1);
		return 1;
	case PORT_STORE:
	case PORT_WRITE64:
		weak_store(s, i, a, 0);
		return 1;
	case PORT_STORE_RELEASE:
		weak_store(s, i, a, 1);
		return 1;
	case PORT_PUBLISH:
		weak_store(s, i, a, 1);
		weak_fence(s);
		return 1;
	default:
		weak_need(0, "an access that is not modelled");
		return 0;
	}
}

static void weak_run(void)
{
	uint32_t me = weak.running;

	weak.c->side[me](weak.c->ctx);
	weak.side[me].done = 1;
}

static void weak_start(struct weak_side *s)
{
	void *stack = s->stack;

	memset(s, 0, sizeof *s);
	s->stack = stack;
	getcontext(&s->context);
	s->context.uc_stack.ss_sp = stack;
	s->context.uc_stack.ss_size = STACK;
	s->context.uc_link = &weak.scheduler;
	makecontext(&s->context, weak_run, 0);
}

static int weak_once(void)
{
	weak.depth = 0;
	weak.words = 0;
	memset(&weak.fences, 0, sizeof weak.fences);
	weak.c->begin(weak.c->ctx);
	weak_start(&weak.side[0]);
	weak_start(&weak.side[1]);
	port_hook = weak_access;
	while (!weak.side[0].done || !weak.side[1].done) {
		if (weak.side[0].done || weak.side[1].done)
			weak.running = weak.side[0].done != 0;
		else
			weak.running = weak_choose(2);
		swapcontext(&weak.scheduler, &weak.side[weak.running].context);
	}
	port_hook = NULL;
	return weak.c->check(weak.c->ctx);
}

uint64_t weak_explore(const struct weak_case *c, uint64_t *bad)
{
	uint64_t executions = 0;

	*bad = 0;
	weak.c = c;
	weak.known = 0;
	for (uint32_t i = 0; i < 2; i++) {
		weak.side[i].stack = malloc(STACK);
		weak_need(weak.side[i].stack != NULL, "no memory");
	}
	do {
		executions++;
		*bad += !weak_once();
	} while (weak_advance());
	for (uint32_t i = 0; i < 2; i++)
		free(weak.side[i].stack);
	return executions;
}
