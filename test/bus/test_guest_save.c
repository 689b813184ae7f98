/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A guest end that has something in every state that there is, saved and restored; damaged blobs; and a sleep after which ids are others.
 * control-plane.md 14, 18 */
#include <stdlib.h>
#include <string.h>

#include "guestbench.h"
#include "saved.h"

enum { CONNECTION = 1, SLOTS, CONNECT, CHANNEL, LIST, QUEUED, EVENT, STATISTICS };
enum { OPENED = 1, CREATING, OPENING, CLOSING, RESCINDED, IDLE, DOWN, FAILED, SEEN, UNSEEN };

static struct saved rich, one;

static void config(struct bench *b)
{
	b->cfg.max_hvsock = 4;
	b->cfg.max_channels = 16;
	b->cfg.max_gpadls = 16;
	b->cfg.max_gpadl_pages = 64;
	b->cfg.features = VMB_FEATURE_PAUSE;
	b->cfg.reply_ms = 1000;
	b->cfg.unload_ms = 1000;
}

static struct bench *fresh(void)
{
	struct bench *b = bench_new();

	config(b);
	b->dirt = 0x5a;
	bench_init(b);
	return b;
}

static void save(struct bench *b, struct saved *s, uint32_t format)
{
	cr_assert_eq(vmb_guest_save(b->g, format, s->bytes, sizeof s->bytes, &s->n), 0);
}

/* The bench's host grants what it is asked for, as the guest reads it. */
static struct bench *make_rich(void)
{
	struct vmb_hvsock socket = { .endpoint = { { 1 } }, .service = { { 2 } } };
	uint64_t words[41] = { VMB_RANGE(40 * VMB_PAGE, 0) };
	struct vmb_list list = { words, 41, 1 };
	struct bench *b = fresh();
	vmb_handle h[SEEN + 1];
	uint32_t gpadl;

	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_until(b, VMB_EV_OFFERS_DONE);
	for (uint32_t n = OPENED; n <= SEEN; n++) {
		bench_offer(b, n, n, 0);
		bench_run(b);
		h[n] = bench_expect(b, VMB_EV_OFFER, 0)->ch;
	}
	bench_opened(b, h[OPENED], OPENED);
	bench_opened(b, h[CLOSING], CLOSING);
	bench_opened(b, h[DOWN], DOWN);
	for (uint32_t i = 1; i <= 40; i++)
		words[i] = i;
	cr_assert_eq(vmb_guest_gpadl_create(b->g, h[DOWN], &list, &gpadl), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, 0);
	b->refuse = BIT(OPEN);
	cr_assert_eq(bench_open(b, h[FAILED], FAILED), 0);
	bench_run(b); /* its event is not looked at */
	b->refuse = 0;
	b->silent = BIT(OPEN) | BIT(GPADL_TEARDOWN) | BIT(MODIFY);
	cr_assert_eq(bench_open(b, h[OPENING], OPENING), 0);
	cr_assert_eq(vmb_guest_close(b->g, h[CLOSING]), 0);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, gpadl), 0);
	cr_assert_eq(vmb_guest_target(b->g, h[OPENED], 3), 0);
	bench_run(b);
	bench_rescind(b, RESCINDED);
	bench_answer(b);
	bench_offer(b, UNSEEN, UNSEEN, 0);
	bench_answer(b); /* not polled: not seen */
	b->fail_at = b->attempts; /* nothing is posted any more */
	b->fail_count = UINT32_MAX / 2;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(vmb_guest_hvsock(b->g, &socket, 77), 0);
	cr_assert_eq(bench_open(b, h[CREATING], CREATING), 0);
	words[0] = VMB_RANGE(8 * VMB_PAGE, 0);
	list.count = 9;
	cr_assert_eq(vmb_guest_gpadl_create(b->g, h[IDLE], &list, &gpadl), 0);
	cr_assert_eq(vmb_guest_release(b->g, h[SEEN]), 0);
	return b;
}

