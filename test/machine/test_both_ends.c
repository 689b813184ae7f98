/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Guest end and host end against each other: every version, every ring memory, any schedule. */
#include "run.h"

static const uint32_t versions[] = { VMB_V0_13, VMB_V1_1, VMB_V2_4, VMB_V3_0, VMB_V4_0, VMB_V4_1, VMB_V5_0, VMB_V5_1, VMB_V5_2, VMB_V5_3,
				     VMB_V6_0 };
enum { VERSIONS = sizeof versions / sizeof *versions };

Test(both_ends, the_defaults_work)
{
	run_whole(run_new(1));
}

Test(both_ends, every_host_cap_is_what_gets_negotiated)
{
	for (unsigned i = 0; i < VERSIONS; i++) {
		struct run *r = run_new(100 + i);
		struct vmb_bus_info info = { .size = sizeof info };

		r->m.host.max_version = versions[i];
		r->m.old_pages = 1;
		run_start(r);
		run_finish(r);
		cr_assert_eq(vmb_guest_info(machine_guest(r->machine), &info), 0);
		cr_assert_eq(info.version, versions[i], "cap %x gave %x", versions[i], info.version);
		cr_assert_eq(vmb_host_info(machine_host(r->machine), &info), 0);
		cr_assert_eq(info.version, versions[i]);
		run_end(r);
	}
}

Test(both_ends, every_guest_cap_is_what_gets_negotiated)
{
	for (unsigned i = 0; i < VERSIONS; i++) {
		struct run *r = run_new(200 + i);
		struct vmb_bus_info info = { .size = sizeof info };

		r->m.guest.max_version = versions[i];
		r->m.old_pages = 1;
		run_start(r);
		run_finish(r);
		cr_assert_eq(vmb_guest_info(machine_guest(r->machine), &info), 0);
		cr_assert_eq(info.version, versions[i], "cap %x gave %x", versions[i], info.version);
		run_end(r);
	}
}

Test(both_ends, each_ring_memory_in_each_size)
{
	for (int ring = 0; ring < ECHO_RING_ANY; ring++)
		for (unsigned pages = 1; pages < 12; pages += 2) {
			struct run *r = run_new(300 + 20 * (unsigned)ring + pages);

			r->e.ring = (enum echo_ring)ring;
			r->e.ring_pages = pages < 3 ? 3 : pages;
			r->e.requests = 200;
			run_whole(r);
		}
}

Test(both_ends, channels_close_and_open_again_in_any_order)
{
	for (unsigned seed = 0; seed < 60; seed++) {
		struct run *r = run_new(400 + seed);

		r->e.devices = 6;
		r->e.reopen = 4;
		r->e.late_open = 50;
		r->m.vps = 1 + seed % MACHINE_VPS;
		run_whole(r);
	}
}

Test(both_ends, pipes_keep_exact_lengths)
{
	struct run *r = run_new(500);

	r->e.pipe = 1;
	r->e.requests = 300;
	run_whole(r);
}

Test(both_ends, gpadls_of_their_own_come_and_go)
{
	for (unsigned seed = 0; seed < 30; seed++) {
		struct run *r = run_new(600 + seed);

		r->e.gpadls = 4;
		r->e.reopen = 2;
		r->m.guest.max_gpadls = 64;
		run_whole(r);
	}
}

Test(both_ends, lost_repeated_and_late_interrupts_change_nothing)
{
	for (unsigned seed = 0; seed < 60; seed++) {
		struct run *r = run_new(700 + seed);

		r->m.faults.lose_interrupt = 20;
		r->m.faults.repeat_interrupt = 20;
		r->m.faults.delay_signal = 30;
		r->e.reopen = 2;
		run_start(r);
		cr_assert_geq(machine_run(r->machine, 20000), 0);
		run_finish(r);
		cr_assert_eq(r->echo.answered, 180ul);
		run_end(r);
	}
}

Test(both_ends, the_slot_busy_at_any_point_changes_nothing)
{
	for (unsigned n = 1; n < 60; n++) {
		struct run *r = run_new(800);

		r->m.faults.slot_busy_at = n;
		r->e.reopen = 1;
		run_whole(r);
	}
}

Test(both_ends, a_busy_hypervisor_at_any_post_changes_nothing)
{
	for (unsigned n = 1; n < 60; n++) {
		struct run *r = run_new(900);

		r->m.faults.post_busy_at = n;
		r->e.reopen = 1;
		run_whole(r);
	}
}

Test(both_ends, a_map_that_fails_at_any_point_costs_one_open_at_most)
{
	for (unsigned n = 1; n < 40; n++) {
		struct run *r = run_new(1000);

		r->m.faults.map_at = n;
		run_start(r);
		if (machine_run(r->machine, 1000) < 0)
			cr_assert_fail("it does not end");
		/* a device whose read failed answers with pages as they were: that error is the test's own */
		cr_assert_eq(machine_mapped(r->machine), 0);
		cr_assert_eq(r->echo.offers, r->echo.gones);
		cr_assert_eq(r->echo.opened, r->echo.closed);
		machine_free(r->machine);
		free(r);
	}
}

