/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A guest end out of bytes. Everything is taken into an end that has had no connection, and checked while that is done; if a check fails the
 * end is made anew. Channel objects are not in a blob: what was open stays so, and waits for its owner to come with the same memory.
 *
 * Or anew: after a sleep the host has a new connection to give. Of the blob only the handles of primary channels count: each gets the channel
 * that is offered for the same device, whatever its new id. control-plane.md 14, 18
 */
#include "guest_saved.h"

#define GR_KNOWN(type) (1u << (type))
#define GR_CONNECTED(g) ((g)->state > VMB_BUS_CONNECTING)
#define GR_EVENTS 0x1fu
/* The counters of an end lie in a row. */
#define GR_COUNTERS_AT offsetof(struct vmb_guest, messages_in)
#define GR_COUNTERS (offsetof(struct vmb_guest, now) - GR_COUNTERS_AT)

struct guest_restore {
	struct vmb_guest *g;
	struct vmbi_blob b;
	uint32_t last;      /* type of the record before */
	uint32_t connects, lists;
	uint32_t last_slot, last_id;
	uint32_t anew;
};

/* ---- the connection */

static int gr_is_status(int32_t status)
{
	return status <= 0 && status > -64;
}

static int gr_state_ok(const struct vmb_guest *g)
{
	uint32_t send = g->send;

	switch (g->state) {
	case VMB_BUS_NONE:
		return !send && !g->answer_due && !g->asking && !g->paused && !g->features && !g->version;
	case VMB_BUS_CONNECTING:
		return (send == VMBI_MSG_INITIATE_CONTACT) != g->answer_due && (!send || send == VMBI_MSG_INITIATE_CONTACT) && !g->asking &&
		       !g->paused && !g->features;
	case VMB_BUS_CONNECTED:
	case VMB_BUS_RUNNING:
		return (!send || (send == VMBI_MSG_REQUEST_OFFERS && g->state == VMB_BUS_CONNECTED) || send == VMBI_MSG_PAUSE ||
			(send == VMBI_MSG_RESUME && g->paused)) && !g->answer_due;
	case VMB_BUS_LEAVING:
		return (!send || send == VMBI_MSG_RESUME) && !g->answer_due && !g->asking;
	case VMBI_GUEST_UNLOADING:
		return (send == VMBI_MSG_UNLOAD) != g->answer_due && (!send || send == VMBI_MSG_UNLOAD) && !g->asking && !g->paused;
	default:
		return 0;
	}
}

static int gr_flags_ok(const struct vmb_guest *g)
{
	if ((g->redirected | g->paused | g->answer_due | g->closer.out) > 1 || g->owed > (VMBI_OWED | VMBI_OWED_FOR_GOOD) ||
	    (g->asking && g->asking != VMBI_MSG_PAUSE))
		return 0;
	if ((g->paused || g->asking || g->send == VMBI_MSG_PAUSE || g->send == VMBI_MSG_RESUME) &&
	    (!GR_CONNECTED(g) || !(g->features & VMB_FEATURE_PAUSE)))
		return 0;
	if (g->redirected && (g->state != VMB_BUS_CONNECTING || g->cfg.vtl != VMBI_REDIRECT_VTL))
		return 0;
	if (GR_CONNECTED(g) ? !g->connection || (g->connection >> 24 && g->connection != VMBI_CONNECTION_REDIRECTED)
			    : g->connection >> 24 != 0)
		return 0;
	return gr_is_status(g->closer_status) && gr_is_status(g->connect_status) && gr_is_status(g->disconnect_status) &&
	       gr_is_status(g->offers_status) && gr_is_status(g->monitor_status) && gr_is_status(g->pause_status);
}

/* The host's part of the config must be what it was: it has been told. After a sleep it is told again. */
static int gr_config(const struct guest_restore *l, const struct vmbi_gsv_connection *c)
{
	struct vmb_guest *g = l->g;
	const struct vmb_guest_config *cfg = &g->cfg;

	if (g->state == VMB_BUS_NONE)
		return 0;
	if (!vmbi_guest_may_speak(cfg, g->version) || g->features & ~cfg->features)
		return VMB_EVERSION;
	if ((g->features && g->version < VMB_V6_0) || (c->monitor_gpa[0] | c->monitor_gpa[1]) % VMB_PAGE)
		return VMB_EINVAL;
	if (GR_CONNECTED(g))
		VMBI_MEMCPY(g->monitor_gpa, c->monitor_gpa, sizeof g->monitor_gpa);
	if (l->anew)
		return 0;
	if (c->message_vp != cfg->message_vp || c->sint != cfg->sint || c->vtl != cfg->vtl || c->interrupt_gpa != cfg->interrupt_gpa)
		return VMB_EINVAL;
	if (g->features & VMB_FEATURE_SERVER_MONITOR)
		return c->monitor_gpa[0] && !c->monitor_gpa[1] ? VMB_EINVAL : 0;
	return c->monitor_gpa[0] != cfg->monitor_gpa[0] || c->monitor_gpa[1] != cfg->monitor_gpa[1] ? VMB_EINVAL : 0;
}

