/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A peer that breaks the rules: each violation has its reason, ends both sides of the channel for good, and reaches nothing
 * else. ring.md 9 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hooks.h"
#include "pair.h"

#define WORD(kind, data8, len8, flags) \
	((uint64_t)(kind) | (uint64_t)(data8) << 16 | (uint64_t)(len8) << 32 | (uint64_t)(flags) << 48)

/* Side 1 finds these words at the start of side 0's ring, In behind `bytes` of them; it must say this reason at this place. */
static void find(const struct vmb_channel_config *cfg, const uint64_t *words, uint32_t n, uint32_t bytes, uint32_t reason,
		 uint32_t at)
{
	for (unsigned way = 0; way < 3; way++) {
		struct pair *p = pair_new(NULL, cfg);
		struct vmb_record rec;
		uint64_t buf[64];
		struct vmb_packet in;
		int r;

		for (uint32_t i = 0; i < n; i++)
			rig_set_qword(p->ring[0], i * 8, words[i]);
		rig_set(p->ring[0], RIG_IN, bytes);
		if (way == 0)
			r = pair_recv(p, 1, &in);
		else if (way == 1)
			r = vmb_channel_recv_batch(p->side[1].ch, (uint8_t *)buf, sizeof buf, &rec, 1);
		else
			r = vmb_channel_recv(p->side[1].ch, NULL, 0, &in) == VMB_EPEER ? VMB_EPEER : pair_recv(p, 1, &in);
		cr_assert_eq(r, VMB_EPEER, "reason %u, way %u: %d", reason, way, r);
		cr_assert_eq(pair_info(p, 1).reason_at, at, "reason %u, way %u: %u", reason, way, pair_info(p, 1).reason_at);
		cr_assert(pair_broken(p, 1, reason), "reason %u, way %u: got %u", reason, way, pair_info(p, 1).reason);
		cr_assert_eq(rig_word(p->ring[0], RIG_OUT), 0, "Out stays");
		cr_assert_eq(p->side[1].signals, 0);
		cr_assert_eq(pair_info(p, 0).error, 0, "the peer's own object is another one");
		pair_free(p);
	}
}

/* What the ring finds is the channel's end as well. ring.md 9.2 */
Test(hostile, ring_violations)
{
	static const struct { uint64_t word; uint32_t in, reason, at; } want[] = {
		{ WORD(6, 2, 2, 0), 8, VMB_R_LENGTH, 0 },
		{ WORD(6, 2, 2, 0), 16, VMB_R_LENGTH, 0 },
		{ WORD(6, 2, 0, 0), 64, VMB_R_LENGTH, 0 },
		{ WORD(6, 2, 1, 0), 64, VMB_R_LENGTH, 0 },
		{ WORD(6, 1, 4, 0), 64, VMB_R_HEADER, 0 },
		{ WORD(6, 5, 4, 0), 64, VMB_R_HEADER, 0 },
		{ WORD(6, 2, 8, 0), 64, VMB_R_LENGTH, 0 },
		{ WORD(6, 2, 4, 2), 64, VMB_R_FLAGS, 0 },
		{ WORD(6, 2, 4, 0x8000), 64, VMB_R_FLAGS, 0 },
		{ WORD(0, 2, 4, 0), 64, VMB_R_TYPE, 0 },
		{ WORD(0xa, 2, 4, 0), 64, VMB_R_TYPE, 0 },
		{ WORD(9, 2, 4, 0), 64, VMB_R_HEADER, 0 },
		{ WORD(7, 2, 4, 0), 64, VMB_R_HEADER, 0 },
		{ WORD(6, 2, 4, 0), 4, VMB_R_INDEX, 4 },
		{ WORD(6, 2, 4, 0), 0x4000, VMB_R_INDEX, 0x4000 },
		{ WORD(6, 2, 4, 0), 0xffffffff, VMB_R_INDEX, 0xffffffff },
	};

	for (unsigned i = 0; i < sizeof want / sizeof *want; i++)
		find(NULL, &want[i].word, 1, want[i].in, want[i].reason, want[i].at);
}

