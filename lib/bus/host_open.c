/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Open, close, retarget: what the guest asks of a channel, and the questions to its device that come of it. control-plane.md
 * 10, 17.2
 *
 * The guest's side goes on without the device: an OPEN that it takes back by leaving, or that a rescind overtakes, leaves
 * behind a question that has lost its sense. The device still answers it, and only then gets the next one.
 */
#include "host.h"

/* ---- questions */

void vmbi_host_ask_open(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->state != VMBI_HC_OPENING || c->dev != VMBI_DEV_NONE)
		return;
	vmbi_hc_device(h, c, VMBI_DEV_ASKING);
	vmbi_he_channel(h, c, VMBI_HE_OPEN);
}

static void open_withdraw(struct vmb_host *h, struct vmbi_hc *c)
{
	c->restored = 0;
	if (c->dev == VMBI_DEV_ASKING) {
		vmbi_he_cancel(h, c, VMBI_HE_OPEN);
		vmbi_hc_device(h, c, VMBI_DEV_NONE);
	} else {
		vmbi_hc_device(h, c, VMBI_DEV_STALE);
	}
}

int vmbi_host_may(struct vmb_host *h, const struct vmbi_hc *c, int in_place)
{
	if (!in_place && c->state == VMBI_HC_REVOKED)
		h->fate = VMB_FATE_LATE;
	else if (!in_place)
		vmbi_host_drop(h, VMB_FATE_STATE);
	return in_place;
}

/* Ask for the channel back. Only the flag and the owner's wake: the rings are the owner's. */
static void open_stop(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->dev == VMBI_DEV_DRAINING)
		return;
	vmbi_he_channel(h, c, VMBI_HE_CLOSE);
	if (c->channel)
		vmbi_channel_stop(c->channel);
	h->cfg.wake(h->cfg.ctx, c->user);
}

void vmbi_host_end_open(struct vmb_host *h, struct vmbi_hc *c, uint32_t state)
{
	if (state != VMBI_HC_REOPEN)
		vmbi_ports_remove(h, c);
	if (state == VMBI_HC_REOPEN) {
		vmbi_host_gpadl_unuse(h, c->reopen.ring_ref); /* that of the first open goes when the device lets go */
	} else if (state == VMBI_HC_OPENING) {
		open_withdraw(h, c);
		vmbi_host_gpadl_unuse(h, c->open.ring_ref);
	} else if (state == VMBI_HC_OPEN) {
		if (vmbi_hc_is_served(c)) {
			open_stop(h, c);
			return;
		}
		if (c->dev != VMBI_DEV_NONE) /* asked whether it can go on after a restore */
			open_withdraw(h, c);
		if (c->state != VMBI_HC_CLOSING)
			vmbi_host_gpadl_unuse(h, c->open.ring_ref);
	} else if (state == VMBI_HC_CLOSING && !vmbi_hc_is_served(c)) {
		vmbi_host_gpadl_unuse(h, c->open.ring_ref);
	}
}

/* ---- OPEN_CHANNEL */

/* One range of whole pages, split in two rings of a control page and at least one data page. gpadl.md 6 */
static int open_ring_ok(struct vmb_host *h, uint32_t ref, uint32_t rx_pages, uint32_t *pages)
{
	struct vmb_gpadl_info info;
	uint64_t range;

	vmbi_gpadls_info(h->store, ref, &info);
	if (info.ranges != 1)
		return 0;
	vmbi_gpadls_words(h->store, ref, 0, &range, 1);
	if (range >> 32 || range % VMB_PAGE)
		return 0;
	*pages = info.pages;
	return rx_pages >= 2 && rx_pages < info.pages && info.pages - rx_pages >= 2;
}

int vmbi_host_find_ring(struct vmb_host *h, const struct vmbi_hc *c, struct vmbi_host_open *o)
{
	o->ring_ref = vmbi_gpadls_find(h->store, c->slot, o->ring_id);
	return o->ring_ref && open_ring_ok(h, o->ring_ref, o->rx_pages, &o->ring_pages);
}

int vmbi_host_open_ring(struct vmb_host *h, const struct vmbi_hc *c, struct vmbi_host_open *o)
{
	return vmbi_host_find_ring(h, c, o) && !vmbi_gpadls_is_leaving(h->store, o->ring_ref);
}

