/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The consumer of a ring: packets are given out in place, then released together. Its own words (Out, mask) are kept privately
 * and only ever stored; of the producer's, each is loaded once per decision, each descriptor word once. ring.md 8.3, 9.1, 10
 */
#include "short.h"
#include "../abi.h"

/* VMB_CHECKED builds: is this a consumer? */
static inline int rx_ours(const struct vmb_rx *rx)
{
	return !VMBI_RING_CHECKED || (rx && rx->ring.magic == VMBI_RX_MAGIC);
}

static inline int rx_given(const void *p)
{
	return !VMBI_RING_CHECKED || p;
}

/* ---- making and unmaking */

int vmbi_rx_setup(struct vmb_rx *rx, uint8_t **table, const struct vmb_ring_mem *mem, const struct vmb_cursor *from)
{
	const struct vmbi_ring *r = &rx->ring;
	uint32_t in;

	if (vmbi_ring_check(mem))
		return VMB_EINVAL;
	VMBI_MEMSET(rx, 0, sizeof *rx);
	if (vmbi_ring_place(&rx->ring, table, mem) || !vmbi_ring_cursor_ok(r, from))
		return VMB_EINVAL;
	if (from && from->valid) {
		rx->pub = from->index;
		rx->mask = from->armed != 0;
	} else { /* what the mask is found to be does not matter: the first packet sets it, the first sleep clears it */
		if (mem->flags & VMB_RING_FRESH)
			VMBI_CLEAR(r->control, VMB_PAGE);
		rx->pub = vmbi_ring_load(r, VMBI_RING_OUT);
	}
	in = vmbi_ring_acquire(r, VMBI_RING_IN);
	if (!vmbi_ring_index_ok(rx->pub, r->size) || !vmbi_ring_index_ok(in, r->size))
		return VMB_EPEER;
	rx->next = rx->pub;
	rx->ring.magic = VMBI_RX_MAGIC;
	return 0;
}

/* The struct, then the page table. */
static struct vmb_rx *rx_carve(void *mem, const struct vmb_ring_mem *ring, uint8_t ***table, struct vmb_storage *need)
{
	struct vmbi_carve c = { mem, 0 };
	struct vmb_rx *rx = vmbi_carve(&c, 1, sizeof *rx);

	*table = vmbi_carve(&c, vmbi_ring_table(ring), sizeof **table);
	(void)vmbi_carve_end(&c, need);
	return rx;
}

int vmb_rx_storage(const struct vmb_ring_mem *ring, struct vmb_storage *need)
{
	uint8_t **table;

	if (!ring || !need || vmbi_ring_check(ring))
		return VMB_EINVAL;
	(void)rx_carve(NULL, ring, &table, need);
	return 0;
}

int vmb_rx_init(void *mem, size_t bytes, const struct vmb_ring_mem *ring, const struct vmb_cursor *from, struct vmb_rx **rx)
{
	struct vmb_storage need;
	struct vmb_rx *made;
	uint8_t **table;
	int r;

	if (!rx || vmb_rx_storage(ring, &need))
		return VMB_EINVAL;
	r = vmbi_storage_fits(mem, bytes, &need);
	if (r)
		return r;
	made = rx_carve(mem, ring, &table, &need);
	r = vmbi_rx_setup(made, table, ring, from);
	if (!r)
		*rx = made;
	return r;
}

int vmb_rx_end(struct vmb_rx *rx, struct vmb_cursor *at)
{
	if (!rx_ours(rx))
		return VMB_EINVAL;
	if (at)
		(void)vmbi_rx_where(rx, at);
	rx->ring.magic = 0;
	return 0;
}

uint32_t vmb_rx_reason(const struct vmb_rx *rx, uint32_t *at)
{
	uint32_t reason = rx_ours(rx) ? VMBI_LOAD32_ACQUIRE(&rx->stick.reason) : 0;

	if (at)
		*at = reason ? VMBI_LOAD32_RELAXED(&rx->stick.at) : 0;
	return reason;
}

