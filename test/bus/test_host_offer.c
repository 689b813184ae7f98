/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Offers: what the guest hears of, when, in which order, under which ids. control-plane.md 8, 12.3 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hostbench.h"

static uint32_t get16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

/* The next message is an offer of device n, subchannel sub, with this id. */
static const uint8_t *offered(unsigned n, uint32_t sub, uint32_t id)
{
	const struct hb_message *m = hb_next();

	cr_assert_not_null(m, "no offer of device %u", n);
	cr_assert_eq(get32(m->data), 1, "message %u", get32(m->data));
	cr_assert_eq(m->len, 196);
	cr_assert_eq(m->data[39], n, "device %u, not %u", m->data[39], n);
	cr_assert_eq(get16(m->data + 180), sub);
	cr_assert_eq(get32(m->data + 184), id, "id %u, not %u", get32(m->data + 184), id);
	cr_assert_eq(get32(m->data + 192), 0x2000 | id);
	return m->data;
}

/* Contact made, its answer read. */
static void contact(uint32_t version)
{
	hb_contact(version);
	cr_assert_not_null(hb_next());
}

static int offer(const struct vmb_offer *o, vmb_handle *ch)
{
	return vmb_host_offer(hb->h, o, ch);
}

static int try_offer(unsigned n, uint32_t sub)
{
	struct vmb_offer o;
	vmb_handle ch = 0;
	int r;

	hb_offer_fill(&o, n, sub);
	r = offer(&o, &ch);
	cr_assert_eq(r == 0, ch != 0);
	return r;
}

static vmb_handle offer_id(unsigned n, uint32_t id)
{
	struct vmb_offer o;
	vmb_handle ch = 0;

	hb_offer_fill(&o, n, 0);
	o.channel_id = id;
	cr_assert_eq(offer(&o, &ch), 0);
	return ch;
}

/* ---- the message */

Test(host_offer, vector_of_the_specification)
{
	static const struct vmb_guid instance = { { 0x67, 0x45, 0x23, 0x01, 0xab, 0x89, 0xef, 0xcd,
						    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef } };
	uint8_t cp13[196] = { 1, 0, 0, 0, 0, 0, 0, 0, 0x63, 0x51, 0x61, 0xf8, 0x3e, 0xdf, 0xc5, 0x46,
			      0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e };
	struct vmb_offer o = { .size = sizeof o, .flags = 1, .instance = instance };
	const struct hb_message *m;
	vmb_handle ch;

	memcpy(cp13 + 24, &instance, 16);
	cp13[56] = 1;
	cp13[180] = 1;
	cp13[184] = 6;
	cp13[188] = 0xff;
	cp13[190] = 1;
	cp13[192] = 6;
	cp13[193] = 0x20;
	hb_new(NULL, 1);
	cr_assert_eq(vmb_guid_parse(VMB_CLASS_NET, &o.class_id), 0);
	o.channel_id = 5;
	cr_assert_eq(offer(&o, &ch), 0);
	o.channel_id = 6;
	o.subchannel = 1;
	cr_assert_eq(offer(&o, &ch), 0);
	contact(VMB_V5_3);
	hb_request();
	cr_assert_eq(get32(hb_next()->data + 184), 5);
	m = hb_next();
	cr_assert_eq(m->len, 196);
	cr_assert_eq(memcmp(m->data, cp13, 196), 0);
	hb_expect(4, 0);
	hb_quiet();
}

