/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A host that lies: each check of control-plane.md 20.2 and gpadl.md 8, and the guest's pitfalls of control-plane.md 21 that
 * are not tested elsewhere; then any bytes at all. (28, 29, 38: test_guest_moments; 30: test_guest_interrupt; 35, 40: _gpadl,
 * _post; 39: _interrupt; 44, 45: _contact.)
 */
#include "guestdriver.h"

#include <endian.h>
#include <string.h>

TestSuite(guest_hostile, .timeout = 300);

/* ---- offers */

Test(guest_hostile, channel_ids_outside_of_1_to_2047_are_dropped)
{
	static const uint32_t ids[] = { 0, 2048, 2049, 65535, 0x10005, 0x80000001, 0xffffffff };
	struct bench *b = bench_connected(VMB_V5_3);

	for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++) {
		bench_offer(b, ids[i], i, 0);
		cr_assert_eq(bench_info(b).dropped, 2 * i + 1);
		bench_say(b, RESCIND, "channel_id", (uint64_t)ids[i], NULL);
		bench_say(b, OPEN_RESULT, "channel_id", (uint64_t)ids[i], NULL);
		bench_say(b, MODIFY_RESPONSE, "channel_id", (uint64_t)ids[i], NULL);
		bench_poll(b);
		bench_quiet(b);
	}
	bench_posted_none(b);
	bench_offer(b, 2047, 2047, 0);
	bench_offer(b, 1, 1, 0);
	bench_poll(b);
	bench_expect(b, VMB_EV_OFFER, 0);
	bench_expect(b, VMB_EV_OFFER, 0);
	bench_free(b);
}

Test(guest_hostile, an_id_that_is_in_use_is_dropped_and_not_released)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	b->read = b->posted;
	bench_offer(b, 5, 99, 0);
	bench_run(b);
	bench_quiet(b);
	bench_posted_none(b);
	cr_assert_eq(bench_info(b).channels, 1);
	bench_free(b);
}

/* control-plane.md 8.6 */
Test(guest_hostile, a_second_offer_of_the_same_device_is_dropped_and_released)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	b->read = b->posted;
	bench_offer(b, 6, 5, 0);
	bench_run(b);
	bench_quiet(b);
	cr_assert_eq(bench_number(bench_posted(b, RELEASED), b, "channel_id"), 6);
	bench_posted_none(b);
	bench_rescind(b, 5); /* once it is gone the device may come by another id */
	bench_offer(b, 7, 5, 0);
	bench_run(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	bench_expect(b, VMB_EV_OFFER, 0);
	bench_free(b);
}

