/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Interrupts and signals: event flags, the interrupt page both ways, monitor bits, and the slot. control-plane.md 9, ring.md
 * 10.4 */
#include "guestbench.h"

#include <endian.h>
#include <string.h>

TestSuite(guest_interrupt, .timeout = 60);

struct pages { _Alignas(256) uint8_t flags[256], slot[256]; };

static void set(uint8_t *flags, uint32_t n)
{
	flags[n / 8] = (uint8_t)(flags[n / 8] | 1u << n % 8);
}

static int is_set(const void *flags, uint32_t n)
{
	return ((const uint8_t *)flags)[n / 8] >> n % 8 & 1;
}

static int interrupt(struct bench *b, struct pages *p)
{
	return vmb_guest_interrupt(b->g, p->flags, p->slot);
}

static void send_one(struct bench_open *o)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "12345678", .len = 8 };

	cr_assert_eq(vmb_channel_send(o->ch, &p), 0);
}

Test(guest_interrupt, a_flag_wakes_its_channel_and_is_cleared)
{
	static const uint32_t ids[] = { 1, 5, 31, 32, 1025, 2047 };
	struct bench *b = bench_connected(VMB_V5_3);
	struct pages p = { { 0 }, { 0 } };

	for (uint32_t n = 0; n < 6; n++) {
		bench_offer(b, ids[n], ids[n], 0);
		bench_poll(b);
		bench_opened(b, bench_expect(b, VMB_EV_OFFER, 0)->ch, n);
	}
	memset(b->wakes, 0, sizeof b->wakes);
	for (uint32_t n = 0; n < 6; n++) {
		set(p.flags, ids[n]);
		cr_assert_eq(interrupt(b, &p), 0);
		for (uint32_t k = 0; k < 6; k++)
			cr_assert_eq(b->wakes[k + 1], k <= n);
		cr_assert_eq(is_set(p.flags, ids[n]), 0);
	}
	for (uint32_t n = 0; n < 6; n++)
		set(p.flags, ids[n]);
	cr_assert_eq(interrupt(b, &p), 0);
	for (uint32_t k = 0; k < 6; k++)
		cr_assert_eq(b->wakes[k + 1], 2);
	cr_assert_eq(bench_info(b).stray_events, 0);
	bench_free(b);
}

/* One after the other, and all at once; the array may lie at any multiple of 4 bytes. */
Test(guest_interrupt, every_flag_at_either_alignment)
{
	static _Alignas(256) uint8_t room[512];
	struct bench *b = bench_offered(VMB_V5_3, 2047);
	struct pages p = { { 0 }, { 0 } };

	bench_opened(b, b->open[0].handle, 0);
	for (uint32_t at = 0; at <= 12; at += 4) {
		uint8_t *flags = room + at;
		uint64_t stray = bench_info(b).stray_events;

		memset(b->wakes, 0, sizeof b->wakes);
		memset(room, 0, sizeof room);
		for (uint32_t n = 0; n < 2048; n++) {
			set(flags, n);
			cr_assert_eq(vmb_guest_interrupt(b->g, flags, p.slot), 0);
			cr_assert_eq(is_set(flags, n), 0, "flag %u at %u", n, at);
		}
		cr_assert_eq(bench_info(b).stray_events - stray, 2047);
		cr_assert_eq(b->wakes[1], 1);
		memset(flags, 0xff, 256);
		flags[256] = 0xa5;
		cr_assert_eq(vmb_guest_interrupt(b->g, flags, p.slot), 0);
		for (uint32_t n = 0; n < 256; n++)
			cr_assert_eq(flags[n], 0);
		cr_assert_eq(flags[256], 0xa5);
		cr_assert_eq(bench_info(b).stray_events - stray, 2 * 2047);
		cr_assert_eq(b->wakes[1], 2);
	}
	bench_free(b);
}

