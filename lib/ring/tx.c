/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The producer of a ring: packets are written behind what is published, then published together. Its own words (In, pending
 * size) are kept privately and only ever stored; of the consumer's, Out and the mask, each is loaded once per decision. ring.md
 * 8.2, 8.4, 10
 */
#include "short.h"
#include "../abi.h"

#define TX_TOTAL_MAX (VMBI_LEN8_MAX * 8 + VMBI_FOOTER)

/* VMB_CHECKED builds: is this a producer? */
static inline int tx_ours(const struct vmb_tx *tx)
{
	return !VMBI_RING_CHECKED || (tx && tx->ring.magic == VMBI_TX_MAGIC);
}

static inline int tx_given(const void *p)
{
	return !VMBI_RING_CHECKED || p;
}

/* ---- making and unmaking */

int vmbi_tx_setup(struct vmb_tx *tx, uint8_t **table, const struct vmb_ring_mem *mem, const struct vmb_cursor *from)
{
	const struct vmbi_ring *r = &tx->ring;
	int resumed = from && from->valid;
	uint32_t out;

	if (vmbi_ring_check(mem))
		return VMB_EINVAL;
	VMBI_MEMSET(tx, 0, sizeof *tx);
	if (vmbi_ring_place(&tx->ring, table, mem) || !vmbi_ring_cursor_ok(r, from))
		return VMB_EINVAL;
	if (resumed) {
		tx->pub = from->index;
		tx->pending = from->armed;
	} else {
		if (mem->flags & VMB_RING_FRESH)
			VMBI_CLEAR(r->control, VMB_PAGE);
		tx->pub = vmbi_ring_load(r, VMBI_RING_IN);
	}
	out = vmbi_ring_acquire(r, VMBI_RING_OUT);
	if (!vmbi_ring_index_ok(tx->pub, r->size) || !vmbi_ring_index_ok(out, r->size))
		return VMB_EPEER;
	if (!resumed) {
		vmbi_ring_store(r, VMBI_RING_PENDING, 0);
		vmbi_ring_store(r, VMBI_RING_FEATURES, 1);
	}
	tx->next = tx->pub;
	tx->ring.magic = VMBI_TX_MAGIC;
	return 0;
}

/* The struct, then the page table. */
static struct vmb_tx *tx_carve(void *mem, const struct vmb_ring_mem *ring, uint8_t ***table, struct vmb_storage *need)
{
	struct vmbi_carve c = { mem, 0 };
	struct vmb_tx *tx = vmbi_carve(&c, 1, sizeof *tx);

	*table = vmbi_carve(&c, vmbi_ring_table(ring), sizeof **table);
	(void)vmbi_carve_end(&c, need);
	return tx;
}

int vmb_tx_storage(const struct vmb_ring_mem *ring, struct vmb_storage *need)
{
	uint8_t **table;

	if (!ring || !need || vmbi_ring_check(ring))
		return VMB_EINVAL;
	(void)tx_carve(NULL, ring, &table, need);
	return 0;
}

int vmb_tx_init(void *mem, size_t bytes, const struct vmb_ring_mem *ring, const struct vmb_cursor *from, struct vmb_tx **tx)
{
	struct vmb_storage need;
	struct vmb_tx *made;
	uint8_t **table;
	int r;

	if (!tx || vmb_tx_storage(ring, &need))
		return VMB_EINVAL;
	r = vmbi_storage_fits(mem, bytes, &need);
	if (r)
		return r;
	made = tx_carve(mem, ring, &table, &need);
	r = vmbi_tx_setup(made, table, ring, from);
	if (!r)
		*tx = made;
	return r;
}

/* Mark what was written since the last publication, whether it will ever be published or not. */
static void tx_mark(const struct vmb_tx *tx)
{
	if (tx->dirty.bits)
		vmbi_ring_mark_data(&tx->ring, &tx->dirty, tx->pub, vmbi_ring_used(tx->next, tx->pub, tx->ring.size));
}

int vmb_tx_end(struct vmb_tx *tx, struct vmb_cursor *at)
{
	if (!tx_ours(tx))
		return VMB_EINVAL;
	tx_mark(tx);
	if (at)
		(void)vmbi_tx_where(tx, at);
	tx->ring.magic = 0;
	return 0;
}

uint32_t vmb_tx_reason(const struct vmb_tx *tx, uint32_t *at)
{
	uint32_t reason = tx_ours(tx) ? VMBI_LOAD32_ACQUIRE(&tx->stick.reason) : 0;

	if (at)
		*at = reason ? VMBI_LOAD32_RELAXED(&tx->stick.at) : 0;
	return reason;
}

/* ---- room */

static VMBI_RING_COLD int tx_violated(struct vmb_tx *tx, uint32_t index)
{
	tx->room = 0;
	tx_mark(tx);
	return vmbi_ring_stick(&tx->stick, VMB_R_INDEX, index);
}

/* An error of the caller, unless the ring is dead anyway. */
static VMBI_RING_COLD int tx_refuse(const struct vmb_tx *tx, int error)
{
	return tx->stick.reason ? VMB_EPEER : error;
}

