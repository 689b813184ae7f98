/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Everything that sends into a ring, and what looks at a whole channel: making it, its information, its end. Out and the mask
 * are loaded as often as something is decided by them:
 *   Out to see whether a packet fits (ring.md 8.2, P1), after a publication, with the mask, to see whether to signal (8.2, P3), and after the
 *   pending size was stored, to see whether it fits by now (8.4, P4). While a channel waits for room: whether it still must.
 * Own words are loaded by vmb_channel_info and vmb_ring_inspect, which decide nothing, and once where a side is made without a
 * cursor (12).
 */
#include "cases.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES = 2, SIZE = PAGES * 4096 };

static struct vmb_channel *ch;
static struct vmb_tx *tx;
static void *storage;
static size_t storage_bytes;
static struct vmb_channel_config config;
static uint8_t payload[SIZE];
static const char *moment; /* for the report */

static void set_up(uint32_t at, uint32_t flags)
{
	struct vmb_storage need;

	memset(cases_tx->control, 0, VMB_PAGE);
	memset(cases_rx->control, 0, VMB_PAGE);
	rig_set(cases_tx, RIG_IN, at);
	rig_set(cases_tx, RIG_OUT, at);
	memset(&config, 0, sizeof config);
	config.size = sizeof config;
	config.requests = 4;
	config.flags = flags;
	config.tx = cases_tx->mem;
	config.rx = cases_rx->mem;
	if (vmb_channel_storage(&config, &need))
		abort();
	free(storage);
	storage_bytes = need.bytes;
	storage = aligned_alloc(need.align, need.bytes);
	if (!storage || vmb_channel_init(storage, storage_bytes, &config, &ch) || vmb_channel_tx(ch, &tx))
		abort();
}

