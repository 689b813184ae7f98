/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A state is the bytes of the world and the first ones of each page of guest memory, in blocks: a step changes few of them, and only those are
 * hashed, kept and put back. The hash of a state is the sum over its blocks. See world.h.
 */
#include "world.h"

#include <string.h>

enum { BLOCK = 512, WORLD_BLOCKS = (sizeof iv + BLOCK - 1) / BLOCK, BLOCKS = WORLD_BLOCKS + IV_PAGES };

struct iv_state {
	uint64_t hash, block[BLOCKS];
	uint8_t bytes[sizeof iv + IV_PAGES * IV_KEPT];
};

/* What the last iv_hash has found to be otherwise. */
static struct { uint32_t n, at[BLOCKS]; uint64_t block[BLOCKS], hash; } changed;

size_t iv_state_size(void)
{
	return sizeof(struct iv_state);
}

/* A block of the world, and where a state has it. */
static uint8_t *state_block(uint32_t i, size_t *offset, size_t *bytes)
{
	if (i < WORLD_BLOCKS) {
		*offset = (size_t)i * BLOCK;
		*bytes = sizeof iv - *offset < BLOCK ? sizeof iv - *offset : BLOCK;
		return (uint8_t *)&iv + *offset;
	}
	*offset = sizeof iv + (size_t)(i - WORLD_BLOCKS) * IV_KEPT;
	*bytes = IV_KEPT;
	return iv_page(i - WORLD_BLOCKS);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 31;
}

static uint64_t hash_bytes(uint64_t h, const uint8_t *p, size_t bytes)
{
	uint64_t lane[4] = { h, h + 1, h + 2, h + 3 }, v[4];

	for (; bytes >= sizeof v; p += sizeof v, bytes -= sizeof v) {
		memcpy(v, p, sizeof v);
		for (unsigned i = 0; i < 4; i++)
			lane[i] = mix(lane[i], v[i]);
	}
	memset(v, 0, sizeof v);
	memcpy(v, p, bytes);
	for (unsigned i = 0; i < 4; i++)
		h = mix(h + lane[i], v[i]);
	return h;
}

uint64_t iv_hash(const struct iv_state *since)
{
	changed.n = 0;
	changed.hash = since ? since->hash : 0;
	for (uint32_t i = 0; i < BLOCKS; i++) {
		size_t offset, bytes;
		const uint8_t *now = state_block(i, &offset, &bytes);
		uint64_t h;

		if (since && !memcmp(now, since->bytes + offset, bytes))
			continue;
		h = hash_bytes(mix(1, i), now, bytes);
		changed.hash += h - (since ? since->block[i] : 0);
		changed.block[changed.n] = h;
		changed.at[changed.n++] = i;
	}
	return changed.hash ? changed.hash : 1;
}

void iv_save(struct iv_state *to, const struct iv_state *since)
{
	if (since)
		memcpy(to, since, sizeof *to);
	to->hash = changed.hash;
	for (uint32_t n = 0; n < changed.n; n++) {
		uint32_t i = changed.at[n];
		size_t offset, bytes;
		const uint8_t *now = state_block(i, &offset, &bytes);

		memcpy(to->bytes + offset, now, bytes);
		to->block[i] = changed.block[n];
	}
}

void iv_restore(const struct iv_state *from, int hashed)
{
	size_t offset, bytes;

	if (hashed) {
		for (uint32_t n = 0; n < changed.n; n++) {
			uint8_t *now = state_block(changed.at[n], &offset, &bytes);

			memcpy(now, from->bytes + offset, bytes);
		}
	} else {
		memcpy(&iv, from->bytes, sizeof iv);
		for (uint32_t i = 0; i < IV_PAGES; i++)
			memcpy(iv_page(i), from->bytes + sizeof iv + i * IV_KEPT, IV_KEPT);
	}
	iv_protect();
}
