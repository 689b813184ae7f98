/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What a connection has beside its channels: sockets, monitor pages, pause, reserved channels of before; and the end of a dying guest. */
#include "both.h"

static uint32_t more_pages; /* which monitor pages are in use, or asked for: the first of two, or 0 */

/* The bits of an input's first step that ask for more. */
void both_more_config(uint32_t bits)
{
	static const uint32_t features[] = { 0, VMB_FEATURES_DEFAULT | VMB_FEATURE_PINNING | VMB_FEATURE_SERVER_MONITOR, VMB_FEATURE_NONE,
					     VMB_FEATURE_MODIFY_CONNECTION | VMB_FEATURE_PAUSE };
	struct vmb_guest_config *g = &both.gcfg;
	struct vmb_host_config *h = &both.hcfg;

	h->flags = bits & (VMB_HOST_MONITOR | VMB_HOST_REDIRECT);
	if ((bits & 12) == 12) {
		h->flags |= VMB_HOST_TRUSTED;
		h->vtl = g->vtl = 2;
		h->max_version = g->max_version = 0; /* a contact of 5.0 is not for such a server */
		both.disagree = 0;
	} else if (bits & 4) {
		g->vtl = 2;
		both.disagree = 1;
	}
	h->features = features[bits >> 4 & 3];
	if (h->features & VMB_FEATURE_SERVER_MONITOR && !(h->features & VMB_FEATURE_NONE)) {
		h->flags |= VMB_HOST_MONITOR;
		h->monitor_gpa[1] = BOTH_SERVER_GPA;
	} else {
		h->monitor_page[1] = NULL;
	}
	h->max_hvsock = bits >> 6 & 3;
	g->max_hvsock = bits >> 8 & 3;
	g->features = bits >> 10 & 0xff;
	g->client_id.byte[3] = 7;
	if (bits & 0x40000) {
		for (unsigned i = 0; i < 2; i++) {
			g->monitor_gpa[i] = (uint64_t)(BOTH_MONITOR_PAGE + i) * VMB_PAGE;
			g->monitor_page[i] = both_wire_guest_page(BOTH_MONITOR_PAGE + i);
		}
	}
	more_pages = bits & 0x40000 ? BOTH_MONITOR_PAGE : 0;
}

/* ---- the guest */

static void more_monitor(uint32_t which)
{
	uint32_t first = which % 3 ? BOTH_MONITOR_PAGE + which % 3 * 2 - 2 : 0;
	uint64_t gpa[2] = { first * (uint64_t)VMB_PAGE, (first ? first + 1 : 0) * (uint64_t)VMB_PAGE };
	void *page[2] = { first ? both_wire_guest_page(first) : NULL, first ? both_wire_guest_page(first + 1) : NULL };
	int r;

	BOTH_GUEST(r, vmb_guest_monitor(both.g, gpa, page));
	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EVERSION);
	if (r)
		return;
	both.monitoring++;
	more_pages = first;
}

static void more_pause(void)
{
	int r;

	BOTH_GUEST(r, vmb_guest_pause(both.g));
	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EVERSION);
	both.pausing += !r;
}

static int more_resume(void)
{
	int r;

	BOTH_GUEST(r, vmb_guest_resume(both.g));
	fuzz_need(r == 0 || r == VMB_ESTATE);
	return !r;
}

static void more_socket(const struct fuzz_step *s)
{
	struct vmb_bus_info info = { .size = sizeof info };
	struct vmb_hvsock socket = { .flags = 0 };
	uint32_t user = s->a % BOTH_SOCKETS;
	int r;

	if (both.socket[user])
		return;
	socket.endpoint.byte[0] = (uint8_t)(1 + both.in.steps);
	socket.endpoint.byte[1] = (uint8_t)(both.in.steps >> 8);
	socket.service.byte[0] = (uint8_t)(1 + s->b % 4);
	BOTH_GUEST(r, vmb_guest_hvsock(both.g, &socket, user));
	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EVERSION || r == VMB_ENOSPACE);
	both.socket[user] = !r;
	fuzz_need(!vmb_guest_info(both.g, &info));
	both.lossy |= !r && info.version < VMB_V4_1; /* such hosts do not refuse */
}

