/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The host end: its state, and what its files do for one another. control-plane.md 17, gpadl.md 5.
 *
 *   host.c          storage, init, end, info; entering and leaving a [control] call
 *   host_post.c     the guest's messages: admission and dispatch
 *   host_contact.c  contact, unload, reset, pause: the connection and its one pending action
 *   host_offer.c    slots, handles, ids, offers
 *   host_remove.c   rescind, release, and when a handle is gone
 *   host_open.c     OPEN, CLOSE, MODIFY; the questions to the device
 *   host_serve.c    attach, detach, answer: the channel object
 *   host_ring.c     mapping guest pages: single ones, and those of a ring pair
 *   host_gpadl.c    GPADL messages and holds
 *   host_queue.c    messages on their way to the guest
 *   host_signal.c   [any]: signals both ways, and waiting for those inside a gate
 *   host_ports.c    connection ids that a guest chose itself: the way from an id to a channel
 *   host_monitor.c  monitor pages, monitor ids, MODIFY_CONNECTION
 *   host_reserved.c reserved channels
 *   host_hvsock.c   connects of the guest, and the time that it has to open what they lead to
 *   host_event.c    events on their way to the embedder
 *   host_save.c, host_restore.c   the end as bytes, and back
 *   host_watch.c    what a watcher is told, the budgets of signals, the snapshot
 *
 * A slot is one offer, from vmb_host_offer to its EV_GONE, and has two states that move by themselves: `state`, what the guest
 * knows of it (control-plane.md 17.2), and `dev`, what the device has of it. The guest's side never waits for the device but in
 * three places: CLOSING (a new OPEN is queued), REVOKED before its RESCIND, and the connection's LEAVING.
 *
 * A device that was removed and is offered again while the guest still knows the old id (control-plane.md 12.3, Reoffered) gets
 * a slot and a handle of its own: the heir. The embedder sees two handles with two lives. The old one ends with its own
 * EV_CLOSED and EV_GONE, as if nothing had come after it. The heir's first EV_OPEN cannot come before the guest has let go of
 * the old id and seen the new offer, which has the same id. EV_GONE also waits for the answer to an EV_OPEN that was given out,
 * so that after it nothing of the handle is left anywhere.
 */
#ifndef VMBI_HOST_H
#define VMBI_HOST_H

#include "bus.h"
#include "trace.h"
#include "../protocol/message.h"
#include "../gpadl/gpadl.h"
#include "../synic/synic.h"
#include "../channel/channel.h"

#define VMBI_HOST_IDS 2048u        /* indexed by channel id: 1...2047 (control-plane.md 21, 27) */
#define VMBI_HOST_KNOWN 0x10000u   /* in the route: the guest knows the id; without it the id is only claimed */
#define VMBI_HOST_MAP_CHUNK 32u
#define VMBI_HOST_HOLDS_MAX 0xffffu /* of one GPADL */
#define VMBI_HOST_MONITORS 128u

/* vmbi_hc.state: what the guest knows. */
#define VMBI_HC_FREE 0u
#define VMBI_HC_UNOFFERED 1u /* nothing: not offered yet, or released. ClientReleased, and with dev both *ClientRelease states */
#define VMBI_HC_CLOSED 2u
#define VMBI_HC_OPENING 3u
#define VMBI_HC_OPEN 4u
#define VMBI_HC_CLOSING 5u
#define VMBI_HC_REOPEN 6u
#define VMBI_HC_REVOKED 7u   /* removed; RESCIND sent if `rescinded`. With an heir: Reoffered */

/* vmbi_hc.dev: what the device has. */
#define VMBI_DEV_NONE 0u
#define VMBI_DEV_ASKING 1u   /* EV_OPEN is queued */
#define VMBI_DEV_ASKED 2u    /* EV_OPEN was given out */
#define VMBI_DEV_STALE 3u    /* the same, and has lost its sense */
#define VMBI_DEV_ATTACHED 4u
#define VMBI_DEV_REMOTE 5u   /* answered with 0: somebody else serves the rings */
#define VMBI_DEV_DRAINING 6u /* given back; signallers are still inside the gate */

/* vmbi_hc.events, in the order in which they are given out. */
#define VMBI_HE_CLOSE 1u
#define VMBI_HE_CLOSED 2u
#define VMBI_HE_OPEN 4u
#define VMBI_HE_GONE 8u

