/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Everything that receives from a ring: each kind of packet, wherever it begins, in each kind of memory, by each call. Each is
 * done twice: the second time every byte of data is destroyed behind the access that loaded it, and the result must be the
 * same.
 *
 * In and the pending size may be loaded more than once in one call, but only as often as it decides something by them:
 *   In to look for a packet (ring.md 8.3), once more after signals were asked for (10.3, C5), for the room decision after Out
 *   moved (10.1, C4), and for each packet that is passed over, to look for the next. The room decision and the last look before
 *   sleeping are one load.
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES = 2, SIZE = PAGES * 4096, BIG = 5000, BUF = 8192, RECORDS = 4 };

enum packet {
	NOTHING, EMPTY_INBAND, SMALL_INBAND, ODD_INBAND, BIG_INBAND, MATCHED, UNMATCHED, GPA_ONE, GPA_THREE, XFER, PIPE, PIPE_EMPTY,
	UNKNOWN_KIND, /* delivered where the ring is loose */
	/* violations */
	BAD_KIND, BAD_FLAGS, BAD_LENGTH, BAD_HEADER, BAD_COUNT, BAD_RANGE, BAD_WINDOW, BAD_PIPE, PACKETS
};

static const char *const packet_names[PACKETS] = {
	"nothing", "in-band 0", "in-band 8", "in-band 100", "in-band 5000", "completion", "unmatched completion", "GPA direct 1",
	"GPA direct 3", "transfer pages", "pipe", "empty pipe", "unknown kind", "bad kind", "bad flags", "bad length", "bad header",
	"bad count", "bad range", "bad window", "bad pipe"
};

enum call { RX_NEXT, RX_GET, RX_COPY, RX_PARTS, RECV, RECV_SMALL, SKIP, NEXT, BATCH_ONE, BATCH, RECV_ROOM, RELEASE, SLEEP, CALLS };

static const char *const call_names[CALLS] = {
	"vmb_rx_next", "vmb_rx_get", "vmb_rx_copy", "vmb_rx_copy in parts", "vmb_channel_recv", "vmb_channel_recv, buffer too small",
	"vmb_channel_skip", "vmb_channel_next", "vmb_channel_recv_batch of 1", "vmb_channel_recv_batch",
	"vmb_channel_recv, peer waits for room", "vmb_channel_release", "vmb_rx_sleep"
};

static struct vmb_channel *ch;
static struct vmb_rx *rx;
static void *storage;
static uint64_t request;    /* an id that was sent */
static uint8_t image[SIZE]; /* the data as the peer left it */

/* What a call gave. */
struct outcome {
	int result;
	struct vmb_packet p;
	struct vmb_view all;
	struct vmb_record records[RECORDS];
	uint64_t buf[BUF / 8];
};

static struct outcome out, before;

/* ---- what the peer lays into the ring */

static uint32_t lay(uint32_t at, uint64_t first, uint64_t id, const uint64_t *head, uint32_t words, uint32_t payload)
{
	struct rig *r = cases_rx;

	rig_set_qword(r, at, first);
	rig_set_qword(r, at + 8, id);
	for (uint32_t i = 0; i < words; i++)
		rig_set_qword(r, at + 16 + 8 * i, head[i]);
	for (uint32_t i = 0; i < payload / 8; i++)
		rig_set_qword(r, at + 16 + 8 * words + 8 * i, (uint64_t)i * 0x0101010101 + 0x8000000000000001);
	rig_set_qword(r, at + 16 + 8 * words + payload, (uint64_t)at << 32);
	return at + 24 + 8 * words + payload;
}

#define FIRST(kind, words, payload, flags) \
	((uint64_t)(kind) | (uint64_t)(2 + (words)) << 16 | (uint64_t)(2 + (words) + (payload) / 8) << 32 | (uint64_t)(flags) << 48)

