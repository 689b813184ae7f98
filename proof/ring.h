/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The memory of one ring, exactly as large as it is said to be, full of arbitrary bytes. */
#ifndef PROOF_RING_H
#define PROOF_RING_H

#include "proof/proof.h"
#include "lib/ring/access.h"

#ifndef PROOF_PAGES
# define PROOF_PAGES 2
#endif
#ifndef PROOF_KIND
# define PROOF_KIND 0
#endif
#define SIZE (PROOF_PAGES * VMB_PAGE)
#define LINEAR (PROOF_KIND == 1 ? 2 * SIZE : SIZE)

static uint8_t ring_control[VMB_PAGE];
static uint8_t ring_data[PROOF_KIND == 2 ? 1 : LINEAR];
static uint8_t *ring_table[2 * PROOF_PAGES];
/* As the channel has them: page 0 is one of the bits of the first word. */
static uint32_t ring_dirty[(PROOF_PAGES + 1 + 31 + 31) / 32];

/* Any of the ring's bytes, from now on. */
static void any_shared(void)
{
	PROOF_ANY(ring_control);
	PROOF_ANY(ring_data);
	PROOF_ANY(ring_dirty);
#if PROOF_KIND == 2
	/*@ loop unroll 20; */
	for (uint32_t i = 0; i < PROOF_PAGES; i++) {
		if (!ring_table[i]) /* each page is an object of its own */
			ring_table[i] = ring_table[i + PROOF_PAGES] = malloc(VMB_PAGE);
		Frama_C_make_unknown((char *)ring_table[i], VMB_PAGE);
	}
#endif
}

static uint32_t any_index(void)
{
	return 8 * proof_between(0, SIZE / 8 - 1);
}

static void any_ring(struct vmbi_ring *r, uint32_t magic)
{
	any_shared();
	r->control = ring_control;
	r->data = PROOF_KIND == 2 ? NULL : ring_data;
	r->pages = PROOF_KIND == 2 ? ring_table : NULL;
	r->size = SIZE;
	r->linear = LINEAR;
	r->magic = magic;
}

static void any_dirty(struct vmbi_dirty *dirty)
{
	dirty->bits = proof_any32 ? ring_dirty : NULL;
	dirty->base = proof_between(0, 31);
}

/* A description of this ring's memory, with any flags that are not about its kind. */
static void any_memory(struct vmb_ring_mem *mem)
{
	any_shared();
	mem->control = ring_control;
	mem->data = PROOF_KIND == 2 ? NULL : ring_data;
	mem->pages = PROOF_KIND == 2 ? (void *const *)ring_table : NULL;
	mem->data_pages = PROOF_PAGES;
	mem->flags = (proof_any32 & ~VMB_RING_TWICE) | (PROOF_KIND == 1 ? VMB_RING_TWICE : 0);
}

#endif /* PROOF_RING_H */
