/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Both roles: the host end's channel, whose rings it maps page by page, with a guest that rewrites them meanwhile; and the
 * guest end's, in each kind of memory, with such a host. After each violation the channel is closed and opened again over the
 * bus. The other channels of the same two ends go on working, and find what is theirs.
 */
#include <stdio.h>
#include <string.h>

#include "test/hostile/life.h"
#include "tally.h"
#include "test/hostile/peer.h"

#define CALLS 40000u


/* Which of them is used. */
static struct { int host; unsigned channel; } role;

static void renew(struct use *u)
{
	life_reopen(role.channel);
	u->ch = life_channel(role.host, role.channel);
}

static struct peer_ring ring_of(unsigned channel, unsigned first)
{
	struct peer_ring r = { .control = life_ring_page(channel, first), .size = (LIFE_RING_PAGES - 1) * VMB_PAGE };

	for (unsigned i = 0; i < LIFE_RING_PAGES - 1; i++)
		r.page[i] = life_ring_page(channel, first + 1 + i);
	return r;
}

/* Channels 0: in a row, 1: mapped twice, 2: a list of pages, 3: a pipe. The host end has page lists always. */
static void run(int host, unsigned channel, unsigned tame)
{
	static struct life_trace t;
	static struct peer peer;
	static struct use u;
	struct life_config cfg = { .fill = GUARD_RANDOM, .right = 1 };
	struct vmb_mapper mapper = { peer.memory, peer_map, peer_unmap };
	unsigned long deaths = 0, packets;
	char name[96];

	life_begin(&cfg, &t);
	role.host = host;
	role.channel = channel;
	life_deaf(1);
	memset(&peer, 0, sizeof peer);
	memset(&u, 0, sizeof u);
	peer.from = ring_of(channel, host ? 0 : LIFE_RING_PAGES);
	peer.to = ring_of(channel, host ? LIFE_RING_PAGES : 0);
	peer.tame = tame;
	peer.pipe = channel == 3;
	for (unsigned i = 0; i < PEER_MEMORY; i++)
		peer.memory[i] = life_data_page(i);
	u.peer = &peer;
	u.mapper = &mapper;
	u.renew = renew;
	u.requests = !host;
	u.dirty = 1;
	u.state = channel * 2 + (unsigned)host;
	u.ch = life_channel(host, channel);
	peer_start(&peer);
	use_channel(&u, CALLS);
	peer_stop(&peer);
	for (unsigned k = 1; k <= VMB_R_PAYLOAD; k++)
		deaths += u.deaths[k];
	printf("%s, channel %u, %u%% tame: %lu changes, %lu sent, %lu received, %lu lists, %lu completed, %lu violations\n",
	       host ? "host" : "guest", channel, tame, peer.changes, u.sent, u.received, u.lists, u.completed, deaths);
	snprintf(name, sizeof name, "%s, channel %u: %s (%d)", host ? "host" : "guest", channel, u.bad ? u.bad : "", u.bad_result);
	check(!u.bad, name);
	check(u.sent > 100 && u.received > 100 && (u.lists > 10 || tame < 50) && deaths > 10, name);
	life_reopen(channel);
	life_deaf(0);
	packets = t.packets;
	for (unsigned i = 0; i < LIFE_CHANNELS; i++)
		life_talk(i);
	snprintf(name, sizeof name, "%s, channel %u: all channels work afterwards", host ? "host" : "guest", channel);
	check(t.packets - packets > 60, name);
	life_finish();
	snprintf(name, sizeof name, "%s, channel %u: nothing around storage is touched", host ? "host" : "guest", channel);
	check(!t.bad, name);
	life_end(&t);
	life_forget();
}

int main(void)
{
	if (PEER_SKIPPED) {
		printf("0 passed, 0 failed, 1 skipped\n");
		return 0;
	}
	for (int host = 0; host < 2; host++)
		for (unsigned channel = 0; channel < LIFE_CHANNELS; channel++)
			run(host, channel, channel % 2 ? 97 : 60);
	return tally();
}
