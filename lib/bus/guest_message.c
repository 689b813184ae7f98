/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What the host says: out of the slot, checked, and to the one who waits for it. The table of control-plane.md 19 says in which
 * state of the connection a message may be looked at; everything else is dropped and counted, and so is an answer to nothing.
 */
#include "guest.h"

#define GUEST_ON_CONTACT 0x1u  /* allowed while negotiating */
#define GUEST_ON_OFFERING 0x2u /* between REQUEST_OFFERS and the end of offers */
#define GUEST_ON_RUNNING 0x4u
#define GUEST_ON_LEAVING 0x8u  /* before UNLOAD: channels are being closed */
#define GUEST_ON_UNLOADING 0x10u
#define GUEST_ON_NONE 0x20u
#define GUEST_ON_ANY 0x3fu
#define GUEST_ON_LIVE (GUEST_ON_OFFERING | GUEST_ON_RUNNING | GUEST_ON_LEAVING)

/* By type. Messages for which this end never asks are not looked at. */
static const uint8_t guest_message_when[VMBI_MSG_COUNT] = {
	[VMBI_MSG_OFFER_CHANNEL] = GUEST_ON_OFFERING | GUEST_ON_RUNNING,
	[VMBI_MSG_RESCIND_CHANNEL_OFFER] = GUEST_ON_LIVE,
	[VMBI_MSG_ALL_OFFERS_DELIVERED] = GUEST_ON_OFFERING,
	[VMBI_MSG_OPEN_CHANNEL_RESULT] = GUEST_ON_LIVE,
	[VMBI_MSG_GPADL_CREATED] = GUEST_ON_LIVE,
	[VMBI_MSG_GPADL_TORNDOWN] = GUEST_ON_LIVE,
	[VMBI_MSG_VERSION_RESPONSE] = GUEST_ON_CONTACT,
	[VMBI_MSG_UNLOAD_COMPLETE] = GUEST_ON_UNLOADING,
	[VMBI_MSG_MODIFY_CHANNEL_RESPONSE] = GUEST_ON_LIVE,
	[VMBI_MSG_TL_CONNECT_RESULT] = GUEST_ON_LIVE,
	[VMBI_MSG_MODIFY_CONNECTION_RESPONSE] = GUEST_ON_LIVE,
	[VMBI_MSG_PAUSE_RESPONSE] = GUEST_ON_LIVE,
	[VMBI_MSG_CLOSE_RESERVED_RESPONSE] = GUEST_ON_ANY, /* what it closes outlives connections */
};

static const uint8_t guest_message_state[] = {
	[VMB_BUS_NONE] = GUEST_ON_NONE,
	[VMB_BUS_CONNECTING] = GUEST_ON_CONTACT, [VMB_BUS_CONNECTED] = GUEST_ON_OFFERING, [VMB_BUS_RUNNING] = GUEST_ON_RUNNING,
	[VMB_BUS_LEAVING] = GUEST_ON_LEAVING,    [VMBI_GUEST_UNLOADING] = GUEST_ON_UNLOADING,
};

static int guest_message_is_answer(uint32_t type)
{
	switch (type) {
	case VMBI_MSG_OPEN_CHANNEL_RESULT:
	case VMBI_MSG_GPADL_CREATED:
	case VMBI_MSG_GPADL_TORNDOWN:
	case VMBI_MSG_MODIFY_CHANNEL_RESPONSE:
	case VMBI_MSG_TL_CONNECT_RESULT:
	case VMBI_MSG_MODIFY_CONNECTION_RESPONSE:
	case VMBI_MSG_PAUSE_RESPONSE:
	case VMBI_MSG_CLOSE_RESERVED_RESPONSE:
		return 1;
	default:
		return 0;
	}
}

