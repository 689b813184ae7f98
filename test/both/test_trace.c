/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What a watcher of both ends is told: a whole life, word by word; and what it may not do. */
#include "both.h"
#include "snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text;
static size_t text_len;
static FILE *out;

static void host_told(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	snapshot_trace(out, "host", t);
}

static void guest_told(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	snapshot_trace(out, "guest", t);
}

static void start(void)
{
	both_config();
	both.hcfg.max_version = VMB_V5_3;
	both.hcfg.trace = host_told;
	both.gcfg.trace = guest_told;
	both.gcfg.min_version = VMB_V5_3;
	both.gcfg.max_version = VMB_V5_3;
	free(text);
	text = NULL;
	out = open_memstream(&text, &text_len);
	both_init();
}

/* What was told since the last time is this. */
static void expect_at(int line, const char *want)
{
	fclose(out);
	cr_assert_str_eq(text, want, "line %d: told\n%s", line, text);
	free(text);
	text = NULL;
	out = open_memstream(&text, &text_len);
}
#define expect(want) expect_at(__LINE__, want)

static void stop(void)
{
	fclose(out);
	free(text);
	text = NULL;
	both_end();
}

Test(trace, a_whole_life)
{
	const uint64_t words[] = { VMB_RANGE(2 * VMB_PAGE, 0), 200, 201 };
	const struct vmb_list list = { words, 3, 1 };
	uint32_t gpadl;

	start();
	both_offer(0, VMB_OFFER_ENUMERATE);
	expect("host    channel 0, handle 0x801: free -> unoffered\n");
	both_connect();
	expect("guest   connection none -> connecting, version 0.0, features 0x0\n"
	       "host    connection none -> leaving, version 0.0, features 0x0\n"
	       "host    message in INITIATE_CONTACT, 40 bytes: taken; while none\n"
	       "host    connection leaving -> none, version 0.0, features 0x0\n"
	       "host    connection none -> connected, version 5.3, features 0x0\n"
	       "host    message out VERSION_RESPONSE, 16 bytes: taken; status 0\n"
	       "guest   message out INITIATE_CONTACT, 40 bytes: taken; status 0\n"
	       "guest   connection connecting -> connected, version 5.3, features 0x0\n"
	       "guest   message in VERSION_RESPONSE, 16 bytes: taken; while connecting\n"
	       "host    connection connected -> running, version 5.3, features 0x0\n"
	       "host    channel 1, handle 0x801: unoffered -> offered\n"
	       "host    message in REQUEST_OFFERS, 8 bytes: taken; while connected\n"
	       "host    message out OFFER_CHANNEL, 196 bytes: taken; channel 1; status 0\n"
	       "host    message out ALL_OFFERS_DELIVERED, 8 bytes: taken; status 0\n"
	       "guest   message out REQUEST_OFFERS, 8 bytes: taken; status 0\n"
	       "guest   channel 1, handle 0x801: free -> offered\n"
	       "guest   message in OFFER_CHANNEL, 196 bytes: taken; channel 1; while connected\n"
	       "guest   connection connected -> running, version 5.3, features 0x0\n"
	       "guest   message in ALL_OFFERS_DELIVERED, 8 bytes: taken; while connected\n"
	       "guest   channel 1, handle 0x801: offered -> offered seen\n");
	both_open(0, NULL);
	expect("guest   channel 1, handle 0x801: offered seen -> announcing seen object\n"
	       "guest   gpadl 0xe1e10 of channel 1: none -> building, 5 words, 1 ranges\n"
	       "host    gpadl 0xe1e10 of channel 1: none -> alive, 5 words, 1 ranges\n"
	       "host    message in GPADL_HEADER, 60 bytes: taken; channel 1; GPADL 0xe1e10; while running\n"
	       "host    message out GPADL_CREATED, 20 bytes: taken; channel 1; GPADL 0xe1e10; status 0\n"
	       "guest   message out GPADL_HEADER, 60 bytes: taken; channel 1; GPADL 0xe1e10; status 0\n"
	       "guest   gpadl 0xe1e10 of channel 1: building -> sent, 5 words, 1 ranges\n"
	       "guest   gpadl 0xe1e10 of channel 1: sent -> alive, 5 words, 1 ranges\n"
	       "guest   channel 1, handle 0x801: announcing seen object -> opening seen object\n"
	       "guest   message in GPADL_CREATED, 20 bytes: taken; channel 1; GPADL 0xe1e10; while running\n"
	       "host    channel 1, handle 0x801: offered -> opening\n"
	       "host    device of channel 1, handle 0x801: none -> asking\n"
	       "host    message in OPEN_CHANNEL, 148 bytes: taken; channel 1; GPADL 0xe1e10; while running\n"
	       "guest   message out OPEN_CHANNEL, 148 bytes: taken; channel 1; GPADL 0xe1e10; status 0\n"
	       "host    device of channel 1, handle 0x801: asking -> asked\n"
	       "host    device of channel 1, handle 0x801: asked -> attached\n"
	       "host    channel 1, handle 0x801: opening -> opening object\n"
	       "host    channel 1, handle 0x801: opening object -> open object\n"
	       "host    message out OPEN_CHANNEL_RESULT, 20 bytes: taken; channel 1; status 0\n"
	       "guest   channel 1, handle 0x801: opening seen object -> open seen object\n"
	       "guest   message in OPEN_CHANNEL_RESULT, 20 bytes: taken; channel 1; while running\n");
	both_talk(0);
	expect("");
	cr_assert_eq(vmb_guest_gpadl_create(both.g, both.ch[0].guest, &list, &gpadl), 0);
	both_forget();
	cr_assert_eq(vmb_guest_gpadl_destroy(both.g, gpadl), 0);
	both_forget();
	expect("guest   gpadl 0xe1e11 of channel 1: none -> building, 3 words, 1 ranges\n"
	       "host    gpadl 0xe1e11 of channel 1: none -> alive, 3 words, 1 ranges\n"
	       "host    message in GPADL_HEADER, 44 bytes: taken; channel 1; GPADL 0xe1e11; while running\n"
	       "host    message out GPADL_CREATED, 20 bytes: taken; channel 1; GPADL 0xe1e11; status 0\n"
	       "guest   message out GPADL_HEADER, 44 bytes: taken; channel 1; GPADL 0xe1e11; status 0\n"
	       "guest   gpadl 0xe1e11 of channel 1: building -> sent, 3 words, 1 ranges\n"
	       "guest   gpadl 0xe1e11 of channel 1: sent -> alive, 3 words, 1 ranges\n"
	       "guest   message in GPADL_CREATED, 20 bytes: taken; channel 1; GPADL 0xe1e11; while running\n"
	       "guest   gpadl 0xe1e11 of channel 1: alive -> leaving, 3 words, 1 ranges\n"
	       "host    gpadl 0xe1e11 of channel 1: alive -> none, 0 words, 0 ranges\n"
	       "host    message in GPADL_TEARDOWN, 16 bytes: taken; channel 1; GPADL 0xe1e11; while running\n"
	       "host    message out GPADL_TORNDOWN, 12 bytes: taken; GPADL 0xe1e11; status 0\n"
	       "guest   message out GPADL_TEARDOWN, 16 bytes: taken; channel 1; GPADL 0xe1e11; status 0\n"
	       "guest   gpadl 0xe1e11 of channel 1: leaving -> tearing, 3 words, 1 ranges\n"
	       "guest   gpadl 0xe1e11 of channel 1: tearing -> settled, 3 words, 1 ranges\n"
	       "guest   message in GPADL_TORNDOWN, 12 bytes: taken; GPADL 0xe1e11; while running\n"
	       "guest   gpadl 0xe1e11 of channel 1: settled -> none, 3 words, 1 ranges\n");
	both_close(0);
	expect("guest   channel 1, handle 0x801: open seen object -> closing seen\n"
	       "host    channel 1, handle 0x801: open object -> closing object\n"
	       "host    message in CLOSE_CHANNEL, 12 bytes: taken; channel 1; while running\n"
	       "guest   message out CLOSE_CHANNEL, 12 bytes: taken; channel 1; status 0\n"
	       "guest   gpadl 0xe1e10 of channel 1: alive -> leaving, 5 words, 1 ranges\n"
	       "host    gpadl 0xe1e10 of channel 1: alive -> leaving, 5 words, 1 ranges\n"
	       "host    message in GPADL_TEARDOWN, 16 bytes: taken; channel 1; GPADL 0xe1e10; while running\n"
	       "guest   message out GPADL_TEARDOWN, 16 bytes: taken; channel 1; GPADL 0xe1e10; status 0\n"
	       "guest   gpadl 0xe1e10 of channel 1: leaving -> tearing, 5 words, 1 ranges\n"
	       "host    device of channel 1, handle 0x801: attached -> draining\n"
	       "host    channel 1, handle 0x801: closing object -> closing\n"
	       "host    device of channel 1, handle 0x801: draining -> none\n"
	       "host    gpadl 0xe1e10 of channel 1: leaving -> none, 0 words, 0 ranges\n"
	       "host    channel 1, handle 0x801: closing -> offered\n"
	       "host    message out GPADL_TORNDOWN, 12 bytes: taken; GPADL 0xe1e10; status 0\n"
	       "guest   gpadl 0xe1e10 of channel 1: tearing -> settled, 5 words, 1 ranges\n"
	       "guest   gpadl 0xe1e10 of channel 1: settled -> none, 5 words, 1 ranges\n"
	       "guest   channel 1, handle 0x801: closing seen -> closed seen\n"
	       "guest   message in GPADL_TORNDOWN, 12 bytes: taken; GPADL 0xe1e10; while running\n"
	       "guest   channel 1, handle 0x801: closed seen -> offered seen\n");
	cr_assert_eq(vmb_host_remove(both.h, both.ch[0].host), 0);
	both_forget();
	cr_assert_eq(vmb_guest_release(both.g, both.ch[0].guest), 0);
	both_forget();
	expect("host    channel 1, handle 0x801: offered -> offered removed\n"
	       "host    channel 1, handle 0x801: offered removed -> revoked removed\n"
	       "host    channel 1, handle 0x801: revoked removed -> revoked rescinded removed\n"
	       "host    message out RESCIND_CHANNEL_OFFER, 12 bytes: taken; channel 1; status 0\n"
	       "guest   channel 1, handle 0x801: offered seen -> offered seen rescinded\n"
	       "guest   channel 1, handle 0x801: offered seen rescinded -> offered seen rescinded abandoned\n"
	       "guest   message in RESCIND_CHANNEL_OFFER, 12 bytes: taken; channel 1; while running\n"
	       "guest   channel 1, handle 0x801: offered seen rescinded abandoned -> offered seen released rescinded abandoned\n"
	       "host    channel 1, handle 0x801: revoked rescinded removed -> unoffered removed\n"
	       "host    message in REL_ID_RELEASED, 12 bytes: taken; channel 1; while running\n"
	       "guest   message out REL_ID_RELEASED, 12 bytes: taken; channel 1; status 0\n"
	       "guest   channel 1, handle 0x801: offered seen released rescinded abandoned -> free\n"
	       "host    channel 0, handle 0x801: unoffered removed -> free\n");
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	both_forget();
	expect("guest   connection running -> leaving, version 5.3, features 0x0\n"
	       "guest   connection leaving -> unloading, version 5.3, features 0x0\n"
	       "host    connection running -> leaving, version 5.3, features 0x0\n"
	       "host    message in UNLOAD, 8 bytes: taken; while running\n"
	       "host    connection leaving -> none, version 0.0, features 0x0\n"
	       "host    message out UNLOAD_COMPLETE, 8 bytes: taken; status 0\n"
	       "guest   message out UNLOAD, 8 bytes: taken; status 0\n"
	       "guest   connection unloading -> none, version 0.0, features 0x0\n"
	       "guest   message in UNLOAD_COMPLETE, 8 bytes: taken; while unloading\n");
	stop();
}

