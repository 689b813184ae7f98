/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A guest end with three CPUs that take interrupts all the time, one thread of its own for each open channel, and one caller of
 * control: channels open, are rescinded, closed, released and offered again. No wake comes with the user of a channel object
 * after its EV_CLOSED, every close ends, and (under a thread sanitizer) the threads share nothing but words that are made for
 * it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmbus.h>

#include "tally.h"

#define CPUS 3u
#define CHANNELS 4u
#define ROUNDS 150u
#define USERS (CHANNELS * ROUNDS + 1)

static struct vmb_guest *guest;
static uint32_t stop, wrong, late, wakes, pokes, signals; /* atomic, all of them */
static uint32_t closed[USERS], quit[USERS];               /* by user: EV_CLOSED was pulled; its owner shall end */

static uint8_t reply[64][VMB_MESSAGE_MAX];
static uint32_t replies, releases;

static struct owner {
	vmb_handle handle;
	struct vmb_channel *ch;
	uint64_t user;
	void *mem, *ring;
	size_t bytes;
	pthread_t thread;
	uint32_t sent;
} owners[CHANNELS];

#define ADD(word) (void)__atomic_fetch_add(&(word), 1, __ATOMIC_RELAXED)
#define GET(word) __atomic_load_n(&(word), __ATOMIC_ACQUIRE)
#define SET(word) __atomic_store_n(&(word), 1, __ATOMIC_RELEASE)

/* ---- the host: answers everything with yes */

static void *answer(uint32_t type)
{
	uint8_t *m = reply[replies++];

	must(replies < 64, "few answers at once");
	memset(m, 0, VMB_MESSAGE_MAX);
	must(vmb_message_init(m, VMB_MESSAGE_MAX, type, VMB_V6_0, 0) > 0, "an answer");
	return m + 8;
}

static int on_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	const uint8_t *m = payload;
	static const uint8_t yes[] = { 1, 0, 0, 0, 1 };

	(void)ctx, (void)connection, (void)len;
	switch (m[0]) {
	case 14: memcpy(answer(15), yes, sizeof yes); break;
	case 3: answer(4); break;
	case 8: memcpy(answer(10), m + 8, 8); break;
	case 5: memcpy(answer(6), m + 8, 8); break;
	case 11: memcpy(answer(12), m + 12, 4); break;
	case 13: releases++; break;
	case 16: answer(17); break;
	default: break;
	}
	return VMB_HV_SUCCESS;
}

static void offer(uint32_t id)
{
	uint8_t *m = answer(1);

	m[0] = 1;
	m[16] = (uint8_t)id;
	m[176] = (uint8_t)id;
	m[180] = 255;
	m[182] = 1;
	m[184] = (uint8_t)id;
}

/* ---- the platform */

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx;
	if (connection == 0 || connection > CHANNELS || flag)
		ADD(wrong);
	ADD(signals);
	return 0;
}

static void on_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	if (user == 0 || user >= USERS)
		ADD(wrong);
	else if (GET(closed[user]))
		ADD(late);
	ADD(wakes);
}

static void on_poke(void *ctx)
{
	(void)ctx;
	ADD(pokes);
}

static void *cpu(void *arg)
{
	_Alignas(256) uint8_t flags[256] = { 0 }, slot[256] = { 0 };
	uint32_t n = (uint32_t)(uintptr_t)arg;

	while (!GET(stop)) {
		n = n * 1103515245 + 12345;
		flags[0] = (uint8_t)(n >> 16); /* ids 1...4, and some that are nobody's */
		if (vmb_guest_interrupt(guest, flags, slot) != 0)
			ADD(wrong);
	}
	return NULL;
}

/* ---- a driver's thread */

static void *owner(void *arg)
{
	struct owner *o = arg;
	uint64_t word = 0;

	for (;;) {
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .len = 8, .payload = &word };
		int r = vmb_channel_send(o->ch, &p);

		if (r == VMB_ESTOPPED || GET(quit[o->user]))
			return NULL;
		must(!r || r == VMB_EFULL, "sent, or full");
		o->sent += !r;
		usleep(20);
	}
}

static void open_one(struct owner *o, uint64_t user)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_open open = { .size = sizeof open, .tx_pages = 2, .rx_pages = 2, .user = user, .ring_gpa = 0x100000,
		.ring = o->ring };

	o->user = user;
	must(vmb_guest_open(guest, o->handle, o->mem, o->bytes, &cfg, &open, &o->ch) == 0, "open");
	must(pthread_create(&o->thread, NULL, owner, o) == 0, "a thread");
}

/* ---- control */

