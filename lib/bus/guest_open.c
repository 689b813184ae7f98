/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The life of a channel object on the guest: ring list, OPEN, OPEN_RESULT, MODIFY, CLOSE, and back. control-plane.md 10,
 * gpadl.md 7
 *
 * A CLOSE is refused by a host that is still opening (control-plane.md 17.2), so an object given back early waits for the
 * OPEN_RESULT. After a RESCIND there will be none, and neither CLOSE nor TEARDOWN are needed.
 */
#include "guest.h"

/* ---- open */

static int guest_open_config(const struct vmbi_gc *c, const struct vmb_open *open, struct vmb_channel_config *cfg)
{
	uint8_t *ring = open->ring;

	if (cfg->tx_at.valid || cfg->rx_at.valid)
		return VMB_EINVAL;
	if (ring) {
		uint32_t at = open->tx_pages * VMB_PAGE;

		if ((uintptr_t)ring % VMB_PAGE)
			return VMB_EINVAL;
		cfg->tx = (struct vmb_ring_mem){ ring, ring + VMB_PAGE, NULL, open->tx_pages - 1, 0 };
		cfg->rx = (struct vmb_ring_mem){ ring + at, ring + at + VMB_PAGE, NULL, open->rx_pages - 1, 0 };
	} else if (!cfg->tx.control || !cfg->rx.control || cfg->tx.data_pages != open->tx_pages - 1 ||
		   cfg->rx.data_pages != open->rx_pages - 1) {
		return VMB_EINVAL;
	}
	cfg->tx.flags |= VMB_RING_FRESH; /* where there are cursors, nothing is cleared */
	cfg->rx.flags |= VMB_RING_FRESH;
	cfg->flags &= ~VMB_CHANNEL_PIPE;
	if (c->offer.flags & VMB_OFFER_PIPE && !(cfg->flags & VMB_CHANNEL_RAW))
		cfg->flags |= VMB_CHANNEL_PIPE;
	return 0;
}

static int guest_open_check(const struct vmb_open *open)
{
	uint32_t pages = open->tx_pages + open->rx_pages;

	if (open->tx_pages < 2 || open->rx_pages < 2 || open->tx_pages > VMBI_GPADL_WORDS_MAX ||
	    open->rx_pages > VMBI_GPADL_WORDS_MAX || pages >= VMBI_GPADL_WORDS_MAX)
		return VMB_EINVAL;
	if (open->pfns)
		return open->ring_gpa ? VMB_EINVAL : 0;
	if (!open->ring_gpa || open->ring_gpa % VMB_PAGE || open->ring_gpa > UINT64_MAX - (uint64_t)pages * VMB_PAGE)
		return VMB_EINVAL;
	return 0;
}

/* What this version and these features allow. control-plane.md 6.4, 9.3, 10.5 */
static int guest_open_parameters(const struct vmb_guest *g, const struct vmbi_gc *c, const struct vmb_open *open)
{
	uint32_t flag = open->event_flag ? open->event_flag : c->id;

	if (open->flags & VMB_OPEN_RESERVED) {
		if (open->flags != VMB_OPEN_RESERVED || open->target_vp == VMB_VP_NONE || open->target_sint > 15 || open->connection_id ||
		    open->event_flag)
			return VMB_EINVAL;
		return g->version < VMB_V4_0 ? VMB_EVERSION : 0;
	}
	if (open->flags & ~VMB_OPEN_REDIRECT || open->target_sint || open->connection_id >> 24 || flag > VMBI_MAX_CHANNEL_ID)
		return VMB_EINVAL;
	if (open->flags && !(g->features & VMB_FEATURE_REDIRECT))
		return VMB_EVERSION;
	if ((open->connection_id || open->event_flag) && !(g->features & VMB_FEATURE_SIGNAL_PARAMETERS))
		return VMB_EVERSION;
	return vmbi_guest_map_get(g, g->event_slots, flag) ? VMB_EINVAL : 0; /* another open channel's */
}

