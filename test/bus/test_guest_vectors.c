/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The messages that a guest posts are byte for byte those of control-plane.md 23 and gpadl.md 11, and those it gets are
 * understood. */
#include "guestbench.h"
#include "../vectors/vectors.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

TestSuite(guest_vectors, .timeout = 60);

enum { CONTROL_VECTORS = 45, GPADL_VECTORS = 19 };

static void expect_vector(struct bench *b, const struct vectors *set, const char *name, uint32_t part)
{
	uint32_t len;
	const uint8_t *bytes = vector_part(vectors_find(set, name), part, &len);
	const struct bench_message *m = bench_posted(b, bytes[0]);

	cr_assert_eq(m->len, len, "%s: %u bytes instead of %u", name, m->len, len);
	for (uint32_t i = 0; i < len; i++)
		cr_assert_eq(m->bytes[i], bytes[i], "%s: byte %u is %02x instead of %02x", name, i, m->bytes[i], bytes[i]);
}

static void feed_vector(struct bench *b, const struct vectors *set, const char *name)
{
	uint32_t len;
	const uint8_t *bytes = vector_part(vectors_find(set, name), 0, &len);

	cr_assert_eq(vmb_guest_message(b->g, bytes, len), 0);
}

static struct bench *capped(uint32_t version, uint32_t vp, int monitor)
{
	struct bench *b = bench_new();

	b->off = 1;
	b->cfg.max_version = version;
	b->cfg.message_vp = vp;
	bench_old_pages(b);
	if (!monitor) {
		memset(b->cfg.monitor_gpa, 0, sizeof b->cfg.monitor_gpa);
		memset(b->cfg.monitor_page, 0, sizeof b->cfg.monitor_page);
	}
	bench_init(b);
	cr_assert_eq(vmb_guest_connect(b->g), 0);
	return b;
}

Test(guest_vectors, contact_at_0_13_is_cp_01)
{
	struct vectors *cp = vectors_load("control-plane", CONTROL_VECTORS);
	struct bench *b = capped(VMB_V0_13, 0, 0);

	expect_vector(b, cp, "CP-01", 0);
	bench_free(b);
	vectors_free(cp);
}

Test(guest_vectors, contact_at_3_0_is_cp_02_and_cp_06_says_yes)
{
	struct vectors *cp = vectors_load("control-plane", CONTROL_VECTORS);
	struct bench *b = capped(VMB_V3_0, 1, 1);

	expect_vector(b, cp, "CP-02", 0);
	feed_vector(b, cp, "CP-06");
	expect_vector(b, cp, "CP-11", 0);
	cr_assert_eq(bench_info(b).version, VMB_V3_0);
	bench_free(b);
	vectors_free(cp);
}

Test(guest_vectors, a_failed_3_0_is_cp_08_and_2_4_follows)
{
	struct vectors *cp = vectors_load("control-plane", CONTROL_VECTORS);
	struct bench *b = capped(VMB_V3_0, 1, 1);

	expect_vector(b, cp, "CP-02", 0);
	feed_vector(b, cp, "CP-08");
	cr_assert_eq(bench_number(bench_posted(b, CONTACT), b, "version"), VMB_V2_4);
	bench_free(b);
	vectors_free(cp);
}

Test(guest_vectors, forms_2_and_3_of_the_response_connect_6_0)
{
	static const char *const forms[] = { "CP-09", "CP-10" };
	struct vectors *cp = vectors_load("control-plane", CONTROL_VECTORS);

	for (int i = 0; i < 2; i++) {
		struct bench *b = capped(VMB_V6_0, 0, 1);

		bench_posted(b, CONTACT);
		feed_vector(b, cp, forms[i]);
		expect_vector(b, cp, "CP-11", 0);
		cr_assert_eq(bench_info(b).version, VMB_V6_0);
		cr_assert_eq(bench_info(b).features, 0, "we asked for none");
		bench_free(b);
	}
	vectors_free(cp);
}

