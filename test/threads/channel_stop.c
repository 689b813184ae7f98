/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Another thread asks for a channel in the middle of everything: both data threads hear of it by their next call and by a wake,
 * and from then on nothing of theirs touches a ring. A third thread looks at the channel all the time.
 */
#include "channel_rig.h"

#define ROUNDS 150u

static struct rings rings;
static uint32_t done; /* atomic */

static void *sender(void *arg)
{
	struct side *s = arg;
	uint64_t word = 1;

	for (;;) {
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .len = 8, .payload = &word };
		int r = vmb_channel_send(s->ch, &p);

		if (r == VMB_ESTOPPED)
			break;
		must(!r || r == VMB_EFULL, "sent, or must wait");
		word += !r;
		if (r)
			nap(s, 0);
	}
	must(vmb_channel_flush(s->ch) == VMB_ESTOPPED, "and stays stopped");
	return NULL;
}

static void *receiver(void *arg)
{
	struct side *s = arg;
	uint64_t buf[8], next = 1;
	struct vmb_packet p;

	for (;;) {
		int r = vmb_channel_recv(s->ch, buf, sizeof buf, &p);

		if (r == VMB_ESTOPPED)
			break;
		if (r == VMB_YES)
			must(buf[0] == next++, "in order, none missing");
		else
			must(r == 0, "empty");
		if (!r)
			nap(s, 1);
	}
	must(vmb_channel_release(s->ch) == VMB_ESTOPPED, "and stays stopped");
	return NULL;
}

static void *onlooker(void *arg)
{
	struct side *s = arg;

	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
		struct vmb_channel_info info = { .size = sizeof info };
		uint64_t bits = 0;

		must(!vmb_channel_info(s->ch, &info), "info");
		must(info.tx.data_bytes == 2 * VMB_PAGE && info.tx.in < 2 * VMB_PAGE && !info.reason, "and it makes sense");
		must(!vmb_channel_dirty(s->ch, &bits, 1) && bits < 64, "dirty");
		usleep(50);
	}
	return NULL;
}

static void *stopper(void *arg)
{
	struct side *s = arg;

	usleep((useconds_t)(1 + (uintptr_t)s->mem / 64 % 1500));
	for (unsigned i = 0; i < 2; i++)
		must(!vmb_channel_stop(rings.side[i].ch), "stop");
	for (unsigned i = 0; i < 2; i++)
		wake_side(&rings.side[i]);
	return NULL;
}

int main(void)
{
	static const struct vmb_channel_config cfg[2] = { { .flags = VMB_CHANNEL_DIRTY }, { .flags = VMB_CHANNEL_DIRTY } };
	uint64_t packets = 0;

	alarm(60);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct vmb_channel_info info = { .size = sizeof info };
		pthread_t t[6];

		__atomic_store_n(&done, 0, __ATOMIC_RELEASE);
		rings_make(&rings, 2, cfg);
		for (unsigned i = 0; i < 2; i++) {
			t[i] = thread(sender, &rings.side[i]);
			t[2 + i] = thread(receiver, &rings.side[i]);
		}
		t[4] = thread(onlooker, &rings.side[round % 2]);
		t[5] = thread(stopper, &rings.side[0]);
		for (unsigned i = 0; i < 6; i++) {
			if (i == 4)
				continue;
			pthread_join(t[i], NULL);
		}
		__atomic_store_n(&done, 1, __ATOMIC_RELEASE);
		pthread_join(t[4], NULL);
		must(!vmb_channel_info(rings.side[0].ch, &info), "info");
		must(info.error == VMB_ESTOPPED, "stopped");
		packets += info.received;
		rings_free(&rings);
	}
	check(1, "every round came to its end");
	check(packets > ROUNDS, "and packets went meanwhile");
	return finish();
}