/* Look at Out: how large a packet fits now? ring.md 3.2, 10.2 P1 */
static int tx_look(struct vmb_tx *tx)
{
	uint32_t out = vmbi_ring_acquire(&tx->ring, VMBI_RING_OUT);
	uint32_t room;

	if (!vmbi_ring_index_ok(out, tx->ring.size))
		return tx_violated(tx, out);
	room = vmbi_ring_raw(tx->next, out, tx->ring.size) - 8;
	tx->room = room < TX_TOTAL_MAX ? room : TX_TOTAL_MAX;
	return 0;
}

/* Can such a packet ever be sent? ring.md 4.4 */
static inline int tx_possible(const struct vmb_tx *tx, uint64_t total)
{
	return total <= TX_TOTAL_MAX && total <= tx->ring.size - 8;
}

static int tx_make_room(struct vmb_tx *tx, uint64_t total)
{
	if (tx->stick.reason)
		return VMB_EPEER;
	if (!tx_possible(tx, total))
		return VMB_ETOOBIG;
	if (total <= tx->room)
		return 0;
	if (tx_look(tx))
		return VMB_EPEER;
	if (total <= tx->room)
		return 0;
	vmbi_ring_count(&tx->full, 1);
	return VMB_EFULL;
}

/* ---- writing a packet. ring.md 4 */

/* The same for any packet: 0 and the pos of its payload, or an error. */
static VMBI_RING_LONG int tx_frame_any(struct vmb_tx *tx, const struct vmb_packet *p, uint32_t *payload)
{
	const struct vmbi_ring *r = &tx->ring;
	uint32_t start = tx->next, head, size, end;
	int error = vmbi_packet_head(p, &head);

	if (error)
		return tx_refuse(tx, error);
	error = tx_make_room(tx, vmbi_packet_total(head, p->len));
	if (error)
		return error;
	size = (uint32_t)vmbi_packet_total(head, p->len) - VMBI_FOOTER;
	end = start + size;
	VMBI_WRITE64(vmbi_ring_word(r, start), vmbi_descriptor_put(p->kind, (VMBI_DESCRIPTOR + head) / 8, size / 8, p->flags));
	VMBI_WRITE64(vmbi_ring_word(r, start + 8), p->id);
	if (head) {
		uint32_t set = p->kind == VMB_PKT_XFER ? p->page_set : 0;

		VMBI_WRITE64(vmbi_ring_word(r, start + VMBI_DESCRIPTOR), (uint64_t)p->list.ranges << 32 | set);
		vmbi_ring_words(r, start + VMBI_DESCRIPTOR + 8, p->list.words, head / 8 - 1);
	}
	if (p->len & 7)
		VMBI_WRITE64(vmbi_ring_word(r, end - 8), 0);
	VMBI_WRITE64(vmbi_ring_word(r, end), (uint64_t)start << 32);
	vmbi_tx_advance(tx, start, size + VMBI_FOOTER);
	*payload = start + VMBI_DESCRIPTOR + head;
	return 0;
}

/* The view of a payload at pos. */
static inline void tx_view(const struct vmb_tx *tx, struct vmb_view *view, uint32_t pos, uint32_t len)
{
	view->pos = vmbi_ring_forward(pos, 0, tx->ring.size);
	view->len = len;
}

int vmb_tx_reserve(struct vmb_tx *tx, const struct vmb_packet *p, struct vmb_view *payload)
{
	uint32_t pos;
	int r;

	if (!tx_ours(tx) || !tx_given(p) || !tx_given(payload))
		return VMB_EINVAL;
	pos = tx->next + VMBI_DESCRIPTOR;
	if (!vmbi_tx_frame(tx, p, p->id)) {
		r = tx_frame_any(tx, p, &pos);
		if (r)
			return r;
	}
	tx_view(tx, payload, pos, p->len);
	return 0;
}

void *vmb_tx_place(struct vmb_tx *tx, const struct vmb_packet *p)
{
	return tx_ours(tx) && tx_given(p) ? vmbi_tx_frame(tx, p, p->id) : NULL;
}

static VMBI_RING_LONG int tx_put_any(struct vmb_tx *tx, const struct vmb_packet *p)
{
	uint32_t pos;
	int r = tx_frame_any(tx, p, &pos);

	if (!r)
		vmbi_ring_write(&tx->ring, pos, p->payload, p->len);
	return r;
}

int vmb_tx_put(struct vmb_tx *tx, const struct vmb_packet *p)
{
	uint8_t *to;

	if (!tx_ours(tx) || !tx_given(p) || (p->len && !tx_given(p->payload)))
		return VMB_EINVAL;
	to = vmbi_tx_frame(tx, p, p->id);
	if (!to)
		return tx_put_any(tx, p);
	VMBI_PAYLOAD_IN(to, p->payload, p->len);
	return 0;
}

/* Do the parts make up exactly len bytes? */
static int tx_parts_fit(const struct vmb_span *parts, uint32_t n, uint32_t len)
{
	for (uint32_t i = 0; i < n; i++) {
		if (parts[i].len > len || (parts[i].len && !tx_given(parts[i].base)))
			return 0;
		len -= (uint32_t)parts[i].len;
	}
	return !len;
}

