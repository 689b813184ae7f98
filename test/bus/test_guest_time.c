/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Deadlines: a host that does not answer, and one that answers too late. control-plane.md 20.2, gpadl.md 7.8, 7.11 */
#include "guestdriver.h"

#include <string.h>

TestSuite(guest_time, .timeout = 120);

enum { REPLY = 1000, UNLOADING = 3000 };

/* One channel, seen, with a clock and limits; what is in `silent` is not answered. */
static struct bench *timed(uint32_t silent)
{
	struct bench *b = bench_new();

	b->version = VMB_V5_3;
	b->now = 1000000;
	b->cfg.reply_ms = REPLY;
	b->cfg.unload_ms = UNLOADING;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_offer(b, 5, 5, 0);
	bench_run(b);
	b->open[0].handle = bench_until(b, VMB_EV_OFFER)->ch;
	b->silent = silent;
	b->read = b->posted;
	return b;
}

Test(guest_time, a_silent_host_at_every_question)
{
	static const uint32_t questions[] = { GPADL_HEADER, GPADL_TEARDOWN, OPEN, MODIFY, UNLOAD, REQUEST_OFFERS, CONTACT };

	for (unsigned q = 0; q < sizeof questions / sizeof *questions; q++) {
		struct driver *d = driver_new(VMB_V5_3);

		d->b->now = 1;
		d->b->silent = BIT(questions[q]);
		d->b->cfg.connect_ms = 100;
		d->b->cfg.reply_ms = REPLY;
		d->b->cfg.unload_ms = UNLOADING;
		bench_init(d->b);
		cr_assert_eq(vmb_guest_connect(d->b->g), 0);
		driver_end(d, 1);
	}
}

Test(guest_time, the_ring_list_is_not_answered)
{
	struct bench *b = timed(BIT(GPADL_HEADER));
	vmb_handle h = b->open[0].handle;
	uint32_t id;

	cr_assert_eq(bench_open(b, h, 0), 0);
	id = bench_number(bench_posted(b, GPADL_HEADER), b, "gpadl_id");
	bench_poll(b);
	cr_assert_eq(b->events[b->told].deadline, b->now + REPLY * 1000000ull);
	bench_wait(b, REPLY - 1);
	bench_quiet(b);
	bench_wait(b, 1);
	bench_expect(b, VMB_EV_OPENED, VMB_ETIMEDOUT);
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	bench_poll(b);
	bench_expect(b, VMB_EV_CLOSED, VMB_ELEAK);
	/* It comes to life after all: it is torn down, silently. */
	b->gpadl[0].created = 1;
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, NULL);
	cr_assert_eq(bench_number(bench_posted(b, GPADL_TEARDOWN), b, "gpadl_id"), id);
	bench_run(b);
	bench_quiet(b);
	cr_assert_eq(bench_info(b).late_answers, 2);
	cr_assert_eq(bench_info(b).gpadls, 0);
	/* And the channel can be opened again. */
	b->silent = 0;
	bench_opened(b, h, 0);
	bench_free(b);
}

Test(guest_time, an_open_is_not_answered_then_answered_late)
{
	for (int refused = 0; refused < 2; refused++)
		for (int late = 0; late < 2; late++) { /* before or after the close */
			struct bench *b = timed(BIT(OPEN));
			vmb_handle h = b->open[0].handle;

			cr_assert_eq(bench_open(b, h, 0), 0);
			bench_run(b);
			bench_wait(b, REPLY);
			bench_expect(b, VMB_EV_OPENED, VMB_ETIMEDOUT);
			b->read = b->posted;
			if (late) {
				cr_assert_eq(vmb_guest_close(b->g, h), 0);
				bench_run(b);
				bench_expect(b, VMB_EV_CLOSED, VMB_ELEAK);
				cr_assert_eq(bench_open(b, h, 0), VMB_ESTATE, "the host may still be opening");
			}
			bench_posted_none(b);
			b->id[5].opening = 0;
			b->id[5].open = !refused;
			bench_say(b, OPEN_RESULT, "channel_id", 5ull, "open_id", (uint64_t)b->id[5].open_id, "status",
				refused ? 1ull : 0ull,
				  NULL);
			cr_assert_eq(bench_info(b).late_answers, 1);
			if (!late) {
				bench_quiet(b);
				cr_assert_eq(vmb_guest_close(b->g, h), 0);
			}
			if (!refused)
				bench_posted(b, CLOSE);
			bench_posted(b, GPADL_TEARDOWN);
			bench_run(b);
			if (!late) /* the whole truth was known in time */
				bench_expect(b, VMB_EV_CLOSED, 0);
			bench_quiet(b);
			b->silent = 0;
			bench_opened(b, h, 0);
			bench_free(b);
		}
}

