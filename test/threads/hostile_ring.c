/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Halves of rings, in all kinds of memory, with a peer that rewrites control pages, descriptors, lists, footers and payload
 * meanwhile. Rings, storage and buffers lie between pages that cannot be accessed. ring.md 9.1
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tally.h"
#include "test/hostile/peer.h"
#include "test/ring/rig.h"

#define CALLS 150000u

static struct rig *ring[2]; /* sent into, received from */

static void renew(struct use_ring *u)
{
	if (rig_tx(ring[0], VMB_RING_FRESH, NULL) || rig_rx(ring[1], VMB_RING_FRESH, NULL))
		abort();
	u->tx = ring[0]->tx;
	u->rx = ring[1]->rx;
}

/* tame: how often the peer does what is right. */
static void run(uint32_t kind, uint32_t pages, unsigned tame)
{
	static struct peer peer;
	static struct use_ring u;
	unsigned long deaths[2] = { 0, 0 };
	char name[80];

	ring[0] = rig_new(kind, pages);
	ring[1] = rig_new(kind, pages);
	memset(&peer, 0, sizeof peer);
	memset(&u, 0, sizeof u);
	peer.from = peer_ring_of(ring[1]);
	peer.to = peer_ring_of(ring[0]);
	peer.tame = tame;
	for (unsigned i = 0; i < PEER_MEMORY; i++)
		peer.memory[i] = ring[1]->data;
	u.peer = &peer;
	u.renew = renew;
	u.state = kind * 10 + pages;
	renew(&u);
	peer_start(&peer);
	use_ring(&u, CALLS);
	peer_stop(&peer);
	for (unsigned i = 0; i < 2; i++)
		for (unsigned k = 1; k <= VMB_R_PAYLOAD; k++)
			deaths[i] += u.deaths[i][k];
	printf("memory %u, %u pages, %u%% tame: %lu changes, %lu sent, %lu received, %lu and %lu violations\n", kind, pages, tame, peer.changes,
	       u.sent, u.received, deaths[0], deaths[1]);
	snprintf(name, sizeof name, "memory %u, %u pages, %u%% tame: %s (%d)", kind, pages, tame, u.bad ? u.bad : "", u.bad_result);
	check(!u.bad, name);
	check(u.sent > 100 && u.received > 100 && deaths[0] + deaths[1] > 10, name);
	rig_free(ring[0]);
	rig_free(ring[1]);
}

int main(void)
{
	if (PEER_SKIPPED) {
		printf("0 passed, 0 failed, 1 skipped\n");
		return 0;
	}
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (uint32_t pages = 1; pages <= 3; pages += 2) {
			run(kind, pages, 10);
			run(kind, pages, 97);
		}
	return tally();
}