Test(host_offer, carries_what_the_device_says)
{
	struct vmb_offer o;
	const uint8_t *m;
	vmb_handle ch;

	hb_new(NULL, 0);
	hb_offer_fill(&o, 9, 0);
	o.mmio_mb = 0xffff;
	o.mmio_optional_mb = 0x1234;
	for (int i = 0; i < 120; i++)
		o.user_defined[i] = (uint8_t)(200 - i);
	cr_assert_eq(offer(&o, &ch), 0);
	contact(VMB_V4_0);
	hb_request();
	m = offered(9, 0, 1);
	cr_assert_eq(memcmp(m + 8, &o.class_id, 16), 0);
	cr_assert_eq(memcmp(m + 24, &o.instance, 16), 0);
	for (int i = 40; i < 56; i++)
		cr_assert_eq(m[i], 0);
	cr_assert_eq(get16(m + 58), 0xffff);
	cr_assert_eq(memcmp(m + 60, o.user_defined, 120), 0); /* all of it: control-plane.md 21 (17) */
	cr_assert_eq(get16(m + 182), 0x1234);
	cr_assert_eq(m[188], 0xff);
	cr_assert_eq(m[189], 0);
	cr_assert_eq(get16(m + 190), 1);
}

#define FLAGS_OF(v, want) \
	Test(host_offer, flags_that_a_##v##_guest_may_see) \
	{ \
		struct vmb_offer o; \
		vmb_handle ch; \
		hb_new(NULL, 0); \
		hb_offer_fill(&o, 1, 0); \
		o.flags = 0xffff; \
		cr_assert_eq(offer(&o, &ch), 0); \
		contact(VMB_##v); \
		hb_request(); \
		cr_assert_eq(get16(offered(1, 0, 1) + 56), want); \
	}
FLAGS_OF(V0_13, 0x0011)
FLAGS_OF(V1_1, 0x0011)
FLAGS_OF(V2_4, 0x0011)
FLAGS_OF(V3_0, 0x0011)
FLAGS_OF(V4_0, 0x2011)
FLAGS_OF(V4_1, 0x2011)
FLAGS_OF(V5_0, 0x2011)
FLAGS_OF(V5_1, 0x2011)
FLAGS_OF(V5_2, 0x2011)
FLAGS_OF(V5_3, 0x2011)
FLAGS_OF(V6_0, 0x2011)

/* ---- when */

Test(host_offer, nothing_before_it_is_requested)
{
	hb_start(3);
	hb_quiet();
	contact(VMB_V5_3);
	hb_quiet();
	hb_offer(4);
	hb_quiet();
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_INVALID_CONNECTION); /* there are no ids yet */
}

Test(host_offer, all_then_one_terminator)
{
	hb_start(3);
	contact(VMB_V5_3);
	hb_request();
	offered(1, 0, 1);
	offered(2, 0, 2);
	offered(3, 0, 3);
	hb_expect(4, 0);
	hb_quiet();
}

Test(host_offer, terminator_where_there_is_nothing)
{
	hb_start(0);
	contact(VMB_V0_13);
	hb_request();
	hb_expect(4, 0);
	hb_quiet();
}

Test(host_offer, a_second_request_is_ignored)
{
	hb_start(1);
	hb_connect(VMB_V4_0);
	hb_request();
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 1);
}

Test(host_offer, hot_added_ones_come_at_once_without_terminator)
{
	hb_start(1);
	hb_connect(VMB_V4_0);
	hb_offer(7);
	offered(7, 0, 2);
	hb_quiet();
}

Test(host_offer, only_offers_between_request_and_terminator)
{
	vmb_handle ch;

	hb_start(3);
	contact(VMB_V4_0);
	hb->busy = true;
	hb_gpadl(77, 1, 1, 1);  /* is refused: queued before */
	hb_request();
	hb_gpadl(2, 5, 0x20, 2);  /* its reply comes behind */
	ch = hb_offer(4);         /* hot-added: behind as well */
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(2)), 0); /* not delivered: never was */
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 0), 0);
	hb_expect(10, 3, 77, 1, 0x8000ffff);
	offered(1, 0, 1);
	offered(3, 0, 3);
	hb_expect(4, 0);
	hb_expect(10, 3, 2, 5, 0);
	offered(4, 0, 4);
	hb_quiet();
	hb_drain_events();
	cr_assert_eq(vmb_host_remove(hb->h, ch), 0);
	hb_expect(2, 1, 4);
}

