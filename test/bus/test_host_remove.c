/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Rescind at every moment, subchannels first, what the device has by then. control-plane.md 12, 8.6, 21 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

enum { RING = 0x70 };

static vmb_handle dev;
static struct vmb_channel *channel;

static void start(void)
{
	hb_start(2);
	dev = hb_handle(1);
}

static void connected(void)
{
	start();
	hb_connect(VMB_V5_3);
}

TestSuite(host_remove, .init = connected);

static void removed(void)
{
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
}

static void open_it(void)
{
	hb_gpadl(1, RING, HB_RING_PFN, 4);
	hb_expect(10, 3, 1, RING, 0);
	hb_open(1, 77, RING, 0);
}

/* Rescinded, released, gone, each once. */
static void rescinded_and_gone(void)
{
	hb_expect(2, 1, 1);
	hb_quiet();
	hb_no_event();
	hb_rel(1);
	hb_event(VMB_EV_GONE, dev);
	hb_no_event();
	hb_quiet();
	cr_assert_eq(vmb_host_remove(hb->h, dev), VMB_EHANDLE);
	cr_assert_eq(hb_info().channels, 1);
	cr_assert_eq(hb_info().gpadls, 0);
	cr_assert_eq(hb->all_mapped, 0);
	hb_sound();
}

/* ---- at each moment */

Test(host_remove, before_any_contact, .init = start)
{
	removed();
	hb_event(VMB_EV_GONE, dev);
	hb_no_event();
	hb_quiet();
	hb_connect(VMB_V5_3);
	cr_assert_eq(hb_info().channels, 1);
}

Test(host_remove, after_contact_before_offers, .init = start)
{
	hb_contact(VMB_V5_3);
	hb_drain_events();
	removed();
	hb_event(VMB_EV_GONE, dev);
}

Test(host_remove, offer_not_delivered, .init = start)
{
	hb_contact(VMB_V5_3);
	hb_expect(15, 2, 1, 1);
	hb_drain_events();
	hb->busy = true;
	hb_request();
	removed();
	hb_event(VMB_EV_GONE, dev);
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 0), 0);
	cr_assert_eq(hb_next()->data[184], 2); /* the other device's */
	hb_expect(4, 0);
	hb_quiet();
}

Test(host_remove, offer_not_delivered_but_guessed_and_opened, .init = start)
{
	hb_contact(VMB_V5_3);
	hb_expect(15, 2, 1, 1);
	hb_drain_events();
	hb->busy = true;
	hb_request();
	hb_gpadl(1, RING, HB_RING_PFN, 4);
	hb_open(1, 77, RING, 0);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	removed();
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_GONE, dev);
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 0), 0);
	cr_assert_eq(hb_next()->data[184], 2);
	hb_expect(4, 0);
	hb_expect(10, 3, 1, RING, 0);
	hb_expect(6, 3, 1, 77, 0);
	hb_quiet();
	cr_assert_eq(hb_info().gpadls, 0);
	hb_sound();
}

Test(host_remove, closed)
{
	removed();
	rescinded_and_gone();
}

Test(host_remove, a_gpadl_being_built)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, RING, 0, 0, 0, 248, 0, 1 };

	cr_assert_eq(hb_post(1, msg, 236), 0);
	removed();
	rescinded_and_gone();
}

Test(host_remove, open_not_given_out)
{
	open_it();
	removed();
	rescinded_and_gone(); /* and no EV_OPEN */
}

Test(host_remove, open_not_answered)
{
	open_it();
	hb_event(VMB_EV_OPEN, dev);
	removed();
	hb_expect(2, 1, 1); /* does not wait for the device; no OPEN_RESULT */
	hb_no_event();
	hb_rel(1);
	hb_no_event();      /* but the handle does */
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTOPPED);
	hb_event(VMB_EV_GONE, dev);
	hb_quiet();
	cr_assert_eq(hb->map_calls, 0);
}

