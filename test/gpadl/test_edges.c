/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Cases at the edge of a rule that no other test of this directory is about. */
#include <criterion/criterion.h>

#include "fixture.h"

/* A long list names its pages in several chunks of the arena: each of them is asked for, and none beside them. */
Test(gpadl_edges, every_page_of_a_long_list_has_a_user)
{
	struct vmbi_gpadl_limits limits = { .gpadls = 4, .building = 4, .pages = 1000, .owners = 4 };
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);
	uint64_t words[101];
	uint32_t n = words_of_pages(words, 100, 0x5000), ref, owner;

	cr_assert_eq(announce(s, 2, 7, words, n, 1), VMBI_GPADL_COMPLETE);
	ref = vmbi_gpadls_find(s, 2, 7);
	cr_assert_eq(vmbi_gpadls_touching(s, 0, 0x5000, 100, &owner), 0, "not in use");
	vmbi_gpadls_use(s, ref);
	for (uint64_t pfn = 0x5000; pfn < 0x5064; pfn++) {
		cr_assert_eq(vmbi_gpadls_touching(s, 0, pfn, 1, &owner), ref, "page %u", (unsigned)(pfn - 0x5000));
		cr_assert_eq(owner, 2);
	}
	cr_assert_eq(vmbi_gpadls_touching(s, 0, 0x4ff0, 0x10, &owner), 0, "up to the first one");
	cr_assert_eq(vmbi_gpadls_touching(s, 0, 0x4ff0, 0x11, &owner), ref);
	cr_assert_eq(vmbi_gpadls_touching(s, 0, 0x5063, 0x10, &owner), ref);
	cr_assert_eq(vmbi_gpadls_touching(s, 0, 0x5064, 0x10, &owner), 0, "from behind the last one on");
	cr_assert_eq(vmbi_gpadls_touching(s, 0, words[0], 1, &owner), 0, "a range word is no page");
	cr_assert_eq(vmbi_gpadls_touching(s, ref, 0x5000, 1, &owner), 0, "once");
}

/* What lies between the pages of one range and those of the next is no page. */
Test(gpadl_edges, the_word_of_a_second_range_is_no_page)
{
	static const uint64_t words[] = { VMB_RANGE(8, 0), 0x9000, VMB_RANGE(16, 0), 0x9001 };
	struct vmbi_gpadl_limits limits = { .gpadls = 4, .building = 4, .pages = 1000, .owners = 4 };
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);
	uint32_t owner;

	cr_assert_eq(announce(s, 1, 7, words, 4, 2), VMBI_GPADL_COMPLETE);
	vmbi_gpadls_use(s, vmbi_gpadls_find(s, 1, 7));
	cr_assert_eq(vmbi_gpadls_touching(s, 0, 16, 1, &owner), 0);
	cr_assert_neq(vmbi_gpadls_touching(s, 0, 0x9000, 1, &owner), 0);
	cr_assert_neq(vmbi_gpadls_touching(s, 0, 0x9001, 1, &owner), 0);
}

/* A list whose words have not all come is not found. gpadl.md 5.1 */
Test(gpadl_edges, a_list_being_built_is_not_found)
{
	struct vmbi_gpadl_limits limits = { .gpadls = 4, .building = 4, .pages = 1000, .owners = 4 };
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);
	struct vmbi_gpadl_answer answer;
	uint8_t msg[VMB_MESSAGE_MAX];
	uint64_t words[41];
	uint32_t n = words_of_pages(words, 40, 0x5000), len = raw_header(msg, 1, 7, n * 8, 1, words, 27);

	cr_assert_eq(vmbi_gpadls_header(s, 1, msg, len, 0, 0, &answer), VMBI_GPADL_WAITING);
	cr_assert_eq(vmbi_gpadls_find(s, 1, 7), 0);
	len = raw_body(msg, 7, words + 27, 14);
	cr_assert_eq(vmbi_gpadls_body(s, msg, len, &answer), VMBI_GPADL_COMPLETE);
	cr_assert_neq(vmbi_gpadls_find(s, 1, 7), 0);
}

/* Not even a list that changes under the transfer takes it astray. */
struct changing {
	uint64_t words[4];
	uint8_t page[2][VMB_PAGE];
	uint32_t maps, unmaps;
};

static int changing_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	struct changing *c = ctx;

	(void)flags;
	cr_assert_eq(n, 1);
	cr_assert(pfns[0] == 1 || pfns[0] == 2);
	pages[0] = c->page[pfns[0] - 1];
	c->maps++;
	c->words[2] = VMB_RANGE(0, 0); /* the second range is none any more */
	return 0;
}

static void changing_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	struct changing *c = ctx;

	(void)pfns, (void)n, (void)flags, (void)pages;
	c->unmaps++;
}

static int last_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)flags;
	cr_assert(n == 1 && pfns[0] == (UINT64_C(1) << 52) - 1);
	pages[0] = ctx;
	return 0;
}

static void last_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)pfns, (void)n, (void)flags, (void)pages;
}

/* The page with the largest number that an address can have is one. gpadl.md 8 */
Test(gpadl_edges, the_last_page)
{
	static uint8_t page[VMB_PAGE] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	static const uint64_t words[] = { VMB_RANGE(8, 0), (UINT64_C(1) << 52) - 1 };
	struct vmb_mapper m = { .ctx = page, .map = last_map, .unmap = last_unmap };
	struct vmb_list list = { words, 2, 1 };
	uint8_t bytes[8];

	cr_assert_eq(vmb_list_read(&list, &m, 0, bytes, 8), 0);
	cr_assert_arr_eq(bytes, page, 8);
}

Test(gpadl_edges, a_list_that_its_owner_changes_meanwhile)
{
	static struct changing c = { .words = { VMB_RANGE(8, 0), 1, VMB_RANGE(8, 0), 2 } };
	struct vmb_mapper m = { .ctx = &c, .map = changing_map, .unmap = changing_unmap };
	struct vmb_list list = { c.words, 4, 2 };
	uint8_t bytes[16];

	cr_assert_eq(vmb_list_read(&list, &m, 0, bytes, 16), VMB_EINVAL);
	cr_assert(c.maps == 1 && c.unmaps == 1);
}
