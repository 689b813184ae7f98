/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Measures rings against each other, in one process and one run.
 *
 * usage: bench [-f] [-p PASSES] [-j FILE] [-g FILE] [-o CONTENDER/WORK/MODE/MEMORY/PAYLOAD] [-w PACKETS] CONTENDER.so...
 *	-f  all figures, not only those that goals are about
 *	-p  so many samples of each (25)
 *	-j  write them to this file, a JSON object per line
 *	-g  compare them with the goals in this file; exit status 1 if one is missed
 *	-o  only the figures that fit; * fits all
 *	-w  measure nothing: send so many packets in the one figure that fits, for who counts instructions
 *
 * In each pass every figure gets one sample. Those that are compared with each other, which differ in contender and mode alone, come one after
 * the other, so that what else the machine does then happens to all of them; the order is each pass's own.
 */
#define _GNU_SOURCE
#include "measure.h"
#include "report.h"

#include <dlfcn.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CELLS_MOST = 4096, KIB = 1024, BATCH_BYTES = 8192 /* of payload, so that a batch stays in the first cache */ };

static struct cell *cells;
static unsigned cell_count;
static const char *only;

static void add_cell(struct cell c)
{
	const struct contender *x = c.contender;
	char name[128];

	c.signals = -1;
	if (!(x->memories & c.memory) || (c.in_place && !x->in_place) || (c.batch > 1 && !x->batches) || (c.pages && !x->pages))
		return;
	if (cell_count == CELLS_MOST || (takes_two(c.work) && !strcmp(x->name, "memcpy")))
		return;
	if (c.batch > 1) { /* capped in bytes too */
		while (c.batch * (c.payload + 16 * c.pages) > BATCH_BYTES)
			c.batch /= 2;
		if (c.batch < 2)
			return;
	}
	snprintf(name, sizeof name, "%s/%s/%s/%s/%u", x->name, work_names[c.work], mode_name(&c), memory_name(c.memory), c.payload);
	if (!only || !fnmatch(only, name, 0))
		cells[cell_count++] = c;
}

static void add(const struct contender *x, enum work work, enum memory memory, uint32_t payload, uint32_t ring, uint32_t in_place,
		uint32_t batch)
{
	add_cell((struct cell){ .contender = x, .work = work, .memory = memory, .payload = payload, .ring_bytes = ring, .in_place = in_place,
				.batch = batch });
}

/* GPA direct: what a disk or a network card is asked with. */
static void add_pages(const struct contender *x)
{
	static const uint32_t pages[] = { 1, 8, 32 };

	for (unsigned i = 0; i < sizeof pages / sizeof *pages; i++)
		for (enum memory m = MEMORY_ONCE; m <= MEMORY_TWICE; m *= 2)
			for (enum work w = WRITE_READ; w <= DRAIN; w++)
				for (uint32_t batch = 1; batch <= BATCH; batch += BATCH - 1)
					add_cell((struct cell){ .contender = x, .work = w, .memory = m, .payload = 64, .ring_bytes = 256 * KIB,
								.batch = batch, .pages = pages[i] });
}

/* What the goals are about. */
static void add_goals(const struct contender *x)
{
	static const uint32_t payloads[] = { 16, 64, 256, 1024, 4096 };
	const uint32_t ring = 256 * KIB;

	for (int in_place = 0; in_place < 2; in_place++)
		for (uint32_t batch = 1; batch <= BATCH; batch += BATCH - 1) {
			for (enum work w = WRITE_READ; w <= STREAM; w++) {
				add(x, w, MEMORY_TWICE, 64, ring, (uint32_t)in_place, batch);
				for (unsigned i = 0; !in_place && i < sizeof payloads / sizeof *payloads; i++)
					add(x, w, MEMORY_ONCE, payloads[i], ring, 0, batch);
			}
			add(x, WRITE_READ, MEMORY_TWICE, 1024, ring, (uint32_t)in_place, batch);
			if (!in_place)
				add(x, WRITE_READ, MEMORY_TWICE, 4096, ring, 0, batch);
		}
	add(x, REQUEST, MEMORY_TWICE, 64, ring, 0, 1);
	add(x, REQUEST, MEMORY_ONCE, 64, ring, 0, 1);
}

