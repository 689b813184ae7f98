/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Page lists of the embedder and of rings: what is announced, what is refused, limits, ids, and the arena. gpadl.md 4, 7, 8 */
#include "guestbench.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

TestSuite(guest_gpadl, .timeout = 60);

static uint64_t words[8192], sum; /* of the last list, as the bench reckons it */

/* Pages that no list had before. */
static struct vmb_list list_of(uint32_t pages)
{
	static uint64_t pfn = 0x100000;
	struct vmb_list list = { words, pages + 1, 1 };

	words[0] = sum = VMB_RANGE(pages * VMB_PAGE, 0);
	for (uint32_t i = 0; i < pages; i++) {
		words[1 + i] = pfn++;
		sum += words[1 + i] * (i + 2);
	}
	return list;
}

static int create(struct bench *b, uint32_t pages, uint32_t *id)
{
	struct vmb_list list = list_of(pages);

	return vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, id);
}

/* Is this the word, as the wire has it? */
static int is_word(const uint8_t *at, uint64_t word)
{
	uint64_t wire = htole64(word);

	return !memcmp(at, &wire, sizeof wire);
}

/* Sizes of the table in gpadl.md 4. */
Test(guest_gpadl, messages_of_each_size)
{
	static const struct { uint32_t pages, buflen, header, bodies, last; } rows[] = {
		{ 1, 16, 36, 0, 36 },       { 2, 24, 44, 0, 44 },        { 16, 136, 156, 0, 156 },     { 26, 216, 236, 0, 236 },
		{ 27, 224, 236, 1, 24 },    { 54, 440, 236, 1, 240 },    { 55, 448, 236, 2, 24 },      { 82, 664, 236, 2, 240 },
		{ 83, 672, 236, 3, 24 },    { 256, 2056, 236, 9, 64 },   { 257, 2064, 236, 9, 72 },    { 512, 4104, 236, 18, 96 },
		{ 1024, 8200, 236, 36, 160 }, { 4096, 32776, 236, 146, 96 }, { 8190, 65528, 236, 292, 144 },
	};
	struct bench *b = bench_offered(VMB_V5_3, 5);

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct bench_message *m;
		uint32_t id, word = 1;

		b->read = b->posted = 0; /* the record is not that long */
		cr_assert_eq(create(b, rows[i].pages, &id), 0);
		m = bench_posted(b, GPADL_HEADER);
		cr_assert_eq(m->len, rows[i].header);
		cr_assert_eq(bench_number(m, b, "range_buflen"), rows[i].buflen);
		cr_assert_eq(bench_number(m, b, "range_count"), 1);
		for (uint32_t k = 28; k < m->len; k += 8, word++)
			cr_assert(is_word(m->bytes + k, words[word]));
		for (uint32_t body = 0; body < rows[i].bodies; body++) {
			m = bench_posted(b, GPADL_BODY);
			for (uint32_t k = 16; k < m->len; k += 8, word++)
				cr_assert(is_word(m->bytes + k, words[word]));
		}
		cr_assert_eq(m->len, rows[i].last);
		cr_assert_eq(word, rows[i].pages + 1);
		bench_posted_none(b);
		bench_run(b);
		bench_expect(b, VMB_EV_GPADL, 0);
		cr_assert_eq(bench_info(b).gpadl_pages, rows[i].pages);
		cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), 0);
		bench_run(b);
		bench_expect(b, VMB_EV_GPADL_DOWN, 0);
	}
	bench_free(b);
}

Test(guest_gpadl, pitfall_gpadl_5_lists_above_the_wires_limit_are_refused)
{
	struct bench *b = bench_new();
	struct vmb_list list = list_of(8191);
	uint32_t id = 77;

	b->cfg.max_gpadl_pages = 20000;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_offer(b, 5, 5, 0);
	bench_poll(b);
	b->open[0].handle = bench_until(b, VMB_EV_OFFER)->ch;
	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), VMB_ETOOBIG);
	cr_assert_eq(id, 77);
	cr_assert_eq(create(b, 8190, &id), 0);
	bench_free(b);
}

