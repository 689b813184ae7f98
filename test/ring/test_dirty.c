/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The log of pages written. Two oracles: the bytes of the ring, compared before and after each call, and the port, which sees
 * every store. All that was written is marked by the end of the call that publishes or drops it, in its own bits only, and
 * after it was written.
 */
#include "hooked.h"

#include <criterion/criterion.h>
#include <string.h>

#include "rig.h"

#define PAGES 5u /* of data; bit 0 is the control page */
#define TX_BASE 29u
#define RX_BASE 3u

static uint32_t bits[3];     /* the log: the producer's from bit 29 on, over a word's end, the consumer's from bit 3 */
static uint32_t written[2];  /* pages stored to since last marked: by the producer, the consumer */
static uint32_t marked[2];   /* pages marked in this call */
static uint32_t wrong;       /* marks of pages that were not written, or of bits that are nobody's */
static struct rig *r;

static uint32_t page_of(const void *at)
{
	uint32_t word;

	if (rig_is_control(r, at, &word))
		return 0;
	for (uint32_t i = 0; i < PAGES; i++) {
		const uint8_t *page = r->kind == RIG_LIST ? r->mem.pages[i] : (const uint8_t *)r->mem.data + i * VMB_PAGE;

		if ((uintptr_t)at - (uintptr_t)page < VMB_PAGE)
			return 1 + i;
		if (r->kind == RIG_TWICE && (uintptr_t)at - (uintptr_t)(page + r->size) < VMB_PAGE)
			return 1 + i;
	}
	return UINT32_MAX;
}

static void note_written(uint32_t side, const uint8_t *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 8)
		if (page_of(at + i) != UINT32_MAX)
			written[side] |= 1u << page_of(at + i);
	if (bytes && page_of(at) != UINT32_MAX)
		written[side] |= 1u << page_of(at + bytes - 1);
}

static uint32_t acting; /* which side the call is of */

static int watch(struct port_access *a)
{
	uint32_t bit, page;

	if (a->op == PORT_STORE || a->op == PORT_STORE_RELEASE || a->op == PORT_PUBLISH || a->op == PORT_WRITE64 ||
	    a->op == PORT_COPY_IN)
		note_written(acting, a->shared, a->bytes);
	if (a->op != PORT_OR)
		return 0;
	bit = (uint32_t)((uint32_t *)a->shared - bits) * 32 + (uint32_t)__builtin_ctz((uint32_t)a->value);
	page = bit - (acting ? RX_BASE : TX_BASE);
	if (page > PAGES || !(written[acting] & 1u << page))
		wrong++;
	else
		marked[acting] |= 1u << page;
	written[acting] &= ~(1u << page);
	return 0;
}

static void begin(uint32_t kind)
{
	r = rig_new(kind, PAGES);
	rig_both_at(r, 0x4800);
	memset(bits, 0, sizeof bits);
	r->tx->dirty = (struct vmbi_dirty){ bits, TX_BASE };
	r->rx->dirty = (struct vmbi_dirty){ bits, RX_BASE };
	memset(written, 0, sizeof written);
	wrong = 0;
	port_hook = watch;
}

static void finish(void)
{
	port_hook = NULL;
	rig_free(r);
}

/* What the two sides' bits say: and nobody else's are set. Cleared. */
static uint32_t log_of(uint32_t side)
{
	uint64_t all = bits[0] | (uint64_t)bits[1] << 32;
	uint32_t base = side ? RX_BASE : TX_BASE, mask = (2u << PAGES) - 1;
	uint32_t mine = (uint32_t)(all >> base) & mask;

	cr_assert_eq(all & ~((uint64_t)mask << TX_BASE | (uint64_t)mask << RX_BASE), 0);
	all &= ~((uint64_t)mask << base);
	bits[0] = (uint32_t)all;
	bits[1] = (uint32_t)(all >> 32);
	return mine;
}

TestSuite(ring_dirty);

