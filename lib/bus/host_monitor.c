/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Monitored notification: a guest sets a bit in a page instead of making a hypercall, and the host looks now and then. The page is the
 * guest's, or the server's own (6.0, feature 0x40). Its gate keeps it there while somebody looks; MODIFY_CONNECTION swaps pages in a living
 * connection and waits for that gate. control-plane.md 8.3, 9.4, 13
 */
#include "host.h"

/* connection_state. control-plane.md 5 */
#define MONITOR_DONE 0u
#define MONITOR_FAILED 2u

int vmbi_monitor_pages_ok(const uint64_t gpa[2])
{
	if (!gpa[0] && !gpa[1])
		return 1;
	return gpa[0] && gpa[1] && (gpa[0] | gpa[1]) % VMB_PAGE == 0 && gpa[0] != gpa[1];
}

static int monitor_is_own(const struct vmb_host *h)
{
	return (h->features & VMB_FEATURE_SERVER_MONITOR) != 0;
}

int vmbi_monitor_use(struct vmb_host *h, const uint64_t gpa[2])
{
	struct vmbi_host_monitor *m = &h->monitor;
	void *page = h->cfg.monitor_page[1];

	if (monitor_is_own(h))
		gpa = h->cfg.monitor_gpa;
	m->gpa[0] = gpa[0];
	m->gpa[1] = gpa[1];
	if (!gpa[1] || !(h->cfg.flags & VMB_HOST_MONITOR))
		return 0;
	if (!monitor_is_own(h)) {
		if (vmbi_host_map_page(h, gpa[1], &page)) {
			m->gpa[0] = m->gpa[1] = 0;
			return VMB_EMAP;
		}
		m->mapped = 1;
	}
	vmbi_trigger_init(page, h->cfg.monitor_latency);
	m->page = page;
	vmbi_gate_open(&m->gate);
	return 0;
}

void vmbi_monitor_unuse(struct vmb_host *h)
{
	struct vmbi_host_monitor *m = &h->monitor;
	uint64_t gpa = m->gpa[1];
	void *page = m->page;

	m->page = NULL;
	m->gpa[0] = m->gpa[1] = 0;
	if (m->mapped)
		vmbi_host_unmap_page(h, gpa, page);
	m->mapped = 0;
}

/* ---- MODIFY_CONNECTION: exactly one answer each */

void vmbi_monitor_message(struct vmb_host *h, const uint8_t *msg)
{
	struct vmbi_host_monitor *m = &h->monitor;
	uint64_t gpa[2] = { vmbi_get64(msg + VMBI_AT(MODIFY_CONNECTION, parent_to_child_page)),
			    vmbi_get64(msg + VMBI_AT(MODIFY_CONNECTION, child_to_parent_page)) };

	if (m->swapping || monitor_is_own(h) || m->users || !vmbi_monitor_pages_ok(gpa)) {
		h->fate = VMB_FATE_REFUSED;
		vmbi_hq_reply(h, VMBI_MSG_MODIFY_CONNECTION_RESPONSE, MONITOR_FAILED, 0, 0);
		return;
	}
	m->swapping = 1;
	m->wanted[0] = gpa[0];
	m->wanted[1] = gpa[1];
	(void)vmbi_gate_close(&m->gate);
	vmbi_monitor_step(h);
}

void vmbi_monitor_step(struct vmb_host *h)
{
	struct vmbi_host_monitor *m = &h->monitor;
	uint32_t state = MONITOR_DONE;

	if (!m->swapping || !vmbi_gate_empty(&m->gate))
		return;
	m->swapping = 0;
	vmbi_monitor_unuse(h);
	if (vmbi_monitor_use(h, m->wanted))
		state = MONITOR_FAILED;
	vmbi_hq_reply(h, VMBI_MSG_MODIFY_CONNECTION_RESPONSE, state, 0, 0);
}

/* ---- ids */

void vmbi_monitor_give(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmbi_host_monitor *m = &h->monitor;
	uint32_t id = 0;

	if (!m->page || c->offer_flags & VMB_OFFER_NO_MONITOR)
		return;
	while (id < VMBI_HOST_MONITORS && m->taken[id / 32] >> id % 32 & 1)
		id++;
	if (id == VMBI_HOST_MONITORS)
		return;
	m->taken[id / 32] |= 1u << id % 32;
	c->monitor = id + 1;
	vmbi_trigger_connect(m->page, id, vmbi_host_connection(h, c));
}

void vmbi_monitor_take(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t id = c->monitor - 1;

	if (!c->monitor)
		return;
	h->monitor.taken[id / 32] &= ~(1u << id % 32);
	c->monitor = 0;
}

/* Not for channels without interrupts, which the reserved ones are, too. */
void vmbi_monitor_connect(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!c->monitor || c->open.target_vp == VMB_VP_NONE)
		return;
	c->triggered = c->monitor;
	h->monitor.users++;
	VMBI_STORE32_RELEASE(&h->monitor.route[c->monitor - 1], c->slot);
}

void vmbi_monitor_disconnect(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!c->triggered)
		return;
	VMBI_STORE32_RELEASE(&h->monitor.route[c->triggered - 1], 0u);
	h->monitor.users--;
	c->triggered = 0;
}

/* ---- looking */

static void monitor_trigger(struct vmb_host *h, uint32_t id)
{
	uint32_t *route = &h->monitor.route[id], slot = VMBI_LOAD32_ACQUIRE(route);

	if (slot)
		vmbi_host_wake(h, slot, route, slot);
	else
		(void)VMBI_FETCH_ADD32(&h->stray, 1u);
}

int vmb_host_monitor(struct vmb_host *h)
{
	struct vmbi_gate *gate;
	int found = 0;

	if (!h)
		return VMB_EINVAL;
	gate = &h->monitor.gate;
	if (vmbi_gate_is_closed(gate))
		return 0;
	if (vmbi_gate_enter(gate)) {
		for (uint32_t group = 0; group < VMBI_HOST_MONITORS / 32; group++) {
			uint32_t bits = vmbi_trigger_take(h->monitor.page, group);

			found |= bits != 0;
			for (uint32_t id = group * 32; bits; id++, bits >>= 1)
				if (bits & 1)
					monitor_trigger(h, id);
		}
	}
	vmbi_host_gate_leave(h, gate);
	return found ? VMB_YES : 0;
}
