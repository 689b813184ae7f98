/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Reserved channels: opened beside a connection, kept over its end, closed by whoever comes later. control-plane.md 10.5 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

static vmb_handle dev;
static struct vmb_channel *channel;

/* The next message went to this place and says this. */
static void direct(uint32_t vp, uint32_t sint, uint32_t type, uint32_t len, uint32_t id)
{
	const struct hb_message *m = hb_next();

	cr_assert_not_null(m);
	cr_assert_eq(m->vp, vp);
	cr_assert_eq(m->sint, sint);
	cr_assert_eq(m->len, len);
	cr_assert_eq(get32(m->data), type);
	cr_assert_eq(get32(m->data + 8), id);
	if (type == 6) {
		cr_assert_eq(get32(m->data + 12), 0);
		cr_assert_eq(get32(m->data + 16), 0);
	}
}

static void start_at(uint32_t version)
{
	hb_start(2);
	dev = hb_handle(1);
	hb_connect(version);
	hb_gpadl(1, hb_ring_id(1), hb_ring_pfn(1), 4);
	hb_expect(10, 3, 1, hb_ring_id(1), 0);
}

#define open_reserved(vp, sint) hb_words(18, 5, 1, vp, sint, hb_ring_id(1), 2)
#define close_reserved(vp, sint) hb_words(19, 3, 1, vp, sint)

static void serve(void)
{
	open_reserved(3, 5);
	hb_quiet();
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	direct(3, 5, 6, 20, 1);
	hb->wakes = 0;
}

static void start(void)
{
	start_at(VMB_V5_3);
}

TestSuite(host_reserved, .init = start);

Test(host_reserved, opens_without_interrupts_and_answers_where_it_is_told_to)
{
	struct vmb_open_info info = { .size = sizeof info };

	serve();
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.open_flags, VMB_OPEN_RESERVED);
	cr_assert_eq(info.target_vp, VMB_VP_NONE);
	cr_assert_eq(info.version, VMB_V5_3);
	for (int i = 0; i < 120; i++)
		cr_assert_eq(info.user_data[i], 0);
	cr_assert_eq(vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND }), 0);
	cr_assert_eq(hb->interrupts, 0);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 1);
	hb_modify(1, 2);
	hb_expect(24, 2, 1, 0x8000ffff);
	close_reserved(4, 6);
	hb_event(VMB_EV_CLOSE, dev);
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	direct(4, 6, 20, 12, 1);
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
	hb_teardown(1, hb_ring_id(1));
	hb_expect(12, 1, hb_ring_id(1));
	hb_sound();
}

Test(host_reserved, exists_from_4_0_on)
{
	hb_free(hb);
	start_at(VMB_V3_0);
	open_reserved(0, 2);
	hb_no_event();
	cr_assert_eq(hb_info().dropped, 1);
	hb_free(hb);
	start_at(VMB_V4_0);
	serve();
}

Test(host_reserved, the_two_kinds_do_not_mix)
{
	serve();
	hb_close(1);
	hb_rel(1);
	open_reserved(0, 2);
	hb_open(1, 3, hb_ring_id(1), 0);
	hb_no_event();
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 4);
	hb_gpadl(1, 0x55, 0x80, 1); /* nothing is added to it, nothing taken */
	hb_expect(10, 3, 1, 0x55, 0x8000ffff);
	hb_teardown(1, hb_ring_id(1));
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 5);
	(void)hb_serve(2, hb_handle(2), 2, 0);
	hb_words(19, 3, 2, 0, 2);
	hb_no_event();
	cr_assert_eq(hb_info().dropped, 6);
}

Test(host_reserved, a_ring_that_cannot_be_is_answered_there)
{
	hb_words(18, 5, 1, 3, 5, 0x77, 2);
	cr_assert_eq(hb->sent[hb->n_read].sint, 5);
	cr_assert_eq(get32(hb->sent[hb->n_read].data + 16), 0x8000ffff);
	hb_next();
	hb_words(18, 5, 1, 3, 16, 0x77, 2); /* no such SINT: nobody can be told */
	hb_words(18, 5, 1, 8, 5, 0x77, 2);  /* no such VP */
	hb_quiet();
	hb_no_event();
	serve();
}

Test(host_reserved, what_finds_the_slot_busy_is_lost)
{
	open_reserved(3, 5);
	hb_event(VMB_EV_OPEN, dev);
	hb->busy = true;
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 3), 0);
	hb_quiet();
	close_reserved(3, 5);
	hb_event(VMB_EV_CLOSE, dev);
}

/* The owner of the connection leaves, in either way; the next one hears nothing of the channel but can close it. */
static void outlives(int unload)
{
	serve();
	if (unload) {
		hb_unload();
		hb_expect(17, 0);
		hb_event(VMB_EV_DISCONNECTED, 0);
		cr_assert_eq(hb_info().gpadls, 1);
	} else {
		hb_contact(VMB_V3_0);
		hb_skip();
		hb_event(VMB_EV_DISCONNECTED, 0);
		hb_event(VMB_EV_CONNECTED, 0);
		hb_request();
		cr_assert_eq(get32(hb_next()->data + 184), 2); /* the other device only */
		hb_expect(4, 0);
	}
	hb_no_event();
	hb->wakes = 0;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND }), 0);
}

