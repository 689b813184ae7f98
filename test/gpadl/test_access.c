/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Reading, writing and comparing through lists, GPA-direct packets and transfer-page windows, against one flat array of bytes;
 * and mappers that refuse.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "fixture.h"
#include "memory.h"

#define MOST 420000u /* bytes of one list */

/* A place to read from and write to, one of three kinds. */
struct target {
	int kind; /* 0: list; 1: GPA direct; 2: transfer pages */
	struct vmb_list list;
	struct vmb_packet packet;
};

static struct memory m;
static uint64_t words[600], windows[64];
static uint32_t place[MOST], set_place[MOST];
static uint8_t buffer[MOST], before[MEMORY_BYTES];

static void start(void)
{
	memory_new(&m);
}

TestSuite(gpadl_access, .init = start);

static int target_read(const struct target *t, uint64_t offset, void *dst, uint32_t n)
{
	if (!t->kind)
		return vmb_list_read(&t->list, &m.mapper, offset, dst, n);
	return vmb_packet_read(&t->packet, t->kind == 2 ? &t->list : NULL, &m.mapper, offset, dst, n);
}

static int target_write(const struct target *t, uint64_t offset, const void *src, uint32_t n)
{
	if (!t->kind)
		return vmb_list_write(&t->list, &m.mapper, offset, src, n);
	return vmb_packet_write(&t->packet, t->kind == 2 ? &t->list : NULL, &m.mapper, offset, src, n);
}

static int target_compare(const struct target *t, uint64_t offset, const void *with, uint32_t n)
{
	if (!t->kind)
		return vmb_list_compare(&t->list, &m.mapper, offset, with, n);
	return vmb_packet_compare(&t->packet, t->kind == 2 ? &t->list : NULL, &m.mapper, offset, with, n);
}

/* A target at random; place[] then tells where each of its bytes lies. Returns how many there are. */
static uint32_t target_new(struct target *t, int kind, uint64_t *seed)
{
	uint32_t max = 2 + random_below(seed, random_below(seed, 4) ? 20 : 90);
	uint32_t ranges = 1 + random_below(seed, max / 2 < 12 ? max / 2 : 12);
	uint32_t count = memory_list(words, max, ranges, seed), bytes, n = 0, number;

	memset(t, 0, sizeof *t);
	t->kind = kind;
	cr_assert_eq(vmb_list_check(words, count, ranges, &t->list, NULL), 0);
	bytes = memory_bytes_of(&t->list, place, MOST);
	if (!kind)
		return bytes;
	t->packet.kind = kind == 1 ? VMB_PKT_GPA : VMB_PKT_XFER;
	t->packet.list = t->list;
	if (kind == 1)
		return bytes;
	/* Windows of all sizes into the set, in any order, over each other. */
	memcpy(set_place, place, bytes * sizeof *place);
	number = 1 + random_below(seed, 20);
	for (uint32_t w = 0; w < number; w++) {
		uint32_t offset = random_below(seed, bytes), room = bytes - offset;
		uint32_t len = 1 + random_below(seed, random_below(seed, 3) && room > 3000 ? 3000 : room);

		if (n + len > MOST)
			len = 1;
		windows[w] = VMB_RANGE(len, offset);
		memcpy(place + n, set_place + offset, len * sizeof *place);
		n += len;
	}
	t->packet.list = (struct vmb_list){ windows, number, number };
	return n;
}

/* Some part of `total` bytes: small, great, at an end, all, none. */
static uint32_t some_part(uint32_t total, uint64_t *seed, uint32_t *n)
{
	uint32_t offset = random_below(seed, total + 1);

	switch (random_below(seed, 5)) {
	case 0: offset = 0; *n = total; break;
	case 1: *n = total - offset; break;
	case 2: *n = random_below(seed, total - offset + 1) % 10; break;
	default: *n = random_below(seed, total - offset + 1);
	}
	return offset;
}

/* How many of these n bytes of the target are as they shall be, before the first that is not. */
static uint32_t right(const uint8_t *got, uint32_t offset, uint32_t n)
{
	uint32_t k = 0;

	while (k < n && got[k] == m.bytes[place[offset + k]])
		k++;
	return k;
}

static void check_read(const struct target *t, uint32_t offset, uint32_t n)
{
	memset(buffer, 0x5c, n + 1);
	cr_assert_eq(target_read(t, offset, buffer, n), 0);
	cr_assert_eq(right(buffer, offset, n), n);
	cr_assert_eq(buffer[n], 0x5c);
	for (uint32_t p = 0; p < MEMORY_PAGES; p++)
		cr_assert_eq(m.dirty[p], 0u);
}

