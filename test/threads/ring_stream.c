/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A producer and a consumer in two threads, through each kind of memory and small rings, in batches of any size. Each sleeps
 * when there is nothing to do, and only a signal of the other wakes it: a lost one ends the test. Contents are compared, and
 * the signals counted: one for each sleep that was slept, and no more than the rule can give.
 */
#include <stdlib.h>
#include <string.h>

#include "test/ring/rig.h"
#include "ring_bell.h"

#define PACKETS 60000u

static struct {
	struct rig *r;
	struct bell data, room;
	uint64_t seed;
	uint32_t sent, received, bad;
	uint32_t data_signals, room_signals, sleeps, armed;
} run;

/* Packet i: its length and bytes follow from i. */
static uint32_t length_of(uint32_t i)
{
	return i % 97 == 0 ? 2000 + i % 1900 : i * 29 % 211;
}

static void payload_of(uint32_t i, uint8_t *to, uint32_t len)
{
	for (uint32_t k = 0; k < len; k++)
		to[k] = (uint8_t)(i * 31 + k * 7 + k / 255);
}

static int flush(void)
{
	int got = vmb_tx_commit(run.r->tx);

	if (got == VMB_SIGNAL) {
		run.data_signals++;
		bell_ring(&run.data);
	}
	return got >= 0;
}

/* Put packet i, waiting for room if need be. */
static int send_packet(uint32_t i, uint64_t *random)
{
	uint8_t payload[4096];
	struct vmb_packet p;
	int got;

	payload_of(i, payload, length_of(i));
	p = rig_packet(payload, length_of(i));
	p.id = i;
	while ((got = vmb_tx_put(run.r->tx, &p)) == VMB_EFULL) {
		if (!flush())
			return 0;
		got = vmb_tx_arm(run.r->tx, &p, rig_random(random) % 3 ? 0 : run.r->size / 4);
		if (got == VMB_YES)
			continue;
		if (got)
			return 0;
		run.armed++;
		if (!bell_wait(&run.room))
			return 0;
	}
	return got == 0;
}

static void *produce(void *arg)
{
	uint64_t random = run.seed;

	for (uint32_t i = 0; i < PACKETS; run.sent = ++i) {
		if (!send_packet(i, &random))
			break;
		if (rig_random(&random) % 8 == 0 && !flush())
			break;
	}
	if (run.sent == PACKETS && !flush())
		run.sent = 0;
	return arg;
}

static void note(int got)
{
	if (got & VMB_SIGNAL) {
		run.room_signals++;
		bell_ring(&run.room);
	}
}

static int is_right(const struct vmb_packet *p, const struct vmb_view *v)
{
	uint8_t want[4096], have[4096];
	uint32_t len = length_of(run.received);

	payload_of(run.received, want, len);
	return p->id == run.received && p->len == (len + 7) / 8 * 8 && v->len == p->len &&
	       !vmb_rx_copy(run.r->rx, v, 0, have, v->len) && !memcmp(want, have, len);
}

static void consume(void)
{
	uint64_t random = run.seed ^ 99;

	while (run.received < PACKETS) {
		struct vmb_packet p;
		struct vmb_view v;
		int got = vmb_rx_next(run.r->rx, &p, &v);

		if (got == VMB_YES) {
			run.bad += !is_right(&p, &v);
			run.received++;
			if (rig_random(&random) % 8)
				continue;
			got = vmb_rx_release(run.r->rx);
		} else if (got == 0) {
			run.sleeps++;
			got = vmb_rx_sleep(run.r->rx);
			note(got);
			if (!got || got == VMB_SIGNAL)
				got = bell_wait(&run.data) ? 0 : -1;
			else
				got &= ~VMB_SIGNAL;
		}
		if (got < 0)
			break;
		note(got);
	}
}

static void stream(const char *name, uint32_t kind, uint32_t pages, uint64_t seed)
{
	pthread_t producer;
	char text[128];

	memset(&run, 0, sizeof run);
	run.data = run.room = (struct bell)BELL_INIT;
	run.seed = seed;
	run.r = rig_new(kind, pages);
	rig_both_at(run.r, run.r->size - 8);
	pthread_create(&producer, NULL, produce, NULL);
	consume();
	pthread_join(producer, NULL);
	printf("%s, %u pages: %u sent, %u received, data: %u signals %u waits %u sleeps, room: %u signals %u waits %u armed\n",
	       name, pages, run.sent, run.received, run.data_signals, run.data.waits, run.sleeps, run.room_signals,
	       run.room.waits, run.armed);
#define RESULT(what, ok) (snprintf(text, sizeof text, "%s, %u pages: %s", name, pages, what), check(ok, text))
	RESULT("all arrives whole and in order", run.sent == PACKETS && run.received == PACKETS && !run.bad);
	/* A signal belongs to an Out that was published before sleeping; one more can overtake the mask after it. 10.2 C6 */
	RESULT("each wait for data has its signal, and each sleep at most two",
	       run.data.waits <= run.data_signals + 1 && run.data_signals <= 2 * run.sleeps);
	/* A pending size is crossed once; one release may have sampled it just before it was cleared. */
	RESULT("each wait for room has its signal, and each arming at most two",
	       run.room.waits <= run.room_signals + 1 && run.room_signals <= 2 * run.armed);
#undef RESULT
	rig_free(run.r);
}

int main(void)
{
	static const char *const names[RIG_KINDS] = { "mapped twice", "mapped once", "page list" };

	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		stream(names[kind], kind, 1, 11 + kind);
		stream(names[kind], kind, 3, 77 + kind);
	}
	return tally();
}