/* vmb_host.action: what is done when all devices have let go. control-plane.md 11 */
#define VMBI_ACTION_NONE 0u
#define VMBI_ACTION_UNLOAD 1u
#define VMBI_ACTION_CONTACT 2u
#define VMBI_ACTION_RESET 3u

struct vmbi_host_open {
	uint32_t open_id;
	uint32_t ring_ref, ring_id; /* GPADL: in the store, on the wire */
	uint32_t ring_pages, rx_pages;
	uint32_t target_vp;
	uint32_t connection, flag; /* the guest's signals, and its event flag */
	uint32_t flags;            /* VMB_OPEN_* */
	uint32_t version, offer_flags; /* in force when it was opened */
	uint32_t result_vp, result_sint; /* reserved: where answers go */
	uint8_t user_data[120];
};

struct vmbi_hc {
	/* what [any] calls read: written while the gates are closed, but for target */
	struct vmbi_gate gate; /* the guest's signals: into wake */
	struct vmbi_gate out;  /* the device's signals: into interrupt. Never closed: who gave the channel back does not signal */
	uint32_t target;      /* VP, between threads */
	uint32_t flag;        /* event flag; below 2.4 the bit of the interrupt page */
	uint32_t legacy;      /* 1: below 2.4 */
	uint32_t redirect;    /* 1: to SINT 7 of VTL 2 */
	uint32_t connection;  /* connection id of the guest's signals, while it has one of its own choice; else 0. Between threads */
	uint32_t reserved;
	uint64_t user;
	struct vmb_host *host;

	/* control's own, on lines of its own */
	uint32_t state __attribute__((aligned(64)));
	uint32_t dev;
	uint32_t slot, generation;
	uint32_t id;          /* channel id; 0: none. UNOFFERED: inherited, for when it is offered */
	uint32_t events;      /* VMBI_HE_* not given out yet */
	uint32_t removed;     /* vmb_host_remove was called */
	uint32_t rescinded;   /* RESCIND is queued or sent */
	uint32_t gone;        /* EV_GONE is queued */
	uint32_t modifying;   /* a MODIFY_CHANNEL_RESPONSE waits for the gate */
	uint32_t kept;        /* open as a reserved channel: outlives the connection */
	uint32_t renewing;    /* it will be offered again, when the guest and the device have let go */
	uint32_t monitor;     /* monitor id + 1; 0: none */
	uint32_t triggered;   /* its monitor id leads to it */
	uint32_t poisoned;    /* this open saw a ring violation */
	uint32_t mapped;      /* the rings are mapped by us */
	uint32_t wire;        /* the message that its node in the outgoing queue stands for */
	uint32_t holds;       /* GPADLs of its that are held */
	uint32_t heir, heir_of;
	uint32_t primary;     /* of a subchannel */
	uint32_t first_sub, next_sub, prev_sub;
	uint32_t live_subs;   /* of a primary: subchannels that the guest knows and that are not rescinded */
	uint32_t counted;     /* of a subchannel: is in its primary's live_subs */
	uint32_t next_free;   /* of a free slot */
	uint32_t next_device; /* with the same hash of class and instance */
	uint64_t token;       /* of the question that was given out; 0: none */
	uint64_t offered_in;  /* number of the connection that was told of it */
	uint64_t deadline;    /* an hvsock channel must be opened by then; 0: not in `unopened` */
	int32_t gone_status;
	uint32_t opens, refused, closes, lost; /* as in vmb_part */
	uint32_t shown_state, shown_has; /* what a watcher was told last */
	uint32_t saved;       /* while a blob is loaded: VMBI_HS_*, the flags from bit 8 up; else 0 */
	uint32_t restored;    /* the next question is asked again after a restore */
	uint32_t unclaimed;   /* saved, and no device of this host: no handle, no events */
	struct vmb_channel *channel;
	struct vmb_cursor tx_at, rx_at; /* where a detached one stood */
	struct vmbi_host_open open, reopen;

	/* the offer */
	struct vmb_guid class_id, instance;
	uint32_t offer_flags;
	uint32_t subchannel, mmio_mb, mmio_optional_mb, order, wanted;
	uint32_t max_gpadls, max_gpadl_pages;
	uint8_t user_defined[120];
};

struct vmbi_host_reply { /* one message in full, without its 8 bytes of header */
	uint32_t type, len;
	uint8_t body[12];
};

