/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Ring packets: the check of received descriptors, of packets to be sent, and their named fields. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/protocol/packet.h"
#include "test/vectors/vectors.h"

static uint32_t check(uint32_t kind, uint32_t data8, uint32_t len8, uint32_t flags, uint32_t avail, int loose)
{
	struct vmbi_descriptor d = { kind, data8, len8, flags };

	return vmbi_descriptor_check(&d, avail, loose);
}

Test(descriptor, word_is_taken_apart_and_put_together)
{
	struct vmbi_descriptor d = vmbi_descriptor_get(0xfff0123456789abcu);

	cr_assert_eq(d.kind, 0x9abc);
	cr_assert_eq(d.data8, 0x5678);
	cr_assert_eq(d.len8, 0x1234);
	cr_assert_eq(d.flags, 0xfff0);
	cr_assert_eq(vmbi_descriptor_put(d.kind, d.data8, d.len8, d.flags), 0xfff0123456789abcu);
}

/* ring.md 9.1 rules 5 and 6, and the rows of 9.2. */
Test(descriptor, rules)
{
	cr_assert_eq(check(6, 2, 2, 0, 24, 0), 0, "the smallest packet");
	cr_assert_eq(check(6, 2, 2, 0, 8, 0), VMB_R_LENGTH);
	cr_assert_eq(check(6, 2, 2, 0, 16, 0), VMB_R_LENGTH, "no footer");
	cr_assert_eq(check(6, 2, 0, 0, 64, 0), VMB_R_LENGTH);
	cr_assert_eq(check(6, 2, 1, 0, 64, 0), VMB_R_LENGTH);
	cr_assert_eq(check(6, 0, 3, 0, 64, 0), VMB_R_HEADER);
	cr_assert_eq(check(6, 1, 3, 0, 64, 0), VMB_R_HEADER);
	cr_assert_eq(check(6, 4, 3, 0, 64, 0), VMB_R_HEADER);
	cr_assert_eq(check(6, 3, 3, 0, 64, 0), 0);
	cr_assert_eq(check(6, 2, 4, 0, 32, 0), VMB_R_LENGTH, "footer missing");
	cr_assert_eq(check(6, 2, 4, 0, 40, 0), 0);
	cr_assert_eq(check(6, 2, 65535, 0, 524288, 0), 0);
	cr_assert_eq(check(6, 2, 65535, 0, 524287, 0), VMB_R_LENGTH);
	cr_assert_eq(check(6, 2, 3, 1, 64, 0), 0);
	for (uint32_t bit = 1; bit < 16; bit++) {
		cr_assert_eq(check(6, 2, 3, 1u << bit, 64, 0), VMB_R_FLAGS);
		cr_assert_eq(check(6, 2, 3, 1u << bit, 64, 1), 0);
	}
	for (uint32_t kind = 0; kind < 0x10000; kind++) {
		int known = kind == 6 || kind == 7 || kind == 9 || kind == 11;

		cr_assert_eq(check(kind, 3, 3, 0, 64, 0), known ? 0 : VMB_R_TYPE);
		cr_assert_eq(check(kind, 3, 3, 0, 64, 1), 0);
		cr_assert_eq(check(kind, 2, 3, 0, 64, 1), kind == 7 || kind == 9 ? VMB_R_HEADER : 0, "no room for the count");
		cr_assert_eq(check(kind, 3, 3, 0, 31, 1), VMB_R_LENGTH);
	}
}

static int head(uint16_t kind, uint16_t flags, uint32_t len, const uint64_t *words, uint32_t count, uint32_t ranges)
{
	struct vmb_packet p = { .kind = kind, .flags = flags, .len = len, .list = { words, count, ranges } };
	uint32_t bytes = 12345;
	int err = vmbi_packet_head(&p, &bytes);

	cr_assert_eq(err != 0, bytes == 12345, "written exactly if legal");
	return err ? err : (int)bytes;
}

