/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A guest end under the explorer: CPUs that take interrupts, a sender, and one control thread that plays the driver and the
 * host's answers. The callbacks judge: who is woken, what is posted to the host and what is the device's own still, and whether
 * a ring is touched after it was said to be free.
 */
#ifndef TEST_BORDER_GUESTSIDE_H
#define TEST_BORDER_GUESTSIDE_H

#include "explore.h"
#include "vmbus.h"

enum { GS_ROUNDS = 2, GS_REPLIES = 8 };

/* Message types, as the wire has them. */
enum { GS_CLOSE = 7, GS_TEARDOWN = 11, GS_RELEASED = 13, GS_UNLOAD = 16 };

struct guestside {
	struct vmb_guest *g;
	vmb_handle ch;
	struct vmb_channel *channel;
	uint32_t version;
	uint32_t user;               /* of the last open: 1, 2 ... */
	uint32_t id;                 /* of the last offer */
	uint32_t alive[8];           /* by user: between open and EV_CLOSED */
	uint32_t owned;              /* the ring is in use: between open and EV_CLOSED */
	uint32_t given_back;         /* the last channel object was */
	uint32_t uninterrupted;      /* a user whose id gets no interrupt; 0: none */
	uint32_t senders, stop;
	uint32_t changes;            /* of the gate, by control */
	uint32_t poked;
	uint32_t posts[32];          /* by type */
	uint32_t got[16];            /* events by kind */
	uint32_t cpu_rounds;
	struct { uint32_t type, a, b, c; } reply[GS_REPLIES];
	uint32_t replies;
};
extern struct guestside gs;
extern uint32_t gs_cpus, gs_control; /* which threads these are, as bits: set by the test */
extern uint32_t gs_marks;            /* 1: what happened before what is looked at, too */

/* A connected guest with one slot, offered id 1, which is open as user 1. */
void gs_make(struct border_case *c, const char *name, uint32_t version);

/* ---- bodies */

void gs_cpu(void);                   /* cpu_rounds interrupts with the flag of id 1 */
void gs_page_cpu(void);              /* below 2.4: with flag 0, and the bit of id 1 in the interrupt page */
void gs_sender(void);                /* GS_ROUNDS packets, or until it is stopped */

/* ---- steps of control */

void gs_offer(uint32_t id);          /* by the host; until EV_OFFER */
void gs_rescind(void);
void gs_open(void);
void gs_senders(void);               /* wait until nobody sends any more */
void gs_close(void);
void gs_release(void);
void gs_disconnect(void);
void gs_events(uint32_t kind);       /* answer the guest and pull until there was one of this kind */

#endif /* TEST_BORDER_GUESTSIDE_H */
