/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See guestbench.h. */
#include "guestbench.h"

#include <endian.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- callbacks */

static void judge(struct bench *b, const struct bench_message *m);

static int on_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	struct bench *b = ctx;
	struct bench_message m = { .connection = connection, .len = len };
	uint32_t type;

	cr_assert(len >= 8 && len <= VMB_MESSAGE_MAX);
	memcpy(m.bytes, payload, len);
	type = m.bytes[0];
	if (b->on_post)
		b->on_post(b);
	if (!b->fail_types || b->fail_types & BIT(type)) {
		uint32_t n = b->attempts++;

		if (b->fail_count && n >= b->fail_at && n - b->fail_at < b->fail_count) {
			if (b->fail_arrived && !b->off)
				judge(b, &m);
			return b->fail_status;
		}
	}
	cr_assert(b->posted < BENCH_POSTS);
	b->posts[b->posted++] = m;
	if (!b->off)
		judge(b, &m);
	return VMB_HV_SUCCESS;
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	struct bench *b = ctx;

	b->signals++;
	b->signal_connection = connection;
	b->signal_flag = flag;
	return 0;
}

static void on_wake(void *ctx, uint64_t user)
{
	struct bench *b = ctx;

	cr_assert_lt(user, 64);
	b->wakes[user]++;
	b->wake_user = user;
	if (b->on_wake)
		b->on_wake(b, user);
}

static void on_poke(void *ctx)
{
	((struct bench *)ctx)->pokes++;
}

/* ---- making it */

void *bench_page(struct bench *b)
{
	void *p = aligned_alloc(VMB_PAGE, VMB_PAGE);

	cr_assert(p && b->page_count < 8);
	b->pages[b->page_count++] = p;
	memset(p, 0xa5, VMB_PAGE);
	return p;
}

void bench_old_pages(struct bench *b)
{
	b->cfg.interrupt_gpa = 0x109000;
	b->cfg.interrupt_page = bench_page(b);
	for (uint32_t i = 0; i < 2; i++) {
		b->cfg.monitor_gpa[i] = 0x10a000 + 0x1000ull * i;
		b->cfg.monitor_page[i] = bench_page(b);
	}
}

struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof *b);

	cr_assert(b);
	b->cfg = (struct vmb_guest_config){ .size = sizeof b->cfg, .ctx = b, .post = on_post, .signal = on_signal,
		.wake = on_wake,
					    .poke = on_poke };
	b->dirt = 0xa5;
	b->version = VMB_V6_0;
	b->selected = 1;
	return b;
}

void bench_init(struct bench *b)
{
	struct vmb_storage need;

	cr_assert_eq(vmb_guest_storage(&b->cfg, &need), 0);
	b->bytes = (need.bytes + need.align - 1) / need.align * need.align;
	b->mem = aligned_alloc(need.align, b->bytes);
	cr_assert(b->mem);
	memset(b->mem, b->dirt, b->bytes);
	cr_assert_eq(vmb_guest_init(b->mem, need.bytes, &b->cfg, &b->g), 0);
}

void bench_free(struct bench *b)
{
	for (uint32_t n = 0; n < 64; n++) {
		free(b->open[n].mem);
		free(b->open[n].ring);
	}
	while (b->page_count)
		free(b->pages[--b->page_count]);
	free(b->mem);
	free(b);
}

struct bench *bench_connected(uint32_t version)
{
	struct bench *b = bench_new();

	b->version = version;
	if (version < VMB_V2_4)
		bench_old_pages(b);
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	bench_quiet(b);
	b->read = b->posted;
	return b;
}

struct bench *bench_offered(uint32_t version, uint32_t id)
{
	struct bench *b = bench_connected(version);

	bench_offer(b, id, id, 0);
	bench_run(b);
	b->open[0].handle = bench_expect(b, VMB_EV_OFFER, 0)->ch;
	bench_quiet(b);
	return b;
}

/* ---- messages to the guest */

static uint32_t message_version(const struct bench *b)
{
	return b->negotiated ? b->negotiated : VMB_V6_0;
}

