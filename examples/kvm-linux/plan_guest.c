/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The plans that are hard on the guest: kill, lossy. See plan.h, and the scenarios of these names. */
#define _GNU_SOURCE
#include "loss.h"
#include "plan.h"

#include <stdio.h>
#include <string.h>

/* ---- kill */

enum { EARLY = 3 }; /* kills while devices are being opened, after those in mid-I/O */

struct kills {
	unsigned in_io, requests, most, alike;
};

static int kill_now(struct plan *p, struct kills *k)
{
	unsigned resets = __atomic_load_n(&p->resets, __ATOMIC_ACQUIRE);

	p->kill();
	if (!plan_reach(&p->resets, resets + 1, "the reset"))
		return 0;
	k->alike += (unsigned)plan_same(&p->start, &p->after_reset);
	return 1;
}

/* Every second time the disk stops answering first, so that requests are in flight while the host end lets go of everything; the
 * other times the answers and the reset race. */
static int kill_in_io(struct plan *p, unsigned n, struct kills *k)
{
	struct image *m = p->first_disk->image;
	unsigned hold = n % 2;

	if (!plan_mail(p, "life %u", n))
		return 0;
	plan_sleep_us((unsigned)plan_random(&p->seed) % 100000);
	__atomic_store_n(&m->held, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&m->hold, hold, __ATOMIC_RELEASE);
	if (!plan_reach(hold ? &m->held : &m->in_flight, 1, "requests in flight") || !kill_now(p, k))
		return 0;
	__atomic_store_n(&m->hold, 0, __ATOMIC_RELEASE);
	k->in_io += p->held_at_reset > 0;
	k->requests += p->held_at_reset;
	if (p->held_at_reset > k->most)
		k->most = p->held_at_reset;
	return 1;
}

void plan_kill(struct plan *p)
{
	struct kills k = { .in_io = 0 };
	unsigned n, early, opens;
	char text[160];

	for (n = 0; n < p->times; n++)
		if (!kill_in_io(p, n, &k))
			return;
	plan_check(k.in_io >= p->times / 2,
		   "%u kills of the guest while it had requests on the disk; at %u resets they were still in flight, %u together, %u at most",
		   n, k.in_io, k.requests, k.most);
	for (early = 1; early <= EARLY; early++) {
		opens = __atomic_load_n(&p->host->opens, __ATOMIC_ACQUIRE);
		if (!plan_reach(&p->host->opens, opens + early, "the guest to open a device") || !kill_now(p, &k))
			return;
	}
	plan_check(1, "%u more kills while it opened its first, second and third device", EARLY);
	if (!plan_mail(p, "life %u", n + EARLY))
		return;
	plan_print(&p->after_reset, text);
	plan_check(k.alike == n + EARLY, "nothing leaked: after each of %u resets the same as before the first guest: %s", k.alike,
		   text);
	plan_check(p->first_disk->opens >= n + 1, "the disk was opened %u times on the same host end", p->first_disk->opens);
}

/* ---- lossy */

static unsigned long left(const struct loss_count *c)
{
	return c->lost - c->fate[LOSS_SELF] - c->fate[LOSS_NEEDLESS] - c->fate[LOSS_REPORTED];
}

/* The end of each that was lost; devices look every now and then. */
static void settle(void)
{
	struct loss_count c;

	for (unsigned steps = 0; steps < 600; steps++) {
		unsigned long all = 0;

		for (unsigned i = 0; i < LOSS_KINDS; i++) {
			loss_counts((enum loss_kind)i, &c);
			all += left(&c);
		}
		if (!all)
			return;
		plan_sleep_us(100000);
	}
}

void plan_lossy(struct plan *p)
{
	unsigned errors, slowest;
	struct loss_count c;

	/* so that requests come one by one, each with an interrupt */
	__atomic_store_n(&p->first_disk->image->latency_us, 0, __ATOMIC_RELAXED);
	plan_note("seed %llx", (unsigned long long)p->seed);
	if (!plan_mail(p, "lossy"))
		return;
	loss_stop();
	settle();
	for (unsigned i = 0; i < LOSS_KINDS; i++) {
		loss_counts((enum loss_kind)i, &c);
		plan_check(c.lost && !left(&c),
			   "%s: %lu of %lu lost: %lu made up for by the next, %lu not needed, %lu reported and repaired, %lu left",
			   loss_name((enum loss_kind)i), c.lost, c.chances, c.fate[LOSS_SELF], c.fate[LOSS_NEEDLESS],
			   c.fate[LOSS_REPORTED], left(&c));
	}
	if (plan_check(sscanf(p->mail, "lossy\nerrors %u\nslowest %u", &errors, &slowest) == 2, "the guest tells how it went"))
		plan_check(errors == 0, "the guest's requests were all answered, %u with errors; the slowest 64 KiB took it %u ms", errors,
			   slowest);
	if (plan_beats(p, 3))
		plan_check(1, "heartbeats go on: %llu", (unsigned long long)dev_heartbeat_answered(p->host->device));
}
