/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What all plans share. See plan.h. */
#define _GNU_SOURCE
#include "plan.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATIENCE_S = 250, STEP_US = 2000 };

static const struct {
	const char *name;
	void (*run)(struct plan *p);
} table[] = {
	{ "disks", plan_disks }, { "rescind", plan_rescind }, { "rebind", plan_rebind },
	{ "kill", plan_kill }, { "lossy", plan_lossy }, { "move", plan_move }, { "hot", plan_hot }, { "reload", plan_reload },
	{ "sub", plan_sub }, { "socket", plan_socket }, { "kexec", plan_kexec },
	{ "life", plan_life },
};

static struct plan plan;
static unsigned failures;
static int done;                             /* the plan's thread has done all that it had to do */
static void (*run)(struct plan *p);
static const char *waits_for = "nothing"; /* read and written atomically */

/* ---- checks */

int plan_check(int ok, const char *format, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	fprintf(stderr, "VMB-%s: %s\n", ok ? "PASS" : "FAIL", text); /* one write, for there are other threads */
	if (!ok)
		__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
	return ok;
}

void plan_note(const char *format, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	fprintf(stderr, "VMB-NOTE: %s\n", text);
}

/* ---- figures */

static unsigned open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* [control] */
static void figures_take(struct host *h, struct figures *f)
{
	struct vmb_bus_info info = { .size = sizeof info };
	uint32_t cursor = 0, gpadl;
	vmb_handle ch;

	memset(f, 0, sizeof *f);
	if (vmb_host_info(h->bus, &info) < 0)
		return;
	f->channels = info.channels;
	f->attached = info.attached;
	f->gpadls = info.gpadls;
	f->gpadl_pages = info.gpadl_pages;
	f->queued = info.queued;
	while (vmb_host_users(h->bus, 0, UINT64_MAX, &cursor, &ch, &gpadl) == VMB_YES)
		f->users++;
	for (unsigned i = 0; i < h->devices + h->extras; i++)
		f->threads += (unsigned)h->device[i].running;
	f->pages = __atomic_load_n(&h->pages, __ATOMIC_RELAXED);
	f->blocks = __atomic_load_n(&h->blocks, __ATOMIC_RELAXED);
	f->files = open_files();
}

void plan_figures(struct host *h, struct figures *f)
{
	pthread_mutex_lock(&h->control);
	figures_take(h, f);
	pthread_mutex_unlock(&h->control);
}

void plan_print(const struct figures *f, char out[160])
{
	snprintf(out, 160,
		 "%u channels, %u attached, %u GPADLs of %u pages, %lu pages mapped, %u users, %u threads, %lu blocks, %u files",
		 f->channels, f->attached, f->gpadls, f->gpadl_pages, f->pages, f->users, f->threads, f->blocks, f->files);
}

int plan_same(const struct figures *a, const struct figures *b)
{
	char text[2][160];

	if (!memcmp(a, b, sizeof *a))
		return 1;
	plan_print(a, text[0]);
	plan_print(b, text[1]);
	fprintf(stderr, "before: %s, %u messages\nafter:  %s, %u messages\n", text[0], a->queued, text[1], b->queued);
	return 0;
}

/* ---- waiting */

void plan_sleep_us(unsigned us)
{
	nanosleep(&(struct timespec){ us / 1000000, us % 1000000 * 1000 }, NULL);
}

/* What the devices have before them, for whoever asks why nothing comes. */
static void tell(void)
{
	struct host *h = plan.host;

	for (unsigned i = 0; i < h->devices + h->extras; i++) {
		const struct device *d = &h->device[i];
		struct vmb_channel_info c = { .size = sizeof c };

		if (d->running && d->ch)
			vmb_channel_info(d->ch, &c); /* a racy look, at a channel that stands still */
		fprintf(stderr, "%s %u: %s, opens %u, %llu in %llu out, ring to the guest %u..%u, from it %u..%u", d->ops->name, d->instance,
			!d->handle ? "gone" : d->running ? "open" : "closed", d->opens, (unsigned long long)c.received,
			(unsigned long long)c.sent, c.tx.out, c.tx.in, c.rx.out, c.rx.in);
		if (d->image)
			fprintf(stderr, "; in flight %u, failed %u, reads %lu, writes %lu", d->image->in_flight, d->image->failed,
				d->image->reads, d->image->writes);
		fprintf(stderr, "\n");
	}
}

static int waiting_is_over(const char *what, uint64_t *since)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	__atomic_store_n(&waits_for, what, __ATOMIC_RELEASE);
	if (!*since)
		*since = (uint64_t)t.tv_sec;
	if ((uint64_t)t.tv_sec - *since >= PATIENCE_S) {
		tell();
		return !plan_check(0, "nothing came of the wait for: %s", what);
	}
	plan_sleep_us(STEP_US);
	return 0;
}

int plan_mail(struct plan *p, const char *format, ...)
{
	char line[64];
	uint64_t since = 0;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof line - 1, format, ap);
	va_end(ap);
	line[n++] = '\n';
	line[n] = 0;
	while (!mail_from_guest(p->first_disk->image, p->mail, sizeof p->mail) || strncmp(p->mail, line, (size_t)n))
		if (waiting_is_over(line, &since))
			return 0;
	__atomic_store_n(&waits_for, "nothing", __ATOMIC_RELEASE);
	return 1;
}

void plan_leave(struct image *m, const char *text)
{
	size_t n = strnlen(text, NOTE_BYTES - 1);

	pthread_mutex_lock(&m->lock);
	memset(m->bytes + NOTE_AT, 0, NOTE_BYTES);
	memcpy(m->bytes + NOTE_AT, text, n);
	pthread_mutex_unlock(&m->lock);
}

