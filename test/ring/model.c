/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The reference: slow, short, and written from the specification alone. */
#include "model.h"

#include <string.h>

void model_begin(struct model *m, uint8_t *data, uint32_t size, uint32_t index)
{
	memset(m, 0, sizeof *m);
	m->size = size;
	m->data = data;
	m->in = m->out = index;
	m->put = m->published = m->taken = m->released = index;
	m->features = 1;
}

static void write_bytes(struct model *m, uint64_t at, uint64_t value, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		m->data[(at + i) % m->size] = (uint8_t)(value >> 8 * i);
}

static uint64_t read_bytes(const struct model *m, uint64_t at, uint32_t bytes)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < bytes; i++)
		value |= (uint64_t)m->data[(at + i) % m->size] << 8 * i;
	return value;
}

static uint64_t head_bytes(const struct vmb_packet *p)
{
	return p->list.count ? 8 + 8 * (uint64_t)p->list.count : 0;
}

static uint64_t total_bytes(const struct vmb_packet *p)
{
	return 16 + head_bytes(p) + ((uint64_t)p->len + 7) / 8 * 8 + 8;
}

static int never(const struct model *m, uint64_t total)
{
	return total > m->size - 8 || (total - 8) / 8 > 65535;
}

int model_put(struct model *m, const struct vmb_packet *p, const uint8_t *payload, uint32_t *pos)
{
	uint64_t total = total_bytes(p), at = m->put, start = at;

	if (never(m, total))
		return VMB_ETOOBIG;
	if (m->size - (m->put - m->released) <= total) {
		m->full++;
		return VMB_EFULL;
	}
	write_bytes(m, at, p->kind, 2);
	write_bytes(m, at + 2, (16 + head_bytes(p)) / 8, 2);
	write_bytes(m, at + 4, (total - 8) / 8, 2);
	write_bytes(m, at + 6, p->flags, 2);
	write_bytes(m, at + 8, p->id, 8);
	at += 16;
	if (head_bytes(p)) {
		write_bytes(m, at, p->kind == VMB_PKT_XFER ? p->page_set : 0, 4);
		write_bytes(m, at + 4, p->list.ranges, 4);
		for (uint32_t i = 0; i < p->list.count; i++)
			write_bytes(m, at + 8 + 8 * (uint64_t)i, p->list.words[i], 8);
		at += head_bytes(p);
	}
	*pos = (uint32_t)(at % m->size);
	if (p->len % 8)
		write_bytes(m, start + total - 16, 0, 8);
	for (uint32_t i = 0; payload && i < p->len; i++)
		write_bytes(m, at + i, payload[i], 1);
	write_bytes(m, start + total - 8, 0, 4);
	write_bytes(m, start + total - 4, start % m->size, 4);
	m->put += total;
	m->fresh_out++;
	return 0;
}

int model_commit(struct model *m)
{
	uint64_t old = m->published;

	if (m->put == old)
		return 0;
	if (m->armed)
		m->pending = m->armed = 0;
	m->published = m->put;
	m->in = (uint32_t)(m->published % m->size);
	m->packets_out += m->fresh_out;
	m->fresh_out = 0;
	if (m->released != old)
		return 0;
	if (m->mask) {
		m->masked_out++;
		return 0;
	}
	m->signals_out++;
	return VMB_SIGNAL;
}

void model_discard(struct model *m)
{
	m->put = m->published;
	m->fresh_out = 0;
}

int model_arm(struct model *m, const struct vmb_packet *p, uint32_t least)
{
	uint64_t total = total_bytes(p), want = total + (m->put - m->published), floor = ((uint64_t)least + 7) / 8 * 8;

	if (never(m, total))
		return VMB_ETOOBIG;
	if (m->size - (m->put - m->released) > total) {
		m->pending = m->armed = 0;
		return VMB_YES;
	}
	want = want > floor ? want : floor;
	m->pending = m->armed = (uint32_t)(want > m->size - 8 ? m->size - 8 : want);
	return 0;
}

void model_new_producer(struct model *m, int with_cursor)
{
	model_discard(m);
	m->packets_out = m->signals_out = m->masked_out = m->full = 0;
	if (with_cursor)
		return;
	m->pending = m->armed = 0;
	m->features = 1;
}

int model_next(struct model *m, struct vmb_packet *p, struct vmb_view *all)
{
	uint32_t off8, len8;

	if (m->taken == m->published)
		return 0;
	model_mask(m);
	off8 = (uint32_t)read_bytes(m, m->taken + 2, 2);
	len8 = (uint32_t)read_bytes(m, m->taken + 4, 2);
	memset(p, 0, sizeof *p);
	p->kind = (uint16_t)read_bytes(m, m->taken, 2);
	p->flags = (uint16_t)read_bytes(m, m->taken + 6, 2);
	p->id = read_bytes(m, m->taken + 8, 8);
	p->head_len = off8 * 8 - 16;
	p->len = (len8 - off8) * 8;
	if (p->head_len) {
		p->page_set = (uint16_t)read_bytes(m, m->taken + 16, 2);
		p->list.ranges = (uint32_t)read_bytes(m, m->taken + 20, 4);
		p->list.count = p->head_len / 8 - 1;
	}
	all->pos = (uint32_t)((m->taken + 16) % m->size);
	all->len = len8 * 8 - 16;
	m->taken += len8 * 8 + 8;
	m->fresh_in++;
	return VMB_YES;
}

int model_release(struct model *m)
{
	uint64_t before = m->size - (m->published - m->released), after = m->size - (m->published - m->taken);

	if (m->taken == m->released)
		return 0;
	m->released = m->taken;
	m->out = (uint32_t)(m->released % m->size);
	m->packets_in += m->fresh_in;
	m->fresh_in = 0;
	if (!m->pending || before > m->pending || after <= m->pending)
		return 0;
	m->signals_in++;
	return VMB_SIGNAL;
}

int model_sleep(struct model *m)
{
	int signal = model_release(m);

	m->mask = m->masked = 0;
	return m->released == m->published ? signal : signal | VMB_YES;
}

void model_rewind(struct model *m)
{
	m->taken = m->released;
	m->fresh_in = 0;
}

void model_mask(struct model *m)
{
	if (!m->masked)
		m->mask = m->masked = 1;
}

void model_new_consumer(struct model *m, int with_cursor)
{
	model_rewind(m);
	m->packets_in = m->signals_in = 0;
	if (!with_cursor)
		m->masked = 0; /* whatever the word says: the first packet sets it, the first sleep clears it */
}
