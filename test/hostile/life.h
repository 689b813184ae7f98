/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A whole life of both ends: contact, offers, GPADLs, opens in each kind of ring memory, packets of each kind, requests that
 * are answered, cancelled and left, a device taken away, a channel opened again, good-bye, and a reset. All storage and all
 * buffers lie between pages that cannot be accessed and hold a pattern before. What can be seen of it is written down: every
 * callback with its arguments, every result, what every output holds, and after each call a sum over the memory that both sides
 * share.
 */
#ifndef TEST_HOSTILE_LIFE_H
#define TEST_HOSTILE_LIFE_H

#include "guard.h"
#include "vmbus.h"

enum { LIFE_PAGES = 80, LIFE_CHANNELS = 4 };

struct life_config {
	uint32_t fill;     /* of storage, buffers and outputs */
	int right;         /* they end where memory ends; else they begin where it begins */
	uint32_t version;  /* the highest that both have; below 2.4 with interrupt and monitor pages */
	int again;         /* the storage is that of the life before, as that left it */
};

struct life_trace {
	char *text;
	size_t used, room;
	uint8_t memory[LIFE_PAGES * 4096]; /* what is shared, at the end */
	uint32_t bad;                      /* things around storage or buffers that have changed */
	uint32_t events[2][16];            /* of guest and host, by kind */
	uint32_t packets, answers, lates;
};

void life_run(const struct life_config *cfg, struct life_trace *t);
void life_end(struct life_trace *t); /* frees the text */
void life_note(struct life_trace *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t life_sum(const void *from, size_t n);

/* A life in parts: up to where all channels are open, and from there on. */
enum { LIFE_RING_PAGES = 4 };          /* of each ring, with its control page */
void life_begin(const struct life_config *cfg, struct life_trace *t);
void life_reopen(unsigned i);
void life_talk(unsigned i);
void life_deaf(int deaf);              /* devices and drivers do not look at their channels */
struct vmb_channel *life_channel(int of_host, unsigned i);
uint8_t *life_ring_page(unsigned i, unsigned page); /* of channel i, in the order of its GPADL: the guest's ring, then the host's */
uint8_t *life_data_page(unsigned page);
void life_finish(void);

/* Free the storage that is kept for `again`. */
void life_forget(void);

#endif /* TEST_HOSTILE_LIFE_H */
