/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A host end out of bytes. The blob may have been made by anybody: each field is checked before it is used, against the config and against the
 * records before it. What is taken in lies in slots, lists and queue of an end that has no connection yet, so that it can be thrown away
 * again up to the last check; only then do devices, guest and embedder hear of anything. control-plane.md 18, gpadl.md 9
 */
#include "host_saved.h"

#define HR_KNOWN(type) (1u << (type))
/* The counters of an end lie in a row. */
#define HR_COUNTERS_AT offsetof(struct vmb_host, messages_in)
#define HR_COUNTERS (offsetof(struct vmb_host, now) - HR_COUNTERS_AT)

struct host_restore {
	struct vmb_host *h;
	struct vmbi_blob b;
	struct vmbi_hs_connection s;
	struct vmbi_host_request contact;
	struct vmbi_hc *c;        /* the channel at hand; NULL: it is of no interest */
	uint32_t channels;        /* seen so far */
	uint32_t state, flags;    /* of the one at hand */
	uint32_t opens, lists;    /* seen of it */
	uint32_t last, last_id, last_list;
	uint32_t pending;         /* answers that will be due: control-plane.md 1.4 */
	uint32_t stray;           /* these and counters: as they were, should it fail */
	uint8_t counters[HR_COUNTERS];
};

/* ---- the connection */

static int hr_is_connected(const struct vmbi_hs_connection *s)
{
	return s->state == VMB_BUS_CONNECTED || s->state == VMB_BUS_RUNNING;
}

/* State and action fit together. */
static int hr_state_ok(const struct vmbi_hs_connection *s)
{
	switch (s->state) {
	case VMB_BUS_NONE:
		return !s->action && !s->version;
	case VMB_BUS_CONNECTED:
	case VMB_BUS_RUNNING:
		return !s->action && s->version;
	case VMB_BUS_LEAVING:
		return s->action == VMBI_ACTION_CONTACT || (s->action == VMBI_ACTION_UNLOAD && s->version);
	case VMB_BUS_RESETTING:
		return s->action == VMBI_ACTION_RESET;
	default:
		return 0;
	}
}

static int hr_pages_ok(const struct vmb_host *h, const struct vmbi_hs_connection *s)
{
	const uint64_t *gpa = s->monitor;

	if (s->page_gpa && (s->version >= VMB_V2_4 || s->page_gpa % VMB_PAGE))
		return 0;
	if (!hr_is_connected(s))
		return !s->page_gpa && !gpa[0] && !gpa[1] && !s->swapping;
	if (s->features & VMB_FEATURE_SERVER_MONITOR) /* the guest has mapped those */
		return gpa[0] == h->cfg.monitor_gpa[0] && gpa[1] == h->cfg.monitor_gpa[1] && !s->swapping;
	if (s->swapping && (!(s->features & VMB_FEATURE_MODIFY_CONNECTION) || !vmbi_monitor_pages_ok(s->wanted)))
		return 0;
	return vmbi_monitor_pages_ok(gpa);
}

static int hr_connection(struct host_restore *l)
{
	struct vmbi_hs_connection *s = &l->s;
	const struct vmb_host *h = l->h;

	vmbi_hs_connection(&l->b, s);
	if (vmbi_blob_done(&l->b) || s->vtl != h->cfg.vtl || !hr_state_ok(s) || (s->trusted | s->reset_done | s->swapping | s->paused) > 1)
		return VMB_EINVAL;
	if ((s->version && !vmbi_host_speaks(h, s->version)) || s->features != vmbi_host_grant(h, s->features, s->trusted) ||
	    (s->trusted && !(h->cfg.flags & VMB_HOST_TRUSTED)))
		return VMB_EVERSION;
	if ((s->features && s->version < VMB_V6_0) || (s->trusted && !s->version) ||
	    (s->paused && (!hr_is_connected(s) || !(s->features & VMB_FEATURE_PAUSE))) ||
	    (s->version < VMB_V6_0 && !vmbi_guid_is_zero(&s->client_id)) || !hr_pages_ok(h, s) || /* told, if granted or not */
	    (!s->swapping && (s->wanted[0] | s->wanted[1])))
		return VMB_EINVAL;
	return vmbi_host_vp_ok(h, s->message_vp) ? 0 : VMB_ENOSPACE;
}

