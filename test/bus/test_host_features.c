/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What a 6.0 connection may have more: features granted exactly, signal parameters, redirection, confidential channels, pause. */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

static vmb_handle dev;
static struct vmb_channel *channel;

static const char client[] = "0123456789abcdef";

static void contact_bytes(uint8_t msg[56], uint32_t features)
{
	hb_contact_bytes(msg, VMB_V6_0, 1);
	put32(msg + 20, features);
	memcpy(msg + 40, client, 16);
}

/* Post as who is trusted, or not. */
static int post(int trusted, const void *payload, uint32_t len)
{
	uint8_t in[256] = { 0 };

	put32(in, 4);
	put32(in + 8, 1);
	put32(in + 12, len);
	memcpy(in + 16, payload, len);
	return trusted ? vmb_host_post_trusted(hb->h, in, sizeof in) : vmb_host_post(hb->h, in, sizeof in);
}

static void contact(int trusted, uint32_t asked, uint32_t granted)
{
	uint8_t msg[56];

	contact_bytes(msg, asked);
	cr_assert_eq(post(trusted, msg, 56), VMB_HV_SUCCESS);
	hb_expect(15, 3, 1, 4, granted);
	cr_assert_eq(hb_info().features, granted);
	cr_assert_eq(hb_info().trusted, (uint32_t)trusted);
}

/* A host of these flags and features, contacted; its one device is offered. */
static void start(uint32_t flags, uint32_t host, uint32_t guest)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .flags = flags, .features = host, .max_channels = 8 };

	hb_new(&cfg, 0);
	dev = hb_offer(1);
	contact(0, guest, guest);
	hb_request();
	hb_skip();
	hb_skip();
	hb_quiet();
	hb_drain_events();
}

static void open_with(uint32_t id, uint32_t open_id, uint32_t vp, uint32_t connection, uint32_t flag, uint32_t flags, uint32_t len)
{
	uint8_t msg[156] = { 0 };

	hb_open_bytes(msg, id, open_id, hb_ring_id(id), vp, 2);
	put32(msg + 148, connection);
	put16(msg + 152, flag);
	put16(msg + 154, flags);
	cr_assert_eq(hb_post(4, msg, len), VMB_HV_SUCCESS);
}

static void ring(uint32_t id)
{
	hb_gpadl(id, hb_ring_id(id), hb_ring_pfn(id), 4);
	hb_expect(10, 3, id, hb_ring_id(id), 0);
}

static void serve(uint32_t vp, uint32_t connection, uint32_t flag, uint32_t flags)
{
	ring(1);
	open_with(1, 7, vp, connection, flag, flags, 156);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_expect(6, 3, 1, 7, 0);
	hb->wakes = 0;
}

static void send(void)
{
	cr_assert_eq(vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND, .payload = "01234567", .len = 8 }), 0);
}

/* ---- negotiation. control-plane.md 3.1 */

Test(host_features, exactly_those_that_both_have)
{
	static const uint32_t host[] = { VMB_FEATURE_NONE, 0, 0x01, 0x02, 0x04, 0x08, 0x20, 0x80, 0x2f, 0xaf };

	for (size_t i = 0; i < sizeof host / sizeof *host; i++)
		for (uint32_t guest = 0; guest < 0x200; guest++) {
			struct vmb_host_config cfg = { .size = sizeof cfg, .features = host[i] };
			uint32_t has = host[i] == VMB_FEATURE_NONE ? 0 : host[i] ? host[i] : VMB_FEATURES_DEFAULT;

			hb_new(&cfg, 0);
			contact(0, guest, guest & has);
			hb_quiet();
			hb_free(hb);
		}
}

Test(host_features, below_6_0_there_are_none)
{
	uint8_t msg[56];

	hb_start(0);
	contact_bytes(msg, 0x2f);
	put32(msg + 8, VMB_V5_3);
	cr_assert_eq(post(0, msg, 56), VMB_HV_SUCCESS);
	hb_expect(15, 2, 1, 4);
	cr_assert_eq(hb_info().features, 0);
}

