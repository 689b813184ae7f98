/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Reset always ends, and so do unload and a new contact: they wait for those who have guest memory in their hands, for nobody
 * else, and vmb_host_users says who they are. A device that does not answer holds up itself alone. control-plane.md 11, 21 (6)
 */
#include "test/bus/guestbench.h"
#include "test/bus/hostbench.h"

#include <string.h>

TestSuite(border_reset, .timeout = 60);

enum how { BY_UNLOAD, BY_CONTACT, BY_RESET, WAYS };

/* Devices, by number: each in another state when the end comes. The first ones have memory, and are waited for. */
enum {
	SERVING = 1, /* attached */
	CLOSING,     /* asked for its channel, has not given it back */
	REOPENING,   /* the same, and the guest wants it again already */
	REMOTE,      /* served elsewhere */
	HOLDING,     /* has a GPADL of a channel that is closed */
	RESCINDED,   /* taken away while attached */
	WAITED,
	UNANSWERED = WAITED, /* has been asked to open, and is silent */
	UNASKED,     /* the question waits to be pulled */
	PARTIAL,     /* has half a GPADL */
	DEVICES = PARTIAL,
};

enum { LIST = 0x77, EVERYTHING = 1 << 20 };

static struct vmb_event remote_close, unanswered_open;

static void open_it(unsigned n)
{
	hb_gpadl(n, hb_ring_id(n), hb_ring_pfn(n), 4);
	hb_open(n, 70 + n, hb_ring_id(n), 0);
	hb_skip();
}

static void half_a_gpadl(unsigned n)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 8, 0, 0, 0, 0, 0, 0, 0, (uint8_t)n, 0, 0, 0, 9, 0, 0, 0, 248, 0, 1 };

	cr_assert_eq(hb_post(1, msg, 236), VMB_HV_SUCCESS);
}

static void event_of(uint32_t kind, unsigned n)
{
	hb_event(kind, hb_handle(n));
}

/* All of them at once, and a guest that does not read its messages any more. */
static void everything(void)
{
	struct vmb_list list;
	uint64_t words[8];

	hb_start(DEVICES);
	hb_connect(VMB_V5_3);
	for (unsigned n = 1; n < WAITED; n++)
		if (n != REMOTE && n != HOLDING)
			(void)hb_serve(n, hb_handle(n), n, 0);
	hb_close(CLOSING);
	event_of(VMB_EV_CLOSE, CLOSING);
	hb_close(REOPENING);
	event_of(VMB_EV_CLOSE, REOPENING);
	hb_gpadl(REOPENING, LIST, 0x180, 4);
	hb_open(REOPENING, 99, LIST, 0);
	open_it(REMOTE);
	event_of(VMB_EV_OPEN, REMOTE);
	cr_assert_eq(vmb_host_answer(hb->h, &hb->ev, 0), 0);
	hb_gpadl(HOLDING, LIST, 0x190, 3);
	cr_assert_eq(vmb_host_gpadl_hold(hb->h, hb_handle(HOLDING), LIST, words, 8, &list), 0);
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(RESCINDED)), 0);
	event_of(VMB_EV_CLOSE, RESCINDED);
	open_it(UNANSWERED);
	event_of(VMB_EV_OPEN, UNANSWERED);
	unanswered_open = hb->ev;
	open_it(UNASKED);
	half_a_gpadl(PARTIAL);
	hb_skip();
	hb->busy = true;
	hb_gpadl(PARTIAL, LIST, 0x1a0, 2); /* and an answer that does not get through */
}

static void leave(enum how how)
{
	if (how == BY_UNLOAD)
		hb_unload();
	else if (how == BY_CONTACT)
		hb_contact(VMB_V5_3);
	else
		cr_assert_eq(vmb_host_reset(hb->h), 0);
}

static int is_over(enum how how)
{
	return hb_info().state == (how == BY_CONTACT ? VMB_BUS_CONNECTED : VMB_BUS_NONE);
}

