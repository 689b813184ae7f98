/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See explore.h. */
#include "explore.h"
#include "hooks.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
# include <sanitizer/asan_interface.h>
# define FRESH(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
# define FRESH(p, n) ((void)(p), (void)(n))
#endif

enum { STACK = 64 * 1024, CLEARED = 4096, WORDS = 1024, DEPTH = 2048, KINDS = 16, BLOCK = 512, STATES_MAX = 8000000 };

struct word {
	void *at;
	uint32_t readers, writers; /* threads, in any run */
	uint32_t bare;             /* was accessed without the lock */
	uint32_t shared;
	uint32_t knows;            /* what was released to it */
};

struct thread {
	void *sp;
	int done;
	int (*ready)(void);
	uint32_t knows;            /* whose latest deeds: bits, those of kind 1 from KINDS on */
};

struct node {
	uint64_t hash;
	double schedules;
	uint32_t choices, pick;    /* bits; the one taken */
};

static struct {
	const struct border_case *c;
	struct border_result *r;
	uint8_t *begin[BORDER_MEMORIES];
	void *scheduler;
	struct thread thread[BORDER_THREADS];
	int running;               /* -1: nobody */
	int again;                 /* a word turned out to be shared */
	int locked;                /* by this thread, counted from 1 */
	uint32_t lock_knows, marked;
	struct word word[WORDS];
	unsigned words;
	uint16_t by_address[4 * WORDS];
	struct node node[DEPTH];
	unsigned depth;            /* nodes on the way */
	struct seen { uint64_t hash; double schedules; } *seen;
	uint64_t room, used;
} x = { .running = -1 };

static uint8_t stacks[BORDER_THREADS][STACK] __attribute__((aligned(64)));

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "explore: %s\n", what);
	abort();
}

/* ---- coroutines: from one stack to another */

static void thread_main(void)
{
	x.c->body[x.running]();
	x.thread[x.running].done = 1;
	border_point();
	abort();
}

#if defined(__x86_64__) && !defined(BORDER_UCONTEXT)

void border_switch(void **save, void *load);
__asm__(".text\n"
	".type border_switch,@function\n"
	"border_switch:\n"
	"\tpushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n"
	"\tmovq %rsp, (%rdi)\n"
	"\tmovq %rsi, %rsp\n"
	"\tpopq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n"
	"\tret\n"
	".size border_switch,.-border_switch\n");

static void thread_start(unsigned t)
{
	uint64_t *top = (uint64_t *)(void *)(stacks[t] + STACK);

	memset(top - 8, 0, 8 * sizeof *top);
	top[-2] = (uint64_t)(uintptr_t)thread_main; /* returned to; its own return address would be top[-1] */
	x.thread[t].sp = top - 8;
}

static void switch_to(unsigned t)
{
	border_switch(&x.scheduler, x.thread[t].sp);
}

static void switch_back(unsigned t)
{
	border_switch(&x.thread[t].sp, x.scheduler);
}

#else
# include <ucontext.h>

static ucontext_t contexts[BORDER_THREADS], back;

static void thread_start(unsigned t)
{
	getcontext(&contexts[t]);
	contexts[t].uc_stack.ss_sp = stacks[t];
	contexts[t].uc_stack.ss_size = STACK;
	contexts[t].uc_link = NULL;
	makecontext(&contexts[t], thread_main, 0);
	x.thread[t].sp = stacks[t] + STACK;
}

static void switch_to(unsigned t)
{
	swapcontext(&back, &contexts[t]);
}

static __attribute__((noinline)) void switch_below(unsigned t)
{
	x.thread[t].sp = (void *)((uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)7);
	swapcontext(&contexts[t], &back);
}

static void switch_back(unsigned t)
{
	__builtin_unwind_init(); /* registers go to this frame */
	switch_below(t);
	__asm__ volatile("");
}
#endif

/* ---- hashes */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 29;
}

