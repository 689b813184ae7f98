/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Guests with pages of 4, 16 and 64 KiB. The pages of the protocol are 4 KiB for all of them: each ring's control page takes a frame
 * of the guest, of which the first 4 KiB are shared and the rest is a gap; data follow in whole frames. ring.md 11.3, 16, gpadl.md 3
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "bigguest.h"

enum ring { ONCE, TWICE, LIST };
enum { TX_FRAMES = 2, RX_FRAMES = 3 }; /* of data */

/* Both rings of the guest and what it tells the library of them. */
struct layout {
	uint8_t *control[2], *data[2];   /* 0: the guest sends, 1: it receives */
	uint32_t data_pages[2];
	void *list[2][RX_FRAMES * 16];
	uint64_t words[1 + 2 + (TX_FRAMES + RX_FRAMES) * 16], *pfns;
	uint32_t pages;                  /* shared */
	struct vmb_ring_mem mem[2];
	void *guest_channel_mem, *host_channel_mem;
	struct vmb_channel *guest, *host;
};

static struct big *b;
static struct layout l;

/* ---- rings in whole frames */

static void lay_out(enum ring kind)
{
	struct vmb_piece pieces[4];
	struct vmb_list list;

	for (uint32_t i = 0; i < 2; i++) {
		uint32_t frames = i ? RX_FRAMES : TX_FRAMES;
		uint8_t *mine;

		/* TWICE: the data alone may be mapped again; else the ring is one piece of the guest's memory, as Linux has it */
		mine = big_alloc(b, kind == TWICE ? 1 : 1 + frames, 0);
		l.control[i] = mine;
		l.data[i] = kind == TWICE ? big_alloc(b, frames, 1) : mine + b->page;
		l.data_pages[i] = frames * b->pages;
		for (uint32_t k = 0; k < l.data_pages[i]; k++)
			l.list[i][k] = l.data[i] + (size_t)k * VMB_PAGE;
		l.mem[i] = (struct vmb_ring_mem){ .control = l.control[i], .data = kind == LIST ? NULL : l.data[i],
						  .pages = kind == LIST ? l.list[i] : NULL, .data_pages = l.data_pages[i],
						  .flags = kind == TWICE ? VMB_RING_TWICE : 0 };
		pieces[2 * i] = (struct vmb_piece){ (uintptr_t)l.control[i], VMB_PAGE };
		pieces[2 * i + 1] = (struct vmb_piece){ (uintptr_t)l.data[i], (uint64_t)frames * b->page };
	}
	cr_assert_eq(vmb_list_build(pieces, 4, b->page, big_translate, b, l.words, sizeof l.words / 8, &list), 0);
	cr_assert_eq(list.ranges, 1, "one range, for all of it is whole pages of the protocol");
	l.pages = list.count - 1;
	l.pfns = l.words + 1;
	cr_assert_eq(l.words[0], VMB_RANGE(l.pages * VMB_PAGE, 0));
}

/* Page i of the ring list. */
static const uint8_t *place(uint32_t i)
{
	for (uint32_t k = 0; k < 2; k++) {
		if (i == 0)
			return l.control[k];
		if (i <= l.data_pages[k])
			return l.data[k] + (size_t)(i - 1) * VMB_PAGE;
		i -= 1 + l.data_pages[k];
	}
	return NULL;
}

/* The list names the first 4 KiB of each control frame and all of the data, in order, and nothing of the gaps. */
static void check_list(void)
{
	cr_assert_eq(l.pages, 2 + (TX_FRAMES + RX_FRAMES) * b->pages);
	for (uint32_t i = 0; i < l.pages; i++)
		cr_assert_eq(l.pfns[i], big_pfn(b, place(i)), "page %u", i);
	cr_assert_null(place(l.pages));
}

static void *channel_mem(const struct vmb_channel_config *cfg, size_t *bytes)
{
	struct vmb_storage need;
	void *p;

	cr_assert_eq(vmb_channel_storage(cfg, &need), 0);
	*bytes = need.bytes;
	p = aligned_alloc(need.align, (need.bytes + need.align - 1) / need.align * need.align);
	cr_assert_not_null(p);
	return p;
}

