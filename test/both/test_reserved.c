/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Reserved channels, sockets and the crash path between our own two ends. control-plane.md 10.5, 11, 15 */
#include "both.h"

#include <stdlib.h>
#include <string.h>

static const struct vmb_open reserved = { .flags = VMB_OPEN_RESERVED, .target_vp = 1, .target_sint = 5 };

static void start(uint32_t devices)
{
	both_config();
	both.gcfg.max_hvsock = 2;
	both.hcfg.max_hvsock = 2;
	both.gcfg.reply_ms = 100;
	both_init();
	for (uint32_t n = 0; n < devices; n++)
		both_offer(n, VMB_OFFER_ENUMERATE);
	both_connect();
}

/* Connected anew, it is offered again, and is a channel like others. */
static void an_ordinary_life(void)
{
	both_connect();
	both_open(0, NULL);
	both_talk(0);
	both_close(0);
}

Test(reserved, is_opened_used_and_closed)
{
	start(2);
	both_open(0, &reserved);
	cr_assert_eq(both.queue[(both.in - 1) % BOTH_QUEUE].sint, 5);
	both.interrupts = 0;
	both_talk(0);
	cr_assert_eq(both.interrupts, 0);
	cr_assert_eq(vmb_guest_target(both.g, both.ch[0].guest, 1), VMB_ESTATE);
	both_close(0);
	both_open(0, NULL); /* an ordinary one after it */
	both_talk(0);
	both_close(0);
}

/* Whoever leaves, the channel stays, and can be closed when nobody is connected. */
Test(reserved, outlives_its_connection)
{
	start(2);
	both_open(0, &reserved);
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	both_run();
	cr_assert_eq(both_guest(VMB_EV_RESCINDED, 0)->ch, both.ch[1].guest);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[1].guest), 0);
	both_run();
	both_guest(VMB_EV_GONE, 0);
	both_guest(VMB_EV_DISCONNECTED, 0);
	both_host(VMB_EV_DISCONNECTED, 0);
	both_talk(0);
	cr_assert_eq(vmb_guest_end(both.g), VMB_ESTATE);
	cr_assert_eq(vmb_guest_gpadl_create(both.g, both.ch[0].guest, &(struct vmb_list){ (uint64_t[]){ 4096, 3 }, 2, 1 }, &(uint32_t){ 0 }),
		     VMB_ESTATE);
	cr_assert_eq(vmb_guest_close(both.g, both.ch[0].guest), 0);
	both_give_back(0);
	both_guest(VMB_EV_RESCINDED, 0);
	both_guest(VMB_EV_CLOSED, 0);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[0].guest), 0);
	both_run();
	both_guest(VMB_EV_GONE, 0);
	cr_assert_eq(both_info(1).gpadls, 0);
	cr_assert_eq(vmb_guest_end(both.g), 0);
	an_ordinary_life();
}

/* While UNLOAD waits for other channels the host still keeps the lists of a channel that is closed: it must let go of the ring first. */
Test(reserved, is_closed_before_unload)
{
	start(2);
	both_open(0, &reserved);
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	both_run();
	cr_assert_eq(both_guest(VMB_EV_RESCINDED, 0)->ch, both.ch[1].guest);
	cr_assert_eq(vmb_guest_close(both.g, both.ch[0].guest), 0);
	both_give_back(0);
	cr_assert_eq(both_guest(VMB_EV_RESCINDED, 0)->ch, both.ch[0].guest);
	both_guest(VMB_EV_CLOSED, 0);
	cr_assert_eq(both_info(1).gpadls, 0);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[1].guest), 0);
	both_run();
	both_guest(VMB_EV_GONE, 0);
	cr_assert_eq(both_info(0).state, VMB_BUS_LEAVING); /* for the other */
	cr_assert_eq(vmb_guest_release(both.g, both.ch[0].guest), 0);
	both_run();
	both_guest(VMB_EV_GONE, 0);
	both_guest(VMB_EV_DISCONNECTED, 0);
	both_host(VMB_EV_DISCONNECTED, 0);
	an_ordinary_life();
}

