/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See table.h. */
#include "table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmbus.h>

const struct table_version table_versions[TABLE_VERSIONS] = {
	{ "0.13", VMB_V0_13, 0 }, { "1.1", VMB_V1_1, 0 }, { "2.4", VMB_V2_4, 0 }, { "3.0", VMB_V3_0, 0 },
	{ "4.0", VMB_V4_0, 0 }, { "4.1", VMB_V4_1, 0 }, { "5.0", VMB_V5_0, 0 }, { "5.1", VMB_V5_1, 0 },
	{ "5.2", VMB_V5_2, 0 }, { "5.3", VMB_V5_3, 0 }, { "6.0", VMB_V6_0, 0 }, { "6.0f", VMB_V6_0, 0x2f },
};

#define ALL_VERSIONS ((1u << TABLE_VERSIONS) - 1)

struct set {
	const char *name;
	uint64_t bits;
};

/* While a file is read. */
struct reader {
	const struct table_end *end;
	struct table *t;
	struct set messages[16], states[32];
	unsigned n_messages, n_states;
	uint64_t described; /* states */
	uint32_t forms;     /* described */
	int line;
};

#define MUST(r, condition, ...)                                                                                    \
	do {                                                                                                       \
		if (!(condition)) {                                                                                \
			fprintf(stderr, "%s:%d: ", (r)->end->path, (r)->line);                                     \
			fprintf(stderr, __VA_ARGS__);                                                              \
			fputc('\n', stderr);                                                                       \
			abort();                                                                                   \
		}                                                                                                  \
	} while (0)

static char *trim(char *s)
{
	char *e;

	while (*s == ' ' || *s == '\t')
		s++;
	e = s + strlen(s);
	while (e > s && (e[-1] == ' ' || e[-1] == '\t'))
		*--e = 0;
	return s;
}

/* The next word of *s, or NULL. */
static char *word(char **s)
{
	char *w = *s + strspn(*s, " \t");

	if (!*w)
		return NULL;
	*s = w + strcspn(w, " \t");
	if (**s)
		*(*s)++ = 0;
	return w;
}

const char *table_message(unsigned type)
{
	return type == TABLE_UNKNOWN ? "unknown" : vmb_message_name(type);
}

static uint64_t in_set(const struct set *sets, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(sets[i].name, name))
			return sets[i].bits;
	return 0;
}

static uint64_t named_state(const struct reader *r, const char *w)
{
	for (unsigned i = 0; i < r->end->n_states; i++)
		if (!strcmp(r->end->states[i], w))
			return 1ull << i;
	return in_set(r->states, r->n_states, w);
}

static uint64_t named_message(const struct reader *r, const char *w)
{
	for (unsigned i = 0; i < TABLE_TYPES; i++)
		if (!strcmp(table_message(i), w))
			return 1u << i;
	return !strcmp(w, "*") ? (1u << TABLE_TYPES) - 1 : in_set(r->messages, r->n_messages, w);
}

static uint64_t named_form(const struct reader *r, const char *w)
{
	for (unsigned i = 0; i < r->end->n_forms; i++)
		if (!strcmp(r->end->forms[i], w))
			return 1u << i;
	return !strcmp(w, "*") ? (1u << r->end->n_forms) - 1 : 0;
}

static uint64_t words(const struct reader *r, char *text, uint64_t (*named)(const struct reader *r, const char *w))
{
	uint64_t bits = 0, more;
	char *w;

	while ((w = word(&text))) {
		more = named(r, w);
		MUST(r, more, "\"%s\" is not known here", w);
		MUST(r, !(bits & more), "\"%s\" is there twice", w);
		bits |= more;
	}
	MUST(r, bits, "an empty list");
	return bits;
}

static unsigned version_named(const struct reader *r, const char *w)
{
	for (unsigned i = 0; i < TABLE_VERSIONS; i++)
		if (!strcmp(table_versions[i].name, w))
			return i;
	MUST(r, 0, "no version \"%s\"", w);
	return 0;
}

static uint32_t versions(const struct reader *r, char *text)
{
	char *dots = strstr(text, "..");
	unsigned from = 0, to = TABLE_VERSIONS - 1;

	if (!strcmp(text, "*"))
		return ALL_VERSIONS;
	if (!dots)
		return 1u << version_named(r, text);
	*dots = 0;
	if (*text)
		from = version_named(r, text);
	if (dots[2])
		to = version_named(r, dots + 2);
	MUST(r, from < to, "no range of versions");
	return (ALL_VERSIONS >> (TABLE_VERSIONS - 1 - to)) & ~((1u << from) - 1);
}

