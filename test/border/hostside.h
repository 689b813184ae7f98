/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A host end under the explorer: signallers (vCPUs), the owner of an open channel and its senders, and one control thread that
 * plays the guest's messages and pulls events. The callbacks judge: who is woken, who gets an interrupt, what is told to the
 * guest, and what is still mapped then.
 */
#ifndef TEST_BORDER_HOSTSIDE_H
#define TEST_BORDER_HOSTSIDE_H

#include "explore.h"
#include "vmbus.h"

enum { HS_PAGES = 16, HS_RING = 2, HS_PAGE = 12, HS_PAGE2 = 13, HS_USER = 5, HS_GPADL = 0xe1e10, HS_ROUNDS = 2 };

/* Message types, as the wire has them. */
enum { HS_OPENED = 6, HS_RESCIND = 2, HS_TORNDOWN = 12, HS_VERSION = 15, HS_UNLOADED = 17, HS_MODIFIED = 24 };

struct hostside {
	struct vmb_host *h;
	vmb_handle ch;
	struct vmb_channel *channel;
	uint64_t token;
	uint32_t version;
	uint32_t mapped[HS_PAGES];
	uint32_t unmaps;             /* pages, in all */
	uint32_t alive[8];           /* by user: between attach and EV_CLOSED */
	uint32_t forbidden;          /* a VP that gets no interrupt any more; VMB_VP_NONE: all may */
	uint32_t sent[32];           /* messages to the guest by type */
	uint32_t said[32];           /* the last word of each */
	uint32_t poked;
	uint32_t close_asked, open_asked; /* for the owner */
	uint32_t changes;            /* of the first channel's gate, by control */
	uint32_t woken, told;        /* the owner, since it has the channel: by control; by EV_CLOSE */
	uint32_t senders;            /* that may be in a data call */
	uint32_t done;               /* the owner need not wait for anything any more */
	uint32_t got[16];            /* events by kind */
	uint32_t wakes, interrupts;  /* a few, then no more are counted */
	uint64_t user;               /* of the offer that the owner serves */
	const uint32_t *want;        /* what control waits for */
	uint32_t page_rounds;        /* how often each of hs_page_signaller signals */
	uint32_t page;               /* interrupt page of the newest contact */
	uint32_t old_vp;             /* that a retarget is about to leave */
	uint64_t unsignalled;        /* a user whose id nobody signals; 0: none */
};
extern struct hostside hs;
extern uint32_t hs_signallers, hs_owners; /* which threads these are, as bits: set by the test */
extern uint32_t hs_marks;                 /* 1: what happened before what is looked at, too */

/* A host with one offer of user HS_USER, with id 1; a guest of this version that has opened it and is served. Then:
 * hs_case is filled with what it is made of. max_channels: 1: a slot is soon used again. */
void hs_make(struct border_case *c, const char *name, uint32_t version, uint32_t max_channels);

/* ---- bodies */

void hs_signaller(void);   /* a vCPU: HS_ROUNDS signals to connection 0x2001 */
void hs_page_signaller(void); /* of a guest below 2.4: sets the bit of id 1 in the interrupt page, too */
void hs_sender(void);      /* a thread of the device that signals HS_ROUNDS times, as after a send */
void hs_packet_sender(void); /* one that sends packets until it is stopped or HS_ROUNDS are gone */
void hs_owner(void);       /* gives the channel back when it is asked to and no sender is at it; takes the next open */

/* ---- steps of control: each takes the lock for itself */

void hs_post(const uint32_t *words, uint32_t n);
#define HS_POST(...) hs_post((const uint32_t[]){ __VA_ARGS__ }, sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)
void hs_open(uint32_t id, uint32_t gpadl); /* GPADL and OPEN */
void hs_contact(uint32_t version, uint32_t page);
void hs_events(uint32_t kind);    /* pull until there was one of this kind */
void hs_message(uint32_t type); /* pull until the guest was told this */
void hs_offer(uint64_t user, uint32_t id); /* id 0: the lowest */
void hs_remove(void);
void hs_reset(void);
void hs_detach(void);             /* the owner shall: by itself */
void hs_attach(void);             /* and take it again; until it has */
void hs_done(void);

#endif /* TEST_BORDER_HOSTSIDE_H */
