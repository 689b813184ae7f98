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
	c->dev = VMBI_DEV_ASKING;
	vmbi_he_channel(h, c, VMBI_HE_OPEN);
}

static void open_withdraw(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->dev == VMBI_DEV_ASKING) {
		vmbi_he_cancel(h, c, VMBI_HE_OPEN);
		c->dev = VMBI_DEV_NONE;
	} else {
		c->dev = VMBI_DEV_STALE;
	}
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
	if (state == VMBI_HC_REOPEN) {
		vmbi_host_gpadl_unuse(h, c->reopen.ring_ref); /* that of the first open goes when the device lets go */
	} else if (state == VMBI_HC_OPENING) {
		open_withdraw(h, c);
		vmbi_host_gpadl_unuse(h, c->open.ring_ref);
	} else if (state == VMBI_HC_OPEN) {
		if (vmbi_hc_is_served(c))
			open_stop(h, c);
		else
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

/* control-plane.md 10.2 */
static int open_parse(struct vmb_host *h, const struct vmbi_hc *c, const uint8_t *msg, struct vmbi_host_open *o)
{
	o->open_id = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, open_id));
	o->ring_id = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, ring_gpadl));
	o->rx_pages = vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, downstream_page_offset));
	o->target_vp = h->version >= VMB_V2_4 ? vmbi_get32(msg + VMBI_AT(OPEN_CHANNEL, target_vp)) : 0;
	VMBI_MEMCPY(o->user_data, msg + VMBI_AT(OPEN_CHANNEL, user_data), sizeof o->user_data);
	if (o->target_vp != VMB_VP_NONE && !vmbi_host_vp_ok(h, o->target_vp))
		return 0;
	o->ring_ref = vmbi_gpadls_find(h->store, c->slot, o->ring_id);
	if (!o->ring_ref || vmbi_gpadls_is_leaving(h->store, o->ring_ref))
		return 0;
	return open_ring_ok(h, o->ring_ref, o->rx_pages, &o->ring_pages);
}

void vmbi_host_open_result(struct vmb_host *h, const struct vmbi_hc *c, uint32_t open_id, uint32_t status)
{
	vmbi_hq_reply(h, VMBI_MSG_OPEN_CHANNEL_RESULT, c->id, open_id, status);
}

void vmbi_host_open_message(struct vmb_host *h, struct vmbi_hc *c, const uint8_t *msg)
{
	struct vmbi_host_open o;

	if (c->state == VMBI_HC_REVOKED)
		return; /* in silence */
	if (c->state != VMBI_HC_CLOSED && c->state != VMBI_HC_CLOSING) {
		h->dropped++;
		return;
	}
	if (!open_parse(h, c, msg, &o)) {
		vmbi_host_open_result(h, c, o.open_id, VMBI_FAILED);
		return;
	}
	vmbi_gpadls_use(h->store, o.ring_ref);
	if (c->state == VMBI_HC_CLOSING) {
		c->reopen = o;
		c->state = VMBI_HC_REOPEN;
		return;
	}
	vmbi_host_begin_open(h, c, &o);
}

void vmbi_host_begin_open(struct vmb_host *h, struct vmbi_hc *c, const struct vmbi_host_open *o)
{
	c->open = *o;
	c->tx_at.valid = c->rx_at.valid = 0;
	c->poisoned = 0;
	c->state = VMBI_HC_OPENING;
	vmbi_host_ask_open(h, c);
}

/* ---- CLOSE_CHANNEL: has no answer */

void vmbi_host_close_message(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->state == VMBI_HC_REVOKED)
		return; /* in silence */
	if (c->state != VMBI_HC_OPEN) {
		h->dropped++;
		return;
	}
	vmbi_host_modified(h, c, VMBI_FAILED);
	c->state = vmbi_hc_is_served(c) ? VMBI_HC_CLOSING : VMBI_HC_CLOSED;
	vmbi_host_end_open(h, c, VMBI_HC_OPEN);
}

/* ---- MODIFY_CHANNEL. control-plane.md 10.3 */

void vmbi_host_modified(struct vmb_host *h, struct vmbi_hc *c, uint32_t status)
{
	if (c->modifying)
		vmbi_hq_reply(h, VMBI_MSG_MODIFY_CHANNEL_RESPONSE, c->id, status, 0);
	c->modifying = 0;
}

static void open_modify_error(struct vmb_host *h, uint32_t id)
{
	if (h->version >= VMB_V5_3)
		vmbi_hq_reply(h, VMBI_MSG_MODIFY_CHANNEL_RESPONSE, id, VMBI_FAILED, 0);
	else
		h->dropped++;
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
		h->dropped++; /* the guest's bug: one answer is due, not two */
		return;
	}
	if (!c || c->state != VMBI_HC_OPEN || c->open.target_vp == VMB_VP_NONE || !vmbi_host_vp_ok(h, vp)) {
		open_modify_error(h, id);
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
		i.version = h->version;
		i.ring_gpadl = c->open.ring_id;
		i.ring_pages = c->open.ring_pages;
		i.rx_pages = c->open.rx_pages;
		i.target_vp = c->open.target_vp;
		i.target_sint = VMBI_SINT;
		i.event_flag = h->version >= VMB_V2_4 ? c->id : 0;
		i.connection_id = VMBI_HOST_EVENT_BASE | c->id;
		VMBI_MEMCPY(i.user_data, c->open.user_data, sizeof i.user_data);
		r = vmbi_struct_out(out, &i, sizeof i, sizeof i);
	}
	vmbi_guard_leave(&h->guard);
	return r;
}