/* ---- what a callback may not do */

static int inside_result[4];
static unsigned inside;

static void host_calls_back(void *ctx, const struct vmb_trace *t)
{
	struct vmb_bus_info info = { .size = sizeof info };
	struct vmb_part p = { .size = sizeof p };
	struct vmb_event ev;
	uint32_t cursor = 0;

	(void)ctx;
	(void)t;
	inside++;
	inside_result[0] = vmb_host_info(both.h, &info);
	inside_result[1] = vmb_host_snapshot(both.h, &cursor, &p);
	inside_result[2] = vmb_host_poll(both.h, 0, &ev);
	inside_result[3] = vmb_host_reset(both.h);
}

static void guest_calls_back(void *ctx, const struct vmb_trace *t)
{
	struct vmb_bus_info info = { .size = sizeof info };
	struct vmb_part p = { .size = sizeof p };
	struct vmb_event ev;
	uint32_t cursor = 0;

	(void)ctx;
	(void)t;
	inside++;
	inside_result[0] = vmb_guest_info(both.g, &info);
	inside_result[1] = vmb_guest_snapshot(both.g, &cursor, &p);
	inside_result[2] = vmb_guest_poll(both.g, 0, &ev);
	inside_result[3] = vmb_guest_disconnect(both.g);
}