static void make(const struct bench *b, struct bench_message *m, uint32_t type, va_list fields)
{
	uint32_t version = message_version(b);
	const char *name;
	int len = vmb_message_init(m->bytes, sizeof m->bytes, type, version, 0);

	cr_assert_gt(len, 0, "message %u: %s", type, vmb_strerror(len));
	m->len = (uint32_t)len;
	m->connection = 0;
	while ((name = va_arg(fields, const char *)))
		cr_assert_eq(vmb_message_set(m->bytes, m->len, version, 0, name, va_arg(fields, uint64_t)), 0, "%u.%s", type,
			name);
}

void bench_make(const struct bench *b, struct bench_message *m, uint32_t type, ...)
{
	va_list fields;

	va_start(fields, type);
	make(b, m, type, fields);
	va_end(fields);
}

void bench_feed(struct bench *b, const struct bench_message *m)
{
	cr_assert_eq(vmb_guest_message(b->g, m->bytes, m->len), 0);
}

void bench_say(struct bench *b, uint32_t type, ...)
{
	struct bench_message m;
	va_list fields;

	va_start(fields, type);
	make(b, &m, type, fields);
	va_end(fields);
	bench_feed(b, &m);
}

static void reply(struct bench *b, uint32_t type, ...)
{
	va_list fields;

	cr_assert(b->replies < BENCH_REPLIES);
	va_start(fields, type);
	make(b, &b->reply[b->replies++], type, fields);
	va_end(fields);
}

static void make_offer(const struct bench *b, struct bench_message *m, uint32_t id, uint32_t device, uint32_t subchannel)
{
	bench_make(b, m, OFFER, "channel_id", (uint64_t)id, "subchannel_index", (uint64_t)subchannel, "monitor_id", 255ull, NULL);
	if (m->len >= 196) {
		cr_assert_eq(vmb_message_set(m->bytes, m->len, message_version(b), 0, "is_dedicated", 1), 0);
		cr_assert_eq(vmb_message_set(m->bytes, m->len, message_version(b), 0, "connection_id", 0x2000 + id), 0);
	}
	m->bytes[8] = 0x42;
	m->bytes[24] = (uint8_t)device;
	m->bytes[25] = (uint8_t)(device >> 8);
}

/* After what is queued. */
static void in_order(struct bench *b, const struct bench_message *m)
{
	if (b->answered == b->replies) {
		bench_feed(b, m);
	} else {
		cr_assert(b->replies < BENCH_REPLIES);
		b->reply[b->replies++] = *m;
	}
}

void bench_offer(struct bench *b, uint32_t id, uint32_t device, uint32_t subchannel)
{
	struct bench_message m;

	make_offer(b, &m, id, device, subchannel);
	if (id < BENCH_IDS && !b->id[id].offered) {
		b->id[id].offered = 1;
		b->id[id].revoked = b->id[id].opening = b->id[id].open = 0;
	}
	in_order(b, &m);
}

void bench_rescind(struct bench *b, uint32_t id)
{
	struct bench_message m;

	b->id[id].revoked = 1;
	b->id[id].opening = b->id[id].open = 0;
	bench_make(b, &m, RESCIND, "channel_id", (uint64_t)id, NULL);
	in_order(b, &m);
}

/* ---- the scripted host */

static int answers(const struct bench *b, uint32_t type)
{
	return !(b->silent & BIT(type));
}

static uint64_t status_for(const struct bench *b, uint32_t type)
{
	return b->refuse & BIT(type) ? 0x8000ffff : 0;
}

static struct bench_gpadl *gpadl_of(struct bench *b, uint32_t id)
{
	for (uint32_t i = 0; i < BENCH_GPADLS; i++)
		if (b->gpadl[i].id == id && id)
			return &b->gpadl[i];
	return NULL;
}

static void forget_gpadls(struct bench *b, uint32_t channel)
{
	for (uint32_t i = 0; i < BENCH_GPADLS; i++)
		if (b->gpadl[i].id && (!channel || b->gpadl[i].channel == channel))
			memset(&b->gpadl[i], 0, sizeof b->gpadl[i]);
}

