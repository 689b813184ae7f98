/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A producer and a consumer on one ring, each call on its own. The model is ring.md 8, 9.1 and 10.1 over again, from the words that are in shared
 * memory at the time: what fits, what is a violation, when to signal. It judges every call during which the peer did not write; a peer
 * that is honest so far is also held to what was sent, and to what the control page says.
 */
#include "ring.h"

#define HALF_PACKETS 1024u

struct half_packet {
	struct vmb_packet p; /* as given to the producer; list from list_seed */
	uint32_t seed, list_seed, start, total;
};

struct half {
	struct ring *ring;
	uint32_t flags;
	void *tx_mem, *rx_mem;
	struct vmb_tx *tx; /* NULL: init has failed */
	struct vmb_rx *rx;
	uint32_t tx_reason, rx_reason; /* once stuck */
	/* the model: packets put, published, taken and released, as counts, and the ring offsets that belong to them */
	struct half_packet packets[HALF_PACKETS];
	uint32_t put, pub, taken, freed;
	uint32_t at[4]; /* next, In, taken, Out */
	uint32_t mask, pending;
	uint32_t room;  /* for the producer to use before it looks at Out again */
	uint32_t left;  /* for the consumer to take before it looks at In again */
	int unsure_room, unsure_left; /* the peer wrote during a call: these are not known */
	struct vmb_view view; /* of the last packet */
	struct vmb_packet last;
	int has_view;
	uint64_t words[RING_WORDS_MAX];
};

enum { AT_NEXT, AT_IN, AT_TAKEN, AT_OUT };

static uint32_t half_size(const struct half *h)
{
	return h->ring->size;
}

static uint32_t half_used(const struct half *h, uint32_t in, uint32_t out)
{
	return (in + half_size(h) - out) % half_size(h);
}

static uint32_t half_raw(const struct half *h, uint32_t in, uint32_t out)
{
	return half_size(h) - half_used(h, in, out);
}

/* After each call: with an honest peer, the control page is what the model says. */
static void half_check(struct half *h)
{
	uint32_t at;

	if (!ring_tampered) {
		fuzz_need(ring_word(h->ring, RING_IN) == h->at[AT_IN]);
		fuzz_need(ring_word(h->ring, RING_OUT) == h->at[AT_OUT]);
		fuzz_need(ring_word(h->ring, RING_MASK) == h->mask);
		fuzz_need(ring_word(h->ring, RING_PENDING) == h->pending);
		fuzz_need(!h->tx || !vmb_tx_reason(h->tx, NULL));
		fuzz_need(!h->rx || !vmb_rx_reason(h->rx, NULL));
	}
	if (h->tx && h->tx_reason)
		fuzz_need(vmb_tx_reason(h->tx, &at) == h->tx_reason);
	if (h->rx && h->rx_reason)
		fuzz_need(vmb_rx_reason(h->rx, &at) == h->rx_reason && vmb_reason_name(h->rx_reason)[0] != '?');
}

/* A result of the producer: EPEER is for good and has its reason, and only a hostile peer brings it about. */
static int half_tx_result(struct half *h, int r)
{
	fuzz_trace("\t= %d\n", r);
	fuzz_need(r == VMB_EPEER || !h->tx_reason);
	if (r == VMB_EPEER) {
		fuzz_need(ring_tampered);
		h->tx_reason = vmb_tx_reason(h->tx, NULL);
		fuzz_need(h->tx_reason == VMB_R_INDEX);
	}
	return r;
}

static int half_rx_result(struct half *h, int r)
{
	fuzz_trace("\t= %d\n", r);
	fuzz_need(r == VMB_EPEER || !h->rx_reason);
	if (r == VMB_EPEER) {
		fuzz_need(ring_tampered);
		h->rx_reason = vmb_rx_reason(h->rx, NULL);
		fuzz_need(h->rx_reason >= VMB_R_INDEX && h->rx_reason <= VMB_R_RANGES);
	}
	return r;
}

/* Is this what the model says? Where the peer wrote meanwhile, nobody can tell. */
static int half_is(int r, int want)
{
	return r == want || ring_fired;
}

static int half_bad_index(const struct half *h, uint32_t index)
{
	return index >= half_size(h) || index % 8;
}

/* ---- making them */

