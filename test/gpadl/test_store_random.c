/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The store against a model that keeps whole lists in an array and looks through all of it for everything: random messages, good
 * and bad, random uses and ends, over few ids and few owners so that all of them meet. And the same in memory that held
 * something else before.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "fixture.h"

#define OWNERS 6u
#define LISTS 12u
#define IDS 10u

struct model_list {
	uint32_t live, owner, id, complete, uses, leaving;
	uint32_t words, got, ranges;
	uint64_t word[VMBI_GPADL_WORDS_MAX];
	uint64_t plan[VMBI_GPADL_WORDS_MAX]; /* what its guest means to send */
};

static const struct vmbi_gpadl_limits limits = { .gpadls = LISTS, .building = 4, .pages = 1500, .owners = OWNERS };

static struct model {
	struct model_list list[LISTS];
	uint64_t seed;
	uint32_t done[5];       /* how often which result came */
	uint32_t gone, waited;  /* lists that left at once, at their last use */
	uint64_t digest;        /* of all results */
} m;

static struct vmbi_gpadl_store *s;

static uint32_t below(uint32_t n)
{
	return random_below(&m.seed, n);
}

static struct model_list *model_find(uint32_t owner, uint32_t id)
{
	for (uint32_t i = 0; i < LISTS; i++)
		if (m.list[i].live && m.list[i].owner == owner && m.list[i].id == id)
			return &m.list[i];
	return NULL;
}

static struct model_list *model_building(uint32_t id)
{
	for (uint32_t i = 0; i < LISTS; i++)
		if (m.list[i].live && !m.list[i].complete && m.list[i].id == id)
			return &m.list[i];
	return NULL;
}

/* How many words of a list belong to its ranges; 0: it is none. gpadl.md 3.1, word by word. */
static uint32_t model_valid(const uint64_t *words, uint32_t count, uint32_t ranges)
{
	uint32_t at = 0;

	while (ranges--) {
		uint64_t bytes, offset;

		if (at == count)
			return 0;
		bytes = words[at] & 0xffffffff;
		offset = words[at] >> 32;
		if (!bytes || offset > 0xfff || bytes + offset + 4095 > 0xffffffff)
			return 0;
		at++;
		for (uint64_t page = 0; page * 4096 < offset + bytes; page++)
			if (at++ >= count)
				return 0;
	}
	return at;
}

static int model_complete(struct model_list *l)
{
	uint32_t used = model_valid(l->word, l->words, l->ranges);

	if (!used) {
		l->live = 0;
		return VMBI_GPADL_REFUSED;
	}
	l->words = used;
	l->complete = 1;
	return VMBI_GPADL_COMPLETE;
}

static int model_take(struct model_list *l, const uint64_t *words, uint32_t n)
{
	while (n-- && l->got < l->words)
		l->word[l->got++] = *words++;
	return l->got < l->words ? VMBI_GPADL_WAITING : model_complete(l);
}

static int model_header(uint32_t owner, uint32_t id, uint32_t buflen, uint32_t ranges, const uint64_t *words, uint32_t n,
			uint32_t max_gpadls, uint32_t max_pages)
{
	uint32_t lists = 0, building = 0, pages = 0, own_lists = 0, own_pages = 0, room = LISTS;
	uint32_t count = buflen / 8;

	if (buflen % 8 || !buflen || !ranges || ranges > count || model_find(owner, id) || (n < count && model_building(id)))
		return VMBI_GPADL_REFUSED;
	for (uint32_t i = 0; i < LISTS; i++) {
		const struct model_list *l = &m.list[i];

		if (!l->live) {
			room = i;
			continue;
		}
		lists++;
		building += !l->complete;
		pages += l->words - 1;
		own_lists += l->owner == owner;
		own_pages += l->owner == owner ? l->words - 1 : 0;
	}
	if (lists == limits.gpadls || pages + count - 1 > limits.pages || (n < count && building == limits.building))
		return VMBI_GPADL_QUOTA;
	if ((max_gpadls && own_lists >= max_gpadls) || (max_pages && own_pages + count - 1 > max_pages))
		return VMBI_GPADL_QUOTA;
	m.list[room] = (struct model_list){ .live = 1, .owner = owner, .id = id, .words = count, .ranges = ranges };
	memcpy(m.list[room].plan, words, count * 8);
	return model_take(&m.list[room], words, n);
}