/* How this channel signals the host. control-plane.md 9.1, 9.4 */
static void guest_open_route(const struct vmb_guest *g, struct vmbi_gc *c, const struct vmb_open *open)
{
	int swapping = g->send == VMBI_MSG_MODIFY_CONNECTION || g->asking == VMBI_MSG_MODIFY_CONNECTION;

	c->signal_connection = g->version < VMB_V1_1 ? VMBI_CONNECTION_EVENT : c->offer.connection_id;
	if (open->connection_id)
		c->signal_connection = open->connection_id;
	c->signal_page = g->cfg.interrupt_page && !c->dedicated;
	/* A channel without interrupts gets no monitored notifications. control-plane.md 9.4 */
	c->signal_monitor = 0;
	if (g->monitor_page[1] && !swapping && c->target_vp != VMB_VP_NONE && c->offer.monitor_id < 128)
		c->signal_monitor = c->offer.monitor_id + 1;
	c->monitor_page = g->monitor_page[1];
}

/* Its event flag leads to it from here to the end of the open: where there are interrupts. */
static void guest_open_claim(struct vmb_guest *g, struct vmbi_gc *c, const struct vmb_open *open)
{
	uint32_t words;

	c->flag = open->event_flag ? open->event_flag : c->id;
	if (c->flags & VMBI_GC_RESERVED)
		return;
	words = c->flag / 32 + 1;
	vmbi_guest_map_set(g, g->event_slots, c->flag, vmbi_gc_slot(g, c));
	if (g->scan < words)
		VMBI_STORE32_RELEASE(&g->scan, words);
}

static void guest_open_unclaim(struct vmb_guest *g, const struct vmbi_gc *c)
{
	if (!(c->flags & VMBI_GC_RESERVED))
		vmbi_guest_map_set(g, g->event_slots, c->flag, 0);
}

static void guest_open_announce(struct vmb_guest *g, struct vmbi_gc *c, const struct vmb_open *open)
{
	uint32_t pages = open->tx_pages + open->rx_pages;
	uint64_t *words;
	struct vmbi_gg *d = vmbi_guest_gpadl_new(g, c, pages + 1, 1, VMBI_GG_RING, &words);

	words[0] = VMB_RANGE(pages * VMB_PAGE, 0);
	for (uint32_t i = 0; i < pages; i++)
		words[1 + i] = open->pfns ? open->pfns[i] : open->ring_gpa / VMB_PAGE + i;
	c->ring = vmbi_gg_index(g, d);
}

/* The object, in the owner's memory. */
static int guest_open_make(struct vmbi_gc *c, void *mem, size_t bytes, struct vmb_channel_config *cfg)
{
	cfg->ctx = c;
	cfg->signal = vmbi_guest_signal_host;
	return vmbi_channel_make(mem, bytes, cfg, 1, &c->object);
}

static void guest_open_wake(struct vmb_guest *g, const struct vmbi_gc *c)
{
	if (g->cfg.wake && !(c->flags & VMBI_GC_AWAY))
		g->cfg.wake(g->cfg.ctx, c->user);
}

/* It was open when it was saved: the same rings again, as they are. Both sides look once, for what was signalled may have been lost.
 * control-plane.md 18 */
static int guest_open_again(struct vmb_guest *g, struct vmbi_gc *c, void *mem, size_t bytes, struct vmb_channel_config *cfg,
			    const struct vmb_open *open)
{
	uint32_t flags = (c->flags & VMBI_GC_RESERVED ? VMB_OPEN_RESERVED : 0) | (c->redirect ? VMB_OPEN_REDIRECT : 0);
	int r;

	if (!vmbi_guest_may_reopen(c))
		return VMB_ESTATE;
	if ((r = guest_open_check(open)) < 0 || (r = guest_open_config(c, open, cfg)) < 0)
		return r;
	if (open->flags != flags || open->tx_pages != c->tx_pages ||
	    open->tx_pages + open->rx_pages + 1 != g->gpadls[c->ring].words ||
	    (open->event_flag ? open->event_flag : c->id) != c->flag)
		return VMB_EINVAL;
	cfg->tx_at = c->tx_at;
	cfg->rx_at = c->rx_at;
	r = guest_open_make(c, mem, bytes, cfg);
	if (r < 0)
		return r;
	c->flags &= ~VMBI_GC_AWAY;
	c->user = open->user;
	vmbi_signals_watch(&c->object->signals, g->now, g->cfg.signal_budget);
	if (c->state != VMBI_GC_CREATING)
		vmbi_gate_open(&c->gate);
	if (c->state == VMBI_GC_OPEN) {
		c->open_status = 0;
		c->open_said = 0;
		vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_OPENED);
		guest_open_wake(g, c);
		vmbi_guest_signal_host(c);
	}
	return 0;
}

