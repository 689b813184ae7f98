/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* GPADLs through the host end: the tables of gpadl.md 5.2 to 5.5, limits, and holds by devices. */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

enum { ID = 0x51, FAILED = (int)0x8000ffff };

static vmb_handle dev;

static void start(void)
{
	hb_start(2);
	dev = hb_handle(1);
	hb_connect(VMB_V5_3);
}

TestSuite(host_gpadl, .init = start);

/* A header that announces `pages` in one range and carries the first n words. */
static void header(uint32_t channel, uint32_t id, uint32_t pages, uint32_t n)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8 };

	put32(msg + 8, channel);
	put32(msg + 12, id);
	put32(msg + 16, (8 + 8 * pages) | 1u << 16);
	put64(msg + 20, (uint64_t)pages * VMB_PAGE);
	for (uint32_t i = 1; i < n; i++)
		put64(msg + 20 + 8 * i, 0x20 + i);
	cr_assert_eq(hb_post(1, msg, 20 + 8 * n), 0);
}

static void body(uint32_t id, uint32_t n)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 9 };

	put32(msg + 12, id);
	for (uint32_t i = 0; i < n; i++)
		put64(msg + 16 + 8 * i, 0x60 + i);
	cr_assert_eq(hb_post(1, msg, 16 + 8 * n), 0);
}

static int info(uint32_t id, struct vmb_gpadl_info *i)
{
	memset(i, 0xff, sizeof *i);
	i->size = sizeof *i;
	return vmb_host_gpadl_info(hb->h, dev, id, i);
}

static int exists(uint32_t id)
{
	struct vmb_gpadl_info i;
	int r = info(id, &i);

	cr_assert(r == 0 || r == VMB_ENOENT);
	return r == 0;
}

static void rescind(void)
{
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	hb_expect(2, 1, 1);
}

/* ---- 5.2: headers */

Test(host_gpadl, header_complete)
{
	struct vmb_gpadl_info i;

	hb_gpadl(1, ID, 0x40, 3);
	hb_expect(10, 3, 1, ID, 0);
	cr_assert_eq(info(ID, &i), 0);
	cr_assert_eq(i.size, sizeof i);
	cr_assert_eq(i.ranges, 1);
	cr_assert_eq(i.words, 4);
	cr_assert_eq(i.pages, 3);
	cr_assert_eq(i.bytes, 3 * 4096);
	cr_assert_eq(i.held, 0);
	cr_assert_eq(hb_info().gpadls, 1);
	cr_assert_eq(hb_info().gpadl_pages, 3);
}

Test(host_gpadl, header_below_20_bytes_is_dropped)
{
	uint8_t msg[20] = { 8, 0, 0, 0, 0, 0, 0, 0, 1 };

	for (uint32_t len = 8; len < 20; len++)
		cr_assert_eq(hb_post(1, msg, len), 0);
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 12);
}

Test(host_gpadl, header_for_an_unknown_channel_fails)
{
	static const uint32_t ids[] = { 0, 3, 2047, 2048, 0x10001, 0xffffffff };

	for (int i = 0; i < 6; i++) {
		hb_gpadl(ids[i], ID, 0x40, 1);
		hb_expect(10, 3, ids[i], ID, FAILED);
	}
	cr_assert_eq(hb_info().gpadls, 0);
}

Test(host_gpadl, header_for_a_released_channel_fails)
{
	hb_rel(1);
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, FAILED);
}

Test(host_gpadl, header_with_an_id_that_the_channel_has_fails)
{
	struct vmb_gpadl_info i;

	hb_gpadl(1, ID, 0x40, 3);
	hb_expect(10, 3, 1, ID, 0);
	hb_gpadl(1, ID, 0x50, 1);
	hb_expect(10, 3, 1, ID, FAILED);
	cr_assert_eq(info(ID, &i), 0);
	cr_assert_eq(i.pages, 3); /* the one that there was is untouched */
	hb_gpadl(2, ID, 0x50, 1); /* another channel may */
	hb_expect(10, 3, 2, ID, 0);
}

