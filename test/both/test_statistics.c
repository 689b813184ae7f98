/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Counters of the two ends, and the snapshot that shows them part by part. */
#include "both.h"
#include "snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void start(uint32_t devices)
{
	both_config();
	both_init();
	for (uint32_t n = 0; n < devices; n++)
		both_offer(n, VMB_OFFER_ENUMERATE);
	both_connect();
}

/* The part of this kind and number, in the order of the snapshot; kind 0: there is none. */
static struct vmb_part part(int host, uint32_t kind, unsigned number)
{
	struct vmb_part p = { .size = sizeof p };
	uint32_t cursor = 0;
	int r;

	while ((r = host ? vmb_host_snapshot(both.h, &cursor, &p) : vmb_guest_snapshot(both.g, &cursor, &p)) == VMB_YES)
		if (p.kind == kind && !number--)
			return p;
	cr_assert_eq(r, 0);
	return (struct vmb_part){ 0 };
}

static unsigned parts(int host)
{
	unsigned n = 0;

	for (uint32_t kind = VMB_PART_CONNECTION; kind <= VMB_PART_GPADL; kind++)
		for (unsigned i = 0; part(host, kind, i).kind; i++)
			n++;
	return n;
}

static void life_of(int host, unsigned n, uint32_t opens, uint32_t refused, uint32_t closes, uint32_t lost)
{
	struct vmb_part p = part(host, VMB_PART_CHANNEL, n);

	cr_assert_eq(p.opens, opens, "opens: %u", p.opens);
	cr_assert_eq(p.refused, refused, "refused: %u", p.refused);
	cr_assert_eq(p.closes, closes, "closes: %u", p.closes);
	cr_assert_eq(p.lost, lost, "lost: %u", p.lost);
}

Test(statistics, opens_and_closes)
{
	start(2);
	life_of(1, 0, 0, 0, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		both_open(0, NULL);
		both_close(0);
	}
	both_open(0, NULL);
	life_of(1, 0, 4, 0, 3, 0);
	life_of(0, 0, 4, 0, 3, 0);
	life_of(1, 1, 0, 0, 0, 0);
	life_of(0, 1, 0, 0, 0, 0);
	both_stop();
}

Test(statistics, an_open_that_the_device_refuses)
{
	const struct vmb_event *ev;

	start(1);
	cr_assert_eq(both_try_open(0, NULL), 0);
	both_run();
	ev = both_host(VMB_EV_OPEN, 0);
	cr_assert_eq(vmb_host_answer(both.h, ev, 5), 0);
	both_run();
	both_guest(VMB_EV_OPENED, VMB_EREFUSED);
	life_of(1, 0, 0, 1, 0, 0);
	life_of(0, 0, 0, 1, 0, 0);
	cr_assert_eq(part(0, VMB_PART_CHANNEL, 0).state, VMB_STATE_FAILED);
	cr_assert_eq(vmb_guest_close(both.g, both.ch[0].guest), 0);
	both_run();
	both_guest(VMB_EV_CLOSED, 0);
	life_of(0, 0, 0, 1, 0, 0);
	both_stop();
}

Test(statistics, a_channel_that_is_taken_away_is_lost)
{
	start(1);
	both_open(0, NULL);
	cr_assert_eq(vmb_host_remove(both.h, both.ch[0].host), 0);
	life_of(1, 0, 1, 0, 0, 1);
	both_give_back(0);
	both_run();
	life_of(0, 0, 1, 0, 0, 1);
	cr_assert_eq(vmb_guest_close(both.g, both.ch[0].guest), 0);
	both_run();
	life_of(0, 0, 1, 0, 0, 1);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[0].guest), 0);
	both_run();
	cr_assert_eq(part(0, VMB_PART_CHANNEL, 0).kind, 0u);
	both_stop();
}

Test(statistics, a_reset_loses_what_is_open)
{
	start(2);
	both_open(0, NULL);
	cr_assert_eq(vmb_host_reset(both.h), 0);
	life_of(1, 0, 1, 0, 0, 1);
	life_of(1, 1, 0, 0, 0, 0);
	cr_assert_eq(part(1, VMB_PART_CONNECTION, 0).state, VMB_BUS_RESETTING);
	both_give_back(0);
	cr_assert_eq(part(1, VMB_PART_CONNECTION, 0).state, VMB_BUS_NONE);
	life_of(1, 0, 1, 0, 0, 1);
	both_stop();
}