Test(guest_interrupt, flags_without_a_channel_are_cleared_and_counted)
{
	struct bench *b = bench_offered(VMB_V5_3, 2000); /* seen, not open: no interrupt is expected */
	struct pages p = { { 0 }, { 0 } };

	for (uint32_t n = 0; n < 2016; n++)
		set(p.flags, n);
	cr_assert_eq(interrupt(b, &p), 0);
	cr_assert_eq(bench_info(b).stray_events, 2016);
	for (uint32_t n = 0; n < 252; n++)
		cr_assert_eq(p.flags[n], 0);
	cr_assert_eq(b->wakes[0], 0);
	set(p.flags, 2016); /* above the highest id: not looked at */
	cr_assert_eq(interrupt(b, &p), 0);
	cr_assert_eq(bench_info(b).stray_events, 2016);
	bench_free(b);
}

Test(guest_interrupt, without_a_connection_flags_are_left_alone)
{
	struct bench *b = bench_new();
	struct pages p = { { 0xff }, { 1 } };

	bench_init(b);
	cr_assert_eq(interrupt(b, &p), VMB_YES);
	cr_assert_eq(p.flags[0], 0xff);
	cr_assert_eq(bench_info(b).stray_events, 0);
	bench_free(b);
	b = bench_connected(VMB_V5_3);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_run(b);
	cr_assert_eq(interrupt(b, &p), VMB_YES);
	cr_assert_eq(p.flags[0], 0xff);
	bench_free(b);
}

Test(guest_interrupt, a_full_slot_pokes_and_stays)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct pages p = { { 0 }, { 0 } };
	struct bench_message m;
	uint32_t pokes = b->pokes;

	cr_assert_eq(interrupt(b, &p), 0);
	cr_assert_eq(b->pokes, pokes);
	bench_make(b, &m, RESCIND, "channel_id", 5ull, NULL);
	cr_assert_eq(vmb_synic_post(p.slot, m.bytes, m.len), 0);
	cr_assert_eq(interrupt(b, &p), VMB_YES);
	cr_assert_eq(interrupt(b, &p), VMB_YES);
	cr_assert_eq(b->pokes, pokes + 2);
	cr_assert_eq(vmb_guest_slot(b->g, p.slot), VMB_YES);
	cr_assert_eq(vmb_guest_slot(b->g, p.slot), 0);
	cr_assert_eq(interrupt(b, &p), 0);
	bench_poll(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	p.slot[0] = 0x10, p.slot[3] = 0x80; /* a timer's */
	cr_assert_eq(vmb_guest_slot(b->g, p.slot), VMB_EFOREIGN);
	cr_assert_eq(p.slot[0], 0x10);
	bench_free(b);
}

/* The slot is copied once: what the host writes later is not seen. */
Test(guest_interrupt, pitfall_30_a_slot_is_read_once_and_freed)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct pages p = { { 0 }, { 0 } };
	struct bench_message m;

	bench_make(b, &m, RESCIND, "channel_id", 5ull, NULL);
	cr_assert_eq(vmb_synic_post(p.slot, m.bytes, m.len), 0);
	cr_assert_eq(vmb_synic_post(p.slot, m.bytes, m.len), VMB_EAGAIN);
	cr_assert_eq(vmb_guest_slot(b->g, p.slot), VMB_YES | VMB_EOM);
	p.slot[24] = 99;
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_RESCINDED, 0)->ch, b->open[0].handle);
	bench_free(b);
}

Test(guest_interrupt, a_slot_that_says_more_than_240_bytes_is_dropped)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct pages p = { { 0 }, { 1, 0, 0, 0, 241, [16] = RESCIND, [24] = 5 } };

	cr_assert_eq(vmb_guest_slot(b->g, p.slot), VMB_YES);
	cr_assert_eq(bench_info(b).dropped, 1);
	bench_poll(b);
	bench_quiet(b);
	bench_free(b);
}

