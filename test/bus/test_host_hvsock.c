/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Hyper-V sockets at the host: connects of the guest, their answers, channels that are not opened. control-plane.md 15 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

static void start(uint32_t version, uint32_t max)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .max_hvsock = max };

	hb_new(&cfg, 0);
	hb_connect(version);
	hb_drain_events();
}

static void request_bytes(uint8_t msg[56], unsigned n)
{
	memset(msg, 0, 56);
	msg[0] = 21;
	for (unsigned i = 8; i < 56; i++)
		msg[i] = (uint8_t)(i + n);
}

static int request(unsigned n, uint32_t len)
{
	uint8_t msg[56];

	request_bytes(msg, n);
	return hb_post(1, msg, len);
}

static void result(unsigned n, uint32_t status)
{
	const struct hb_message *m = hb_next();
	uint8_t msg[56];

	request_bytes(msg, n);
	cr_assert_not_null(m);
	cr_assert_eq(m->len, 44);
	cr_assert_eq(m->data[0], 23);
	cr_assert_eq(memcmp(m->data + 8, msg + 8, 32), 0);
	cr_assert_eq(get32(m->data + 40), status);
}

static struct vmb_event asked(void)
{
	hb_event(VMB_EV_HVSOCK, 0);
	cr_assert_eq(hb->ev.flags, VMB_EVF_ASK);
	return hb->ev;
}

Test(host_hvsock, an_accepted_connect_is_an_offer)
{
	struct vmb_offer o = { .size = sizeof o, .user = 5 };
	struct vmb_hvsock s, seen;
	struct vmb_event ev;
	const uint8_t *m;
	uint8_t msg[56];
	vmb_handle ch;

	start(VMB_V5_3, 4);
	request_bytes(msg, 1);
	cr_assert_eq(request(1, 56), VMB_HV_SUCCESS);
	ev = asked();
	cr_assert_eq(vmb_host_hvsock(hb->h, &ev, &s), 0);
	cr_assert_eq(memcmp(&s.endpoint, msg + 8, 16), 0);
	cr_assert_eq(memcmp(&s.service, msg + 24, 16), 0);
	cr_assert_eq(memcmp(&s.silo, msg + 40, 16), 0);
	cr_assert_eq(s.flags, VMB_HVSOCK_SILO);
	cr_assert_eq(vmb_hvsock_offer(&s, &o), 0);
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	cr_assert_eq(vmb_host_answer(hb->h, &ev, 0), 0);
	m = hb_next()->data;
	cr_assert_eq(m[0], 1);
	cr_assert_eq(memcmp(m + 8, msg + 24, 16), 0);
	cr_assert_eq(memcmp(m + 24, msg + 8, 16), 0);
	cr_assert_eq(get32(m + 56) & 0xffff, 0x2011);
	cr_assert_eq(memcmp(m + 60, "\0\0\0\0\0\0\1\0\0\0", 10), 0);
	cr_assert_eq(memcmp(m + 70, msg + 40, 16), 0);
	hb_quiet(); /* no result where it worked */
	memcpy(o.user_defined, m + 60, 120);
	cr_assert_eq(vmb_hvsock_of(&o, &seen), 0);
	cr_assert_eq(memcmp(&s, &seen, sizeof s), 0);
	cr_assert_eq(vmb_host_answer(hb->h, &ev, 0), VMB_ENOENT);
	cr_assert_eq(vmb_host_hvsock(hb->h, &ev, &s), VMB_ENOENT);
}

Test(host_hvsock, an_old_guest_names_no_silo)
{
	struct vmb_hvsock s;
	struct vmb_event ev;

	start(VMB_V5_3, 4);
	cr_assert_eq(request(1, 40), VMB_HV_SUCCESS);
	ev = asked();
	cr_assert_eq(vmb_host_hvsock(hb->h, &ev, &s), 0);
	cr_assert_eq(s.flags, 0);
	for (int i = 0; i < 16; i++)
		cr_assert_eq(s.silo.byte[i], 0);
}

