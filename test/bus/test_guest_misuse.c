/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The caller's faults: each is refused by its name and changes nothing. */
#include "guestbench.h"

#include <stdlib.h>
#include <string.h>

TestSuite(guest_misuse, .timeout = 60);

Test(guest_misuse, configs_are_checked)
{
	struct bench *b = bench_new();
	const struct vmb_guest_config good = b->cfg;
	void *page = bench_page(b), *two = bench_page(b);
	struct vmb_guest_config cfg;
	struct vmb_storage need;

#define REFUSED(change, error) do { \
		cfg = good; \
		change; \
		cr_assert_eq(vmb_guest_storage(&cfg, &need), error, #change); \
	} while (0)
	REFUSED(cfg.size = 8, VMB_ESTRUCT);
	REFUSED(cfg.size = offsetof(struct vmb_guest_config, signal_budget) - 1, VMB_ESTRUCT);
	REFUSED(cfg.flags = 1, VMB_EINVAL);
	REFUSED(cfg.post = NULL, VMB_EINVAL);
	REFUSED(cfg.signal = NULL, VMB_EINVAL);
	REFUSED(cfg.sint = 16, VMB_EINVAL);
	REFUSED(cfg.max_channels = 2048, VMB_EINVAL);
	REFUSED(cfg.max_gpadls = 65536, VMB_EINVAL);
	REFUSED(cfg.max_gpadl_pages = 0xffffffff, VMB_EINVAL);
	REFUSED(cfg.max_version = 0x30001, VMB_EINVAL);
	REFUSED(cfg.min_version = 0x70000, VMB_EINVAL);
	REFUSED((cfg.min_version = VMB_V5_3, cfg.max_version = VMB_V5_2), VMB_EINVAL);
	REFUSED(cfg.max_version = VMB_V1_1, VMB_EINVAL); /* needs the interrupt page */
	REFUSED(cfg.interrupt_gpa = 0x1000, VMB_EINVAL);
	REFUSED(cfg.interrupt_page = page, VMB_EINVAL);
	REFUSED((cfg.interrupt_page = page, cfg.interrupt_gpa = 0x1008), VMB_EINVAL);
	REFUSED((cfg.interrupt_page = (uint8_t *)page + 8, cfg.interrupt_gpa = 0x1000), VMB_EINVAL);
	REFUSED((cfg.interrupt_page = page, cfg.interrupt_gpa = 0x1000, cfg.max_version = VMB_V1_1), 0);
	REFUSED((cfg.monitor_page[0] = page, cfg.monitor_gpa[0] = 0x1000), VMB_EINVAL); /* one of two */
	REFUSED((cfg.monitor_page[0] = page, cfg.monitor_gpa[0] = 0x1000, cfg.monitor_page[1] = two), VMB_EINVAL);
	REFUSED((cfg.monitor_page[0] = page, cfg.monitor_gpa[0] = 0x1000, cfg.monitor_page[1] = two,
		cfg.monitor_gpa[1] = 0x2001), VMB_EINVAL);
	REFUSED((cfg.monitor_page[0] = page, cfg.monitor_gpa[0] = 0x1000, cfg.monitor_page[1] = two,
		cfg.monitor_gpa[1] = 0x2000), 0);
	cr_assert_eq(vmb_guest_storage(NULL, &need), VMB_EINVAL);
	cr_assert_eq(vmb_guest_storage(&good, NULL), VMB_EINVAL);
	bench_free(b);
}

Test(guest_misuse, a_newer_callers_tail_must_be_zero)
{
	struct bench *b = bench_new();
	struct { struct vmb_guest_config cfg; uint8_t tail[16]; } newer;
	struct vmb_storage need;

	memset(&newer, 0, sizeof newer);
	newer.cfg = b->cfg;
	newer.cfg.size = sizeof newer;
	cr_assert_eq(vmb_guest_storage(&newer.cfg, &need), 0);
	newer.tail[15] = 1;
	cr_assert_eq(vmb_guest_storage(&newer.cfg, &need), VMB_ESTRUCT);
	bench_free(b);
}

