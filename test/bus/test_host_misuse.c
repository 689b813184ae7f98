/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The embedder's side of the contract: config, storage, arguments, handles, answers, re-entry. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hostbench.h"

static vmb_handle dev;
static struct vmb_channel *channel;

static int on_message(void *c, uint32_t vp, uint32_t vtl, uint32_t sint, const void *m, uint32_t n)
{
	(void)c, (void)vp, (void)vtl, (void)sint, (void)m, (void)n;
	return 0;
}

static void on_interrupt(void *c, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)c, (void)vp, (void)vtl, (void)sint, (void)flag;
}

static void on_wake(void *c, uint64_t user)
{
	(void)c, (void)user;
}

static struct vmb_host_config config(void)
{
	return (struct vmb_host_config){ .size = sizeof(struct vmb_host_config), .message = on_message, .interrupt = on_interrupt,
					 .wake = on_wake };
}

static size_t need(const struct vmb_host_config *cfg)
{
	struct vmb_storage s = { 0, 0 };

	cr_assert_eq(vmb_host_storage(cfg, &s), 0);
	cr_assert_eq(s.align, 64);
	return s.bytes;
}

/* ---- config */

Test(host_misuse, the_smallest_config)
{
	struct vmb_host_config cfg = config();
	struct vmb_host *h;
	size_t bytes = need(&cfg);
	void *mem = aligned_alloc(64, bytes);

	cr_assert_eq(vmb_host_init(mem, bytes, &cfg, &h), 0);
	cr_assert_eq(vmb_host_end(h), 0);
	free(mem);
}

