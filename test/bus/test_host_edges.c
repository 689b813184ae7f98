/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Cases at the edge of a rule that no other test of the host end is about. */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

#define FAILED 0x8000ffffu

TestSuite(host_edges, .timeout = 60);

/* An id that a device asked for stays its own when the guest has released it, but the guest cannot name it any more. control-plane.md 20.1 */
Test(host_edges, a_claimed_id_that_was_released_names_nothing)
{
	struct vmb_offer o;
	vmb_handle ch;

	hb_start(0);
	hb_offer_fill(&o, 1, 0);
	o.channel_id = 5;
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	hb_connect(VMB_V5_3);
	hb_rel(5);
	hb_quiet();
	hb_gpadl(5, 0x77, 0x40, 4);
	hb_expect(10, 3, 5, 0x77, FAILED);
	hb_open(5, 1, 0x77, 0);
	hb_close(5);
	hb_rel(5);
	hb_teardown(5, 0x77);
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 4);
	cr_assert_eq(hb_info().gpadls, 0);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2005, 0), VMB_HV_INVALID_CONNECTION);
	hb_no_event();
}

/* SINT 15 is the last one. control-plane.md 20.1 */
Test(host_edges, the_last_sint)
{
	uint8_t msg[56];
	const struct hb_message *m;

	hb_start(0);
	hb_contact_bytes(msg, VMB_V5_0, 6);
	msg[16] = 15;
	cr_assert_eq(hb_post(4, msg, 40), 0);
	m = hb_next();
	cr_assert_not_null(m);
	cr_assert_eq(m->sint, 15);
	msg[16] = 16;
	cr_assert_eq(hb_post(4, msg, 40), 0);
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 1);
}

/* The guest wants a list back, then the device goes: the question that was put is not put again. gpadl.md 5.4 */
Test(host_edges, a_held_list_is_asked_for_once)
{
	uint64_t words[8];
	struct vmb_list list;
	struct vmb_event question;
	vmb_handle ch;

	hb_start(1);
	ch = hb_handle(1);
	hb_connect(VMB_V5_3);
	hb_gpadl(1, 0x77, 0x40, 4);
	hb_expect(10, 3, 1, 0x77, 0);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, ch, 0x77, words, 5, &list), 0, "room for exactly its words");
	cr_assert_eq(list.count, 5);
	hb_teardown(1, 0x77);
	hb_event(VMB_EV_GPADL_DOWN, ch);
	question = hb->ev;
	cr_assert_eq(vmb_host_remove(hb->h, ch), 0);
	hb_no_event();
	cr_assert_eq(vmb_host_answer(hb->h, &question, 0), 0, "it is still the question");
	hb_expect(12, 1, 0x77);
	hb_expect(2, 1, 1);
}

/* Rings that the embedder has mapped are the embedder's to unmap. DESIGN 4 */
Test(host_edges, rings_of_the_embedders_own_mapping_are_left_to_it)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_channel *ch;
	uint8_t *ring;
	vmb_handle dev;
	size_t bytes;
	void *mem;

	hb_start(1);
	dev = hb_handle(1);
	hb_connect(VMB_V5_3);
	hb_gpadl(1, 0x77, 0x40, 4);
	hb_expect(10, 3, 1, 0x77, 0);
	hb_open(1, 9, 0x77, 0);
	hb_event(VMB_EV_OPEN, dev);
	ring = hb->ram + 0x40 * VMB_PAGE;
	cfg.rx = (struct vmb_ring_mem){ ring, ring + VMB_PAGE, NULL, 1, 0 };
	cfg.tx = (struct vmb_ring_mem){ ring + 2 * VMB_PAGE, ring + 3 * VMB_PAGE, NULL, 1, 0 };
	mem = hb_channel_mem(1, &bytes);
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &ch), 0);
	hb_expect(6, 3, 1, 9, 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	cr_assert(hb->map_calls == 0 && hb->unmapped == 0);
	hb_sound();
}

/* While a channel object is out, attached or served elsewhere, the end cannot be taken away. DESIGN 4 */
Test(host_edges, an_end_with_objects_out_does_not_end)
{
	vmb_handle dev;

	hb_start(2);
	dev = hb_handle(1);
	hb_connect(VMB_V5_3);
	(void)hb_serve(1, dev, 1, 0);
	cr_assert_eq(vmb_host_end(hb->h), VMB_ESTATE);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(vmb_host_end(hb->h), 0);
}

/* ---- ring.md R12 */

static uint8_t *guests_half(void)
{
	return hb->ram + (uint64_t)HB_PAGE_PFN * VMB_PAGE + 2048;
}

