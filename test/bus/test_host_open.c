/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Opening and retargeting a channel at the host end. control-plane.md 10, gpadl.md 6 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

enum { RING = 0x70, FAILED = (int)0x8000ffff };

static vmb_handle dev;
static struct vmb_channel *channel;

static void start_at(uint32_t version)
{
	hb_start(2);
	dev = hb_handle(1);
	hb_connect(version);
}

static void start(void)
{
	start_at(VMB_V5_3);
}

TestSuite(host_open, .init = start);

static void gpadl(uint32_t id, uint32_t pages)
{
	hb_gpadl(1, id, HB_RING_PFN, pages);
	hb_expect(10, 3, 1, id, 0);
}

static void open_with(uint32_t id, uint32_t vp, uint32_t rx_pages)
{
	uint8_t msg[148];

	hb_open_bytes(msg, 1, 77, id, vp, rx_pages);
	cr_assert_eq(hb_post(1, msg, sizeof msg), 0);
}

/* The guest is told no, at once; the channel stays closed. */
static void refused(uint32_t id, uint32_t vp, uint32_t rx_pages)
{
	open_with(id, vp, rx_pages);
	hb_expect(6, 3, 1, 77, FAILED);
	hb_no_event();
}

static void word(uint64_t page, uint32_t at, uint32_t v)
{
	put32(hb->ram + page * VMB_PAGE + at, v);
}

static int send(void)
{
	return vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND, .payload = "01234567", .len = 8 });
}

/* ---- checks of an OPEN: control-plane.md 10.2, gpadl.md 6 */

Test(host_open, without_its_gpadl) { refused(RING, 0, 2); }

Test(host_open, with_a_gpadl_of_another_channel)
{
	hb_gpadl(2, RING, HB_RING_PFN, 4);
	hb_expect(10, 3, 2, RING, 0);
	refused(RING, 0, 2);
}

Test(host_open, with_a_gpadl_that_is_not_complete)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, RING, 0, 0, 0, 248, 0, 1 };

	cr_assert_eq(hb_post(1, msg, 236), 0);
	refused(RING, 0, 2);
}

Test(host_open, with_a_gpadl_that_is_being_torn_down)
{
	hb_serve(1, dev, 1, 0);
	hb_teardown(1, hb_ring_id(1));
	hb_close(1);
	hb_drain_events();
	open_with(hb_ring_id(1), 0, 2); /* gpadl.md 10 (18) */
	hb_expect(6, 3, 1, 77, FAILED);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(12, 1, hb_ring_id(1));
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
}

Test(host_open, with_two_ranges)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, RING, 0, 0, 0, 48, 0, 2 };

	put32(msg + 20, 0x2000);
	msg[28] = 0x10;
	msg[36] = 0x11;
	put32(msg + 44, 0x2000);
	msg[52] = 0x12;
	msg[60] = 0x13;
	cr_assert_eq(hb_post(1, msg, 68), 0);
	hb_expect(10, 3, 1, RING, 0);
	refused(RING, 0, 2);
}

Test(host_open, with_an_offset)
{
	uint8_t msg[VMB_MESSAGE_MAX];

	hb_gpadl_bytes(msg, 1, RING, HB_RING_PFN, 5);
	put32(msg + 20, 0x4000);
	put32(msg + 24, 8);
	cr_assert_eq(hb_post(1, msg, 68), 0);
	hb_expect(10, 3, 1, RING, 0);
	refused(RING, 0, 2);
}

Test(host_open, with_part_of_a_page)
{
	uint8_t msg[VMB_MESSAGE_MAX];

	hb_gpadl_bytes(msg, 1, RING, HB_RING_PFN, 4);
	put32(msg + 20, 0x3ff8);
	cr_assert_eq(hb_post(1, msg, 60), 0);
	hb_expect(10, 3, 1, RING, 0);
	refused(RING, 0, 2);
}

Test(host_open, with_rings_that_leave_no_data)
{
	static const uint32_t bad[] = { 0, 1, 3, 4, 5, 6, 0x7fffffff, 0xfffffffe, 0xffffffff };

	gpadl(RING, 4);
	for (int i = 0; i < 9; i++)
		refused(RING, 0, bad[i]);
	gpadl(RING + 1, 3);
	refused(RING + 1, 0, 2);
	refused(RING + 1, 0, 1);
	gpadl(RING + 2, 1);
	refused(RING + 2, 0, 1);
}

Test(host_open, with_a_vp_that_does_not_exist)
{
	gpadl(RING, 4);
	refused(RING, 8, 2);
	refused(RING, 0xfffffffe, 2);
	open_with(RING, 7, 2);
	hb_event(VMB_EV_OPEN, dev);
}

Test(host_open, below_2_4_the_vp_is_ignored)
{
	struct vmb_open_info info = { .size = sizeof info };

	hb_free(hb);
	start_at(VMB_V1_1);
	gpadl(RING, 4);
	open_with(RING, 0x1234, 2); /* control-plane.md 21 (24) */
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.target_vp, 0);
	cr_assert_eq(info.event_flag, 0);
}

Test(host_open, of_148_bytes_and_longer_but_not_shorter)
{
	uint8_t msg[156] = { 0 };

	gpadl(RING, 4);
	hb_open_bytes(msg, 1, 77, RING, 0, 2);
	cr_assert_eq(hb_post(1, msg, 147), 0);
	hb_no_event();
	cr_assert_eq(hb_info().dropped, 1);
	memset(msg + 148, 0xff, 8); /* what UEFI appends */
	cr_assert_eq(hb_post(1, msg, 156), 0);
	hb_event(VMB_EV_OPEN, dev);
	hb_quiet();
}

