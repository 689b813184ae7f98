/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * lib/ring's producer, one call at a time, as ring_rx.c does it: from any state that the calls before it can have left, with
 * any bytes in shared memory at each load, it ends in such a state, and never touches what is not its ring.
 */
#include "proof/ring.h"
#include "lib/ring/tx.c"

static void any_tx(struct vmb_tx *tx)
{
	PROOF_ANY(*tx);
	any_ring(&tx->ring, VMBI_TX_MAGIC);
	any_dirty(&tx->dirty);
	tx->next = any_index();
	tx->pub = any_index();
	tx->room = any_index(); /* 0 ... size - 8, as an index is */
}

static void check_tx(const struct vmb_tx *tx)
{
	/*@ check next: tx->next < SIZE && tx->next % 8 == 0; */
	/*@ check pub: tx->pub < SIZE && tx->pub % 8 == 0; */
	/*@ check ring: tx->ring.size == SIZE && tx->ring.linear == LINEAR; */
}

static void check_room(const struct vmb_tx *tx)
{
	/*@ check room: tx->room <= SIZE - 8; */
}

void prove_tx_setup(void)
{
	struct vmb_tx tx, *made;
	struct vmb_ring_mem mem;
	struct vmb_cursor from;
	struct vmb_storage need;

	any_memory(&mem);
	if (!vmb_tx_storage(&mem, &need)) {
		void *block = malloc(need.bytes);

		(void)vmb_tx_init(block, proof_any32, &mem, NULL, &made);
		free(block);
	}
	PROOF_ANY(from);
	if (!vmbi_tx_setup(&tx, ring_table, &mem, proof_any32 ? &from : NULL)) {
		check_tx(&tx);
		check_room(&tx);
	}
}

/* A packet of `len` bytes without list, of any kind and flags. */
static void any_packet(struct vmb_packet *p, uint32_t len)
{
	PROOF_ANY(*p);
	p->len = len;
	p->payload = NULL;
	p->list = (struct vmb_list){ NULL, proof_any32, proof_any32 };
}

void prove_tx_calls(void)
{
	struct vmb_tx tx;
	struct vmb_cursor at;
	struct vmb_ring_info info;
	struct vmb_ring_mem mem;
	struct vmb_packet p;
	uint32_t where;

	any_tx(&tx);
	(void)vmb_tx_commit(&tx);
	check_tx(&tx);
	any_tx(&tx);
	(void)vmb_tx_discard(&tx);
	check_tx(&tx);
	check_room(&tx);
	any_tx(&tx);
	any_packet(&p, proof_any32);
	(void)vmb_tx_arm(&tx, &p, proof_any32);
	check_tx(&tx);
	(void)vmb_tx_reason(&tx, &where);
	(void)vmb_tx_end(&tx, &at);
	/*@ check index: at.index < SIZE && at.index % 8 == 0; */
	any_memory(&mem);
	(void)vmb_ring_inspect(&mem, &info);
}

/* Looking at Out: the room is exact from each place. */
static void one_tx_look(uint32_t next)
{
	struct vmb_tx tx;

	any_tx(&tx);
	tx.next = next;
	(void)tx_look(&tx);
	check_tx(&tx);
	check_room(&tx);
}

void prove_tx_look(void)
{
	/*@ loop unroll 10000; */
	for (uint32_t next = 0; next < SIZE; next += 8)
		one_tx_look(next);
}

/* Reserving from `least` to `most` bytes at any place, so chosen that they make packets of one size, with so much room. */
static void one_tx_reserve(struct vmb_tx *tx, uint32_t least, uint32_t most, uint32_t room)
{
	struct vmb_packet p;
	struct vmb_view v;

	any_tx(tx);
	tx->room = room;
	any_packet(&p, proof_between(least, most));
	if (!vmb_tx_reserve(tx, &p, &v)) {
		/*@ check view: v.pos < SIZE; */
	}
	check_tx(tx);
}

