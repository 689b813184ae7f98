/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The table of control-plane.md 19: every message in every state of the connection. What is not looked at changes nothing but a
 * counter; what is looked at and finds nobody waiting neither. And every message with any other length, version and direction.
 */
#include "guestbench.h"

#include <string.h>

TestSuite(guest_table, .timeout = 120);

enum { NONE, NEGOTIATING, OFFERS, RUNNING, LEAVING, UNLOADING, STATES };
static const char *const state_names[] = { "none", "negotiating", "offers requested", "running", "leaving", "unloading" };

/* A guest in this state, that knows channel 5 (opened, from "offers requested" to "leaving"). */
static struct bench *in_state(int state)
{
	struct bench *b = bench_new();

	b->version = VMB_V5_3;
	b->offers[0] = 5;
	b->offer_count = 1;
	b->cfg.max_version = VMB_V5_3;
	bench_init(b);
	if (state == NONE)
		return b;
	if (state == NEGOTIATING)
		b->silent = BIT(CONTACT);
	if (state == OFFERS)
		b->silent = BIT(REQUEST_OFFERS);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	b->negotiated = VMB_V5_3;
	if (state == NEGOTIATING)
		return b;
	bench_opened(b, bench_until(b, VMB_EV_OFFER)->ch, 0);
	return b;
}

static void leave(struct bench *b, int state)
{
	if (state == UNLOADING)
		b->silent = BIT(UNLOAD);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	if (state == UNLOADING)
		cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
}

static struct bench *guest_in(int state)
{
	struct bench *b;

	if (state < RUNNING) {
		b = in_state(state);
	} else {
		b = in_state(NONE);
		b->offer_count = 0;
		cr_assert_eq(vmb_guest_connect(b->g), 0);
		bench_run(b);
		bench_offer(b, 5, 5, 0);
		bench_run(b);
		bench_opened(b, bench_until(b, VMB_EV_OFFER)->ch, 0);
		if (state > RUNNING)
			leave(b, state);
	}
	b->taken = b->told;
	b->read = b->posted;
	return b;
}

/* Every message to the guest, as well formed as can be; none is an answer that somebody waits for. */
static const struct { uint32_t type; int looked_at[STATES]; } rows[] = {
	/*                    none neg off run lea unl */
	{ OFFER,            { 0,   0,  1,  1,  0,  0 } },
	{ RESCIND,          { 0,   0,  1,  1,  1,  0 } },
	{ ALL_OFFERS,       { 0,   0,  1,  0,  0,  0 } },
	{ OPEN_RESULT,      { 0,   0,  1,  1,  1,  0 } },
	{ GPADL_CREATED,    { 0,   0,  1,  1,  1,  0 } },
	{ GPADL_TORNDOWN,   { 0,   0,  1,  1,  1,  0 } },
	{ VERSION_RESPONSE, { 0,   1,  0,  0,  0,  0 } },
	{ UNLOAD_COMPLETE,  { 0,   0,  0,  0,  0,  1 } },
	{ 20,               { 1,   1,  1,  1,  1,  1 } }, /* what it closes outlives connections */
	{ TL_RESULT,        { 0,   0,  1,  1,  1,  0 } },
	{ MODIFY_RESPONSE,  { 0,   0,  1,  1,  1,  0 } },
};
enum { ROWS = sizeof rows / sizeof *rows };

static void message_of(struct bench *b, uint32_t type, struct bench_message *m)
{
	b->negotiated = VMB_V5_3;
	bench_make(b, m, type, NULL);
	switch (type) {
	case OFFER:
		m->bytes[184] = 7;
		m->bytes[8] = 1;
		break;
	case RESCIND:
	case OPEN_RESULT:
	case GPADL_CREATED:
	case MODIFY_RESPONSE:
		m->bytes[8] = 5;
		break;
	case VERSION_RESPONSE:
		m->bytes[8] = 1;
		m->bytes[12] = 1;
		break;
	default:
		break;
	}
}

/* What each message that is looked at does to this guest. */
static void expect_effect(struct bench *b, uint32_t type, struct vmb_bus_info before)
{
	struct vmb_bus_info i = bench_info(b);

	switch (type) {
	case OFFER:
		bench_expect(b, VMB_EV_OFFER, 0);
		break;
	case RESCIND:
		if (before.state != VMB_BUS_LEAVING) /* there it was told already */
			bench_expect(b, VMB_EV_RESCINDED, 0);
		break;
	case ALL_OFFERS:
		bench_expect(b, VMB_EV_OFFERS_DONE, 0);
		cr_assert_eq(i.state, VMB_BUS_RUNNING);
		break;
	case VERSION_RESPONSE:
		bench_expect(b, VMB_EV_CONNECTED, 0);
		bench_posted(b, REQUEST_OFFERS);
		break;
	case UNLOAD_COMPLETE:
		bench_expect(b, VMB_EV_DISCONNECTED, 0);
		cr_assert_eq(i.state, VMB_BUS_NONE);
		break;
	default:
		cr_assert_eq(i.late_answers, before.late_answers + 1);
	}
	cr_assert_eq(i.dropped, before.dropped);
	bench_quiet(b);
}

