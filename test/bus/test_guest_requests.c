/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What the guest asks of its connection, PAUSE, RESUME and MODIFY_CONNECTION, and the CLOSE of somebody else's reserved channel, where posts
 * fail, answers do not come, come late or come unasked. control-plane.md 10.5, 13
 */
#include "guestbench.h"

#include <stdlib.h>
#include <string.h>

enum { MODIFY_CONNECTION = 25, MODIFY_CONNECTION_RESPONSE, PAUSE, PAUSE_RESPONSE, RESUME, CLOSE_RESERVED = 19, CLOSE_RESERVED_RESPONSE };

#define FEATURES (VMB_FEATURE_PAUSE | VMB_FEATURE_MODIFY_CONNECTION)
#define REPLY_MS 1000u

TestSuite(guest_requests, .timeout = 60);

/* Any message with one number in it. */
static void say(struct bench *b, uint32_t type, const char *field, uint64_t value)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	int len = vmb_message_init(msg, sizeof msg, type, VMB_V6_0, 0xff);

	cr_assert_gt(len, 0);
	if (field)
		cr_assert_eq(vmb_message_set(msg, (uint32_t)len, VMB_V6_0, 0xff, field, value), 0);
	cr_assert_eq(vmb_guest_message(b->g, msg, (uint32_t)len), 0);
}

static void accept(struct bench *b, uint32_t features)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	int len = vmb_message_init(msg, sizeof msg, VERSION_RESPONSE, VMB_V6_0, 0);

	cr_assert_eq(vmb_message_set(msg, (uint32_t)len, VMB_V6_0, 0, "version_supported", 1), 0);
	cr_assert_eq(vmb_message_set(msg, (uint32_t)len, VMB_V6_0, 0, "selected", 4), 0);
	cr_assert_eq(vmb_message_set(msg, (uint32_t)len, VMB_V6_0, 0, "supported_features", features), 0);
	cr_assert_eq(vmb_guest_message(b->g, msg, (uint32_t)len), 0);
}

/* A connection with these features, offers done. The test is the host. */
static struct bench *connected(uint32_t features)
{
	struct bench *b = bench_new();

	b->off = 1;
	b->now = 1;
	b->cfg.features = features;
	b->cfg.reply_ms = REPLY_MS;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	accept(b, features);
	say(b, ALL_OFFERS, NULL, 0);
	bench_poll(b);
	(void)bench_until(b, VMB_EV_OFFERS_DONE);
	cr_assert_eq(bench_info(b).features, features);
	return b;
}

static void next_post_fails(struct bench *b, int status)
{
	b->fail_status = status;
	b->fail_at = b->attempts;
	b->fail_count = 1;
}

/* The held post has its time and its second try. */
static void again(struct bench *b)
{
	bench_poll(b);
	bench_wait(b, 1000);
}

static const uint64_t gpa[2] = { 0x10a000, 0x10b000 };