/* Where it fits by what is known, the room stays within the ring; where it does not, prove_tx_look has seen what it becomes. */
static void any_tx_reserve(uint32_t least, uint32_t most)
{
	struct vmb_tx tx;
	uint32_t total = VMBI_DESCRIPTOR + most + VMBI_FOOTER;

	one_tx_reserve(&tx, least, most, 8 * proof_between(0, (total < SIZE ? total : SIZE) / 8 - 1));
	if (total > SIZE - 8)
		return;
	one_tx_reserve(&tx, least, most, 8 * proof_between(total / 8, SIZE / 8 - 1));
	check_room(&tx);
}

void prove_tx_reserve(void)
{
	struct vmb_tx tx;

	any_tx_reserve(0, 0);
	/*@ loop unroll 10000; */
	for (uint32_t len = 1; len < SIZE; len += 8)
		any_tx_reserve(len, len + 7);
	one_tx_reserve(&tx, SIZE + 1, UINT32_MAX, any_index());
}

/* Copying a payload of n bytes, from a buffer of n bytes. */
static void one_tx_put(uint32_t next, uint32_t n)
{
	struct vmb_tx tx;
	struct vmb_packet p;
	uint8_t *src = proof_bytes(n);

	any_tx(&tx);
	tx.next = next;
	any_packet(&p, n);
	p.payload = src;
	(void)vmb_tx_put(&tx, &p);
	check_tx(&tx);
	free(src);
}

void prove_tx_put(void)
{
	/*@ loop unroll 600; */
	for (uint32_t pos = 0; pos < SIZE; pos += 56)
		one_tx_put(pos, 77);
	/*@ loop unroll 600; */
	for (uint32_t n = 1; n <= 40; n++) {
		one_tx_put(0, n);
		one_tx_put(SIZE - 8, n);
		one_tx_put(SIZE - 48, n);
	}
	one_tx_put(0, SIZE - 32);
	one_tx_put(SIZE - 16, SIZE - 32);
	one_tx_put(8, SIZE);
}

/* A packet that names `count` words, which are any, and has its payload in two parts; then some of it is written anew. */
static void one_tx_list(uint32_t next, uint16_t kind, uint32_t count)
{
	uint64_t *words = proof_bytes(count * sizeof *words);
	uint8_t *first = proof_bytes(5), *second = proof_bytes(16);
	struct vmb_span parts[2] = { { first, 5 }, { second, 16 } };
	struct vmb_packet p;
	struct vmb_view v = { next, 21 };
	struct vmb_tx tx;

	any_packet(&p, 21);
	p.kind = kind;
	p.list = (struct vmb_list){ words, count, proof_any32 };
	any_tx(&tx);
	tx.next = next;
	(void)vmb_tx_putv(&tx, &p, parts, 2);
	check_tx(&tx);
	any_tx(&tx);
	(void)vmb_tx_copy(&tx, &v, 5, second, 16);
	any_tx(&tx);
	(void)vmb_tx_arm(&tx, &p, proof_any32);
	check_tx(&tx);
	free(words);
	free(first);
	free(second);
}

void prove_tx_list(void)
{
	/*@ loop unroll 20; */
	for (uint32_t back = 8; back <= 96; back += 8)
		/*@ loop unroll 10; */
		for (uint32_t count = 1; count <= 4; count++) {
			one_tx_list(SIZE - back, VMB_PKT_GPA, count);
			one_tx_list(SIZE - back, VMB_PKT_XFER, count);
		}
	one_tx_list(0, VMB_PKT_GPA, 3);
	one_tx_list(0, VMB_PKT_INBAND, 1);
}

/* Spans of any view, also of one that is none. */
void prove_tx_spans(void)
{
	struct vmb_tx tx;
	struct vmb_view v;
	struct vmb_span spans[3];

	any_tx(&tx);
	PROOF_ANY(v);
	(void)vmb_tx_spans(&tx, &v, proof_any32, spans, proof_between(0, 3));
}