static int guest_open(struct vmb_guest *g, struct vmbi_gc *c, void *mem, size_t bytes, const struct vmb_channel_config *config,
		      const struct vmb_open *caller, struct vmb_channel **out)
{
	struct vmb_channel_config cfg;
	struct vmb_open open;
	int r = vmbi_struct_in(&cfg, sizeof cfg, config, sizeof cfg);

	if (r < 0 || (r = vmbi_struct_in(&open, sizeof open, caller, sizeof open)) < 0)
		return r;
	if (c->flags & VMBI_GC_AWAY) {
		r = guest_open_again(g, c, mem, bytes, &cfg, &open);
		*out = r < 0 ? *out : c->object;
		return r;
	}
	if (c->state != VMBI_GC_IDLE ||
	    c->flags & (VMBI_GC_RELEASED | VMBI_GC_ABANDONED | VMBI_GC_OPEN_OUT | VMBI_GC_HOST_OPEN | VMBI_GC_LOST))
		return VMB_ESTATE;
	if ((r = guest_open_check(&open)) < 0 || (r = guest_open_config(c, &open, &cfg)) < 0 ||
	    (r = guest_open_parameters(g, c, &open)) < 0)
		return r;
	if (!vmbi_guest_gpadl_room(g, open.tx_pages + open.rx_pages + 1))
		return VMB_ENOSPACE;
	r = guest_open_make(c, mem, bytes, &cfg);
	if (r < 0)
		return r;
	c->flags = (c->flags & ~(VMBI_GC_LEAK | VMBI_GC_RESERVED)) | VMBI_GC_OBJECT;
	if (open.flags & VMB_OPEN_RESERVED)
		c->flags |= VMBI_GC_RESERVED;
	c->user = open.user;
	c->target_vp = open.flags & VMB_OPEN_RESERVED ? VMB_VP_NONE : open.target_vp;
	c->result_vp = open.target_vp;
	c->result_sint = open.target_sint;
	c->redirect = open.flags & VMB_OPEN_REDIRECT;
	c->tx_pages = open.tx_pages;
	VMBI_MEMCPY(c->user_data, open.user_data, sizeof c->user_data);
	guest_open_route(g, c, &open);
	guest_open_claim(g, c, &open);
	vmbi_gc_become(g, c, VMBI_GC_CREATING);
	guest_open_announce(g, c, &open);
	vmbi_signals_watch(&c->object->signals, g->now, g->cfg.signal_budget);
	g->objects++;
	*out = c->object;
	return 0;
}

int vmb_guest_open(struct vmb_guest *g, vmb_handle ch, void *mem, size_t bytes, const struct vmb_channel_config *cfg,
		   const struct vmb_open *open, struct vmb_channel **out)
{
	struct vmbi_gc *c;
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	c = vmbi_guest_find(g, ch);
	if (!c)
		r = VMB_EHANDLE;
	else if (!mem || !cfg || !open || !out)
		r = VMB_EINVAL;
	else
		r = guest_open(g, c, mem, bytes, cfg, open, out);
	return vmbi_guest_leave(g, r);
}

/* ---- the open comes to an end */

/* Ask the owner for the object; who is away will see. */
static void guest_open_stop(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (!(c->flags & VMBI_GC_AWAY))
		vmbi_channel_stop(c->object);
	guest_open_wake(g, c);
}

/* It will not work: the owner is asked for the object. */
static void guest_open_fail(struct vmb_guest *g, struct vmbi_gc *c, int32_t status, uint32_t said)
{
	if (c->state != VMBI_GC_CREATING && c->state != VMBI_GC_OPENING)
		return;
	c->refused++;
	vmbi_gc_become(g, c, VMBI_GC_FAILED);
	c->open_status = status;
	c->open_said = said;
	if (vmbi_guest_is_open_message(c->send) && !(c->flags & VMBI_GC_OPEN_OUT))
		c->send = 0;
	vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_OPENED);
	guest_open_stop(g, c);
}