static int guest_signals_again(void)
{
	guests_half()[0] |= 2;
	hb->inside = NULL;
	return 0;
}

/* The guest signals once more while the device is being woken for the first time: that must not get lost. */
Test(host_edges, R12_a_bit_that_comes_while_the_device_is_woken_stays)
{
	hb_start(1);
	hb_connect(VMB_V1_1);
	(void)hb_serve(1, hb_handle(1), 1, 0);
	hb->wakes = 0;
	guests_half()[0] = 2;
	hb->inside = guest_signals_again;
	cr_assert_eq(vmb_host_signal(hb->h, 2, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(guests_half()[0], 2);
	cr_assert_eq(vmb_host_signal(hb->h, 2, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 2);
	cr_assert_eq(guests_half()[0], 0);
}

/* ---- 6.0, and channels beside the connection */

/* Connection ids of the guest's choice come and go until the table of them has no place that never held one. An id that is not there is still
 * told so. control-plane.md 6.4 */
Test(host_edges, many_connection_ids_one_after_the_other)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .features = VMB_FEATURE_SIGNAL_PARAMETERS, .max_channels = 8 };
	uint8_t msg[156] = { 0 };
	vmb_handle dev;

	hb_new(&cfg, 0);
	dev = hb_offer(1);
	hb_contact_bytes(msg, VMB_V6_0, 0);
	put32(msg + 20, VMB_FEATURE_SIGNAL_PARAMETERS);
	cr_assert_eq(hb_post(4, msg, 56), VMB_HV_SUCCESS);
	hb_skip();
	hb_request();
	hb_skip();
	hb_skip();
	hb_drain_events();
	hb_gpadl(1, 0x77, 0x40, 4);
	hb_skip();
	for (uint32_t i = 0; i < 500; i++) {
		memset(msg, 0, sizeof msg);
		hb_open_bytes(msg, 1, i, 0x77, 0, 2);
		put32(msg + 148, 0x100000 + i * 7);
		msg[152] = 1;
		cr_assert_eq(hb_post(4, msg, 156), VMB_HV_SUCCESS);
		hb_event(VMB_EV_OPEN, dev);
		cr_assert_eq(vmb_host_signal(hb->h, 0x100000 + i * 7, 0), VMB_HV_SUCCESS);
		cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, VMB_EREFUSED), 0);
		hb_expect(6, 3, 1, i, FAILED);
		cr_assert_eq(vmb_host_signal(hb->h, 0x100000 + i * 7, 0), VMB_HV_INVALID_CONNECTION);
		cr_assert_eq(vmb_host_signal(hb->h, 0x200000 + i, 0), VMB_HV_INVALID_CONNECTION);
	}
	hb_sound();
}

/* A device that starts anew with each open does not while it has subchannels. vmbus.h VMB_OFFER_RENEW */
Test(host_edges, a_channel_with_subchannels_is_not_renewed)
{
	struct vmb_offer o;
	vmb_handle dev, sub;

	hb_new(NULL, 0);
	hb_offer_fill(&o, 1, 0);
	o.flags |= VMB_OFFER_RENEW;
	cr_assert_eq(vmb_host_offer(hb->h, &o, &dev), 0);
	sub = hb_suboffer(1, 1);
	hb_connect(VMB_V5_3);
	hb_drain_events();
	(void)hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_quiet();
	cr_assert_eq(vmb_host_remove(hb->h, sub), 0);
	hb_expect(2, 1, 2);
	hb_sound();
}

/* A reserved channel that nobody serves any more is closed at once. control-plane.md 10.5 */
Test(host_edges, a_reserved_channel_without_a_device_is_closed)
{
	struct vmb_channel *channel;
	const struct hb_message *m;
	vmb_handle dev;

	hb_start(1);
	dev = hb_handle(1);
	hb_connect(VMB_V5_3);
	hb_gpadl(1, hb_ring_id(1), hb_ring_pfn(1), 4);
	hb_skip();
	hb_words(18, 5, 1, 3, 5, hb_ring_id(1), 2);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_skip();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_quiet();
	hb_words(19, 3, 1, 4, 6);
	m = hb_next();
	cr_assert_not_null(m);
	cr_assert(m->vp == 4 && m->sint == 6 && m->len == 12 && m->data[0] == 20 && m->data[8] == 1);
	hb_quiet();
	hb_no_event();
	hb_teardown(1, hb_ring_id(1));
	hb_expect(12, 1, hb_ring_id(1));
	(void)hb_serve(1, dev, 1, 0);
	hb_sound();
}
