/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Messages on their way to the guest: one FIFO of nodes, delivered one by one as the guest empties its slot. A node is a
 * channel's (its offer or its rescind, composed from the channel when it is sent, so any number of them costs nothing), the
 * connection's, or a reply. control-plane.md 1.4, 6, 8.5
 */
#include "host.h"

/* Nodes: 1...slots, the connection, the connects, then the replies. */
static uint32_t hq_connection_node(const struct vmb_host *h)
{
	return h->slots + 1;
}

static uint32_t hq_connect_node(const struct vmb_host *h, uint32_t connect)
{
	return h->slots + 1 + connect;
}

static uint32_t hq_reply_node(const struct vmb_host *h, uint32_t reply)
{
	return h->slots + 1 + h->connects + reply;
}

void vmbi_hq_init(struct vmb_host *h)
{
	for (uint32_t i = h->replies; i; i--) {
		h->reply[i].len = h->free_reply; /* the next free one */
		h->free_reply = i;
	}
}

static void hq_append(struct vmb_host *h, uint32_t node)
{
	vmbi_fifo_append(&h->out, h->out_links, node);
	h->queued++;
}

static void hq_remove(struct vmb_host *h, uint32_t node)
{
	vmbi_fifo_remove(&h->out, h->out_links, node);
	h->queued--;
	if (node == h->pause_node)
		h->pause_node = 0;
	if (node > hq_connection_node(h) && node <= hq_reply_node(h, 0)) {
		vmbi_hvsock_free(h, node - hq_connect_node(h, 0));
	} else if (node > hq_reply_node(h, 0)) {
		uint32_t reply = node - hq_reply_node(h, 0);

		h->reply[reply].len = h->free_reply;
		h->free_reply = reply;
	}
}

int vmbi_hq_full(const struct vmb_host *h)
{
	return h->queued >= h->cfg.max_messages;
}

/* host.c counts the replies so that there is always one. */
static struct vmbi_host_reply *hq_new_reply(struct vmb_host *h, uint32_t type, uint32_t len)
{
	uint32_t n = h->free_reply;
	struct vmbi_host_reply *reply = &h->reply[n];

	h->free_reply = reply->len;
	reply->type = type;
	reply->len = len;
	hq_append(h, hq_reply_node(h, n));
	return reply;
}

void vmbi_hq_reply(struct vmb_host *h, uint32_t type, uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t bytes = 0;
	struct vmbi_host_reply *reply;

	switch (type) {
	case VMBI_MSG_MODIFY_CONNECTION_RESPONSE:
		bytes = 1;
		break;
	case VMBI_MSG_GPADL_TORNDOWN:
		bytes = 4;
		break;
	case VMBI_MSG_MODIFY_CHANNEL_RESPONSE:
		bytes = 8;
		break;
	case VMBI_MSG_OPEN_CHANNEL_RESULT:
	case VMBI_MSG_GPADL_CREATED:
		bytes = 12;
		break;
	}
	reply = hq_new_reply(h, type, bytes);
	vmbi_put32(reply->body, a);
	vmbi_put32(reply->body + 4, b);
	vmbi_put32(reply->body + 8, c);
}

void vmbi_hq_connect_result(struct vmb_host *h, uint32_t connect)
{
	hq_append(h, hq_connect_node(h, connect));
}

void vmbi_hq_pause(struct vmb_host *h)
{
	vmbi_hq_reply(h, VMBI_MSG_PAUSE_RESPONSE, 0, 0, 0);
	h->pause_node = h->out.tail;
}

void vmbi_hq_direct(struct vmb_host *h, uint32_t vp, uint32_t sint, const uint8_t *msg, uint32_t len)
{
	int r = VMB_EINVAL;

	if (vmbi_host_vp_ok(h, vp) && sint < 16)
		r = h->cfg.message(h->cfg.ctx, vp, h->cfg.vtl, sint, msg, len);
	h->post_failed += r < 0;
	if (h->cfg.trace)
		vmbi_host_trace_message(h, VMB_TRACE_MESSAGE_OUT, msg, len, r < 0 ? VMB_FATE_LOST : VMB_FATE_TAKEN, (uint32_t)r);
}

void vmbi_hq_channel(struct vmb_host *h, struct vmbi_hc *c, uint32_t type)
{
	c->wire = type;
	hq_append(h, c->slot);
}

int vmbi_hq_forget(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!h->out_links[c->slot].in)
		return 0;
	hq_remove(h, c->slot);
	return 1;
}

void vmbi_hq_connection(struct vmb_host *h, const uint8_t *msg, uint32_t len, uint32_t vp)
{
	VMBI_MEMCPY(h->connection_msg, msg, len);
	h->connection_len = len;
	h->connection_vp = vp;
	hq_append(h, hq_connection_node(h));
}

/* ---- composing */