/* With feature 0x01 the guest's choice counts, whatever it is; else the offer's. control-plane.md 6.4, 20.1 */
static int open_parameters(struct vmb_host *h, const struct vmbi_hc *c, const uint8_t *msg, struct vmbi_host_open *o)
{
	o->connection = vmbi_host_connection(h, c);
	o->flag = c->id;
	if (h->features & VMB_FEATURE_REDIRECT && vmbi_get16(msg + VMBI_AT(OPEN_CHANNEL, open_flags)) & 1)
		o->flags = VMB_OPEN_REDIRECT;
	if (!(h->features & VMB_FEATURE_SIGNAL_PARAMETERS))
		return 1;
	o->connection = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, connection_id));
	o->flag = vmbi_get16(msg + VMBI_AT(OPEN_CHANNEL, event_flag));
	return o->flag && o->flag < VMBI_HOST_IDS && vmbi_ports_may(h, c, o->connection);
}

/* control-plane.md 10.2 */
static int open_parse(struct vmb_host *h, const struct vmbi_hc *c, const uint8_t *msg, struct vmbi_host_open *o)
{
	VMBI_MEMSET(o, 0, sizeof *o);
	o->open_id = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, open_id));
	o->ring_id = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, ring_gpadl));
	o->rx_pages = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, downstream_page_offset));
	o->target_vp = h->version >= VMB_V2_4 ? vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, target_vp)) : 0;
	o->version = h->version;
	o->offer_flags = vmbi_host_offer_flags(h, c->offer_flags);
	VMBI_MEMCPY(o->user_data, msg + VMBI_AT(OPEN_CHANNEL, user_data), sizeof o->user_data);
	if (o->target_vp != VMB_VP_NONE && !vmbi_host_vp_ok(h, o->target_vp))
		return 0;
	return open_parameters(h, c, msg, o) && vmbi_host_open_ring(h, c, o);
}

void vmbi_host_open_result(struct vmb_host *h, const struct vmbi_hc *c, const struct vmbi_host_open *o, uint32_t status)
{
	uint8_t msg[20] = { VMBI_MSG_OPEN_CHANNEL_RESULT };

	if (!(o->flags & VMB_OPEN_RESERVED)) {
		vmbi_hq_reply(h, VMBI_MSG_OPEN_CHANNEL_RESULT, c->id, o->open_id, status);
		return;
	}
	vmbi_put32(msg + VMBI_AT(OPEN_CHANNEL_RESULT, channel_id), c->id);
	vmbi_put32(msg + VMBI_AT(OPEN_CHANNEL_RESULT, status), status);
	vmbi_hq_direct(h, o->result_vp, o->result_sint, msg, sizeof msg);
}

void vmbi_host_open_message(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg)
{
	struct vmbi_host_open o;

	if (!vmbi_host_may(h, c, c->state == VMBI_HC_CLOSED || c->state == VMBI_HC_CLOSING))
		return;
	if (!open_parse(h, c, msg, &o)) {
		c->refused++;
		h->fate = VMB_FATE_REFUSED;
		vmbi_host_open_result(h, c, &o, VMBI_FAILED);
		return;
	}
	vmbi_gpadls_use(h->store, o.ring_ref);
	if (c->state == VMBI_HC_CLOSING) {
		c->reopen = o;
		vmbi_hc_become(h, c, VMBI_HC_REOPEN);
		return;
	}
	vmbi_host_begin_open(h, c, &o);
}

void vmbi_host_begin_open(struct vmb_host *h, struct vmbi_hc *c, const struct vmbi_host_open *o)
{
	c->open = *o;
	vmbi_ports_add(h, c, o->connection);
	vmbi_hvsock_unwatch(h, c);
	c->tx_at.valid = c->rx_at.valid = 0;
	c->poisoned = 0;
	vmbi_hc_become(h, c, VMBI_HC_OPENING);
	vmbi_host_ask_open(h, c);
}

/* ---- CLOSE_CHANNEL: has no answer */

void vmbi_host_close_message(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!vmbi_host_may(h, c, c->state == VMBI_HC_OPEN && !c->kept))
		return;
	vmbi_host_modified(h, c, VMBI_FAILED);
	vmbi_host_begin_close(h, c);
}

void vmbi_host_begin_close(struct vmb_host *h, struct vmbi_hc *c)
{
	int lingers = vmbi_reserved_lingers(h, c);

	c->closes++;
	vmbi_hc_become(h, c, vmbi_hc_is_served(c) || lingers ? VMBI_HC_CLOSING : VMBI_HC_CLOSED);
	vmbi_host_end_open(h, c, VMBI_HC_OPEN);
	if (lingers)
		vmbi_host_gpadl_ask(h, c);
	if (c->state == VMBI_HC_CLOSED)
		vmbi_host_closed(h, c);
}