Test(guest_save, everything_is_told_again)
{
	uint32_t offers = 0, open = 0, others = 0;
	struct bench *b;
	struct vmb_event ev;

	bench_free(make_rich());
	b = make_rich();
	save(b, &rich, 0);
	bench_free(b);
	b = fresh();
	b->off = 1;
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, 2), VMB_EINVAL);
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, 0), 0);
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, 0), VMB_ESTATE);
	cr_assert_eq(bench_info(b).channels, 9); /* that one of them is released has been posted */
	while (vmb_guest_poll(b->g, 0, &ev) == VMB_YES) {
		struct vmb_offer o = { .size = sizeof o };

		if (ev.kind != VMB_EV_OFFER) {
			others |= 1u << ev.kind;
			continue;
		}
		cr_assert_eq(vmb_guest_offer(b->g, ev.ch, &o), 0);
		cr_assert_eq(!(ev.flags & VMB_EVF_RESTORED), o.channel_id == UNSEEN);
		offers |= 1u << o.channel_id;
		open |= (ev.flags & VMB_EVF_OPEN ? 1u : 0) << o.channel_id;
	}
	cr_assert_eq(offers, 0x7feu & ~(1u << SEEN), "%x", offers);
	cr_assert_eq(open, 1u << OPENED | 1u << CREATING | 1u << OPENING | 1u << DOWN, "%x", open);
	cr_assert_eq(others, 1u << VMB_EV_RESCINDED | 1u << VMB_EV_GONE, "%x", others);
	cr_assert_eq(bench_sent(b, RELEASED), 1);
	cr_assert_eq(bench_sent(b, GPADL_HEADER), 2);
	bench_free(b);
}

Test(guest_save, golden_blobs_load_and_are_saved_the_same)
{
	static const char *const name[] = { NULL, "guest-1.bin", "guest-2.bin", "guest-3.bin" };

	for (uint32_t format = 1; format <= VMB_SAVED_FORMAT; format++) {
		struct bench *b = make_rich();

		save(b, &rich, format);
		saved_golden(&rich, name[format]);
		bench_free(b);
		b = fresh();
		b->fail_at = 0;
		b->fail_count = UINT32_MAX / 2;
		b->fail_status = VMB_HV_NO_BUFFERS;
		cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, 0), 0);
		save(b, &one, format);
		if (format >= 2) { /* it has tried to send the first message once more */
			size_t retries = saved_find(&one, STATISTICS, 0) + 8 + 32;

			saved_put(&one, retries, saved_get(&one, retries) - 1);
			saved_fix(&one);
		}
		saved_golden(&one, name[format]);
		bench_free(b);
	}
}

/* ---- damage */

static struct bench *tried;
static uint32_t anew;

/* Owners come again, or not; then the host rescinds everything, and time passes: the end must come to its own end. */
static void wind_up(struct bench *b, uint32_t how)
{
	struct vmb_event ev;

	for (uint32_t i = 0; i < 200 && vmb_guest_poll(b->g, ++b->now * 1000000000u, &ev) >= 0; i++) {
		if (ev.kind == VMB_EV_OFFER && ev.flags & VMB_EVF_OPEN && how & 1)
			(void)bench_open(b, ev.ch, ev.ch & 15);
		else if (ev.kind == VMB_EV_OFFER && how & 2)
			(void)vmb_guest_close(b->g, ev.ch);
		else if (ev.kind == VMB_EV_RESCINDED)
			(void)vmb_guest_release(b->g, ev.ch);
		if (i == 100) {
			(void)vmb_guest_disconnect(b->g);
			for (uint32_t slot = 1; slot < 17; slot++)
				for (uint32_t generation = 1; generation < 3; generation++)
					(void)vmb_guest_release(b->g, generation << 11 | slot);
		}
	}
}

