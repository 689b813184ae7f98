/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Every guest against every host: each cap, and at 6.0 each set of features on either side. Each pair lives a whole life: contact, an open
 * channel with packets and requests both ways, rescind, the same device again, close, unload, contact. What it has negotiated, and the form
 * of each message where that depends on it, is compared with the table below, which was written from control-plane.md 2, 3, 6 and 9.
 */
#include "test/both/both.h"

#include <endian.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

TestSuite(matrix, .timeout = 280);

enum { TYPES = 30, VPS = 4, MESSAGE_VP = 1, TARGET_VP = 2, OTHER_VP = 3, CONNECTION = 0x27005, FLAG = 1999 };

/* ---- what is expected, oldest version first */

static const struct version {
	const char *name;
	uint32_t number;
	uint32_t port;       /* that contact is made through, and everything after it */
	uint32_t answer;     /* bytes of the VERSION_RESPONSE without the host's own monitor pages */
	uint32_t said;       /* its word at 12 */
	uint32_t signal;     /* connection of the guest's signals for channel 1 */
	int by_page;         /* the host's events come by the interrupt page, to VP 0 with flag 0 */
	int sets_bit;        /* the guest's signals set a bit there, too */
	int message_vp;      /* messages come to the VP that the guest asks for */
	int page_at_16;      /* what contact has at 16: the interrupt page; else a SINT, and from 5.1 on a VTL */
	int unloaded;        /* UNLOAD is answered */
	int subchannels, reserved, hvsock;
	int modify, modified; /* MODIFY_CHANNEL is there; is answered */
	int features;
} versions[] = {
	{ "0.13", 0x0000000d, 1, 16, 0x0000000d, 2,      1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0 },
	{ "1.1",  0x00010001, 1, 16, 0x00010001, 0x2001, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0 },
	{ "2.4",  0x00020004, 1, 16, 0x00020004, 0x2001, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0 },
	{ "3.0",  0x00030000, 1, 16, 0x00030000, 0x2001, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0 },
	{ "4.0",  0x00040000, 1, 16, 0x00040000, 0x2001, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0 },
	{ "4.1",  0x00040001, 1, 16, 0x00040001, 0x2001, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0 },
	{ "5.0",  0x00050000, 4, 16, 4,          0x2001, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 0 },
	{ "5.1",  0x00050001, 4, 16, 4,          0x2001, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 0 },
	{ "5.2",  0x00050002, 4, 16, 4,          0x2001, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 0 },
	{ "5.3",  0x00050003, 4, 16, 4,          0x2001, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 0 },
	{ "6.0",  0x00060000, 4, 20, 4,          0x2001, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1 },
};
enum { VERSIONS = sizeof versions / sizeof versions[0], NEWEST = VERSIONS - 1 };

/* Bytes of each message, by type; 0: it has several forms, or is none. */
static const uint32_t sizes[TYPES] = { 0, 196, 12, 8, 8, 0, 20, 12, 0, 0, 20, 16, 12, 12, 0, 0, 8, 8, 28, 20, 12, 0, 16, 44, 16, 24, 9, 8, 8, 8 };

enum { RESCIND = 2, OPEN = 5, OPENED = 6, CLOSE = 7, TEARDOWN = 11, RELEASED = 13, CONTACT = 14, RESPONSE = 15, UNLOAD = 16, UNLOADED = 17,
       MODIFY = 22, MODIFIED = 24, MODIFY_PAGES = 25, MODIFIED_PAGES = 26, PAUSE = 27, PAUSED = 28, RESUME = 29 };

/* The features. control-plane.md 3.1 */
enum { SIGNAL_PARAMETERS = 0x01, REDIRECT = 0x02, MODIFY_CONNECTION = 0x04, CLIENT_ID = 0x08, CONFIDENTIAL = 0x10, PAUSES = 0x20,
       SERVER_MONITOR = 0x40, PINNING = 0x80 };

/* ---- one pair */

static struct {
	uint32_t guest, host;       /* what their configs say: index of the cap */
	uint32_t guest_mask, host_mask;
	const struct version *v;    /* what they have in common */
	uint32_t features;
	uint32_t contacts;          /* since the last VERSION_RESPONSE that said yes */
	uint64_t page, monitor;     /* PFN of the interrupt page, of the host's monitor page */
	struct { uint32_t count, len, where; uint8_t bytes[VMB_MESSAGE_MAX]; } up[TYPES], down[TYPES];
	uint8_t bit_up, bit_down;   /* first byte of each half of the interrupt page when the last signal came */
	int (*post)(void *ctx, uint32_t connection, const void *payload, uint32_t len);
	int (*signal)(void *ctx, uint32_t connection, uint32_t flag);
	int (*message)(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len);
	void (*interrupt)(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag);
	int (*map)(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages);
} m;

