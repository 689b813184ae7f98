/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What is asked of a living connection beside its channels: other monitor pages and quiet (control-plane.md 13), sockets (15), and the end of
 * a reserved channel that somebody else has left open (10.5).
 */
#include "guest.h"

/* ---- other monitor pages, pause, resume: one at a time, until its event was given out */

/* 0: this may be asked now. */
static int guest_request_may(const struct vmb_guest *g, uint32_t feature)
{
	uint32_t untold = g->marks[VMBI_GUEST_NODE_CONNECTION(g)] & (VMBI_GE_MONITOR | VMBI_GE_PAUSED);

	if (g->state != VMB_BUS_CONNECTED && g->state != VMB_BUS_RUNNING)
		return VMB_ESTATE;
	if (!(g->features & feature))
		return VMB_EVERSION;
	return g->send || g->asking || g->paused || untold ? VMB_ESTATE : 0;
}

static int guest_request_uses_monitor(const struct vmb_guest *g)
{
	for (uint32_t i = 1; i <= g->slots_used; i++)
		if (g->channels[i].state != VMBI_GC_IDLE && g->channels[i].signal_monitor)
			return 1;
	return 0;
}

static int guest_request_monitor(struct vmb_guest *g, const uint64_t gpa[2], void *const page[2])
{
	int r = vmbi_guest_check_monitor(gpa, page);

	if (r >= 0)
		r = guest_request_may(g, VMB_FEATURE_MODIFY_CONNECTION);
	if (r < 0)
		return r;
	if (g->features & VMB_FEATURE_SERVER_MONITOR || guest_request_uses_monitor(g))
		return VMB_ESTATE;
	for (uint32_t i = 0; i < 2; i++) {
		g->new_gpa[i] = gpa[i];
		g->new_page[i] = page[i];
		if (page[i])
			VMBI_CLEAR(page[i], VMB_PAGE);
	}
	vmbi_guest_connection_send(g, VMBI_MSG_MODIFY_CONNECTION);
	return 0;
}

int vmb_guest_monitor(struct vmb_guest *g, const uint64_t gpa[2], void *const page[2])
{
	int r = gpa && page ? vmbi_guest_enter(g) : VMB_EINVAL;

	return r < 0 ? r : vmbi_guest_leave(g, guest_request_monitor(g, gpa, page));
}

int vmb_guest_pause(struct vmb_guest *g)
{
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	r = guest_request_may(g, VMB_FEATURE_PAUSE);
	if (!r)
		vmbi_guest_connection_send(g, VMBI_MSG_PAUSE);
	return vmbi_guest_leave(g, r);
}

int vmb_guest_resume(struct vmb_guest *g)
{
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	if (!g->paused || g->asking || g->send)
		return vmbi_guest_leave(g, VMB_ESTATE);
	vmbi_guest_connection_send(g, VMBI_MSG_RESUME);
	return vmbi_guest_leave(g, 0);
}

uint32_t vmbi_guest_request_message(struct vmb_guest *g, uint8_t *out)
{
	int len = vmb_message_init(out, VMB_MESSAGE_MAX, g->send, g->version, g->features);

	if (g->send == VMBI_MSG_MODIFY_CONNECTION) {
		vmbi_put64(out + VMBI_AT(MODIFY_CONNECTION, parent_to_child_page), g->new_gpa[0]);
		vmbi_put64(out + VMBI_AT(MODIFY_CONNECTION, child_to_parent_page), g->new_gpa[1]);
	}
	return (uint32_t)len;
}

/* Pages that the host may have, or not: none are used. */
static void guest_request_monitor_done(struct vmb_guest *g, int32_t status, uint32_t said)
{
	for (uint32_t i = 0; i < 2; i++) {
		g->monitor_gpa[i] = status ? 0 : g->new_gpa[i];
		g->monitor_page[i] = status ? NULL : g->new_page[i];
	}
	g->monitor_status = status;
	g->monitor_said = said;
	vmbi_guest_connection_mark(g, VMBI_GE_MONITOR);
}

