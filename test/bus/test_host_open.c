/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Opening, serving, retargeting at the host end. control-plane.md 10, gpadl.md 6 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

enum { RING = 0x70, FAILED = (int)0x8000ffff };

static vmb_handle dev;
static struct vmb_channel *channel;

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static void start_at(uint32_t version)
{
	hb_start(2);
	dev = hb_handle(1);
	hb_connect(version);
}

static void start(void)
{
	start_at(VMB_V5_3);
}

TestSuite(host_open, .init = start);

static void gpadl(uint32_t id, uint32_t pages)
{
	hb_gpadl(1, id, HB_RING_PFN, pages);
	hb_expect(10, 3, 1, id, 0);
}

static void open_with(uint32_t id, uint32_t vp, uint32_t rx_pages)
{
	uint8_t msg[148];

	hb_open_bytes(msg, 1, 77, id, vp, rx_pages);
	cr_assert_eq(hb_post(1, msg, sizeof msg), 0);
}

/* The guest is told no, at once; the channel stays closed. */
static void refused(uint32_t id, uint32_t vp, uint32_t rx_pages)
{
	open_with(id, vp, rx_pages);
	hb_expect(6, 3, 1, 77, FAILED);
	hb_no_event();
}

static void asked(void)
{
	gpadl(RING, 4);
	open_with(RING, 0, 2);
	hb_event(VMB_EV_OPEN, dev);
}

static void word(uint64_t page, uint32_t at, uint32_t v)
{
	put32(hb->ram + page * VMB_PAGE + at, v);
}

static struct vmb_ring_mem ring_at(uint64_t pfn, uint32_t data_pages, uint32_t flags)
{
	return (struct vmb_ring_mem){ .control = hb->ram + pfn * VMB_PAGE, .data = hb->ram + (pfn + 1) * VMB_PAGE,
				      .data_pages = data_pages, .flags = flags };
}

static int send(void)
{
	return vmb_channel_send(channel, &(struct vmb_packet){ .kind = VMB_PKT_INBAND, .payload = "01234567", .len = 8 });
}

/* ---- checks of an OPEN: control-plane.md 10.2, gpadl.md 6 */

Test(host_open, without_its_gpadl) { refused(RING, 0, 2); }

Test(host_open, with_a_gpadl_of_another_channel)
{
	hb_gpadl(2, RING, HB_RING_PFN, 4);
	hb_expect(10, 3, 2, RING, 0);
	refused(RING, 0, 2);
}

Test(host_open, with_a_gpadl_that_is_not_complete)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, RING, 0, 0, 0, 248, 0, 1 };

	cr_assert_eq(hb_post(1, msg, 236), 0);
	refused(RING, 0, 2);
}

Test(host_open, with_a_gpadl_that_is_being_torn_down)
{
	hb_serve(1, dev, 1, 0);
	hb_teardown(1, hb_ring_id(1));
	hb_close(1);
	hb_drain_events();
	open_with(hb_ring_id(1), 0, 2); /* gpadl.md 10 (18) */
	hb_expect(6, 3, 1, 77, FAILED);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(12, 1, hb_ring_id(1));
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
}

Test(host_open, with_two_ranges)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, RING, 0, 0, 0, 48, 0, 2 };

	put32(msg + 20, 0x2000);
	msg[28] = 0x10;
	msg[36] = 0x11;
	put32(msg + 44, 0x2000);
	msg[52] = 0x12;
	msg[60] = 0x13;
	cr_assert_eq(hb_post(1, msg, 68), 0);
	hb_expect(10, 3, 1, RING, 0);
	refused(RING, 0, 2);
}

Test(host_open, with_an_offset)
{
	uint8_t msg[VMB_MESSAGE_MAX];

	hb_gpadl_bytes(msg, 1, RING, HB_RING_PFN, 5);
	put32(msg + 20, 0x4000);
	put32(msg + 24, 8);
	cr_assert_eq(hb_post(1, msg, 68), 0);
	hb_expect(10, 3, 1, RING, 0);
	refused(RING, 0, 2);
}

