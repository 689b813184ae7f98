/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A guest end as bytes: for a relay that is serviced, and for a system that sleeps. Everything that waits is in it, with its place in the
 * queues; only waits begin anew. control-plane.md 14, 18, gpadl.md 9
 */
#include "guest_saved.h"

/* ---- the records, both ways */

void vmbi_gsv_connection(struct vmbi_blob *b, struct vmbi_gsv_connection *c, struct vmb_guest *g)
{
	vmbi_blob_words(b, &c->message_vp, 3);
	vmbi_blob_64(b, &c->interrupt_gpa);
	vmbi_blob_64(b, &c->monitor_gpa[0]);
	vmbi_blob_64(b, &c->monitor_gpa[1]);
	vmbi_blob_words(b, &g->state, 5); /* up to redirected */
	vmbi_blob_32(b, &g->paused);
	vmbi_blob_32(b, &g->asking);
	vmbi_blob_32(b, &g->send);
	vmbi_blob_32(b, &g->answer_due);
	vmbi_blob_32(b, &g->owed);
	vmbi_blob_32(b, &g->leaks);
	vmbi_blob_words(b, &g->closer.id, 4);
	vmbi_blob_32(b, (uint32_t *)&g->closer_status);
	vmbi_blob_32(b, (uint32_t *)&g->connect_status);
	vmbi_blob_32(b, (uint32_t *)&g->disconnect_status);
	vmbi_blob_32(b, (uint32_t *)&g->offers_status);
	vmbi_blob_32(b, (uint32_t *)&g->monitor_status);
	vmbi_blob_32(b, (uint32_t *)&g->pause_status);
	vmbi_blob_32(b, &g->connect_said);
	vmbi_blob_32(b, &g->monitor_said);
	vmbi_blob_32(b, &g->opens);
	vmbi_blob_32(b, &g->next_gpadl);
	vmbi_blob_words(b, c->declined, VMBI_FLAG_WORDS);
}

void vmbi_gsv_connect(struct vmbi_blob *b, struct vmbi_gs *s)
{
	vmbi_blob_bytes(b, &s->endpoint, 16);
	vmbi_blob_bytes(b, &s->service, 16);
	vmbi_blob_bytes(b, &s->silo, 16);
	vmbi_blob_64(b, &s->user);
	vmbi_blob_32(b, &s->state);
	vmbi_blob_32(b, (uint32_t *)&s->status);
	vmbi_blob_32(b, &s->said);
}

void vmbi_gsv_channel_head(struct vmbi_blob *b, struct vmbi_gsv_channel *s)
{
	vmbi_blob_32(b, &s->slot);
	vmbi_blob_32(b, &s->mapped);
	vmbi_blob_words(b, &s->tx_at.valid, 3);
	vmbi_blob_words(b, &s->rx_at.valid, 3);
}

static void gsv_offer(struct vmbi_blob *b, struct vmb_offer *o)
{
	vmbi_blob_32(b, &o->flags);
	vmbi_blob_bytes(b, &o->class_id, 16);
	vmbi_blob_bytes(b, &o->instance, 16);
	vmbi_blob_bytes(b, o->user_defined, sizeof o->user_defined);
	vmbi_blob_words(b, &o->subchannel, 3); /* and both sizes of MMIO */
	vmbi_blob_32(b, &o->connection_id);
	vmbi_blob_32(b, &o->monitor_id);
}

void vmbi_gsv_channel(struct vmbi_blob *b, struct vmbi_gc *c)
{
	vmbi_blob_32(b, &c->id);
	vmbi_blob_64(b, &c->user);
	vmbi_blob_32(b, &c->signal_connection);
	vmbi_blob_32(b, &c->signal_page);
	vmbi_blob_32(b, &c->signal_monitor);
	vmbi_blob_32(b, &c->flag);
	vmbi_blob_32(b, &c->state);
	vmbi_blob_32(b, &c->flags);
	vmbi_blob_32(b, &c->send);
	vmbi_blob_words(b, &c->open_id, 4); /* up to new_vp */
	vmbi_blob_32(b, (uint32_t *)&c->open_status);
	vmbi_blob_32(b, (uint32_t *)&c->target_status);
	vmbi_blob_words(b, &c->open_said, 7); /* up to socket */
	vmbi_blob_bytes(b, c->user_data, sizeof c->user_data);
	gsv_offer(b, &c->offer);
	vmbi_blob_lives(b, &c->opens);
}