Test(host_remove, open_answered_between_rescind_and_release)
{
	open_it();
	hb_event(VMB_EV_OPEN, dev);
	removed();
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), VMB_ENOENT);
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTATE);
	rescinded_and_gone();
	cr_assert_eq(hb_info().late_answers, 1);
}

Test(host_remove, open)
{
	uint64_t buf[8];
	struct vmb_packet p;

	channel = hb_serve(1, dev, 1, 0);
	hb->wakes = 0;
	removed();
	hb_quiet(); /* a guest frees the rings when it reads the RESCIND: gpadl.md 7 (7) */
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(vmb_channel_recv(channel, buf, sizeof buf, &p), VMB_ESTOPPED);
	hb_event(VMB_EV_CLOSE, dev);
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	rescinded_and_gone();
}

Test(host_remove, open_and_served_elsewhere)
{
	open_it();
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_expect(6, 3, 1, 77, 0);
	removed();
	hb_event(VMB_EV_CLOSE, dev);
	hb_quiet();
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_event(VMB_EV_CLOSED, dev);
	rescinded_and_gone();
}

Test(host_remove, open_and_served_by_nobody)
{
	channel = hb_serve(1, dev, 1, 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	removed();
	rescinded_and_gone();
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_EHANDLE);
}

Test(host_remove, closing)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	removed();
	hb_no_event(); /* one EV_CLOSE is enough */
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	rescinded_and_gone();
}

Test(host_remove, closing_with_an_open_queued)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	hb_open(1, 78, hb_ring_id(1), 0);
	removed();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	rescinded_and_gone(); /* no EV_OPEN, no OPEN_RESULT */
}

Test(host_remove, retargeting)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_modify(1, 3);
	removed();
	hb_expect(24, 2, 1, 0);
	hb_quiet();
	hb_modify(1, 3); /* after */
	hb_expect(24, 2, 1, 0x8000ffff);
}

Test(host_remove, while_the_guest_is_leaving)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_unload();
	removed();
	hb_event(VMB_EV_CLOSE, dev);
	hb_no_event();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(17, 0);
	hb_quiet();
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_GONE, dev);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_no_event();
}

Test(host_remove, twice)
{
	removed();
	removed();
	rescinded_and_gone();
}

/* ---- what the guest does meanwhile */

Test(host_remove, the_guest_leaves_instead_of_releasing)
{
	removed();
	hb_expect(2, 1, 1);
	hb_unload();
	hb_expect(17, 0);
	hb_event(VMB_EV_GONE, dev);
	hb_event(VMB_EV_DISCONNECTED, 0);
}

Test(host_remove, a_new_owner_makes_contact)
{
	removed();
	hb_expect(2, 1, 1);
	hb_contact(VMB_V4_0);
	hb_expect(15, 2, 1, VMB_V4_0);
	hb_event(VMB_EV_GONE, dev);
}

Test(host_remove, the_vm_is_reset)
{
	removed();
	hb_expect(2, 1, 1);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	hb_event(VMB_EV_GONE, dev);
}

Test(host_remove, close_and_teardown_after_the_rescind)
{
	channel = hb_serve(1, dev, 1, 0);
	removed();
	hb_close(1); /* crosses the RESCIND: ignored in silence */
	hb_drain_events();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(2, 1, 1);
	hb_close(1);
	hb_teardown(1, hb_ring_id(1));
	hb_expect(12, 1, hb_ring_id(1));
	cr_assert_eq(hb_info().dropped, 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_rel(1);
	hb_event(VMB_EV_GONE, dev);
}

Test(host_remove, released_before_the_rescind_is_sent)
{
	channel = hb_serve(1, dev, 1, 0);
	removed();
	hb_rel(1);
	hb_drain_events();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_quiet(); /* nobody to be told */
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_GONE, dev);
}

