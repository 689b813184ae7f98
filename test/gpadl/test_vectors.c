/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The specification's own bytes, GP-01 to GP-19, at both ends. gpadl.md 11 */
#include <criterion/criterion.h>

#include "fixture.h"
#include "test/vectors/vectors.h"

#define CHANNEL 5

static const struct vmbi_gpadl_limits limits = { .gpadls = 8, .building = 4, .pages = 1024, .owners = 16 };

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Feed all parts of a vector to the store; returns what the last one gave. */
static int feed(struct vmbi_gpadl_store *s, const struct vector *v)
{
	struct vmbi_gpadl_answer answer;
	uint32_t len;
	int got = VMBI_GPADL_DROPPED;

	for (uint32_t n = 0; n < vector_parts(v); n++) {
		const uint8_t *part = vector_part(v, n, &len);

		cr_assert(n == 0 || got == VMBI_GPADL_WAITING);
		got = get32(part) == 8 ? vmbi_gpadls_header(s, CHANNEL, part, len, 0, 0, &answer) :
					 vmbi_gpadls_body(s, part, len, &answer);
		cr_assert_eq(answer.owner, (uint32_t)CHANNEL);
		cr_assert_eq(answer.id, get32(vector_part(v, 0, &len) + 12));
	}
	return got;
}

Test(gpadl_vectors, each_is_accepted_or_refused_as_it_says)
{
	struct vectors *set = vectors_load("gpadl", 19);
	uint32_t accepted = 0, refused = 0;

	for (uint32_t i = 0; i < 19; i++) {
		const struct vector *v = vectors_at(set, i);
		struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);
		uint32_t len;

		if (!vector_has(v, "accept"))
			continue;
		if (vector_fact(v, "accept", 0)) {
			cr_assert_eq(feed(s, v), VMBI_GPADL_COMPLETE, "%s", vector_name(v));
			cr_assert_neq(vmbi_gpadls_find(s, CHANNEL, get32(vector_part(v, 0, &len) + 12)), 0u);
			accepted++;
		} else {
			cr_assert_eq(feed(s, v), VMBI_GPADL_REFUSED, "%s", vector_name(v));
			assert_count(s, 0, 0);
			refused++;
		}
	}
	cr_assert_eq(accepted, 9u);
	cr_assert_eq(refused, 6u);
	vectors_free(set);
}

/* What the vectors say, written down a second time: ranges and first pages. */
static const struct {
	const char *name;
	uint32_t id, ranges, words, list[8];
	uint64_t bytes;
} wanted[] = {
	{ "GP-01", 0xe1e10, 1, 2, { 0x1000, 0, 0x1000 }, 4096 },
	{ "GP-02", 0xe1e11, 1, 5, { 0x4000, 0, 0x1000, 0x1001, 0x1002, 0x1003 }, 16384 },
	{ "GP-03", 0xe1e12, 1, 3, { 5000, 0x800, 0x55, 0x7ff }, 5000 },
	{ "GP-04", 0xe1e13, 2, 5, { 0x1000, 0, 0x10, 100, 0xfff, 0x20, 0x21 }, 4196 },
	{ "GP-05", 0xe1e14, 1, 27, { 26 * 4096, 0, 0x1000, 0x1001 }, 26 * 4096 },
	{ "GP-06", 0xe1e15, 1, 28, { 27 * 4096, 0, 0x1000, 0x1001 }, 27 * 4096 },
	{ "GP-07", 0xe1e16, 1, 56, { 55 * 4096, 0, 0x1000, 0x1001 }, 55 * 4096 },
	{ "GP-18", 0xe1e10, 1, 2, { 0x1000, 0, 0x1000 }, 4096 }, /* the padding is not part of it */
	{ "GP-19", 2, 1, 2, { 0x1000, 0, 0x1000 }, 4096 },        /* nor is the word behind the last range */
};

/* The words of wanted[i] in full. */
static uint32_t wanted_words(size_t i, uint64_t *words)
{
	const uint32_t *at = wanted[i].list;
	uint32_t n = 0;

	for (uint32_t r = 0; r < wanted[i].ranges; r++) {
		uint32_t bytes = *at++, offset = *at++, pages = (offset + bytes + 4095) / 4096, given = pages < 5 ? pages : 2;

		words[n++] = VMB_RANGE(bytes, offset);
		for (uint32_t p = 0; p < pages; p++)
			words[n++] = p < given ? *at++ : 0x1000u + p;
	}
	cr_assert_eq(n, wanted[i].words);
	return n;
}

Test(gpadl_vectors, accepted_lists_are_stored_word_for_word)
{
	struct vectors *set = vectors_load("gpadl", 19);

	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);
		struct vmb_gpadl_info info;
		uint64_t words[64];
		uint32_t n = wanted_words(i, words);

		cr_assert_eq(feed(s, vectors_find(set, wanted[i].name)), VMBI_GPADL_COMPLETE);
		assert_stored(s, CHANNEL, wanted[i].id, words, n, wanted[i].ranges);
		vmbi_gpadls_info(s, vmbi_gpadls_find(s, CHANNEL, wanted[i].id), &info);
		cr_assert_eq(info.bytes, wanted[i].bytes);
		cr_assert_eq(info.held, 0u);
		assert_count(s, 1, n - wanted[i].ranges);
	}
	vectors_free(set);
}

Test(gpadl_vectors, split_makes_the_same_messages)
{
	struct vectors *set = vectors_load("gpadl", 19);

	for (size_t i = 0; i < 7; i++) { /* the last two are no minimal forms */
		const struct vector *v = vectors_find(set, wanted[i].name);
		uint64_t words[64];
		uint32_t n = wanted_words(i, words);

		cr_assert_eq(vmbi_gpadl_messages(n), vector_parts(v));
		for (uint32_t k = 0; k < vector_parts(v); k++) {
			uint8_t msg[VMB_MESSAGE_MAX];
			uint32_t len, got = vmbi_gpadl_message(msg, k, CHANNEL, wanted[i].id, words, n, wanted[i].ranges);
			const uint8_t *part = vector_part(v, k, &len);

			cr_assert_eq(got, len, "%s part %u: %u bytes", wanted[i].name, k, got);
			cr_assert_arr_eq(msg, part, len);
		}
	}
	vectors_free(set);
}