Test(host_open, with_part_of_a_page)
{
	uint8_t msg[VMB_MESSAGE_MAX];

	hb_gpadl_bytes(msg, 1, RING, HB_RING_PFN, 4);
	put32(msg + 20, 0x3ff8);
	cr_assert_eq(hb_post(1, msg, 60), 0);
	hb_expect(10, 3, 1, RING, 0);
	refused(RING, 0, 2);
}

Test(host_open, with_rings_that_leave_no_data)
{
	static const uint32_t bad[] = { 0, 1, 3, 4, 5, 6, 0x7fffffff, 0xfffffffe, 0xffffffff };

	gpadl(RING, 4);
	for (int i = 0; i < 9; i++)
		refused(RING, 0, bad[i]);
	gpadl(RING + 1, 3);
	refused(RING + 1, 0, 2);
	refused(RING + 1, 0, 1);
	gpadl(RING + 2, 1);
	refused(RING + 2, 0, 1);
}

Test(host_open, with_a_vp_that_does_not_exist)
{
	gpadl(RING, 4);
	refused(RING, 8, 2);
	refused(RING, 0xfffffffe, 2);
	open_with(RING, 7, 2);
	hb_event(VMB_EV_OPEN, dev);
}

Test(host_open, below_2_4_the_vp_is_ignored)
{
	struct vmb_open_info info = { .size = sizeof info };

	hb_free(hb);
	start_at(VMB_V1_1);
	gpadl(RING, 4);
	open_with(RING, 0x1234, 2); /* control-plane.md 21 (24) */
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.target_vp, 0);
	cr_assert_eq(info.event_flag, 0);
}

Test(host_open, of_148_bytes_and_longer_but_not_shorter)
{
	uint8_t msg[156] = { 0 };

	gpadl(RING, 4);
	hb_open_bytes(msg, 1, 77, RING, 0, 2);
	cr_assert_eq(hb_post(1, msg, 147), 0);
	hb_no_event();
	cr_assert_eq(hb_info().dropped, 1);
	memset(msg + 148, 0xff, 8); /* what UEFI appends */
	cr_assert_eq(hb_post(1, msg, 156), 0);
	hb_event(VMB_EV_OPEN, dev);
	hb_quiet();
}

Test(host_open, echoes_the_open_id_either_way)
{
	hb_open(1, 0xdeadbeef, RING, 0);
	hb_expect(6, 3, 1, 0xdeadbeef, FAILED);
	gpadl(RING, 4);
	hb_open(1, 0, RING, 0);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_expect(6, 3, 1, 0, 0);
}

Test(host_open, tells_what_the_guest_said)
{
	struct vmb_open_info info = { .size = sizeof info };

	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), VMB_ESTATE);
	gpadl(RING, 9);
	open_with(RING, 5, 3);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb->ev.user, 101);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.size, sizeof info);
	cr_assert_eq(info.flags, 0);
	cr_assert_eq(info.version, VMB_V5_3);
	cr_assert_eq(info.ring_gpadl, RING);
	cr_assert_eq(info.ring_pages, 9);
	cr_assert_eq(info.rx_pages, 3);
	cr_assert_eq(info.target_vp, 5);
	cr_assert_eq(info.target_sint, 2);
	cr_assert_eq(info.event_flag, 1);
	cr_assert_eq(info.connection_id, 0x2001);
	for (int i = 0; i < 120; i++)
		cr_assert_eq(info.user_data[i], i + 1);
	cr_assert_eq(vmb_host_open_info(hb->h, dev + 99, &info), VMB_EHANDLE);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, NULL), VMB_EINVAL);
}

Test(host_open, tells_it_also_when_the_question_has_lost_its_sense)
{
	struct vmb_open_info info = { .size = sizeof info };

	gpadl(RING, 9);
	open_with(RING, 5, 3);
	hb_event(VMB_EV_OPEN, dev);
	hb_unload();
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0); /* so that a device may go on to attach, which says it */
	cr_assert_eq(info.ring_pages, 9);
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTOPPED);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), VMB_ESTATE);
}