Test(host_gpadl, header_with_an_id_that_is_being_built_anywhere_fails)
{
	header(1, ID, 30, 27);
	header(2, ID, 30, 27);
	hb_expect(10, 3, 2, ID, FAILED);
	header(1, ID, 3, 4);
	hb_expect(10, 3, 1, ID, FAILED);
	body(ID, 4);
	hb_expect(10, 3, 1, ID, 0);
}

Test(host_gpadl, header_of_no_list_fails)
{
	struct { uint32_t buflen, ranges, bytes, offset, n; } row[] = {
		{ 16, 1, 0, 0, 2 },          /* GP-12 */
		{ 16, 1, 1, 0x1000, 2 },     /* GP-13 */
		{ 16, 1, 0x2000, 0, 2 },     /* GP-14 */
		{ 16, 2, 0x1000, 0, 2 },     /* GP-15 */
		{ 0, 1, 0, 0, 0 },           /* GP-16 */
		{ 16, 1, 0xffffffff, 0, 2 }, /* GP-17 */
		{ 16, 0, 0x1000, 0, 2 },
		{ 12, 1, 0x1000, 0, 2 },
	};

	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		uint8_t msg[VMB_MESSAGE_MAX] = { 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, ID };

		put32(msg + 16, row[i].buflen | row[i].ranges << 16);
		put32(msg + 20, row[i].bytes);
		put32(msg + 24, row[i].offset);
		put32(msg + 28, 0x10);
		cr_assert_eq(hb_post(1, msg, 20 + 8 * row[i].n), 0);
		hb_expect(10, 3, 1, ID, FAILED);
	}
	cr_assert_eq(hb_info().gpadls, 0);
	hb_gpadl(1, ID, 0x40, 1); /* the id is free again */
	hb_expect(10, 3, 1, ID, 0);
}

Test(host_gpadl, header_padded_and_with_words_to_spare)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	struct vmb_gpadl_info i;

	hb_gpadl_bytes(msg, 1, ID, 0x40, 1);
	cr_assert_eq(hb_post(1, msg, 240), 0); /* GP-18 */
	hb_expect(10, 3, 1, ID, 0);
	hb_gpadl_bytes(msg, 1, ID + 1, 0x40, 1);
	put32(msg + 16, 24 | 1u << 16);        /* GP-19 */
	cr_assert_eq(hb_post(1, msg, 44), 0);
	hb_expect(10, 3, 1, ID + 1, 0);
	cr_assert_eq(info(ID + 1, &i), 0);
	cr_assert_eq(i.words, 2);
}

Test(host_gpadl, header_on_a_rescinded_channel_succeeds)
{
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, 0);
	rescind();
	hb_gpadl(1, ID + 1, 0x40, 1);
	hb_expect(10, 3, 1, ID + 1, 0); /* control-plane.md 21 (4) */
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, FAILED);
}

Test(host_gpadl, header_on_a_channel_offered_again_succeeds)
{
	rescind();
	hb_offer(1);
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, 0);
}

Test(host_gpadl, header_without_all_words_waits)
{
	header(1, ID, 30, 1);
	hb_quiet();
	cr_assert(!exists(ID));
	cr_assert_eq(hb_info().gpadls, 1);
}

/* ---- 5.3: bodies */

Test(host_gpadl, body_below_16_bytes_is_dropped)
{
	uint8_t msg[16] = { 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ID };

	header(1, ID, 27, 27);
	for (uint32_t len = 8; len < 16; len++)
		cr_assert_eq(hb_post(1, msg, len), 0);
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 8);
	body(ID, 1);
	hb_expect(10, 3, 1, ID, 0);
}

Test(host_gpadl, body_of_nothing_known_is_dropped)
{
	body(ID, 3);
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, 0);
	body(ID, 3); /* control-plane.md 21 (25): complete already */
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 2);
}