/* Its lists go with it, and nobody says so: whoever closes it hears of that when the device holds none any more, be it open there or not. */
static uint32_t is_held(int detached)
{
	uint64_t words[3];
	struct vmb_list list;
	uint32_t gpadl;

	start(2);
	cr_assert_eq(vmb_guest_gpadl_create(both.g, both.ch[0].guest, &(struct vmb_list){ (uint64_t[]){ 4096, 3 }, 2, 1 }, &gpadl), 0);
	both_run();
	both_guest(VMB_EV_GPADL, 0);
	both_open(0, &reserved);
	cr_assert_eq(vmb_host_gpadl_hold(both.h, both.ch[0].host, gpadl, words, 3, &list), 0);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[1].guest), 0);
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	both_run();
	both_forget();
	if (detached) {
		cr_assert_eq(vmb_host_detach(both.h, both.ch[0].host), 0);
		both_run();
		both_host(VMB_EV_CLOSED, 0);
		cr_assert_eq(vmb_guest_close(both.g, both.ch[0].guest), 0);
		both_run();
	} else {
		cr_assert_eq(vmb_guest_close(both.g, both.ch[0].guest), 0);
		both_run();
		both_host(VMB_EV_CLOSE, 0);
		cr_assert_eq(vmb_host_detach(both.h, both.ch[0].host), 0);
		both_run();
	}
	both_host(VMB_EV_GPADL_DOWN, 0);
	if (!detached)
		both_host(VMB_EV_CLOSED, 0);
	both_quiet();
	cr_assert_eq(both_info(1).gpadls, 2);
	return gpadl;
}

static void was_held(void)
{
	both_guest(VMB_EV_RESCINDED, 0);
	both_guest(VMB_EV_CLOSED, 0);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[0].guest), 0);
	both_run();
	both_guest(VMB_EV_GPADL_DOWN, 0);
	both_guest(VMB_EV_GONE, 0);
	cr_assert_eq(both_info(1).gpadls, 0);
	an_ordinary_life();
}

Test(reserved, closes_when_its_lists_are_free)
{
	for (int detached = 0; detached < 2; detached++) {
		uint32_t gpadl = is_held(detached);

		cr_assert_eq(vmb_host_gpadl_release(both.h, both.ch[0].host, gpadl), 0);
		both_run();
		was_held();
	}
}

/* Or when the machine is reset. */
Test(reserved, is_reset_while_a_list_is_held)
{
	for (int detached = 0; detached < 2; detached++) {
		uint32_t gpadl = is_held(detached);

		cr_assert_eq(vmb_host_reset(both.h), 0);
		both_quiet();
		cr_assert_eq(vmb_host_gpadl_release(both.h, both.ch[0].host, gpadl), 0);
		both_run();
		both_host(VMB_EV_RESET, 0);
		cr_assert_eq(both_info(1).gpadls, 0);
	}
}

Test(reserved, goes_on_through_the_next_connection)
{
	vmb_handle kept;

	start(2);
	both_open(0, &reserved);
	kept = both.ch[0].guest;
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	both_run();
	cr_assert_eq(vmb_guest_release(both.g, both.ch[1].guest), 0);
	both_forget();
	both_connect();
	both_talk(0);
	both_open(1, NULL);
	cr_assert_eq(vmb_guest_disconnect(both.g), 0); /* and through one more */
	both_run();
	cr_assert_eq(vmb_guest_release(both.g, both.ch[1].guest), 0);
	both_run();
	cr_assert_eq(vmb_host_detach(both.h, both.ch[1].host), 0);
	both_forget();
	both_connect();
	both_talk(0);
	cr_assert_eq(vmb_guest_release(both.g, kept), 0);
	both_give_back(0);
	both_guest(VMB_EV_CLOSED, 0);
	both.ch[0].guest = both_guest(VMB_EV_OFFER, 0)->ch; /* the host offers it anew */
	cr_assert_eq(both_guest(VMB_EV_GONE, 0)->ch, kept);
	cr_assert_neq(both.ch[0].guest, kept);
	both_open(0, NULL);
	both_talk(0);
	both_close(0);
}

