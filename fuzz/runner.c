/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Runs a target on files, without a fuzzer, with any compiler: each file is a test, which fails by dying. Without arguments it takes
 * fuzz/corpus/<its own name>. Each input has a process of its own, so that one failure hides no other.
 *
 *     ring [FILE or DIRECTORY]...      the last line is "N passed, N failed"
 *
 * FUZZ_RUNNER_ONE_PROCESS=1 runs all in this process: for debuggers and coverage.
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNNER_SECONDS 120u /* for one input, on a slow and busy machine */

static unsigned runner_passed, runner_failed;

static void runner_input(const uint8_t *data, size_t size)
{
	/* Exactly as large as the input, so that reading on is noticed. */
	uint8_t *copy = malloc(size ? size : 1);

	fuzz_need(copy);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

/* 1: it lived. */
static int runner_child(const uint8_t *data, size_t size)
{
	int status;
	pid_t pid;

	if (getenv("FUZZ_RUNNER_ONE_PROCESS")) {
		runner_input(data, size);
		return 1;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(RUNNER_SECONDS);
		runner_input(data, size);
		exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

static void runner_file(const char *path)
{
	static uint8_t data[1 << 16];
	FILE *f = fopen(path, "rb");
	size_t size = f ? fread(data, 1, sizeof data, f) : 0;

	if (f && !ferror(f) && runner_child(data, size)) {
		runner_passed++;
	} else {
		runner_failed++;
		printf("FAILED  %s\n", path);
	}
	if (f)
		fclose(f);
}

static int runner_sort(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int runner_visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void runner_path(const char *path)
{
	struct dirent **list;
	struct stat st;
	int n;

	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		runner_file(path);
		return;
	}
	n = scandir(path, &list, runner_visible, runner_sort);
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof file, "%s/%s", path, list[i]->d_name);
		runner_file(file);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	char corpus[256];

	snprintf(corpus, sizeof corpus, "fuzz/corpus/%s", name ? name + 1 : argv[0]);
	if (argc < 2)
		runner_path(corpus);
	for (int i = 1; i < argc; i++)
		runner_path(argv[i]);
	if (!runner_passed && !runner_failed) {
		printf("no input\n");
		runner_failed = 1;
	}
	printf("%u passed, %u failed\n", runner_passed, runner_failed);
	return runner_failed != 0;
}
