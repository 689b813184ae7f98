/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* One end is saved, thrown away and made anew while the other one stays, with channels open and requests in flight. control-plane.md 18 */
#include "both.h"

#include <stdlib.h>
#include <string.h>

enum { IN_FLIGHT = 3 };

static uint8_t blob[1 << 16];
static size_t blob_bytes;

static void save_host(uint32_t format)
{
	size_t need = 0;

	cr_assert_eq(vmb_host_save(both.h, format, NULL, 0, &need), 0);
	cr_assert_leq(need, sizeof blob);
	cr_assert_eq(vmb_host_save(both.h, format, blob, need - 1, &blob_bytes), VMB_ETOOSMALL);
	cr_assert_eq(blob_bytes, need);
	cr_assert_eq(vmb_host_save(both.h, format, blob, sizeof blob, &blob_bytes), 0);
	cr_assert_eq(blob_bytes, need);
}

/* As if its process had died. */
static void fresh_host(void)
{
	struct vmb_storage need;

	free(both.hmem);
	memset(both.mapped, 0, sizeof both.mapped);
	for (uint32_t n = 0; n < BOTH_CHANNELS; n++)
		both.ch[n].host = 0;
	cr_assert_eq(vmb_host_storage(&both.hcfg, &need), 0);
	both.hmem = aligned_alloc(64, need.bytes);
	memset(both.hmem, 0xa5, need.bytes);
	cr_assert_eq(vmb_host_init(both.hmem, need.bytes, &both.hcfg, &both.h), 0);
}

static void offer_again(uint32_t n)
{
	struct vmb_offer o = { .size = sizeof o, .class_id = { { 0xc0 } }, .instance = { { (uint8_t)n } }, .user = n };

	cr_assert_eq(vmb_host_offer(both.h, &o, &both.ch[n].host), 0);
}

static void restored(uint32_t kind)
{
	const struct vmb_event *ev = &both.hev[both.hr % BOTH_EVENTS];

	both_run();
	cr_assert_lt(both.hr, both.hn);
	cr_assert_eq(ev->kind, kind, "event %u", ev->kind);
	cr_assert(ev->flags & VMB_EVF_RESTORED);
}

static void restored_guest(uint32_t kind, uint32_t flags)
{
	const struct vmb_event *ev = &both.gev[both.gr % BOTH_EVENTS];

	both_run();
	cr_assert_lt(both.gr, both.gn);
	cr_assert_eq(ev->kind, kind, "event %u", ev->kind);
	cr_assert_eq(ev->flags, flags);
}

static void save_guest(void)
{
	cr_assert_eq(vmb_guest_save(both.g, 0, blob, sizeof blob, &blob_bytes), 0);
}

static void fresh_guest(void)
{
	struct vmb_storage need;

	free(both.gmem);
	cr_assert_eq(vmb_guest_storage(&both.gcfg, &need), 0);
	both.gmem = aligned_alloc(64, need.bytes);
	memset(both.gmem, 0xa5, need.bytes);
	cr_assert_eq(vmb_guest_init(both.gmem, need.bytes, &both.gcfg, &both.g), 0);
}

/* Device n's ring is the first that was made. */
static int reopen(uint32_t n, const uint64_t *id, uint32_t ids)
{
	struct vmb_open open = { .size = sizeof open, .tx_pages = 2, .rx_pages = 2, .user = n, .ring_gpa = 16 * VMB_PAGE, .ring = both_page(16) };
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 4 };
	struct both_channel *c = &both.ch[n];
	int r;

	memset(c->gmem, 0xa5, 4096);
	r = vmb_guest_open(both.g, c->guest, c->gmem, 4096, &cfg, &open, &c->g);
	for (uint32_t i = 0; i < ids && !r; i++)
		cr_assert_eq(vmb_channel_adopt(c->g, id[i], i + 1), 0);
	return r;
}

static void ask(uint32_t n, uint64_t user)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .payload = "question", .len = 8, .user = user };

	cr_assert_eq(vmb_channel_send(both.ch[n].g, &p), 0);
}

static uint64_t take(uint32_t n)
{
	uint8_t buf[64] __attribute__((aligned(8)));
	struct vmb_packet p;

	cr_assert_eq(vmb_channel_recv(both.ch[n].h, buf, sizeof buf, &p), VMB_YES);
	return p.id;
}

static void answer(uint32_t n, uint64_t id)
{
	struct vmb_packet p = { .kind = VMB_PKT_COMPLETION, .id = id, .payload = "answered", .len = 8 };

	cr_assert_eq(vmb_channel_send(both.ch[n].h, &p), 0);
}

static uint64_t completed(uint32_t n)
{
	uint8_t buf[64] __attribute__((aligned(8)));
	struct vmb_packet p;
	int r = vmb_channel_recv(both.ch[n].g, buf, sizeof buf, &p);

	return r == VMB_YES ? p.user : 0;
}

