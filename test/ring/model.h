/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A ring and both its halves as ring.md 3, 4, 8 and 10 say, in the simplest way there is: positions count bytes since the
 * beginning and never wrap; memory is one array; each byte is written by itself. Between two sides that keep the rules.
 */
#ifndef TEST_RING_MODEL_H
#define TEST_RING_MODEL_H

#include <stdint.h>

#include "vmbus.h"

struct model {
	uint32_t size;
	uint8_t *data;
	uint32_t in, out, mask, pending, features; /* the control page */
	/* producer: positions, and what it stored last */
	uint64_t put, published;
	uint32_t armed;
	/* consumer */
	uint64_t taken, released;
	uint32_t masked;
	/* counters */
	uint64_t packets_out, signals_out, masked_out, full, packets_in, signals_in;
	uint64_t fresh_out, fresh_in;
};

void model_begin(struct model *m, uint8_t *data, uint32_t size, uint32_t index);
/* payload: p->len bytes, or NULL: left as they are. *pos: where it lies. */
int model_put(struct model *m, const struct vmb_packet *p, const uint8_t *payload, uint32_t *pos);
int model_commit(struct model *m);
void model_discard(struct model *m);
int model_arm(struct model *m, const struct vmb_packet *p, uint32_t least);
/* A new producer takes over where the last one stopped: with its cursor, or by itself. */
void model_new_producer(struct model *m, int with_cursor);
int model_next(struct model *m, struct vmb_packet *p, struct vmb_view *all);
int model_release(struct model *m);
int model_sleep(struct model *m);
void model_rewind(struct model *m);
void model_mask(struct model *m);
void model_new_consumer(struct model *m, int with_cursor);

#endif /* TEST_RING_MODEL_H */
