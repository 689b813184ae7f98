/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Mail by disk: the last 4 MiB of the image are no file system's. The host leaves a number there before the guest starts; the
 * guest writes back a text that holds its own number (from the kernel's command line), the host's, and what its sysfs says of
 * each VMBus device. So what a test believes has gone through the rings in both directions. Only the first disk carries mail.
 *
 *	at 60 MiB   to the guest: "VMB-MAIL <reverse of NUMBER>\n"
 *	at 61 MiB   from the guest, a text of lines, the last one "end":
 *	            number <NUMBER>
 *	            host <what it read>
 *	            device <instance GUID> <class GUID> <relid> <cpu> <interrupts>
 *	            or what a plan waits for (plan.h)
 */
#ifndef KVM_LINUX_MAIL_H
#define KVM_LINUX_MAIL_H

#include "device.h"

#define MAIL_ROOM 8193 /* for a text and its terminating 0 */

void mail_to_guest(struct image *disk, const char *number);
/* The guest's text, if it is all there: its length, else 0. */
int mail_from_guest(struct image *disk, char *text, unsigned room);
/* Compare it with what the host end knows. 0, or -1 after saying what is wrong. */
int mail_check(struct image *disk, const char *number, const struct device *devices, unsigned n);

#endif
