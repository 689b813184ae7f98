/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Naming memory in a list: for guests with pages of 4, 16 and 64 KiB, the words are what the wire wants, as few as it allows, and
 * reading through them gives the bytes of the pieces. ring.md 5.3, 11.3
 */
#include <criterion/criterion.h>
#include <string.h>

#include "fixture.h"
#include "memory.h"

/* The guest: virtual pages from BASE on, each somewhere in the 64 protocol pages of the memory. */
#define BASE UINT64_C(0xffff800000000000)
#define VIRTUAL 64u /* protocol pages */

static struct guest {
	uint32_t page_bytes;
	uint32_t where[VIRTUAL]; /* of each of the guest's pages: the page of memory it is */
	uint32_t calls;
	uint32_t fail_at;        /* this call refuses; 0: none. Calls count from 1 */
	uint64_t skew;           /* added to what call skew_at gives */
	uint32_t skew_at;
	uint64_t last;
} g;

static struct memory m;
static uint64_t words[4096];
static uint8_t wanted[1 << 20], got[1 << 20];

static int translate(void *ctx, uint64_t address, uint64_t *gpa)
{
	cr_assert_eq(ctx, &g);
	g.calls++;
	cr_assert_eq(address & (g.page_bytes - 1), 0u, "not the start of a page: %#llx", (unsigned long long)address);
	cr_assert(address >= BASE && address < BASE + (uint64_t)VIRTUAL * VMB_PAGE);
	cr_assert(g.calls == 1 || address != g.last, "the same page twice in a row");
	g.last = address;
	if (g.calls == g.fail_at)
		return -1;
	*gpa = (uint64_t)MEMORY_FIRST * VMB_PAGE + (uint64_t)g.where[(address - BASE) / g.page_bytes] * g.page_bytes;
	if (g.calls == g.skew_at)
		*gpa += g.skew;
	return 0;
}

/* run: how likely a page is behind the one before it, of 4. */
static void guest_new(uint32_t page_bytes, uint32_t run, uint64_t *seed)
{
	uint32_t n = MEMORY_BYTES / page_bytes;

	memset(&g, 0, sizeof g);
	g.page_bytes = page_bytes;
	for (uint32_t i = 0; i < n; i++)
		g.where[i] = i && random_below(seed, 4) < run ? (g.where[i - 1] + 1) % n : random_below(seed, n);
}

static int build(const struct vmb_piece *pieces, uint32_t n, uint32_t max, struct vmb_list *list)
{
	g.calls = 0;
	return vmb_list_build(pieces, n, g.page_bytes, translate, &g, words, max, list);
}

/* The bytes of the pieces by the guest's page table, one by one. */
static uint32_t bytes_of(const struct vmb_piece *pieces, uint32_t n)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < n; i++)
		for (uint64_t a = pieces[i].address - BASE; a < pieces[i].address - BASE + pieces[i].bytes; a++) {
			cr_assert_lt(k, sizeof wanted);
			wanted[k++] = m.bytes[g.where[a / g.page_bytes] * g.page_bytes + a % g.page_bytes];
		}
	return k;
}

/* How often translate must have been called: once for each page of the guest's, not again where a piece goes on in the same one.
 * */
static uint32_t pages_of(const struct vmb_piece *pieces, uint32_t n)
{
	uint64_t last = UINT64_MAX;
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++)
		for (uint64_t p = pieces[i].address / g.page_bytes; p * g.page_bytes < pieces[i].address + pieces[i].bytes; p++) {
			count += p != last;
			last = p;
		}
	return count;
}

/* No two neighbouring ranges that could be one. */
static void assert_merged(const struct vmb_list *list)
{
	struct vmb_range r, before = { 0, 0, NULL, 0, 0 };
	uint32_t cursor = 0;

	for (; vmb_list_next(list, &cursor, &r) == VMB_YES; before = r) {
		uint32_t end = (before.offset + before.bytes) % VMB_PAGE;

		if (!before.pages)
			continue;
		cr_assert(end || r.offset, "two whole pages in two ranges");
		cr_assert(!(before.pfns[before.pages - 1] == r.pfns[0] && end == r.offset && end), "goes on in the same page");
	}
}

