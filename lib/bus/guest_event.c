/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Events on their way to the embedder, and time. An event is a mark on an object; objects with marks stand in a queue, and one
 * that has more to tell goes to its end. All waits for answers last equally long, so those that begin later end later: a queue
 * of them needs only its head looked at. A wait that began outside of poll gets its deadline at the next poll, which knows the
 * time.
 */
#include "guest.h"

#define GUEST_EVENT_MS 1000000u /* nanoseconds */

/* ---- marks */

void vmbi_guest_mark(struct vmb_guest *g, uint32_t node, uint32_t marks)
{
	g->marks[node] = (uint8_t)(g->marks[node] | marks);
	vmbi_fifo_append(&g->events, g->event_links, node);
	g->poke = 1;
}

void vmbi_guest_unmark(struct vmb_guest *g, uint32_t node, uint32_t marks)
{
	g->marks[node] = (uint8_t)(g->marks[node] & ~marks);
	if (!g->marks[node])
		vmbi_fifo_remove(&g->events, g->event_links, node);
}

/* ---- waits */

void vmbi_guest_wait(struct vmb_guest *g, uint32_t node)
{
	if (!g->cfg.reply_ms)
		return;
	g->deadlines[node] = 0;
	vmbi_fifo_append(&g->fresh, g->wait_links, node);
	g->poke = 1;
}

void vmbi_guest_unwait(struct vmb_guest *g, uint32_t node)
{
	vmbi_fifo_remove(g->deadlines[node] ? &g->waiting : &g->fresh, g->wait_links, node);
}

void vmbi_guest_clock(struct vmb_guest *g, uint32_t ms)
{
	g->clock_ms = ms;
	g->clock_at = 0;
	if (ms)
		g->poke = 1;
}

void vmbi_guest_wait_again(struct vmb_guest *g)
{
	uint32_t node;

	while ((node = g->waiting.head) != 0) {
		vmbi_guest_unwait(g, node);
		vmbi_guest_wait(g, node);
	}
}

static void guest_event_expire(struct vmb_guest *g, uint64_t now)
{
	uint32_t node;

	while (!g->paused && (node = g->waiting.head) != 0 && g->deadlines[node] <= now) {
		vmbi_guest_unwait(g, node);
		if (node <= g->cfg.max_channels)
			vmbi_guest_channel_timeout(g, &g->channels[node]);
		else if (node == VMBI_GUEST_NODE_CLOSER(g))
			vmbi_guest_closer_timeout(g);
		else if (node > VMBI_GUEST_NODE_CONNECT(g, 0))
			vmbi_guest_connect_timeout(g, &g->connects[node - VMBI_GUEST_NODE_CONNECT(g, 0)]);
		else
			vmbi_guest_gpadl_timeout(g, &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)]);
	}
	if (g->clock_at && g->clock_at <= now)
		vmbi_guest_connection_timeout(g); /* which stops the clock */
}

/* What has begun since the last poll begins now. */
static void guest_event_stamp(struct vmb_guest *g, uint64_t now)
{
	uint32_t node;

	while ((node = g->fresh.head) != 0) {
		vmbi_fifo_remove(&g->fresh, g->wait_links, node);
		g->deadlines[node] = now + (uint64_t)g->cfg.reply_ms * GUEST_EVENT_MS;
		vmbi_fifo_append(&g->waiting, g->wait_links, node);
	}
	if (g->clock_ms && !g->clock_at)
		g->clock_at = now + (uint64_t)g->clock_ms * GUEST_EVENT_MS;
	if (g->held && !g->retry_at)
		g->retry_at = now + vmbi_guest_retry_delay(g);
}

static uint64_t guest_event_deadline(const struct vmb_guest *g, uint64_t now)
{
	uint64_t at = UINT64_MAX;

	if (g->held)
		at = g->retry_at; /* without a clock 0: as soon as you can */
	if (now && !g->paused && g->waiting.head && g->deadlines[g->waiting.head] < at)
		at = g->deadlines[g->waiting.head];
	if (now && g->clock_at && g->clock_at < at)
		at = g->clock_at;
	return at;
}

/* ---- what each event says */

/* After a restore: the owner learns what it may have known. */
static void guest_event_again(struct vmb_guest *g, struct vmbi_gc *c, struct vmb_event *ev)
{
	ev->flags = VMB_EVF_RESTORED | (vmbi_guest_may_reopen(c) ? VMB_EVF_OPEN : 0);
	if ((c->flags & (VMBI_GC_ABANDONED | VMBI_GC_RELEASED)) == VMBI_GC_ABANDONED)
		vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_RESCINDED);
}

static void guest_event_of_channel(struct vmb_guest *g, struct vmbi_gc *c, uint32_t mark, struct vmb_event *ev)
{
	ev->ch = vmbi_handle(vmbi_gc_slot(g, c), c->generation);
	ev->user = c->user;
	switch (mark) {
	case VMBI_GE_OFFER:
		ev->kind = VMB_EV_OFFER;
		if (c->flags & VMBI_GC_UNTOLD)
			guest_event_again(g, c, ev);
		c->flags &= ~VMBI_GC_UNTOLD;
		vmbi_gc_flag(g, c, VMBI_GC_SEEN);
		if (c->socket) {
			ev->kind = VMB_EV_HVSOCK;
			ev->user = g->connects[c->socket].user;
			vmbi_guest_connect_told(g, &g->connects[c->socket]);
			c->socket = 0;
		}
		break;
	case VMBI_GE_OPENED:
		ev->kind = VMB_EV_OPENED;
		ev->status = c->open_status;
		ev->peer_status = c->open_said;
		break;
	case VMBI_GE_TARGET:
		ev->kind = VMB_EV_TARGET;
		ev->status = c->target_status;
		ev->peer_status = c->target_said;
		ev->vp = c->new_vp;
		break;
	case VMBI_GE_RESCINDED:
		ev->kind = VMB_EV_RESCINDED;
		break;
	default:
		ev->kind = VMB_EV_CLOSED;
		ev->status = c->flags & VMBI_GC_LEAK ? VMB_ELEAK : 0;
		c->user = 0;
		vmbi_gc_become(g, c, VMBI_GC_IDLE);
		g->objects--;
		vmbi_guest_channel_step(g, c);
	}
}