static void guest_request_paused(struct vmb_guest *g, int32_t status)
{
	g->pause_status = status;
	vmbi_guest_connection_mark(g, VMBI_GE_PAUSED);
}

static void guest_request_failed(struct vmb_guest *g, uint32_t type, int32_t status, uint32_t said)
{
	if (type == VMBI_MSG_MODIFY_CONNECTION)
		guest_request_monitor_done(g, status, said);
	else if (type == VMBI_MSG_PAUSE)
		guest_request_paused(g, status);
}

void vmbi_guest_request_posted(struct vmb_guest *g, uint32_t type, int outcome, uint32_t status)
{
	if (type == VMBI_MSG_RESUME) {
		if (outcome == VMBI_GUEST_MAYBE || (outcome == VMBI_GUEST_FAILED && g->state != VMB_BUS_LEAVING))
			return; /* it may be asked for again; but who leaves has only this try */
		g->paused = 0;
		vmbi_guest_wait_again(g);
		return;
	}
	if (outcome == VMBI_GUEST_FAILED) {
		g->asking = 0;
		g->paused = 0;
		guest_request_failed(g, type, VMB_EPLATFORM, status);
		return;
	}
	g->asking = type;
	g->paused = type == VMBI_MSG_PAUSE;
	if (outcome == VMBI_GUEST_SENT)
		vmbi_guest_clock(g, g->cfg.reply_ms);
}

static int guest_request_answered(struct vmb_guest *g, uint32_t type)
{
	if (g->asking != type)
		return 0;
	g->asking = 0;
	if (g->send == type) /* should it be waiting to be repeated */
		g->send = 0;
	vmbi_guest_clock(g, 0);
	return 1;
}

int vmbi_guest_on_paused(struct vmb_guest *g)
{
	if (!guest_request_answered(g, VMBI_MSG_PAUSE))
		return 0;
	guest_request_paused(g, 0);
	return 1;
}

int vmbi_guest_on_monitor(struct vmb_guest *g, const uint8_t *msg)
{
	uint32_t said = msg[VMBI_AT(MODIFY_CONNECTION_RESPONSE, connection_state)];

	if (!guest_request_answered(g, VMBI_MSG_MODIFY_CONNECTION))
		return 0;
	guest_request_monitor_done(g, said ? VMB_EREFUSED : 0, said);
	return 1;
}

void vmbi_guest_request_timeout(struct vmb_guest *g)
{
	uint32_t type = g->asking;

	g->asking = 0;
	vmbi_guest_clock(g, 0);
	guest_request_failed(g, type, VMB_ETIMEDOUT, 0);
}

/* ---- sockets */

static uint32_t guest_request_node(const struct vmb_guest *g, const struct vmbi_gs *s)
{
	return VMBI_GUEST_NODE_CONNECT(g, (uint32_t)(s - g->connects));
}

static void guest_request_connect_done(struct vmb_guest *g, struct vmbi_gs *s, int32_t status, uint32_t said)
{
	uint32_t node = guest_request_node(g, s);

	vmbi_guest_unwait(g, node);
	s->state = VMBI_GS_DONE;
	s->status = status;
	s->said = said;
	vmbi_guest_mark(g, node, VMBI_GE_GONE);
}

void vmbi_guest_connect_told(struct vmb_guest *g, struct vmbi_gs *s)
{
	s->state = VMBI_GS_FREE;
	s->next = g->free_connect;
	g->free_connect = (uint32_t)(s - g->connects);
}

static struct vmbi_gs *guest_request_connect_find(struct vmb_guest *g, const void *endpoint, const void *service)
{
	for (uint32_t k = 1; k <= g->cfg.max_hvsock; k++) {
		struct vmbi_gs *s = &g->connects[k];

		if ((s->state == VMBI_GS_SENT || s->state == VMBI_GS_QUEUED) && !VMBI_MEMCMP(&s->endpoint, endpoint, 16) &&
		    !VMBI_MEMCMP(&s->service, service, 16))
			return s;
	}
	return NULL;
}

