/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Control messages as named fields: the vectors built and read by name, and the tables held against control-plane.md 6. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

#include "lib/protocol/message.h"
#include "test/vectors/vectors.h"

/* One message as this test builds and reads it. */
struct message {
	uint8_t bytes[VMB_MESSAGE_MAX];
	uint32_t len, version, features;
};

static int field_at(const struct message *m, uint32_t index, struct vmb_field *f)
{
	return vmb_message_field(m->bytes, m->len, m->version, m->features, index, f);
}

static int field_called(const struct message *m, const char *name, struct vmb_field *f)
{
	for (uint32_t i = 0; field_at(m, i, f) == VMB_YES; i++)
		if (!strcmp(f->name, name))
			return 1;
	return 0;
}

static uint64_t le(const uint8_t *p, uint32_t bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

/* Write the value of a vector's field into the message; `f` is that field. */
static void set_from_text(struct message *m, const char *name, const char *value, struct vmb_field *f)
{
	struct vmb_guid guid;

	cr_assert(field_called(m, name, f), "no field %s", name);
	if (f->kind == VMB_FIELD_GUID) {
		cr_assert_eq(vmb_guid_parse(value, &guid), 0);
		memcpy(m->bytes + f->offset, guid.byte, 16);
	} else if (f->kind == VMB_FIELD_BYTES) {
		vector_hex(value, m->bytes + f->offset, f->bytes);
	} else {
		cr_assert_eq(vmb_message_set(m->bytes, m->len, m->version, m->features, name, strtoull(value, NULL, 0)), 0);
	}
}

/* The vector's bytes read back: the fields it names have those values, all other numbers are 0. */
static void read_back(const struct vector *v, const struct message *m)
{
	struct vmb_field f;

	for (uint32_t i = 1; field_at(m, i, &f) == VMB_YES; i++) {
		const char *name, *value = NULL;
		uint64_t want;

		for (uint32_t n = 0; vector_field(v, n, &name, &value) && strcmp(name, f.name); n++)
			value = NULL;
		want = value && f.kind != VMB_FIELD_GUID && f.kind != VMB_FIELD_BYTES ? strtoull(value, NULL, 0) : 0;
		cr_assert_eq(f.value, want, "%s: %s", vector_name(v), f.name);
	}
}

Test(field, control_vectors_are_built_and_read_by_name)
{
	struct vectors *set = vectors_load("control-plane", 45);
	uint32_t built = 0;

	for (uint32_t i = 0; i < 45; i++) {
		const struct vector *v = vectors_at(set, i);
		struct message m = { .len = 0 };
		const char *name, *value;
		struct vmb_field f;
		uint32_t len;
		const uint8_t *bytes = vector_part(v, 0, &len);
		int size;

		if (!vector_has(v, "type"))
			continue;
		m.version = (uint32_t)vector_fact(v, "version", 0);
		m.features = (uint32_t)vector_fact(v, "features", 0);
		size = vmb_message_init(m.bytes, sizeof m.bytes, (uint32_t)vector_fact(v, "type", 0), m.version, m.features);
		cr_assert_eq(size, (int)len, "%s", vector_name(v));
		m.len = len;
		for (uint32_t n = 0; vector_field(v, n, &name, &value); n++)
			set_from_text(&m, name, value, &f);
		cr_assert_arr_eq(m.bytes, bytes, len, "%s", vector_name(v));
		read_back(v, &m);
		cr_assert_eq(vmb_message_check(bytes, len, m.version, m.features, 0) == 0 ||
			     vmb_message_check(bytes, len, m.version, m.features, 1) == 0, 1, "%s", vector_name(v));
		built++;
	}
	cr_assert_eq(built, 42);
	vectors_free(set);
}

/* Without knowledge of the connection the length tells. */
Test(field, control_vectors_read_alike_by_length)
{
	struct vectors *set = vectors_load("control-plane", 45);

	for (uint32_t i = 0; i < 42; i++) {
		const struct vector *v = vectors_at(set, i);
		struct message m = { .version = 0 };
		const uint8_t *bytes = vector_part(v, 0, &m.len);

		memcpy(m.bytes, bytes, m.len);
		read_back(v, &m);
	}
	vectors_free(set);
}

/* Bytes that belong to no field in this form: reserved ones, and what the form does not define. control-plane.md 6 */
static int is_gap(uint32_t type, uint32_t version, uint32_t features, uint32_t at)
{
	switch (type) {
	case 1:
		return at >= 40 && at < 56;
	case 5:
		return (at >= 148 && at < 154 && !(features & 1)) || (at >= 154 && !(features & 2));
	case 14:
		return (at == 17 && version == VMB_V5_0) || (at >= 18 && at < 20 && version >= VMB_V5_0) ||
		       (at >= 20 && at < 24 && version >= VMB_V5_0 && version < VMB_V6_0);
	case 15:
		return (at >= 10 && at < 12) || (at >= 20 && at < 24);
	default:
		return 0;
	}
}

/* In every form of every message each byte lies in exactly one field, or in one of the gaps. */
Test(field, tables_tile_every_form)
{
	static const uint32_t sets[] = { 0, 1, 2, 3, 4, 8, 0x20, 0x40, 0x6f, 0xff };
	uint32_t forms = 0;

	for (uint32_t n = 0; vmb_version_at(n); n++)
		for (uint32_t s = 0; s < sizeof sets / sizeof *sets; s++)
			for (uint32_t type = 1; type < 30; type++) {
				struct message m = { .version = vmb_version_at(n), .features = vmb_version_at(n) < VMB_V6_0 ? 0 : sets[s] };
				uint8_t owners[VMB_MESSAGE_MAX] = { 0 };
				struct vmb_field f;
				int size = vmb_message_init(m.bytes, sizeof m.bytes, type, m.version, m.features);

				if (size < 0)
					continue;
				m.len = (uint32_t)size;
				for (uint32_t i = 0; field_at(&m, i, &f) == VMB_YES; i++) {
					cr_assert_leq(f.offset + f.bytes, m.len);
					for (uint32_t b = 0; b < f.bytes; b++)
						owners[f.offset + b]++;
				}
				for (uint32_t b = 0; b < m.len; b++)
					cr_assert_eq(owners[b], !is_gap(type, m.version, m.features, b), "%s at %x/%x: byte %u",
						     vmb_message_name(type), m.version, m.features, b);
				forms++;
			}
	cr_assert_gt(forms, 2000);
}

/* Each number of each message of 6.0: set by name, it is where the field says, and reads back; one too large is refused. */
Test(field, numbers_are_set_where_they_are_read)
{
	uint32_t numbers = 0;

	for (uint32_t type = 1; type < 30; type++) {
		struct message m = { .version = VMB_V6_0, .features = 0xff };
		struct vmb_field f, again;

		m.len = (uint32_t)vmb_message_init(m.bytes, sizeof m.bytes, type, m.version, m.features);
		for (uint32_t i = 1; field_at(&m, i, &f) == VMB_YES; i++) {
			uint64_t value = 0xa1b2c3d4e5f60718u >> (64 - 8 * (f.bytes < 8 ? f.bytes : 8));
			uint8_t before[VMB_MESSAGE_MAX];

			if (f.kind == VMB_FIELD_GUID || f.kind == VMB_FIELD_BYTES) {
				cr_assert_eq(vmb_message_set(m.bytes, m.len, m.version, m.features, f.name, 0), VMB_ENOENT, "%s", f.name);
				continue;
			}
			if (type == 14 && !strcmp(f.name, "version"))
				value = VMB_V6_0; /* picks the form of what follows */
			if (type == 14 && !strcmp(f.name, "feature_flags"))
				value = 0xff;
			if (f.bytes < 8)
				cr_assert_eq(vmb_message_set(m.bytes, m.len, m.version, m.features, f.name, 1ull << (8 * f.bytes)), VMB_EINVAL);
			memcpy(before, m.bytes, sizeof before);
			cr_assert_eq(vmb_message_set(m.bytes, m.len, m.version, m.features, f.name, value), 0);
			cr_assert_eq(le(m.bytes + f.offset, f.bytes), value, "%s.%s", vmb_message_name(type), f.name);
			memcpy(before + f.offset, m.bytes + f.offset, f.bytes);
			cr_assert_arr_eq(m.bytes, before, m.len, "%s.%s: another byte changed", vmb_message_name(type), f.name);
			cr_assert_eq(field_at(&m, i, &again), VMB_YES);
			cr_assert_eq(again.value, value);
			numbers++;
		}
	}
	cr_assert_gt(numbers, 80);
}

Test(field, names_are_whole_and_unique_in_a_message)
{
	for (uint32_t type = 1; type < 30; type++) {
		struct message m = { .version = VMB_V6_0, .features = 0xff };
		struct vmb_field f, other;

		m.len = (uint32_t)vmb_message_init(m.bytes, sizeof m.bytes, type, m.version, m.features);
		for (uint32_t i = 0; field_at(&m, i, &f) == VMB_YES; i++) {
			cr_assert_lt(strlen(f.name), 24, "%s", f.name);
			for (const char *c = f.name; *c; c++)
				cr_assert(islower((unsigned char)*c) || *c == '_', "%s", f.name);
			for (uint32_t k = 0; k < i; k++) {
				cr_assert_eq(field_at(&m, k, &other), VMB_YES);
				cr_assert_str_neq(f.name, other.name);
			}
		}
		cr_assert_lt(strlen(vmb_message_name(type)), 28);
	}
}

/* The offsets that lib/ uses come from the same list: a few against the document. */
Test(field, offsets_of_the_library)
{
	cr_assert_eq(VMBI_AT(OFFER_CHANNEL, connection_id), 192);
	cr_assert_eq(VMBI_AT(OPEN_CHANNEL, open_flags), 154);
	cr_assert_eq(VMBI_AT(GPADL_TORNDOWN, gpadl_id), 8);
	cr_assert_eq(VMBI_AT(INITIATE_CONTACT, child_to_parent_page), 32);
	cr_assert_eq(VMBI_AT(VERSION_RESPONSE, selected), 12);
	cr_assert_eq(VMBI_MSG_RESUME, 29);
}

/* Field "name" at offset with value, or not there. */
static void expect(const struct message *m, const char *name, int there, uint32_t offset, uint64_t value)
{
	struct vmb_field f;

	cr_assert_eq(field_called(m, name, &f), there, "%s at version %x", name, m->version);
	if (there) {
		cr_assert_eq(f.offset, offset);
		cr_assert_eq(f.value, value, "%s", name);
	}
}

/* control-plane.md 6.9: bytes 16...23 mean three different things. */
Test(field, contact_is_read_as_the_version_it_asks_for)
{
	struct message m = { .bytes = { 14 }, .len = 56, .version = VMB_V3_0 };

	m.bytes[16] = 2;
	m.bytes[17] = 1;
	m.bytes[20] = 0xf7;
	expect(&m, "interrupt_page", 1, 16, 0xf700000102u);
	m.version = 0;
	expect(&m, "interrupt_page", 1, 16, 0xf700000102u);
	expect(&m, "target_sint", 0, 0, 0);
	for (uint32_t n = 0; vmb_version_at(n); n++) {
		uint32_t v = vmb_version_at(n);

		vmbi_put32(m.bytes + 8, v);
		m.version = n % 2 ? VMB_V0_13 : VMB_V6_0; /* of a connection that is to be replaced */
		expect(&m, "interrupt_page", v < VMB_V5_0, 16, 0xf700000102u);
		expect(&m, "target_sint", v >= VMB_V5_0, 16, 2);
		expect(&m, "target_vtl", v >= VMB_V5_1, 17, 1);
		expect(&m, "feature_flags", v >= VMB_V6_0, 20, 0xf7);
		expect(&m, "client_id", 0, 0, 0);
	}
	m.bytes[20] = 8;
	expect(&m, "client_id", 1, 40, 0);
	m.len = 55;
	expect(&m, "client_id", 0, 0, 0);
}

/* The guest that always sends 156 bytes: without the features the tail is ignored. control-plane.md 6.4 */
Test(field, the_tail_of_open_exists_with_its_feature_only)
{
	struct message m = { .bytes = { 5 }, .len = 156, .version = VMB_V5_3 };

	expect(&m, "connection_id", 0, 0, 0);
	m.version = VMB_V6_0;
	expect(&m, "connection_id", 0, 0, 0);
	m.features = VMB_FEATURE_SIGNAL_PARAMETERS;
	expect(&m, "connection_id", 1, 148, 0);
	expect(&m, "open_flags", 0, 0, 0);
	m.features = VMB_FEATURE_REDIRECT;
	expect(&m, "event_flag", 0, 0, 0);
	expect(&m, "open_flags", 1, 154, 0);
	m.version = 0;
	expect(&m, "event_flag", 1, 152, 0);
	m.len = 148;
	expect(&m, "event_flag", 0, 0, 0);
	expect(&m, "user_data", 1, 28, 0);
	m.len = 147;
	expect(&m, "user_data", 0, 0, 0);
}

/* Offsets, kinds and names of the words from field `first` on, as "rppu": range, pfn, unused. */
static void expect_words(const struct message *m, uint32_t first, uint32_t at, const char *kinds)
{
	struct vmb_field f;

	for (uint32_t i = 0; kinds[i]; i++) {
		cr_assert_eq(field_at(m, first + i, &f), VMB_YES, "word %u", i);
		cr_assert_eq(f.offset, at + 8 * i);
		cr_assert_eq(f.bytes, 8);
		cr_assert_eq(f.value, le(m->bytes + f.offset, 8));
		cr_assert_eq(f.kind, kinds[i] == 'r' ? VMB_FIELD_RANGE : kinds[i] == 'p' ? VMB_FIELD_PFN : VMB_FIELD_NUMBER, "word %u", i);
		cr_assert_eq(f.name[0], kinds[i], "word %u: %s", i, f.name);
	}
	cr_assert_eq(field_at(m, first + (uint32_t)strlen(kinds), &f), VMB_ENOENT);
}

Test(field, gpadl_vectors_show_their_ranges)
{
	static const struct { const char *name, *kinds; } header[] = {
		{ "GP-01", "rp" }, { "GP-02", "rpppp" }, { "GP-03", "rpp" }, { "GP-04", "rprpp" }, { "GP-05", "rpppppppppppppppppppppppppp" },
		{ "GP-07", "rpppppppppppppppppppppppppp" },
		{ "GP-12", "ru" }, { "GP-13", "rp" }, { "GP-14", "rp" }, { "GP-15", "rp" }, { "GP-16", "" }, { "GP-17", "rp" },
		{ "GP-18", "rp" }, { "GP-19", "rpu" },
	};
	struct vectors *set = vectors_load("gpadl", 19);
	struct message m = { .version = VMB_V5_3 };
	const uint8_t *bytes;

	for (uint32_t i = 0; i < sizeof header / sizeof *header; i++) {
		bytes = vector_part(vectors_find(set, header[i].name), 0, &m.len);
		memcpy(m.bytes, bytes, m.len);
		expect_words(&m, 6, 20, header[i].kinds);
	}
	bytes = vector_part(vectors_find(set, "GP-07"), 1, &m.len);
	memcpy(m.bytes, bytes, m.len);
	expect_words(&m, 4, 16, "pppppppppppppppppppppppppppp");
	cr_assert_eq(vmb_message_set(m.bytes, m.len, m.version, 0, "pfn", 0x7777), 0, "the first of that name");
	cr_assert_eq(le(m.bytes + 16, 8), 0x7777);
	m.len = 24 + 7;
	expect_words(&m, 4, 16, "p");
	vectors_free(set);
}

Test(field, arguments)
{
	uint8_t msg[8] = { 3 };
	struct vmb_field f;

	cr_assert_eq(vmb_message_field(NULL, 8, 0, 0, 0, &f), VMB_EINVAL);
	cr_assert_eq(vmb_message_field(msg, 8, 0, 0, 0, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_message_field(msg, 8, 0, 0, 2, &f), VMB_ENOENT);
	cr_assert_eq(vmb_message_field(msg, 8, 0, 0, UINT32_MAX, &f), VMB_ENOENT);
	cr_assert_eq(vmb_message_field(msg, 0, 0, 0, 0, &f), VMB_ENOENT);
	cr_assert_eq(vmb_message_set(NULL, 8, 0, 0, "type", 1), VMB_EINVAL);
	cr_assert_eq(vmb_message_set(msg, 8, 0, 0, NULL, 1), VMB_EINVAL);
	cr_assert_eq(vmb_message_set(msg, 8, 0, 0, "typ", 1), VMB_ENOENT);
	cr_assert_eq(vmb_message_set(msg, 8, 0, 0, "types", 1), VMB_ENOENT);
	cr_assert_eq(vmb_message_set(msg, 8, 0, 0, "", 1), VMB_ENOENT);
	cr_assert_eq(vmb_message_set(msg, 8, 0, 0, "type", 0xffffffff), 0);
	cr_assert_eq(le(msg, 4), 0xffffffff);
}