/* Lay the packet at `at`; where it ends. */
static uint32_t lay_packet(enum packet what, uint32_t at)
{
	uint64_t gpa[9] = { (uint64_t)1 << 32, VMB_RANGE(6000, 8), 100, 101 };
	uint64_t three[10] = { (uint64_t)3 << 32, VMB_RANGE(100, 0), 7, VMB_RANGE(8, 4092), 8, 9, VMB_RANGE(4096, 0), 10 };
	uint64_t windows[4] = { (uint64_t)3 << 32 | 0xcafe, VMB_RANGE(16, 0), VMB_RANGE(8, 100), VMB_RANGE(1, 7) };
	uint64_t pipe[1] = { (uint64_t)5 << 32 | 1 };

	switch (what) {
	case NOTHING: return at;
	case EMPTY_INBAND: return lay(at, FIRST(6, 0, 0, 1), 77, NULL, 0, 0);
	case SMALL_INBAND: return lay(at, FIRST(6, 0, 8, 0), 77, NULL, 0, 8);
	case ODD_INBAND: return lay(at, FIRST(6, 0, 104, 1), 77, NULL, 0, 104);
	case BIG_INBAND: return lay(at, FIRST(6, 0, BIG, 0), 77, NULL, 0, BIG);
	case MATCHED: return lay(at, FIRST(11, 0, 16, 0), request, NULL, 0, 16);
	case UNMATCHED: return lay(at, FIRST(11, 0, 16, 0), 0x123456789abcdef, NULL, 0, 16);
	case GPA_ONE: return lay(at, FIRST(9, 4, 16, 1), 78, gpa, 4, 16);
	case GPA_THREE: return lay(at, FIRST(9, 8, 8, 1), 78, three, 8, 8);
	case XFER: return lay(at, FIRST(7, 4, 24, 1), 79, windows, 4, 24);
	case PIPE: return lay(at, FIRST(6, 0, 16, 0), 0, pipe, 1, 8);
	case PIPE_EMPTY:
		pipe[0] = 1;
		return lay(at, FIRST(6, 0, 8, 0), 0, pipe, 1, 0);
	case UNKNOWN_KIND: case BAD_KIND: return lay(at, FIRST(10, 0, 16, 0), 77, NULL, 0, 16);
	case BAD_FLAGS: return lay(at, FIRST(6, 0, 16, 4), 77, NULL, 0, 16);
	case BAD_LENGTH: return lay(at, FIRST(6, 0, 24, 0), 77, NULL, 0, 16);
	case BAD_HEADER: return lay(at, FIRST(6, 0, 16, 0) + ((uint64_t)3 << 16), 77, NULL, 0, 16);
	case BAD_COUNT:
		gpa[0] = (uint64_t)9 << 32;
		return lay(at, FIRST(9, 4, 16, 1), 78, gpa, 4, 16);
	case BAD_RANGE:
		gpa[1] = VMB_RANGE(9000, 8);
		return lay(at, FIRST(9, 4, 16, 1), 78, gpa, 4, 16);
	case BAD_WINDOW:
		windows[2] = VMB_RANGE(0, 8);
		return lay(at, FIRST(7, 4, 24, 1), 79, windows, 4, 24);
	default:
		pipe[0] = (uint64_t)9 << 32 | 1;
		return lay(at, FIRST(6, 0, 16, 0), 0, pipe, 1, 8);
	}
}

static int is_pipe(enum packet what)
{
	return what == PIPE || what == PIPE_EMPTY || what == BAD_PIPE;
}

static int is_bad(enum packet what)
{
	return what >= BAD_KIND;
}

/* Is it the ring alone that sees that it is bad? Else one who looks at lists or pipe headers does. */
static int is_bad_for_ring(enum packet what)
{
	return is_bad(what) && what < BAD_RANGE;
}

/* ---- one scene */

static void make(enum packet what)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 4, .tx = cases_tx->mem, .rx = cases_rx->mem };
	struct vmb_packet p = rig_packet("question", 8);
	struct vmb_storage need;

	cfg.flags = is_pipe(what) ? VMB_CHANNEL_PIPE : what == UNKNOWN_KIND ? VMB_CHANNEL_LOOSE : 0;
	cases_result(!vmb_channel_storage(&cfg, &need), "vmb_channel_storage");
	free(storage);
	storage = aligned_alloc(need.align, need.bytes);
	if (!storage || vmb_channel_init(storage, need.bytes, &cfg, &ch) || vmb_channel_rx(ch, &rx))
		abort();
	p.flags = VMB_PKT_WANTS_REPLY;
	if (vmb_channel_send(ch, &p))
		abort();
	request = p.id;
}

static void set_up(enum packet what, uint32_t at)
{
	memset(cases_tx->control, 0, VMB_PAGE);
	memset(cases_rx->control, 0, VMB_PAGE);
	memset(cases_rx->data, 0xcc, SIZE);
	rig_set(cases_rx, RIG_IN, at);
	rig_set(cases_rx, RIG_OUT, at);
	make(what);
	rig_set(cases_rx, RIG_IN, lay_packet(what, at) % SIZE);
	memcpy(image, cases_rx->data, SIZE);
	memset(&out, 0, sizeof out);
}

/* What comes before the call in question. 0: there is nothing to call. */
static int prepare(enum call call)
{
	switch (call) {
	case RX_COPY: case RX_PARTS: case RELEASE: case SLEEP:
		return vmb_rx_next(rx, &out.p, &out.all) == VMB_YES;
	case SKIP:
		return vmb_channel_recv(ch, NULL, 0, &out.p) == VMB_ETOOSMALL;
	case RECV_ROOM:
		rig_set(cases_rx, RIG_PENDING, SIZE - 8);
		return 1;
	default:
		return 1;
	}
}

static int copy_parts(void)
{
	for (uint32_t at = 0, n; at < out.all.len; at += n) {
		n = out.all.len - at < 24 ? out.all.len - at : 24;
		if (vmb_rx_copy(rx, &out.all, at, (uint8_t *)out.buf + at, n))
			return -1;
	}
	return 0;
}

