/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Monitored notification at the host: ids, triggers, pages of either side, MODIFY_CONNECTION. control-plane.md 8.3, 9.4, 13 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

enum { P2C = 0x140, C2P = 0x141, OTHER = 0x150 };

static vmb_handle dev;
static struct vmb_channel *channel;
static uint8_t own[2][VMB_PAGE] __attribute__((aligned(VMB_PAGE)));

static uint8_t *page(uint64_t pfn)
{
	return hb->ram + pfn * VMB_PAGE;
}

static void contact(uint32_t version, uint32_t features)
{
	uint8_t msg[56];

	hb_contact_bytes(msg, version, 0);
	put64(msg + 24, (uint64_t)P2C * VMB_PAGE);
	put64(msg + 32, (uint64_t)C2P * VMB_PAGE);
	if (version >= VMB_V6_0)
		msg[20] = (uint8_t)features;
	cr_assert_eq(hb_post(1, msg, 56), 0);
}

static void begin(uint32_t flags, unsigned offers)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .flags = flags, .max_channels = 200 };

	hb_new(&cfg, 0);
	dev = hb_offer(1);
	for (unsigned i = 2; i <= offers; i++)
		hb_offer(i);
}

/* Contacted and offered: the monitor ids of the offers, 256 for none. */
static void offers(unsigned *ids, unsigned n)
{
	hb_skip();
	hb_request();
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *m = hb_next()->data;

		ids[i] = m[189] & 1 ? m[188] : 256;
		cr_assert(ids[i] < 128 || m[188] == 255);
	}
	hb_skip();
	hb_drain_events();
}

static void start(uint32_t version, uint32_t features)
{
	unsigned id;

	begin(VMB_HOST_MONITOR, 1);
	contact(version, features);
	offers(&id, 1);
	cr_assert_eq(id, 0);
	channel = hb_serve(1, dev, 1, 0);
	hb->wakes = 0;
}

Test(host_monitor, a_trigger_wakes_at_every_version_that_has_one)
{
	static const uint32_t versions[] = { VMB_V0_13, VMB_V1_1, VMB_V2_4, VMB_V3_0, VMB_V4_1, VMB_V5_3, VMB_V6_0 };

	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		start(versions[i], 0);
		cr_assert_eq(hb_info().monitor_gpa[0], (uint64_t)P2C * VMB_PAGE);
		cr_assert_eq(hb_info().monitor_gpa[1], (uint64_t)C2P * VMB_PAGE);
		cr_assert_eq(vmb_host_monitor(hb->h), 0);
		page(C2P)[8] = 1;
		cr_assert_eq(vmb_host_monitor(hb->h), VMB_YES);
		cr_assert_eq(hb->wakes, 1);
		cr_assert_eq(page(C2P)[8], 0);
		cr_assert_eq(vmb_host_monitor(hb->h), 0);
		cr_assert_eq(hb->wakes, 1);
		hb_sound();
		hb_free(hb);
	}
}

Test(host_monitor, what_belongs_to_the_host_is_written)
{
	start(VMB_V5_3, 0);
	cr_assert_eq(page(C2P)[0], 0xf);
	cr_assert_eq(get32(page(C2P) + 0x240), 1000u << 16 | 1000u);
	cr_assert_eq(get32(page(C2P) + 0x33c), 1000u << 16 | 1000u);
	cr_assert_eq(get32(page(C2P) + 0x340), 0);
	cr_assert_eq(get32(page(C2P) + 0x440), 0x2001);
	cr_assert_eq(get32(page(C2P) + 0x448), 0);
	for (unsigned i = 0; i < VMB_PAGE; i++)
		cr_assert_eq(page(P2C)[i], 0);
}

Test(host_monitor, poll_looks_too_and_says_when_to_come_again)
{
	struct vmb_event ev;

	start(VMB_V5_3, 0);
	page(C2P)[8] = 1;
	cr_assert_eq(vmb_host_poll(hb->h, 5000, &ev), 0);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(ev.deadline, 5000 + 1000 * 100);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_event(VMB_EV_CLOSED, dev);
	cr_assert_eq(vmb_host_poll(hb->h, 6000, &ev), 0);
	cr_assert_eq(ev.deadline, UINT64_MAX);
}

Test(host_monitor, stray_triggers_hurt_nobody)
{
	uint64_t stray;

	start(VMB_V5_3, 0);
	stray = hb_info().stray_events;
	memset(page(C2P) + 8, 0xff, 32);
	cr_assert_eq(vmb_host_monitor(hb->h), VMB_YES);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(hb_info().stray_events, stray + 127);
	for (unsigned g = 0; g < 4; g++) {
		cr_assert_eq(get32(page(C2P) + 8 + 8 * g), 0);
		cr_assert_eq(get32(page(C2P) + 12 + 8 * g), 0xffffffff); /* "armed" is not ours */
	}
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	page(C2P)[8] = 1;
	cr_assert_eq(vmb_host_monitor(hb->h), VMB_YES);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(vmb_host_monitor(NULL), VMB_EINVAL);
}

