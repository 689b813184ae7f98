/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * One end is saved, thrown away with all that it had mapped and all objects of its channels, and restored in fresh memory. What its embedder does
 * then is as vmbus.h has it: the host's offers its devices again, and each of them hears again what it was asked; the guest's drivers hear of
 * their channels, and open again with the same rings what was open. control-plane.md 14, 18, doc/SAVED.md
 */
#include "world.h"
#include "lib/bus/guest.h"
#include "lib/bus/host.h"

#include <string.h>

enum { BLOB = 16384 };

static uint8_t blob[BLOB], second[BLOB], before[sizeof iv.host_mem];

/* ---- the host */

static int host_is_left(const struct vmbi_hc *c)
{
	return vmbi_hc_is_served(c) && (c->state == VMBI_HC_UNOFFERED || c->state == VMBI_HC_REVOKED);
}

/* What will its device be asked again? */
static uint8_t host_due(const struct iv_device *d)
{
	const struct vmbi_hc *c = vmbi_host_find(iv.h, d->handle);
	uint8_t due = 0;

	if (!c)
		return 0;
	if (c->state == VMBI_HC_OPENING || (c->state == VMBI_HC_OPEN && !c->poisoned))
		due |= IV_DUE_OPEN;
	if (c->state == VMBI_HC_CLOSING || c->state == VMBI_HC_REOPEN || host_is_left(c))
		due |= IV_DUE_CLOSE;
	for (uint32_t ref = 1; ref <= iv.h->gpadls; ref++) /* those that leave have no name any more */
		if (iv.h->gpadl[ref].holds && iv.h->gpadl[ref].slot == c->slot && iv.h->gpadl[ref].asked)
			due |= IV_DUE_DOWN;
	return due;
}

/* The device is there again, with what it had of the guest's memory, but without the channel. */
static void host_device_stays(struct iv_device *d)
{
	const struct vmbi_hc *c = vmbi_host_find(iv.h, d->handle);

	d->due = host_due(d);
	d->was = c && c->state == VMBI_HC_OPEN && d->attached;
	d->elsewhere = d->due & IV_DUE_CLOSE && d->attached;
	for (uint32_t i = 0; d->elsewhere && i < 2 * IV_RING; i++)
		iv.held[d->ring + i]++;
	d->untaken = d->held;
}

/* It had been removed, and is not offered again: whatever it had is gone with it; but one of the same name stands for it. */
static void host_device_goes(struct iv_device *d)
{
	struct iv_device *heir = iv_device_live(d->device, d->sub);

	if (heir)
		heir->due |= (uint8_t)(host_due(d) & ~(uint32_t)IV_DUE_OPEN);
	if (heir && d->held && !heir->held) {
		heir->holds = heir->held = heir->untaken = 1;
		heir->hold = d->hold;
		heir->hold_page = d->hold_page;
	} else if (d->held) {
		for (uint32_t i = 0; i < IV_LIST_PAGES; i++)
			iv.held[d->hold_page + i]--;
	}
	d->held = 0;
	d->gone = 1;
}

static void host_device_forget(struct iv_device *d)
{
	d->asked = d->down = d->close = 0;
	d->attached = d->close_asked = d->closing = d->woken = d->stopped = d->alive = 0;
	iv_device_poison(d);
}

/* Nothing can be sent, and nobody is to be rescinded: then what was read is what would be written. */
static int host_is_still(void)
{
	for (uint32_t i = 0; i < iv.devices; i++)
		if (iv.device[i].removed && !iv.device[i].gone)
			return 0;
	return iv.slot.len != 0;
}

static void host_again(size_t bytes, int still)
{
	size_t same = 0;

	iv_must(!vmb_host_restore(iv.h, blob, bytes), "the host's end cannot be restored");
	if (iv_bad || !still)
		return;
	iv_must(!vmb_host_save(iv.h, 1, second, BLOB, &same) && same == bytes && !memcmp(blob, second, bytes),
		"the host's end is not what was saved");
}

int iv_save_host(void)
{
	size_t bytes = 0;
	int still = host_is_still();

	memcpy(before, iv.host_mem, sizeof iv.host_mem);
	iv_must(!vmb_host_save(iv.h, 1, blob, BLOB, &bytes), "the host's end cannot be saved");
	iv_must(!memcmp(before, iv.host_mem, sizeof iv.host_mem), "a save has changed the host's end");
	if (iv_bad)
		return 1;
	iv.saved = iv.fresh = iv.host_poke = 1;
	iv.contact_again = iv.h->state == VMB_BUS_CONNECTED || iv.h->state == VMB_BUS_RUNNING;
	iv.host_connected = iv.host_full = 0;
	iv.signals = 0; /* on their way to nobody */
	memset(iv.mapped, 0, sizeof iv.mapped);
	iv_protect();
	for (uint32_t i = 0; i < iv.devices; i++)
		if (!iv.device[i].removed)
			host_device_stays(&iv.device[i]);
	for (uint32_t i = 0; i < iv.devices; i++)
		if (iv.device[i].removed && !iv.device[i].gone)
			host_device_goes(&iv.device[i]);
	iv_host_init(IV_POISON);
	for (uint32_t i = 0; i < iv.devices; i++) {
		host_device_forget(&iv.device[i]);
		if (!iv.device[i].removed)
			iv_offer(&iv.device[i]);
	}
	host_again(bytes, still);
	return 1;
}