/* GPA direct: descriptor, id, count word, then list words. ring.md 9.1 rule 7 */
Test(hostile, gpa_ranges)
{
	static const struct { const char *what; uint32_t data8, ranges; uint64_t w[4]; } want[] = {
		{ "no range", 7, 0, { VMB_RANGE(100, 0), 1 } },
		{ "no words", 3, 1, { 0 } },
		{ "more ranges than words", 7, 0xffffffff, { VMB_RANGE(100, 0), 1 } },
		{ "more ranges than are there", 7, 2, { VMB_RANGE(100, 0), 1, 0, 0 } },
		{ "an empty range", 7, 1, { VMB_RANGE(0, 0), 1 } },
		{ "an offset beyond the page", 7, 1, { VMB_RANGE(1, 4096), 1 } },
		{ "too few pages", 5, 1, { VMB_RANGE(4096, 1), 1 } },
		{ "far too few pages", 7, 1, { VMB_RANGE(0xffffffff, 0), 1 } },
		{ "a sum over 32 bits", 7, 1, { VMB_RANGE(0xffffffff, 4095), 1 } },
		{ "a second range without its page", 6, 2, { VMB_RANGE(1, 0), 1, VMB_RANGE(1, 0) } },
	};

	for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
		uint64_t words[8] = { WORD(9, want[i].data8, 8, 1), 1, (uint64_t)want[i].ranges << 32, want[i].w[0], want[i].w[1],
				      want[i].w[2], want[i].w[3] };

		find(NULL, words, 8, 72, VMB_R_RANGES, 0);
	}
}

Test(hostile, transfer_windows)
{
	static const struct { uint32_t data8, ranges; uint64_t w[2]; } want[] = {
		{ 5, 0, { VMB_RANGE(100, 0), VMB_RANGE(100, 0) } },
		{ 5, 3, { VMB_RANGE(100, 0), VMB_RANGE(100, 0) } },
		{ 5, 0xffffffff, { VMB_RANGE(100, 0), VMB_RANGE(100, 0) } },
		{ 3, 1, { 0 } },
		{ 5, 2, { VMB_RANGE(100, 0), VMB_RANGE(0, 100) } },
	};

	for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
		uint64_t words[8] = { WORD(7, want[i].data8, 8, 1), 1, (uint64_t)want[i].ranges << 32 | 0xcafe, want[i].w[0],
				      want[i].w[1] };

		find(NULL, words, 8, 72, VMB_R_RANGES, 0);
	}
}

/* Pipe headers: only data, with a size that is there. The other types are never on a ring. ring.md 6 */
Test(hostile, pipe_headers)
{
	static const struct { uint32_t len8, type, size; } want[] = {
		{ 2, 1, 0 },       /* no header at all */
		{ 3, 1, 1 },       /* data beyond the packet */
		{ 4, 1, 9 },
		{ 4, 1, 0xffffffff },
		{ 4, 1, 0xfffffff9 }, /* plus the header, it is 1 */
		{ 4, 0, 8 },
		{ 4, 2, 8 },       /* partial */
		{ 4, 3, 8 },       /* set up GPA direct */
		{ 4, 4, 8 },
		{ 4, 5, 8 },
		{ 4, 0x101, 8 },
		{ 2000, 1, 0 },
	};
	struct vmb_channel_config cfg = pair_config();

	cfg.flags = VMB_CHANNEL_PIPE;
	for (unsigned i = 0; i + 1 < sizeof want / sizeof *want; i++) {
		uint64_t words[5] = { WORD(6, 2, want[i].len8, 0), 0, (uint64_t)want[i].size << 32 | want[i].type };

		find(&cfg, words, 5, 40, VMB_R_PIPE, 0);
	}
}

/* One byte more than a pipe packet may have, in a packet that has room for it. */
Test(hostile, pipe_data_over_the_limit)
{
	struct vmb_channel_config cfg = pair_config();
	struct pair *p = pair_rings(RIG_ONCE, 8, 8);
	struct vmb_packet in;

	cfg.flags = VMB_CHANNEL_PIPE;
	cr_assert(!pair_open(p, 0, NULL) && !pair_open(p, 1, &cfg));
	rig_set_qword(p->ring[0], 0, WORD(6, 2, 2100, 0));
	rig_set_qword(p->ring[0], 16, (uint64_t)16385 << 32 | 1);
	rig_set(p->ring[0], RIG_IN, 2101 * 8);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_EPEER);
	cr_assert(pair_broken(p, 1, VMB_R_PIPE));
	pair_free(p);
}

