/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* States of a guest end that come seldom: monitor pages, sockets, offers that are declined, other people's channels, and posts that may have
 * arrived. control-plane.md 14, 18 */
#include <stdlib.h>
#include <string.h>

#include "guestbench.h"
#include "saved.h"

enum { CONNECTION = 1, SLOTS, CONNECT, CHANNEL, LIST, QUEUED, EVENT, STATISTICS };
enum { CLOSE_RESERVED = 19, CLOSE_RESERVED_RESPONSE = 20 };
enum { STATE_AT = 8 + 36, CHANNEL_STATE_AT = 8 + 60, CHANNEL_FLAGS_AT = 8 + 64, SOCKET_AT = 8 + 120 };

static struct saved blob, bad;

static void save(struct bench *b)
{
	cr_assert_eq(vmb_guest_save(b->g, 0, blob.bytes, sizeof blob.bytes, &blob.n), 0);
	bench_free(b);
}

static int restore(struct bench *b)
{
	b->off = 1;
	return vmb_guest_restore(b->g, blob.bytes, blob.n, 0);
}

/* One word of it is another. */
static int restore_with(struct bench *b, uint32_t type, uint32_t index, size_t at, uint32_t value)
{
	bad = blob;
	saved_put(&bad, saved_find(&bad, type, index) + at, value);
	saved_fix(&bad);
	b->off = 1;
	return vmb_guest_restore(b->g, bad.bytes, bad.n, 0);
}

static void config(struct bench *b)
{
	b->cfg.max_channels = 4;
	b->cfg.max_gpadls = 4;
	b->cfg.max_hvsock = 2;
	b->cfg.reply_ms = 1000;
	b->now = 1;
}

static struct bench *fresh(void)
{
	struct bench *b = bench_new();

	config(b);
	bench_init(b);
	b->negotiated = VMB_V5_3;
	return b;
}

static struct bench *connected(void)
{
	struct bench *b = fresh();

	b->version = VMB_V5_3;
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_until(b, VMB_EV_OFFERS_DONE);
	return b;
}

static struct bench *restored(void)
{
	struct bench *b = fresh();

	cr_assert_eq(restore(b), 0);
	return b;
}

static vmb_handle offered(struct bench *b, uint32_t id)
{
	bench_offer(b, id, id, 0);
	bench_run(b);
	return bench_expect(b, VMB_EV_OFFER, 0)->ch;
}

static void posts_fail(struct bench *b, int status, uint32_t count)
{
	b->fail_at = b->attempts;
	b->fail_count = count;
	b->fail_status = status;
}

/* ---- monitor pages */

Test(guest_save_states, its_own_monitor_pages)
{
	struct bench *b = bench_new();

	config(b);
	bench_old_pages(b);
	bench_init(b);
	b->version = VMB_V5_3;
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_until(b, VMB_EV_OFFERS_DONE);
	(void)offered(b, 1);
	save(b);
	b = bench_new();
	config(b);
	bench_old_pages(b);
	b->cfg.monitor_gpa[1] += VMB_PAGE;
	bench_init(b);
	cr_assert_eq(restore(b), VMB_EINVAL);
	bench_free(b);
	b = bench_new();
	config(b);
	bench_old_pages(b);
	bench_init(b);
	cr_assert_eq(restore_with(b, CONNECTION, 0, 8 + 20, 0x10a008), VMB_EINVAL);
	cr_assert_eq(restore(b), 0);
	cr_assert_eq(bench_info(b).monitor_gpa[1], 0x10b000);
	bench_free(b);
}

static int monitor_result;
static uint64_t monitor_asked;
static uint8_t servers[VMB_PAGE] __attribute__((aligned(VMB_PAGE)));

static int monitor(void *ctx, const uint64_t gpa[2], void *page[2])
{
	(void)ctx;
	monitor_asked = gpa[1];
	page[1] = monitor_result == 1 ? NULL : servers;
	return monitor_result < 0 ? monitor_result : 0;
}

static struct bench *with_servers_pages(void)
{
	struct bench *b = bench_new();

	config(b);
	b->cfg.features = VMB_FEATURE_SERVER_MONITOR;
	b->cfg.monitor = monitor;
	bench_init(b);
	b->negotiated = VMB_V6_0;
	b->off = 1;
	return b;
}

