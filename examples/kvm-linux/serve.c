/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The life of an open channel, top to bottom, on a thread of its own: attach, serve, detach. The same for every device. */
#define _GNU_SOURCE
#include "device.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { BUF = 32768, BUDGET = 64 };

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void device_wake(struct device *d)
{
	uint64_t one = 1;

	if (write(d->wake_fd, &one, sizeof one) != sizeof one)
		perror("wake");
}

/* Sleep until somebody wakes the device, at most until `deadline` (ms; 0: for ever). */
static void sleep_until(struct device *d, uint64_t deadline)
{
	struct pollfd fd = { d->wake_fd, POLLIN, 0 };
	uint64_t n, now = now_ms();

	if (poll(&fd, 1, !deadline ? -1 : deadline > now ? (int)(deadline - now) : 0) > 0 && read(d->wake_fd, &n, sizeof n) != sizeof n)
		perror("sleep");
}

int device_send(struct device *d, struct vmb_packet *p)
{
	int r;

	while ((r = vmb_channel_put(d->ch, p)) == VMB_EFULL)
		sleep_until(d, 0);
	return r;
}

static int attach(struct device *d)
{
	struct host *h = d->host;
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_storage need;
	int r;

	pthread_mutex_lock(&h->control);
	memset(&d->info, 0, sizeof d->info);
	d->info.size = sizeof d->info;
	r = vmb_host_open_info(h->bus, d->handle, &d->info);
	cfg.ring_pages = d->info.ring_pages;
	if (r == 0)
		r = vmb_channel_storage(&cfg, &need);
	d->ch_mem = r == 0 ? aligned_alloc(need.align, (need.bytes + need.align - 1) / need.align * need.align) : NULL;
	if (d->ch_mem)
		r = vmb_host_attach(h->bus, d->handle, d->ch_mem, need.bytes, &cfg, &d->ch);
	else if (r == 0)
		r = VMB_ENOSPACE;
	if (r < 0) { /* the guest has been told, or has gone */
		free(d->ch_mem);
		d->ch_mem = NULL;
	}
	pthread_mutex_unlock(&h->control);
	return r;
}

/* Show the guest what was queued. An error, or r. */
static int flush(struct device *d, int r)
{
	int s = vmb_channel_flush(d->ch);

	return s < 0 ? s : r;
}

/* Take what is there, a budget at a time, and let the device answer. 0: the ring is empty. VMB_YES: call again. */
static int serve_once(struct device *d, void *buf)
{
	struct vmb_packet p;
	int r = 0;

	for (int n = 0; n < BUDGET; n++) {
		r = vmb_channel_recv(d->ch, buf, BUF, &p);
		if (r <= 0)
			break;
		r = d->ops->packet(d, &p);
		if (r < 0)
			return r;
		r = VMB_YES;
	}
	if (r >= 0 && d->ops->drained) {
		int s = d->ops->drained(d);

		if (s)
			return s;
	}
	return r < 0 ? r : flush(d, r);
}

static int serve(struct device *d, void *buf)
{
	uint64_t deadline = d->ops->period_ms ? now_ms() : 0;
	int r = d->ops->open(d);

	while (r >= 0) {
		r = serve_once(d, buf);
		if (r >= 0 && deadline && now_ms() >= deadline) {
			int s = d->ops->timer(d);

			deadline = now_ms() + d->ops->period_ms;
			r = s < 0 ? s : flush(d, r);
		}
		if (r == 0)
			sleep_until(d, deadline);
	}
	return r;
}

static void *device_thread(void *arg)
{
	struct device *d = arg;
	void *buf = aligned_alloc(64, BUF);
	int r = buf ? attach(d) : VMB_ENOSPACE;

	if (r == 0) {
		memset(d->state, 0, d->ops->state_bytes);
		r = serve(d, buf);
		if (r != VMB_ESTOPPED)
			fprintf(stderr, "%s: %s\n", d->ops->name, vmb_strerror(r));
		if (d->ops->close)
			d->ops->close(d);
		d->last.size = sizeof d->last;
		vmb_channel_info(d->ch, &d->last);
		pthread_mutex_lock(&d->host->control);
		vmb_host_detach(d->host->bus, d->handle);
		pthread_mutex_unlock(&d->host->control);
	} else if (r != VMB_ESTOPPED) {
		fprintf(stderr, "%s: attach: %s\n", d->ops->name, vmb_strerror(r));
	}
	free(buf);
	return NULL;
}

void device_opened(struct device *d)
{
	if (d->running) /* an earlier open failed, or was closed: its thread is on its last lines */
		pthread_join(d->thread, NULL);
	d->opens++;
	d->running = pthread_create(&d->thread, NULL, device_thread, d) == 0;
}

void device_closed(struct device *d)
{
	free(d->ch_mem);
	d->ch_mem = NULL;
}

int device_offer(struct device *d, unsigned instance)
{
	struct vmb_offer offer = { .size = sizeof offer, .flags = d->ops->offer_flags, .user = (uintptr_t)d };

	vmb_guid_parse(d->ops->class_id, &offer.class_id);
	offer.instance.byte[0] = (uint8_t)instance;
	offer.instance.byte[8] = 0x76; /* any unique non-zero id serves. devices.md 1 */
	if (d->ops->offer_flags & VMB_OFFER_PIPE)
		offer.user_defined[0] = 4; /* a message pipe. control-plane.md 8.2 */
	d->state = calloc(1, d->ops->state_bytes ? d->ops->state_bytes : 1);
	d->wake_fd = eventfd(0, 0);
	if (!d->state || d->wake_fd < 0)
		return VMB_ENOSPACE;
	return vmb_host_offer(d->host->bus, &offer, &d->handle);
}