static void half_tx_make(struct half *h, const struct vmb_cursor *from, uint32_t flags)
{
	struct vmb_ring_mem mem = h->ring->mem;
	struct vmb_storage need;
	int r;

	mem.flags |= flags;
	fuzz_need(!vmb_tx_storage(&mem, &need));
	free(h->tx_mem);
	h->tx_mem = fuzz_alloc(need.align, need.bytes);
	h->tx = NULL;
	h->tx_reason = h->room = 0;
	h->unsure_room = 0;
	r = vmb_tx_init(h->tx_mem, need.bytes, &mem, from, &h->tx);
	fuzz_need(r ? r == VMB_EPEER && ring_tampered : h->tx != NULL);
}

static void half_rx_make(struct half *h, const struct vmb_cursor *from, uint32_t flags)
{
	struct vmb_ring_mem mem = h->ring->mem;
	struct vmb_storage need;
	int r;

	mem.flags |= flags | (h->flags & VMB_RING_LOOSE);
	fuzz_need(!vmb_rx_storage(&mem, &need));
	free(h->rx_mem);
	h->rx_mem = fuzz_alloc(need.align, need.bytes);
	h->rx = NULL;
	h->rx_reason = h->left = 0;
	h->unsure_left = 0;
	h->has_view = 0;
	r = vmb_rx_init(h->rx_mem, need.bytes, &mem, from, &h->rx);
	fuzz_need(r ? r == VMB_EPEER && ring_tampered : h->rx != NULL);
}

/* An empty ring, both from its start, and the peer honest again. */
static void half_fresh(struct half *h)
{
	ring_peer_forget();
	half_tx_make(h, NULL, VMB_RING_FRESH);
	half_rx_make(h, NULL, 0);
	h->put = h->pub = h->taken = h->freed = 0;
	memset(h->at, 0, sizeof h->at);
	h->mask = h->pending = 0;
	fuzz_need(h->tx && h->rx && ring_word(h->ring, RING_FEATURES) == 1);
}

/*
 * Give a half back and make it again, where it stood or from what the control page says. Where that is, the peer may have changed: the new one is
 * asked at once, by giving it back, too.
 */
static void half_remake_tx(struct half *h, const struct fuzz_step *s)
{
	struct vmb_cursor at = { 0 };

	if (h->tx)
		fuzz_need(!vmb_tx_end(h->tx, &at) && at.valid == 1 && !half_bad_index(h, at.index));
	if (h->tx)
		fuzz_need(at.index == h->at[AT_IN] && at.armed == h->pending);
	if (s->a & 3 || !at.valid) {
		half_tx_make(h, s->a & 1 ? NULL : &(struct vmb_cursor){ 0 }, 0);
		if (!h->tx)
			return;
		fuzz_need(!vmb_tx_end(h->tx, &at) && at.valid == 1 && !half_bad_index(h, at.index) && !at.armed);
	}
	half_tx_make(h, &at, 0);
	h->put = h->pub;
	h->at[AT_NEXT] = h->at[AT_IN] = at.index;
	h->pending = at.armed;
}

static void half_remake_rx(struct half *h, const struct fuzz_step *s)
{
	struct vmb_cursor at = { 0 };

	if (h->rx)
		fuzz_need(!vmb_rx_end(h->rx, &at) && at.valid == 1 && !half_bad_index(h, at.index) && at.armed <= 1);
	if (h->rx)
		fuzz_need(at.index == h->at[AT_OUT]);
	if (s->a & 3 || !at.valid) {
		half_rx_make(h, s->a & 1 ? NULL : &(struct vmb_cursor){ 0 }, 0);
		if (!h->rx)
			return;
		fuzz_need(!vmb_rx_end(h->rx, &at) && at.valid == 1 && !half_bad_index(h, at.index) && !at.armed);
	}
	half_rx_make(h, &at, 0);
	h->taken = h->freed;
	h->at[AT_TAKEN] = h->at[AT_OUT] = at.index;
}

/* ---- sending */