static uint64_t hash_bytes(const uint8_t *p, size_t bytes)
{
	uint64_t h[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, v[8];

	for (; bytes >= sizeof v; p += sizeof v, bytes -= sizeof v) {
		memcpy(v, p, sizeof v);
		for (unsigned i = 0; i < 8; i++) {
			h[i] = (h[i] ^ v[i]) * 0x9e3779b97f4a7c15u;
			h[i] ^= h[i] >> 31;
		}
	}
	memset(v, 0, sizeof v);
	memcpy(v, p, bytes);
	for (unsigned i = 0; i < 8; i++)
		h[0] = mix(h[0] + h[i], v[i]);
	return h[0];
}

/* Only what is not as it was at the beginning, and where. */
static uint64_t hash_memory(void)
{
	uint64_t h = 0;

	for (unsigned i = 0; i < BORDER_MEMORIES && x.c->memory[i].bytes; i++) {
		const uint8_t *now = x.c->memory[i].at, *then = x.begin[i];
		size_t bytes = x.c->memory[i].bytes, at = 0, n;

		for (; at < bytes; at += n) {
			n = bytes - at < BLOCK ? bytes - at : BLOCK;
			if (memcmp(now + at, then + at, n))
				h = mix(h + at, hash_bytes(now + at, n)) + i;
		}
	}
	return h;
}

/* What is alive of a stack; addresses in it count from its beginning. Between its variables, too: that is no error. */
static __attribute__((noinline, no_sanitize("address"))) uint64_t hash_stack(unsigned t)
{
	static uint64_t live[STACK / 8];
	const uint64_t *at = x.thread[t].sp, *end = (const uint64_t *)(const void *)(stacks[t] + STACK);
	uint64_t base = (uintptr_t)stacks[t];
	size_t n = (size_t)(end - at);

	if (x.thread[t].done)
		return 1;
	for (size_t i = 0; i < n; i++)
		live[i] = at[i] - base < STACK ? at[i] - base : at[i];
	return mix((uintptr_t)x.thread[t].ready, hash_bytes((const uint8_t *)live, 8 * n));
}

/* Threads that do the same are in an order of their own. */
static void hash_order(const uint64_t *stack, unsigned order[BORDER_THREADS])
{
	for (unsigned i = 0; i < x.c->threads; i++)
		order[i] = i;
	for (unsigned i = 1; i < x.c->alike; i++)
		for (unsigned k = i; k && stack[order[k]] < stack[order[k - 1]]; k--) {
			unsigned t = order[k];

			order[k] = order[k - 1];
			order[k - 1] = t;
		}
}

static uint32_t hash_set(uint32_t set, const unsigned order[BORDER_THREADS])
{
	uint32_t out = 0;

	for (unsigned i = 0; i < x.c->threads; i++)
		out |= (set >> order[i] & (1u | 1u << KINDS)) << i;
	return out;
}

static uint64_t hash_state(void)
{
	uint64_t h = hash_memory(), words = 0, stack[BORDER_THREADS];
	unsigned order[BORDER_THREADS];

	for (unsigned i = 0; i < x.c->threads; i++)
		stack[i] = hash_stack(i);
	hash_order(stack, order);
	for (unsigned i = 0; i < x.c->threads; i++) {
		const struct thread *t = &x.thread[order[i]];

		h = mix(h, stack[order[i]]);
		h = mix(h, t->done ? 0 : hash_set(t->knows, order));
	}
	for (unsigned i = 0; i < x.words; i++)
		if (x.word[i].knows)
			words += mix((uintptr_t)x.word[i].at, hash_set(x.word[i].knows, order));
	h = mix(h, words);
	h = mix(h, (uint64_t)hash_set(x.lock_knows, order) << 32 | hash_set(x.marked, order));
	h = mix(h, (uint64_t)x.locked);
	return h ? h : 1;
}

static double *seen_find(uint64_t hash)
{
	uint64_t i = hash & (x.room - 1);

	while (x.seen[i].hash && x.seen[i].hash != hash)
		i = (i + 1) & (x.room - 1);
	x.seen[i].hash = hash;
	return &x.seen[i].schedules;
}

/* -1: it is on the way that we are on. 0: new, and now is. */
static double seen_add(uint64_t hash)
{
	double *at;

	if (2 * x.used >= x.room) {
		uint64_t old = x.room;
		struct seen *from = x.seen;

		need(x.used < STATES_MAX, "too many states");
		x.room = old ? 4 * old : 4096;
		x.seen = calloc((size_t)x.room, sizeof *x.seen);
		need(x.seen != NULL, "no memory");
		for (uint64_t i = 0; i < old; i++)
			if (from[i].hash)
				*seen_find(from[i].hash) = from[i].schedules;
		free(from);
	}
	at = seen_find(hash);
	if (*at == 0.0) {
		*at = -1;
		x.used++;
		return 0;
	}
	return *at;
}

/* ---- what threads call */

static struct thread *current(void)
{
	return &x.thread[x.running];
}

int border_me(void)
{
	return x.running;
}

int border_in(uint32_t threads)
{
	return x.running >= 0 && threads >> x.running & 1;
}

void border_fail(const char *what)
{
	if (!x.r) {
		fprintf(stderr, "explore: %s\n", what);
		abort();
	}
	if (!x.r->bad)
		x.r->bad = what;
}

void border_point(void)
{
	if (x.running < 0)
		return;
	switch_back((unsigned)x.running);
}

void border_until(int (*ready)(void))
{
	need(x.running >= 0, "who waits?");
	current()->ready = ready;
	border_point();
	current()->ready = NULL;
}

static int lock_is_free(void)
{
	return !x.locked;
}

void border_lock(void)
{
	if (x.running < 0)
		return;
	border_until(lock_is_free);
	x.locked = x.running + 1;
	current()->knows |= x.lock_knows;
}

void border_unlock(void)
{
	if (x.running < 0)
		return;
	x.locked = 0;
	x.lock_knows = current()->knows;
}

void border_mark(unsigned kind)
{
	uint32_t bit;

	if (x.running < 0)
		return;
	bit = 1u << (unsigned)x.running << kind * KINDS;
	for (unsigned i = 0; i < x.c->threads; i++)
		x.thread[i].knows &= ~bit;
	for (unsigned i = 0; i < x.words; i++)
		x.word[i].knows &= ~bit;
	x.lock_knows &= ~bit;
	current()->knows |= bit;
	x.marked |= bit;
}

int border_knows(unsigned kind, uint32_t threads)
{
	return x.running < 0 || !(x.marked & ~current()->knows & threads << kind * KINDS);
}

/* ---- accesses */

static struct word *word_of(void *at)
{
	uint64_t h = (uintptr_t)at / 4 * 0x9e3779b97f4a7c15u >> 40;
	uint16_t *slot;

	while (*(slot = &x.by_address[h++ % (4 * WORDS)]))
		if (x.word[*slot - 1].at == at)
			return &x.word[*slot - 1];
	need(x.words < WORDS, "too many words");
	*slot = (uint16_t)++x.words;
	x.word[x.words - 1] = (struct word){ .at = at };
	for (unsigned i = 0; i < BORDER_EXEMPT; i++)
		if (x.c->exempt[i] == at)
			x.word[x.words - 1].shared = 2; /* never stop there */
	return &x.word[x.words - 1];
}

static void word_used(struct word *w, int write)
{
	uint32_t bit = 1u << x.running, all;

	if (write)
		w->writers |= bit;
	else
		w->readers |= bit;
	w->bare |= x.locked != x.running + 1;
	all = w->readers | w->writers;
	if (!w->shared && w->bare && w->writers && all & (all - 1)) {
		w->shared = 1;
		x.again = 1;
	}
}

static uint64_t perform(enum border_op op, void *at, uint64_t value)
{
	uint32_t *p = at, v = (uint32_t)value;

	switch (op) {
	case BORDER_LOAD: return __atomic_load_n(p, __ATOMIC_RELAXED);
	case BORDER_LOAD_ACQUIRE: return __atomic_load_n(p, __ATOMIC_ACQUIRE);
	case BORDER_STORE: __atomic_store_n(p, v, __ATOMIC_RELAXED); return 0;
	case BORDER_STORE_RELEASE: __atomic_store_n(p, v, __ATOMIC_RELEASE); return 0;
	case BORDER_EXCHANGE: return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);
	case BORDER_ADD: return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);
	case BORDER_SUB: return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);
	case BORDER_OR: return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);
	case BORDER_AND: return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);
	case BORDER_READ64: return le64toh(__atomic_load_n((uint64_t *)at, __ATOMIC_RELAXED));
	case BORDER_WRITE64: __atomic_store_n((uint64_t *)at, htole64(value), __ATOMIC_RELAXED); return 0;
	}
	return 0;
}

