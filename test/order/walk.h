/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * All schedules of two sides of a ring in a memory weaker than that of any processor: that of C11, without any dependency.
 *
 * A store to a control word becomes a message to it. How far a side has seen each word is its view. A load picks any message
 * that is not older than its side has seen: so a store may be delayed past later stores and loads, and a load done before earlier
 * loads. Release attaches the side's view to the message, acquire takes it in; a relaxed store attaches the view as of the side's
 * last fence, and what relaxed loads read counts at its next. A full fence makes its side see all that was seen by the full
 * fences before it.
 * A relaxed load may be done late as well (WALK_LATE): it gives a value that the other side stores only afterwards, unless its own
 * side has a release, a fence or a signal in between. Values are guessed from what was ever stored there; an execution in which
 * the guess does not come true is none.
 * Bytes of the data area have no messages: a read or write that does not happen after the other side's last write of that word, or a
 * write that does not happen after its last read, is a failure, whatever it would have given. Free of that, data accesses may be
 * early or late as they like, and the byte read is the one that was written.
 *
 * States that were reached before are not gone through again: what follows is the same. A state is what each side has read, all
 * messages and all views, as a hash of 128 bits; schedules are counted through it.
 */
#ifndef TEST_ORDER_WALK_H
#define TEST_ORDER_WALK_H

#include <stddef.h>
#include <stdint.h>

#define WALK_WORDS 10u

enum walk_kind { WALK_PRIVATE, WALK_DATA, WALK_CONTROL };
enum walk_op { WALK_LOAD, WALK_STORE, WALK_SWAP, WALK_FENCE };

/* Orders are __ATOMIC_RELAXED ... __ATOMIC_SEQ_CST. WALK_SWAP is an exchange or a fetch-and-or. Weakened ones: */
#define WALK_FENCE_ONLY 100 /* of WALK_SWAP: a relaxed one and the fence */
#define WALK_NOTHING 101    /* of WALK_FENCE: none */

struct walk_case {
	void *ctx;
	void (*begin)(void *ctx);          /* make everything anew: not observed */
	void (*side[2])(void *ctx);        /* run side by side */
	const char *(*check)(void *ctx);   /* afterwards, not observed: NULL, or what is wrong */
	/* What is at this address? number: of WALK_CONTROL, which word, below WALK_WORDS; of WALK_DATA, which 8 bytes of the ring. */
	enum walk_kind (*place)(void *ctx, const void *address, uint32_t *number);
	int (*weaken)(void *ctx, enum walk_op op, uint32_t number, int order); /* NULL, or the order taken instead */
	uint32_t flags;
	uint64_t most;                     /* 0, or how many runs at most */
};
#define WALK_LATE 0x1u  /* relaxed loads may be late */
#define WALK_FIRST 0x2u /* stop at the first bad execution */
#define WALK_ALL 0x8u   /* each schedule by itself: what was reached before is gone through again */
#define WALK_X86 0x4u   /* a WALK_SWAP is a full fence; else no more than acquire and release */

struct walk_result {
	uint64_t states;   /* different ones in which either side could go on */
	uint64_t runs;     /* of the two sides, to reach them all */
	uint64_t bad;      /* runs in which something was wrong */
	double schedules;  /* with all choices of what loads see */
	char why[120];     /* what was wrong in the first */
};

void walk_explore(const struct walk_case *c, struct walk_result *result);

/* ---- for the sides */

/* The execution is bad: does not return. */
_Noreturn void walk_fail(const char *why);
/* Whose turn it is: 0, 1. */
uint32_t walk_side(void);
/* Sleep until the other side signals. A signal that came before counts; it orders no memory. Both asleep, or one and the other
 * gone: "lost wake-up". */
void walk_wait(void);
void walk_signal(void); /* the other side */

/* All that the running side goes on from, but for control words and its view of them, is this; how it came here is no matter. Then more
 * states are the same. */
void walk_forget(const void *state, size_t bytes);

/* What the running side did to control words since walk_call: the last load and store of each. */
struct walk_access {
	uint32_t loads, stores;
	uint32_t loaded_at, stored_at; /* counted in accesses of this side since walk_call, from 1 */
	uint64_t loaded, stored;
	uint32_t message;              /* which message the load has read; UINT32_MAX: a late one */
};
void walk_call(void);
struct walk_access walk_did(uint32_t number);
uint32_t walk_messages(uint32_t number); /* how many there are, the first included; 0: not touched yet */
uint32_t walk_seen(uint32_t number);     /* the newest that the running side has seen */

/* ---- for a port of env.h. Outside of an exploration and for private memory: as the compiler does them */

uint64_t walk_load(const volatile void *p, size_t bytes, int order);
void walk_store(volatile void *p, size_t bytes, uint64_t value, int order);
uint64_t walk_exchange(volatile void *p, size_t bytes, uint64_t value, int order);
uint64_t walk_or(volatile void *p, size_t bytes, uint64_t value, int order);
void walk_fence(int order);
void walk_copy_out(void *dst, const void *shared, size_t n);
void walk_copy_in(void *shared, const void *src, size_t n);
/* Is it observed now? Then walk_load and the others do it. */
int walk_observed(const volatile void *p);

#endif /* TEST_ORDER_WALK_H */