/* vmbi_host_connect.state */
#define VMBI_CONNECT_FREE 0u
#define VMBI_CONNECT_ASKING 1u /* EV_HVSOCK is queued */
#define VMBI_CONNECT_ASKED 2u  /* it was given out */
#define VMBI_CONNECT_STALE 3u  /* the same, and has lost its sense */
#define VMBI_CONNECT_RESULT 4u /* TL_CONNECT_RESULT is queued */

struct vmbi_host_connect { /* one TL_CONNECT_REQUEST */
	uint32_t state, next, status, silo; /* silo: the request had one */
	uint64_t token;
	uint8_t guids[48];      /* endpoint, service, silo: as in the request */
};

struct vmbi_host_gpadl { /* beside the store, by reference */
	uint64_t token;
	uint32_t slot;
	uint32_t holds;
	uint32_t quiet; /* its tear-down is not answered: the guest has released the channel or left */
	uint32_t asked; /* EV_GPADL_DOWN is queued or was given out */
	uint32_t restored; /* its holds are those of a device before a restore: the next hold takes them over */
	uint32_t reserved;
};

struct vmbi_host_request { /* an INITIATE_CONTACT that is to be answered */
	uint32_t version, connection, vp;
	uint32_t features;  /* asked for */
	uint32_t trusted;
	uint32_t bad_pages; /* monitor pages that cannot be: one of two, misaligned, or the same twice */
	uint64_t page;      /* interrupt page, or 0 */
	uint64_t monitor[2];
	struct vmb_guid client_id;
};

struct vmbi_host_monitor { /* the monitor pages of the connection */
	struct vmbi_gate gate;
	uint32_t mapped;    /* the guest's page is */
	uint32_t swapping;  /* MODIFY_CONNECTION waits for the gate */
	uint32_t users;     /* channels whose trigger leads to them */
	uint8_t *page;      /* guest-to-host; NULL: none. Changed while the gate is closed and empty */
	uint64_t gpa[2], wanted[2];
	uint32_t taken[VMBI_HOST_MONITORS / 32];
	uint32_t route[VMBI_HOST_MONITORS]; /* monitor id -> slot. Between threads */
};

struct vmb_host {
	/* [any] */
	struct vmbi_gate page_gate;
	uint32_t poked;      /* somebody was the last one out of a gate that is watched */
	uint32_t stray;
	uint32_t alarm;      /* some channel's signals are to be looked at */
	uint8_t *page;       /* the interrupt page, while mapped */
	uint32_t *route;     /* channel id -> slot | VMBI_HOST_KNOWN */
	uint32_t *ports;     /* hash table of slots with a connection id of their own; between threads */
	uint32_t port_mask;
	uint32_t device_mask;
	uint32_t *devices;   /* control's: hash table of slots by class and instance: vmbi_hc.next_device */
	uint32_t *sorted;    /* control's: slots of the offers in their order */
	struct vmbi_host_monitor monitor;
	struct vmbi_hc *ch;  /* [0] is not used */
	struct vmb_host_config cfg;

	struct vmbi_guard guard __attribute__((aligned(64)));
	uint32_t slots, gpadls, replies; /* how many there are */
	uint32_t state;      /* VMB_BUS_* */
	uint32_t action;
	uint32_t version, features, message_vp;
	uint32_t poke;       /* an event was queued by this call */
	uint32_t reset_done; /* EV_RESET is due */
	uint32_t offers, serving, attached;
	uint32_t blocked, blocked_vp; /* the head of the queue: VMBI_BLOCKED_* */
	uint32_t queued;
	uint32_t free_slot, free_reply, free_connect;
	uint32_t connects;   /* records of connects: some more than may wait, for refusals on their way */
	uint32_t lowest_id;  /* all ids from the first one up to here are taken */
	uint32_t sorted_used; /* offers in `sorted` */
	uint32_t page_mapped;
	uint64_t page_gpa;
	uint64_t tokens;
	uint64_t connections; /* how many there were */
	uint64_t connection, told; /* number of the one that is, and of the one that the embedder knows of; 0: none */
	uint64_t messages_in, messages_out, dropped, refused_quota, post_retries, late_answers;
	uint64_t fates[VMBI_FATES], post_failed, over_budget;
	uint64_t now;        /* of the last poll */
	uint32_t fate;       /* of the message at hand */
	uint32_t reserved;
	uint32_t trusted;    /* the connection is */
	uint32_t restored;   /* the next EV_CONNECTED tells of a restored connection */
	uint32_t paused;
	uint32_t pause_node; /* the queued PAUSE_RESPONSE: what stands behind it waits */
	uint32_t kept;       /* reserved channels that are open */
	uint32_t limit_version, limit_features; /* by vmb_host_limit */
	struct vmb_guid client_id;
	struct vmbi_host_request request;

