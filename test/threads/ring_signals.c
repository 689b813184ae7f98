/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Under load from two threads, is each signal sent that ring.md 10.1 demands of the words as they were sampled, and none more?
 * lib/ring is built on a port that notes what each load saw; a model that knows only positions without wrap decides by itself.
 * So do the rules of 8.5: one decision for each publication.
 */
#include "test/ring/hooked.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "test/ring/rig.h"
#include "ring_bell.h"

static uint32_t packets = 1000000; /* SIGNAL_PACKETS */

static struct {
	struct rig *r;
	struct bell data, room;
	uint32_t sent, received, wrong_data, wrong_room, data_signals, room_signals, publications, releases;
} run;

/* What this thread's loads of the control words saw in this call; ~0: none. */
static _Thread_local uint32_t sampled[4];

static int note_loads(struct port_access *a)
{
	uint32_t word;

	if ((a->op != PORT_LOAD && a->op != PORT_LOAD_ACQUIRE) || !rig_is_control(run.r, a->shared, &word) || word > RIG_PENDING)
		return 0;
	port_hook = NULL;
	a->value = port_do(a->op, a->shared, a->other, a->bytes, a->value);
	port_hook = note_loads;
	sampled[word / 4] = le32toh((uint32_t)a->value);
	return 1;
}

static void observe(void)
{
	memset(sampled, 0xff, sizeof sampled);
	port_hook = note_loads;
}

/* The producer's rule: positions since the beginning, before and after this publication. */
static int must_signal_data(uint64_t before, uint64_t after)
{
	if (before == after)
		return 0;
	return sampled[RIG_MASK / 4] == 0 && sampled[RIG_OUT / 4] == before % run.r->size;
}

/* The consumer's. How much is free follows from In as it was sampled. */
static int must_signal_room(uint64_t before, uint64_t after)
{
	uint64_t size = run.r->size, in = sampled[RIG_IN / 4], pending = sampled[RIG_PENDING / 4];
	uint64_t free_before = size - (in + size - before % size) % size, free_after = size - (in + size - after % size) % size;

	return before != after && pending && in != UINT32_MAX && free_before <= pending && free_after > pending;
}

static uint64_t position, published; /* the producer's */

static int flush(void)
{
	int got;

	observe();
	got = vmb_tx_commit(run.r->tx);
	port_hook = NULL;
	run.publications += position != published;
	run.wrong_data += got != (must_signal_data(published, position) ? VMB_SIGNAL : 0);
	published = position;
	if (got == VMB_SIGNAL) {
		run.data_signals++;
		bell_ring(&run.data);
	}
	return got >= 0;
}

static void *produce(void *arg)
{
	static const uint8_t payload[1024];
	uint64_t random = 5;

	while (run.sent < packets) {
		struct vmb_packet p = rig_packet(payload, rig_random(&random) % 1000);
		int got;

		while ((got = vmb_tx_put(run.r->tx, &p)) == VMB_EFULL) {
			/* What stays back must leave room for the packet, or no consumer could ever make it. */
			int must = position - published + 24 + p.len + 7 > run.r->size - 8;

			if ((must || rig_random(&random) % 4) && !flush())
				return arg;
			got = vmb_tx_arm(run.r->tx, &p, rig_random(&random) % 2 * 2048);
			if (got < 0 || (got == 0 && !bell_wait(&run.room)))
				return arg;
		}
		if (got)
			return arg;
		position += 24 + (p.len + 7) / 8 * 8;
		run.sent++;
		if (rig_random(&random) % 4 == 0 && !flush())
			return arg;
	}
	(void)flush();
	return arg;
}

static int give_back(uint64_t before, uint64_t after, int sleep)
{
	int got;

	observe();
	got = sleep ? vmb_rx_sleep(run.r->rx) : vmb_rx_release(run.r->rx);
	port_hook = NULL;
	run.releases += before != after;
	if (got < 0)
		return got;
	run.wrong_room += (got & VMB_SIGNAL) != (must_signal_room(before, after) ? VMB_SIGNAL : 0);
	if (got & VMB_SIGNAL) {
		run.room_signals++;
		bell_ring(&run.room);
	}
	return got & ~VMB_SIGNAL;
}

static void consume(void)
{
	uint64_t random = 6, taken = 0, released = 0;
	int got = 0;

	while (run.received < packets && got >= 0) {
		struct vmb_packet p;
		struct vmb_view v;

		got = vmb_rx_next(run.r->rx, &p, &v);
		if (got == VMB_YES) {
			taken += 24 + p.len;
			run.received++;
		}
		if (got == 0) {
			got = give_back(released, taken, 1);
			released = taken;
			if (got == 0 && !bell_wait(&run.data))
				return;
		} else if (got == VMB_YES && rig_random(&random) % 4 == 0) {
			got = give_back(released, taken, 0);
			released = taken;
		}
	}
}

int main(void)
{
	const char *wanted = getenv("SIGNAL_PACKETS");
	pthread_t producer;

	if (wanted)
		packets = (uint32_t)strtoul(wanted, NULL, 10);
	run.data = run.room = (struct bell)BELL_INIT;
	run.r = rig_new(RIG_LIST, 3);
	rig_both_at(run.r, 0);
	pthread_create(&producer, NULL, produce, NULL);
	consume();
	pthread_join(producer, NULL);
	printf("%u sent, %u received; %u publications, %u signals, %u of them wrong; %u releases, %u signals, %u of them wrong\n",
	       run.sent, run.received, run.publications, run.data_signals, run.wrong_data, run.releases,
	       run.room_signals, run.wrong_room);
	check(run.sent == packets && run.received == packets, "all packets");
	check(run.wrong_data == 0 && run.data_signals > 0, "signals for data exactly when needed");
	check(run.wrong_room == 0 && run.room_signals > 0, "signals for room exactly when needed");
	check(VMBI_READ64(&run.r->tx->signals) == run.data_signals &&
					       VMBI_READ64(&run.r->rx->signals) == run.room_signals &&
					       VMBI_READ64(&run.r->tx->packets) == packets, "counted as sent");
	rig_free(run.r);
	return tally();
}
