/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Saved ends as bytes, for tests that damage them: doc/SAVED.md is all that is known here. */
#ifndef TEST_SAVED_H
#define TEST_SAVED_H

#include <stddef.h>
#include <stdint.h>

enum { SAVED_HEADER = 32, SAVED_ROOM = 1 << 16 };

struct saved {
	uint8_t bytes[SAVED_ROOM];
	size_t n;
};

/* Length and checksum as they must be. */
void saved_fix(struct saved *s);
/* The index-th record of this type: where its header is; 0: none. */
size_t saved_find(const struct saved *s, uint32_t type, uint32_t index);
uint32_t saved_get(const struct saved *s, size_t at);
void saved_put(struct saved *s, size_t at, uint32_t value);
/* As another one, but that the body of the first record of this type has so many bytes more or less: a multiple of 8. */
void saved_resize(struct saved *to, const struct saved *from, uint32_t type, int more);
/* A record more, behind all others. */
void saved_append(struct saved *s, uint32_t type, uint32_t flags, uint32_t length);
/* The same as this file of test/vectors/saved; it is made where VMB_MAKE_GOLDEN is set. */
void saved_golden(const struct saved *s, const char *name);

/*
 * Tries every damage that is here: each bit flipped, each length, and with the checksum put right each bit flipped and many random bytes.
 * load: 0, or an error, after which the end must be as if nothing had happened; it judges the end that came of it.
 */
void saved_damage(const struct saved *good, int (*load)(const void *bytes, size_t n));

#endif
