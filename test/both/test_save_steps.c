/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A whole life of a connection in the smallest steps that there are: one post, one message, one event at a time. Between every two of them one
 * end, or the other, or both are saved, thrown away and restored, and what the driver sees in the end must be what it sees without. The
 * slot holds one message, and a post finds room once in each step, so that both ends have something queued most of the time. control-plane.md 18
 */
#include "both.h"

#include <stdlib.h>
#include <string.h>

enum { DEVICES = 3, RING = 2, REQUESTS = 3, NOTES = 512, HOST = 1, GUEST = 2, LIST_PAGES = 70 };

struct device {
	vmb_handle host, guest;
	struct vmb_channel *h, *g;
	void *hmem, *gmem;
	struct vmb_open open;
	uint64_t asked[REQUESTS], ids[REQUESTS]; /* requests that the device has taken */
	uint32_t taken, completed;
	int offered;     /* by the host */
	int opened, rescinded; /* told so: after a restore it is told again */
	uint32_t hold;   /* the list that the device is to hold */
	char note[64];   /* what the driver saw */
	uint32_t notes;
};

static struct {
	struct device dev[DEVICES + 1];
	int (*post)(void *ctx, uint32_t connection, const void *payload, uint32_t len);
	int (*message)(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len);
	uint32_t budget;
	uint32_t steps, at;  /* save at this step; 0: never */
	int what;
	uint32_t format;
	char note[NOTES];    /* what all drivers saw */
	uint32_t gpadl;
	uint32_t saves;
	int restored;        /* just now: owners are to come again first */
} life;

static uint8_t blob[1 << 16], again[1 << 16];

/* In the order of each device; dev[0] is the connection. */
static void note(struct device *d, char what)
{
	cr_assert_lt(d->notes, sizeof d->note - 1);
	d->note[d->notes++] = what;
}

/* ---- the platform: room for one */

static int post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	if (!life.budget)
		return VMB_HV_NO_BUFFERS;
	life.budget--;
	return life.post(ctx, connection, payload, len);
}

static int message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	if (both.in != both.out)
		return VMB_EAGAIN;
	return life.message(ctx, vp, vtl, sint, payload, len);
}

/* ---- both sides of each device */

static struct device *device_of(vmb_handle ch, int host)
{
	for (uint32_t n = 1; n <= DEVICES; n++)
		if ((host ? life.dev[n].host : life.dev[n].guest) == ch)
			return &life.dev[n];
	cr_assert_fail("no such handle: %x", ch);
	return NULL;
}

static void offer(uint32_t n)
{
	struct vmb_offer o = { .size = sizeof o, .class_id = { { 0xc0 } }, .instance = { { (uint8_t)n } }, .user = n };

	if (n == 3) { /* a subchannel of the first */
		o.instance.byte[0] = 1;
		o.subchannel = 1;
	}
	life.dev[n].offered = 1;
	cr_assert_eq(vmb_host_offer(both.h, &o, &life.dev[n].host), 0);
}

static int driver_open(struct device *d)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = REQUESTS };
	struct vmb_storage need;

	cr_assert_eq(vmb_channel_storage(&(struct vmb_channel_config){ .size = sizeof cfg, .requests = REQUESTS,
		.tx = { .control = d->open.ring, .data = d->open.ring, .data_pages = RING - 1 },
		.rx = { .control = d->open.ring, .data = d->open.ring, .data_pages = RING - 1 } }, &need), 0);
	free(d->gmem);
	d->gmem = aligned_alloc(64, need.bytes);
	memset(d->gmem, 0xa5, need.bytes);
	return vmb_guest_open(both.g, d->guest, d->gmem, need.bytes, &cfg, &d->open, &d->g);
}

/* Requests that are out go with the driver, not with the end. */
static void driver_goes_on(struct device *d)
{
	uint64_t id[REQUESTS], user[REQUESTS];
	uint32_t cursor = 0, n = 0;

	while (d->g && vmb_channel_outstanding(d->g, &cursor, &id[n], &user[n], NULL) == VMB_YES)
		n++;
	cr_assert_eq(driver_open(d), 0);
	for (uint32_t i = 0; i < n; i++)
		cr_assert_eq(vmb_channel_adopt(d->g, id[i], user[i]), 0);
}

static void attach(struct device *d)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 4, .ring_pages = 2 * RING };
	struct vmb_storage need;

	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	free(d->hmem);
	d->hmem = aligned_alloc(64, need.bytes);
	cr_assert_eq(vmb_host_attach(both.h, d->host, d->hmem, need.bytes, &cfg, &d->h), 0);
}

