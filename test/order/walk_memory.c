/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The memory of the explorer: messages, views, fences, late loads, and who has touched which bytes of the data area. */
#include "walk_memory.h"

#include <string.h>

#define WORDS WALK_WORDS
#define MESSAGES 40u  /* to one word */
#define DATA 1024u    /* words of 8 bytes in the data area */
#define LATE 4u       /* loads of one side that are not done yet */
#define VALUES 12u    /* that late loads of one word may give */

struct view {
	uint8_t seen[WORDS];
	uint16_t clock[2]; /* up to which point of each side everything happens before */
};

struct message {
	uint64_t value;
	struct view view;
};

struct word {
	void *address;
	uint32_t count;
	struct message message[MESSAGES];
};

struct side {
	struct view now, read, fence; /* seen; attached to what relaxed loads read; as of the last fence */
	struct walk_hash history;     /* of all that it has read */
	struct { uint64_t value; uint32_t number; } late[LATE];
	uint32_t lates, steps;
	uint8_t done, waiting, event;
};

static struct {
	struct side side[2];
	uint8_t fences[WORDS]; /* what all full fences so far have seen */
	struct word word[WORDS];
	struct { uint16_t write[2], read[2]; } data[DATA]; /* when each side did so last */
	struct walk_access access[2][WORDS];
	uint32_t step[2];
} memory;

/* Values that each side has stored to each word, in any execution. Usable: those of the walks before. */
static struct {
	uint64_t value[VALUES];
	uint32_t count, usable;
} learned[2][WORDS];

static struct side *me(void)
{
	return &memory.side[walk_side()];
}

/* ---- hashes */

static void hash_mix(struct walk_hash *h, uint64_t v)
{
	h->a = (h->a ^ v) * 0x9e3779b97f4a7c15u;
	h->a ^= h->a >> 29;
	h->b = (h->b + v) * 0xc2b2ae3d27d4eb4fu;
	h->b ^= h->b >> 31;
}

static void hash_bytes(struct walk_hash *h, const void *p, size_t n)
{
	const uint8_t *from = p;
	uint64_t v;

	for (; n >= 8; n -= 8, from += 8) {
		memcpy(&v, from, 8);
		hash_mix(h, v);
	}
	v = n;
	memcpy(&v, from, n);
	hash_mix(h, v);
}

struct walk_hash walk_memory_hash(void)
{
	struct walk_hash h = { 1, 2 };

	for (uint32_t i = 0; i < 2; i++) {
		const struct side *s = &memory.side[i];

		hash_bytes(&h, &s->history, sizeof s->history);
		hash_bytes(&h, &s->now, sizeof s->now);
		hash_bytes(&h, &s->read, sizeof s->read);
		hash_bytes(&h, &s->fence, sizeof s->fence);
		hash_mix(&h, s->steps);
		hash_mix(&h, s->done | (uint64_t)s->waiting << 8 | (uint64_t)s->event << 16 | (uint64_t)s->lates << 24);
		for (uint32_t k = 0; k < s->lates; k++) {
			hash_mix(&h, s->late[k].value);
			hash_mix(&h, s->late[k].number);
		}
	}
	hash_bytes(&h, memory.fences, sizeof memory.fences);
	for (uint32_t i = 0; i < WORDS; i++) {
		uint32_t a = memory.side[0].now.seen[i], b = memory.side[1].now.seen[i];

		for (uint32_t k = a < b ? a : b; k < memory.word[i].count; k++) { /* older ones nobody can see any more */
			hash_mix(&h, i << 8 | k);
			hash_mix(&h, memory.word[i].message[k].value);
			hash_bytes(&h, &memory.word[i].message[k].view, sizeof(struct view));
		}
	}
	return h;
}

/* ---- beginning and end */

void walk_memory_begin(void)
{
	memset(&memory.side, 0, sizeof memory.side);
	memset(memory.fences, 0, sizeof memory.fences);
	memset(memory.data, 0, sizeof memory.data);
	memset(memory.step, 0, sizeof memory.step);
	memset(memory.access, 0, sizeof memory.access);
	for (uint32_t i = 0; i < WORDS; i++)
		memory.word[i].count = 0;
	for (uint32_t i = 0; i < 2; i++)
		memory.side[i].now.clock[i] = 1;
}

void walk_memory_done(void)
{
	me()->done = 1;
}

