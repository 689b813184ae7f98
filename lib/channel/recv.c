/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Receiving: packets are taken out of the ring one by one, copied once, and judged from the copy. Completions find their
 * requests here.
 *
 * When space goes back to the peer: after a copy, once about a quarter of the ring is due; at 0, before sleeping; and by
 * vmb_channel_release. A release costs a full fence, so not for every packet. Nothing may be held back while waiting for the
 * peer (ring.md 8.5); recv waits for nothing, and who stops calling it before it gave 0, to wait for something else, calls
 * release.
 *
 * Nearly all packets take the short way through vmb_channel_recv: in-band or a completion, no variable header, no pipe, the
 * buffer is large enough. What else there is to do is kept out of it, so that it costs little more than the ring does.
 */
#include "channel.h"
#include "../ring/short.h"

#define RECV_PASSED_MAX 64u /* completions without a request that one call passes over. ring.md 9.1 rule 11 */

/* ---- violations, and giving space back */

static VMBI_RING_COLD int recv_violation(struct vmb_channel *ch, uint32_t reason, uint32_t at)
{
	(void)vmbi_ring_stick(&ch->rx.stick, reason, at);
	return vmbi_channel_break(ch);
}

/* An error of the ring's. */
static VMBI_RING_COLD int recv_failed(struct vmb_channel *ch, int r)
{
	return r == VMB_EPEER ? vmbi_channel_break(ch) : r;
}

/* What a release or a sleep said. */
static int recv_released(struct vmb_channel *ch, int r)
{
	vmbi_channel_due(ch);
	if (r < 0)
		return recv_failed(ch, r);
	if (r & VMB_SIGNAL && ch->signal)
		ch->signal(ch->ctx);
	return r & VMB_YES;
}

static VMBI_RING_LONG int recv_release(struct vmb_channel *ch)
{
	return recv_released(ch, vmb_rx_release(&ch->rx));
}

/* n bytes of a packet were copied: is enough space due? A violation found by the way is told by the next call: this packet
 * is good. */
static inline void recv_due(struct vmb_channel *ch, uint32_t n)
{
	ch->due -= (int32_t)(VMBI_DESCRIPTOR + n + VMBI_FOOTER);
	if (ch->due < 0)
		(void)recv_release(ch);
}

/* The ring is empty, or dead. 0: sleep. VMB_YES: look again. */
static VMBI_RING_LONG int recv_idle(struct vmb_channel *ch, int r)
{
	if (r < 0)
		return recv_failed(ch, r);
	if (ch->flags & VMB_CHANNEL_POLLED)
		return recv_release(ch);
	vmbi_signals_settle(&ch->signals, ch->rx.mask);
	return recv_released(ch, vmb_rx_sleep(&ch->rx));
}

/* ---- going back by one packet. all: what vmb_rx_next gave */

static uint32_t recv_start(const struct vmb_channel *ch, const struct vmb_view *all)
{
	return vmbi_ring_forward(all->pos, ch->rx.ring.size - VMBI_DESCRIPTOR, ch->rx.ring.size);
}

static void recv_back(struct vmb_channel *ch, const struct vmb_view *all)
{
	ch->rx.next = recv_start(ch, all);
	ch->rx.left += VMBI_DESCRIPTOR + all->len + VMBI_FOOTER;
	ch->rx.fresh--;
}

/* The number of the packet at next, from 1. */
static uint64_t recv_number(const struct vmb_channel *ch)
{
	return VMBI_READ64(&ch->rx.packets) + ch->rx.fresh + 1;
}

/* ---- completions */

static void recv_unmatched(struct vmb_channel *ch)
{
	vmbi_ring_count(&ch->unmatched, 1);
}

/* The flag is the library's, whatever a loose ring lets through. */
static void recv_late(struct vmb_packet *p, uint32_t late)
{
	p->flags = (uint16_t)((p->flags & (VMB_PKT_LATE - 1)) | late);
}

/* A completion, taken: VMB_YES if it is for the caller, 0 if no request is waiting for it. */
static int recv_match(struct vmb_channel *ch, struct vmb_packet *p)
{
	uint32_t late = 0;

	if (!ch->requests.size)
		return VMB_YES;
	if (!vmbi_request_complete(&ch->requests, p->id, VMBI_REQUEST_LIVE, &p->user)) {
		if (!vmbi_request_complete(&ch->requests, p->id, VMBI_REQUEST_ZOMBIE, &p->user)) {
			recv_unmatched(ch);
			return 0;
		}
		late = VMB_PKT_LATE;
		VMBI_STORE32_RELAXED(&ch->requests.buried, ch->requests.buried + 1);
	}
	recv_late(p, late);
	return VMB_YES;
}