/* As vmbi_host_contact lets it pass. */
static int hr_contact(struct host_restore *l)
{
	struct vmbi_host_request *q = &l->contact;

	vmbi_hs_contact(&l->b, q);
	if (vmbi_blob_done(&l->b) || q->trusted > 1 || (q->page && q->version >= VMB_V2_4) || (q->features && q->version < VMB_V6_0) ||
	    (!(q->features & VMB_FEATURE_CLIENT_ID) && !vmbi_guid_is_zero(&q->client_id)) || (q->vp && q->version < VMB_V3_0) ||
	    !vmbi_host_is_port(l->h, q->connection))
		return VMB_EINVAL;
	if (q->trusted && !(l->h->cfg.flags & VMB_HOST_TRUSTED))
		return VMB_EVERSION;
	q->bad_pages = !vmbi_monitor_pages_ok(q->monitor);
	return vmbi_host_vp_ok(l->h, q->vp) ? 0 : VMB_ENOSPACE;
}

/* ---- channels */

static int hr_flags_ok(const struct host_restore *l, const struct vmbi_hs_channel *c)
{
	static const uint32_t may[] = {
		[VMBI_HS_CLOSED] = VMBI_HS_TOLD | VMBI_HS_UNOPENED,
		[VMBI_HS_OPENING] = VMBI_HS_TOLD | VMBI_HS_KEPT,
		[VMBI_HS_IS_OPEN] = VMBI_HS_TOLD | VMBI_HS_KEPT | VMBI_HS_MODIFYING | VMBI_HS_POISONED,
		[VMBI_HS_CLOSING] = VMBI_HS_TOLD | VMBI_HS_KEPT,
		[VMBI_HS_REOPEN] = VMBI_HS_TOLD | VMBI_HS_KEPT,
		[VMBI_HS_REVOKED] = VMBI_HS_TOLD | VMBI_HS_RESCINDED | VMBI_HS_SERVED,
		[VMBI_HS_RELEASED] = 0,
		[VMBI_HS_LEFT] = VMBI_HS_SERVED | VMBI_HS_AGAIN,
	};
	uint32_t running = l->s.state == VMB_BUS_RUNNING, f = c->flags;

	if (!c->state || c->state > VMBI_HS_LEFT || f & ~may[c->state])
		return 0;
	if ((f & VMBI_HS_TOLD && (!running || (c->subchannel && l->s.version < VMB_V2_4))) || (c->state == VMBI_HS_RELEASED && !running))
		return 0;
	if (c->state < VMBI_HS_RELEASED && !(f & VMBI_HS_TOLD) && (!(f & VMBI_HS_KEPT) || c->state == VMBI_HS_REOPEN))
		return 0;
	if (f & VMBI_HS_MODIFYING && (l->s.version < VMB_V5_3 || f & VMBI_HS_KEPT))
		return 0;
	return !(f & VMBI_HS_RESCINDED) || !(f & VMBI_HS_SERVED);
}

static int hr_cursors_ok(const struct vmbi_hs_channel *c)
{
	const struct vmb_cursor *t = &c->tx_at, *r = &c->rx_at;

	if (t->valid > 1 || r->valid != t->valid || (!t->valid && (t->index | t->armed | r->index | r->armed)) || r->armed > 1)
		return 0;
	return !t->valid || (c->state == VMBI_HS_IS_OPEN && !(c->flags & VMBI_HS_POISONED));
}

/* The id is in rising order; those without one come last. */
static int hr_id_ok(struct host_restore *l, const struct vmbi_hs_channel *c)
{
	if (c->state >= VMBI_HS_RELEASED) {
		l->last_id = UINT32_MAX;
		return !c->id;
	}
	if (c->id <= l->last_id || c->id > VMBI_MAX_CHANNEL_ID)
		return 0;
	l->last_id = c->id;
	return 1;
}

/* Its monitor id is the guest's to use, so it must mean what it did. */
static int hr_monitor(struct host_restore *l, const struct vmbi_hs_channel *c)
{
	struct vmbi_host_monitor *m = &l->h->monitor;
	uint32_t id = c->monitor - 1;

	if (!c->monitor)
		return 0;
	if (!(c->flags & VMBI_HS_TOLD) || c->monitor > VMBI_HOST_MONITORS || !(l->h->cfg.flags & VMB_HOST_MONITOR) ||
	    m->taken[id / 32] >> id % 32 & 1)
		return VMB_EINVAL;
	/* The pages may have gone since it was given: by MODIFY_CONNECTION, or because the connection is going. */
	if (!l->s.monitor[1] && hr_is_connected(&l->s) && !(l->s.features & VMB_FEATURE_MODIFY_CONNECTION))
		return VMB_EINVAL;
	m->taken[id / 32] |= 1u << id % 32;
	l->c->monitor = c->monitor;
	return 0;
}

