/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Cancelling races with completing. The sender cancels at any moment, the receiver takes completions, and the other side
 * answers each request once, repeats some answers, and invents others. Each request must be told by recv exactly once: late if
 * and only if its cancel worked. At the end no slot is left.
 */
#include "channel_rig.h"

#define REQUESTS 60000u
#define SLOTS 16u
#define RECENT 64u
#define SENDER 0
#define RECEIVER 1

static struct rings rings;
static uint8_t told[REQUESTS], late[REQUESTS], cancelled[REQUESTS];
static uint64_t refused, mixed_up;

static void *sender(void *arg)
{
	struct side *s = arg;
	struct { uint64_t id; uint32_t user; } recent[RECENT] = { { 0, 0 } };
	uint64_t random = 5;

	for (uint32_t i = 0; i < REQUESTS;) {
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .user = i };
		uint32_t k = random_next(&random) % RECENT;
		uint64_t user = REQUESTS;
		int r = vmb_channel_send(s->ch, &p);

		if (!r) {
			recent[i % RECENT].id = p.id;
			recent[i % RECENT].user = i;
			k = random_next(&random) % 3 ? i % RECENT : k;
			i++;
		}
		must(!r || r == VMB_EFULL || r == VMB_ENOSLOT, "a request is sent, or must wait");
		if (random_next(&random) % 2 && recent[k].id) {
			if (vmb_channel_cancel(s->ch, recent[k].id, &user)) {
				refused++;
			} else {
				mixed_up += user != recent[k].user;
				cancelled[recent[k].user]++;
			}
		}
		if (r)
			nap(s, SENDER);
	}
	return NULL;
}

static void *receiver(void *arg)
{
	struct side *s = arg;
	uint64_t buf[8];
	struct vmb_packet p;

	for (uint32_t left = REQUESTS; left;) {
		int r = vmb_channel_recv(s->ch, buf, sizeof buf, &p);

		if (!r)
			nap(s, RECEIVER);
		if (!r || r == VMB_EAGAIN)
			continue;
		must(r == VMB_YES && p.kind == VMB_PKT_COMPLETION && p.user < REQUESTS, "a completion");
		told[p.user]++;
		if (p.flags & VMB_PKT_LATE)
			late[p.user]++;
		left--;
		sem_post(&s->wake[SENDER]);
	}
	return NULL;
}

static void reply(struct side *s, uint64_t id)
{
	struct vmb_packet answer = { .kind = VMB_PKT_COMPLETION, .id = id };
	int r;

	while ((r = vmb_channel_send(s->ch, &answer)) == VMB_EFULL) {
		must(!vmb_channel_release(s->ch), "release before waiting");
		nap(s, 0);
	}
	must(!r, "an answer is sent");
}

/* Answers each request, after answering others that are over or never were. An id that is in flight is not guessed: that
 * would be an answer. */
static void *answerer(void *arg)
{
	struct side *s = arg;
	uint64_t buf[8], old[RECENT] = { 0 }, random = 9;

	for (uint32_t n = 0; n < REQUESTS;) {
		struct vmb_packet p;
		int r = vmb_channel_recv(s->ch, buf, sizeof buf, &p);

		if (!r) {
			nap(s, 0);
			continue;
		}
		must(r == VMB_YES && p.id, "a request");
		if (random_next(&random) % 3 == 0)
			reply(s, old[random_next(&random) % RECENT]);
		if (random_next(&random) % 3 == 0)
			reply(s, ((uint64_t)random_next(&random) << 16 | SLOTS) + random_next(&random) % 1000 + 1);
		old[n++ % RECENT] = p.id;
		reply(s, p.id);
	}
	return NULL;
}

int main(void)
{
	struct vmb_channel_config cfg[2] = { { .requests = SLOTS }, { 0 } };
	struct vmb_channel_info info = { .size = sizeof info };
	uint32_t once = 0, matching = 0, cancels = 0, cursor = 0;
	pthread_t t[3];
	uint64_t id;

	alarm(60);
	rings_make(&rings, 1, cfg);
	t[0] = thread(answerer, &rings.side[1]);
	t[1] = thread(receiver, &rings.side[0]);
	t[2] = thread(sender, &rings.side[0]);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		once += told[i] == 1;
		matching += late[i] == cancelled[i];
		cancels += cancelled[i];
	}
	check(once == REQUESTS, "each request is told once");
	check(matching == REQUESTS, "late if and only if it was cancelled");
	check(!mixed_up, "cancel gives the user of its request");
	check(cancels > 500, "cancels that worked");
	check(refused > 500, "cancels that came too late");
	must(!vmb_channel_info(rings.side[0].ch, &info), "info");
	check(info.requests == 0 && info.zombies == 0, "no slot is left");
	check(info.unmatched > REQUESTS / 3, "forged and repeated answers");
	check(vmb_channel_outstanding(rings.side[0].ch, &cursor, &id, NULL, NULL) == 0, "nothing is outstanding");
	rings_free(&rings);
	return finish();
}
