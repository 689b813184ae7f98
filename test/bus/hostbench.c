/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The host end on a bench; see hostbench.h. */
#include "hostbench.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hb *hb;
static vmb_handle hb_handles[64];

static void note(const char *format, ...)
{
	va_list args;
	int n;

	if (hb->trace_len + 256 > HB_TRACE)
		return;
	va_start(args, format);
	n = vsnprintf(hb->trace + hb->trace_len, 256, format, args);
	va_end(args);
	hb->trace_len += n < 256 ? (size_t)n : 255;
}

static void inside(void)
{
	if (hb->inside)
		hb->inside_result = hb->inside();
}

/* ---- callbacks */

static int bench_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	struct hb *b = ctx;
	struct hb_message *m;

	inside();
	b->message_calls++;
	if (len < 8 || len > VMB_MESSAGE_MAX)
		b->broken = "a message of impossible size";
	if (b->busy || (b->busy_at && b->message_calls >= b->busy_at && b->message_calls < b->busy_at + b->busy_for))
		return b->busy_error;
	if (b->n_sent == HB_LOG)
		b->n_sent = b->n_read = 0;
	m = &b->sent[b->n_sent++];
	*m = (struct hb_message){ .vp = vp, .vtl = vtl, .sint = sint, .len = len };
	memcpy(m->data, payload, len);
	note("message vp %u sint %u len %u:", vp, sint, len);
	for (uint32_t i = 0; i < len && i < 24; i++)
		note(" %02x", m->data[i]);
	note("\n");
	return 0;
}

static void bench_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	struct hb *b = ctx;

	inside();
	b->interrupt[b->interrupts++ % 64] = (struct hb_interrupt){ vp, vtl, sint, flag };
	note("interrupt vp %u flag %u\n", vp, flag);
}

static void bench_wake(void *ctx, uint64_t user)
{
	struct hb *b = ctx;

	inside();
	b->wake_user[b->wakes++ % 64] = user;
	note("wake %llu\n", (unsigned long long)user);
}

static void bench_poke(void *ctx)
{
	struct hb *b = ctx;

	inside();
	b->pokes++;
}

static int bench_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	struct hb *b = ctx;

	inside();
	b->map_calls++;
	if (!n || n > 32 || !(flags & VMB_MAP_WRITE))
		b->broken = "map: count or flags";
	note("map %u flags %x first %llx\n", n, flags, (unsigned long long)pfns[0]);
	if (b->map_calls == b->map_fail_at)
		return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] >= b->guest_ram_pages)
			return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++) {
		b->mapped[pfns[i]]++;
		b->all_mapped++;
		pages[i] = b->ram + pfns[i] * VMB_PAGE;
	}
	return 0;
}

static void bench_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	struct hb *b = ctx;

	inside();
	if (!n || n > 32 || !(flags & VMB_MAP_WRITE))
		b->broken = "unmap: count or flags";
	note("unmap %u flags %x first %llx\n", n, flags, (unsigned long long)pfns[0]);
	for (uint32_t i = 0; i < n; i++) {
		if (pfns[i] >= HB_RAM_PAGES || !b->mapped[pfns[i]] || pages[i] != b->ram + pfns[i] * VMB_PAGE) {
			b->broken = "unmap of what was not mapped so";
			return;
		}
		b->mapped[pfns[i]]--;
		b->all_mapped--;
		b->unmapped++;
	}
}

/* ---- making one */

static struct hb *hb_all; /* what a test leaves goes with its process */

struct hb *hb_new(const struct vmb_host_config *cfg, int fill)
{
	struct vmb_storage need;
	struct hb *b = calloc(1, sizeof *b);