/* control-plane.md 9.6 */
Test(guest_interrupt, pitfall_8_an_event_before_the_open_result_is_not_lost)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct pages p = { { 0 }, { 0 } };

	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	cr_assert_eq(b->wakes[1], 0);
	set(p.flags, 5); /* before GPADL_CREATED: nothing is open yet */
	interrupt(b, &p);
	cr_assert_eq(b->wakes[1], 0);
	bench_feed(b, &b->reply[b->answered++]); /* CREATED: OPEN is posted */
	cr_assert_eq(bench_sent(b, OPEN), 1);
	set(p.flags, 5);
	interrupt(b, &p);
	cr_assert_eq(b->wakes[1], 1, "at once");
	bench_run(b);
	bench_expect(b, VMB_EV_OPENED, 0);
	cr_assert_eq(b->wakes[1], 2, "and once more with the result. ring.md 10.4 R10");
	bench_free(b);
}

/* The gate is open before the host can know of the open: looked at from inside the post. */
static void signal_at_open(struct bench *b)
{
	static struct pages p;

	set(p.flags, 5);
	vmb_guest_interrupt(b->g, p.flags, p.slot);
}

Test(guest_interrupt, an_event_while_open_is_being_posted_wakes)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	b->on_post = signal_at_open;
	bench_feed(b, &b->reply[b->answered++]);
	cr_assert_eq(b->wakes[1], 1);
	bench_free(b);
}

Test(guest_interrupt, no_wake_after_closed)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct pages p = { { 0 }, { 0 } };
	uint64_t wakes;

	bench_opened(b, b->open[0].handle, 0);
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	wakes = b->wakes[1];
	set(p.flags, 5);
	interrupt(b, &p);
	bench_run(b);
	set(p.flags, 5);
	interrupt(b, &p);
	cr_assert_eq(b->wakes[1], wakes);
	cr_assert_eq(bench_info(b).stray_events, 2);
	bench_free(b);
}

/* A signaller is inside the gate while control closes: EV_CLOSED waits for it, and its leaving pokes. */
static struct bench *inside;

static void close_inside(struct bench *b, uint64_t user)
{
	(void)user;
	b->on_wake = NULL;
	cr_assert_eq(vmb_guest_close(b->g, b->open[0].handle), 0);
	bench_run(b);
	bench_quiet(b);
	inside = b;
	b->pokes = 0;
}

Test(guest_interrupt, closed_waits_for_who_is_inside_the_gate)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	struct pages p = { { 0 }, { 0 } };

	bench_opened(b, b->open[0].handle, 0);
	b->on_wake = close_inside;
	set(p.flags, 5);
	interrupt(b, &p);
	cr_assert_eq(inside, b);
	cr_assert_eq(b->pokes, 1, "the last one out pokes");
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_free(b);
}

Test(guest_interrupt, flag_0_is_nobodys_from_2_4_on)
{
	struct bench *b = bench_new();
	struct pages p = { { 1 }, { 0 } };

	b->version = VMB_V2_4;
	bench_old_pages(b);
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	set(b->cfg.interrupt_page, 5);
	cr_assert_eq(interrupt(b, &p), 0);
	cr_assert(is_set(b->cfg.interrupt_page, 5), "the page is not looked at");
	cr_assert_eq(bench_info(b).stray_events, 1);
	bench_free(b);
}

