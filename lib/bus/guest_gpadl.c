/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Page lists of the guest: of rings, and those that packets name. A list lies in the end's arena only while it is being
 * announced. gpadl.md 7
 *
 * Each list ends with exactly one report: to the channel for a ring, else EV_GPADL with an error or EV_GPADL_DOWN. The report
 * says that the memory is free, or VMB_ELEAK. After a leak the entry stays for a late answer: a list that came to life after
 * all is torn down.
 */
#include "guest.h"

/* ---- entries */

static struct vmbi_gg *guest_gpadl_find(struct vmb_guest *g, uint32_t id)
{
	uint32_t k = g->gpadl_map[id & g->gpadl_mask];

	return k && g->gpadls[k].id == id ? &g->gpadls[k] : NULL;
}

/* The next id whose place in the map is free: unique over the connection, and not 0. */
static uint32_t guest_gpadl_id(struct vmb_guest *g)
{
	while (!g->next_gpadl || g->gpadl_map[g->next_gpadl & g->gpadl_mask])
		g->next_gpadl++;
	return g->next_gpadl++;
}

/* Move the lists in the arena together. They lie there in the order in which they came. */
static void guest_gpadl_pack(struct vmb_guest *g)
{
	uint32_t top = 0;

	for (uint32_t k = g->arena_order.head; k; k = g->arena_links[k].next) {
		struct vmbi_gg *d = &g->gpadls[k];

		if (d->first != top)
			for (uint32_t i = 0; i < d->words; i++)
				g->arena[top + i] = g->arena[d->first + i];
		d->first = top;
		top += d->words;
	}
	g->arena_top = top;
}

static void guest_gpadl_trace(struct vmb_guest *g, const struct vmbi_gg *d, uint32_t before, uint32_t now)
{
	if (g->cfg.trace)
		vmbi_guest_trace_gpadl(g, d, before, now);
}

/* What a change of state brings with it: a place in the arena while announcing, a wait for an answer, a message to send. */
static void guest_gpadl_become(struct vmb_guest *g, struct vmbi_gg *d, uint32_t state)
{
	uint32_t k = vmbi_gg_index(g, d), node = VMBI_GUEST_NODE_GPADL(g, k), before = d->state;

	if (d->state == VMBI_GG_ANNOUNCE) {
		vmbi_fifo_remove(&g->arena_order, g->arena_links, k);
		g->arena_used -= d->words;
	}
	vmbi_guest_unwait(g, node);
	d->flags &= ~VMBI_GG_MAYBE;
	d->state = state;
	guest_gpadl_trace(g, d, before, state);
	if (state == VMBI_GG_CREATE || state == VMBI_GG_TEARING)
		vmbi_guest_wait(g, node);
	else if (state == VMBI_GG_TEARDOWN)
		vmbi_guest_queue(g, node);
}

int vmbi_guest_gpadl_room(const struct vmb_guest *g, uint32_t words)
{
	return g->free_gpadl && words <= g->arena_words - g->arena_used;
}

struct vmbi_gg *vmbi_guest_gpadl_new(struct vmb_guest *g, struct vmbi_gc *c, uint32_t count, uint32_t ranges, uint32_t flags,
				     uint64_t **words)
{
	uint32_t k = g->free_gpadl;
	struct vmbi_gg *d = &g->gpadls[k];

	if (count > g->arena_words - g->arena_top)
		guest_gpadl_pack(g);
	g->free_gpadl = d->next;
	*d = (struct vmbi_gg){ .id = guest_gpadl_id(g), .channel = vmbi_gc_slot(g, c), .state = VMBI_GG_ANNOUNCE, .flags = flags,
			       .first = g->arena_top, .words = count, .ranges = ranges, .next = c->gpadls };
	g->gpadl_map[d->id & g->gpadl_mask] = k;
	if (c->gpadls)
		g->gpadls[c->gpadls].prev = k;
	c->gpadls = k;
	c->untold++;
	g->lists++;
	*words = g->arena + g->arena_top;
	g->arena_top += count;
	g->arena_used += count;
	vmbi_fifo_append(&g->arena_order, g->arena_links, k);
	vmbi_guest_queue(g, VMBI_GUEST_NODE_GPADL(g, k));
	guest_gpadl_trace(g, d, VMBI_GG_FREE, VMBI_GG_ANNOUNCE);
	return d;
}

