/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Two channels over two rings. With an honest peer: all that is sent comes out, once and in order; who sleeps is woken for a packet,
 * who got VMB_EFULL for an empty ring; the dirty log has every page that changed. Always: only requests in flight are answered, with
 * their own user, and each once; what refuses refuses for good; what is received lies within the buffer and is a list where it says so.
 */
#include "ring.h"

#define CHANNEL_PACKETS 1024u
#define CHANNEL_REQUESTS 8u
#define CHANNEL_PASSED 64u  /* completions for nobody that one call passes over */
#define CHANNEL_RECORDS 4u

struct channel_packet {
	uint16_t kind, flags, page_set;
	uint32_t len, seed, list_seed, list_words, total;
	uint64_t id;
};

struct channel_request {
	uint64_t id, user;
	int cancelled;
};

struct channel_side {
	struct channel_side *other;
	struct ring *tx, *rx;
	struct vmb_channel_config cfg;
	void *mem;
	struct vmb_channel *ch; /* NULL: init has failed */
	int awake;              /* has a reason to call recv */
	int waiting;            /* had EFULL, and no wake since */
	int full;               /* had EFULL, and nothing was put since */
	uint32_t pending;       /* in the control page, before the call */
	int stopped, broken, small;
	int wrong;              /* the call's parts do not add up */
	uint64_t users;
	struct channel_request req[CHANNEL_REQUESTS]; /* id 0: none */
	uint64_t heard[4];      /* ids of requests that came in last */
	unsigned hears;
	/* sent on tx: put, published, and taken by the other side */
	struct channel_packet packets[CHANNEL_PACKETS];
	uint32_t put, pub, got, next;
	uint8_t *dirty_was;     /* tx data as of the last look at the log */
	uint32_t dirty_words[6];
};

struct channel_pair {
	struct channel_side side[2];
	uint64_t words[CHANNEL_RECORDS][RING_WORDS_MAX + 1];
};

static void channel_signal(void *ctx)
{
	struct channel_side *s = ctx;

	s->other->awake = 1;
	s->other->waiting = 0;
}

static int channel_is_pipe(const struct channel_side *s, uint16_t kind)
{
	return s->cfg.flags & VMB_CHANNEL_PIPE && !(s->cfg.flags & VMB_CHANNEL_RAW) && kind == VMB_PKT_INBAND;
}

/* A result of a data call: what refuses does so for good, and only a hostile peer breaks a channel. */
static int channel_result(struct channel_side *s, int r)
{
	fuzz_trace("\t= %d\n", r);
	if (s->stopped)
		fuzz_need(r == VMB_ESTOPPED);
	else if (s->broken)
		fuzz_need(r == VMB_EPEER);
	else
		fuzz_need(r != VMB_ESTOPPED);
	if (r == VMB_EPEER) {
		fuzz_need(ring_tampered);
		s->broken = 1;
	}
	if (r >= 0 && s->cfg.flags & VMB_CHANNEL_DEFER && r & VMB_SIGNAL)
		fuzz_need(!vmb_channel_signal(s->ch));
	return r;
}

/* ---- requests in flight */

static struct channel_request *channel_request(struct channel_side *s, uint64_t id)
{
	for (unsigned i = 0; i < CHANNEL_REQUESTS; i++)
		if (id && s->req[i].id == id)
			return &s->req[i];
	return NULL;
}

static unsigned channel_in_flight(const struct channel_side *s, int cancelled)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CHANNEL_REQUESTS; i++)
		n += s->req[i].id && s->req[i].cancelled >= cancelled;
	return n;
}

static void channel_sent_request(struct channel_side *s, const struct vmb_packet *p)
{
	unsigned i = 0;

	fuzz_need(p->id && !channel_request(s, p->id) && channel_in_flight(s, 0) < s->cfg.requests);
	while (s->req[i].id)
		i++;
	s->req[i] = (struct channel_request){ p->id, p->user, 0 };
}

/* A completion was given out: it must be of a request in flight, which it ends. */
static void channel_completed(struct channel_side *s, const struct vmb_packet *p)
{
	struct channel_request *q = channel_request(s, p->id);

	if (!s->cfg.requests)
		return;
	fuzz_need(q && q->user == p->user && !(p->flags & VMB_PKT_LATE) == !q->cancelled);
	q->id = 0;
}