/* ---- attach */

Test(host_open, attach_before_the_question_was_given_out)
{
	gpadl(RING, 4);
	open_with(RING, 0, 2);
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTATE);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
}

Test(host_open, rings_of_unequal_size_and_any_pages)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	struct vmb_ring_info *in;
	struct vmb_channel_info info = { .size = sizeof info };

	hb_gpadl_bytes(msg, 1, RING, 0x40, 26);
	for (int i = 0; i < 26; i++)
		msg[28 + 8 * i] = (uint8_t)(0x40 + (i * 7) % 26); /* in disorder */
	cr_assert_eq(hb_post(1, msg, 236), 0);
	hb_expect(10, 3, 1, RING, 0);
	open_with(RING, 0, 20);
	hb_event(VMB_EV_OPEN, dev);
	word(0x40, 0, 16);                         /* In of the guest's ring: page 0 of the list */
	word(0x40 + (20 * 7) % 26, 4, 8 * 1000);   /* Out of ours: page 20 */
	word(0x40 + (20 * 7) % 26, 0, 8 * 1001);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	cr_assert_eq(vmb_channel_info(channel, &info), 0);
	in = &info.rx;
	cr_assert_eq(in->data_bytes, 19 * 4096);
	cr_assert_eq(in->in, 16);
	cr_assert_eq(info.tx.data_bytes, 5 * 4096);
	cr_assert_eq(info.tx.in, 8008);
	cr_assert_eq(info.tx.out, 8000);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(hb->all_mapped, 0);
	hb_sound();
}

Test(host_open, data_crosses_in_both_directions)
{
	uint8_t *rx = hb->ram + (hb_ring_pfn(1) + 1) * VMB_PAGE, *tx = hb->ram + (hb_ring_pfn(1) + 3) * VMB_PAGE;
	uint64_t buf[16];
	struct vmb_packet p;

	channel = hb_serve(1, dev, 1, 0);
	memcpy(rx, "\6\0\2\0\3\0\0\0\1\2\3\4\5\6\7\10from the", 24); /* in-band, 8 bytes */
	word(hb_ring_pfn(1), 0, 32);
	cr_assert_eq(vmb_channel_recv(channel, buf, sizeof buf, &p), VMB_YES);
	cr_assert_eq(p.len, 8);
	cr_assert_eq(memcmp(p.payload, "from the", 8), 0);
	cr_assert_eq(p.id, 0x0807060504030201);
	cr_assert_eq(send(), 0);
	cr_assert_eq(memcmp(tx + 16, "01234567", 8), 0);
	cr_assert_eq(hb->interrupts, 1);
}

#define BAD_INDEX(name, page, at, value) \
	Test(host_open, name) \
	{ \
		asked(); \
		word(HB_RING_PFN + page, at, value); \
		cr_assert_eq(hb_attach(1, dev, &channel), VMB_EPEER); \
		hb_expect(6, 3, 1, 77, FAILED); \
		hb_no_event(); /* no EV_CLOSED */ \
		cr_assert_eq(hb->all_mapped, 0); \
		cr_assert_eq(hb->wakes, 0); \
		word(HB_RING_PFN + page, at, 0); \
		open_with(RING, 0, 2); \
		hb_event(VMB_EV_OPEN, dev); \
		cr_assert_eq(hb_attach(1, dev, &channel), 0); \
		hb_sound(); \
	}
BAD_INDEX(an_in_of_the_guests_ring_beyond_it, 0, 0, 4096)
BAD_INDEX(an_out_of_the_guests_ring_beyond_it, 0, 4, 0xfffffff8)
BAD_INDEX(an_in_of_our_ring_beyond_it, 2, 0, 4096)
BAD_INDEX(an_out_of_our_ring_that_is_unaligned, 2, 4, 12)

