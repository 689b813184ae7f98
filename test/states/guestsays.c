/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What a guest end posted and told, in the words of guest.table: a message counts by its name only if it is the right one,
 * of the right size. */
#include "guestcell.h"

#include <stdio.h>
#include <string.h>

#include "test/bus/hostbench.h"

static const char *post_word(const struct bench_message *m)
{
	static char number[24];
	uint32_t type = get32(m->bytes), id = get32(m->bytes + 8);
	/* CLOSE_RESERVED_CHANNEL: also without a version */
	int size = vmb_message_size(type, type == 19 ? VMB_V6_0 : cell.v, cell.features);

	switch (type) {
	case 14: /* INITIATE_CONTACT */
		cell.asked = id;
		return m->len == (id == VMB_V6_0 && cell.features ? 56 : 40) ? "" : "size?";
	case 8: /* GPADL_HEADER */
		if (id == 1)
			cell.ring = get32(m->bytes + 12);
		return id == 1 || id == 2 ? "" : "channel?";
	case 5: /* OPEN_CHANNEL */
		if (id == 1)
			cell.open_id = get32(m->bytes + 12);
		return (int)m->len != size ? "size?" : id == 2 || get32(m->bytes + 16) == cell.ring ? "" : "ring?";
	case 11: /* GPADL_TEARDOWN */
		if ((int)m->len != size || id != 1)
			return "echo?";
		return get32(m->bytes + 12) == cell.ring || get32(m->bytes + 12) == cell.list ? "" : "list?";
	case 13: /* REL_ID_RELEASED */
		if (id < G_HANDLES)
			cell.released[id]++;
		snprintf(number, sizeof number, "%u", id);
		return (int)m->len == size ? number : "size?";
	case 7: /* CLOSE_CHANNEL */
		return (int)m->len == size && id == 1 ? "" : "echo?";
	default:
		return (int)m->len == size ? "" : "size?";
	}
}

const char *cell_posts(void)
{
	static char text[512];
	struct bench *b = cell.b;

	text[0] = 0;
	for (; b->read < b->posted; b->read++) {
		const struct bench_message *m = &b->posts[b->read];
		const char *arg = post_word(m);
		size_t n = strlen(text);

		snprintf(text + n, sizeof text - n, "%s%s%s%s%s", n ? " " : "", vmb_message_name(get32(m->bytes)),
			 *arg ? "(" : "", arg, *arg ? ")" : "");
	}
	return text;
}

static const char *const kinds[] = {
	"", "CONNECTED", "DISCONNECTED", "OFFER", "OFFERS_DONE", "", "OPENED", "RESCINDED", "", "CLOSED", "GONE", "GPADL",
	"GPADL_DOWN", "TARGET", "", "MONITOR", "PAUSED", "HVSOCK",
};

/* The channel's id: known from its offer. */
static uint32_t id_of(const struct vmb_event *ev)
{
	bool fresh = ev->kind == VMB_EV_OFFER || (ev->kind == VMB_EV_HVSOCK && ev->status == 0);
	struct vmb_offer o = { .size = sizeof o };

	if (fresh && vmb_guest_offer(cell.b->g, ev->ch, &o) == 0 && o.channel_id < G_HANDLES) {
		cell.h[o.channel_id] = ev->ch;
		cell.gone[o.channel_id] = false;
	}
	for (uint32_t i = 1; i < G_HANDLES; i++)
		if (cell.h[i] == ev->ch)
			return i;
	return 99;
}

const char *cell_events(void)
{
	static char text[512];
	struct bench *b = cell.b;

	text[0] = 0;
	bench_poll(b);
	for (; b->taken < b->told; b->taken++) {
		const struct vmb_event *ev = &b->events[b->taken];
		size_t n = strlen(text);
		uint32_t id = ev->ch ? id_of(ev) : 0;

		n += (size_t)snprintf(text + n, sizeof text - n, "%s%s%s", n ? " " : "", kinds[ev->kind], ev->status ? "!" : "");
		if (ev->ch || ev->kind == VMB_EV_CLOSED)
			snprintf(text + n, sizeof text - n, "(%u)", id);
		if (ev->kind == VMB_EV_GONE && id < G_HANDLES)
			cell.gone[id] = true;
	}
	return text;
}
