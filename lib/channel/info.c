/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A channel seen from outside, by any thread, beside its owner: counters, control pages, and the log of ring pages written.
 * ring.md 12 */
#include "channel.h"

static void channel_ring(const struct vmbi_ring *r, struct vmb_ring_info *info)
{
	struct vmb_ring_mem mem = { .control = r->control, .data = r->data, .data_pages = r->size / VMB_PAGE };

	if (!r->data)
		mem.pages = (void *const *)(void *)r->pages;
	(void)vmb_ring_inspect(&mem, info);
}

void vmbi_channel_inspect(const struct vmb_channel *ch, struct vmb_ring_info info[2])
{
	channel_ring(&ch->tx.ring, &info[0]);
	channel_ring(&ch->rx.ring, &info[1]);
}

/* Why: what was received comes first, it is where nearly all violations are. */
static void channel_reason(const struct vmb_channel *ch, struct vmb_channel_info *info)
{
	const struct vmbi_stick *stick = &ch->rx.stick;

	info->reason = VMBI_LOAD32_ACQUIRE(&stick->reason);
	if (!info->reason) {
		stick = &ch->tx.stick;
		info->reason = VMBI_LOAD32_ACQUIRE(&stick->reason);
	}
	info->reason_at = info->reason ? VMBI_LOAD32_RELAXED(&stick->at) : 0;
}

static void channel_signals(const struct vmbi_signals *s, struct vmb_channel_info *info)
{
	info->signals_in = VMBI_LOAD32_RELAXED(&s->arrived);
	info->signals_in_needless = vmbi_signals_needless(s);
	info->signals_out_needless = VMBI_LOAD32_RELAXED(&s->extra);
	info->over_in = VMBI_LOAD32_RELAXED(&s->in.over);
	info->over_out = VMBI_LOAD32_RELAXED(&s->out.over);
	info->over = (info->over_in ? VMB_OVER_IN : 0) | (info->over_out ? VMB_OVER_OUT : 0);
}

int vmb_channel_info(const struct vmb_channel *ch, struct vmb_channel_info *out)
{
	struct vmb_channel_info info = { .size = sizeof info };
	struct vmb_ring_info rings[2];
	uint32_t state;

	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC || !out)
		return VMB_EINVAL;
	state = VMBI_LOAD32_ACQUIRE(&ch->state);
	if (state & (VMBI_CHANNEL_STOPPED | VMBI_CHANNEL_BROKEN))
		info.error = vmbi_channel_refusal(state & ~VMBI_CHANNEL_ENDED);
	if (state & VMBI_CHANNEL_ENDED) {
		info.tx = ch->last[0];
		info.rx = ch->last[1];
	} else {
		vmbi_channel_inspect(ch, rings);
		info.tx = rings[0];
		info.rx = rings[1];
	}
	channel_reason(ch, &info);
	vmbi_requests_count(&ch->requests, &info.requests, &info.zombies);
	info.sent = VMBI_READ64(&ch->tx.packets);
	info.received = VMBI_READ64(&ch->rx.packets);
	info.signals_data = VMBI_READ64(&ch->tx.signals);
	info.signals_room = VMBI_READ64(&ch->rx.signals);
	info.full = VMBI_READ64(&ch->tx.full);
	info.unmatched = VMBI_READ64(&ch->unmatched);
	info.masked = VMBI_READ64(&ch->tx.masked);
	info.bytes_sent = VMBI_READ64(&ch->tx.bytes);
	info.bytes_received = VMBI_READ64(&ch->rx.bytes);
	info.requests_sent = VMBI_READ64(&ch->requests.sent);
	info.cancelled = VMBI_LOAD32_RELAXED(&ch->requests.zombies);
	info.late = VMBI_LOAD32_RELAXED(&ch->requests.buried);
	channel_signals(&ch->signals, &info);
	return vmbi_struct_out(out, &info, sizeof info, offsetof(struct vmb_channel_info, bytes_sent));
}

int vmb_channel_dirty(struct vmb_channel *ch, uint64_t *bits, uint32_t words)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC || !bits)
		return VMB_EINVAL;
	if (!ch->dirty)
		return VMB_ESTATE;
	if (words < (ch->dirty_words + 1) / 2)
		return VMB_ETOOSMALL;
	for (uint32_t i = 0; i < ch->dirty_words; i++)
		if (VMBI_LOAD32_RELAXED(&ch->dirty[i])) /* most are clean: no write to a line of the device's thread */
			bits[i / 2] |= (uint64_t)VMBI_EXCHANGE32(&ch->dirty[i], 0u) << (i % 2 ? 32 : 0);
	return 0;
}

int vmb_channel_tx(struct vmb_channel *ch, struct vmb_tx **tx)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC || !tx)
		return VMB_EINVAL;
	*tx = &ch->tx;
	return 0;
}

int vmb_channel_rx(struct vmb_channel *ch, struct vmb_rx **rx)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC || !rx)
		return VMB_EINVAL;
	*rx = &ch->rx;
	return 0;
}
