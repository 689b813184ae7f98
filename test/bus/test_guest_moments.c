/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Rescind, close, release, disconnect at every moment of a life: before the offer was seen, while lists are announced, between
 * OPEN and its result, open, closing, released; and in combination. control-plane.md 12.5, 17.2, gpadl.md 7. The bench judges
 * every message.
 */
#include "guestdriver.h"

#include <string.h>

TestSuite(guest_moments, .timeout = 200);

static const uint32_t versions[] = { VMB_V0_13, VMB_V1_1, VMB_V3_0, VMB_V4_1, VMB_V5_3, VMB_V6_0 };
enum { VERSIONS = sizeof versions / sizeof *versions };

static struct driver *start(uint32_t version, int at)
{
	struct driver *d = driver_new(version);

	bench_init(d->b);
	cr_assert_eq(vmb_guest_connect(d->b->g), 0);
	for (int i = 0; i < at; i++)
		driver_tick(d);
	return d;
}

/* How many ticks an undisturbed life takes. */
static int length(uint32_t version)
{
	struct driver *d = start(version, 0);
	int n = 0;

	while (driver_tick(d))
		n++;
	cr_assert_eq(d->offers, 1);
	cr_assert_eq(d->gones, 1);
	cr_assert_eq(d->opened, 2);
	driver_end(d, 0);
	return n;
}

static void rescind(struct driver *d)
{
	if (d->b->id[5].offered && !d->b->id[5].revoked)
		bench_rescind(d->b, 5);
}

Test(guest_moments, rescind_at_every_moment)
{
	for (int v = 0; v < VERSIONS; v++)
		for (int at = 0, n = length(versions[v]); at <= n; at++) {
			struct driver *d = start(versions[v], at);
			int offered = d->b->id[5].offered;

			rescind(d);
			driver_run(d);
			cr_assert_eq(d->offers, d->gones, "%s", d->trace);
			if (offered)
				cr_assert_eq(d->b->id[5].releases, 1, "moment %d: the id is released %d times", at,
					d->b->id[5].releases);
			driver_end(d, 0);
		}
}

Test(guest_moments, pitfall_28_29_a_second_rescind_is_ignored)
{
	for (int at = 0, n = length(VMB_V5_3); at <= n; at++) {
		struct driver *d = start(VMB_V5_3, at);

		for (int i = 0; i < 3; i++) {
			if (d->b->id[5].offered || i)
				bench_rescind(d->b, 5);
			driver_tick(d);
		}
		driver_run(d);
		cr_assert_leq(d->b->id[5].releases, 1);
		driver_end(d, 0);
	}
}

Test(guest_moments, a_device_that_comes_back_at_once_has_the_same_id)
{
	for (int at = 0, n = length(VMB_V5_3); at <= n; at++) {
		struct driver *d = start(VMB_V5_3, at);
		int offered = d->b->id[5].offered;

		rescind(d);
		while (d->b->id[5].offered && driver_tick(d))
			;
		if (offered) { /* control-plane.md 12.3: nothing may be left of the old one */
			bench_offer(d->b, 5, 5, 0);
			driver_run(d);
			cr_assert_eq(d->b->id[5].releases, 2);
		}
		driver_end(d, 0);
	}
}

Test(guest_moments, close_at_every_moment)
{
	for (int v = 0; v < VERSIONS; v++)
		for (int at = 0, n = length(versions[v]); at <= n; at++) {
			struct driver *d = start(versions[v], at);

			driver_close(d);
			driver_end(d, 0);
		}
}

Test(guest_moments, release_at_every_moment)
{
	for (int v = 0; v < VERSIONS; v++)
		for (int at = 0, n = length(versions[v]); at <= n; at++) {
			struct driver *d = start(versions[v], at);

			driver_release(d);
			driver_run(d);
			cr_assert_eq(d->b->id[5].releases, 1);
			driver_end(d, 0);
		}
}

Test(guest_moments, disconnect_at_every_moment_and_connect_again)
{
	for (int v = 0; v < VERSIONS; v++)
		for (int at = 0, n = length(versions[v]); at <= n; at++) {
			struct driver *d = start(versions[v], at);

			driver_disconnect(d);
			driver_run(d);
			cr_assert_eq(d->disconnects, 1, "%s", d->trace);
			d->disconnecting = 0;
			cr_assert_eq(vmb_guest_connect(d->b->g), 0);
			driver_run(d);
			cr_assert_eq(d->connect_status, 0);
			driver_end(d, 0);
		}
}