static void check(const struct vmb_piece *pieces, uint32_t n)
{
	struct vmb_list list, checked;
	uint32_t total, need;
	uint64_t bytes;

	cr_assert_eq(build(pieces, n, 4096, &list), 0);
	need = list.count;
	cr_assert_eq(list.words, words);
	cr_assert_eq(vmb_list_check(words, list.count, list.ranges, &checked, &bytes), 0);
	cr_assert_eq(checked.count, list.count);
	cr_assert_eq(g.calls, pages_of(pieces, n));
	total = bytes_of(pieces, n);
	cr_assert_eq(bytes, total);
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 0, got, total), 0);
	cr_assert_eq(memcmp(got, wanted, total), 0);
	assert_merged(&list);
	/* Exactly that many words are enough; with fewer it says how many, and none behind `max` is written. */
	memset(words, 0xee, sizeof words);
	cr_assert_eq(build(pieces, n, need, &list), 0);
	cr_assert_eq(words[need], UINT64_C(0xeeeeeeeeeeeeeeee));
	for (uint32_t max = need > 3 ? need - 3 : 0; max < need; max++) {
		memset(words, 0xee, sizeof words);
		cr_assert_eq(build(pieces, n, max, &list), VMB_ENOSPACE);
		cr_assert_eq(list.count, need);
		cr_assert_eq(words[max], UINT64_C(0xeeeeeeeeeeeeeeee));
	}
}

static void random_pieces(uint32_t page_bytes)
{
	uint64_t seed = page_bytes;

	memory_new(&m);
	memory_reset(&m, &seed);
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t n = 1 + random_below(&seed, 10);
		struct vmb_piece pieces[10];
		uint64_t next = 0;

		guest_new(page_bytes, i % 5, &seed);
		for (uint32_t k = 0; k < n; k++) {
			uint64_t at = random_below(&seed, MEMORY_BYTES), bytes;

			if (random_below(&seed, 2)) /* goes on where the last one ended */
				at = next % MEMORY_BYTES;
			if (!random_below(&seed, 4))
				at &= ~(uint64_t)(VMB_PAGE - 1);
			bytes = 1 + random_below(&seed, random_below(&seed, 2) ? 300 : 30000);
			if (!random_below(&seed, 3)) /* to the end of a page */
				bytes = VMB_PAGE - at % VMB_PAGE;
			if (bytes > MEMORY_BYTES - at)
				bytes = MEMORY_BYTES - at;
			pieces[k] = (struct vmb_piece){ BASE + at, bytes };
			next = at + bytes;
		}
		check(pieces, n);
	}
}

Test(gpadl_build, pieces_of_a_guest_with_4k_pages) { random_pieces(4096); }
Test(gpadl_build, pieces_of_a_guest_with_16k_pages) { random_pieces(16384); }
Test(gpadl_build, pieces_of_a_guest_with_64k_pages) { random_pieces(65536); }

static void simple_guest(uint32_t page_bytes)
{
	memset(&g, 0, sizeof g);
	g.page_bytes = page_bytes;
	for (uint32_t i = 0; i < MEMORY_BYTES / page_bytes; i++)
		g.where[i] = (i + 3) % (MEMORY_BYTES / page_bytes);
}

/* Pitfall 6 of gpadl.md 10: one page of 64 KiB is 16 page numbers. */
Test(gpadl_build, pitfall_6_a_great_page_is_many_numbers)
{
	static const uint32_t sizes[] = { 4096, 16384, 65536 };

	for (size_t i = 0; i < 3; i++) {
		struct vmb_piece piece = { BASE + 65536, 65536 };
		struct vmb_list list;

		simple_guest(sizes[i]);
		cr_assert_eq(build(&piece, 1, 100, &list), 0);
		cr_assert(list.count == 17 && list.ranges == 1);
		cr_assert_eq(words[0], VMB_RANGE(65536, 0));
		for (uint32_t k = 0; k < 16; k++)
			cr_assert_eq(words[1 + k], MEMORY_FIRST + (16 + 3 * sizes[i] / VMB_PAGE) % MEMORY_PAGES + k);
		cr_assert_eq(g.calls, 65536 / sizes[i]);
	}
}

