/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * HvPostMessage fails at the n-th call, for every n, until a whole life passes: with the statuses that are worth another try
 * everything ends as if nothing had been; with the others something may be lost, but nothing hangs and no memory is called free
 * that is not. control-plane.md 1.2, gpadl.md 7.8
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

			/* a refusal of the second header may be taken for that of the first: then the memory is not called
			 * free */
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

Test(guest_post, a_lost_teardown_of_a_ring_leaks_it)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	bench_opened(b, b->open[0].handle, 0);
	b->fail_types = BIT(GPADL_TEARDOWN);
	b->fail_status = VMB_HV_INVALID_PARAMETER;
	b->fail_at = b->attempts;
	b->fail_count = 1;
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, VMB_ELEAK);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GONE, 0);
	cr_assert_eq(bench_info(b).gpadls, 0);
	bench_free(b);
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

/* What an event sets going in the same poll counts for its deadline. */
Test(guest_post, the_deadline_of_a_poll_is_that_after_its_event)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct vmb_event ev;

	bench_opened(b, b->open[0].handle, 0);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_answer(b);
	b->fail_count = 1;
	b->fail_at = b->attempts;
	b->fail_status = VMB_HV_NO_BUFFERS;
	b->pokes = 0;
	cr_assert_eq(vmb_guest_poll(b->g, 1000, &ev), VMB_YES);
	cr_assert_eq(ev.kind, VMB_EV_CLOSED);
	cr_assert_eq(b->attempts, b->fail_at + 1, "the id is being released");
	cr_assert_eq(ev.deadline, 1000 + 1000000);
	cr_assert_eq(b->pokes, 0);
	bench_free(b);
}

/* ---- messages that may have arrived, one by one */

/* One channel, seen; the next post of this type fails with HV_STATUS_TIMEOUT, and the test is the host. */
static struct bench *unsure(uint32_t type, int opened)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	if (opened)
		bench_opened(b, b->open[0].handle, 0);
	b->off = 1;
	b->fail_types = BIT(type);
	b->fail_status = VMB_HV_TIMEOUT;
	b->fail_at = b->attempts;
	b->fail_count = 1;
	b->read = b->posted;
	return b;
}

Test(guest_post, a_list_created_before_its_end_is_not_trusted)
{
	struct bench *b = unsure(GPADL_BODY, 0);
	uint64_t words[101] = { VMB_RANGE(100 * VMB_PAGE, 0) };
	struct vmb_list list = { words, 101, 1 };
	uint32_t id;

	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	bench_posted(b, GPADL_HEADER);
	/* one body twice, and words of another list's end */
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, NULL);
	bench_run(b);
	bench_posted(b, GPADL_TEARDOWN);
	bench_posted_none(b);
	bench_quiet(b);
	bench_say(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)id, NULL);
	bench_poll(b);
	bench_expect(b, VMB_EV_GPADL, VMB_EPLATFORM);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), VMB_ENOENT);
	bench_free(b);
}

/* The doubt was about an earlier message, which has been repeated: the last one has not been sent at all. */
Test(guest_post, doubt_about_a_body_is_not_doubt_about_the_last)
{
	struct bench *b = unsure(GPADL_BODY, 0);
	uint64_t words[64] = { VMB_RANGE(63 * VMB_PAGE, 0) };
	struct vmb_list list = { words, 64, 1 };
	uint32_t id;
	struct vmb_event ev;

	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	bench_posted(b, GPADL_HEADER);
	b->fail_at++;
	b->fail_at++; /* the repetition arrives; the last body finds the hypervisor busy */
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(vmb_guest_poll(b->g, 0, &ev), 0);
	bench_posted(b, GPADL_BODY);
	bench_posted_none(b);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, NULL);
	bench_run(b);
	bench_posted(b, GPADL_TEARDOWN);
	bench_posted_none(b);
	bench_say(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)id, NULL);
	bench_poll(b);
	bench_expect(b, VMB_EV_GPADL, VMB_EPLATFORM);
	bench_free(b);
}

Test(guest_post, doubt_about_a_list_is_not_doubt_about_its_teardown)
{
	struct bench *b = unsure(GPADL_HEADER, 0);
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 1 };
	struct vmb_list list = { words, 2, 1 };
	uint32_t id;

	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), 0);
	b->fail_types = BIT(GPADL_TEARDOWN);
	b->fail_at = b->attempts;
	b->fail_status = VMB_HV_NO_BUFFERS;
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, NULL);
	bench_say(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)id, NULL); /* nobody has asked for that yet */
	cr_assert_eq(bench_info(b).late_answers, 1);
	bench_run(b);
	bench_quiet(b);
	bench_posted(b, GPADL_TEARDOWN);
	bench_say(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)id, NULL);
	bench_poll(b);
	bench_expect(b, VMB_EV_GPADL_DOWN, 0);
	bench_free(b);
}

