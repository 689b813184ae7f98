/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * GPADLs: the guest's messages about them, and holds by devices. A list in use, as the ring of an open or by a hold, outlives its
 * tear-down, and TORNDOWN waits for the last use. gpadl.md 5
 */
#include "host.h"

static void gpadl_created(struct vmb_host *h, uint32_t id, uint32_t gpadl, uint32_t status)
{
	vmbi_hq_reply(h, VMBI_MSG_GPADL_CREATED, id, gpadl, status);
}

/* What has become of a list of this slot; before: VMB_LIST_*. */
static void gpadl_trace(struct vmb_host *h, uint32_t slot, uint32_t ref, uint32_t id, uint32_t before)
{
	struct vmb_gpadl_info info = { 0 };
	uint32_t owner, now;

	if (!h->cfg.trace)
		return;
	now = ref ? vmbi_gpadls_look(h->store, ref, &owner) : VMB_LIST_NONE;
	if (now)
		vmbi_gpadls_info(h->store, ref, &info);
	vmbi_host_trace_gpadl(h, slot, id, before, now, info.words, info.ranges);
}

/* before: what the list was; VMB_LIST_NONE: it is new. */
static void gpadl_answer(struct vmb_host *h, int what, const struct vmbi_gpadl_answer *a, uint32_t before)
{
	switch (what) {
	case VMBI_GPADL_WAITING:
		if (!before)
			gpadl_trace(h, a->owner, a->ref, a->id, before);
		break;
	case VMBI_GPADL_COMPLETE:
		gpadl_trace(h, a->owner, a->ref, a->id, before);
		gpadl_created(h, h->ch[a->owner].id, a->id, 0);
		break;
	case VMBI_GPADL_QUOTA:
		h->refused_quota++;
		h->fate = VMB_FATE_QUOTA;
		gpadl_created(h, h->ch[a->owner].id, a->id, VMBI_FAILED);
		break;
	case VMBI_GPADL_REFUSED:
		h->fate = VMB_FATE_REFUSED;
		gpadl_trace(h, a->owner, 0, a->id, before);
		gpadl_created(h, h->ch[a->owner].id, a->id, VMBI_FAILED);
		break;
	case VMBI_GPADL_DROPPED:
		vmbi_host_drop(h, VMB_FATE_UNKNOWN);
		break;
	}
}

/* In every state of the channel, rescinded too: Linux cannot bear a failure there. gpadl.md 5.2, control-plane.md 12.2 */
void vmbi_host_gpadl_header(struct vmb_host *h, const uint8_t *msg, uint32_t len)
{
	uint32_t id = vmbi_get32(msg + VMBI_AT(GPADL_HEADER, channel_id));
	struct vmbi_hc *c = vmbi_host_known(h, id);
	struct vmbi_gpadl_answer a;
	int what;

	if (!c || c->kept) { /* to a reserved channel nothing is added. control-plane.md 10.5 */
		h->fate = VMB_FATE_REFUSED;
		gpadl_created(h, id, vmbi_get32(msg + VMBI_AT(GPADL_HEADER, gpadl_id)), VMBI_FAILED);
		return;
	}
	what = vmbi_gpadls_header(h->store, c->slot, msg, len, c->max_gpadls, c->max_gpadl_pages, &a);
	gpadl_answer(h, what, &a, VMB_LIST_NONE);
}

void vmbi_host_gpadl_body(struct vmb_host *h, const uint8_t *msg, uint32_t len)
{
	struct vmbi_gpadl_answer a;

	gpadl_answer(h, vmbi_gpadls_body(h->store, msg, len, &a), &a, VMB_LIST_BUILDING);
}

/* ---- leaving */

/* The store has forgotten it, and so do we. */
static void gpadl_forgotten(struct vmb_host *h, uint32_t ref, uint32_t id, int answer)
{
	h->gpadl[ref] = (struct vmbi_host_gpadl){ 0, 0, 0, 0, 0, 0, 0 };
	if (answer)
		vmbi_hq_reply(h, VMBI_MSG_GPADL_TORNDOWN, id, 0, 0);
}

static void gpadl_ask(struct vmb_host *h, uint32_t ref)
{
	struct vmbi_host_gpadl *g = &h->gpadl[ref];

	if (!g->holds || g->asked)
		return;
	g->asked = 1;
	vmbi_he_gpadl(h, ref);
}

