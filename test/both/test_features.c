/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* 6.0 between our own two ends: each feature with its consequence. control-plane.md 3.1 */
#include "both.h"

#include <string.h>

static void start(uint32_t guest, uint32_t host)
{
	both_config();
	both.gcfg.features = guest;
	both.hcfg.features = host;
}

static void go(uint32_t devices)
{
	both_init();
	for (uint32_t n = 0; n < devices; n++)
		both_offer(n, VMB_OFFER_ENUMERATE);
	both_connect();
}

static void finish(void)
{
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	both_run();
	for (uint32_t n = 0; n < BOTH_CHANNELS; n++)
		if (both.ch[n].guest)
			(void)vmb_guest_release(both.g, both.ch[n].guest);
	for (uint32_t n = 0; n < BOTH_CHANNELS; n++)
		if (both.ch[n].host)
			(void)vmb_host_detach(both.h, both.ch[n].host);
	both_run();
	cr_assert_eq(both_info(0).state, VMB_BUS_NONE);
	cr_assert_eq(both_info(1).state, VMB_BUS_NONE);
	cr_assert_eq(vmb_guest_end(both.g), 0);
	cr_assert_eq(vmb_host_end(both.h), 0);
	both_end();
}

/* Every set that a guest may ask for against every set that a host may grant. */
Test(features, both_know_the_same_set)
{
	uint32_t plain = VMB_FEATURES_DEFAULT | VMB_FEATURE_PINNING;

	for (uint32_t guest = 0; guest < 0x100; guest++)
		for (uint32_t host = 0; host < 0x100; host++) {
			if (guest & ~plain || host & ~plain)
				continue;
			start(guest, host ? host : VMB_FEATURE_NONE);
			go(1);
			cr_assert_eq(both_info(0).features, guest & host);
			cr_assert_eq(both_info(1).features, guest & host);
			both_open(0, NULL);
			both_talk(0);
			both_close(0);
			finish();
		}
}

Test(features, below_6_0_nothing_is_asked_for)
{
	start(0xaf, 0xaf);
	both.gcfg.max_version = VMB_V5_3;
	go(1);
	cr_assert_eq(both_info(0).features | both_info(1).features, 0);
	cr_assert_eq(vmb_guest_pause(both.g), VMB_EVERSION);
	both_open(0, NULL);
	both_close(0);
	finish();
}

Test(features, the_client_names_itself)
{
	start(VMB_FEATURE_CLIENT_ID, 0);
	memcpy(both.gcfg.client_id.byte, "0123456789abcdef", 16);
	go(0);
	cr_assert_eq(memcmp(both_info(1).client_id.byte, "0123456789abcdef", 16), 0);
	finish();
}

/* ---- signal parameters */

Test(features, the_guest_chooses_how_it_is_signalled_and_signals)
{
	struct vmb_open with = { .connection_id = 0x27005, .event_flag = 1999, .target_vp = 3 };

	start(VMB_FEATURE_SIGNAL_PARAMETERS, 0);
	go(2);
	both_open(0, &with);
	both.guest_wakes = both.host_wakes = both.interrupts = 0;
	both_talk(0);
	cr_assert_eq(both.signal_connection, 0x27005);
	cr_assert_eq(both.host_wakes, 1);
	cr_assert_eq(both.interrupt[0].flag, 1999);
	cr_assert_eq(both.interrupt[0].vp, 3);
	cr_assert_eq(both.guest_wakes, 1);
	cr_assert_eq(both_try_open(1, &with), VMB_EINVAL); /* that flag is the other's */
	with.event_flag = 2048;
	cr_assert_eq(both_try_open(1, &with), VMB_EINVAL);
	with.event_flag = 5;
	with.connection_id = 0x1000000;
	cr_assert_eq(both_try_open(1, &with), VMB_EINVAL);
	both_open(1, NULL); /* as offered */
	both_talk(1);
	cr_assert_eq(both.signal_connection, 0x2002);
	both_close(0);
	with = (struct vmb_open){ .event_flag = 1999 };
	both_close(1);
	both_open(1, &with); /* free again */
	both_talk(1);
	both_close(1);
	finish();
}

