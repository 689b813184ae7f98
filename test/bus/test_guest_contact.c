/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Contact: which versions are tried, on which connection, and what each answer leads to. control-plane.md 5, 7, 20.2 */
#include "guestbench.h"

#include <endian.h>
#include <string.h>

TestSuite(guest_contact, .timeout = 60);

static const uint32_t all_versions[] = { VMB_V6_0, VMB_V5_3, VMB_V5_2, VMB_V5_1, VMB_V5_0, VMB_V4_1, VMB_V4_0, VMB_V3_0, VMB_V2_4,
					 VMB_V1_1, VMB_V0_13 };
enum { ALL = sizeof all_versions / sizeof *all_versions, MODERN = 9 };

/* The test is the host: nothing is answered by itself. */
static struct bench *by_hand(int old_pages)
{
	struct bench *b = bench_new();

	b->off = 1;
	if (old_pages)
		bench_old_pages(b);
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	return b;
}

static void respond(struct bench *b, uint32_t version, uint8_t supported, uint8_t state, uint32_t selected, uint32_t len)
{
	struct bench_message m = { 0, len, { VERSION_RESPONSE } };

	(void)version;
	m.bytes[8] = supported;
	m.bytes[9] = state;
	selected = htole32(selected);
	memcpy(m.bytes + 12, &selected, 4);
	bench_feed(b, &m);
}

static void expect_contact(struct bench *b, uint32_t version)
{
	const struct bench_message *m = bench_posted(b, CONTACT);

	cr_assert_eq(bench_number(m, b, "version"), version, "%x", bench_number(m, b, "version"));
	cr_assert_eq(m->connection, version >= VMB_V5_0 ? 4 : 1);
	cr_assert_eq(m->len, 40);
	bench_posted_none(b);
}

Test(guest_contact, every_version_is_tried_from_the_highest_down)
{
	for (int old = 0; old < 2; old++) {
		struct bench *b = by_hand(old);

		for (int i = 0; i < (old ? ALL : MODERN); i++) {
			expect_contact(b, all_versions[i]);
			cr_assert_eq(bench_poll(b), 0);
			respond(b, all_versions[i], 0, 0, 0, 16);
		}
		bench_posted_none(b);
		bench_poll(b);
		bench_expect(b, VMB_EV_CONNECTED, VMB_EVERSION);
		bench_quiet(b);
		cr_assert_eq(bench_info(b).state, VMB_BUS_NONE);
		cr_assert_eq(vmb_guest_end(b->g), 0);
		bench_free(b);
	}
}

Test(guest_contact, the_config_bounds_the_versions)
{
	for (uint32_t lo = 0; lo < ALL; lo++)
		for (uint32_t hi = 0; hi <= lo; hi++) {
			struct bench *b = bench_new();

			b->off = 1;
			bench_old_pages(b);
			b->cfg.max_version = all_versions[hi];
			b->cfg.min_version = all_versions[lo];
			bench_init(b);
			cr_assert_eq(vmb_guest_connect(b->g), 0);
			for (uint32_t i = hi; i <= lo; i++) {
				expect_contact(b, all_versions[i]);
				respond(b, all_versions[i], 0, 0, 0, 16);
			}
			bench_poll(b);
			bench_expect(b, VMB_EV_CONNECTED, VMB_EVERSION);
			bench_posted_none(b);
			bench_free(b);
		}
}

