/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include <stdio.h>
#include <vmbus.h>

/* For `trace` of a config: what becomes of each message. */
void tell(void *ctx, const struct vmb_trace *what)
{
	(void)ctx;
	if (what->point == VMB_TRACE_MESSAGE_IN || what->point == VMB_TRACE_MESSAGE_OUT)
		printf("%s %s: %s\n", vmb_name(VMB_NAMES_TRACE, what->point), vmb_message_name(what->a), vmb_name(VMB_NAMES_FATE, what->c));
}
