/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What becomes of each message, as a watcher of the host end is told and as it is counted. control-plane.md 17, 20 */
#include "hostbench.h"

#include <criterion/criterion.h>
#include <string.h>

static struct vmb_trace in, out;
static unsigned told_in, told_out;

static void told(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	if (t->point == VMB_TRACE_MESSAGE_IN) {
		in = *t;
		told_in++;
	} else if (t->point == VMB_TRACE_MESSAGE_OUT) {
		out = *t;
		told_out++;
	}
}

static void make(struct vmb_host_config cfg)
{
	cfg.vps = 8;
	cfg.trace = told;
	hb_new(&cfg, 0xa5);
	told_in = told_out = 0;
}

/* The message that came last had this fate, and is the only one counted there since `before`. */
static void fate_at(int line, const struct vmb_bus_info *before, uint32_t fate, int dropped)
{
	struct vmb_bus_info now = hb_info();

	cr_assert_eq(in.c, fate, "line %d: %s, not %s", line, vmb_name(VMB_NAMES_FATE, in.c), vmb_name(VMB_NAMES_FATE, fate));
	for (unsigned f = 0; f < 16; f++)
		cr_assert_eq(now.fate[f] - before->fate[f], f == fate, "line %d: %s", line, vmb_name(VMB_NAMES_FATE, f));
	cr_assert_eq(now.dropped - before->dropped, (unsigned)dropped, "line %d", line);
	cr_assert_eq(now.messages_in - before->messages_in, fate != VMB_FATE_AGAIN, "line %d", line);
}

/* Post it, which gives this status, and judge. */
static void fate_of(int line, const void *msg, uint32_t len, int status, uint32_t fate)
{
	struct vmb_bus_info before = hb_info();
	uint32_t state = before.state;

	cr_assert_eq(hb_post(1, msg, len), status, "line %d", line);
	fate_at(line, &before, fate, fate >= VMB_FATE_MALFORMED && fate <= VMB_FATE_VALUE);
	cr_assert_eq(in.b, len, "line %d", line);
	cr_assert_eq(in.d, state, "line %d", line);
}
#define FATE(fate, ...) \
	do { \
		const uint32_t words[] = { __VA_ARGS__ }; \
		uint8_t msg[sizeof words]; \
		for (unsigned i = 0; i < sizeof words / 4; i++) \
			put32(msg + 4 * i, words[i]); \
		fate_of(__LINE__, msg, sizeof msg, 0, fate); \
	} while (0)

Test(host_fates, by_form)
{
	make((struct vmb_host_config){ 0 });
	hb_offer(1);
	hb_connect(VMB_V4_0);
	FATE(VMB_FATE_MALFORMED, 99, 0);
	cr_assert_eq(in.a, 99u);
	FATE(VMB_FATE_MALFORMED, 0, 0);
	FATE(VMB_FATE_MALFORMED, 7, 0);
	cr_assert_eq(in.a, 7u);
	fate_of(__LINE__, "\7", 1, 0, VMB_FATE_MALFORMED);
	cr_assert_eq(in.a, 0u, "no type");
	fate_of(__LINE__, "", 0, 0, VMB_FATE_MALFORMED);
	FATE(VMB_FATE_VERSION, 22, 0, 1, 0); /* from 4.1 on */
	cr_assert_eq(in.channel, 1u);
	FATE(VMB_FATE_DIRECTION, 2, 0, 1);
	FATE(VMB_FATE_DIRECTION, 4, 0);
}

Test(host_fates, by_state)
{
	make((struct vmb_host_config){ 0 });
	FATE(VMB_FATE_STATE, 3, 0);
	FATE(VMB_FATE_STATE, 16, 0);
	hb_offer(1);
	hb_connect(VMB_V5_3);
	FATE(VMB_FATE_STATE, 3, 0);
	FATE(VMB_FATE_STATE, 7, 0, 1);
	FATE(VMB_FATE_UNKNOWN, 7, 0, 77);
	cr_assert_eq(in.channel, 77u);
	FATE(VMB_FATE_UNKNOWN, 13, 0, 2047);
	FATE(VMB_FATE_UNKNOWN, 11, 0, 1, 5);
	cr_assert(in.channel == 1 && in.gpadl == 5);
	FATE(VMB_FATE_UNKNOWN, 9, 0, 0, 0xabc, 0, 0);
	cr_assert_eq(in.gpadl, 0xabcu);
	FATE(VMB_FATE_VALUE, 14, 0, VMB_V4_0, 8, 0, 0, 0, 0, 0, 0); /* a VP that is not there */
	FATE(VMB_FATE_TAKEN, 16, 0);
}

