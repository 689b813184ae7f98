/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Making contact: the answers to every request, in every state of the connection. control-plane.md 7.2, 7.3 */
#include <criterion/criterion.h>
#include <string.h>

#include "hostbench.h"

static void contact_on(uint32_t connection, uint32_t version, uint32_t vp, uint32_t len)
{
	uint8_t msg[56];

	hb_contact_bytes(msg, version, vp);
	cr_assert_eq(hb_post(connection, msg, len), VMB_HV_SUCCESS);
}

static void monitor(uint8_t *msg, uint64_t to_guest, uint64_t to_host)
{
	put32(msg + 24, (uint32_t)to_guest);
	put32(msg + 28, (uint32_t)(to_guest >> 32));
	put32(msg + 32, (uint32_t)to_host);
	put32(msg + 36, (uint32_t)(to_host >> 32));
}

/* The one unread message is the answer to `version`: supported with this state, or not. */
static void answered(uint32_t version, uint32_t vp, int supported, uint32_t state, uint32_t connection)
{
	const struct hb_message *m = &hb->sent[hb->n_read];

	cr_assert_lt(hb->n_read, hb->n_sent);
	cr_assert_eq(m->vp, vp);
	if (!supported)
		hb_expect(15, 2, 0, 0);
	else if (version < VMB_V5_0)
		hb_expect(15, 2, 1 | state << 8, version);
	else if (version < VMB_V6_0)
		hb_expect(15, 2, 1 | state << 8, connection);
	else
		hb_expect(15, 3, 1 | state << 8, connection, 0);
	hb_quiet();
}

static uint32_t bus_state(void)
{
	return hb_info().state;
}

/* ---- every version, accepted */

static void accepted(uint32_t version)
{
	uint32_t vp = version >= VMB_V3_0 ? 3 : 0;

	hb_start(1);
	contact_on(1, version, 3, 40);
	answered(version, vp, 1, 0, 1);
	cr_assert_eq(bus_state(), VMB_BUS_CONNECTED);
	cr_assert_eq(hb_info().version, version);
	cr_assert_eq(hb_info().message_vp, vp);
	hb_event(VMB_EV_CONNECTED, 0);
	hb_no_event();
	cr_assert_eq(hb->all_mapped, version < VMB_V2_4 ? 1 : 0);
	cr_assert_eq(hb->mapped[HB_PAGE_PFN], version < VMB_V2_4 ? 1 : 0);
	hb_request();
	cr_assert_eq(hb->sent[hb->n_read].vp, vp); /* offers go there too */
}

/* the message connection of a response is the one that contact came through */
static void multiclient(uint32_t version)
{
	hb_start(1);
	contact_on(4, version, 1, 40);
	answered(version, version >= VMB_V3_0 ? 1 : 0, 1, 0, 4);
	cr_assert_eq(hb_post(4, "\3\0\0\0\0\0\0\0", 8), 0); /* both are listened to */
	cr_assert_not_null(hb_next());
}

/* a monitor page without the other: failure where that can be said */
static void one_page(uint32_t version)
{
	uint8_t msg[56];

	for (int which = 0; which < 4; which++) {
		uint64_t a = which == 0 ? 0x5000 : 0x6000, b = which == 0 ? 0 : which == 1 ? 0x7001 : which == 2 ? 0x6000 : 0;

		hb_start(0);
		hb_contact_bytes(msg, version, 0);
		monitor(msg, which == 3 ? 0 : a, which == 3 ? 0x5000 : b); /* one; misaligned; the same; the other one */
		cr_assert_eq(hb_post(1, msg, 40), 0);
		answered(version, 0, version >= VMB_V2_4, 2, 1);
		cr_assert_eq(bus_state(), VMB_BUS_NONE);
		hb_no_event();
		cr_assert_eq(hb->all_mapped, 0);
		hb_free(hb);
	}
}

/* above the highest version that the embedder allows */
static void capped(uint32_t version)
{
	struct vmb_host_config cfg = { .vps = 8 };
	uint32_t below = 0;

	for (uint32_t i = 0; vmb_version_at(i) != version; i++)
		below = vmb_version_at(i);
	if (!below)
		below = VMB_V0_13;
	cfg.max_version = below;
	hb_new(&cfg, 0);
	contact_on(1, version, 0, 40);
	answered(version, 0, version == below, 0, 1);
	contact_on(1, below, 0, 40);
	answered(below, 0, 1, 0, 1);
}

/* numbers that are no version are never supported, near as they may be */
static void between(uint32_t version)
{
	hb_start(1);
	hb_connect(VMB_V4_1);
	for (uint32_t n = version + 1; n < version + 20; n++) {
		int known = 0;

		for (uint32_t i = 0; vmb_version_at(i); i++)
			known |= vmb_version_at(i) == n;
		if (known)
			continue;
		contact_on(1, n, 0, 40);
		answered(n, 0, 0, 0, 0);
		cr_assert_eq(bus_state(), VMB_BUS_NONE);
	}
}