Test(host_features, a_limit_counts_for_the_next_contact)
{
	uint8_t msg[56];

	hb_start(0);
	cr_assert_eq(vmb_host_limit(hb->h, 0, 0x09), 0);
	contact(0, 0x2f, 0x09);
	cr_assert_eq(vmb_host_limit(hb->h, VMB_V5_3, 0), 0);
	cr_assert_eq(hb_info().features, 0x09);
	contact_bytes(msg, 0x2f);
	cr_assert_eq(post(0, msg, 56), VMB_HV_SUCCESS);
	hb_expect(15, 2, 0, 0);
	cr_assert_eq(vmb_host_limit(hb->h, 0, 0), 0);
	contact(0, 0x2f, 0x2f);
	cr_assert_eq(vmb_host_limit(hb->h, 0x00050004, 0), VMB_EINVAL);
	cr_assert_eq(vmb_host_limit(NULL, 0, 0), VMB_EINVAL);
}

Test(host_features, the_client_id_is_told)
{
	hb_start(0);
	contact(0, 0x08, 0x08);
	cr_assert_eq(memcmp(hb_info().client_id.byte, client, 16), 0);
	contact(0, 0, 0); /* the bytes are there, and mean nothing */
	for (int i = 0; i < 16; i++)
		cr_assert_eq(hb_info().client_id.byte[i], 0);
	contact(0, 0x08, 0x08);
	hb_unload();
	hb_expect(17, 0);
	cr_assert_eq(hb_info().client_id.byte[3], 0);
}

/* ---- signal parameters. control-plane.md 6.4, 9.1, 20.1 */

Test(host_features, the_guest_chooses_connection_and_flag)
{
	struct vmb_open_info info = { .size = sizeof info };

	start(0, 0, 0x01);
	serve(5, 0x27005, 1234, 0);
	send();
	cr_assert_eq(hb->interrupt[0].vp, 5);
	cr_assert_eq(hb->interrupt[0].vtl, 0);
	cr_assert_eq(hb->interrupt[0].sint, 2);
	cr_assert_eq(hb->interrupt[0].flag, 1234);
	cr_assert_eq(vmb_host_signal(hb->h, 0x27005, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(vmb_host_signal(hb->h, 0x27006, 0), VMB_HV_INVALID_CONNECTION);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.connection_id, 0x27005);
	cr_assert_eq(info.event_flag, 1234);
	cr_assert_eq(info.version, VMB_V6_0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(vmb_host_signal(hb->h, 0x27005, 0), VMB_HV_INVALID_CONNECTION);
	hb_sound();
}

Test(host_features, the_offered_connection_may_be_chosen)
{
	start(0, 0, 0x01);
	serve(0, 0x2001, 1, 0);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 1);
}

static void refused(uint32_t connection, uint32_t flag)
{
	open_with(1, 9, 0, connection, flag, 0, 156);
	hb_expect(6, 3, 1, 9, 0x8000ffff);
	hb_no_event();
}

Test(host_features, parameters_that_cannot_be)
{
	start(0, 0, 0x01);
	ring(1);
	refused(0x27005, 0);
	refused(0x27005, 2048);
	for (uint32_t id = 0; id <= 4; id++)
		refused(id, 1); /* messages, the event of old, the monitor */
	refused(0x800074, 1);
	refused(0x2002, 1);     /* offered with channel 2, should there be one */
	refused(0x2000, 1);
	refused(0x01027005, 1);
	open_with(1, 9, 0, 0x27005, 1, 0, 148); /* without its tail it is no OPEN */
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 1);
	open_with(1, 9, 0, 0x27005, 2047, 0, 156);
	hb_event(VMB_EV_OPEN, dev);
}