/* Any two of the four, at any two moments. */
Test(guest_moments, two_things_at_two_moments)
{
	static void (*const things[])(struct driver *) = { rescind, driver_close, driver_release, driver_disconnect };
	int n = length(VMB_V5_3);

	for (unsigned one = 0; one < 4; one++)
		for (unsigned two = 0; two < 4; two++)
			for (int at = 0; at <= n; at++)
				for (int later = 0; later <= n - at && later < 12; later++) {
					struct driver *d = start(VMB_V5_3, at);

					things[one](d);
					for (int i = 0; i < later; i++)
						driver_tick(d);
					things[two](d);
					driver_end(d, 0);
				}
}

/* The same while the hypervisor is busy: the n-th message and all behind it wait when the thing happens. */
Test(guest_moments, things_while_a_message_waits)
{
	static void (*const things[])(struct driver *) = { rescind, driver_close, driver_release, driver_disconnect };
	struct driver *plain = start(VMB_V5_3, 0);
	uint32_t posts;

	driver_run(plain);
	posts = plain->b->attempts;
	driver_end(plain, 0);
	for (unsigned thing = 0; thing < 4; thing++)
		for (uint32_t n = 0; n < posts; n++)
			for (unsigned later = 0; later < 3; later++) {
				struct driver *d = driver_new(VMB_V5_3);

				d->b->fail_status = VMB_HV_NO_BUFFERS;
				d->b->fail_count = 20;
				d->b->fail_at = n;
				bench_init(d->b);
				cr_assert_eq(vmb_guest_connect(d->b->g), 0);
				while (d->b->attempts <= n && driver_tick(d))
					;
				things[thing](d);
				for (unsigned i = 0; i < later; i++)
					driver_tick(d);
				things[(thing + later) % 4](d);
				driver_end(d, 0);
			}
}

Test(guest_moments, refusals_at_every_question)
{
	static const uint32_t questions[] = { BIT(GPADL_HEADER), BIT(OPEN), BIT(MODIFY), BIT(OPEN) | BIT(MODIFY) };

	for (unsigned q = 0; q < 4; q++)
		for (int at = 0, n = length(VMB_V5_3); at <= n; at++) {
			struct driver *d = start(VMB_V5_3, at);

			d->b->refuse = questions[q];
			driver_end(d, 0);
		}
}

Test(guest_moments, after_a_rescind_nothing_more_is_asked)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	bench_opened(b, b->open[0].handle, 0);
	b->read = b->posted;
	bench_rescind(b, 5);
	bench_poll(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	bench_poll(b);
	bench_expect(b, VMB_EV_CLOSED, 0); /* at once: the host was off the ring before. gpadl.md 7.7 */
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_posted(b, RELEASED);
	bench_posted_none(b);
	bench_free(b);
}

/* control-plane.md 24: Rescind while opening; no OPEN_RESULT comes. */
Test(guest_moments, rescind_between_open_and_its_result)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle;
	uint32_t open_id;

	b->silent = BIT(OPEN);
	cr_assert_eq(bench_open(b, h, 0), 0);
	bench_run(b);
	open_id = b->id[5].open_id;
	b->read = b->posted;
	bench_rescind(b, 5);
	bench_poll(b);
	bench_expect(b, VMB_EV_OPENED, VMB_ERESCINDED);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_expect(b, VMB_EV_GONE, 0);
	bench_posted(b, RELEASED);
	bench_posted_none(b);
	bench_say(b, OPEN_RESULT, "channel_id", 5ull, "open_id", (uint64_t)open_id, NULL);
	cr_assert_eq(bench_info(b).late_answers, 1);
	bench_quiet(b);
	bench_free(b);
}

/* The host answers a whole list after RESCIND as well (control-plane.md 12.2); the id is not released before that. */
Test(guest_moments, rescind_while_a_list_is_with_the_host)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle;
	uint32_t id;

	b->silent = BIT(GPADL_HEADER);
	cr_assert_eq(bench_open(b, h, 0), 0);
	id = bench_number(bench_posted(b, GPADL_HEADER), b, "gpadl_id");
	bench_rescind(b, 5);
	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	bench_poll(b);
	bench_quiet(b);
	bench_posted_none(b);
	b->gpadl[0].created = 1;
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, NULL);
	bench_posted(b, GPADL_TEARDOWN); /* gpadl.md 7.11 */
	bench_posted_none(b);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_expect(b, VMB_EV_GONE, 0);
	bench_posted(b, RELEASED);
	bench_posted_none(b);
	bench_free(b);
}