Test(host_open, map_failing_at_each_chunk)
{
	/* 100 pages: four chunks */
	for (unsigned n = 1; n <= 5; n++) {
		uint8_t msg[VMB_MESSAGE_MAX];
		int r;

		hb_free(hb);
		start();
		hb_gpadl_bytes(msg, 1, RING, 0x40, 26);
		put32(msg + 16, 808 | 1u << 16);
		put32(msg + 20, 100 * VMB_PAGE);
		cr_assert_eq(hb_post(1, msg, 236), 0);
		for (uint32_t at = 26; at < 100; at += 28) {
			uint8_t more[VMB_MESSAGE_MAX] = { 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, RING };

			for (uint32_t i = 0; i < 28; i++)
				more[16 + 8 * i] = (uint8_t)(0x40 + at + i);
			cr_assert_eq(hb_post(1, more, 240), 0);
		}
		hb_expect(10, 3, 1, RING, 0);
		open_with(RING, 0, 50);
		hb_event(VMB_EV_OPEN, dev);
		hb->map_fail_at = n;
		r = hb_attach(1, dev, &channel);
		if (n == 5) {
			cr_assert_eq(r, 0);
			cr_assert_eq(hb->all_mapped, 100);
			hb_expect(6, 3, 1, 77, 0);
			cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
		} else {
			cr_assert_eq(r, VMB_EMAP);
			hb_expect(6, 3, 1, 77, FAILED);
			hb_no_event();
			hb_teardown(1, RING);
			hb_expect(12, 1, RING);
		}
		cr_assert_eq(hb->all_mapped, 0);
		hb_sound();
	}
}

Test(host_open, pages_outside_the_guests_memory)
{
	hb_gpadl(1, RING, HB_RAM_PAGES - 2, 4);
	hb_expect(10, 3, 1, RING, 0); /* looked at when they are mapped: gpadl.md 3.1 */
	open_with(RING, 0, 2);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_EMAP);
	hb_expect(6, 3, 1, 77, FAILED);
	cr_assert_eq(hb->all_mapped, 0);
}

Test(host_open, callers_errors_change_nothing)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .ring_pages = 4 };
	size_t bytes;
	uint8_t *mem = hb_channel_mem(1, &bytes);
	struct vmb_channel *c = NULL;

	asked();
	cr_assert_eq(vmb_host_attach(hb->h, dev, NULL, bytes, &cfg, &c), VMB_EINVAL);
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, NULL, &c), VMB_EINVAL);
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_host_attach(NULL, dev, mem, bytes, &cfg, &c), VMB_EINVAL);
	cr_assert_eq(vmb_host_attach(hb->h, dev + 33, mem, bytes, &cfg, &c), VMB_EHANDLE);
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, 128, &cfg, &c), VMB_ENOSPACE);
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem + 8, bytes - 8, &cfg, &c), VMB_ENOSPACE);
	cfg.ring_pages = 3;
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &c), VMB_EINVAL);
	cfg.ring_pages = 4;
	cfg.size = 4;
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &c), VMB_ESTRUCT);
	cfg.size = sizeof cfg;
	cfg.flags = 0x40000000;
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &c), VMB_EINVAL);
	cfg.flags = 0;
	cfg.tx.control = hb->ram;
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &c), VMB_EINVAL); /* one of two */
	cfg.tx.control = NULL;
	hb_quiet();
	cr_assert_null(c);
	cr_assert_eq(hb->all_mapped, 0);
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &c), 0);
	hb_expect(6, 3, 1, 77, 0);
}

Test(host_open, rings_that_the_embedder_mapped)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	size_t bytes;
	void *mem = hb_channel_mem(1, &bytes);

	asked();
	cfg.rx = ring_at(HB_RING_PFN, 2, 0);
	cfg.tx = ring_at(HB_RING_PFN + 2, 1, 0);
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &channel), VMB_EINVAL); /* not as the guest said */
	cfg.rx.data_pages = 1;
	cfg.tx.data_pages = 2;
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &channel), VMB_EINVAL);
	cfg.tx.data_pages = 1;
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &channel), 0);
	cr_assert_eq(hb->map_calls, 0);
	cr_assert_eq(send(), 0);
	cr_assert_eq(memcmp(hb->ram + (HB_RING_PFN + 3) * VMB_PAGE + 16, "01234567", 8), 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(hb->unmapped, 0);
}