/* Says which pair it was. */
#define SAME(what, wanted) \
	cr_assert_eq((what), (wanted), "guest %s %#x, host %s %#x: " #what " is %#llx", versions[m.guest].name, m.guest_mask, \
		     versions[m.host].name, m.host_mask, (unsigned long long)(what))

static uint32_t word(const uint8_t *bytes, uint32_t at)
{
	uint32_t v;

	memcpy(&v, bytes + at, 4);
	return le32toh(v);
}

static uint32_t common(void)
{
	return m.guest < m.host ? m.guest : m.host;
}

/* ---- what goes over the wire */

static void sees_contact(const uint8_t *bytes, uint32_t len, uint32_t port)
{
	const struct version *v = &versions[m.guest - m.contacts++]; /* from the cap down, none left out */

	SAME(word(bytes, 8), v->number);
	SAME(port, v->port);
	SAME(len, v->features && m.guest_mask & CLIENT_ID ? 56u : 40u);
	SAME(word(bytes, 12), v->message_vp ? (uint32_t)MESSAGE_VP : 0u);
	SAME(word(bytes, 16), v->page_at_16 ? (uint32_t)m.page * VMB_PAGE : 2u);
	SAME(word(bytes, 20), v->features ? m.guest_mask : 0u);
	SAME(memcmp(bytes + 24, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16), 0);
	if (len == 56)
		SAME(memcmp(bytes + 40, "0123456789abcdef", 16), 0);
}

static void sees_response(const uint8_t *bytes, uint32_t len, uint32_t vp)
{
	const struct version *asked = &versions[m.guest - (m.contacts - 1)], *v = m.v;
	int pages = v->features && m.features & SERVER_MONITOR;

	SAME(vp, asked->message_vp ? (uint32_t)MESSAGE_VP : 0u);
	if (asked->number > versions[m.host].number) {
		SAME(len, 16u);
		SAME(memcmp(bytes + 8, "\0\0\0\0\0\0\0", 8), 0);
		return;
	}
	m.contacts = 0;
	SAME(len, pages ? 40u : v->answer);
	SAME(word(bytes, 8), 1u);
	SAME(word(bytes, 12), v->said);
	if (v->features)
		SAME(word(bytes, 16), m.features);
	if (pages)
		SAME(word(bytes, 32), (uint32_t)m.monitor * VMB_PAGE);
}

static int sees_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	uint32_t type = word(payload, 0);

	cr_assert_lt(type, (uint32_t)TYPES);
	if (sizes[type])
		SAME(len, sizes[type]);
	if (type == CONTACT)
		sees_contact(payload, len, connection);
	else
		SAME(connection, m.v->port);
	m.up[type].count++;
	m.up[type].len = len;
	m.up[type].where = connection;
	memcpy(m.up[type].bytes, payload, len);
	return m.post(ctx, connection, payload, len);
}

static int sees_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	uint32_t type = word(payload, 0);

	cr_assert_lt(type, (uint32_t)TYPES);
	if (sizes[type])
		SAME(len, sizes[type]);
	if (type == RESPONSE)
		sees_response(payload, len, vp);
	else
		SAME(vp, m.v->message_vp ? (uint32_t)MESSAGE_VP : 0u);
	SAME(sint, 2u);
	m.down[type].count++;
	m.down[type].len = len;
	memcpy(m.down[type].bytes, payload, len);
	return m.message(ctx, vp, vtl, sint, payload, len);
}

static int sees_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	m.bit_up = *((uint8_t *)both_page(m.page) + 2048);
	return m.signal(ctx, connection, flag);
}

static void sees_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	m.bit_down = *(uint8_t *)both_page(m.page);
	m.interrupt(ctx, vp, vtl, sint, flag);
}

static int sees_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	if (flags & VMB_MAP_RING)
		SAME(!!(flags & VMB_MAP_PRIVATE), !!(m.features & CONFIDENTIAL));
	return m.map(ctx, pfns, n, flags, pages);
}

static int monitor_map(void *ctx, const uint64_t gpa[2], void *page[2])
{
	(void)ctx;
	SAME(gpa[1], m.monitor * VMB_PAGE);
	page[1] = both_page(m.monitor);
	return 0;
}

