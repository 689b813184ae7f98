/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Run both ends on the machine until nothing is left to do, and demand that nothing was lost, leaked or done twice. */
#ifndef TEST_MACHINE_RUN_H
#define TEST_MACHINE_RUN_H

#include "echo.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct run {
	struct machine_config m;
	struct echo_config e;
	struct echo echo;
	struct machine *machine;
	unsigned base; /* pages in use before anything was opened */
};

static inline struct run *run_new(uint64_t seed)
{
	struct run *r = calloc(1, sizeof *r);

	cr_assert(r);
	r->m.seed = seed;
	r->e.devices = 3;
	r->e.requests = 20;
	r->e.ring = ECHO_RING_ANY;
	return r;
}

static inline void run_start(struct run *r)
{
	echo_programs(&r->echo, &r->e, &r->m);
	r->machine = machine_new(&r->m);
	cr_assert(r->machine, "machine: %s", machine_error(NULL));
	r->base = machine_in_use(r->machine);
	for (unsigned i = 0; i < r->e.devices; i++)
		cr_assert_eq(echo_offer(r->machine, i), 0);
	cr_assert_eq(vmb_guest_connect(machine_guest(r->machine)), 0);
}

static inline void run_check(struct run *r)
{
	const char *error = machine_error(r->machine);

	cr_assert_null(error, "seed %llu: %s", (unsigned long long)r->m.seed, error);
}

/* What a host has mapped while nothing is open: below 2.4 the interrupt page. */
static inline unsigned run_mapped(struct run *r)
{
	struct vmb_bus_info info = { .size = sizeof info };

	cr_assert_eq(vmb_host_info(machine_host(r->machine), &info), 0);
	return info.version && info.version < VMB_V2_4;
}

/* Everything that was offered has been used as often as planned, and all memory is back. */
static inline void run_finish(struct run *r)
{
	long steps = machine_run(r->machine, 1000);

	run_check(r);
	cr_assert_geq(steps, 0, "seed %llu: it does not end", (unsigned long long)r->m.seed);
	cr_assert(echo_done(&r->echo), "seed %llu: clients are left", (unsigned long long)r->m.seed);
	cr_assert_eq(r->echo.leaked, 0);
	cr_assert_eq(machine_in_use(r->machine), r->base, "seed %llu: guest memory is lost", (unsigned long long)r->m.seed);
	cr_assert_eq(machine_mapped(r->machine), run_mapped(r), "seed %llu: the host still has pages mapped", (unsigned long long)r->m.seed);
	cr_assert_eq(r->echo.opened, r->echo.closed);
	cr_assert_eq(r->echo.offers, r->echo.gones);
}

/* Goodbye from both ends. */
static inline void run_end(struct run *r)
{
	cr_assert_eq(vmb_guest_disconnect(machine_guest(r->machine)), 0);
	cr_assert_geq(machine_run(r->machine, 1000), 0);
	run_check(r);
	cr_assert_eq(r->echo.disconnected, 1);
	cr_assert_eq(machine_mapped(r->machine), 0);
	cr_assert_eq(vmb_guest_end(machine_guest(r->machine)), 0);
	cr_assert_eq(vmb_host_end(machine_host(r->machine)), 0);
	machine_free(r->machine);
	free(r);
}

static inline void run_whole(struct run *r)
{
	unsigned long all = (unsigned long)r->e.devices * r->e.requests * (1 + r->e.reopen);

	run_start(r);
	run_finish(r);
	cr_assert_eq(r->echo.answered, all, "seed %llu: %lu answers of %lu", (unsigned long long)r->m.seed, r->echo.answered, all);
	run_end(r);
}

#endif
