/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Checking page lists, and walking them. gpadl.md 3.1, ring.md 9.1 rule 7 */
#include <criterion/criterion.h>

#include "fixture.h"

static uint64_t words[VMBI_GPADL_WORDS_MAX];

Test(gpadl_list, check_accepts_the_spec_examples)
{
	static const uint64_t two[] = { VMB_RANGE(4096, 0), 0x10, VMB_RANGE(100, 0xfff), 0x20, 0x21, 0xdead };
	struct vmb_list list;
	uint64_t bytes;

	cr_assert_eq(vmb_list_check(two, 5, 2, &list, &bytes), 0);
	cr_assert(list.words == two && list.count == 5 && list.ranges == 2);
	cr_assert_eq(bytes, 4196u);
	cr_assert_eq(vmb_list_check(two, 6, 2, &list, NULL), 0); /* the rest is cut off */
	cr_assert_eq(list.count, 5u);
	cr_assert_eq(vmb_list_check(two, 6, 1, &list, &bytes), 0);
	cr_assert(list.count == 2 && list.ranges == 1 && bytes == 4096);
}

Test(gpadl_list, check_refuses_what_is_none)
{
	struct vmb_list list = { NULL, 77, 78 };
	uint64_t bytes = 79;
	static const struct { uint64_t word[4]; uint32_t count, ranges; } bad[] = {
		{ { VMB_RANGE(4096, 0), 1 }, 2, 0 },              /* no range */
		{ { VMB_RANGE(4096, 0), 1 }, 0, 1 },              /* no word */
		{ { VMB_RANGE(4096, 0), 1 }, 0, 0 },
		{ { VMB_RANGE(4096, 0), 1 }, 1, 1 },              /* no page */
		{ { VMB_RANGE(4096, 1), 1 }, 2, 1 },              /* a page missing */
		{ { VMB_RANGE(4097, 0), 1 }, 2, 1 },
		{ { VMB_RANGE(4096, 0), 1 }, 2, 2 },              /* a range missing */
		{ { VMB_RANGE(4096, 0), 1 }, 2, 0xffffffff },
		{ { VMB_RANGE(4096, 0), 1, VMB_RANGE(1, 0) }, 3, 2 },
		{ { VMB_RANGE(0, 0), 1 }, 2, 1 },                 /* empty */
		{ { VMB_RANGE(0, 0), 1, 2 }, 3, 1 },
		{ { VMB_RANGE(4096, 0), 1, VMB_RANGE(0, 5), 1 }, 4, 2 },
		{ { VMB_RANGE(1, 4096), 1 }, 2, 1 },              /* begins behind its first page */
		{ { VMB_RANGE(1, 4096), 1, 2 }, 3, 1 },
		{ { VMB_RANGE(1, 0xffffffff), 1, 2 }, 3, 1 },
		{ { VMB_RANGE(0xffffffff, 0), 1, 2 }, 3, 1 },     /* sums that wrap in 32 bits to few pages */
		{ { VMB_RANGE(0xfffff001, 0), 1, 2 }, 3, 1 },
		{ { VMB_RANGE(0xfffff000, 1), 1, 2 }, 3, 1 },
		{ { VMB_RANGE(0xffffffff, 1), 1, 2 }, 3, 1 },
		{ { VMB_RANGE(0xffffffff, 4095), 1 }, 2, 1 },
		{ { VMB_RANGE(0xffffffff, 0xffffffff), 1, 2 }, 3, 1 },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_assert_eq(vmb_list_check(bad[i].word, bad[i].count, bad[i].ranges, &list, &bytes), VMB_EINVAL, "row %zu", i);
	cr_assert_eq(vmb_list_check(NULL, 2, 1, &list, &bytes), VMB_EINVAL);
	cr_assert_eq(vmb_list_check(bad[0].word, 2, 1, NULL, &bytes), VMB_EINVAL);
	cr_assert(!list.words && list.count == 77 && list.ranges == 78 && bytes == 79); /* an error leaves the outputs alone */
}

/* The greatest range: 0xfffff000 bytes, which is what 32 bits hold when rounded up. All its pages are page 0. */
Test(gpadl_list, the_greatest_range)
{
	uint64_t *huge = guarded_alloc((size_t)(1 + 0xfffff) * 8, 0);
	struct vmb_list list;
	uint64_t bytes;

	huge[0] = VMB_RANGE(0xfffff000u, 0);
	cr_assert_eq(vmb_list_check(huge, 1 + 0xfffff, 1, &list, &bytes), 0);
	cr_assert_eq(bytes, 0xfffff000u);
	cr_assert_eq(vmb_list_check(huge, 0xfffff, 1, &list, &bytes), VMB_EINVAL);
	huge[0] = VMB_RANGE(0xffffefff, 1);
	cr_assert_eq(vmb_list_check(huge, 1 + 0xfffff, 1, &list, &bytes), 0);
	huge[0] = VMB_RANGE(0xfffff000, 1);
	cr_assert_eq(vmb_list_check(huge, 1 + 0xfffff, 1, &list, &bytes), VMB_EINVAL);
}

/* Any words, any counts: never a touch beyond the words, and what is accepted can be walked. */
Test(gpadl_list, check_is_total)
{
	uint64_t seed = 5;
	uint32_t accepted = 0;

	for (uint32_t i = 0; i < 200000; i++) {
		uint32_t n = random_below(&seed, 40), ranges = random_below(&seed, n + 3), cursor = 0, seen = 0;
		uint64_t *at = words + 8, bytes, sum = 0;
		struct vmb_range r;
		struct vmb_list list;
		int got;

		for (uint32_t k = 0; k < 48; k++) /* what lies around would be a fine range */
			words[k] = VMB_RANGE(1, 0);
		for (uint32_t k = 0; k < n; k++)
			at[k] = random_below(&seed, 3) ? VMB_RANGE(random_below(&seed, 9000), random_below(&seed, 4200)) :
							 random64(&seed);
		got = vmb_list_check(at, n, ranges, &list, &bytes);
		cr_assert(got == 0 || got == VMB_EINVAL);
		if (got)
			continue;
		accepted++;
		cr_assert_leq(list.count, n);
		while ((got = vmb_list_next(&list, &cursor, &r)) == VMB_YES) {
			cr_assert(r.bytes && r.offset < 4096 && r.pages == (r.bytes + r.offset + 4095) / 4096);
			cr_assert(r.pfns > at && r.pfns + r.pages <= at + list.count);
			cr_assert_eq(r.pfns[-1], VMB_RANGE(r.bytes, r.offset));
			sum += r.bytes;
			seen++;
		}
		cr_assert_eq(got, 0);
		cr_assert_eq(seen, ranges);
		cr_assert_eq(sum, bytes);
		cr_assert_eq(cursor, list.count);
		cr_assert_eq(vmb_list_next(&list, &cursor, &r), 0); /* stays at the end */
	}
	cr_assert_gt(accepted, 10000u);
}

Test(gpadl_list, next_refuses_what_check_has_not_made)
{
	static const uint64_t two[] = { VMB_RANGE(4096, 0), 0x10, VMB_RANGE(100, 0xfff), 0x20, 0x21, VMB_RANGE(1, 0), 7 };
	struct vmb_list list = { two, 5, 2 };
	struct vmb_range r;
	uint32_t cursor = 0;

	cr_assert_eq(vmb_list_next(&list, &cursor, &r), VMB_YES);
	list.count = 4; /* a page short */
	cr_assert_eq(vmb_list_next(&list, &cursor, &r), VMB_EINVAL);
	cursor = 0;
	cr_assert_eq(vmb_list_next(&list, &cursor, &r), VMB_EINVAL);
	list = (struct vmb_list){ two, 5, 3 }; /* a range short */
	cr_assert_eq(vmb_list_next(&list, &cursor, &r), VMB_EINVAL);
	list = (struct vmb_list){ two, 7, 2 }; /* words left over */
	cr_assert_eq(vmb_list_next(&list, &cursor, &r), VMB_EINVAL);
	list = (struct vmb_list){ NULL, 0, 0 };
	cr_assert_eq(vmb_list_next(&list, &cursor, &r), VMB_EINVAL);
	cr_assert_eq(vmb_list_next(NULL, &cursor, &r), VMB_EINVAL);
	list = (struct vmb_list){ two, 5, 2 };
	cr_assert_eq(vmb_list_next(&list, NULL, &r), VMB_EINVAL);
	cr_assert_eq(vmb_list_next(&list, &cursor, NULL), VMB_EINVAL);
	cursor = 1000000; /* no cursor of ours */
	cr_assert_eq(vmb_list_next(&list, &cursor, &r), VMB_EINVAL);
}