Test(guest_save_states, the_servers_monitor_pages)
{
	struct bench *b = with_servers_pages();
	uint8_t msg[40] = { VERSION_RESPONSE, [8] = 1, [12] = 1, [16] = VMB_FEATURE_SERVER_MONITOR, [33] = 0x70, [34] = 7 };

	cr_assert_eq(vmb_guest_connect(b->g), 0);
	cr_assert_eq(vmb_guest_message(b->g, msg, sizeof msg), 0);
	cr_assert_eq(bench_info(b).monitor_gpa[1], 0x77000);
	save(b);
	b = with_servers_pages();
	for (monitor_result = -1; monitor_result <= 1; monitor_result += 2)
		cr_assert_eq(restore(b), VMB_EMAP);
	monitor_result = 0;
	cr_assert_eq(restore_with(b, CONNECTION, 0, 8 + 20, 0x78000), 0); /* the other one is for nobody */
	bench_free(b);
	b = with_servers_pages();
	cr_assert_eq(restore_with(b, CONNECTION, 0, 8 + 28, 0), 0); /* there are none: signals are hypercalls */
	bench_free(b);
	b = with_servers_pages();
	bad = blob;
	saved_put(&bad, saved_find(&bad, CONNECTION, 0) + 8 + 20, 0x78000);
	saved_put(&bad, saved_find(&bad, CONNECTION, 0) + 8 + 28, 0);
	saved_fix(&bad);
	cr_assert_eq(vmb_guest_restore(b->g, bad.bytes, bad.n, 0), VMB_EINVAL);
	monitor_asked = 0;
	cr_assert_eq(restore(b), 0);
	cr_assert_eq(monitor_asked, 0x77000);
	bench_free(b);
}

/* ---- a channel that nobody has heard of */

Test(guest_save_states, an_offer_that_came_and_went)
{
	struct bench *b = connected();

	bench_offer(b, 3, 3, 0);
	bench_answer(b);
	save(b);
	b = fresh();
	cr_assert_eq(restore_with(b, CHANNEL, 0, CHANNEL_FLAGS_AT, 4), VMB_EINVAL); /* rescinded, and still to be told of */
	cr_assert_eq(restore(b), 0);
	posts_fail(b, VMB_HV_NO_BUFFERS, UINT32_MAX / 2);
	bench_say(b, RESCIND, "channel_id", 3ull, NULL);
	bench_answer(b);
	save(b); /* its id is not given back yet */
	b = restored();
	bench_run(b);
	bench_quiet(b);
	cr_assert_eq(bench_sent(b, RELEASED), 1);
	cr_assert_eq(bench_info(b).channels, 0);
	bench_free(b);
}

/* ---- a channel that somebody has left open */

Test(guest_save_states, a_stranger_that_is_being_closed)
{
	struct bench *b = connected();

	b->off = 1;
	cr_assert_eq(vmb_guest_close_reserved(b->g, 9, 0, 5), 0);
	cr_assert_eq(bench_sent(b, CLOSE_RESERVED), 1);
	save(b);
	b = fresh();
	cr_assert_eq(restore_with(b, CONNECTION, 0, STATE_AT + 4 * 14, 16), VMB_EINVAL); /* SINT */
	cr_assert_eq(restore(b), 0);
	bench_poll(b);
	bench_quiet(b);
	cr_assert_eq(bench_sent(b, CLOSE_RESERVED), 0);
	cr_assert_eq(vmb_guest_close_reserved(b->g, 8, 0, 5), VMB_ESTATE);
	bench_say(b, CLOSE_RESERVED_RESPONSE, "channel_id", 9ull, NULL);
	bench_answer(b);
	save(b); /* now its event waits */
	b = restored();
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_CLOSED, 0)->ch, 0);
	bench_free(b);
}

Test(guest_save_states, a_stranger_that_nobody_answers_for)
{
	struct bench *b = connected();

	posts_fail(b, VMB_HV_NO_BUFFERS, UINT32_MAX / 2);
	cr_assert_eq(vmb_guest_close_reserved(b->g, 9, 0, 5), 0);
	save(b); /* it stands in the queue */
	b = restored();
	cr_assert_eq(bench_sent(b, CLOSE_RESERVED), 1);
	bench_poll(b);
	bench_wait(b, 1000);
	bench_expect(b, VMB_EV_CLOSED, VMB_ETIMEDOUT);
	bench_free(b);
}

/* ---- offers */

