/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Two channels over one pair of rings: side 0 is the guest's, side 1 the host's. ring[i] is what side i sends into. Signals are
 * counted, and nothing more happens. Storage is exactly as large as asked for, so that an address sanitizer sees what lies
 * beyond it.
 */
#ifndef TEST_CHANNEL_PAIR_H
#define TEST_CHANNEL_PAIR_H

#include "test/ring/rig.h"
#include "vmbus.h"

struct pair_side {
	struct vmb_channel *ch;
	void *mem;
	size_t bytes;
	unsigned signals; /* that this side sent */
};

struct pair {
	struct rig *ring[2];
	struct pair_side side[2];
};

/* A config of this size and nothing else. */
struct vmb_channel_config pair_config(void);
/* Rings of this kind and size, no channel yet. */
struct pair *pair_rings(uint32_t kind, uint32_t pages0, uint32_t pages1);
/* Make side i of a copy of *cfg (NULL: all zero), with memory and signal filled in where they are zero. What init returned. */
int pair_open(struct pair *p, unsigned i, const struct vmb_channel_config *cfg);
/* The usual pair: plain rings of 4 pages, both sides open. */
struct pair *pair_new(const struct vmb_channel_config *cfg0, const struct vmb_channel_config *cfg1);
/* End whatever is open and free everything. */
void pair_free(struct pair *p);

/* An in-band packet. */
struct vmb_packet pair_packet(const void *payload, uint32_t len);
/* A completion of this id. */
struct vmb_packet pair_answer(uint64_t id, const void *payload, uint32_t len);
/* Receive on side i into a buffer of its own, which the packet points into until the next call. */
int pair_recv(struct pair *p, unsigned i, struct vmb_packet *out);
/* Fill the ring of side i with packets of len bytes until the next does not fit; how many. Nobody was promised a wake. */
unsigned pair_fill(struct pair *p, unsigned i, uint32_t len);
/* Is the channel of side i dead with this reason, for both its sides? */
int pair_broken(struct pair *p, unsigned i, uint32_t reason);
struct vmb_channel_info pair_info(const struct pair *p, unsigned i);

#endif /* TEST_CHANNEL_PAIR_H */