static void guest_gpadl_free(struct vmb_guest *g, struct vmbi_gg *d)
{
	uint32_t k = vmbi_gg_index(g, d);
	struct vmbi_gc *c = &g->channels[d->channel];

	vmbi_guest_unwait(g, VMBI_GUEST_NODE_GPADL(g, k));
	if (d->prev)
		g->gpadls[d->prev].next = d->next;
	else
		c->gpadls = d->next;
	if (d->next)
		g->gpadls[d->next].prev = d->prev;
	if (c->ring == k)
		c->ring = 0;
	g->gpadl_map[d->id & g->gpadl_mask] = 0;
	g->lists--;
	guest_gpadl_trace(g, d, d->state, VMBI_GG_FREE);
	*d = (struct vmbi_gg){ .next = g->free_gpadl };
	g->free_gpadl = k;
}

/* ---- reports */

void vmbi_guest_gpadl_told(struct vmb_guest *g, struct vmbi_gg *d)
{
	d->flags |= VMBI_GG_TOLD;
	g->channels[d->channel].untold--;
	if (d->state == VMBI_GG_SETTLED)
		guest_gpadl_free(g, d);
}

/* The last report, once: 0, or VMB_ELEAK. Of a list that was not created it says 0 by the reason for that. */
static void guest_gpadl_report(struct vmb_guest *g, struct vmbi_gg *d, int32_t status)
{
	uint32_t node = VMBI_GUEST_NODE_GPADL(g, vmbi_gg_index(g, d));

	if (d->flags & VMBI_GG_FINAL) {
		if (d->flags & VMBI_GG_TOLD && d->state == VMBI_GG_SETTLED)
			guest_gpadl_free(g, d);
		return;
	}
	d->flags |= VMBI_GG_FINAL | VMBI_GG_CANCELLED;
	if (status == VMB_ELEAK)
		g->leaks++;
	if (d->flags & VMBI_GG_RING) {
		if (status == VMB_ELEAK)
			g->channels[d->channel].flags |= VMBI_GC_LEAK;
		vmbi_guest_gpadl_told(g, d);
	} else if (d->flags & VMBI_GG_ASKED) {
		d->status = status == VMB_ELEAK ? VMB_ELEAK : 0;
		vmbi_guest_mark(g, node, VMBI_GE_DOWN);
	} else {
		if (status == VMB_ELEAK)
			d->status = status;
		vmbi_guest_mark(g, node, VMBI_GE_GPADL);
	}
}

/* The host has nothing of it any more. */
static void guest_gpadl_settle(struct vmb_guest *g, struct vmbi_gg *d)
{
	guest_gpadl_become(g, d, VMBI_GG_SETTLED);
	guest_gpadl_report(g, d, 0);
}

void vmbi_guest_gpadl_leak(struct vmb_guest *g, struct vmbi_gg *d)
{
	guest_gpadl_report(g, d, VMB_ELEAK);
}

/* It will not be created, and why. Its memory may still be the host's. */
static void guest_gpadl_refused(struct vmb_guest *g, struct vmbi_gg *d, int32_t status, uint32_t said)
{
	struct vmbi_gc *c = &g->channels[d->channel];

	if (d->flags & VMBI_GG_CANCELLED)
		return;
	d->flags |= VMBI_GG_CANCELLED;
	d->status = status;
	d->said = said;
	if (d->flags & VMBI_GG_RING)
		vmbi_guest_ring_created(g, c, status, said);
}

static void guest_gpadl_step(struct vmb_guest *g, uint32_t channel)
{
	vmbi_guest_channel_step(g, &g->channels[channel]);
}

/* ---- messages out */

/* Is the message to be sent the last one of a list that is being announced? */
static int guest_gpadl_is_last(const struct vmbi_gg *d)
{
	return d->sent + 1 >= vmbi_gpadl_messages(d->words);
}