static void check_write(const struct target *t, uint32_t offset, uint32_t n, uint64_t *seed)
{
	uint8_t touched[MEMORY_PAGES] = { 0 };

	memcpy(before, m.bytes, MEMORY_BYTES);
	for (uint32_t k = 0; k < n; k++) {
		buffer[k] = (uint8_t)(random64(seed) >> 13);
		before[place[offset + k]] = buffer[k];
		touched[place[offset + k] / VMB_PAGE] = 1;
	}
	cr_assert_eq(target_write(t, offset, buffer, n), 0);
	cr_assert_eq(memcmp(before, m.bytes, MEMORY_BYTES), 0);
	for (uint32_t p = 0; p < MEMORY_PAGES; p++)
		cr_assert_eq(!!m.dirty[p], touched[p], "page %u reported %u times", p, m.dirty[p]);
}

static void check_compare(const struct target *t, uint32_t offset, uint32_t n, uint64_t *seed)
{
	uint32_t wrong;

	memset(m.dirty, 0, sizeof m.dirty);
	for (uint32_t k = 0; k < n; k++)
		buffer[k] = m.bytes[place[offset + k]];
	cr_assert_eq(target_compare(t, offset, buffer, n), 0);
	if (!n)
		return;
	wrong = random_below(seed, 3) ? random_below(seed, n) : random_below(seed, 2) ? n - 1 : 0;
	buffer[wrong] ^= (uint8_t)(1 << random_below(seed, 8));
	cr_assert_eq(target_compare(t, offset, buffer, n), VMB_YES, "byte %u of %u", wrong, n);
	for (uint32_t p = 0; p < MEMORY_PAGES; p++)
		cr_assert_eq(m.dirty[p], 0u);
}

/* Not all of it there: refused, and nothing happens. */
static void check_beyond(const struct target *t, uint32_t total, uint64_t *seed)
{
	static const uint64_t far[] = { UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 32, UINT64_C(1) << 63 };
	uint64_t offset = random_below(seed, total + 1);
	uint32_t calls = m.calls, n = total - (uint32_t)offset + 1 + random_below(seed, 3);

	if (!random_below(seed, 8))
		n = UINT32_MAX;
	if (!random_below(seed, 4))
		offset = far[random_below(seed, 4)];
	cr_assert_eq(target_read(t, offset, buffer, n), VMB_EINVAL);
	cr_assert_eq(target_write(t, offset, buffer, n), VMB_EINVAL);
	cr_assert_eq(target_compare(t, offset, buffer, n), VMB_EINVAL);
	cr_assert_eq(target_read(t, (uint64_t)total + 1, buffer, 0), VMB_EINVAL);
	cr_assert_eq(m.calls, calls);
}

static void against_the_oracle(int kind, uint32_t rounds, uint32_t slow)
{
	uint64_t seed = 100 + (uint64_t)kind;
	uint32_t most = 0;

	m.slow = slow;
	for (uint32_t i = 0; i < rounds; i++) {
		struct target t;
		uint32_t total = target_new(&t, kind, &seed), n, offset;

		memory_reset(&m, &seed);
		if (kind)
			cr_assert_eq(vmb_packet_bytes(&t.packet), total);
		offset = some_part(total, &seed, &n);
		check_read(&t, offset, n);
		offset = some_part(total, &seed, &n);
		check_write(&t, offset, n, &seed);
		offset = some_part(total, &seed, &n);
		check_compare(&t, offset, n, &seed);
		check_beyond(&t, total, &seed);
		memory_assert_balanced(&m);
		if (m.most > most)
			most = m.most;
	}
	cr_assert_eq(most, 32u); /* great parts go in steps of 32 pages */
}

Test(gpadl_access, list_against_a_flat_buffer) { against_the_oracle(0, 3000, 0); }
Test(gpadl_access, gpa_direct_against_a_flat_buffer) { against_the_oracle(1, 3000, 0); }
Test(gpadl_access, transfer_pages_against_a_flat_buffer) { against_the_oracle(2, 3000, 0); }

/* The same where a touch of an unmapped page, or a write to one mapped for reading, ends the test. */
Test(gpadl_access, list_touches_only_what_is_mapped) { against_the_oracle(0, 300, 1); }
Test(gpadl_access, gpa_direct_touches_only_what_is_mapped) { against_the_oracle(1, 300, 1); }
Test(gpadl_access, transfer_pages_touch_only_what_is_mapped) { against_the_oracle(2, 300, 1); }