static int hr_take(struct host_restore *l, const struct vmbi_hs_channel *c)
{
	int known = c->state < VMBI_HS_RELEASED, r;

	l->c = vmbi_host_claim(l->h, &c->class_id, &c->instance, c->subchannel, known, &r);
	if (!l->c)
		return r;
	l->c->saved = c->state | c->flags << 8;
	l->c->tx_at = c->tx_at;
	l->c->rx_at = c->rx_at;
	VMBI_MEMCPY(&l->c->opens, &c->opens, 4 * sizeof c->opens);
	if (!known)
		return 0;
	if (!l->c->removed && l->c->wanted && l->c->wanted != c->id && c->state != VMBI_HS_REVOKED)
		return VMB_EINVAL;
	r = vmbi_host_claim_id(l->h, l->c, c->id);
	return r ? r : hr_monitor(l, c);
}

/* All that stands behind the channel at hand has been seen. */
static int hr_channel_end(const struct host_restore *l)
{
	return l->channels && l->opens != vmbi_hs_opens(l->state, l->flags) ? VMB_EINVAL : 0;
}

static int hr_channel(struct host_restore *l)
{
	struct vmbi_hs_channel c = { .id = 0 };
	int r = hr_channel_end(l);

	vmbi_hs_channel(&l->b, &c);
	if (r || vmbi_blob_done(&l->b) || !hr_flags_ok(l, &c) || !hr_cursors_ok(&c) || !hr_id_ok(l, &c) || c.subchannel > 0xffff ||
	    (c.state >= VMBI_HS_RELEASED && c.monitor))
		return VMB_EINVAL;
	l->channels++;
	l->state = c.state;
	l->flags = c.flags;
	l->opens = l->lists = 0;
	if (c.state == VMBI_HS_OPENING || c.state == VMBI_HS_REOPEN || c.flags & VMBI_HS_MODIFYING)
		l->pending++;
	return hr_take(l, &c);
}

/* ---- lists */

static int hr_list(struct host_restore *l)
{
	struct vmbi_hs_list list = { .quiet = 0 };
	const uint8_t *words;
	struct vmbi_hc *c = l->c;
	uint32_t ref;
	int r, over;

	vmbi_hs_list(&l->b, &list);
	if (l->b.failed || list.s.kept > (l->b.end - l->b.at) / 8)
		return VMB_EINVAL;
	words = l->b.in + l->b.at;
	l->b.at += (size_t)list.s.kept * 8;
	if (vmbi_blob_done(&l->b) || !l->channels || l->opens || l->state == VMBI_HS_RELEASED || (l->lists && list.s.id <= l->last_list) ||
	    list.s.complete > 1 || list.s.leaving > 1 || list.quiet != (l->state == VMBI_HS_LEFT) || list.quiet > list.s.leaving ||
	    list.held > list.s.complete)
		return VMB_EINVAL;
	l->lists++;
	l->last_list = list.s.id;
	if (!c)
		return 0;
	/* What is on its way out may be another device's: the limits of the one that is offered now are not for it. */
	over = l->state == VMBI_HS_REVOKED || l->state == VMBI_HS_LEFT;
	r = vmbi_gpadls_load(l->h->store, c->slot, &list.s, words, over ? 0 : c->max_gpadls, over ? 0 : c->max_gpadl_pages, &ref);
	if (r)
		return r;
	l->h->gpadl[ref].slot = c->slot;
	l->h->gpadl[ref].quiet = list.quiet;
	l->h->gpadl[ref].holds = c->removed ? 0 : list.held;
	l->pending++;
	return 0;
}

/* ---- opens */

