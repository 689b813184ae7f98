/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * HvPostMessage fails at the n-th call, for every n, until a whole life passes: with the statuses that are worth another try everything ends as
 * if nothing had been; with the others something may be lost, but nothing hangs and no memory is called free that is not.
 * control-plane.md 1.2, gpadl.md 7.8
 */
#include "guestdriver.h"

#include <string.h>

TestSuite(guest_post, .timeout = 300);

static struct driver *life(uint32_t version, uint64_t now, int status, uint32_t at, uint32_t count, int arrived)
{
	struct driver *d = driver_new(version);

	d->b->now = now;
	d->b->fail_status = status;
	d->b->fail_at = at;
	d->b->fail_count = count;
	d->b->fail_arrived = arrived;
	bench_init(d->b);
	cr_assert_eq(vmb_guest_connect(d->b->g), 0);
	driver_run(d);
	driver_disconnect(d);
	driver_run(d);
	return d;
}

static const int busy[] = { VMB_HV_NO_MEMORY, VMB_HV_INVALID_CONNECTION, VMB_HV_NO_BUFFERS, VMB_HV_TIMEOUT };
static const int fatal[] = { 3, VMB_HV_INVALID_PARAMETER, 8 };

/* The same trace and the same messages, with a clock and without. */
Test(guest_post, busy_at_any_call_changes_nothing)
{
	for (int clock = 0; clock < 2; clock++) {
		struct driver *plain = life(VMB_V5_3, (uint64_t)clock, 0, 0, 0, 0);
		uint32_t calls = plain->b->attempts;

		cr_assert_gt(calls, 20);
		for (unsigned s = 0; s < 4; s++)
			for (uint32_t n = 0; n < calls; n++)
				for (uint32_t count = 1; count < 20; count += 17) {
					struct driver *d;

					if (busy[s] == VMB_HV_INVALID_CONNECTION && n < 2)
						continue; /* says something about contact: see test_guest_contact.c */
					d = life(VMB_V5_3, (uint64_t)clock, busy[s], n, count, 0);
					cr_assert_eq(d->b->posted, plain->b->posted, "status %d, call %u", busy[s], n);
					for (uint32_t i = 0; i < d->b->posted; i++) /* lists may interleave otherwise */
						cr_assert_eq(bench_sent(d->b, d->b->posts[i].bytes[0]),
							     bench_sent(plain->b, d->b->posts[i].bytes[0]));
					cr_assert_eq(bench_info(d->b).post_retries, count);
					cr_assert_eq(d->disconnect_status, 0);
					cr_assert_eq(d->opened, 2);
					driver_end(d, 0);
				}
		driver_end(plain, 0);
	}
}

/* After HV_STATUS_TIMEOUT the host may have the message: it comes twice then, and the answer may come before the second. */
Test(guest_post, a_message_that_arrived_although_the_post_failed)
{
	static const uint32_t versions[] = { VMB_V0_13, VMB_V1_1, VMB_V4_1, VMB_V5_3 };

	for (unsigned v = 0; v < 4; v++)
		for (uint32_t n = 0; n < 60; n++) {
			struct driver *d = life(versions[v], 1, VMB_HV_TIMEOUT, n, 1, 1);

			/* a refusal of the second header may be taken for that of the first: then the memory is not called free */
			driver_end(d, 1);
		}
}

Test(guest_post, fatal_at_any_call_ends_well)
{
	static const uint32_t versions[] = { VMB_V0_13, VMB_V1_1, VMB_V4_1, VMB_V5_3 };

	for (unsigned v = 0; v < 4; v++)
		for (unsigned s = 0; s < 3; s++)
			for (uint32_t n = 0; n < 60; n++) {
				struct driver *d = life(versions[v], 1, fatal[s], n, 1, 0);

				driver_end(d, 1);
			}
}

Test(guest_post, fatal_from_any_call_on_ends_well)
{
	for (uint32_t n = 0; n < 60; n++) {
		struct driver *d = life(VMB_V5_3, 1, VMB_HV_INVALID_PARAMETER, n, 1000, 0);

		driver_end(d, 1);
	}
}

/* What a lost message of each type comes to. */
static struct driver *losing(uint32_t type)
{
	struct driver *d = driver_new(VMB_V5_3);

	d->b->fail_types = BIT(type);
	d->b->fail_status = VMB_HV_INVALID_PARAMETER;
	d->b->fail_count = 1;
	bench_init(d->b);
	cr_assert_eq(vmb_guest_connect(d->b->g), 0);
	driver_run(d);
	return d;
}

Test(guest_post, pitfall_gpadl_11_a_lost_teardown_leaks)
{
	struct driver *d = losing(GPADL_TEARDOWN);

	cr_assert_eq(d->leaks, 1);
	cr_assert(strstr(d->trace, "12:-50"));
	driver_disconnect(d);
	driver_run(d);
	cr_assert_eq(d->disconnect_status, 0, "UNLOAD_COMPLETE ends the leak");
	driver_end(d, 0);
}

Test(guest_post, a_lost_header_or_body_leaks)
{
	static const uint32_t types[] = { GPADL_HEADER, GPADL_BODY };

	for (int i = 0; i < 2; i++) {
		struct driver *d = losing(types[i]);

		cr_assert_eq(d->leaks, 1, "%s", d->trace);
		driver_end(d, 1);
	}
}