#define BAD_CONFIG(name, set, want) \
	Test(host_misuse, config_##name) \
	{ \
		struct vmb_host_config cfg = config(); \
		struct vmb_storage s; \
		struct vmb_host *h; \
		static uint8_t mem[1 << 20] __attribute__((aligned(64))); \
		set; \
		cr_assert_eq(vmb_host_storage(&cfg, &s), want); \
		cr_assert_eq(vmb_host_init(mem, sizeof mem, &cfg, &h), want); \
	}
BAD_CONFIG(flags, cfg.flags = 8, VMB_EINVAL)
BAD_CONFIG(reserved, cfg.reserved = 1, VMB_EINVAL)
BAD_CONFIG(vtl, cfg.vtl = 16, VMB_EINVAL)
BAD_CONFIG(a_feature_that_there_is_not, cfg.features = 0x100, VMB_EINVAL)
BAD_CONFIG(confidential_without_trust, cfg.features = VMB_FEATURE_CONFIDENTIAL, VMB_EINVAL)
BAD_CONFIG(server_pages_without_pages, cfg.features = VMB_FEATURE_SERVER_MONITOR, VMB_EINVAL)
BAD_CONFIG(a_monitor_page_without_an_address, cfg.monitor_page[1] = mem, VMB_EINVAL)
BAD_CONFIG(half_a_pair_of_monitor_pages, (cfg.monitor_page[0] = mem, cfg.monitor_gpa[0] = VMB_PAGE), VMB_EINVAL)
BAD_CONFIG(monitor_pages_that_are_none, (cfg.monitor_page[1] = mem, cfg.monitor_gpa[1] = VMB_PAGE + 8), VMB_EINVAL)
BAD_CONFIG(monitor_latency, cfg.monitor_latency = 0x10000, VMB_EINVAL)
BAD_CONFIG(too_many_sockets, cfg.max_hvsock = 0x1000001, VMB_EINVAL)
BAD_CONFIG(without_message, cfg.message = NULL, VMB_EINVAL)
BAD_CONFIG(without_interrupt, cfg.interrupt = NULL, VMB_EINVAL)
BAD_CONFIG(without_wake, cfg.wake = NULL, VMB_EINVAL)
BAD_CONFIG(max_version_that_is_none, cfg.max_version = 0x00050004, VMB_EINVAL)
BAD_CONFIG(too_many_channels, cfg.max_channels = 2048, VMB_EINVAL)
BAD_CONFIG(far_too_many_channels, cfg.max_channels = 5000, VMB_EINVAL)
BAD_CONFIG(ids_that_do_not_suffice, (cfg.max_channels = 1024, cfg.first_channel_id = 1025), VMB_EINVAL)
BAD_CONFIG(first_id_beyond, (cfg.max_channels = 1, cfg.first_channel_id = 2048), VMB_EINVAL)
BAD_CONFIG(more_building_than_gpadls, (cfg.max_gpadls = 4, cfg.max_gpadls_building = 5), VMB_EINVAL)
BAD_CONFIG(gpadls_beyond_reason, cfg.max_gpadls = 0xffffffff, VMB_EINVAL)
BAD_CONFIG(pages_beyond_reason, cfg.max_gpadl_pages = 0xffffffff, VMB_EINVAL)
BAD_CONFIG(messages_beyond_reason, cfg.max_messages = 0xffffffff, VMB_EINVAL)
BAD_CONFIG(size_zero, cfg.size = 0, VMB_ESTRUCT)
BAD_CONFIG(size_short, cfg.size = offsetof(struct vmb_host_config, signal_budget) - 1, VMB_ESTRUCT)
BAD_CONFIG(size_huge, cfg.size = 0x10001, VMB_ESTRUCT)

Test(host_misuse, config_of_a_newer_caller)
{
	struct { struct vmb_host_config cfg; uint64_t tail[2]; } own = { config(), { 0, 0 } };
	struct vmb_storage s;

	own.cfg.size = sizeof own;
	cr_assert_eq(vmb_host_storage(&own.cfg, &s), 0);
	own.tail[1] = 1;
	cr_assert_eq(vmb_host_storage(&own.cfg, &s), VMB_ESTRUCT);
}

Test(host_misuse, config_arguments)
{
	struct vmb_host_config cfg = config();
	struct vmb_storage s;
	struct vmb_host *h;
	size_t bytes = need(&cfg);
	uint8_t *mem = aligned_alloc(64, bytes + 64);

	cr_assert_eq(vmb_host_storage(NULL, &s), VMB_EINVAL);
	cr_assert_eq(vmb_host_storage(&cfg, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_host_init(NULL, bytes, &cfg, &h), VMB_EINVAL);
	cr_assert_eq(vmb_host_init(mem, bytes, NULL, &h), VMB_EINVAL);
	cr_assert_eq(vmb_host_init(mem, bytes, &cfg, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_host_init(mem, bytes - 1, &cfg, &h), VMB_ENOSPACE);
	cr_assert_eq(vmb_host_init(mem + 8, bytes, &cfg, &h), VMB_ENOSPACE);
	cr_assert_eq(vmb_host_init(mem, bytes, &cfg, &h), 0);
	free(mem);
}

/* ---- storage */

Test(host_misuse, at_most_a_kibibyte_for_each_channel)
{
	struct vmb_host_config one = config(), all = config();

	one.max_channels = 1;
	all.max_channels = 2047;
	cr_assert_leq((need(&all) - need(&one)) / 2046, 1024);
	one.max_gpadls = all.max_gpadls = 1;
	one.max_gpadl_pages = 64;
	cr_assert_leq(need(&one), 16 * 1024);
}

Test(host_misuse, each_limit_costs_what_it_should)
{
	struct vmb_host_config base = config(), more = config();

	more.max_gpadl_pages = 65536 + 1024;
	cr_assert_leq(need(&more) - need(&base), 1024 * 9);
	more = config();
	more.max_gpadls = 256 + 64;
	cr_assert_leq(need(&more) - need(&base), 64 * 640);
	more = config();
	more.max_messages = 128 + 64;
	cr_assert_leq(need(&more) - need(&base), 64 * 64);
}

static void busy_life(void)
{
	vmb_handle handle[5];

	for (unsigned n = 1; n <= 4; n++)
		handle[n] = hb_offer(n);
	hb_connect(VMB_V1_1);
	hb_connect(VMB_V5_3);
	for (unsigned n = 1; n <= 4; n++) {
		channel = hb_serve(n, handle[n], n, n);
		cr_assert_eq(vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND }), 0);
		hb_gpadl(n, 0x500 + n, 0x40, 10);
		hb_skip();
	}
	hb->busy = true;
	for (unsigned i = 0; hb_post(1, "\15\0\0\0\0\0\0\0\11\0\0\0", 12) == 0 && i < 100; i++)
		hb_gpadl(9, i, 1, 1);
	hb->busy = false;
	vmb_host_eom(hb->h, 0);
	cr_assert_eq(vmb_host_remove(hb->h, handle[2]), 0);
	hb_close(1);
	hb_modify(3, 1);
	hb_unload();
	while (hb_poll())
		if (hb->ev.kind == VMB_EV_CLOSE)
			cr_assert_eq(vmb_host_detach(hb->h, hb->ev.ch), 0);
	cr_assert_eq(hb_info().state, VMB_BUS_NONE);
}

Test(host_misuse, nothing_is_written_beyond_the_storage)
{
	struct vmb_host_config cfg = { .max_channels = 4, .max_gpadls = 16, .max_gpadl_pages = 64, .max_messages = 40 };
	size_t bytes;
	uint8_t *mem;

	hb_new(&cfg, 0);
	bytes = need(&hb->cfg);
	mem = aligned_alloc(64, bytes + 256);
	memset(mem, 0xee, bytes + 256);
	cr_assert_eq(vmb_host_init(mem + 64, bytes, &hb->cfg, &hb->h), 0);
	busy_life();
	for (size_t i = 0; i < 64; i++)
		cr_assert_eq(mem[i], 0xee);
	for (size_t i = 64 + bytes; i < bytes + 256; i++)
		cr_assert_eq(mem[i], 0xee);
	free(mem);
}

Test(host_misuse, dirty_storage_changes_nothing)
{
	struct vmb_host_config cfg = { .max_channels = 4, .max_gpadls = 16, .max_gpadl_pages = 64, .max_messages = 40 };
	struct hb *clean = hb_new(&cfg, 0), *dirty;

	busy_life();
	cr_assert_gt(clean->trace_len, 1000);
	for (int fill = 1; fill < 256; fill += 127) {
		dirty = hb_new(&cfg, fill);
		busy_life();
		cr_assert_eq(dirty->trace_len, clean->trace_len);
		cr_assert_eq(memcmp(dirty->trace, clean->trace, clean->trace_len), 0);
		hb_free(dirty);
	}
}

Test(host_misuse, two_ends_know_nothing_of_each_other)
{
	struct hb *a, *b;

	hb_start(1);
	a = hb;
	hb_connect(VMB_V5_3);
	hb_start(3);
	b = hb;
	hb_connect(VMB_V1_1);
	hb = a;
	hb_no_event();
	cr_assert_eq(hb_info().channels, 1);
	cr_assert_eq(hb_info().version, VMB_V5_3);
	hb = b;
	cr_assert_eq(hb_info().channels, 3);
	hb_unload();
	hb = a;
	cr_assert_eq(hb_info().version, VMB_V5_3);
}

/* ---- arguments of the rest */

Test(host_misuse, null)
{
	struct vmb_event ev = { .kind = VMB_EV_OPEN };
	struct vmb_bus_info info = { .size = sizeof info };
	struct vmb_open_info open = { .size = sizeof open };
	struct vmb_gpadl_info gpadl = { .size = sizeof gpadl };
	struct vmb_list list;
	uint64_t words[4];

	hb_start(1);
	dev = hb_handle(1);
	cr_assert_eq(vmb_host_poll(NULL, 0, &ev), VMB_EINVAL);
	cr_assert_eq(vmb_host_poll(hb->h, 0, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_host_eom(NULL, 0), VMB_EINVAL);
	cr_assert_eq(vmb_host_info(NULL, &info), VMB_EINVAL);
	cr_assert_eq(vmb_host_info(hb->h, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_host_open_info(NULL, dev, &open), VMB_EINVAL);
	cr_assert_eq(vmb_host_detach(NULL, dev), VMB_EINVAL);
	cr_assert_eq(vmb_host_answer(NULL, &ev, 0), VMB_EINVAL);
	cr_assert_eq(vmb_host_answer(hb->h, NULL, 0), VMB_EINVAL);
	cr_assert_eq(vmb_host_gpadl_info(NULL, dev, 1, &gpadl), VMB_EINVAL);
	cr_assert_eq(vmb_host_gpadl_info(hb->h, dev, 1, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_host_gpadl_hold(NULL, dev, 1, words, 4, &list), VMB_EINVAL);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, 1, NULL, 4, &list), VMB_EINVAL);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, 1, words, 4, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_host_gpadl_release(NULL, dev, 1), VMB_EINVAL);
}

Test(host_misuse, info_structs_of_other_sizes)
{
	struct { struct vmb_bus_info i; uint8_t tail[16]; } big;
	struct vmb_bus_info small = { .size = 8 };
	struct vmb_open_info open = { .size = 8 };
	struct vmb_gpadl_info gpadl = { .size = 8 };

	hb_start(1);
	dev = hb_handle(1);
	memset(&big, 0xff, sizeof big);
	big.i.size = sizeof big;
	cr_assert_eq(vmb_host_info(hb->h, &big.i), 0);
	cr_assert_eq(big.i.size, sizeof big);
	cr_assert_eq(big.i.channels, 1);
	for (int i = 0; i < 16; i++)
		cr_assert_eq(big.tail[i], 0);
	cr_assert_eq(vmb_host_info(hb->h, &small), VMB_ESTRUCT);
	hb_connect(VMB_V5_3);
	hb_serve(1, dev, 1, 0);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &open), VMB_ESTRUCT);
	cr_assert_eq(vmb_host_gpadl_info(hb->h, dev, hb_ring_id(1), &gpadl), VMB_ESTRUCT);
}