static int guest_request_connect(struct vmb_guest *g, const struct vmb_hvsock *socket, uint64_t user)
{
	struct vmbi_gs *s;

	if (socket->flags || socket->reserved || vmbi_guid_is_zero(&socket->service))
		return VMB_EINVAL;
	if (g->state != VMB_BUS_CONNECTED && g->state != VMB_BUS_RUNNING)
		return VMB_ESTATE;
	if (g->version < VMB_V4_0)
		return VMB_EVERSION;
	if (guest_request_connect_find(g, &socket->endpoint, &socket->service))
		return VMB_EINVAL;
	if (!g->free_connect)
		return VMB_ENOSPACE;
	s = &g->connects[g->free_connect];
	g->free_connect = s->next;
	*s = (struct vmbi_gs){ .endpoint = socket->endpoint, .service = socket->service, .silo = socket->silo, .user = user,
			       .state = VMBI_GS_QUEUED };
	vmbi_guest_queue(g, guest_request_node(g, s));
	return 0;
}

int vmb_guest_hvsock(struct vmb_guest *g, const struct vmb_hvsock *socket, uint64_t user)
{
	int r = socket ? vmbi_guest_enter(g) : VMB_EINVAL;

	return r < 0 ? r : vmbi_guest_leave(g, guest_request_connect(g, socket, user));
}

uint32_t vmbi_guest_connect_message(struct vmb_guest *g, struct vmbi_gs *s, uint8_t *out)
{
	int len;

	if (s->state != VMBI_GS_QUEUED)
		return 0;
	len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_TL_CONNECT_REQUEST, g->version, g->features);
	VMBI_MEMCPY(out + VMBI_AT(TL_CONNECT_REQUEST, endpoint_id), &s->endpoint, 16);
	VMBI_MEMCPY(out + VMBI_AT(TL_CONNECT_REQUEST, service_id), &s->service, 16);
	if (g->version >= VMB_V5_2)
		VMBI_MEMCPY(out + VMBI_AT(TL_CONNECT_REQUEST, silo_id), &s->silo, 16);
	return (uint32_t)len;
}

void vmbi_guest_connect_posted(struct vmb_guest *g, struct vmbi_gs *s, int outcome, uint32_t status)
{
	if (outcome == VMBI_GUEST_FAILED) {
		guest_request_connect_done(g, s, VMB_EPLATFORM, status);
	} else if (outcome == VMBI_GUEST_SENT) {
		s->state = VMBI_GS_SENT;
		vmbi_guest_wait(g, guest_request_node(g, s));
	}
}

void vmbi_guest_connect_timeout(struct vmb_guest *g, struct vmbi_gs *s)
{
	guest_request_connect_done(g, s, VMB_ETIMEDOUT, 0);
}

/* It is a refusal: success is an offer. control-plane.md 15.1 */
int vmbi_guest_on_connect_result(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gs *s = guest_request_connect_find(g, msg + VMBI_AT(TL_CONNECT_RESULT, endpoint_id),
						       msg + VMBI_AT(TL_CONNECT_RESULT, service_id));
	uint32_t status = vmbi_get32(msg + VMBI_AT(TL_CONNECT_RESULT, status));

	if (!s || !(status >> 31))
		return 0;
	guest_request_connect_done(g, s, VMB_EREFUSED, status);
	return 1;
}

uint32_t vmbi_guest_connect_offered(struct vmb_guest *g, const struct vmb_offer *o)
{
	struct vmb_hvsock socket;
	struct vmbi_gs *s;

	if (vmb_hvsock_of(o, &socket) < 0 || socket.flags & VMB_HVSOCK_TO_GUEST)
		return 0;
	s = guest_request_connect_find(g, &socket.endpoint, &socket.service);
	if (!s)
		return 0;
	vmbi_guest_unwait(g, guest_request_node(g, s));
	s->state = VMBI_GS_OFFERED;
	return (uint32_t)(s - g->connects);
}