/* ---- making it */

static void configure(void)
{
	both_config();
	m.page = both_pages(1);
	m.monitor = both_pages(1);
	both.gcfg.max_version = versions[m.guest].number;
	both.gcfg.features = m.guest_mask;
	both.gcfg.monitor = monitor_map;
	both.gcfg.message_vp = MESSAGE_VP;
	both.gcfg.interrupt_gpa = m.page * VMB_PAGE;
	both.gcfg.interrupt_page = both_page(m.page);
	both.gcfg.max_hvsock = 1;
	memcpy(both.gcfg.client_id.byte, "0123456789abcdef", 16);
	both.hcfg.max_version = versions[m.host].number;
	both.hcfg.features = m.host_mask ? m.host_mask : VMB_FEATURE_NONE;
	both.hcfg.vps = VPS;
	if (m.host_mask & CONFIDENTIAL)
		both.hcfg.flags |= VMB_HOST_TRUSTED;
	if (m.host_mask & REDIRECT)
		both.hcfg.flags |= VMB_HOST_REDIRECT;
	if (m.host_mask & SERVER_MONITOR) {
		both.hcfg.flags |= VMB_HOST_MONITOR;
		both.hcfg.monitor_gpa[1] = m.monitor * VMB_PAGE;
		both.hcfg.monitor_page[1] = both_page(m.monitor);
	}
	m.post = both.gcfg.post;
	m.signal = both.gcfg.signal;
	m.message = both.hcfg.message;
	m.interrupt = both.hcfg.interrupt;
	m.map = both.hcfg.map;
	both.gcfg.post = sees_post;
	both.gcfg.signal = sees_signal;
	both.hcfg.message = sees_message;
	both.hcfg.interrupt = sees_interrupt;
	both.hcfg.map = sees_map;
}

/* ---- steps of a life */

static void negotiated(void)
{
	struct vmb_bus_info g = both_info(0), h = both_info(1);

	SAME(g.version, m.v->number);
	SAME(h.version, m.v->number);
	SAME(g.features, m.features);
	SAME(h.features, m.features);
	SAME(h.message_vp, m.v->message_vp ? (uint32_t)MESSAGE_VP : 0u);
	SAME(both.mapped[m.page], m.v->by_page ? 1u : 0u);
	SAME(memcmp(h.client_id.byte, m.v->features && m.guest_mask & CLIENT_ID ? "0123456789abcdef" : "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16), 0);
	SAME(h.trusted, both.hcfg.flags & VMB_HOST_TRUSTED ? 1u : 0u);
}

/* The device as the guest sees it: id, flags, the connection for its signals. */
static void offered(void)
{
	struct vmb_offer o = { .size = sizeof o };

	SAME(vmb_guest_offer(both.g, both.ch[0].guest, &o), 0);
	SAME(o.channel_id, 1u);
	SAME(o.flags, 0x1u | (m.features & CONFIDENTIAL ? 0x6u : 0) | (m.features & PINNING ? 0x8u : 0));
	SAME(o.connection_id, m.v->signal);
	SAME(o.monitor_id, m.features & SERVER_MONITOR ? 0u : 255u);
}

/* With what the features allow. */
static void open_it(void)
{
	struct vmb_open with = { .target_vp = TARGET_VP };
	struct vmb_open_info info = { .size = sizeof info };
	const uint8_t *bytes = m.up[OPEN].bytes;

	if (m.features & SIGNAL_PARAMETERS) {
		with.connection_id = CONNECTION;
		with.event_flag = FLAG;
	}
	if (m.features & REDIRECT)
		with.flags = VMB_OPEN_REDIRECT;
	both_open(0, &with);
	SAME(m.up[OPEN].len, m.features & (SIGNAL_PARAMETERS | REDIRECT) ? 156u : 148u);
	if (m.features & SIGNAL_PARAMETERS)
		SAME(word(bytes, 148), (uint32_t)CONNECTION);
	if (m.features & (SIGNAL_PARAMETERS | REDIRECT))
		SAME(word(bytes, 152), (m.features & SIGNAL_PARAMETERS ? (uint32_t)FLAG : 0u) | (m.features & REDIRECT ? 0x10000u : 0u));
	SAME(word(bytes, 8), 1u);
	SAME(word(m.down[OPENED].bytes, 8), 1u);
	SAME(word(m.down[OPENED].bytes, 12), word(bytes, 12));
	SAME(vmb_host_open_info(both.h, both.ch[0].host, &info), 0);
	SAME(info.version, m.v->number);
	SAME(info.target_vp, m.v->by_page ? 0u : (uint32_t)TARGET_VP);
	SAME(info.target_vtl, m.features & REDIRECT ? 2u : 0u);
	SAME(info.target_sint, m.features & REDIRECT ? 7u : 2u);
	SAME(info.connection_id, m.features & SIGNAL_PARAMETERS ? (uint32_t)CONNECTION : 0x2001u);
}

/* A request, and its completion with the requester's `user`. */
static void ask(struct vmb_channel *from, struct vmb_channel *to)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .payload = "question", .len = 8, .user = 7 };
	uint8_t buf[64] __attribute__((aligned(8)));
	struct vmb_packet q;

	SAME(vmb_channel_recv(to, buf, sizeof buf, &q), 0);
	SAME(vmb_channel_recv(from, buf, sizeof buf, &q), 0);
	SAME(vmb_channel_send(from, &p), 0);
	SAME(vmb_channel_recv(to, buf, sizeof buf, &q), VMB_YES);
	SAME(q.kind, VMB_PKT_INBAND);
	SAME(q.flags, VMB_PKT_WANTS_REPLY);
	SAME(memcmp(q.payload, "question", 8), 0);
	p = (struct vmb_packet){ .kind = VMB_PKT_COMPLETION, .id = q.id, .payload = "response", .len = 8 };
	SAME(vmb_channel_send(to, &p), 0);
	SAME(vmb_channel_recv(from, buf, sizeof buf, &q), VMB_YES);
	SAME(q.kind, VMB_PKT_COMPLETION);
	SAME(q.user, 7u);
	SAME(memcmp(q.payload, "response", 8), 0);
}

