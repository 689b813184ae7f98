/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include <stdio.h>
#include <vmbus.h>

/* All classes of devices that have a name, and all versions of the protocol. */
void print_registry(void)
{
	struct vmb_class row;
	uint32_t version;

	for (uint32_t i = 0; vmb_class_at(i, &row) == 0; i++)
		printf("%s  %s\n", row.text, row.name);
	for (uint32_t i = 0; (version = vmb_version_at(i)) != 0; i++)
		printf("%u.%u\n", (unsigned)version >> 16, (unsigned)version & 0xffff);
}