#define TRACED(call, result, want) \
	do { \
		int traced_r; \
		const char *traced_bad; \
		trace_begin(); \
		traced_r = (call); \
		trace_end(); \
		traced_bad = cases_judge(want); \
		cases_result(!traced_bad, "%s, %s, memory %u: %s", #call, moment, cases_tx->kind, traced_bad); \
		cases_result(traced_r == (result), "%s, %s: result %d", #call, moment, traced_r); \
	} while (0)

static void halves(uint32_t at)
{
	static const uint64_t words[] = { VMB_RANGE(6000, 8), 100, 101 };
	struct vmb_packet p = rig_packet(payload, 8), big = rig_packet(payload, 5000), list = rig_packet(payload, 21);
	struct vmb_span parts[2] = { { payload, 1000 }, { payload, 234 } };
	struct vmb_ring_info info;
	struct vmb_view v;

	list.kind = VMB_PKT_GPA;
	list.list = (struct vmb_list){ words, 3, 1 };
	moment = "room not known";
	set_up(at, 0);
	TRACED(vmb_tx_put(tx, &p), 0, "O1");
	moment = "room known";
	TRACED(vmb_tx_put(tx, &p), 0, "");
	TRACED(vmb_tx_put(tx, &list), 0, "");
	TRACED(vmb_tx_reserve(tx, &p, &v), 0, "");
	TRACED(vmb_tx_copy(tx, &v, 0, payload, 8), 0, "");
	p.len = 1234;
	TRACED(vmb_tx_putv(tx, &p, parts, 2), 0, "");
	TRACED(vmb_tx_commit(tx), VMB_SIGNAL, "O1M1");
	TRACED(vmb_tx_commit(tx), 0, "");
	moment = "much is in the ring";
	TRACED(vmb_tx_put(tx, &big), 0, "");
	TRACED(vmb_tx_discard(tx), 0, "");
	TRACED(vmb_tx_put(tx, &big), 0, "O1");
	TRACED(vmb_tx_commit(tx), 0, "O1M1");
	TRACED(vmb_tx_put(tx, &big), VMB_EFULL, "O1");
	TRACED(vmb_tx_arm(tx, &big, 0), 0, "O1");
	TRACED(vmb_tx_arm(tx, &p, 0), VMB_YES, "O1");
	TRACED(vmb_ring_inspect(&cases_tx->mem, &info), 0, "i1O1M1p1f1");
}

static void channel(uint32_t at)
{
	struct vmb_packet p = rig_packet(payload, 8), big = rig_packet(payload, 5000), q = rig_packet(payload, 16);
	struct vmb_record records[3] = { { .kind = 6, .len = 8 }, { .kind = 6, .len = 40 }, { .kind = 6, .len = 3 } };
	uint32_t held;

	q.flags = VMB_PKT_WANTS_REPLY;
	moment = "room not known";
	set_up(at, 0);
	TRACED(vmb_channel_put(ch, &p), 0, "O1");
	moment = "room known";
	TRACED(vmb_channel_put(ch, &q), 0, "");
	TRACED(vmb_channel_flush(ch), 0, "O1M1");
	TRACED(vmb_channel_send(ch, &p), 0, "O1M1");
	TRACED(vmb_channel_send_batch(ch, payload, 64, records, 3), 3, "O1M1");
	TRACED(vmb_channel_send(ch, &big), 0, "O1M1");
	moment = "full, something queued";
	TRACED(vmb_channel_put(ch, &p), 0, "");
	TRACED(vmb_channel_put(ch, &big), VMB_EFULL, "O3M1"); /* does not fit; publish; arm */
	moment = "full";
	TRACED(vmb_channel_put(ch, &p), VMB_EFULL, "O1"); /* still waiting */
	held = rig_word(cases_tx, RIG_IN);
	rig_set(cases_tx, RIG_OUT, held);
	TRACED(vmb_channel_put(ch, &big), 0, "O2"); /* no longer; fits */
	TRACED(vmb_channel_cancel(ch, q.id, NULL), 0, "");
	moment = "pipe";
	set_up(at, VMB_CHANNEL_PIPE);
	TRACED(vmb_channel_put(ch, &p), 0, "O1");
	TRACED(vmb_channel_put(ch, &p), 0, "");
	moment = "full, polled";
	set_up(at, VMB_CHANNEL_POLLED);
	TRACED(vmb_channel_send(ch, &big), 0, "O2M1");
	TRACED(vmb_channel_put(ch, &big), VMB_EFULL, "O1");
}

static void whole(uint32_t at)
{
	struct vmb_channel_info info = { .size = sizeof info };
	struct vmb_packet p = rig_packet(payload, 8);
	struct vmb_cursor to, from;
	struct vmb_view v;
	struct vmb_rx *rx;

	moment = "a channel in use";
	set_up(at, 0);
	TRACED(vmb_channel_info(ch, &info), 0, "i1O1M1p1f1I1o1m1P1F1");
	rig_set_qword(cases_rx, 0, 6 | 2 << 16 | (uint64_t)2 << 32);
	rig_set(cases_rx, RIG_IN, 24);
	if (vmb_channel_rx(ch, &rx) || vmb_rx_next(rx, &p, &v) != VMB_YES)
		abort();
	p = rig_packet(payload, 8);
	TRACED(vmb_channel_put(ch, &p), 0, "O1");
	TRACED(vmb_channel_end(ch, &to, &from), 0, "i1O2M2p1f1I1o1m1P2F1"); /* flush, release, the last information */
	moment = "made again";
	TRACED(vmb_channel_init(storage, storage_bytes, &config, &ch), 0, "i1O1o1I1");
	config.tx_at = to;
	config.rx_at = from;
	TRACED(vmb_channel_init(storage, storage_bytes, &config, &ch), 0, "O1I1");
	config.tx_at.valid = config.rx_at.valid = 0;
	config.tx.flags |= VMB_RING_FRESH;
	config.rx.flags |= VMB_RING_FRESH;
	cases_clears = 1;
	TRACED(vmb_channel_init(storage, storage_bytes, &config, &ch), 0, "i1O1o1I1");
	cases_clears = 0;
}

void cases_send(void)
{
	static const uint32_t places[] = { 0, 0x100, SIZE - 8, SIZE - 16, SIZE - 24, 0xff8 };

	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		cases_tx = rig_new(kind, PAGES);
		cases_rx = rig_new(kind, 1);
		cases_watch();
		for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
			halves(places[i]);
			channel(places[i]);
			whole(places[i]);
		}
		rig_free(cases_tx);
		rig_free(cases_rx);
	}
	free(storage);
	storage = NULL;
}
