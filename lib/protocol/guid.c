/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* GUIDs as text: the first three groups are little-endian numbers, the rest is bytes as printed. devices.md 1 */
#include "message.h"

#define GUID_TEXT 36u

/* Where the hexadecimal digits of each byte stand in the text. */
static const uint8_t guid_place[16] = { 6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34 };

static uint32_t guid_is_dash(uint32_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

static int guid_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int vmb_guid_parse(const char *text, struct vmb_guid *out)
{
	if (!text || !out)
		return VMB_EINVAL;
	for (uint32_t i = 0; i < GUID_TEXT; i++) /* stops at a terminating zero: it is no digit */
		if (guid_is_dash(i) ? text[i] != '-' : guid_digit(text[i]) < 0)
			return VMB_EINVAL;
	if (text[GUID_TEXT])
		return VMB_EINVAL;
	for (uint32_t i = 0; i < 16; i++) {
		const char *p = text + guid_place[i];

		out->byte[i] = (uint8_t)(guid_digit(p[0]) << 4 | guid_digit(p[1]));
	}
	return 0;
}

int vmb_guid_format(const struct vmb_guid *guid, char out[37])
{
	static const char digits[16] = { '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f' };

	if (!guid || !out)
		return VMB_EINVAL;
	VMBI_MEMSET(out, '-', GUID_TEXT);
	for (uint32_t i = 0; i < 16; i++) {
		out[guid_place[i]] = digits[guid->byte[i] >> 4];
		out[guid_place[i] + 1] = digits[guid->byte[i] & 15];
	}
	out[GUID_TEXT] = '\0';
	return 0;
}

int vmbi_guid_is_zero(const void *guid)
{
	static const struct vmb_guid zero;

	return !VMBI_MEMCMP(guid, &zero, sizeof zero);
}
