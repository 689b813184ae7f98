/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A host end that has something in every state that there is, saved and restored, and what becomes of damaged blobs. control-plane.md 18 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hostbench.h"
#include "saved.h"

enum { CONNECTION = 1, CHANNEL = 3, LIST = 4, OPEN = 5, MESSAGE = 6, STATISTICS = 7 };
enum { SERVED = 1, ASKED, CLOSING, REVOKED, RESCINDED, RELEASED, RESERVED, HALF, LEFT, POISONED, FRESH, DEVICES };

static struct saved rich, one;
static vmb_handle handle[DEVICES], sub;

static struct vmb_host_config config(void)
{
	return (struct vmb_host_config){ .vps = 8, .max_channels = 16, .max_gpadls = 32, .max_gpadl_pages = 256, .max_hvsock = 2,
					 .flags = VMB_HOST_MONITOR };
}

static void offers(void)
{
	for (unsigned n = 1; n < FRESH; n++)
		handle[n] = n == RESCINDED ? 0 : hb_offer(n);
	sub = hb_suboffer(SERVED, 1);
}

static void save(struct saved *s, uint32_t format)
{
	cr_assert_eq(vmb_host_save(hb->h, format, s->bytes, sizeof s->bytes, &s->n), 0);
}

/* As 6.0 has it. The first device chose its signals itself. */
static void open_message(unsigned n, uint32_t id, uint32_t open_id, uint32_t gpadl)
{
	uint8_t msg[156] = { 0 };

	hb_open_bytes(msg, id, open_id, gpadl, n % 8, 2);
	put32(msg + 148, n == SERVED ? 0x123456 : 0x2000 | id);
	put16(msg + 152, n == SERVED ? 900 : id);
	cr_assert_eq(hb_post(1, msg, sizeof msg), VMB_HV_SUCCESS);
}

static void open_one(unsigned n, vmb_handle ch, uint32_t id)
{
	hb_gpadl(id, hb_ring_id(id), hb_ring_pfn(id), 4);
	open_message(n, id, 77, hb_ring_id(id));
	while (hb_poll() != VMB_EV_OPEN) /* other things are asked, and not answered */
		cr_assert_neq(hb->ev.kind, 0);
	cr_assert_eq(hb->ev.ch, ch);
}

static void serve_one(unsigned n, vmb_handle ch, uint32_t id)
{
	struct vmb_channel *c;

	open_one(n, ch, id);
	cr_assert_eq(hb_attach(n, ch, &c), 0);
}

static void connect_6_0(void)
{
	uint8_t msg[56];

	hb_contact_bytes(msg, VMB_V6_0, 1);
	put32(msg + 20, VMB_FEATURES_DEFAULT);
	put64(msg + 24, 0x101000);
	put64(msg + 32, 0x102000);
	memset(msg + 40, 0x77, 16);
	cr_assert_eq(hb_post(4, msg, sizeof msg), 0);
	hb_request();
	hb_drain_events();
	hb_skip();
}

/* Ids are given in the order of the devices; the subchannel comes behind its primary. */
static uint32_t id_of(unsigned n)
{
	return n == SERVED ? 1 : n + 1;
}

