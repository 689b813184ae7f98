/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* States of a host end that come seldom: on its way out, with pages of either side, with sockets, with a bad ring. control-plane.md 18 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"
#include "saved.h"

enum { CONNECTION = 1, CONTACT, CHANNEL, LIST, OPEN, MESSAGE, STATISTICS };
enum { STATE_AT = 8 + 4, ACTION_AT = 8 + 8, P2C = 0x140, C2P = 0x141, OTHER = 0x150 };

static struct saved blob, bad;
static vmb_handle dev[4];
static uint8_t own[2][VMB_PAGE] __attribute__((aligned(VMB_PAGE)));

static void fresh(const struct vmb_host_config *cfg)
{
	hb_new(cfg, 0x5a);
	for (unsigned n = 1; n < 4; n++)
		dev[n] = hb_offer(n);
}

static void begin(uint32_t version)
{
	struct vmb_host_config cfg = { .vps = 8 };

	fresh(&cfg);
	hb_connect(version);
	hb_drain_events();
}

static void save(void)
{
	cr_assert_eq(vmb_host_save(hb->h, 0, blob.bytes, sizeof blob.bytes, &blob.n), 0);
}

static int restore(const struct saved *s)
{
	return vmb_host_restore(hb->h, s->bytes, s->n);
}

/* Into a new host of the same kind. */
static void again(void)
{
	struct vmb_host_config cfg = { .vps = 8 };

	save();
	fresh(&cfg);
	cr_assert_eq(restore(&blob), 0);
}

/* One word of it is another: in the index-th record of a type, at an offset of its header. */
static int restore_with(uint32_t type, uint32_t index, size_t at, uint32_t value)
{
	bad = blob;
	saved_put(&bad, saved_find(&bad, type, index) + at, value);
	saved_fix(&bad);
	return restore(&bad);
}

/* The first record of a type comes twice. */
static int restore_twice(uint32_t type)
{
	size_t at = saved_find(&blob, type, 0), n = 8 + (saved_get(&blob, at + 4) + 7) / 8 * 8;

	bad = blob;
	memcpy(bad.bytes + at + n, blob.bytes + at, blob.n - at);
	bad.n += n;
	saved_put(&bad, 24, saved_get(&bad, 24) + 1);
	saved_fix(&bad);
	return restore(&bad);
}

/* Refused for this reason, and the end is as it was. */
static void refused_at(int line, int result, int error)
{
	cr_assert_eq(result, error, "line %d: %d", line, result);
	cr_assert_eq(hb_info().state, VMB_BUS_NONE, "line %d", line);
	cr_assert_eq(hb_info().queued, 0, "line %d", line);
	cr_assert_eq(hb_info().gpadls, 0, "line %d", line);
	cr_assert_eq(hb->all_mapped, 0, "line %d", line);
	hb_quiet_at(line);
	hb_no_event_at(line);
}

#define refused(result, error) refused_at(__LINE__, result, error)

static void wind_up(void)
{
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	for (uint32_t kind; (kind = hb_poll()) != 0;)
		if (kind == VMB_EV_CLOSE)
			(void)vmb_host_detach(hb->h, hb->ev.ch);
	cr_assert_eq(hb_info().state, VMB_BUS_NONE);
	cr_assert_eq(hb_info().gpadls, 0);
	cr_assert_eq(hb->all_mapped, 0);
	hb_sound();
}

static void told_again(uint32_t kind, vmb_handle ch)
{
	uint32_t got = hb_poll();

	cr_assert(got == kind && hb->ev.ch == ch, "event %u of %x", got, hb->ev.ch);
	cr_assert(hb->ev.flags & VMB_EVF_RESTORED);
}

static void let_go(vmb_handle ch)
{
	told_again(VMB_EV_CLOSE, ch);
	hb_quiet(); /* the answer waits for this */
	cr_assert_eq(vmb_host_detach(hb->h, ch), 0);
}

Test(host_save_states, a_contact_that_waits)
{
	begin(VMB_V5_3);
	hb_serve(1, dev[1], 1, 0);
	hb_contact(VMB_V4_1);
	again();
	let_go(dev[1]);
	cr_assert_eq(hb_next()->data[0], 15);
	cr_assert_eq(hb_info().state, VMB_BUS_CONNECTED);
	cr_assert_eq(hb_info().version, VMB_V4_1);
	wind_up();
}

