/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Which signals were needed: the receiver's account as Hyper-V keeps it, and the sender's own. ring.md 10.1, 10.5 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hooks.h"
#include "pair.h"

static uint8_t zeros[16384];

static struct pair *deferring(void)
{
	struct vmb_channel_config cfg = pair_config();

	cfg.flags = VMB_CHANNEL_DEFER;
	return pair_new(&cfg, NULL);
}

static int send(struct pair *p, uint32_t len)
{
	struct vmb_packet out = pair_packet(zeros, len);

	return vmb_channel_send(p->side[0].ch, &out);
}

/* n signals come to side 1. */
static void come(struct pair *p, unsigned n)
{
	while (n--)
		cr_assert_eq(vmb_channel_signalled(p->side[1].ch), 0);
}

/* Side 1 takes all that there is, and sleeps. */
static unsigned drain(struct pair *p)
{
	struct vmb_packet in;
	unsigned n = 0;

	while (pair_recv(p, 1, &in) == VMB_YES)
		n++;
	return n;
}

static uint32_t needless(struct pair *p)
{
	return pair_info(p, 1).signals_in_needless;
}

Test(signals, two_are_expected_to_begin_with)
{
	struct pair *p = pair_new(NULL, NULL);

	come(p, 2);
	cr_assert_eq(needless(p), 0);
	come(p, 1);
	cr_assert_eq(needless(p), 1, "told before the owner has looked");
	come(p, 9);
	cr_assert_eq(needless(p), 10);
	drain(p);
	cr_assert_eq(needless(p), 10, "nothing was taken: nothing is expected");
	come(p, 1);
	cr_assert_eq(needless(p), 11);
	cr_assert_eq(pair_info(p, 1).signals_in, 13);
	cr_assert_eq(pair_info(p, 1).over, 0, "without a bus there is no budget");
	pair_free(p);
}

/* A sender that keeps to ring.md 10.1 never goes beyond what is expected, whatever the batches are. */
Test(signals, one_more_for_each_time_that_the_ring_was_emptied)
{
	struct pair *p = pair_new(NULL, NULL);

	for (unsigned i = 0; i < 1000; i++) {
		unsigned n = 1 + i % 7, before = p->side[0].signals;

		for (unsigned k = 0; k < n; k++)
			cr_assert_eq(send(p, 8), 0);
		come(p, p->side[0].signals - before);
		cr_assert_eq(p->side[0].signals - before, 1);
		cr_assert_eq(drain(p), n);
	}
	cr_assert_eq(pair_info(p, 1).signals_in, 1000);
	cr_assert_eq(needless(p), 0);
	come(p, 2);
	cr_assert_eq(needless(p), 0, "those of the beginning are left");
	come(p, 1);
	cr_assert_eq(needless(p), 1);
	pair_free(p);
}

/* Two for each: half of them are needless, and the next one that is needed is not taken for one of those. */
Test(signals, a_sender_that_signals_twice)
{
	struct pair *p = pair_new(NULL, NULL);

	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(send(p, 8), 0);
		come(p, 2);
		cr_assert_eq(drain(p), 1);
		cr_assert_eq(needless(p), i);
	}
	pair_free(p);
}

Test(signals, not_more_than_64_are_remembered)
{
	struct pair *p = pair_new(NULL, NULL);

	for (unsigned i = 0; i < 500; i++) { /* it polls as well, and no signal comes */
		cr_assert_eq(send(p, 8), 0);
		cr_assert_eq(drain(p), 1);
	}
	come(p, 64);
	cr_assert_eq(needless(p), 0);
	come(p, 1);
	cr_assert_eq(needless(p), 1);
	pair_free(p);
}

Test(signals, one_more_for_each_wait_for_room)
{
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet in;

	come(p, 2); /* those of the beginning */
	for (unsigned i = 0; i < 10; i++) {
		struct vmb_packet out = pair_packet(zeros, 1000);
		unsigned before;

		while (vmb_channel_put(p->side[1].ch, &out) == 0) /* side 1 waits for room */
			;
		before = p->side[0].signals;
		while (pair_recv(p, 0, &in) == VMB_YES)
			;
		cr_assert_eq(p->side[0].signals - before, 1, "room");
		come(p, 1);
		cr_assert_eq(needless(p), 0);
		drain(p); /* what wakes looks at both */
	}
	come(p, 1);
	cr_assert_eq(needless(p), 1);
	pair_free(p);
}

/* A channel that polls asks for no signals: none is needed. */
Test(signals, a_polled_channel_expects_none)
{
	struct vmb_channel_config cfg = pair_config();
	struct pair *p;

	cfg.flags = VMB_CHANNEL_POLLED;
	p = pair_new(NULL, &cfg);
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_eq(send(p, 8), 0);
		cr_assert_eq(drain(p), 1);
	}
	come(p, 5);
	cr_assert_eq(needless(p), 3);
	pair_free(p);
}

/* ---- the sender's side */