Test(host_remove, released_twice)
{
	removed();
	hb_expect(2, 1, 1);
	hb_rel(1);
	hb_rel(1);
	cr_assert_eq(hb_info().dropped, 1);
	hb_event(VMB_EV_GONE, dev);
	hb_no_event();
}

/* ---- a device that answers late meets its heir: control-plane.md 21 (7) */

Test(host_remove, a_late_answer_does_not_reach_the_heir)
{
	struct vmb_event old;
	vmb_handle now;

	open_it();
	hb_event(VMB_EV_OPEN, dev);
	old = hb->ev;
	removed();
	hb_expect(2, 1, 1);
	now = hb_offer(1);
	hb_rel(1);
	cr_assert_not_null(hb_next()); /* the offer again: it did not wait for the old answer */
	hb_gpadl(1, RING, HB_RING_PFN, 4);
	hb_expect(10, 3, 1, RING, 0);
	hb_open(1, 78, RING, 0);
	hb_event(VMB_EV_OPEN, now);
	cr_assert_eq(vmb_host_answer(hb->h, &old, 0), VMB_ENOENT);
	hb_quiet();
	hb_event(VMB_EV_GONE, dev);
	cr_assert_eq(hb_attach(1, now, &channel), 0);
	hb_expect(6, 3, 1, 78, 0);
	cr_assert_eq(vmb_host_answer(hb->h, &old, 0), VMB_ENOENT); /* its handle is gone now */
}

Test(host_remove, offered_again_while_an_old_answer_is_due_it_comes_at_once)
{
	open_it();
	hb_event(VMB_EV_OPEN, dev);
	removed();
	hb_expect(2, 1, 1);
	hb_rel(1);
	hb_offer(1);
	cr_assert_not_null(hb_next());
	hb_no_event();
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTOPPED);
	hb_event(VMB_EV_GONE, dev);
	hb_quiet();
}

/* ---- subchannels first: control-plane.md 8.6, 21 (5) */

static vmb_handle sub[3];

static void with_subs(void)
{
	connected();
	for (uint32_t i = 0; i < 3; i++) {
		sub[i] = hb_suboffer(1, 1 + i);
		cr_assert_not_null(hb_next());
	}
}

Test(host_remove, subchannels_go_before_their_primary, .init = with_subs)
{
	bool seen[6] = { false };

	removed();
	for (int i = 0; i < 3; i++) {
		const struct hb_message *m = hb_next();

		cr_assert_not_null(m);
		cr_assert_eq(m->data[0], 2);
		cr_assert(m->data[8] >= 3 && m->data[8] <= 5);
		cr_assert(!seen[m->data[8]]);
		seen[m->data[8]] = true;
	}
	hb_expect(2, 1, 1);
	hb_quiet();
}

Test(host_remove, the_primary_waits_for_a_subchannels_device, .init = with_subs)
{
	channel = hb_serve(2, sub[1], 4, 0);
	removed();
	cr_assert_not_null(hb_next());
	cr_assert_not_null(hb_next());
	hb_quiet();
	hb_event(VMB_EV_CLOSE, sub[1]);
	cr_assert_eq(vmb_host_detach(hb->h, sub[1]), 0);
	hb_expect(2, 1, 4);
	hb_expect(2, 1, 1);
	hb_quiet();
}

Test(host_remove, the_subchannels_do_not_wait_for_the_primarys_device, .init = with_subs)
{
	channel = hb_serve(1, dev, 1, 0);
	removed();
	for (int i = 0; i < 3; i++)
		cr_assert_not_null(hb_next());
	hb_quiet();
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(2, 1, 1);
}

Test(host_remove, a_released_subchannel_is_in_nobodys_way, .init = with_subs)
{
	channel = hb_serve(2, sub[1], 4, 0);
	removed();
	cr_assert_not_null(hb_next());
	cr_assert_not_null(hb_next());
	hb_quiet();
	hb_rel(4); /* before its RESCIND */
	hb_expect(2, 1, 1);
	hb_drain_events();
	cr_assert_eq(vmb_host_detach(hb->h, sub[1]), 0);
	hb_event(VMB_EV_CLOSED, sub[1]);
	hb_event(VMB_EV_GONE, sub[1]);
	hb_quiet();
}