/* ---- variable headers, pipe headers */

static int recv_is_listed(const struct vmb_packet *p)
{
	return p->head_len && (p->kind == VMB_PKT_GPA || p->kind == VMB_PKT_XFER);
}

/* Copy a packet with a list: the word that counts the ranges has been fetched, and is not fetched again. ring.md 9.1 rules 4, 7 */
static void recv_copy_listed(const struct vmb_channel *ch, const struct vmb_view *all, uint8_t *buf)
{
	vmbi_put64(buf, ch->rx.head);
	(void)vmb_rx_copy(&ch->rx, all, 8, buf + 8, all->len - 8);
}

/* Judge the header of a GPA direct or transfer page packet from the copy in buf, and point p->list at it. ring.md 5.3, 5.4,
 * 9.1 */
static int recv_list(struct vmb_packet *p, void *buf)
{
	const uint8_t *head = buf;
	uint64_t *words = (uint64_t *)buf + 1;
	uint32_t count = p->head_len / 8 - 1, ranges = vmbi_get32(head + 4);

	if (VMBI_LE32(1u) != 1u)
		for (uint32_t i = 0; i < count; i++)
			words[i] = VMBI_LE64(words[i]);
	if (p->kind == VMB_PKT_GPA)
		return vmb_list_check(words, count, ranges, &p->list, NULL);
	if (!ranges || ranges > count)
		return VMB_EINVAL;
	for (uint32_t i = 0; i < ranges; i++)
		if (!(uint32_t)words[i])
			return VMB_EINVAL;
	p->page_set = vmbi_get16(head);
	p->list = (struct vmb_list){ words, ranges, ranges };
	return 0;
}

/* The packet in *p is a pipe packet: VMB_YES, its data of p->len bytes in *data; or VMB_EPEER. ring.md 6 */
static int recv_pipe(struct vmb_channel *ch, struct vmb_packet *p, const struct vmb_view *all, struct vmb_view *data)
{
	uint8_t header[VMBI_PIPE_HEADER];
	uint32_t len;

	if (vmb_rx_copy(&ch->rx, all, p->head_len, header, sizeof header)) /* there are fewer bytes */
		return recv_violation(ch, VMB_R_PIPE, recv_start(ch, all));
	len = vmbi_get32(header + 4);
	/* Types 2 to 5 are for what is not done over a ring, or not at all: rewriting one's own ring, memory set up by handle. */
	if (vmbi_get32(header) != VMBI_PIPE_DATA || len > p->len - VMBI_PIPE_HEADER || len > VMBI_PIPE_MAX)
		return recv_violation(ch, VMB_R_PIPE, recv_start(ch, all));
	if (len > ch->max_pipe)
		return recv_violation(ch, VMB_R_PAYLOAD, recv_start(ch, all));
	*data = vmbi_channel_strip(all, p->head_len + VMBI_PIPE_HEADER, len, ch->rx.ring.size);
	p->payload = p->payload ? (const uint8_t *)p->payload + VMBI_PIPE_HEADER : NULL;
	p->len = len;
	p->head_len = 0;
	return VMB_YES;
}

/* A packet just taken: is it one that this channel may be sent? VMB_YES and what of it the caller gets, or VMB_EPEER. */
static int recv_check(struct vmb_channel *ch, struct vmb_packet *p, const struct vmb_view *all, struct vmb_view *data)
{
	*data = *all;
	if (ch->flags & VMB_CHANNEL_PIPE && p->kind == VMB_PKT_INBAND)
		return recv_pipe(ch, p, all, data);
	return p->len > ch->max_payload ? recv_violation(ch, VMB_R_PAYLOAD, recv_start(ch, all)) : VMB_YES;
}

/* ---- one packet */

#define RECV_PASSED 2 /* it was not for the caller */