static int load(const void *bytes, size_t n)
{
	static uint32_t loads;
	int r;

	if (!tried) {
		tried = fresh();
		tried->off = 1;
	}
	r = vmb_guest_restore(tried->g, bytes, n, anew);
	if (r) {
		cr_assert_eq(bench_info(tried).state, VMB_BUS_NONE);
		cr_assert_eq(bench_info(tried).channels, 0);
		cr_assert_eq(bench_info(tried).gpadls, 0);
		cr_assert_eq(bench_info(tried).queued, 0);
		return r;
	}
	if (!anew)
		(void)vmb_guest_save(tried->g, 0, one.bytes, sizeof one.bytes, &one.n);
	wind_up(tried, loads++);
	bench_free(tried);
	tried = NULL;
	return 0;
}

Test(guest_save, damage, .timeout = 300)
{
	struct bench *b = make_rich();

	save(b, &rich, 0);
	bench_free(b);
	saved_damage(&rich, load);
}

/* ---- a smaller end, another machine */

static int restore_into(void (*change)(struct vmb_guest_config *cfg))
{
	struct bench *b = bench_new();
	int r;

	config(b);
	change(&b->cfg);
	bench_init(b);
	b->off = 1;
	r = vmb_guest_restore(b->g, rich.bytes, rich.n, 0);
	bench_free(b);
	return r;
}

static void older(struct vmb_guest_config *cfg) { cfg->max_version = VMB_V5_3; }
static void few_channels(struct vmb_guest_config *cfg) { cfg->max_channels = 8; }
static void few_lists(struct vmb_guest_config *cfg) { cfg->max_gpadls = 5; }
static void few_pages(struct vmb_guest_config *cfg) { cfg->max_gpadl_pages = 1; cfg->max_gpadls = 10; }
static void few_sockets(struct vmb_guest_config *cfg) { cfg->max_hvsock = 0; }
static void elsewhere(struct vmb_guest_config *cfg) { cfg->message_vp++; }
static void other_sint(struct vmb_guest_config *cfg) { cfg->sint = 4; }
static void the_same(struct vmb_guest_config *cfg) { (void)cfg; }

Test(guest_save, a_guest_that_may_do_less_says_so)
{
	struct bench *b = make_rich();

	save(b, &rich, 0);
	bench_free(b);
	cr_assert_eq(restore_into(older), VMB_EVERSION);
	cr_assert_eq(restore_into(few_channels), VMB_ENOSPACE);
	cr_assert_eq(restore_into(few_lists), VMB_ENOSPACE);
	cr_assert_eq(restore_into(few_pages), VMB_ENOSPACE);
	cr_assert_eq(restore_into(few_sockets), VMB_ENOSPACE);
	cr_assert_eq(restore_into(elsewhere), VMB_EINVAL);
	cr_assert_eq(restore_into(other_sint), VMB_EINVAL);
	cr_assert_eq(restore_into(the_same), 0);
}

Test(guest_save, not_while_a_post_may_have_arrived)
{
	struct bench *b = fresh();

	b->fail_at = 0;
	b->fail_count = 1;
	b->fail_status = VMB_HV_TIMEOUT;
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	cr_assert_eq(vmb_guest_save(b->g, 0, NULL, 0, &one.n), VMB_ESTATE);
	bench_run(b);
	bench_until(b, VMB_EV_OFFERS_DONE);
	cr_assert_eq(vmb_guest_save(b->g, 0, NULL, 0, &one.n), 0);
	cr_assert_eq(vmb_guest_save(b->g, 0, one.bytes, one.n - 1, &one.n), VMB_ETOOSMALL);
	cr_assert_eq(vmb_guest_save(b->g, VMB_SAVED_FORMAT + 1, NULL, 0, &one.n), VMB_EVERSION);
	cr_assert_eq(vmb_guest_save(b->g, 0, NULL, 0, NULL), VMB_EINVAL);
	bench_free(b);
}

