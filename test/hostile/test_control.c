/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Every value of every byte of the control page, in every state of a half, at every call: the result, the reason, and each byte
 * of the page are what an oracle says that was made from ring.md alone. The page lies between pages that cannot be accessed.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "test/ring/rig.h"

#define SIZE 4096u /* one page of data */
#define SMALL 32u  /* bytes of a packet with 8 of payload */
#define LARGE 1024u
#define STORAGE 8192u

/* The bytes that the specification defines, and samples of what is reserved. ring.md 2.2 */
static const uint16_t bytes[] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x40, 0x41, 0x42, 0x43,
	0x10, 0x11, 0x13, 0x20, 0x3c, 0x3f, 0x44, 0x45, 0x7c, 0x7f, 0x80, 0x81, 0xff, 0x100, 0x7ff, 0x800, 0xff0,
	0xff8, 0xff9, 0xffa, 0xffb, 0xffc, 0xffd, 0xffe, 0xfff /* a counter of some guests */
};
enum { BYTES = sizeof bytes / sizeof *bytes };

static struct rig *r;
static uint32_t ends[SIZE / 8];
static const uint8_t payload[SIZE];
static unsigned calls, violations, signals;

/* ---- what was reached, to come back to it: the object's storage, the page, and the oracle's state */

static struct {
	uint8_t *at;
	size_t bytes;
	uint8_t copy[STORAGE];
	struct oracle_page page;
	struct oracle_tx tx;
	struct oracle_rx rx;
} saved;

/* What calls may change lies below HEAD: only that is put back each time. Were anything else changed, it would stay, and be seen when all of
 * the page is compared, which is done now and then. */
#define HEAD 256u
static struct oracle_page want_page;
static uint32_t changed_byte;

static struct oracle_page *real_page(void)
{
	return (struct oracle_page *)r->control;
}

static void save(void *object, size_t size, const struct oracle_tx *tx, const struct oracle_rx *rx)
{
	cr_assert_leq(size, STORAGE);
	saved.at = object;
	saved.bytes = size;
	memcpy(saved.copy, object, size);
	saved.page = want_page = *real_page();
	changed_byte = 0;
	if (tx)
		saved.tx = *tx;
	if (rx)
		saved.rx = *rx;
}

static void restore(uint32_t byte, uint32_t value)
{
	struct oracle_page *pages[2] = { real_page(), &want_page };

	memcpy(saved.at, saved.copy, saved.bytes);
	for (unsigned i = 0; i < 2; i++) {
		pages[i]->byte[changed_byte] = saved.page.byte[changed_byte];
		memcpy(pages[i], &saved.page, HEAD);
		pages[i]->byte[byte] ^= (uint8_t)value; /* differs from what was there by value */
	}
	changed_byte = byte;
}

static void judge(const char *state, const char *call, uint32_t byte, int got, int want, const struct oracle_page *page, uint32_t reason,
		  uint32_t at, uint32_t want_reason, uint32_t want_at)
{
	calls++;
	violations += got == VMB_EPEER;
	signals += got > 0 && got & VMB_SIGNAL;
	if (got != want || reason != want_reason || at != want_at)
		cr_assert_fail("%s, %s, byte 0x%x, In %x Out %x mask %x pending %x: %d, reason %u at %x; not %d, reason %u at %x", state,
			       call, byte, oracle_get(page, 0), oracle_get(page, 4), oracle_get(page, 8), oracle_get(page, 12), got,
			       reason, at, want, want_reason, want_at);
	if (!memcmp(page, real_page(), calls % 61 ? HEAD : sizeof *page))
		return;
	for (uint32_t i = 0; i < sizeof page->byte; i++)
		if (page->byte[i] != real_page()->byte[i])
			cr_assert_fail("%s, %s, byte 0x%x changed: 0x%x of the page is %x, not %x", state, call, byte, i,
				       real_page()->byte[i], page->byte[i]);
}

/* ---- a producer */

enum tx_call { PUT, PUT_LARGE, RESERVE, COMMIT, DISCARD, ARM, ARM_LARGE, TX_CALLS };
static const char *const tx_names[TX_CALLS] = { "put", "put, large", "reserve", "commit", "discard", "arm", "arm, large" };

