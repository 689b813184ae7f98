/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Unload, a new owner, reset: with everything in flight. control-plane.md 11 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

enum how { UNLOAD, CONTACT, RESET };
enum { RING = 0x70 };

static vmb_handle dev;
static struct vmb_channel *channel;

static void start(void)
{
	hb_start(2);
	dev = hb_handle(1);
	hb_connect(VMB_V5_3);
}

TestSuite(host_leave, .init = start);

static void leave(enum how how)
{
	if (how == UNLOAD)
		hb_unload();
	else if (how == CONTACT)
		hb_contact(VMB_V5_3);
	else
		cr_assert_eq(vmb_host_reset(hb->h), 0);
}

/* All that was is over; the guest has its answer, the embedder its events. */
static void left(enum how how)
{
	if (how == UNLOAD)
		hb_expect(17, 0);
	else if (how == CONTACT)
		hb_expect(15, 2, 1, 1);
	hb_quiet();
	hb_event(VMB_EV_DISCONNECTED, 0);
	if (how == RESET)
		hb_event(VMB_EV_RESET, 0);
	if (how == CONTACT)
		hb_event(VMB_EV_CONNECTED, 0);
	hb_no_event();
	cr_assert_eq(hb->all_mapped, 0);
	cr_assert_eq(hb_info().gpadls, 0);
	cr_assert_eq(hb_info().attached, 0);
	cr_assert_eq(hb_info().queued, 0);
	cr_assert_eq(hb_info().channels, 2);
	cr_assert_eq(hb_info().state, how == CONTACT ? VMB_BUS_CONNECTED : VMB_BUS_NONE);
	hb_sound();
}

/* And a new owner finds it all as new. */
static void again(void)
{
	hb_connect(VMB_V5_3);
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
}

static void open_it(void)
{
	hb_gpadl(1, RING, HB_RING_PFN, 4);
	hb_expect(10, 3, 1, RING, 0);
	hb_open(1, 77, RING, 0);
}

static void with_nothing(enum how how)
{
	leave(how);
	left(how);
	again();
}

static void with_an_open_not_given_out(enum how how)
{
	open_it();
	leave(how);
	left(how); /* without EV_OPEN */
	again();
}

static void with_an_open_not_answered(enum how how)
{
	open_it();
	hb_event(VMB_EV_OPEN, dev);
	leave(how);
	left(how); /* it does not wait for the device: control-plane.md 21 (6) */
	hb_connect(VMB_V5_3);
	open_it();
	hb_no_event(); /* the device has a question to answer */
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTOPPED);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_expect(6, 3, 1, 77, 0);
	hb_quiet();
}

static void with_an_open_answered_no_after_it(enum how how)
{
	struct vmb_event open;

	open_it();
	hb_event(VMB_EV_OPEN, dev);
	open = hb->ev;
	leave(how);
	left(how);
	hb_connect(VMB_V5_3);
	open_it();
	cr_assert_eq(vmb_host_answer(hb->h, &open, VMB_EPLATFORM), VMB_ENOENT);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_neq(hb->ev.token, open.token);
	cr_assert_eq(vmb_host_answer(hb->h, &open, VMB_EPLATFORM), VMB_ENOENT);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_expect(6, 3, 1, 77, 0);
}

static void with_an_open_channel(enum how how)
{
	uint64_t buf[8];
	struct vmb_packet p;

	channel = hb_serve(1, dev, 1, 0);
	hb->wakes = 0;
	leave(how);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(hb_info().state, how == RESET ? VMB_BUS_RESETTING : VMB_BUS_LEAVING);
	cr_assert_eq(vmb_channel_recv(channel, buf, sizeof buf, &p), VMB_ESTOPPED);
	hb_quiet();
	hb_event(VMB_EV_CLOSE, dev);
	hb_no_event();
	cr_assert_eq(hb->all_mapped, 4);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	left(how);
	again();
}

static void with_a_channel_that_nobody_serves(enum how how)
{
	channel = hb_serve(1, dev, 1, 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	leave(how);
	left(how);
	again();
}

static void with_a_channel_served_elsewhere(enum how how)
{
	open_it();
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_expect(6, 3, 1, 77, 0);
	leave(how);
	hb_event(VMB_EV_CLOSE, dev);
	hb_quiet();
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_event(VMB_EV_CLOSED, dev);
	left(how);
	again();
}

static void with_a_channel_closing(enum how how)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	leave(how);
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	left(how);
	again();
}

static void with_a_channel_closing_to_reopen(enum how how)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_gpadl(1, RING, HB_RING_PFN + 8, 4);
	hb_expect(10, 3, 1, RING, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	hb_open(1, 78, RING, 0);
	leave(how);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	left(how);
	again();
}

static void with_gpadls(enum how how)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 248, 0, 1 };

	hb_gpadl(1, 1, 0x40, 3);
	hb_expect(10, 3, 1, 1, 0);
	cr_assert_eq(hb_post(1, msg, 236), 0);
	leave(how);
	left(how);
	again();
}

static void with_messages_queued(enum how how)
{
	hb->busy = true;
	hb_gpadl(1, 1, 0x40, 3);
	hb_gpadl(1, 2, 0x40, 3);
	leave(how);
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 0), 0);
	left(how);
	again();
}

static void with_everything_attached(enum how how)
{
	vmb_handle other = hb_handle(2);

	hb_serve(1, dev, 1, 0);
	hb_serve(2, other, 2, 3);
	leave(how);
	hb_event(VMB_EV_CLOSE, dev);
	hb_event(VMB_EV_CLOSE, other);
	cr_assert_eq(vmb_host_detach(hb->h, other), 0);
	hb_event(VMB_EV_CLOSED, other);
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	left(how);
	again();
}