/* ---- order and ids */

Test(host_offer, sorted_by_class_rank_and_instance)
{
	struct vmb_offer o;
	vmb_handle ch;

	hb_new(NULL, 0);
	hb_offer(9);
	hb_offer(3);
	hb_offer_fill(&o, 1, 0);
	o.order = 1;
	cr_assert_eq(offer(&o, &ch), 0);
	hb_offer_fill(&o, 8, 0);
	o.class_id.byte[0] = 0xbf;
	o.order = 7;
	cr_assert_eq(offer(&o, &ch), 0);
	contact(VMB_V5_3);
	hb_request();
	offered(8, 0, 1);
	offered(3, 0, 2);
	offered(9, 0, 3);
	offered(1, 0, 4);
	hb_expect(4, 0);
}

Test(host_offer, the_same_devices_get_the_same_ids_at_each_contact)
{
	hb_new(NULL, 0);
	hb_offer(5);
	hb_offer(2);
	hb_connect(VMB_V4_0);
	hb_offer(1); /* hot-added: 3 now, 1 next time */
	offered(1, 0, 3);
	contact(VMB_V4_0);
	hb_request();
	offered(1, 0, 1);
	offered(2, 0, 2);
	offered(5, 0, 3);
	hb_expect(4, 0);
}

Test(host_offer, first_channel_id)
{
	struct vmb_host_config cfg = { .first_channel_id = 1025, .max_channels = 4 };

	hb_new(&cfg, 0);
	hb_offer(1);
	hb_offer(2);
	contact(VMB_V4_0);
	hb_request();
	offered(1, 0, 1025);
	offered(2, 0, 1026);
}

Test(host_offer, an_id_that_was_asked_for)
{
	hb_new(NULL, 0);
	offer_id(2, 1);
	offer_id(3, 2047);
	hb_offer(1);
	contact(VMB_V4_0);
	hb_request();
	offered(1, 0, 2); /* 1 is claimed though its device comes later */
	offered(2, 0, 1);
	offered(3, 0, 2047);
	hb_expect(4, 0);
	contact(VMB_V4_1);
	hb_request();
	offered(1, 0, 2);
	offered(2, 0, 1);
	offered(3, 0, 2047);
}

Test(host_offer, one_below_the_first_only_for_who_asked_for_it)
{
	struct vmb_host_config cfg = { .first_channel_id = 10, .max_channels = 4 };
	vmb_handle ch;

	hb_new(&cfg, 0);
	ch = offer_id(1, 3);
	hb_connect(VMB_V4_0);
	cr_assert_eq(vmb_host_remove(hb->h, ch), 0);
	hb_expect(2, 1, 3);
	hb_rel(3);
	hb_offer(2);
	offered(2, 0, 10);
}

Test(host_offer, an_id_that_is_taken_is_refused)
{
	struct vmb_offer o;
	vmb_handle ch = 0;

	hb_start(2);
	offer_id(4, 9);
	hb_offer_fill(&o, 5, 0);
	o.channel_id = 9;
	cr_assert_eq(offer(&o, &ch), VMB_EINVAL);
	hb_connect(VMB_V4_0);
	o.channel_id = 2; /* given to device 2 meanwhile */
	cr_assert_eq(offer(&o, &ch), VMB_EINVAL);
	o.channel_id = 2048;
	cr_assert_eq(offer(&o, &ch), VMB_EINVAL);
	cr_assert_eq(ch, 0);
	o.channel_id = 3;
	cr_assert_eq(offer(&o, &ch), 0);
	offered(5, 0, 3);
}

Test(host_offer, a_claim_ends_with_the_device)
{
	vmb_handle ch;

	hb_new(NULL, 0);
	ch = offer_id(1, 40);
	cr_assert_eq(vmb_host_remove(hb->h, ch), 0);
	ch = offer_id(2, 40);
	hb_connect(VMB_V4_0);
	cr_assert_eq(vmb_host_remove(hb->h, ch), 0);
	hb_expect(2, 1, 40);
	hb_rel(40);
	offer_id(3, 40);
	offered(3, 0, 40);
}

