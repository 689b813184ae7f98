/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The ways into the states of guest.table; see guestcell.h. */
#include "guestcell.h"

#include <stdlib.h>
#include <string.h>

#include "test/bus/hostbench.h"

struct cell cell;

static void want(const char *posts, const char *events)
{
	const char *got = cell_events();

	cr_assert(table_same_words(events, got), "on the way to %s at %s: events \"%s\", not \"%s\"",
		guest_end.states[cell.state],
		  table_versions[cell.version].name, got, events);
	got = cell_posts();
	cr_assert_str_eq(got, posts, "on the way to %s at %s: posts \"%s\", not \"%s\"", guest_end.states[cell.state],
			 table_versions[cell.version].name, got, posts);
}

static void made(void)
{
	static struct bench *bench; /* made once: it has megabytes that are hardly used */
	static struct vmb_guest_config cfg;
	struct bench *b;

	if (!bench) {
		bench = bench_new();
		cfg = bench->cfg;
	}
	b = cell.b = bench;
	b->cfg = cfg;
	b->posted = b->read = b->told = b->taken = b->signals = b->attempts = 0;
	memset(b->wakes, 0, sizeof b->wakes);
	b->off = 1;
	bench_old_pages(b);
	b->cfg.max_version = cell.v;
	b->cfg.features = cell.features;
	b->cfg.max_hvsock = 4;
	memset(&b->cfg.client_id, 0xc1, 16);
	bench_init(b);
}

static void connect(void)
{
	cr_assert_eq(vmb_guest_connect(cell.b->g), 0);
	want("INITIATE_CONTACT", "");
}

static void answered(void)
{
	connect();
	cell_legal(H_VERSION);
	want("REQUEST_OFFERS", "CONNECTED");
	cell_offer(2, 2);
	want("", "OFFER(2)");
}

/* The two answers about a ring and an open of channel 2. */
static void bystander(void)
{
	struct bench_message m;
	const struct bench_message *p;

	cr_assert_eq(bench_open(cell.b, cell.h[2], 1), 0);
	want("GPADL_HEADER", "");
	cr_assert(cell_message(H_CREATED, G_LEGAL, 0, &m));
	put32(m.bytes + 8, 2);
	put32(m.bytes + 12, get32(cell.b->posts[cell.b->posted - 1].bytes + 12));
	cell_feed(&m);
	want("OPEN_CHANNEL", "");
	p = &cell.b->posts[cell.b->posted - 1];
	cr_assert(cell_message(H_OPEN_RESULT, G_LEGAL, 0, &m));
	put32(m.bytes + 8, 2);
	put32(m.bytes + 12, get32(p->bytes + 12));
	cell_feed(&m);
	want("", "OPENED(2)");
}

static void running(void)
{
	answered();
	cell_legal(H_ALL_OFFERS);
	want("", "OFFERS_DONE");
	bystander();
}

static void announce(void)
{
	cr_assert_eq(bench_open(cell.b, cell.h[1], 0), 0);
	want("GPADL_HEADER", "");
}

static void opening(void)
{
	announce();
	cell_legal(H_CREATED);
	want("OPEN_CHANNEL", "");
}

static void opened(void)
{
	opening();
	cell_legal(H_OPEN_RESULT);
	want("", "OPENED(1)");
}

static void list(void)
{
	static const uint64_t words[] = { VMB_RANGE(4096, 0), 0x777 };
	struct vmb_list l = { words, 2, 1 };
	uint32_t id = 0;

	cr_assert_eq(vmb_guest_gpadl_create(cell.b->g, cell.h[1], &l, &id), 0);
	want("GPADL_HEADER", "");
	cell.list = id;
	cell.ring = 0;
}

static void rescind(const char *events)
{
	cell_legal(H_RESCIND);
	want("", events);
}

static void close_it(const char *posts)
{
	cr_assert_eq(vmb_guest_close(cell.b->g, cell.h[1]), 0);
	want(posts, "");
}

