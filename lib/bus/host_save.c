/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A host end as bytes. Saving changes nothing: what devices have of the end is written down as what they must be asked for again.
 * control-plane.md 18, gpadl.md 9, ring.md 14
 */
#include "host_saved.h"

/* ---- the records, both ways */

void vmbi_hs_connection(struct vmbi_blob *b, struct vmbi_hs_connection *c)
{
	vmbi_blob_words(b, &c->vtl, 10); /* up to swapping */
	vmbi_blob_64(b, &c->tokens);
	vmbi_blob_64(b, &c->page_gpa);
	vmbi_blob_64(b, &c->monitor[0]);
	vmbi_blob_64(b, &c->monitor[1]);
	vmbi_blob_64(b, &c->wanted[0]);
	vmbi_blob_64(b, &c->wanted[1]);
	vmbi_blob_bytes(b, &c->client_id, sizeof c->client_id);
}

void vmbi_hs_contact(struct vmbi_blob *b, struct vmbi_host_request *q)
{
	vmbi_blob_32(b, &q->version);
	vmbi_blob_32(b, &q->connection);
	vmbi_blob_32(b, &q->vp);
	vmbi_blob_32(b, &q->features);
	vmbi_blob_32(b, &q->trusted);
	vmbi_blob_64(b, &q->page);
	vmbi_blob_64(b, &q->monitor[0]);
	vmbi_blob_64(b, &q->monitor[1]);
	vmbi_blob_bytes(b, &q->client_id, sizeof q->client_id);
}

static void hs_cursor(struct vmbi_blob *b, struct vmb_cursor *c)
{
	vmbi_blob_words(b, &c->valid, 3);
}

void vmbi_hs_channel(struct vmbi_blob *b, struct vmbi_hs_channel *c)
{
	vmbi_blob_bytes(b, &c->class_id, sizeof c->class_id);
	vmbi_blob_bytes(b, &c->instance, sizeof c->instance);
	vmbi_blob_words(b, &c->subchannel, 5); /* up to monitor */
	hs_cursor(b, &c->tx_at);
	hs_cursor(b, &c->rx_at);
	vmbi_blob_lives(b, &c->opens);
}

void vmbi_hs_list(struct vmbi_blob *b, struct vmbi_hs_list *l)
{
	vmbi_blob_words(b, &l->s.id, 7);
	vmbi_blob_words(b, &l->quiet, 2);
}

void vmbi_hs_open(struct vmbi_blob *b, struct vmbi_host_open *o, uint32_t *again)
{
	vmbi_blob_32(b, again);
	vmbi_blob_32(b, &o->open_id);
	vmbi_blob_32(b, &o->ring_id);
	vmbi_blob_32(b, &o->rx_pages);
	vmbi_blob_words(b, &o->target_vp, 8); /* up to result_sint */
	vmbi_blob_bytes(b, o->user_data, sizeof o->user_data);
}

void vmbi_hs_message(struct vmbi_blob *b, struct vmbi_hs_message *m)
{
	vmbi_blob_32(b, &m->vp);
	vmbi_blob_32(b, &m->len);
	vmbi_blob_bytes(b, m->bytes, sizeof m->bytes);
}

void vmbi_hs_statistics(struct vmbi_blob *b, struct vmb_host *h)
{
	vmbi_blob_64(b, &h->messages_in);
	vmbi_blob_64(b, &h->messages_out);
	vmbi_blob_64(b, &h->dropped);
	vmbi_blob_64(b, &h->refused_quota);
	vmbi_blob_64(b, &h->post_retries);
	vmbi_blob_64(b, &h->late_answers);
	vmbi_blob_32(b, &h->stray);
	vmbi_blob_fates(b, h->fates, &h->post_failed, &h->over_budget);
}

/* ---- the connection */

static void hs_save_connection(struct vmb_host *h, struct vmbi_blob *b)
{
	struct vmbi_hs_connection c = {
		.vtl = h->cfg.vtl, .state = h->state, .action = h->action, .version = h->version, .features = h->features,
		.trusted = h->trusted, .paused = h->paused, .message_vp = h->message_vp, .reset_done = h->reset_done,
		.swapping = h->monitor.swapping, .tokens = h->tokens, .client_id = h->client_id,
	};

	if (!h->action) { /* else the pages are on their way out */
		c.page_gpa = h->page_mapped ? h->page_gpa : 0;
		for (uint32_t i = 0; i < 2; i++) {
			c.monitor[i] = h->monitor.gpa[i];
			c.wanted[i] = c.swapping ? h->monitor.wanted[i] : 0;
		}
	}
	vmbi_blob_begin(b, VMBI_HS_CONNECTION);
	vmbi_hs_connection(b, &c);
	vmbi_blob_close(b);
	if (h->action != VMBI_ACTION_CONTACT)
		return;
	vmbi_blob_begin(b, VMBI_HS_CONTACT);
	vmbi_hs_contact(b, &h->request);
	vmbi_blob_close(b);
}

