/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* How libFuzzer changes inputs: mostly by steps, so that what follows stays what it was; else as it does by itself. */
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

static uint8_t mutate_operation(uint32_t *state)
{
	uint32_t r = mutate_random(state) % 80;

	return (uint8_t)(r < 64 ? r : 0xc0 + r - 64);
}

/* An operand: often nothing or little. */
static uint8_t mutate_operand(uint32_t *state)
{
	uint32_t r = mutate_random(state);

	return (uint8_t)(r & 1 ? 0 : r & 2 ? (r >> 8) % 8 : r >> 8);
}

static void mutate_value(uint8_t *at, uint32_t *state)
{
	static const uint32_t values[] = { 0, 1, 2, 3, 4, 7, 8, 16, 64, 255, 2047, 2048, 4095, 4096, 0x7fffffff, 0xffffffff };
	uint32_t r = mutate_random(state), v = r & 1 ? 0 : r & 2 ? values[(r >> 8) % 16] : mutate_random(state);

	for (uint32_t i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

/* Change one step: a byte or the value of it. */
static void mutate_step(uint8_t *step, uint32_t *state)
{
	uint32_t at = mutate_random(state) % 5;

	if (!at)
		step[0] = mutate_operation(state);
	else if (at < 4)
		step[at] = mutate_operand(state);
	else
		mutate_value(step + 4, state);
}

/* What libFuzzer makes of nothing: a piece of another input, or a phrase of the dictionary, but at the beginning of a step. */
static size_t mutate_insert(uint8_t *data, size_t steps, size_t at, size_t room)
{
	uint8_t some[8 * FUZZ_STEP] = { 0 };
	size_t n = LLVMFuzzerMutate(some, 0, sizeof some);

	n = (n + FUZZ_STEP - 1) / FUZZ_STEP;
	if (n > room)
		n = room;
	mutate_open(data, steps, at, n);
	memcpy(data + at * FUZZ_STEP, some, n * FUZZ_STEP);
	return (steps + n) * FUZZ_STEP;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint32_t state = seed;
	size_t steps = size / FUZZ_STEP, room = max / FUZZ_STEP - steps, at, from, n;
	uint8_t some[8 * FUZZ_STEP];

	if (steps < 2 ? mutate_random(&state) % 8 == 0 : mutate_random(&state) % 4 == 0)
		return LLVMFuzzerMutate(data, size, max);
	at = mutate_random(&state) % (steps + 1);
	if (!steps || mutate_random(&state) % 2)
		return mutate_insert(data, steps, at, room);
	from = mutate_random(&state) % steps;
	n = 1 + mutate_random(&state) % 8;
	switch (mutate_random(&state) % 6) {
	case 0: /* repeat some at another place */
		if (n > room)
			n = room;
		if (n > steps - from)
			n = steps - from;
		memcpy(some, data + from * FUZZ_STEP, n * FUZZ_STEP);
		mutate_open(data, steps, at, n);
		memcpy(data + at * FUZZ_STEP, some, n * FUZZ_STEP);
		return (steps + n) * FUZZ_STEP;
	case 1: /* drop some */
		if (n > steps - from)
			n = steps - from;
		if (n == steps)
			break;
		memmove(data + from * FUZZ_STEP, data + (from + n) * FUZZ_STEP, (steps - from - n) * FUZZ_STEP);
		return (steps - n) * FUZZ_STEP;
	case 2: /* one new step */
		if (!room)
			break;
		mutate_open(data, steps, at, 1);
		data[at * FUZZ_STEP] = mutate_operation(&state);
		for (uint32_t i = 1; i < 4; i++)
			data[at * FUZZ_STEP + i] = mutate_operand(&state);
		mutate_value(data + at * FUZZ_STEP + 4, &state);
		return (steps + 1) * FUZZ_STEP;
	case 3: /* swap two */
		at = at < steps ? at : 0;
		memcpy(some, data + at * FUZZ_STEP, FUZZ_STEP);
		memcpy(data + at * FUZZ_STEP, data + from * FUZZ_STEP, FUZZ_STEP);
		memcpy(data + from * FUZZ_STEP, some, FUZZ_STEP);
		return steps * FUZZ_STEP;
	}
	mutate_step(data + from * FUZZ_STEP, &state);
	return steps * FUZZ_STEP;
}