static void make_rich(void)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8 };
	struct vmb_host_config cfg = config();
	struct vmb_list list;
	uint64_t words[8];

	hb_new(&cfg, 0xa5);
	for (unsigned n = 1; n < FRESH; n++)
		handle[n] = hb_offer(n);
	sub = hb_suboffer(SERVED, 1);
	connect_6_0();
	serve_one(SERVED, handle[SERVED], id_of(SERVED));
	hb_gpadl(1, 500, 0x80, 6);
	hb_gpadl(1, 501, 0x90, 6);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, handle[SERVED], 500, words, 8, &list), 0);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, handle[SERVED], 500, words, 8, &list), 0);
	hb_teardown(1, 500);
	open_one(ASKED, handle[ASKED], id_of(ASKED));
	serve_one(CLOSING, handle[CLOSING], id_of(CLOSING));
	hb_close(id_of(CLOSING));
	hb_gpadl(id_of(CLOSING), 900, hb_ring_pfn(20), 4);
	open_message(2, id_of(CLOSING), 78, 900);
	serve_one(REVOKED, handle[REVOKED], id_of(REVOKED));
	cr_assert_eq(vmb_host_remove(hb->h, handle[REVOKED]), 0);
	cr_assert_eq(vmb_host_remove(hb->h, handle[RESCINDED]), 0);
	hb_rel(id_of(RELEASED));
	hb_gpadl(id_of(RESERVED), 700, hb_ring_pfn(21), 4);
	hb_words(18, 5, (uint32_t)id_of(RESERVED), 3u, 2u, 700u, 2u);
	hb_drain_events();
	{
		struct vmb_channel *c;

		cr_assert_eq(hb_attach(RESERVED, handle[RESERVED], &c), 0);
	}
	put32(msg + 8, id_of(HALF));
	put32(msg + 12, 800);
	put32(msg + 16, 8 * 41u | 1u << 16);
	put64(msg + 20, 40 * VMB_PAGE);
	for (uint32_t i = 0; i < 26; i++)
		put64(msg + 28 + 8 * i, 0x60 + i);
	cr_assert_eq(hb_post(1, msg, 20 + 27 * 8), 0);
	serve_one(LEFT, handle[LEFT], id_of(LEFT));
	hb_close(id_of(LEFT));
	hb->busy = true; /* all that follows waits */
	hb_rel(id_of(LEFT));
	hb_modify(id_of(SERVED), 5u);
	hb_gpadl(id_of(HALF), 801, 0x70, 3);
	memset(msg, 0, sizeof msg);
	put32(msg, 21);
	memset(msg + 8, 0x11, 16);
	memset(msg + 24, 0x22, 16);
	cr_assert_eq(hb_post(1, msg, 40), 0);
	hb_words(27, 0);
	hb_drain_events();
}

/* ---- what comes of it */

static void fresh(const struct vmb_host_config *cfg)
{
	hb_new(cfg, 0x5a);
	offers();
}

static uint32_t restored_event(vmb_handle ch)
{
	uint32_t kind = hb_poll();

	cr_assert(hb->ev.flags & VMB_EVF_RESTORED, "event %u", kind);
	cr_assert_eq(hb->ev.ch, ch, "event %u", kind);
	return kind;
}

/* Answer whatever is asked, until nothing is. */
static void answer_all(void)
{
	struct vmb_channel *c;
	uint32_t kind;

	while ((kind = hb_poll()) != 0) {
		if (kind == VMB_EV_OPEN && hb_attach(hb->ev.ch & 31, hb->ev.ch, &c))
			(void)vmb_host_answer(hb->h, &hb->ev, VMB_ENOENT);
		else if (kind == VMB_EV_CLOSE)
			(void)vmb_host_detach(hb->h, hb->ev.ch);
		else if (kind == VMB_EV_GPADL_DOWN)
			(void)vmb_host_answer(hb->h, &hb->ev, 0);
	}
}

/* The end can be ended, and has nothing of the guest's any more. */
static void wind_up(void)
{
	hb->busy = false;
	(void)vmb_host_eom(hb->h, 0);
	(void)vmb_host_eom(hb->h, 1);
	answer_all();
	cr_assert_eq(vmb_host_reset(hb->h), 0);
	answer_all();
	cr_assert_eq(hb_info().state, VMB_BUS_NONE);
	cr_assert_eq(hb_info().gpadls, 0);
	cr_assert_eq(hb_info().attached, 0);
	for (uint32_t i = 0; i < HB_RAM_PAGES; i++)
		cr_assert_eq(hb->mapped[i], 0, "page %x", i);
	hb_sound();
}

