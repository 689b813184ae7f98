/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Control messages as named fields. Which fields a message has hangs on version and features; with version 0 on its length alone.
 * INITIATE_CONTACT comes before there is a version: it is read as the version that it asks for, once that is not 0.
 */
#include "message.h"
#include "words.h"

enum {
	FIELD_N = VMB_FIELD_NUMBER,
	FIELD_U = VMB_FIELD_GUID,
	FIELD_B = VMB_FIELD_BYTES,
	FIELD_A = VMB_FIELD_GPA
};

struct field_row {
	char name[24];
	uint8_t type, offset, bytes, kind;
	uint32_t from, gone, feature;
};

#define FIELD_ROW(msg, field, offset, bytes, kind, from, gone, feature) \
	{ #field, VMBI_MSG_##msg, offset, bytes, FIELD_##kind, from, gone, feature },
static const struct field_row field_rows[] = {
	{ "type", 0, 0, 4, FIELD_N, 0, 0, 0 }, /* of all messages */
	{ "padding", 0, 4, 4, FIELD_N, 0, 0, 0 },
	VMBI_FIELDS(FIELD_ROW)
};

/* The form of one message. */
struct field_form {
	uint32_t type, len, version, features;
};

static struct field_form field_form(const uint8_t *msg, uint32_t len, uint32_t version, uint32_t features)
{
	struct field_form form = { len < 4 ? 0 : vmbi_get32(msg), len, version, features };

	if (form.type == VMBI_MSG_INITIATE_CONTACT) {
		uint32_t asked = len < 12 ? 0 : vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, version));

		if (asked) {
			form.version = asked;
			form.features = len < 24 ? 0 : vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, feature_flags));
		} else if (!version) {
			form.version = VMB_V0_13;
		}
	}
	return form;
}

static int field_exists(const struct field_row *row, const struct field_form *form)
{
	if (row->type && row->type != form->type)
		return 0;
	if (row->offset + row->bytes > form->len)
		return 0;
	if (!form->version)
		return 1;
	return form->version >= row->from && (!row->gone || form->version < row->gone) &&
	       (!row->feature || form->features & row->feature);
}

/* The range words of the two GPADL messages: what lies there in full, and belongs to the list as far as its header is known. */
static struct vmbi_words field_words(const uint8_t *msg, const struct field_form *form)
{
	struct vmbi_words w = { 0, 0, 0, VMBI_WORDS_LIST };

	if (form->type == VMBI_MSG_GPADL_HEADER && form->len >= VMBI_GPADL_HEADER_DATA) {
		uint32_t promised = vmbi_get16(msg + VMBI_AT(GPADL_HEADER, range_buflen));

		w.at = VMBI_GPADL_HEADER_DATA;
		w.count = (form->len - w.at < promised ? form->len - w.at : promised) / 8;
		w.ranges = vmbi_get16(msg + VMBI_AT(GPADL_HEADER, range_count));
	} else if (form->type == VMBI_MSG_GPADL_BODY && form->len >= VMBI_GPADL_BODY_DATA) {
		w.at = VMBI_GPADL_BODY_DATA;
		w.count = (form->len - w.at) / 8;
		w.kind = VMBI_WORDS_PFN;
	}
	return w;
}

int vmb_message_field(const void *msg, uint32_t len, uint32_t version, uint32_t features, uint32_t index, struct vmb_field *out)
{
	struct field_form form;
	struct vmbi_words words;

	if (!msg || !out)
		return VMB_EINVAL;
	form = field_form(msg, len, version, features);
	for (uint32_t i = 0; i < sizeof field_rows / sizeof *field_rows; i++) {
		const struct field_row *row = &field_rows[i];

		if (!field_exists(row, &form) || index--)
			continue;
		*out = vmbi_field(msg, row->name, row->offset, row->bytes, row->kind);
		return VMB_YES;
	}
	words = field_words(msg, &form);
	return vmbi_words_field(msg, &words, index, out);
}

static int field_is_named(const struct vmb_field *f, const char *name)
{
	uint32_t i = 0;

	while (f->name[i] && f->name[i] == name[i])
		i++;
	return f->name[i] == name[i];
}

int vmb_message_set(void *msg, uint32_t len, uint32_t version, uint32_t features, const char *name, uint64_t value)
{
	struct vmb_field f;

	if (!msg || !name)
		return VMB_EINVAL;
	for (uint32_t i = 0; vmb_message_field(msg, len, version, features, i, &f) == VMB_YES; i++) {
		if (f.kind == VMB_FIELD_GUID || f.kind == VMB_FIELD_BYTES || !field_is_named(&f, name))
			continue;
		if (f.bytes < 8 && value >> (8 * f.bytes))
			return VMB_EINVAL;
		for (uint32_t b = 0; b < f.bytes; b++)
			((uint8_t *)msg)[f.offset + b] = (uint8_t)(value >> (8 * b));
		return 0;
	}
	return VMB_ENOENT;
}