Test(host_features, one_connection_is_one_channels)
{
	vmb_handle two;

	start(0, 0, 0x01);
	two = hb_offer(2);
	hb_skip();
	serve(0, 0x30000, 1, 0);
	ring(2);
	open_with(2, 9, 0, 0x30000, 2, 0, 156);
	hb_expect(6, 3, 2, 9, 0x8000ffff);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	open_with(2, 9, 0, 0x30000, 2, 0, 156);
	hb_event(VMB_EV_OPEN, two);
}

/* As many channels as there can be, opened and closed in turns with ever new ids, so that they get in each other's way: each finds its own. */
Test(host_features, many_connections_come_and_go)
{
	enum { N = 8 };
	vmb_handle ch[N + 1];
	uint32_t id[N + 1] = { 0 }, seed = 1;

	start(0, 0, 0x01);
	ch[1] = dev;
	for (unsigned i = 2; i <= N; i++) {
		ch[i] = hb_offer(i);
		hb_skip();
	}
	for (unsigned i = 1; i <= N; i++)
		ring(i);
	for (unsigned round = 0; round < 400; round++) {
		unsigned i = 1 + (seed = seed * 1103515245u + 12345u) / 65536 % N;
		struct vmb_channel *c;

		if (id[i]) {
			hb_close(i);
			hb_event(VMB_EV_CLOSE, ch[i]);
			cr_assert_eq(vmb_host_detach(hb->h, ch[i]), 0);
			hb_event(VMB_EV_CLOSED, ch[i]);
			cr_assert_eq(vmb_host_signal(hb->h, id[i], 0), VMB_HV_INVALID_CONNECTION);
			id[i] = 0;
		} else {
			id[i] = 0x100000 + (seed >> 4 & 0xfffff0) % 0xe00000 + i;
			open_with(i, 1, 0, id[i], i, 0, 156);
			hb_event(VMB_EV_OPEN, ch[i]);
			cr_assert_eq(hb_attach(i, ch[i], &c), 0);
			hb_skip();
		}
		for (unsigned k = 1; k <= N; k++) {
			hb->wakes = 0;
			if (id[k]) {
				cr_assert_eq(vmb_host_signal(hb->h, id[k], 0), VMB_HV_SUCCESS);
				cr_assert_eq(hb->wakes, 1);
				cr_assert_eq(hb->wake_user[0], 100 + k);
			}
		}
	}
	hb_sound();
}

/* ---- redirection */

Test(host_features, interrupts_are_redirected_where_the_host_does_that)
{
	struct vmb_open_info info = { .size = sizeof info };

	start(VMB_HOST_REDIRECT, 0, 0x02);
	serve(3, 0, 0, 1);
	send();
	cr_assert_eq(hb->interrupt[0].vp, 3);
	cr_assert_eq(hb->interrupt[0].vtl, 2);
	cr_assert_eq(hb->interrupt[0].sint, 7);
	cr_assert_eq(hb->interrupt[0].flag, 1); /* the tail's own fields need feature 0x01 */
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.target_vtl, 2);
	cr_assert_eq(info.target_sint, 7);
	cr_assert_eq(info.open_flags, VMB_OPEN_REDIRECT);
}

Test(host_features, and_not_where_it_does_not_or_was_not_asked)
{
	start(0, 0, 0x02);
	serve(3, 0, 0, 1);
	send();
	cr_assert_eq(hb->interrupt[0].sint, 2);
	hb_free(hb);
	start(VMB_HOST_REDIRECT, 0, 0x01);
	serve(3, 0x2001, 1, 1);
	send();
	cr_assert_eq(hb->interrupt[0].sint, 2);
	hb_free(hb);
	start(VMB_HOST_REDIRECT, 0, 0x03);
	serve(3, 0x2001, 1, 2);
	send();
	cr_assert_eq(hb->interrupt[0].sint, 2);
}

/* ---- confidential channels and pinning. control-plane.md 8.1, 16.2 */