Test(host_gpadl, body_that_completes)
{
	struct vmb_gpadl_info i;

	header(1, ID, 60, 27);
	body(ID, 28);
	hb_quiet();
	body(ID, 0);
	hb_quiet();
	body(ID, 6);
	hb_expect(10, 3, 1, ID, 0);
	cr_assert_eq(info(ID, &i), 0);
	cr_assert_eq(i.pages, 60);
}

Test(host_gpadl, body_that_completes_no_list)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, ID };

	put32(msg + 16, 240 | 2u << 16); /* the second range has no page */
	put64(msg + 20, 28 * VMB_PAGE);
	cr_assert_eq(hb_post(1, msg, 236), 0);
	body(ID, 3);
	hb_expect(10, 3, 2, ID, FAILED); /* the channel is the header's */
	cr_assert_eq(hb_info().gpadls, 0);
}

Test(host_gpadl, bodies_of_several_lists_come_mixed)
{
	header(1, ID, 40, 27);
	header(2, ID + 1, 40, 27);
	hb_gpadl(1, ID + 2, 0x40, 1);
	hb_expect(10, 3, 1, ID + 2, 0);
	body(ID + 1, 14);
	hb_expect(10, 3, 2, ID + 1, 0);
	body(ID, 14);
	hb_expect(10, 3, 1, ID, 0);
}

Test(host_gpadl, body_after_the_channel_was_rescinded_succeeds)
{
	header(1, ID, 40, 27);
	rescind();
	body(ID, 14);
	hb_expect(10, 3, 1, ID, 0);
}

Test(host_gpadl, body_after_the_channel_was_released_is_dropped_and_the_id_is_free)
{
	header(1, ID, 40, 27); /* control-plane.md 21 (2) */
	hb_rel(1);
	body(ID, 14);
	hb_quiet();
	cr_assert_eq(hb_info().gpadls, 0);
	header(2, ID, 40, 27);
	body(ID, 14);
	hb_expect(10, 3, 2, ID, 0);
}

/* ---- 5.4: tear-down */

Test(host_gpadl, teardown_of_what_nobody_uses)
{
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, 0);
	hb_teardown(1, ID);
	hb_expect(12, 1, ID);
	cr_assert_eq(hb_info().gpadls, 0);
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, 0);
}

Test(host_gpadl, teardown_of_what_is_not_there_is_dropped)
{
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, 0);
	header(1, ID + 1, 40, 27);
	hb_teardown(1, 0x99);       /* unknown */
	hb_teardown(2, ID);         /* of another channel */
	hb_teardown(3, ID);         /* of no channel */
	hb_teardown(0, ID);
	hb_teardown(0xffffffff, ID);
	hb_teardown(1, ID + 1);     /* being built */
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 6);
	hb_teardown(1, ID);
	hb_expect(12, 1, ID);
	hb_teardown(1, ID);         /* a second time */
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 7);
}

Test(host_gpadl, teardown_of_a_ring_waits_for_the_device_and_nothing_else_does)
{
	hb_serve(1, dev, 1, 0);
	hb_teardown(1, hb_ring_id(1));
	hb_teardown(1, hb_ring_id(1)); /* on its way: dropped */
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 1);
	hb_gpadl(1, ID, 0x40, 1); /* other messages are handled: gpadl.md 10 (14) */
	hb_expect(10, 3, 1, ID, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(hb->all_mapped, 0);
	hb_expect(12, 1, hb_ring_id(1));
}

Test(host_gpadl, teardown_on_a_rescinded_channel)
{
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, 0);
	rescind();
	hb_teardown(1, ID);
	hb_expect(12, 1, ID);
	hb_teardown(1, ID);
	hb_quiet();
}

/* ---- 5.5: release, revoke, disconnect */