Test(head, kinds_and_flags)
{
	static const uint64_t list[2] = { VMB_RANGE(16, 0), 5 };

	for (uint32_t kind = 0; kind < 0x10000; kind++)
		for (uint32_t flags = 0; flags < 4; flags++) {
			int plain = kind == 6 || (kind == 11 && !flags);

			cr_assert_eq(head((uint16_t)kind, (uint16_t)flags, 8, NULL, 0, 0), flags < 2 && plain ? 0 : VMB_EINVAL);
			cr_assert_eq(head((uint16_t)kind, (uint16_t)flags, 8, list, 2, 1), flags < 2 && kind == 9 ? 24 : VMB_EINVAL);
			cr_assert_eq(head((uint16_t)kind, (uint16_t)flags, 8, list, 1, 1), flags < 2 && kind == 7 ? 16 : VMB_EINVAL);
		}
	cr_assert_eq(head(6, VMB_PKT_LATE, 8, NULL, 0, 0), VMB_EINVAL);
	cr_assert_eq(head(6, 0, 8, list, 0, 1), VMB_EINVAL);
	cr_assert_eq(head(6, 0, 8, list, 2, 0), VMB_EINVAL);
}

Test(head, lists_are_walked_to_their_end)
{
	uint64_t w[8] = { VMB_RANGE(0x1800, 0xe00), 1, 2, 3, VMB_RANGE(1, 4095), 9, 1, 1 };

	cr_assert_eq(head(9, 1, 0, w, 6, 2), 56);
	cr_assert_eq(head(9, 1, 0, w, 4, 1), 40);
	cr_assert_eq(head(9, 1, 0, w, 5, 2), VMB_EINVAL, "a page is missing");
	cr_assert_eq(head(9, 1, 0, w, 4, 2), VMB_EINVAL, "a range is missing");
	cr_assert_eq(head(9, 1, 0, w, 7, 2), VMB_EINVAL, "a word is left over");
	cr_assert_eq(head(9, 1, 0, w, 6, 3), VMB_EINVAL);
	cr_assert_eq(head(9, 1, 0, w, 6, UINT32_MAX), VMB_EINVAL);
	cr_assert_eq(head(9, 1, 0, w, 6, 1), VMB_EINVAL);
	cr_assert_eq(head(9, 1, 0, NULL, 6, 2), VMB_EINVAL);
	cr_assert_eq(head(9, 1, 0, w, 6, 0), VMB_EINVAL);
	w[4] = VMB_RANGE(0, 4095);
	cr_assert_eq(head(9, 1, 0, w, 6, 2), VMB_EINVAL, "an empty range");
	w[4] = VMB_RANGE(1, 4096);
	cr_assert_eq(head(9, 1, 0, w, 7, 2), VMB_EINVAL, "an offset beyond the page");
	w[4] = VMB_RANGE(2, 4095);
	cr_assert_eq(head(9, 1, 0, w, 6, 2), VMB_EINVAL, "reaches into a second page");
	cr_assert_eq(head(9, 1, 0, w, 7, 2), 64);
	w[0] = VMB_RANGE(0xffffffff, 4095);
	cr_assert_eq(head(9, 1, 0, w, 2, 1), VMB_EINVAL, "32-bit sums would make this one page");

	w[0] = VMB_RANGE(0xffffffff, 0xffffffff);
	w[1] = VMB_RANGE(1, 0);
	cr_assert_eq(head(7, 1, 0, w, 2, 2), 24, "windows: any offset");
	cr_assert_eq(head(7, 1, 0, w, 2, 1), VMB_EINVAL);
	cr_assert_eq(head(7, 1, 0, w, 1, 2), VMB_EINVAL);
	w[1] = VMB_RANGE(0, 8);
	cr_assert_eq(head(7, 1, 0, w, 2, 2), VMB_EINVAL);
}

/* ring.md 4.4, 16.2 */
Test(head, length8_is_the_limit)
{
	static uint64_t words[65536];

	cr_assert_eq(head(6, 0, 524264, NULL, 0, 0), 0);
	cr_assert_eq(head(6, 0, 524265, NULL, 0, 0), VMB_ETOOBIG);
	cr_assert_eq(head(6, 0, UINT32_MAX, NULL, 0, 0), VMB_ETOOBIG);
	for (uint32_t i = 0; i < 65536; i++)
		words[i] = VMB_RANGE(1, i);
	cr_assert_eq(head(7, 0, 0, words, 65532, 65532), 524264);
	cr_assert_eq(head(7, 0, 1, words, 65532, 65532), VMB_ETOOBIG);
	cr_assert_eq(head(7, 0, 0, words, 65533, 65533), VMB_ETOOBIG);
}

