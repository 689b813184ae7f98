/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See oracle.h. */
#include "oracle.h"

#include <string.h>

#include "vmbus.h"

#define IN 0x00u
#define OUT 0x04u
#define MASK 0x08u
#define PENDING 0x0cu
#define FEATURES 0x40u

uint32_t oracle_get(const struct oracle_page *p, uint32_t word)
{
	const uint8_t *b = p->byte + word;

	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

void oracle_set(struct oracle_page *p, uint32_t word, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		p->byte[word + i] = (uint8_t)(value >> 8 * i);
}

/* 9.1 rule 2 */
static int valid(uint32_t index, uint32_t size)
{
	return index < size && index % 8 == 0;
}

/* 3.2 */
static uint32_t raw(uint32_t in, uint32_t out, uint32_t size)
{
	uint32_t used = in >= out ? in - out : size - out + in;

	return size - used;
}

static uint32_t advance(uint32_t index, uint32_t n, uint32_t size)
{
	return index + n >= size ? index + n - size : index + n;
}

static int corrupt(uint32_t *reason, uint32_t *at, uint32_t why, uint32_t where)
{
	*reason = why;
	*at = where;
	return VMB_EPEER;
}

/* ---- 8.2, 8.4 */

/* 2.4, 12: what is found is validated; then the own words */
int oracle_tx_init(struct oracle_tx *o, struct oracle_page *p, uint32_t size, int fresh)
{
	if (fresh)
		memset(p, 0, sizeof *p);
	*o = (struct oracle_tx){ .size = size, .in_next = oracle_get(p, IN), .in_pub = oracle_get(p, IN) };
	if (!valid(oracle_get(p, IN), size) || !valid(oracle_get(p, OUT), size))
		return VMB_EPEER;
	oracle_set(p, PENDING, 0);
	oracle_set(p, FEATURES, 1);
	return 0;
}

int oracle_put(struct oracle_tx *o, const struct oracle_page *p, uint32_t total)
{
	if (o->reason)
		return VMB_EPEER;
	if (total > o->size - 8)
		return VMB_ETOOBIG;
	if (!o->known || raw(o->in_next, o->out_cache, o->size) <= total) {
		uint32_t out = oracle_get(p, OUT);

		if (!valid(out, o->size))
			return corrupt(&o->reason, &o->at, VMB_R_INDEX, out);
		o->out_cache = out;
		o->known = 1;
		if (raw(o->in_next, out, o->size) <= total)
			return VMB_EFULL;
	}
	o->in_next = advance(o->in_next, total, o->size);
	return 0;
}

int oracle_commit(struct oracle_tx *o, struct oracle_page *p)
{
	uint32_t old = o->in_pub, mask, out;

	if (o->reason)
		return VMB_EPEER;
	if (o->in_next == o->in_pub)
		return 0;
	if (o->pend)
		oracle_set(p, PENDING, 0);
	o->pend = 0;
	o->in_pub = o->in_next;
	oracle_set(p, IN, o->in_next);
	mask = oracle_get(p, MASK);
	out = oracle_get(p, OUT);
	if (!valid(out, o->size))
		return corrupt(&o->reason, &o->at, VMB_R_INDEX, out);
	return mask == 0 && out == old ? VMB_SIGNAL : 0; /* 10.1 */
}

int oracle_discard(struct oracle_tx *o)
{
	if (o->reason)
		return VMB_EPEER;
	o->in_next = o->in_pub;
	o->known = 0;
	return 0;
}

int oracle_arm(struct oracle_tx *o, struct oracle_page *p, uint32_t total, uint32_t least)
{
	uint32_t unpublished = o->size - raw(o->in_next, o->in_pub, o->size), want = total + unpublished, out;

	if (o->reason)
		return VMB_EPEER;
	if (total > o->size - 8)
		return VMB_ETOOBIG;
	if (least > want)
		want = (least + 7) / 8 * 8;
	if (want > o->size - 8)
		want = o->size - 8;
	oracle_set(p, PENDING, want);
	o->pend = want;
	out = oracle_get(p, OUT);
	if (!valid(out, o->size))
		return corrupt(&o->reason, &o->at, VMB_R_INDEX, out);
	o->out_cache = out;
	o->known = 1;
	if (raw(o->in_next, out, o->size) <= total)
		return 0;
	oracle_set(p, PENDING, 0);
	o->pend = 0;
	return VMB_YES;
}

/* ---- 8.3, 10.3 */

int oracle_rx_init(struct oracle_rx *o, struct oracle_page *p, uint32_t size, int fresh, const uint32_t *ends)
{
	uint32_t out;

	if (fresh)
		memset(p, 0, sizeof *p);
	out = oracle_get(p, OUT);
	*o = (struct oracle_rx){ .size = size, .out_next = out, .out_pub = out, .in_cache = out, .ends = ends };
	return valid(out, size) && valid(oracle_get(p, IN), size) ? 0 : VMB_EPEER;
}

int oracle_mask(struct oracle_rx *o, struct oracle_page *p)
{
	if (o->reason)
		return VMB_EPEER;
	if (!o->masked)
		oracle_set(p, MASK, 1);
	o->masked = 1;
	return 0;
}

int oracle_next(struct oracle_rx *o, struct oracle_page *p, uint32_t *total)
{
	uint32_t avail, end;

	if (o->reason)
		return VMB_EPEER;
	if (o->out_next == o->in_cache) {
		uint32_t in = oracle_get(p, IN);

		if (!valid(in, o->size))
			return corrupt(&o->reason, &o->at, VMB_R_INDEX, in);
		o->in_cache = in;
		if (o->out_next == in)
			return 0;
		oracle_mask(o, p); /* before anything is taken out: 10.3 */
	}
	avail = o->size - raw(o->in_cache, o->out_next, o->size);
	if (avail < 24)
		return corrupt(&o->reason, &o->at, VMB_R_LENGTH, o->out_next);
	end = o->ends[o->out_next / 8];
	if (!end)
		return corrupt(&o->reason, &o->at, VMB_R_TYPE, o->out_next);
	*total = o->size - raw(end % o->size, o->out_next, o->size);
	if (*total > avail) /* 9.1 rule 5 */
		return corrupt(&o->reason, &o->at, VMB_R_LENGTH, o->out_next);
	o->out_next = end % o->size;
	return VMB_YES;
}

/* 10.1, after Out moved from old */
static int room(struct oracle_rx *o, uint32_t pending, uint32_t in, uint32_t old)
{
	return pending && raw(in, old, o->size) <= pending && raw(in, o->out_pub, o->size) > pending ? VMB_SIGNAL : 0;
}

int oracle_release(struct oracle_rx *o, struct oracle_page *p)
{
	uint32_t old = o->out_pub, in;

	if (o->reason)
		return VMB_EPEER;
	if (o->out_next == o->out_pub)
		return 0;
	o->out_pub = o->out_next;
	oracle_set(p, OUT, o->out_next);
	if (!oracle_get(p, PENDING))
		return 0;
	in = oracle_get(p, IN);
	if (!valid(in, o->size))
		return corrupt(&o->reason, &o->at, VMB_R_INDEX, in);
	return room(o, oracle_get(p, PENDING), in, old);
}

int oracle_sleep(struct oracle_rx *o, struct oracle_page *p)
{
	uint32_t old = o->out_pub, in;

	if (o->reason)
		return VMB_EPEER;
	if (o->out_next != o->out_pub)
		oracle_set(p, OUT, o->out_next);
	o->out_pub = o->out_next;
	oracle_set(p, MASK, 0);
	o->masked = 0;
	o->in_cache = o->out_next; /* nothing is known */
	in = oracle_get(p, IN);
	if (!valid(in, o->size))
		return corrupt(&o->reason, &o->at, VMB_R_INDEX, in);
	return room(o, oracle_get(p, PENDING), in, old) | (in != o->out_pub ? VMB_YES : 0);
}

int oracle_rewind(struct oracle_rx *o)
{
	if (o->reason)
		return VMB_EPEER;
	o->out_next = o->out_pub;
	o->in_cache = o->out_pub;
	return 0;
}
