/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The embedder: devices that are offered, attached, detached and removed, answer late, twice or not at all, and hold lists. Each event must
 * be the one that can come now: OPEN, answer, CLOSE, detach, CLOSED, OPEN ..., GONE once and last.
 */
#include "host.h"

struct host_device *host_device_at(uint64_t user)
{
	return user >= HOST_USER && user < HOST_USER + host.devices ? &host.device[user - HOST_USER] : NULL;
}

static struct host_device *device_of(vmb_handle handle)
{
	for (uint32_t i = 0; i < host.devices; i++)
		if (host.device[i].handle == handle)
			return &host.device[i];
	return NULL;
}

int host_device_holds(const struct host_device *d)
{
	int n = 0;

	for (unsigned i = 0; i < HOST_HOLDS; i++)
		n += d->hold[i].n != 0;
	return n;
}

static struct host_hold *device_hold(struct host_device *d, uint32_t gpadl)
{
	for (unsigned i = 0; i < HOST_HOLDS; i++)
		if (d->hold[i].n && d->hold[i].gpadl == gpadl)
			return &d->hold[i];
	return NULL;
}

/* ---- data, on the device's own thread */

void host_device_data(struct host_device *d, const struct fuzz_step *s)
{
	uint8_t payload[64] = { 1, 0, 0, 0, 8 }, buf[512] __attribute__((aligned(8)));
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .len = s->c % 64, .payload = payload };
	int r, asked = d->close_asked;

	if (!d->ch || d->busy)
		return;
	d->busy = 1;
	if (s->b & 1) {
		p.flags = s->b & 4 ? VMB_PKT_WANTS_REPLY : 0;
		r = vmb_channel_send(d->ch, &p);
	} else {
		r = vmb_channel_recv(d->ch, buf, sizeof buf, &p);
	}
	fuzz_need(!asked || r == VMB_ESTOPPED || r == VMB_EPEER);
	fuzz_need(r >= 0 || VMB_GROUP(r) == VMB_GROUP_INFO || r == VMB_EPEER || r == VMB_ETOOBIG || r == VMB_EINVAL);
	d->busy = 0;
}

/* ---- offers */

static uint32_t device_primary(const struct host_device *d)
{
	for (uint32_t i = 0; d->sub && i < host.devices; i++) {
		const struct host_device *p = &host.device[i];

		if (!p->removed && !p->sub && p->class == d->class && p->instance == d->instance)
			return i + 1;
	}
	return 0;
}

/* The device that comes next, or NULL: there are enough. */
static struct host_device *device_next(void)
{
	struct host_device *d = &host.device[host.devices];

	if (host.devices == HOST_DEVICES)
		return NULL;
	memset(d, 0, sizeof *d);
	return d;
}

static void device_offered(struct host_device *d, struct vmb_offer *o)
{
	vmb_handle handle = 0;
	int r;

	o->user = HOST_USER + host.devices;
	o->user_defined[60] = (uint8_t)host.devices;
	host.devices++; /* the guest may hear of it before the call returns */
	HOST_CALL(r, vmb_host_offer(host.h, o, &handle));
	fuzz_trace("\toffer: %d\n", r);
	fuzz_need(r == 0 || r == VMB_EINVAL || r == VMB_ENOSPACE);
	if (r) {
		host.devices--;
		return;
	}
	fuzz_need(handle && !device_of(handle) && (!d->sub || d->primary));
	d->handle = handle;
}