Test(guest_post, a_list_that_could_not_be_announced_is_not_believed_in)
{
	struct bench *b = unsure(GPADL_HEADER, 0);
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 1 };
	struct vmb_list list = { words, 2, 1 };
	uint32_t id;

	b->fail_count = 1000;
	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, VMB_ELEAK);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, NULL);
	bench_run(b);
	bench_quiet(b);
	cr_assert_eq(bench_info(b).late_answers, 1);
	bench_posted_none(b);
	bench_free(b);
}

Test(guest_post, a_list_refused_in_doubt_is_not_announced_further)
{
	struct bench *b = unsure(GPADL_BODY, 0);
	uint64_t words[101] = { VMB_RANGE(100 * VMB_PAGE, 0) };
	struct vmb_list list = { words, 101, 1 };
	uint32_t id;

	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	bench_posted(b, GPADL_HEADER);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, "status", 1ull, NULL);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, VMB_ELEAK);
	bench_posted_none(b);
	bench_free(b);
}

Test(guest_post, a_list_created_before_its_last_message_is_repeated_is_good)
{
	struct bench *b = unsure(GPADL_HEADER, 0);
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 1 };
	struct vmb_list list = { words, 2, 1 };
	uint32_t id;

	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, NULL);
	bench_run(b);
	bench_posted_none(b);
	bench_expect(b, VMB_EV_GPADL, 0);
	bench_free(b);
}

/* gpadl.md 5.2: a second header is refused, the first list lives. */
Test(guest_post, the_refusal_of_a_header_that_came_twice_proves_nothing)
{
	struct bench *b = unsure(GPADL_HEADER, 0);
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 1 };
	struct vmb_list list = { words, 2, 1 };
	uint32_t id;

	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	bench_run(b);
	bench_posted(b, GPADL_HEADER);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, "status", 0x8000ffffull, NULL);
	bench_poll(b);
	bench_expect(b, VMB_EV_GPADL, VMB_ELEAK);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, NULL);
	bench_posted(b, GPADL_TEARDOWN);
	bench_say(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)id, NULL);
	cr_assert_eq(bench_info(b).gpadls, 0);
	bench_poll(b);
	bench_quiet(b);
	bench_free(b);
}

Test(guest_post, an_open_result_before_open_is_repeated)
{
	struct bench *b = unsure(OPEN, 0);

	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", 0xe1e10ull, NULL);
	bench_posted(b, GPADL_HEADER);
	bench_say(b, OPEN_RESULT, "channel_id", 5ull, "open_id", 5ull, NULL);
	bench_run(b);
	bench_posted_none(b);
	bench_expect(b, VMB_EV_OPENED, 0);
	bench_free(b);
}

Test(guest_post, an_open_that_may_have_arrived_and_cannot_be_repeated_leaks)
{
	struct bench *b = unsure(OPEN, 0);

	b->fail_count = 1000;
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", 0xe1e10ull, NULL);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_OPENED, VMB_EPLATFORM)->peer_status, VMB_HV_TIMEOUT);
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, VMB_ELEAK);
	bench_free(b);
}

/* The same two, given back before that is clear. */
Test(guest_post, a_close_behind_a_message_that_may_have_arrived)
{
	struct bench *b = unsure(OPEN, 0);

	b->fail_count = 1000;
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", 0xe1e10ull, NULL);
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, VMB_ELEAK);
	bench_quiet(b);
	bench_free(b);

	b = unsure(MODIFY, 1);
	b->fail_count = 1000;
	cr_assert_eq(vmb_guest_target(b->g, b->open[0].handle, 1), 0);
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_posted(b, CLOSE);
	bench_posted(b, GPADL_TEARDOWN);
	bench_say(b, GPADL_TORNDOWN, "gpadl_id", 0xe1e10ull, NULL);
	bench_poll(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_quiet(b);
	bench_free(b);
}

Test(guest_post, a_modify_that_may_have_arrived)
{
	struct bench *b = unsure(MODIFY, 1);

	b->fail_count = 1000;
	cr_assert_eq(vmb_guest_target(b->g, b->open[0].handle, 1), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_TARGET, VMB_EPLATFORM);
	cr_assert_eq(vmb_guest_target(b->g, b->open[0].handle, 1), VMB_ESTATE, "an answer may come");
	bench_say(b, MODIFY_RESPONSE, "channel_id", 5ull, NULL);
	cr_assert_eq(bench_info(b).late_answers, 1);
	bench_quiet(b);
	b->fail_at = b->attempts;
	b->fail_count = 1;
	cr_assert_eq(vmb_guest_target(b->g, b->open[0].handle, 1), 0);
	bench_say(b, MODIFY_RESPONSE, "channel_id", 5ull, NULL); /* before it is repeated */
	bench_run(b);
	bench_expect(b, VMB_EV_TARGET, 0);
	bench_posted_none(b);
	bench_free(b);
}

