/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The end of an offer, from either side: the device goes (RESCIND), or the guest gives the id back or leaves. control-plane.md
 * 12, gpadl.md 5.5
 *
 * RESCIND is sent when the device is off all memory of the channel, and the subchannels have been rescinded: a guest may free
 * that memory the moment it reads it. From the call of vmb_host_remove on the guest's messages are treated as after the
 * RESCIND.
 */
#include "host.h"

int vmbi_host_is_drained(struct vmb_host *h, const struct vmbi_hc *c)
{
	/* what is served uses its ring */
	return c->state == VMBI_HC_UNOFFERED && !vmbi_gpadls_next(h->store, c->slot, 0);
}

/* A subchannel is no longer in its primary's way. */
static void remove_uncount(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->counted && c->primary)
		h->ch[c->primary].live_subs--;
	c->counted = 0;
}

void vmbi_host_count(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!c->primary || c->state == VMBI_HC_UNOFFERED || c->rescinded)
		return;
	h->ch[c->primary].live_subs++;
	c->counted = 1;
}

/* The guest has nothing of it any more. What was to begin anew is offered again, when its device has let go, too. */
static void remove_let_go(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t again = c->renewing;

	vmbi_host_forget(h, c);
	if (!again || c->removed || c->state != VMBI_HC_UNOFFERED) /* its primary is offered anew, and it with that */
		return;
	c->renewing = 1;
	vmbi_host_removed_step(h, c);
}

static void remove_rescind(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->rescinded || vmbi_hc_is_served(c) || c->holds || c->live_subs)
		return;
	if (!vmbi_hc_is_told(h, c)) { /* it was open for an owner of old, and nobody is told that it ends */
		remove_let_go(h, c);
		return;
	}
	c->rescinded = 1;
	vmbi_hc_changed(h, c);
	remove_uncount(h, c);
	vmbi_hq_channel(h, c, VMBI_MSG_RESCIND_CHANNEL_OFFER);
}

static void remove_finish(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmbi_hc *heir = c->heir ? &h->ch[c->heir] : NULL;

	if (!vmbi_host_is_drained(h, c))
		return;
	if (heir) {
		c->heir = heir->heir_of = 0;
		vmbi_host_offer_now(h, heir);
	}
	if (c->unclaimed) {
		vmbi_host_free(h, c);
	} else if (c->dev == VMBI_DEV_NONE) {
		c->gone = 1;
		vmbi_he_channel(h, c, VMBI_HE_GONE);
	}
}

static void remove_renewed(struct vmb_host *h, struct vmbi_hc *c)
{
	c->renewing = 0;
	vmbi_host_offer_now(h, c);
}

static void remove_step(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->state == VMBI_HC_REVOKED)
		remove_rescind(h, c);
	else if (c->state == VMBI_HC_CLOSING && !vmbi_hc_is_served(c) && !c->holds)
		vmbi_reserved_lingered(h, c);
	else if (c->removed)
		remove_finish(h, c);
	else if (c->renewing && vmbi_host_is_drained(h, c)) /* the guest has let go before the device */
		remove_renewed(h, c);
}

void vmbi_host_removed_step(struct vmb_host *h, struct vmbi_hc *c)
{
	remove_step(h, c);
	if (c->primary)
		remove_step(h, &h->ch[c->primary]);
}

void vmbi_host_forget(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t was = c->state;

	c->lost += was == VMBI_HC_OPEN;
	c->modifying = 0;
	c->renewing = c->rescinded = 0;
	vmbi_hc_become(h, c, VMBI_HC_UNOFFERED);
	vmbi_hvsock_unwatch(h, c);
	vmbi_reserved_drop(h, c);
	(void)vmbi_hq_forget(h, c);
	vmbi_host_gpadl_drop(h, c);
	vmbi_host_end_open(h, c, was);
	remove_uncount(h, c);
	vmbi_host_drop_id(h, c);
	vmbi_host_removed_step(h, c);
}

/* Where the guest gives up a device that is there, nothing offers it again on this connection. control-plane.md 12.4 */
void vmbi_host_released(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->kept || (c->state != VMBI_HC_CLOSED && c->state != VMBI_HC_CLOSING && c->state != VMBI_HC_REVOKED)) {
		vmbi_host_drop(h, VMB_FATE_STATE);
		return;
	}
	remove_let_go(h, c);
}

/* Its subchannels go first, as ever; the device offers them again if it wants them. */
void vmbi_host_renew(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->removed || c->live_subs || h->out_links[c->slot].in) /* its offer is still to come */
		return;
	vmbi_hc_become(h, c, VMBI_HC_REVOKED);
	c->renewing = 1;
	vmbi_host_gpadl_ask(h, c);
	remove_rescind(h, c);
}

/* What the guest has of it ends, whatever that is. */
static void remove_revoke(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t was = c->state;

	vmbi_host_modified(h, c, VMBI_FAILED);
	vmbi_reserved_drop(h, c);
	c->lost += was == VMBI_HC_OPEN;
	vmbi_hc_become(h, c, VMBI_HC_REVOKED);
	vmbi_host_end_open(h, c, was);
	vmbi_host_gpadl_ask(h, c);
	vmbi_host_removed_step(h, c);
}

/* The device is there, and the guest has to begin anew with it. */
static void remove_again(struct vmb_host *h, struct vmbi_hc *c)
{
	c->renewing = 1;
	remove_revoke(h, c);
}

static void remove_one(struct vmb_host *h, struct vmbi_hc *c)
{
	if (c->removed)
		return;
	c->removed = 1;
	vmbi_hc_changed(h, c);
	vmbi_hvsock_unwatch(h, c);
	h->offers--;
	vmbi_host_unsort(h, c);
	h->ch[c->heir_of].heir = 0; /* [0] is nobody's */
	c->heir_of = 0;
	vmbi_host_unclaim(h, c);
	if (c->state == VMBI_HC_UNOFFERED || (h->out_links[c->slot].in && c->wire == VMBI_MSG_OFFER_CHANNEL)) {
		vmbi_host_forget(h, c); /* the guest has not heard of it */
		return;
	}
	remove_revoke(h, c);
}

void vmbi_host_revoke(struct vmb_host *h, struct vmbi_hc *c)
{
	for (uint32_t sub = c->first_sub; sub; sub = h->ch[sub].next_sub)
		if (h->ch[sub].state != VMBI_HC_UNOFFERED && h->ch[sub].state != VMBI_HC_REVOKED)
			remove_again(h, &h->ch[sub]);
	remove_again(h, c);
}

void vmbi_host_remove(struct vmb_host *h, struct vmbi_hc *c)
{
	for (uint32_t sub = c->first_sub; sub; sub = h->ch[sub].next_sub)
		remove_one(h, &h->ch[sub]);
	remove_one(h, c);
}

int vmb_host_remove(struct vmb_host *h, vmb_handle ch)
{
	struct vmbi_hc *c;
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	c = vmbi_host_find(h, ch);
	if (c)
		vmbi_host_remove(h, c);
	vmbi_host_leave(h);
	return c ? 0 : VMB_EHANDLE;
}
