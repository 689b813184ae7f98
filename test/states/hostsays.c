/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What a host end said and told, in the words of host.table: a message counts by its name only if each byte of it is right. */
#include "hostcell.h"
#include "hostids.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const char *status_word(uint32_t status)
{
	return status == 0 ? "ok" : status == 0x8000ffff ? "fail" : "status?";
}

static uint32_t last32(unsigned at)
{
	return get32(scene.last.bytes + at);
}

/* VERSION_RESPONSE: the forms of 7.3. */
static const char *version_word(const struct hb_message *m)
{
	static const uint8_t zero[8];
	uint32_t form = scene.v >= VMB_V6_0 ? 20 : 16;

	if (m->len == 16 && !memcmp(m->data + 8, zero, 8))
		return "no";
	if (m->len != form || m->data[8] != 1 || m->data[10] || m->data[11])
		return "form?";
	if (get32(m->data + 12) != (scene.v >= VMB_V5_0 ? 1 : scene.v))
		return "number?";
	if (form == 20 && get32(m->data + 16) != scene.features)
		return "features?";
	return m->data[9] == 0 ? "ok" : m->data[9] == 2 ? "failed" : "state?";
}

/* OPEN_CHANNEL_RESULT: to whom, and of which question. */
static const char *result_word(const struct hb_message *m)
{
	bool far = m->vp == FAR_VP && m->sint == FAR_SINT;

	if (m->len != 20 || get32(m->data + 8) != scene.opening || get32(m->data + 12) != scene.open_id)
		return "echo?";
	if (far != (scene.open_id == 0))
		return "place?";
	return status_word(get32(m->data + 16));
}

static const char *created_word(const struct hb_message *m)
{
	bool header = last32(0) == M_HEADER;

	if (m->len != 20 || get32(m->data + 12) != last32(12))
		return "echo?";
	if (get32(m->data + 8) != (header ? last32(8) : 1)) /* a body names no channel */
		return "channel?";
	return status_word(get32(m->data + 16));
}

static const char *argument(const struct hb_message *m)
{
	static char number[16];

	switch (get32(m->data)) {
	case 1: /* OFFER_CHANNEL */
		snprintf(number, sizeof number, "%u", get32(m->data + 184));
		return m->len == 196 ? number : "size?";
	case 2: /* RESCIND_CHANNEL_OFFER */
		snprintf(number, sizeof number, "%u", get32(m->data + 8));
		return m->len == 12 ? number : "size?";
	case 6:
		return result_word(m);
	case 10:
		return created_word(m);
	case 12: /* GPADL_TORNDOWN */
		if (m->len == 12 && get32(m->data + 8) == hb_ring_id(1))
			return "ring";
		return m->len == 12 && get32(m->data + 8) == SPARE2 ? "" : "echo?";
	case 15:
		return version_word(m);
	case 20: /* CLOSE_RESERVED_RESPONSE */
		return m->len == 12 && get32(m->data + 8) == 1 && m->vp == FAR_VP && m->sint == FAR_SINT ? "" : "echo?";
	case 23: /* TL_CONNECT_RESULT */
		if (m->len != 44 || m->data[8] != 0xe0 || m->data[23] != 0xe0 || m->data[24] != 0x5e || m->data[39] != 0x5e)
			return "echo?";
		return get32(m->data + 40) == 0xc0000236 ? "refused" : "status?";
	case 24: /* MODIFY_CHANNEL_RESPONSE */
		return m->len == 16 && get32(m->data + 8) == last32(8) ? status_word(get32(m->data + 12)) : "echo?";
	case 26: /* MODIFY_CONNECTION_RESPONSE */
		return m->len != 9 ? "size?" : m->data[8] == 0 ? "ok" : m->data[8] == 2 ? "fail" : "state?";
	default:
		return m->len == 8 ? "" : "size?";
	}
}

const char *scene_answers(void)
{
	static char said[512];
	const struct hb_message *m;

	said[0] = 0;
	while ((m = hb_next())) {
		size_t n = strlen(said);
		const char *arg = argument(m);
		uint32_t type = get32(m->data);
		bool far = type == 20 || (type == 6 && scene.open_id == 0);

		snprintf(said + n, sizeof said - n, "%s%s%s%s%s%s", n ? " " : "", vmb_message_name(type), *arg ? "(" : "", arg,
			 *arg ? ")" : "", !far && (m->sint != 2 || m->vtl || m->vp) ? "@place?" : "");
	}
	return said;
}

static unsigned device_of(vmb_handle h)
{
	for (unsigned i = 1; i <= 3; i++)
		if (h && h == scene.dev[i])
			return i;
	return h && h == scene.again ? 1 : 9;
}

static const char *event_word(const struct vmb_event *ev, unsigned n)
{
	switch (ev->kind) {
	case VMB_EV_CONNECTED: return "CONNECTED";
	case VMB_EV_DISCONNECTED: return "DISCONNECTED";
	case VMB_EV_RESET: return "RESET";
	case VMB_EV_GONE: return "GONE";
	case VMB_EV_OPEN:
		scene.open_waits = true;
		scene.open = *ev;
		return "OPEN";
	case VMB_EV_CLOSE:
		if (n < 3)
			scene.asked[n] = true;
		return "CLOSE";
	case VMB_EV_CLOSED:
		if (n < 3)
			scene.asked[n] = false;
		return "CLOSED";
	case VMB_EV_GPADL_DOWN:
		scene.hold_asked = true;
		return "GPADL_DOWN";
	case VMB_EV_HVSOCK:
		scene.hvsock = *ev;
		return "HVSOCK";
	default:
		return "event?";
	}
}

const char *scene_events(void)
{
	static char told[512];
	struct vmb_event ev;
	int r;

	told[0] = 0;
	while ((r = vmb_host_poll(hb->h, 0, &ev)) == VMB_YES) {
		size_t n = strlen(told);
		unsigned device = ev.ch ? device_of(ev.ch) : 0;

		n += (size_t)snprintf(told + n, sizeof told - n, "%s%s", n ? " " : "", event_word(&ev, device));
		if (ev.kind == VMB_EV_GONE && device == 1 && scene.again) {
			scene.dev[1] = scene.again;
			scene.again = 0;
		}
		if (ev.ch)
			snprintf(told + n, sizeof told - n, "(%u)", device);
		if (n > 400)
			break;
	}
	cr_assert(r >= 0, "poll: %s", vmb_strerror(r));
	return told;
}
