/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See guard.h. */
#include "guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static uint8_t guard_byte(const uint8_t *at, uint32_t fill)
{
	uint32_t x = (uint32_t)((uintptr_t)at & 0xffff) * 2654435761u + fill * 40503u;

	switch (fill) {
	case GUARD_ZEROS: return 0;
	case GUARD_ONES: return 0xff;
	case GUARD_A5: return 0xa5;
	default: return (uint8_t)((x ^ x >> 15) * 2246822519u >> 24);
	}
}

void guard_fill(uint8_t *at, size_t bytes, uint32_t fill)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = guard_byte(at + i, fill);
}

void guard_make(struct guard *g, size_t bytes, int right, uint32_t fill)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page + (bytes ? 0 : page);

	g->bytes = bytes;
	g->fill = fill;
	g->range_bytes = inner + 2 * page;
	g->range = mmap(NULL, g->range_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g->range == MAP_FAILED || mprotect(g->range + page, inner, PROT_READ | PROT_WRITE)) {
		perror("guard");
		abort();
	}
	guard_fill(g->range + page, inner, fill);
	g->at = right ? g->range + page + inner - bytes : g->range + page;
}

void guard_free(struct guard *g)
{
	if (g->range)
		munmap(g->range, g->range_bytes);
	g->range = NULL;
	g->at = NULL;
}

static int same(const uint8_t *from, const uint8_t *to, uint32_t fill)
{
	for (; from < to; from++)
		if (*from != guard_byte(from, fill))
			return 0;
	return 1;
}

int guard_intact(const struct guard *g)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return same(g->range + page, g->at, g->fill) && same(g->at + g->bytes, g->range + g->range_bytes - page, g->fill);
}

int guard_untouched(const struct guard *g)
{
	return same(g->at, g->at + g->bytes, g->fill) && guard_intact(g);
}