static void enter_open(enum guest_state s)
{
	if (s == G_ANNOUNCING || s == G_CLOSING_ANNOUNCING || s == G_FAILED_EARLY || s == G_RESCINDED_ANNOUNCING)
		announce();
	else if (s == G_OPENING || s == G_CLOSING_OPENING || s == G_FAILED || s == G_RESCINDED_OPENING)
		opening();
	else
		opened();
	if (s == G_FAILED_EARLY) {
		cell_say(H_CREATED, G_FAIL);
		want("", "OPENED!(1)");
	}
	if (s == G_FAILED) {
		cell_say(H_OPEN_RESULT, G_FAIL);
		want("", "OPENED!(1)");
	}
	if (s == G_CLOSING_ANNOUNCING || s == G_CLOSING_OPENING)
		close_it("");
	if (s == G_CLOSING || s == G_RESCINDED_CLOSING)
		close_it("CLOSE_CHANNEL GPADL_TEARDOWN");
	if (s == G_MOVING || s == G_RESCINDED_MOVING) {
		cr_assert_eq(vmb_guest_target(cell.b->g, cell.h[1], 3), 0);
		want("MODIFY_CHANNEL", "");
	}
	if (s == G_RESCINDED_ANNOUNCING || s == G_RESCINDED_OPENING)
		rescind("OPENED!(1) RESCINDED(1)");
	if (s == G_RESCINDED_MOVING)
		rescind("TARGET!(1) RESCINDED(1)");
	if (s == G_RESCINDED_OPEN || s == G_RESCINDED_CLOSING)
		rescind("RESCINDED(1)");
}

static void enter_list(enum guest_state s)
{
	list();
	if (s == G_LISTED || s == G_UNLISTING || s == G_RESCINDED_LISTED || s == G_RESCINDED_UNLISTING) {
		cell_legal(H_CREATED);
		want("", "GPADL(1)");
	}
	if (s == G_UNLISTING || s == G_UNLISTING_EARLY || s == G_RESCINDED_UNLISTING) {
		cr_assert_eq(vmb_guest_gpadl_destroy(cell.b->g, cell.list), 0);
		want(s == G_UNLISTING_EARLY ? "" : "GPADL_TEARDOWN", "");
	}
	if (s == G_RESCINDED_LISTING || s == G_RESCINDED_LISTED || s == G_RESCINDED_UNLISTING)
		rescind("RESCINDED(1)");
}

static void enter_beside(enum guest_state s)
{
	struct vmb_hvsock socket = { .flags = 0 };
	static const uint64_t no_gpa[2];
	static void *const no_page[2];
	struct vmb_guest *g = cell.b->g;

	switch (s) {
	case G_CALLING:
		memset(&socket.endpoint, 0xe0, 16);
		memset(&socket.service, 0x5e, 16);
		cr_assert_eq(vmb_guest_hvsock(g, &socket, 7), 0);
		want("TL_CONNECT_REQUEST", "");
		break;
	case G_SWAPPING:
		cr_assert_eq(vmb_guest_monitor(g, no_gpa, no_page), 0);
		want("MODIFY_CONNECTION", "");
		break;
	case G_RESERVED_CLOSING:
		cr_assert_eq(vmb_guest_close_reserved(g, G_RESERVED, 0, 2), 0);
		want("CLOSE_RESERVED_CHANNEL", "");
		break;
	case G_PAUSING: case G_PAUSED:
		cr_assert_eq(vmb_guest_pause(g), 0);
		want("PAUSE", "");
		if (s == G_PAUSED) {
			cell_legal(H_PAUSED);
			want("", "PAUSED");
		}
		break;
	default:
		break;
	}
}

/* Without a driver's channel; from REQUEST_OFFERS on to the end. */
static void enter_left(enum guest_state s)
{
	connect();
	cell_legal(H_VERSION);
	want("REQUEST_OFFERS", "CONNECTED");
	cell_legal(H_ALL_OFFERS);
	want("", "OFFERS_DONE");
	cr_assert_eq(vmb_guest_disconnect(cell.b->g), 0);
	if (cell.v < VMB_V1_1) {
		want("UNLOAD", "DISCONNECTED");
		return;
	}
	want("UNLOAD", "");
	if (s == G_LEFT) {
		cell_legal(H_UNLOADED);
		want("", "DISCONNECTED");
	}
}

