/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What two sides do at the same time, in every order: open, close, lists, subchannels against RESCIND; UNLOAD, a new contact and a reset
 * against all of them; and each order again with one fault anywhere. What must hold in all of them is in embedders, wire and platform.
 */
#include "walk.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(interleave, .timeout = 600);

#define ALL_FAULTS ((1u << IV_FAULTS) - 2)

/* Of a walk that does not come to its end before: states. test/full/interleave.sh takes more. */
static uint64_t most(uint64_t otherwise)
{
	const char *text = getenv("INTERLEAVE_STATES");

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Up to so many states. With a save walk.c adds schedules by chance. */
struct limits {
	uint64_t all, fault, saved;
};

static uint64_t most_of(enum iv_orders orders, const struct limits *l)
{
	return most(orders >= IV_HOST_SAVED ? l->saved : orders == IV_ONE_FAULT ? l->fault : l->all);
}

static void play_up_to(const struct iv_scenario *s, const struct limits *l)
{
	static const char *const names[] = { "ordinary orders", "all orders", "one fault", "host saved", "guest saved" };
	const char *only = getenv("INTERLEAVE_ORDERS");
	struct iv_result r;

	for (enum iv_orders orders = IV_ORDINARY; orders < IV_ORDERS; orders++) {
		if (only && strtoul(only, NULL, 0) != orders)
			continue;
		iv_walk(s, orders, most_of(orders, l), &r);
		printf("interleave %-22s %-15s %9.3g schedules, %8llu states, %5llu ends%s\n", s->name, names[orders], r.schedules,
		       (unsigned long long)r.states, (unsigned long long)r.ends, r.whole ? "" : ", not all");
		fflush(stdout);
		cr_assert_null(r.bad, "%s, %s: %s; schedule %s", s->name, names[orders], r.bad ? r.bad : "", r.schedule);
		cr_assert(r.whole || r.schedules >= 1e6, "too few of %s", s->name);
	}
}

static void play(const struct iv_scenario *s)
{
	play_up_to(s, &(struct limits){ 20000, 4000, 3000 });
}

static void play_whole(const struct iv_scenario *s)
{
	play_up_to(s, &(struct limits){ 1000000, 1000000, 3000 });
}

static void play_saved(const struct iv_scenario *s)
{
	play_up_to(s, &(struct limits){ 30000, 3000, 60000 });
}

Test(interleave, open_rescind)
{
	static const struct iv_scenario s = { .name = "open, rescind", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 } },
		.script = { { { IV_OPEN, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_REMOVE, 0 }, { IV_OFFER, 0 } } } };

	play(&s);
}

Test(interleave, open_rescind_refused)
{
	static const struct iv_scenario s = { .name = "open, rescind, refused", .version = VMB_V5_3,
		.faults = ALL_FAULTS, .flags = IV_REFUSES,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 } },
		.script = { { { IV_OPEN, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_REMOVE, 0 } } } };

	play(&s);
}

Test(interleave, close_rescind)
{
	static const struct iv_scenario s = { .name = "close, rescind", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_CLOSE, 0 }, { IV_OPEN, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_REMOVE, 0 } } } };

	play(&s);
}

Test(interleave, close_rescind_again)
{
	static const struct iv_scenario s = { .name = "close, rescind, again", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_CLOSE, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_REMOVE, 0 }, { IV_OFFER, 0 } } } };

	play(&s);
}

Test(interleave, list_rescind)
{
	static const struct iv_scenario s = { .name = "list, rescind", .version = VMB_V5_3,
		.faults = ALL_FAULTS, .flags = IV_HOLDS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_LIST, 0 }, { IV_UNLIST, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_REMOVE, 0 } } } };

	play(&s);
}

Test(interleave, list_gone_rescind)
{
	static const struct iv_scenario s = { .name = "list, gone, rescind", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_LIST, 0 }, { IV_UNLIST_NOW, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } },
			    { { IV_REMOVE, 0 } } } };

	play(&s);
}

Test(interleave, sub_rescind)
{
	static const struct iv_scenario s = { .name = "sub, rescind", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_OPEN, 8 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_SUB, 0 }, { IV_REMOVE, 0 } } } };

	play(&s);
}

Test(interleave, sub_rescind_sub)
{
	static const struct iv_scenario s = { .name = "sub, rescind, sub", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 } },
		.script = { { { IV_OPEN, 8 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } },
			    { { IV_SUB, 0 }, { IV_REMOVE_SUB, 0 }, { IV_REMOVE, 0 } } } };

	play(&s);
}

