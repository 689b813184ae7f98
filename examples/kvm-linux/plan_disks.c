/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The plans with two disks and more: disks, rescind, rebind. See plan.h, and the scenarios of these names. */
#define _GNU_SOURCE
#include "plan.h"

#include <stdio.h>
#include <string.h>

static unsigned disks_of(const struct plan *p)
{
	return p->host->disks;
}

static unsigned long load(const unsigned long *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* ---- disks */

/* One line of mail: "disk <instance GUID> <relid> <node in sysfs> <bytes> <number>". Which of ours it is about, or NULL. */
static struct device *disk_of_line(struct plan *p, const char *line, unsigned *relid, unsigned *node, unsigned long long *bytes,
				   char number[32])
{
	char text[64];
	struct vmb_guid guid, ours;

	if (sscanf(line, "disk %63s %u %u %llu %31s", text, relid, node, bytes, number) != 5 || vmb_guid_parse(text, &guid) < 0)
		return NULL;
	for (unsigned i = 0; i < disks_of(p); i++) {
		device_instance(&p->first_disk[i], &ours);
		if (!memcmp(&ours, &guid, sizeof guid))
			return &p->first_disk[i];
	}
	return NULL;
}

/* Every disk as the guest sees it: is it ours, all of it? node[]: of their devices in sysfs, which counts them up in the order in which the
 * bus met them. */
static void check_disks(struct plan *p, unsigned n, unsigned *node)
{
	char *rest = p->mail, *line, number[32];
	const char *ours;
	unsigned right = 0, relid, its;
	unsigned long long bytes;

	while ((line = strsep(&rest, "\n"))) {
		struct device *d = disk_of_line(p, line, &relid, &its, &bytes, number);

		if (!d)
			continue;
		node[d - p->first_disk] = its;
		ours = (const char *)d->image->bytes;
		right += (unsigned)plan_check(relid == d->channel_id && bytes == d->image->size && !strncmp(number, ours, 16),
					      "disk %u: guest and host have channel %u (%u), %llu bytes (%llu), number %s (%.16s)",
					      d->instance, relid, d->channel_id, bytes, (unsigned long long)d->image->size, number, ours);
	}
	plan_check(right == n, "the guest has %u disks, each where its instance GUID says", right);
}

/* How often had all disks requests in flight at one time, until the mail comes? */
static unsigned long watch_all(struct plan *p, unsigned n, const char *until)
{
	unsigned long together = 0;
	unsigned steps = 0;

	while (!mail_from_guest(p->first_disk->image, p->mail, sizeof p->mail) || strncmp(p->mail, until, strlen(until))) {
		unsigned busy = 0;

		for (unsigned i = 0; i < n; i++)
			busy += __atomic_load_n(&p->first_disk[i].image->in_flight, __ATOMIC_RELAXED) != 0;
		together += busy == n;
		if (++steps > 300000 && !plan_check(0, "nothing came of the wait for: %s", until))
			break;
		plan_sleep_us(500);
	}
	return together;
}

/* The guest wrote each disk's number over and over, with its own behind it. */
static void check_written(struct plan *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct image *m = p->first_disk[i].image;
		char text[2 * NUMBER_TEXT];
		unsigned at = 0, len = (unsigned)snprintf(text, sizeof text, "%.16s-guest\n", (const char *)m->bytes);

		while (at < PATTERN_BYTES && m->bytes[PATTERN_OF_GUEST + at] == (uint8_t)text[at % len])
			at++;
		plan_check(at == PATTERN_BYTES, "disk %u: %u bytes that the guest wrote are there, %lu reads and %lu writes",
			   p->first_disk[i].instance, at, load(&m->reads), load(&m->writes));
	}
}

