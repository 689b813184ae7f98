/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Messages to the guest: in order, in exactly their size, none lost, and how a guest that does not read holds itself up.
 * control-plane.md 1.4 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hostbench.h"

enum { FAILED = (int)0x8000ffff };

static vmb_handle dev;

static void eom(uint32_t vp)
{
	cr_assert_eq(vmb_host_eom(hb->h, vp), 0);
}

static void with_limit(uint32_t max_messages)
{
	struct vmb_host_config cfg = { .vps = 8, .max_channels = 4, .max_gpadls = 16, .max_messages = max_messages };

	hb_new(&cfg, 0x5a);
	dev = hb_offer(1);
	hb_connect(VMB_V5_3);
}

static int gpadl(uint32_t id)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len = hb_gpadl_bytes(msg, 1, id, 0x40, 1);

	return hb_post(1, msg, len);
}

/* ---- a busy slot at every point changes nothing but the time */

/* The guest's next message; it empties its slot until there is one. */
static void wait_for(uint32_t type)
{
	for (int i = 0; i < 8 && hb->n_read == hb->n_sent; i++) {
		eom(0);
		while (hb_poll())
			cr_assert_fail("event %u", hb->ev.kind);
	}
	cr_assert_lt(hb->n_read, hb->n_sent, "message %u never came", type);
	cr_assert_eq(get32(hb->sent[hb->n_read].data), type);
	hb->n_read++;
}

static void whole_life(void)
{
	struct vmb_channel *c;
	vmb_handle ch = hb_handle(1), sub;

	hb_contact(VMB_V5_3);
	hb_drain_events();
	wait_for(15);
	hb_request();
	wait_for(1);
	wait_for(1);
	wait_for(4);
	hb_gpadl(1, 5, HB_RING_PFN, 4);
	wait_for(10);
	hb_gpadl(9, 5, HB_RING_PFN, 4);
	wait_for(10);
	hb_open(1, 7, 5, 0);
	hb_event(VMB_EV_OPEN, ch);
	cr_assert_eq(hb_attach(1, ch, &c), 0);
	wait_for(6);
	hb_modify(1, 2);
	wait_for(24);
	sub = hb_suboffer(1, 1);
	wait_for(1);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, ch);
	hb_teardown(1, 5);
	cr_assert_eq(vmb_host_detach(hb->h, ch), 0);
	hb_event(VMB_EV_CLOSED, ch);
	wait_for(12);
	cr_assert_eq(vmb_host_remove(hb->h, ch), 0);
	wait_for(2);
	wait_for(2);
	hb_rel(3);
	hb_rel(1);
	hb_event(VMB_EV_GONE, sub);
	hb_event(VMB_EV_GONE, ch);
	hb_unload();
	hb_event(VMB_EV_DISCONNECTED, 0);
	wait_for(17);
}

static void same_life(int error)
{
	struct hb_message *plain = calloc(HB_LOG, sizeof *plain);
	unsigned n, calls;

	hb_start(2);
	whole_life();
	n = hb->n_sent;
	memcpy(plain, hb->sent, n * sizeof *plain);
	hb_free(hb);
	for (unsigned at = 1;; at++) {
		hb_start(2);
		hb->busy_at = at;
		hb->busy_for = 1 + at % 3;
		hb->busy_error = error;
		whole_life();
		cr_assert_eq(hb->n_sent, n, "busy at %u", at);
		for (unsigned i = 0; i < n; i++)
			cr_assert_eq(memcmp(&hb->sent[i], &plain[i], sizeof *plain), 0, "busy at %u: message %u", at, i);
		cr_assert_eq(hb_info().queued, 0);
		cr_assert_eq(hb_info().messages_out, n);
		hb_sound();
		calls = hb->message_calls;
		hb_free(hb);
		if (at > calls)
			break;
	}
	free(plain);
}

Test(host_queue, an_occupied_slot_at_every_call) { same_life(VMB_EAGAIN); }
Test(host_queue, a_failing_callback_at_every_call) { same_life(VMB_EPLATFORM); }

Test(host_queue, an_occupied_slot_waits_for_eom_of_its_vp)
{
	hb_start(1);
	hb_connect(VMB_V5_3);
	hb->busy = true;
	gpadl(1);
	hb->busy = false;
	hb_no_event();
	hb_quiet();
	eom(3);
	hb_quiet();
	eom(0);
	hb_expect(10, 3, 1, 1, 0);
	cr_assert_eq(hb_info().post_retries, 1);
}

Test(host_queue, a_failing_callback_is_tried_again_by_poll)
{
	hb_start(1);
	hb_connect(VMB_V5_3);
	hb->busy_error = VMB_EPLATFORM;
	hb->busy = true;
	gpadl(1);
	hb->busy = false;
	hb_quiet();
	hb_no_event();
	hb_expect(10, 3, 1, 1, 0);
}

