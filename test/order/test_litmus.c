/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The memory that walk.h simulates, by the small tests that memory models are known by: what it must let happen, or it would not find
 * what AArch64 does, and what it must not, or it would find what never happens.
 */
#include "walk.h"

#include <criterion/criterion.h>
#include <string.h>

#define RLX __ATOMIC_RELAXED
#define ACQ __ATOMIC_ACQUIRE
#define REL __ATOMIC_RELEASE
#define FENCE() walk_fence(__ATOMIC_SEQ_CST)

static uint32_t x, y, z;
static uint64_t bytes;
static uint32_t a, b, c; /* what was read */
static uint32_t seen[3][3][3];

static void begin(void *ctx)
{
	(void)ctx;
	x = y = z = 0;
	bytes = 0;
	a = b = c = 0;
}

static enum walk_kind place(void *ctx, const void *address, uint32_t *number)
{
	(void)ctx;
	*number = address == &x ? 0 : address == &y ? 1 : address == &z ? 2 : 3;
	if (address == &bytes) {
		*number = 0;
		return WALK_DATA;
	}
	return *number < 3 ? WALK_CONTROL : WALK_PRIVATE;
}

static const char *note(void *ctx)
{
	(void)ctx;
	seen[a][b][c]++;
	return NULL;
}

static struct walk_result walk(void (*one)(void *), void (*two)(void *), uint32_t flags)
{
	struct walk_case w = { NULL, begin, { one, two }, note, place, NULL, flags, 0 };
	struct walk_result r;

	memset(seen, 0, sizeof seen);
	walk_explore(&w, &r);
	return r;
}

static uint32_t load(uint32_t *p, int order)
{
	return (uint32_t)walk_load(p, 4, order);
}

#define SIDE(name, ...) static void name(void *ctx) { (void)ctx; __VA_ARGS__ }

/* Store buffering: a store is delayed past a later load. */
SIDE(sb_1, walk_store(&x, 4, 1, REL); a = load(&y, ACQ);)
SIDE(sb_2, walk_store(&y, 4, 1, REL); b = load(&x, ACQ);)
SIDE(sb_1_fence, walk_store(&x, 4, 1, RLX); FENCE(); a = load(&y, RLX);)
SIDE(sb_2_fence, walk_store(&y, 4, 1, RLX); FENCE(); b = load(&x, RLX);)
SIDE(sb_1_swap, (void)walk_exchange(&x, 4, 1, __ATOMIC_SEQ_CST); a = load(&y, RLX);)
SIDE(sb_2_swap, (void)walk_exchange(&y, 4, 1, __ATOMIC_SEQ_CST); b = load(&x, RLX);)

Test(order_litmus, store_buffering_needs_two_full_fences)
{
	(void)walk(sb_1, sb_2, 0);
	cr_assert(seen[0][0][0] && seen[0][1][0] && seen[1][0][0] && seen[1][1][0]);
	(void)walk(sb_1_fence, sb_2, 0);
	cr_assert(seen[0][0][0]);
	(void)walk(sb_1_fence, sb_2_fence, WALK_LATE);
	cr_assert(!seen[0][0][0] && seen[0][1][0] && seen[1][0][0] && seen[1][1][0]);
	(void)walk(sb_1_swap, sb_2_swap, 0);
	cr_assert(seen[0][0][0], "elsewhere an exchange is no fence");
	(void)walk(sb_1_swap, sb_2_swap, WALK_X86);
	cr_assert(!seen[0][0][0] && seen[1][1][0]);
}

/* Message passing: stores are delayed past later stores, and loads done before earlier loads. */
SIDE(mp_1, walk_store(&x, 4, 1, RLX); walk_store(&y, 4, 1, RLX);)
SIDE(mp_1_release, walk_store(&x, 4, 1, RLX); walk_store(&y, 4, 1, REL);)
SIDE(mp_1_fence, walk_store(&x, 4, 1, RLX); FENCE(); walk_store(&y, 4, 1, RLX);)
SIDE(mp_2, a = load(&y, RLX); b = load(&x, RLX);)
SIDE(mp_2_acquire, a = load(&y, ACQ); b = load(&x, RLX);)
SIDE(mp_2_fence, a = load(&y, RLX); FENCE(); b = load(&x, RLX);)

