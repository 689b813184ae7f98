/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The ordinary life of a guest end: connect, offers, open, data, close, release, disconnect, and again; at every version. */
#include "guestbench.h"

#include <endian.h>
#include <string.h>

TestSuite(guest_life, .timeout = 60);

/* What the host would see of the guest's sending ring: In of its control page. */
static uint32_t in_index(const struct bench_open *o)
{
	uint32_t in;

	memcpy(&in, o->ring, 4);
	return le32toh(in);
}

static void one_life(struct bench *b)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "0123456789abcdef", .len = 16 };
	struct bench_open *o;
	vmb_handle h;

	b->offers[0] = 5;
	b->offer_count = 1;
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	h = bench_expect(b, VMB_EV_OFFER, 0)->ch;
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	bench_quiet(b);
	cr_assert_eq(bench_info(b).state, VMB_BUS_RUNNING);
	o = bench_opened(b, h, 0);
	b->signals = 0;
	cr_assert_eq(vmb_channel_send(o->ch, &p), 0);
	cr_assert_eq(in_index(o), 40);
	cr_assert_eq(b->signals, 1, "the first packet signals");
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_CLOSED, 0)->user, 1);
	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GONE, 0)->ch, h);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_DISCONNECTED, 0);
	bench_quiet(b);
	cr_assert_eq(bench_info(b).state, VMB_BUS_NONE);
}

Test(guest_life, whole_at_each_version_twice)
{
	uint32_t v;

	for (uint32_t i = 0; (v = vmb_version_at(i)) != 0; i++) {
		struct bench *b = bench_new();

		b->cfg.max_version = v;
		if (v < VMB_V3_0)
			bench_old_pages(b);
		bench_init(b);
		one_life(b);
		cr_assert_eq(b->negotiated, v);
		one_life(b);
		cr_assert_eq(vmb_guest_end(b->g), 0);
		bench_free(b);
	}
}

Test(guest_life, poisoned_storage_gives_the_same_trace)
{
	static const int dirt[] = { 0x00, 0xa5, 0xff, 0x01 };
	struct bench_message posts[BENCH_POSTS];
	uint32_t posted = 0;

	for (unsigned i = 0; i < sizeof dirt / sizeof *dirt; i++) {
		struct bench *b = bench_new();

		b->dirt = dirt[i];
		bench_init(b);
		one_life(b);
		one_life(b);
		if (i == 0) {
			memcpy(posts, b->posts, sizeof posts);
			posted = b->posted;
		}
		cr_assert_eq(b->posted, posted);
		cr_assert_eq(memcmp(b->posts, posts, sizeof posts[0] * posted), 0);
		bench_free(b);
	}
}

Test(guest_life, storage_is_as_large_as_promised)
{
	static const uint32_t sizes[] = { 1, 2, 64, 500, 2047 };

	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct bench *b = bench_new();
		struct vmb_guest_config cfg = b->cfg;
		struct vmb_storage one, two;

		cfg.max_channels = sizes[i];
		cr_assert_eq(vmb_guest_storage(&cfg, &two), 0);
		cfg.max_gpadl_pages = 1;
		cr_assert_eq(vmb_guest_storage(&cfg, &one), 0);
		/* besides the list arena: 1 KiB per channel and 8 KiB for the end itself */
		cr_assert_leq(one.bytes, 8192 + 1024 * (size_t)sizes[i], "%u channels: %zu bytes", sizes[i], one.bytes);
		cr_assert_leq(two.bytes - one.bytes, 8 * 8190 + 64);
		cr_assert_leq(one.align, 64);
		bench_free(b);
	}
}

/* What a guest with all channels does takes time in proportion to their number. */
Test(guest_life, with_2047_channels)
{
	struct bench *b = bench_new();
	uint32_t n = 2047;

	b->cfg.max_channels = n;
	b->cfg.max_gpadls = 2 * n;
	bench_init(b);
	b->offer_count = 0;
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	for (uint32_t id = 1; id <= n; id++)
		bench_offer(b, id, id, 0);
	bench_poll(b);
	cr_assert_eq(bench_info(b).channels, n);
	for (uint32_t id = 1; id <= n; id++) {
		struct vmb_offer o = { .size = sizeof o };

		cr_assert_eq(vmb_guest_offer(b->g, b->events[b->taken + id - 1].ch, &o), 0);
		cr_assert_eq(o.channel_id, id);
	}
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	for (uint32_t id = 1; id <= n; id++)
		cr_assert_eq(vmb_guest_release(b->g, b->events[b->taken + id - 1].ch), 0);
	bench_run(b);
	cr_assert_eq(bench_count(b, VMB_EV_GONE), n);
	cr_assert_eq(bench_count(b, VMB_EV_DISCONNECTED), 1);
	bench_free(b);
}