	uint32_t connection_len, connection_vp; /* the message of the connection node */
	uint8_t connection_msg[40];

	struct vmbi_fifo out, events, waiting;
	struct vmbi_fifo fresh, unopened; /* hvsock channels that the guest has not opened: since the last poll, and before. hc.timed */
	struct vmbi_link *out_links;   /* slots, connection, replies */
	struct vmbi_link *event_links; /* slots, GPADLs, connection */
	struct vmbi_link *wait_links;  /* slots */
	struct vmbi_link *timed_links; /* slots */
	struct vmbi_host_reply *reply;
	struct vmbi_host_connect *connect;
	struct vmbi_host_gpadl *gpadl;
	struct vmbi_gpadl_store *store;
};

#define VMBI_BLOCKED_SLOT 1u  /* occupied: vmb_host_eom will follow */
#define VMBI_BLOCKED_ERROR 2u /* the callback failed: the next poll tries again */

/* ---- host.c */

/* Is this a port that this end takes messages from? control-plane.md 1.1 */
int vmbi_host_is_port(const struct vmb_host *h, uint32_t connection);
/* Begin a [control] call: 0, VMB_EINVAL for NULL, VMB_EREENTRY. */
int vmbi_host_enter(struct vmb_host *h);
/* End it: what has become due is done, then the callbacks are called. */
void vmbi_host_leave(struct vmb_host *h);
/* The slot of a handle, or NULL. */
struct vmbi_hc *vmbi_host_find(struct vmb_host *h, vmb_handle ch);
/* The slot of a channel id that came from the guest, or NULL: known means that this connection was told of it, named that it is some
 * connection's, now or, of a reserved channel, earlier. */
struct vmbi_hc *vmbi_host_known(struct vmb_host *h, uint32_t id);
struct vmbi_hc *vmbi_host_named(struct vmb_host *h, uint32_t id);

/* ---- host_watch.c: told only where there is a watcher; so these are asked for by the functions below */

void vmbi_host_trace_connection(struct vmb_host *h, uint32_t before);
void vmbi_host_trace_message(struct vmb_host *h, uint32_t point, const uint8_t *msg, uint32_t len, uint32_t fate, uint32_t said);
void vmbi_host_trace_channel(struct vmb_host *h, struct vmbi_hc *c);
void vmbi_host_trace_device(struct vmb_host *h, const struct vmbi_hc *c, uint32_t before);
void vmbi_host_trace_gpadl(struct vmb_host *h, uint32_t slot, uint32_t id, uint32_t before, uint32_t now, uint32_t words, uint32_t ranges);
/* [any] The signals of some channel are to be looked at. */
void vmbi_host_alarm(struct vmb_host *h);
/* Look at them, if that is so. */
void vmbi_host_watch_signals(struct vmb_host *h, uint64_t now);

/* The connection's state changes. */
static inline void vmbi_host_become(struct vmb_host *h, uint32_t state)
{
	uint32_t before = h->state;

	h->state = state;
	if (h->cfg.trace)
		vmbi_host_trace_connection(h, before);
}

/* What the outside may see of a channel has changed. */
static inline void vmbi_hc_changed(struct vmb_host *h, struct vmbi_hc *c)
{
	if (h->cfg.trace)
		vmbi_host_trace_channel(h, c);
}

static inline void vmbi_hc_become(struct vmb_host *h, struct vmbi_hc *c, uint32_t state)
{
	c->state = state;
	vmbi_hc_changed(h, c);
}

static inline void vmbi_hc_device(struct vmb_host *h, struct vmbi_hc *c, uint32_t dev)
{
	uint32_t before = c->dev;

	c->dev = dev;
	if (h->cfg.trace)
		vmbi_host_trace_device(h, c, before);
}

/* The message at hand is dropped, and why. */
static inline void vmbi_host_drop(struct vmb_host *h, uint32_t fate)
{
	h->dropped++;
	h->fate = fate;
}

static inline int vmbi_hc_is_served(const struct vmbi_hc *c)
{
	return c->dev >= VMBI_DEV_ATTACHED;
}

/* May interrupts or messages go to this VP? */
static inline int vmbi_host_vp_ok(const struct vmb_host *h, uint32_t vp)
{
	return vp != VMB_VP_NONE && (!h->cfg.vps || vp < h->cfg.vps);
}

