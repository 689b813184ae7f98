/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The guest's side of a GPADL: one list as header and bodies. Messages are as long as their data, never padded. gpadl.md 2, 4 */
#include "gpadl.h"
#include "../protocol/message.h"

uint32_t vmbi_gpadl_messages(uint32_t words)
{
	if (words <= VMBI_GPADL_HEADER_WORDS)
		return 1;
	return 1 + (words - VMBI_GPADL_HEADER_WORDS + VMBI_GPADL_BODY_WORDS - 1) / VMBI_GPADL_BODY_WORDS;
}

uint32_t vmbi_gpadl_message(uint8_t out[VMB_MESSAGE_MAX], uint32_t k, uint32_t channel_id, uint32_t gpadl_id,
			    const uint64_t *words, uint32_t count, uint32_t ranges)
{
	uint32_t data = k ? VMBI_GPADL_BODY_DATA : VMBI_GPADL_HEADER_DATA;
	uint32_t first = k ? VMBI_GPADL_HEADER_WORDS + (k - 1) * VMBI_GPADL_BODY_WORDS : 0;
	uint32_t n = k ? VMBI_GPADL_BODY_WORDS : VMBI_GPADL_HEADER_WORDS;

	if (n > count - first)
		n = count - first;
	VMBI_MEMSET(out, 0, data);
	vmbi_put32(out, k ? VMBI_MSG_GPADL_BODY : VMBI_MSG_GPADL_HEADER);
	if (k) {
		vmbi_put32(out + VMBI_AT(GPADL_BODY, gpadl_id), gpadl_id); /* message_number stays 0, as from everyone */
	} else {
		vmbi_put32(out + VMBI_AT(GPADL_HEADER, channel_id), channel_id);
		vmbi_put32(out + VMBI_AT(GPADL_HEADER, gpadl_id), gpadl_id);
		vmbi_put16(out + VMBI_AT(GPADL_HEADER, range_buflen), (uint16_t)(count * 8));
		vmbi_put16(out + VMBI_AT(GPADL_HEADER, range_count), (uint16_t)ranges);
	}
	for (uint32_t i = 0; i < n; i++)
		vmbi_put64(out + data + i * 8, words[first + i]);
	return data + n * 8;
}
