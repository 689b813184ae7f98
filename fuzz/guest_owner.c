/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The embedder of a guest end: it opens, closes, releases, makes lists and destroys them at any time that is legal, and many that are not.
 * Each open ends with one CLOSED, each list with one last event, each handle with one GONE; what is said to be free, the host has let go of.
 */
#include "guest.h"
#include "watch.h"

struct guest_channel *guest_owner_at(uint64_t user)
{
	return user >= GUEST_USER && user < GUEST_USER + guest.channels ? &guest.channel[user - GUEST_USER] : NULL;
}

struct guest_channel *guest_owner_find(vmb_handle handle)
{
	for (unsigned i = 0; i < guest.channels; i++)
		if (guest.channel[i].handle == handle)
			return &guest.channel[i];
	return NULL;
}

static struct guest_list *owner_list(uint32_t gpadl)
{
	for (unsigned i = guest.mines; i; i--)
		if (guest.mine[i - 1].gpadl == gpadl)
			return &guest.mine[i - 1];
	return NULL;
}

/* ---- data, on the channel's own thread */

void guest_owner_data(struct guest_channel *c, const struct fuzz_step *s)
{
	uint8_t payload[64] = { 1, 0, 0, 0, 8 }, buf[512] __attribute__((aligned(8)));
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .len = s->c % 64, .payload = payload };
	int r, asked = c->rescinded;

	if (!c->ch || c->busy)
		return;
	c->busy = 1;
	if (s->b & 1) {
		p.flags = s->b & 4 ? VMB_PKT_WANTS_REPLY : 0;
		r = vmb_channel_send(c->ch, &p);
	} else {
		r = vmb_channel_recv(c->ch, buf, sizeof buf, &p);
	}
	fuzz_need(!asked || r == VMB_ESTOPPED || r == VMB_EPEER);
	fuzz_need(r >= 0 || VMB_GROUP(r) == VMB_GROUP_INFO || r == VMB_EPEER || r == VMB_ETOOBIG || r == VMB_EINVAL);
	c->busy = 0;
}

/* ---- calls */

/* Otherwise than most, some of it wrong. */
static void owner_open_odd(const struct fuzz_step *s, struct vmb_channel_config *cfg, struct vmb_open *open)
{
	if (guest.open_as.op) {
		open->flags = guest.open_as.a % 4;
		if (!guest.cfg.reply_ms) /* what is asked of a channel that outlives the connection may never be answered */
			open->flags &= ~VMB_OPEN_RESERVED;
		open->target_sint = guest.open_as.b % 4;
		open->connection_id = guest.open_as.c ? 0x3000u + guest.open_as.c : 0;
		open->event_flag = guest.open_as.v;
		guest.open_as.op = 0;
	}
	if (s->c == 255)
		open->rx_pages = s->v;
	if (s->c == 222)
		open->ring_gpa |= s->v;
	if (s->c == 253)
		cfg->rx_at.valid = 1;
	if (s->c == 251)
		open->ring = guest_ring(0) + 8;
	if (s->c == 252)
		open->size = 8 + s->v % 4;
	if (s->c == 250)
		cfg->size = 4;
}

