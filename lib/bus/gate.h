/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The gate of a channel: what keeps wake and interrupt away from a channel that is being closed or retargeted. One word between threads:
 * CLOSED, WATCH, and the number of users inside. Signallers on any CPU enter and leave; control closes or watches and, while somebody is
 * inside, waits for the poke of the last one out. All accesses are read-modify-writes, so they have one order.
 */
#ifndef VMBI_GATE_H
#define VMBI_GATE_H

#include "vmbus.h"
#include "../env.h"

#define VMBI_GATE_CLOSED 1u
#define VMBI_GATE_WATCH 2u
#define VMBI_GATE_USER 4u

struct vmbi_gate {
	uint32_t word;
};

/* [any] Not worth entering? Whoever asks this first can get in the way of a closing gate once, not for ever. */
static inline int vmbi_gate_is_closed(struct vmbi_gate *g)
{
	return (VMBI_LOAD32_RELAXED(&g->word) & VMBI_GATE_CLOSED) != 0;
}

/* [any] 1: inside, the channel stays until leave. 0: closed; leave must be called all the same. */
static inline int vmbi_gate_enter(struct vmbi_gate *g)
{
	return !(VMBI_FETCH_ADD32(&g->word, VMBI_GATE_USER) & VMBI_GATE_CLOSED);
}

/* [any] 1: control waits for this moment: poke. The gate's memory outlives every leave. */
static inline int vmbi_gate_leave(struct vmbi_gate *g)
{
	uint32_t word = VMBI_FETCH_SUB32(&g->word, VMBI_GATE_USER) - VMBI_GATE_USER;

	return word < VMBI_GATE_USER && word & VMBI_GATE_WATCH;
}

/* [control] Let nobody in. 1: nobody is inside. 0: a poke will come; then ask vmbi_gate_empty. */
static inline int vmbi_gate_close(struct vmbi_gate *g)
{
	return VMBI_FETCH_OR32(&g->word, VMBI_GATE_CLOSED | VMBI_GATE_WATCH) < VMBI_GATE_USER;
}

/* [control] Call after a change that those inside may not have seen. 1: all have. 0: as above. */
static inline int vmbi_gate_watch(struct vmbi_gate *g)
{
	return VMBI_FETCH_OR32(&g->word, VMBI_GATE_WATCH) < VMBI_GATE_USER;
}

/* [control] Is nobody inside? */
static inline int vmbi_gate_empty(struct vmbi_gate *g)
{
	return VMBI_LOAD32_ACQUIRE(&g->word) < VMBI_GATE_USER;
}

/* [control] After a watch has come to its end. */
static inline void vmbi_gate_unwatch(struct vmbi_gate *g)
{
	VMBI_FETCH_AND32(&g->word, ~VMBI_GATE_WATCH);
}

/* [control] Let signallers in again; those that are passing through a closed gate keep their count. */
static inline void vmbi_gate_open(struct vmbi_gate *g)
{
	VMBI_FETCH_AND32(&g->word, ~(VMBI_GATE_CLOSED | VMBI_GATE_WATCH));
}

/* [control] How a gate begins. */
static inline void vmbi_gate_init(struct vmbi_gate *g)
{
	VMBI_STORE32_RELAXED(&g->word, VMBI_GATE_CLOSED);
}

#endif /* VMBI_GATE_H */
