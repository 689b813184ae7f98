/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Messages on their way to the host. The queue holds objects that have something to say. The first one is asked for its
 * message; a busy hypervisor holds it and all behind it up until a poll finds that it is time to try again. control-plane.md
 * 1.2
 */
#include "guest.h"

#define GUEST_POST_SHORTEST 1000000u /* nanoseconds */
#define GUEST_POST_DOUBLINGS 8u      /* up to 256 ms */

void vmbi_guest_queue(struct vmb_guest *g, uint32_t node)
{
	vmbi_fifo_append(&g->post, g->post_links, node);
}

uint64_t vmbi_guest_retry_delay(const struct vmb_guest *g)
{
	uint32_t n = g->tries - 1;

	return GUEST_POST_SHORTEST << (n < GUEST_POST_DOUBLINGS ? n : GUEST_POST_DOUBLINGS);
}

static uint32_t guest_post_message(struct vmb_guest *g, uint32_t node, uint8_t *out, uint32_t *connection)
{
	*connection = g->connection ? g->connection : VMBI_CONNECTION_LEGACY; /* CLOSE_RESERVED may come before any contact */
	if (node <= g->cfg.max_channels)
		return vmbi_guest_channel_message(g, &g->channels[node], out);
	if (node == VMBI_GUEST_NODE_CONNECTION(g))
		return vmbi_guest_connection_message(g, out, connection);
	if (node == VMBI_GUEST_NODE_DECLINER(g))
		return vmbi_guest_decline_message(g, out);
	if (node == VMBI_GUEST_NODE_CLOSER(g))
		return vmbi_guest_closer_message(g, out);
	if (node > VMBI_GUEST_NODE_CONNECT(g, 0))
		return vmbi_guest_connect_message(g, &g->connects[node - VMBI_GUEST_NODE_CONNECT(g, 0)], out);
	return vmbi_guest_gpadl_message(g, &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)], out);
}

int vmbi_guest_post_has(struct vmb_guest *g, uint32_t node, uint8_t *msg)
{
	uint32_t connection;

	return guest_post_message(g, node, msg, &connection) != 0;
}

static void guest_post_outcome(struct vmb_guest *g, uint32_t node, int outcome, uint32_t status)
{
	if (node <= g->cfg.max_channels)
		vmbi_guest_channel_posted(g, &g->channels[node], outcome, status);
	else if (node == VMBI_GUEST_NODE_CONNECTION(g))
		vmbi_guest_connection_posted(g, outcome, status);
	else if (node == VMBI_GUEST_NODE_DECLINER(g))
		vmbi_guest_decline_posted(g, outcome);
	else if (node == VMBI_GUEST_NODE_CLOSER(g))
		vmbi_guest_closer_posted(g, outcome);
	else if (node > VMBI_GUEST_NODE_CONNECT(g, 0))
		vmbi_guest_connect_posted(g, &g->connects[node - VMBI_GUEST_NODE_CONNECT(g, 0)], outcome, status);
	else
		vmbi_guest_gpadl_posted(g, &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)], outcome);
}

/* That a connection does not exist is an answer only to the first message of all. */
int vmbi_guest_is_busy(int status, uint32_t type)
{
	switch (status) {
	case VMB_HV_NO_MEMORY:
	case VMB_HV_NO_BUFFERS:
	case VMB_HV_TIMEOUT:
		return 1;
	case VMB_HV_INVALID_CONNECTION:
		return type != VMBI_MSG_INITIATE_CONTACT;
	default:
		return 0;
	}
}

static void guest_post_done(struct vmb_guest *g, uint32_t node)
{
	vmbi_fifo_remove(&g->post, g->post_links, node);
	g->tries = 0;
}

/* Whose turn it is; 0: nobody's. While paused only the connection may speak. control-plane.md 13 */
static uint32_t guest_post_turn(const struct vmb_guest *g)
{
	uint32_t connection = VMBI_GUEST_NODE_CONNECTION(g);

	if (g->paused)
		return g->post_links[connection].in ? connection : 0;
	return g->post.head;
}

static uint32_t guest_post_fate(int status, int again)
{
	if (again)
		return VMB_FATE_AGAIN;
	return status == VMB_HV_SUCCESS ? VMB_FATE_TAKEN : VMB_FATE_LOST;
}

void vmbi_guest_post(struct vmb_guest *g)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t node;

	while (!g->held && (node = guest_post_turn(g)) != 0) {
		uint32_t connection, len = guest_post_message(g, node, msg, &connection);
		int status, again;

		if (!len) { /* it has lost its sense meanwhile */
			guest_post_done(g, node);
			continue;
		}
		status = g->cfg.post(g->cfg.ctx, connection, msg, len);
		again = vmbi_guest_is_busy(status, vmbi_get32(msg)) && ++g->tries < VMBI_GUEST_TRIES;
		if (g->cfg.trace)
			vmbi_guest_trace_message(g, VMB_TRACE_MESSAGE_OUT, msg, len, guest_post_fate(status, again), (uint32_t)status);
		if (again) {
			g->post_retries++;
			g->held = 1;
			g->retry_at = 0;
			g->poke = 1;
			if (status == VMB_HV_TIMEOUT)
				guest_post_outcome(g, node, VMBI_GUEST_MAYBE, VMB_HV_TIMEOUT);
			return;
		}
		guest_post_done(g, node);
		if (status == VMB_HV_SUCCESS) {
			g->messages_out++;
			guest_post_outcome(g, node, VMBI_GUEST_SENT, 0);
		} else {
			g->post_failed++;
			guest_post_outcome(g, node, VMBI_GUEST_FAILED, (uint32_t)status);
		}
	}
}
