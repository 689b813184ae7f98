/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The short ways of a packet through both halves: in-band data and completions without a variable header, in a row of memory. They are what
 * a packet costs, so they are compiled into each call that puts or takes one, of halves and of channels. All others go the way of
 * tx.c and rx.c.
 */
#ifndef VMBI_RING_SHORTWAY_H
#define VMBI_RING_SHORTWAY_H

#include "access.h"
#include "../protocol/packet.h"

/* ---- into the ring. ring.md 4 */

static inline void vmbi_tx_advance(struct vmb_tx *tx, uint32_t start, uint32_t total)
{
	tx->next = vmbi_ring_forward(start, total, tx->ring.size);
	tx->room -= total;
	tx->fresh++;
}

/* Is this, kind and flags of a first word, a packet that has no variable header and may be sent? */
static inline int vmbi_tx_plain(uint64_t first)
{
	return (first & ~((uint64_t)VMB_PKT_WANTS_REPLY << 48)) == VMB_PKT_INBAND || first == VMB_PKT_COMPLETION;
}

/*
 * Write all but the payload of a packet with this id that is plain, fits for certain and lies in a row, and count it in. Where its
 * payload goes; NULL: it is not such a packet, and nothing has happened.
 */
static VMBI_RING_SHORT uint8_t *vmbi_tx_frame(struct vmb_tx *tx, const struct vmb_packet *p, uint64_t id)
{
	uint64_t first = p->kind | (uint64_t)p->flags << 48;
	uint64_t total = vmbi_packet_total(0, p->len);
	uint32_t start = tx->next;
	uint8_t *to, *end;

	if (!vmbi_tx_plain(first) || (p->list.count | p->list.ranges) || total > tx->room)
		return NULL;
	to = vmbi_ring_row(&tx->ring, start, (uint32_t)total);
	if (!to)
		return NULL;
	end = to + (uint32_t)total - VMBI_FOOTER;
	VMBI_WRITE64(to, first | VMBI_DESCRIPTOR / 8 << 16 | (total - VMBI_FOOTER) / 8 << 32);
	VMBI_WRITE64(to + 8, id);
	if (p->len & 7)
		VMBI_WRITE64(end - 8, 0);
	VMBI_WRITE64(end, (uint64_t)start << 32);
	vmbi_tx_advance(tx, start, (uint32_t)total);
	return to + VMBI_DESCRIPTOR;
}

/* ---- out of it. ring.md 8.3, 9.1 */

/* Bytes that a packet takes, by its first word. */
static inline uint32_t vmbi_rx_total(uint64_t word)
{
	return ((uint32_t)(word >> 32) & 0xffff) * 8 + VMBI_FOOTER;
}

/*
 * Fetch the first word of the packet at start, which is rx->next; it is there. Is it one that nearly all packets have: in-band or completion, no
 * header, known flags, all of it there, and in a row? Then that is at *at, with a payload of *len bytes. The others go the way of
 * vmbi_descriptor_check, which agrees.
 */
static VMBI_RING_SHORT int vmbi_rx_plain(const struct vmb_rx *rx, uint32_t start, uint64_t *word, const uint8_t **at, size_t *len)
{
	uint64_t fixed;
	uint32_t end, total;

	*at = vmbi_ring_at(&rx->ring, start, &end);
	*word = VMBI_READ64(*at);
	fixed = *word & ~((uint64_t)VMB_PKT_WANTS_REPLY << 48 | (uint64_t)VMBI_LEN8_MAX << 32);
	if (fixed != (VMB_PKT_INBAND | 2 << 16) && VMBI_RARELY(fixed != (VMB_PKT_COMPLETION | 2 << 16)))
		return 0;
	total = vmbi_rx_total(*word);
	if (VMBI_RARELY(total < VMBI_DESCRIPTOR + VMBI_FOOTER) || VMBI_RARELY(total > rx->left) || VMBI_RARELY(start + total > end))
		return 0;
	*len = total - VMBI_DESCRIPTOR - VMBI_FOOTER;
	return 1;
}

/* Take the packet at start, whose first word has been fetched and checked: *p is what that says and the id, which is at `id`. */
static VMBI_RING_SHORT void vmbi_rx_take(struct vmb_rx *rx, uint32_t start, uint64_t word, const uint8_t *id, const void *payload,
					 struct vmb_packet *p)
{
	uint32_t total = vmbi_rx_total(word);

	p->kind = (uint16_t)word;
	p->flags = (uint16_t)(word >> 48);
	p->len = total - VMBI_DESCRIPTOR - VMBI_FOOTER;
	p->id = VMBI_READ64(id);
	p->user = 0;
	p->payload = payload;
	VMBI_MEMSET(&p->list, 0, sizeof *p - offsetof(struct vmb_packet, list));
	rx->next = vmbi_ring_forward(start, total, rx->ring.size);
	rx->left -= total;
	rx->fresh++;
}

/* Everything known has been taken: look at In. VMB_YES, 0 or VMB_EPEER. */
int vmbi_rx_look(struct vmb_rx *rx);
/* Take the packet at next, whatever it is; word is its first, fetched. VMB_YES or VMB_EPEER. */
int vmbi_rx_take_any(struct vmb_rx *rx, uint64_t word, struct vmb_packet *p, struct vmb_view *all);

#endif /* VMBI_RING_SHORTWAY_H */
