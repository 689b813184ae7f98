/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What a connection has beside its channels: features, other monitor pages, pause, sockets, reserved channels, the end of a dying system. */
#include "guest.h"

#define MORE_SOCKETS 4u

static uint8_t more_pages[4][VMB_PAGE] __attribute__((aligned(4096)));
/* Asked for, and perhaps not told yet: of two requests in a row the library may tell one. */
static int more_monitor, more_pause, more_close, more_socket[MORE_SOCKETS];

static int more_map(void *ctx, const uint64_t gpa[2], void *page[2])
{
	fuzz_need(ctx == &guest && guest.control == 1 && gpa[1]);
	page[0] = gpa[0] ? more_pages[0] : NULL;
	page[1] = more_pages[1];
	return gpa[1] >> 20 & 1 ? -1 : 0;
}

/* The bits of an input's first step that ask for more. */
void guest_more_config(uint32_t bits)
{
	struct vmb_guest_config *cfg = &guest.cfg;

	more_monitor = more_pause = more_close = 0;
	memset(more_socket, 0, sizeof more_socket);
	cfg->features = bits & 0xff;
	cfg->vtl = bits & 0x100 ? 2 : 0;
	cfg->max_hvsock = bits >> 9 & 3;
	cfg->monitor = more_map;
	cfg->client_id.byte[3] = 7;
}

/* ---- the owner */

static void more_ask_monitor(const struct fuzz_step *s)
{
	const uint64_t gpa[2] = { s->a & 1 ? 0x501000 : 0, s->a & 1 ? 0x502000 : 0 };
	void *const page[2] = { s->a & 1 ? more_pages[2] : NULL, s->a & 1 ? more_pages[3] + (s->a == 255) : NULL };
	int r;

	GUEST_CALL(r, vmb_guest_monitor(guest.g, s->b == 255 ? NULL : gpa, page));
	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EVERSION || r == VMB_EINVAL);
	fuzz_need(r || (s->b != 255 && s->a != 255));
	more_monitor += !r;
}

static void more_ask_socket(const struct fuzz_step *s)
{
	struct vmb_hvsock socket = { .flags = s->c == 255 };
	uint32_t user = s->a % MORE_SOCKETS;
	int r;

	if (more_socket[user])
		return;
	socket.endpoint.byte[0] = s->c & 0x80 ? 0 : (uint8_t)user;
	socket.service.byte[0] = s->b % 4;
	GUEST_CALL(r, vmb_guest_hvsock(guest.g, s->c == 254 ? NULL : &socket, user));
	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EVERSION || r == VMB_EINVAL || r == VMB_ENOSPACE);
	more_socket[user] = !r;
}

static void more_targets(uint32_t vp)
{
	uint32_t cursor = 0, n = 0;
	vmb_handle handle = 0;
	int r;

	do {
		GUEST_CALL(r, vmb_guest_targets(guest.g, vp, &cursor, &handle));
		fuzz_need((r == 0 || r == VMB_YES) && n++ <= guest.cfg.max_channels);
		if (r)
			fuzz_need(guest_owner_find(handle) && guest_owner_find(handle)->state != CHANNEL_IDLE);
	} while (r);
	GUEST_CALL(r, vmb_guest_targets(guest.g, vp, NULL, &handle));
	fuzz_need(r == VMB_EINVAL);
}

static void more_ask_close(const struct fuzz_step *s)
{
	int r;

	GUEST_CALL(r, vmb_guest_close_reserved(guest.g, s->v & 1 ? s->v : 1 + s->a % 10u, s->b % 4, s->c % 17));
	fuzz_need(r == 0 || r == VMB_EINVAL || r == VMB_ESTATE);
	fuzz_need(r || !more_close);
	more_close |= !r;
}

/* A slot as a dying system looks at it. */
static void more_look(const struct fuzz_step *s)
{
	uint8_t slot[256] __attribute__((aligned(256))) = { 0 };
	uint8_t msg[8] = { s->a & 1 ? 17 : s->b };
	int r;

	if (s->c & 1)
		fuzz_need(!vmb_synic_post(slot, msg, sizeof msg));
	r = vmb_guest_crash(guest.g, slot);
	fuzz_need((r & VMB_YES) == (s->c & 1 && msg[0] == 17) && vmb_guest_crash(NULL, slot) == VMB_EINVAL);
}

/* The last call of an end: it needs no lock, and nothing but the post is done. */
void guest_more_crash(void)
{
	int r;

	guest.crashing = 2;
	guest.control++;
	r = vmb_guest_crash(guest.g, NULL);
	guest.control--;
	fuzz_need(r == 0 || r == VMB_EAGAIN || r == VMB_EPLATFORM || r == VMB_ESTATE);
}

/* What an earlier connection was asked is not answered any more, but for sockets and the reserved channel. */
void guest_more_connect(void)
{
	more_monitor = more_pause = 0;
}

void guest_more_resume(void)
{
	int r;

	GUEST_CALL(r, vmb_guest_resume(guest.g));
	fuzz_need(r == 0 || r == VMB_ESTATE);
}

void guest_more_step(const struct fuzz_step *s)
{
	int r;

	switch (s->op & 15) {
	case 0: more_ask_monitor(s); break;
	case 1:
		GUEST_CALL(r, vmb_guest_pause(guest.g));
		fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EVERSION);
		more_pause += !r;
		break;
	case 2: guest_more_resume(); break;
	case 3: more_ask_socket(s); break;
	case 4: more_ask_close(s); break;
	case 5: more_targets(s->b < 250 ? s->b % 4 : VMB_VP_NONE); break;
	case 6: guest.open_as = *s; break;
	case 7: more_look(s); break;
	case 8: guest.crashing = s->a == 77; break;
	default: guest_peer_more(s); break;
	}
}

/* ---- events without a channel of ours: 1 if it was one of these */

int guest_more_event(const struct vmb_event *ev)
{
	switch (ev->kind) {
	case VMB_EV_MONITOR:
		fuzz_need(more_monitor);
		more_monitor--;
		return 1;
	case VMB_EV_PAUSED:
		fuzz_need(more_pause);
		more_pause--;
		return 1;
	case VMB_EV_HVSOCK:
		fuzz_need(ev->user < MORE_SOCKETS && more_socket[ev->user] && !ev->status == !!ev->ch);
		more_socket[ev->user] = 0;
		return !ev->ch;
	case VMB_EV_CLOSED:
		if (ev->ch)
			return 0;
		fuzz_need(more_close);
		more_close = 0;
		return 1;
	default:
		return 0;
	}
}
