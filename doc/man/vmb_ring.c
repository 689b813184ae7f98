/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include <vmbus.h>

/* Send one packet: room, publication, and whether the peer is to be signalled (VMB_SIGNAL). VMB_EFULL: wait until it has taken some. */
int ring_send(struct vmb_tx *tx, const void *bytes, uint32_t len)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = bytes, .len = len };
	int r = vmb_tx_put(tx, &p);

	return r < 0 ? r : vmb_tx_commit(tx);
}

/* Take all packets that are there; each is copied before it is looked at. 0: sleep, a signal will come. */
int ring_receive(struct vmb_rx *rx, unsigned char buf[4096], void (*handle)(const void *packet, uint32_t len))
{
	struct vmb_packet p;
	struct vmb_view all;
	int r;

	while ((r = vmb_rx_next(rx, &p, &all)) > 0)
		if (all.len <= 4096 && vmb_rx_copy(rx, &all, 0, buf, all.len) == 0)
			handle(buf, all.len);
	return r < 0 ? r : vmb_rx_sleep(rx);
}