/* A packet; 1: such a one may be sent. */
static int half_packet(struct half *h, const struct fuzz_step *s, struct half_packet *q)
{
	static const struct { uint16_t kind, flags; } kinds[] = {
		{ VMB_PKT_INBAND, 0 }, { VMB_PKT_INBAND, VMB_PKT_WANTS_REPLY }, { VMB_PKT_COMPLETION, 0 },
		{ VMB_PKT_GPA, VMB_PKT_WANTS_REPLY }, { VMB_PKT_XFER, 0 }, { VMB_PKT_GPA, 0 },
		{ 5, 0 }, { VMB_PKT_INBAND, 2 },
	};
	uint32_t k = s->b & 7;

	memset(q, 0, sizeof *q);
	q->seed = s->v & 255;
	q->p = (struct vmb_packet){ .kind = kinds[k].kind, .flags = kinds[k].flags, .id = s->v };
	q->p.len = s->c < 220 ? (s->v >> 8) % 700 : (s->v >> 8) % RING_PAYLOAD_MAX;
	q->p.payload = ring_payload(q->seed);
	q->list_seed = s->v >> 20;
	if (k >= 3 && k <= 5) {
		ring_list(q->list_seed, k != 4, h->words, &q->p.list);
		q->p.page_set = (uint16_t)(k == 4 ? s->v : 0);
		if ((s->b & 0xc0) == 0xc0)
			h->words[0] = k == 4 || s->v & 1 ? VMB_RANGE(0, 0) : VMB_RANGE(1, VMB_PAGE); /* no offset into a page */
		else if (s->b & 0x40)
			q->p.list.count--;
		else if (s->b & 0x80)
			q->p.list.ranges++;
	}
	if (s->c == 219)
		q->p.len += 0x90000; /* never read: no ring is as large */
	q->total = 24 + (q->p.len + 7) / 8 * 8 + (k >= 3 && k <= 5 ? 8 + q->p.list.count * 8 : 0);
	return k < 3 || (k < 6 && !(s->b & 0xc0));
}

/* The producer looks at Out. */
static int half_look_out(struct half *h)
{
	uint32_t out = ring_word(h->ring, RING_OUT);

	h->room = 0;
	if (half_bad_index(h, out))
		return VMB_EPEER;
	h->room = half_raw(h, h->at[AT_NEXT], out) - 8;
	return 0;
}

/* What the call must say, before it is made: 0, or why not. */
static int half_fits(struct half *h, const struct half_packet *q, int legal)
{
	if (h->tx_reason)
		return VMB_EPEER;
	if (!legal)
		return VMB_EINVAL;
	if (q->total - 8 > 65535 * 8 || q->total > half_size(h) - 8)
		return VMB_ETOOBIG;
	if (q->total > h->room && half_look_out(h))
		return VMB_EPEER;
	return q->total <= h->room ? 0 : VMB_EFULL;
}

static int half_fill(struct half *h, const struct half_packet *q, const struct vmb_view *v, uint32_t how)
{
	struct vmb_span spans[RING_PAGES_MAX * 2 + 2];
	uint32_t done = 0;
	int n;

	fuzz_need(v->len == q->p.len);
	if (how & 1)
		return vmb_tx_copy(h->tx, v, 0, q->p.payload, q->p.len);
	n = vmb_tx_spans(h->tx, v, 0, spans, RING_PAGES_MAX * 2 + 2);
	fuzz_need(n >= 0);
	for (int i = 0; i < n; i++) {
		memcpy(spans[i].base, (const uint8_t *)q->p.payload + done, spans[i].len);
		done += (uint32_t)spans[i].len;
	}
	fuzz_need(done == q->p.len);
	return 0;
}

static int half_put_call(struct half *h, const struct fuzz_step *s, struct half_packet *q)
{
	struct vmb_span parts[3];
	struct vmb_view v;
	uint32_t cut = q->p.len ? s->v % q->p.len : 0;
	void *at;
	int r;

	if (s->a % 3 == 0)
		return vmb_tx_put(h->tx, &q->p);
	if (s->a % 3 == 1) {
		uint8_t *payload = (uint8_t *)(uintptr_t)q->p.payload;

		parts[0] = (struct vmb_span){ payload, cut };
		parts[1] = (struct vmb_span){ NULL, 0 };
		parts[2] = (struct vmb_span){ payload + cut, q->p.len - cut + (s->c == 218) };
		return vmb_tx_putv(h->tx, &q->p, parts, 3);
	}
	at = s->a & 8 ? vmb_tx_place(h->tx, &q->p) : NULL;
	if (at) {
		memcpy(at, q->p.payload, q->p.len);
		return 0;
	}
	r = vmb_tx_reserve(h->tx, &q->p, &v);
	return r ? r : half_fill(h, q, &v, s->a);
}

