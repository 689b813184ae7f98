/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What drivers and devices do of their own accord, each when it comes to it. See world.h. */
#include "world.h"
#include "lib/bus/guest.h"

#include <string.h>

/* ---- scripts: the guest */

/* May it still come? */
static int wait_for(uint32_t n)
{
	struct iv_device *device = iv_device_live(n & 7, n >> 3);

	if (iv.leaving || (!iv.connected && !iv.connecting))
		return -1;
	if (!iv_strict() && iv.guest_deadline == UINT64_MAX && !iv.queued && !iv.slot.len)
		return -1; /* what it waits for may be lost with what was lost */
	return device && !device->removed ? 0 : -1;
}

static int ready_of_driver(uint32_t op, const struct iv_driver *d)
{
	switch (op) {
	case IV_CLOSE:
		return d->opening ? 0 : d->object ? 1 : -1;
	case IV_CLOSE_NOW:
		return d->object ? 1 : -1;
	case IV_RELEASE:
		return 1;
	case IV_SEND:
		return d->opening || d->away ? 0 : d->open && d->object && !d->failed ? 1 : -1;
	case IV_ANSWERED:
		return !d->open || !d->object ? -1 : d->answered == d->asking;
	case IV_TARGET:
		return d->opening ? 0 : d->open && d->object && !d->target ? 1 : -1;
	case IV_LIST:
		return d->list ? -1 : 1;
	case IV_UNLIST:
		return d->list_goes ? -1 : d->list_waits ? 0 : d->list_there ? 1 : -1;
	case IV_UNLIST_NOW:
		return !d->list_goes && d->list ? 1 : -1;
	default: /* IV_OPEN, IV_RESERVED */
		return d->closing ? 0 : d->object ? -1 : 1;
	}
}

static int ready_of_connection(uint32_t op)
{
	switch (op) {
	case IV_DISCONNECT:
		return iv.connected && !iv.leaving ? 1 : iv.connecting ? 0 : -1;
	case IV_CONNECT:
		return iv.leaving || iv.resetting ? 0 : iv.connected || iv.connecting ? -1 : 1;
	case IV_REBOOT:
		return iv.connecting ? 0 : iv.connected || iv.leaving ? 1 : -1;
	case IV_PAUSE:
		return iv.connected && !iv.leaving && !iv.pausing ? 1 : iv.connecting ? 0 : -1;
	case IV_RESUME:
		return iv.pausing && !iv.leaving && !iv.resumed ? 1 : -1;
	default: /* IV_PAGES_OFF */
		return iv.connected && !iv.leaving && !iv.swapping ? 1 : iv.connecting ? 0 : -1;
	}
}

static int ready_join(const struct iv_op *op)
{
	for (uint32_t i = 0; i < IV_SCRIPTS; i++) {
		const struct iv_op *at = &iv_scenario->script[i][iv.at[i]];

		if (at != op && at->op != IV_END && at->op != IV_JOIN)
			return 0;
	}
	return 1;
}

int iv_op_ready(const struct iv_op *op)
{
	struct iv_driver *d;
	struct iv_device *device;

	switch (op->op) {
	case IV_JOIN:
		return ready_join(op);
	case IV_DISCONNECT:
	case IV_CONNECT:
	case IV_REBOOT:
	case IV_PAUSE:
	case IV_RESUME:
	case IV_PAGES_OFF:
		return ready_of_connection(op->op);
	case IV_OFFER:
		return iv_device_live(op->n, 0) ? 0 : 1;
	case IV_SUB:
		device = iv_device_live(op->n, 0);
		return device && !iv_device_live(op->n, 1) ? 1 : -1;
	case IV_REMOVE:
		return iv_device_live(op->n, 0) ? 1 : -1;
	case IV_REMOVE_SUB:
		return iv_device_live(op->n, 1) ? 1 : -1;
	case IV_RESET:
		return 1;
	case IV_OPEN:
	case IV_LIST:
	case IV_RESERVED:
		d = iv_driver_usable(op->n);
		return d ? ready_of_driver(op->op, d) : wait_for(op->n);
	default:
		d = iv_driver_usable(op->n);
		return d ? ready_of_driver(op->op, d) : -1;
	}
}

