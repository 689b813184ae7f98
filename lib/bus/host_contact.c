/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The connection: contact, unload, reset. All three end what there was, wait until the devices have let go of it, and then do
 * the one pending action; the newest wins, and a reset wins over all. control-plane.md 7.2, 11
 */
#include "host.h"

#define CONTACT_FAILED 2u /* connection_state. control-plane.md 5 */

static void contact_leave_channel(struct vmb_host *h, struct vmbi_hc *c, int known, uint32_t action)
{
	if (c->kept && action != VMBI_ACTION_RESET)
		vmbi_reserved_keep(h, c);
	else if (c->state != VMBI_HC_FREE && (known || c->kept))
		vmbi_host_forget(h, c);
}

/* End what the guest has. What was queued for it is for nobody: it ignores everything until its answer comes. */
static void contact_leave(struct vmb_host *h, uint32_t action)
{
	int known = h->state == VMB_BUS_RUNNING; /* before, the guest knows of no channel but the reserved ones of older connections */

	h->action = action;
	h->paused = 0;
	h->monitor.swapping = 0;
	vmbi_hvsock_leave(h);
	vmbi_host_become(h, action == VMBI_ACTION_RESET ? VMB_BUS_RESETTING : VMB_BUS_LEAVING);
	vmbi_hq_clear(h);
	for (uint32_t i = 1; (known || h->kept) && i <= h->slots; i++)
		contact_leave_channel(h, &h->ch[i], known, action);
	(void)vmbi_gate_close(&h->page_gate);
	(void)vmbi_gate_close(&h->monitor.gate);
}

void vmbi_host_unload(struct vmb_host *h)
{
	contact_leave(h, VMBI_ACTION_UNLOAD);
}

void vmbi_host_pause(struct vmb_host *h)
{
	h->paused = 1;
	vmbi_hq_pause(h);
}

void vmbi_host_resume(struct vmb_host *h)
{
	h->paused = 0;
}

int vmb_host_reset(struct vmb_host *h)
{
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	contact_leave(h, VMBI_ACTION_RESET);
	vmbi_host_leave(h);
	return 0;
}

/* ---- the request */

/* A connection for another SINT is not ours: it is told so there, if its slot is free; ours stays as it is. */
static void contact_wrong_sint(struct vmb_host *h, uint32_t vp, uint32_t sint)
{
	uint8_t msg[16] = { VMBI_MSG_VERSION_RESPONSE };

	vmbi_hq_direct(h, vp, sint, msg, sizeof msg);
}

/* Which fields count depends on the number asked for, even if it is no version that we know. */
void vmbi_host_contact(struct vmb_host *h, const uint8_t *msg, uint32_t connection, uint32_t trusted)
{
	struct vmbi_host_request q = { .version = vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, version)),
				       .connection = connection, .trusted = trusted };
	int multi = connection != VMBI_CONNECTION_LEGACY;
	uint32_t sint = VMBI_SINT, vtl = multi ? 0 : h->cfg.vtl;

	if (multi && q.version >= VMB_V5_0)
		sint = msg[VMBI_AT(INITIATE_CONTACT, target_sint)];
	if (multi && q.version >= VMB_V5_1)
		vtl = msg[VMBI_AT(INITIATE_CONTACT, target_vtl)];
	if (q.version >= VMB_V3_0)
		q.vp = vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, target_vp));
	if (q.version < VMB_V2_4)
		q.page = vmbi_get64(msg + VMBI_AT(INITIATE_CONTACT, interrupt_page));
	if (q.version >= VMB_V6_0)
		q.features = vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, feature_flags));
	if (q.features & VMB_FEATURE_CLIENT_ID)
		VMBI_MEMCPY(&q.client_id, msg + VMBI_AT(INITIATE_CONTACT, client_id), sizeof q.client_id);
	q.monitor[0] = vmbi_get64(msg + VMBI_AT(INITIATE_CONTACT, parent_to_child_page));
	q.monitor[1] = vmbi_get64(msg + VMBI_AT(INITIATE_CONTACT, child_to_parent_page));
	q.bad_pages = !vmbi_monitor_pages_ok(q.monitor);

	/* Another VTL's server, a VP or a SINT that is not there: no answer can reach who asked. control-plane.md 7.2, 20.1 */
	if (vtl != h->cfg.vtl || sint > 15 || !vmbi_host_vp_ok(h, q.vp)) {
		vmbi_host_drop(h, VMB_FATE_VALUE);
		return;
	}
	if (sint != VMBI_SINT) {
		h->fate = VMB_FATE_REFUSED;
		contact_wrong_sint(h, q.vp, sint);
		return;
	}
	h->request = q;
	contact_leave(h, VMBI_ACTION_CONTACT);
}

/* ---- the answer */