static void device_works(struct device *d)
{
	uint8_t buf[64] __attribute__((aligned(8)));
	struct vmb_packet p;
	int r = 0;

	while (d->h && (r = vmb_channel_recv(d->h, buf, sizeof buf, &p)) == VMB_YES)
		d->ids[d->taken++] = p.id;
	cr_assert(r == 0 || r == VMB_ESTOPPED);
}

static void device_answers(struct device *d)
{
	while (d->h && d->taken) {
		struct vmb_packet p = { .kind = VMB_PKT_COMPLETION, .id = d->ids[--d->taken], .payload = "answered", .len = 8 };

		cr_assert_eq(vmb_channel_send(d->h, &p), 0);
	}
}

static void driver_works(struct device *d)
{
	uint8_t buf[64] __attribute__((aligned(8)));
	struct vmb_packet p;

	while (d->g && vmb_channel_recv(d->g, buf, sizeof buf, &p) == VMB_YES)
		d->completed++;
}

static int host_event(void)
{
	struct vmb_event ev;
	struct device *d;

	if (vmb_host_poll(both.h, 0, &ev) != VMB_YES)
		return 0;
	switch (ev.kind) {
	case VMB_EV_OPEN:
		attach(device_of(ev.ch, 1));
		break;
	case VMB_EV_CLOSE:
		d = device_of(ev.ch, 1);
		d->h = NULL;
		d->taken = 0;
		cr_assert_eq(vmb_host_detach(both.h, ev.ch), 0);
		break;
	case VMB_EV_GPADL_DOWN:
		device_of(ev.ch, 1)->hold = 0;
		cr_assert_eq(vmb_host_answer(both.h, &ev, 0), 0);
		break;
	case VMB_EV_HVSOCK:
		cr_assert_eq(vmb_host_answer(both.h, &ev, VMB_ENOENT), 0);
		break;
	case VMB_EV_GONE:
		device_of(ev.ch, 1)->host = 0;
		break;
	}
	return 1;
}

static void guest_offer(const struct vmb_event *ev)
{
	struct vmb_offer o = { .size = sizeof o };
	struct device *d;

	cr_assert_eq(vmb_guest_offer(both.g, ev->ch, &o), 0);
	d = &life.dev[o.subchannel ? 3 : o.instance.byte[0]];
	if (ev->flags & VMB_EVF_RESTORED) {
		cr_assert_eq(d->guest, ev->ch);
		if (ev->flags & VMB_EVF_OPEN)
			driver_goes_on(d);
		return;
	}
	d->guest = ev->ch;
	d->rescinded = 0;
	note(d, 'o');
}

static int guest_event(void)
{
	static const char letter[] = { [VMB_EV_CONNECTED] = 'C', [VMB_EV_DISCONNECTED] = 'D', [VMB_EV_OFFERS_DONE] = 'd', [VMB_EV_OPENED] = 'O',
				       [VMB_EV_RESCINDED] = 'R', [VMB_EV_CLOSED] = 'c', [VMB_EV_GONE] = 'g', [VMB_EV_GPADL] = 'L',
				       [VMB_EV_GPADL_DOWN] = 'l', [VMB_EV_TARGET] = 'T', [VMB_EV_PAUSED] = 'P', [VMB_EV_HVSOCK] = 'h' };
	struct vmb_event ev;
	struct device *d = &life.dev[0];

	if (vmb_guest_poll(both.g, 0, &ev) != VMB_YES)
		return 0;
	if (ev.kind == VMB_EV_OFFER) {
		guest_offer(&ev);
		return 1;
	}
	if (ev.ch)
		d = device_of(ev.ch, 0);
	if ((ev.kind == VMB_EV_OPENED && d->opened) || (ev.kind == VMB_EV_RESCINDED && d->rescinded))
		return 1;
	note(d, letter[ev.kind]);
	note(d, ev.status ? '!' : '.');
	if (ev.kind == VMB_EV_OPENED)
		d->opened = 1;
	if (ev.kind == VMB_EV_CLOSED) {
		d->opened = 0;
		d->g = NULL;
	}
	if (ev.kind == VMB_EV_RESCINDED) {
		d->rescinded = 1;
		cr_assert_eq(vmb_guest_release(both.g, ev.ch), 0);
	}
	return 1;
}

/* ---- saving */