Test(guest_save_states, offers_that_are_declined)
{
	struct bench *b = connected();

	for (uint32_t id = 1; id <= 4; id++)
		(void)offered(b, id);
	posts_fail(b, VMB_HV_NO_BUFFERS, UINT32_MAX / 2);
	bench_offer(b, 5, 5, 0);
	bench_offer(b, 6, 6, 0);
	bench_answer(b);
	save(b);
	b = fresh();
	cr_assert_eq(restore_with(b, QUEUED, 0, 8 + 4, 1), VMB_EINVAL); /* there is one decliner */
	cr_assert_eq(restore_with(b, QUEUED, 0, 8, 9), VMB_EINVAL); /* a kind that is none */
	cr_assert_eq(restore(b), 0);
	cr_assert_eq(bench_sent(b, RELEASED), 2);
	bench_free(b);
}

/* Taken back before its event was given out: what it had to say in the queue has lost its sense. */
Test(guest_save_states, a_message_that_has_lost_its_sense)
{
	struct bench *b = connected();
	vmb_handle h = offered(b, 1);

	posts_fail(b, VMB_HV_NO_BUFFERS, UINT32_MAX / 2);
	cr_assert_eq(bench_open(b, h, 1), 0);
	bench_rescind(b, 1);
	bench_answer(b);
	save(b);
	cr_assert_eq(saved_find(&blob, QUEUED, 0), 0);
	bench_free(restored());
}

Test(guest_save_states, as_many_handles_are_gone_as_there_can_be)
{
	struct bench *b = connected();
	vmb_handle h[5];
	size_t at;

	for (uint32_t id = 1; id <= 4; id++)
		h[id] = offered(b, id);
	for (uint32_t id = 1; id <= 4; id++)
		cr_assert_eq(vmb_guest_release(b->g, h[id]), 0);
	save(b);
	b = fresh();
	cr_assert_eq(restore_with(b, EVENT, 0, 8 + 8, 2), VMB_EINVAL); /* no such mark */
	cr_assert_eq(restore_with(b, EVENT, 0, 8, 2), VMB_EINVAL); /* the decliner has nothing to tell */
	cr_assert_eq(restore_with(b, EVENT, 0, 8 + 4, h[1] + (1u << 11)), VMB_EINVAL); /* a handle that never was */
	at = saved_find(&blob, EVENT, 0);
	bad = blob; /* one of them twice, so that there are five */
	memcpy(bad.bytes + at + 24, blob.bytes + at, blob.n - at);
	bad.n += 24;
	saved_put(&bad, 24, saved_get(&bad, 24) + 1);
	saved_fix(&bad);
	cr_assert_eq(vmb_guest_restore(b->g, bad.bytes, bad.n, 0), VMB_ENOSPACE);
	cr_assert_eq(restore(b), 0);
	bench_poll(b);
	for (uint32_t id = 1; id <= 4; id++)
		cr_assert_eq(bench_expect(b, VMB_EV_GONE, 0)->ch, h[id]);
	cr_assert_neq(offered(b, 7), h[1]);
	bench_free(b);
}

static void socket_offer(struct bench *b, const struct vmb_hvsock *s, uint32_t id)
{
	uint8_t msg[196];
	struct vmb_offer o = { .size = sizeof o };

	cr_assert_eq(vmb_hvsock_offer(s, &o), 0);
	cr_assert_eq(vmb_message_init(msg, sizeof msg, OFFER, VMB_V5_3, 0), 196);
	cr_assert_eq(vmb_message_set(msg, sizeof msg, VMB_V5_3, 0, "channel_id", id), 0);
	cr_assert_eq(vmb_message_set(msg, sizeof msg, VMB_V5_3, 0, "flags", o.flags), 0);
	memcpy(msg + 8, &o.class_id, 16);
	memcpy(msg + 24, &o.instance, 16);
	memcpy(msg + 64, o.user_defined, 120);
	cr_assert_eq(vmb_guest_message(b->g, msg, sizeof msg), 0);
}

