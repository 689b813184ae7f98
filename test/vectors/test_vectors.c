/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The vector files themselves: all there, and as consistent as the specification says, checked without a line of the library. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

#include "test/vectors/vectors.h"

static uint64_t le(const uint8_t *p, uint32_t bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

Test(vectors, control_messages_are_numbered_1_to_45)
{
	struct vectors *set = vectors_load("control-plane", 45);

	for (uint32_t i = 0; i < 45; i++) {
		const struct vector *v = vectors_at(set, i);
		char name[16];
		uint32_t len;
		const uint8_t *bytes = vector_part(v, 0, &len);

		snprintf(name, sizeof name, "CP-%02u", i + 1);
		cr_assert_str_eq(vector_name(v), name);
		cr_assert_eq(vector_parts(v), 1);
		cr_assert_eq(vector_has(v, "type"), i < 42, "%s", name);
		if (i < 42)
			cr_assert_eq(le(bytes, 4), vector_fact(v, "type", 0), "%s", name);
	}
	vectors_free(set);
}

Test(vectors, gpadl_messages_are_numbered_1_to_19)
{
	static const uint32_t lengths[19][3] = { /* gpadl.md 11 */
		{ 36 }, { 60 }, { 44 }, { 60 }, { 236 }, { 236, 24 }, { 236, 240, 24 }, { 20 }, { 20 }, { 16 }, { 12 },
		{ 36 }, { 36 }, { 36 }, { 36 }, { 20 }, { 36 }, { 240 }, { 44 },
	};
	struct vectors *set = vectors_load("gpadl", 19);

	for (uint32_t i = 0; i < 19; i++) {
		const struct vector *v = vectors_at(set, i);
		char name[16];

		snprintf(name, sizeof name, "GP-%02u", i + 1);
		cr_assert_str_eq(vector_name(v), name);
		for (uint32_t k = 0; k < 3 && lengths[i][k]; k++) {
			uint32_t len;
			const uint8_t *bytes = vector_part(v, k, &len);

			cr_assert_eq(len, lengths[i][k], "%s", name);
			if (vector_has(v, "accept"))
				cr_assert_eq(le(bytes, 4), k ? 9 : 8, "%s", name);
		}
	}
	vectors_free(set);
}

/* length8, footer and indexes agree: ring.md 4. */
Test(vectors, ring_packets_end_where_they_say)
{
	struct vectors *set = vectors_load("ring", 22);
	uint32_t packets = 0;

	for (uint32_t i = 0; i < 22; i++) {
		const struct vector *v = vectors_at(set, i);
		uint64_t at = vector_fact(v, "in", 0), ring = vector_fact(v, "ring", 0);

		for (uint32_t k = 0; k < vector_parts(v); k++) {
			uint32_t len;
			const uint8_t *p = vector_part(v, k, &len);
			uint64_t head = le(p + 2, 2) * 8, payload = vector_fact(v, "len", k);

			cr_assert_eq(le(p + 4, 2) * 8 + 8, len, "%s", vector_name(v));
			cr_assert_eq(head + (payload + 7) / 8 * 8 + 8, len, "%s", vector_name(v));
			for (uint64_t pad = head + payload; pad < len - 8; pad++)
				cr_assert_eq(p[pad], 0);
			cr_assert_eq(le(p + len - 8, 8), at << 32, "%s", vector_name(v));
			at = (at + len) % ring;
			packets++;
		}
		cr_assert_eq(at, vector_fact(v, "after", 0), "%s", vector_name(v));
	}
	cr_assert_eq(packets, 23);
	vectors_free(set);
}

Test(vectors, device_packets_have_their_length)
{
	struct vectors *set = vectors_load("devices", 12);

	for (uint32_t i = 0; i < 12; i++) {
		uint32_t len;
		const uint8_t *p = vector_part(vectors_at(set, i), 0, &len);

		cr_assert_eq(le(p + 4, 2) * 8, len, "%s", vector_name(vectors_at(set, i)));
	}
	vectors_free(set);
}

Test(vectors, hexadecimal_bytes)
{
	uint8_t out[4];

	cr_assert_eq(vector_hex("00 fF 7a", out, 4), 3);
	cr_assert_eq(out[1], 0xff);
	cr_assert_eq(out[2], 0x7a);
}

Test(vectors, a_wrong_number_of_vectors_ends_the_program, .signal = SIGABRT)
{
	vectors_load("platform", 3);
}

Test(vectors, an_unknown_name_ends_the_program, .signal = SIGABRT)
{
	vectors_find(vectors_load("platform", 2), "PV-03");
}
