/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A flood costs who makes it: not the other channels of the guest, where their offers have limits, and never another guest. gpadl.md 8,
 * control-plane.md 1.4 */
#include "hostbench.h"

#include <criterion/criterion.h>
#include <string.h>

#define FAILED 0x8000ffffu

static vmb_handle offer_limited(unsigned n, uint32_t gpadls, uint32_t pages)
{
	struct vmb_offer o;
	vmb_handle ch;

	hb_offer_fill(&o, n, 0);
	o.max_gpadls = gpadls;
	o.max_gpadl_pages = pages;
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	return ch;
}

/* A list of 40 pages of which the bodies do not come. */
static void begin(uint32_t channel, uint32_t id)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8 };

	put32(msg + 8, channel);
	put32(msg + 12, id);
	put32(msg + 16, 41 * 8 | 1u << 16);
	put64(msg + 20, 40 * VMB_PAGE);
	cr_assert_eq(hb_post(1, msg, 20 + 27 * 8), 0);
}

/* Limits of the offers that add up to those of the host: nobody is refused what it was promised, in whatever order they come. */
Test(host_fairness, lists_of_each_channel)
{
	struct vmb_host_config cfg = { .vps = 8, .max_channels = 4, .max_gpadls = 12, .max_gpadl_pages = 60 };

	for (unsigned flood = 1; flood <= 3; flood++) {
		hb_new(&cfg, 0xa5);
		for (unsigned n = 1; n <= 3; n++)
			offer_limited(n, 4, 20);
		hb_connect(VMB_V5_3);
		for (uint32_t i = 0; i < 100; i++) {
			hb_gpadl(flood, 1000 + i, HB_RING_PFN, 5);
			hb_expect(10, 3, flood, 1000 + i, i < 4 ? 0 : FAILED);
		}
		cr_assert_eq(hb_info().refused_quota, 96);
		cr_assert_eq(hb_info().fate[VMB_FATE_QUOTA], 96);
		for (uint32_t n = 1; n <= 3; n++)
			for (uint32_t i = 0; n != flood && i < 5; i++) {
				hb_gpadl(n, i, HB_RING_PFN, i == 0 ? 17 : 1);
				hb_expect(10, 3, n, i, i < 4 ? 0 : FAILED);
			}
		cr_assert_eq(hb_info().gpadls, 12);
		cr_assert_eq(hb_info().gpadl_pages, 60);
		hb_free(hb);
	}
}

Test(host_fairness, lists_that_are_never_finished)
{
	struct vmb_host_config cfg = { .vps = 8, .max_channels = 4, .max_gpadls = 20, .max_gpadls_building = 5, .max_gpadl_pages = 1000 };

	hb_new(&cfg, 0xa5);
	offer_limited(1, 4, 0);
	offer_limited(2, 4, 0);
	hb_connect(VMB_V5_3);
	for (uint32_t i = 0; i < 50; i++)
		begin(1, 1000 + i);
	for (uint32_t i = 4; i < 50; i++)
		hb_expect(10, 3, 1, 1000 + i, FAILED);
	hb_quiet();
	begin(2, 7);
	hb_quiet();
	cr_assert_eq(hb_info().gpadls, 5);
}

/* All sockets that may wait do, and refusals wait for the slot: only further connects must come again. */
Test(host_fairness, connects)
{
	struct vmb_host_config cfg = { .vps = 8, .max_channels = 4, .max_hvsock = 2 };
	uint8_t msg[56] = { 21 };
	vmb_handle dev;
	int again = 0;

	hb_new(&cfg, 0xa5);
	dev = hb_offer(1);
	hb_connect(VMB_V5_3);
	hb->busy = true;
	for (uint32_t i = 0; i < 100; i++) {
		put32(msg + 24, i + 1);
		again += hb_post(1, msg, 40) == VMB_HV_NO_BUFFERS;
	}
	cr_assert_eq(again, 100 - 2 - 4);
	cr_assert_eq(hb_info().refused_quota, 4);
	cr_assert_eq(hb_info().fate[VMB_FATE_AGAIN], 94);
	hb_gpadl(1, 1, HB_RING_PFN, 4);
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 0), 0);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(get32(hb_next()->data), 23);
	hb_expect(10, 3, 1, 1, 0);
	hb_open(1, 5, 1, 0);
	hb_event(VMB_EV_HVSOCK, 0);
	hb_event(VMB_EV_HVSOCK, 0);
	hb_event(VMB_EV_OPEN, dev);
}