static uint32_t offered_flags(int trusted, uint32_t asked, uint32_t granted)
{
	const struct hb_message *m;
	uint32_t flags;

	contact(trusted, asked, granted);
	cr_assert_eq(post(trusted, "\3\0\0\0\0\0\0\0", 8), VMB_HV_SUCCESS);
	m = hb_next();
	cr_assert_eq(m->data[0], 1);
	flags = get32(m->data + 56) & 0xffff;
	hb_skip();
	return flags;
}

Test(host_features, private_flags_are_for_those_who_negotiated_them)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .flags = VMB_HOST_TRUSTED, .features = 0xbf };
	struct vmb_offer o;

	hb_new(&cfg, 0);
	hb_offer_fill(&o, 1, 0);
	o.flags = 0xffff;
	cr_assert_eq(vmb_host_offer(hb->h, &o, &dev), 0);
	cr_assert_eq(offered_flags(0, 0, 0), 0x2011);
	cr_assert_eq(offered_flags(0, 0x90, 0x80), 0x2019); /* who is not trusted has no secrets */
	cr_assert_eq(offered_flags(1, 0x10, 0x10), 0x2017);
	cr_assert_eq(offered_flags(1, 0x90, 0x90), 0x201f);
}

Test(host_features, a_trusted_connection_listens_to_nobody_else)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .flags = VMB_HOST_TRUSTED };
	uint8_t msg[56];
	uint64_t dropped;

	hb_new(&cfg, 0);
	dev = hb_offer(1);
	cr_assert_eq(offered_flags(1, 0x10, 0x10), 1);
	dropped = hb_info().dropped;
	contact_bytes(msg, 0);
	cr_assert_eq(post(0, msg, 56), VMB_HV_SUCCESS);
	cr_assert_eq(post(0, "\20\0\0\0\0\0\0\0", 8), VMB_HV_SUCCESS);
	hb_quiet();
	cr_assert_eq(hb_info().dropped, dropped + 2);
	cr_assert_eq(hb_info().trusted, 1);
	cr_assert_eq(post(1, "\20\0\0\0\0\0\0\0", 8), VMB_HV_SUCCESS);
	hb_expect(17, 0);
	contact(0, 0, 0);
}

Test(host_features, without_the_flag_nobody_is_trusted)
{
	uint8_t msg[56];

	hb_start(0);
	contact_bytes(msg, 0x10);
	cr_assert_eq(post(1, msg, 56), VMB_HV_SUCCESS);
	hb_expect(15, 3, 1, 4, 0);
	cr_assert_eq(hb_info().trusted, 0);
	cr_assert_eq(vmb_host_post_trusted(NULL, msg, 56), VMB_EINVAL);
}

/* ---- a paravisor's server */

Test(host_features, a_server_for_another_vtl)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .vtl = 2 };
	const struct hb_message *m;
	uint8_t msg[56];

	hb_new(&cfg, 0);
	dev = hb_offer(1);
	contact_bytes(msg, 0);
	cr_assert_eq(hb_post(4, msg, 56), VMB_HV_SUCCESS); /* asks for VTL 0 */
	hb_quiet();
	msg[17] = 2;
	cr_assert_eq(hb_post(0x800074, msg, 56), VMB_HV_SUCCESS);
	m = hb_next();
	cr_assert_eq(m->vtl, 2);
	cr_assert_eq(m->data[0], 15);
	cr_assert_eq(get32(m->data + 12), 0x800074);
	cr_assert_eq(hb_post(0x800074, "\3\0\0\0\0\0\0\0", 8), VMB_HV_SUCCESS);
	cr_assert_eq(get32(hb_next()->data + 192), 0x22001);
	hb_skip();
	hb_drain_events();
	hb_gpadl(1, hb_ring_id(1), hb_ring_pfn(1), 4);
	hb_open(1, 7, hb_ring_id(1), 3);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	send();
	cr_assert_eq(hb->interrupt[0].vtl, 2);
	cr_assert_eq(vmb_host_signal(hb->h, 0x22001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_INVALID_CONNECTION);
}