Test(ring_dirty, a_batch_marks_its_pages_and_the_control_page_at_commit)
{
	static const uint8_t payload[3000];

	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		struct vmb_packet p = rig_packet(payload, 2000 - 24);
		struct vmb_view v;

		begin(kind);
		cr_assert_eq(vmb_tx_put(r->tx, &p), 0); /* 0x4800...0x4fd0: the last page */
		cr_assert_eq(log_of(0), 0, "not before the caller may have filled it");
		cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
		cr_assert_eq(log_of(0), 1u << 5 | 1);
		cr_assert_eq(vmb_tx_reserve(r->tx, &p, &v), 0); /* 0x4fd0...0x57a0: wraps */
		cr_assert_eq(vmb_tx_copy(r->tx, &v, 0, payload, p.len), 0);
		cr_assert_eq(vmb_tx_commit(r->tx), 0);
		cr_assert_eq(log_of(0), 1u << 5 | 1u << 1 | 1);
		p.len = 0;
		cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
		cr_assert_eq(vmb_tx_commit(r->tx), 0);
		cr_assert_eq(log_of(0), 1u << 1 | 1);
		cr_assert_eq(vmb_tx_commit(r->tx), 0);
		cr_assert_eq(log_of(0), 0, "nothing written, nothing marked");
		cr_assert_eq(log_of(1), 0, "the consumer has done nothing");
		cr_assert_eq(wrong, 0);
		finish();
	}
}

Test(ring_dirty, a_batch_that_ends_with_a_page_does_not_mark_the_next)
{
	static const uint8_t payload[0x800];
	struct vmb_packet p = rig_packet(payload, 0x800 - 24);

	begin(RIG_ONCE);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	cr_assert_eq(rig_word(r, RIG_IN), 0);
	cr_assert_eq(log_of(0), 1u << 5 | 1);
	finish();
}

/* Up to the last word: every page, the one with both ends once or twice. */
Test(ring_dirty, a_full_ring_marks_all)
{
	static const uint8_t payload[PAGES * VMB_PAGE];
	struct vmb_packet p = rig_packet(payload, PAGES * VMB_PAGE - 8 - 24);

	begin(RIG_LIST);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	cr_assert_eq(log_of(0), 0x3f);
	finish();
}

/* What is dropped has been written all the same. */
Test(ring_dirty, discard_and_end_mark_what_was_written)
{
	static const uint8_t payload[3000];
	struct vmb_packet p = rig_packet(payload, 3000);
	struct vmb_cursor at;

	begin(RIG_TWICE);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_discard(r->tx), 0);
	cr_assert_eq(log_of(0), 1u << 5 | 1u << 1);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_end(r->tx, &at), 0);
	cr_assert_eq(log_of(0), 1u << 5 | 1u << 1);
	finish();
}

Test(ring_dirty, a_violation_loses_no_mark)
{
	static const uint8_t payload[3000];
	struct vmb_packet p = rig_packet(payload, 3000);
	struct vmb_view v;

	for (uint32_t at_commit = 0; at_commit < 2; at_commit++) {
		begin(RIG_TWICE);
		p.len = 3000;
		cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
		rig_set(r, RIG_OUT, 3);
		if (at_commit) {
			cr_assert_eq(vmb_tx_commit(r->tx), VMB_EPEER);
			cr_assert_eq(log_of(0), 1u << 5 | 1u << 1 | 1);
		} else {
			p.len = 0x4e00; /* more than fits for certain */
			cr_assert_eq(vmb_tx_reserve(r->tx, &p, &v), VMB_EPEER);
			cr_assert_eq(log_of(0), 1u << 5 | 1u << 1);
		}
		cr_assert_eq(written[0], 0);
		finish();
	}
}

Test(ring_dirty, arming_marks_the_control_page)
{
	static const uint8_t payload[0x4000];
	struct vmb_packet p = rig_packet(payload, 0x4000), q;

	begin(RIG_ONCE);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	(void)log_of(0);
	cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), 0);
	cr_assert_eq(log_of(0), 1);
	acting = 1;
	(void)rig_next(r, &q);
	cr_assert_eq(vmb_rx_release(r->rx), VMB_SIGNAL);
	acting = 0;
	cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), VMB_YES);
	cr_assert_eq(log_of(0), 1);
	finish();
}