Test(host_reserved, survives_unload_and_is_closed_while_nobody_is_connected)
{
	outlives(1);
	close_reserved(1, 2);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	direct(1, 2, 20, 12, 1);
	hb_event(VMB_EV_CLOSED, dev);
	cr_assert_eq(hb_info().gpadls, 0);
	hb_connect(VMB_V5_3); /* it is offered as ever: both */
	(void)hb_serve(1, dev, 1, 0);
	hb_sound();
}

Test(host_reserved, survives_contact_and_is_offered_when_it_is_closed)
{
	outlives(0);
	hb_close(1); /* this connection was never told of channel 1 */
	hb_open(1, 3, hb_ring_id(1), 0);
	hb_rel(1);
	hb_gpadl(1, 0x55, 0x80, 1);
	hb_expect(10, 3, 1, 0x55, 0x8000ffff);
	hb_no_event();
	hb_unload();
	hb_expect(17, 0);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_connect(VMB_V5_3);
	close_reserved(1, 2);
	hb_event(VMB_EV_CLOSE, dev);
	hb_open(1, 3, hb_ring_id(1), 0); /* nor of this one: not even a refusal */
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	direct(1, 2, 20, 12, 1);
	cr_assert_eq(get32(hb_next()->data + 184), 1); /* offered anew */
	hb_event(VMB_EV_CLOSED, dev);
	(void)hb_serve(1, dev, 1, 0);
	hb_sound();
}

Test(host_reserved, an_unanswered_open_survives_too)
{
	open_reserved(3, 5);
	hb_event(VMB_EV_OPEN, dev);
	hb_unload();
	hb_expect(17, 0);
	close_reserved(3, 5); /* not while it is opening */
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	direct(3, 5, 6, 20, 1);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_no_event();
	close_reserved(3, 5);
	hb_event(VMB_EV_CLOSE, dev);
}

Test(host_reserved, a_refusal_after_the_owner_has_gone_frees_it)
{
	open_reserved(3, 5);
	hb_event(VMB_EV_OPEN, dev);
	hb_unload();
	hb_expect(17, 0);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, VMB_EPLATFORM), 0);
	cr_assert_eq(get32(hb_next()->data + 16), 0x8000ffff);
	cr_assert_eq(hb_info().gpadls, 0);
	hb_drain_events();
	hb_connect(VMB_V5_3);
	(void)hb_serve(1, dev, 1, 0);
}

Test(host_reserved, a_queued_reopen_goes_with_the_connection)
{
	serve();
	close_reserved(3, 5);
	hb_event(VMB_EV_CLOSE, dev);
	hb_open(1, 9, hb_ring_id(1), 0);
	hb_unload();
	hb_expect(17, 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	direct(3, 5, 20, 12, 1);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
	cr_assert_eq(hb_info().gpadls, 0);
}

Test(host_reserved, a_queued_reopen_follows_the_response)
{
	serve();
	close_reserved(3, 5);
	hb_event(VMB_EV_CLOSE, dev);
	hb_open(1, 9, hb_ring_id(1), 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	direct(3, 5, 20, 12, 1);
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(2, dev, &channel), 0);
	hb_expect(6, 3, 1, 9, 0);
	hb_close(1); /* an ordinary one now */
	hb_event(VMB_EV_CLOSE, dev);
}

Test(host_reserved, lists_that_were_being_announced_do_not_survive)
{
	uint8_t msg[VMB_MESSAGE_MAX];

	hb_gpadl_bytes(msg, 1, 0x99, 0x80, 20);
	msg[16] = 0xf8; /* more to come */
	serve();
	cr_assert_eq(hb_post(1, msg, 188), 0);
	hb_skip();
	hb_unload();
	hb_expect(17, 0);
	cr_assert_eq(hb_info().gpadls, 1);
}

Test(host_reserved, a_reset_of_the_VM_ends_it)
{
	serve();
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	hb_event(VMB_EV_CLOSE, dev);
	hb_no_event();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_quiet(); /* nobody is there to be told */
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_event(VMB_EV_RESET, 0);
	cr_assert_eq(hb_info().gpadls, 0);
	hb_connect(VMB_V5_3);
	(void)hb_serve(1, dev, 1, 0);
	hb_sound();
}

Test(host_reserved, a_device_that_goes_after_its_owner)
{
	serve();
	hb_unload();
	hb_expect(17, 0);
	hb_drain_events();
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_quiet();
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_GONE, dev);
	cr_assert_eq(hb_info().gpadls, 0);
	hb_sound();
}

Test(host_reserved, a_device_that_goes_before_its_owner)
{
	serve();
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	close_reserved(0, 2); /* in silence */
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(2, 1, 1);
	hb_event(VMB_EV_CLOSED, dev);
	hb_rel(1);
	hb_event(VMB_EV_GONE, dev);
}