void plan_disks(struct plan *p)
{
	struct device *d = p->first_disk, *late = &d[2];
	unsigned node[3] = { 0 };
	unsigned long before[2], together;

	plan_note("seed %llx: disks %u and %u have channels %u and %u and are offered in the order %u, %u", (unsigned long long)p->seed,
		  d[0].instance, d[1].instance, d[0].channel_id, d[1].channel_id, d[d[1].order < d[0].order].instance,
		  d[d[1].order > d[0].order].instance);
	if (!plan_mail(p, "disks 1"))
		return;
	check_disks(p, 2, node);
	plan_check((node[0] < node[1]) == (d[0].order < d[1].order),
		   "the guest met them in the order of the offers: nodes %u and %u in sysfs", node[0], node[1]);
	for (unsigned i = 0; i < 2; i++)
		before[i] = load(&d[i].image->reads);
	pthread_mutex_lock(&p->host->control);
	plan_check(device_offer(late) == 0, "a third disk is offered, with channel %u, while the others work", late->channel_id);
	pthread_mutex_unlock(&p->host->control);
	p->start.channels++;
	if (!plan_mail(p, "disks 2"))
		return;
	plan_check(load(&d[0].image->reads) > before[0] && load(&d[1].image->reads) > before[1],
		   "%lu and %lu reads of the first two while the third came", load(&d[0].image->reads) - before[0],
		   load(&d[1].image->reads) - before[1]);
	check_disks(p, 3, node);
	together = watch_all(p, 3, "disks 3\n");
	plan_check(together > 0, "all three disks had requests in flight at one time, seen %lu times", together);
	check_written(p, 3);
}

/* ---- rescind */

struct rescinds {
	struct figures ready, gone;          /* before all, and while the disk was away for the first time */
	unsigned with_io, requests;          /* times that requests were in flight when the disk began to go; how many */
	unsigned answered;                   /* times that no request and no answer was left in the rings */
	unsigned alike, survivor;
};

/* Linux may still be looking for other disks there, and such a request must not be the one whose answer it does not read: wait until none has
 * come for a while. */
static void wait_quiet(struct device *d)
{
	unsigned long seen = load(&d->requests), now;

	for (unsigned still = 0, steps = 0; still < 20 && steps < 6000; steps++) {
		plan_sleep_us(10000);
		now = load(&d->requests);
		still = now == seen ? still + 1 : 0;
		seen = now;
	}
}

/* Make it go, mid-I/O. 1, or 0: give up. */
static int take_away(struct plan *p, struct device *d, unsigned workers, struct rescinds *s)
{
	struct image *m = d->image;
	unsigned gone, in_flight;
	int r;

	plan_sleep_us((unsigned)plan_random(&p->seed) % 20000);
	if (!plan_reach(&m->in_flight, 2, "requests on the disk that goes"))
		return 0;
	__atomic_store_n(&m->failed, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&m->settled, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&m->vanish, 1, __ATOMIC_RELEASE);
	in_flight = __atomic_load_n(&m->in_flight, __ATOMIC_ACQUIRE);
	s->with_io += in_flight > 0;
	s->requests += in_flight;
	/* Each worker of the guest stops at its first error. When all have read theirs nobody sends. */
	if (!plan_reach(&m->settled, workers, "the last worker's error"))
		return 0;
	wait_quiet(d);
	pthread_mutex_lock(&p->host->control);
	gone = p->host->gone;
	r = vmb_host_remove(p->host->bus, d->handle);
	pthread_mutex_unlock(&p->host->control);
	if (r < 0 || !plan_reach(&p->host->gone, gone + 1, "REL_ID_RELEASED")) {
		fprintf(stderr, "%s; %u failed of %u workers; %llu requests, %llu answers; the guest's ring from %u to %u\n", vmb_strerror(r),
			__atomic_load_n(&m->failed, __ATOMIC_RELAXED), workers, (unsigned long long)d->last.received,
			(unsigned long long)d->last.sent, d->last.rx.out, d->last.rx.in);
		return 0;
	}
	s->answered += d->last.rx.in == d->last.rx.out && d->last.tx.in == d->last.tx.out && d->last.received == d->last.sent;
	return 1;
}

