/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Messages as they are told to a watcher, from any bytes. control-plane.md 6 */
#include "trace.h"

/* Where a type has its channel id and its GPADL id; 0: it has none. */
struct trace_place {
	uint8_t channel, gpadl;
};

static const struct trace_place trace_places[VMBI_MSG_COUNT] = {
	[VMBI_MSG_OFFER_CHANNEL] = { VMBI_AT(OFFER_CHANNEL, channel_id), 0 },
	[VMBI_MSG_RESCIND_CHANNEL_OFFER] = { VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id), 0 },
	[VMBI_MSG_OPEN_CHANNEL] = { VMBI_AT(OPEN_CHANNEL, channel_id), VMBI_AT(OPEN_CHANNEL, ring_gpadl) },
	[VMBI_MSG_OPEN_CHANNEL_RESULT] = { VMBI_AT(OPEN_CHANNEL_RESULT, channel_id), 0 },
	[VMBI_MSG_CLOSE_CHANNEL] = { VMBI_AT(CLOSE_CHANNEL, channel_id), 0 },
	[VMBI_MSG_GPADL_HEADER] = { VMBI_AT(GPADL_HEADER, channel_id), VMBI_AT(GPADL_HEADER, gpadl_id) },
	[VMBI_MSG_GPADL_BODY] = { 0, VMBI_AT(GPADL_BODY, gpadl_id) },
	[VMBI_MSG_GPADL_CREATED] = { VMBI_AT(GPADL_CREATED, channel_id), VMBI_AT(GPADL_CREATED, gpadl_id) },
	[VMBI_MSG_GPADL_TEARDOWN] = { VMBI_AT(GPADL_TEARDOWN, channel_id), VMBI_AT(GPADL_TEARDOWN, gpadl_id) },
	[VMBI_MSG_GPADL_TORNDOWN] = { 0, VMBI_AT(GPADL_TORNDOWN, gpadl_id) },
	[VMBI_MSG_REL_ID_RELEASED] = { VMBI_AT(REL_ID_RELEASED, channel_id), 0 },
	[VMBI_MSG_OPEN_RESERVED_CHANNEL] = { VMBI_AT(OPEN_RESERVED_CHANNEL, channel_id), VMBI_AT(OPEN_RESERVED_CHANNEL, ring_gpadl) },
	[VMBI_MSG_CLOSE_RESERVED_CHANNEL] = { VMBI_AT(CLOSE_RESERVED_CHANNEL, channel_id), 0 },
	[VMBI_MSG_CLOSE_RESERVED_RESPONSE] = { VMBI_AT(CLOSE_RESERVED_RESPONSE, channel_id), 0 },
	[VMBI_MSG_MODIFY_CHANNEL] = { VMBI_AT(MODIFY_CHANNEL, channel_id), 0 },
	[VMBI_MSG_MODIFY_CHANNEL_RESPONSE] = { VMBI_AT(MODIFY_CHANNEL_RESPONSE, channel_id), 0 },
};

static uint32_t trace_word(const uint8_t *msg, uint32_t len, uint32_t at)
{
	return at && at + 4 <= len ? vmbi_get32(msg + at) : 0;
}

struct vmb_trace vmbi_trace_message(uint32_t point, const uint8_t *msg, uint32_t len)
{
	struct vmb_trace t = { .point = point, .a = len >= 4 ? vmbi_get32(msg) : 0, .b = len };

	if (t.a < VMBI_MSG_COUNT) {
		t.channel = trace_word(msg, len, trace_places[t.a].channel);
		t.gpadl = trace_word(msg, len, trace_places[t.a].gpadl);
	}
	return t;
}

uint32_t vmbi_fate_of(int error, uint32_t version)
{
	if (error == VMB_EVERSION)
		return version ? VMB_FATE_VERSION : VMB_FATE_STATE;
	return error == VMB_EINVAL ? VMB_FATE_DIRECTION : VMB_FATE_MALFORMED;
}
