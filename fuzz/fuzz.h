/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What the targets share. An input is a program: steps of 8 bytes, each an operation with its operands; what is left over at the end is
 * ignored. So a mutator can insert, drop and repeat steps, and everything behind keeps its meaning.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
# if __has_feature(address_sanitizer)
#  define FUZZ_ASAN 1
# endif
#elif defined(__SANITIZE_ADDRESS__)
# define FUZZ_ASAN 1
#endif
#ifdef FUZZ_ASAN
# include <sanitizer/asan_interface.h>
# define fuzz_poison(p, n) __asan_poison_memory_region((p), (n))
# define fuzz_unpoison(p, n) __asan_unpoison_memory_region((p), (n))
#else
# define fuzz_poison(p, n) ((void)(p), (void)(n))
# define fuzz_unpoison(p, n) ((void)(p), (void)(n))
#endif

#define FUZZ_STEP 8u          /* bytes */
#define FUZZ_STEPS_MAX 400u   /* of one input: more is ignored, for speed */

struct fuzz_step {
	uint8_t op, a, b, c;
	uint32_t v;
};

struct fuzz_input {
	const uint8_t *at;
	size_t left;
	unsigned steps;
};

/* In each target. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void fuzz_touch(const volatile void *p, size_t n);

/* A rule was broken: say which, and stop where a debugger and the fuzzer can see it. */
#define fuzz_need(rule) ((rule) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #rule))
static inline void fuzz_broken(const char *file, int line, const char *rule)
{
	fprintf(stderr, "%s:%d: broken: %s\n", file, line, rule);
	abort();
}

static inline uint32_t fuzz_get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* FUZZ_TRACE=1: what happens, as text. */
#define fuzz_trace(...) (fuzz_tracing() ? (void)fprintf(stderr, __VA_ARGS__) : (void)0)
static inline int fuzz_tracing(void)
{
	static int state;

	if (!state)
		state = getenv("FUZZ_TRACE") ? 1 : 2;
	return state == 1;
}

/* 1 and the next step, or 0 at the end. */
static inline int fuzz_next(struct fuzz_input *in, struct fuzz_step *s)
{
	if (in->left < FUZZ_STEP || in->steps >= FUZZ_STEPS_MAX)
		return 0;
	*s = (struct fuzz_step){ in->at[0], in->at[1], in->at[2], in->at[3], fuzz_get32(in->at + 4) };
	in->at += FUZZ_STEP;
	in->left -= FUZZ_STEP;
	in->steps++;
	fuzz_trace("%u: op %u a %u b %u c %u v %#x\n", in->steps, s->op, s->a, s->b, s->c, s->v);
	return 1;
}

/* Memory of exactly this size, aligned, full of a pattern: what must be initialised is not by chance. */
static inline void *fuzz_alloc(size_t align, size_t bytes)
{
	void *p = NULL;

	fuzz_need(!posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, bytes ? bytes : 1));
	memset(p, 0xa5, bytes);
	return p;
}

#endif /* FUZZ_H */
