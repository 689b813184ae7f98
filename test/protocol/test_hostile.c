/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Every function over any bytes of any length: buffers are exactly as long as the call is told, so that a sanitizer sees one byte too
 * far, and what comes back is held against what must always be true. Seeded, so a failure repeats.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lib/protocol/message.h"
#include "lib/protocol/packet.h"

static uint64_t seed;

static uint32_t any(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

/* Random bytes on the heap, with a type that is often a known one and small numbers that are often plausible. */
static uint8_t *bytes_of(uint32_t len)
{
	uint8_t *p = malloc(len ? len : 1);

	cr_assert_not_null(p);
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(any(3) ? 0 : any(256));
	if (len >= 4 && any(8))
		vmbi_put32(p, any(34));
	return p;
}

static uint32_t some_version(void)
{
	return any(4) ? vmb_version_at(any(12)) : any(0x70000);
}

Test(hostile, message_functions)
{
	seed = 1;
	for (uint32_t round = 0; round < 60000; round++) {
		uint32_t len = any(260), version = some_version(), features = any(0x100), fields = 0;
		uint8_t *msg = bytes_of(len);
		struct vmb_field f;
		int to_host = (int)any(2);
		int gate = vmb_message_check(msg, len, version, features, to_host);

		cr_assert(gate == 0 || gate == VMB_EPEER || gate == VMB_EVERSION || gate == VMB_EINVAL);
		if (!gate)
			cr_assert_geq(len, 8);
		if (!gate && vmb_message_check(msg, len, version, features, !to_host) != VMB_EINVAL)
			cr_assert_fail("a message has one direction");
		while (vmb_message_field(msg, len, version, features, fields, &f) == VMB_YES) {
			cr_assert(f.bytes > 0 && f.offset + f.bytes <= len && f.name && f.name[0]);
			fields++;
		}
		cr_assert_leq(fields, 2 + 12 + 30);
		if (fields) {
			uint64_t value = (uint64_t)any(0x10000) << any(48);
			int err;

			vmb_message_field(msg, len, version, features, any(fields), &f);
			err = vmb_message_set(msg, len, version, features, f.name, value);
			cr_assert(err == 0 || err == VMB_EINVAL || err == VMB_ENOENT);
			if (!err && strcmp(f.name, "pfn") && strcmp(f.name, "range") && strcmp(f.name, "unused")) {
				uint64_t back = 0;

				for (uint32_t b = f.bytes; b--;)
					back = back << 8 | msg[f.offset + b];
				cr_assert_eq(back, value, "%s", f.name);
			}
		}
		free(msg);
	}
}

Test(hostile, numbers_without_a_message)
{
	uint8_t buf[VMB_MESSAGE_MAX];

	seed = 2;
	for (uint32_t round = 0; round < 200000; round++) {
		uint32_t type = any(2) ? any(32) : (uint32_t)seed, version = some_version(), features = (uint32_t)(seed >> 20);
		uint32_t room = any(VMB_MESSAGE_MAX + 1);
		int size = vmb_message_size(type, version, features);
		int made = vmb_message_init(buf, room, type, version, features);

		cr_assert(size == VMB_EINVAL || size == VMB_EVERSION || (size >= 8 && size <= 196));
		cr_assert_eq(made, size > (int)room ? VMB_ETOOSMALL : size);
		if (made > 0 && version >= VMB_V0_13 && type != VMBI_MSG_VERSION_RESPONSE)
			cr_assert(!vmb_message_check(buf, (uint32_t)made, version, features, 0) ||
				  !vmb_message_check(buf, (uint32_t)made, version, features, 1), "what init makes passes the gate");
		cr_assert(*vmb_message_name(type) && *vmb_packet_name(type) && *vmb_reason_name(type) && *vmb_feature_name(type) &&
			  *vmb_strerror((int)type));
	}
}

Test(hostile, packet_fields_tile)
{
	seed = 3;
	for (uint32_t round = 0; round < 30000; round++) {
		uint32_t len = any(200), at = 0, end;
		uint8_t *p = bytes_of(len);
		struct vmb_field f;

		if (len >= 8 && any(4)) {
			vmbi_put16(p, (uint16_t)any(18));
			vmbi_put16(p + 2, (uint16_t)any(12));
			vmbi_put16(p + 4, (uint16_t)any(30));
		}
		if (len >= 24 && any(2))
			vmbi_put32(p + 20, any(2) ? any(6) : UINT32_MAX);
		end = len < 16 ? len : vmbi_get16(p + 4) * 8u < 16 ? 16 : vmbi_get16(p + 4) * 8u;
		for (uint32_t i = 0; vmb_packet_field(p, len, i, &f) == VMB_YES; i++) {
			cr_assert_eq(f.offset, at);
			at += f.bytes;
		}
		cr_assert_eq(at, end < len ? end : len);
		free(p);
	}
}

/* What the checks let through is within bounds: the sums are done here in 64 bits. */
Test(hostile, descriptors_and_lists)
{
	seed = 4;
	for (uint32_t round = 0; round < 200000; round++) {
		uint32_t avail = any(600000), count = any(8), ranges = any(4), bytes;
		struct vmbi_descriptor d = { any(2) ? any(14) : any(65536), any(2) ? any(8) : any(65536), any(65536) >> any(16), any(4) };
		uint64_t *words = malloc(count ? count * sizeof *words : 1);
		struct vmb_packet p = { .kind = (uint16_t)(6 + any(6)), .flags = (uint16_t)any(2), .list = { words, count, ranges } };
		uint32_t why = vmbi_descriptor_check(&d, avail, (int)any(2));

		cr_assert_leq(why, VMB_R_FLAGS);
		if (!why)
			cr_assert(d.data8 >= 2 && d.data8 <= d.len8 && (uint64_t)d.len8 * 8 + 8 <= avail);
		cr_assert_not_null(words);
		for (uint32_t i = 0; i < count; i++)
			words[i] = any(3) ? VMB_RANGE(any(12000), any(4096)) : seed;
		if (!vmbi_packet_head(&p, &bytes)) {
			cr_assert_eq(bytes, p.kind == VMB_PKT_GPA || p.kind == VMB_PKT_XFER ? 8 + 8 * count : 0);
			cr_assert_eq(bytes > 0, ranges > 0);
		}
		free(words);
	}
}

Test(hostile, guid_text)
{
	static const char set[] = "0123456789abcdefABCDEF-g{";

	seed = 5;
	for (uint32_t round = 0; round < 100000; round++) {
		char text[64] = "00112233-4455-6677-8899-aabbccddeeff", again[37];
		struct vmb_guid guid;

		for (uint32_t n = any(4); n--;)
			text[any(40)] = set[any(sizeof set)];
		if (vmb_guid_parse(text, &guid))
			continue;
		cr_assert_eq(strlen(text), 36);
		cr_assert_eq(vmb_guid_format(&guid, again), 0);
		cr_assert_eq(strcasecmp(text, again), 0);
	}
}