Test(host_gpadl, all_go_with_the_release_of_the_channel)
{
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, 0);
	header(1, ID + 1, 40, 27);
	hb_rel(1);
	hb_quiet();
	cr_assert_eq(hb_info().gpadls, 0);
}

Test(host_gpadl, all_stay_with_a_rescind_and_go_with_its_release)
{
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, 0);
	header(1, ID + 1, 40, 27);
	rescind();
	cr_assert_eq(hb_info().gpadls, 2);
	hb_rel(1);
	cr_assert_eq(hb_info().gpadls, 0);
	hb_event(VMB_EV_GONE, dev);
	hb_quiet();
}

Test(host_gpadl, those_going_are_answered_before_the_rescind)
{
	hb_serve(1, dev, 1, 0);
	hb_teardown(1, hb_ring_id(1));
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	hb_quiet();
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(12, 1, hb_ring_id(1));
	hb_expect(2, 1, 1);
}

static void disconnects(int how)
{
	hb_serve(1, dev, 1, 0);
	hb_gpadl(1, ID, 0x40, 1);
	hb_expect(10, 3, 1, ID, 0);
	header(2, ID + 1, 40, 27);
	hb_teardown(1, hb_ring_id(1));
	if (how == 0)
		hb_unload();
	else if (how == 1)
		hb_contact(VMB_V5_3);
	else
		cr_assert_eq(vmb_host_reset(hb->h), 0);
	cr_assert_eq(hb_info().gpadls, 1); /* the ring */
	hb_quiet();
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(hb_info().gpadls, 0);
	if (how == 0)
		hb_expect(17, 0); /* and no TORNDOWN: gpadl.md 10 (15) */
	else if (how == 1)
		hb_expect(15, 2, 1, 1);
	hb_quiet();
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_DISCONNECTED, 0);
}

Test(host_gpadl, all_go_unanswered_with_an_unload) { disconnects(0); }
Test(host_gpadl, all_go_unanswered_with_a_new_contact) { disconnects(1); }
Test(host_gpadl, all_go_unanswered_with_a_reset) { disconnects(2); }

/* ---- limits */

static void limited(uint32_t gpadls, uint32_t building, uint32_t pages)
{
	struct vmb_host_config cfg = { .max_gpadls = gpadls, .max_gpadls_building = building, .max_gpadl_pages = pages };

	hb_free(hb);
	hb_new(&cfg, 0);
	dev = hb_offer(1);
	hb_connect(VMB_V5_3);
}

Test(host_gpadl, limit_of_the_number)
{
	limited(2, 1, 1000);
	hb_gpadl(1, 1, 0x40, 1);
	hb_expect(10, 3, 1, 1, 0);
	hb_gpadl(1, 2, 0x40, 1);
	hb_expect(10, 3, 1, 2, 0);
	hb_gpadl(1, 3, 0x40, 1);
	hb_expect(10, 3, 1, 3, FAILED);
	cr_assert_eq(hb_info().refused_quota, 1);
	hb_teardown(1, 2);
	hb_expect(12, 1, 2);
	hb_gpadl(1, 3, 0x40, 1);
	hb_expect(10, 3, 1, 3, 0);
}

Test(host_gpadl, limit_of_those_being_built)
{
	limited(10, 1, 1000);
	header(1, 1, 40, 27);
	header(1, 2, 40, 27);
	hb_expect(10, 3, 1, 2, FAILED);
	hb_gpadl(1, 3, 0x40, 1);
	hb_expect(10, 3, 1, 3, 0);
	body(1, 14);
	hb_expect(10, 3, 1, 1, 0);
	header(1, 2, 40, 27);
	hb_quiet();
}

Test(host_gpadl, limit_of_pages)
{
	limited(10, 10, 20);
	hb_gpadl(1, 1, 0x40, 15);
	hb_expect(10, 3, 1, 1, 0);
	hb_gpadl(1, 2, 0x40, 6);
	hb_expect(10, 3, 1, 2, FAILED);
	hb_gpadl(1, 2, 0x40, 5);
	hb_expect(10, 3, 1, 2, 0);
	cr_assert_eq(hb_info().gpadl_pages, 20);
}