static void one_row(struct reader *r, char *text)
{
	struct table_row *row = &r->t->row[r->t->rows++];
	char *f[8];

	MUST(r, r->t->rows <= TABLE_ROWS, "too many rows");
	for (unsigned i = 0; i < 8; i++) {
		char *bar = strchr(text, '|');

		MUST(r, (bar != NULL) == (i < 7), "a row has eight columns");
		if (bar)
			*bar = 0;
		f[i] = trim(text);
		text = bar ? bar + 1 : text;
	}
	row->line = r->line;
	row->types = (uint32_t)words(r, f[0], named_message);
	row->forms = (uint32_t)words(r, f[1], named_form);
	row->states = words(r, f[2], named_state);
	row->versions = versions(r, f[3]);
	row->answers = strcmp(f[4], "-") ? f[4] : "";
	row->next = f[5];
	row->effects = f[6];
	row->section = f[7];
	MUST(r, *f[4] && *f[5] && *f[7], "answers, next state and section must be there");
	MUST(r, (*f[4] == '?') == (*f[5] == '?'), "what is open is open in both columns");
}

/* NAME | versions | text */
static void one_state(struct reader *r, char *text)
{
	char *bar = strchr(text, '|'), *second = bar ? strchr(bar + 1, '|') : NULL;
	uint64_t bit;

	MUST(r, second, "a state has three columns");
	*bar = *second = 0;
	bit = named_state(r, trim(text));
	MUST(r, bit && !(r->described & bit), "the program does not know \"%s\", or it is there twice", trim(text));
	r->described |= bit;
	for (unsigned i = 0; i < r->end->n_states; i++)
		if (bit == 1ull << i)
			r->t->exists[i] = versions(r, trim(bar + 1));
}

static void one_set(struct reader *r, char *text, struct set *sets, unsigned *n, unsigned max,
		    uint64_t (*named)(const struct reader *r, const char *w))
{
	char *equal = strchr(text, '=');

	MUST(r, equal && *n < max, "NAME = words");
	*equal = 0;
	sets[*n] = (struct set){ trim(text), words(r, equal + 1, named) };
	(*n)++;
}

static void one_line(struct reader *r, char *text)
{
	char *rest = strchr(text, ' ');
	uint64_t bit;

	if (!*text || *text == '#')
		return;
	MUST(r, rest, "one word");
	if (!strncmp(text, "state ", 6)) {
		one_state(r, rest + 1);
	} else if (!strncmp(text, "states ", 7)) {
		one_set(r, rest + 1, r->states, &r->n_states, sizeof r->states / sizeof r->states[0], named_state);
	} else if (!strncmp(text, "messages ", 9)) {
		one_set(r, rest + 1, r->messages, &r->n_messages, sizeof r->messages / sizeof r->messages[0], named_message);
	} else if (!strncmp(text, "form ", 5)) {
		char *bar = strchr(text, '|');

		MUST(r, bar, "a form has two columns");
		*bar = 0;
		bit = named_form(r, trim(rest + 1));
		MUST(r, bit && !(r->forms & bit), "the program does not know this form, or it is there twice");
		r->forms |= (uint32_t)bit;
	} else if (!strncmp(text, "version ", 8)) {
		for (unsigned i = 0; i < TABLE_VERSIONS; i++) {
			char *w = word(&rest);

			MUST(r, w && !strcmp(w, table_versions[i].name), "versions are not those of the program");
		}
		MUST(r, !word(&rest), "more versions than the program has");
	} else {
		one_row(r, text);
	}
}

static char *whole_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) <= 0 || fseek(f, 0, SEEK_SET)) {
		fprintf(stderr, "%s cannot be read\n", path);
		abort();
	}
	text = calloc(1, (size_t)size + 1);
	cr_assert(text && fread(text, 1, (size_t)size, f) == (size_t)size);
	fclose(f);
	return text;
}

const struct table *table_of(const struct table_end *end)
{
	static struct table table;
	struct reader r = { .end = end, .t = &table };
	char *at, *next;

	if (table.text)
		return &table;
	table.text = whole_file(end->path);
	for (at = table.text; at; at = next) {
		int lines = 1;

		next = strchr(at, '\n');
		while (next && next[1] == '\t') { /* goes on there */
			*next = ' ';
			lines++;
			next = strchr(next, '\n');
		}
		if (next)
			*next++ = 0;
		r.line++;
		one_line(&r, trim(at));
		r.line += lines - 1;
	}
	r.line = 0;
	MUST(&r, r.described == (1ull << end->n_states) - 1, "a state of the program is missing");
	MUST(&r, r.forms == (1u << end->n_forms) - 1, "a form of the program is missing");
	return &table;
}

static bool covers(const struct table_row *row, unsigned type, unsigned form, unsigned state, unsigned version)
{
	return row->types >> type & 1 && row->forms >> form & 1 && row->states >> state & 1 && row->versions >> version & 1;
}