/* The monitor pages of the connection, as this system sees them. */
static int gr_map(struct vmb_guest *g)
{
	void *page[2] = { g->cfg.monitor_page[0], g->cfg.monitor_page[1] };

	if (!g->monitor_gpa[1])
		return 0;
	if (g->features & VMB_FEATURE_SERVER_MONITOR) {
		page[0] = page[1] = NULL;
		if (g->cfg.monitor(g->cfg.ctx, g->monitor_gpa, page) < 0 || !page[1])
			return VMB_EMAP;
	}
	VMBI_MEMCPY(g->monitor_page, page, sizeof page);
	for (uint32_t i = 1; i <= g->slots_used; i++)
		g->channels[i].monitor_page = page[1];
	return 0;
}

static int gr_connection(struct guest_restore *l)
{
	struct vmbi_gsv_connection c = { .sint = 0 };
	struct vmb_guest *g = l->g;
	int declines = 0;

	vmbi_gsv_connection(&l->b, &c, g);
	for (uint32_t w = 0; w < VMBI_FLAG_WORDS; w++)
		declines |= c.declined[w] != 0;
	if (vmbi_blob_done(&l->b) || !gr_state_ok(g) || !gr_flags_ok(g) || c.declined[0] & 1 ||
	    (declines && g->state != VMB_BUS_CONNECTED && g->state != VMB_BUS_RUNNING && g->state != VMB_BUS_LEAVING) ||
	    g->closer.id > VMBI_MAX_CHANNEL_ID || g->closer.sint > 15 || (!g->closer.id && g->closer.out))
		return VMB_EINVAL;
	VMBI_MEMCPY(g->declined, c.declined, sizeof c.declined);
	return gr_config(l, &c);
}

/* ---- handles */

static int gr_slots(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	uint64_t n = (l->b.end - l->b.at) / 4;

	if (n > VMBI_MAX_CHANNEL_ID)
		return VMB_EINVAL;
	if (n > g->cfg.max_channels)
		return VMB_ENOSPACE;
	for (uint32_t i = 1; i <= n; i++) {
		vmbi_blob_32(&l->b, &g->channels[i].generation);
		if (!g->channels[i].generation || g->channels[i].generation > VMBI_GENERATION_MAX)
			return VMB_EINVAL;
	}
	g->slots_used = (uint32_t)n;
	return vmbi_blob_done(&l->b);
}

/* ---- connects */

static int gr_connect(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	struct vmbi_gs s = { .state = 0 };

	vmbi_gsv_connect(&l->b, &s);
	if (vmbi_blob_done(&l->b) || s.state == VMBI_GS_FREE || s.state > VMBI_GS_DONE || !gr_is_status(s.status))
		return VMB_EINVAL;
	if (s.state != VMBI_GS_DONE && (!GR_CONNECTED(g) || g->version < VMB_V4_0 || vmbi_guid_is_zero(&s.service)))
		return VMB_EINVAL;
	if (l->connects >= g->cfg.max_hvsock)
		return VMB_ENOSPACE;
	g->connects[++l->connects] = s;
	return 0;
}

/* ---- channels */

static int gr_has_object(const struct vmbi_gc *c)
{
	return c->state >= VMBI_GC_CREATING && c->state <= VMBI_GC_FAILED;
}

/* Its owner can use the rings. */
static int gr_may_talk(const struct vmbi_gc *c)
{
	return c->state >= VMBI_GC_CREATING && c->state <= VMBI_GC_OPEN;
}