Test(reserved, is_closed_by_a_stranger)
{
	struct vmb_storage need;
	void *old = both.gmem;

	start(1);
	both_open(0, &reserved);
	old = both.gmem; /* the guest dies, another one takes over */
	cr_assert_eq(vmb_guest_storage(&both.gcfg, &need), 0);
	both.gmem = aligned_alloc(64, need.bytes);
	cr_assert_eq(vmb_guest_init(both.gmem, need.bytes, &both.gcfg, &both.g), 0);
	cr_assert_eq(vmb_guest_close_reserved(both.g, 0, 0, 2), VMB_EINVAL);
	cr_assert_eq(vmb_guest_close_reserved(both.g, 2048, 0, 2), VMB_EINVAL);
	cr_assert_eq(vmb_guest_close_reserved(both.g, 1, 0, 16), VMB_EINVAL);
	cr_assert_eq(vmb_guest_close_reserved(both.g, 1, 0, 2), 0);
	cr_assert_eq(vmb_guest_close_reserved(both.g, 1, 0, 2), VMB_ESTATE);
	both_give_back(0);
	cr_assert_eq(both_guest(VMB_EV_CLOSED, 0)->ch, 0);
	both_quiet();
	free(old);
	cr_assert_eq(vmb_guest_connect(both.g), 0);
	both_run();
	both_guest(VMB_EV_CONNECTED, 0);
	both_forget();
	cr_assert_eq(vmb_guest_close_reserved(both.g, 1, 0, 2), VMB_ESTATE); /* a channel of ours */
	cr_assert_eq(vmb_guest_close_reserved(both.g, 9, 0, 2), 0); /* nobody's: no answer */
	both.now = 1;
	both_quiet();
	both.now = 200000000;
	both_run();
	both_guest(VMB_EV_CLOSED, VMB_ETIMEDOUT);
	both.post_status = VMB_HV_INVALID_PARAMETER;
	cr_assert_eq(vmb_guest_close_reserved(both.g, 9, 0, 2), 0);
	both_run();
	both_guest(VMB_EV_CLOSED, VMB_EPLATFORM);
}

/* A list that was being announced when the connection ended will never be answered: nobody knows who has it. */
Test(reserved, what_is_not_answered_at_the_end_of_the_connection_never_is)
{
	uint64_t words[2] = { VMB_RANGE(4096, 0), 3 };
	uint32_t gpadl;

	both_config();
	both_init();
	both_offer(0, 1);
	both_connect();
	both_open(0, &reserved);
	both.hold = 1;
	cr_assert_eq(vmb_guest_gpadl_create(both.g, both.ch[0].guest, &(struct vmb_list){ words, 2, 1 }, &gpadl), 0);
	both_run();
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	both.out = both.in - 1; /* UNLOAD_COMPLETE; what was said before is lost */
	both.hold = 0;
	both_run();
	both_host(VMB_EV_DISCONNECTED, 0);
	cr_assert_eq(both_guest(VMB_EV_GPADL, VMB_ELEAK)->gpadl, gpadl);
	both_guest(VMB_EV_DISCONNECTED, VMB_ELEAK); /* the channel keeps it */
	cr_assert_eq(vmb_guest_release(both.g, both.ch[0].guest), 0);
	both_give_back(0);
	both_guest(VMB_EV_CLOSED, 0);
	both_guest(VMB_EV_GONE, 0);
	both_quiet();
	cr_assert_eq(vmb_guest_end(both.g), 0);
}

/* A host that could not be told of the end keeps the lists of a channel that is closed, and hears nothing of them before the next contact. */
Test(reserved, closed_after_an_end_that_could_not_be_told)
{
	uint64_t words[2] = { VMB_RANGE(4096, 0), 3 };
	uint32_t gpadl;

	start(1);
	cr_assert_eq(vmb_guest_gpadl_create(both.g, both.ch[0].guest, &(struct vmb_list){ words, 2, 1 }, &gpadl), 0);
	both_run();
	both_guest(VMB_EV_GPADL, 0);
	both_open(0, &reserved);
	both.post_status = VMB_HV_INVALID_PARAMETER;
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	both_run();
	both_guest(VMB_EV_DISCONNECTED, VMB_EPLATFORM);
	both.post_status = 0;
	cr_assert_eq(vmb_guest_close(both.g, both.ch[0].guest), 0);
	both_give_back(0);
	both_guest(VMB_EV_RESCINDED, 0);
	both_guest(VMB_EV_CLOSED, VMB_ELEAK);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[0].guest), 0);
	both_run();
	cr_assert_eq(both_guest(VMB_EV_GPADL_DOWN, VMB_ELEAK)->gpadl, gpadl);
	both_guest(VMB_EV_GONE, 0);
	cr_assert_eq(both_info(1).gpadls, 2);
	cr_assert_eq(vmb_guest_connect(both.g), 0);
	both_run();
	both_host(VMB_EV_DISCONNECTED, 0);
	both_host(VMB_EV_CONNECTED, 0);
	both_guest(VMB_EV_DISCONNECTED, 0); /* now it is free */
	cr_assert_eq(both_info(1).gpadls, 0);
}

