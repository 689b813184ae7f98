/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Which state is the guest in? It is told or asked for what only this state does; see guestcell.h. */
#include "guestcell.h"

#include <string.h>

#include "test/bus/hostbench.h"

static bool hears(const char *posts, const char *events)
{
	const char *told = cell_events(); /* first: what is told may make it post */

	return table_hears(cell_posts(), told, posts, events);
}

static bool tells(unsigned type, unsigned form, const char *posts, const char *events)
{
	cell_say(type, form);
	return hears(posts, events);
}

static bool hears_after(int r, const char *posts, const char *events)
{
	return r == 0 && hears(posts, events);
}

/* ---- channel 2 */

bool cell_bystander(void)
{
	static uint8_t flags[256] __attribute__((aligned(8))), slot[256] __attribute__((aligned(8)));
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "12345678", .len = 8 };
	struct bench_open *o = &cell.b->open[1];
	uint64_t wakes = cell.b->wakes[2];
	uint32_t signals = cell.b->signals;
	uint8_t *ring = o->ring;

	if (!o->ch || cell.state == G_LEAVING) /* stopped there */
		return true;
	flags[0] = cell.v < VMB_V2_4 ? 1 : 1 << 2;
	if (cell.v < VMB_V2_4)
		((uint8_t *)cell.b->cfg.interrupt_page)[0] = 1 << 2;
	(void)vmb_guest_interrupt(cell.b->g, flags, slot);
	if (vmb_channel_send(o->ch, &p) < 0)
		return false;
	put32(ring + 4, get32(ring)); /* the host reads it */
	return cell.b->wakes[2] == wakes + 1 && cell.b->signals == signals + 1;
}

/* ---- connection */

static const char *off(enum guest_state s)
{
	NEED(bench_info(cell.b).state == VMB_BUS_NONE && bench_info(cell.b).channels == 0);
	if (s == G_RESERVED_CLOSING_LEFT)
		NEED(tells(H_RESERVED_CLOSED, G_LEGAL, "", "CLOSED(0)"));
	else
		NEED(tells(H_RESERVED_CLOSED, G_LEGAL, "", ""));
	NEED(hears_after(vmb_guest_connect(cell.b->g), "INITIATE_CONTACT", ""));
	NEED(cell.asked == cell.v);
	return NULL;
}

static const char *negotiating(void)
{
	uint32_t v = cell.asked;

	NEED(bench_info(cell.b).state == VMB_BUS_CONNECTING);
	NEED(tells(H_VERSION, G_LEGAL, "REQUEST_OFFERS", "CONNECTED"));
	NEED(bench_info(cell.b).version == v);
	return NULL;
}

static const char *requested(void)
{
	NEED(bench_info(cell.b).state == VMB_BUS_CONNECTED && bench_info(cell.b).version == cell.asked);
	NEED(tells(H_ALL_OFFERS, G_LEGAL, "", "OFFERS_DONE"));
	NEED(bench_info(cell.b).state == VMB_BUS_RUNNING);
	return NULL;
}

/* Nobody waits for an answer about the connection. */
static const char *no_questions(void)
{
	NEED(bench_info(cell.b).state == VMB_BUS_RUNNING && !bench_info(cell.b).paused);
	NEED(tells(H_TL_RESULT, G_LEGAL, "", ""));
	NEED(tells(H_RESERVED_CLOSED, G_LEGAL, "", ""));
	NEED(tells(H_CONNECTION_MODIFIED, G_LEGAL, "", ""));
	NEED(tells(H_PAUSED, G_LEGAL, "", ""));
	return NULL;
}

static const char *first_offer(void)
{
	cell_offer(1, 1);
	NEED(hears("", "OFFER(1)"));
	return NULL;
}

static const char *running(void)
{
	const char *wrong = no_questions();

	NEED(!cell.h[1] || cell.gone[1]);
	NEED(cell.state == G_REQUESTED || bench_info(cell.b).attached == 1);
	NEED(tells(H_ALL_OFFERS, G_LEGAL, "", ""));
	return wrong ? wrong : first_offer();
}

static const char *beside(enum guest_state s)
{
	struct bench_message m;

	NEED(bench_info(cell.b).state == VMB_BUS_RUNNING);
	switch (s) {
	case G_CALLING:
		if (cell.v >= VMB_V4_1) {
			NEED(tells(H_TL_RESULT, G_LEGAL, "", "HVSOCK!"));
			return NULL;
		}
		cr_assert(cell_message(H_OFFER, G_SOCKET, 0, &m));
		put32(m.bytes + 184, G_NEW + 1);
		cell_feed(&m);
		NEED(hears("", "HVSOCK(6)"));
		return NULL;
	case G_SWAPPING:
		NEED(tells(H_CONNECTION_MODIFIED, G_LEGAL, "", "MONITOR"));
		return NULL;
	case G_RESERVED_CLOSING:
		NEED(tells(H_RESERVED_CLOSED, G_LEGAL, "", "CLOSED(0)"));
		return NULL;
	case G_PAUSING:
		NEED(tells(H_PAUSED, G_LEGAL, "", "PAUSED"));
		return NULL;
	default: /* G_PAUSED */
		NEED(bench_info(cell.b).paused);
		NEED(hears_after(vmb_guest_release(cell.b->g, cell.h[2]), "", "CLOSED!(2)?"));
		NEED(vmb_guest_resume(cell.b->g) == 0);
		(void)hears("", "");
		NEED(!strncmp(table_said, "RESUME", 6));
		return NULL;
	}
}

