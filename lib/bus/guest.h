/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The guest end: its state, and what its files do for one another. control-plane.md 7.1, 8, 10, 12.5, 19, gpadl.md 7.
 *
 *   guest.c            storage, init, end, info; entering and leaving a [control] call
 *   guest_message.c    the host's messages: admission and dispatch
 *   guest_connect.c    contact, version ladder, UNLOAD
 *   guest_request.c    what is asked of a living connection: other monitor pages, pause, sockets, closing what others left open
 *   guest_crash.c      [any]: UNLOAD by a dying system
 *   guest_offer.c      slots, handles, channel ids, offers, rescind, release
 *   guest_open.c       OPEN, CLOSE, MODIFY: the life of a channel object
 *   guest_gpadl.c      page lists: the arena while announcing, creation, tear-down
 *   guest_post.c       messages on their way to the host
 *   guest_event.c      events on their way to the embedder; time
 *   guest_save.c, guest_restore.c   the end as bytes, and back
 *   guest_interrupt.c  [any]: event flags, the interrupt page, signals to the host
 *   guest_watch.c      what a watcher is told, the budgets of signals, the snapshot
 *
 * Everything that can wait for something is a numbered object: the connection, the decliner (which refuses offers that there is
 * no slot for), channels, page lists, and records of handles that are gone. A message or an event is never stored: an object
 * stands in the queue and is asked, when its turn comes, what it has to say.
 *
 * What the host may still have of a channel is kept apart from what the embedder has of it. OPEN_OUT and HOST_OPEN, and the
 * states of page lists, say the first; OBJECT, RELEASED, `untold` and the events not yet given out say the second.
 * vmbi_guest_channel_step looks at both after each change and does what has become possible, until nothing is left and the id
 * can go back.
 *
 * A post that ended with HV_STATUS_TIMEOUT may have arrived (control-plane.md 1.2). It is repeated, and its answer is taken all
 * the same.
 */
#ifndef VMBI_GUEST_H
#define VMBI_GUEST_H

#include "bus.h"
#include "trace.h"
#include "../protocol/message.h"
#include "../gpadl/gpadl.h"
#include "../synic/synic.h"
#include "../channel/channel.h"

#define VMBI_GUEST_TRIES 100u           /* posts of one message, at most. control-plane.md 1.2 */
#define VMBI_GUEST_FIRST_GPADL 0xe1e10u /* where ids start, as in other guests. gpadl.md 7.2 */
#define VMBI_GUEST_MAX_GPADLS 65535u
#define VMBI_GUEST_UNLOADABLE 0x80000000u

/* vmb_guest.state: VMB_BUS_*, and after UNLOAD has been queued: */
#define VMBI_GUEST_UNLOADING VMB_BUS_UNLOADING

/* Object numbers. Channels come first, so that a channel's number is its slot. */
#define VMBI_GUEST_NODE_CONNECTION(g) ((g)->cfg.max_channels + 1)
#define VMBI_GUEST_NODE_DECLINER(g) ((g)->cfg.max_channels + 2)
#define VMBI_GUEST_NODE_CLOSER(g) ((g)->cfg.max_channels + 3)
#define VMBI_GUEST_NODE_GPADL(g, k) ((g)->cfg.max_channels + 3 + (k))
#define VMBI_GUEST_NODE_CONNECT(g, k) ((g)->cfg.max_channels + 3 + (g)->cfg.max_gpadls + (k))
#define VMBI_GUEST_NODE_GONE(g, k) ((g)->cfg.max_channels + 3 + (g)->cfg.max_gpadls + (g)->cfg.max_hvsock + (k))

/* What became of a post. */
#define VMBI_GUEST_SENT 0
#define VMBI_GUEST_MAYBE 1  /* and it is tried again */
#define VMBI_GUEST_FAILED 2 /* for good */

