/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include "shim.h"

#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"

/* ---- memory */

int vmbgo_alloc(const struct vmb_storage *need, void **mem)
{
	size_t align = need->align < sizeof(void *) ? sizeof(void *) : need->align;

	return posix_memalign(mem, align, need->bytes ? need->bytes : 1) ? VMB_ENOSPACE : 0;
}

struct vmbgo_ram *vmbgo_ram_new(uint32_t count)
{
	struct vmbgo_ram *ram = calloc(1, sizeof *ram + count * sizeof ram->region[0]);

	if (ram)
		ram->count = count;
	return ram;
}

void vmbgo_ram_set(struct vmbgo_ram *ram, uint32_t i, uint64_t pfn, uint64_t pages, uint8_t *base)
{
	ram->region[i] = (struct vmbgo_region){ pfn, pages, base };
}

struct vmbgo_ctx *vmbgo_ctx_new(uintptr_t handle, const struct vmbgo_ram *ram)
{
	struct vmbgo_ctx *ctx = malloc(sizeof *ctx);

	if (ctx)
		*ctx = (struct vmbgo_ctx){ handle, ram };
	return ctx;
}

uintptr_t vmbgo_thread(void)
{
	return (uintptr_t)pthread_self();
}

static uint8_t *ram_page(const struct vmbgo_ram *ram, uint64_t pfn)
{
	for (uint32_t i = 0; ram && i < ram->count; i++) {
		const struct vmbgo_region *r = &ram->region[i];

		if (pfn >= r->pfn && pfn - r->pfn < r->pages)
			return r->base + (pfn - r->pfn) * VMB_PAGE;
	}
	return NULL;
}

static int ram_map(const struct vmbgo_ram *ram, const uint64_t *pfns, uint32_t n, void **pages)
{
	for (uint32_t i = 0; i < n; i++)
		if (!(pages[i] = ram_page(ram, pfns[i])))
			return VMB_EMAP;
	return 0;
}

static int list_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)flags;
	return ram_map(ctx, pfns, n, pages);
}

static void list_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)pfns, (void)n, (void)flags, (void)pages;
}

/* ---- callbacks: to Go, with the thread that they run on */

static uintptr_t handle_of(void *ctx)
{
	return ((struct vmbgo_ctx *)ctx)->handle;
}

static int on_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	return goPost(handle_of(ctx), vmbgo_thread(), connection, (uint8_t *)payload, len);
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	return goSignal(handle_of(ctx), vmbgo_thread(), connection, flag);
}

static void on_wake(void *ctx, uint64_t user)
{
	goWake(handle_of(ctx), user);
}

static void on_poke(void *ctx)
{
	goPoke(handle_of(ctx));
}

static int on_monitor(void *ctx, const uint64_t gpa[2], void *page[2])
{
	return goMonitor(handle_of(ctx), vmbgo_thread(), gpa[0], gpa[1], page);
}

static void on_trace(void *ctx, const struct vmb_trace *what)
{
	goTrace(handle_of(ctx), vmbgo_thread(), (struct vmb_trace *)what);
}

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	return goMessage(handle_of(ctx), vmbgo_thread(), vp, vtl, sint, (uint8_t *)payload, len);
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	goInterrupt(handle_of(ctx), vmbgo_thread(), vp, vtl, sint, flag);
}

static int on_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	return goMap(handle_of(ctx), vmbgo_thread(), (uint64_t *)pfns, n, flags, pages);
}

static void on_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	goUnmap(handle_of(ctx), vmbgo_thread(), (uint64_t *)pfns, n, flags, (void **)pages);
}

static int on_map_ram(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)flags;
	return ram_map(((struct vmbgo_ctx *)ctx)->ram, pfns, n, pages);
}

static void on_channel_signal(void *ctx)
{
	goChannelSignal(handle_of(ctx), vmbgo_thread());
}

/* ---- making things */

