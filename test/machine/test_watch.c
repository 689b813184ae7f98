/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A watcher of both ends, whatever happens: what it is told is whole. Its own picture of the ends, made from nothing but what was told, is
 * at each step what the snapshot says; each change begins where the last one ended; and each message that is counted was told.
 */
#include "run.h"

#include <string.h>

enum { HANDLES = 512, LISTS = 512 };

struct seen_channel {
	vmb_handle ch;
	uint32_t state, has, device;
};

struct seen_list {
	vmb_handle ch;
	uint32_t id, state;
};

struct watcher { /* of one end */
	uint32_t bus;
	struct seen_channel channel[HANDLES];
	struct seen_list list[LISTS];
	unsigned channels, lists;
	uint64_t in[16], out[16], changes;
	int host;
};

static struct watcher watchers[2];

static struct seen_channel *channel_of(struct watcher *w, vmb_handle ch)
{
	for (unsigned i = 0; i < w->channels; i++)
		if (w->channel[i].ch == ch)
			return &w->channel[i];
	cr_assert_lt(w->channels, HANDLES);
	w->channel[w->channels] = (struct seen_channel){ .ch = ch };
	return &w->channel[w->channels++];
}

static struct seen_list *list_of(struct watcher *w, vmb_handle ch, uint32_t id)
{
	struct seen_list *free = NULL;

	for (unsigned i = 0; i < w->lists; i++) {
		if (w->list[i].ch == ch && w->list[i].id == id)
			return &w->list[i];
		if (!w->list[i].state)
			free = &w->list[i];
	}
	if (!free) {
		cr_assert_lt(w->lists, LISTS);
		free = &w->list[w->lists++];
	}
	*free = (struct seen_list){ .ch = ch, .id = id };
	return free;
}

static void told(struct watcher *w, const struct vmb_trace *t)
{
	struct seen_channel *c;
	struct seen_list *l;

	cr_assert_str_neq(vmb_name(VMB_NAMES_TRACE, t->point), "?");
	w->changes++;
	switch (t->point) {
	case VMB_TRACE_MESSAGE_IN:
		w->in[t->c]++;
		break;
	case VMB_TRACE_MESSAGE_OUT:
		w->out[t->c]++;
		break;
	case VMB_TRACE_CONNECTION:
		cr_assert_eq(t->a, w->bus);
		cr_assert_neq(t->a, t->b);
		w->bus = t->b;
		break;
	case VMB_TRACE_CHANNEL:
		c = channel_of(w, t->ch);
		cr_assert_eq(t->a, c->state, "%s: before %u, not %u", w->host ? "host" : "guest", t->a, c->state);
		cr_assert_eq(t->c, c->has);
		cr_assert(t->a != t->b || t->c != t->d);
		c->state = t->b;
		c->has = t->d;
		break;
	case VMB_TRACE_DEVICE:
		c = channel_of(w, t->ch);
		cr_assert(w->host && t->a == c->device && t->a != t->b);
		c->device = t->b;
		break;
	case VMB_TRACE_GPADL:
		l = list_of(w, t->ch, t->gpadl);
		cr_assert_eq(t->a, l->state, "%s: list 0x%x before %u, not %u", w->host ? "host" : "guest", t->gpadl, t->a, l->state);
		cr_assert_neq(t->a, t->b);
		l->state = t->b;
		break;
	default:
		cr_assert(0, "point %u", t->point);
	}
}

static void host_told(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	told(&watchers[1], t);
}

static void guest_told(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	told(&watchers[0], t);
}

static struct vmb_bus_info info_of(struct run *r, int host)
{
	struct vmb_bus_info info = { .size = sizeof info };

	cr_assert_eq(host ? vmb_host_info(machine_host(r->machine), &info) : vmb_guest_info(machine_guest(r->machine), &info), 0);
	return info;
}