/* Each request comes back once, the channel goes on, and all ends. */
static void all_completed(void)
{
	uint64_t seen = 0, user;

	while ((user = completed(1)) != 0) {
		cr_assert_eq(seen >> user & 1, 0);
		seen |= 1u << user;
	}
	cr_assert_eq(seen, 0xe);
	both_talk(1);
	both_close(1);
	cr_assert_eq(vmb_guest_disconnect(both.g), 0);
	both_run();
	both_end();
}

Test(save, host_goes_on_with_requests_in_flight)
{
	uint64_t id[IN_FLIGHT];

	both_config();
	both_init();
	both_offer(1, 0);
	both_connect();
	both_open(1, NULL);
	for (uint64_t i = 1; i <= IN_FLIGHT; i++)
		ask(1, i);
	id[0] = take(1);
	cr_assert_eq(vmb_channel_release(both.ch[1].h), 0);
	save_host(0);
	fresh_host();
	offer_again(1);
	cr_assert_eq(vmb_host_restore(both.h, blob, blob_bytes), 0);
	restored(VMB_EV_CONNECTED);
	both_host(VMB_EV_CONNECTED, 0);
	restored(VMB_EV_OPEN);
	both.interrupts = both.host_wakes = 0;
	both_attach(1);
	cr_assert_eq(both.interrupts, 1); /* each side looks once */
	cr_assert_eq(both.host_wakes, 1);
	both_quiet(); /* no second OPEN_RESULT */
	answer(1, id[0]);
	id[1] = take(1);
	id[2] = take(1);
	answer(1, id[2]);
	answer(1, id[1]);
	all_completed();
}

Test(save, guest_goes_on_with_requests_in_flight)
{
	uint64_t id[IN_FLIGHT], own[IN_FLIGHT], user;
	uint32_t cursor = 0, n = 0;

	both_config();
	both_init();
	both_offer(1, 0);
	both_connect();
	both_open(1, NULL);
	for (uint64_t i = 1; i <= IN_FLIGHT; i++)
		ask(1, i);
	for (uint32_t i = 0; i < IN_FLIGHT; i++)
		id[i] = take(1);
	answer(1, id[1]);
	while (vmb_channel_outstanding(both.ch[1].g, &cursor, &own[n], &user, NULL) == VMB_YES)
		n++;
	cr_assert_eq(n, IN_FLIGHT);
	save_guest();
	fresh_guest();
	cr_assert_eq(vmb_guest_restore(both.g, blob, blob_bytes, 0), 0);
	restored_guest(VMB_EV_OFFER, VMB_EVF_RESTORED | VMB_EVF_OPEN);
	cr_assert_eq(both_guest(VMB_EV_OFFER, 0)->ch, both.ch[1].guest);
	both_quiet();
	free(both.ch[1].gmem);
	both.ch[1].gmem = aligned_alloc(64, 4096);
	both.signals = both.guest_wakes = 0;
	cr_assert_eq(reopen(1, own, n), 0);
	cr_assert_eq(both.signals, 1);
	cr_assert_eq(both.guest_wakes, 1);
	both_run();
	both_guest(VMB_EV_OPENED, 0);
	answer(1, id[0]);
	answer(1, id[2]);
	all_completed();
}

Test(save, features_of_before_must_be_there)
{
	both_config();
	both.gcfg.features = VMB_FEATURE_PAUSE | VMB_FEATURE_SIGNAL_PARAMETERS;
	both_init();
	both_connect();
	save_guest();
	both.gcfg.features = VMB_FEATURE_PAUSE;
	fresh_guest();
	cr_assert_eq(vmb_guest_restore(both.g, blob, blob_bytes, 0), VMB_EVERSION);
	both.gcfg.features = VMB_FEATURE_PAUSE | VMB_FEATURE_SIGNAL_PARAMETERS;
	fresh_guest();
	cr_assert_eq(vmb_guest_restore(both.g, blob, blob_bytes, 0), 0);
	save_host(0);
	cr_assert_eq(vmb_guest_restore(both.g, blob, blob_bytes, 0), VMB_ESTATE);
	fresh_guest();
	cr_assert_eq(vmb_guest_restore(both.g, blob, blob_bytes, 0), VMB_EINVAL); /* a host's */
	both_end();
}

