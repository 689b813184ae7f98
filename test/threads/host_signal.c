/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The gate of a channel at the host end, in threads: vCPUs that signal without a lock, a device thread that serves and gives
 * back, and a control thread that opens, retargets, closes, rescinds and offers again. No wake may come after EV_CLOSED, no
 * interrupt to the old VP after the response, and every wait must end.
 */
#include <endian.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vmbus.h>

#include "tally.h"

enum { ROUNDS = 4000, SIGNALLERS = 3, LIMIT_SECONDS = 100, VPS = 8 };

static uint8_t ram[64][VMB_PAGE] __attribute__((aligned(4096)));
static uint8_t channel_mem[16384] __attribute__((aligned(64)));

static struct {
	struct vmb_host *h;
	pthread_mutex_t lock; /* control */
	/* between threads */
	uint32_t stop, alive, poked;
	uint32_t forbidden;   /* a VP that gets no interrupt any more */
	uint32_t dead_wakes, old_interrupts, wakes, interrupts;
	struct vmb_channel *channel; /* for the device thread, below the lock */
	/* what the guest was told last */
	uint32_t type, status, got;
} m;

static uint32_t load(uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void store(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_SEQ_CST);
}

static void count(uint32_t *p)
{
	__atomic_fetch_add(p, 1, __ATOMIC_RELAXED);
}

static uint32_t word(const void *p, unsigned at)
{
	uint32_t v;

	memcpy(&v, (const uint8_t *)p + at, 4);
	return le32toh(v);
}

/* ---- callbacks */

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *msg, uint32_t len)
{
	(void)ctx, (void)vp, (void)vtl, (void)sint;
	m.type = word(msg, 0);
	m.status = len >= 20 ? word(msg, 16) : len >= 16 ? word(msg, 12) : 0;
	m.got++;
	return 0;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx, (void)vtl, (void)sint, (void)flag;
	count(&m.interrupts);
	if (load(&m.interrupts) % 4 == 0)
		sched_yield(); /* time for control to come by */
	if (load(&m.forbidden) == vp)
		count(&m.old_interrupts);
}

static void on_wake(void *ctx, uint64_t user)
{
	(void)ctx, (void)user;
	count(&m.wakes);
	if (load(&m.wakes) % 4 == 0)
		sched_yield();
	if (!load(&m.alive))
		count(&m.dead_wakes);
}

static void on_poke(void *ctx)
{
	(void)ctx;
	store(&m.poked, 1);
}

static int on_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx, (void)flags;
	for (uint32_t i = 0; i < n; i++)
		pages[i] = ram[pfns[i] % 64];
	return 0;
}

static void on_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)pfns, (void)n, (void)flags, (void)pages;
}

/* ---- the threads beside control */

static void *vcpu(void *arg)
{
	(void)arg;
	for (unsigned n = 0; !load(&m.stop); n++) {
		int r = vmb_host_signal(m.h, 0x2001, 0);

		if (n % 16 == 0)
			sched_yield(); /* there may be fewer processors than threads */
		if (r != VMB_HV_SUCCESS && r != VMB_HV_INVALID_CONNECTION)
			count(&m.dead_wakes);
	}
	return NULL;
}

/* Sends, and plays the guest that has read it, so that each packet interrupts; gives the channel back when it is asked to. */
static void *device(void *arg)
{
	vmb_handle *ch = arg;

	while (!load(&m.stop)) {
		struct vmb_channel *c;
		int r = 0;

		pthread_mutex_lock(&m.lock);
		c = m.channel;
		pthread_mutex_unlock(&m.lock);
		if (!c) {
			sched_yield();
			continue;
		}
		for (unsigned n = 0; r != VMB_ESTOPPED; n++) {
			if (n % 16 == 0)
				sched_yield();
			__atomic_store_n((uint32_t *)(void *)(ram[2] + 4), htole32(word(ram[2], 0)), __ATOMIC_SEQ_CST);
			r = vmb_channel_send(c, &(struct vmb_packet){ .kind = VMB_PKT_INBAND, .payload = "01234567", .len = 8 });
		}
		pthread_mutex_lock(&m.lock);
		m.channel = NULL;
		r = vmb_host_detach(m.h, *ch);
		pthread_mutex_unlock(&m.lock);
		if (r)
			count(&m.dead_wakes);
	}
	return NULL;
}

/* ---- control, and the guest's messages */

static void post(const uint32_t *words, uint32_t n)
{
	uint32_t in[64] = { htole32(1), 0, htole32(1), htole32(4 * n) };

	for (uint32_t i = 0; i < n; i++)
		in[4 + i] = htole32(words[i]);
	if (vmb_host_post(m.h, in, sizeof in) != VMB_HV_SUCCESS)
		count(&m.dead_wakes);
}

#define POST(...) post((const uint32_t[]){ __VA_ARGS__ }, sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)

/* Events until there is one of this kind; 0: time is up. */
static int wait_event(uint32_t kind, struct vmb_event *ev)
{
	time_t end = time(NULL) + LIMIT_SECONDS;

	while (time(NULL) <= end) {
		int r;

		pthread_mutex_lock(&m.lock);
		r = vmb_host_poll(m.h, 0, ev);
		pthread_mutex_unlock(&m.lock);
		if (r > 0 && ev->kind == kind)
			return 1;
		if (r == 0)
			sched_yield();
	}
	return 0;
}