Test(order_litmus, message_passing_needs_release_and_acquire)
{
	(void)walk(mp_1, mp_2_acquire, 0);
	cr_assert(seen[1][0][0], "stores out of order");
	(void)walk(mp_1_release, mp_2, 0);
	cr_assert(seen[1][0][0], "loads out of order");
	(void)walk(mp_1_release, mp_2_acquire, WALK_LATE);
	cr_assert(!seen[1][0][0] && seen[0][0][0] && seen[0][1][0] && seen[1][1][0]);
	(void)walk(mp_1_fence, mp_2_acquire, WALK_LATE);
	cr_assert(!seen[1][0][0]);
	(void)walk(mp_1_release, mp_2_fence, WALK_LATE);
	cr_assert(!seen[1][0][0]);
}

/* Load buffering: a load is done after a later store. */
SIDE(lb_1, a = load(&x, RLX); walk_store(&y, 4, 1, RLX);)
SIDE(lb_2, b = load(&y, RLX); walk_store(&x, 4, 1, RLX);)
SIDE(lb_1_acquire, a = load(&x, ACQ); walk_store(&y, 4, 1, RLX);)
SIDE(lb_2_release, b = load(&y, RLX); walk_store(&x, 4, 1, REL);)
SIDE(lb_2_fence, b = load(&y, RLX); FENCE(); walk_store(&x, 4, 1, RLX);)

Test(order_litmus, a_load_may_be_late_until_release_fence_or_if_acquire)
{
	(void)walk(lb_1, lb_2, 0);
	cr_assert(!seen[1][1][0]);
	(void)walk(lb_1, lb_2, WALK_LATE);
	cr_assert(seen[1][1][0] && seen[0][0][0] && seen[0][1][0] && seen[1][0][0]);
	(void)walk(lb_1_acquire, lb_2_release, WALK_LATE);
	cr_assert(!seen[1][1][0]);
	(void)walk(lb_1_acquire, lb_2_fence, WALK_LATE);
	cr_assert(!seen[1][1][0]);
	(void)walk(lb_1, lb_2_release, WALK_LATE);
	cr_assert(seen[1][1][0], "one of the two alone is not enough");
}

/* One word is never seen to go back, and own stores are seen. */
SIDE(co_1, walk_store(&x, 4, 1, RLX); walk_store(&x, 4, 2, RLX);)
SIDE(co_2, a = load(&x, RLX); b = load(&x, RLX); c = load(&x, RLX);)
SIDE(co_own, a = load(&x, RLX); walk_store(&x, 4, 1, RLX); b = load(&x, RLX);)
SIDE(nothing, ;)

Test(order_litmus, each_word_has_one_order)
{
	(void)walk(co_1, co_2, WALK_LATE);
	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t j = 0; j < 3; j++)
			for (uint32_t k = 0; k < 3; k++)
				cr_assert_eq(seen[i][j][k] > 0, i <= j && j <= k, "%u %u %u", i, j, k);
	(void)walk(co_own, nothing, WALK_LATE);
	cr_assert(seen[0][1][0] && !seen[0][0][0] && !seen[1][1][0]);
}