Test(interleave, unload_open)
{
	static const struct iv_scenario s = { .name = "unload, open", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 } },
		.script = { { { IV_OPEN, 0 } },
			    { { IV_DISCONNECT, 0 }, { IV_CONNECT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play(&s);
}

Test(interleave, unload_close)
{
	static const struct iv_scenario s = { .name = "unload, close", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_CLOSE, 0 } },
			    { { IV_DISCONNECT, 0 }, { IV_CONNECT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play(&s);
}

Test(interleave, unload_list)
{
	static const struct iv_scenario s = { .name = "unload, list", .version = VMB_V5_3,
		.faults = ALL_FAULTS, .flags = IV_HOLDS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_LIST, 0 }, { IV_UNLIST, 0 } },
			    { { IV_DISCONNECT, 0 }, { IV_CONNECT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play(&s);
}

Test(interleave, unload_rescind)
{
	static const struct iv_scenario s = { .name = "unload, rescind", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_REMOVE, 0 }, { IV_OFFER, 0 } },
			    { { IV_DISCONNECT, 0 }, { IV_CONNECT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play(&s);
}

Test(interleave, unload_modify)
{
	static const struct iv_scenario s = { .name = "unload, modify", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_TARGET, 0 } },
			    { { IV_DISCONNECT, 0 }, { IV_CONNECT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play(&s);
}

Test(interleave, unload_sub)
{
	static const struct iv_scenario s = { .name = "unload, sub", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_SUB, 0 }, { IV_REMOVE_SUB, 0 } },
			    { { IV_DISCONNECT, 0 }, { IV_CONNECT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play(&s);
}

Test(interleave, unload_pause)
{
	static const struct iv_scenario s = { .name = "unload, pause", .version = VMB_V6_0, .faults = ALL_FAULTS,
		.features = VMB_FEATURE_PAUSE,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_PAUSE, 0 }, { IV_RESUME, 0 } }, { { IV_DISCONNECT, 0 } } } };

	play(&s);
}

Test(interleave, unload_pages)
{
	static const struct iv_scenario s = { .name = "unload, pages", .version = VMB_V6_0, .faults = ALL_FAULTS,
		.features = VMB_FEATURE_MODIFY_CONNECTION,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_PAGES_OFF, 0 } },
			    { { IV_DISCONNECT, 0 }, { IV_CONNECT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play(&s);
}

Test(interleave, unload_reserved)
{
	static const struct iv_scenario s = { .name = "unload, reserved", .version = VMB_V5_3,
		.faults = ALL_FAULTS, .flags = IV_LOSSY,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 } },
		.script = { { { IV_RESERVED, 0 } }, { { IV_DISCONNECT, 0 }, { IV_CLOSE, 0 }, { IV_RELEASE, 0 } } } };

	play(&s);
}

Test(interleave, contact_open)
{
	static const struct iv_scenario s = { .name = "contact, open", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 } },
		.script = { { { IV_REBOOT, 0 }, { IV_OPEN, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_OPEN, 0 } } } };

	play(&s);
}

Test(interleave, contact_close)
{
	static const struct iv_scenario s = { .name = "contact, close", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_REBOOT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_CLOSE, 0 } } } };

	play(&s);
}

Test(interleave, contact_list)
{
	static const struct iv_scenario s = { .name = "contact, list", .version = VMB_V5_3,
		.faults = ALL_FAULTS, .flags = IV_HOLDS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_REBOOT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_LIST, 0 }, { IV_UNLIST, 0 } } } };

	play(&s);
}

Test(interleave, contact_rescind)
{
	static const struct iv_scenario s = { .name = "contact, rescind", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_REBOOT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_REMOVE, 0 }, { IV_OFFER, 0 } } } };

	play(&s);
}