Test(host_hvsock, a_refusal_is_told_from_4_1_on)
{
	struct vmb_event ev;

	start(VMB_V4_1, 4);
	cr_assert_eq(request(1, 40), VMB_HV_SUCCESS);
	ev = asked();
	cr_assert_eq(vmb_host_answer(hb->h, &ev, VMB_EPLATFORM), 0);
	result(1, 0xc0000236);
	cr_assert_eq(request(2, 40), VMB_HV_SUCCESS);
	ev = asked();
	cr_assert_eq(vmb_host_answer(hb->h, &ev, (int32_t)0xc0000034), 0);
	result(2, 0xc0000034);
	hb_free(hb);
	start(VMB_V4_0, 4);
	cr_assert_eq(request(1, 40), VMB_HV_SUCCESS);
	ev = asked();
	cr_assert_eq(vmb_host_answer(hb->h, &ev, VMB_EPLATFORM), 0);
	hb_quiet();
}

Test(host_hvsock, no_service_is_no_connect)
{
	uint8_t msg[56];

	start(VMB_V5_3, 4);
	request_bytes(msg, 1);
	memset(msg + 24, 0, 16);
	cr_assert_eq(hb_post(1, msg, 56), 0);
	hb_no_event();
	cr_assert_eq(hb_next()->data[40], 0x36);
}

Test(host_hvsock, no_more_than_the_limit_wait_and_refusals_wait_for_the_slot)
{
	struct vmb_event ev[3];
	int r = 0;
	unsigned n;

	start(VMB_V5_3, 3);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(request(i, 40), VMB_HV_SUCCESS);
		ev[i] = asked();
	}
	cr_assert_eq(request(3, 40), VMB_HV_SUCCESS);
	result(3, 0xc0000236);
	cr_assert_eq(hb_info().refused_quota, 1);
	hb->busy = true;
	for (n = 4; n < 20 && !r; n++)
		r = request(n, 40);
	cr_assert_eq(r, VMB_HV_NO_BUFFERS); /* come again */
	cr_assert_eq(n, 9);
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 0), 0);
	for (unsigned i = 4; i < 8; i++)
		result(i, 0xc0000236);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(vmb_host_answer(hb->h, &ev[i], 1), 0);
		result(i, 1);
	}
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(request(i, 40), VMB_HV_SUCCESS);
	for (unsigned i = 0; i < 3; i++)
		(void)asked();
	hb_quiet();
	hb_sound();
}

Test(host_hvsock, questions_lose_their_sense_with_the_connection)
{
	struct vmb_event ev;
	struct vmb_hvsock s;

	start(VMB_V5_3, 2);
	cr_assert_eq(request(1, 40), VMB_HV_SUCCESS);
	ev = asked();
	cr_assert_eq(request(2, 40), VMB_HV_SUCCESS); /* not asked about yet */
	hb_unload();
	hb_expect(17, 0);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_no_event();
	cr_assert_eq(vmb_host_hvsock(hb->h, &ev, &s), VMB_ENOENT);
	hb_connect(VMB_V5_3);
	hb_drain_events();
	cr_assert_eq(request(3, 40), VMB_HV_SUCCESS); /* the first one still takes its place */
	(void)asked();
	cr_assert_eq(vmb_host_answer(hb->h, &ev, 1), VMB_ENOENT);
	hb_quiet();
	cr_assert_eq(request(4, 40), VMB_HV_SUCCESS);
	(void)asked();
	cr_assert_eq(vmb_host_hvsock(NULL, &ev, &s), VMB_EINVAL);
	cr_assert_eq(vmb_host_hvsock(hb->h, NULL, &s), VMB_EINVAL);
	cr_assert_eq(vmb_host_hvsock(hb->h, &ev, NULL), VMB_EINVAL);
}

/* ---- who offers must be answered in time */

static vmb_handle offer(unsigned n)
{
	struct vmb_hvsock s = { .endpoint = { { (uint8_t)n, 1 } }, .service = { { 7 } }, .flags = VMB_HVSOCK_TO_GUEST };
	struct vmb_offer o = { .size = sizeof o, .user = n };
	vmb_handle ch;

	cr_assert_eq(vmb_hvsock_offer(&s, &o), 0);
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	return ch;
}

