/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Limits on what a guest may have the host keep: exact, given back, and never undercut by how the arena is cut up. gpadl.md 8 */
#include <criterion/criterion.h>

#include "fixture.h"

static struct vmbi_gpadl_answer answer;
static uint8_t msg[VMB_MESSAGE_MAX];
static uint64_t words[VMBI_GPADL_WORDS_MAX];

/* A header that announces n pages in one range, with the words that fit; and the owner's own limits. */
static int header(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id, uint32_t n, uint32_t max_gpadls, uint32_t max_pages)
{
	uint32_t count = words_of_pages(words, n, 0x100);

	return vmbi_gpadls_header(s, owner, msg, raw_header(msg, owner, id, count * 8, 1, words, count < 27 ? count : 27),
				  max_gpadls, max_pages, &answer);
}

Test(gpadl_quota, number_of_lists)
{
	static const struct vmbi_gpadl_limits limits = { .gpadls = 5, .building = 5, .pages = 1000, .owners = 4 };
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);

	for (uint32_t id = 1; id <= 3; id++)
		cr_assert_eq(header(s, 1, id, 2, 0, 0), VMBI_GPADL_COMPLETE);
	cr_assert_eq(header(s, 2, 4, 40, 0, 0), VMBI_GPADL_WAITING); /* counts like the others */
	cr_assert_eq(header(s, 3, 5, 40, 0, 0), VMBI_GPADL_WAITING);
	cr_assert_eq(header(s, 1, 6, 2, 0, 0), VMBI_GPADL_QUOTA);
	cr_assert_eq(answer.owner, 1u);
	cr_assert_eq(answer.id, 6u);
	cr_assert_eq(header(s, 4, 6, 40, 0, 0), VMBI_GPADL_QUOTA);
	cr_assert_eq(vmbi_gpadls_body(s, msg, raw_body(msg, 6, words + 27, 14), &answer), VMBI_GPADL_DROPPED);
	cr_assert_eq(header(s, 1, 1, 2, 0, 0), VMBI_GPADL_REFUSED); /* its own fault comes first */
	assert_count(s, 5, 86);
	vmbi_gpadls_purge(s, 2);
	cr_assert_eq(header(s, 1, 6, 2, 0, 0), VMBI_GPADL_COMPLETE);
	cr_assert_eq(header(s, 1, 7, 2, 0, 0), VMBI_GPADL_QUOTA);
	cr_assert_eq(vmbi_gpadls_leave(s, vmbi_gpadls_find(s, 1, 2)), 1);
	cr_assert_eq(header(s, 1, 7, 2, 0, 0), VMBI_GPADL_COMPLETE);
}

Test(gpadl_quota, number_of_lists_being_built)
{
	static const struct vmbi_gpadl_limits limits = { .gpadls = 50, .building = 3, .pages = 10000, .owners = 4 };
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);

	for (uint32_t id = 1; id <= 3; id++)
		cr_assert_eq(header(s, id, id, 40, 0, 0), VMBI_GPADL_WAITING);
	cr_assert_eq(header(s, 4, 4, 40, 0, 0), VMBI_GPADL_QUOTA);
	cr_assert_eq(header(s, 4, 4, 26, 0, 0), VMBI_GPADL_COMPLETE); /* needs no body */
	words[0] = VMB_RANGE(42 * 4096, 0); /* one page too many */
	cr_assert_eq(vmbi_gpadls_header(s, 4, msg, raw_header(msg, 4, 5, 16, 1, words, 2), 0, 0, &answer), VMBI_GPADL_REFUSED);
	cr_assert_eq(header(s, 4, 5, 40, 0, 0), VMBI_GPADL_QUOTA);
	words_of_pages(words, 40, 0x100);
	cr_assert_eq(vmbi_gpadls_body(s, msg, raw_body(msg, 2, words + 27, 14), &answer), VMBI_GPADL_COMPLETE);
	cr_assert_eq(header(s, 2, 12, 40, 0, 0), VMBI_GPADL_WAITING);
	cr_assert_eq(header(s, 4, 5, 40, 0, 0), VMBI_GPADL_QUOTA);
	words_of_pages(words, 40, 0x100);
	cr_assert_eq(vmbi_gpadls_body(s, msg, raw_body(msg, 1, words + 27, 14), &answer), VMBI_GPADL_COMPLETE);
	cr_assert_eq(header(s, 4, 5, 40, 0, 0), VMBI_GPADL_WAITING);
	cr_assert_eq(header(s, 4, 6, 40, 0, 0), VMBI_GPADL_QUOTA);
	vmbi_gpadls_purge(s, 3);
	cr_assert_eq(header(s, 4, 6, 40, 0, 0), VMBI_GPADL_WAITING);
}

