/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The byte-exact packets of ring.md 16.1, written and read, through the three kinds of memory. */
#include <criterion/criterion.h>
#include <endian.h>
#include <string.h>

#include "test/vectors/vectors.h"
#include "rig.h"

#define VECTORS 22u

static struct vectors *set;

static void load(void)
{
	set = vectors_load("ring", VECTORS);
}

static void unload(void)
{
	vectors_free(set);
}

TestSuite(ring_vectors, .init = load, .fini = unload);

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

/* What a caller would say to send part n of this vector. words: room for its list. */
static struct vmb_packet described(const struct vector *v, uint32_t n, uint64_t *words)
{
	uint32_t bytes, head;
	const uint8_t *at = vector_part(v, n, &bytes);
	struct vmb_packet p = { 0 };

	p.kind = (uint16_t)get64(at);
	p.flags = (uint16_t)(get64(at) >> 48);
	p.id = get64(at + 8);
	head = (uint16_t)(get64(at) >> 16) * 8u - 16;
	p.payload = at + 16 + head;
	p.len = (uint32_t)vector_fact(v, "len", n);
	if (head) {
		for (uint32_t i = 0; i < head / 8 - 1; i++)
			words[i] = get64(at + 24 + 8 * i);
		p.list = (struct vmb_list){ words, head / 8 - 1, (uint32_t)(get64(at + 16) >> 32) };
		p.page_set = p.kind == VMB_PKT_XFER ? (uint16_t)get64(at + 16) : 0;
	}
	return p;
}

/* How a test writes a packet. */
enum way { BY_PUT, BY_PUTV, BY_RESERVE, WAYS };

static int write_packet(struct vmb_tx *tx, const struct vmb_packet *p, enum way way)
{
	uint32_t cut = p->len / 3;
	struct vmb_span parts[3] = { { (uint8_t *)(uintptr_t)p->payload, cut },
				     { NULL, 0 },
				     { (uint8_t *)(uintptr_t)p->payload + cut, p->len - cut } };
	struct vmb_packet empty = *p;
	struct vmb_view view;
	int r;

	if (way == BY_PUT)
		return vmb_tx_put(tx, p);
	empty.payload = NULL;
	if (way == BY_PUTV)
		return vmb_tx_putv(tx, &empty, parts, 3);
	r = vmb_tx_reserve(tx, &empty, &view);
	if (r)
		return r;
	cr_assert_eq(view.len, p->len);
	r = vmb_tx_copy(tx, &view, cut, (const uint8_t *)p->payload + cut, p->len - cut);
	return r ? r : vmb_tx_copy(tx, &view, 0, p->payload, cut);
}

/* The bytes of the vector as they lie in a ring of this size when the first packet starts at `start`: footers say so. */
static void expect_ring(const struct vector *v, uint32_t start, uint8_t *data, uint32_t size)
{
	for (uint32_t n = 0; n < vector_parts(v); n++) {
		uint32_t bytes;
		const uint8_t *at = vector_part(v, n, &bytes);

		for (uint32_t i = 0; i < bytes; i++)
			data[(start + i) % size] = at[i];
		for (uint32_t i = 0; i < 4; i++)
			data[(start + bytes - 4 + i) % size] = (uint8_t)(start >> 8 * i);
		start = (start + bytes) % size;
	}
}

/* Both halves at this index; warm: after a packet that ended there, so that the producer knows of room, and takes the short
 * way. */
static void begin_at(struct rig *r, uint32_t start, int warm)
{
	struct vmb_packet p;

	if (!warm) {
		rig_both_at(r, start);
		return;
	}
	rig_both_at(r, (start + r->size - 24) % r->size);
	cr_assert_eq(rig_send(r, 0), VMB_SIGNAL);
	(void)rig_next(r, &p);
	cr_assert_eq(vmb_rx_sleep(r->rx), 0);
}

/* Write all of v from `start` on in a ring full of old bytes; then every byte of the ring is as it must be. */
static void check_written(struct rig *r, const struct vector *v, uint32_t start, enum way way, int warm)
{
	static uint8_t want[64 * 1024];
	uint32_t bytes;

	(void)vector_bytes(v, &bytes);
	begin_at(r, start, warm);
	memset(r->data, 0xee, r->size);
	memset(want, 0xee, r->size);
	expect_ring(v, start, want, r->size);
	for (uint32_t n = 0; n < vector_parts(v); n++) {
		uint64_t words[8];
		struct vmb_packet p = described(v, n, words);

		cr_assert_eq(write_packet(r->tx, &p, way), 0, "%s", vector_name(v));
		cr_assert_eq(rig_word(r, RIG_IN), start, "%s: published before commit", vector_name(v));
	}
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL, "%s", vector_name(v));
	cr_assert_eq(rig_word(r, RIG_IN), (start + bytes) % r->size, "%s", vector_name(v));
	cr_assert_eq(memcmp(r->data, want, r->size), 0, "%s, memory %u, start %#x, way %d, warm %d", vector_name(v), r->kind,
		     start, (int)way, warm);
}

static int sendable(const struct vector *v)
{
	return strcmp(vector_name(v), "TV-20") != 0; /* a historic type */
}