Test(host_save, everything_is_asked_again)
{
	struct vmb_host_config cfg = config();
	struct vmb_list list;
	uint64_t words[8];
	uint32_t asked = 0, closes = 0, downs = 0;

	make_rich();
	save(&rich, 0);
	fresh(&cfg);
	hb->busy = true;
	handle[FRESH] = hb_offer(FRESH);
	cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), 0);
	cr_assert_eq(restored_event(0), VMB_EV_CONNECTED);
	for (uint32_t kind; (kind = hb_poll()) != 0;) {
		if (kind == VMB_EV_CLOSED)
			continue;
		cr_assert_eq(hb->ev.flags, /* but for the open that comes after a close */
			     VMB_EVF_ASK | (kind == VMB_EV_OPEN && hb->ev.user == 100 + CLOSING ? 0 : VMB_EVF_RESTORED), "event %u", kind);
		asked |= (uint32_t)(kind == VMB_EV_OPEN) << (hb->ev.user - 100);
		closes |= (uint32_t)(kind == VMB_EV_CLOSE) << (hb->ev.user - 100);
		downs += kind == VMB_EV_GPADL_DOWN;
		if (kind == VMB_EV_GPADL_DOWN)
			cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
		if (kind == VMB_EV_CLOSE)
			cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	}
	cr_assert_eq(asked, 1u << SERVED | 1u << ASKED | 1u << RESERVED | 1u << CLOSING, "%x", asked);
	cr_assert_eq(closes, 1u << CLOSING | 1u << REVOKED | 1u << LEFT, "%x", closes);
	cr_assert_eq(downs, 1);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, handle[SERVED], 500, words, 8, &list), VMB_ENOENT);
	cr_assert_eq(hb_info().paused, 1);
	hb->busy = false;
	vmb_host_eom(hb->h, 1);
	hb_expect(24, 2, id_of(SERVED), 0u);
	hb_expect(10, 3, id_of(HALF), 801u, 0u); /* what had been queued, up to the pause */
	hb_words(29, 0);
	while (hb_next())
		;
	wind_up();
}

Test(host_save, golden_blobs_load_and_are_saved_the_same)
{
	static const char *const name[] = { NULL, "host-1.bin", "host-2.bin", "host-3.bin" };
	struct vmb_host_config cfg = config();

	for (uint32_t format = 1; format <= VMB_SAVED_FORMAT; format++) {
		make_rich();
		save(&rich, format);
		saved_golden(&rich, name[format]);
		hb_new(&cfg, 0);
		offers();
		hb->busy = true;
		cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), 0);
		save(&one, format);
		if (format >= 2) { /* it has tried to send the first message once more */
			size_t retries = saved_find(&one, STATISTICS, 0) + 8 + 32;

			saved_put(&one, retries, saved_get(&one, retries) - 1);
			saved_fix(&one);
		}
		saved_golden(&one, name[format]);
		wind_up();
	}
}

/* Damaged ones are tried on one end again and again: that is the proof that a refusal changes nothing. */
static int load(const void *bytes, size_t n)
{
	static uint32_t loads;
	struct vmb_host_config cfg = config();
	int r;

	if (!hb || hb->pokes == 0xdead) {
		if (hb)
			hb_free(hb);
		fresh(&cfg);
		hb->busy = true;
	}
	r = vmb_host_restore(hb->h, bytes, n);
	if (r) {
		cr_assert_eq(hb_info().state, VMB_BUS_NONE);
		cr_assert_eq(hb_info().queued, 0);
		cr_assert_eq(hb_info().gpadls, 0);
		cr_assert_eq(hb->all_mapped, 0);
		return r;
	}
	if (loads++ % 4 == 0) {
		save(&one, 0);
		answer_all();
	}
	wind_up();
	hb->pokes = 0xdead;
	return 0;
}

Test(host_save, damage, .timeout = 300)
{
	make_rich();
	save(&rich, 0);
	hb->pokes = 0xdead;
	saved_damage(&rich, load);
}

static int restore_into(const struct vmb_host_config *cfg)
{
	int r;

	fresh(cfg);
	r = vmb_host_restore(hb->h, rich.bytes, rich.n);
	if (r)
		cr_assert_eq(hb_info().gpadls, 0);
	return r;
}

Test(host_save, a_host_that_may_do_less_says_so)
{
	struct vmb_host_config cfg = config();

	make_rich();
	save(&rich, 0);
	cfg.max_version = VMB_V5_3;
	cr_assert_eq(restore_into(&cfg), VMB_EVERSION);
	cfg = config();
	cfg.features = VMB_FEATURE_NONE;
	cr_assert_eq(restore_into(&cfg), VMB_EVERSION);
	cfg = config();
	cfg.max_gpadls = 8;
	cr_assert_eq(restore_into(&cfg), VMB_ENOSPACE);
	cfg = config();
	cfg.max_gpadl_pages = 64;
	cr_assert_eq(restore_into(&cfg), VMB_ENOSPACE);
	cfg = config();
	cfg.vps = 4; /* one channel interrupts number 5 */
	cr_assert_eq(restore_into(&cfg), VMB_ENOSPACE);
	cfg = config();
	cfg.max_channels = 10; /* ten are offered, one more is to be rescinded */
	cr_assert_eq(restore_into(&cfg), VMB_ENOSPACE);
	cfg = config();
	cfg.vtl = 2;
	cr_assert_eq(restore_into(&cfg), VMB_EINVAL);
	cfg = config();
	cfg.flags = 0; /* nobody would look at its monitor ids */
	cr_assert_eq(restore_into(&cfg), VMB_EINVAL);
	cfg = config();
	fresh(&cfg);
	hb->map_fail_at = 1;
	cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), VMB_EMAP);
	cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), 0);
	cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), VMB_ESTATE);
	wind_up();
}

