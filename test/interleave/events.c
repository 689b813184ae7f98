/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Who is who, and events: each is judged by what vmbus.h says of it, who may get it now, and how often. See world.h.
 */
#include "world.h"

#include <string.h>

/* ---- who is who */

struct iv_driver *iv_driver_of(uint32_t device, uint32_t sub)
{
	struct iv_driver *found = NULL;

	for (uint32_t i = 0; i < iv.drivers; i++) {
		struct iv_driver *d = &iv.driver[i];

		if (d->device == device && d->sub == sub && !d->gone && !d->dead)
			found = d;
	}
	return found;
}

/* The one of ops: it can be used still. n: a device, or 8 and its subchannel. */
struct iv_driver *iv_driver_usable(uint32_t n)
{
	struct iv_driver *d = iv_driver_of(n & 7, n >> 3);

	return d && !d->rescinded && !d->released ? d : NULL;
}

static struct iv_driver *driver_by_handle(vmb_handle handle)
{
	for (uint32_t i = 0; i < iv.drivers; i++)
		if (iv.driver[i].handle == handle && !iv.driver[i].gone && !iv.driver[i].dead)
			return &iv.driver[i];
	iv_fail("an event of a channel that is gone");
	return &iv.driver[0];
}

uint32_t iv_driver_number(const struct iv_driver *d)
{
	return (uint32_t)(d - iv.driver);
}

uint32_t iv_line_of(uint32_t device, uint32_t sub)
{
	return 2 * device + sub;
}

struct iv_device *iv_device_live(uint32_t device, uint32_t sub)
{
	for (uint32_t i = 0; i < iv.devices; i++)
		if (iv.device[i].device == device && iv.device[i].sub == sub && !iv.device[i].removed)
			return &iv.device[i];
	return NULL;
}

void iv_device_poison(struct iv_device *d)
{
	memset(iv.host_channel[d - iv.device], IV_POISON, sizeof iv.host_channel[0]);
	d->channel = NULL;
}

/* ---- events of the host */

static void host_closed(struct iv_device *d)
{
	iv_must(d->closing, "the host's EV_CLOSED for nothing");
	d->closing = d->alive = d->woken = 0;
	iv_device_poison(d);
}

static void host_gone(struct iv_device *d)
{
	iv_must(!d->gone && d->removed && !d->alive && !d->asked && !d->held, "EV_GONE is not the last of all");
	d->gone = 1;
}

static void host_open(struct iv_device *d, const struct vmb_event *ev)
{
	iv_must(!d->alive && !d->asked && !d->gone, "EV_OPEN while a question is out");
	iv_judge_question(d, ev, IV_DUE_OPEN);
	d->was = d->was && ev->flags & VMB_EVF_RESTORED;
	d->asked = ev->token;
}

/* After a restore it comes to who is not attached any more, and maybe is on the rings still. */
static void host_close(struct iv_device *d, const struct vmb_event *ev)
{
	iv_must((d->attached || d->due & IV_DUE_CLOSE) && !d->close_asked, "EV_CLOSE of what is not open, or twice");
	iv_judge_question(d, ev, IV_DUE_CLOSE);
	d->close_asked = 1;
	d->close = ev->token;
}

void iv_host_event(const struct vmb_event *ev)
{
	struct iv_device *d = &iv.device[ev->user % IV_DEVICES];

	if (ev->ch)
		iv_must(d->handle == ev->ch, "an event for another one's handle");
	switch (ev->kind) {
	case VMB_EV_OPEN:
		host_open(d, ev);
		break;
	case VMB_EV_CLOSE:
		host_close(d, ev);
		break;
	case VMB_EV_CLOSED:
		host_closed(d);
		break;
	case VMB_EV_GONE:
		host_gone(d);
		break;
	case VMB_EV_GPADL_DOWN:
		iv_must(d->held && d->hold == ev->gpadl && !d->down, "EV_GPADL_DOWN of what is not held, or twice");
		iv_judge_question(d, ev, IV_DUE_DOWN);
		d->down = ev->token;
		break;
	case VMB_EV_CONNECTED:
		iv_must(!iv.host_connected, "EV_CONNECTED twice");
		iv_must(!(ev->flags & VMB_EVF_RESTORED) || iv.contact_again, "EV_CONNECTED again, and there was no connection");
		iv.host_connected = 1;
		iv.contact_again = 0;
		break;
	case VMB_EV_DISCONNECTED:
		iv_must(iv.host_connected, "EV_DISCONNECTED twice");
		iv.host_connected = 0;
		break;
	case VMB_EV_RESET:
		iv_must(iv.resetting, "EV_RESET for nothing");
		iv.resetting = 0;
		iv_take_back_all();
		break;
	default:
		iv_fail("an event that this host does not have");
	}
}

/* ---- events of the guest */

static void guest_connected(const struct vmb_event *ev)
{
	iv_must(iv.connecting, "EV_CONNECTED for nothing");
	iv_must(!ev->status || !iv_strict(), "contact failed");
	iv.connecting = 0;
	iv.connected = !ev->status;
	if (iv.rebooted && iv.connected) { /* whatever the old one had lent is back */
		iv_take_back_all();
		iv.rebooted = 0;
	}
}

static void guest_disconnected(const struct vmb_event *ev)
{
	iv_must(iv.leaving || (iv.connecting && !iv_strict()), "EV_DISCONNECTED for nothing");
	iv_must(!ev->status || !iv_strict(), "UNLOAD failed");
	iv.leaving = iv.connected = iv.offers_done = iv.pausing = iv.resumed = iv.swapping = 0;
	if (!ev->status)
		iv_take_back_all();
}