static void guest_event_of_gpadl(struct vmb_guest *g, struct vmbi_gg *d, uint32_t mark, struct vmb_event *ev)
{
	struct vmbi_gc *c = &g->channels[d->channel];

	ev->ch = vmbi_handle(d->channel, c->generation);
	ev->user = c->user;
	ev->gpadl = d->id;
	ev->status = d->status;
	ev->peer_status = d->said;
	ev->kind = mark == VMBI_GE_GPADL ? VMB_EV_GPADL : VMB_EV_GPADL_DOWN;
	if (d->flags & VMBI_GG_FINAL) {
		vmbi_guest_gpadl_told(g, d);
		vmbi_guest_channel_step(g, c);
	}
}

static void guest_event_of_connection(struct vmb_guest *g, uint32_t mark, struct vmb_event *ev)
{
	if (mark == VMBI_GE_DISCONNECTED) {
		ev->kind = VMB_EV_DISCONNECTED;
		ev->status = g->disconnect_status;
	} else if (mark == VMBI_GE_CONNECTED) {
		ev->kind = VMB_EV_CONNECTED;
		ev->status = g->connect_status;
		ev->peer_status = g->connect_said;
	} else if (mark == VMBI_GE_OFFERS_DONE) {
		ev->kind = VMB_EV_OFFERS_DONE;
		ev->status = g->offers_status;
	} else if (mark == VMBI_GE_MONITOR) {
		ev->kind = VMB_EV_MONITOR;
		ev->status = g->monitor_status;
		ev->peer_status = g->monitor_said;
	} else {
		ev->kind = VMB_EV_PAUSED;
		ev->status = g->pause_status;
	}
}

static void guest_event_of_connect(struct vmb_guest *g, struct vmbi_gs *s, struct vmb_event *ev)
{
	ev->kind = VMB_EV_HVSOCK;
	ev->user = s->user;
	ev->status = s->status;
	ev->peer_status = s->said;
	vmbi_guest_connect_told(g, s);
}

static int guest_event_pull(struct vmb_guest *g, struct vmb_event *ev)
{
	uint32_t node = g->events.head, mark;

	if (!node)
		return 0;
	mark = g->marks[node] & ~(g->marks[node] - 1u); /* the lowest */
	g->marks[node] = (uint8_t)(g->marks[node] & ~mark);
	/* The end of a connection and the beginning of the next are told one after the other: offers stand behind both. */
	if (!g->marks[node] || node != VMBI_GUEST_NODE_CONNECTION(g) || mark != VMBI_GE_DISCONNECTED) {
		vmbi_fifo_remove(&g->events, g->event_links, node);
		if (g->marks[node])
			vmbi_fifo_append(&g->events, g->event_links, node);
	}
	if (node <= g->cfg.max_channels) {
		guest_event_of_channel(g, &g->channels[node], mark, ev);
	} else if (node == VMBI_GUEST_NODE_CONNECTION(g)) {
		guest_event_of_connection(g, mark, ev);
	} else if (node == VMBI_GUEST_NODE_CLOSER(g)) {
		ev->kind = VMB_EV_CLOSED;
		ev->status = g->closer_status;
	} else if (node > VMBI_GUEST_NODE_CONNECT(g, 0) && node <= VMBI_GUEST_NODE_GONE(g, 0)) {
		guest_event_of_connect(g, &g->connects[node - VMBI_GUEST_NODE_CONNECT(g, 0)], ev);
	} else if (node <= VMBI_GUEST_NODE_GONE(g, 0)) {
		guest_event_of_gpadl(g, &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)], mark, ev);
	} else {
		ev->kind = VMB_EV_GONE;
		ev->ch = g->gone[node - VMBI_GUEST_NODE_GONE(g, 1)];
	}
	return VMB_YES;
}

/* ---- poll */

/* Go on with channels whose gate has emptied. As many wait as there are CPUs inside a gate. */
static void guest_event_drain(struct vmb_guest *g)
{
	for (uint32_t slot = g->draining.head, next; slot; slot = next) {
		next = g->drain_links[slot].next;
		if (vmbi_gate_empty(&g->channels[slot].gate)) {
			vmbi_fifo_remove(&g->draining, g->drain_links, slot);
			vmbi_guest_channel_step(g, &g->channels[slot]);
		}
	}
}

int vmb_guest_poll(struct vmb_guest *g, uint64_t now, struct vmb_event *ev)
{
	int r;

	if (!ev)
		return VMB_EINVAL;
	r = vmbi_guest_enter(g);
	if (r < 0)
		return r;
	g->now = now;
	vmbi_guest_watch_signals(g, now);
	if (now)
		guest_event_expire(g, now);
	if (!now || g->retry_at)
		g->held = g->held && now && now < g->retry_at;
	guest_event_drain(g);
	vmbi_guest_post(g);
	VMBI_MEMSET(ev, 0, sizeof *ev);
	r = guest_event_pull(g, ev);
	vmbi_guest_post(g);
	if (now)
		guest_event_stamp(g, now);
	ev->deadline = guest_event_deadline(g, now);
	g->poke = 0;
	return vmbi_guest_leave(g, r);
}
