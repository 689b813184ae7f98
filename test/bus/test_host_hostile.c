/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A guest that means harm: each check of control-plane.md 20.1, and each of the old mistakes of 21 that can be made here, by
 * its name. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hostbench.h"

enum { RING = 0x70, FAILED = (int)0x8000ffff };

static vmb_handle dev;
static struct vmb_channel *channel;

static void start(void)
{
	hb_start(2);
	dev = hb_handle(1);
	hb_connect(VMB_V5_3);
}

TestSuite(host_hostile, .init = start);

/* What the guest could see or break is as it was. */
static void unharmed(void)
{
	hb_no_event();
	hb_quiet();
	hb_sound();
	cr_assert_eq(hb_info().state, VMB_BUS_RUNNING);
	channel = hb_serve(1, dev, 1, 0);
}

/* ---- 20.1 */

Test(host_hostile, the_payload_size_is_the_transports)
{
	uint8_t in[256] = { 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 11, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1 };

	channel = hb_serve(1, dev, 1, 0);
	cr_assert_eq(vmb_host_post(hb->h, in, sizeof in), 0); /* CLOSE_CHANNEL with 3 of its 4 bytes, though they are all there */
	cr_assert_eq(hb_info().dropped, 1);
	hb_no_event();
	in[12] = 12;
	cr_assert_eq(vmb_host_post(hb->h, in, sizeof in), 0);
	hb_event(VMB_EV_CLOSE, dev);
}

Test(host_hostile, below_8_bytes)
{
	for (uint32_t len = 0; len < 8; len++)
		cr_assert_eq(hb_post(1, "\3\0\0\0\0\0\0\0", len), 0);
	cr_assert_eq(hb_info().dropped, 8);
	unharmed();
}

Test(host_hostile, every_type_at_every_size_below_its_own)
{
	static const struct { uint32_t type, bytes; } row[] = {
		{ 3, 8 }, { 5, 148 }, { 7, 12 }, { 8, 20 }, { 9, 16 }, { 11, 16 }, { 13, 12 }, { 14, 40 },
		{ 16, 8 }, { 21, 40 }, { 22, 16 },
	};
	uint64_t dropped = 0;

	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		uint8_t msg[VMB_MESSAGE_MAX];

		memset(msg, 0xff, sizeof msg);
		put32(msg, row[i].type);
		for (uint32_t len = 0; len < row[i].bytes; len++, dropped++)
			cr_assert_eq(hb_post(1, msg, len), 0);
	}
	cr_assert_eq(hb_info().dropped, dropped);
	unharmed();
}

Test(host_hostile, the_header_padding_is_ignored)
{
	uint8_t msg[12] = { 7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1 };

	channel = hb_serve(1, dev, 1, 0);
	cr_assert_eq(hb_post(1, msg, 12), 0);
	hb_event(VMB_EV_CLOSE, dev);
}

Test(host_hostile, channel_ids_out_of_bounds)
{
	static const uint32_t ids[] = { 0, 3, 16, 17, 2047, 2048, 2049, 0x10001, 0x7fffffff, 0x80000001, 0xfffffffe, 0xffffffff };

	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		uint64_t dropped = hb_info().dropped;

		hb_open(ids[i], 1, 1, 0);
		hb_close(ids[i]);
		hb_teardown(ids[i], 1);
		hb_rel(ids[i]);
		hb_quiet();
		cr_assert_eq(hb_info().dropped, dropped + 4);
		hb_modify(ids[i], 0);
		hb_expect(24, 2, ids[i], FAILED);
		hb_gpadl(ids[i], 1, 1, 1);
		hb_expect(10, 3, ids[i], 1, FAILED);
	}
	unharmed();
}

Test(host_hostile, a_flood_of_contacts_keeps_one_pending)
{
	channel = hb_serve(1, dev, 1, 0);
	for (uint32_t i = 0; i < 10000; i++)
		hb_contact(i % 2 ? VMB_V5_3 : 0x12345);
	cr_assert_eq(hb_info().queued, 0);
	hb_event(VMB_EV_CLOSE, dev);
	hb_no_event();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(15, 2, 1, 1);
	hb_quiet();
	hb->busy = true;
	for (uint32_t i = 0; i < 10000; i++)
		hb_contact(VMB_V4_0);
	cr_assert_eq(hb_info().queued, 1);
}