Test(guest_table, every_message_in_every_state)
{
	for (int state = 0; state < STATES; state++)
		for (unsigned r = 0; r < ROWS; r++) {
			struct bench *b = guest_in(state);
			struct vmb_bus_info before = bench_info(b), after;
			struct bench_message m;

			b->off = 1;
			message_of(b, rows[r].type, &m);
			bench_feed(b, &m);
			bench_poll(b);
			after = bench_info(b);
			cr_assert_eq(after.messages_in, before.messages_in + 1);
			if (rows[r].looked_at[state]) {
				expect_effect(b, rows[r].type, before);
			} else {
				cr_assert_eq(after.dropped, before.dropped + 1, "message %u while %s", rows[r].type,
					state_names[state]);
				cr_assert_eq(after.late_answers, before.late_answers);
				cr_assert_eq(after.state, before.state);
				bench_quiet(b);
				bench_posted_none(b);
			}
			bench_free(b);
		}
}

Test(guest_table, messages_of_the_other_direction_and_unknown_ones_are_dropped)
{
	for (int state = 0; state < STATES; state++) {
		struct bench *b = guest_in(state);

		for (uint32_t type = 0; type < 300; type++) {
			struct bench_message m = { 0, 240, { (uint8_t)type, (uint8_t)(type >> 8) } };
			struct vmb_bus_info before = bench_info(b);
			int known = 0;

			for (unsigned r = 0; r < ROWS; r++)
				known |= rows[r].type == type;
			if (known)
				continue;
			bench_feed(b, &m);
			cr_assert_eq(bench_info(b).dropped, before.dropped + 1, "type %u while %s", type, state_names[state]);
			cr_assert_eq(bench_info(b).state, before.state);
			bench_posted_none(b);
		}
		bench_poll(b);
		bench_quiet(b);
		bench_free(b);
	}
}

Test(guest_table, shorter_messages_are_dropped_longer_ones_taken)
{
	for (int state = 0; state < STATES; state++)
		for (unsigned r = 0; r < ROWS; r++) {
			struct bench *b = guest_in(state);
			struct bench_message m;
			uint32_t len;

			b->off = 1;
			message_of(b, rows[r].type, &m);
			len = m.len;
			for (m.len = 0; m.len < len; m.len++) {
				struct vmb_bus_info before = bench_info(b);

				bench_feed(b, &m);
				cr_assert_eq(bench_info(b).dropped, before.dropped + 1, "%u bytes of message %u", m.len,
					rows[r].type);
			}
			bench_poll(b);
			bench_quiet(b);
			if (rows[r].looked_at[state]) {
				struct vmb_bus_info before = bench_info(b);

				m.len = 240;
				bench_feed(b, &m);
				bench_poll(b);
				expect_effect(b, rows[r].type, before);
			}
			bench_free(b);
		}
}

Test(guest_table, over_240_bytes_are_no_message)
{
	struct bench *b = guest_in(RUNNING);
	uint8_t bytes[300] = { RESCIND, [8] = 5 };

	for (uint32_t len = 241; len < 300; len++)
		cr_assert_eq(vmb_guest_message(b->g, bytes, len), 0);
	cr_assert_eq(bench_info(b).dropped, 59);
	bench_poll(b);
	bench_quiet(b);
	bench_free(b);
}

/* Messages that the version in force does not have. control-plane.md 2 */
Test(guest_table, messages_of_later_versions_are_dropped)
{
	static const struct { uint32_t type, from; } later[] = { { UNLOAD_COMPLETE, VMB_V1_1 }, { MODIFY_RESPONSE, VMB_V5_3 } };
	uint32_t v;

	for (uint32_t i = 0; (v = vmb_version_at(i)) != 0; i++)
		for (int k = 0; k < 2; k++) {
			struct bench *b = bench_connected(v);
			struct bench_message m = { 0, 16, { (uint8_t)later[k].type, [8] = 5 } };
			struct vmb_bus_info before = bench_info(b), after;

			bench_feed(b, &m);
			after = bench_info(b);
			cr_assert_eq(after.dropped + after.late_answers, before.dropped + before.late_answers + 1);
			if (v < later[k].from)
				cr_assert_eq(after.dropped, before.dropped + 1, "type %u at %x", later[k].type, v);
			bench_free(b);
		}
}

Test(guest_table, the_long_offer_is_needed_from_1_1_on)
{
	uint32_t v;

	for (uint32_t i = 0; (v = vmb_version_at(i)) != 0; i++) {
		struct bench *b = bench_connected(v);
		struct vmb_offer o = { .size = sizeof o };
		struct bench_message m;
		uint32_t len = v < VMB_V1_1 ? 190 : 196;

		bench_make(b, &m, OFFER, "channel_id", 3ull, "subchannel_index", v < VMB_V2_4 ? 9ull : 0ull, NULL);
		memset(m.bytes + 190, 0x77, 50); /* beyond the form of 0.13 */
		m.len = len - 1;
		bench_feed(b, &m);
		bench_poll(b);
		bench_quiet(b);
		m.len = len;
		bench_feed(b, &m);
		bench_poll(b);
		cr_assert_eq(vmb_guest_offer(b->g, bench_expect(b, VMB_EV_OFFER, 0)->ch, &o), 0);
		cr_assert_eq(o.connection_id, v < VMB_V1_1 ? 2 : 0x77777777);
		cr_assert_eq(o.subchannel, 0, "subchannels are of 2.4 and later");
		bench_free(b);
	}
}