static void host_contact(struct bench *b, const struct bench_message *m)
{
	uint32_t v = bench_number(m, b, "version");
	struct bench_message *r;

	cr_assert(!b->cfg.max_version || v <= b->cfg.max_version);
	cr_assert(v >= b->cfg.min_version);
	cr_assert_eq(m->connection, v >= VMB_V5_0 ? 4 : 1);
	memset(b->id, 0, sizeof b->id);
	forget_gpadls(b, 0);
	b->contacts++;
	b->connected = b->asked = 0;
	if (!answers(b, CONTACT))
		return;
	if (v > b->version) {
		reply(b, VERSION_RESPONSE, NULL);
		b->reply[b->replies - 1].len = 16;
		return;
	}
	b->negotiated = v;
	reply(b, VERSION_RESPONSE, "version_supported", 1ull, "connection_state", status_for(b, CONTACT) ? 2ull : 0ull,
		"selected",
	      (uint64_t)(v >= VMB_V5_0 ? b->selected : v), NULL);
	r = &b->reply[b->replies - 1];
	cr_assert_eq(r->len, v >= VMB_V6_0 ? 20 : 16);
	if (status_for(b, CONTACT))
		b->negotiated = 0;
	else
		b->connected = 1;
}

static void host_data(struct bench *b, struct bench_gpadl *d, const uint8_t *data, uint32_t bytes)
{
	cr_assert_eq(bytes % 8, 0);
	for (uint32_t i = 0; i < bytes / 8 && !(b->fail_arrived && d->got == d->words); i++) {
		uint64_t word;

		memcpy(&word, data + 8 * i, 8);
		word = le64toh(word);
		if (d->got < 4)
			d->first[d->got] = word;
		d->sum += word * ++d->got;
	}
	cr_assert(d->got <= d->words, "a list has more words than announced");
	if (d->got < d->words || !answers(b, GPADL_HEADER))
		return;
	reply(b, GPADL_CREATED, "channel_id", (uint64_t)d->channel, "gpadl_id", (uint64_t)d->id, "status", status_for(b,
		GPADL_HEADER), NULL);
	if (status_for(b, GPADL_HEADER))
		memset(d, 0, sizeof *d);
	else
		d->created = 1;
}

static void host_header(struct bench *b, const struct bench_message *m)
{
	uint32_t id = bench_number(m, b, "gpadl_id"), channel = bench_number(m, b, "channel_id"), i = 0;

	cr_assert(id, "GPADL id 0");
	cr_assert(channel && channel < BENCH_IDS && b->id[channel].offered, "a list for a channel that is not");
	if (gpadl_of(b, id)) { /* twice: gpadl.md 5.2 */
		cr_assert(b->fail_arrived, "GPADL id %x is not unique", id);
		reply(b, GPADL_CREATED, "channel_id", (uint64_t)channel, "gpadl_id", (uint64_t)id, "status", 0x8000ffffull, NULL);
		return;
	}
	while (b->gpadl[i].id)
		cr_assert(++i < BENCH_GPADLS);
	b->gpadl[i] = (struct bench_gpadl){ .id = id, .channel = channel, .words = bench_number(m, b, "range_buflen") / 8,
					    .ranges = bench_number(m, b, "range_count") };
	cr_assert_eq(bench_number(m, b, "range_buflen") % 8, 0);
	host_data(b, &b->gpadl[i], m->bytes + 20, m->len - 20);
}

static void host_body(struct bench *b, const struct bench_message *m)
{
	struct bench_gpadl *d = gpadl_of(b, bench_number(m, b, "gpadl_id"));

	if (b->fail_arrived && (!d || d->got == d->words))
		return; /* dropped. gpadl.md 5.3 */
	cr_assert(d && d->got < d->words, "a body of nothing");
	cr_assert_eq(bench_number(m, b, "message_number"), 0);
	host_data(b, d, m->bytes + 16, m->len - 16);
}

