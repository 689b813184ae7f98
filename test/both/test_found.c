/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What fuzz/both.c has found, each in its fewest calls. */
#include "both.h"

#include <stdlib.h>
#include <string.h>

static uint8_t blob[1 << 14];

/* The guest's end goes on in another one of the same config. */
static int guest_goes_on(void)
{
	struct vmb_storage need;
	size_t bytes;

	cr_assert_eq(vmb_guest_save(both.g, 0, blob, sizeof blob, &bytes), 0);
	free(both.gmem);
	cr_assert_eq(vmb_guest_storage(&both.gcfg, &need), 0);
	both.gmem = aligned_alloc(64, need.bytes);
	cr_assert_eq(vmb_guest_init(both.gmem, need.bytes, &both.gcfg, &both.g), 0);
	return vmb_guest_restore(both.g, blob, bytes, 0);
}

/* In VTL 2 the redirected connection is tried first. Once contact was made, it is not being tried any more, and the end can be restored. */
Test(found, guest_of_vtl_2_goes_on)
{
	both_config();
	both.hcfg.flags = VMB_HOST_TRUSTED;
	both.hcfg.vtl = both.gcfg.vtl = 2;
	both_init();
	both_offer(1, 0);
	both_connect();
	cr_assert_eq(guest_goes_on(), 0);
	both_run();
	cr_assert_eq(both_guest(VMB_EV_OFFER, 0)->flags, VMB_EVF_RESTORED);
	both_open(1, NULL);
	both_close(1);
	both_end();
}

/* Nor when it has been given up. */
Test(found, guest_of_vtl_2_that_found_nobody_goes_on)
{
	both_config();
	both.gcfg.vtl = 2;
	both.post_status = VMB_HV_INVALID_PARAMETER;
	both_init();
	cr_assert_eq(vmb_guest_connect(both.g), 0);
	both_run();
	both_guest(VMB_EV_CONNECTED, VMB_EPLATFORM);
	cr_assert_eq(guest_goes_on(), 0);
	both_quiet();
	both_end();
}

/* The host's end is saved, and another one is there in its place. Bytes of the blob. */
static size_t host_moves(void)
{
	struct vmb_storage need;
	size_t bytes;

	cr_assert_eq(vmb_host_save(both.h, 0, blob, sizeof blob, &bytes), 0);
	free(both.hmem);
	memset(both.mapped, 0, sizeof both.mapped);
	cr_assert_eq(vmb_host_storage(&both.hcfg, &need), 0);
	both.hmem = aligned_alloc(64, need.bytes);
	cr_assert_eq(vmb_host_init(both.hmem, need.bytes, &both.hcfg, &both.h), 0);
	return bytes;
}

/* It goes on there, where its devices are offered again. */
static int host_goes_on(void)
{
	size_t bytes = host_moves();

	for (uint32_t n = 0; n < BOTH_CHANNELS; n++)
		if (both.ch[n].host)
			both_offer(n, 0);
	return vmb_host_restore(both.h, blob, bytes);
}

/* The host knows the guest's client id, whether the feature was granted or not; what it saves then it takes back. */
Test(found, client_id_without_its_feature)
{
	struct vmb_bus_info info;

	both_config();
	both.hcfg.features = VMB_FEATURE_PAUSE;
	both.gcfg.features = VMB_FEATURE_CLIENT_ID | VMB_FEATURE_PAUSE;
	both.gcfg.client_id.byte[3] = 7;
	both_init();
	both_connect();
	info = both_info(1);
	cr_assert_eq(info.features, VMB_FEATURE_PAUSE);
	cr_assert_eq(info.client_id.byte[3], 7);
	cr_assert_eq(host_goes_on(), 0);
	info = both_info(1);
	cr_assert_eq(info.client_id.byte[3], 7);
	both_run();
	both_host(VMB_EV_CONNECTED, 0);
	both_end();
}

