/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The plans with several processors: move, sub. See plan.h, and the scenarios of these names. */
#define _GNU_SOURCE
#include "plan.h"

#include <stdio.h>
#include <string.h>

enum { ROUNDS_MOST = 64 };
enum { MODIFY_CHANNEL = 22, MODIFY_CHANNEL_RESPONSE = 24 };

static unsigned long load(const unsigned long *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static uint32_t target_of(struct plan *p, const struct device *d)
{
	struct vmb_open_info info = { .size = sizeof info };

	pthread_mutex_lock(&p->host->control);
	if (vmb_host_open_info(p->host->bus, d->handle, &info) < 0)
		info.target_vp = DEVICE_NO_VP;
	pthread_mutex_unlock(&p->host->control);
	return info.target_vp;
}

/* ---- move */

/* At one moment: what the guest wrote in its mail, and what the host has counted. */
struct moment {
	unsigned cpu, channel;
	unsigned long interrupts, hyp; /* of the channel, by sysfs; taken by the second processor for hypervisors, by /proc */
	unsigned long raised[2], reads;
	uint32_t target;
};

struct moves {
	unsigned told, flowing, stayed, equal, taken, moved;
	unsigned long interrupts[2];
};

static int look(struct plan *p, struct device *d, struct moment *m)
{
	if (sscanf(p->mail, "%*[^\n]\nchannel %u\ncpu %u\ninterrupts %lu\nhyp %lu", &m->channel, &m->cpu, &m->interrupts, &m->hyp) != 4)
		return plan_check(0, "the guest's mail is not understood: %s", p->mail);
	for (unsigned i = 0; i < 2; i++)
		m->raised[i] = load(&d->raised[i]);
	m->reads = load(&d->image->reads);
	m->target = target_of(p, d);
	return 1;
}

/* From one pause of the guest's readers, over the mail that it sent just after the move, to the next pause. */
static void compare(const struct moment *last, const struct moment *mid, const struct moment *now, unsigned want, unsigned channel,
		    struct moves *s)
{
	unsigned long raised[2] = { now->raised[0] - last->raised[0], now->raised[1] - last->raised[1] };
	unsigned long hyp = now->hyp - last->hyp;

	s->told += mid->cpu == want && mid->target == want && now->cpu == want && now->target == want && now->channel == channel;
	s->flowing += mid->reads > last->reads && now->reads > mid->reads;
	s->stayed += now->raised[!want] == mid->raised[!want] && now->raised[want] > mid->raised[want];
	/* the guest counts what it finds in the event flags, and the host what it newly set there */
	s->equal += now->interrupts - last->interrupts == raised[0] + raised[1];
	/* this is the only channel on that processor; two interrupts that wait there are one */
	s->taken += hyp <= raised[1] && (hyp > 0) == (raised[1] > 0);
	s->moved += last->cpu != want;
	s->interrupts[0] += raised[0];
	s->interrupts[1] += raised[1];
}

static void check_modify(const struct host *h, unsigned moved, const struct device *d)
{
	unsigned asked = h->taken[MODIFY_CHANNEL], answered = h->given[MODIFY_CHANNEL_RESPONSE];
	int acknowledged = d->info.version >= VMB_V5_3;

	plan_check(asked >= moved && answered == (acknowledged ? asked : 0), "version %u.%u: %u MODIFY_CHANNEL, %u of them answered",
		   d->info.version >> 16, d->info.version & 0xffff, asked, answered);
	if (acknowledged)
		plan_check(load(&d->stray) == 0, "%lu interrupts to the old processor after the answer", load(&d->stray));
}

void plan_move(struct plan *p)
{
	struct device *d = &p->first_disk[1];
	unsigned times = p->times < ROUNDS_MOST ? p->times : ROUNDS_MOST, want[ROUNDS_MOST], n;
	char text[2 * ROUNDS_MOST + 2] = "";
	struct moment last, mid, now;
	struct moves s = { .told = 0 };

	for (n = 0; n < times; n++) { /* not to the same one three times */
		want[n] = n > 1 && want[n - 1] == want[n - 2] ? !want[n - 1] : (unsigned)plan_random(&p->seed) % 2;
		snprintf(text + 2 * n, 3, "%u ", want[n]);
	}
	text[2 * n] = '\n';
	plan_leave(d->image, text);
	__atomic_store_n(&d->image->latency_us, 1000, __ATOMIC_RELAXED);
	plan_note("drawn: %.*s", (int)(2 * n), text);
	if (!plan_mail(p, "move 0") || !look(p, d, &last))
		return;
	plan_go(p);
	for (n = 1; n <= times; n++) {
		if (!plan_mail(p, "moved %u", n) || !look(p, d, &mid) || !plan_mail(p, "move %u", n) || !look(p, d, &now))
			return;
		compare(&last, &mid, &now, want[n - 1], d->info.event_flag, &s);
		last = now;
		plan_go(p);
	}
	plan_check(s.told == times, "%u of %u times guest and host had the channel on the processor that was drawn, %u moves", s.told,
		   times, s.moved);
	plan_check(s.flowing == times, "%u times the disk was read before and after, by both processors", s.flowing);
	plan_check(s.stayed == times, "%u times interrupts came to the new processor, and no more to the old one: %lu and %lu", s.stayed,
		   s.interrupts[0], s.interrupts[1]);
	plan_check(s.equal == times, "%u times the guest had counted as many interrupts as the host had raised", s.equal);
	plan_check(s.taken == times, "%u times its second processor had taken interrupts if and only if the host had raised some there",
		   s.taken);
	check_modify(p->host, s.moved, d);
}

/* ---- sub */

struct subs {
	unsigned told, split, opened;
	unsigned long requests[2];
	struct figures first, now;
};

/* Lines "channel <relid> <cpu> <subchannel>" of the disk: are they ours, and open on different processors? */
static int channels_agree(struct plan *p, struct device *d)
{
	unsigned id, cpu, index, right = 0, cpus = 0;
	const char *line = p->mail;

	while ((line = strstr(line, "\nchannel ")) != NULL) {
		const struct device *at;

		line++;
		if (sscanf(line, "channel %u %u %u", &id, &cpu, &index) != 3 || index > 1)
			return 0;
		at = index ? d->sub : d;
		right += id == at->info.event_flag && target_of(p, at) == cpu;
		cpus |= 1u << cpu;
	}
	return right == 2 && cpus == 3;
}

static int sub_round(struct plan *p, struct device *d, unsigned n, const unsigned want[2], struct subs *s)
{
	unsigned long before[2], now[2];

	if (!plan_mail(p, "ready %u", n))
		return 0;
	before[0] = load(&d->requests);
	before[1] = load(&d->sub->requests);
	plan_go(p);
	if (!plan_mail(p, "sub %u", n))
		return 0;
	plan_figures(p->host, n == 1 ? &s->first : &s->now);
	now[0] = load(&d->requests) - before[0];
	now[1] = load(&d->sub->requests) - before[1];
	s->told += (unsigned)channels_agree(p, d);
	s->opened += d->opens == n && d->sub->opens == n;
	if ((now[0] == want[0] && now[1] == want[1]) || (now[0] == want[1] && now[1] == want[0]))
		s->split++;
	else
		plan_note("%lu and %lu requests on the two channels, where %u and %u were read", now[0], now[1], want[0], want[1]);
	s->requests[0] += now[0];
	s->requests[1] += now[1];
	plan_go(p);
	return 1;
}

void plan_sub(struct plan *p)
{
	struct device *d = &p->first_disk[1];
	unsigned times = p->times < ROUNDS_MOST ? p->times : ROUNDS_MOST, want[ROUNDS_MOST][2], n;
	char text[16 * ROUNDS_MOST] = "", *end = text;
	struct subs s = { .told = 0 };
	int r;

	for (n = 0; n < times; n++) {
		want[n][0] = 20 + (unsigned)plan_random(&p->seed) % 40;
		want[n][1] = 70 + (unsigned)plan_random(&p->seed) % 40;
		end += sprintf(end, "%u %u\n", want[n][0], want[n][1]);
	}
	plan_leave(d->image, text);
	d->image->latency_us = p->first_disk->image->latency_us = 0;
	for (n = 1; n <= times; n++) {
		if (!sub_round(p, d, n, want[n - 1], &s))
			return;
	}
	plan_check(s.told == times, "%u of %u times the guest's sysfs had both channels of the disk as the host has them", s.told, times);
	plan_check(s.split == times, "%u times the host counted on each channel what one processor had read: %lu and %lu together", s.split,
		   s.requests[0], s.requests[1]);
	plan_check(s.opened == times, "%u times both were open once more: each unbinding took the subchannel away", s.opened);
	plan_check(plan_same(&s.first, &s.now), "nothing leaked over %u bindings", times);
	n = p->host->gone;
	pthread_mutex_lock(&p->host->control);
	r = vmb_host_remove(p->host->bus, d->handle);
	pthread_mutex_unlock(&p->host->control);
	if (!plan_reach(&p->host->gone, n + 2, "REL_ID_RELEASED of both") || !plan_mail(p, "sub gone"))
		return;
	plan_check(r == 0 && !d->handle && !d->sub->handle, "the disk was taken away, its subchannel with it");
	pthread_mutex_lock(&p->host->control);
	r = device_offer(d);
	pthread_mutex_unlock(&p->host->control);
	plan_check(r == 0 && plan_mail(p, "sub again") && d->opens == times + 1 && d->sub->opens == times + 1,
		   "and came back with it");
}