Test(guest_misuse, storage_is_checked)
{
	struct bench *b = bench_new();
	struct vmb_guest *g = NULL;
	struct vmb_storage need;
	uint8_t *mem;

	cr_assert_eq(vmb_guest_storage(&b->cfg, &need), 0);
	mem = aligned_alloc(64, (need.bytes + 127) / 64 * 64);
	cr_assert_eq(vmb_guest_init(mem, need.bytes - 1, &b->cfg, &g), VMB_ENOSPACE);
	cr_assert_eq(vmb_guest_init(mem + 8, need.bytes, &b->cfg, &g), VMB_ENOSPACE);
	cr_assert_eq(vmb_guest_init(NULL, need.bytes, &b->cfg, &g), VMB_EINVAL);
	cr_assert_eq(vmb_guest_init(mem, need.bytes, NULL, &g), VMB_EINVAL);
	cr_assert_eq(vmb_guest_init(mem, need.bytes, &b->cfg, NULL), VMB_EINVAL);
	cr_assert_null(g);
	cr_assert_eq(vmb_guest_init(mem, need.bytes, &b->cfg, &g), 0);
	cr_assert_eq(vmb_guest_end(g), 0);
	free(mem);
	bench_free(b);
}

/* The memory around the storage is not touched: a canary on both sides of exactly what was asked for. */
Test(guest_misuse, storage_is_not_left)
{
	static const uint32_t sizes[] = { 1, 3, 64, 2047 };

	for (unsigned i = 0; i < 4; i++) {
		struct bench *b = bench_new();
		struct vmb_storage need;
		struct vmb_guest *g;
		uint8_t *mem;

		b->cfg.max_channels = sizes[i];
		cr_assert_eq(vmb_guest_storage(&b->cfg, &need), 0);
		mem = aligned_alloc(64, (need.bytes + 63) / 64 * 64 + 128);
		memset(mem, 0x77, (need.bytes + 63) / 64 * 64 + 128);
		cr_assert_eq(vmb_guest_init(mem + 64, need.bytes, &b->cfg, &g), 0);
		cr_assert_eq(vmb_guest_connect(g), 0);
		for (int k = 0; k < 64; k++) {
			cr_assert_eq(mem[k], 0x77);
			cr_assert_eq(mem[64 + need.bytes + (size_t)k], 0x77);
		}
		free(mem);
		bench_free(b);
	}
}

