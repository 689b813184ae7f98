/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Devices that answer and a driver that checks. See echo.h. */
#include "echo.h"

#include <stdlib.h>
#include <string.h>

enum { BUF = 8192, PAYLOAD_MAX = 600 };

static uint8_t pattern(uint32_t seed, uint32_t i)
{
	return (uint8_t)(seed * 31 + i * 7 + (i >> 8));
}

static void *block(const struct vmb_storage *need)
{
	void *p = aligned_alloc(need->align, (need->bytes + need->align - 1) / need->align * need->align);

	if (p)
		memset(p, 0xc3, need->bytes);
	return p;
}

/* ---- the devices */

int echo_offer(struct machine *m, unsigned n)
{
	static const char *const classes[] = { VMB_CLASS_SCSI, VMB_CLASS_NET, VMB_CLASS_HEARTBEAT, VMB_CLASS_VPCI };
	struct echo *e = machine_user(m);
	struct vmb_offer offer = { .size = sizeof offer, .flags = VMB_OFFER_ENUMERATE, .user = n + 1 };
	int r;

	vmb_guid_parse(classes[n / 2 % 4], &offer.class_id);
	offer.instance.byte[0] = (uint8_t)(n + 1);
	offer.instance.byte[15] = 0x42;
	if (e->cfg.pipe) {
		offer.flags |= VMB_OFFER_PIPE;
		offer.user_defined[0] = 4;
	}
	r = vmb_host_offer(machine_host(m), &offer, &e->device[n].handle);
	if (r == 0)
		e->device[n].offered = 1;
	return r;
}

static void device_attach(struct machine *m, struct echo_device *d)
{
	struct vmb_open_info info = { .size = sizeof info };
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_storage need;
	int r;

	d->open = 0;
	if (vmb_host_open_info(machine_host(m), d->handle, &info) < 0) {
		machine_fail(m, "no open info");
		return;
	}
	cfg.ring_pages = info.ring_pages;
	if (vmb_channel_storage(&cfg, &need) < 0 || !(d->mem = block(&need))) {
		machine_fail(m, "no storage for a channel");
		return;
	}
	r = vmb_host_attach(machine_host(m), d->handle, d->mem, need.bytes, &cfg, &d->ch);
	if (r < 0) { /* the guest knows, or has gone */
		if (VMB_GROUP(r) == VMB_GROUP_CALLER)
			machine_fail(m, "attach blames the caller");
		free(d->mem);
		d->mem = NULL;
		d->ch = NULL;
	} else {
		d->ready = 1;
	}
}

static void device_detach(struct machine *m, struct echo_device *d)
{
	if (d->closing == 2)
		return;
	d->closing = 2; /* until CLOSED */
	d->ready = 0;
	if (vmb_host_detach(machine_host(m), d->handle) < 0)
		machine_fail(m, "detach fails");
}

/* Answer one request; 0 if the ring of answers is full. */
static int device_answer(struct machine *m, struct echo_device *d, const struct vmb_packet *p)
{
	struct vmb_packet answer = { .kind = VMB_PKT_COMPLETION, .id = p->id, .payload = p->payload, .len = p->len };
	uint64_t bytes = vmb_packet_bytes(p);
	uint8_t chunk[512];
	int r;

	for (uint64_t at = 0; at < bytes; at += sizeof chunk) {
		uint32_t n = bytes - at < sizeof chunk ? (uint32_t)(bytes - at) : (uint32_t)sizeof chunk;

		if (vmb_packet_read(p, NULL, machine_mapper(m), at, chunk, n) < 0)
			break; /* the map fault of a test */
		for (uint32_t i = 0; i < n; i++)
			chunk[i] ^= 0xff;
		if (vmb_packet_write(p, NULL, machine_mapper(m), at, chunk, n) < 0)
			break;
	}
	r = vmb_channel_send(d->ch, &answer);
	if (r == 0)
		d->served++;
	else if (r != VMB_EFULL && r != VMB_ESTOPPED && r != VMB_EPEER)
		machine_fail(m, "an answer cannot be sent");
	return r != VMB_EFULL;
}

