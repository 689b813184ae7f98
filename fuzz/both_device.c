/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The host's embedder: devices that are offered, serve their channels, hold lists, are removed. What the input leaves undone they do when they
 * are left alone: answer each question, give back what is asked for.
 */
#include "both.h"
#include "watch.h"

#define DEVICE_USER 5000u

static struct both_device *device_of(vmb_handle handle)
{
	for (unsigned i = 0; i < both.devices; i++)
		if (both.device[i].handle == handle && !both.device[i].gone)
			return &both.device[i];
	return NULL;
}

struct both_side *both_device_at(uint64_t user)
{
	return user >= DEVICE_USER && user < DEVICE_USER + both.devices ? &both.device[user - DEVICE_USER].side : NULL;
}

/* Who serves what the guest opened last with this memory. */
struct both_side *both_device_serves(unsigned line)
{
	for (unsigned i = 0; i < both.devices; i++)
		if (both.device[i].side.ch && both.device[i].side.line == line)
			return &both.device[i].side;
	return NULL;
}

int both_device_holds(unsigned slot)
{
	for (unsigned i = 0; i < both.devices; i++)
		if (both.device[i].hold && both.device[i].hold_slot == slot)
			return 1;
	return 0;
}

/* ---- offers */

int both_device_offers(struct vmb_offer *o, struct both_device *d)
{
	int r;

	o->user = DEVICE_USER + (uint64_t)(d - both.device);
	BOTH_HOST(r, vmb_host_offer(both.h, o, &d->handle));
	fuzz_trace("\toffer: %d\n", r);
	fuzz_need(r == 0 || r == VMB_EINVAL || r == VMB_ENOSPACE);
	return r;
}

/* The number + 1 of the device that is there with this instance and subchannel, or 0. */
static uint32_t device_of_offer(const struct vmb_offer *o, uint32_t subchannel)
{
	for (unsigned i = 0; i < both.devices; i++) {
		const struct both_device *d = &both.device[i];

		if (!d->removed && d->offer.subchannel == subchannel && !memcmp(d->offer.instance.byte, o->instance.byte, 16))
			return i + 1;
	}
	return 0;
}

static uint32_t device_primary(const struct vmb_offer *o)
{
	return o->subchannel ? device_of_offer(o, 0) : 0;
}

static void device_offer(const struct fuzz_step *s)
{
	struct both_device *d = &both.device[both.devices];
	struct vmb_offer o = { .size = sizeof o, .class_id = { { 0xc0 } } };
	int r;

	if (both.devices == BOTH_DEVICES)
		return;
	o.instance.byte[0] = (uint8_t)(s->v % 5);
	o.subchannel = s->a & 1 ? 1 + s->c % 2 : 0;
	o.flags = VMB_OFFER_ENUMERATE | (s->b & 1 ? VMB_OFFER_PIPE : 0) | (s->b & 2 ? VMB_OFFER_NO_MONITOR : 0);
	o.flags |= (s->b & 12) == 12 ? VMB_OFFER_RENEW : 0;
	o.order = s->b >> 4;
	o.max_gpadls = s->a & 2 ? 2 : 0;
	o.max_gpadl_pages = s->a & 4 ? 8 : 0;
	*d = (struct both_device){ .primary = device_primary(&o), .offer = o };
	both.devices++;
	r = both_device_offers(&o, d);
	fuzz_need(r || !o.subchannel || d->primary);
	both.devices -= r != 0;
}

static void device_remove(struct both_device *d)
{
	int r;

	for (unsigned i = 0; i < both.devices; i++)
		if (&both.device[i] == d || both.device[i].primary == (uint32_t)(d - both.device) + 1)
			both.device[i].removed = 1;
	BOTH_HOST(r, vmb_host_remove(both.h, d->handle));
	fuzz_need(r == (d->gone ? VMB_EHANDLE : 0));
}

/* ---- serving */

static void device_forget(struct both_device *d)
{
	d->side.ch = NULL;
	d->side.may_wake = d->side.stopped = 0;
	free(d->side.mem);
	d->side.mem = NULL;
}

/* Opens of reserved channels say nothing of themselves: their pages do. */
static struct both_line *device_line_of_pages(const struct both_device *d, const struct vmb_open_info *info)
{
	uint64_t words[BOTH_RING_PAGES + 1];
	struct vmb_list list;
	int r;