static VMBI_RING_COLD int rx_violated(struct vmb_rx *rx, uint32_t reason, uint32_t at)
{
	rx->left = 0;
	return vmbi_ring_stick(&rx->stick, reason, at);
}

/* A view that is none, unless the ring is dead anyway. */
static VMBI_RING_COLD int rx_refuse(const struct vmb_rx *rx)
{
	return rx->stick.reason ? VMB_EPEER : VMB_EINVAL;
}

/* ---- taking packets */

static void rx_mask(struct vmb_rx *rx)
{
	if (rx->mask)
		return;
	vmbi_ring_store(&rx->ring, VMBI_RING_MASK, 1); /* C6: late costs a signal at most */
	vmbi_ring_mark_control(&rx->dirty);
	rx->mask = 1;
}

VMBI_RING_LONG int vmbi_rx_look(struct vmb_rx *rx)
{
	uint32_t in;

	if (rx->stick.reason)
		return VMB_EPEER;
	in = vmbi_ring_acquire(&rx->ring, VMBI_RING_IN); /* C1 */
	if (!vmbi_ring_index_ok(in, rx->ring.size))
		return rx_violated(rx, VMB_R_INDEX, in);
	if (in == rx->next)
		return 0;
	rx->left = vmbi_ring_used(in, rx->next, rx->ring.size);
	rx_mask(rx);
	return VMB_YES;
}

/* What the word that counts the ranges says, and whether so many can be there. ring.md 9.1 rule 7 */
static inline int rx_ranges_fit(uint64_t word, const struct vmbi_descriptor *d)
{
	uint32_t words = d->data8 - 3;
	uint32_t ranges = (uint32_t)(word >> 32);

	return ranges && ranges <= (d->kind == VMB_PKT_GPA ? words / 2 : words);
}

/* The len bytes behind the descriptor at start. */
static inline struct vmb_view rx_view(const struct vmb_rx *rx, uint32_t start, uint32_t len)
{
	return (struct vmb_view){ vmbi_ring_forward(start, VMBI_DESCRIPTOR, rx->ring.size), len };
}

VMBI_RING_LONG int vmbi_rx_take_any(struct vmb_rx *rx, uint64_t word, struct vmb_packet *p, struct vmb_view *all)
{
	struct vmbi_descriptor d = vmbi_descriptor_get(word);
	uint32_t reason = vmbi_descriptor_check(&d, rx->left, (rx->ring.flags & VMB_RING_LOOSE) != 0);
	uint32_t start = rx->next;
	uint64_t ranges = 0;

	if (!reason && (d.kind == VMB_PKT_GPA || d.kind == VMB_PKT_XFER)) {
		ranges = VMBI_READ64(vmbi_ring_word(&rx->ring, start + VMBI_DESCRIPTOR));
		reason = rx_ranges_fit(ranges, &d) ? 0 : VMB_R_RANGES;
	}
	if (reason)
		return rx_violated(rx, reason, start);
	*all = rx_view(rx, start, vmbi_rx_total(word) - VMBI_DESCRIPTOR - VMBI_FOOTER);
	vmbi_rx_take(rx, start, word, vmbi_ring_word(&rx->ring, start + 8), NULL, p);
	p->head_len = d.data8 * 8 - VMBI_DESCRIPTOR;
	p->len -= p->head_len;
	if (ranges) {
		rx->head = ranges;
		p->list.count = d.data8 - 3;
		p->list.ranges = (uint32_t)(ranges >> 32);
		p->page_set = d.kind == VMB_PKT_XFER ? (uint16_t)ranges : 0;
	}
	return VMB_YES;
}

/* The packet at next, in place; there are bytes left. */
static VMBI_RING_SHORT int rx_next(struct vmb_rx *rx, struct vmb_packet *p, struct vmb_view *all)
{
	uint32_t start = rx->next;
	const uint8_t *at;
	uint64_t word;
	size_t len;

	if (!vmbi_rx_plain(rx, start, &word, &at, &len))
		return vmbi_rx_take_any(rx, word, p, all);
	*all = rx_view(rx, start, (uint32_t)len);
	vmbi_rx_take(rx, start, word, at + 8, at + VMBI_DESCRIPTOR, p);
	return VMB_YES;
}

