/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Judging traces; see cases.h. The program prints what is bad and, last, its numbers; with the argument `first` it stops where it is bad. */
#include "cases.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES 12

unsigned cases_passed, cases_failed;
static int only_first;
struct rig *cases_tx, *cases_rx;
int cases_clears;

void cases_result(int ok, const char *format, ...)
{
	va_list args;

	if (ok) {
		cases_passed++;
		return;
	}
	if (cases_failed++ >= LINES)
		return;
	printf("    bad: ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	for (unsigned i = 0; i < trace_count && i < LINES; i++)
		printf("        %s %u bytes at %p by %p\n", trace_log[i].kind == TRACE_LOAD ? "load" : trace_log[i].kind == TRACE_STORE ?
		       "store" : "both", trace_log[i].bytes, (const void *)trace_log[i].at, (void *)trace_log[i].code);
	if (only_first)
		exit(1);
}

/* ---- rings */

static void watch_ring(const struct rig *r)
{
	trace_watch(r->mem.control, VMB_PAGE);
	for (uint32_t i = 0; r->kind == RIG_LIST && i < r->pages; i++)
		trace_watch(r->mem.pages[i], VMB_PAGE);
	if (r->kind != RIG_LIST)
		trace_watch(r->mem.data, (r->kind == RIG_TWICE ? 2 : 1) * r->size);
}

void cases_watch(void)
{
	trace_forget();
	if (cases_tx)
		watch_ring(cases_tx);
	if (cases_rx)
		watch_ring(cases_rx);
}

uint32_t cases_place(const struct rig *r, const void *at)
{
	uintptr_t p = (uintptr_t)at, off = p - (uintptr_t)r->mem.control;

	if (off < VMB_PAGE)
		return (uint32_t)off;
	for (uint32_t i = 0; r->kind == RIG_LIST && i < r->pages; i++)
		if (p - (uintptr_t)r->mem.pages[i] < VMB_PAGE)
			return (uint32_t)(VMB_PAGE + i * VMB_PAGE + (p - (uintptr_t)r->mem.pages[i]));
	off = p - (uintptr_t)r->mem.data;
	if (r->kind != RIG_LIST && off < (r->kind == RIG_TWICE ? 2 : 1) * (uintptr_t)r->size)
		return (uint32_t)(VMB_PAGE + off % r->size);
	return UINT32_MAX;
}

/* What a trace did to one ring. */
static struct seen {
	unsigned loads[5], stores[5], both[5]; /* of In, Out, mask, pending size, features */
	uint8_t data[1 << 16];                 /* loads of each byte */
	unsigned data_loads, data_stores;
} seen[2];

static int control_word(uint32_t place)
{
	static const uint8_t words[5] = { RIG_IN, RIG_OUT, RIG_MASK, RIG_PENDING, RIG_FEATURES };

	for (int i = 0; i < 5; i++)
		if (place == words[i])
			return i;
	return -1;
}

static const char *take_data(struct seen *s, const struct rig *r, const struct trace_access *a, uint32_t place)
{
	if (a->kind == TRACE_STORE) {
		s->data_stores++;
		return NULL;
	}
	if (a->kind == TRACE_BOTH)
		return "data is read and written at once";
	for (uint32_t i = 0; i < a->bytes; i++) {
		s->data_loads++;
		if (s->data[(place - VMB_PAGE + i) % r->size]++)
			return "a byte of data is loaded twice";
	}
	return NULL;
}

static const char *take(const struct trace_access *a)
{
	struct rig *r = NULL;
	uint32_t place = UINT32_MAX;
	unsigned side;
	int word;

	for (side = 0; side < 2 && place == UINT32_MAX; side++) {
		r = side ? cases_rx : cases_tx;
		if (r)
			place = cases_place(r, a->at);
	}
	side--;
	if (place == UINT32_MAX)
		return "an access to neither ring";
	if (place >= VMB_PAGE)
		return take_data(&seen[side], r, a, place);
	if (cases_clears && a->kind == TRACE_STORE && (a->bytes != 4 || a->code == 0))
		return NULL;
	word = control_word(place);
	if (word < 0 || a->bytes != 4)
		return "an access to the control page that is not to one of its words";
	if (a->kind == TRACE_LOAD)
		seen[side].loads[word]++;
	else if (a->kind == TRACE_STORE)
		seen[side].stores[word]++;
	else
		seen[side].both[word]++;
	return NULL;
}

/* Only own words may be written: In, pending size and features of the one sent into, Out and mask of the other. */
static const char *written(void)
{
	static const uint8_t own[2][5] = { { 1, 0, 0, 1, 1 }, { 0, 1, 1, 0, 0 } };

	for (unsigned side = 0; side < 2; side++)
		for (unsigned w = 0; w < 5; w++)
			if (!own[side][w] && seen[side].stores[w] + seen[side].both[w])
				return "a word of the peer's is written";
	if (seen[0].data_loads)
		return "data of the ring sent into is loaded";
	return seen[1].data_stores ? "data of the ring received from is written" : NULL;
}

static const char *loaded(const char *want)
{
	static const char letters[2][5] = { { 'i', 'O', 'M', 'p', 'f' }, { 'I', 'o', 'm', 'P', 'F' } };
	static char text[96];

	for (unsigned side = 0; side < 2; side++)
		for (unsigned w = 0; w < 5; w++) {
			const char *at = strchr(want, letters[side][w]);
			unsigned n = at ? (unsigned)(at[1] - '0') : 0;

			if (seen[side].loads[w] != n) {
				snprintf(text, sizeof text, "control word %c is loaded %u times, not %u", letters[side][w],
					 seen[side].loads[w], n);
				return text;
			}
		}
	return NULL;
}

const char *cases_judge(const char *want)
{
	const char *bad = NULL;

	memset(seen, 0, sizeof seen);
	for (unsigned i = 0; i < trace_count && !bad; i++)
		bad = take(&trace_log[i]);
	if (!bad)
		bad = written();
	return bad ? bad : loaded(want);
}

unsigned cases_data_loads(void)
{
	return seen[1].data_loads;
}

unsigned cases_repeated(const uint8_t *base, size_t bytes, unsigned most, size_t *at)
{
	static uint8_t count[1 << 16];
	unsigned bad = 0;

	memset(count, 0, sizeof count);
	for (unsigned i = 0; i < trace_count; i++)
		for (size_t k = 0; trace_log[i].kind != TRACE_STORE && k < trace_log[i].bytes; k++) {
			size_t off = (size_t)(trace_log[i].at - base) + k;

			if (off < bytes && ++count[off] > most && !bad++)
				*at = off;
		}
	return bad;
}

int main(int argc, char **argv)
{
	only_first = argc > 1 && !strcmp(argv[1], "first");
	trace_init();
	cases_receive();
	cases_send();
	cases_bus();
	cases_lists();
	cases_result(!trace_unknown, "%u instructions are not known", trace_unknown);
	cases_result(trace_total > 10000, "only %lu accesses seen", trace_total);
	printf("    %lu accesses of %u calls\n", trace_total, cases_passed + cases_failed);
	printf("%u passed, %u failed\n", cases_passed, cases_failed);
	return cases_failed != 0;
}