/* The first connection id of channels: that of channel id 0, which none has. control-plane.md 1.1 */
static inline uint32_t vmbi_host_event_base(const struct vmb_host *h)
{
	return VMBI_SINT << 12 | h->cfg.vtl << 16;
}

/* The connection id that a channel is offered with. */
static inline uint32_t vmbi_host_connection(const struct vmb_host *h, const struct vmbi_hc *c)
{
	return vmbi_host_event_base(h) | c->id;
}

/* Has the guest of this connection been told of the channel? */
static inline int vmbi_hc_is_told(const struct vmb_host *h, const struct vmbi_hc *c)
{
	return h->state == VMB_BUS_RUNNING && c->offered_in == h->connection;
}

/* Removed while it was open for an owner of old: it ends when the device has let go, and no guest hears of that. */
static inline int vmbi_host_is_left(const struct vmb_host *h, const struct vmbi_hc *c)
{
	return c->state == VMBI_HC_REVOKED && !vmbi_hc_is_told(h, c);
}

/* ---- host_contact.c */

void vmbi_host_contact(struct vmb_host *h, const uint8_t *msg, uint32_t connection, uint32_t trusted);
void vmbi_host_unload(struct vmb_host *h);
void vmbi_host_pause(struct vmb_host *h);
void vmbi_host_resume(struct vmb_host *h);
/* Finish the pending action if nothing stands in its way any more. */
void vmbi_host_settle(struct vmb_host *h);
/* May a connection have this version; what it gets of the features that it asks for. One answer for contact and restore. */
int vmbi_host_speaks(const struct vmb_host *h, uint32_t version);
uint32_t vmbi_host_grant(const struct vmb_host *h, uint32_t asked, uint32_t trusted);
/* Take the interrupt page in use, should there be one (gpa 0: none): 0, or VMB_EMAP. */
int vmbi_host_use_page(struct vmb_host *h, uint64_t gpa);
/* Give the interrupt page back, if there is one. */
void vmbi_host_unuse_page(struct vmb_host *h);

/* ---- host_offer.c */

void vmbi_host_request_offers(struct vmb_host *h);
/* Offer it, should there be a guest that may hear of it now, and its subchannels. */
void vmbi_host_offer_now(struct vmb_host *h, struct vmbi_hc *c);
/* May the guest hear of it now, who does not know it? */
int vmbi_host_may_offer(struct vmb_host *h, const struct vmbi_hc *c);
/* The slot of a saved channel: the device that is offered now, or, if spare, a free slot for one that is not. NULL: there is none, or *error. */
struct vmbi_hc *vmbi_host_claim(struct vmb_host *h, const struct vmb_guid *class_id, const struct vmb_guid *instance, uint32_t subchannel,
				int spare, int *error);
/* The guest knows it by this id: 0, or VMB_EINVAL: it is another one's. */
int vmbi_host_claim_id(struct vmb_host *h, struct vmbi_hc *c, uint32_t id);
/* Out of the order of offers: it will be offered no more. */
void vmbi_host_unsort(struct vmb_host *h, const struct vmbi_hc *c);
/* The id is no longer the guest's: it is the heir's, or stays claimed for a device that asked for it, or is free. */
void vmbi_host_drop_id(struct vmb_host *h, struct vmbi_hc *c);
/* A removed device claims no id beyond the one that the guest knows. */
void vmbi_host_unclaim(struct vmb_host *h, const struct vmbi_hc *c);
/* After EV_GONE was given out. */
void vmbi_host_free(struct vmb_host *h, struct vmbi_hc *c);

/* ---- host_remove.c */

void vmbi_host_released(struct vmb_host *h, struct vmbi_hc *c); /* REL_ID_RELEASED */
/* As vmb_host_remove. */
void vmbi_host_remove(struct vmb_host *h, struct vmbi_hc *c);
/* The guest knows this channel no more: what it had open ends, its GPADLs leave, without a message. */
void vmbi_host_forget(struct vmb_host *h, struct vmbi_hc *c);
/* By the device's policy: rescind it, and offer it again when the guest has let go. */
void vmbi_host_renew(struct vmb_host *h, struct vmbi_hc *c);
/* Its device cannot go on with what a guest had open before a restore: rescind it and its subchannels, and offer them again. */
void vmbi_host_revoke(struct vmb_host *h, struct vmbi_hc *c);
/* A subchannel that the guest knows and that is not rescinded is in its primary's way. */
void vmbi_host_count(struct vmb_host *h, struct vmbi_hc *c);
/* Something that a removed channel waited for has happened: rescind it, or end its handle, if that was the last. */
void vmbi_host_removed_step(struct vmb_host *h, struct vmbi_hc *c);
/* Neither guest nor device have anything of it. */
int vmbi_host_is_drained(struct vmb_host *h, const struct vmbi_hc *c);

