/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * lib/ring's consumer, one call at a time: from any state that the calls before it can have left (`valid_rx`), with any bytes
 * in shared memory at each load, it ends in such a state. So no sequence of calls, and nothing that the peer writes at any
 * moment, makes a run-time error. PROOF_PAGES: pages of data; PROOF_KIND: 0 plain, 1 mapped twice, 2 page table.
 */
#include "proof/ring.h"
#include "lib/ring/rx.c"

/* So many bits are enough for SIZE / 8 - 1, the length8 of the longest packet. */
#define LEN8_BITS (PROOF_PAGES <= 1 ? 9 : PROOF_PAGES <= 2 ? 10 : PROOF_PAGES <= 4 ? 11 : PROOF_PAGES <= 16 ? 13 : 16)

static void any_rx(struct vmb_rx *rx)
{
	PROOF_ANY(*rx);
	any_ring(&rx->ring, VMBI_RX_MAGIC);
	any_dirty(&rx->dirty);
	rx->next = any_index();
	rx->pub = any_index();
	rx->left = any_index(); /* 0 ... size - 8, as an index is */
}

static void check_rx(const struct vmb_rx *rx)
{
	/*@ check next: rx->next < SIZE && rx->next % 8 == 0; */
	/*@ check pub: rx->pub < SIZE && rx->pub % 8 == 0; */
	/*@ check ring: rx->ring.size == SIZE && rx->ring.linear == LINEAR; */
}

/* What is left stays within the ring: seen where it is one number. */
static void check_left(const struct vmb_rx *rx)
{
	/*@ check left: rx->left <= SIZE - 8; */
}

void prove_rx_setup(void)
{
	struct vmb_rx rx, *made;
	struct vmb_ring_mem mem;
	struct vmb_cursor from;
	struct vmb_storage need;

	any_memory(&mem);
	if (!vmb_rx_storage(&mem, &need)) {
		void *block = malloc(need.bytes);

		(void)vmb_rx_init(block, proof_any32, &mem, NULL, &made);
		free(block);
	}
	PROOF_ANY(from);
	if (!vmbi_rx_setup(&rx, ring_table, &mem, proof_any32 ? &from : NULL)) {
		check_rx(&rx);
		check_left(&rx);
	}
}

/* Looking at In, from every place. */
static void one_rx_look(uint32_t next)
{
	struct vmb_rx rx;

	any_rx(&rx);
	rx.next = next;
	if (vmbi_rx_look(&rx) == VMB_YES)
		check_left(&rx);
	check_rx(&rx);
}

void prove_rx_look(void)
{
	/*@ loop unroll 10000; */
	for (uint32_t next = 0; next < SIZE; next += 8)
		one_rx_look(next);
}

/* One packet whose first word has these bits, with from `least` to `most` bytes left. */
static int one_rx_next(struct vmb_rx *rx, uint32_t next, uint64_t mask, uint64_t bits, uint32_t least, uint32_t most)
{
	struct vmb_packet p;
	struct vmb_view all;
	int r;

	any_rx(rx);
	rx->next = next;
	rx->left = 8 * proof_between(least / 8, most / 8);
	proof_case = (struct proof_case){ 1, mask, bits };
	r = vmb_rx_next(rx, &p, &all);
	if (r == VMB_YES) {
		/*@ check view: all.pos < SIZE; */
		/*@ check packet: \initialized(&p) && p.head_len <= SIZE; */
	}
	check_rx(rx);
	return r;
}

/* Every length8: in blocks of 512 up to a power of two that no packet of this ring reaches; above, by the highest bit. */
static void any_rx_next(uint32_t next)
{
	struct vmb_rx rx;

	/*@ loop unroll 200; */
	for (uint32_t block = 0; block < 1u << LEN8_BITS; block += 512)
		(void)one_rx_next(&rx, next, UINT64_C(0xfe00) << 32, (uint64_t)block << 32, 8, SIZE - 8);
	/*@ loop unroll 16; */
	for (uint32_t bit = LEN8_BITS; bit < 16; bit++)
		(void)one_rx_next(&rx, next, UINT64_C(1) << (32 + bit), UINT64_C(1) << (32 + bit), 8, SIZE - 8);
}

#if PROOF_KIND == 2
# define ROW VMB_PAGE
#else
# define ROW SIZE
#endif

/* At every place: row by row, the last 8 bytes apart. */
void prove_rx_next(void)
{
	/*@ loop unroll 20; */
	for (uint32_t row = 0; row < SIZE; row += ROW) {
		any_rx_next(row + 8 * proof_between(0, ROW / 8 - 2));
		any_rx_next(row + ROW - 8);
	}
}

#define ROOM 40 /* what a buffer holds */

/* One packet whose first word has these bits, copied. */
static void one_rx_get(uint32_t next, uint64_t mask, uint64_t bits)
{
	struct vmb_rx rx;
	struct vmb_packet p;
	uint8_t *buf = malloc(ROOM);
	int r;

	any_rx(&rx);
	rx.next = next;
	rx.left = 8 * proof_between(1, SIZE / 8 - 1);
	proof_case = (struct proof_case){ 1, mask, bits };
	r = vmb_rx_get(&rx, buf, ROOM, &p);
	if (r == VMB_YES) {
		/*@ check packet: \initialized(&p) && p.head_len <= ROOM && p.len <= ROOM; */
	}
	check_rx(&rx);
	free(buf);
}

/* At every place. The lengths that the buffer has room for one by one, and so the places where such a packet can reach beyond a row; those
 * above by their highest bit. */