/* vmbi_gc.state */
#define VMBI_GC_IDLE 0u     /* offered, no channel object */
#define VMBI_GC_CREATING 1u /* the ring's list is being announced */
#define VMBI_GC_OPENING 2u  /* OPEN is queued or unanswered */
#define VMBI_GC_OPEN 3u
#define VMBI_GC_FAILED 4u   /* the open came to nothing; the object is still out */
#define VMBI_GC_CLOSING 5u  /* the object was given back */
#define VMBI_GC_CLOSED 6u   /* EV_CLOSED is queued */

/* vmbi_gc.flags */
#define VMBI_GC_SEEN 0x1u          /* EV_OFFER was given out */
#define VMBI_GC_RELEASED 0x2u      /* by the embedder, or never shown to it */
#define VMBI_GC_RESCINDED 0x4u     /* by the host */
#define VMBI_GC_ABANDONED 0x8u     /* the embedder has been asked to stop: rescinded, or disconnecting */
#define VMBI_GC_OBJECT 0x10u       /* the channel object is with its owner */
#define VMBI_GC_OPEN_OUT 0x20u     /* the host may have an OPEN that it has not answered */
#define VMBI_GC_OPEN_LOST 0x40u    /* and we do not wait for the answer any more */
#define VMBI_GC_HOST_OPEN 0x80u    /* the host has it open: it needs a CLOSE */
#define VMBI_GC_CLOSE_FAILED 0x100u /* and cannot be told so */
#define VMBI_GC_MODIFY_OUT 0x200u
#define VMBI_GC_MODIFY_LOST 0x400u
#define VMBI_GC_TARGET 0x800u      /* EV_TARGET is owed */
#define VMBI_GC_MAYBE_GONE 0x1000u /* REL_ID_RELEASED is being repeated, and may have arrived */
#define VMBI_GC_LEAK 0x2000u       /* EV_CLOSED will say VMB_ELEAK */
#define VMBI_GC_LISTS_DOWN 0x4000u /* released, and its lists have been sent down */
#define VMBI_GC_RESERVED 0x8000u   /* this open is that of a reserved channel */
#define VMBI_GC_KEPT 0x10000u      /* its connection is over, and it is open all the same */
#define VMBI_GC_CLOSE_OUT 0x20000u /* CLOSE_RESERVED is not answered */
#define VMBI_GC_UNPROVEN 0x40000u  /* kept, and its connection may be there still */
#define VMBI_GC_AWAY 0x80000u      /* with OBJECT, after a restore: its owner has not come with the memory yet */
#define VMBI_GC_UNTOLD 0x100000u   /* EV_OFFER is told once more, after a restore */
#define VMBI_GC_LOST 0x200000u     /* its owner knows it from before a sleep, this host has not offered it yet: no id */

/* Events not given out yet, in the order in which one object gives them. */
#define VMBI_GE_OFFER 0x1u
#define VMBI_GE_OPENED 0x2u
#define VMBI_GE_TARGET 0x4u
#define VMBI_GE_RESCINDED 0x8u
#define VMBI_GE_CLOSED 0x10u
#define VMBI_GE_GPADL 0x1u
#define VMBI_GE_DOWN 0x2u
#define VMBI_GE_DISCONNECTED 0x1u
#define VMBI_GE_CONNECTED 0x2u
#define VMBI_GE_OFFERS_DONE 0x4u
#define VMBI_GE_MONITOR 0x8u
#define VMBI_GE_PAUSED 0x10u
#define VMBI_GE_GONE 0x1u

struct vmbi_gc { /* one offered channel */
	/* read by [any] inside the gate, and by the object's owner: written only while the gate is closed and the object is
	 * not out */
	struct vmbi_gate gate;
	uint32_t id;            /* the wire's */
	uint64_t user;
	struct vmb_guest *guest;
	uint32_t signal_connection;
	uint32_t signal_page;   /* 1: set the id's bit in the interrupt page, too */
	uint32_t signal_monitor; /* monitor id + 1: set that bit instead; 0: none */
	void *monitor_page;     /* there */
	uint32_t flag;          /* its event flag */
	uint32_t reserved;

