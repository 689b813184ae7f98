/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* From the hook of harness/port.h to the explorer. A publication is one step, as on x86. */
#include "weak.h"
#include "harness/port.h"

#include <endian.h>

static const struct weak_case *weak;

static int weak_access(struct port_access *a)
{
	if (!walk_observed(a->shared))
		return 0;
	switch (a->op) {
	case PORT_LOAD:
		a->value = walk_load(a->shared, a->bytes, __ATOMIC_RELAXED);
		return 1;
	case PORT_READ64:
		a->value = le64toh(walk_load(a->shared, a->bytes, __ATOMIC_RELAXED));
		return 1;
	case PORT_LOAD_ACQUIRE:
		a->value = walk_load(a->shared, a->bytes, __ATOMIC_ACQUIRE);
		return 1;
	case PORT_STORE:
		walk_store(a->shared, a->bytes, a->value, __ATOMIC_RELAXED);
		return 1;
	case PORT_WRITE64:
		walk_store(a->shared, a->bytes, htole64(a->value), __ATOMIC_RELAXED);
		return 1;
	case PORT_STORE_RELEASE:
		walk_store(a->shared, a->bytes, a->value, __ATOMIC_RELEASE);
		return 1;
	case PORT_PUBLISH:
		(void)walk_exchange(a->shared, a->bytes, a->value, __ATOMIC_SEQ_CST);
		return 1;
	case PORT_OR:
		a->value = walk_or(a->shared, a->bytes, a->value, __ATOMIC_SEQ_CST);
		return 1;
	case PORT_COPY_OUT:
		walk_copy_out(a->other, a->shared, a->bytes);
		return 1;
	case PORT_COPY_IN:
		walk_copy_in(a->shared, a->other, a->bytes);
		return 1;
	case PORT_CLEAR:
		break;
	}
	walk_fail("an access that is not modelled");
}

static void weak_begin(void *ctx)
{
	port_hook = NULL;
	weak->begin(ctx);
	port_hook = weak_access;
}

static const char *weak_check(void *ctx)
{
	int ok;

	port_hook = NULL;
	ok = weak->check(ctx);
	return ok ? NULL : "the check failed";
}

double weak_explore(const struct weak_case *c, uint64_t *bad)
{
	const struct walk_case w = { c->ctx, weak_begin, { c->side[0], c->side[1] }, weak_check, c->place, NULL, WALK_X86, 0 };
	struct walk_result result;

	weak = c;
	walk_explore(&w, &result);
	port_hook = NULL;
	*bad = result.bad;
	return result.schedules;
}