Test(host_save, messages_that_do_not_fit)
{
	struct vmb_host_config cfg = config();

	cfg.max_messages = 40;
	hb_new(&cfg, 0xa5);
	offers();
	connect_6_0();
	hb->busy = true;
	for (uint32_t i = 0; i < 40; i++)
		hb_gpadl(2, 0x1000, 0x80, 3); /* one is created, the others are refused: the same id */
	save(&rich, 0);
	cfg.max_messages = 4;
	cfg.max_gpadls = 4;
	cfg.max_channels = 12;
	cr_assert_eq(restore_into(&cfg), VMB_ENOSPACE);
	cfg.max_messages = 40;
	cr_assert_eq(restore_into(&cfg), 0);
	cr_assert_eq(hb->n_sent, 40);
	wind_up();
}

Test(host_save, frames)
{
	struct vmb_host_config cfg = config();

	make_rich();
	save(&rich, 0);
	one = rich;
	saved_append(&rich, 99, 0, 5);
	cr_assert_eq(restore_into(&cfg), VMB_EINVAL); /* who made it says that it matters */
	rich = one;
	saved_append(&rich, 99, 1, 5);
	cr_assert_eq(restore_into(&cfg), 0);
	wind_up();
	rich = one;
	saved_put(&rich, 8, VMB_SAVED_FORMAT + 1);
	saved_fix(&rich);
	cr_assert_eq(restore_into(&cfg), VMB_EVERSION);
	saved_put(&rich, 8, 1); /* which has no counters */
	saved_fix(&rich);
	cr_assert_eq(restore_into(&cfg), VMB_EINVAL);
	rich = one;
	saved_put(&rich, 12, 2);
	saved_fix(&rich);
	cr_assert_eq(restore_into(&cfg), VMB_EINVAL); /* a guest's */
	cr_assert_eq(vmb_host_restore(hb->h, NULL, 0), VMB_EINVAL);
	cr_assert_eq(vmb_host_save(hb->h, VMB_SAVED_FORMAT + 1, NULL, 0, &one.n), VMB_EVERSION);
	cr_assert_eq(vmb_host_save(hb->h, 0, NULL, 0, NULL), VMB_EINVAL);
}

Test(host_save, not_in_the_middle_of_a_packet)
{
	struct vmb_host_config cfg = config();
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "12345678", .len = 8 };
	struct vmb_channel *c;

	hb_new(&cfg, 0xa5);
	offers();
	connect_6_0();
	open_one(SERVED, handle[SERVED], 1);
	cr_assert_eq(hb_attach(SERVED, handle[SERVED], &c), 0);
	cr_assert_eq(vmb_channel_put(c, &p), 0);
	cr_assert_eq(vmb_host_save(hb->h, 0, one.bytes, sizeof one.bytes, &one.n), VMB_ESTATE);
	cr_assert_eq(vmb_channel_flush(c), 0);
	cr_assert_eq(vmb_host_save(hb->h, 0, one.bytes, sizeof one.bytes, &one.n), 0);
}

Test(host_save, a_device_that_cannot_go_on)
{
	struct vmb_host_config cfg = config();

	hb_new(&cfg, 0xa5);
	offers();
	connect_6_0();
	serve_one(SERVED, handle[SERVED], 1);
	save(&rich, 0);
	fresh(&cfg);
	cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), 0);
	cr_assert_eq(restored_event(0), VMB_EV_CONNECTED);
	cr_assert_eq(restored_event(handle[SERVED]), VMB_EV_OPEN);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, VMB_ENOENT), 0);
	hb_expect(2, 1, 2u); /* its subchannel first */
	hb_expect(2, 1, 1u);
	hb_rel(2);
	hb_quiet();
	hb_rel(1);
	cr_assert_eq(get32(hb_next()->data), 1); /* both are offered again */
	cr_assert_eq(get32(hb_next()->data), 1);
	hb_quiet();
	wind_up();
}

