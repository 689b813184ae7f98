/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Cases at the edge of a rule that no other test of the guest end is about. */
#include "guestbench.h"

#include <stdlib.h>
#include <string.h>

TestSuite(guest_edges, .timeout = 60);

/* An offer was declined while the hypervisor was busy, and UNLOAD overtook the message: then there is nothing to decline any more, for UNLOAD
 * releases all. control-plane.md 11 */
Test(guest_edges, unload_overtakes_what_was_to_be_declined)
{
	struct bench *b = bench_connected(VMB_V5_3);

	b->fail_status = VMB_HV_NO_BUFFERS;
	b->fail_at = b->attempts;
	b->fail_count = 1;
	b->off = 1; /* what the host thinks of it is not the point */
	bench_say(b, OFFER, "channel_id", 7ull, "subchannel_index", 3ull, NULL); /* without a primary */
	cr_assert_eq(bench_info(b).post_retries, 1);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	(void)bench_poll(b);
	cr_assert_eq(bench_sent(b, UNLOAD), 1);
	cr_assert_eq(bench_sent(b, RELEASED), 0);
	bench_say(b, UNLOAD_COMPLETE, NULL);
	(void)bench_poll(b);
	(void)bench_until(b, VMB_EV_DISCONNECTED);
	cr_assert_eq(bench_info(b).state, VMB_BUS_NONE);
	bench_free(b);
}

/* An embedder that polls its channels needs no wake, and one that polls the end no poke: whatever happens, they are not called. vmbus.h */
Test(guest_edges, without_wake_and_poke)
{
	static uint32_t flags[64], slot[64];
	struct bench *b = bench_new();
	struct bench_open *o;
	vmb_handle h;

	b->cfg.wake = NULL;
	b->cfg.poke = NULL;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	b->offers[b->offer_count++] = 5;
	bench_run(b);
	h = bench_until(b, VMB_EV_OFFER)->ch;
	(void)bench_until(b, VMB_EV_OFFERS_DONE);
	o = bench_opened(b, h, 0);
	cr_assert_eq(vmb_synic_set(flags, 5), VMB_YES);
	slot[0] = 1;
	cr_assert_eq(vmb_guest_interrupt(b->g, flags, slot), VMB_YES, "there is a message, too");
	cr_assert_eq(flags[0], 0);
	cr_assert_eq(bench_info(b).stray_events, 0, "it was for somebody");
	bench_rescind(b, 5);
	bench_run(b);
	(void)bench_until(b, VMB_EV_RESCINDED);
	cr_assert_eq(vmb_channel_flush(o->ch), VMB_ESTOPPED);
	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	bench_run(b);
	(void)bench_until(b, VMB_EV_GONE);
	bench_free(b);
}

/* The same where the open comes to nothing. */
Test(guest_edges, without_wake_a_failed_open)
{
	struct bench *b = bench_new();
	vmb_handle h;

	b->cfg.wake = NULL;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	b->offers[b->offer_count++] = 5;
	bench_run(b);
	h = bench_until(b, VMB_EV_OFFER)->ch;
	b->refuse = BIT(OPEN);
	cr_assert_eq(bench_open(b, h, 0), 0);
	bench_run(b);
	cr_assert_eq(bench_until(b, VMB_EV_OPENED)->status, VMB_EREFUSED);
	cr_assert_eq(vmb_channel_flush(b->open[0].ch), VMB_ESTOPPED);
	bench_free(b);
}

/* A channel object of a bus is given back to the bus. DESIGN 4 */
Test(guest_edges, a_channel_of_the_bus_is_the_buss_to_end)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle;
	struct bench_open *o = bench_opened(b, h, 0);

	cr_assert_eq(vmb_channel_end(o->ch, NULL, NULL), VMB_ESTATE);
	cr_assert_eq(vmb_channel_flush(o->ch), 0, "it goes on");
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	bench_run(b);
	(void)bench_until(b, VMB_EV_CLOSED);
	bench_free(b);
}

/* ---- ring.md R12 */

static uint32_t edge_flags[64], edge_slot[64];
static uint32_t edge_id;

static void host_signals_again(struct bench *b, uint64_t user)
{
	(void)user;
	cr_assert_eq(vmb_synic_set(edge_flags, edge_id), VMB_YES);
	b->on_wake = NULL;
}

/* The host signals once more while the channel is being woken for the first time: that must not get lost. In the first word of flags and in
 * another. */
Test(guest_edges, R12_a_flag_that_comes_while_the_channel_is_woken_stays)
{
	static const uint32_t ids[] = { 5, 77, 2047 };

	for (unsigned i = 0; i < 3; i++) {
		struct bench *b = bench_offered(VMB_V5_3, ids[i]);

		(void)bench_opened(b, b->open[0].handle, 0);
		edge_id = ids[i];
		memset(edge_flags, 0, sizeof edge_flags);
		b->wakes[1] = 0;
		cr_assert_eq(vmb_synic_set(edge_flags, edge_id), VMB_YES);
		b->on_wake = host_signals_again;
		cr_assert_eq(vmb_guest_interrupt(b->g, edge_flags, edge_slot), 0);
		cr_assert_eq(b->wakes[1], 1);
		cr_assert_eq(vmb_synic_set(edge_flags, edge_id), 0, "the flag is there");
		cr_assert_eq(vmb_guest_interrupt(b->g, edge_flags, edge_slot), 0);
		cr_assert_eq(b->wakes[1], 2);
		cr_assert_eq(edge_flags[edge_id / 32], 0);
		bench_free(b);
	}
}