void vmbi_guest_ring_created(struct vmb_guest *g, struct vmbi_gc *c, int32_t status, uint32_t said)
{
	if (status) {
		guest_open_fail(g, c, status, said);
	} else if (c->state == VMBI_GC_CREATING) {
		vmbi_gc_become(g, c, VMBI_GC_OPENING);
		c->open_id = g->opens++ << VMBI_SLOT_BITS | c->id; /* the slot bits hold any channel id */
		c->send = VMBI_MSG_OPEN_CHANNEL;
		if (c->flags & VMBI_GC_RESERVED) {
			c->open_id = 0;
			c->send = VMBI_MSG_OPEN_RESERVED_CHANNEL;
		}
		if (!(c->flags & VMBI_GC_AWAY))
			vmbi_gate_open(&c->gate); /* interrupts may come before the result. control-plane.md 9.6 */
		vmbi_guest_queue(g, vmbi_gc_slot(g, c));
	}
}

static void guest_open_target_event(struct vmb_guest *g, struct vmbi_gc *c, int32_t status, uint32_t said)
{
	if (!(c->flags & VMBI_GC_TARGET))
		return;
	c->flags &= ~VMBI_GC_TARGET;
	c->target_status = status;
	c->target_said = said;
	vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_TARGET);
}

void vmbi_guest_abandon(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & VMBI_GC_ABANDONED)
		return;
	vmbi_gc_flag(g, c, VMBI_GC_ABANDONED);
	guest_open_target_event(g, c, VMB_ERESCINDED, 0);
	if (c->send == VMBI_MSG_MODIFY_CHANNEL && !(c->flags & VMBI_GC_MODIFY_OUT))
		c->send = 0;
	if (!(c->flags & VMBI_GC_RELEASED))
		vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_RESCINDED);
	if (!(c->flags & VMBI_GC_OBJECT))
		return;
	if (c->state != VMBI_GC_OPEN) {
		guest_open_fail(g, c, VMB_ERESCINDED, 0);
		return;
	}
	c->lost++;
	guest_open_stop(g, c);
}

/* UNLOAD has not been said yet: when the host closes this reserved channel, it keeps the lists of it as of any other. control-plane.md 10.5 */
static void guest_open_unkeep(struct vmb_guest *g, struct vmbi_gc *c)
{
	c->flags &= ~VMBI_GC_KEPT;
	g->kept--;
	vmbi_guest_abandon(g, c);
}

void vmbi_guest_give_back(struct vmb_guest *g, struct vmbi_gc *c)
{
	uint32_t slot = vmbi_gc_slot(g, c);
	struct vmb_cursor tx, rx;

	/* Stopped first: what was put and not flushed is not sent. After the second the object looks at the rings no more. */
	if (!(c->flags & VMBI_GC_AWAY)) {
		vmbi_channel_stop(c->object);
		vmbi_channel_cursors(c->object, &tx, &rx);
	}
	vmbi_guest_unmark(g, slot, VMBI_GE_OPENED | VMBI_GE_TARGET);
	c->flags &= ~(VMBI_GC_OBJECT | VMBI_GC_TARGET | VMBI_GC_AWAY);
	if ((vmbi_guest_is_open_message(c->send) && !(c->flags & VMBI_GC_OPEN_OUT)) ||
	    (c->send == VMBI_MSG_MODIFY_CHANNEL && !(c->flags & VMBI_GC_MODIFY_OUT)))
		c->send = 0;
	c->closes += c->state == VMBI_GC_OPEN && !(c->flags & VMBI_GC_ABANDONED);
	vmbi_gc_become(g, c, VMBI_GC_CLOSING);
	if (!vmbi_gate_close(&c->gate))
		vmbi_fifo_append(&g->draining, g->drain_links, slot);
	if (c->flags & VMBI_GC_KEPT && g->state == VMB_BUS_LEAVING)
		guest_open_unkeep(g, c);
	vmbi_guest_channel_step(g, c);
}

/* ---- what is left to do */

static void guest_open_send(struct vmb_guest *g, struct vmbi_gc *c, uint32_t type)
{
	if (c->send == type)
		return;
	c->send = type;
	vmbi_guest_queue(g, vmbi_gc_slot(g, c));
}