Test(guest_post, a_lost_close_leaks_the_ring)
{
	struct driver *d = losing(CLOSE);

	cr_assert_eq(d->leaks, 1, "%s", d->trace);
	cr_assert(strstr(d->trace, "9:-50"), "%s", d->trace);
	cr_assert_eq(d->opened, 1, "the host has it open still: it cannot be opened again");
	driver_end(d, 1);
}

Test(guest_post, a_lost_open_tears_its_ring_down)
{
	struct driver *d = losing(OPEN);

	cr_assert_eq(d->leaks, 0, "%s", d->trace);
	cr_assert(strstr(d->trace, "6:-48"), "%s", d->trace);
	driver_end(d, 0);
}

Test(guest_post, a_lost_modify_is_told)
{
	struct driver *d = losing(MODIFY);

	cr_assert(strstr(d->trace, "13:-48"), "%s", d->trace);
	driver_end(d, 0);
}

Test(guest_post, a_lost_release_is_no_harm)
{
	struct driver *d = losing(RELEASED);

	cr_assert_eq(d->gones, 1);
	driver_end(d, 0);
}

Test(guest_post, a_lost_unload_leaves_memory_owed)
{
	struct driver *d = losing(UNLOAD);

	driver_disconnect(d);
	driver_run(d);
	cr_assert_eq(d->disconnect_status, VMB_EPLATFORM);
	d->disconnecting = 0;
	cr_assert_eq(vmb_guest_connect(d->b->g), 0);
	driver_run(d);
	cr_assert_eq(d->disconnects, 2, "contact has ended the old connection: %s", d->trace);
	cr_assert_eq(d->disconnect_status, 0);
	driver_end(d, 0);
}

Test(guest_post, tries_have_growing_delays_and_an_end)
{
	struct bench *b = bench_new();
	uint64_t last = 0, started;
	struct vmb_event ev;

	b->fail_status = VMB_HV_NO_BUFFERS;
	b->fail_count = 1000;
	b->now = started = 1000000000;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	cr_assert_eq(b->attempts, 1);
	cr_assert_geq(b->pokes, 1);
	for (uint32_t n = 1; n < 100; n++) {
		uint64_t wait;

		cr_assert_eq(vmb_guest_poll(b->g, b->now, &ev), 0);
		cr_assert_eq(b->attempts, n, "no try before its time");
		wait = ev.deadline - b->now;
		cr_assert(wait >= last && wait <= 1000000000, "try %u waits %llu", n, (unsigned long long)wait);
		cr_assert_eq(vmb_guest_poll(b->g, ev.deadline - 1, &ev), 0);
		cr_assert_eq(b->attempts, n);
		last = wait;
		b->now = ev.deadline;
	}
	cr_assert_eq(vmb_guest_poll(b->g, b->now, &ev), VMB_YES);
	cr_assert_eq(ev.kind, VMB_EV_CONNECTED);
	cr_assert_eq(ev.status, VMB_EPLATFORM);
	cr_assert_eq(ev.peer_status, VMB_HV_NO_BUFFERS);
	cr_assert_eq(b->attempts, 100);
	cr_assert_gt(b->now - started, 5000000000, "patience of seconds");
	bench_free(b);
}

Test(guest_post, without_a_clock_each_poll_tries_again)
{
	struct bench *b = bench_new();
	struct vmb_event ev;

	b->fail_status = VMB_HV_NO_BUFFERS;
	b->fail_count = 20;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	for (uint32_t n = 2; n <= 20; n++) {
		cr_assert_eq(vmb_guest_poll(b->g, 0, &ev), 0);
		cr_assert_eq(b->attempts, n);
		cr_assert_eq(ev.deadline, 0, "as soon as you can");
	}
	cr_assert_eq(vmb_guest_poll(b->g, 0, &ev), 0);
	cr_assert_eq(ev.deadline, UINT64_MAX);
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_free(b);
}

Test(guest_post, other_calls_do_not_try_before_the_time)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	b->fail_status = VMB_HV_NO_BUFFERS;
	b->fail_count = 1;
	b->fail_at = b->attempts;
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	cr_assert_eq(b->attempts, b->fail_at + 1);
	bench_offer(b, 6, 6, 0);
	cr_assert_eq(bench_info(b).queued, 1);
	cr_assert_eq(b->attempts, b->fail_at + 1);
	bench_free(b);
}

Test(guest_post, several_lists_interleave_each_in_order)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint64_t words[101] = { VMB_RANGE(100 * VMB_PAGE, 0) };
	struct vmb_list list = { words, 101, 1 };
	uint32_t id[3], next[3] = { 0 }, changes = 0, last = 9;

	b->fail_status = VMB_HV_NO_BUFFERS; /* the first post waits until all three are in the queue */
	b->fail_count = 1;
	b->fail_at = b->attempts;
	b->read = b->posted;
	for (int k = 0; k < 3; k++)
		cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id[k]), 0);
	bench_run(b);
	for (int k = 0; k < 3; k++)
		bench_expect(b, VMB_EV_GPADL, 0);
	for (; b->read < b->posted; b->read++) {
		const struct bench_message *m = &b->posts[b->read];
		uint32_t k = bench_number(m, b, "gpadl_id") - id[0];

		cr_assert_lt(k, 3);
		cr_assert_eq(m->bytes[0], next[k] ? GPADL_BODY : GPADL_HEADER);
		next[k]++;
		changes += k != last;
		last = k;
	}
	cr_assert(next[0] == 4 && next[1] == 4 && next[2] == 4);
	cr_assert_eq(changes, 12);
	bench_free(b);
}