Test(host_queue, in_order)
{
	hb_start(2);
	hb_connect(VMB_V5_3);
	hb->busy = true;
	for (uint32_t i = 0; i < 30; i++)
		cr_assert_eq(gpadl(i), 0);
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(1)), 0);
	hb_gpadl(2, 77, 0x40, 1);
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(2)), 0);
	cr_assert_eq(hb_info().queued, 33);
	hb->busy = false;
	eom(0);
	for (uint32_t i = 0; i < 30; i++)
		hb_expect(10, 3, 1, i, 0);
	hb_expect(2, 1, 1);
	hb_expect(10, 3, 2, 77, 0);
	hb_expect(2, 1, 2);
	hb_quiet();
}

Test(host_queue, one_per_eom_where_the_slot_holds_one)
{
	hb_start(1);
	hb_connect(VMB_V5_3);
	hb->busy = true;
	for (uint32_t i = 0; i < 5; i++)
		gpadl(i);
	for (uint32_t i = 0; i < 5; i++) {
		hb->busy = false;
		hb->busy_at = hb->message_calls + 2; /* the second one finds the first */
		eom(0);
		hb_expect(10, 3, 1, i, 0);
		hb_quiet();
	}
}

/* ---- back-pressure */

Test(host_queue, above_max_messages_the_guest_must_wait)
{
	uint64_t in;

	with_limit(3);
	hb->busy = true;
	for (uint32_t i = 0; i < 3; i++)
		cr_assert_eq(gpadl(i), 0);
	in = hb_info().messages_in;
	cr_assert_eq(gpadl(3), VMB_HV_NO_BUFFERS);
	cr_assert_eq(hb_post(1, "\3\0\0\0\0\0\0\0", 8), VMB_HV_NO_BUFFERS);
	cr_assert_eq(hb_info().messages_in, in); /* not consumed */
	cr_assert_eq(hb_info().gpadls, 3);
	hb->busy = false;
	hb->busy_at = hb->message_calls + 2;
	hb->busy_for = 100;
	eom(0);
	cr_assert_eq(gpadl(3), 0); /* room for one */
	cr_assert_eq(gpadl(4), VMB_HV_NO_BUFFERS);
	hb->busy_at = 0;
	eom(0);
	for (uint32_t i = 0; i < 4; i++)
		hb_expect(10, 3, 1, i, 0);
	hb_quiet();
}

Test(host_queue, the_default_is_64_more_than_channels)
{
	hb_start(1);
	hb_connect(VMB_V5_3);
	hb->busy = true;
	for (uint32_t i = 0; i < 16 + 64; i++)
		cr_assert_eq(gpadl(i), 0);
	cr_assert_eq(gpadl(100), VMB_HV_NO_BUFFERS);
}

Test(host_queue, offers_count)
{
	struct vmb_host_config cfg = { .max_channels = 8, .max_messages = 5 };

	hb_new(&cfg, 0);
	for (unsigned n = 1; n <= 8; n++)
		hb_offer(n);
	hb_contact(VMB_V4_0);
	hb->busy = true;
	hb_request();
	cr_assert_eq(hb_info().queued, 9);
	cr_assert_eq(gpadl(1), VMB_HV_NO_BUFFERS);
	hb->busy = false;
	eom(0);
	cr_assert_eq(gpadl(1), 0);
}

Test(host_queue, contact_and_unload_are_always_accepted)
{
	uint8_t msg[56];

	/* a crash kernel must get in though nobody empties the old slot */
	with_limit(1);
	hb->busy = true;
	cr_assert_eq(gpadl(1), 0);
	cr_assert_eq(gpadl(2), VMB_HV_NO_BUFFERS);
	hb_unload();
	cr_assert_eq(hb_info().state, VMB_BUS_NONE);
	hb_contact_bytes(msg, VMB_V5_3, 3);
	cr_assert_eq(hb_post(1, msg, 40), 0);
	cr_assert_eq(hb_info().queued, 1);
	hb->busy = false;
	eom(3);
	cr_assert_eq(hb->sent[hb->n_read].vp, 3);
	hb_expect(15, 2, 1, 1);
	hb_quiet();
}

/* ---- no answer is lost: all that can be due at once, above the limit of what is accepted */

