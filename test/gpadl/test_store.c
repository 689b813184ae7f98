/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The life of lists at the host, and what hostile guests try. gpadl.md 5, 8, 10 */
#include <criterion/criterion.h>
#include <string.h>

#include "fixture.h"

static const struct vmbi_gpadl_limits limits = { .gpadls = 32, .building = 8, .pages = 30000, .owners = 16 };

static struct vmbi_gpadl_store *s;
static struct vmbi_gpadl_answer answer;
static uint8_t msg[VMB_MESSAGE_MAX];
static uint64_t words[VMBI_GPADL_WORDS_MAX], other[VMBI_GPADL_WORDS_MAX];

static void start(void)
{
	s = store_new(&limits, 0xa5);
}

TestSuite(gpadl_store, .init = start);

static int header(uint32_t owner, uint32_t id, uint32_t buflen, uint32_t ranges, uint32_t n)
{
	return vmbi_gpadls_header(s, owner, msg, raw_header(msg, owner, id, buflen, ranges, words, n), 0, 0, &answer);
}

static int body(uint32_t id, uint32_t first, uint32_t n)
{
	return vmbi_gpadls_body(s, msg, raw_body(msg, id, words + first, n), &answer);
}

/* A list of n pages of which only the header has come. */
static void half_built(uint32_t owner, uint32_t id, uint32_t n)
{
	uint32_t count = words_of_pages(words, n, 0x100);

	cr_assert_gt(count, 27u);
	cr_assert_eq(header(owner, id, count * 8, 1, 27), VMBI_GPADL_WAITING);
}

/* ---- gpadl.md 5.2: headers */

Test(gpadl_store, a_short_header_or_body_is_dropped)
{
	uint32_t len = raw_header(msg, 1, 5, 16, 1, words, 0);

	cr_assert_eq(len, 20u);
	for (uint32_t n = 8; n < 20; n++)
		cr_assert_eq(vmbi_gpadls_header(s, 1, msg, n, 0, 0, &answer), VMBI_GPADL_DROPPED);
	assert_count(s, 0, 0);
	half_built(1, 5, 60);
	raw_body(msg, 5, words + 27, 28);
	for (uint32_t n = 8; n < 16; n++)
		cr_assert_eq(vmbi_gpadls_body(s, msg, n, &answer), VMBI_GPADL_DROPPED);
	cr_assert_eq(body(5, 27, 28), VMBI_GPADL_WAITING);
}

Test(gpadl_store, the_same_id_and_channel_in_any_state_is_refused)
{
	uint32_t n = words_of_pages(other, 3, 0x9000);

	/* Complete: the old one stays as it is. */
	cr_assert_eq(announce(s, 4, 7, other, n, 1), VMBI_GPADL_COMPLETE);
	cr_assert_eq(announce_pages(s, 4, 7, 5), VMBI_GPADL_REFUSED);
	cr_assert_eq(answer.id, 0u);
	assert_stored(s, 4, 7, other, n, 1);
	/* Leaving. */
	vmbi_gpadls_use(s, vmbi_gpadls_find(s, 4, 7));
	cr_assert_eq(vmbi_gpadls_leave(s, vmbi_gpadls_find(s, 4, 7)), 0);
	cr_assert_eq(announce_pages(s, 4, 7, 5), VMBI_GPADL_REFUSED);
	assert_stored(s, 4, 7, other, n, 1);
	/* Being built: goes on as if nothing had happened, be the second one complete or not. */
	half_built(4, 8, 50);
	cr_assert_eq(header(4, 8, 51 * 8, 1, 27), VMBI_GPADL_REFUSED);
	cr_assert_eq(announce_pages(s, 4, 8, 1), VMBI_GPADL_REFUSED);
	words_of_pages(words, 50, 0x100);
	cr_assert_eq(body(8, 27, 24), VMBI_GPADL_COMPLETE);
	assert_stored(s, 4, 8, words, 51, 1);
	assert_count(s, 2, 53);
}