Test(guest_hostile, a_subchannel_needs_a_live_primary)
{
	struct bench *b = bench_connected(VMB_V5_3);

	bench_offer(b, 6, 5, 1);
	bench_run(b);
	bench_quiet(b);
	cr_assert_eq(bench_number(bench_posted(b, RELEASED), b, "channel_id"), 6);
	bench_offer(b, 5, 5, 0);
	bench_offer(b, 6, 5, 1);
	bench_offer(b, 7, 5, 1); /* the same one twice */
	bench_run(b);
	bench_expect(b, VMB_EV_OFFER, 0);
	bench_expect(b, VMB_EV_OFFER, 0);
	bench_quiet(b);
	cr_assert_eq(bench_number(bench_posted(b, RELEASED), b, "channel_id"), 7);
	bench_rescind(b, 5);
	bench_offer(b, 8, 5, 2);
	bench_run(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	bench_quiet(b);
	cr_assert_eq(bench_number(bench_posted(b, RELEASED), b, "channel_id"), 8);
	bench_free(b);
}

Test(guest_hostile, more_offers_than_slots_are_declined_and_counted)
{
	struct bench *b = bench_new();

	b->cfg.max_channels = 3;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	b->taken = b->told;
	b->read = b->posted;
	for (uint32_t id = 1; id <= 2047; id++)
		bench_offer(b, id, id, 0);
	for (uint32_t id = 4; id <= 2047; id++)
		cr_assert_eq(bench_number(bench_posted(b, RELEASED), b, "channel_id"), id);
	bench_posted_none(b);
	bench_poll(b);
	for (int i = 0; i < 3; i++)
		bench_expect(b, VMB_EV_OFFER, 0);
	bench_quiet(b);
	cr_assert_eq(bench_info(b).refused_quota, 2044);
	bench_free(b);
}

Test(guest_hostile, declined_offers_wait_in_bounded_memory)
{
	struct bench *b = bench_new();

	b->cfg.max_channels = 1;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	b->fail_count = 3;
	b->fail_at = b->attempts;
	b->fail_status = VMB_HV_NO_BUFFERS;
	b->read = b->posted;
	for (int round = 0; round < 3; round++)
		for (uint32_t id = 1; id <= 2047; id++)
			bench_offer(b, id, id, 0);
	cr_assert_eq(bench_info(b).queued, 1);
	bench_run(b);
	for (uint32_t id = 2; id <= 2047; id++) /* each once */
		cr_assert_eq(bench_number(bench_posted(b, RELEASED), b, "channel_id"), id);
	bench_posted_none(b);
	bench_free(b);
}

Test(guest_hostile, user_defined_and_guids_are_opaque)
{
	struct bench *b = bench_connected(VMB_V5_3);
	struct vmb_offer o = { .size = sizeof o };
	struct bench_message m = { 0, 196, { OFFER } };

	memset(m.bytes + 8, 0xff, 188);
	memcpy(m.bytes + 184, (uint8_t[]){ 5, 0, 0, 0 }, 4);
	memcpy(m.bytes + 180, (uint8_t[]){ 0, 0 }, 2);
	bench_feed(b, &m);
	bench_poll(b);
	cr_assert_eq(vmb_guest_offer(b->g, bench_expect(b, VMB_EV_OFFER, 0)->ch, &o), 0);
	for (int i = 0; i < 120; i++)
		cr_assert_eq(o.user_defined[i], 0xff);
	cr_assert_eq(o.flags, 0xffff & ~0xe);
	cr_assert_eq(o.monitor_id, 255);
	bench_free(b);
}

/* ---- rescind and replies */

Test(guest_hostile, rescinds_of_unknown_and_released_ids_are_ignored)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	for (uint32_t id = 0; id < 3000; id++)
		if (id != 5)
			bench_say(b, RESCIND, "channel_id", (uint64_t)id, NULL);
	cr_assert_eq(bench_info(b).dropped, 2999);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_say(b, RESCIND, "channel_id", 5ull, NULL);
	bench_run(b);
	bench_expect(b, VMB_EV_GONE, 0);
	bench_quiet(b);
	cr_assert_eq(b->id[5].releases, 1);
	bench_free(b);
}

Test(guest_hostile, a_second_rescind_is_dropped)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	bench_rescind(b, 5);
	bench_rescind(b, 5);
	bench_rescind(b, 5);
	cr_assert_eq(bench_info(b).dropped, 2);
	bench_poll(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	bench_quiet(b);
	bench_free(b);
}

Test(guest_hostile, replies_nobody_waits_for_are_counted)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct bench_open *o = bench_opened(b, b->open[0].handle, 0);
	uint32_t id = b->gpadl[0].id, n = 0;

	b->read = b->posted;
	for (uint32_t k = 0; k < 100; k++) { /* the right ids, and others, at a time when none is due */
		bench_say(b, GPADL_CREATED, "channel_id", (uint64_t)(5 + k % 2), "gpadl_id", (uint64_t)(id + k - 50),
			"status", (uint64_t)k, NULL);
		bench_say(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)(id + k - 50), NULL);
		bench_say(b, OPEN_RESULT, "channel_id", 5ull, "open_id", (uint64_t)k, "status", (uint64_t)k % 2, NULL);
		bench_say(b, MODIFY_RESPONSE, "channel_id", (uint64_t)k, NULL);
		n += 4;
	}
	cr_assert_eq(bench_info(b).late_answers, n);
	bench_poll(b);
	bench_quiet(b);
	bench_posted_none(b);
	cr_assert_eq(vmb_guest_close(b->g, o->handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_free(b);
}

Test(guest_hostile, pitfall_gpadl_16_created_must_name_the_right_channel)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	bench_offer(b, 6, 6, 0);
	bench_run(b);
	b->silent = BIT(GPADL_HEADER);
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	id = b->gpadl[0].id;
	b->read = b->posted;
	bench_say(b, GPADL_CREATED, "channel_id", 6ull, "gpadl_id", (uint64_t)id, NULL);
	bench_say(b, GPADL_CREATED, "channel_id", 0ull, "gpadl_id", (uint64_t)id, NULL);
	bench_say(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)id, NULL); /* nor is it being torn down */
	bench_posted_none(b);
	cr_assert_eq(bench_info(b).late_answers, 3);
	b->gpadl[0].created = 1;
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, NULL);
	bench_posted(b, OPEN);
	bench_free(b);
}

