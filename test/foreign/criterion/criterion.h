/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The part of Criterion that the tests use, for processors where Criterion itself is not to be had: Debian 12 has none for riscv64, elsewhere
 * it takes a whole foreign system to link (libgit2 and what that needs), and it begins each test by executing its own program anew, which
 * a kernel without a binfmt_misc entry for that processor refuses. This one forks. scripts/foreign builds the tests with it, nobody else does.
 *
 * Same names, same meaning, same TAP report. What is not here does not compile; then it is added here.
 */
#ifndef FOREIGN_CRITERION_H
#define FOREIGN_CRITERION_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct foreign_options {
	int signal, exit_code;     /* how the test is to end; 0: by returning */
	double timeout;            /* seconds, before scripts/foreign's factor; 0: none of its own */
	void (*init)(void), (*fini)(void);
	int sentinel;
};

struct foreign_test { /* or, without run, a suite */
	const char *suite, *name;
	void (*run)(void);
	struct foreign_options options;
	struct foreign_test *next;
};

void foreign_add(struct foreign_test *test);
_Noreturn void foreign_fail(const char *file, int line, const char *what, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#define FOREIGN_ADD(id, ...) \
	__attribute__((constructor)) static void id##_add(void) \
	{ \
		static struct foreign_test test = { __VA_ARGS__ }; \
		foreign_add(&test); \
	}

/* The sentinel stands for the optional arguments where there are none: C11 wants one for "...". */
#define Test(...) FOREIGN_TEST(__VA_ARGS__, .sentinel = 0)
#define FOREIGN_TEST(suite, name, ...) \
	static void suite##_##name##_run(void); \
	FOREIGN_ADD(suite##_##name, #suite, #name, suite##_##name##_run, { __VA_ARGS__ }, NULL) \
	static void suite##_##name##_run(void)
#define TestSuite(...) FOREIGN_SUITE(__VA_ARGS__, .sentinel = 0)
#define FOREIGN_SUITE(suite, ...) \
	FOREIGN_ADD(suite##_suite, #suite, NULL, NULL, { __VA_ARGS__ }, NULL) \
	struct foreign_test /* takes the semicolon */

/* The same trick: an empty message where there is none, an argument too many for the message where there is one. */
#define FOREIGN_ASSERT(condition, what, ...) \
	((condition) ? (void)0 : foreign_fail(__FILE__, __LINE__, what, __VA_ARGS__))
#define FOREIGN_CHECK(a, ...) FOREIGN_ASSERT(a, #a, __VA_ARGS__)
#define FOREIGN_EQ(a, b, ...) FOREIGN_ASSERT((a) == (b), #a " == " #b, __VA_ARGS__)
#define FOREIGN_NEQ(a, b, ...) FOREIGN_ASSERT((a) != (b), #a " != " #b, __VA_ARGS__)
#define FOREIGN_LT(a, b, ...) FOREIGN_ASSERT((a) < (b), #a " < " #b, __VA_ARGS__)
#define FOREIGN_LEQ(a, b, ...) FOREIGN_ASSERT((a) <= (b), #a " <= " #b, __VA_ARGS__)
#define FOREIGN_GT(a, b, ...) FOREIGN_ASSERT((a) > (b), #a " > " #b, __VA_ARGS__)
#define FOREIGN_GEQ(a, b, ...) FOREIGN_ASSERT((a) >= (b), #a " >= " #b, __VA_ARGS__)
#define FOREIGN_NULL(a, ...) FOREIGN_ASSERT((a) == NULL, #a " is NULL", __VA_ARGS__)
#define FOREIGN_NOT_NULL(a, ...) FOREIGN_ASSERT((a) != NULL, #a " is not NULL", __VA_ARGS__)
#define FOREIGN_STR_EQ(a, b, ...) FOREIGN_ASSERT(!strcmp(a, b), #a " is the string " #b, __VA_ARGS__)
#define FOREIGN_STR_NEQ(a, b, ...) FOREIGN_ASSERT(strcmp(a, b), #a " is not the string " #b, __VA_ARGS__)
#define FOREIGN_ARR_EQ(a, b, n, ...) FOREIGN_ASSERT(!memcmp(a, b, n), #a " has the bytes of " #b, __VA_ARGS__)

#define cr_assert(...) FOREIGN_CHECK(__VA_ARGS__, "\n")
#define cr_assert_eq(...) FOREIGN_EQ(__VA_ARGS__, "\n")
#define cr_assert_neq(...) FOREIGN_NEQ(__VA_ARGS__, "\n")
#define cr_assert_lt(...) FOREIGN_LT(__VA_ARGS__, "\n")
#define cr_assert_leq(...) FOREIGN_LEQ(__VA_ARGS__, "\n")
#define cr_assert_gt(...) FOREIGN_GT(__VA_ARGS__, "\n")
#define cr_assert_geq(...) FOREIGN_GEQ(__VA_ARGS__, "\n")
#define cr_assert_null(...) FOREIGN_NULL(__VA_ARGS__, "\n")
#define cr_assert_not_null(...) FOREIGN_NOT_NULL(__VA_ARGS__, "\n")
#define cr_assert_str_eq(...) FOREIGN_STR_EQ(__VA_ARGS__, "\n")
#define cr_assert_str_neq(...) FOREIGN_STR_NEQ(__VA_ARGS__, "\n")
#define cr_assert_arr_eq(...) FOREIGN_ARR_EQ(__VA_ARGS__, "\n")
#define cr_assert_fail(...) foreign_fail(__FILE__, __LINE__, "here", __VA_ARGS__)

#endif
