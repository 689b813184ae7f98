/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Requests in flight: a fixed table between two threads. [tx] takes slots and cancels, [rx] completes. A slot's word holds
 * generation and state: [tx] makes a free slot live, all else is by compare-and-swap. The numbers of free slots go round in a
 * ring, from [rx] to [tx]. ids: (generation << 16 | slot) + 1, never 0, never a pointer, not given again before the slot was
 * used 2^30 times. ring.md 7
 *
 * Taking is two steps: the id is needed to write the packet, but the slot goes live only when it is certain that the packet is
 * in the ring, or will be, and before it is published. So a packet that does not fit leaves nothing to undo, and a forged
 * completion nothing to find.
 */
#ifndef VMBI_REQUEST_H
#define VMBI_REQUEST_H

#include "vmbus.h"
#include "../env.h"
#include "../abi.h"

/* A slot's word: 30 bits of generation, 2 of state. */
#define VMBI_REQUEST_FREE 0u
#define VMBI_REQUEST_LIVE 1u
#define VMBI_REQUEST_ZOMBIE 2u
#define VMBI_REQUEST_STATE 3u
#define VMBI_REQUEST_GENERATION 4u /* one more */

#define VMBI_REQUESTS_MAX 65535u

struct vmbi_request {
	uint32_t word;  /* generation << 2 | state; between threads */
	uint32_t place; /* [owner] where in the ring of free slots its number was first: a hint */
	uint64_t user;  /* [tx] writes it before the slot is live, [rx] reads it before the slot is free */
};

struct vmbi_requests {
	/* written at init only */
	struct vmbi_request *slots;
	uint16_t *free; /* ring of slot numbers, mask + 1 of them; never more than `size` in it */
	uint32_t size;  /* slots; 0: no table */
	uint32_t mask;
	/* [tx] */
	uint32_t out __attribute__((aligned(64))); /* numbers ever taken out of the ring */
	uint32_t seen;    /* `in`, as last seen */
	uint32_t zombies; /* ever cancelled */
	uint32_t reserved;
	uint64_t sent;    /* ever taken */
	/* [rx] */
	uint32_t in __attribute__((aligned(64))); /* numbers ever put into the ring */
	uint32_t buried;  /* cancelled ones that were completed */
};

/* [tx] VMB_YES, the slot of the next request, and the id that it will have; 0: all slots are in flight. */
static inline int vmbi_request_next(struct vmbi_requests *r, struct vmbi_request **q, uint64_t *id)
{
	uint32_t slot;

	if (r->out == r->seen) {
		r->seen = VMBI_LOAD32_ACQUIRE(&r->in);
		if (r->out == r->seen)
			return 0;
	}
	slot = r->free[r->out & r->mask];
	*q = &r->slots[slot];
	*id = ((uint64_t)(uint32_t)(VMBI_LOAD32_RELAXED(&(*q)->word) + VMBI_REQUEST_GENERATION) << 14 | slot) + 1;
	return VMB_YES;
}

/* [tx] Its packet is in the ring, the peer has not seen it: from now on its completion is expected. */
static inline void vmbi_request_take(struct vmbi_requests *r, struct vmbi_request *q, uint64_t user)
{
	q->user = user;
	VMBI_STORE32_RELEASE(&q->word, VMBI_LOAD32_RELAXED(&q->word) + VMBI_REQUEST_GENERATION + VMBI_REQUEST_LIVE);
	VMBI_STORE32_RELAXED(&r->out, r->out + 1);
	VMBI_WRITE64(&r->sent, VMBI_READ64(&r->sent) + 1);
}

/* Where an id belongs, and the word of its slot while it is live; the number of slots, if no table gave it. */
static inline uint32_t vmbi_request_find(const struct vmbi_requests *r, uint64_t id, uint32_t *live)
{
	uint64_t n = id - 1;
	uint32_t slot = (uint32_t)n & 0xffff;

	*live = ((uint32_t)(n >> 14) & ~VMBI_REQUEST_STATE) | VMBI_REQUEST_LIVE;
	return slot < r->size && !(n >> 46) ? slot : r->size;
}

/* [rx] A completion came. `state`: of its request, live or zombie. VMB_YES with its user, and the slot is free; 0: none such is in flight. */
static inline int vmbi_request_complete(struct vmbi_requests *r, uint64_t id, uint32_t state, uint64_t *user)
{
	uint32_t live, slot = vmbi_request_find(r, id, &live), freed = live - VMBI_REQUEST_LIVE;

	if (slot == r->size || !VMBI_SWAP32(&r->slots[slot].word, freed + state, freed))
		return 0;
	*user = r->slots[slot].user;
	/* What [tx] read at this place it read before the latest of the takes whose completions came here, and each of those
	 * was acquired. */
	r->free[r->in & r->mask] = (uint16_t)slot;
	VMBI_STORE32_RELEASE(&r->in, r->in + 1);
	return VMB_YES;
}

/* Fills in slots, free, size and mask; the pointers are NULL while only computing. */
void vmbi_requests_carve(struct vmbi_carve *c, uint32_t size, struct vmbi_requests *r);
void vmbi_requests_init(struct vmbi_requests *r);
/* [rx] What vmbi_request_complete would say, changing nothing. */
int vmbi_request_look(const struct vmbi_requests *r, uint64_t id, uint64_t *user, uint32_t *late);
/* [tx] Make it a zombie: 0 or VMB_ENOENT. user may be NULL. */
int vmbi_request_cancel(struct vmbi_requests *r, uint64_t id, uint64_t *user);
/* [owner] As vmb_channel_adopt and vmb_channel_outstanding. */
int vmbi_request_adopt(struct vmbi_requests *r, uint64_t id, uint64_t user);
int vmbi_request_outstanding(const struct vmbi_requests *r, uint32_t *cursor, uint64_t *id, uint64_t *user, uint32_t *flags);
/* [any] How many are in flight, and how many of them were cancelled, about now. */
void vmbi_requests_count(const struct vmbi_requests *r, uint32_t *requests, uint32_t *zombies);

#endif /* VMBI_REQUEST_H */