static int device_serve(struct machine *m, struct echo_device *d)
{
	static uint64_t buf[BUF / 8];
	struct vmb_packet p;
	int r = 1;

	for (unsigned budget = 1 + (unsigned)(machine_random(m) % 8); budget; budget--) {
		r = vmb_channel_recv(d->ch, buf, sizeof buf, &p);
		if (r <= 0)
			break;
		if (p.flags & VMB_PKT_WANTS_REPLY && !device_answer(m, d, &p))
			machine_fail(m, "no room for an answer although requests are fewer than fit");
		if (!(p.flags & VMB_PKT_WANTS_REPLY))
			d->served++;
	}
	if (r == 0) /* asleep: a wake will come */
		d->ready = 0;
	if (r < 0)
		device_detach(m, d);
	return 1;
}

static void host_event(struct machine *m, const struct vmb_event *ev)
{
	struct echo *e = machine_user(m);
	struct echo_device *d = ev->user ? &e->device[ev->user - 1] : NULL;

	switch (ev->kind) {
	case VMB_EV_OPEN:
		d->question = *ev;
		d->open = machine_random(m) % 100 < e->cfg.late_open ? 1 + (int)(machine_random(m) % 20) : 1;
		break;
	case VMB_EV_CLOSE:
		if (d->ch && !d->closing)
			d->closing = 1;
		break;
	case VMB_EV_CLOSED:
		free(d->mem);
		d->mem = NULL;
		d->ch = NULL;
		d->closing = 0;
		break;
	case VMB_EV_GONE:
		e->host_gones++;
		if (d->ch)
			machine_fail(m, "GONE before CLOSED");
		if (d->handle == ev->ch)
			d->offered = 0;
		break;
	default:
		break;
	}
}

static void host_wake(struct machine *m, uint64_t user)
{
	struct echo *e = machine_user(m);

	if (!e->device[user - 1].ch && !e->device[user - 1].open)
		machine_fail(m, "a wake for a device that has no channel");
	e->device[user - 1].ready = 1;
}

static int host_work(struct machine *m)
{
	struct echo *e = machine_user(m);
	unsigned first = (unsigned)(machine_random(m) % ECHO_DEVICES);

	for (unsigned i = 0; i < ECHO_DEVICES; i++) {
		struct echo_device *d = &e->device[(first + i) % ECHO_DEVICES];

		if (d->open > 1) {
			d->open--;
			return 1;
		}
		if (d->open)
			return device_attach(m, d), 1;
		if (d->closing == 1)
			return device_detach(m, d), 1;
		if (d->ch && d->ready && !d->closing)
			return device_serve(m, d);
	}
	return 0;
}

/* ---- the driver */

static struct echo_client *client_of(struct echo *e, vmb_handle ch)
{
	for (unsigned i = 0; i < ECHO_CLIENTS; i++)
		if (e->client[i].used && e->client[i].handle == ch)
			return &e->client[i];
	return NULL;
}

static int ring_memory(struct machine *m, struct echo_client *c, struct vmb_channel_config *cfg, struct vmb_open *open,
		       void *tx_pages[], void *rx_pages[])
{
	unsigned n = c->ring_pages; /* of each ring, with its control page */

	c->ring_pfn = machine_alloc(m, 2 * n);
	if (!c->ring_pfn)
		return -1;
	for (unsigned i = 0; i < 2 * n; i++) /* page lists go backwards: any order is legal */
		c->pfns[i] = c->ring == ECHO_RING_PAGES ? c->ring_pfn + 2 * n - 1 - i : c->ring_pfn + i;
	open->tx_pages = open->rx_pages = n;
	if (c->ring == ECHO_RING_PLAIN) {
		open->ring_gpa = c->ring_pfn * VMB_PAGE;
		open->ring = machine_at(m, c->ring_pfn);
		return 0;
	}
	open->pfns = c->pfns;
	cfg->tx = (struct vmb_ring_mem){ .control = machine_at(m, c->pfns[0]), .data_pages = n - 1 };
	cfg->rx = (struct vmb_ring_mem){ .control = machine_at(m, c->pfns[n]), .data_pages = n - 1 };
	if (c->ring == ECHO_RING_TWICE) {
		cfg->tx.data = machine_twice(m, c->pfns[1], n - 1);
		cfg->rx.data = machine_twice(m, c->pfns[n + 1], n - 1);
		cfg->tx.flags = cfg->rx.flags = VMB_RING_TWICE;
		return cfg->tx.data && cfg->rx.data ? 0 : -1;
	}
	for (unsigned i = 0; i + 1 < n; i++) {
		tx_pages[i] = machine_at(m, c->pfns[1 + i]);
		rx_pages[i] = machine_at(m, c->pfns[n + 1 + i]);
	}
	cfg->tx.pages = tx_pages;
	cfg->rx.pages = rx_pages;
	return 0;
}