Test(gpadl_quota, pages_over_all)
{
	static const struct vmbi_gpadl_limits limits = { .gpadls = 50, .building = 10, .pages = 1000, .owners = 4 };
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);

	cr_assert_eq(header(s, 1, 1, 1001, 0, 0), VMBI_GPADL_QUOTA);
	assert_count(s, 0, 0);
	cr_assert_eq(header(s, 1, 1, 1000, 0, 0), VMBI_GPADL_WAITING); /* reserved from the header on */
	assert_count(s, 1, 1000);
	cr_assert_eq(header(s, 2, 2, 1, 0, 0), VMBI_GPADL_QUOTA);
	vmbi_gpadls_purge(s, 1);
	cr_assert_eq(announce_pages(s, 1, 1, 600), VMBI_GPADL_COMPLETE);
	cr_assert_eq(header(s, 2, 2, 401, 0, 0), VMBI_GPADL_QUOTA);
	cr_assert_eq(announce_pages(s, 2, 2, 400), VMBI_GPADL_COMPLETE);
	cr_assert_eq(header(s, 3, 3, 1, 0, 0), VMBI_GPADL_QUOTA);
	assert_count(s, 2, 1000);
	cr_assert_eq(vmbi_gpadls_leave(s, vmbi_gpadls_find(s, 1, 1)), 1);
	cr_assert_eq(announce_pages(s, 3, 3, 600), VMBI_GPADL_COMPLETE);
}

/* Only what is kept counts in the end: words behind the last range are given back, range words but the first are not. */
Test(gpadl_quota, words_cut_off_are_given_back)
{
	static const struct vmbi_gpadl_limits limits = { .gpadls = 50, .building = 10, .pages = 100, .owners = 4 };
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);
	uint32_t n = words_of_pages(words, 10, 0x100);

	for (uint32_t i = n; i < 101; i++)
		words[i] = 0;
	for (uint32_t round = 0; round < 100; round++) { /* nor does the room for them get lost */
		words_of_pages(words, 10, 0x100);
		for (uint32_t id = 1; id <= 10; id++) {
			cr_assert_eq(announce(s, 1, id, words, 101 - (id - 1) * 10, 1), VMBI_GPADL_COMPLETE, "list %u", id);
			assert_count(s, id, 10 * id);
		}
		cr_assert_eq(header(s, 1, 11, 1, 0, 0), VMBI_GPADL_QUOTA);
		words_of_pages(words, 10, 0x100);
		for (uint32_t id = 1; id <= 10; id++) {
			assert_stored(s, 1, id, words, n, 1);
			cr_assert_eq(vmbi_gpadls_leave(s, vmbi_gpadls_find(s, 1, id)), 1);
		}
	}

	for (uint32_t i = 0; i < 50; i++) {
		words[2 * i] = VMB_RANGE(1, 0);
		words[2 * i + 1] = i;
	}
	cr_assert_eq(announce(s, 1, 1, words, 100, 50), VMBI_GPADL_COMPLETE);
	assert_count(s, 1, 50);
	cr_assert_eq(header(s, 1, 2, 2, 0, 0), VMBI_GPADL_QUOTA);
	cr_assert_eq(header(s, 1, 2, 1, 0, 0), VMBI_GPADL_COMPLETE);
}

