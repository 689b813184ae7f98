/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * An end for people to look at: what there is of it now, and what it does, as text. For programs that have stdio; the core tells numbers.
 */
#ifndef HARNESS_SNAPSHOT_H
#define HARNESS_SNAPSHOT_H

#include <stdio.h>
#include <vmbus.h>

/* The connection with its counters, each channel with those of its object, each GPADL: a few lines for each part. */
void snapshot_guest(FILE *to, struct vmb_guest *g);
void snapshot_host(FILE *to, struct vmb_host *h);
/* What a trace callback was told, in one line that begins with `end`. */
void snapshot_trace(FILE *to, const char *end, const struct vmb_trace *t);

#endif
