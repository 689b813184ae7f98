/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The target of both ends: two ends that fit together or nearly so, the steps of an input, and the end of it all. See both.h. */
#include "both.h"

#define BOTH_TIMEOUT_MS 60000u
#define BOTH_SECOND UINT64_C(1000000000)

struct both both;

/* ---- everybody does what is to be done */

/* What is repeated after a while, not what is given up. */
static int both_time(void)
{
	if (both.guest_deadline > both.now + BOTH_SECOND)
		return 0;
	if (both.guest_deadline > both.now)
		both.now = both.guest_deadline;
	return 1;
}

void both_settle(void)
{
	unsigned rounds = 0;
	int did;

	both.post_late = both.signal_count = 0;
	do {
		fuzz_need(rounds++ < 5000);
		both.moved = 0;
		did = both_wire_deliver();
		both_wire_interrupts();
		did |= both_device_poll(10000) | both_driver_poll(10000);
		did |= both_device_react() | both_driver_react() | both_more_react();
		did |= vmb_host_monitor(both.h) != 0; /* triggers, which nothing else announces */
	} while (did || both.moved || both_time());
	both.deaf = both.answer_late = 0; /* all have looked */
}

/* ---- another guest */

void both_guest_anew(void)
{
	struct vmb_storage need;

	both_driver_die();
	both.connecting = both.may_connect = both.cut = both.connected = both.leaving = both.owed = 0;
	both.monitoring = both.pausing = both.closing_reserved = 0;
	both.interrupt_late = 0;
	both.stale = 1;
	memset(both.socket, 0, sizeof both.socket);
	both_wire_silence();
	free(both.gmem);
	fuzz_need(!vmb_guest_storage(&both.gcfg, &need));
	both.gmem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(!vmb_guest_init(both.gmem, need.bytes, &both.gcfg, &both.g));
}

void both_machine_reset(void)
{
	int r;

	both_guest_anew();
	both.posts = 0;
	both.resetting = 1;
	BOTH_HOST(r, vmb_host_reset(both.h));
	fuzz_need(!r);
}

/* ---- steps */

static void both_machine(const struct fuzz_step *s)
{
	switch (s->op % 16) {
	case 0: case 1:
		both.post_after = s->a % 8;
		both.post_count = 1 + s->b % 4;
		both.post_how = s->c;
		break;
	case 2: case 3:
		both.message_after = s->a % 8;
		both.message_count = 1 + s->b % 4;
		both.message_how = s->c;
		break;
	case 4: both.map_after = s->a % 4; break;
	case 5: both.signal_count = s->a % 4; break;
	case 6: both.interrupt_late = 1; break;
	case 7: both.post_late = s->a & 1; break;
	case 8: (void)both_wire_deliver(); break;
	case 9:
		if (s->a == 80 && both.gcfg.reply_ms) { /* whatever waits is given up */
			both.now += (BOTH_TIMEOUT_MS + 1000) * (BOTH_SECOND / 1000);
			both.lossy = 1;
		} else {
			both.now += s->v % 1000000;
		}
		break;
	case 10: (void)both_wire_posts(); break;
	default: both_settle(); break;
	}
}

static void both_run(const struct fuzz_step *s)
{
	switch (s->op >> 4 == 12 ? 4 : s->op >> 4 & 3) {
	case 0: both_device_step(s); break;
	case 1: case 2: both_driver_step(s); break;
	case 3: both_machine(s); break;
	default: both_more_step(s); break;
	}
}

/* ---- the ends */

