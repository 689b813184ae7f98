/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Who uses a channel while its peer is hostile. See peer.h. */
#include "peer.h"

#include <stdlib.h>
#include <string.h>

#include "test/ring/rig.h"

enum { BUF = 24576 };

static uint8_t payload[8192];

static void wrong(struct use *u, const char *what, int r)
{
	if (u->bad)
		return;
	u->bad = what;
	u->bad_result = r;
}

static uint32_t dice(struct use *u)
{
	return rig_random(&u->state);
}

/* The last n bytes before memory ends, beginning at a multiple of 8. */
static uint8_t *tail(struct use *u, uint32_t n)
{
	return u->buf.at + u->buf.bytes - ((n + 7) & ~7u);
}

/* ---- what was received is one consistent packet, in our memory, whatever the ring says by now */

static void check_list(struct use *u, const struct vmb_packet *p, const uint8_t *buf)
{
	static const uint64_t set_words[] = { VMB_RANGE(3 * 4096, 0), 0, 1, 2 };
	static uint8_t other[BUF];
	const struct vmb_list set = { set_words, 4, 1 };
	uint64_t bytes = vmb_packet_bytes(p), sum;
	struct vmb_list again;
	uint32_t n;
	int r;

	u->lists++;
	if ((const uint8_t *)p->list.words != buf + 8 || p->list.count > p->head_len / 8 - 1 || !p->list.ranges)
		wrong(u, "a list is not in the buffer", 0);
	if (p->kind == VMB_PKT_GPA && (vmb_list_check(p->list.words, p->list.count, p->list.ranges, &again, &sum) ||
				       again.count != p->list.count || sum != bytes))
		wrong(u, "a list that was checked is none", 0);
	if (!bytes)
		wrong(u, "a list of no bytes", 0);
	n = bytes < sizeof other ? (uint32_t)bytes : (uint32_t)sizeof other;
	r = vmb_packet_read(p, &set, u->mapper, bytes - n, other + sizeof other - n, n);
	if (r && r != VMB_EMAP && !(r == VMB_EINVAL && p->kind == VMB_PKT_XFER))
		wrong(u, "vmb_packet_read", r);
	r = vmb_packet_write(p, &set, u->mapper, 0, payload, n < 64 ? n : 64);
	if (r && r != VMB_EMAP && !(r == VMB_EINVAL && p->kind == VMB_PKT_XFER))
		wrong(u, "vmb_packet_write", r);
	r = vmb_packet_compare(p, &set, u->mapper, 0, other, n);
	if (r && r != VMB_YES && r != VMB_EMAP && !(r == VMB_EINVAL && p->kind == VMB_PKT_XFER))
		wrong(u, "vmb_packet_compare", r);
	r = vmb_packet_read(p, &set, u->mapper, bytes, other, 1);
	if (r != VMB_EINVAL)
		wrong(u, "a read beyond the list", r);
}

static void check_completion(struct use *u, uint64_t user, uint64_t id, uint32_t flags)
{
	u->completed++;
	u->late += (flags & VMB_PKT_LATE) != 0;
	if (!u->requests)
		return;
	if (user >= PEER_REQUESTS || !u->request[user].busy || u->request[user].id != id)
		wrong(u, "a completion of no request", (int)user);
	else if (!!(flags & VMB_PKT_LATE) != u->request[user].cancelled)
		wrong(u, "a completion is late or not, wrongly", (int)user);
	else
		u->request[user].busy = 0;
}

static void check_header(struct use *u, uint32_t kind, uint32_t flags, uint32_t head)
{
	int listed = kind == VMB_PKT_GPA || kind == VMB_PKT_XFER;

	if (kind != VMB_PKT_INBAND && kind != VMB_PKT_COMPLETION && !listed)
		wrong(u, "an unknown kind", (int)kind);
	if (flags & ~(uint32_t)(VMB_PKT_WANTS_REPLY | (kind == VMB_PKT_COMPLETION ? VMB_PKT_LATE : 0)))
		wrong(u, "unknown flags", (int)flags);
	if (listed && head < 16)
		wrong(u, "a list without words", (int)head);
}

static int receive(struct use *u)
{
	uint32_t bytes = dice(u) % 4 ? BUF : dice(u) % 300 & ~7u;
	uint8_t *buf = tail(u, bytes);
	struct vmb_packet p;
	int r = vmb_channel_recv(u->ch, buf, bytes, &p);

	if (r == VMB_ETOOSMALL) {
		if (p.head_len + p.len <= bytes)
			wrong(u, "it would have fitted", r);
		if (dice(u) & 1)
			return 0;
		u->skipped = 1; /* by now it may be the completion of any request */
		return vmb_channel_skip(u->ch);
	}
	if (r != VMB_YES)
		return r;
	u->received++;
	if ((uint64_t)p.head_len + p.len > bytes || p.head_len % 8 || p.payload != buf + p.head_len)
		wrong(u, "a packet beyond the buffer", (int)p.len);
	check_header(u, p.kind, p.flags, p.head_len);
	if (p.kind == VMB_PKT_COMPLETION)
		check_completion(u, p.user, p.id, p.flags);
	else if (p.kind != VMB_PKT_INBAND)
		check_list(u, &p, buf);
	return 0;
}

