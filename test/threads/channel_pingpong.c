/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Requests and answers as fast as three threads can: a sender that keeps the table full, a receiver, and an echo on the other
 * side. All sleep when there is nothing to do. Each request comes back once, with its bytes, and nobody sleeps for ever. Rings
 * of one page, so that they are full all the time, and larger ones.
 */
#include "channel_rig.h"

#define REQUESTS 60000u
#define SENDER 0
#define RECEIVER 1

static struct rings rings;
static uint32_t defer, deepest;
static uint8_t came_back[REQUESTS];
static uint32_t wrong;

static void compose(uint64_t *words, uint32_t n, uint32_t i)
{
	for (uint32_t k = 0; k < n; k++)
		words[k] = (uint64_t)i << 32 | (i * 2654435761u + k);
}

static uint32_t length(uint32_t i)
{
	return i % 13 * 8 + (i % 101 ? 0 : 1600);
}

/* A result of a sending call: the signal that it may ask for is done here. */
static int sent(struct side *s, int r)
{
	if (r > 0) {
		must(defer && r == VMB_SIGNAL && !vmb_channel_signal(s->ch), "only a signal to do");
		r = 0;
	}
	return r;
}

static void *sender(void *arg)
{
	struct side *s = arg;
	uint64_t words[256];

	for (uint32_t i = 0; i < REQUESTS;) {
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .user = i, .payload = words };
		int r;

		p.len = length(i);
		compose(words, p.len / 8, i);
		r = sent(s, i % 4 ? vmb_channel_put(s->ch, &p) : vmb_channel_send(s->ch, &p));
		if (!r) {
			i++;
			continue;
		}
		must(r == VMB_EFULL || r == VMB_ENOSLOT, "a request is sent, or must wait");
		must(!sent(s, vmb_channel_flush(s->ch)), "flush");
		nap(s, SENDER);
	}
	must(!sent(s, vmb_channel_flush(s->ch)), "the last flush");
	return NULL;
}

static void *receiver(void *arg)
{
	struct side *s = arg;
	uint64_t buf[256], want[256];
	struct vmb_packet p;

	for (uint32_t left = REQUESTS; left;) {
		int r = vmb_channel_recv(s->ch, buf, sizeof buf, &p);

		if (!r) {
			nap(s, RECEIVER);
			continue;
		}
		must(r == VMB_YES && p.kind == VMB_PKT_COMPLETION && !p.flags && p.user < REQUESTS, "a completion");
		compose(want, p.len / 8, ~(uint32_t)p.user);
		wrong += p.len != length((uint32_t)p.user) || memcmp(p.payload, want, p.len);
		came_back[p.user]++;
		left--;
		sem_post(&s->wake[SENDER]); /* a slot is free */
	}
	must(!vmb_channel_recv(s->ch, buf, sizeof buf, &p), "and that was all");
	return NULL;
}

/* Answers with the complement's bytes. What cannot be sent yet is kept: nothing else is received meanwhile. */
static void *echo(void *arg)
{
	struct side *s = arg;
	uint64_t buf[256];

	for (uint32_t left = REQUESTS; left;) {
		struct vmb_packet p, answer;
		int r = vmb_channel_recv(s->ch, buf, sizeof buf, &p);

		if (!r) {
			must(!sent(s, vmb_channel_flush(s->ch)), "flush");
			nap(s, 0);
			continue;
		}
		must(r == VMB_YES && p.flags == VMB_PKT_WANTS_REPLY && p.id, "a request");
		if (p.len)
			compose(buf, p.len / 8, ~(uint32_t)(buf[0] >> 32));
		answer = (struct vmb_packet){ .kind = VMB_PKT_COMPLETION, .id = p.id, .payload = buf, .len = p.len };
		while ((r = sent(s, vmb_channel_put(s->ch, &answer))) == VMB_EFULL) {
			must(!vmb_channel_release(s->ch), "release before waiting");
			nap(s, 0);
		}
		must(!r, "an answer is sent");
		left--;
	}
	must(!sent(s, vmb_channel_flush(s->ch)), "the last flush");
	return NULL;
}

static void run(uint32_t pages, uint32_t requests, uint32_t flags)
{
	struct vmb_channel_config cfg[2] = { { .requests = requests, .flags = flags }, { .flags = flags } };
	struct vmb_channel_info info = { .size = sizeof info };
	pthread_t t[3];
	uint32_t once = 0;

	defer = flags & VMB_CHANNEL_DEFER;
	memset(came_back, 0, sizeof came_back);
	wrong = 0;
	rings_make(&rings, pages, cfg);
	t[0] = thread(echo, &rings.side[1]);
	t[1] = thread(receiver, &rings.side[0]);
	t[2] = thread(sender, &rings.side[0]);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	for (uint32_t i = 0; i < REQUESTS; i++)
		once += came_back[i] == 1;
	check(once == REQUESTS, "each request comes back once");
	check(!wrong, "with its bytes");
	must(!vmb_channel_info(rings.side[0].ch, &info), "info");
	check(info.requests == 0 && info.unmatched == 0 && info.error == 0, "nothing is left over");
	check(info.sent == REQUESTS && info.received == REQUESTS, "all were counted");
	check(info.signals_data + info.signals_room < REQUESTS, "fewer signals than packets");
	rings_free(&rings);
	deepest = requests > deepest ? requests : deepest;
}

int main(void)
{
	alarm(60);
	run(1, 4, 0);
	run(1, 300, 0);
	run(2, 1000, VMB_CHANNEL_DEFER);
	run(16, 64, 0);
	check(deepest == 1000, "four runs");
	return finish();
}