Test(ring_dirty, the_consumer_marks_its_control_page_whenever_it_stores)
{
	struct vmb_packet p;

	begin(RIG_LIST);
	cr_assert_eq(rig_send(r, 8), VMB_SIGNAL);
	acting = 1;
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(log_of(1), 0, "nothing to release");
	(void)rig_next(r, &p);
	cr_assert_eq(log_of(1), 1, "the mask");
	cr_assert_eq(vmb_rx_mask(r->rx), 0);
	cr_assert_eq(log_of(1), 0, "is set");
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(log_of(1), 1, "Out");
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	cr_assert_eq(log_of(1), 1, "the mask");
	cr_assert_eq(vmb_rx_mask(r->rx), 0);
	cr_assert_eq(log_of(1), 1, "the mask");
	cr_assert_eq(wrong, 0);
	finish();
}

static int send_some(uint64_t *state, uint32_t dice)
{
	static uint8_t payload[5000];
	struct vmb_packet p = rig_packet(payload, dice >> 8 & 0x3ff);
	struct vmb_view v;

	if (dice % 61 == 0)
		p.len = 4000;
	for (uint32_t i = 0; i < p.len; i += 4)
		memcpy(payload + i, &(uint32_t){ rig_random(state) }, 4);
	p.id = dice;
	if (dice & 0x80000000)
		return vmb_tx_put(r->tx, &p);
	if (vmb_tx_reserve(r->tx, &p, &v) == 0)
		cr_assert_eq(vmb_tx_copy(r->tx, &v, 0, payload, p.len), 0);
	return 0;
}

/* One call of one side. */
static void act(uint64_t *state)
{
	uint32_t dice = rig_random(state), n = 0;
	struct vmb_packet p = rig_packet(NULL, 5000);
	struct vmb_view v;
	int got;

	acting = dice & 1;
	switch (dice >> 1 & 7) {
	case 0: got = acting ? vmb_rx_release(r->rx) : vmb_tx_commit(r->tx); break;
	case 1: got = acting ? vmb_rx_sleep(r->rx) : vmb_tx_discard(r->tx); break;
	case 2: got = acting ? vmb_rx_mask(r->rx) : vmb_tx_arm(r->tx, &p, 0); break;
	case 3: got = acting ? vmb_rx_rewind(r->rx) : vmb_tx_commit(r->tx); break;
	default:
		got = acting ? 0 : send_some(state, dice);
		while (acting && n++ < 20 && vmb_rx_next(r->rx, &p, &v) == VMB_YES)
			;
	}
	cr_assert_geq(got, VMB_EFULL);
}

/* Pages that differ from the copy, which is made equal. */
static uint32_t changed(uint8_t *copy)
{
	uint32_t pages = 0;

	for (uint32_t i = 0; i <= PAGES; i++) {
		if (memcmp(copy + i * VMB_PAGE, r->control + i * VMB_PAGE, VMB_PAGE))
			pages |= 1u << i;
	}
	memcpy(copy, r->control, (PAGES + 1) * VMB_PAGE);
	return pages;
}

Test(ring_dirty, random_work_marks_exactly_what_it_writes)
{
	static uint8_t copy[(PAGES + 1) * VMB_PAGE];

	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		uint64_t state = 7 + kind;
		uint32_t owed = 0; /* written by the producer and not yet published or dropped */

		begin(kind);
		memcpy(copy, r->control, sizeof copy);
		for (uint32_t i = 0; i < 20000; i++) {
			uint32_t seen[2], bytes;

			act(&state);
			seen[0] = log_of(0);
			seen[1] = log_of(1);
			bytes = changed(copy); /* the test's view: control and data pages in a row */
			cr_assert_eq(wrong, 0, "a mark without a store before it");
			cr_assert_eq(written[1], 0);
			cr_assert_eq(seen[1] & ~1u, 0);
			cr_assert_eq(written[0] & 1, 0);
			owed = (owed | (bytes & ~1u)) & ~seen[0];
			cr_assert_eq(owed & ~written[0], 0, "a page changed that will never be marked");
			cr_assert(!(bytes & 1) || (seen[0] | seen[1]) & 1, "the control page changed");
			if (r->tx->next == r->tx->pub)
				cr_assert_eq(written[0], 0, "published or dropped, and not marked");
		}
		finish();
	}
}