/* control-plane.md 8.1 */
uint32_t vmbi_host_offer_flags(const struct vmb_host *h, uint32_t flags)
{
	uint32_t mask = VMB_OFFER_ENUMERATE | VMB_OFFER_PIPE;

	if (h->version >= VMB_V4_0)
		mask |= VMB_OFFER_HVSOCK;
	if (h->features & VMB_FEATURE_CONFIDENTIAL)
		mask |= VMB_OFFER_PRIVATE_RING | VMB_OFFER_PRIVATE_MEMORY;
	if (h->features & VMB_FEATURE_PINNING)
		mask |= VMB_OFFER_PINNED;
	return flags & mask;
}

/* The long form to every version: who is too old for its tail ignores that. control-plane.md 6.1 */
static uint32_t hq_offer(const struct vmb_host *h, const struct vmbi_hc *c, uint8_t *msg)
{
	VMBI_MEMCPY(msg + VMBI_AT(OFFER_CHANNEL, class_id), &c->class_id, 16);
	VMBI_MEMCPY(msg + VMBI_AT(OFFER_CHANNEL, instance_id), &c->instance, 16);
	vmbi_put16(msg + VMBI_AT(OFFER_CHANNEL, flags), (uint16_t)vmbi_host_offer_flags(h, c->offer_flags));
	vmbi_put16(msg + VMBI_AT(OFFER_CHANNEL, mmio_megabytes), (uint16_t)c->mmio_mb);
	VMBI_MEMCPY(msg + VMBI_AT(OFFER_CHANNEL, user_defined), c->user_defined, sizeof c->user_defined);
	vmbi_put16(msg + VMBI_AT(OFFER_CHANNEL, subchannel_index), (uint16_t)c->subchannel);
	vmbi_put16(msg + VMBI_AT(OFFER_CHANNEL, mmio_megabytes_optional), (uint16_t)c->mmio_optional_mb);
	vmbi_put32(msg + VMBI_AT(OFFER_CHANNEL, channel_id), c->id);
	msg[VMBI_AT(OFFER_CHANNEL, monitor_id)] = c->monitor ? (uint8_t)(c->monitor - 1) : 0xff;
	msg[VMBI_AT(OFFER_CHANNEL, monitor_allocated)] = c->monitor != 0;
	vmbi_put16(msg + VMBI_AT(OFFER_CHANNEL, is_dedicated), 1);
	vmbi_put32(msg + VMBI_AT(OFFER_CHANNEL, connection_id), vmbi_host_connection(h, c));
	return 196;
}

/* The message of a node, in exactly its size. control-plane.md 1.4, 21 (22) */
static uint32_t hq_compose(const struct vmb_host *h, uint32_t node, uint8_t *msg, uint32_t *vp)
{
	const struct vmbi_host_reply *reply;

	VMBI_MEMSET(msg, 0, 196);
	*vp = h->message_vp;
	if (node == hq_connection_node(h)) {
		*vp = h->connection_vp;
		VMBI_MEMCPY(msg, h->connection_msg, h->connection_len);
		return h->connection_len;
	}
	if (node < hq_connection_node(h)) {
		const struct vmbi_hc *c = &h->ch[node];

		vmbi_put32(msg, c->wire);
		if (c->wire == VMBI_MSG_OFFER_CHANNEL)
			return hq_offer(h, c, msg);
		vmbi_put32(msg + VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id), c->id);
		return 12;
	}
	if (node <= hq_reply_node(h, 0)) {
		const struct vmbi_host_connect *q = &h->connect[node - hq_connect_node(h, 0)];

		vmbi_put32(msg, VMBI_MSG_TL_CONNECT_RESULT);
		VMBI_MEMCPY(msg + VMBI_AT(TL_CONNECT_RESULT, endpoint_id), q->guids, 32);
		vmbi_put32(msg + VMBI_AT(TL_CONNECT_RESULT, status), q->status);
		return 44;
	}
	reply = &h->reply[node - hq_reply_node(h, 0)];
	vmbi_put32(msg, reply->type);
	VMBI_MEMCPY(msg + 8, reply->body, reply->len);
	return 8 + reply->len;
}

/* ---- saving. control-plane.md 18 */

uint32_t vmbi_hq_look(const struct vmb_host *h, uint32_t node, uint8_t out[48], uint32_t *len, uint32_t *vp)
{
	uint8_t msg[196];

	node = node ? h->out_links[node].next : h->out.head;
	if (!node)
		return 0;
	*len = hq_compose(h, node, msg, vp);
	if (node < hq_connection_node(h)) { /* it is composed when it is sent */
		*len = 12;
		vmbi_put32(msg + VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id), h->ch[node].id);
	}
	VMBI_MEMSET(out, 0, 48);
	VMBI_MEMCPY(out, msg, *len);
	return node;
}

static int hq_load_channel(struct vmb_host *h, const uint8_t *msg, uint32_t len, uint32_t type)
{
	struct vmbi_hc *c = vmbi_host_named(h, vmbi_get32(msg + VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id)));

	if (len != 12 || !c || h->out_links[c->slot].in)
		return VMB_EINVAL;
	vmbi_hq_channel(h, c, type);
	return 0;
}

