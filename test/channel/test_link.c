/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The data plane lives without the control plane: this program uses all calls of channels, rings, lists and packets, is linked
 * against the static library, and gets no object of a bus with them. A weak reference takes nothing out of an archive, so it
 * tells.
 */
#include <criterion/criterion.h>

#include "pair.h"

#pragma weak vmb_guest_init
#pragma weak vmb_guest_interrupt
#pragma weak vmb_guest_message
#pragma weak vmb_guest_open
#pragma weak vmb_guest_poll
#pragma weak vmb_host_attach
#pragma weak vmb_host_eom
#pragma weak vmb_host_gpadl_hold
#pragma weak vmb_host_init
#pragma weak vmb_host_offer
#pragma weak vmb_host_poll
#pragma weak vmb_host_post
#pragma weak vmb_host_signal
#pragma weak vmb_synic_set

typedef void (*call)(void);

static volatile call used[] = {
	(call)vmb_channel_storage, (call)vmb_channel_init, (call)vmb_channel_end, (call)vmb_channel_stop, (call)vmb_channel_put,
	(call)vmb_channel_putv, (call)vmb_channel_flush, (call)vmb_channel_send, (call)vmb_channel_recv, (call)vmb_channel_skip,
	(call)vmb_channel_release, (call)vmb_channel_signal, (call)vmb_channel_recv_batch, (call)vmb_channel_send_batch,
	(call)vmb_channel_cancel, (call)vmb_channel_outstanding, (call)vmb_channel_adopt, (call)vmb_channel_reserve,
	(call)vmb_channel_next, (call)vmb_channel_tx, (call)vmb_channel_rx, (call)vmb_channel_dirty, (call)vmb_channel_info,
	(call)vmb_tx_init, (call)vmb_rx_init, (call)vmb_list_build, (call)vmb_list_read, (call)vmb_packet_read,
	(call)vmb_packet_field,
};

Test(link, the_data_plane_needs_no_bus)
{
	static const volatile call bus[] = {
		(call)vmb_guest_init, (call)vmb_guest_interrupt, (call)vmb_guest_message, (call)vmb_guest_open,
		(call)vmb_guest_poll,
		(call)vmb_host_attach, (call)vmb_host_eom, (call)vmb_host_gpadl_hold, (call)vmb_host_init, (call)vmb_host_offer,
		(call)vmb_host_poll, (call)vmb_host_post, (call)vmb_host_signal, (call)vmb_synic_set,
	};
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet out = pair_packet("12345678", 8), in;

	for (unsigned i = 0; i < sizeof used / sizeof *used; i++)
		cr_assert_neq(used[i], NULL);
	for (unsigned i = 0; i < sizeof bus / sizeof *bus; i++)
		cr_assert_eq(bus[i], NULL, "bus call number %u", i);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	pair_free(p);
}