Test(host_save, a_hold_of_before_is_taken_over)
{
	struct vmb_host_config cfg = config();
	struct vmb_gpadl_info info = { .size = sizeof info };
	struct vmb_list list;
	uint64_t words[8];

	hb_new(&cfg, 0xa5);
	offers();
	connect_6_0();
	hb_gpadl(1, 500, 0x80, 6);
	hb_skip();
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, handle[SERVED], 500, words, 8, &list), 0);
	save(&rich, 0);
	fresh(&cfg);
	cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), 0);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, handle[SERVED], 500, words, 8, &list), 0);
	cr_assert_eq(vmb_host_gpadl_info(hb->h, handle[SERVED], 500, &info), 0);
	cr_assert_eq(info.held, 1);
	hb_teardown(1, 500);
	hb_quiet();
	cr_assert_eq(vmb_host_gpadl_release(hb->h, handle[SERVED], 500), 0);
	hb_expect(12, 1, 500u);
	wind_up();
}

Test(host_save, a_record_has_exactly_its_fields)
{
	struct vmb_host_config cfg = config();

	make_rich();
	save(&one, 0);
	for (uint32_t type = CONNECTION; type <= STATISTICS; type++) {
		if (type == 2) /* no contact waits */
			continue;
		fresh(&cfg);
		saved_resize(&rich, &one, type, -8);
		cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), VMB_EINVAL, "record %u", type);
		saved_resize(&rich, &one, type, 8);
		cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), VMB_EINVAL, "record %u", type);
		saved_resize(&rich, &one, type, 0);
		cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), 0);
		wind_up();
	}
}

/* Who serves the rings elsewhere goes on like an object: both sides look once, the guest hears nothing. */
Test(host_save, somebody_else_serves_it_again)
{
	struct vmb_host_config cfg = config();

	hb_new(&cfg, 0xa5);
	offers();
	connect_6_0();
	open_one(SERVED, handle[SERVED], 1);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	save(&rich, 0);
	fresh(&cfg);
	cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), 0);
	cr_assert_eq(restored_event(0), VMB_EV_CONNECTED);
	cr_assert_eq(restored_event(handle[SERVED]), VMB_EV_OPEN);
	cr_assert_eq(hb->interrupts, 0);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	cr_assert_eq(hb->interrupts, 1);
	cr_assert_eq(hb->interrupt[0].vp, 1);
	cr_assert_eq(hb->interrupt[0].flag, 900);
	cr_assert_eq(hb->wakes, 1);
	hb_quiet();
	hb_close(1);
	cr_assert_eq(hb_poll(), VMB_EV_CLOSE);
	cr_assert_eq(hb->ev.flags, VMB_EVF_ASK); /* this one is new */
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_event(VMB_EV_CLOSED, handle[SERVED]);
	wind_up();
}

/* Its subchannel is rescinded already. control-plane.md 12.1, gpadl.md 9 */
Test(host_save, what_is_held_holds_up_the_rescind)
{
	struct vmb_host_config cfg = config();
	struct vmb_list list;
	uint64_t words[8];

	hb_new(&cfg, 0xa5);
	offers();
	connect_6_0();
	hb_gpadl(1, 500, 0x80, 6);
	hb_skip();
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, handle[SERVED], 500, words, 8, &list), 0);
	cr_assert_eq(vmb_host_remove(hb->h, handle[SERVED]), 0);
	hb_expect(2, 1, 2u);
	hb_quiet();
	save(&rich, 0);
	fresh(&cfg);
	cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), 0);
	hb_quiet();
	cr_assert_eq(restored_event(0), VMB_EV_CONNECTED);
	cr_assert_eq(restored_event(handle[SERVED]), VMB_EV_GPADL_DOWN);
	hb_quiet();
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_expect(2, 1, 1u);
	wind_up();
}

/* ---- who watches, and what was counted */

static struct vmb_trace told[512];
static uint32_t n_told;

static void trace(void *ctx, const struct vmb_trace *t)
{
	(void)ctx;
	cr_assert_lt(n_told, sizeof told / sizeof *told);
	told[n_told++] = *t;
}