static void device_offer(const struct fuzz_step *s)
{
	struct vmb_offer o = { .size = sizeof o };
	struct host_device *d = device_next();

	if (!d)
		return;
	d->class = s->b & 1;
	d->instance = s->v % 6;
	d->sub = s->a & 0x20 ? 1 + s->c % 3 : 0;
	o.class_id.byte[0] = (uint8_t)d->class;
	o.instance.byte[0] = (uint8_t)d->instance;
	o.subchannel = d->sub;
	d->renews = (s->a & 0xc0) == 0x40;
	d->expires = s->b >> 2 & 1;
	o.flags = VMB_OFFER_ENUMERATE | (s->b & 2 ? VMB_OFFER_PIPE : 0) | (s->b & 4 ? VMB_OFFER_HVSOCK : 0);
	o.flags |= (d->renews ? VMB_OFFER_RENEW : 0) | (s->a & 8 ? VMB_OFFER_NO_MONITOR : 0);
	o.order = s->b >> 4;
	o.channel_id = s->a & 1 ? host.cfg.first_channel_id + s->c % 10 : 0;
	o.max_gpadls = s->a & 2 ? 1 : 0;
	o.max_gpadl_pages = s->a & 4 ? 4 : 0;
	o.mmio_mb = s->a == 255 ? s->v : 0;
	d->primary = device_primary(d);
	device_offered(d, &o);
}

void host_device_offer(struct vmb_offer *o)
{
	struct host_device *d = device_next();

	if (!d)
		return;
	d->class = 200 + host.devices; /* nobody's primary */
	d->expires = 1;
	device_offered(d, o);
}

static void device_remove(struct host_device *d)
{
	int r;

	for (uint32_t i = 0; i < host.devices && !d->gone; i++) {
		struct host_device *sub = &host.device[i];

		if (sub == d || (sub->primary && &host.device[sub->primary - 1] == d))
			sub->removed = 1;
	}
	HOST_CALL(r, vmb_host_remove(host.h, d->handle));
	fuzz_need(r == (d->gone ? VMB_EHANDLE : 0));
}

/* ---- serving */

static int device_is_callers(int r)
{
	return r == VMB_EINVAL || r == VMB_ENOSPACE || r == VMB_ESTATE || r == VMB_EHANDLE || r == VMB_EAGAIN;
}

static void device_unmap(struct host_device *d)
{
	host_platform_disown(d->owns, d->own);
	free(d->own);
	d->own = NULL;
	d->owns = 0;
}

/* The embedder maps the rings itself, from a copy of their list; and is sometimes wrong about them. */
static void device_map(struct host_device *d, const struct vmb_open_info *info, uint32_t wrong, struct vmb_channel_config *cfg)
{
	uint32_t n = info->ring_pages, rx = info->rx_pages;
	uint64_t *words = fuzz_alloc(8, (n + 1) * sizeof *words);
	struct vmb_list list;
	int r;

	HOST_CALL(r, vmb_host_gpadl_hold(host.h, d->handle, info->ring_gpadl, words, n + 1, &list));
	fuzz_need(r == 0 || r == VMB_ENOENT);
	if (!r) {
		fuzz_need(list.count == n + 1 && list.ranges == 1 && words[0] == VMB_RANGE(n * VMB_PAGE, 0));
		HOST_CALL(r, vmb_host_gpadl_release(host.h, d->handle, info->ring_gpadl));
		fuzz_need(!r);
		d->own = calloc(n, sizeof *d->own);
		fuzz_need(d->own);
		d->owns = n;
		if (host_platform_own(words + 1, n, d->own)) {
			d->owns = 0;
			device_unmap(d);
		}
	}
	free(words);
	if (!d->owns)
		return;
	cfg->rx = (struct vmb_ring_mem){ .control = d->own[0], .pages = d->own + 1, .data_pages = rx - 1 + (wrong == 1) };
	cfg->tx = (struct vmb_ring_mem){ .control = wrong == 2 ? NULL : d->own[rx], .pages = d->own + rx + 1, .data_pages = n - rx - 1 };
}