Test(save, who_is_not_offered_again_is_rescinded)
{
	both_config();
	both_init();
	both_offer(1, 0);
	both_offer(2, 0);
	both_connect();
	both_open(1, NULL);
	both_open(2, NULL);
	save_host(1);
	fresh_host();
	offer_again(1);
	offer_again(3); /* a new one */
	cr_assert_eq(vmb_host_restore(both.h, blob, blob_bytes), 0);
	both_run();
	both_host(VMB_EV_CONNECTED, 0);
	both_attach(1);
	cr_assert_eq(both_guest(VMB_EV_RESCINDED, 0)->ch, both.ch[2].guest);
	both_guest(VMB_EV_OFFER, 0);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[2].guest), 0);
	both_run();
	both_guest(VMB_EV_CLOSED, 0);
	both_guest(VMB_EV_GONE, 0);
	both_talk(1);
	both_quiet();
	cr_assert_eq(both_info(1).channels, 2);
	both_close(1);
	both_end();
}

/* ---- what test/interleave has found */

static int (*to_slot)(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len);
static int slot_taken;

static int busy_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	return slot_taken ? VMB_EAGAIN : to_slot(ctx, vp, vtl, sint, payload, len);
}

/* After the release only the end comes, also where the offer was to be told again. */
Test(save, a_release_before_the_offer_is_told_again)
{
	both_config();
	both_init();
	both_offer(1, 0);
	both_connect();
	both_forget();
	save_guest();
	fresh_guest();
	cr_assert_eq(vmb_guest_restore(both.g, blob, blob_bytes, 0), 0);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[1].guest), 0);
	both_run();
	both_guest(VMB_EV_GONE, 0);
	both_quiet();
	both_end();
}

/* A guest that leaves resumes, though its PAUSE_RESPONSE still waits for the slot. control-plane.md 13 */
Test(save, a_resume_before_the_response_to_the_pause)
{
	both_config();
	both.gcfg.features = VMB_FEATURE_PAUSE;
	to_slot = both.hcfg.message;
	slot_taken = 0;
	both.hcfg.message = busy_message;
	both_init();
	both_offer(1, 0);
	both_connect();
	both_forget();
	slot_taken = 1;
	cr_assert_eq(vmb_guest_pause(both.g), 0);
	both_run();
	cr_assert_eq(vmb_guest_disconnect(both.g), 0); /* it waits for the release of the channel */
	both_run();
	both_guest(VMB_EV_RESCINDED, 0);
	cr_assert_eq(both_info(1).queued, 1);
	save_host(0);
	fresh_host();
	offer_again(1);
	cr_assert_eq(vmb_host_restore(both.h, blob, blob_bytes), 0);
	cr_assert_eq(both_info(1).queued, 1);
	slot_taken = 0;
	cr_assert_eq(vmb_guest_release(both.g, both.ch[1].guest), 0);
	both_run();
	both_guest(VMB_EV_GONE, 0);
	both_guest(VMB_EV_DISCONNECTED, 0);
	both_end();
}

/* Memory that has leaked with an open which was not answered can still come back to the host after a restore. gpadl.md 7 */
Test(save, an_open_that_has_leaked)
{
	both_config();
	both.gcfg.reply_ms = 100;
	both.now = 1;
	both_init();
	both_offer(1, 0);
	both_connect();
	both_forget();
	cr_assert_eq(both_try_open(1, NULL), 0);
	both_run();
	cr_assert_eq(vmb_guest_close(both.g, both.ch[1].guest), 0);
	both_run();
	both.now = 200000000;
	both_run();
	both_guest(VMB_EV_CLOSED, VMB_ELEAK);
	save_guest();
	fresh_guest();
	cr_assert_eq(vmb_guest_restore(both.g, blob, blob_bytes, 0), 0);
	both_run();
	restored_guest(VMB_EV_OFFER, VMB_EVF_RESTORED);
	both_guest(VMB_EV_OFFER, 0);
	both_attach(1); /* late */
	both_give_back(1);
	both_run();
	cr_assert_eq(both_info(0).gpadls, 0);
	cr_assert_eq(both_info(1).gpadls, 0);
	both_open(1, NULL);
	both_talk(1);
	both_close(1);
	both_end();
}

/* What its owner was told of a channel is told again: a rescind too, of which it has not made an end yet. */
Test(save, a_rescind_that_was_told)
{
	both_config();
	both_init();
	both_offer(1, 0);
	both_connect();
	both_open(1, NULL);
	cr_assert_eq(vmb_host_remove(both.h, both.ch[1].host), 0);
	both_give_back(1);
	both_run();
	both_guest(VMB_EV_RESCINDED, 0);
	save_guest();
	fresh_guest();
	cr_assert_eq(vmb_guest_restore(both.g, blob, blob_bytes, 0), 0);
	restored_guest(VMB_EV_OFFER, VMB_EVF_RESTORED);
	both_guest(VMB_EV_OFFER, 0);
	both_guest(VMB_EV_RESCINDED, 0);
	cr_assert_eq(vmb_guest_release(both.g, both.ch[1].guest), 0);
	both_run();
	both_guest(VMB_EV_CLOSED, 0);
	both_guest(VMB_EV_GONE, 0);
	both_end();
}