Test(guest_misuse, null_arguments)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle;
	uint8_t page[256] = { 0 };
	struct vmb_bus_info info = { .size = sizeof info };
	struct vmb_offer offer = { .size = sizeof offer };
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_open open = { .size = sizeof open };
	struct vmb_channel *ch;
	struct vmb_event ev;
	struct vmb_list list = { NULL, 2, 1 };
	uint64_t word = 0;
	uint32_t id;

	cr_assert_eq(vmb_guest_interrupt(NULL, page, page), VMB_EINVAL);
	cr_assert_eq(vmb_guest_interrupt(b->g, NULL, page), VMB_EINVAL);
	cr_assert_eq(vmb_guest_interrupt(b->g, page, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_slot(NULL, page), VMB_EINVAL);
	cr_assert_eq(vmb_guest_slot(b->g, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_message(NULL, page, 8), VMB_EINVAL);
	cr_assert_eq(vmb_guest_message(b->g, NULL, 8), VMB_EINVAL);
	cr_assert_eq(vmb_guest_poll(NULL, 0, &ev), VMB_EINVAL);
	cr_assert_eq(vmb_guest_poll(b->g, 0, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_connect(NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_disconnect(NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_end(NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_info(NULL, &info), VMB_EINVAL);
	cr_assert_eq(vmb_guest_info(b->g, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_offer(NULL, h, &offer), VMB_EINVAL);
	cr_assert_eq(vmb_guest_offer(b->g, h, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_open(NULL, h, page, 256, &cfg, &open, &ch), VMB_EINVAL);
	cr_assert_eq(vmb_guest_open(b->g, h, NULL, 256, &cfg, &open, &ch), VMB_EINVAL);
	cr_assert_eq(vmb_guest_open(b->g, h, page, 256, NULL, &open, &ch), VMB_EINVAL);
	cr_assert_eq(vmb_guest_open(b->g, h, page, 256, &cfg, NULL, &ch), VMB_EINVAL);
	cr_assert_eq(vmb_guest_open(b->g, h, page, 256, &cfg, &open, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_close(NULL, h), VMB_EINVAL);
	cr_assert_eq(vmb_guest_release(NULL, h), VMB_EINVAL);
	cr_assert_eq(vmb_guest_target(NULL, h, 0), VMB_EINVAL);
	cr_assert_eq(vmb_guest_gpadl_create(b->g, h, NULL, &id), VMB_EINVAL);
	cr_assert_eq(vmb_guest_gpadl_create(b->g, h, &list, &id), VMB_EINVAL);
	list.words = &word;
	cr_assert_eq(vmb_guest_gpadl_create(b->g, h, &list, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guest_gpadl_create(NULL, h, &list, &id), VMB_EINVAL);
	cr_assert_eq(vmb_guest_gpadl_destroy(NULL, 1), VMB_EINVAL);
	bench_free(b);
}

Test(guest_misuse, handles_that_name_nothing)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle, bad[] = { 0, 1, 2047, h + 1, h + 2048, h ^ 0x80000000, 0xffffffff };
	struct vmb_offer offer = { .size = sizeof offer };
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 1 };
	struct vmb_list list = { words, 2, 1 };
	uint32_t id;

	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_assert_eq(vmb_guest_offer(b->g, bad[i], &offer), VMB_EHANDLE);
		cr_assert_eq(bench_open(b, bad[i], 1), VMB_EHANDLE);
		cr_assert_eq(vmb_guest_close(b->g, bad[i]), VMB_EHANDLE);
		cr_assert_eq(vmb_guest_release(b->g, bad[i]), VMB_EHANDLE);
		cr_assert_eq(vmb_guest_target(b->g, bad[i], 0), VMB_EHANDLE);
		cr_assert_eq(vmb_guest_gpadl_create(b->g, bad[i], &list, &id), VMB_EHANDLE);
	}
	bench_offer(b, 6, 6, 0); /* its handle can be guessed, but nobody was given it */
	cr_assert_eq(vmb_guest_release(b->g, h + 1), VMB_EHANDLE);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, 0), VMB_ENOENT);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, 0xe1e10), VMB_ENOENT);
	bench_free(b);
}

Test(guest_misuse, states_in_which_calls_make_no_sense)
{
	struct bench *b = bench_new();
	vmb_handle h;

	bench_init(b);
	cr_assert_eq(vmb_guest_disconnect(b->g), VMB_ESTATE);
	bench_free(b);
	b = bench_offered(VMB_V5_3, 5);
	h = b->open[0].handle;
	cr_assert_eq(vmb_guest_close(b->g, h), VMB_ESTATE);
	bench_opened(b, h, 0);
	cr_assert_eq(vmb_guest_end(b->g), VMB_ESTATE);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, b->gpadl[0].id), VMB_ENOENT, "a ring's list is not the embedder's");
	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	cr_assert_eq(vmb_guest_release(b->g, h), VMB_ESTATE);
	cr_assert_eq(vmb_guest_close(b->g, h), VMB_ESTATE);
	cr_assert_eq(bench_open(b, h, 1), VMB_ESTATE);
	cr_assert_eq(vmb_guest_target(b->g, h, 1), VMB_ESTATE);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	cr_assert_eq(vmb_guest_disconnect(b->g), VMB_ESTATE);
	cr_assert_eq(vmb_guest_connect(b->g), VMB_ESTATE);
	bench_run(b);
	cr_assert_eq(vmb_guest_end(b->g), 0);
	bench_free(b);
}

Test(guest_misuse, a_channel_that_must_be_given_back_is_not_opened)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle;

	bench_opened(b, h, 0);
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	bench_answer(b); /* closed; EV_CLOSED is not pulled yet: the memory is still the library's */
	cr_assert_eq(bench_info(b).attached, 1);
	{
		struct vmb_channel_config cfg = { .size = sizeof cfg };
		struct vmb_open open = { .size = sizeof open, .tx_pages = 2, .rx_pages = 2, .ring_gpa = 0x1000,
			.ring = b->open[0].ring };
		struct vmb_channel *ch;

		cr_assert_eq(vmb_guest_open(b->g, h, b->open[0].mem, b->open[0].bytes, &cfg, &open, &ch), VMB_ESTATE);
	}
	bench_poll(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_opened(b, h, 0);
	bench_rescind(b, 5);
	bench_poll(b);
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	bench_run(b);
	cr_assert_eq(bench_open(b, h, 1), VMB_ESTATE, "rescinded");
	bench_free(b);
}

