/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Every cell of the two tables of control-plane.md 17.2: what each message of the guest, and each answer of the device, does in
 * each state of a channel. A cell that must change nothing is followed by what proves the state that there was.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

enum state { CLOSED, OPENING, OPEN, CLOSING, REOPEN, REVOKED, REOFFERED, NO_ID, RELEASED };
enum message { M_OPEN, M_OPEN_RESERVED, M_CLOSE, M_CLOSE_RESERVED, M_HEADER, M_TEARDOWN, M_MODIFY, M_RELEASE };
enum outcome { WORKS, ERR, ERR_REPLY, SILENT };

enum { GPADL = 0x99, SPARE = 0x77, SPARE2 = 0x78 };

static vmb_handle dev, again;
static struct vmb_channel *channel;
static uint32_t version = VMB_V5_3;

/* Channel 1 in this state, with a spare ring GPADL each for a second open and a tear-down; nothing unread. */
static void enter(enum state s)
{
	hb_start(1);
	dev = hb_handle(1);
	hb_connect(version);
	hb_gpadl(1, SPARE, 0x80, 4);
	hb_expect(10, 3, 1, SPARE, 0);
	hb_gpadl(1, SPARE2, 0x84, 4);
	hb_expect(10, 3, 1, SPARE2, 0);
	if (s == OPENING) {
		hb_gpadl(1, hb_ring_id(1), hb_ring_pfn(1), 4);
		hb_expect(10, 3, 1, hb_ring_id(1), 0);
		hb_open(1, 77, hb_ring_id(1), 0);
		hb_event(VMB_EV_OPEN, dev);
	}
	if (s == OPEN || s == CLOSING || s == REOPEN)
		channel = hb_serve(1, dev, 1, 0);
	if (s == CLOSING || s == REOPEN) {
		hb_close(1);
		hb_event(VMB_EV_CLOSE, dev);
	}
	if (s == REOPEN)
		hb_open(1, 78, SPARE, 1);
	if (s == REVOKED || s == REOFFERED) {
		cr_assert_eq(vmb_host_remove(hb->h, dev), 0);
		hb_expect(2, 1, 1);
	}
	if (s == REOFFERED)
		again = hb_offer(1);
	if (s == RELEASED)
		hb_rel(1);
	hb_quiet();
	hb_no_event();
}

static void offered_again(void)
{
	const struct hb_message *m = hb_next();

	cr_assert_not_null(m);
	cr_assert_eq(m->data[0], 1);
	cr_assert_eq(m->data[184], 1);
}

static void opens(void)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
}

/* The channel is in this state, for what comes next is what comes of it. */
static void prove(enum state s)
{
	switch (s) {
	case CLOSED:
		opens();
		break;
	case OPENING:
		cr_assert_eq(hb_attach(1, dev, &channel), 0);
		hb_expect(6, 3, 1, 77, 0);
		break;
	case OPEN:
		hb_no_event();
		hb_modify(1, 1);
		hb_expect(24, 2, 1, 0);
		hb_close(1);
		hb_event(VMB_EV_CLOSE, dev);
		break;
	case CLOSING:
		cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
		hb_event(VMB_EV_CLOSED, dev);
		hb_no_event();
		break;
	case REOPEN:
		cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
		hb_event(VMB_EV_CLOSED, dev);
		hb_event(VMB_EV_OPEN, dev);
		cr_assert_eq(hb_attach(2, dev, &channel), 0);
		hb_expect(6, 3, 1, 78, 0);
		break;
	case REVOKED:
		hb_rel(1);
		hb_event(VMB_EV_GONE, dev);
		break;
	case REOFFERED:
		hb_rel(1);
		offered_again();
		hb_event(VMB_EV_GONE, dev);
		break;
	case NO_ID:
		opens();
		break;
	case RELEASED:
		hb_no_event();
		hb_gpadl(1, GPADL, 0x90, 1);
		hb_expect(10, 3, 1, GPADL, 0x8000ffff);
		break;
	}
	hb_no_event();
	hb_quiet();
	hb_sound();
}