static void channel_outstanding(struct channel_side *s, int learn)
{
	struct channel_request found[CHANNEL_REQUESTS];
	uint32_t cursor = 0, n = 0, flags;
	uint64_t id, user;

	while (vmb_channel_outstanding(s->ch, &cursor, &id, &user, &flags) == VMB_YES) {
		struct channel_request *q = channel_request(s, id);

		fuzz_need(n < CHANNEL_REQUESTS && q && q->user == user && !q->cancelled == !(flags & VMB_PKT_LATE));
		found[n++] = *q;
	}
	fuzz_need(learn ? n <= channel_in_flight(s, 0) : n == channel_in_flight(s, 0));
	memset(s->req, 0, sizeof s->req);
	memcpy(s->req, found, n * sizeof *found);
}

static void channel_cancel(struct channel_side *s, const struct fuzz_step *st)
{
	struct channel_request *q = &s->req[st->c % CHANNEL_REQUESTS];
	uint64_t id = st->b & 1 ? st->v : q->id, user = 0;
	int r;

	q = channel_request(s, id);
	r = vmb_channel_cancel(s->ch, id, &user);
	fuzz_need(r == (q && !q->cancelled ? 0 : VMB_ENOENT));
	if (r)
		return;
	fuzz_need(user == q->user);
	q->cancelled = 1;
}

/* An id that no table could have given is refused; one that could is a request from then on. */
static void channel_adopt(struct channel_side *s, const struct fuzz_step *st)
{
	uint64_t id = st->b & 1 ? (uint64_t)st->v << 16 | st->c : st->v;
	struct vmb_packet p = { .id = id, .user = ++s->users };
	int r;

	if (!s->cfg.requests || channel_in_flight(s, 0) >= s->cfg.requests)
		return;
	r = vmb_channel_adopt(s->ch, id, p.user);
	fuzz_need(r == 0 || r == VMB_EINVAL);
	fuzz_need(r || !channel_request(s, id));
	if (!r)
		channel_sent_request(s, &p);
}

/* ---- sending */

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

static void channel_put(struct channel_pair *pair, struct channel_side *s, const struct fuzz_step *st)
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

static void channel_flush(struct channel_side *s)
{
	int r = channel_result(s, vmb_channel_flush(s->ch));

	fuzz_need(r == 0 || r == VMB_SIGNAL || r == VMB_ESTOPPED || r == VMB_EPEER);
	if (r >= 0)
		s->pub = s->put;
}

/* Several in one buffer, one of them perhaps not all in it. */
static void channel_send_batch(struct channel_pair *pair, struct channel_side *s, const struct fuzz_step *st)
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

/* ---- receiving */

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

static void channel_recv(struct channel_side *s, const struct fuzz_step *st)
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

static void channel_recv_batch(struct channel_side *s, const struct fuzz_step *st)
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

static void channel_next(struct channel_side *s)
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
static void channel_skip(struct channel_side *s)
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

static void channel_release(struct channel_side *s)
{
	int r = channel_result(s, vmb_channel_release(s->ch));

	fuzz_need(r == 0 || r == VMB_EPEER || r == VMB_ESTOPPED);
}

/* ---- looking at it */