static const char *leaving(void)
{
	NEED(bench_info(cell.b).state == VMB_BUS_LEAVING);
	NEED(hears_after(vmb_guest_close(cell.b->g, cell.h[1]), "CLOSE_CHANNEL GPADL_TEARDOWN", ""));
	NEED(tells(H_TORNDOWN, G_LEGAL, "", "CLOSED(1)"));
	return NULL;
}

static const char *unloading(void)
{
	NEED(bench_info(cell.b).state == VMB_BUS_LEAVING);
	NEED(tells(H_UNLOADED, G_LEGAL, "", "DISCONNECTED"));
	NEED(bench_info(cell.b).state == VMB_BUS_NONE);
	return NULL;
}

/* ---- channel 1 */

static const char *opens(void)
{
	cell.list = 0;
	NEED(hears_after(bench_open(cell.b, cell.h[1], 0), "GPADL_HEADER", ""));
	NEED(tells(H_CREATED, G_LEGAL, "OPEN_CHANNEL", ""));
	NEED(tells(H_OPEN_RESULT, G_LEGAL, "", "OPENED(1)"));
	return NULL;
}

static const char *offered(void)
{
	NEED(cell.h[1] && bench_info(cell.b).attached == 1);
	if (cell.list || cell.ring) { /* no page list of before is waited for */
		NEED(tells(H_CREATED, G_LEGAL, "", ""));
		NEED(tells(H_TORNDOWN, G_LEGAL, "", ""));
		NEED(vmb_guest_gpadl_destroy(cell.b->g, cell.list ? cell.list : cell.ring) == VMB_ENOENT);
	}
	return opens();
}

static const char *closes(const char *posts)
{
	NEED(hears_after(vmb_guest_close(cell.b->g, cell.h[1]), posts, ""));
	NEED(tells(H_TORNDOWN, G_LEGAL, "", "CLOSED(1)"));
	return offered();
}

static const char *announcing(void)
{
	NEED(tells(H_CREATED, G_LEGAL, "OPEN_CHANNEL", ""));
	NEED(tells(H_OPEN_RESULT, G_LEGAL, "", "OPENED(1)"));
	return NULL;
}

static const char *opening(void)
{
	NEED(tells(H_CREATED, G_LEGAL, "", ""));
	NEED(tells(H_OPEN_RESULT, G_LEGAL, "", "OPENED(1)"));
	return closes("CLOSE_CHANNEL GPADL_TEARDOWN");
}

static const char *opened(bool moves)
{
	NEED(bench_info(cell.b).attached == 2);
	NEED(tells(H_OPEN_RESULT, G_LEGAL, "", ""));
	NEED(tells(H_MODIFIED, G_LEGAL, "", moves ? "TARGET(1)" : ""));
	return closes("CLOSE_CHANNEL GPADL_TEARDOWN");
}

/* OPEN_CHANNEL, or its list, was refused: closing posts no CLOSE_CHANNEL. */
static const char *failed(bool early)
{
	NEED(bench_info(cell.b).attached == 2);
	if (early) {
		NEED(hears_after(vmb_guest_close(cell.b->g, cell.h[1]), "", "CLOSED(1)"));
		return offered();
	}
	return closes("GPADL_TEARDOWN");
}

static const char *closing(enum guest_state s)
{
	NEED(bench_info(cell.b).attached == 2);
	if (s == G_CLOSING_ANNOUNCING)
		NEED(tells(H_CREATED, G_LEGAL, "GPADL_TEARDOWN", ""));
	if (s == G_CLOSING_OPENING)
		NEED(tells(H_OPEN_RESULT, G_LEGAL, "CLOSE_CHANNEL GPADL_TEARDOWN", ""));
	NEED(tells(H_TORNDOWN, G_LEGAL, "", "CLOSED(1)"));
	return offered();
}

static const char *released(void)
{
	NEED(cell.gone[1] && cell.released[1] == 1);
	NEED(vmb_guest_close(cell.b->g, cell.h[1]) == VMB_EHANDLE);
	return first_offer();
}

static const char *listing(enum guest_state s)
{
	if (s == G_LISTING)
		NEED(tells(H_CREATED, G_LEGAL, "", "GPADL(1)"));
	if (s == G_UNLISTING_EARLY)
		NEED(tells(H_CREATED, G_LEGAL, "GPADL_TEARDOWN", ""));
	if (s == G_LISTING || s == G_LISTED)
		NEED(hears_after(vmb_guest_gpadl_destroy(cell.b->g, cell.list), "GPADL_TEARDOWN", ""));
	NEED(vmb_guest_gpadl_destroy(cell.b->g, cell.list) == VMB_ENOENT);
	NEED(tells(H_TORNDOWN, G_LEGAL, "", "GPADL_DOWN(1)"));
	return offered();
}

