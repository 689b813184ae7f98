/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Sending: packets are queued in the ring, then shown to the peer together. Requests get their ids here.
 *
 * When the ring is full. VMB_EFULL promises a wake, to whoever got it, and a peer signals only when a release of its takes the
 * free space across the pending size; publishing anything meanwhile would clear that size, or use up the space unseen by the
 * peer (ring.md 8.2, 10.1). So once a packet did not fit, what was queued is flushed, the pending size is stored, and the ring
 * counts as full: for every packet, until more than that size is free. In stands still all the time, so the peer's one crossing
 * signals for certain, and a smaller packet can neither break the promise nor starve the larger one.
 */
#include "channel.h"
#include "../ring/short.h"

/* A payload that is not at p->payload: in parts; or, with a view, to be filled in place by the caller. */
struct send_source {
	const struct vmb_span *parts;
	uint32_t n;
	struct vmb_view *view;
};

static inline int send_is_pipe(const struct vmb_channel *ch, const struct vmb_packet *p)
{
	return ch->flags & VMB_CHANNEL_PIPE && p->kind == VMB_PKT_INBAND;
}

/* The peer must be signalled: do it, or say so. The last act of every call. */
static int send_signal(struct vmb_channel *ch)
{
	if (ch->flags & VMB_CHANNEL_DEFER) {
		VMBI_STORE32_RELAXED(&ch->signals.deferred, ch->signals.deferred + 1);
		return VMB_SIGNAL;
	}
	if (ch->signal)
		ch->signal(ch->ctx);
	return 0;
}

/* ---- into the ring. from NULL: the payload is at p->payload */

static int send_parts_fit(const struct send_source *from, uint32_t len)
{
	for (uint32_t i = 0; i < from->n; i++) {
		if (from->parts[i].len > len)
			return 0;
		len -= (uint32_t)from->parts[i].len;
	}
	return !len;
}

/* Copy the payload into a view, behind the pipe header. */
static void send_fill(struct vmb_channel *ch, const struct vmb_view *v, const struct vmb_packet *p,
		      const struct send_source *from)
{
	struct vmb_span whole = { (void *)(uintptr_t)p->payload, p->len };
	const struct vmb_span *parts = from ? from->parts : &whole;
	uint32_t n = from ? from->n : 1, at = VMBI_PIPE_HEADER;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = (uint32_t)parts[i].len;

		if (len)
			(void)vmb_tx_copy(&ch->tx, v, at, parts[i].base, len);
		at += len;
	}
}

/* A pipe packet: its header goes before the data. ring.md 6 */
static int send_pipe(struct vmb_channel *ch, const struct vmb_packet *p, const struct send_source *from)
{
	struct vmb_packet framed = *p;
	uint8_t header[VMBI_PIPE_HEADER];
	struct vmb_view v;
	int r;

	if (p->len > VMBI_PIPE_MAX)
		return VMB_ETOOBIG;
	if (from && !from->view && !send_parts_fit(from, p->len))
		return VMB_EINVAL;
	framed.len += VMBI_PIPE_HEADER;
	r = vmb_tx_reserve(&ch->tx, &framed, &v);
	if (r)
		return r;
	vmbi_put32(header, VMBI_PIPE_DATA);
	vmbi_put32(header + 4, p->len);
	(void)vmb_tx_copy(&ch->tx, &v, 0, header, sizeof header);
	if (from && from->view)
		*from->view = vmbi_channel_strip(&v, VMBI_PIPE_HEADER, p->len, ch->tx.ring.size);
	else
		send_fill(ch, &v, p, from);
	return 0;
}

static inline int send_write(struct vmb_channel *ch, const struct vmb_packet *p, const struct send_source *from)
{
	if (send_is_pipe(ch, p))
		return send_pipe(ch, p, from);
	if (!from)
		return vmb_tx_put(&ch->tx, p);
	return from->view ? vmb_tx_reserve(&ch->tx, p, from->view) : vmb_tx_putv(&ch->tx, p, from->parts, from->n);
}

/* ---- the full ring */

