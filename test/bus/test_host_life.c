/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The life of a channel at the host end: open, serve, close, again. control-plane.md 10, 17.2 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

Test(host_life, contact_offers_open_data_close_rescind)
{
	struct vmb_channel *c;
	vmb_handle ch;
	uint64_t buf[64];
	struct vmb_packet p;

	hb_start(1);
	ch = hb_handle(1);
	hb_connect(VMB_V5_3);
	c = hb_serve(1, ch, 1, 0);
	cr_assert_eq(hb->wakes, 1); /* the attaching device looks once */
	cr_assert_eq(hb->all_mapped, 4);
	cr_assert_eq(vmb_channel_recv(c, buf, sizeof buf, &p), 0);
	cr_assert_eq(vmb_channel_send(c, &(struct vmb_packet){ .kind = VMB_PKT_INBAND, .payload = "12345678", .len = 8 }), 0);
	cr_assert_eq(hb->interrupts, 1);
	cr_assert_eq(hb->interrupt[0].flag, 1);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 2);

	hb_close(1);
	cr_assert_eq(vmb_channel_recv(c, buf, sizeof buf, &p), VMB_ESTOPPED);
	hb_event(VMB_EV_CLOSE, ch);
	hb_teardown(1, hb_ring_id(1));
	hb_quiet(); /* TORNDOWN waits for the device */
	cr_assert_eq(vmb_host_detach(hb->h, ch), 0);
	cr_assert_eq(hb->all_mapped, 0);
	hb_expect(12, 1, hb_ring_id(1));
	hb_event(VMB_EV_CLOSED, ch);
	hb_no_event();

	cr_assert_eq(vmb_host_remove(hb->h, ch), 0);
	hb_expect(2, 1, 1u);
	hb_no_event();
	hb_rel(1);
	hb_event(VMB_EV_GONE, ch);
	hb_no_event();
	cr_assert_eq(vmb_host_remove(hb->h, ch), VMB_EHANDLE);
	cr_assert_eq(vmb_host_end(hb->h), 0);
	hb_sound();
}