void cell_enter(enum guest_state s, unsigned version)
{
	memset(&cell, 0, sizeof cell);
	cell.state = s;
	cell.version = version;
	cell.v = table_versions[version].number;
	cell.features = table_versions[version].features;
	made();
	if (s == G_DISCONNECTED)
		return;
	if (s == G_RESERVED_CLOSING_LEFT) {
		cr_assert_eq(vmb_guest_close_reserved(cell.b->g, G_RESERVED, 0, 2), 0);
		want("CLOSE_RESERVED_CHANNEL", "");
	} else if (s == G_UNLOADING || s == G_LEFT) {
		enter_left(s);
	} else if (s == G_NEGOTIATING) {
		connect();
	} else if (s == G_REQUESTED) {
		answered();
	} else {
		running();
		if (s >= G_CALLING && s <= G_PAUSED) {
			enter_beside(s);
		} else if (s != G_RUNNING) {
			cell_offer(1, 1);
			want("", "OFFER(1)");
		}
	}
	if (s == G_RELEASED) {
		cr_assert_eq(vmb_guest_release(cell.b->g, cell.h[1]), 0);
		want("REL_ID_RELEASED(1)", "GONE(1)");
	} else if ((s >= G_LISTING && s <= G_UNLISTING_EARLY) || (s >= G_RESCINDED_LISTING && s <= G_RESCINDED_UNLISTING)) {
		enter_list(s);
	} else if (s == G_RESCINDED) {
		rescind("RESCINDED(1)");
	} else if ((s >= G_ANNOUNCING && s <= G_CLOSING_OPENING) || (s > G_RESCINDED && s < G_RESCINDED_LISTING) ||
		s == G_LEAVING) {
		enter_open(s);
	}
	if (s == G_LEAVING) {
		cr_assert_eq(vmb_guest_disconnect(cell.b->g), 0);
		want("", "RESCINDED(1) RESCINDED(2)");
	}
}

/* ---- the end: a host that answers whatever was posted, in order, however late */

static void answer(const struct bench_message *p)
{
	struct bench_message m;
	uint32_t reply = 0;

	switch (get32(p->bytes)) {
	case 5: reply = H_OPEN_RESULT; break;
	case 8: reply = H_CREATED; break;
	case 11: reply = H_TORNDOWN; break;
	case 16: reply = H_UNLOADED; break;
	case 19: reply = H_RESERVED_CLOSED; break;
	case 22: reply = H_MODIFIED; break;
	case 25: reply = H_CONNECTION_MODIFIED; break;
	case 27: reply = H_PAUSED; break;
	default: return;
	}
	cr_assert(cell_message(reply, G_LEGAL, 0, &m));
	if (reply == H_OPEN_RESULT || reply == H_CREATED)
		memcpy(m.bytes + 8, p->bytes + 8, 8);
	if (reply == H_TORNDOWN)
		memcpy(m.bytes + 8, p->bytes + 12, 4);
	if (reply == H_RESERVED_CLOSED || reply == H_MODIFIED)
		memcpy(m.bytes + 8, p->bytes + 8, 4);
	cell_feed(&m);
}

static void unmade(struct bench *b)
{
	for (uint32_t n = 0; n < 64; n++) {
		free(b->open[n].mem);
		free(b->open[n].ring);
		b->open[n] = (struct bench_open){ 0 };
	}
	while (b->page_count)
		free(b->pages[--b->page_count]);
	free(b->mem);
}

const char *cell_end(void)
{
	struct bench *b = cell.b;
	struct vmb_bus_info info;
	const char *left = NULL;

	for (int round = 0; round < 8; round++) {
		for (uint32_t i = 0; i < b->posted; i++)
			answer(&b->posts[i]);
		(void)vmb_guest_resume(b->g);
		cell_events();
		if (bench_info(b).state == VMB_BUS_CONNECTING)
			cell_legal(H_VERSION);
		(void)vmb_guest_disconnect(b->g);
		cell_events();
		for (uint32_t i = 1; i < G_HANDLES; i++)
			if (cell.h[i])
				(void)vmb_guest_release(b->g, cell.h[i]);
		cell_events();
	}
	info = bench_info(b);
	if (info.state != VMB_BUS_NONE || info.channels || info.attached || info.gpadls)
		left = "something outlives the connection";
	else if (vmb_guest_end(b->g) != 0)
		left = "the end cannot be ended";
	unmade(b);
	return left;
}
