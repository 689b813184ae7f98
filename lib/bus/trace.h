/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What both ends need to be watched: how a message is told, and its fate. Each end has one function for each kind of change; they are in
 * guest_watch.c and host_watch.c, and where nobody looks one test is all that is left of them.
 */
#ifndef VMBI_TRACE_H
#define VMBI_TRACE_H

#include "vmbus.h"
#include "../protocol/message.h"

#define VMBI_FATES 16u
#define VMBI_SIGNAL_MS 1000u /* signal_ms, if the config says 0 */

_Static_assert(sizeof(struct vmb_trace) == 32, "frozen");
_Static_assert(VMB_FATE_LOST < VMBI_FATES && sizeof((struct vmb_bus_info *)0)->fate == VMBI_FATES * 8, "one counter per fate");

/* A message as it is told: type, bytes, channel id and GPADL id, as far as they lie in len. */
struct vmb_trace vmbi_trace_message(uint32_t point, const uint8_t *msg, uint32_t len);
/* The fate of a message that vmb_message_check refuses at this version; 0: there is no connection. */
uint32_t vmbi_fate_of(int error, uint32_t version);

#endif /* VMBI_TRACE_H */
