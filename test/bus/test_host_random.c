/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Anything in any order: a guest that says half-sensible things and plain noise, an embedder that answers or does not, a slot
 * that is occupied by chance, maps that fail by chance. Two models watch: what an embedder may be told, and what a guest may be
 * sent.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hostbench.h"

enum { DEVICES = 6, HANDLES = 12, IDS = 2048 };
enum embedder { FREE, IDLE, ASKED, SERVING, REMOTE, GIVEN_BACK };

/* What the embedder thinks of each handle. */
static struct model {
	enum embedder state;
	vmb_handle ch;
	unsigned device;
	bool removed, closing;
	struct vmb_event open, close;
	struct vmb_channel *channel;
} model[HANDLES];

/* What the guest thinks of each id: 0 nothing, 1 offered, 2 rescinded. */
static uint8_t known[IDS];
static bool connected_model, requested;

static uint64_t seed;
static unsigned long posts;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 11) % n;
}

/* ---- the guest's view */

static unsigned ring_mapped(uint32_t id)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 4; i++)
		n += hb->mapped[hb_ring_pfn(id) + i];
	return n;
}

static void read_messages(void)
{
	for (const struct hb_message *m; (m = hb_next());) {
		uint32_t type = get32(m->data), id = m->len >= 12 ? get32(m->data + 8) : 0;

		if (m->sint != 2)
			continue;
		switch (type) {
		case 1:
			id = get32(m->data + 184);
			cr_assert_lt(id, IDS);
			cr_assert(requested, "an offer before it was requested");
			cr_assert_eq(known[id], 0, "id %u offered twice", id);
			known[id] = 1;
			break;
		case 2:
			cr_assert_eq(known[id], 1, "id %u rescinded in state %u", id, known[id]);
			cr_assert_eq(ring_mapped(id), 0, "rescinded over mapped rings");
			known[id] = 2;
			break;
		case 12: /* its pages are the guest's again: ids of rings say whose */
			if (id >= 0xe1e10 && id < 0xe1e10 + 32)
				cr_assert_eq(ring_mapped(id - 0xe1e10), 0, "torn down over mapped rings");
			break;
		case 15:
			connected_model = m->data[8] && !m->data[9];
			cr_assert_leq(hb->all_mapped, 1, "an answer to contact while rings are mapped");
			break;
		case 17:
			cr_assert_eq(hb->all_mapped, 0, "unload complete while pages are mapped");
			connected_model = false;
			break;
		case 4: case 6: case 10: case 23: case 24:
			break;
		default:
			cr_assert_fail("message %u to a guest", type);
		}
	}
}

static void post(const void *msg, uint32_t len)
{
	uint64_t before = hb_info().dropped;
	uint32_t type = get32(msg), id = len >= 12 ? get32((const uint8_t *)msg + 8) : 0;
	bool was = requested;
	int r;

	if (type == 3)
		requested = true; /* the offers come from within */
	r = hb_post(rnd(4) ? 1 : 4, msg, len);
	posts++;
	cr_assert(r == VMB_HV_SUCCESS || r == VMB_HV_NO_BUFFERS, "status %d", r);
	if (r == VMB_HV_SUCCESS && hb_info().dropped == before) {
		if (type == 13 && id < IDS)
			known[id] = 0;
		if (type == 16 || type == 14) { /* whatever is queued is not sent any more */
			memset(known, 0, sizeof known);
			requested = false;
		}
	}
	if (type == 3 && (r != VMB_HV_SUCCESS || hb_info().dropped != before))
		requested = was;
	/* what came of it may already have arrived: offers after a request, an offer again after a release */
	read_messages();
}

static void noise(void)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len = rnd(VMB_MESSAGE_MAX + 1);

	for (uint32_t i = 0; i < sizeof msg; i++)
		msg[i] = (uint8_t)rnd(256);
	if (rnd(4))
		put32(msg, rnd(32));
	if (rnd(2))
		put32(msg + 8, rnd(8));
	if (get32(msg) == 14 || get32(msg) == 16) /* those have a turn of their own */
		put32(msg, 5);
	if (get32(msg) == 3)
		len = 7;
	post(msg, len);
}

