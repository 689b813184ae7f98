/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Packets of every kind from one end of a channel to the other, over all kinds of ring memory. ring.md 4, 5, 6 */
#include <criterion/criterion.h>
#include <string.h>

#include "pair.h"

static uint8_t byte_at(uint32_t seed, uint32_t i)
{
	return (uint8_t)(seed * 29 + i * 3 + 1);
}

static void fill(uint8_t *to, uint32_t seed, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] = byte_at(seed, i);
}

static int filled(const void *from, uint32_t seed, uint32_t n)
{
	const uint8_t *bytes = from;

	for (uint32_t i = 0; i < n; i++)
		if (bytes[i] != byte_at(seed, i))
			return 0;
	return 1;
}

/* Padding after n bytes of payload. */
static int padded(const struct vmb_packet *p, uint32_t n)
{
	const uint8_t *bytes = p->payload;

	if (p->len != ((n + 7) & ~7u))
		return 0;
	for (uint32_t i = n; i < p->len; i++)
		if (bytes[i])
			return 0;
	return 1;
}

/* A thousand packets of many sizes round the ring, both ways, packets of other kinds between them. */
static void round_and_round(uint32_t kind, uint32_t pages, uint32_t flags)
{
	struct pair *p = pair_rings(kind, pages, pages);
	struct vmb_channel_config cfg = pair_config();
	static uint8_t payload[4096];
	uint64_t random = 7;

	cfg.flags = flags;
	cr_assert_eq(pair_open(p, 0, &cfg), 0);
	cr_assert_eq(pair_open(p, 1, &cfg), 0);
	for (uint32_t n = 0; n < 1000; n++) {
		uint32_t len = rig_random(&random) % (n % 10 ? 300 : 3900), from = n & 1;
		struct vmb_packet out = pair_packet(payload, len), in;

		fill(payload, n, len);
		out.flags = n % 3 ? 0 : VMB_PKT_WANTS_REPLY;
		out.id = n + 1;
		cr_assert_eq(vmb_channel_send(p->side[from].ch, &out), 0);
		cr_assert_eq(pair_recv(p, 1 - from, &in), VMB_YES);
		cr_assert(in.kind == VMB_PKT_INBAND && in.flags == out.flags && in.id == n + 1 && in.user == 0);
		cr_assert(in.head_len == 0 && in.list.count == 0 && in.list.ranges == 0);
		cr_assert(filled(in.payload, n, len), "packet %u", n);
		cr_assert(flags & VMB_CHANNEL_PIPE ? in.len == len : padded(&in, len), "packet %u", n);
		cr_assert_eq(pair_recv(p, 1 - from, &in), 0);
	}
	cr_assert_eq(pair_info(p, 0).sent, 500);
	cr_assert_eq(pair_info(p, 0).received, 500);
	pair_free(p);
}

Test(data, raw_packets_over_rings_mapped_twice) { round_and_round(RIG_TWICE, 1, 0); }
Test(data, raw_packets_over_rings_mapped_once) { round_and_round(RIG_ONCE, 3, 0); }
Test(data, raw_packets_over_lists_of_pages) { round_and_round(RIG_LIST, 3, 0); }
Test(data, pipe_packets_over_rings_mapped_twice) { round_and_round(RIG_TWICE, 3, VMB_CHANNEL_PIPE); }
Test(data, pipe_packets_over_rings_mapped_once) { round_and_round(RIG_ONCE, 1, VMB_CHANNEL_PIPE); }
Test(data, pipe_packets_over_lists_of_pages) { round_and_round(RIG_LIST, 2, VMB_CHANNEL_PIPE); }

/* TV-like: what a pipe packet is on the wire. */
Test(data, pipe_header_on_the_wire)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out = pair_packet("abc", 3), in;
	struct pair *p;

	cfg.flags = VMB_CHANNEL_PIPE;
	p = pair_new(&cfg, &cfg);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(rig_qword(p->ring[0], 0), 0x0000000400020006u);
	cr_assert_eq(rig_qword(p->ring[0], 8), 0);
	cr_assert_eq(rig_qword(p->ring[0], 16), 0x0000000300000001u);
	cr_assert_eq(rig_qword(p->ring[0], 24), 0x636261u);
	cr_assert_eq(rig_word(p->ring[0], RIG_IN), 0x28);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert(in.len == 3 && !memcmp(in.payload, "abc", 3));
	pair_free(p);
}

