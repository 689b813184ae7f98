/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include <stdio.h>
#include <vmbus.h>

/* What went wrong, and whose fault it was. */
void complain(const char *call, int err)
{
	static const char *const whose[] = { "nobody's", "this program's", "the peer's", "the platform's" };

	fprintf(stderr, "%s: %s: %s fault\n", call, vmb_strerror(err), whose[VMB_GROUP(err) & 3]);
}