static void say(enum message m, uint32_t id)
{
	switch (m) {
	case M_OPEN:
		hb_open(id, 79, SPARE, 1);
		break;
	case M_OPEN_RESERVED:
		hb_words(18, 5, id, 0, 2, SPARE, 2);
		break;
	case M_CLOSE:
		hb_close(id);
		break;
	case M_CLOSE_RESERVED:
		hb_words(19, 3, id, 0, 2);
		break;
	case M_HEADER:
		hb_gpadl(id, GPADL, 0x90, 1);
		break;
	case M_TEARDOWN:
		hb_teardown(id, SPARE2);
		break;
	case M_MODIFY:
		hb_modify(id, 3);
		break;
	case M_RELEASE:
		hb_rel(id);
		break;
	}
}

/* What the cells say that do something; the state that they end in is proved. */
static void works(enum message m, enum state s)
{
	uint32_t id = s == NO_ID ? 9 : 1;

	if (m == M_HEADER && (s == NO_ID || s == RELEASED)) {
		hb_expect(10, 3, id, GPADL, 0x8000ffff);
		prove(s);
	} else if (m == M_HEADER) {
		hb_expect(10, 3, 1, GPADL, 0);
		prove(s);
	} else if (m == M_TEARDOWN) {
		hb_expect(12, 1, SPARE2);
		prove(s);
	} else if (m == M_OPEN && s == CLOSED) {
		hb_event(VMB_EV_OPEN, dev);
		cr_assert_eq(hb_attach(1, dev, &channel), 0);
		hb_expect(6, 3, 1, 79, 0);
	} else if (m == M_OPEN_RESERVED) {
		hb_event(VMB_EV_OPEN, dev);
		cr_assert_eq(hb_attach(1, dev, &channel), 0);
		hb_expect(6, 3, 1, 0, 0);
	} else if (m == M_OPEN && s == CLOSING) {
		cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
		hb_event(VMB_EV_CLOSED, dev);
		hb_event(VMB_EV_OPEN, dev);
		cr_assert_eq(hb_attach(2, dev, &channel), 0);
		hb_expect(6, 3, 1, 79, 0);
	} else if (m == M_CLOSE) {
		hb_event(VMB_EV_CLOSE, dev);
		prove(CLOSING);
	} else if (m == M_MODIFY) {
		hb_expect(24, 2, 1, 0);
		prove(OPEN);
	} else if (m == M_RELEASE && s == CLOSED) {
		prove(RELEASED);
	} else if (m == M_RELEASE && s == CLOSING) { /* ClosingClientRelease */
		hb_gpadl(1, GPADL, 0x90, 1);
		hb_expect(10, 3, 1, GPADL, 0x8000ffff);
		cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
		hb_event(VMB_EV_CLOSED, dev);
		hb_quiet();
	} else if (m == M_RELEASE) {
		if (s == REOFFERED)
			offered_again();
		hb_event(VMB_EV_GONE, dev);
	} else {
		cr_assert_fail("no such cell");
	}
	hb_quiet();
	hb_no_event();
}

static void cell(enum message m, enum state s, enum outcome o)
{
	uint64_t dropped;
	uint32_t id = s == NO_ID ? 9 : 1;

	enter(s);
	dropped = hb_info().dropped;
	say(m, id);
	cr_assert_eq(hb_info().dropped, dropped + (o == ERR), "dropped %d", (int)(hb_info().dropped - dropped));
	if (o == WORKS) {
		works(m, s);
		return;
	}
	if (o == ERR_REPLY)
		hb_expect(24, 2, id, 0x8000ffff);
	hb_quiet();
	hb_no_event();
	prove(s);
}