/* In place the pipe header is judged too, and the most that a channel receives. */
Test(hostile, in_place)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet in, out = pair_packet("0123456789abcdef", 16);
	struct vmb_view all;
	struct pair *p;

	cfg.flags = VMB_CHANNEL_PIPE;
	p = pair_new(NULL, &cfg);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_next(p->side[1].ch, &in, &all), VMB_EPEER);
	cr_assert(pair_broken(p, 1, VMB_R_PIPE));
	pair_free(p);
	cfg.flags = 0;
	cfg.max_payload = 8;
	p = pair_new(NULL, &cfg);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_next(p->side[1].ch, &in, &all), VMB_EPEER);
	cr_assert(pair_broken(p, 1, VMB_R_PAYLOAD));
	pair_free(p);
}

/* max_payload: what such a payload takes on the wire is legal, 8 more are not; on a pipe it is exact. */
Test(hostile, max_payload)
{
	for (unsigned pipe = 0; pipe < 2; pipe++) {
		struct vmb_channel_config cfg = pair_config();
		struct vmb_packet out = pair_packet("0123456789abcdefghijklmn", 16), in;
		struct pair *p;

		cfg.flags = pipe ? VMB_CHANNEL_PIPE : 0;
		cfg.max_payload = 13;
		p = pair_new(&cfg, &cfg);
		out.len = 13;
		cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		cr_assert_eq(in.len, pipe ? 13 : 16);
		out.len = pipe ? 14 : 17;
		cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
		cr_assert_eq(pair_recv(p, 1, &in), VMB_EPEER);
		cr_assert(pair_broken(p, 1, VMB_R_PAYLOAD));
		cr_assert_eq(pair_info(p, 1).reason_at, pipe ? 48 : 40);
		pair_free(p);
	}
}

/* A bad Out is found by who sends, and who receives is told as well. */
Test(hostile, bad_out)
{
	static const uint32_t bad[] = { 4, 0x4000, 0x4008, 0xffffffff };

	for (unsigned i = 0; i < 4; i++) {
		struct pair *p = pair_new(NULL, NULL);
		struct vmb_packet out = pair_packet("x", 1);

		rig_set(p->ring[0], RIG_OUT, bad[i]);
		cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), VMB_EPEER);
		cr_assert(pair_broken(p, 0, VMB_R_INDEX));
		cr_assert_eq(pair_info(p, 0).reason_at, bad[i]);
		cr_assert_eq(p->side[0].signals, 0);
		pair_free(p);
	}
}

/* The same while the ring counts as full. */
Test(hostile, bad_out_in_a_full_ring)
{
	static const uint32_t bad[] = { 4, 0x4000, 0xfffffff8 };

	for (unsigned i = 0; i < 3; i++) {
		struct pair *p = pair_new(NULL, NULL);
		struct vmb_packet out = pair_packet("0123456789abcdef", 16);

		while (vmb_channel_send(p->side[0].ch, &out) == 0)
			;
		rig_set(p->ring[0], RIG_OUT, bad[i]);
		cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), VMB_EPEER);
		cr_assert(pair_broken(p, 0, VMB_R_INDEX));
		pair_free(p);
	}
}

/* A violation is told by the release that recv does by the way: the packet before it is good, the next call is the last. */
Test(hostile, found_while_giving_space_back)
{
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet in;

	(void)pair_fill(p, 0, 4000);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(rig_word(p->ring[0], RIG_OUT), 0, "less than a quarter");
	rig_set(p->ring[0], RIG_PENDING, 8);
	rig_set(p->ring[0], RIG_IN, 3);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES, "it was known before");
	cr_assert_eq(in.len, 4000);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_EPEER);
	cr_assert(pair_broken(p, 1, VMB_R_INDEX));
	pair_free(p);
}

/* ---- a peer that changes memory between two looks at it */

static struct pair *race_pair;
static unsigned race_copies;