Test(guest_save_states, sockets_that_are_offered)
{
	struct vmb_hvsock place[2] = { { .endpoint = { { 4 } }, .service = { { 5 } } }, { .endpoint = { { 6 } }, .service = { { 5 } } } };
	struct bench *b = connected();

	b->off = 1;
	for (uint32_t n = 0; n < 2; n++) {
		cr_assert_eq(vmb_guest_hvsock(b->g, &place[n], 7 + n), 0);
		socket_offer(b, &place[n], 3 - n);
	}
	save(b);
	b = fresh();
	cr_assert_eq(restore_with(b, CONNECT, 0, 8 + 56, 2), VMB_EINVAL); /* it waits for nothing, and a channel says that it is its answer */
	cr_assert_eq(restore_with(b, CONNECT, 0, 8 + 16, 0), VMB_EINVAL); /* no service */
	cr_assert_eq(restore_with(b, CHANNEL, 1, SOCKET_AT, 1), VMB_EINVAL); /* two answers to one */
	cr_assert_eq(restore_with(b, CHANNEL, 1, SOCKET_AT, 0), VMB_EINVAL); /* no answer to the other */
	cr_assert_eq(restore(b), 0);
	bench_poll(b);
	for (uint32_t n = 0; n < 2; n++)
		cr_assert_eq(bench_expect(b, VMB_EV_HVSOCK, 0)->user, 7 + n);
	bench_free(b);
}

/* ---- posts that may have arrived */

static void not_now(struct bench *b)
{
	cr_assert_eq(vmb_guest_save(b->g, 0, NULL, 0, &blob.n), VMB_ESTATE);
	bench_run(b);
	cr_assert_eq(vmb_guest_save(b->g, 0, NULL, 0, &blob.n), 0);
}

Test(guest_save_states, not_while_a_message_may_have_arrived)
{
	struct bench *b = connected();
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 5 };
	struct vmb_list list = { words, 2, 1 };
	vmb_handle h = offered(b, 1);
	uint32_t gpadl;

	posts_fail(b, VMB_HV_TIMEOUT, 1);
	cr_assert_eq(vmb_guest_gpadl_create(b->g, h, &list, &gpadl), 0);
	not_now(b);
	b->fail_types = BIT(OPEN);
	b->attempts = 0;
	posts_fail(b, VMB_HV_TIMEOUT, 1);
	cr_assert_eq(bench_open(b, h, 1), 0);
	bench_answer(b);
	not_now(b);
	b->fail_types = 0;
	posts_fail(b, VMB_HV_TIMEOUT, 1);
	cr_assert_eq(vmb_guest_target(b->g, h, 3), 0);
	not_now(b);
	bench_free(b);
}

/* ---- what does not fit together */

/* Closed, and nothing says so: a blob with as many changes as that takes. */
Test(guest_save_states, closed_and_not_told)
{
	struct bench *b = connected();
	size_t at;

	(void)bench_opened(b, offered(b, 1), 1);
	save(b);
	at = saved_find(&blob, CHANNEL, 0);
	memset(blob.bytes + at + 8 + 8, 0, 24); /* cursors */
	saved_put(&blob, at + CHANNEL_STATE_AT, 6);
	saved_put(&blob, at + CHANNEL_FLAGS_AT, 1);
	saved_fix(&blob);
	b = fresh();
	cr_assert_eq(restore(b), VMB_EINVAL);
	bad = blob;
	at = saved_find(&blob, STATISTICS, 0);
	memcpy(bad.bytes + at + 24, blob.bytes + at, blob.n - at);
	memset(bad.bytes + at, 0, 24);
	bad.n += 24;
	saved_put(&bad, at, EVENT);
	saved_put(&bad, at + 4, 12);
	saved_put(&bad, at + 8, 4);
	saved_put(&bad, at + 12, 1);
	saved_put(&bad, at + 16, 0x10);
	saved_put(&bad, 24, saved_get(&bad, 24) + 1);
	saved_fix(&bad);
	cr_assert_eq(vmb_guest_restore(b->g, bad.bytes, bad.n, 0), 0); /* now it is */
	bench_free(b);
}

/* Save, and make the first channel, which is open, a reserved one that has outlived its connection. */
static void save_kept(struct bench *b)
{
	size_t at;

	save(b);
	at = saved_find(&blob, CONNECTION, 0);
	saved_put(&blob, at + STATE_AT, VMB_BUS_NONE);
	saved_put(&blob, at + STATE_AT + 4, 0);
	at = saved_find(&blob, CHANNEL, 0);
	saved_put(&blob, at + CHANNEL_FLAGS_AT, saved_get(&blob, at + CHANNEL_FLAGS_AT) | 0x18000);
	saved_fix(&blob);
}