static int receive_batch(struct use *u)
{
	struct vmb_record rec[5];
	uint32_t bytes = 2048, end = 0;
	uint8_t *buf = tail(u, bytes);
	int r = vmb_channel_recv_batch(u->ch, buf, bytes, rec, 5);

	if (r == VMB_ETOOSMALL) {
		if (rec[0].head_len + rec[0].len <= bytes)
			wrong(u, "it would have fitted", r);
		return 0;
	}
	for (int i = 0; i < r && i < 5; i++) {
		u->received++;
		if (rec[i].offset % 8 || rec[i].offset < end || (uint64_t)rec[i].offset + rec[i].head_len + rec[i].len > bytes)
			wrong(u, "a record beyond the buffer", i);
		end = rec[i].offset + rec[i].head_len + rec[i].len;
		check_header(u, rec[i].kind, rec[i].flags, rec[i].head_len);
		if (rec[i].kind == VMB_PKT_COMPLETION)
			check_completion(u, rec[i].user, rec[i].id, rec[i].flags);
		else if (rec[i].kind == VMB_PKT_GPA) {
			struct vmb_list list;

			if (vmb_list_check((const uint64_t *)(void *)(buf + rec[i].offset + 8), rec[i].head_len / 8 - 1, rec[i].ranges, &list, NULL))
				wrong(u, "a list that was checked is none", i);
		}
	}
	return r > 0 ? 0 : r;
}

static int receive_in_place(struct use *u)
{
	struct vmb_span spans[8];
	struct vmb_packet p;
	struct vmb_view v;
	struct vmb_rx *rx;
	uint64_t sum = 0;
	int r = vmb_channel_next(u->ch, &p, &v), n;

	if (r != VMB_YES)
		return r;
	u->received++;
	(void)vmb_channel_rx(u->ch, &rx);
	check_header(u, p.kind, p.flags, p.kind == VMB_PKT_GPA || p.kind == VMB_PKT_XFER ? p.head_len : 0);
	if (p.kind == VMB_PKT_COMPLETION)
		check_completion(u, p.user, p.id, p.flags);
	if ((uint64_t)p.head_len + p.len != v.len || v.len > u->peer->from.size)
		wrong(u, "a view of another length", (int)v.len);
	n = vmb_rx_spans(rx, &v, 0, spans, 8);
	for (int i = 0; i < n; i++) { /* each byte is read, by us */
		for (size_t k = 0; k < spans[i].len; k++)
			(void)((volatile uint8_t *)spans[i].base)[k];
		sum += spans[i].len;
	}
	if (n < 0 || sum != v.len)
		wrong(u, "spans", n);
	if (v.len <= BUF && vmb_rx_copy(rx, &v, 0, tail(u, v.len), v.len))
		wrong(u, "vmb_rx_copy", 0);
	return dice(u) & 1 ? vmb_channel_release(u->ch) : 0;
}

/* ---- sending */

static int request(struct use *u)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .payload = payload, .len = dice(u) % 100 };
	uint64_t user = 0;
	int r;

	while (user < PEER_REQUESTS && u->request[user].busy)
		user++;
	if (user == PEER_REQUESTS || !u->requests) {
		p.flags = 0;
		return vmb_channel_send(u->ch, &p);
	}
	p.user = user;
	r = vmb_channel_put(u->ch, &p);
	if (r < 0)
		return r;
	u->request[user].busy = 1;
	u->request[user].cancelled = 0;
	u->request[user].id = p.id;
	r = vmb_channel_flush(u->ch);
	return r;
}

static int cancel(struct use *u)
{
	uint64_t user = dice(u) % PEER_REQUESTS, got = 99;
	int r;

	if (!u->request[user].busy || u->request[user].cancelled)
		return 0;
	r = vmb_channel_cancel(u->ch, u->request[user].id, &got);
	if (r == VMB_ENOENT && u->skipped)
		u->request[user].busy = 0;
	else if (r || got != user)
		wrong(u, "vmb_channel_cancel", r);
	u->request[user].cancelled = 1;
	return 0;
}

static int fill_in_place(struct use *u)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .len = dice(u) % 5000 };
	struct vmb_span spans[8];
	struct vmb_view v;
	struct vmb_tx *tx;
	int r = vmb_channel_reserve(u->ch, &p, &v), n;

	if (r < 0)
		return r;
	(void)vmb_channel_tx(u->ch, &tx);
	n = vmb_tx_spans(tx, &v, 0, spans, 8);
	for (int i = 0; i < n; i++)
		memset(spans[i].base, 0x11, spans[i].len);
	if (n < 0 || vmb_tx_copy(tx, &v, 0, payload, v.len))
		wrong(u, "filling a packet in place", n);
	return vmb_channel_flush(u->ch);
}

