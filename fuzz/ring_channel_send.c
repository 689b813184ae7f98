/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The channel mode: sending, and what the model says of it. */
#include "ring_channel.h"

static void channel_packet(struct channel_pair *pair, struct channel_side *s, const struct fuzz_step *st, uint32_t k,
			   struct vmb_packet *p, struct channel_packet *q)
{
	static const struct { uint16_t kind, flags; } kinds[] = {
		{ VMB_PKT_INBAND, 0 }, { VMB_PKT_INBAND, VMB_PKT_WANTS_REPLY }, { VMB_PKT_COMPLETION, 0 },
		{ VMB_PKT_GPA, VMB_PKT_WANTS_REPLY }, { VMB_PKT_XFER, 0 }, { VMB_PKT_XFER, VMB_PKT_WANTS_REPLY },
		{ VMB_PKT_COMPLETION, 0 }, { 12, 1 },
	};
	uint32_t kind = (st->b + k) & 7;

	*p = (struct vmb_packet){ .kind = kinds[kind].kind, .flags = kinds[kind].flags };
	memset(q, 0, sizeof *q);
	q->seed = (st->v + k) & 255;
	q->list_seed = (st->v >> 20) + k;
	p->payload = ring_payload(q->seed);
	p->len = (st->v >> 8) % (st->c < 200 ? 300 : st->c < 240 ? 3000 : 20000);
	p->user = ++s->users;
	if (p->kind == VMB_PKT_COMPLETION)
		p->id = kind == 2 ? s->heard[st->c % 4] : st->v;
	else if (st->b & 0x10)
		p->id = st->v;
	if (p->kind == VMB_PKT_GPA || p->kind == VMB_PKT_XFER) {
		ring_list(q->list_seed, p->kind == VMB_PKT_GPA, pair->words[k] + 1, &p->list);
		p->page_set = (uint16_t)(p->kind == VMB_PKT_XFER ? st->v : 0);
	}
	q->list_words = p->list.count;
	q->total = 24 + (p->len + (channel_is_pipe(s, p->kind) ? 8 : 0) + 7) / 8 * 8 + (q->list_words ? 8 + 8 * q->list_words : 0);
}

static uint32_t channel_raw(const struct channel_side *s)
{
	return s->tx->size - (s->next + s->tx->size - ring_word(s->tx, RING_OUT)) % s->tx->size;
}

/* It is in the ring, as yet unseen. */
static void channel_queued(struct channel_side *s, const struct vmb_packet *p, struct channel_packet *q, int number)
{
	q->kind = p->kind;
	q->flags = p->flags;
	q->page_set = p->page_set;
	q->len = p->len;
	q->id = p->id;
	s->packets[s->put++ % CHANNEL_PACKETS] = *q;
	s->next = (s->next + q->total) % s->tx->size;
	if (number)
		channel_sent_request(s, p);
	if (s->other->cfg.max_payload && p->len > s->other->cfg.max_payload)
		ring_tampered = 1; /* more than was agreed on: as if the peer were hostile */
}

/* Of the result of a put: what it may be, and what it means. raw: free before. */
static void channel_put_result(struct channel_side *s, const struct vmb_packet *p, struct channel_packet *q, int number, uint32_t raw, int r)
{
	int fits = q->total < raw, legal = p->kind != 12;

	fuzz_need(r == 0 || r == VMB_SIGNAL || r == VMB_EFULL || r == VMB_ENOSLOT || r == VMB_ETOOBIG || r == VMB_EINVAL || r == VMB_EPEER ||
		  r == VMB_ESTOPPED);
	if (r >= 0) {
		fuzz_need(!s->wrong);
		fuzz_need(ring_tampered || (fits && legal && (!s->full || raw > s->pending)));
		s->full = 0;
		channel_queued(s, p, q, number);
	} else if (r == VMB_EFULL) {
		fuzz_need(ring_tampered || !fits || (s->full && raw <= s->pending));
		s->pub = s->put;
		s->waiting = s->full = !(s->cfg.flags & VMB_CHANNEL_POLLED);
	} else if (r == VMB_ENOSLOT) {
		fuzz_need(number && s->cfg.requests && channel_in_flight(s, 0) == s->cfg.requests);
	} else if (r == VMB_ETOOBIG) {
		fuzz_need(q->total > s->tx->size - 8 || p->len > 16384);
	} else if (r == VMB_EINVAL) {
		fuzz_need(!legal || (number && !s->cfg.requests) || s->wrong);
	}
	if (number && r < 0 && p->id) { /* sent for sure, and the ring broken in the same call: it is in flight until the channel's end */
		fuzz_need(r == VMB_EPEER);
		channel_sent_request(s, p);
	}
}