	BOTH_HOST(r, vmb_host_gpadl_hold(both.h, d->handle, info->ring_gpadl, words, BOTH_RING_PAGES + 1, &list));
	fuzz_need(r == 0 || r == VMB_ENOENT);
	if (r)
		return NULL;
	BOTH_HOST(r, vmb_host_gpadl_release(both.h, d->handle, info->ring_gpadl));
	fuzz_need(!r && words[1] >= BOTH_RING_PAGE && words[1] < BOTH_LIST_PAGE);
	return &both.line[(words[1] - BOTH_RING_PAGE) / BOTH_RING_PAGES];
}

/* The line of an open that is there still, or none: the guest may have gone on, or mean an offer of before that came twice. */
static struct both_line *device_line(const struct both_device *d, const struct vmb_open_info *info)
{
	struct both_line *line = &both.line[info->user_data[0] % BOTH_RINGS];

	if (info->open_flags & VMB_OPEN_RESERVED)
		line = device_line_of_pages(d, info);
	else if (line->life != fuzz_get32(info->user_data + 4))
		line = NULL;
	if (!line || line->pipe == !!(d->offer.flags & VMB_OFFER_PIPE))
		return line;
	fuzz_need(both.mad);
	return NULL;
}

static void device_attached(struct both_device *d, struct both_line *line)
{
	unsigned n = (unsigned)(line - both.line);

	fuzz_need(both.mad || both.lent[BOTH_RING_PAGE + n * BOTH_RING_PAGES]);
	for (unsigned i = 0; i < both.devices; i++) /* one at a time */
		fuzz_need(both.mad || &both.device[i] == d || !both.device[i].side.ch || both.device[i].side.line != n);
	if (d->side.line != n || !d->paused)
		d->side.keeps = 0;
	d->side.line = n;
	d->state = BOTH_SERVES;
	d->paused = d->close_asked = 0;
	line->attaches++;
	both_data_adopt(&d->side);
}

static int device_attach(struct both_device *d, uint32_t bits)
{
	struct vmb_open_info info = { .size = sizeof info };
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = BOTH_ASKED };
	struct vmb_storage need;
	struct both_line *line;
	int r, was = d->state;

	if ((was != BOTH_ASKS && !d->paused) || was == BOTH_SERVES || was == BOTH_DRAINS)
		return 0;
	BOTH_HOST(r, vmb_host_open_info(both.h, d->handle, &info));
	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EHANDLE);
	line = r ? NULL : device_line(d, &info);
	if (!line) { /* the question has lost its sense */
		d->paused = 0;
		if (was == BOTH_ASKS) {
			d->state = BOTH_NONE;
			BOTH_HOST(r, vmb_host_answer(both.h, &d->question, VMB_ENOENT));
			fuzz_need(r == 0 || r == VMB_ENOENT);
		}
		return 1;
	}
	cfg.ring_pages = info.ring_pages;
	cfg.flags = bits & (VMB_CHANNEL_DEFER | VMB_CHANNEL_POLLED | VMB_CHANNEL_DIRTY);
	cfg.least_free = bits & 2 ? 64 : 0;
	fuzz_need(!vmb_channel_storage(&cfg, &need));
	d->side.host = d->side.may_wake = d->side.look = 1;
	d->side.full = d->side.stopped = 0;
	d->side.polled = (cfg.flags & VMB_CHANNEL_POLLED) != 0;
	d->side.mem = fuzz_alloc(need.align, need.bytes);
	BOTH_HOST(r, vmb_host_attach(both.h, d->handle, d->side.mem, need.bytes, &cfg, &d->side.ch));
	fuzz_trace("\tattach: %d\n", r);
	if (!r) {
		device_attached(d, line);
		return 1;
	}
	fuzz_need((r == VMB_ESTOPPED && was == BOTH_ASKS) || (r == VMB_ESTATE && d->paused) || (r == VMB_EMAP && both.unmappable) ||
		  (both.mad && r == VMB_EPEER));
	if (r == VMB_ESTATE)
		d->paused = 0;
	d->state = BOTH_NONE;
	device_forget(d);
	return 1;
}