static void calls_back(int host)
{
	both_config();
	if (host)
		both.hcfg.trace = host_calls_back;
	else
		both.gcfg.trace = guest_calls_back;
	both_init();
	both_offer(0, VMB_OFFER_ENUMERATE);
	inside = 0;
	both_connect();
	cr_assert_gt(inside, 3u);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(inside_result[i], VMB_EREENTRY, "call %u: %d", i, inside_result[i]);
	both_open(0, NULL);
	both_talk(0);
	both_close(0);
	both_end();
}

Test(trace, a_call_from_inside_is_refused_by_the_host) { calls_back(1); }
Test(trace, a_call_from_inside_is_refused_by_the_guest) { calls_back(0); }

/* ---- callers of other releases */

/* A config that ends where the first release ended: what lies behind it is not looked at. */
Test(trace, configs_of_older_callers)
{
	both_config();
	both.hcfg.size = offsetof(struct vmb_host_config, signal_budget);
	both.gcfg.size = offsetof(struct vmb_guest_config, signal_budget);
	both.hcfg.trace = host_calls_back;
	both.gcfg.trace = guest_calls_back;
	both.hcfg.signal_budget = both.gcfg.signal_budget = 1;
	inside = 0;
	both_init();
	both_offer(0, VMB_OFFER_ENUMERATE);
	both_connect();
	both_open(0, NULL);
	both_talk(0);
	both_close(0);
	cr_assert_eq(inside, 0u);
	both_end();
}