/* The devices that vmb_host_users names, as bits. */
static unsigned users(void)
{
	uint32_t cursor = 0, gpadl;
	unsigned set = 0;
	vmb_handle ch;
	int r;

	while ((r = vmb_host_users(hb->h, 0, EVERYTHING, &cursor, &ch, &gpadl)) == VMB_YES)
		for (unsigned n = 1; n <= DEVICES; n++)
			set |= hb_handle(n) == ch ? 1u << n : 0;
	cr_assert_eq(r, 0);
	return set;
}

static void let_go(unsigned n)
{
	if (n == REMOTE)
		cr_assert_eq(vmb_host_answer(hb->h, &remote_close, 0), 0);
	else if (n == HOLDING)
		cr_assert_eq(vmb_host_gpadl_release(hb->h, hb_handle(n), LIST), 0);
	else
		cr_assert_eq(vmb_host_detach(hb->h, hb_handle(n)), 0);
}

/* They let go in an order of their own; nothing is over before the last one has. */
static void in_order(enum how how, unsigned first, unsigned step)
{
	unsigned left = 0;

	everything();
	leave(how);
	while (hb_poll()) {
		cr_assert_neq(hb->ev.kind, VMB_EV_OPEN, "a question for nothing");
		if (hb->ev.ch == hb_handle(REMOTE))
			remote_close = hb->ev;
	}
	for (unsigned n = 1; n < WAITED; n++)
		left |= 1u << n;
	for (unsigned i = 0, n = first; i < WAITED - 1; i++, n = n % (WAITED - 1) + 1) {
		while (!(left >> n & 1))
			n = n % (WAITED - 1) + 1;
		cr_assert(!is_over(how), "over before device %u has let go", n);
		cr_assert_eq(users(), left, "the users are %#x, not %#x", left, users());
		let_go(n);
		left &= ~(1u << n);
		for (unsigned k = 1; k < step; k++)
			n = n % (WAITED - 1) + 1;
	}
	cr_assert(is_over(how), "over when the last one has let go");
	cr_assert_eq(users(), 0);
	cr_assert_eq(hb->all_mapped, 0);
}

static void answered(enum how how)
{
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 0), 0);
	if (how == BY_UNLOAD)
		hb_expect(17, 0);
	else if (how == BY_CONTACT)
		hb_expect(15, 2, 1, 1);
	hb_quiet();
}

/* The silent one is there still; its answer comes when it comes, and then it is as good as new. */
static void silent_comes_back(enum how how)
{
	struct vmb_channel *c;

	hb_drain_events();
	if (how == BY_CONTACT) {
		hb_request();
		hb_skip();
	} else {
		hb_connect(VMB_V5_3);
	}
	cr_assert_eq(vmb_host_answer(hb->h, &unanswered_open, VMB_EPLATFORM), VMB_ENOENT);
	hb_drain_events();
	hb_skip();
	c = hb_serve(UNANSWERED, hb_handle(UNANSWERED), UNANSWERED - 1, 0); /* its id, since RESCINDED is gone */
	cr_assert_not_null(c);
	hb_sound();
}

static void all_orders(enum how how)
{
	for (unsigned first = 1; first < WAITED; first++)
		for (unsigned step = 1; step < WAITED - 1; step++) {
			in_order(how, first, step);
			answered(how);
			silent_comes_back(how);
			hb_free(hb);
		}
}

Test(border_reset, unload_waits_for_users_of_memory_only) { all_orders(BY_UNLOAD); }
Test(border_reset, contact_waits_for_users_of_memory_only) { all_orders(BY_CONTACT); }
Test(border_reset, reset_waits_for_users_of_memory_only) { all_orders(BY_RESET); }