Test(both_ends, a_device_is_taken_away_after_any_number_of_steps)
{
	for (unsigned after = 0; after < 600; after += 3) {
		struct run *r = run_new(1100 + after);

		r->e.gpadls = after % 3;
		r->e.reopen = 1;
		r->e.late_open = 50;
		r->m.guest.max_gpadls = 32;
		run_start(r);
		for (unsigned i = 0; i < after; i++)
			machine_step(r->machine);
		run_check(r);
		cr_assert_eq(vmb_host_remove(machine_host(r->machine), r->echo.device[1].handle), 0);
		run_finish(r);
		cr_assert_eq(r->echo.device[1].offered, 0, "no GONE at the host");
		cr_assert_null(r->echo.device[1].ch);
		run_end(r);
	}
}

Test(both_ends, a_device_comes_back_after_it_was_taken_away)
{
	for (unsigned after = 0; after < 400; after += 7) {
		struct run *r = run_new(1700 + after);

		r->e.requests = 5;
		run_start(r);
		for (unsigned i = 0; i < after; i++)
			machine_step(r->machine);
		for (int round = 0; round < 3; round++) {
			cr_assert_eq(vmb_host_remove(machine_host(r->machine), r->echo.device[0].handle), 0);
			for (long i = 0; i < 100000 && r->echo.device[0].offered; i++)
				machine_step(r->machine);
			cr_assert_eq(r->echo.device[0].offered, 0);
			cr_assert_eq(echo_offer(r->machine, 0), 0);
			for (unsigned i = 0; i < after; i++)
				machine_step(r->machine);
			run_check(r);
		}
		run_finish(r);
		run_end(r);
	}
}

Test(both_ends, devices_hot_added_are_found)
{
	struct run *r = run_new(2200);

	run_start(r);
	cr_assert_geq(machine_run(r->machine, 10), 0);
	cr_assert(r->echo.offers_done);
	for (unsigned n = 3; n < ECHO_DEVICES; n++)
		cr_assert_eq(echo_offer(r->machine, n), 0);
	run_finish(r);
	cr_assert_eq(r->echo.offers, (unsigned long)ECHO_DEVICES);
	cr_assert_eq(r->echo.answered, 20ul * ECHO_DEVICES);
	run_end(r);
}

Test(both_ends, a_guest_that_leaves_at_any_step_can_come_back)
{
	for (unsigned after = 0; after < 600; after += 5) {
		struct run *r = run_new(2300 + after);

		r->e.late_open = 50;
		run_start(r);
		for (unsigned i = 0; i < after; i++)
			machine_step(r->machine);
		if (vmb_guest_disconnect(machine_guest(r->machine)) == VMB_ESTATE) { /* not connected yet */
			cr_assert_geq(machine_run(r->machine, 1000), 0);
			cr_assert_eq(vmb_guest_disconnect(machine_guest(r->machine)), 0);
		}
		cr_assert_geq(machine_run(r->machine, 1000), 0);
		run_check(r);
		cr_assert_eq(r->echo.disconnected, 1);
		cr_assert_eq(machine_in_use(r->machine), r->base);
		cr_assert_eq(machine_mapped(r->machine), 0);
		cr_assert_eq(vmb_guest_connect(machine_guest(r->machine)), 0);
		run_finish(r);
		cr_assert(r->echo.connected);
		r->echo.disconnected = 0;
		run_end(r);
	}
}

Test(both_ends, a_crashed_guest_is_replaced_by_a_new_one)
{
	for (unsigned after = 0; after < 600; after += 5) {
		struct run *r = run_new(3000 + after);

		r->e.late_open = 50;
		run_start(r);
		for (unsigned i = 0; i < after; i++)
			machine_step(r->machine);
		run_check(r);
		echo_forget(r->machine);
		cr_assert_eq(machine_crash_guest(r->machine), 0);
		r->base = machine_in_use(r->machine);
		r->echo.offers = r->echo.gones = r->echo.opened = r->echo.closed = 0;
		cr_assert_eq(vmb_guest_connect(machine_guest(r->machine)), 0);
		cr_assert_geq(machine_run(r->machine, 1000), 0);
		run_check(r);
		cr_assert(r->echo.connected);
		cr_assert_eq(r->echo.offers, 3ul, "a new guest is offered everything (%lu)", r->echo.offers);
		cr_assert_eq(machine_mapped(r->machine), 0);
		run_end(r);
	}
}

Test(both_ends, a_reset_always_ends)
{
	for (unsigned after = 0; after < 600; after += 5) {
		struct run *r = run_new(4000 + after);
		struct vmb_bus_info info = { .size = sizeof info };

		r->e.late_open = 50;
		run_start(r);
		for (unsigned i = 0; i < after; i++)
			machine_step(r->machine);
		run_check(r);
		cr_assert_eq(vmb_host_reset(machine_host(r->machine)), 0);
		echo_forget(r->machine);
		cr_assert_eq(machine_crash_guest(r->machine), 0);
		cr_assert_geq(machine_run(r->machine, 1000), 0);
		run_check(r);
		cr_assert_eq(vmb_host_info(machine_host(r->machine), &info), 0);
		cr_assert_eq(info.attached, 0u);
		cr_assert_eq(info.gpadls, 0u);
		cr_assert_eq(info.state, (uint32_t)VMB_BUS_NONE);
		cr_assert_eq(machine_mapped(r->machine), 0);
		cr_assert_eq(vmb_guest_connect(machine_guest(r->machine)), 0);
		cr_assert_geq(machine_run(r->machine, 1000), 0);
		run_check(r);
		cr_assert(r->echo.connected);
		run_end(r);
	}
}