Test(host_open, a_fresh_ring_is_the_guests_to_make)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_channel_info info = { .size = sizeof info };
	size_t bytes;
	void *mem = hb_channel_mem(1, &bytes);

	asked();
	word(HB_RING_PFN, 0, 64);
	cfg.rx = ring_at(HB_RING_PFN, 1, VMB_RING_FRESH);
	cfg.tx = ring_at(HB_RING_PFN + 2, 1, VMB_RING_FRESH);
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &channel), 0);
	cr_assert_eq(vmb_channel_info(channel, &info), 0);
	cr_assert_eq(info.rx.in, 64); /* what the guest sent already is not lost */
}

Test(host_open, no_map_callback)
{
	struct vmb_host_config cfg;
	struct vmb_storage need;
	struct vmb_host *own;

	cfg = hb->cfg;
	cfg.map = NULL;
	cr_assert_eq(vmb_host_storage(&cfg, &need), VMB_EINVAL); /* both or none */
	cfg.unmap = NULL;
	hb->cfg = cfg;
	cr_assert_eq(vmb_host_init(hb->mem, hb->bytes, &cfg, &own), 0);
	hb->h = own;
	dev = hb_offer(1);
	hb_connect(VMB_V5_3);
	asked();
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_EMAP);
	hb_expect(6, 3, 1, 77, FAILED);
	hb_contact(VMB_V1_1);
	hb_expect(15, 2, 0, 0);
}

Test(host_open, pipe_offers_frame_their_packets)
{
	struct vmb_offer o;
	uint8_t *tx;

	hb_offer_fill(&o, 9, 0);
	o.flags |= VMB_OFFER_PIPE;
	cr_assert_eq(vmb_host_offer(hb->h, &o, &dev), 0);
	cr_assert_not_null(hb_next());
	channel = hb_serve(1, dev, 3, 0);
	cr_assert_eq(send(), 0);
	tx = hb->ram + (hb_ring_pfn(3) + 3) * VMB_PAGE;
	cr_assert_eq(memcmp(tx + 16, "\1\0\0\0\10\0\0\00001234567", 16), 0);
}

Test(host_open, but_not_raw_ones)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .ring_pages = 4, .flags = VMB_CHANNEL_RAW };
	struct vmb_offer o;
	size_t bytes;
	void *mem = hb_channel_mem(1, &bytes);

	hb_offer_fill(&o, 9, 0);
	o.flags |= VMB_OFFER_PIPE;
	cr_assert_eq(vmb_host_offer(hb->h, &o, &dev), 0);
	cr_assert_not_null(hb_next());
	hb_gpadl(3, RING, HB_RING_PFN, 4);
	hb_open(3, 1, RING, 0);
	hb_drain_events();
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &channel), 0);
	cr_assert_eq(send(), 0);
	cr_assert_eq(memcmp(hb->ram + (HB_RING_PFN + 3) * VMB_PAGE + 16, "01234567", 8), 0);
}

Test(host_open, pipe_framing_is_the_offers_matter)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .ring_pages = 4, .flags = VMB_CHANNEL_PIPE };
	size_t bytes;
	void *mem = hb_channel_mem(1, &bytes);

	asked();
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &channel), 0);
	cr_assert_eq(send(), 0);
	cr_assert_eq(memcmp(hb->ram + (HB_RING_PFN + 3) * VMB_PAGE + 16, "01234567", 8), 0);
}

/* ---- giving it back and going on */