static void half_put(struct half *h, const struct fuzz_step *s)
{
	struct half_packet q;
	int legal, want, r;

	if (!h->tx || (!ring_tampered && h->put - h->freed >= HALF_PACKETS))
		return;
	legal = half_packet(h, s, &q) && !(s->c == 218 && s->a % 3 == 1);
	want = half_fits(h, &q, legal);
	r = half_tx_result(h, half_put_call(h, s, &q));
	h->unsure_room |= ring_fired != 0;
	fuzz_need(half_is(r, want) || h->unsure_room);
	fuzz_need(r == 0 || r == VMB_EINVAL || r == VMB_ETOOBIG || r == VMB_EFULL || r == VMB_EPEER);
	if (r)
		return;
	h->room -= q.total;
	q.start = h->at[AT_NEXT];
	h->packets[h->put++ % HALF_PACKETS] = q;
	h->at[AT_NEXT] = (q.start + q.total) % half_size(h);
}

static void half_commit(struct half *h)
{
	uint32_t mask = ring_word(h->ring, RING_MASK), out = ring_word(h->ring, RING_OUT);
	int fresh = h->at[AT_NEXT] != h->at[AT_IN], was = h->tx_reason != 0, r, want = 0;

	if (!h->tx)
		return;
	if (h->tx_reason || (fresh && half_bad_index(h, out)))
		want = VMB_EPEER;
	else if (fresh && out == h->at[AT_IN] && !mask)
		want = VMB_SIGNAL;
	r = half_tx_result(h, vmb_tx_commit(h->tx));
	fuzz_need(half_is(r, want) && (r == 0 || r == VMB_SIGNAL || r == VMB_EPEER));
	if (was)
		return;
	if (fresh)
		h->pending = 0;
	h->pub = h->put;
	h->at[AT_IN] = h->at[AT_NEXT];
}

static void half_discard(struct half *h)
{
	if (!h->tx)
		return;
	fuzz_need(half_tx_result(h, vmb_tx_discard(h->tx)) == (h->tx_reason ? VMB_EPEER : 0));
	if (h->tx_reason)
		return;
	h->room = 0;
	h->unsure_room = 0;
	h->put = h->pub;
	h->at[AT_NEXT] = h->at[AT_IN];
}

static void half_arm(struct half *h, const struct fuzz_step *s)
{
	struct half_packet q;
	int legal = half_packet(h, s, &q), was = h->tx_reason != 0, want = 0, r;
	uint32_t least = s->a < 128 ? 0 : s->v % (2 * half_size(h)), need, most = half_size(h) - 8;

	if (!h->tx)
		return;
	need = q.total + half_used(h, h->at[AT_NEXT], h->at[AT_IN]);
	if (need < least)
		need = (least + 7) / 8 * 8;
	need = need < most ? need : most;
	if (h->tx_reason || !legal || q.total - 8 > 65535 * 8 || q.total > most)
		want = h->tx_reason ? VMB_EPEER : legal ? VMB_ETOOBIG : VMB_EINVAL;
	else if (half_look_out(h))
		want = VMB_EPEER;
	else if (q.total <= h->room)
		want = VMB_YES;
	r = half_tx_result(h, vmb_tx_arm(h->tx, &q.p, least));
	h->unsure_room |= ring_fired != 0;
	fuzz_need(half_is(r, want));
	fuzz_need(r == 0 || r == VMB_YES || r == VMB_EINVAL || r == VMB_ETOOBIG || r == VMB_EPEER);
	if (r == VMB_YES)
		h->pending = 0;
	else if (!r || (r == VMB_EPEER && !was)) /* it was stored before Out was looked at */
		h->pending = need;
}

/* ---- receiving */