uint32_t vmbi_guest_gpadl_message(struct vmb_guest *g, struct vmbi_gg *d, uint8_t *out)
{
	uint32_t channel_id = g->channels[d->channel].id;

	if (d->state == VMBI_GG_ANNOUNCE)
		return vmbi_gpadl_message(out, d->sent, channel_id, d->id, g->arena + d->first, d->words, d->ranges);
	if (d->state != VMBI_GG_TEARDOWN)
		return 0;
	VMBI_MEMSET(out, 0, 16);
	vmbi_put32(out, VMBI_MSG_GPADL_TEARDOWN);
	vmbi_put32(out + VMBI_AT(GPADL_TEARDOWN, channel_id), channel_id);
	vmbi_put32(out + VMBI_AT(GPADL_TEARDOWN, gpadl_id), d->id);
	return 16;
}

/* Nobody can be told the rest. What the host has of it cannot be known: gpadl.md 7.8. */
static void guest_gpadl_burn(struct vmb_guest *g, struct vmbi_gg *d)
{
	uint32_t channel = d->channel;

	guest_gpadl_become(g, d, VMBI_GG_BURNT);
	guest_gpadl_refused(g, d, VMB_EPLATFORM, 0);
	vmbi_guest_gpadl_leak(g, d);
	guest_gpadl_step(g, channel);
}

void vmbi_guest_gpadl_posted(struct vmb_guest *g, struct vmbi_gg *d, int outcome)
{
	if (outcome == VMBI_GUEST_FAILED) {
		guest_gpadl_burn(g, d);
	} else if (outcome == VMBI_GUEST_MAYBE) {
		d->flags |= VMBI_GG_MAYBE | (d->state == VMBI_GG_ANNOUNCE ? VMBI_GG_UNSURE : 0);
	} else if (d->state == VMBI_GG_TEARDOWN) {
		guest_gpadl_become(g, d, VMBI_GG_TEARING);
	} else if (guest_gpadl_is_last(d)) {
		guest_gpadl_become(g, d, VMBI_GG_CREATE);
	} else {
		d->sent++;
		d->flags &= ~VMBI_GG_MAYBE;
		vmbi_guest_queue(g, VMBI_GUEST_NODE_GPADL(g, vmbi_gg_index(g, d))); /* lists may interleave. gpadl.md 4 */
	}
}

void vmbi_guest_gpadl_down(struct vmb_guest *g, struct vmbi_gg *d)
{
	d->flags |= VMBI_GG_CANCELLED;
	if (d->state == VMBI_GG_ANNOUNCE && !d->sent && !(d->flags & VMBI_GG_MAYBE))
		guest_gpadl_settle(g, d); /* the host has not heard of it */
	else if (d->state == VMBI_GG_ALIVE && g->channels[d->channel].flags & VMBI_GC_RESCINDED)
		guest_gpadl_settle(g, d); /* it was off the memory before it said RESCIND. gpadl.md 7.7 */
	else if (d->state == VMBI_GG_ALIVE)
		guest_gpadl_become(g, d, VMBI_GG_TEARDOWN);
	else if (d->state == VMBI_GG_BURNT && !(d->flags & VMBI_GG_FINAL) && g->channels[d->channel].flags & VMBI_GC_UNPROVEN)
		vmbi_guest_gpadl_leak(g, d);
	else if (d->state == VMBI_GG_BURNT && !(d->flags & VMBI_GG_FINAL))
		guest_gpadl_settle(g, d); /* a contact since has ended all */
}

/* ---- messages in */

