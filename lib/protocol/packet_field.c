/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Ring packets as named fields: descriptor, variable header, payload, of today's and of the historic types. ring.md 4, 5
 * The fields tile the packet: what the type does not explain before the payload is shown as "header".
 */
#include "packet.h"
#include "words.h"

static const char packet_names[][24] = {
	"?", "SYNCH", "ADD_XFER_SET", "REMOVE_XFER_SET", "ESTABLISH_GPADL", "TEARDOWN_GPADL", "INBAND", "XFER",
	"DATA_USING_GPADL", "GPA", "CANCEL", "COMPLETION", "DATA_USING_ADDITIONAL", "ADDITIONAL_DATA",
};

const char *vmb_packet_name(uint32_t kind)
{
	return packet_names[kind < sizeof packet_names / sizeof *packet_names ? kind : 0];
}

struct packet_row {
	char name[17];
	uint8_t offset, bytes;
	uint16_t kinds; /* bit n: packets of type n have it */
};

#define PACKET_EVERY 0xffffu /* also types above 15 */
#define PACKET_XFER (1u << VMB_PKT_XFER)
#define PACKET_GPA (1u << VMB_PKT_GPA)

static const struct packet_row packet_rows[] = { /* in the order of their offsets */
	{ "type", 0, 2, PACKET_EVERY },
	{ "data_offset8", 2, 2, PACKET_EVERY },
	{ "length8", 4, 2, PACKET_EVERY },
	{ "flags", 6, 2, PACKET_EVERY },
	{ "transaction_id", 8, 8, PACKET_EVERY },
	{ "page_set", 16, 2, PACKET_XFER },
	{ "sender_owns_set", 18, 1, PACKET_XFER },
	{ "reserved", 19, 1, PACKET_XFER },
	{ "reserved", 16, 4, PACKET_GPA },
	{ "gpadl", 16, 4, 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 8 },
	{ "total_bytes", 16, 8, 1u << 13 },
	{ "range_count", 20, 4, PACKET_XFER | PACKET_GPA | 1u << 4 },
	{ "page_set", 20, 2, 1u << 2 | 1u << 3 },
	{ "reserved", 22, 2, 1u << 2 | 1u << 3 },
	{ "reserved", 20, 4, 1u << 5 | 1u << 8 },
	{ "byte_offset", 24, 4, 1u << 13 },
	{ "byte_count", 28, 4, 1u << 13 },
};

#define PACKET_COUNT_AT 20u
#define PACKET_WORDS_AT 24u

/* Where header and payload end: by the descriptor as far as it makes sense, and never beyond len. */
static void packet_ends(const uint8_t *p, uint32_t len, uint32_t *head, uint32_t *end)
{
	*end = len;
	if (len >= VMBI_DESCRIPTOR) {
		uint32_t all = vmbi_get16(p + 4) * 8u;

		if (all < VMBI_DESCRIPTOR)
			all = VMBI_DESCRIPTOR;
		*end = len < all ? len : all;
		len = vmbi_get16(p + 2) * 8u;
		if (len < VMBI_DESCRIPTOR)
			len = VMBI_DESCRIPTOR;
	}
	*head = len < *end ? len : *end;
}

static struct vmbi_words packet_words(const uint8_t *p, uint32_t kinds, uint32_t head)
{
	struct vmbi_words w = { PACKET_WORDS_AT, 0, 0, kinds & PACKET_XFER ? VMBI_WORDS_RANGE : VMBI_WORDS_LIST };

	if (kinds & (PACKET_XFER | PACKET_GPA | 1u << 4) && head >= PACKET_WORDS_AT) {
		w.count = (head - PACKET_WORDS_AT) / 8;
		w.ranges = vmbi_get32(p + PACKET_COUNT_AT);
	}
	return w;
}

int vmb_packet_field(const void *packet, uint32_t len, uint32_t index, struct vmb_field *out)
{
	uint32_t head, end, done = 0, kinds;
	struct vmbi_words words;

	if (!packet || !out)
		return VMB_EINVAL;
	packet_ends(packet, len, &head, &end);
	kinds = len < 2 ? 0 : vmbi_get16(packet);
	kinds = kinds < 16 ? 1u << kinds : 0;
	for (uint32_t i = 0; i < sizeof packet_rows / sizeof *packet_rows; i++) {
		const struct packet_row *row = &packet_rows[i];

		if ((row->kinds != PACKET_EVERY && !(row->kinds & kinds)) || (uint32_t)row->offset + row->bytes > head)
			continue;
		done = (uint32_t)row->offset + row->bytes;
		if (index--)
			continue;
		*out = vmbi_field(packet, row->name, row->offset, row->bytes, VMB_FIELD_NUMBER);
		return VMB_YES;
	}
	words = packet_words(packet, kinds, head);
	if (index < words.count)
		return vmbi_words_field(packet, &words, index, out);
	index -= words.count;
	done += words.count * 8;
	if (done < head && !index--) {
		*out = vmbi_field(packet, "header", done, head - done, VMB_FIELD_BYTES);
		return VMB_YES;
	}
	if (head < end && !index) {
		*out = vmbi_field(packet, "payload", head, end - head, VMB_FIELD_BYTES);
		return VMB_YES;
	}
	return VMB_ENOENT;
}