/* Open as a reserved channel, which has outlived its connection: then nothing waits for an answer. control-plane.md 10.5 */
Test(guest_save_states, kept_without_a_connection)
{
	struct bench *b = connected();

	(void)bench_opened(b, offered(b, 1), 1);
	save_kept(b);
	b = fresh();
	cr_assert_eq(restore_with(b, LIST, 0, 8 + 8, 2), VMB_EINVAL);
	cr_assert_eq(restore(b), 0);
	cr_assert_eq(bench_info(b).attached, 1);
	cr_assert_eq(vmb_guest_end(b->g), VMB_ESTATE);
	bench_free(b);
}

/* Its owner gives up a list of such a channel, and no host has answered yet. */
Test(guest_save_states, kept_with_a_list_that_goes)
{
	uint64_t words[] = { VMB_RANGE(VMB_PAGE, 0), 0x123 };
	struct vmb_list list = { words, 2, 1 };
	struct bench *b = connected();
	vmb_handle h = offered(b, 1);
	uint32_t gpadl;

	cr_assert_eq(vmb_guest_gpadl_create(b->g, h, &list, &gpadl), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, 0);
	(void)bench_opened(b, h, 1);
	save_kept(b);
	b = fresh();
	b->off = 1;
	cr_assert_eq(restore_with(b, LIST, 0, 8 + 8, 2), VMB_EINVAL); /* announced, and to whom? */
	cr_assert_eq(restore(b), 0);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, gpadl), 0);
	save(b);
	b = fresh();
	b->off = 1;
	cr_assert_eq(restore(b), 0);
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_OFFER, 0)->ch, h);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, gpadl), VMB_ENOENT); /* that was said */
	bench_free(b);
}

/* Reserved channels came with 4.0. */
Test(guest_save_states, reserved_before_there_was_that)
{
	struct bench *b = connected();
	size_t at;

	(void)bench_opened(b, offered(b, 1), 1);
	save(b);
	at = saved_find(&blob, CHANNEL, 0);
	saved_put(&blob, at + CHANNEL_FLAGS_AT, saved_get(&blob, at + CHANNEL_FLAGS_AT) | 0x8000);
	saved_fix(&blob);
	b = fresh();
	cr_assert_eq(restore_with(b, CONNECTION, 0, STATE_AT + 4, VMB_V3_0), VMB_EINVAL);
	cr_assert_eq(restore(b), 0);
	bench_free(b);
}

Test(guest_save_states, what_does_not_fit_together)
{
	static const struct { uint32_t type, at, value; } wrong[] = {
		{ CONNECTION, STATE_AT, 7 },            /* a state that is none */
		{ CONNECTION, STATE_AT + 16, 1 },       /* redirected, and connected */
		{ CONNECTION, STATE_AT + 8, 0 },        /* connected, and by no connection */
		{ CONNECTION, STATE_AT + 24, 27 },      /* PAUSE is not answered, which this connection has not */
		{ CONNECTION, STATE_AT + 32, 1 },       /* an answer is due */
		{ SLOTS, 8, 0 },                        /* no generation */
		{ CHANNEL, 8, 2 },                      /* beyond all slots */
		{ CHANNEL, 8 + 32, 0 },                 /* no id */
		{ CHANNEL, CHANNEL_STATE_AT, 7 },       /* a state that is none */
		{ CHANNEL, CHANNEL_STATE_AT, 0 },       /* idle, and its owner has an object */
		{ CHANNEL, CHANNEL_FLAGS_AT, 0x10091 }, /* kept, and not reserved */
		{ CHANNEL, CHANNEL_FLAGS_AT, 0x11 },    /* open, and not at the host */
		{ CHANNEL, CHANNEL_FLAGS_AT, 0x200b1 }, /* its CLOSE is not answered, and it is not reserved */
		{ CHANNEL, CHANNEL_FLAGS_AT, 0x95 },    /* rescinded, and its owner need not stop */
		{ CHANNEL, CHANNEL_FLAGS_AT, 0x9d },    /* rescinded, and open at the host */
		{ LIST, 8 + 8, 6 },                     /* settled, and not told to be so */
		{ LIST, 8 + 8, 3 | 8 },                 /* a state that is none */
		{ LIST, 8 + 8, 4 },                     /* torn down, and nobody wants that */
		{ LIST, 8 + 12, 2 | 8 | 64 },           /* alive, told to be gone, and no ring's */
		{ LIST, 8 + 12, 1 | 8 },                /* its end is told, and it was never asked for */
		{ LIST, 8 + 40, 0 },                    /* an open channel without a ring */
	};
	struct bench *b = connected();

	(void)bench_opened(b, offered(b, 1), 1);
	save(b);
	b = fresh();
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		cr_assert_eq(restore_with(b, wrong[i].type, 0, wrong[i].at, wrong[i].value), VMB_EINVAL, "number %zu", i);
	saved_resize(&bad, &blob, SLOTS, 8192);
	cr_assert_eq(vmb_guest_restore(b->g, bad.bytes, bad.n, 0), VMB_EINVAL); /* more slots than there are ids */
	bad = blob;
	bad.n = saved_find(&bad, SLOTS, 0);
	saved_put(&bad, 24, 1);
	saved_fix(&bad);
	cr_assert_eq(vmb_guest_restore(b->g, bad.bytes, bad.n, 0), VMB_EINVAL); /* a connection alone */
	cr_assert_eq(restore(b), 0);
	bench_free(b);
}

