/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What the parts of the program share: counting results, and judging a trace of rings. */
#ifndef TEST_FULL_LOADS_CASES_H
#define TEST_FULL_LOADS_CASES_H

#include "test/ring/rig.h"
#include "trace.h"

extern unsigned cases_passed, cases_failed;

/* One result; what is bad is printed, up to a number of lines. */
void cases_result(int ok, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The rings of the call that is traced: what it sends into, what it receives from. Either may be NULL. */
extern struct rig *cases_tx, *cases_rx;
extern int cases_clears;  /* the call clears the control pages: VMB_RING_FRESH */
void cases_watch(void); /* them, and nothing else */
/* Where in a ring: 0...4095 the control page, then the data. UINT32_MAX: elsewhere. */
uint32_t cases_place(const struct rig *r, const void *at);

/*
 * Judge the trace of one call. want: how often it may load each control word, as "I2P1": I and P are In and pending size of the
 * ring received from, O and M are Out and mask of the ring sent into; the small letters i p f (own words of the sender) and o m (of
 * the receiver). What is not named may not be loaded. No byte of data may be loaded twice, no data of the ring sent into at
 * all; nothing is stored but own words and data of the ring sent into. NULL: fine, else what is not.
 */
const char *cases_judge(const char *want);
/* Loads of data bytes in the trace. */
unsigned cases_data_loads(void);

/* Bytes that a trace has loaded more often than `most` times; *at the first of them. For memory that is no ring. */
unsigned cases_repeated(const uint8_t *base, size_t bytes, unsigned most, size_t *at);

void cases_receive(void); /* receive.c */
void cases_send(void);    /* send.c */
void cases_bus(void);     /* bus.c */
void cases_lists(void);   /* bus.c */

#endif /* TEST_FULL_LOADS_CASES_H */