static int gr_channel_flags_ok(const struct vmb_guest *g, const struct vmbi_gc *c)
{
	uint32_t f = c->flags;

	if (f >= VMBI_GC_AWAY || f & VMBI_GC_MAYBE_GONE || c->state > VMBI_GC_CLOSED || !(f & VMBI_GC_OBJECT) != !gr_has_object(c))
		return 0;
	if (!(f & VMBI_GC_SEEN) && (c->state != VMBI_GC_IDLE || (f & ~VMBI_GC_RELEASED && f != (VMBI_GC_RESCINDED | VMBI_GC_RELEASED))))
		return 0;
	if ((f & VMBI_GC_OPEN_LOST && !(f & VMBI_GC_OPEN_OUT)) || (f & VMBI_GC_MODIFY_LOST && !(f & VMBI_GC_MODIFY_OUT)))
		return 0;
	if (f & VMBI_GC_RESCINDED && f & VMBI_GC_SEEN &&
	    (!(f & VMBI_GC_ABANDONED) || f & (VMBI_GC_OPEN_OUT | VMBI_GC_HOST_OPEN | VMBI_GC_CLOSE_OUT)))
		return 0;
	if (f & VMBI_GC_CLOSE_OUT && !(f & VMBI_GC_RESERVED))
		return 0;
	if (f & VMBI_GC_RESERVED && !(f & VMBI_GC_KEPT) && g->version < VMB_V4_0)
		return 0;
	if ((f & VMBI_GC_KEPT && !(f & VMBI_GC_RESERVED)) || (f & VMBI_GC_UNPROVEN && !(f & VMBI_GC_KEPT)))
		return 0;
	/* Without a connection only reserved channels that outlived one are there. */
	return f & VMBI_GC_KEPT || g->state == VMB_BUS_CONNECTED || g->state == VMB_BUS_RUNNING || g->state == VMB_BUS_LEAVING;
}

/* Is this the message that such a channel has to send? */
static int gr_send_ok(const struct vmb_guest *g, const struct vmbi_gc *c)
{
	uint32_t f = c->flags;

	switch (c->send) {
	case 0:
		return c->state != VMBI_GC_OPENING || f & VMBI_GC_OPEN_OUT;
	case VMBI_MSG_OPEN_CHANNEL:
	case VMBI_MSG_OPEN_RESERVED_CHANNEL:
		return c->state == VMBI_GC_OPENING && !(f & VMBI_GC_OPEN_OUT) &&
		       !(f & VMBI_GC_RESERVED) == (c->send == VMBI_MSG_OPEN_CHANNEL) && !(f & VMBI_GC_KEPT);
	case VMBI_MSG_CLOSE_CHANNEL:
		return f & VMBI_GC_HOST_OPEN && !(f & (VMBI_GC_RESERVED | VMBI_GC_OBJECT));
	case VMBI_MSG_CLOSE_RESERVED_CHANNEL:
		return f & VMBI_GC_HOST_OPEN && f & VMBI_GC_RESERVED && !(f & (VMBI_GC_OBJECT | VMBI_GC_CLOSE_OUT));
	case VMBI_MSG_MODIFY_CHANNEL:
		return c->state == VMBI_GC_OPEN && f & VMBI_GC_TARGET && g->version >= VMB_V4_1 && !(f & VMBI_GC_MODIFY_OUT);
	case VMBI_MSG_REL_ID_RELEASED:
		return f & VMBI_GC_RELEASED && c->state == VMBI_GC_IDLE && !(f & VMBI_GC_KEPT);
	default:
		return 0;
	}
}

static int gr_channel_ok(const struct guest_restore *l, const struct vmbi_gc *c, const struct vmbi_gsv_channel *s)
{
	const struct vmb_guest *g = l->g;
	const struct vmb_cursor *t = &s->tx_at, *r = &s->rx_at;

	if (!c->id || c->id > VMBI_MAX_CHANNEL_ID || c->flag > VMBI_MAX_CHANNEL_ID || (c->state != VMBI_GC_IDLE && !c->flag) ||
	    c->signal_page > 1 || (c->signal_page && !g->cfg.interrupt_page) || c->signal_monitor > 128 ||
	    (c->signal_monitor && !g->monitor_gpa[1] && c->state != VMBI_GC_IDLE) || c->redirect > VMB_OPEN_REDIRECT ||
	    c->dedicated > 1 || c->result_sint > 15 || c->signal_connection >> 24 || c->tx_pages > VMBI_GPADL_WORDS_MAX)
		return 0;
	if (!gr_is_status(c->open_status) || !gr_is_status(c->target_status) || c->offer.flags > 0xffff || c->offer.subchannel > 0xffff ||
	    c->offer.mmio_mb > 0xffff || c->offer.mmio_optional_mb > 0xffff || (c->offer.monitor_id > 127 && c->offer.monitor_id != 255))
		return 0;
	if (t->valid > 1 || r->valid != t->valid || (t->valid ? !gr_may_talk(c) : (t->index | t->armed | r->index | r->armed) != 0) ||
	    r->armed > 1)
		return 0;
	if (c->socket && (c->flags & VMBI_GC_SEEN || c->socket > l->connects || g->connects[c->socket].state != VMBI_GS_OFFERED))
		return 0;
	return gr_channel_flags_ok(g, c) && gr_send_ok(g, c);
}

