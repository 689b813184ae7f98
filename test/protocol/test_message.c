/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Sizes and the gate, for every type at every version: against the table of control-plane.md 2, written down here once more. */
#include <criterion/criterion.h>
#include <string.h>

#include "vmbus.h"

static const struct { uint32_t type, to_host, bytes, version, feature; } spec[] = {
	{ 1, 0, 190, 0xd, 0 },      { 2, 0, 12, 0xd, 0 },      { 3, 1, 8, 0xd, 0 },         { 4, 0, 8, 0xd, 0 },
	{ 5, 1, 148, 0xd, 0 },      { 6, 0, 20, 0xd, 0 },      { 7, 1, 12, 0xd, 0 },        { 8, 1, 20, 0xd, 0 },
	{ 9, 1, 16, 0xd, 0 },       { 10, 0, 20, 0xd, 0 },     { 11, 1, 16, 0xd, 0 },       { 12, 0, 12, 0xd, 0 },
	{ 13, 1, 12, 0xd, 0 },      { 14, 1, 40, 0, 0 },       { 15, 0, 16, 0, 0 },         { 16, 1, 8, 0xd, 0 },
	{ 17, 0, 8, 0x10001, 0 },   { 18, 1, 28, 0x40000, 0 }, { 19, 1, 20, 0x40000, 0 },   { 20, 0, 12, 0x40000, 0 },
	{ 21, 1, 40, 0x40000, 0 },  { 22, 1, 16, 0x40001, 0 }, { 23, 0, 44, 0x40001, 0 },   { 24, 0, 16, 0x50003, 0 },
	{ 25, 1, 24, 0x60000, 4 },  { 26, 0, 9, 0x60000, 4 },  { 27, 1, 8, 0x60000, 0x20 }, { 28, 0, 8, 0x60000, 0x20 },
	{ 29, 1, 8, 0x60000, 0x20 },
};

#define TYPES 29u

static int exists(uint32_t i, uint32_t version, uint32_t features)
{
	return version >= spec[i].version && (!spec[i].feature || features & spec[i].feature);
}

/* What a sender uses; *least: what a receiver needs. */
static uint32_t form(uint32_t i, uint32_t version, uint32_t features, uint32_t *least)
{
	uint32_t bytes = spec[i].bytes;

	if (version < 0x60000)
		features = 0;
	if (spec[i].type == 1 && version >= 0x10001)
		bytes = 196;
	if (spec[i].type == 5 && features & 3)
		bytes = 156;
	if (spec[i].type == 14 && features & 8)
		bytes = 56;
	if (spec[i].type == 15 && version >= 0x60000)
		bytes = features & 0x40 ? 40 : 20;
	*least = bytes;
	if (spec[i].type == 21 && version >= 0x50002)
		bytes = 56;
	return bytes;
}

