/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Bits that one side sets and the other takes: event flags, the interrupt page, monitor triggers. Bit n is bit n % 8 of byte
 * n / 8; only whole words are touched, atomically. control-plane.md 9.2, 9.3, 9.4
 */
#include "synic.h"

#define FLAGS_COUNT (VMBI_FLAG_WORDS * 32u)
/* A monitor page: all groups' enable bits, the trigger groups, latencies (16 bits each), parameters (8 bytes each). */
#define FLAGS_MONITOR_STATE 0u
#define FLAGS_MONITOR_GROUPS 8u
#define FLAGS_MONITOR_LATENCY 0x240u
#define FLAGS_MONITOR_PARAMETER 0x440u
#define FLAGS_MONITOR_IDS 128u

static uint8_t *flags_word(void *flags, uint32_t w)
{
	return (uint8_t *)flags + (size_t)w * 4;
}

uint32_t vmbi_flags_take(void *flags, uint32_t w)
{
	uint8_t *word = flags_word(flags, w);

	return VMBI_LE32(VMBI_EXCHANGE32(word, 0));
}

/* Which of the next words have flags: each is looked at once. 0: none below the end. Most words are 0, and looking costs less than an exchange; a
 * flag set just now raises its interrupt after. Written out, for each interrupt looks at all words. */
static uint32_t flags_look(struct vmbi_flags_scan *s)
{
	uint32_t v0, v1, v2, v3, v4, v5, v6, v7, at = s->at, set;
	const uint8_t *word = flags_word(s->flags, at);

	do {
		if (at >= s->end)
			return 0;
		v0 = VMBI_LOAD32_RELAXED(word);
		v1 = VMBI_LOAD32_RELAXED(word + 4);
		v2 = VMBI_LOAD32_RELAXED(word + 8);
		v3 = VMBI_LOAD32_RELAXED(word + 12);
		v4 = VMBI_LOAD32_RELAXED(word + 16);
		v5 = VMBI_LOAD32_RELAXED(word + 20);
		v6 = VMBI_LOAD32_RELAXED(word + 24);
		v7 = VMBI_LOAD32_RELAXED(word + 28);
		at += 8;
		word += 32;
	} while (!(v0 | v1 | v2 | v3 | v4 | v5 | v6 | v7));
	s->at = at;
	set = (v0 ? 1u : 0) | (v1 ? 2u : 0) | (v2 ? 4u : 0) | (v3 ? 8u : 0) | (v4 ? 16u : 0) | (v5 ? 32u : 0) | (v6 ? 64u : 0) | (v7 ? 128u : 0);
	return at <= s->end ? set : set & (0xffu >> (at - s->end));
}

uint32_t vmbi_flags_next(struct vmbi_flags_scan *s)
{
	uint32_t bits = 0;

	while (!bits) {
		uint32_t w;

		if (!s->set && !(s->set = flags_look(s)))
			return 0;
		w = s->at - 8 + vmbi_flags_lowest(s->set);
		s->set &= s->set - 1;
		s->first = w * 32;
		bits = vmbi_flags_take(s->flags, w);
	}
	return bits;
}

int vmbi_flags_set(void *flags, uint32_t flag)
{
	uint32_t bit = VMBI_LE32(1u << flag % 32);

	return !(VMBI_FETCH_OR32((uint8_t *)flags + (size_t)(flag / 32) * 4, bit) & bit);
}

int vmb_synic_set(void *flags, uint32_t flag)
{
	if (!flags || flag >= FLAGS_COUNT)
		return VMB_EINVAL;
	return vmbi_flags_set(flags, flag) ? VMB_YES : 0;
}

void vmbi_monitor_set(void *page, uint32_t id)
{
	uint8_t *group = (uint8_t *)page + FLAGS_MONITOR_GROUPS + (size_t)(id / 32) * 8;

	(void)VMBI_FETCH_OR32(group, VMBI_LE32(1u << id % 32));
}

uint32_t vmbi_trigger_take(void *page, uint32_t group)
{
	uint8_t *pending = (uint8_t *)page + FLAGS_MONITOR_GROUPS + (size_t)group * 8;

	return VMBI_LOAD32_RELAXED(pending) ? VMBI_LE32(VMBI_EXCHANGE32(pending, 0)) : 0;
}

void vmbi_trigger_init(void *page, uint32_t latency)
{
	uint8_t *p = page;

	VMBI_STORE32_RELAXED(p + FLAGS_MONITOR_STATE, VMBI_LE32(0xfu));
	for (uint32_t id = 0; id < FLAGS_MONITOR_IDS; id += 2)
		VMBI_STORE32_RELAXED(p + FLAGS_MONITOR_LATENCY + (size_t)id * 2, VMBI_LE32(latency << 16 | latency));
}

void vmbi_trigger_connect(void *page, uint32_t id, uint32_t connection)
{
	VMBI_STORE32_RELAXED((uint8_t *)page + FLAGS_MONITOR_PARAMETER + (size_t)id * 8, VMBI_LE32(connection));
}