static int call_it(enum call call)
{
	switch (call) {
	case RX_NEXT: return vmb_rx_next(rx, &out.p, &out.all);
	case RX_GET: return vmb_rx_get(rx, out.buf, sizeof out.buf, &out.p);
	case RX_COPY: return vmb_rx_copy(rx, &out.all, 0, out.buf, out.all.len);
	case RX_PARTS: return copy_parts();
	case RECV: case RECV_ROOM: return vmb_channel_recv(ch, out.buf, sizeof out.buf, &out.p);
	case RECV_SMALL: return vmb_channel_recv(ch, out.buf, 0, &out.p);
	case SKIP: return vmb_channel_skip(ch);
	case NEXT: return vmb_channel_next(ch, &out.p, &out.all);
	case BATCH_ONE: return vmb_channel_recv_batch(ch, (uint8_t *)out.buf, sizeof out.buf, out.records, 1);
	case BATCH: return vmb_channel_recv_batch(ch, (uint8_t *)out.buf, sizeof out.buf, out.records, RECORDS);
	case RELEASE: return vmb_rx_release(rx);
	default: return vmb_rx_sleep(rx);
	}
}

/* How often the call may load In and the pending size. */
static const char *want(enum call call, enum packet what)
{
	int big = what == BIG_INBAND;

	if (call == RX_COPY || call == RX_PARTS)
		return "";
	if (call == RELEASE)
		return "P1";
	if (call == SLEEP)
		return "P1I1";
	if (call == SKIP)
		return big ? "P1" : ""; /* a quarter of the ring is due */
	if (call == RX_NEXT || call == RX_GET)
		return "I1";
	if (what == NOTHING)
		return "I2P1"; /* look, sleep: 10.3 */
	if (is_bad(what) && !(call == NEXT && (what == BAD_RANGE || what == BAD_WINDOW)))
		return "I1";
	if (what == UNMATCHED)
		return "I3P1"; /* look, pass over, look, sleep */
	switch (call) {
	case BATCH_ONE: return "I1P1";
	case BATCH: return "I2P1"; /* look, take, look for more; release */
	case RECV: return big ? "I1P1" : "I1";
	case RECV_ROOM: return big ? "I2P1" : "I1"; /* look; room: C4 */
	default: return "I1";
	}
}

static int want_result(enum call call, enum packet what)
{
	if (call == RX_COPY || call == RX_PARTS || call == RELEASE || call == SKIP)
		return 0;
	if (call == SLEEP)
		return 0;
	if (call == RX_NEXT || call == RX_GET ? is_bad_for_ring(what) : is_bad(what) && !(call == NEXT && (what == BAD_RANGE || what == BAD_WINDOW)))
		return VMB_EPEER;
	if (what == NOTHING || (what == UNMATCHED && call != RX_NEXT && call != RX_GET))
		return 0;
	if (call == RECV_SMALL && what != EMPTY_INBAND && what != PIPE_EMPTY)
		return VMB_ETOOSMALL;
	return VMB_YES;
}

static unsigned destroyed; /* entries of the log */

/* The peer destroys what has been loaded up to now. */
static void destroy(void)
{
	for (; destroyed + 1 < trace_count; destroyed++) {
		const struct trace_access *a = &trace_log[destroyed];
		uint32_t place = cases_place(cases_rx, a->at);

		for (uint32_t i = 0; a->kind == TRACE_LOAD && place >= VMB_PAGE && place != UINT32_MAX && i < a->bytes; i++)
			cases_rx->data[(place - VMB_PAGE + i) % SIZE] ^= 0xff;
	}
}

static void scene(enum call call, enum packet what, uint32_t at)
{
	const char *bad;

	for (unsigned round = 0; round < 2; round++) {
		set_up(what, at);
		if (!prepare(call))
			return;
		trace_before = round ? destroy : NULL;
		destroyed = 0;
		trace_begin();
		out.result = call_it(call);
		trace_end();
		trace_before = NULL;
		bad = cases_judge(want(call, what));
		if (bad)
			break;
		if (round)
			bad = memcmp(&out, &before, sizeof out) ? "another result when what was loaded changes" : NULL;
		else if (out.result != want_result(call, what))
			bad = "not the result that it should have";
		else if (memcmp(image, cases_rx->data, SIZE))
			bad = "data was written";
		before = out;
	}
	cases_result(!bad, "%s, %s at 0x%x, memory %u: %s (result %d)", call_names[call], packet_names[what], at, cases_rx->kind, bad,
		     out.result);
}

void cases_receive(void)
{
	static const uint32_t places[] = { 0x100, SIZE - 8, SIZE - 16, SIZE - 24, SIZE - 40, 0xff8, 0xff0, 0xfd8 };

	cases_tx = rig_new(RIG_ONCE, 1);
	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		cases_rx = rig_new(kind, PAGES);
		cases_watch();
		for (unsigned i = 0; i < sizeof places / sizeof *places; i++)
			for (enum packet what = NOTHING; what < PACKETS; what++)
				for (enum call call = RX_NEXT; call < CALLS; call++)
					scene(call, what, places[i]);
		rig_free(cases_rx);
	}
	rig_free(cases_tx);
	free(storage);
	storage = NULL;
}