static int gr_channel(struct guest_restore *l)
{
	struct vmbi_gsv_channel s = { .slot = 0 };
	struct vmb_guest *g = l->g;
	struct vmbi_gc *c;

	vmbi_gsv_channel_head(&l->b, &s);
	if (s.slot <= l->last_slot || s.slot > g->slots_used || s.mapped > 1)
		return VMB_EINVAL;
	l->last_slot = s.slot;
	c = &g->channels[s.slot];
	vmbi_gsv_channel(&l->b, c);
	if (vmbi_blob_done(&l->b) || !gr_channel_ok(l, c, &s))
		return VMB_EINVAL;
	if (s.mapped ? vmbi_guest_map_get(g, g->ids, c->id) != 0 : !(c->flags & VMBI_GC_KEPT && c->flags & VMBI_GC_RESCINDED))
		return VMB_EINVAL;
	if (s.mapped)
		vmbi_guest_map_set(g, g->ids, c->id, s.slot);
	if (c->state != VMBI_GC_IDLE && c->state != VMBI_GC_CLOSED && !(c->flags & VMBI_GC_RESERVED)) {
		if (vmbi_guest_map_get(g, g->event_slots, c->flag))
			return VMB_EINVAL;
		vmbi_guest_map_set(g, g->event_slots, c->flag, s.slot);
	}
	if (c->socket) {
		if (g->connects[c->socket].next) /* two channels for one connect */
			return VMB_EINVAL;
		g->connects[c->socket].next = s.slot;
	}
	c->offer.size = sizeof c->offer;
	c->offer.channel_id = c->id;
	c->tx_at = s.tx_at;
	c->rx_at = s.rx_at;
	vmbi_guest_device_add(g, s.slot, vmbi_guest_device_key(&c->offer));
	g->live++;
	g->kept += (c->flags & VMBI_GC_KEPT) != 0;
	g->objects += c->state != VMBI_GC_IDLE;
	return 0;
}

/* ---- lists */

static int gr_list_ok(const struct vmb_guest *g, const struct vmbi_gg *d, uint32_t ring)
{
	uint32_t f = d->flags, asked = VMBI_GG_ASKED | VMBI_GG_CANCELLED;
	const struct vmbi_gc *c = &g->channels[d->channel];

	if (!d->id || !d->state || d->state > VMBI_GG_BURNT || f > (VMBI_GG_TOLD << 1) - 1 || f & VMBI_GG_MAYBE || ring > 1 ||
	    !gr_is_status(d->status) || !d->ranges || d->ranges > d->words || d->words > VMBI_GPADL_WORDS_MAX || !(c->flags & VMBI_GC_SEEN))
		return 0;
	if ((f & VMBI_GG_TOLD && !(f & VMBI_GG_FINAL)) || (f & VMBI_GG_FINAL && !(f & VMBI_GG_CANCELLED)))
		return 0;
	if (f & VMBI_GG_RING ? f & VMBI_GG_FINAL && !(f & VMBI_GG_TOLD) : ring)
		return 0;
	if (d->state == VMBI_GG_SETTLED && (f & (VMBI_GG_FINAL | VMBI_GG_TOLD)) != VMBI_GG_FINAL)
		return 0;
	if ((d->state == VMBI_GG_TEARDOWN || d->state == VMBI_GG_TEARING) && !(f & asked))
		return 0;
	if (d->state == VMBI_GG_ALIVE && f & VMBI_GG_FINAL && !(f & VMBI_GG_RING)) /* that of an open that was not answered has leaked */
		return 0;
	if (!GR_CONNECTED(g) && (d->state == VMBI_GG_ANNOUNCE || d->state == VMBI_GG_CREATE))
		return 0;
	return d->state != VMBI_GG_ANNOUNCE || d->sent < vmbi_gpadl_messages(d->words);
}

/* What is still to be announced. */
static int gr_list_words(struct guest_restore *l, struct vmbi_gg *d, uint32_t k)
{
	struct vmb_guest *g = l->g;
	struct vmb_list checked;
	uint64_t *words = g->arena + g->arena_top;

	if (d->state != VMBI_GG_ANNOUNCE)
		return 0;
	if (d->words > g->arena_words - g->arena_top)
		return VMB_ENOSPACE;
	for (uint32_t i = 0; i < d->words; i++)
		vmbi_blob_64(&l->b, &words[i]);
	if (l->b.failed || vmb_list_check(words, d->words, d->ranges, &checked, NULL) || checked.count != d->words)
		return VMB_EINVAL;
	d->first = g->arena_top;
	g->arena_top += d->words;
	g->arena_used += d->words;
	vmbi_fifo_append(&g->arena_order, g->arena_links, k);
	return 0;
}

