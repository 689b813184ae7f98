/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What drivers and devices do because of an event: answer, look into the rings, let go. See world.h. */
#include "world.h"

#include <string.h>

enum { LATE_STATUS = VMB_EPLATFORM };

static uint32_t reaction(struct iv_choice *out, uint32_t n, int when, enum iv_step step, uint32_t what)
{
	if (!when)
		return n;
	out[n] = (struct iv_choice){ .step = (uint8_t)step, .n = (uint8_t)what };
	return n + 1;
}

static int device_may_hold(const struct iv_device *d)
{
	const struct iv_driver *driver = iv_driver_of(d->device, d->sub);

	return iv_scenario->flags & IV_HOLDS && d->attached && !d->holds && driver && driver->list && driver->list_there;
}

/* Instead of opening again what was open. */
static int may_give_up(const struct iv_driver *d)
{
	return d->away == IV_AWAY_OPEN && iv_scenario->flags & IV_REFUSES;
}

uint32_t iv_reactions(struct iv_choice *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < iv.devices; i++) {
		const struct iv_device *d = &iv.device[i];

		n = reaction(out, n, d->asked != 0, IV_STEP_ATTACH, i);
		n = reaction(out, n, d->asked && iv_scenario->flags & IV_REFUSES, IV_STEP_REFUSE, i);
		n = reaction(out, n, d->attached && d->woken, IV_STEP_SERVE, i);
		n = reaction(out, n, d->close_asked && (d->stopped || !d->attached), IV_STEP_GIVE, i);
		n = reaction(out, n, device_may_hold(d) || (d->untaken && !d->down), IV_STEP_HOLD, i);
		n = reaction(out, n, d->held, IV_STEP_LET_GO, i);
		n = reaction(out, n, iv_scenario->flags & IV_LATE && d->old && !iv.late, IV_STEP_LATE, i);
	}
	for (uint32_t i = 0; i < iv.drivers; i++) {
		const struct iv_driver *d = &iv.driver[i];

		if (d->dead || d->gone)
			continue;
		n = reaction(out, n, d->object && !d->away && d->woken, IV_STEP_WORK, i);
		n = reaction(out, n, d->object && d->stopped && (d->failed || d->rescinded || may_give_up(d)), IV_STEP_STOP, i);
		n = reaction(out, n, d->away == IV_AWAY_OPEN && !d->failed && !d->rescinded, IV_STEP_AGAIN, i);
		n = reaction(out, n, d->rescinded && !d->released && (!d->object || d->stopped), IV_STEP_RELEASE, i);
	}
	return n;
}

static void react_attach(struct iv_device *d)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 1, .ring_pages = 2 * IV_RING };
	uint32_t n = (uint32_t)(d - iv.device);
	uint8_t before[IV_PAGES];
	int r;

	memcpy(before, iv.mapped, sizeof before);
	d->alive = 1;
	d->woken = d->stopped = 0;
	r = vmb_host_attach(iv.h, d->handle, iv.host_channel[n], sizeof iv.host_channel[n], &cfg, &d->channel);
	d->old = d->asked;
	d->asked = 0;
	d->attached = !r;
	if (!r && !d->was) /* else it has said so before */
		iv.attaches[iv_line_of(d->device, d->sub)]++;
	d->was = 0;
	d->alive = !r;
	for (d->ring = 0; !r && iv.mapped[d->ring] == before[d->ring];)
		d->ring++;
	if (!r)
		return;
	iv_must(r == VMB_ESTOPPED || (r == VMB_EMAP && iv.faulted == IV_MAP_FAILS), "attach was refused");
	iv_device_poison(d);
	d->woken = 0;
}

static void react_answer(struct iv_device *d, uint64_t token, int32_t status, int late)
{
	struct vmb_event question = { .kind = VMB_EV_OPEN, .ch = d->handle, .token = token };
	int r = vmb_host_answer(iv.h, &question, status);

	iv_must(r == VMB_ENOENT || (!r && !late), late ? "an answer to an old question is taken for one to another" : "an answer was refused");
}

static void react_serve(struct iv_device *d)
{
	uint8_t buf[64] __attribute__((aligned(8)));
	struct vmb_packet p;
	int r;

	d->woken = 0;
	while ((r = vmb_channel_recv(d->channel, buf, sizeof buf, &p)) == VMB_YES) {
		struct vmb_packet answer = { .kind = VMB_PKT_COMPLETION, .id = p.id, .payload = "response", .len = 8 };

		r = vmb_channel_send(d->channel, &answer);
		if (r)
			break;
	}
	iv_must(!r || r == VMB_ESTOPPED, "the device's receive was refused");
	d->stopped = r == VMB_ESTOPPED;
}

