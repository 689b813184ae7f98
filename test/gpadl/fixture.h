/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What the tests of the list store share: a store between guard pages, lists as words, and messages made of them. */
#ifndef TEST_GPADL_FIXTURE_H
#define TEST_GPADL_FIXTURE_H

#include "lib/gpadl/gpadl.h"

/* Numbers that look random and are the same each time. */
uint64_t random64(uint64_t *state);
uint32_t random_below(uint64_t *state, uint32_t n);

/* Memory whose last byte is followed by, and whose first page is preceded by, a page that must not be touched. All of it is
 * `fill`. It ends with the program. */
void *guarded_alloc(size_t bytes, int fill);

/* A store in guarded memory of exactly the size that it asks for, which held `fill` before. */
struct vmbi_gpadl_store *store_new(const struct vmbi_gpadl_limits *limits, int fill);

/* A list of one range with n whole pages, first, first + 1 ... Returns n + 1, its words. */
uint32_t words_of_pages(uint64_t *words, uint32_t n, uint64_t first);
/* A list of `ranges` ranges with `offset`s and lengths of all kinds, at most max words; returns how many. */
uint32_t words_at_random(uint64_t *words, uint32_t max, uint32_t ranges, uint64_t *state);

/* A header or body by hand, with the words that fit in 240 bytes at most; returns its length. */
uint32_t raw_header(uint8_t msg[VMB_MESSAGE_MAX], uint32_t channel, uint32_t id, uint32_t buflen, uint32_t ranges,
		    const uint64_t *words, uint32_t n);
uint32_t raw_body(uint8_t msg[VMB_MESSAGE_MAX], uint32_t id, const uint64_t *words, uint32_t n);

/* Announce a whole list with the library's own messages; returns what the last one gave. All before must have been WAITING,
 * unless the header was refused. */
int announce(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id, const uint64_t *words, uint32_t count, uint32_t ranges);
/* The same for a list of n pages. */
int announce_pages(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id, uint32_t n);

/* Assert that the store has this list complete, word for word. */
void assert_stored(struct vmbi_gpadl_store *s, uint32_t owner, uint32_t id, const uint64_t *words, uint32_t count,
		   uint32_t ranges);
/* How often a list is in use. */
uint32_t uses_of(struct vmbi_gpadl_store *s, uint32_t ref);
/* Assert what vmbi_gpadls_count says. */
void assert_count(struct vmbi_gpadl_store *s, uint32_t gpadls, uint32_t pages);

#endif /* TEST_GPADL_FIXTURE_H */