/* Whatever has begun, a reset wins, and one more changes nothing. */
Test(border_reset, any_end_may_follow_any_other)
{
	for (unsigned first = 0; first < WAYS; first++)
		for (unsigned again = 0; again < 2; again++) {
			unsigned resets = 0;

			everything();
			if (first == BY_UNLOAD)
				hb_unload();
			else if (first == BY_CONTACT)
				hb_contact(VMB_V5_3);
			else
				cr_assert_eq(vmb_host_reset(hb->h), 0);
			for (unsigned i = 0; i <= again; i++)
				cr_assert_eq(vmb_host_reset(hb->h), 0);
			while (hb_poll())
				if (hb->ev.ch == hb_handle(REMOTE))
					remote_close = hb->ev;
			for (unsigned n = 1; n < WAITED; n++)
				let_go(n);
			while (hb_poll())
				resets += hb->ev.kind == VMB_EV_RESET;
			cr_assert_eq(resets, 1);
			cr_assert(is_over(BY_RESET));
			answered(BY_RESET);
			hb_free(hb);
		}
}

/* Without a word to the device: the end of the host end itself is refused as long as one is out. */
Test(border_reset, the_end_waits_for_channel_objects)
{
	everything();
	for (unsigned n = 1; n < WAITED; n++) {
		if (n == REMOTE || n == HOLDING)
			continue;
		cr_assert_eq(vmb_host_end(hb->h), VMB_ESTATE);
		let_go(n);
		hb_drain_events();
	}
	cr_assert_eq(vmb_host_end(hb->h), VMB_ESTATE, "served elsewhere");
	hb_close(REMOTE);
	event_of(VMB_EV_CLOSE, REMOTE);
	remote_close = hb->ev;
	let_go(REMOTE);
	cr_assert_eq(vmb_host_end(hb->h), 0);
	cr_assert_eq(hb->all_mapped, 0);
}

/* ---- one is silent, the others go on */

/* The guest's half of the rings of a channel, to send and to receive. */
static struct vmb_channel *peer_of(unsigned channel)
{
	static uint8_t mem[2048] __attribute__((aligned(64)));
	uint8_t *ring = hb->ram + hb_ring_pfn(channel) * VMB_PAGE;
	struct vmb_channel_config cfg = { .size = sizeof cfg, .tx = { ring, ring + VMB_PAGE, NULL, 1, 0 },
					  .rx = { ring + 2 * VMB_PAGE, ring + 3 * VMB_PAGE, NULL, 1, 0 } };
	struct vmb_channel *c;

	cr_assert_eq(vmb_channel_init(mem, sizeof mem, &cfg, &c), 0);
	return c;
}

static void one_packet(struct vmb_channel *from, struct vmb_channel *to)
{
	uint64_t payload = 0x0123456789abcdef, buf[8];
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = &payload, .len = 8 };

	cr_assert_eq(vmb_channel_send(from, &p), 0);
	cr_assert_eq(vmb_channel_recv(to, buf, sizeof buf, &p), VMB_YES);
	cr_assert_eq(buf[0], payload);
	cr_assert_eq(vmb_channel_recv(to, buf, sizeof buf, &p), 0);
}

/* The whole life of another device, with packets both ways, its offer taken back and given again. */
static void live(unsigned n)
{
	vmb_handle ch = hb_handle(n);
	unsigned wakes;

	for (unsigned round = 0; round < 3; round++) {
		struct vmb_channel *c = hb_serve(n, ch, n, 1), *peer = peer_of(n);

		one_packet(peer, c);
		one_packet(c, peer);
		wakes = hb->wakes;
		cr_assert_eq(vmb_host_signal(hb->h, 0x2000 + n, 0), VMB_HV_SUCCESS);
		cr_assert_eq(hb->wakes, wakes + 1);
		hb_modify(n, 2);
		hb_expect(24, 2, n, 0);
		if (round == 2)
			cr_assert_eq(vmb_host_remove(hb->h, ch), 0);
		else
			hb_close(n);
		hb_event(VMB_EV_CLOSE, ch);
		cr_assert_eq(vmb_host_detach(hb->h, ch), 0);
		hb_event(VMB_EV_CLOSED, ch);
		if (round == 2)
			hb_expect(2, 1, n);
		hb_teardown(n, hb_ring_id(n));
		hb_expect(12, 1, hb_ring_id(n));
	}
	hb_rel(n);
	hb_event(VMB_EV_GONE, ch);
	(void)hb_offer(n);
	cr_assert_not_null(hb_next());
	hb_quiet();
	hb_no_event();
}