static void save_host(void)
{
	struct vmb_storage need;
	size_t bytes, same;
	int still = both.in != both.out; /* nothing can be sent, and nothing is rescinded */

	cr_assert_eq(vmb_host_save(both.h, life.format, blob, sizeof blob, &bytes), 0);
	free(both.hmem);
	memset(both.mapped, 0, sizeof both.mapped);
	cr_assert_eq(vmb_host_storage(&both.hcfg, &need), 0);
	both.hmem = aligned_alloc(64, need.bytes);
	memset(both.hmem, 0xa5, need.bytes);
	cr_assert_eq(vmb_host_init(both.hmem, need.bytes, &both.hcfg, &both.h), 0);
	for (uint32_t n = 1; n <= DEVICES; n++) {
		life.dev[n].host = 0;
		life.dev[n].h = NULL;
		if (life.dev[n].offered)
			offer(n);
		else
			still = 0;
	}
	cr_assert_eq(vmb_host_restore(both.h, blob, bytes), 0, "step %u", life.steps);
	cr_assert_eq(vmb_host_restore(both.h, blob, bytes), VMB_ESTATE);
	if (life.format != 1 || !still)
		return;
	cr_assert_eq(vmb_host_save(both.h, 1, again, sizeof again, &same), 0);
	cr_assert_eq(same, bytes, "step %u: %zu, not %zu", life.steps, same, bytes);
	cr_assert_eq(memcmp(blob, again, bytes), 0, "step %u", life.steps);
}

static void save_guest(void)
{
	struct vmb_storage need;
	size_t bytes, same;

	cr_assert_eq(vmb_guest_save(both.g, life.format, blob, sizeof blob, &bytes), 0);
	free(both.gmem);
	cr_assert_eq(vmb_guest_storage(&both.gcfg, &need), 0);
	both.gmem = aligned_alloc(64, need.bytes);
	memset(both.gmem, 0xa5, need.bytes);
	cr_assert_eq(vmb_guest_init(both.gmem, need.bytes, &both.gcfg, &both.g), 0);
	cr_assert_eq(vmb_guest_restore(both.g, blob, bytes, 0), 0, "step %u", life.steps);
	if (life.format == 1) {
		cr_assert_eq(vmb_guest_save(both.g, 1, again, sizeof again, &same), 0);
		cr_assert_eq(same, bytes, "step %u: %zu, not %zu", life.steps, same, bytes);
		cr_assert_eq(memcmp(blob, again, bytes), 0, "step %u", life.steps);
	}
}

static void step(void)
{
	life.budget = 0;
	if (++life.steps != life.at)
		return;
	life.saves++;
	life.restored = 1;
	if (life.what & HOST)
		save_host();
	if (life.what & GUEST)
		save_guest();
}

static int deliver(void)
{
	const struct both_message *m = &both.queue[both.out % BOTH_QUEUE];
	uint32_t vp = m->vp;

	if (both.in == both.out)
		return 0;
	both.out++;
	cr_assert_eq(vmb_guest_message(both.g, m->bytes, m->len), 0);
	cr_assert_eq(vmb_host_eom(both.h, vp), 0);
	return 1;
}

/* Until nothing moves any more. */
static void run(void)
{
	int more = 1;

	while (more) {
		more = 0;
		step();
		life.budget = 1;
		more |= guest_event();
		step();
		more |= deliver();
		step();
		more |= host_event();
		more |= both_info(0).queued && !both_info(0).paused;
		more |= life.restored;
		life.restored = 0;
		for (uint32_t n = 1; n <= DEVICES; n++) {
			device_works(&life.dev[n]);
			driver_works(&life.dev[n]);
		}
	}
}

/* ---- the life */

static void open_device(uint32_t n, uint32_t flags)
{
	struct device *d = &life.dev[n];
	uint64_t pfn = both_pages(2 * RING);

	d->open = (struct vmb_open){ .size = sizeof d->open, .tx_pages = RING, .rx_pages = RING, .user = n, .ring_gpa = pfn * VMB_PAGE,
				     .ring = both_page(pfn), .flags = flags };
	d->g = NULL;
	cr_assert_eq(driver_open(d), 0);
	run();
}

static void ask(struct device *d)
{
	for (uint64_t i = 1; i <= REQUESTS; i++) {
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .payload = "question", .len = 8, .user = i };

		cr_assert_eq(vmb_channel_send(d->g, &p), 0);
	}
}

/* A list that takes several messages, held by the device when it is taken down. */
static void lists(struct device *d)
{
	uint64_t words[LIST_PAGES + 1] = { VMB_RANGE(LIST_PAGES * VMB_PAGE, 0) }, copy[LIST_PAGES + 1];
	struct vmb_list list = { words, LIST_PAGES + 1, 1 }, held;
	uint32_t waste;

	for (uint32_t i = 1; i <= LIST_PAGES; i++)
		words[i] = 100 + i;
	cr_assert_eq(vmb_guest_gpadl_create(both.g, d->guest, &list, &life.gpadl), 0);
	cr_assert_eq(vmb_guest_gpadl_create(both.g, d->guest, &list, &waste), 0);
	run();
	cr_assert_eq(vmb_guest_gpadl_destroy(both.g, waste), 0);
	cr_assert_eq(vmb_host_gpadl_hold(both.h, d->host, life.gpadl, copy, LIST_PAGES + 1, &held), 0);
	run();
	cr_assert_eq(vmb_guest_gpadl_destroy(both.g, life.gpadl), 0);
	run();
}