void prove_rx_get(void)
{
	/*@ loop unroll 20; */
	for (uint32_t row = 0; row < SIZE; row += ROW) {
		/*@ loop unroll 16; */
		for (uint64_t len8 = 0; len8 < 8; len8++) {
			one_rx_get(row + 8 * proof_between(0, ROW / 8 - 10), UINT64_C(0xffff) << 32, len8 << 32);
			/*@ loop unroll 20; */
			for (uint32_t back = 72; back; back -= 8)
				one_rx_get(row + ROW - back, UINT64_C(0xffff) << 32, len8 << 32);
		}
		/*@ loop unroll 16; */
		for (uint32_t bit = 3; bit < 16; bit++) {
			one_rx_get(row + 8 * proof_between(0, ROW / 8 - 2), (UINT64_C(0xffff) << bit & 0xffff) << 32, UINT64_C(1) << (32 + bit));
			one_rx_get(row + ROW - 8, (UINT64_C(0xffff) << bit & 0xffff) << 32, UINT64_C(1) << (32 + bit));
		}
	}
}

/* The same length by length: what is left afterwards lies within the ring, and a packet that is longer than what is left is none. The last 8
 * bytes apart again. */
void prove_rx_left(void)
{
	struct vmb_rx rx;

	/*@ loop unroll 10000; */
	for (uint32_t len8 = 0; len8 < SIZE / 8 - 1; len8++) {
		(void)one_rx_next(&rx, 8 * proof_between(0, SIZE / 8 - 2), UINT64_C(0xffff) << 32, (uint64_t)len8 << 32, len8 * 8 + 8, SIZE - 8);
		check_left(&rx);
		(void)one_rx_next(&rx, SIZE - 8, UINT64_C(0xffff) << 32, (uint64_t)len8 << 32, len8 * 8 + 8, SIZE - 8);
		check_left(&rx);
	}
	/*@ loop unroll 10000; */
	for (uint32_t len8 = 1; len8 < SIZE / 8; len8++) {
		int r = one_rx_next(&rx, any_index(), UINT64_C(0xffff) << 32, (uint64_t)len8 << 32, 8, len8 * 8);

		/*@ check refused: r == VMB_EPEER; */
		check_left(&rx);
	}
}

/* With nothing left it looks first: nothing is left then, or what prove_rx_look has seen, and it goes on as above. */
static void one_rx_next_looks(uint32_t next)
{
	struct vmb_rx rx;
	struct vmb_packet p;
	struct vmb_view all;

	any_rx(&rx);
	rx.next = next;
	rx.left = 0;
	if (vmb_rx_next(&rx, &p, &all) != VMB_YES)
		check_rx(&rx);
}

void prove_rx_next_looks(void)
{
	one_rx_next_looks(8 * proof_between(0, SIZE / 8 - 2));
	one_rx_next_looks(SIZE - 8);
}

void prove_rx_calls(void)
{
	struct vmb_rx rx;
	struct vmb_cursor at;
	uint32_t where;

	any_rx(&rx);
	(void)vmb_rx_release(&rx);
	check_rx(&rx);
	any_rx(&rx);
	(void)vmb_rx_sleep(&rx);
	check_rx(&rx);
	any_rx(&rx);
	(void)vmb_rx_mask(&rx);
	check_rx(&rx);
	any_rx(&rx);
	(void)vmb_rx_rewind(&rx);
	check_rx(&rx);
	(void)vmb_rx_reason(&rx, &where);
	(void)vmb_rx_end(&rx, &at);
	/*@ check index: at.index < SIZE && at.index % 8 == 0; */
}

/* Spans of any view, also of one that is none: by table, at each place, of the whole view. */
static void one_rx_spans(uint32_t pos, uint32_t offset)
{
	struct vmb_rx rx;
	struct vmb_view v;
	struct vmb_span spans[3];

	any_rx(&rx);
	PROOF_ANY(v);
	v.pos = pos;
	(void)vmb_rx_spans(&rx, &v, offset, spans, proof_between(0, 3));
}

void prove_rx_spans(void)
{
#if PROOF_KIND != 2
	one_rx_spans(proof_any32, proof_any32);
#else
	/*@ loop unroll 10000; */
	for (uint32_t pos = 0; pos < SIZE; pos += 8)
		one_rx_spans(pos, 0);
#endif
}

/* Copies of n bytes of any view into a buffer of n bytes. */
static void one_rx_copy(uint32_t pos, uint32_t n)
{
	struct vmb_rx rx;
	struct vmb_view v;
	uint8_t *dst = malloc(n);

	any_rx(&rx);
	PROOF_ANY(v);
	v.pos = pos;
	if (!vmb_rx_copy(&rx, &v, 0, dst, n)) {
		/*@ check all: \initialized(dst + (0 .. n - 1)); */
	}
	free(dst);
}

void prove_rx_copy(void)
{
	/*@ loop unroll 600; */
	for (uint32_t pos = 0; pos < SIZE; pos += 56) {
		one_rx_copy(pos, 77);
		one_rx_copy(pos, SIZE);
	}
	/*@ loop unroll 600; */
	for (uint32_t n = 1; n <= 40; n++) {
		one_rx_copy(0, n);
		one_rx_copy(SIZE - 1, n);
		one_rx_copy(SIZE - n, n);
		one_rx_copy(SIZE - n + 1, n);
		one_rx_copy(SIZE + n, n);
	}
}