int vmbgo_guest_new(struct vmb_guest_config *cfg, struct vmbgo_ctx *ctx, uint32_t with, struct vmb_guest **guest, void **mem)
{
	struct vmb_storage need;
	int r;

	cfg->ctx = ctx;
	cfg->post = on_post;
	cfg->signal = on_signal;
	cfg->wake = on_wake;
	cfg->poke = on_poke;
	cfg->monitor = with & VMBGO_MONITOR ? on_monitor : NULL;
	cfg->trace = with & VMBGO_TRACE ? on_trace : NULL;
	if ((r = vmb_guest_storage(cfg, &need)) < 0 || (r = vmbgo_alloc(&need, mem)) < 0)
		return r;
	if ((r = vmb_guest_init(*mem, need.bytes, cfg, guest)) < 0)
		free(*mem);
	return r;
}

int vmbgo_host_new(struct vmb_host_config *cfg, struct vmbgo_ctx *ctx, uint32_t with, struct vmb_host **host, void **mem)
{
	struct vmb_storage need;
	int r;

	cfg->ctx = ctx;
	cfg->message = on_message;
	cfg->interrupt = on_interrupt;
	cfg->wake = on_wake;
	cfg->poke = on_poke;
	cfg->map = with & VMBGO_MAPPER ? on_map : on_map_ram;
	cfg->unmap = with & VMBGO_MAPPER ? on_unmap : list_unmap;
	cfg->trace = with & VMBGO_TRACE ? on_trace : NULL;
	if ((r = vmb_host_storage(cfg, &need)) < 0 || (r = vmbgo_alloc(&need, mem)) < 0)
		return r;
	if ((r = vmb_host_init(*mem, need.bytes, cfg, host)) < 0)
		free(*mem);
	return r;
}

int vmbgo_guest_open(struct vmb_guest *g, vmb_handle ch, const struct vmb_channel_config *cfg, struct vmb_open *open, const uint64_t *pfns,
		     struct vmb_channel **out, void **mem)
{
	struct vmb_storage need;
	int r;

	open->pfns = pfns;
	if ((r = vmb_channel_storage(cfg, &need)) >= 0 && (r = vmbgo_alloc(&need, mem)) >= 0 &&
	    (r = vmb_guest_open(g, ch, *mem, need.bytes, cfg, open, out)) < 0)
		free(*mem);
	open->pfns = NULL;
	return r;
}

int vmbgo_host_attach(struct vmb_host *h, vmb_handle ch, const struct vmb_channel_config *cfg, struct vmb_channel **out, void **mem)
{
	struct vmb_storage need;
	int r;

	if ((r = vmb_channel_storage(cfg, &need)) >= 0 && (r = vmbgo_alloc(&need, mem)) >= 0 &&
	    (r = vmb_host_attach(h, ch, *mem, need.bytes, cfg, out)) < 0)
		free(*mem);
	return r;
}

int vmbgo_channel_new(struct vmb_channel_config *cfg, struct vmbgo_ctx *ctx, int signals, struct vmb_channel **out, void **mem)
{
	struct vmb_storage need;
	int r;

	cfg->ctx = ctx;
	cfg->signal = signals ? on_channel_signal : NULL;
	if ((r = vmb_channel_storage(cfg, &need)) >= 0 && (r = vmbgo_alloc(&need, mem)) >= 0 &&
	    (r = vmb_channel_init(*mem, need.bytes, cfg, out)) < 0)
		free(*mem);
	return r;
}

int vmbgo_tx_new(const struct vmb_ring_mem *ring, const struct vmb_cursor *from, struct vmb_tx **tx, void **mem)
{
	struct vmb_storage need;
	int r;

	if ((r = vmb_tx_storage(ring, &need)) >= 0 && (r = vmbgo_alloc(&need, mem)) >= 0 &&
	    (r = vmb_tx_init(*mem, need.bytes, ring, from && from->valid ? from : NULL, tx)) < 0)
		free(*mem);
	return r;
}

