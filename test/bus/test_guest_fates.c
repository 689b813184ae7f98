/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What becomes of each message, as a watcher of the guest end is told and as it is counted. control-plane.md 19, 1.2 */
#include "guestbench.h"

#include <string.h>

static struct vmb_trace in, out;

static void told(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	if (t->point == VMB_TRACE_MESSAGE_IN)
		in = *t;
	else if (t->point == VMB_TRACE_MESSAGE_OUT)
		out = *t;
}

static struct bench *make(uint32_t version, uint32_t channels)
{
	struct bench *b = bench_new();

	b->cfg.max_channels = channels;
	b->cfg.trace = told;
	b->version = version;
	bench_init(b);
	return b;
}

static struct bench *connected(uint32_t version, uint32_t channels)
{
	struct bench *b = make(version, channels);

	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	return b;
}

/* Give it this message: it has this fate, which alone is counted. */
static void fate_at(int line, struct bench *b, const struct bench_message *m, uint32_t fate)
{
	struct vmb_bus_info before = bench_info(b), now;
	int dropped = fate >= VMB_FATE_MALFORMED && fate <= VMB_FATE_VALUE;

	bench_feed(b, m);
	now = bench_info(b);
	cr_assert_eq(in.c, fate, "line %d: %s, not %s", line, vmb_name(VMB_NAMES_FATE, in.c), vmb_name(VMB_NAMES_FATE, fate));
	for (unsigned f = 0; f < 16; f++)
		cr_assert_eq(now.fate[f] - before.fate[f], f == fate, "line %d", line);
	cr_assert_eq(now.dropped - before.dropped, (unsigned)dropped, "line %d", line);
	cr_assert_eq(now.late_answers - before.late_answers, fate == VMB_FATE_LATE, "line %d", line);
	cr_assert_eq(now.messages_in - before.messages_in, 1, "line %d", line);
}

#define FATE(fate, ...) \
	do { \
		struct bench_message made; \
		bench_make(b, &made, __VA_ARGS__, NULL); \
		fate_at(__LINE__, b, &made, fate); \
	} while (0)

Test(guest_fates, by_form)
{
	struct bench *b = connected(VMB_V4_1, 4);
	struct bench_message m = { .len = 8, .bytes = { 99 } };

	fate_at(__LINE__, b, &m, VMB_FATE_MALFORMED);
	cr_assert_eq(in.a, 99u);
	m = (struct bench_message){ .len = 11, .bytes = { RESCIND } };
	fate_at(__LINE__, b, &m, VMB_FATE_MALFORMED);
	m = (struct bench_message){ .len = 3, .bytes = { RESCIND } };
	fate_at(__LINE__, b, &m, VMB_FATE_MALFORMED);
	cr_assert_eq(in.a, 0u);
	m = (struct bench_message){ .len = 16, .bytes = { MODIFY_RESPONSE } }; /* from 5.3 on */
	fate_at(__LINE__, b, &m, VMB_FATE_VERSION);
	m = (struct bench_message){ .len = 12, .bytes = { CLOSE } };
	fate_at(__LINE__, b, &m, VMB_FATE_DIRECTION);
	bench_free(b);
}

Test(guest_fates, by_state)
{
	struct bench *b = make(VMB_V5_3, 4);
	struct bench_message m = { .len = 12, .bytes = { RESCIND, 0, 0, 0, 0, 0, 0, 0, 5 } };

	fate_at(__LINE__, b, &m, VMB_FATE_STATE);
	bench_free(b);
	b = connected(VMB_V5_3, 4);
	fate_at(__LINE__, b, &m, VMB_FATE_UNKNOWN);
	cr_assert_eq(in.channel, 5u);
	cr_assert_eq(in.d, (uint32_t)VMB_BUS_RUNNING);
	FATE(VMB_FATE_STATE, ALL_OFFERS);
	FATE(VMB_FATE_STATE, UNLOAD_COMPLETE);
	FATE(VMB_FATE_LATE, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", 7ull);
	cr_assert(in.channel == 5 && in.gpadl == 7);
	FATE(VMB_FATE_LATE, GPADL_TORNDOWN, "gpadl_id", 7ull);
	FATE(VMB_FATE_LATE, OPEN_RESULT, "channel_id", 5ull);
	bench_free(b);
}

Test(guest_fates, of_offers)
{
	struct bench *b = connected(VMB_V5_3, 1);
	struct bench_message m;

	bench_make(b, &m, OFFER, "channel_id", 0ull, NULL);
	fate_at(__LINE__, b, &m, VMB_FATE_VALUE);
	bench_make(b, &m, OFFER, "channel_id", 5ull, NULL);
	fate_at(__LINE__, b, &m, VMB_FATE_TAKEN);
	fate_at(__LINE__, b, &m, VMB_FATE_VALUE); /* it is there already */
	bench_make(b, &m, OFFER, "channel_id", 6ull, NULL);
	m.bytes[24] = 1; /* another device */
	b->off = 1;
	fate_at(__LINE__, b, &m, VMB_FATE_QUOTA);
	cr_assert_eq(bench_info(b).refused_quota, 1);
	bench_free(b);
}

/* ---- on their way out */

Test(guest_fates, busy_and_failed_posts)
{
	struct bench *b = make(VMB_V5_3, 4);

	b->now = 1;
	b->fail_at = 0;
	b->fail_count = 2;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	cr_assert(out.a == CONTACT && out.c == VMB_FATE_AGAIN && out.d == VMB_HV_NO_BUFFERS);
	cr_assert_eq(bench_info(b).queued, 1);
	cr_assert_eq(bench_info(b).queued_most, 1);
	bench_run(b);
	cr_assert_eq(bench_info(b).post_retries, 2);
	cr_assert_eq(bench_info(b).post_failed, 0);
	bench_free(b);

	b = make(VMB_V5_3, 4);
	b->fail_at = 0;
	b->fail_count = 1;
	b->fail_status = VMB_HV_INVALID_PARAMETER;
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	cr_assert(out.a == CONTACT && out.c == VMB_FATE_LOST && out.d == VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(bench_info(b).post_failed, 1);
	cr_assert_eq(bench_info(b).messages_out, 0);
	bench_free(b);
}
