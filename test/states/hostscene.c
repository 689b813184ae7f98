/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The ways into the states of host.table; see hostcell.h. */
#include "hostcell.h"
#include "hostids.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

struct scene scene;

static void want(const char *answers, const char *events)
{
	const char *got;

	got = scene_events();
	cr_assert(table_same_words(events, got), "on the way to %s at %s: events \"%s\", not \"%s\"",
		host_end.states[scene.state],
		  table_versions[scene.version].name, got, events);
	got = scene_answers();
	cr_assert_str_eq(got, answers, "on the way to %s at %s: answers \"%s\", not \"%s\"", host_end.states[scene.state],
			 table_versions[scene.version].name, got, answers);
}

int scene_say(const struct post *p)
{
	uint8_t in[256] = { 0 };

	scene.last = *p;
	put32(in, 1);
	put32(in + 8, 1);
	put32(in + 12, p->len);
	memcpy(in + 16, p->bytes, p->len);
	return vmb_host_post(hb->h, in, sizeof in);
}

static void trusted(const struct post *p)
{
	uint8_t in[256] = { 0 };

	scene.last = *p;
	put32(in, 1);
	put32(in + 8, 1);
	put32(in + 12, p->len);
	memcpy(in + 16, p->bytes, p->len);
	cr_assert_eq(vmb_host_post_trusted(hb->h, in, sizeof in), VMB_HV_SUCCESS);
}

/* On the way, and in a proof: through the door that this connection came by. */
static void post(const struct post *p)
{
	if (scene.state == TRUSTED)
		trusted(p);
	else
		cr_assert_eq(scene_say(p), VMB_HV_SUCCESS);
}

void scene_legal(unsigned type)
{
	struct post p;

	cr_assert(scene_post(type, LEGAL, 0, &p));
	post(&p);
}

static void words(unsigned type, uint32_t a, uint32_t b)
{
	struct post p = { .len = 16 };

	put32(p.bytes, type);
	put32(p.bytes + 8, a);
	put32(p.bytes + 12, b);
	post(&p);
}

/* The bench's storage and memory are used again and again: made once, and cleaned. */
static void fresh(void)
{
	static struct hb *made;
	struct vmb_host_config cfg = { .vps = 8, .max_channels = 16, .max_hvsock = 4, .flags = VMB_HOST_TRUSTED,
		.features = 0x3f };

	if (!made)
		made = hb_new(&cfg, 0xa5);
	hb = made;
	cfg = hb->cfg;
	cfg.features = scene.features ? scene.features : VMB_FEATURE_NONE;
	cfg.flags = VMB_HOST_MONITOR | (scene.state == TRUSTED ? VMB_HOST_TRUSTED : 0);
	hb->n_sent = hb->n_read = hb->interrupts = hb->wakes = hb->pokes = hb->message_calls = 0;
	hb->map_calls = hb->all_mapped = hb->unmapped = 0;
	hb->trace_len = 0;
	hb->busy = false;
	hb->broken = NULL;
	memset(hb->mapped, 0, sizeof hb->mapped);
	memset(hb->ram + HB_RING_PFN * VMB_PAGE, 0, 16 * VMB_PAGE);
	memset(hb->ram + 0x80 * VMB_PAGE, 0, 4 * VMB_PAGE);
	memset(hb->ram + HB_PAGE_PFN * VMB_PAGE, 0, VMB_PAGE);
	memset(hb->mem, 0xa5, hb->bytes);
	cr_assert_eq(vmb_host_init(hb->mem, hb->bytes, &cfg, &hb->h), 0);
}

static void contact(void)
{
	scene_legal(M_CONTACT);
	want("VERSION_RESPONSE(ok)", "CONNECTED");
}

static void note_connections(void)
{
	for (unsigned i = 0; i < hb->n_sent; i++)
		if (get32(hb->sent[i].data) == 1 && get32(hb->sent[i].data + 184) <= 2)
			scene.connection[get32(hb->sent[i].data + 184)] = get32(hb->sent[i].data + 192);
}

static void list(uint32_t channel, uint32_t id, uint64_t pfn)
{
	struct post p = { .len = 0 };

	p.len = hb_gpadl_bytes(p.bytes, channel, id, pfn, 4);
	post(&p);
	want("GPADL_CREATED(ok)", "");
}

/* OPEN_CHANNEL of a device's own ring. */
static void ask_open(unsigned n, uint32_t vp)
{
	struct post p = { .len = scene.features ? 156 : 148 };

	list(n, hb_ring_id(n), hb_ring_pfn(n));
	hb_open_bytes(p.bytes, n, 77, hb_ring_id(n), vp, 2);
	put32(p.bytes + 148, 0x2000 + n);
	put32(p.bytes + 152, n);
	post(&p);
	want("", n == 1 ? "OPEN(1)" : "OPEN(2)");
	if (scene.features)
		scene.connection[n] = 0x2000 + n;
	scene.open_id = 77;
	scene.opening = n;
}

