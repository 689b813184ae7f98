/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The channel mode: receiving, and what the model says of it. */
#include "ring_channel.h"

static void channel_heard(struct channel_side *s, const struct vmb_packet *p)
{
	if (p->kind != VMB_PKT_COMPLETION && p->flags & VMB_PKT_WANTS_REPLY)
		s->heard[s->hears++ % 4] = p->id;
}

/* Pass over what the library must pass over: completions for nobody. */
static void channel_pass(struct channel_side *s)
{
	struct channel_side *from = s->other;
	unsigned passed = 0;

	while (s->cfg.requests && from->got != from->pub) {
		const struct channel_packet *q = &from->packets[from->got % CHANNEL_PACKETS];

		if (q->kind != VMB_PKT_COMPLETION || channel_request(s, q->id))
			break;
		from->got++;
		if (++passed >= CHANNEL_PASSED - CHANNEL_RECORDS)
			ring_tampered = 1; /* how many one call passes over is its matter: the model ends here */
	}
}

/* The packet that came is the one that is due; header and payload are at bytes. */
static void channel_compare(struct channel_side *s, const struct vmb_packet *p, const uint8_t *bytes, int in_place)
{
	struct channel_side *from = s->other;
	const struct channel_packet *q;
	uint64_t words[RING_WORDS_MAX];
	struct vmb_list list = { NULL, 0, 0 };
	uint32_t exact;

	channel_pass(s);
	if (ring_tampered)
		return;
	fuzz_need(from->got != from->pub);
	q = &from->packets[from->got++ % CHANNEL_PACKETS];
	exact = channel_is_pipe(s, p->kind) ? q->len : (q->len + 7) / 8 * 8;
	fuzz_need(p->kind == q->kind && (p->flags & ~VMB_PKT_LATE) == q->flags && p->id == q->id && p->len == exact);
	fuzz_need(p->head_len == (q->list_words ? 8 + 8 * q->list_words : 0) && p->page_set == q->page_set);
	fuzz_need(!memcmp(bytes + p->head_len, ring_payload(q->seed), q->len));
	if (q->list_words)
		ring_list(q->list_seed, p->kind == VMB_PKT_GPA, words, &list);
	fuzz_need(p->list.count == list.count && p->list.ranges == list.ranges);
	for (uint32_t i = 0; i < list.count && !in_place; i++)
		fuzz_need(p->list.words[i] == list.words[i]);
}

/* What holds of every packet received by a copy, whoever sent it. */
static void channel_judge(struct channel_side *s, const struct vmb_packet *p, const uint8_t *buf, uint32_t bytes, const struct fuzz_step *st)
{
	const uint8_t *words = (const uint8_t *)p->list.words;
	uint8_t *raw;

	fuzz_need(p->payload == buf + p->head_len && p->head_len <= bytes && p->len <= bytes - p->head_len && p->head_len % 8 == 0);
	fuzz_need(!s->cfg.max_payload || p->len <= (s->cfg.max_payload + 7) / 8 * 8);
	if (p->kind == VMB_PKT_GPA || p->kind == VMB_PKT_XFER) {
		fuzz_need(words == buf + 8 && p->list.count <= (p->head_len - 8) / 8 && p->list.ranges);
	}
	ring_external(p, st);
	raw = fuzz_alloc(8, 16 + p->head_len + p->len);
	memset(raw, 0, 16);
	raw[0] = (uint8_t)p->kind;
	raw[2] = (uint8_t)((16 + p->head_len) / 8);
	raw[4] = (uint8_t)((16 + p->head_len + p->len) / 8);
	raw[5] = (uint8_t)((16 + p->head_len + p->len) / 8 >> 8);
	memcpy(raw + 16, buf, p->head_len + p->len);
	ring_fields(raw, 16 + p->head_len + p->len);
	ring_fields(raw, st->b % (16 + p->head_len + p->len));
	raw[2] = st->a % 4;
	raw[4] = st->b % 4;
	ring_fields(raw, 16 + p->head_len + p->len);
	free(raw);
}

/* recv gave 0, or batch: nothing that could be given out is there. */
static void channel_empty(struct channel_side *s)
{
	channel_pass(s);
	if (!ring_tampered)
		fuzz_need(s->other->got == s->other->pub);
	s->awake = (s->cfg.flags & VMB_CHANNEL_POLLED) != 0;
}

static uint32_t channel_bytes(const struct fuzz_step *st)
{
	return st->c & 1 ? st->v % 64 : st->c & 2 ? st->v % 2000 : 20000;
}