int vmbi_guest_on_created(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gg *d = guest_gpadl_find(g, vmbi_get32(msg + VMBI_AT(GPADL_CREATED, gpadl_id)));
	uint32_t status = vmbi_get32(msg + VMBI_AT(GPADL_CREATED, status));
	struct vmbi_gc *c;
	uint32_t channel;
	int whole, late;

	if (!d)
		return 0;
	channel = d->channel;
	c = &g->channels[channel];
	late = !!(d->flags & VMBI_GG_FINAL);
	/* The host may refuse a list as soon as it has seen a part of it. It has created it too early if a message arrived
	 * twice. */
	whole = d->state == VMBI_GG_CREATE || (d->flags & VMBI_GG_MAYBE && guest_gpadl_is_last(d));
	if (c->id != vmbi_get32(msg + VMBI_AT(GPADL_CREATED, channel_id)) ||
	    !(d->state == VMBI_GG_CREATE ||
	      (d->state == VMBI_GG_ANNOUNCE && (d->flags & VMBI_GG_UNSURE || (status && d->sent)))))
		return 0;
	if (!status && !whole) /* the wrong pages, in part */
		guest_gpadl_refused(g, d, VMB_EPLATFORM, VMB_HV_TIMEOUT);
	if (status) {
		guest_gpadl_refused(g, d, VMB_EREFUSED, status);
		if (d->flags & VMBI_GG_UNSURE) { /* it may be the second of two answers to one header: gpadl.md 5.2 */
			guest_gpadl_become(g, d, VMBI_GG_CREATE);
			vmbi_guest_gpadl_leak(g, d);
		} else {
			guest_gpadl_settle(g, d);
		}
	} else if (d->flags & VMBI_GG_CANCELLED) {
		guest_gpadl_become(g, d, VMBI_GG_TEARDOWN); /* gpadl.md 7.11 */
	} else {
		guest_gpadl_become(g, d, VMBI_GG_ALIVE);
		if (d->flags & VMBI_GG_RING)
			vmbi_guest_ring_created(g, c, 0, 0);
		else if (!(d->flags & VMBI_GG_ASKED)) /* else the channel was released meanwhile */
			vmbi_guest_mark(g, VMBI_GUEST_NODE_GPADL(g, vmbi_gg_index(g, d)), VMBI_GE_GPADL);
	}
	guest_gpadl_step(g, channel);
	return !late;
}

int vmbi_guest_on_torndown(struct vmb_guest *g, const uint8_t *msg)
{
	struct vmbi_gg *d = guest_gpadl_find(g, vmbi_get32(msg + VMBI_AT(GPADL_TORNDOWN, gpadl_id)));
	uint32_t channel;
	int late;

	if (!d || !(d->state == VMBI_GG_TEARING || (d->state == VMBI_GG_TEARDOWN && d->flags & VMBI_GG_MAYBE)))
		return 0;
	channel = d->channel;
	late = !!(d->flags & VMBI_GG_FINAL);
	guest_gpadl_settle(g, d);
	guest_gpadl_step(g, channel);
	return !late;
}

void vmbi_guest_gpadl_timeout(struct vmb_guest *g, struct vmbi_gg *d)
{
	uint32_t channel = d->channel;

	if (d->state == VMBI_GG_CREATE)
		guest_gpadl_refused(g, d, VMB_ETIMEDOUT, 0);
	vmbi_guest_gpadl_leak(g, d);
	guest_gpadl_step(g, channel);
}

/* ---- what happens to the channel */

void vmbi_guest_gpadls_rescinded(struct vmb_guest *g, struct vmbi_gc *c)
{
	for (uint32_t k = c->gpadls, next; k; k = next) {
		struct vmbi_gg *d = &g->gpadls[k];
		int maybe = !!(d->flags & VMBI_GG_MAYBE);

		next = d->next;
		if (d->state == VMBI_GG_ANNOUNCE || d->state == VMBI_GG_CREATE)
			guest_gpadl_refused(g, d, VMB_ERESCINDED, 0);
		/* A part of a list is never answered; a whole one is, even now (control-plane.md 12.2), and so is a TEARDOWN. */
		if (d->state == VMBI_GG_ANNOUNCE && !(maybe && guest_gpadl_is_last(d)))
			guest_gpadl_settle(g, d);
		else if (d->state == VMBI_GG_TEARDOWN && !maybe)
			guest_gpadl_settle(g, d);
	}
}

void vmbi_guest_gpadls_kept(struct vmb_guest *g, struct vmbi_gc *c, int alive)
{
	for (uint32_t k = c->gpadls, next; k; k = next) {
		struct vmbi_gg *d = &g->gpadls[k];
		int known;

		next = d->next;
		if ((alive && d->state == VMBI_GG_ALIVE) || d->state == VMBI_GG_SETTLED || d->state == VMBI_GG_BURNT)
			continue;
		known = d->state == VMBI_GG_ALIVE && !(d->flags & (VMBI_GG_RING | VMBI_GG_ASKED));
		guest_gpadl_become(g, d, VMBI_GG_BURNT);
		if (known) /* its owner thinks that it lives, and hears when it asks for it */
			continue;
		guest_gpadl_refused(g, d, VMB_ERESCINDED, 0);
		vmbi_guest_gpadl_leak(g, d);
	}
}