Test(statistics, a_guest_that_leaves_loses_what_is_open)
{
	start(1);
	both_open(0, NULL);
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	life_of(0, 0, 1, 0, 0, 1);
	cr_assert_eq(part(0, VMB_PART_CONNECTION, 0).state, VMB_BUS_LEAVING);
	both_stop();
}

/* ---- what a part says */

Test(statistics, parts_of_an_open_channel)
{
	struct vmb_part h, g;

	start(2);
	cr_assert_eq(parts(1), 3, "the connection and two channels");
	both_open(1, NULL);
	cr_assert_eq(parts(1), 4);
	cr_assert_eq(parts(0), 4);
	h = part(1, VMB_PART_CHANNEL, 1);
	g = part(0, VMB_PART_CHANNEL, 1);
	cr_assert(h.state == VMB_STATE_OPEN && h.device == VMB_DEVICE_ATTACHED && h.flags == VMB_HAS_OBJECT);
	cr_assert(g.state == VMB_STATE_OPEN && g.device == 0 && g.flags == (VMB_HAS_SEEN | VMB_HAS_OBJECT));
	cr_assert(h.ch == both.ch[1].host && g.ch == both.ch[1].guest);
	cr_assert(h.object == both.ch[1].h && g.object == both.ch[1].g);
	cr_assert(h.user == 1 && g.user == 1);
	cr_assert(h.channel == 2 && g.channel == 2);
	cr_assert(h.connection_id == 0x2002 && g.connection_id == 0x2002);
	cr_assert(h.event_flag == 2 && g.event_flag == 2);
	cr_assert(h.target_vp == 0 && g.target_vp == 0);
	cr_assert(h.monitor_id == 255 && g.monitor_id == 255);
	cr_assert(h.gpadl == 0xe1e10 && g.gpadl == 0xe1e10);
	cr_assert(h.instance.byte[0] == 1 && g.instance.byte[0] == 1 && h.class_id.byte[0] == 0xc0 && g.class_id.byte[0] == 0xc0);
	h = part(1, VMB_PART_GPADL, 0);
	g = part(0, VMB_PART_GPADL, 0);
	cr_assert(h.gpadl == 0xe1e10 && h.state == VMB_LIST_ALIVE && h.words == 5 && h.ranges == 1 && h.held == 1);
	cr_assert(g.gpadl == 0xe1e10 && g.state == VMB_LIST_ALIVE && g.words == 5 && g.ranges == 1 && g.flags == VMB_HAS_RING);
	cr_assert(h.channel == 2 && g.channel == 2 && h.ch == both.ch[1].host && g.ch == both.ch[1].guest);
	h = part(1, VMB_PART_CHANNEL, 0);
	g = part(0, VMB_PART_CHANNEL, 0);
	cr_assert(h.state == VMB_STATE_OFFERED && g.state == VMB_STATE_OFFERED);
	cr_assert(!h.object && !g.object && h.target_vp == VMB_VP_NONE && g.target_vp == VMB_VP_NONE);
	both_stop();
}

Test(statistics, before_any_contact)
{
	both_config();
	both_init();
	both_offer(0, VMB_OFFER_ENUMERATE);
	cr_assert_eq(part(1, VMB_PART_CONNECTION, 0).state, VMB_BUS_NONE);
	cr_assert_eq(part(1, VMB_PART_CHANNEL, 0).state, VMB_STATE_UNOFFERED);
	cr_assert_eq(part(1, VMB_PART_CHANNEL, 0).channel, 0u);
	cr_assert_eq(parts(0), 1);
	both_stop();
}

Test(statistics, a_list_of_which_bodies_are_missing)
{
	uint64_t words[101] = { VMB_RANGE(100 * VMB_PAGE, 0) };
	struct vmb_list list = { words, 101, 1 };
	uint32_t gpadl;

	start(1);
	for (uint32_t i = 0; i < 100; i++)
		words[1 + i] = 16 + i;
	both.post_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(vmb_guest_gpadl_create(both.g, both.ch[0].guest, &list, &gpadl), 0);
	cr_assert_eq(part(0, VMB_PART_GPADL, 0).state, VMB_LIST_BUILDING);
	cr_assert_eq(part(0, VMB_PART_GPADL, 0).flags, 0u);
	cr_assert_eq(part(1, VMB_PART_GPADL, 0).kind, 0u);
	cr_assert_eq(both_info(0).queued, 1);
	both.post_status = 0;
	both_run();
	cr_assert_eq(part(1, VMB_PART_GPADL, 0).state, VMB_LIST_ALIVE);
	cr_assert_eq(part(1, VMB_PART_GPADL, 0).words, 101u);
	both_stop();
}