Test(guest_gpadl, what_is_no_list_is_refused)
{
	static const struct { uint64_t words[3]; uint32_t count, ranges; } bad[] = {
		{ { VMB_RANGE(0, 0), 1 }, 2, 1 },           { { VMB_RANGE(1, 4096), 1 }, 2, 1 },  { { VMB_RANGE(8192, 0), 1 },
			2, 1 },
		{ { VMB_RANGE(4096, 0), 1 }, 2, 2 },        { { VMB_RANGE(4096, 0), 1 }, 2, 0 },  { { VMB_RANGE(4096, 0), 1 },
			0, 1 },
		{ { VMB_RANGE(0xffffffff, 0), 1 }, 2, 1 },  { { VMB_RANGE(4096, 0), 1 }, 1, 1 },
	};
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	b->read = b->posted;
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct vmb_list list = { bad[i].words, bad[i].count, bad[i].ranges };

		cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), VMB_EINVAL, "%u", i);
	}
	bench_posted_none(b);
	cr_assert_eq(bench_info(b).gpadls, 0);
	bench_free(b);
}

Test(guest_gpadl, words_beyond_the_last_range_are_cut_off)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct vmb_list list = list_of(3);
	uint32_t id;

	list.count += 7;
	b->read = b->posted;
	cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &id), 0);
	cr_assert_eq(bench_number(bench_posted(b, GPADL_HEADER), b, "range_buflen"), 32);
	bench_free(b);
}

Test(guest_gpadl, the_list_is_copied)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	b->fail_count = 3;
	b->fail_at = b->attempts;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(create(b, 40, &id), 0);
	memset(words, 0xee, sizeof words);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, 0);
	cr_assert_eq(b->gpadl[0].sum, sum);
	bench_free(b);
}

Test(guest_gpadl, the_arena_bounds_what_is_being_announced_not_what_lives)
{
	struct bench *b = bench_new();
	uint64_t want[3];
	uint32_t id[8], found = 0;

	b->cfg.max_channels = 1;
	b->cfg.max_gpadls = 8;
	b->cfg.max_gpadl_pages = 100;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_offer(b, 5, 5, 0);
	bench_poll(b);
	b->open[0].handle = bench_until(b, VMB_EV_OFFER)->ch;
	b->fail_count = 1000; /* the hypervisor is busy: lists pile up */
	b->fail_at = b->attempts;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(create(b, 40, &id[0]), 0);
	want[0] = sum;
	cr_assert_eq(create(b, 40, &id[1]), 0);
	cr_assert_eq(create(b, 40, &id[2]), VMB_ENOSPACE);
	cr_assert_eq(create(b, 20, &id[2]), 0);
	want[1] = sum;
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id[1]), 0); /* a hole in the middle */
	bench_poll(b);
	bench_expect(b, VMB_EV_GPADL_DOWN, 0);
	cr_assert_eq(create(b, 38, &id[1]), 0);
	want[2] = sum;
	b->fail_count = 0;
	bench_run(b);
	for (int i = 0; i < 3; i++)
		bench_expect(b, VMB_EV_GPADL, 0);
	for (int i = 0; i < 3; i++) { /* each list is whole */
		cr_assert_eq(b->gpadl[i].got, b->gpadl[i].words);
		for (int k = 0; k < 3; k++)
			found += b->gpadl[i].sum == want[k];
	}
	cr_assert_eq(found, 3);
	for (int i = 3; i < 8; i++) {
		cr_assert_eq(create(b, 100, &id[i]), 0);
		bench_run(b);
		bench_expect(b, VMB_EV_GPADL, 0);
	}
	cr_assert_eq(create(b, 1, &id[0]), VMB_ENOSPACE, "max_gpadls");
	bench_free(b);
}