static int send_some(struct use *u)
{
	static const uint64_t words[] = { VMB_RANGE(5000, 1), 1, 2, VMB_RANGE(8, 4), 3 };
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = payload, .len = dice(u) % (dice(u) % 8 ? 300 : 6000) };
	struct vmb_span parts[2] = { { payload, p.len / 3 }, { payload, p.len - p.len / 3 } };
	struct vmb_record rec[3] = { { .kind = 6, .len = 100 }, { .kind = 6, .len = 5 }, { .kind = 11, .len = 0, .id = 3 } };
	int r;

	switch (dice(u) % 5) {
	case 0:
		p.kind = VMB_PKT_GPA;
		p.list = (struct vmb_list){ words, 5, 2 };
		r = vmb_channel_send(u->ch, &p);
		break;
	case 1: r = vmb_channel_putv(u->ch, &p, parts, 2); break;
	case 2: r = vmb_channel_send_batch(u->ch, payload, sizeof payload, rec, 3); break;
	case 3: r = vmb_channel_put(u->ch, &p); break;
	default: r = fill_in_place(u); break;
	}
	u->sent += r >= 0;
	return r > 0 ? 0 : r;
}

/* ---- the whole */

static void look(struct use *u)
{
	struct vmb_channel_info info = { .size = sizeof info };
	uint64_t bits[4] = { 0 };
	int r = vmb_channel_info(u->ch, &info);

	if (r || info.requests > PEER_REQUESTS || info.zombies > info.requests)
		wrong(u, "vmb_channel_info", r);
	r = vmb_channel_dirty(u->ch, bits, 4);
	if (r != (u->dirty ? 0 : VMB_ESTATE))
		wrong(u, "vmb_channel_dirty", r);
}

static int one_call(struct use *u)
{
	uint32_t d = dice(u) % 32;

	if (d < 12)
		return receive(u);
	if (d < 15)
		return receive_batch(u);
	if (d < 19)
		return receive_in_place(u);
	if (d < 20)
		return vmb_channel_release(u->ch);
	if (d < 24)
		return request(u);
	if (d < 25)
		return vmb_channel_flush(u->ch);
	if (d < 26)
		return cancel(u);
	if (d < 27)
		return look(u), 0;
	return send_some(u);
}

/* Dead is dead: for each call, for good, and with a reason. */
static void died(struct use *u)
{
	struct vmb_channel_info info = { .size = sizeof info }, later = { .size = sizeof later };

	(void)vmb_channel_info(u->ch, &info);
	if (info.error != VMB_EPEER || !info.reason || info.reason > VMB_R_PAYLOAD)
		wrong(u, "a violation without a reason", info.error);
	else
		u->deaths[info.reason]++;
	for (unsigned i = 0; i < 20; i++) {
		uint32_t d = i;
		struct vmb_packet p = { .kind = VMB_PKT_INBAND };
		struct vmb_view v;
		int r = d % 5 == 0 ? vmb_channel_recv(u->ch, u->buf.at, BUF, &p) : d % 5 == 1 ? vmb_channel_send(u->ch, &p) :
			d % 5 == 2 ? vmb_channel_next(u->ch, &p, &v) : d % 5 == 3 ? vmb_channel_flush(u->ch) : vmb_channel_release(u->ch);

		if (r != VMB_EPEER)
			wrong(u, "a call of a dead channel", r);
	}
	(void)vmb_channel_info(u->ch, &later);
	if (later.reason != info.reason || later.reason_at != info.reason_at)
		wrong(u, "the reason changes", (int)later.reason);
	peer_pause(u->peer);
	u->renew(u);
	memset(u->request, 0, sizeof u->request);
	u->skipped = 0;
	peer_go_on(u->peer);
}

static int is_documented(int r)
{
	return r == 0 || r == VMB_YES || r == VMB_EFULL || r == VMB_EAGAIN || r == VMB_ENOSLOT || r == VMB_EPEER || r == VMB_ETOOBIG ||
	       r == VMB_ESTATE;
}

void use_channel(struct use *u, unsigned long calls)
{
	if (!u->buf.at)
		guard_make(&u->buf, BUF, 1, GUARD_A5);
	for (u->calls = 0; !u->bad && u->calls < calls; u->calls++) {
		int r = one_call(u);

		if (!is_documented(r))
			wrong(u, "a result that is not documented", r);
		if (r == VMB_EPEER)
			died(u);
		if (u->calls % 16 == 0)
			peer_step(u->peer);
	}
	if (!guard_intact(&u->buf))
		wrong(u, "bytes around the buffer", 0);
	guard_free(&u->buf);
}