static void open_both(void)
{
	struct vmb_channel_config mine = { .size = sizeof mine, .requests = 8, .tx = l.mem[0], .rx = l.mem[1] };
	struct vmb_channel_config theirs = { .size = sizeof theirs };
	struct vmb_open open = { .size = sizeof open, .tx_pages = 1 + l.data_pages[0], .rx_pages = 1 + l.data_pages[1], .pfns = l.pfns };
	struct vmb_open_info info = { .size = sizeof info };
	size_t bytes;

	l.guest_channel_mem = channel_mem(&mine, &bytes);
	cr_assert_eq(vmb_guest_open(b->guest, b->channel, l.guest_channel_mem, bytes, &mine, &open, &l.guest), 0);
	big_run(b);
	cr_assert_eq(b->all_mapped, 0);
	cr_assert_eq(big_host_event(b, VMB_EV_OPEN).ch, b->offer);
	cr_assert_eq(vmb_host_open_info(b->host, b->offer, &info), 0);
	cr_assert_eq(info.ring_pages, l.pages);
	cr_assert_eq(info.rx_pages, 1 + l.data_pages[0], "pages of the protocol to where the second ring begins");
	theirs.ring_pages = info.ring_pages;
	l.host_channel_mem = channel_mem(&theirs, &bytes);
	cr_assert_eq(vmb_host_attach(b->host, b->offer, l.host_channel_mem, bytes, &theirs, &l.host), 0);
	big_run(b);
	(void)big_guest_event(b, VMB_EV_OPENED);
}

/* Just the pages of the list are mapped, each once. */
static void check_mapped(void)
{
	cr_assert_eq(b->all_mapped, l.pages);
	for (uint32_t i = 0; i < l.pages; i++)
		cr_assert_eq(b->mapped[l.pfns[i]], 1, "page %u", i);
}

/* Nobody has been in the gaps: no byte has changed, and the host has never had them mapped. */
static void check_gaps(void)
{
	for (uint32_t i = 0; i < 2; i++)
		for (uint32_t at = VMB_PAGE; at < b->page; at++) {
			cr_assert_eq(l.control[i][at], BIG_FILL, "ring %u, offset %#x", i, at);
			cr_assert_eq(b->touched[big_pfn(b, l.control[i] + at)], 0);
		}
}

static void close_both(void)
{
	cr_assert_eq(vmb_guest_close(b->guest, b->channel), 0);
	big_run(b);
	(void)big_host_event(b, VMB_EV_CLOSE);
	cr_assert_eq(vmb_host_detach(b->host, b->offer), 0);
	big_run(b);
	(void)big_host_event(b, VMB_EV_CLOSED);
	(void)big_guest_event(b, VMB_EV_CLOSED);
	cr_assert_eq(b->all_mapped, 0);
	free(l.guest_channel_mem);
	free(l.host_channel_mem);
}

static void leave(void)
{
	struct vmb_bus_info info = { .size = sizeof info };

	cr_assert_eq(vmb_guest_release(b->guest, b->channel), 0);
	big_run(b);
	(void)big_guest_event(b, VMB_EV_GONE);
	cr_assert_eq(vmb_guest_disconnect(b->guest), 0);
	big_run(b);
	(void)big_guest_event(b, VMB_EV_DISCONNECTED);
	(void)big_host_event(b, VMB_EV_DISCONNECTED);
	cr_assert_eq(b->guest_events + b->host_events, 0, "nothing else was told");
	cr_assert_eq(vmb_host_info(b->host, &info), 0);
	cr_assert_eq(info.gpadls + info.gpadl_pages + info.attached, 0);
	cr_assert_eq(vmb_guest_end(b->guest), 0);
	cr_assert_eq(vmb_host_end(b->host), 0);
	big_free(b);
}

/* ---- packets */

static uint8_t byte_at(uint32_t seed, uint32_t i)
{
	return (uint8_t)(seed * 41 + i * 7 + i / 251);
}

static void fill(uint8_t *to, uint32_t seed, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] = byte_at(seed, i);
}

static int filled(const uint8_t *from, uint32_t seed, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (from[i] != byte_at(seed, i))
			return 0;
	return 1;
}

