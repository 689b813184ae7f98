/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Interrupts and signals, from any CPU, beside control calls: flags to channels, and channels to the host. control-plane.md 9,
 * ring.md 10.4
 *
 * Flags are cleared before the channel is woken (R12). The way from an event flag to its slot is one load; the slot's gate keeps
 * the channel there, and inside the gate the flag is compared once more, for the slot may have become another's meanwhile.
 */
#include "guest.h"

static void guest_interrupt_stray(struct vmb_guest *g)
{
	(void)VMBI_FETCH_ADD32(&g->stray, 1u);
}

static void guest_interrupt_channel(struct vmb_guest *g, uint32_t flag)
{
	uint32_t slot = vmbi_guest_map_get(g, g->event_slots, flag);
	struct vmbi_gc *c = &g->channels[slot];

	if (!slot || vmbi_gate_is_closed(&c->gate)) {
		guest_interrupt_stray(g);
		return;
	}
	if (vmbi_gate_enter(&c->gate) && c->flag == flag) {
		if (vmbi_signals_arrive(&c->object->signals))
			vmbi_guest_alarm(g);
		if (g->cfg.wake)
			g->cfg.wake(g->cfg.ctx, c->user);
	} else {
		guest_interrupt_stray(g);
	}
	if (vmbi_gate_leave(&c->gate))
		VMBI_POKE(&g->cfg);
}

/* 1: flag 0 was set, which is no channel. */
static uint32_t guest_interrupt_flags(struct vmb_guest *g, void *flags, uint32_t words)
{
	struct vmbi_flags_scan scan = { .flags = flags, .end = words };
	uint32_t zero = 0, bits;

	while ((bits = vmbi_flags_next(&scan)) != 0) {
		if (!scan.first) {
			zero = bits & 1;
			bits -= zero;
		}
		for (; bits; bits &= bits - 1)
			guest_interrupt_channel(g, scan.first + vmbi_flags_lowest(bits));
	}
	return zero;
}

int vmb_guest_interrupt(struct vmb_guest *g, void *flags, const void *slot)
{
	uint32_t words, zero;

	if (!g || !flags || !slot)
		return VMB_EINVAL;
	words = VMBI_LOAD32_ACQUIRE(&g->scan);
	zero = guest_interrupt_flags(g, flags, words);
	if (zero && VMBI_LOAD32_RELAXED(&g->by_page)) /* below 2.4 flag 0 says, look at the page */
		zero = guest_interrupt_flags(g, g->cfg.interrupt_page, words);
	if (zero)
		guest_interrupt_stray(g);
	if (!vmbi_slot_busy(slot))
		return 0;
	VMBI_POKE(&g->cfg);
	return VMB_YES;
}

void vmbi_guest_signal_host(void *ctx)
{
	const struct vmbi_gc *c = ctx;
	const struct vmb_guest_config *cfg = &c->guest->cfg;

	if (VMBI_LOAD32_RELAXED(&c->object->signals.look))
		vmbi_guest_alarm(c->guest);
	if (c->signal_monitor) {
		vmbi_monitor_set(c->monitor_page, c->signal_monitor - 1);
		return;
	}
	if (c->signal_page)
		(void)vmbi_flags_set((uint8_t *)cfg->interrupt_page + VMBI_INTERRUPT_HALF, c->id);
	(void)cfg->signal(cfg->ctx, c->signal_connection, 0);
}
