/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A saved end as bytes: a header, then records, everything little-endian. doc/SAVED.md describes it byte by byte.
 *
 * One function per kind of record serves both ways: it names the record's fields in their order, and the blob writes or reads them. So
 * what is saved and what is restored cannot disagree. Reading never leaves the record: what lies beyond reads as 0, and the blob has failed.
 */
#ifndef VMBI_BLOB_H
#define VMBI_BLOB_H

#include "trace.h"
#include "../env.h"

#define VMBI_BLOB_HOST 1u /* whose state it is */
#define VMBI_BLOB_GUEST 2u
#define VMBI_BLOB_STATISTICS 2u /* the format from which on counters of the end are saved; and what was counted since: */
#define VMBI_BLOB_FATES 3u      /* fates of messages, posts that failed, signals over the budget, lives of channels */

struct vmbi_blob {
	uint8_t *out;       /* saving: where to; NULL: only counting */
	const uint8_t *in;  /* loading */
	size_t size;        /* of the buffer; loading: of the blob */
	size_t at;          /* the next byte */
	size_t body, end;   /* of the record at hand */
	uint32_t format;
	uint32_t records;   /* written so far, or left to read */
	uint32_t known;     /* loading: bits of the record types that this format has */
	uint32_t failed;    /* loading: it is none */
};

/* ---- saving */

/* Begin a blob: 0, or VMB_EVERSION where there is no such format. format 0: the newest. */
int vmbi_blob_save(struct vmbi_blob *b, void *buf, size_t bytes, uint32_t format, uint32_t whose);
void vmbi_blob_begin(struct vmbi_blob *b, uint32_t type);
void vmbi_blob_close(struct vmbi_blob *b);
/* Header and checksum. *used is what it takes. 0; VMB_ETOOSMALL: the buffer is smaller (one of NULL never is). */
int vmbi_blob_finish(struct vmbi_blob *b, size_t *used);

/* ---- loading */

/* Check header, checksum and the frame of each record: 0, VMB_EINVAL, or VMB_EVERSION where the format is a newer one. types[format]: bits of
 * the types that this format has. */
int vmbi_blob_load(struct vmbi_blob *b, const void *buf, size_t bytes, uint32_t whose, const uint32_t types[VMB_SAVED_FORMAT + 1]);
/* The type of the next record that is known; 0: there is none. */
uint32_t vmbi_blob_next(struct vmbi_blob *b);
/* All of this record has been read, and nothing else than zeros is behind it: 0 or VMB_EINVAL. */
int vmbi_blob_done(struct vmbi_blob *b);

/* ---- both: the fields of the record at hand */

static inline int vmbi_blob_saving(const struct vmbi_blob *b)
{
	return !b->in;
}

void vmbi_blob_bytes(struct vmbi_blob *b, void *p, uint32_t n);
void vmbi_blob_32(struct vmbi_blob *b, uint32_t *v);
void vmbi_blob_64(struct vmbi_blob *b, uint64_t *v);
/* Several 32-bit words in a row. */
void vmbi_blob_words(struct vmbi_blob *b, uint32_t *v, uint32_t n);
/* What the formats since VMBI_BLOB_FATES have, of an end; and of a channel: opens, refused, closes, lost. */
void vmbi_blob_fates(struct vmbi_blob *b, uint64_t fates[VMBI_FATES], uint64_t *post_failed, uint64_t *over_budget);
void vmbi_blob_lives(struct vmbi_blob *b, uint32_t *opens);

#endif /* VMBI_BLOB_H */