/* A host that could not be told to close it has it open for good, whatever connections end. */
Test(reserved, that_cannot_be_closed_is_never_free)
{
	start(1);
	both_open(0, &reserved);
	both.post_status = VMB_HV_INVALID_PARAMETER;
	cr_assert_eq(vmb_guest_close(both.g, both.ch[0].guest), 0);
	both_run();
	both_guest(VMB_EV_CLOSED, VMB_ELEAK);
	both.post_status = 0;
	cr_assert_eq(vmb_guest_release(both.g, both.ch[0].guest), 0);
	both_run();
	both_guest(VMB_EV_GONE, 0);
	for (int again = 0; again < 2; again++) {
		cr_assert_eq(vmb_guest_disconnect(both.g), 0);
		both_run();
		both_guest(VMB_EV_DISCONNECTED, VMB_ELEAK);
		both_forget();
		both_connect(); /* and no more is said */
	}
	cr_assert_eq(both_info(1).gpadls, 1);
}

Test(reserved, an_answer_that_does_not_come_leaks_the_ring)
{
	start(1);
	both_open(0, &reserved);
	both.now = 1;
	both.hold = 1;
	cr_assert_eq(vmb_guest_close(both.g, both.ch[0].guest), 0);
	both_give_back(0);
	both.now = 200000000;
	both_run();
	both_guest(VMB_EV_CLOSED, VMB_ELEAK);
	both.hold = 0; /* late: it is cleaned up after all */
	both_run();
	cr_assert_eq(both_info(1).gpadls, 0);
	cr_assert_eq(both_info(0).late_answers, 2); /* the response, and TORNDOWN */
	both_quiet();
	both_open(0, NULL);
	both_close(0);
}

Test(reserved, arguments)
{
	struct vmb_open with = reserved;

	both_config();
	both.hcfg.max_version = VMB_V3_0;
	both_init();
	both_offer(0, 1);
	both_connect();
	cr_assert_eq(both_try_open(0, &with), VMB_EVERSION);
	both_config();
	both_init();
	both_offer(0, 1);
	both_connect();
	with.target_vp = VMB_VP_NONE;
	cr_assert_eq(both_try_open(0, &with), VMB_EINVAL);
	with = reserved;
	with.target_sint = 16;
	cr_assert_eq(both_try_open(0, &with), VMB_EINVAL);
	with = reserved;
	with.flags |= VMB_OPEN_REDIRECT;
	cr_assert_eq(both_try_open(0, &with), VMB_EINVAL);
	with = reserved;
	with.event_flag = 5;
	cr_assert_eq(both_try_open(0, &with), VMB_EINVAL);
	with = reserved;
	with.connection_id = 5;
	cr_assert_eq(both_try_open(0, &with), VMB_EINVAL);
}

/* ---- sockets */

static struct vmb_hvsock place(uint8_t n)
{
	return (struct vmb_hvsock){ .endpoint = { { n, 9 } }, .service = { { 7, 7 } }, .silo = { { 3 } } };
}

Test(sockets, the_guest_connects)
{
	struct vmb_hvsock s = place(1), seen;
	struct vmb_offer o = { .size = sizeof o, .user = 2 };
	const struct vmb_event *ev;

	start(0);
	cr_assert_eq(vmb_guest_hvsock(both.g, &s, 77), 0);
	cr_assert_eq(vmb_guest_hvsock(both.g, &s, 77), VMB_EINVAL); /* the same again */
	both_run();
	ev = both_host(VMB_EV_HVSOCK, 0);
	cr_assert_eq(vmb_host_hvsock(both.h, ev, &seen), 0);
	cr_assert_eq(memcmp(&seen, &s, 48), 0);
	cr_assert_eq(vmb_hvsock_offer(&seen, &o), 0);
	cr_assert_eq(vmb_host_offer(both.h, &o, &both.ch[2].host), 0);
	cr_assert_eq(vmb_host_answer(both.h, ev, 0), 0);
	both_run();
	ev = both_guest(VMB_EV_HVSOCK, 0);
	cr_assert_eq(ev->user, 77);
	both.ch[2].guest = ev->ch;
	both_open(2, NULL);
	both_talk(2);
	both_close(2);
	/* the peer closes: the offer goes */
	cr_assert_eq(vmb_host_remove(both.h, both.ch[2].host), 0);
	both_run();
	both_guest(VMB_EV_RESCINDED, 0);
}

