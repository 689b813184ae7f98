/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* lib/protocol: every function, for any bytes and any arguments, in buffers of exactly the length that is said. */
#include <limits.h>
#include "proof/proof.h"
#include "lib/protocol/message.h"
#include "lib/protocol/packet.h"
#include "lib/protocol/words.h"

/* The types of messages in groups, so that what is known of one is not mixed with another: all that a special one is among. */
static uint32_t any_type(uint32_t group)
{
	switch (group) {
	case 0: return proof_between(0, VMBI_MSG_GPADL_HEADER - 1);
	case 1: return VMBI_MSG_GPADL_HEADER;
	case 2: return VMBI_MSG_GPADL_BODY;
	case 3: return proof_between(VMBI_MSG_GPADL_BODY + 1, UINT32_MAX);
	case 4: return proof_between(0, VMBI_MSG_INITIATE_CONTACT - 1);
	case 5: return VMBI_MSG_INITIATE_CONTACT;
	case 6: return VMBI_MSG_VERSION_RESPONSE;
	default: return proof_between(VMBI_MSG_VERSION_RESPONSE + 1, UINT32_MAX);
	}
}
#define FIELD_GROUPS_END 4u /* these are all, as fields tell them apart */
#define CHECK_GROUPS_END 8u /* and these again, as the check does */
#define MESSAGE_LONG 264u /* beyond the longest */

static uint8_t *any_message(uint32_t group, uint32_t len)
{
	uint8_t *msg = proof_bytes(len);

	if (len >= 4)
		vmbi_put32(msg, any_type(group));
	return msg;
}

/* ---- messages that came */

static void one_message_check(uint32_t group, uint32_t len)
{
	uint8_t *msg = any_message(group, len);

	(void)vmb_message_check(msg, len, proof_any32, proof_any32, (int)proof_any32);
	free(msg);
}

void prove_message_check(void)
{
	/*@ loop unroll 300; */
	for (uint32_t len = 0; len <= MESSAGE_LONG; len++)
		/*@ loop unroll 4; */
		for (uint32_t group = FIELD_GROUPS_END; group < CHECK_GROUPS_END; group++)
			one_message_check(group, len);
	(void)vmb_message_check(NULL, proof_any32, proof_any32, proof_any32, 0);
}

/* A field that was found lies within the message, is of one of these sizes, and its name ends. */
#define FIELD_FITS(out, n) ((out)->bytes == (n) && (out)->offset <= len - (n))

/*@ ensures result: \result == VMB_YES || \result == VMB_ENOENT;
    ensures found: \result != VMB_YES || \initialized(out);
    ensures named: \result != VMB_YES || valid_read_string(out->name);
    ensures inside: \result != VMB_YES || FIELD_FITS(out, 1) || FIELD_FITS(out, 2) || FIELD_FITS(out, 4) || FIELD_FITS(out, 8) ||
	(out->kind == VMB_FIELD_GUID && FIELD_FITS(out, 16)) || (out->kind == VMB_FIELD_BYTES && FIELD_FITS(out, 120));
*/
int vmb_message_field(const void *msg, uint32_t len, uint32_t version, uint32_t features, uint32_t index, struct vmb_field *out);

static void one_message_field(uint32_t group, uint32_t len)
{
	uint8_t *msg = any_message(group, len);
	struct vmb_field f;

	(void)vmb_message_field(msg, len, proof_any32, proof_any32, proof_any32, &f);
	free(msg);
}

/*
 * Every length up to 24; beyond, every one at which a field or a word ends, and some more. Between two of those the same ones are
 * shown, and the message is only longer than they need.
 */
static int length_ends(uint32_t group, uint32_t len)
{
	if (len <= 24 || len == 189)
		return 1;
	if (len % 2)
		return 0;
	return group == 1 || group == 2 ? len % 4 == 0 : len <= 60 || (len >= 146 && len <= 200) || len == VMB_MESSAGE_MAX;
}

void prove_message_field(void)
{
	/*@ loop unroll 300; */
	for (uint32_t len = 0; len <= VMB_MESSAGE_MAX; len++)
		/*@ loop unroll 4; */
		for (uint32_t group = 0; group < FIELD_GROUPS_END; group++)
			if (length_ends(group, len))
				one_message_field(group, len);
}

/* ---- messages that are made */

static void one_message_init(uint32_t bytes, uint32_t type)
{
	uint8_t *msg = malloc(bytes);

	(void)vmb_message_init(msg, bytes, type, proof_any32, proof_any32);
	free(msg);
}

void prove_message_init(void)
{
	/*@ loop unroll 300; */
	for (uint32_t bytes = 0; bytes <= MESSAGE_LONG; bytes++) {
		one_message_init(bytes, 0);
		one_message_init(bytes, proof_between(1, VMBI_MSG_COUNT - 1));
		one_message_init(bytes, proof_between(VMBI_MSG_COUNT, UINT32_MAX));
	}
	(void)vmb_message_init(NULL, proof_any32, proof_any32, proof_any32, proof_any32);
}

#define NAME_LONG 24u /* longer than all names are */

static void one_message_set(uint32_t type, uint32_t len)
{
	uint8_t *msg = proof_bytes(len);
	char name[NAME_LONG + 1];

	PROOF_ANY(name);
	name[NAME_LONG] = 0;
	vmbi_put32(msg, type);
	(void)vmb_message_set(msg, len, proof_any32, proof_any32, name, proof_any64);
	free(msg);
}

