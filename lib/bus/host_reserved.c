/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Reserved channels: what a debugger or a crashed system opens beside the connection of the running one. They have no interrupts, answers
 * go to the place that the request names, and UNLOAD and a new contact leave them alone; a reset of the VM does not. control-plane.md 10.5
 */
#include "host.h"

void vmbi_reserved_open(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg)
{
	struct vmbi_host_open o;

	if (!vmbi_host_may(h, c, c->state == VMBI_HC_CLOSED))
		return;
	VMBI_MEMSET(&o, 0, sizeof o);
	o.flags = VMB_OPEN_RESERVED;
	o.target_vp = VMB_VP_NONE;
	o.connection = vmbi_host_connection(h, c);
	o.flag = c->id;
	o.version = h->version;
	o.result_vp = vmbi_get32(msg + VMBI_AT(OPEN_RESERVED_CHANNEL, target_vp));
	o.result_sint = msg[VMBI_AT(OPEN_RESERVED_CHANNEL, target_sint)];
	o.ring_id = vmbi_get32(msg + VMBI_AT(OPEN_RESERVED_CHANNEL, ring_gpadl));
	o.rx_pages = vmbi_get32(msg + VMBI_AT(OPEN_RESERVED_CHANNEL, downstream_page_offset));
	if (!vmbi_host_open_ring(h, c, &o)) {
		c->refused++;
		h->fate = VMB_FATE_REFUSED;
		vmbi_host_open_result(h, c, &o, VMBI_FAILED);
		return;
	}
	vmbi_gpadls_use(h->store, o.ring_ref);
	c->kept = 1;
	vmbi_hc_changed(h, c);
	h->kept++;
	vmbi_host_begin_open(h, c, &o);
}

void vmbi_reserved_close(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg)
{
	if (!vmbi_host_may(h, c, c->state == VMBI_HC_OPEN && c->kept))
		return;
	c->open.result_vp = vmbi_get32(msg + VMBI_AT(CLOSE_RESERVED_CHANNEL, target_vp));
	c->open.result_sint = msg[VMBI_AT(CLOSE_RESERVED_CHANNEL, target_sint)];
	vmbi_host_begin_close(h, c);
}

int vmbi_reserved_lingers(struct vmb_host *h, const struct vmbi_hc *c)
{
	return c->kept && c->holds && !vmbi_hc_is_told(h, c) && !c->removed;
}

void vmbi_reserved_end(struct vmb_host *h, struct vmbi_hc *c)
{
	vmbi_reserved_drop(h, c);
	if (vmbi_hc_is_told(h, c) || c->removed)
		return;
	vmbi_host_forget(h, c);
	vmbi_host_offer_now(h, c);
}

void vmbi_reserved_closed(struct vmb_host *h, struct vmbi_hc *c)
{
	uint8_t msg[12] = { VMBI_MSG_CLOSE_RESERVED_RESPONSE };

	vmbi_put32(msg + VMBI_AT(CLOSE_RESERVED_RESPONSE, channel_id), c->id);
	vmbi_hq_direct(h, c->open.result_vp, c->open.result_sint, msg, sizeof msg);
	vmbi_reserved_end(h, c);
}

void vmbi_reserved_lingered(struct vmb_host *h, struct vmbi_hc *c)
{
	vmbi_hc_become(h, c, VMBI_HC_CLOSED);
	vmbi_host_gpadl_unuse(h, c->open.ring_ref);
	vmbi_reserved_closed(h, c);
}

void vmbi_reserved_drop(struct vmb_host *h, struct vmbi_hc *c)
{
	h->kept -= c->kept;
	c->kept = 0;
	vmbi_hc_changed(h, c);
}

void vmbi_reserved_keep(struct vmb_host *h, struct vmbi_hc *c)
{
	vmbi_host_gpadl_purge(h, c);
	vmbi_monitor_take(h, c);
	if (c->state == VMBI_HC_REOPEN) { /* what was to come after it was the connection's */
		vmbi_hc_become(h, c, VMBI_HC_CLOSING);
		vmbi_host_end_open(h, c, VMBI_HC_REOPEN);
	}
}

uint32_t vmbi_reserved_gpadls(const struct vmb_host *h)
{
	uint32_t n = 0;

	for (uint32_t slot = 1; h->kept && slot <= h->slots; slot++) {
		uint32_t ref = h->ch[slot].kept ? vmbi_gpadls_next(h->store, slot, 0) : 0;

		for (; ref; ref = vmbi_gpadls_next(h->store, slot, ref))
			n++;
	}
	return n;
}