/* Descriptor check, packet_head and total agree with the specification's packets. */
Test(head, ring_vectors)
{
	struct vectors *set = vectors_load("ring", 22);

	for (uint32_t i = 0; i < 22; i++)
		for (uint32_t k = 0; k < vector_parts(vectors_at(set, i)); k++) {
			const struct vector *v = vectors_at(set, i);
			uint64_t words[16] = { 0 };
			uint32_t len, bytes, head_len;
			const uint8_t *p = vector_part(v, k, &len);
			struct vmbi_descriptor d = vmbi_descriptor_get(vmbi_get64(p));
			struct vmb_packet packet = { .kind = (uint16_t)d.kind, .flags = (uint16_t)d.flags };

			cr_assert_eq(vmbi_descriptor_check(&d, len, 0), d.kind == 10 ? VMB_R_TYPE : 0, "%s", vector_name(v));
			cr_assert_eq(vmbi_descriptor_check(&d, len - 8, 1), VMB_R_LENGTH);
			if (d.kind == 10)
				continue;
			head_len = d.data8 * 8 - 16;
			packet.len = (uint32_t)vector_fact(v, "len", k);
			if (head_len) {
				packet.list = (struct vmb_list){ words, head_len / 8 - 1, vmbi_get32(p + 20) };
				for (uint32_t n = 0; n < packet.list.count; n++)
					words[n] = vmbi_get64(p + 24 + 8 * n);
			}
			cr_assert_eq(vmbi_packet_head(&packet, &bytes), 0, "%s", vector_name(v));
			cr_assert_eq(bytes, head_len);
			cr_assert_eq(vmbi_packet_total(bytes, packet.len), len);
		}
	vectors_free(set);
}

/* The fields of a packet as "name@offset+bytes=value ...", bytes without value; they must tile all of it up to length8. */
static char *describe(const uint8_t *p, uint32_t len, uint32_t end)
{
	static char text[1024];
	struct vmb_field f;
	uint32_t at = 0, n = 0;

	text[0] = '\0';
	for (uint32_t i = 0; vmb_packet_field(p, len, i, &f) == VMB_YES; i++) {
		cr_assert_eq(f.offset, at, "%s", f.name);
		at += f.bytes;
		if (f.offset >= 16)
			n += (uint32_t)snprintf(text + n, sizeof text - n, f.kind == VMB_FIELD_BYTES ? "%s%s@%u+%u" : "%s%s@%u+%u=%llx",
						n ? " " : "", f.name, f.offset, f.bytes, (unsigned long long)f.value);
	}
	cr_assert_eq(at, end);
	return text;
}

Test(packet_field, descriptor)
{
	static const uint8_t p[16] = { 0x0b, 0, 2, 0, 2, 0, 1, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11 };
	static const struct { const char *name; uint64_t value; } want[] = {
		{ "type", 11 }, { "data_offset8", 2 }, { "length8", 2 }, { "flags", 1 }, { "transaction_id", 0x1122334455667788 },
	};
	struct vmb_field f;

	for (uint32_t i = 0; i < 5; i++) {
		cr_assert_eq(vmb_packet_field(p, 16, i, &f), VMB_YES);
		cr_assert_str_eq(f.name, want[i].name);
		cr_assert_eq(f.value, want[i].value);
		cr_assert_eq(f.kind, VMB_FIELD_NUMBER);
	}
	cr_assert_eq(vmb_packet_field(p, 16, 5, &f), VMB_ENOENT);
	cr_assert_eq(vmb_packet_field(NULL, 16, 0, &f), VMB_EINVAL);
	cr_assert_eq(vmb_packet_field(p, 16, 0, NULL), VMB_EINVAL);
}

Test(packet_field, ring_vectors)
{
	static const struct { const char *name, *text; } want[] = {
		{ "TV-01", "" },
		{ "TV-03", "payload@16+16" },
		{ "TV-06", "reserved@16+4=0 range_count@20+4=1 range@24+8=10000000200 pfn@32+8=12345 payload@40+8" },
		{ "TV-08", "reserved@16+4=0 range_count@20+4=2 range@24+8=1000 pfn@32+8=abcde range@40+8=ff800000010 "
			   "pfn@48+8=1000000001 pfn@56+8=1000000002 payload@64+8" },
		{ "TV-09", "reserved@16+4=0 range_count@20+4=2 range@24+8=20000000e00 pfn@32+8=5000 range@40+8=200 pfn@48+8=5001" },
		{ "TV-10", "page_set@16+2=cafe sender_owns_set@18+1=0 reserved@19+1=0 range_count@20+4=2 range@24+8=5ea "
			   "range@32+8=200000000040 payload@40+24" },
		{ "TV-20", "" },
	};
	struct vectors *set = vectors_load("ring", 22);

	for (uint32_t i = 0; i < sizeof want / sizeof *want; i++) {
		uint32_t len;
		const uint8_t *p = vector_part(vectors_find(set, want[i].name), 0, &len);

		cr_assert_str_eq(describe(p, len, len - 8), want[i].text, "%s", want[i].name);
		cr_assert_str_eq(describe(p, len - 8, len - 8), want[i].text, "%s", want[i].name);
	}
	vectors_free(set);
}