Test(host_save_states, a_contact_that_cannot_be)
{
	struct vmb_host_config cfg = { .vps = 8 };

	begin(VMB_V5_3);
	hb_serve(1, dev[1], 1, 0);
	hb_contact(VMB_V5_3);
	save();
	fresh(&cfg);
	cr_assert_eq(restore_with(CONTACT, 0, 8 + 4, 0x1234), VMB_EINVAL); /* no port */
	cr_assert_eq(restore_with(CONTACT, 0, 8 + 8, 8), VMB_ENOSPACE); /* VP */
	cr_assert_eq(restore_with(CONTACT, 0, 8 + 16, 1), VMB_EVERSION); /* trusted */
	cr_assert_eq(restore_with(CONTACT, 0, 8 + 20, 4096), VMB_EINVAL); /* interrupt page */
	cr_assert_eq(restore_with(CONNECTION, 0, ACTION_AT, 1), VMB_EINVAL); /* UNLOAD, and a contact */
	cr_assert_eq(restore_with(CONNECTION, 0, ACTION_AT, 0), VMB_EINVAL);
	cr_assert_eq(restore_with(CONNECTION, 0, STATE_AT, VMB_BUS_NONE), VMB_EINVAL);
	cr_assert_eq(restore_with(CONNECTION, 0, STATE_AT, VMB_BUS_CONNECTING), VMB_EINVAL);
	cr_assert_eq(restore(&blob), 0);
	wind_up();
}

Test(host_save_states, an_unload_that_waits)
{
	begin(VMB_V5_3);
	hb_serve(1, dev[1], 1, 0);
	hb_unload();
	again();
	let_go(dev[1]);
	hb_expect(17, 0);
	cr_assert_eq(hb_info().state, VMB_BUS_NONE);
	wind_up();
}

Test(host_save_states, a_reset_that_waits)
{
	begin(VMB_V5_3);
	hb_serve(1, dev[1], 1, 0);
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	again();
	let_go(dev[1]);
	hb_event(VMB_EV_CLOSED, dev[1]);
	hb_event(VMB_EV_RESET, 0);
	hb_no_event();
	wind_up();
}

/* ---- pages */

static void monitor_host(struct vmb_host_config *cfg, int servers)
{
	*cfg = (struct vmb_host_config){ .vps = 8, .flags = VMB_HOST_MONITOR };
	if (servers) {
		cfg->monitor_gpa[1] = 0x7ffff000;
		cfg->monitor_page[1] = own[1];
	}
	fresh(cfg);
}

static void monitor_contact(uint32_t version, uint32_t features)
{
	uint8_t msg[56];

	hb_contact_bytes(msg, version, 0);
	put32(msg + 20, features);
	if (version < VMB_V2_4)
		put64(msg + 16, (uint64_t)HB_PAGE_PFN * VMB_PAGE);
	put64(msg + 24, (uint64_t)P2C * VMB_PAGE);
	put64(msg + 32, (uint64_t)C2P * VMB_PAGE);
	cr_assert_eq(hb_post(1, msg, 56), 0);
	hb_request();
	hb_drain_events();
}

Test(host_save_states, the_servers_own_pages)
{
	struct vmb_host_config cfg;

	monitor_host(&cfg, 1);
	monitor_contact(VMB_V6_0, VMB_FEATURE_SERVER_MONITOR);
	cr_assert_eq(hb_info().features, VMB_FEATURE_SERVER_MONITOR);
	cr_assert_eq(hb_info().monitor_gpa[1], 0x7ffff000);
	save();
	cfg.monitor_gpa[1] += VMB_PAGE;
	fresh(&cfg);
	cr_assert_eq(restore(&blob), VMB_EINVAL); /* the guest uses the others */
	monitor_host(&cfg, 1);
	cr_assert_eq(restore(&blob), 0);
	cr_assert_eq(hb_info().monitor_gpa[1], 0x7ffff000);
	wind_up();
}

