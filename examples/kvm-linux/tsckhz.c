/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Prints this machine's TSC frequency in kHz. QEMU's emulated processors count with it too; but a kernel in there that
 * measures it for itself may find a fifth of it when the machine is busy. `run` tells it the truth instead.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define WINDOW_NS 200000000
#define TRIES 1000

static uint64_t raw_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Both clocks at one moment: of many tries the one with the least time between the TSC's readings before and after. */
static void sample(uint64_t *tsc, uint64_t *ns)
{
	uint64_t before, after, now, best = UINT64_MAX;
	int i;

	for (i = 0; i < TRIES; i++) {
		before = __rdtsc();
		now = raw_ns();
		after = __rdtsc();
		if (after - before < best) {
			best = after - before;
			*tsc = before + best / 2;
			*ns = now;
		}
	}
}

int main(void)
{
	struct timespec window = { .tv_nsec = WINDOW_NS };
	uint64_t tsc[2] = { 0, 0 }, ns[2] = { 0, 0 };

	sample(&tsc[0], &ns[0]);
	nanosleep(&window, NULL);
	sample(&tsc[1], &ns[1]);
	printf("%llu\n", (unsigned long long)((tsc[1] - tsc[0]) * 1000000u / (ns[1] - ns[0])));
	return 0;
}