/* Packets of all sizes from one side to the other until the ring has been passed three times. */
static void stream(struct vmb_channel *from, struct vmb_channel *to, uint32_t ring)
{
	static uint8_t out[4000];
	static uint64_t in[600];
	uint32_t bytes = l.data_pages[ring] * VMB_PAGE, seed = 0;

	for (uint32_t sent = 0; sent < 3 * bytes; seed++) {
		uint32_t len = seed * 397 % sizeof out;
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = out, .len = len }, q;

		fill(out, seed, len);
		cr_assert_eq(vmb_channel_send(from, &p), 0);
		cr_assert_eq(vmb_channel_recv(to, in, sizeof in, &q), VMB_YES);
		cr_assert(q.len == (len + 7) / 8 * 8 && filled(q.payload, seed, len), "packet %u", seed);
		cr_assert_eq(vmb_channel_recv(to, in, sizeof in, &q), 0);
		sent += len + 24;
	}
	cr_assert_gt(seed, 5);
}

/* As many as fit, then all of them read: the ring has exactly the data of its frames. */
static void to_the_brim(struct vmb_channel *from, struct vmb_channel *to, uint32_t ring)
{
	static const uint8_t payload[VMB_PAGE / 2 - 24];
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = payload, .len = sizeof payload }, q;
	static uint64_t in[600];
	uint32_t n = 0;
	int r;

	while ((r = vmb_channel_send(from, &p)) == 0)
		n++;
	cr_assert_eq(r, VMB_EFULL);
	cr_assert_eq(n, 2 * l.data_pages[ring] - 1);
	for (uint32_t i = 0; i < n; i++)
		cr_assert_eq(vmb_channel_recv(to, in, sizeof in, &q), VMB_YES);
	cr_assert_eq(vmb_channel_recv(to, in, sizeof in, &q), 0);
}

/* A request with a buffer of the guest: from `offset` on in frames that are scattered. The device turns every bit of it, and touches
 * no page beside it. */
static void page_buffer(uint8_t *buffer, uint32_t frames, uint32_t offset, uint32_t bytes)
{
	struct vmb_piece piece = { (uintptr_t)buffer + offset, bytes };
	static uint64_t words[BIG_FRAMES * 16], in[600];
	struct vmb_packet p = { .kind = VMB_PKT_GPA, .flags = VMB_PKT_WANTS_REPLY, .payload = "turn it!", .len = 8, .user = offset }, q;
	uint8_t *copy = malloc(bytes);
	uint32_t first = offset / VMB_PAGE, pages = (offset % VMB_PAGE + bytes + VMB_PAGE - 1) / VMB_PAGE;

	fill(buffer, offset, frames * b->page);
	cr_assert_eq(vmb_list_build(&piece, 1, b->page, big_translate, b, words, sizeof words / 8, &p.list), 0);
	cr_assert(p.list.ranges == 1 && p.list.count == 1 + pages, "%u words", p.list.count);
	cr_assert_eq(words[0], VMB_RANGE(bytes, offset % VMB_PAGE));
	for (uint32_t i = 0; i < pages; i++) /* within a frame they are consecutive: ring.md 11.3 */
		cr_assert_eq(words[1 + i], big_pfn(b, buffer + (size_t)(first + i) * VMB_PAGE));
	memset(b->touched, 0, sizeof b->touched);
	cr_assert_eq(vmb_channel_send(l.guest, &p), 0);
	cr_assert_eq(vmb_channel_recv(l.host, in, sizeof in, &q), VMB_YES);
	cr_assert(q.kind == VMB_PKT_GPA && vmb_packet_bytes(&q) == bytes);
	cr_assert_eq(vmb_packet_read(&q, NULL, &b->host_mapper, 0, copy, bytes), 0);
	for (uint32_t i = 0; i < bytes; i++) {
		cr_assert_eq(copy[i], byte_at(offset, offset + i));
		copy[i] = (uint8_t)~copy[i];
	}
	cr_assert_eq(vmb_packet_write(&q, NULL, &b->host_mapper, 0, copy, bytes), 0);
	p = (struct vmb_packet){ .kind = VMB_PKT_COMPLETION, .id = q.id };
	cr_assert_eq(vmb_channel_send(l.host, &p), 0);
	cr_assert_eq(vmb_channel_recv(l.guest, in, sizeof in, &q), VMB_YES);
	cr_assert(q.kind == VMB_PKT_COMPLETION && q.user == offset);
	for (uint32_t i = 0; i < frames * b->page; i++) {
		int inside = i >= offset && i < offset + bytes;

		cr_assert_eq(buffer[i], (uint8_t)(inside ? ~byte_at(offset, i) : byte_at(offset, i)), "byte %#x", i);
	}
	for (uint32_t i = 0; i < frames * b->pages; i++)
		cr_assert_eq(b->touched[big_pfn(b, buffer + (size_t)i * VMB_PAGE)], i >= first && i < first + pages, "page %u", i);
	check_mapped();
	free(copy);
}