/* ---- channels */

/* left: no guest knows it any more, and it goes when the device has let go. */
static void hs_save_list(struct vmb_host *h, struct vmbi_blob *b, uint32_t ref, int left)
{
	struct vmbi_hs_list l = { .held = h->gpadl[ref].holds != 0 };

	vmbi_gpadls_state(h->store, ref, &l.s);
	if (left) /* it is complete: parts of lists are forgotten when a guest lets go */
		l.quiet = l.s.leaving = 1;
	vmbi_blob_begin(b, VMBI_HS_LIST);
	vmbi_hs_list(b, &l);
	for (uint32_t i = 0; i < l.s.kept; i++) {
		uint64_t word;

		vmbi_gpadls_words(h->store, ref, i, &word, 1);
		vmbi_blob_64(b, &word);
	}
	vmbi_blob_close(b);
}

static void hs_save_open(struct vmbi_blob *b, struct vmbi_host_open *o, uint32_t again)
{
	vmbi_blob_begin(b, VMBI_HS_OPEN);
	vmbi_hs_open(b, o, &again);
	vmbi_blob_close(b);
}

/* How the guest's state is saved. */
static uint32_t hs_state(const struct vmbi_hc *c)
{
	static const uint32_t saved[] = {
		[VMBI_HC_UNOFFERED] = VMBI_HS_RELEASED, [VMBI_HC_CLOSED] = VMBI_HS_CLOSED, [VMBI_HC_OPENING] = VMBI_HS_OPENING,
		[VMBI_HC_OPEN] = VMBI_HS_IS_OPEN, [VMBI_HC_CLOSING] = VMBI_HS_CLOSING, [VMBI_HC_REOPEN] = VMBI_HS_REOPEN,
		[VMBI_HC_REVOKED] = VMBI_HS_REVOKED,
	};

	return saved[c->state];
}

static uint32_t hs_flags(struct vmb_host *h, const struct vmbi_hc *c, uint32_t state)
{
	uint32_t flags = 0;

	if (state == VMBI_HS_LEFT)
		return (vmbi_hc_is_served(c) ? VMBI_HS_SERVED : 0) | (c->removed || c->renewing ? VMBI_HS_AGAIN : 0);
	if (state == VMBI_HS_RELEASED)
		return 0;
	flags |= vmbi_hc_is_told(h, c) ? VMBI_HS_TOLD : 0;
	flags |= c->kept ? VMBI_HS_KEPT : 0;
	flags |= c->modifying ? VMBI_HS_MODIFYING : 0;
	flags |= c->rescinded ? VMBI_HS_RESCINDED : 0;
	if (state == VMBI_HS_CLOSED && h->timed_links[c->slot].in)
		flags |= VMBI_HS_UNOPENED;
	if (state == VMBI_HS_REVOKED && vmbi_hc_is_served(c))
		flags |= VMBI_HS_SERVED;
	if (state == VMBI_HS_IS_OPEN && (c->poisoned || (c->channel && vmbi_channel_is_broken(c->channel))))
		flags |= VMBI_HS_POISONED;
	return flags;
}

/* How many opens stand behind a channel in this state. */
uint32_t vmbi_hs_opens(uint32_t state, uint32_t flags)
{
	switch (state) {
	case VMBI_HS_OPENING:
	case VMBI_HS_IS_OPEN:
	case VMBI_HS_CLOSING:
		return 1;
	case VMBI_HS_REOPEN:
		return 2;
	default:
		return flags & VMBI_HS_SERVED ? 1 : 0;
	}
}

static void hs_save_channel(struct vmb_host *h, struct vmbi_blob *b, struct vmbi_hc *c, uint32_t state)
{
	struct vmbi_hs_channel s = { .class_id = c->class_id, .instance = c->instance, .subchannel = c->subchannel,
				     .state = state, .flags = hs_flags(h, c, state), .opens = c->opens, .refused = c->refused,
				     .closes = c->closes, .lost = c->lost };
	uint32_t opens = vmbi_hs_opens(state, s.flags);

	if (state < VMBI_HS_RELEASED) {
		s.id = c->id;
		s.monitor = c->monitor;
	}
	if (state == VMBI_HS_IS_OPEN && !(s.flags & VMBI_HS_POISONED)) {
		s.tx_at = c->tx_at;
		s.rx_at = c->rx_at;
		if (c->channel)
			vmbi_channel_where(c->channel, &s.tx_at, &s.rx_at);
	}
	vmbi_blob_begin(b, VMBI_HS_CHANNEL);
	vmbi_hs_channel(b, &s);
	vmbi_blob_close(b);
	if (state == VMBI_HS_RELEASED)
		return;
	for (uint32_t ref = vmbi_gpadls_each(h->store, c->slot, 0); ref; ref = vmbi_gpadls_each(h->store, c->slot, ref))
		hs_save_list(h, b, ref, state == VMBI_HS_LEFT);
	if (opens)
		hs_save_open(b, &c->open, 0);
	if (opens > 1)
		hs_save_open(b, &c->reopen, 1);
}