static void client_open(struct machine *m, struct echo_client *c)
{
	struct echo *e = machine_user(m);
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = ECHO_DEPTH };
	struct vmb_open open = { .size = sizeof open };
	struct vmb_storage need;
	void *tx_pages[32], *rx_pages[32];
	int r;

	c->ring = e->cfg.ring == ECHO_RING_ANY ? (enum echo_ring)(machine_random(m) % ECHO_RING_ANY) : e->cfg.ring;
	c->ring_pages = 1 + (e->cfg.ring_pages ? e->cfg.ring_pages : 3);
	open.user = (uint64_t)(c - e->client) + 1;
	if (ring_memory(m, c, &cfg, &open, tx_pages, rx_pages) < 0 || vmb_channel_storage(&cfg, &need) < 0 || !(c->mem = block(&need))) {
		machine_fail(m, "no memory for a ring");
		return;
	}
	c->sent = c->answered = 0;
	c->opened = c->closed = c->ready = 0;
	memset(c->requests, 0, sizeof c->requests);
	r = vmb_guest_open(machine_guest(m), c->handle, c->mem, need.bytes, &cfg, &open, &c->ch);
	if (r < 0) {
		if (r != VMB_ESTATE && r != VMB_EHANDLE && r != VMB_ENOSPACE)
			machine_fail(m, "vmb_guest_open fails");
		c->closed = 1;
		machine_release(m, c->ring_pfn, 2 * c->ring_pages);
		free(c->mem);
		c->mem = NULL;
		c->ch = NULL;
		c->ring_pfn = 0;
		c->stuck = 1;
	} else {
		c->opens++;
		e->opened++;
	}
}

static void client_gpadls(struct machine *m, struct echo_client *c, unsigned n)
{
	for (unsigned i = 0; i < n && i < 4; i++) {
		uint64_t words[6] = { VMB_RANGE(5 * VMB_PAGE, 0) };
		struct vmb_list list = { words, 6, 1 };

		c->gpadl_pfn[i] = machine_alloc(m, 5);
		for (unsigned k = 0; k < 5; k++)
			words[1 + k] = c->gpadl_pfn[i] + k;
		if (vmb_guest_gpadl_create(machine_guest(m), c->handle, &list, &c->gpadl[i]) < 0) {
			machine_release(m, c->gpadl_pfn[i], 5);
			c->gpadl_pfn[i] = 0;
		}
	}
}

static void client_down(struct machine *m, uint32_t gpadl, int status)
{
	struct echo *e = machine_user(m);

	for (unsigned i = 0; i < ECHO_CLIENTS; i++)
		for (unsigned k = 0; k < 4; k++)
			if (e->client[i].used && e->client[i].gpadl_pfn[k] && e->client[i].gpadl[k] == gpadl) {
				if (status == VMB_ELEAK)
					e->leaked++;
				else
					machine_release(m, e->client[i].gpadl_pfn[k], 5);
				e->client[i].gpadl_pfn[k] = 0;
			}
}

static void client_closed(struct machine *m, struct echo_client *c, int status)
{
	struct echo *e = machine_user(m);
	uint32_t cursor = 0, flags;
	uint64_t id, user;
	unsigned told = 0, busy = 0;

	while (vmb_channel_outstanding(c->ch, &cursor, &id, &user, &flags) > 0) {
		if (user >= ECHO_DEPTH || !c->requests[user].busy || c->requests[user].id != id)
			machine_fail(m, "outstanding tells a request that was not");
		else
			told++;
	}
	for (unsigned i = 0; i < ECHO_DEPTH; i++) {
		busy += (unsigned)c->requests[i].busy;
		if (c->requests[i].busy && c->requests[i].gpa) {
			if (status == VMB_ELEAK)
				e->leaked++;
			else
				machine_release(m, c->requests[i].pfn, 2);
		}
	}
	if (told != busy)
		machine_fail(m, "outstanding does not tell every request once");
	if (status == VMB_ELEAK)
		e->leaked++;
	else
		machine_release(m, c->ring_pfn, 2 * c->ring_pages);
	free(c->mem);
	c->mem = NULL;
	c->ch = NULL;
	c->ring_pfn = 0;
	c->closed = 1;
	e->closed++;
}

