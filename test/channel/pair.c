/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Two channels over one pair of rings. See pair.h. */
#include "pair.h"

#include "hooks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void (*pair_before_copy)(const void *shared, size_t n);
void (*pair_before_publish)(const void *word);

static void pair_need(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "pair: %s failed\n", what);
		abort();
	}
}

struct vmb_channel_config pair_config(void)
{
	struct vmb_channel_config cfg;

	memset(&cfg, 0, sizeof cfg);
	cfg.size = sizeof cfg;
	return cfg;
}

struct pair *pair_rings(uint32_t kind, uint32_t pages0, uint32_t pages1)
{
	struct pair *p = calloc(1, sizeof *p);

	pair_need(p != NULL, "calloc");
	p->ring[0] = rig_new(kind, pages0);
	p->ring[1] = rig_new(kind, pages1);
	return p;
}

static void pair_signal(void *ctx)
{
	struct pair_side *side = ctx;

	side->signals++;
}

int pair_open(struct pair *p, unsigned i, const struct vmb_channel_config *cfg)
{
	struct vmb_channel_config c = cfg ? *cfg : pair_config();
	struct pair_side *side = &p->side[i];
	struct vmb_storage need;
	int r;

	if (!c.tx.control) {
		c.tx = p->ring[i]->mem;
		c.rx = p->ring[1 - i]->mem;
	}
	if (!c.signal) {
		c.signal = pair_signal;
		c.ctx = side;
	}
	pair_need(!vmb_channel_storage(&c, &need), "vmb_channel_storage");
	free(side->mem);
	side->mem = aligned_alloc(need.align, need.bytes);
	side->bytes = need.bytes;
	pair_need(side->mem != NULL, "aligned_alloc");
	memset(side->mem, 0xa5, need.bytes);
	side->ch = NULL;
	r = vmb_channel_init(side->mem, need.bytes, &c, &side->ch);
	return r;
}

struct pair *pair_new(const struct vmb_channel_config *cfg0, const struct vmb_channel_config *cfg1)
{
	struct pair *p = pair_rings(RIG_ONCE, 4, 4);

	pair_need(!pair_open(p, 0, cfg0) && !pair_open(p, 1, cfg1), "vmb_channel_init");
	return p;
}

void pair_free(struct pair *p)
{
	for (unsigned i = 0; i < 2; i++)
		if (p->side[i].ch)
			(void)vmb_channel_end(p->side[i].ch, NULL, NULL);
	for (unsigned i = 0; i < 2; i++) {
		free(p->side[i].mem);
		rig_free(p->ring[i]);
	}
	free(p);
}

struct vmb_packet pair_packet(const void *payload, uint32_t len)
{
	return (struct vmb_packet){ .kind = VMB_PKT_INBAND, .payload = payload, .len = len };
}

struct vmb_packet pair_answer(uint64_t id, const void *payload, uint32_t len)
{
	return (struct vmb_packet){ .kind = VMB_PKT_COMPLETION, .id = id, .payload = payload, .len = len };
}

int pair_recv(struct pair *p, unsigned i, struct vmb_packet *out)
{
	static uint64_t buf[1 << 17];

	return vmb_channel_recv(p->side[i].ch, buf, sizeof buf, out);
}

unsigned pair_fill(struct pair *p, unsigned i, uint32_t len)
{
	unsigned total = 16 + (len + 7) / 8 * 8 + 8, n = 0;
	struct vmb_packet pkt;
	void *payload = calloc(1, len + 1);

	for (unsigned left = p->ring[i]->size - 8; left >= total; left -= total, n++) {
		pkt = pair_packet(payload, len);
		pair_need(!vmb_channel_put(p->side[i].ch, &pkt), "vmb_channel_put");
	}
	pair_need(!vmb_channel_flush(p->side[i].ch), "vmb_channel_flush");
	free(payload);
	return n;
}

struct vmb_channel_info pair_info(const struct pair *p, unsigned i)
{
	struct vmb_channel_info info = { .size = sizeof info };

	pair_need(!vmb_channel_info(p->side[i].ch, &info), "vmb_channel_info");
	return info;
}

int pair_broken(struct pair *p, unsigned i, uint32_t reason)
{
	struct vmb_channel *ch = p->side[i].ch;
	struct vmb_packet pkt = pair_packet("x", 1);
	struct vmb_channel_info info = pair_info(p, i);
	struct vmb_view v;
	struct vmb_record rec = { .kind = VMB_PKT_INBAND };
	uint64_t buf[8];

	return info.error == VMB_EPEER && info.reason == reason && pair_recv(p, i, &pkt) == VMB_EPEER &&
	       vmb_channel_next(ch, &pkt, &v) == VMB_EPEER && vmb_channel_skip(ch) == VMB_EPEER &&
	       vmb_channel_release(ch) == VMB_EPEER && vmb_channel_put(ch, &pkt) == VMB_EPEER &&
	       vmb_channel_recv_batch(ch, (uint8_t *)buf, sizeof buf, &rec, 1) == VMB_EPEER &&
	       vmb_channel_putv(ch, &pkt, NULL, 0) == VMB_EPEER && vmb_channel_reserve(ch, &pkt, &v) == VMB_EPEER &&
	       vmb_channel_flush(ch) == VMB_EPEER && vmb_channel_send(ch, &pkt) == VMB_EPEER &&
	       vmb_channel_send_batch(ch, (const uint8_t *)buf, sizeof buf, &rec, 1) == VMB_EPEER;
}