static void more_close_reserved(const struct fuzz_step *s)
{
	uint32_t id = 1 + s->a % 8u;
	int r;

	for (unsigned i = 0; i < both.drivers; i++) /* of an earlier system only */
		if (!both.driver[i].dead && !both.driver[i].gone && both.driver[i].id == id)
			return;
	if (!both.gcfg.reply_ms)
		return;
	BOTH_GUEST(r, vmb_guest_close_reserved(both.g, id, s->b % BOTH_VPS, s->c & 1 ? 5 : 2));
	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EINVAL);
	if (r)
		return;
	both.closing_reserved = both.lossy = 1; /* there may be none */
}

static void more_targets(uint32_t vp)
{
	uint32_t cursor = 0, n = 0;
	vmb_handle handle;
	int r;

	do {
		BOTH_GUEST(r, vmb_guest_targets(both.g, vp, &cursor, &handle));
		fuzz_need((r == 0 || r == VMB_YES) && n++ <= (both.gcfg.max_channels ? both.gcfg.max_channels : 64));
	} while (r);
}

/* ---- a system dies: no call but this one, and the host lets go of it */

static int more_unloaded;

static int more_look(void *slot)
{
	int r = vmb_guest_crash(both.g, slot);

	fuzz_need(r >= 0 && !(r & ~(VMB_YES | VMB_EOM)));
	more_unloaded |= r & VMB_YES;
	return r | VMB_YES; /* there was a message */
}

static void more_crash(void)
{
	struct vmb_bus_info info = { .size = sizeof info };
	unsigned rounds = 0;
	int r, still;

	more_unloaded = 0;
	fuzz_need(!vmb_guest_info(both.g, &info));
	both.interrupt_late = 1; /* nobody handles them */
	both.dying = 1; /* it needs no lock */
	both.guest_control = 1;
	do {
		r = vmb_guest_crash(both.g, NULL);
	} while (r == VMB_EAGAIN && ++rounds < 20);
	both.dying = 0;
	both.guest_control = 0;
	fuzz_trace("\tcrash: %d\n", r);
	fuzz_need(r == 0 || r == VMB_EAGAIN || r == VMB_EPLATFORM || r == VMB_ESTATE);
	rounds = 0;
	do {
		fuzz_need(rounds++ < 1000);
		still = both_wire_posts() | both_device_poll(1000) | both_device_react() | both_wire_slots(more_look) | both_wire_eom();
	} while (!r && still && !more_unloaded);
	fuzz_need(r || both.lossy || more_unloaded || info.version < VMB_V1_1); /* such hosts do not tell */
	both.mad |= both.connecting && !more_unloaded; /* the answer may come to the next one */
	both_guest_anew();
	if (more_unloaded)
		both_wire_all_back(BOTH_OLD);
}

/* ---- events; 1: it was one of these */

int both_more_event(const struct vmb_event *ev)
{
	switch (ev->kind) {
	case VMB_EV_MONITOR:
		fuzz_need(both.monitoring && (ev->status != VMB_ETIMEDOUT || both.lossy));
		both.monitoring--;
		for (uint32_t i = 0; i < 4 && !ev->status && !both.monitoring && !both.mad; i++)
			fuzz_need((more_pages && i / 2 == (more_pages - BOTH_MONITOR_PAGE) / 2) || !both.mapped[BOTH_MONITOR_PAGE + i]);
		return 1;
	case VMB_EV_PAUSED:
		fuzz_need(both.pausing && (ev->status != VMB_ETIMEDOUT || both.lossy));
		both.pausing--;
		return 1;
	case VMB_EV_HVSOCK:
		fuzz_need(ev->user < BOTH_SOCKETS && both.socket[ev->user] && !ev->status == !!ev->ch);
		fuzz_need(ev->status != VMB_ETIMEDOUT || both.lossy || both.gcfg.reply_ms);
		both.socket[ev->user] = 0;
		return !ev->ch;
	case VMB_EV_CLOSED:
		if (ev->ch)
			return 0;
		fuzz_need(both.closing_reserved);
		both.closing_reserved = 0;
		return 1;
	default:
		return 0;
	}
}

/* ---- the host */

