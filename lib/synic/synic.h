/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Pages that hypervisor and guest share: message slots, event flags, the interrupt page, monitor bits. control-plane.md 1.3, 9 */
#ifndef VMBI_SYNIC_H
#define VMBI_SYNIC_H

#include "vmbus.h"
#include "../env.h"

#define VMBI_FLAG_WORDS 64u /* 2048 flags */

/* Guest: is there something in the slot? Does not take it. */
int vmbi_slot_busy(const void *slot);
/* Guest: take the slot's VMBus message: copy once, free the slot. 0: empty. VMB_YES, | VMB_EOM where another message waits.
 * VMB_EFOREIGN: of another type, left alone. *len is what the slot said, or 0 where it said more than 240 (to be dropped). */
int vmbi_slot_take(void *slot, uint8_t out[VMB_MESSAGE_MAX], uint32_t *len);

/* Take 32 flags at once: word w of an event-flags array or of the receiving half of an interrupt page; bit b is flag 32 w + b. */
uint32_t vmbi_flags_take(void *flags, uint32_t w);
/* Most flags are not set. From word w on, a multiple of 8, the first eight words below `end` with a flag that may be set; else end or more. A
 * look, not a take. Flags that do not begin at a multiple of 8 bytes are not looked at. */
static inline uint32_t vmbi_flags_eight(const void *flags, uint32_t w, uint32_t end)
{
	const uint8_t *at = (const uint8_t *)flags + (size_t)w * 4;

	if ((uintptr_t)at % 8)
		return w;
	for (; w < end; w += 8, at += 32)
		if ((VMBI_READ64(at) | VMBI_READ64(at + 8)) | (VMBI_READ64(at + 16) | VMBI_READ64(at + 24)))
			break;
	return w;
}

/* The same for words w and w + 1, w a multiple of 2: what they may be, the first one in the low half. */
static inline uint64_t vmbi_flags_two(const void *flags, uint32_t w)
{
	const uint8_t *at = (const uint8_t *)flags + (size_t)w * 4;

	return (uintptr_t)at % 8 ? UINT64_MAX : VMBI_READ64(at);
}

/* The number of the lowest bit that is set; one is. Compilers have it as a call for some processors. */
static inline uint32_t vmbi_flags_lowest(uint32_t bits)
{
	uint32_t n = 0;

	for (uint32_t half = 16; half; half /= 2)
		if (!(bits & ((1u << half) - 1))) {
			n += half;
			bits >>= half;
		}
	return n;
}

/* Set one flag, whose number the caller has checked; 1 if it was clear. */
int vmbi_flags_set(void *flags, uint32_t flag);

/* The interrupt page of versions below 2.4: half 0 is host to guest, half 1 guest to host; each is an array of flags. */
#define VMBI_INTERRUPT_HALF 2048u
/* Guest: set the trigger bit of a monitor id (below 128) in the guest-to-host page. control-plane.md 9.4 */
void vmbi_monitor_set(void *page, uint32_t id);
/* Host: take the trigger bits of a group (0...3). */
uint32_t vmbi_trigger_take(void *page, uint32_t group);
/* Host: what belongs to it in a page: all groups on, every latency (100 ns) the same; and where an id leads. */
void vmbi_trigger_init(void *page, uint32_t latency);
void vmbi_trigger_connect(void *page, uint32_t id, uint32_t connection);

#endif /* VMBI_SYNIC_H */