Test(host_misuse, info_counts)
{
	struct vmb_bus_info i;

	hb_start(2);
	dev = hb_handle(1);
	i = hb_info();
	cr_assert_eq(i.state, VMB_BUS_NONE);
	cr_assert_eq(i.version, 0);
	hb_connect(VMB_V5_3);
	i = hb_info();
	cr_assert_eq(i.state, VMB_BUS_RUNNING);
	cr_assert_eq(i.messages_in, 2);
	cr_assert_eq(i.messages_out, 4);
	hb_serve(1, dev, 1, 0);
	i = hb_info();
	cr_assert_eq(i.channels, 2);
	cr_assert_eq(i.attached, 1);
	cr_assert_eq(i.gpadls, 1);
	cr_assert_eq(i.gpadl_pages, 4);
	cr_assert_eq(i.queued, 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(hb_info().attached, 0);
}

/* ---- handles: never somebody else's channel */

Test(host_misuse, handles_are_not_reused)
{
	vmb_handle seen[100];

	hb_new(NULL, 0);
	for (int i = 0; i < 100; i++) {
		seen[i] = hb_offer(1);
		for (int k = 0; k < i; k++) {
			struct vmb_open_info info = { .size = sizeof info };

			cr_assert_neq(seen[k], seen[i]);
			cr_assert_eq(vmb_host_remove(hb->h, seen[k]), VMB_EHANDLE);
			cr_assert_eq(vmb_host_detach(hb->h, seen[k]), VMB_EHANDLE);
			cr_assert_eq(vmb_host_open_info(hb->h, seen[k], &info), VMB_EHANDLE);
			cr_assert_eq(hb_attach(1, seen[k], &channel), VMB_EHANDLE);
		}
		cr_assert_eq(vmb_host_remove(hb->h, seen[i]), 0);
		hb_event(VMB_EV_GONE, seen[i]);
	}
}

Test(host_misuse, handles_that_were_never_given)
{
	struct vmb_host_config cfg = { .max_channels = 2 };
	vmb_handle old;

	hb_new(&cfg, 0);
	dev = hb_offer(1);
	old = hb_offer(2);
	hb_connect(VMB_V5_3);
	cr_assert_eq(vmb_host_remove(hb->h, old), 0);
	hb_rel(2);
	hb_event(VMB_EV_GONE, old);
	hb_unload(); /* slots without an offer have nothing to do with that */
	for (uint32_t slot = 0; slot < 2048; slot++)
		for (uint32_t generation = 0; generation < 4; generation++) {
			vmb_handle ch = generation << 11 | slot;

			if (ch != dev)
				cr_assert_eq(vmb_host_detach(hb->h, ch), VMB_EHANDLE, "%#x", ch);
		}
	cr_assert_eq(vmb_host_detach(hb->h, dev), VMB_ESTATE);
}

Test(host_misuse, a_slot_whose_generations_are_used_up_is_not_used_again, .timeout = 60)
{
	struct vmb_host_config cfg = { .max_channels = 1 };
	struct vmb_offer o;
	vmb_handle ch, last = 0;
	unsigned n = 0;

	hb_new(&cfg, 0);
	hb_offer_fill(&o, 1, 0);
	while (vmb_host_offer(hb->h, &o, &ch) == 0) {
		cr_assert(ch > last);
		last = ch;
		cr_assert_eq(vmb_host_remove(hb->h, ch), 0);
		cr_assert_eq(vmb_host_poll(hb->h, 0, &hb->ev), VMB_YES);
		n++;
	}
	cr_assert_eq(n, (1u << 21) - 1);
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), VMB_ENOSPACE);
}