Test(host_save_states, pages_that_cannot_be_mapped)
{
	struct vmb_host_config cfg;

	monitor_host(&cfg, 0);
	monitor_contact(VMB_V1_1, 0);
	save();
	monitor_host(&cfg, 0);
	for (unsigned n = 1; n <= 2; n++) {
		hb->map_fail_at = hb->map_calls + n;
		cr_assert_eq(restore(&blob), VMB_EMAP);
		cr_assert_eq(hb->all_mapped, 0);
	}
	cr_assert_eq(restore_with(CONNECTION, 0, 8 + 48, HB_PAGE_PFN * VMB_PAGE + 8), VMB_EINVAL); /* crooked */
	cr_assert_eq(restore(&blob), 0);
	cr_assert_eq(hb->all_mapped, 2);
	wind_up();
}

/* Its pages are asked for once more: here by hand, for what it waits for lasts no longer than a call. */
Test(host_save_states, other_pages_that_are_not_answered)
{
	struct vmb_host_config cfg;

	monitor_host(&cfg, 0);
	monitor_contact(VMB_V6_0, VMB_FEATURE_MODIFY_CONNECTION);
	save();
	monitor_host(&cfg, 0);
	saved_put(&blob, saved_find(&blob, CONNECTION, 0) + 8 + 36, 1);
	saved_put(&blob, saved_find(&blob, CONNECTION, 0) + 8 + 72, OTHER * VMB_PAGE);
	saved_put(&blob, saved_find(&blob, CONNECTION, 0) + 8 + 80, OTHER * VMB_PAGE);
	saved_fix(&blob);
	cr_assert_eq(restore(&blob), VMB_EINVAL); /* the same twice */
	saved_put(&blob, saved_find(&blob, CONNECTION, 0) + 8 + 80, (OTHER + 1) * VMB_PAGE);
	saved_fix(&blob);
	cr_assert_eq(restore(&blob), 0);
	hb_poll();
	cr_assert_eq(hb->mapped[OTHER + 1], 1);
	cr_assert_eq(hb->mapped[C2P], 0);
	while (hb->sent[hb->n_read].data[0] != 26)
		hb_next();
	cr_assert_eq(hb_next()->data[8], 0);
	wind_up();
}

/* ---- channels */

Test(host_save_states, a_bad_ring)
{
	struct vmb_channel *c;
	struct vmb_packet p;
	uint64_t buf[8];

	begin(VMB_V5_3);
	c = hb_serve(1, dev[1], 1, 0);
	put32(hb->ram + hb_ring_pfn(1) * VMB_PAGE, 0xffffffff);
	cr_assert_eq(vmb_channel_recv(c, buf, sizeof buf, &p), VMB_EPEER);
	again();
	told_again(VMB_EV_CONNECTED, 0);
	hb_no_event(); /* it waits for the guest's CLOSE */
	cr_assert_eq(hb_attach(1, dev[1], &c), VMB_EPEER);
	hb_close(1);
	hb_no_event();
	hb_open(1, 9, hb_ring_id(1), 0);
	hb_event(VMB_EV_OPEN, dev[1]);
	wind_up();
}

/* Given up by the guest and removed while the device is still on its ring, and offered again meanwhile. */
Test(host_save_states, a_removed_device_that_has_not_let_go)
{
	struct vmb_host_config cfg = { .vps = 8 };

	begin(VMB_V5_3);
	hb_serve(1, dev[1], 1, 0);
	hb_close(1);
	hb_rel(1);
	cr_assert_eq(vmb_host_remove(hb->h, dev[1]), 0);
	save();
	fresh(&cfg);
	cr_assert_eq(restore(&blob), 0);
	hb_quiet(); /* offered when that is over */
	told_again(VMB_EV_CONNECTED, 0);
	told_again(VMB_EV_CLOSE, dev[1]);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	cr_assert_eq(hb_next()->data[0], 1);
	hb_event(VMB_EV_CLOSED, dev[1]);
	wind_up();
}

/* The guest has not heard of it, and will not. */
Test(host_save_states, an_offer_on_its_way_of_what_is_not_offered_any_more)
{
	struct vmb_host_config cfg = { .vps = 8 };
	struct vmb_offer o;
	vmb_handle ch;

	begin(VMB_V5_3);
	hb->busy = true;
	hb_offer_fill(&o, 9, 0);
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	save();
	fresh(&cfg);
	cr_assert_eq(restore(&blob), 0);
	hb_quiet();
	cr_assert_eq(hb_info().queued, 0);
	fresh(&cfg);
	hb_offer(9);
	cr_assert_eq(restore(&blob), 0);
	cr_assert_eq(hb_next()->data[0], 1);
	cr_assert_eq(restore_with(CONNECTION, 0, 8, 0), VMB_ESTATE);
	wind_up();
}

