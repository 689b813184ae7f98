/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Serving an open channel at the host end: attach, data, giving it back, going on. gpadl.md 6, control-plane.md 17.2 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

enum { RING = 0x70, FAILED = (int)0x8000ffff };

static vmb_handle dev;
static struct vmb_channel *channel;

static void start(void)
{
	hb_start(2);
	dev = hb_handle(1);
	hb_connect(VMB_V5_3);
}

TestSuite(host_serve, .init = start);

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

/* ---- attach */

Test(host_serve, attach_before_the_question_was_given_out)
{
	gpadl(RING, 4);
	open_with(RING, 0, 2);
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_ESTATE);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0);
}

Test(host_serve, rings_of_unequal_size_and_any_pages)
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

Test(host_serve, data_crosses_in_both_directions)
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
	Test(host_serve, name) \
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

Test(host_serve, map_failing_at_each_chunk)
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

Test(host_serve, pages_outside_the_guests_memory)
{
	hb_gpadl(1, RING, HB_RAM_PAGES - 2, 4);
	hb_expect(10, 3, 1, RING, 0); /* looked at when they are mapped: gpadl.md 3.1 */
	open_with(RING, 0, 2);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), VMB_EMAP);
	hb_expect(6, 3, 1, 77, FAILED);
	cr_assert_eq(hb->all_mapped, 0);
}

Test(host_serve, callers_errors_change_nothing)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .ring_pages = 4 };
	size_t bytes;
	uint8_t *mem = hb_channel_mem(1, &bytes);
	struct vmb_channel *c = NULL;

	memset(mem, 0xee, bytes);
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
	cfg.rx.control = hb->ram;
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &c), VMB_EINVAL);
	cfg.rx.control = NULL;
	hb_quiet();
	cr_assert_null(c);
	cr_assert_eq(hb->map_calls, 0);
	for (size_t i = 0; i < bytes; i++)
		cr_assert_eq(mem[i], 0xee);
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &c), 0);
	hb_expect(6, 3, 1, 77, 0);
}

Test(host_serve, rings_that_the_embedder_mapped)
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

Test(host_serve, bad_rings_that_the_embedder_mapped_are_the_embedders_to_unmap)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	size_t bytes;
	void *mem = hb_channel_mem(1, &bytes);

	asked();
	cfg.rx = ring_at(HB_RING_PFN, 1, 0);
	cfg.tx = ring_at(HB_RING_PFN + 2, 1, 0);
	word(HB_RING_PFN, 0, 4097);
	cr_assert_eq(vmb_host_attach(hb->h, dev, mem, bytes, &cfg, &channel), VMB_EPEER);
	hb_expect(6, 3, 1, 77, FAILED);
	cr_assert_eq(hb->unmapped, 0);
	hb_sound();
}

Test(host_serve, a_fresh_ring_is_the_guests_to_make)
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

Test(host_serve, no_map_callback)
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

Test(host_serve, pipe_offers_frame_their_packets)
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

Test(host_serve, but_not_raw_ones)
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

Test(host_serve, pipe_framing_is_the_offers_matter)
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

Test(host_serve, detached_and_attached_again_it_goes_on)
{
	struct vmb_channel_info info = { .size = sizeof info };
	uint8_t *rx = hb->ram + (hb_ring_pfn(1) + 1) * VMB_PAGE;
	uint64_t buf[16];
	struct vmb_packet p;

	channel = hb_serve(1, dev, 1, 0);
	cr_assert_eq(send(), 0);
	for (int i = 0; i < 2; i++)
		memcpy(rx + 32 * i, "\6\0\2\0\3\0\0\0\1\2\3\4\5\6\7\10from the", 24);
	word(hb_ring_pfn(1), 0, 32);
	cr_assert_eq(vmb_channel_recv(channel, buf, sizeof buf, &p), VMB_YES);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(hb->all_mapped, 0);
	cr_assert_eq(hb_attach(2, dev, &channel), VMB_EAGAIN); /* the first is not over before its EV_CLOSED */
	hb_event(VMB_EV_CLOSED, dev);
	word(hb_ring_pfn(1) + 2, 0, 0); /* our own indexes in the guest's memory: not believed */
	word(hb_ring_pfn(1), 4, 0);
	cr_assert_eq(hb_attach(2, dev, &channel), 0);
	cr_assert_eq(hb->wakes, 2);
	hb_quiet(); /* the guest has heard that it is open */
	cr_assert_eq(send(), 0);
	cr_assert_eq(vmb_channel_info(channel, &info), 0);
	cr_assert_eq(info.tx.in, 64);
	cr_assert_eq(memcmp(hb->ram + (hb_ring_pfn(1) + 3) * VMB_PAGE + 32 + 16, "01234567", 8), 0);
	cr_assert_eq(vmb_channel_recv(channel, buf, sizeof buf, &p), 0); /* it had that one */
	word(hb_ring_pfn(1), 0, 64);
	cr_assert_eq(vmb_channel_recv(channel, buf, sizeof buf, &p), VMB_YES);
	cr_assert_eq(vmb_channel_recv(channel, buf, sizeof buf, &p), 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
}

Test(host_serve, a_new_open_starts_as_it_finds_the_ring)
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

Test(host_serve, attaching_again_may_fail_and_the_guest_is_not_told)
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

Test(host_serve, a_poisoned_channel_stays_poisoned_until_the_guest_opens_it_again)
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

Test(host_serve, nobody_serves_it_and_the_guest_closes)
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

Test(host_serve, close_that_was_not_given_out_is_taken_back_by_detach)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	hb_no_event();
}

/* ---- served elsewhere */

Test(host_serve, served_elsewhere_until_the_close_is_answered)
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
	close = hb->ev; /* it was not asked to close */
	close.kind = VMB_EV_CLOSE;
	cr_assert_eq(vmb_host_answer(hb->h, &close, 0), VMB_ENOENT);
	close.token = 0;
	cr_assert_eq(vmb_host_answer(hb->h, &close, 0), VMB_ENOENT);
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

Test(host_serve, an_object_is_given_back_by_detach_not_by_answer)
{
	channel = hb_serve(1, dev, 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), VMB_ESTATE);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), VMB_ENOENT);
}

Test(host_serve, who_serves_elsewhere_may_give_it_back_unasked)
{
	asked();
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_expect(6, 3, 1, 77, 0);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	cr_assert_eq(hb_attach(1, dev, &channel), 0); /* and somebody here go on */
	hb_quiet();
}

