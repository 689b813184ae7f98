/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What a thread program counts, for its closing line. */
#ifndef TEST_THREADS_TALLY_H
#define TEST_THREADS_TALLY_H

#include <stdio.h>
#include <unistd.h>

static unsigned tally_passed, tally_failed;

static inline void check(int ok, const char *what)
{
	tally_passed += ok != 0;
	tally_failed += !ok;
	if (!ok)
		printf("FAILED: %s\n", what);
}

/* The closing line; what main returns. */
static inline int tally(void)
{
	printf("%u passed, %u failed\n", tally_passed, tally_failed);
	fflush(stdout);
	return tally_failed != 0;
}

/* Nothing makes sense without it: the program ends here, whatever its other threads do. */
static inline void must(int ok, const char *what)
{
	if (ok)
		return;
	check(0, what);
	_exit(tally());
}

#endif /* TEST_THREADS_TALLY_H */