Test(host_open, echoes_the_open_id_either_way)
{
	hb_open(1, 0xdeadbeef, RING, 0);
	hb_expect(6, 3, 1, 0xdeadbeef, FAILED);
	gpadl(RING, 4);
	hb_open(1, 0, RING, 0);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_expect(6, 3, 1, 0, 0);
}

Test(host_open, tells_what_the_guest_said)
{
	struct vmb_open_info info = { .size = sizeof info };

	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), VMB_ESTATE);
	gpadl(RING, 9);
	open_with(RING, 5, 3);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb->ev.user, 101);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.size, sizeof info);
	cr_assert_eq(info.flags, 0);
	cr_assert_eq(info.version, VMB_V5_3);
	cr_assert_eq(info.ring_gpadl, RING);
	cr_assert_eq(info.ring_pages, 9);
	cr_assert_eq(info.rx_pages, 3);
	cr_assert_eq(info.target_vp, 5);
	cr_assert_eq(info.target_sint, 2);
	cr_assert_eq(info.event_flag, 1);
	cr_assert_eq(info.connection_id, 0x2001);
	for (int i = 0; i < 120; i++)
		cr_assert_eq(info.user_data[i], i + 1);
	cr_assert_eq(vmb_host_open_info(hb->h, dev + 99, &info), VMB_EHANDLE);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, NULL), VMB_EINVAL);
}

Test(host_open, tells_it_also_when_the_question_has_lost_its_sense)
{
	struct vmb_open_info info = { .size = sizeof info };

	gpadl(RING, 9);
	open_with(RING, 5, 3);
	hb_event(VMB_EV_OPEN, dev);
	hb_unload();
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0); /* so that a device may go on to attach, which says it */
	cr_assert_eq(info.ring_pages, 9);
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTOPPED);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), VMB_ESTATE);
}

/* ---- the queued open: ClosingReopen */

Test(host_open, one_open_waits_for_the_close)
{
	struct vmb_open_info info = { .size = sizeof info };

	channel = hb_serve(1, dev, 1, 0);
	hb_gpadl(1, RING, 0x80, 6);
	hb_expect(10, 3, 1, RING, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	open_with(RING, 4, 3);
	hb_open(1, 99, RING, 0); /* a second one is an error */
	hb_quiet();
	hb_no_event();
	cr_assert_eq(hb_info().dropped, 1);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.ring_gpadl, hb_ring_id(1)); /* of what is served */
	hb_teardown(1, hb_ring_id(1));
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(12, 1, hb_ring_id(1));
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.ring_gpadl, RING);
	cr_assert_eq(info.rx_pages, 3);
	cr_assert_eq(info.target_vp, 4);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_expect(6, 3, 1, 77, 0);
	cr_assert_eq(hb->all_mapped, 6);
}

Test(host_open, with_the_ring_that_it_had)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	hb_open(1, 5, hb_ring_id(1), 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_OPEN, dev);
	hb_teardown(1, hb_ring_id(1));
	hb_quiet(); /* the open uses it */
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, VMB_EPLATFORM), 0);
	hb_expect(6, 3, 1, 5, FAILED);
	hb_expect(12, 1, hb_ring_id(1));
}

Test(host_open, a_bad_one_is_refused_at_once)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	open_with(hb_ring_id(1), 0, 9);
	hb_expect(6, 3, 1, 77, FAILED);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
}

Test(host_open, unload_forgets_it)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	hb_open(1, 5, hb_ring_id(1), 0);
	hb_unload();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(17, 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_no_event();
}

/* ---- MODIFY_CHANNEL: control-plane.md 10.3 */

Test(host_open, retargeted)
{
	struct vmb_open_info info = { .size = sizeof info };

	channel = hb_serve(1, dev, 1, 2);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[0].vp, 2);
	hb_modify(1, 6);
	hb_expect(24, 2, 1, 0);
	word(hb_ring_pfn(1) + 2, 4, 32);
	hb->pokes = 0;
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->pokes, 0); /* nobody waits for that any more */
	cr_assert_eq(hb->interrupt[1].vp, 6);
	cr_assert_eq(hb->interrupt[1].flag, 1);
	cr_assert_eq(hb->interrupt[1].sint, 2);
	cr_assert_eq(hb->interrupts, 2);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.target_vp, 6);
}

Test(host_open, retargeted_while_nobody_serves_it)
{
	channel = hb_serve(1, dev, 1, 2);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_modify(1, 6);
	hb_expect(24, 2, 1, 0);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[0].vp, 6);
}

Test(host_open, retargeted_to_what_does_not_exist)
{
	channel = hb_serve(1, dev, 1, 2);
	hb_modify(1, 8);
	hb_expect(24, 2, 1, FAILED);
	hb_modify(1, VMB_VP_NONE); /* nor can interrupts be switched off */
	hb_expect(24, 2, 1, FAILED);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[0].vp, 2);
}

Test(host_open, without_interrupts)
{
	channel = hb_serve(1, dev, 1, VMB_VP_NONE); /* control-plane.md 21 (10) */
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupts, 0);
	hb_modify(1, 3); /* nor be switched on */
	hb_expect(24, 2, 1, FAILED);
	word(hb_ring_pfn(1) + 2, 4, 32);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupts, 0);
	hb->wakes = 0;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), 0);
	cr_assert_eq(hb->wakes, 1); /* the other direction works */
}