/* C11's happens-before: what a release gave, an acquire takes. */
static void order(enum border_op op, struct word *w)
{
	struct thread *t = current();

	switch (op) {
	case BORDER_LOAD:
	case BORDER_READ64:
		break;
	case BORDER_LOAD_ACQUIRE:
		t->knows |= w->knows;
		break;
	case BORDER_STORE:
	case BORDER_WRITE64:
		w->knows = 0;
		break;
	case BORDER_STORE_RELEASE:
		w->knows = t->knows;
		break;
	default:
		t->knows |= w->knows;
		w->knows = t->knows;
		break;
	}
}

static void touched(const void *p, size_t n, int write)
{
	if (x.running >= 0 && x.c->touched)
		x.c->touched(p, n, write);
}

uint64_t border_do(enum border_op op, const volatile void *p, uint64_t value)
{
	void *at = (void *)(uintptr_t)p;
	int write = op != BORDER_LOAD && op != BORDER_LOAD_ACQUIRE && op != BORDER_READ64;
	struct word *w;

	if (x.running < 0)
		return perform(op, at, value);
	w = word_of(at);
	word_used(w, write);
	if (w->shared == 1)
		border_point();
	touched(at, op == BORDER_READ64 || op == BORDER_WRITE64 ? 8 : 4, write);
	order(op, w);
	return perform(op, at, value);
}