static int gr_list(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	struct vmbi_gg d = { .id = 0 };
	uint32_t ring = 0, k = l->lists + 1;
	struct vmbi_gc *c;
	int r;

	vmbi_gsv_list(&l->b, &d, &ring);
	if (l->b.failed || d.channel > g->slots_used || !g->device_keys[d.channel] || !gr_list_ok(g, &d, ring))
		return VMB_EINVAL;
	if (k > g->cfg.max_gpadls || g->gpadl_map[d.id & g->gpadl_mask])
		return k <= g->cfg.max_gpadls && g->gpadls[g->gpadl_map[d.id & g->gpadl_mask]].id == d.id ? VMB_EINVAL : VMB_ENOSPACE;
	r = gr_list_words(l, &d, k);
	if (r || vmbi_blob_done(&l->b))
		return r ? r : VMB_EINVAL;
	c = &g->channels[d.channel];
	if (ring && c->ring)
		return VMB_EINVAL;
	if (ring)
		c->ring = k;
	d.next = c->gpadls;
	g->gpadls[k] = d;
	if (c->gpadls)
		g->gpadls[c->gpadls].prev = k;
	c->gpadls = k;
	c->untold += !(d.flags & VMBI_GG_TOLD);
	g->gpadl_map[d.id & g->gpadl_mask] = k;
	g->lists = l->lists = k;
	return 0;
}

/* A channel's open rests on its ring: is that as it must be? */
static int gr_ring_ok(const struct vmb_guest *g, const struct vmbi_gc *c)
{
	const struct vmbi_gg *d = &g->gpadls[c->ring];
	uint32_t data = c->tx_pages - 1;

	switch (c->state) {
	case VMBI_GC_CREATING:
		if (!c->ring || (d->state != VMBI_GG_ANNOUNCE && d->state != VMBI_GG_CREATE) || d->flags & VMBI_GG_CANCELLED)
			return 0;
		break;
	case VMBI_GC_OPENING:
	case VMBI_GC_OPEN:
		if (!c->ring || d->state != VMBI_GG_ALIVE || d->flags & VMBI_GG_CANCELLED)
			return 0;
		break;
	case VMBI_GC_CLOSING:
		return c->ring || !(c->flags & (VMBI_GC_OPEN_OUT | VMBI_GC_HOST_OPEN));
	default:
		return 1;
	}
	if (c->state == VMBI_GC_OPEN && !(c->flags & VMBI_GC_HOST_OPEN) && !(c->flags & VMBI_GC_RESCINDED))
		return 0;
	if (d->ranges != 1 || c->tx_pages < 2 || d->words < c->tx_pages + 3)
		return 0;
	return !c->tx_at.valid || (c->tx_at.index % 8 == 0 && c->tx_at.index / VMB_PAGE < data && c->rx_at.index % 8 == 0 &&
				   c->rx_at.index / VMB_PAGE < d->words - 1 - c->tx_pages - 1);
}

/* ---- queues */

/* The node that this names; 0: there is none such. */
static uint32_t gr_node(struct guest_restore *l, const struct vmbi_gsv_node *n)
{
	struct vmb_guest *g = l->g;
	uint32_t k;

	switch (n->kind) {
	case VMBI_GSV_OF_CONNECTION:
		return n->n ? 0 : VMBI_GUEST_NODE_CONNECTION(g);
	case VMBI_GSV_OF_DECLINER:
		return n->n ? 0 : VMBI_GUEST_NODE_DECLINER(g);
	case VMBI_GSV_OF_CLOSER:
		return n->n ? 0 : VMBI_GUEST_NODE_CLOSER(g);
	case VMBI_GSV_OF_CHANNEL:
		return n->n <= g->slots_used && g->device_keys[n->n] ? n->n : 0;
	case VMBI_GSV_OF_LIST:
		k = g->gpadl_map[n->n & g->gpadl_mask];
		return k && g->gpadls[k].id == n->n ? VMBI_GUEST_NODE_GPADL(g, k) : 0;
	case VMBI_GSV_OF_CONNECT:
		return n->n && n->n <= l->connects ? VMBI_GUEST_NODE_CONNECT(g, n->n) : 0;
	default:
		return 0;
	}
}

static int gr_queued(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	struct vmbi_gsv_node n = { 0, 0 };
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t node;

	vmbi_gsv_node(&l->b, &n);
	node = gr_node(l, &n);
	if (vmbi_blob_done(&l->b) || !node || g->post_links[node].in || !vmbi_guest_post_has(g, node, msg) ||
	    (n.kind == VMBI_GSV_OF_CLOSER && g->closer.out))
		return VMB_EINVAL;
	vmbi_guest_queue(g, node);
	return 0;
}