Test(guest_time, a_teardown_is_not_answered_then_answered_late)
{
	struct bench *b = timed(BIT(GPADL_TEARDOWN));
	vmb_handle h = b->open[0].handle;

	bench_opened(b, h, 0);
	b->read = b->posted;
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	bench_posted(b, CLOSE);
	bench_posted(b, GPADL_TEARDOWN);
	bench_poll(b);
	bench_wait(b, REPLY - 1);
	bench_quiet(b);
	bench_wait(b, 1);
	bench_expect(b, VMB_EV_CLOSED, VMB_ELEAK);
	bench_say(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)b->gpadl[0].id, NULL);
	cr_assert_eq(bench_info(b).gpadls, 0);
	cr_assert_eq(bench_info(b).late_answers, 1);
	bench_poll(b);
	bench_quiet(b);
	bench_posted_none(b);
	bench_free(b);
}

Test(guest_time, pitfall_gpadl_12_no_second_teardown)
{
	struct bench *b = timed(BIT(GPADL_TEARDOWN));
	vmb_handle h = b->open[0].handle;

	bench_opened(b, h, 0);
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	bench_poll(b);
	bench_wait(b, REPLY);
	bench_expect(b, VMB_EV_CLOSED, VMB_ELEAK);
	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GONE, 0);
	cr_assert_eq(bench_sent(b, GPADL_TEARDOWN), 1);
	cr_assert_eq(bench_sent(b, RELEASED), 1);
	cr_assert_eq(bench_info(b).gpadls, 0, "the id's release has settled it");
	bench_free(b);
}

Test(guest_time, a_modify_is_not_answered)
{
	struct bench *b = timed(BIT(MODIFY));
	vmb_handle h = b->open[0].handle;

	bench_opened(b, h, 0);
	cr_assert_eq(vmb_guest_target(b->g, h, 1), 0);
	bench_poll(b);
	bench_wait(b, REPLY);
	bench_expect(b, VMB_EV_TARGET, VMB_ETIMEDOUT);
	cr_assert_eq(vmb_guest_target(b->g, h, 1), VMB_ESTATE, "its answer could be taken for the next one's");
	b->id[5].modifies = 0;
	bench_say(b, MODIFY_RESPONSE, "channel_id", 5ull, NULL);
	cr_assert_eq(bench_info(b).late_answers, 1);
	b->silent = 0;
	cr_assert_eq(vmb_guest_target(b->g, h, 1), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_TARGET, 0);
	bench_free(b);
}

/* Close, open again, and only then comes the answer to the old MODIFY: the new OPEN's wait is not touched by it. */
Test(guest_time, a_late_modify_response_ends_no_other_wait)
{
	struct bench *b = timed(BIT(MODIFY));
	vmb_handle h = b->open[0].handle;

	bench_opened(b, h, 0);
	cr_assert_eq(vmb_guest_target(b->g, h, 1), 0);
	bench_poll(b);
	bench_wait(b, REPLY);
	bench_expect(b, VMB_EV_TARGET, VMB_ETIMEDOUT);
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	b->silent |= BIT(OPEN);
	cr_assert_eq(bench_open(b, h, 0), 0);
	bench_run(b);
	bench_say(b, MODIFY_RESPONSE, "channel_id", 5ull, NULL);
	bench_wait(b, REPLY);
	bench_expect(b, VMB_EV_OPENED, VMB_ETIMEDOUT);
	bench_free(b);
}

