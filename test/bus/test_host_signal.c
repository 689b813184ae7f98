/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Signals both ways, at every version, and what control may not do while somebody is inside a gate. control-plane.md 9 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

static vmb_handle dev;
static struct vmb_channel *channel;

static void start_at(uint32_t version)
{
	hb_start(3);
	dev = hb_handle(1);
	hb_connect(version);
}

static void start(void)
{
	start_at(VMB_V5_3);
}

TestSuite(host_signal, .init = start);

/* One packet; the guest has read all before it, so it is signalled. */
static int send(void)
{
	uint8_t *control = hb->ram + (hb_ring_pfn(1) + 2) * VMB_PAGE;

	memcpy(control + 4, control, 4);
	return vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND, .payload = "01234567", .len = 8 });
}

static uint8_t *page(void)
{
	return hb->ram + (uint64_t)HB_PAGE_PFN * VMB_PAGE;
}

/* ---- from the host */

static void to_guest(uint32_t version)
{
	int old = version < VMB_V2_4;

	hb_free(hb);
	start_at(version);
	channel = hb_serve(1, dev, 1, 5);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupts, 1);
	cr_assert_eq(hb->interrupt[0].vp, old ? 0 : 5);
	cr_assert_eq(hb->interrupt[0].vtl, 0);
	cr_assert_eq(hb->interrupt[0].sint, 2);
	cr_assert_eq(hb->interrupt[0].flag, old ? 0 : 1);
	for (unsigned i = 0; i < VMB_PAGE; i++)
		cr_assert_eq(page()[i], old && i == 0 ? 2 : 0);
}

static void to_host(uint32_t version)
{
	hb_free(hb);
	start_at(version);
	channel = hb_serve(1, dev, 1, 5);
	hb->wakes = 0;
	if (version < VMB_V2_4) {
		page()[2048] = 0x06; /* channels 1 and 2; 2 is not open */
		page()[2048 + 4] = 0x80; /* no such channel */
		page()[0] = 0x02;    /* the other direction */
		cr_assert_eq(vmb_host_signal(hb->h, 2, 0), VMB_HV_SUCCESS);
		cr_assert_eq(page()[2048], 0);
		cr_assert_eq(page()[2048 + 4], 0);
		cr_assert_eq(page()[0], 2);
		cr_assert_eq(hb->wakes, 1);
		cr_assert_eq(hb_info().stray_events, 2);
		cr_assert_eq(vmb_host_signal(hb->h, 2, 0), VMB_HV_SUCCESS);
		cr_assert_eq(hb->wakes, 1);
	} else {
		cr_assert_eq(vmb_host_signal(hb->h, 2, 0), VMB_HV_INVALID_CONNECTION);
	}
	hb->wakes = 0;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(hb->wake_user[0], 101);
}

#define ROUTES(v) \
	Test(host_signal, v##_to_the_guest) { to_guest(VMB_##v); } \
	Test(host_signal, v##_to_the_host) { to_host(VMB_##v); }
ROUTES(V0_13)
ROUTES(V1_1)
ROUTES(V2_4)
ROUTES(V3_0)
ROUTES(V4_0)
ROUTES(V4_1)
ROUTES(V5_0)
ROUTES(V5_1)
ROUTES(V5_2)
ROUTES(V5_3)
ROUTES(V6_0)

Test(host_signal, old_versions_without_a_page_still_interrupt)
{
	uint8_t msg[56];

	hb_connect(VMB_V1_1); /* with one */
	hb_contact_bytes(msg, VMB_V1_1, 0);
	memset(msg + 16, 0, 8);
	cr_assert_eq(hb_post(1, msg, 40), 0);
	hb_request();
	hb_skip();
	hb_drain_events();
	channel = hb_serve(1, dev, 1, 5);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[0].flag, 0);
	cr_assert_eq(hb->interrupt[0].vp, 0);
	cr_assert_eq(page()[0], 0);
}

Test(host_signal, the_last_bit_of_the_page)
{
	struct vmb_host_config cfg = { .first_channel_id = 2047, .max_channels = 1 };

	hb_free(hb);
	hb_new(&cfg, 0);
	dev = hb_offer(1);
	hb_connect(VMB_V1_1);
	channel = hb_serve(1, dev, 2047, 0);
	hb->wakes = 0;
	page()[2048 + 255] = 0x80;
	page()[2048 + 256] = 0x01; /* 2048: no channel id any more */
	cr_assert_eq(vmb_host_signal(hb->h, 2, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(page()[2048 + 256], 1);
	cr_assert_eq(vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND }), 0);
	cr_assert_eq(page()[255], 0x80);
}

/* ---- from the guest */

Test(host_signal, an_offered_channel_that_is_not_open)
{
	hb->wakes = 0;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2002, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 0);
	cr_assert_eq(hb_info().stray_events, 1);
	hb_no_event();
}

