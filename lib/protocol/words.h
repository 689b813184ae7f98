/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Fields as they are shown: reading one out of a message or packet, and the 64-bit words of range lists, in wire order. */
#ifndef VMBI_PROTOCOL_WORDS_H
#define VMBI_PROTOCOL_WORDS_H

#include "vmbus.h"
#include "../env.h"

/* Words in a row within a message or packet. */
struct vmbi_words {
	uint32_t at, count; /* offset of the first one; how many lie there */
	uint32_t ranges;    /* how many the header says there are */
	uint32_t kind;      /* what they are: */
};
#define VMBI_WORDS_LIST 0u  /* for each range its word, then its pages. gpadl.md 3, ring.md 5.3 */
#define VMBI_WORDS_RANGE 1u /* range words only. ring.md 5.4 */
#define VMBI_WORDS_PFN 2u   /* the middle of a list: nothing tells its range words from its page numbers. gpadl.md 2.2 */

/* The field of `bytes` at `at`, which lie within base. value is set for numbers. */
struct vmb_field vmbi_field(const uint8_t *base, const char *name, uint32_t at, uint32_t bytes, uint32_t kind);
/* Word number k as a field: "range", "pfn", or "unused" beyond the last range. VMB_YES, or VMB_ENOENT after the last. */
int vmbi_words_field(const uint8_t *base, const struct vmbi_words *w, uint32_t k, struct vmb_field *out);

#endif /* VMBI_PROTOCOL_WORDS_H */