/* Messages of every type, as short as they are legal, and at some other lengths. */
void prove_message_set(void)
{
#define MESSAGE_SET(type, name, dir, bytes, version, feature) one_message_set(type, bytes);
	VMBI_MESSAGES(MESSAGE_SET)
#undef MESSAGE_SET
	one_message_set(VMBI_MSG_GPADL_HEADER, 45);
	one_message_set(VMBI_MSG_GPADL_BODY, 33);
	one_message_set(VMBI_MSG_COUNT, 7);
	(void)vmb_message_set(NULL, proof_any32, proof_any32, proof_any32, "type", proof_any64);
}

/* ---- names, versions, GUIDs, classes */

/*
 * Every text is one of these: its first `good` characters are what a GUID has there, then comes one that is not (or, after all
 * 36, any). Nothing beyond that one may be looked at, so nothing is there.
 */
static int dash_at(uint32_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

/* A hexadecimal digit. */
static char any_digit(void)
{
	switch (proof_between(0, 2)) {
	case 0: return Frama_C_char_interval('0', '9');
	case 1: return Frama_C_char_interval('A', 'F');
	default: return Frama_C_char_interval('a', 'f');
	}
}

/* The gaps between what is a digit, or the dash, in the order of the characters: gap 0 ... 3. */
static char no_digit(uint32_t i, uint32_t gap)
{
	switch (gap) {
	case 0: return Frama_C_char_interval(CHAR_MIN, dash_at(i) ? '-' - 1 : '0' - 1);
	case 1: return dash_at(i) ? Frama_C_char_interval('-' + 1, CHAR_MAX) : Frama_C_char_interval('9' + 1, 'A' - 1);
	case 2: return dash_at(i) ? 0 : Frama_C_char_interval('F' + 1, 'a' - 1);
	default: return dash_at(i) ? 0 : Frama_C_char_interval('f' + 1, CHAR_MAX);
	}
}

static void one_guid(uint32_t good, uint32_t gap)
{
	char *text = malloc(good + 1);
	struct vmb_guid guid;

	/*@ loop unroll 40; */
	for (uint32_t i = 0; i < good; i++)
		text[i] = dash_at(i) ? '-' : any_digit();
	text[good] = good < 36 ? no_digit(good, gap) : Frama_C_char_interval(CHAR_MIN, CHAR_MAX);
	(void)vmb_guid_parse(text, &guid);
	free(text);
}

void prove_guid(void)
{
	struct vmb_guid guid;
	char text[37];

	/*@ loop unroll 40; */
	for (uint32_t good = 0; good <= 36; good++)
		/*@ loop unroll 4; */
		for (uint32_t gap = 0; gap < 4; gap++)
			one_guid(good, gap);
	PROOF_ANY(guid);
	(void)vmb_guid_format(&guid, text);
	(void)vmb_guid_parse(NULL, &guid);
	(void)vmb_guid_format(NULL, text);
}

static void prove_hvsock(void)
{
	struct vmb_hvsock socket, out;
	struct vmb_offer offer, from;
	struct vmb_guid guid;

	PROOF_ANY(socket);
	(void)vmb_hvsock_offer(&socket, &offer);
	PROOF_ANY(from);
	if (!vmb_hvsock_of(&from, &out)) {
		/*@ check known: \initialized(&out); */
	}
	(void)vmb_hvsock_port(proof_any32, &guid);
}

void prove_names(void)
{
	struct vmb_guid guid;
	struct vmb_class class;

	(void)vmb_strerror((int)proof_any32);
	(void)vmb_reason_name(proof_any32);
	(void)vmb_message_name(proof_any32);
	(void)vmb_message_size(proof_any32, proof_any32, proof_any32);
	(void)vmb_packet_name(proof_any32);
	(void)vmb_version();
	(void)vmb_version_at(proof_any32);
	(void)vmbi_version_known(proof_any32);
	(void)vmb_feature_name(proof_any32);
	(void)vmb_class_at(proof_any32, &class);
	PROOF_ANY(guid);
	(void)vmb_class_find(&guid, &class);
	prove_hvsock();
}

/* ---- packets */

static void one_packet_field(uint32_t len)
{
	uint8_t *packet = proof_bytes(len);
	struct vmb_field f;

	if (vmb_packet_field(packet, len, proof_any32, &f) == VMB_YES) {
		/*@ check found: \initialized(&f); */
	}
	free(packet);
}

/* Every length of descriptor and small header, and some long ones. */
void prove_packet_field(void)
{
	/*@ loop unroll 300; */
	for (uint32_t len = 0; len <= 136; len++)
		one_packet_field(len);
	one_packet_field(4096);
	one_packet_field(VMBI_LEN8_MAX * 8 + VMBI_FOOTER);
	one_packet_field(VMBI_LEN8_MAX * 8 + 4096);
}

void prove_descriptor(void)
{
	struct vmbi_descriptor d = vmbi_descriptor_get(proof_any64);
	struct vmbi_descriptor any;

	(void)vmbi_descriptor_check(&d, proof_any32, (int)proof_any32);
	(void)vmbi_descriptor_put(d.kind, d.data8, d.len8, d.flags);
	PROOF_ANY(any);
	(void)vmbi_descriptor_check(&any, proof_any32, (int)proof_any32);
	(void)vmbi_packet_total(proof_any32, proof_any64);
}

static void one_packet_head(uint32_t count)
{
	uint64_t *words = proof_bytes(count * sizeof *words);
	struct vmb_packet p;
	uint32_t head;

	PROOF_ANY(p);
	p.list.words = words;
	p.list.count = count;
	if (!vmbi_packet_head(&p, &head)) {
		/*@ check known: \initialized(&head); */
	}
	free(words);
}

void prove_packet_head(void)
{
	/*@ loop unroll 100; */
	for (uint32_t count = 0; count <= 64; count++)
		one_packet_head(count);
	one_packet_head(VMBI_LEN8_MAX);
	one_packet_head(0x10000000);
}