static void host_teardown(struct bench *b, const struct bench_message *m)
{
	struct bench_gpadl *d = gpadl_of(b, bench_number(m, b, "gpadl_id"));

	if (b->fail_arrived && (!d || d->tearing))
		return;
	cr_assert(d && d->created && !d->tearing, "a teardown of a list that is not there, or the second one");
	cr_assert_eq(d->channel, bench_number(m, b, "channel_id"));
	cr_assert(!b->id[d->channel].open || d->first[0] != ((uint64_t)BENCH_PAGES * VMB_PAGE),
		"teardown of the ring before close");
	d->tearing = 1;
	if (!answers(b, GPADL_TEARDOWN))
		return;
	reply(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)d->id, NULL);
	memset(d, 0, sizeof *d);
}

static void host_open(struct bench *b, const struct bench_message *m)
{
	uint32_t id = bench_number(m, b, "channel_id");
	struct bench_gpadl *d = gpadl_of(b, bench_number(m, b, "ring_gpadl"));
	struct bench_channel *c = &b->id[id];

	if (c->revoked || (b->fail_arrived && (c->opening || c->open)))
		return; /* silently. control-plane.md 12.2 */
	cr_assert(c->offered && !c->opening && !c->open, "OPEN of a channel that cannot be opened");
	cr_assert(d && d->created && !d->tearing && d->channel == id, "OPEN with a list that is not there");
	cr_assert_eq(bench_number(m, b, "downstream_page_offset"), BENCH_PAGES / 2);
	cr_assert_eq(d->words, BENCH_PAGES + 1);
	cr_assert_eq(d->ranges, 1);
	cr_assert_eq(d->first[0], (uint64_t)BENCH_PAGES * VMB_PAGE);
	for (uint64_t i = 0; i < 3; i++)
		cr_assert_eq(d->first[1 + i], d->first[1] + i);
	cr_assert_neq(bench_number(m, b, "open_id"), c->open_id, "open ids are distinct");
	c->open_id = bench_number(m, b, "open_id");
	c->opening = 1;
	if (!answers(b, OPEN))
		return;
	c->opening = 0;
	c->open = !status_for(b, OPEN);
	reply(b, OPEN_RESULT, "channel_id", (uint64_t)id, "open_id", (uint64_t)c->open_id, "status", status_for(b, OPEN), NULL);
}

static void host_release(struct bench *b, const struct bench_message *m)
{
	uint32_t id = bench_number(m, b, "channel_id");
	struct bench_channel *c = &b->id[id];

	if (b->fail_arrived && !c->offered)
		return;
	cr_assert(c->offered, "release of an id that is not the guest's, or the second one");
	for (uint32_t i = 0; i < BENCH_GPADLS; i++)
		if (b->gpadl[i].id && b->gpadl[i].channel == id)
			cr_assert(b->silent || b->fail_count || !b->gpadl[i].tearing, "release before an answer that will come");
	c->offered = 0;
	c->releases++;
	forget_gpadls(b, id);
}

static void host_modify(struct bench *b, const struct bench_message *m)
{
	uint32_t id = bench_number(m, b, "channel_id");

	cr_assert(b->negotiated >= VMB_V4_1);
	cr_assert(b->id[id].open || b->fail_arrived, "MODIFY of a channel that is not open");
	cr_assert(!b->id[id].modifies || b->fail_arrived || b->negotiated < VMB_V5_3, "a second MODIFY before the response");
	if (b->negotiated < VMB_V5_3)
		return;
	if (!answers(b, MODIFY)) {
		b->id[id].modifies++;
		return;
	}
	reply(b, MODIFY_RESPONSE, "channel_id", (uint64_t)id, "status", status_for(b, MODIFY), NULL);
}

static void host_close(struct bench *b, const struct bench_message *m)
{
	struct bench_channel *c = &b->id[bench_number(m, b, "channel_id")];

	cr_assert(c->open || c->revoked || b->fail_arrived, "CLOSE of a channel that is not open: the host would refuse it");
	c->open = 0;
}

