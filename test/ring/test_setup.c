/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Making and unmaking the halves: arguments, storage, fresh and live rings, cursors. ring.md 2.4, 12 */
#include <criterion/criterion.h>
#include <string.h>

#include "rig.h"

/* Both storage calls, which must agree: what they return. */
static int storage_of(const struct vmb_ring_mem *mem)
{
	struct vmb_storage tx, rx;
	int got = vmb_tx_storage(mem, &tx);

	cr_assert_eq(vmb_rx_storage(mem, &rx), got);
	return got;
}

/* Both inits, with storage enough for any. */
static int init_of(const struct vmb_ring_mem *mem, const struct vmb_cursor *from)
{
	static _Alignas(64) uint8_t store[2][256 * 1024];
	struct vmb_tx *tx = NULL;
	struct vmb_rx *rx = NULL;
	int got = vmb_tx_init(store[0], sizeof store[0], mem, from, &tx);

	cr_assert_eq(vmb_rx_init(store[1], sizeof store[1], mem, from, &rx), got);
	cr_assert_eq(tx != NULL, got == 0);
	cr_assert_eq(rx != NULL, got == 0);
	return got;
}

static void refused(const struct vmb_ring_mem *mem, const char *what)
{
	cr_assert_eq(storage_of(mem), VMB_EINVAL, "%s", what);
	cr_assert_eq(init_of(mem, NULL), VMB_EINVAL, "%s", what);
}