Test(host_signal, ids_that_are_none)
{
	static const uint32_t ids[] = { 0, 1, 3, 4, 0x1fff, 0x2000, 0x2004, 0x27ff, 0x2801, 0x3001, 0x12001, 0x1002001, 0x800074,
					0xffffffff };

	channel = hb_serve(1, dev, 1, 0);
	hb->wakes = 0;
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
		cr_assert_eq(vmb_host_signal(hb->h, ids[i], 0), VMB_HV_INVALID_CONNECTION, "%#x", ids[i]);
	cr_assert_eq(hb->wakes, 0);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 1), VMB_HV_INVALID_PARAMETER);
	cr_assert_eq(vmb_host_signal(NULL, 0x2001, 0), VMB_HV_INVALID_PARAMETER);
}

Test(host_signal, before_the_device_is_there_it_is_not_lost)
{
	hb_gpadl(1, 5, HB_RING_PFN, 4);
	hb_open(1, 7, 5, 0);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS); /* control-plane.md 21 (8) */
	cr_assert_eq(hb->wakes, 0);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(hb->wake_user[0], 101);
}

Test(host_signal, after_open_result_comes_the_wake)
{
	char *result, *wake;

	channel = hb_serve(1, dev, 1, 0);
	result = strstr(hb->trace, "len 20: 06");
	wake = strstr(hb->trace, "wake 101");
	cr_assert_not_null(result);
	cr_assert_not_null(wake);
	cr_assert_lt(result, wake);
}

Test(host_signal, while_closing_the_device_is_woken_and_afterwards_never)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb->wakes = 0;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS); /* late: control-plane.md 9.6 */
	cr_assert_eq(hb->wakes, 1);
}

Test(host_signal, a_released_id_is_unknown_and_a_rescinded_one_is_not)
{
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	hb_rel(1);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_INVALID_CONNECTION);
}

/* ---- somebody is inside the gate: the callback is where another thread would be */

static int detach_inside(void)
{
	hb->inside = NULL;
	return vmb_host_detach(hb->h, dev);
}

Test(host_signal, detach_while_a_wake_runs)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	hb_teardown(1, hb_ring_id(1));
	hb->inside = detach_inside;
	hb->inside_result = 1;
	hb->pokes = 0;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->inside_result, 0);
	cr_assert_eq(hb->pokes, 1); /* by who left last */
	hb_quiet();
	cr_assert_eq(hb->all_mapped, 4);
	cr_assert_eq(hb_attach(2, dev, &channel), VMB_EAGAIN);
	hb_event(VMB_EV_CLOSED, dev);
	cr_assert_eq(hb->all_mapped, 0);
	hb_expect(12, 1, hb_ring_id(1));
	hb_no_event();
}

static int poll_inside(void)
{
	struct vmb_event ev;
	int r;

	hb->inside = NULL;
	r = vmb_host_detach(hb->h, dev);
	if (r == 0)
		r = vmb_host_poll(hb->h, 0, &ev);
	return r;
}

Test(host_signal, no_closed_while_a_wake_runs)
{
	channel = hb_serve(1, dev, 1, 0);
	hb->inside = poll_inside;
	hb->inside_result = 1;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->inside_result, 0); /* there was no event yet */
	hb_event(VMB_EV_CLOSED, dev);
}

static int detach_and_close_inside(void)
{
	hb->inside = NULL;
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_teardown(1, hb_ring_id(1));
	return hb_close(1);
}

Test(host_signal, a_close_while_the_device_is_on_its_way_out_asks_nothing)
{
	channel = hb_serve(1, dev, 1, 0);
	hb->inside = detach_and_close_inside;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	hb_quiet();
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
	hb_expect(12, 1, hb_ring_id(1));
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTATE);
}

