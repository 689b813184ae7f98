/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The guest's messages: the hypercall's input, back-pressure, and who handles which type in which state. control-plane.md 1.2,
 * 1.4, 17 */
#include "host.h"

#define HOST_POST_HEADER 16u /* of the hypercall's input */
#define HOST_POST_TYPE 1u    /* VMBus's message type of the hypervisor */

/* The states of the connection in which a type is accepted. control-plane.md 17.1 */
#define HOST_IN(state) (uint8_t)(1u << (state))
#define HOST_IN_CONNECTED (HOST_IN(VMB_BUS_CONNECTED) | HOST_IN(VMB_BUS_RUNNING))

static const uint8_t host_accepts[VMBI_MSG_COUNT] = {
	[VMBI_MSG_INITIATE_CONTACT] = HOST_IN(VMB_BUS_NONE) | HOST_IN_CONNECTED | HOST_IN(VMB_BUS_LEAVING),
	[VMBI_MSG_REQUEST_OFFERS] = HOST_IN(VMB_BUS_CONNECTED),
	[VMBI_MSG_OPEN_CHANNEL] = HOST_IN_CONNECTED,
	[VMBI_MSG_CLOSE_CHANNEL] = HOST_IN_CONNECTED,
	[VMBI_MSG_GPADL_HEADER] = HOST_IN_CONNECTED,
	[VMBI_MSG_GPADL_BODY] = HOST_IN_CONNECTED,
	[VMBI_MSG_GPADL_TEARDOWN] = HOST_IN_CONNECTED,
	[VMBI_MSG_REL_ID_RELEASED] = HOST_IN_CONNECTED,
	[VMBI_MSG_UNLOAD] = HOST_IN_CONNECTED,
	[VMBI_MSG_TL_CONNECT_REQUEST] = HOST_IN_CONNECTED,
	[VMBI_MSG_MODIFY_CHANNEL] = HOST_IN_CONNECTED,
	[VMBI_MSG_OPEN_RESERVED_CHANNEL] = HOST_IN_CONNECTED,
	[VMBI_MSG_CLOSE_RESERVED_CHANNEL] = HOST_IN(VMB_BUS_NONE) | HOST_IN_CONNECTED | HOST_IN(VMB_BUS_LEAVING),
	[VMBI_MSG_MODIFY_CONNECTION] = HOST_IN_CONNECTED,
	[VMBI_MSG_PAUSE] = HOST_IN_CONNECTED,
	[VMBI_MSG_RESUME] = HOST_IN_CONNECTED,
};

static int host_post_accepts(const struct vmb_host *h, uint32_t type)
{
	if (h->paused && type != VMBI_MSG_RESUME && type != VMBI_MSG_UNLOAD && type != VMBI_MSG_INITIATE_CONTACT)
		return 0;
	return host_accepts[type] & HOST_IN(h->state);
}

/* Messages about one channel that the guest may name; unknown ids were sorted out before. */
static void host_post_channel(struct vmb_host *h, uint32_t type, const uint8_t *msg)
{
	uint32_t id = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, channel_id)); /* the same place in all */
	struct vmbi_hc *c = type == VMBI_MSG_CLOSE_RESERVED_CHANNEL ? vmbi_host_named(h, id) : vmbi_host_known(h, id);

	if (!c)
		vmbi_host_drop(h, VMB_FATE_UNKNOWN);
	else if (type == VMBI_MSG_OPEN_CHANNEL)
		vmbi_host_open_message(h, c, msg);
	else if (type == VMBI_MSG_CLOSE_CHANNEL)
		vmbi_host_close_message(h, c);
	else if (type == VMBI_MSG_OPEN_RESERVED_CHANNEL)
		vmbi_reserved_open(h, c, msg);
	else if (type == VMBI_MSG_CLOSE_RESERVED_CHANNEL)
		vmbi_reserved_close(h, c, msg);
	else
		vmbi_host_released(h, c);
}

