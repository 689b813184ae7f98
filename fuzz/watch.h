/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What an end tells a watcher, whatever the input: numbers that have names, changes that change something, parts in their order. */
#ifndef FUZZ_WATCH_H
#define FUZZ_WATCH_H

#include <vmbus.h>

#include "fuzz.h"

static inline int watch_knows(uint32_t set, uint32_t value)
{
	return vmb_name(set, value)[0] != '?';
}

static inline int watch_knows_bits(uint32_t bits)
{
	for (uint32_t bit = 1; bit; bit <<= 1)
		if (bits & bit && !watch_knows(VMB_NAMES_HAS, bit))
			return 0;
	return 1;
}

static inline void fuzz_watched(const struct vmb_trace *t)
{
	fuzz_need(watch_knows(VMB_NAMES_TRACE, t->point) && !watch_knows(0, t->point));
	switch (t->point) {
	case VMB_TRACE_MESSAGE_IN:
	case VMB_TRACE_MESSAGE_OUT:
		fuzz_need(watch_knows(VMB_NAMES_FATE, t->c));
		break;
	case VMB_TRACE_CONNECTION:
		fuzz_need(watch_knows(VMB_NAMES_BUS, t->a) && watch_knows(VMB_NAMES_BUS, t->b) && t->a != t->b);
		break;
	case VMB_TRACE_CHANNEL:
		fuzz_need(watch_knows(VMB_NAMES_STATE, t->a) && watch_knows(VMB_NAMES_STATE, t->b) && (t->a != t->b || t->c != t->d));
		fuzz_need(watch_knows_bits(t->c | t->d));
		break;
	case VMB_TRACE_DEVICE:
		fuzz_need(watch_knows(VMB_NAMES_DEVICE, t->a) && watch_knows(VMB_NAMES_DEVICE, t->b) && t->a != t->b);
		break;
	case VMB_TRACE_GPADL:
		fuzz_need(watch_knows(VMB_NAMES_LIST, t->a) && watch_knows(VMB_NAMES_LIST, t->b) && t->a != t->b);
		break;
	case VMB_TRACE_SIGNALS:
		fuzz_need((t->a == VMB_OVER_IN || t->a == VMB_OVER_OUT) && t->b > t->c && t->d);
		break;
	}
}

/* One part of a snapshot, behind one of kind `before`. */
static inline uint32_t fuzz_part(const struct vmb_part *p, uint32_t before)
{
	static const uint32_t names[] = { 0, VMB_NAMES_BUS, VMB_NAMES_STATE, VMB_NAMES_LIST };

	fuzz_need(p->kind >= VMB_PART_CONNECTION && p->kind <= VMB_PART_GPADL && p->kind >= before);
	fuzz_need(before ? p->kind != VMB_PART_CONNECTION : p->kind == VMB_PART_CONNECTION);
	fuzz_need(watch_knows(names[p->kind], p->state) && watch_knows_bits(p->flags));
	return p->kind;
}

#endif /* FUZZ_WATCH_H */
