/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Calls of both ends, and what their results must be. */
#include "ends.h"
#include "lib/ring/ring.h"

#include <endian.h>
#include <string.h>

struct ends ends;
uint8_t ends_used[CALL_COUNT][3][WORD_COUNT];
const struct ends_site *ends_weak;

const char *const ends_call_names[CALL_COUNT] = { "", "tx_init", "put", "commit", "arm", "discard", "tx_reason",
	"rx_init", "next", "copy", "release", "sleep", "mask", "rx_reason" };
const char *const ends_word_names[WORD_COUNT] = { "In", "Out", "Mask", "Pending", "Features", "reason", "at", "dirty" };

static _Alignas(64) uint8_t storage[2][1024];

#define PAYLOAD(total) ((total) - 24)

/* ---- the ring */

void ends_make(uint32_t kind, uint32_t pages)
{
	ends.rig = rig_new(kind, pages);
}

void ends_unmake(void)
{
	rig_free(ends.rig);
}

static void need(int ok, const char *what)
{
	if (!ok)
		walk_fail(what);
}

static void make_tx(const struct vmb_cursor *from)
{
	need(!vmb_tx_init(storage[0], sizeof storage[0], &ends.rig->mem, from, &ends.tx), "vmb_tx_init");
}

static void make_rx(const struct vmb_cursor *from)
{
	need(!vmb_rx_init(storage[1], sizeof storage[1], &ends.rig->mem, from, &ends.rx), "vmb_rx_init");
}

void ends_rest(uint32_t index, int masked)
{
	struct rig *r = ends.rig;

	memset(&ends, 0, sizeof ends);
	ends.rig = r;
	ends.pub = ends.out = index;
	for (size_t i = 0; i < sizeof ends.over / sizeof ends.over[0]; i++)
		ends.over[i] = -1;
	rig_set(r, RIG_IN, index);
	rig_set(r, RIG_OUT, index);
	rig_set(r, RIG_PENDING, 0);
	rig_set(r, RIG_MASK, (uint32_t)masked);
	make_tx(NULL);
	make_rx(&(struct vmb_cursor){ 1, index, (uint32_t)masked, 0 });
}

static enum walk_kind data_place(const struct rig *r, uintptr_t at, uint32_t *number)
{
	uintptr_t off;

	if (r->kind != RIG_LIST) {
		off = at - (uintptr_t)r->mem.data;
		*number = (uint32_t)(off % r->size / 8);
		return off < (r->kind == RIG_TWICE ? 2 : 1) * (uintptr_t)r->size ? WALK_DATA : WALK_PRIVATE;
	}
	for (uint32_t i = 0; i < r->pages; i++) {
		off = at - (uintptr_t)r->mem.pages[i];
		*number = (uint32_t)(i * VMB_PAGE + off) / 8;
		if (off < VMB_PAGE)
			return WALK_DATA;
	}
	return WALK_PRIVATE;
}

enum walk_kind ends_place(void *ctx, const void *address, uint32_t *number)
{
	uint32_t word;

	(void)ctx;
	if (rig_is_control(ends.rig, address, &word)) {
		*number = word == RIG_FEATURES ? WORD_FEATURES : word / 4;
		return WALK_CONTROL;
	}
	*number = address == &ends.dirty ? WORD_DIRTY :
		  address == &ends.tx->stick.reason || address == &ends.rx->stick.reason ? WORD_REASON :
		  address == &ends.tx->stick.at || address == &ends.rx->stick.at ? WORD_AT : WORD_COUNT;
	if (*number < WORD_COUNT)
		return WALK_CONTROL;
	return data_place(ends.rig, (uintptr_t)address, number);
}

const char *ends_all(void *ctx)
{
	(void)ctx;
	return ends.got == ends.sent ? NULL : "a packet did not come";
}

/* ---- orders */

static int site_is(enum ends_part part, uint32_t word)
{
	enum ends_call call = ends.call[walk_side()];

	if (call == CALL_NONE) /* not the library */
		return 0;
	ends_used[call][part][word] = 1;
	return ends_weak && ends_weak->call == call && ends_weak->part == part && ends_weak->word == word;
}