static int do_tx(enum tx_call call)
{
	struct vmb_packet p = rig_packet(payload, 8), large = rig_packet(payload, LARGE - 24);
	struct vmb_view v;

	switch (call) {
	case PUT: return vmb_tx_put(r->tx, &p);
	case PUT_LARGE: return vmb_tx_put(r->tx, &large);
	case RESERVE: return vmb_tx_reserve(r->tx, &p, &v);
	case COMMIT: return vmb_tx_commit(r->tx);
	case DISCARD: return vmb_tx_discard(r->tx);
	case ARM: return vmb_tx_arm(r->tx, &p, 2000);
	default: return vmb_tx_arm(r->tx, &large, 0);
	}
}

static int want_tx(enum tx_call call, struct oracle_tx *o, struct oracle_page *page)
{
	switch (call) {
	case PUT: case RESERVE: return oracle_put(o, page, SMALL);
	case PUT_LARGE: return oracle_put(o, page, LARGE);
	case COMMIT: return oracle_commit(o, page);
	case DISCARD: return oracle_discard(o);
	case ARM: return oracle_arm(o, page, SMALL, 2000);
	default: return oracle_arm(o, page, LARGE, 0);
	}
}

static void try_tx(const char *state, enum tx_call call, uint32_t byte, uint32_t value)
{
	struct oracle_tx o = saved.tx;
	uint32_t reason, at;

	restore(byte, value);
	for (unsigned again = 0; again < 2; again++) { /* then another call, whose page is what this one made of it; a violation stays */
		int want = want_tx(call, &o, &want_page), got = do_tx(call);

		reason = vmb_tx_reason(r->tx, &at);
		judge(state, tx_names[call], byte, got, want, &want_page, reason, at, o.reason, o.at);
		call = (call + value) % TX_CALLS;
	}
}

static void all_tx(const char *state, struct oracle_tx *o)
{
	struct vmb_storage need;

	cr_assert_eq(vmb_tx_storage(&r->mem, &need), 0);
	save(r->tx, need.bytes, o, NULL);
	for (unsigned i = 0; i < BYTES; i++)
		for (uint32_t value = 0; value < 256; value++)
			for (enum tx_call call = PUT; call < TX_CALLS; call++)
				try_tx(state, call, bytes[i], value);
	memcpy(saved.at, saved.copy, saved.bytes);
	*real_page() = saved.page;
}

/* Both do it, and agree. */
static void both_tx(enum tx_call call, struct oracle_tx *o)
{
	struct oracle_page page = *real_page();
	int want = want_tx(call, o, &page);

	cr_assert_eq(do_tx(call), want);
	cr_assert_eq(memcmp(&page, real_page(), sizeof page), 0);
}

static void begin_tx(uint32_t kind, uint32_t index, struct oracle_tx *o)
{
	struct oracle_page page;

	r = rig_new(kind, 1);
	rig_set(r, RIG_IN, index);
	rig_set(r, RIG_OUT, index);
	page = *real_page();
	cr_assert_eq(rig_tx(r, 0, NULL), 0);
	cr_assert_eq(oracle_tx_init(o, &page, SIZE, 0), 0);
	cr_assert_eq(memcmp(&page, real_page(), sizeof page), 0);
}

static void check_reached(unsigned least)
{
	cr_assert_gt(calls, least);
	cr_assert_gt(violations, calls / 100, "%u of %u", violations, calls);
	cr_assert_gt(signals, calls / 10000, "%u of %u", signals, calls);
}

TestSuite(hostile_control);

Test(hostile_control, a_producer_in_every_state_with_every_value_of_every_byte)
{
	struct oracle_tx o;

	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		begin_tx(kind, 0xfe8, &o);
		all_tx("made", &o);
		both_tx(PUT, &o);
		all_tx("one put", &o);
		both_tx(COMMIT, &o);
		all_tx("one published", &o);
		both_tx(PUT_LARGE, &o);
		both_tx(PUT_LARGE, &o);
		all_tx("three, two of them queued", &o);
		both_tx(PUT_LARGE, &o);
		both_tx(COMMIT, &o);
		all_tx("nearly full", &o);
		both_tx(PUT_LARGE, &o);
		both_tx(ARM_LARGE, &o);
		all_tx("armed", &o);
		both_tx(PUT, &o);
		all_tx("armed, one queued", &o);
		rig_free(r);
	}
	check_reached(1000000);
}