int walk_can_run(uint32_t side)
{
	const struct side *s = &memory.side[side];

	return !s->done && (!s->waiting || s->event);
}

int walk_memory_asleep(void)
{
	return memory.side[0].waiting || memory.side[1].waiting;
}

int walk_memory_late(void)
{
	return memory.side[0].lates || memory.side[1].lates;
}

int walk_memory_learn(int again)
{
	int any = 0;

	if (!again)
		memset(learned, 0, sizeof learned);
	for (uint32_t i = 0; i < 2 * WORDS; i++) {
		any |= learned[i / WORDS][i % WORDS].usable != learned[i / WORDS][i % WORDS].count;
		learned[i / WORDS][i % WORDS].usable = learned[i / WORDS][i % WORDS].count;
	}
	return any;
}

/* The other side may go first; then this one does something, which may show nowhere else. */
static void memory_step(void)
{
	walk_yield();
	me()->steps++;
}

/* ---- signals */

/* Something that the side can only do when all its loads are done. */
static void memory_settle(const struct side *s)
{
	if (s->lates)
		walk_impossible();
}

void walk_wait(void)
{
	struct side *s = me();

	memory_settle(s);
	s->waiting = 1;
	walk_yield();
	s->waiting = 0;
	s->event = 0;
	hash_mix(&s->history, UINT64_MAX);
}

void walk_signal(void)
{
	memory_settle(me());
	memory_step();
	memory.side[!walk_side()].event = 1;
}

/* ---- control words */

static void view_see(uint8_t *to, const uint8_t *from)
{
	for (uint32_t i = 0; i < WORDS; i++)
		if (to[i] < from[i])
			to[i] = from[i];
}

static void view_join(struct view *to, const struct view *from)
{
	view_see(to->seen, from->seen);
	for (uint32_t i = 0; i < 2; i++)
		if (to->clock[i] < from->clock[i])
			to->clock[i] = from->clock[i];
}

static uint64_t plain_load(const volatile void *p, size_t bytes)
{
	return bytes == 8 ? __atomic_load_n((const volatile uint64_t *)p, __ATOMIC_RELAXED) :
			    __atomic_load_n((const volatile uint32_t *)p, __ATOMIC_RELAXED);
}

static void plain_store(volatile void *p, size_t bytes, uint64_t value)
{
	if (bytes == 8)
		__atomic_store_n((volatile uint64_t *)p, value, __ATOMIC_RELAXED);
	else
		__atomic_store_n((volatile uint32_t *)p, (uint32_t)value, __ATOMIC_RELAXED);
}

static enum walk_kind memory_place(const volatile void *p, uint32_t *number)
{
	const struct walk_case *c = walk_running_case();

	*number = 0;
	return c ? c->place(c->ctx, (const void *)(uintptr_t)p, number) : WALK_PRIVATE;
}

int walk_observed(const volatile void *p)
{
	uint32_t number;

	return memory_place(p, &number) != WALK_PRIVATE;
}

static struct word *memory_word(uint32_t number, const volatile void *p, size_t bytes)
{
	struct word *w = &memory.word[number];

	walk_need(number < WORDS, "too many words");
	if (!w->count) {
		memset(&w->message[0], 0, sizeof w->message[0]);
		w->address = (void *)(uintptr_t)p;
		w->message[0].value = plain_load(p, bytes);
		w->count = 1;
	}
	walk_need(w->address == p, "a word with two addresses");
	return w;
}

static int memory_order(enum walk_op op, uint32_t number, int order)
{
	const struct walk_case *c = walk_running_case();

	return c->weaken ? c->weaken(c->ctx, op, number, order) : order;
}

static struct walk_access *memory_note(uint32_t number, uint32_t *step)
{
	*step = ++memory.step[walk_side()];
	return &memory.access[walk_side()][number];
}

static void memory_note_load(uint32_t number, uint64_t value, uint32_t message)
{
	uint32_t step;
	struct walk_access *a = memory_note(number, &step);

	a->loads++;
	a->loaded = value;
	a->loaded_at = step;
	a->message = message;
	hash_mix(&me()->history, (uint64_t)number << 32 | message);
	hash_mix(&me()->history, value);
}

