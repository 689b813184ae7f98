/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A peer that writes the shared memory between any two accesses of ours. The pages around the ring and around storage cannot be
 * accessed, so what goes beyond ends the test; and the port shows that nothing is read twice, or where it must not. ring.md 9.1
 */
#include "hooked.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <string.h>

#include "rig.h"

static struct rig *r;
static uint64_t state;
static uint32_t rage; /* one access in this many is followed by a change */

#define LOADS 4096u
static struct { uintptr_t at; size_t bytes; } load[LOADS]; /* of this call */
static uint32_t loads, twice, backwards;
static uint32_t producing; /* the call is the producer's */

static int in_data(const void *p)
{
	uintptr_t at = (uintptr_t)p, base;

	for (uint32_t i = 0; r->kind == RIG_LIST && i < r->pages; i++)
		if (at - (uintptr_t)r->mem.pages[i] < VMB_PAGE)
			return 1;
	base = (uintptr_t)r->mem.data;
	return r->kind != RIG_LIST && at - base < (r->kind == RIG_TWICE ? 2 : 1) * (uintptr_t)r->size;
}

/* An index as the peer might write it: good, wild, or nearly good. */
static uint32_t any_index(void)
{
	uint32_t dice = rig_random(&state);

	if (dice % 32 == 0)
		return rig_random(&state);
	if (dice % 32 == 1)
		return r->size + (dice >> 8) % 24;
	return (dice >> 8) % (r->size / 8) * 8;
}

/* A first word: most of them nearly good. */
static uint64_t any_descriptor(void)
{
	static const uint8_t kinds[] = { 6, 6, 6, 11, 11, 7, 9, 9, 6, 10 };
	uint32_t dice = rig_random(&state), more = rig_random(&state);
	uint64_t kind = kinds[dice % 10], off8 = 2, flags = more & 1;

	if (kind == 7 || kind == 9)
		off8 = 5 + (more >> 1) % 4;
	if (dice % 8 == 0)
		off8 = more >> 4 & 7;
	if (dice % 31 == 0)
		flags = more;
	return kind | off8 << 16 | (off8 + (more >> 16) % 40) << 32 | flags << 48;
}

static void change(void)
{
	uint32_t dice = rig_random(&state);

	switch (dice % 8) {
	case 0: rig_set(r, RIG_IN, any_index()); break;
	case 1: rig_set(r, RIG_OUT, any_index()); break;
	case 2: rig_set(r, RIG_MASK, dice >> 8 & 1); break;
	case 3: rig_set(r, RIG_PENDING, dice >> 8 & 0x1fff); break;
	case 4: rig_set_qword(r, (dice >> 4) % r->size & ~7u, (uint64_t)(dice >> 28) << 32); break;
	case 5: rig_set_qword(r, (dice >> 4) % r->size & ~7u, any_descriptor()); break;
	default: rig_set_qword(r, r->rx->next + (dice >> 4) % 4 * 8, any_descriptor()); /* where the consumer looks next */
	}
}

static void note_load(const struct port_access *a)
{
	for (uint32_t i = 0; i < loads; i++)
		if ((uintptr_t)a->shared < load[i].at + load[i].bytes && load[i].at < (uintptr_t)a->shared + a->bytes)
			twice++;
	if (loads < LOADS) {
		load[loads].at = (uintptr_t)a->shared;
		load[loads++].bytes = a->bytes;
	}
}

/* Does the access, and then the peer may act. */
static int attack(struct port_access *a)
{
	uint32_t reads = a->op == PORT_LOAD || a->op == PORT_LOAD_ACQUIRE || a->op == PORT_READ64 || a->op == PORT_COPY_OUT;
	uint32_t word;

	if (!in_data(a->shared) && !rig_is_control(r, a->shared, &word))
		return 0;
	if (reads)
		note_load(a);
	if (in_data(a->shared) && reads == producing)
		backwards++; /* a producer reads no data, a consumer writes none */
	port_hook = NULL;
	a->value = port_do(a->op, a->shared, a->other, a->bytes, a->value);
	if (rig_random(&state) % rage == 0)
		change();
	port_hook = attack;
	return 1;
}

static uint8_t buffer[64 * 1024] __attribute__((aligned(8)));

/* What has happened, over all runs. */
static uint32_t reasons[2][VMB_R_PAYLOAD + 1], delivered, sent;