static void guest_step(void)
{
	static const uint32_t versions[] = { VMB_V0_13, VMB_V1_1, VMB_V2_4, VMB_V4_0, VMB_V4_1, VMB_V5_3, VMB_V6_0, 0x00050004 };
	uint8_t msg[VMB_MESSAGE_MAX] = { 0 };
	uint32_t id = 1 + rnd(8), len = 12, what = rnd(100);

	put32(msg + 8, id);
	if (what < 2 || (!connected_model && what < 30)) {
		hb_contact_bytes(msg, versions[rnd(8)], rnd(3));
		len = 40;
	} else if (what < 6 || (!requested && what < 40)) {
		memset(msg, 0, sizeof msg);
		msg[0] = 3;
		len = 8;
	} else if (what < 7) {
		memset(msg, 0, sizeof msg);
		msg[0] = 16;
		len = 8;
	} else if (what < 25) {
		len = hb_gpadl_bytes(msg, id, hb_ring_id(id), hb_ring_pfn(id), 4);
	} else if (what < 30) {
		len = hb_gpadl_bytes(msg, id, 0x100 + rnd(20), 0x80 + rnd(20), 1 + rnd(20));
		if (!rnd(4))
			len -= 8; /* bodies are to follow */
	} else if (what < 33) {
		put32(msg, 9);
		put32(msg + 12, 0x100 + rnd(20));
		len = 16 + 8 * rnd(3);
	} else if (what < 55) {
		hb_open_bytes(msg, id, rnd(1000), rnd(10) ? hb_ring_id(id) : 0x100 + rnd(20), rnd(12), rnd(10) ? 2 : rnd(6));
		len = 148;
	} else if (what < 70) {
		put32(msg, 7);
	} else if (what < 80) {
		put32(msg, 11);
		put32(msg + 12, rnd(3) ? hb_ring_id(id) : 0x100 + rnd(20));
		len = 16;
	} else if (what < 86) {
		put32(msg, 13);
	} else if (what < 92) {
		put32(msg, 22);
		put32(msg + 12, rnd(10));
		len = 16;
	} else {
		noise();
		return;
	}
	post(msg, len);
}

/* ---- the embedder's view */

static struct model *of(vmb_handle ch)
{
	for (unsigned i = 0; i < HANDLES; i++)
		if (model[i].state != FREE && model[i].ch == ch)
			return &model[i];
	cr_assert_fail("an event of handle %#x, which is over", ch);
	return NULL;
}

static void on_event(const struct vmb_event *ev)
{
	struct model *m = ev->ch ? of(ev->ch) : NULL;

	switch (ev->kind) {
	case VMB_EV_OPEN:
		cr_assert_eq(m->state, IDLE, "EV_OPEN in state %d", m->state);
		cr_assert(!m->removed);
		m->state = ASKED;
		m->open = *ev;
		break;
	case VMB_EV_CLOSE:
		cr_assert(m->state == SERVING || m->state == REMOTE, "EV_CLOSE in state %d", m->state);
		cr_assert(!m->closing, "EV_CLOSE twice");
		m->closing = true;
		m->close = *ev;
		break;
	case VMB_EV_CLOSED:
		cr_assert_eq(m->state, GIVEN_BACK, "EV_CLOSED in state %d", m->state);
		m->state = IDLE;
		break;
	case VMB_EV_GONE:
		cr_assert_eq(m->state, IDLE, "EV_GONE in state %d", m->state);
		cr_assert(m->removed);
		m->state = FREE;
		break;
	case VMB_EV_GPADL_DOWN:
		if (rnd(4))
			cr_assert_eq(vmb_host_answer(hb->h, ev, 0), 0);
		break;
	case VMB_EV_CONNECTED:
	case VMB_EV_DISCONNECTED:
	case VMB_EV_RESET:
		break;
	default:
		cr_assert_fail("event %u", ev->kind);
	}
}

static void poll_all(void)
{
	while (hb_poll())
		on_event(&hb->ev);
}

static void give_back(struct model *m)
{
	unsigned wakes = hb->wakes;

	if (m->state == REMOTE && m->closing && rnd(2))
		cr_assert_eq(vmb_host_answer(hb->h, &m->close, 0), 0);
	else
		cr_assert_eq(vmb_host_detach(hb->h, m->ch), 0);
	cr_assert_eq(hb->wakes, wakes, "a wake while it is given back");
	m->state = GIVEN_BACK;
	m->closing = false;
}

