/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See guestdriver.h. */
#include "guestdriver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void driver_trace(struct driver *d, const struct vmb_event *ev)
{
	int n = snprintf(d->trace + d->traced, sizeof d->trace - d->traced, "%u:%d ", ev->kind, ev->status);

	cr_assert(n > 0 && d->traced + (uint32_t)n < sizeof d->trace);
	d->traced += (uint32_t)n;
}

static void driver_list(struct driver *d, int k, uint32_t pages)
{
	uint64_t words[64] = { VMB_RANGE(pages * VMB_PAGE, 0) };
	struct vmb_list list = { words, pages + 1, 1 };
	int r;

	for (uint32_t i = 0; i < pages; i++)
		words[1 + i] = 0x5000 + 64 * (uint32_t)k + i;
	r = vmb_guest_gpadl_create(d->b->g, d->h, &list, &d->list[k].gpadl);
	cr_assert(r == 0 || (r == VMB_ESTATE && (d->released || d->rescinded || d->disconnecting)), "%s", vmb_strerror(r));
	d->list[k].made = r == 0;
	d->list[k].created = d->list[k].ended = d->list[k].destroyed = 0;
	d->made += r == 0;
}

static void driver_open(struct driver *d)
{
	int r = bench_open(d->b, d->h, 0);

	cr_assert(r == 0 || (r == VMB_ESTATE && (d->b->fail_count || d->b->silent || d->disconnecting || d->rescinded)), "%s",
		  vmb_strerror(r));
	if (r == 0) {
		d->out = 1;
		d->opens++;
		d->opened++;
	} else {
		driver_release(d);
	}
}

void driver_close(struct driver *d)
{
	if (!d->out)
		return;
	d->out = d->is_open = 0;
	cr_assert_eq(vmb_guest_close(d->b->g, d->h), 0);
	cr_assert_eq(vmb_guest_close(d->b->g, d->h), VMB_ESTATE);
}

void driver_release(struct driver *d)
{
	if (!d->h || d->released)
		return;
	d->released = 1;
	d->out = d->is_open = 0;
	cr_assert_eq(vmb_guest_release(d->b->g, d->h), 0);
}

void driver_disconnect(struct driver *d)
{
	int r = vmb_guest_disconnect(d->b->g);

	if (r == 0)
		d->disconnecting = 1;
}

/* Everything is up: now take it down again. */
static void driver_all_up(struct driver *d)
{
	if (d->stay || d->released || !d->is_open || !d->list[0].created || !d->list[1].created || d->target_asked)
		return;
	if (d->list[0].ended) { /* the second time */
		driver_close(d);
	} else if (!d->list[0].destroyed) {
		d->list[0].destroyed = 1;
		cr_assert_eq(vmb_guest_gpadl_destroy(d->b->g, d->list[0].gpadl), 0);
		cr_assert_eq(vmb_guest_gpadl_destroy(d->b->g, d->list[0].gpadl), VMB_ENOENT);
	}
}

static void driver_list_event(struct driver *d, const struct vmb_event *ev)
{
	int k = d->list[0].made && d->list[0].gpadl == ev->gpadl ? 0 : 1;

	cr_assert(d->list[k].made && d->list[k].gpadl == ev->gpadl && !d->list[k].ended, "an event of a list that is not");
	cr_assert_eq(ev->ch, d->h);
	d->leaks += ev->status == VMB_ELEAK;
	if (ev->kind == VMB_EV_GPADL_DOWN) {
		cr_assert(ev->status == 0 || ev->status == VMB_ELEAK);
		cr_assert(d->released || d->list[k].destroyed || d->list[k].created);
		d->list[k].ended = 1;
		d->ends++;
		if (k == 0 && !d->released && d->list[0].destroyed)
			driver_close(d);
	} else {
		cr_assert(!d->released && !d->list[k].created, "EV_GPADL after the release");
		if (ev->status) {
			d->list[k].ended = 1;
			d->ends++;
			if (!d->rescinded)
				driver_close(d);
		} else {
			d->list[k].created = 1;
			driver_all_up(d);
		}
	}
}