int ends_weaken(void *ctx, enum walk_op op, uint32_t number, int order)
{
	(void)ctx;
	if (op == WALK_FENCE)
		return site_is(PART_FENCE, ends.stored[walk_side()]) ? WALK_NOTHING : order;
	if (op != WALK_LOAD)
		ends.stored[walk_side()] = number;
	if (order == __ATOMIC_RELAXED)
		return order;
	if (op == WALK_LOAD)
		return site_is(PART_ACQUIRE, number) ? __ATOMIC_RELAXED : order;
	if (op == WALK_STORE)
		return site_is(PART_RELEASE, number) ? __ATOMIC_RELAXED : order;
	if (number == WORD_DIRTY) /* needs release; that env.h's fetch-and-or is more is for others */
		return site_is(PART_RELEASE, number) ? __ATOMIC_RELAXED : order;
	if (site_is(PART_RELEASE, number))
		return WALK_FENCE_ONLY;
	return site_is(PART_FENCE, number) ? __ATOMIC_RELEASE : order;
}

static void call(enum ends_call c)
{
	ends.call[walk_side()] = c;
	walk_call();
}

static int done(int result)
{
	need(result >= 0 || result == VMB_EFULL, "an error");
	ends.call[walk_side()] = CALL_NONE;
	return result;
}

/* ---- producer */

void ends_tx_init(const struct vmb_cursor *from)
{
	call(CALL_TX_INIT);
	make_tx(from);
	(void)done(0);
}

void ends_tx_end(struct vmb_cursor *at)
{
	(void)vmb_tx_end(ends.tx, at);
}

static void fill(uint8_t *to, uint32_t n, uint32_t packet)
{
	memset(to, (int)packet, n);
}

static int put(const struct vmb_packet *p)
{
	int r;

	call(CALL_PUT);
	r = done(vmb_tx_put(ends.tx, p));
	if (r == 0)
		ends.sent++;
	return r;
}

int ends_put(uint32_t total)
{
	uint8_t payload[4096];
	struct vmb_packet p;

	fill(payload, PAYLOAD(total), ends.sent + 1);
	p = rig_packet(payload, PAYLOAD(total));
	p.id = ends.sent + 1;
	return put(&p);
}

int ends_put_ranges(void)
{
	static const uint64_t words[4] = { VMB_RANGE(16, 0), 7, VMB_RANGE(16, 0), 8 };
	struct vmb_packet p = rig_packet(NULL, 0);

	p.kind = VMB_PKT_GPA;
	p.list = (struct vmb_list){ words, 4, 2 };
	p.id = ends.sent + 1;
	return put(&p);
}

/* What a control word held, which is little-endian. */
static uint32_t loaded(struct walk_access a)
{
	return le32toh((uint32_t)a.loaded);
}

static uint32_t stored(uint32_t number)
{
	return le32toh((uint32_t)walk_did(number).stored);
}

/* ring.md 10.1, and 10.2 P3: given what was loaded, each word once, after In was stored and mask before Out. */
static int producer_signals(uint32_t old)
{
	struct walk_access in = walk_did(WORD_IN), mask = walk_did(WORD_MASK), out = walk_did(WORD_OUT);

	need(in.stores == 1 && mask.loads == 1 && out.loads == 1, "commit does not store In, and load mask and Out, once each");
	need(mask.loaded_at > in.stored_at && out.loaded_at > in.stored_at, "mask or Out sampled before In was published");
	return mask.loaded == 0 && loaded(out) == old;
}

void ends_commit(void)
{
	uint32_t old = ends.pub;
	uint32_t message = walk_messages(WORD_IN) ? walk_messages(WORD_IN) : 1;
	int r;

	/* this publication takes back all pending sizes so far */
	ends.over[message] = ends.keeps_pending ? -1 : (int32_t)walk_messages(WORD_PENDING) - 1;
	if (ends.over[message] < 0 && !ends.keeps_pending)
		ends.over[message] = 0;
	call(CALL_COMMIT);
	r = vmb_tx_commit(ends.tx);
	ends.pub = stored(WORD_IN);
	need(r == (producer_signals(old) ? VMB_SIGNAL : 0), r == VMB_SIGNAL ? "needless signal of the producer" : "signal of the producer lost");
	(void)done(r);
	if (r == VMB_SIGNAL) {
		ends.signals[0]++;
		walk_signal();
	}
}