Test(guest_save, not_in_the_middle_of_a_packet)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "12345678", .len = 8 };
	struct bench *b = bench_offered(VMB_V5_3, 1);
	struct bench_open *o = bench_opened(b, b->open[0].handle, 0);

	cr_assert_eq(vmb_channel_put(o->ch, &p), 0);
	cr_assert_eq(vmb_guest_save(b->g, 0, NULL, 0, &one.n), VMB_ESTATE);
	cr_assert_eq(vmb_channel_flush(o->ch), 0);
	cr_assert_eq(vmb_guest_save(b->g, 0, NULL, 0, &one.n), 0);
	bench_free(b);
}

Test(guest_save, who_comes_again_with_other_memory_is_refused)
{
	struct bench *b = bench_offered(VMB_V5_3, 1);
	struct vmb_open open = { .size = sizeof open, .tx_pages = 3, .rx_pages = 1 + BENCH_PAGES / 2, .ring_gpa = BENCH_GPA(0), .target_vp = 2 };
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_channel *c;
	static uint8_t mem[8192] __attribute__((aligned(64))), ring[6 * VMB_PAGE] __attribute__((aligned(4096)));
	vmb_handle h = b->open[0].handle;

	bench_opened(b, h, 0);
	save(b, &rich, 0);
	bench_free(b);
	b = bench_new();
	bench_init(b);
	b->off = 1;
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, 0), 0);
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_OFFER, 0)->ch, h);
	open.ring = ring;
	cr_assert_eq(vmb_guest_open(b->g, h, mem, sizeof mem, &cfg, &open, &c), VMB_EINVAL);
	cr_assert_eq(vmb_guest_close(b->g, h), 0); /* without the object it had */
	cr_assert_eq(bench_sent(b, CLOSE), 1);
	bench_free(b);
}

Test(guest_save, a_record_has_exactly_its_fields)
{
	struct bench *b = make_rich();

	save(b, &one, 0);
	bench_free(b);
	for (uint32_t type = CONNECTION; type <= STATISTICS; type++) {
		b = fresh();
		b->off = 1;
		for (int more = -8; more <= 8; more += 16) {
			saved_resize(&rich, &one, type, more);
			cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, 0), VMB_EINVAL, "record %u, %d bytes more", type, more);
		}
		cr_assert_eq(vmb_guest_restore(b->g, one.bytes, one.n, 0), 0);
		bench_free(b);
	}
}

static struct bench *restored(uint32_t version)
{
	struct bench *b = bench_new();

	bench_init(b);
	b->off = 1;
	b->negotiated = version;
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, 0), 0);
	return b;
}

/* It would begin anew in the middle of what its peer has written. */
Test(guest_save, a_bad_ring_stays_bad)
{
	struct bench *b = bench_offered(VMB_V5_3, 1);
	struct bench_open *o = bench_opened(b, b->open[0].handle, 0);
	vmb_handle h = o->handle;
	uint64_t buf[8];
	struct vmb_packet p;

	memset((uint8_t *)o->ring + BENCH_PAGES / 2 * VMB_PAGE, 0xff, 4);
	cr_assert_eq(vmb_channel_recv(o->ch, buf, sizeof buf, &p), VMB_EPEER);
	save(b, &rich, 0);
	bench_free(b);
	b = restored(VMB_V5_3);
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_OFFER, 0)->ch, h);
	cr_assert_eq(b->events[b->taken - 1].flags, VMB_EVF_RESTORED);
	cr_assert_eq(bench_open(b, h, 0), VMB_ESTATE);
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	cr_assert_eq(bench_sent(b, CLOSE), 1);
	bench_free(b);
}