Test(guest_contact, each_refusal_pattern_ends_where_the_host_says_yes)
{
	for (uint32_t yes = 0; yes < ALL; yes++) {
		struct bench *b = by_hand(1);
		uint32_t v = all_versions[yes];

		for (uint32_t i = 0; i < yes; i++) { /* unsupported, failed, and unknown connection in turns */
			expect_contact(b, all_versions[i]);
			if (i % 2 && all_versions[i] >= VMB_V2_4)
				respond(b, all_versions[i], 1, 2, 1, 20);
			else
				respond(b, all_versions[i], 0, 0, 0, 16);
		}
		expect_contact(b, v);
		b->negotiated = v;
		respond(b, v, 1, 0, v >= VMB_V5_0 ? 0x123456 : v, v >= VMB_V6_0 ? 20 : 16);
		cr_assert_eq(bench_posted(b, REQUEST_OFFERS)->connection, v >= VMB_V5_0 ? 0x123456u : 1u);
		bench_poll(b);
		cr_assert_eq(bench_expect(b, VMB_EV_CONNECTED, 0)->peer_status, 0);
		cr_assert_eq(bench_info(b).version, v);
		cr_assert_eq(bench_info(b).features, 0);
		cr_assert_eq(bench_info(b).state, VMB_BUS_CONNECTED);
		bench_free(b);
	}
}

Test(guest_contact, an_unknown_message_connection_means_the_next_version)
{
	struct bench *b = bench_new(); /* a host that knows connection 1 only, up to 4.1 */

	b->version = VMB_V4_1;
	b->fail_types = BIT(CONTACT);
	b->fail_count = 5;
	b->fail_status = VMB_HV_INVALID_CONNECTION;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	cr_assert_eq(b->attempts, 6, "no try is repeated, none waits");
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	cr_assert_eq(bench_info(b).version, VMB_V4_1);
	cr_assert_eq(bench_info(b).post_retries, 0);
	bench_free(b);
}

Test(guest_contact, no_message_connection_at_all_is_no_bus)
{
	struct bench *b = bench_new();

	b->fail_count = 1000;
	b->fail_status = VMB_HV_INVALID_CONNECTION;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_CONNECTED, VMB_EPLATFORM)->peer_status, VMB_HV_INVALID_CONNECTION);
	cr_assert_eq(b->attempts, MODERN);
	bench_free(b);
}

Test(guest_contact, a_fatal_status_ends_the_attempt)
{
	static const int fatal[] = { 2, 3, 4, 5, 6, 7, 8, 0xd, 0x11, 0xffff, -1, 0x10000 };

	for (unsigned i = 0; i < sizeof fatal / sizeof *fatal; i++) {
		struct bench *b = bench_new();

		b->fail_count = 1;
		b->fail_status = fatal[i];
		bench_init(b);
		cr_assert_eq(vmb_guest_connect(b->g), 0);
		bench_poll(b);
		bench_expect(b, VMB_EV_CONNECTED, VMB_EPLATFORM);
		cr_assert_eq(b->attempts, 1);
		cr_assert_eq(vmb_guest_connect(b->g), 0, "and another one may follow");
		bench_run(b);
		bench_expect(b, VMB_EV_CONNECTED, 0);
		bench_free(b);
	}
}

Test(guest_contact, a_state_outweighs_an_unknown_version)
{
	struct bench *b = by_hand(0);

	for (int i = 0; i < MODERN; i++) {
		if (i == 3)
			respond(b, 0, 1, 1, 1, 16);
		else
			respond(b, 0, 0, 0, 0, 16);
	}
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_CONNECTED, VMB_EREFUSED)->peer_status, 1);
	bench_free(b);
}

Test(guest_contact, pitfall_44_a_state_is_not_ignored_from_2_4_on_but_below)
{
	struct bench *b = bench_new();

	b->off = 1;
	bench_old_pages(b);
	b->cfg.max_version = VMB_V2_4;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	expect_contact(b, VMB_V2_4);
	respond(b, VMB_V2_4, 1, 2, VMB_V2_4, 16);
	expect_contact(b, VMB_V1_1);
	respond(b, VMB_V1_1, 1, 2, VMB_V1_1, 16); /* uninitialised there. control-plane.md 5 */
	bench_posted(b, REQUEST_OFFERS);
	bench_free(b);
}

