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
		if (g->cfg.wake)
			g->cfg.wake(g->cfg.ctx, c->user);
	} else {
		guest_interrupt_stray(g);
	}
	if (vmbi_gate_leave(&c->gate))
		VMBI_POKE(&g->cfg);
}

static void guest_interrupt_word(struct vmb_guest *g, void *flags, uint32_t w)
{
	uint32_t bits = vmbi_flags_take(flags, w);

	for (uint32_t id = w * 32; bits; id++, bits >>= 1)
		if (bits & 1)
			guest_interrupt_channel(g, id);
}

int vmb_guest_interrupt(struct vmb_guest *g, void *flags, const void *slot)
{
	uint32_t words, by_page = 0, bits;

	if (!g || !flags || !slot)
		return VMB_EINVAL;
	words = VMBI_LOAD32_ACQUIRE(&g->scan);
	if (words) {
		bits = vmbi_flags_take(flags, 0);
		if (bits & 1) { /* flag 0 is no channel: below 2.4 it says, look at the page */
			by_page = VMBI_LOAD32_RELAXED(&g->by_page);
			if (!by_page)
				guest_interrupt_stray(g);
			bits &= ~1u;
		}
		for (uint32_t id = 0; bits; id++, bits >>= 1)
			if (bits & 1)
				guest_interrupt_channel(g, id);
	}
	for (uint32_t w = 1; w < words; w++)
		guest_interrupt_word(g, flags, w);
	for (uint32_t w = 0; by_page && w < words; w++)
		guest_interrupt_word(g, g->cfg.interrupt_page, w);
	if (!vmbi_slot_busy(slot))
		return 0;
	VMBI_POKE(&g->cfg);
	return VMB_YES;
}

void vmbi_guest_signal_host(void *ctx)
{
	const struct vmbi_gc *c = ctx;
	const struct vmb_guest_config *cfg = &c->guest->cfg;

	if (c->signal_monitor) {
		vmbi_monitor_set(c->monitor_page, c->signal_monitor - 1);
		return;
	}
	if (c->signal_page)
		(void)vmbi_flags_set((uint8_t *)cfg->interrupt_page + VMBI_INTERRUPT_HALF, c->id);
	(void)cfg->signal(cfg->ctx, c->signal_connection, 0);
}
