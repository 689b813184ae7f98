/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The guest end as others see it: what it tells a watcher, the budgets of signals, and the snapshot. */
#include "guest.h"

/* ---- told as it happens */

void vmbi_guest_trace_connection(struct vmb_guest *g, uint32_t before)
{
	struct vmb_trace t = { .point = VMB_TRACE_CONNECTION, .a = before, .b = g->state, .d = g->features };

	t.c = g->state > VMB_BUS_CONNECTING ? g->version : 0;
	g->cfg.trace(g->cfg.ctx, &t);
}

void vmbi_guest_trace_message(struct vmb_guest *g, uint32_t point, const uint8_t *msg, uint32_t len, uint32_t fate, uint32_t said)
{
	struct vmb_trace t = vmbi_trace_message(point, msg, len);

	t.c = fate;
	t.d = said;
	g->cfg.trace(g->cfg.ctx, &t);
}

static const uint8_t gc_states[] = {
	[VMBI_GC_IDLE] = VMB_STATE_OFFERED, [VMBI_GC_CREATING] = VMB_STATE_ANNOUNCING, [VMBI_GC_OPENING] = VMB_STATE_OPENING,
	[VMBI_GC_OPEN] = VMB_STATE_OPEN,    [VMBI_GC_FAILED] = VMB_STATE_FAILED,       [VMBI_GC_CLOSING] = VMB_STATE_CLOSING,
	[VMBI_GC_CLOSED] = VMB_STATE_CLOSED,
};

static uint32_t gc_has(const struct vmbi_gc *c)
{
	static const uint32_t bits[][2] = {
		{ VMBI_GC_SEEN, VMB_HAS_SEEN },         { VMBI_GC_RELEASED, VMB_HAS_RELEASED },   { VMBI_GC_RESCINDED, VMB_HAS_RESCINDED },
		{ VMBI_GC_RESERVED, VMB_HAS_RESERVED }, { VMBI_GC_OBJECT, VMB_HAS_OBJECT },       { VMBI_GC_ABANDONED, VMB_HAS_ABANDONED },
		{ VMBI_GC_KEPT, VMB_HAS_KEPT },
	};
	uint32_t has = 0;

	for (uint32_t i = 0; i < sizeof bits / sizeof *bits; i++)
		has |= c->flags & bits[i][0] ? bits[i][1] : 0;
	return has;
}

/* Tell what it is now, if that was not told before. */
void vmbi_guest_trace_channel(struct vmb_guest *g, struct vmbi_gc *c, uint32_t gone)
{
	struct vmb_trace t = { .point = VMB_TRACE_CHANNEL, .ch = vmbi_handle(vmbi_gc_slot(g, c), c->generation), .channel = c->id,
			       .a = c->shown_state, .b = gone ? VMB_STATE_FREE : gc_states[c->state], .c = c->shown_has,
			       .d = gone ? 0 : gc_has(c) };

	if (t.a == t.b && t.c == t.d)
		return;
	c->shown_state = t.b;
	c->shown_has = t.d;
	g->cfg.trace(g->cfg.ctx, &t);
}

static const uint8_t gg_states[] = {
	[VMBI_GG_FREE] = VMB_LIST_NONE,        [VMBI_GG_ANNOUNCE] = VMB_LIST_BUILDING, [VMBI_GG_CREATE] = VMB_LIST_SENT,
	[VMBI_GG_ALIVE] = VMB_LIST_ALIVE,      [VMBI_GG_TEARDOWN] = VMB_LIST_LEAVING,  [VMBI_GG_TEARING] = VMB_LIST_TEARING,
	[VMBI_GG_SETTLED] = VMB_LIST_SETTLED,  [VMBI_GG_BURNT] = VMB_LIST_BURNT,
};

void vmbi_guest_trace_gpadl(struct vmb_guest *g, const struct vmbi_gg *d, uint32_t before, uint32_t now)
{
	const struct vmbi_gc *c = &g->channels[d->channel];
	struct vmb_trace t = { .point = VMB_TRACE_GPADL, .ch = vmbi_handle(d->channel, c->generation), .channel = c->id, .gpadl = d->id,
			       .a = gg_states[before], .b = gg_states[now], .c = d->words, .d = d->ranges };

	if (before != now)
		g->cfg.trace(g->cfg.ctx, &t);
}

/* ---- signals */

void vmbi_guest_alarm(struct vmb_guest *g)
{
	VMBI_STORE32_RELAXED(&g->alarm, 1u);
	VMBI_POKE(&g->cfg);
}