static void device_detach(struct both_device *d)
{
	int r, may = d->state == BOTH_SERVES;

	if (may) {
		d->state = BOTH_DRAINS;
		both_data_quiet(&d->side);
		both_data_remember(&d->side);
		d->paused = !d->close_asked && !d->side.stopped;
		if (!d->paused)
			d->side.keeps = 0;
	}
	d->side.ch = NULL;
	BOTH_HOST(r, vmb_host_detach(both.h, d->handle));
	if (!may && !r && d->served)
		d->state = BOTH_DRAINS; /* before it was asked again */
	else
		fuzz_need(r == (may ? 0 : d->gone ? VMB_EHANDLE : VMB_ESTATE));
	d->served &= !!r;
}

static void device_refuse(struct both_device *d, int32_t status)
{
	int r;

	if (d->state != BOTH_ASKS)
		return;
	d->state = BOTH_NONE;
	BOTH_HOST(r, vmb_host_answer(both.h, &d->question, status));
	fuzz_need(r == 0 || r == VMB_ENOENT);
	BOTH_HOST(r, vmb_host_answer(both.h, &d->question, status));
	fuzz_need(r == VMB_ENOENT); /* late or twice, harmless */
}

/* ---- lists */

/* l NULL: what was held before a restore. */
static void device_hold(struct both_device *d, const struct both_list *l)
{
	uint64_t words[BOTH_LIST_WORDS];
	uint32_t gpadl = l ? l->gpadl : d->hold;
	struct vmb_list list;
	int r;

	BOTH_HOST(r, vmb_host_gpadl_hold(both.h, d->handle, gpadl, words, BOTH_LIST_WORDS, &list));
	fuzz_trace("\thold %#x: %d\n", gpadl, r);
	fuzz_need(r == 0 || r == VMB_ENOENT || r == VMB_EHANDLE);
	d->hold_known = !r;
	if (r || d->hold)
		return;
	fuzz_need(list.ranges == 1 && words[1] >= BOTH_LIST_PAGE && words[1] < BOTH_PAGES);
	fuzz_need(both.mad || both.lent[words[1]]);
	d->hold = gpadl;
	d->hold_asked = 0;
	d->hold_slot = ((unsigned)words[1] - BOTH_LIST_PAGE) / BOTH_LIST_PAGES;
}

static void device_let_go(struct both_device *d)
{
	uint32_t gpadl = d->hold;
	int r;

	if (!gpadl || (!d->hold_known && !d->hold_asked)) /* of before a restore, on its way out: that will be asked */
		return;
	d->hold = 0;
	if (d->hold_asked)
		BOTH_HOST(r, vmb_host_answer(both.h, &d->hold_question, 0));
	else
		BOTH_HOST(r, vmb_host_gpadl_release(both.h, d->handle, gpadl));
	fuzz_need(!r);
}

/* ---- events */

static void device_on_open(struct both_device *d, const struct vmb_event *ev)
{
	fuzz_need(d->state == BOTH_NONE && ev->flags & VMB_EVF_ASK && ev->token && !d->removed);
	d->paused = (ev->flags & VMB_EVF_RESTORED) != 0; /* its requests in flight go on */
	d->state = BOTH_ASKS;
	d->question = *ev;
}

static void device_on_bus(const struct vmb_event *ev)
{
	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		fuzz_need(!both.host_connected);
		both.host_connected = 1;
		break;
	case VMB_EV_DISCONNECTED:
		fuzz_need(both.host_connected);
		both.host_connected = 0;
		break;
	case VMB_EV_RESET:
		fuzz_need(both.resetting && !both.host_connected && !both.maps);
		both.resetting = both.stale = 0;
		for (uint32_t i = BOTH_RING_PAGE; i < BOTH_PAGES; i++)
			if (both.lent[i])
				both_wire_back(i, 1);
		break;
	default:
		fuzz_need(ev->kind == VMB_EV_HVSOCK);
		both_more_asked(ev);
		break;
	}
}

