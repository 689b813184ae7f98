/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Which state is the host in? It is asked for what only this state does; see hostcell.h. */
#include "hostcell.h"
#include "hostids.h"

#include <criterion/criterion.h>
#include <string.h>

/* This was told, and this said, since the last time. */
static bool hears(const char *answers, const char *events)
{
	const char *told = scene_events(); /* first: what is told may make it answer */

	return table_hears(scene_answers(), told, answers, events);
}

static bool says(unsigned type, const char *answers, const char *events)
{
	struct post p;

	if (scene.state == TRUSTED) /* by its own door */
		scene_legal(type);
	else if (!scene_post(type, LEGAL, 0, &p) || scene_say(&p) != VMB_HV_SUCCESS)
		return false;
	return hears(answers, events);
}

/* A page list of one page. */
static bool lists(uint32_t channel, const char *answers)
{
	struct post p;

	p.len = hb_gpadl_bytes(p.bytes, channel, PROOF, 0x94, 1);
	p.open_id = 0;
	return scene_say(&p) == VMB_HV_SUCCESS && hears(answers, "");
}

static bool attaches(void)
{
	bool r = hb_attach(3, scene.dev[1], &scene.ch[1]) == 0;

	scene.open_waits = scene.open_waits && !r;
	return r && hears("OPEN_CHANNEL_RESULT(ok)", "");
}

static bool detaches(const char *answers, const char *events)
{
	if (vmb_host_detach(hb->h, scene.dev[1]) != 0)
		return false;
	scene.ch[1] = NULL;
	return hears(answers, events);
}

/* ---- channel 2, and rings */

void scene_read_ring(unsigned n)
{
	uint8_t *control = hb->ram + (hb_ring_pfn(n) + 2) * VMB_PAGE;

	put32(control + 4, get32(control));
}

bool scene_interrupts(unsigned n)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "12345678", .len = 8 };
	unsigned before = hb->interrupts;

	if (vmb_channel_send(scene.ch[n], &p) < 0)
		return false;
	scene_read_ring(n);
	return hb->interrupts == before + 1;
}

bool scene_bystander(void)
{
	unsigned before = hb->wakes;
	uint32_t connection = scene.connection[2];

	if (!scene.ch[2] || scene.asked[2])
		return true;
	if (scene.v < VMB_V1_1) {
		hb->ram[HB_PAGE_PFN * VMB_PAGE + 2048] |= 1u << 2;
		connection = 2;
	}
	if (!scene_interrupts(2) || vmb_host_signal(hb->h, connection, 0) != VMB_HV_SUCCESS)
		return false;
	return hb->wakes == before + 1 && hb->wake_user[before % 64] == 102;
}

/* ---- devices let go */

static bool has_something(void)
{
	bool leaving = hb_info().state == VMB_BUS_LEAVING || hb_info().state == VMB_BUS_RESETTING;

	return scene.asked[1] || scene.asked[2] || scene.hold_asked || (scene.open_waits && leaving && !scene.reserved);
}

bool scene_let_go(void)
{
	for (unsigned n = 1; n <= 2; n++)
		if (scene.asked[n]) {
			cr_assert_eq(vmb_host_detach(hb->h, scene.dev[n]), 0);
			scene.ch[n] = NULL;
			scene_events();
			scene.asked[n] = false;
			scene.reserved = scene.reserved && n != 1;
			return true;
		}
	if (scene.hold_asked) {
		scene.hold_asked = scene.held = false;
		cr_assert_eq(vmb_host_gpadl_release(hb->h, scene.dev[1], SPARE2), 0);
		return true;
	}
	if (scene.open_waits && has_something()) {
		scene.open_waits = false;
		cr_assert_eq(vmb_host_answer(hb->h, &scene.open, -1), 0);
		return true;
	}
	return false;
}

/* Nothing is said until the last device has let go, and then this. */
static const char *drains(const char *at_last, uint32_t then)
{
	bool closing = scene.reserved && scene.asked[1];
	uint32_t state = hb_info().state;

	NEED(state == VMB_BUS_LEAVING || state == VMB_BUS_RESETTING);
	NEED(hears("", ""));
	NEED(has_something());
	while (scene_let_go()) {
		if (!has_something())
			break;
		NEED(hb_info().state == state);
		NEED(hears(closing ? "CLOSE_RESERVED_RESPONSE" : "", "CLOSED(1)? CLOSED(2)? GONE(1)?"));
		closing = false;
	}
	NEED(hears(at_last, "CLOSED(1)? CLOSED(2)? GONE(1)? DISCONNECTED? CONNECTED? RESET?"));
	NEED(hb_info().state == then);
	return NULL;
}