Test(guest_interrupt, below_2_4_flag_0_says_look_at_the_page)
{
	static const uint32_t versions[] = { VMB_V0_13, VMB_V1_1 };

	for (int v = 0; v < 2; v++) {
		struct bench *b = bench_connected(versions[v]);
		struct pages p = { { 0 }, { 0 } };

		for (uint32_t n = 0; n < 2; n++) {
			bench_offer(b, n ? 2047 : 9, n + 1, 0);
			bench_poll(b);
			bench_opened(b, bench_expect(b, VMB_EV_OFFER, 0)->ch, n);
		}
		memset(b->wakes, 0, sizeof b->wakes);
		set(b->cfg.interrupt_page, 9); /* byte P + 1, bit 1: control-plane.md 23 */
		cr_assert_eq(((uint8_t *)b->cfg.interrupt_page)[1], 2);
		interrupt(b, &p);
		cr_assert_eq(b->wakes[1], 0, "not without flag 0");
		set(p.flags, 0);
		interrupt(b, &p);
		cr_assert_eq(b->wakes[1], 1);
		cr_assert_eq(b->wakes[2], 0);
		cr_assert_eq(((uint8_t *)b->cfg.interrupt_page)[1], 0);
		set(b->cfg.interrupt_page, 2047);
		set(b->cfg.interrupt_page, 9);
		set(b->cfg.interrupt_page, 0);    /* nobody's */
		set(b->cfg.interrupt_page, 1000);
		set(p.flags, 0);
		interrupt(b, &p);
		cr_assert_eq(b->wakes[1], 2);
		cr_assert_eq(b->wakes[2], 1);
		cr_assert_eq(bench_info(b).stray_events, 2);
		bench_free(b);
	}
}

/* ---- guest to host */

Test(guest_interrupt, v1_sets_the_bit_and_signals_connection_2)
{
	struct bench *b = bench_connected(VMB_V0_13);
	uint8_t *page = b->cfg.interrupt_page;

	bench_offer(b, 9, 9, 0);
	bench_poll(b);
	bench_opened(b, bench_expect(b, VMB_EV_OFFER, 0)->ch, 0);
	b->signals = 0;
	memset(page, 0, VMB_PAGE);
	send_one(&b->open[0]);
	cr_assert_eq(b->signals, 1);
	cr_assert_eq(b->signal_connection, 2);
	cr_assert_eq(b->signal_flag, 0);
	cr_assert_eq(page[0x801], 2, "byte P + 0x801, bit 1: control-plane.md 23");
	page[0x801] = 0;
	for (uint32_t i = 0; i < VMB_PAGE; i++)
		cr_assert_eq(page[i], 0);
	bench_free(b);
}

static struct bench *with_offer(uint32_t version, int old_pages, int monitor, int dedicated)
{
	struct bench *b = bench_new();
	struct bench_message m;

	b->version = version;
	if (old_pages)
		bench_old_pages(b);
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	b->taken = b->told;
	bench_make(b, &m, OFFER, "channel_id", 9ull, "monitor_id", (uint64_t)(monitor & 0xff), "monitor_allocated",
		monitor < 256 ? 1ull : 0ull,
		   "is_dedicated", (uint64_t)dedicated, "connection_id", 0x2009ull, NULL);
	b->id[9].offered = 1;
	bench_feed(b, &m);
	bench_poll(b);
	bench_opened(b, bench_expect(b, VMB_EV_OFFER, 0)->ch, 0);
	b->signals = 0;
	if (old_pages) {
		memset(b->cfg.interrupt_page, 0, VMB_PAGE);
		memset(b->cfg.monitor_page[1], 0, VMB_PAGE);
	}
	send_one(&b->open[0]);
	return b;
}

Test(guest_interrupt, from_1_1_on_the_offer_names_the_connection)
{
	uint32_t v;

	for (uint32_t i = 1; (v = vmb_version_at(i)) != 0; i++) {
		struct bench *b = with_offer(v, v < VMB_V2_4, 511, 1);

		cr_assert_eq(b->signals, 1);
		cr_assert_eq(b->signal_connection, 0x2009);
		cr_assert_eq(b->signal_flag, 0);
		if (b->cfg.interrupt_page)
			cr_assert_eq(is_set(b->cfg.interrupt_page, 16384 + 9), 0);
		bench_free(b);
	}
}