void vmbi_host_closed(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->kept)
		vmbi_reserved_closed(h, c);
	else if (c->offer_flags & VMB_OFFER_RENEW)
		vmbi_host_renew(h, c);
}

/* ---- MODIFY_CHANNEL. control-plane.md 10.3 */

void vmbi_host_modified(struct vmb_host *h, struct vmbi_hc *c, uint32_t status)
{
	if (c->modifying)
		vmbi_hq_reply(h, VMBI_MSG_MODIFY_CHANNEL_RESPONSE, c->id, status, 0);
	c->modifying = 0;
}

static void open_modify_error(struct vmb_host *h, uint32_t id, uint32_t why)
{
	if (h->version < VMB_V5_3) {
		vmbi_host_drop(h, why);
		return;
	}
	h->fate = VMB_FATE_REFUSED;
	vmbi_hq_reply(h, VMBI_MSG_MODIFY_CHANNEL_RESPONSE, id, VMBI_FAILED, 0);
}

/* The response promises that no interrupt comes to the old VP any more: it waits for those who may have seen the old one, which
 * are the device's own threads; the guest's signals do not hold it up. Without responses there is no such promise, and the
 * newest target counts. */
void vmbi_host_modify_message(struct vmb_host *h, const uint8_t *msg)
{
	uint32_t id = vmbi_get32(msg + VMBI_AT(MODIFY_CHANNEL, channel_id));
	uint32_t vp = vmbi_get32(msg + VMBI_AT(MODIFY_CHANNEL, target_vp));
	struct vmbi_hc *c = vmbi_host_known(h, id);

	if (c && c->modifying) {
		vmbi_host_drop(h, VMB_FATE_STATE); /* the guest's bug: one answer is due, not two */
		return;
	}
	if (!c || c->state != VMBI_HC_OPEN || c->open.target_vp == VMB_VP_NONE || !vmbi_host_vp_ok(h, vp)) {
		open_modify_error(h, id, !c ? VMB_FATE_UNKNOWN : c->state != VMBI_HC_OPEN ? VMB_FATE_STATE : VMB_FATE_VALUE);
		return;
	}
	c->open.target_vp = vp;
	VMBI_STORE32_RELEASE(&c->target, vp);
	if (h->version < VMB_V5_3)
		return;
	c->modifying = 1;
	(void)vmbi_gate_watch(&c->out);
	vmbi_host_gate_step(h, c);
}

/* ---- looking at it */

static int open_is_redirected(const struct vmb_host *h, const struct vmbi_host_open *o)
{
	return o->flags & VMB_OPEN_REDIRECT && h->cfg.flags & VMB_HOST_REDIRECT;
}

int vmb_host_open_info(struct vmb_host *h, vmb_handle ch, struct vmb_open_info *out)
{
	struct vmb_open_info i;
	struct vmbi_hc *c;
	int r = out ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	c = vmbi_host_find(h, ch);
	if (!c) {
		r = VMB_EHANDLE;
	} else if (c->dev == VMBI_DEV_NONE && c->state != VMBI_HC_OPENING && c->state != VMBI_HC_OPEN) {
		r = VMB_ESTATE; /* but for a question that has lost its sense: it is still to be answered */
	} else {
		VMBI_MEMSET(&i, 0, sizeof i);
		i.flags = c->open.offer_flags & (VMB_OFFER_PRIVATE_RING | VMB_OFFER_PRIVATE_MEMORY | VMB_OFFER_PINNED);
		i.open_flags = c->open.flags;
		i.version = c->open.version;
		i.ring_gpadl = c->open.ring_id;
		i.ring_pages = c->open.ring_pages;
		i.rx_pages = c->open.rx_pages;
		i.target_vp = c->open.target_vp;
		i.target_vtl = open_is_redirected(h, &c->open) ? VMBI_REDIRECT_VTL : h->cfg.vtl;
		i.target_sint = open_is_redirected(h, &c->open) ? VMBI_REDIRECT_SINT : VMBI_SINT;
		i.event_flag = c->open.version >= VMB_V2_4 ? c->open.flag : 0;
		i.connection_id = c->open.connection;
		VMBI_MEMCPY(i.user_data, c->open.user_data, sizeof i.user_data);
		r = vmbi_struct_out(out, &i, sizeof i, sizeof i);
	}
	vmbi_guard_leave(&h->guard);
	return r;
}