static void owner_open(struct guest_channel *c, const struct fuzz_step *s)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = s->b % 4 };
	struct vmb_open open = { .size = sizeof open, .tx_pages = 2 + s->c % 2u, .rx_pages = 3 };
	struct vmb_storage need = { 64, 64 };
	unsigned ring = 0;
	uint64_t pfns[GUEST_RING_PAGES];
	void *list[GUEST_RING_PAGES];
	uint8_t *base;
	int r;

	while (ring < GUEST_RINGS && (guest.ring_used[ring] || guest.ring_kept[ring]))
		ring++;
	if (ring == GUEST_RINGS || c->state != CHANNEL_IDLE)
		return;
	base = guest_ring(ring);
	for (uint32_t i = 0; i < GUEST_RING_PAGES; i++) {
		list[i] = base + i * VMB_PAGE;
		pfns[i] = GUEST_RING_PFN + ring * GUEST_RING_PAGES + i;
	}
	cfg.flags = s->b >> 2 & (VMB_CHANNEL_RAW | VMB_CHANNEL_POLLED | VMB_CHANNEL_DEFER | VMB_CHANNEL_DIRTY);
	cfg.tx = (struct vmb_ring_mem){ .control = list[0], .pages = list + 1, .data_pages = open.tx_pages - 1 };
	cfg.rx = (struct vmb_ring_mem){ .control = list[open.tx_pages], .pages = list + open.tx_pages + 1, .data_pages = 2 };
	open.target_vp = s->c & 4 ? VMB_VP_NONE : s->c >> 3 & 3;
	open.user = GUEST_USER + (uint64_t)(c - guest.channel);
	if (s->c & 0x20) {
		open.pfns = pfns;
	} else {
		open.ring_gpa = pfns[0] * VMB_PAGE;
		open.ring = base;
	}
	owner_open_odd(s, &cfg, &open);
	(void)vmb_channel_storage(&cfg, &need);
	c->mem = fuzz_alloc(need.align, need.bytes);
	c->may_wake = 1;
	c->ring = ring;
	guest_ring_lend(ring, 1);
	c->ch = NULL;
	if (s->c == 249)
		need.bytes /= 2;
	GUEST_CALL(r, vmb_guest_open(guest.g, c->handle, s->c == 248 ? NULL : c->mem, need.bytes, &cfg, &open, &c->ch));
	fuzz_trace("\topen: %d\n", r);
	fuzz_need(r == 0 || VMB_GROUP(r) == VMB_GROUP_CALLER || r == VMB_EVERSION);
	fuzz_need(r || (!c->released && !c->gone && !c->rescinded && (s->c < 248 || s->c > 250)));
	if (!r) {
		c->state = CHANNEL_OUT;
		c->opened = 0;
		c->reserved = (open.flags & VMB_OPEN_RESERVED) != 0;
		return;
	}
	guest_ring_lend(ring, 0);
	c->may_wake = 0;
	c->ch = NULL;
	free(c->mem);
	c->mem = NULL;
}

static void owner_close(struct guest_channel *c)
{
	int r, out = c->state == CHANNEL_OUT;

	if (c->busy)
		return;
	if (out)
		c->state = CHANNEL_CLOSING;
	c->ch = NULL;
	GUEST_CALL(r, vmb_guest_close(guest.g, c->handle));
	fuzz_trace("\tclose: %d\n", r);
	fuzz_need(r == (out ? 0 : c->gone ? VMB_EHANDLE : VMB_ESTATE) || (!out && r == VMB_EHANDLE && c->released));
}

static void owner_release(struct guest_channel *c)
{
	int r, was = c->released;

	if (c->busy)
		return;
	c->released = 1;
	if (c->state == CHANNEL_OUT)
		c->state = CHANNEL_CLOSING;
	c->ch = NULL;
	GUEST_CALL(r, vmb_guest_release(guest.g, c->handle));
	fuzz_trace("\trelease: %d\n", r);
	fuzz_need(was ? r == VMB_ESTATE || r == VMB_EHANDLE : r == 0);
}

static void owner_target(struct guest_channel *c, const struct fuzz_step *s)
{
	int r;

	GUEST_CALL(r, vmb_guest_target(guest.g, c->handle, s->b < 250 ? s->b % 4 : VMB_VP_NONE));
	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EVERSION || r == VMB_EHANDLE || r == VMB_EINVAL);
	if (r)
		return;
	fuzz_need(c->state == CHANNEL_OUT && c->opened != 2 && !c->targeting);
	c->targeting = 1;
}

static void owner_create(struct guest_channel *c, const struct fuzz_step *s)
{
	uint64_t words[64];
	uint32_t n = s->c % 64, gpadl = 0;
	struct vmb_list list = { words, n, 1 };
	struct guest_list *l = &guest.mine[guest.mines];
	int r;

	if (guest.mines == GUEST_LISTS)
		return;
	words[0] = VMB_RANGE((n - 1) * VMB_PAGE, 0);
	if (s->v & 0x80000000)
		words[0] += s->v & 0xffff;
	for (uint32_t i = 1; i < n; i++)
		words[i] = GUEST_LIST_PFN + s->v % 1000 + i;
	if (s->v >> 24 == 0x55)
		list.count = 8192; /* more than can be announced: not even looked at */
	*l = (struct guest_list){ .channel = (uint32_t)(c - guest.channel) };
	GUEST_CALL(r, vmb_guest_gpadl_create(guest.g, c->handle, &list, &gpadl));
	fuzz_trace("\tcreate: %d %#x\n", r, gpadl);
	fuzz_need(r == 0 || r == VMB_EINVAL || r == VMB_ENOSPACE || r == VMB_ESTATE || r == VMB_EHANDLE || r == VMB_ETOOBIG);
	if (r)
		return;
	fuzz_need(gpadl && (!owner_list(gpadl) || owner_list(gpadl)->done) && !c->released && !c->gone && !c->rescinded);
	l->gpadl = gpadl;
	guest.mines++;
}

