/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The parts of the ring target. An input's first step chooses memory and mode, the others are operations of the library's user and of its
 * peer. As long as the peer has written nothing of its own (ring_tampered), a model says what every call must give, and that all that was
 * sent comes out. After that, what holds whatever the peer does: no access outside the ring, EPEER for good and for a reason, bounded work.
 */
#ifndef FUZZ_RING_H
#define FUZZ_RING_H

#include "fuzz.h"

#include <vmbus.h>

#define RING_PAGES_MAX 4u
#define RING_IN 0x00u
#define RING_OUT 0x04u
#define RING_MASK 0x08u
#define RING_PENDING 0x0cu
#define RING_FEATURES 0x40u

/* One ring: as the peer sees it, and as the library does. */
struct ring {
	uint32_t pages, size;
	uint8_t *control, *data;  /* the peer's own mapping, in ring order */
	struct vmb_ring_mem mem;  /* the library's; flags: VMB_RING_TWICE or 0 */
	const uint8_t *low, *high; /* the library's mappings lie in between, with inaccessible pages around each */
	void *list[RING_PAGES_MAX];
};

/* ring.c */

/* Ring number 0 or 1 of this kind (0: once, 1: twice, 2: a list of pages), zeroed. */
struct ring *ring_get(unsigned which, uint32_t kind, uint32_t pages);
uint32_t ring_word(const struct ring *r, uint32_t word);
extern int ring_tampered;
extern unsigned ring_fired; /* how often it has written during the last call */
/* Forget what the peer still has in mind. */
void ring_peer_forget(void);
/* A step of the peer: write now, or at one of the library's next accesses. */
void ring_peer(const struct fuzz_step *s);
/* Not 0: before that access from now on, to any memory that threads share, the channel's own thread goes on. And while it does. */
extern unsigned ring_interrupt;
extern int ring_interrupted;
/* Before each call of the library: its accesses are counted from here. */
void ring_call(void);

/* Payloads: `len` bytes that depend on a seed below 256. */
#define RING_PAYLOAD_MAX 70000u
const uint8_t *ring_payload(uint32_t seed);
/* A list of a few ranges that depends on a seed. pages: with page numbers, as GPA direct has it. */
#define RING_WORDS_MAX 24u
void ring_list(uint32_t seed, int pages, uint64_t words[RING_WORDS_MAX], struct vmb_list *list);
/* What a received packet says of external memory is used, through a mapper of a few pages that sometimes refuses. */
void ring_external(const struct vmb_packet *p, const struct fuzz_step *s);
/* Every field of a packet's bytes, as a dumper asks for them. */
void ring_fields(const uint8_t *bytes, uint32_t len);

/* ring_half.c, ring_channel.c */
void ring_halves(struct fuzz_input *in, const struct fuzz_step *first);
void ring_channels(struct fuzz_input *in, const struct fuzz_step *first);
void ring_channels_nested(void); /* the next steps, inside a call on another thread */

#endif /* FUZZ_RING_H */