Test(gpadl_build, what_merges_and_what_does_not)
{
	static const struct {
		struct vmb_piece piece[3]; /* addresses from BASE on */
		uint32_t n, count, ranges;
		uint64_t word[8];
	} table[] = {
		/* page end, page start: two pages that lie anywhere */
		{ { { 100, 3996 }, { 8192, 5 } }, 2, 3, 1, { VMB_RANGE(4001, 100), 0x1003, 0x1005 } },
		/* the very next byte of the same page */
		{ { { 100, 50 }, { 150, 50 } }, 2, 2, 1, { VMB_RANGE(100, 100), 0x1003 } },
		{ { { 100, 50 }, { 150, 3946 }, { 4096, 1 } }, 3, 3, 1, { VMB_RANGE(3997, 100), 0x1003, 0x1004 } },
		/* a gap of one byte; one byte twice; the byte before */
		{ { { 100, 50 }, { 151, 50 } }, 2, 4, 2, { VMB_RANGE(50, 100), 0x1003, VMB_RANGE(50, 151), 0x1003 } },
		{ { { 100, 50 }, { 149, 50 } }, 2, 4, 2, { VMB_RANGE(50, 100), 0x1003, VMB_RANGE(50, 149), 0x1003 } },
		{ { { 100, 50 }, { 50, 50 } }, 2, 4, 2, { VMB_RANGE(50, 100), 0x1003, VMB_RANGE(50, 50), 0x1003 } },
		/* the same place of another page */
		{ { { 100, 50 }, { 4096 + 150, 50 } }, 2, 4, 2, { VMB_RANGE(50, 100), 0x1003, VMB_RANGE(50, 150), 0x1004 } },
		/* ends before its page does; begins after its page does */
		{ { { 0, 4095 }, { 4096, 4096 } }, 2, 4, 2, { VMB_RANGE(4095, 0), 0x1003, VMB_RANGE(4096, 0), 0x1004 } },
		{ { { 0, 4096 }, { 4097, 4095 } }, 2, 4, 2, { VMB_RANGE(4096, 0), 0x1003, VMB_RANGE(4095, 1), 0x1004 } },
		/* a whole page twice */
		{ { { 0, 4096 }, { 0, 4096 } }, 2, 3, 1, { VMB_RANGE(8192, 0), 0x1003, 0x1003 } },
		/* the end of a page, the first byte of another, the byte behind that */
		{ { { 4000, 96 }, { 4096, 1 }, { 4097, 1 } }, 3, 3, 1, { VMB_RANGE(98, 4000), 0x1003, 0x1004 } },
		/* three in a row */
		{ { { 0, 4096 }, { 8192, 4096 }, { 4096, 4095 } }, 3, 4, 1,
		  { VMB_RANGE(3 * 4096 - 1, 0), 0x1003, 0x1005, 0x1004 } },
	};

	simple_guest(4096);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct vmb_piece piece[3];
		struct vmb_list list;

		for (uint32_t k = 0; k < 3; k++)
			piece[k] = (struct vmb_piece){ BASE + table[i].piece[k].address, table[i].piece[k].bytes };
		cr_assert_eq(build(piece, table[i].n, 8, &list), 0);
		cr_assert_eq(list.count, table[i].count, "row %zu: %u words", i, list.count);
		cr_assert_eq(list.ranges, table[i].ranges, "row %zu: %u ranges", i, list.ranges);
		cr_assert_arr_eq(words, table[i].word, list.count * 8, "row %zu", i);
	}
}

Test(gpadl_build, refusals_of_translate)
{
	struct vmb_piece piece = { BASE + 5, 10 * 4096 };
	struct vmb_list list = { NULL, 0, 0 };

	for (uint32_t at = 1; at <= 11; at++) {
		simple_guest(4096);
		g.fail_at = at;
		cr_assert_eq(build(&piece, 1, 100, &list), VMB_EMAP);
		cr_assert_eq(g.calls, at); /* and nothing is asked after that */
	}
	/* An address that is no start of one of the guest's pages. */
	for (uint32_t bytes = 4096; bytes <= 65536; bytes *= 4) {
		for (uint32_t skew = 1; skew < bytes; skew *= 2) {
			simple_guest(bytes);
			g.skew = skew;
			g.skew_at = 1;
			cr_assert_eq(build(&piece, 1, 100, &list), VMB_EMAP);
		}
		simple_guest(bytes);
		g.skew = bytes;
		g.skew_at = 1;
		cr_assert_eq(build(&piece, 1, 100, &list), 0);
	}
}