static void client_offer(struct machine *m, vmb_handle ch)
{
	struct echo *e = machine_user(m);

	e->offers++;
	for (unsigned i = 0; i < ECHO_CLIENTS; i++)
		if (!e->client[i].used) {
			memset(&e->client[i], 0, sizeof e->client[i]);
			e->client[i].used = 1;
			e->client[i].handle = ch;
			client_open(m, &e->client[i]);
			return;
		}
	vmb_guest_release(machine_guest(m), ch);
}

static void guest_event(struct machine *m, const struct vmb_event *ev)
{
	struct echo *e = machine_user(m);
	struct echo_client *c = ev->ch ? client_of(e, ev->ch) : NULL;

	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		e->connected = ev->status == 0;
		e->connect_status = ev->status;
		break;
	case VMB_EV_OFFER:
		client_offer(m, ev->ch);
		break;
	case VMB_EV_OFFERS_DONE:
		e->offers_done = 1;
		break;
	case VMB_EV_OPENED:
		if (c && ev->status == 0) {
			c->opened = c->ready = 1;
			if (c->opens == 1) /* they live until the release */
				client_gpadls(m, c, e->cfg.gpadls);
		} else if (c) {
			c->failed++;
			vmb_guest_release(machine_guest(m), ev->ch);
		}
		break;
	case VMB_EV_RESCINDED:
		if (c)
			c->rescinded = 1;
		break;
	case VMB_EV_CLOSED:
		if (c && c->ch)
			client_closed(m, c, ev->status);
		else
			machine_fail(m, "CLOSED for what is not open");
		break;
	case VMB_EV_GPADL:
		if (ev->status < 0)
			client_down(m, ev->gpadl, ev->status);
		break;
	case VMB_EV_GPADL_DOWN:
		client_down(m, ev->gpadl, ev->status);
		break;
	case VMB_EV_GONE:
		e->gones++;
		if (c && c->ch)
			machine_fail(m, "GONE before CLOSED");
		if (c)
			c->used = 0;
		break;
	case VMB_EV_DISCONNECTED:
		e->disconnected++;
		e->connected = e->offers_done = 0;
		break;
	default:
		break;
	}
}

static void guest_wake(struct machine *m, uint64_t user)
{
	struct echo *e = machine_user(m);

	if (user == 0 || user > ECHO_CLIENTS || !e->client[user - 1].ch)
		machine_fail(m, "a wake for a client that has no channel");
	else
		e->client[user - 1].ready = 1;
}

static int client_send(struct machine *m, struct echo_client *c, unsigned slot)
{
	struct echo_request *q = &c->requests[slot];
	uint8_t payload[PAYLOAD_MAX];
	uint64_t words[3];
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .user = slot, .payload = payload };
	int r;

	q->seed = (uint32_t)machine_random(m);
	q->gpa = machine_random(m) % 3 == 0;
	q->bytes = q->gpa ? 1 + (uint32_t)(machine_random(m) % 4000) : 1 + (uint32_t)(machine_random(m) % PAYLOAD_MAX);
	p.len = q->gpa ? 16 : q->bytes;
	for (uint32_t i = 0; i < p.len; i++)
		payload[i] = pattern(q->seed, i);
	if (q->gpa) {
		q->offset = (uint32_t)(machine_random(m) % VMB_PAGE);
		q->pfn = machine_alloc(m, 2);
		if (!q->pfn)
			return 0;
		for (uint32_t i = 0; i < q->bytes; i++)
			((uint8_t *)machine_at(m, q->pfn))[q->offset + i] = pattern(q->seed, i);
		words[0] = VMB_RANGE(q->bytes, q->offset);
		words[1] = q->pfn;
		words[2] = q->pfn + 1;
		p.kind = VMB_PKT_GPA;
		p.list = (struct vmb_list){ words, q->offset + q->bytes > VMB_PAGE ? 3 : 2, 1 };
	}
	r = vmb_channel_send(c->ch, &p);
	if (r < 0) {
		if (q->gpa)
			machine_release(m, q->pfn, 2);
		if (r != VMB_EFULL && r != VMB_ENOSLOT && r != VMB_ESTOPPED && r != VMB_EPEER)
			machine_fail(m, "a request cannot be sent");
		return 0;
	}
	q->busy = 1;
	q->id = p.id;
	c->sent++;
	return 1;
}