Test(host_save_states, what_does_not_fit_together)
{
	struct vmb_host_config cfg = { .vps = 8 };
	struct vmb_offer o;
	vmb_handle ch;

	begin(VMB_V5_3);
	hb->busy = true;
	hb_offer(9);
	save();
	fresh(&cfg);
	cr_assert_eq(restore_with(CHANNEL, 0, 8 + 40, 9), VMB_EINVAL); /* a state that is none */
	cr_assert_eq(restore_with(CHANNEL, 0, 8 + 44, 0x100), VMB_EINVAL); /* a flag that is none */
	cr_assert_eq(restore_with(MESSAGE, 0, 8 + 8 + 8, 77), VMB_EINVAL); /* an offer of an id that is nobody's */
	cr_assert_eq(restore_with(CHANNEL, 1, 8 + 36, 1), VMB_EINVAL); /* an id that comes twice */
	cr_assert_eq(restore_with(CONNECTION, 0, STATE_AT, VMB_BUS_CONNECTED), VMB_EINVAL); /* channels, and no offers were asked for */
	bad = blob;
	saved_append(&bad, CHANNEL, 0, 88); /* behind the counters */
	cr_assert_eq(restore(&bad), VMB_EINVAL);
	bad = blob;
	saved_append(&bad, STATISTICS, 0, saved_get(&blob, saved_find(&blob, STATISTICS, 0) + 4));
	cr_assert_eq(restore(&bad), VMB_EINVAL); /* twice */
	bad = blob;
	bad.n = saved_find(&bad, STATISTICS, 0);
	saved_put(&bad, 24, saved_get(&bad, 24) - 1);
	saved_fix(&bad);
	cr_assert_eq(restore(&bad), VMB_EINVAL); /* no counters, which format 3 has */
	hb_new(&cfg, 0);
	hb_offer_fill(&o, 1, 0);
	o.channel_id = 12; /* the guest knows it by another one */
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	cr_assert_eq(restore(&blob), VMB_EINVAL);
	wind_up();
}

/* Each list may have to be answered some time. */
Test(host_save_states, more_answers_than_there_is_room_for)
{
	struct vmb_host_config cfg = { .vps = 8, .max_channels = 4, .max_messages = 60, .max_gpadls = 4 };

	fresh(&cfg);
	hb_connect(VMB_V5_3);
	hb_drain_events();
	hb->busy = true;
	for (uint32_t i = 0; i < 30; i++)
		hb_gpadl(1, 0x1000 + i % 5, 0x80, 3);
	save();
	cfg.max_messages = 24; /* and 9 for lists and channels: 33, and there are 30, and 4 lists */
	fresh(&cfg);
	hb->busy = true;
	cr_assert_eq(restore(&blob), VMB_ENOSPACE);
	cfg.max_messages = 60;
	fresh(&cfg);
	cr_assert_eq(restore(&blob), 0);
	wind_up();
}

Test(host_save_states, a_socket_that_is_to_be_opened_in_time)
{
	struct vmb_hvsock s = { .endpoint = { { 1 } }, .service = { { 7 } }, .flags = VMB_HVSOCK_TO_GUEST };
	struct vmb_host_config cfg = { .vps = 8, .hvsock_ms = 100 };
	struct vmb_offer o = { .size = sizeof o, .user = 5 };
	struct vmb_event ev;
	vmb_handle ch;

	fresh(&cfg);
	hb_connect(VMB_V5_3);
	cr_assert_eq(vmb_hvsock_offer(&s, &o), 0);
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	hb_skip();
	hb_drain_events();
	save();
	fresh(&cfg);
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	cr_assert_eq(restore(&blob), 0);
	hb_quiet();
	cr_assert_eq(vmb_host_poll(hb->h, 1, &ev), VMB_YES);
	cr_assert_eq(ev.kind, VMB_EV_CONNECTED);
	cr_assert_eq(vmb_host_poll(hb->h, 99000000, &ev), 0);
	hb_quiet();
	cr_assert_geq(vmb_host_poll(hb->h, 101000000, &ev), 0); /* the time begins anew with the first poll */
	cr_assert_eq(hb_next()->data[0], 2);
	wind_up();
}