/* Refused while its owner is away, and saved once more: the blob is a good one. */
Test(guest_save, what_fails_before_its_owner_comes)
{
	struct bench *b = bench_offered(VMB_V5_3, 1);
	vmb_handle h = b->open[0].handle;
	uint64_t open_id;

	b->silent = BIT(OPEN);
	cr_assert_eq(bench_open(b, h, 0), 0);
	bench_run(b);
	open_id = b->id[1].open_id;
	save(b, &rich, 0);
	bench_free(b);
	for (int refused = 0; refused < 2; refused++) {
		b = restored(VMB_V5_3);
		if (!refused)
			bench_say(b, OPEN_RESULT, "channel_id", 1ull, "open_id", open_id, "status", 1ull, NULL);
		bench_poll(b);
		cr_assert_eq(bench_expect(b, VMB_EV_OFFER, 0)->ch, h);
		cr_assert_eq(b->events[b->taken - 1].flags, VMB_EVF_RESTORED);
		if (!refused)
			bench_expect(b, VMB_EV_OPENED, VMB_EREFUSED);
		cr_assert_eq(bench_open(b, h, 0), VMB_ESTATE);
		save(b, &rich, 0);
		if (refused)
			cr_assert_eq(vmb_guest_close(b->g, h), 0);
		cr_assert_eq(bench_sent(b, CLOSE), 0);
		bench_free(b);
	}
}

/* ---- who watches, and what was counted */

static struct vmb_trace told[256];
static uint32_t n_told;

static void trace(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	cr_assert_lt(n_told, sizeof told / sizeof *told);
	told[n_told++] = *t;
}

/* What was told last about each channel and list is what the snapshot has. How many there are. */
static uint32_t told_is_shown(struct bench *b)
{
	struct vmb_part part = { .size = sizeof part };
	uint32_t cursor = 0, parts = 0;

	while (vmb_guest_snapshot(b->g, &cursor, &part) == VMB_YES) {
		uint32_t point = part.kind == VMB_PART_CHANNEL ? VMB_TRACE_CHANNEL : VMB_TRACE_GPADL, state = 0, flags = 0;

		if (part.kind == VMB_PART_CONNECTION)
			continue;
		for (uint32_t i = 0; i < n_told; i++) {
			const struct vmb_trace *t = &told[i];

			if (t->point != point || (point == VMB_TRACE_GPADL ? t->gpadl != part.gpadl : t->channel != part.channel))
				continue;
			cr_assert_eq(t->a, state, "channel %u, list %u", part.channel, part.gpadl);
			cr_assert(point == VMB_TRACE_GPADL || t->c == flags);
			state = t->b;
			flags = t->d;
		}
		cr_assert_eq(state, part.state, "channel %u, list %u", part.channel, part.gpadl);
		cr_assert(point == VMB_TRACE_GPADL || flags == part.flags);
		parts++;
	}
	return parts;
}

Test(guest_save, a_watcher_is_told_what_there_is)
{
	struct bench *b = make_rich();

	save(b, &rich, 0);
	bench_free(b);
	b = bench_new();
	config(b);
	b->cfg.trace = trace;
	bench_init(b);
	b->off = 1;
	saved_resize(&one, &rich, STATISTICS, -8);
	cr_assert_eq(vmb_guest_restore(b->g, one.bytes, one.n, 0), VMB_EINVAL); /* seen at its end */
	cr_assert_eq(n_told, 0);
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, 0), 0);
	cr_assert(told[0].point == VMB_TRACE_CONNECTION && told[0].b == VMB_BUS_RUNNING && told[0].c == VMB_V6_0);
	cr_assert_eq(told_is_shown(b), 9 + 8);
	wind_up(b, 0);
	(void)told_is_shown(b);
	bench_free(b);
	n_told = 0;
	b = bench_new();
	config(b);
	b->cfg.trace = trace;
	bench_init(b);
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, VMB_RESTORE_ANEW), 0);
	cr_assert_eq(n_told, 8); /* one each for the handles that live on */
	for (uint32_t i = 0; i < n_told; i++)
		cr_assert(told[i].point == VMB_TRACE_CHANNEL && !told[i].a && told[i].b == VMB_STATE_OFFERED &&
			  told[i].d == (VMB_HAS_SEEN | (i + 1 == RESCINDED ? VMB_HAS_RESCINDED | VMB_HAS_ABANDONED : 0)));
	bench_free(b);
}

