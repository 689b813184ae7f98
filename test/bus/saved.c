/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See saved.h. */
#include "saved.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmbus.h>

uint32_t saved_get(const struct saved *s, size_t at)
{
	const uint8_t *p = s->bytes + at;

	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void saved_put(struct saved *s, size_t at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		s->bytes[at + (size_t)i] = (uint8_t)(value >> 8 * i);
}

/* One bit after the other, as in the definition. */
void saved_fix(struct saved *s)
{
	uint32_t crc = 0xffffffffu;

	saved_put(s, 16, (uint32_t)s->n);
	saved_put(s, 20, 0);
	for (size_t i = 0; i < s->n; i++) {
		crc ^= s->bytes[i];
		for (int b = 0; b < 8; b++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	saved_put(s, 20, ~crc);
}

size_t saved_find(const struct saved *s, uint32_t type, uint32_t index)
{
	for (size_t at = SAVED_HEADER; at < s->n; at += 8 + (saved_get(s, at + 4) + 7) / 8 * 8)
		if ((saved_get(s, at) & 0xffff) == type && !index--)
			return at;
	return 0;
}

void saved_append(struct saved *s, uint32_t type, uint32_t flags, uint32_t length)
{
	saved_put(s, s->n, type | flags << 16);
	saved_put(s, s->n + 4, length);
	memset(s->bytes + s->n + 8, 0, (length + 7) / 8 * 8);
	s->n += 8 + (length + 7) / 8 * 8;
	saved_put(s, 24, saved_get(s, 24) + 1);
	saved_fix(s);
}

void saved_resize(struct saved *to, const struct saved *from, uint32_t type, int more)
{
	size_t at = saved_find(from, type, 0), end = at + 8 + saved_get(from, at + 4);

	cr_assert_neq(at, 0, "no record %u", type);
	*to = *from;
	saved_put(to, at + 4, (uint32_t)((int)saved_get(from, at + 4) + more));
	memset(to->bytes + end, 0, more > 0 ? (size_t)more : 0);
	to->n = (size_t)((ptrdiff_t)from->n + more);
	memcpy(to->bytes + end + more, from->bytes + end, from->n - end);
	saved_fix(to);
}

void saved_golden(const struct saved *s, const char *name)
{
	static uint8_t file[SAVED_ROOM];
	char path[128];
	FILE *f;
	size_t n;

	snprintf(path, sizeof path, "test/vectors/saved/%s", name);
	f = fopen(path, getenv("VMB_MAKE_GOLDEN") ? "w+b" : "rb");
	cr_assert_not_null(f, "%s", path);
	if (getenv("VMB_MAKE_GOLDEN")) {
		cr_assert_eq(fwrite(s->bytes, 1, s->n, f), s->n);
		rewind(f);
	}
	n = fread(file, 1, sizeof file, f);
	fclose(f);
	cr_assert_eq(n, s->n, "%s has %zu bytes, not %zu", path, n, s->n);
	cr_assert_eq(memcmp(file, s->bytes, n), 0, "%s", path);
}

static void damage_lengths(const struct saved *good, struct saved *bad, int (*load)(const void *bytes, size_t n))
{
	for (size_t n = 0; n < good->n; n++) {
		*bad = *good;
		bad->n = n;
		cr_assert_eq(load(bad->bytes, n), VMB_EINVAL, "%zu bytes", n);
		if (n < SAVED_HEADER)
			continue;
		saved_fix(bad);
		cr_assert_eq(load(bad->bytes, n), VMB_EINVAL, "%zu bytes, checksum right", n);
	}
	*bad = *good;
	cr_assert_eq(load(bad->bytes, good->n + 8), VMB_EINVAL);
	bad->n += 8;
	saved_fix(bad);
	cr_assert_eq(load(bad->bytes, bad->n), VMB_EINVAL);
}

static void judge(struct saved *bad, int (*load)(const void *bytes, size_t n), uint32_t loaded[2])
{
	int r;

	saved_fix(bad);
	r = load(bad->bytes, bad->n);
	cr_assert(r == 0 || r == VMB_EINVAL || r == VMB_EVERSION || r == VMB_ENOSPACE || r == VMB_EMAP || r == VMB_ESTATE, "result %d", r);
	loaded[r == 0]++;
}

void saved_damage(const struct saved *good, int (*load)(const void *bytes, size_t n))
{
	static struct saved bad;
	uint32_t random = 1, loaded[2] = { 0, 0 };

	damage_lengths(good, &bad, load);
	for (size_t bit = 0; bit < good->n * 8; bit++) {
		bad = *good;
		bad.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert_eq(load(bad.bytes, bad.n), VMB_EINVAL, "bit %zu", bit);
		if (bit % 5 == 0)
			judge(&bad, load, loaded);
	}
	for (uint32_t i = 0; i < 3000; i++) {
		bad = *good;
		for (uint32_t n = 1 + i % 3; n; n--) {
			size_t at;

			random = random * 1664525u + 1013904223u;
			at = SAVED_HEADER + (random >> 8) % (good->n - SAVED_HEADER);
			random = random * 1664525u + 1013904223u;
			bad.bytes[at] = (uint8_t)(random >> 28 < 8 ? random >> 24 & 7 : random >> 16);
		}
		judge(&bad, load, loaded);
	}
	cr_assert_gt(loaded[0], 500, "%u refused", loaded[0]);
	cr_assert_gt(loaded[1], 500, "%u loaded", loaded[1]); /* user data, counters, addresses: nothing says that they are wrong */
}