/* Memory announced by a GPADL of its own; the host writes there and says where by a transfer-page packet. */
static void receive_buffer(uint8_t *buffer, uint32_t frames)
{
	struct vmb_piece piece = { (uintptr_t)buffer, (uint64_t)frames * b->page };
	static uint64_t words[BIG_FRAMES * 16], held[BIG_FRAMES * 16], in[600];
	uint64_t window = VMB_RANGE(3000, b->page - 1000); /* over the border of two frames */
	struct vmb_packet p = { .kind = VMB_PKT_XFER, .page_set = 7, .list = { &window, 1, 1 } }, q;
	struct vmb_list list, set;
	static uint8_t data[3000], got[3000];
	uint32_t gpadl;

	cr_assert_eq(vmb_list_build(&piece, 1, b->page, big_translate, b, words, sizeof words / 8, &list), 0);
	cr_assert(list.ranges == 1 && list.count == 1 + frames * b->pages);
	cr_assert_eq(vmb_guest_gpadl_create(b->guest, b->channel, &list, &gpadl), 0);
	big_run(b);
	cr_assert_eq(big_guest_event(b, VMB_EV_GPADL).gpadl, gpadl);
	cr_assert_eq(vmb_host_gpadl_hold(b->host, b->offer, gpadl, held, sizeof held / 8, &set), 0);
	cr_assert(set.count == list.count && !memcmp(held, words, list.count * 8));
	fill(data, 99, sizeof data);
	memset(buffer, 0, (size_t)frames * b->page);
	cr_assert_eq(vmb_list_write(&set, &b->host_mapper, b->page - 1000, data, sizeof data), 0);
	cr_assert_eq(vmb_channel_send(l.host, &p), 0);
	cr_assert_eq(vmb_channel_recv(l.guest, in, sizeof in, &q), VMB_YES);
	cr_assert(q.kind == VMB_PKT_XFER && q.page_set == 7 && vmb_packet_bytes(&q) == sizeof data);
	cr_assert_eq(vmb_packet_read(&q, &list, &b->guest_mapper, 0, got, sizeof got), 0);
	cr_assert(!memcmp(got, data, sizeof data) && !memcmp(buffer + b->page - 1000, data, sizeof data));
	cr_assert_eq(vmb_guest_gpadl_destroy(b->guest, gpadl), 0);
	big_run(b);
	cr_assert_eq(big_host_event(b, VMB_EV_GPADL_DOWN).gpadl, gpadl);
	cr_assert_eq(vmb_host_gpadl_release(b->host, b->offer, gpadl), 0);
	big_run(b);
	cr_assert_eq(big_guest_event(b, VMB_EV_GPADL_DOWN).gpadl, gpadl);
	check_mapped();
}

static void whole_life(uint32_t page, enum ring kind)
{
	uint8_t *buffer;

	b = big_new(page);
	lay_out(kind);
	check_list();
	buffer = big_alloc(b, 4, 0);
	for (uint32_t round = 0; round < 2; round++) { /* opened again in the same memory */
		memset(b->touched, 0, sizeof b->touched);
		open_both();
		check_mapped();
		stream(l.guest, l.host, 0);
		stream(l.host, l.guest, 1);
		to_the_brim(l.guest, l.host, 0);
		to_the_brim(l.host, l.guest, 1);
		check_gaps();
		page_buffer(buffer, 4, 0, 4 * page);
		page_buffer(buffer, 4, 0, VMB_PAGE);
		page_buffer(buffer, 4, page - 1, 2);
		page_buffer(buffer, 4, page + 0x345, page + 17);
		page_buffer(buffer, 4, 2 * page - VMB_PAGE, VMB_PAGE);
		receive_buffer(buffer, 4);
		check_gaps();
		close_both();
	}
	leave();
}