/* Fences order what happens before only where a load has read: data needs more than to be lucky. */
SIDE(data_1, walk_copy_in(&bytes, &(uint64_t){ 7 }, 8); walk_store(&x, 4, 1, REL);)
SIDE(data_1_relaxed, walk_copy_in(&bytes, &(uint64_t){ 7 }, 8); walk_store(&x, 4, 1, RLX);)
SIDE(data_2, if (load(&x, ACQ)) a = walk_load(&bytes, 8, RLX) == 7;)
SIDE(data_2_relaxed, if (load(&x, RLX)) a = walk_load(&bytes, 8, RLX) == 7;)
SIDE(data_2_fence, if (load(&x, RLX)) { FENCE(); a = walk_load(&bytes, 8, RLX) == 7; })
SIDE(data_2_blind, FENCE(); a = walk_load(&bytes, 8, RLX) == 7;)
SIDE(reuse_1, if (load(&x, ACQ)) walk_copy_in(&bytes, &(uint64_t){ 9 }, 8);)
SIDE(reuse_1_relaxed, if (load(&x, RLX)) walk_copy_in(&bytes, &(uint64_t){ 9 }, 8);)
SIDE(reuse_2, a = walk_load(&bytes, 8, RLX) == 9; walk_store(&x, 4, 1, REL);)
SIDE(reuse_2_relaxed, a = walk_load(&bytes, 8, RLX) == 9; walk_store(&x, 4, 1, RLX);)

Test(order_litmus, bytes_are_read_after_they_are_written_and_written_after_they_are_read)
{
	cr_assert_eq(walk(data_1, data_2, WALK_LATE).bad, 0);
	cr_assert(seen[1][0][0]);
	cr_assert_eq(walk(data_1, data_2_fence, WALK_LATE).bad, 0);
	cr_assert_str_eq(walk(data_1_relaxed, data_2, 0).why, "a byte read before it was written");
	cr_assert_str_eq(walk(data_1, data_2_relaxed, 0).why, "a byte read before it was written");
	cr_assert(walk(data_1, data_2_blind, 0).bad);
	cr_assert_eq(walk(reuse_1, reuse_2, WALK_LATE).bad, 0);
	cr_assert(!seen[1][0][0]);
	cr_assert_str_eq(walk(reuse_1_relaxed, reuse_2, 0).why, "a byte written before it was read");
	cr_assert_str_eq(walk(reuse_1, reuse_2_relaxed, 0).why, "a byte written before it was read");
}

/* Who sleeps is woken, once for any number of signals before; or that is found. */
SIDE(sleeps, walk_wait(); a = load(&x, ACQ);)
SIDE(sleeps_twice, walk_wait(); walk_wait();)
SIDE(wakes, walk_store(&x, 4, 1, REL); walk_signal();)
SIDE(wakes_twice, walk_signal(); walk_signal();)

Test(order_litmus, sleep_without_a_signal_is_a_lost_wake_up)
{
	cr_assert_eq(walk(sleeps, wakes, 0).bad, 0);
	cr_assert(seen[0][0][0] && seen[1][0][0], "a signal orders no memory");
	cr_assert_str_eq(walk(sleeps, nothing, 0).why, "lost wake-up");
	cr_assert_str_eq(walk(sleeps_twice, wakes_twice, 0).why, "lost wake-up");
}

/* As many schedules as there are: three steps each, any of two values where there are two. */
SIDE(three_1, walk_store(&x, 4, 1, RLX); walk_store(&x, 4, 2, RLX); walk_store(&x, 4, 3, RLX);)
SIDE(three_2, walk_store(&y, 4, 1, RLX); walk_store(&y, 4, 2, RLX); walk_store(&y, 4, 3, RLX);)

Test(order_litmus, schedules_are_counted)
{
	struct walk_result r = walk(three_1, three_2, 0);

	cr_assert_eq(r.schedules, 20, "%f", r.schedules);  /* 6 over 3 */
	cr_assert_eq(r.states, 9, "%llu", (unsigned long long)r.states); /* 4 by 4, less those where one has ended */
	r = walk(mp_1, mp_2, 0);
	/* stores to x and y in each of six places among the loads of y and x, with the choices that these have there */
	cr_assert_eq(r.schedules, 2 * 2 + 1 * 2 + 1 * 2 + 1 * 2 + 1 * 2 + 1, "%f", r.schedules);
}
