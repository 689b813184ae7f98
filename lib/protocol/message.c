/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Control messages by type: their names, sizes, and the gate that every received one has to pass. control-plane.md 2 */
#include "message.h"

enum { MESSAGE_TO_H, MESSAGE_TO_G };

struct message_row {
	char name[28];
	uint8_t to, bytes;
	uint16_t feature;
	uint32_t version;
};

#define MESSAGE_ROW(type, name, dir, bytes, version, feature) [type] = { #name, MESSAGE_TO_##dir, bytes, feature, version },
static const struct message_row message_rows[VMBI_MSG_COUNT] = { VMBI_MESSAGES(MESSAGE_ROW) };

enum { MESSAGE_FORM_A, MESSAGE_FORM_R };

struct message_form {
	uint8_t type, bytes, insist;
	uint8_t features;
	uint32_t version;
};

#define MESSAGE_FORM(name, bytes, version, features, insist) { VMBI_MSG_##name, bytes, MESSAGE_FORM_##insist, features, version },
static const struct message_form message_forms[] = { VMBI_FORMS(MESSAGE_FORM) };

static int message_known(uint32_t type)
{
	return type && type < VMBI_MSG_COUNT;
}

const char *vmb_message_name(uint32_t type)
{
	return message_known(type) ? message_rows[type].name : "?";
}

/* Bytes of the form that is in force; insist: the shortest that a receiver may take. Features count from 6.0 on: all that hangs
 * on one needs that version as well. control-plane.md 3.1 */
static uint32_t message_bytes(uint32_t type, uint32_t version, uint32_t features, int insist)
{
	uint32_t bytes = message_rows[type].bytes;

	for (uint32_t i = 0; i < sizeof message_forms / sizeof *message_forms; i++) {
		const struct message_form *f = &message_forms[i];

		if (f->type == type && version >= f->version && (!f->features || f->features & features) &&
		    (!insist || f->insist == MESSAGE_FORM_R))
			bytes = f->bytes;
	}
	return bytes;
}

/* Does this type exist here? Contact is made before there is a version, and a reserved channel outlives the connection:
 * control-plane.md 10.5, 17.1. */
static int message_exists(uint32_t type, uint32_t version, uint32_t features)
{
	const struct message_row *row = &message_rows[type];

	if (type == VMBI_MSG_INITIATE_CONTACT || type == VMBI_MSG_VERSION_RESPONSE)
		return 1;
	if (!version)
		return type == VMBI_MSG_CLOSE_RESERVED_CHANNEL || type == VMBI_MSG_CLOSE_RESERVED_RESPONSE;
	return version >= row->version && (!row->feature || features & row->feature);
}

int vmb_message_size(uint32_t type, uint32_t version, uint32_t features)
{
	if (!message_known(type))
		return VMB_EINVAL;
	if (!message_exists(type, version, features))
		return VMB_EVERSION;
	return (int)message_bytes(type, version, features, 0);
}

/* The least that a receiver may take. Contact tells its own version, and a response which of the requested features it grants. */
static uint32_t message_least(const uint8_t *msg, uint32_t len, uint32_t type, uint32_t version, uint32_t features)
{
	uint32_t least = message_rows[type].bytes;

	if (len < least)
		return least;
	if (type == VMBI_MSG_INITIATE_CONTACT) {
		version = vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, version));
		features = vmbi_get32(msg + VMBI_AT(INITIATE_CONTACT, feature_flags));
	} else if (type == VMBI_MSG_VERSION_RESPONSE) {
		uint32_t at = VMBI_AT(VERSION_RESPONSE, supported_features);

		if (!msg[VMBI_AT(VERSION_RESPONSE, version_supported)])
			version = 0;
		features &= len >= at + 4 ? vmbi_get32(msg + at) : 0;
	}
	return message_bytes(type, version, features, 1);
}

int vmb_message_check(const void *msg, uint32_t len, uint32_t version, uint32_t features, int to_host)
{
	uint32_t type;

	if (!msg)
		return VMB_EINVAL;
	if (len < 8 || len > VMB_MESSAGE_MAX)
		return VMB_EPEER;
	type = vmbi_get32(msg);
	if (!message_known(type))
		return VMB_EPEER;
	if (message_rows[type].to != (to_host ? MESSAGE_TO_H : MESSAGE_TO_G))
		return VMB_EINVAL;
	if (!message_exists(type, version, features))
		return VMB_EVERSION;
	return len < message_least(msg, len, type, version, features) ? VMB_EPEER : 0;
}

int vmb_message_init(void *buf, uint32_t bytes, uint32_t type, uint32_t version, uint32_t features)
{
	int size = vmb_message_size(type, version, features);

	if (!buf)
		return VMB_EINVAL;
	if (size < 0)
		return size;
	if (bytes < (uint32_t)size)
		return VMB_ETOOSMALL;
	VMBI_MEMSET(buf, 0, (uint32_t)size);
	vmbi_put32(buf, type);
	return size;
}
