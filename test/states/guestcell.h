/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The bench of the guest's cells: it brings a fresh guest end (test/bus/guestbench.h) into a state, makes the messages of
 * every form, says in the words of guest.table what came of one, and proves which state the guest is in by what it does next.
 * The test is the host.
 */
#ifndef TEST_STATES_GUESTCELL_H
#define TEST_STATES_GUESTCELL_H

#include "table.h"
#include "test/bus/guestbench.h"

enum guest_state {
	G_DISCONNECTED, G_NEGOTIATING, G_REQUESTED, G_RUNNING, G_OFFERED, G_ANNOUNCING, G_OPENING, G_OPEN, G_MOVING,
	G_FAILED_EARLY, G_FAILED, G_CLOSING, G_CLOSING_ANNOUNCING, G_CLOSING_OPENING, G_RELEASED, G_LISTING, G_LISTED,
	G_UNLISTING, G_UNLISTING_EARLY, G_RESCINDED, G_RESCINDED_ANNOUNCING, G_RESCINDED_OPENING, G_RESCINDED_OPEN,
	G_RESCINDED_MOVING, G_RESCINDED_CLOSING, G_RESCINDED_LISTING, G_RESCINDED_LISTED, G_RESCINDED_UNLISTING, G_CALLING,
	G_SWAPPING, G_RESERVED_CLOSING, G_PAUSING, G_PAUSED, G_LEAVING, G_UNLOADING, G_LEFT, G_RESERVED_CLOSING_LEFT,
	GUEST_STATES,
};

enum guest_form {
	G_LEGAL, G_LONG, G_SHORT, G_WRONG_DIRECTION, G_UNKNOWN, G_WRONG_ID, G_FAIL, G_NO, G_BARE, G_BAD, G_TAKEN, G_TWIN,
	G_SUB, G_ORPHAN, G_SOCKET, GUEST_FORMS,
};

enum {
	H_OFFER = 1, H_RESCIND, H_ALL_OFFERS = 4, H_OPEN_RESULT = 6, H_CREATED = 10, H_TORNDOWN = 12, H_VERSION = 15,
	H_UNLOADED = 17, H_RESERVED_CLOSED = 20, H_TL_RESULT = 23, H_MODIFIED, H_CONNECTION_MODIFIED = 26, H_PAUSED = 28,
};

enum { G_CLASS = 0x42, G_NEW = 5, G_RESERVED = 9, G_HANDLES = 16 };

extern const struct table_end guest_end;

struct cell {
	enum guest_state state;
	unsigned version;           /* number in table_versions */
	uint32_t v, features;
	struct bench *b;
	vmb_handle h[G_HANDLES];    /* by channel id */
	bool gone[G_HANDLES];       /* its last event came */
	uint32_t ring, list;        /* page lists of channel 1 */
	uint32_t open_id;           /* of its last OPEN_CHANNEL */
	uint32_t asked;             /* version of the last INITIATE_CONTACT */
	uint32_t released[G_HANDLES]; /* how often */
};
extern struct cell cell;

/* A fresh guest in this state; all that the way there said and told has been read. */
void cell_enter(enum guest_state state, unsigned version);
/* It disconnects, everything is answered and given back: NULL, or what is left. */
const char *cell_end(void);

/* The variant-th message of this form; false: there is none. */
bool cell_message(unsigned type, unsigned form, unsigned variant, struct bench_message *out);
void cell_feed(const struct bench_message *m);
void cell_legal(unsigned type);
void cell_say(unsigned type, unsigned form); /* its first variant */
void cell_offer(uint32_t id, uint32_t device);

/* What the guest posted, and what it told, since the last time, in the words of the table. Static. */
const char *cell_posts(void);
const char *cell_events(void);
/* Channel 2 carries data and signals as before. */
bool cell_bystander(void);
/* The guest is in this state: NULL, or the line of the proof that failed. */
const char *cell_prove(enum guest_state state);
bool cell_alike(enum guest_state a, enum guest_state b); /* the same to a host */

#endif