/* ---- a consumer */

enum rx_call { NEXT, RELEASE, SLEEP, MASK, REWIND, RX_CALLS };
static const char *const rx_names[RX_CALLS] = { "next", "release", "sleep", "mask", "rewind" };

static int do_rx(enum rx_call call, uint32_t *total)
{
	struct vmb_packet p;
	struct vmb_view v;
	int got;

	switch (call) {
	case RELEASE: return vmb_rx_release(r->rx);
	case SLEEP: return vmb_rx_sleep(r->rx);
	case MASK: return vmb_rx_mask(r->rx);
	case REWIND: return vmb_rx_rewind(r->rx);
	default:
		got = vmb_rx_next(r->rx, &p, &v);
		*total = got == VMB_YES ? 24 + v.len : 0;
		return got;
	}
}

static int want_rx(enum rx_call call, struct oracle_rx *o, struct oracle_page *page, uint32_t *total)
{
	switch (call) {
	case RELEASE: return oracle_release(o, page);
	case SLEEP: return oracle_sleep(o, page);
	case MASK: return oracle_mask(o, page);
	case REWIND: return oracle_rewind(o);
	default: return oracle_next(o, page, total);
	}
}

static void try_rx(const char *state, enum rx_call call, uint32_t byte, uint32_t value)
{
	struct oracle_rx o = saved.rx;
	uint32_t reason, at;

	restore(byte, value);
	for (unsigned again = 0; again < 2; again++) {
		uint32_t total = 0, want_total = 0;
		int want = want_rx(call, &o, &want_page, &want_total), got = do_rx(call, &total);

		reason = vmb_rx_reason(r->rx, &at);
		judge(state, rx_names[call], byte, got, want, &want_page, reason, at, o.reason, o.at);
		if (got == VMB_YES && call == NEXT)
			cr_assert_eq(total, want_total, "%s, byte 0x%x: a packet of %u bytes, not %u", state, byte, total, want_total);
		call = (call + value) % RX_CALLS;
	}
}

static void all_rx(const char *state, struct oracle_rx *o)
{
	struct vmb_storage need;

	cr_assert_eq(vmb_rx_storage(&r->mem, &need), 0);
	save(r->rx, need.bytes, NULL, o);
	for (unsigned i = 0; i < BYTES; i++)
		for (uint32_t value = 0; value < 256; value++)
			for (enum rx_call call = NEXT; call < RX_CALLS; call++)
				try_rx(state, call, bytes[i], value);
	memcpy(saved.at, saved.copy, saved.bytes);
	*real_page() = saved.page;
}

static void both_rx(enum rx_call call, struct oracle_rx *o)
{
	struct oracle_page page = *real_page();
	uint32_t total, want_total;
	int want = want_rx(call, o, &page, &want_total);

	cr_assert_eq(do_rx(call, &total), want);
	cr_assert_eq(memcmp(&page, real_page(), sizeof page), 0);
}

#define WORD(kind, len8) ((uint64_t)(kind) | (uint64_t)2 << 16 | (uint64_t)(len8) << 32)

/* Words that begin no packet have an unknown type and nothing else that is wrong. */
static void lay_ring(uint32_t from, uint32_t to)
{
	memset(ends, 0, sizeof ends);
	for (uint32_t at = 0; at < SIZE; at += 8)
		rig_set_qword(r, at, WORD(5, 2));
	for (uint32_t at = from, n = 0; at < to; n++) {
		uint32_t total = n % 3 == 2 ? 264 : SMALL;

		if (at + total > to)
			break;
		rig_set_qword(r, at, WORD(6, total / 8 - 1));
		ends[at % SIZE / 8] = at + total;
		at += total;
	}
}

static void begin_rx(uint32_t kind, uint32_t index, struct oracle_rx *o)
{
	struct oracle_page page;

	r = rig_new(kind, 1);
	lay_ring(index, index + SIZE - 8);
	rig_set(r, RIG_IN, index);
	rig_set(r, RIG_OUT, index);
	page = *real_page();
	cr_assert_eq(rig_rx(r, 0, NULL), 0);
	cr_assert_eq(oracle_rx_init(o, &page, SIZE, 0, ends), 0);
	cr_assert_eq(memcmp(&page, real_page(), sizeof page), 0);
}

