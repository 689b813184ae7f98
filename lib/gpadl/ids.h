/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Sets of 32-bit numbers that the peer chooses: binary tries with one node per branching. Nothing the peer chooses makes a path
 * longer than 32 steps; a hash table would have bad inputs. Many sets share one pool of nodes and one array of ids: a set is its
 * root, its members are references into that array.
 */
#ifndef VMBI_GPADL_IDS_H
#define VMBI_GPADL_IDS_H

#include "vmbus.h"

struct vmbi_ids_node {
	uint32_t mask;     /* the one bit in which the members below child[0] and child[1] differ; above it all are the same */
	uint32_t child[2]; /* reference << 1 | 1, or node << 1; child[0] links the free nodes */
};

struct vmbi_ids {
	struct vmbi_ids_node *nodes; /* from 1; 0 ends the list of free ones */
	const uint32_t *id;          /* of each reference, from 1 */
	uint32_t free, reserved;
};

/* Room for n nodes in nodes[1...n]: one less than members for each set is enough. */
void vmbi_ids_init(struct vmbi_ids *t, struct vmbi_ids_node *nodes, uint32_t n, const uint32_t *id);
/* The member with this id, or 0. */
uint32_t vmbi_ids_find(const struct vmbi_ids *t, uint32_t root, uint32_t id);
/* The member with the least id, or 0; and with the least id above this one, which may be no member. */
uint32_t vmbi_ids_first(const struct vmbi_ids *t, uint32_t root);
uint32_t vmbi_ids_after(const struct vmbi_ids *t, uint32_t root, uint32_t id);
/* ref's id must not be in the set yet. */
void vmbi_ids_insert(struct vmbi_ids *t, uint32_t *root, uint32_t ref);
/* ref must be a member. */
void vmbi_ids_remove(struct vmbi_ids *t, uint32_t *root, uint32_t ref);

#endif /* VMBI_GPADL_IDS_H */
