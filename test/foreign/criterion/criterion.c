/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Runs the tests of a program, each in a child of its own, one after the other.
 *
 *     test_x [--filter SUITE/NAME] [--tap=FILE]
 *
 * $FOREIGN_CPU: a test that has used so many seconds of processor time, and found nothing yet, is skipped, and says so.
 * The exit status is 0 if no test failed, also where there was none: test/run counts, as it must with Criterion.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	RETURNED = 90,  /* exit status of a child whose test came to its end: nothing else ends so by chance */
	FAILED = 91,
	SLOWER = 20,    /* emulation, beside the processors that the limits are meant for */
	LIMIT = 200     /* seconds, where a test names no limit */
};

static struct foreign_test *tests, **tests_end = &tests;

void foreign_add(struct foreign_test *test)
{
	*tests_end = test;
	tests_end = &test->next;
}

void foreign_fail(const char *file, int line, const char *what, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: not so: %s", file, line, what);
	if (*format != '\n') {
		va_start(args, format);
		fprintf(stderr, ": ");
		vfprintf(stderr, format, args);
		va_end(args);
	}
	fprintf(stderr, "\n");
	fflush(NULL);
	_exit(FAILED);
}

/* The suite's own options, if it has any. */
static const struct foreign_options *of_suite(const char *suite)
{
	static const struct foreign_options none;

	for (const struct foreign_test *t = tests; t; t = t->next)
		if (!t->run && !strcmp(t->suite, suite))
			return &t->options;
	return &none;
}

static _Noreturn void child(const struct foreign_test *t, const struct foreign_options *suite)
{
	const char *cpu = getenv("FOREIGN_CPU");
	double limit = t->options.timeout > 0 ? t->options.timeout : suite->timeout;

	alarm(limit > 0 ? (unsigned)(limit * SLOWER) : LIMIT);
	if (cpu)
		setrlimit(RLIMIT_CPU, &(struct rlimit){ (rlim_t)atoi(cpu), RLIM_INFINITY });
	if (suite->init)
		suite->init();
	if (t->options.init)
		t->options.init();
	t->run();
	if (t->options.fini)
		t->options.fini();
	if (suite->fini)
		suite->fini();
	fflush(NULL);
	_exit(RETURNED);
}

/* 1: passed. 0: failed. -1: skipped. */
static int passes(const struct foreign_test *t)
{
	const struct foreign_options *suite = of_suite(t->suite);
	int want_signal = t->options.signal ? t->options.signal : suite->signal;
	int want_code = t->options.exit_code ? t->options.exit_code : suite->exit_code;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child(t, suite);
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 0;
	if (pid < 0)
		return 0;
	if (getenv("FOREIGN_CPU") && WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		return -1;
	if (want_signal)
		return WIFSIGNALED(status) && WTERMSIG(status) == want_signal;
	if (WIFEXITED(status) && WEXITSTATUS(status) == (want_code ? want_code : RETURNED))
		return 1;
	if (WIFSIGNALED(status))
		fprintf(stderr, "%s::%s: signal %d\n", t->suite, t->name, WTERMSIG(status));
	else if (WEXITSTATUS(status) != FAILED)
		fprintf(stderr, "%s::%s: exit status %d\n", t->suite, t->name, WEXITSTATUS(status));
	return 0;
}

static int chosen(const struct foreign_test *t, const char *filter)
{
	char name[512];

	snprintf(name, sizeof name, "%s/%s", t->suite, t->name);
	return t->run && (!filter || !fnmatch(filter, name, 0));
}

int main(int argc, char **argv)
{
	const char *filter = NULL;
	FILE *tap = NULL;
	unsigned planned = 0, failed = 0;

	for (int i = 1; i < argc; i++) {
		if (!strncmp(argv[i], "--tap=", 6))
			tap = fopen(argv[i] + 6, "w");
		else if (!strcmp(argv[i], "--filter") && i + 1 < argc)
			filter = argv[++i];
		else
			return fprintf(stderr, "%s: no such option: %s\n", argv[0], argv[i]), 2;
	}
	if (!tap)
		tap = stdout;
	for (const struct foreign_test *t = tests; t; t = t->next)
		planned += (unsigned)chosen(t, filter);
	fprintf(tap, "TAP version 13\n1..%u\n", planned);
	for (const struct foreign_test *t = tests; t; t = t->next) {
		int good;

		if (!chosen(t, filter))
			continue;
		good = passes(t);
		failed += !good;
		fprintf(tap, "%s - %s::%s%s\n", good ? "ok" : "not ok", t->suite, t->name, good < 0 ? " # SKIP too long under emulation" : "");
	}
	return fflush(tap) || failed;
}
