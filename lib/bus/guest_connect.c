/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The connection of the guest: contact with one version after the other, offers asked for, UNLOAD. control-plane.md 7.1, 11, 19
 *
 * A version that is refused leads to the next lower one; so does a hypervisor that does not know the message connection.
 * Silence ends the attempt: an answer to it may still come and be taken for one to the next.
 */
#include "guest.h"

int vmbi_guest_may_speak(const struct vmb_guest_config *cfg, uint32_t version)
{
	return vmbi_version_known(version) && version <= cfg->max_version && version >= cfg->min_version &&
	       (version >= VMB_V2_4 || cfg->interrupt_gpa);
}

uint32_t vmbi_guest_version_below(const struct vmb_guest_config *cfg, uint32_t version)
{
	uint32_t best = 0, v;

	for (uint32_t i = 0; (v = vmb_version_at(i)) != 0 && v < version; i++)
		if (vmbi_guest_may_speak(cfg, v))
			best = v;
	return best;
}

void vmbi_guest_connection_send(struct vmb_guest *g, uint32_t type)
{
	g->send = type;
	vmbi_guest_queue(g, VMBI_GUEST_NODE_CONNECTION(g));
}

void vmbi_guest_connection_mark(struct vmb_guest *g, uint32_t marks)
{
	vmbi_guest_mark(g, VMBI_GUEST_NODE_CONNECTION(g), marks);
}

/* No connection: nothing is queued, no event flag is ours. */
static void guest_connect_none(struct vmb_guest *g)
{
	vmbi_guest_clock(g, 0);
	VMBI_STORE32_RELAXED(&g->scan, 0);
	VMBI_STORE32_RELAXED(&g->unloadable, 0);
	g->features = 0;
	vmbi_guest_become(g, VMB_BUS_NONE);
	g->send = 0;
	g->answer_due = 0;
	g->redirected = 0;
	vmbi_guest_requests_end(g);
	for (uint32_t i = 1; g->kept && i <= g->slots_used; i++)
		if (g->channels[i].flags & VMBI_GC_KEPT)
			vmbi_guest_gpadls_kept(g, &g->channels[i], 1);
}

/* Of what outlives connections: is it known that this one is over, or that those before are? 1: lists of such a channel have leaked. The host
 * still has them. control-plane.md 10.5 */
static int guest_connect_kept(struct vmb_guest *g, int unproven)
{
	int leaks = 0;

	for (uint32_t i = 1; g->kept && i <= g->slots_used; i++) {
		struct vmbi_gc *c = &g->channels[i];

		if (!(c->flags & VMBI_GC_KEPT))
			continue;
		c->flags &= ~VMBI_GC_UNPROVEN;
		c->flags |= unproven ? VMBI_GC_UNPROVEN : 0;
		leaks |= vmbi_guest_gpadls_leaked(g, c);
	}
	return leaks;
}

/* ---- contact */

static void guest_connect_failed(struct vmb_guest *g, int32_t status, uint32_t said)
{
	guest_connect_none(g);
	g->connect_status = status;
	g->connect_said = said;
	vmbi_guest_connection_mark(g, VMBI_GE_CONNECTED);
}

/* This version is not to be had. What a host said about a version that it knows outweighs that it does not know others. */
static void guest_connect_next(struct vmb_guest *g, int32_t status, uint32_t said)
{
	vmbi_guest_clock(g, 0);
	g->answer_due = 0;
	if (!g->connect_status || g->connect_status == VMB_EPLATFORM || status == VMB_EREFUSED) {
		g->connect_status = status;
		g->connect_said = said;
	}
	g->version = g->only_version ? 0 : vmbi_guest_version_below(&g->cfg, g->version);
	if (g->version)
		vmbi_guest_connection_send(g, VMBI_MSG_INITIATE_CONTACT);
	else
		guest_connect_failed(g, g->connect_status, g->connect_said);
}