/* A reserved channel's is answered. */
static void guest_open_send_close(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (!(c->flags & VMBI_GC_RESERVED))
		guest_open_send(g, c, VMBI_MSG_CLOSE_CHANNEL);
	else if (!(c->flags & VMBI_GC_CLOSE_OUT))
		guest_open_send(g, c, VMBI_MSG_CLOSE_RESERVED_CHANNEL);
}

/* The object is back: CLOSE, then the ring's list. 1: nothing stands in the way of EV_CLOSED any more. */
static int guest_open_closing(struct vmb_guest *g, struct vmbi_gc *c)
{
	struct vmbi_gg *ring = c->ring ? &g->gpadls[c->ring] : NULL;

	/* Not the gate itself: once it was empty, those that pass through it do not matter. */
	if (g->drain_links[vmbi_gc_slot(g, c)].in)
		return 0;
	if (c->flags & VMBI_GC_MODIFY_OUT && !(c->flags & VMBI_GC_MODIFY_LOST))
		return 0;
	if (c->flags & VMBI_GC_OPEN_OUT) {
		if (!(c->flags & VMBI_GC_OPEN_LOST))
			return 0;
		vmbi_guest_gpadl_leak(g, ring);
	} else if (c->flags & VMBI_GC_HOST_OPEN) {
		if (!(c->flags & VMBI_GC_CLOSE_FAILED)) {
			guest_open_send_close(g, c);
			return 0;
		}
		vmbi_guest_gpadl_leak(g, ring);
	} else if (ring) {
		vmbi_guest_gpadl_down(g, ring);
	}
	return !c->ring || c->flags & VMBI_GC_LEAK;
}

/* After a leak was told, an answer has come: leave nothing at the host. */
static void guest_open_clean_up(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & (VMBI_GC_OPEN_OUT | VMBI_GC_CLOSE_FAILED | VMBI_GC_RELEASED))
		return;
	if (c->flags & VMBI_GC_HOST_OPEN)
		guest_open_send_close(g, c);
	else if (c->ring)
		vmbi_guest_gpadl_down(g, &g->gpadls[c->ring]);
}

/* Has the host still to hear of a CLOSE? */
static int guest_open_is_up(const struct vmbi_gc *c)
{
	return (c->flags & VMBI_GC_OPEN_OUT && !(c->flags & VMBI_GC_OPEN_LOST)) ||
	       (c->flags & VMBI_GC_HOST_OPEN && !(c->flags & VMBI_GC_CLOSE_FAILED));
}

void vmbi_guest_channel_step(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & VMBI_GC_OBJECT)
		return;
	if (c->flags & VMBI_GC_RELEASED && !guest_open_is_up(c))
		vmbi_guest_gpadls_down(g, c);
	if (c->state != VMBI_GC_CLOSING) {
		guest_open_clean_up(g, c);
	} else if (guest_open_closing(g, c)) {
		vmbi_gc_become(g, c, VMBI_GC_CLOSED);
		guest_open_unclaim(g, c);
		vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_CLOSED);
	}
	vmbi_guest_settle(g, c);
}

/* ---- messages out */

static uint32_t guest_open_message(struct vmb_guest *g, const struct vmbi_gc *c, uint8_t *out)
{
	int len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_OPEN_CHANNEL, g->version, g->features);

	vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, channel_id), c->id);
	vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, open_id), c->open_id);
	vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, ring_gpadl), g->gpadls[c->ring].id);
	vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, target_vp), c->target_vp);
	vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, downstream_page_offset), c->tx_pages);
	VMBI_MEMCPY(out + VMBI_AT(OPEN_CHANNEL, user_data), c->user_data, sizeof c->user_data);
	if (g->features & VMB_FEATURE_SIGNAL_PARAMETERS) {
		vmbi_put32(out + VMBI_AT(OPEN_CHANNEL, connection_id), c->signal_connection);
		vmbi_put16(out + VMBI_AT(OPEN_CHANNEL, event_flag), (uint16_t)c->flag);
	}
	if (c->redirect)
		vmbi_put16(out + VMBI_AT(OPEN_CHANNEL, open_flags), 1);
	return (uint32_t)len;
}