/* ---- host_open.c */

void vmbi_host_open_message(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg);
void vmbi_host_close_message(struct vmb_host *h, struct vmbi_hc *c);
/* May this message act now? Else it is dropped: a removed channel in silence, another one counted. control-plane.md 17.2 */
int vmbi_host_may(struct vmb_host *h, const struct vmbi_hc *c, int in_place);
/* The guest closes what it has open. */
void vmbi_host_begin_close(struct vmb_host *h, struct vmbi_hc *c);
/* The guest closed it, and the device has let go. */
void vmbi_host_closed(struct vmb_host *h, struct vmbi_hc *c);
/* The ring of an OPEN that names it, of *o's ring_id and rx_pages: 1 and the rest of *o, or 0. */
int vmbi_host_open_ring(struct vmb_host *h, const struct vmbi_hc *c, struct vmbi_host_open *o);
/* The same of one that has been opened: its list may be on its way out. */
int vmbi_host_find_ring(struct vmb_host *h, const struct vmbi_hc *c, struct vmbi_host_open *o);
void vmbi_host_modify_message(struct vmb_host *h, const uint8_t *msg);
/* The guest's OPEN takes its course; its ring is in use already. */
void vmbi_host_begin_open(struct vmb_host *h, struct vmbi_hc *c, const struct vmbi_host_open *o);
/* Put the question EV_OPEN, now or when the device has answered the last one. */
void vmbi_host_ask_open(struct vmb_host *h, struct vmbi_hc *c);
/* End what the guest had in `state`; the caller has set the new one. */
void vmbi_host_end_open(struct vmb_host *h, struct vmbi_hc *c, uint32_t state);
/* A response that waits for the gate gets this status, where the version has responses. */
void vmbi_host_modified(struct vmb_host *h, struct vmbi_hc *c, uint32_t status);
/* OPEN_CHANNEL_RESULT. */
void vmbi_host_open_result(struct vmb_host *h, const struct vmbi_hc *c, const struct vmbi_host_open *o, uint32_t status);

/* ---- host_serve.c */

/* Go on with what waits for the gates of a channel, if nobody is inside any more; else wait. */
void vmbi_host_gate_step(struct vmb_host *h, struct vmbi_hc *c);

/* ---- host_ring.c */

/* One guest page that stays mapped: 0 or VMB_EMAP; and back. */
int vmbi_host_map_page(struct vmb_host *h, uint64_t gpa, void **page);
void vmbi_host_unmap_page(struct vmb_host *h, uint64_t gpa, void *page);
/* Map the rings of c->open into the page tables of a channel that is to be made in mem, and describe them in cfg. 0 or
 * VMB_EMAP. */
int vmbi_host_map_rings(struct vmb_host *h, struct vmbi_hc *c, void *mem, struct vmb_channel_config *cfg);
void vmbi_host_unmap_rings(struct vmb_host *h, struct vmbi_hc *c, const struct vmb_ring_mem *tx, const struct vmb_ring_mem *rx);

/* ---- host_gpadl.c */

void vmbi_host_gpadl_header(struct vmb_host *h, const uint8_t *msg, uint32_t len);
void vmbi_host_gpadl_body(struct vmb_host *h, const uint8_t *msg, uint32_t len);
void vmbi_host_gpadl_teardown(struct vmb_host *h, const uint8_t *msg);
/* An open ends: its ring is no longer used. */
void vmbi_host_gpadl_unuse(struct vmb_host *h, uint32_t ref);
/* Ask for everything that is held of this channel. */
void vmbi_host_gpadl_ask(struct vmb_host *h, const struct vmbi_hc *c);
/* Those of which bodies are missing are forgotten. */
void vmbi_host_gpadl_purge(struct vmb_host *h, const struct vmbi_hc *c);
/* The guest gave up the channel: all its lists leave, unanswered. */
void vmbi_host_gpadl_drop(struct vmb_host *h, const struct vmbi_hc *c);
/* Lists that were saved with this channel, whose opens use theirs already: held ones are held again, and asked for if they are on their way out
 * or if `ask`; others on their way out that nobody uses go. */
