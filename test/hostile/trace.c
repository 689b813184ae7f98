/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Writing down what happens in a life. See life.h. */
#include "life.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void life_note(struct life_trace *t, const char *format, ...)
{
	va_list args;

	if (t->room - t->used < 1024) {
		t->room = t->room * 2 + 65536;
		t->text = realloc(t->text, t->room);
		if (!t->text)
			abort();
	}
	va_start(args, format);
	t->used += (size_t)vsnprintf(t->text + t->used, t->room - t->used, format, args);
	va_end(args);
}

static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

uint64_t life_sum(const void *from, size_t n)
{
	uint64_t h[4] = { n, 1, 2, 3 }, words[4];
	const uint8_t *b = from;

	for (; n >= sizeof words; n -= sizeof words, b += sizeof words) {
		memcpy(words, b, sizeof words);
		for (unsigned i = 0; i < 4; i++) /* four at once, so that they need not wait for each other */
			h[i] = mix(h[i], words[i]);
	}
	memset(words, 0, sizeof words);
	memcpy(words, b, n);
	for (unsigned i = 0; i < 4; i++)
		h[0] = mix(mix(h[0], h[i]), words[i]);
	return h[0];
}

void life_end(struct life_trace *t)
{
	free(t->text);
	t->text = NULL;
}