Test(gpadl_quota, an_owners_own_limits)
{
	static const struct vmbi_gpadl_limits limits = { .gpadls = 50, .building = 10, .pages = 10000, .owners = 4 };
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);

	cr_assert_eq(header(s, 1, 1, 10, 2, 100), VMBI_GPADL_COMPLETE);
	cr_assert_eq(header(s, 1, 2, 91, 2, 100), VMBI_GPADL_QUOTA);
	cr_assert_eq(header(s, 1, 2, 90, 2, 100), VMBI_GPADL_WAITING);
	cr_assert_eq(header(s, 1, 3, 1, 2, 0), VMBI_GPADL_QUOTA);
	cr_assert_eq(header(s, 1, 3, 1, 0, 100), VMBI_GPADL_QUOTA);
	cr_assert_eq(header(s, 2, 3, 100, 2, 100), VMBI_GPADL_WAITING); /* each its own */
	cr_assert_eq(header(s, 1, 4, 1000, 0, 0), VMBI_GPADL_WAITING);  /* 0: none */
	vmbi_gpadls_purge(s, 1);
	cr_assert_eq(header(s, 1, 5, 90, 2, 100), VMBI_GPADL_WAITING);
	cr_assert_eq(vmbi_gpadls_leave(s, vmbi_gpadls_find(s, 1, 1)), 1);
	cr_assert_eq(header(s, 1, 4, 10, 2, 100), VMBI_GPADL_COMPLETE);
}

Test(gpadl_quota, no_lists_at_all)
{
	static const struct vmbi_gpadl_limits none = { .gpadls = 0, .building = 0, .pages = 0, .owners = 1 };
	static const struct vmbi_gpadl_limits small = { .gpadls = 4, .building = 0, .pages = 26, .owners = 1 };
	struct vmbi_gpadl_store *s = store_new(&none, 0xa5);

	cr_assert_eq(header(s, 1, 1, 1, 0, 0), VMBI_GPADL_QUOTA);
	cr_assert_eq(vmbi_gpadls_find(s, 1, 1), 0u);
	s = store_new(&small, 0xa5);
	cr_assert_eq(header(s, 1, 1, 27, 0, 0), VMBI_GPADL_QUOTA);
	cr_assert_eq(header(s, 1, 1, 26, 0, 0), VMBI_GPADL_COMPLETE);
	cr_assert_eq(header(s, 1, 2, 1, 0, 0), VMBI_GPADL_QUOTA);
}

/* No owners named: as many as there can be channels. */
Test(gpadl_quota, owners_0_are_all_channel_ids)
{
	static const struct vmbi_gpadl_limits limits = { .gpadls = 4, .building = 0, .pages = 26 };
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);

	cr_assert_eq(header(s, 2047, 1, 3, 0, 0), VMBI_GPADL_COMPLETE);
	cr_assert_eq(header(s, 2048, 1, 3, 0, 0), VMBI_GPADL_REFUSED);
}

/* Hyper-V's own limits: as much guest memory as they say, in the greatest lists there are, to the last page. gpadl.md 8 */
Test(gpadl_quota, presets_hold_what_hyper_v_allows)
{
	static const struct { uint32_t pages, mib; } preset[] = { { VMB_GPADL_PAGES_2016, 384 }, { VMB_GPADL_PAGES_2019, 1280 } };

	for (size_t i = 0; i < 2; i++) {
		struct vmbi_gpadl_limits limits = { .gpadls = 256, .building = 64, .pages = preset[i].pages, .owners = 64 };
		struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);
		uint32_t left = preset[i].pages, id = 0;

		cr_assert_eq(preset[i].pages / 256, preset[i].mib);
		while (left) {
			uint32_t n = left < 8190 ? left : 8190;

			cr_assert_eq(announce_pages(s, 1 + id % 64, id, n), VMBI_GPADL_COMPLETE);
			left -= n;
			id++;
		}
		assert_count(s, id, preset[i].pages);
		cr_assert_eq(announce_pages(s, 1, id, 1), VMBI_GPADL_QUOTA);
	}
}