/* Of a channel that the guest knows no more: does something of it live on? */
static uint32_t hs_left(struct vmb_host *h, const struct vmbi_hc *c)
{
	if (c->state == VMBI_HC_FREE || (c->state != VMBI_HC_UNOFFERED && !vmbi_host_is_left(h, c)))
		return 0;
	if (vmbi_hc_is_served(c) || c->holds)
		return VMBI_HS_LEFT;
	return !c->removed && vmbi_host_may_offer(h, c) ? VMBI_HS_RELEASED : 0;
}

/* In an order that does not depend on slots: by channel id, then as they would be offered, then removed ones. */
static void hs_save_channels(struct vmb_host *h, struct vmbi_blob *b)
{
	for (uint32_t id = 1; id < VMBI_HOST_IDS; id++) {
		struct vmbi_hc *c = vmbi_host_named(h, id);

		if (c && !vmbi_host_is_left(h, c))
			hs_save_channel(h, b, c, hs_state(c));
	}
	for (uint32_t i = 0; i < h->sorted_used; i++) {
		struct vmbi_hc *c = &h->ch[h->sorted[i]];

		if (hs_left(h, c))
			hs_save_channel(h, b, c, hs_left(h, c));
	}
	for (uint32_t i = 1; i <= h->slots; i++)
		if (h->ch[i].removed && hs_left(h, &h->ch[i]))
			hs_save_channel(h, b, &h->ch[i], VMBI_HS_LEFT);
}

/* ---- messages */

static void hs_save_message(struct vmbi_blob *b, struct vmbi_hs_message *m)
{
	vmbi_blob_begin(b, VMBI_HS_MESSAGE);
	vmbi_hs_message(b, m);
	vmbi_blob_close(b);
}

/* A connect that waits for an answer is not known to anybody after a restore: it is refused. */
static void hs_save_messages(struct vmb_host *h, struct vmbi_blob *b)
{
	struct vmbi_hs_message m = { 0, 0, { 0 } };

	for (uint32_t node = 0; (node = vmbi_hq_look(h, node, m.bytes, &m.len, &m.vp)) != 0;)
		hs_save_message(b, &m);
	for (uint32_t i = 0; (i = vmbi_hvsock_look(h, i, m.bytes, &m.len)) != 0;) {
		m.vp = h->message_vp;
		hs_save_message(b, &m);
	}
}

/* ---- the call */

/* Whoever serves a channel must be between two packets. */
static int hs_ready(struct vmb_host *h)
{
	struct vmb_cursor tx, rx;

	for (uint32_t i = 1; i <= h->slots; i++) {
		const struct vmbi_hc *c = &h->ch[i];

		if (c->state == VMBI_HC_OPEN && c->channel && !vmbi_channel_is_broken(c->channel) &&
		    !vmbi_channel_where(c->channel, &tx, &rx))
			return VMB_ESTATE;
	}
	return 0;
}

static int hs_save(struct vmb_host *h, uint32_t format, void *buf, size_t bytes, size_t *used)
{
	struct vmbi_blob b;
	int r = vmbi_blob_save(&b, buf, bytes, format, VMBI_BLOB_HOST);

	if (!r)
		r = hs_ready(h);
	if (r)
		return r;
	hs_save_connection(h, &b);
	hs_save_channels(h, &b);
	hs_save_messages(h, &b);
	if (b.format >= VMBI_BLOB_STATISTICS) {
		vmbi_blob_begin(&b, VMBI_HS_STATISTICS);
		vmbi_hs_statistics(&b, h);
		vmbi_blob_close(&b);
	}
	return vmbi_blob_finish(&b, used);
}

int vmb_host_save(struct vmb_host *h, uint32_t format, void *buf, size_t bytes, size_t *used)
{
	int r = used ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	r = hs_save(h, format, buf, bytes, used);
	vmbi_guard_leave(&h->guard);
	return r;
}