Test(host_fates, of_a_channel_that_is_being_rescinded)
{
	vmb_handle dev;

	make((struct vmb_host_config){ 0 });
	dev = hb_offer(1);
	hb_connect(VMB_V5_3);
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	FATE(VMB_FATE_LATE, 7, 0, 1);
}

Test(host_fates, answered_with_no)
{
	uint8_t open[148];

	make((struct vmb_host_config){ .max_gpadls = 1 });
	hb_offer(1);
	hb_connect(VMB_V5_3);
	hb_open_bytes(open, 1, 1, 0x123, 0, 2);
	fate_of(__LINE__, open, sizeof open, 0, VMB_FATE_REFUSED); /* a ring that is not there */
	FATE(VMB_FATE_REFUSED, 8, 0, 99, 1, 16 | 1u << 16, VMB_PAGE, 0, 1, 0); /* for no channel */
	FATE(VMB_FATE_REFUSED, 8, 0, 1, 1, 16 | 0u << 16, VMB_PAGE, 0, 1, 0);  /* no range */
	FATE(VMB_FATE_TAKEN, 8, 0, 1, 1, 16 | 1u << 16, VMB_PAGE, 0, 1, 0);
	FATE(VMB_FATE_QUOTA, 8, 0, 1, 2, 16 | 1u << 16, VMB_PAGE, 0, 1, 0);
	cr_assert(in.channel == 1 && in.gpadl == 2);
	FATE(VMB_FATE_REFUSED, 22, 0, 1, 0); /* retarget what is not open */
	FATE(VMB_FATE_QUOTA, 21, 0, 1, 2, 3, 4, 5, 6, 7, 8); /* no sockets at all */
	cr_assert_eq(hb_info().refused_quota, 1, "which is no limit that was reached");
}

Test(host_fates, what_has_no_answer_is_dropped_instead)
{
	make((struct vmb_host_config){ 0 });
	hb_offer(1);
	hb_connect(VMB_V5_2);
	FATE(VMB_FATE_UNKNOWN, 22, 0, 77, 0);
	FATE(VMB_FATE_STATE, 22, 0, 1, 0);
}

Test(host_fates, another_path)
{
	struct vmb_bus_info before;
	uint8_t post[256] = { 0 };

	make((struct vmb_host_config){ .flags = VMB_HOST_TRUSTED });
	put32(post, 1);
	put32(post + 8, 1);
	put32(post + 12, 56);
	hb_contact_bytes(post + 16, VMB_V6_0, 0);
	cr_assert_eq(vmb_host_post_trusted(hb->h, post, sizeof post), 0);
	before = hb_info();
	cr_assert_eq(hb_post(1, "\3\0\0\0\0\0\0\0", 8), 0);
	fate_at(__LINE__, &before, VMB_FATE_UNTRUSTED, 1);
}

Test(host_fates, come_again)
{
	make((struct vmb_host_config){ .max_messages = 2 });
	hb_offer(1);
	hb_connect(VMB_V5_3);
	hb->busy = true;
	FATE(VMB_FATE_TAKEN, 8, 0, 1, 1, 16 | 1u << 16, VMB_PAGE, 0, 1, 0);
	cr_assert(out.a == 10 && out.c == VMB_FATE_AGAIN && (int)out.d == VMB_EAGAIN);
	FATE(VMB_FATE_TAKEN, 8, 0, 1, 2, 16 | 1u << 16, VMB_PAGE, 0, 1, 0);
	fate_of(__LINE__, "\7\0\0\0\0\0\0\0\1\0\0\0", 12, VMB_HV_NO_BUFFERS, VMB_FATE_AGAIN);
	cr_assert_eq(hb_info().queued_most, 2);
	FATE(VMB_FATE_TAKEN, 16, 0); /* always */
	hb->busy = false;
}