static int channel_put_call(struct channel_side *s, const struct fuzz_step *st, struct vmb_packet *p, const struct channel_packet *q)
{
	uint32_t cut = p->len ? st->v % p->len : 0;
	uint8_t *payload = (uint8_t *)(uintptr_t)p->payload;
	struct vmb_span parts[2] = { { payload, cut }, { payload + cut, p->len - cut + (st->c == 199) } };
	struct vmb_tx *tx;
	struct vmb_view v;
	int r;

	switch (st->a >> 1 & 3) {
	case 0:
		return vmb_channel_put(s->ch, p);
	case 1:
		return vmb_channel_putv(s->ch, p, parts, 2);
	case 2:
		return vmb_channel_send(s->ch, p);
	default:
		r = vmb_channel_reserve(s->ch, p, &v);
		fuzz_need(!vmb_channel_tx(s->ch, &tx));
		if (r >= 0)
			fuzz_need(v.len == p->len && !vmb_tx_copy(tx, &v, 0, ring_payload(q->seed), p->len));
		return r;
	}
}

void channel_put(struct channel_pair *pair, struct channel_side *s, const struct fuzz_step *st)
{
	struct channel_packet q;
	struct vmb_packet p;
	uint32_t raw = channel_raw(s);
	int number, r;

	if (s->put - s->got >= CHANNEL_PACKETS)
		return;
	channel_packet(pair, s, st, 0, &p, &q);
	number = p.flags & VMB_PKT_WANTS_REPLY && !p.id;
	s->pending = ring_word(s->tx, RING_PENDING);
	s->wrong = st->c == 199 && (st->a >> 1 & 3) == 1;
	r = channel_put_call(s, st, &p, &q);
	channel_put_result(s, &p, &q, number, raw, r);
	(void)channel_result(s, r);
	if (r >= 0 && (st->a >> 1 & 3) == 2)
		s->pub = s->put;
}

void channel_flush(struct channel_side *s)
{
	int r = channel_result(s, vmb_channel_flush(s->ch));

	fuzz_need(r == 0 || r == VMB_SIGNAL || r == VMB_ESTOPPED || r == VMB_EPEER);
	if (r >= 0)
		s->pub = s->put;
}

/* Several in one buffer, one of them perhaps not all in it. */
void channel_send_batch(struct channel_pair *pair, struct channel_side *s, const struct fuzz_step *st)
{
	struct vmb_record recs[CHANNEL_RECORDS];
	struct channel_packet q[CHANNEL_RECORDS];
	struct vmb_packet p[CHANNEL_RECORDS];
	uint32_t n = 1 + (st->a >> 1) % CHANNEL_RECORDS, used = 0, raw = channel_raw(s);
	uint8_t *buf;
	int r;

	if (s->put - s->got + n >= CHANNEL_PACKETS)
		return;
	buf = fuzz_alloc(8, CHANNEL_RECORDS * (20000 + 8 * RING_WORDS_MAX + 16));
	for (uint32_t i = 0; i < n; i++) {
		channel_packet(pair, s, st, i, &p[i], &q[i]);
		recs[i] = (struct vmb_record){ p[i].kind, p[i].flags, used, p[i].list.count ? 8 + 8 * p[i].list.count : 0, p[i].len, p[i].id,
					       p[i].user, p[i].list.ranges, p[i].page_set, 0 };
		memcpy(buf + used, pair->words[i], recs[i].head_len);
		memcpy(buf + used + recs[i].head_len, p[i].payload, p[i].len);
		used += recs[i].head_len + (p[i].len + 7) / 8 * 8;
	}
	if (st->c == 7)
		recs[n - 1].offset += st->v;
	s->pending = ring_word(s->tx, RING_PENDING);
	s->wrong = 0;
	r = vmb_channel_send_batch(s->ch, buf, used, recs, n);
	fuzz_need(r <= (int)n && r != 0);
	if (r > 0)
		(void)channel_result(s, 0);
	for (int i = 0; i < r; i++) {
		int number = p[i].flags & VMB_PKT_WANTS_REPLY && !p[i].id;

		p[i].id = recs[i].id;
		channel_put_result(s, &p[i], &q[i], number, ring_tampered ? UINT32_MAX : raw, 0);
		raw -= q[i].total;
	}
	if (r > 0)
		s->pub = s->put;
	if (r > 0 && (uint32_t)r < n)
		s->full = 1; /* perhaps: it may have been a slot that there was none of */
	if (r < 0)
		(void)channel_result(s, r);
	if (r == VMB_EFULL)
		channel_put_result(s, &p[0], &q[0], 0, raw, r);
	free(buf);
}