static void device_attach(struct host_device *d, const struct fuzz_step *s)
{
	struct vmb_open_info info = { .size = sizeof info };
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_storage need = { 0, 64 };
	int r, was = d->state, could = d->may_wake;
	struct vmb_channel *ch = NULL;
	void *mem;

	HOST_CALL(r, vmb_host_open_info(host.h, d->handle, &info));
	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EHANDLE);
	cfg.ring_pages = info.ring_pages - (s->b & 1);
	cfg.requests = s->c % 4;
	cfg.flags = s->b >> 1 & (VMB_CHANNEL_RAW | VMB_CHANNEL_POLLED | VMB_CHANNEL_DIRTY | VMB_CHANNEL_DEFER);
	if (!r && s->b & 0x80 && !d->own)
		device_map(d, &info, s->c >> 4, &cfg);
	if (r || vmb_channel_storage(&cfg, &need))
		cfg.ring_pages = 0;
	mem = fuzz_alloc(need.align, need.bytes);
	host.attaching = d;
	d->may_wake = 1;
	HOST_CALL(r, vmb_host_attach(host.h, d->handle, mem, s->b & 0x40 ? need.bytes / 2 : need.bytes, &cfg, &ch));
	fuzz_trace("\tattach: %d\n", r);
	host.attaching = NULL;
	if (!r) {
		fuzz_need(was == DEVICE_ASKED || was == DEVICE_NONE);
		d->state = DEVICE_SERVING;
		d->remote = d->close_asked = 0;
		d->ring_gpadl = info.ring_gpadl;
		d->mem = mem;
		d->ch = ch;
		return;
	}
	fuzz_need(device_is_callers(r) || r == VMB_EMAP || r == VMB_EPEER || (r == VMB_ESTOPPED && was == DEVICE_ASKED));
	if (was == DEVICE_ASKED && !device_is_callers(r))
		d->state = DEVICE_NONE;
	d->may_wake = could;
	free(mem);
	if (!d->mem && d->own)
		device_unmap(d);
}

static void device_detach(struct host_device *d)
{
	int r, may = d->state == DEVICE_SERVING;

	if (d->busy)
		return; /* the owner's one duty */
	if (may)
		d->state = DEVICE_DRAINING;
	d->ch = NULL;
	HOST_CALL(r, vmb_host_detach(host.h, d->handle));
	fuzz_trace("\tdetach: %d\n", r);
	fuzz_need(r == (may ? 0 : d->gone ? VMB_EHANDLE : VMB_ESTATE));
}

/* ---- answers */

static void device_answer_open(struct host_device *d, int32_t status)
{
	int r, could = d->may_wake;

	d->may_wake = 1;
	HOST_CALL(r, vmb_host_answer(host.h, &d->question, status));
	fuzz_trace("\tanswer open: %d\n", r);
	fuzz_need(r == 0 || r == VMB_ENOENT);
	d->state = DEVICE_NONE;
	d->may_wake = could;
	if (r || status)
		return;
	d->state = DEVICE_SERVING;
	d->remote = d->may_wake = 1;
	d->close_asked = 0;
}

static void device_answer_close(struct host_device *d)
{
	int r;

	if (d->busy)
		return;
	if (d->remote)
		d->state = DEVICE_DRAINING;
	HOST_CALL(r, vmb_host_answer(host.h, &d->question, 0));
	fuzz_need(r == (d->remote ? 0 : VMB_ESTATE));
}

static void device_answer(struct host_device *d, const struct fuzz_step *s)
{
	if (d->state == DEVICE_ASKED)
		device_answer_open(d, s->b & 1 ? 0 : s->b & 2 ? VMB_ENOSPACE : (int32_t)s->v);
	else if (d->state == DEVICE_SERVING && d->close_asked)
		device_answer_close(d);
}

/* A question from long ago: whatever is said to it has no effect, unless it is still open; then see above. */
static void device_answer_old(const struct fuzz_step *s)
{
	const struct vmb_event *q = &host.old[s->b % 8];
	struct host_device *d = device_of(q->ch);
	struct host_hold *hold;
	int r;

	if (!q->kind || !d)
		return;
	hold = device_hold(d, q->gpadl);
	if ((d->state != DEVICE_NONE && d->question.token == q->token) || (hold && hold->question.token == q->token))
		return;
	HOST_CALL(r, vmb_host_answer(host.h, q, q->kind == VMB_EV_OPEN ? (int32_t)s->v : 0));
	fuzz_need(r == VMB_ENOENT);
}

/* ---- lists */