/* ---- answers that are none */

Test(host_misuse, answers_to_questions_of_others)
{
	struct vmb_event ev, forged;

	hb_start(2);
	dev = hb_handle(1);
	hb_connect(VMB_V5_3);
	for (uint32_t i = 1; i <= 2; i++) {
		hb_gpadl(i, i, hb_ring_pfn(i), 4);
		hb_open(i, 7, i, 0);
	}
	hb_skip();
	hb_event(VMB_EV_OPEN, dev);
	ev = hb->ev;
	hb_event(VMB_EV_OPEN, hb_handle(2));
#define FORGED(change) forged = ev; change; cr_assert_eq(vmb_host_answer(hb->h, &forged, 0), VMB_ENOENT)
	FORGED(forged.token++);
	FORGED(forged.token = 0);
	FORGED(forged.token = hb->ev.token);
	FORGED(forged.ch = hb_handle(2));
	FORGED(forged.ch = 0);
	FORGED(forged.ch += 2048);
	FORGED(forged.kind = VMB_EV_CLOSE);
	FORGED(forged.kind = VMB_EV_GPADL_DOWN);
	cr_assert_eq(hb_info().late_answers, 8);
	forged = ev;
	forged.kind = VMB_EV_CONNECTED;
	cr_assert_eq(vmb_host_answer(hb->h, &forged, 0), VMB_EINVAL);
	hb_quiet();
	cr_assert_eq(vmb_host_answer(hb->h, &ev, 0), 0);
	hb_expect(6, 3, 1, 7, 0);
	FORGED(forged = ev);
	cr_assert_eq(hb_info().late_answers, 9);
	hb_quiet();
}