static void host_post_dispatch(struct vmb_host *h, uint32_t connection, const uint8_t *msg, uint32_t len, uint32_t trusted)
{
	uint32_t type;
	int r = vmb_message_check(msg, len, h->version, h->features, 1);

	if ((h->trusted && !trusted) || r < 0) {
		vmbi_host_drop(h, r < 0 ? vmbi_fate_of(r, h->version) : VMB_FATE_UNTRUSTED);
		return;
	}
	type = vmbi_get32(msg);
	if (!host_post_accepts(h, type)) {
		vmbi_host_drop(h, VMB_FATE_STATE);
		return;
	}
	switch (type) {
	case VMBI_MSG_INITIATE_CONTACT:
		vmbi_host_contact(h, msg, connection, trusted);
		break;
	case VMBI_MSG_UNLOAD:
		vmbi_host_unload(h);
		break;
	case VMBI_MSG_REQUEST_OFFERS:
		vmbi_host_request_offers(h);
		break;
	case VMBI_MSG_GPADL_HEADER:
		vmbi_host_gpadl_header(h, msg, len);
		break;
	case VMBI_MSG_GPADL_BODY:
		vmbi_host_gpadl_body(h, msg, len);
		break;
	case VMBI_MSG_GPADL_TEARDOWN:
		vmbi_host_gpadl_teardown(h, msg);
		break;
	case VMBI_MSG_MODIFY_CHANNEL:
		vmbi_host_modify_message(h, msg);
		break;
	case VMBI_MSG_TL_CONNECT_REQUEST:
		vmbi_hvsock_message(h, msg, len);
		break;
	case VMBI_MSG_MODIFY_CONNECTION:
		vmbi_monitor_message(h, msg);
		break;
	case VMBI_MSG_PAUSE:
		vmbi_host_pause(h);
		break;
	case VMBI_MSG_RESUME:
		vmbi_host_resume(h);
		break;
	default:
		host_post_channel(h, type, msg);
		break;
	}
}

/* A new owner of the guest can always make contact and an old one can always leave: what is queued is for nobody then, and
 * their one answer has its own place. So a slot that nobody empties any more cannot lock out a crash kernel. RESUME has no answer. */
static int host_post_always(const uint8_t *msg, uint32_t len)
{
	uint32_t type = len >= 8 ? vmbi_get32(msg) : 0;

	return type == VMBI_MSG_INITIATE_CONTACT || type == VMBI_MSG_UNLOAD || type == VMBI_MSG_RESUME;
}

int vmbi_host_is_port(const struct vmb_host *h, uint32_t connection)
{
	return connection == VMBI_CONNECTION_LEGACY || connection == VMBI_CONNECTION_MULTICLIENT ||
	       (connection == VMBI_CONNECTION_REDIRECTED && h->cfg.vtl == VMBI_REDIRECT_VTL);
}

/* More than can be taken now: it must come again. */
static int host_post_is_too_much(const struct vmb_host *h, const uint8_t *msg, uint32_t len)
{
	uint32_t type = len >= 8 ? vmbi_get32(msg) : 0;

	if (type == VMBI_MSG_TL_CONNECT_REQUEST && !vmbi_hvsock_room(h))
		return 1;
	return vmbi_hq_full(h) && !host_post_always(msg, len);
}

/* One message, taken or not: its fate, and what the hypercall says. */
static int host_post_one(struct vmb_host *h, uint32_t connection, const uint8_t *msg, uint32_t len, uint32_t trusted)
{
	uint32_t state = h->state;

	h->fate = VMB_FATE_TAKEN;
	if (h->state == VMB_BUS_RESETTING || host_post_is_too_much(h, msg, len)) {
		h->fate = VMB_FATE_AGAIN;
	} else {
		h->messages_in++;
		host_post_dispatch(h, connection, msg, len, trusted);
	}
	h->fates[h->fate]++;
	if (h->cfg.trace)
		vmbi_host_trace_message(h, VMB_TRACE_MESSAGE_IN, msg, len, h->fate, state);
	return h->fate == VMB_FATE_AGAIN ? VMB_HV_NO_BUFFERS : VMB_HV_SUCCESS;
}

static int host_post(struct vmb_host *h, const void *input, uint32_t len, uint32_t trusted)
{
	const uint8_t *in = input;
	uint32_t connection, bytes;
	int r;

	if (!h || !in || len > HOST_POST_HEADER + VMB_MESSAGE_MAX)
		return VMB_EINVAL;
	if (len < HOST_POST_HEADER)
		return VMB_HV_INVALID_PARAMETER;
	connection = vmbi_get32(in);
	bytes = vmbi_get32(in + 12);
	if (!vmbi_host_is_port(h, connection))
		return VMB_HV_INVALID_CONNECTION;
	if (vmbi_get32(in + 8) != HOST_POST_TYPE || bytes > len - HOST_POST_HEADER)
		return VMB_HV_INVALID_PARAMETER;
	r = vmbi_host_enter(h);
	if (r)
		return r;
	r = host_post_one(h, connection, in + HOST_POST_HEADER, bytes, trusted);
	vmbi_host_leave(h);
	return r;
}

int vmb_host_post(struct vmb_host *h, const void *input, uint32_t len)
{
	return host_post(h, input, len, 0);
}

int vmb_host_post_trusted(struct vmb_host *h, const void *input, uint32_t len)
{
	return host_post(h, input, len, h && h->cfg.flags & VMB_HOST_TRUSTED);
}