/* What came out is what was put in. */
static void half_compare(struct half *h, const struct vmb_packet *p, const struct vmb_view *all, const uint8_t *bytes)
{
	const struct half_packet *q = &h->packets[h->taken % HALF_PACKETS];
	uint32_t words = q->total - 24 - (q->p.len + 7) / 8 * 8, end = (q->start + q->total) % half_size(h), foot = end - 8;
	struct vmb_list list = { NULL, 0, 0 };

	fuzz_need(p->kind == q->p.kind && p->flags == q->p.flags && p->id == q->p.id && p->page_set == q->p.page_set);
	fuzz_need(p->head_len == words && p->len == (q->p.len + 7) / 8 * 8 && !p->user);
	fuzz_need(!p->payload || !memcmp(p->payload, bytes + words, p->len));
	fuzz_need(!memcmp(bytes + words, ring_payload(q->seed), q->p.len));
	for (uint32_t i = q->p.len; i < p->len && q->p.len % 8; i++)
		fuzz_need(!bytes[words + i]);
	if (words)
		ring_list(q->list_seed, p->kind == VMB_PKT_GPA, h->words, &list);
	fuzz_need(p->list.count == list.count && p->list.ranges == list.ranges);
	for (uint32_t i = 0; i < list.count * 2; i++)
		fuzz_need(fuzz_get32(bytes + 8 + i * 4) == (uint32_t)(list.words[i / 2] >> (i % 2 * 32)));
	if (!end)
		foot = half_size(h) - 8;
	fuzz_need(fuzz_get32(h->ring->data + foot) == 0 && fuzz_get32(h->ring->data + foot + 4) == q->start);
	fuzz_need(all->pos == (q->start + 16) % half_size(h));
}

static void half_taken(struct half *h)
{
	uint8_t raw[16], *bytes = fuzz_alloc(8, h->view.len + 16u);
	const struct vmb_packet *p = &h->last;

	fuzz_need(!vmb_rx_copy(h->rx, &h->view, 0, bytes + 16, h->view.len));
	if (!ring_tampered)
		half_compare(h, p, &h->view, bytes + 16);
	memset(raw, 0, sizeof raw);
	raw[0] = (uint8_t)p->kind;
	raw[2] = (uint8_t)((16 + p->head_len) / 8);
	raw[4] = (uint8_t)((16 + h->view.len) / 8);
	raw[5] = (uint8_t)((16 + h->view.len) / 8 >> 8);
	memcpy(bytes, raw, 16);
	ring_fields(bytes, h->view.len + 16u);
	free(bytes);
}

/* The packet at the consumer's place, by ring.md 9.1: 0, or the reason why it is none. */
static uint32_t half_judge(const struct half *h, const uint8_t *p)
{
	uint32_t first = fuzz_get32(p), second = fuzz_get32(p + 4), kind = first & 0xffff, data8 = first >> 16, len8 = second & 0xffff;
	uint32_t external = kind == VMB_PKT_GPA || kind == VMB_PKT_XFER, ranges;

	if (h->left < 24 || len8 < 2 || len8 * 8 + 8 > h->left)
		return VMB_R_LENGTH;
	if (data8 < 2 || data8 > len8 || (external && data8 < 3))
		return VMB_R_HEADER;
	if (!(h->flags & VMB_RING_LOOSE)) {
		if (!external && kind != VMB_PKT_INBAND && kind != VMB_PKT_COMPLETION)
			return VMB_R_TYPE;
		if (second >> 17)
			return VMB_R_FLAGS;
	}
	ranges = fuzz_get32(h->ring->data + (h->at[AT_TAKEN] + 20) % half_size(h));
	if (external && (!ranges || ranges > (kind == VMB_PKT_GPA ? (data8 - 3) / 2 : data8 - 3)))
		return VMB_R_RANGES;
	return 0;
}

/* What next must say: VMB_YES, 0, or VMB_EPEER and its reason. */
static int half_expect(struct half *h, uint32_t *reason)
{
	uint32_t in = ring_word(h->ring, RING_IN);

	*reason = h->rx_reason;
	if (h->rx_reason)
		return VMB_EPEER;
	if (!h->left) {
		*reason = VMB_R_INDEX;
		if (half_bad_index(h, in))
			return VMB_EPEER;
		if (in == h->at[AT_TAKEN])
			return 0;
		h->left = half_used(h, in, h->at[AT_TAKEN]);
	}
	*reason = half_judge(h, h->ring->data + h->at[AT_TAKEN]);
	return *reason ? VMB_EPEER : VMB_YES;
}

