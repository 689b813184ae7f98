/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What a connection has beside its channels: features, sockets, monitored notifications, pause, reserved channels, a path that only the guest's
 * paravisor sees.
 */
#include "host.h"

#define MORE_SOCKETS 4u

static uint8_t more_monitor[VMB_PAGE] __attribute__((aligned(4096)));
static struct vmb_event more_question[MORE_SOCKETS];
static unsigned more_questions;

/* The bits of an input's first step that ask for more. */
void host_more_config(uint32_t bits)
{
	struct vmb_host_config *cfg = &host.cfg;

	more_questions = 0;
	memset(more_question, 0, sizeof more_question);
	memset(more_monitor, 0, sizeof more_monitor);
	cfg->flags = bits & 7;
	cfg->vtl = bits & 8 ? 2 : 0;
	cfg->max_hvsock = bits >> 4 & 3;
	cfg->hvsock_ms = bits & 0x40 ? 20 : 0;
	if (bits & 0x80)
		cfg->features = VMB_FEATURES_DEFAULT | VMB_FEATURE_PINNING;
	if (bits & 0x200)
		cfg->features = VMB_FEATURE_NONE;
	if (bits & 0x100 && cfg->flags & VMB_HOST_MONITOR) {
		cfg->monitor_gpa[1] = 0x7000000;
		cfg->monitor_page[1] = more_monitor;
	}
}

/* ---- sockets */

/* EV_HVSOCK: one of these is to be answered, some time. */
void host_more_socket(const struct vmb_event *ev)
{
	fuzz_need(ev->flags == VMB_EVF_ASK && ev->token && host.cfg.max_hvsock);
	more_question[more_questions++ % MORE_SOCKETS] = *ev;
}

static void more_answer(const struct fuzz_step *s)
{
	const struct vmb_event *q = &more_question[s->a % MORE_SOCKETS];
	struct vmb_hvsock socket, back;
	struct vmb_offer offer = { .size = sizeof offer };
	int r, open;

	if (!q->kind)
		return;
	HOST_CALL(open, vmb_host_hvsock(host.h, q, &socket));
	fuzz_need(open == 0 || open == VMB_ENOENT);
	if (!open && s->b & 1) {
		fuzz_need(!vmb_hvsock_offer(&socket, &offer) && !vmb_hvsock_of(&offer, &back) && !memcmp(&socket, &back, 32));
		host_device_offer(&offer);
	}
	HOST_CALL(r, vmb_host_answer(host.h, q, s->b & 1 ? 0 : s->b & 2 ? VMB_ENOSPACE : 5));
	fuzz_need(r == open);
	HOST_CALL(r, vmb_host_answer(host.h, q, 0));
	fuzz_need(r == VMB_ENOENT);
}

static void more_pure(const struct fuzz_step *s)
{
	struct vmb_offer offer = { .size = sizeof offer };
	struct vmb_hvsock socket = { .flags = s->a };
	struct vmb_guid service;

	fuzz_need(!vmb_hvsock_port(s->v, &service) && vmb_hvsock_port(s->v, NULL) == VMB_EINVAL && fuzz_get32(service.byte) == s->v);
	fuzz_need(vmb_hvsock_of(&offer, &socket) == VMB_ENOENT && vmb_hvsock_of(NULL, &socket) == VMB_EINVAL);
	socket.service = service;
	fuzz_need(vmb_hvsock_offer(&socket, &offer) == (s->a < 8 ? 0 : VMB_EINVAL));
}

/* ---- what the guest says */

static void more_set(uint8_t *msg, uint32_t len, const char *name, uint64_t value)
{
	(void)vmb_message_set(msg, len, VMB_V6_0, 0xff, name, value);
}

static uint64_t more_page(uint32_t n)
{
	return (uint64_t)(HOST_FIRST_PFN + n % 70) * VMB_PAGE;
}