Test(guest_gpadl, the_default_takes_one_of_the_greatest)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	cr_assert_eq(create(b, 8190, &id), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, 0);
	bench_free(b);
}

Test(guest_gpadl, ids_are_unique_and_never_0)
{
	struct bench *b = bench_new();
	uint32_t kept[3], seen = 0, last = 0;

	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_offer(b, 5, 5, 0);
	bench_poll(b);
	b->open[0].handle = bench_until(b, VMB_EV_OFFER)->ch;
	for (int i = 0; i < 3; i++)
		cr_assert_eq(create(b, 1, &kept[i]), 0);
	bench_run(b);
	for (int i = 0; i < 3; i++)
		bench_expect(b, VMB_EV_GPADL, 0);
	for (uint32_t i = 0; i < 2000; i++) {
		uint32_t id;

		b->posted = b->read = b->told = b->taken = 0;
		cr_assert_eq(create(b, 1, &id), 0);
		cr_assert(id != 0 && id != kept[0] && id != kept[1] && id != kept[2] && id != last);
		last = id;
		bench_run(b);
		cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), 0);
		bench_run(b);
		seen++;
	}
	cr_assert_eq(seen, 2000);
	cr_assert_eq(bench_info(b).gpadls, 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(vmb_guest_gpadl_destroy(b->g, kept[i]), 0);
	bench_free(b);
}

Test(guest_gpadl, destroyed_before_its_creation_was_told)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	cr_assert_eq(create(b, 1, &id), 0);
	bench_answer(b);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL_DOWN, 0);
	bench_quiet(b);
	bench_free(b);
}

Test(guest_gpadl, events_carry_the_user_of_the_open_channel)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t one, two;

	bench_opened(b, b->open[0].handle, 0);
	cr_assert_eq(create(b, 1, &one), 0);
	cr_assert_eq(create(b, 1, &two), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GPADL, 0)->user, 1);
	cr_assert_eq(bench_expect(b, VMB_EV_GPADL, 0)->user, 1);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, one), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GPADL_DOWN, 0)->user, 1);
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_CLOSED, 0)->user, 1);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, two), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GPADL_DOWN, 0)->user, 0, "what the number stood for may be freed by now");
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GONE, 0)->user, 0);
	bench_free(b);
}

Test(guest_gpadl, a_refusal_is_final)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	b->refuse = BIT(GPADL_HEADER);
	cr_assert_eq(create(b, 3, &id), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GPADL, VMB_EREFUSED)->peer_status, 0x8000ffff);
	bench_quiet(b);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), VMB_ENOENT);
	cr_assert_eq(bench_info(b).gpadls, 0);
	bench_free(b);
}

Test(guest_gpadl, a_refusal_of_the_header_stops_the_bodies)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	b->fail_types = BIT(GPADL_BODY);
	b->fail_count = 1;
	b->fail_at = b->attempts;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(create(b, 200, &id), 0);
	memset(b->gpadl, 0, sizeof b->gpadl); /* the host has no room for it */
	bench_say(b, GPADL_CREATED, "channel_id", 5ull, "gpadl_id", (uint64_t)id, "status", 0x8000ffffull, NULL);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, VMB_EREFUSED);
	cr_assert_eq(bench_sent(b, GPADL_BODY), 0);
	cr_assert_eq(bench_info(b).late_answers, 0);
	bench_free(b);
}

Test(guest_gpadl, after_a_release_its_lists_go_down_one_event_each)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id[3];

	cr_assert_eq(create(b, 3, &id[0]), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, 0);
	cr_assert_eq(create(b, 3, &id[1]), 0);       /* not answered yet */
	bench_answer(b);                             /* answered, not told yet */
	cr_assert_eq(create(b, 3, &id[2]), 0);       /* not answered */
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	cr_assert_eq(create(b, 3, &id[2]), VMB_ESTATE);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id[i]), VMB_ENOENT, "going already");
	bench_run(b);
	for (int i = 0; i < 3; i++)
		bench_expect(b, VMB_EV_GPADL_DOWN, 0);
	bench_expect(b, VMB_EV_GONE, 0);
	bench_quiet(b);
	cr_assert_eq(bench_sent(b, GPADL_TEARDOWN), 3);
	bench_free(b);
}

