/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The tries of ids.h. A link is 0 (empty set), reference << 1 | 1, or node << 1. */
#include "ids.h"

static uint32_t ids_top_bit(uint32_t v)
{
	for (uint32_t shift = 1; shift < 32; shift *= 2)
		v |= v >> shift;
	return v ^ v >> 1;
}

static int ids_is_node(uint32_t link)
{
	return link && !(link & 1);
}

static uint32_t ids_side(const struct vmbi_ids *t, uint32_t link, uint32_t id)
{
	return (id & t->nodes[link >> 1].mask) != 0;
}

/* Follow an id down: to a member that has all the bits looked at in common with it. */
static uint32_t ids_nearest(const struct vmbi_ids *t, uint32_t link, uint32_t id)
{
	while (ids_is_node(link))
		link = t->nodes[link >> 1].child[ids_side(t, link, id)];
	return link >> 1;
}

void vmbi_ids_init(struct vmbi_ids *t, struct vmbi_ids_node *nodes, uint32_t n, const uint32_t *id)
{
	*t = (struct vmbi_ids){ nodes, id, 0, 0 };
	for (uint32_t i = n; i; i--) {
		nodes[i] = (struct vmbi_ids_node){ 0, { t->free, 0 } };
		t->free = i;
	}
}

uint32_t vmbi_ids_find(const struct vmbi_ids *t, uint32_t root, uint32_t id)
{
	uint32_t ref = ids_nearest(t, root, id);

	return ref && t->id[ref] == id ? ref : 0;
}

uint32_t vmbi_ids_first(const struct vmbi_ids *t, uint32_t root)
{
	return ids_nearest(t, root, 0);
}

uint32_t vmbi_ids_after(const struct vmbi_ids *t, uint32_t root, uint32_t id)
{
	uint32_t best = 0, link = root, differs, near = ids_nearest(t, root, id);

	if (!near)
		return 0;
	differs = ids_top_bit(t->id[near] ^ id);
	while (ids_is_node(link) && t->nodes[link >> 1].mask > differs) {
		uint32_t side = ids_side(t, link, id);

		if (!side)
			best = t->nodes[link >> 1].child[1]; /* all there are above id; the last such branch is the nearest */
		link = t->nodes[link >> 1].child[side];
	}
	if (differs && !(id & differs))
		best = link; /* everything from here down has that bit set */
	return vmbi_ids_first(t, best);
}

void vmbi_ids_insert(struct vmbi_ids *t, uint32_t *root, uint32_t ref)
{
	uint32_t id = t->id[ref], near = ids_nearest(t, *root, id), n = t->free, mask, side;
	struct vmbi_ids_node *node = &t->nodes[n];

	if (!near) {
		*root = ref << 1 | 1;
		return;
	}
	mask = ids_top_bit(t->id[near] ^ id);
	side = (id & mask) != 0;
	while (ids_is_node(*root) && t->nodes[*root >> 1].mask > mask)
		root = &t->nodes[*root >> 1].child[ids_side(t, *root, id)];
	t->free = node->child[0];
	node->mask = mask;
	node->child[side] = ref << 1 | 1;
	node->child[!side] = *root;
	*root = n << 1;
}

void vmbi_ids_remove(struct vmbi_ids *t, uint32_t *root, uint32_t ref)
{
	uint32_t *above = NULL, id = t->id[ref], n;

	while (ids_is_node(*root)) {
		above = root;
		root = &t->nodes[*root >> 1].child[ids_side(t, *root, id)];
	}
	if (!above) {
		*root = 0;
		return;
	}
	n = *above >> 1;
	*above = t->nodes[n].child[!ids_side(t, *above, id)];
	t->nodes[n].child[0] = t->free;
	t->free = n;
}
