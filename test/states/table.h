/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A table of fates: what an end must do with every message in every state. host.table says how one is written. A cell is one
 * message in one form, one state and one version; a row of the file describes many of them.
 */
#ifndef TEST_STATES_TABLE_H
#define TEST_STATES_TABLE_H

#include <stdbool.h>
#include <stdint.h>

enum { TABLE_VERSIONS = 12, TABLE_TYPES = 30, TABLE_ROWS = 192, TABLE_STATES = 48, TABLE_FORMS = 20, TABLE_UNKNOWN = 0 };

/* The versions, as both tables list them; the last is 6.0 with features. */
struct table_version {
	const char *name;
	uint32_t number, features;
};
extern const struct table_version table_versions[TABLE_VERSIONS];

struct table_row {
	uint32_t types, forms, versions; /* bits: numbers of messages (bit 0: unknown ones), forms, versions */
	uint64_t states;
	const char *answers, *next, *effects, *section;
	int line;
};

struct table {
	struct table_row row[TABLE_ROWS];
	unsigned rows;
	uint32_t exists[TABLE_STATES]; /* bits of the versions in which a state is */
	char *text;
};

/* What a program knows of its end; the file must name the same states and forms. */
struct table_end {
	const char *path;
	const char *const *states;
	unsigned n_states;
	const char *const *forms;
	unsigned n_forms;
	uint32_t (*forms_of)(unsigned type); /* bits */
};

/* Reads the file, once per process. A file that is not well formed fails the test. */
const struct table *table_of(const struct table_end *end);
/* The row of a cell; NULL and a printed complaint where there is none, or more than one. */
const struct table_row *table_row(const struct table_end *end, unsigned type, unsigned form, unsigned state, unsigned version);
const char *table_message(unsigned type);
/* Demands that every cell has one row and every row a cell, and prints how many there are, and those that the specification
 * leaves open. */
void table_complete(const struct table_end *end, const char *name);

/* Calls f for each cell of a state: all its versions, all messages, all their forms. */
void table_walk(const struct table_end *end, unsigned state,
		void (*f)(unsigned type, unsigned form, unsigned state, unsigned version, const struct table_row *row));

/* The same words in both, in any order? Words that end in '?' in `want` may be missing. */
bool table_same_words(const char *want, const char *got);

/* For proofs: keep what was said and told, and compare it with what was to be. */
extern char table_said[512], table_told[512];
bool table_hears(const char *said, const char *told, const char *want_said, const char *want_told);
const char *table_fault(const char *file, int line);
#define NEED(what)                                                                                                 \
	do {                                                                                                       \
		if (!(what))                                                                                       \
			return table_fault(__FILE__, __LINE__);                                                    \
	} while (0)

#endif