	/* control's own, on lines of its own */
	uint32_t state __attribute__((aligned(64)));
	uint32_t flags;
	uint32_t generation;
	uint32_t send;          /* type of the message that is to be sent; 0: none */
	uint32_t next;          /* free list */
	uint32_t gpadls;        /* first of its page lists, the ring's too */
	uint32_t untold;        /* how many of those the embedder does not know to be down */
	uint32_t ring;          /* its list; after a leak, what is left of it */
	uint32_t open_id, tx_pages;
	uint32_t target_vp, new_vp;
	int32_t open_status, target_status;
	uint32_t open_said, target_said; /* by the wire */
	uint32_t result_vp, result_sint; /* reserved: where answers come */
	uint32_t redirect;
	uint32_t dedicated;     /* is_dedicated of the offer */
	uint32_t socket;        /* the connect that it answers, until that is told: EV_HVSOCK instead of EV_OFFER */
	uint32_t reserved1;
	uint32_t opens, refused, closes, lost; /* as in vmb_part */
	uint32_t shown_state, shown_has; /* what a watcher was told last */
	struct vmb_channel *object;
	struct vmb_cursor tx_at, rx_at; /* while it is away: where it stood */
	uint8_t user_data[120];
	struct vmb_offer offer;
};

/* vmbi_gg.state: what the host may have of the list. */
#define VMBI_GG_FREE 0u
#define VMBI_GG_ANNOUNCE 1u /* messages are left to send */
#define VMBI_GG_CREATE 2u   /* all sent, not answered */
#define VMBI_GG_ALIVE 3u
#define VMBI_GG_TEARDOWN 4u /* to be sent */
#define VMBI_GG_TEARING 5u  /* sent, not answered */
#define VMBI_GG_SETTLED 6u  /* nothing, and no answer will come */
#define VMBI_GG_BURNT 7u    /* a part that we can neither finish nor take back. gpadl.md 4 */

/* vmbi_gg.flags */
#define VMBI_GG_RING 0x1u
#define VMBI_GG_CANCELLED 0x2u /* nobody wants it: tear it down as soon as it is there */
#define VMBI_GG_ASKED 0x4u     /* the embedder has asked for its end: the last event is EV_GPADL_DOWN */
#define VMBI_GG_FINAL 0x8u     /* the last event is queued or was given out */
#define VMBI_GG_TOLD 0x40u     /* it was given out */
#define VMBI_GG_UNSURE 0x10u   /* some message may have arrived twice: a refusal proves nothing */
#define VMBI_GG_MAYBE 0x20u    /* the message that is being repeated may have arrived */

struct vmbi_gg { /* one page list, of a ring or of the embedder's */
	uint32_t id;
	uint32_t channel;       /* slot */
	uint32_t state, flags;
	uint32_t first, words, ranges; /* in the arena, while announcing */
	uint32_t sent;          /* messages */
	uint32_t next, prev;    /* of the same channel; next: free list */
	int32_t status;         /* of the last event */
	uint32_t said;          /* by the wire */
};

/* vmbi_gs.state */
#define VMBI_GS_FREE 0u
#define VMBI_GS_QUEUED 1u
#define VMBI_GS_SENT 2u
#define VMBI_GS_OFFERED 3u /* the offer's event tells */
#define VMBI_GS_DONE 4u /* its event is queued */

struct vmbi_gs { /* a connect to a service of the host */
	struct vmb_guid endpoint, service, silo; /* as on the wire */
	uint64_t user;
	uint32_t state, next;
	int32_t status;
	uint32_t said;
};

/* What the host may still have, to be said with EV_DISCONNECTED. */
#define VMBI_OWED 1u          /* until the next contact */
#define VMBI_OWED_FOR_GOOD 2u /* that of a reserved channel which could not be closed */