/* The driver lets go; what was asked is answered; then the id is given back, once. */
static const char *rescinded(enum guest_state s)
{
	bool out = s != G_RESCINDED && s < G_RESCINDED_LISTING;
	static const uint64_t page[] = { VMB_RANGE(4096, 0), 0x777 };
	struct vmb_list more = { page, 2, 1 };
	uint32_t id;

	NEED(cell.h[1] && !cell.gone[1] && bench_info(cell.b).attached == 1u + out);
	NEED(vmb_guest_gpadl_create(cell.b->g, cell.h[1], &more, &id) == VMB_ESTATE);
	if (s == G_RESCINDED) {
		NEED(hears_after(vmb_guest_release(cell.b->g, cell.h[1]), "REL_ID_RELEASED(1)", "GONE(1)"));
		return NULL;
	}
	if (s == G_RESCINDED_OPEN || s == G_RESCINDED_OPENING)
		NEED(hears_after(vmb_guest_release(cell.b->g, cell.h[1]), "REL_ID_RELEASED(1)", "CLOSED(1) GONE(1)"));
	else if (s == G_RESCINDED_LISTED)
		NEED(hears_after(vmb_guest_release(cell.b->g, cell.h[1]), "REL_ID_RELEASED(1)", "GPADL_DOWN(1) GONE(1)"));
	else
		NEED(hears_after(vmb_guest_release(cell.b->g, cell.h[1]), "", ""));
	if (s == G_RESCINDED_UNLISTING)
		NEED(tells(H_TORNDOWN, G_LEGAL, "REL_ID_RELEASED(1)", "GPADL_DOWN(1) GONE(1)"));
	if (s == G_RESCINDED_MOVING)
		NEED(tells(H_MODIFIED, G_LEGAL, "REL_ID_RELEASED(1)", "CLOSED(1) GONE(1)"));
	if (s == G_RESCINDED_CLOSING)
		NEED(tells(H_TORNDOWN, G_LEGAL, "REL_ID_RELEASED(1)", "CLOSED(1) GONE(1)"));
	if (s == G_RESCINDED_ANNOUNCING || s == G_RESCINDED_LISTING) {
		NEED(tells(H_CREATED, G_LEGAL, "REL_ID_RELEASED(1)? GPADL_TEARDOWN?",
			"CLOSED(1)? GONE(1)? GPADL!(1)? GPADL_DOWN(1)?"));
		NEED(*table_said || *table_told);
		if (!cell.gone[1])
			NEED(tells(H_TORNDOWN, G_LEGAL, "REL_ID_RELEASED(1)", "CLOSED(1)? GPADL_DOWN(1)? GONE(1)"));
	}
	NEED(cell.released[1] == 1 && cell.gone[1]);
	return NULL;
}

const char *cell_prove(enum guest_state s)
{
	switch (s) {
	case G_DISCONNECTED: case G_LEFT: case G_RESERVED_CLOSING_LEFT:
		return off(s);
	case G_NEGOTIATING:
		return negotiating();
	case G_REQUESTED:
		return requested();
	case G_RUNNING:
		return running();
	case G_OFFERED:
		return offered();
	case G_ANNOUNCING:
		return announcing();
	case G_OPENING:
		return opening();
	case G_OPEN: case G_MOVING:
		return opened(s == G_MOVING);
	case G_FAILED_EARLY: case G_FAILED:
		return failed(s == G_FAILED_EARLY);
	case G_CLOSING: case G_CLOSING_ANNOUNCING: case G_CLOSING_OPENING:
		return closing(s);
	case G_RELEASED:
		return released();
	case G_LISTING: case G_LISTED: case G_UNLISTING: case G_UNLISTING_EARLY:
		return listing(s);
	case G_RESCINDED: case G_RESCINDED_ANNOUNCING: case G_RESCINDED_OPENING: case G_RESCINDED_OPEN: case G_RESCINDED_MOVING:
	case G_RESCINDED_CLOSING: case G_RESCINDED_LISTING: case G_RESCINDED_LISTED: case G_RESCINDED_UNLISTING:
		return rescinded(s);
	case G_CALLING: case G_SWAPPING: case G_RESERVED_CLOSING: case G_PAUSING: case G_PAUSED:
		return beside(s);
	case G_LEAVING:
		return leaving();
	case G_UNLOADING:
		return unloading();
	case GUEST_STATES:
		break;
	}
	return table_fault(__FILE__, __LINE__);
}

bool cell_alike(enum guest_state a, enum guest_state b)
{
	static const uint8_t kind[GUEST_STATES] = { [G_DISCONNECTED] = 1, [G_LEFT] = 1, [G_RESCINDED_OPEN] = 2,
		[G_RESCINDED_OPENING] = 2,
						    [G_RUNNING] = 3, [G_RELEASED] = 3 };

	return a == b || (kind[a] && kind[a] == kind[b]);
}