/* Pipe data of 0 bytes is a packet too: the end of a stream. One byte over the limit never goes. */
Test(data, pipe_limits)
{
	static uint8_t big[16385];
	struct vmb_channel_config cfg = pair_config();
	struct pair *p = pair_rings(RIG_ONCE, 8, 8);
	struct vmb_packet out = pair_packet(NULL, 0), in;
	struct vmb_span part = { big, sizeof big };
	struct vmb_view v;

	cfg.flags = VMB_CHANNEL_PIPE;
	cr_assert(!pair_open(p, 0, &cfg) && !pair_open(p, 1, &cfg));
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(in.len, 0);
	fill(big, 1, 16384);
	out = pair_packet(big, 16384);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert(in.len == 16384 && filled(in.payload, 1, 16384));
	out = pair_packet(big, 16385);
	cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), VMB_ETOOBIG);
	cr_assert_eq(vmb_channel_putv(p->side[0].ch, &out, &part, 1), VMB_ETOOBIG);
	cr_assert_eq(vmb_channel_reserve(p->side[0].ch, &out, &v), VMB_ETOOBIG);
	cr_assert_eq(pair_recv(p, 1, &in), 0);
	pair_free(p);
}

/* An in-band packet with bytes before its payload, which nobody sends: the pipe header is where the payload begins. */
Test(data, pipe_header_after_a_variable_header)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet in;
	struct vmb_view all;
	struct pair *p;

	cfg.flags = VMB_CHANNEL_PIPE;
	p = pair_new(NULL, &cfg);
	for (uint32_t at = 0; at < 96; at += 48) {
		rig_set_qword(p->ring[0], at, 0x0000000500030006u);
		rig_set_qword(p->ring[0], at + 16, 0x0000000800000007u);
		rig_set_qword(p->ring[0], at + 24, 0x0000000500000001u);
		rig_set_qword(p->ring[0], at + 32, 0x6f6c6c6568u);
	}
	rig_set(p->ring[0], RIG_IN, 96);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert(in.head_len == 0 && in.len == 5 && !memcmp(in.payload, "hello", 5));
	cr_assert_eq(vmb_channel_next(p->side[1].ch, &in, &all), VMB_YES);
	cr_assert(in.head_len == 0 && in.len == 5 && all.pos == 80 && all.len == 5);
	pair_free(p);
}

/* Only in-band data has the pipe header: Linux's mouse driver asks for completions on its pipe, and those have none.
 * devices.md 6 */
Test(data, completions_on_a_pipe_are_raw)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out = pair_packet("?", 1), in;
	struct pair *p;

	cfg.flags = VMB_CHANNEL_PIPE;
	cfg.requests = 2;
	p = pair_new(&cfg, &cfg);
	out.flags = VMB_PKT_WANTS_REPLY;
	out.user = 77;
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert(in.flags == VMB_PKT_WANTS_REPLY && in.len == 1);
	out = pair_answer(in.id, "12345678", 8);
	cr_assert_eq(vmb_channel_send(p->side[1].ch, &out), 0);
	cr_assert_eq(rig_qword(p->ring[1], 0), 0x000000030002000bu);
	cr_assert_eq(pair_recv(p, 0, &in), VMB_YES);
	cr_assert(in.kind == VMB_PKT_COMPLETION && in.user == 77 && in.len == 8);
	pair_free(p);
}

/* VMB_CHANNEL_RAW takes the framing off again. */
Test(data, raw_overrides_pipe)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out = pair_packet("abcdefgh", 8);
	struct pair *p;

	cfg.flags = VMB_CHANNEL_PIPE | VMB_CHANNEL_RAW;
	p = pair_new(&cfg, NULL);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(rig_qword(p->ring[0], 16), 0x6867666564636261u);
	pair_free(p);
}