static void do_open(struct iv_driver *d, uint32_t flags)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 1 };
	struct vmb_open open = { .size = sizeof open, .flags = flags, .tx_pages = IV_RING, .rx_pages = IV_RING, .user = iv_driver_number(d) };
	int r;

	d->page = iv_lend(2 * IV_RING);
	open.ring_gpa = (uint64_t)d->page * VMB_PAGE;
	open.ring = iv_guest_page(d->page);
	if (flags & VMB_OPEN_RESERVED)
		memset(iv.lent + d->page, IV_LENT_FOR_GOOD, 2 * IV_RING);
	d->reserved = flags == VMB_OPEN_RESERVED;
	d->object = d->opening = 1;
	d->asking = d->answered = d->stopped = 0;
	r = vmb_guest_open(iv.g, d->handle, iv.guest_channel[iv_driver_number(d)], sizeof iv.guest_channel[0], &cfg, &open, &d->channel);
	if (!r)
		return;
	/* After a leak the OPEN of before may still be out: then it has to wait. */
	iv_must(r == VMB_ESTATE && (!iv_strict() || iv.g->channels[vmbi_handle_slot(d->handle)].flags & VMBI_GC_ABANDONED), "open was refused");
	d->object = d->opening = 0;
	iv_take_back(d->page, 2 * IV_RING);
}

/* The same rings, in a new object, after the guest's end was restored. */
void iv_driver_open_again(struct iv_driver *d)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 1 };
	struct vmb_open open = { .size = sizeof open, .flags = d->reserved ? VMB_OPEN_RESERVED : 0, .tx_pages = IV_RING, .rx_pages = IV_RING,
				 .user = iv_driver_number(d), .ring_gpa = (uint64_t)d->page * VMB_PAGE, .ring = iv_guest_page(d->page) };
	int r;

	d->away = d->stopped = d->woken = 0;
	r = vmb_guest_open(iv.g, d->handle, iv.guest_channel[iv_driver_number(d)], sizeof iv.guest_channel[0], &cfg, &open, &d->channel);
	if (r) {
		iv_must(r == VMB_ESTATE, "what was open cannot be opened again"); /* rescinded, or failed, and that is not told yet */
		d->away = IV_AWAY_SHUT;
		d->stopped = 1;
		return;
	}
	d->reopened = !d->opening; /* else it waits still for the first EV_OPENED */
	d->opening = 1;
	iv_must(!d->kept || !vmb_channel_adopt(d->channel, d->kept_id, d->kept_user), "a request cannot be taken over");
	d->kept = 0;
}

static void do_send(struct iv_driver *d)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .payload = "question", .len = 8, .user = 1 };
	int r = vmb_channel_send(d->channel, &p);

	iv_must(!r || r == VMB_ESTOPPED, "send was refused");
	d->asking = (uint8_t)(d->asking + !r);
}

static void do_list(struct iv_driver *d)
{
	uint64_t words[IV_LIST_WORDS] = { VMB_RANGE((IV_LIST_WORDS - 1) * VMB_PAGE, 0) };
	struct vmb_list list = { words, IV_LIST_WORDS, 1 };
	int r;

	d->list_page = iv_lend(IV_LIST_PAGES);
	for (uint32_t i = 1; i < IV_LIST_WORDS; i++)
		words[i] = d->list_page + i % IV_LIST_PAGES;
	words[1] = d->list_page;
	words[2] = d->list_page + 1;
	r = vmb_guest_gpadl_create(iv.g, d->handle, &list, &d->list);
	if (!r) {
		d->list_waits = 1;
		return;
	}
	iv_must(r == VMB_ESTATE, "a list was refused"); /* rescinded, and not told yet */
	d->list = 0;
	iv_take_back(d->list_page, IV_LIST_PAGES);
}

static void do_unlist(struct iv_driver *d)
{
	int r = vmb_guest_gpadl_destroy(iv.g, d->list);

	/* That it has come to nothing is about to be told. */
	iv_must(!r || (r == VMB_ENOENT && d->list_waits), "a list cannot be taken down");
	d->list_goes = !r;
}

void iv_driver_release(struct iv_driver *d)
{
	d->released = 1;
	d->untold = d->away = d->reopened = d->again = 0;
	if (iv.wire.id[d->id].epoch == d->epoch)
		iv.wire.id[d->id].may_release = d->epoch;
	if (d->object) {
		d->object = d->opening = 0;
		d->closing = 1;
	}
	d->target = 0;
	iv_must(!vmb_guest_release(iv.g, d->handle), "release was refused");
}

void iv_driver_close(struct iv_driver *d)
{
	d->object = d->opening = d->target = d->away = d->reopened = 0;
	d->closing = 1;
	iv_must(!vmb_guest_close(iv.g, d->handle), "close was refused");
}

static void do_target(struct iv_driver *d)
{
	int r;

	d->target = 1;
	r = vmb_guest_target(iv.g, d->handle, 1);
	iv_must(!r || r == VMB_ESTATE, "target was refused");
	d->target = !r;
}

static void do_for_driver(uint32_t op, struct iv_driver *d)
{
	switch (op) {
	case IV_OPEN:
		do_open(d, 0);
		break;
	case IV_RESERVED:
		do_open(d, VMB_OPEN_RESERVED);
		break;
	case IV_CLOSE:
	case IV_CLOSE_NOW:
		iv_driver_close(d);
		break;
	case IV_RELEASE:
		iv_driver_release(d);
		break;
	case IV_SEND:
		do_send(d);
		break;
	case IV_TARGET:
		do_target(d);
		break;
	case IV_LIST:
		do_list(d);
		break;
	case IV_UNLIST:
	case IV_UNLIST_NOW:
		do_unlist(d);
		break;
	}
}