Test(guest_time, a_list_is_not_answered)
{
	struct bench *b = timed(BIT(GPADL_HEADER));
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 0x1234 };
	struct vmb_list list = { words, 2, 1 };
	uint32_t id;

	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	bench_poll(b);
	bench_wait(b, REPLY);
	cr_assert_eq(bench_expect(b, VMB_EV_GPADL, VMB_ELEAK)->gpadl, id);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), VMB_ENOENT);
	bench_quiet(b);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GONE, 0);
	bench_free(b);
}

/* Its id is released while the silent tear-down of a late one is not answered: that wait is nobody's any more. */
Test(guest_time, a_wait_does_not_outlive_its_list)
{
	struct bench *b = timed(BIT(GPADL_HEADER) | BIT(GPADL_TEARDOWN));
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 0x1234 };
	struct vmb_list list = { words, 2, 1 };
	uint32_t id;

	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	bench_poll(b);
	bench_wait(b, REPLY);
	bench_expect(b, VMB_EV_GPADL, VMB_ELEAK);
	b->gpadl[0].created = 1;
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, NULL);
	bench_poll(b);
	bench_wait(b, 10);
	cr_assert_eq(bench_sent(b, GPADL_TEARDOWN), 1);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GONE, 0);
	bench_offer(b, 6, 6, 0);
	bench_run(b);
	cr_assert_eq(b->events[b->told].deadline, UINT64_MAX);
	cr_assert_eq(vmb_guest_gpadl_create(b->g, bench_expect(b, VMB_EV_OFFER, 0)->ch, &list, &id), 0);
	bench_poll(b);
	cr_assert_eq(b->events[b->told].deadline, b->now + REPLY * 1000000ull);
	bench_free(b);
}

Test(guest_time, a_list_destroyed_before_it_was_created)
{
	struct bench *b = timed(BIT(GPADL_HEADER));
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 0x1234 };
	struct vmb_list list = { words, 2, 1 };
	uint32_t id;

	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), 0);
	bench_poll(b);
	bench_wait(b, REPLY - 1);
	bench_quiet(b);
	b->gpadl[0].created = 1;
	b->silent = 0;
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, NULL);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GPADL_DOWN, 0)->gpadl, id);
	bench_quiet(b);
	bench_free(b);
}

Test(guest_time, unload_complete_does_not_come)
{
	struct bench *b = timed(BIT(UNLOAD));

	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_poll(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_poll(b);
	bench_expect(b, VMB_EV_GONE, 0);
	bench_wait(b, UNLOADING - 1);
	bench_quiet(b);
	bench_wait(b, 1);
	bench_expect(b, VMB_EV_DISCONNECTED, VMB_ETIMEDOUT);
	bench_say(b, UNLOAD_COMPLETE, NULL); /* too late to be believed */
	bench_poll(b);
	bench_quiet(b);
	b->silent = 0;
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_DISCONNECTED, 0);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	for (int i = 0; i < 2; i++) { /* and everything is as ever */
		cr_assert_eq(vmb_guest_disconnect(b->g), 0);
		bench_run(b);
		bench_expect(b, VMB_EV_DISCONNECTED, 0);
		bench_wait(b, 2 * UNLOADING);
		bench_quiet(b);
		cr_assert_eq(vmb_guest_connect(b->g), 0);
		bench_run(b);
		bench_expect(b, VMB_EV_CONNECTED, 0);
		bench_expect(b, VMB_EV_OFFERS_DONE, 0);
		bench_wait(b, 2 * UNLOADING);
		bench_quiet(b);
	}
	bench_free(b);
}