Test(ring_setup, descriptions_are_checked)
{
	struct rig *plain = rig_new(RIG_ONCE, 2), *list = rig_new(RIG_LIST, 2);
	void *pages[2] = { list->mem.pages[0], list->mem.pages[1] };
	const struct vmb_ring_mem p = plain->mem, l = list->mem;
	struct vmb_ring_mem m;

	cr_assert_eq(storage_of(&p), 0);
	cr_assert_eq(storage_of(&l), 0);
	cr_assert_eq(storage_of(NULL), VMB_EINVAL);
	cr_assert_eq(vmb_tx_storage(&p, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_rx_storage(&p, NULL), VMB_EINVAL);
	m = p, m.control = NULL, refused(&m, "no control page");
	m = p, m.control = (uint8_t *)m.control + 128, refused(&m, "control page not aligned");
	m = p, m.data = NULL, refused(&m, "no data");
	m = p, m.data = (uint8_t *)m.data + 8, refused(&m, "data not aligned");
	m = p, m.pages = pages, refused(&m, "data and pages");
	m = p, m.data_pages = 0, refused(&m, "0 pages");
	m = p, m.data_pages = 8189, refused(&m, "more than a GPADL can name");
	m = p, m.data_pages = UINT32_MAX, refused(&m, "many more");
	m = p, m.flags = 0x8, refused(&m, "unknown flag");
	m = p, m.flags = 0x80000000, refused(&m, "unknown flag");
	m = l, m.flags = VMB_RING_TWICE, refused(&m, "pages mapped twice");
	m = l, m.data_pages = 8189, refused(&m, "more than a GPADL can name");
	/* The pages themselves are looked at by init only. */
	m = l;
	m.pages = pages;
	pages[1] = NULL;
	cr_assert_eq(storage_of(&m), 0);
	cr_assert_eq(init_of(&m, NULL), VMB_EINVAL);
	pages[1] = (uint8_t *)list->mem.pages[1] + 64;
	cr_assert_eq(init_of(&m, NULL), VMB_EINVAL);
	pages[1] = list->mem.pages[1];
	cr_assert_eq(init_of(&m, NULL), 0);
	m = p;
	m.data_pages = 8188;
	cr_assert_eq(storage_of(&m), 0, "the largest ring");
	rig_free(plain);
	rig_free(list);
}

Test(ring_setup, storage_is_checked)
{
	static _Alignas(64) uint8_t store[4096];
	struct rig *r = rig_new(RIG_LIST, 4);
	struct vmb_storage need;
	struct vmb_tx *tx;
	struct vmb_rx *rx;

	cr_assert_eq(vmb_tx_storage(&r->mem, &need), 0);
	cr_assert_eq(need.align, 64);
	cr_assert_eq(vmb_tx_init(store, need.bytes - 1, &r->mem, NULL, &tx), VMB_ENOSPACE);
	cr_assert_eq(vmb_tx_init(store + 32, need.bytes, &r->mem, NULL, &tx), VMB_ENOSPACE);
	cr_assert_eq(vmb_tx_init(NULL, need.bytes, &r->mem, NULL, &tx), VMB_EINVAL);
	cr_assert_eq(vmb_tx_init(store, need.bytes, NULL, NULL, &tx), VMB_EINVAL);
	cr_assert_eq(vmb_tx_init(store, need.bytes, &r->mem, NULL, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_tx_init(store, need.bytes, &r->mem, NULL, &tx), 0);
	cr_assert_eq(vmb_rx_storage(&r->mem, &need), 0);
	cr_assert_eq(need.align, 64);
	cr_assert_eq(vmb_rx_init(store, need.bytes - 1, &r->mem, NULL, &rx), VMB_ENOSPACE);
	cr_assert_eq(vmb_rx_init(store + 8, need.bytes, &r->mem, NULL, &rx), VMB_ENOSPACE);
	cr_assert_eq(vmb_rx_init(NULL, need.bytes, &r->mem, NULL, &rx), VMB_EINVAL);
	cr_assert_eq(vmb_rx_init(store, need.bytes, NULL, NULL, &rx), VMB_EINVAL);
	cr_assert_eq(vmb_rx_init(store, need.bytes, &r->mem, NULL, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_rx_init(store, need.bytes, &r->mem, NULL, &rx), 0);
	rig_free(r);
}

/* Page lists are copied: the caller's array may go. And only they need storage for it. */
Test(ring_setup, page_list_is_copied)
{
	struct rig *r = rig_new(RIG_LIST, 3), *plain = rig_new(RIG_ONCE, 3);
	struct vmb_storage with, without;
	struct vmb_packet p;

	cr_assert_eq(vmb_tx_storage(&r->mem, &with), 0);
	cr_assert_eq(vmb_tx_storage(&plain->mem, &without), 0);
	cr_assert_eq(with.bytes, without.bytes + (6 * sizeof(void *) + 63) / 64 * 64);
	rig_both_at(r, 0x2ff0);
	memset((void *)(uintptr_t)r->mem.pages, 0xff, 3 * sizeof(void *));
	cr_assert_eq(rig_send(r, 5000), VMB_SIGNAL);
	(void)rig_next(r, &p);
	cr_assert_eq(p.len, 5000);
	rig_free(r);
	rig_free(plain);
}

/* ---- fresh and live rings */

Test(ring_setup, fresh_clears_the_control_page_and_starts_at_0)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		struct rig *r = rig_new(kind, 1);

		memset(r->control, 0xff, VMB_PAGE); /* as bad as can be: confidential memory that has just been shared */
		memset(r->data, 0xff, r->size);
		cr_assert_eq(rig_tx(r, VMB_RING_FRESH, NULL), 0);
		for (uint32_t at = 0; at < VMB_PAGE; at += 4)
			cr_assert_eq(rig_word(r, at), at == RIG_FEATURES ? 1 : 0);
		memset(r->control, 0xff, VMB_PAGE);
		cr_assert_eq(rig_rx(r, VMB_RING_FRESH, NULL), 0);
		for (uint32_t at = 0; at < VMB_PAGE; at += 4)
			cr_assert_eq(rig_word(r, at), 0, "the feature bit belongs to the producer");
		for (uint32_t i = 0; i < r->size; i++)
			cr_assert_eq(r->data[i], 0xff);
		rig_free(r);
	}
}

Test(ring_setup, attach_goes_on_from_the_indexes_found)
{
	struct rig *r = rig_new(RIG_ONCE, 2);
	struct vmb_packet p;

	rig_both_at(r, 0x1800);
	for (uint32_t len = 1000; len < 1003; len++)
		(void)rig_send(r, len);
	(void)rig_next(r, &p);
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	rig_set(r, RIG_PENDING, 0x123);
	rig_set(r, RIG_FEATURES, 0);
	cr_assert_eq(rig_tx(r, 0, NULL), 0);
	cr_assert_eq(rig_word(r, RIG_PENDING), 0);
	cr_assert_eq(rig_word(r, RIG_FEATURES), 1);
	rig_set(r, RIG_MASK, 1);
	rig_set(r, RIG_FEATURES, 0);
	cr_assert_eq(rig_rx(r, 0, NULL), 0);
	cr_assert_eq(rig_word(r, RIG_FEATURES), 0, "the incoming ring's is the peer's");
	cr_assert_eq(rig_word(r, RIG_MASK), 1, "left to the first sleep");
	(void)rig_next(r, &p);
	cr_assert_eq(p.len, 1008);
	(void)rig_next(r, &p);
	cr_assert_eq(p.len, 1008);
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	cr_assert_eq(rig_word(r, RIG_MASK), 0);
	cr_assert_eq(rig_send(r, 8), VMB_SIGNAL);
	(void)rig_next(r, &p);
	cr_assert_eq(p.len, 8);
	rig_free(r);
}

/* R10: what was sent before anybody listened is found without a signal. */
Test(ring_setup, r10_first_sleep_after_attach_finds_what_is_there_already)
{
	struct rig *r = rig_new(RIG_ONCE, 1);

	rig_both_at(r, 0);
	(void)rig_send(r, 8);
	for (uint32_t mask = 0; mask < 2; mask++) {
		rig_set(r, RIG_MASK, mask);
		cr_assert_eq(rig_rx(r, 0, NULL), 0);
		cr_assert_eq(vmb_rx_sleep(r->rx), VMB_YES);
		cr_assert_eq(rig_word(r, RIG_MASK), 0);
	}
	rig_free(r);
}

Test(ring_setup, bad_indexes_found_are_the_peers_fault)
{
	static const uint32_t bad[] = { 0x1000, 0x1008, 4, 1, 0xfff, 0x80000000, UINT32_MAX };
	struct rig *r = rig_new(RIG_TWICE, 1);
	struct vmb_cursor at = { 1, 0, 0, 0 };

	for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		rig_set(r, RIG_IN, bad[i]);
		rig_set(r, RIG_OUT, 0);
		cr_assert_eq(rig_tx(r, 0, NULL), VMB_EPEER);
		cr_assert_eq(rig_rx(r, 0, NULL), VMB_EPEER);
		cr_assert_eq(rig_tx(r, 0, &at), 0, "its own index is not read");
		cr_assert_eq(rig_rx(r, 0, &at), VMB_EPEER);
		rig_set(r, RIG_IN, 0);
		rig_set(r, RIG_OUT, bad[i]);
		cr_assert_eq(rig_tx(r, 0, NULL), VMB_EPEER);
		cr_assert_eq(rig_rx(r, 0, NULL), VMB_EPEER);
		cr_assert_eq(rig_tx(r, 0, &at), VMB_EPEER);
		cr_assert_eq(rig_rx(r, 0, &at), 0, "its own index is not read");
	}
	rig_free(r);
}