static int model_body(uint32_t id, const uint64_t *words, uint32_t n, uint32_t *owner)
{
	struct model_list *l = model_building(id);

	if (!l)
		return VMBI_GPADL_DROPPED;
	*owner = l->owner;
	return model_take(l, words, n);
}

static void note(uint64_t result)
{
	m.digest = (m.digest ^ result) * UINT64_C(0x100000001b3);
}

static void send_header(void)
{
	static uint64_t words[VMBI_GPADL_WORDS_MAX];
	uint32_t owner = 1 + below(OWNERS), id = below(IDS);
	uint32_t max_gpadls = below(3) ? 0 : 1 + below(4), max_pages = below(3) ? 0 : below(300);
	uint32_t max = 2 + below(below(8) ? 60 : 800), ranges = 1 + below(below(2) ? 1 : max / 2);
	uint32_t count = words_at_random(words, max, ranges, &m.seed), buflen = 8 * count, n, len;
	struct vmbi_gpadl_answer answer = { 0 };
	uint8_t msg[VMB_MESSAGE_MAX];
	int want, got;

	switch (below(12)) { /* some are wrong */
	case 0: buflen = below(65536); break;
	case 1: ranges = below(count + 2); break;
	case 2: words[below(count)] = random64(&m.seed) >> below(64); break;
	case 3: buflen += 8 * below(40); break;
	default: break;
	}
	n = buflen / 8 < 27 ? buflen / 8 : 27;
	if (!below(8))
		n = below(28); /* more words than there are, or fewer than fit */
	want = model_header(owner, id, buflen, ranges, words, n, max_gpadls, max_pages);
	len = raw_header(msg, owner, id, buflen, ranges, words, n) + below(8);
	got = vmbi_gpadls_header(s, owner, msg, len < 236 ? len : 236, max_gpadls, max_pages, &answer);
	cr_assert_eq(got, want, "header: %d, not %d", got, want);
	cr_assert_eq(answer.owner, owner);
	cr_assert_eq(answer.id, id);
	m.done[got]++;
	note((uint64_t)got);
}

static void send_body(void)
{
	uint32_t id = below(IDS), n = below(4) ? 28 : below(29), owner = 0, len;
	struct vmbi_gpadl_answer answer = { 0 };
	const struct model_list *l;
	uint8_t msg[VMB_MESSAGE_MAX];
	uint64_t words[28];
	int want, got;

	for (uint32_t tries = below(8); tries && !model_building(id); tries--)
		id = below(IDS);
	l = model_building(id);
	for (uint32_t i = 0; i < 28; i++) {
		words[i] = below(2) ? VMB_RANGE(1 + below(9000), below(4096)) : random64(&m.seed);
		if (l && l->got + i < l->words && below(200)) /* mostly what was planned */
			words[i] = l->plan[l->got + i];
	}
	want = model_body(id, words, n, &owner);
	len = raw_body(msg, id, words, n) + below(8);
	got = vmbi_gpadls_body(s, msg, len < 240 ? len : 240, &answer);
	cr_assert_eq(got, want, "body: %d, not %d", got, want);
	if (got != VMBI_GPADL_DROPPED) {
		cr_assert_eq(answer.owner, owner);
		cr_assert_eq(answer.id, id);
	}
	m.done[got]++;
	note((uint64_t)got);
}