Test(guest_contact, a_response_is_taken_once_and_only_while_negotiating)
{
	struct bench *b = by_hand(0);

	expect_contact(b, VMB_V6_0);
	respond(b, VMB_V6_0, 1, 0, 1, 20);
	bench_posted(b, REQUEST_OFFERS);
	for (int i = 0; i < 3; i++) {
		respond(b, VMB_V6_0, i != 0, 0, 7, 20);
		bench_posted_none(b);
	}
	cr_assert_eq(bench_info(b).dropped, 3);
	bench_poll(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_quiet(b);
	bench_free(b);
}

Test(guest_contact, a_response_before_the_post_succeeded_is_dropped)
{
	struct bench *b = bench_new();

	b->off = 1;
	b->fail_count = 1;
	b->fail_status = VMB_HV_NO_BUFFERS;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	respond(b, VMB_V6_0, 1, 0, 1, 20);
	cr_assert_eq(bench_info(b).dropped, 1);
	bench_poll(b);
	bench_quiet(b);
	expect_contact(b, VMB_V6_0);
	bench_free(b);
}

Test(guest_contact, a_message_connection_with_a_top_byte_is_none)
{
	struct bench *b = by_hand(0);

	expect_contact(b, VMB_V6_0);
	respond(b, VMB_V6_0, 1, 0, 0x01000001, 20);
	bench_posted_none(b);
	cr_assert_eq(bench_info(b).dropped, 1);
	respond(b, VMB_V6_0, 1, 0, 0x00ffffff, 20);
	cr_assert_eq(bench_posted(b, REQUEST_OFFERS)->connection, 0xffffffu);
	bench_free(b);
}

Test(guest_contact, a_short_form_of_6_0_is_dropped)
{
	struct bench *b = by_hand(0);

	expect_contact(b, VMB_V6_0);
	respond(b, VMB_V6_0, 1, 0, 1, 16); /* perhaps the late answer to a contact with 5.3 */
	bench_posted_none(b);
	cr_assert_eq(bench_info(b).dropped, 1);
	respond(b, VMB_V6_0, 1, 0, 1, 240);
	bench_posted(b, REQUEST_OFFERS);
	bench_free(b);
}

Test(guest_contact, the_wire_form_is_that_of_the_vectors)
{
	static const uint8_t cp02[40] = { 0x0e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0x90, 0x10, 0, 0, 0, 0, 0,
					  0, 0xa0, 0x10, 0, 0, 0, 0, 0, 0, 0xb0, 0x10 };
	struct bench *b = bench_new();

	b->off = 1;
	bench_old_pages(b);
	b->cfg.message_vp = 1;
	b->cfg.max_version = VMB_V3_0;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	cr_assert_arr_eq(bench_posted(b, CONTACT)->bytes, cp02, 40);
	respond(b, VMB_V3_0, 0, 0, 0, 16);
	cr_assert_eq(bench_number(bench_posted(b, CONTACT), b, "target_vp"), 0, "below 3.0 VP 0 gets the messages");
	bench_free(b);
}

Test(guest_contact, pages_are_cleared_before_the_host_gets_them)
{
	struct bench *b = bench_new();
	uint8_t zero[VMB_PAGE] = { 0 };

	bench_old_pages(b);
	bench_init(b);
	cr_assert_neq(memcmp(b->cfg.interrupt_page, zero, VMB_PAGE), 0);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	cr_assert_arr_eq(b->cfg.interrupt_page, zero, VMB_PAGE);
	cr_assert_arr_eq(b->cfg.monitor_page[0], zero, VMB_PAGE);
	cr_assert_arr_eq(b->cfg.monitor_page[1], zero, VMB_PAGE);
	bench_free(b);
}

Test(guest_contact, another_sint_goes_into_the_message_from_5_0_on)
{
	struct bench *b = bench_new();

	b->off = 1;
	b->cfg.sint = 7;
	b->cfg.max_version = VMB_V5_0;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	cr_assert_eq(bench_number(bench_posted(b, CONTACT), b, "target_sint"), 7);
	respond(b, VMB_V5_0, 0, 0, 0, 16);
	cr_assert_eq(bench_posted(b, CONTACT)->bytes[16], 0);
	bench_free(b);
}

Test(guest_contact, silence_ends_the_attempt_after_connect_ms)
{
	struct bench *b = bench_new();

	b->cfg.connect_ms = 500;
	b->silent = BIT(CONTACT);
	b->now = 1000000000;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_poll(b);
	bench_quiet(b);
	cr_assert_eq(b->events[b->told].deadline, b->now + 500000000);
	bench_wait(b, 499);
	bench_quiet(b);
	bench_wait(b, 1);
	bench_expect(b, VMB_EV_CONNECTED, VMB_ETIMEDOUT);
	respond(b, VMB_V6_0, 1, 0, 1, 20); /* too late */
	cr_assert_eq(bench_info(b).state, VMB_BUS_NONE);
	b->silent = 0;
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_free(b);
}

Test(guest_contact, a_deadline_pokes_nothing_else_does)
{
	for (uint32_t ms = 0; ms < 2; ms++) {
		struct bench *b = bench_new();

		b->off = 1;
		b->cfg.connect_ms = ms;
		bench_init(b);
		cr_assert_eq(vmb_guest_connect(b->g), 0);
		cr_assert_eq(b->pokes, ms);
		bench_free(b);
	}
}

Test(guest_contact, each_version_has_connect_ms_of_its_own)
{
	struct bench *b = bench_new();

	b->off = 1;
	b->cfg.connect_ms = 500;
	b->now = 1;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_poll(b);
	for (int i = 0; i < MODERN; i++) {
		bench_wait(b, 499);
		bench_quiet(b);
		respond(b, 0, 0, 0, 0, 16);
		bench_poll(b);
	}
	bench_expect(b, VMB_EV_CONNECTED, VMB_EVERSION);
	bench_free(b);
}

Test(guest_contact, without_a_clock_or_a_limit_nothing_times_out)
{
	struct bench *b = by_hand(0);

	b->cfg.connect_ms = 0;
	b->now = 5;
	bench_poll(b);
	cr_assert_eq(b->events[b->told].deadline, UINT64_MAX);
	bench_wait(b, 1000000000);
	bench_quiet(b);
	bench_free(b);
}

/* bits of `pages`: interrupt page, monitor pages */
Test(guest_contact, disconnect_while_negotiating_gives_up)
{
	for (int pages = 0; pages < 4; pages++) {
		struct bench *b = bench_new();

		b->off = 1;
		bench_old_pages(b);
		if (!(pages & 1))
			b->cfg.interrupt_gpa = 0, b->cfg.interrupt_page = NULL;
		if (!(pages & 2)) {
			memset(b->cfg.monitor_gpa, 0, sizeof b->cfg.monitor_gpa);
			memset(b->cfg.monitor_page, 0, sizeof b->cfg.monitor_page);
		}
		bench_init(b);
		cr_assert_eq(vmb_guest_connect(b->g), 0);
		cr_assert_eq(vmb_guest_disconnect(b->g), 0);
		bench_poll(b);
		bench_expect(b, VMB_EV_DISCONNECTED, pages ? VMB_ELEAK : 0); /* the host may have the pages now */
		bench_quiet(b);
		respond(b, VMB_V6_0, 1, 0, 1, 20);
		cr_assert_eq(bench_info(b).state, VMB_BUS_NONE);
		b->off = 0;
		cr_assert_eq(vmb_guest_connect(b->g), 0);
		bench_run(b);
		if (pages) /* a new connection is proof that the old one is over */
			bench_expect(b, VMB_EV_DISCONNECTED, 0);
		bench_expect(b, VMB_EV_CONNECTED, 0);
		bench_free(b);
	}
}

Test(guest_contact, connect_needs_a_guest_that_is_not_connected)
{
	struct bench *b = by_hand(0);

	cr_assert_eq(vmb_guest_connect(b->g), VMB_ESTATE);
	b->off = 0;
	respond(b, VMB_V6_0, 0, 0, 0, 16);
	bench_run(b);
	cr_assert_eq(bench_info(b).state, VMB_BUS_RUNNING);
	cr_assert_eq(vmb_guest_connect(b->g), VMB_ESTATE);
	cr_assert_eq(vmb_guest_end(b->g), VMB_ESTATE);
	bench_free(b);
}

Test(guest_contact, a_connect_drops_what_the_last_one_would_have_said)
{
	struct bench *b = bench_new();

	b->fail_count = 1;
	b->fail_status = VMB_HV_INVALID_PARAMETER;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0); /* fails; nobody polls */
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	bench_quiet(b);
	bench_free(b);
}