static uint32_t guest_open_reserved_message(struct vmb_guest *g, const struct vmbi_gc *c, uint8_t *out)
{
	int len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_OPEN_RESERVED_CHANNEL, g->version, 0);

	vmbi_put32(out + VMBI_AT(OPEN_RESERVED_CHANNEL, channel_id), c->id);
	vmbi_put32(out + VMBI_AT(OPEN_RESERVED_CHANNEL, target_vp), c->result_vp);
	vmbi_put32(out + VMBI_AT(OPEN_RESERVED_CHANNEL, target_sint), c->result_sint);
	vmbi_put32(out + VMBI_AT(OPEN_RESERVED_CHANNEL, ring_gpadl), g->gpadls[c->ring].id);
	vmbi_put32(out + VMBI_AT(OPEN_RESERVED_CHANNEL, downstream_page_offset), c->tx_pages);
	return (uint32_t)len;
}

uint32_t vmbi_guest_channel_message(struct vmb_guest *g, struct vmbi_gc *c, uint8_t *out)
{
	int len;

	if (!c->send)
		return 0;
	if (c->send == VMBI_MSG_OPEN_CHANNEL)
		return guest_open_message(g, c, out);
	if (c->send == VMBI_MSG_OPEN_RESERVED_CHANNEL)
		return guest_open_reserved_message(g, c, out);
	if (c->send == VMBI_MSG_CLOSE_RESERVED_CHANNEL)
		return vmbi_guest_close_reserved_message(out, c->id, c->result_vp, c->result_sint);
	len = vmb_message_init(out, VMB_MESSAGE_MAX, c->send, g->version, 0);
	vmbi_put32(out + VMBI_AT(CLOSE_CHANNEL, channel_id), c->id); /* the same place in CLOSE, MODIFY and REL_ID_RELEASED */
	if (c->send == VMBI_MSG_MODIFY_CHANNEL)
		vmbi_put32(out + VMBI_AT(MODIFY_CHANNEL, target_vp), c->new_vp);
	return (uint32_t)len;
}

static void guest_open_posted(struct vmb_guest *g, struct vmbi_gc *c, int outcome, uint32_t status)
{
	if (outcome != VMBI_GUEST_FAILED) {
		c->flags |= VMBI_GC_OPEN_OUT;
		if (outcome == VMBI_GUEST_SENT)
			vmbi_guest_wait(g, vmbi_gc_slot(g, c));
		return;
	}
	if (c->flags & VMBI_GC_OPEN_OUT)
		c->flags |= VMBI_GC_OPEN_LOST;
	guest_open_fail(g, c, VMB_EPLATFORM, status);
	vmbi_guest_channel_step(g, c);
}

static void guest_open_close_posted(struct vmb_guest *g, struct vmbi_gc *c, int outcome)
{
	if (outcome == VMBI_GUEST_FAILED)
		c->flags |= VMBI_GC_CLOSE_FAILED;
	else if (c->flags & VMBI_GC_RESERVED)
		c->flags |= VMBI_GC_CLOSE_OUT;
	else if (outcome == VMBI_GUEST_SENT)
		c->flags &= ~VMBI_GC_HOST_OPEN;
	if (outcome == VMBI_GUEST_SENT && c->flags & VMBI_GC_CLOSE_OUT)
		vmbi_guest_wait(g, vmbi_gc_slot(g, c));
	if (outcome != VMBI_GUEST_MAYBE)
		vmbi_guest_channel_step(g, c);
}

static void guest_open_modify_posted(struct vmb_guest *g, struct vmbi_gc *c, int outcome, uint32_t status)
{
	if (outcome == VMBI_GUEST_FAILED) {
		if (c->flags & VMBI_GC_MODIFY_OUT)
			c->flags |= VMBI_GC_MODIFY_LOST;
		guest_open_target_event(g, c, VMB_EPLATFORM, status);
		vmbi_guest_channel_step(g, c);
	} else if (g->version >= VMB_V5_3) {
		c->flags |= VMBI_GC_MODIFY_OUT;
		if (outcome == VMBI_GUEST_SENT)
			vmbi_guest_wait(g, vmbi_gc_slot(g, c));
	} else if (outcome == VMBI_GUEST_SENT) {
		c->target_vp = c->new_vp;
		guest_open_target_event(g, c, 0, 0); /* nothing will tell when the host obeys. control-plane.md 10.3 */
	}
}