/* ---- cursors */

Test(ring_setup, cursors_are_checked)
{
	static const struct vmb_cursor bad[] = {
		{ 1, 0x1000, 0, 0 }, { 1, 4, 0, 0 }, { 1, UINT32_MAX, 0, 0 }, { 2, 0, 0, 0 }, { 1, 0, 0, 1 },
	};
	struct rig *r = rig_new(RIG_ONCE, 1);

	for (uint32_t i = 0; i < 5; i++)
		cr_assert_eq(init_of(&r->mem, &bad[i]), VMB_EINVAL, "%u", i);
	rig_free(r);
}

Test(ring_setup, invalid_cursor_is_none)
{
	struct vmb_cursor none = { 0, 0x123, 7, 0 };
	struct rig *r = rig_new(RIG_ONCE, 1);
	struct vmb_cursor at;

	rig_set(r, RIG_IN, 0x80);
	rig_set(r, RIG_OUT, 0x40);
	cr_assert_eq(rig_tx(r, 0, &none), 0);
	cr_assert_eq(rig_rx(r, 0, &none), 0);
	cr_assert_eq(vmb_tx_end(r->tx, &at), 0);
	cr_assert_eq(at.index, 0x80);
	cr_assert_eq(at.armed, 0);
	cr_assert_eq(vmb_rx_end(r->rx, &at), 0);
	cr_assert_eq(at.index, 0x40);
	rig_free(r);
}