static void serve(struct model *m)
{
	int r;

	if (m->state == ASKED && !rnd(4)) {
		r = vmb_host_answer(hb->h, &m->open, rnd(2) ? 0 : VMB_EPLATFORM);
		cr_assert(r == 0 || r == VMB_ENOENT);
		cr_assert_eq(vmb_host_answer(hb->h, &m->open, 0), VMB_ENOENT);
		m->state = IDLE;
		if (r == 0 && vmb_host_detach(hb->h, m->ch) == 0) { /* it was yes */
			m->state = GIVEN_BACK;
			return;
		}
		return;
	}
	r = hb_attach((unsigned)(m - model), m->ch, &m->channel);
	if (r == 0) {
		cr_assert(m->state == ASKED || m->state == IDLE);
		m->state = SERVING;
		m->closing = false;
	} else {
		cr_assert(r == VMB_ESTOPPED || r == VMB_EMAP || r == VMB_EPEER || r == VMB_ESTATE || r == VMB_EAGAIN, "%d", r);
		if (m->state == ASKED) {
			cr_assert(r == VMB_ESTOPPED || r == VMB_EMAP || r == VMB_EPEER, "attach when asked: %d", r);
			m->state = IDLE;
		}
	}
}

static void use(struct model *m)
{
	uint64_t buf[32];
	struct vmb_packet p;
	int r = vmb_channel_recv(m->channel, buf, sizeof buf, &p);

	cr_assert(r == 0 || r == VMB_YES || r == VMB_ESTOPPED || r == VMB_EPEER || r == VMB_ETOOSMALL, "recv: %d", r);
	if (m->closing)
		cr_assert(r == VMB_ESTOPPED || r == VMB_EPEER);
	r = vmb_channel_send(m->channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND, .payload = "01234567", .len = 8 });
	cr_assert(r == 0 || r == VMB_EFULL || r == VMB_ESTOPPED || r == VMB_EPEER, "send: %d", r);
}

static void offer_one(void)
{
	struct vmb_offer o;
	unsigned d = 1 + rnd(DEVICES);
	uint32_t sub = d == 1 ? rnd(3) : 0;

	for (unsigned i = 0; i < HANDLES; i++)
		if (model[i].state == FREE) {
			vmb_handle ch;
			int r;

			hb_offer_fill(&o, d, sub);
			o.channel_id = rnd(5) ? 0 : 1 + rnd(8);
			r = vmb_host_offer(hb->h, &o, &ch);
			if (r == 0)
				model[i] = (struct model){ .state = IDLE, .ch = ch, .device = d };
			else
				cr_assert(r == VMB_EINVAL || r == VMB_ENOSPACE);
			return;
		}
}

static void remove_one(struct model *m)
{
	cr_assert_eq(vmb_host_remove(hb->h, m->ch), 0);
	m->removed = true;
	for (unsigned i = 0; m->device == 1 && i < HANDLES; i++) /* perhaps its subchannels as well: those the host knows */
		if (model[i].state != FREE && model[i].device == 1 && vmb_host_remove(hb->h, model[i].ch) == 0)
			model[i].removed = true;
}

static void embedder_step(void)
{
	struct model *m = &model[rnd(HANDLES)];
	uint64_t words[32];
	struct vmb_list list;
	unsigned wakes = hb->wakes;
	uint32_t what = rnd(100);

	if (what < 30)
		poll_all();
	else if (what < 40)
		offer_one();
	else if (what < 44 && m->state != FREE && !m->removed)
		remove_one(m);
	else if (what < 65 && (m->state == ASKED || m->state == IDLE))
		serve(m);
	else if (what < 80 && (m->state == SERVING || m->state == REMOTE) && (m->closing || !rnd(8)))
		give_back(m);
	else if (what < 90 && m->state == SERVING)
		use(m);
	else if (what < 92 && m->state != FREE)
		(void)!vmb_host_gpadl_hold(hb->h, m->ch, 0x100 + rnd(20), words, 32, &list);
	else if (what < 95 && m->state != FREE)
		(void)!vmb_host_gpadl_release(hb->h, m->ch, 0x100 + rnd(20));
	else if (what < 98) {
		(void)!vmb_host_signal(hb->h, rnd(3) ? 0x2000 + rnd(10) : 2, 0);
		for (unsigned i = wakes; i < hb->wakes && i < wakes + 64; i++) {
			struct model *w = NULL;

			for (unsigned k = 0; k < HANDLES; k++)
				if (model[k].state == SERVING && 100 + model[k].device == hb->wake_user[i % 64])
					w = &model[k];
			cr_assert_not_null(w, "a wake for nobody");
		}
	} else {
		hb->map_fail_at = hb->map_calls + 1 + rnd(5);
	}
	read_messages();
}