Test(guest_interrupt, a_connection_that_is_not_dedicated_needs_the_bit_too)
{
	struct bench *b = with_offer(VMB_V1_1, 1, 511, 0);

	cr_assert_eq(b->signals, 1);
	cr_assert_eq(b->signal_connection, 0x2009);
	cr_assert(is_set(b->cfg.interrupt_page, 16384 + 9));
	bench_free(b);
	b = with_offer(VMB_V5_3, 0, 511, 0); /* without a page there is no bit to set */
	cr_assert_eq(b->signals, 1);
	bench_free(b);
}

/* Page at 0x10b000: id 0, 3: 0x008; id 33: 0x010 bit 1; id 127: 0x020 bit 31. control-plane.md 23 */
Test(guest_interrupt, a_monitored_channel_sets_its_bit_and_makes_no_hypercall)
{
	static const struct { int id; unsigned at; uint32_t value; } rows[] = {
		{ 0, 8, 1 }, { 3, 8, 8 }, { 33, 0x10, 2 }, { 127, 0x20, 0x80000000 },
	};

	for (int i = 0; i < 4; i++) {
		struct bench *b = with_offer(VMB_V5_3, 1, rows[i].id, 1);
		uint8_t *page = b->cfg.monitor_page[1];
		uint32_t word;

		cr_assert_eq(b->signals, 0);
		memcpy(&word, page + rows[i].at, 4);
		cr_assert_eq(le32toh(word), rows[i].value);
		memset(page + rows[i].at, 0, 4);
		for (uint32_t k = 0; k < VMB_PAGE; k++)
			cr_assert_eq(page[k], 0);
		bench_free(b);
	}
}

Test(guest_interrupt, hypercalls_where_monitoring_cannot_be)
{
	struct bench *b = with_offer(VMB_V5_3, 1, 128, 1); /* beyond the page. control-plane.md 8.3 */
	struct vmb_offer o = { .size = sizeof o };

	cr_assert_eq(b->signals, 1);
	cr_assert_eq(vmb_guest_offer(b->g, b->open[0].handle, &o), 0);
	cr_assert_eq(o.monitor_id, 255);
	bench_free(b);
	b = with_offer(VMB_V5_3, 0, 3, 1); /* no pages */
	cr_assert_eq(b->signals, 1);
	bench_free(b);
	b = with_offer(VMB_V5_3, 1, 3 + 256, 1); /* not allocated */
	cr_assert_eq(b->signals, 1);
	bench_free(b);
}

/* control-plane.md 9.5 */
Test(guest_interrupt, a_polled_channel_has_no_target_and_no_monitoring)
{
	struct bench *b = bench_new();
	struct vmb_open open = { .size = sizeof open, .tx_pages = 2, .rx_pages = 2, .target_vp = VMB_VP_NONE,
		.ring_gpa = 0x1000000 };
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct bench_message m;
	vmb_handle h;

	bench_old_pages(b);
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	bench_make(b, &m, OFFER, "channel_id", 9ull, "monitor_id", 3ull, "monitor_allocated", 1ull, "connection_id", 0x2009ull,
		   "is_dedicated", 1ull, NULL);
	b->id[9].offered = 1;
	bench_feed(b, &m);
	bench_poll(b);
	h = bench_until(b, VMB_EV_OFFER)->ch;
	cr_assert_eq(bench_open(b, h, 0), 0); /* for its memory only */
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	bench_run(b);
	bench_until(b, VMB_EV_CLOSED);
	open.ring = b->open[0].ring;
	cr_assert_eq(vmb_guest_open(b->g, h, b->open[0].mem, b->open[0].bytes, &cfg, &open, &b->open[0].ch), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_OPENED, 0);
	cr_assert_eq(bench_number(&b->posts[b->posted - 1], b, "target_vp"), VMB_VP_NONE);
	b->signals = 0;
	send_one(&b->open[0]);
	cr_assert_eq(b->signals, 1);
	cr_assert_eq(vmb_guest_target(b->g, h, 1), VMB_ESTATE, "MODIFY cannot enable interrupts");
	bench_free(b);
}