Test(host_remove, one_subchannel_alone, .init = with_subs)
{
	cr_assert_eq(vmb_host_remove(hb->h, sub[1]), 0);
	hb_expect(2, 1, 4);
	hb_rel(4);
	hb_event(VMB_EV_GONE, sub[1]);
	sub[1] = hb_suboffer(1, 2);
	cr_assert_eq(hb_next()->data[184], 4);
	removed();
	for (int i = 0; i < 3; i++)
		cr_assert_not_null(hb_next());
	hb_expect(2, 1, 1);
}

Test(host_remove, subchannels_in_any_order, .init = with_subs)
{
	cr_assert_eq(vmb_host_remove(hb->h, sub[1]), 0);
	hb_expect(2, 1, 4);
	hb_rel(4);
	hb_event(VMB_EV_GONE, sub[1]);
	cr_assert_eq(vmb_host_remove(hb->h, sub[0]), 0);
	hb_expect(2, 1, 3);
	hb_rel(3);
	hb_event(VMB_EV_GONE, sub[0]);
	cr_assert_eq(hb_info().channels, 3);
	removed();
	hb_expect(2, 1, 5);
	hb_expect(2, 1, 1);
	hb_quiet();
	cr_assert_eq(hb_info().channels, 1);
}

Test(host_remove, a_subchannel_outlives_its_primary, .init = with_subs)
{
	vmb_handle other, others;

	hb_rel(1); /* the guest gave up the primary alone */
	removed();
	for (int i = 0; i < 3; i++)
		cr_assert_not_null(hb_next());
	hb_event(VMB_EV_GONE, dev);
	other = hb_offer(7); /* in its place */
	others = hb_suboffer(7, 1);
	cr_assert_not_null(hb_next());
	cr_assert_not_null(hb_next());
	for (uint32_t id = 3; id <= 5; id++)
		hb_rel(id);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(hb_poll(), VMB_EV_GONE);
	cr_assert_eq(vmb_host_remove(hb->h, other), 0);
	cr_assert_eq(hb_next()->data[8], 6); /* its subchannel first */
	cr_assert_eq(hb_next()->data[8], 1);
	hb_quiet();
	hb_rel(6);
	hb_event(VMB_EV_GONE, others);
}

Test(host_remove, all_handles_of_a_device_end, .init = with_subs)
{
	unsigned gone = 0;

	removed();
	for (uint32_t id = 1; id <= 5; id++)
		if (id != 2)
			hb_rel(id);
	while (hb_poll() == VMB_EV_GONE)
		gone++;
	cr_assert_eq(gone, 4);
	cr_assert_eq(hb_info().channels, 1);
	hb_offer(1);
	hb_suboffer(1, 1);
}

Test(host_remove, of_no_handle)
{
	cr_assert_eq(vmb_host_remove(hb->h, 0), VMB_EHANDLE);
	cr_assert_eq(vmb_host_remove(hb->h, 0xffffffff), VMB_EHANDLE);
	cr_assert_eq(vmb_host_remove(hb->h, dev + 16), VMB_EHANDLE);
	cr_assert_eq(vmb_host_remove(hb->h, dev + 2048), VMB_EHANDLE); /* another generation */
	cr_assert_eq(vmb_host_remove(NULL, dev), VMB_EINVAL);
}

Test(host_remove, rapid_offer_and_removal_ends_as_it_should)
{
	for (int i = 0; i < 200; i++) {
		removed();
		hb_expect(2, 1, 1);
		hb_rel(1);
		hb_event(VMB_EV_GONE, dev);
		dev = hb_offer(1);
		cr_assert_eq(hb_next()->data[184], 1);
	}
	hb_serve(1, dev, 1, 0);
}