static struct vmb_part part_of(struct bench *b, uint32_t channel)
{
	struct vmb_part part = { .size = sizeof part };
	uint32_t cursor = 0;

	while (vmb_guest_snapshot(b->g, &cursor, &part) == VMB_YES)
		if (part.kind == VMB_PART_CHANNEL && part.channel == channel)
			return part;
	cr_assert_fail("no channel %u", channel);
	return part;
}

Test(guest_save, counters_go_on)
{
	struct bench *b = make_rich();
	struct vmb_bus_info before, now;

	cr_assert_eq(vmb_guest_message(b->g, "garbage!", 8), 0);
	before = bench_info(b);
	save(b, &rich, 0);
	cr_assert(before.dropped == 1 && before.fate[VMB_FATE_TAKEN] > 20 && part_of(b, CLOSING).opens == 1 && part_of(b, FAILED).refused == 1);
	bench_free(b);
	b = fresh();
	b->off = 1;
	cr_assert_eq(vmb_guest_message(b->g, "garbage!", 8), 0); /* as a blob of an old format finds it, and one that is refused */
	saved_resize(&one, &rich, STATISTICS, -8);
	cr_assert_eq(vmb_guest_restore(b->g, one.bytes, one.n, 0), VMB_EINVAL);
	now = bench_info(b);
	cr_assert(now.messages_in == 1 && now.dropped == 1 && !now.messages_out && !now.fate[VMB_FATE_TAKEN]);
	b->fail_count = UINT32_MAX / 2;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, 0), 0);
	now = bench_info(b);
	cr_assert_eq(memcmp(now.fate, before.fate, sizeof now.fate), 0);
	cr_assert_eq(now.messages_in, before.messages_in);
	cr_assert_eq(now.messages_out, before.messages_out);
	cr_assert_eq(now.dropped, before.dropped);
	cr_assert_eq(part_of(b, CLOSING).opens, 1);
	cr_assert_eq(part_of(b, CLOSING).closes, 1);
	cr_assert_eq(part_of(b, FAILED).refused, 1);
	bench_free(b);
}

/* ---- after a sleep. Ids, order and number of the offers are others */

Test(guest_save, anew)
{
	struct bench *b = fresh();
	vmb_handle h[5];
	struct vmb_offer o = { .size = sizeof o };

	b->version = VMB_V5_2;
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_until(b, VMB_EV_OFFERS_DONE);
	for (uint32_t n = 1; n <= 4; n++) {
		bench_offer(b, n, n == 4 ? 1 : n, n == 4);
		bench_run(b);
		h[n] = bench_expect(b, VMB_EV_OFFER, 0)->ch;
	}
	bench_opened(b, h[1], 1);
	save(b, &rich, 0);
	bench_free(b);

	b = fresh();
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, VMB_RESTORE_ANEW), 0);
	cr_assert_eq(bench_info(b).state, VMB_BUS_NONE);
	cr_assert_eq(bench_info(b).channels, 3); /* primaries */
	bench_poll(b);
	bench_quiet(b);
	cr_assert_eq(vmb_guest_save(b->g, 0, NULL, 0, &one.n), VMB_ESTATE);
	cr_assert_eq(bench_open(b, h[1], 1), VMB_ESTATE);
	b->offers[0] = 0;
	b->silent = BIT(REQUEST_OFFERS);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	cr_assert_eq(b->contacts, 1); /* at once with the version of before */
	cr_assert_eq(bench_info(b).version, VMB_V5_2);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_offer(b, 3, 1, 0);
	bench_offer(b, 7, 9, 0);
	bench_offer(b, 1, 2, 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_OFFER, 0)->ch, h[1]);
	cr_assert_eq(b->events[b->taken - 1].flags, VMB_EVF_RESTORED);
	cr_assert_eq(vmb_guest_offer(b->g, h[1], &o), 0);
	cr_assert_eq(o.channel_id, 3);
	cr_assert_neq(bench_expect(b, VMB_EV_OFFER, 0)->ch, h[3]); /* a new device */
	cr_assert_eq(bench_expect(b, VMB_EV_OFFER, 0)->ch, h[2]);
	bench_say(b, ALL_OFFERS, NULL);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_RESCINDED, 0)->ch, h[3]); /* the other one is gone */
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	b->silent = 0;
	bench_offer(b, 8, 3, 0);
	bench_run(b);
	cr_assert_neq(bench_expect(b, VMB_EV_OFFER, 0)->ch, h[3]); /* too late for the old handle */
	cr_assert_eq(b->events[b->taken - 1].flags, 0);
	bench_opened(b, h[1], 1);
	cr_assert_eq(vmb_guest_release(b->g, h[3]), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GONE, 0);
	cr_assert_eq(bench_sent(b, RELEASED), 0); /* that number is another's now */
	bench_free(b);
}

