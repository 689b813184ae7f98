/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Both halves against the reference model: the same random calls, then the same results, packets, control words, counters
 * and data, byte by byte, in each memory and in rings of one, two, three and five pages, and one that holds more than the
 * longest packet. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ring/ring.h"
#include "model.h"
#include "rig.h"

static struct rig *r;
static struct model model;
static uint64_t state;
static uint8_t payload[600 * 1024];
static uint64_t words[2048];
static uint32_t placed; /* packets that vmb_tx_place took */

static uint32_t below(uint32_t n)
{
	return rig_random(&state) % n;
}

/* Sizes that matter: none, small, odd, up to the ring and a little beyond. */
static uint32_t any_len(void)
{
	switch (below(16)) {
	case 0: return 0;
	case 1: return r->size - 24 - 8 - 24 + below(48);
	case 2: return below(r->size < 524264 ? r->size : 524264);
	case 3: case 4: return below(r->size / 4 + 1);
	case 5: return 524264 - 8 + below(16);
	default: return below(200);
	}
}

/* A list of any ranges that fit each other. */
static void any_list(struct vmb_packet *p)
{
	uint32_t n = 1 + below(below(4) ? 4 : 60), count = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t offset = p->kind == VMB_PKT_GPA ? below(VMB_PAGE) : rig_random(&state);
		uint32_t bytes = 1 + below(below(4) ? 5000 : 60000);
		uint32_t pages = p->kind == VMB_PKT_GPA ? (offset + bytes + VMB_PAGE - 1) / VMB_PAGE : 0;

		words[count++] = VMB_RANGE(bytes, offset);
		while (pages--)
			words[count++] = (uint64_t)rig_random(&state) << 20 | below(1u << 20);
	}
	p->list = (struct vmb_list){ words, count, n };
}

static struct vmb_packet any_packet(void)
{
	static const uint16_t kinds[] = { VMB_PKT_INBAND, VMB_PKT_INBAND, VMB_PKT_INBAND,
					  VMB_PKT_COMPLETION, VMB_PKT_GPA, VMB_PKT_XFER };
	struct vmb_packet p = rig_packet(payload + below(4000), any_len());

	p.kind = kinds[below(6)];
	p.flags = p.kind == VMB_PKT_COMPLETION ? 0 : (uint16_t)below(2);
	p.id = (uint64_t)rig_random(&state) << 32 | rig_random(&state);
	if (p.kind == VMB_PKT_GPA || p.kind == VMB_PKT_XFER)
		any_list(&p);
	if (p.kind == VMB_PKT_XFER)
		p.page_set = (uint16_t)below(0x10000);
	return p;
}

static int step_put(uint32_t way)
{
	struct vmb_packet p = any_packet();
	const uint8_t *bytes = p.payload;
	uint32_t cut = p.len ? below(p.len) : 0, pos = 0;
	struct vmb_span parts[2] = { { (void *)(uintptr_t)bytes, cut }, { (void *)(uintptr_t)(bytes + cut), p.len - cut } };
	struct vmb_view v = { 0, 0 };
	int want = model_put(&model, &p, way == 3 ? NULL : bytes, &pos), got;

	if (way == 4) { /* in place: only what is plain and in a row, and where the room is known already */
		uint8_t *to = vmb_tx_place(r->tx, &p);

		if (to && (want || p.kind == VMB_PKT_GPA || p.kind == VMB_PKT_XFER))
			return 0;
		if (to && p.len)
			memcpy(to, bytes, p.len);
		placed += to != NULL;
		return to || vmb_tx_put(r->tx, &p) == want;
	}
	if (way == 1)
		return vmb_tx_putv(r->tx, &p, parts, 2) == want;
	if (way < 2)
		return vmb_tx_put(r->tx, &p) == want;
	got = vmb_tx_reserve(r->tx, &p, &v);
	if (got != want || got)
		return got == want;
	if (v.pos != pos || v.len != p.len)
		return 0;
	return way == 3 || vmb_tx_copy(r->tx, &v, 0, bytes, p.len) == 0;
}