void vmbi_host_gpadl_restored(struct vmb_host *h, struct vmbi_hc *c, int ask);
/* The answer to EV_GPADL_DOWN: 0 or VMB_ENOENT. */
int vmbi_host_gpadl_answer(struct vmb_host *h, struct vmbi_hc *c, const struct vmb_event *question);

/* ---- host_queue.c */

void vmbi_hq_init(struct vmb_host *h);
/* What this guest may know of an offer's flags. */
uint32_t vmbi_host_offer_flags(const struct vmb_host *h, uint32_t flags);
/* One message more than max_messages is not taken from the guest. */
int vmbi_hq_full(const struct vmb_host *h);
/* A message of up to three words. There is always room: see there. */
void vmbi_hq_reply(struct vmb_host *h, uint32_t type, uint32_t a, uint32_t b, uint32_t c);
/* PAUSE_RESPONSE: the last message for now. */
void vmbi_hq_pause(struct vmb_host *h);
/* TL_CONNECT_RESULT of a record, which is free when it has gone. */
void vmbi_hq_connect_result(struct vmb_host *h, uint32_t connect);
/* Offer or rescind: composed when it is sent. */
void vmbi_hq_channel(struct vmb_host *h, struct vmbi_hc *c, uint32_t type);
/* 1: it was still waiting, and is no more. */
int vmbi_hq_forget(struct vmb_host *h, struct vmbi_hc *c);
/* A message for another place than the connection's: sent now if the slot is free, else lost. control-plane.md 1.4 */
void vmbi_hq_direct(struct vmb_host *h, uint32_t vp, uint32_t sint, const uint8_t *msg, uint32_t len);
/* The one message of the connection: VERSION_RESPONSE or UNLOAD_COMPLETE. */
void vmbi_hq_connection(struct vmb_host *h, const uint8_t *msg, uint32_t len, uint32_t vp);
void vmbi_hq_clear(struct vmb_host *h);
void vmbi_hq_forget_all(struct vmb_host *h); /* the same, of messages that nobody has heard of */
/* To save: the message behind `node` (0: the first), and its own node; 0: there is none. An offer is only its type and its channel id, where a
 * rescind has that. */
uint32_t vmbi_hq_look(const struct vmb_host *h, uint32_t node, uint8_t out[48], uint32_t *len, uint32_t *vp);
/* Queue a saved one: 0, VMB_EINVAL, VMB_ENOSPACE. */
int vmbi_hq_load(struct vmb_host *h, const uint8_t msg[48], uint32_t len, uint32_t vp);
/* How many of those waiting are replies. */
uint32_t vmbi_hq_replies(const struct vmb_host *h);
/* Deliver as long as the guest takes them. */
void vmbi_hq_pump(struct vmb_host *h);

/* ---- host_signal.c */

void vmbi_host_signal_guest(void *ctx); /* signal of a channel; ctx: its slot */
/* The interrupt alone: there may be no channel object. */
void vmbi_host_interrupt_guest(struct vmbi_hc *c);
/* [any] Leave a gate, and tell control if it waits for that. */
void vmbi_host_gate_leave(struct vmb_host *h, struct vmbi_gate *g);
/* Control waits until nobody is inside this channel's gates. */
void vmbi_host_gate_wait(struct vmb_host *h, const struct vmbi_hc *c);
/* Look after those that wait, if there was a poke. */
void vmbi_host_gates(struct vmb_host *h);

/* Wake the device of a slot, unless it is closed or `route`, which led to it, is no more what it was. */
void vmbi_host_wake(struct vmb_host *h, uint32_t slot, uint32_t *route, uint32_t expected);

/* ---- host_ports.c */

/* May a guest have its signals by this connection id? */
int vmbi_ports_may(const struct vmb_host *h, const struct vmbi_hc *c, uint32_t connection);
void vmbi_ports_add(struct vmb_host *h, struct vmbi_hc *c, uint32_t connection);
void vmbi_ports_remove(struct vmb_host *h, struct vmbi_hc *c);
/* [any] Wake the channel of this connection id. 1: there is one. */
int vmbi_ports_signal(struct vmb_host *h, uint32_t connection);
/* Nobody has one: forget what has collected. */
void vmbi_ports_clear(struct vmb_host *h);

