/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The host end as others see it: what it tells a watcher, the budgets of signals, and the snapshot. */
#include "host.h"

/* ---- told as it happens */

void vmbi_host_trace_connection(struct vmb_host *h, uint32_t before)
{
	struct vmb_trace t = { .point = VMB_TRACE_CONNECTION, .a = before, .b = h->state, .c = h->version, .d = h->features };

	if (before != h->state)
		h->cfg.trace(h->cfg.ctx, &t);
}

void vmbi_host_trace_message(struct vmb_host *h, uint32_t point, const uint8_t *msg, uint32_t len, uint32_t fate, uint32_t said)
{
	struct vmb_trace t = vmbi_trace_message(point, msg, len);

	t.c = fate;
	t.d = said;
	h->cfg.trace(h->cfg.ctx, &t);
}

static const uint8_t hc_states[] = {
	[VMBI_HC_FREE] = VMB_STATE_FREE,       [VMBI_HC_UNOFFERED] = VMB_STATE_UNOFFERED, [VMBI_HC_CLOSED] = VMB_STATE_OFFERED,
	[VMBI_HC_OPENING] = VMB_STATE_OPENING, [VMBI_HC_OPEN] = VMB_STATE_OPEN,           [VMBI_HC_CLOSING] = VMB_STATE_CLOSING,
	[VMBI_HC_REOPEN] = VMB_STATE_REOPENING, [VMBI_HC_REVOKED] = VMB_STATE_REVOKED,
};

static uint32_t hc_has(const struct vmbi_hc *c)
{
	if (c->state == VMBI_HC_FREE)
		return 0;
	return (c->removed ? VMB_HAS_REMOVED : 0) | (c->rescinded ? VMB_HAS_RESCINDED : 0) | (c->kept ? VMB_HAS_RESERVED : 0) |
	       (c->channel ? VMB_HAS_OBJECT : 0);
}

/* Tell what it is now, if that was not told before. */
void vmbi_host_trace_channel(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmb_trace t = { .point = VMB_TRACE_CHANNEL, .ch = vmbi_handle(c->slot, c->generation), .channel = c->id,
			       .a = c->shown_state, .b = hc_states[c->state], .c = c->shown_has, .d = hc_has(c) };

	if (t.a == t.b && t.c == t.d)
		return;
	c->shown_state = t.b;
	c->shown_has = t.d;
	h->cfg.trace(h->cfg.ctx, &t);
}

void vmbi_host_trace_device(struct vmb_host *h, const struct vmbi_hc *c, uint32_t before)
{
	struct vmb_trace t = { .point = VMB_TRACE_DEVICE, .ch = vmbi_handle(c->slot, c->generation), .channel = c->id,
			       .a = before, .b = c->dev };

	if (before != c->dev)
		h->cfg.trace(h->cfg.ctx, &t);
}

void vmbi_host_trace_gpadl(struct vmb_host *h, uint32_t slot, uint32_t id, uint32_t before, uint32_t now, uint32_t words, uint32_t ranges)
{
	struct vmb_trace t = { .point = VMB_TRACE_GPADL, .ch = vmbi_handle(slot, h->ch[slot].generation), .channel = h->ch[slot].id,
			       .gpadl = id, .a = before, .b = now, .c = words, .d = ranges };

	if (before != now)
		h->cfg.trace(h->cfg.ctx, &t);
}

/* ---- signals */

void vmbi_host_alarm(struct vmb_host *h)
{
	VMBI_STORE32_RELAXED(&h->alarm, 1u);
	VMBI_POKE(&h->cfg);
}

static void hc_over(struct vmb_host *h, struct vmbi_hc *c, uint32_t which)
{
	struct vmbi_signals *s = &c->channel->signals;
	struct vmb_trace t = { .point = VMB_TRACE_SIGNALS, .ch = vmbi_handle(c->slot, c->generation), .channel = c->id, .a = which,
			       .c = h->cfg.signal_budget };

	t.b = which == VMB_OVER_IN ? s->in.base : s->out.base;
	t.d = which == VMB_OVER_IN ? s->in.over : s->out.over;
	h->over_budget++;
	if (h->cfg.trace)
		h->cfg.trace(h->cfg.ctx, &t);
}