/* What the guest does with one channel stands for one event at most, before those of another. */
Test(host_fairness, events)
{
	vmb_handle a, b;

	hb_new(NULL, 0xa5);
	a = hb_offer(1);
	b = hb_offer(2);
	hb_connect(VMB_V5_3);
	for (uint32_t n = 1; n <= 2; n++) {
		hb_gpadl(n, hb_ring_id(n), hb_ring_pfn(n), 4);
		hb_expect(10, 3, n, hb_ring_id(n), 0);
	}
	hb_open(1, 1, hb_ring_id(1), 0);
	for (uint32_t i = 0; i < 1000; i++) { /* none of them is in place: the device has not answered */
		hb_close(1);
		hb_open(1, 2 + i, hb_ring_id(1), 0);
	}
	hb_open(2, 1, hb_ring_id(2), 0);
	hb_event(VMB_EV_OPEN, a);
	hb_event(VMB_EV_OPEN, b);
	hb_no_event();
	cr_assert_eq(hb_info().events_most, 2);
}

/* A device that never answers: the other one opens, closes and opens again. */
Test(host_fairness, a_device_that_never_answers)
{
	vmb_handle a, b;

	hb_new(NULL, 0xa5);
	a = hb_offer(1);
	b = hb_offer(2);
	hb_connect(VMB_V5_3);
	hb_gpadl(1, 77, HB_RING_PFN, 4);
	hb_expect(10, 3, 1, 77, 0);
	hb_open(1, 1, 77, 0);
	hb_event(VMB_EV_OPEN, a);
	for (unsigned i = 0; i < 20; i++) {
		cr_assert_not_null(hb_serve(2, b, 2, 0));
		hb_close(2);
		hb_event(VMB_EV_CLOSE, b);
		cr_assert_eq(vmb_host_detach(hb->h, b), 0);
		hb_event(VMB_EV_CLOSED, b);
		hb_teardown(2, hb_ring_id(2));
		hb_expect(12, 1, hb_ring_id(2));
	}
	hb_no_event();
}

/* Offers have their limit; sockets that the device accepts are offers like others. */
Test(host_fairness, offers)
{
	struct vmb_host_config cfg = { .vps = 8, .max_channels = 3, .max_hvsock = 2 };
	struct vmb_offer o = { .size = sizeof o };
	struct vmb_hvsock s = { .service = { { 1 } }, .endpoint = { { 2 } } };
	uint8_t msg[56] = { 21 };
	vmb_handle ch;

	hb_new(&cfg, 0xa5);
	for (unsigned n = 1; n <= 3; n++)
		hb_offer(n);
	hb_connect(VMB_V5_3);
	msg[24] = 1;
	msg[8] = 2;
	cr_assert_eq(hb_post(1, msg, 40), 0);
	hb_event(VMB_EV_HVSOCK, 0);
	cr_assert_eq(vmb_hvsock_offer(&s, &o), 0);
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), VMB_ENOSPACE);
	cr_assert_eq(hb_info().refused_quota, 1);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, VMB_ENOSPACE), 0);
	cr_assert_eq(get32(hb_next()->data), 23);
	cr_assert_not_null(hb_serve(2, 0x802, 2, 0));
}

/* Two guests: one floods its end with all that there is, and nobody empties its slot. The other one sees nothing of it. */
Test(host_fairness, another_guest)
{
	struct vmb_host_config cfg = { .vps = 8, .max_channels = 4, .max_gpadls = 10, .max_messages = 20, .max_hvsock = 1 };
	struct hb *bad, *good;
	uint8_t msg[56] = { 21 };
	vmb_handle dev;

	bad = hb_new(&cfg, 0xa5);
	hb_offer(1);
	hb_connect(VMB_V5_3);
	good = hb_new(&cfg, 0xa5);
	dev = hb_offer(1);
	hb_connect(VMB_V5_3);
	hb = bad;
	hb->busy = true;
	for (uint32_t i = 0; i < 1000; i++) {
		uint8_t list[VMB_MESSAGE_MAX];
		uint32_t len = hb_gpadl_bytes(list, 1, i, HB_RING_PFN, 4);

		(void)hb_post(1, list, len);
		(void)hb_post(1, "\7\0\0\0\0\0\0\0\1\0\0\0", 12);
		(void)hb_post(1, msg, 40);
		cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	}
	cr_assert_gt(hb_info().fate[VMB_FATE_AGAIN], 1000u);
	cr_assert_leq(hb_info().queued_most, 20u + 10 + 4 + 1);
	hb = good;
	cr_assert_not_null(hb_serve(1, dev, 1, 0));
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(hb_info().fate[VMB_FATE_AGAIN] + hb_info().refused_quota + hb_info().dropped + hb_info().stray_events, 0);
}