/* Every [control] call, from inside every callback: refused, and nothing has changed. */
static int reentries;

static void reenter(struct bench *b)
{
	struct vmb_bus_info info = { .size = sizeof info };
	struct vmb_offer offer = { .size = sizeof offer };
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_open open = { .size = sizeof open };
	struct vmb_channel *ch;
	uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), 1 };
	struct vmb_list list = { words, 2, 1 };
	uint8_t slot[256] = { 1, 0, 0, 0, 8 };
	struct vmb_event ev;
	uint32_t id;

	reentries++;
	cr_assert_eq(vmb_guest_poll(b->g, 0, &ev), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_slot(b->g, slot), VMB_EREENTRY);
	cr_assert_eq(slot[0], 1);
	cr_assert_eq(vmb_guest_message(b->g, slot, 8), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_connect(b->g), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_disconnect(b->g), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_end(b->g), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_info(b->g, &info), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_offer(b->g, 1, &offer), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_open(b->g, 1, slot, 256, &cfg, &open, &ch), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_close(b->g, 1), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_release(b->g, 1), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_target(b->g, 1, 1), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_gpadl_create(b->g, 1, &list, &id), VMB_EREENTRY);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, 1), VMB_EREENTRY);
}

static void reenter_from_wake(struct bench *b, uint64_t user)
{
	(void)user;
	reenter(b);
}

static void reenter_from_poke(void *ctx)
{
	reenter(ctx);
}

Test(guest_misuse, control_calls_out_of_callbacks_are_refused)
{
	struct bench *b = bench_new();

	b->on_post = reenter;
	b->on_wake = reenter_from_wake;
	b->cfg.poke = reenter_from_poke;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_offer(b, 5, 5, 0);
	bench_poll(b);
	bench_opened(b, bench_until(b, VMB_EV_OFFER)->ch, 0);
	bench_rescind(b, 5);
	bench_poll(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_expect(b, VMB_EV_GONE, 0);
	cr_assert_gt(reentries, 10);
	bench_free(b);
}

Test(guest_misuse, output_structs_of_other_sizes)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct { struct vmb_bus_info info; uint8_t tail[24]; } newer;
	struct vmb_offer offer = { .size = sizeof offer - 1 };

	memset(&newer, 0xee, sizeof newer);
	newer.info.size = sizeof newer;
	cr_assert_eq(vmb_guest_info(b->g, &newer.info), 0);
	cr_assert_eq(newer.info.size, sizeof newer);
	for (int i = 0; i < 24; i++)
		cr_assert_eq(newer.tail[i], 0);
	newer.info.size = 8;
	cr_assert_eq(vmb_guest_info(b->g, &newer.info), VMB_ESTRUCT);
	cr_assert_eq(vmb_guest_offer(b->g, b->open[0].handle, &offer), VMB_ESTRUCT);
	bench_free(b);
}

/* A slot's generations are used up after 2^21 - 1 handles: then it is not used again, and no handle ever comes twice. */
Test(guest_misuse, a_slot_that_has_used_up_its_handles_is_retired)
{
	struct bench *b = bench_new();
	struct bench_message offer, rescind;
	uint32_t n = 0;

	b->cfg.max_channels = 1;
	b->cfg.poke = NULL;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	b->off = 1;
	bench_make(b, &offer, OFFER, "channel_id", 5ull, NULL);
	bench_make(b, &rescind, RESCIND, "channel_id", 5ull, NULL);
	while (bench_info(b).refused_quota == 0) { /* nobody sees them */
		bench_feed(b, &offer);
		bench_feed(b, &rescind);
		b->posted = 0;
		n++;
		cr_assert_leq(n, 1u << 21);
	}
	cr_assert_eq(n, 1u << 21);
	cr_assert_eq(bench_info(b).channels, 0);
	bench_free(b);
}