static void host_unload(struct bench *b)
{
	b->unloads++;
	if (b->connected && b->negotiated >= VMB_V1_1 && answers(b, UNLOAD))
		reply(b, UNLOAD_COMPLETE, NULL);
	memset(b->id, 0, sizeof b->id);
	forget_gpadls(b, 0);
	b->connected = 0;
}

static void host_offers(struct bench *b)
{
	cr_assert(!b->asked || b->fail_arrived, "REQUEST_OFFERS twice");
	b->asked = 1;
	for (uint32_t i = 0; i < b->offer_count; i++) {
		cr_assert(b->replies < BENCH_REPLIES);
		make_offer(b, &b->reply[b->replies++], b->offers[i], b->offers[i], 0);
		b->id[b->offers[i]].offered = 1;
	}
	if (answers(b, REQUEST_OFFERS))
		reply(b, ALL_OFFERS, NULL);
}

/* May a guest say this, in this form, now? And answer it. */
static void judge(struct bench *b, const struct bench_message *m)
{
	uint32_t type = m->bytes[0], version = type == CONTACT ? VMB_V6_0 : b->negotiated;
	int r = vmb_message_check(m->bytes, m->len, version, 0, 1);

	cr_assert_eq(r, 0, "message type %u: %s", type, vmb_strerror(r));
	if (type != GPADL_HEADER && type != GPADL_BODY)
		cr_assert_eq(m->len, (uint32_t)vmb_message_size(type, version, 0), "message type %u has %u bytes", type, m->len);
	for (uint32_t i = 1; i < 8; i++)
		cr_assert_eq(m->bytes[i], 0);
	if (type == CONTACT) {
		host_contact(b, m);
		return;
	}
	cr_assert(b->connected || b->fail_arrived, "message type %u without a connection", type);
	cr_assert_eq(m->connection, b->negotiated >= VMB_V5_0 ? b->selected : 1);
	switch (type) {
	case REQUEST_OFFERS: host_offers(b); break;
	case GPADL_HEADER: host_header(b, m); break;
	case GPADL_BODY: host_body(b, m); break;
	case GPADL_TEARDOWN: host_teardown(b, m); break;
	case OPEN: host_open(b, m); break;
	case CLOSE: host_close(b, m); break;
	case RELEASED: host_release(b, m); break;
	case MODIFY: host_modify(b, m); break;
	case UNLOAD: host_unload(b); break;
	default: cr_assert(0, "message type %u is none of a guest's", type);
	}
}

/* ---- running */

uint32_t bench_poll(struct bench *b)
{
	uint32_t n = 0;

	for (;;) {
		struct vmb_event *ev = &b->events[b->told];
		int r;

		cr_assert(b->told < BENCH_EVENTS);
		memset(ev, 0x5a, sizeof *ev);
		r = vmb_guest_poll(b->g, b->now, ev);
		cr_assert(r >= 0, "poll: %s", vmb_strerror(r));
		if (r == 0)
			return n;
		cr_assert_eq(r, VMB_YES);
		b->told++;
		n++;
	}
}

void bench_answer(struct bench *b)
{
	while (b->answered < b->replies)
		bench_feed(b, &b->reply[b->answered++]);
	b->answered = b->replies = 0;
}

void bench_run(struct bench *b)
{
	for (int idle = 0; idle < 300;) {
		uint32_t before = b->posted + b->attempts;
		struct vmb_event ev;

		if (b->answered < b->replies) {
			bench_answer(b);
			idle = 0;
		}
		if (bench_poll(b) || b->posted + b->attempts != before)
			idle = 0;
		if (!b->now) {
			if (!bench_info(b).queued)
				idle += 100;
			idle++;
			continue;
		}
		cr_assert_eq(vmb_guest_poll(b->g, b->now, &ev), 0);
		if (bench_info(b).queued && ev.deadline != UINT64_MAX && ev.deadline > b->now)
			b->now = ev.deadline;
		else
			idle += 100;
	}
}

