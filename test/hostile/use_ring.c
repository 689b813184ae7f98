/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Who uses the halves of rings while the peer is hostile. See peer.h. */
#include "peer.h"

#include <string.h>

#include "test/ring/rig.h"

enum { BUF = 3 * 4096 };

static const uint8_t payload[8192];

static void wrong(struct use_ring *u, const char *what, int r)
{
	if (u->bad)
		return;
	u->bad = what;
	u->bad_result = r;
}

static uint32_t dice(struct use_ring *u)
{
	return rig_random(&u->state);
}

static int fill(struct use_ring *u, const struct vmb_packet *p)
{
	struct vmb_span spans[8];
	struct vmb_view v;
	int r = vmb_tx_reserve(u->tx, p, &v), n;

	if (r)
		return r;
	n = vmb_tx_spans(u->tx, &v, 0, spans, 8);
	for (int i = 0; i < n; i++)
		memset(spans[i].base, 0x22, spans[i].len);
	if (n < 0 || v.len != p->len || v.pos >= u->peer->to.size || vmb_tx_copy(u->tx, &v, 0, payload, v.len))
		wrong(u, "filling a packet in place", n);
	return 0;
}

static int produce(struct use_ring *u)
{
	static const uint64_t words[] = { VMB_RANGE(5000, 1), 1, 2, VMB_RANGE(8, 4), 3 };
	struct vmb_packet p = rig_packet(payload, dice(u) % (dice(u) % 8 ? 400 : 4000));
	struct vmb_span parts[2] = { { (void *)(uintptr_t)payload, p.len / 3 }, { (void *)(uintptr_t)payload, p.len - p.len / 3 } };
	int r;

	if (dice(u) % 3 == 0) {
		p.kind = VMB_PKT_GPA;
		p.list = (struct vmb_list){ words, 5, 2 };
	}
	switch (dice(u) % 8) {
	case 0: case 1: return vmb_tx_commit(u->tx);
	case 2: return vmb_tx_discard(u->tx);
	case 3: return vmb_tx_arm(u->tx, &p, dice(u) % 5000);
	case 4: r = vmb_tx_putv(u->tx, &p, parts, 2); break;
	case 5: r = fill(u, &p); break;
	default: r = vmb_tx_put(u->tx, &p);
	}
	u->sent += !r;
	return r;
}

/* Each byte once, by us: in place, and by a copy that ends where memory does. */
static void look_at(struct use_ring *u, const struct vmb_view *v)
{
	struct vmb_span spans[8];
	size_t sum = 0;
	int n = vmb_rx_spans(u->rx, v, 0, spans, 8);

	for (int i = 0; i < n; i++) {
		for (size_t k = 0; k < spans[i].len; k++)
			(void)((volatile uint8_t *)spans[i].base)[k];
		sum += spans[i].len;
	}
	if (n < 0 || sum != v->len)
		wrong(u, "spans", n);
	if (vmb_rx_copy(u->rx, v, 0, u->buf.at + u->buf.bytes - v->len, v->len))
		wrong(u, "vmb_rx_copy", 0);
	if (vmb_rx_copy(u->rx, v, 1, u->buf.at, v->len) != VMB_EINVAL)
		wrong(u, "a copy of more than there is", 0);
	u->copied++;
}

static int consume(struct use_ring *u)
{
	struct vmb_packet p;
	struct vmb_view v;
	int r;

	switch (dice(u) % 12) {
	case 0: case 1: return vmb_rx_release(u->rx);
	case 2: return vmb_rx_sleep(u->rx);
	case 3: return vmb_rx_rewind(u->rx);
	case 4: return vmb_rx_mask(u->rx);
	default: break;
	}
	r = vmb_rx_next(u->rx, &p, &v);
	if (r != VMB_YES)
		return r;
	u->received++;
	if (v.pos >= u->peer->from.size || v.pos % 8 || v.len > u->peer->from.size - 32 || (uint64_t)p.head_len + p.len != v.len)
		wrong(u, "a view that is none", (int)v.len);
	if ((p.kind != VMB_PKT_INBAND && p.kind != VMB_PKT_COMPLETION && p.kind != VMB_PKT_GPA && p.kind != VMB_PKT_XFER) || p.flags > 1)
		wrong(u, "an unknown kind or flag", p.kind);
	if (p.kind == VMB_PKT_GPA || p.kind == VMB_PKT_XFER) {
		if (!p.list.ranges || p.head_len != 8 + 8 * p.list.count || p.list.ranges > p.list.count / (p.kind == VMB_PKT_GPA ? 2 : 1))
			wrong(u, "more ranges than there are words", (int)p.list.ranges);
	}
	look_at(u, &v);
	return r;
}

static void check_dead(struct use_ring *u, int consumer)
{
	uint32_t at, later_at, reason = consumer ? vmb_rx_reason(u->rx, &at) : vmb_tx_reason(u->tx, &at), later;
	struct vmb_packet p = rig_packet(payload, 8);
	struct vmb_view v;

	if (!reason || reason > VMB_R_PAYLOAD)
		wrong(u, "a violation without a reason", (int)reason);
	else
		u->deaths[consumer][reason]++;
	for (unsigned i = 0; i < 6; i++) {
		int r = consumer ? i % 3 == 0 ? vmb_rx_next(u->rx, &p, &v) : i % 3 == 1 ? vmb_rx_release(u->rx) : vmb_rx_sleep(u->rx) :
				   i % 3 == 0 ? vmb_tx_put(u->tx, &p) : i % 3 == 1 ? vmb_tx_commit(u->tx) : vmb_tx_arm(u->tx, &p, 0);

		if (r != VMB_EPEER)
			wrong(u, "a call of a dead half", r);
	}
	later = consumer ? vmb_rx_reason(u->rx, &later_at) : vmb_tx_reason(u->tx, &later_at);
	if (later != reason || later_at != at)
		wrong(u, "the reason changes", (int)later);
	peer_pause(u->peer);
	u->renew(u);
	peer_go_on(u->peer);
}

void use_ring(struct use_ring *u, unsigned long calls)
{
	guard_make(&u->buf, BUF, 1, GUARD_A5);
	for (u->calls = 0; !u->bad && u->calls < calls; u->calls++) {
		int consumer = (int)(dice(u) % 2), r = consumer ? consume(u) : produce(u);
		uint32_t reason = consumer ? vmb_rx_reason(u->rx, NULL) : vmb_tx_reason(u->tx, NULL);

		if (r != VMB_EPEER && r != VMB_EFULL && (r < 0 || r > (VMB_YES | VMB_SIGNAL)))
			wrong(u, "a result that is not documented", r);
		if ((r == VMB_EPEER) != (reason != 0))
			wrong(u, "a result that does not go with the reason", r);
		if (r == VMB_EPEER)
			check_dead(u, consumer);
		if (u->calls % 16 == 0)
			peer_step(u->peer);
	}
	if (!guard_intact(&u->buf))
		wrong(u, "bytes around the buffer", 0);
	guard_free(&u->buf);
}