Test(guest_life, a_guest_with_one_channel_takes_offer_after_offer)
{
	struct bench *b = bench_new();

	b->cfg.max_channels = 1;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	b->taken = b->told;
	for (uint32_t i = 0; i < 1000; i++) {
		vmb_handle h;

		bench_offer(b, 3, 3, 0);
		bench_poll(b);
		h = bench_until(b, VMB_EV_OFFER)->ch;
		cr_assert_eq(vmb_guest_release(b->g, h), 0);
		/* The id is free at once, also before EV_GONE has been pulled. control-plane.md 12.3 */
		cr_assert_eq(vmb_guest_release(b->g, h), VMB_EHANDLE);
	}
	cr_assert_eq(bench_info(b).refused_quota, 0);
	bench_run(b);
	cr_assert_eq(bench_count(b, VMB_EV_GONE), 1000);
	bench_free(b);
}

Test(guest_life, every_slot_is_used_again)
{
	struct bench *b = bench_new();

	b->cfg.max_channels = 3;
	b->cfg.message_vp = 7;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	cr_assert_eq(bench_info(b).message_vp, 7);
	for (uint32_t round = 0; round < 10; round++) {
		for (uint32_t id = 1; id <= 1 + round % 3; id++)
			bench_offer(b, id, id, 0);
		cr_assert_eq(bench_info(b).channels, 1 + round % 3);
		for (uint32_t id = 1; id <= 1 + round % 3; id++)
			bench_rescind(b, id);
	}
	cr_assert_eq(bench_info(b).refused_quota, 0);
	bench_free(b);
}

Test(guest_life, events_of_one_channel_come_in_order_and_the_last_is_gone)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle;

	bench_opened(b, h, 0);
	cr_assert_eq(vmb_guest_target(b->g, h, 1), 0);
	bench_answer(b);
	bench_rescind(b, 5);
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_TARGET, 0)->ch, h);
	cr_assert_eq(bench_expect(b, VMB_EV_RESCINDED, 0)->ch, h);
	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_CLOSED, 0)->ch, h);
	cr_assert_eq(bench_expect(b, VMB_EV_GONE, 0)->ch, h);
	bench_quiet(b);
	cr_assert_eq(vmb_guest_release(b->g, h), VMB_EHANDLE);
	bench_free(b);
}

Test(guest_life, offers_done_comes_after_the_offers)
{
	struct bench *b = bench_new();

	for (uint32_t i = 0; i < 5; i++)
		b->offers[i] = 10 + i;
	b->offer_count = 5;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_answer(b); /* nobody polls meanwhile */
	bench_answer(b);
	bench_poll(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	for (uint32_t i = 0; i < 5; i++)
		bench_expect(b, VMB_EV_OFFER, 0);
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	bench_free(b);
}

Test(guest_life, a_channel_opens_and_closes_again_and_again)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle;

	for (int i = 0; i < 200; i++) {
		bench_opened(b, h, 0);
		cr_assert_eq(vmb_guest_close(b->g, h), 0);
		bench_run(b);
		bench_expect(b, VMB_EV_CLOSED, 0);
	}
	bench_quiet(b);
	cr_assert_eq(bench_info(b).attached, 0);
	cr_assert_eq(bench_info(b).gpadls, 0);
	bench_free(b);
}

/* ring.md 6: the offer's flag decides, unless the embedder wants to see the headers. */
Test(guest_life, pipe_offers_have_pipe_framing)
{
	for (int kind = 0; kind < 4; kind++) {
		struct bench *b = bench_connected(VMB_V5_3);
		struct vmb_open open = { .size = sizeof open, .tx_pages = 2, .rx_pages = 2, .ring_gpa = 0x100000 };
		struct vmb_channel_config cfg = { .size = sizeof cfg };
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "12345678", .len = 8 };
		struct bench_open *o = &b->open[0];
		struct bench_message m;

		bench_make(b, &m, OFFER, "channel_id", 5ull, "flags", kind & 1 ? 0x11ull : 1ull, "is_dedicated", 1ull, NULL);
		b->id[5].offered = 1;
		bench_feed(b, &m);
		bench_poll(b);
		o->handle = bench_expect(b, VMB_EV_OFFER, 0)->ch;
		cr_assert_eq(bench_open(b, o->handle, 0), 0); /* for its memory */
		cr_assert_eq(vmb_guest_close(b->g, o->handle), 0);
		bench_run(b);
		bench_expect(b, VMB_EV_CLOSED, 0);
		cfg.flags = kind == 0 ? VMB_CHANNEL_PIPE : kind == 3 ? VMB_CHANNEL_RAW : 0;
		open.ring = o->ring;
		for (uint32_t i = 0; i < 120; i++)
			open.user_data[i] = (uint8_t)(i + 1);
		cr_assert_eq(vmb_guest_open(b->g, o->handle, o->mem, o->bytes, &cfg, &open, &o->ch), 0);
		cr_assert_eq(vmb_channel_send(o->ch, &p), 0);
		cr_assert_eq(in_index(o), kind == 1 ? 40 : 32, "kind %d", kind);
		bench_run(b);
		cr_assert_eq(b->posts[b->posted - 1].bytes[0], OPEN);
		cr_assert_arr_eq(b->posts[b->posted - 1].bytes + 28, open.user_data, 120);
		bench_free(b);
	}
}