/* Copied, into a buffer that may be too small. What it gives is described as half_next wants it. */
static int half_get(struct half *h, uint32_t room)
{
	struct vmb_packet *p = &h->last;
	uint8_t *buf = fuzz_alloc(8, room);
	int r = half_rx_result(h, vmb_rx_get(h->rx, buf, room, p));

	if (r == VMB_YES || r == VMB_ETOOSMALL) {
		h->view = (struct vmb_view){ (h->at[AT_TAKEN] + 16) % half_size(h), p->head_len + p->len };
		fuzz_need((h->view.len > room) == (r == VMB_ETOOSMALL));
	}
	if (r == VMB_YES) {
		fuzz_need(p->payload == buf + p->head_len);
		fuzz_need(!p->list.count || fuzz_get32(buf + 4) == p->list.ranges);
		for (uint32_t i = 0; i < h->view.len && !ring_tampered; i++)
			fuzz_need(buf[i] == h->ring->data[(h->view.pos + i) % half_size(h)]);
		p->payload = NULL;
	}
	free(buf);
	return r;
}

static void half_next(struct half *h, const struct fuzz_step *s)
{
	struct vmb_packet *p = &h->last;
	uint32_t reason, room = s->c & 2 ? s->v % 2048 : 1u << 20;
	int want, r;

	if (!h->rx)
		return;
	want = half_expect(h, &reason);
	r = s->c & 1 ? half_get(h, room) : half_rx_result(h, vmb_rx_next(h->rx, p, &h->view));
	h->unsure_left |= ring_fired != 0;
	if (r == VMB_ETOOSMALL) {
		fuzz_need(want == VMB_YES || h->unsure_left);
		h->has_view = 0;
		h->mask = 1;
		return;
	}
	fuzz_need(half_is(r, want) || h->unsure_left);
	if (r == VMB_EPEER && !h->unsure_left)
		fuzz_need(h->rx_reason == reason);
	if (!ring_tampered)
		fuzz_need(r == (h->taken != h->pub ? VMB_YES : 0));
	fuzz_need(r == VMB_YES || r == 0 || r == VMB_EPEER);
	h->has_view = r == VMB_YES;
	if (r == VMB_EPEER)
		h->left = 0;
	if (r != VMB_YES)
		return;
	fuzz_need(h->view.pos == (h->at[AT_TAKEN] + 16) % half_size(h) && h->view.len <= half_size(h) - 24);
	fuzz_need(p->head_len + p->len == h->view.len && p->head_len % 8 == 0 && p->len % 8 == 0);
	fuzz_need(p->kind != VMB_PKT_GPA || p->head_len >= 8 + 16 * (uint64_t)p->list.ranges);
	half_taken(h);
	h->mask = 1;
	h->at[AT_TAKEN] = (h->at[AT_TAKEN] + h->view.len + 24) % half_size(h);
	h->left -= h->view.len + 24;
	h->taken++;
}

/* Release, or sleep; the one decision about the producer that waits. */
static void half_release(struct half *h, int sleep)
{
	uint32_t in = ring_word(h->ring, RING_IN), pending = ring_word(h->ring, RING_PENDING);
	int moved = h->at[AT_TAKEN] != h->at[AT_OUT], was = h->rx_reason != 0, want = 0, r;

	if (!h->rx)
		return;
	if (h->rx_reason || ((sleep || (moved && pending)) && half_bad_index(h, in)))
		want = VMB_EPEER;
	else if ((sleep || moved) && pending && half_raw(h, in, h->at[AT_OUT]) <= pending && half_raw(h, in, h->at[AT_TAKEN]) > pending)
		want = VMB_SIGNAL;
	if (sleep && want >= 0 && in != h->at[AT_TAKEN])
		want |= VMB_YES;
	r = half_rx_result(h, sleep ? vmb_rx_sleep(h->rx) : vmb_rx_release(h->rx));
	fuzz_need(half_is(r, want) && (r == VMB_EPEER || (r >= 0 && !(r & ~(VMB_SIGNAL | VMB_YES)))));
	if (was)
		return;
	h->freed = h->taken;
	h->at[AT_OUT] = h->at[AT_TAKEN];
	if (sleep || r < 0)
		h->left = 0;
	if (sleep) {
		h->unsure_left = 0;
		h->mask = 0;
	}
}

static void half_rewind(struct half *h)
{
	if (!h->rx)
		return;
	fuzz_need(half_rx_result(h, vmb_rx_rewind(h->rx)) == (h->rx_reason ? VMB_EPEER : 0));
	if (h->rx_reason)
		return;
	h->has_view = 0;
	h->left = 0;
	h->unsure_left = 0;
	h->taken = h->freed;
	h->at[AT_TAKEN] = h->at[AT_OUT];
}

