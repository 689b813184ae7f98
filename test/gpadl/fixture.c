/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The store's surroundings, see fixture.h. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

uint64_t random64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint32_t random_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)(random64(state) % n);
}

void *guarded_alloc(size_t bytes, int fill)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
	uint8_t *all = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert(all != MAP_FAILED);
	cr_assert_eq(mprotect(all + page, inner, PROT_READ | PROT_WRITE), 0);
	memset(all + page, fill, inner);
	return all + page + inner - bytes;
}

struct vmbi_gpadl_store *store_new(const struct vmbi_gpadl_limits *limits, int fill)
{
	struct vmbi_carve need = { NULL, 0 }, carve = { NULL, 0 };
	struct vmbi_gpadl_store *s;

	cr_assert_null(vmbi_gpadls_carve(&need, limits));
	carve.base = guarded_alloc((size_t)need.used, fill);
	s = vmbi_gpadls_carve(&carve, limits);
	cr_assert_eq((void *)s, carve.base);
	cr_assert_eq(carve.used, need.used);
	vmbi_gpadls_init(s, limits);
	return s;
}

uint32_t words_of_pages(uint64_t *words, uint32_t n, uint64_t first)
{
	words[0] = VMB_RANGE(n * VMB_PAGE, 0);
	for (uint32_t i = 0; i < n; i++)
		words[1 + i] = first + i;
	return n + 1;
}

uint32_t words_at_random(uint64_t *words, uint32_t max, uint32_t ranges, uint64_t *state)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < ranges; i++) {
		uint32_t room = max - count - 2 * (ranges - i - 1) - 1; /* two words are left for each range to come */
		uint32_t offset = random_below(state, 2) ? 0 : random_below(state, VMB_PAGE);
		uint32_t pages = 1 + random_below(state, random_below(state, 3) ? (room < 4 ? room : 4) : room);
		uint32_t bytes = pages * VMB_PAGE - offset;

		if (random_below(state, 2)) /* ends within its last page */
			bytes -= random_below(state, pages > 1 ? VMB_PAGE : bytes);
		words[count++] = VMB_RANGE(bytes, offset);
		for (uint32_t page = 0; page < pages; page++)
			words[count++] = random64(state) >> 12;
	}
	return count;
}

static void put(uint8_t *at, uint64_t value, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

uint32_t raw_header(uint8_t msg[VMB_MESSAGE_MAX], uint32_t channel, uint32_t id, uint32_t buflen, uint32_t ranges,
		    const uint64_t *words, uint32_t n)
{
	cr_assert_leq(n, VMBI_GPADL_HEADER_WORDS);
	memset(msg, 0, VMB_MESSAGE_MAX);
	put(msg, 8, 4);
	put(msg + 8, channel, 4);
	put(msg + 12, id, 4);
	put(msg + 16, buflen, 2);
	put(msg + 18, ranges, 2);
	for (uint32_t i = 0; i < n; i++)
		put(msg + 20 + 8 * i, words[i], 8);
	return 20 + 8 * n;
}

uint32_t raw_body(uint8_t msg[VMB_MESSAGE_MAX], uint32_t id, const uint64_t *words, uint32_t n)
{
	cr_assert_leq(n, VMBI_GPADL_BODY_WORDS);
	memset(msg, 0, VMB_MESSAGE_MAX);
	put(msg, 9, 4);
	put(msg + 12, id, 4);
	for (uint32_t i = 0; i < n; i++)
		put(msg + 16 + 8 * i, words[i], 8);
	return 16 + 8 * n;
}

int announce(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id, const uint64_t *words, uint32_t count, uint32_t ranges)
{
	uint32_t n = vmbi_gpadl_messages(count), len;
	struct vmbi_gpadl_answer answer = { 0 };
	uint8_t msg[VMB_MESSAGE_MAX];
	int got;

	len = vmbi_gpadl_message(msg, 0, owner, id, words, count, ranges);
	got = vmbi_gpadls_header(s, owner, msg, len, 0, 0, &answer);
	cr_assert_eq(answer.owner, owner);
	cr_assert_eq(answer.id, id);
	for (uint32_t k = 1; k < n && (k == 1 || got == VMBI_GPADL_WAITING); k++) {
		if (got == VMBI_GPADL_REFUSED || got == VMBI_GPADL_QUOTA)
			return got;
		cr_assert_eq(got, VMBI_GPADL_WAITING);
		len = vmbi_gpadl_message(msg, k, owner, id, words, count, ranges);
		got = vmbi_gpadls_body(s, msg, len, &answer);
		cr_assert_eq(answer.owner, owner);
		cr_assert_eq(answer.id, id);
		cr_assert(k == n - 1 || got == VMBI_GPADL_WAITING, "body %u of %u: %d", k, n - 1, got);
	}
	return got;
}

int announce_pages(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id, uint32_t n)
{
	static uint64_t words[VMBI_GPADL_WORDS_MAX];

	words_of_pages(words, n, id);
	return announce(s, owner, id, words, n + 1, 1);
}

void assert_stored(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id, const uint64_t *words, uint32_t count,
		   uint32_t ranges)
{
	struct vmb_gpadl_info info = { .size = 0x5a5a5a5a };
	uint64_t *copy = guarded_alloc(count * 8, 0xee), bytes = 0;
	struct vmb_list list;
	uint32_t ref = vmbi_gpadls_find(s, owner, id);

	cr_assert_neq(ref, 0u, "list %u/%#x is not there", owner, id);
	cr_assert_eq(vmbi_gpadls_id(s, ref), id);
	vmbi_gpadls_info(s, ref, &info);
	cr_assert_eq(info.size, 0x5a5a5a5au);
	cr_assert_eq(info.words, count);
	cr_assert_eq(info.ranges, ranges);
	cr_assert_eq(info.pages, count - ranges);
	vmbi_gpadls_words(s, ref, 0, copy, count);
	cr_assert_arr_eq(copy, words, count * 8);
	cr_assert_eq(vmb_list_check(words, count, ranges, &list, &bytes), 0);
	cr_assert_eq(info.bytes, bytes);
	/* In two parts, so that a copy starts and ends anywhere. */
	for (uint32_t cut = count > 70 ? count - 70 : 1; cut < count; cut++) {
		memset(copy, 0xee, count * 8);
		vmbi_gpadls_words(s, ref, cut, copy + cut, count - cut);
		cr_assert_arr_eq(copy + cut, words + cut, (count - cut) * 8);
		vmbi_gpadls_words(s, ref, cut / 2, copy, cut - cut / 2);
		cr_assert_arr_eq(copy, words + cut / 2, (cut - cut / 2) * 8);
	}
	munmap((uint8_t *)((uintptr_t)copy & ~(uintptr_t)4095), (count * 8 + 4095) & ~4095u);
}

void assert_count(struct vmbi_gpadl_store *s, uint32_t gpadls, uint32_t pages)
{
	uint32_t g, p;

	vmbi_gpadls_count(s, &g, &p);
	cr_assert_eq(g, gpadls, "%u lists, not %u", g, gpadls);
	cr_assert_eq(p, pages, "%u pages, not %u", p, pages);
}

uint32_t uses_of(struct vmbi_gpadl_store *s, uint32_t ref)
{
	struct vmb_gpadl_info info;

	vmbi_gpadls_info(s, ref, &info);
	return info.held;
}