Test(host_monitor, there_are_128_ids)
{
	static unsigned id[140];

	begin(VMB_HOST_MONITOR, 140);
	contact(VMB_V5_3, 0);
	offers(id, 140);
	for (unsigned i = 0; i < 140; i++)
		cr_assert_eq(id[i], i < 128 ? i : 256);
	hb_rel(5);
	hb_rel(139);
	hb_offer(141); /* takes what was given back */
	cr_assert_eq(hb_next()->data[188], 4);
	hb_contact(VMB_V5_3); /* without pages */
	offers(id, 139);
	for (unsigned i = 0; i < 139; i++)
		cr_assert_eq(id[i], 256);
	cr_assert_eq(vmb_host_monitor(hb->h), 0);
	hb_sound();
}

Test(host_monitor, not_for_who_does_not_want_it)
{
	struct vmb_offer o;
	unsigned id[2];
	vmb_handle ch;

	begin(VMB_HOST_MONITOR, 1);
	hb_offer_fill(&o, 2, 0);
	o.flags |= VMB_OFFER_NO_MONITOR;
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	contact(VMB_V5_3, 0);
	offers(id, 2);
	cr_assert_eq(id[0], 0);
	cr_assert_eq(id[1], 256);
	hb_free(hb);
	begin(0, 1);
	contact(VMB_V5_3, 0);
	offers(id, 1);
	cr_assert_eq(id[0], 256);
	cr_assert_eq(hb->all_mapped, 0);
}

Test(host_monitor, a_channel_without_interrupts_has_no_trigger)
{
	unsigned id;

	begin(VMB_HOST_MONITOR, 1);
	contact(VMB_V5_3, 0);
	offers(&id, 1);
	channel = hb_serve(1, dev, 1, VMB_VP_NONE);
	hb->wakes = 0;
	page(C2P)[8] = 1;
	cr_assert_eq(vmb_host_monitor(hb->h), VMB_YES);
	cr_assert_eq(hb->wakes, 0);
	cr_assert_eq(vmb_host_signal(hb->h, 0x2001, 0), VMB_HV_SUCCESS);
	cr_assert_eq(hb->wakes, 1);
}

Test(host_monitor, the_page_goes_with_the_connection)
{
	start(VMB_V5_3, 0);
	cr_assert_eq(hb->mapped[C2P], 1);
	hb_unload();
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_expect(17, 0);
	cr_assert_eq(hb->mapped[C2P], 0);
	page(C2P)[8] = 1;
	cr_assert_eq(vmb_host_monitor(hb->h), 0);
	cr_assert_eq(page(C2P)[8], 1);
	cr_assert_eq(hb_info().monitor_gpa[1], 0);
	contact(VMB_V5_3, 0); /* and also where no channel was open */
	hb_skip();
	cr_assert_eq(hb->mapped[C2P], 1);
	hb_contact(VMB_V5_3);
	cr_assert_eq(hb->mapped[C2P], 0);
	contact(VMB_V5_3, 0);
	cr_assert_eq(vmb_host_end(hb->h), 0);
	cr_assert_eq(hb->all_mapped, 0);
}

Test(host_monitor, a_page_that_cannot_be_mapped)
{
	begin(VMB_HOST_MONITOR, 1);
	hb->map_fail_at = 1;
	contact(VMB_V5_3, 0);
	hb_expect(15, 2, 1 | 2 << 8, 1);
	cr_assert_eq(hb_info().state, VMB_BUS_NONE);
	hb->map_fail_at = 3; /* the interrupt page comes first */
	contact(VMB_V1_1, 0);
	hb_expect(15, 2, 0, 0);
	cr_assert_eq(hb->all_mapped, 0);
	cr_assert_eq(vmb_host_signal(hb->h, 2, 0), VMB_HV_INVALID_CONNECTION); /* nobody looks at that page any more */
	hb->map_fail_at = 0;
	contact(VMB_V1_1, 0);
	hb_expect(15, 2, 1, VMB_V1_1);
	cr_assert_eq(hb->all_mapped, 2);
	cr_assert_eq(vmb_host_signal(hb->h, 2, 0), VMB_HV_SUCCESS);
}

/* ---- MODIFY_CONNECTION */

static void modify(uint64_t p2c, uint64_t c2p, uint8_t state)
{
	const struct hb_message *m;

	hb_words(25, 4, (uint32_t)p2c, (uint32_t)(p2c >> 32), (uint32_t)c2p, (uint32_t)(c2p >> 32));
	m = hb_next();
	cr_assert_not_null(m);
	cr_assert_eq(m->len, 9);
	cr_assert_eq(get32(m->data), 26);
	cr_assert_eq(m->data[8], state);
	hb_quiet();
}

static void begin_modify(void)
{
	unsigned id;

	begin(VMB_HOST_MONITOR, 1);
	contact(VMB_V6_0, 0x04);
	offers(&id, 1);
}