struct vmb_guest {
	/* [any] */
	uint32_t scan;          /* words of event flags that are looked at; 0: not connected */
	uint32_t by_page;       /* 1: below 2.4 */
	uint32_t unloadable;    /* for guest_crash.c: connection to post UNLOAD on, | 1 << 31; 0: nothing to unload */
	uint32_t map_bits;      /* of a slot in these maps: 8, or 16 where there are many */
	uint32_t *ids;          /* channel id -> slot */
	uint32_t *event_slots;  /* event flag -> slot */
	struct vmbi_gc *channels; /* [0] is not used */
	struct vmb_guest_config cfg;
	uint32_t stray __attribute__((aligned(64)));
	uint32_t alarm;         /* some channel's signals are to be looked at */

	/* control's own */
	struct vmbi_guard guard __attribute__((aligned(64)));
	uint32_t state;
	uint32_t version;       /* negotiated, or tried */
	uint32_t connection;    /* to post on */
	uint32_t features;      /* negotiated */
	uint32_t redirected;    /* the redirected message connection is being tried */
	uint32_t only_version;  /* after a sleep: no other one is tried; 0: any */
	uint32_t kept;          /* channels with VMBI_GC_KEPT */
	uint32_t paused;        /* 1: PAUSE is sent, or to be sent next */
	uint32_t asking;        /* MODIFY_CONNECTION or PAUSE that is not answered: its type */
	int32_t monitor_status, pause_status;
	uint32_t monitor_said;
	uint64_t monitor_gpa[2], new_gpa[2]; /* in use; asked for */
	void *monitor_page[2], *new_page[2];
	struct { uint32_t id, vp, sint, out; } closer; /* CLOSE_RESERVED of nobody's channel: id 0: none; out: sent */
	int32_t closer_status;
	uint32_t free_connect;
	uint32_t send;          /* type of the connection's next message; 0: none */
	uint32_t answer_due;    /* the host may have our INITIATE_CONTACT or UNLOAD */
	uint32_t owed;          /* a connection ended without proof that memory is free: VMBI_OWED_* */
	uint32_t leaks;         /* lists that were reported as leaked, since contact */
	uint32_t poke;          /* there is something to poll for */
	uint32_t live, objects; /* channels in use; channel objects out */
	int32_t connect_status, disconnect_status, offers_status;
	uint32_t connect_said;
	uint32_t tries, held;   /* of the first message in the queue; 1: it waits for retry_at */
	uint32_t clock_ms;      /* the connection's own deadline is running; 0: not */
	uint64_t clock_at;      /* 0: from the next poll on */
	uint64_t retry_at;      /* the same */
	uint64_t messages_in, messages_out, dropped, refused_quota, post_retries, stray_events, late_answers;
	uint64_t fates[VMBI_FATES], post_failed, over_budget;
	uint64_t now;           /* of the last poll */
	uint32_t fate;          /* of the message at hand */
	uint32_t reserved;

	uint32_t nodes, lists;  /* how many objects; page lists in use */
	uint32_t slots_used;    /* highest slot that was ever in use */
	uint32_t free_slot, last_free_slot, free_gpadl;
	uint32_t opens;         /* count of OPENs, for their ids */
	uint32_t next_gpadl;    /* id */
	uint32_t gpadl_mask, device_mask;
	uint32_t arena_words, arena_used, arena_top;
	uint32_t gone_in, gone_out;