static void guest_offer(const struct vmb_event *ev)
{
	struct iv_driver *d = &iv.driver[iv.drivers];
	struct vmb_offer o = { .size = sizeof o };

	if (iv.drivers == IV_DRIVERS) {
		iv_fail("the bench has too few drivers");
		return;
	}
	iv_must(iv.connected && !vmb_guest_offer(iv.g, ev->ch, &o), "an offer that is none");
	iv_must(!iv_driver_usable(o.instance.byte[0] | o.subchannel << 3) || !iv_peer_is_sane(), "the same device twice");
	*d = (struct iv_driver){ .handle = ev->ch, .device = o.instance.byte[0], .sub = o.subchannel, .id = o.channel_id, .here = 1,
				 .epoch = iv.wire.id[o.channel_id % IV_IDS].epoch };
	iv.drivers++;
}

static void guest_opened(struct iv_driver *d, const struct vmb_event *ev)
{
	iv_must(d->opening && d->object, "EV_OPENED for nothing, or twice");
	iv_must(ev->status != VMB_ETIMEDOUT || !iv_strict(), "the answer to an OPEN is lost");
	iv_must(!d->rescinded, "EV_OPENED after EV_RESCINDED");
	iv_must(!d->reopened || !ev->status, "EV_OPENED says that what was open is not");
	d->opening = 0;
	d->open = !ev->status;
	d->failed = !!ev->status;
	if (!d->open || d->reopened) {
		d->reopened = 0;
		return;
	}
	iv_must(++iv.opens[iv_line_of(d->device, d->sub)] <= iv.attaches[iv_line_of(d->device, d->sub)], "open, and no device has said so");
}

static void guest_closed(struct iv_driver *d, const struct vmb_event *ev)
{
	iv_must(d->closing && !d->object, "EV_CLOSED for nothing, or twice");
	iv_must(!ev->status || !iv_strict(), "memory is leaked");
	d->closing = d->open = d->failed = d->woken = d->stopped = 0;
	if (!ev->status)
		iv_take_back(d->page, 2 * IV_RING);
	memset(iv.guest_channel[iv_driver_number(d)], IV_POISON, sizeof iv.guest_channel[0]);
	d->channel = NULL;
}

static void guest_list(struct iv_driver *d, const struct vmb_event *ev)
{
	iv_must(d->list_waits && d->list == ev->gpadl && !d->list_goes, "EV_GPADL for nothing, or twice");
	iv_must(ev->status != VMB_ETIMEDOUT || !iv_strict(), "the answer to a list is lost");
	d->list_waits = 0;
	d->list_there = !ev->status;
	if (!ev->status)
		return;
	if (ev->status != VMB_ELEAK)
		iv_take_back(d->list_page, IV_LIST_PAGES);
	iv_must(ev->status != VMB_ELEAK || !iv_strict(), "a list is leaked");
	d->list = 0;
}

static void guest_list_down(struct iv_driver *d, const struct vmb_event *ev)
{
	iv_must(d->list && d->list == ev->gpadl && (d->list_goes || d->released), "EV_GPADL_DOWN for nothing, or twice");
	iv_must(!ev->status || !iv_strict(), "a list is leaked");
	if (!ev->status)
		iv_take_back(d->list_page, IV_LIST_PAGES);
	d->list = d->list_waits = d->list_there = d->list_goes = 0;
}

static void guest_of_channel(const struct vmb_event *ev)
{
	struct iv_driver *d = driver_by_handle(ev->ch);

	switch (ev->kind) {
	case VMB_EV_OPENED:
		guest_opened(d, ev);
		break;
	case VMB_EV_RESCINDED:
		iv_must((!d->rescinded || d->again) && !d->released, "EV_RESCINDED twice, or after the release");
		d->again = 0;
		iv_must(!d->opening || !d->object, "EV_RESCINDED, and the opener waits still");
		d->rescinded = 1;
		break;
	case VMB_EV_CLOSED:
		guest_closed(d, ev);
		break;
	case VMB_EV_GONE:
		iv_must(d->released && !d->object && !d->closing && !d->list, "EV_GONE is not the last of all");
		d->gone = 1;
		break;
	case VMB_EV_TARGET:
		iv_must(d->target && !d->released, "EV_TARGET for nothing, or twice");
		d->target = 0;
		break;
	case VMB_EV_GPADL:
		iv_must(!d->released, "EV_GPADL after the release");
		guest_list(d, ev);
		break;
	default:
		guest_list_down(d, ev);
	}
}

void iv_guest_event(const struct vmb_event *ev)
{
	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		guest_connected(ev);
		break;
	case VMB_EV_DISCONNECTED:
		guest_disconnected(ev);
		break;
	case VMB_EV_OFFER:
		if (ev->flags & VMB_EVF_RESTORED)
			iv_guest_offer_again(driver_by_handle(ev->ch), ev);
		else
			guest_offer(ev);
		break;
	case VMB_EV_OFFERS_DONE:
		iv_must(iv.connected && !iv.offers_done, "EV_OFFERS_DONE for nothing, or twice");
		iv.offers_done = 1;
		break;
	case VMB_EV_PAUSED:
		iv_must(iv.pausing == 1, "EV_PAUSED for nothing, or twice");
		iv.pausing = iv.resumed ? 0 : 2;
		iv.resumed = 0;
		break;
	case VMB_EV_MONITOR:
		iv_must(iv.swapping, "EV_MONITOR for nothing, or twice");
		iv.swapping = 0;
		break;
	default:
		guest_of_channel(ev);
	}
}
