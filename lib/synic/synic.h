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
/* All words below `end` that have flags are taken, one after the other: { .flags = ..., .end = ... }. */
struct vmbi_flags_scan {
	void *flags;
	uint32_t end;
	uint32_t first; /* number of the first flag of the word that was given last */
	uint32_t at;    /* eight words are looked at together: the next ones */
	uint32_t set;   /* bit i: word at - 8 + i had flags, and is still to be taken */
};
/* The flags of the next word; 0: there is none. */
uint32_t vmbi_flags_next(struct vmbi_flags_scan *s);
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
