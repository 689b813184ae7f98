/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Events on their way to the embedder: marks on the objects that they are about, and one FIFO of marked objects. So events cannot
 * overflow, one that has lost its sense is taken back, and giving one out costs the same however many channels there are.
 */
#include "host.h"

/* Nodes: 1...slots, then the GPADLs, the connects, and the connection. */
static uint32_t he_connect_node(const struct vmb_host *h, uint32_t connect)
{
	return h->slots + h->gpadls + connect;
}

static uint32_t he_connection_node(const struct vmb_host *h)
{
	return h->slots + h->gpadls + h->connects + 1;
}

static void he_append(struct vmb_host *h, uint32_t node)
{
	vmbi_fifo_append(&h->events, h->event_links, node);
	h->poke = 1;
}

void vmbi_he_channel(struct vmb_host *h, struct vmbi_hc *c, uint32_t event)
{
	c->events |= event;
	he_append(h, c->slot);
}

void vmbi_he_cancel(struct vmb_host *h, struct vmbi_hc *c, uint32_t event)
{
	c->events &= ~event;
	if (!c->events)
		vmbi_fifo_remove(&h->events, h->event_links, c->slot);
}

void vmbi_he_gpadl(struct vmb_host *h, uint32_t ref)
{
	he_append(h, h->slots + ref);
}

void vmbi_he_gpadl_cancel(struct vmb_host *h, uint32_t ref)
{
	vmbi_fifo_remove(&h->events, h->event_links, h->slots + ref);
}

void vmbi_he_connection(struct vmb_host *h)
{
	he_append(h, he_connection_node(h));
}

void vmbi_he_connect(struct vmb_host *h, uint32_t connect)
{
	he_append(h, he_connect_node(h, connect));
}

void vmbi_he_connect_cancel(struct vmb_host *h, uint32_t connect)
{
	vmbi_fifo_remove(&h->events, h->event_links, he_connect_node(h, connect));
}

static void he_of_channel(struct vmb_event *ev, const struct vmbi_hc *c, uint32_t kind)
{
	ev->kind = kind;
	ev->ch = vmbi_handle(c->slot, c->generation);
	ev->user = c->user;
}

/* A question: its answer must name this token. The low half is the GPADL's reference, or 0. */
static uint64_t he_question(struct vmb_host *h, struct vmb_event *ev, uint32_t ref, uint32_t restored)
{
	ev->flags = VMB_EVF_ASK | (restored ? VMB_EVF_RESTORED : 0);
	ev->token = ++h->tokens << 32 | ref;
	return ev->token;
}

/* The oldest event of a channel; it stays in the queue while there are more. */
static void he_take_channel(struct vmb_host *h, struct vmbi_hc *c, struct vmb_event *ev)
{
	uint32_t event = c->events & (0u - c->events);

	vmbi_he_cancel(h, c, event);
	switch (event) {
	case VMBI_HE_CLOSE:
		he_of_channel(ev, c, VMB_EV_CLOSE);
		c->token = he_question(h, ev, 0, c->restored);
		break;
	case VMBI_HE_CLOSED:
		he_of_channel(ev, c, VMB_EV_CLOSED);
		break;
	case VMBI_HE_OPEN:
		he_of_channel(ev, c, VMB_EV_OPEN);
		c->token = he_question(h, ev, 0, c->restored);
		vmbi_hc_device(h, c, VMBI_DEV_ASKED);
		break;
	default:
		he_of_channel(ev, c, VMB_EV_GONE);
		ev->status = c->gone_status;
		vmbi_host_free(h, c);
		break;
	}
}

static void he_take_gpadl(struct vmb_host *h, uint32_t ref, struct vmb_event *ev)
{
	struct vmbi_host_gpadl *g = &h->gpadl[ref];

	vmbi_he_gpadl_cancel(h, ref);
	he_of_channel(ev, &h->ch[g->slot], VMB_EV_GPADL_DOWN);
	ev->gpadl = vmbi_gpadls_id(h->store, ref);
	g->token = he_question(h, ev, ref, g->restored);
}

static void he_take_connect(struct vmb_host *h, uint32_t connect, struct vmb_event *ev)
{
	struct vmbi_host_connect *q = &h->connect[connect];

	vmbi_he_connect_cancel(h, connect);
	q->state = VMBI_CONNECT_ASKED;
	ev->kind = VMB_EV_HVSOCK;
	q->token = he_question(h, ev, connect, 0);
}

/* What the embedder knows of the connection against what is: a connection that came and went unseen is not shown. 0: no news. */
static int he_take_connection(struct vmb_host *h, struct vmb_event *ev)
{
	if (h->told && h->told != h->connection) {
		h->told = 0;
		ev->kind = VMB_EV_DISCONNECTED;
	} else if (h->reset_done) {
		h->reset_done = 0;
		ev->kind = VMB_EV_RESET;
	} else if (h->told != h->connection) {
		h->told = h->connection;
		ev->kind = VMB_EV_CONNECTED;
		ev->flags = h->restored ? VMB_EVF_RESTORED : 0;
		h->restored = 0;
	}
	if (h->told == h->connection && !h->reset_done)
		vmbi_fifo_remove(&h->events, h->event_links, he_connection_node(h));
	return ev->kind != 0;
}

static int he_take(struct vmb_host *h, struct vmb_event *ev)
{
	uint32_t node = h->events.head;

	if (node == he_connection_node(h)) {
		if (he_take_connection(h, ev))
			return VMB_YES;
		node = h->events.head; /* it had no news and is out of the queue */
	}
	if (!node)
		return 0;
	if (node <= h->slots)
		he_take_channel(h, &h->ch[node], ev);
	else if (node <= h->slots + h->gpadls)
		he_take_gpadl(h, node - h->slots, ev);
	else
		he_take_connect(h, node - he_connect_node(h, 0), ev);
	return VMB_YES;
}

int vmb_host_poll(struct vmb_host *h, uint64_t now, struct vmb_event *ev)
{
	uint64_t deadline = UINT64_MAX, look;
	int r = ev ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	VMBI_MEMSET(ev, 0, sizeof *ev);
	if (h->blocked == VMBI_BLOCKED_ERROR)
		h->blocked = 0;
	h->now = now;
	vmbi_host_gates(h);
	vmbi_host_settle(h);
	vmbi_host_watch_signals(h, now);
	if (h->monitor.users)
		(void)vmb_host_monitor(h);
	if (now)
		deadline = vmbi_hvsock_time(h, now);
	r = he_take(h, ev);
	look = now + (uint64_t)h->cfg.monitor_latency * 100;
	ev->deadline = now && h->monitor.users && look < deadline ? look : deadline;
	h->poke = 0; /* the caller goes on until there is none */
	vmbi_host_leave(h);
	return r;
}