static VMBI_RING_LONG int rx_look_and_next(struct vmb_rx *rx, struct vmb_packet *p, struct vmb_view *all)
{
	int r = vmbi_rx_look(rx);

	return r == VMB_YES ? rx_next(rx, p, all) : r;
}

int vmb_rx_next(struct vmb_rx *rx, struct vmb_packet *p, struct vmb_view *all)
{
	if (!rx_ours(rx) || !rx_given(p) || !rx_given(all))
		return VMB_EINVAL;
	return rx->left ? rx_next(rx, p, all) : rx_look_and_next(rx, p, all);
}

/* The packet at next, copied: the way of those that are not plain, do not lie in a row, or for which there is no room. word is its first,
 * fetched. */
static VMBI_RING_LONG int rx_get_any(struct vmb_rx *rx, uint64_t word, void *buf, size_t bytes, struct vmb_packet *p)
{
	uint32_t start = rx->next, left = rx->left, done = 0;
	struct vmb_view all;
	int r = vmbi_rx_take_any(rx, word, p, &all);

	if (r != VMB_YES)
		return r;
	if (all.len > bytes) { /* as if it had not been taken */
		rx->next = start;
		rx->left = left;
		rx->fresh--;
		return VMB_ETOOSMALL;
	}
	if (p->list.count && all.len >= 8) { /* the second is so if the first is */
		vmbi_put64(buf, rx->head); /* as it was checked, whatever it is by now */
		done = 8;
	}
	vmbi_ring_read(&rx->ring, all.pos + done, (uint8_t *)buf + done, all.len - done);
	p->payload = (const uint8_t *)buf + p->head_len;
	return VMB_YES;
}

/* The packet at next, copied; there are bytes left. */
static VMBI_RING_SHORT int rx_get(struct vmb_rx *rx, void *buf, size_t bytes, struct vmb_packet *p)
{
	uint32_t start = rx->next;
	const uint8_t *at;
	uint64_t word;
	size_t len;

	if (!vmbi_rx_plain(rx, start, &word, &at, &len) || !len || len > bytes)
		return rx_get_any(rx, word, buf, bytes, p);
	vmbi_rx_take(rx, start, word, at + 8, buf, p);
	VMBI_PAYLOAD_OUT(buf, at + VMBI_DESCRIPTOR, len);
	return VMB_YES;
}

static VMBI_RING_LONG int rx_look_and_get(struct vmb_rx *rx, void *buf, size_t bytes, struct vmb_packet *p)
{
	int r = vmbi_rx_look(rx);

	return r == VMB_YES ? rx_get(rx, buf, bytes, p) : r;
}

int vmb_rx_get(struct vmb_rx *rx, void *buf, size_t bytes, struct vmb_packet *p)
{
	if (!rx_ours(rx) || !rx_given(p) || (bytes && !rx_given(buf)))
		return VMB_EINVAL;
	return rx->left ? rx_get(rx, buf, bytes, p) : rx_look_and_get(rx, buf, bytes, p);
}

int vmb_rx_rewind(struct vmb_rx *rx)
{
	if (!rx_ours(rx))
		return VMB_EINVAL;
	if (rx->stick.reason)
		return VMB_EPEER;
	rx->next = rx->pub;
	rx->left = 0; /* look again */
	rx->fresh = 0;
	return 0;
}

/* ---- giving space back */

/* All up to next is free: what does that make of Out? Gives the Out before. */
static inline uint32_t rx_settle(struct vmb_rx *rx)
{
	uint32_t old = rx->pub;

	vmbi_ring_mark_control(&rx->dirty);
	vmbi_ring_count(&rx->packets, rx->fresh);
	rx->fresh = 0;
	rx->pub = rx->next;
	vmbi_ring_count(&rx->bytes, vmbi_ring_used(rx->pub, old, rx->ring.size));
	return old;
}