/* ---- connection */

static const char *not_connected(enum host_state s)
{
	NEED(scene.reserved == (s == RESERVED_LEFT));
	NEED(hb_info().state == VMB_BUS_NONE && hb_info().version == 0);
	if (scene.reserved) {
		NEED(says(M_CLOSE_RESERVED, "", "CLOSE(1)"));
		NEED(detaches("CLOSE_RESERVED_RESPONSE", "CLOSED(1)"));
		scene.reserved = false;
	}
	NEED(says(M_CONTACT, "VERSION_RESPONSE(ok)", "CONNECTED"));
	NEED(says(M_REQUEST_OFFERS, "OFFER_CHANNEL(1) OFFER_CHANNEL(2) ALL_OFFERS_DELIVERED", ""));
	return NULL;
}

static const char *no_offers_yet(void)
{
	NEED(hb_info().version == scene.v && hb_info().features == scene.features);
	if (scene.reserved)
		NEED(says(M_REQUEST_OFFERS, "OFFER_CHANNEL(2) ALL_OFFERS_DELIVERED", ""));
	/* device 2 only: the lowest id */
	else if (scene.state == REVOKED || scene.state == REVOKING || scene.state == BUILDING_REVOKED)
		NEED(says(M_REQUEST_OFFERS, "OFFER_CHANNEL(1) ALL_OFFERS_DELIVERED", ""));
	else
		NEED(says(M_REQUEST_OFFERS, "OFFER_CHANNEL(1) OFFER_CHANNEL(2) ALL_OFFERS_DELIVERED", ""));
	return NULL;
}

static const char *refused(void)
{
	const char *answer = scene.contact_fails == BAD && scene.v >= VMB_V2_4 ? "VERSION_RESPONSE(failed)" :
		"VERSION_RESPONSE(no)";

	return drains(answer, VMB_BUS_NONE);
}

static const char *trusted_only(void)
{
	uint64_t dropped = hb_info().dropped;
	struct post p;

	NEED(hb_info().trusted == 1);
	NEED(scene_post(M_OPEN, LEGAL, 0, &p) && scene_say(&p) == VMB_HV_SUCCESS);
	NEED(hears("", "") && hb_info().dropped == dropped + 1);
	NEED(says(M_OPEN, "", "OPEN(1)")); /* by the other door */
	return NULL;
}

/* ---- channel 1 */

/* By a ring of its own. */
static const char *opens(void)
{
	struct post p;

	p.len = hb_gpadl_bytes(p.bytes, 1, PROOF2, 0x80, 4);
	NEED(scene_say(&p) == VMB_HV_SUCCESS && hears("GPADL_CREATED(ok)", ""));
	NEED(scene_post(M_OPEN, LEGAL, 0, &p));
	put32(p.bytes + 16, PROOF2);
	scene.open_id = OPEN_ID;
	NEED(scene_say(&p) == VMB_HV_SUCCESS && hears("", "OPEN(1)"));
	NEED(attaches());
	return NULL;
}

static const char *closed(void)
{
	uint32_t lists_now = hb_info().gpadls;

	NEED(says(M_BODY, "", ""));
	if (!scene.spare2_gone) {
		NEED(says(M_TEARDOWN, "GPADL_TORNDOWN", ""));
		NEED(hb_info().gpadls == lists_now - 1);
	}
	NEED(says(M_CLOSE, "", ""));
	return opens();
}

static const char *building(void)
{
	NEED(says(M_BODY, "GPADL_CREATED(ok)", ""));
	return closed();
}

static const char *list_held(bool asked)
{
	NEED(says(M_TEARDOWN, "", asked ? "" : "GPADL_DOWN(1)"));
	NEED(scene.hold_asked);
	NEED(scene_let_go());
	NEED(hears("GPADL_TORNDOWN", ""));
	scene.spare2_gone = true;
	return closed();
}