Test(gpadl_access, no_bytes_touch_nothing)
{
	uint64_t seed = 1;

	for (int kind = 0; kind < 3; kind++) {
		struct target t;
		uint32_t total = target_new(&t, kind, &seed);

		memory_reset(&m, &seed);
		for (uint32_t offset = 0; offset <= total; offset += offset < total ? (total - offset + 3) / 4 : 1) {
			cr_assert_eq(target_read(&t, offset, NULL, 0), 0);
			cr_assert_eq(target_write(&t, offset, NULL, 0), 0);
			cr_assert_eq(target_compare(&t, offset, NULL, 0), 0);
		}
		cr_assert_eq(target_read(&t, (uint64_t)total + 1, NULL, 0), VMB_EINVAL);
		cr_assert_eq(m.calls, 0u);
	}
}

/* Finding the place costs no page, and each page is mapped once: a read in the middle of a great range. */
Test(gpadl_access, only_the_pages_needed_are_mapped)
{
	struct vmb_list list;
	uint64_t seed = 1;

	memory_reset(&m, &seed);
	words[0] = VMB_RANGE(100 * 4096, 0);
	for (uint32_t i = 0; i < 100; i++)
		words[1 + i] = MEMORY_FIRST + i % MEMORY_PAGES;
	cr_assert_eq(vmb_list_check(words, 101, 1, &list, NULL), 0);
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 50 * 4096 - 1, buffer, 2), 0);
	cr_assert(m.maps == 1 && m.pages == 2);
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 50 * 4096, buffer, 4096), 0);
	cr_assert(m.maps == 2 && m.pages == 3);
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 1, buffer, 96 * 4096 - 1), 0);
	cr_assert(m.maps == 5 && m.pages == 99); /* 32 + 32 + 32 */
}

/* ---- refusals */

/* One page is refused: what lies before it has been transferred, nothing else, and nothing stays mapped. */
Test(gpadl_access, a_refused_page_ends_the_transfer_right_before_it)
{
	uint64_t seed = 42;
	uint32_t ended = 0;

	for (uint32_t i = 0; i < 3000; i++) {
		struct target t;
		uint32_t total = target_new(&t, (int)(i % 3), &seed), n, offset = some_part(total, &seed, &n), good = 0, bad;

		memory_reset(&m, &seed);
		bad = random_below(&seed, MEMORY_PAGES);
		if (n && random_below(&seed, 4))
			bad = place[offset + random_below(&seed, n)] / VMB_PAGE;
		m.bad_pfn = MEMORY_FIRST + bad;
		while (good < n && place[offset + good] / VMB_PAGE != bad)
			good++;
		ended += good < n;

		memset(buffer, 0x5c, n);
		cr_assert_eq(target_read(&t, offset, buffer, n), good < n ? VMB_EMAP : 0);
		cr_assert_eq(right(buffer, offset, good), good);
		memset(before, 0x5c, sizeof before);
		cr_assert_eq(memcmp(buffer + good, before, n - good < sizeof before ? n - good : sizeof before), 0);

		memcpy(before, m.bytes, MEMORY_BYTES);
		for (uint32_t k = 0; k < n; k++) {
			buffer[k] = (uint8_t)~before[place[offset + k]];
			if (k < good)
				before[place[offset + k]] = buffer[k];
		}
		cr_assert_eq(target_write(&t, offset, buffer, n), good < n ? VMB_EMAP : 0);
		cr_assert_eq(memcmp(before, m.bytes, MEMORY_BYTES), 0);

		for (uint32_t k = 0; k < n; k++)
			buffer[k] = m.bytes[place[offset + k]];
		cr_assert_eq(target_compare(&t, offset, buffer, n), good < n ? VMB_EMAP : 0);
		if (good) {
			buffer[good - 1] ^= 1; /* a difference seen before wins */
			cr_assert_eq(target_compare(&t, offset, buffer, n), VMB_YES);
		}
		memory_assert_balanced(&m);
	}
	cr_assert_gt(ended, 1000u);
}