int vmbgo_rx_new(const struct vmb_ring_mem *ring, const struct vmb_cursor *from, struct vmb_rx **rx, void **mem)
{
	struct vmb_storage need;
	int r;

	if ((r = vmb_rx_storage(ring, &need)) >= 0 && (r = vmbgo_alloc(&need, mem)) >= 0 &&
	    (r = vmb_rx_init(*mem, need.bytes, ring, from && from->valid ? from : NULL, rx)) < 0)
		free(*mem);
	return r;
}

/* ---- packets */

static struct vmb_packet packet_of(const struct vmbgo_packet *p, const uint8_t *payload, const uint64_t *words)
{
	return (struct vmb_packet){ .kind = p->kind, .flags = p->flags, .len = p->len, .id = p->id, .user = p->user, .payload = payload,
				    .list = { words, p->words, p->ranges }, .page_set = p->page_set };
}

static void record_of(struct vmb_record *rec, const struct vmb_packet *p)
{
	*rec = (struct vmb_record){ .kind = p->kind, .flags = p->flags, .head_len = p->head_len, .len = p->len, .id = p->id, .user = p->user,
				    .ranges = p->list.ranges, .page_set = p->page_set };
}

int vmbgo_put(struct vmb_channel *ch, int flush, struct vmbgo_packet *p, const uint8_t *payload, const uint64_t *words)
{
	struct vmb_packet q = packet_of(p, payload, words);
	int r = flush ? vmb_channel_send(ch, &q) : vmb_channel_put(ch, &q);

	p->id = q.id;
	return r;
}

int vmbgo_recv(struct vmb_channel *ch, uint8_t *buf, uint32_t bytes, struct vmb_record *rec)
{
	struct vmb_packet p = { 0 };
	int r = vmb_channel_recv(ch, buf, bytes, &p);

	record_of(rec, &p);
	return r;
}

int vmbgo_reserve(struct vmb_channel *ch, struct vmbgo_packet *p, const uint64_t *words, struct vmb_span *spans, uint32_t *n)
{
	struct vmb_packet q = packet_of(p, NULL, words);
	struct vmb_view view;
	struct vmb_tx *tx;
	int r = vmb_channel_reserve(ch, &q, &view), k;

	p->id = q.id;
	if (r < 0)
		return r;
	if ((k = vmb_channel_tx(ch, &tx)) < 0 || (k = vmb_tx_spans(tx, &view, 0, spans, *n)) < 0)
		return k;
	*n = (uint32_t)k;
	return r;
}

int vmbgo_next(struct vmb_channel *ch, struct vmb_record *rec, struct vmb_span *spans, uint32_t *n)
{
	struct vmb_packet p = { 0 };
	struct vmb_view all;
	struct vmb_rx *rx;
	int r = vmb_channel_next(ch, &p, &all), k;

	record_of(rec, &p);
	if (r <= 0)
		return r;
	if ((k = vmb_channel_rx(ch, &rx)) < 0 || (k = vmb_rx_spans(rx, &all, 0, spans, *n)) < 0)
		return k;
	*n = (uint32_t)k;
	return r;
}

int vmbgo_tx_put(struct vmb_tx *tx, const struct vmbgo_packet *p, const uint8_t *payload, const uint64_t *words)
{
	struct vmb_packet q = packet_of(p, payload, words);

	return vmb_tx_put(tx, &q);
}

int vmbgo_tx_arm(struct vmb_tx *tx, const struct vmbgo_packet *p, const uint64_t *words, uint32_t least)
{
	struct vmb_packet q = packet_of(p, NULL, words);

	return vmb_tx_arm(tx, &q, least);
}

/* The next packet, the words of its header in the order of the processor. */
int vmbgo_rx_get(struct vmb_rx *rx, uint8_t *buf, uint32_t bytes, struct vmb_record *rec)
{
	struct vmb_packet p = { 0 };
	int r = vmb_rx_get(rx, buf, bytes, &p);

	record_of(rec, &p);
	for (uint32_t at = 8; r > 0 && at + 8 <= p.head_len; at += 8) {
		uint64_t word;

		memcpy(&word, buf + at, sizeof word);
		word = le64toh(word);
		memcpy(buf + at, &word, sizeof word);
	}
	return r;
}