static int step_next(void)
{
	static uint8_t copy[600 * 1024];
	struct vmb_packet p, want;
	struct vmb_view v, all;
	int got;

	memset(&p, 0xff, sizeof p);
	got = vmb_rx_next(r->rx, &p, &v);
	if (got != model_next(&model, &want, &all))
		return 0;
	if (got != VMB_YES)
		return got == 0;
	if (p.kind != want.kind || p.flags != want.flags || p.id != want.id || p.len != want.len || p.head_len != want.head_len)
		return 0;
	if (p.list.ranges != want.list.ranges || p.list.count != want.list.count || p.page_set != want.page_set || p.user ||
	    !rig_in_place(r, &p, &v))
		return 0;
	if (v.pos != all.pos || v.len != all.len || vmb_rx_copy(r->rx, &v, 0, copy, v.len))
		return 0;
	for (uint32_t i = 0; i < v.len; i++)
		if (copy[i] != model.data[(v.pos + i) % r->size])
			return 0;
	return 1;
}

/* Copied, at times into too small a buffer: then it stays. */
static int step_get(void)
{
	static uint64_t copy[600 * 1024 / 8];
	struct model before = model;
	struct vmb_packet p, want;
	struct vmb_view all = { 0, 0 };
	int got, expected = model_next(&model, &want, &all);
	size_t bytes = below(4) ? sizeof copy : below(all.len + 16);

	memset(&p, 0xff, sizeof p);
	got = vmb_rx_get(r->rx, copy, bytes, &p);
	if (expected != VMB_YES)
		return got == expected;
	if (p.kind != want.kind || p.flags != want.flags || p.id != want.id || p.len != want.len || p.head_len != want.head_len ||
	    p.list.ranges != want.list.ranges || p.list.count != want.list.count || p.list.words || p.page_set != want.page_set || p.user)
		return 0;
	if (all.len > bytes) {
		model = before;
		model_mask(&model);
		return got == VMB_ETOOSMALL;
	}
	for (uint32_t i = 0; i < all.len; i++)
		if (((uint8_t *)copy)[i] != model.data[(all.pos + i) % r->size])
			return 0;
	return got == VMB_YES && p.payload == (uint8_t *)copy + p.head_len;
}

static int step_new_producer(int with_cursor)
{
	struct vmb_cursor at;

	if (vmb_tx_end(r->tx, &at) || at.valid != 1 || at.index != model.in || at.armed != model.armed || at.reserved)
		return 0;
	model_new_producer(&model, with_cursor);
	return !rig_tx(r, 0, with_cursor ? &at : NULL);
}

static int step_new_consumer(int with_cursor)
{
	struct vmb_cursor at;

	if (vmb_rx_end(r->rx, &at) || at.valid != 1 || at.index != model.out || at.armed != model.masked || at.reserved)
		return 0;
	model_new_consumer(&model, with_cursor);
	return !rig_rx(r, 0, with_cursor ? &at : NULL);
}

static int step(uint32_t dice)
{
	struct vmb_packet p;
	uint32_t least;

	switch (dice) {
	case 0: case 1: case 2: case 3: return vmb_tx_commit(r->tx) == model_commit(&model);
	case 4: model_discard(&model); return !vmb_tx_discard(r->tx);
	case 5: case 6:
		p = any_packet();
		least = below(3) ? 0 : below(r->size + 100);
		return vmb_tx_arm(r->tx, &p, least) == model_arm(&model, &p, least);
	case 7: case 8: return vmb_rx_release(r->rx) == model_release(&model);
	case 9: case 10: return vmb_rx_sleep(r->rx) == model_sleep(&model);
	case 11: model_rewind(&model); return !vmb_rx_rewind(r->rx);
	case 12: model_mask(&model); return !vmb_rx_mask(r->rx);
	case 13: return below(8) || step_new_producer((int)below(2));
	case 14: return below(8) || step_new_consumer((int)below(2));
	case 15: case 16: case 17: case 18: case 19: case 20: case 21: case 22: case 23: return dice % 2 ? step_next() : step_get();
	default: return step_put(below(5));
	}
}