Test(signals, what_the_ring_asked_for_is_needed)
{
	struct pair *p = deferring();

	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(send(p, 8), VMB_SIGNAL);
		cr_assert_eq(send(p, 8), 0, "once is enough");
		cr_assert_eq(vmb_channel_signal(p->side[0].ch), 0);
		drain(p);
	}
	cr_assert_eq(pair_info(p, 0).signals_data, 100);
	cr_assert_eq(pair_info(p, 0).signals_out_needless, 0);
	cr_assert_eq(p->side[0].signals, 100);
	pair_free(p);
}

/* Two senders under one lock: both facts may be there before the first signal is made. */
Test(signals, facts_may_be_done_late)
{
	struct pair *p = deferring();

	cr_assert_eq(send(p, 8), VMB_SIGNAL);
	drain(p);
	cr_assert_eq(send(p, 8), VMB_SIGNAL);
	cr_assert_eq(vmb_channel_signal(p->side[0].ch), 0);
	cr_assert_eq(vmb_channel_signal(p->side[0].ch), 0);
	cr_assert_eq(pair_info(p, 0).signals_out_needless, 0);
	pair_free(p);
}

Test(signals, just_in_case_is_needless)
{
	struct pair *p = deferring();

	cr_assert_eq(vmb_channel_signal(p->side[0].ch), 0);
	cr_assert_eq(pair_info(p, 0).signals_out_needless, 1);
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_eq(send(p, 8), VMB_SIGNAL);
		cr_assert_eq(vmb_channel_signal(p->side[0].ch), 0);
		cr_assert_eq(pair_info(p, 0).signals_out_needless, 1 + i, "the one that is needed is not counted");
		cr_assert_eq(vmb_channel_signal(p->side[0].ch), 0);
		drain(p);
	}
	cr_assert_eq(pair_info(p, 0).signals_out_needless, 11);
	cr_assert_eq(p->side[0].signals, 21, "each is made all the same");
	pair_free(p);
}

Test(signals, without_defer_no_call_is_needed)
{
	struct pair *p = pair_new(NULL, NULL);

	cr_assert_eq(send(p, 8), 0);
	cr_assert_eq(vmb_channel_signal(p->side[0].ch), 0);
	cr_assert_eq(pair_info(p, 0).signals_out_needless, 1);
	pair_free(p);
}

/* ---- what else is counted */

Test(signals, bytes_and_requests)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out = pair_packet(zeros, 13), in;
	struct vmb_channel_info i;
	uint64_t user;
	struct pair *p;

	cfg.requests = 4;
	p = pair_new(&cfg, NULL);
	cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_info(p, 0).bytes_sent, 0, "not before they are shown");
	cr_assert_eq(vmb_channel_flush(p->side[0].ch), 0);
	cr_assert_eq(pair_info(p, 0).bytes_sent, 16 + 16 + 8, "descriptor, padded payload, footer");
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(pair_info(p, 1).bytes_received, 0, "not before they are given back");
	cr_assert_eq(pair_recv(p, 1, &in), 0);
	cr_assert_eq(pair_info(p, 1).bytes_received, 40);
	for (uint64_t k = 0; k < 1000; k++) { /* around the ring many times */
		out = pair_packet(zeros, 100);
		out.flags = VMB_PKT_WANTS_REPLY;
		cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
		if (k % 10 == 0)
			cr_assert_eq(vmb_channel_cancel(p->side[0].ch, out.id, &user), 0);
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		out = pair_answer(in.id, zeros, 8);
		cr_assert_eq(vmb_channel_send(p->side[1].ch, &out), 0);
		cr_assert_eq(pair_recv(p, 0, &in), VMB_YES);
		drain(p);
	}
	cr_assert_eq(pair_recv(p, 0, &in), 0);
	i = pair_info(p, 0);
	cr_assert_eq(i.bytes_sent, 40 + 1000 * (16 + 104 + 8));
	cr_assert_eq(i.bytes_received, 1000 * 32);
	cr_assert_eq(i.requests_sent, 1000);
	cr_assert_eq(i.cancelled, 100);
	cr_assert_eq(i.late, 100);
	cr_assert_eq(i.requests + i.zombies, 0);
	pair_free(p);
}

/* What a caller of the first release asks for is what it gets. */
Test(signals, info_of_an_older_caller)
{
	struct pair *p = pair_new(NULL, NULL);
	struct { struct vmb_channel_info info; } old;

	memset(&old, 0xee, sizeof old);
	old.info.size = offsetof(struct vmb_channel_info, bytes_sent);
	cr_assert_eq(send(p, 8), 0);
	cr_assert_eq(vmb_channel_info(p->side[0].ch, &old.info), 0);
	cr_assert_eq(old.info.sent, 1);
	cr_assert_eq(old.info.bytes_sent, 0xeeeeeeeeeeeeeeee, "not written");
	pair_free(p);
}

Test(signals, calls_of_nobody)
{
	cr_assert_eq(vmb_channel_signalled(NULL), VMB_EINVAL);
	cr_assert_eq(vmb_channel_signal(NULL), VMB_EINVAL);
}
