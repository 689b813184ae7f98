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
	*connection = g->connection;
	if (node <= g->cfg.max_channels)
		return vmbi_guest_channel_message(g, &g->channels[node], out);
	if (node == VMBI_GUEST_NODE_CONNECTION(g))
		return vmbi_guest_connection_message(g, out, connection);
	if (node == VMBI_GUEST_NODE_DECLINER(g))
		return vmbi_guest_decline_message(g, out);
	return vmbi_guest_gpadl_message(g, &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)], out);
}

static void guest_post_outcome(struct vmb_guest *g, uint32_t node, int outcome, uint32_t status)
{
	if (node <= g->cfg.max_channels)
		vmbi_guest_channel_posted(g, &g->channels[node], outcome, status);
	else if (node == VMBI_GUEST_NODE_CONNECTION(g))
		vmbi_guest_connection_posted(g, outcome, status);
	else if (node == VMBI_GUEST_NODE_DECLINER(g))
		vmbi_guest_decline_posted(g, outcome);
	else
		vmbi_guest_gpadl_posted(g, &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)], outcome);
}

/* Is this status worth another try? That a connection does not exist is an answer only to the first message of all. */
static int guest_post_is_busy(int status, const uint8_t *msg)
{
	switch (status) {
	case VMB_HV_NO_MEMORY:
	case VMB_HV_NO_BUFFERS:
	case VMB_HV_TIMEOUT:
		return 1;
	case VMB_HV_INVALID_CONNECTION:
		return vmbi_get32(msg) != VMBI_MSG_INITIATE_CONTACT;
	default:
		return 0;
	}
}

static void guest_post_next(struct vmb_guest *g)
{
	vmbi_fifo_remove(&g->post, g->post_links, g->post.head);
	g->tries = 0;
}

void vmbi_guest_post(struct vmb_guest *g)
{
	uint8_t msg[VMB_MESSAGE_MAX];

	while (g->post.head && !g->held) {
		uint32_t node = g->post.head, connection;
		uint32_t len = guest_post_message(g, node, msg, &connection);
		int status;

		if (!len) { /* it has lost its sense meanwhile */
			guest_post_next(g);
			continue;
		}
		status = g->cfg.post(g->cfg.ctx, connection, msg, len);
		if (guest_post_is_busy(status, msg) && ++g->tries < VMBI_GUEST_TRIES) {
			g->post_retries++;
			g->held = 1;
			g->retry_at = 0;
			g->poke = 1;
			if (status == VMB_HV_TIMEOUT)
				guest_post_outcome(g, node, VMBI_GUEST_MAYBE, VMB_HV_TIMEOUT);
			return;
		}
		guest_post_next(g);
		if (status == VMB_HV_SUCCESS) {
			g->messages_out++;
			guest_post_outcome(g, node, VMBI_GUEST_SENT, 0);
		} else {
			guest_post_outcome(g, node, VMBI_GUEST_FAILED, (uint32_t)status);
		}
	}
}