Test(guest_hostile, open_results_must_name_the_right_open)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t open_id;

	b->silent = BIT(OPEN);
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	bench_run(b);
	open_id = b->id[5].open_id;
	for (uint32_t k = 1; k < 50; k++) {
		bench_say(b, OPEN_RESULT, "channel_id", 5ull, "open_id", (uint64_t)(open_id + k), NULL);
		bench_say(b, OPEN_RESULT, "channel_id", 5ull + k, "open_id", (uint64_t)open_id, NULL);
	}
	bench_poll(b);
	bench_quiet(b);
	cr_assert_eq(bench_info(b).late_answers, 98);
	bench_say(b, OPEN_RESULT, "channel_id", 5ull, "open_id", (uint64_t)open_id, NULL);
	/* the second changes nothing */
	bench_say(b, OPEN_RESULT, "channel_id", 5ull, "open_id", (uint64_t)open_id, "status", 1ull, NULL);
	bench_poll(b);
	bench_expect(b, VMB_EV_OPENED, 0);
	bench_quiet(b);
	bench_free(b);
}

/* control-plane.md 4: only 0 is success. */
Test(guest_hostile, any_status_but_0_is_a_refusal)
{
	static const uint32_t statuses[] = { 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xc0000236 };

	for (unsigned i = 0; i < 5; i++) {
		struct bench *b = bench_offered(VMB_V5_3, 5);

		b->silent = BIT(OPEN);
		cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
		bench_run(b);
		b->id[5].opening = 0;
		bench_say(b, OPEN_RESULT, "channel_id", 5ull, "open_id", (uint64_t)b->id[5].open_id, "status",
			(uint64_t)statuses[i], NULL);
		bench_poll(b);
		cr_assert_eq(bench_expect(b, VMB_EV_OPENED, VMB_EREFUSED)->peer_status, statuses[i]);
		cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
		bench_run(b);
		bench_expect(b, VMB_EV_CLOSED, 0);
		bench_free(b);
	}
}

Test(guest_hostile, pitfall_31_unload_complete_unasked_has_no_effect)
{
	struct bench *b = bench_new();

	bench_init(b);
	b->negotiated = VMB_V5_3;
	bench_say(b, UNLOAD_COMPLETE, NULL); /* before anything else */
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_say(b, UNLOAD_COMPLETE, NULL);
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	bench_offer(b, 5, 5, 0);
	bench_poll(b);
	bench_opened(b, bench_expect(b, VMB_EV_OFFER, 0)->ch, 0);
	bench_say(b, UNLOAD_COMPLETE, NULL);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_say(b, UNLOAD_COMPLETE, NULL); /* channels are still open */
	bench_poll(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	bench_quiet(b);
	cr_assert_eq(bench_info(b).dropped, 4);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_until(b, VMB_EV_DISCONNECTED);
	bench_free(b);
}

/* UNLOAD is in the queue, not posted: a completion is none. */
Test(guest_hostile, unload_complete_before_the_post_is_dropped)
{
	struct bench *b = bench_connected(VMB_V5_3);

	b->fail_count = 1;
	b->fail_at = b->attempts;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_say(b, UNLOAD_COMPLETE, NULL);
	cr_assert_eq(bench_info(b).state, VMB_BUS_LEAVING);
	bench_run(b);
	bench_expect(b, VMB_EV_DISCONNECTED, 0);
	bench_free(b);
}

Test(guest_hostile, pitfall_34_messages_before_connect_are_dropped)
{
	struct bench *b = bench_new();
	uint32_t n = 0;

	bench_init(b);
	for (uint32_t type = 0; type < 40; type++) {
		struct bench_message m = { 0, 240, { (uint8_t)type, [8] = 5, [184] = 5 } };

		bench_feed(b, &m);
		n++;
	}
	cr_assert_eq(bench_info(b).dropped, n - 1); /* 20, CLOSE_RESERVED_RESPONSE, belongs to no connection */
	cr_assert_eq(bench_info(b).late_answers, 1);
	bench_poll(b);
	bench_quiet(b);
	bench_free(b);
}

/* Pitfall 36: a handle of the time before names nothing, whatever has its id now. */
Test(guest_hostile, pitfall_36_old_handles_do_not_name_new_channels)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle old = b->open[0].handle, now;

	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	cr_assert_eq(vmb_guest_release(b->g, old), 0);
	bench_run(b);
	cr_assert_eq(bench_sent(b, RELEASED), 0, "UNLOAD releases all");
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_offer(b, 5, 77, 0);
	bench_run(b);
	now = bench_until(b, VMB_EV_OFFER)->ch;
	cr_assert_neq(now, old);
	cr_assert_eq(vmb_guest_release(b->g, old), VMB_EHANDLE);
	cr_assert_eq(bench_open(b, old, 0), VMB_EHANDLE);
	bench_opened(b, now, 0);
	bench_free(b);
}