/* Packets both ways, each with the signal that this version has. */
static void exchange(uint32_t vp)
{
	int monitored = m.features & SERVER_MONITOR ? VMB_YES : 0;

	both.signals = both.interrupts = both.host_wakes = both.guest_wakes = 0;
	m.bit_up = m.bit_down = 0;
	both_talk(0);
	SAME(vmb_host_monitor(both.h), monitored);
	SAME(both.host_wakes, 1u);
	SAME(both.guest_wakes, 1u);
	SAME(both.signals, monitored ? 0u : 1u);
	if (!monitored)
		SAME(both.signal_connection, m.features & SIGNAL_PARAMETERS ? (uint32_t)CONNECTION : m.v->signal);
	SAME(m.bit_up, m.v->sets_bit ? 2u : 0u);
	SAME(m.bit_down, m.v->by_page ? 2u : 0u);
	SAME(both.interrupts, 1u);
	SAME(both.interrupt[0].vp, m.v->by_page ? 0u : vp);
	SAME(both.interrupt[0].vtl, m.features & REDIRECT ? 2u : 0u);
	SAME(both.interrupt[0].sint, m.features & REDIRECT ? 7u : 2u);
	SAME(both.interrupt[0].flag, m.v->by_page ? 0u : m.features & SIGNAL_PARAMETERS ? (uint32_t)FLAG : 1u);
	ask(both.ch[0].g, both.ch[0].h);
	ask(both.ch[0].h, both.ch[0].g);
}

/* Interrupts move to another VP, where the version has that. */
static void retarget(void)
{
	int r = vmb_guest_target(both.g, both.ch[0].guest, OTHER_VP);

	SAME(r, m.v->modify ? 0 : VMB_EVERSION);
	if (!r) {
		both_run();
		both_guest(VMB_EV_TARGET, 0);
	}
	SAME(m.up[MODIFY].count, m.v->modify ? 1u : 0u);
	SAME(m.down[MODIFIED].count, m.v->modified ? 1u : 0u);
	exchange(m.v->modify ? OTHER_VP : TARGET_VP);
}