	struct vmbi_fifo post, events, fresh, waiting, draining, arena_order;
	struct vmbi_link *post_links;  /* all but gone records */
	struct vmbi_link *event_links; /* all */
	struct vmbi_link *wait_links;  /* as post_links; in fresh or in waiting */
	struct vmbi_link *drain_links; /* channels */
	struct vmbi_link *arena_links; /* lists */
	uint64_t *deadlines;           /* as wait_links; 0: in fresh */
	uint8_t *marks;                /* as event_links: VMBI_GE_* */
	uint32_t *device_keys;         /* of channels: hash of class and instance; 0: none */
	uint32_t *devices, *device_next; /* first channel by that hash, and the next one */
	uint32_t *declined;            /* bit per channel id */
	uint32_t *gpadl_map;           /* GPADL id & gpadl_mask -> list */
	struct vmbi_gg *gpadls;        /* [0] is not used */
	struct vmbi_gs *connects;      /* the same */
	vmb_handle *gone;              /* ring of handles */
	uint64_t *arena;
};

/* ---- guest.c */

/* Monitor pages of an embedder: 0, or VMB_EINVAL. */
int vmbi_guest_check_monitor(const uint64_t gpa[2], void *const page[2]);

/* As after init, inside of a [control] call; handles: the channels' memory is left alone. */
void vmbi_guest_reset(struct vmb_guest *g, int handles);
/* Begin a [control] call: 0, VMB_EINVAL for NULL, VMB_EREENTRY. */
int vmbi_guest_enter(struct vmb_guest *g);
/* End it: send what can be sent, poke if there is something to poll for. Returns r. */
int vmbi_guest_leave(struct vmb_guest *g, int r);

static inline uint32_t vmbi_gc_slot(const struct vmb_guest *g, const struct vmbi_gc *c)
{
	return (uint32_t)(c - g->channels);
}

static inline uint32_t vmbi_gg_index(const struct vmb_guest *g, const struct vmbi_gg *d)
{
	return (uint32_t)(d - g->gpadls);
}

/* [any] The slot of a channel id or event flag below 2048, or 0. */
static inline uint32_t vmbi_guest_map_get(const struct vmb_guest *g, const uint32_t *map, uint32_t key)
{
	uint32_t bits = g->map_bits, at = key * bits;

	return VMBI_LOAD32_RELAXED(&map[at / 32]) >> at % 32 & ((1u << bits) - 1);
}

/* One writer; readers on any CPU see the old or the new slot. */
static inline void vmbi_guest_map_set(const struct vmb_guest *g, uint32_t *map, uint32_t key, uint32_t slot)
{
	uint32_t bits = g->map_bits, at = key * bits, *word = &map[at / 32], mask = ((1u << bits) - 1) << at % 32;

	VMBI_STORE32_RELEASE(word, (VMBI_LOAD32_RELAXED(word) & ~mask) | slot << at % 32);
}

/* ---- guest_watch.c: told only where there is a watcher; so these are asked for by the functions below */

void vmbi_guest_trace_connection(struct vmb_guest *g, uint32_t before);
void vmbi_guest_trace_message(struct vmb_guest *g, uint32_t point, const uint8_t *msg, uint32_t len, uint32_t fate, uint32_t said);
void vmbi_guest_trace_channel(struct vmb_guest *g, struct vmbi_gc *c, uint32_t gone);
void vmbi_guest_trace_gpadl(struct vmb_guest *g, const struct vmbi_gg *d, uint32_t before, uint32_t now);
/* [any] The signals of some channel are to be looked at. */
void vmbi_guest_alarm(struct vmb_guest *g);
/* Look at them, if that is so. */
void vmbi_guest_watch_signals(struct vmb_guest *g, uint64_t now);

/* The connection's state changes. */
static inline void vmbi_guest_become(struct vmb_guest *g, uint32_t state)
{
	uint32_t before = g->state;

	g->state = state;
	if (g->cfg.trace && before != state)
		vmbi_guest_trace_connection(g, before);
}

/* What the outside may see of a channel has changed. */
static inline void vmbi_gc_changed(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (g->cfg.trace)
		vmbi_guest_trace_channel(g, c, 0);
}

static inline void vmbi_gc_become(struct vmb_guest *g, struct vmbi_gc *c, uint32_t state)
{
	c->state = state;
	vmbi_gc_changed(g, c);
}