static int produce(uint32_t dice)
{
	static const uint64_t words[6] = { VMB_RANGE(5000, 1), 1, 2, VMB_RANGE(8, 4), 3, VMB_RANGE(8, 0) };
	struct vmb_packet p = rig_packet(buffer, dice >> 16 & 0x3ff);
	struct vmb_span parts[2] = { { buffer, p.len / 2 }, { buffer, p.len - p.len / 2 } };
	struct vmb_view v;
	int got;

	if (dice >> 8 & 1) {
		p.kind = VMB_PKT_GPA;
		p.list = (struct vmb_list){ words, 5, 2 };
	}
	switch (dice >> 4 & 7) {
	case 0: return vmb_tx_commit(r->tx);
	case 1: return vmb_tx_discard(r->tx);
	case 2: return vmb_tx_arm(r->tx, &p, dice & 0x1fff);
	case 3: return vmb_tx_putv(r->tx, &p, parts, 2);
	case 4:
		got = vmb_tx_reserve(r->tx, &p, &v);
		if (got)
			return got;
		cr_assert(v.pos < r->size && v.len == p.len);
		sent++;
		return vmb_tx_copy(r->tx, &v, 0, buffer, v.len);
	default: return vmb_tx_put(r->tx, &p);
	}
}

/* Whatever the ring says by now: this is one consistent packet. */
static void consistent(const struct vmb_packet *given)
{
	struct vmb_packet p = *given;

	cr_assert_leq((uint64_t)p.head_len + p.len, r->size - 32 + 8);
	cr_assert(p.kind == 6 || p.kind == 7 || p.kind == 9 || p.kind == 11);
	cr_assert_leq(p.flags, 1);
	if (p.kind == 7 || p.kind == 9)
		cr_assert(p.list.ranges && p.list.ranges * (p.kind == 9 ? 2u : 1u) <= p.list.count &&
			  p.head_len == 8 + 8 * p.list.count);
	else
		cr_assert(!p.list.ranges && !p.list.count);
	delivered++;
}

static int consume(uint32_t dice)
{
	uint32_t room = dice >> 20 & 1 ? sizeof buffer : dice >> 8 & 0x3ff;
	struct vmb_packet p;
	struct vmb_view v;
	uint64_t first;
	int got;

	switch (dice >> 4 & 15) {
	case 0: return vmb_rx_release(r->rx);
	case 1: return vmb_rx_sleep(r->rx);
	case 2: return vmb_rx_rewind(r->rx);
	case 3: return vmb_rx_mask(r->rx);
	case 4: case 5: case 6: case 7: case 8:
		memset(buffer, 0xee, sizeof buffer);
		got = vmb_rx_get(r->rx, buffer, room, &p);
		if (got == VMB_ETOOSMALL)
			cr_assert_gt((uint64_t)p.head_len + p.len, room);
		if (got != VMB_YES)
			return got == VMB_ETOOSMALL ? 0 : got;
		consistent(&p);
		cr_assert_leq((uint64_t)p.head_len + p.len, room);
		cr_assert_eq(p.payload, (const void *)(buffer + p.head_len));
		cr_assert_eq(buffer[p.head_len + p.len], 0xee);
		memcpy(&first, buffer, sizeof first);
		cr_assert(!p.list.count || VMBI_LE64(first) >> 32 == p.list.ranges); /* not as it is by now */
		return 0;
	default: break;
	}
	got = vmb_rx_next(r->rx, &p, &v);
	if (got != VMB_YES)
		return got;
	consistent(&p);
	cr_assert(v.pos < r->size && v.pos % 8 == 0 && v.len == p.head_len + p.len);
	loads = 0; /* the copy is a second look, at other bytes, by another call */
	return vmb_rx_copy(r->rx, &v, 0, buffer, v.len);
}