static void more_contact(const struct fuzz_step *s)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len = (uint32_t)vmb_message_init(msg, sizeof msg, 14, VMB_V6_0, s->v & 0xff);

	more_set(msg, len, "version", s->v & 0x100 ? VMB_V5_0 : VMB_V6_0);
	more_set(msg, len, "target_vp", s->a % HOST_VPS);
	more_set(msg, len, "target_sint", 2);
	more_set(msg, len, "target_vtl", host.cfg.vtl);
	more_set(msg, len, "feature_flags", s->v & 0xff);
	if (s->c & 1) {
		more_set(msg, len, "parent_to_child_page", more_page(s->b));
		more_set(msg, len, "child_to_parent_page", more_page(s->b + 1u));
	}
	host_guest_post(s->c & 2 ? 1 : s->c & 4 ? 0x800074 : 4, msg, len);
}

static void more_say(uint32_t type, const struct fuzz_step *s)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len = (uint32_t)vmb_message_init(msg, sizeof msg, type, VMB_V6_0, 0xff);

	more_set(msg, len, "channel_id", host.cfg.first_channel_id + s->a % 12u);
	more_set(msg, len, "ring_gpadl", 1 + s->b % 6u);
	more_set(msg, len, "downstream_page_offset", s->c ? s->c : 3);
	more_set(msg, len, "target_vp", s->v % (HOST_VPS + 1));
	more_set(msg, len, "target_sint", s->v >> 8 & 7);
	more_set(msg, len, "connection_id", s->v >> 16 ? s->v >> 16 : 0x3000u + s->a);
	more_set(msg, len, "event_flag", s->v & 0x80 ? 100 + s->a : s->v & 0x40 ? 2048 : 0);
	more_set(msg, len, "open_flags", s->v >> 3 & 1); /* to SINT 7 of VTL 2 */
	if (type == 21) { /* endpoint and service are named by two bytes; 0 is none */
		msg[8] = s->a % 4;
		msg[24] = s->b % 4;
		if (s->c & 1)
			len = 40;
	}
	if (type == 25 && s->c) {
		more_set(msg, len, "parent_to_child_page", more_page(s->b));
		more_set(msg, len, "child_to_parent_page", more_page(s->b + 1u));
	}
	host_guest_post(1, msg, len);
}

void host_more_step(const struct fuzz_step *s)
{
	static const uint8_t says[] = { 21, 25, 27, 29, 18, 19, 5 };
	int r;

	switch (s->op & 15) {
	case 0: more_contact(s); break;
	case 1: case 2: case 3: case 4: case 5: case 6: case 7: more_say(says[(s->op & 15) - 1], s); break;
	case 8: more_answer(s); break;
	case 9:
		r = vmb_host_monitor(host.h);
		fuzz_need(r == 0 || r == VMB_YES);
		fuzz_need(vmb_host_monitor(NULL) == VMB_EINVAL);
		break;
	case 10: /* a trigger, in the guest's page or in the server's own */
		if (s->b & 1)
			more_monitor[8 + s->c % 4 * 8 + s->a % 4] |= (uint8_t)s->v;
		else
			host_platform_write(s->a * 1024u + 2 + s->c % 4 * 2, s->v);
		break;
	case 11:
		HOST_CALL(r, vmb_host_limit(host.h, s->a & 1 ? VMB_V5_0 : s->a & 2 ? s->v : 0, s->b));
		fuzz_need(r == 0 || (r == VMB_EINVAL && s->a & 2));
		break;
	case 12: host.trusted = s->a & 1; break;
	case 13:
		r = vmb_host_signal(host.h, s->v & 1 ? 0x3000u + s->a : s->v >> 8, 0);
		fuzz_need(r == VMB_HV_SUCCESS || r == VMB_HV_INVALID_CONNECTION || r == VMB_HV_INVALID_PARAMETER);
		break;
	default: more_pure(s); break;
	}
}