	hb = b;
	b->older = hb_all;
	hb_all = b;
	b->sent = calloc(HB_LOG, sizeof *b->sent);
	b->trace = calloc(1, HB_TRACE);
	b->ram = aligned_alloc(VMB_PAGE, HB_RAM_PAGES * VMB_PAGE);
	memset(b->ram, 0, HB_RAM_PAGES * VMB_PAGE);
	b->guest_ram_pages = HB_RAM_PAGES;
	b->busy_for = 1;
	b->busy_error = VMB_EAGAIN;
	if (cfg)
		b->cfg = *cfg;
	b->cfg.size = sizeof b->cfg;
	if (!cfg) {
		b->cfg.vps = 8;
		b->cfg.max_channels = 16;
	}
	b->cfg.ctx = b;
	b->cfg.message = bench_message;
	b->cfg.interrupt = bench_interrupt;
	b->cfg.wake = bench_wake;
	b->cfg.poke = bench_poke;
	b->cfg.map = bench_map;
	b->cfg.unmap = bench_unmap;
	cr_assert_eq(vmb_host_storage(&b->cfg, &need), 0);
	b->bytes = (need.bytes + 63) & ~(size_t)63;
	b->mem = aligned_alloc(64, b->bytes);
	memset(b->mem, fill, b->bytes);
	cr_assert_eq(vmb_host_init(b->mem, b->bytes, &b->cfg, &b->h), 0);
	return b;
}

void hb_free(struct hb *b)
{
	struct hb **p = &hb_all;

	while (*p != b)
		p = &(*p)->older;
	*p = b->older;
	free(b->sent);
	free(b->trace);
	free(b->ram);
	free(b->mem);
	free(b);
}

void hb_start(unsigned n)
{
	hb_new(NULL, 0xa5);
	for (unsigned i = 1; i <= n; i++)
		hb_handles[i] = hb_offer(i);
}

vmb_handle hb_handle(unsigned n)
{
	return hb_handles[n];
}

void hb_offer_fill(struct vmb_offer *o, unsigned n, uint32_t sub)
{
	memset(o, 0, sizeof *o);
	o->size = sizeof *o;
	o->flags = VMB_OFFER_ENUMERATE;
	o->class_id.byte[0] = 0xc0;
	o->instance.byte[14] = (uint8_t)(n >> 8);
	o->instance.byte[15] = (uint8_t)n;
	o->subchannel = sub;
	o->user = 100 + n;
}

vmb_handle hb_suboffer(unsigned n, uint32_t sub)
{
	struct vmb_offer o;
	vmb_handle ch = 0;

	hb_offer_fill(&o, n, sub);
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	cr_assert_neq(ch, 0);
	return ch;
}

vmb_handle hb_offer(unsigned n)
{
	return hb_suboffer(n, 0);
}

/* ---- the guest */

int hb_post(uint32_t connection, const void *payload, uint32_t len)
{
	uint8_t in[256] = { 0 };

	put32(in, connection);
	put32(in + 8, 1);
	put32(in + 12, len);
	memcpy(in + 16, payload, len <= 240 ? len : 240);
	return vmb_host_post(hb->h, in, sizeof in);
}

int hb_words(uint32_t type, unsigned n, ...)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 0 };
	va_list args;
	int r;

	put32(msg, type);
	va_start(args, n);
	for (unsigned i = 0; i < n; i++)
		put32(msg + 8 + 4 * i, va_arg(args, uint32_t));
	va_end(args);
	r = hb_post(1, msg, 8 + 4 * n);
	cr_assert_eq(r, VMB_HV_SUCCESS, "message %u was not accepted: %d", type, r);
	return r;
}

void hb_ones(uint32_t type)
{
	uint8_t msg[8 + 160] = { 0 };

	put32(msg, type);
	for (unsigned i = 0; i < 40; i++)
		put32(msg + 8 + 4 * i, 1);
	cr_assert_eq(hb_post(1, msg, sizeof msg), VMB_HV_SUCCESS);
}