int ends_arm(uint32_t total, uint32_t least)
{
	struct vmb_packet p = rig_packet(NULL, PAYLOAD(total));
	uint32_t messages = walk_messages(WORD_PENDING) ? walk_messages(WORD_PENDING) : 1;
	int r;

	ends.arm_at[messages] = ends.pub;
	ends.arm_in[messages] = walk_messages(WORD_IN) ? walk_messages(WORD_IN) - 1 : 0;
	call(CALL_ARM);
	r = vmb_tx_arm(ends.tx, &p, least);
	need(walk_did(WORD_OUT).loads == 1 && walk_did(WORD_PENDING).stores >= 1, "arm does not store the pending size and load Out");
	return ends.armed = done(r);
}

void ends_discard(uint32_t packets)
{
	call(CALL_DISCARD);
	(void)done(vmb_tx_discard(ends.tx));
	ends.sent -= packets;
}

/* Before each turn of a loop: the half, but for what it counts, and our own words are all there is, with where the loop stands. */
static void producer_stands(const void *caller, uint32_t total)
{
	struct {
		uint8_t half[offsetof(struct vmb_tx, packets)];
		uint32_t sent, pub, signals, total;
		const void *caller;
	} s;

	memset(&s, 0, sizeof s);
	memcpy(s.half, ends.tx, sizeof s.half);
	s.sent = ends.sent;
	s.pub = ends.pub;
	s.signals = ends.signals[0];
	s.total = total;
	s.caller = caller;
	walk_forget(&s, sizeof s);
}

static void consumer_stands(const void *caller, uint32_t where)
{
	struct {
		uint8_t half[offsetof(struct vmb_rx, packets)];
		uint32_t got, out, signals, where;
		const void *caller;
	} s;

	memset(&s, 0, sizeof s);
	memcpy(s.half, ends.rx, sizeof s.half);
	s.got = ends.got;
	s.out = ends.out;
	s.signals = ends.signals[1];
	s.where = where;
	s.caller = caller;
	walk_forget(&s, sizeof s);
}

static void send(const void *caller, uint32_t total, uint32_t least)
{
	int r;

	do {
		producer_stands(caller, total);
		r = ends_put(total);
		if (r == VMB_EFULL && ends_arm(total, least) == 0)
			walk_wait();
	} while (r == VMB_EFULL);
	ends_commit();
	producer_stands(caller, 0);
}

void ends_send(uint32_t total, uint32_t least)
{
	send(__builtin_return_address(0), total, least);
}

/* ---- consumer */

void ends_rx_init(const struct vmb_cursor *from)
{
	call(CALL_RX_INIT);
	make_rx(from);
	(void)done(0);
}

void ends_rx_end(struct vmb_cursor *at)
{
	(void)vmb_rx_end(ends.rx, at);
}

static void compare(const struct vmb_packet *p, const struct vmb_view *all)
{
	uint8_t bytes[4096], want[4096];
	uint64_t words[5];

	need(p->id == ends.got + 1, "packets out of order");
	if (p->kind == VMB_PKT_GPA) {
		need(p->head_len == 40 && p->list.ranges == 2, "other ranges");
		need(!done(vmb_rx_copy(ends.rx, all, 0, words, p->head_len)), "vmb_rx_copy");
		need(le64toh(words[2]) == 7 && le64toh(words[4]) == 8, "other pages");
		return;
	}
	need(!done(vmb_rx_copy(ends.rx, all, 0, bytes, p->len)), "vmb_rx_copy");
	fill(want, p->len, ends.got + 1);
	need(!memcmp(bytes, want, p->len), "other bytes");
}

int ends_next(void)
{
	struct vmb_packet p;
	struct vmb_view all;
	int r;

	call(CALL_NEXT);
	r = done(vmb_rx_next(ends.rx, &p, &all));
	if (r != VMB_YES)
		return 0;
	call(CALL_COPY);
	compare(&p, &all);
	ends.got++;
	return 1;
}