/* May these marks be on this object? */
static int gr_marks_ok(const struct guest_restore *l, const struct vmbi_gsv_node *n, uint32_t node, uint32_t marks)
{
	const struct vmb_guest *g = l->g;
	const struct vmbi_gc *c = &g->channels[node <= g->cfg.max_channels ? node : 0];
	const struct vmbi_gg *d;

	if (!marks || marks > GR_EVENTS)
		return 0;
	switch (n->kind) {
	case VMBI_GSV_OF_CONNECTION:
		return 1;
	case VMBI_GSV_OF_CLOSER:
		return marks == VMBI_GE_GONE && !g->closer.id;
	case VMBI_GSV_OF_CHANNEL:
		return !(marks & VMBI_GE_OFFER) == !!(c->flags & (VMBI_GC_SEEN | VMBI_GC_RELEASED)) &&
		       !(marks & VMBI_GE_CLOSED) == (c->state != VMBI_GC_CLOSED) &&
		       (!(marks & VMBI_GE_OPENED) || c->state == VMBI_GC_OPEN || c->state == VMBI_GC_FAILED) &&
		       (!(marks & VMBI_GE_RESCINDED) || (c->flags & VMBI_GC_ABANDONED && !(c->flags & VMBI_GC_RELEASED))) &&
		       (!(marks & VMBI_GE_TARGET) || (c->state == VMBI_GC_OPEN && !(c->flags & VMBI_GC_TARGET)));
	case VMBI_GSV_OF_LIST:
		d = &g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)];
		return !(d->flags & (VMBI_GG_RING | VMBI_GG_TOLD)) && (marks == VMBI_GE_GPADL || marks == VMBI_GE_DOWN) &&
		       (d->flags & VMBI_GG_FINAL || (marks == VMBI_GE_GPADL && d->state == VMBI_GG_ALIVE));
	case VMBI_GSV_OF_CONNECT:
		return marks == VMBI_GE_GONE && g->connects[n->n].state == VMBI_GS_DONE;
	default:
		return 0;
	}
}

/* A handle that is gone: its slot has gone on. */
static int gr_gone(struct guest_restore *l, uint32_t handle, uint32_t marks)
{
	struct vmb_guest *g = l->g;
	uint32_t slot = vmbi_handle_slot(handle), generation = vmbi_handle_generation(handle);

	if (marks != VMBI_GE_GONE || !slot || slot > g->slots_used || !generation || generation > g->channels[slot].generation ||
	    (generation == g->channels[slot].generation && g->device_keys[slot]))
		return VMB_EINVAL;
	if (g->gone_in == g->cfg.max_channels)
		return VMB_ENOSPACE;
	g->gone[g->gone_in++] = handle;
	vmbi_guest_mark(g, VMBI_GUEST_NODE_GONE(g, g->gone_in), VMBI_GE_GONE);
	return 0;
}

static int gr_event(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	struct vmbi_gsv_node n = { 0, 0 };
	uint32_t marks = 0, node;

	vmbi_gsv_node(&l->b, &n);
	vmbi_blob_32(&l->b, &marks);
	if (vmbi_blob_done(&l->b))
		return VMB_EINVAL;
	if (n.kind == VMBI_GSV_OF_GONE)
		return gr_gone(l, n.n, marks);
	node = gr_node(l, &n);
	if (!node || g->event_links[node].in || !gr_marks_ok(l, &n, node, marks))
		return VMB_EINVAL;
	vmbi_guest_mark(g, node, marks);
	return 0;
}

/* ---- all of it */

static int gr_record(struct guest_restore *l, uint32_t type)
{
	if (type < l->last || (type == l->last && (type <= VMBI_GSV_SLOTS || type == VMBI_GSV_STATISTICS)) ||
	    (type > VMBI_GSV_SLOTS && l->last < VMBI_GSV_SLOTS))
		return VMB_EINVAL;
	l->last = type;
	switch (type) {
	case VMBI_GSV_CONNECTION:
		return gr_connection(l);
	case VMBI_GSV_SLOTS:
		return gr_slots(l);
	case VMBI_GSV_CONNECT:
		return gr_connect(l);
	case VMBI_GSV_CHANNEL:
		return gr_channel(l);
	case VMBI_GSV_LIST:
		return gr_list(l);
	case VMBI_GSV_QUEUED:
		return gr_queued(l);
	case VMBI_GSV_EVENT:
		return gr_event(l);
	default:
		vmbi_gsv_statistics(&l->b, l->g);
		return vmbi_blob_done(&l->b);
	}
}

/* Whatever has something to say stands in its queue. */
static int gr_queues_ok(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	uint8_t msg[VMB_MESSAGE_MAX];

	for (uint32_t node = 1; node <= VMBI_GUEST_NODE_CONNECT(g, l->connects); node++) {
		int out = node == VMBI_GUEST_NODE_CLOSER(g) && g->closer.out;

		if (!g->post_links[node].in && !out && vmbi_guest_post_has(g, node, msg))
			return 0;
	}
	for (uint32_t k = 1; k <= l->lists; k++) {
		const struct vmbi_gg *d = &g->gpadls[k];

		if ((d->flags & (VMBI_GG_FINAL | VMBI_GG_TOLD)) == VMBI_GG_FINAL && !g->marks[VMBI_GUEST_NODE_GPADL(g, k)])
			return 0;
	}
	for (uint32_t k = 1; k <= l->connects; k++) {
		struct vmbi_gs *s = &g->connects[k];

		if ((s->state == VMBI_GS_DONE && !g->marks[VMBI_GUEST_NODE_CONNECT(g, k)]) || (s->state == VMBI_GS_OFFERED && !s->next))
			return 0;
	}
	return 1;
}