Test(interleave, contact_unload)
{
	static const struct iv_scenario s = { .name = "contact, unload", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_DISCONNECT, 0 } }, { { IV_REBOOT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play(&s);
}

Test(interleave, reset_open)
{
	static const struct iv_scenario s = { .name = "reset, open", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 } },
		.script = { { { IV_OPEN, 0 } }, { { IV_RESET, 0 }, { IV_CONNECT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play(&s);
}

Test(interleave, reset_rescind)
{
	static const struct iv_scenario s = { .name = "reset, rescind", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_REMOVE, 0 }, { IV_OFFER, 0 } },
			    { { IV_RESET, 0 }, { IV_CONNECT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play(&s);
}

Test(interleave, exchange_rescind)
{
	static const struct iv_scenario s = { .name = "exchange, rescind", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_SEND, 0 }, { IV_ANSWERED, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } },
			    { { IV_REMOVE, 0 } } } };

	play(&s);
}

Test(interleave, modify_rescind)
{
	static const struct iv_scenario s = { .name = "modify, rescind", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_TARGET, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_REMOVE, 0 } } } };

	play(&s);
}

Test(interleave, modify_close)
{
	static const struct iv_scenario s = { .name = "modify, close", .version = VMB_V5_3, .faults = ALL_FAULTS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_TARGET, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_CLOSE, 0 } } } };

	play(&s);
}

Test(interleave, pause_rescind)
{
	static const struct iv_scenario s = { .name = "pause, rescind", .version = VMB_V6_0, .faults = ALL_FAULTS,
		.features = VMB_FEATURE_PAUSE,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_PAUSE, 0 }, { IV_RESUME, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_REMOVE, 0 } } } };

	play(&s);
}

Test(interleave, rescind_other)
{
	static const struct iv_scenario s = { .name = "rescind, other", .version = VMB_V5_3, .faults = ALL_FAULTS, .claim = 1,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 } },
		.script = { { { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_REMOVE, 0 }, { IV_OFFER, 1 } } } };

	play(&s);
}

Test(interleave, late_answer)
{
	static const struct iv_scenario s = { .name = "late, answer", .version = VMB_V5_3, .faults = ALL_FAULTS, .flags = IV_LATE,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 } },
		.script = { { { IV_OPEN, 0 }, { IV_CLOSE_NOW, 0 }, { IV_OPEN, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } },
			    { { IV_REMOVE, 0 }, { IV_OFFER, 0 } } } };

	play_up_to(&s, &(struct limits){ 100000, 4000, 3000 });
}

Test(interleave, close_renew)
{
	static const struct iv_scenario s = { .name = "close, renew", .version = VMB_V5_3,
		.faults = ALL_FAULTS, .flags = IV_RENEWS,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_CLOSE, 0 }, { IV_OPEN, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play(&s);
}

/* ---- one fault, and all orders of it; and of it and a save */

Test(interleave, close_open_late)
{
	static const struct iv_scenario s = { .name = "close, open, late", .version = VMB_V5_3, .faults = 1u << IV_EARLY,
		.flags = IV_BOTH,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_CLOSE, 0 }, { IV_OPEN, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play_whole(&s);
}

Test(interleave, release_twice)
{
	static const struct iv_scenario s = { .name = "release, twice", .version = VMB_V5_3,
		.faults = 1u << IV_POST_TWICE | 1u << IV_POST_LOST | 1u << IV_POST_BUSY, .flags = IV_BOTH,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 } },
		.script = { { { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } }, { { IV_REMOVE, 0 }, { IV_OFFER, 0 } } } };

	play_whole(&s);
}

Test(interleave, open_again_echo)
{
	static const struct iv_scenario s = { .name = "open, again, echo", .version = VMB_V5_3, .faults = 1u << IV_ECHO_GUEST,
		.flags = IV_BOTH,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 } },
		.script = { { { IV_OPEN, 0 }, { IV_CLOSE, 0 }, { IV_OPEN, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play_whole(&s);
}

Test(interleave, unload_late)
{
	static const struct iv_scenario s = { .name = "unload, late", .version = VMB_V5_3, .faults = 1u << IV_EARLY,
		.flags = IV_BOTH,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_DISCONNECT, 0 }, { IV_CONNECT, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play_whole(&s);
}

/* ---- one save, and all orders of it */

Test(interleave, close_open_saved)
{
	static const struct iv_scenario s = { .name = "close, open, saved", .version = VMB_V5_3, .faults = 1u << IV_POST_BUSY,
		.before = { { IV_OFFER, 0 }, { IV_CONNECT, 0 }, { IV_OPEN, 0 } },
		.script = { { { IV_CLOSE, 0 }, { IV_OPEN, 0 }, { IV_JOIN, 0 }, { IV_DISCONNECT, 0 } } } };

	play_saved(&s);
}