static void half_mask(struct half *h)
{
	if (!h->rx)
		return;
	fuzz_need(half_rx_result(h, vmb_rx_mask(h->rx)) == (h->rx_reason ? VMB_EPEER : 0));
	h->mask = 1;
}

/* ---- views, some of them made up */

static void half_look(struct half *h, const struct fuzz_step *s)
{
	struct vmb_view v = h->has_view && !(s->a & 1) ? h->view : (struct vmb_view){ s->v & 0xffff, s->v >> 16 };
	uint32_t n = s->c % 8, sum = 0, bytes = (uint32_t)s->c * 16;
	int inside = v.pos < half_size(h) && v.len <= half_size(h) && s->b <= v.len, count;
	struct vmb_span spans[8];
	uint8_t *buf = fuzz_alloc(8, bytes);

	if (h->rx) {
		count = half_rx_result(h, vmb_rx_spans(h->rx, &v, s->b, spans, n));
		fuzz_need(inside || count < 0);
		for (int i = 0; i < count; i++) {
			const uint8_t *base = spans[i].base;

			fuzz_need(base >= h->ring->low && base + spans[i].len <= h->ring->high);
			sum += (uint32_t)spans[i].len;
		}
		fuzz_need(count < 0 || ((uint32_t)count <= n && sum <= v.len - s->b));
		count = half_rx_result(h, vmb_rx_copy(h->rx, &v, s->b, buf, bytes));
		fuzz_need(count == VMB_EPEER || count == (inside && bytes <= v.len - s->b ? 0 : VMB_EINVAL));
	}
	if (h->tx) {
		count = half_tx_result(h, vmb_tx_spans(h->tx, &v, s->b, spans, n));
		fuzz_need(count < 0 ? count == VMB_EPEER || !inside : inside && (uint32_t)count <= n);
		if (!inside || bytes > v.len - s->b) {
			count = half_tx_result(h, vmb_tx_copy(h->tx, &v, s->b, buf, bytes));
			fuzz_need(count == VMB_EPEER || count == VMB_EINVAL);
		}
	}
	free(buf);
}

static void half_inspect(struct half *h)
{
	struct vmb_ring_info info;

	fuzz_need(!vmb_ring_inspect(&h->ring->mem, &info));
	fuzz_need(info.data_bytes == half_size(h));
	if (!ring_tampered)
		fuzz_need(info.in == h->at[AT_IN] && info.out == h->at[AT_OUT] && info.interrupt_mask == h->mask &&
			  info.pending_send == h->pending && info.features == 1);
}

/* Memory that is none: neither half is made of it. */
static void half_try(const struct half *h, const struct fuzz_step *s)
{
	struct vmb_ring_mem wrong = h->ring->mem;
	struct vmb_storage need;
	struct vmb_ring_info info;
	struct vmb_cursor from = { 1, s->v, 0, s->b & 1 };
	void *list[RING_PAGES_MAX];
	struct vmb_tx *tx;
	struct vmb_rx *rx;
	uint8_t *mem;
	int r;

	if (s->b >= 250 && wrong.pages) { /* the last page is not where pages are */
		memcpy(list, h->ring->list, sizeof list);
		list[wrong.data_pages - 1] = s->b & 1 ? NULL : (uint8_t *)list[0] + 8;
		wrong.pages = list;
	}
	switch (s->b % 6) {
	case 0: wrong.control = (uint8_t *)wrong.control + 8; break;
	case 1: wrong.data_pages = s->v % 2 ? s->v : 0; break;
	case 2: wrong.flags |= s->v; break;
	case 3:
		wrong.data = s->v & 1 ? NULL : wrong.control;
		wrong.pages = s->v & 1 ? wrong.pages : NULL;
		break;
	default: break;
	}
	r = vmb_tx_storage(&wrong, &need);
	fuzz_need((r == 0 || r == VMB_EINVAL) && vmb_rx_storage(&wrong, &need) == r && vmb_ring_inspect(&wrong, &info) == r);
	if (s->b % 6 < 4) {
		if (r)
			fuzz_need(vmb_tx_init(&need, 0, &wrong, NULL, &tx) == r && vmb_rx_init(&need, 0, &wrong, NULL, &rx) == r);
		return;
	}
	fuzz_need(vmb_tx_init(h->tx_mem, 8, &wrong, &from, &tx) == VMB_ENOSPACE && vmb_rx_init(h->rx_mem, 8, &wrong, &from, &rx) == VMB_ENOSPACE);
	if (wrong.pages != list && from.index < half_size(h) && from.index % 8 == 0 && !from.reserved)
		return;
	mem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(vmb_rx_init(mem, need.bytes, &wrong, &from, &rx) == VMB_EINVAL);
	fuzz_need(!vmb_tx_storage(&wrong, &need));
	free(mem);
	mem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(vmb_tx_init(mem, need.bytes, &wrong, &from, &tx) == VMB_EINVAL);
	free(mem);
}