static inline void vmbi_gc_flag(struct vmb_guest *g, struct vmbi_gc *c, uint32_t flags)
{
	c->flags |= flags;
	vmbi_gc_changed(g, c);
}

/* ---- guest_message.c */

void vmbi_guest_receive(struct vmb_guest *g, const uint8_t *msg, uint32_t len);

/* ---- guest_connect.c */

/* May this version be spoken? */
int vmbi_guest_may_speak(const struct vmb_guest_config *cfg, uint32_t version);
/* The highest version that may be tried below `version`; 0: none. */
uint32_t vmbi_guest_version_below(const struct vmb_guest_config *cfg, uint32_t version);
uint32_t vmbi_guest_connection_message(struct vmb_guest *g, uint8_t *out, uint32_t *connection);
void vmbi_guest_connection_posted(struct vmb_guest *g, int outcome, uint32_t status);
int vmbi_guest_on_version(struct vmb_guest *g, const uint8_t *msg);
void vmbi_guest_on_all_offers(struct vmb_guest *g);
int vmbi_guest_on_unloaded(struct vmb_guest *g);
void vmbi_guest_connection_timeout(struct vmb_guest *g);
/* The connection's next message; its next event. */
void vmbi_guest_connection_send(struct vmb_guest *g, uint32_t type);
void vmbi_guest_connection_mark(struct vmb_guest *g, uint32_t marks);
/* A channel is gone. If it was the last one, and we want to leave: UNLOAD. */
void vmbi_guest_connection_step(struct vmb_guest *g);

/* ---- guest_request.c */

/* The messages of the connection that are none of guest_connect.c's: PAUSE, RESUME, MODIFY_CONNECTION. */
uint32_t vmbi_guest_request_message(struct vmb_guest *g, uint8_t *out);
void vmbi_guest_request_posted(struct vmb_guest *g, uint32_t type, int outcome, uint32_t status);
int vmbi_guest_on_paused(struct vmb_guest *g);
int vmbi_guest_on_monitor(struct vmb_guest *g, const uint8_t *msg);
/* The answer to `asking` does not come. */
void vmbi_guest_request_timeout(struct vmb_guest *g);
/* The connection ends: nothing that is asked will be answered. */
void vmbi_guest_requests_end(struct vmb_guest *g);
uint32_t vmbi_guest_closer_message(struct vmb_guest *g, uint8_t *out);
void vmbi_guest_closer_posted(struct vmb_guest *g, int outcome);
void vmbi_guest_closer_timeout(struct vmb_guest *g);
uint32_t vmbi_guest_close_reserved_message(uint8_t *out, uint32_t id, uint32_t vp, uint32_t sint);
/* CLOSE_RESERVED_RESPONSE for no channel of ours. */
int vmbi_guest_on_closer(struct vmb_guest *g, uint32_t id);
uint32_t vmbi_guest_connect_message(struct vmb_guest *g, struct vmbi_gs *s, uint8_t *out);
void vmbi_guest_connect_posted(struct vmb_guest *g, struct vmbi_gs *s, int outcome, uint32_t status);
void vmbi_guest_connect_timeout(struct vmb_guest *g, struct vmbi_gs *s);
int vmbi_guest_on_connect_result(struct vmb_guest *g, const uint8_t *msg);
/* An hvsock channel is offered: the connect that asked for it; 0: nobody did. */
uint32_t vmbi_guest_connect_offered(struct vmb_guest *g, const struct vmb_offer *o);
/* And was taken back before its event was given out. */
void vmbi_guest_connect_lost(struct vmb_guest *g, uint32_t connect);
/* The event of a connect was given out: its record is free. */
void vmbi_guest_connect_told(struct vmb_guest *g, struct vmbi_gs *s);

/* ---- guest_offer.c */