void bench_wait(struct bench *b, uint64_t ms)
{
	cr_assert(b->now, "this test has no clock");
	b->now += ms * 1000000;
	bench_poll(b);
}

/* ---- looking */

const struct vmb_event *bench_expect(struct bench *b, uint32_t kind, int status)
{
	const struct vmb_event *ev = &b->events[b->taken];

	cr_assert(b->taken < b->told, "no event, but %u is expected", kind);
	cr_assert_eq(ev->kind, kind, "event %u instead of %u", ev->kind, kind);
	cr_assert_eq(ev->status, status, "event %u: %s instead of %s", kind, vmb_strerror(ev->status), vmb_strerror(status));
	b->taken++;
	return ev;
}

void bench_quiet(struct bench *b)
{
	cr_assert_eq(b->taken, b->told, "event %u, status %d, is not expected", b->events[b->taken].kind,
		b->events[b->taken].status);
}

const struct vmb_event *bench_until(struct bench *b, uint32_t kind)
{
	while (b->taken < b->told && b->events[b->taken].kind != kind)
		b->taken++;
	cr_assert(b->taken < b->told, "no event %u", kind);
	return &b->events[b->taken++];
}

uint32_t bench_count(const struct bench *b, uint32_t kind)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->told; i++)
		n += b->events[i].kind == kind;
	return n;
}

const struct bench_message *bench_posted(struct bench *b, uint32_t type)
{
	cr_assert(b->read < b->posted, "nothing was posted, but %u is expected", type);
	cr_assert_eq(b->posts[b->read].bytes[0], type, "message type %u instead of %u", b->posts[b->read].bytes[0], type);
	return &b->posts[b->read++];
}

void bench_posted_none(struct bench *b)
{
	cr_assert_eq(b->read, b->posted, "message type %u is not expected", b->posts[b->read].bytes[0]);
}

uint32_t bench_sent(const struct bench *b, uint32_t type)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->posted; i++)
		n += b->posts[i].bytes[0] == type;
	return n;
}

uint32_t bench_number(const struct bench_message *m, const struct bench *b, const char *field)
{
	uint32_t version = m->bytes[0] == CONTACT ? VMB_V6_0 : message_version(b);
	struct vmb_field f;

	for (uint32_t i = 0; vmb_message_field(m->bytes, m->len, version, 0, i, &f) == VMB_YES; i++)
		if (!strcmp(f.name, field))
			return (uint32_t)f.value;
	cr_assert(0, "message type %u has no %s", m->bytes[0], field);
	return 0;
}

/* ---- channels */

int bench_open(struct bench *b, vmb_handle h, uint32_t n)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 4 };
	struct vmb_open open = { .size = sizeof open, .tx_pages = BENCH_PAGES / 2, .rx_pages = BENCH_PAGES / 2, .user = n + 1,
				 .ring_gpa = BENCH_GPA(n), .target_vp = 2 };
	struct bench_open *o = &b->open[n];
	struct vmb_storage need;

	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	if (!o->mem) {
		o->bytes = (need.bytes + 63) / 64 * 64;
		o->mem = aligned_alloc(64, o->bytes);
		o->ring = aligned_alloc(VMB_PAGE, (size_t)BENCH_PAGES * VMB_PAGE);
		cr_assert(o->mem && o->ring);
	}
	memset(o->mem, b->dirt, o->bytes);
	memset(o->ring, b->dirt, (size_t)BENCH_PAGES * VMB_PAGE);
	o->handle = h;
	open.ring = o->ring;
	return vmb_guest_open(b->g, h, o->mem, o->bytes, &cfg, &open, &o->ch);
}

struct bench_open *bench_opened(struct bench *b, vmb_handle h, uint32_t n)
{
	cr_assert_eq(bench_open(b, h, n), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_OPENED, 0);
	return &b->open[n];
}

struct vmb_bus_info bench_info(struct bench *b)
{
	struct vmb_bus_info info = { .size = sizeof info };

	cr_assert_eq(vmb_guest_info(b->g, &info), 0);
	return info;
}
