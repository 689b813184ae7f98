/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The two ends of a ring for walk.h: calls of the public API with, at each, what ring.md 10.1 and 10.3 say of its result, given what it
 * loaded after it had published. Packets are numbered from 1; the id and each byte of a packet are known from its number.
 *
 * Each function is one call, made by the side that it belongs to, unless it says otherwise.
 */
#ifndef TEST_ORDER_ENDS_H
#define TEST_ORDER_ENDS_H

#include "test/ring/rig.h"
#include "walk.h"

/* Numbers of control words. */
enum {
	WORD_IN, WORD_OUT, WORD_MASK, WORD_PENDING, WORD_FEATURES, WORD_REASON, WORD_AT, WORD_DIRTY,
	WORD_COUNT
};

/* Which function of the API runs. */
enum ends_call {
	CALL_NONE, CALL_TX_INIT, CALL_PUT, CALL_COMMIT, CALL_ARM, CALL_DISCARD, CALL_TX_REASON,
	CALL_RX_INIT, CALL_NEXT, CALL_COPY, CALL_RELEASE, CALL_SLEEP, CALL_MASK, CALL_RX_REASON, CALL_COUNT
};
extern const char *const ends_call_names[CALL_COUNT];
extern const char *const ends_word_names[WORD_COUNT];

/* An order somewhere in lib/: what a function of the API asks for. part: a publication by exchange is two, release and fence. */
enum ends_part { PART_ACQUIRE, PART_RELEASE, PART_FENCE };
struct ends_site {
	enum ends_call call;
	enum ends_part part;
	uint32_t word; /* of a fence: which word was stored before it */
};

struct ends {
	struct rig *rig;
	struct vmb_tx *tx;
	struct vmb_rx *rx;
	enum ends_call call[2];
	uint32_t sent, got;       /* packets put, packets taken */
	uint32_t pub, out;        /* In and Out, as last published: kept here, not asked of the library */
	uint32_t signals[2];      /* by the producer, by the consumer */
	uint32_t arm_in[64], arm_at[64]; /* for each message to Pending: the message to In that it was computed from, and its value */
	int32_t over[64];         /* for each message to In: pending sizes up to this message were taken back before */
	int keeps_pending;        /* a producer that never does */
	uint32_t dirty;           /* log of pages written */
	int armed;                /* what the last ends_arm gave */
	uint32_t stored[2];       /* the word that each side has stored last */
};
extern struct ends ends;

/* Storage for halves, and a ring of this kind; once for all executions. */
void ends_make(uint32_t kind, uint32_t pages);
void ends_unmake(void);
/* For begin(): both halves made, ring empty at this index. The consumer has just masked and drained if masked, else it sleeps. */
void ends_rest(uint32_t index, int masked);
enum walk_kind ends_place(void *ctx, const void *address, uint32_t *number);
/* Everything that was put has come. */
const char *ends_all(void *ctx);

void ends_tx_init(const struct vmb_cursor *from);
int ends_put(uint32_t total);     /* one packet of so many bytes, descriptor and footer included */
int ends_put_ranges(void);        /* one of 64 bytes with two ranges */
void ends_commit(void);           /* and signals */
int ends_arm(uint32_t total, uint32_t least);
void ends_discard(uint32_t packets);
void ends_send(uint32_t total, uint32_t least); /* puts, waits for room as long as it must, commits */
void ends_tx_end(struct vmb_cursor *at);

void ends_rx_init(const struct vmb_cursor *from);
int ends_next(void);              /* also compares and copies */
void ends_release(void);          /* and signals */
int ends_sleep(void);             /* the same. 1: there is more */
void ends_mask(void);
void ends_rx_end(struct vmb_cursor *at);
/* Until that packet has come: drains, and waits if there is none. Space is given back */
enum ends_way { BY_RELEASE, BY_SLEEP, BY_SLEEP_EACH }; /* packet by packet; when the ring is empty; packet by packet */
void ends_take(uint32_t last, enum ends_way way);

/* Orders: note what is used, weaken one. */
extern uint8_t ends_used[CALL_COUNT][3][WORD_COUNT];
extern const struct ends_site *ends_weak; /* NULL: none */
int ends_weaken(void *ctx, enum walk_op op, uint32_t number, int order);

#endif /* TEST_ORDER_ENDS_H */