/* ---- what does not fit into this host, or to itself */

/* Of another size than it has, or twice. */
Test(host_save_states, a_message_of_a_channel_that_is_none)
{
	struct vmb_host_config cfg = { .vps = 8 };

	begin(VMB_V5_3);
	hb->busy = true;
	hb_offer(9);
	save();
	fresh(&cfg);
	refused(restore_with(MESSAGE, 0, 8 + 4, 16), VMB_EINVAL);
	refused(restore_twice(MESSAGE), VMB_EINVAL);
	cr_assert_eq(restore(&blob), 0);
	wind_up();
}

Test(host_save_states, a_message_of_the_connection_that_is_none)
{
	struct vmb_host_config cfg = { .vps = 8 };

	fresh(&cfg);
	hb->busy = true;
	hb_contact(VMB_V5_3);
	save();
	fresh(&cfg);
	refused(restore_with(MESSAGE, 0, 8 + 4, 12), VMB_EINVAL);
	refused(restore_twice(MESSAGE), VMB_EINVAL); /* there is room for one */
	cr_assert_eq(restore(&blob), 0);
	cr_assert_eq(hb_next()->data[0], 15);
	hb->busy = true;
	hb_unload();
	save();
	fresh(&cfg);
	refused(restore_with(MESSAGE, 0, 8 + 4, 16), VMB_EINVAL);
	cr_assert_eq(restore(&blob), 0);
	hb_expect(17, 0);
	wind_up();
}

/* Those that wait for an answer are saved as their refusals. */
Test(host_save_states, more_sockets_than_there_is_room_for)
{
	struct vmb_host_config cfg = { .vps = 8, .max_hvsock = 3 };
	uint8_t msg[40] = { 21, [24] = 7 };
	size_t at;

	fresh(&cfg);
	hb_connect(VMB_V5_3);
	hb->busy = true;
	for (uint32_t i = 0; i < 6; i++) {
		msg[8] = (uint8_t)i;
		cr_assert_eq(hb_post(1, msg, sizeof msg), 0);
	}
	save();
	cr_assert_neq(saved_find(&blob, MESSAGE, 5), 0);
	cfg.max_hvsock = 1; /* and four refusals */
	fresh(&cfg);
	refused(restore(&blob), VMB_ENOSPACE);
	cfg.max_hvsock = 2;
	fresh(&cfg);
	bad = blob;
	at = saved_find(&bad, MESSAGE, 5) + 8;
	saved_put(&bad, at + 4, 40); /* without its status */
	saved_put(&bad, at + 8 + 40, 0);
	saved_fix(&bad);
	refused(restore(&bad), VMB_EINVAL);
	cr_assert_eq(restore(&blob), 0);
	for (uint32_t i = 0; i < 6; i++)
		cr_assert_eq(hb_next()->data[0], 23);
	hb_quiet();
	wind_up();
}

Test(host_save_states, an_id_that_another_device_has_here)
{
	struct vmb_host_config cfg = { .vps = 8 };
	struct vmb_offer o;
	vmb_handle ch;

	begin(VMB_V5_3);
	save();
	hb_new(&cfg, 0);
	hb_offer_fill(&o, 9, 0);
	o.channel_id = 2;
	cr_assert_eq(vmb_host_offer(hb->h, &o, &ch), 0);
	refused(restore(&blob), VMB_EINVAL); /* nobody offers the one that had it */
	hb_offer(2);
	refused(restore(&blob), VMB_EINVAL);
	hb_contact(VMB_V5_3);
	hb_skip();
	hb_request();
	cr_assert_eq(get32(hb_next()->data + 184), 1);
	cr_assert_eq(get32(hb_next()->data + 184), 2); /* it has kept it */
	cr_assert_eq(hb_next()->data[0], 4);
	hb_drain_events();
	wind_up();
}

/* The guest may set bits in pages of this connection, or of none. */
Test(host_save_states, a_monitor_id_without_pages)
{
	struct vmb_host_config cfg;
	size_t at;

	monitor_host(&cfg, 0);
	monitor_contact(VMB_V5_3, 0);
	save();
	cr_assert_neq(saved_get(&blob, saved_find(&blob, CHANNEL, 0) + 8 + 48), 0);
	bad = blob;
	at = saved_find(&bad, CONNECTION, 0) + 8 + 56;
	memset(bad.bytes + at, 0, 16);
	saved_fix(&bad);
	monitor_host(&cfg, 0);
	refused(restore(&bad), VMB_EINVAL);
	cr_assert_eq(restore(&blob), 0);
	wind_up();
}