/* The channel of a handle that the embedder was given, or NULL. */
struct vmbi_gc *vmbi_guest_find(struct vmb_guest *g, vmb_handle ch);
/* By class and instance the channels of a device are found: their hash, not 0; a channel under it. */
uint32_t vmbi_guest_device_key(const struct vmb_offer *o);
void vmbi_guest_device_add(struct vmb_guest *g, uint32_t slot, uint32_t key);
/* All offers are here: what was known before a sleep and is not among them is gone. */
void vmbi_guest_lose(struct vmb_guest *g);
/* The channel of an id that came from the host, or NULL. */
struct vmbi_gc *vmbi_guest_by_id(struct vmb_guest *g, uint32_t id);
int vmbi_guest_on_offer(struct vmb_guest *g, const uint8_t *msg);
int vmbi_guest_on_rescind(struct vmb_guest *g, const uint8_t *msg);
uint32_t vmbi_guest_decline_message(struct vmb_guest *g, uint8_t *out);
void vmbi_guest_decline_posted(struct vmb_guest *g, int outcome);
/* Hide or take back every channel: we disconnect. */
void vmbi_guest_abandon_all(struct vmb_guest *g);
/* If the embedder has released it and nothing is left of it: tell the host, or forget it. */
void vmbi_guest_settle(struct vmb_guest *g, struct vmbi_gc *c);
/* Forget it: the host has been told, or need not be. */
void vmbi_guest_forget(struct vmb_guest *g, struct vmbi_gc *c);

/* ---- guest_open.c */

uint32_t vmbi_guest_channel_message(struct vmb_guest *g, struct vmbi_gc *c, uint8_t *out);
void vmbi_guest_channel_posted(struct vmb_guest *g, struct vmbi_gc *c, int outcome, uint32_t status);
int vmbi_guest_on_opened(struct vmb_guest *g, const uint8_t *msg);
int vmbi_guest_on_modified(struct vmb_guest *g, const uint8_t *msg);
int vmbi_guest_on_reserved_closed(struct vmb_guest *g, const uint8_t *msg);
void vmbi_guest_channel_timeout(struct vmb_guest *g, struct vmbi_gc *c);
/* Do what has become possible. The channel may be gone after it. */
void vmbi_guest_channel_step(struct vmb_guest *g, struct vmbi_gc *c);
/* Take the channel object back. */
void vmbi_guest_give_back(struct vmb_guest *g, struct vmbi_gc *c);
/* Ask its owner for it. */
void vmbi_guest_abandon(struct vmb_guest *g, struct vmbi_gc *c);
/* The connection ends: 1 if this is an open reserved channel, which stays. */
int vmbi_guest_keep(struct vmb_guest *g, struct vmbi_gc *c);
/* Can its owner, who is away, come again? Else the channel is to be closed or released. Of a ring that was found to be bad there are no cursors. */
static inline int vmbi_guest_may_reopen(const struct vmbi_gc *c)
{
	return (c->flags & (VMBI_GC_AWAY | VMBI_GC_ABANDONED | VMBI_GC_RELEASED)) == VMBI_GC_AWAY && c->state != VMBI_GC_FAILED &&
	       c->tx_at.valid;
}
static inline int vmbi_guest_is_open_message(uint32_t type)
{
	return type == VMBI_MSG_OPEN_CHANNEL || type == VMBI_MSG_OPEN_RESERVED_CHANNEL;
}
static inline int vmbi_guest_is_close_message(uint32_t type)
{
	return type == VMBI_MSG_CLOSE_CHANNEL || type == VMBI_MSG_CLOSE_RESERVED_CHANNEL;
}
/* The ring's list is there, or will not be. */
void vmbi_guest_ring_created(struct vmb_guest *g, struct vmbi_gc *c, int32_t status, uint32_t said);

/* ---- guest_gpadl.c */