/* Offered, and gone before anybody has seen that: the caller hears of it all the same. */
Test(sockets, a_channel_that_goes_before_it_is_seen)
{
	struct vmb_hvsock s = place(1), seen;
	struct vmb_offer o = { .size = sizeof o, .user = 2 };
	const struct vmb_event *ev;

	for (int rescinded = 0; rescinded < 2; rescinded++) {
		start(0);
		cr_assert_eq(vmb_guest_hvsock(both.g, &s, 77), 0);
		both_run();
		ev = both_host(VMB_EV_HVSOCK, 0);
		cr_assert_eq(vmb_host_hvsock(both.h, ev, &seen), 0);
		cr_assert_eq(vmb_hvsock_offer(&seen, &o), 0);
		cr_assert_eq(vmb_host_offer(both.h, &o, &both.ch[2].host), 0);
		cr_assert_eq(vmb_host_answer(both.h, ev, 0), 0);
		cr_assert_eq(vmb_guest_message(both.g, both.queue[both.out % BOTH_QUEUE].bytes, 196), 0);
		both.out++;
		if (rescinded) {
			cr_assert_eq(vmb_host_remove(both.h, both.ch[2].host), 0);
			cr_assert_eq(vmb_guest_message(both.g, both.queue[both.out % BOTH_QUEUE].bytes, 12), 0);
			both.out++;
		} else {
			cr_assert_eq(vmb_guest_disconnect(both.g), 0);
		}
		both_run();
		ev = both_guest(VMB_EV_HVSOCK, VMB_ERESCINDED);
		cr_assert_eq(ev->user, 77);
		cr_assert_eq(ev->ch, 0);
		if (!rescinded)
			both_guest(VMB_EV_DISCONNECTED, 0);
		both_forget();
		both_end();
	}
}

Test(sockets, the_host_connects)
{
	struct vmb_hvsock s = place(1), seen;
	struct vmb_offer o = { .size = sizeof o }, got = { .size = sizeof got };
	const struct vmb_event *ev;

	start(0);
	s.flags = VMB_HVSOCK_TO_GUEST | VMB_HVSOCK_SILO;
	cr_assert_eq(vmb_hvsock_offer(&s, &o), 0);
	cr_assert_eq(vmb_host_offer(both.h, &o, &both.ch[2].host), 0);
	both_run();
	ev = both_guest(VMB_EV_OFFER, 0);
	cr_assert_eq(vmb_guest_offer(both.g, ev->ch, &got), 0);
	cr_assert_eq(vmb_hvsock_of(&got, &seen), 0);
	cr_assert_eq(memcmp(&seen, &s, sizeof s), 0);
	cr_assert_eq(vmb_guest_release(both.g, ev->ch), 0); /* no, thank you */
	both_run();
	both_guest(VMB_EV_GONE, 0);
}

