/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Offers on the guest: slots and handles, channel ids, rescind, release. control-plane.md 8, 12.5, 20.2
 *
 * A slot is free again as soon as the host has been told, for the same device may be offered at once; that its handle is gone
 * is told from a record. There are enough of those: all handles that are gone and not told were in slots at the time when the
 * last of them was offered.
 */
#include "guest.h"

/* ---- names */

struct vmbi_gc *vmbi_guest_find(struct vmb_guest *g, vmb_handle ch)
{
	uint32_t slot = vmbi_handle_slot(ch);

	if (!slot || slot > g->cfg.max_channels || g->channels[slot].generation != vmbi_handle_generation(ch) ||
	    !(g->channels[slot].flags & VMBI_GC_SEEN))
		return NULL;
	return &g->channels[slot];
}

struct vmbi_gc *vmbi_guest_by_id(struct vmb_guest *g, uint32_t id)
{
	uint32_t slot = id <= VMBI_MAX_CHANNEL_ID ? vmbi_guest_map_get(g, g->ids, id) : 0;

	return slot ? &g->channels[slot] : NULL;
}

uint32_t vmbi_guest_device_key(const struct vmb_offer *o)
{
	uint32_t key = 0;

	for (uint32_t i = 0; i < 16; i += 4) {
		key = (key ^ vmbi_get32(o->instance.byte + i)) * 0x9e3779b1u;
		key = (key ^ (key >> 15) ^ vmbi_get32(o->class_id.byte + i)) * 0x85ebca77u;
	}
	return key | 1u;
}

/* The channel of this device and subchannel of whose flags those in `mask` are `flags`, or NULL. */
static struct vmbi_gc *guest_offer_find(struct vmb_guest *g, const struct vmb_offer *o, uint32_t key, uint32_t subchannel, uint32_t mask,
					uint32_t flags)
{
	for (uint32_t i = g->devices[key >> 1 & g->device_mask]; i; i = g->device_next[i]) {
		struct vmbi_gc *c = &g->channels[i];

		if (g->device_keys[i] == key && (c->flags & mask) == flags && c->offer.subchannel == subchannel &&
		    !VMBI_MEMCMP(&c->offer.class_id, &o->class_id, 16) && !VMBI_MEMCMP(&c->offer.instance, &o->instance, 16))
			return c;
	}
	return NULL;
}

/* The live offer, or NULL: not rescinded, not released. */
static const struct vmbi_gc *guest_offer_same(struct vmb_guest *g, const struct vmb_offer *o, uint32_t key, uint32_t subchannel)
{
	return guest_offer_find(g, o, key, subchannel, VMBI_GC_RESCINDED | VMBI_GC_RELEASED, 0);
}

void vmbi_guest_device_add(struct vmb_guest *g, uint32_t slot, uint32_t key)
{
	uint32_t *first = &g->devices[key >> 1 & g->device_mask];

	g->device_keys[slot] = key;
	g->device_next[slot] = *first;
	*first = slot;
}

static void guest_offer_device_drop(struct vmb_guest *g, uint32_t slot)
{
	uint32_t *link = &g->devices[g->device_keys[slot] >> 1 & g->device_mask];

	while (*link != slot)
		link = &g->device_next[*link];
	*link = g->device_next[slot];
	g->device_keys[slot] = 0;
}

/* ---- offers that are not taken */

static void guest_offer_decline(struct vmb_guest *g, uint32_t id)
{
	g->declined[id / 32] |= 1u << id % 32;
	vmbi_guest_queue(g, VMBI_GUEST_NODE_DECLINER(g));
}

/* The first id to be declined, or 0. */
static uint32_t guest_offer_first_declined(const struct vmb_guest *g)
{
	for (uint32_t w = 0; w < VMBI_FLAG_WORDS; w++)
		for (uint32_t b = 0; g->declined[w] >> b; b++)
			if (g->declined[w] >> b & 1)
				return w * 32 + b;
	return 0;
}

uint32_t vmbi_guest_decline_message(struct vmb_guest *g, uint8_t *out)
{
	uint32_t id = guest_offer_first_declined(g);
	int len;

	if (!id)
		return 0;
	len = vmb_message_init(out, VMB_MESSAGE_MAX, VMBI_MSG_REL_ID_RELEASED, g->version, 0);
	vmbi_put32(out + VMBI_AT(REL_ID_RELEASED, channel_id), id);
	return (uint32_t)len;
}