static uint32_t guest_connect_contact(const struct vmb_guest *g, uint8_t *out, uint32_t *connection)
{
	const struct vmb_guest_config *cfg = &g->cfg;
	int len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_INITIATE_CONTACT, g->version, cfg->features);

	*connection = VMBI_CONNECTION_LEGACY;
	if (g->version >= VMB_V5_0)
		*connection = g->redirected ? VMBI_CONNECTION_REDIRECTED : VMBI_CONNECTION_MULTICLIENT;
	vmbi_put32(out + VMBI_AT(INITIATE_CONTACT, version), g->version);
	if (g->version >= VMB_V3_0)
		vmbi_put32(out + VMBI_AT(INITIATE_CONTACT, target_vp), cfg->message_vp);
	if (g->version >= VMB_V5_0)
		out[VMBI_AT(INITIATE_CONTACT, target_sint)] = (uint8_t)cfg->sint;
	else
		vmbi_put64(out + VMBI_AT(INITIATE_CONTACT, interrupt_page), cfg->interrupt_gpa);
	if (g->version >= VMB_V5_1)
		out[VMBI_AT(INITIATE_CONTACT, target_vtl)] = (uint8_t)cfg->vtl;
	if (g->version >= VMB_V6_0)
		vmbi_put32(out + VMBI_AT(INITIATE_CONTACT, feature_flags), cfg->features);
	if (g->version >= VMB_V6_0 && cfg->features & VMB_FEATURE_CLIENT_ID)
		VMBI_MEMCPY(out + VMBI_AT(INITIATE_CONTACT, client_id), &cfg->client_id, 16);
	vmbi_put64(out + VMBI_AT(INITIATE_CONTACT, parent_to_child_page), cfg->monitor_gpa[0]);
	vmbi_put64(out + VMBI_AT(INITIATE_CONTACT, child_to_parent_page), cfg->monitor_gpa[1]);
	return (uint32_t)len;
}

static void guest_connect_contact_posted(struct vmb_guest *g, int outcome, uint32_t status)
{
	if (outcome == VMBI_GUEST_FAILED && status == VMB_HV_INVALID_CONNECTION && g->redirected && g->version >= VMB_V5_0) {
		g->redirected = 0;
		vmbi_guest_connection_send(g, VMBI_MSG_INITIATE_CONTACT);
	} else if (outcome == VMBI_GUEST_FAILED && status == VMB_HV_INVALID_CONNECTION) {
		guest_connect_next(g, VMB_EPLATFORM, status);
	} else if (outcome == VMBI_GUEST_FAILED) {
		guest_connect_failed(g, VMB_EPLATFORM, status);
	} else {
		g->answer_due = 1;
		if (outcome == VMBI_GUEST_SENT)
			vmbi_guest_clock(g, g->cfg.connect_ms);
	}
}

/* Whose monitor pages are in use. The host's own come with this very response; where they are none, or cannot be had, signals are
 * hypercalls. control-plane.md 3.1, 20.2 */
static void guest_connect_monitor(struct vmb_guest *g, const uint8_t *msg)
{
	uint64_t gpa[2] = { g->cfg.monitor_gpa[0], g->cfg.monitor_gpa[1] };
	void *page[2] = { g->cfg.monitor_page[0], g->cfg.monitor_page[1] };

	if (g->features & VMB_FEATURE_SERVER_MONITOR) {
		gpa[0] = vmbi_get64(msg + VMBI_AT(VERSION_RESPONSE, parent_to_child_page));
		gpa[1] = vmbi_get64(msg + VMBI_AT(VERSION_RESPONSE, child_to_parent_page));
		page[0] = page[1] = NULL;
		if (!gpa[1] || (gpa[0] | gpa[1]) % VMB_PAGE || g->cfg.monitor(g->cfg.ctx, gpa, page) < 0 || !page[1])
			gpa[0] = gpa[1] = 0;
	}
	for (uint32_t i = 0; i < 2; i++) {
		g->monitor_gpa[i] = gpa[i];
		g->monitor_page[i] = gpa[1] ? page[i] : NULL;
	}
}

