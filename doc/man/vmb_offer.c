/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include <vmbus.h>

/* Connect to port 1024 of the guest's AF_VSOCK: offer a socket channel. endpoint: an id that no other connection has. */
int connect_guest(struct vmb_host *h, const struct vmb_guid *endpoint, vmb_handle *ch)
{
	struct vmb_hvsock socket = { .endpoint = *endpoint, .flags = VMB_HVSOCK_TO_GUEST };
	struct vmb_offer offer = { .size = sizeof offer };

	vmb_hvsock_port(1024, &socket.service);
	vmb_hvsock_offer(&socket, &offer);
	return vmb_host_offer(h, &offer, ch);
}