/* The producer publishes the next n packets. */
static void arrive(unsigned n)
{
	for (; n; n--)
		rig_set(r, RIG_IN, ends[rig_word(r, RIG_IN) / 8] % SIZE);
}

Test(hostile_control, a_consumer_in_every_state_with_every_value_of_every_byte)
{
	struct oracle_rx o;

	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		begin_rx(kind, 0xf40, &o);
		all_rx("made", &o);
		both_rx(SLEEP, &o);
		all_rx("asleep", &o);
		arrive(4);
		all_rx("asleep, four packets", &o);
		both_rx(NEXT, &o);
		all_rx("one of four taken", &o);
		for (unsigned i = 0; i < 3; i++)
			both_rx(NEXT, &o);
		all_rx("four taken, none released", &o);
		both_rx(RELEASE, &o);
		all_rx("four released", &o);
		arrive(20);
		rig_set(r, RIG_PENDING, 0x900);
		all_rx("many packets, the producer waits", &o);
		for (unsigned i = 0; i < 9; i++)
			both_rx(NEXT, &o);
		all_rx("nine taken, the producer waits", &o);
		rig_free(r);
	}
	check_reached(1000000);
}

/* ---- making a half upon what is found, and looking at it */

static void try_made(int fresh, int cursor, uint32_t byte, uint32_t value)
{
	struct vmb_cursor at = { 1, 0x800, 0, 0 };
	struct oracle_page page;
	struct oracle_tx tx;
	struct oracle_rx rx;
	int want, got;

	for (unsigned consumer = 0; consumer < 2; consumer++) {
		memset(r->control, 0x3c, VMB_PAGE);
		rig_set(r, RIG_IN, 0x900);
		rig_set(r, RIG_OUT, 0x700);
		r->control[byte] = (uint8_t)value;
		page = *real_page();
		if (cursor) /* only the peer's index is looked at, and nothing is written */
			want = oracle_get(&page, consumer ? RIG_IN : RIG_OUT) % 8 == 0 && oracle_get(&page, consumer ? 0 : 4) < SIZE ?
			       0 : VMB_EPEER;
		else
			want = consumer ? oracle_rx_init(&rx, &page, SIZE, fresh, ends) : oracle_tx_init(&tx, &page, SIZE, fresh);
		got = (consumer ? rig_rx : rig_tx)(r, fresh ? VMB_RING_FRESH : 0, cursor ? &at : NULL);
		judge(consumer ? "consumer" : "producer", cursor ? "made with a cursor" : fresh ? "made fresh" : "made", byte, got, want,
		      &page, 0, 0, 0, 0);
		cr_assert_eq(memcmp(&page, real_page(), sizeof page), 0, "byte 0x%x", byte);
	}
}

Test(hostile_control, halves_made_upon_every_value_of_every_byte)
{
	r = rig_new(RIG_LIST, 1);
	for (unsigned i = 0; i < BYTES; i++)
		for (uint32_t value = 0; value < 256; value++)
			for (int how = 0; how < 3; how++)
				try_made(how == 1, how == 2, bytes[i], value);
	cr_assert_gt(violations, 1000);
	rig_free(r);
}

Test(hostile_control, a_look_at_the_page_gives_what_it_says)
{
	struct vmb_ring_info info;
	struct oracle_page page;

	r = rig_new(RIG_ONCE, 1);
	for (unsigned i = 0; i < BYTES; i++)
		for (uint32_t value = 0; value < 256; value++) {
			r->control[bytes[i]] = (uint8_t)value;
			page = *real_page();
			cr_assert_eq(vmb_ring_inspect(&r->mem, &info), 0);
			cr_assert(info.in == oracle_get(&page, 0) && info.out == oracle_get(&page, 4) && info.data_bytes == SIZE &&
				  info.interrupt_mask == oracle_get(&page, 8) && info.pending_send == oracle_get(&page, 12) &&
				  info.features == oracle_get(&page, 0x40));
			cr_assert_eq(memcmp(&page, real_page(), sizeof page), 0);
		}
	rig_free(r);
}
