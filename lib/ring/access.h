/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * How both halves reach shared memory: the words of the control page, and the data area of any of its three kinds. Offsets into
 * the data that are called pos may be up to twice the size; what is called an index is below it. ring.md 3, 11
 */
#ifndef VMBI_RING_ACCESS_H
#define VMBI_RING_ACCESS_H

#include "ring.h"

#ifdef VMB_CHECKED
# define VMBI_RING_CHECKED 1
#else
# define VMBI_RING_CHECKED 0
#endif
#define VMBI_TX_MAGIC 0x74626d76u
#define VMBI_RX_MAGIC 0x72626d76u

/* The short way of a packet, and the longer ones, kept out of it so that it needs no registers saved; and the ways of errors. */
#define VMBI_RING_SHORT inline __attribute__((always_inline))
#define VMBI_RING_LONG __attribute__((noinline))
#define VMBI_RING_COLD __attribute__((noinline, cold))

/* ---- the control page */

static inline uint32_t vmbi_ring_load(const struct vmbi_ring *r, uint32_t word)
{
	return VMBI_LE32(VMBI_LOAD32_RELAXED(r->control + word));
}

static inline uint32_t vmbi_ring_acquire(const struct vmbi_ring *r, uint32_t word)
{
	return VMBI_LE32(VMBI_LOAD32_ACQUIRE(r->control + word));
}

static inline void vmbi_ring_store(const struct vmbi_ring *r, uint32_t word, uint32_t v)
{
	VMBI_STORE32_RELAXED(r->control + word, VMBI_LE32(v));
}

static inline void vmbi_ring_release(const struct vmbi_ring *r, uint32_t word, uint32_t v)
{
	VMBI_STORE32_RELEASE(r->control + word, VMBI_LE32(v));
}

/* Release, and seen by all before anything after it. ring.md 10.2 */
static inline void vmbi_ring_publish(const struct vmbi_ring *r, uint32_t word, uint32_t v)
{
	VMBI_PUBLISH32(r->control + word, VMBI_LE32(v));
}

/* ---- indexes. ring.md 3, 9.1 rule 2 */

static inline int vmbi_ring_index_ok(uint32_t index, uint32_t size)
{
	return index < size && !(index & 7);
}

/* n <= size */
static inline uint32_t vmbi_ring_forward(uint32_t index, uint32_t n, uint32_t size)
{
	uint32_t pos = index + n;

	if (VMBI_RARELY(pos >= size))
		pos -= size;
	return pos;
}

/* Bytes that are not occupied, 8 ... size. */
static inline uint32_t vmbi_ring_raw(uint32_t in, uint32_t out, uint32_t size)
{
	return size - vmbi_ring_used(in, out, size);
}

static inline int vmbi_ring_stick(struct vmbi_stick *stick, uint32_t reason, uint32_t at)
{
	VMBI_STORE32_RELAXED(&stick->at, at);
	VMBI_STORE32_RELEASE(&stick->reason, reason);
	return VMB_EPEER;
}

static inline void vmbi_ring_count(uint64_t *counter, uint32_t n)
{
	VMBI_WRITE64(counter, VMBI_READ64(counter) + n);
}

/* ---- the data area */

/* The aligned word at pos. */
static inline uint8_t *vmbi_ring_word(const struct vmbi_ring *r, uint32_t pos)
{
	if (r->data)
		return r->data + (pos < r->linear ? pos : pos - r->size);
	return r->pages[pos / VMB_PAGE] + pos % VMB_PAGE;
}

/* Where this index is, and up to which pos the bytes lie in a row. */
static inline uint8_t *vmbi_ring_at(const struct vmbi_ring *r, uint32_t index, uint32_t *end)
{
	if (r->data) {
		*end = r->linear;
		return r->data + index;
	}
	*end = (index | (VMB_PAGE - 1)) + 1;
	return r->pages[index / VMB_PAGE] + index % VMB_PAGE;
}

/* The len bytes from this index on if they lie in a row, else NULL. len <= size. */
static inline uint8_t *vmbi_ring_row(const struct vmbi_ring *r, uint32_t index, uint32_t len)
{
	if (r->data)
		return index + len <= r->linear ? r->data + index : NULL;
	return index % VMB_PAGE + len <= VMB_PAGE ? r->pages[index / VMB_PAGE] + index % VMB_PAGE : NULL;
}

/* What lies in a row from pos on, len bytes at most: *run of them. */
static inline uint8_t *vmbi_ring_run(const struct vmbi_ring *r, uint32_t pos, uint32_t len, uint32_t *run)
{
	uint32_t most;

	if (r->data) {
		if (pos >= r->linear)
			pos -= r->size;
		most = r->linear - pos;
	} else {
		most = VMB_PAGE - pos % VMB_PAGE;
	}
	*run = len < most ? len : most;
	return vmbi_ring_word(r, pos);
}

/* Is this a view that a ring of this size could have given, or a part of one, with n bytes of it at offset? */
static inline int vmbi_ring_within(const struct vmbi_ring *r, const struct vmb_view *v, uint32_t offset, uint32_t n)
{
	return v->pos < r->size && v->len <= r->size && offset <= v->len && n <= v->len - offset;
}

/* Copy n bytes in or out, from pos on; pos + n <= 2 * size. */
void vmbi_ring_write(const struct vmbi_ring *r, uint32_t pos, const void *src, uint32_t n);
void vmbi_ring_read(const struct vmbi_ring *r, uint32_t pos, void *dst, uint32_t n);
/* Write n words in wire order. */
void vmbi_ring_words(const struct vmbi_ring *r, uint32_t pos, const uint64_t *words, uint32_t n);
/* The spans of n bytes from pos on, at most max of them. */
int vmbi_ring_spans(const struct vmbi_ring *r, uint32_t pos, uint32_t n, struct vmb_span *spans, uint32_t max);

/* ---- dirty pages: written first, marked second, each time, so that a reader who takes the mark away in between copies what was
 * written */

static inline void vmbi_ring_mark(const struct vmbi_dirty *dirty, uint32_t page)
{
	uint32_t bit = dirty->base + page;

	(void)VMBI_FETCH_OR32(&dirty->bits[bit / 32], 1u << bit % 32);
}

static inline void vmbi_ring_mark_control(const struct vmbi_dirty *dirty)
{
	if (dirty->bits)
		vmbi_ring_mark(dirty, 0);
}

/* The data pages of n bytes from this index on. */
void vmbi_ring_mark_data(const struct vmbi_ring *r, const struct vmbi_dirty *dirty, uint32_t index, uint32_t n);

/* ---- making a half */

/* Take in where the ring lies. mem has been checked. VMB_EINVAL: not such memory. */
int vmbi_ring_place(struct vmbi_ring *r, uint8_t **table, const struct vmb_ring_mem *mem);
/* Is this a cursor for such a ring, or none? */
int vmbi_ring_cursor_ok(const struct vmbi_ring *r, const struct vmb_cursor *from);

#endif /* VMBI_RING_ACCESS_H */