void hb_contact_bytes(uint8_t out[56], uint32_t version, uint32_t vp)
{
	memset(out, 0, 56);
	put32(out, 14);
	put32(out + 8, version);
	put32(out + 12, vp);
	if (version < VMB_V5_0)
		put64(out + 16, (uint64_t)HB_PAGE_PFN * VMB_PAGE);
	else
		out[16] = 2;
}

void hb_contact(uint32_t version)
{
	uint8_t msg[56];

	hb_contact_bytes(msg, version, 0);
	cr_assert_eq(hb_post(1, msg, 40), VMB_HV_SUCCESS);
}

void hb_connect(uint32_t version)
{
	const struct hb_message *m;

	hb_contact(version);
	m = hb_next();
	cr_assert_not_null(m);
	cr_assert_eq(get32(m->data), 15);
	cr_assert_eq(m->data[8], 1);
	hb_request();
	do {
		m = hb_next();
		cr_assert_not_null(m, "ALL_OFFERS_DELIVERED is missing");
	} while (get32(m->data) == 1);
	cr_assert_eq(get32(m->data), 4);
	hb_drain_events();
}

uint32_t hb_gpadl_bytes(uint8_t out[VMB_MESSAGE_MAX], uint32_t channel, uint32_t id, uint64_t pfn, uint32_t pages)
{
	cr_assert_leq(pages, 26);
	memset(out, 0, VMB_MESSAGE_MAX);
	put32(out, 8);
	put32(out + 8, channel);
	put32(out + 12, id);
	put32(out + 16, (8 + 8 * pages) | 1u << 16);
	put64(out + 20, (uint64_t)pages * VMB_PAGE);
	for (uint32_t i = 0; i < pages; i++)
		put64(out + 28 + 8 * i, pfn + i);
	return 28 + 8 * pages;
}

void hb_gpadl(uint32_t channel, uint32_t id, uint64_t pfn, uint32_t pages)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len = hb_gpadl_bytes(msg, channel, id, pfn, pages);

	cr_assert_eq(hb_post(1, msg, len), VMB_HV_SUCCESS);
}

void hb_open_bytes(uint8_t out[148], uint32_t channel, uint32_t open_id, uint32_t gpadl, uint32_t vp, uint32_t rx_pages)
{
	memset(out, 0, 148);
	put32(out, 5);
	put32(out + 8, channel);
	put32(out + 12, open_id);
	put32(out + 16, gpadl);
	put32(out + 20, vp);
	put32(out + 24, rx_pages);
	for (int i = 0; i < 120; i++)
		out[28 + i] = (uint8_t)(i + 1);
}

void hb_open(uint32_t channel, uint32_t open_id, uint32_t gpadl, uint32_t vp)
{
	uint8_t msg[148];

	hb_open_bytes(msg, channel, open_id, gpadl, vp, 2);
	cr_assert_eq(hb_post(1, msg, sizeof msg), VMB_HV_SUCCESS);
}

const struct hb_message *hb_next(void)
{
	return hb->n_read < hb->n_sent ? &hb->sent[hb->n_read++] : NULL;
}

void hb_expect_at(int line, uint32_t type, unsigned n, ...)
{
	const struct hb_message *m = hb_next();
	va_list args;

	cr_assert_not_null(m, "line %d: message %u expected, there is none", line, type);
	cr_assert_eq(get32(m->data), type, "line %d: message %u expected, got %u", line, type, get32(m->data));
	cr_assert_eq(m->sint, 2, "line %d", line);
	cr_assert_eq(m->vtl, 0, "line %d", line);
	cr_assert_eq(m->len, 8 + 4 * n, "line %d: message %u has %u bytes", line, type, m->len);
	va_start(args, n);
	for (unsigned i = 0; i < n; i++) {
		uint32_t want = va_arg(args, uint32_t), got = get32(m->data + 8 + 4 * i);

		cr_assert_eq(got, want, "line %d: message %u, word %u: %#x, not %#x", line, type, i, got, want);
	}
	va_end(args);
}