static void half_a_list(uint32_t channel, uint32_t id)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len = hb_gpadl_bytes(msg, channel, id, 0x80, 4);

	cr_assert_eq(hb_post(1, msg, len - 8), 0);
}

/* Nobody could tell whose the rest of it is. gpadl.md 3.1 */
Test(host_save_states, one_id_for_two_lists_that_are_not_all_here)
{
	struct vmb_host_config cfg = { .vps = 8 };

	begin(VMB_V5_3);
	half_a_list(1, 5);
	half_a_list(2, 6);
	save();
	fresh(&cfg);
	refused(restore_with(LIST, 1, 8, 5), VMB_EINVAL);
	cr_assert_eq(restore(&blob), 0);
	cr_assert_eq(hb_info().gpadls, 2);
	wind_up();
}

/* Open as a reserved channel for an owner of old: the guest of now hears only that it is offered. control-plane.md 10.5 */
static void reserved_and_outlived(int hold)
{
	struct vmb_channel *c;
	struct vmb_list list;
	uint64_t words[4];

	begin(VMB_V5_3);
	hb_gpadl(1, hb_ring_id(1), hb_ring_pfn(1), 4);
	hb_gpadl(1, 7, 0x80, 2);
	if (hold)
		cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev[1], 7, words, 4, &list), 0);
	hb_words(18, 5, 1u, 3u, 5u, hb_ring_id(1), 2u);
	hb_event(VMB_EV_OPEN, dev[1]);
	cr_assert_eq(hb_attach(1, dev[1], &c), 0);
	while (hb_next())
		;
	hb_connect(VMB_V5_3);
	again();
	told_again(VMB_EV_CONNECTED, 0);
	told_again(VMB_EV_OPEN, dev[1]);
	hb_quiet();
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, VMB_ENOENT), 0);
}

static void offered_at_last(void)
{
	cr_assert_eq(hb_info().gpadls, 0);
	cr_assert_eq(get32(hb_next()->data + 184), 1);
	hb_quiet();
	hb_no_event();
	(void)hb_serve(1, dev[1], 1, 0);
	wind_up();
}

Test(host_save_states, a_reserved_channel_that_cannot_go_on)
{
	reserved_and_outlived(0);
	offered_at_last();
}

Test(host_save_states, a_reserved_channel_that_cannot_go_on_with_a_list_held)
{
	reserved_and_outlived(1);
	hb_quiet();
	told_again(VMB_EV_GPADL_DOWN, dev[1]);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	offered_at_last();
	reserved_and_outlived(1);
	again(); /* once more, while it waits for that */
	hb_quiet();
	told_again(VMB_EV_CONNECTED, 0);
	told_again(VMB_EV_GPADL_DOWN, dev[1]);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	offered_at_last();
}

static void renewing_host(void)
{
	struct vmb_host_config cfg = { .vps = 8 };
	struct vmb_offer o;

	hb_new(&cfg, 0);
	hb_offer_fill(&o, 1, 0);
	o.flags |= VMB_OFFER_RENEW;
	cr_assert_eq(vmb_host_offer(hb->h, &o, &dev[1]), 0);
}

/* Given up by the guest before its device has let go of a list. vmbus.h VMB_OFFER_RENEW */
Test(host_save_states, a_device_that_is_to_begin_anew)
{
	struct vmb_list list;
	uint64_t words[4];

	renewing_host();
	hb_connect(VMB_V5_3);
	hb_gpadl(1, 7, 0x80, 2);
	hb_skip();
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, dev[1], 7, words, 4, &list), 0);
	(void)hb_serve(1, dev[1], 1, 0);
	hb_close(1);
	hb_event(VMB_EV_CLOSE, dev[1]);
	cr_assert_eq(vmb_host_detach(hb->h, dev[1]), 0);
	hb_rel(1);
	save();
	renewing_host();
	cr_assert_eq(restore(&blob), 0);
	hb_quiet();
	told_again(VMB_EV_CONNECTED, 0);
	told_again(VMB_EV_GPADL_DOWN, dev[1]);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	offered_at_last();
}