Test(host_hostile, monitor_pages_are_never_mapped)
{
	uint8_t msg[56];

	hb_contact_bytes(msg, VMB_V5_3, 0);
	put32(msg + 24, 0x1000);
	put32(msg + 36, 0xffffff00); /* far beyond RAM */
	cr_assert_eq(hb_post(1, msg, 40), 0);
	hb_expect(15, 2, 1, 1);
	cr_assert_eq(hb->map_calls, 0);
	put32(msg + 24, 0x1001);
	cr_assert_eq(hb_post(1, msg, 40), 0);
	hb_expect(15, 2, 1 | 2 << 8, 1);
}

Test(host_hostile, an_interrupt_page_beyond_ram)
{
	uint8_t msg[56];

	hb_contact_bytes(msg, VMB_V1_1, 0);
	memset(msg + 16, 0xff, 8);
	msg[16] = 0;
	msg[17] = 0xf0;
	cr_assert_eq(hb_post(1, msg, 40), 0);
	hb_expect(15, 2, 0, 0);
	cr_assert_eq(hb->map_calls, 1);
	cr_assert_eq(hb->all_mapped, 0);
}

Test(host_hostile, target_vps_that_do_not_exist_are_an_error_not_a_crash)
{
	hb_gpadl(1, RING, HB_RING_PFN, 4);
	hb_expect(10, 3, 1, RING, 0);
	hb_open(1, 7, RING, 8);
	hb_expect(6, 3, 1, 7, FAILED);
	hb_open(1, 7, RING, 0x80000000);
	hb_expect(6, 3, 1, 7, FAILED);
	unharmed();
	hb_modify(1, 0x80000000);
	hb_expect(24, 2, 1, FAILED);
}

Test(host_hostile, signal_parameters_without_their_feature_are_ignored)
{
	struct vmb_open_info info = { .size = sizeof info };
	uint8_t msg[156] = { 0 };

	hb_connect(VMB_V6_0);
	hb_gpadl(1, RING, HB_RING_PFN, 4);
	hb_expect(10, 3, 1, RING, 0);
	hb_open_bytes(msg, 1, 7, RING, 0, 2);
	put32(msg + 148, 1); /* the message connection */
	put32(msg + 152, 0x00010fff);
	cr_assert_eq(hb_post(1, msg, 156), 0);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.connection_id, 0x2001);
	cr_assert_eq(info.event_flag, 1);
	cr_assert_eq(hb_post(1, "\3\0\0\0\0\0\0\0", 8), 0);
}

Test(host_hostile, one_open_in_flight)
{
	hb_gpadl(1, RING, HB_RING_PFN, 4);
	hb_expect(10, 3, 1, RING, 0);
	for (uint32_t i = 0; i < 100; i++)
		hb_open(1, i, RING, 0);
	hb_event(VMB_EV_OPEN, dev);
	hb_no_event();
	cr_assert_eq(hb_info().dropped, 99);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_expect(6, 3, 1, 0, 0);
	for (uint32_t i = 0; i < 100; i++)
		hb_open(1, i, RING, 0);
	hb_no_event();
	hb_quiet();
}

Test(host_hostile, unknown_types_are_not_answered)
{
	static const uint32_t types[] = { 0, 30, 31, 255, 256, 0x10003, 0x7fffffff, 0x80000000, 0xffffffff };

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		hb_words(types[i], 10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1);
	cr_assert_eq(hb_info().dropped, sizeof types / sizeof *types);
	unharmed();
}

Test(host_hostile, the_hosts_own_messages_come_back)
{
	for (unsigned i = 0; i < hb->n_sent; i++) {
		struct hb_message m = hb->sent[i];

		cr_assert_eq(hb_post(1, m.data, m.len), 0);
	}
	cr_assert_gt(hb_info().dropped, 3);
	unharmed();
}

