/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A hostile peer in a thread of its own, which rewrites what it shares with us at any moment: control pages, descriptors,
 * lists, footers, payload, and the memory that packets name; with values that are right, nearly right, or wild. And somebody
 * who uses a channel meanwhile in every way there is, and checks whatever must hold all the same.
 */
#ifndef TEST_HOSTILE_PEER_H
#define TEST_HOSTILE_PEER_H

#include <pthread.h>

#include "guard.h"
#include "vmbus.h"

/* The thread sanitizer would see the races that these programs are about: they say that they are skipped. */
#if defined(__SANITIZE_THREAD__)
# define PEER_SKIPPED 1
#elif defined(__has_feature)
# if __has_feature(thread_sanitizer)
#  define PEER_SKIPPED 1
# endif
#endif
#ifndef PEER_SKIPPED
# define PEER_SKIPPED 0
#endif

enum { PEER_PAGES = 16, PEER_MEMORY = 6, PEER_REQUESTS = 16 };

/* A ring as the peer has it mapped. */
struct peer_ring {
	uint8_t *control, *page[PEER_PAGES];
	uint32_t size;
};

struct rig;
struct peer_ring peer_ring_of(const struct rig *r);

struct peer {
	struct peer_ring from, to;  /* what we receive from, what we send into */
	uint8_t *memory[PEER_MEMORY]; /* pages that lists name */
	unsigned tame;              /* percent of what it does that is right */
	int pipe;
	/* private */
	pthread_t thread;
	pthread_mutex_t turn;       /* held while it writes; of all that follows */
	pthread_cond_t moved;
	int stop;
	unsigned long changes, steps, seen;
	uint64_t state;
	uint32_t in;                /* where it writes next */
};

void peer_start(struct peer *p);
void peer_stop(struct peer *p);
/* Now and then, between calls: waits until it has written something since the last time. */
void peer_step(struct peer *p);
void peer_pause(struct peer *p);  /* it writes nothing until it may go on, which it does in rings that have been made fresh */
void peer_go_on(struct peer *p);

/* ---- who uses a channel meanwhile */

struct use {
	struct vmb_channel *ch;
	struct peer *peer;
	const struct vmb_mapper *mapper;
	int requests, dirty;        /* the channel has them */
	void (*renew)(struct use *u); /* the channel is dead: make another, the peer being paused */
	void *ctx;
	/* what was seen */
	unsigned long calls, received, sent, lists, completed, late, deaths[VMB_R_PAYLOAD + 1];
	const char *bad;            /* NULL: all is well */
	int bad_result;
	/* private */
	uint64_t state;
	struct guard buf;
	struct { int busy, cancelled; uint64_t id; } request[PEER_REQUESTS];
	int skipped;
};

/* In this many calls. */
void use_channel(struct use *u, unsigned long calls);
/* The same for a producer and a consumer by themselves. */
struct use_ring {
	struct peer *peer;
	struct vmb_tx *tx;
	struct vmb_rx *rx;
	void (*renew)(struct use_ring *u); /* one of them is dead: make both again, the peer being paused */
	void *ctx;
	unsigned long calls, received, sent, copied, deaths[2][VMB_R_PAYLOAD + 1];
	const char *bad;
	int bad_result;
	uint64_t state;
	struct guard buf;
};
void use_ring(struct use_ring *u, unsigned long calls);

/* A mapper of the peer's memory: page numbers below PEER_MEMORY, others are refused. ctx: PEER_MEMORY pointers. */
int peer_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages);
void peer_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages);

#endif /* TEST_HOSTILE_PEER_H */