Test(gpadl_store, ids_of_different_channels_are_different_lists)
{
	for (uint32_t owner = 1; owner <= 16; owner++)
		cr_assert_eq(announce_pages(s, owner, 7, owner), VMBI_GPADL_COMPLETE);
	for (uint32_t owner = 1; owner <= 16; owner++) {
		uint32_t n = words_of_pages(words, owner, 7);

		assert_stored(s, owner, 7, words, n, 1);
		cr_assert_eq(vmbi_gpadls_find(s, owner, 8), 0u);
	}
	cr_assert_eq(vmbi_gpadls_find(s, 0, 7), 0u);
	cr_assert_eq(vmbi_gpadls_find(s, 17, 7), 0u);
	cr_assert_eq(vmbi_gpadls_find(s, 0xffffffff, 7), 0u);
}

Test(gpadl_store, id_0_and_the_greatest_id_are_ids)
{
	static const uint32_t ids[] = { 0, 1, 0x7fffffff, 0x80000000, 0xffffffff };

	for (size_t i = 0; i < 5; i++) {
		half_built(2, ids[i], 40);
		cr_assert_eq(body(ids[i], 27, 14), VMBI_GPADL_COMPLETE);
	}
	for (size_t i = 0; i < 5; i++)
		assert_stored(s, 2, ids[i], words, 41, 1);
}

Test(gpadl_store, pitfall_1_two_channels_build_one_id)
{
	half_built(1, 7, 50);
	cr_assert_eq(header(2, 7, 51 * 8, 1, 27), VMBI_GPADL_REFUSED);
	cr_assert_eq(answer.owner, 2u);
	cr_assert_eq(answer.id, 7u);
	/* One that needs no body can be told apart. */
	cr_assert_eq(announce_pages(s, 2, 7, 3), VMBI_GPADL_COMPLETE);
	words_of_pages(words, 50, 0x100);
	cr_assert_eq(body(7, 27, 24), VMBI_GPADL_COMPLETE);
	cr_assert_eq(answer.owner, 1u);
	assert_stored(s, 1, 7, words, 51, 1);
	/* And complete ones are in nobody's way. */
	half_built(3, 7, 50);
	cr_assert_eq(body(7, 27, 24), VMBI_GPADL_COMPLETE);
	cr_assert_eq(answer.owner, 3u);
	assert_count(s, 3, 103);
}

Test(gpadl_store, pitfall_2_incomplete_lists_go_with_their_channel)
{
	for (uint32_t round = 0; round < 100; round++) {
		half_built(1, 7, 50);
		half_built(1, 8, 60);
		half_built(2, 9, 70);
		cr_assert_eq(announce_pages(s, 1, 10, 2), VMBI_GPADL_COMPLETE);
		vmbi_gpadls_purge(s, 1);
		/* The ids are free, for this channel and for others; what is complete, or another's, stays. */
		cr_assert_eq(body(7, 27, 24), VMBI_GPADL_DROPPED);
		cr_assert_eq(body(8, 27, 24), VMBI_GPADL_DROPPED);
		half_built(2, 7, 50);
		half_built(1, 8, 50);
		cr_assert_eq(body(7, 27, 24), VMBI_GPADL_COMPLETE);
		cr_assert_eq(answer.owner, 2u);
		cr_assert_eq(body(8, 27, 24), VMBI_GPADL_COMPLETE);
		cr_assert_eq(answer.owner, 1u);
		words_of_pages(words, 70, 0x100);
		cr_assert_eq(body(9, 27, 28), VMBI_GPADL_WAITING);
		cr_assert_eq(body(9, 55, 16), VMBI_GPADL_COMPLETE);
		assert_count(s, 4, 172);
		for (uint32_t owner = 1; owner <= 2; owner++)
			for (uint32_t ref; (ref = vmbi_gpadls_next(s, owner, 0)) != 0;)
				cr_assert_eq(vmbi_gpadls_leave(s, ref), 1);
		assert_count(s, 0, 0);
	}
}

Test(gpadl_store, pitfall_5_lengths_that_do_not_hold_their_ranges)
{
	/* 8193 words, cut to 16 bits: what a guest sends that does not check. The page count no longer fits. */
	uint32_t n = words_of_pages(words, 8190, 0x100);

	words[0] = VMB_RANGE(8192 * 4096, 0);
	cr_assert_eq(header(1, 1, (8193 * 8) & 0xffff, 1, 1), VMBI_GPADL_REFUSED);
	/* The greatest there is. */
	words_of_pages(words, 8190, 0x100);
	cr_assert_eq(announce(s, 1, 1, words, n, 1), VMBI_GPADL_COMPLETE);
	assert_stored(s, 1, 1, words, 8191, 1);
}