/* Is there more free than was waited for? Then it is full no longer. A bad index is left to the ring to find. */
static int send_room(struct vmb_channel *ch)
{
	uint32_t size = ch->tx.ring.size;
	uint32_t out = VMBI_LE32(VMBI_LOAD32_ACQUIRE(ch->tx.ring.control + VMBI_RING_OUT));

	if (out < size && !(out & 7) && size - vmbi_ring_used(ch->tx.next, out, size) <= ch->want)
		return 0;
	ch->want = 0;
	ch->tx_long = ch->flags & VMB_CHANNEL_PIPE;
	return 1;
}

/*
 * It did not fit: flush, ask the peer for a signal, and if it fits meanwhile, put it. 0, VMB_SIGNAL (the flush wants one,
 * nobody has done it yet), or an error. With an error nobody could be told, so the signal is done here, whoever else does them.
 */
static VMBI_RING_COLD int send_full(struct vmb_channel *ch, const struct vmb_packet *p, const struct send_source *from)
{
	int facts = vmb_tx_commit(&ch->tx), r = VMB_EFULL;

	if (facts < 0)
		return facts;
	if (!(ch->flags & VMB_CHANNEL_POLLED)) {
		struct vmb_packet framed = *p;

		if (send_is_pipe(ch, p))
			framed.len += VMBI_PIPE_HEADER;
		vmbi_signals_ask(&ch->signals);
		r = vmb_tx_arm(&ch->tx, &framed, ch->least_free);
		if (r == VMB_YES) {
			r = send_write(ch, p, from);
		} else if (!r) {
			ch->want = ch->tx.pending;
			ch->tx_long = 1;
			r = VMB_EFULL;
		}
	}
	if (!r)
		return facts;
	if (facts & VMB_SIGNAL && ch->signal)
		ch->signal(ch->ctx);
	return r;
}

/* Anything but success of a write. What send_full says, with a violation made known. */
static VMBI_RING_COLD int send_refused(struct vmb_channel *ch, const struct vmb_packet *p, const struct send_source *from, int r)
{
	if (r == VMB_EFULL)
		r = send_full(ch, p, from);
	return r == VMB_EPEER ? vmbi_channel_break(ch) : r;
}

/* ---- one packet */

static inline int send_is_request(const struct vmb_packet *p)
{
	return p->flags & VMB_PKT_WANTS_REPLY && !p->id;
}

/* Queue a request that gets its id here; the slot is taken when the packet is in the ring. As send_queue. */
static int send_request(struct vmb_channel *ch, struct vmb_packet *p, const struct send_source *from)
{
	struct vmbi_request *q;
	int r;

	if (!vmbi_request_next(&ch->requests, &q, &p->id))
		return ch->requests.size ? VMB_ENOSLOT : VMB_EINVAL; /* id 0 is no request's. ring.md 7 */
	r = send_write(ch, p, from);
	if (r)
		r = send_refused(ch, p, from, r);
	if (r < 0)
		p->id = 0;
	else
		vmbi_request_take(&ch->requests, q, p->user);
	return r;
}

/* Queue any packet, in any case. 0, VMB_SIGNAL (to be done, see send_signal), or an error. */
static VMBI_RING_LONG int send_queue(struct vmb_channel *ch, struct vmb_packet *p, const struct send_source *from)
{
	int r;

	if (ch->want && !send_room(ch))
		return VMB_EFULL;
	if (send_is_request(p))
		return send_request(ch, p, from);
	r = send_write(ch, p, from);
	return r ? send_refused(ch, p, from, r) : 0;
}

static VMBI_RING_LONG int send_put(struct vmb_channel *ch, struct vmb_packet *p, const struct send_source *from)
{
	int r = send_queue(ch, p, from);

	return r > 0 ? send_signal(ch) : r;
}

/* The short way, for nearly all packets: no variable header, no pipe, room for certain, in a row. 1: done; 0: nothing has happened. */
static VMBI_RING_SHORT int send_short(struct vmb_channel *ch, struct vmb_packet *p)
{
	struct vmbi_request *q;
	uint64_t id;
	uint8_t *to;

	if (ch->tx_long)
		return 0;
	if (!send_is_request(p)) {
		to = vmbi_tx_frame(&ch->tx, p, p->id);
		if (!to)
			return 0;
	} else {
		if (!vmbi_request_next(&ch->requests, &q, &id))
			return 0;
		to = vmbi_tx_frame(&ch->tx, p, id);
		if (!to)
			return 0;
		vmbi_request_take(&ch->requests, q, p->user);
		p->id = id;
	}
	VMBI_PAYLOAD_IN(to, p->payload, p->len);
	return 1;
}