Test(guest_gpadl, a_failed_one_that_was_not_told_goes_down_with_the_release)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	b->refuse = BIT(GPADL_HEADER);
	cr_assert_eq(create(b, 3, &id), 0);
	bench_answer(b);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GPADL_DOWN, 0)->gpadl, id);
	bench_expect(b, VMB_EV_GONE, 0);
	bench_quiet(b);
	bench_free(b);
}

/* gpadl.md 7.6 */
Test(guest_gpadl, pitfall_gpadl_17_device_lists_go_before_close_below_4_0_and_after_it_from_4_0_on)
{
	uint32_t v;

	for (uint32_t i = 0; (v = vmb_version_at(i)) != 0; i++) {
		struct bench *b = bench_offered(v, 5);
		uint32_t id, ring;

		bench_opened(b, b->open[0].handle, 0);
		ring = b->gpadl[0].id;
		cr_assert_eq(create(b, 3, &id), 0);
		bench_run(b);
		bench_expect(b, VMB_EV_GPADL, 0);
		b->read = b->posted;
		cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
		bench_run(b);
		if (v < VMB_V4_0) {
			cr_assert_eq(bench_number(bench_posted(b, GPADL_TEARDOWN), b, "gpadl_id"), id);
			bench_posted(b, CLOSE);
			cr_assert_eq(bench_number(bench_posted(b, GPADL_TEARDOWN), b, "gpadl_id"), ring);
		} else {
			bench_posted(b, CLOSE);
			bench_posted(b, GPADL_TEARDOWN);
			bench_posted(b, GPADL_TEARDOWN);
		}
		bench_posted(b, RELEASED);
		bench_posted_none(b);
		bench_free(b);
	}
}

/* Half of a list cannot be taken back: it is announced to its end, then torn down. */
Test(guest_gpadl, a_list_destroyed_in_the_middle)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	b->fail_types = BIT(GPADL_BODY);
	b->fail_at = b->attempts;
	b->fail_count = 1;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(create(b, 100, &id), 0);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), 0);
	cr_assert_eq(vmb_guest_poll(b->g, 1, &b->events[0]), 0, "nothing is free yet");
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL_DOWN, 0);
	bench_quiet(b);
	cr_assert_eq(bench_sent(b, GPADL_BODY), 3);
	cr_assert_eq(bench_sent(b, GPADL_TEARDOWN), 1);
	bench_free(b);
}

Test(guest_gpadl, a_teardown_that_waits_is_not_sent_after_a_rescind)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	cr_assert_eq(create(b, 3, &id), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, 0);
	b->fail_at = b->attempts;
	b->fail_count = 1;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), 0);
	bench_rescind(b, 5);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL_DOWN, 0);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	cr_assert_eq(bench_sent(b, GPADL_TEARDOWN), 0);
	bench_free(b);
}

Test(guest_gpadl, lists_that_are_not_answered_take_no_room)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	b->silent = BIT(GPADL_HEADER);
	for (int i = 0; i < 5; i++) {
		b->posted = 0;
		cr_assert_eq(create(b, 8190, &id), 0);
	}
	bench_free(b);
}

/* gpadl.md 7.7: once rescinded, a list that lives needs no TEARDOWN. */
Test(guest_gpadl, lists_of_a_rescinded_channel_are_free_when_asked)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	cr_assert_eq(create(b, 3, &id), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, 0);
	bench_rescind(b, 5);
	bench_poll(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	bench_quiet(b);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), 0);
	bench_poll(b);
	bench_expect(b, VMB_EV_GPADL_DOWN, 0);
	cr_assert_eq(bench_sent(b, GPADL_TEARDOWN), 0);
	cr_assert_eq(create(b, 3, &id), VMB_ESTATE);
	bench_free(b);
}

