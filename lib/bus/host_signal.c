/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Signals, on any thread beside everything else: the guest's to a device, a device's to the guest. Each passes through a gate
 * of the channel, and while somebody is inside, control neither tells the device that it is closed, nor the guest that an old
 * VP is out of use. control-plane.md 9
 */
#include "host.h"

void vmbi_host_gate_leave(struct vmb_host *h, struct vmbi_gate *g)
{
	if (!vmbi_gate_leave(g))
		return;
	VMBI_STORE32_RELEASE(&h->poked, 1u);
	VMBI_POKE(&h->cfg);
}

/* Inside the gate: the object stays. Where somebody else serves the rings there is none, and no account. */
static void signal_take(struct vmb_host *h, const struct vmbi_hc *c)
{
	if (c->channel && vmbi_signals_arrive(&c->channel->signals))
		vmbi_host_alarm(h);
	h->cfg.wake(h->cfg.ctx, c->user);
}

void vmbi_host_wake(struct vmb_host *h, uint32_t slot, uint32_t *route, uint32_t expected)
{
	struct vmbi_hc *c = &h->ch[slot];

	if (vmbi_gate_is_closed(&c->gate)) {
		(void)VMBI_FETCH_ADD32(&h->stray, 1u);
		return;
	}
	/* It may have gone to another channel since: look again from inside, where this one cannot be closed. */
	if (vmbi_gate_enter(&c->gate) && VMBI_LOAD32_ACQUIRE(route) == expected)
		signal_take(h, c);
	else
		(void)VMBI_FETCH_ADD32(&h->stray, 1u);
	vmbi_host_gate_leave(h, &c->gate);
}

/* Wake the device of a channel id that the guest knows. 1: there is such an id, whether or not anybody serves it. */
static int signal_channel(struct vmb_host *h, uint32_t id)
{
	uint32_t route = VMBI_LOAD32_ACQUIRE(&h->route[id]);

	if (!(route & VMBI_HOST_KNOWN))
		return 0;
	vmbi_host_wake(h, route & ~VMBI_HOST_KNOWN, &h->route[id], route);
	return 1;
}

/* Versions below 2.4: one event for all, the guest's half of the interrupt page says for whom. Its bits are the guest's: one
 * without a channel is ignored. */
static int signal_page(struct vmb_host *h)
{
	struct vmbi_flags_scan scan = { .end = VMBI_FLAG_WORDS };
	uint32_t bits;
	int open;

	if (vmbi_gate_is_closed(&h->page_gate))
		return 0;
	open = vmbi_gate_enter(&h->page_gate);
	scan.flags = open ? h->page + VMBI_INTERRUPT_HALF : NULL;
	while (open && (bits = vmbi_flags_next(&scan)) != 0)
		for (; bits; bits &= bits - 1)
			if (!signal_channel(h, scan.first + vmbi_flags_lowest(bits)))
				(void)VMBI_FETCH_ADD32(&h->stray, 1u);
	vmbi_host_gate_leave(h, &h->page_gate);
	return open;
}

int vmb_host_signal(struct vmb_host *h, uint32_t connection, uint32_t flag)
{
	uint32_t id = connection & (VMBI_HOST_IDS - 1);
	int known;

	if (!h || flag)
		return VMB_HV_INVALID_PARAMETER;
	if (connection == VMBI_CONNECTION_EVENT)
		known = signal_page(h);
	else if (connection == (vmbi_host_event_base(h) | id))
		known = id && signal_channel(h, id);
	else
		known = vmbi_ports_signal(h, connection);
	return known ? VMB_HV_SUCCESS : VMB_HV_INVALID_CONNECTION;
}

void vmbi_host_interrupt_guest(struct vmbi_hc *c)
{
	struct vmb_host *h = c->host;
	uint32_t vp;

	(void)vmbi_gate_enter(&c->out);
	vp = VMBI_LOAD32_ACQUIRE(&c->target);
	if (c->legacy) {
		if (h->page)
			(void)vmbi_flags_set(h->page, c->flag);
		h->cfg.interrupt(h->cfg.ctx, 0, h->cfg.vtl, VMBI_SINT, 0);
	} else if (vp != VMB_VP_NONE && c->redirect) {
		h->cfg.interrupt(h->cfg.ctx, vp, VMBI_REDIRECT_VTL, VMBI_REDIRECT_SINT, c->flag);
	} else if (vp != VMB_VP_NONE) {
		h->cfg.interrupt(h->cfg.ctx, vp, h->cfg.vtl, VMBI_SINT, c->flag);
	}
	vmbi_host_gate_leave(h, &c->out);
}

void vmbi_host_signal_guest(void *ctx)
{
	struct vmbi_hc *c = ctx;

	if (VMBI_LOAD32_RELAXED(&c->channel->signals.look))
		vmbi_host_alarm(c->host);
	vmbi_host_interrupt_guest(c);
}

/* ---- control waits */

void vmbi_host_gate_wait(struct vmb_host *h, const struct vmbi_hc *c)
{
	vmbi_fifo_append(&h->waiting, h->wait_links, c->slot);
}

void vmbi_host_gates(struct vmb_host *h)
{
	uint32_t last = h->waiting.tail;

	if (!VMBI_LOAD32_RELAXED(&h->poked) || !VMBI_EXCHANGE32(&h->poked, 0u))
		return;
	for (uint32_t slot = 0; slot != last;) {
		struct vmbi_hc *c = &h->ch[slot = h->waiting.head];

		vmbi_fifo_remove(&h->waiting, h->wait_links, slot);
		vmbi_host_gate_step(h, c); /* appends it again if it must still wait */
	}
}