static void driver_channel_event(struct driver *d, const struct vmb_event *ev)
{
	cr_assert_eq(ev->ch, d->h);
	if (d->released)
		cr_assert(ev->kind == VMB_EV_CLOSED || ev->kind == VMB_EV_GPADL_DOWN, "event %u after the release", ev->kind);
	switch (ev->kind) {
	case VMB_EV_OPENED:
		cr_assert(d->out);
		cr_assert_eq(ev->user, 1);
		if (ev->status) {
			if (d->opens % 2)
				driver_release(d);
			else
				driver_close(d);
			break;
		}
		d->is_open = 1;
		if (vmb_guest_target(d->b->g, d->h, 1) == 0)
			d->target_asked = 1;
		driver_all_up(d);
		break;
	case VMB_EV_TARGET:
		cr_assert(d->target_asked);
		d->target_asked = 0;
		d->targets++;
		if (!ev->status)
			cr_assert_eq(ev->vp, 1);
		driver_all_up(d);
		break;
	case VMB_EV_RESCINDED:
		cr_assert(!d->rescinded || d->disconnecting);
		d->rescinded = 1;
		driver_release(d);
		break;
	case VMB_EV_CLOSED:
		cr_assert(!d->out);
		cr_assert(ev->status == 0 || ev->status == VMB_ELEAK);
		d->leaks += ev->status == VMB_ELEAK;
		d->target_asked = 0;
		d->closed++;
		if (!d->released && d->opens < 2)
			driver_open(d);
		else if (!d->released)
			driver_release(d);
		break;
	default:
		cr_assert(0, "event %u", ev->kind);
	}
}

static void driver_event(struct driver *d, const struct vmb_event *ev)
{
	driver_trace(d, ev);
	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		d->connects++;
		d->connect_status = ev->status;
		break;
	case VMB_EV_OFFERS_DONE:
		break;
	case VMB_EV_DISCONNECTED:
		d->disconnects++;
		d->disconnect_status = ev->status;
		cr_assert_eq(d->opened, d->closed);
		cr_assert_eq(d->offers, d->gones);
		cr_assert_eq(d->made, d->ends);
		if (ev->status == 0)
			d->leaks = 0;
		break;
	case VMB_EV_OFFER:
		cr_assert(!d->disconnecting);
		d->offers++;
		d->h = ev->ch;
		d->released = d->rescinded = d->opens = d->out = d->is_open = d->target_asked = 0;
		memset(d->list, 0, sizeof d->list);
		driver_open(d);
		driver_list(d, 0, 60);
		driver_list(d, 1, 3);
		break;
	case VMB_EV_GONE:
		cr_assert_eq(ev->ch, d->h);
		cr_assert(d->released && !d->out);
		for (int k = 0; k < 2; k++)
			cr_assert(!d->list[k].made || d->list[k].ended, "GONE before its lists");
		d->gones++;
		d->h = 0;
		break;
	case VMB_EV_GPADL:
	case VMB_EV_GPADL_DOWN:
		driver_list_event(d, ev);
		break;
	default:
		driver_channel_event(d, ev);
	}
}

struct driver *driver_new(uint32_t version)
{
	struct driver *d = calloc(1, sizeof *d);

	cr_assert(d);
	d->b = bench_new();
	d->b->user = (uint64_t)(uintptr_t)d;
	d->b->version = version;
	d->b->offers[0] = 5;
	d->b->offer_count = 1;
	if (version < VMB_V2_4)
		bench_old_pages(d->b);
	return d;
}

int driver_tick(struct driver *d)
{
	struct bench *b = d->b;
	struct vmb_event ev;
	int r;

	if (b->answered < b->replies) {
		bench_feed(b, &b->reply[b->answered++]);
		if (b->answered == b->replies)
			b->answered = b->replies = 0;
		return 1;
	}
	r = vmb_guest_poll(b->g, b->now, &ev);
	cr_assert_geq(r, 0);
	if (r)
		driver_event(d, &ev);
	else if (b->now && ev.deadline != UINT64_MAX && ev.deadline > b->now)
		return b->now = ev.deadline, 1;
	else if (!b->now && bench_info(b).queued)
		return 1;
	return r != 0 || b->answered < b->replies;
}

void driver_run(struct driver *d)
{
	for (int i = 0; driver_tick(d); i++)
		cr_assert_lt(i, 100000, "it does not end");
}

void driver_end(struct driver *d, int leaks)
{
	struct bench *b = d->b;
	struct vmb_bus_info i;

	driver_run(d);
	if (bench_info(b).state != VMB_BUS_NONE) {
		driver_disconnect(d);
		driver_run(d);
	}
	i = bench_info(b);
	cr_assert_eq(i.state, VMB_BUS_NONE, "still in state %u after: %s", i.state, d->trace);
	cr_assert_eq(d->opened, d->closed, "%s", d->trace);
	cr_assert_eq(d->made, d->ends, "%s", d->trace);
	cr_assert_eq(d->offers, d->gones, "%s", d->trace);
	cr_assert_eq(i.channels + i.attached + i.gpadls, 0);
	if (!leaks)
		cr_assert_eq(d->leaks, 0, "%s", d->trace);
	cr_assert_eq(vmb_guest_end(b->g), 0);
	bench_free(b);
	free(d);
}