static void owner_destroy(const struct fuzz_step *s)
{
	struct guest_list *l = guest.mines && s->b < 240 ? &guest.mine[s->b % guest.mines] : NULL;
	uint32_t gpadl = l ? l->gpadl : s->v;
	int r;

	GUEST_CALL(r, vmb_guest_gpadl_destroy(guest.g, gpadl));
	fuzz_trace("\tdestroy %#x: %d\n", gpadl, r);
	fuzz_need(r == 0 || r == VMB_ENOENT);
	if (r)
		return;
	l = owner_list(gpadl);
	fuzz_need(l && !l->done && !l->destroyed);
	l->destroyed = 1;
}

/* ---- events */

static void owner_on_offer(const struct vmb_event *ev)
{
	struct vmb_offer offer = { .size = sizeof offer };
	struct guest_channel *c;
	unsigned alive = 0;
	int r;

	fuzz_need(ev->ch && !guest_owner_find(ev->ch) && !ev->status);
	GUEST_CALL(r, vmb_guest_offer(guest.g, ev->ch, &offer));
	fuzz_need(!r && offer.channel_id >= 1 && offer.channel_id < 2048 && (offer.monitor_id < 128 || offer.monitor_id == 255));
	if (guest.channels == GUEST_CHANNELS) { /* none of ours any more: give it back at once */
		GUEST_CALL(r, vmb_guest_release(guest.g, ev->ch));
		return;
	}
	c = &guest.channel[guest.channels++];
	memset(c, 0, sizeof *c);
	c->handle = ev->ch;
	c->id = offer.channel_id;
	for (unsigned i = 0; i < guest.channels; i++) {
		alive += !guest.channel[i].gone && !guest.channel[i].released;
		/* What has outlived its connection and is closed may be offered at once. */
		fuzz_need(&guest.channel[i] == c || guest.channel[i].id != c->id || guest.channel[i].released ||
			  (guest.channel[i].reserved && guest.channel[i].rescinded));
	}
	fuzz_need(alive <= guest.cfg.max_channels);
}

static void owner_on_opened(struct guest_channel *c, const struct vmb_event *ev)
{
	fuzz_need(c->state == CHANNEL_OUT && !c->opened && !c->released);
	fuzz_need(ev->status || c->id >= GUEST_IDS || guest.peer[c->id].yes);
	c->opened = !ev->status ? 1 : 2;
}

/* The rings are ours again; if they are said to be free, neither list nor open are the host's. */
static void owner_on_closed(struct guest_channel *c, const struct vmb_event *ev)
{
	const struct peer_list *l = guest_peer_ring(c->ring);

	fuzz_need(c->state == CHANNEL_CLOSING && !c->inside && !c->busy);
	fuzz_need(ev->status == 0 || ev->status == VMB_ELEAK);
	if (!ev->status) {
		fuzz_need(guest_peer_let_go(l));
		if (c->id < GUEST_IDS && l && l->channel == c->id && !l->rescinded && !l->torn)
			fuzz_need(!guest.peer[c->id].asked && !guest.peer[c->id].open);
	}
	guest.ring_kept[c->ring] = ev->status != 0;
	c->state = CHANNEL_IDLE;
	c->may_wake = c->opened = c->targeting = 0;
	guest_ring_lend(c->ring, 0);
	free(c->mem);
	c->mem = NULL;
}

static void owner_on_gone(struct guest_channel *c)
{
	fuzz_need(c->released && c->state == CHANNEL_IDLE && !c->inside);
	for (unsigned i = 0; i < guest.mines; i++)
		fuzz_need(guest.mine[i].done || &guest.channel[guest.mine[i].channel] != c);
	c->gone = 1;
}