void vmbi_guest_decline_posted(struct vmb_guest *g, int outcome)
{
	uint32_t id = guest_offer_first_declined(g);

	if (outcome == VMBI_GUEST_MAYBE)
		return;
	g->declined[id / 32] &= ~(1u << id % 32);
	if (guest_offer_first_declined(g))
		vmbi_guest_queue(g, VMBI_GUEST_NODE_DECLINER(g));
}

/* ---- offers */

static void guest_offer_read(const struct vmb_guest *g, const uint8_t *msg, struct vmb_offer *o)
{
	/* Flags that tell what is private mean nothing without their features. control-plane.md 8.1 */
	uint32_t unknown = 0;

	if (!(g->features & VMB_FEATURE_CONFIDENTIAL))
		unknown |= VMB_OFFER_PRIVATE_RING | VMB_OFFER_PRIVATE_MEMORY;
	if (!(g->features & VMB_FEATURE_PINNING))
		unknown |= VMB_OFFER_PINNED;
	VMBI_MEMSET(o, 0, sizeof *o);
	o->flags = vmbi_get16(msg + VMBI_AT(OFFER_CHANNEL, flags)) & ~unknown;
	VMBI_MEMCPY(&o->class_id, msg + VMBI_AT(OFFER_CHANNEL, class_id), 16);
	VMBI_MEMCPY(&o->instance, msg + VMBI_AT(OFFER_CHANNEL, instance_id), 16);
	VMBI_MEMCPY(o->user_defined, msg + VMBI_AT(OFFER_CHANNEL, user_defined), sizeof o->user_defined);
	if (g->version >= VMB_V2_4)
		o->subchannel = vmbi_get16(msg + VMBI_AT(OFFER_CHANNEL, subchannel_index));
	o->mmio_mb = vmbi_get16(msg + VMBI_AT(OFFER_CHANNEL, mmio_megabytes));
	o->mmio_optional_mb = vmbi_get16(msg + VMBI_AT(OFFER_CHANNEL, mmio_megabytes_optional));
	o->channel_id = vmbi_get32(msg + VMBI_AT(OFFER_CHANNEL, channel_id));
	o->connection_id = VMBI_CONNECTION_EVENT;
	if (g->version >= VMB_V1_1)
		o->connection_id = vmbi_get32(msg + VMBI_AT(OFFER_CHANNEL, connection_id));
	o->monitor_id = msg[VMBI_AT(OFFER_CHANNEL, monitor_id)];
	if (!(msg[VMBI_AT(OFFER_CHANNEL, monitor_allocated)] & 1) || o->monitor_id > 127)
		o->monitor_id = 255; /* control-plane.md 8.3: then by hypercall */
}

/* Its id leads to it. */
static void guest_offer_route(struct vmb_guest *g, const struct vmbi_gc *c)
{
	vmbi_guest_map_set(g, g->ids, c->id, vmbi_gc_slot(g, c));
	if (g->scan < c->id / 32 + 1)
		VMBI_STORE32_RELEASE(&g->scan, c->id / 32 + 1);
}

static struct vmbi_gc *guest_offer_slot(struct vmb_guest *g, const struct vmb_offer *o, uint32_t key)
{
	uint32_t slot = g->free_slot, id = o->channel_id;
	struct vmbi_gc *c = &g->channels[slot];

	g->free_slot = c->next;
	if (!g->free_slot)
		g->last_free_slot = 0;
	if (slot > g->slots_used)
		g->slots_used = slot;
	g->live++;
	vmbi_guest_device_add(g, slot, key);
	c->id = id;
	c->generation++;
	c->offer = *o;
	c->opens = c->refused = c->closes = c->lost = 0;
	c->shown_state = c->shown_has = 0;
	vmbi_gc_changed(g, c);
	guest_offer_route(g, c);
	return c;
}

/* No second one of the same channel, no subchannel without its primary, no private buffers with a public ring. control-plane.md 8.6, 16.2 */
static int guest_offer_is_sound(struct vmb_guest *g, const struct vmb_offer *o, uint32_t key)
{
	if ((o->flags & (VMB_OFFER_PRIVATE_RING | VMB_OFFER_PRIVATE_MEMORY)) == VMB_OFFER_PRIVATE_MEMORY)
		return 0;
	return !guest_offer_same(g, o, key, o->subchannel) && (!o->subchannel || guest_offer_same(g, o, key, 0));
}