static void hostile(uint32_t kind, uint32_t pages, uint32_t calls)
{
	uint32_t stuck[2] = { 0, 0 };

	r = rig_new(kind, pages);
	for (uint32_t i = 0; i < calls; i++) {
		uint32_t dice = rig_random(&state), reason, at;
		int got;

		if (i % 1000 == 0 || ((stuck[0] || stuck[1]) && dice % 4 == 0)) {
			rig_both_at(r, (dice >> 8) % r->size & ~7u);
			stuck[0] = stuck[1] = 0;
		}
		rage = 1 + (dice >> 2) % 16 * 8;
		producing = dice >> 31;
		loads = 0;
		port_hook = attack;
		got = producing ? produce(dice) : consume(dice);
		port_hook = NULL;
		reason = producing ? vmb_tx_reason(r->tx, &at) : vmb_rx_reason(r->rx, &at);
		cr_assert_eq(got == VMB_EPEER, reason != 0, "%d, reason %u", got, reason);
		cr_assert(got >= 0 || got == VMB_EPEER || got == VMB_EFULL);
		cr_assert(!stuck[producing] || stuck[producing] == reason, "a reason is for good");
		if (!stuck[producing])
			reasons[producing][reason]++;
		stuck[producing] = reason;
		cr_assert_eq(twice, 0, "loaded twice in one call");
		cr_assert_eq(backwards, 0);
	}
	rig_free(r);
}

Test(ring_hostile, memory_that_changes_between_any_two_accesses)
{
	state = 1;
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (uint32_t pages = 1; pages <= 3; pages++)
			hostile(kind, pages, 60000);
	/* The peer did what it can. */
	cr_assert_gt(delivered, 10000);
	cr_assert_gt(sent, 10000);
	cr_assert_gt(reasons[1][VMB_R_INDEX], 500);
	for (uint32_t reason = VMB_R_INDEX; reason <= VMB_R_RANGES; reason++)
		cr_assert_gt(reasons[0][reason], 100, "reason %u", reason);
}

/* ---- the rules that are seen best with a port */

/* Change *at right after it has been loaded: what the call goes on with is what it loaded. */
static const void *bait;
static uint64_t bait_value;
static uint32_t taken;

static int snatch(struct port_access *a)
{
	if (a->shared != bait || (a->op != PORT_LOAD && a->op != PORT_LOAD_ACQUIRE && a->op != PORT_READ64))
		return 0;
	port_hook = NULL;
	a->value = port_do(a->op, a->shared, a->other, a->bytes, a->value);
	port_do(a->bytes == 4 ? PORT_STORE : PORT_WRITE64, a->shared, NULL, 0, bait_value);
	taken++;
	port_hook = snatch;
	return 1;
}

static void lay(const void *at, uint64_t value)
{
	bait = at;
	bait_value = value;
	taken = 0;
	port_hook = snatch;
}

Test(ring_hostile, rule_01_peer_words_are_loaded_once_and_the_local_is_used)
{
	struct vmb_packet p = rig_packet(buffer, 8);
	uint8_t *control;

	r = rig_new(RIG_ONCE, 1);
	control = r->mem.control;
	rig_both_at(r, 0);
	lay(control + RIG_OUT, 3);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	rig_set(r, RIG_OUT, 0);
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	rig_set(r, RIG_OUT, 0);
	p.len = 4064;
	cr_assert_eq(vmb_tx_arm(r->tx, &p, 0), 0);
	cr_assert_eq(taken, 3);
	rig_set(r, RIG_OUT, 0);
	lay(control + RIG_MASK, 1);
	p.len = 8;
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), 0);
	cr_assert_eq(taken, 1);

	lay(control + RIG_IN, 5);
	(void)rig_next(r, &p);
	(void)rig_next(r, &p);
	cr_assert_eq(taken, 1);
	rig_set(r, RIG_IN, 64);
	rig_set(r, RIG_PENDING, 0xfc0);
	lay(control + RIG_PENDING, 0);
	cr_assert_eq(vmb_rx_release(r->rx), VMB_SIGNAL);
	cr_assert_eq(taken, 1);
	lay(control + RIG_IN, 5);
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
	cr_assert_eq(taken, 1);
	port_hook = NULL;
	cr_assert_eq(vmb_tx_reason(r->tx, NULL) | vmb_rx_reason(r->rx, NULL), 0);
	rig_free(r);
}