#define CELL(m, s, o) Test(host_states, m##_in_##s) { cell(M_##m, s, o); }
#define ROW(m, a, b, c, d, e, f, g) \
	CELL(m, CLOSED, a) CELL(m, OPENING, b) CELL(m, OPEN, c) CELL(m, CLOSING, d) CELL(m, REOPEN, e) \
	CELL(m, REVOKED, f) CELL(m, REOFFERED, f) CELL(m, NO_ID, g) CELL(m, RELEASED, g)

/*                 Closed     Opening    Open       Closing    Reopen     Revoked    no such id */
ROW(OPEN,          WORKS,     ERR,       ERR,       WORKS,     ERR,       SILENT,    ERR)
ROW(CLOSE,         ERR,       ERR,       WORKS,     ERR,       ERR,       SILENT,    ERR)
ROW(HEADER,        WORKS,     WORKS,     WORKS,     WORKS,     WORKS,     WORKS,     WORKS)
ROW(TEARDOWN,      WORKS,     WORKS,     WORKS,     WORKS,     WORKS,     WORKS,     ERR)
ROW(MODIFY,        ERR_REPLY, ERR_REPLY, WORKS,     ERR_REPLY, ERR_REPLY, ERR_REPLY, ERR_REPLY)
ROW(RELEASE,       WORKS,     ERR,       ERR,       WORKS,     ERR,       WORKS,     ERR)
ROW(OPEN_RESERVED, WORKS,     ERR,       ERR,       ERR,       ERR,       SILENT,    ERR)
ROW(CLOSE_RESERVED, ERR,      ERR,       ERR,       ERR,       ERR,       SILENT,    ERR)

/* ---- versions */

#define MODIFY_WITHOUT_RESPONSE(v, drops) \
	Test(host_states, MODIFY_at_##v) \
	{ \
		version = VMB_##v; \
		enter(OPEN); \
		hb_modify(1, 3); \
		hb_quiet(); \
		cr_assert_eq(hb_info().dropped, drops); \
		cr_assert_eq(vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND }), 0); \
		cr_assert_eq(hb->interrupt[0].vp, (drops) ? 0 : 3); \
		hb_modify(9, 3); /* no such channel: not even an error */ \
		hb_modify(1, VMB_VP_NONE); \
		hb_quiet(); \
		cr_assert_eq(hb_info().dropped, (drops) + 2); \
	}
MODIFY_WITHOUT_RESPONSE(V2_4, 1)
MODIFY_WITHOUT_RESPONSE(V3_0, 1)
MODIFY_WITHOUT_RESPONSE(V4_0, 1)
MODIFY_WITHOUT_RESPONSE(V4_1, 0)
MODIFY_WITHOUT_RESPONSE(V5_0, 0)
MODIFY_WITHOUT_RESPONSE(V5_1, 0)
MODIFY_WITHOUT_RESPONSE(V5_2, 0)

/* ---- the table of answers */

/* OpeningClientRelease: the guest has left while the device was asked. */
static void enter_opening_client_release(void)
{
	enter(OPENING);
	hb_unload();
	hb_expect(17, 0);
}

Test(host_states, open_ok_in_OPENING)
{
	enter(OPENING);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_expect(6, 3, 1, 77, 0);
	prove(OPEN);
}

Test(host_states, open_ok_elsewhere_in_OPENING)
{
	struct vmb_event open;

	hb_start(1);
	dev = hb_handle(1);
	hb_connect(version);
	hb_gpadl(1, 5, 0x20, 4);
	hb_expect(10, 3, 1, 5, 0);
	hb_open(1, 77, 5, 0);
	hb_event(VMB_EV_OPEN, dev);
	open = hb->ev;
	cr_assert_eq(vmb_host_answer(hb->h, &open, 0), 0);
	hb_expect(6, 3, 1, 77, 0);
	cr_assert_eq(vmb_host_answer(hb->h, &open, 0), VMB_ENOENT);
	prove(OPEN);
	cr_assert_eq(vmb_host_answer(hb->h, &open, 0), VMB_ENOENT); /* not the answer to CLOSE */
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), VMB_EINVAL); /* no event was that */
}

