/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Results, reasons, and what trace and snapshot tell, in words. The texts lie in the tables themselves, so that nothing needs relocation. */
#include "vmbus.h"

struct text_error {
	int8_t code;
	char text[63];
};

static const struct text_error text_errors[] = {
	{ VMB_EFULL, "no room in the ring" },
	{ VMB_EAGAIN, "not now, try again" },
	{ VMB_ESTOPPED, "stopped: give the channel back" },
	{ VMB_ENOSLOT, "too many requests in flight" },
	{ VMB_ETOOSMALL, "buffer too small" },
	{ VMB_ENOENT, "no such request, GPADL, field or name" },
	{ VMB_EFOREIGN, "a SynIC message that is not VMBus's" },
	{ VMB_EINVAL, "invalid argument" },
	{ VMB_ESTRUCT, "struct size or unknown tail" },
	{ VMB_EHANDLE, "no such channel any more" },
	{ VMB_ESTATE, "not in this state" },
	{ VMB_EREENTRY, "a second control call at once, or one from a callback" },
	{ VMB_ENOSPACE, "over a limit, or storage too small or misaligned" },
	{ VMB_ETOOBIG, "can never be sent: too big" },
	{ VMB_EPEER, "the peer violated the protocol" },
	{ VMB_EREFUSED, "the peer said no" },
	{ VMB_ERESCINDED, "the device went away" },
	{ VMB_EVERSION, "not in this protocol version" },
	{ VMB_ETIMEDOUT, "the peer did not answer in time" },
	{ VMB_EPLATFORM, "the platform failed to post a message" },
	{ VMB_EMAP, "a page could not be mapped or translated" },
	{ VMB_ELEAK, "the peer may still write this memory" },
};

const char *vmb_strerror(int err)
{
	if (err >= 0)
		return "no error";
	for (uint32_t i = 0; i < sizeof text_errors / sizeof *text_errors; i++)
		if (text_errors[i].code == err)
			return text_errors[i].text;
	return "unknown error";
}

static const char text_reasons[][48] = { /* from VMB_R_INDEX on */
	"index outside the ring or unaligned",
	"packet longer than what is there, or too short",
	"header and payload disagree",
	"unknown packet type",
	"unknown flag bits",
	"ranges do not fit their header, or are empty",
	"pipe header",
	"payload above max_payload",
};

_Static_assert(VMB_R_INDEX == 1 && VMB_R_PAYLOAD == sizeof text_reasons / sizeof *text_reasons, "one text per VMB_R_*");

const char *vmb_reason_name(uint32_t reason)
{
	return reason >= VMB_R_INDEX && reason <= VMB_R_PAYLOAD ? text_reasons[reason - VMB_R_INDEX] : "?";
}

/* ---- what is told by trace and snapshot. Each table begins with value 0; "" has no name */

static const char text_trace[][16] = { "", "message in", "message out", "connection", "channel", "device", "gpadl", "signals" };
static const char text_fate[][12] = { "", "taken", "late", "malformed", "version", "direction", "untrusted", "state", "unknown", "value",
				      "refused", "quota", "again", "lost" };
static const char text_bus[][12] = { "none", "connecting", "connected", "running", "leaving", "resetting", "unloading" };
static const char text_state[][12] = { "free", "unoffered", "offered", "announcing", "opening", "open", "failed", "closing", "closed",
				       "reopening", "revoked" };
static const char text_device[][12] = { "none", "asking", "asked", "stale", "attached", "remote", "draining" };
static const char text_list[][12] = { "none", "building", "sent", "alive", "leaving", "tearing", "settled", "burnt" };
static const char text_has[][12] = { "seen", "released", "rescinded", "removed", "reserved", "object", "abandoned", "kept", "ring" };

#define TEXT_NAME(table, value) \
	((value) < sizeof table / sizeof *table && *table[value] ? table[value] : "?")
#define TEXT_LAST(table, value) \
	_Static_assert((value) + 1 == sizeof table / sizeof *table, "one text per value")
TEXT_LAST(text_trace, VMB_TRACE_SIGNALS);
TEXT_LAST(text_fate, VMB_FATE_LOST);
TEXT_LAST(text_bus, VMB_BUS_UNLOADING);
TEXT_LAST(text_state, VMB_STATE_REVOKED);
TEXT_LAST(text_device, VMB_DEVICE_DRAINING);
TEXT_LAST(text_list, VMB_LIST_BURNT);

static const char *text_of_bit(uint32_t bit)
{
	for (uint32_t i = 0; i < sizeof text_has / sizeof *text_has; i++)
		if (bit == 1u << i)
			return text_has[i];
	return "?";
}

const char *vmb_name(uint32_t set, uint32_t value)
{
	switch (set) {
	case VMB_NAMES_TRACE:
		return TEXT_NAME(text_trace, value);
	case VMB_NAMES_FATE:
		return TEXT_NAME(text_fate, value);
	case VMB_NAMES_BUS:
		return TEXT_NAME(text_bus, value);
	case VMB_NAMES_STATE:
		return TEXT_NAME(text_state, value);
	case VMB_NAMES_DEVICE:
		return TEXT_NAME(text_device, value);
	case VMB_NAMES_LIST:
		return TEXT_NAME(text_list, value);
	case VMB_NAMES_HAS:
		return text_of_bit(value);
	default:
		return "?";
	}
}