Test(guest_hostile, pitfall_37_connect_results_nobody_asked_for)
{
	struct bench *b = bench_connected(VMB_V5_3);

	bench_say(b, TL_RESULT, "status", 0xc0000236ull, NULL);
	bench_say(b, 20, "channel_id", 5ull, NULL);
	cr_assert_eq(bench_info(b).late_answers, 2);
	bench_free(b);
}

/* Pitfall 38: whatever waits on a channel is told of its end. */
Test(guest_hostile, pitfall_38_a_rescind_wakes_every_waiter)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 0x1234 };
	struct vmb_list list = { words, 2, 1 };
	uint32_t a, c;

	b->silent = BIT(OPEN) | BIT(GPADL_TEARDOWN);
	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &a), 0);
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GPADL, 0)->gpadl, a);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, a), 0);
	b->silent |= BIT(GPADL_HEADER);
	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &c), 0);
	bench_rescind(b, 5);
	bench_poll(b);
	bench_expect(b, VMB_EV_OPENED, VMB_ERESCINDED);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	bench_quiet(b);
	/* The host answers what it was asked about lists; then they are told, too. control-plane.md 12.5 */
	bench_say(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)a, NULL);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)c, "status", 0x8000ffffull, NULL);
	bench_poll(b);
	bench_expect(b, VMB_EV_GPADL_DOWN, 0);
	cr_assert_eq(bench_expect(b, VMB_EV_GPADL, VMB_ERESCINDED)->gpadl, c);
	bench_quiet(b);
	bench_free(b);
}

/* Pitfall 41: rings of an owner before us are the host's until we make contact; ours are cleared at open. */
Test(guest_hostile, pitfall_41_stale_messages_of_another_owner_are_dropped)
{
	struct bench *b = bench_new();

	b->silent = BIT(CONTACT);
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	b->negotiated = VMB_V6_0;
	bench_offer(b, 5, 5, 0);
	bench_say(b, ALL_OFFERS, NULL);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", 0xe1e10ull, NULL);
	bench_say(b, OPEN_RESULT, "channel_id", 5ull, "open_id", 5ull, NULL);
	bench_say(b, RESCIND, "channel_id", 5ull, NULL);
	bench_say(b, UNLOAD_COMPLETE, NULL);
	cr_assert_eq(bench_info(b).dropped, 6);
	bench_poll(b);
	bench_quiet(b);
	bench_free(b);
}

Test(guest_hostile, posted_messages_leak_nothing)
{
	struct driver *d = driver_new(VMB_V5_3); /* storage and stack are dirty; judge() checks sizes and header padding */

	bench_init(d->b);
	cr_assert_eq(vmb_guest_connect(d->b->g), 0);
	driver_run(d);
	for (uint32_t i = 0; i < d->b->posted; i++) {
		const struct bench_message *m = &d->b->posts[i];

		if (m->bytes[0] == CONTACT)
			for (uint32_t k = 17; k < 40; k++)
				cr_assert_eq(m->bytes[k], 0);
		if (m->bytes[0] == OPEN)
			for (uint32_t k = 28; k < 148; k++)
				cr_assert_eq(m->bytes[k], 0);
	}
	driver_end(d, 0);
}