/* Monitor ids stay a channel's when the guest takes its pages away. */
Test(found, monitor_ids_without_pages)
{
	const uint64_t none[2] = { 0, 0 };
	void *const no[2] = { NULL, NULL };
	uint64_t pfn;

	both_config();
	pfn = both_pages(2);
	both.hcfg.flags = VMB_HOST_MONITOR;
	both.hcfg.features = both.gcfg.features = VMB_FEATURE_MODIFY_CONNECTION;
	for (uint32_t i = 0; i < 2; i++) {
		both.gcfg.monitor_gpa[i] = (pfn + i) * VMB_PAGE;
		both.gcfg.monitor_page[i] = both_page(pfn + i);
	}
	both_init();
	both_offer(1, 0);
	both_connect();
	cr_assert_eq(vmb_guest_monitor(both.g, none, no), 0);
	both_run();
	both_guest(VMB_EV_MONITOR, 0);
	cr_assert_eq(host_goes_on(), 0);
	both_run();
	both_host(VMB_EV_CONNECTED, 0);
	both_open(1, NULL);
	both_close(1);
	both_end();
}

/* A device is gone, its guest has not read that, and another one is offered in its place: the limits of the new one are not for the old one's. */
Test(found, lists_of_a_removed_device)
{
	struct vmb_offer o = { .size = sizeof o, .class_id = { { 0xc0 } }, .instance = { { 1 } }, .user = 1, .max_gpadl_pages = 1 };
	uint32_t gpadl;
	size_t bytes;

	both_config();
	both_init();
	both_offer(1, 0);
	both_connect();
	cr_assert_eq(vmb_guest_gpadl_create(both.g, both.ch[1].guest, &(struct vmb_list){ (uint64_t[]){ VMB_RANGE(8192, 0), 3, 4 }, 3, 1 }, &gpadl),
		     0);
	both_run();
	both_guest(VMB_EV_GPADL, 0);
	both.hold = 1;
	cr_assert_eq(vmb_host_remove(both.h, both.ch[1].host), 0);
	both_run();
	bytes = host_moves();
	cr_assert_eq(vmb_host_offer(both.h, &o, &both.ch[1].host), 0);
	cr_assert_eq(vmb_host_restore(both.h, blob, bytes), 0);
	cr_assert_eq(both_info(1).gpadls, 1);
	both.hold = 0;
	both_run();
	both_guest(VMB_EV_RESCINDED, 0);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[1].guest), 0);
	both_run();
	both_guest(VMB_EV_GPADL_DOWN, 0);
	both_guest(VMB_EV_GONE, 0);
	both.ch[1].guest = both_guest(VMB_EV_OFFER, 0)->ch; /* the new one */
	cr_assert_eq(both_info(1).gpadls, 0);
}

/* Below 2.4 the guest's signals are bits of a page, which the next end looks at as the one before did. */
Test(found, interrupt_page_after_a_restore)
{
	both_config();
	both.gcfg.max_version = VMB_V0_13;
	both.gcfg.interrupt_gpa = both_pages(1) * VMB_PAGE;
	both.gcfg.interrupt_page = both_page(both.gcfg.interrupt_gpa / VMB_PAGE);
	both_init();
	both_offer(1, 0);
	both_connect();
	cr_assert_eq(host_goes_on(), 0);
	both_run();
	both_host(VMB_EV_CONNECTED, 0);
	both_open(1, NULL);
	both.host_wakes = 0;
	both_talk(1);
	cr_assert_eq(both.host_wakes, 1);
	both_close(1);
	both_stop();
}

static int no_pages(void *ctx, const uint64_t gpa[2], void *page[2])
{
	(void)ctx;
	(void)gpa;
	page[0] = page[1] = both_page(16);
	return 0;
}

/* Nobody looks for triggers of a connection that was being left when it was saved, though the pages are the server's own. */
Test(found, monitor_pages_of_a_connection_that_ends)
{
	uint64_t pfn;

	both_config();
	pfn = both_pages(1);
	both.hcfg.flags = VMB_HOST_MONITOR;
	both.hcfg.features = both.gcfg.features = VMB_FEATURE_SERVER_MONITOR;
	both.hcfg.monitor_gpa[1] = pfn * VMB_PAGE;
	both.hcfg.monitor_page[1] = both_page(pfn);
	both.gcfg.monitor = no_pages;
	both_init();
	both_offer(1, 0);
	both_connect();
	cr_assert_eq(both_info(1).features, VMB_FEATURE_SERVER_MONITOR);
	both_open(1, NULL);
	cr_assert_eq(vmb_host_reset(both.h), 0);
	cr_assert_eq(host_goes_on(), 0);
	both_run();
	both_host(VMB_EV_CLOSE, 0);
	cr_assert_eq(vmb_host_detach(both.h, both.ch[1].host), 0);
	both_run();
	cr_assert_eq(vmb_host_monitor(both.h), 0);
	both_stop();
}