static int inner_detach_inside(void)
{
	hb->inside = NULL;
	return vmb_host_detach(hb->h, hb_handle(2));
}

static int outer_detach_inside(void)
{
	struct vmb_event ev;

	hb->inside = NULL;
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb->inside = inner_detach_inside;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2002, 0), VMB_HV_SUCCESS);
	cr_assert_eq(vmb_host_poll(hb->h, 0, &ev), VMB_YES); /* the inner one is out, this one is not */
	cr_assert_eq(ev.kind, VMB_EV_CLOSED);
	cr_assert_eq(ev.ch, hb_handle(2));
	return vmb_host_poll(hb->h, 0, &ev);
}

Test(host_signal, each_gate_is_waited_for_by_itself)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_serve(2, hb_handle(2), 2, 0);
	hb->inside = outer_detach_inside;
	hb->inside_result = 1;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->inside_result, 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
}

static int reenter_inside(void)
{
	int r;

	hb->inside = NULL;
	r = vmb_host_detach(hb->h, dev);
	hb->wakes = 0;
	if (r == 0 && vmb_host_signal(hb->h, 0x2001, 0) != VMB_HV_SUCCESS) /* a second signaller finds it closed */
		r = 1;
	return r ? r : (int)hb->wakes;
}

Test(host_signal, a_closed_gate_lets_nobody_in_though_somebody_is_still_inside)
{
	channel = hb_serve(1, dev, 1, 0);
	hb->inside = reenter_inside;
	hb->inside_result = 1;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->inside_result, 0);
	hb_event(VMB_EV_CLOSED, dev);
}

static int modify_inside(void)
{
	hb->inside = NULL;
	return hb_modify(1, 3);
}

Test(host_signal, retargeted_while_an_interrupt_is_raised)
{
	channel = hb_serve(1, dev, 1, 2);
	hb->inside = modify_inside;
	hb->pokes = 0;
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[0].vp, 2);
	hb_quiet(); /* this one may still have been to the old VP */
	cr_assert_geq(hb->pokes, 1);
	hb_no_event();
	hb_expect(24, 2, 1, 0);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[1].vp, 3);
}

static int modify_twice_inside(void)
{
	hb->inside = NULL;
	hb_modify(1, 3);
	return hb_modify(1, 4);
}

Test(host_signal, a_second_retarget_before_the_response_is_not_answered)
{
	channel = hb_serve(1, dev, 1, 2);
	hb->inside = modify_twice_inside;
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb_info().dropped, 1);
	hb_no_event();
	hb_expect(24, 2, 1, 0);
	hb_quiet();
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[1].vp, 3);
}

Test(host_signal, without_responses_the_newest_target_counts)
{
	hb_free(hb);
	start_at(VMB_V5_2);
	channel = hb_serve(1, dev, 1, 2);
	hb->inside = modify_twice_inside;
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb_info().dropped, 0);
	hb_no_event();
	hb_quiet();
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[1].vp, 4);
}

static int modify_and_close_inside(void)
{
	hb->inside = NULL;
	hb_modify(1, 3);
	return hb_close(1);
}

Test(host_signal, a_close_ends_a_retarget_that_waits)
{
	channel = hb_serve(1, dev, 1, 2);
	hb->inside = modify_and_close_inside;
	cr_assert_eq(send(), 0);
	hb_expect(24, 2, 1, 0x8000ffff); /* one answer, though not that */
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
	hb_quiet();
}

static int modify_and_remove_inside(void)
{
	hb->inside = NULL;
	hb_modify(1, 3);
	return vmb_host_remove(hb->h, dev);
}

Test(host_signal, a_rescind_ends_a_retarget_that_waits)
{
	channel = hb_serve(1, dev, 1, 2);
	hb->inside = modify_and_remove_inside;
	cr_assert_eq(send(), 0);
	hb_expect(24, 2, 1, 0x8000ffff);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(2, 1, 1);
	hb_quiet();
}

static int modify_and_unload_inside(void)
{
	hb->inside = NULL;
	hb_modify(1, 3);
	return hb_unload();
}

Test(host_signal, an_unload_forgets_a_retarget_that_waits)
{
	channel = hb_serve(1, dev, 1, 2);
	hb->inside = modify_and_unload_inside;
	cr_assert_eq(send(), 0);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(17, 0);
	hb_quiet();
}