/* The same bytes, whether in one piece, in parts, or filled in place; also where the packet wraps. */
static void three_ways(uint32_t kind, uint32_t flags)
{
	struct vmb_channel_config cfg = pair_config();
	struct pair *p = pair_rings(kind, 2, 2);
	uint8_t bytes[700];

	cfg.flags = flags;
	cr_assert(!pair_open(p, 0, &cfg) && !pair_open(p, 1, &cfg));
	for (uint32_t n = 0; n < 200; n++) {
		uint32_t len = 600 + n % 100;
		struct vmb_span parts[4] = { { bytes, 5 }, { bytes + 5, 0 }, { bytes + 5, 300 }, { bytes + 305, len - 305 } };
		struct vmb_packet out = pair_packet(n % 3 ? NULL : bytes, len), in;
		struct vmb_span spans[4];
		struct vmb_view v;
		struct vmb_tx *tx;
		uint32_t at = 0;
		int r;

		fill(bytes, n, len);
		if (n % 3 == 0) {
			cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
		} else if (n % 3 == 1) {
			cr_assert_eq(vmb_channel_putv(p->side[0].ch, &out, parts, 4), 0);
		} else {
			cr_assert_eq(vmb_channel_reserve(p->side[0].ch, &out, &v), 0);
			cr_assert_eq(v.len, len);
			cr_assert_eq(vmb_channel_tx(p->side[0].ch, &tx), 0);
			r = vmb_tx_spans(tx, &v, 0, spans, 4);
			cr_assert_geq(r, 1);
			for (int i = 0; i < r; at += (uint32_t)spans[i++].len)
				memcpy(spans[i].base, bytes + at, spans[i].len);
			cr_assert_eq(at, len);
		}
		cr_assert_eq(vmb_channel_flush(p->side[0].ch), 0);
		cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
		cr_assert(in.len == (flags ? len : (len + 7) / 8 * 8) && filled(in.payload, n, len), "packet %u", n);
	}
	pair_free(p);
}

Test(data, three_ways_to_send_raw_packets) { three_ways(RIG_ONCE, 0); }
Test(data, three_ways_to_send_pipe_packets) { three_ways(RIG_ONCE, VMB_CHANNEL_PIPE); }
Test(data, three_ways_to_send_over_pages) { three_ways(RIG_LIST, VMB_CHANNEL_PIPE); }

Test(data, parts_that_do_not_add_up)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_span parts[2] = { { "abcd", 4 }, { "efgh", 4 } };
	struct vmb_packet out, in;

	for (unsigned pipe = 0; pipe < 2; pipe++) {
		struct pair *p;

		cfg.flags = pipe ? VMB_CHANNEL_PIPE : 0;
		p = pair_new(&cfg, &cfg);
		for (uint32_t len = 0; len < 17; len++) {
			out = pair_packet(NULL, len);
			if (len != 8)
				cr_assert_eq(vmb_channel_putv(p->side[0].ch, &out, parts, 2), VMB_EINVAL, "%u bytes", len);
		}
		cr_assert_eq(vmb_channel_flush(p->side[0].ch), 0);
		cr_assert_eq(pair_recv(p, 1, &in), 0, "nothing was queued");
		pair_free(p);
	}
}

/* In place on the receiving side, until release or 0. */
static void in_place(uint32_t kind, uint32_t flags)
{
	struct vmb_channel_config cfg = pair_config();
	struct pair *p = pair_rings(kind, 1, 1);
	uint8_t bytes[300], copy[300];
	uint32_t rows = 0;

	cfg.flags = flags;
	cr_assert(!pair_open(p, 0, &cfg) && !pair_open(p, 1, &cfg));
	for (uint32_t n = 0; n < 100; n++) {
		struct vmb_packet out = pair_packet(bytes, 200 + n), in;
		struct vmb_view all;
		struct vmb_rx *rx;

		fill(bytes, n, out.len);
		cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
		cr_assert_eq(vmb_channel_next(p->side[1].ch, &in, &all), VMB_YES);
		cr_assert_eq(in.len, flags ? out.len : (out.len + 7) / 8 * 8);
		cr_assert_eq(all.len, in.len);
		cr_assert_eq(vmb_channel_rx(p->side[1].ch, &rx), 0);
		cr_assert_eq(vmb_rx_copy(rx, &all, 0, copy, out.len), 0);
		cr_assert(filled(copy, n, out.len));
		rows += in.payload != NULL;
		cr_assert(!in.payload || filled(in.payload, n, out.len));
		if (n % 2)
			cr_assert_eq(vmb_channel_release(p->side[1].ch), 0);
		else
			cr_assert_eq(vmb_channel_next(p->side[1].ch, &in, &all), 0);
		cr_assert_eq(rig_word(p->ring[0], RIG_OUT), rig_word(p->ring[0], RIG_IN));
	}
	cr_assert(rows > 80 && rows < 100); /* one in about sixteen is cut by the end of the page */
	pair_free(p);
}

