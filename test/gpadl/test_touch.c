/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Guest memory changes while it is looked at. The two files that touch it are compiled into this program with copy macros that
 * change each byte behind the reader's back: every byte is touched exactly once, and results come from the copy alone. ring.md
 * 9.1
 */
#include <stddef.h>
#include <stdint.h>

static void touch_out(void *dst, void *shared, size_t n);
static void touch_in(void *shared, const void *src, size_t n);
#define VMBI_COPY_OUT(dst, shared, n) touch_out(dst, shared, n)
#define VMBI_COPY_IN(shared, src, n) touch_in(shared, src, n)

#include "lib/gpadl/access.c"
#include "lib/gpadl/packet_memory.c"

#include <criterion/criterion.h>
#include <string.h>

#include "fixture.h"
#include "memory.h"

static struct memory m;
static uint8_t touched[MEMORY_BYTES];
static uint8_t buffer[MEMORY_BYTES], was[MEMORY_BYTES];
static uint64_t words[MEMORY_PAGES + 1];

static void touch(const uint8_t *shared, size_t n)
{
	cr_assert(shared >= m.lent && shared + n <= m.lent + MEMORY_BYTES);
	cr_assert_gt(m.out, 0u);
	for (size_t i = 0; i < n; i++)
		touched[(size_t)(shared - m.lent) + i]++;
}

static void touch_out(void *dst, void *shared, size_t n)
{
	uint8_t *byte = shared;

	touch(shared, n);
	memcpy(dst, shared, n);
	for (size_t i = 0; i < n; i++)
		byte[i] = (uint8_t)~byte[i];
}

static void touch_in(void *shared, const void *src, size_t n)
{
	uint8_t *byte = shared;

	touch(shared, n);
	memcpy(shared, src, n);
	for (size_t i = 0; i < n; i++)
		byte[i] = (uint8_t)~byte[i];
}

/* All pages of the memory, each once, backwards. */
static struct vmb_list all_pages(void)
{
	struct vmb_list list;
	uint64_t seed = 1;

	memory_new(&m);
	memory_reset(&m, &seed);
	memcpy(was, m.bytes, MEMORY_BYTES);
	memset(touched, 0, sizeof touched);
	words[0] = VMB_RANGE(MEMORY_BYTES, 0);
	for (uint32_t i = 0; i < MEMORY_PAGES; i++)
		words[1 + i] = MEMORY_FIRST + MEMORY_PAGES - 1 - i;
	cr_assert_eq(vmb_list_check(words, MEMORY_PAGES + 1, 1, &list, NULL), 0);
	return list;
}

/* Byte k of that list. */
static size_t at(size_t k)
{
	return (MEMORY_PAGES - 1 - k / VMB_PAGE) * VMB_PAGE + k % VMB_PAGE;
}

static void assert_touched(size_t first, size_t n, uint8_t times)
{
	for (size_t k = 0; k < MEMORY_BYTES; k++)
		cr_assert_eq(touched[at(k)], k >= first && k < first + n ? times : 0, "byte %zu: %u times", k, touched[at(k)]);
}

Test(gpadl_touch, read_copies_each_byte_once)
{
	struct vmb_list list = all_pages();

	cr_assert_eq(vmb_list_read(&list, &m.mapper, 100, buffer, MEMORY_BYTES - 300), 0);
	assert_touched(100, MEMORY_BYTES - 300, 1);
	for (size_t k = 100; k < MEMORY_BYTES - 200; k++)
		cr_assert_eq(buffer[k - 100], was[at(k)]);
}

Test(gpadl_touch, write_copies_each_byte_once)
{
	struct vmb_list list = all_pages();

	memset(buffer, 0x35, sizeof buffer);
	cr_assert_eq(vmb_list_write(&list, &m.mapper, 100, buffer, MEMORY_BYTES - 300), 0);
	assert_touched(100, MEMORY_BYTES - 300, 1);
	for (size_t k = 0; k < MEMORY_BYTES; k++)
		cr_assert_eq(m.bytes[at(k)], k >= 100 && k < MEMORY_BYTES - 200 ? (uint8_t)~0x35 : was[at(k)]);
}

Test(gpadl_touch, compare_looks_at_a_copy)
{
	struct vmb_list list = all_pages();

	for (size_t k = 0; k < MEMORY_BYTES; k++)
		buffer[k] = was[at(k)];
	cr_assert_eq(vmb_list_compare(&list, &m.mapper, 100, buffer + 100, MEMORY_BYTES - 300), 0);
	assert_touched(100, MEMORY_BYTES - 300, 1);
}

/* A difference ends it: nothing behind that piece is looked at, and it is never found equal by a second look. */
Test(gpadl_touch, compare_finds_what_was_there)
{
	static const size_t wrong[] = { 100, 101, 4095, 4096, 70000, MEMORY_BYTES - 201 };

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct vmb_list list = all_pages();
		size_t n = 0;

		for (size_t k = 0; k < MEMORY_BYTES; k++)
			buffer[k] = was[at(k)];
		buffer[wrong[i]] = (uint8_t)~buffer[wrong[i]]; /* what a second look would see */
		cr_assert_eq(vmb_list_compare(&list, &m.mapper, 100, buffer + 100, MEMORY_BYTES - 300), VMB_YES);
		while (100 + n < MEMORY_BYTES && touched[at(100 + n)])
			n++;
		assert_touched(100, n, 1);
		cr_assert(100 + n > wrong[i] && 100 + n <= wrong[i] + 512);
		memory_assert_balanced(&m);
	}
}

/* Windows over each other name the same bytes twice: then they are read twice, as two different bytes of the packet. */
Test(gpadl_touch, overlapping_windows)
{
	static const uint64_t windows[] = { VMB_RANGE(1000, 8000), VMB_RANGE(1000, 8000), VMB_RANGE(1, 8999) };
	struct vmb_list list = all_pages();
	struct vmb_packet p = { .kind = VMB_PKT_XFER, .list = { windows, 3, 3 } };

	cr_assert_eq(vmb_packet_read(&p, &list, &m.mapper, 0, buffer, 2000), 0);
	assert_touched(8000, 1000, 2);
	for (size_t k = 0; k < 1000; k++) {
		cr_assert_eq(buffer[k], was[at(8000 + k)]);
		cr_assert_eq(buffer[1000 + k], (uint8_t)~was[at(8000 + k)]);
	}
}