Test(ring_vectors, written_byte_exact_by_put_putv_and_reserve_in_each_memory)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (uint32_t i = 0; i < VECTORS; i++) {
			const struct vector *v = vectors_at(set, i);
			struct rig *r = rig_new(kind, (uint32_t)vector_fact(v, "ring", 0) / VMB_PAGE);

			for (uint32_t turn = 0; sendable(v) && turn < 2 * WAYS; turn++) {
				check_written(r, v, (uint32_t)vector_fact(v, "in", 0), turn / 2, turn % 2);
				cr_assert_eq(rig_word(r, RIG_IN), vector_fact(v, "after", 0));
			}
			rig_free(r);
		}
}

/* Each wrap of each packet: inside the descriptor, ranges, payload, padding, before the footer. In a ring that is no power
 * of two, too. */
Test(ring_vectors, written_byte_exact_from_every_offset)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (uint32_t pages = 1; pages <= 3; pages += 2) {
			struct rig *r = rig_new(kind, pages);

			for (uint32_t i = 0; i < VECTORS; i++) {
				const struct vector *v = vectors_at(set, i);
				uint32_t bytes;

				(void)vector_bytes(v, &bytes);
				for (uint32_t start = 0; sendable(v) && start < r->size; start += bytes < 256 ? 8 : 1016)
					check_written(r, v, start, (start / 8 + i) % WAYS, (start / 8 + i) / WAYS % 2);
			}
			rig_free(r);
		}
}

Test(ring_vectors, tv17_written_unbatched_signals_once)
{
	const struct vector *v = vectors_find(set, "TV-17");
	struct rig *r = rig_new(RIG_ONCE, 1);
	struct vmb_packet p;

	rig_both_at(r, 0xfc8);
	p = described(v, 0, NULL);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), VMB_SIGNAL);
	p = described(v, 1, NULL);
	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_commit(r->tx), 0);
	rig_free(r);
}

/* Part n is next in the ring: is it given as it is? */
static void check_read(struct rig *r, const struct vector *v, uint32_t n)
{
	uint32_t bytes;
	const uint8_t *at = vector_part(v, n, &bytes);
	uint32_t head = (uint16_t)(get64(at) >> 16) * 8u - 16, all_len = bytes - 24;
	uint8_t copy[4096];
	struct vmb_packet p;
	struct vmb_view all;

	memset(&p, 0xcc, sizeof p);
	cr_assert_eq(vmb_rx_next(r->rx, &p, &all), VMB_YES, "%s", vector_name(v));
	cr_assert_eq(p.kind, (uint16_t)get64(at));
	cr_assert_eq(p.flags, get64(at) >> 48);
	cr_assert_eq(p.id, get64(at + 8));
	cr_assert_eq(p.user, 0);
	cr_assert_eq(p.head_len, head);
	cr_assert_eq(p.len, all_len - head);
	cr_assert_eq(p.len, (vector_fact(v, "len", n) + 7) / 8 * 8);
	cr_assert(rig_in_place(r, &p, &all));
	cr_assert_null(p.list.words);
	cr_assert_eq(p.list.count, head ? head / 8 - 1 : 0);
	cr_assert_eq(p.list.ranges, head ? get64(at + 16) >> 32 : 0);
	cr_assert_eq(p.page_set, p.kind == VMB_PKT_XFER ? 0xcafe : 0);
	cr_assert_eq(p.reserved, 0);
	cr_assert_eq(all.len, all_len);
	cr_assert_eq(vmb_rx_copy(r->rx, &all, 0, copy, all.len), 0);
	cr_assert_eq(memcmp(copy, at + 16, all.len), 0, "%s", vector_name(v));
}

static void check_all_read(struct rig *r, const struct vector *v, uint32_t start, uint32_t loose)
{
	uint32_t bytes, after;

	(void)vector_bytes(v, &bytes);
	after = (start + bytes) % r->size;
	memset(r->data, 0xee, r->size);
	expect_ring(v, start, r->data, r->size);
	rig_both_at(r, start);
	rig_set(r, RIG_IN, after);
	cr_assert_eq(rig_rx(r, loose, NULL), 0);
	for (uint32_t n = 0; n < vector_parts(v); n++)
		check_read(r, v, n);
	cr_assert_eq(rig_word(r, RIG_OUT), start, "released before release");
	cr_assert_eq(vmb_rx_release(r->rx), 0);
	cr_assert_eq(rig_word(r, RIG_OUT), after);
}

Test(ring_vectors, read_in_each_memory_from_every_offset)
{
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++)
		for (uint32_t pages = 1; pages <= 3; pages++) {
			struct rig *r = rig_new(kind, pages);

			for (uint32_t i = 0; i < VECTORS; i++) {
				const struct vector *v = vectors_at(set, i);
				uint32_t bytes;

				(void)vector_bytes(v, &bytes);
				for (uint32_t start = 0; start < r->size; start += bytes < 256 ? 8 : 1016)
					check_all_read(r, v, start, sendable(v) ? 0 : VMB_RING_LOOSE);
			}
			rig_free(r);
		}
}

Test(ring_vectors, tv20_is_refused_by_both_halves_unless_loose)
{
	const struct vector *v = vectors_find(set, "TV-20");
	struct rig *r = rig_new(RIG_ONCE, 4);
	struct vmb_packet p = described(v, 0, NULL);
	struct vmb_view all;
	uint32_t at;

	rig_both_at(r, 0x40);
	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EINVAL);
	expect_ring(v, 0x40, r->data, r->size);
	rig_set(r, RIG_IN, 0x58);
	cr_assert_eq(vmb_rx_next(r->rx, &p, &all), VMB_EPEER);
	cr_assert_eq(vmb_rx_reason(r->rx, &at), VMB_R_TYPE);
	cr_assert_eq(at, 0x40);
	rig_free(r);
}