/* Its owner knows it from before a sleep: the handle stays, all else is new. control-plane.md 14 */
static int guest_offer_adopt(struct vmb_guest *g, const struct vmb_offer *o, uint32_t key, uint32_t dedicated)
{
	struct vmbi_gc *c = o->subchannel ? NULL : guest_offer_find(g, o, key, 0, VMBI_GC_LOST | VMBI_GC_RELEASED | VMBI_GC_ABANDONED, VMBI_GC_LOST);

	if (!c)
		return 0;
	c->flags = (c->flags & ~VMBI_GC_LOST) | VMBI_GC_UNTOLD;
	c->id = o->channel_id;
	c->offer = *o;
	c->dedicated = dedicated;
	guest_offer_route(g, c);
	vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_OFFER);
	return 1;
}

void vmbi_guest_lose(struct vmb_guest *g)
{
	g->only_version = 0;
	for (uint32_t i = 1; i <= g->slots_used; i++) {
		struct vmbi_gc *c = &g->channels[i];

		if (!(c->flags & VMBI_GC_LOST))
			continue;
		c->flags |= VMBI_GC_RESCINDED; /* its device may be offered again before it is released */
		vmbi_guest_abandon(g, c);
	}
}

int vmbi_guest_on_offer(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmb_offer o;
	struct vmbi_gc *c;
	uint32_t id, key, dedicated;

	guest_offer_read(g, msg, &o);
	id = o.channel_id;
	if (!id || id > VMBI_MAX_CHANNEL_ID || g->declined[id / 32] >> id % 32 & 1)
		return 0;
	c = vmbi_guest_by_id(g, id);
	if (c && c->flags & VMBI_GC_MAYBE_GONE)
		vmbi_guest_forget(g, c); /* it was released: our message did arrive. control-plane.md 12.3 */
	else if (c)
		return 0;
	key = vmbi_guest_device_key(&o);
	dedicated = g->version >= VMB_V1_1 && vmbi_get16(msg + VMBI_AT(OFFER_CHANNEL, is_dedicated)) & 1;
	if (g->only_version && guest_offer_adopt(g, &o, key, dedicated))
		return 1;
	if (!guest_offer_is_sound(g, &o, key)) {
		guest_offer_decline(g, id);
		return 0;
	}
	if (!g->free_slot) {
		g->refused_quota++;
		g->fate = VMB_FATE_QUOTA;
		guest_offer_decline(g, id);
		return 1;
	}
	c = guest_offer_slot(g, &o, key);
	c->dedicated = dedicated;
	c->socket = vmbi_guest_connect_offered(g, &o);
	vmbi_guest_mark(g, vmbi_gc_slot(g, c), VMBI_GE_OFFER);
	return 1;
}

/* Nobody has seen it: it goes without a word to the embedder. */
static void guest_offer_hide(struct vmb_guest *g, struct vmbi_gc *c)
{
	vmbi_guest_unmark(g, vmbi_gc_slot(g, c), VMBI_GE_OFFER);
	vmbi_guest_connect_lost(g, c->socket);
	vmbi_gc_flag(g, c, VMBI_GC_RELEASED);
	vmbi_guest_settle(g, c);
}

int vmbi_guest_on_rescind(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gc *c = vmbi_guest_by_id(g, vmbi_get32(msg + VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id)));

	if (!c || c->flags & VMBI_GC_RESCINDED)
		return 0;
	if ((c->flags & VMBI_GC_OPEN_OUT && !(c->flags & VMBI_GC_OPEN_LOST)) || c->flags & VMBI_GC_CLOSE_OUT)
		vmbi_guest_unwait(g, vmbi_gc_slot(g, c));
	/* An OPEN is not answered any more, and the host is off the ring. control-plane.md 10.1, 12.2 */
	c->flags &= ~(VMBI_GC_OPEN_OUT | VMBI_GC_OPEN_LOST | VMBI_GC_HOST_OPEN | VMBI_GC_CLOSE_FAILED | VMBI_GC_CLOSE_OUT);
	vmbi_gc_flag(g, c, VMBI_GC_RESCINDED);
	if (vmbi_guest_is_open_message(c->send) || vmbi_guest_is_close_message(c->send))
		c->send = 0;
	if (!(c->flags & VMBI_GC_SEEN)) {
		guest_offer_hide(g, c);
		return 1;
	}
	vmbi_guest_gpadls_rescinded(g, c);
	vmbi_guest_abandon(g, c);
	vmbi_guest_channel_step(g, c);
	return 1;
}