Test(host_queue, answers_that_come_late_find_room)
{
	uint64_t words[8];
	struct vmb_list list;
	struct vmb_channel *c;

	with_limit(1);
	for (uint32_t i = 0; i < 15; i++) {
		cr_assert_eq(gpadl(i), 0);
		hb_expect(10, 3, 1, i, 0);
		cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, i, words, 8, &list), 0);
	}
	hb_gpadl(1, 99, HB_RING_PFN, 4);
	hb_expect(10, 3, 1, 99, 0);
	hb_open(1, 7, 99, 0);
	hb_event(VMB_EV_OPEN, dev);
	for (uint32_t i = 0; i < 15; i++)
		hb_teardown(1, i);
	hb_teardown(1, 99);
	hb->busy = true;
	cr_assert_eq(gpadl(50), 0); /* refused by quota: one message */
	cr_assert_eq(gpadl(51), VMB_HV_NO_BUFFERS);
	hb->n_read = hb->n_sent;
	for (uint32_t i = 0; i < 15; i++)
		cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, i), 0);
	cr_assert_eq(hb_attach(1, dev, &c), 0);
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb->busy = false;
	eom(0);
	hb_expect(10, 3, 1, 50, FAILED);
	for (uint32_t i = 0; i < 15; i++)
		hb_expect(12, 1, i);
	hb_expect(6, 3, 1, 7, 0);
	hb_expect(12, 1, 99);
	hb_expect(2, 1, 1);
	hb_quiet();
}

Test(host_queue, every_reply_there_can_be_at_once)
{
	uint64_t words[8];
	struct vmb_list list;

	/* Twice over, so that what was used is free again. */
	with_limit(2);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 16; i++) {
			cr_assert_eq(gpadl(i), 0);
			hb_expect(10, 3, 1, i, 0);
			cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, i, words, 8, &list), 0);
			hb_teardown(1, i);
		}
		hb->busy = true;
		cr_assert_eq(gpadl(50), 0);
		cr_assert_eq(gpadl(51), 0);
		for (uint32_t i = 0; i < 16; i++)
			cr_assert_eq(vmb_host_gpadl_release(hb->h, dev, i), 0);
		cr_assert_eq(hb_info().queued, 18);
		hb->busy = false;
		eom(0);
		hb_expect(10, 3, 1, 50, FAILED);
		hb_expect(10, 3, 1, 51, FAILED);
		for (uint32_t i = 0; i < 16; i++)
			hb_expect(12, 1, i);
		hb_quiet();
	}
}

/* ---- the hypercall itself: control-plane.md 1.2 */

static int raw(uint32_t connection, uint32_t type, uint32_t size, uint32_t len)
{
	uint8_t in[256] = { 0 };

	for (int i = 0; i < 4; i++) {
		in[i] = (uint8_t)(connection >> 8 * i);
		in[8 + i] = (uint8_t)(type >> 8 * i);
		in[12 + i] = (uint8_t)(size >> 8 * i);
	}
	in[16] = 3;
	return vmb_host_post(hb->h, in, len);
}

Test(host_queue, vector_of_a_hypercall)
{
	hb_start(0);
	hb_contact(VMB_V5_3);
	hb_expect(15, 2, 1, 1);
	cr_assert_eq(raw(1, 1, 8, 256), VMB_HV_SUCCESS); /* CP-43 */
	hb_expect(4, 0);
}

Test(host_queue, connections)
{
	hb_start(0);
	for (uint32_t id = 0; id < 70; id++)
		cr_assert_eq(raw(id, 1, 8, 256), id == 1 || id == 4 ? VMB_HV_SUCCESS : VMB_HV_INVALID_CONNECTION);
	cr_assert_eq(raw(0x800074, 1, 8, 256), VMB_HV_INVALID_CONNECTION);
	cr_assert_eq(raw(0x2001, 1, 8, 256), VMB_HV_INVALID_CONNECTION);
	cr_assert_eq(raw(0x01000001, 1, 8, 256), VMB_HV_INVALID_CONNECTION);
	cr_assert_eq(hb_info().messages_in, 2);
}

Test(host_queue, sizes_and_types)
{
	hb_start(0);
	cr_assert_eq(raw(1, 0, 8, 256), VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(raw(1, 2, 8, 256), VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(raw(1, 0x80000001, 8, 256), VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(raw(1, 1, 241, 256), VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(raw(1, 1, 0xffffffff, 256), VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(raw(1, 1, 9, 24), VMB_HV_INVALID_PARAMETER);
	for (uint32_t len = 0; len < 16; len++)
		cr_assert_eq(raw(1, 1, 0, len), VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(hb_info().messages_in, 0);
	cr_assert_eq(raw(1, 1, 8, 24), VMB_HV_SUCCESS);
	cr_assert_eq(raw(1, 1, 240, 256), VMB_HV_SUCCESS);
	cr_assert_eq(raw(1, 1, 0, 16), VMB_HV_SUCCESS); /* no message: dropped */
	cr_assert_eq(hb_info().dropped, 3);
	cr_assert_eq(raw(1, 1, 8, 257), VMB_EINVAL);
	cr_assert_eq(vmb_host_post(hb->h, NULL, 256), VMB_EINVAL);
	cr_assert_eq(vmb_host_post(NULL, "", 0), VMB_EINVAL);
}