static int gr_channels_ok(const struct vmb_guest *g)
{
	for (uint32_t i = 1; i <= g->slots_used; i++) {
		const struct vmbi_gc *c = &g->channels[i];

		if (!g->device_keys[i])
			continue;
		if (!gr_ring_ok(g, c) || (c->send == VMBI_MSG_REL_ID_RELEASED && c->untold))
			return 0;
		if ((c->state == VMBI_GC_CLOSED && !g->marks[i]) || (!(c->flags & (VMBI_GC_SEEN | VMBI_GC_RELEASED)) && !g->marks[i]))
			return 0;
	}
	return 1;
}

static int gr_load(struct guest_restore *l)
{
	uint32_t type, seen = 0;
	int r = 0;

	while (!r && (type = vmbi_blob_next(&l->b)) != 0) {
		seen |= GR_KNOWN(type);
		r = gr_record(l, type);
	}
	if (r)
		return r;
	if (!(seen & GR_KNOWN(VMBI_GSV_SLOTS)) || !(seen & GR_KNOWN(VMBI_GSV_STATISTICS)) != (l->b.format < VMBI_BLOB_STATISTICS))
		return VMB_EINVAL;
	return gr_channels_ok(l->g) && gr_queues_ok(l) ? 0 : VMB_EINVAL;
}

/* ---- taking it over */

static void gr_free_lists(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;

	g->free_slot = g->last_free_slot = 0;
	for (uint32_t i = g->cfg.max_channels; i; i--) {
		if (g->device_keys[i] || g->channels[i].generation >= VMBI_GENERATION_MAX)
			continue;
		g->channels[i].next = g->free_slot;
		g->free_slot = i;
		if (!g->last_free_slot)
			g->last_free_slot = i;
	}
	g->free_gpadl = l->lists < g->cfg.max_gpadls ? l->lists + 1 : 0;
	for (uint32_t k = 1; k <= l->connects; k++)
		g->connects[k].next = 0;
	g->free_connect = l->connects < g->cfg.max_hvsock ? l->connects + 1 : 0;
	if (g->gone_in == g->cfg.max_channels)
		g->gone_in = 0;
}

static void gr_scan(struct vmb_guest *g)
{
	uint32_t words = GR_CONNECTED(g) && g->state != VMBI_GUEST_UNLOADING;

	for (uint32_t id = 0; id <= VMBI_MAX_CHANNEL_ID; id++)
		if (vmbi_guest_map_get(g, g->ids, id) || vmbi_guest_map_get(g, g->event_slots, id))
			words = id / 32 + 1;
	if (!GR_CONNECTED(g))
		return;
	VMBI_STORE32_RELAXED(&g->unloadable, g->connection | VMBI_GUEST_UNLOADABLE);
	VMBI_STORE32_RELAXED(&g->by_page, g->version < VMB_V2_4);
	VMBI_STORE32_RELEASE(&g->scan, words ? words : 1);
}

/* Its owner comes again: EV_OFFER says so. */
static void gr_tell(struct vmb_guest *g, uint32_t slot)
{
	struct vmbi_gc *c = &g->channels[slot];

	if (gr_has_object(c))
		c->flags |= VMBI_GC_AWAY;
	if ((c->flags & (VMBI_GC_SEEN | VMBI_GC_RELEASED)) != VMBI_GC_SEEN)
		return;
	c->flags |= VMBI_GC_UNTOLD;
	vmbi_guest_mark(g, slot, VMBI_GE_OFFER);
}

static void gr_list_commit(struct vmb_guest *g, uint32_t k)
{
	if (g->cfg.trace)
		vmbi_guest_trace_gpadl(g, &g->gpadls[k], VMBI_GG_FREE, g->gpadls[k].state);
	if (vmbi_gsv_list_waits(&g->gpadls[k]))
		vmbi_guest_wait(g, VMBI_GUEST_NODE_GPADL(g, k));
}