int vmbi_guest_on_version(struct vmb_guest *g, const uint8_t *msg)
{
	uint32_t selected = vmbi_get32(msg + VMBI_AT(VERSION_RESPONSE, selected));
	uint32_t said = g->version >= VMB_V2_4 ? msg[VMBI_AT(VERSION_RESPONSE, connection_state)] : 0; /* control-plane.md 5 */
	int supported = msg[VMBI_AT(VERSION_RESPONSE, version_supported)] != 0;

	if (!g->answer_due || (supported && !said && g->version >= VMB_V5_0 && selected >> 24))
		return 0;
	g->send = 0; /* should it be waiting to be repeated */
	if (!supported || said) {
		guest_connect_next(g, supported ? VMB_EREFUSED : VMB_EVERSION, said);
		return 1;
	}
	vmbi_guest_clock(g, 0);
	g->answer_due = 0;
	g->redirected = 0; /* it is not being tried any more */
	g->connection = g->version >= VMB_V5_0 ? selected : VMBI_CONNECTION_LEGACY;
	g->leaks = 0;
	g->features = 0;
	if (g->version >= VMB_V6_0)
		g->features = g->cfg.features & vmbi_get32(msg + VMBI_AT(VERSION_RESPONSE, supported_features));
	vmbi_guest_become(g, VMB_BUS_CONNECTED);
	guest_connect_monitor(g, msg);
	VMBI_STORE32_RELAXED(&g->unloadable, g->connection | VMBI_GUEST_UNLOADABLE);
	VMBI_STORE32_RELAXED(&g->by_page, g->version < VMB_V2_4);
	VMBI_STORE32_RELEASE(&g->scan, 1); /* flag 0 is the interrupt page's */
	/* The contact has ended whatever was before. control-plane.md 7.2 step 7, gpadl.md 7.9 */
	if (!guest_connect_kept(g, 0) && g->owed == VMBI_OWED) {
		g->owed = 0;
		g->disconnect_status = 0;
		vmbi_guest_connection_mark(g, VMBI_GE_DISCONNECTED);
	}
	g->connect_status = 0;
	g->connect_said = 0;
	vmbi_guest_connection_mark(g, VMBI_GE_CONNECTED);
	vmbi_guest_connection_send(g, VMBI_MSG_REQUEST_OFFERS);
	return 1;
}

void vmbi_guest_on_all_offers(struct vmb_guest *g)
{
	vmbi_guest_become(g, VMB_BUS_RUNNING);
	if (g->send == VMBI_MSG_REQUEST_OFFERS) /* should it be waiting to be repeated */
		g->send = 0;
	vmbi_guest_lose(g);
	g->offers_status = 0;
	vmbi_guest_connection_mark(g, VMBI_GE_OFFERS_DONE);
}

static int guest_connect(struct vmb_guest *g)
{
	if (g->state != VMB_BUS_NONE)
		return VMB_ESTATE;
	if (g->cfg.interrupt_page)
		VMBI_CLEAR(g->cfg.interrupt_page, VMB_PAGE);
	for (uint32_t i = 0; i < 2; i++)
		if (g->cfg.monitor_page[i])
			VMBI_CLEAR(g->cfg.monitor_page[i], VMB_PAGE);
	vmbi_guest_unmark(g, VMBI_GUEST_NODE_CONNECTION(g), VMBI_GE_CONNECTED); /* of an attempt before */
	vmbi_guest_become(g, VMB_BUS_CONNECTING);
	g->connect_status = 0;
	g->version = g->only_version ? g->only_version : vmbi_guest_version_below(&g->cfg, UINT32_MAX);
	g->redirected = g->cfg.vtl == VMBI_REDIRECT_VTL;
	vmbi_guest_connection_send(g, VMBI_MSG_INITIATE_CONTACT);
	return 0;
}

int vmb_guest_connect(struct vmb_guest *g)
{
	int r = vmbi_guest_enter(g);

	return r < 0 ? r : vmbi_guest_leave(g, guest_connect(g));
}

/* ---- the end of a connection */

static void guest_connect_ended(struct vmb_guest *g, int32_t status)
{
	guest_connect_none(g);
	if ((guest_connect_kept(g, status != 0) || g->owed & VMBI_OWED_FOR_GOOD) && !status)
		status = VMB_ELEAK;
	g->owed = (g->owed & VMBI_OWED_FOR_GOOD) | (status ? VMBI_OWED : 0);
	g->disconnect_status = status;
	vmbi_guest_connection_mark(g, VMBI_GE_DISCONNECTED);
}

void vmbi_guest_connection_step(struct vmb_guest *g)
{
	if (g->state != VMB_BUS_LEAVING || g->live != g->kept)
		return;
	vmbi_guest_become(g, VMBI_GUEST_UNLOADING);
	g->paused = 0; /* UNLOAD ends that, too */
	VMBI_MEMSET(g->declined, 0, VMBI_FLAG_WORDS * 4); /* UNLOAD releases all */
	vmbi_guest_connection_send(g, VMBI_MSG_UNLOAD);
}