/* How many values a late load could give that are not there yet, and the k-th of them. */
static uint32_t memory_guesses(const struct side *s, uint32_t number, uint32_t k, uint64_t *value)
{
	const struct word *w = &memory.word[number];
	uint32_t n = 0;

	if (!(walk_running_case()->flags & WALK_LATE) || s->lates == LATE || memory.side[!walk_side()].done)
		return 0;
	for (uint32_t i = 0; i < learned[!walk_side()][number].usable; i++) {
		uint64_t v = learned[!walk_side()][number].value[i];
		uint32_t at = s->now.seen[number];

		while (at < w->count && w->message[at].value != v)
			at++;
		if (at < w->count)
			continue;
		if (n++ == k)
			*value = v;
	}
	return n;
}

static uint64_t memory_load(struct side *s, uint32_t number, int order)
{
	struct word *w = &memory.word[number];
	int acquire = order != __ATOMIC_RELAXED && order != __ATOMIC_RELEASE && order != WALK_FENCE_ONLY;
	uint32_t there = w->count - s->now.seen[number], at;
	uint64_t value = 0;

	for (uint32_t k = 0; k < s->lates; k++)
		if (s->late[k].number == number)
			walk_impossible(); /* it would go back in the order of this word */
	at = walk_choose(there + (acquire ? 0 : memory_guesses(s, number, UINT32_MAX, &value)));
	if (at >= there) {
		(void)memory_guesses(s, number, at - there, &value);
		s->late[s->lates].value = value;
		s->late[s->lates++].number = number;
		memory_note_load(number, value, UINT32_MAX);
		return value;
	}
	at = w->count - 1 - at; /* the newest first */
	s->now.seen[number] = (uint8_t)at;
	view_join(acquire ? &s->now : &s->read, &w->message[at].view);
	memory_note_load(number, w->message[at].value, at);
	return w->message[at].value;
}

static void memory_fence(struct side *s)
{
	uint32_t i = walk_side();

	memory_settle(s);
	view_join(&s->now, &s->read);
	view_see(s->now.seen, memory.fences); /* what happens before is not what was seen: clocks stay */
	memcpy(memory.fences, s->now.seen, sizeof memory.fences);
	s->fence = s->now;
	s->now.clock[i]++;
}

static void memory_learn(uint32_t number, uint64_t value)
{
	uint32_t i = 0, by = walk_side();

	while (i < learned[by][number].count && learned[by][number].value[i] != value)
		i++;
	if (i < learned[by][number].count)
		return;
	walk_need(i < VALUES, "too many values of a word");
	learned[by][number].value[learned[by][number].count++] = value;
}

/* A late load of the other side gets what it has guessed. */
static void memory_fulfil(struct side *other, uint32_t number, uint32_t at)
{
	const struct message *m = &memory.word[number].message[at];

	for (uint32_t k = 0; k < other->lates; k++) {
		if (other->late[k].number != number || other->late[k].value != m->value)
			continue;
		other->now.seen[number] = (uint8_t)at;
		view_join(&other->read, &m->view);
		other->late[k] = other->late[--other->lates];
		return;
	}
}

static void memory_store(struct side *s, uint32_t number, size_t bytes, uint64_t value, int order)
{
	struct word *w = &memory.word[number];
	int release = order != __ATOMIC_RELAXED && order != __ATOMIC_ACQUIRE && order != WALK_FENCE_ONLY;
	struct walk_access *a;
	struct message *m;
	uint32_t step;

	if (release)
		memory_settle(s);
	walk_need(w->count < MESSAGES, "too many stores to one word");
	walk_need(s->now.seen[number] == w->count - 1, "a word has two writers");
	s->now.seen[number] = (uint8_t)w->count;
	m = &w->message[w->count++];
	m->value = value;
	m->view = release ? s->now : s->fence;
	m->view.seen[number] = (uint8_t)(w->count - 1);
	if (release)
		s->now.clock[walk_side()]++;
	plain_store(w->address, bytes, value);
	a = memory_note(number, &step);
	a->stores++;
	a->stored = value;
	a->stored_at = step;
	memory_learn(number, value);
	memory_fulfil(&memory.side[!walk_side()], number, w->count - 1);
}

/* Read the newest and write, as one. */
static uint64_t memory_swap(uint32_t number, size_t bytes, uint64_t keep, uint64_t value, int order)
{
	struct word *w = &memory.word[number];
	struct side *s = me();
	uint64_t old = w->message[w->count - 1].value;
	struct view *before = &w->message[w->count - 1].view;
	int acquire = order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
	struct view chain = *before;

	s->now.seen[number] = (uint8_t)(w->count - 1);
	view_join(acquire ? &s->now : &s->read, before);
	hash_mix(&s->history, old);
	memory_store(s, number, bytes, (old & keep) | value, order);
	view_join(&w->message[w->count - 1].view, &chain); /* goes on with the release before */
	if (walk_running_case()->flags & WALK_X86 && (order == __ATOMIC_SEQ_CST || order == WALK_FENCE_ONLY))
		memory_fence(s);
	return old;
}

