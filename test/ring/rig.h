/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A ring for tests, of any of the three kinds of memory, with inaccessible pages around all that the library may touch: the
 * control page, the data area (each page, where it is a list of pages, which lie in another order than in the ring) and the
 * storage of both halves. The test has a mapping of its own, in ring order. Storage is filled with a pattern before an init.
 */
#ifndef TEST_RING_RIG_H
#define TEST_RING_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "vmbus.h"

#define RIG_TWICE 0u
#define RIG_ONCE 1u
#define RIG_LIST 2u
#define RIG_KINDS 3u

#define RIG_IN 0x00u
#define RIG_OUT 0x04u
#define RIG_MASK 0x08u
#define RIG_PENDING 0x0cu
#define RIG_FEATURES 0x40u

struct rig {
	uint32_t kind, pages, size;
	uint8_t *control, *data; /* the test's view */
	struct vmb_ring_mem mem; /* the library's; flags: VMB_RING_TWICE or 0 */
	uint8_t poison;          /* what storage holds before an init */
	struct vmb_tx *tx;
	struct vmb_rx *rx;
	/* private to rig.c */
	int fd;
	void **list;
	uint8_t *range, *storage[2];
	size_t range_bytes;
};

struct rig *rig_new(uint32_t kind, uint32_t pages); /* zero-filled; no half made yet */
void rig_free(struct rig *r);
/* Make a half, anew if there was one; what init returned. */
int rig_tx(struct rig *r, uint32_t flags, const struct vmb_cursor *from);
int rig_rx(struct rig *r, uint32_t flags, const struct vmb_cursor *from);
/* Both halves at this index of an empty ring. */
void rig_both_at(struct rig *r, uint32_t index);

/* Words of shared memory, in the order of the CPU. */
uint32_t rig_word(const struct rig *r, uint32_t word);
void rig_set(struct rig *r, uint32_t word, uint32_t value);
uint64_t rig_qword(const struct rig *r, uint32_t index); /* of the data, from any index below 2 * size */
void rig_set_qword(struct rig *r, uint32_t index, uint64_t value);
/* Is this an address of the control page, as the library sees it? Which word? */
int rig_is_control(const struct rig *r, const void *p, uint32_t *word);

/* A packet, in-band and without payload unless changed. */
struct vmb_packet rig_packet(const void *payload, uint32_t len);
/* Put and commit an in-band packet of len bytes 0, 1, 2 ...: what commit returned. */
int rig_send(struct rig *r, uint32_t len);
/* Next, expected to be there. */
struct vmb_view rig_next(struct rig *r, struct vmb_packet *p);

/* Is p->payload what vmb_rx_next gives with this view: where the payload is, if it has no header and all of the packet lies in a row, else NULL? */
int rig_in_place(const struct rig *r, const struct vmb_packet *p, const struct vmb_view *all);

/* Numbers that look random, the same in every run. */
uint32_t rig_random(uint64_t *state);

#endif /* TEST_RING_RIG_H */