/* ---- lists */

static struct vmb_list list_of(const uint64_t *words, uint32_t count, uint32_t ranges)
{
	return (struct vmb_list){ words, count, ranges };
}

int vmbgo_list_check(const uint64_t *words, uint32_t count, uint32_t ranges, uint32_t *used, uint64_t *bytes)
{
	struct vmb_list out;
	int r = vmb_list_check(words, count, ranges, &out, bytes);

	*used = r < 0 ? 0 : out.count;
	return r;
}

int vmbgo_list_next(const uint64_t *words, uint32_t count, uint32_t ranges, uint32_t *cursor, uint32_t *bytes, uint32_t *offset, uint32_t *pages)
{
	struct vmb_list list = list_of(words, count, ranges);
	struct vmb_range range;
	int r = vmb_list_next(&list, cursor, &range);

	if (r > 0)
		*bytes = range.bytes, *offset = range.offset, *pages = range.pages;
	return r;
}

int vmbgo_list_move(int how, const uint64_t *words, uint32_t count, uint32_t ranges, const struct vmbgo_ram *ram, uint64_t offset, uint8_t *buf,
		    uint32_t n)
{
	struct vmb_mapper mapper = { (void *)ram, list_map, list_unmap };
	struct vmb_list list = list_of(words, count, ranges);

	return how == VMBGO_READ ? vmb_list_read(&list, &mapper, offset, buf, n) :
	       how == VMBGO_WRITE ? vmb_list_write(&list, &mapper, offset, buf, n) : vmb_list_compare(&list, &mapper, offset, buf, n);
}

/* Addresses are guest-physical ones already. */
static int same_address(void *ctx, uint64_t address, uint64_t *gpa)
{
	(void)ctx;
	*gpa = address;
	return 0;
}

int vmbgo_list_build(const struct vmb_piece *pieces, uint32_t n, uint64_t *words, uint32_t max, uint32_t *count, uint32_t *ranges)
{
	struct vmb_list out = { 0 };
	int r = vmb_list_build(pieces, n, VMB_PAGE, same_address, NULL, words, max, &out);

	*count = out.count;
	*ranges = out.ranges;
	return r;
}

int vmbgo_packet_move(int how, const struct vmbgo_packet *p, const uint64_t *words, const uint64_t *set, uint32_t set_words, uint32_t set_ranges,
		      const struct vmbgo_ram *ram, uint64_t offset, uint8_t *buf, uint32_t n)
{
	struct vmb_mapper mapper = { (void *)ram, list_map, list_unmap };
	struct vmb_packet q = packet_of(p, NULL, words);
	struct vmb_list list = list_of(set, set_words, set_ranges);
	const struct vmb_list *of = set ? &list : NULL;

	return how == VMBGO_READ ? vmb_packet_read(&q, of, &mapper, offset, buf, n) :
	       how == VMBGO_WRITE ? vmb_packet_write(&q, of, &mapper, offset, buf, n) : vmb_packet_compare(&q, of, &mapper, offset, buf, n);
}

uint64_t vmbgo_packet_bytes(const struct vmbgo_packet *p, const uint64_t *words)
{
	struct vmb_packet q = packet_of(p, NULL, words);

	return vmb_packet_bytes(&q);
}

int vmbgo_gpadl_create(struct vmb_guest *g, vmb_handle ch, const uint64_t *words, uint32_t count, uint32_t ranges, uint32_t *gpadl)
{
	struct vmb_list list = list_of(words, count, ranges);

	return vmb_guest_gpadl_create(g, ch, &list, gpadl);
}

int vmbgo_gpadl_hold(struct vmb_host *h, vmb_handle ch, uint32_t gpadl, uint64_t *words, uint32_t max, uint32_t *count, uint32_t *ranges)
{
	struct vmb_list list = { 0 };
	int r = vmb_host_gpadl_hold(h, ch, gpadl, words, max, &list);

	*count = list.count;
	*ranges = list.ranges;
	return r;
}
