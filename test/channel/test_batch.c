/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Several packets in one call: the same as one by one, with one publication, one release, one signal. */
#include <criterion/criterion.h>
#include <string.h>

#include "hooks.h"
#include "pair.h"

enum { MOST = 20, BYTES = 8192 };

static union { uint64_t words[BYTES / 8]; uint8_t bytes[BYTES]; } flat, back;
static struct vmb_record recs[MOST], got[MOST];

/* Packets of all kinds in flat and recs; how many bytes. */
static uint32_t compose(uint32_t n, uint64_t *random, int pipe)
{
	uint32_t at = 0;

	memset(&flat, 0x5a, sizeof flat);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t kind = rig_random(random) % (pipe ? 2 : 4);
		struct vmb_record *r = &recs[i];

		*r = (struct vmb_record){ .kind = VMB_PKT_INBAND, .offset = at, .len = rig_random(random) % 150 };
		r->id = rig_random(random);
		if (kind == 1) {
			r->kind = VMB_PKT_COMPLETION;
		} else if (kind == 2) {
			r->kind = VMB_PKT_GPA;
			r->flags = VMB_PKT_WANTS_REPLY;
			r->ranges = 2;
			r->head_len = 48;
			flat.words[at / 8 + 1] = VMB_RANGE(5000, 100);
			flat.words[at / 8 + 2] = rig_random(random);
			flat.words[at / 8 + 3] = rig_random(random);
			flat.words[at / 8 + 4] = VMB_RANGE(4096, 0);
			flat.words[at / 8 + 5] = rig_random(random);
		} else if (kind == 3) {
			r->kind = VMB_PKT_XFER;
			r->page_set = (uint16_t)rig_random(random);
			r->ranges = 1;
			r->head_len = 16;
			flat.words[at / 8 + 1] = VMB_RANGE(1500, rig_random(random));
		}
		if (!r->id)
			r->id = 1;
		for (uint32_t k = 0; k < r->len; k++)
			flat.bytes[at + r->head_len + k] = (uint8_t)rig_random(random);
		at += (r->head_len + r->len + 7) & ~7u;
	}
	return at;
}

/* What a record is as a packet to be sent. */
static struct vmb_packet single(const struct vmb_record *r)
{
	struct vmb_packet p = { .kind = r->kind, .flags = r->flags, .len = r->len, .id = r->id, .user = r->user };

	p.page_set = r->page_set;
	p.payload = &flat.bytes[r->offset + r->head_len];
	if (r->head_len)
		p.list = (struct vmb_list){ &flat.words[r->offset / 8 + 1], r->head_len / 8 - 1, r->ranges };
	return p;
}

static int same_rings(const struct pair *a, const struct pair *b, unsigned ring)
{
	return rig_word(a->ring[ring], RIG_IN) == rig_word(b->ring[ring], RIG_IN) &&
	       !memcmp(a->ring[ring]->data, b->ring[ring]->data, a->ring[ring]->size);
}

