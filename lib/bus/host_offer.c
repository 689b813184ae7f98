/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Offers: their slots, their order, their ids, and when the guest hears of them. control-plane.md 8
 *
 * Ids are given in the order of the offers (class, rank, instance, subchannel), lowest free one first, so that the same devices
 * get the same ids at each boot. An id that a device asked for stays claimed for it as long as it is offered.
 */
#include "host.h"

/* ---- ids */

static void offer_set_route(struct vmb_host *h, uint32_t id, uint32_t route)
{
	VMBI_STORE32_RELEASE(&h->route[id], route); /* vmb_host_signal reads it, from any thread */
	if (!route && id < h->lowest_id && id >= h->cfg.first_channel_id)
		h->lowest_id = id;
}

/* There are at least as many ids from the first one up as slots, and no slot has two: there is a free one. */
static uint32_t offer_free_id(struct vmb_host *h)
{
	while (h->lowest_id < VMBI_MAX_CHANNEL_ID && h->route[h->lowest_id])
		h->lowest_id++;
	return h->lowest_id;
}

void vmbi_host_drop_id(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmbi_hc *heir = c->heir ? &h->ch[c->heir] : NULL;
	uint32_t id = c->id, route = 0;

	vmbi_monitor_take(h, c);
	c->id = 0;
	if (!id)
		return;
	if (heir && (heir->wanted ? heir->wanted == id : h->state == VMB_BUS_RUNNING)) {
		heir->id = id;
		route = heir->slot;
	} else if (id == c->wanted && !c->removed) {
		route = c->slot;
	}
	offer_set_route(h, id, route);
}

void vmbi_host_unclaim(struct vmb_host *h, const struct vmbi_hc *c)
{
	if (h->route[c->wanted] == c->slot)
		offer_set_route(h, c->wanted, 0);
}

/* ---- when the guest hears of it */

static struct vmbi_hc *offer_primary(struct vmb_host *h, const struct vmbi_hc *c)
{
	return c->primary ? &h->ch[c->primary] : NULL;
}

/* Subchannels come after their primary, and exist since 2.4. control-plane.md 3, 8.6 */
int vmbi_host_may_offer(struct vmb_host *h, const struct vmbi_hc *c)
{
	const struct vmbi_hc *primary = offer_primary(h, c);

	if (h->state != VMB_BUS_RUNNING || c->removed || c->heir_of || c->state != VMBI_HC_UNOFFERED || vmbi_hc_is_served(c))
		return 0;
	if (!c->subchannel)
		return 1;
	return primary && primary->state != VMBI_HC_UNOFFERED && primary->state != VMBI_HC_REVOKED && vmbi_hc_is_told(h, primary) &&
	       h->version >= VMB_V2_4;
}

static void offer_one(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmbi_hc *primary = offer_primary(h, c);

	if (c->wanted)
		c->id = c->wanted;
	else if (!c->id) /* else inherited */
		c->id = offer_free_id(h);
	vmbi_hc_become(h, c, VMBI_HC_CLOSED);
	c->offered_in = h->connection;
	vmbi_hvsock_watch(h, c);
	vmbi_monitor_give(h, c);
	offer_set_route(h, c->id, c->slot | VMBI_HOST_KNOWN);
	if (primary) {
		primary->live_subs++;
		c->counted = 1;
	}
	vmbi_hq_channel(h, c, VMBI_MSG_OFFER_CHANNEL);
}

void vmbi_host_offer_now(struct vmb_host *h, struct vmbi_hc *c)
{
	if (!vmbi_host_may_offer(h, c))
		return;
	offer_one(h, c);
	for (uint32_t sub = c->first_sub; sub; sub = h->ch[sub].next_sub)
		if (vmbi_host_may_offer(h, &h->ch[sub]))
			offer_one(h, &h->ch[sub]);
}

void vmbi_host_request_offers(struct vmb_host *h)
{
	vmbi_host_become(h, VMB_BUS_RUNNING);
	for (uint32_t i = 0; i < h->sorted_used; i++)
		if (vmbi_host_may_offer(h, &h->ch[h->sorted[i]]))
			offer_one(h, &h->ch[h->sorted[i]]);
	vmbi_hq_reply(h, VMBI_MSG_ALL_OFFERS_DELIVERED, 0, 0, 0);
}

/* ---- order */

static int offer_compare(const struct vmbi_hc *a, const struct vmbi_hc *b)
{
	int r = VMBI_MEMCMP(&a->class_id, &b->class_id, sizeof a->class_id);

	if (!r)
		r = a->order < b->order ? -1 : a->order > b->order;
	if (!r)
		r = VMBI_MEMCMP(&a->instance, &b->instance, sizeof a->instance);
	return r ? r : a->subchannel < b->subchannel ? -1 : 1;
}