static void put(uint8_t *p, uint32_t v)
{
	for (uint32_t i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

Test(message, sizes_are_those_of_a_sender)
{
	for (uint32_t n = 0; vmb_version_at(n); n++)
		for (uint32_t features = 0; features < 0x100; features++)
			for (uint32_t i = 0; i < TYPES; i++) {
				uint32_t version = vmb_version_at(n), least;
				int size = vmb_message_size(spec[i].type, version, features);
				int in_set = version >= 0x60000 ? exists(i, version, features) : exists(i, version, 0);

				cr_assert_eq(size, in_set ? (int)form(i, version, features, &least) : VMB_EVERSION, "type %u at %x/%x: %d",
					     spec[i].type, version, features, size);
			}
	cr_assert_eq(vmb_message_size(0, VMB_V6_0, 0xff), VMB_EINVAL);
	cr_assert_eq(vmb_message_size(30, VMB_V6_0, 0xff), VMB_EINVAL);
	cr_assert_eq(vmb_message_size(UINT32_MAX, VMB_V6_0, 0xff), VMB_EINVAL);
}

Test(message, init_writes_the_header_and_zeros_and_nothing_beyond)
{
	uint8_t buf[VMB_MESSAGE_MAX], zero[VMB_MESSAGE_MAX] = { 0 };

	for (uint32_t i = 0; i < TYPES; i++) {
		uint32_t size = (uint32_t)vmb_message_size(spec[i].type, VMB_V6_0, 0xff);

		memset(buf, 0xa5, sizeof buf);
		cr_assert_eq(vmb_message_init(buf, size - 1, spec[i].type, VMB_V6_0, 0xff), VMB_ETOOSMALL);
		cr_assert_eq(buf[0], 0xa5);
		cr_assert_eq(vmb_message_init(buf, size, spec[i].type, VMB_V6_0, 0xff), (int)size);
		cr_assert_eq(buf[0], spec[i].type);
		cr_assert_arr_eq(buf + 1, zero, size - 1);
		cr_assert_eq(size == VMB_MESSAGE_MAX || buf[size] == 0xa5, 1);
	}
	cr_assert_eq(vmb_message_init(NULL, 240, 5, VMB_V6_0, 0), VMB_EINVAL);
	cr_assert_eq(vmb_message_init(buf, 240, 30, VMB_V6_0, 0), VMB_EINVAL);
	cr_assert_eq(vmb_message_init(buf, 240, 22, VMB_V4_0, 0), VMB_EVERSION);
}

/* Every type, version, direction, and length around the least. */
Test(message, the_gate)
{
	static const uint32_t sets[] = { 0, 1, 2, 4, 8, 0x20, 0x40, 0xff };
	uint8_t msg[VMB_MESSAGE_MAX + 1] = { 0 };

	for (uint32_t n = 0; vmb_version_at(n); n++)
		for (uint32_t s = 0; s < sizeof sets / sizeof *sets; s++)
			for (uint32_t i = 0; i < TYPES; i++) {
				uint32_t version = vmb_version_at(n), features = sets[s], least, to_host = spec[i].to_host;
				int ok = exists(i, version, version >= 0x60000 ? features : 0) ? 0 : VMB_EVERSION;

				form(i, version, features, &least);
				memset(msg, 0, sizeof msg);
				put(msg, spec[i].type);
				if (spec[i].type == 14) { /* what contact asks for is in it */
					put(msg + 8, version);
					put(msg + 20, features);
				}
				if (spec[i].type == 15) {
					msg[8] = 1;
					put(msg + 16, features);
				}
				cr_assert_eq(vmb_message_check(msg, least, version, features, (int)to_host), ok, "type %u at %x/%x",
					     spec[i].type, version, features);
				cr_assert_eq(vmb_message_check(msg, least - 1, version, features, (int)to_host),
					     least > 8 && ok ? ok : VMB_EPEER, "type %u at %x/%x", spec[i].type, version, features);
				cr_assert_eq(vmb_message_check(msg, 240, version, features, (int)to_host), ok, "trailing bytes");
				cr_assert_eq(vmb_message_check(msg, 241, version, features, (int)to_host), VMB_EPEER);
				cr_assert_eq(vmb_message_check(msg, 240, version, features, !to_host), VMB_EINVAL);
			}
}

Test(message, what_is_no_message)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 0 };

	cr_assert_eq(vmb_message_check(msg, 240, VMB_V6_0, 0xff, 0), VMB_EPEER, "type 0");
	put(msg, 30);
	cr_assert_eq(vmb_message_check(msg, 240, VMB_V6_0, 0xff, 0), VMB_EPEER);
	put(msg, 0x80000003);
	cr_assert_eq(vmb_message_check(msg, 240, VMB_V6_0, 0xff, 1), VMB_EPEER);
	put(msg, 3);
	cr_assert_eq(vmb_message_check(msg, 8, VMB_V6_0, 0, 1), 0);
	cr_assert_eq(vmb_message_check(msg, 7, VMB_V6_0, 0, 1), VMB_EPEER);
	cr_assert_eq(vmb_message_check(msg, 0, VMB_V6_0, 0, 1), VMB_EPEER);
	cr_assert_eq(vmb_message_check(NULL, 8, VMB_V6_0, 0, 1), VMB_EINVAL);
}

/* control-plane.md 10.5, 17.1 */
Test(message, without_a_connection_only_contact_and_reserved_close)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 0 };

	for (uint32_t i = 0; i < TYPES; i++) {
		uint32_t t = spec[i].type;

		put(msg, t);
		cr_assert_eq(vmb_message_check(msg, 240, 0, 0xff, (int)spec[i].to_host),
			     t == 14 || t == 15 || t == 19 || t == 20 ? 0 : VMB_EVERSION, "type %u", t);
	}
}

Test(message, contact_is_measured_by_what_it_asks_for)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 14 };

	put(msg + 8, 0x60000);
	put(msg + 20, 8);
	cr_assert_eq(vmb_message_check(msg, 55, 0, 0, 1), VMB_EPEER, "control-plane.md 7.2 step 4");
	cr_assert_eq(vmb_message_check(msg, 56, 0, 0, 1), 0);
	put(msg + 8, 0x70000);
	cr_assert_eq(vmb_message_check(msg, 55, VMB_V3_0, 0, 1), VMB_EPEER, "a number above the known ones");
	put(msg + 8, 0x50003);
	cr_assert_eq(vmb_message_check(msg, 40, 0, 0, 1), 0, "below 6.0 these bytes are no features");
	cr_assert_eq(vmb_message_check(msg, 39, 0, 0, 1), VMB_EPEER);
}

/* control-plane.md 6.10 */
Test(message, response_is_measured_by_what_was_asked_and_granted)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 15 };

	cr_assert_eq(vmb_message_check(msg, 16, VMB_V6_0, 0x6f, 0), 0, "unsupported has 16");
	msg[8] = 1;
	cr_assert_eq(vmb_message_check(msg, 19, VMB_V6_0, 0x6f, 0), VMB_EPEER);
	cr_assert_eq(vmb_message_check(msg, 20, VMB_V6_0, 0x6f, 0), 0, "0x40 asked, not granted");
	put(msg + 16, 0x40);
	cr_assert_eq(vmb_message_check(msg, 39, VMB_V6_0, 0x6f, 0), VMB_EPEER);
	cr_assert_eq(vmb_message_check(msg, 40, VMB_V6_0, 0x6f, 0), 0);
	cr_assert_eq(vmb_message_check(msg, 20, VMB_V6_0, 0x2f, 0), 0, "0x40 granted, not asked");
	cr_assert_eq(vmb_message_check(msg, 16, VMB_V5_3, 0x6f, 0), 0);
	cr_assert_eq(vmb_message_check(msg, 15, VMB_V5_3, 0x6f, 0), VMB_EPEER);
}