Test(guest_requests, one_at_a_time_and_only_on_a_connection)
{
	struct bench *b = bench_new();
	void *page[2] = { bench_page(b), bench_page(b) };

	cr_assert_eq(vmb_guest_pause(NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_resume(NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_monitor(NULL, gpa, page), VMB_EINVAL);
	b->cfg.features = 0x100;
	cr_assert_eq(vmb_guest_storage(&b->cfg, &(struct vmb_storage){ 0 }), VMB_EINVAL);
	b->cfg.features = 0;
	b->cfg.vtl = 16;
	cr_assert_eq(vmb_guest_storage(&b->cfg, &(struct vmb_storage){ 0 }), VMB_EINVAL);
	b->cfg.vtl = 0;
	b->cfg.features = FEATURES;
	bench_init(b);
	cr_assert_eq(vmb_guest_pause(b->g), VMB_ESTATE);
	cr_assert_eq(vmb_guest_resume(b->g), VMB_ESTATE);
	cr_assert_eq(vmb_guest_monitor(b->g, gpa, page), VMB_ESTATE);
	bench_free(b);

	b = connected(FEATURES);
	page[0] = bench_page(b);
	page[1] = bench_page(b);
	cr_assert_eq(vmb_guest_monitor(b->g, gpa, page), 0);
	cr_assert_eq(vmb_guest_monitor(b->g, gpa, page), VMB_ESTATE);
	cr_assert_eq(vmb_guest_pause(b->g), VMB_ESTATE);
	say(b, PAUSE_RESPONSE, NULL, 0); /* to nothing */
	bench_poll(b);
	bench_quiet(b);
	say(b, MODIFY_CONNECTION_RESPONSE, "connection_state", 0);
	cr_assert_eq(vmb_guest_monitor(b->g, gpa, page), VMB_ESTATE); /* each request has an event of its own */
	cr_assert_eq(vmb_guest_pause(b->g), VMB_ESTATE);
	bench_poll(b);
	(void)bench_expect(b, VMB_EV_MONITOR, 0);
	cr_assert_eq(bench_info(b).monitor_gpa[1], gpa[1]);
	say(b, MODIFY_CONNECTION_RESPONSE, "connection_state", 2); /* a second answer */
	bench_poll(b);
	bench_quiet(b);
	cr_assert_eq(bench_info(b).monitor_gpa[1], gpa[1]);
	cr_assert_eq(bench_info(b).late_answers, 2);
	bench_free(b);
}

/* Other pages that cannot be asked for, or are not answered: then none are used. */
Test(guest_requests, other_pages_come_to_nothing)
{
	for (unsigned i = 0; i < 3; i++) {
		struct bench *b = connected(FEATURES);
		void *page[2] = { bench_page(b), bench_page(b) };

		if (i == 0)
			next_post_fails(b, VMB_HV_INVALID_PARAMETER);
		cr_assert_eq(vmb_guest_monitor(b->g, gpa, page), 0);
		bench_poll(b);
		if (i == 1)
			say(b, MODIFY_CONNECTION_RESPONSE, "connection_state", 2);
		else if (i == 2)
			bench_wait(b, REPLY_MS);
		bench_poll(b);
		(void)bench_expect(b, VMB_EV_MONITOR, i == 0 ? VMB_EPLATFORM : i == 1 ? VMB_EREFUSED : VMB_ETIMEDOUT);
		cr_assert_eq(bench_info(b).monitor_gpa[1], 0);
		cr_assert_eq(vmb_guest_pause(b->g), 0, "the next request may come");
		bench_free(b);
	}
}

/* PAUSE that cannot be posted has not happened: nothing is quiet. */
Test(guest_requests, a_pause_that_cannot_be_told)
{
	struct bench *b = connected(FEATURES);

	next_post_fails(b, VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(vmb_guest_pause(b->g), 0);
	bench_poll(b);
	(void)bench_expect(b, VMB_EV_PAUSED, VMB_EPLATFORM);
	cr_assert_eq(bench_info(b).paused, 0);

	next_post_fails(b, VMB_HV_TIMEOUT); /* it may have arrived; the second try says that it cannot */
	cr_assert_eq(vmb_guest_pause(b->g), 0);
	cr_assert_eq(bench_info(b).paused, 1);
	next_post_fails(b, VMB_HV_INVALID_PARAMETER);
	again(b);
	(void)bench_expect(b, VMB_EV_PAUSED, VMB_EPLATFORM);
	cr_assert_eq(bench_info(b).paused, 0);

	cr_assert_eq(vmb_guest_pause(b->g), 0);
	say(b, PAUSE_RESPONSE, NULL, 0);
	bench_poll(b);
	(void)bench_expect(b, VMB_EV_PAUSED, 0);
	cr_assert_eq(bench_info(b).paused, 1);
	bench_free(b);
}

/* RESUME that cannot be posted: all stays quiet, and it may be asked for again. */
Test(guest_requests, a_resume_that_cannot_be_told)
{
	struct bench *b = connected(FEATURES);

	cr_assert_eq(vmb_guest_pause(b->g), 0);
	say(b, PAUSE_RESPONSE, NULL, 0);
	bench_poll(b);
	(void)bench_expect(b, VMB_EV_PAUSED, 0);
	next_post_fails(b, VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(vmb_guest_resume(b->g), 0);
	cr_assert_eq(bench_info(b).paused, 1);
	cr_assert_eq(vmb_guest_resume(b->g), 0);
	cr_assert_eq(bench_info(b).paused, 0);
	cr_assert_eq(bench_sent(b, RESUME), 1);
	cr_assert_eq(vmb_guest_resume(b->g), VMB_ESTATE);
	bench_free(b);
}

/* PAUSE is answered with one event, in time or not; only then may it end, and after that no clock runs any more. */
Test(guest_requests, a_pause_is_over_before_resume_and_its_clock_with_it)
{
	struct bench *b = connected(FEATURES);

	for (int answered = 0; answered < 2; answered++) {
		cr_assert_eq(vmb_guest_pause(b->g), 0);
		cr_assert_eq(vmb_guest_resume(b->g), VMB_ESTATE);
		bench_poll(b);
		if (answered)
			say(b, PAUSE_RESPONSE, NULL, 0);
		else
			bench_wait(b, REPLY_MS);
		bench_poll(b);
		(void)bench_expect(b, VMB_EV_PAUSED, answered ? 0 : VMB_ETIMEDOUT);
		cr_assert_eq(vmb_guest_resume(b->g), 0);
		bench_wait(b, REPLY_MS * 2);
		bench_quiet(b);
		cr_assert_eq(bench_info(b).state, VMB_BUS_RUNNING);
	}
	bench_free(b);
}

/* Who leaves says RESUME first. Where that can not be said, what is left to say is said all the same. */
Test(guest_requests, leaving_while_paused_ends_though_resume_fails)
{
	struct bench *b = connected(FEATURES);
	vmb_handle ch;

	bench_offer(b, 1, 0, 0);
	bench_poll(b);
	ch = bench_expect(b, VMB_EV_OFFER, 0)->ch;
	cr_assert_eq(vmb_guest_pause(b->g), 0);
	say(b, PAUSE_RESPONSE, NULL, 0);
	bench_poll(b);
	(void)bench_expect(b, VMB_EV_PAUSED, 0);
	cr_assert_eq(vmb_guest_release(b->g, ch), 0);
	cr_assert_eq(bench_sent(b, RELEASED), 0);
	next_post_fails(b, VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_wait(b, REPLY_MS / 2);
	cr_assert_eq(bench_info(b).paused, 0);
	cr_assert_eq(bench_sent(b, UNLOAD), 1);
	cr_assert_eq(bench_info(b).channels, 0);
	bench_free(b);
}

/* The hypervisor does not know whether PAUSE arrived, and before it is repeated it is answered: it is not repeated. control-plane.md 1.2 */
Test(guest_requests, an_answer_before_the_message_is_repeated)
{
	struct bench *b = connected(FEATURES);

	next_post_fails(b, VMB_HV_TIMEOUT);
	cr_assert_eq(vmb_guest_pause(b->g), 0);
	say(b, PAUSE_RESPONSE, NULL, 0);
	again(b);
	(void)bench_expect(b, VMB_EV_PAUSED, 0);
	cr_assert_eq(bench_sent(b, PAUSE), 0);
	cr_assert_eq(bench_info(b).paused, 1);
	bench_free(b);
}

/* The same of the offers: a repetition would be an error, and its failure no reason to say that there are none. control-plane.md 8.5 */
Test(guest_requests, all_is_offered_before_the_message_is_repeated)
{
	struct bench *b = bench_new();

	b->off = 1;
	b->now = 1;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	next_post_fails(b, VMB_HV_TIMEOUT);
	accept(b, 0);
	say(b, ALL_OFFERS, NULL, 0);
	again(b);
	(void)bench_until(b, VMB_EV_OFFERS_DONE);
	cr_assert_eq(bench_sent(b, REQUEST_OFFERS), 0);
	bench_free(b);
}

/* The next contact ends what could not be ended. Who leaves again before it was told so hears of the end of all, when that has come. */
Test(guest_requests, the_end_of_an_earlier_connection_is_not_that_of_this_one)
{
	struct bench *b = connected(0);

	next_post_fails(b, VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_poll(b);
	(void)bench_expect(b, VMB_EV_DISCONNECTED, VMB_EPLATFORM);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	accept(b, 0);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_poll(b);
	bench_quiet(b);
	say(b, UNLOAD_COMPLETE, NULL, 0);
	bench_poll(b);
	(void)bench_expect(b, VMB_EV_DISCONNECTED, 0);
	bench_quiet(b);
	bench_free(b);
}

/* The same of the end of a reserved channel that somebody has left open. */
Test(guest_requests, a_stranger_is_gone_before_the_message_is_repeated)
{
	struct bench *b = connected(FEATURES);

	next_post_fails(b, VMB_HV_TIMEOUT);
	cr_assert_eq(vmb_guest_close_reserved(b->g, 9, 0, 5), 0);
	say(b, CLOSE_RESERVED_RESPONSE, "channel_id", 9);
	again(b);
	(void)bench_expect(b, VMB_EV_CLOSED, 0);
	cr_assert_eq(bench_sent(b, CLOSE_RESERVED), 0);
	bench_free(b);
}

/* And of a connect to a socket, which the host refuses before it was heard of for certain. */
Test(guest_requests, a_connect_is_refused_before_the_message_is_repeated)
{
	struct bench *b = bench_new();
	struct vmb_hvsock place = { .service = { { 1, 2, 3 } }, .endpoint = { { 4, 5, 6 } } };
	uint8_t msg[VMB_MESSAGE_MAX];
	const struct vmb_event *ev;
	int len;

	b->now = 1;
	b->version = VMB_V5_3;
	b->cfg.max_hvsock = 2;
	b->cfg.reply_ms = REPLY_MS;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	(void)bench_until(b, VMB_EV_OFFERS_DONE);
	b->off = 1;
	next_post_fails(b, VMB_HV_TIMEOUT);
	cr_assert_eq(vmb_guest_hvsock(b->g, &place, 7), 0);
	len = vmb_message_init(msg, sizeof msg, TL_RESULT, VMB_V5_3, 0);
	memcpy(msg + 8, &place.endpoint, 16);
	memcpy(msg + 24, &place.service, 16);
	cr_assert_eq(vmb_message_set(msg, (uint32_t)len, VMB_V5_3, 0, "status", 0xc0000236u), 0);
	cr_assert_eq(vmb_guest_message(b->g, msg, (uint32_t)len), 0);
	again(b);
	ev = bench_expect(b, VMB_EV_HVSOCK, VMB_EREFUSED);
	cr_assert_eq(ev->user, 7);
	cr_assert_eq(bench_sent(b, 21), 0);
	bench_free(b);
}

/* And of the CLOSE of a reserved channel of one's own. */
Test(guest_requests, a_reserved_channel_is_closed_before_the_message_is_repeated)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_open open = { .size = sizeof open, .flags = VMB_OPEN_RESERVED, .tx_pages = 2, .rx_pages = 2, .target_sint = 5 };
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle;
	struct vmb_channel *ch;
	struct vmb_storage need;
	uint8_t *ring = aligned_alloc(VMB_PAGE, 4 * VMB_PAGE);
	uint32_t gpadl;
	void *mem;

	b->off = 1;
	b->now = 1;
	cfg.ring_pages = 4;
	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	mem = aligned_alloc(need.align, need.bytes);
	open.ring = ring;
	open.ring_gpa = 0x100000;
	b->read = b->posted;
	cr_assert_eq(vmb_guest_open(b->g, h, mem, need.bytes, &cfg, &open, &ch), 0);
	gpadl = bench_number(bench_posted(b, GPADL_HEADER), b, "gpadl_id");
	say(b, GPADL_CREATED, "channel_id", 5); /* of the list 0: none */
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)gpadl, "status", 0ull, NULL);
	bench_say(b, OPEN_RESULT, "channel_id", 5ull, "open_id", 0ull, "status", 0ull, NULL);
	bench_poll(b);
	(void)bench_expect(b, VMB_EV_OPENED, 0);
	next_post_fails(b, VMB_HV_TIMEOUT);
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	bench_say(b, CLOSE_RESERVED_RESPONSE, "channel_id", 5ull, NULL);
	again(b);
	cr_assert_eq(bench_sent(b, CLOSE_RESERVED), 0);
	cr_assert_eq(bench_sent(b, GPADL_TEARDOWN), 1);
	bench_say(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)gpadl, NULL);
	bench_poll(b);
	(void)bench_expect(b, VMB_EV_CLOSED, 0);
	bench_free(b);
	free(mem);
	free(ring);
}
