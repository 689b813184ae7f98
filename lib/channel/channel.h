/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The data plane of an open channel. It knows nothing of a bus: it has two ring halves, a request table, one stop word and one
 * function that signals the peer. The bus makes it through the functions below and keeps only a pointer to set the stop word.
 *
 *   make.c      storage, init, end, stop
 *   send.c      [tx]: put, flush, what happens when the ring is full
 *   recv.c      [rx]: recv, in-place views, when space goes back
 *   request.c   the table of requests in flight
 *   signals.c   which signals were needed, and the budget for others
 *   info.c      looking at it from outside: info, dirty log
 */
#ifndef VMBI_CHANNEL_H
#define VMBI_CHANNEL_H

#include "vmbus.h"
#include "../protocol/packet.h"
#include "../ring/ring.h"
#include "request.h"
#include "signals.h"

/* Bits of vmb_channel.state, between threads. Only ever set. Each data call looks at it once, first. */
#define VMBI_CHANNEL_STOPPED 1u /* the control side asks for the channel */
#define VMBI_CHANNEL_BROKEN 2u  /* a violation on either side */
#define VMBI_CHANNEL_ENDED 4u   /* given back: the rings may be unmapped */

#define VMBI_CHANNEL_MAGIC 0x6c686376u
#define VMBI_CHANNEL_PAGES_MAX 8190u /* of both rings. gpadl.md 4 */

struct vmb_channel {
	/* written at init, then only read; but for state, which changes once or twice */
	uint32_t state;
	uint32_t flags;        /* VMB_CHANNEL_*; PIPE only if there is pipe framing to do */
	uint32_t max_payload;  /* of a packet, rounded up to what such a payload takes */
	uint32_t max_pipe;     /* of the data in a pipe packet */
	void *ctx;
	void (*signal)(void *ctx);
	uint32_t *dirty;       /* bits of all ring pages; NULL: off */
	uint32_t dirty_words;
	uint32_t owned;        /* 1: made by a bus */
	uint32_t magic;
	uint32_t least_free;

	/* [tx] on lines of its own */
	struct vmb_tx tx __attribute__((aligned(64)));
	uint32_t want;         /* the pending size while the ring counts as full; 0: it does not. See send.c */
	uint32_t tx_long;      /* packets go the long way: the ring counts as full, or it is a pipe */

	/* [rx] */
	struct vmb_rx rx __attribute__((aligned(64)));
	uint32_t short_below;  /* payloads of so many bytes go the long way; 0: all, it is a pipe */
	int32_t due;           /* space is released when more than so many bytes, about, have been received */
	uint64_t too_small;    /* number of the packet that was announced with VMB_ETOOSMALL */
	uint64_t unmatched;

	struct vmbi_requests requests __attribute__((aligned(64)));
	struct vmbi_signals signals __attribute__((aligned(64)));
	struct vmb_ring_info last[2]; /* tx and rx when the channel was given back */
};

#ifdef VMB_CHECKED
# define VMBI_CHANNEL_CHECK(ch, arguments) \
	do { \
		if (!(ch) || (ch)->magic != VMBI_CHANNEL_MAGIC || !(arguments)) \
			return VMB_EINVAL; \
	} while (0)
#else
# define VMBI_CHANNEL_CHECK(ch, arguments) ((void)0)
#endif

/* A quarter of the ring is the most that is held back. ring.md 8.5 */
static inline void vmbi_channel_due(struct vmb_channel *ch)
{
	ch->due = (int32_t)(ch->rx.ring.size / 4) - 1;
}

/* What a state that is not 0 makes of every data call. */
static inline int vmbi_channel_refusal(uint32_t state)
{
	return state & (VMBI_CHANNEL_STOPPED | VMBI_CHANNEL_ENDED) ? VMB_ESTOPPED : VMB_EPEER;
}

/* len bytes of a view, behind the first `skip`: a pipe packet's data. */
static inline struct vmb_view vmbi_channel_strip(const struct vmb_view *v, uint32_t skip, uint32_t len, uint32_t size)
{
	uint32_t pos = v->pos + skip;

	return (struct vmb_view){ pos < size ? pos : pos - size, len };
}

/* What the two control pages say, tx first. The rings must be mapped. */
void vmbi_channel_inspect(const struct vmb_channel *ch, struct vmb_ring_info info[2]);
/* A violation was found: for good, and for both sides. Returns VMB_EPEER. */
int vmbi_channel_break(struct vmb_channel *ch);

/*
 * Make a channel in mem for a bus: like vmb_channel_init, with signal and ctx of the bus, VMB_CHANNEL_PIPE decided by the
 * offer, and the dirty log laid out as the GPADL is (guest_end: its sending ring is the first). cfg has been taken in by
 * vmbi_struct_in.
 */
int vmbi_channel_make(void *mem, size_t bytes, const struct vmb_channel_config *cfg, int guest_end, struct vmb_channel **out);
/*
 * For a bus that maps ring pages one by one: where the page tables of a channel to be made in mem will lie, one for each ring.
 * Fill the first data_pages entries and let cfg->tx.pages, cfg->rx.pages point here: vmbi_channel_make takes them in place.
 * cfg->ring_pages bounds both.
 */
void vmbi_channel_tables(void *mem, const struct vmb_channel_config *cfg, uint32_t tx_data_pages, void ***tx, void ***rx);
/* The same computation as vmb_channel_storage on a config that has been taken in. */
int vmbi_channel_need(const struct vmb_channel_config *cfg, struct vmb_storage *need);
/* [any] Ask the owner to stop. */
void vmbi_channel_stop(struct vmb_channel *ch);
/*
 * [control] After the owner has given it back: where its sides stand. If it was not asked to stop, what was put is flushed and
 * what was received is released first, which may call signal: the rings must still be mapped, and signals get through. Then it
 * is over with the rings: info does not look at them any more.
 */
void vmbi_channel_cursors(struct vmb_channel *ch, struct vmb_cursor *tx, struct vmb_cursor *rx);

/* [control] While its owner is in no data call: where its sides stand. 0: something is put and not flushed, or received and not released. */
int vmbi_channel_where(const struct vmb_channel *ch, struct vmb_cursor *tx, struct vmb_cursor *rx);
/* [any] Has it seen a violation? */
static inline int vmbi_channel_is_broken(struct vmb_channel *ch)
{
	return (VMBI_LOAD32_ACQUIRE(&ch->state) & VMBI_CHANNEL_BROKEN) != 0;
}

#endif /* VMBI_CHANNEL_H */
