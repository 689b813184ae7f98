/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See memory.h. The same pages are mapped twice: the test's view, and the one that is lent. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"
#include "memory.h"

static int memory_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	struct memory *m = ctx;
	uint32_t call = m->calls++;

	cr_assert(n >= 1 && n <= 32, "%u pages at once", n);
	cr_assert_eq(m->out, 0u, "mapped while mapped");
	cr_assert_eq(flags & ~VMB_MAP_WRITE, 0u);
	for (uint32_t i = 0; i < n; i++)
		pages[i] = (void *)1; /* no good unless all is well */
	if (call >= m->fail_from && call - m->fail_from < m->fail_count)
		return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] - MEMORY_FIRST >= MEMORY_PAGES || (m->bad_pfn && pfns[i] == m->bad_pfn))
			return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *page = m->lent + (pfns[i] - MEMORY_FIRST) * VMB_PAGE;

		if (m->slow)
			cr_assert_eq(mprotect(page, VMB_PAGE, flags ? PROT_READ | PROT_WRITE : PROT_READ), 0);
		pages[i] = m->out_pages[i] = page;
		m->out_pfns[i] = pfns[i];
	}
	m->out = n;
	m->out_flags = flags;
	m->maps++;
	m->pages += n;
	if (n > m->most)
		m->most = n;
	return 0;
}

static void memory_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	struct memory *m = ctx;

	cr_assert_eq(n, m->out);
	cr_assert_eq(flags, m->out_flags);
	for (uint32_t i = 0; i < n; i++) {
		cr_assert_eq(pfns[i], m->out_pfns[i]);
		cr_assert_eq(pages[i], m->out_pages[i]);
		if (m->slow)
			cr_assert_eq(mprotect(pages[i], VMB_PAGE, PROT_NONE), 0);
		if (flags)
			m->dirty[pfns[i] - MEMORY_FIRST]++;
	}
	m->out = 0;
}

void memory_new(struct memory *m)
{
	int fd = memfd_create("guest", 0);

	memset(m, 0, sizeof *m);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, MEMORY_BYTES), 0);
	m->bytes = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	m->lent = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert(m->bytes != MAP_FAILED && m->lent != MAP_FAILED);
	close(fd);
	m->mapper = (struct vmb_mapper){ m, memory_map, memory_unmap };
}

void memory_reset(struct memory *m, uint64_t *seed)
{
	uint64_t words[MEMORY_BYTES / 8 / 16];

	/* One sixteenth is random, the rest is that, moved and changed a little: quick, and no two pages are the same. */
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		words[i] = random64(seed);
	for (uint32_t part = 0; part < 16; part++) {
		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			words[i] += UINT64_C(0x0101010101010101);
		memcpy(m->bytes + part * sizeof words, words, sizeof words);
	}
	m->maps = m->pages = m->calls = m->most = m->fail_from = m->fail_count = 0;
	m->bad_pfn = 0;
	m->out = 0;
	memset(m->dirty, 0, sizeof m->dirty);
	cr_assert_eq(mprotect(m->lent, MEMORY_BYTES, m->slow ? PROT_NONE : PROT_READ | PROT_WRITE), 0);
}

void memory_assert_balanced(const struct memory *m)
{
	cr_assert_eq(m->out, 0u);
}

uint32_t memory_list(uint64_t *words, uint32_t max, uint32_t ranges, uint64_t *seed)
{
	uint32_t count = words_at_random(words, max, ranges, seed);

	for (uint32_t at = 0; at < count;) {
		uint32_t pages = ((uint32_t)(words[at] >> 32) + (uint32_t)words[at] + VMB_PAGE - 1) / VMB_PAGE;

		for (at++; pages; pages--)
			words[at++] = MEMORY_FIRST + random_below(seed, MEMORY_PAGES);
	}
	return count;
}

uint32_t memory_bytes_of(const struct vmb_list *list, uint32_t *at, uint32_t max)
{
	const uint64_t *word = list->words;
	uint32_t n = 0;

	for (uint32_t range = 0; range < list->ranges; range++) {
		uint32_t bytes = (uint32_t)*word, offset = (uint32_t)(*word >> 32), place = offset;

		for (uint32_t k = 0; k < bytes; k++, place++) {
			cr_assert_lt(n, max);
			at[n++] = (uint32_t)(word[1 + place / VMB_PAGE] - MEMORY_FIRST) * VMB_PAGE + place % VMB_PAGE;
		}
		word += 1 + (offset + bytes + VMB_PAGE - 1) / VMB_PAGE;
	}
	return n;
}