Test(gpadl_store, pitfall_9_a_body_after_the_last)
{
	half_built(1, 7, 50);
	cr_assert_eq(body(7, 27, 24), VMBI_GPADL_COMPLETE);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(body(7, 27, 28), VMBI_GPADL_DROPPED);
	assert_stored(s, 1, 7, words, 51, 1);
	cr_assert_eq(body(77, 27, 28), VMBI_GPADL_DROPPED);
}

Test(gpadl_store, pitfall_16_answers_name_the_channel_of_the_header)
{
	for (uint32_t owner = 1; owner <= 8; owner++)
		half_built(owner, 100 + owner, 50);
	for (uint32_t owner = 8; owner; owner--) {
		cr_assert_eq(body(100 + owner, 27, 24), VMBI_GPADL_COMPLETE);
		cr_assert_eq(answer.owner, owner);
		cr_assert_eq(answer.id, 100 + owner);
	}
}

/* ---- gpadl.md 3.1, 8: what is no list */

Test(gpadl_store, lengths_that_are_no_words_are_refused)
{
	words_of_pages(words, 3, 0x100);
	for (uint32_t buflen = 0; buflen <= 200; buflen++) {
		if (buflen % 8 == 0 && buflen)
			continue;
		cr_assert_eq(header(1, 1, buflen, 1, 4), VMBI_GPADL_REFUSED, "range_buflen %u", buflen);
	}
	cr_assert_eq(header(1, 1, 65535, 1, 4), VMBI_GPADL_REFUSED);
	assert_count(s, 0, 0);
}

Test(gpadl_store, range_count_0_is_refused)
{
	words_of_pages(words, 3, 0x100);
	cr_assert_eq(header(1, 1, 32, 0, 4), VMBI_GPADL_REFUSED);
	cr_assert_eq(header(1, 1, 800, 0, 4), VMBI_GPADL_REFUSED);
	assert_count(s, 0, 0);
}

/* More ranges than words: seen at the header, before anything is kept or waited for. Elsewhere "(range_buflen - range_count * 8)
 * / 8" has underflowed. */
Test(gpadl_store, more_ranges_than_words_are_refused)
{
	for (uint32_t n = 1; n <= 8191; n += 13) {
		cr_assert_eq(header(1, 1, n * 8, n + 1, 0), VMBI_GPADL_REFUSED);
		cr_assert_eq(header(1, 1, n * 8, 65535, 0), VMBI_GPADL_REFUSED);
	}
	assert_count(s, 0, 0);
	/* As many as words leave no room for pages: seen when the words are there. */
	for (uint32_t i = 0; i < 28; i++)
		words[i] = VMB_RANGE(1, 0);
	cr_assert_eq(header(1, 1, 27 * 8, 27, 27), VMBI_GPADL_REFUSED);
	cr_assert_eq(header(1, 1, 28 * 8, 28, 27), VMBI_GPADL_WAITING);
	cr_assert_eq(body(1, 27, 1), VMBI_GPADL_REFUSED);
	assert_count(s, 0, 0);
}

/* One bad range at each place of a list that is good otherwise. */
Test(gpadl_store, a_bad_range_anywhere_is_refused)
{
	static const uint64_t bad[] = {
		VMB_RANGE(0, 0),                   /* empty */
		VMB_RANGE(0, 4095),
		VMB_RANGE(1, 4096),                /* does not begin in its first page */
		VMB_RANGE(1, 0xffffffff),
		VMB_RANGE(0xffffffff, 0),          /* pages overflow 32 bits */
		VMB_RANGE(0xffffffff, 0xffffffff),
		VMB_RANGE(0xfffff001, 0),
		VMB_RANGE(0xffffefff, 4095),
		VMB_RANGE(0xfffff000, 0),          /* and what does not overflow, but has no pages */
		VMB_RANGE(4097, 0),
		VMB_RANGE(2, 4095),
	};

	for (uint32_t pages = 1; pages <= 60; pages += 7) {
		for (uint32_t place = 0; place < pages; place++) {
			for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
				for (uint32_t i = 0; i < pages; i++) {
					words[2 * i] = i == place ? bad[b] : VMB_RANGE(4095, 1);
					words[2 * i + 1] = 0; /* a page number that is no range either */
				}
				cr_assert_eq(announce(s, 1, 9, words, 2 * pages, pages), VMBI_GPADL_REFUSED, "%u of %u", place,
					     pages);
				assert_count(s, 0, 0);
			}
		}
	}
}

