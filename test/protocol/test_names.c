/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Versions, features, GUIDs, device classes, and everything that has a name. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

#include "lib/protocol/message.h"

Test(names, versions_are_the_eleven_in_order)
{
	static const uint32_t version[] = { /* control-plane.md 3 */
		0xd, 0x10001, 0x20004, 0x30000, 0x40000, 0x40001, 0x50000, 0x50001, 0x50002, 0x50003, 0x60000,
	};
	uint32_t n = 0;

	for (; vmb_version_at(n); n++) {
		cr_assert_lt(n, 11);
		cr_assert_eq(vmb_version_at(n), version[n]);
		cr_assert(vmbi_version_known(version[n]));
		cr_assert(!vmbi_version_known(version[n] + 7), "in-between versions do not exist");
	}
	cr_assert_eq(n, 11);
	cr_assert_eq(vmb_version_at(UINT32_MAX), 0);
	cr_assert(!vmbi_version_known(0));
	cr_assert(!vmbi_version_known(0x60001));
	cr_assert_eq((uint32_t)vmb_version(), VMB_VERSION);
}

Test(names, each_feature_bit_has_one)
{
	cr_assert_str_eq(vmb_feature_name(VMB_FEATURE_SIGNAL_PARAMETERS), "SIGNAL_PARAMETERS");
	cr_assert_str_eq(vmb_feature_name(VMB_FEATURE_REDIRECT), "REDIRECT");
	cr_assert_str_eq(vmb_feature_name(VMB_FEATURE_MODIFY_CONNECTION), "MODIFY_CONNECTION");
	cr_assert_str_eq(vmb_feature_name(VMB_FEATURE_CLIENT_ID), "CLIENT_ID");
	cr_assert_str_eq(vmb_feature_name(VMB_FEATURE_CONFIDENTIAL), "CONFIDENTIAL");
	cr_assert_str_eq(vmb_feature_name(VMB_FEATURE_PAUSE), "PAUSE");
	cr_assert_str_eq(vmb_feature_name(VMB_FEATURE_SERVER_MONITOR), "SERVER_MONITOR");
	cr_assert_str_eq(vmb_feature_name(VMB_FEATURE_PINNING), "PINNING");
	cr_assert_str_eq(vmb_feature_name(0), "?");
	cr_assert_str_eq(vmb_feature_name(3), "?", "two bits are no feature");
	for (uint32_t bit = 8; bit < 32; bit++)
		cr_assert_str_eq(vmb_feature_name(1u << bit), "?");
}

/* Every code has its own text, in its group; all others have the same. */
Test(names, every_error_has_a_text)
{
	static const int last[4] = { VMB_EFOREIGN, VMB_ETOOBIG, VMB_ETIMEDOUT, VMB_ELEAK };
	const char *unknown = vmb_strerror(-1000);
	uint32_t known = 0;

	for (int err = -1; err >= -255; err--) {
		int group = VMB_GROUP(err);
		int first = group ? -16 * group : -1;
		const char *text = vmb_strerror(err);

		cr_assert(*text && strlen(text) < 63, "%d", err);
		cr_assert_eq(strcmp(text, unknown) != 0, group < 4 && err <= first && err >= last[group], "%d", err);
		known += strcmp(text, unknown) != 0;
		for (int other = -1; other > err && text != unknown; other--)
			cr_assert_str_neq(vmb_strerror(other), text);
	}
	cr_assert_eq(known, 22);
	cr_assert_str_eq(vmb_strerror(0), vmb_strerror(VMB_YES | VMB_SIGNAL));
	cr_assert_str_eq(vmb_strerror(INT32_MIN), unknown);
}

Test(names, every_reason_has_a_text)
{
	for (uint32_t r = VMB_R_INDEX; r <= VMB_R_PAYLOAD; r++) {
		cr_assert_str_neq(vmb_reason_name(r), "?");
		cr_assert_lt(strlen(vmb_reason_name(r)), 48);
		for (uint32_t other = 1; other < r; other++)
			cr_assert_str_neq(vmb_reason_name(r), vmb_reason_name(other));
	}
	cr_assert_str_eq(vmb_reason_name(0), "?");
	cr_assert_str_eq(vmb_reason_name(VMB_R_PAYLOAD + 1), "?");
	cr_assert_str_eq(vmb_reason_name(UINT32_MAX), "?");
}

Test(names, messages_and_packets)
{
	cr_assert_str_eq(vmb_message_name(1), "OFFER_CHANNEL");
	cr_assert_str_eq(vmb_message_name(5), "OPEN_CHANNEL");
	cr_assert_str_eq(vmb_message_name(17), "UNLOAD_COMPLETE");
	cr_assert_str_eq(vmb_message_name(26), "MODIFY_CONNECTION_RESPONSE");
	cr_assert_str_eq(vmb_message_name(29), "RESUME");
	cr_assert_str_eq(vmb_message_name(0), "?");
	cr_assert_str_eq(vmb_message_name(30), "?");
	cr_assert_str_eq(vmb_message_name(UINT32_MAX), "?");

	cr_assert_str_eq(vmb_packet_name(VMB_PKT_INBAND), "INBAND");
	cr_assert_str_eq(vmb_packet_name(VMB_PKT_XFER), "XFER");
	cr_assert_str_eq(vmb_packet_name(VMB_PKT_GPA), "GPA");
	cr_assert_str_eq(vmb_packet_name(VMB_PKT_COMPLETION), "COMPLETION");
	cr_assert_str_eq(vmb_packet_name(10), "CANCEL");
	cr_assert_str_eq(vmb_packet_name(13), "ADDITIONAL_DATA");
	cr_assert_str_eq(vmb_packet_name(0), "?");
	cr_assert_str_eq(vmb_packet_name(14), "?");
	cr_assert_str_eq(vmb_packet_name(UINT32_MAX), "?");
}