static uint32_t raw(uint32_t in, uint32_t out)
{
	return ends.rig->size - (in >= out ? in - out : ends.rig->size - out + in);
}

static int crossed(uint32_t in, uint32_t old, uint32_t pending)
{
	return raw(in, old) <= pending && raw(in, ends.out) > pending;
}

/* ring.md 10.1, C3 and C4: given what was loaded. after: when Out, and the mask, were published. */
static int consumer_signals(uint32_t old, uint32_t after, uint32_t seen)
{
	struct walk_access pending = walk_did(WORD_PENDING), in = walk_did(WORD_IN);

	need(pending.loads == 1 && pending.loaded_at > after, "the pending size not sampled after Out was published");
	if (!pending.loaded)
		return 0;
	need(in.loads == 1 && in.loaded_at > pending.loaded_at, "In not sampled after the pending size");
	if (!crossed(loaded(in), old, loaded(pending)))
		return 0;
	/* it has known a packet, before it gave this room, that was published when nobody waited for it any more: 8.2 */
	need(pending.message == UINT32_MAX || (int64_t)ends.over[seen] < (int64_t)pending.message || ends.keeps_pending,
	     "needless signal of the consumer: that size was taken back");
	/* with In as it was when that size was computed from it, or newer */
	need(!pending.message || pending.message == UINT32_MAX || in.message >= ends.arm_in[pending.message] ||
	     crossed(ends.arm_at[pending.message], old, loaded(pending)),
	     "needless signal of the consumer: there is no more room than the size, by the In that it was computed from");
	return 1;
}

static void consumer_result(int r, int signals)
{
	need((r & VMB_SIGNAL) == (signals ? VMB_SIGNAL : 0),
	     r & VMB_SIGNAL ? "needless signal of the consumer" : "signal of the consumer lost");
	(void)done(r);
	if (r & VMB_SIGNAL) {
		ends.signals[1]++;
		walk_signal();
	}
}

void ends_release(void)
{
	uint32_t old = ends.out, seen = walk_seen(WORD_IN);
	int r;

	call(CALL_RELEASE);
	r = vmb_rx_release(ends.rx);
	if (!walk_did(WORD_OUT).stores) {
		need(r == 0, "a result without a release");
		return;
	}
	ends.out = stored(WORD_OUT);
	consumer_result(r, consumer_signals(old, walk_did(WORD_OUT).stored_at, seen));
}

int ends_sleep(void)
{
	uint32_t old = ends.out, seen = walk_seen(WORD_IN);
	struct walk_access mask, in;
	int r;

	call(CALL_SLEEP);
	r = vmb_rx_sleep(ends.rx);
	mask = walk_did(WORD_MASK);
	in = walk_did(WORD_IN);
	if (walk_did(WORD_OUT).stores)
		ends.out = stored(WORD_OUT);
	need(mask.stores == 1 && mask.stored == 0 && in.loads == 1 && in.loaded_at > mask.stored_at, "no look after signals are on");
	need(!(r & VMB_YES) == (loaded(in) == ends.out), "sleeps with packets there, or the other way round");
	consumer_result(r, consumer_signals(old, mask.stored_at, seen));
	return r & VMB_YES;
}

void ends_mask(void)
{
	call(CALL_MASK);
	(void)done(vmb_rx_mask(ends.rx));
}

static void take(const void *caller, uint32_t last, enum ends_way way)
{
	int more = 1;

	while (ends.got < last) {
		consumer_stands(caller, (uint32_t)more);
		more = ends_next();
		if (more && way == BY_RELEASE)
			ends_release();
		else if (more && way == BY_SLEEP_EACH)
			(void)ends_sleep();
		if (more)
			continue;
		consumer_stands(caller, 2);
		if (!ends_sleep())
			walk_wait();
	}
	if (way == BY_SLEEP)
		(void)ends_sleep();
}

void ends_take(uint32_t last, enum ends_way way)
{
	take(__builtin_return_address(0), last, way);
}
