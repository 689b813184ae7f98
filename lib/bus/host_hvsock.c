/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Hyper-V sockets: the guest asks for a connection to a service, the embedder answers by an offer or by a refusal. A channel that was offered
 * and is not opened in time is removed. control-plane.md 15
 */
#include "host.h"

#define HVSOCK_REFUSED 0xc0000236u /* control-plane.md 4 */
#define HVSOCK_MS 1000000u         /* nanoseconds */

void vmbi_hvsock_init(struct vmb_host *h)
{
	for (uint32_t i = h->connects; i; i--)
		vmbi_hvsock_free(h, i);
}

void vmbi_hvsock_free(struct vmb_host *h, uint32_t connect)
{
	h->connect[connect].state = VMBI_CONNECT_FREE;
	h->connect[connect].token = 0;
	h->connect[connect].next = h->free_connect;
	h->free_connect = connect;
}

/* A guest older than 4.1 finds out by itself. control-plane.md 15.1 */
static void hvsock_refuse(struct vmb_host *h, uint32_t connect, uint32_t status)
{
	struct vmbi_host_connect *q = &h->connect[connect];

	if (h->version < VMB_V4_1) {
		h->dropped++;
		vmbi_hvsock_free(h, connect);
		return;
	}
	q->state = VMBI_CONNECT_RESULT;
	q->status = status;
	vmbi_hq_connect_result(h, connect);
}

/* The two forms are told apart by size, at every version. control-plane.md 6.15 */
void vmbi_hvsock_message(struct vmb_host *h, const uint8_t *msg, uint32_t len)
{
	uint32_t connect = h->free_connect, asking = 0;
	struct vmbi_host_connect *q = &h->connect[connect];

	for (uint32_t i = 1; i <= h->connects; i++)
		asking += h->connect[i].state != VMBI_CONNECT_FREE && h->connect[i].state != VMBI_CONNECT_RESULT;
	h->free_connect = q->next;
	q->silo = len >= VMBI_AT(TL_CONNECT_REQUEST, silo_id) + 16;
	VMBI_MEMSET(q->guids, 0, sizeof q->guids);
	VMBI_MEMCPY(q->guids, msg + VMBI_AT(TL_CONNECT_REQUEST, endpoint_id), q->silo ? 48 : 32);
	if (asking >= h->cfg.max_hvsock || vmbi_guid_is_zero(q->guids + 16)) {
		h->refused_quota += asking >= h->cfg.max_hvsock && h->cfg.max_hvsock;
		h->fate = asking >= h->cfg.max_hvsock ? VMB_FATE_QUOTA : VMB_FATE_REFUSED;
		hvsock_refuse(h, connect, HVSOCK_REFUSED);
		return;
	}
	q->state = VMBI_CONNECT_ASKING;
	vmbi_he_connect(h, connect);
}

void vmbi_hvsock_leave(struct vmb_host *h)
{
	for (uint32_t i = 1; i <= h->connects; i++) {
		if (h->connect[i].state == VMBI_CONNECT_ASKED) {
			h->connect[i].state = VMBI_CONNECT_STALE;
		} else if (h->connect[i].state == VMBI_CONNECT_ASKING) {
			vmbi_he_connect_cancel(h, i);
			vmbi_hvsock_free(h, i);
		}
	}
}

uint32_t vmbi_hvsock_look(const struct vmb_host *h, uint32_t connect, uint8_t msg[48], uint32_t *len)
{
	while (h->version >= VMB_V4_1 && connect++ < h->connects) {
		const struct vmbi_host_connect *q = &h->connect[connect];

		if (q->state != VMBI_CONNECT_ASKING && q->state != VMBI_CONNECT_ASKED)
			continue;
		VMBI_MEMSET(msg, 0, 48);
		vmbi_put32(msg, VMBI_MSG_TL_CONNECT_RESULT);
		VMBI_MEMCPY(msg + VMBI_AT(TL_CONNECT_RESULT, endpoint_id), q->guids, 32);
		vmbi_put32(msg + VMBI_AT(TL_CONNECT_RESULT, status), HVSOCK_REFUSED);
		*len = 44;
		return connect;
	}
	return 0;
}

static uint32_t hvsock_find(const struct vmb_host *h, const struct vmb_event *question)
{
	uint32_t i = (uint32_t)question->token;

	return question->token && i <= h->connects && h->connect[i].token == question->token ? i : 0;
}

int vmbi_hvsock_answer(struct vmb_host *h, const struct vmb_event *question, uint32_t status)
{
	uint32_t i = hvsock_find(h, question);

	if (!i)
		return VMB_ENOENT;
	h->connect[i].token = 0;
	if (h->connect[i].state == VMBI_CONNECT_STALE) {
		vmbi_hvsock_free(h, i);
		return VMB_ENOENT;
	}
	if (status)
		hvsock_refuse(h, i, status == VMBI_FAILED ? HVSOCK_REFUSED : status);
	else
		vmbi_hvsock_free(h, i);
	return 0;
}

int vmb_host_hvsock(struct vmb_host *h, const struct vmb_event *question, struct vmb_hvsock *out)
{
	int r = question && out ? vmbi_host_enter(h) : VMB_EINVAL;
	uint32_t i;

	if (r)
		return r;
	i = hvsock_find(h, question);
	if (!i || h->connect[i].state != VMBI_CONNECT_ASKED) {
		r = VMB_ENOENT;
	} else {
		VMBI_MEMCPY(out, h->connect[i].guids, 48);
		out->flags = h->connect[i].silo ? VMB_HVSOCK_SILO : 0;
		out->reserved = 0;
	}
	vmbi_guard_leave(&h->guard);
	return r;
}

/* ---- time: all have equally long, so who was offered first is due first */

void vmbi_hvsock_watch(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!(c->offer_flags & VMB_OFFER_HVSOCK))
		return;
	c->deadline = 0;
	vmbi_fifo_append(&h->fresh, h->timed_links, c->slot);
	h->poke = 1;
}

void vmbi_hvsock_unwatch(struct vmb_host *h, struct vmbi_hc *c)
{
	vmbi_fifo_remove(c->deadline ? &h->unopened : &h->fresh, h->timed_links, c->slot);
	c->deadline = 0;
}

uint64_t vmbi_hvsock_time(struct vmb_host *h, uint64_t now)
{
	uint32_t slot;

	while ((slot = h->unopened.head) != 0 && h->ch[slot].deadline <= now) {
		struct vmbi_hc *c = &h->ch[slot];

		vmbi_hvsock_unwatch(h, c);
		c->gone_status = VMB_ETIMEDOUT;
		vmbi_host_remove(h, c);
	}
	while ((slot = h->fresh.head) != 0) {
		vmbi_fifo_remove(&h->fresh, h->timed_links, slot);
		h->ch[slot].deadline = now + (uint64_t)h->cfg.hvsock_ms * HVSOCK_MS;
		vmbi_fifo_append(&h->unopened, h->timed_links, slot);
	}
	return h->unopened.head ? h->ch[h->unopened.head].deadline : UINT64_MAX;
}