int vmbi_guest_gpadls_leaked(const struct vmb_guest *g, const struct vmbi_gc *c)
{
	for (uint32_t k = c->gpadls; k; k = g->gpadls[k].next)
		if (g->gpadls[k].flags & VMBI_GG_FINAL && g->gpadls[k].state != VMBI_GG_SETTLED)
			return 1;
	return 0;
}

void vmbi_guest_gpadls_released(struct vmb_guest *g, struct vmbi_gc *c)
{
	for (uint32_t k = c->gpadls; k; k = g->gpadls[k].next) {
		struct vmbi_gg *d = &g->gpadls[k];
		uint32_t node = VMBI_GUEST_NODE_GPADL(g, k);
		int failed = d->flags & VMBI_GG_FINAL && g->marks[node] & VMBI_GE_GPADL; /* and that is not told yet */

		if (d->flags & (VMBI_GG_RING | VMBI_GG_TOLD))
			continue;
		d->flags |= VMBI_GG_ASKED;
		vmbi_guest_unmark(g, node, VMBI_GE_GPADL);
		if (failed) {
			d->status = d->status == VMB_ELEAK ? VMB_ELEAK : 0;
			vmbi_guest_mark(g, node, VMBI_GE_DOWN);
		}
	}
}

void vmbi_guest_gpadls_down(struct vmb_guest *g, struct vmbi_gc *c)
{
	if (c->flags & VMBI_GC_LISTS_DOWN)
		return;
	c->flags |= VMBI_GC_LISTS_DOWN;
	for (uint32_t k = c->gpadls; k; k = g->gpadls[k].next)
		if (!(g->gpadls[k].flags & (VMBI_GG_RING | VMBI_GG_FINAL)))
			vmbi_guest_gpadl_down(g, &g->gpadls[k]);
}

void vmbi_guest_gpadls_forget(struct vmb_guest *g, struct vmbi_gc *c)
{
	while (c->gpadls)
		guest_gpadl_free(g, &g->gpadls[c->gpadls]);
}

/* ---- the embedder's lists */

static int guest_gpadl_create(struct vmb_guest *g, vmb_handle ch, const struct vmb_list *list, uint32_t *gpadl)
{
	struct vmbi_gc *c = vmbi_guest_find(g, ch);
	struct vmb_list checked;
	struct vmbi_gg *d;
	uint64_t *words;
	int r;

	if (!list || !list->words || !gpadl)
		return VMB_EINVAL;
	if (!c)
		return VMB_EHANDLE;
	if (c->flags & (VMBI_GC_RELEASED | VMBI_GC_ABANDONED | VMBI_GC_KEPT | VMBI_GC_LOST))
		return VMB_ESTATE;
	if (list->count > VMBI_GPADL_WORDS_MAX)
		return VMB_ETOOBIG;
	r = vmb_list_check(list->words, list->count, list->ranges, &checked, NULL);
	if (r < 0)
		return r;
	if (!vmbi_guest_gpadl_room(g, checked.count))
		return VMB_ENOSPACE;
	d = vmbi_guest_gpadl_new(g, c, checked.count, checked.ranges, 0, &words);
	VMBI_MEMCPY(words, checked.words, checked.count * sizeof *words);
	*gpadl = d->id;
	return 0;
}

int vmb_guest_gpadl_create(struct vmb_guest *g, vmb_handle ch, const struct vmb_list *list, uint32_t *gpadl)
{
	int r = vmbi_guest_enter(g);

	return r < 0 ? r : vmbi_guest_leave(g, guest_gpadl_create(g, ch, list, gpadl));
}

int vmb_guest_gpadl_destroy(struct vmb_guest *g, uint32_t gpadl)
{
	struct vmbi_gg *d;
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	d = guest_gpadl_find(g, gpadl);
	if (!d || d->flags & (VMBI_GG_RING | VMBI_GG_FINAL | VMBI_GG_ASKED))
		return vmbi_guest_leave(g, VMB_ENOENT);
	d->flags |= VMBI_GG_ASKED;
	vmbi_guest_unmark(g, VMBI_GUEST_NODE_GPADL(g, vmbi_gg_index(g, d)), VMBI_GE_GPADL);
	vmbi_guest_gpadl_down(g, d);
	return vmbi_guest_leave(g, 0);
}