/* Arguments that are none are refused. */
static void channel_null(struct channel_side *s)
{
	struct vmb_channel_info info = { .size = sizeof info };
	const struct vmb_mapper m = { NULL, NULL, NULL };
	struct vmb_storage need;
	struct vmb_record rec;
	struct vmb_packet p = { .kind = VMB_PKT_GPA };
	struct vmb_field f;
	uint64_t id;
	uint32_t cursor = 0, at = 5;

	fuzz_need(vmb_channel_storage(NULL, &need) == VMB_EINVAL && vmb_channel_init(NULL, 0, &s->cfg, &s->ch) == VMB_EINVAL);
	fuzz_need(vmb_channel_info(NULL, &info) == VMB_EINVAL && vmb_channel_dirty(s->ch, NULL, 1) == VMB_EINVAL);
	fuzz_need(vmb_channel_tx(NULL, NULL) == VMB_EINVAL && vmb_channel_rx(NULL, NULL) == VMB_EINVAL && vmb_channel_stop(NULL) == VMB_EINVAL);
	fuzz_need(vmb_channel_end(NULL, NULL, NULL) == VMB_EINVAL && vmb_channel_adopt(NULL, 1, 1) == VMB_EINVAL);
	fuzz_need(vmb_channel_outstanding(s->ch, NULL, &id, NULL, NULL) == VMB_EINVAL);
	fuzz_need(!(s->cfg.flags & VMB_CHANNEL_DIRTY) || vmb_channel_dirty(s->ch, &id, 0) == VMB_ETOOSMALL);
	fuzz_need(vmb_channel_recv_batch(s->ch, NULL, 0, &rec, 0) == VMB_EINVAL && vmb_channel_send_batch(s->ch, NULL, 0, &rec, 0) == VMB_EINVAL);
	fuzz_need(!vmb_packet_bytes(NULL) && !vmb_packet_bytes(&p) && vmb_packet_field(NULL, 0, 0, &f) == VMB_EINVAL);
	fuzz_need(vmb_packet_read(&p, NULL, &m, 0, &id, 8) == VMB_EINVAL && vmb_packet_read(&p, NULL, NULL, 0, &id, 8) == VMB_EINVAL);
	fuzz_need(vmb_list_read(NULL, &m, 0, &id, 8) == VMB_EINVAL && vmb_list_next(NULL, &cursor, NULL) == VMB_EINVAL);
	fuzz_need(vmb_list_next(&p.list, &cursor, &(struct vmb_range){ 0 }) == VMB_EINVAL);
	fuzz_need(vmb_list_next(&p.list, &at, &(struct vmb_range){ 0 }) == VMB_EINVAL);
	p.kind = VMB_PKT_XFER;
	p.list.ranges = 1;
	fuzz_need(!vmb_packet_bytes(&p));
}

static void channel_info(struct channel_side *s)
{
	struct vmb_channel_info info = { .size = sizeof info };

	fuzz_need(!vmb_channel_info(s->ch, &info));
	fuzz_need(info.requests == channel_in_flight(s, 0) && info.zombies == channel_in_flight(s, 1));
	fuzz_need(info.error == (s->stopped ? VMB_ESTOPPED : info.error));
	if (s->broken)
		fuzz_need(info.error && info.reason && info.reason <= VMB_R_PAYLOAD);
	if (!ring_tampered)
		fuzz_need(!info.reason && info.tx.in == ring_word(s->tx, RING_IN) && info.sent == s->pub - s->dirty_words[5]);
}

/* Words of the two control pages that this side writes. */
static void channel_own_words(const struct channel_side *s, uint32_t own[5])
{
	own[0] = ring_word(s->tx, RING_IN);
	own[1] = ring_word(s->tx, RING_PENDING);
	own[2] = ring_word(s->tx, RING_FEATURES);
	own[3] = ring_word(s->rx, RING_OUT);
	own[4] = ring_word(s->rx, RING_MASK);
}

/* Every page that differs from what it was at the last look is in the log. */
static void channel_dirty(struct channel_side *s, int check)
{
	uint64_t bits[1] = { 0 };
	uint32_t tx = s->rx->pages + 1, own[5];
	int r = vmb_channel_dirty(s->ch, bits, 1);

	fuzz_need(r == (s->cfg.flags & VMB_CHANNEL_DIRTY ? 0 : VMB_ESTATE));
	fuzz_need(!(bits[0] >> (s->tx->pages + s->rx->pages + 2)));
	channel_own_words(s, own);
	if (!r && check && !ring_tampered && s->put == s->pub) {
		for (uint32_t i = 0; i < s->tx->pages; i++)
			fuzz_need(bits[0] >> (tx + 1 + i) & 1 || !memcmp(s->dirty_was + i * VMB_PAGE, s->tx->data + i * VMB_PAGE, VMB_PAGE));
		fuzz_need(bits[0] >> tx & 1 || !memcmp(own, s->dirty_words, 12));
		fuzz_need(bits[0] & 1 || !memcmp(own + 3, s->dirty_words + 3, 8));
	}
	memcpy(s->dirty_was, s->tx->data, s->tx->size);
	memcpy(s->dirty_words, own, sizeof own);
}

