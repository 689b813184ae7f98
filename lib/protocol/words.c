/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* One field or list word out of bytes on the wire. gpadl.md 3 */
#include "words.h"

struct vmb_field vmbi_field(const uint8_t *base, const char *name, uint32_t at, uint32_t bytes, uint32_t kind)
{
	struct vmb_field f = { .name = name, .offset = at, .bytes = bytes, .kind = kind };

	if (kind != VMB_FIELD_GUID && kind != VMB_FIELD_BYTES)
		for (uint32_t i = bytes; i--;)
			f.value = f.value << 8 | base[at + i];
	return f;
}

/* What word k is: VMB_FIELD_RANGE, VMB_FIELD_PFN, or VMB_FIELD_NUMBER beyond the list. Every range is a step of one word at
 * least, and no step is taken beyond k: so this ends, whatever byte counts and offsets are. */
static uint32_t words_kind(const uint8_t *base, const struct vmbi_words *w, uint32_t k)
{
	uint64_t pos = 0;

	if (w->kind == VMBI_WORDS_PFN)
		return VMB_FIELD_PFN;
	if (w->kind == VMBI_WORDS_RANGE)
		return k < w->ranges ? VMB_FIELD_RANGE : VMB_FIELD_NUMBER;
	for (uint32_t r = 0; r < w->ranges; r++) {
		uint64_t word = vmbi_get64(base + w->at + pos * 8);

		if (pos == k)
			return VMB_FIELD_RANGE;
		pos += 1 + (((word & 0xffffffff) + (word >> 32) + VMB_PAGE - 1) >> 12);
		if (k < pos)
			return VMB_FIELD_PFN;
	}
	return VMB_FIELD_NUMBER;
}

int vmbi_words_field(const uint8_t *base, const struct vmbi_words *w, uint32_t k, struct vmb_field *out)
{
	uint32_t kind;
	const char *name;

	if (k >= w->count)
		return VMB_ENOENT;
	kind = words_kind(base, w, k);
	name = kind == VMB_FIELD_RANGE ? "range" : kind == VMB_FIELD_PFN ? "pfn" : "unused";
	*out = vmbi_field(base, name, w->at + k * 8, 8, kind);
	return VMB_YES;
}