/* control-plane.md 24, Boot, close and re-open, retarget, unload, at 5.3. */
Test(guest_vectors, the_reference_exchange_at_5_3)
{
	struct vectors *cp = vectors_load("control-plane", CONTROL_VECTORS), *gp = vectors_load("gpadl", GPADL_VECTORS);
	struct bench *b = capped(VMB_V5_3, 0, 1);
	struct vmb_open open = { .size = sizeof open, .tx_pages = 16, .rx_pages = 16, .target_vp = 2, .user = 1,
		.ring_gpa = 0x1000000 };
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_storage need;
	struct vmb_channel *ch;
	void *mem, *ring = aligned_alloc(VMB_PAGE, 32 * VMB_PAGE);
	vmb_handle h;

	expect_vector(b, cp, "CP-03", 0);
	feed_vector(b, cp, "CP-07");
	expect_vector(b, cp, "CP-11", 0);
	feed_vector(b, cp, "CP-12");
	feed_vector(b, cp, "CP-13");
	feed_vector(b, cp, "CP-16");
	bench_poll(b);
	bench_expect(b, VMB_EV_CONNECTED, 0);
	h = bench_expect(b, VMB_EV_OFFER, 0)->ch;
	bench_expect(b, VMB_EV_OFFER, 0);
	bench_expect(b, VMB_EV_OFFERS_DONE, 0);
	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	mem = aligned_alloc(need.align, (need.bytes + 63) / 64 * 64);
	open.ring = ring;
	cr_assert_eq(vmb_guest_open(b->g, h, mem, need.bytes, &cfg, &open, &ch), 0);
	bench_posted(b, GPADL_HEADER);
	bench_posted(b, GPADL_BODY);
	feed_vector(b, gp, "GP-08");
	expect_vector(b, cp, "CP-17", 0);
	feed_vector(b, cp, "CP-20");
	bench_poll(b);
	bench_expect(b, VMB_EV_OPENED, 0);
	cr_assert_eq(vmb_guest_target(b->g, h, 3), 0);
	expect_vector(b, cp, "CP-36", 0);
	feed_vector(b, cp, "CP-37");
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_TARGET, 0)->vp, 3);
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	expect_vector(b, cp, "CP-22", 0);
	expect_vector(b, cp, "CP-24", 0);
	feed_vector(b, cp, "CP-25");
	bench_poll(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	feed_vector(b, cp, "CP-26");
	bench_poll(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	cr_assert_eq(vmb_guest_release(b->g, h), 0);
	expect_vector(b, cp, "CP-27", 0);
	bench_poll(b);
	bench_expect(b, VMB_EV_GONE, 0);
	cr_assert_eq(vmb_guest_disconnect(b->g), 0);
	bench_poll(b);
	cr_assert_eq(vmb_guest_release(b->g, bench_expect(b, VMB_EV_RESCINDED, 0)->ch), 0); /* the subchannel */
	bench_poll(b);
	bench_expect(b, VMB_EV_GONE, 0);
	expect_vector(b, cp, "CP-28", 0);
	feed_vector(b, cp, "CP-29");
	bench_poll(b);
	bench_expect(b, VMB_EV_DISCONNECTED, 0);
	bench_posted_none(b);
	bench_free(b);
	free(mem);
	free(ring);
	vectors_free(cp);
	vectors_free(gp);
}

Test(guest_vectors, the_refusals_are_cp_21_and_gp_09)
{
	struct vectors *cp = vectors_load("control-plane", CONTROL_VECTORS), *gp = vectors_load("gpadl", GPADL_VECTORS);
	struct bench *b = bench_offered(VMB_V5_3, 5);
	vmb_handle h = b->open[0].handle;

	b->off = 1;
	cr_assert_eq(bench_open(b, h, 0), 0);
	feed_vector(b, gp, "GP-08");
	feed_vector(b, cp, "CP-21");
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_OPENED, VMB_EREFUSED)->peer_status, 0x8000ffff);
	cr_assert_eq(vmb_guest_close(b->g, h), 0);
	feed_vector(b, gp, "GP-11");
	bench_poll(b);
	bench_expect(b, VMB_EV_CLOSED, 0);
	bench_free(b);

	b = bench_offered(VMB_V5_3, 5);
	b->off = 1;
	cr_assert_eq(bench_open(b, b->open[0].handle, 0), 0);
	feed_vector(b, gp, "GP-09");
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_OPENED, VMB_EREFUSED)->peer_status, 0x8000ffff);
	bench_free(b);
	vectors_free(cp);
	vectors_free(gp);
}