Test(data, raw_packets_in_place) { in_place(RIG_ONCE, 0); }
Test(data, pipe_packets_in_place) { in_place(RIG_ONCE, VMB_CHANNEL_PIPE); }
Test(data, packets_in_place_over_pages) { in_place(RIG_LIST, VMB_CHANNEL_PIPE); }

/* GPA direct: pages and payload arrive as they were sent, the list checked and in the byte order of the CPU. TV of ring.md 5.3 */
Test(data, gpa_direct)
{
	static const uint64_t words[] = { VMB_RANGE(0x1800, 0x900), 0x1234, 0x777, 0xabcdef0123, VMB_RANGE(1, 0xfff), 5 };

	for (uint32_t kind = 0; kind < RIG_KINDS; kind++) {
		struct pair *p = pair_rings(kind, 1, 1);

		cr_assert(!pair_open(p, 0, NULL) && !pair_open(p, 1, NULL));
		for (uint32_t n = 0; n < 200; n++) {
			struct vmb_packet out = pair_packet("payload!", 8), in;
			const struct vmb_list *l = &in.list;

			out.kind = VMB_PKT_GPA;
			out.flags = VMB_PKT_WANTS_REPLY;
			out.id = 9;
			out.list = (struct vmb_list){ words, 6, 2 };
			cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
			cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
			cr_assert(in.kind == VMB_PKT_GPA && in.head_len == 56 && in.len == 8);
			cr_assert(!memcmp(in.payload, "payload!", 8));
			cr_assert(l->count == 6 && l->ranges == 2 && !memcmp(l->words, words, sizeof words));
			cr_assert_eq((uintptr_t)l->words + 48, (uintptr_t)in.payload);
			cr_assert_eq(vmb_packet_bytes(&in), 0x1801);
		}
		pair_free(p);
	}
}

/* Words between the last range and the payload are legal, and not part of the list. ring.md 5.3 */
Test(data, gpa_direct_with_words_to_spare)
{
	static const uint64_t words[] = { VMB_RANGE(100, 0), 4, VMB_RANGE(100, 0), 5 };
	struct vmb_packet out = pair_packet("p", 1), in;
	struct pair *p = pair_new(NULL, NULL);

	out.kind = VMB_PKT_GPA;
	out.list = (struct vmb_list){ words, 4, 2 };
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	rig_set_qword(p->ring[0], 16, (uint64_t)1 << 32 | 0xbadbad); /* one range; garbage in the reserved half */
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert(in.list.count == 2 && in.list.ranges == 1 && in.head_len == 40 && in.list.words[1] == 4);
	cr_assert(*(const char *)in.payload == 'p');
	pair_free(p);
}

/* Transfer pages: the set and its windows. Ranges may overlap and need no pages. ring.md 5.4 */
Test(data, transfer_pages)
{
	static const uint64_t words[] = { VMB_RANGE(0x600, 0x12000), VMB_RANGE(0x600, 0x12000), VMB_RANGE(1, 0xffffffff) };
	struct vmb_packet out = pair_packet("nvsp....", 8), in;
	struct pair *p = pair_new(NULL, NULL);

	out.kind = VMB_PKT_XFER;
	out.flags = VMB_PKT_WANTS_REPLY;
	out.id = 1;
	out.page_set = 0xcafe;
	out.list = (struct vmb_list){ words, 3, 3 };
	cr_assert_eq(vmb_channel_send(p->side[1].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 0, &in), VMB_YES);
	cr_assert(in.kind == VMB_PKT_XFER && in.page_set == 0xcafe && in.head_len == 32 && in.len == 8);
	cr_assert(in.list.count == 3 && in.list.ranges == 3 && !memcmp(in.list.words, words, sizeof words));
	pair_free(p);
}