/* An OPEN that may have arrived is not repeated after a RESCIND: it would never be answered. Nor is a CLOSE needed then. */
Test(guest_post, a_rescind_ends_what_waits_to_be_repeated)
{
	struct bench *b = unsure(OPEN, 0);

	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", 0xe1e10ull, NULL);
	bench_posted(b, GPADL_HEADER);
	bench_say(b, RESCIND, "channel_id", 5ull, NULL);
	bench_run(b);
	bench_posted_none(b);
	bench_expect(b, VMB_EV_OPENED, VMB_ERESCINDED);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_expect(b, VMB_EV_GONE, 0);
	bench_posted(b, RELEASED);
	bench_posted_none(b);
	bench_free(b);

	b = unsure(CLOSE, 1);
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	bench_say(b, RESCIND, "channel_id", 5ull, NULL);
	bench_run(b);
	bench_posted_none(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_free(b);
}

/* Only a release that may have arrived is proved by an offer: not one that follows another message of which that was said. */
Test(guest_post, doubt_about_one_message_is_not_doubt_about_the_next)
{
	struct bench *b = unsure(MODIFY, 1);
	vmb_handle h = b->open[0].handle;
	struct bench_message m;
	struct vmb_event ev;

	cr_assert_eq(vmb_guest_target(b->g, h, 1), 0);
	bench_say(b, MODIFY_RESPONSE, "channel_id", 5ull, NULL); /* it had arrived, and is not repeated */
	bench_say(b, RESCIND, "channel_id", 5ull, NULL);
	b->fail_types = BIT(RELEASED);
	b->fail_at = b->attempts;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	cr_assert_eq(vmb_guest_poll(b->g, 0, &ev), VMB_YES);
	cr_assert_eq(ev.kind, VMB_EV_CLOSED);
	cr_assert_eq(b->attempts, b->fail_at + 1);
	bench_make(b, &m, OFFER, "channel_id", 5ull, NULL);
	bench_feed(b, &m);
	cr_assert_eq(bench_info(b).dropped, 1);
	bench_run(b);
	bench_posted(b, RELEASED);
	bench_posted_none(b);
	bench_free(b);
}

/* control-plane.md 12.3: the new offer comes at once, with the same id, and is proof. A second release would be of the new
 * channel. */
Test(guest_post, an_offer_of_an_id_whose_release_may_have_arrived)
{
	struct bench *b = unsure(RELEASED, 0);
	vmb_handle old = b->open[0].handle;
	struct bench_message m;

	cr_assert_eq(vmb_guest_release(b->g, old), 0);
	bench_make(b, &m, OFFER, "channel_id", 5ull, NULL);
	bench_feed(b, &m);
	bench_run(b);
	bench_posted_none(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GONE, 0)->ch, old);
	cr_assert_neq(bench_expect(b, VMB_EV_OFFER, 0)->ch, old);
	bench_free(b);
}

Test(guest_post, an_offer_of_an_id_whose_release_has_not_arrived_is_dropped)
{
	struct bench *b = unsure(RELEASED, 0);
	struct bench_message m;

	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_make(b, &m, OFFER, "channel_id", 5ull, NULL);
	bench_feed(b, &m);
	cr_assert_eq(bench_info(b).dropped, 1);
	bench_run(b);
	bench_posted(b, RELEASED);
	bench_expect(b, VMB_EV_GONE, 0);
	bench_quiet(b);
	bench_free(b);
}

Test(guest_post, unload_complete_before_unload_is_repeated)
{
	struct bench *b = unsure(UNLOAD, 0);

	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_say(b, UNLOAD_COMPLETE, NULL);
	bench_run(b);
	bench_until(b, VMB_EV_DISCONNECTED);
	cr_assert_eq(bench_sent(b, UNLOAD), 0);
	bench_free(b);
}

Test(guest_post, a_response_before_contact_is_repeated)
{
	struct bench *b = bench_new();
	struct bench_message m;

	b->off = 1;
	b->fail_count = 1;
	b->fail_status = VMB_HV_TIMEOUT;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_make(b, &m, VERSION_RESPONSE, "version_supported", 1ull, "selected", 1ull, NULL);
	bench_feed(b, &m);
	bench_run(b);
	bench_posted(b, REQUEST_OFFERS);
	bench_posted_none(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_free(b);
}