Test(host_gpadl, limits_of_one_channel)
{
	struct vmb_offer o;

	hb_offer_fill(&o, 9, 0);
	o.max_gpadls = 2;
	o.max_gpadl_pages = 10;
	cr_assert_eq(vmb_host_offer(hb->h, &o, &dev), 0);
	cr_assert_not_null(hb_next());
	hb_gpadl(3, 1, 0x40, 11);
	hb_expect(10, 3, 3, 1, FAILED);
	hb_gpadl(3, 1, 0x40, 9);
	hb_expect(10, 3, 3, 1, 0);
	hb_gpadl(3, 2, 0x40, 1);
	hb_expect(10, 3, 3, 2, 0);
	hb_teardown(3, 1);
	hb_expect(12, 1, 1);
	hb_gpadl(3, 3, 0x40, 1);
	hb_expect(10, 3, 3, 3, 0);
	hb_gpadl(3, 4, 0x40, 1);
	hb_expect(10, 3, 3, 4, FAILED);
	hb_gpadl(1, 4, 0x40, 20);
	hb_expect(10, 3, 1, 4, 0);
}

/* ---- holds */

static uint64_t words[64];
static struct vmb_list list;

static void held(uint32_t id)
{
	hb_gpadl(1, id, 0x40, 3);
	hb_expect(10, 3, 1, id, 0);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, id, words, 64, &list), 0);
}

Test(host_gpadl, hold_copies_the_list)
{
	held(ID);
	cr_assert_eq(list.words, words);
	cr_assert_eq(list.count, 4);
	cr_assert_eq(list.ranges, 1);
	cr_assert_eq(words[0], VMB_RANGE(3 * 4096, 0));
	for (uint64_t i = 0; i < 3; i++)
		cr_assert_eq(words[1 + i], 0x40 + i);
}

Test(host_gpadl, hold_says_how_much_it_needs)
{
	struct vmb_gpadl_info i;

	hb_gpadl(1, ID, 0x40, 3);
	hb_expect(10, 3, 1, ID, 0);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, ID, words, 3, &list), VMB_ETOOSMALL);
	cr_assert_eq(list.count, 4);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, ID, NULL, 0, &list), VMB_ETOOSMALL);
	cr_assert_eq(info(ID, &i), 0);
	cr_assert_eq(i.held, 0);
	hb_teardown(1, ID);
	hb_expect(12, 1, ID);
}

Test(host_gpadl, hold_of_what_is_not_there)
{
	header(1, ID, 40, 27);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, ID, words, 64, &list), VMB_ENOENT);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, 5, words, 64, &list), VMB_ENOENT);
	hb_gpadl(2, 5, 0x40, 1);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, 5, words, 64, &list), VMB_ENOENT);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev + 77, 5, words, 64, &list), VMB_EHANDLE);
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, 5), VMB_ENOENT);
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev + 77, 5), VMB_EHANDLE);
}

Test(host_gpadl, a_held_one_is_asked_for_once_and_answered_when_it_is_released)
{
	held(ID);
	hb_no_event();
	hb_teardown(1, ID);
	hb_teardown(1, ID);
	hb_quiet();
	hb_event(VMB_EV_GPADL_DOWN, dev);
	cr_assert_eq(hb->ev.gpadl, ID);
	cr_assert_eq(hb->ev.user, 101);
	hb_no_event();
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, ID, words, 64, &list), VMB_ENOENT); /* not again */
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), 0);
	hb_expect(12, 1, ID);
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), VMB_ENOENT);
}

Test(host_gpadl, holds_count)
{
	struct vmb_gpadl_info i;

	held(ID);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, ID, words, 64, &list), 0);
	cr_assert_eq(info(ID, &i), 0);
	cr_assert_eq(i.held, 2);
	hb_teardown(1, ID);
	hb_event(VMB_EV_GPADL_DOWN, dev);
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), 0);
	hb_quiet();
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), 0);
	hb_expect(12, 1, ID);
}