/* A TEARDOWN that was posted before is answered, and the id is not released before that. */
Test(guest_gpadl, pitfall_40_no_release_before_the_answer)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	uint32_t id;

	cr_assert_eq(create(b, 3, &id), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL, 0);
	b->silent = BIT(GPADL_TEARDOWN);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, id), 0);
	bench_rescind(b, 5);
	cr_assert_eq(vmb_guest_release(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_quiet(b);
	cr_assert_eq(bench_sent(b, RELEASED), 0);
	memset(b->gpadl, 0, sizeof b->gpadl);
	bench_say(b, GPADL_TORNDOWN, "gpadl_id", (uint64_t)id, NULL);
	bench_run(b);
	bench_expect(b, VMB_EV_GPADL_DOWN, 0);
	bench_expect(b, VMB_EV_GONE, 0);
	cr_assert_eq(bench_sent(b, RELEASED), 1);
	bench_free(b);
}

/* ---- rings */

static int open_with(struct bench *b, struct vmb_open *open, struct vmb_channel_config *cfg)
{
	struct vmb_channel *ch;

	return vmb_guest_open(b->g, b->open[0].handle, b->open[0].mem, b->open[0].bytes, cfg, open, &ch);
}

/* An offered channel, with memory at hand; nothing has been opened. */
static struct bench *with_memory(void)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	b->read = b->posted;
	b->off = 1;
	return b;
}

Test(guest_gpadl, a_ring_of_scattered_pages)
{
	struct bench *b = with_memory();
	uint8_t *ring = b->open[0].ring;
	uint64_t pfns[4] = { 0x8000000000123ull, 9, 7, 5 };
	void *tx_pages[1] = { ring + 3 * VMB_PAGE }, *rx_pages[1] = { ring + VMB_PAGE };
	struct vmb_channel_config cfg = { .size = sizeof cfg, .tx = { .control = ring, .pages = tx_pages, .data_pages = 1 },
					  .rx = { .control = ring + 2 * VMB_PAGE, .pages = rx_pages, .data_pages = 1 } };
	struct vmb_open open = { .size = sizeof open, .tx_pages = 2, .rx_pages = 2, .pfns = pfns };
	struct vmb_storage need;
	const struct bench_message *m;
	void *mem;

	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	mem = aligned_alloc(64, (need.bytes + 63) / 64 * 64);
	memset(ring, 0xa5, 4 * VMB_PAGE);
	cr_assert_eq(vmb_guest_open(b->g, b->open[0].handle, mem, need.bytes, &cfg, &open, &b->open[0].ch), 0);
	m = bench_posted(b, GPADL_HEADER);
	for (unsigned i = 0; i < 4; i++)
		cr_assert(is_word(m->bytes + 28 + 8 * i, pfns[i]));
	for (unsigned i = 0; i < 16; i++) /* both control pages are clear before OPEN. gpadl.md 6 */
		cr_assert(ring[i] == 0 && ring[2 * VMB_PAGE + i] == 0);
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	bench_free(b);
	free(mem);
}