/* ---- any bytes */

static uint64_t rng;

static uint32_t draw(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 11) % n);
}

/* The answer that one of the last posts asks for. */
static int draw_answer(struct bench *b, struct bench_message *m)
{
	const struct bench_message *q = &b->posts[b->posted - 1 - draw(b->posted < 4 ? b->posted : 4)];
	static const uint8_t answer[30] = { [CONTACT] = VERSION_RESPONSE, [GPADL_HEADER] = GPADL_CREATED, [OPEN] = OPEN_RESULT,
					    [GPADL_BODY] = GPADL_CREATED, [GPADL_TEARDOWN] = GPADL_TORNDOWN,
					    	[MODIFY] = MODIFY_RESPONSE,
					    [UNLOAD] = UNLOAD_COMPLETE };

	if (!answer[q->bytes[0]])
		return 0;
	memset(m, 0, sizeof *m);
	m->bytes[0] = answer[q->bytes[0]];
	m->len = 20;
	memcpy(m->bytes + 8, q->bytes + 8, 8);
	if (q->bytes[0] == CONTACT)
		memcpy(m->bytes + 8, (uint8_t[]){ 1, 0, 0, 0, 1, 0, 0, 0 }, 8);
	if (q->bytes[0] == GPADL_TEARDOWN)
		memcpy(m->bytes + 8, q->bytes + 12, 4);
	if (q->bytes[0] == GPADL_BODY)
		memset(m->bytes + 8, 5, 1);
	if (q->bytes[0] == MODIFY)
		memset(m->bytes + 12, 0, 4);
	m->bytes[16] = !draw(5);
	return 1;
}

/* A message that looks like one: right type, ids that are or were in use, few values. */
static void draw_message(struct bench *b, struct bench_message *m)
{
	static const uint8_t types[] = { OFFER, RESCIND, ALL_OFFERS, OPEN_RESULT, GPADL_CREATED, GPADL_TORNDOWN, VERSION_RESPONSE,
					 UNLOAD_COMPLETE, MODIFY_RESPONSE, TL_RESULT };
	uint32_t word;

	if (b->posted && draw(2) && draw_answer(b, m))
		return;
	memset(m, 0, sizeof *m);
	m->len = draw(4) ? 196 : draw(241);
	for (uint32_t i = 0; i < m->len; i++)
		m->bytes[i] = (uint8_t)draw(256);
	if (!draw(10))
		return;
	memset(m->bytes, 0, 8);
	m->bytes[0] = types[draw(sizeof types)];
	for (uint32_t at = 8; at < 20; at += 4) {
		word = draw(3) ? 0xe1e10 + draw(1 + bench_info(b).gpadls + (uint32_t)b->user) : draw(0xffffffff);
		if (draw(4))
			word = draw(8);
		word = htole32(word);
		memcpy(m->bytes + at, &word, 4);
	}
	if (m->bytes[0] == OFFER) {
		memset(m->bytes + 8, 0, 32);
		m->bytes[8] = (uint8_t)draw(4);
		m->bytes[180] = (uint8_t)draw(3);
		m->bytes[181] = 0;
		word = htole32(draw(12));
		memcpy(m->bytes + 184, &word, 4);
	}
}