#define VERSIONS(X) \
	X(V0_13) X(V1_1) X(V2_4) X(V3_0) X(V4_0) X(V4_1) X(V5_0) X(V5_1) X(V5_2) X(V5_3) X(V6_0)
#define ONE(v) \
	Test(host_contact, v##_is_accepted) { accepted(VMB_##v); } \
	Test(host_contact, v##_through_the_multiclient_connection) { multiclient(VMB_##v); } \
	Test(host_contact, v##_with_monitor_pages_that_cannot_be) { one_page(VMB_##v); } \
	Test(host_contact, v##_above_the_maximum) { capped(VMB_##v); } \
	Test(host_contact, v##_and_numbers_above_it) { between(VMB_##v); }
VERSIONS(ONE)

/* ---- the rest of the matrix */

Test(host_contact, vectors_of_the_specification)
{
	static const uint8_t cp02[40] = { 14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0x90, 0x10, 0, 0, 0, 0, 0,
					  0, 0xa0, 0x10, 0, 0, 0, 0, 0, 0, 0xb0, 0x10 };
	static const uint8_t cp06[16] = { 15, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0 };
	const struct hb_message *m;

	hb_start(0);
	cr_assert_eq(hb_post(1, cp02, sizeof cp02), 0);
	m = hb_next();
	cr_assert_eq(m->len, 16);
	cr_assert_eq(memcmp(m->data, cp06, 16), 0);
	cr_assert_eq(m->vp, 1);
	cr_assert_eq(hb->map_calls, 0); /* neither page is of use to us at 3.0 */
}

Test(host_contact, unsupported_goes_to_the_vp_that_was_asked_for)
{
	hb_start(0);
	contact_on(1, 0x00050004, 5, 40);
	answered(0, 5, 0, 0, 0);
	contact_on(1, 0x00020005, 5, 40); /* below 3.0 there is no such field */
	answered(0, 0, 0, 0, 0);
}

Test(host_contact, the_default_features_are_granted_and_unknown_ones_are_cleared)
{
	uint8_t msg[56];

	hb_start(0);
	hb_contact_bytes(msg, VMB_V6_0, 0);
	put32(msg + 20, 0xffffffff);
	cr_assert_eq(hb_post(1, msg, 56), 0);
	hb_expect(15, 3, 1, 1, VMB_FEATURES_DEFAULT);
	hb_quiet();
	cr_assert_eq(hb_info().features, VMB_FEATURES_DEFAULT);
}

Test(host_contact, a_client_id_that_is_not_there_is_no_message_at_all)
{
	uint8_t msg[56];

	hb_start(0);
	hb_contact_bytes(msg, VMB_V6_0, 0);
	put32(msg + 20, 0x08);
	cr_assert_eq(hb_post(1, msg, 40), 0);
	cr_assert_eq(hb_post(1, msg, 55), 0);
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 2);
	put32(msg + 8, 0x00070000); /* the rule comes before that of the version */
	cr_assert_eq(hb_post(1, msg, 40), 0);
	hb_quiet();
	put32(msg + 8, VMB_V5_3); /* below 6.0 there is no such field */
	cr_assert_eq(hb_post(1, msg, 40), 0);
	answered(VMB_V5_3, 0, 1, 0, 1);
}

Test(host_contact, a_client_id_without_its_flag_is_ignored)
{
	hb_start(0);
	contact_on(1, VMB_V6_0, 0, 56);
	answered(VMB_V6_0, 0, 1, 0, 1);
}

Test(host_contact, a_longer_message_is_accepted)
{
	uint8_t msg[240] = { 0 };

	hb_start(0);
	hb_contact_bytes(msg, VMB_V4_0, 0);
	cr_assert_eq(hb_post(1, msg, 240), 0);
	answered(VMB_V4_0, 0, 1, 0, 1);
}

Test(host_contact, a_short_message_is_dropped)
{
	uint8_t msg[56];

	hb_start(0);
	hb_contact_bytes(msg, VMB_V4_0, 0);
	for (uint32_t len = 0; len < 40; len++)
		cr_assert_eq(hb_post(1, msg, len), 0);
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 40);
	cr_assert_eq(bus_state(), VMB_BUS_NONE);
}

Test(host_contact, another_sint_is_told_so_there_and_nothing_else_happens)
{
	uint8_t msg[56];
	const struct hb_message *m;

	hb_start(1);
	hb_connect(VMB_V5_3);
	hb_serve(1, hb_handle(1), 1, 0);
	hb_contact_bytes(msg, VMB_V5_0, 6);
	msg[16] = 5;
	cr_assert_eq(hb_post(4, msg, 40), 0);
	m = hb_next();
	cr_assert_eq(m->sint, 5);
	cr_assert_eq(m->vp, 6);
	cr_assert_eq(m->len, 16);
	cr_assert_eq(m->data[0], 15);
	for (int i = 8; i < 16; i++)
		cr_assert_eq(m->data[i], 0);
	cr_assert_eq(bus_state(), VMB_BUS_RUNNING);
	hb_no_event();
	hb->busy = true; /* best effort: never queued */
	cr_assert_eq(hb_post(4, msg, 40), 0);
	cr_assert_eq(hb_info().queued, 0);
}

Test(host_contact, sint_and_vtl_count_only_through_the_multiclient_connection)
{
	uint8_t msg[56];

	hb_start(0);
	hb_contact_bytes(msg, VMB_V5_3, 0);
	msg[16] = 7;
	msg[17] = 2;
	cr_assert_eq(hb_post(1, msg, 40), 0);
	answered(VMB_V5_3, 0, 1, 0, 1);
}

Test(host_contact, the_vtl_counts_from_5_1_on)
{
	uint8_t msg[56];

	hb_start(0);
	hb_contact_bytes(msg, VMB_V5_0, 0);
	msg[17] = 2;
	cr_assert_eq(hb_post(4, msg, 40), 0);
	answered(VMB_V5_0, 0, 1, 0, 4);
	put32(msg + 8, VMB_V5_1);
	cr_assert_eq(hb_post(4, msg, 40), 0);
	hb_quiet(); /* another VTL's matter: ours stays untouched */
	cr_assert_eq(hb_info().version, VMB_V5_0);
	cr_assert_eq(hb_info().dropped, 1);
}

Test(host_contact, a_vp_that_does_not_exist_is_dropped)
{
	hb_start(0);
	contact_on(1, VMB_V4_0, 8, 40);
	contact_on(1, VMB_V4_0, VMB_VP_NONE, 40);
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 2);
	contact_on(1, VMB_V2_4, 8, 40); /* no such field: VP 0 */
	answered(VMB_V2_4, 0, 1, 0, 1);
}

Test(host_contact, any_vp_will_do_where_their_number_is_not_known)
{
	struct vmb_host_config cfg = { 0 };

	hb_new(&cfg, 0);
	contact_on(1, VMB_V4_0, 5000, 40);
	answered(VMB_V4_0, 5000, 1, 0, 1);
}

Test(host_contact, a_sint_that_does_not_exist_is_dropped)
{
	uint8_t msg[56];

	hb_start(0);
	hb_contact_bytes(msg, VMB_V5_3, 0);
	msg[16] = 16;
	cr_assert_eq(hb_post(4, msg, 40), 0);
	hb_quiet();
	cr_assert_eq(hb_info().dropped, 1);
}

/* ---- the interrupt page */

Test(host_contact, an_interrupt_page_that_cannot_be_mapped_is_no_connection)
{
	hb_start(0);
	hb->map_fail_at = 1;
	hb_contact(VMB_V1_1);
	answered(VMB_V1_1, 0, 0, 0, 0);
	cr_assert_eq(bus_state(), VMB_BUS_NONE);
	hb_contact(VMB_V1_1);
	answered(VMB_V1_1, 0, 1, 0, 0);
	cr_assert_eq(hb->mapped[HB_PAGE_PFN], 1);
}

Test(host_contact, a_misaligned_interrupt_page_is_no_connection)
{
	uint8_t msg[56];

	hb_start(0);
	hb_contact_bytes(msg, VMB_V0_13, 0);
	msg[16] = 8;
	cr_assert_eq(hb_post(1, msg, 40), 0);
	answered(VMB_V0_13, 0, 0, 0, 0);
	cr_assert_eq(hb->map_calls, 0);
}

Test(host_contact, no_interrupt_page_is_a_connection_without)
{
	uint8_t msg[56];

	hb_start(0);
	hb_contact_bytes(msg, VMB_V1_1, 0);
	memset(msg + 16, 0, 8);
	cr_assert_eq(hb_post(1, msg, 40), 0);
	answered(VMB_V1_1, 0, 1, 0, 0);
	cr_assert_eq(hb->map_calls, 0);
	cr_assert_eq(vmb_host_signal(hb->h, 2, 0), VMB_HV_INVALID_CONNECTION);
}

Test(host_contact, the_interrupt_page_is_unmapped_with_the_connection)
{
	hb_start(0);
	hb_contact(VMB_V1_1);
	answered(VMB_V1_1, 0, 1, 0, 0);
	hb_contact(VMB_V3_0); /* implicitly */
	answered(VMB_V3_0, 0, 1, 0, 0);
	cr_assert_eq(hb->all_mapped, 0);
	hb_contact(VMB_V0_13);
	answered(VMB_V0_13, 0, 1, 0, 0);
	hb_unload();
	cr_assert_eq(hb->all_mapped, 0);
	hb_contact(VMB_V0_13);
	cr_assert_eq(vmb_host_end(hb->h), 0); /* or with the end */
	cr_assert_eq(hb->all_mapped, 0);
	hb_sound();
}

/* ---- from every state */

Test(host_contact, again_while_connected_starts_over)
{
	hb_start(2);
	hb_contact(VMB_V5_3);
	answered(VMB_V5_3, 0, 1, 0, 1);
	hb_event(VMB_EV_CONNECTED, 0);
	hb_contact(VMB_V4_0);
	answered(VMB_V4_0, 0, 1, 0, 1);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_event(VMB_EV_CONNECTED, 0);
	hb_no_event();
	hb_connect(VMB_V3_0);
	hb_request();
	hb_quiet(); /* the second one is an error */
	hb_connect(VMB_V3_0); /* but not on a new connection */
}

Test(host_contact, a_refused_one_ends_the_connection_there_was)
{
	hb_start(1);
	hb_connect(VMB_V4_0);
	hb_contact(0x00040002);
	answered(0, 0, 0, 0, 0);
	cr_assert_eq(bus_state(), VMB_BUS_NONE);
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_no_event();
	hb_request();
	hb_quiet();
}

Test(host_contact, waits_for_the_devices_and_only_the_last_one_is_answered)
{
	struct vmb_channel *c;

	hb_start(1);
	hb_connect(VMB_V4_0);
	c = hb_serve(1, hb_handle(1), 1, 0);
	(void)c;
	contact_on(1, VMB_V5_3, 1, 40);
	cr_assert_eq(bus_state(), VMB_BUS_LEAVING);
	contact_on(1, VMB_V5_2, 2, 40);
	contact_on(1, VMB_V3_0, 3, 40);
	hb_quiet();
	hb_event(VMB_EV_CLOSE, hb_handle(1));
	hb_no_event();
	cr_assert_eq(vmb_host_detach(hb->h, hb_handle(1)), 0);
	answered(VMB_V3_0, 3, 1, 0, 1);
	hb_event(VMB_EV_CLOSED, hb_handle(1));
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_event(VMB_EV_CONNECTED, 0);
	hb_no_event();
}

Test(host_contact, replaces_an_unload_that_waits)
{
	hb_start(1);
	hb_connect(VMB_V4_0);
	hb_serve(1, hb_handle(1), 1, 0);
	hb_unload();
	hb_unload(); /* refused: the connection is on its way out */
	cr_assert_eq(hb_info().dropped, 1);
	hb_contact(VMB_V4_1);
	hb_quiet();
	cr_assert_eq(vmb_host_detach(hb->h, hb_handle(1)), 0);
	answered(VMB_V4_1, 0, 1, 0, 1);
	cr_assert_eq(bus_state(), VMB_BUS_CONNECTED);
}

Test(host_contact, replaces_an_answer_that_was_not_delivered)
{
	hb_start(0);
	hb_contact(VMB_V4_0);
	answered(VMB_V4_0, 0, 1, 0, 1);
	hb->busy = true;
	hb_unload();
	contact_on(1, VMB_V5_3, 4, 40);
	contact_on(1, VMB_V5_2, 5, 40);
	cr_assert_eq(hb_info().queued, 1);
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 5), 0);
	answered(VMB_V5_2, 5, 1, 0, 1);
}