/* What is there only with a feature, or only from a version on. The channel is open. */
static void specials(void)
{
	struct vmb_open reserved = { .flags = VMB_OPEN_RESERVED }, flag = { .event_flag = 7 }, redirect = { .flags = VMB_OPEN_REDIRECT };
	struct vmb_offer sub = { .size = sizeof sub, .class_id = { { 0xc0 } }, .subchannel = 1, .user = 1 };
	struct vmb_hvsock socket = { .endpoint = { { 1 } }, .service = { { 2 } } };
	int r = vmb_guest_pause(both.g);

	SAME(r, m.features & PAUSES ? 0 : VMB_EVERSION);
	if (!r) {
		both_run();
		both_guest(VMB_EV_PAUSED, 0);
		SAME(vmb_guest_resume(both.g), 0);
		SAME(m.down[PAUSED].count, 1u);
	}
	/* A subchannel, which nobody opens. */
	SAME(vmb_host_offer(both.h, &sub, &both.ch[1].host), 0);
	both_run();
	if (m.v->subchannels)
		both.ch[1].guest = both_guest(VMB_EV_OFFER, 0)->ch;
	else
		both.ch[1].guest = both.ch[0].guest;
	both_quiet();
	SAME(vmb_host_remove(both.h, both.ch[1].host), 0);
	both_run();
	if (m.v->subchannels) {
		SAME(both_try_open(1, &reserved), VMB_ESTATE); /* too late for that */
		both_guest(VMB_EV_RESCINDED, 0);
		SAME(vmb_guest_release(both.g, both.ch[1].guest), 0);
		both_run();
		both_guest(VMB_EV_GONE, 0);
	}
	both_host(VMB_EV_GONE, 0);
	both.ch[1].guest = 0;
	if (!m.v->hvsock)
		SAME(vmb_guest_hvsock(both.g, &socket, 0), VMB_EVERSION);
	both_quiet();
	both_close(0);
	if (!m.v->reserved)
		SAME(both_try_open(0, &reserved), VMB_EVERSION);
	if (!(m.features & SIGNAL_PARAMETERS))
		SAME(both_try_open(0, &flag), VMB_EVERSION);
	if (!(m.features & REDIRECT))
		SAME(both_try_open(0, &redirect), VMB_EVERSION);
}

/* The channel is closed. */
static void other_pages(void)
{
	uint64_t none[2] = { 0, 0 };
	void *no[2] = { NULL, NULL };
	int r = vmb_guest_monitor(both.g, none, no);

	SAME(r, !(m.features & MODIFY_CONNECTION) ? VMB_EVERSION : m.features & SERVER_MONITOR ? VMB_ESTATE : 0);
	if (r)
		return;
	both_run();
	both_guest(VMB_EV_MONITOR, 0);
	SAME(m.up[MODIFY_PAGES].count, 1u);
	SAME(m.down[MODIFIED_PAGES].count, 1u);
}

static void rescind(void)
{
	uint32_t closes = m.up[CLOSE].count;

	SAME(vmb_host_remove(both.h, both.ch[0].host), 0);
	both_give_back(0);
	both_guest(VMB_EV_RESCINDED, 0);
	SAME(m.down[RESCIND].count, 1u);
	SAME(vmb_guest_release(both.g, both.ch[0].guest), 0);
	both_run();
	both_guest(VMB_EV_CLOSED, 0);
	both_guest(VMB_EV_GONE, 0);
	both_host(VMB_EV_GONE, 0);
	both_quiet();
	SAME(m.up[CLOSE].count, closes);
	SAME(word(m.up[RELEASED].bytes, 8), 1u);
}

/* With a channel open. */
static void leave(void)
{
	uint32_t answers = m.down[UNLOADED].count;

	SAME(vmb_guest_disconnect(both.g), 0);
	both_run();
	both_guest(VMB_EV_RESCINDED, 0);
	SAME(vmb_guest_release(both.g, both.ch[0].guest), 0);
	both_give_back(0);
	both_guest(VMB_EV_CLOSED, 0);
	both_guest(VMB_EV_GONE, 0);
	both_guest(VMB_EV_DISCONNECTED, 0);
	both_host(VMB_EV_DISCONNECTED, 0);
	both_quiet();
	SAME(m.down[UNLOADED].count, answers + (m.v->unloaded ? 1 : 0));
}

/* Nothing is left of all that. */
static void nothing_is_left(void)
{
	struct vmb_bus_info g, h;

	SAME(vmb_host_remove(both.h, both.ch[0].host), 0);
	both_run();
	both_host(VMB_EV_GONE, 0);
	both_quiet();
	g = both_info(0);
	h = both_info(1);
	SAME(g.state, (uint32_t)VMB_BUS_NONE);
	SAME(h.state, (uint32_t)VMB_BUS_NONE);
	SAME(g.channels + g.attached + g.gpadls + g.gpadl_pages + g.queued, 0u);
	SAME(h.channels + h.attached + h.gpadls + h.gpadl_pages + h.queued, 0u);
	SAME(g.version + g.features + h.version + h.features, 0u);
	SAME(g.dropped + h.dropped + g.late_answers + h.late_answers + g.refused_quota + h.refused_quota, 0u);
	SAME(vmb_guest_end(both.g), 0);
	SAME(vmb_host_end(both.h), 0);
	both_end(); /* no page is mapped */
}