static void device_take_hold(struct host_device *d, const struct fuzz_step *s)
{
	uint32_t gpadl = s->b % 8, max;
	struct vmb_gpadl_info info = { .size = sizeof info };
	struct host_hold *hold = device_hold(d, gpadl);
	struct vmb_list list;
	uint64_t *words;
	int r;

	for (unsigned i = 0; !hold && i < HOST_HOLDS; i++)
		if (!d->hold[i].n)
			hold = &d->hold[i];
	if (!hold)
		return;
	HOST_CALL(r, vmb_host_gpadl_info(host.h, d->handle, gpadl, &info));
	fuzz_need(r == (d->gone ? VMB_EHANDLE : r) && (r == 0 || r == VMB_ENOENT || r == VMB_EHANDLE));
	fuzz_need(r || info.held == hold->n);
	max = s->c & 1 && info.words ? info.words - 1 : info.words;
	words = fuzz_alloc(8, max * 8);
	HOST_CALL(r, vmb_host_gpadl_hold(host.h, d->handle, gpadl, words, max, &list));
	fuzz_trace("\thold: %d\n", r);
	fuzz_need(r == 0 || r == VMB_ENOENT || r == VMB_EHANDLE || r == VMB_ETOOSMALL);
	fuzz_need(r || !d->removed);
	if (!r) {
		struct vmb_list check;

		fuzz_need(list.words == words && list.count == info.words && list.ranges == info.ranges);
		fuzz_need(!vmb_list_check(words, list.count, list.ranges, &check, NULL) && check.count == list.count);
		hold->gpadl = gpadl;
		hold->asked = hold->n ? hold->asked : 0;
		hold->n++;
	}
	free(words);
}

static void device_release_hold(struct host_device *d, uint32_t gpadl)
{
	struct host_hold *hold = device_hold(d, gpadl);
	int had = hold != NULL, r;

	if (hold)
		hold->n--;
	HOST_CALL(r, vmb_host_gpadl_release(host.h, d->handle, gpadl));
	fuzz_need(had ? r == 0 : r == VMB_ENOENT || r == VMB_EHANDLE);
}

/* The answer ends all holds of the list. */
static void device_answer_hold(struct host_device *d, const struct fuzz_step *s)
{
	struct host_hold *hold = &d->hold[s->b % HOST_HOLDS];
	int r;

	if (!hold->n || !hold->asked)
		return;
	hold->n = 0;
	HOST_CALL(r, vmb_host_answer(host.h, &hold->question, 0));
	fuzz_need(!r);
}

/* Who uses a page? At least one channel where a ring is mapped. */
static void device_users(const struct fuzz_step *s)
{
	uint64_t pfn = HOST_FIRST_PFN + s->v % HOST_PAGES;
	uint32_t cursor = 0, gpadl, n = 0;
	vmb_handle handle;
	int r;

	for (;;) {
		struct host_device *d;

		HOST_CALL(r, vmb_host_users(host.h, pfn, 1 + s->b % 4, &cursor, &handle, &gpadl));
		fuzz_need(r == VMB_YES || r == 0);
		if (!r)
			break;
		d = device_of(handle);
		fuzz_need(d && !d->gone && n++ < 2 * host.cfg.max_gpadls);
	}
	fuzz_need(n || !host_platform_is_ring(pfn));
}

/* ---- events */

static void device_on_open(struct host_device *d, const struct vmb_event *ev)
{
	struct vmb_open_info info = { .size = sizeof info };
	int r;

	fuzz_need(d->state == DEVICE_NONE && ev->flags == VMB_EVF_ASK && ev->token && !d->removed);
	d->state = DEVICE_ASKED;
	d->question = *ev;
	HOST_CALL(r, vmb_host_open_info(host.h, d->handle, &info));
	if (!r)
		d->reserved = (info.open_flags & VMB_OPEN_RESERVED) != 0;
}

static void device_on_close(struct host_device *d, const struct vmb_event *ev)
{
	const struct fuzz_step look = { 0, 0, 0, 0, 0 };

	fuzz_need(d->state == DEVICE_SERVING && !d->close_asked && ev->flags == VMB_EVF_ASK && ev->token);
	d->close_asked = 1;
	d->question = *ev;
	host_device_data(d, &look);
}