Test(host_hostile, all_bits_of_the_interrupt_page)
{
	uint8_t *page = hb->ram + (uint64_t)HB_PAGE_PFN * VMB_PAGE;

	hb_connect(VMB_V1_1);
	channel = hb_serve(1, dev, 1, 0);
	hb->wakes = 0;
	memset(page, 0xff, VMB_PAGE);
	cr_assert_eq(vmb_host_signal(hb->h, 2, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(hb_info().stray_events, 2047);
	for (int i = 0; i < 256; i++)
		cr_assert_eq(page[2048 + i], 0);
	cr_assert_eq(page[2048 + 256], 0xff); /* no channel can be there */
	cr_assert_eq(page[0], 0xff);
}

Test(host_hostile, nothing_is_unmapped_under_a_device_whatever_the_guest_says)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_teardown(1, hb_ring_id(1));
	hb_close(1);
	hb_rel(1);
	hb_unload();
	hb_contact(VMB_V5_3);
	hb_contact(VMB_V1_1);
	hb_contact(0x99999);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	hb_drain_events();
	cr_assert_eq(hb->all_mapped, 4);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(hb->mapped[hb_ring_pfn(1) + i], 1);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(hb->all_mapped, 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_GONE, dev);
	hb_sound();
}

/* ---- 21, host side, by number; 12 to 16, 18, 20 and 26 are of parts that are not here */

Test(host_hostile, pitfall_1_pages_of_the_connection_outlive_it)
{
	hb_connect(VMB_V1_1);
	cr_assert_eq(hb->all_mapped, 1);
	hb_unload(); /* no channel was open */
	cr_assert_eq(hb->all_mapped, 0);
	hb_skip();
	hb_connect(VMB_V1_1);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	cr_assert_eq(hb->all_mapped, 0);
	hb_sound();
}

Test(host_hostile, pitfall_2_an_incomplete_gpadl_outlives_its_channel)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, RING, 0, 0, 0, 248, 0, 1 };

	cr_assert_eq(hb_post(1, msg, 236), 0);
	hb_rel(1);
	cr_assert_eq(hb_info().gpadls, 0);
	hb_gpadl(2, RING, 0x40, 2);
	hb_expect(10, 3, 2, RING, 0);
}

Test(host_hostile, pitfall_3_no_reply_to_a_malformed_gpadl)
{
	uint8_t msg[28] = { 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, RING, 0, 0, 0, 8, 0, 1 };

	cr_assert_eq(hb_post(1, msg, 28), 0);
	hb_expect(10, 3, 1, RING, FAILED);
}

Test(host_hostile, pitfall_4_failure_on_a_revoked_channel)
{
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	hb_expect(2, 1, 1);
	hb_gpadl(1, RING, 0x40, 2);
	hb_expect(10, 3, 1, RING, 0);
}

Test(host_hostile, pitfall_5_primary_rescinded_before_its_subchannels)
{
	hb_suboffer(1, 1);
	cr_assert_not_null(hb_next());
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	hb_expect(2, 1, 3);
	hb_expect(2, 1, 1);
}

Test(host_hostile, pitfall_6_reset_waits_for_an_open_that_is_never_answered)
{
	hb_gpadl(1, RING, HB_RING_PFN, 4);
	hb_open(1, 7, RING, 0);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_event(VMB_EV_RESET, 0);
}

Test(host_hostile, pitfall_7_a_late_answer_after_revoke_and_offer)
{
	struct vmb_event late;
	vmb_handle now;

	hb_gpadl(1, RING, HB_RING_PFN, 4);
	hb_open(1, 7, RING, 0);
	hb_event(VMB_EV_OPEN, dev);
	late = hb->ev;
	hb_skip();
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	now = hb_offer(1);
	hb_rel(1);
	hb_skip();
	cr_assert_eq(vmb_host_answer(hb->h, &late, 0), VMB_ENOENT);
	hb_quiet();
	hb_event(VMB_EV_GONE, dev);
	dev = now;
	unharmed();
}

Test(host_hostile, pitfall_8_a_signal_before_the_device_is_lost)
{
	hb_gpadl(1, RING, HB_RING_PFN, 4);
	hb_open(1, 7, RING, 0);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), 0);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	cr_assert_eq(hb->wakes, 1);
}

Test(host_hostile, pitfall_9_a_monitor_id_for_whom_it_cannot_serve)
{
	for (unsigned i = 0; i < hb->n_sent; i++)
		if (hb->sent[i].data[0] == 1) {
			cr_assert_eq(hb->sent[i].data[188], 0xff);
			cr_assert_eq(hb->sent[i].data[189], 0);
		}
}

Test(host_hostile, pitfall_10_no_interrupts_taken_for_a_vp)
{
	channel = hb_serve(1, dev, 1, 0xffffffff);
	cr_assert_eq(vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND }), 0);
	cr_assert_eq(hb->interrupts, 0);
}

Test(host_hostile, pitfall_11_close_reserved_while_disconnected)
{
	hb_unload();
	hb_expect(17, 0);
	hb_words(19, 3, 1, 0, 2);
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 1);
}