/* What was rescinded before the sleep is, whether its owner had heard of it or not, and whatever is offered now. */
Test(guest_save, anew_after_rescind)
{
	struct bench *b = bench_offered(VMB_V5_2, 1);
	vmb_handle heard = b->open[0].handle, unheard;

	bench_offer(b, 2, 2, 0);
	bench_run(b);
	unheard = bench_expect(b, VMB_EV_OFFER, 0)->ch;
	bench_rescind(b, 1);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_RESCINDED, 0)->ch, heard);
	bench_say(b, RESCIND, "channel_id", 2ull, NULL);
	save(b, &rich, 0);
	bench_free(b);

	b = fresh();
	b->offers[0] = 0;
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, VMB_RESTORE_ANEW), 0);
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_RESCINDED, 0)->ch, heard);
	cr_assert_eq(bench_expect(b, VMB_EV_RESCINDED, 0)->ch, unheard);
	bench_quiet(b);
	cr_assert_eq(vmb_guest_release(b->g, heard), 0);
	b->silent = BIT(REQUEST_OFFERS);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GONE, 0)->ch, heard);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_offer(b, 2, 2, 0);
	bench_run(b);
	cr_assert_neq(bench_expect(b, VMB_EV_OFFER, 0)->ch, unheard); /* the same device, another offer */
	cr_assert_eq(b->events[b->taken - 1].flags, 0);
	cr_assert_eq(vmb_guest_release(b->g, unheard), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GONE, 0)->ch, unheard);
	cr_assert_eq(bench_sent(b, RELEASED), 0);
	bench_free(b);
}

Test(guest_save, anew_with_no_other_version)
{
	struct bench *b = bench_offered(VMB_V5_2, 1);

	save(b, &rich, 0);
	bench_free(b);
	b = fresh();
	b->version = VMB_V4_1;
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, VMB_RESTORE_ANEW), 0);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, VMB_EVERSION);
	cr_assert_eq(b->contacts, 1);
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, 0), VMB_ESTATE);
	bench_free(b);
	b = bench_connected(VMB_V5_2); /* no device at all */
	save(b, &rich, 0);
	bench_free(b);
	b = fresh();
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, VMB_RESTORE_ANEW), 0);
	cr_assert_eq(vmb_guest_save(b->g, 0, NULL, 0, &one.n), VMB_ESTATE); /* that version is in no blob */
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_until(b, VMB_EV_OFFERS_DONE);
	cr_assert_eq(vmb_guest_save(b->g, 0, NULL, 0, &one.n), 0);
	bench_free(b);
	b = fresh();
	save(b, &rich, 0); /* it had no connection */
	bench_free(b);
	b = fresh();
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, VMB_RESTORE_ANEW), VMB_ESTATE);
	cr_assert_eq(vmb_guest_restore(b->g, rich.bytes, rich.n, 0), 0);
	bench_free(b);
}