static void gr_commit(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	uint32_t state = g->state;

	g->state = VMB_BUS_NONE;
	vmbi_guest_become(g, state);
	gr_free_lists(l);
	gr_scan(g);
	for (uint32_t i = 1; i <= g->slots_used; i++) {
		if (!g->device_keys[i])
			continue;
		if (vmbi_gsv_channel_waits(&g->channels[i]))
			vmbi_guest_wait(g, i);
		gr_tell(g, i);
		vmbi_gc_changed(g, &g->channels[i]);
	}
	for (uint32_t k = 1; k <= l->lists; k++)
		gr_list_commit(g, k);
	for (uint32_t k = 1; k <= l->connects; k++)
		if (g->connects[k].state == VMBI_GS_SENT)
			vmbi_guest_wait(g, VMBI_GUEST_NODE_CONNECT(g, k));
	if (g->closer.out)
		vmbi_guest_wait(g, VMBI_GUEST_NODE_CLOSER(g));
	if (g->answer_due)
		vmbi_guest_clock(g, g->state == VMB_BUS_CONNECTING ? g->cfg.connect_ms : g->cfg.unload_ms);
	else if (g->asking)
		vmbi_guest_clock(g, g->cfg.reply_ms);
	g->poke = 1;
}

/* ---- anew */

/* A primary that its owner knows: its handle stays. */
static int gr_outlives(const struct vmbi_gc *c)
{
	return (c->flags & (VMBI_GC_SEEN | VMBI_GC_RELEASED)) == VMBI_GC_SEEN && !c->offer.subchannel && !(c->offer.flags & VMB_OFFER_HVSOCK);
}

/* The end that was loaded becomes one that was never connected, but for handles, and the version that it will ask for. */
static int gr_anew(struct guest_restore *l)
{
	struct vmb_guest *g = l->g;
	uint32_t version = g->version, slots = g->slots_used, opens = g->opens, next_gpadl = g->next_gpadl;

	if (g->state != VMB_BUS_CONNECTED && g->state != VMB_BUS_RUNNING)
		return VMB_ESTATE;
	vmbi_guest_reset(g, 1);
	g->only_version = version;
	g->slots_used = slots;
	g->opens = opens;
	g->next_gpadl = next_gpadl;
	l->lists = l->connects = 0;
	for (uint32_t i = 1; i <= slots; i++) {
		struct vmbi_gc *c = &g->channels[i];
		uint32_t generation = c->generation, lives = (uint32_t)gr_outlives(c), rescinded = c->flags & VMBI_GC_RESCINDED;
		struct vmb_offer offer = c->offer;

		VMBI_MEMSET(&c->state, 0, sizeof *c - offsetof(struct vmbi_gc, state));
		c->generation = generation;
		c->id = 0;
		if (!lives)
			continue;
		c->offer = offer;
		c->flags = VMBI_GC_SEEN | VMBI_GC_LOST | rescinded;
		vmbi_guest_device_add(g, i, vmbi_guest_device_key(&offer));
		g->live++;
		if (rescinded) /* which its owner may not have been told */
			vmbi_guest_abandon(g, c);
		vmbi_gc_changed(g, c);
	}
	gr_free_lists(l);
	return 0;
}

/* ---- the call */

static int gr_may(const struct vmb_guest *g)
{
	return g->state != VMB_BUS_NONE || g->slots_used || g->closer.id || g->events.head || g->post.head || g->messages_out ||
	       g->only_version ? VMB_ESTATE : 0;
}

static int gr_restore(struct vmb_guest *g, const void *buf, size_t bytes, uint32_t anew)
{
	static const uint32_t types[] = { 0, 0xfe, 0x1fe, 0x1fe };
	struct guest_restore l = { .g = g, .anew = anew };
	uint8_t counters[GR_COUNTERS];
	int r = gr_may(g);

	if (!r)
		r = vmbi_blob_load(&l.b, buf, bytes, VMBI_BLOB_GUEST, types);
	if (r)
		return r;
	g->stray_events += VMBI_EXCHANGE32(&g->stray, 0u);
	VMBI_MEMCPY(counters, (uint8_t *)g + GR_COUNTERS_AT, sizeof counters);
	r = gr_load(&l);
	if (!r)
		r = anew ? gr_anew(&l) : gr_map(g);
	if (r)
		vmbi_guest_reset(g, 0);
	else if (!anew)
		gr_commit(&l);
	if (r || anew)
		VMBI_MEMCPY((uint8_t *)g + GR_COUNTERS_AT, counters, sizeof counters);
	return r;
}

int vmb_guest_restore(struct vmb_guest *g, const void *buf, size_t bytes, uint32_t flags)
{
	int r = buf && !(flags & ~VMB_RESTORE_ANEW) ? vmbi_guest_enter(g) : VMB_EINVAL;

	if (r < 0)
		return r;
	r = gr_restore(g, buf, bytes, flags & VMB_RESTORE_ANEW);
	if (r < 0) {
		vmbi_guard_leave(&g->guard);
		return r;
	}
	return vmbi_guest_leave(g, 0);
}