/* The default of a host end costs what its comment says: 512 KiB for 65536 pages, and little more. */
Test(gpadl_quota, storage_of_the_defaults)
{
	static const struct vmbi_gpadl_limits limits = { .gpadls = 256, .building = 64, .pages = 65536, .owners = 64 };
	struct vmbi_carve need = { NULL, 0 };

	vmbi_gpadls_carve(&need, &limits);
	cr_assert_leq(need.used, 640u * 1024);
}

/* Every way to cut the quota into lists, with lengths that waste the most of their last chunk, in an order that leaves holes
 * everywhere: what the quota admits has always room. Guard pages stand behind the storage. */
Test(gpadl_quota, fragmentation_never_refuses)
{
	static const struct vmbi_gpadl_limits limits = { .gpadls = 40, .building = 40, .pages = 2000, .owners = 4 };
	static const uint32_t lengths[] = { 1, 31, 32, 33, 63, 64, 65, 32, 1 };
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);
	uint32_t live[40], pages[40], n = 0, used = 0, refused = 0, id = 0;
	uint64_t seed = 7;

	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t want = random_below(&seed, 4) ? lengths[random_below(&seed, 9)] : 1 + random_below(&seed, 400);
		int fits = n < 40 && used + want <= 2000;

		cr_assert_eq(announce_pages(s, 1 + id % 4, id, want), fits ? VMBI_GPADL_COMPLETE : VMBI_GPADL_QUOTA);
		if (fits) {
			live[n] = id;
			pages[n++] = want;
			used += want;
		} else {
			refused++;
		}
		id++;
		while (n && (!fits || n > 38) && random_below(&seed, 4)) {
			uint32_t k = random_below(&seed, n), count = words_of_pages(words, pages[k], live[k]);

			if (i % 16 == 0)
				assert_stored(s, 1 + live[k] % 4, live[k], words, count, 1);
			cr_assert_eq(vmbi_gpadls_leave(s, vmbi_gpadls_find(s, 1 + live[k] % 4, live[k])), 1);
			used -= pages[k];
			live[k] = live[--n];
			pages[k] = pages[n];
		}
		assert_count(s, n, used);
	}
	cr_assert_gt(refused, 1000u);
}

/* All that the limits admit at once, as many lists of as many words. */
Test(gpadl_quota, all_limits_reached_at_once)
{
	for (uint32_t each = 1; each <= 130; each++) {
		struct vmbi_gpadl_limits limits = { .gpadls = 20, .building = 20, .pages = 20 * each, .owners = 4 };
		struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);

		for (uint32_t id = 0; id < 20; id++)
			cr_assert_eq(announce_pages(s, 1 + id % 4, id, each), VMBI_GPADL_COMPLETE);
		cr_assert_eq(announce_pages(s, 1, 20, 1), VMBI_GPADL_QUOTA);
		for (uint32_t id = 0; id < 20; id++) {
			uint32_t n = words_of_pages(words, each, id);

			assert_stored(s, 1 + id % 4, id, words, n, 1);
		}
	}
}

/* 64 half-built lists of the greatest length are as much as they announce, not as much as they sent. */
Test(gpadl_quota, headers_without_bodies_cannot_overcommit)
{
	static const struct vmbi_gpadl_limits limits = { .gpadls = 256, .building = 64, .pages = 65536, .owners = 4 };
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);
	uint32_t n = 0;

	while (header(s, 1, n, 8190, 0, 0) == VMBI_GPADL_WAITING)
		n++;
	cr_assert_eq(n, 8u); /* 8 * 8190 <= 65536 */
	/* A great range_count makes them no cheaper. */
	words[0] = VMB_RANGE(1, 0);
	cr_assert_eq(vmbi_gpadls_header(s, 2, msg, raw_header(msg, 2, 100, 8191 * 8, 8191, words, 1), 0, 0, &answer),
		     VMBI_GPADL_QUOTA);
	assert_count(s, 8, 8 * 8190);
}