/* Use, unuse, or let go of one list, whether it is there or not. */
static void end_one(void)
{
	const struct model_list *some = &m.list[below(LISTS)];
	uint32_t owner = below(4) && some->live ? some->owner : 1 + below(OWNERS), id = below(4) ? some->id : below(IDS);
	uint32_t ref = vmbi_gpadls_find(s, owner, id);
	struct model_list *l = model_find(owner, id);

	cr_assert_eq(!!ref, l && l->complete);
	note(ref);
	if (!ref)
		return;
	switch (l->leaving ? 1 : below(3)) {
	case 0:
		vmbi_gpadls_use(s, ref);
		l->uses++;
		break;
	case 1:
		if (!l->uses)
			break;
		l->uses--;
		cr_assert_eq(vmbi_gpadls_unuse(s, ref), !l->uses && l->leaving);
		if (!l->uses && l->leaving) {
			l->live = 0;
			m.waited++;
		}
		break;
	default:
		cr_assert_eq(vmbi_gpadls_leave(s, ref), !l->uses);
		if (l->uses) {
			l->leaving = 1;
		} else {
			l->live = 0;
			m.gone++;
		}
	}
}

static void purge(void)
{
	uint32_t owner = 1 + below(OWNERS);

	vmbi_gpadls_purge(s, owner);
	for (uint32_t i = 0; i < LISTS; i++)
		if (m.list[i].owner == owner && !m.list[i].complete)
			m.list[i].live = 0;
}

/* All that can be seen of the store. */
static void compare(int words_too)
{
	uint32_t lists = 0, pages = 0, walked = 0, complete = 0;

	for (uint32_t i = 0; i < LISTS; i++) {
		const struct model_list *l = &m.list[i];
		uint32_t ref;

		if (!l->live)
			continue;
		lists++;
		pages += l->words - (l->complete ? l->ranges : 1);
		complete += l->complete;
		ref = vmbi_gpadls_find(s, l->owner, l->id);
		cr_assert_eq(!!ref, l->complete);
		if (!ref)
			continue;
		cr_assert_eq(uses_of(s, ref), l->uses);
		cr_assert_eq(vmbi_gpadls_is_leaving(s, ref), (int)l->leaving);
		if (words_too)
			assert_stored(s, l->owner, l->id, l->word, l->words, l->ranges);
	}
	assert_count(s, lists, pages);
	for (uint32_t owner = 1; owner <= OWNERS; owner++) {
		uint32_t last = 0;

		for (uint32_t ref = 0; (ref = vmbi_gpadls_next(s, owner, ref)) != 0; walked++) {
			const struct model_list *l = model_find(owner, vmbi_gpadls_id(s, ref));

			cr_assert(l && l->complete);
			cr_assert_eq(vmbi_gpadls_find(s, owner, l->id), ref);
			cr_assert(!last || l->id >= last);
			last = l->id + 1;
			note(ref);
		}
	}
	cr_assert_eq(walked, complete);
}

static void run(int fill, uint64_t seed, uint32_t rounds)
{
	memset(&m, 0, sizeof m);
	m.seed = seed;
	s = store_new(&limits, fill);
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t what = below(100);

		if (what < 35)
			send_header();
		else if (what < 70)
			send_body();
		else if (what < 98)
			end_one();
		else if (what < 99)
			purge();
		compare(i % 512 == 0);
	}
}

Test(gpadl_random, store_behaves_as_its_model)
{
	run(0xa5, 1, 300000);
	/* It has been everywhere. */
	cr_assert_gt(m.done[VMBI_GPADL_DROPPED], 1000u);
	cr_assert_gt(m.done[VMBI_GPADL_WAITING], 1000u);
	cr_assert_gt(m.done[VMBI_GPADL_COMPLETE], 1000u);
	cr_assert_gt(m.done[VMBI_GPADL_REFUSED], 1000u);
	cr_assert_gt(m.done[VMBI_GPADL_QUOTA], 1000u);
	cr_assert_gt(m.gone, 1000u);
	cr_assert_gt(m.waited, 1000u);
}

/* Whatever was in the storage before init: the same results, the same references. */
Test(gpadl_random, what_the_storage_held_before_does_not_matter)
{
	static const int fills[] = { 0, 0xff, 0xa5, 0x01, 0x80 };
	uint64_t first = 0;

	for (size_t i = 0; i < sizeof fills / sizeof *fills; i++) {
		run(fills[i], 77, 20000);
		cr_assert(!i || m.digest == first);
		first = m.digest;
	}
}
