/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <vmbus.h>

/* A message of any bytes, field by field. */
void dump(const void *msg, uint32_t len, uint32_t version)
{
	struct vmb_field f;

	for (uint32_t i = 0; vmb_message_field(msg, len, version, 0, i, &f) == VMB_YES; i++)
		printf("%4" PRIu32 " %-20s %#" PRIx64 "\n", f.offset, f.name, f.value);
}