static int rescind_once(struct plan *p, struct device *d, unsigned n, struct rescinds *s)
{
	struct figures now;
	unsigned workers;
	int r;

	plan_figures(p->host, &now);
	if (n == 1)
		s->ready = now;
	s->alike += (unsigned)plan_same(&s->ready, &now);
	if (sscanf(p->mail, "rescind %*u\nworkers %u", &workers) != 1 || !take_away(p, d, workers, s))
		return 0;
	plan_figures(p->host, &now);
	if (n == 1)
		s->gone = now;
	s->alike += (unsigned)plan_same(&s->gone, &now);
	__atomic_store_n(&d->image->vanish, 0, __ATOMIC_RELEASE);
	pthread_mutex_lock(&p->host->control);
	r = device_offer(d);
	pthread_mutex_unlock(&p->host->control);
	return r == 0;
}

void plan_rescind(struct plan *p)
{
	struct device *d = &p->first_disk[1];
	struct rescinds s = { .with_io = 0 };
	struct figures end;
	unsigned long reads = 0;
	unsigned n;
	char text[160];

	for (n = 1; plan_mail(p, "rescind %u", n); n++) {
		s.survivor += n > 1 && load(&p->first_disk->image->reads) > reads;
		reads = load(&p->first_disk->image->reads);
		if (n > p->times || !rescind_once(p, d, n, &s))
			break;
	}
	if (!plan_check(n > p->times, "%u times a disk was rescinded and offered again", n - 1))
		return;
	plan_check(s.with_io * 2 >= p->times, "%u times requests were in flight when the disk began to go, %u together", s.with_io,
		   s.requests);
	plan_check(s.answered == p->times, "%u times all of them had been answered, and the answers read, when the disk was gone",
		   s.answered);
	plan_check(d->opens == p->times + 1, "the guest opened it %u times", d->opens);
	plan_check(s.survivor == p->times, "the other disk was read each of the %u times, %lu reads together", s.survivor, reads);
	plan_check(dev_heartbeat_answered(p->host->device) > 0 && p->host->device->opens == 1, "%llu heartbeats, over one open channel",
		   (unsigned long long)dev_heartbeat_answered(p->host->device));
	plan_figures(p->host, &end);
	plan_print(&end, text);
	plan_check(s.alike == 2 * p->times && plan_same(&s.ready, &end), "nothing leaked: the same at all times with the disk: %s", text);
	plan_print(&s.gone, text);
	plan_note("and without it: %s", text);
}

/* ---- rebind */

/* From here on: is everything as the guest's mail says it was done, and everybody there again? */
static void check_opens(struct plan *p, const struct figures *before)
{
	struct host *h = p->host;
	struct figures now;
	char text[160];

	for (unsigned i = 0; i < h->devices; i++) {
		const struct device *d = &h->device[i];
		int rebound = d != p->first_disk; /* which carries the mail */

		plan_check(d->opens == (rebound ? p->times + 1 : 1), "%s %u was opened %u times%s", d->ops->name, d->instance, d->opens,
			   rebound ? "" : ", for it worked all the time");
	}
	plan_figures(h, &now);
	plan_print(&now, text);
	plan_check(plan_same(before, &now), "nothing leaked: %s", text);
}

void plan_rebind(struct plan *p)
{
	struct figures before;
	unsigned long reads[2] = { 0, 0 };
	unsigned busy = 0;

	if (!plan_mail(p, "rebind 0"))
		return;
	plan_figures(p->host, &before);
	for (unsigned n = 1; n <= p->times; n++) {
		reads[0] = load(&p->first_disk->image->reads);
		if (!plan_mail(p, "rebind %u", n))
			return;
		reads[1] = load(&p->first_disk->image->reads);
		busy += reads[1] > reads[0];
	}
	plan_check(busy == p->times, "the first disk was read in each of the %u rounds, %lu times by now", busy, reads[1]);
	check_opens(p, &before);
	if (plan_beats(p, 2))
		plan_check(1, "and heartbeats are answered again: %llu", (unsigned long long)dev_heartbeat_answered(p->host->device));
}
