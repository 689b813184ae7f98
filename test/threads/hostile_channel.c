/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Channels, in all kinds of memory and of all sorts, with a peer that rewrites all that it shares with them meanwhile, and the
 * memory that packets name. Everything of the library's lies between pages that cannot be accessed; and a second channel in the
 * same program, whose rings cannot be accessed either, is not touched. ring.md 9.1
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tally.h"
#include "test/hostile/peer.h"
#include "test/ring/rig.h"

#define CALLS 120000u

static unsigned signals;
static struct rig *ring[2]; /* sent into, received from */
static struct vmb_channel_config config;
static struct guard storage, memory[PEER_MEMORY];

static void on_signal(void *ctx)
{
	(void)ctx;
	signals++;
}

static void renew(struct use *u)
{
	struct vmb_cursor at;

	if (u->ch && vmb_channel_end(u->ch, &at, NULL))
		abort();
	if (vmb_channel_init(storage.at, storage.bytes, &config, &u->ch))
		abort();
}

static void configure(uint32_t flags, uint32_t requests)
{
	struct vmb_storage need;

	memset(&config, 0, sizeof config);
	config.size = sizeof config;
	config.flags = flags;
	config.requests = requests;
	config.tx = ring[0]->mem;
	config.rx = ring[1]->mem;
	config.tx.flags |= VMB_RING_FRESH;
	config.rx.flags |= VMB_RING_FRESH;
	config.signal = on_signal;
	if (vmb_channel_storage(&config, &need))
		abort();
	guard_make(&storage, need.bytes, 1, GUARD_RANDOM);
}

/* The innocent: a channel with something in its rings, which then cannot be accessed. */
static struct { struct rig *ring; struct guard storage; uint8_t *copy; struct vmb_channel *ch; } other;

static void other_make(void)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 3 };
	struct vmb_packet p = rig_packet("innocent", 8);
	struct vmb_storage need;

	other.ring = rig_new(RIG_ONCE, 2);
	cfg.tx = cfg.rx = other.ring->mem;
	if (vmb_channel_storage(&cfg, &need))
		abort();
	guard_make(&other.storage, need.bytes, 0, GUARD_A5);
	if (vmb_channel_init(other.storage.at, need.bytes, &cfg, &other.ch) || vmb_channel_send(other.ch, &p))
		abort();
	other.copy = malloc(need.bytes);
	if (!other.copy)
		abort();
	memcpy(other.copy, other.storage.at, need.bytes);
	if (mprotect(other.ring->mem.control, VMB_PAGE, PROT_NONE) || mprotect(other.ring->mem.data, other.ring->size, PROT_NONE))
		abort();
}

static int other_is_well(void)
{
	return !memcmp(other.copy, other.storage.at, other.storage.bytes) && guard_intact(&other.storage) &&
	       rig_word(other.ring, RIG_IN) == 32 && rig_qword(other.ring, 32) == 0;
}

static void run(uint32_t kind, uint32_t flags, uint32_t requests, unsigned tame)
{
	static struct peer peer;
	static struct use u;
	struct vmb_mapper mapper = { peer.memory, peer_map, peer_unmap };
	unsigned long deaths = 0;
	char name[96];

	ring[0] = rig_new(kind, 2);
	ring[1] = rig_new(kind, 3);
	configure(flags, requests);
	memset(&peer, 0, sizeof peer);
	memset(&u, 0, sizeof u);
	peer.from = peer_ring_of(ring[1]);
	peer.to = peer_ring_of(ring[0]);
	peer.tame = tame;
	peer.pipe = (flags & VMB_CHANNEL_PIPE) != 0;
	for (unsigned i = 0; i < PEER_MEMORY; i++)
		peer.memory[i] = memory[i].at;
	u.peer = &peer;
	u.mapper = &mapper;
	u.renew = renew;
	u.requests = requests != 0;
	u.dirty = (flags & VMB_CHANNEL_DIRTY) != 0;
	u.state = kind * 100 + flags + requests;
	renew(&u);
	peer_start(&peer);
	use_channel(&u, CALLS);
	peer_stop(&peer);
	for (unsigned k = 1; k <= VMB_R_PAYLOAD; k++)
		deaths += u.deaths[k];
	printf("memory %u, flags %x, %u requests, %u%% tame: %lu changes, %lu sent, %lu received, %lu lists, %lu completed, %lu late, "
	       "%lu violations\n", kind, flags, requests, tame, peer.changes, u.sent, u.received, u.lists, u.completed, u.late, deaths);
	snprintf(name, sizeof name, "memory %u, flags %x, %u requests: %s (%d)", kind, flags, requests, u.bad ? u.bad : "", u.bad_result);
	check(!u.bad, name);
	check(u.sent > 100 && u.received > 100 && u.lists > 10 && deaths > 10, name);
	check(guard_intact(&storage) && other_is_well(), name);
	guard_free(&storage);
	rig_free(ring[0]);
	rig_free(ring[1]);
}

int main(void)
{
	if (PEER_SKIPPED) {
		printf("0 passed, 0 failed, 1 skipped\n");
		return 0;
	}
	for (unsigned i = 0; i < PEER_MEMORY; i++)
		guard_make(&memory[i], VMB_PAGE, 1, GUARD_A5);
	other_make();
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		run(kind, 0, PEER_REQUESTS, 10);
		run(kind, VMB_CHANNEL_DIRTY, PEER_REQUESTS, 97);
		run(kind, VMB_CHANNEL_PIPE, 0, 97);
		run(kind, VMB_CHANNEL_POLLED, 0, 90);
	}
	printf("%u signals\n", signals);
	return tally();
}