static void attach(unsigned n)
{
	cr_assert_eq(hb_attach(n, scene.dev[n], &scene.ch[n]), 0);
	scene.open_waits = false;
}

static void open_it(uint32_t vp)
{
	ask_open(1, vp);
	attach(1);
	want("OPEN_CHANNEL_RESULT(ok)", "");
}

static void bystander(void)
{
	ask_open(2, 1);
	attach(2);
	want("OPEN_CHANNEL_RESULT(ok)", "");
	scene.opening = 1;
}

static void connected(void)
{
	contact();
	scene_legal(M_REQUEST_OFFERS);
	note_connections();
	want("OFFER_CHANNEL(1) OFFER_CHANNEL(2) ALL_OFFERS_DELIVERED", "");
	list(1, SPARE, 0x80);
	list(1, SPARE2, 0x84);
	bystander();
}

/* Two ranges of a page each; the second one is missing. */
static void half(void)
{
	struct post p = { .len = 36 };

	put32(p.bytes, M_HEADER);
	put32(p.bytes + 8, 1);
	put32(p.bytes + 12, HALF);
	put32(p.bytes + 16, 32 | 2u << 16);
	put32(p.bytes + 20, VMB_PAGE);
	put32(p.bytes + 28, 0x98);
	post(&p);
	want("", "");
}

static void removed(const char *answers, const char *events)
{
	cr_assert_eq(vmb_host_remove(hb->h, scene.dev[1]), 0);
	want(answers, events);
}

static void hold(void)
{
	uint64_t copy[16];
	struct vmb_list held;

	cr_assert_eq(vmb_host_gpadl_hold(hb->h, scene.dev[1], SPARE2, copy, 16, &held), 0);
	scene.held = true;
}

static void reserve(void)
{
	scene_legal(M_OPEN_RESERVED);
	scene.open_id = 0;
	scene.reserved = true;
	want("", "OPEN(1)");
}

static void reserved_open(void)
{
	reserve();
	attach(1);
	want("OPEN_CHANNEL_RESULT(ok)", "");
}

static void close_it(unsigned type)
{
	scene_legal(type);
	want("", "CLOSE(1)");
}

/* UNLOAD once channel 1 is as it shall be: channel 2 lets go. */
static void unload_to_the_end(void)
{
	scene_legal(M_UNLOAD);
	want("", "CLOSE(2)");
	cr_assert_eq(vmb_host_detach(hb->h, scene.dev[2]), 0);
	scene.ch[2] = NULL;
	want(scene.v >= VMB_V1_1 ? "UNLOAD_COMPLETE" : "", "CLOSED(2) DISCONNECTED");
}

/* ---- somebody who signals is still inside when MODIFY_CHANNEL comes */

static sem_t inside, go;
static pthread_t signaller;
static bool blocked;
static _Thread_local bool blocks_here;

static int block(void)
{
	if (!blocks_here)
		return 0;
	blocks_here = false;
	sem_post(&inside);
	sem_wait(&go);
	return 0;
}

static void *signal_it(void *arg)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "12345678", .len = 8 };

	(void)arg;
	blocks_here = true;
	return vmb_channel_send(scene.ch[1], &p) < 0 ? &inside : NULL;
}

static void block_a_signaller(void)
{
	sem_init(&inside, 0, 0);
	sem_init(&go, 0, 0);
	hb->inside = block;
	cr_assert_eq(pthread_create(&signaller, NULL, signal_it, NULL), 0);
	sem_wait(&inside);
	blocked = true;
}

void scene_unblock(void)
{
	void *failed;

	if (!blocked)
		return;
	blocked = false;
	sem_post(&go);
	cr_assert_eq(pthread_join(signaller, &failed), 0);
	cr_assert_null(failed);
	hb->inside = NULL;
	scene_read_ring(1);
}

/* ---- states of channel 1, the connection being as in `offered` */

static void enter_open(enum host_state s)
{
	open_it(s == OPEN_SILENT ? VMB_VP_NONE : 1);
	if (s == MOVING) {
		block_a_signaller();
		words(M_MODIFY, 1, 2);
		want("", "");
	}
	if (s == OPEN_TEARING)
		words(M_TEARDOWN, 1, hb_ring_id(1));
	if (s == CLOSING || s == CLOSING_TEARING || s == REOPENING || s == CLOSING_RELEASED)
		close_it(M_CLOSE);
	if (s == CLOSING_TEARING)
		words(M_TEARDOWN, 1, hb_ring_id(1));
	if (s == REOPENING) {
		scene_legal(M_OPEN);
		scene.open_id = OPEN_ID;
	}
	if (s == CLOSING_RELEASED)
		scene_legal(M_RELEASED);
	scene.ring_torn = s == OPEN_TEARING || s == CLOSING_TEARING;
	if (s == REVOKING)
		removed("", "CLOSE(1)");
	want("", "");
}