/* The library is built with VMB_CHECKED: no object, one of another kind, or one that was given back is refused. */
static void half_null(struct half *h, const struct fuzz_step *s)
{
	struct vmb_tx *tx = s->b & 1 ? (void *)h->rx : NULL;
	struct vmb_rx *rx = s->b & 1 ? (void *)h->tx : NULL;
	struct vmb_packet p = { .kind = VMB_PKT_INBAND };
	struct vmb_view v = { 0, 0 };
	struct vmb_span part;
	uint32_t at = 1;
	uint8_t byte = 0;

	fuzz_need(vmb_tx_put(tx, &p) == VMB_EINVAL && vmb_tx_putv(tx, &p, &part, 0) == VMB_EINVAL && vmb_tx_reserve(tx, &p, &v) == VMB_EINVAL);
	fuzz_need(!vmb_tx_place(tx, &p) && vmb_rx_get(rx, &byte, 0, &p) == VMB_EINVAL);
	fuzz_need(vmb_tx_commit(tx) == VMB_EINVAL && vmb_tx_discard(tx) == VMB_EINVAL && vmb_tx_arm(tx, &p, 0) == VMB_EINVAL);
	fuzz_need(vmb_tx_spans(tx, &v, 0, &part, 1) == VMB_EINVAL && vmb_tx_copy(tx, &v, 0, &byte, 0) == VMB_EINVAL);
	fuzz_need(vmb_tx_end(tx, NULL) == VMB_EINVAL && !vmb_tx_reason(tx, &at) && !at);
	fuzz_need(vmb_rx_next(rx, &p, &v) == VMB_EINVAL && vmb_rx_release(rx) == VMB_EINVAL && vmb_rx_rewind(rx) == VMB_EINVAL);
	fuzz_need(vmb_rx_sleep(rx) == VMB_EINVAL && vmb_rx_mask(rx) == VMB_EINVAL && vmb_rx_end(rx, NULL) == VMB_EINVAL);
	fuzz_need(vmb_rx_spans(rx, &v, 0, &part, 1) == VMB_EINVAL && vmb_rx_copy(rx, &v, 0, &byte, 0) == VMB_EINVAL && !vmb_rx_reason(rx, &at));
	if (h->tx && h->rx)
		fuzz_need(vmb_tx_put(h->tx, NULL) == VMB_EINVAL && vmb_rx_next(h->rx, NULL, &v) == VMB_EINVAL);
}

static void half_step(struct half *h, const struct fuzz_step *s)
{
	ring_call();
	switch (s->op % 18) {
	case 0: case 1: case 2: half_put(h, s); break;
	case 3: half_commit(h); break;
	case 4: half_discard(h); break;
	case 5: half_arm(h, s); break;
	case 6: half_remake_tx(h, s); break;
	case 7: case 8: half_next(h, s); break;
	case 9: half_release(h, 0); break;
	case 10: half_release(h, 1); break;
	case 11: half_rewind(h); break;
	case 12: half_mask(h); break;
	case 13: half_look(h, s); break;
	case 14: half_remake_rx(h, s); break;
	case 15: half_inspect(h); break;
	case 16: ring_peer(s); break;
	default:
		if (s->a > 250)
			half_fresh(h);
		else if (s->a > 240)
			half_null(h, s);
		else
			half_try(h, s);
		break;
	}
	half_check(h);
}

void ring_halves(struct fuzz_input *in, const struct fuzz_step *first)
{
	struct half *h = calloc(1, sizeof *h);
	struct fuzz_step s;

	fuzz_need(h);
	h->ring = ring_get(0, first->a % 3, 1 + first->b % RING_PAGES_MAX);
	h->flags = first->c & 1 ? VMB_RING_LOOSE : 0;
	half_fresh(h);
	while (fuzz_next(in, &s))
		half_step(h, &s);
	free(h->tx_mem);
	free(h->rx_mem);
	free(h);
}