/* The buffer is too small: say what it needs and leave it, unless nobody wants it anyway. */
static VMBI_RING_COLD int recv_small(struct vmb_channel *ch, struct vmb_packet *p, const struct vmb_view *all)
{
	uint32_t late = 0;

	if (p->kind == VMB_PKT_COMPLETION && ch->requests.size) {
		if (vmbi_request_look(&ch->requests, p->id, &p->user, &late) < 0) {
			recv_unmatched(ch);
			return RECV_PASSED;
		}
		recv_late(p, late);
	}
	p->payload = NULL;
	recv_back(ch, all);
	ch->too_small = recv_number(ch);
	return VMB_ETOOSMALL;
}

/* Any packet just taken: into buf with it. VMB_YES, RECV_PASSED, or an error. */
static VMBI_RING_LONG int recv_any(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p,
				   const struct vmb_view *all)
{
	struct vmb_view data;
	int r = recv_check(ch, p, all, &data);

	if (r != VMB_YES)
		return r;
	if (data.len > bytes)
		return recv_small(ch, p, all);
	if (p->kind == VMB_PKT_COMPLETION && !recv_match(ch, p))
		return RECV_PASSED;
	if (recv_is_listed(p)) {
		recv_copy_listed(ch, &data, buf);
		if (recv_list(p, buf))
			return recv_violation(ch, VMB_R_RANGES, recv_start(ch, all));
	} else {
		(void)vmb_rx_copy(&ch->rx, &data, 0, buf, data.len);
	}
	p->payload = (const void *)((uintptr_t)buf + p->head_len);
	return VMB_YES;
}

/* vmb_rx_next said r, or RECV_PASSED: the packet that it gave was. The rest of the call, whatever there is. */
static VMBI_RING_LONG int recv_long(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p, struct vmb_view *all,
				    int r)
{
	for (uint32_t budget = RECV_PASSED_MAX;;) {
		if (r == VMB_YES)
			r = recv_any(ch, buf, bytes, p, all);
		if (r <= 0) {
			r = recv_idle(ch, r);
			if (r <= 0)
				return r;
		} else {
			recv_due(ch, all->len);
			if (r == VMB_YES)
				return r;
		}
		if (!--budget)
			return VMB_EAGAIN;
		r = vmb_rx_next(&ch->rx, p, all);
	}
}

/* ---- the short way */

/* The packet at next is not for it; word is its first, fetched. */
static VMBI_RING_LONG int recv_word(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p, uint64_t word)
{
	struct vmb_view all;
	int r = vmbi_rx_take_any(&ch->rx, word, p, &all);

	return recv_long(ch, buf, bytes, p, &all, r);
}

/* So much space is due with this packet that it is given back now. */
static VMBI_RING_LONG int recv_last(struct vmb_channel *ch, void *buf, const uint8_t *at, uint32_t len)
{
	VMBI_PAYLOAD_OUT(buf, at, len);
	(void)recv_release(ch);
	return VMB_YES;
}

/* A packet for the caller, taken, with len bytes at `at`. */
static VMBI_RING_SHORT int recv_give(struct vmb_channel *ch, void *buf, const uint8_t *at, uint32_t len)
{
	ch->due -= (int32_t)(VMBI_DESCRIPTOR + len + VMBI_FOOTER);
	if (VMBI_RARELY(ch->due < 0))
		return recv_last(ch, buf, at, len);
	VMBI_PAYLOAD_OUT(buf, at, len);
	return VMB_YES;
}

/* A completion, taken, that no live request waits for. */
static VMBI_RING_LONG int recv_other(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p, const uint8_t *at)
{
	struct vmb_view all = { 0, p->len };

	return recv_match(ch, p) ? recv_give(ch, buf, at, p->len) : recv_long(ch, buf, bytes, p, &all, RECV_PASSED);
}

static VMBI_RING_LONG int recv_completion(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p, const uint8_t *at)
{
	if (!vmbi_request_complete(&ch->requests, p->id, VMBI_REQUEST_LIVE, &p->user))
		return recv_other(ch, buf, bytes, p, at);
	return recv_give(ch, buf, at, p->len);
}

/* The packet at next; there are bytes left. */
static VMBI_RING_SHORT int recv_short(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p)
{
	uint32_t start = ch->rx.next;
	const uint8_t *at;
	uint64_t word;
	size_t len;

	if (!vmbi_rx_plain(&ch->rx, start, &word, &at, &len) || len >= ch->short_below || len > bytes)
		return recv_word(ch, buf, bytes, p, word);
	vmbi_rx_take(&ch->rx, start, word, at + 8, buf, p);
	at += VMBI_DESCRIPTOR;
	return p->kind == VMB_PKT_COMPLETION ? recv_completion(ch, buf, bytes, p, at) : recv_give(ch, buf, at, p->len);
}