/* Refused, and the end is as it was. */
static void refused(struct bench *b, int result)
{
	cr_assert_eq(result, VMB_EINVAL);
	cr_assert_eq(bench_info(b).state, VMB_BUS_NONE);
	cr_assert_eq(bench_info(b).channels, 0);
	cr_assert_eq(bench_info(b).gpadls, 0);
	cr_assert_eq(bench_info(b).queued, 0);
	bench_quiet(b);
}

/* Its last event waits or was told, so it is torn down, or it was never there; or it is a ring that has leaked. gpadl.md 4 */
Test(guest_save_states, a_list_that_is_over_and_there)
{
	struct bench *b = connected();
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 5 };
	struct vmb_list list = { words, 2, 1 };
	uint32_t gpadl;

	cr_assert_eq(vmb_guest_gpadl_create(b->g, offered(b, 1), &list, &gpadl), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, 0);
	save(b);
	b = fresh();
	refused(b, restore_with(b, LIST, 0, 8 + 12, 2 | 8));
	refused(b, restore_with(b, LIST, 0, 8 + 12, 2 | 8 | 64));
	cr_assert_eq(restore(b), 0);
	cr_assert_eq(bench_info(b).gpadls, 1);
	bench_free(b);
}

/* The one that declines offers has messages, and no events. */
Test(guest_save_states, an_event_of_nobody)
{
	struct bench *b = connected();
	vmb_handle h = offered(b, 1);

	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	save(b);
	saved_put(&blob, saved_find(&blob, EVENT, 0) + 8 + 4, 0);
	b = fresh();
	refused(b, restore_with(b, EVENT, 0, 8, 2));
	saved_put(&blob, saved_find(&blob, EVENT, 0) + 8 + 4, h);
	saved_fix(&blob);
	cr_assert_eq(restore(b), 0);
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GONE, 0)->ch, h);
	bench_free(b);
}

Test(guest_save_states, what_was_open_and_cannot_be_made)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 4 };
	struct vmb_open open = { .size = sizeof open, .tx_pages = 1, .rx_pages = BENCH_PAGES - 1, .ring_gpa = BENCH_GPA(1) };
	struct bench *b = connected();
	vmb_handle h = offered(b, 1);
	struct bench_open *o = bench_opened(b, h, 1);
	size_t bytes = o->bytes;

	save(b);
	b = restored();
	bench_poll(b);
	cr_assert(bench_expect(b, VMB_EV_OFFER, 0)->flags & VMB_EVF_OPEN);
	o = &b->open[1];
	o->mem = aligned_alloc(64, bytes);
	o->ring = aligned_alloc(VMB_PAGE, (size_t)BENCH_PAGES * VMB_PAGE);
	open.ring = o->ring;
	cr_assert_eq(vmb_guest_open(b->g, h, o->mem, bytes, &cfg, &open, &o->ch), VMB_EINVAL); /* no ring has one page */
	o->bytes = 64;
	cr_assert_eq(bench_open(b, h, 1), VMB_ENOSPACE);
	bench_poll(b);
	bench_quiet(b);
	o->bytes = bytes;
	b->dirt = 0xff;
	cr_assert_eq(bench_open(b, h, 1), VMB_EPEER); /* indices that cannot be */
	cr_assert_null(o->ch);
	b->dirt = 0;
	cr_assert_eq(bench_open(b, h, 1), 0);
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_OPENED, 0)->ch, h);
	bench_free(b);
}
