/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* How libFuzzer changes inputs: half of the time by steps, so that what follows stays what it was; else as it does by itself. */
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

/* A linear congruence is random enough here, and the same everywhere. */
static uint32_t mutate_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Make room for n steps at step `at`. */
static void mutate_open(uint8_t *data, size_t steps, size_t at, size_t n)
{
	memmove(data + (at + n) * FUZZ_STEP, data + at * FUZZ_STEP, (steps - at) * FUZZ_STEP);
}

/* One step: a byte or the value of it. */
static void mutate_step(uint8_t *step, uint32_t *state)
{
	uint32_t r = mutate_random(state), at = r % 5;
	static const uint32_t values[] = { 0, 1, 2, 3, 4, 7, 8, 16, 64, 255, 2047, 2048, 4095, 4096, 0x7fffffff, 0xffffffff };

	if (at < 4) {
		step[at] = (uint8_t)(r & 64 ? r >> 8 : (r >> 8) % 40);
	} else {
		uint32_t v = r & 64 ? mutate_random(state) : values[(r >> 8) % 16];

		for (uint32_t i = 0; i < 4; i++)
			step[4 + i] = (uint8_t)(v >> (8 * i));
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint32_t state = seed;
	size_t steps = size / FUZZ_STEP, room = max / FUZZ_STEP - steps, at, from, n;
	uint8_t some[8 * FUZZ_STEP];

	if (!steps || mutate_random(&state) % 2)
		return LLVMFuzzerMutate(data, size, max);
	at = mutate_random(&state) % steps;
	from = mutate_random(&state) % steps;
	n = 1 + mutate_random(&state) % 8;
	switch (mutate_random(&state) % 5) {
	case 0: /* repeat some at another place */
		if (n > room)
			n = room;
		if (n > steps - from)
			n = steps - from;
		if (!n)
			break;
		memcpy(some, data + from * FUZZ_STEP, n * FUZZ_STEP);
		mutate_open(data, steps, at, n);
		memcpy(data + at * FUZZ_STEP, some, n * FUZZ_STEP);
		return (steps + n) * FUZZ_STEP;
	case 1: /* drop some */
		if (n > steps - at)
			n = steps - at;
		if (n == steps)
			break;
		memmove(data + at * FUZZ_STEP, data + (at + n) * FUZZ_STEP, (steps - at - n) * FUZZ_STEP);
		return (steps - n) * FUZZ_STEP;
	case 2: /* one new step */
		if (!room)
			break;
		mutate_open(data, steps, at, 1);
		for (uint32_t i = 0; i < FUZZ_STEP; i++)
			data[at * FUZZ_STEP + i] = (uint8_t)(i == 0 || i > 3 ? mutate_random(&state) % 64 : mutate_random(&state));
		return (steps + 1) * FUZZ_STEP;
	case 3: /* swap two */
		memcpy(some, data + at * FUZZ_STEP, FUZZ_STEP);
		memcpy(data + at * FUZZ_STEP, data + from * FUZZ_STEP, FUZZ_STEP);
		memcpy(data + from * FUZZ_STEP, some, FUZZ_STEP);
		return steps * FUZZ_STEP;
	}
	mutate_step(data + at * FUZZ_STEP, &state);
	return steps * FUZZ_STEP;
}
