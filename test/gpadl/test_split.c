/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Lists cut into messages and put together again, in all sizes and in every mixture that guests produce. gpadl.md 4 */
#include <criterion/criterion.h>
#include <string.h>

#include "fixture.h"

static const struct vmbi_gpadl_limits limits = { .gpadls = 16, .building = 16, .pages = 16 * 8190, .owners = 8 };
static uint64_t words[16][VMBI_GPADL_WORDS_MAX];

Test(gpadl_split, chunking_table)
{
	/* gpadl.md 4: pages, range_buflen, bytes of the header message, bodies, bytes of the last message */
	static const uint32_t table[][5] = {
		{ 1, 16, 36, 0, 36 },           { 2, 24, 44, 0, 44 },        { 16, 136, 156, 0, 156 },
		{ 26, 216, 236, 0, 236 },       { 27, 224, 236, 1, 24 },     { 54, 440, 236, 1, 240 },
		{ 55, 448, 236, 2, 24 },        { 82, 664, 236, 2, 240 },    { 83, 672, 236, 3, 24 },
		{ 256, 2056, 236, 9, 64 },      { 257, 2064, 236, 9, 72 },   { 512, 4104, 236, 18, 96 },
		{ 1024, 8200, 236, 36, 160 },   { 4096, 32776, 236, 146, 96 }, { 8190, 65528, 236, 292, 144 },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const uint32_t *row = table[i];
		uint32_t n = words_of_pages(words[0], row[0], 0x1000), messages = vmbi_gpadl_messages(n), len;
		uint8_t msg[VMB_MESSAGE_MAX];

		cr_assert_eq(messages, 1 + row[3], "%u pages: %u messages", row[0], messages);
		len = vmbi_gpadl_message(msg, 0, 7, 9, words[0], n, 1);
		cr_assert_eq(len, row[2]);
		cr_assert_eq(msg[16] | (uint32_t)msg[17] << 8, row[1]);
		for (uint32_t k = 1; k < messages; k++) {
			len = vmbi_gpadl_message(msg, k, 7, 9, words[0], n, 1);
			cr_assert(k == messages - 1 || len == 240);
		}
		cr_assert_eq(len, row[4], "%u pages: last message of %u bytes", row[0], len);
	}
}

Test(gpadl_split, never_writes_past_its_length)
{
	for (uint32_t pages = 1; pages <= 120; pages++) {
		uint32_t n = words_of_pages(words[0], pages, 0x1000);

		for (uint32_t k = 0; k < vmbi_gpadl_messages(n); k++) {
			uint8_t msg[VMB_MESSAGE_MAX];
			uint32_t len;

			memset(msg, 0xc3, sizeof msg);
			len = vmbi_gpadl_message(msg, k, 7, 9, words[0], n, 1);
			for (uint32_t i = len; i < sizeof msg; i++)
				cr_assert_eq(msg[i], 0xc3);
		}
	}
}

/* Every number of pages there is comes back word for word, through one store that is used over and over. */
Test(gpadl_split, every_size_comes_back)
{
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);

	for (uint32_t pages = 1; pages <= 8190; pages++) {
		uint32_t n = words_of_pages(words[0], pages, (uint64_t)pages << 20), ref;

		cr_assert_eq(announce(s, 3, pages, words[0], n, 1), VMBI_GPADL_COMPLETE, "%u pages", pages);
		ref = vmbi_gpadls_find(s, 3, pages);
		cr_assert_neq(ref, 0u);
		memset(words[1], 0xee, sizeof words[1]);
		vmbi_gpadls_words(s, ref, 0, words[1], n);
		cr_assert_arr_eq(words[0], words[1], n * 8, "%u pages", pages);
		assert_count(s, 1, pages);
		cr_assert_eq(vmbi_gpadls_leave(s, ref), 1);
	}
	assert_count(s, 0, 0);
}

struct sending {
	uint32_t count, ranges, owner, id, next; /* next message */
};

/* The next message of a list, padded to 240 bytes with garbage as UEFI pads with zeros, or as it is. */
static int send_next(struct vmbi_gpadl_store *s, struct sending *to, const uint64_t *list, int pad)
{
	struct vmbi_gpadl_answer answer;
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len;
	int got;

	memset(msg, 0xdb, sizeof msg);
	len = vmbi_gpadl_message(msg, to->next, to->owner, to->id, list, to->count, to->ranges);
	if (pad)
		len = VMB_MESSAGE_MAX;
	got = to->next ? vmbi_gpadls_body(s, msg, len, &answer) : vmbi_gpadls_header(s, to->owner, msg, len, 0, 0, &answer);
	to->next++;
	cr_assert_eq(answer.owner, to->owner);
	cr_assert_eq(answer.id, to->id);
	cr_assert_eq(got, to->next == vmbi_gpadl_messages(to->count) ? VMBI_GPADL_COMPLETE : VMBI_GPADL_WAITING);
	return got == VMBI_GPADL_COMPLETE;
}