/* Where the guest's signals come and its interrupts go. control-plane.md 6.4 */
static int hr_signals_ok(const struct host_restore *l, const struct vmbi_host_open *o)
{
	const struct vmbi_hc *c = l->c;

	if (!o->flag || o->flag >= VMBI_HOST_IDS || o->connection >> 24)
		return 0;
	if (l->state == VMBI_HS_LEFT) /* for nobody any more */
		return 1;
	if (o->flags & VMB_OPEN_RESERVED || !(l->s.features & VMB_FEATURE_SIGNAL_PARAMETERS))
		return o->flag == c->id && o->connection == vmbi_host_connection(l->h, c);
	return (l->state != VMBI_HS_OPENING && l->state != VMBI_HS_IS_OPEN && !l->opens) || vmbi_ports_may(l->h, c, o->connection);
}

static int hr_reserved_ok(const struct host_restore *l, const struct vmbi_host_open *o)
{
	return o->flags == VMB_OPEN_RESERVED && o->version >= VMB_V4_0 && vmbi_host_speaks(l->h, o->version) && !o->offer_flags &&
	       o->target_vp == VMB_VP_NONE && !o->open_id && o->result_sint <= 0xff;
}

static int hr_plain_ok(const struct host_restore *l, const struct vmbi_host_open *o)
{
	uint32_t flags = l->s.features & VMB_FEATURE_REDIRECT ? VMB_OPEN_REDIRECT : 0;

	if (l->state == VMBI_HS_LEFT) /* its connection may be over */
		return !(o->flags & ~(VMB_OPEN_REDIRECT | VMB_OPEN_RESERVED)) && vmbi_version_known(o->version) && o->offer_flags <= 0xffff;
	return !(o->flags & ~flags) && o->version == l->s.version && o->offer_flags == vmbi_host_offer_flags(l->h, o->offer_flags) &&
	       !o->result_vp && !o->result_sint;
}

/* Its ring, which the list before it names. */
static int hr_ring(const struct host_restore *l, struct vmbi_host_open *o)
{
	const struct vmb_cursor *t = &l->c->tx_at, *r = &l->c->rx_at;

	if (!vmbi_host_find_ring(l->h, l->c, o))
		return 0;
	return !t->valid || (t->index % 8 == 0 && t->index / VMB_PAGE < o->ring_pages - o->rx_pages - 1 && r->index % 8 == 0 &&
			     r->index / VMB_PAGE < o->rx_pages - 1);
}

static int hr_open(struct host_restore *l)
{
	struct vmbi_host_open o = { .ring_ref = 0 };
	struct vmbi_hc *c = l->c;
	uint32_t again = 0;
	int kept;

	vmbi_hs_open(&l->b, &o, &again);
	if (vmbi_blob_done(&l->b) || !l->channels || l->opens >= vmbi_hs_opens(l->state, l->flags) || again != l->opens)
		return VMB_EINVAL;
	if (!c) {
		l->opens++;
		return 0;
	}
	kept = l->state == VMBI_HS_REVOKED ? (o.flags & VMB_OPEN_RESERVED) != 0 : l->flags & VMBI_HS_KEPT && !again;
	if (!(kept ? hr_reserved_ok(l, &o) : hr_plain_ok(l, &o)) || !hr_signals_ok(l, &o) || !hr_ring(l, &o))
		return VMB_EINVAL;
	if (o.target_vp != VMB_VP_NONE && !vmbi_host_vp_ok(l->h, o.target_vp))
		return VMB_ENOSPACE;
	l->opens++;
	if (again)
		c->reopen = o;
	else
		c->open = o;
	if (l->state == VMBI_HS_OPENING || l->state == VMBI_HS_IS_OPEN)
		vmbi_ports_add(l->h, c, o.connection);
	return 0;
}

/* ---- messages */

/* An offer is still to come, or a rescind is: the channel must be in that state. */
static int hr_message_fits(const struct host_restore *l, const struct vmbi_hs_message *m)
{
	uint32_t type = vmbi_get32(m->bytes), saved;
	const struct vmbi_hc *c;

	if (type != VMBI_MSG_OFFER_CHANNEL && type != VMBI_MSG_RESCIND_CHANNEL_OFFER)
		return 1;
	c = vmbi_host_named(l->h, vmbi_get32(m->bytes + VMBI_AT(RESCIND_CHANNEL_OFFER, channel_id)));
	saved = c ? c->saved : 0;
	if (!(saved >> 8 & VMBI_HS_TOLD))
		return 0;
	return type == VMBI_MSG_OFFER_CHANNEL ? (saved & 0xff) != VMBI_HS_REVOKED : (saved >> 8 & VMBI_HS_RESCINDED) != 0;
}