/* The mapper fails at call 0, 1, 2 ... until all passes: from there on, or this once. Always balanced, never a wrong byte. */
static void failing_at_each_call(int kind, uint32_t op, uint32_t times)
{
	uint64_t seed = 7 + (uint64_t)kind;
	struct target t;
	uint32_t total, at, failed = 0;

	do { /* one that takes many calls, some of them for many pages */
		total = target_new(&t, kind, &seed);
		memory_reset(&m, &seed);
		cr_assert_eq(target_read(&t, 0, buffer, total), 0);
	} while (m.calls < 4 || m.most < 8);
	for (at = 0;; at++) {
		int got;

		memory_reset(&m, &seed);
		m.fail_from = at;
		m.fail_count = times;
		memset(buffer, 0x5c, total);
		if (op == 2)
			for (uint32_t k = 0; k < total; k++)
				buffer[k] = m.bytes[place[k]];
		got = op == 0 ? target_read(&t, 0, buffer, total) : op == 1 ? target_write(&t, 0, buffer, total) :
									      target_compare(&t, 0, buffer, total);
		memory_assert_balanced(&m);
		cr_assert(got == 0 || got == VMB_EMAP);
		if (times == UINT32_MAX)
			cr_assert_eq(got, m.calls > at ? VMB_EMAP : 0);
		failed += got == VMB_EMAP;
		if (op == 0)
			cr_assert(right(buffer, 0, total) == total || (got && buffer[total - 1] == 0x5c));
		if (m.calls <= at)
			break;
	}
	cr_assert_geq(at, 4u);
	if (times == UINT32_MAX)
		cr_assert_eq(failed, at);
}

Test(gpadl_access, mapper_fails_at_each_call)
{
	for (int kind = 0; kind < 3; kind++)
		for (uint32_t op = 0; op < 3; op++) {
			failing_at_each_call(kind, op, UINT32_MAX);
			failing_at_each_call(kind, op, 1);
		}
}

/* A page number whose address would not fit 64 bits reaches no mapper: none can shift it wrong. gpadl.md 8 */
Test(gpadl_access, page_numbers_beyond_52_bits_are_refused)
{
	static const uint64_t numbers[] = { UINT64_MAX, UINT64_C(1) << 52, UINT64_C(1) << 63, (UINT64_C(1) << 52) + 0x1000 };
	struct vmb_list list;
	uint64_t seed = 1;

	for (size_t i = 0; i < 4; i++) {
		memory_reset(&m, &seed);
		words[0] = VMB_RANGE(3 * 4096, 0);
		words[1] = MEMORY_FIRST;
		words[2] = numbers[i];
		words[3] = MEMORY_FIRST + 1;
		cr_assert_eq(vmb_list_check(words, 4, 1, &list, NULL), 0);
		cr_assert_eq(vmb_list_read(&list, &m.mapper, 4096, buffer, 4096), VMB_EMAP);
		cr_assert_eq(m.calls, 0u);
		cr_assert_eq(vmb_list_read(&list, &m.mapper, 0, buffer, 3 * 4096), VMB_EMAP);
		cr_assert_eq(memcmp(buffer, m.bytes, 4096), 0);
		cr_assert_eq(vmb_list_write(&list, &m.mapper, 8192, buffer, 4096), 0);
		memory_assert_balanced(&m);
	}
}

/* ---- arguments and lists that nobody checked */

Test(gpadl_access, lists_are_checked_on_the_way)
{
	static const uint64_t raw[] = { VMB_RANGE(4096, 0), MEMORY_FIRST, VMB_RANGE(4096, 1), MEMORY_FIRST };
	struct vmb_list list = { raw, 4, 2 };
	uint64_t seed = 1;

	memory_reset(&m, &seed);
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 0, buffer, 4096), 0);  /* the first range is good */
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 0, buffer, 4097), VMB_EINVAL);
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 4096, buffer, 1), VMB_EINVAL);
	list.ranges = 0;
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 0, buffer, 1), VMB_EINVAL);
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 0, buffer, 0), VMB_EINVAL);
	list = (struct vmb_list){ raw, 1, 1 };
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 0, buffer, 1), VMB_EINVAL);
	list = (struct vmb_list){ raw, 2, 2 };
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 4096, buffer, 1), VMB_EINVAL);
	list = (struct vmb_list){ NULL, 2, 2 };
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 0, buffer, 1), VMB_EINVAL);
	list = (struct vmb_list){ raw, 2, 1 };
	cr_assert_eq(vmb_list_read(NULL, &m.mapper, 0, buffer, 1), VMB_EINVAL);
	cr_assert_eq(vmb_list_read(&list, NULL, 0, buffer, 1), VMB_EINVAL);
	cr_assert_eq(vmb_list_read(&list, &m.mapper, 0, NULL, 1), VMB_EINVAL);
	cr_assert_eq(vmb_list_write(&list, &m.mapper, 0, NULL, 1), VMB_EINVAL);
	cr_assert_eq(vmb_list_compare(&list, &m.mapper, 0, NULL, 1), VMB_EINVAL);
}

