/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The same for a channel, with both of its control pages: what its calls do is what vmbus.h says they do with the two halves,
 * and those are judged by the oracle. A violation of one half is the end of both.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "test/ring/rig.h"

#define SIZE 4096u
#define SMALL 32u
#define LARGE 1024u
#define QUARTER (SIZE / 4) /* what is given back at once, and what is waited for */
#define STORAGE 16384u

static const uint16_t bytes[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x40, 0x41,
				  0x42, 0x43, 0x10, 0x3f, 0x44, 0x7f, 0x80, 0x800, 0xff8, 0xfff };
enum { BYTES = sizeof bytes / sizeof *bytes };

static struct rig *ring[2]; /* sent into, received from */
static struct vmb_channel *ch;
static uint32_t ends[SIZE / 8];
static const uint8_t payload[SIZE];
static uint8_t *storage;
static size_t storage_bytes;
static unsigned signals, calls, violations;

/* The control pages as they must be. What calls may change lies below HEAD: only that is put back each time. Were anything else changed, it
 * would stay, and be seen when all of the page is compared, which is done now and then. */
#define HEAD 256u
static struct oracle_page page[2];

/* What the channel must be like. */
struct oracle_channel {
	struct oracle_tx tx;
	struct oracle_rx rx;
	uint32_t held, want;
	unsigned signals;
	int dead;
};

static struct { struct oracle_channel o; struct oracle_page page[2]; uint8_t storage[STORAGE]; } saved;

/* ---- the calls, as vmbus.h has them */

static int broken(struct oracle_channel *o, int result)
{
	o->dead |= result == VMB_EPEER;
	return result;
}

static int released(struct oracle_channel *o, int facts)
{
	o->held = 0;
	if (facts > 0 && facts & VMB_SIGNAL)
		o->signals++;
	return facts < 0 ? broken(o, facts) : facts & VMB_YES;
}

/* A packet, or asleep; copied: space is given back once a quarter is due, and what is found by that is told by the next call. */
static int want_recv(struct oracle_channel *o, int copied)
{
	for (;;) {
		uint32_t total;
		int r = oracle_next(&o->rx, &page[1], &total);

		if (r < 0)
			return broken(o, r);
		if (r) {
			o->held += copied ? total : 0;
			if (copied && o->held >= QUARTER)
				(void)released(o, oracle_release(&o->rx, &page[1]));
			return VMB_YES;
		}
		r = released(o, oracle_sleep(&o->rx, &page[1]));
		if (r <= 0)
			return r;
	}
}

static int want_batch(struct oracle_channel *o, int n)
{
	int count = 0, r;
	uint32_t total;

	for (;;) {
		while (count < n && (r = oracle_next(&o->rx, &page[1], &total)) == VMB_YES)
			count++;
		if (count) {
			(void)released(o, oracle_release(&o->rx, &page[1]));
			return count;
		}
		if (r < 0)
			return broken(o, r);
		r = released(o, oracle_sleep(&o->rx, &page[1]));
		if (r <= 0)
			return r;
	}
}

/* Is it still full? As long as no more is free than was waited for. */
static int still_full(struct oracle_channel *o)
{
	uint32_t out = oracle_get(&page[0], RIG_OUT), used;

	if (!o->want)
		return 0;
	used = o->tx.in_next >= out ? o->tx.in_next - out : SIZE - out + o->tx.in_next;
	if (out < SIZE && out % 8 == 0 && SIZE - used <= o->want)
		return 1;
	o->want = 0;
	return 0;
}

/* *facts: a signal is due. */
static int want_put(struct oracle_channel *o, uint32_t total, int *facts)
{
	int r;

	*facts = 0;
	if (still_full(o))
		return VMB_EFULL;
	r = oracle_put(&o->tx, &page[0], total);
	if (r != VMB_EFULL)
		return broken(o, r);
	r = oracle_commit(&o->tx, &page[0]);
	if (r < 0)
		return broken(o, r);
	*facts = r;
	r = oracle_arm(&o->tx, &page[0], total, QUARTER);
	if (r == VMB_YES)
		return oracle_put(&o->tx, &page[0], total);
	o->signals += *facts == VMB_SIGNAL; /* nobody can be told of it by an error */
	*facts = 0;
	if (r < 0)
		return broken(o, r);
	o->want = o->tx.pend;
	return VMB_EFULL;
}