/* In place nothing is believed of the list: only counts. */
Test(data, external_packets_in_place)
{
	static const uint64_t words[] = { VMB_RANGE(100, 0), 4 };
	struct vmb_packet out = pair_packet("p", 1), in;
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_view all;

	out.kind = VMB_PKT_GPA;
	out.list = (struct vmb_list){ words, 2, 1 };
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_next(p->side[1].ch, &in, &all), VMB_YES);
	cr_assert(in.head_len == 24 && in.len == 8 && all.len == 32 && in.list.words == NULL && in.list.ranges == 1);
	pair_free(p);
}

/* A buffer that is too small is told so and told how large it must be, as often as it asks; a larger one gets the same packet. */
static void too_small(uint32_t flags, uint32_t need)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out, in;
	uint64_t buf[16];
	uint8_t bytes[61];
	struct pair *p;

	cfg.flags = flags;
	p = pair_new(&cfg, &cfg);
	for (uint32_t n = 0; n < 3; n++) {
		fill(bytes, n, sizeof bytes);
		out = pair_packet(bytes, sizeof bytes);
		cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	}
	cr_assert_eq(vmb_channel_flush(p->side[0].ch), 0);
	for (uint32_t n = 0; n < 3; n++) {
		for (uint32_t size = 0; size < need; size += n ? need - 1 : 1) {
			cr_assert_eq(vmb_channel_recv(p->side[1].ch, buf, size, &in), VMB_ETOOSMALL, "%u bytes", size);
			cr_assert_eq(in.head_len + in.len, need);
		}
		cr_assert_eq(vmb_channel_recv(p->side[1].ch, buf, need, &in), VMB_YES);
		cr_assert(in.len == need && filled(in.payload, n, sizeof bytes), "packet %u", n);
	}
	cr_assert_eq(vmb_channel_recv(p->side[1].ch, NULL, 0, &in), 0);
	cr_assert_eq(pair_info(p, 1).received, 3);
	pair_free(p);
}

Test(data, too_small_for_a_raw_packet) { too_small(0, 64); }
Test(data, too_small_for_a_pipe_packet) { too_small(VMB_CHANNEL_PIPE, 61); }

Test(data, a_packet_without_bytes_needs_no_buffer)
{
	struct vmb_packet out = pair_packet(NULL, 0), in;
	struct pair *p = pair_new(NULL, NULL);

	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_recv(p->side[1].ch, NULL, 0, &in), VMB_YES);
	cr_assert_eq(in.len, 0);
	pair_free(p);
}

/* Skip passes over exactly the packet that was announced. */
Test(data, skip)
{
	struct vmb_packet out, in;
	struct pair *p = pair_new(NULL, NULL);
	uint64_t buf[2];

	cr_assert_eq(vmb_channel_skip(p->side[1].ch), VMB_ESTATE, "nothing was announced");
	for (uint32_t n = 0; n < 3; n++) {
		out = pair_packet("0123456789abcdefghijklmn", n == 1 ? 24 : 8);
		out.id = n;
		cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	}
	cr_assert_eq(vmb_channel_flush(p->side[0].ch), 0);
	cr_assert_eq(vmb_channel_recv(p->side[1].ch, buf, sizeof buf, &in), VMB_YES);
	cr_assert_eq(vmb_channel_skip(p->side[1].ch), VMB_ESTATE, "that one did fit");
	cr_assert_eq(vmb_channel_recv(p->side[1].ch, buf, sizeof buf, &in), VMB_ETOOSMALL);
	cr_assert_eq(vmb_channel_skip(p->side[1].ch), 0);
	cr_assert_eq(vmb_channel_skip(p->side[1].ch), VMB_ESTATE, "once");
	cr_assert_eq(vmb_channel_recv(p->side[1].ch, buf, sizeof buf, &in), VMB_YES);
	cr_assert_eq(in.id, 2);
	cr_assert_eq(vmb_channel_recv(p->side[1].ch, buf, sizeof buf, &in), 0);
	cr_assert_eq(rig_word(p->ring[0], RIG_OUT), rig_word(p->ring[0], RIG_IN), "all space is back");
	pair_free(p);
}