static void race_count(const void *shared, size_t n)
{
	(void)shared, (void)n;
	race_copies++;
}

/* One copy of a packet, whatever is in it. ring.md 9.1 rules 4, 7, 9 */
Test(hostile, a_packet_is_copied_once)
{
	static const uint64_t words[] = { VMB_RANGE(100, 0), 4 };
	struct vmb_packet out = pair_packet("p", 1), in;
	struct pair *p = pair_new(NULL, NULL);

	pair_before_copy = race_count;
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(race_copies, 1);
	out.kind = VMB_PKT_GPA;
	out.list = (struct vmb_list){ words, 2, 1 };
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(race_copies, 2);
	pair_free(p);
}

static uint64_t race_word;
static uint32_t race_at;

static void race_change(const void *shared, size_t n)
{
	(void)shared, (void)n;
	rig_set_qword(race_pair->ring[0], race_at, race_word);
}

/* A list of one range in a packet at the beginning of the ring, of which one word changes just before it is copied: what recv
 * says. */
static int race_list(struct pair *p, uint32_t kind, const uint64_t *words, uint32_t n, uint32_t at, uint64_t word, struct vmb_packet *in)
{
	struct vmb_packet out = pair_packet("p", 1);
	int r;

	race_pair = p;
	race_at = at;
	race_word = word;
	out.kind = (uint16_t)kind;
	out.page_set = 0xcafe;
	out.list = (struct vmb_list){ words, n, 1 };
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	pair_before_copy = race_change;
	r = pair_recv(p, 1, in);
	pair_before_copy = NULL;
	return r;
}

/* The count of ranges is fetched once: what the ring saw is what the list has, and what lies in the buffer. */
Test(hostile, the_count_of_ranges_changes_before_the_copy)
{
	static const uint64_t words[] = { VMB_RANGE(4096, 1), 4, 5 };
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet in;

	cr_assert_eq(race_list(p, VMB_PKT_GPA, words, 3, 16, (uint64_t)2 << 32, &in), VMB_YES);
	cr_assert(in.list.ranges == 1 && in.list.count == 3 && !memcmp(in.list.words, words, sizeof words));
	cr_assert_eq(((const uint8_t *)in.payload)[-28], 1, "the count in the buffer");
	pair_free(p);
	p = pair_new(NULL, NULL);
	cr_assert_eq(race_list(p, VMB_PKT_XFER, words, 1, 16, (uint64_t)2 << 32 | 0xbeef, &in), VMB_YES);
	cr_assert(in.list.ranges == 1 && in.list.count == 1 && in.list.words[0] == words[0] && in.page_set == 0xcafe);
	pair_free(p);
}

/* The ranges themselves are judged from the copy. */
Test(hostile, ranges_change_before_the_copy)
{
	static const uint64_t words[] = { VMB_RANGE(4096, 1), 4, 5 };
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet in;

	cr_assert_eq(race_list(p, VMB_PKT_GPA, words, 3, 24, VMB_RANGE(8192, 1), &in), VMB_EPEER);
	cr_assert(pair_broken(p, 1, VMB_R_RANGES));
	pair_free(p);
}

Test(hostile, windows_change_before_the_copy)
{
	static const uint64_t words[] = { VMB_RANGE(4096, 1) };
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet in;

	cr_assert_eq(race_list(p, VMB_PKT_XFER, words, 1, 24, VMB_RANGE(0, 1), &in), VMB_EPEER);
	cr_assert(pair_broken(p, 1, VMB_R_RANGES));
	pair_free(p);
}

static void race_pipe(const void *shared, size_t n)
{
	(void)shared, (void)n;
	if (race_copies++) /* the header has been read */
		rig_set_qword(race_pair->ring[0], 16, (uint64_t)0xffffffff << 32 | 7);
}

Test(hostile, pipe_header_changes_after_it_was_read)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out = pair_packet("abc", 3), in;
	struct pair *p;

	cfg.flags = VMB_CHANNEL_PIPE;
	race_pair = p = pair_new(&cfg, &cfg);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	pair_before_copy = race_pipe;
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	pair_before_copy = NULL;
	cr_assert_eq(race_copies, 2);
	cr_assert(in.len == 3 && !memcmp(in.payload, "abc", 3));
	pair_free(p);
}