/* Sixteen lists of random shape, their messages in random order, padded or not. */
Test(gpadl_split, pitfall_19_messages_of_several_lists_interleave)
{
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);
	uint64_t seed = 19;

	for (int round = 0; round < 60; round++) {
		struct sending to[16];
		uint32_t open = 16, complete = 0;

		for (uint32_t i = 0; i < 16; i++) {
			uint32_t max = 2 + random_below(&seed, round % 3 ? 400 : 8190);
			uint32_t ranges = 1 + random_below(&seed, max / 2 < 20 ? max / 2 : 20);

			to[i] = (struct sending){ words_at_random(words[i], max, ranges, &seed), ranges, 1 + i % 8, 100 + i, 0 };
		}
		while (open) {
			uint32_t i = random_below(&seed, 16);

			if (to[i].next >= vmbi_gpadl_messages(to[i].count))
				continue;
			if (send_next(s, &to[i], words[i], (int)random_below(&seed, 2))) {
				open--;
				complete++;
			}
			for (uint32_t k = 0; k < 16; k++)
				cr_assert_eq(!!vmbi_gpadls_find(s, to[k].owner, to[k].id),
					     to[k].next == vmbi_gpadl_messages(to[k].count));
		}
		cr_assert_eq(complete, 16u);
		for (uint32_t i = 0; i < 16; i++) {
			assert_stored(s, to[i].owner, to[i].id, words[i], to[i].count, to[i].ranges);
			cr_assert_eq(vmbi_gpadls_leave(s, vmbi_gpadls_find(s, to[i].owner, to[i].id)), 1);
		}
		assert_count(s, 0, 0);
	}
}

Test(gpadl_split, pitfall_8_padded_messages_are_not_extra_pages)
{
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);

	for (uint32_t pages = 1; pages <= 200; pages++) {
		struct sending to = { words_of_pages(words[0], pages, 0x777), 1, 2, 4, 0 };

		while (!send_next(s, &to, words[0], 1))
			;
		assert_stored(s, 2, 4, words[0], to.count, 1);
		cr_assert_eq(vmbi_gpadls_leave(s, vmbi_gpadls_find(s, 2, 4)), 1);
	}
}

/* 27 words in the header, 28 in a body: one less or more, on either side of each border. */
Test(gpadl_split, pitfall_7_words_per_message)
{
	for (uint32_t n = 1; n <= VMBI_GPADL_WORDS_MAX; n++) {
		uint32_t room = 27 + 28 * (vmbi_gpadl_messages(n) - 1);

		cr_assert_geq(room, n);
		cr_assert(vmbi_gpadl_messages(n) == 1 || room - 28 < n);
	}
}

/* A guest may send less than fits: header without data, bodies of one word or none. gpadl.md 4 */
Test(gpadl_split, drops_of_one_word_are_enough)
{
	struct vmbi_gpadl_store *s = store_new(&limits, 0xa5);
	uint32_t n = words_of_pages(words[0], 100, 0x5000);
	struct vmbi_gpadl_answer answer;
	uint8_t msg[VMB_MESSAGE_MAX];

	cr_assert_eq(vmbi_gpadls_header(s, 1, msg, raw_header(msg, 1, 6, n * 8, 1, words[0], 0), 0, 0, &answer),
		     VMBI_GPADL_WAITING);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = raw_body(msg, 6, words[0] + i, 1);

		cr_assert_eq(vmbi_gpadls_body(s, msg, 16, &answer), VMBI_GPADL_WAITING);     /* no word */
		cr_assert_eq(vmbi_gpadls_body(s, msg, 16 + 7, &answer), VMBI_GPADL_WAITING); /* nor part of one */
		cr_assert_eq(vmbi_gpadls_find(s, 1, 6), 0u);
		cr_assert_eq(vmbi_gpadls_body(s, msg, len + i % 8, &answer),
			     i == n - 1 ? VMBI_GPADL_COMPLETE : VMBI_GPADL_WAITING);
	}
	assert_stored(s, 1, 6, words[0], n, 1);
}