static void owner_on_list(struct guest_channel *c, const struct vmb_event *ev)
{
	struct guest_list *l = owner_list(ev->gpadl);
	int last = ev->kind == VMB_EV_GPADL_DOWN || ev->status;

	fuzz_need(l && !l->done && &guest.channel[l->channel] == c);
	if (ev->kind == VMB_EV_GPADL) {
		fuzz_need(!l->created && !l->destroyed && !c->released);
		l->created = 1;
	} else {
		fuzz_need(l->destroyed || c->released);
		fuzz_need(ev->status == 0 || ev->status == VMB_ELEAK);
	}
	if (!last)
		return;
	l->done = 1;
	if (ev->status != VMB_ELEAK)
		fuzz_need(guest_peer_let_go(guest_peer_list(l->gpadl)));
}

/* No memory is the host's any more. */
static void owner_on_disconnected(const struct vmb_event *ev)
{
	fuzz_need(ev->status == 0 || ev->status == VMB_ELEAK || ev->status == VMB_ETIMEDOUT || ev->status == VMB_EPLATFORM);
	if (ev->status)
		return;
	for (unsigned i = 0; i < guest.lists; i++)
		fuzz_need(guest_peer_let_go(&guest.list[i]));
	memset(guest.ring_kept, 0, sizeof guest.ring_kept);
}

static void owner_on_bus(const struct vmb_event *ev)
{
	struct vmb_bus_info info = { .size = sizeof info };
	int r;

	GUEST_CALL(r, vmb_guest_info(guest.g, &info));
	fuzz_need(!r && !ev->ch);
	if (ev->kind == VMB_EV_CONNECTED) {
		fuzz_need(guest.connecting);
		guest.connecting = 0;
	} else if (ev->kind == VMB_EV_DISCONNECTED) {
		owner_on_disconnected(ev);
	} else {
		fuzz_need(ev->kind == VMB_EV_OFFERS_DONE);
	}
}

static void owner_event(const struct vmb_event *ev)
{
	struct guest_channel *c = ev->ch ? guest_owner_find(ev->ch) : NULL;

	fuzz_trace("\tevent %u of %u: %d\n", ev->kind, c ? (unsigned)(c - guest.channel) : 99, ev->status);
	if (guest_more_event(ev))
		return;
	if (ev->kind == VMB_EV_OFFER || ev->kind == VMB_EV_HVSOCK) {
		owner_on_offer(ev);
		return;
	}
	if (!ev->ch) {
		owner_on_bus(ev);
		return;
	}
	if (!c) {
		fuzz_need(guest.channels == GUEST_CHANNELS && ev->kind == VMB_EV_GONE);
		return;
	}
	fuzz_need(!c->gone);
	fuzz_need(!c->released || ev->kind == VMB_EV_CLOSED || ev->kind == VMB_EV_GPADL_DOWN || ev->kind == VMB_EV_GONE);
	switch (ev->kind) {
	case VMB_EV_OPENED: owner_on_opened(c, ev); break;
	case VMB_EV_CLOSED: owner_on_closed(c, ev); break;
	case VMB_EV_RESCINDED:
		fuzz_need(!c->rescinded);
		c->rescinded = 1;
		break;
	case VMB_EV_GONE: owner_on_gone(c); break;
	case VMB_EV_TARGET:
		fuzz_need(c->targeting && c->state == CHANNEL_OUT);
		c->targeting = 0;
		break;
	default:
		fuzz_need(ev->kind == VMB_EV_GPADL || ev->kind == VMB_EV_GPADL_DOWN);
		owner_on_list(c, ev);
		break;
	}
}

static unsigned owner_poll(unsigned n)
{
	struct vmb_event ev;
	unsigned got = 0;
	int r;

	for (; got < n; got++) {
		GUEST_CALL(r, vmb_guest_poll(guest.g, guest.now, &ev));
		fuzz_need(r == VMB_YES || r == 0);
		fuzz_need(r || !guest.now || ev.deadline > guest.now);
		if (!r)
			break;
		owner_event(&ev);
	}
	return got;
}

/* ---- steps */

