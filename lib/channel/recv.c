/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Receiving: packets are taken out of the ring one by one, copied once, and judged from the copy. Completions find their requests here.
 *
 * When space goes back to the peer: after a copy, once a quarter of the ring is due; at 0, before sleeping; and by vmb_channel_release. A
 * release costs a full fence, so not for every packet. Nothing may be held back while waiting for the peer (ring.md 8.5); recv waits for
 * nothing, and who stops calling it before it gave 0, to wait for something else, calls release.
 */
#include "channel.h"

#define RECV_PASSED_MAX 64u /* completions without a request that one call passes over. ring.md 9.1 rule 11 */

static __attribute__((noinline, cold)) int recv_violation(struct vmb_channel *ch, uint32_t reason, uint32_t at)
{
	VMBI_STORE32_RELAXED(&ch->rx.stick.at, at);
	VMBI_STORE32_RELEASE(&ch->rx.stick.reason, reason);
	return vmbi_channel_break(ch);
}

/* An error of the ring's. */
static __attribute__((noinline, cold)) int recv_failed(struct vmb_channel *ch, int r)
{
	return r == VMB_EPEER ? vmbi_channel_break(ch) : r;
}

static __attribute__((noinline)) int recv_release(struct vmb_channel *ch)
{
	int r = vmb_rx_release(&ch->rx);

	if (r < 0)
		return recv_failed(ch, r);
	if (r & VMB_SIGNAL && ch->signal)
		ch->signal(ch->ctx);
	return 0;
}

/* After a copy: is enough space due? A violation found by the way is told by the next call: this packet is good. */
static inline void recv_due(struct vmb_channel *ch)
{
	if (vmbi_ring_used(ch->rx.next, ch->rx.pub, ch->rx.ring.size) >= ch->rx.ring.size / 4)
		(void)recv_release(ch);
}

/* The ring is empty, or dead. 0: sleep. VMB_YES: look again. */
static __attribute__((noinline)) int recv_idle(struct vmb_channel *ch, int r)
{
	if (r < 0)
		return recv_failed(ch, r);
	if (ch->flags & VMB_CHANNEL_POLLED)
		return recv_release(ch);
	r = vmb_rx_sleep(&ch->rx);
	if (r < 0)
		return recv_failed(ch, r);
	if (r & VMB_SIGNAL && ch->signal)
		ch->signal(ch->ctx);
	return r & VMB_YES;
}

/* Undo the last vmb_rx_next, which gave this view of a packet at start. */
static void recv_back(struct vmb_channel *ch, const struct vmb_view *all, uint32_t start)
{
	ch->rx.next = start;
	ch->rx.left += VMBI_DESCRIPTOR + all->len + VMBI_FOOTER;
	ch->rx.fresh--;
}

/* ---- what kind of packet */

static void recv_unmatched(struct vmb_channel *ch)
{
	VMBI_WRITE64(&ch->unmatched, VMBI_READ64(&ch->unmatched) + 1);
}

static inline void recv_late(struct vmb_packet *p, uint32_t late)
{
	p->flags = (uint16_t)((p->flags & (VMB_PKT_LATE - 1)) | late);
}

/* A completion, taken: VMB_YES if it is for the caller, 0 if no request is waiting for it. */
static inline int recv_match(struct vmb_channel *ch, struct vmb_packet *p)
{
	uint32_t late;

	if (!ch->requests.size)
		return VMB_YES;
	if (vmbi_request_complete(&ch->requests, p->id, &p->user, &late) < 0) {
		recv_unmatched(ch);
		return 0;
	}
	recv_late(p, late);
	return VMB_YES;
}

/* Judge the header of a GPA direct or transfer page packet from the copy in buf, and point p->list at it. ring.md 5.3, 5.4, 9.1 */
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

static inline int recv_is_listed(const struct vmb_packet *p)
{
	return p->kind == VMB_PKT_GPA || p->kind == VMB_PKT_XFER;
}

/* The packet in *p is a pipe packet: VMB_YES, and *data its data of p->len bytes; or VMB_EPEER. ring.md 6 */
static int recv_pipe(struct vmb_channel *ch, struct vmb_packet *p, const struct vmb_view *all, uint32_t start, struct vmb_view *data)
{
	uint8_t header[VMBI_PIPE_HEADER];
	uint32_t len;

	if (p->len < VMBI_PIPE_HEADER || vmb_rx_copy(&ch->rx, all, 0, header, sizeof header))
		return recv_violation(ch, VMB_R_PIPE, start);
	len = vmbi_get32(header + 4);
	/* Types 2 to 5 are for what is not done over a ring, or not at all: rewriting one's own ring, memory set up by handle. */
	if (vmbi_get32(header) != VMBI_PIPE_DATA || len > p->len - VMBI_PIPE_HEADER || len > VMBI_PIPE_MAX)
		return recv_violation(ch, VMB_R_PIPE, start);
	if (len > ch->max_pipe)
		return recv_violation(ch, VMB_R_PAYLOAD, start);
	p->len = len;
	*data = vmbi_channel_strip(all, len, ch->rx.ring.size);
	return VMB_YES;
}