/* state is not 0: the version is known, but something failed. Below 2.4 there is no way to say that. */
static void contact_respond(struct vmb_host *h, const struct vmbi_host_request *q, uint32_t supported, uint32_t state)
{
	uint8_t msg[40] = { VMBI_MSG_VERSION_RESPONSE };
	uint32_t len = 16;

	if (state && q->version < VMB_V2_4)
		supported = 0;
	if (supported) {
		msg[VMBI_AT(VERSION_RESPONSE, version_supported)] = 1;
		msg[VMBI_AT(VERSION_RESPONSE, connection_state)] = (uint8_t)state;
		vmbi_put32(msg + VMBI_AT(VERSION_RESPONSE, selected), q->version < VMB_V5_0 ? q->version : q->connection);
		if (q->version >= VMB_V6_0) {
			vmbi_put32(msg + VMBI_AT(VERSION_RESPONSE, supported_features), h->features);
			len = 20;
		}
		if (h->features & VMB_FEATURE_SERVER_MONITOR) {
			vmbi_put64(msg + VMBI_AT(VERSION_RESPONSE, parent_to_child_page), h->cfg.monitor_gpa[0]);
			vmbi_put64(msg + VMBI_AT(VERSION_RESPONSE, child_to_parent_page), h->cfg.monitor_gpa[1]);
			len = 40;
		}
	}
	vmbi_hq_connection(h, msg, len, q->vp);
}

/* The interrupt page of versions below 2.4. */
int vmbi_host_use_page(struct vmb_host *h, uint64_t gpa)
{
	void *page = NULL;

	if (!gpa)
		return 0;
	if (vmbi_host_map_page(h, gpa, &page))
		return VMB_EMAP;
	h->page_gpa = gpa;
	h->page = page;
	h->page_mapped = 1;
	return 0;
}

void vmbi_host_unuse_page(struct vmb_host *h)
{
	void *page = h->page;

	if (!h->page_mapped)
		return;
	h->page = NULL;
	h->page_mapped = 0;
	vmbi_host_unmap_page(h, h->page_gpa, page);
}

/* control-plane.md 3.1, 16.2 */
uint32_t vmbi_host_grant(const struct vmb_host *h, uint32_t asked, uint32_t trusted)
{
	uint32_t features = asked & h->cfg.features;

	if (h->limit_features)
		features &= h->limit_features;
	return trusted ? features : features & ~VMB_FEATURE_CONFIDENTIAL;
}

int vmbi_host_speaks(const struct vmb_host *h, uint32_t version)
{
	return vmbi_version_known(version) && (!h->cfg.max_version || version <= h->cfg.max_version) &&
	       (!h->limit_version || version <= h->limit_version);
}

/* The old connection is gone. control-plane.md 7.2 steps 8 to 11 */
static void contact_negotiate(struct vmb_host *h)
{
	const struct vmbi_host_request *q = &h->request;

	if (!vmbi_host_speaks(h, q->version)) {
		contact_respond(h, q, 0, 0);
		return;
	}
	h->features = vmbi_host_grant(h, q->features, q->trusted);
	if (q->bad_pages || vmbi_host_use_page(h, q->page) || vmbi_monitor_use(h, q->monitor)) {
		vmbi_host_unuse_page(h);
		h->features &= ~VMB_FEATURE_SERVER_MONITOR;
		contact_respond(h, q, 1, CONTACT_FAILED);
		h->features = 0;
		return;
	}
	h->version = q->version;
	h->trusted = q->trusted;
	h->client_id = q->client_id;
	h->message_vp = q->vp;
	vmbi_host_become(h, VMB_BUS_CONNECTED);
	h->connection = ++h->connections; /* the event is queued already */
	if (h->page_mapped)
		vmbi_gate_open(&h->page_gate); /* from here on signallers read it */
	contact_respond(h, q, 1, 0);
}

int vmb_host_limit(struct vmb_host *h, uint32_t max_version, uint32_t features)
{
	int r = max_version && !vmbi_version_known(max_version) ? VMB_EINVAL : vmbi_host_enter(h);

	if (r)
		return r;
	h->limit_version = max_version;
	h->limit_features = features;
	vmbi_host_leave(h);
	return 0;
}

void vmbi_host_settle(struct vmb_host *h)
{
	uint32_t gpadls, pages, action = h->action, version = h->version;
	uint8_t complete[8] = { VMBI_MSG_UNLOAD_COMPLETE };

	vmbi_monitor_step(h);
	vmbi_gpadls_count(h->store, &gpadls, &pages);
	/* A channel that is served uses its ring: no GPADL means that no device has anything. */
	if (!action || gpadls != vmbi_reserved_gpadls(h) || (h->page_mapped && !vmbi_gate_empty(&h->page_gate)) ||
	    (h->monitor.page && !vmbi_gate_empty(&h->monitor.gate)))
		return;
	vmbi_host_unuse_page(h);
	h->action = VMBI_ACTION_NONE;
	vmbi_monitor_unuse(h);
	vmbi_ports_clear(h);
	h->version = h->features = h->trusted = 0;
	vmbi_host_become(h, VMB_BUS_NONE);
	VMBI_MEMSET(&h->client_id, 0, sizeof h->client_id);
	h->connection = 0;
	if (action == VMBI_ACTION_RESET) {
		h->message_vp = 0;
		h->reset_done = 1;
	}
	vmbi_he_connection(h);
	if (action == VMBI_ACTION_CONTACT)
		contact_negotiate(h);
	else if (action == VMBI_ACTION_UNLOAD && version >= VMB_V1_1)
		vmbi_hq_connection(h, complete, sizeof complete, h->message_vp);
}