/* ---- beginning and end */

static void channel_make(struct channel_side *s)
{
	struct vmb_storage need;
	int r;

	fuzz_need(!vmb_channel_storage(&s->cfg, &need));
	free(s->mem);
	s->mem = fuzz_alloc(need.align, need.bytes);
	s->ch = NULL;
	s->stopped = s->broken = s->small = 0;
	s->awake = 1;
	s->dirty_words[5] = s->pub;
	r = vmb_channel_init(s->mem, need.bytes, &s->cfg, &s->ch);
	fuzz_need(r ? r == VMB_EPEER && ring_tampered : s->ch != NULL);
	if (s->ch)
		channel_dirty(s, 0);
}

/* Give it back and go on with another object, which is told of the requests in flight. */
static void channel_remake(struct channel_side *s)
{
	struct channel_request was[CHANNEL_REQUESTS];
	struct vmb_channel_info info = { .size = sizeof info };

	fuzz_need(!vmb_channel_end(s->ch, &s->cfg.tx_at, &s->cfg.rx_at));
	fuzz_need(vmb_channel_end(s->ch, NULL, NULL) == VMB_ESTATE);
	fuzz_need(!vmb_channel_info(s->ch, &info) && info.tx.data_bytes == s->tx->size);
	s->stopped = 1;
	channel_release(s);
	fuzz_need(s->cfg.tx_at.valid && s->cfg.tx_at.index < s->tx->size && s->cfg.rx_at.valid && s->cfg.rx_at.index < s->rx->size);
	s->pub = s->put;
	channel_make(s);
	s->cfg.tx_at.valid = s->cfg.rx_at.valid = 0;
	memcpy(was, s->req, sizeof was);
	memset(s->req, 0, sizeof s->req);
	for (unsigned i = 0; s->ch && i < CHANNEL_REQUESTS; i++) {
		if (!was[i].id)
			continue;
		fuzz_need(!vmb_channel_adopt(s->ch, was[i].id, was[i].user));
		s->req[i] = was[i];
		s->req[i].cancelled = 0;
		if (was[i].cancelled && !vmb_channel_cancel(s->ch, was[i].id, NULL))
			s->req[i].cancelled = 1;
	}
}

static void channel_fresh(struct channel_pair *pair)
{
	ring_peer_forget();
	for (unsigned i = 0; i < 2; i++) {
		struct channel_side *s = &pair->side[i];

		s->cfg.tx = s->tx->mem;
		s->cfg.rx = s->rx->mem;
		s->cfg.tx.flags |= i ? 0 : VMB_RING_FRESH;
		s->cfg.rx.flags |= i ? 0 : VMB_RING_FRESH;
		s->put = s->pub = s->got = s->next = 0;
		s->waiting = s->full = 0;
		memset(s->req, 0, sizeof s->req);
		channel_make(s);
		fuzz_need(s->ch);
		s->cfg.tx.flags &= ~VMB_RING_FRESH;
		s->cfg.rx.flags &= ~VMB_RING_FRESH;
	}
}

/* A config with a wrong number in it: a channel could be made of it, or not. */
static void channel_try(const struct channel_side *s, const struct fuzz_step *st)
{
	struct vmb_channel_config wrong = s->cfg;
	struct vmb_storage need;
	struct vmb_channel *ch;
	int r;

	memcpy((uint8_t *)&wrong + st->b % 6u * 4, &st->v, 4);
	if (wrong.size > sizeof wrong)
		wrong.size = sizeof wrong;
	if (st->b & 0x40)
		wrong.tx.data_pages = st->v;
	if (st->b & 0x80)
		wrong.rx.control = NULL;
	r = vmb_channel_storage(&wrong, &need);
	fuzz_need(r == 0 || r == VMB_EINVAL || r == VMB_ESTRUCT);
	if (r)
		fuzz_need(vmb_channel_init(s->mem, SIZE_MAX, &wrong, &ch) == r);
	else
		fuzz_need(VMB_GROUP(vmb_channel_init(s->mem, 64, &wrong, &ch)) == VMB_GROUP_CALLER);
}