static int want_flush(struct oracle_channel *o, int facts)
{
	int r = oracle_commit(&o->tx, &page[0]);

	if (r < 0)
		return broken(o, r);
	o->signals += (r | facts) != 0;
	return 0;
}

enum call { RECV, NEXT, BATCH, RELEASE, PUT, PUT_LARGE, SEND, FLUSH, CALLS };
static const char *const names[CALLS] = { "recv", "next", "recv_batch", "release", "put", "put, large", "send", "flush" };

static int want_call(struct oracle_channel *o, enum call call)
{
	int facts = 0, r;

	if (o->dead)
		return VMB_EPEER;
	switch (call) {
	case RECV: return want_recv(o, 1);
	case NEXT: return want_recv(o, 0);
	case BATCH: return want_batch(o, 3);
	case RELEASE: return released(o, oracle_release(&o->rx, &page[1]));
	case PUT: case PUT_LARGE:
		r = want_put(o, call == PUT ? SMALL : LARGE, &facts);
		o->signals += facts != 0;
		return r;
	case SEND:
		r = want_put(o, SMALL, &facts);
		return r < 0 ? r : want_flush(o, facts);
	default: return want_flush(o, 0);
	}
}

static int do_call(enum call call)
{
	static uint64_t buf[SIZE / 8];
	struct vmb_packet p = rig_packet(payload, 8), large = rig_packet(payload, LARGE - 24);
	struct vmb_record records[3];
	struct vmb_view v;

	switch (call) {
	case RECV: return vmb_channel_recv(ch, buf, sizeof buf, &p);
	case NEXT: return vmb_channel_next(ch, &p, &v);
	case BATCH: return vmb_channel_recv_batch(ch, (uint8_t *)buf, sizeof buf, records, 3);
	case RELEASE: return vmb_channel_release(ch);
	case PUT: return vmb_channel_put(ch, &p);
	case PUT_LARGE: return vmb_channel_put(ch, &large);
	case SEND: return vmb_channel_send(ch, &p);
	default: return vmb_channel_flush(ch);
	}
}

/* ---- judging */

static const char *wrong(const struct oracle_channel *o, int got, int want)
{
	struct vmb_channel_info info = { .size = sizeof info };
	uint32_t reason = o->rx.reason ? o->rx.reason : o->tx.reason, at = o->rx.reason ? o->rx.at : o->tx.at;

	if (got != want)
		return "another result";
	for (unsigned i = 0; i < 2; i++)
		if (memcmp(&page[i], ring[i]->control, calls % 61 ? HEAD : VMB_PAGE))
			return i ? "the page received from" : "the page sent into";
	if (signals != o->signals)
		return "signals";
	if (vmb_channel_info(ch, &info) || info.error != (o->dead ? VMB_EPEER : 0) || info.reason != reason || info.reason_at != at)
		return "what info says";
	return info.rx.in == oracle_get(&page[1], 0) && info.tx.out == oracle_get(&page[0], 4) ? NULL : "the indexes in info";
}

static void restore(unsigned side, uint32_t byte, uint32_t value)
{
	static uint32_t changed;

	memcpy(storage, saved.storage, storage_bytes);
	for (unsigned i = 0; i < 2; i++) {
		struct oracle_page *real = (struct oracle_page *)ring[i]->control;

		real->byte[changed] = page[i].byte[changed] = saved.page[i].byte[changed];
		memcpy(real, &saved.page[i], HEAD);
		memcpy(&page[i], &saved.page[i], HEAD);
		if (i == side)
			real->byte[byte] = page[i].byte[byte] ^= (uint8_t)value;
	}
	changed = byte;
}

static void try_one(const char *state, enum call call, unsigned side, uint32_t byte, uint32_t value)
{
	struct oracle_channel o = saved.o;

	restore(side, byte, value);
	signals = o.signals = 0;
	for (unsigned again = 0; again < 2; again++) {
		int want = want_call(&o, call), got = do_call(call);
		const char *bad = wrong(&o, got, want);

		calls++;
		violations += got == VMB_EPEER;
		cr_assert_null(bad, "%s, %s, ring %u, byte 0x%x changed by %x: %s (%d, not %d)", state, names[call], side, byte, value, bad,
			       got, want);
		call = (call + value) % CALLS;
	}
}