Test(guest_gpadl, what_is_no_ring_is_refused)
{
	struct bench *b = with_memory();
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	const struct vmb_open good = { .size = sizeof good, .tx_pages = 2, .rx_pages = 2, .ring_gpa = 0x1000000,
		.ring = b->open[0].ring };
	uint64_t pfns[4] = { 1, 2, 3, 4 };
	uint8_t *ring = b->open[0].ring;
	struct vmb_open open;

#define REFUSED(change, error) do { \
		open = good; \
		change; \
		cr_assert_eq(open_with(b, &open, &cfg), error, #change); \
		bench_posted_none(b); \
	} while (0)
	REFUSED(open.tx_pages = 1, VMB_EINVAL);
	REFUSED(open.rx_pages = 0, VMB_EINVAL);
	REFUSED(open.tx_pages = 8189, VMB_EINVAL);
	REFUSED(open.tx_pages = 0xfffffffe, VMB_EINVAL);
	REFUSED((open.tx_pages = open.rx_pages = 0x80000001), VMB_EINVAL);
	REFUSED(open.ring_gpa = 0, VMB_EINVAL);
	REFUSED(open.ring_gpa += 8, VMB_EINVAL);
	REFUSED(open.ring_gpa = 0xfffffffffffff000, VMB_EINVAL);
	REFUSED(open.pfns = pfns, VMB_EINVAL);
	REFUSED(open.ring = NULL, VMB_EINVAL);
	REFUSED(open.ring = (uint8_t *)good.ring + 8, VMB_EINVAL);
	REFUSED(open.flags = 4, VMB_EINVAL);
	REFUSED(open.target_sint = 2, VMB_EINVAL);
	REFUSED(open.event_flag = 5, VMB_EVERSION);
	REFUSED(open.connection_id = 5, VMB_EVERSION);
	REFUSED(open.flags = VMB_OPEN_REDIRECT, VMB_EVERSION);
	REFUSED(open.size--, VMB_ESTRUCT);
	REFUSED(cfg.size--, VMB_ESTRUCT);
	cfg.size++;
	REFUSED(cfg.flags = 0x80000000, VMB_EINVAL);
	cfg.flags = 0;
	REFUSED(cfg.tx_at.valid = 1, VMB_EINVAL);
	cfg.tx_at.valid = 0;
	REFUSED(cfg.requests = 60000, VMB_ENOSPACE);
	cfg.requests = 0;
	cfg.tx = (struct vmb_ring_mem){ .control = ring, .data = ring + VMB_PAGE, .data_pages = 1 };
	cfg.rx = (struct vmb_ring_mem){ .control = ring + 2 * VMB_PAGE, .data = ring + 3 * VMB_PAGE, .data_pages = 1 };
	for (int i = 1; i < 6; i++) { /* memory of one's own, but not all of it, or not as much as the list names */
		struct vmb_channel_config own = cfg;

		if (i == 1)
			own.tx.control = NULL;
		if (i == 2)
			own.rx.control = NULL;
		if (i == 3)
			own.tx.data_pages = 2;
		if (i == 4)
			own.rx.data_pages = 2;
		if (i == 5)
			own.tx.data = NULL;
		open = good;
		open.ring = NULL;
		cr_assert_eq(open_with(b, &open, &own), VMB_EINVAL, "%d", i);
	}
	cr_assert_eq(bench_info(b).gpadls, 0);
	cr_assert_eq(bench_info(b).attached, 0);
	open = good;
	open.ring = NULL;
	cr_assert_eq(open_with(b, &open, &cfg), 0);
	cr_assert_eq(open_with(b, &open, &cfg), VMB_ESTATE);
	bench_free(b);
}

Test(guest_gpadl, an_open_that_finds_no_room_for_its_list_changes_nothing)
{
	struct bench *b = bench_new();

	b->cfg.max_channels = 2;
	b->cfg.max_gpadls = 1;
	b->cfg.max_gpadl_pages = 4;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_offer(b, 5, 5, 0);
	bench_offer(b, 6, 6, 0);
	bench_poll(b);
	b->open[0].handle = bench_until(b, VMB_EV_OFFER)->ch;
	b->open[1].handle = bench_expect(b, VMB_EV_OFFER, 0)->ch;
	bench_opened(b, b->open[0].handle, 0);
	cr_assert_eq(bench_open(b, b->open[1].handle, 1), VMB_ENOSPACE);
	cr_assert_eq(bench_info(b).attached, 1);
	bench_free(b);
}