void hb_skip(void)
{
	hb->n_read = hb->n_sent;
}

void hb_quiet_at(int line)
{
	const struct hb_message *m = hb_next();

	cr_assert_null(m, "line %d: unexpected message %u", line, m ? get32(m->data) : 0);
}

/* ---- the embedder */

uint32_t hb_poll(void)
{
	int r = vmb_host_poll(hb->h, 0, &hb->ev);

	cr_assert(r == 0 || r == VMB_YES, "poll: %d", r);
	cr_assert_eq(hb->ev.deadline, UINT64_MAX);
	cr_assert_eq(r == VMB_YES, hb->ev.kind != 0);
	if (r)
		note("event %u ch %x status %d gpadl %x\n", hb->ev.kind, hb->ev.ch, hb->ev.status, hb->ev.gpadl);
	return hb->ev.kind;
}

void hb_event_at(int line, uint32_t kind, vmb_handle ch)
{
	uint32_t got = hb_poll();
	int ask = kind == VMB_EV_OPEN || kind == VMB_EV_CLOSE || kind == VMB_EV_GPADL_DOWN || kind == VMB_EV_HVSOCK;

	cr_assert_eq(got, kind, "line %d: event %u expected, got %u", line, kind, got);
	cr_assert_eq(hb->ev.ch, ch, "line %d: event %u of %#x, not of %#x", line, kind, hb->ev.ch, ch);
	cr_assert_eq(hb->ev.flags, ask ? VMB_EVF_ASK : 0, "line %d", line);
	cr_assert_eq(hb->ev.token != 0, ask, "line %d", line);
}

void hb_no_event_at(int line)
{
	uint32_t got = hb_poll();

	cr_assert_eq(got, 0, "line %d: unexpected event %u", line, got);
}

void hb_drain_events(void)
{
	while (hb_poll())
		;
}

void *hb_channel_mem(unsigned n, size_t *bytes)
{
	static uint8_t mem[32][8192] __attribute__((aligned(64)));

	*bytes = sizeof mem[0];
	return mem[n % 32];
}

int hb_attach(unsigned n, vmb_handle ch, struct vmb_channel **out)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_open_info info = { .size = sizeof info };
	size_t bytes;
	void *mem = hb_channel_mem(n, &bytes);
	int r = vmb_host_open_info(hb->h, ch, &info);

	cfg.ring_pages = r ? 4 : info.ring_pages;
	return vmb_host_attach(hb->h, ch, mem, bytes, &cfg, out);
}

uint32_t hb_ring_id(uint32_t channel)
{
	return 0xe1e10 + channel;
}

uint64_t hb_ring_pfn(uint32_t channel)
{
	return HB_RING_PFN + 4 * (channel % 32);
}

struct vmb_channel *hb_serve(unsigned n, vmb_handle ch, uint32_t channel, uint32_t vp)
{
	struct vmb_channel *c = NULL;

	memset(hb->ram + hb_ring_pfn(channel) * VMB_PAGE, 0, 4 * VMB_PAGE);
	hb_gpadl(channel, hb_ring_id(channel), hb_ring_pfn(channel), 4);
	hb_expect(10, 3, channel, hb_ring_id(channel), 0);
	hb_open(channel, 77, hb_ring_id(channel), vp);
	hb_event(VMB_EV_OPEN, ch);
	cr_assert_eq(hb_attach(n, ch, &c), 0);
	cr_assert_not_null(c);
	hb_expect(6, 3, channel, 77, 0);
	return c;
}

struct vmb_bus_info hb_info(void)
{
	struct vmb_bus_info i = { .size = sizeof i };

	cr_assert_eq(vmb_host_info(hb->h, &i), 0);
	return i;
}

void hb_sound_at(int line)
{
	cr_assert_null(hb->broken, "line %d: %s", line, hb->broken ? hb->broken : "");
}