/* A flag of the guest's choice that is another channel's id: whoever opens first has it. */
Test(features, a_chosen_flag_may_be_the_id_of_another_channel)
{
	struct vmb_open with = { .event_flag = 2 };

	start(VMB_FEATURE_SIGNAL_PARAMETERS, 0);
	go(2);
	both_open(0, &with);
	cr_assert_eq(both_try_open(1, NULL), VMB_EINVAL);
	with.event_flag = 1;
	both_open(1, &with);
	both_talk(0);
	cr_assert_eq(both.guest_woken, 0);
	both_talk(1);
	cr_assert_eq(both.guest_woken, 1);
	both_close(0);
	both_close(1);
	finish();
}

Test(features, not_without_the_feature)
{
	struct vmb_open with = { .event_flag = 7 };

	start(0, 0);
	go(1);
	cr_assert_eq(both_try_open(0, &with), VMB_EVERSION);
	with = (struct vmb_open){ .connection_id = 7 };
	cr_assert_eq(both_try_open(0, &with), VMB_EVERSION);
	with = (struct vmb_open){ .flags = VMB_OPEN_REDIRECT };
	cr_assert_eq(both_try_open(0, &with), VMB_EVERSION);
	finish();
}

Test(features, redirected_interrupts)
{
	struct vmb_open with = { .flags = VMB_OPEN_REDIRECT, .target_vp = 1 };

	start(VMB_FEATURE_REDIRECT, 0);
	both.hcfg.flags = VMB_HOST_REDIRECT;
	go(1);
	both_open(0, &with);
	both.interrupts = 0;
	both_talk(0);
	cr_assert_eq(both.interrupt[0].vtl, 2);
	cr_assert_eq(both.interrupt[0].sint, 7);
	cr_assert_eq(both.interrupt[0].flag, 1);
	both_close(0);
	finish();
}

/* ---- confidential */

Test(features, what_is_private_is_told_to_who_is_trusted)
{
	static const uint32_t flags[] = { 0x01, 0x03, 0x07, 0x05, 0x0f };
	struct vmb_offer o = { .size = sizeof o };

	start(VMB_FEATURE_CONFIDENTIAL | VMB_FEATURE_PINNING, 0x90);
	both.hcfg.flags = VMB_HOST_TRUSTED;
	both_init();
	for (uint32_t n = 0; n < 5; n++)
		both_offer(n, flags[n]);
	both_connect();
	cr_assert_eq(both_info(1).trusted, 1);
	for (uint32_t n = 0; n < 5; n++) {
		if (n == 3) { /* private buffers and a public ring: not taken */
			cr_assert_eq(both.ch[n].guest, 0);
			continue;
		}
		cr_assert_eq(vmb_guest_offer(both.g, both.ch[n].guest, &o), 0);
		cr_assert_eq(o.flags, flags[n]);
	}
	both_open(1, NULL);
	both_close(1);
	finish();
}

/* ---- another VTL */

Test(features, a_guest_in_vtl_2_looks_for_the_redirected_port)
{
	start(0, 0);
	both.gcfg.vtl = 2;
	both.hcfg.vtl = 2;
	go(1);
	both_open(0, NULL);
	both_talk(0);
	cr_assert_eq(both.signal_connection, 0x22001);
	both_close(0);
	finish();
}

static int post_no_redirected(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	static const struct vmb_guest_config *real;

	(void)real;
	if (connection == 0x800074)
		return VMB_HV_INVALID_CONNECTION;
	cr_assert_eq(connection, 4);
	(void)ctx;
	(void)payload;
	(void)len;
	both.posts++;
	return VMB_HV_INVALID_CONNECTION;
}

Test(features, and_takes_the_other_one_where_there_is_none)
{
	start(0, 0);
	both.gcfg.vtl = 2;
	both.gcfg.min_version = VMB_V5_0;
	both.gcfg.post = post_no_redirected;
	both_init();
	cr_assert_eq(vmb_guest_connect(both.g), 0);
	both_run();
	both_guest(VMB_EV_CONNECTED, VMB_EPLATFORM);
	cr_assert_eq(both.posts, 5); /* 6.0, 5.3, 5.2, 5.1, 5.0 */
	both_end();
}

/* ---- pause */