Test(guest_interrupt, retargeting_by_version)
{
	uint32_t v;

	for (uint32_t i = 0; (v = vmb_version_at(i)) != 0; i++) {
		struct bench *b = bench_offered(v, 5);
		vmb_handle h = b->open[0].handle;

		cr_assert_eq(vmb_guest_target(b->g, h, 3), v < VMB_V4_1 ? VMB_EVERSION : VMB_ESTATE, "not open");
		bench_opened(b, h, 0);
		b->read = b->posted;
		b->silent = BIT(MODIFY);
		cr_assert_eq(vmb_guest_target(b->g, h, VMB_VP_NONE), VMB_EINVAL);
		if (v < VMB_V4_1) {
			cr_assert_eq(vmb_guest_target(b->g, h, 3), VMB_EVERSION);
			bench_posted_none(b);
		} else if (v < VMB_V5_3) { /* no response: told at once, and an interrupt may still come to the old VP */
			cr_assert_eq(vmb_guest_target(b->g, h, 3), 0);
			bench_posted(b, MODIFY);
			bench_poll(b);
			cr_assert_eq(bench_expect(b, VMB_EV_TARGET, 0)->vp, 3);
			cr_assert_eq(vmb_guest_target(b->g, h, 4), 0);
		} else {
			cr_assert_eq(vmb_guest_target(b->g, h, 3), 0);
			cr_assert_eq(bench_number(bench_posted(b, MODIFY), b, "target_vp"), 3);
			bench_poll(b);
			bench_quiet(b);
			cr_assert_eq(vmb_guest_target(b->g, h, 4), VMB_ESTATE, "one at a time");
			b->id[5].modifies = 0;
			bench_say(b, MODIFY_RESPONSE, "channel_id", 5ull, "status", 0ull, NULL);
			bench_poll(b);
			cr_assert_eq(bench_expect(b, VMB_EV_TARGET, 0)->vp, 3);
			cr_assert_eq(vmb_guest_target(b->g, h, 4), 0);
			bench_say(b, MODIFY_RESPONSE, "channel_id", 5ull, "status", 0x8000ffffull, NULL);
			bench_poll(b);
			cr_assert_eq(bench_expect(b, VMB_EV_TARGET, VMB_EREFUSED)->peer_status, 0x8000ffff);
		}
		bench_quiet(b);
		bench_free(b);
	}
}

Test(guest_interrupt, a_modify_that_waits_is_not_sent_after_a_rescind)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);

	bench_opened(b, b->open[0].handle, 0);
	b->fail_at = b->attempts;
	b->fail_count = 1;
	b->fail_status = VMB_HV_NO_BUFFERS;
	cr_assert_eq(vmb_guest_target(b->g, b->open[0].handle, 3), 0);
	bench_rescind(b, 5);
	bench_run(b);
	bench_expect(b, VMB_EV_TARGET, VMB_ERESCINDED);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	cr_assert_eq(bench_sent(b, MODIFY), 0);
	bench_free(b);
}

/* Pitfall 39: the answer and the rescind both come while the caller waits for neither. */
Test(guest_interrupt, pitfall_39_a_rescind_ends_a_modify)
{
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle;

	bench_opened(b, h, 0);
	b->silent = BIT(MODIFY);
	cr_assert_eq(vmb_guest_target(b->g, h, 3), 0);
	bench_rescind(b, 5);
	bench_poll(b);
	bench_expect(b, VMB_EV_TARGET, VMB_ERESCINDED);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	bench_run(b);
	cr_assert_eq(bench_sent(b, RELEASED), 0, "the answer is still to come, and must not hit another channel of this id");
	bench_say(b, MODIFY_RESPONSE, "channel_id", 5ull, "status", 0x8000ffffull, NULL);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_expect(b, VMB_EV_GONE, 0);
	cr_assert_eq(bench_sent(b, RELEASED), 1);
	bench_free(b);
}
