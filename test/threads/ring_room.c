/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A ring that is always full: the producer puts as long as it can, then waits for room, with and without hysteresis; what it
 * has put is published before it waits, or stays back and counts as room needed (ring.md 8.4). When it is woken its packet
 * fits, and with hysteresis as many as it asked room for (what was kept back is part of that).
 */
#include <string.h>

#include "test/ring/rig.h"
#include "ring_bell.h"

#define PACKETS 30000u
#define LENGTH 300u
#define TOTAL (16u + 304u + 8u)

static struct {
	struct rig *r;
	struct bell data, room;
	uint32_t least, keep_back;
	uint32_t sent, received, bad;
	uint32_t armed, fits, early; /* what arm said; wake-ups after which fewer packets fitted than asked for */
	uint32_t signals;
	uint32_t owed;               /* puts that must succeed, after a wake-up */
} run;

static struct vmb_packet packet(uint8_t *payload)
{
	struct vmb_packet p;

	memset(payload, (int)(run.sent & 0xff), LENGTH);
	p = rig_packet(payload, LENGTH);
	p.id = run.sent;
	return p;
}

static int flush(void)
{
	int got = vmb_tx_commit(run.r->tx);

	if (got == VMB_SIGNAL)
		bell_ring(&run.data);
	return got < 0 ? got : 0;
}

/* Room for one packet, or as much as was asked for. */
static int wait_for_room(const struct vmb_packet *p)
{
	int got = run.keep_back ? 0 : flush();

	run.early += run.owed != 0;
	run.owed = 0;
	if (got == 0)
		got = vmb_tx_arm(run.r->tx, p, run.least);
	if (got == VMB_YES) {
		run.fits++;
		return 0;
	}
	if (got < 0)
		return got;
	run.armed++;
	if (!bell_wait(&run.room))
		return -1;
	run.owed = run.least && !run.keep_back ? run.least / TOTAL : 1;
	return 0;
}

static void *produce(void *arg)
{
	uint8_t payload[LENGTH];
	int got = 0;

	while (run.sent < PACKETS && got == 0) {
		struct vmb_packet p = packet(payload);

		got = vmb_tx_put(run.r->tx, &p);
		if (got == VMB_EFULL) {
			got = wait_for_room(&p);
			continue;
		}
		run.sent += got == 0;
		run.owed -= run.owed != 0;
		if (got == 0 && run.sent % 4 == 0)
			got = flush();
	}
	if (got == 0 && flush() < 0)
		run.sent = 0;
	return arg;
}

static int is_right(const struct vmb_packet *p, const struct vmb_view *v)
{
	uint8_t have[304];

	return p->id == run.received && v->len == sizeof have && !vmb_rx_copy(run.r->rx, v, 0, have, sizeof have) &&
	       have[0] == (uint8_t)run.received && !memcmp(have, have + 1, LENGTH - 1);
}

static void consume(void)
{
	while (run.received < PACKETS) {
		struct vmb_packet p;
		struct vmb_view v;
		int got = vmb_rx_next(run.r->rx, &p, &v), empty = !got;

		if (got == VMB_YES) {
			run.bad += !is_right(&p, &v);
			run.received++;
			got = vmb_rx_release(run.r->rx);
		} else if (empty) {
			got = vmb_rx_sleep(run.r->rx);
		}
		if (got < 0)
			break;
		if (got & VMB_SIGNAL) {
			run.signals++;
			bell_ring(&run.room);
		}
		if (empty && !(got & VMB_YES) && !bell_wait(&run.data))
			break;
	}
}

static void fill(uint32_t kind, uint32_t least, uint32_t keep_back)
{
	pthread_t producer;
	char name[64], text[128];

	memset(&run, 0, sizeof run);
	run.data = run.room = (struct bell)BELL_INIT;
	run.least = least;
	run.keep_back = keep_back;
	run.r = rig_new(kind, 1);
	rig_both_at(run.r, 0);
	pthread_create(&producer, NULL, produce, NULL);
	consume();
	pthread_join(producer, NULL);
	snprintf(name, sizeof name, "memory %u, at least %u%s", kind, least, keep_back ? ", kept back" : "");
	printf("%s: %u sent, %u received, %u armed, %u fitted, %u signals, %u early\n", name, run.sent, run.received, run.armed,
	       run.fits, run.signals, run.early);
	snprintf(text, sizeof text, "%s: all arrives", name);
	check(run.sent == PACKETS && run.received == PACKETS && !run.bad, text);
	snprintf(text, sizeof text, "%s: the producer had to wait, a signal for each time", name);
	/* The pending size is in the ring for a moment also where arm says that it fits: a signal may come for that as well. */
	check(run.armed > 10 && run.room.waits <= run.signals + 1 && run.signals <= 2 * (run.armed + run.fits), text);
	/* A signal can come for a pending size that arm took back, since the packet fitted by then: it rings in the next wait. */
	snprintf(text, sizeof text, "%s: woken when there is room", name);
	check(run.early <= run.fits + run.signals - run.room.waits + 1, text);
	rig_free(run.r);
}

int main(void)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (uint32_t keep_back = 0; keep_back < 2; keep_back++) {
			fill(kind, 0, keep_back);
			fill(kind, 3000, keep_back);
		}
	return tally();
}