static void both_config(const struct fuzz_step *s)
{
	static const uint32_t versions[] = { 0, 0, VMB_V5_3, VMB_V5_0, VMB_V4_1, VMB_V4_0, VMB_V2_4, VMB_V1_1 };
	static const uint32_t budgets[] = { 0, 1, 3, VMB_SIGNAL_BUDGET_NONE };

	both_wire_config();
	both.hcfg.max_version = versions[s->a % 8];
	both.gcfg.max_version = versions[s->a / 8 % 8];
	both.hcfg.max_channels = 1 + s->b % 8;
	both.hcfg.max_gpadls = s->b & 8 ? 2 : 12;
	both.hcfg.max_gpadls_building = s->b & 8 ? 1 : 0;
	both.hcfg.max_gpadl_pages = s->b & 0x10 ? 40 : 400;
	both.hcfg.max_messages = s->b & 0x20 ? 2 : 0;
	both.gcfg.max_channels = s->c & 0x20 ? 0 : 1 + s->c % 8;
	both.gcfg.max_gpadls = s->c & 8 ? 3 : 0;
	both.gcfg.max_gpadl_pages = s->c & 0x10 ? 70 : 0;
	both.gcfg.message_vp = s->c >> 6;
	if (!(s->v & 1))
		both.gcfg.connect_ms = both.gcfg.reply_ms = both.gcfg.unload_ms = BOTH_TIMEOUT_MS;
	if (s->v & 2 || s->a / 8 % 8 == 7) {
		both.gcfg.interrupt_gpa = (uint64_t)BOTH_INTERRUPT_PAGE * VMB_PAGE;
		both.gcfg.interrupt_page = both_wire_guest_page(BOTH_INTERRUPT_PAGE);
	}
	both.disagree = s->a % 8 == 7 && !both.gcfg.interrupt_gpa;
	both.hcfg.signal_budget = budgets[s->v >> 2 & 3];
	both.gcfg.signal_budget = budgets[s->v >> 4 & 3];
	if (s->v & 0x40)
		both.gcfg.poke = both.hcfg.poke = NULL;
	both_more_config(s->v >> 8);
}

static void both_make(void)
{
	struct vmb_storage need;

	fuzz_need(!vmb_host_storage(&both.hcfg, &need));
	both.hmem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(!vmb_host_init(both.hmem, need.bytes, &both.hcfg, &both.h));
	fuzz_need(!vmb_guest_storage(&both.gcfg, &need));
	both.gmem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(!vmb_guest_init(both.gmem, need.bytes, &both.gcfg, &both.g));
}

static int both_guest_is_done(void)
{
	struct vmb_bus_info info = { .size = sizeof info };
	int r;

	BOTH_GUEST(r, vmb_guest_info(both.g, &info));
	fuzz_need(!r);
	return info.state == VMB_BUS_NONE && !info.channels && !info.attached && !info.gpadls && !info.queued;
}

/* The guest leaves. Where nothing was lost, no page is the host's then; else it has waited until it gave up. */
static void both_leave(void)
{
	int r, lost = both.lossy || both.mad, ends = !lost || both.gcfg.reply_ms;

	both_driver_disconnect();
	both_driver_leave();
	both_settle();
	for (unsigned i = 0; i < 20 && lost && !both_guest_is_done(); i++) {
		both.now += (BOTH_TIMEOUT_MS + 1000) * (BOTH_SECOND / 1000);
		both_settle();
		both_driver_leave();
	}
	if (!ends)
		return;
	fuzz_need(both_guest_is_done() && !both.connected && !both.leaving);
	both_driver_gone();
	for (uint32_t i = BOTH_RING_PAGE; i < BOTH_PAGES && !lost; i++)
		fuzz_need(both.lent[i] == BOTH_FREE || both.lent[i] == BOTH_OLD || both.lent[i] == BOTH_FOR_GOOD);
	BOTH_GUEST(r, vmb_guest_end(both.g));
	fuzz_need(!r);
}

static void both_finish(void)
{
	struct vmb_bus_info info = { .size = sizeof info };
	int r;

	both.post_count = both.message_count = both.map_after = 0;
	both_settle();
	if (!both.lossy && !both.mad) {
		both_driver_judge();
		both_device_judge();
		both_more_judge();
	}
	both_leave();
	both_machine_reset();
	both_device_leave();
	both_settle();
	fuzz_need(!both.resetting && !both.host_connected && !both.maps);
	BOTH_HOST(r, vmb_host_info(both.h, &info));
	fuzz_need(!r && info.state == VMB_BUS_NONE && !info.attached && !info.gpadls && !info.gpadl_pages && !info.queued);
	both_device_gone();
	BOTH_HOST(r, vmb_host_end(both.h));
	fuzz_need(!r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size, 0 };
	struct fuzz_step s;

	memset(&both, 0, sizeof both);
	if (!fuzz_next(&in, &s))
		return 0;
	both.in = in;
	both.now = 1;
	both_wire_begin();
	both_config(&s);
	both_make();
	while (fuzz_next(&both.in, &s))
		both_run(&s);
	both_finish();
	both_driver_die();
	free(both.gmem);
	free(both.hmem);
	return 0;
}
