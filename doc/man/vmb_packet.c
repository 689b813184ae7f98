/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include <vmbus.h>

/* A device: put what the guest has asked to read into the pages that its request names, but no more than fits. */
int give(const struct vmb_packet *request, const struct vmb_mapper *guest_memory, const void *data, uint32_t bytes)
{
	if (request->kind != VMB_PKT_GPA)
		return VMB_EINVAL;
	if (bytes > vmb_packet_bytes(request))
		bytes = (uint32_t)vmb_packet_bytes(request);
	return vmb_packet_write(request, NULL, guest_memory, 0, data, bytes);
}