static VMBI_RING_LONG int recv_look(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p)
{
	struct vmb_view none = { 0, 0 };
	int r = vmbi_rx_look(&ch->rx);

	return r == VMB_YES ? recv_short(ch, buf, bytes, p) : recv_long(ch, buf, bytes, p, &none, r);
}

int vmb_channel_recv(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p)
{
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, p && (buf || !bytes) && !((uintptr_t)buf % 8));
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	return ch->rx.left ? recv_short(ch, buf, bytes, p) : recv_look(ch, buf, bytes, p);
}

int vmb_channel_next(struct vmb_channel *ch, struct vmb_packet *p, struct vmb_view *all)
{
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, p && all);
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	for (uint32_t budget = RECV_PASSED_MAX; budget; budget--) {
		struct vmb_view whole;
		int r = vmb_rx_next(&ch->rx, p, &whole);

		if (r == VMB_YES) {
			r = recv_check(ch, p, &whole, all);
			if (r < 0 || p->kind != VMB_PKT_COMPLETION || recv_match(ch, p))
				return r;
		} else {
			r = recv_idle(ch, r);
			if (r <= 0)
				return r;
		}
	}
	return VMB_EAGAIN;
}

int vmb_channel_skip(struct vmb_channel *ch)
{
	struct vmb_packet p;
	struct vmb_view all;
	uint32_t state;
	int r;

	VMBI_CHANNEL_CHECK(ch, 1);
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	if (ch->too_small != recv_number(ch))
		return VMB_ESTATE;
	r = vmb_rx_next(&ch->rx, &p, &all);
	if (r != VMB_YES)
		return recv_failed(ch, r);
	if (p.kind == VMB_PKT_COMPLETION)
		(void)recv_match(ch, &p);
	recv_due(ch, all.len);
	return 0;
}

int vmb_channel_release(struct vmb_channel *ch)
{
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, 1);
	state = VMBI_LOAD32_RELAXED(&ch->state);
	return state ? vmbi_channel_refusal(state) : recv_release(ch);
}

/* ---- several packets */

static void recv_record(struct vmb_record *rec, const struct vmb_packet *p, uint32_t offset)
{
	*rec = (struct vmb_record){ p->kind, p->flags, offset, p->head_len, p->len, p->id, p->user, p->list.ranges,
				    p->page_set, 0 };
}

/* Packets into buf as long as there are any and they fit. How many; *why: what there was instead of one more. *budget: of the call. */
static uint32_t recv_records(struct vmb_channel *ch, uint8_t *buf, uint32_t bytes, struct vmb_record *recs, uint32_t n, uint32_t *budget,
			     int *why)
{
	uint32_t used = 0, i = 0;

	*why = VMB_EAGAIN;
	while (i < n && used <= bytes && *budget) {
		struct vmb_packet p;
		struct vmb_view all;
		int r = vmb_rx_next(&ch->rx, &p, &all);

		if (r == VMB_YES)
			r = recv_any(ch, buf + used, bytes - used, &p, &all);
		if (r == RECV_PASSED) {
			--*budget;
			continue;
		}
		if (r == VMB_YES || r == VMB_ETOOSMALL)
			recv_record(&recs[i], &p, used);
		if (r != VMB_YES) {
			*why = r;
			break;
		}
		used += (p.head_len + p.len + 7) & ~7u;
		i++;
	}
	return i;
}

int vmb_channel_recv_batch(struct vmb_channel *ch, uint8_t *buf, uint32_t bytes, struct vmb_record *recs, uint32_t n)
{
	uint32_t state, count;
	int r;

	VMBI_CHANNEL_CHECK(ch, recs && buf);
	if (!n || n > INT32_MAX || bytes > INT32_MAX || (uintptr_t)buf % 8)
		return VMB_EINVAL;
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	for (uint32_t budget = RECV_PASSED_MAX; budget; budget--) {
		count = recv_records(ch, buf, bytes, recs, n, &budget, &r);
		if (count) {
			ch->too_small = 0; /* nobody was told */
			(void)recv_release(ch);
			return (int)count;
		}
		r = recv_idle(ch, r);
		if (r <= 0)
			return r;
	}
	return VMB_EAGAIN;
}