static void batch_equals_single(uint32_t kind, uint32_t flags)
{
	struct vmb_channel_config cfg = pair_config();
	struct pair *a = pair_rings(kind, 2, 2), *b = pair_rings(kind, 2, 2);
	uint64_t random = kind + 17;

	cfg.flags = flags;
	cr_assert(!pair_open(a, 0, &cfg) && !pair_open(a, 1, &cfg) && !pair_open(b, 0, &cfg) && !pair_open(b, 1, &cfg));
	for (unsigned round = 0; round < 300; round++) {
		uint32_t n = 1 + rig_random(&random) % MOST, bytes = compose(n, &random, flags & VMB_CHANNEL_PIPE), at = 0;
		struct vmb_packet in;
		int r;

		cr_assert_eq(vmb_channel_send_batch(a->side[0].ch, flat.bytes, bytes, recs, n), (int)n);
		for (uint32_t i = 0; i < n; i++) {
			struct vmb_packet out = single(&recs[i]);

			cr_assert_eq(vmb_channel_put(b->side[0].ch, &out), 0);
		}
		cr_assert_eq(vmb_channel_flush(b->side[0].ch), 0);
		cr_assert(same_rings(a, b, 0), "round %u", round);
		cr_assert_eq(a->side[0].signals, b->side[0].signals);

		memset(&back, 0, sizeof back);
		r = vmb_channel_recv_batch(a->side[1].ch, back.bytes, sizeof back, got, MOST);
		cr_assert_eq(r, (int)n);
		cr_assert_eq(rig_word(a->ring[0], RIG_OUT), rig_word(a->ring[0], RIG_IN), "all space is back");
		for (uint32_t i = 0; i < n; i++) {
			struct vmb_record *g = &got[i];

			cr_assert_eq(pair_recv(b, 1, &in), VMB_YES);
			cr_assert(g->kind == in.kind && g->flags == in.flags && g->id == in.id);
			cr_assert(g->head_len == in.head_len && g->len == in.len);
			cr_assert(g->ranges == in.list.ranges && g->page_set == in.page_set && g->user == 0 && g->reserved == 0);
			cr_assert_eq(g->offset, at);
			cr_assert(!memcmp(&back.bytes[at], (const uint8_t *)in.payload - in.head_len, in.head_len + in.len));
			cr_assert(!in.head_len || !memcmp(&back.words[at / 8 + 1], in.list.words, in.list.count * 8));
			at += (g->head_len + g->len + 7) & ~7u;
		}
		cr_assert_eq(pair_recv(b, 1, &in), 0);
		cr_assert_eq(vmb_channel_recv_batch(a->side[1].ch, back.bytes, sizeof back, got, MOST), 0);
	}
	pair_free(a);
	pair_free(b);
}

Test(batch, equals_single_mapped_once) { batch_equals_single(RIG_ONCE, 0); }
Test(batch, equals_single_mapped_twice) { batch_equals_single(RIG_TWICE, 0); }
Test(batch, equals_single_over_pages) { batch_equals_single(RIG_LIST, 0); }
Test(batch, equals_single_on_a_pipe) { batch_equals_single(RIG_ONCE, VMB_CHANNEL_PIPE); }

static unsigned publications;

static void count_publications(const void *word)
{
	(void)word;
	publications++;
}

/* The point of it: one fence and at most one signal, each way. */
Test(batch, one_publication_each_way)
{
	struct pair *p = pair_new(NULL, NULL);
	uint64_t random = 5;
	uint32_t bytes = compose(MOST, &random, 0);

	pair_before_publish = count_publications;
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, bytes, recs, MOST), MOST);
	cr_assert_eq(publications, 1);
	cr_assert_eq(p->side[0].signals, 1);
	cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes, sizeof back, got, MOST), MOST);
	cr_assert_eq(publications, 2);
	pair_before_publish = NULL;
	pair_free(p);
}

/* As many as there is buffer or records for; the rest comes next time. Nothing is lost between. */
Test(batch, in_portions)
{
	struct pair *p = pair_new(NULL, NULL);
	uint64_t random = 6;
	uint32_t bytes = compose(MOST, &random, 1), n = 0;

	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, bytes, recs, MOST), MOST);
	for (unsigned calls = 0; n < MOST; calls++) {
		uint32_t space = calls % 2 ? sizeof back : 160, most = calls % 2 ? 3 : MOST;
		int r = vmb_channel_recv_batch(p->side[1].ch, back.bytes, space, got, most);

		cr_assert_gt(r, 0);
		cr_assert_leq((uint32_t)r, most);
		for (int i = 0; i < r; i++, n++) {
			cr_assert_eq(got[i].id, recs[n].id);
			cr_assert(!memcmp(&back.bytes[got[i].offset], &flat.bytes[recs[n].offset], recs[n].len));
			cr_assert_leq(got[i].offset + got[i].len, space);
		}
		cr_assert_eq(vmb_channel_skip(p->side[1].ch), VMB_ESTATE, "what did not fit was not announced");
	}
	cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes, 160, got, MOST), 0);
	pair_free(p);
}