Test(host_states, open_failed_in_OPENING)
{
	static const struct { int32_t status; uint32_t wire; } row[] = {
		{ VMB_EPLATFORM, 0x8000ffff }, { -1, 0x8000ffff }, { VMB_EINVAL, 0x8000ffff },
		{ (int32_t)0xc0000001, 0xc0000001 },
		{ (int32_t)0x80004005, 0x80004005 }, { 1, 1 },
	};

	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		enter(OPENING);
		/* hb->ev was overwritten by the polls that found nothing: ask again by another open */
		hb_unload();
		hb_expect(17, 0);
		cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTOPPED);
		hb_connect(version);
		hb_gpadl(1, 5, 0x20, 4);
		hb_expect(10, 3, 1, 5, 0);
		hb_open(1, 80, 5, 0);
		hb_event(VMB_EV_OPEN, dev);
		cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, row[i].status), 0);
		hb_expect(6, 3, 1, 80, row[i].wire);
		prove(CLOSED);
		hb_free(hb);
	}
}

Test(host_states, open_ok_in_OpeningClientRelease)
{
	enter_opening_client_release();
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTOPPED);
	cr_assert_eq(hb->map_calls, 0);
	hb_quiet();
	cr_assert_eq(hb_info().late_answers, 1);
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTATE);
	hb_connect(version);
	prove(CLOSED);
}

Test(host_states, open_failed_in_OpeningClientRelease)
{
	struct vmb_event open;

	hb_start(1);
	dev = hb_handle(1);
	hb_connect(version);
	hb_gpadl(1, 5, 0x20, 4);
	hb_expect(10, 3, 1, 5, 0);
	hb_open(1, 77, 5, 0);
	hb_event(VMB_EV_OPEN, dev);
	open = hb->ev;
	hb_unload();
	hb_expect(17, 0);
	cr_assert_eq(vmb_host_answer(hb->h, &open, VMB_EPLATFORM), VMB_ENOENT);
	hb_quiet();
	cr_assert_eq(hb_info().late_answers, 1);
	hb_connect(version);
	prove(CLOSED);
}

Test(host_states, close_done_in_OPEN)
{
	enter(OPEN);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0); /* by itself: for the guest it stays open */
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
	hb_quiet();
	hb_modify(1, 3);
	hb_expect(24, 2, 1, 0);
	hb_close(1); /* nobody need be asked */
	hb_no_event();
	hb_teardown(1, hb_ring_id(1));
	hb_expect(12, 1, hb_ring_id(1));
	prove(CLOSED);
}

Test(host_states, close_done_in_CLOSING)
{
	enter(CLOSING);
	prove(CLOSING);
	hb_teardown(1, hb_ring_id(1));
	hb_expect(12, 1, hb_ring_id(1));
	prove(CLOSED);
}

Test(host_states, close_done_in_REOPEN)
{
	enter(REOPEN);
	prove(REOPEN);
}

Test(host_states, close_done_in_ClosingClientRelease)
{
	enter(CLOSING);
	hb_rel(1);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_quiet();
	prove(RELEASED);
	hb_connect(version);
	prove(CLOSED);
}

Test(host_states, close_done_after_unload)
{
	enter(OPEN);
	hb_unload();
	hb_event(VMB_EV_CLOSE, dev);
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(17, 0);
	hb_event(VMB_EV_CLOSED, dev);
}