void iv_judge_question(struct iv_device *d, const struct vmb_event *ev, uint8_t due)
{
	int again = (ev->flags & VMB_EVF_RESTORED) != 0;

	/* Who has not taken its hold of before is asked for that one. */
	iv_must(!again || d->due & due || due == IV_DUE_DOWN, "a question is asked again that was not asked before");
	iv_must(again || !iv.fresh || !(d->due & due), "a question is asked again, and does not say so");
	d->due &= (uint8_t)~due;
}

void iv_judge_host_told(void)
{
	if (!iv.fresh)
		return;
	iv.fresh = 0;
	iv_must(!iv.contact_again, "EV_CONNECTED does not come again");
	for (uint32_t i = 0; i < iv.devices; i++)
		iv_must(iv.device[i].gone || !iv.device[i].due, "a device is not asked again");
}

/* ---- the guest */

/* It keeps what it knows, and the requests that are in flight. */
static void guest_driver_stays(struct iv_driver *d)
{
	uint32_t cursor = 0;

	d->untold = !d->released;
	if (!d->object)
		return;
	if (!d->away)
		d->kept = vmb_channel_outstanding(d->channel, &cursor, &d->kept_id, &d->kept_user, NULL) == VMB_YES;
	iv_must(d->kept == d->asking - d->answered || d->away, "a request in flight is not known");
	d->away = IV_AWAY;
	d->stopped = 1;
	d->woken = 0;
	d->channel = NULL;
	memset(iv.guest_channel[iv_driver_number(d)], IV_POISON, sizeof iv.guest_channel[0]);
}

static int guest_may_refuse(void)
{
	return iv.swapping || iv.faulted == IV_POST_LOST || iv.faulted == IV_POST_TWICE || iv.faulted == IV_POST_TWICE_2;
}

int iv_save_guest(void)
{
	size_t bytes = 0, same = 0;
	uint32_t posted = iv.queued;
	int r;

	memcpy(before, iv.guest_mem, sizeof iv.guest_mem);
	r = vmb_guest_save(iv.g, 0, blob, BLOB, &bytes);
	iv_must(!r || (r == VMB_ESTATE && guest_may_refuse()), "the guest's end cannot be saved");
	iv_must(!memcmp(before, iv.guest_mem, sizeof iv.guest_mem), "a save has changed the guest's end");
	if (r || iv_bad)
		return 0;
	iv.saved = 1;
	for (uint32_t i = 0; i < iv.drivers; i++)
		if (!iv.driver[i].dead && !iv.driver[i].gone)
			guest_driver_stays(&iv.driver[i]);
	iv_guest_init(IV_POISON);
	iv_must(!vmb_guest_restore(iv.g, blob, bytes, 0), "the guest's end cannot be restored");
	iv.guest_poke = 1;
	if (iv_bad || iv.queued != posted) /* what had found no room is sent at once */
		return 1;
	iv_must(!vmb_guest_save(iv.g, 0, second, BLOB, &same) && same == bytes && !memcmp(blob, second, bytes),
		"the guest's end is not what was saved");
	return 1;
}

void iv_guest_offer_again(struct iv_driver *d, const struct vmb_event *ev)
{
	struct vmb_offer o = { .size = sizeof o };

	iv_must(d->untold, "EV_OFFER again, and it was not due");
	d->untold = 0;
	iv_must(!vmb_guest_offer(iv.g, ev->ch, &o) && o.instance.byte[0] == d->device && o.subchannel == d->sub && o.channel_id == d->id,
		"an offer is not what it was");
	d->again = d->rescinded;
	if (ev->flags & VMB_EVF_OPEN)
		iv_must(d->away == IV_AWAY && !d->failed && !d->rescinded, "it is said to be open, and it is not");
	if (d->away)
		d->away = ev->flags & VMB_EVF_OPEN ? IV_AWAY_OPEN : IV_AWAY_SHUT;
}

void iv_judge_guest_told(void)
{
	for (uint32_t i = 0; i < iv.drivers; i++) {
		const struct iv_driver *d = &iv.driver[i];

		if (d->dead || d->gone)
			continue;
		iv_must(!d->untold, "EV_OFFER does not come again");
		iv_must(!d->again, "EV_RESCINDED does not come again");
		iv_must(d->away != IV_AWAY_SHUT || d->failed || d->rescinded, "what was open is not, and nobody says why");
	}
}