Test(gpadl_store, words_behind_the_last_range_are_cut_off)
{
	for (uint32_t pages = 1; pages <= 100; pages++) {
		for (uint32_t more = 1; more <= 70; more += 23) {
			uint32_t n = words_of_pages(words, pages, 0x100);

			for (uint32_t i = 0; i < more; i++)
				words[n + i] = UINT64_MAX;
			cr_assert_eq(announce(s, 1, 9, words, n + more, 1), VMBI_GPADL_COMPLETE);
			assert_stored(s, 1, 9, words, n, 1);
			assert_count(s, 1, pages);
			cr_assert_eq(vmbi_gpadls_leave(s, vmbi_gpadls_find(s, 1, 9)), 1);
		}
	}
}

/* What a padded message has behind range_buflen completes nothing: not pages that are missing, not ranges. */
Test(gpadl_store, padding_completes_no_list)
{
	for (uint32_t n = 2; n < 27; n++) {
		words_of_pages(words, n, 0x100);
		cr_assert_eq(header(1, 9, n * 8, 1, 27), VMBI_GPADL_REFUSED); /* a page short, and here it comes */
		for (uint32_t i = 0; i < 27; i++)
			words[i] = i % 2 ? 0x100 + i : VMB_RANGE(1, 0);
		cr_assert_eq(header(1, 9, n * 8, n / 2 + 1, 27), VMBI_GPADL_REFUSED);
	}
	for (uint32_t n = 28; n < 55; n++) {
		words_of_pages(words, n, 0x100);
		cr_assert_eq(header(1, 9, n * 8, 1, 27), VMBI_GPADL_WAITING);
		cr_assert_eq(body(9, 27, 28), VMBI_GPADL_REFUSED);
	}
	assert_count(s, 0, 0);
}

/* Page numbers are the mapping callback's to judge: the store keeps all. gpadl.md 3.1 */
Test(gpadl_store, any_page_number_and_repeated_pages_are_kept)
{
	words[0] = VMB_RANGE(4 * 4096, 0);
	words[1] = words[2] = UINT64_MAX;
	words[3] = words[4] = 0;
	cr_assert_eq(announce(s, 1, 9, words, 5, 1), VMBI_GPADL_COMPLETE);
	assert_stored(s, 1, 9, words, 5, 1);
	cr_assert_eq(announce(s, 1, 10, words, 5, 1), VMBI_GPADL_COMPLETE); /* the same memory twice */
	assert_stored(s, 1, 10, words, 5, 1);
}

/* The guest's memory is copied from once: what it does to its message afterwards changes nothing. */
Test(gpadl_store, the_list_is_a_snapshot)
{
	uint32_t n = words_of_pages(words, 20, 0x100), len = raw_header(msg, 1, 3, n * 8, 1, words, n);

	cr_assert_eq(vmbi_gpadls_header(s, 1, msg, len, 0, 0, &answer), VMBI_GPADL_COMPLETE);
	memset(msg, 0xff, sizeof msg);
	assert_stored(s, 1, 3, words, n, 1);
}

Test(gpadl_store, messages_need_no_alignment)
{
	for (uint32_t shift = 0; shift < 8; shift++) {
		uint8_t *at = (uint8_t *)guarded_alloc(VMB_MESSAGE_MAX + 8, 0) + shift;
		uint32_t n = words_of_pages(words, 40, 0x100), len = raw_header(msg, 1, shift, n * 8, 1, words, 27);

		memcpy(at, msg, len);
		cr_assert_eq(vmbi_gpadls_header(s, 1, at, len, 0, 0, &answer), VMBI_GPADL_WAITING);
		len = raw_body(msg, shift, words + 27, 14);
		memcpy(at, msg, len);
		cr_assert_eq(vmbi_gpadls_body(s, at, len, &answer), VMBI_GPADL_COMPLETE);
		assert_stored(s, 1, shift, words, n, 1);
	}
}

