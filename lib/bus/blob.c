/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The frame of a saved end: header, records, checksum. It knows nothing of what is in the records. doc/SAVED.md */
#include "blob.h"

#define BLOB_HEADER 32u
#define BLOB_RECORD 8u        /* header of a record: type and flags of 16 bits, length of 32 */
#define BLOB_SKIPPABLE 0x1u   /* flag: who does not know the type may pass over it */
#define BLOB_MAX 0x40000000u
#define BLOB_AT_FORMAT 8u     /* the header's fields */
#define BLOB_AT_WHOSE 12u
#define BLOB_AT_BYTES 16u
#define BLOB_AT_CHECKSUM 20u
#define BLOB_AT_RECORDS 24u
#define BLOB_AT_RESERVED 28u

static const uint8_t blob_magic[8] = { 'V', 'M', 'B', 'u', 's', 'S', 'a', 'v' };

/* ---- checksum: CRC-32 as in Ethernet and zip, over the whole blob with the checksum's own bytes as 0 */

static uint32_t blob_crc(const uint8_t *p, size_t n)
{
	static const uint32_t table[16] = {
		0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
		0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu, 0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu,
	};
	uint32_t crc = 0xffffffffu;

	for (size_t i = 0; i < n; i++) {
		crc ^= i >= BLOB_AT_CHECKSUM && i < BLOB_AT_CHECKSUM + 4 ? 0 : p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

/* ---- saving */

int vmbi_blob_save(struct vmbi_blob *b, void *buf, size_t bytes, uint32_t format, uint32_t whose)
{
	if (format > VMB_SAVED_FORMAT)
		return VMB_EVERSION;
	*b = (struct vmbi_blob){ .out = buf, .size = buf ? bytes : 0, .format = format ? format : VMB_SAVED_FORMAT };
	if (b->size >= BLOB_HEADER) {
		VMBI_MEMSET(b->out, 0, BLOB_HEADER);
		VMBI_MEMCPY(b->out, blob_magic, sizeof blob_magic);
		vmbi_put32(b->out + BLOB_AT_FORMAT, b->format);
		vmbi_put32(b->out + BLOB_AT_WHOSE, whose);
	}
	b->at = BLOB_HEADER;
	return 0;
}

static void blob_put(struct vmbi_blob *b, size_t at, const void *p, uint32_t n)
{
	if (at <= b->size && n <= b->size - at)
		VMBI_MEMCPY(b->out + at, p, n);
}

void vmbi_blob_begin(struct vmbi_blob *b, uint32_t type)
{
	uint8_t header[BLOB_RECORD] = { (uint8_t)type };

	blob_put(b, b->at, header, sizeof header);
	b->at += BLOB_RECORD;
	b->body = b->at;
}

void vmbi_blob_close(struct vmbi_blob *b)
{
	static const uint8_t zeros[BLOB_RECORD];
	uint8_t length[4];

	vmbi_put32(length, (uint32_t)(b->at - b->body));
	blob_put(b, b->body - 4, length, sizeof length);
	vmbi_blob_bytes(b, (void *)(uintptr_t)zeros, (uint32_t)(0 - b->at) % BLOB_RECORD);
	b->records++;
}

int vmbi_blob_finish(struct vmbi_blob *b, size_t *used)
{
	*used = b->at;
	if (!b->out)
		return 0;
	if (b->at > b->size)
		return VMB_ETOOSMALL;
	vmbi_put32(b->out + BLOB_AT_BYTES, (uint32_t)b->at);
	vmbi_put32(b->out + BLOB_AT_RECORDS, b->records);
	vmbi_put32(b->out + BLOB_AT_CHECKSUM, blob_crc(b->out, b->at));
	return 0;
}

/* ---- loading */

/* The frame of the record at b->at: 0 if there is none. */
static int blob_frame(struct vmbi_blob *b)
{
	uint32_t length;

	if (b->size - b->at < BLOB_RECORD)
		return 0;
	length = vmbi_get32(b->in + b->at + 4);
	b->body = b->at + BLOB_RECORD;
	if (length > b->size - b->body || (0u - length) % BLOB_RECORD > b->size - b->body - length)
		return 0;
	b->end = b->body + length;
	return 1;
}

static size_t blob_behind(const struct vmbi_blob *b)
{
	return b->end + (0 - b->end) % BLOB_RECORD;
}

/* May this record be here: a type of the format, or one that may be passed over? */
static int blob_is_known(const struct vmbi_blob *b, uint32_t type)
{
	return type < 32 && b->known >> type & 1;
}

static int blob_records(struct vmbi_blob *b)
{
	for (uint32_t n = b->records; n; n--) {
		uint32_t type, flags;

		if (!blob_frame(b))
			return VMB_EINVAL;
		type = vmbi_get16(b->in + b->at);
		flags = vmbi_get16(b->in + b->at + 2);
		if (flags != (blob_is_known(b, type) ? 0 : BLOB_SKIPPABLE))
			return VMB_EINVAL;
		b->at = blob_behind(b);
	}
	return b->at == b->size ? 0 : VMB_EINVAL;
}

int vmbi_blob_load(struct vmbi_blob *b, const void *buf, size_t bytes, uint32_t whose, const uint32_t types[VMB_SAVED_FORMAT + 1])
{
	const uint8_t *in = buf;
	int r;

	*b = (struct vmbi_blob){ .in = in, .size = bytes, .at = BLOB_HEADER };
	if (bytes < BLOB_HEADER || bytes > BLOB_MAX || VMBI_MEMCMP(in, blob_magic, sizeof blob_magic) ||
	    vmbi_get32(in + BLOB_AT_BYTES) != bytes || vmbi_get32(in + BLOB_AT_CHECKSUM) != blob_crc(in, bytes))
		return VMB_EINVAL;
	b->format = vmbi_get32(in + BLOB_AT_FORMAT);
	if (!b->format || b->format > VMB_SAVED_FORMAT)
		return VMB_EVERSION;
	if (vmbi_get32(in + BLOB_AT_WHOSE) != whose || vmbi_get32(in + BLOB_AT_RESERVED))
		return VMB_EINVAL;
	b->known = types[b->format];
	b->records = vmbi_get32(in + BLOB_AT_RECORDS);
	r = blob_records(b);
	b->at = BLOB_HEADER;
	b->end = BLOB_HEADER;
	return r;
}

uint32_t vmbi_blob_next(struct vmbi_blob *b)
{
	while (b->records) {
		uint32_t type;

		b->at = blob_behind(b);
		type = vmbi_get16(b->in + b->at);
		(void)blob_frame(b); /* as it was found by vmbi_blob_load */
		b->at = b->body;
		b->records--;
		if (blob_is_known(b, type))
			return type;
	}
	return 0;
}

int vmbi_blob_done(struct vmbi_blob *b)
{
	b->failed |= b->at != b->end;
	for (size_t i = b->end; i < blob_behind(b); i++)
		b->failed |= b->in[i];
	return b->failed ? VMB_EINVAL : 0;
}

/* ---- fields */

void vmbi_blob_bytes(struct vmbi_blob *b, void *p, uint32_t n)
{
	if (vmbi_blob_saving(b)) {
		blob_put(b, b->at, p, n);
	} else if (n > b->end - b->at) {
		b->failed = 1;
		VMBI_MEMSET(p, 0, n);
		return;
	} else {
		VMBI_MEMCPY(p, b->in + b->at, n);
	}
	b->at += n;
}

void vmbi_blob_32(struct vmbi_blob *b, uint32_t *v)
{
	uint8_t word[4];

	vmbi_put32(word, *v);
	vmbi_blob_bytes(b, word, sizeof word);
	*v = vmbi_get32(word);
}

void vmbi_blob_64(struct vmbi_blob *b, uint64_t *v)
{
	uint8_t word[8];

	vmbi_put64(word, *v);
	vmbi_blob_bytes(b, word, sizeof word);
	*v = vmbi_get64(word);
}

void vmbi_blob_words(struct vmbi_blob *b, uint32_t *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		vmbi_blob_32(b, &v[i]);
}

void vmbi_blob_fates(struct vmbi_blob *b, uint64_t fates[VMBI_FATES], uint64_t *post_failed, uint64_t *over_budget)
{
	if (b->format < VMBI_BLOB_FATES)
		return;
	for (uint32_t i = 0; i < VMBI_FATES; i++)
		vmbi_blob_64(b, &fates[i]);
	vmbi_blob_64(b, post_failed);
	vmbi_blob_64(b, over_budget);
}

void vmbi_blob_lives(struct vmbi_blob *b, uint32_t *opens)
{
	if (b->format >= VMBI_BLOB_FATES)
		vmbi_blob_words(b, opens, 4);
}