Test(guest_vectors, lists_are_announced_as_gp_01_to_gp_07)
{
	struct vectors *gp = vectors_load("gpadl", GPADL_VECTORS);
	struct bench *b = bench_offered(VMB_V5_3, 5);

	b->off = 1;
	for (uint32_t n = 1; n <= 7; n++) {
		char name[8] = { 'G', 'P', '-', '0', (char)('0' + n) };
		const struct vector *v = vectors_find(gp, name);
		struct vmb_list list = { NULL, 0, 0 };
		uint64_t words[64];
		uint32_t gpadl;

		for (uint32_t part = 0; part < vector_parts(v); part++) {
			uint32_t len, at = part ? 16 : 20;
			const uint8_t *bytes = vector_part(v, part, &len);

			if (!part)
				list.ranges = bytes[18];
			memcpy(words + list.count, bytes + at, len - at);
			for (uint32_t end = list.count + (len - at) / 8; list.count < end; list.count++)
				words[list.count] = le64toh(words[list.count]);
		}
		list.words = words;
		cr_assert_eq(vmb_guest_gpadl_create(b->g, b->open[0].handle, &list, &gpadl), 0);
		cr_assert_eq(gpadl, 0xe1e10 + n - 1);
		for (uint32_t part = 0; part < vector_parts(v); part++)
			expect_vector(b, gp, name, part);
		bench_posted_none(b);
	}
	feed_vector(b, gp, "GP-08");
	bench_poll(b);
	cr_assert_eq(bench_expect(b, VMB_EV_GPADL, 0)->gpadl, 0xe1e10);
	cr_assert_eq(vmb_guest_gpadl_destroy(b->g, 0xe1e10), 0);
	expect_vector(b, gp, "GP-10", 0);
	feed_vector(b, gp, "GP-11");
	bench_poll(b);
	bench_expect(b, VMB_EV_GPADL_DOWN, 0);
	bench_free(b);
	vectors_free(gp);
}

Test(guest_vectors, offers_say_what_they_say)
{
	struct vectors *cp = vectors_load("control-plane", CONTROL_VECTORS);
	struct bench *b = bench_connected(VMB_V5_3);
	struct vmb_offer o = { .size = sizeof o };
	struct vmb_guid net, hvsock;

	cr_assert_eq(vmb_guid_parse(VMB_CLASS_NET, &net), 0);
	cr_assert_eq(vmb_guid_parse("00000400-facb-11e6-bd58-64006a7986d3", &hvsock), 0);
	feed_vector(b, cp, "CP-12");
	feed_vector(b, cp, "CP-13");
	feed_vector(b, cp, "CP-14");
	feed_vector(b, cp, "CP-15");
	bench_poll(b);
	cr_assert_eq(vmb_guest_offer(b->g, bench_expect(b, VMB_EV_OFFER, 0)->ch, &o), 0);
	cr_assert(!memcmp(&o.class_id, &net, 16) && o.channel_id == 5 && o.monitor_id == 3 && o.connection_id == 0x2005 &&
		o.flags == 1);
	cr_assert_eq(vmb_guest_offer(b->g, bench_expect(b, VMB_EV_OFFER, 0)->ch, &o), 0);
	cr_assert(o.subchannel == 1 && o.channel_id == 6 && o.monitor_id == 255 && o.connection_id == 0x2006);
	cr_assert_eq(vmb_guest_offer(b->g, bench_expect(b, VMB_EV_OFFER, 0)->ch, &o), 0);
	cr_assert(o.channel_id == 1025 && o.mmio_mb == 8 && o.mmio_optional_mb == 16);
	cr_assert_eq(o.flags, 1, "private means nothing without its feature");
	cr_assert_eq(vmb_guest_offer(b->g, bench_expect(b, VMB_EV_OFFER, 0)->ch, &o), 0);
	cr_assert(o.flags == 0x2011 && o.channel_id == 9 && !memcmp(&o.class_id, &hvsock, 16) && o.user_defined[4] == 1);
	bench_free(b);
	vectors_free(cp);
}

Test(guest_vectors, a_message_slot_is_cp_45)
{
	struct vectors *cp = vectors_load("control-plane", CONTROL_VECTORS);
	struct bench *b = bench_offered(VMB_V5_3, 5);
	_Alignas(8) uint8_t slot[256] = { 0 };
	uint32_t len;
	const uint8_t *bytes = vector_part(vectors_find(cp, "CP-45"), 0, &len);

	memcpy(slot, bytes, len);
	cr_assert_eq(vmb_guest_slot(b->g, slot), VMB_YES | VMB_EOM);
	cr_assert_eq(vmb_guest_slot(b->g, slot), 0);
	bench_poll(b);
	bench_expect(b, VMB_EV_RESCINDED, 0);
	bench_free(b);
	vectors_free(cp);
}