#define NOTHING_TO_ANSWER(s) \
	Test(host_states, answers_in_##s) \
	{ \
		enter(s); \
		cr_assert_eq(hb_attach(3, dev, &channel), VMB_ESTATE); \
		cr_assert_eq(vmb_host_detach(hb->h, dev), VMB_ESTATE); \
		hb_quiet(); \
		prove(s); \
	}
NOTHING_TO_ANSWER(CLOSED)
NOTHING_TO_ANSWER(REVOKED)
NOTHING_TO_ANSWER(REOFFERED)
NOTHING_TO_ANSWER(RELEASED)

#define NO_SECOND_ATTACH(s) \
	Test(host_states, a_second_attach_in_##s) \
	{ \
		struct vmb_channel *other = NULL; \
		enter(s); \
		cr_assert_eq(hb_attach(3, dev, &other), VMB_ESTATE); \
		cr_assert_null(other); \
		prove(s); \
	}
NO_SECOND_ATTACH(OPEN)
NO_SECOND_ATTACH(CLOSING)
NO_SECOND_ATTACH(REOPEN)

Test(host_states, detach_in_OPENING)
{
	enter(OPENING);
	cr_assert_eq(vmb_host_detach(hb->h, dev), VMB_ESTATE);
	prove(OPENING);
}

/* ---- the table of the connection */

Test(host_states, offers_requested_again)
{
	enter(CLOSED);
	hb_request();
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 1);
}

static void connect_request(uint32_t len)
{
	uint8_t msg[56] = { 21 };

	for (int i = 8; i < 56; i++)
		msg[i] = (uint8_t)i;
	cr_assert_eq(hb_post(1, msg, len), 0);
}

#define TL_CONNECT(v, answers) \
	Test(host_states, TL_CONNECT_REQUEST_at_##v) \
	{ \
		version = VMB_##v; \
		enter(CLOSED); \
		connect_request(40); \
		if (answers) { \
			const struct hb_message *m = hb_next(); \
			cr_assert_not_null(m); \
			cr_assert_eq(m->len, 44); \
			cr_assert_eq(m->data[0], 23); \
			for (int i = 8; i < 40; i++) \
				cr_assert_eq(m->data[i], i); \
			cr_assert_eq(memcmp(m->data + 40, "\x36\x02\x00\xc0", 4), 0); \
			connect_request(56); \
			cr_assert_not_null(hb_next()); \
		} \
		hb_quiet(); \
		cr_assert_eq(hb_info().dropped, (answers) ? 0 : 1); \
	}
TL_CONNECT(V3_0, 0)
TL_CONNECT(V4_0, 0)
TL_CONNECT(V4_1, 1)
TL_CONNECT(V5_0, 1)
TL_CONNECT(V5_1, 1)
TL_CONNECT(V5_2, 1)
TL_CONNECT(V5_3, 1)
TL_CONNECT(V6_0, 1)

#define NOT_WITHOUT_ITS_FEATURE(type, words) \
	Test(host_states, message_##type##_does_not_exist_without_its_feature) \
	{ \
		version = VMB_V6_0; \
		enter(OPEN); \
		hb_words(type, words, 1, 0, 2, 5, 2); \
		hb_quiet(); \
		cr_assert_eq(hb_info().dropped, 1); \
		prove(OPEN); \
	}
NOT_WITHOUT_ITS_FEATURE(25, 4)
NOT_WITHOUT_ITS_FEATURE(27, 0)
NOT_WITHOUT_ITS_FEATURE(29, 0)

#define WRONG_WAY(type) \
	Test(host_states, message_##type##_goes_the_other_way) \
	{ \
		enter(OPEN); \
		hb_ones(type); \
		hb_quiet(); \
		cr_assert_eq(hb_info().dropped, 1); \
		prove(OPEN); \
	}
WRONG_WAY(0)
WRONG_WAY(1)
WRONG_WAY(2)
WRONG_WAY(4)
WRONG_WAY(6)
WRONG_WAY(10)
WRONG_WAY(12)
WRONG_WAY(15)
WRONG_WAY(17)
WRONG_WAY(20)
WRONG_WAY(23)
WRONG_WAY(24)
WRONG_WAY(26)
WRONG_WAY(28)
WRONG_WAY(30)