#define EACH(name) \
	Test(host_leave, unload_##name) { name(UNLOAD); } \
	Test(host_leave, contact_##name) { name(CONTACT); } \
	Test(host_leave, reset_##name) { name(RESET); }
EACH(with_nothing)
EACH(with_an_open_not_given_out)
EACH(with_an_open_not_answered)
EACH(with_an_open_answered_no_after_it)
EACH(with_an_open_channel)
EACH(with_a_channel_that_nobody_serves)
EACH(with_a_channel_served_elsewhere)
EACH(with_a_channel_closing)
EACH(with_a_channel_closing_to_reopen)
EACH(with_gpadls)
EACH(with_messages_queued)
EACH(with_everything_attached)

/* ---- unload */

Test(host_leave, no_completion_at_0_13)
{
	hb_connect(VMB_V0_13);
	hb_unload();
	hb_quiet();
	cr_assert_eq(hb_info().state, VMB_BUS_NONE);
	hb_connect(VMB_V1_1);
	hb_unload();
	hb_expect(17, 0);
}

Test(host_leave, completion_goes_to_the_vp_of_the_connection)
{
	uint8_t msg[56];

	hb_contact_bytes(msg, VMB_V4_0, 5);
	cr_assert_eq(hb_post(1, msg, 40), 0);
	cr_assert_eq(hb_next()->vp, 5);
	hb_unload();
	cr_assert_eq(hb->sent[hb->n_read].vp, 5);
	hb_expect(17, 0);
}

Test(host_leave, unload_without_a_connection_is_not_answered)
{
	hb_unload();
	hb_expect(17, 0);
	hb_unload();
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 1);
}

Test(host_leave, nothing_is_accepted_meanwhile)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_unload();
	for (uint32_t type = 1; type < 30; type++)
		if (type != 14)
			hb_ones(type);
	cr_assert_eq(hb_info().dropped, 28);
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(17, 0);
}

Test(host_leave, signals_are_harmless_meanwhile)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_unload();
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_INVALID_CONNECTION);
}

Test(host_leave, an_offer_meanwhile_is_for_the_next_guest)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_unload();
	hb_offer(3);
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(17, 0);
	hb_contact(VMB_V4_0);
	hb_expect(15, 2, 1, VMB_V4_0);
	hb_request();
	for (int i = 1; i <= 3; i++)
		cr_assert_eq(hb_next()->data[184], i);
	hb_expect(4, 0);
}

/* ---- reset */

Test(host_leave, reset_takes_no_messages_while_it_waits)
{
	uint8_t msg[56];

	channel = hb_serve(1, dev, 1, 0);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	hb_contact_bytes(msg, VMB_V5_3, 0);
	cr_assert_eq(hb_post(1, msg, 40), VMB_HV_NO_BUFFERS);
	cr_assert_eq(hb_post(1, "\20\0\0\0\0\0\0\0", 8), VMB_HV_NO_BUFFERS);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_quiet();
	cr_assert_eq(hb_post(1, msg, 40), 0);
	hb_expect(15, 2, 1, 1);
}

Test(host_leave, reset_wins_over_what_was_pending)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_contact(VMB_V5_3);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_quiet();
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_event(VMB_EV_RESET, 0);
	hb_no_event();
}

Test(host_leave, reset_before_any_contact)
{
	hb_free(hb);
	hb_start(0);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	hb_event(VMB_EV_RESET, 0);
	hb_no_event();
	cr_assert_eq(vmb_host_reset(NULL), VMB_EINVAL);
}

Test(host_leave, reset_ends_synchronously_where_devices_let_go_at_once)
{
	hb_serve(1, dev, 1, 0);
	hb_serve(2, hb_handle(2), 2, 0);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	for (;;) {
		uint32_t kind = hb_poll();

		cr_assert_neq(kind, 0);
		if (kind == VMB_EV_CLOSE)
			cr_assert_eq(vmb_host_detach(hb->h, hb->ev.ch), 0);
		if (kind == VMB_EV_RESET)
			break;
	}
	hb_no_event();
}

Test(host_leave, reset_forgets_the_message_vp)
{
	uint8_t msg[56];

	hb_contact_bytes(msg, VMB_V4_0, 5);
	cr_assert_eq(hb_post(1, msg, 40), 0);
	cr_assert_eq(hb_info().message_vp, 5);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	cr_assert_eq(hb_info().message_vp, 0);
	cr_assert_eq(hb_info().version, 0);
}

/* ---- a guest that goes wild while a device starts up costs that device nothing */

Test(host_leave, one_question_at_a_time_whatever_the_guest_does)
{
	open_it();
	hb_event(VMB_EV_OPEN, dev);
	for (int i = 0; i < 50; i++) {
		leave((enum how)(i % 3));
		hb_skip();
		while (hb_poll())
			cr_assert_neq(hb->ev.kind, VMB_EV_OPEN);
		hb_connect(VMB_V5_3);
		open_it();
	}
	hb_no_event();
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTOPPED);
	hb_event(VMB_EV_OPEN, dev);
	hb_no_event();
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_expect(6, 3, 1, 77, 0);
}

Test(host_leave, the_end_while_attached_is_refused)
{
	channel = hb_serve(1, dev, 1, 0);
	cr_assert_eq(vmb_host_end(hb->h), VMB_ESTATE);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(vmb_host_end(hb->h), 0);
	cr_assert_eq(vmb_host_end(NULL), VMB_EINVAL);
}
