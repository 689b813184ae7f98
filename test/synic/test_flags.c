/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Event flags, interrupt page and monitor bits: the examples of control-plane.md 23, and every bit. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/synic/synic.h"

struct page { _Alignas(4096) uint8_t bytes[4096]; };

static int only_bit(const struct page *p, uint32_t byte, uint32_t bit)
{
	for (uint32_t i = 0; i < sizeof p->bytes; i++)
		if (p->bytes[i] != (i == byte ? 1u << bit : 0))
			return 0;
	return 1;
}

Test(flags, event_flag_examples)
{
	static const struct { uint32_t flag, byte, bit; } want[] = { { 5, 0x200, 5 }, { 1025, 0x280, 1 }, { 2047, 0x2ff, 7 } };

	for (uint32_t i = 0; i < 3; i++) {
		struct page p = { { 0 } };

		cr_assert_eq(vmb_synic_set(p.bytes + 0x200, want[i].flag), VMB_YES);
		cr_assert(only_bit(&p, want[i].byte, want[i].bit));
		cr_assert_eq(vmb_synic_set(p.bytes + 0x200, want[i].flag), 0, "it was set");
		cr_assert(only_bit(&p, want[i].byte, want[i].bit));
	}
}

Test(flags, interrupt_page_example)
{
	struct page p = { { 0 } };

	cr_assert_eq(vmbi_flags_set(p.bytes, 9), 1);
	cr_assert(only_bit(&p, 1, 1));
	cr_assert_eq(vmbi_flags_set(p.bytes, 9), 0);
	cr_assert_eq(vmbi_flags_take(p.bytes, 0), 1u << 9);
	cr_assert_eq(vmbi_flags_set(p.bytes + VMBI_INTERRUPT_HALF, 9), 1);
	cr_assert(only_bit(&p, 0x801, 1));
}

Test(flags, monitor_examples)
{
	static const struct { uint32_t id, at, bit; } want[] = { { 0, 8, 0 }, { 3, 8, 3 }, { 33, 0x10, 1 }, { 127, 0x20, 31 } };

	for (uint32_t i = 0; i < 4; i++) {
		struct page p = { { 0 } };

		vmbi_monitor_set(p.bytes, want[i].id);
		vmbi_monitor_set(p.bytes, want[i].id);
		cr_assert(only_bit(&p, want[i].at + want[i].bit / 8, want[i].bit % 8), "id %u", want[i].id);
	}
}

/* Each flag: set, taken once, by its word and bit, with its neighbours left alone. */
Test(flags, every_flag_is_taken_once)
{
	struct page p = { { 0 } };

	for (uint32_t flag = 0; flag < 2048; flag++) {
		uint32_t w = flag / 32, other = (w + 1) % VMBI_FLAG_WORDS;

		cr_assert_eq(vmb_synic_set(p.bytes, other * 32 + 7), VMB_YES);
		cr_assert_eq(vmb_synic_set(p.bytes, flag), VMB_YES);
		cr_assert_eq(vmbi_flags_take(p.bytes, w), 1u << flag % 32);
		cr_assert_eq(vmbi_flags_take(p.bytes, w), 0);
		cr_assert_eq(vmbi_flags_take(p.bytes, other), 1u << 7);
	}
	cr_assert_eq(VMBI_FLAG_WORDS * 32, 2048);
}

Test(flags, arguments)
{
	struct page p = { { 0 } };

	cr_assert_eq(vmb_synic_set(p.bytes, 2048), VMB_EINVAL);
	cr_assert_eq(vmb_synic_set(p.bytes, UINT32_MAX), VMB_EINVAL);
	cr_assert_eq(vmb_synic_set(NULL, 1), VMB_EINVAL);
	for (uint32_t i = 0; i < 4096; i++)
		cr_assert_eq(p.bytes[i], 0);
}