static const char *opening(bool reserved)
{
	scene.open_id = reserved ? 0 : scene.open_id;
	NEED(scene.open_waits);
	NEED(attaches());
	if (reserved) {
		NEED(says(M_CLOSE, "", ""));
		NEED(says(M_CLOSE_RESERVED, "", "CLOSE(1)"));
		NEED(detaches("CLOSE_RESERVED_RESPONSE", "CLOSED(1)"));
	} else {
		NEED(says(M_CLOSE, "", "CLOSE(1)"));
	}
	return NULL;
}

static const char *opened(enum host_state s)
{
	bool interrupts = s == OPEN || (s == OPEN_TEARING && scene.state != OPEN_SILENT);

	NEED(scene.ch[1]);
	NEED(scene_interrupts(1) == interrupts);
	NEED(hears("", ""));
	if (scene.v >= VMB_V5_3)
		NEED(says(M_MODIFY, interrupts ? "MODIFY_CHANNEL_RESPONSE(ok)" : "MODIFY_CHANNEL_RESPONSE(fail)", ""));
	NEED(says(M_CLOSE, "", "CLOSE(1)"));
	NEED(detaches(s == OPEN_TEARING ? "GPADL_TORNDOWN(ring)" : "", "CLOSED(1)"));
	return NULL;
}

/* The signaller goes; then there is the answer, and interrupts go where the last request said. */
static const char *moving(void)
{
	unsigned before = hb->interrupts;
	uint32_t vp = scene.moved_again && scene.v < VMB_V5_3 ? 3 : 2;

	NEED(hears("", "") && hb->interrupts == before);
	scene_unblock();
	put32(scene.last.bytes + 8, 1); /* the channel that the answer names */
	NEED(hears(scene.v >= VMB_V5_3 ? "MODIFY_CHANNEL_RESPONSE(ok)" : "", ""));
	before = hb->interrupts;
	NEED(scene_interrupts(1));
	NEED(hb->interrupt[before % 64].vp == vp);
	return opened(OPEN);
}

static const char *closing(enum host_state s)
{
	const char *torn = scene.ring_torn ? "GPADL_TORNDOWN(ring)" : "";

	NEED(scene.asked[1] && !scene.reserved);
	NEED(s == REOPENING || s == CLOSING_RELEASED || (s == CLOSING_TEARING) == scene.ring_torn);
	if (s == CLOSING_RELEASED) {
		NEED(lists(1, "GPADL_CREATED(fail)"));
		NEED(detaches("", "CLOSED(1)"));
		return NULL;
	}
	NEED(lists(1, "GPADL_CREATED(ok)"));
	if (s == REOPENING) {
		NEED(detaches(torn, "CLOSED(1) OPEN(1)"));
		NEED(attaches());
		return NULL;
	}
	NEED(detaches(torn, "CLOSED(1)"));
	return opens();
}

static const char *unnamed(void)
{
	NEED(lists(1, "GPADL_CREATED(fail)"));
	NEED(lists(2, "GPADL_CREATED(ok)"));
	NEED(!scene.asked[1] && !scene.open_waits);
	NEED(vmb_host_detach(hb->h, scene.dev[1]) < 0);
	return NULL;
}

static const char *revoked(enum host_state s)
{
	if (s == REVOKING) {
		NEED(scene.asked[1]);
		NEED(detaches("RESCIND_CHANNEL_OFFER(1)", "CLOSED(1)"));
	}
	NEED(says(M_BODY, s == BUILDING_REVOKED ? "GPADL_CREATED(ok)" : "", ""));
	NEED(lists(1, "GPADL_CREATED(ok)"));
	NEED(says(M_OPEN, "", ""));
	NEED(says(M_RELEASED, s == REOFFERED ? "OFFER_CHANNEL(1)" : "", "GONE(1)"));
	if (s != REOFFERED)
		NEED(lists(1, "GPADL_CREATED(fail)"));
	return NULL;
}

