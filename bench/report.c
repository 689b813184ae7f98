/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Figures of a run. Two processors of a virtual machine may be far apart at one time and near at another: their samples are put into groups
 * by the round trip of a cache line (the next group begins where it is half as long again), and only those of the largest group count.
 */
#define _GNU_SOURCE
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_SPREAD 1.5
enum { NAME_MOST = 64, FEW = 5 };

static double group_from, group_to; /* of line_ns */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void find_group(const struct cell *cells, unsigned n)
{
	double *all = malloc((size_t)n * SAMPLES_MOST * sizeof *all);
	unsigned count = 0, most = 0;

	for (unsigned i = 0; all && i < n; i++)
		for (unsigned k = 0; k < cells[i].samples; k++)
			if (cells[i].line_ns[k] > 0)
				all[count++] = cells[i].line_ns[k];
	if (count)
		qsort(all, count, sizeof *all, by_value);
	for (unsigned i = 0, k; i < count; i = k) {
		for (k = i; k < count && all[k] <= GROUP_SPREAD * all[i]; k++)
			;
		if (k - i > most) {
			most = k - i;
			group_from = all[i];
			group_to = all[k - 1];
		}
	}
	free(all);
}

static int counts(const struct cell *c, unsigned pass)
{
	return !isnan(c->ns[pass]) && (!takes_two(c->work) || (c->line_ns[pass] >= group_from && c->line_ns[pass] <= group_to));
}