/* The number of negotiations that it took. */
static void live(void)
{
	memset(&m.up, 0, sizeof m.up);
	memset(&m.down, 0, sizeof m.down);
	m.contacts = 0;
	m.v = &versions[common()];
	m.features = m.v->features ? m.guest_mask & m.host_mask : 0;
	configure();
	both_init();
	both_offer(0, 0xf);
	both_connect();
	SAME(m.up[CONTACT].count, m.guest - common() + 1);
	SAME(m.down[RESPONSE].count, m.guest - common() + 1);
	negotiated();
	offered();
	open_it();
	exchange(TARGET_VP);
	rescind();
	both_offer(0, 0xf);
	offered(); /* with the same id */
	open_it();
	retarget();
	specials(); /* ends with it closed */
	SAME(m.up[CLOSE].count, 1u);
	SAME(m.up[TEARDOWN].count, 1u);
	other_pages();
	open_it();
	leave();
	both_connect();
	negotiated();
	offered();
	open_it();
	exchange(TARGET_VP);
	leave();
	SAME(m.up[UNLOAD].count, 2u);
	nothing_is_left();
}

/* ---- all of them */

static uint32_t pairs;

/* The memory of a pair serves the next one. */
static void keep_memory(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 25);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 26);
}

static void pair(uint32_t guest, uint32_t host, uint32_t guest_mask, uint32_t host_mask)
{
	m.guest = guest;
	m.host = host;
	m.guest_mask = guest_mask;
	m.host_mask = host_mask;
	live();
	pairs++;
}

/* What the features do not change below 6.0 is tried with none and with all on both sides. */
Test(matrix, every_cap_against_every_cap)
{
	for (uint32_t g = 0; g < VERSIONS; g++)
		for (uint32_t h = 0; h < VERSIONS; h++) {
			pair(g, h, 0, 0);
			pair(g, h, 0xff, 0xff);
			pair(g, h, 0, 0xff);
			pair(g, h, 0xff, 0);
		}
	printf("matrix: %d guest caps x %d host caps x 4 sets of features: %u pairs\n", VERSIONS, VERSIONS, pairs);
	SAME(pairs, 11u * 11u * 4u);
}

/* A guest that takes no less than its cap finds a host that has it, or none. */
Test(matrix, every_guest_that_insists)
{
	uint32_t refused = 0;

	for (m.guest = 0; m.guest < VERSIONS; m.guest++)
		for (m.host = 0; m.host < VERSIONS; m.host++) {
			m.guest_mask = m.host_mask = m.contacts = 0;
			m.v = &versions[common()];
			m.features = 0;
			configure();
			both.gcfg.min_version = both.gcfg.max_version;
			both_init();
			SAME(vmb_guest_connect(both.g), 0);
			both_run();
			both_guest(VMB_EV_CONNECTED, m.host < m.guest ? VMB_EVERSION : 0);
			SAME(both_info(0).version, m.host < m.guest ? 0 : m.v->number);
			SAME(both_info(1).version, m.host < m.guest ? 0 : m.v->number);
			refused += m.host < m.guest;
			(void)vmb_guest_disconnect(both.g);
			both_forget();
			SAME(both_info(1).state, (uint32_t)VMB_BUS_NONE);
			both_end();
		}
	cr_assert_eq(refused, 55u);
}

/* At 6.0 on both sides: each set that a guest can ask for, each that a host can grant. */
static void all_features(uint32_t from, uint32_t to)
{
	uint32_t outcomes[256] = { 0 }, different = 0;

	keep_memory();
	for (uint32_t g = from; g < to; g++)
		for (uint32_t h = 0; h < 256; h++) {
			pair(NEWEST, NEWEST, g, h);
			outcomes[m.features]++;
		}
	for (uint32_t i = 0; i < 256; i++)
		different += outcomes[i] != 0;
	printf("matrix: 6.0, sets of features 0x%02x to 0x%02x of a guest x 256 of a host: %u pairs, %u sets in force\n", from, to - 1,
	       pairs, different);
	SAME(pairs, (to - from) * 256);
}

Test(matrix, every_set_of_features_1) { all_features(0x00, 0x40); }
Test(matrix, every_set_of_features_2) { all_features(0x40, 0x80); }
Test(matrix, every_set_of_features_3) { all_features(0x80, 0xc0); }
Test(matrix, every_set_of_features_4) { all_features(0xc0, 0x100); }