static void device_on_closed(struct host_device *d)
{
	fuzz_need(d->state == DEVICE_DRAINING && !d->inside && !d->busy);
	d->state = DEVICE_NONE;
	d->may_wake = 0;
	free(d->mem);
	d->mem = NULL;
	if (d->own)
		device_unmap(d);
}

static void device_on_gpadl(struct host_device *d, const struct vmb_event *ev)
{
	struct host_hold *hold = device_hold(d, ev->gpadl);

	fuzz_need(hold && !hold->asked && ev->flags == VMB_EVF_ASK && ev->token);
	hold->asked = 1;
	hold->question = *ev;
}

static void device_on_gone(struct host_device *d)
{
	fuzz_need((d->removed || d->expires) && d->state == DEVICE_NONE && !host_device_holds(d) && !d->inside);
	d->gone = d->removed = 1;
	d->id = 0;
}

static void device_on_bus(const struct vmb_event *ev)
{
	if (ev->kind == VMB_EV_HVSOCK) {
		host_more_socket(ev);
		return;
	}
	fuzz_need(!ev->ch && !ev->flags);
	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		fuzz_need(!host.connected);
		host.connected = 1;
		break;
	case VMB_EV_DISCONNECTED:
		fuzz_need(host.connected);
		host.connected = 0;
		break;
	default:
		fuzz_need(ev->kind == VMB_EV_RESET && host.resetting && !host.connected);
		host.resetting = 0;
		break;
	}
}

static void device_event(const struct vmb_event *ev)
{
	struct host_device *d = ev->ch ? device_of(ev->ch) : NULL;

	fuzz_trace("\tevent %u of %u\n", ev->kind, d ? (unsigned)(d - host.device) : 99);
	fuzz_need(!ev->status || (ev->kind == VMB_EV_GONE && ev->status == VMB_ETIMEDOUT && d && d->expires));
	if (!ev->ch) {
		device_on_bus(ev);
		return;
	}
	fuzz_need(d && !d->gone && host_device_at(ev->user) == d);
	if (ev->flags & VMB_EVF_ASK)
		host.old[host.olds++ % 8] = *ev;
	switch (ev->kind) {
	case VMB_EV_OPEN: device_on_open(d, ev); break;
	case VMB_EV_CLOSE: device_on_close(d, ev); break;
	case VMB_EV_CLOSED: device_on_closed(d); break;
	case VMB_EV_GPADL_DOWN: device_on_gpadl(d, ev); break;
	case VMB_EV_GONE: device_on_gone(d); break;
	default: fuzz_need(ev->kind == VMB_EV_OPEN); /* no other is of the host end */
	}
}

/* How many there were, at most n. */
static unsigned device_poll(unsigned n)
{
	uint64_t now = (uint64_t)host.in.steps << 20; /* about a millisecond for each step */
	struct vmb_event ev;
	unsigned got = 0;
	int r = VMB_YES;

	for (; got < n; got++) {
		HOST_CALL(r, vmb_host_poll(host.h, now, &ev));
		fuzz_need((r == VMB_YES || r == 0) && ev.deadline > now);
		if (!r)
			break;
		device_event(&ev);
	}
	return got;
}

/* ---- steps */

static void device_control(const struct fuzz_step *s)
{
	struct vmb_bus_info info = { .size = sizeof info };
	unsigned alive = 0, serving = 0, expiring = 0;
	int r;

	if (s->b > 240) {
		host.resetting = 1;
		HOST_CALL(r, vmb_host_reset(host.h));
		fuzz_need(!r);
	}
	device_users(s);
	HOST_CALL(r, vmb_host_info(host.h, &info));
	fuzz_need(!r && info.state <= VMB_BUS_RESETTING);
	for (uint32_t i = 0; i < host.devices; i++) {
		alive += !host.device[i].removed;
		expiring += !host.device[i].removed && host.device[i].expires;
		serving += host.device[i].mem && host.device[i].state == DEVICE_SERVING;
	}
	if (serving && s->b == 200) {
		HOST_CALL(r, vmb_host_end(host.h));
		fuzz_need(r == VMB_ESTATE);
	}
	fuzz_need(info.channels <= alive && info.channels + expiring >= alive && info.attached >= serving);
	fuzz_need(alive - expiring <= host.cfg.max_channels);
}

