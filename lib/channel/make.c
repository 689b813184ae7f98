/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* How a channel begins and ends: its storage, its two rings, and the cursors that let another object go on. ring.md 12 */
#include "channel.h"

#define CHANNEL_FLAGS \
	(VMB_CHANNEL_DEFER | VMB_CHANNEL_PIPE | VMB_CHANNEL_RAW | VMB_CHANNEL_POLLED | VMB_CHANNEL_DIRTY | VMB_CHANNEL_LOOSE)

/* The parts of a channel's storage, in this order: the page tables come first, so that vmbi_channel_tables finds them. */
struct channel_parts {
	struct vmb_channel *ch;
	uint8_t **tables;
	struct vmbi_requests requests;
	uint32_t *dirty;
	uint32_t dirty_words;
};

static int channel_check(const struct vmb_channel_config *cfg)
{
	if (cfg->flags & ~CHANNEL_FLAGS || cfg->requests > VMBI_REQUESTS_MAX || cfg->ring_pages > VMBI_CHANNEL_PAGES_MAX)
		return VMB_EINVAL;
	if (cfg->tx.control && vmbi_ring_check(&cfg->tx))
		return VMB_EINVAL;
	return cfg->rx.control && vmbi_ring_check(&cfg->rx) ? VMB_EINVAL : 0;
}

/* Both rings' pages, if the log needs them: as given, or as the library will map them. */
static int channel_dirty_pages(const struct vmb_channel_config *cfg, uint32_t *pages)
{
	*pages = 0;
	if (!(cfg->flags & VMB_CHANNEL_DIRTY))
		return 0;
	if (cfg->tx.control && cfg->rx.control)
		*pages = cfg->tx.data_pages + cfg->rx.data_pages + 2;
	if (cfg->ring_pages > *pages)
		*pages = cfg->ring_pages;
	return *pages ? 0 : VMB_EINVAL;
}

static int channel_carve(struct vmbi_carve *c, const struct vmb_channel_config *cfg, struct channel_parts *parts)
{
	uint32_t pages, entries = 0;
	int r = channel_check(cfg);

	if (!r)
		r = channel_dirty_pages(cfg, &pages);
	if (r)
		return r;
	if (cfg->tx.control)
		entries += vmbi_ring_table(&cfg->tx);
	if (cfg->rx.control)
		entries += vmbi_ring_table(&cfg->rx);
	if (entries < 2 * cfg->ring_pages)
		entries = 2 * cfg->ring_pages;
	parts->ch = vmbi_carve(c, 1, sizeof *parts->ch);
	parts->tables = vmbi_carve(c, entries, sizeof *parts->tables);
	vmbi_requests_carve(c, cfg->requests, &parts->requests);
	parts->dirty_words = (pages + 31) / 32;
	parts->dirty = vmbi_carve(c, parts->dirty_words, sizeof *parts->dirty);
	return 0;
}

int vmbi_channel_need(const struct vmb_channel_config *cfg, struct vmb_storage *need)
{
	struct channel_parts parts;
	struct vmbi_carve c = { NULL, 0 };
	int r = channel_carve(&c, cfg, &parts);

	return r ? r : vmbi_carve_end(&c, need);
}

void vmbi_channel_tables(void *mem, const struct vmb_channel_config *cfg, uint32_t tx_data_pages, void ***tx, void ***rx)
{
	struct vmbi_carve c = { mem, 0 };

	(void)cfg;
	vmbi_carve(&c, 1, sizeof(struct vmb_channel));
	*tx = vmbi_carve(&c, 0, 0);
	*rx = *tx + 2 * (size_t)tx_data_pages;
}

/* Log ring pages, in the order of the GPADL: the ring that the guest sends into is the first. Making a half wrote its
 * control page. */
static void channel_log(struct vmb_channel *ch, const struct vmb_channel_config *cfg, const struct channel_parts *parts,
			int guest_end)
{
	uint32_t first = guest_end ? cfg->tx.data_pages + 1 : cfg->rx.data_pages + 1;

	ch->dirty = parts->dirty;
	ch->dirty_words = parts->dirty_words;
	VMBI_MEMSET(ch->dirty, 0, ch->dirty_words * sizeof *ch->dirty);
	ch->dirty[0] = 1;
	ch->dirty[first / 32] |= 1u << first % 32;
	ch->tx.dirty = (struct vmbi_dirty){ ch->dirty, guest_end ? 0 : first };
	ch->rx.dirty = (struct vmbi_dirty){ ch->dirty, guest_end ? first : 0 };
}

static void channel_limits(struct vmb_channel *ch, const struct vmb_channel_config *cfg)
{
	uint32_t most = cfg->max_payload ? cfg->max_payload : UINT32_MAX;

	ch->max_payload = most < UINT32_MAX - 7 ? (most + 7) & ~7u : UINT32_MAX;
	ch->max_pipe = most < VMBI_PIPE_MAX ? most : VMBI_PIPE_MAX;
	ch->short_below = ch->flags & VMB_CHANNEL_PIPE ? 0 : ch->max_payload;
	ch->short_below += ch->short_below && ch->short_below < UINT32_MAX;
	vmbi_channel_due(ch);
	ch->least_free = cfg->least_free ? cfg->least_free : ch->tx.ring.size / 4;
	/* A restored sender that was waiting still is: its peer has the pending size and will signal. */
	ch->want = ch->tx.pending < ch->tx.ring.size ? ch->tx.pending : 0;
	ch->tx_long = ch->want || ch->flags & VMB_CHANNEL_PIPE;
}