static void owner_info(void)
{
	struct vmb_bus_info info = { .size = sizeof info };
	uint32_t cursor = 0, kind = 0;
	unsigned out = 0;
	int r;

	GUEST_CALL(r, vmb_guest_info(guest.g, &info));
	fuzz_need(!r && info.state <= VMB_BUS_LEAVING && info.channels <= guest.cfg.max_channels);
	for (unsigned i = 0; i < guest.channels; i++)
		out += guest.channel[i].state != CHANNEL_IDLE;
	fuzz_need(info.attached == out);
	do {
		struct vmb_part part = { .size = sizeof part };

		GUEST_CALL(r, vmb_guest_snapshot(guest.g, &cursor, &part));
		fuzz_need(r == VMB_YES || r == 0);
		if (r)
			kind = fuzz_part(&part, kind);
	} while (r);
}

static void owner_connection(const struct fuzz_step *s)
{
	int r;

	if (s->b & 1) {
		GUEST_CALL(r, vmb_guest_disconnect(guest.g));
		fuzz_trace("\tdisconnect: %d\n", r);
		fuzz_need(r == 0 || r == VMB_ESTATE);
	} else {
		guest.connecting = 1;
		GUEST_CALL(r, vmb_guest_connect(guest.g));
		fuzz_trace("\tconnect: %d\n", r);
		fuzz_need(r == 0 || r == VMB_ESTATE);
		if (!r)
			guest_more_connect();
	}
}

/* Bits of event flags, on any processor. */
static void owner_interrupt(const struct fuzz_step *s)
{
	uint32_t flags[64] = { 0 };
	uint8_t slot[256] __attribute__((aligned(256))) = { 0 };

	((uint8_t *)flags)[0] = s->b;
	((uint8_t *)flags)[s->v % 256] |= s->c;
	fuzz_need(!vmb_guest_interrupt(guest.g, flags, slot));
}

void guest_owner_step(const struct fuzz_step *s)
{
	struct guest_channel *c = guest.channels ? &guest.channel[s->a < 128 ? guest.channels - 1 - s->a % guest.channels : s->a % guest.channels]
						 : NULL;
	uint32_t op = s->op % 16;

	if (op == 0)
		owner_connection(s);
	else if (op <= 3)
		(void)owner_poll(1 + s->b % 8);
	else if (op == 4)
		owner_info();
	else if (op == 5)
		owner_interrupt(s);
	else if (op == 6)
		owner_destroy(s);
	if (!c)
		return;
	switch (op) {
	case 7: case 8: owner_open(c, s); break;
	case 9: owner_close(c); break;
	case 10: owner_release(c); break;
	case 11: owner_target(c, s); break;
	case 12: case 13: owner_create(c, s); break;
	case 14: case 15: guest_owner_data(c, s); break;
	}
}

/* ---- the end: with a host that answers, a disconnect always ends, and nothing is left */

static void owner_let_go(void)
{
	for (unsigned i = 0; i < guest.channels; i++)
		if (!guest.channel[i].released)
			owner_release(&guest.channel[i]);
}

void guest_owner_finish(int status)
{
	struct vmb_bus_info info = { .size = sizeof info };
	unsigned rounds = 0;
	int r;

	guest.fail_count = guest.preempt = 0;
	GUEST_CALL(r, vmb_guest_disconnect(guest.g));
	do {
		fuzz_need(rounds++ < 300);
		(void)owner_poll(10000);
		owner_let_go();
		guest_more_resume();
		guest_peer_answer_all(status);
		guest.now += 1000000;
		GUEST_CALL(r, vmb_guest_info(guest.g, &info));
		fuzz_need(!r);
	} while (info.state != VMB_BUS_NONE || info.channels || info.attached || info.gpadls);
	(void)owner_poll(10000);
	owner_let_go();
	(void)owner_poll(10000);
	GUEST_CALL(r, vmb_guest_info(guest.g, &info));
	fuzz_trace("\tleft: channels %u attached %u gpadls %u queued %u\n", info.channels, info.attached, info.gpadls, info.queued);
	fuzz_need(!r && !info.channels && !info.attached && !info.gpadls);
	for (unsigned i = 0; i < guest.channels; i++)
		fuzz_need(guest.channel[i].gone);
	for (unsigned i = 0; i < guest.mines; i++)
		fuzz_need(guest.mine[i].done);
	GUEST_CALL(r, vmb_guest_end(guest.g));
	fuzz_need(!r);
}
