/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Mapping guest memory: single pages, and the ring pair of an open channel, a few pages at a time. The GPADL's pages are the
 * control page of the guest's sending ring, its data, the control page of the host's sending ring, its data. gpadl.md 6
 */
#include "host.h"

/* ---- one page, for as long as the guest lets us have it */

#define RING_PAGE_FLAGS (VMB_MAP_WRITE | VMB_MAP_ALWAYS)

int vmbi_host_map_page(struct vmb_host *h, uint64_t gpa, void **page)
{
	uint64_t pfn = gpa / VMB_PAGE;

	if (gpa % VMB_PAGE || !h->cfg.map || h->cfg.map(h->cfg.ctx, &pfn, 1, RING_PAGE_FLAGS, page) < 0)
		return VMB_EMAP;
	return 0;
}

void vmbi_host_unmap_page(struct vmb_host *h, uint64_t gpa, void *page)
{
	uint64_t pfn = gpa / VMB_PAGE;

	h->cfg.unmap(h->cfg.ctx, &pfn, 1, RING_PAGE_FLAGS, &page);
}

/* ---- ring pairs */

/* A confidential channel's ring is private memory. control-plane.md 16.2 */
static uint32_t ring_flags(const struct vmbi_host_open *o)
{
	return VMB_MAP_WRITE | VMB_MAP_RING | (o->offer_flags & VMB_OFFER_PRIVATE_RING ? VMB_MAP_PRIVATE : 0);
}

/* Where the pages of the two rings are kept. The data pages' tables lie in the storage of the channel. */
struct ring_pages {
	void *rx_control, *tx_control;
	void **rx, **tx;
	uint32_t rx_pages; /* of the guest's sending ring, with its control page */
	/* those at hand */
	uint64_t pfns[VMBI_HOST_MAP_CHUNK];
	void *map[VMBI_HOST_MAP_CHUNK];
};

static void **ring_page(struct ring_pages *p, uint32_t i)
{
	if (i == 0)
		return &p->rx_control;
	if (i < p->rx_pages)
		return &p->rx[i - 1];
	if (i == p->rx_pages)
		return &p->tx_control;
	return &p->tx[i - p->rx_pages - 1];
}

static uint32_t ring_chunk(const struct vmbi_host_open *o, uint32_t at)
{
	return o->ring_pages - at < VMBI_HOST_MAP_CHUNK ? o->ring_pages - at : VMBI_HOST_MAP_CHUNK;
}

/* The first n pages, in the chunks in which they were mapped. */
static void ring_unmap(struct vmb_host *h, const struct vmbi_host_open *o, struct ring_pages *p, uint32_t pages)
{
	for (uint32_t at = 0, n; at < pages; at += n) {
		n = ring_chunk(o, at);
		vmbi_gpadls_words(h->store, o->ring_ref, 1 + at, p->pfns, n);
		for (uint32_t i = 0; i < n; i++)
			p->map[i] = *ring_page(p, at + i);
		h->cfg.unmap(h->cfg.ctx, p->pfns, n, ring_flags(o), p->map);
	}
}

static int ring_map(struct vmb_host *h, const struct vmbi_host_open *o, struct ring_pages *p)
{
	for (uint32_t at = 0, n; at < o->ring_pages; at += n) {
		n = ring_chunk(o, at);
		vmbi_gpadls_words(h->store, o->ring_ref, 1 + at, p->pfns, n);
		if (h->cfg.map(h->cfg.ctx, p->pfns, n, ring_flags(o), p->map) < 0) {
			ring_unmap(h, o, p, at);
			return VMB_EMAP;
		}
		for (uint32_t i = 0; i < n; i++)
			*ring_page(p, at + i) = p->map[i];
	}
	return 0;
}

int vmbi_host_map_rings(struct vmb_host *h, struct vmbi_hc *c, void *mem, struct vmb_channel_config *cfg)
{
	const struct vmbi_host_open *o = &c->open;
	struct ring_pages p;
	uint32_t rx_data = o->rx_pages - 1, tx_data = o->ring_pages - o->rx_pages - 1;
	int r;

	if (!h->cfg.map)
		return VMB_EMAP;
	p.rx_pages = o->rx_pages;
	vmbi_channel_tables(mem, cfg, tx_data, &p.tx, &p.rx);
	r = ring_map(h, o, &p);
	if (r)
		return r;
	cfg->tx = (struct vmb_ring_mem){ .control = p.tx_control, .pages = p.tx, .data_pages = tx_data };
	cfg->rx = (struct vmb_ring_mem){ .control = p.rx_control, .pages = p.rx, .data_pages = rx_data };
	return 0;
}

void vmbi_host_unmap_rings(struct vmb_host *h, struct vmbi_hc *c, const struct vmb_ring_mem *tx, const struct vmb_ring_mem *rx)
{
	struct ring_pages p;

	p.rx_control = rx->control;
	p.tx_control = tx->control;
	p.rx_pages = c->open.rx_pages;
	p.rx = (void **)(uintptr_t)rx->pages;
	p.tx = (void **)(uintptr_t)tx->pages;
	ring_unmap(h, &c->open, &p, c->open.ring_pages);
}