/* The guest wants it back: 1: it is forgotten. */
static int gpadl_leave(struct vmb_host *h, uint32_t slot, uint32_t ref)
{
	int gone = vmbi_gpadls_leave(h->store, ref);

	gpadl_trace(h, slot, ref, vmbi_gpadls_id(h->store, ref), VMB_LIST_ALIVE);
	return gone;
}

/* gpadl.md 5.4 */
void vmbi_host_gpadl_teardown(struct vmb_host *h, const uint8_t *msg)
{
	struct vmbi_hc *c = vmbi_host_known(h, vmbi_get32(msg + VMBI_AT(GPADL_TEARDOWN, channel_id)));
	uint32_t id = vmbi_get32(msg + VMBI_AT(GPADL_TEARDOWN, gpadl_id));
	uint32_t ref = c && !c->kept ? vmbi_gpadls_find(h->store, c->slot, id) : 0;

	if (!ref || vmbi_gpadls_is_leaving(h->store, ref)) {
		vmbi_host_drop(h, VMB_FATE_UNKNOWN);
		return;
	}
	if (gpadl_leave(h, c->slot, ref))
		gpadl_forgotten(h, ref, id, 1);
	else
		gpadl_ask(h, ref);
}

void vmbi_host_gpadl_unuse(struct vmb_host *h, uint32_t ref)
{
	uint32_t id = vmbi_gpadls_id(h->store, ref), quiet = h->gpadl[ref].quiet, slot;

	(void)vmbi_gpadls_look(h->store, ref, &slot);
	if (!vmbi_gpadls_unuse(h->store, ref))
		return;
	gpadl_trace(h, slot, ref, id, VMB_LIST_LEAVING);
	gpadl_forgotten(h, ref, id, !quiet);
}

void vmbi_host_gpadl_ask(struct vmb_host *h, const struct vmbi_hc *c)
{
	for (uint32_t ref = vmbi_gpadls_next(h->store, c->slot, 0); ref; ref = vmbi_gpadls_next(h->store, c->slot, ref))
		gpadl_ask(h, ref);
}

void vmbi_host_gpadl_purge(struct vmb_host *h, const struct vmbi_hc *c)
{
	uint32_t ref = h->cfg.trace ? vmbi_gpadls_building(h->store, c->slot, 0) : 0;

	for (; ref; ref = vmbi_gpadls_building(h->store, c->slot, ref))
		vmbi_host_trace_gpadl(h, c->slot, vmbi_gpadls_id(h->store, ref), VMB_LIST_BUILDING, VMB_LIST_NONE, 0, 0);
	vmbi_gpadls_purge(h->store, c->slot);
}

void vmbi_host_gpadl_drop(struct vmb_host *h, const struct vmbi_hc *c)
{
	vmbi_host_gpadl_purge(h, c);
	for (uint32_t ref = vmbi_gpadls_next(h->store, c->slot, 0); ref; ref = vmbi_gpadls_next(h->store, c->slot, ref)) {
		h->gpadl[ref].quiet = 1;
		if (vmbi_gpadls_is_leaving(h->store, ref))
			continue;
		if (gpadl_leave(h, c->slot, ref))
			gpadl_forgotten(h, ref, 0, 0);
		else
			gpadl_ask(h, ref);
	}
}

/* ---- what was saved. gpadl.md 9 */

void vmbi_host_gpadl_restored(struct vmb_host *h, struct vmbi_hc *c, int ask)
{
	for (uint32_t ref = vmbi_gpadls_each(h->store, c->slot, 0); ref; ref = vmbi_gpadls_each(h->store, c->slot, ref))
		gpadl_trace(h, c->slot, ref, vmbi_gpadls_id(h->store, ref), VMB_LIST_NONE);
	for (uint32_t ref = vmbi_gpadls_next(h->store, c->slot, 0); ref; ref = vmbi_gpadls_next(h->store, c->slot, ref)) {
		struct vmbi_host_gpadl *g = &h->gpadl[ref];
		uint32_t id = vmbi_gpadls_id(h->store, ref), quiet = g->quiet;

		g->slot = c->slot;
		if (g->holds) {
			g->restored = 1;
			c->holds++;
			vmbi_gpadls_use(h->store, ref);
		}
		if (!vmbi_gpadls_is_leaving(h->store, ref)) {
			if (ask)
				gpadl_ask(h, ref);
		} else if (vmbi_gpadls_leave(h->store, ref)) {
			gpadl_trace(h, c->slot, ref, id, VMB_LIST_LEAVING);
			gpadl_forgotten(h, ref, id, !quiet); /* whoever used it is gone */
		} else {
			gpadl_ask(h, ref);
		}
	}
}