void both_more_asked(const struct vmb_event *ev)
{
	fuzz_need(ev->flags & VMB_EVF_ASK && ev->token && both.asked_sockets < BOTH_SOCKETS);
	both.asked_socket[both.asked_sockets++] = *ev;
}

static int more_answer(int accept)
{
	const struct vmb_event *q = &both.asked_socket[0];
	struct vmb_hvsock socket;
	struct vmb_offer offer = { .size = sizeof offer };
	int r, open;

	if (!both.asked_sockets)
		return 0;
	BOTH_HOST(open, vmb_host_hvsock(both.h, q, &socket));
	fuzz_need(open == 0 || open == VMB_ENOENT);
	if (!open && accept && both.devices < BOTH_DEVICES) {
		struct both_device *d = &both.device[both.devices++];

		fuzz_need(!vmb_hvsock_offer(&socket, &offer));
		*d = (struct both_device){ .offer = offer, .expires = 1 };
		accept = !both_device_offers(&offer, d);
		d->offer.user = offer.user;
		both.devices -= !accept;
	} else {
		accept = 0;
	}
	BOTH_HOST(r, vmb_host_answer(both.h, q, accept ? 0 : VMB_ENOSPACE));
	fuzz_need(r == open);
	memmove(&both.asked_socket[0], &both.asked_socket[1], --both.asked_sockets * sizeof both.asked_socket[0]);
	return 1;
}

static void more_limit(const struct fuzz_step *s)
{
	int r;

	if (both.hcfg.vtl)
		return;
	BOTH_HOST(r, vmb_host_limit(both.h, s->a & 1 ? VMB_V5_0 : s->a & 2 ? VMB_V2_4 : 0, s->b & 1 ? VMB_FEATURES_DEFAULT : 0));
	fuzz_need(r == 0 || r == VMB_EINVAL);
}

/* A restored guest is to be told of the pages that are in use now. */
void both_more_saved(void)
{
	struct vmb_bus_info info = { .size = sizeof info };
	int r;

	BOTH_GUEST(r, vmb_guest_info(both.g, &info));
	fuzz_need(!r);
	if (info.state <= VMB_BUS_CONNECTING || info.features & VMB_FEATURE_SERVER_MONITOR)
		return;
	for (unsigned i = 0; i < 2; i++) {
		both.gcfg.monitor_gpa[i] = info.monitor_gpa[i];
		both.gcfg.monitor_page[i] = info.monitor_gpa[i] ? both_wire_guest_page((uint32_t)(info.monitor_gpa[i] / VMB_PAGE)) : NULL;
	}
}

/* ---- left alone */

int both_more_react(void)
{
	int did = more_answer(both.in.steps & 1);

	return did | (both.pausing || !both.connected ? 0 : more_resume());
}

void both_more_judge(void)
{
	fuzz_need(!both.connected || (!both.monitoring && !both.pausing)); /* a connection that ends takes its requests with it */
	fuzz_need(!both.closing_reserved && !both.asked_sockets);
	for (unsigned i = 0; i < BOTH_SOCKETS; i++)
		fuzz_need(!both.socket[i] || both.gcfg.max_channels); /* with no room for its channel it is waited for until its time is over */
}

void both_more_step(const struct fuzz_step *s)
{
	switch (s->op & 15) {
	case 0: more_monitor(s->a); break;
	case 1: more_pause(); break;
	case 2: (void)more_resume(); break;
	case 3: more_socket(s); break;
	case 4: more_close_reserved(s); break;
	case 5: more_targets(s->b < 250 ? s->b % BOTH_VPS : VMB_VP_NONE); break;
	case 6: case 7: (void)more_answer(s->a & 1); break;
	case 8: more_limit(s); break;
	case 9: case 10: both_device_saved(s->a % 3); break;
	case 11: case 12: (void)both_driver_saved(s->a % 3); break;
	case 13:
		if (s->a == 77)
			more_crash();
		break;
	case 14:
		if (s->a == 78)
			both_machine_reset();
		else if (s->a == 81)
			both_driver_sleeps();
		break;
	default:
		if (s->a == 79 && !both.connecting) /* its answer would be taken for another's */
			both_guest_anew();
		break;
	}
}
