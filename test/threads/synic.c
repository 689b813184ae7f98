/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Host and guest at one message slot and at one array of event flags, in two threads. The guest does not poll the slot: it waits to be
 * told, as it would wait for an interrupt; and the host posts a message that found the slot full again only when the guest has written
 * EOM. So a lost hand-over, in either direction, stops the test, and the clock reports it.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/synic/synic.h"
#include "tally.h"

#define MESSAGES 100000u
#define FLAG_ROUNDS 1000000u
#define LIMIT_SECONDS 60

static struct {
	_Alignas(256) uint8_t slot[256];
	_Alignas(256) uint8_t flags[256];
	uint32_t interrupt, eom; /* how often raised and written: counters, each with one writer */
	uint32_t done, stop;
} bus;

static pthread_barrier_t start;
static uint32_t load(uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void bump(uint32_t *p)
{
	__atomic_store_n(p, __atomic_load_n(p, __ATOMIC_RELAXED) + 1, __ATOMIC_SEQ_CST);
}

/* Wait until *p is not `old`; 0 if time is up or the other side has given up. */
static int changed(uint32_t *p, uint32_t old)
{
	time_t end = time(NULL) + LIMIT_SECONDS;

	while (load(p) == old) {
		sched_yield();
		if (load(&bus.stop) || time(NULL) > end)
			return 0;
	}
	return 1;
}

/* A moment of n steps, to move the two sides against each other. */
static void dawdle(uint32_t n)
{
	while (n--)
		__atomic_load_n(&bus.stop, __ATOMIC_SEQ_CST);
}

/* Message i: 8 + i % 233 bytes, the number in the first four, the rest a pattern of it. */
static uint32_t make(uint32_t i, uint8_t *payload)
{
	uint32_t len = 8 + i % 233;

	memset(payload, (int)(i * 31 & 0xff), len);
	memcpy(payload, &i, 4);
	return len;
}

static void *host_posts(void *arg)
{
	uint32_t *sent = arg;

	for (uint32_t i = 0; i < MESSAGES; i++) {
		uint8_t payload[VMB_MESSAGE_MAX];
		uint32_t len = make(i, payload), eom = load(&bus.eom);
		int err;

		dawdle(i * 29 % 1021);
		while ((err = vmb_synic_post(bus.slot, payload, len)) == VMB_EAGAIN) {
			if (!changed(&bus.eom, eom))
				return NULL;
			eom = load(&bus.eom);
		}
		if (err)
			return NULL;
		bump(&bus.interrupt);
		++*sent;
	}
	return NULL;
}

/* Everything in order and whole; eoms: how often the slot asked for the register. */
static uint32_t guest_takes(uint32_t *eoms)
{
	uint32_t got = 0, seen = 0;

	while (got < MESSAGES) {
		uint8_t want[VMB_MESSAGE_MAX], out[VMB_MESSAGE_MAX];
		uint32_t len = 0;
		int r;

		if (!changed(&bus.interrupt, seen))
			break;
		seen = load(&bus.interrupt);
		dawdle(got * 13 % 509);
		r = vmbi_slot_take(bus.slot, out, &len);
		if (!r)
			continue; /* two interrupts were seen as one */
		if (r < 0 || len != make(got, want) || memcmp(out, want, len))
			break;
		got++;
		if (r & VMB_EOM) {
			bump(&bus.eom);
			++*eoms;
		}
	}
	__atomic_store_n(&bus.stop, got < MESSAGES, __ATOMIC_SEQ_CST);
	return got;
}

static void test_slot(void)
{
	uint32_t sent = 0, eoms = 0, got;
	pthread_t host;

	pthread_create(&host, NULL, host_posts, &sent);
	got = guest_takes(&eoms);
	pthread_join(host, NULL);
	printf("slot: %u posted, %u taken, %u EOM\n", sent, got, eoms);
	check(sent == MESSAGES && got == MESSAGES, "every message arrives whole and in order");
	check(eoms > 0, "the host had to wait for EOM");
}

/* The host sets flags 0...2047 over and over; each set that reports VMB_YES is one that the guest must take. */
static void *host_sets(void *arg)
{
	uint32_t *set = arg;

	pthread_barrier_wait(&start);
	for (uint32_t i = 0; i < FLAG_ROUNDS; i++)
		*set += vmb_synic_set(bus.flags, i * 37 % 2048) == VMB_YES;
	__atomic_store_n(&bus.done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void test_flags(void)
{
	uint32_t set = 0, taken = 0, last;
	pthread_t host;

	pthread_barrier_init(&start, NULL, 2);
	pthread_create(&host, NULL, host_sets, &set);
	pthread_barrier_wait(&start);
	do {
		last = load(&bus.done);
		for (uint32_t w = 0; w < VMBI_FLAG_WORDS; w++)
			taken += (uint32_t)__builtin_popcount(vmbi_flags_take(bus.flags, w));
	} while (!last);
	pthread_join(host, NULL);
	pthread_barrier_destroy(&start);
	printf("flags: %u set, %u taken\n", set, taken);
	check(set == taken && set > 0, "each flag that was set is taken exactly once");
}

int main(void)
{
	test_slot();
	test_flags();
	return tally();
}