void vmbi_gsv_list(struct vmbi_blob *b, struct vmbi_gg *d, uint32_t *ring)
{
	vmbi_blob_words(b, &d->id, 4); /* up to flags */
	vmbi_blob_32(b, &d->words);
	vmbi_blob_32(b, &d->ranges);
	vmbi_blob_32(b, &d->sent);
	vmbi_blob_32(b, (uint32_t *)&d->status);
	vmbi_blob_32(b, &d->said);
	vmbi_blob_32(b, ring);
}

void vmbi_gsv_node(struct vmbi_blob *b, struct vmbi_gsv_node *n)
{
	vmbi_blob_32(b, &n->kind);
	vmbi_blob_32(b, &n->n);
}

void vmbi_gsv_statistics(struct vmbi_blob *b, struct vmb_guest *g)
{
	vmbi_blob_64(b, &g->messages_in);
	vmbi_blob_64(b, &g->messages_out);
	vmbi_blob_64(b, &g->dropped);
	vmbi_blob_64(b, &g->refused_quota);
	vmbi_blob_64(b, &g->post_retries);
	vmbi_blob_64(b, &g->stray_events);
	vmbi_blob_64(b, &g->late_answers);
	vmbi_blob_fates(b, g->fates, &g->post_failed, &g->over_budget);
}

int vmbi_gsv_list_waits(const struct vmbi_gg *d)
{
	return (d->state == VMBI_GG_CREATE || d->state == VMBI_GG_TEARING) && !(d->flags & VMBI_GG_FINAL);
}

int vmbi_gsv_channel_waits(const struct vmbi_gc *c)
{
	return (c->flags & (VMBI_GC_OPEN_OUT | VMBI_GC_OPEN_LOST)) == VMBI_GC_OPEN_OUT ||
	       (c->flags & (VMBI_GC_CLOSE_OUT | VMBI_GC_CLOSE_FAILED)) == VMBI_GC_CLOSE_OUT ||
	       (c->flags & (VMBI_GC_MODIFY_OUT | VMBI_GC_MODIFY_LOST)) == VMBI_GC_MODIFY_OUT;
}

/* ---- may it be saved? */

/* Not while a post is repeated that may have arrived: who goes on from here would not know. control-plane.md 1.2 */
static int gsv_is_unsure(const struct vmb_guest *g)
{
	if ((g->answer_due && g->send) || (g->asking && g->send == g->asking) ||
	    (g->closer.out && g->post_links[VMBI_GUEST_NODE_CLOSER(g)].in))
		return 1;
	for (uint32_t k = 1; k <= g->cfg.max_gpadls; k++)
		if (g->gpadls[k].flags & VMBI_GG_MAYBE)
			return 1;
	return 0;
}

/* Will its owner come again? */
static int gsv_talks(const struct vmbi_gc *c)
{
	return c->state >= VMBI_GC_CREATING && c->state <= VMBI_GC_OPEN && !(c->flags & VMBI_GC_ABANDONED) && c->object &&
	       !vmbi_channel_is_broken(c->object);
}

static int gsv_channel_ready(const struct vmb_guest *g, uint32_t slot)
{
	const struct vmbi_gc *c = &g->channels[slot];
	struct vmb_cursor tx, rx;

	if (c->flags & (VMBI_GC_MAYBE_GONE | VMBI_GC_LOST) || (c->flags & VMBI_GC_OPEN_OUT && vmbi_guest_is_open_message(c->send)) ||
	    (c->flags & VMBI_GC_MODIFY_OUT && c->send == VMBI_MSG_MODIFY_CHANNEL) ||
	    (c->flags & VMBI_GC_CLOSE_OUT && c->send == VMBI_MSG_CLOSE_RESERVED_CHANNEL) || g->drain_links[slot].in)
		return 0;
	return !gsv_talks(c) || vmbi_channel_where(c->object, &tx, &rx);
}

