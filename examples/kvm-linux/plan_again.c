/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The plans in which the same thing happens again and again: hot, reload, kexec. See plan.h, and the scenarios of these names. */
#define _GNU_SOURCE
#include "plan.h"

#include <stdio.h>
#include <string.h>

enum { INITIATE_CONTACT = 14, UNLOAD = 16, UNLOAD_COMPLETE = 17, LATENCY_LONG_US = 50000 };

/* ---- a file on a disk */

int plan_file(struct image *m, const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f) {
		perror(path);
		return -1;
	}
	n = fread(m->bytes + FILE_AT, 1, m->size - FILE_AT, f);
	if (fgetc(f) != EOF) {
		fprintf(stderr, "%s does not fit on the disk\n", path);
		n = 0;
	}
	fclose(f);
	snprintf((char *)m->bytes + NOTE_AT, 64, "file %lu\n", (unsigned long)n);
	return n ? 0 : -1;
}

/* ---- hot */

enum { TOGETHER = 2 };

static int hot_add(struct plan *p, struct device *d, unsigned n)
{
	int r;

	pthread_mutex_lock(&d->image->lock);
	plan_number(d->image->bytes, p->seed + n, d->instance);
	pthread_mutex_unlock(&d->image->lock);
	pthread_mutex_lock(&p->host->control);
	d->channel_id = 100 + (unsigned)plan_random(&p->seed) % 900 * TOGETHER + d->instance % TOGETHER;
	r = device_offer(d);
	pthread_mutex_unlock(&p->host->control);
	return r == 0 || !plan_check(0, "the offer: %s", vmb_strerror(r));
}

/* Does the mail have a line "disk <instance> <channel> <number>" for it, and all as the host drew it? */
static int hot_right(const struct plan *p, const struct device *d)
{
	char number[32] = "", text[32];
	unsigned channel;
	const char *line;

	snprintf(text, sizeof text, "\ndisk %u ", d->instance);
	line = strstr(p->mail, text);
	return line && sscanf(line + 1, "disk %*u %u %31s", &channel, number) == 2 && channel == d->channel_id &&
	       !strncmp(number, (const char *)d->image->bytes, NUMBER_TEXT - 1);
}

/* Once: new disks, what the guest says of them, and away with them. */
static int hot_once(struct plan *p, struct device *d, unsigned n, unsigned *right)
{
	unsigned gone = p->host->gone;
	int r = 0;

	for (unsigned i = 0; i < TOGETHER; i++)
		if (!hot_add(p, &d[i], n))
			return 0;
	if (!plan_mail(p, "hot %u", n))
		return 0;
	pthread_mutex_lock(&p->host->control);
	for (unsigned i = 0; i < TOGETHER && r == 0; i++) {
		*right += (unsigned)hot_right(p, &d[i]);
		r = vmb_host_remove(p->host->bus, d[i].handle);
	}
	pthread_mutex_unlock(&p->host->control);
	/* both, or Linux itself would fall over its own feet: control-plane.md 21 */
	return r == 0 && plan_reach(&p->host->gone, gone + TOGETHER, "REL_ID_RELEASED") && plan_mail(p, "gone %u", n);
}

void plan_hot(struct plan *p)
{
	struct device *d = &p->first_disk[1];
	struct figures first, now;
	unsigned n, right = 0, same = 0, all = TOGETHER * p->times;
	char text[160];

	for (unsigned i = 0; i < TOGETHER; i++) {
		d[i].image->latency_us = 0;
		d[i].ops = &dev_ide; /* for which Linux need not look at sixteen places */
	}
	if (!plan_mail(p, "gone 0"))
		return;
	plan_figures(p->host, &first);
	for (n = 1; n <= p->times; n++) {
		if (!hot_once(p, d, n, &right))
			return;
		plan_figures(p->host, &now);
		same += (unsigned)plan_same(&first, &now);
	}
	plan_print(&first, text);
	plan_check(right == all, "%u of %u disks came with the number and the channel that the host had drawn", right, all);
	plan_check(d[0].opens + d[1].opens == all && p->host->gone == all,
		   "each was opened once, released once and unbound: %u opens, %u gone", d[0].opens + d[1].opens, p->host->gone);
	plan_check(same == p->times, "nothing leaked: after each of %u times the same as before the first: %s", same, text);
}