Test(host_open, detached_and_attached_again_it_goes_on)
{
	struct vmb_channel_info info = { .size = sizeof info };

	channel = hb_serve(1, dev, 1, 0);
	cr_assert_eq(send(), 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(hb->all_mapped, 0);
	cr_assert_eq(hb_attach(2, dev, &channel), VMB_EAGAIN); /* the first is not over before its EV_CLOSED */
	hb_event(VMB_EV_CLOSED, dev);
	word(hb_ring_pfn(1) + 2, 0, 0); /* our own index in the guest's memory: not believed */
	cr_assert_eq(hb_attach(2, dev, &channel), 0);
	cr_assert_eq(hb->wakes, 2);
	hb_quiet(); /* the guest has heard that it is open */
	cr_assert_eq(send(), 0);
	cr_assert_eq(vmb_channel_info(channel, &info), 0);
	cr_assert_eq(info.tx.in, 64);
	cr_assert_eq(memcmp(hb->ram + (hb_ring_pfn(1) + 3) * VMB_PAGE + 32 + 16, "01234567", 8), 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
}

Test(host_open, a_new_open_starts_as_it_finds_the_ring)
{
	struct vmb_channel_info info = { .size = sizeof info };

	channel = hb_serve(1, dev, 1, 0);
	cr_assert_eq(send(), 0);
	hb_close(1);
	hb_drain_events();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	memset(hb->ram + hb_ring_pfn(1) * VMB_PAGE, 0, 4 * VMB_PAGE);
	hb_open(1, 3, hb_ring_id(1), 0);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	cr_assert_eq(vmb_channel_info(channel, &info), 0);
	cr_assert_eq(info.tx.in, 0);
	cr_assert_eq(send(), 0);
	cr_assert_eq(vmb_channel_info(channel, &info), 0);
	cr_assert_eq(info.tx.in, 32);
}

Test(host_open, attaching_again_may_fail_and_the_guest_is_not_told)
{
	channel = hb_serve(1, dev, 1, 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb->map_fail_at = hb->map_calls + 1;
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_EMAP);
	hb_quiet();
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_quiet();
	cr_assert_eq(send(), 0);
}

Test(host_open, a_poisoned_channel_stays_poisoned_until_the_guest_opens_it_again)
{
	uint64_t buf[8];
	struct vmb_packet p;

	channel = hb_serve(1, dev, 1, 0);
	word(hb_ring_pfn(1), 0, 5);
	cr_assert_eq(vmb_channel_recv(channel, buf, sizeof buf, &p), VMB_EPEER);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	word(hb_ring_pfn(1), 0, 0); /* putting it right does not help */
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_EPEER);
	cr_assert_eq(hb->all_mapped, 0);
	hb_quiet();
	hb_close(1);
	hb_open(1, 3, hb_ring_id(1), 0);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_expect(6, 3, 1, 3, 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
}

Test(host_open, nobody_serves_it_and_the_guest_closes)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_teardown(1, hb_ring_id(1));
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_quiet(); /* it may be attached again: the ring stays */
	hb_close(1);
	hb_expect(12, 1, hb_ring_id(1));
	hb_no_event();
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTATE);
}

Test(host_open, close_that_was_not_given_out_is_taken_back_by_detach)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
}

/* ---- the queued open: ClosingReopen */

Test(host_open, one_open_waits_for_the_close)
{
	struct vmb_open_info info = { .size = sizeof info };

	channel = hb_serve(1, dev, 1, 0);
	hb_gpadl(1, RING, 0x80, 6);
	hb_expect(10, 3, 1, RING, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	open_with(RING, 4, 3);
	hb_open(1, 99, RING, 0); /* a second one is an error */
	hb_quiet();
	hb_no_event();
	cr_assert_eq(hb_info().dropped, 1);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.ring_gpadl, hb_ring_id(1)); /* of what is served */
	hb_teardown(1, hb_ring_id(1));
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(12, 1, hb_ring_id(1));
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.ring_gpadl, RING);
	cr_assert_eq(info.rx_pages, 3);
	cr_assert_eq(info.target_vp, 4);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	hb_expect(6, 3, 1, 77, 0);
	cr_assert_eq(hb->all_mapped, 6);
}