static int wait_message(uint32_t type)
{
	time_t end = time(NULL) + LIMIT_SECONDS;
	struct vmb_event ev;

	while (time(NULL) <= end) {
		int there;

		pthread_mutex_lock(&m.lock);
		(void)!vmb_host_poll(m.h, 0, &ev);
		there = m.type == type;
		pthread_mutex_unlock(&m.lock);
		if (there)
			return 1;
		sched_yield();
	}
	return 0;
}

static int offer(vmb_handle *ch)
{
	struct vmb_offer o = { .size = sizeof o, .user = 7 };

	o.class_id.byte[0] = 1;
	return vmb_host_offer(m.h, &o, ch);
}

static int open_it(vmb_handle ch)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .ring_pages = 4 };
	struct vmb_channel *c;
	uint32_t open[37] = { 5, 0, 1, 7, 9, 1, 2 };
	struct vmb_event ev;
	int r;

	pthread_mutex_lock(&m.lock);
	memset(ram, 0, 4 * VMB_PAGE);
	store(&m.forbidden, VMB_VP_NONE);
	POST(8, 0, 1, 9, 40 | 1 << 16, 4 * VMB_PAGE, 0, 0, 0, 1, 0, 2, 0, 3, 0);
	post(open, 37);
	pthread_mutex_unlock(&m.lock);
	if (!wait_event(VMB_EV_OPEN, &ev))
		return 0;
	pthread_mutex_lock(&m.lock);
	store(&m.alive, 1);
	r = vmb_host_attach(m.h, ch, channel_mem, sizeof channel_mem, &cfg, &c);
	m.channel = r ? NULL : c;
	pthread_mutex_unlock(&m.lock);
	return r == 0;
}

/* Move it a few times. After each response the VP that was left is quiet. */
static int retarget(void)
{
	for (uint32_t vp = 2; vp < 6; vp++) {
		pthread_mutex_lock(&m.lock);
		m.type = 0;
		store(&m.forbidden, VMB_VP_NONE);
		POST(22, 0, 1, vp);
		pthread_mutex_unlock(&m.lock);
		if (!wait_message(24) || m.status)
			return 0;
		store(&m.forbidden, vp - 1);
		for (int i = 0; i < 10; i++)
			sched_yield();
	}
	return 1;
}

static int end_it(vmb_handle *ch, int rescind)
{
	struct vmb_event ev;

	pthread_mutex_lock(&m.lock);
	m.type = 0;
	if (rescind)
		(void)!vmb_host_remove(m.h, *ch);
	else
		POST(7, 0, 1);
	pthread_mutex_unlock(&m.lock);
	if (!wait_event(VMB_EV_CLOSED, &ev))
		return 0;
	store(&m.alive, 0);
	pthread_mutex_lock(&m.lock);
	POST(11, 0, 1, 9);
	if (rescind)
		POST(13, 0, 1);
	pthread_mutex_unlock(&m.lock);
	if (rescind && !wait_event(VMB_EV_GONE, &ev))
		return 0;
	pthread_mutex_lock(&m.lock);
	if (rescind && offer(ch))
		count(&m.dead_wakes);
	pthread_mutex_unlock(&m.lock);
	return 1;
}

int main(void)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .vps = VPS, .max_channels = 2, .message = on_message,
				       .interrupt = on_interrupt, .wake = on_wake, .poke = on_poke,
				       .map = on_map, .unmap = on_unmap };
	struct vmb_storage need;
	pthread_t thread[SIGNALLERS + 1];
	vmb_handle ch;
	void *mem;
	int ok = 1;

	store(&m.forbidden, VMB_VP_NONE);
	pthread_mutex_init(&m.lock, NULL);
	if (vmb_host_storage(&cfg, &need))
		return 1;
	mem = aligned_alloc(need.align, need.bytes);
	if (!mem || vmb_host_init(mem, need.bytes, &cfg, &m.h) || offer(&ch))
		return 1;
	POST(14, 0, VMB_V5_3, 0, 2, 0, 0, 0, 0, 0);
	POST(3, 0);
	for (int i = 0; i < SIGNALLERS; i++)
		pthread_create(&thread[i], NULL, vcpu, NULL);
	pthread_create(&thread[SIGNALLERS], NULL, device, &ch);
	for (int i = 0; ok && i < ROUNDS; i++)
		ok = open_it(ch) && (i % 4 || retarget()) && end_it(&ch, i % 3 == 0);
	store(&m.stop, 1);
	for (int i = 0; i <= SIGNALLERS; i++)
		pthread_join(thread[i], NULL);
	check(ok, "every wait ends");
	check(load(&m.dead_wakes) == 0, "no wake after EV_CLOSED");
	check(load(&m.old_interrupts) == 0, "no interrupt to the old VP after the response");
	check(load(&m.wakes) > ROUNDS && load(&m.interrupts) > ROUNDS, "there were wakes and interrupts");
	check(vmb_host_end(m.h) == 0, "the end has let go of everything");
	free(mem);
	return tally();
}