/* A packet that was too small for, and is another one when it is asked for again: judged again, from the start. */
Test(hostile, a_packet_changes_while_it_waits)
{
	struct vmb_packet out = pair_packet("0123456789abcdef", 16), in;
	struct pair *p = pair_new(NULL, NULL);
	uint64_t buf[2];

	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_recv(p->side[1].ch, buf, 8, &in), VMB_ETOOSMALL);
	rig_set_qword(p->ring[0], 0, WORD(6, 2, 3, 0));
	cr_assert_eq(vmb_channel_recv(p->side[1].ch, buf, 8, &in), VMB_YES);
	cr_assert_eq(in.len, 8);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_EPEER, "what follows is no packet");
	pair_free(p);
	p = pair_new(NULL, NULL);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_recv(p->side[1].ch, buf, 8, &in), VMB_ETOOSMALL);
	rig_set_qword(p->ring[0], 0, WORD(6, 2, 9, 0));
	cr_assert_eq(vmb_channel_skip(p->side[1].ch), VMB_EPEER);
	cr_assert(pair_broken(p, 1, VMB_R_LENGTH));
	pair_free(p);
}

/* Random bytes, random indexes, every receiving call, tables, pipes: nothing but packets and violations, and an end that is
 * an end. */
Test(hostile, random_rings)
{
	unsigned ended = 0, packets = 0;
	uint64_t random = 99;

	for (unsigned round = 0; round < 3000; round++) {
		struct vmb_channel_config cfg = pair_config();
		struct pair *p = pair_rings(round % RIG_KINDS, 1, 1);
		struct rig *r = p->ring[0];
		int dead = 0;

		cfg.flags = round & 4 ? VMB_CHANNEL_PIPE : round & 8 ? VMB_CHANNEL_LOOSE : 0;
		cfg.requests = round & 16 ? 3 : 0;
		cr_assert(!pair_open(p, 0, NULL) && !pair_open(p, 1, &cfg));
		for (uint32_t at = 0; at < r->size; at += 8) { /* packets that are nearly right */
			uint32_t kind = rig_random(&random) & 3 ? 6 : (rig_random(&random) & 3) * 2 + 5;
			uint32_t data8 = rig_random(&random) % 6 ? 2 : 5;
			uint64_t word = WORD(kind, data8, 2 + rig_random(&random) % 9, rig_random(&random) % 5 ? 0 : 1);

			rig_set_qword(r, at, rig_random(&random) % 3 ? word : (uint64_t)(rig_random(&random) % 3) << 32 | 1);
		}
		for (unsigned step = 0; step < 60; step++) {
			struct vmb_record recs[4];
			struct vmb_packet in;
			struct vmb_view v;
			uint64_t buf[40];
			int got;

			if (step % 5 == 0)
				rig_set(r, RIG_IN, rig_random(&random) % 512 * 8 + (rig_random(&random) % 90 ? 0 : 4));
			rig_set(r, RIG_PENDING, rig_random(&random) % 8192);
			switch (rig_random(&random) % 5) {
			case 0: got = vmb_channel_next(p->side[1].ch, &in, &v); break;
			case 1: got = vmb_channel_recv_batch(p->side[1].ch, (uint8_t *)buf, sizeof buf, recs, 4); break;
			case 2: got = vmb_channel_skip(p->side[1].ch); break;
			default: got = vmb_channel_recv(p->side[1].ch, buf, rig_random(&random) % sizeof buf, &in); break;
			}
			cr_assert(got >= 0 || got == VMB_EPEER || got == VMB_ETOOSMALL || got == VMB_ESTATE, "%d", got);
			cr_assert(!dead || got == VMB_EPEER);
			dead = got == VMB_EPEER;
			packets += got > 0;
		}
		if (dead)
			cr_assert_neq(pair_info(p, 1).reason, 0);
		ended += (unsigned)dead;
		pair_free(p);
	}
	cr_assert_gt(ended, 1000, "%u", ended);
	cr_assert_gt(packets, 1000, "%u", packets);
}