static void do_disconnect(void)
{
	iv.leaving = 1;
	iv_must(!vmb_guest_disconnect(iv.g), "disconnect was refused");
}

static void do_connect(void)
{
	iv.connecting = 1;
	iv.offers_done = 0;
	iv_must(!vmb_guest_connect(iv.g), "connect was refused");
}

/* Another system in the same machine: of the old one nothing is left but what it has lent, and what it has said. */
static void do_reboot(void)
{
	for (uint32_t i = 0; i < iv.drivers; i++)
		iv.driver[i].dead = 1;
	iv.connected = iv.leaving = iv.pausing = iv.resumed = iv.swapping = 0;
	iv.interrupts = 0;
	iv_wire_reboot();
	iv_guest_init(0);
}

/* Everything at once: nothing of what was said is heard. */
void iv_reset(void)
{
	do_reboot();
	iv.connecting = 0;
	iv.resetting = 1;
	iv.signals = 0;
	iv.queued = 0;
	memset(iv.to_host, 0, sizeof iv.to_host);
	memset(&iv.slot, 0, sizeof iv.slot);
	memset(&iv.wire, 0, sizeof iv.wire);
	iv_must(!vmb_host_reset(iv.h), "reset was refused");
	iv_must(!vmb_host_eom(iv.h, 0), "EOM was refused");
}

static void do_for_connection(uint32_t op)
{
	uint64_t none[2] = { 0, 0 };
	void *no[2] = { NULL, NULL };
	int r = 0;

	switch (op) {
	case IV_DISCONNECT:
		do_disconnect();
		break;
	case IV_CONNECT:
		do_connect();
		break;
	case IV_REBOOT:
		do_reboot();
		iv.rebooted = 1;
		do_connect();
		break;
	case IV_PAUSE:
		iv.pausing = 1;
		r = vmb_guest_pause(iv.g);
		iv.pausing = !r;
		break;
	case IV_RESUME:
		r = vmb_guest_resume(iv.g);
		iv.resumed = iv.pausing == 1; /* then its event is still to come */
		iv.pausing = iv.resumed;
		break;
	case IV_PAGES_OFF:
		iv.swapping = 1;
		r = vmb_guest_monitor(iv.g, none, no);
		iv.swapping = !r;
		break;
	}
	iv_must(!r || r == VMB_ESTATE, "a request was refused");
}

/* ---- scripts: the host */

void iv_offer(struct iv_device *d)
{
	struct vmb_offer o = { .size = sizeof o, .flags = iv_scenario->flags & IV_RENEWS ? VMB_OFFER_RENEW : 0, .class_id = { { 0xc0 } },
			       .instance = { { (uint8_t)d->device } }, .subchannel = d->sub, .user = (uint64_t)(d - iv.device),
			       .channel_id = d->device == 0 && !d->sub ? iv_scenario->claim : 0 };

	iv_must(!vmb_host_offer(iv.h, &o, &d->handle), "the offer was refused");
}

static void do_offer(uint32_t device, uint32_t sub)
{
	uint32_t n = iv.devices++;
	struct iv_device *d = &iv.device[n];

	if (n == IV_DEVICES) {
		iv.devices--;
		iv_fail("the bench has too few devices");
		return;
	}
	*d = (struct iv_device){ .device = device, .sub = sub, .offered = 1 };
	iv_offer(d);
}

static void do_remove(struct iv_device *d)
{
	for (uint32_t i = 0; i < iv.devices; i++)
		if (!d->sub && iv.device[i].device == d->device)
			iv.device[i].removed = 1;
	d->removed = 1;
	iv_must(!vmb_host_remove(iv.h, d->handle), "remove was refused");
}

void iv_op_do(const struct iv_op *op)
{
	switch (op->op) {
	case IV_JOIN:
	case IV_ANSWERED:
		break;
	case IV_OFFER:
		do_offer(op->n, 0);
		break;
	case IV_SUB:
		do_offer(op->n, 1);
		break;
	case IV_REMOVE:
		do_remove(iv_device_live(op->n, 0));
		break;
	case IV_REMOVE_SUB:
		do_remove(iv_device_live(op->n, 1));
		break;
	case IV_RESET:
		iv_reset();
		break;
	case IV_DISCONNECT:
	case IV_CONNECT:
	case IV_REBOOT:
	case IV_PAUSE:
	case IV_RESUME:
	case IV_PAGES_OFF:
		do_for_connection(op->op);
		break;
	default:
		do_for_driver(op->op, iv_driver_usable(op->n));
	}
}