static int words_agree(void)
{
	return rig_word(r, RIG_IN) == model.in && rig_word(r, RIG_OUT) == model.out && rig_word(r, RIG_MASK) == model.mask &&
	       rig_word(r, RIG_PENDING) == model.pending && rig_word(r, RIG_FEATURES) == model.features;
}

static int counters_agree(void)
{
	const struct vmb_tx *tx = r->tx;
	const struct vmb_rx *rx = r->rx;

	return VMBI_READ64(&tx->packets) == model.packets_out && VMBI_READ64(&tx->signals) == model.signals_out &&
	       VMBI_READ64(&tx->masked) == model.masked_out && VMBI_READ64(&tx->full) == model.full &&
	       VMBI_READ64(&rx->packets) == model.packets_in && VMBI_READ64(&rx->signals) == model.signals_in;
}

static void agree(uint32_t kind, uint32_t pages, uint32_t steps)
{
	uint8_t *data = malloc((size_t)pages * VMB_PAGE);
	uint64_t signals[2] = { 0, 0 }, moved = 0;

	cr_assert_not_null(data);
	placed = 0;
	r = rig_new(kind, pages);
	for (uint32_t i = 0; i < r->size; i++)
		r->data[i] = data[i] = (uint8_t)rig_random(&state);
	rig_both_at(r, below(r->size / 8) * 8);
	model_begin(&model, data, r->size, rig_word(r, RIG_IN));
	for (uint32_t i = 0; i < steps; i++) {
		uint32_t dice = below(32);

		cr_assert(step(dice), "memory %u, %u pages, step %u: call %u", kind, pages, i, dice);
		cr_assert(words_agree(), "memory %u, %u pages, step %u: control words after call %u", kind, pages, i, dice);
		cr_assert(counters_agree(), "memory %u, %u pages, step %u: counters after call %u", kind, pages, i, dice);
		if (pages < 8 || i % 64 == 0)
			cr_assert_eq(memcmp(r->data, data, r->size), 0, "memory %u, %u pages, step %u: data", kind, pages, i);
		signals[0] += model.signals_out;
		signals[1] += model.signals_in;
		moved += dice >= 15 && model.taken != model.released;
	}
	cr_assert(signals[0] && (signals[1] || pages > 8), "memory %u, %u pages: nothing was ever signalled", kind, pages);
	cr_assert_gt(placed, steps / 100, "memory %u, %u pages: hardly a packet written in place", kind, pages);
	cr_assert_gt(moved, steps / 10, "memory %u, %u pages: hardly a packet", kind, pages);
	rig_free(r);
	free(data);
}

static void setup(void)
{
	state = 20240229;
	for (uint32_t i = 0; i < sizeof payload; i++)
		payload[i] = (uint8_t)rig_random(&state);
}

TestSuite(ring_model, .init = setup);

Test(ring_model, twice_mapped)
{
	agree(RIG_TWICE, 1, 40000);
	agree(RIG_TWICE, 2, 30000);
	agree(RIG_TWICE, 3, 30000);
	agree(RIG_TWICE, 5, 20000);
}

Test(ring_model, once_mapped)
{
	agree(RIG_ONCE, 1, 40000);
	agree(RIG_ONCE, 2, 30000);
	agree(RIG_ONCE, 3, 30000);
	agree(RIG_ONCE, 5, 20000);
}

Test(ring_model, page_list)
{
	agree(RIG_LIST, 1, 40000);
	agree(RIG_LIST, 2, 30000);
	agree(RIG_LIST, 3, 30000);
	agree(RIG_LIST, 5, 20000);
}

Test(ring_model, rings_beyond_the_longest_packet)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		agree(kind, 300, 6000);
}
