/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The life of an open channel, top to bottom, on a thread of its own: attach, serve, detach. The same for every device. */
#define _GNU_SOURCE
#include "device.h"
#include "loss.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { BUF = 32768, BUDGET = 64 };
#define UNREAD_NONE 0xffffffffu

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

/* Memory that lives no longer than an open channel; counted, so that somebody can tell that none is left. */
static void *block_take(struct host *h, size_t align, size_t bytes)
{
	void *p = aligned_alloc(align, (bytes + align - 1) / align * align);

	if (p)
		__atomic_fetch_add(&h->blocks, 1, __ATOMIC_RELAXED);
	return p;
}

static void block_free(struct host *h, void *p)
{
	if (p)
		__atomic_fetch_sub(&h->blocks, 1, __ATOMIC_RELAXED);
	free(p);
}

/* ---- waiting, and what was lost meanwhile (loss.h) */

/* Has the guest left what we sent unread since the last look, and taken nothing? Then tell it again. */
static void look_unread(struct device *d)
{
	struct vmb_channel_info info = { .size = sizeof info };
	uint64_t now = now_ms();
	unsigned lost;

	if (now - d->looked_ms < d->host->look_ms || vmb_channel_info(d->ch, &info) < 0)
		return;
	d->looked_ms = now;
	if (info.tx.in == info.tx.out) {
		d->unread_at = UNREAD_NONE;
		lost = __atomic_exchange_n(&d->lost_events, 0, __ATOMIC_ACQ_REL);
		loss_ended(LOSS_EVENT, LOSS_SELF, lost);
	} else if (info.tx.out != d->unread_at) {
		d->unread_at = info.tx.out;
	} else {
		lost = __atomic_exchange_n(&d->lost_events, 0, __ATOMIC_ACQ_REL);
		if (lost)
			loss_ended(LOSS_EVENT, LOSS_REPORTED, lost);
		vmb_channel_signal(d->ch); /* also where the guest is merely slow: one more does no harm */
	}
}

/* Sleep until somebody wakes the device, at most until `deadline` (ms; 0: for ever). */
static void sleep_until(struct device *d, uint64_t deadline)
{
	struct pollfd fd = { d->wake_fd, POLLIN, 0 };
	uint64_t n, now = now_ms();

	if (d->host->look_ms && (!deadline || deadline > now + d->host->look_ms))
		deadline = now + d->host->look_ms;
	d->woken = poll(&fd, 1, !deadline ? -1 : deadline > now ? (int)(deadline - now) : 0) > 0;
	if (d->woken && read(d->wake_fd, &n, sizeof n) != sizeof n)
		perror("sleep");
	if (d->host->look_ms)
		look_unread(d);
}

/* Signals that were lost before the ring was last looked at: what would have come of them? */
static void look_signals(struct device *d, unsigned lost, unsigned packets)
{
	if (lost && packets && d->woken >= 0)
		loss_ended(LOSS_SIGNAL, d->woken ? LOSS_SELF : LOSS_REPORTED, lost);
	else if (lost)
		loss_ended(LOSS_SIGNAL, LOSS_NEEDLESS, lost);
}

int device_send(struct device *d, struct vmb_packet *p)
{
	int r;

	while ((r = vmb_channel_put(d->ch, p)) == VMB_EFULL)
		sleep_until(d, 0);
	return r;
}

