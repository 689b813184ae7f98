/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The bench of the host's cells: it brings a fresh host end (test/bus/hostbench.h) into a state, makes the messages of every
 * form, says in the words of host.table what came of one, and proves which state the host is in by what it does next.
 */
#ifndef TEST_STATES_HOSTCELL_H
#define TEST_STATES_HOSTCELL_H

#include "table.h"
#include "test/bus/hostbench.h"

enum host_state {
	DISCONNECTED, LEFT, CONTACTED, PAUSED_EARLY, OFFERED, OPENING, OPEN, OPEN_SILENT, OPEN_TEARING, MOVING, CLOSING,
	CLOSING_TEARING, REOPENING, CLOSING_RELEASED, RELEASED, REVOKING, REVOKED, REOFFERED, BUILDING, BUILDING_REVOKED,
	HELD, TEARING, RESERVED_OPENING, RESERVED_OPEN, RESERVED_CLOSING, RESERVED_KEPT, RESERVED_LEFT, RESERVED_CLOSING_LEFT,
	PAUSED, UNLOADING, UNLOADING_OPENING, UNLOADING_RESERVED, RECONTACTING, REFUSING, RESETTING, TRUSTED, HOST_STATES,
};

enum host_form { LEGAL, LONG, SHORT, WRONG_DIRECTION, UNKNOWN, WRONG_ID, BAD, PART, EMPTY, RING, HOST_FORMS };

enum {
	M_REQUEST_OFFERS = 3, M_OPEN = 5, M_CLOSE = 7, M_HEADER, M_BODY, M_TEARDOWN = 11, M_RELEASED = 13, M_CONTACT,
	M_UNLOAD = 16, M_OPEN_RESERVED = 18, M_CLOSE_RESERVED, M_TL_CONNECT = 21, M_MODIFY, M_MODIFY_CONNECTION = 25,
	M_PAUSE = 27, M_RESUME = 29,
};

extern const struct table_end host_end;

struct post {           /* one message of the guest */
	uint8_t bytes[256];
	uint32_t len;
	uint32_t open_id; /* that its result must echo */
};

struct scene {
	enum host_state state;
	unsigned version;            /* number in table_versions */
	uint32_t v, features;
	vmb_handle dev[4], again;    /* by number of the device; 1 offered once more */
	struct vmb_channel *ch[3];   /* attached */
	bool asked[3];               /* to close */
	bool held, hold_asked;       /* page list SPARE2 of channel 1 */
	bool spare2_gone;
	bool open_waits;             /* a question is not answered */
	struct vmb_event open, hvsock;
	uint32_t opening, open_id;   /* channel and open id that the next OPEN_CHANNEL_RESULT must echo */
	uint32_t connection[3];      /* as offered */
	bool reserved;               /* channel 1 */
	bool ring_torn;              /* a tear-down of its ring waits */
	bool moved_again;            /* a second MODIFY_CHANNEL is remembered */
	uint8_t contact_fails;       /* how the contact under way will be refused */
	struct post last;
};
extern struct scene scene;

/* A fresh host in this state; all that the way there said has been read. */
void scene_enter(enum host_state state, unsigned version);
/* Everything is given back and a reset frees it all: NULL, or what is left. */
const char *scene_end(void);

/* The variant-th message of this form for the scene; false: there is none. */
bool scene_post(unsigned type, unsigned form, unsigned variant, struct post *out);
int scene_say(const struct post *p);            /* status of the hypercall */
void scene_legal(unsigned type);                /* post it; must be accepted */

/* What the guest got, and what the embedder was told, since the last time, in the words of the table. Static. */
const char *scene_answers(void);
const char *scene_events(void);
/* Channel 2 carries data and signals as before. */
bool scene_bystander(void);
bool scene_interrupts(unsigned n);              /* does what the host sends there raise an interrupt? */
void scene_read_ring(unsigned n);               /* the guest takes all that the host sent there */
/* The host is in this state: NULL, or the line of the proof that failed. */
const char *scene_prove(enum host_state state, bool paused, bool asked);
/* The devices give back what they were asked for, one thing at a time; false: there is nothing. */
bool scene_let_go(void);
void scene_unblock(void);                       /* MOVING: the one who signals goes on */
bool scene_alike(enum host_state a, enum host_state b); /* the same to a guest */

#endif
