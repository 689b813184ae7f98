/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The parts of the channel mode: both sides, what each has sent, and the calls by which it sends and receives. See ring_channel.c. */
#ifndef FUZZ_RING_CHANNEL_H
#define FUZZ_RING_CHANNEL_H

#include "ring.h"

#define CHANNEL_PACKETS 1024u
#define CHANNEL_REQUESTS 8u
#define CHANNEL_PASSED 64u  /* completions for nobody that one call passes over */
#define CHANNEL_RECORDS 4u

struct channel_packet {
	uint16_t kind, flags, page_set;
	uint32_t len, seed, list_seed, list_words, total;
	uint64_t id;
};

struct channel_request {
	uint64_t id, user;
	int cancelled;
};

struct channel_side {
	struct channel_side *other;
	struct ring *tx, *rx;
	struct vmb_channel_config cfg;
	void *mem;
	struct vmb_channel *ch; /* NULL: init has failed */
	int awake;              /* has a reason to call recv */
	int waiting;            /* had EFULL, and no wake since */
	int full;               /* had EFULL, and nothing was put since */
	uint32_t pending;       /* in the control page, before the call */
	int stopped, broken, small;
	int wrong;              /* the call's parts do not add up */
	uint64_t users;
	struct channel_request req[CHANNEL_REQUESTS]; /* id 0: none */
	uint64_t heard[4];      /* ids of requests that came in last */
	unsigned hears;
	/* sent on tx: put, published, and taken by the other side */
	struct channel_packet packets[CHANNEL_PACKETS];
	uint32_t put, pub, got, next;
	uint8_t *dirty_was;     /* tx data as of the last look at the log */
	uint32_t dirty_words[6];
};

struct channel_pair {
	struct channel_side side[2];
	uint64_t words[CHANNEL_RECORDS][RING_WORDS_MAX + 1];
};

/* ring_channel.c */
int channel_is_pipe(const struct channel_side *s, uint16_t kind);
int channel_result(struct channel_side *s, int r);
struct channel_request *channel_request(struct channel_side *s, uint64_t id);
unsigned channel_in_flight(const struct channel_side *s, int cancelled);
void channel_sent_request(struct channel_side *s, const struct vmb_packet *p);
void channel_completed(struct channel_side *s, const struct vmb_packet *p);
void channel_outstanding(struct channel_side *s, int learn);

/* ring_channel_send.c */
void channel_put(struct channel_pair *pair, struct channel_side *s, const struct fuzz_step *st);
void channel_flush(struct channel_side *s);
void channel_send_batch(struct channel_pair *pair, struct channel_side *s, const struct fuzz_step *st);

/* ring_channel_recv.c */
void channel_recv(struct channel_side *s, const struct fuzz_step *st);
void channel_recv_batch(struct channel_side *s, const struct fuzz_step *st);
void channel_next(struct channel_side *s);
void channel_skip(struct channel_side *s);
void channel_release(struct channel_side *s);

#endif /* FUZZ_RING_CHANNEL_H */
