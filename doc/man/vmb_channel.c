/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include <vmbus.h>

/* Put as many requests as fit, then show them to the peer at once. Returns how many; with fewer than n, wake comes when there is room again. */
int send_all(struct vmb_channel *ch, const uint64_t *commands, uint32_t n)
{
	uint32_t i;
	int r = 0;

	for (i = 0; i < n && r >= 0; i++) {
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .payload = &commands[i], .len = 8, .user = i };

		r = vmb_channel_put(ch, &p);
		if (r == VMB_EFULL || r == VMB_ENOSLOT)
			break;
	}
	if (r == VMB_ESTOPPED || r == VMB_EPEER)
		return r;
	r = vmb_channel_flush(ch);
	return r < 0 ? r : (int)i;
}