static void guest_connect_unload_posted(struct vmb_guest *g, int outcome)
{
	if (outcome == VMBI_GUEST_FAILED) {
		guest_connect_ended(g, VMB_EPLATFORM);
	} else if (g->version >= VMB_V1_1) {
		g->answer_due = 1;
		if (outcome == VMBI_GUEST_SENT)
			vmbi_guest_clock(g, g->cfg.unload_ms);
	} else if (outcome == VMBI_GUEST_SENT) {
		/* Such hosts do not tell when they are done: what was leaked stays so. */
		guest_connect_ended(g, g->leaks ? VMB_ELEAK : 0);
	}
}

int vmbi_guest_on_unloaded(struct vmb_guest *g)
{
	if (!g->answer_due)
		return 0;
	guest_connect_ended(g, 0);
	return 1;
}

void vmbi_guest_connection_timeout(struct vmb_guest *g)
{
	if (g->asking)
		vmbi_guest_request_timeout(g);
	else if (g->state == VMB_BUS_CONNECTING)
		guest_connect_failed(g, VMB_ETIMEDOUT, 0);
	else
		guest_connect_ended(g, VMB_ETIMEDOUT);
}

static int guest_connect_leave(struct vmb_guest *g)
{
	int pages = g->cfg.interrupt_page || g->cfg.monitor_page[0];

	if (g->state == VMB_BUS_CONNECTING) { /* the host may have the pages, or still what a connection before has left */
		guest_connect_ended(g, g->owed || (g->answer_due && pages) ? VMB_ELEAK : 0);
		return 0;
	}
	if (g->state != VMB_BUS_CONNECTED && g->state != VMB_BUS_RUNNING)
		return VMB_ESTATE;
	/* Nor that an earlier connection is over: of this one it would be untrue, and its own end says the same. */
	vmbi_guest_unmark(g, VMBI_GUEST_NODE_CONNECTION(g),
			  VMBI_GE_CONNECTED | VMBI_GE_OFFERS_DONE | VMBI_GE_MONITOR | VMBI_GE_PAUSED | VMBI_GE_DISCONNECTED);
	g->send = 0; /* what was to be asked has lost its sense */
	g->asking = 0;
	vmbi_guest_clock(g, 0);
	vmbi_guest_become(g, VMB_BUS_LEAVING);
	if (g->paused) /* there is a lot to say first */
		vmbi_guest_connection_send(g, VMBI_MSG_RESUME);
	vmbi_guest_abandon_all(g);
	vmbi_guest_connection_step(g);
	return 0;
}

int vmb_guest_disconnect(struct vmb_guest *g)
{
	int r = vmbi_guest_enter(g);

	return r < 0 ? r : vmbi_guest_leave(g, guest_connect_leave(g));
}

/* ---- messages out */

uint32_t vmbi_guest_connection_message(struct vmb_guest *g, uint8_t *out, uint32_t *connection)
{
	if (!g->send)
		return 0;
	if (g->send == VMBI_MSG_INITIATE_CONTACT)
		return guest_connect_contact(g, out, connection);
	if (g->send == VMBI_MSG_REQUEST_OFFERS || g->send == VMBI_MSG_UNLOAD)
		return (uint32_t)vmb_message_init(out, VMB_MESSAGE_MAX, g->send, g->version, 0);
	return vmbi_guest_request_message(g, out);
}

void vmbi_guest_connection_posted(struct vmb_guest *g, int outcome, uint32_t status)
{
	uint32_t type = g->send;

	if (outcome != VMBI_GUEST_MAYBE)
		g->send = 0;
	if (type == VMBI_MSG_INITIATE_CONTACT) {
		guest_connect_contact_posted(g, outcome, status);
	} else if (type == VMBI_MSG_UNLOAD) {
		guest_connect_unload_posted(g, outcome);
	} else if (type != VMBI_MSG_REQUEST_OFFERS) {
		vmbi_guest_request_posted(g, type, outcome, status);
	} else if (outcome == VMBI_GUEST_FAILED) { /* no offers will come */
		g->offers_status = VMB_EPLATFORM;
		vmbi_guest_connection_mark(g, VMBI_GE_OFFERS_DONE);
	}
}
