/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "measure.h"

/* A table for people; one JSON object per figure, a line each; a line per goal of the file. How many goals were missed, or -1. */
void report_table(const struct cell *cells, unsigned n);
int report_json(const char *file, const struct cell *cells, unsigned n);
int report_goals(const char *file, const struct cell *cells, unsigned n);

#endif