void vmbi_host_watch_signals(struct vmb_host *h, uint64_t now)
{
	if (!VMBI_LOAD32_RELAXED(&h->alarm) || !VMBI_EXCHANGE32(&h->alarm, 0u))
		return;
	for (uint32_t i = 1; i <= h->slots; i++) {
		struct vmbi_hc *c = &h->ch[i];
		uint32_t over = 0;

		if (c->channel)
			over = vmbi_signals_over(&c->channel->signals, now, h->cfg.signal_ms * (uint64_t)1000000, h->cfg.signal_budget);
		if (over & VMB_OVER_IN)
			hc_over(h, c, VMB_OVER_IN);
		if (over & VMB_OVER_OUT)
			hc_over(h, c, VMB_OVER_OUT);
	}
}

/* ---- the snapshot: number 1 is the connection, then the channels, then the lists */

static void hc_part(const struct vmb_host *h, const struct vmbi_hc *c, struct vmb_part *p)
{
	int open = c->state >= VMBI_HC_OPENING && c->state <= VMBI_HC_REOPEN;

	p->kind = VMB_PART_CHANNEL;
	p->state = hc_states[c->state];
	p->flags = hc_has(c);
	p->device = c->dev;
	p->ch = vmbi_handle(c->slot, c->generation);
	p->channel = c->id;
	p->gpadl = open ? c->open.ring_id : 0;
	p->subchannel = c->subchannel;
	p->monitor_id = c->monitor ? c->monitor - 1 : 255;
	p->target_vp = open ? c->open.target_vp : VMB_VP_NONE;
	p->event_flag = open ? c->open.flag : 0;
	p->connection_id = open ? c->open.connection : c->id ? vmbi_host_connection(h, c) : 0;
	p->opens = c->opens;
	p->refused = c->refused;
	p->closes = c->closes;
	p->lost = c->lost;
	p->user = c->user;
	p->class_id = c->class_id;
	p->instance = c->instance;
	p->object = c->channel;
}

static int host_gpadl_part(struct vmb_host *h, uint32_t ref, struct vmb_part *p)
{
	struct vmb_gpadl_info info;
	uint32_t owner;

	p->state = vmbi_gpadls_look(h->store, ref, &owner);
	if (p->state == VMB_LIST_NONE)
		return 0;
	vmbi_gpadls_info(h->store, ref, &info);
	p->kind = VMB_PART_GPADL;
	p->ch = vmbi_handle(owner, h->ch[owner].generation);
	p->channel = h->ch[owner].id;
	p->gpadl = vmbi_gpadls_id(h->store, ref);
	p->words = info.words;
	p->ranges = info.ranges;
	p->held = info.held;
	return 1;
}

static int host_part(struct vmb_host *h, uint32_t n, struct vmb_part *p)
{
	if (n == 1) {
		p->kind = VMB_PART_CONNECTION;
		p->state = h->state;
		return 1;
	}
	if (n > 1 + h->slots)
		return host_gpadl_part(h, n - 1 - h->slots, p);
	if (h->ch[n - 1].state == VMBI_HC_FREE)
		return 0;
	hc_part(h, &h->ch[n - 1], p);
	return 1;
}

int vmb_host_snapshot(struct vmb_host *h, uint32_t *cursor, struct vmb_part *out)
{
	struct vmb_part part;
	int r = cursor && out ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	VMBI_MEMSET(&part, 0, sizeof part);
	while (!r && *cursor < 1 + h->slots + h->gpadls)
		r = host_part(h, ++*cursor, &part);
	if (r) {
		r = vmbi_struct_out(out, &part, sizeof part, sizeof part);
		r = r < 0 ? r : VMB_YES;
	}
	vmbi_guard_leave(&h->guard);
	return r;
}