static uint32_t poll_at(uint64_t now)
{
	int r = vmb_host_poll(hb->h, now, &hb->ev);

	cr_assert_geq(r, 0);
	return hb->ev.kind;
}

Test(host_hvsock, an_offer_that_is_not_opened_in_time_is_withdrawn)
{
	enum { MS = 1000000 };
	vmb_handle a, b, c;

	start(VMB_V5_3, 0);
	a = offer(1);
	b = offer(2);
	cr_assert_eq(hb_next()->data[64], 1); /* is_for_guest_accept */
	hb_skip();
	cr_assert_eq(poll_at(1), 0);
	cr_assert_eq(hb->ev.deadline, 1 + 5000ull * MS);
	c = offer(3);
	hb_skip();
	cr_assert_eq(poll_at(1000ull * MS), 0);
	cr_assert_eq(hb->ev.deadline, 1 + 5000ull * MS);
	hb_gpadl(2, 5, 0x20, 4); /* the second one is opened */
	hb_expect(10, 3, 2, 5, 0);
	hb_open(2, 3, 5, 0);
	cr_assert_eq(poll_at(5000ull * MS), VMB_EV_OPEN);
	cr_assert_eq(hb->ev.ch, b);
	hb_quiet();
	cr_assert_eq(poll_at(5000ull * MS + 1), 0);
	hb_expect(2, 1, 1);
	cr_assert_eq(hb->ev.deadline, 6000ull * MS);
	hb_rel(1);
	cr_assert_eq(poll_at(5000ull * MS + 2), VMB_EV_GONE);
	cr_assert_eq(hb->ev.ch, a);
	cr_assert_eq(hb->ev.status, VMB_ETIMEDOUT);
	cr_assert_eq(vmb_host_remove(hb->h, c), 0); /* by its device: no time-out */
	hb_expect(2, 1, 3);
	hb_rel(3);
	cr_assert_eq(poll_at(9000ull * MS), VMB_EV_GONE);
	cr_assert_eq(hb->ev.ch, c);
	cr_assert_eq(hb->ev.status, 0);
	cr_assert_eq(poll_at(9000ull * MS), 0);
	cr_assert_eq(hb->ev.deadline, UINT64_MAX);
}

Test(host_hvsock, without_a_clock_nothing_times_out)
{
	start(VMB_V5_3, 0);
	(void)offer(1);
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_eq(poll_at(0), 0);
		cr_assert_eq(hb->ev.deadline, UINT64_MAX);
	}
}

/* ---- the helpers */

Test(host_hvsock, helpers)
{
	struct vmb_hvsock s = { .flags = 8 };
	struct vmb_offer o = { .size = sizeof o };
	struct vmb_guid guid;
	char text[37];

	cr_assert_eq(vmb_hvsock_offer(&s, &o), VMB_EINVAL);
	cr_assert_eq(vmb_hvsock_offer(NULL, &o), VMB_EINVAL);
	cr_assert_eq(vmb_hvsock_offer(&s, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_hvsock_of(&o, &s), VMB_ENOENT);
	cr_assert_eq(vmb_hvsock_of(NULL, &s), VMB_EINVAL);
	cr_assert_eq(vmb_hvsock_of(&o, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_hvsock_port(0x400, &guid), 0);
	cr_assert_eq(vmb_guid_format(&guid, text), 0);
	cr_assert_str_eq(text, "00000400-facb-11e6-bd58-64006a7986d3");
	cr_assert_eq(vmb_hvsock_port(1, NULL), VMB_EINVAL);
	s.flags = VMB_HVSOCK_TO_GUEST | VMB_HVSOCK_CONTAINER;
	cr_assert_eq(vmb_hvsock_offer(&s, &o), 0);
	cr_assert_eq(o.user_defined[4], 1);
	cr_assert_eq(o.user_defined[5], 1);
	cr_assert_eq(o.user_defined[6], 0);
	cr_assert_eq(o.flags, 0x2011);
}