Test(host_offer, an_id_is_busy_until_the_guest_releases_it)
{
	hb_start(2);
	hb_connect(VMB_V4_0);
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(1)), 0);
	hb_expect(2, 1, 1);
	hb_offer(3);
	offered(3, 0, 3);
	hb_rel(1);
	hb_offer(4);
	offered(4, 0, 1); /* the lowest free one */
}

Test(host_offer, the_whole_range_of_ids_and_no_more)
{
	struct vmb_host_config cfg = { .max_channels = 2047 };
	struct vmb_offer o;
	vmb_handle ch, last = 0;

	hb_new(&cfg, 0xff);
	for (unsigned n = 1; n <= 2047; n++)
		last = hb_offer(n);
	hb_offer_fill(&o, 3000, 0);
	cr_assert_eq(offer(&o, &ch), VMB_ENOSPACE);
	cr_assert_eq(hb_info().refused_quota, 1);
	cr_assert_eq(hb_info().channels, 2047);
	contact(VMB_V5_3);
	hb_request();
	for (uint32_t id = 1; id <= 2047; id++)
		cr_assert_eq(get32(hb_next()->data + 184), id);
	hb_expect(4, 0);
	cr_assert_eq(vmb_host_signal(hb->h, 0x27ff, 0), VMB_HV_SUCCESS);
	/* the last id works: control-plane.md 21 (27) */
	hb_drain_events();
	hb_serve(1, last, 2047, 3);
	hb->wakes = 0;
	cr_assert_eq(vmb_host_signal(hb->h, 0x27ff, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(hb->wake_user[0], 100 + 2047);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2800, 0), VMB_HV_INVALID_CONNECTION);
}

/* ---- twins, limits */

Test(host_offer, two_instances_of_a_class)
{
	hb_start(2);
	contact(VMB_V4_0);
	hb_request();
	offered(1, 0, 1);
	offered(2, 0, 2);
}

Test(host_offer, the_same_device_twice_is_refused)
{
	hb_start(2);
	cr_assert_eq(try_offer(1, 0), VMB_EINVAL);
	hb_connect(VMB_V4_0);
	cr_assert_eq(try_offer(2, 0), VMB_EINVAL);
	cr_assert_eq(hb_info().channels, 2);
	hb_quiet();
}

Test(host_offer, above_max_channels_is_refused)
{
	struct vmb_host_config cfg = { .max_channels = 2 };
	vmb_handle ch;

	hb_new(&cfg, 0);
	ch = hb_offer(1);
	hb_offer(2);
	cr_assert_eq(try_offer(3, 0), VMB_ENOSPACE);
	cr_assert_eq(vmb_host_remove(hb->h, ch), 0);
	cr_assert_eq(try_offer(3, 0), VMB_ENOSPACE); /* until its EV_GONE has been given out */
	hb_event(VMB_EV_GONE, ch);
	cr_assert_eq(try_offer(3, 0), 0);
}

Test(host_offer, arguments)
{
	struct vmb_offer o, bad;
	vmb_handle ch = 0;

	hb_new(NULL, 0);
	hb_offer_fill(&o, 1, 0);
	cr_assert_eq(vmb_host_offer(NULL, &o, &ch), VMB_EINVAL);
	cr_assert_eq(vmb_host_offer(hb->h, NULL, &ch), VMB_EINVAL);
	cr_assert_eq(vmb_host_offer(hb->h, &o, NULL), VMB_EINVAL);
#define BAD(member, value) bad = o; bad.member = value; cr_assert_eq(offer(&bad, &ch), VMB_EINVAL, #member)
	BAD(flags, 0x40000);
	BAD(subchannel, 0x10000);
	BAD(mmio_mb, 0x10000);
	BAD(mmio_optional_mb, 0x10000);
	BAD(channel_id, 2048);
	BAD(connection_id, 1);
	BAD(monitor_id, 1);
	BAD(reserved, 1);
	bad = o;
	bad.size = 16;
	cr_assert_eq(offer(&bad, &ch), VMB_ESTRUCT);
	cr_assert_eq(hb_info().channels, 0);
	cr_assert_eq(offer(&o, &ch), 0);
	o.subchannel = 0x10000;
	cr_assert_eq(offer(&o, &ch), VMB_EINVAL);
	o.subchannel = 0xffff;
	cr_assert_eq(offer(&o, &ch), 0);
}