/* ---- high-water marks */

Test(statistics, most_events_and_messages)
{
	start(1);
	cr_assert_eq(both_info(1).events, 0);
	for (uint32_t n = 1; n < 6; n++) {
		struct vmb_offer o = { .size = sizeof o, .class_id = { { 0xc0 } }, .instance = { { (uint8_t)n } } };

		cr_assert_eq(vmb_host_offer(both.h, &o, &both.ch[n].host), 0);
	}
	while (both.out != both.in) {
		const struct both_message *m = &both.queue[both.out++ % BOTH_QUEUE];

		cr_assert_eq(vmb_guest_message(both.g, m->bytes, m->len), 0);
	}
	cr_assert_eq(both_info(0).events, 5);
	cr_assert_geq(both_info(0).events_most, 5);
	both_forget();
	cr_assert_eq(both_info(0).events, 0);
	cr_assert_geq(both_info(0).events_most, 5);
	both_stop();
}

/* ---- callers */

Test(statistics, misuse)
{
	struct vmb_part p = { .size = sizeof p }, small = { .size = 8 };
	struct { struct vmb_part part; uint8_t tail[8]; } newer;
	struct vmb_bus_info old = { .size = offsetof(struct vmb_bus_info, fate) };
	uint32_t cursor = 0;

	start(1);
	cr_assert_eq(vmb_host_snapshot(NULL, &cursor, &p), VMB_EINVAL);
	cr_assert_eq(vmb_host_snapshot(both.h, NULL, &p), VMB_EINVAL);
	cr_assert_eq(vmb_host_snapshot(both.h, &cursor, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_snapshot(NULL, &cursor, &p), VMB_EINVAL);
	cr_assert_eq(vmb_guest_snapshot(both.g, NULL, &p), VMB_EINVAL);
	cr_assert_eq(vmb_guest_snapshot(both.g, &cursor, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_host_snapshot(both.h, &cursor, &small), VMB_ESTRUCT);
	cursor = 0;
	cr_assert_eq(vmb_guest_snapshot(both.g, &cursor, &small), VMB_ESTRUCT);
	cursor = UINT32_MAX;
	cr_assert_eq(vmb_host_snapshot(both.h, &cursor, &p), 0);
	cr_assert_eq(vmb_guest_snapshot(both.g, &cursor, &p), 0);
	memset(&newer, 0xee, sizeof newer);
	newer.part.size = sizeof newer;
	cursor = 0;
	cr_assert_eq(vmb_host_snapshot(both.h, &cursor, &newer.part), VMB_YES);
	cr_assert_eq(newer.part.size, sizeof newer);
	cr_assert_eq(newer.tail[0] | newer.tail[7], 0);
	old.fate[0] = 77;
	cr_assert_eq(vmb_host_info(both.h, &old), 0);
	cr_assert_eq(old.channels, 1u);
	cr_assert_eq(old.fate[0], 77, "an older caller's struct ends before it");
	cr_assert_eq(vmb_guest_info(both.g, &old), 0);
	cr_assert_eq(old.fate[0], 77);
	both_stop();
}

/* ---- as text */

static void has(const char *text, const char *what)
{
	cr_assert_not_null(strstr(text, what), "'%s' is not in\n%s", what, text);
}

Test(statistics, the_printed_snapshot)
{
	char *text;
	size_t len;
	FILE *to;

	start(1);
	both_open(0, NULL);
	both_talk(0);
	cr_assert_eq(vmb_channel_release(both.ch[0].h), 0);
	to = open_memstream(&text, &len);
	snapshot_host(to, both.h);
	fclose(to);
	has(text, "host    connection running, version 6.0, features 0x0, messages to VP 0\n");
	has(text, "host    channel 1 open object; device attached; handle 0x801\n");
	has(text, "opened 1, refused 0, closed 0, lost 0\n");
	has(text, "packets 1 sent, 1 received; bytes 32, 32; ring full 0\n");
	has(text, "signals out 1, without need 0; in 1, without need 0;");
	has(text, "host    GPADL 0xe1e10 alive; of channel 1, 5 words, 1 ranges, used 1 times\n");
	has(text, "messages in: taken 4\n");
	free(text);
	to = open_memstream(&text, &len);
	snapshot_guest(to, both.g);
	fclose(to);
	has(text, "guest   connection running");
	has(text, "guest   channel 1 open seen object; handle 0x801\n");
	has(text, "guest   GPADL 0xe1e10 alive ring; of channel 1, 5 words, 1 ranges\n");
	free(text);
	both_stop();
}