/* The first one does not fit at all: told, and it stays, or is skipped. */
Test(batch, too_small)
{
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet out = pair_packet("0123456789abcdefghijklmn", 24);

	out.id = 9;
	cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	out = pair_packet("last", 4);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	for (unsigned i = 0; i < 2; i++) {
		memset(got, 0xff, sizeof got);
		cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes, 16, got, MOST), VMB_ETOOSMALL);
		cr_assert(got[0].head_len + got[0].len == 24 && got[0].id == 9);
	}
	cr_assert_eq(vmb_channel_skip(p->side[1].ch), 0);
	cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes, 24, got, MOST), 1, "the second fills the buffer");
	cr_assert(got[0].len == 24 && !memcmp(back.bytes, "0123456789abcdefghijklmn", 24));
	cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes, 16, got, MOST), 1);
	cr_assert(got[0].len == 8 && !memcmp(back.bytes, "last", 5));
	pair_free(p);
}

/* Bytes of a pipe packet need no padding, the next record begins aligned all the same. */
Test(batch, offsets_are_aligned)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out;
	struct pair *p;

	cfg.flags = VMB_CHANNEL_PIPE;
	p = pair_new(&cfg, &cfg);
	for (uint32_t len = 0; len < 5; len++) {
		out = pair_packet("abcd", len);
		cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	}
	cr_assert_eq(vmb_channel_flush(p->side[0].ch), 0);
	cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes, 19, got, MOST), 4, "three bytes are enough for three");
	for (uint32_t i = 0; i < 4; i++)
		cr_assert(got[i].len == i && got[i].offset == (i < 2 ? 0 : (i - 1) * 8));
	cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes, 3, got, MOST), VMB_ETOOSMALL);
	cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes, 4, got, MOST), 1);
	pair_free(p);
}

/* Requests get their ids in the records; a full table and a full ring stop the batch where they are, and what was taken is
 * on its way. */
Test(batch, stops_at_a_full_table)
{
	struct vmb_channel_config cfg = pair_config();
	struct pair *p;
	struct vmb_packet in;

	cfg.requests = 3;
	p = pair_new(&cfg, NULL);
	for (uint32_t i = 0; i < 5; i++)
		recs[i] = (struct vmb_record){ .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .len = 8, .user = 60 + i };
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, 8, recs, 5), 3);
	cr_assert(recs[0].id && recs[1].id && recs[2].id && !recs[3].id && !recs[4].id);
	cr_assert_eq(p->side[0].signals, 1);
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, 8, recs + 3, 2), VMB_ENOSLOT);
	for (uint32_t i = 0; i < 3; i++) {
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		cr_assert_eq(in.id, recs[i].id);
		in = pair_answer(in.id, NULL, 0);
		cr_assert_eq(vmb_channel_send(p->side[1].ch, &in), 0);
	}
	in = pair_answer(12345, NULL, 0);
	cr_assert_eq(vmb_channel_send(p->side[1].ch, &in), 0);
	cr_assert_eq(vmb_channel_cancel(p->side[0].ch, recs[1].id, NULL), 0);
	cr_assert_eq(vmb_channel_recv_batch(p->side[0].ch, back.bytes, sizeof back, got, MOST), 3, "the fourth is for nobody");
	for (uint32_t i = 0; i < 3; i++)
		cr_assert(got[i].user == 60 + i && got[i].flags == (i == 1 ? VMB_PKT_LATE : 0));
	cr_assert_eq(pair_info(p, 0).requests, 0);
	pair_free(p);
}

