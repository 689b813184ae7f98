/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The parts of the guest target: a host that answers truly, falsely, twice or not at all, hypercalls that fail, time that passes, and an owner who
 * opens, closes and releases when the input says so. Each piece of memory must come back once, and never as free while the host has been
 * given it and has not let go.
 *
 * Calls that need no control lock are as if on other threads: inside their callbacks, and before any access of theirs to memory between
 * threads, steps of the input go on.
 */
#ifndef FUZZ_GUEST_H
#define FUZZ_GUEST_H

#include "fuzz.h"

#include <vmbus.h>

#define GUEST_CHANNELS 64u /* handles that one input may see */
#define GUEST_LISTS 64u    /* lists that one input may make */
#define GUEST_RINGS 8u
#define GUEST_RING_PAGES 6u
#define GUEST_RING_PFN 0x200u   /* rings lie below GUEST_LIST_PFN, the owner's lists above */
#define GUEST_LIST_PFN 0x10000u
#define GUEST_IDS 64u      /* channel ids that the host knows */
#define GUEST_USER 2000u
#define GUEST_QUESTIONS 256u

enum { CHANNEL_IDLE, CHANNEL_OUT, CHANNEL_CLOSING };

struct guest_channel {
	vmb_handle handle;
	uint32_t id;
	int released, gone, rescinded;
	int reserved; /* as it was opened last */
	int state, opened, may_wake, busy, inside, targeting;
	unsigned ring;
	struct vmb_channel *ch;
	void *mem;
};

struct guest_list {
	uint32_t gpadl, channel; /* channel: number of its guest_channel */
	int created, destroyed, done;
};

/* What the host has been given, as far as messages have arrived. */
struct peer_list {
	uint32_t id, channel, words, got;
	int ring; /* of rings: its number + 1 */
	int refused, created, teardown, torn, rescinded;
};

struct peer_channel {
	uint32_t open_id, device;
	int reserved, asked, yes, open, rescinded; /* asked: OPEN has come and is not answered; yes: that it has worked was said */
};

struct peer_question {
	uint32_t type, a, b;
};

struct guest {
	struct vmb_guest *g;
	struct vmb_guest_config cfg;
	void *mem;
	struct fuzz_input in;
	unsigned control, depth;
	unsigned preempt; /* the n-th access of a thread without the control lock is delayed until others have gone on; 0: none */
	uint64_t now;
	/* posts: after so many, so many fail with this status; arrived: the host has heard them all the same */
	unsigned fail_after, fail_count, fail_arrived;
	int fail_status;
	/* the host */
	struct peer_list list[GUEST_LISTS * 2];
	unsigned lists;
	struct peer_channel peer[GUEST_IDS];
	struct peer_question question[GUEST_QUESTIONS];
	unsigned asked, answered;
	uint32_t version, denied;
	uint8_t draft[VMB_MESSAGE_MAX + 16];
	uint8_t *slot; /* its n-th access from now on finds another message type in it; 0: none */
	unsigned slot_after;
	uint32_t draft_len;
	/* the owner */
	struct guest_channel channel[GUEST_CHANNELS];
	unsigned channels;
	struct guest_list mine[GUEST_LISTS];
	unsigned mines;
	int ring_used[GUEST_RINGS];
	int ring_kept[GUEST_RINGS]; /* perhaps still the host's, until EV_DISCONNECTED */
	int connecting; /* EV_CONNECTED may come */
	struct fuzz_step open_as; /* how the next open is special */
	int crashing;   /* 1: at its end, the system dies; 2: now */
};

extern struct guest guest;

#define GUEST_CALL(var, call) \
	do { \
		guest.control++; \
		(var) = (call); \
		guest.control--; \
	} while (0)

/* guest.c */
void guest_run(const struct fuzz_step *s);
void guest_nested(void);
uint8_t *guest_ring(unsigned ring);
void guest_ring_lend(unsigned ring, int lent);

/* guest_peer.c: the host */
int guest_peer_post(uint32_t connection, const uint8_t *msg, uint32_t len);
void guest_peer_step(const struct fuzz_step *s);
void guest_peer_answer_all(int status);
void guest_peer_more(const struct fuzz_step *s);
struct peer_list *guest_peer_list(uint32_t id);
struct peer_list *guest_peer_ring(unsigned ring);
/* Has the host let go of this list, or never had it? */
int guest_peer_let_go(const struct peer_list *l);

/* guest_owner.c: the embedder */
struct guest_channel *guest_owner_at(uint64_t user);
void guest_owner_step(const struct fuzz_step *s);
void guest_owner_data(struct guest_channel *c, const struct fuzz_step *s);
void guest_owner_finish(int status);
struct guest_channel *guest_owner_find(vmb_handle handle);

/* guest_more.c: what a connection has beside its channels */
void guest_more_config(uint32_t bits);
void guest_more_step(const struct fuzz_step *s);
int guest_more_event(const struct vmb_event *ev); /* 1: it was one of these */
void guest_more_connect(void);
void guest_more_resume(void);
void guest_more_crash(void);

#endif /* FUZZ_GUEST_H */