/* Is there room for one more list of so many words? */
int vmbi_guest_gpadl_room(const struct vmb_guest *g, uint32_t words);
/* Announce a list; there is room. *words: to be filled in. */
struct vmbi_gg *vmbi_guest_gpadl_new(struct vmb_guest *g, struct vmbi_gc *c, uint32_t count, uint32_t ranges, uint32_t flags,
				     uint64_t **words);
uint32_t vmbi_guest_gpadl_message(struct vmb_guest *g, struct vmbi_gg *d, uint8_t *out);
void vmbi_guest_gpadl_posted(struct vmb_guest *g, struct vmbi_gg *d, int outcome);
int vmbi_guest_on_created(struct vmb_guest *g, const uint8_t *msg);
int vmbi_guest_on_torndown(struct vmb_guest *g, const uint8_t *msg);
void vmbi_guest_gpadl_timeout(struct vmb_guest *g, struct vmbi_gg *d);
/* Take it down, as far as that goes now. Harmless when it is going already. */
void vmbi_guest_gpadl_down(struct vmb_guest *g, struct vmbi_gg *d);
/* Tell the embedder, without waiting any more, that the host may still have it. */
void vmbi_guest_gpadl_leak(struct vmb_guest *g, struct vmbi_gg *d);
/* The channel was rescinded by the host. */
void vmbi_guest_gpadls_rescinded(struct vmb_guest *g, struct vmbi_gc *c);
/* It was released by the embedder: no event but the last one of each list comes any more. */
void vmbi_guest_gpadls_released(struct vmb_guest *g, struct vmbi_gc *c);
/* And then, once, take all of its lists down but the ring's. */
void vmbi_guest_gpadls_down(struct vmb_guest *g, struct vmbi_gc *c);
/* The connection is over and the channel stays: nothing that is not answered will be. alive: those that are lists stay so. */
void vmbi_guest_gpadls_kept(struct vmb_guest *g, struct vmbi_gc *c, int alive);
/* Has it lists whose owners were told to keep the memory? */
int vmbi_guest_gpadls_leaked(const struct vmb_guest *g, const struct vmbi_gc *c);
/* The host has been told that we forget the channel: so it has forgotten its lists. */
void vmbi_guest_gpadls_forget(struct vmb_guest *g, struct vmbi_gc *c);
/* The last event of a list was given out. */
void vmbi_guest_gpadl_told(struct vmb_guest *g, struct vmbi_gg *d);

/* ---- guest_post.c */

/* This object has something to send. */
void vmbi_guest_queue(struct vmb_guest *g, uint32_t node);
/* Has this object a message to send? msg: room for it. */
int vmbi_guest_post_has(struct vmb_guest *g, uint32_t node, uint8_t *msg);
/* Send until the queue is empty or the hypervisor is busy. */
void vmbi_guest_post(struct vmb_guest *g);
/* Is this result of a post worth another try? */
int vmbi_guest_is_busy(int status, uint32_t type);
/* How long to wait before the next try, in nanoseconds. */
uint64_t vmbi_guest_retry_delay(const struct vmb_guest *g);

/* ---- guest_event.c */

void vmbi_guest_mark(struct vmb_guest *g, uint32_t node, uint32_t marks);
void vmbi_guest_unmark(struct vmb_guest *g, uint32_t node, uint32_t marks);
/* Wait for an answer, at most reply_ms. One wait per object. */
void vmbi_guest_wait(struct vmb_guest *g, uint32_t node);
void vmbi_guest_unwait(struct vmb_guest *g, uint32_t node);
/* All waits begin anew at the next poll: no answer could come meanwhile. */
void vmbi_guest_wait_again(struct vmb_guest *g);
/* The connection's own deadline, from now on; 0 ms: none. */
void vmbi_guest_clock(struct vmb_guest *g, uint32_t ms);

/* ---- guest_interrupt.c */

void vmbi_guest_signal_host(void *ctx); /* signal of a channel; ctx: its struct vmbi_gc */

#endif /* VMBI_GUEST_H */