/* ---- one packet */

#define RECV_PASSED 2 /* it was not for the caller */

/*
 * The next packet, taken and checked as far as its descriptor and pipe header go. VMB_YES: *all is what it is in the ring, *data what of it
 * the caller gets. 0: the ring is empty. Or an error.
 */
static inline __attribute__((always_inline)) int recv_take(struct vmb_channel *ch, struct vmb_packet *p, struct vmb_view *all,
							   struct vmb_view *data)
{
	uint32_t start = ch->rx.next;
	int r = vmb_rx_next(&ch->rx, p, all);

	if (r != VMB_YES)
		return r;
	*data = *all;
	if (ch->flags & VMB_CHANNEL_PIPE && p->kind == VMB_PKT_INBAND)
		return recv_pipe(ch, p, all, start, data);
	return p->len > ch->max_payload ? recv_violation(ch, VMB_R_PAYLOAD, start) : VMB_YES;
}

/* The buffer is too small: say what it needs and leave it, unless nobody wants it anyway. */
static __attribute__((noinline, cold)) int recv_small(struct vmb_channel *ch, struct vmb_packet *p, const struct vmb_view *all, uint32_t start)
{
	uint32_t late = 0;

	if (p->kind == VMB_PKT_COMPLETION && ch->requests.size) {
		if (vmbi_request_look(&ch->requests, p->id, &p->user, &late) < 0) {
			recv_unmatched(ch);
			return RECV_PASSED;
		}
		recv_late(p, late);
	}
	recv_back(ch, all, start);
	ch->too_small = 1;
	return VMB_ETOOSMALL;
}

/* Take one and copy it. VMB_YES, RECV_PASSED, 0: the ring is empty, or an error. */
static inline __attribute__((always_inline)) int recv_one(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p)
{
	uint32_t start = ch->rx.next;
	struct vmb_view all, data;
	int r = recv_take(ch, p, &all, &data);

	if (r != VMB_YES)
		return r;
	if (data.len > bytes)
		return recv_small(ch, p, &all, start);
	ch->too_small = 0;
	if (p->kind == VMB_PKT_COMPLETION && !recv_match(ch, p))
		return RECV_PASSED;
	(void)vmb_rx_copy(&ch->rx, &data, 0, buf, data.len);
	if (p->head_len && recv_is_listed(p) && recv_list(p, buf))
		return recv_violation(ch, VMB_R_RANGES, start);
	p->payload = (const void *)((uintptr_t)buf + p->head_len);
	return VMB_YES;
}

int vmb_channel_recv(struct vmb_channel *ch, void *buf, size_t bytes, struct vmb_packet *p)
{
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, p && (buf || !bytes) && !((uintptr_t)buf % 8));
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	for (uint32_t budget = RECV_PASSED_MAX; budget; budget--) {
		int r = recv_one(ch, buf, bytes, p);

		if (r == VMB_YES) {
			recv_due(ch);
			return r;
		}
		if (r == RECV_PASSED)
			continue;
		r = recv_idle(ch, r);
		if (r <= 0)
			return r;
	}
	recv_due(ch);
	return VMB_EAGAIN;
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
		int r = recv_take(ch, p, &whole, all);

		if (r == VMB_YES) {
			ch->too_small = 0;
			if (p->kind != VMB_PKT_COMPLETION || recv_match(ch, p))
				return r;
			continue;
		}
		r = recv_idle(ch, r);
		if (r <= 0)
			return r;
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
	if (!ch->too_small)
		return VMB_ESTATE;
	r = vmb_rx_next(&ch->rx, &p, &all);
	if (r < 0)
		return recv_failed(ch, r);
	ch->too_small = 0;
	if (r && p.kind == VMB_PKT_COMPLETION)
		(void)recv_match(ch, &p);
	recv_due(ch);
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
	*rec = (struct vmb_record){ p->kind, p->flags, offset, p->head_len, p->len, p->id, p->user, p->list.ranges, p->page_set, 0 };
}

/* Packets into buf as long as there are any and they fit. How many; *why: what there was instead of one more. */
static uint32_t recv_records(struct vmb_channel *ch, uint8_t *buf, uint32_t bytes, struct vmb_record *recs, uint32_t n, int *why)
{
	uint32_t used = 0, i = 0, budget = RECV_PASSED_MAX;

	*why = VMB_EAGAIN;
	while (i < n && used <= bytes && budget) {
		struct vmb_packet p;
		int r = recv_one(ch, buf + used, bytes - used, &p);

		if (r == RECV_PASSED) {
			budget--;
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
	for (uint32_t turns = RECV_PASSED_MAX; turns; turns--) {
		count = recv_records(ch, buf, bytes, recs, n, &r);
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