Test(host_misuse, the_token_of_a_close_answers_no_open)
{
	struct vmb_event ev, forged;

	hb_start(1);
	dev = hb_handle(1);
	hb_connect(VMB_V5_3);
	hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	ev = hb->ev;
	FORGED(forged.kind = VMB_EV_OPEN);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
}

Test(host_misuse, gpadl_answers_with_another_handle)
{
	uint64_t words[8];
	struct vmb_list list;
	struct vmb_event ev, forged;

	hb_start(2);
	dev = hb_handle(1);
	hb_connect(VMB_V5_3);
	hb_gpadl(1, 5, 0x40, 1);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev, 5, words, 8, &list), 0);
	hb_teardown(1, 5);
	hb_skip();
	hb_event(VMB_EV_GPADL_DOWN, dev);
	ev = hb->ev;
	FORGED(forged.ch = hb_handle(2));
	FORGED(forged.ch = 0);
	FORGED(forged.token |= 0xffff);
	FORGED(forged.token += 1ull << 32);
	hb_quiet();
	cr_assert_eq(vmb_host_answer(hb->h, &ev, 0), 0);
	hb_expect(12, 1, 5);
}

/* ---- two [control] calls at once */

static int what;

static int call_back(void)
{
	struct vmb_event ev = { .kind = VMB_EV_OPEN, .ch = dev, .token = 1 };
	struct vmb_bus_info info = { .size = sizeof info };
	struct vmb_open_info open = { .size = sizeof open };
	struct vmb_gpadl_info gpadl = { .size = sizeof gpadl };
	struct vmb_offer o;
	struct vmb_list list;
	uint64_t words[4];
	vmb_handle ch;
	uint8_t in[256] = { 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 3 };

	switch (what) {
	case 0: return vmb_host_post(hb->h, in, sizeof in);
	case 1: return vmb_host_poll(hb->h, 0, &ev);
	case 2: return vmb_host_eom(hb->h, 0);
	case 3: hb_offer_fill(&o, 40, 0); return vmb_host_offer(hb->h, &o, &ch);
	case 4: return vmb_host_remove(hb->h, dev);
	case 5: return vmb_host_detach(hb->h, dev);
	case 6: return vmb_host_answer(hb->h, &ev, 0);
	case 7: return vmb_host_reset(hb->h);
	case 8: return vmb_host_info(hb->h, &info);
	case 9: return vmb_host_open_info(hb->h, dev, &open);
	case 10: return vmb_host_gpadl_info(hb->h, dev, 5, &gpadl);
	case 11: return vmb_host_gpadl_hold(hb->h, dev, 5, words, 4, &list);
	case 12: return vmb_host_gpadl_release(hb->h, dev, 5);
	case 13: return vmb_host_end(hb->h);
	case 14: return hb_attach(9, dev, &channel);
	default: return 1;
	}
}