void vmbi_guest_channel_posted(struct vmb_guest *g, struct vmbi_gc *c, int outcome, uint32_t status)
{
	uint32_t type = c->send;

	if (outcome != VMBI_GUEST_MAYBE)
		c->send = 0;
	switch (type) {
	case VMBI_MSG_OPEN_CHANNEL:
	case VMBI_MSG_OPEN_RESERVED_CHANNEL:
		guest_open_posted(g, c, outcome, status);
		break;
	case VMBI_MSG_CLOSE_CHANNEL:
	case VMBI_MSG_CLOSE_RESERVED_CHANNEL:
		guest_open_close_posted(g, c, outcome);
		break;
	case VMBI_MSG_MODIFY_CHANNEL:
		guest_open_modify_posted(g, c, outcome, status);
		break;
	default: /* REL_ID_RELEASED. If it cannot be told, the id is never offered again: no harm */
		if (outcome == VMBI_GUEST_MAYBE)
			c->flags |= VMBI_GC_MAYBE_GONE;
		else
			vmbi_guest_forget(g, c);
	}
}

/* ---- messages in, and their absence */

int vmbi_guest_on_opened(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gc *c = vmbi_guest_by_id(g, vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL_RESULT, channel_id)));
	uint32_t status = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL_RESULT, status));
	int late;

	if (!c || !(c->flags & VMBI_GC_OPEN_OUT) || c->open_id != vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL_RESULT, open_id)))
		return 0;
	late = !!(c->flags & VMBI_GC_OPEN_LOST);
	vmbi_guest_unwait(g, vmbi_gc_slot(g, c));
	c->flags &= ~(VMBI_GC_OPEN_OUT | VMBI_GC_OPEN_LOST);
	if (vmbi_guest_is_open_message(c->send))
		c->send = 0;
	if (!status)
		c->flags |= VMBI_GC_HOST_OPEN;
	if (status) {
		guest_open_fail(g, c, VMB_EREFUSED, status);
	} else if (c->state == VMBI_GC_OPENING) {
		c->opens++;
		vmbi_gc_become(g, c, VMBI_GC_OPEN);
		c->open_status = 0;
		c->open_said = 0;
		vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_OPENED);
		guest_open_wake(g, c); /* a signal may have come to nobody. ring.md 10.4 R10 */
	}
	vmbi_guest_channel_step(g, c);
	return !late;
}

int vmbi_guest_on_modified(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gc *c = vmbi_guest_by_id(g, vmbi_get32(msg + VMBI_AT(MODIFY_CHANNEL_RESPONSE, channel_id)));
	uint32_t status = vmbi_get32(msg + VMBI_AT(MODIFY_CHANNEL_RESPONSE, status));
	int late;

	if (!c || !(c->flags & VMBI_GC_MODIFY_OUT))
		return 0;
	late = !!(c->flags & VMBI_GC_MODIFY_LOST);
	if (!late) /* else the wait may be another's */
		vmbi_guest_unwait(g, vmbi_gc_slot(g, c));
	c->flags &= ~(VMBI_GC_MODIFY_OUT | VMBI_GC_MODIFY_LOST);
	if (c->send == VMBI_MSG_MODIFY_CHANNEL)
		c->send = 0;
	if (!status)
		c->target_vp = c->new_vp;
	guest_open_target_event(g, c, status ? VMB_EREFUSED : 0, status);
	vmbi_guest_channel_step(g, c);
	return !late;
}

void vmbi_guest_channel_timeout(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & VMBI_GC_OPEN_OUT) {
		c->flags |= VMBI_GC_OPEN_LOST;
		guest_open_fail(g, c, VMB_ETIMEDOUT, 0);
	} else if (c->flags & VMBI_GC_CLOSE_OUT) {
		c->flags |= VMBI_GC_CLOSE_FAILED;
	} else {
		c->flags |= VMBI_GC_MODIFY_LOST;
		guest_open_target_event(g, c, VMB_ETIMEDOUT, 0);
	}
	vmbi_guest_channel_step(g, c);
}