/* ---- */

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
	d->ch_mem = r == 0 ? block_take(h, need.align, need.bytes) : NULL;
	if (d->ch_mem)
		r = vmb_host_attach(h->bus, d->handle, d->ch_mem, need.bytes, &cfg, &d->ch);
	else if (r == 0)
		r = VMB_ENOSPACE;
	if (r < 0) { /* the guest has been told, or has gone */
		block_free(h, d->ch_mem);
		d->ch_mem = NULL;
	}
	__atomic_store_n(&d->connection, d->info.connection_id, __ATOMIC_RELAXED);
	__atomic_store_n(&d->flag, d->info.event_flag, __ATOMIC_RELAXED);
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
	unsigned n, lost = __atomic_exchange_n(&d->lost_signals, 0, __ATOMIC_ACQ_REL);
	struct vmb_packet p;
	int r = 0;

	for (n = 0; n < BUDGET; n++) {
		r = vmb_channel_recv(d->ch, buf, BUF, &p);
		if (r <= 0)
			break;
		r = d->ops->packet(d, &p);
		if (r < 0)
			return r;
		r = VMB_YES;
	}
	look_signals(d, lost, n);
	d->woken = -1;
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
	int r = d->resumes ? 0 : d->ops->open(d);

	d->woken = -1;
	d->unread_at = UNREAD_NONE;
	while (r >= 0) {
		r = serve_once(d, buf);
		if (r >= 0 && deadline && now_ms() >= deadline) {
			int s = d->ops->timer(d);

			deadline = now_ms() + d->ops->period_ms;
			r = s < 0 ? s : flush(d, r);
		}
		if (r == 0) {
			device_park(d);
			sleep_until(d, deadline);
		}
	}
	return r;
}

static void *device_thread(void *arg)
{
	struct device *d = arg;
	void *buf = block_take(d->host, 64, BUF);
	int r = buf ? attach(d) : VMB_ENOSPACE;

	if (r == 0) {
		if (d->resumes)
			device_resume(d);
		else
			memset(d->state, 0, d->ops->state_bytes);
		r = serve(d, buf);
		if (r != VMB_ESTOPPED)
			fprintf(stderr, "%s: %s\n", d->ops->name, vmb_strerror(r));
		loss_ended(LOSS_SIGNAL, LOSS_NEEDLESS, __atomic_exchange_n(&d->lost_signals, 0, __ATOMIC_ACQ_REL));
		loss_ended(LOSS_EVENT, LOSS_NEEDLESS, __atomic_exchange_n(&d->lost_events, 0, __ATOMIC_ACQ_REL));
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
	block_free(d->host, buf);
	return NULL;
}

static void join(struct device *d)
{
	if (d->running)
		pthread_join(d->thread, NULL);
	d->running = 0;
}

void device_opened(struct device *d)
{
	join(d); /* an earlier open failed: its thread is on its last lines */
	d->opens++;
	d->running = pthread_create(&d->thread, NULL, device_thread, d) == 0;
}

/* The channel was given back, so its thread waits for nothing any more. */
void device_closed(struct device *d)
{
	join(d);
	block_free(d->host, d->ch_mem);
	d->ch_mem = NULL;
	__atomic_store_n(&d->flag, 0, __ATOMIC_RELAXED); /* another channel may get it */
}

void device_instance(const struct device *d, struct vmb_guid *guid)
{
	memset(guid, 0, sizeof *guid);
	guid->byte[0] = (uint8_t)d->instance;
	guid->byte[8] = 0x76; /* any unique non-zero id serves. devices.md 1 */
}

int device_make(struct device *d)
{
	d->state = calloc(1, d->ops->state_bytes ? d->ops->state_bytes : 1);
	d->wake_fd = eventfd(0, 0);
	d->vp_promised = DEVICE_NO_VP;
	return d->state && d->wake_fd >= 0 ? 0 : -1;
}

int device_offer(struct device *d)
{
	struct vmb_offer offer = { .size = sizeof offer, .flags = d->ops->offer_flags, .user = (uintptr_t)d, .order = d->order,
				   .channel_id = d->channel_id, .subchannel = d->subchannel };

	if (!d->ops->class_id) {
		vmb_hvsock_offer(&d->socket, &offer);
		return vmb_host_offer(d->host->bus, &offer, &d->handle);
	}
	vmb_guid_parse(d->ops->class_id, &offer.class_id);
	device_instance(d, &offer.instance);
	if (d->ops->offer_flags & VMB_OFFER_PIPE)
		offer.user_defined[0] = 4; /* a message pipe. control-plane.md 8.2 */
	return vmb_host_offer(d->host->bus, &offer, &d->handle);
}