static int modify_and_detach_inside(void)
{
	hb->inside = NULL;
	hb_modify(1, 3);
	hb_expect(24, 2, 1, 0); /* a wake is no interrupt: at once, however much the guest signals */
	return vmb_host_detach(hb->h, dev);
}

Test(host_signal, a_retarget_does_not_wait_for_the_guests_own_signals)
{
	channel = hb_serve(1, dev, 1, 2);
	hb->inside = modify_and_detach_inside;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	hb_event(VMB_EV_CLOSED, dev);
	hb_quiet();
	hb_no_event();
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[0].vp, 3);
}

static int modify_and_close_and_poll_inside(void)
{
	struct vmb_event ev;

	hb->inside = NULL;
	hb_modify(1, 3);
	hb_close(1);
	if (vmb_host_poll(hb->h, 0, &ev) != VMB_YES)
		return 1;
	return vmb_host_poll(hb->h, 0, &ev);
}

Test(host_signal, what_waits_no_more_is_passed_over)
{
	channel = hb_serve(1, dev, 1, 2);
	hb->inside = modify_and_close_and_poll_inside;
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->inside_result, 0);
	hb_expect(24, 2, 1, 0x8000ffff);
	hb_no_event();
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_open(1, 9, hb_ring_id(1), 2);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_expect(6, 3, 1, 9, 0);
	hb->pokes = 0;
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->pokes, 0); /* nobody waits for that */
	hb_modify(1, 4);
	hb_expect(24, 2, 1, 0);
}

static int unload_inside(void)
{
	hb->inside = NULL;
	hb_unload();
	return vmb_host_detach(hb->h, dev);
}

Test(host_signal, unload_while_a_wake_runs_waits_for_it)
{
	channel = hb_serve(1, dev, 1, 2);
	hb->inside = unload_inside;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	hb_quiet();
	hb_event(VMB_EV_CLOSED, dev);
	hb_expect(17, 0);
}

Test(host_signal, the_interrupt_page_stays_while_its_bits_are_looked_at)
{
	hb_free(hb);
	start_at(VMB_V1_1);
	channel = hb_serve(1, dev, 1, 2);
	hb->inside = unload_inside;
	page()[2048] = 2;
	cr_assert_eq(vmb_host_signal(hb->h, 2, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->mapped[HB_PAGE_PFN], 1);
	hb_quiet();
	hb_event(VMB_EV_CLOSED, dev);
	cr_assert_eq(hb->all_mapped, 0);
	hb_expect(17, 0);
	hb_sound();
}

static int remove_inside(void)
{
	hb->inside = NULL;
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
	return vmb_host_detach(hb->h, dev);
}

Test(host_signal, rescind_waits_for_a_wake_that_runs)
{
	channel = hb_serve(1, dev, 1, 2);
	hb->inside = remove_inside;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	hb_quiet();
	hb_event(VMB_EV_CLOSED, dev);
	hb_expect(2, 1, 1);
}

Test(host_signal, no_poke_is_no_harm)
{
	hb->cfg.poke = NULL;
	cr_assert_eq(vmb_host_init(hb->mem, hb->bytes, &hb->cfg, &hb->h), 0);
	dev = hb_offer(1);
	hb_connect(VMB_V5_3);
	channel = hb_serve(1, dev, 1, 0);
	hb->inside = detach_inside;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	hb_event(VMB_EV_CLOSED, dev);
}

Test(host_signal, poke_whenever_there_is_something_to_poll_for)
{
	hb->pokes = 0;
	hb_gpadl(1, 5, HB_RING_PFN, 4);
	cr_assert_eq(hb->pokes, 0);
	hb_open(1, 7, 5, 0);
	cr_assert_eq(hb->pokes, 1);
	hb_gpadl(1, 6, HB_RING_PFN, 4);
	cr_assert_eq(hb->pokes, 1); /* nothing new */
	hb_event(VMB_EV_OPEN, dev);
	hb_no_event();
	cr_assert_eq(hb->pokes, 1);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	cr_assert_eq(hb->pokes, 1);
	hb_close(1);
	cr_assert_eq(hb->pokes, 2);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(hb->pokes, 3);
	hb_unload();
	cr_assert_eq(hb->pokes, 4);
}