Test(guid, text_is_mixed_endian)
{
	static const uint8_t wire[16] = { /* devices.md 1: the network class */
		0x63, 0x51, 0x61, 0xf8, 0x3e, 0xdf, 0xc5, 0x46, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e,
	};
	struct vmb_guid guid;
	char text[37];

	cr_assert_eq(vmb_guid_parse("f8615163-df3e-46c5-913f-f2d2f965ed0e", &guid), 0);
	cr_assert_arr_eq(guid.byte, wire, 16);
	cr_assert_eq(vmb_guid_parse("F8615163-DF3E-46C5-913F-F2D2F965ED0E", &guid), 0);
	cr_assert_arr_eq(guid.byte, wire, 16);
	cr_assert_eq(vmb_guid_format(&guid, text), 0);
	cr_assert_str_eq(text, "f8615163-df3e-46c5-913f-f2d2f965ed0e");
}

/* A good text cut off anywhere, or with any one character replaced by any other that is wrong there, is none. */
Test(guid, everything_else_is_refused)
{
	const char good[] = "00112233-4455-6677-8899-aabbccddeeff";
	struct vmb_guid guid = { { 1 } };
	char bad[64];

	for (uint32_t i = 0; i < 36; i++) {
		memcpy(bad, good, sizeof good);
		bad[i] = '\0';
		cr_assert_eq(vmb_guid_parse(bad, &guid), VMB_EINVAL, "cut at %u", i);
		for (int c = 1; c < 256; c++) {
			int right = good[i] == '-' ? c == '-' : isxdigit(c);

			bad[i] = (char)c;
			memcpy(bad + i + 1, good + i + 1, 36 - i);
			if (!right)
				cr_assert_eq(vmb_guid_parse(bad, &guid), VMB_EINVAL, "%d at %u", c, i);
		}
	}
	cr_assert_eq(guid.byte[0], 1, "nothing was written");
	cr_assert_eq(vmb_guid_parse("00112233-4455-6677-8899-aabbccddeeff ", &guid), VMB_EINVAL);
	cr_assert_eq(vmb_guid_parse("{0112233-4455-6677-8899-aabbccddeeff}", &guid), VMB_EINVAL);
	cr_assert_eq(vmb_guid_parse(NULL, &guid), VMB_EINVAL);
	cr_assert_eq(vmb_guid_parse(good, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_guid_format(NULL, bad), VMB_EINVAL);
	cr_assert_eq(vmb_guid_format(&guid, NULL), VMB_EINVAL);
}

Test(class, the_registry_names_each_class_once)
{
	static const struct { const char *text, *name; uint32_t pipe; } known[] = { /* devices.md 1, 2.1 */
		{ VMB_CLASS_NET, "net", 0 }, { VMB_CLASS_IDE, "ide", 0 }, { VMB_CLASS_SCSI, "scsi", 0 }, { VMB_CLASS_FC, "fc", 0 },
		{ VMB_CLASS_KEYBOARD, "keyboard", 0 }, { VMB_CLASS_MOUSE, "mouse", 1 }, { VMB_CLASS_VIDEO, "video", 1 },
		{ VMB_CLASS_HEARTBEAT, "heartbeat", 1 }, { VMB_CLASS_SHUTDOWN, "shutdown", 1 }, { VMB_CLASS_TIMESYNC, "timesync", 1 },
		{ VMB_CLASS_KVP, "kvp", 1 }, { VMB_CLASS_VSS, "vss", 1 }, { VMB_CLASS_FCOPY, "fcopy", 1 },
		{ VMB_CLASS_BALLOON, "balloon", 0 }, { VMB_CLASS_VPCI, "vpci", 0 },
		{ "00000800-facb-11e6-bd58-64006a7986d3", "hvsock", 1 }, { "12345678-facb-11e6-bd58-64006a7986d3", "hvsock", 1 },
		{ "c376c1c3-d276-48d2-90a9-c04748072c60", "vmbfs", 1 },
	};
	struct vmb_class row, found;
	struct vmb_guid guid;
	uint32_t n;

	for (n = 0; !vmb_class_at(n, &row); n++) {
		char text[37];

		cr_assert_eq(vmb_class_find(&row.guid, &found), 0);
		cr_assert_str_eq(found.name, row.name);
		cr_assert_eq(vmb_guid_format(&row.guid, text), 0);
		cr_assert_str_eq(text, row.text);
		cr_assert_lt(strlen(row.name), 14);
		for (uint32_t other = 0; other < n; other++) {
			cr_assert_eq(vmb_class_at(other, &found), 0);
			cr_assert_str_neq(found.name, row.name);
		}
	}
	cr_assert_eq(n, 21);
	cr_assert_eq(vmb_class_at(n, &row), VMB_ENOENT);
	cr_assert_eq(vmb_class_at(UINT32_MAX, &row), VMB_ENOENT);
	for (uint32_t i = 0; i < sizeof known / sizeof *known; i++) {
		cr_assert_eq(vmb_guid_parse(known[i].text, &guid), 0);
		cr_assert_eq(vmb_class_find(&guid, &found), 0, "%s", known[i].name);
		cr_assert_str_eq(found.name, known[i].name);
		cr_assert_eq(found.pipe, known[i].pipe);
	}
	guid.byte[15] ^= 1;
	cr_assert_eq(vmb_class_find(&guid, &found), VMB_ENOENT);
	cr_assert_eq(vmb_class_find(NULL, &found), VMB_EINVAL);
	cr_assert_eq(vmb_class_find(&guid, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_class_at(0, NULL), VMB_EINVAL);
}