static int channel_rings(struct vmb_channel *ch, const struct vmb_channel_config *cfg, uint8_t **tables)
{
	struct vmb_ring_mem rx = cfg->rx;
	int r = vmbi_tx_setup(&ch->tx, tables, &cfg->tx, cfg->tx_at.valid ? &cfg->tx_at : NULL);

	if (r)
		return r;
	if (cfg->flags & VMB_CHANNEL_LOOSE)
		rx.flags |= VMB_RING_LOOSE;
	return vmbi_rx_setup(&ch->rx, tables + vmbi_ring_table(&cfg->tx), &rx, cfg->rx_at.valid ? &cfg->rx_at : NULL);
}

int vmbi_channel_make(void *mem, size_t bytes, const struct vmb_channel_config *cfg, int guest_end, struct vmb_channel **out)
{
	struct channel_parts parts;
	struct vmbi_carve c = { mem, 0 };
	struct vmb_storage need;
	struct vmb_channel *ch;
	int r;

	r = vmbi_channel_need(cfg, &need);
	if (!r)
		r = vmbi_storage_fits(mem, bytes, &need);
	if (!r)
		r = channel_carve(&c, cfg, &parts);
	if (r)
		return r;
	ch = parts.ch;
	VMBI_MEMSET(ch, 0, sizeof *ch);
	ch->flags = cfg->flags & VMB_CHANNEL_RAW ? cfg->flags & ~VMB_CHANNEL_PIPE : cfg->flags;
	ch->ctx = cfg->ctx;
	ch->signal = cfg->signal;
	ch->owned = 1;
	ch->requests = parts.requests;
	vmbi_requests_init(&ch->requests);
	vmbi_signals_init(&ch->signals);
	r = channel_rings(ch, cfg, parts.tables);
	if (r)
		return r;
	channel_limits(ch, cfg);
	if (cfg->flags & VMB_CHANNEL_DIRTY)
		channel_log(ch, cfg, &parts, guest_end);
	if (cfg->flags & VMB_CHANNEL_POLLED)
		vmb_rx_mask(&ch->rx);
	ch->magic = VMBI_CHANNEL_MAGIC;
	*out = ch;
	return 0;
}

int vmb_channel_storage(const struct vmb_channel_config *cfg, struct vmb_storage *need)
{
	struct vmb_channel_config in;
	int r;

	if (!cfg || !need)
		return VMB_EINVAL;
	r = vmbi_struct_in(&in, sizeof in, cfg, sizeof in);
	return r ? r : vmbi_channel_need(&in, need);
}

int vmb_channel_init(void *mem, size_t bytes, const struct vmb_channel_config *cfg, struct vmb_channel **ch)
{
	struct vmb_channel_config in;
	int r;

	if (!mem || !cfg || !ch)
		return VMB_EINVAL;
	r = vmbi_struct_in(&in, sizeof in, cfg, sizeof in);
	if (!r)
		r = vmbi_channel_make(mem, bytes, &in, 0, ch);
	if (!r)
		(*ch)->owned = 0;
	return r;
}

int vmbi_channel_break(struct vmb_channel *ch)
{
	VMBI_FETCH_OR32(&ch->state, VMBI_CHANNEL_BROKEN);
	return VMB_EPEER;
}

void vmbi_channel_stop(struct vmb_channel *ch)
{
	VMBI_FETCH_OR32(&ch->state, VMBI_CHANNEL_STOPPED);
}

int vmb_channel_stop(struct vmb_channel *ch)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC)
		return VMB_EINVAL;
	vmbi_channel_stop(ch);
	return 0;
}

/*
 * Leave the rings as the cursors say: without this, packets that recv has delivered would come again, and requests that the
 * table knows would never have been sent.
 */
static void channel_settle(struct vmb_channel *ch)
{
	int sent = vmb_tx_commit(&ch->tx), freed = vmb_rx_release(&ch->rx);

	if (sent < 0 || freed < 0)
		vmbi_channel_break(ch);
	if (((sent > 0 && sent & VMB_SIGNAL) || (freed > 0 && freed & VMB_SIGNAL)) && ch->signal)
		ch->signal(ch->ctx);
}

static void channel_end(struct vmb_channel *ch, struct vmb_cursor *tx, struct vmb_cursor *rx)
{
	vmbi_channel_inspect(ch, ch->last);
	vmb_tx_end(&ch->tx, tx);
	vmb_rx_end(&ch->rx, rx);
	VMBI_FETCH_OR32(&ch->state, VMBI_CHANNEL_ENDED);
}

void vmbi_channel_cursors(struct vmb_channel *ch, struct vmb_cursor *tx, struct vmb_cursor *rx)
{
	if (!VMBI_LOAD32_ACQUIRE(&ch->state))
		channel_settle(ch);
	channel_end(ch, tx, rx);
}

int vmbi_channel_where(const struct vmb_channel *ch, struct vmb_cursor *tx, struct vmb_cursor *rx)
{
	return vmbi_tx_where(&ch->tx, tx) & vmbi_rx_where(&ch->rx, rx);
}

int vmb_channel_end(struct vmb_channel *ch, struct vmb_cursor *tx_at, struct vmb_cursor *rx_at)
{
	uint32_t state;

	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC)
		return VMB_EINVAL;
	state = VMBI_LOAD32_ACQUIRE(&ch->state);
	if (ch->owned || state & VMBI_CHANNEL_ENDED)
		return VMB_ESTATE;
	/* Stopped or not: who asked for it may want to go on elsewhere. */
	if (!(state & VMBI_CHANNEL_BROKEN))
		channel_settle(ch);
	channel_end(ch, tx_at, rx_at);
	return 0;
}
