/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What the two control-plane state machines share: the guard of [control] calls, handles, and lists of numbered objects. */
#ifndef VMBI_BUS_H
#define VMBI_BUS_H

#include "vmbus.h"
#include "../env.h"
#include "../abi.h"
#include "gate.h"

/* ---- one [control] caller at a time */

struct vmbi_guard {
	uint32_t busy;
	uint32_t reserved;
};

/* 0: inside, leave later. VMB_EREENTRY: somebody is, perhaps this very call chain. */
static inline int vmbi_guard_enter(struct vmbi_guard *g)
{
	return VMBI_EXCHANGE32(&g->busy, 1u) ? VMB_EREENTRY : 0;
}

static inline void vmbi_guard_leave(struct vmbi_guard *g)
{
	VMBI_STORE32_RELEASE(&g->busy, 0u);
}

/* ---- handles: generation << 11 | slot, where slots count from 1; a generation is never repeated while the end lives: a slot that has
 * used up its 2^21 - 1 generations is not used again */

#define VMBI_SLOT_BITS 11u
#define VMBI_SLOT_MASK ((1u << VMBI_SLOT_BITS) - 1u)
#define VMBI_GENERATION_MAX ((1u << (32u - VMBI_SLOT_BITS)) - 1u)

static inline vmb_handle vmbi_handle(uint32_t slot, uint32_t generation)
{
	return generation << VMBI_SLOT_BITS | slot;
}

static inline uint32_t vmbi_handle_slot(vmb_handle h)
{
	return h & VMBI_SLOT_MASK;
}

static inline uint32_t vmbi_handle_generation(vmb_handle h)
{
	return h >> VMBI_SLOT_BITS;
}

/* ---- lists of numbered objects (1...n; 0 is none), the links in an array of the user's: append, remove and pop in constant time */

struct vmbi_link {
	uint32_t next, prev; /* of a member */
	uint32_t in;         /* 1: is in its list */
	uint32_t reserved;
};

struct vmbi_fifo {
	uint32_t head, tail;
	uint32_t count, most; /* members, and how many there were at most */
};

static inline void vmbi_fifo_append(struct vmbi_fifo *f, struct vmbi_link *links, uint32_t n)
{
	if (links[n].in)
		return;
	links[n] = (struct vmbi_link){ 0, f->tail, 1, 0 };
	if (f->tail)
		links[f->tail].next = n;
	else
		f->head = n;
	f->tail = n;
	if (++f->count > f->most)
		f->most = f->count;
}

static inline void vmbi_fifo_remove(struct vmbi_fifo *f, struct vmbi_link *links, uint32_t n)
{
	struct vmbi_link *l = &links[n];

	if (!l->in)
		return;
	if (l->prev)
		links[l->prev].next = l->next;
	else
		f->head = l->next;
	if (l->next)
		links[l->next].prev = l->prev;
	else
		f->tail = l->prev;
	f->count--;
	*l = (struct vmbi_link){ 0, 0, 0, 0 };
}

/* Call poke where there is one. A macro: the two configs are different types. */
#define VMBI_POKE(cfg) ((cfg)->poke ? (cfg)->poke((cfg)->ctx) : (void)0)

#endif /* VMBI_BUS_H */
