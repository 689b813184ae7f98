/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Two channels over two rings. With an honest peer: all that is sent comes out, once and in order; who sleeps is woken for a packet,
 * who got VMB_EFULL for an empty ring; the dirty log has every page that changed. Always: only requests in flight are answered, with
 * their own user, and each once; what refuses refuses for good; what is received lies within the buffer and is a list where it says so.
 */
#include "ring_channel.h"

static void channel_signal(void *ctx)
{
	struct channel_side *s = ctx;

	s->other->awake = 1;
	s->other->waiting = 0;
}

int channel_is_pipe(const struct channel_side *s, uint16_t kind)
{
	return s->cfg.flags & VMB_CHANNEL_PIPE && !(s->cfg.flags & VMB_CHANNEL_RAW) && kind == VMB_PKT_INBAND;
}

/* A result of a data call: what refuses does so for good, and only a hostile peer breaks a channel. */
int channel_result(struct channel_side *s, int r)
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
		fuzz_need(!vmb_channel_signal(s->ch) && !vmb_channel_signalled(s->ch));
	return r;
}

/* ---- requests in flight */

struct channel_request *channel_request(struct channel_side *s, uint64_t id)
{
	for (unsigned i = 0; i < CHANNEL_REQUESTS; i++)
		if (id && s->req[i].id == id)
			return &s->req[i];
	return NULL;
}

unsigned channel_in_flight(const struct channel_side *s, int cancelled)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CHANNEL_REQUESTS; i++)
		n += s->req[i].id && s->req[i].cancelled >= cancelled;
	return n;
}

void channel_sent_request(struct channel_side *s, const struct vmb_packet *p)
{
	unsigned i = 0;

	fuzz_need(p->id && !channel_request(s, p->id) && channel_in_flight(s, 0) < s->cfg.requests);
	while (s->req[i].id)
		i++;
	s->req[i] = (struct channel_request){ p->id, p->user, 0 };
}

/* A completion was given out: it must be of a request in flight, which it ends. */
void channel_completed(struct channel_side *s, const struct vmb_packet *p)
{
	struct channel_request *q = channel_request(s, p->id);

	if (!s->cfg.requests)
		return;
	fuzz_need(q && q->user == p->user && !(p->flags & VMB_PKT_LATE) == !q->cancelled);
	q->id = 0;
}

void channel_outstanding(struct channel_side *s, int learn)
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
	uint8_t bytes[8];
	uint32_t cursor = 0, at = 5;

	fuzz_need(vmb_channel_storage(NULL, &need) == VMB_EINVAL && vmb_channel_init(NULL, 0, &s->cfg, &s->ch) == VMB_EINVAL);
	fuzz_need(vmb_channel_info(NULL, &info) == VMB_EINVAL && vmb_channel_dirty(s->ch, NULL, 1) == VMB_EINVAL);
	fuzz_need(vmb_channel_tx(NULL, NULL) == VMB_EINVAL && vmb_channel_rx(NULL, NULL) == VMB_EINVAL && vmb_channel_stop(NULL) == VMB_EINVAL);
	fuzz_need(vmb_channel_end(NULL, NULL, NULL) == VMB_EINVAL && vmb_channel_adopt(NULL, 1, 1) == VMB_EINVAL);
	fuzz_need(vmb_channel_outstanding(s->ch, NULL, &id, NULL, NULL) == VMB_EINVAL);
	fuzz_need(!(s->cfg.flags & VMB_CHANNEL_DIRTY) || vmb_channel_dirty(s->ch, &id, 0) == VMB_ETOOSMALL);
	fuzz_need(vmb_channel_recv_batch(s->ch, NULL, 0, &rec, 1) == VMB_EINVAL && vmb_channel_send_batch(s->ch, NULL, 0, &rec, 1) == VMB_EINVAL);
	fuzz_need(vmb_channel_recv_batch(s->ch, bytes, 0, &rec, 0) == VMB_EINVAL && vmb_channel_send_batch(s->ch, bytes, 0, &rec, 0) == VMB_EINVAL);
	fuzz_need(!vmb_packet_bytes(NULL) && !vmb_packet_bytes(&p) && vmb_packet_field(NULL, 0, 0, &f) == VMB_EINVAL);
	fuzz_need(vmb_channel_send(NULL, &p) == VMB_EINVAL && vmb_channel_flush(NULL) == VMB_EINVAL && vmb_channel_put(NULL, &p) == VMB_EINVAL);
	fuzz_need(vmb_channel_send_batch(NULL, bytes, 8, &rec, 1) == VMB_EINVAL && vmb_channel_recv_batch(NULL, bytes, 8, &rec, 1) == VMB_EINVAL);
	fuzz_need(vmb_channel_recv(NULL, &id, 8, &p) == VMB_EINVAL);
	fuzz_need(vmb_channel_skip(NULL) == VMB_EINVAL && vmb_channel_release(NULL) == VMB_EINVAL);
	fuzz_need(vmb_packet_read(&p, NULL, &m, 0, &id, 8) == VMB_EINVAL && vmb_packet_read(&p, NULL, NULL, 0, &id, 8) == VMB_EINVAL);
	fuzz_need(vmb_list_read(NULL, &m, 0, &id, 8) == VMB_EINVAL && vmb_list_next(NULL, &cursor, NULL) == VMB_EINVAL);
	fuzz_need(vmb_list_next(&p.list, &cursor, &(struct vmb_range){ 0 }) == VMB_EINVAL);
	fuzz_need(vmb_list_next(&p.list, &at, &(struct vmb_range){ 0 }) == VMB_EINVAL);
	p.kind = VMB_PKT_XFER;
	p.list.ranges = 1;
	fuzz_need(!vmb_packet_bytes(&p));
}

/* Asked for on another thread, before the n-th access of which the channel's own goes on. */
static void channel_info_beside(struct channel_side *s, unsigned n)
{
	struct vmb_channel_info info = { .size = sizeof info };

	ring_interrupt = n;
	fuzz_need(!vmb_channel_info(s->ch, &info));
	ring_interrupt = 0;
	fuzz_need(info.requests <= s->cfg.requests && info.zombies <= info.requests);
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
	case 16:
		if (st->c && !ring_interrupted)
			channel_info_beside(s, st->c % 64);
		if (!s->ch)
			break;
		channel_info(s);
		channel_dirty(s, 1);
		break;
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

static struct channel_pair *channel_now;
static struct fuzz_input *channel_input;

void ring_channels_nested(void)
{
	struct fuzz_step s;

	for (unsigned i = 0; i < 4 && fuzz_next(channel_input, &s); i++)
		if (s.op % 20 != 15 && s.op % 20 != 18) /* the object stays */
			channel_step(channel_now, &s);
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
	channel_now = pair;
	channel_input = in;
	channel_fresh(pair);
	while (fuzz_next(in, &s))
		channel_step(pair, &s);
	for (unsigned i = 0; i < 2; i++) {
		free(pair->side[i].mem);
		free(pair->side[i].dirty_was);
	}
	free(pair);
}