/* ---- names */

static void named(uint32_t set, uint32_t first, uint32_t last)
{
	for (uint32_t v = first; v <= last; v++) {
		cr_assert_str_neq(vmb_name(set, v), "?", "%u of %u", v, set);
		for (uint32_t w = first; w < v; w++)
			cr_assert_str_neq(vmb_name(set, v), vmb_name(set, w));
	}
	cr_assert_str_eq(vmb_name(set, last + 1), "?");
	cr_assert_str_eq(vmb_name(set, UINT32_MAX), "?");
}

Test(trace, every_number_has_a_name)
{
	named(VMB_NAMES_TRACE, VMB_TRACE_MESSAGE_IN, VMB_TRACE_SIGNALS);
	named(VMB_NAMES_FATE, VMB_FATE_TAKEN, VMB_FATE_LOST);
	named(VMB_NAMES_BUS, VMB_BUS_NONE, VMB_BUS_UNLOADING);
	named(VMB_NAMES_STATE, VMB_STATE_FREE, VMB_STATE_REVOKED);
	named(VMB_NAMES_DEVICE, VMB_DEVICE_NONE, VMB_DEVICE_DRAINING);
	named(VMB_NAMES_LIST, VMB_LIST_NONE, VMB_LIST_BURNT);
	cr_assert_str_eq(vmb_name(VMB_NAMES_TRACE, 0), "?");
	cr_assert_str_eq(vmb_name(VMB_NAMES_FATE, 0), "?");
	for (uint32_t bit = VMB_HAS_SEEN; bit <= VMB_HAS_RING; bit <<= 1)
		cr_assert_str_neq(vmb_name(VMB_NAMES_HAS, bit), "?");
	cr_assert_str_eq(vmb_name(VMB_NAMES_HAS, VMB_HAS_RING << 1), "?");
	cr_assert_str_eq(vmb_name(VMB_NAMES_HAS, 3), "?", "one bit");
	cr_assert_str_eq(vmb_name(0, 1), "?");
	cr_assert_str_eq(vmb_name(VMB_NAMES_STATE, VMB_STATE_OPEN), "open");
	cr_assert_str_eq(vmb_name(VMB_NAMES_LIST, VMB_LIST_ALIVE), "alive");
	cr_assert_str_eq(vmb_name(VMB_NAMES_DEVICE, VMB_DEVICE_ATTACHED), "attached");
	cr_assert_str_eq(vmb_name(VMB_NAMES_FATE, VMB_FATE_QUOTA), "quota");
}