Test(features, quiet_between_pause_and_resume)
{
	start(VMB_FEATURE_PAUSE, 0);
	go(2);
	both_open(0, NULL);
	cr_assert_eq(vmb_guest_resume(both.g), VMB_ESTATE);
	cr_assert_eq(vmb_guest_pause(both.g), 0);
	both_run();
	both_guest(VMB_EV_PAUSED, 0);
	cr_assert_eq(both_info(0).paused, 1);
	cr_assert_eq(both_info(1).paused, 1);
	cr_assert_eq(vmb_guest_pause(both.g), VMB_ESTATE);
	both_talk(0); /* interrupts go on */
	cr_assert_eq(vmb_host_remove(both.h, both.ch[1].host), 0);
	cr_assert_eq(vmb_guest_close(both.g, both.ch[0].guest), 0);
	both_quiet(); /* neither is heard */
	cr_assert_eq(vmb_guest_resume(both.g), 0);
	both_run();
	cr_assert_eq(both_info(0).paused, 0);
	cr_assert_eq(both_guest(VMB_EV_RESCINDED, 0)->ch, both.ch[1].guest);
	both_host(VMB_EV_CLOSE, 0);
	finish();
}

Test(features, no_answer_is_missed_while_all_is_quiet)
{
	enum { MS = 1000000 };

	start(VMB_FEATURE_PAUSE, 0);
	both.gcfg.reply_ms = 100;
	both.now = 1;
	go(1);
	both.hold = 1;
	cr_assert_eq(both_try_open(0, NULL), 0); /* its GPADL is announced */
	both_run();
	both.hold = 0;
	both.now = 50ull * MS;
	cr_assert_eq(vmb_guest_pause(both.g), 0);
	both.hold = 1; /* the answer to the GPADL is still on its way */
	both_run();
	both.now = 200ull * MS;
	both_run(); /* PAUSE itself is waited for, no longer than anything else */
	both_guest(VMB_EV_PAUSED, VMB_ETIMEDOUT);
	both_quiet();
	both.now = 5000ull * MS;
	both_quiet();
	cr_assert_eq(vmb_guest_resume(both.g), 0);
	both.hold = 0;
	both_run();
	both_attach(0);
	both_guest(VMB_EV_OPENED, 0);
	both_quiet();
	both_close(0);
	finish();
}

Test(features, a_disconnect_ends_a_pause)
{
	start(VMB_FEATURE_PAUSE, 0);
	go(1);
	both_open(0, NULL);
	cr_assert_eq(vmb_guest_pause(both.g), 0);
	both_run();
	both_guest(VMB_EV_PAUSED, 0);
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	both_run();
	both_guest(VMB_EV_RESCINDED, 0);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[0].guest), 0);
	both_run();
	both_host(VMB_EV_CLOSE, 0);
	cr_assert_eq(vmb_host_detach(both.h, both.ch[0].host), 0);
	both_run();
	both_guest(VMB_EV_CLOSED, 0);
	both_guest(VMB_EV_GONE, 0);
	both_guest(VMB_EV_DISCONNECTED, 0);
	cr_assert_eq(both_info(1).state, VMB_BUS_NONE);
	both_end();
}

/* ---- monitor pages */

static void monitored(void)
{
	uint64_t pfn = both_pages(2);

	for (uint32_t i = 0; i < 2; i++) {
		both.gcfg.monitor_gpa[i] = (pfn + i) * VMB_PAGE;
		both.gcfg.monitor_page[i] = both_page(pfn + i);
	}
	both.hcfg.flags |= VMB_HOST_MONITOR;
}

/* The guest's packet wakes the host by the page and not by a hypercall, or the other way round. */
static void talk_by_page(int page)
{
	both.signals = both.host_wakes = 0;
	both_talk(0);
	cr_assert_eq(both.signals, page ? 0 : 1);
	cr_assert_eq(both.host_wakes, page ? 0 : 1);
	cr_assert_eq(vmb_host_monitor(both.h), page ? VMB_YES : 0);
	cr_assert_eq(both.host_wakes, 1);
}

Test(features, signals_by_the_monitor_page)
{
	start(0, 0);
	monitored();
	go(1);
	both_open(0, NULL);
	talk_by_page(1);
	cr_assert_eq(both_info(0).monitor_gpa[1], both_info(1).monitor_gpa[1]);
	both_close(0);
	finish();
}