/* ---- on their way out */

Test(host_fates, what_was_queued_for_a_connection_that_is_over)
{
	make((struct vmb_host_config){ 0 });
	hb_offer(1);
	hb_connect(VMB_V5_3);
	hb->busy = true;
	FATE(VMB_FATE_TAKEN, 8, 0, 1, 1, 16 | 1u << 16, VMB_PAGE, 0, 1, 0);
	told_out = 0;
	FATE(VMB_FATE_TAKEN, 16, 0);
	cr_assert_eq(told_out, 2, "the one that is withdrawn, and UNLOAD_COMPLETE");
	cr_assert(out.a == 17 && out.c == VMB_FATE_AGAIN);
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 0), 0);
	cr_assert(out.a == 17 && out.b == 8 && out.c == VMB_FATE_TAKEN);
	cr_assert_eq(hb_info().post_failed, 0);
}

static unsigned withdrawn;

static void told_withdrawn(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	withdrawn += t->point == VMB_TRACE_MESSAGE_OUT && t->c == VMB_FATE_STATE && t->a == 10 && t->b == 20 && t->channel == 1;
}

Test(host_fates, withdrawn_messages_are_told_one_by_one)
{
	struct vmb_host_config cfg = { .trace = told_withdrawn };

	hb_new(&cfg, 0xa5);
	hb_offer(1);
	hb_connect(VMB_V5_3);
	hb->busy = true;
	for (uint32_t i = 1; i <= 5; i++)
		hb_gpadl(1, i, HB_RING_PFN, 2);
	withdrawn = 0;
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	cr_assert_eq(withdrawn, 5);
}

/* A message for another place is lost if that is occupied. control-plane.md 1.4 */
Test(host_fates, a_message_for_another_sint)
{
	uint8_t msg[56];

	make((struct vmb_host_config){ 0 });
	hb_contact_bytes(msg, VMB_V5_3, 0);
	msg[16] = 5;
	hb->busy = true;
	cr_assert_eq(hb_post(4, msg, 40), 0);
	cr_assert_eq(in.c, VMB_FATE_REFUSED);
	cr_assert(out.a == 15 && out.c == VMB_FATE_LOST);
	cr_assert_eq(hb_info().post_failed, 1);
	hb->busy = false;
	cr_assert_eq(hb_post(4, msg, 40), 0);
	cr_assert(out.a == 15 && out.c == VMB_FATE_TAKEN);
	cr_assert_eq(hb_info().post_failed, 1);
}

/* ---- lists that go without a message of their own */

static unsigned built, dropped;

static void told_lists(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	if (t->point != VMB_TRACE_GPADL)
		return;
	built += t->a == VMB_LIST_NONE && t->b == VMB_LIST_BUILDING && t->c == 41 && t->d == 1;
	dropped += t->a == VMB_LIST_BUILDING && t->b == VMB_LIST_NONE;
}

Test(host_fates, lists_of_which_bodies_are_missing)
{
	struct vmb_host_config cfg = { .trace = told_lists };
	uint8_t msg[VMB_MESSAGE_MAX] = { 8 };
	uint8_t body[VMB_MESSAGE_MAX] = { 9 };

	hb_new(&cfg, 0xa5);
	hb_offer(1);
	hb_connect(VMB_V5_3);
	built = dropped = 0;
	put32(msg + 8, 1);
	put32(msg + 16, 41 * 8 | 1u << 16);
	put64(msg + 20, 40 * VMB_PAGE);
	for (uint32_t id = 1; id <= 3; id++) {
		put32(msg + 12, id);
		cr_assert_eq(hb_post(1, msg, 20 + 27 * 8), 0);
	}
	cr_assert(built == 3 && dropped == 0);
	put32(msg + 12, 4); /* its range has no bytes: refused with the last body */
	put64(msg + 20, 0);
	cr_assert_eq(hb_post(1, msg, 20 + 27 * 8), 0);
	put32(body + 12, 4);
	cr_assert_eq(hb_post(1, body, 16 + 14 * 8), 0);
	cr_assert(built == 4 && dropped == 1);
	hb_unload();
	cr_assert(built == 4 && dropped == 4);
}