void channel_recv(struct channel_side *s, const struct fuzz_step *st)
{
	uint32_t bytes = channel_bytes(st);
	uint8_t *buf = fuzz_alloc(8, bytes);
	struct vmb_packet p;
	int r = channel_result(s, vmb_channel_recv(s->ch, buf, bytes, &p));

	fuzz_need(r == VMB_YES || r == 0 || r == VMB_ETOOSMALL || r == VMB_EPEER || r == VMB_ESTOPPED || (r == VMB_EAGAIN && s->cfg.requests));
	s->small = r == VMB_ETOOSMALL;
	if (r == VMB_YES) {
		channel_judge(s, &p, buf, bytes, st);
		channel_compare(s, &p, buf, 0);
		if (p.kind == VMB_PKT_COMPLETION)
			channel_completed(s, &p);
		channel_heard(s, &p);
	} else if (r == VMB_ETOOSMALL) {
		fuzz_need(p.head_len + p.len > bytes);
		channel_pass(s);
	} else if (r == 0) {
		channel_empty(s);
	} else if (r == VMB_EAGAIN) {
		ring_tampered = 1;
	}
	free(buf);
}

void channel_recv_batch(struct channel_side *s, const struct fuzz_step *st)
{
	struct vmb_record recs[CHANNEL_RECORDS];
	uint32_t bytes = channel_bytes(st), n = 1 + (st->a >> 1) % CHANNEL_RECORDS;
	uint8_t *buf = fuzz_alloc(8, bytes);
	int r = channel_result(s, vmb_channel_recv_batch(s->ch, buf, bytes, recs, n));

	fuzz_need(r <= (int)n);
	s->small = r == VMB_ETOOSMALL;
	for (int i = 0; i < r; i++) {
		const struct vmb_record *c = &recs[i];
		struct vmb_packet p = { .kind = c->kind, .flags = c->flags, .len = c->len, .id = c->id, .user = c->user,
					.head_len = c->head_len, .page_set = c->page_set };

		fuzz_need(c->offset % 8 == 0 && c->offset <= bytes);
		p.payload = buf + c->offset + c->head_len;
		if (p.kind == VMB_PKT_GPA || p.kind == VMB_PKT_XFER) {
			p.list = (struct vmb_list){ (uint64_t *)(void *)(buf + c->offset + 8), c->head_len / 8 - 1, c->ranges };
			if (p.kind == VMB_PKT_XFER)
				p.list.count = c->ranges;
			else
				fuzz_need(!vmb_list_check(p.list.words, p.list.count, p.list.ranges, &p.list, NULL));
		}
		channel_judge(s, &p, buf + c->offset, bytes - c->offset, st);
		channel_compare(s, &p, buf + c->offset, 0);
		if (p.kind == VMB_PKT_COMPLETION)
			channel_completed(s, &p);
		channel_heard(s, &p);
	}
	if (r > 0 && (uint32_t)r < n)
		channel_pass(s);
	else if (r == VMB_ETOOSMALL)
		channel_pass(s);
	else if (r == 0)
		channel_empty(s);
	else if (r == VMB_EAGAIN)
		ring_tampered = 1;
	free(buf);
}

void channel_next(struct channel_side *s)
{
	struct vmb_packet p;
	struct vmb_view v;
	struct vmb_rx *rx;
	int r = channel_result(s, vmb_channel_next(s->ch, &p, &v));

	fuzz_need(r == VMB_YES || r == 0 || r == VMB_EPEER || r == VMB_ESTOPPED || (r == VMB_EAGAIN && s->cfg.requests));
	s->small = s->small && r != VMB_YES && r != 0;
	if (r == VMB_YES) {
		uint8_t *buf = fuzz_alloc(8, v.len);

		fuzz_need(!vmb_channel_rx(s->ch, &rx) && !vmb_rx_copy(rx, &v, 0, buf, v.len));
		fuzz_need(v.len == p.head_len + p.len && v.pos < s->rx->size);
		channel_compare(s, &p, buf, 1);
		if (p.kind == VMB_PKT_COMPLETION)
			channel_completed(s, &p);
		channel_heard(s, &p);
		free(buf);
	} else if (r == 0) {
		channel_empty(s);
	} else if (r == VMB_EAGAIN) {
		ring_tampered = 1;
	}
}

/* Whom it passed over, the library does not say. */
void channel_skip(struct channel_side *s)
{
	struct channel_side *from = s->other;
	int r = channel_result(s, vmb_channel_skip(s->ch));

	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EPEER || r == VMB_ESTOPPED);
	if (!ring_tampered)
		fuzz_need(r == VMB_ESTOPPED || r == (s->small ? 0 : VMB_ESTATE));
	s->small = 0;
	if (!r && !ring_tampered) {
		const struct channel_packet *q = &from->packets[from->got++ % CHANNEL_PACKETS];
		struct channel_request *req = channel_request(s, q->kind == VMB_PKT_COMPLETION ? q->id : 0);

		if (req)
			req->id = 0;
	}
	channel_outstanding(s, 1);
}

void channel_release(struct channel_side *s)
{
	int r = channel_result(s, vmb_channel_release(s->ch));

	fuzz_need(r == 0 || r == VMB_EPEER || r == VMB_ESTOPPED);
}