/* 1: it was for somebody. */
static int guest_message_handle(struct vmb_guest *g, uint32_t type, const uint8_t *msg)
{
	switch (type) {
	case VMBI_MSG_OFFER_CHANNEL:
		return vmbi_guest_on_offer(g, msg);
	case VMBI_MSG_RESCIND_CHANNEL_OFFER:
		return vmbi_guest_on_rescind(g, msg);
	case VMBI_MSG_ALL_OFFERS_DELIVERED:
		vmbi_guest_on_all_offers(g);
		return 1;
	case VMBI_MSG_OPEN_CHANNEL_RESULT:
		return vmbi_guest_on_opened(g, msg);
	case VMBI_MSG_GPADL_CREATED:
		return vmbi_guest_on_created(g, msg);
	case VMBI_MSG_GPADL_TORNDOWN:
		return vmbi_guest_on_torndown(g, msg);
	case VMBI_MSG_MODIFY_CHANNEL_RESPONSE:
		return vmbi_guest_on_modified(g, msg);
	case VMBI_MSG_VERSION_RESPONSE:
		return vmbi_guest_on_version(g, msg);
	case VMBI_MSG_TL_CONNECT_RESULT:
		return vmbi_guest_on_connect_result(g, msg);
	case VMBI_MSG_MODIFY_CONNECTION_RESPONSE:
		return vmbi_guest_on_monitor(g, msg);
	case VMBI_MSG_PAUSE_RESPONSE:
		return vmbi_guest_on_paused(g);
	case VMBI_MSG_CLOSE_RESERVED_RESPONSE:
		return vmbi_guest_on_reserved_closed(g, msg);
	default:
		return vmbi_guest_on_unloaded(g);
	}
}

/* Of a message that was for nobody. */
static uint32_t guest_message_nobodys(uint32_t type)
{
	if (guest_message_is_answer(type))
		return VMB_FATE_LATE;
	if (type == VMBI_MSG_OFFER_CHANNEL)
		return VMB_FATE_VALUE;
	return type == VMBI_MSG_RESCIND_CHANNEL_OFFER ? VMB_FATE_UNKNOWN : VMB_FATE_STATE;
}

/* Act on it: VMB_FATE_*. */
static uint32_t guest_message_act(struct vmb_guest *g, const uint8_t *msg, uint32_t len)
{
	uint32_t version = g->state == VMB_BUS_NONE ? 0 : g->version, type;
	uint32_t features = g->state == VMB_BUS_CONNECTING ? g->cfg.features : g->features;
	int r = vmb_message_check(msg, len, version, features, 0);

	if (r < 0)
		return vmbi_fate_of(r, version);
	type = vmbi_get32(msg);
	if (!(guest_message_when[type] & guest_message_state[g->state]))
		return VMB_FATE_STATE;
	g->fate = VMB_FATE_TAKEN;
	return guest_message_handle(g, type, msg) ? g->fate : guest_message_nobodys(type);
}

/* msg is a copy, of VMB_MESSAGE_MAX bytes: the checked length is what may be read of it. */
void vmbi_guest_receive(struct vmb_guest *g, const uint8_t *msg, uint32_t len)
{
	uint32_t state = g->state, fate = guest_message_act(g, msg, len);

	g->messages_in++;
	g->fates[fate]++;
	if (fate == VMB_FATE_LATE)
		g->late_answers++;
	else if (fate >= VMB_FATE_MALFORMED && fate <= VMB_FATE_VALUE)
		g->dropped++;
	if (g->cfg.trace)
		vmbi_guest_trace_message(g, VMB_TRACE_MESSAGE_IN, msg, len, fate, state);
}

int vmb_guest_slot(struct vmb_guest *g, void *slot)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len = 0;
	int taken, r;

	if (!slot)
		return VMB_EINVAL;
	r = vmbi_guest_enter(g);
	if (r < 0)
		return r;
	taken = vmbi_slot_take(slot, msg, &len);
	if (taken > 0)
		vmbi_guest_receive(g, msg, len);
	return vmbi_guest_leave(g, taken);
}

int vmb_guest_message(struct vmb_guest *g, const void *payload, uint32_t len)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	int r;

	if (!payload)
		return VMB_EINVAL;
	r = vmbi_guest_enter(g);
	if (r < 0)
		return r;
	if (len <= VMB_MESSAGE_MAX)
		VMBI_COPY_OUT(msg, payload, len);
	vmbi_guest_receive(g, msg, len <= VMB_MESSAGE_MAX ? len : 0);
	return vmbi_guest_leave(g, 0);
}