/* ---- subchannels */

Test(host_offer, a_subchannel_needs_its_primary)
{
	hb_start(1);
	cr_assert_eq(try_offer(2, 1), VMB_EINVAL);
	cr_assert_eq(try_offer(1, 1), 0);
	cr_assert_eq(try_offer(1, 1), VMB_EINVAL);
	cr_assert_eq(try_offer(1, 2), 0);
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(1)), 0);
	cr_assert_eq(try_offer(1, 3), VMB_EINVAL); /* a live one */
}

Test(host_offer, subchannels_follow_their_primary)
{
	struct vmb_offer o;
	vmb_handle ch;

	hb_new(NULL, 0);
	hb_offer_fill(&o, 5, 0);
	o.order = 9;
	cr_assert_eq(offer(&o, &ch), 0);
	hb_suboffer(5, 2);
	hb_suboffer(5, 1);
	hb_offer(6);
	contact(VMB_V2_4);
	hb_request();
	offered(6, 0, 1);
	offered(5, 0, 2);
	offered(5, 1, 3);
	offered(5, 2, 4);
	hb_expect(4, 0);
	hb_suboffer(5, 3);
	offered(5, 3, 5);
}

Test(host_offer, no_subchannels_below_2_4)
{
	vmb_handle sub;

	hb_start(1);
	sub = hb_suboffer(1, 1);
	contact(VMB_V1_1);
	hb_request();
	offered(1, 0, 1);
	hb_expect(4, 0);
	hb_suboffer(1, 2);
	hb_quiet();
	hb_drain_events();
	cr_assert_eq(vmb_host_remove(hb->h, sub), 0);
	hb_quiet();
	hb_event(VMB_EV_GONE, sub);
}

Test(host_offer, a_subchannel_waits_until_its_primary_is_offered)
{
	vmb_handle old, sub;

	hb_start(1);
	hb_connect(VMB_V4_0);
	old = hb_handle(1);
	cr_assert_eq(vmb_host_remove(hb->h, old), 0);
	hb_expect(2, 1, 1);
	hb_offer(1);
	sub = hb_suboffer(1, 1);
	hb_quiet();
	hb_rel(1);
	offered(1, 0, 1);
	offered(1, 1, 2);
	hb_event(VMB_EV_GONE, old);
	cr_assert_eq(vmb_host_remove(hb->h, sub), 0);
	hb_expect(2, 1, 2);
}

/* ---- release without rescind, and offered again: control-plane.md 12.3, 12.4 */

Test(host_offer, what_the_guest_gave_up_is_not_offered_again_on_this_connection)
{
	hb_start(2);
	hb_connect(VMB_V4_0);
	hb_rel(1);
	hb_offer(3);
	offered(3, 0, 1); /* its id is free */
	hb_quiet();
	hb_no_event(); /* the device is still there for the next one */
	contact(VMB_V4_0);
	hb_request();
	offered(1, 0, 1);
	offered(2, 0, 2);
	offered(3, 0, 3);
}