static void all(const char *state, const struct oracle_channel *o)
{
	saved.o = *o;
	memcpy(saved.page, page, sizeof page);
	memcpy(saved.storage, storage, storage_bytes);
	for (unsigned side = 0; side < 2; side++)
		for (unsigned i = 0; i < BYTES; i++)
			for (uint32_t value = 0; value < 256; value++)
				for (enum call call = RECV; call < CALLS; call++)
					try_one(state, call, side, bytes[i], value);
	restore(0, 0, 0);
}

/* The channel and the oracle do it, and agree. */
static void both(struct oracle_channel *o, enum call call)
{
	const char *bad;
	int want, got;

	signals = o->signals = 0;
	want = want_call(o, call);
	got = do_call(call);
	bad = wrong(o, got, want);
	cr_assert_null(bad, "%s: %s (%d, not %d)", names[call], bad, got, want);
}

static void on_signal(void *ctx)
{
	(void)ctx;
	signals++;
}

static void lay_ring(uint32_t from)
{
	memset(ends, 0, sizeof ends);
	for (uint32_t at = 0; at < SIZE; at += 8)
		rig_set_qword(ring[1], at, 5 | (uint64_t)2 << 16 | (uint64_t)2 << 32);
	for (uint32_t at = from, n = 0, total; at + 264 < from + SIZE; at += total, n++) {
		total = n % 3 == 2 ? 264 : SMALL;
		rig_set_qword(ring[1], at, 6 | (uint64_t)2 << 16 | (uint64_t)(total / 8 - 1) << 32);
		ends[at % SIZE / 8] = at + total;
	}
}

static void begin(uint32_t kind, struct oracle_channel *o)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .signal = on_signal };
	struct vmb_storage need;

	memset(o, 0, sizeof *o);
	for (unsigned i = 0; i < 2; i++) {
		ring[i] = rig_new(kind, 1);
		rig_set(ring[i], RIG_IN, 0xf40);
		rig_set(ring[i], RIG_OUT, 0xf40);
		memcpy(&page[i], ring[i]->control, VMB_PAGE);
	}
	cfg.tx = ring[0]->mem;
	cfg.rx = ring[1]->mem;
	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	cr_assert_leq(need.bytes, STORAGE);
	storage_bytes = need.bytes;
	storage = aligned_alloc(need.align, need.bytes);
	cr_assert_eq(vmb_channel_init(storage, need.bytes, &cfg, &ch), 0);
	lay_ring(0xf40);
	cr_assert_eq(oracle_tx_init(&o->tx, &page[0], SIZE, 0), 0);
	cr_assert_eq(oracle_rx_init(&o->rx, &page[1], SIZE, 0, ends), 0);
}

static void arrive(unsigned n, uint32_t pending)
{
	uint32_t in = oracle_get(&page[1], RIG_IN);

	for (; n; n--)
		in = ends[in / 8] % SIZE;
	oracle_set(&page[1], RIG_IN, in);
	oracle_set(&page[1], RIG_PENDING, pending);
	memcpy(ring[1]->control, &page[1], VMB_PAGE);
}

TestSuite(hostile_channel);

Test(hostile_channel, every_call_in_every_state_with_every_value_of_every_byte)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		struct oracle_channel o;

		begin(kind, &o);
		all("made", &o);
		both(&o, RECV);
		all("asleep", &o);
		arrive(4, 0);
		both(&o, PUT);
		all("four packets, one put", &o);
		both(&o, RECV);
		both(&o, FLUSH);
		all("one of four received, one sent", &o);
		arrive(20, 0x900);
		for (unsigned i = 0; i < 3; i++)
			both(&o, PUT_LARGE);
		all("many packets, the peer waits, three put", &o);
		for (unsigned i = 0; i < 8; i++)
			both(&o, RECV);
		both(&o, PUT_LARGE);
		all("a quarter is nearly due, full", &o);
		for (unsigned i = 0; i < 2; i++)
			rig_free(ring[i]);
		free(storage);
	}
	cr_assert_gt(calls, 1000000);
	cr_assert_gt(violations, calls / 100);
}