/* Exactly `len` bytes of a message are read. */
Test(gpadl_store, nothing_behind_a_message_is_read)
{
	for (uint32_t len = 20; len <= VMB_MESSAGE_MAX; len++) {
		uint8_t *at = guarded_alloc(len, 0);

		raw_header(msg, 1, len, 8191 * 8, 1, words, 27);
		memcpy(at, msg, len);
		cr_assert_eq(vmbi_gpadls_header(s, 1, at, len, 0, 0, &answer), VMBI_GPADL_WAITING);
		raw_body(msg, len, words, 28);
		at = guarded_alloc(len - 4, 0);
		memcpy(at, msg, len - 4);
		cr_assert_eq(vmbi_gpadls_body(s, at, len - 4, &answer), VMBI_GPADL_WAITING);
		vmbi_gpadls_purge(s, 1);
	}
}

/* ---- after a failure */

Test(gpadl_store, an_id_is_free_at_once_after_a_failure_and_after_the_end)
{
	for (int i = 0; i < 100; i++) {
		words_of_pages(words, 50, 0x100);
		words[0] = VMB_RANGE(51 * 4096, 0);
		cr_assert_eq(announce(s, 1, 7, words, 51, 1), VMBI_GPADL_REFUSED);
		cr_assert_eq(announce_pages(s, 1, 7, 50), VMBI_GPADL_COMPLETE);
		cr_assert_eq(vmbi_gpadls_leave(s, vmbi_gpadls_find(s, 1, 7)), 1);
		cr_assert_eq(vmbi_gpadls_find(s, 1, 7), 0u);
	}
	assert_count(s, 0, 0);
}

Test(gpadl_store, bodies_after_a_refused_header_are_dropped)
{
	uint32_t n = words_of_pages(words, 50, 0x100);

	cr_assert_eq(header(1, 7, n * 8 + 1, 1, 27), VMBI_GPADL_REFUSED);
	cr_assert_eq(body(7, 27, 24), VMBI_GPADL_DROPPED);
	cr_assert_eq(announce_pages(s, 1, 7, 3), VMBI_GPADL_COMPLETE);
	cr_assert_eq(header(1, 7, n * 8, 1, 27), VMBI_GPADL_REFUSED); /* the id is taken */
	cr_assert_eq(body(7, 27, 24), VMBI_GPADL_DROPPED);
	n = words_of_pages(words, 3, 7);
	assert_stored(s, 1, 7, words, n, 1);
}

Test(gpadl_store, owners_that_cannot_be_are_refused)
{
	words_of_pages(words, 1, 0x100);
	cr_assert_eq(header(0, 7, 16, 1, 2), VMBI_GPADL_REFUSED);
	cr_assert_eq(header(17, 7, 16, 1, 2), VMBI_GPADL_REFUSED);
	cr_assert_eq(header(0xffffffff, 7, 16, 1, 2), VMBI_GPADL_REFUSED);
	cr_assert_eq(header(16, 7, 16, 1, 2), VMBI_GPADL_COMPLETE);
}

/* ---- gpadl.md 5.4, 5.5: uses, leaving, and walks over them */

Test(gpadl_store, a_used_list_waits_for_its_last_use)
{
	uint32_t ref;

	cr_assert_eq(announce_pages(s, 1, 7, 3), VMBI_GPADL_COMPLETE);
	ref = vmbi_gpadls_find(s, 1, 7);
	vmbi_gpadls_use(s, ref);
	vmbi_gpadls_use(s, ref);
	cr_assert_eq(uses_of(s, ref), 2u);
	cr_assert_eq(vmbi_gpadls_unuse(s, ref), 0);
	vmbi_gpadls_use(s, ref);
	cr_assert_eq(vmbi_gpadls_is_leaving(s, ref), 0);
	cr_assert_eq(vmbi_gpadls_leave(s, ref), 0);
	cr_assert_eq(vmbi_gpadls_is_leaving(s, ref), 1);
	cr_assert_eq(vmbi_gpadls_leave(s, ref), 0); /* a second time changes nothing */
	cr_assert_eq(vmbi_gpadls_find(s, 1, 7), ref);
	assert_count(s, 1, 3);
	cr_assert_eq(vmbi_gpadls_unuse(s, ref), 0);
	cr_assert_eq(vmbi_gpadls_unuse(s, ref), 1);
	cr_assert_eq(vmbi_gpadls_find(s, 1, 7), 0u);
	assert_count(s, 0, 0);
}