Test(ring_hostile, rule_04_descriptor_words_are_fetched_once)
{
	static const uint64_t words[2] = { VMB_RANGE(16, 0), 7 };

	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (uint32_t word = 0; word < 3; word++) {
			struct vmb_packet p = rig_packet(buffer, 24), q;
			const uint8_t *page;
			struct vmb_view v;

			r = rig_new(kind, 1);
			page = kind == RIG_LIST ? r->mem.pages[0] : r->mem.data;
			rig_both_at(r, 0);
			p.kind = VMB_PKT_GPA;
			p.id = 0x1234;
			p.list = (struct vmb_list){ words, 2, 1 };
			cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
			cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
			lay(page + 8 * word, UINT64_MAX);
			v = rig_next(r, &q);
			port_hook = NULL;
			cr_assert_eq(taken, 1);
			cr_assert_eq(q.kind, VMB_PKT_GPA);
			cr_assert_eq(q.id, 0x1234);
			cr_assert_eq(q.len, 24);
			cr_assert_eq(q.head_len, 24);
			cr_assert_eq(q.list.ranges, 1);
			cr_assert_eq(v.len, 48);
			rig_free(r);
		}
}

/* 8: ranges of transfer pages are handed over as they are, in one copy; whether they lie in their buffer is seen by who
 * knows its size. */
Test(ring_hostile, rule_08_transfer_ranges_are_counted_and_not_interpreted)
{
	static const uint64_t words[3] = { VMB_RANGE(16, UINT32_MAX), VMB_RANGE(UINT32_MAX, UINT32_MAX), VMB_RANGE(1, 1) };
	struct vmb_packet p = rig_packet(buffer, 8), q;
	uint64_t copy[5];
	struct vmb_view v;

	r = rig_new(RIG_LIST, 1);
	rig_both_at(r, 0xff0);
	p.kind = VMB_PKT_XFER;
	p.page_set = 0xcafe;
	p.list = (struct vmb_list){ words, 3, 3 };
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	v = rig_next(r, &q);
	cr_assert_eq(q.list.ranges, 3);
	cr_assert_eq(q.list.count, 3);
	cr_assert_eq(q.page_set, 0xcafe);
	cr_assert_null(q.list.words);
	cr_assert_eq(vmb_rx_copy(r->rx, &v, 0, copy, sizeof copy), 0);
	cr_assert_eq(le64toh(copy[0]), 0xcafe | (uint64_t)3 << 32);
	for (uint32_t i = 0; i < 3; i++)
		cr_assert_eq(le64toh(copy[1 + i]), words[i]);
	rig_free(r);
}

static uint32_t data_accesses;

static int count_data(struct port_access *a)
{
	data_accesses += (uint32_t)in_data(a->shared);
	return 0;
}

/* 9: a copy reads each byte once; and what has been released is not touched, nor is it by releasing. */
Test(ring_hostile, rule_09_released_memory_is_not_touched)
{
	struct vmb_packet p;
	struct vmb_view v;

	r = rig_new(RIG_TWICE, 1);
	rig_both_at(r, 0);
	for (uint32_t i = 0; i < 3; i++)
		(void)rig_send(r, 100);
	v = rig_next(r, &p);
	port_hook = count_data;
	cr_assert_eq(vmb_rx_copy(r->rx, &v, 0, buffer, v.len), 0);
	cr_assert_eq(data_accesses, 1, "one copy, in a row");
	data_accesses = 0;
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(vmb_rx_sleep(r->rx), VMB_YES);
	cr_assert_eq(vmb_rx_mask(r->rx), 0);
	cr_assert_eq(vmb_rx_rewind(r->rx), 0);
	cr_assert_eq(data_accesses, 0);
	port_hook = NULL;
	(void)rig_next(r, &p);
	(void)rig_next(r, &p);
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(vmb_rx_next(r->rx, &p, &v), 0, "nothing left, and so nothing is looked at");
	rig_free(r);
}

/* 10: an id is 64 bits that mean nothing here. */
Test(ring_hostile, rule_10_ids_are_opaque)
{
	static const uint64_t ids[] = { 0, 1, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 2, 0xfffd };

	r = rig_new(RIG_ONCE, 1);
	rig_both_at(r, 0);
	for (uint32_t i = 0; i < sizeof ids / sizeof *ids; i++)
		for (uint16_t flags = 0; flags < 2; flags++) {
			struct vmb_packet p = rig_packet(NULL, 0);

			p.id = ids[i];
			p.flags = flags;
			cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
			cr_assert_geq(vmb_tx_commit(r->tx), 0);
			(void)rig_next(r, &p);
			cr_assert_eq(p.id, ids[i]);
			cr_assert_eq(p.flags, flags);
			cr_assert_eq(vmb_rx_release(r->rx), 0);
		}
	rig_free(r);
}