Test(sockets, refusals_silence_and_limits)
{
	struct vmb_hvsock a = place(1), b = place(2), c = place(3), none = { .endpoint = { { 1 } } };
	const struct vmb_event *ev;

	start(0);
	both.now = 1;
	cr_assert_eq(vmb_guest_hvsock(both.g, &none, 0), VMB_EINVAL);
	cr_assert_eq(vmb_guest_hvsock(both.g, NULL, 0), VMB_EINVAL);
	cr_assert_eq(vmb_guest_hvsock(both.g, &a, 1), 0);
	cr_assert_eq(vmb_guest_hvsock(both.g, &b, 2), 0);
	cr_assert_eq(vmb_guest_hvsock(both.g, &c, 3), VMB_ENOSPACE);
	both_run();
	ev = both_host(VMB_EV_HVSOCK, 0);
	cr_assert_eq(vmb_host_answer(both.h, ev, VMB_EPLATFORM), 0);
	both_run();
	ev = both_guest(VMB_EV_HVSOCK, VMB_EREFUSED);
	cr_assert_eq(ev->user, 1);
	cr_assert_eq(ev->ch, 0);
	cr_assert_eq(ev->peer_status, 0xc0000236);
	ev = both_host(VMB_EV_HVSOCK, 0);
	both.now = 200000000;
	both_run();
	cr_assert_eq(both_guest(VMB_EV_HVSOCK, VMB_ETIMEDOUT)->user, 2);
	cr_assert_eq(vmb_host_answer(both.h, ev, VMB_EPLATFORM), 0);
	both_run();
	cr_assert_eq(both_info(0).late_answers, 1);
	cr_assert_eq(vmb_guest_hvsock(both.g, &c, 3), 0);
	both_run();
	both_host(VMB_EV_HVSOCK, 0);
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	both_run();
	cr_assert_eq(both_guest(VMB_EV_HVSOCK, VMB_ERESCINDED)->user, 3);
	both_guest(VMB_EV_DISCONNECTED, 0);
	cr_assert_eq(vmb_guest_hvsock(both.g, &c, 3), VMB_ESTATE);
}

Test(sockets, a_post_that_fails)
{
	struct vmb_hvsock a = place(1);

	start(0);
	both.post_status = VMB_HV_INVALID_PARAMETER;
	cr_assert_eq(vmb_guest_hvsock(both.g, &a, 1), 0);
	both_run();
	cr_assert_eq(both_guest(VMB_EV_HVSOCK, VMB_EPLATFORM)->peer_status, VMB_HV_INVALID_PARAMETER);
}

Test(sockets, not_before_4_0)
{
	struct vmb_hvsock a = place(1);

	both_config();
	both.gcfg.max_hvsock = 1;
	both.hcfg.max_version = VMB_V3_0;
	both_init();
	both_connect();
	cr_assert_eq(vmb_guest_hvsock(both.g, &a, 1), VMB_EVERSION);
}

/* ---- the crash path */

Test(crash, unload_without_the_end)
{
	uint8_t slot[256] __attribute__((aligned(8))) = { 0 };

	both_config();
	both_init();
	cr_assert_eq(vmb_guest_crash(both.g, NULL), VMB_ESTATE);
	cr_assert_eq(vmb_guest_crash(NULL, NULL), VMB_EINVAL);
	both_offer(0, 1);
	both_connect();
	both_open(0, NULL);
	both.post_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(vmb_guest_crash(both.g, NULL), VMB_EAGAIN);
	both.post_status = VMB_HV_INVALID_CONNECTION;
	cr_assert_eq(vmb_guest_crash(both.g, NULL), VMB_EAGAIN);
	both.post_status = VMB_HV_INVALID_PARAMETER;
	cr_assert_eq(vmb_guest_crash(both.g, NULL), VMB_EPLATFORM);
	both.post_status = 0;
	cr_assert_eq(vmb_guest_crash(both.g, slot), 0);
	cr_assert_eq(vmb_guest_crash(both.g, NULL), 0);
	cr_assert_eq(vmb_host_detach(both.h, both.ch[0].host), 0);
	cr_assert_eq(both.queue[(both.in - 1) % BOTH_QUEUE].bytes[0], 17);
	cr_assert_eq(vmb_synic_post(slot, "\2\0\0\0\0\0\0\0\5\0\0\0", 12), 0); /* what was said before is for nobody */
	cr_assert_eq(vmb_synic_post(slot, "\21\0\0\0\0\0\0\0", 8), VMB_EAGAIN);
	cr_assert_eq(vmb_guest_crash(both.g, slot), VMB_EOM);
	cr_assert_eq(vmb_synic_post(slot, "\21\0\0\0", 4), 0); /* too short to be that */
	cr_assert_eq(vmb_guest_crash(both.g, slot), 0);
	cr_assert_eq(vmb_synic_post(slot, "\21\0\0\0\0\0\0\0", 8), 0);
	cr_assert_eq(vmb_guest_crash(both.g, slot), VMB_YES);
	slot[3] = 0x80; /* a timer's message */
	cr_assert_eq(vmb_guest_crash(both.g, slot), VMB_EFOREIGN);
}
