/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * libvmbus's channel layer, with the shared library: a channel on either side of two rings, neither of which sleeps. In write-read and in
 * request-response each packet one way is a request that the library numbers, each one back its completion.
 */
#include <stdlib.h>
#include <string.h>
#include <vmbus.h>

#include "pages.h"

struct c {
	struct vmb_channel *client, *server;
	void *memory[2];
	struct vmb_packet packet;                           /* the client's */
	struct vmb_packet came __attribute__((aligned(64))); /* the server's */
	uint64_t sum;
	uint64_t words[2 * PAGES_MOST];                     /* pages that a request names */
};

enum { REQUESTS = 256, ROOM = 16384 + 64 };

static inline int c_put(struct c *c, const uint8_t *from, uint32_t len)
{
	c->packet.payload = from;
	c->packet.len = len;
	return vmb_channel_put(c->client, &c->packet) >= 0;
}

static inline uint8_t *c_place(struct c *c, uint32_t len)
{
	struct vmb_view v;
	struct vmb_span s;
	struct vmb_tx *tx;

	c->packet.len = len;
	if (vmb_channel_reserve(c->client, &c->packet, &v) < 0 || vmb_channel_tx(c->client, &tx) < 0 || vmb_tx_spans(tx, &v, 0, &s, 1) < 1)
		return NULL;
	return s.base;
}

static inline void c_publish(struct c *c)
{
	if (vmb_channel_flush(c->client) < 0)
		abort();
}

static inline int c_get(struct c *c, uint8_t *to)
{
	return vmb_channel_recv(c->server, to, ROOM, &c->came) == VMB_YES;
}

static inline const uint8_t *c_look(struct c *c, uint32_t *len)
{
	struct vmb_view v;

	if (vmb_channel_next(c->server, &c->came, &v) != VMB_YES)
		return NULL;
	*len = c->came.len;
	return c->came.payload;
}

static inline void c_release(struct c *c)
{
	if (vmb_channel_release(c->server) < 0)
		abort();
}

static inline struct vmb_packet request(struct c *c, const uint8_t *text, uint32_t len, uint32_t pages)
{
	return (struct vmb_packet){ .kind = pages ? VMB_PKT_GPA : VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .len = len, .payload = text,
				    .list = { pages ? c->words : NULL, 2 * pages, pages } };
}

static inline int c_put_pages(struct c *c, const uint8_t *from, uint32_t len, uint32_t pages)
{
	struct vmb_packet p = request(c, from, len, pages);

	p.flags = 0; /* nobody answers these */
	return vmb_channel_put(c->client, &p) >= 0;
}

static inline int c_get_pages(struct c *c, uint8_t *to, int check)
{
	if (vmb_channel_recv(c->server, to, ROOM, &c->came) != VMB_YES)
		return 0;
	if (check)
		memmove(to, c->came.payload, c->came.len);
	return 1;
}

#define NAMES_PAGES
#include "contender.h"

static void must(int r)
{
	if (r < 0)
		abort();
}

static inline void ask_one(struct c *c, const uint8_t *text, uint32_t len, uint32_t pages)
{
	struct vmb_packet p = request(c, text, len, pages);

	while (vmb_channel_put(c->client, &p) < 0)
		;
}

/* A completion of as many bytes as the request. */
static inline void answer_one(struct c *c, uint8_t *to)
{
	struct vmb_packet p = { .kind = VMB_PKT_COMPLETION, .payload = to };

	while (vmb_channel_recv(c->server, to, ROOM, &c->came) != VMB_YES)
		;
	p.id = c->came.id;
	p.len = c->came.len;
	while (vmb_channel_put(c->server, &p) < 0)
		;
}

static inline void hear_one(struct c *c, uint8_t *to)
{
	struct vmb_packet p;

	while (vmb_channel_recv(c->client, to, ROOM, &p) != VMB_YES)
		;
}

static void channel_write_read(void *ring, const uint8_t *text, uint8_t *to, uint32_t n, uint32_t len, uint32_t batch, uint32_t flags)
{
	struct c *c = ring;

	for (uint32_t i = 0; i < n; i += 2 * batch) { /* packets: requests and completions */
		for (uint32_t k = 0; k < batch; k++)
			ask_one(c, text, len, flags >> PAGES);
		must(vmb_channel_flush(c->client));
		for (uint32_t k = 0; k < batch; k++)
			answer_one(c, to);
		must(vmb_channel_flush(c->server));
		for (uint32_t k = 0; k < batch; k++)
			hear_one(c, to);
	}
}

static void channel_ask(void *out, void *in, const uint8_t *text, uint8_t *to, uint32_t n, uint32_t len, uint32_t flags)
{
	struct c *c = out;

	(void)in, (void)flags;
	for (uint32_t i = 0; i < n; i++) {
		ask_one(c, text, len, 0);
		must(vmb_channel_flush(c->client));
		hear_one(c, to);
	}
}

static void channel_answer(void *out, void *in, uint8_t *to, uint32_t n, uint32_t len, uint32_t flags)
{
	struct c *c = out;

	(void)in, (void)len, (void)flags;
	for (uint32_t i = 0; i < n; i++) {
		answer_one(c, to);
		must(vmb_channel_flush(c->server));
	}
}

static struct vmb_ring_mem ring_of(const struct ring_memory *m, uint32_t flags)
{
	return (struct vmb_ring_mem){ .control = m->control, .data = m->data, .pages = m->kind == MEMORY_PAGES ? m->list : NULL,
				      .data_pages = m->pages, .flags = flags | (m->kind == MEMORY_TWICE ? VMB_RING_TWICE : 0) };
}

static void *channel_open(const struct ring_memory *m, const struct ring_memory *back)
{
	struct c *c = aligned_alloc(64, (sizeof *c + 63) / 64 * 64);

	if (!c)
		return NULL;
	memset(c, 0, sizeof *c);
	c->packet.kind = VMB_PKT_INBAND;
	pages_name(c->words);
	for (int i = 0; i < 2; i++) {
		struct vmb_channel_config cfg = { .size = sizeof cfg, .flags = VMB_CHANNEL_POLLED, .requests = REQUESTS,
						  .tx = ring_of(i ? back : m, i ? 0 : VMB_RING_FRESH),
						  .rx = ring_of(i ? m : back, i ? 0 : VMB_RING_FRESH) };
		struct vmb_storage need;

		if (vmb_channel_storage(&cfg, &need) < 0)
			return NULL;
		c->memory[i] = aligned_alloc(64, (need.bytes + 63) / 64 * 64);
		if (!c->memory[i] || vmb_channel_init(c->memory[i], need.bytes, &cfg, i ? &c->server : &c->client) < 0)
			return NULL;
	}
	return c;
}

static void channel_close(void *ring)
{
	struct c *c = ring;

	must(vmb_channel_end(c->client, NULL, NULL));
	must(vmb_channel_end(c->server, NULL, NULL));
	free(c->memory[0]);
	free(c->memory[1]);
	free(c);
}

CONTENDER = { .layer = "channel", .name = "vmbus-channel", .memories = MEMORY_ONCE | MEMORY_TWICE | MEMORY_PAGES, .in_place = 1, .batches = 1,
	      .pages = 1, .open = channel_open, .close = channel_close, .write = loop_write, .read = loop_read, .write_read = channel_write_read,
	      .produce = loop_produce, .consume = loop_consume, .ask = channel_ask, .answer = channel_answer };