Test(pages, a_guest_with_4_kib_rings_mapped_once) { whole_life(4096, ONCE); }
Test(pages, a_guest_with_4_kib_rings_mapped_twice) { whole_life(4096, TWICE); }
Test(pages, a_guest_with_4_kib_rings_as_lists) { whole_life(4096, LIST); }
Test(pages, a_guest_with_16_kib_rings_mapped_once) { whole_life(16384, ONCE); }
Test(pages, a_guest_with_16_kib_rings_mapped_twice) { whole_life(16384, TWICE); }
Test(pages, a_guest_with_16_kib_rings_as_lists) { whole_life(16384, LIST); }
Test(pages, a_guest_with_64_kib_rings_mapped_once) { whole_life(65536, ONCE); }
Test(pages, a_guest_with_64_kib_rings_mapped_twice) { whole_life(65536, TWICE); }
Test(pages, a_guest_with_64_kib_rings_as_lists) { whole_life(65536, LIST); }

/* Without a gap both rings fit in one frame, four pages each, and the list is what follows from its address alone. */
static void in_one_frame(uint32_t page)
{
	uint32_t each = page / VMB_PAGE / 2;
	struct vmb_open open = { .size = sizeof open, .tx_pages = each, .rx_pages = each };
	struct vmb_channel_config mine = { .size = sizeof mine }, theirs = { .size = sizeof theirs, .ring_pages = 2 * each };
	uint8_t *frame;
	size_t bytes;

	b = big_new(page);
	(void)big_alloc(b, 3, 0);
	frame = big_alloc(b, 1, 0);
	open.ring = frame;
	open.ring_gpa = big_pfn(b, frame) * VMB_PAGE;
	l.data_pages[0] = l.data_pages[1] = each - 1;
	l.guest_channel_mem = channel_mem(&mine, &bytes);
	cr_assert_eq(vmb_guest_open(b->guest, b->channel, l.guest_channel_mem, bytes, &mine, &open, &l.guest), 0);
	big_run(b);
	(void)big_host_event(b, VMB_EV_OPEN);
	l.host_channel_mem = channel_mem(&theirs, &bytes);
	cr_assert_eq(vmb_host_attach(b->host, b->offer, l.host_channel_mem, bytes, &theirs, &l.host), 0);
	big_run(b);
	(void)big_guest_event(b, VMB_EV_OPENED);
	cr_assert_eq(b->all_mapped, 2 * each);
	for (uint32_t i = 0; i < 2 * each; i++)
		cr_assert_eq(b->mapped[big_pfn(b, frame) + i], 1);
	stream(l.guest, l.host, 0);
	stream(l.host, l.guest, 1);
	to_the_brim(l.guest, l.host, 0);
	close_both();
	leave();
}

Test(pages, both_rings_in_one_frame_of_16_kib) { in_one_frame(16384); }
Test(pages, both_rings_in_one_frame_of_64_kib) { in_one_frame(65536); }

/* The example of ring.md 16: 64 KiB pages, 128 KiB for each ring, all frames in a row from page number `from` on. */
static int in_a_row(void *ctx, uint64_t address, uint64_t *gpa)
{
	*gpa = *(uint64_t *)ctx * VMB_PAGE + (address - 0x40000000);
	return 0;
}

Test(pages, the_list_of_the_specifications_example)
{
	static const struct vmb_piece pieces[4] = { { 0x40000000, 0x1000 }, { 0x40010000, 0x10000 }, { 0x40020000, 0x1000 },
						    { 0x40030000, 0x10000 } };
	uint64_t from = 0x1230, words[64];
	struct vmb_list list;

	cr_assert_eq(vmb_list_build(pieces, 4, 65536, in_a_row, &from, words, 64, &list), 0);
	cr_assert(list.ranges == 1 && list.count == 35 && words[0] == VMB_RANGE(0x22000, 0));
	for (uint32_t i = 0; i < 34; i++)
		cr_assert_eq(words[1 + i], from + (i == 0 ? 0 : i <= 17 ? 15 + i : 30 + i), "page %u", i);
	cr_assert_eq(words[1 + 17], from + 32, "where the second ring begins");
}