Test(host_offer, with_a_primary_offered_again_come_those_that_are_there)
{
	vmb_handle sub;

	hb_start(1);
	hb_connect(VMB_V4_0);
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(1)), 0);
	hb_expect(2, 1, 1);
	hb_offer(1);
	sub = hb_suboffer(1, 1);
	hb_suboffer(1, 2);
	cr_assert_eq(vmb_host_remove(hb->h, sub), 0);
	hb_rel(1);
	offered(1, 0, 1);
	offered(1, 2, 2);
	hb_quiet();
	hb_event(VMB_EV_GONE, sub);
}

Test(host_offer, with_a_primary_offered_again_below_2_4_come_none)
{
	hb_start(1);
	hb_connect(VMB_V1_1);
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(1)), 0);
	hb_expect(2, 1, 1);
	hb_offer(1);
	hb_suboffer(1, 1);
	hb_rel(1);
	offered(1, 0, 1);
	hb_quiet();
}

Test(host_offer, subchannels_given_up_and_offered_by_later_contacts)
{
	vmb_handle sub;

	hb_start(1);
	sub = hb_suboffer(1, 1);
	hb_connect(VMB_V4_0);
	hb_rel(2);
	hb_rel(1);
	cr_assert_eq(vmb_host_remove(hb->h, sub), 0); /* and offered again it is another one */
	sub = hb_suboffer(1, 1);
	hb_quiet(); /* its primary is not known */
	contact(VMB_V4_1);
	hb_request();
	offered(1, 0, 1);
	offered(1, 1, 2);
	hb_expect(4, 0);
	hb_rel(2);
	hb_suboffer(1, 2);
	offered(1, 2, 2);
	hb_quiet();
}

Test(host_offer, a_given_up_device_can_be_removed)
{
	hb_start(1);
	hb_connect(VMB_V4_0);
	hb_rel(1);
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(1)), 0);
	hb_quiet();
	hb_event(VMB_EV_GONE, hb_handle(1));
}

Test(host_offer, offered_again_it_gets_the_same_id_when_the_guest_lets_go)
{
	vmb_handle old, now;

	hb_start(3);
	hb_connect(VMB_V4_0);
	old = hb_handle(2);
	cr_assert_eq(vmb_host_remove(hb->h, old), 0);
	hb_expect(2, 1, 2);
	now = hb_offer(2);
	cr_assert_neq(now, old);
	hb_quiet();
	hb_no_event();
	cr_assert_eq(try_offer(2, 0), VMB_EINVAL); /* once */
	hb_rel(1);  /* a lower id is free now, but */
	hb_rel(2);
	offered(2, 0, 2);
	hb_quiet();
	hb_event(VMB_EV_GONE, old);
	hb_no_event();
	hb_serve(1, now, 2, 0);
}

Test(host_offer, offered_again_and_removed_again)
{
	vmb_handle old, second, third;

	hb_start(1);
	hb_connect(VMB_V4_0);
	old = hb_handle(1);
	cr_assert_eq(vmb_host_remove(hb->h, old), 0);
	hb_expect(2, 1, 1);
	second = hb_offer(1);
	cr_assert_eq(vmb_host_remove(hb->h, second), 0);
	hb_event(VMB_EV_GONE, second);
	hb_no_event();
	third = hb_offer(1);
	hb_quiet();
	hb_rel(1);
	offered(1, 0, 1);
	hb_event(VMB_EV_GONE, old);
	hb_serve(1, third, 1, 0);
}

Test(host_offer, offered_again_and_removed_again_it_has_nothing_to_do_with_who_comes_next)
{
	vmb_handle old, heir;

	hb_start(1);
	hb_connect(VMB_V4_0);
	old = hb_handle(1);
	cr_assert_eq(vmb_host_remove(hb->h, old), 0);
	hb_expect(2, 1, 1);
	heir = hb_offer(1);
	cr_assert_eq(vmb_host_remove(hb->h, heir), 0);
	hb_event(VMB_EV_GONE, heir);
	hb_offer(6); /* in its place */
	offered(6, 0, 2);
	hb_rel(1);
	hb_quiet();
	hb_event(VMB_EV_GONE, old);
	hb_offer(7);
	offered(7, 0, 1);
}