int vmb_channel_put(struct vmb_channel *ch, struct vmb_packet *p)
{
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, p && (p->payload || !p->len));
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	return send_short(ch, p) ? 0 : send_put(ch, p, NULL);
}

int vmb_channel_putv(struct vmb_channel *ch, struct vmb_packet *p, const struct vmb_span *parts, uint32_t n)
{
	struct send_source from = { parts, n, NULL };
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, p && (parts || !n));
	state = VMBI_LOAD32_RELAXED(&ch->state);
	return state ? vmbi_channel_refusal(state) : send_put(ch, p, &from);
}

int vmb_channel_reserve(struct vmb_channel *ch, struct vmb_packet *p, struct vmb_view *payload)
{
	struct send_source from = { .view = payload };
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, p && payload);
	state = VMBI_LOAD32_RELAXED(&ch->state);
	return state ? vmbi_channel_refusal(state) : send_put(ch, p, &from);
}

/* ---- showing it to the peer */

static VMBI_RING_COLD int send_failed(struct vmb_channel *ch, int r)
{
	return r == VMB_EPEER ? vmbi_channel_break(ch) : r;
}

/* facts: of what was done before. */
static inline int send_flush(struct vmb_channel *ch, int facts)
{
	int r = vmb_tx_commit(&ch->tx);

	if (r < 0)
		return send_failed(ch, r);
	return (r | facts) & VMB_SIGNAL ? send_signal(ch) : 0;
}

int vmb_channel_flush(struct vmb_channel *ch)
{
	uint32_t state;

	VMBI_CHANNEL_CHECK(ch, 1);
	state = VMBI_LOAD32_RELAXED(&ch->state);
	return state ? vmbi_channel_refusal(state) : send_flush(ch, 0);
}

int vmb_channel_send(struct vmb_channel *ch, struct vmb_packet *p)
{
	uint32_t state;
	int r;

	VMBI_CHANNEL_CHECK(ch, p && (p->payload || !p->len));
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	r = send_short(ch, p) ? 0 : send_queue(ch, p, NULL);
	return r < 0 ? r : send_flush(ch, r);
}

/* ---- several packets */

/* The packet that a record describes, or VMB_EINVAL: it is not all in the buffer. */
static int send_record(const uint8_t *buf, uint32_t bytes, const struct vmb_record *rec, struct vmb_packet *p)
{
	const uint8_t *head;

	if (rec->offset % 8 || rec->head_len % 8 || (uint64_t)rec->offset + rec->head_len + rec->len > bytes)
		return VMB_EINVAL;
	head = buf + rec->offset;
	*p = (struct vmb_packet){ .kind = rec->kind, .flags = rec->flags, .len = rec->len, .id = rec->id, .user = rec->user,
				  .payload = head + rec->head_len, .page_set = rec->page_set };
	if (rec->head_len)
		p->list = (struct vmb_list){ (const uint64_t *)(const void *)(head + 8), rec->head_len / 8 - 1, rec->ranges };
	return 0;
}

int vmb_channel_send_batch(struct vmb_channel *ch, const uint8_t *buf, uint32_t bytes, struct vmb_record *recs, uint32_t n)
{
	uint32_t state, i;
	int r = 0, facts = 0;

	VMBI_CHANNEL_CHECK(ch, recs && buf);
	if (!n || n > INT32_MAX || (uintptr_t)buf % 8)
		return VMB_EINVAL;
	state = VMBI_LOAD32_RELAXED(&ch->state);
	if (state)
		return vmbi_channel_refusal(state);
	for (i = 0; i < n; i++) {
		struct vmb_packet p;

		r = send_record(buf, bytes, &recs[i], &p);
		if (!r)
			r = send_short(ch, &p) ? 0 : send_queue(ch, &p, NULL);
		if (r < 0)
			break;
		recs[i].id = p.id;
		facts |= r;
	}
	if (!i)
		return r;
	r = vmb_tx_commit(&ch->tx);
	if (r < 0)
		(void)send_failed(ch, r); /* the next call says so: these were taken */
	else if ((r | facts) & VMB_SIGNAL && ch->signal) /* the result has no place for it, so DEFER or not */
		ch->signal(ch->ctx);
	return (int)i;
}