Test(gpadl_build, arguments)
{
	static const struct vmb_piece good = { BASE, 4096 };
	static const struct { struct vmb_piece piece[2]; uint32_t n; } bad[] = {
		{ { { BASE, 4096 } }, 0 },
		{ { { BASE, 0 } }, 1 },
		{ { { BASE, 4096 }, { BASE, 0 } }, 2 },
		{ { { UINT64_MAX, 2 } }, 1 },
		{ { { 1, UINT64_MAX } , { BASE, 4096 } }, 2 },    /* ends at the top, but cannot be listed */
		{ { { 2, UINT64_MAX } }, 1 },
		{ { { BASE, 4096 }, { UINT64_MAX - 4094, 4096 } }, 2 },
		{ { { 0, UINT64_C(1) << 44 } }, 1 },              /* more pages than 32 bits count */
		{ { { 0, UINT64_C(1) << 43 }, { 0, UINT64_C(1) << 43 } }, 2 },
	};
	static const uint32_t sizes[] = { 0, 1, 2048, 4095, 8192, 32768, 131072, UINT32_MAX };
	struct vmb_list list;

	simple_guest(4096);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_assert_eq(build(bad[i].piece, bad[i].n, 100, &list), VMB_EINVAL, "row %zu", i);
		cr_assert_eq(g.calls, 0u);
	}
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		cr_assert_eq(vmb_list_build(&good, 1, sizes[i], translate, &g, words, 100, &list), VMB_EINVAL);
	cr_assert_eq(vmb_list_build(NULL, 1, 4096, translate, &g, words, 100, &list), VMB_EINVAL);
	cr_assert_eq(vmb_list_build(&good, 1, 4096, NULL, &g, words, 100, &list), VMB_EINVAL);
	cr_assert_eq(vmb_list_build(&good, 1, 4096, translate, &g, NULL, 100, &list), VMB_EINVAL);
	cr_assert_eq(vmb_list_build(&good, 1, 4096, translate, &g, words, 100, NULL), VMB_EINVAL);
	cr_assert_eq(g.calls, 0u);
	cr_assert_eq(vmb_list_build(&good, 1, 4096, translate, &g, NULL, 0, &list), VMB_ENOSPACE); /* only counting */
	cr_assert_eq(list.count, 2u);
}

static int identity(void *ctx, uint64_t address, uint64_t *gpa)
{
	(void)ctx;
	*gpa = address;
	return 0;
}

/* A piece may end at the very top of the address space. */
Test(gpadl_build, the_last_byte_there_is)
{
	struct vmb_piece piece = { UINT64_MAX - 5000, 5001 };
	struct vmb_list list;

	cr_assert_eq(vmb_list_build(&piece, 1, 4096, identity, NULL, words, 100, &list), 0);
	cr_assert(list.count == 3 && words[0] == VMB_RANGE(5001, 4096 - 905));
	cr_assert(words[1] == (UINT64_C(1) << 52) - 2 && words[2] == (UINT64_C(1) << 52) - 1);
}

/* More than 0xfffff000 bytes are several ranges, none of which overflows 32 bits when rounded up. */
Test(gpadl_build, ranges_split_before_they_overflow)
{
	static const struct vmb_piece table[] = {
		{ 0x100000000, 0xfffff000 },         /* one, full */
		{ 0x100000000, 0xfffff001 },
		{ 0x100000000, 0x100000000 },
		{ 0x100000000, 0x280000000 },
		{ 0x100000fff, 0xffffe001 },         /* one, full, with an offset */
		{ 0x100000fff, 0xffffe002 },
		{ 0x100000fff, 0xfffff000 },
	};
	static const uint32_t ranges[] = { 1, 2, 2, 3, 1, 2, 2 };
	uint64_t *big = guarded_alloc((size_t)(0x280000 + 8) * 8, 0);

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		uint64_t bytes, pages = (table[i].address % 4096 + table[i].bytes + 4095) / 4096, at = table[i].address;
		struct vmb_list list, checked;
		struct vmb_range r;
		uint32_t cursor = 0;

		cr_assert_eq(vmb_list_build(&table[i], 1, 65536, identity, NULL, big, 0x280000 + 8, &list), 0);
		cr_assert_eq(list.ranges, ranges[i], "row %zu: %u ranges", i, list.ranges);
		cr_assert_eq(list.count, pages + ranges[i]);
		cr_assert_eq(vmb_list_check(big, list.count, list.ranges, &checked, &bytes), 0);
		cr_assert(checked.count == list.count && bytes == table[i].bytes);
		while (vmb_list_next(&list, &cursor, &r) == VMB_YES) {
			cr_assert_leq((uint64_t)r.offset + r.bytes, 0xfffff000u);
			cr_assert_eq(r.offset, at % 4096);
			for (uint32_t p = 0; p < r.pages; p++)
				if (r.pfns[p] != at / 4096 + p)
					cr_assert_fail("page %u", p);
			at += r.bytes;
		}
		cr_assert_eq(at, table[i].address + table[i].bytes);
	}
}