static int hr_message(struct host_restore *l)
{
	struct vmbi_hs_message m = { 0, 0, { 0 } };

	vmbi_hs_message(&l->b, &m);
	if (vmbi_blob_done(&l->b) || hr_channel_end(l) || !hr_message_fits(l, &m))
		return VMB_EINVAL;
	return vmbi_hq_load(l->h, m.bytes, m.len, m.vp);
}

static int hr_statistics(struct host_restore *l)
{
	vmbi_hs_statistics(&l->b, l->h);
	return vmbi_blob_done(&l->b) || hr_channel_end(l) ? VMB_EINVAL : 0;
}

/* ---- all records, in their order */

static int hr_record(struct host_restore *l, uint32_t type)
{
	/* What may come behind what: rising, but that a channel begins its own again. */
	if (type < l->last && !(type == VMBI_HS_CHANNEL && l->last <= VMBI_HS_OPEN))
		return VMB_EINVAL;
	if (type == l->last && (type < VMBI_HS_CHANNEL || type == VMBI_HS_STATISTICS))
		return VMB_EINVAL;
	l->last = type;
	switch (type) {
	case VMBI_HS_CONTACT:
		return hr_contact(l);
	case VMBI_HS_CHANNEL:
		return hr_channel(l);
	case VMBI_HS_LIST:
		return hr_list(l);
	case VMBI_HS_OPEN:
		return hr_open(l);
	case VMBI_HS_MESSAGE:
		return hr_message(l);
	default:
		return hr_statistics(l);
	}
}

/* The connection is always the first. From here on the end looks as if it had one, so that its own functions may be asked. */
static int hr_first(struct host_restore *l)
{
	struct vmb_host *h = l->h;
	int r = vmbi_blob_next(&l->b) == VMBI_HS_CONNECTION ? hr_connection(l) : VMB_EINVAL;

	if (r)
		return r;
	l->last = VMBI_HS_CONNECTION;
	h->state = l->s.state;
	h->version = l->s.version;
	h->features = l->s.features;
	h->message_vp = l->s.message_vp;
	h->paused = l->s.paused;
	return 0;
}

static int hr_pages(struct host_restore *l)
{
	struct vmb_host *h = l->h;

	if (vmbi_host_use_page(h, l->s.page_gpa))
		return VMB_EMAP;
	if (!l->s.swapping && !l->s.action && vmbi_monitor_use(h, l->s.monitor)) { /* nobody looks for triggers of a guest that leaves */
		vmbi_host_unuse_page(h);
		return VMB_EMAP;
	}
	return 0;
}

static int hr_load(struct host_restore *l)
{
	int r = hr_first(l), contact = l->s.action == VMBI_ACTION_CONTACT;
	uint32_t type, seen = 0;

	while (!r && (type = vmbi_blob_next(&l->b)) != 0) {
		seen |= HR_KNOWN(type);
		r = hr_record(l, type);
	}
	if (r)
		return r;
	if (hr_channel_end(l) || !(seen & HR_KNOWN(VMBI_HS_CONTACT)) != !contact ||
	    !(seen & HR_KNOWN(VMBI_HS_STATISTICS)) != (l->b.format < VMBI_BLOB_STATISTICS))
		return VMB_EINVAL;
	/* host.c counts the replies so that there is always one. */
	if ((uint64_t)vmbi_hq_replies(l->h) + l->pending + l->s.swapping > l->h->replies)
		return VMB_ENOSPACE;
	return hr_pages(l);
}

/* ---- throwing it away */

static void hr_undo_channel(struct vmb_host *h, struct vmbi_hc *c)
{
	for (uint32_t ref = vmbi_gpadls_each(h->store, c->slot, 0); ref; ref = vmbi_gpadls_each(h->store, c->slot, ref))
		h->gpadl[ref] = (struct vmbi_host_gpadl){ 0, 0, 0, 0, 0, 0, 0 };
	vmbi_gpadls_purge(h->store, c->slot);
	for (uint32_t ref = vmbi_gpadls_next(h->store, c->slot, 0); ref; ref = vmbi_gpadls_next(h->store, c->slot, ref))
		(void)vmbi_gpadls_leave(h->store, ref); /* nobody uses it yet */
	vmbi_ports_remove(h, c);
	vmbi_host_drop_id(h, c);
	c->saved = 0;
	c->tx_at.valid = c->rx_at.valid = 0;
	c->opens = c->refused = c->closes = c->lost = 0;
	if (c->unclaimed)
		vmbi_host_free(h, c);
}