static void device_event(const struct vmb_event *ev)
{
	struct both_device *d = ev->ch ? device_of(ev->ch) : NULL;

	fuzz_trace("\thost: event %u of %d: %d\n", ev->kind, d ? (int)(d - both.device) : -1, ev->status);
	if (!ev->ch) {
		device_on_bus(ev);
		return;
	}
	fuzz_need(d && ev->user == DEVICE_USER + (uint64_t)(d - both.device));
	d->served = 0;
	switch (ev->kind) {
	case VMB_EV_OPEN:
		device_on_open(d, ev);
		break;
	case VMB_EV_CLOSE:
		if (ev->flags & VMB_EVF_RESTORED && d->state == BOTH_NONE)
			d->state = BOTH_SERVES; /* the process before did */
		fuzz_need(d->state == BOTH_SERVES && !d->close_asked);
		d->close_asked = 1;
		break;
	case VMB_EV_CLOSED:
		fuzz_need(d->state == BOTH_DRAINS);
		d->state = BOTH_NONE;
		device_forget(d);
		break;
	case VMB_EV_GPADL_DOWN:
		fuzz_need(d->hold == ev->gpadl && !d->hold_asked && ev->flags & VMB_EVF_ASK);
		d->hold_asked = 1;
		d->hold_question = *ev;
		break;
	default:
		fuzz_need(ev->kind == VMB_EV_GONE && (d->removed || (d->expires && ev->status == VMB_ETIMEDOUT)));
		fuzz_need(d->state == BOTH_NONE && !d->hold);
		d->gone = d->removed = 1;
		break;
	}
}

int both_device_poll(int n)
{
	struct vmb_event ev;
	int got = 0;
	int r;

	for (; got < n; got++) {
		BOTH_HOST(r, vmb_host_poll(both.h, both.now, &ev));
		fuzz_need((r == VMB_YES || r == 0) && ev.deadline > both.now);
		if (!r)
			break;
		device_event(&ev);
	}
	return got;
}

/* ---- left alone */

int both_device_react(void)
{
	int did = 0;

	for (unsigned i = 0; i < both.devices; i++) {
		struct both_device *d = &both.device[i];

		if (d->gone)
			continue;
		did |= both_data_work(&d->side);
		if (d->state == BOTH_ASKS || (d->state == BOTH_NONE && d->paused))
			did |= device_attach(d, 0);
		if (d->state == BOTH_SERVES && d->close_asked) {
			device_detach(d);
			did = 1;
		}
		if (d->hold_asked && d->hold) {
			device_let_go(d);
			did = 1;
		}
	}
	return did;
}

void both_device_judge(void)
{
	fuzz_need(both.stale || both.host_connected == both.connected);
	for (unsigned i = 0; i < both.devices; i++) {
		const struct both_device *d = &both.device[i];

		fuzz_need(d->state != BOTH_ASKS && d->state != BOTH_DRAINS && (d->removed == d->gone || both.stale));
		fuzz_need(!d->hold || !d->hold_asked);
		fuzz_need(d->state != BOTH_SERVES || !d->side.stopped);
	}
}

void both_device_leave(void)
{
	for (unsigned i = 0; i < both.devices; i++) {
		struct both_device *d = &both.device[i];

		device_let_go(d);
		if (d->state == BOTH_SERVES)
			device_detach(d);
		d->paused = 0;
	}
}

void both_device_gone(void)
{
	for (unsigned i = 0; i < both.devices; i++)
		device_remove(&both.device[i]);
	both_settle();
	for (unsigned i = 0; i < both.devices; i++)
		fuzz_need(both.device[i].gone && !both.device[i].side.mem);
}

/* The next process knows devices by their offers only: what a removed one served, it asks of the one that came in its place. */
static void device_leaves(const struct both_device *d)
{
	uint32_t next = d->served ? device_of_offer(&d->offer, d->offer.subchannel) : 0;

	if (next)
		both.device[next - 1].served = 1;
}

/* The host's end goes on in another process: what was mapped is not, and the devices are offered again. */
static void device_moves(struct both_device *d)
{
	both_data_remember(&d->side);
	device_forget(d);
	d->served |= d->state == BOTH_SERVES;
	d->state = BOTH_NONE;
	d->close_asked = d->paused = d->hold_asked = 0;
	if (!d->removed)
		return;
	device_leaves(d);
	d->gone = 1;
	d->handle = d->hold = 0; /* it may be another one's in the next process */
}