static void gc_over(struct vmb_guest *g, struct vmbi_gc *c, uint32_t which)
{
	struct vmbi_signals *s = &c->object->signals;
	struct vmb_trace t = { .point = VMB_TRACE_SIGNALS, .ch = vmbi_handle(vmbi_gc_slot(g, c), c->generation), .channel = c->id,
			       .a = which, .c = g->cfg.signal_budget };

	t.b = which == VMB_OVER_IN ? s->in.base : s->out.base;
	t.d = which == VMB_OVER_IN ? s->in.over : s->out.over;
	g->over_budget++;
	if (g->cfg.trace)
		g->cfg.trace(g->cfg.ctx, &t);
}

void vmbi_guest_watch_signals(struct vmb_guest *g, uint64_t now)
{
	if (!VMBI_LOAD32_RELAXED(&g->alarm) || !VMBI_EXCHANGE32(&g->alarm, 0u))
		return;
	for (uint32_t i = 1; i <= g->slots_used; i++) {
		struct vmbi_gc *c = &g->channels[i];
		uint32_t over = 0;

		if (c->flags & VMBI_GC_OBJECT)
			over = vmbi_signals_over(&c->object->signals, now, g->cfg.signal_ms * (uint64_t)1000000, g->cfg.signal_budget);
		if (over & VMB_OVER_IN)
			gc_over(g, c, VMB_OVER_IN);
		if (over & VMB_OVER_OUT)
			gc_over(g, c, VMB_OVER_OUT);
	}
}

/* ---- the snapshot: number 1 is the connection, then the channels, then the lists */

static void gc_part(const struct vmb_guest *g, const struct vmbi_gc *c, struct vmb_part *p)
{
	p->kind = VMB_PART_CHANNEL;
	p->state = gc_states[c->state];
	p->flags = gc_has(c);
	p->ch = c->flags & VMBI_GC_SEEN ? vmbi_handle(vmbi_gc_slot(g, c), c->generation) : 0;
	p->channel = c->id;
	p->gpadl = g->gpadls[c->ring].id;
	p->subchannel = c->offer.subchannel;
	p->monitor_id = c->offer.monitor_id;
	p->connection_id = c->offer.connection_id;
	p->opens = c->opens;
	p->refused = c->refused;
	p->closes = c->closes;
	p->lost = c->lost;
	p->class_id = c->offer.class_id;
	p->instance = c->offer.instance;
	p->target_vp = VMB_VP_NONE;
	if (c->state == VMBI_GC_IDLE)
		return;
	p->target_vp = c->target_vp;
	p->event_flag = c->flag;
	p->connection_id = c->signal_connection;
	p->user = c->user;
	p->object = c->flags & VMBI_GC_OBJECT ? c->object : NULL;
}

static void gg_part(const struct vmb_guest *g, const struct vmbi_gg *d, struct vmb_part *p)
{
	const struct vmbi_gc *c = &g->channels[d->channel];

	p->kind = VMB_PART_GPADL;
	p->state = gg_states[d->state];
	p->flags = d->flags & VMBI_GG_RING ? VMB_HAS_RING : 0;
	p->ch = c->flags & VMBI_GC_SEEN ? vmbi_handle(d->channel, c->generation) : 0;
	p->channel = c->id;
	p->gpadl = d->id;
	p->words = d->words;
	p->ranges = d->ranges;
}

static int guest_part(const struct vmb_guest *g, uint32_t n, struct vmb_part *p)
{
	uint32_t k = n - 1;

	if (n == 1) {
		p->kind = VMB_PART_CONNECTION;
		p->state = g->state;
		return 1;
	}
	if (k <= g->cfg.max_channels) {
		if (!g->channels[k].id)
			return 0;
		gc_part(g, &g->channels[k], p);
		return 1;
	}
	k -= g->cfg.max_channels;
	if (!g->gpadls[k].id)
		return 0;
	gg_part(g, &g->gpadls[k], p);
	return 1;
}

int vmb_guest_snapshot(struct vmb_guest *g, uint32_t *cursor, struct vmb_part *out)
{
	struct vmb_part part;
	int r = cursor && out ? vmbi_guest_enter(g) : VMB_EINVAL;

	if (r < 0)
		return r;
	VMBI_MEMSET(&part, 0, sizeof part);
	while (!r && *cursor < 1 + g->cfg.max_channels + g->cfg.max_gpadls)
		r = guest_part(g, ++*cursor, &part);
	if (r) {
		r = vmbi_struct_out(out, &part, sizeof part, sizeof part);
		r = r < 0 ? r : VMB_YES;
	}
	vmbi_guard_leave(&g->guard);
	return r;
}