Test(gpadl_access, windows_beyond_their_set_are_refused)
{
	static const uint64_t raw[] = { VMB_RANGE(4096, 0), 0x1000, VMB_RANGE(100, 4000), 0x1003, 0x1009 };
	static const struct { uint64_t word; int good; } table[] = {
		{ VMB_RANGE(1, 0), 1 },          { VMB_RANGE(4196, 0), 1 },      { VMB_RANGE(1, 4195), 1 },
		{ VMB_RANGE(4197, 0), 0 },       { VMB_RANGE(2, 4195), 0 },      { VMB_RANGE(1, 4196), 0 },
		{ VMB_RANGE(0xffffffff, 1), 0 }, { VMB_RANGE(1, 0xffffffff), 0 }, { VMB_RANGE(0xffffffff, 0xffffffff), 0 },
		{ VMB_RANGE(2, 0xffffffff), 0 }, /* wraps to 1 in 32 bits */
	};
	struct vmb_list set;
	uint64_t seed = 1;

	memory_reset(&m, &seed);
	cr_assert_eq(vmb_list_check(raw, 5, 2, &set, NULL), 0);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct vmb_packet p = { .kind = VMB_PKT_XFER };

		/* Also where the transfer would not get there. */
		windows[0] = VMB_RANGE(8, 4092);
		windows[1] = table[i].word;
		p.list = (struct vmb_list){ windows, 2, 2 };
		cr_assert_eq(vmb_packet_read(&p, &set, &m.mapper, 0, buffer, 4), table[i].good ? 0 : VMB_EINVAL, "number %zu", i);
		cr_assert_eq(vmb_packet_bytes(&p), 8 + (table[i].word & 0xffffffff));
	}
	cr_assert_eq(m.calls, 3u);
}

Test(gpadl_access, packets_that_name_no_memory)
{
	static const uint64_t raw[] = { VMB_RANGE(4096, 0), MEMORY_FIRST, 0, 0 };
	static const uint16_t kinds[] = { VMB_PKT_INBAND, VMB_PKT_COMPLETION, 0, 1, 8, 0xffff };
	struct vmb_list set = { raw, 2, 1 };
	struct vmb_packet p = { .kind = VMB_PKT_XFER, .list = { windows, 1, 1 } };
	uint64_t seed = 1;

	memory_reset(&m, &seed);
	windows[0] = VMB_RANGE(5, 5);
	cr_assert_eq(vmb_packet_read(&p, NULL, &m.mapper, 0, buffer, 1), VMB_EINVAL); /* a set is needed */
	set.ranges = 2;
	cr_assert_eq(vmb_packet_read(&p, &set, &m.mapper, 0, buffer, 1), VMB_EINVAL); /* that is a list */
	set.ranges = 1;
	p.list.ranges = 2; /* more windows than words */
	cr_assert_eq(vmb_packet_read(&p, &set, &m.mapper, 0, buffer, 1), VMB_EINVAL);
	cr_assert_eq(vmb_packet_bytes(&p), 0u);
	p.list = (struct vmb_list){ NULL, 1, 1 };
	cr_assert_eq(vmb_packet_read(&p, &set, &m.mapper, 0, buffer, 1), VMB_EINVAL);
	cr_assert_eq(vmb_packet_bytes(&p), 0u);
	cr_assert_eq(vmb_packet_bytes(NULL), 0u);
	cr_assert_eq(vmb_packet_read(NULL, &set, &m.mapper, 0, buffer, 1), VMB_EINVAL);
	p.list = (struct vmb_list){ windows, 1, 1 };
	cr_assert_eq(vmb_packet_read(&p, &set, NULL, 0, buffer, 1), VMB_EINVAL);
	cr_assert_eq(vmb_packet_read(&p, &set, &m.mapper, 0, NULL, 1), VMB_EINVAL);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		p.kind = kinds[i];
		cr_assert_eq(vmb_packet_bytes(&p), 0u);
		cr_assert_eq(vmb_packet_read(&p, &set, &m.mapper, 0, buffer, 1), VMB_EINVAL);
	}
	p = (struct vmb_packet){ .kind = VMB_PKT_GPA, .list = { raw, 1, 1 } }; /* no list */
	cr_assert_eq(vmb_packet_bytes(&p), 0u);
	cr_assert_eq(vmb_packet_read(&p, NULL, &m.mapper, 0, buffer, 1), VMB_EINVAL);
	cr_assert_eq(m.calls, 0u);
}