/* "Nothing is read from or cleared in shared memory but the peer's index": our own words may hold anything. */
Test(ring_setup, cursor_reads_nothing_of_its_own_and_writes_nothing)
{
	struct rig *r = rig_new(RIG_ONCE, 1);
	struct vmb_cursor at = { 1, 0x100, 0, 0 }, back;
	uint8_t before[VMB_PAGE];

	memset(r->control, 0xdb, VMB_PAGE);
	rig_set(r, RIG_OUT, 0x100);
	memcpy(before, r->control, VMB_PAGE);
	cr_assert_eq(rig_tx(r, VMB_RING_FRESH, &at), 0);
	cr_assert_eq(memcmp(before, r->control, VMB_PAGE), 0);
	cr_assert_eq(vmb_tx_end(r->tx, &back), 0);
	cr_assert_eq(memcmp(&back, &at, sizeof at), 0);
	cr_assert_eq(memcmp(before, r->control, VMB_PAGE), 0);

	memset(r->control, 0xdb, VMB_PAGE);
	rig_set(r, RIG_IN, 0x200);
	memcpy(before, r->control, VMB_PAGE);
	cr_assert_eq(rig_rx(r, VMB_RING_FRESH, &at), 0);
	cr_assert_eq(memcmp(before, r->control, VMB_PAGE), 0);
	cr_assert_eq(vmb_rx_end(r->rx, &back), 0);
	cr_assert_eq(memcmp(&back, &at, sizeof at), 0);
	cr_assert_eq(memcmp(before, r->control, VMB_PAGE), 0);
	rig_free(r);
}

/* The peer garbles our words; end, init with the cursor, and everything goes on as if nothing had been. */
Test(ring_setup, end_and_init_with_the_cursor_go_on)
{
	struct rig *r = rig_new(RIG_LIST, 1);
	struct vmb_packet big = rig_packet(NULL, 2000), p;
	struct vmb_cursor tx, rx;

	rig_both_at(r, 0x800);
	big.payload = r->data; /* any bytes */
	(void)rig_send(r, 1000);
	(void)rig_send(r, 1008);
	(void)rig_send(r, 1016);
	cr_assert_eq(vmb_tx_arm(r->tx, &big, 0), 0);
	(void)rig_next(r, &p);
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	(void)rig_next(r, &p);
	cr_assert_eq(p.len, 1008);
	cr_assert_eq(vmb_tx_put(r->tx, &(struct vmb_packet){ .kind = VMB_PKT_INBAND }), 0);

	cr_assert_eq(vmb_tx_end(r->tx, &tx), 0);
	cr_assert_eq(vmb_rx_end(r->rx, &rx), 0);
	cr_assert_eq(tx.valid, 1);
	cr_assert_eq(tx.index, rig_word(r, RIG_IN), "what was put but not committed is not there");
	cr_assert_eq(tx.armed, 2024);
	cr_assert_eq(tx.reserved, 0);
	cr_assert_eq(rx.valid, 1);
	cr_assert_eq(rx.index, rig_word(r, RIG_OUT));
	cr_assert_eq(rx.armed, 1, "masked");
	cr_assert_eq(rx.reserved, 0);
	cr_assert_eq(vmb_tx_end(r->tx, NULL), 0);

	cr_assert_eq(rig_tx(r, 0, &tx), 0);
	cr_assert_eq(rig_rx(r, 0, &rx), 0);
	(void)rig_next(r, &p);
	cr_assert_eq(p.len, 1008, "what was taken but not released comes again");
	rig_set(r, RIG_MASK, 0x55);
	(void)rig_next(r, &p);
	cr_assert_eq(p.len, 1016);
	cr_assert_eq(rig_word(r, RIG_MASK), 0x55, "known to be masked: not stored again");
	cr_assert_eq(vmb_rx_release(r->rx), VMB_SIGNAL, "the pending size is still there");
	cr_assert_eq(vmb_tx_put(r->tx, &big), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), 0);
	cr_assert_eq(rig_word(r, RIG_PENDING), 0, "known to be armed: cleared");
	(void)rig_next(r, &p);
	cr_assert_eq(p.len, 2000);
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	cr_assert_eq(vmb_rx_end(r->rx, &rx), 0);
	cr_assert_eq(rx.armed, 0, "asleep");
	rig_free(r);
}

