/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * One direction of a ring, seen from its producer (struct vmb_tx) or its consumer (struct vmb_rx). The structs are here so that a
 * channel can hold one of each in its storage; nobody but lib/ring looks into them, except at what is marked "for the channel".
 */
#ifndef VMBI_RING_H
#define VMBI_RING_H

#include "vmbus.h"
#include "../env.h"

/* Words of the control page. ring.md 2.2 */
#define VMBI_RING_IN 0x00u
#define VMBI_RING_OUT 0x04u
#define VMBI_RING_MASK 0x08u
#define VMBI_RING_PENDING 0x0cu
#define VMBI_RING_FEATURES 0x40u

/* Where the ring lies. Written at init only. */
struct vmbi_ring {
	uint8_t *control;
	uint8_t *data;   /* NULL: the page table */
	uint8_t **pages; /* every page twice in a row: an offset below 2 * size finds its page without a modulo */
	uint32_t size;   /* data bytes, a multiple of 4096 */
	uint32_t linear; /* bytes in a row at data: size, or twice that where it is mapped twice */
	uint32_t flags;  /* VMB_RING_* */
	uint32_t magic;  /* VMB_CHECKED builds: this is one of ours, and which half */
};

/* The stick: why a half refuses. Written once by its owner, read by anybody. */
struct vmbi_stick {
	uint32_t reason; /* VMB_R_*, 0: none. Stored after `at`, with release */
	uint32_t at;     /* the bad index itself, or where the bad packet starts */
};

/* Pages written. For the channel: setup leaves it off and has by then written to the control page. */
struct vmbi_dirty {
	uint32_t *bits; /* one bit per page, set after writing; page 0 is the control page. NULL: off */
	uint32_t base;  /* bit number of page 0 */
};

/* Counters have one writer and any number of readers, who use VMBI_READ64. What is counted by the packet counts when it is
 * published. */
struct vmb_tx {
	struct vmbi_ring ring;
	struct vmbi_stick stick;
	/* private cursors, ring.md 8.1 */
	uint32_t next;    /* where the next packet starts */
	uint32_t room;    /* the largest packet that fits there for certain, by Out as last seen. 0 on a violation */
	uint32_t pub;     /* In, as last published */
	uint32_t pending; /* the pending size in the control page, as last stored */
	uint32_t fresh;   /* packets between pub and next */
	struct vmbi_dirty dirty;
	/* for the channel */
	uint64_t packets, signals;
	uint64_t masked; /* publications that would have signalled, had the consumer not masked */
	uint64_t full;   /* times that a packet did not fit */
	uint64_t bytes;  /* published */
};

struct vmb_rx {
	struct vmbi_ring ring;
	struct vmbi_stick stick;
	uint32_t next;    /* where the next packet starts */
	uint32_t left;    /* bytes from there to In as last seen; 0: look again. Above 0 only while mask is 1 */
	uint32_t pub;     /* Out, as last published */
	uint32_t mask;    /* the mask in the control page, as last stored */
	uint32_t fresh;   /* packets between pub and next */
	struct vmbi_dirty dirty;
	/* for the channel */
	uint64_t packets, signals;
	uint64_t bytes;   /* released */
	uint64_t head;    /* of the last packet given out that has a list: the word that counts its ranges, as fetched */
};

/* How many page table entries such a ring needs: 0, or twice its pages. */
uint32_t vmbi_ring_table(const struct vmb_ring_mem *mem);
/* Check a description: VMB_EINVAL, or 0. Not the memory itself. */
int vmbi_ring_check(const struct vmb_ring_mem *mem);
/* Make a half in place; the table has vmbi_ring_table entries (NULL where 0) and may be where mem->pages points. from may be
 * NULL or not valid. 0, VMB_EINVAL, VMB_EPEER. */
int vmbi_tx_setup(struct vmb_tx *tx, uint8_t **table, const struct vmb_ring_mem *mem, const struct vmb_cursor *from);
int vmbi_rx_setup(struct vmb_rx *rx, uint8_t **table, const struct vmb_ring_mem *mem, const struct vmb_cursor *from);

/* Bytes between Out and In. ring.md 3.2 */
static inline uint32_t vmbi_ring_used(uint32_t in, uint32_t out, uint32_t size)
{
	return in >= out ? in - out : size - out + in;
}

/* For the channel: where a side stands, as its end gives it. 0: something is put and not committed, or taken and not released. */
static inline int vmbi_tx_where(const struct vmb_tx *tx, struct vmb_cursor *at)
{
	*at = (struct vmb_cursor){ 1, tx->pub, tx->pending, 0 };
	return tx->next == tx->pub;
}

static inline int vmbi_rx_where(const struct vmb_rx *rx, struct vmb_cursor *at)
{
	*at = (struct vmb_cursor){ 1, rx->pub, rx->mask, 0 };
	return rx->next == rx->pub;
}

#endif /* VMBI_RING_H */