void host_device_step(const struct fuzz_step *s)
{
	struct host_device *d = host.devices ? &host.device[s->a % host.devices] : NULL;
	uint32_t op = s->op % 16;
	int r;

	if (op == 0)
		device_offer(s);
	else if (op <= 3)
		(void)device_poll(1 + s->b % 8);
	else if (op == 4)
		device_control(s);
	else if (op == 5)
		device_answer_old(s);
	if (!d)
		return;
	switch (op) {
	case 6: case 7: device_attach(d, s); break;
	case 8: device_detach(d); break;
	case 9: device_answer(d, s); break;
	case 10: device_take_hold(d, s); break;
	case 11: device_release_hold(d, s->b % 8); break;
	case 12: device_answer_hold(d, s); break;
	case 13: device_remove(d); break;
	case 14: host_device_data(d, s); break;
	case 15: /* the guest's signal, on a processor of its own */
		r = vmb_host_signal(host.h, s->b & 1 ? 2 : s->b & 2 ? s->v : 0x2000u + host.cfg.first_channel_id + s->a % 12, s->b >> 7);
		fuzz_need(r == VMB_HV_SUCCESS || r == VMB_HV_INVALID_CONNECTION || r == VMB_HV_INVALID_PARAMETER);
		break;
	}
}

/* ---- the end: a reset always ends once devices let go, and nothing is left */

static void device_let_go(struct host_device *d)
{
	for (unsigned i = 0; i < HOST_HOLDS; i++)
		while (d->hold[i].n)
			device_release_hold(d, d->hold[i].gpadl);
	if (d->state == DEVICE_ASKED)
		device_answer_open(d, VMB_ENOSPACE);
	if (d->state == DEVICE_SERVING)
		device_detach(d);
}

static void device_settle(void)
{
	unsigned rounds = 0, busy;

	do {
		busy = device_poll(1000);
		fuzz_need(busy < 1000 && rounds++ < 100);
		for (uint32_t i = 0; i < host.devices; i++) {
			busy += host.device[i].state != DEVICE_NONE || host_device_holds(&host.device[i]);
			device_let_go(&host.device[i]);
		}
	} while (busy);
}

static int device_is_idle(void)
{
	for (uint32_t i = 0; i < host.devices; i++)
		if (host.device[i].mem || host.device[i].state != DEVICE_NONE || host_device_holds(&host.device[i]))
			return 0;
	return 1;
}

void host_device_finish(void)
{
	struct vmb_bus_info info = { .size = sizeof info };
	int r;

	host.preempt = 0;
	if (host.in.steps & 2 && device_is_idle()) { /* it may also end as it stands */
		HOST_CALL(r, vmb_host_end(host.h));
		fuzz_need(!r && !host_platform_mapped());
		return;
	}
	host.resetting = 1;
	HOST_CALL(r, vmb_host_reset(host.h));
	fuzz_need(!r);
	device_settle();
	fuzz_need(!host.resetting && !host.connected && !host_platform_mapped());
	HOST_CALL(r, vmb_host_info(host.h, &info));
	fuzz_need(!r && info.state == VMB_BUS_NONE && !info.attached && !info.gpadls && !info.gpadl_pages && !info.queued);
	for (uint32_t i = 0; i < host.devices; i++)
		device_remove(&host.device[i]);
	device_settle();
	for (uint32_t i = 0; i < host.devices; i++)
		fuzz_need(host.device[i].gone);
	HOST_CALL(r, vmb_host_info(host.h, &info));
	fuzz_need(!r && !info.channels);
	HOST_CALL(r, vmb_host_end(host.h));
	fuzz_need(!r);
}
