/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Memory between two pages that cannot be accessed, beginning right behind the first or ending right before the second, filled
 * with a pattern; so is what is left of its pages, and that must stay as it is.
 */
#ifndef TEST_HOSTILE_GUARD_H
#define TEST_HOSTILE_GUARD_H

#include <stddef.h>
#include <stdint.h>

enum { GUARD_ZEROS, GUARD_ONES, GUARD_A5, GUARD_RANDOM }; /* RANDOM and above: bytes that look random, others for each number */

struct guard {
	uint8_t *at;
	size_t bytes;
	/* private */
	uint8_t *range;
	size_t range_bytes;
	uint32_t fill;
};

void guard_make(struct guard *g, size_t bytes, int right, uint32_t fill);
void guard_free(struct guard *g);
void guard_fill(uint8_t *at, size_t bytes, uint32_t fill);
/* Is all around it as it was? */
int guard_intact(const struct guard *g);
/* Is it itself as it was made? */
int guard_untouched(const struct guard *g);

#endif /* TEST_HOSTILE_GUARD_H */