Test(host_open, with_the_ring_that_it_had)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	hb_open(1, 5, hb_ring_id(1), 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_OPEN, dev);
	hb_teardown(1, hb_ring_id(1));
	hb_quiet(); /* the open uses it */
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, VMB_EPLATFORM), 0);
	hb_expect(6, 3, 1, 5, FAILED);
	hb_expect(12, 1, hb_ring_id(1));
}

Test(host_open, a_bad_one_is_refused_at_once)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	open_with(hb_ring_id(1), 0, 9);
	hb_expect(6, 3, 1, 77, FAILED);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
}

Test(host_open, unload_forgets_it)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	hb_open(1, 5, hb_ring_id(1), 0);
	hb_unload();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(17, 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_no_event();
}

/* ---- served elsewhere */

Test(host_open, served_elsewhere_until_the_close_is_answered)
{
	struct vmb_event close;

	asked();
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_expect(6, 3, 1, 77, 0);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(hb->map_calls, 0);
	cr_assert_eq(hb_info().attached, 0);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), 0);
	cr_assert_eq(hb->wakes, 2);
	hb_teardown(1, RING);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	close = hb->ev;
	hb_quiet();
	cr_assert_eq(vmb_host_answer(hb->h, &close, VMB_EPLATFORM), VMB_EINVAL); /* there is no "no" to this */
	cr_assert_eq(vmb_host_answer(hb->h, &close, 0), 0);
	hb_expect(12, 1, RING);
	hb_event(VMB_EV_CLOSED, dev);
	cr_assert_eq(vmb_host_answer(hb->h, &close, 0), VMB_ENOENT);
	hb->wakes = 0;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), 0);
	cr_assert_eq(hb->wakes, 0);
}

Test(host_open, an_object_is_given_back_by_detach_not_by_answer)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), VMB_ESTATE);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), VMB_ENOENT);
}

Test(host_open, who_serves_elsewhere_may_give_it_back_unasked)
{
	asked();
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_expect(6, 3, 1, 77, 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0); /* and somebody here go on */
	hb_quiet();
}

/* ---- MODIFY_CHANNEL: control-plane.md 10.3 */

Test(host_open, retargeted)
{
	struct vmb_open_info info = { .size = sizeof info };

	channel = hb_serve(1, dev, 1, 2);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[0].vp, 2);
	hb_modify(1, 6);
	hb_expect(24, 2, 1, 0);
	word(hb_ring_pfn(1) + 2, 4, 32);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[1].vp, 6);
	cr_assert_eq(hb->interrupt[1].flag, 1);
	cr_assert_eq(hb->interrupt[1].sint, 2);
	cr_assert_eq(hb->interrupts, 2);
	cr_assert_eq(vmb_host_open_info(hb->h, dev, &info), 0);
	cr_assert_eq(info.target_vp, 6);
}

Test(host_open, retargeted_while_nobody_serves_it)
{
	channel = hb_serve(1, dev, 1, 2);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_modify(1, 6);
	hb_expect(24, 2, 1, 0);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[0].vp, 6);
}

Test(host_open, retargeted_to_what_does_not_exist)
{
	channel = hb_serve(1, dev, 1, 2);
	hb_modify(1, 8);
	hb_expect(24, 2, 1, FAILED);
	hb_modify(1, VMB_VP_NONE); /* nor can interrupts be switched off */
	hb_expect(24, 2, 1, FAILED);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupt[0].vp, 2);
}

Test(host_open, without_interrupts)
{
	channel = hb_serve(1, dev, 1, VMB_VP_NONE); /* control-plane.md 21 (10) */
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupts, 0);
	hb_modify(1, 3); /* nor be switched on */
	hb_expect(24, 2, 1, FAILED);
	word(hb_ring_pfn(1) + 2, 4, 32);
	cr_assert_eq(send(), 0);
	cr_assert_eq(hb->interrupts, 0);
	hb->wakes = 0;
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), 0);
	cr_assert_eq(hb->wakes, 1); /* the other direction works */
}