int vmb_tx_putv(struct vmb_tx *tx, const struct vmb_packet *p, const struct vmb_span *parts, uint32_t n)
{
	uint32_t pos;
	int r;

	if (!tx_ours(tx) || !tx_given(p) || (n && !tx_given(parts)))
		return VMB_EINVAL;
	if (!tx_parts_fit(parts, n, p->len))
		return tx_refuse(tx, VMB_EINVAL);
	r = tx_frame_any(tx, p, &pos);
	if (r)
		return r;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = (uint32_t)parts[i].len;

		vmbi_ring_write(&tx->ring, pos, parts[i].base, len);
		pos += len;
	}
	return 0;
}

/* ---- publishing */

int vmb_tx_commit(struct vmb_tx *tx)
{
	const struct vmbi_ring *r;
	uint32_t old, mask, out;

	if (!tx_ours(tx))
		return VMB_EINVAL;
	r = &tx->ring;
	if (tx->stick.reason)
		return VMB_EPEER;
	if (tx->next == tx->pub)
		return 0;
	if (tx->pending) { /* before In: or the consumer acts on a size that nobody waits for any more */
		vmbi_ring_store(r, VMBI_RING_PENDING, 0);
		tx->pending = 0;
	}
	vmbi_ring_publish(r, VMBI_RING_IN, tx->next); /* P2; P3 with the consumer's mask and Out */
	tx_mark(tx);
	vmbi_ring_mark_control(&tx->dirty);
	vmbi_ring_count(&tx->packets, tx->fresh);
	tx->fresh = 0;
	old = tx->pub;
	tx->pub = tx->next;
	vmbi_ring_count(&tx->bytes, vmbi_ring_used(tx->pub, old, r->size));

	mask = vmbi_ring_load(r, VMBI_RING_MASK);
	out = vmbi_ring_load(r, VMBI_RING_OUT);
	if (!vmbi_ring_index_ok(out, r->size))
		return tx_violated(tx, out);
	if (out != old) /* it had not drained yet, or has already seen these packets: it will look again */
		return 0;
	vmbi_ring_count(mask ? &tx->masked : &tx->signals, 1);
	return mask ? 0 : VMB_SIGNAL;
}

int vmb_tx_discard(struct vmb_tx *tx)
{
	if (!tx_ours(tx))
		return VMB_EINVAL;
	if (tx->stick.reason)
		return VMB_EPEER;
	tx_mark(tx);
	tx->next = tx->pub;
	tx->room = 0; /* look again */
	tx->fresh = 0;
	return 0;
}

int vmb_tx_arm(struct vmb_tx *tx, const struct vmb_packet *p, uint32_t least)
{
	uint32_t head, most, want;
	uint64_t total, need;
	int r;

	if (!tx_ours(tx) || !tx_given(p))
		return VMB_EINVAL;
	r = vmbi_packet_head(p, &head);
	if (r)
		return tx_refuse(tx, r);
	total = vmbi_packet_total(head, p->len);
	most = tx->ring.size - 8;
	if (!tx_possible(tx, total))
		return tx_refuse(tx, VMB_ETOOBIG);
	if (tx->stick.reason)
		return VMB_EPEER;
	need = total + vmbi_ring_used(tx->next, tx->pub, tx->ring.size); /* the consumer computes from the published In */
	if (need < least)
		need = ((uint64_t)least + 7) & ~(uint64_t)7;
	want = need < most ? (uint32_t)need : most;
	vmbi_ring_publish(&tx->ring, VMBI_RING_PENDING, want); /* P5; P4 with the consumer's Out */
	tx->pending = want;
	r = tx_look(tx);
	if (!r && total <= tx->room) {
		vmbi_ring_store(&tx->ring, VMBI_RING_PENDING, 0);
		tx->pending = 0;
		r = VMB_YES;
	}
	vmbi_ring_mark_control(&tx->dirty);
	return r;
}

/* ---- filling in place */

int vmb_tx_spans(const struct vmb_tx *tx, const struct vmb_view *v, uint32_t offset, struct vmb_span *spans, uint32_t n)
{
	if (!tx_ours(tx) || !tx_given(v) || (n && !tx_given(spans)))
		return VMB_EINVAL;
	if (tx->stick.reason || !vmbi_ring_within(&tx->ring, v, offset, 0))
		return tx_refuse(tx, VMB_EINVAL);
	return vmbi_ring_spans(&tx->ring, v->pos + offset, v->len - offset, spans, n);
}

int vmb_tx_copy(struct vmb_tx *tx, const struct vmb_view *v, uint32_t offset, const void *src, uint32_t n)
{
	if (!tx_ours(tx) || !tx_given(v) || (n && !tx_given(src)))
		return VMB_EINVAL;
	if (tx->stick.reason || !vmbi_ring_within(&tx->ring, v, offset, n))
		return tx_refuse(tx, VMB_EINVAL);
	vmbi_ring_write(&tx->ring, v->pos + offset, src, n);
	return 0;
}