/* ---- limits */

/* Both rings have 8190 pages at most: such a list is announced, one page more is refused. gpadl.md 4 */
Test(guest_edges, the_largest_ring_pair)
{
	struct bench *b = bench_new();
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_open open = { .size = sizeof open, .ring_gpa = 0x10000000 };
	struct vmb_storage need;
	struct vmb_channel *ch;
	uint8_t *ring = aligned_alloc(VMB_PAGE, 8191 * (size_t)VMB_PAGE);
	void *mem;

	b->cfg.max_gpadl_pages = 8191;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	b->offers[b->offer_count++] = 5;
	bench_run(b);
	b->open[0].handle = bench_until(b, VMB_EV_OFFER)->ch;
	b->off = 1;
	cfg.ring_pages = 8190;
	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	mem = aligned_alloc(need.align, need.bytes);
	open.ring = ring;
	open.tx_pages = 4095;
	open.rx_pages = 4096;
	cr_assert_eq(vmb_guest_open(b->g, b->open[0].handle, mem, need.bytes, &cfg, &open, &ch), VMB_EINVAL);
	open.rx_pages = 4095;
	cr_assert_eq(vmb_guest_open(b->g, b->open[0].handle, mem, need.bytes, &cfg, &open, &ch), 0);
	cr_assert_eq(bench_info(b).gpadl_pages, 8190);
	bench_free(b);
	free(mem);
	free(ring);
}

/* The arena has room for the pages of the config and one word more for each list: a list of exactly that size is announced, one page more is
 * refused. */
Test(guest_edges, a_list_that_fills_the_arena)
{
	struct bench *b = bench_new();
	uint64_t words[8] = { 5 * VMB_PAGE, 1, 2, 3, 4, 5, 6, 7 };
	struct vmb_list list = { words, 6, 1 };
	uint32_t id;

	b->cfg.max_gpadls = 1;
	b->cfg.max_gpadl_pages = 4;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	b->offers[b->offer_count++] = 5;
	bench_run(b);
	b->open[0].handle = bench_until(b, VMB_EV_OFFER)->ch;
	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), VMB_ENOSPACE);
	words[0] = 4 * VMB_PAGE;
	list.count = 5;
	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	bench_run(b);
	cr_assert_eq(bench_until(b, VMB_EV_GPADL)->status, 0);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id + (1u << 20)), VMB_ENOENT, "an id in the same place of the table");
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), 0);
	bench_free(b);
}

/* ---- what the host may not say yet */

/* An id that was declined is the host's again when it was told so, not before. control-plane.md 20.2 */
Test(guest_edges, an_id_that_is_being_declined_is_not_offered_again)
{
	struct bench *b = bench_connected(VMB_V5_3);

	b->off = 1;
	b->fail_status = VMB_HV_NO_BUFFERS;
	b->fail_at = b->attempts;
	b->fail_count = 1;
	bench_say(b, OFFER, "channel_id", 7ull, "subchannel_index", 3ull, NULL); /* without a primary */
	bench_say(b, OFFER, "channel_id", 7ull, NULL);
	(void)bench_poll(b);
	bench_quiet(b);
	cr_assert_eq(bench_sent(b, RELEASED), 1);
	cr_assert_eq(bench_info(b).channels, 0);
	bench_say(b, OFFER, "channel_id", 7ull, NULL);
	(void)bench_poll(b);
	(void)bench_expect(b, VMB_EV_OFFER, 0);
	bench_free(b);
}

/* A list that the host has not heard of yet is not created, whatever it says. control-plane.md 20.2 */
Test(guest_edges, a_list_that_was_not_sent_is_not_created)
{
	static const uint64_t words[] = { 2 * VMB_PAGE, 1, 2 };
	struct vmb_list list = { words, 3, 1 };
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	b->fail_status = VMB_HV_NO_BUFFERS;
	b->fail_at = b->attempts;
	b->fail_count = 1;
	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	for (uint64_t status = 0; status < 2; status++)
		bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, "status", status, NULL);
	bench_quiet(b);
	cr_assert_eq(bench_info(b).late_answers, 2);
	bench_run(b);
	cr_assert_eq(bench_until(b, VMB_EV_GPADL)->status, 0);
	bench_free(b);
}

/* ---- what a connection left */

/* UNLOAD was not answered, and the next contact is given up before it is: what the host may still have is not free yet. gpadl.md 7.9 */
Test(guest_edges, a_contact_that_is_given_up_frees_nothing)
{
	struct bench *b = bench_new();

	b->now = 1;
	b->cfg.unload_ms = 1000;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	b->taken = b->told;
	b->off = 1;
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_poll(b);
	bench_wait(b, 1000);
	(void)bench_expect(b, VMB_EV_DISCONNECTED, VMB_ETIMEDOUT);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(vmb_guest_connect(b->g), 0);
		cr_assert_eq(vmb_guest_disconnect(b->g), 0);
		bench_poll(b);
		(void)bench_expect(b, VMB_EV_DISCONNECTED, VMB_ELEAK);
	}
	b->off = 0;
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	(void)bench_expect(b, VMB_EV_DISCONNECTED, 0);
	(void)bench_expect(b, VMB_EV_CONNECTED, 0);
	bench_free(b);
}