/* Where it stands in the order, or would stand. */
static uint32_t offer_place(const struct vmb_host *h, const struct vmbi_hc *c)
{
	uint32_t low = 0, high = h->sorted_used;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (offer_compare(&h->ch[h->sorted[middle]], c) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void offer_sort_in(struct vmb_host *h, const struct vmbi_hc *c)
{
	uint32_t *at = h->sorted + offer_place(h, c);

	VMBI_MEMMOVE(at + 1, at, (size_t)(h->sorted + h->sorted_used++ - at) * sizeof *at);
	*at = c->slot;
}

void vmbi_host_unsort(struct vmb_host *h, const struct vmbi_hc *c)
{
	uint32_t *at = h->sorted + offer_place(h, c);

	VMBI_MEMMOVE(at, at + 1, (size_t)(h->sorted + --h->sorted_used - at) * sizeof *at);
}

/* ---- devices: class and instance */

static uint32_t *offer_device(struct vmb_host *h, const struct vmb_guid *class_id, const struct vmb_guid *instance)
{
	uint32_t hash = 0;

	for (uint32_t i = 0; i < 16; i += 4)
		hash = (hash ^ vmbi_get32(class_id->byte + i)) * 0x9e3779b1u + vmbi_get32(instance->byte + i);
	hash ^= hash >> 16;
	return &h->devices[(hash ^ hash >> 8) & h->device_mask];
}

static void offer_device_add(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t *first = offer_device(h, &c->class_id, &c->instance);

	c->next_device = *first;
	*first = c->slot;
}

static void offer_device_drop(struct vmb_host *h, const struct vmbi_hc *c)
{
	uint32_t *link = offer_device(h, &c->class_id, &c->instance);

	while (*link != c->slot)
		link = &h->ch[*link].next_device;
	*link = c->next_device;
}

/* ---- a new offer */

static void offer_link_sub(struct vmb_host *h, struct vmbi_hc *primary, struct vmbi_hc *c)
{
	c->primary = primary->slot;
	c->order = primary->order; /* so that it sorts behind it */
	c->next_sub = primary->first_sub;
	if (c->next_sub)
		h->ch[c->next_sub].prev_sub = c->slot;
	primary->first_sub = c->slot;
}

/* Does the slot hold this device, or another channel of it? */
static int offer_same_device(const struct vmbi_hc *c, const struct vmb_guid *class_id, const struct vmb_guid *instance)
{
	return !VMBI_MEMCMP(&c->class_id, class_id, sizeof *class_id) && !VMBI_MEMCMP(&c->instance, instance, sizeof *instance);
}

struct offer_relations {
	struct vmbi_hc *old;     /* the same channel, removed, that the guest still knows */
	struct vmbi_hc *primary;
};

/* Twins are refused, the primary must be there. control-plane.md 8.4, 8.6 */
static int offer_relate(struct vmb_host *h, const struct vmb_offer *o, struct offer_relations *rel)
{
	uint32_t route;

	*rel = (struct offer_relations){ NULL, NULL };
	for (uint32_t i = *offer_device(h, &o->class_id, &o->instance); i; i = h->ch[i].next_device) {
		struct vmbi_hc *c = &h->ch[i];

		if (!offer_same_device(c, &o->class_id, &o->instance))
			continue;
		if (c->subchannel == o->subchannel) {
			if (!c->removed)
				return VMB_EINVAL;
			if (!c->gone)
				rel->old = c;
		} else if (!c->subchannel && !c->removed) {
			rel->primary = c;
		}
	}
	if (o->subchannel && !rel->primary)
		return VMB_EINVAL;
	/* The old one's id may be asked for again, any other that is taken may not. */
	route = h->route[o->channel_id];
	return route && rel->old != &h->ch[route & ~VMBI_HOST_KNOWN] ? VMB_EINVAL : 0;
}

static int offer_take(struct vmb_offer *o, const struct vmb_offer *from)
{
	int r = from ? vmbi_struct_in(o, sizeof *o, from, sizeof *o) : VMB_EINVAL;

	if (r)
		return r;
	if (o->flags >= VMB_OFFER_RENEW << 1 || o->subchannel > 0xffff || o->mmio_mb > 0xffff || o->mmio_optional_mb > 0xffff)
		return VMB_EINVAL;
	if (o->channel_id > VMBI_MAX_CHANNEL_ID || o->connection_id || o->monitor_id || o->reserved)
		return VMB_EINVAL;
	return 0;
}

static struct vmbi_hc *offer_slot(struct vmb_host *h, const struct vmb_offer *o)
{
	struct vmbi_hc *c = &h->ch[h->free_slot];

	h->free_slot = c->next_free;
	vmbi_hc_become(h, c, VMBI_HC_UNOFFERED);
	c->user = o->user;
	c->class_id = o->class_id;
	c->instance = o->instance;
	c->offer_flags = o->flags;
	c->subchannel = o->subchannel;
	c->mmio_mb = o->mmio_mb;
	c->mmio_optional_mb = o->mmio_optional_mb;
	c->order = o->order;
	c->wanted = o->channel_id;
	c->max_gpadls = o->max_gpadls;
	c->max_gpadl_pages = o->max_gpadl_pages;
	VMBI_MEMCPY(c->user_defined, o->user_defined, sizeof c->user_defined);
	offer_device_add(h, c);
	return c;
}

static int offer_new(struct vmb_host *h, const struct vmb_offer *o, vmb_handle *ch)
{
	struct offer_relations rel;
	struct vmbi_hc *c;
	int r = offer_relate(h, o, &rel);

	if (r)
		return r;
	if (!h->free_slot) {
		h->refused_quota++;
		return VMB_ENOSPACE;
	}
	c = offer_slot(h, o);
	if (c->wanted && !h->route[c->wanted])
		offer_set_route(h, c->wanted, c->slot);
	if (rel.old && !vmbi_host_is_drained(h, rel.old)) {
		rel.old->heir = c->slot;
		c->heir_of = rel.old->slot;
	}
	if (rel.primary)
		offer_link_sub(h, rel.primary, c);
	offer_sort_in(h, c);
	h->offers++;
	*ch = vmbi_handle(c->slot, c->generation);
	vmbi_host_offer_now(h, c);
	return 0;
}

int vmb_host_offer(struct vmb_host *h, const struct vmb_offer *offer, vmb_handle *ch)
{
	struct vmb_offer o;
	int r = ch ? offer_take(&o, offer) : VMB_EINVAL;

	if (!r)
		r = vmbi_host_enter(h);
	if (r)
		return r;
	r = offer_new(h, &o, ch);
	vmbi_host_leave(h);
	return r;
}

/* ---- what was saved */

struct vmbi_hc *vmbi_host_claim(struct vmb_host *h, const struct vmb_guid *class_id, const struct vmb_guid *instance, uint32_t subchannel,
				int spare, int *error)
{
	struct vmbi_hc *found = NULL;

	*error = 0;
	for (uint32_t i = *offer_device(h, class_id, instance); i; i = h->ch[i].next_device) {
		struct vmbi_hc *c = &h->ch[i];

		if (c->subchannel != subchannel || !offer_same_device(c, class_id, instance))
			continue;
		if (c->saved)
			*error = VMB_EINVAL; /* twice the same */
		else if (!c->removed)
			found = c;
	}
	if (*error)
		return NULL;
	if (found || !spare)
		return found;
	if (!h->free_slot) {
		*error = VMB_ENOSPACE;
		return NULL;
	}
	found = &h->ch[h->free_slot];
	h->free_slot = found->next_free;
	found->next_free = 0;
	found->class_id = *class_id;
	found->instance = *instance;
	found->subchannel = subchannel;
	found->removed = found->unclaimed = 1;
	offer_device_add(h, found);
	return found;
}

int vmbi_host_claim_id(struct vmb_host *h, struct vmbi_hc *c, uint32_t id)
{
	if (h->route[id] && h->route[id] != c->slot)
		return VMB_EINVAL;
	c->id = id;
	offer_set_route(h, id, c->slot | VMBI_HOST_KNOWN);
	return 0;
}

/* ---- the end of a slot */

static void offer_unlink_sub(struct vmb_host *h, struct vmbi_hc *c)
{
	struct vmbi_hc *primary = offer_primary(h, c);

	if (!primary)
		return;
	if (c->prev_sub)
		h->ch[c->prev_sub].next_sub = c->next_sub;
	else
		primary->first_sub = c->next_sub;
	if (c->next_sub)
		h->ch[c->next_sub].prev_sub = c->prev_sub;
}

/* Late signallers may still count in and out of the gate: its line stays. A slot that has used up its generations is not used
 * again. */
void vmbi_host_free(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t slot = c->slot, generation = c->generation;

	for (uint32_t sub = c->first_sub; sub; sub = h->ch[sub].next_sub)
		h->ch[sub].primary = 0;
	offer_unlink_sub(h, c);
	offer_device_drop(h, c);
	vmbi_hc_become(h, c, VMBI_HC_FREE);
	VMBI_MEMSET(&c->state, 0, sizeof *c - offsetof(struct vmbi_hc, state));
	c->slot = slot;
	c->generation = generation + 1;
	if (generation == VMBI_GENERATION_MAX)
		return;
	c->next_free = h->free_slot;
	h->free_slot = slot;
}