static int gsv_ready(const struct vmb_guest *g)
{
	if (gsv_is_unsure(g) || g->only_version || g->send == VMBI_MSG_MODIFY_CONNECTION || g->asking == VMBI_MSG_MODIFY_CONNECTION)
		return VMB_ESTATE;
	for (uint32_t i = 1; i <= g->slots_used; i++)
		if (!gsv_channel_ready(g, i))
			return VMB_ESTATE;
	return 0;
}

/* ---- saving */

static void gsv_save_connection(struct vmb_guest *g, struct vmbi_blob *b)
{
	struct vmbi_gsv_connection c = { .message_vp = g->cfg.message_vp, .sint = g->cfg.sint, .vtl = g->cfg.vtl,
					 .interrupt_gpa = g->cfg.interrupt_gpa };
	uint32_t version = g->version;

	for (uint32_t i = 0; i < 2; i++)
		c.monitor_gpa[i] = g->state > VMB_BUS_CONNECTING ? g->monitor_gpa[i] : g->cfg.monitor_gpa[i];
	VMBI_MEMCPY(c.declined, g->declined, sizeof c.declined);
	if (g->state == VMB_BUS_NONE)
		g->version = 0; /* of a connection that is over, or was tried */
	vmbi_blob_begin(b, VMBI_GSV_CONNECTION);
	vmbi_gsv_connection(b, &c, g);
	vmbi_blob_close(b);
	g->version = version;
	vmbi_blob_begin(b, VMBI_GSV_SLOTS);
	for (uint32_t i = 1; i <= g->slots_used; i++)
		vmbi_blob_32(b, &g->channels[i].generation);
	vmbi_blob_close(b);
}

/* Connects are numbered anew, from 1 on. */
static uint32_t gsv_connect_number(const struct vmb_guest *g, uint32_t connect)
{
	uint32_t n = 0;

	for (uint32_t k = 1; k <= connect; k++)
		n += g->connects[k].state != VMBI_GS_FREE;
	return n;
}

static void gsv_save_connects(struct vmb_guest *g, struct vmbi_blob *b)
{
	for (uint32_t k = 1; k <= g->cfg.max_hvsock; k++) {
		if (g->connects[k].state == VMBI_GS_FREE)
			continue;
		vmbi_blob_begin(b, VMBI_GSV_CONNECT);
		vmbi_gsv_connect(b, &g->connects[k]);
		vmbi_blob_close(b);
	}
}

static void gsv_save_channel(struct vmb_guest *g, struct vmbi_blob *b, uint32_t slot)
{
	struct vmbi_gc *c = &g->channels[slot];
	struct vmbi_gsv_channel s = { .slot = slot, .mapped = vmbi_guest_map_get(g, g->ids, c->id) == slot };
	uint32_t socket = c->socket, flags = c->flags;

	if (gsv_talks(c)) {
		(void)vmbi_channel_where(c->object, &s.tx_at, &s.rx_at);
	} else if (vmbi_guest_may_reopen(c)) {
		s.tx_at = c->tx_at;
		s.rx_at = c->rx_at;
	}
	c->socket = gsv_connect_number(g, socket);
	c->flags &= ~(VMBI_GC_UNTOLD | VMBI_GC_AWAY);
	vmbi_blob_begin(b, VMBI_GSV_CHANNEL);
	vmbi_gsv_channel_head(b, &s);
	vmbi_gsv_channel(b, c);
	vmbi_blob_close(b);
	c->socket = socket;
	c->flags = flags;
}

static void gsv_save_lists(struct vmb_guest *g, struct vmbi_blob *b)
{
	for (uint32_t k = 1; k <= g->cfg.max_gpadls; k++) {
		struct vmbi_gg *d = &g->gpadls[k];
		uint32_t ring;

		if (!d->id)
			continue;
		ring = g->channels[d->channel].ring == k;
		vmbi_blob_begin(b, VMBI_GSV_LIST);
		vmbi_gsv_list(b, d, &ring);
		for (uint32_t i = 0; d->state == VMBI_GG_ANNOUNCE && i < d->words; i++)
			vmbi_blob_64(b, &g->arena[d->first + i]);
		vmbi_blob_close(b);
	}
}