/* An embedder that obeys the rules, at random. */
static void draw_call(struct bench *b, struct vmb_event *ev)
{
	static uint64_t words[41] = { VMB_RANGE(40 * VMB_PAGE, 0) };
	struct vmb_list list = { words, 41, 1 };
	uint32_t n = draw(8), id;

	if (ev->kind == VMB_EV_OFFER && !draw(8)) {
		vmb_guest_release(b->g, ev->ch);
		return;
	}
	if (ev->kind == VMB_EV_OFFER) {
		for (n = 0; n < 8 && b->open[n].handle; n++)
			;
		if (n == 8)
			vmb_guest_release(b->g, ev->ch);
		else
			b->open[n].handle = ev->ch;
	}
	for (uint32_t i = 0; i < 8; i++) {
		struct bench_open *o = &b->open[i];

		if (o->handle != ev->ch || !ev->ch)
			continue;
		if (ev->kind == VMB_EV_RESCINDED || (ev->kind == VMB_EV_OPENED && ev->status))
			vmb_guest_release(b->g, o->handle);
		if (ev->kind == VMB_EV_CLOSED)
			o->ch = NULL;
		if (ev->kind == VMB_EV_GONE)
			o->handle = 0;
	}
	n = draw(8);
	if (!b->open[n].handle)
		return;
	switch (draw(12)) {
	case 0: case 1: case 2:
		if (!b->open[n].ch)
			(void)bench_open(b, b->open[n].handle, n);
		break;
	case 3: vmb_guest_close(b->g, b->open[n].handle); break;
	case 4: vmb_guest_target(b->g, b->open[n].handle, draw(3)); break;
	case 5: case 6:
		if (vmb_guest_gpadl_create(b->g, b->open[n].handle, &list, &id) == 0)
			b->user = id - 0xe1e10 + 1;
		break;
	case 7: vmb_guest_gpadl_destroy(b->g, 0xe1e10 + draw((uint32_t)b->user + 1)); break;
	case 8:
		if (!draw(3))
			vmb_guest_release(b->g, b->open[n].handle);
		break;
	default: break;
	}
}

/* With limits for its answers, a host that falls silent keeps nothing from ending. */
static void all_ends(struct bench *b)
{
	struct vmb_bus_info i;

	b->fail_count = 0;
	vmb_guest_disconnect(b->g);
	for (int n = 0; n < 100; n++) {
		struct vmb_event ev;

		b->now += 10000000;
		while (vmb_guest_poll(b->g, b->now, &ev) > 0)
			if (ev.kind == VMB_EV_RESCINDED)
				vmb_guest_release(b->g, ev.ch);
	}
	i = bench_info(b);
	cr_assert_eq(i.state, VMB_BUS_NONE);
	cr_assert_eq(i.channels + i.attached + i.gpadls, 0);
}

Test(guest_hostile, any_messages_in_any_order)
{
	uint64_t messages = 0, handled = 0, closed = 0, opened = 0;

	for (uint32_t seed = 1; seed <= 60; seed++) {
		struct bench *b = bench_new();
		struct vmb_bus_info i;

		rng = seed * 0x9e3779b97f4a7c15ull;
		b->off = 1;
		b->cfg.max_channels = 8;
		b->cfg.max_gpadls = 12;
		b->cfg.max_gpadl_pages = 100;
		b->cfg.reply_ms = seed % 2 ? 5 : 0;
		b->cfg.unload_ms = b->cfg.connect_ms = 50;
		b->cfg.max_version = vmb_version_at(2 + seed % 9);
		b->fail_status = (const int[]){ VMB_HV_TIMEOUT, VMB_HV_NO_BUFFERS, VMB_HV_INVALID_PARAMETER }[seed % 3];
		b->now = 1;
		bench_init(b);
		for (int n = 0; n < 4000; n++) {
			struct bench_message m;
			struct vmb_event ev = { 0 };

			if (bench_info(b).state == VMB_BUS_NONE)
				vmb_guest_connect(b->g);
			if (!draw(3000))
				vmb_guest_disconnect(b->g);
			b->fail_at = b->attempts + draw(30);
			b->fail_count = !draw(20);
			draw_message(b, &m);
			cr_assert_eq(vmb_guest_message(b->g, m.bytes, m.len), 0);
			messages++;
			b->now += draw(300000);
			cr_assert_geq(vmb_guest_poll(b->g, b->now, &ev), 0);
			opened += ev.kind == VMB_EV_OPENED && ev.status == 0;
			closed += ev.kind == VMB_EV_CLOSED;
			draw_call(b, &ev);
			if (b->posted > BENCH_POSTS / 2)
				b->posted = 0;
		}
		i = bench_info(b);
		cr_assert_leq(i.channels, 8);
		cr_assert_leq(i.gpadls, 12);
		handled += i.messages_in - i.dropped - i.late_answers;
		if (b->cfg.reply_ms)
			all_ends(b);
		bench_free(b);
	}
	cr_assert_eq(messages, 240000);
	cr_assert_gt(handled, 10000, "%llu", (unsigned long long)handled); /* the draw is good enough to be understood at times */
	cr_assert_gt(opened, 100, "%llu", (unsigned long long)opened);
	cr_assert_gt(closed, 100, "%llu", (unsigned long long)closed);
}
