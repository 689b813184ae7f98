/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The sets of ids alone: against a sorted array, and their promise that no choice of ids makes a path longer than 32 steps. */
#include <criterion/criterion.h>
#include <string.h>

#include "fixture.h"
#include "lib/gpadl/ids.h"

#define REFS 4000u
#define SETS 7u

static struct vmbi_ids t;
static uint32_t id[REFS + 1];
static struct vmbi_ids_node nodes[REFS + 1];
static uint32_t root[SETS];
static uint8_t member[SETS][REFS + 1]; /* by reference */

static void start(void)
{
	memset(nodes, 0xa5, sizeof nodes);
	memset(id, 0xa5, sizeof id);
	vmbi_ids_init(&t, nodes, REFS, id);
}

TestSuite(gpadl_ids, .init = start);

struct visit {
	uint32_t link, above, depth; /* above: the mask of the node before */
	uint32_t fixed, value;       /* the bits known from the path */
};

/* Everything below `link`: one bit per node, falling from top to bottom, on which the two sides differ. Returns the number of
 * members. */
static uint32_t check(uint32_t link, uint32_t *deepest)
{
	struct visit stack[80], at;
	uint32_t members = 0, top = 0;

	if (link)
		stack[top++] = (struct visit){ link, 0, 0, 0, 0 };
	while (top) {
		at = stack[--top];
		if (at.depth > *deepest)
			*deepest = at.depth;
		cr_assert_leq(at.depth, 32u);
		if (at.link & 1) {
			cr_assert_eq(id[at.link >> 1] & at.fixed, at.value); /* on the sides where the bits say */
			members++;
			continue;
		}
		const struct vmbi_ids_node *n = &nodes[at.link >> 1];

		cr_assert(n->mask && !(n->mask & (n->mask - 1)));
		cr_assert(!at.above || n->mask < at.above);
		for (uint32_t side = 0; side < 2; side++) {
			cr_assert_neq(n->child[side], 0u);
			cr_assert_lt(top, 79u);
			stack[top++] = (struct visit){ n->child[side], n->mask, at.depth + 1, at.fixed | n->mask,
						       at.value | (side ? n->mask : 0) };
		}
	}
	return members;
}

static uint32_t slow_find(uint32_t set, uint32_t want)
{
	for (uint32_t ref = 1; ref <= REFS; ref++)
		if (member[set][ref] && id[ref] == want)
			return ref;
	return 0;
}

static int is_member(uint32_t ref)
{
	for (uint32_t set = 0; set < SETS; set++)
		if (member[set][ref])
			return 1;
	return 0;
}

/* The least id above `from`, or from `from` on. */
static uint32_t slow_after(uint32_t set, uint32_t from, int itself)
{
	uint32_t best = 0;

	for (uint32_t ref = 1; ref <= REFS; ref++)
		if (member[set][ref] && (id[ref] > from || (itself && id[ref] == from)) && (!best || id[ref] < id[best]))
			best = ref;
	return best;
}

/* Ids of the shapes that guests count in, and worse. */
static uint32_t some_id(uint64_t *seed)
{
	switch (random_below(seed, 5)) {
	case 0: return 0xe1e10 + random_below(seed, 300);
	case 1: return (uint32_t)random64(seed);
	case 2: return UINT32_C(1) << random_below(seed, 32);
	case 3: return 0xffffffff << random_below(seed, 32);
	default: return random_below(seed, 40);
	}
}

Test(gpadl_ids, behave_as_a_sorted_array)
{
	uint64_t seed = 3;
	uint32_t deepest = 0, next_ref = 1, members = 0;

	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t set = random_below(&seed, SETS), want = some_id(&seed), ref = vmbi_ids_find(&t, root[set], want);

		cr_assert_eq(ref, slow_find(set, want));
		if (ref && random_below(&seed, 2)) {
			vmbi_ids_remove(&t, &root[set], ref);
			member[set][ref] = 0;
			members--;
		} else if (!ref && members < 300) {
			while (is_member(next_ref))
				next_ref = next_ref % REFS + 1;
			id[next_ref] = want;
			member[set][next_ref] = 1;
			vmbi_ids_insert(&t, &root[set], next_ref);
			members++;
		}
		if (i % 4 == 0) {
			cr_assert_eq(vmbi_ids_after(&t, root[set], want), slow_after(set, want, 0));
			cr_assert_eq(vmbi_ids_first(&t, root[set]), slow_after(set, 0, 1));
		}
		if (i % 64 == 0) {
			uint32_t sum = 0;

			for (uint32_t k = 0; k < SETS; k++)
				sum += check(root[k], &deepest);
			cr_assert_eq(sum, members);
		}
	}
	cr_assert_gt(deepest, 10u);
}

/* The longest path that there can be: ids that differ in one more bit each. And 4000 at once, as 2000 channels may have. */
Test(gpadl_ids, no_choice_of_ids_makes_a_path_longer_than_32)
{
	uint64_t seed = 9;
	uint32_t deepest = 0;

	for (uint32_t i = 0; i <= 32; i++) {
		id[i + 1] = i ? UINT32_C(1) << (i - 1) : 0;
		vmbi_ids_insert(&t, &root[0], i + 1);
	}
	cr_assert_eq(check(root[0], &deepest), 33u);
	cr_assert_eq(deepest, 32u);
	for (uint32_t i = 33; i < REFS; i++) {
		id[i + 1] = i * 0x01000193;
		while (vmbi_ids_find(&t, root[0], id[i + 1]))
			id[i + 1] = (uint32_t)random64(&seed);
		vmbi_ids_insert(&t, &root[0], i + 1);
	}
	cr_assert_eq(check(root[0], &deepest), REFS);
	cr_assert_leq(deepest, 32u);
	for (uint32_t i = 1; i <= REFS; i++)
		cr_assert_eq(vmbi_ids_find(&t, root[0], id[i]), i);
}

/* No node is lost: each set can be filled and emptied for ever. */
Test(gpadl_ids, nodes_come_back)
{
	uint64_t seed = 11;

	for (uint32_t round = 0; round < 50; round++) {
		uint32_t deepest = 0;

		for (uint32_t i = 1; i <= REFS; i++) {
			id[i] = i * 0x9e3779b1u + round;
			vmbi_ids_insert(&t, &root[i % SETS], i);
		}
		for (uint32_t i = 1; i <= REFS; i++) {
			uint32_t set = random_below(&seed, SETS), ref = vmbi_ids_after(&t, root[set], (uint32_t)random64(&seed));

			if (!ref)
				ref = vmbi_ids_first(&t, root[set]);
			if (ref)
				vmbi_ids_remove(&t, &root[set], ref);
		}
		for (uint32_t set = 0; set < SETS; set++) {
			while (root[set])
				vmbi_ids_remove(&t, &root[set], vmbi_ids_first(&t, root[set]));
			cr_assert_eq(check(root[set], &deepest), 0u);
		}
	}
	for (uint32_t n = t.free, count = 0;; n = nodes[n].child[0], count++) {
		if (!n) {
			cr_assert_eq(count, REFS);
			break;
		}
		cr_assert_lt(count, REFS);
	}
}