Test(host_contact, what_was_queued_for_the_old_owner_is_not_sent)
{
	hb_start(3);
	hb_contact(VMB_V4_0);
	answered(VMB_V4_0, 0, 1, 0, 1);
	hb->busy = true;
	hb_request();
	cr_assert_eq(hb_info().queued, 4);
	hb_contact(VMB_V5_3);
	hb->busy = false;
	cr_assert_eq(vmb_host_eom(hb->h, 0), 0);
	answered(VMB_V5_3, 0, 1, 0, 1);
}

Test(host_contact, everything_else_is_refused_while_disconnected)
{
	hb_start(1);
	for (uint32_t type = 0; type < 40; type++) {
		uint64_t before = hb_info().dropped;

		if (type == 14)
			continue;
		hb_ones(type);
		cr_assert_eq(hb_info().dropped, before + 1, "type %u", type);
	}
	hb_quiet();
	hb_no_event();
}

Test(host_contact, a_connection_that_came_and_went_unseen_is_not_shown)
{
	hb_start(0);
	hb_contact(VMB_V4_0);
	hb_unload();
	hb_no_event();
	hb_contact(VMB_V4_0);
	hb_event(VMB_EV_CONNECTED, 0);
	hb_unload();
	hb_contact(VMB_V4_0);
	hb_unload();
	hb_event(VMB_EV_DISCONNECTED, 0);
	hb_no_event();
}