/* What is held since before a restore is taken over; it may be on its way out. */
static void react_hold_again(struct iv_device *d)
{
	uint64_t words[IV_LIST_WORDS];
	struct vmb_list list;
	int r = vmb_host_gpadl_hold(iv.h, d->handle, d->hold, words, IV_LIST_WORDS, &list);

	d->untaken = 0;
	iv_must(!r || r == VMB_ENOENT, "hold was refused");
	iv_must(r || (list.count == IV_LIST_WORDS && words[1] == d->hold_page), "a list is not what it was");
}

static void react_hold(struct iv_device *d)
{
	const struct iv_driver *driver = iv_driver_of(d->device, d->sub);
	uint64_t words[IV_LIST_WORDS];
	struct vmb_list list;
	int r = vmb_host_gpadl_hold(iv.h, d->handle, driver->list, words, IV_LIST_WORDS, &list);

	d->holds = 1;
	iv_must(!r || r == VMB_ENOENT, "hold was refused");
	if (r)
		return;
	d->held = 1;
	d->hold = driver->list;
	d->hold_page = (uint32_t)words[1];
	iv_must(words[1] == driver->list_page && iv.lent[words[1]] == IV_LENT, "a list that is not what was sent");
	for (uint32_t i = 0; i < IV_LIST_PAGES; i++)
		iv.held[d->hold_page + i]++;
}

static void react_let_go(struct iv_device *d)
{
	struct vmb_event question = { .kind = VMB_EV_GPADL_DOWN, .ch = d->handle, .token = d->down };
	uint64_t asked = d->down;

	for (uint32_t i = 0; i < IV_LIST_PAGES; i++)
		iv.held[d->hold_page + i]--;
	d->held = d->untaken = 0;
	d->due &= (uint8_t)~IV_DUE_DOWN;
	d->down = 0;
	iv_must(!(asked ? vmb_host_answer(iv.h, &question, 0) : vmb_host_gpadl_release(iv.h, d->handle, d->hold)), "letting go was refused");
}

static void react_give(struct iv_device *d)
{
	struct vmb_event question = { .kind = VMB_EV_CLOSE, .ch = d->handle, .token = d->close };
	int attached = d->attached;

	for (uint32_t i = 0; d->elsewhere && i < 2 * IV_RING; i++)
		iv.held[d->ring + i]--;
	d->attached = d->close_asked = d->stopped = d->woken = d->elsewhere = 0;
	d->closing = 1;
	iv_must(!(attached ? vmb_host_detach(iv.h, d->handle) : vmb_host_answer(iv.h, &question, 0)), "detach was refused");
}

static void react_work(struct iv_driver *d)
{
	uint8_t buf[64] __attribute__((aligned(8)));
	struct vmb_packet p;
	int r;

	d->woken = 0;
	while ((r = vmb_channel_recv(d->channel, buf, sizeof buf, &p)) == VMB_YES) {
		iv_must(p.kind == VMB_PKT_COMPLETION && p.user == 1 && d->answered < d->asking, "a completion of nothing");
		d->answered++;
	}
	iv_must(!r || r == VMB_ESTOPPED, "the driver's receive was refused");
	d->stopped = r == VMB_ESTOPPED;
}

void iv_react(const struct iv_choice *c)
{
	struct iv_device *device = &iv.device[c->n % IV_DEVICES];
	struct iv_driver *driver = &iv.driver[c->n % IV_DRIVERS];
	uint64_t token;

	switch (c->step) {
	case IV_STEP_ATTACH:
		react_attach(device);
		break;
	case IV_STEP_REFUSE:
		token = device->asked;
		device->old = token;
		device->asked = device->was = 0;
		react_answer(device, token, LATE_STATUS, 0);
		break;
	case IV_STEP_SERVE:
		react_serve(device);
		break;
	case IV_STEP_GIVE:
		react_give(device);
		break;
	case IV_STEP_HOLD:
		if (device->untaken)
			react_hold_again(device);
		else
			react_hold(device);
		break;
	case IV_STEP_LET_GO:
		react_let_go(device);
		break;
	case IV_STEP_LATE:
		iv.late = 1;
		react_answer(device, device->old, LATE_STATUS, 1);
		break;
	case IV_STEP_WORK:
		react_work(driver);
		break;
	case IV_STEP_STOP:
		iv_driver_close(driver);
		break;
	case IV_STEP_AGAIN:
		iv_driver_open_again(driver);
		break;
	default:
		iv_driver_release(driver);
	}
}