static void client_answer(struct machine *m, struct echo_client *c, const struct vmb_packet *p)
{
	struct echo *e = machine_user(m);
	struct echo_request *q = p->user < ECHO_DEPTH ? &c->requests[p->user] : NULL;
	uint32_t expect;

	if (!q || !q->busy || q->id != p->id || p->kind != VMB_PKT_COMPLETION) {
		machine_fail(m, "an answer to no request");
		return;
	}
	expect = q->gpa ? 16 : q->bytes;
	if (p->len < expect || p->len > ((expect + 7) & ~7u))
		machine_fail(m, "an answer of another length");
	for (uint32_t i = 0; i < expect; i++)
		if (((const uint8_t *)p->payload)[i] != pattern(q->seed, i))
			machine_fail(m, "an answer with other bytes");
	if (q->gpa) {
		const uint8_t *page = machine_at(m, q->pfn);

		for (uint32_t i = 0; i < 2 * VMB_PAGE; i++) {
			int inside = i >= q->offset && i < q->offset + q->bytes;

			if (page[i] != (inside ? (uint8_t)(pattern(q->seed, i - q->offset) ^ 0xff) : 0))
				machine_fail(m, "the device wrote other bytes of the pages");
		}
		machine_release(m, q->pfn, 2);
	}
	q->busy = 0;
	c->answered++;
	e->answered++;
}

static int client_work(struct machine *m, struct echo *e, struct echo_client *c)
{
	static uint64_t buf[BUF / 8];
	struct vmb_packet p;
	int r = 1, did = 0;

	if (!c->opened && !c->rescinded)
		return 0;
	for (unsigned i = 0; i < ECHO_DEPTH && c->opened && c->sent < e->cfg.requests && (!did || machine_random(m) % 4); i++)
		if (!c->requests[i].busy)
			did |= client_send(m, c, i);
	for (unsigned i = 0; i < 8 && c->ready && r > 0; i++) {
		r = vmb_channel_recv(c->ch, buf, sizeof buf, &p);
		did = 1;
		if (r > 0)
			client_answer(m, c, &p);
		else
			c->ready = 0;
	}
	if (c->rescinded || r < 0) {
		if (r < 0 && r != VMB_ESTOPPED)
			machine_fail(m, vmb_strerror(r));
		c->ready = c->opened = c->rescinded = 0;
		c->stuck = 1;
		if (vmb_guest_release(machine_guest(m), c->handle) < 0)
			machine_fail(m, "release fails");
		return 1;
	}
	if (c->opened && c->answered == e->cfg.requests) {
		c->opened = c->ready = 0;
		if (vmb_guest_close(machine_guest(m), c->handle) < 0)
			machine_fail(m, "close fails");
		return 1;
	}
	return did;
}

static int guest_work(struct machine *m)
{
	struct echo *e = machine_user(m);
	unsigned first = (unsigned)(machine_random(m) % ECHO_CLIENTS);

	for (unsigned i = 0; i < ECHO_CLIENTS; i++) {
		struct echo_client *c = &e->client[(first + i) % ECHO_CLIENTS];

		if (!c->used || c->gone)
			continue;
		if (c->ch ? client_work(m, e, c) : 0)
			return 1;
		if (c->closed && !c->stuck && c->opens <= e->cfg.reopen) {
			client_open(m, c);
			return 1;
		}
		if ((c->closed && !c->gone && (c->opens > e->cfg.reopen || c->stuck)) || (!c->ch && c->rescinded)) {
			c->gone = 1; /* asked for */
			vmb_guest_release(machine_guest(m), c->handle);
			return 1;
		}
	}
	return 0;
}

void echo_programs(struct echo *e, const struct echo_config *cfg, struct machine_config *m)
{
	memset(e, 0, sizeof *e);
	e->cfg = *cfg;
	m->user = e;
	m->host_program = (struct machine_program){ host_event, host_wake, host_work };
	m->guest_program = (struct machine_program){ guest_event, guest_wake, guest_work };
}

int echo_done(const struct echo *e)
{
	for (unsigned i = 0; i < ECHO_CLIENTS; i++)
		if (e->client[i].used)
			return 0;
	return e->offers > 0;
}

void echo_forget(struct machine *m)
{
	struct echo *e = machine_user(m);

	for (unsigned i = 0; i < ECHO_CLIENTS; i++)
		free(e->client[i].mem);
	memset(e->client, 0, sizeof e->client);
	e->connected = e->offers_done = 0;
}