static void enter_closed(enum host_state s)
{
	if (s == RELEASED)
		scene_legal(M_RELEASED);
	if (s == BUILDING || s == BUILDING_REVOKED)
		half();
	if (s == REVOKED || s == REOFFERED || s == BUILDING_REVOKED)
		removed("RESCIND_CHANNEL_OFFER(1)", "");
	if (s == REOFFERED)
		scene.again = hb_offer(1);
	if (s == HELD || s == TEARING)
		hold();
	if (s == TEARING) {
		scene_legal(M_TEARDOWN);
		want("", "GPADL_DOWN(1)");
	}
	want("", "");
}

static void enter_reserved(enum host_state s)
{
	if (s == RESERVED_OPENING) {
		reserve();
		return;
	}
	reserved_open();
	if (s == RESERVED_CLOSING)
		close_it(M_CLOSE_RESERVED);
	if (s == RESERVED_KEPT || s == RESERVED_LEFT || s == RESERVED_CLOSING_LEFT)
		unload_to_the_end();
	if (s == RESERVED_CLOSING_LEFT)
		close_it(M_CLOSE_RESERVED);
	if (s == RESERVED_KEPT) {
		contact();
		scene_legal(M_REQUEST_OFFERS);
		want("OFFER_CHANNEL(2) ALL_OFFERS_DELIVERED", "");
		bystander();
		scene.open_id = 0;
	}
}

static void enter_leaving(enum host_state s)
{
	struct post p;

	if (s == UNLOADING_OPENING)
		ask_open(1, 1);
	if (s == UNLOADING_RESERVED)
		reserved_open();
	if (s == UNLOADING || s == UNLOADING_OPENING || s == UNLOADING_RESERVED)
		scene_legal(M_UNLOAD);
	if (s == RECONTACTING)
		scene_legal(M_CONTACT);
	if (s == REFUSING) {
		cr_assert(scene_post(M_CONTACT, WRONG_ID, 3, &p));
		post(&p);
		scene.contact_fails = WRONG_ID;
	}
	if (s == RESETTING)
		cr_assert_eq(vmb_host_reset(hb->h), 0);
	want("", "CLOSE(2)");
}

void scene_enter(enum host_state s, unsigned version)
{
	memset(&scene, 0, sizeof scene);
	scene.state = s;
	scene.opening = 1;
	scene.version = version;
	scene.v = table_versions[version].number;
	scene.features = table_versions[version].features;
	fresh();
	scene.dev[1] = hb_offer(1);
	scene.dev[2] = hb_offer(2);
	if (s == DISCONNECTED)
		return;
	if (s == LEFT || s == CONTACTED || s == PAUSED_EARLY) {
		contact();
		if (s == LEFT) {
			scene_legal(M_UNLOAD);
			want(scene.v >= VMB_V1_1 ? "UNLOAD_COMPLETE" : "", "DISCONNECTED");
		}
	} else {
		connected();
	}
	if ((s >= OPENING && s <= CLOSING_RELEASED) || s == REVOKING) {
		if (s == OPENING)
			ask_open(1, 1);
		else
			enter_open(s);
	} else if (s >= RELEASED && s <= TEARING) {
		enter_closed(s);
	} else if (s >= RESERVED_OPENING && s <= RESERVED_CLOSING_LEFT) {
		enter_reserved(s);
	} else if (s >= UNLOADING && s <= RESETTING) {
		enter_leaving(s);
	}
	if (s == PAUSED || s == PAUSED_EARLY) {
		scene_legal(M_PAUSE);
		want("PAUSE_RESPONSE", "");
	}
}

const char *scene_end(void)
{
	struct vmb_bus_info info;
	bool open_waits = scene.open_waits;

	scene_unblock();
	scene_events();
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	scene_events();
	if (open_waits)
		(void)vmb_host_answer(hb->h, &scene.open, -1);
	for (int i = 0; i < 16 && scene_let_go(); i++)
		;
	for (unsigned n = 1; n <= 2; n++)
		(void)vmb_host_detach(hb->h, scene.dev[n]);
	scene_events();
	info = hb_info();
	if (info.attached || info.gpadls || info.gpadl_pages || info.state != VMB_BUS_NONE)
		return "something outlives a reset";
	if (hb->all_mapped)
		return "pages are mapped after a reset";
	if (hb->broken)
		return hb->broken;
	return vmb_host_end(hb->h) == 0 ? NULL : "the end cannot be ended";
}