/* A call that brings exactly this callback first. */
static void from(int callback)
{
	hb->inside_result = 0;
	switch (callback) {
	case 0: /* message */
		hb_gpadl(9, 1, 1, 1);
		break;
	case 1: /* poke */
		cr_assert_eq(vmb_host_reset(hb->h), 0);
		break;
	case 2: /* map */
		hb_contact(VMB_V1_1);
		break;
	case 3: /* unmap, after map and message without */
		hb->inside = NULL;
		hb_contact(VMB_V1_1);
		hb->inside = call_back;
		hb->inside_result = 0;
		hb_unload();
		break;
	case 4: /* wake */
		hb->inside = NULL;
		channel = hb_serve(1, dev, 1, 0);
		hb->inside = call_back;
		hb->inside_result = 0;
		hb_close(1);
		break;
	}
}

#define EREENTRY_FROM(name, number) \
	Test(host_misuse, no_control_call_from_##name) \
	{ \
		for (what = 0; what < 15; what++) { \
			uint32_t state; \
			hb_start(1); \
			dev = hb_handle(1); \
			hb_connect(VMB_V5_3); \
			hb->inside = call_back; \
			from(number); \
			hb->inside = NULL; \
			cr_assert_eq(hb->inside_result, VMB_EREENTRY, "call %d: %d", what, hb->inside_result); \
			state = hb_info().state; \
			cr_assert_lt(state, 6u); \
			hb_free(hb); \
		} \
	}
EREENTRY_FROM(message, 0)
EREENTRY_FROM(poke, 1)
EREENTRY_FROM(map, 2)
EREENTRY_FROM(unmap, 3)
EREENTRY_FROM(wake, 4)

static int signal_inside(void)
{
	hb->inside = NULL;
	return vmb_host_signal(hb->h, 0x2001, 0) ? 1 : 2;
}

Test(host_misuse, but_signals_from_anywhere)
{
	hb_start(1);
	dev = hb_handle(1);
	hb_connect(VMB_V5_3);
	channel = hb_serve(1, dev, 1, 0);
	hb->wakes = 0;
	hb->inside = signal_inside;
	hb_gpadl(9, 1, 1, 1);
	cr_assert_eq(hb->inside_result, 2);
	cr_assert_eq(hb->wakes, 1);
}