/* ---- reload */

/* Has every device been opened this often? */
static int all_opened(const struct host *h, unsigned times)
{
	unsigned right = 0;

	for (unsigned i = 0; i < h->devices; i++)
		right += h->device[i].opens == times;
	return right == h->devices;
}

void plan_reload(struct plan *p)
{
	struct figures first, now;
	unsigned n, opened = 0, same = 0, unloads = 0, beats = 0;
	char text[160];

	p->first_disk->image->latency_us = 0; /* Linux asks for 16 disks each time */
	for (n = 0; n <= p->times; n++) {
		if (!plan_mail(p, "reload %u", n))
			return;
		plan_figures(p->host, &now);
		if (!n)
			first = now;
		opened += (unsigned)all_opened(p->host, n + 1);
		same += (unsigned)plan_same(&first, &now);
		if (sscanf(p->mail, "%*[^\n]\nunloads %u", &unloads) != 1 || (n % 5 == 0 && !plan_beats(p, 1)))
			return;
		beats += n % 5 == 0;
		plan_go(p);
	}
	plan_print(&first, text);
	plan_check(opened == n, "%u times all devices had been opened once more", opened);
	plan_check(same == n, "nothing leaked: each time the same: %s", text);
	plan_check(beats == p->times / 5 + 1, "heartbeats were answered after %u of the reloads", beats - 1);
	plan_check(unloads && p->host->taken[UNLOAD] == unloads && p->host->given[UNLOAD_COMPLETE] == unloads &&
			   p->host->taken[INITIATE_CONTACT] == unloads + 1,
		   "%u of them were of the bus too: UNLOAD %u times, UNLOAD_COMPLETE %u, INITIATE_CONTACT %u", unloads,
		   p->host->taken[UNLOAD], p->host->given[UNLOAD_COMPLETE], p->host->taken[INITIATE_CONTACT]);
}

/* ---- kexec */

void plan_kexec(struct plan *p)
{
	struct host *h = p->host;
	struct image *m = p->first_disk->image;
	struct figures now;
	unsigned n, beats = 0, clean = 0, latency_us = m->latency_us;
	char text[160];

	plan_print(&p->start, text);
	for (n = 0; n <= p->times; n++) {
		if (!plan_mail(p, "life %u", n) || !plan_beats(p, 1))
			return;
		beats++;
		if (n < p->times) /* so that some of its reading is in flight whenever it ends */
			__atomic_store_n(&m->latency_us, LATENCY_LONG_US, __ATOMIC_RELAXED);
		plan_go(p);
		if (n == p->times)
			break;
		if (!plan_reach(&h->given[UNLOAD_COMPLETE], n + 1, "UNLOAD"))
			return;
		__atomic_store_n(&m->latency_us, latency_us, __ATOMIC_RELAXED);
		for (unsigned steps = 0; steps < 500; steps++) { /* the next kernel takes seconds until it makes contact */
			plan_figures(h, &now);
			if (!memcmp(&p->start, &now, sizeof now))
				break;
			plan_sleep_us(1000);
		}
		clean += (unsigned)plan_same(&p->start, &now);
	}
	plan_check(beats == p->times + 1, "%u kernels, one after the other, answered heartbeats", beats);
	plan_check(h->taken[UNLOAD] == n && h->given[UNLOAD_COMPLETE] == n && h->taken[INITIATE_CONTACT] == n + 1 && !p->resets,
		   "UNLOAD %u times, UNLOAD_COMPLETE %u, INITIATE_CONTACT %u, no reset", h->taken[UNLOAD], h->given[UNLOAD_COMPLETE],
		   h->taken[INITIATE_CONTACT]);
	plan_check(clean == n, "after each of the %u nothing of the kernel was left: %s", clean, text);
	plan_check(m->cut > 0, "%u requests of old kernels were in flight when these ended", m->cut);
}
