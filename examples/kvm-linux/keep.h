/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What outlives the host-end process: its disks, and once it has saved itself, all that the next process goes on from while the
 * guest runs on (wire.h: SAVED). The library's part is a blob of vmb_host_save. Ours are the registers that the guest set, and
 * each device's own state, requests that were taken out of the ring and not answered with it: no packet says them again.
 */
#ifndef KVM_LINUX_KEEP_H
#define KVM_LINUX_KEEP_H

#include "hostlink.h"
#include "plan.h"

struct plan_keep {               /* of plan_life.c */
	unsigned life;           /* how many processes there were before this one */
	unsigned in_flight, busy; /* requests that the saved processes had taken and not answered, together; saves with any */
	unsigned beat, went, alike, disturbed;
	uint64_t beats;          /* answered when the last process ended */
	struct figures start, ready;
};

/* Map it, and with it the bytes of the disks. 1: a process before this one has saved itself; 0: this is the first; -1. */
int keep_open(struct host *h, struct hostlink *link, uint64_t disk_bytes);
uint8_t *keep_disk(unsigned i);
struct plan_keep *keep_plan(void);
void keep_synic(const struct wire_synic *s); /* a register was set */
/* Stop all that this process does at a place from where it can go on, save, and have it killed. Returns only if it cannot be. */
int keep_save(struct host *h);
/* When all devices are offered: give every processor's registers to `set`, then go on. 0 or VMB_E*. [control] */
int keep_restore(struct host *h, void (*set)(const struct wire_synic *s));

#endif