Test(guest_life, an_open_that_fails_asks_for_its_object_once)
{
	static const uint32_t questions[] = { GPADL_HEADER, OPEN };
	struct vmb_packet p = { .kind = VMB_PKT_INBAND };

	for (int i = 0; i < 2; i++) {
		struct bench *b = bench_offered(VMB_V5_3, 5);

		b->refuse = BIT(questions[i]);
		cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
		bench_answer(b);
		cr_assert_eq(b->wakes[1], 1);
		cr_assert_eq(vmb_channel_send(b->open[0].ch, &p), VMB_ESTOPPED);
		bench_rescind(b, 5);
		bench_poll(b);
		bench_expect(b, VMB_EV_OPENED, VMB_EREFUSED);
		bench_expect(b, VMB_EV_RESCINDED, 0);
		bench_quiet(b);
		cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
		bench_run(b);
		bench_expect(b, VMB_EV_CLOSED, 0);
		bench_expect(b, VMB_EV_GONE, 0);
		bench_free(b);
	}
}

Test(guest_life, a_refused_channel_can_be_opened_again)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	b->refuse = BIT(OPEN);
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_OPENED, VMB_EREFUSED)->peer_status, 0x8000ffff);
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	b->refuse = 0;
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_OPENED, 0)->peer_status, 0);
	bench_free(b);
}

Test(guest_life, a_disconnect_opens_nothing_more)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	b->fail_types = BIT(OPEN);
	b->fail_at = b->attempts;
	b->fail_count = 1;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	bench_answer(b); /* OPEN waits for its second try */
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_OPENED, VMB_ERESCINDED);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	cr_assert_eq(bench_sent(b, OPEN), 0);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_free(b);
}

/* The rings may be freed before the channel object is, and be anything by then. */
Test(guest_life, after_closed_nothing_looks_at_the_rings)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct bench_open *o = bench_opened(b, b->open[0].handle, 0);
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "12345678", .len = 8 }, in;
	struct vmb_channel_info info = { .size = sizeof info };
	uint64_t buf[64];

	cr_assert_eq(vmb_channel_send(o->ch, &p), 0);
	cr_assert_eq(vmb_channel_put(o->ch, &p), 0); /* and is not flushed */
	b->signals = 0;
	cr_assert_eq(vmb_guest_close(b->g, o->handle), 0);
	cr_assert_eq(in_index(o), 32, "nor does the close flush it");
	cr_assert_eq(b->signals, 0);
	memset(o->ring, 0xff, (size_t)BENCH_PAGES * VMB_PAGE);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	cr_assert_eq(vmb_channel_info(o->ch, &info), 0);
	cr_assert_eq(info.error, VMB_ESTOPPED);
	cr_assert_eq(info.tx.in, 32);
	cr_assert_eq(vmb_channel_send(o->ch, &p), VMB_ESTOPPED);
	cr_assert_eq(vmb_channel_recv(o->ch, buf, sizeof buf, &in), VMB_ESTOPPED);
	bench_free(b);
}

Test(guest_life, subchannels_live_like_channels)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct vmb_offer o = { .size = sizeof o };
	vmb_handle sub;

	bench_offer(b, 6, 5, 1);
	bench_poll(b);
	sub = bench_expect(b, VMB_EV_OFFER, 0)->ch;
	cr_assert_eq(vmb_guest_offer(b->g, sub, &o), 0);
	cr_assert_eq(o.subchannel, 1);
	bench_opened(b, b->open[0].handle, 0);
	bench_opened(b, sub, 1);
	bench_rescind(b, 6);
	cr_assert_eq(vmb_guest_release(b->g, sub), 0);
	bench_run(b);
	bench_until(b, VMB_EV_GONE);
	cr_assert_eq(b->id[6].releases, 1);
	cr_assert_eq(b->id[5].releases, 0);
	bench_free(b);
}

Test(guest_life, info_counts)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct vmb_bus_info i;

	bench_opened(b, b->open[0].handle, 0);
	i = bench_info(b);
	cr_assert_eq(i.state, VMB_BUS_RUNNING);
	cr_assert_eq(i.version, VMB_V5_3);
	cr_assert_eq(i.channels, 1);
	cr_assert_eq(i.attached, 1);
	cr_assert_eq(i.gpadls, 1);
	cr_assert_eq(i.gpadl_pages, BENCH_PAGES);
	cr_assert_eq(i.messages_out, b->posted);
	cr_assert_eq(i.messages_in, 6);
	cr_assert_eq(i.dropped + i.late_answers + i.refused_quota + i.post_retries + i.stray_events + i.queued, 0);
	bench_free(b);
}

Test(guest_life, poke_asks_for_a_poll_when_there_is_one_to_make)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t pokes = b->pokes;

	cr_assert_eq(bench_poll(b), 0);
	cr_assert_eq(b->pokes, pokes, "polls poke nobody");
	bench_rescind(b, 5);
	cr_assert_eq(b->pokes, pokes + 1);
	bench_info(b);
	cr_assert_eq(b->pokes, pokes + 1, "said once");
	bench_free(b);
	b = bench_new();
	b->cfg.poke = NULL; /* a guest that only polls lives as well */
	b->cfg.wake = NULL;
	bench_init(b);
	one_life(b);
	bench_free(b);
}
