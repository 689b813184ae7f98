/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Signals that nobody needed, against their budget, on both ends: told once for each budget's worth, and of their own channel only. ring.md
 * 10.5 */
#include "both.h"

#include <string.h>

enum { MS = 1000000 };

static struct vmb_trace last[2]; /* guest, host */
static unsigned told[2];

static void tell(int host, const struct vmb_trace *t)
{
	if (t->point != VMB_TRACE_SIGNALS)
		return;
	last[host] = *t;
	told[host]++;
}

static void guest_told(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	tell(0, t);
}

static void host_told(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	tell(1, t);
}

static unsigned pokes[2];

static void guest_poked(void *ctx)
{
	(void)ctx;
	pokes[0]++;
}

static void host_poked(void *ctx)
{
	(void)ctx;
	pokes[1]++;
}

/* Two devices, both open, at this time. */
static void start(uint32_t budget, uint32_t ms, uint64_t now)
{
	both_config();
	both.hcfg.signal_budget = both.gcfg.signal_budget = budget;
	both.hcfg.signal_ms = both.gcfg.signal_ms = ms;
	both.hcfg.trace = host_told;
	both.gcfg.trace = guest_told;
	both.hcfg.poke = host_poked;
	both.gcfg.poke = guest_poked;
	both.now = now;
	both_init();
	for (uint32_t n = 0; n < 2; n++)
		both_offer(n, VMB_OFFER_ENUMERATE);
	both_connect();
	for (uint32_t n = 0; n < 2; n++)
		both_open(n, NULL);
	both_run();
	memset(told, 0, sizeof told);
}

static struct vmb_channel_info info(const struct vmb_channel *ch)
{
	struct vmb_channel_info i = { .size = sizeof i };

	cr_assert_eq(vmb_channel_info(ch, &i), 0);
	return i;
}

/* The guest signals device n so often without need: straight by its hypercall. */
static void flood_host(uint32_t n, unsigned times)
{
	while (times--)
		cr_assert_eq(vmb_host_signal(both.h, 0x2000 | (n + 1), 0), VMB_HV_SUCCESS);
}

static void both_told(unsigned guest, unsigned host)
{
	both_run();
	cr_assert_eq(told[0], guest, "guest: told %u times", told[0]);
	cr_assert_eq(told[1], host, "host: told %u times", told[1]);
}

/* The default: 64 in one second, behind the two that are expected. */
Test(signals_bus, the_default_budget)
{
	start(0, 0, 1000 * (uint64_t)MS);
	flood_host(0, 2 + 64);
	both_told(0, 0);
	cr_assert_eq(info(both.ch[0].h).signals_in_needless, 64);
	cr_assert_eq(info(both.ch[0].h).over, 0);
	pokes[1] = 0;
	flood_host(0, 1);
	cr_assert_eq(pokes[1], 1, "somebody is to look");
	both_told(0, 1);
	cr_assert(last[1].a == VMB_OVER_IN && last[1].b == 65 && last[1].c == 64 && last[1].d == 1);
	cr_assert(last[1].ch == both.ch[0].host && last[1].channel == 1);
	cr_assert_eq(info(both.ch[0].h).over, VMB_OVER_IN);
	cr_assert_eq(info(both.ch[0].h).over_in, 1);
	cr_assert_eq(both_info(1).over_budget, 1);
	flood_host(0, 64);
	both_told(0, 1);
	flood_host(0, 1);
	both_told(0, 2);
	cr_assert_eq(last[1].d, 2u);
	both_stop();
}

Test(signals_bus, slowly_they_are_no_flood)
{
	start(10, 100, 1000 * (uint64_t)MS);
	flood_host(0, 2);
	for (unsigned i = 0; i < 20; i++) {
		flood_host(0, 11);
		both.now += 100 * MS;
		both_told(0, 0);
	}
	cr_assert_eq(info(both.ch[0].h).signals_in_needless, 220, "they are counted");
	cr_assert_eq(info(both.ch[0].h).over, 0);
	flood_host(0, 11);
	both.now += 100 * MS - 1;
	both_told(0, 1);
	both_stop();
}

Test(signals_bus, without_a_clock_all_of_them_count)
{
	start(10, 100, 0);
	flood_host(0, 2 + 10);
	both_told(0, 0);
	flood_host(0, 1);
	both_told(0, 1);
	both_stop();
}

Test(signals_bus, no_budget)
{
	start(VMB_SIGNAL_BUDGET_NONE, 0, 1000 * (uint64_t)MS);
	pokes[1] = 0;
	flood_host(0, 10000);
	cr_assert_eq(pokes[1], 0);
	both_told(0, 0);
	cr_assert_eq(info(both.ch[0].h).signals_in_needless, 9998);
	both_stop();
}