Test(host_gpadl, holds_end_somewhere)
{
	held(ID);
	for (uint32_t i = 1; i < 0xffff; i++)
		cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, ID, words, 64, &list), 0);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, ID, words, 64, &list), VMB_ENOSPACE);
	hb_teardown(1, ID);
	for (uint32_t i = 0; i < 0xffff; i++) {
		hb_quiet();
		cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), 0);
	}
	hb_expect(12, 1, ID);
}

Test(host_gpadl, the_answer_to_the_question_releases_all)
{
	struct vmb_event down;

	held(ID);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, ID, words, 64, &list), 0);
	hb_teardown(1, ID);
	hb_event(VMB_EV_GPADL_DOWN, dev);
	down = hb->ev;
	cr_assert_eq(vmb_host_answer(hb->h, &down, VMB_EPLATFORM), VMB_EINVAL);
	cr_assert_eq(vmb_host_answer(hb->h, &down, 0), 0);
	hb_expect(12, 1, ID);
	cr_assert_eq(vmb_host_answer(hb->h, &down, 0), VMB_ENOENT);
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), VMB_ENOENT);
	held(ID); /* the same place: the old answer is not for this one */
	hb_teardown(1, ID);
	hb_event(VMB_EV_GPADL_DOWN, dev);
	cr_assert_eq(vmb_host_answer(hb->h, &down, 0), VMB_ENOENT);
	cr_assert_eq(hb_info().late_answers, 2);
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), 0);
}

Test(host_gpadl, a_question_that_was_not_given_out_is_taken_back)
{
	held(ID);
	hb_teardown(1, ID);
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), 0);
	hb_expect(12, 1, ID);
	hb_no_event();
}

Test(host_gpadl, a_hold_outlives_the_release_of_the_channel)
{
	held(ID);
	hb_rel(1);
	hb_event(VMB_EV_GPADL_DOWN, dev);
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), 0);
	hb_quiet(); /* nobody is there to be told */
	cr_assert_eq(hb_info().gpadls, 0);
}

Test(host_gpadl, a_rescind_waits_for_holds)
{
	held(ID);
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	hb_quiet();
	hb_event(VMB_EV_GPADL_DOWN, dev);
	hb_teardown(1, ID);
	hb_quiet();
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, ID, words, 64, &list), VMB_ENOENT);
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), 0);
	hb_expect(12, 1, ID);
	hb_expect(2, 1, 1);
}

Test(host_gpadl, a_rescind_keeps_the_lists_that_were_held)
{
	held(ID);
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	hb_event(VMB_EV_GPADL_DOWN, dev);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_expect(2, 1, 1);
	hb_teardown(1, ID);
	hb_expect(12, 1, ID);
}

Test(host_gpadl, unload_waits_for_holds)
{
	held(ID);
	hb_unload();
	hb_quiet();
	hb_event(VMB_EV_GPADL_DOWN, dev);
	hb_no_event();
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), 0);
	hb_expect(17, 0);
	hb_event(VMB_EV_DISCONNECTED, 0);
}

Test(host_gpadl, a_held_ring_waits_for_both)
{
	hb_serve(1, dev, 1, 0);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, hb_ring_id(1), words, 64, &list), 0);
	hb_teardown(1, hb_ring_id(1));
	hb_event(VMB_EV_GPADL_DOWN, dev);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_quiet();
	hb_close(1);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(12, 1, hb_ring_id(1));
}

Test(host_gpadl, gone_waits_for_holds_that_outlive_the_channel)
{
	held(ID);
	hb_rel(1);
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	hb_event(VMB_EV_GPADL_DOWN, dev);
	hb_no_event();
	cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, ID), 0);
	hb_event(VMB_EV_GONE, dev);
	hb_no_event();
}