/* ---- bytes of the data area: words from number on */

static void memory_data(uint32_t number, const volatile void *p, size_t bytes, int write)
{
	uint32_t i = walk_side(), o = !i;
	size_t n = ((uintptr_t)p % 8 + bytes + 7) / 8;
	struct side *s = me();

	for (; n--; number++) {
		walk_need(number < DATA, "too many data words");
		if (memory.data[number].write[o] > s->now.clock[o])
			walk_fail(write ? "a byte written by both sides" : "a byte read before it was written");
		if (write && memory.data[number].read[o] > s->now.clock[o])
			walk_fail("a byte written before it was read");
		if (write)
			memory.data[number].write[i] = s->now.clock[i];
		else
			memory.data[number].read[i] = s->now.clock[i];
	}
}

/* ---- what sides ask */

void walk_forget(const void *state, size_t bytes)
{
	me()->history = (struct walk_hash){ 3, 4 };
	me()->steps = 0;
	hash_bytes(&me()->history, state, bytes);
}

void walk_call(void)
{
	memory.step[walk_side()] = 0;
	memset(memory.access[walk_side()], 0, sizeof memory.access[0]);
}

struct walk_access walk_did(uint32_t number)
{
	return memory.access[walk_side()][number];
}

uint32_t walk_messages(uint32_t number)
{
	return memory.word[number].count;
}

uint32_t walk_seen(uint32_t number)
{
	return me()->now.seen[number];
}

/* ---- the port */

uint64_t walk_load(const volatile void *p, size_t bytes, int order)
{
	uint32_t number;

	switch (memory_place(p, &number)) {
	case WALK_CONTROL:
		memory_step();
		(void)memory_word(number, p, bytes);
		return memory_load(me(), number, memory_order(WALK_LOAD, number, order));
	case WALK_DATA:
		memory_data(number, p, bytes, 0);
		break;
	default:
		break;
	}
	return plain_load(p, bytes);
}

void walk_store(volatile void *p, size_t bytes, uint64_t value, int order)
{
	uint32_t number;

	switch (memory_place(p, &number)) {
	case WALK_CONTROL:
		memory_step();
		(void)memory_word(number, p, bytes);
		memory_store(me(), number, bytes, value, memory_order(WALK_STORE, number, order));
		return;
	case WALK_DATA:
		memory_data(number, p, bytes, 1);
		break;
	default:
		break;
	}
	plain_store(p, bytes, value);
}

static uint64_t walk_swap(volatile void *p, size_t bytes, uint64_t keep, uint64_t value, int order)
{
	uint32_t number;
	uint64_t old;

	if (memory_place(p, &number) == WALK_CONTROL) {
		memory_step();
		(void)memory_word(number, p, bytes);
		return memory_swap(number, bytes, keep, value, memory_order(WALK_SWAP, number, order));
	}
	old = plain_load(p, bytes);
	plain_store(p, bytes, (old & keep) | value);
	return old;
}

uint64_t walk_exchange(volatile void *p, size_t bytes, uint64_t value, int order)
{
	return walk_swap(p, bytes, 0, value, order);
}

uint64_t walk_or(volatile void *p, size_t bytes, uint64_t value, int order)
{
	return walk_swap(p, bytes, UINT64_MAX, value, order);
}

void walk_fence(int order)
{
	if (!walk_running_case())
		return;
	walk_need(order == __ATOMIC_SEQ_CST, "a fence that is not modelled");
	memory_step();
	if (memory_order(WALK_FENCE, 0, order) == order)
		memory_fence(me());
}

void walk_copy_out(void *dst, const void *shared, size_t n)
{
	uint32_t number;

	if (n && memory_place(shared, &number) == WALK_DATA)
		memory_data(number, shared, n, 0);
	memcpy(dst, shared, n);
}

void walk_copy_in(void *shared, const void *src, size_t n)
{
	uint32_t number;

	if (n && memory_place(shared, &number) == WALK_DATA)
		memory_data(number, shared, n, 1);
	memcpy(shared, src, n);
}