static void add_all(const struct contender *x)
{
	static const uint32_t payloads[] = { 16, 64, 256, 1024, 4096, 16384 }, rings[] = { 64 * KIB, 256 * KIB, 2048 * KIB };

	for (unsigned r = 0; r < sizeof rings / sizeof *rings; r++)
		for (unsigned p = 0; p < sizeof payloads / sizeof *payloads; p++)
			for (enum memory m = MEMORY_ONCE; m <= MEMORY_PAGES; m *= 2)
				for (enum work w = 0; w < WORKS; w++)
					for (uint32_t batch = 1; batch <= BATCH; batch += BATCH - 1) {
						if (w == REQUEST && batch > 1)
							continue;
						add(x, w, m, payloads[p], rings[r], 0, batch);
						if (m == MEMORY_TWICE && w != REQUEST)
							add(x, w, m, payloads[p], rings[r], 1, batch);
					}
	add_pages(x);
}

static int compared(const struct cell *a, const struct cell *b)
{
	return a->work == b->work && a->memory == b->memory && a->payload == b->payload && a->ring_bytes == b->ring_bytes && a->pages == b->pages;
}

/* A cell's place in the order of a pass: that of all that it is compared with, then its own. */
struct place {
	double group, own;
	unsigned cell;
};

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->group != y->group ? (x->group < y->group ? -1 : 1) : x->own < y->own ? -1 : x->own > y->own;
}

static void shuffle(struct place *order)
{
	for (unsigned i = 0; i < cell_count; i++) {
		unsigned k = 0;

		while (!compared(&cells[k], &cells[i]))
			k++;
		order[i] = (struct place){ k < i ? order[k].group : drand48(), drand48(), i };
	}
	qsort(order, cell_count, sizeof *order, by_place);
}

static int measure(unsigned passes)
{
	struct place *order = malloc(cell_count * sizeof *order);
	int both;

	both = measure_start();
	if (both < 0)
		printf("one processor only: nothing that takes two\n");
	for (unsigned i = 0; order && i < cell_count; i++)
		if (measure_check(&cells[i]) < 0)
			return -1;
	srand48(1);
	for (unsigned pass = 0; order && pass < passes; pass++) {
		shuffle(order);
		for (unsigned i = 0; i < cell_count; i++) {
			struct cell *c = &cells[order[i].cell];

			if (both == 0 || !takes_two(c->work))
				measure_sample(c);
		}
	}
	for (unsigned i = 0; order && i < cell_count; i++)
		if (both == 0 || !takes_two(cells[i].work))
			measure_signals(&cells[i]);
	free(order);
	return 0;
}

int main(int argc, char **argv)
{
	const char *json = NULL, *goals = NULL;
	unsigned passes = 25, full = 0, work = 0;
	int option, missed = 0;

	while ((option = getopt(argc, argv, "fp:j:g:o:w:")) != -1)
		switch (option) {
		case 'f': full = 1; break;
		case 'p': passes = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'j': json = optarg; break;
		case 'g': goals = optarg; break;
		case 'o': only = optarg; break;
		case 'w': work = (unsigned)strtoul(optarg, NULL, 10); break;
		default: return 2;
		}
	cells = calloc(CELLS_MOST, sizeof *cells);
	for (; cells && optind < argc; optind++) {
		void *object = dlopen(argv[optind], RTLD_NOW | RTLD_LOCAL);
		const struct contender *x = object ? dlsym(object, "contender") : NULL;

		if (!x) {
			fprintf(stderr, "bench: %s\n", dlerror());
			return 2;
		}
		if (full)
			add_all(x);
		else
			add_goals(x);
	}
	if (!cells || !cell_count || passes > SAMPLES_MOST) {
		fprintf(stderr, "bench: nothing to do\n");
		return 2;
	}
	if (work) {
		measure_work(&cells[0], work);
		return 0;
	}
	if (measure(passes) < 0)
		return 1;
	report_table(cells, cell_count);
	if (json && report_json(json, cells, cell_count) < 0)
		return 2;
	if (goals)
		missed = report_goals(goals, cells, cell_count);
	return missed != 0;
}