uint32_t border_do32(enum border_op op, const volatile void *p, uint32_t value)
{
	return (uint32_t)border_do(op, p, value);
}

int border_swap(const volatile void *p, uint32_t from, uint32_t to)
{
	uint32_t *at = (uint32_t *)(uintptr_t)p;
	struct word *w;

	if (x.running >= 0) {
		w = word_of(at);
		word_used(w, 1);
		if (w->shared == 1)
			border_point();
		touched(at, 4, 1);
		order(BORDER_EXCHANGE, w);
	}
	return __atomic_compare_exchange_n(at, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void border_copy(void *dst, const void *src, size_t n)
{
	touched(dst, n, 1);
	touched(src, n, 0);
	memcpy(dst, src, n);
}

void border_clear(void *dst, size_t n)
{
	touched(dst, n, 1);
	memset(dst, 0, n);
}

/* ---- the walk */

static void run_begin(void)
{
	for (unsigned i = 0; i < BORDER_MEMORIES && x.c->memory[i].bytes; i++)
		memcpy(x.c->memory[i].at, x.begin[i], x.c->memory[i].bytes);
	for (unsigned i = 0; i < x.words; i++)
		x.word[i].knows = 0;
	x.locked = 0;
	x.lock_knows = x.marked = 0;
	memset(x.thread, 0, sizeof x.thread);
	for (unsigned i = 0; i < x.c->threads; i++) {
		FRESH(stacks[i], STACK);
		memset(stacks[i] + STACK - CLEARED, 0, CLEARED);
		thread_start(i);
	}
	x.r->runs++;
}

static void run_step(unsigned t)
{
	x.running = (int)t;
	switch_to(t);
	x.running = -1;
}

/* Who may go on? */
static uint32_t run_choices(void)
{
	uint32_t choices = 0;

	for (unsigned i = 0; i < x.c->threads; i++)
		if (!x.thread[i].done && (!x.thread[i].ready || x.thread[i].ready()))
			choices |= 1u << i;
	return choices;
}

/* From the beginning to the last node. */
static void run_replay(void)
{
	run_begin();
	for (unsigned d = 0; d + 1 < x.depth; d++)
		run_step(x.node[d].pick);
}

/* The last node's next thread has run: a new node, or another end of the last one. 1: there is a new one. */
static int walk_arrive(void)
{
	struct node *last = x.depth ? &x.node[x.depth - 1] : NULL, *n = &x.node[x.depth];
	uint32_t choices = run_choices();
	uint64_t hash;
	double known;

	if (x.r->bad || x.again)
		return 0;
	if (!choices) {
		for (unsigned i = 0; i < x.c->threads; i++)
			if (!x.thread[i].done)
				border_fail("somebody waits for ever");
		if (x.c->end && !x.r->bad)
			x.c->end();
		if (last)
			last->schedules += 1;
		return 0;
	}
	hash = hash_state();
	known = seen_add(hash);
	if (known < 0.0)
		border_fail("somebody runs in a circle");
	if (known != 0.0) {
		last->schedules += known;
		return 0;
	}
	if (x.depth + 1 == DEPTH) {
		border_fail("it does not come to an end");
		return 0;
	}
	n->hash = hash;
	n->schedules = 0;
	n->choices = choices;
	x.depth++;
	return 1;
}

static void walk_schedule(void)
{
	char *s = x.r->schedule;
	unsigned d;

	for (d = 0; d < x.depth && d + 1 < sizeof x.r->schedule; d++)
		s[d] = (char)('0' + x.node[d].pick);
	s[d] = 0;
}

/* 0: a word turned out to be shared, begin again. */
static int walk(void)
{
	int fresh = 1; /* we are at the last node */

	if (x.room)
		memset(x.seen, 0, (size_t)x.room * sizeof *x.seen);
	x.used = x.depth = 0;
	x.again = 0;
	run_begin();
	walk_arrive();
	while (x.depth && !x.r->bad && !x.again) {
		struct node *n = &x.node[x.depth - 1];

		if (!n->choices) {
			x.depth--;
			*seen_find(n->hash) = n->schedules;
			if (x.depth)
				x.node[x.depth - 1].schedules += n->schedules;
			else
				x.r->schedules = n->schedules;
			fresh = 0;
			continue;
		}
		if (!fresh)
			run_replay();
		n->pick = (uint32_t)__builtin_ctz(n->choices);
		n->choices &= n->choices - 1;
		run_step(n->pick);
		fresh = walk_arrive();
	}
	return !x.again || x.r->bad;
}

void border_explore(const struct border_case *c, struct border_result *r)
{
	memset(r, 0, sizeof *r);
	x.c = c;
	x.r = r;
	x.words = 0;
	memset(x.by_address, 0, sizeof x.by_address);
	for (unsigned i = 0; i < BORDER_MEMORIES && c->memory[i].bytes; i++) {
		x.begin[i] = malloc(c->memory[i].bytes);
		need(x.begin[i] != NULL, "no memory");
		memcpy(x.begin[i], c->memory[i].at, c->memory[i].bytes);
	}
	while (!walk())
		;
	walk_schedule();
	r->states = x.used;
	for (unsigned i = 0; i < x.words; i++)
		r->words += x.word[i].shared == 1;
	for (unsigned i = 0; i < BORDER_MEMORIES && c->memory[i].bytes; i++) {
		memcpy(c->memory[i].at, x.begin[i], c->memory[i].bytes);
		free(x.begin[i]);
	}
	free(x.seen);
	x.seen = NULL;
	x.room = 0;
	x.r = NULL;
}