/* CLOSE_RESERVED_RESPONSE. A host that nobody is connected to, or another connection, drops the channel with its lists. control-plane.md 10.5 */
int vmbi_guest_on_reserved_closed(struct vmb_guest *g, const uint8_t *msg)
{
	uint32_t id = vmbi_get32(msg + VMBI_AT(CLOSE_RESERVED_RESPONSE, channel_id));
	struct vmbi_gc *c = vmbi_guest_by_id(g, id);
	int late;

	if (!c || !(c->flags & VMBI_GC_CLOSE_OUT))
		return vmbi_guest_on_closer(g, id);
	late = !!(c->flags & VMBI_GC_CLOSE_FAILED);
	vmbi_guest_unwait(g, vmbi_gc_slot(g, c));
	c->flags &= ~(VMBI_GC_CLOSE_OUT | VMBI_GC_CLOSE_FAILED | VMBI_GC_HOST_OPEN);
	if (c->send == VMBI_MSG_CLOSE_RESERVED_CHANNEL)
		c->send = 0;
	if (c->flags & VMBI_GC_KEPT) {
		vmbi_gc_flag(g, c, VMBI_GC_RESCINDED);
		vmbi_guest_map_set(g, g->ids, id, 0); /* it may be offered at once */
		if (c->flags & VMBI_GC_UNPROVEN) /* the lists are where the connection is */
			vmbi_guest_gpadls_kept(g, c, 0);
		vmbi_guest_gpadls_rescinded(g, c);
		vmbi_guest_abandon(g, c);
	}
	vmbi_guest_channel_step(g, c);
	return !late;
}

int vmbi_guest_keep(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & VMBI_GC_KEPT)
		return 1;
	if (!(c->flags & VMBI_GC_RESERVED) || c->state != VMBI_GC_OPEN || c->flags & VMBI_GC_ABANDONED)
		return 0;
	vmbi_gc_flag(g, c, VMBI_GC_KEPT);
	g->kept++;
	return 1;
}

/* ---- calls on an open channel */

int vmb_guest_close(struct vmb_guest *g, vmb_handle ch)
{
	struct vmbi_gc *c;
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	c = vmbi_guest_find(g, ch);
	if (!c)
		r = VMB_EHANDLE;
	else if (!(c->flags & VMBI_GC_OBJECT))
		r = VMB_ESTATE;
	else
		vmbi_guest_give_back(g, c);
	return vmbi_guest_leave(g, r);
}

static int guest_open_target(struct vmb_guest *g, vmb_handle ch, uint32_t vp)
{
	struct vmbi_gc *c = vmbi_guest_find(g, ch);

	if (!c)
		return VMB_EHANDLE;
	if (vp == VMB_VP_NONE)
		return VMB_EINVAL;
	if (g->version < VMB_V4_1)
		return VMB_EVERSION;
	if (c->state != VMBI_GC_OPEN || c->flags & VMBI_GC_ABANDONED || c->target_vp == VMB_VP_NONE ||
	    c->send == VMBI_MSG_MODIFY_CHANNEL || c->flags & (VMBI_GC_MODIFY_OUT | VMBI_GC_TARGET) ||
	    g->marks[vmbi_gc_slot(g, c)] & VMBI_GE_TARGET)
		return VMB_ESTATE;
	c->new_vp = vp;
	c->flags |= VMBI_GC_TARGET;
	guest_open_send(g, c, VMBI_MSG_MODIFY_CHANNEL);
	return 0;
}

int vmb_guest_target(struct vmb_guest *g, vmb_handle ch, uint32_t vp)
{
	int r = vmbi_guest_enter(g);

	return r < 0 ? r : vmbi_guest_leave(g, guest_open_target(g, ch, vp));
}

int vmb_guest_targets(struct vmb_guest *g, uint32_t vp, uint32_t *cursor, vmb_handle *ch)
{
	int r = cursor && ch ? vmbi_guest_enter(g) : VMB_EINVAL;

	if (r < 0)
		return r;
	while (*cursor < g->slots_used) {
		const struct vmbi_gc *c = &g->channels[++*cursor];

		if (c->flags & VMBI_GC_OBJECT && c->target_vp == vp && vp != VMB_VP_NONE) {
			*ch = vmbi_handle(*cursor, c->generation);
			return vmbi_guest_leave(g, VMB_YES);
		}
	}
	return vmbi_guest_leave(g, 0);
}
