/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What the drivers share: arbitrary values, and buffers of arbitrary bytes that are exactly so long. */
#ifndef PROOF_H
#define PROOF_H

#include <stdlib.h>
#include "vmbus.h"
#include "lib/env.h"

struct proof_case proof_case;

/* Any value from least to most. */
static inline uint32_t proof_between(uint32_t least, uint32_t most)
{
	return Frama_C_unsigned_int_interval(least, most);
}

/* n arbitrary bytes in an object of their own, free() takes it back. */
static inline void *proof_bytes(size_t n)
{
	void *p = malloc(n);

	if (n)
		Frama_C_make_unknown(p, n);
	return p;
}

#define PROOF_ANY(object) Frama_C_make_unknown((char *)&(object), sizeof(object))

#endif /* PROOF_H */
