/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * lib/gpadl's store: messages of any bytes, to a store in any state in which its numbers stay in their ranges (`check_store`).
 * One call at a time, and after each the store is in such a state: so no sequence of messages makes a run-time error. Each part
 * of the store is an array of its own, exactly as long as vmbi_gpadls_carve makes it.
 */
#include "proof/proof.h"
#include "lib/gpadl/store.c"

#define LISTS 3u
#define PAGES 96u
#define OWNERS 2u
#define CHUNKS (PAGES / GPADLS_CHUNK + LISTS)
#define NODES (2 * LISTS)

static struct vmbi_gpadl_store store;
static struct gpadls_entry entries[LISTS + 1];
static uint32_t ids[LISTS + 1];
static struct gpadls_owner owners[OWNERS + 1];
static uint64_t chunks[CHUNKS + 1][GPADLS_CHUNK];
static uint32_t links[CHUNKS + 1];
static struct vmbi_ids_node nodes[NODES + 2];

/* A link of a set: none, one of its members, or one of the nodes. */
static uint32_t any_link(void)
{
	return proof_any32 ? 2 * proof_between(0, LISTS) + 1 : 2 * proof_between(0, NODES);
}

static void any_entry(struct gpadls_entry *e)
{
	PROOF_ANY(*e);
	e->owner = proof_between(0, OWNERS);
	e->first = proof_between(0, CHUNKS);
	e->last = proof_between(0, CHUNKS);
	e->at = proof_between(0, CHUNKS);
}

static void any_store(void)
{
	PROOF_ANY(store);
	PROOF_ANY(ids);
	PROOF_ANY(owners);
	PROOF_ANY(chunks);
	PROOF_ANY(nodes);
	/*@ loop unroll 10; */
	for (uint32_t i = 0; i <= LISTS; i++)
		any_entry(&entries[i]);
	/*@ loop unroll 10; */
	for (uint32_t i = 0; i <= OWNERS; i++)
		owners[i].set = any_link();
	/*@ loop unroll 20; */
	for (uint32_t i = 0; i <= CHUNKS; i++)
		links[i] = proof_between(0, CHUNKS);
	/*@ loop unroll 10; */
	for (uint32_t i = 0; i <= NODES; i++)
		nodes[i].child[0] = nodes[i].child[1] = any_link();
	store.ids = (struct vmbi_ids){ nodes, ids, proof_between(0, NODES), 0 };
	store.entries = entries;
	store.id = ids;
	store.owners = owners;
	store.chunks = chunks;
	store.links = links;
	store.limits = (struct vmbi_gpadl_limits){ LISTS, proof_any32, PAGES, OWNERS };
	store.free_entry = proof_between(0, LISTS);
	store.free_chunk = proof_between(0, CHUNKS);
	store.building_set = any_link();
}

static void check_store(void)
{
	/*@ check entries: \forall integer i; 0 <= i <= LISTS ==> entries[i].owner <= OWNERS && entries[i].first <= CHUNKS &&
		entries[i].last <= CHUNKS && entries[i].at <= CHUNKS; */
	/*@ check links: \forall integer i; 0 <= i <= CHUNKS ==> links[i] <= CHUNKS; */
	/*@ check store: store.free_chunk <= CHUNKS && store.ids.nodes == nodes && store.entries == entries; */
}

/* A body of any bytes, each length. */
static void one_body(uint32_t len)
{
	uint8_t *msg = proof_bytes(len);
	struct vmbi_gpadl_answer answer;

	any_store();
	if (vmbi_gpadls_body(&store, msg, len, &answer) != VMBI_GPADL_DROPPED) {
		/*@ check answer: \initialized(&answer); */
	}
	check_store();
	free(msg);
}

static void one_header(uint32_t len)
{
	uint8_t *msg = proof_bytes(len);
	struct vmbi_gpadl_answer answer;

	any_store();
	if (vmbi_gpadls_header(&store, proof_any32, msg, len, proof_any32, proof_any32, &answer) != VMBI_GPADL_DROPPED) {
		/*@ check answer: \initialized(&answer); */
	}
	check_store();
	free(msg);
}

void prove_store_body(void)
{
	/*@ loop unroll 300; */
	for (uint32_t len = 0; len <= VMB_MESSAGE_MAX; len++)
		one_body(len);
}

void prove_store_header(void)
{
	/*@ loop unroll 300; */
	for (uint32_t len = 0; len <= VMB_MESSAGE_MAX; len++)
		one_header(len);
}

/* Carved out of a block of the size computed, and started empty. */
void prove_store_init(void)
{
	struct vmbi_gpadl_limits limits = { LISTS, 2, PAGES, OWNERS };
	struct vmbi_carve c = { NULL, 0 };
	struct vmbi_gpadl_store *s;

	(void)vmbi_gpadls_carve(&c, &limits);
	c = (struct vmbi_carve){ malloc(c.used), 0 };
	s = vmbi_gpadls_carve(&c, &limits);
	vmbi_gpadls_init(s, &limits);
	/*@ check empty: s->free_entry == 1 && s->free_chunk == 1 && s->ids.free == 1 && s->lists == 0; */
}