Test(host_hostile, pitfall_17_user_defined_bytes_of_pipes_rewritten)
{
	struct vmb_offer o;
	const struct hb_message *m;
	vmb_handle ch;

	hb_offer_fill(&o, 9, 0);
	o.flags |= VMB_OFFER_PIPE;
	memset(o.user_defined, 0xab, sizeof o.user_defined);
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	m = hb_next();
	cr_assert_eq(memcmp(m->data + 60, o.user_defined, 120), 0);
}

Test(host_hostile, pitfall_19_client_id_of_a_short_message)
{
	uint8_t msg[56];

	hb_contact_bytes(msg, VMB_V6_0, 0);
	put32(msg + 20, 8);
	cr_assert_eq(hb_post(1, msg, 40), 0);
	hb_quiet();
	cr_assert_eq(hb_info().state, VMB_BUS_RUNNING); /* as if nothing had come */
	unharmed();
}

Test(host_hostile, pitfall_21_rapid_offer_and_rescind)
{
	/* What the guest has not taken is not sent twice. */
	hb->busy = true;
	for (int i = 0; i < 100; i++) {
		vmb_handle ch = hb_offer(9);

		cr_assert_eq(vmb_host_remove(hb->h, ch), 0);
		hb_event(VMB_EV_GONE, ch);
	}
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 0), 0);
	unharmed();
}

Test(host_hostile, pitfall_22_payload_sizes_rounded_up)
{
	static const struct { uint32_t type, len; } exact[] = {
		{ 1, 196 }, { 2, 12 }, { 4, 8 }, { 6, 20 }, { 10, 20 }, { 12, 12 }, { 15, 16 }, { 17, 8 }, { 23, 44 }, { 24, 16 },
	};
	unsigned seen = 0;

	channel = hb_serve(1, dev, 1, 0);
	hb_modify(1, 1);
	hb_words(21, 8, 1, 2, 3, 4, 5, 6, 7, 8);
	hb_gpadl(1, 5, 0x40, 1);
	hb_teardown(1, 5);
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(2)), 0);
	hb_unload();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	for (unsigned i = 0; i < hb->n_sent; i++)
		for (unsigned k = 0; k < 10; k++)
			if (hb->sent[i].data[0] == exact[k].type) {
				cr_assert_eq(hb->sent[i].len, exact[k].len, "type %u: %u bytes", exact[k].type, hb->sent[i].len);
				seen |= 1u << k;
			}
	cr_assert_eq(seen, 0x3ff);
}

Test(host_hostile, pitfall_23_any_version_up_to_a_maximum)
{
	hb_contact(0x00040002);
	hb_expect(15, 2, 0, 0);
	hb_contact(0x00030001);
	hb_expect(15, 2, 0, 0);
	hb_contact(1);
	hb_expect(15, 2, 0, 0);
	hb_contact(0);
	hb_expect(15, 2, 0, 0);
	hb_contact(0xffffffff);
	hb_expect(15, 2, 0, 0);
}

Test(host_hostile, pitfall_24_target_vp_before_2_4)
{
	hb_connect(VMB_V1_1);
	channel = hb_serve(1, dev, 1, 7);
	cr_assert_eq(vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND }), 0);
	cr_assert_eq(hb->interrupt[0].vp, 0);
}

Test(host_hostile, pitfall_25_a_body_after_the_list_is_full)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, RING };
	uint8_t small[20] = { 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, RING + 1, 0, 0, 0, 0, 0, 0xff, 0xff };

	hb_gpadl(1, RING, 0x40, 2);
	hb_expect(10, 3, 1, RING, 0);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(hb_post(1, msg, 240), 0);
	hb_quiet();
	cr_assert_eq(hb_post(1, small, 20), 0); /* buflen 0, 65535 ranges: the difference of both */
	hb_expect(10, 3, 1, RING + 1, FAILED);
	unharmed();
}

Test(host_hostile, pitfall_27_the_table_is_too_short_for_the_last_id)
{
	struct vmb_host_config cfg = { .first_channel_id = 2047, .max_channels = 1 };

	hb_new(&cfg, 0);
	dev = hb_offer(1);
	hb_connect(VMB_V5_3);
	channel = hb_serve(1, dev, 2047, 0);
	hb->wakes = 0;
	cr_assert_eq(vmb_host_signal(hb->h, 0x27ff, 0), 0);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND }), 0);
	cr_assert_eq(hb->interrupt[0].flag, 2047);
	hb_rel(2047);
	hb_close(2047);
}