/* After each step, with an honest peer: nobody sleeps who has something to do. */
static void channel_check(const struct channel_side *s)
{
	const struct channel_side *from = s->other;

	if (ring_tampered || s->stopped || from->stopped)
		return;
	fuzz_need(s->awake || from->got == from->pub);
	fuzz_need(!s->waiting || ring_word(s->tx, RING_IN) != ring_word(s->tx, RING_OUT));
	fuzz_need(ring_word(s->tx, RING_IN) == s->next || s->put != s->pub);
}

static void channel_step(struct channel_pair *pair, const struct fuzz_step *st)
{
	struct channel_side *s = &pair->side[st->a & 1];

	ring_call();
	if (st->op % 20 == 18 && st->c > 250)
		channel_fresh(pair);
	if (st->op % 20 == 17)
		ring_peer(st);
	if (st->op % 20 == 18 && st->c > 200)
		channel_try(s, st);
	if (!s->ch)
		return;
	switch (st->op % 20) {
	case 0: case 1: case 2: channel_put(pair, s, st); break;
	case 3: channel_flush(s); break;
	case 4: channel_send_batch(pair, s, st); break;
	case 5: case 6: case 7: channel_recv(s, st); break;
	case 8: channel_recv_batch(s, st); break;
	case 9: channel_next(s); break;
	case 10: channel_skip(s); break;
	case 11: channel_release(s); break;
	case 12: channel_cancel(s, st); break;
	case 13: channel_outstanding(s, 0); break;
	case 14: channel_adopt(s, st); break;
	case 15: channel_remake(s); break;
	case 16: channel_info(s); channel_dirty(s, 1); break;
	case 18:
		fuzz_need(!vmb_channel_signal(s->ch));
		if (st->c < 8)
			channel_null(s);
		break;
	case 19:
		if (st->c < 250)
			break;
		fuzz_need(!vmb_channel_stop(s->ch));
		s->stopped = 1;
		break;
	}
	channel_check(&pair->side[0]);
	channel_check(&pair->side[1]);
}

void ring_channels(struct fuzz_input *in, const struct fuzz_step *first)
{
	static const uint32_t requests[] = { 0, 1, 3, CHANNEL_REQUESTS };
	struct channel_pair *pair = calloc(1, sizeof *pair);
	struct fuzz_step s;

	fuzz_need(pair);
	for (unsigned i = 0; i < 2; i++) {
		struct channel_side *side = &pair->side[i];
		uint32_t flags = first->c & (VMB_CHANNEL_PIPE | VMB_CHANNEL_RAW);

		flags |= first->v >> (i ? 8 : 0) & (VMB_CHANNEL_DEFER | VMB_CHANNEL_POLLED | VMB_CHANNEL_DIRTY | VMB_CHANNEL_LOOSE);
		side->other = &pair->side[1 - i];
		side->tx = i ? pair->side[0].rx : ring_get(0, first->a % 3, 1 + first->b % RING_PAGES_MAX);
		side->rx = i ? pair->side[0].tx : ring_get(1, first->a / 3 % 3, 1 + first->b / 4 % RING_PAGES_MAX);
		side->dirty_was = fuzz_alloc(8, side->tx->size);
		side->cfg = (struct vmb_channel_config){ .size = sizeof side->cfg, .flags = flags, .ctx = side, .signal = channel_signal };
		side->cfg.requests = requests[first->v >> (i ? 18 : 16) & 3];
		side->cfg.max_payload = first->v >> (20 + i) & 1 ? 200 : 0;
		side->cfg.least_free = first->v >> 24 << 6;
	}
	channel_fresh(pair);
	while (fuzz_next(in, &s))
		channel_step(pair, &s);
	for (unsigned i = 0; i < 2; i++) {
		free(pair->side[i].mem);
		free(pair->side[i].dirty_was);
	}
	free(pair);
}