Test(ring_setup, cursor_of_an_unarmed_producer_clears_nothing)
{
	struct vmb_cursor at = { 1, 0, 0, 0 };
	struct rig *r = rig_new(RIG_ONCE, 1);

	cr_assert_eq(rig_tx(r, 0, &at), 0);
	rig_set(r, RIG_PENDING, 0x77);
	(void)rig_send(r, 8);
	cr_assert_eq(rig_word(r, RIG_PENDING), 0x77);
	rig_free(r);
}

/* ---- storage holds no surprise */

/* A mixed piece of work; everything that can be seen of it goes into *trace. */
static uint64_t work(uint32_t kind, uint8_t poison)
{
	struct rig *r = rig_new(kind, 2);
	uint64_t state = 42, trace = 0;
	struct vmb_cursor tx, rx;
	struct vmb_packet p;
	struct vmb_view v;

	r->poison = poison;
	rig_both_at(r, 0x1f00);
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t dice = rig_random(&state);
		int got;

		memset(&p, 0, sizeof p);
		p.kind = VMB_PKT_INBAND;
		p.payload = r->data;
		p.len = dice >> 8 & 0x3ff;
		v = (struct vmb_view){ 0, 0 };
		switch (dice & 7) {
		case 0: got = vmb_tx_commit(r->tx); break;
		case 1: got = vmb_tx_arm(r->tx, &p, dice & 0xfff); break;
		case 2: got = vmb_tx_discard(r->tx); break;
		case 3: got = vmb_rx_release(r->rx); break;
		case 4: got = vmb_rx_sleep(r->rx); break;
		case 5: got = vmb_rx_next(r->rx, &p, &v); break;
		default: got = vmb_tx_put(r->tx, &p); break;
		}
		trace = (trace ^ (uint64_t)(int64_t)got ^ v.pos ^ p.len) * 0x100000001b3;
		for (uint32_t w = 0; w < 0x48; w += 8)
			trace = (trace ^ *(uint64_t *)(r->control + w)) * 0x100000001b3;
	}
	cr_assert_eq(vmb_tx_end(r->tx, &tx) | vmb_rx_end(r->rx, &rx), 0);
	rig_free(r);
	return trace ^ tx.index ^ (uint64_t)tx.armed << 16 ^ (uint64_t)rx.index << 32 ^ (uint64_t)rx.armed << 62;
}

Test(ring_setup, any_bytes_in_storage_before_init_give_the_same_trace)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		uint64_t want = work(kind, 0);

		for (uint32_t poison = 1; poison < 256; poison += 0x2a)
			cr_assert_eq(work(kind, (uint8_t)poison), want);
		cr_assert_eq(work(kind, 0xff), want);
		cr_assert_eq(want, work(RIG_ONCE, 0xa5), "and so does any memory");
	}
}

/* ---- looking at a ring */

Test(ring_setup, inspect_gives_the_words_as_they_are)
{
	struct vmb_ring_info info;
	struct vmb_ring_mem m;

	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		struct rig *r = rig_new(kind, 3);

		rig_set(r, RIG_IN, 0xdeadbeef);
		rig_set(r, RIG_OUT, 7);
		rig_set(r, RIG_MASK, 8);
		rig_set(r, RIG_PENDING, 9);
		rig_set(r, RIG_FEATURES, 10);
		cr_assert_eq(vmb_ring_inspect(&r->mem, &info), 0);
		cr_assert_eq(info.data_bytes, 3 * VMB_PAGE);
		cr_assert_eq(info.in, 0xdeadbeef);
		cr_assert_eq(info.out, 7);
		cr_assert_eq(info.interrupt_mask, 8);
		cr_assert_eq(info.pending_send, 9);
		cr_assert_eq(info.features, 10);
		m = r->mem;
		m.control = NULL;
		cr_assert_eq(vmb_ring_inspect(&m, &info), VMB_EINVAL);
		cr_assert_eq(vmb_ring_inspect(&r->mem, NULL), VMB_EINVAL);
		cr_assert_eq(vmb_ring_inspect(NULL, &info), VMB_EINVAL);
		rig_free(r);
	}
}