/* Did moving Out from old to pub make the room that the producer waits for? pending and in are as sampled after that.
 * ring.md 10.1 */
static inline int rx_crossed(struct vmb_rx *rx, uint32_t pending, uint32_t in, uint32_t old)
{
	uint32_t size = rx->ring.size;

	if (!pending || vmbi_ring_raw(in, old, size) > pending || vmbi_ring_raw(in, rx->pub, size) <= pending)
		return 0;
	vmbi_ring_count(&rx->signals, 1);
	return VMB_SIGNAL;
}

int vmb_rx_release(struct vmb_rx *rx)
{
	const struct vmbi_ring *r;
	uint32_t old, pending, in;

	if (!rx_ours(rx))
		return VMB_EINVAL;
	r = &rx->ring;
	if (rx->stick.reason)
		return VMB_EPEER;
	if (rx->next == rx->pub)
		return 0;
	vmbi_ring_publish(r, VMBI_RING_OUT, rx->next); /* C2; C3 with the producer's pending size */
	old = rx_settle(rx);
	pending = vmbi_ring_acquire(r, VMBI_RING_PENDING); /* C4: before In */
	if (!pending)
		return 0;
	in = vmbi_ring_acquire(r, VMBI_RING_IN);
	if (!vmbi_ring_index_ok(in, r->size))
		return rx_violated(rx, VMB_R_INDEX, in);
	return rx_crossed(rx, pending, in, old);
}

int vmb_rx_sleep(struct vmb_rx *rx)
{
	const struct vmbi_ring *r;
	uint32_t old, pending, in;
	int facts;

	if (!rx_ours(rx))
		return VMB_EINVAL;
	r = &rx->ring;
	if (rx->stick.reason)
		return VMB_EPEER;
	if (rx->next != rx->pub)
		vmbi_ring_release(r, VMBI_RING_OUT, rx->next); /* C2 */
	vmbi_ring_publish(r, VMBI_RING_MASK, 0); /* C3 and C5: one fence for both */
	old = rx_settle(rx);
	rx->mask = 0;
	rx->left = 0; /* so that the next packet masks */
	pending = vmbi_ring_acquire(r, VMBI_RING_PENDING); /* C4: before In */
	in = vmbi_ring_acquire(r, VMBI_RING_IN);
	if (!vmbi_ring_index_ok(in, r->size))
		return rx_violated(rx, VMB_R_INDEX, in);
	facts = rx_crossed(rx, pending, in, old);
	return in == rx->pub ? facts : facts | VMB_YES;
}

int vmb_rx_mask(struct vmb_rx *rx)
{
	if (!rx_ours(rx))
		return VMB_EINVAL;
	if (rx->stick.reason)
		return VMB_EPEER;
	rx_mask(rx);
	return 0;
}

/* ---- reading in place */

int vmb_rx_spans(const struct vmb_rx *rx, const struct vmb_view *v, uint32_t offset, struct vmb_span *spans, uint32_t n)
{
	if (!rx_ours(rx) || !rx_given(v) || (n && !rx_given(spans)))
		return VMB_EINVAL;
	if (rx->stick.reason || !vmbi_ring_within(&rx->ring, v, offset, 0))
		return rx_refuse(rx);
	return vmbi_ring_spans(&rx->ring, v->pos + offset, v->len - offset, spans, n);
}

int vmb_rx_copy(const struct vmb_rx *rx, const struct vmb_view *v, uint32_t offset, void *dst, uint32_t n)
{
	const uint8_t *row;
	uint32_t pos;

	if (!rx_ours(rx) || !rx_given(v) || (n && !rx_given(dst)))
		return VMB_EINVAL;
	if (rx->stick.reason || !vmbi_ring_within(&rx->ring, v, offset, n))
		return rx_refuse(rx);
	pos = vmbi_ring_forward(v->pos, offset, rx->ring.size);
	row = vmbi_ring_row(&rx->ring, pos, n);
	if (row && n)
		VMBI_COPY_OUT(dst, row, n);
	else
		vmbi_ring_read(&rx->ring, pos, dst, n);
	return 0;
}