static void pull(void)
{
	struct vmb_event ev;

	for (uint32_t i = 0; i < replies; i++)
		must(vmb_guest_message(guest, reply[i], VMB_MESSAGE_MAX) == 0, "a message");
	replies = 0;
	while (vmb_guest_poll(guest, 0, &ev) > 0) {
		struct vmb_offer o = { .size = sizeof o };

		if (ev.kind == VMB_EV_CLOSED)
			SET(closed[ev.user]);
		if (ev.kind == VMB_EV_OPENED)
			must(ev.status == 0 || ev.status == VMB_ERESCINDED, "opened or rescinded");
		if (ev.kind == VMB_EV_OFFER) {
			must(vmb_guest_offer(guest, ev.ch, &o) == 0, "the offer");
			owners[o.channel_id - 1].handle = ev.ch;
		}
	}
}

/* Even channels are closed, odd ones released, two times out of three after a rescind that finds their threads at work. */
static void one_round(uint32_t round)
{
	uint32_t before = releases;
	uint64_t first = round * CHANNELS + 1;

	for (uint32_t n = 0; n < CHANNELS; n++)
		open_one(&owners[n], first + n);
	for (uint32_t i = 0; i < round % 4; i++)
		pull();
	usleep(round % 7 * 50);
	for (uint32_t n = 0; n < CHANNELS; n++) {
		struct owner *o = &owners[n];

		if (n % 2 && round % 3) {
			uint8_t *m = answer(2);

			m[0] = (uint8_t)(n + 1);
			while (replies) /* in order, behind what is queued */
				pull();
		} else {
			SET(quit[o->user]);
		}
		pthread_join(o->thread, NULL);
		must((n % 2 ? vmb_guest_release(guest, o->handle) : vmb_guest_close(guest, o->handle)) == 0, "given back");
	}
	for (uint32_t n = 0; n < CHANNELS; n++)
		while (!GET(closed[first + n]))
			pull();
	while (releases != before + CHANNELS / 2)
		pull();
	for (uint32_t n = 1; n < CHANNELS; n += 2)
		offer(n + 1);
	pull();
}

static void start(void)
{
	struct vmb_guest_config cfg = { .size = sizeof cfg, .post = on_post, .signal = on_signal, .wake = on_wake,
		.poke = on_poke,
					.max_channels = CHANNELS };
	struct vmb_channel_config channel = { .size = sizeof channel };
	struct vmb_storage need;
	void *mem;

	must(vmb_guest_storage(&cfg, &need) == 0, "storage");
	mem = aligned_alloc(64, (need.bytes + 63) / 64 * 64);
	must(mem && vmb_guest_init(mem, need.bytes, &cfg, &guest) == 0, "init");
	must(vmb_channel_storage(&channel, &need) == 0, "storage of a channel");
	for (uint32_t n = 0; n < CHANNELS; n++) {
		owners[n].bytes = (need.bytes + 63) / 64 * 64;
		owners[n].mem = aligned_alloc(64, owners[n].bytes);
		owners[n].ring = aligned_alloc(VMB_PAGE, 4 * VMB_PAGE);
		must(owners[n].mem && owners[n].ring, "memory");
	}
	must(vmb_guest_connect(guest) == 0, "connect");
	for (uint32_t n = 0; n < CHANNELS; n++)
		offer(n + 1);
	/* the answer to the contact is the first in the queue; offers before ALL_OFFERS are as good as any */
	while (replies)
		pull();
}

int main(void)
{
	struct vmb_bus_info info = { .size = sizeof info };
	pthread_t cpus[CPUS];
	uint32_t sent = 0;

	alarm(100);
	start();
	for (uintptr_t i = 0; i < CPUS; i++)
		must(pthread_create(&cpus[i], NULL, cpu, (void *)(i + 1)) == 0, "a thread");
	for (uint32_t round = 0; round < ROUNDS; round++)
		one_round(round);
	SET(stop);
	for (uint32_t i = 0; i < CPUS; i++)
		pthread_join(cpus[i], NULL);
	for (uint32_t n = 0; n < CHANNELS; n++)
		sent += owners[n].sent;
	must(vmb_guest_info(guest, &info) == 0, "info");
	check(GET(late) == 0, "no wake after EV_CLOSED");
	check(GET(wrong) == 0, "every wake and signal is a known one's");
	check(GET(wakes) > ROUNDS, "and there were wakes");
	check(sent > ROUNDS && GET(signals) > 0, "and packets and signals");
	check(info.stray_events > 0, "and interrupts for nobody");
	check(info.attached == 0 && info.gpadls == 0, "and nothing is left");
	for (uint32_t n = 0; n < CHANNELS; n++) {
		free(owners[n].mem);
		free(owners[n].ring);
	}
	free(guest);
	return tally();
}