void vmbi_guest_connect_lost(struct vmb_guest *g, uint32_t connect)
{
	if (connect)
		guest_request_connect_done(g, &g->connects[connect], VMB_ERESCINDED, 0);
}

/* ---- a reserved channel of somebody else */

static void guest_request_closed(struct vmb_guest *g, int32_t status)
{
	uint32_t node = VMBI_GUEST_NODE_CLOSER(g);

	vmbi_guest_unwait(g, node);
	g->closer.id = g->closer.out = 0;
	g->closer_status = status;
	vmbi_guest_mark(g, node, VMBI_GE_GONE);
}

static int guest_request_close(struct vmb_guest *g, uint32_t id, uint32_t vp, uint32_t sint)
{
	uint32_t node = VMBI_GUEST_NODE_CLOSER(g);

	if (!id || id > VMBI_MAX_CHANNEL_ID || sint > 15)
		return VMB_EINVAL;
	if (g->closer.id || g->marks[node] || vmbi_guest_map_get(g, g->ids, id))
		return VMB_ESTATE;
	g->closer.id = id;
	g->closer.vp = vp;
	g->closer.sint = sint;
	vmbi_guest_queue(g, node);
	return 0;
}

int vmb_guest_close_reserved(struct vmb_guest *g, uint32_t channel_id, uint32_t vp, uint32_t sint)
{
	int r = vmbi_guest_enter(g);

	return r < 0 ? r : vmbi_guest_leave(g, guest_request_close(g, channel_id, vp, sint));
}

uint32_t vmbi_guest_closer_message(struct vmb_guest *g, uint8_t *out)
{
	if (!g->closer.id)
		return 0;
	return vmbi_guest_close_reserved_message(out, g->closer.id, g->closer.vp, g->closer.sint);
}

uint32_t vmbi_guest_close_reserved_message(uint8_t *out, uint32_t id, uint32_t vp, uint32_t sint)
{
	int len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_CLOSE_RESERVED_CHANNEL, 0, 0);

	vmbi_put32(out + VMBI_AT(CLOSE_RESERVED_CHANNEL, channel_id), id);
	vmbi_put32(out + VMBI_AT(CLOSE_RESERVED_CHANNEL, target_vp), vp);
	vmbi_put32(out + VMBI_AT(CLOSE_RESERVED_CHANNEL, target_sint), sint);
	return (uint32_t)len;
}

void vmbi_guest_closer_posted(struct vmb_guest *g, int outcome)
{
	if (outcome == VMBI_GUEST_FAILED) {
		guest_request_closed(g, VMB_EPLATFORM);
		return;
	}
	g->closer.out = 1;
	if (outcome == VMBI_GUEST_SENT)
		vmbi_guest_wait(g, VMBI_GUEST_NODE_CLOSER(g));
}

void vmbi_guest_closer_timeout(struct vmb_guest *g)
{
	guest_request_closed(g, VMB_ETIMEDOUT);
}

int vmbi_guest_on_closer(struct vmb_guest *g, uint32_t id)
{
	if (!g->closer.out || g->closer.id != id)
		return 0;
	guest_request_closed(g, 0);
	return 1;
}

/* ---- the end */

void vmbi_guest_requests_end(struct vmb_guest *g)
{
	uint32_t node = VMBI_GUEST_NODE_CONNECTION(g);

	vmbi_guest_unmark(g, node, VMBI_GE_MONITOR | VMBI_GE_PAUSED);
	g->asking = g->paused = 0;
	for (uint32_t i = 0; i < 2; i++) {
		g->monitor_gpa[i] = 0;
		g->monitor_page[i] = NULL;
	}
	for (uint32_t k = 1; k <= g->cfg.max_hvsock; k++)
		if (g->connects[k].state == VMBI_GS_QUEUED || g->connects[k].state == VMBI_GS_SENT)
			guest_request_connect_done(g, &g->connects[k], VMB_ERESCINDED, 0);
}