/* The other channel has neither wakes nor a worse account of it, and goes on. */
Test(signals_bus, a_flood_is_its_channels_own)
{
	start(10, 0, 1000 * (uint64_t)MS);
	both.host_wakes = 0;
	flood_host(0, 1000);
	cr_assert_eq(both.host_wakes, 1000);
	cr_assert_eq(both.host_woken, 0);
	both_run();
	cr_assert_gt(told[1], 0u);
	for (unsigned i = 0; i < 100; i++)
		both_talk(1);
	both_run();
	cr_assert_eq(info(both.ch[1].h).over | info(both.ch[1].g).over, 0);
	cr_assert_eq(info(both.ch[1].h).signals_in_needless + info(both.ch[1].g).signals_in_needless, 0);
	cr_assert_eq(info(both.ch[1].h).signals_in, 100);
	both_close(1);
	both_open(1, NULL);
	both_talk(1);
	both_stop();
}

/* Both in one look: each is told of. */
Test(signals_bus, two_floods_at_once)
{
	start(10, 0, 1000 * (uint64_t)MS);
	flood_host(0, 13);
	flood_host(1, 13);
	both_told(0, 2);
	cr_assert_eq(info(both.ch[0].h).over_in + info(both.ch[1].h).over_in, 2);
	both_stop();
}

/* A guest that signals just in case sees it itself: what its host will hold against it. */
Test(signals_bus, a_guest_sees_its_own)
{
	start(10, 0, 1000 * (uint64_t)MS);
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(vmb_channel_signal(both.ch[0].g), 0);
	both_told(0, 0);
	pokes[0] = 0;
	cr_assert_eq(vmb_channel_signal(both.ch[0].g), 0);
	cr_assert_eq(pokes[0], 1);
	both_told(1, 0);
	cr_assert(last[0].a == VMB_OVER_OUT && last[0].b == 11 && last[0].c == 10 && last[0].d == 1);
	cr_assert(last[0].ch == both.ch[0].guest && last[0].channel == 1);
	cr_assert_eq(info(both.ch[0].g).over, VMB_OVER_OUT);
	cr_assert_eq(info(both.ch[0].g).over_out, 1);
	cr_assert_eq(both_info(0).over_budget, 1);
	cr_assert_eq(info(both.ch[0].h).signals_in_needless, 9, "and before the host does: it has forgiven two");
	cr_assert_eq(info(both.ch[1].g).over, 0);
	both_stop();
}

/* The host's device signals without need: the guest counts it. */
Test(signals_bus, a_guest_sees_its_hosts)
{
	start(10, 0, 1000 * (uint64_t)MS);
	for (unsigned i = 0; i < 13; i++)
		cr_assert_eq(vmb_channel_signal(both.ch[0].h), 0);
	both_told(1, 1);
	cr_assert(last[0].a == VMB_OVER_IN && last[0].b == 11);
	cr_assert(last[1].a == VMB_OVER_OUT && last[1].b == 13);
	cr_assert_eq(info(both.ch[0].g).signals_in, 13);
	both_stop();
}

/* Both ends of the library with each other: no signal that is not needed, and the two ends agree on how many there were. */
Test(signals_bus, nothing_is_needless_between_our_own_ends)
{
	start(1, 0, 1000 * (uint64_t)MS);
	for (unsigned i = 0; i < 3000; i++)
		both_talk(i % 2);
	both_run();
	for (uint32_t n = 0; n < 2; n++) {
		struct vmb_channel_info g = info(both.ch[n].g), h = info(both.ch[n].h);

		cr_assert_eq(g.signals_in_needless + h.signals_in_needless + g.signals_out_needless + h.signals_out_needless, 0);
		cr_assert_eq(g.signals_in, h.signals_data + h.signals_room);
		cr_assert_eq(h.signals_in, g.signals_data + g.signals_room);
		cr_assert_eq(g.over | h.over, 0);
	}
	both_told(0, 0);
	both_stop();
}

/* A new open begins with a new account; what it was is added up by the end. */
Test(signals_bus, an_account_begins_with_the_open)
{
	start(10, 0, 1000 * (uint64_t)MS);
	flood_host(0, 13);
	both_told(0, 1);
	both_close(0);
	both_open(0, NULL);
	cr_assert_eq(info(both.ch[0].h).signals_in, 0);
	cr_assert_eq(info(both.ch[0].h).over, 0);
	flood_host(0, 12);
	both_told(0, 1);
	flood_host(0, 1);
	both_told(0, 2);
	cr_assert_eq(last[1].d, 1u);
	cr_assert_eq(both_info(1).over_budget, 2);
	both_stop();
}

/* The object goes before anybody has looked: nothing is told, nothing is touched. */
Test(signals_bus, given_back_before_the_look)
{
	start(10, 0, 1000 * (uint64_t)MS);
	flood_host(0, 13);
	cr_assert_eq(vmb_host_detach(both.h, both.ch[0].host), 0);
	memset(both.ch[0].hmem, 0xee, 64);
	both_told(0, 0);
	both_stop();
}