Test(packet_field, device_vectors)
{
	static const struct { const char *name, *text; } want[] = {
		{ "HB-01", "payload@16+56" },
		{ "SV-03", "reserved@16+4=0 range_count@20+4=1 range@24+8=1000 pfn@32+8=12345 payload@40+64" },
		{ "NV-03", "reserved@16+4=0 range_count@20+4=1 range@24+8=8800000018 pfn@32+8=3c75 payload@40+40" },
		{ "NV-05", "page_set@16+2=cafe sender_owns_set@18+1=0 reserved@19+1=0 range_count@20+4=1 range@24+8=34 payload@32+40" },
	};
	struct vectors *set = vectors_load("devices", 12);

	for (uint32_t i = 0; i < sizeof want / sizeof *want; i++) {
		uint32_t len;
		const uint8_t *p = vector_part(vectors_find(set, want[i].name), 0, &len);

		cr_assert_str_eq(describe(p, len, len), want[i].text, "%s", want[i].name);
	}
	vectors_free(set);
}

/* ring.md 5.5 */
Test(packet_field, historic_types)
{
	uint8_t p[48] = { 0 };

	for (uint32_t i = 16; i < 48; i++)
		p[i] = (uint8_t)i;
	p[2] = p[4] = 3;
	p[0] = 2;
	cr_assert_str_eq(describe(p, 24, 24), "gpadl@16+4=13121110 page_set@20+2=1514 reserved@22+2=1716");
	p[0] = 3;
	cr_assert_str_eq(describe(p, 24, 24), "gpadl@16+4=13121110 page_set@20+2=1514 reserved@22+2=1716");
	p[0] = 5;
	cr_assert_str_eq(describe(p, 24, 24), "gpadl@16+4=13121110 reserved@20+4=17161514");
	p[4] = 4;
	p[0] = 8;
	cr_assert_str_eq(describe(p, 32, 32), "gpadl@16+4=13121110 reserved@20+4=17161514 payload@24+8");
	p[2] = 4;
	p[4] = 5;
	p[0] = 13;
	cr_assert_str_eq(describe(p, 48, 40), "total_bytes@16+8=1716151413121110 byte_offset@24+4=1b1a1918 byte_count@28+4=1f1e1d1c payload@32+8");
	p[0] = 4;
	p[2] = p[4] = 6;
	memcpy(p + 20, (uint8_t[]){ 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0 }, 20);
	cr_assert_str_eq(describe(p, 48, 48), "gpadl@16+4=13121110 range_count@20+4=1 range@24+8=1 pfn@32+8=77 unused@40+8=2f2e2d2c2b2a2928");
	p[0] = 1;
	cr_assert_str_eq(describe(p, 48, 48), "header@16+32", "no layout is known");
}

/* A descriptor that makes no sense, and a packet cut off anywhere: what is there is shown once. */
Test(packet_field, cut_off_and_absurd)
{
	uint8_t p[64] = { 9, 0, 5, 0, 6, 0, 1, 0 };

	p[20] = p[24] = 1;
	for (uint32_t len = 0; len <= 64; len++) {
		uint32_t end = len < 48 ? len : 48;

		describe(p, len, end);
	}
	p[2] = 0;
	cr_assert_str_eq(describe(p, 48, 48), "payload@16+32", "data_offset8 0");
	p[2] = p[3] = 0xff;
	cr_assert_str_eq(describe(p, 48, 48), "reserved@16+4=0 range_count@20+4=1 range@24+8=1 pfn@32+8=0 unused@40+8=0", "beyond the packet");
	p[4] = 0;
	cr_assert_str_eq(describe(p, 48, 16), "", "length8 0");
}