/* Giving space back does not lose a packet that is still wanted. */
Test(data, release_keeps_a_packet_that_was_too_small_for)
{
	struct vmb_packet out = pair_packet("0123456789abcdef", 16), in;
	struct pair *p = pair_new(NULL, NULL);
	uint64_t buf[2];

	cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), 0);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(vmb_channel_recv(p->side[1].ch, buf, 8, &in), VMB_ETOOSMALL);
	cr_assert_eq(vmb_channel_release(p->side[1].ch), 0);
	cr_assert_eq(rig_word(p->ring[0], RIG_OUT), 40);
	cr_assert_eq(vmb_channel_recv(p->side[1].ch, buf, 16, &in), VMB_YES);
	cr_assert(!memcmp(in.payload, "0123456789abcdef", 16));
	pair_free(p);
}

/* What no ring can hold is refused for good, and nothing happened. ring.md 4.4 */
Test(data, too_big_for_the_ring)
{
	static uint8_t payload[4096];
	struct pair *p = pair_rings(RIG_ONCE, 1, 1);
	struct vmb_packet out = pair_packet(payload, 4096 - 8 - 24), in;
	struct vmb_span part = { payload, 4096 - 24 - 7 };
	struct vmb_view v;

	cr_assert(!pair_open(p, 0, NULL) && !pair_open(p, 1, NULL));
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0, "size - 8 with its frame is the largest");
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert_eq(pair_recv(p, 1, &in), 0);
	out = pair_packet(payload, 4096 - 24 - 7);
	cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), VMB_ETOOBIG);
	cr_assert_eq(vmb_channel_putv(p->side[0].ch, &out, &part, 1), VMB_ETOOBIG);
	cr_assert_eq(vmb_channel_reserve(p->side[0].ch, &out, &v), VMB_ETOOBIG);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), VMB_ETOOBIG);
	cr_assert_eq(rig_word(p->ring[0], RIG_PENDING), 0);
	cr_assert_eq(pair_info(p, 0).sent, 1);
	pair_free(p);
}

/* The caller's errors leave nothing behind. */
Test(data, packets_that_are_none)
{
	static const uint64_t words[] = { VMB_RANGE(100, 0), 4 };
	struct pair *p = pair_new(NULL, NULL);
	struct vmb_packet out, in;

	for (unsigned i = 0; i < 6; i++) {
		out = pair_packet("x", 1);
		switch (i) {
		case 0: out.kind = 5; break;
		case 1: out.flags = 2; out.id = 1; break;
		case 2: out.kind = VMB_PKT_COMPLETION; out.flags = VMB_PKT_WANTS_REPLY; out.id = 1; break;
		case 3: out.kind = VMB_PKT_GPA; break;
		case 4: out.list = (struct vmb_list){ words, 2, 1 }; break;
		case 5: out.flags = VMB_PKT_WANTS_REPLY; break; /* no id, and no table to give one: ring.md 7 */
		}
		cr_assert_eq(vmb_channel_put(p->side[0].ch, &out), VMB_EINVAL, "case %u", i);
	}
	cr_assert_eq(vmb_channel_flush(p->side[0].ch), 0);
	cr_assert_eq(pair_recv(p, 1, &in), 0);
	pair_free(p);
}

/* Unknown types and flags come through for who wants them all. */
Test(data, loose)
{
	struct vmb_channel_config cfg = pair_config();
	struct vmb_packet out = pair_packet("12345678", 8), in;
	struct pair *p;

	cfg.flags = VMB_CHANNEL_LOOSE;
	p = pair_new(NULL, &cfg);
	cr_assert_eq(vmb_channel_send(p->side[0].ch, &out), 0);
	rig_set_qword(p->ring[0], 0, 0xfffe00030002000au);
	cr_assert_eq(pair_recv(p, 1, &in), VMB_YES);
	cr_assert(in.kind == 10 && in.flags == 0xfffe && in.len == 8);
	pair_free(p);
}