static void hr_undo(struct host_restore *l)
{
	struct vmb_host *h = l->h;

	vmbi_hq_forget_all(h);
	for (uint32_t i = 1; i <= h->slots; i++)
		if (h->ch[i].saved)
			hr_undo_channel(h, &h->ch[i]);
	vmbi_ports_clear(h);
	h->state = VMB_BUS_NONE;
	h->version = h->features = h->message_vp = h->paused = 0;
	VMBI_MEMCPY((uint8_t *)h + HR_COUNTERS_AT, l->counters, sizeof l->counters);
	h->stray = l->stray;
}

/* ---- taking it over: nothing fails any more */

static void hr_ask_close(struct vmb_host *h, struct vmbi_hc *c)
{
	vmbi_hc_device(h, c, VMBI_DEV_REMOTE); /* for all that this end knows somebody uses the ring */
	c->restored = 1;
	h->serving++;
	vmbi_he_channel(h, c, VMBI_HE_CLOSE);
}

/* One that was open goes on if its device says so. */
static void hr_open_again(struct vmb_host *h, struct vmbi_hc *c, uint32_t flags)
{
	vmbi_hc_become(h, c, VMBI_HC_OPEN);
	c->poisoned = (flags & VMBI_HS_POISONED) != 0;
	c->modifying = (flags & VMBI_HS_MODIFYING) != 0;
	if (c->poisoned) /* it waits for the guest's CLOSE */
		return;
	vmbi_hc_device(h, c, VMBI_DEV_ASKING);
	c->restored = 1;
	vmbi_he_channel(h, c, VMBI_HE_OPEN);
}

static void hr_device(struct vmb_host *h, struct vmbi_hc *c, uint32_t state, uint32_t flags)
{
	uint32_t opens = vmbi_hs_opens(state, flags);

	if (opens)
		vmbi_gpadls_use(h->store, c->open.ring_ref);
	if (opens > 1)
		vmbi_gpadls_use(h->store, c->reopen.ring_ref);
	c->kept = (flags & VMBI_HS_KEPT) != 0;
	h->kept += c->kept;
	c->renewing = state == VMBI_HS_REVOKED || flags & VMBI_HS_AGAIN;
	c->rescinded = (flags & VMBI_HS_RESCINDED) != 0;
	switch (state) {
	case VMBI_HS_CLOSED:
		vmbi_hc_become(h, c, VMBI_HC_CLOSED);
		if (flags & VMBI_HS_UNOPENED)
			vmbi_hvsock_watch(h, c);
		break;
	case VMBI_HS_OPENING:
		vmbi_hc_become(h, c, VMBI_HC_OPENING);
		c->restored = 1;
		vmbi_host_ask_open(h, c);
		break;
	case VMBI_HS_IS_OPEN:
		hr_open_again(h, c, flags);
		break;
	case VMBI_HS_CLOSING:
	case VMBI_HS_REOPEN:
		vmbi_hc_become(h, c, state == VMBI_HS_CLOSING ? VMBI_HC_CLOSING : VMBI_HC_REOPEN);
		hr_ask_close(h, c);
		break;
	case VMBI_HS_REVOKED:
		vmbi_hc_become(h, c, VMBI_HC_REVOKED);
		break;
	}
	if (flags & VMBI_HS_SERVED)
		hr_ask_close(h, c);
}

/* Nobody offers it: it is as if it had been removed. */
static void hr_nobody(struct vmb_host *h, struct vmbi_hc *c, uint32_t flags)
{
	vmbi_ports_remove(h, c);
	c->rescinded = (flags & VMBI_HS_RESCINDED) != 0;
	vmbi_hc_become(h, c, VMBI_HC_REVOKED);
}

/* Both ends have their part; what can be done now is done: subchannels first. */
static void hr_step(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t state = c->saved & 0xff;

	if (!c->saved)
		return;
	if (state < VMBI_HS_RELEASED)
		c->saved = 0; /* else until it is clear that it is not new */
	if (c->unclaimed && h->out_links[c->slot].in && c->wire == VMBI_MSG_OFFER_CHANNEL) {
		vmbi_host_forget(h, c);
		return;
	}
	if (c->modifying) { /* nobody interrupts the guest now, at the old VP or elsewhere */
		(void)vmbi_gate_watch(&c->out);
		vmbi_host_gate_step(h, c);
	}
	if (state == VMBI_HS_REVOKED || state == VMBI_HS_LEFT || c->unclaimed)
		vmbi_host_removed_step(h, c);
}

