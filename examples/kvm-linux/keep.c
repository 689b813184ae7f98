/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See keep.h. */
#define _GNU_SOURCE
#include "keep.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STATE_BYTES = 256 << 10, DEVICES_MOST = 24, BLOB_BYTES = 1 << 20, DISKS_MOST = 4 };
enum { PARK_STEP_US = 1000, PARK_STEPS = 30000 };

struct keep {
	uint32_t saved;
	uint32_t blob_used;
	struct wire_synic synic[WIRE_MAX_VPS];
	struct plan_keep plan;
	uint8_t blob[BLOB_BYTES];
	uint8_t state[DEVICES_MOST][STATE_BYTES];
};

static struct keep *keep;
static struct hostlink *link_;
static uint64_t disk_room;

static uint64_t disks_at(void)
{
	return (sizeof(struct keep) + 4095) & ~(uint64_t)4095;
}

int keep_open(struct host *h, struct hostlink *link, uint64_t disk_bytes)
{
	pthread_mutex_init(&h->traffic, NULL);
	link_ = link;
	disk_room = disk_bytes;
	keep = hostlink_keep(disks_at() + DISKS_MOST * disk_bytes);
	return keep ? (int)keep->saved : -1;
}

uint8_t *keep_disk(unsigned i)
{
	return (uint8_t *)keep + disks_at() + i * disk_room;
}

struct plan_keep *keep_plan(void)
{
	return &keep->plan;
}

void keep_synic(const struct wire_synic *s)
{
	keep->synic[s->head.vp] = *s;
}

static void nap(void)
{
	nanosleep(&(struct timespec){ 0, PARK_STEP_US * 1000 }, NULL);
}

/* On a device's thread: its ring is empty, and nothing is left to be shown to the guest. */
void device_park(struct device *d)
{
	struct host *h = d->host;

	if (!__atomic_load_n(&h->parking, __ATOMIC_ACQUIRE))
		return;
	__atomic_fetch_add(&h->parked, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&h->parking, __ATOMIC_ACQUIRE))
		nap();
}

/* Its state as it was when the last process ended. */
void device_resume(struct device *d)
{
	memcpy(d->state, keep->state[d - d->host->device], d->ops->state_bytes);
	if (d->ops->resumed)
		d->ops->resumed(d);
}

static int park_all(struct host *h)
{
	unsigned running = 0;

	h->parked = 0;
	__atomic_store_n(&h->parking, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < h->devices + h->extras; i++)
		if (h->device[i].running) {
			running++;
			device_wake(&h->device[i]);
		}
	for (unsigned steps = 0; __atomic_load_n(&h->parked, __ATOMIC_ACQUIRE) < running; steps++) {
		if (steps == PARK_STEPS)
			return VMB_ETIMEDOUT;
		nap();
	}
	return 0;
}

/* Under the control lock, and nobody else does anything. */
static int save(struct host *h)
{
	size_t used = 0;
	int r = vmb_host_save(h->bus, 0, keep->blob, sizeof keep->blob, &used);

	if (r < 0)
		return r;
	keep->blob_used = (uint32_t)used;
	for (unsigned i = 0; i < h->devices + h->extras; i++) {
		const struct device *d = &h->device[i];

		if (i >= DEVICES_MOST || d->ops->state_bytes > STATE_BYTES)
			return VMB_ENOSPACE;
		memcpy(keep->state[i], d->state, d->ops->state_bytes);
	}
	__atomic_store_n(&keep->saved, 1, __ATOMIC_RELEASE);
	return 0;
}

int keep_save(struct host *h)
{
	int r;

	pthread_mutex_lock(&h->traffic); /* what the guest says from here on, the next process hears */
	r = park_all(h);
	pthread_mutex_lock(&h->control);
	if (r == 0)
		r = save(h);
	while (r == 0) {
		hostlink_saved(link_);
		pause();
	}
	pthread_mutex_unlock(&h->control);
	__atomic_store_n(&h->parking, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&h->traffic);
	return r;
}

int keep_restore(struct host *h, void (*set)(const struct wire_synic *s))
{
	for (uint32_t i = 0; i < WIRE_MAX_VPS; i++)
		if (keep->synic[i].head.type == WIRE_SYNIC)
			set(&keep->synic[i]);
	keep->saved = 0;
	return vmb_host_restore(h->bus, keep->blob, keep->blob_used);
}