/* The picture against the end itself. */
static void compare(struct run *r, int host)
{
	struct watcher *w = &watchers[host];
	struct vmb_bus_info info = info_of(r, host);
	struct vmb_part p = { .size = sizeof p };
	uint32_t cursor = 0;
	unsigned channels = 0, lists = 0, have_channels = 0, have_lists = 0;
	uint64_t all = 0;
	int more;

	while ((more = host ? vmb_host_snapshot(machine_host(r->machine), &cursor, &p) :
			      vmb_guest_snapshot(machine_guest(r->machine), &cursor, &p)) == VMB_YES) {
		if (p.kind == VMB_PART_CONNECTION) {
			cr_assert_eq(p.state, w->bus);
		} else if (p.kind == VMB_PART_CHANNEL && p.ch) { /* the guest's that are not seen have no handle yet */
			const struct seen_channel *c = channel_of(w, p.ch);

			cr_assert_eq(p.state, c->state);
			cr_assert_eq(p.flags, c->has);
			cr_assert_eq(p.device, c->device);
			cr_assert_eq(!p.object, !(c->has & VMB_HAS_OBJECT));
			channels++;
		} else if (p.kind == VMB_PART_CHANNEL) {
			channels++;
		} else {
			if (p.ch)
				cr_assert_eq(p.state, list_of(w, p.ch, p.gpadl)->state);
			lists++;
		}
	}
	cr_assert_eq(more, 0);
	for (unsigned i = 0; i < w->channels; i++)
		have_channels += w->channel[i].state != VMB_STATE_FREE;
	for (unsigned i = 0; i < w->lists; i++)
		have_lists += w->list[i].state != VMB_LIST_NONE;
	cr_assert_eq(channels, have_channels);
	cr_assert_eq(lists, have_lists);
	for (unsigned f = 0; f < 16; f++) {
		cr_assert_eq(info.fate[f], w->in[f]);
		all += f == VMB_FATE_AGAIN ? 0 : info.fate[f];
	}
	cr_assert_eq(all, info.messages_in);
	cr_assert_eq(info.messages_out, w->out[VMB_FATE_TAKEN]);
	cr_assert_eq(info.post_retries, w->out[VMB_FATE_AGAIN]);
	cr_assert_eq(info.post_failed, w->out[VMB_FATE_LOST]);
}

static struct run *watched(uint64_t seed)
{
	struct run *r = run_new(seed);

	memset(watchers, 0, sizeof watchers);
	watchers[1].host = 1;
	r->m.host.trace = host_told;
	r->m.guest.trace = guest_told;
	return r;
}

static void steps(struct run *r, unsigned n)
{
	while (n-- && machine_step(r->machine)) {
		compare(r, 0);
		compare(r, 1);
	}
}

Test(watch, the_picture_is_that_of_the_ends)
{
	for (unsigned seed = 0; seed < 12; seed++) {
		struct run *r = watched(9000 + seed);

		r->e.devices = 5;
		r->e.reopen = 2;
		r->e.late_open = 30;
		r->e.gpadls = 2;
		r->e.requests = 5;
		r->m.guest.max_gpadls = 32;
		r->m.faults.post_busy_at = 3 + seed;
		r->m.faults.slot_busy_at = 5 + seed;
		r->m.faults.map_at = seed % 4 ? 0 : 1 + seed / 4;
		run_start(r);
		steps(r, 3000);
		run_finish(r);
		compare(r, 0);
		compare(r, 1);
		cr_assert_gt(watchers[0].changes, 100u);
		cr_assert_gt(watchers[1].changes, 100u);
		run_end(r);
	}
}

/* Devices go in the middle of everything, and come back. */
Test(watch, devices_that_come_and_go)
{
	for (unsigned seed = 0; seed < 12; seed++) {
		struct run *r = watched(9100 + seed);

		r->e.devices = 4;
		r->e.requests = 1000;
		r->e.gpadls = 2;
		r->m.guest.max_gpadls = 32;
		run_start(r);
		for (unsigned n = 0; n < 6; n++) {
			struct echo_device *d = &r->echo.device[n % 4];

			steps(r, 20 + (unsigned)(machine_random(r->machine) % 200));
			if (d->offered)
				cr_assert_eq(vmb_host_remove(machine_host(r->machine), d->handle), 0);
		}
		steps(r, 2000);
		run_check(r);
		run_end(r);
	}
}

/* The guest dies and another one makes contact; and the VM is reset. */
Test(watch, a_guest_that_crashes)
{
	for (unsigned seed = 0; seed < 8; seed++) {
		struct run *r = watched(9200 + seed);

		r->e.requests = 1000;
		run_start(r);
		steps(r, 50 + 40 * seed);
		echo_forget(r->machine);
		memset(&watchers[0], 0, sizeof watchers[0]);
		cr_assert_eq(machine_crash_guest(r->machine), 0);
		cr_assert_eq(vmb_guest_connect(machine_guest(r->machine)), 0);
		steps(r, 500);
		cr_assert_eq(vmb_host_reset(machine_host(r->machine)), 0);
		echo_forget(r->machine);
		memset(&watchers[0], 0, sizeof watchers[0]);
		cr_assert_eq(machine_crash_guest(r->machine), 0);
		for (unsigned i = 0; i < 500 && machine_step(r->machine); i++)
			compare(r, 1);
		cr_assert_geq(machine_run(r->machine, 1000), 0);
		compare(r, 1);
		cr_assert_eq(vmb_guest_connect(machine_guest(r->machine)), 0);
		cr_assert_geq(machine_run(r->machine, 1000), 0);
		run_check(r);
		compare(r, 0);
		compare(r, 1);
		run_end(r);
	}
}