enum { SILENT = 1, OTHER = 2 };

static void begin(void)
{
	hb_start(2);
	hb_connect(VMB_V5_3);
	hb_gpadl(SILENT, hb_ring_id(SILENT), hb_ring_pfn(SILENT), 4);
	hb_open(SILENT, 77, hb_ring_id(SILENT), 0);
	hb_expect(10, 3, SILENT, hb_ring_id(SILENT), 0);
	hb_event(VMB_EV_OPEN, hb_handle(SILENT));
	unanswered_open = hb->ev;
}

Test(border_reset, an_open_that_is_never_answered_blocks_nobody_else)
{
	begin();
	live(OTHER);
	/* Its own guest can give it up, in every way but a CLOSE, which is for open channels. */
	hb_close(SILENT);
	hb_teardown(SILENT, hb_ring_id(SILENT));
	hb_quiet();
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(SILENT)), 0);
	hb_expect(12, 1, hb_ring_id(SILENT)); /* nobody has ever had the ring */
	hb_expect(2, 1, SILENT);
	hb_rel(SILENT);
	hb_no_event(); /* EV_GONE is the last of all: the question is out still */
	cr_assert_eq(vmb_host_answer(hb->h, &unanswered_open, 0), VMB_ENOENT);
	hb_event(VMB_EV_GONE, hb_handle(SILENT));
	hb_sound();
}

Test(border_reset, a_close_that_is_never_answered_blocks_nobody_else)
{
	uint32_t cursor = 0, gpadl = 0;
	vmb_handle ch = 0;
	struct vmb_channel *c;

	begin();
	cr_assert_eq(hb_attach(SILENT, hb_handle(SILENT), &c), 0);
	hb_expect(6, 3, SILENT, 77, 0);
	hb_close(SILENT);
	hb_teardown(SILENT, hb_ring_id(SILENT));
	hb_event(VMB_EV_CLOSE, hb_handle(SILENT));
	live(OTHER);
	cr_assert_eq(vmb_host_remove(hb->h, hb_handle(SILENT)), 0);
	hb_quiet(); /* neither TORNDOWN nor RESCIND: it has the memory, and this is where one sees it */
	cr_assert_eq(vmb_host_users(hb->h, hb_ring_pfn(SILENT), 1, &cursor, &ch, &gpadl), VMB_YES);
	cr_assert_eq(ch, hb_handle(SILENT));
	cr_assert_eq(gpadl, hb_ring_id(SILENT));
	cr_assert_eq(hb_info().attached, 1);
	cr_assert_eq(vmb_host_detach(hb->h, ch), 0);
	hb_expect(12, 1, hb_ring_id(SILENT));
	hb_expect(2, 1, SILENT);
	hb_event(VMB_EV_CLOSED, ch);
	hb_rel(SILENT);
	hb_event(VMB_EV_GONE, ch);
	hb_sound();
}

/* A guest's slot that stays full holds up messages, not devices. */
Test(border_reset, a_slot_that_is_never_emptied_does_not_hold_up_a_reset)
{
	for (enum how how = BY_UNLOAD; how < WAYS; how++) {
		hb_start(2);
		hb_connect(VMB_V5_3);
		(void)hb_serve(SILENT, hb_handle(SILENT), SILENT, 0);
		hb->busy = true;
		leave(how);
		hb_event(VMB_EV_CLOSE, hb_handle(SILENT));
		cr_assert_eq(vmb_host_detach(hb->h, hb_handle(SILENT)), 0);
		hb_event(VMB_EV_CLOSED, hb_handle(SILENT));
		cr_assert(is_over(how));
		hb_event(VMB_EV_DISCONNECTED, 0);
		if (how == BY_RESET)
			hb_event(VMB_EV_RESET, 0);
		hb_free(hb);
	}
}