static void say_goodbye(uint32_t n)
{
	cr_assert_eq(vmb_guest_close(both.g, life.dev[n].guest), 0);
	run();
}

static void new_features(void)
{
	struct vmb_hvsock socket = { .endpoint = { { 1 } }, .service = { { 2 } } };

	if (both_info(0).version >= VMB_V4_1) {
		cr_assert_eq(vmb_guest_target(both.g, life.dev[1].guest, 1), 0);
		run();
		cr_assert_eq(vmb_guest_hvsock(both.g, &socket, 9), 0);
		run();
	}
	if (both_info(0).features & VMB_FEATURE_PAUSE) {
		cr_assert_eq(vmb_guest_pause(both.g), 0);
		run();
		cr_assert_eq(vmb_guest_target(both.g, life.dev[1].guest, 0), 0);
		cr_assert_eq(vmb_guest_resume(both.g), 0);
		run();
	}
}

static void remove_and_offer(uint32_t n)
{
	life.dev[n].offered = 0;
	if (n == 1)
		life.dev[3].offered = 0;
	cr_assert_eq(vmb_host_remove(both.h, life.dev[n].host), 0);
	run();
	offer(n);
	run();
}

static void reserved(uint32_t n)
{
	if (both_info(0).version < VMB_V4_0)
		return;
	open_device(n, VMB_OPEN_RESERVED);
	cr_assert_eq(life.dev[n].open.flags, VMB_OPEN_RESERVED);
}

static void live(uint32_t version, uint32_t features)
{
	uint32_t kept;

	both_config();
	memset(&life.dev, 0, sizeof life.dev);
	life.steps = life.gpadl = life.saves = 0;
	life.restored = 0;
	life.post = both.gcfg.post;
	life.message = both.hcfg.message;
	both.gcfg.post = post;
	both.hcfg.message = message;
	both.gcfg.max_version = version;
	both.gcfg.features = features;
	both.gcfg.max_hvsock = both.hcfg.max_hvsock = 2;
	if (version < VMB_V2_4) {
		both.gcfg.interrupt_gpa = both_pages(1) * VMB_PAGE;
		both.gcfg.interrupt_page = both_page(both.gcfg.interrupt_gpa / VMB_PAGE);
	}
	both_init();
	for (uint32_t n = 1; n <= DEVICES; n++)
		offer(n);
	cr_assert_eq(vmb_guest_connect(both.g), 0);
	run();
	open_device(1, 0);
	open_device(2, 0);
	ask(&life.dev[1]);
	run();
	device_answers(&life.dev[1]);
	run();
	ask(&life.dev[2]);
	lists(&life.dev[1]);
	new_features();
	device_answers(&life.dev[2]);
	run();
	say_goodbye(2);
	remove_and_offer(2);
	reserved(2);
	kept = both_info(0).version >= VMB_V4_0;
	remove_and_offer(1);
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	run();
	for (uint32_t n = 1; n <= DEVICES; n++)
		note(&life.dev[n], (char)('0' + life.dev[n].completed));
	if (kept)
		say_goodbye(2);
	cr_assert_eq(both_info(1).state, VMB_BUS_NONE);
	cr_assert_eq(both_info(1).gpadls, 0);
	cr_assert_eq(both_info(0).gpadls, 0);
	life.note[0] = 0;
	for (uint32_t n = 0; n <= DEVICES; n++) {
		free(life.dev[n].hmem);
		free(life.dev[n].gmem);
		strcat(strcat(life.note, life.dev[n].note), " ");
	}
	both_end();
}

static void all_steps(uint32_t version, uint32_t features)
{
	char plain[NOTES];
	uint32_t steps;

	life.at = 0;
	live(version, features);
	memcpy(plain, life.note, NOTES);
	steps = life.steps;
	cr_assert_gt(steps, 100);
	for (life.what = HOST; life.what <= (HOST | GUEST); life.what++)
		for (life.at = 1; life.at <= steps; life.at++) {
			life.format = 1 + life.at % VMB_SAVED_FORMAT;
			live(version, features);
			cr_assert_eq(strcmp(life.note, plain), 0, "%d saved at step %u of %u:\n%s\n%s", life.what, life.at, steps, life.note,
				     plain);
			cr_assert_eq(life.saves, 1);
		}
}

Test(save_steps, at_6_0)
{
	all_steps(VMB_V6_0, VMB_FEATURES_DEFAULT);
}

Test(save_steps, at_5_3)
{
	all_steps(VMB_V5_3, 0);
}

Test(save_steps, at_4_0)
{
	all_steps(VMB_V4_0, 0);
}

Test(save_steps, at_0_13)
{
	all_steps(VMB_V0_13, 0);
}