const struct table_row *table_row(const struct table_end *end, unsigned type, unsigned form, unsigned state, unsigned version)
{
	const struct table *t = table_of(end);
	const struct table_row *found = NULL;

	for (unsigned i = 0; i < t->rows; i++) {
		if (!covers(&t->row[i], type, form, state, version))
			continue;
		if (found) {
			fprintf(stderr, "%s: lines %d and %d: both describe %s, %s, %s, %s\n", end->path, found->line,
				t->row[i].line,
				table_message(type), end->forms[form], end->states[state], table_versions[version].name);
			return NULL;
		}
		found = &t->row[i];
	}
	if (!found)
		fprintf(stderr, "%s: no line describes %s, %s, %s, %s\n", end->path, table_message(type), end->forms[form],
			end->states[state], table_versions[version].name);
	return found;
}

void table_walk(const struct table_end *end, unsigned state,
		void (*f)(unsigned type, unsigned form, unsigned state, unsigned version, const struct table_row *row))
{
	for (unsigned version = 0; version < TABLE_VERSIONS; version++)
		for (unsigned type = 0; type < TABLE_TYPES && table_of(end)->exists[state] >> version & 1; type++)
			for (unsigned form = 0; form < end->n_forms; form++)
				if (end->forms_of(type) >> form & 1)
					f(type, form, state, version, table_row(end, type, form, state, version));
}

/* ---- is it complete? */

static unsigned cells, missing, open_cells, row_cells[TABLE_ROWS];
static const struct table_end *counted;

static void count_cell(unsigned type, unsigned form, unsigned state, unsigned version, const struct table_row *row)
{
	cells++;
	(void)type, (void)form, (void)state, (void)version;
	if (row)
		row_cells[row - table_of(counted)->row]++;
	else
		missing++;
	open_cells += row && row->answers[0] == '?';
}

static void print_names(uint64_t bits, unsigned n, const char *(*name)(unsigned i))
{
	for (unsigned i = 0; i < n; i++)
		if (bits >> i & 1)
			fprintf(stderr, " %s", name(i));
}

static const char *form_name(unsigned i)
{
	return counted->forms[i];
}

static const char *state_name(unsigned i)
{
	return counted->states[i];
}

static const char *version_name(unsigned i)
{
	return table_versions[i].name;
}

void table_complete(const struct table_end *end, const char *name)
{
	const struct table *t = table_of(end);
	unsigned unused = 0;

	counted = end;
	for (unsigned state = 0; state < end->n_states; state++)
		table_walk(end, state, count_cell);
	for (unsigned i = 0; i < t->rows; i++)
		if (!row_cells[i]) {
			fprintf(stderr, "%s:%d: no cell uses this line\n", end->path, t->row[i].line);
			unused++;
		}
	fprintf(stderr,
		"%s: %u cells (message x form x state x version) in %u lines; %u of them the specification leaves open:\n", name,
		cells, t->rows, open_cells);
	for (unsigned i = 0; i < t->rows; i++) {
		const struct table_row *row = &t->row[i];

		if (row->answers[0] != '?')
			continue;
		fprintf(stderr, "  ? %4u:", row_cells[i]);
		print_names(row->types, TABLE_TYPES, table_message);
		print_names(row->forms, end->n_forms, form_name);
		fprintf(stderr, ", in");
		print_names(row->states, end->n_states, state_name);
		fprintf(stderr, ", at");
		if (row->versions == ALL_VERSIONS)
			fprintf(stderr, " all versions");
		else
			print_names(row->versions, TABLE_VERSIONS, version_name);
		fprintf(stderr, " (%s)\n", row->section);
	}
	cr_assert_eq(missing, 0, "%u cells have no line, or two", missing);
	cr_assert_eq(unused, 0, "%u lines have no cell", unused);
}

bool table_same_words(const char *want, const char *got)
{
	char left[256], copy[256];
	char *rest = copy, *w;

	snprintf(left, sizeof left, " %s ", got);
	snprintf(copy, sizeof copy, "%s", want);
	while ((w = word(&rest))) {
		char key[64], *at;
		size_t n = strlen(w);
		bool may_miss = n > 1 && w[n - 1] == '?';

		if (may_miss)
			w[--n] = 0;
		snprintf(key, sizeof key, " %s ", w);
		at = strstr(left, key);
		if (!at && !may_miss)
			return false;
		if (at)
			memset(at, ' ', n + 1);
	}
	return left[strspn(left, " ")] == 0;
}

char table_said[512], table_told[512];

bool table_hears(const char *said, const char *told, const char *want_said, const char *want_told)
{
	snprintf(table_said, sizeof table_said, "%s", said);
	snprintf(table_told, sizeof table_told, "%s", told);
	return table_same_words(want_told, table_told) && table_same_words(want_said, table_said);
}

const char *table_fault(const char *file, int line)
{
	static char text[1300];

	snprintf(text, sizeof text, "%s:%d; last said \"%s\", told \"%s\"", file, line, table_said, table_told);
	return text;
}