Test(batch, stops_at_a_full_ring)
{
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet in;

	for (uint32_t i = 0; i < MOST; i++)
		recs[i] = (struct vmb_record){ .kind = VMB_PKT_INBAND, .len = 2000, .id = i };
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, sizeof flat, recs, MOST), 8);
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, sizeof flat, recs + 8, MOST - 8), VMB_EFULL);
	cr_assert_eq(p->side[0].signals, 1);
	cr_assert_eq(rig_word(p->ring[0], RIG_PENDING), 4096);
	for (uint32_t i = 0; i < 8; i++)
		cr_assert(pair_recv(p, 1, &in) == VMB_YES && in.id == i);
	cr_assert_eq(pair_recv(p, 1, &in), 0);
	cr_assert_eq(p->side[1].signals, 1, "the wake");
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, sizeof flat, recs + 8, MOST - 8), 8);
	pair_free(p);
}

/* Records that are not in the buffer, or are none. What came before them was taken. */
Test(batch, bad_records)
{
	static const struct vmb_record bad[] = {
		{ .kind = VMB_PKT_INBAND, .offset = 4, .len = 8 },
		{ .kind = VMB_PKT_INBAND, .offset = 64, .len = 1 },
		{ .kind = VMB_PKT_INBAND, .offset = 72, .len = 0 },
		{ .kind = VMB_PKT_INBAND, .offset = 56, .len = 9 },
		{ .kind = VMB_PKT_INBAND, .offset = 8, .len = 0xfffffff8 },
		{ .kind = VMB_PKT_INBAND, .offset = 0xfffffff8, .len = 8 },
		{ .kind = VMB_PKT_GPA, .head_len = 0xfffffff8, .len = 8, .ranges = 1 },
		{ .kind = VMB_PKT_GPA, .head_len = 72, .ranges = 1 },
		{ .kind = VMB_PKT_GPA, .head_len = 20, .ranges = 1 },
		{ .kind = VMB_PKT_GPA, .head_len = 8, .ranges = 1 },
		{ .kind = VMB_PKT_GPA, .ranges = 1 },
		{ .kind = VMB_PKT_INBAND, .head_len = 16, .ranges = 1 },
		{ .kind = 3 },
	};
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet in;

	memset(&flat, 0, sizeof flat);
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		recs[0] = (struct vmb_record){ .kind = VMB_PKT_INBAND, .len = 8, .id = i };
		recs[1] = bad[i];
		cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, 64, recs + 1, 1), VMB_EINVAL, "record %u", i);
		cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, 64, recs, 2), 1, "record %u", i);
		cr_assert(pair_recv(p, 1, &in) == VMB_YES && in.id == i);
		cr_assert_eq(pair_recv(p, 1, &in), 0);
	}
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, 64, recs, 0), VMB_EINVAL);
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes + 4, 64, recs, 1), VMB_EINVAL);
	cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes, 64, got, 0), VMB_EINVAL);
	cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes + 4, 64, got, 1), VMB_EINVAL);
	pair_free(p);
}

/* A violation behind good packets: those are given out, the next call says it. */
Test(batch, a_violation_behind_good_packets)
{
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet out = pair_packet("12345678", 8);

	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	rig_set_qword(p->ring[0], 64, 0);
	cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes, sizeof back, got, MOST), 2);
	cr_assert(!memcmp(back.bytes, "1234567812345678", 16));
	cr_assert_eq(vmb_channel_recv_batch(p->side[1].ch, back.bytes, sizeof back, got, MOST), VMB_EPEER);
	cr_assert(pair_broken(p, 1, VMB_R_LENGTH));
	pair_free(p);
}

/* A bad Out is found by the flush, after the packets were taken. */
Test(batch, a_violation_at_the_flush)
{
	struct pair *p = pair_new(NULL, NULL);

	recs[0] = (struct vmb_record){ .kind = VMB_PKT_INBAND, .len = 8 };
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, 8, recs, 1), 1);
	rig_set(p->ring[0], RIG_OUT, 4);
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, 8, recs, 1), 1);
	cr_assert_eq(vmb_channel_send_batch(p->side[0].ch, flat.bytes, 8, recs, 1), VMB_EPEER);
	cr_assert(pair_broken(p, 0, VMB_R_INDEX));
	pair_free(p);
}
