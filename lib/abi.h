/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * How structs and storage cross the ABI. Structs that begin with `size` may come from an older or a newer caller; storage is one block
 * that is carved into aligned parts, by the same code that computes how much is needed.
 */
#ifndef VMBI_ABI_H
#define VMBI_ABI_H

#include "vmbus.h"
#include "env.h"

#define VMBI_ALIGN 64u /* of every storage: a cache line */

/*
 * Take a caller's struct: `known` bytes are what this library knows, `least` what its first release knew. A missing tail counts as
 * zero, an unknown one must be zero. Returns 0 or VMB_ESTRUCT.
 */
static inline int vmbi_struct_in(void *to, uint32_t known, const void *from, uint32_t least)
{
	const uint8_t *bytes = from;
	uint32_t size;

	VMBI_MEMCPY(&size, from, sizeof size);
	if (size < least || size > 0x10000)
		return VMB_ESTRUCT;
	for (uint32_t i = known; i < size; i++)
		if (bytes[i])
			return VMB_ESTRUCT;
	VMBI_MEMSET(to, 0, known);
	VMBI_MEMCPY(to, from, size < known ? size : known);
	VMBI_MEMCPY(to, &known, sizeof known);
	return 0;
}

/* Give a struct to a caller, whose `size` stays as it set it; a tail that this library does not know is cleared. */
static inline int vmbi_struct_out(void *to, const void *from, uint32_t known, uint32_t least)
{
	uint32_t size;

	VMBI_MEMCPY(&size, to, sizeof size);
	if (size < least || size > 0x10000)
		return VMB_ESTRUCT;
	VMBI_MEMSET(to, 0, size);
	VMBI_MEMCPY(to, from, size < known ? size : known);
	VMBI_MEMCPY(to, &size, sizeof size);
	return 0;
}

/* A block being carved. base NULL: only computing. Sums cannot overflow: counts are 32-bit and element sizes small, and 32-bit
 * size_t is checked by vmbi_carve_end. */
struct vmbi_carve {
	uint8_t *base;
	uint64_t used;
};

/* The next `count` elements of `bytes` each, cache-line aligned. NULL while only computing. */
static inline void *vmbi_carve(struct vmbi_carve *c, uint64_t count, uint32_t bytes)
{
	void *part = c->base ? c->base + (size_t)c->used : NULL;

	c->used += (count * bytes + VMBI_ALIGN - 1) & ~(uint64_t)(VMBI_ALIGN - 1);
	return part;
}

static inline int vmbi_carve_end(const struct vmbi_carve *c, struct vmb_storage *need)
{
	if (c->used > SIZE_MAX / 2)
		return VMB_ENOSPACE;
	need->bytes = (size_t)c->used;
	need->align = VMBI_ALIGN;
	return 0;
}

/* Is this block large and aligned enough? 0 or VMB_ENOSPACE; VMB_EINVAL for NULL. */
static inline int vmbi_storage_fits(const void *mem, size_t bytes, const struct vmb_storage *need)
{
	if (!mem)
		return VMB_EINVAL;
	return bytes < need->bytes || (uintptr_t)mem % need->align ? VMB_ENOSPACE : 0;
}

#endif /* VMBI_ABI_H */
