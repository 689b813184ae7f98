/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Who uses a piece of guest memory: asked before it is taken away. */
#include "run.h"

/* How often the host end says that a page is used, and by which channel last. */
static unsigned users_of(struct run *r, uint64_t pfn, uint64_t pages, vmb_handle *last)
{
	uint32_t cursor = 0, gpadl;
	unsigned n = 0;
	int more;

	while ((more = vmb_host_users(machine_host(r->machine), pfn, pages, &cursor, last, &gpadl)) == VMB_YES)
		n++;
	cr_assert_eq(more, 0);
	return n;
}

/* Devices whose channel is open on both sides. */
static unsigned attached(const struct run *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ECHO_DEVICES; i++)
		n += r->echo.device[i].ch != NULL;
	return n;
}

Test(users, every_ring_page_of_an_open_channel_is_used_and_no_other)
{
	for (unsigned seed = 0; seed < 20; seed++) {
		struct run *r = run_new(5000 + seed);
		vmb_handle ch;

		r->e.devices = 4;
		r->e.requests = 200;
		r->e.gpadls = 2; /* lists that nobody holds are no use of memory */
		r->m.guest.max_gpadls = 32;
		run_start(r);
		while (attached(r) < 4)
			cr_assert(machine_step(r->machine));
		for (uint64_t pfn = 1; pfn < 4096; pfn++) {
			unsigned expect = 0;

			for (unsigned i = 0; i < ECHO_CLIENTS; i++) {
				const struct echo_client *c = &r->echo.client[i];

				expect += c->ring_pfn && pfn >= c->ring_pfn && pfn < c->ring_pfn + 2 * c->ring_pages;
			}
			cr_assert_eq(users_of(r, pfn, 1, &ch), expect, "page %llu", (unsigned long long)pfn);
		}
		cr_assert_eq(users_of(r, 0, 4096, &ch), 4u);
		cr_assert_eq(users_of(r, 4096, UINT64_MAX - 8192, &ch), 0u);
		run_finish(r);
		cr_assert_eq(users_of(r, 0, 4096, &ch), 0u);
		run_end(r);
	}
}

Test(users, what_uses_it_can_be_stopped_and_then_nothing_does)
{
	struct run *r = run_new(5100);
	vmb_handle ch = 0;
	uint64_t pfn;

	r->e.requests = 100000;
	run_start(r);
	while (attached(r) < 3)
		cr_assert(machine_step(r->machine));
	pfn = r->echo.client[1].ring_pfn;
	cr_assert_eq(users_of(r, pfn, 2, &ch), 1u);
	cr_assert_eq(vmb_host_remove(machine_host(r->machine), ch), 0);
	for (unsigned i = 0; i < 100000 && users_of(r, pfn, 2, &ch); i++)
		machine_step(r->machine);
	cr_assert_eq(users_of(r, pfn, 2, &ch), 0u);
	run_check(r);
	run_end(r);
}

Test(users, misuse_has_its_error)
{
	struct run *r = run_new(5200);
	struct vmb_host *h;
	uint32_t cursor = 0, gpadl;
	vmb_handle ch;

	run_start(r);
	h = machine_host(r->machine);
	cr_assert_eq(vmb_host_users(NULL, 1, 1, &cursor, &ch, &gpadl), VMB_EINVAL);
	cr_assert_eq(vmb_host_users(h, 1, 0, &cursor, &ch, &gpadl), VMB_EINVAL);
	cr_assert_eq(vmb_host_users(h, UINT64_MAX, 2, &cursor, &ch, &gpadl), VMB_EINVAL);
	cr_assert_eq(vmb_host_users(h, 1, 1, NULL, &ch, &gpadl), VMB_EINVAL);
	cr_assert_eq(vmb_host_users(h, 1, 1, &cursor, NULL, &gpadl), VMB_EINVAL);
	cr_assert_eq(vmb_host_users(h, 1, 1, &cursor, &ch, NULL), VMB_EINVAL);
	run_finish(r);
	run_end(r);
}