/* What was told last about each channel and list is what the snapshot has. How many there are. */
static uint32_t told_is_shown(void)
{
	struct vmb_part part = { .size = sizeof part };
	uint32_t cursor = 0, parts = 0;

	while (vmb_host_snapshot(hb->h, &cursor, &part) == VMB_YES) {
		uint32_t point = part.kind == VMB_PART_CHANNEL ? VMB_TRACE_CHANNEL : VMB_TRACE_GPADL, state = 0, flags = 0;

		if (part.kind == VMB_PART_CONNECTION)
			continue;
		for (uint32_t i = 0; i < n_told; i++) {
			const struct vmb_trace *t = &told[i];

			if (t->point != point || t->ch != part.ch || (point == VMB_TRACE_GPADL && t->gpadl != part.gpadl))
				continue;
			cr_assert_eq(t->a, state, "channel %u, list %u", part.channel, part.gpadl);
			cr_assert(point == VMB_TRACE_GPADL || t->c == flags);
			state = t->b;
			flags = t->d;
		}
		cr_assert_eq(state, part.state, "channel %u, list %u", part.channel, part.gpadl);
		cr_assert(point == VMB_TRACE_GPADL || flags == part.flags);
		parts++;
	}
	return parts;
}

Test(host_save, a_watcher_is_told_what_there_is)
{
	struct vmb_host_config cfg = config();

	make_rich();
	save(&rich, 0);
	cfg.trace = trace;
	n_told = 0;
	fresh(&cfg);
	hb->busy = true;
	saved_resize(&one, &rich, STATISTICS, -8);
	cr_assert_eq(vmb_host_restore(hb->h, one.bytes, one.n), VMB_EINVAL); /* seen at its end */
	cr_assert_eq(n_told, FRESH - 1); /* this host's offers: one is not made, one is a subchannel */
	cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), 0);
	cr_assert_eq(told_is_shown(), 11 + 11);
	for (uint32_t i = FRESH - 1; i < n_told; i++)
		cr_assert(told[i].point != VMB_TRACE_MESSAGE_OUT || told[i].c == VMB_FATE_AGAIN);
	wind_up();
	cr_assert_eq(told_is_shown(), FRESH - 1);
}

static struct vmb_part part_of(vmb_handle ch)
{
	struct vmb_part part = { .size = sizeof part };
	uint32_t cursor = 0;

	while (vmb_host_snapshot(hb->h, &cursor, &part) == VMB_YES)
		if (part.kind == VMB_PART_CHANNEL && part.ch == ch)
			return part;
	cr_assert_fail("no such channel");
	return part;
}

Test(host_save, counters_go_on)
{
	struct vmb_host_config cfg = config();
	struct vmb_bus_info before, now;
	struct vmb_part part;

	make_rich();
	hb_post(1, "garbage!", 8);
	save(&rich, 0);
	before = hb_info();
	part = part_of(handle[CLOSING]);
	cr_assert(before.dropped && before.fate[VMB_FATE_TAKEN] > 20 && part.opens == 1 && part.closes == 1);
	fresh(&cfg);
	hb->busy = true;
	hb_post(1, "garbage!", 8); /* as a blob of an old format finds it, and one that is refused */
	cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n - 8), VMB_EINVAL);
	saved_resize(&one, &rich, STATISTICS, -8);
	cr_assert_eq(vmb_host_restore(hb->h, one.bytes, one.n), VMB_EINVAL);
	now = hb_info();
	cr_assert(now.messages_in == 1 && now.dropped == 1 && !now.messages_out && !now.fate[VMB_FATE_TAKEN]);
	cr_assert(!part_of(handle[CLOSING]).opens);
	cr_assert_eq(vmb_host_restore(hb->h, rich.bytes, rich.n), 0);
	now = hb_info();
	cr_assert_eq(memcmp(now.fate, before.fate, sizeof now.fate), 0);
	cr_assert_eq(now.messages_in, before.messages_in);
	cr_assert_eq(now.dropped, before.dropped);
	cr_assert_eq(now.post_failed, before.post_failed);
	cr_assert_eq(part_of(handle[CLOSING]).opens, 1);
	cr_assert_eq(part_of(handle[CLOSING]).closes, 1);
	wind_up();
}