static const char *reserved(enum host_state s)
{
	NEED(scene.reserved);
	NEED((hb_info().state == VMB_BUS_NONE) == (s == RESERVED_CLOSING_LEFT));
	if (s == RESERVED_CLOSING || s == RESERVED_CLOSING_LEFT) {
		NEED(scene.asked[1]);
	} else {
		NEED(!scene.asked[1] && scene.ch[1]);
		NEED(!scene_interrupts(1));
		NEED(says(M_CLOSE, "", ""));
		NEED(lists(1, "GPADL_CREATED(fail)"));
		NEED(says(M_CLOSE_RESERVED, "", "CLOSE(1)"));
	}
	/* one that this connection has not been offered may be offered to it then: 10.5 does not say */
	NEED(detaches(s == RESERVED_KEPT || scene.state == RESERVED_KEPT ? "CLOSE_RESERVED_RESPONSE OFFER_CHANNEL(1)?" :
		"CLOSE_RESERVED_RESPONSE",
		      "CLOSED(1)"));
	return NULL;
}

static const char *prove(enum host_state s)
{
	switch (s) {
	case DISCONNECTED: case LEFT: case RESERVED_LEFT:
		return not_connected(s);
	case RESERVED_CLOSING_LEFT:
		NEED(hb_info().state == VMB_BUS_NONE);
		return reserved(s);
	case CONTACTED: case PAUSED_EARLY:
		return no_offers_yet();
	case OFFERED: case PAUSED:
		return closed();
	case BUILDING:
		return building();
	case HELD: case TEARING:
		return list_held(s == TEARING);
	case OPENING: case RESERVED_OPENING:
		return opening(s == RESERVED_OPENING);
	case OPEN: case OPEN_SILENT: case OPEN_TEARING:
		return opened(s);
	case MOVING:
		return moving();
	case CLOSING: case CLOSING_TEARING: case REOPENING: case CLOSING_RELEASED:
		return closing(s);
	case RELEASED:
		return unnamed();
	case REVOKING: case REVOKED: case REOFFERED: case BUILDING_REVOKED:
		return revoked(s);
	case RESERVED_OPEN: case RESERVED_CLOSING: case RESERVED_KEPT:
		return reserved(s);
	case UNLOADING: case UNLOADING_OPENING: case UNLOADING_RESERVED:
		return drains(scene.v >= VMB_V1_1 ? "UNLOAD_COMPLETE" : "", VMB_BUS_NONE);
	case RECONTACTING: {
		const char *wrong = drains("VERSION_RESPONSE(ok)", VMB_BUS_CONNECTED);

		return wrong ? wrong : no_offers_yet();
	}
	case REFUSING:
		return refused();
	case RESETTING:
		return drains("", VMB_BUS_NONE);
	case TRUSTED:
		return trusted_only();
	case HOST_STATES:
		break;
	}
	return table_fault(__FILE__, __LINE__);
}

const char *scene_prove(enum host_state s, bool paused, bool asked)
{
	bool early = s == PAUSED_EARLY || (paused && (s == CONTACTED));

	if (s == PAUSED || s == PAUSED_EARLY || paused) {
		bool free = s == RELEASED || s == CLOSING_RELEASED; /* id 1 */
		struct vmb_offer third;

		NEED(hb_info().paused == 1);
		hb_offer_fill(&third, 3, 0);
		NEED(vmb_host_offer(hb->h, &third, &scene.dev[3]) == 0);
		NEED(hears("", ""));
		NEED(says(M_RESUME, early ? "" : free ? "OFFER_CHANNEL(1)" : "OFFER_CHANNEL(3)", ""));
		if (free)
			return NULL;
		if (early) {
			NEED(says(M_REQUEST_OFFERS, "OFFER_CHANNEL(1) OFFER_CHANNEL(2) OFFER_CHANNEL(3) ALL_OFFERS_DELIVERED",
				""));
			return NULL;
		}
	}
	NEED(hb_info().paused == 0);
	if (asked) {
		NEED(vmb_host_answer(hb->h, &scene.hvsock, -1) == 0);
		NEED(hears(scene.v >= VMB_V4_1 ? "TL_CONNECT_RESULT(refused)" : "", ""));
	}
	return prove(s);
}

/* To a guest that sees only what is said; what a device holds is another matter. */
bool scene_alike(enum host_state a, enum host_state b)
{
	static const uint8_t kind[HOST_STATES] = { [DISCONNECTED] = 1, [LEFT] = 1, [UNLOADING] = 2, [UNLOADING_OPENING] = 2,
						   [UNLOADING_RESERVED] = 2, [RESERVED_OPEN] = 3, [RESERVED_KEPT] = 3 };

	return a == b || (kind[a] && kind[a] == kind[b]);
}