Test(features, the_host_is_asked_to_take_other_pages)
{
	uint64_t gpa[2], none[2] = { 0, 0 };
	void *page[2], *no[2] = { NULL, NULL };

	start(VMB_FEATURE_MODIFY_CONNECTION, 0);
	monitored();
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t pfn = both_pages(1);

		gpa[i] = pfn * VMB_PAGE;
		page[i] = both_page(pfn);
	}
	go(1);
	both_open(0, NULL);
	cr_assert_eq(vmb_guest_monitor(both.g, gpa, page), VMB_ESTATE); /* in use */
	both_close(0);
	cr_assert_eq(vmb_guest_monitor(both.g, gpa, no), VMB_EINVAL);
	cr_assert_eq(vmb_guest_monitor(both.g, gpa, page), 0);
	cr_assert_eq(vmb_guest_monitor(both.g, gpa, page), VMB_ESTATE);
	both_run();
	both_guest(VMB_EV_MONITOR, 0);
	cr_assert_eq(both_info(0).monitor_gpa[1], gpa[1]);
	cr_assert_eq(both_info(1).monitor_gpa[1], gpa[1]);
	both_open(0, NULL);
	talk_by_page(1);
	both_close(0);
	cr_assert_eq(vmb_guest_monitor(both.g, none, no), 0);
	both_run();
	both_guest(VMB_EV_MONITOR, 0);
	both_open(0, NULL);
	talk_by_page(0);
	both_close(0);
	gpa[1] = BOTH_PAGES * (uint64_t)VMB_PAGE; /* the host cannot map that */
	cr_assert_eq(vmb_guest_monitor(both.g, gpa, page), 0);
	both_run();
	cr_assert_eq(both_guest(VMB_EV_MONITOR, VMB_EREFUSED)->peer_status, 2);
	both_open(0, NULL);
	talk_by_page(0);
	both_close(0);
	finish();
}

static int monitor_refuses;

static int monitor_map(void *ctx, const uint64_t gpa[2], void *page[2])
{
	(void)ctx;
	cr_assert_eq(gpa[0], 0);
	page[1] = both_page(gpa[1] / VMB_PAGE);
	return monitor_refuses ? VMB_EMAP : 0;
}

Test(features, the_hosts_own_monitor_page)
{
	uint64_t none[2] = { 0, 0 };
	void *no[2] = { NULL, NULL };

	for (monitor_refuses = 0; monitor_refuses < 2; monitor_refuses++) {
		uint64_t pfn;

		start(VMB_FEATURE_SERVER_MONITOR | VMB_FEATURE_MODIFY_CONNECTION, 0x6f);
		monitored();
		pfn = both_pages(1);
		both.gcfg.monitor = monitor_map;
		both.hcfg.monitor_gpa[1] = pfn * VMB_PAGE;
		both.hcfg.monitor_page[1] = both_page(pfn);
		go(1);
		both_open(0, NULL);
		talk_by_page(!monitor_refuses);
		both_close(0);
		cr_assert_eq(vmb_guest_monitor(both.g, none, no), VMB_ESTATE);
		finish();
	}
}

/* ---- CPUs */

Test(features, which_channels_a_cpu_has)
{
	struct vmb_open with = { .target_vp = 3 };
	uint32_t cursor = 0;
	vmb_handle ch;

	start(0, 0);
	go(3);
	both_open(0, &with);
	both_open(1, NULL);
	both_open(2, &with);
	cr_assert_eq(vmb_guest_targets(both.g, 3, &cursor, &ch), VMB_YES);
	cr_assert_eq(ch, both.ch[0].guest);
	cr_assert_eq(vmb_guest_target(both.g, ch, 0), 0);
	both_run();
	both_guest(VMB_EV_TARGET, 0);
	cr_assert_eq(vmb_guest_targets(both.g, 3, &cursor, &ch), VMB_YES);
	cr_assert_eq(ch, both.ch[2].guest);
	cr_assert_eq(vmb_guest_targets(both.g, 3, &cursor, &ch), 0);
	cursor = 0;
	cr_assert_eq(vmb_guest_targets(both.g, 0, &cursor, &ch), VMB_YES);
	cr_assert_eq(ch, both.ch[0].guest);
	cr_assert_eq(vmb_guest_targets(NULL, 0, &cursor, &ch), VMB_EINVAL);
	cr_assert_eq(vmb_guest_targets(both.g, 0, NULL, &ch), VMB_EINVAL);
	cr_assert_eq(vmb_guest_targets(both.g, 0, &cursor, NULL), VMB_EINVAL);
	both_close(0);
	both_close(1);
	both_close(2);
	finish();
}