/* A list of which the host has a part only is never answered: nothing to wait for. */
Test(guest_moments, rescind_in_the_middle_of_a_list)
{
	struct bench *b = bench_new();
	uint64_t words[101] = { VMB_RANGE(100 * VMB_PAGE, 0) };
	struct vmb_list list = { words, 101, 1 };
	vmb_handle h;
	uint32_t id;

	b->fail_types = BIT(GPADL_BODY);
	b->fail_count = 1;
	b->fail_status = VMB_HV_NO_BUFFERS;
	b->now = 1;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_offer(b, 5, 5, 0);
	bench_poll(b);
	h = bench_until(b, VMB_EV_OFFER)->ch;
	cr_assert_eq(vmb_guest_gpadl_create(b->g, h, &list, &id), 0);
	cr_assert_eq(bench_info(b).queued, 1);
	bench_rescind(b, 5);
	bench_poll(b);
	bench_expect(b, VMB_EV_GPADL, VMB_ERESCINDED);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), VMB_ENOENT);
	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GONE, 0);
	cr_assert_eq(bench_sent(b, GPADL_BODY), 0);
	bench_free(b);
}

Test(guest_moments, rescind_of_an_offer_that_was_not_seen_shows_nothing)
{
	struct bench *b = bench_connected(VMB_V5_3);

	bench_offer(b, 5, 5, 0);
	bench_rescind(b, 5);
	bench_posted(b, RELEASED);
	bench_poll(b);
	bench_quiet(b);
	cr_assert_eq(bench_info(b).channels, 0);
	bench_free(b);
}

Test(guest_moments, close_while_opening_waits_for_the_result)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle;

	b->silent = BIT(OPEN);
	cr_assert_eq(bench_open(b, h, 0), 0);
	bench_run(b);
	b->read = b->posted;
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	bench_run(b);
	bench_posted_none(b); /* a host that is opening refuses CLOSE. control-plane.md 17.2 */
	b->id[5].opening = 0;
	b->id[5].open = 1;
	bench_say(b, OPEN_RESULT, "channel_id", 5ull, "open_id", (uint64_t)b->id[5].open_id, NULL);
	bench_posted(b, CLOSE);
	bench_posted(b, GPADL_TEARDOWN);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_quiet(b);
	bench_free(b);
}

Test(guest_moments, the_owner_is_stopped_and_woken_by_a_rescind)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct bench_open *o = bench_opened(b, b->open[0].handle, 0);
	struct vmb_packet p = { .kind = VMB_PKT_INBAND }, in;
	uint64_t buf[64], wakes = b->wakes[1];

	cr_assert_eq(vmb_channel_recv(o->ch, buf, sizeof buf, &in), 0);
	bench_rescind(b, 5);
	cr_assert_eq(b->wakes[1], wakes + 1);
	cr_assert_eq(vmb_channel_recv(o->ch, buf, sizeof buf, &in), VMB_ESTOPPED);
	cr_assert_eq(vmb_channel_send(o->ch, &p), VMB_ESTOPPED);
	bench_free(b);
}

Test(guest_moments, hot_removal_of_all_64_channels_at_once)
{
	struct bench *b = bench_connected(VMB_V5_3);

	for (uint32_t n = 0; n < 63; n++) {
		bench_offer(b, n + 1, n + 1, 0);
		bench_poll(b);
		bench_opened(b, bench_until(b, VMB_EV_OFFER)->ch, n);
	}
	for (uint32_t n = 0; n < 63; n++)
		bench_rescind(b, n + 1);
	bench_poll(b);
	for (uint32_t n = 0; n < 63; n++) {
		bench_expect(b, VMB_EV_RESCINDED, 0);
		cr_assert_eq(vmb_guest_release(b->g, b->open[n].handle), 0);
	}
	bench_run(b);
	cr_assert_eq(bench_count(b, VMB_EV_CLOSED), 63);
	cr_assert_eq(bench_count(b, VMB_EV_GONE), 63);
	for (uint32_t n = 0; n < 63; n++)
		cr_assert_eq(b->id[n + 1].releases, 1);
	bench_free(b);
}