Test(host_offer, offered_again_and_removed_again_unseen)
{
	vmb_handle old, third;

	hb_start(1);
	hb_connect(VMB_V4_0);
	old = hb_handle(1);
	cr_assert_eq(vmb_host_remove(hb->h, old), 0);
	hb_expect(2, 1, 1);
	cr_assert_eq(vmb_host_remove(hb->h, hb_offer(1)), 0);
	third = hb_offer(1); /* the old one is still the one to wait for */
	hb_quiet();
	hb_rel(1);
	offered(1, 0, 1);
	hb_drain_events();
	hb_serve(1, third, 1, 0);
}

Test(host_offer, offered_again_before_the_rescind_was_delivered)
{
	vmb_handle now;

	hb_start(1);
	hb_connect(VMB_V4_0);
	hb->busy = true;
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(1)), 0);
	now = hb_offer(1);
	hb_rel(1); /* crosses it */
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 0), 0);
	offered(1, 0, 1);
	hb_quiet();
	hb_event(VMB_EV_GONE, hb_handle(1));
	hb_serve(1, now, 1, 0);
}

Test(host_offer, offered_again_over_a_new_connection_it_is_just_an_offer)
{
	vmb_handle old;

	hb_start(2);
	hb_connect(VMB_V4_0);
	old = hb_handle(2);
	cr_assert_eq(vmb_host_remove(hb->h, old), 0);
	hb_expect(2, 1, 2);
	hb_offer(2);
	contact(VMB_V5_3);
	hb_event(VMB_EV_GONE, old);
	hb_request();
	offered(1, 0, 1);
	offered(2, 0, 2);
	hb_expect(4, 0);
}

Test(host_offer, offered_again_while_the_old_device_still_has_its_channel)
{
	vmb_handle old, now;

	hb_start(1);
	hb_connect(VMB_V4_0);
	old = hb_handle(1);
	hb_serve(1, old, 1, 0);
	cr_assert_eq(vmb_host_remove(hb->h, old), 0);
	now = hb_offer(1);
	hb_quiet();
	hb_rel(1); /* the guest gives it up before it heard of the rescind */
	hb_quiet();
	hb_offer(5);
	offered(5, 0, 2); /* the id is the heir's already */
	hb_event(VMB_EV_CLOSE, old);
	cr_assert_eq(vmb_host_detach(hb->h, old), 0);
	offered(1, 0, 1);
	hb_event(VMB_EV_CLOSED, old);
	hb_event(VMB_EV_GONE, old);
	hb_no_event();
	hb_serve(2, now, 1, 0);
	hb_sound();
}

Test(host_offer, the_old_ones_id_may_be_asked_for)
{
	vmb_handle old;
	struct vmb_offer o;
	vmb_handle ch;

	hb_new(NULL, 0);
	old = offer_id(1, 33);
	hb_connect(VMB_V4_0);
	cr_assert_eq(vmb_host_remove(hb->h, old), 0);
	hb_expect(2, 1, 33);
	hb_offer_fill(&o, 2, 0);
	o.channel_id = 33;
	cr_assert_eq(offer(&o, &ch), VMB_EINVAL); /* another device may not */
	offer_id(1, 33);
	hb_rel(33);
	offered(1, 0, 33);
	cr_assert_eq(offer(&o, &ch), VMB_EINVAL);
}

Test(host_offer, or_another_one)
{
	vmb_handle old;

	hb_new(NULL, 0);
	old = offer_id(1, 33);
	hb_connect(VMB_V4_0);
	cr_assert_eq(vmb_host_remove(hb->h, old), 0);
	hb_expect(2, 1, 33);
	offer_id(1, 44);
	hb_rel(33);
	offered(1, 0, 44);
	offer_id(2, 33);
	offered(2, 0, 33);
}