static int hq_load_connection(struct vmb_host *h, const uint8_t *msg, uint32_t len, uint32_t vp, uint32_t type)
{
	int ok = type == VMBI_MSG_UNLOAD_COMPLETE ? len == 8 : len == 16 || len == 20 || len == 40;

	if (!ok || h->out_links[hq_connection_node(h)].in)
		return VMB_EINVAL;
	vmbi_hq_connection(h, msg, len, vp);
	return 0;
}

/* Of 44 bytes: fewer are no such message, and more are none that is saved. */
static int hq_load_connect(struct vmb_host *h, const uint8_t *msg)
{
	uint32_t n = h->free_connect;

	if (!n)
		return VMB_ENOSPACE;
	h->free_connect = h->connect[n].next;
	h->connect[n].state = VMBI_CONNECT_RESULT;
	VMBI_MEMCPY(h->connect[n].guids, msg + VMBI_AT(TL_CONNECT_RESULT, endpoint_id), 32);
	h->connect[n].status = vmbi_get32(msg + VMBI_AT(TL_CONNECT_RESULT, status));
	vmbi_hq_connect_result(h, n);
	return 0;
}

static int hq_load_reply(struct vmb_host *h, const uint8_t *msg, uint32_t len, uint32_t type)
{
	if (!h->free_reply)
		return VMB_ENOSPACE;
	vmbi_hq_reply(h, type, vmbi_get32(msg + 8), vmbi_get32(msg + 12), vmbi_get32(msg + 16));
	if (type == VMBI_MSG_PAUSE_RESPONSE && h->paused) /* else the guest has resumed already, and it is a message like others */
		h->pause_node = h->out.tail;
	return 8 + h->reply[h->out.tail - hq_reply_node(h, 0)].len == len ? 0 : VMB_EINVAL;
}

int vmbi_hq_load(struct vmb_host *h, const uint8_t msg[48], uint32_t len, uint32_t vp)
{
	uint32_t type = vmbi_get32(msg);

	if (len < 8 || len > 44 || vmbi_get32(msg + 4))
		return VMB_EINVAL;
	for (uint32_t i = len; i < 48; i++)
		if (msg[i])
			return VMB_EINVAL;
	if (type == VMBI_MSG_VERSION_RESPONSE || type == VMBI_MSG_UNLOAD_COMPLETE)
		return vmbi_host_vp_ok(h, vp) ? hq_load_connection(h, msg, len, vp, type) : VMB_ENOSPACE;
	if (vp != h->message_vp || (h->state != VMB_BUS_CONNECTED && h->state != VMB_BUS_RUNNING))
		return VMB_EINVAL;
	if (type == VMBI_MSG_OFFER_CHANNEL || type == VMBI_MSG_RESCIND_CHANNEL_OFFER)
		return hq_load_channel(h, msg, len, type);
	if (type == VMBI_MSG_CLOSE_RESERVED_RESPONSE || vmb_message_check(msg, len, h->version, h->features, 0) < 0)
		return VMB_EINVAL;
	if (type == VMBI_MSG_TL_CONNECT_RESULT)
		return hq_load_connect(h, msg);
	return hq_load_reply(h, msg, len, type);
}

uint32_t vmbi_hq_replies(const struct vmb_host *h)
{
	uint32_t n = 0;

	for (uint32_t node = h->out.head; node; node = h->out_links[node].next)
		n += node > hq_reply_node(h, 0);
	return n;
}

/* ---- delivering */

void vmbi_hq_forget_all(struct vmb_host *h)
{
	while (h->out.head)
		hq_remove(h, h->out.head);
	h->blocked = 0;
}

void vmbi_hq_clear(struct vmb_host *h)
{
	uint8_t msg[196];

	for (uint32_t node = h->cfg.trace ? h->out.head : 0; node; node = h->out_links[node].next) {
		uint32_t vp, len = hq_compose(h, node, msg, &vp);

		vmbi_host_trace_message(h, VMB_TRACE_MESSAGE_OUT, msg, len, VMB_FATE_STATE, 0);
	}
	vmbi_hq_forget_all(h);
}

void vmbi_hq_pump(struct vmb_host *h)
{
	uint8_t msg[196];

	while (h->out.head && !h->blocked && (!h->paused || h->pause_node)) {
		uint32_t node = h->out.head, vp, len = hq_compose(h, node, msg, &vp);
		int r = h->cfg.message(h->cfg.ctx, vp, h->cfg.vtl, VMBI_SINT, msg, len);

		if (h->cfg.trace)
			vmbi_host_trace_message(h, VMB_TRACE_MESSAGE_OUT, msg, len, r < 0 ? VMB_FATE_AGAIN : VMB_FATE_TAKEN, (uint32_t)r);
		if (r < 0) {
			h->blocked = r == VMB_EAGAIN ? VMBI_BLOCKED_SLOT : VMBI_BLOCKED_ERROR;
			h->blocked_vp = vp;
			h->post_retries++;
			return;
		}
		hq_remove(h, node);
		h->messages_out++;
	}
}

int vmb_host_eom(struct vmb_host *h, uint32_t vp)
{
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	if (h->blocked_vp == vp)
		h->blocked = 0;
	vmbi_host_leave(h);
	return 0;
}