/* There is no UNLOAD_COMPLETE below 1.1: what was leaked is proved free by the next contact only. */
Test(guest_time, a_leak_below_1_1)
{
	struct bench *b = bench_new();

	b->version = VMB_V0_13;
	b->now = 1;
	b->cfg.reply_ms = REPLY;
	bench_old_pages(b);
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_offer(b, 5, 5, 0);
	bench_run(b);
	b->silent = BIT(GPADL_HEADER);
	cr_assert_eq(bench_open(b, bench_until(b, VMB_EV_OFFER)->ch, 0), 0);
	bench_poll(b);
	bench_wait(b, REPLY);
	bench_expect(b, VMB_EV_OPENED, VMB_ETIMEDOUT);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, VMB_ELEAK);
	bench_expect(b, VMB_EV_GONE, 0);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_DISCONNECTED, VMB_ELEAK);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_DISCONNECTED, 0);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_DISCONNECTED, 0);
	bench_free(b);
}

Test(guest_time, waits_that_began_outside_of_poll_count_from_the_next_poll_on)
{
	struct bench *b = timed(BIT(GPADL_HEADER));

	bench_poll(b);
	cr_assert_eq(b->events[b->told].deadline, UINT64_MAX);
	b->now += 3600000000000ull; /* idle for an hour: nobody polls */
	b->pokes = 0;
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	cr_assert_eq(b->pokes, 1, "there is a new deadline to be known");
	bench_poll(b);
	bench_quiet(b);
	cr_assert_eq(b->events[b->told].deadline, b->now + REPLY * 1000000ull);
	bench_free(b);
}

Test(guest_time, many_waits_end_in_the_order_in_which_they_began)
{
	struct bench *b = bench_new();
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 0x1234 };
	struct vmb_list list = { words, 2, 1 };
	uint32_t id[200];

	b->cfg.max_gpadls = 200;
	b->cfg.reply_ms = REPLY;
	b->now = 1;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_offer(b, 5, 5, 0);
	bench_run(b);
	b->silent = BIT(GPADL_HEADER);
	for (int i = 0; i < 200; i++) {
		cr_assert_eq(vmb_guest_gpadl_create(b->g, b->events[b->told - 1].ch, &list, &id[i]), 0);
		b->now += 1000000;
		bench_poll(b);
	}
	b->taken = b->told;
	b->now += (REPLY - 300) * 1000000ull;
	bench_poll(b);
	bench_quiet(b);
	for (int i = 0; i < 400; i++)
		bench_wait(b, 1);
	for (int i = 0; i < 200; i++)
		cr_assert_eq(bench_expect(b, VMB_EV_GPADL, VMB_ELEAK)->gpadl, id[i]);
	bench_free(b);
}

Test(guest_time, a_rescind_ends_the_wait_for_an_open_but_not_that_for_a_modify)
{
	struct bench *b = timed(BIT(OPEN));

	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	bench_run(b);
	bench_rescind(b, 5);
	bench_poll(b);
	cr_assert_eq(b->events[b->told].deadline, UINT64_MAX);
	bench_free(b);

	b = timed(BIT(MODIFY));
	bench_opened(b, b->open[0].handle, 0);
	cr_assert_eq(vmb_guest_target(b->g, b->open[0].handle, 1), 0);
	bench_poll(b);
	bench_rescind(b, 5);
	bench_poll(b);
	bench_until(b, VMB_EV_RESCINDED);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_wait(b, REPLY - 1);
	bench_quiet(b);
	b->pokes = 0;
	bench_wait(b, 1);
	cr_assert_eq(b->pokes, 0, "a poll pokes nobody");
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_expect(b, VMB_EV_GONE, 0);
	bench_free(b);
}

Test(guest_time, without_limits_a_wait_ends_with_the_rescind)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	b->now = 1;
	b->silent = BIT(OPEN);
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	bench_run(b);
	bench_wait(b, 100000000);
	bench_quiet(b);
	bench_rescind(b, 5);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_free(b);
}