void both_device_saved(uint32_t format)
{
	static uint8_t blob[1 << 15];
	struct vmb_storage need;
	size_t bytes;
	int r, stopped = 0;

	for (unsigned i = 0; i < both.devices; i++) {
		both_data_quiet(&both.device[i].side);
		stopped |= both.device[i].side.stopped;
	}
	BOTH_HOST(r, vmb_host_save(both.h, format, blob, sizeof blob, &bytes));
	fuzz_trace("\thost saved: %d, %zu bytes\n", r, bytes);
	fuzz_need(r == 0 || (r == VMB_ESTATE && stopped));
	if (r)
		return;
	for (unsigned i = 0; i < both.devices; i++)
		device_moves(&both.device[i]);
	both_wire_moved();
	free(both.hmem);
	fuzz_need(!vmb_host_storage(&both.hcfg, &need));
	both.hmem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(!vmb_host_init(both.hmem, need.bytes, &both.hcfg, &both.h));
	both.host_connected = 0;
	both.asked_sockets = 0;
	for (unsigned i = 0; i < both.devices; i++)
		if (!both.device[i].gone)
			fuzz_need(!both_device_offers(&both.device[i].offer, &both.device[i]));
	BOTH_HOST(r, vmb_host_restore(both.h, blob, bytes));
	fuzz_trace("\thost restored: %d\n", r);
	fuzz_need(r == 0 || (r == VMB_EMAP && both.unmappable));
	both.refused = 1; /* slots may have room */
	if (r) { /* the next process is as good: this one has done nothing yet */
		BOTH_HOST(r, vmb_host_restore(both.h, blob, bytes));
		fuzz_need(!r);
	}
	for (unsigned i = 0; i < both.devices; i++)
		if (both.device[i].hold)
			device_hold(&both.device[i], NULL);
}

/* ---- steps */

static void device_info(const struct fuzz_step *s)
{
	struct vmb_bus_info info = { .size = sizeof info };
	uint32_t cursor = 0, kind = 0, gpadl;
	vmb_handle handle;
	int r;

	BOTH_HOST(r, vmb_host_info(both.h, &info));
	fuzz_need(!r && info.gpadls <= both.hcfg.max_gpadls && info.gpadl_pages <= both.hcfg.max_gpadl_pages);
	for (unsigned i = 0; i < both.devices; i++)
		both_data_info(&both.device[i].side);
	do {
		struct vmb_part part = { .size = sizeof part };

		BOTH_HOST(r, vmb_host_snapshot(both.h, &cursor, &part));
		fuzz_need(r == VMB_YES || r == 0);
		if (r)
			kind = fuzz_part(&part, kind);
	} while (r);
	cursor = 0;
	do {
		BOTH_HOST(r, vmb_host_users(both.h, BOTH_RING_PAGE, 1 + s->v % BOTH_PAGES, &cursor, &handle, &gpadl));
		fuzz_need(r == 0 || (r == VMB_YES && device_of(handle) && gpadl));
	} while (r);
}

static void device_some(struct both_device *d, const struct fuzz_step *s)
{
	switch (s->op % 16) {
	case 5: case 6: case 7: (void)device_attach(d, s->b); break;
	case 8: device_detach(d); break;
	case 9: device_refuse(d, s->b & 1 ? VMB_ENOSPACE : (int32_t)(s->v | 1)); break;
	case 10:
		if (!d->hold)
			device_hold(d, &both.list[s->b % BOTH_LISTS]);
		break;
	case 11: device_let_go(d); break;
	case 12:
		if (s->b & 1)
			both_data_cancel(&d->side);
		else
			both_data_complete(&d->side, s->c);
		break;
	case 13: device_remove(d); break;
	case 14: both_data_send(&d->side, s); break;
	case 15: both_data_recv(&d->side, 1 + s->b % 8u); break;
	}
}

void both_device_step(const struct fuzz_step *s)
{
	switch (s->op % 16) {
	case 0: device_offer(s); return;
	case 1: case 2: case 3: (void)both_device_poll(1 + s->b % 8); return;
	case 4: device_info(s); return;
	}
	if (both.devices)
		device_some(&both.device[s->a < 128 ? both.devices - 1 - s->a % both.devices : s->a % both.devices], s);
}