Test(host_features, the_redirected_port_is_a_paravisors)
{
	uint8_t msg[56];

	hb_start(0);
	contact_bytes(msg, 0);
	cr_assert_eq(hb_post(0x800074, msg, 56), VMB_HV_INVALID_CONNECTION);
}

/* ---- pause. control-plane.md 13 */

Test(host_features, nothing_is_said_between_pause_and_resume)
{
	uint64_t dropped;

	start(0, 0, 0x20);
	hb->busy = true;
	hb_offer(2);         /* before: goes out first */
	hb_words(27, 0);
	hb_offer(3);
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 1), 0);
	cr_assert_eq(hb_next()->data[0], 1);
	hb_expect(28, 0);
	hb_quiet();
	cr_assert_eq(hb_info().paused, 1);
	dropped = hb_info().dropped;
	hb_gpadl(1, 5, 0x20, 4);
	hb_words(27, 0);
	hb_rel(1);
	cr_assert_eq(hb_info().dropped, dropped + 3);
	hb_quiet();
	hb_words(29, 0);
	cr_assert_eq(hb_next()->data[0], 1);
	hb_quiet();
	cr_assert_eq(hb_info().paused, 0);
	hb_words(29, 0); /* harmless */
	ring(1);
	cr_assert_eq(hb_info().dropped, dropped + 3);
}

Test(host_features, resume_overtakes_a_full_queue)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .max_messages = 4 };

	hb_new(&cfg, 0);
	contact(0, 0x20, 0x20);
	hb_request();
	hb_skip();
	hb_words(27, 0);
	hb_expect(28, 0);
	for (unsigned i = 1; i <= 5; i++)
		hb_offer(i);
	hb_quiet();
	cr_assert_eq(hb_post(1, "\33\0\0\0\0\0\0\0", 8), VMB_HV_NO_BUFFERS);
	hb_words(29, 0);
	for (unsigned i = 1; i <= 5; i++)
		cr_assert_eq(hb_next()->data[0], 1);
	hb_quiet();
}

Test(host_features, unload_and_contact_end_a_pause)
{
	start(0, 0, 0x20);
	hb_words(27, 0);
	hb_expect(28, 0);
	hb_unload();
	hb_expect(17, 0);
	cr_assert_eq(hb_info().paused, 0);
	contact(0, 0x20, 0x20);
	hb_words(27, 0);
	hb_expect(28, 0);
	contact(0, 0x20, 0x20);
	cr_assert_eq(hb_info().paused, 0);
}

/* ---- the policy of a device that starts anew with each open */

Test(host_features, a_closed_channel_is_renewed)
{
	struct vmb_offer o;

	hb_new(NULL, 0);
	hb_offer_fill(&o, 1, 0);
	o.flags |= VMB_OFFER_RENEW;
	cr_assert_eq(vmb_host_offer(hb->h, &o, &dev), 0);
	hb_connect(VMB_V5_3);
	hb_drain_events();
	for (unsigned i = 0; i < 5; i++) {
		channel = hb_serve(1, dev, 1, 0);
		hb_close(1);
		hb_event(VMB_EV_CLOSE, dev);
		hb_quiet();
		cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
		hb_expect(2, 1, 1);
		hb_event(VMB_EV_CLOSED, dev);
		hb_open(1, 5, hb_ring_id(1), 0); /* too late */
		hb_quiet();
		hb_no_event();
		hb_rel(1);
		cr_assert_eq(hb_next()->data[0], 1);
		hb_quiet();
		hb_no_event();
	}
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(2, 1, 1);
	hb_event(VMB_EV_CLOSED, dev);
	cr_assert_eq(vmb_host_remove(hb->h, dev), 0); /* it goes while it waits */
	hb_quiet();
	hb_rel(1);
	hb_quiet();
	hb_event(VMB_EV_GONE, dev);
	hb_sound();
}