Test(guest_contact, what_one_attempt_heard_says_nothing_about_the_next)
{
	struct bench *b = by_hand(0);

	for (int i = 0; i < MODERN; i++)
		respond(b, 0, 1, 1, 1, 20);
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_CONNECTED, VMB_EREFUSED)->peer_status, 1);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	for (int i = 0; i < MODERN; i++)
		respond(b, 0, 0, 0, 0, 16);
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_CONNECTED, VMB_EVERSION)->peer_status, 0);
	bench_free(b);
}

/* The hypervisor is busy when the next version, or the next attempt, is to be posted: nothing that comes meanwhile is an
 * answer to it. */
Test(guest_contact, an_answer_to_the_last_version_is_none_to_the_next)
{
	struct bench *b = bench_new();

	b->off = 1;
	b->now = 1;
	b->cfg.connect_ms = 100;
	b->cfg.max_version = b->cfg.min_version = VMB_V5_3;
	b->fail_at = 1;
	b->fail_count = 1000;
	b->fail_status = VMB_HV_NO_BUFFERS;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_poll(b);
	bench_wait(b, 100);
	bench_expect(b, VMB_EV_CONNECTED, VMB_ETIMEDOUT);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	respond(b, VMB_V5_3, 1, 0, 1, 16);
	cr_assert_eq(bench_info(b).dropped, 1);
	bench_free(b);

	b = bench_new();
	b->off = 1;
	b->now = 1;
	b->cfg.connect_ms = 100;
	b->fail_at = 1;
	b->fail_count = 3;
	b->fail_status = VMB_HV_NO_BUFFERS;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_poll(b);
	bench_wait(b, 99);
	respond(b, VMB_V6_0, 0, 0, 0, 16);
	respond(b, VMB_V6_0, 1, 0, 1, 20);
	cr_assert_eq(bench_info(b).dropped, 1);
	for (int i = 0; i < 10; i++)
		bench_wait(b, 1); /* the first version's time is over, the second's has begun just now */
	bench_wait(b, 90);
	bench_quiet(b);
	respond(b, VMB_V5_3, 1, 0, 1, 16);
	bench_poll(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_free(b);
}

Test(guest_contact, what_was_not_told_before_a_disconnect_is_not_told_after_it)
{
	struct bench *b = bench_new();

	b->offers[0] = 5;
	b->offer_count = 1;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_answer(b);
	bench_answer(b);
	cr_assert_eq(bench_info(b).state, VMB_BUS_RUNNING);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_DISCONNECTED, 0);
	bench_quiet(b);
	bench_free(b);
}

Test(guest_contact, offers_that_cannot_be_asked_for_are_done)
{
	struct bench *b = bench_new();

	b->fail_types = BIT(REQUEST_OFFERS);
	b->fail_count = 1;
	b->fail_status = VMB_HV_INVALID_PARAMETER;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_expect(b, VMB_EV_OFFERS_DONE, VMB_EPLATFORM);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_DISCONNECTED, 0);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	bench_free(b);
}

Test(guest_contact, pitfall_45_offers_are_requested_once)
{
	struct bench *b = bench_connected(VMB_V5_3);

	bench_say(b, ALL_OFFERS, NULL);
	bench_say(b, ALL_OFFERS, NULL);
	bench_run(b);
	bench_quiet(b);
	cr_assert_eq(bench_sent(b, REQUEST_OFFERS), 1);
	bench_free(b);
}