static double median_of(double *x, unsigned n)
{
	if (!n)
		return NAN;
	qsort(x, n, sizeof *x, by_value);
	return n & 1 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* How many samples count, the median and the tenth part from below. */
static unsigned figure(const struct cell *c, double *median, double *p10)
{
	double ns[SAMPLES_MOST];
	unsigned n = 0;

	for (unsigned i = 0; i < c->samples; i++)
		if (counts(c, i))
			ns[n++] = c->ns[i];
	*median = median_of(ns, n);
	*p10 = n ? ns[n / 10] : NAN;
	return n;
}

/* The median of what each pass says; NAN: too few passes have both. */
static double ratio(const struct cell *a, const struct cell *b)
{
	double x[SAMPLES_MOST];
	unsigned n = 0;

	for (unsigned i = 0; i < a->samples && i < b->samples; i++)
		if (counts(a, i) && counts(b, i))
			x[n++] = a->ns[i] / b->ns[i];
	return n < FEW ? NAN : median_of(x, n);
}

void report_table(const struct cell *cells, unsigned n)
{
	double median, p10;

	find_group(cells, n);
	if (group_to > 0)
		printf("two processors: a cache line goes there and back in %.0f to %.0f ns\n", group_from, group_to);
	printf("%-12s %-15s %-6s %8s %8s  %-14s %9s %9s %5s %8s\n", "work", "mode", "memory", "payload", "ring", "contender", "median ns", "p10 ns",
	       "runs", "signals");
	for (unsigned i = 0; i < n; i++) {
		const struct cell *c = &cells[i];
		unsigned runs = figure(c, &median, &p10);

		printf("%-12s %-15s %-6s %8u %7uK  %-14s %9.2f %9.2f %5u", work_names[c->work], mode_name(c), memory_name(c->memory),
		       c->payload, c->ring_bytes >> 10, c->contender->name, median, p10, runs);
		if (c->signals >= 0)
			printf(" %8.4f", c->signals);
		putchar('\n');
	}
}

int report_json(const char *file, const struct cell *cells, unsigned n)
{
	FILE *f = fopen(file, "w");
	double median, p10;

	if (!f) {
		perror(file);
		return -1;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct cell *c = &cells[i];
		unsigned runs = figure(c, &median, &p10);

		if (!runs)
			continue;
		fprintf(f,
			"{\"contender\": \"%s\", \"layer\": \"%s\", \"work\": \"%s\", \"mode\": \"%s\", \"memory\": \"%s\", "
			"\"payload\": %u, \"ring\": %u, \"median_ns\": %.3f, \"p10_ns\": %.3f, \"runs\": %u",
			c->contender->name, c->contender->layer, work_names[c->work], mode_name(c), memory_name(c->memory), c->payload,
			c->ring_bytes, median, p10, runs);
		if (c->signals >= 0)
			fprintf(f, ", \"signals\": %.5f", c->signals); /* per packet */
		fputs("}\n", f);
	}
	return fclose(f);
}

/* ---- goals: "contender/work/mode/memory/payload", each perhaps *; mode `copy`: the better of single and batch; payload perhaps <=BYTES */

struct selector {
	char contender[NAME_MOST], work[NAME_MOST], mode[NAME_MOST], memory[NAME_MOST], payload[NAME_MOST];
};

static int select_parse(const char *text, struct selector *s)
{
	return sscanf(text, "%63[^/]/%63[^/]/%63[^/]/%63[^/]/%63s", s->contender, s->work, s->mode, s->memory, s->payload) == 5 ? 0 : -1;
}

static int name_fits(const char *wanted, const char *name)
{
	return !strcmp(wanted, "*") || !strcmp(wanted, name);
}

static int payload_fits(const char *wanted, uint32_t payload)
{
	if (!strcmp(wanted, "*"))
		return 1;
	return wanted[0] == '<' ? payload <= strtoul(wanted + 2, NULL, 10) : payload == strtoul(wanted, NULL, 10);
}

static int mode_fits(const char *wanted, const struct cell *c)
{
	return !strcmp(wanted, "copy") ? !c->in_place && !c->pages : name_fits(wanted, mode_name(c));
}

static int fits(const struct selector *s, const struct cell *c, uint32_t ring_bytes)
{
	return c->ring_bytes == ring_bytes && name_fits(s->contender, c->contender->name) && name_fits(s->work, work_names[c->work]) &&
	       mode_fits(s->mode, c) && name_fits(s->memory, memory_name(c->memory)) && payload_fits(s->payload, c->payload);
}

/* The best of those that fit, at this work and payload; NULL: none. */
static const struct cell *best_of(const struct selector *s, enum work work, uint32_t payload, const struct cell *cells, unsigned n,
				  uint32_t ring_bytes)
{
	const struct cell *best = NULL;
	double lowest = NAN, median, p10;

	for (unsigned i = 0; i < n; i++)
		if (cells[i].work == work && cells[i].payload == payload && fits(s, &cells[i], ring_bytes)) {
			figure(&cells[i], &median, &p10);
			if (isnan(lowest) || median < lowest) {
				best = &cells[i];
				lowest = median;
			}
		}
	return best;
}

/* Over all works and payloads that both name, the worst ratio for whoever wants it small, or large. NAN: one of them cannot be told. */
static double worst_ratio(const struct selector *a, const struct selector *b, int small, const struct cell *cells, unsigned n, uint32_t ring_bytes)
{
	double worst = NAN;

	for (unsigned i = 0; i < n; i++) {
		const struct cell *x, *y;
		double got;

		if (!fits(a, &cells[i], ring_bytes))
			continue;
		x = best_of(a, cells[i].work, cells[i].payload, cells, n, ring_bytes);
		y = best_of(b, cells[i].work, cells[i].payload, cells, n, ring_bytes);
		if (!x || !y)
			continue;
		got = ratio(x, y);
		if (isnan(got))
			return NAN;
		if (!(small ? got <= worst : got >= worst))
			worst = got;
	}
	return worst;
}

int report_goals(const char *file, const struct cell *cells, unsigned n)
{
	FILE *f = fopen(file, "r");
	char line[512], name[NAME_MOST], one[NAME_MOST * 3], other[NAME_MOST * 3], relation[8];
	int missed = 0;
	double limit, got;

	if (!f) {
		perror(file);
		return -1;
	}
	while (fgets(line, sizeof line, f)) {
		struct selector a, b;
		int small, kept;

		if (line[0] == '#' || sscanf(line, "%63s %191s %191s %7s %lf", name, one, other, relation, &limit) != 5)
			continue;
		if (select_parse(one, &a) < 0 || select_parse(other, &b) < 0)
			continue; /* not one of time: see bench/instructions */
		small = !strcmp(relation, "<=");
		got = worst_ratio(&a, &b, small, cells, n, 256 << 10);
		kept = small ? got <= limit : got >= limit;
		missed += !kept;
		printf("goal %s %.3f %s%.3f %s\n", name, got, relation, limit, kept ? "kept" : "missed");
	}
	fclose(f);
	return missed;
}