/* ---- holds */

/* All holds of a list end. */
static void gpadl_let_go(struct vmb_host *h, struct vmbi_hc *c, uint32_t ref)
{
	struct vmbi_host_gpadl *g = &h->gpadl[ref];

	vmbi_he_gpadl_cancel(h, ref);
	g->holds = g->asked = g->restored = 0;
	g->token = 0;
	c->holds--;
	vmbi_host_gpadl_unuse(h, ref);
	vmbi_host_removed_step(h, c);
}

int vmbi_host_gpadl_answer(struct vmb_host *h, struct vmbi_hc *c, const struct vmb_event *question)
{
	uint32_t ref = (uint32_t)question->token;

	if (!ref || ref > h->gpadls || h->gpadl[ref].token != question->token || h->gpadl[ref].slot != c->slot)
		return VMB_ENOENT;
	gpadl_let_go(h, c, ref);
	return 0;
}

/* Begin a call about one list: 0 with its channel and reference, or the call's result. */
static int gpadl_enter(struct vmb_host *h, vmb_handle ch, uint32_t gpadl, struct vmbi_hc **c, uint32_t *ref)
{
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	*c = vmbi_host_find(h, ch);
	*ref = *c ? vmbi_gpadls_find(h->store, (*c)->slot, gpadl) : 0;
	if (*ref)
		return 0;
	vmbi_guard_leave(&h->guard);
	return *c ? VMB_ENOENT : VMB_EHANDLE;
}

static void gpadl_info(struct vmb_host *h, uint32_t ref, struct vmb_gpadl_info *info)
{
	VMBI_MEMSET(info, 0, sizeof *info);
	vmbi_gpadls_info(h->store, ref, info);
	info->held = h->gpadl[ref].holds;
}

int vmb_host_gpadl_info(struct vmb_host *h, vmb_handle ch, uint32_t gpadl, struct vmb_gpadl_info *out)
{
	struct vmb_gpadl_info info;
	struct vmbi_hc *c;
	uint32_t ref;
	int r = out ? gpadl_enter(h, ch, gpadl, &c, &ref) : VMB_EINVAL;

	if (r)
		return r;
	gpadl_info(h, ref, &info);
	r = vmbi_struct_out(out, &info, sizeof info, sizeof info);
	vmbi_guard_leave(&h->guard);
	return r;
}

/* Nothing that is on its way out may be held. */
static int gpadl_hold(struct vmb_host *h, struct vmbi_hc *c, uint32_t ref, uint64_t *words, uint32_t max, struct vmb_list *list)
{
	struct vmbi_host_gpadl *g = &h->gpadl[ref];
	struct vmb_gpadl_info info;

	if (c->removed || vmbi_gpadls_is_leaving(h->store, ref))
		return VMB_ENOENT;
	gpadl_info(h, ref, &info);
	list->count = info.words;
	list->ranges = info.ranges;
	list->words = NULL;
	if (max < info.words)
		return VMB_ETOOSMALL;
	if (g->holds == VMBI_HOST_HOLDS_MAX)
		return VMB_ENOSPACE;
	vmbi_gpadls_words(h->store, ref, 0, words, info.words);
	list->words = words;
	if (g->restored) { /* these are its own, from before */
		g->restored = 0;
		return 0;
	}
	if (!g->holds++) {
		vmbi_gpadls_use(h->store, ref);
		g->slot = c->slot;
		c->holds++;
	}
	return 0;
}

int vmb_host_gpadl_hold(struct vmb_host *h, vmb_handle ch, uint32_t gpadl, uint64_t *words, uint32_t max, struct vmb_list *list)
{
	struct vmbi_hc *c;
	uint32_t ref;
	int r = (!words && max) || !list ? VMB_EINVAL : gpadl_enter(h, ch, gpadl, &c, &ref);

	if (r)
		return r;
	r = gpadl_hold(h, c, ref, words, max, list);
	vmbi_host_leave(h);
	return r;
}

int vmb_host_gpadl_release(struct vmb_host *h, vmb_handle ch, uint32_t gpadl)
{
	struct vmbi_hc *c;
	uint32_t ref;
	int r = gpadl_enter(h, ch, gpadl, &c, &ref);

	if (r)
		return r;
	if (!h->gpadl[ref].holds)
		r = VMB_ENOENT;
	else if (h->gpadl[ref].holds > 1)
		h->gpadl[ref].holds--;
	else
		gpadl_let_go(h, c, ref);
	vmbi_host_leave(h);
	return r;
}