void plan_go(struct plan *p)
{
	char text[80];

	snprintf(text, sizeof text, "go %.*s\n", (int)strcspn(p->mail, "\n"), p->mail);
	plan_leave(p->first_disk->image, text);
}

int plan_reach(const unsigned *word, unsigned least, const char *what)
{
	uint64_t since = 0;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < least)
		if (waiting_is_over(what, &since))
			return 0;
	__atomic_store_n(&waits_for, "nothing", __ATOMIC_RELEASE);
	return 1;
}

int plan_grows(const unsigned long *word, unsigned long above, const char *what)
{
	uint64_t since = 0;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) <= above)
		if (waiting_is_over(what, &since))
			return 0;
	__atomic_store_n(&waits_for, "nothing", __ATOMIC_RELEASE);
	return 1;
}

int plan_beats(struct plan *p, unsigned least)
{
	uint64_t since = 0;

	while (dev_heartbeat_answered(p->host->device) < least)
		if (waiting_is_over("heartbeats", &since))
			return 0;
	__atomic_store_n(&waits_for, "nothing", __ATOMIC_RELEASE);
	return 1;
}

uint64_t plan_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 32;
}

/* ---- the beginning */

void plan_number(uint8_t *bytes, uint64_t seed, unsigned i)
{
	uint64_t state = seed + i;
	char text[NUMBER_TEXT + 1];

	for (unsigned n = 0; n < 4; n++)
		plan_random(&state);
	snprintf(text, sizeof text, "%08x%08x\n", (unsigned)plan_random(&state), (unsigned)plan_random(&state));
	memcpy(bytes, text, NUMBER_TEXT);
	for (unsigned n = 0; n < PATTERN_BYTES; n++)
		bytes[PATTERN_AT + n] = (uint8_t)text[n % NUMBER_TEXT];
}

/* 0 if no two disks stand in the order of their GUIDs or of their ids. Those that come late do not count. */
static int is_shuffled(const struct host *h, unsigned first_disk, unsigned disks)
{
	for (unsigned a = first_disk; a < first_disk + disks; a++)
		for (unsigned b = a + 1; b < first_disk + disks; b++)
			if (h->device[a].order <= h->device[b].order || h->device[a].channel_id >= h->device[b].channel_id)
				return 0;
	return 1;
}

/* Ids and ranks are drawn until the order of the offers is neither that of the GUIDs nor that of the ids: a disk offered earlier
 * (lower rank) has the higher GUID and the higher id. */
void plan_shuffle(struct host *h, unsigned *order, unsigned first_disk, uint64_t seed)
{
	unsigned n = h->devices, disks = n - first_disk > 2 ? 2 : n - first_disk;

	do {
		for (unsigned i = 0; i < n; i++) {
			unsigned other = (unsigned)plan_random(&seed) % (i + 1), was = order[other];

			order[other] = order[i];
			order[i] = was;
			h->device[i].channel_id = (unsigned)(plan_random(&seed) % 250) * 8 + i + 1; /* no two alike */
			h->device[i].order = (unsigned)plan_random(&seed) % 1000;
		}
	} while (!is_shuffled(h, first_disk, disks));
}

int plan_is_late(const char *name, const struct device *d)
{
	return (!strcmp(name, "disks") && d->instance == d->host->devices) ||
	       (!strncmp(name, "hot", 3) && d->image && d->image != d->host->device[d->host->devices - d->host->disks].image);
}

static void *plan_thread(void *arg)
{
	struct plan *p = arg;

	run(p);
	__atomic_store_n(&done, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&p->host->shutdown_wanted, 1u, __ATOMIC_RELEASE);
	return NULL;
}

int plan_start(struct host *h, const char *name, uint64_t seed, void (*kill)(void))
{
	size_t n = strcspn(name, "@");
	pthread_t thread;

	for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
		if (strlen(table[i].name) == n && !strncmp(table[i].name, name, n))
			run = table[i].run;
	if (!run)
		return -1;
	plan.name = name;
	plan.times = name[n] ? (unsigned)strtoul(name + n + 1, NULL, 10) : 1;
	plan.host = h;
	plan.seed = seed;
	plan.kill = kill;
	for (unsigned i = 0; !plan.first_disk; i++)
		if (h->device[i].image)
			plan.first_disk = &h->device[i];
	plan_figures(h, &plan.start);
	return pthread_create(&thread, NULL, plan_thread, &plan) || pthread_detach(thread) ? -1 : 0;
}

/* ---- resets, and the end */

void plan_before_reset(struct host *h)
{
	plan.held_at_reset = 0;
	for (unsigned i = 0; i < h->devices; i++)
		if (h->device[i].image)
			plan.held_at_reset += __atomic_load_n(&h->device[i].image->in_flight, __ATOMIC_ACQUIRE);
}

void plan_after_reset(struct host *h)
{
	figures_take(h, &plan.after_reset);
	__atomic_fetch_add(&plan.resets, 1, __ATOMIC_RELEASE);
}

/* The last reset was that of the machine going off. */
int plan_verdict(void)
{
	char text[160];

	if (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		plan_check(0, "the plan did not come to its end; it waited for: %s",
			   __atomic_load_n(&waits_for, __ATOMIC_ACQUIRE));
	plan_print(&plan.after_reset, text);
	plan_check(plan_same(&plan.start, &plan.after_reset), "the guest is off, and nothing of it is left: %s", text);
	return __atomic_load_n(&failures, __ATOMIC_RELAXED) ? -1 : 0;
}
