/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Results and reasons in words. The texts lie in the tables themselves, so that nothing needs relocation. */
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