static void hr_channels(struct vmb_host *h)
{
	for (uint32_t i = 1; i <= h->slots; i++) {
		struct vmbi_hc *c = &h->ch[i];

		if (!c->saved)
			continue;
		c->offered_in = c->saved >> 8 & VMBI_HS_TOLD ? h->connection : 0;
		if (c->unclaimed)
			hr_nobody(h, c, c->saved >> 8);
		else
			hr_device(h, c, c->saved & 0xff, c->saved >> 8);
		vmbi_host_count(h, c);
	}
}

static void hr_commit(struct host_restore *l)
{
	struct vmb_host *h = l->h;

	h->state = VMB_BUS_NONE;
	vmbi_host_become(h, l->s.state);
	h->action = l->s.action;
	h->trusted = l->s.trusted;
	h->reset_done = l->s.reset_done;
	h->tokens = l->s.tokens;
	h->client_id = l->s.client_id;
	h->request = l->contact;
	h->monitor.swapping = l->s.swapping;
	h->connections = 1;
	if (l->s.swapping)
		VMBI_MEMCPY(h->monitor.wanted, l->s.wanted, sizeof l->s.wanted);
	if (hr_is_connected(&l->s)) {
		h->connection = 1;
		h->restored = 1;
		if (h->page_mapped)
			vmbi_gate_open(&h->page_gate);
	}
	if (h->connection || h->reset_done)
		vmbi_he_connection(h);
	hr_channels(h);
	for (uint32_t i = 1; i <= h->slots; i++)
		if (h->ch[i].monitor && h->monitor.page)
			vmbi_trigger_connect(h->monitor.page, h->ch[i].monitor - 1, vmbi_host_connection(h, &h->ch[i]));
	for (uint32_t i = 1; i <= h->slots; i++) /* before any step: what is held holds up its channel's, whoever else goes on */
		vmbi_host_gpadl_restored(h, &h->ch[i], h->ch[i].state == VMBI_HC_REVOKED);
	for (uint32_t i = 1; i <= h->slots; i++)
		if (h->ch[i].subchannel)
			hr_step(h, &h->ch[i]);
	for (uint32_t i = 1; i <= h->slots; i++)
		if (!h->ch[i].subchannel)
			hr_step(h, &h->ch[i]);
}

/* Devices that the blob does not know are new. control-plane.md 18 */
static void hr_fresh(struct vmb_host *h)
{
	for (uint32_t i = 0; i < h->sorted_used; i++)
		if (!h->ch[h->sorted[i]].saved)
			vmbi_host_offer_now(h, &h->ch[h->sorted[i]]);
	for (uint32_t i = 1; i <= h->slots; i++)
		h->ch[i].saved = 0;
}

/* ---- the call */

static int hr_may(struct vmb_host *h)
{
	uint32_t lists, pages;

	vmbi_gpadls_count(h->store, &lists, &pages);
	return h->state != VMB_BUS_NONE || h->connections || h->action || h->out.head || h->reset_done || lists ? VMB_ESTATE : 0;
}

static int hr_restore(struct vmb_host *h, const void *buf, size_t bytes)
{
	static const uint32_t types[] = { 0, 0x7e, 0xfe, 0xfe };
	struct host_restore l;
	int r = hr_may(h);

	if (r)
		return r;
	VMBI_MEMSET(&l, 0, sizeof l);
	l.h = h;
	l.stray = h->stray;
	VMBI_MEMCPY(l.counters, (uint8_t *)h + HR_COUNTERS_AT, sizeof l.counters);
	r = vmbi_blob_load(&l.b, buf, bytes, VMBI_BLOB_HOST, types);
	if (r)
		return r;
	r = hr_load(&l);
	if (r) {
		hr_undo(&l);
		return r;
	}
	hr_commit(&l);
	hr_fresh(h);
	return 0;
}

int vmb_host_restore(struct vmb_host *h, const void *buf, size_t bytes)
{
	int r = buf ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	r = hr_restore(h, buf, bytes);
	if (r)
		vmbi_guard_leave(&h->guard);
	else
		vmbi_host_leave(h);
	return r;
}