void vmbi_guest_abandon_all(struct vmb_guest *g)
{
	for (uint32_t i = 1; i <= g->slots_used; i++) {
		struct vmbi_gc *c = &g->channels[i];

		if (!g->device_keys[i] || vmbi_guest_keep(g, c))
			continue;
		if (c->flags & VMBI_GC_SEEN)
			vmbi_guest_abandon(g, c);
		else
			guest_offer_hide(g, c);
	}
}

/* ---- release */

void vmbi_guest_settle(struct vmb_guest *g, struct vmbi_gc *c)
{
	uint32_t slot = vmbi_gc_slot(g, c);

	if (!(c->flags & VMBI_GC_RELEASED) || c->state != VMBI_GC_IDLE || c->untold || c->send || g->marks[slot])
		return;
	if (g->state == VMB_BUS_LEAVING || c->flags & (VMBI_GC_KEPT | VMBI_GC_LOST)) {
		vmbi_guest_forget(g, c); /* UNLOAD releases all. control-plane.md 11 */
	} else {
		c->send = VMBI_MSG_REL_ID_RELEASED;
		vmbi_guest_queue(g, slot);
	}
}

void vmbi_guest_forget(struct vmb_guest *g, struct vmbi_gc *c)
{
	uint32_t slot = vmbi_gc_slot(g, c);

	if (c->flags & VMBI_GC_SEEN) {
		g->gone[g->gone_in] = vmbi_handle(slot, c->generation);
		vmbi_guest_mark(g, VMBI_GUEST_NODE_GONE(g, g->gone_in + 1), VMBI_GE_GONE);
		if (++g->gone_in == g->cfg.max_channels)
			g->gone_in = 0;
	}
	vmbi_guest_gpadls_forget(g, c);
	if (g->cfg.trace)
		vmbi_guest_trace_channel(g, c, 1);
	if (vmbi_guest_map_get(g, g->ids, c->id) == slot) /* else it is another one's already */
		vmbi_guest_map_set(g, g->ids, c->id, 0);
	guest_offer_device_drop(g, slot);
	g->live--;
	if (c->flags & VMBI_GC_KEPT)
		g->kept--;
	if (c->flags & VMBI_GC_RESERVED && c->flags & (VMBI_GC_OPEN_OUT | VMBI_GC_HOST_OPEN))
		g->owed |= VMBI_OWED_FOR_GOOD; /* it could not be closed, and stays open whatever ends. control-plane.md 10.5 */
	c->id = 0;
	c->flags = 0;
	c->send = 0;
	c->next = 0;
	if (c->generation < VMBI_GENERATION_MAX) { /* else its handles are used up */
		if (g->last_free_slot)
			g->channels[g->last_free_slot].next = slot;
		else
			g->free_slot = slot;
		g->last_free_slot = slot;
	}
	vmbi_guest_connection_step(g);
}

int vmb_guest_release(struct vmb_guest *g, vmb_handle ch)
{
	struct vmbi_gc *c;
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	c = vmbi_guest_find(g, ch);
	if (!c)
		return vmbi_guest_leave(g, VMB_EHANDLE);
	if (c->flags & VMBI_GC_RELEASED)
		return vmbi_guest_leave(g, VMB_ESTATE);
	vmbi_gc_flag(g, c, VMBI_GC_RELEASED);
	c->flags &= ~VMBI_GC_UNTOLD; /* nor is it told again after a restore */
	vmbi_guest_unmark(g, vmbi_gc_slot(g, c), VMBI_GE_OFFER | VMBI_GE_OPENED | VMBI_GE_TARGET | VMBI_GE_RESCINDED);
	vmbi_guest_gpadls_released(g, c);
	if (g->version < VMB_V4_0) /* device lists go before CLOSE there, after it later: gpadl.md 7.6 */
		vmbi_guest_gpadls_down(g, c);
	if (c->flags & VMBI_GC_OBJECT)
		vmbi_guest_give_back(g, c);
	else
		vmbi_guest_channel_step(g, c);
	return vmbi_guest_leave(g, 0);
}

int vmb_guest_offer(struct vmb_guest *g, vmb_handle ch, struct vmb_offer *out)
{
	struct vmbi_gc *c;
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	c = vmbi_guest_find(g, ch);
	if (!c)
		r = VMB_EHANDLE;
	else
		r = out ? vmbi_struct_out(out, &c->offer, sizeof c->offer, sizeof c->offer) : VMB_EINVAL;
	return vmbi_guest_leave(g, r);
}