static struct vmbi_gsv_node gsv_node(const struct vmb_guest *g, uint32_t node)
{
	if (node <= g->cfg.max_channels)
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_CHANNEL, node };
	if (node == VMBI_GUEST_NODE_CONNECTION(g))
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_CONNECTION, 0 };
	if (node == VMBI_GUEST_NODE_DECLINER(g))
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_DECLINER, 0 };
	if (node == VMBI_GUEST_NODE_CLOSER(g))
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_CLOSER, 0 };
	if (node <= VMBI_GUEST_NODE_CONNECT(g, 0))
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_LIST, g->gpadls[node - VMBI_GUEST_NODE_GPADL(g, 0)].id };
	if (node <= VMBI_GUEST_NODE_GONE(g, 0))
		return (struct vmbi_gsv_node){ VMBI_GSV_OF_CONNECT, gsv_connect_number(g, node - VMBI_GUEST_NODE_CONNECT(g, 0)) };
	return (struct vmbi_gsv_node){ VMBI_GSV_OF_GONE, g->gone[node - VMBI_GUEST_NODE_GONE(g, 1)] };
}

/* What has lost its sense while it stood in the queue is left out. */
static int gsv_has_message(struct vmb_guest *g, uint32_t node)
{
	uint8_t msg[VMB_MESSAGE_MAX];

	return vmbi_guest_post_has(g, node, msg);
}

static void gsv_save_queues(struct vmb_guest *g, struct vmbi_blob *b)
{
	for (uint32_t node = g->post.head; node; node = g->post_links[node].next) {
		struct vmbi_gsv_node n = gsv_node(g, node);

		if (!gsv_has_message(g, node))
			continue;
		vmbi_blob_begin(b, VMBI_GSV_QUEUED);
		vmbi_gsv_node(b, &n);
		vmbi_blob_close(b);
	}
	for (uint32_t node = g->events.head; node; node = g->event_links[node].next) {
		struct vmbi_gsv_node n = gsv_node(g, node);
		uint32_t marks = g->marks[node];

		if (n.kind == VMBI_GSV_OF_CHANNEL && g->channels[n.n].flags & VMBI_GC_UNTOLD)
			marks &= ~VMBI_GE_OFFER; /* the next restore tells it anyway */
		if (!marks)
			continue;
		vmbi_blob_begin(b, VMBI_GSV_EVENT);
		vmbi_gsv_node(b, &n);
		vmbi_blob_32(b, &marks);
		vmbi_blob_close(b);
	}
}

static int gsv_save(struct vmb_guest *g, uint32_t format, void *buf, size_t bytes, size_t *used)
{
	struct vmbi_blob b;
	int r = vmbi_blob_save(&b, buf, bytes, format, VMBI_BLOB_GUEST);

	if (!r)
		r = gsv_ready(g);
	if (r)
		return r;
	gsv_save_connection(g, &b);
	gsv_save_connects(g, &b);
	for (uint32_t i = 1; i <= g->slots_used; i++)
		if (g->device_keys[i])
			gsv_save_channel(g, &b, i);
	gsv_save_lists(g, &b);
	gsv_save_queues(g, &b);
	if (b.format >= VMBI_BLOB_STATISTICS) {
		g->stray_events += VMBI_EXCHANGE32(&g->stray, 0u);
		vmbi_blob_begin(&b, VMBI_GSV_STATISTICS);
		vmbi_gsv_statistics(&b, g);
		vmbi_blob_close(&b);
	}
	return vmbi_blob_finish(&b, used);
}

int vmb_guest_save(struct vmb_guest *g, uint32_t format, void *buf, size_t bytes, size_t *used)
{
	int r = used ? vmbi_guest_enter(g) : VMB_EINVAL;

	if (r < 0)
		return r;
	r = gsv_save(g, format, buf, bytes, used);
	vmbi_guard_leave(&g->guard);
	return r;
}