Test(host_monitor, pages_are_swapped_in_a_living_connection)
{
	begin_modify();
	modify((uint64_t)OTHER * VMB_PAGE, (uint64_t)(OTHER + 1) * VMB_PAGE, 0);
	cr_assert_eq(hb->mapped[C2P], 0);
	cr_assert_eq(hb->mapped[OTHER + 1], 1);
	cr_assert_eq(hb_info().monitor_gpa[0], (uint64_t)OTHER * VMB_PAGE);
	channel = hb_serve(1, dev, 1, 0);
	hb->wakes = 0;
	page(C2P)[8] = 1;
	cr_assert_eq(vmb_host_monitor(hb->h), 0);
	page(OTHER + 1)[8] = 1;
	cr_assert_eq(vmb_host_monitor(hb->h), VMB_YES);
	cr_assert_eq(hb->wakes, 1);
	modify(0, 0, 2); /* in use */
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	modify(0, 0, 0);
	cr_assert_eq(hb->all_mapped, 0);
	cr_assert_eq(vmb_host_monitor(hb->h), 0);
	modify((uint64_t)OTHER * VMB_PAGE, 0, 2);
	modify(0, (uint64_t)OTHER * VMB_PAGE, 2);
	modify((uint64_t)OTHER * VMB_PAGE, (uint64_t)OTHER * VMB_PAGE, 2);
	modify((uint64_t)OTHER * VMB_PAGE, (uint64_t)OTHER * VMB_PAGE + 8, 2);
	modify((uint64_t)OTHER * VMB_PAGE, (uint64_t)(OTHER + 1) * VMB_PAGE, 0);
	hb->map_fail_at = hb->map_calls + 1;
	modify((uint64_t)P2C * VMB_PAGE, (uint64_t)C2P * VMB_PAGE, 2);
	cr_assert_eq(hb->all_mapped, 0);
	cr_assert_eq(hb_info().monitor_gpa[1], 0);
	hb_sound();
}

static int inside_result;
static unsigned inside_calls;

static int modify_inside(void)
{
	uint8_t msg[24] = { 25 };
	int r = inside_calls++ ? 0 : hb_post(1, msg, 24);

	inside_result |= r;
	return 0;
}

/* The swap waits for who is looking: here, for a wake that is under way on another thread. */
Test(host_monitor, a_swap_waits_for_who_looks)
{
	begin_modify();
	channel = hb_serve(1, dev, 1, VMB_VP_NONE); /* no user of the page, so that it may be swapped */
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	hb_drain_events();
	hb_close(1);
	hb_open(1, 8, hb_ring_id(1), 0);
	hb_event(VMB_EV_OPEN, dev);
	cr_assert_eq(hb_attach(2, dev, &channel), 0);
	hb_skip();
	page(C2P)[8] = 1;
	hb->inside = modify_inside;
	cr_assert_eq(vmb_host_monitor(hb->h), VMB_YES); /* its wake posts MODIFY_CONNECTION */
	hb->inside = NULL;
	cr_assert_eq(inside_result, 0);
	cr_assert_eq(hb_next()->data[8], 2); /* refused: the channel uses it */
	cr_assert_eq(hb->mapped[C2P], 1);
}

/* ---- the server's own pages */

Test(host_monitor, the_servers_own_pages)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .flags = VMB_HOST_MONITOR, .monitor_gpa = { 0, 0x7ffff000 },
				       .monitor_page = { NULL, own[1] } };
	const uint8_t *m;
	unsigned id;

	hb_new(&cfg, 0);
	dev = hb_offer(1);
	contact(VMB_V6_0, 0x44);
	m = hb_next()->data;
	cr_assert_eq(get32(m + 16), 0x44);
	cr_assert_eq(get32(m + 24), 0);
	cr_assert_eq(get32(m + 32), 0x7ffff000);
	cr_assert_eq(hb->sent[0].len, 40);
	hb->n_read = 0;
	offers(&id, 1);
	cr_assert_eq(id, 0);
	cr_assert_eq(hb->all_mapped, 0); /* the guest's are not looked at */
	channel = hb_serve(1, dev, 1, 0);
	hb->wakes = 0;
	own[1][8] = 1;
	cr_assert_eq(vmb_host_monitor(hb->h), VMB_YES);
	cr_assert_eq(hb->wakes, 1);
	cr_assert_eq(vmb_host_detach(hb->h, dev), 0);
	modify((uint64_t)OTHER * VMB_PAGE, (uint64_t)(OTHER + 1) * VMB_PAGE, 2);
	contact(VMB_V6_0, 0); /* who does not ask for them has his own */
	hb_expect(15, 3, 1, 1, 0);
	cr_assert_eq(hb->mapped[C2P], 1);
	contact(VMB_V5_3, 0);
	hb_skip();
	cr_assert_eq(hb->mapped[C2P], 1);
	hb_sound();
}
