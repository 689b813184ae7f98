/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The plan in which the host-end process itself is killed. See plan.h, keep.h, and the scenario of this name. */
#define _GNU_SOURCE
#include "keep.h"

#include <stdio.h>
#include <string.h>

enum { OPEN_CHANNEL = 5, GPADL_HEADER = 8, INITIATE_CONTACT = 14, DISKS = 2 };

/* In the middle of I/O: the disks hold requests that are not answered. Returns only if it goes wrong. */
static void end_life(struct plan *p, struct plan_keep *k)
{
	unsigned in_flight = 0;
	int r;

	plan_sleep_us((unsigned)plan_random(&p->seed) % 100000);
	for (unsigned i = 0; i < DISKS; i++) {
		struct image *m = p->first_disk[i].image;

		__atomic_store_n(&m->held, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&m->hold, 1, __ATOMIC_RELEASE);
		if (!plan_reach(&m->held, 1, "requests on a disk"))
			return;
		in_flight += __atomic_load_n(&m->in_flight, __ATOMIC_ACQUIRE);
	}
	k->in_flight += in_flight;
	k->busy += in_flight > 0;
	k->beats = dev_heartbeat_answered(p->host->device);
	k->life++;
	r = keep_save(p->host);
	plan_check(0, "save: %s", vmb_strerror(r));
}

/* Everything goes on, and the guest has noticed nothing. */
static int went_on(struct plan *p, struct plan_keep *k)
{
	const unsigned *taken = p->host->taken;
	struct figures now;

	for (unsigned i = 0; i < DISKS; i++)
		if (!plan_grows(&p->first_disk[i].image->reads, 0, "reads") || !plan_grows(&p->first_disk[i].image->writes, 0, "writes"))
			return 0;
	k->went++;
	if (!plan_beats(p, (unsigned)k->beats + 1))
		return 0;
	k->beat++;
	plan_figures(p->host, &now);
	k->alike += (unsigned)plan_same(&k->ready, &now);
	k->disturbed += taken[OPEN_CHANNEL] + taken[GPADL_HEADER] + taken[INITIATE_CONTACT];
	return 1;
}

void plan_life(struct plan *p)
{
	struct plan_keep *k = keep_plan();
	unsigned rounds, errors;
	char text[160];

	if (!k->life) {
		k->start = p->start;
		if (!plan_mail(p, "life 0") || !plan_beats(p, 1))
			return;
		plan_figures(p->host, &k->ready);
	} else {
		p->start = k->start; /* when there had been no guest */
		if (!went_on(p, k))
			return;
	}
	if (k->life < p->times) {
		end_life(p, k);
		return;
	}
	plan_leave(p->first_disk->image, "stop\n");
	if (!plan_mail(p, "life done"))
		return;
	plan_check(k->busy == p->times, "%u times the process was killed with requests taken and not answered, %u together", k->life,
		   k->in_flight);
	plan_check(k->went == p->times && k->beat == p->times,
		   "%u times both disks, and %u times the heartbeats went on: %llu answered over one open channel", k->went, k->beat,
		   (unsigned long long)dev_heartbeat_answered(p->host->device));
	plan_check(k->disturbed == 0, "the guest noticed nothing: %u contacts, opens or page lists after the first process", k->disturbed);
	plan_print(&k->ready, text);
	plan_check(k->alike == p->times, "nothing leaked or was forgotten: %u times the same: %s", k->alike, text);
	if (plan_check(sscanf(p->mail, "%*[^\n]\nrounds %u\nerrors %u", &rounds, &errors) == 2, "the guest tells how it went"))
		plan_check(rounds > p->times && errors == 0, "it wrote and read again %u times, with %u errors", rounds, errors);
}