/* ---- the same on the guest: a host that does not answer */

enum { REPLY_MS = 500 };

static struct bench *timed(void)
{
	struct bench *b = bench_new();

	b->now = 1000000000;
	b->cfg.reply_ms = b->cfg.unload_ms = REPLY_MS;
	b->offers[0] = SILENT;
	b->offers[1] = OTHER;
	b->offer_count = 2;
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	bench_run(b);
	b->open[SILENT].handle = bench_until(b, VMB_EV_OFFER)->ch;
	b->open[OTHER].handle = bench_expect(b, VMB_EV_OFFER, 0)->ch;
	(void)bench_until(b, VMB_EV_OFFERS_DONE);
	return b;
}

static void other_lives(struct bench *b)
{
	vmb_handle other = b->open[OTHER].handle;

	for (unsigned round = 0; round < 3; round++) {
		bench_opened(b, other, OTHER);
		cr_assert_eq(vmb_guest_target(b->g, other, 1), 0);
		bench_run(b);
		(void)bench_until(b, VMB_EV_TARGET);
		cr_assert_eq(vmb_guest_close(b->g, other), 0);
		bench_run(b);
		bench_expect(b, VMB_EV_CLOSED, 0);
	}
}

Test(border_reset, a_host_that_never_answers_an_open_is_given_up_at_the_time_limit)
{
	struct bench *b = timed();
	vmb_handle silent = b->open[SILENT].handle;

	b->silent = BIT(OPEN);
	cr_assert_eq(bench_open(b, silent, SILENT), 0);
	bench_run(b);
	b->silent = 0;
	other_lives(b);
	bench_quiet(b);
	bench_wait(b, REPLY_MS);
	bench_expect(b, VMB_EV_OPENED, VMB_ETIMEDOUT);
	other_lives(b);
	cr_assert_eq(vmb_guest_close(b->g, silent), 0);
	bench_run(b);
	bench_expect(b, VMB_EV_CLOSED, VMB_ELEAK);
	other_lives(b);
	/* The memory comes back with the connection's end, which waits for nobody. */
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_run(b);
	for (unsigned n = SILENT; n <= OTHER; n++)
		cr_assert_eq(vmb_guest_release(b->g, b->open[n].handle), 0);
	bench_run(b);
	cr_assert_eq(bench_until(b, VMB_EV_DISCONNECTED)->status, 0);
	cr_assert_eq(vmb_guest_end(b->g), 0);
	bench_free(b);
}

Test(border_reset, a_host_that_never_answers_at_all_cannot_hold_a_guest)
{
	struct bench *b = timed();
	const struct vmb_event *ev;

	b->silent = BIT(OPEN) | BIT(GPADL_TEARDOWN) | BIT(UNLOAD);
	cr_assert_eq(bench_open(b, b->open[SILENT].handle, SILENT), 0);
	bench_run(b);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	for (unsigned n = SILENT; n <= OTHER; n++)
		cr_assert_eq(vmb_guest_release(b->g, b->open[n].handle), 0);
	for (unsigned i = 0; i < 4; i++) {
		bench_run(b);
		bench_wait(b, REPLY_MS);
	}
	ev = bench_until(b, VMB_EV_CLOSED);
	cr_assert_eq(ev->status, VMB_ELEAK);
	ev = bench_until(b, VMB_EV_DISCONNECTED);
	cr_assert_eq(ev->status, VMB_ETIMEDOUT);
	cr_assert_eq(vmb_guest_end(b->g), 0);
	bench_free(b);
}