static void slot_step(void)
{
	if (hb->busy && rnd(2)) {
		hb->busy = false;
		for (uint32_t vp = 0; vp < 3; vp++)
			cr_assert_eq(vmb_host_eom(hb->h, vp), 0);
		read_messages();
	} else if (!rnd(10)) {
		hb->busy = true;
		hb->busy_error = rnd(4) ? VMB_EAGAIN : VMB_EPLATFORM;
	}
}

/* Everybody lets go: it must all come to an end. */
static void wind_up(void)
{
	hb->busy = false;
	hb->map_fail_at = 0;
	for (uint32_t vp = 0; vp < 3; vp++)
		cr_assert_eq(vmb_host_eom(hb->h, vp), 0);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	for (int round = 0; round < 4; round++) {
		poll_all();
		for (unsigned i = 0; i < HANDLES; i++) {
			struct model *m = &model[i];

			if (m->state == ASKED) {
				cr_assert_eq(vmb_host_answer(hb->h, &m->open, 0), VMB_ENOENT);
				m->state = IDLE;
			}
			if (m->state == SERVING || m->state == REMOTE)
				give_back(m);
			for (uint32_t id = 0x100; m->state != FREE && id < 0x120; id++)
				while (vmb_host_gpadl_release(hb->h, m->ch, id) == 0)
					;
		}
	}
	for (unsigned i = 0; i < HANDLES; i++)
		if (model[i].state != FREE && !model[i].removed)
			remove_one(&model[i]);
	poll_all();
	for (unsigned i = 0; i < HANDLES; i++)
		cr_assert_eq(model[i].state, FREE, "handle %u is still there in state %d", i, model[i].state);
	cr_assert_eq(hb_info().state, VMB_BUS_NONE);
	cr_assert_eq(hb_info().gpadls, 0);
	cr_assert_eq(hb_info().channels, 0);
	cr_assert_eq(hb_info().queued, 0);
	cr_assert_eq(hb->all_mapped, 0);
	hb_sound();
	cr_assert_eq(vmb_host_end(hb->h), 0);
}

static void life(uint64_t s, unsigned steps)
{
	struct vmb_host_config cfg = { .vps = 8, .max_channels = 8, .max_gpadls = 24, .max_gpadl_pages = 200,
				       .max_gpadls_building = 4, .max_messages = 6 };

	seed = s * 0x9e3779b97f4a7c15u + 1;
	memset(model, 0, sizeof model);
	memset(known, 0, sizeof known);
	connected_model = requested = false;
	hb_new(&cfg, (int)s);
	for (unsigned i = 0; i < steps; i++) {
		if (rnd(3))
			guest_step();
		else
			embedder_step();
		slot_step();
	}
	wind_up();
	hb_free(hb);
}

#define LIVES(first) \
	Test(host_random, lives_from_##first, .timeout = 120) \
	{ \
		for (uint64_t s = first; s < first + 25; s++) \
			life(s, 3000); \
		cr_assert_gt(posts, 25 * 1900); \
	}
LIVES(1)
LIVES(1001)
LIVES(2001)
LIVES(3001)
LIVES(4001)
LIVES(5001)

Test(host_random, one_long_life, .timeout = 120)
{
	life(77, 60000);
	cr_assert_gt(posts, 35000);
}

/* Bytes without any sense, in every state of a connection. */
Test(host_random, plain_noise, .timeout = 120)
{
	uint8_t in[256];

	seed = 4711;
	hb_start(4);
	hb_connect(VMB_V5_3);
	hb_serve(1, hb_handle(1), 1, 0);
	for (unsigned i = 0; i < 200000; i++) {
		uint32_t len = rnd(257);

		for (uint32_t k = 0; k < sizeof in; k++)
			in[k] = (uint8_t)rnd(256);
		if (rnd(8)) {
			put32(in, rnd(8) ? 1 : 4);
			put32(in + 8, 1);
			put32(in + 12, rnd(241));
			len = 256;
		}
		if (rnd(4))
			put32(in + 16, rnd(31));
		if (rnd(2))
			put32(in + 24, rnd(6));
		cr_assert_geq(vmb_host_post(hb->h, in, len), 0);
		hb->n_sent = hb->n_read = 0;
		hb->trace_len = 0;
		while (hb_poll())
			if (hb->ev.kind == VMB_EV_CLOSE)
				cr_assert_eq(vmb_host_detach(hb->h, hb->ev.ch), 0);
			else if (hb->ev.kind == VMB_EV_OPEN)
				cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, VMB_EPLATFORM), 0);
	}
	cr_assert_gt(hb_info().dropped, 100000);
	cr_assert_leq(hb->all_mapped, 1);
	hb_sound();
}