/* ---- host_monitor.c */

/* The monitor pages of a request: 1 if they can be, both or none. */
int vmbi_monitor_pages_ok(const uint64_t gpa[2]);
/* Take the guest's pages in use, or the server's own where those were granted: 0 or VMB_EMAP. */
int vmbi_monitor_use(struct vmb_host *h, const uint64_t gpa[2]);
/* Nobody is inside: give the page back. */
void vmbi_monitor_unuse(struct vmb_host *h);
void vmbi_monitor_message(struct vmb_host *h, const uint8_t *msg);
/* Go on with what waits for the gate. */
void vmbi_monitor_step(struct vmb_host *h);
/* A monitor id for a channel that is being offered, if there is one; and back. */
void vmbi_monitor_give(struct vmb_host *h, struct vmbi_hc *c);
void vmbi_monitor_take(struct vmb_host *h, struct vmbi_hc *c);
/* While it is served, its id leads to it. */
void vmbi_monitor_connect(struct vmb_host *h, struct vmbi_hc *c);
void vmbi_monitor_disconnect(struct vmb_host *h, struct vmbi_hc *c);

/* ---- host_reserved.c */

void vmbi_reserved_open(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg);
void vmbi_reserved_close(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg);
/* Its lists go with it and the answer to CLOSE_RESERVED is all that the guest hears: that waits for those who hold one. Until then it is
 * CLOSING, served or not, and its ring in use. */
int vmbi_reserved_lingers(struct vmb_host *h, const struct vmbi_hc *c);
/* The device has let go of a reserved channel that the guest closed. */
void vmbi_reserved_closed(struct vmb_host *h, struct vmbi_hc *c);
/* Nobody holds one any more. */
void vmbi_reserved_lingered(struct vmb_host *h, struct vmbi_hc *c);
/* Closed, or refused. Where this connection was never told of the channel, it is now as good as new. */
void vmbi_reserved_end(struct vmb_host *h, struct vmbi_hc *c);
/* It is open no more. */
void vmbi_reserved_drop(struct vmb_host *h, struct vmbi_hc *c);
/* The connection ends, and this channel stays. */
void vmbi_reserved_keep(struct vmb_host *h, struct vmbi_hc *c);
/* GPADLs that stay when all others have gone. */
uint32_t vmbi_reserved_gpadls(const struct vmb_host *h);

/* ---- host_event.c */

void vmbi_he_channel(struct vmb_host *h, struct vmbi_hc *c, uint32_t event);
void vmbi_he_cancel(struct vmb_host *h, struct vmbi_hc *c, uint32_t event);
void vmbi_he_gpadl(struct vmb_host *h, uint32_t ref);
void vmbi_he_gpadl_cancel(struct vmb_host *h, uint32_t ref);
void vmbi_he_connection(struct vmb_host *h);
void vmbi_he_connect(struct vmb_host *h, uint32_t connect);
void vmbi_he_connect_cancel(struct vmb_host *h, uint32_t connect);

/* ---- host_hvsock.c */

/* Is there a record for one more connect? */
static inline int vmbi_hvsock_room(const struct vmb_host *h)
{
	return h->free_connect != 0;
}
void vmbi_hvsock_init(struct vmb_host *h);
void vmbi_hvsock_message(struct vmb_host *h, const uint8_t *msg, uint32_t len);
void vmbi_hvsock_free(struct vmb_host *h, uint32_t connect);
/* The guest leaves: its connects lose their sense. */
void vmbi_hvsock_leave(struct vmb_host *h);
/* To save: the refusal of the first connect after `connect` that waits for an answer, and its number; 0: there is none. */
uint32_t vmbi_hvsock_look(const struct vmb_host *h, uint32_t connect, uint8_t msg[48], uint32_t *len);
/* The answer to EV_HVSOCK: 0 or VMB_ENOENT. */
int vmbi_hvsock_answer(struct vmb_host *h, const struct vmb_event *question, uint32_t status);
/* The guest has been offered an hvsock channel, and must open it in time; it has opened it, or it is gone. */
void vmbi_hvsock_watch(struct vmb_host *h, struct vmbi_hc *c);
void vmbi_hvsock_unwatch(struct vmb_host *h, struct vmbi_hc *c);
/* Remove those that are due at `now`; the next deadline, or UINT64_MAX. */
uint64_t vmbi_hvsock_time(struct vmb_host *h, uint64_t now);

#endif /* VMBI_HOST_H */