Test(gpadl_store, a_list_no_longer_used_stays_until_it_leaves)
{
	uint32_t ref;

	cr_assert_eq(announce_pages(s, 1, 7, 3), VMBI_GPADL_COMPLETE);
	ref = vmbi_gpadls_find(s, 1, 7);
	vmbi_gpadls_use(s, ref);
	cr_assert_eq(vmbi_gpadls_unuse(s, ref), 0);
	cr_assert_eq(vmbi_gpadls_find(s, 1, 7), ref);
	cr_assert_eq(vmbi_gpadls_leave(s, ref), 1);
	assert_count(s, 0, 0);
}

Test(gpadl_store, info_tells_the_uses)
{
	struct vmb_gpadl_info info = { .size = sizeof info };
	uint32_t ref;

	cr_assert_eq(announce_pages(s, 1, 7, 3), VMBI_GPADL_COMPLETE);
	ref = vmbi_gpadls_find(s, 1, 7);
	vmbi_gpadls_use(s, ref);
	vmbi_gpadls_info(s, ref, &info);
	cr_assert_eq(info.held, 1u);
	cr_assert_eq(info.flags, 0u);
}

Test(gpadl_store, next_gives_the_complete_lists_of_one_owner)
{
	static const uint32_t ids[] = { 3, 0x80000000, 0, 0xffffffff, 17, 0x7fffffff, 16 };
	uint32_t ref = 0, last = 0, n = 0;

	for (size_t i = 0; i < 7; i++)
		cr_assert_eq(announce_pages(s, 2, ids[i], 1), VMBI_GPADL_COMPLETE);
	half_built(2, 4, 50);
	half_built(2, 0xfffffffe, 50);
	cr_assert_eq(announce_pages(s, 1, 5, 1), VMBI_GPADL_COMPLETE);
	cr_assert_eq(announce_pages(s, 3, 5, 1), VMBI_GPADL_COMPLETE);
	vmbi_gpadls_use(s, vmbi_gpadls_find(s, 2, 17));
	cr_assert_eq(vmbi_gpadls_leave(s, vmbi_gpadls_find(s, 2, 17)), 0); /* is still there */
	while ((ref = vmbi_gpadls_next(s, 2, ref)) != 0) {
		cr_assert(!n || vmbi_gpadls_id(s, ref) > last);
		last = vmbi_gpadls_id(s, ref);
		n++;
	}
	cr_assert_eq(n, 7u);
	cr_assert_eq(vmbi_gpadls_next(s, 4, 0), 0u);
}

Test(gpadl_store, next_goes_on_after_what_it_gave_is_forgotten)
{
	/* Forget each, each second one, or each and the one behind it. */
	for (uint32_t mode = 0; mode < 3; mode++) {
		uint32_t seen = 0, ref = 0;

		for (uint32_t i = 0; i < 30; i++)
			cr_assert_eq(announce_pages(s, 2, i * 0x07654321, 1), VMBI_GPADL_COMPLETE);
		while ((ref = vmbi_gpadls_next(s, 2, ref)) != 0) {
			uint32_t behind = vmbi_gpadls_next(s, 2, ref);

			seen++;
			if (mode != 1 || seen % 2)
				cr_assert_eq(vmbi_gpadls_leave(s, ref), 1);
			if (mode == 2 && behind)
				cr_assert_eq(vmbi_gpadls_leave(s, behind), 1);
		}
		cr_assert_eq(seen, mode == 2 ? 15u : 30u);
		assert_count(s, mode == 1 ? 15 : 0, mode == 1 ? 15 : 0);
		while ((ref = vmbi_gpadls_next(s, 2, 0)) != 0)
			cr_assert_eq(vmbi_gpadls_leave(s, ref), 1);
	}
}

Test(gpadl_store, init_starts_empty_again)
{
	for (int i = 0; i < 20; i++) {
		for (uint32_t id = 0; id < 32; id++)
			cr_assert_eq(announce_pages(s, 1 + id % 16, id, 20), VMBI_GPADL_COMPLETE);
		assert_count(s, 32, 640);
		vmbi_gpadls_init(s, &limits);
		assert_count(s, 0, 0);
		cr_assert_eq(vmbi_gpadls_next(s, 1, 0), 0u);
	}
}
