/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The control messages as data: the one place that knows types, sizes and offsets. control-plane.md 2, 6, gpadl.md 2.
 * The constants for lib/ and the field tables for tools are both made from these lists.
 */
#ifndef VMBI_PROTOCOL_MESSAGE_H
#define VMBI_PROTOCOL_MESSAGE_H

#include "vmbus.h"
#include "../env.h"

/* type, name, direction (H: to host, G: to guest), bytes of the smallest legal form, least version, feature needed or 0 */
#define VMBI_MESSAGES(X) \
	X(1, OFFER_CHANNEL, G, 190, VMB_V0_13, 0) \
	X(2, RESCIND_CHANNEL_OFFER, G, 12, VMB_V0_13, 0) \
	X(3, REQUEST_OFFERS, H, 8, VMB_V0_13, 0) \
	X(4, ALL_OFFERS_DELIVERED, G, 8, VMB_V0_13, 0) \
	X(5, OPEN_CHANNEL, H, 148, VMB_V0_13, 0) \
	X(6, OPEN_CHANNEL_RESULT, G, 20, VMB_V0_13, 0) \
	X(7, CLOSE_CHANNEL, H, 12, VMB_V0_13, 0) \
	X(8, GPADL_HEADER, H, 20, VMB_V0_13, 0) \
	X(9, GPADL_BODY, H, 16, VMB_V0_13, 0) \
	X(10, GPADL_CREATED, G, 20, VMB_V0_13, 0) \
	X(11, GPADL_TEARDOWN, H, 16, VMB_V0_13, 0) \
	X(12, GPADL_TORNDOWN, G, 12, VMB_V0_13, 0) \
	X(13, REL_ID_RELEASED, H, 12, VMB_V0_13, 0) \
	X(14, INITIATE_CONTACT, H, 40, VMB_V0_13, 0) \
	X(15, VERSION_RESPONSE, G, 16, VMB_V0_13, 0) \
	X(16, UNLOAD, H, 8, VMB_V0_13, 0) \
	X(17, UNLOAD_COMPLETE, G, 8, VMB_V1_1, 0) \
	X(18, OPEN_RESERVED_CHANNEL, H, 28, VMB_V4_0, 0) \
	X(19, CLOSE_RESERVED_CHANNEL, H, 20, VMB_V4_0, 0) \
	X(20, CLOSE_RESERVED_RESPONSE, G, 12, VMB_V4_0, 0) \
	X(21, TL_CONNECT_REQUEST, H, 40, VMB_V4_0, 0) \
	X(22, MODIFY_CHANNEL, H, 16, VMB_V4_1, 0) \
	X(23, TL_CONNECT_RESULT, G, 44, VMB_V4_1, 0) \
	X(24, MODIFY_CHANNEL_RESPONSE, G, 16, VMB_V5_3, 0) \
	X(25, MODIFY_CONNECTION, H, 24, VMB_V6_0, VMB_FEATURE_MODIFY_CONNECTION) \
	X(26, MODIFY_CONNECTION_RESPONSE, G, 9, VMB_V6_0, VMB_FEATURE_MODIFY_CONNECTION) \
	X(27, PAUSE, H, 8, VMB_V6_0, VMB_FEATURE_PAUSE) \
	X(28, PAUSE_RESPONSE, G, 8, VMB_V6_0, VMB_FEATURE_PAUSE) \
	X(29, RESUME, H, 8, VMB_V6_0, VMB_FEATURE_PAUSE)

/*
 * message, bytes, least version, features of which one is needed (0: none): the longer forms of a message, the longest last. From
 * there on a sender uses it; R: and a receiver insists on it. A: it also takes the shorter one. control-plane.md 2, 6
 */
#define VMBI_FORMS(X) \
	X(OFFER_CHANNEL, 196, VMB_V1_1, 0, R) \
	X(OPEN_CHANNEL, 156, VMB_V6_0, VMB_FEATURE_SIGNAL_PARAMETERS | VMB_FEATURE_REDIRECT, R) \
	X(INITIATE_CONTACT, 56, VMB_V6_0, VMB_FEATURE_CLIENT_ID, R) \
	X(VERSION_RESPONSE, 20, VMB_V6_0, 0, R) /* only where the version is supported */ \
	X(VERSION_RESPONSE, 40, VMB_V6_0, VMB_FEATURE_SERVER_MONITOR, R) /* only where this very response grants it */ \
	X(TL_CONNECT_REQUEST, 56, VMB_V5_2, 0, A) /* Linux sends the short one at every version */

/*
 * message, field, offset, bytes, kind, least version, version from which on it is gone (0: never), feature: where a field exists.
 * Kinds: N number, A guest-physical address, U GUID, B bytes. A field whose version or feature is not in force is not shown and
 * is not to be read.
 */
#define VMBI_FIELDS(F) \
	F(OFFER_CHANNEL, class_id, 8, 16, U, 0, 0, 0) \
	F(OFFER_CHANNEL, instance_id, 24, 16, U, 0, 0, 0) \
	F(OFFER_CHANNEL, flags, 56, 2, N, 0, 0, 0) \
	F(OFFER_CHANNEL, mmio_megabytes, 58, 2, N, 0, 0, 0) \
	F(OFFER_CHANNEL, user_defined, 60, 120, B, 0, 0, 0) \
	F(OFFER_CHANNEL, subchannel_index, 180, 2, N, 0, 0, 0) \
	F(OFFER_CHANNEL, mmio_megabytes_optional, 182, 2, N, 0, 0, 0) \
	F(OFFER_CHANNEL, channel_id, 184, 4, N, 0, 0, 0) \
	F(OFFER_CHANNEL, monitor_id, 188, 1, N, 0, 0, 0) \
	F(OFFER_CHANNEL, monitor_allocated, 189, 1, N, 0, 0, 0) \
	F(OFFER_CHANNEL, is_dedicated, 190, 2, N, VMB_V1_1, 0, 0) \
	F(OFFER_CHANNEL, connection_id, 192, 4, N, VMB_V1_1, 0, 0) \
	F(RESCIND_CHANNEL_OFFER, channel_id, 8, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, channel_id, 8, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, open_id, 12, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, ring_gpadl, 16, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, target_vp, 20, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, downstream_page_offset, 24, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL, user_data, 28, 120, B, 0, 0, 0) \
	F(OPEN_CHANNEL, connection_id, 148, 4, N, VMB_V6_0, 0, VMB_FEATURE_SIGNAL_PARAMETERS) \
	F(OPEN_CHANNEL, event_flag, 152, 2, N, VMB_V6_0, 0, VMB_FEATURE_SIGNAL_PARAMETERS) \
	F(OPEN_CHANNEL, open_flags, 154, 2, N, VMB_V6_0, 0, VMB_FEATURE_REDIRECT) \
	F(OPEN_CHANNEL_RESULT, channel_id, 8, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL_RESULT, open_id, 12, 4, N, 0, 0, 0) \
	F(OPEN_CHANNEL_RESULT, status, 16, 4, N, 0, 0, 0) \
	F(CLOSE_CHANNEL, channel_id, 8, 4, N, 0, 0, 0) \
	F(GPADL_HEADER, channel_id, 8, 4, N, 0, 0, 0) \
	F(GPADL_HEADER, gpadl_id, 12, 4, N, 0, 0, 0) \
	F(GPADL_HEADER, range_buflen, 16, 2, N, 0, 0, 0) \
	F(GPADL_HEADER, range_count, 18, 2, N, 0, 0, 0) \
	F(GPADL_BODY, message_number, 8, 4, N, 0, 0, 0) \
	F(GPADL_BODY, gpadl_id, 12, 4, N, 0, 0, 0) \
	F(GPADL_CREATED, channel_id, 8, 4, N, 0, 0, 0) \
	F(GPADL_CREATED, gpadl_id, 12, 4, N, 0, 0, 0) \
	F(GPADL_CREATED, status, 16, 4, N, 0, 0, 0) \
	F(GPADL_TEARDOWN, channel_id, 8, 4, N, 0, 0, 0) \
	F(GPADL_TEARDOWN, gpadl_id, 12, 4, N, 0, 0, 0) \
	F(GPADL_TORNDOWN, gpadl_id, 8, 4, N, 0, 0, 0) \
	F(REL_ID_RELEASED, channel_id, 8, 4, N, 0, 0, 0) \
	F(INITIATE_CONTACT, version, 8, 4, N, 0, 0, 0) \
	F(INITIATE_CONTACT, target_vp, 12, 4, N, 0, 0, 0) \
	F(INITIATE_CONTACT, interrupt_page, 16, 8, A, 0, VMB_V5_0, 0) \
	F(INITIATE_CONTACT, target_sint, 16, 1, N, VMB_V5_0, 0, 0) \
	F(INITIATE_CONTACT, target_vtl, 17, 1, N, VMB_V5_1, 0, 0) \
	F(INITIATE_CONTACT, feature_flags, 20, 4, N, VMB_V6_0, 0, 0) \
	F(INITIATE_CONTACT, parent_to_child_page, 24, 8, A, 0, 0, 0) \
	F(INITIATE_CONTACT, child_to_parent_page, 32, 8, A, 0, 0, 0) \
	F(INITIATE_CONTACT, client_id, 40, 16, U, VMB_V6_0, 0, VMB_FEATURE_CLIENT_ID) \
	F(VERSION_RESPONSE, version_supported, 8, 1, N, 0, 0, 0) \
	F(VERSION_RESPONSE, connection_state, 9, 1, N, 0, 0, 0) \
	F(VERSION_RESPONSE, selected, 12, 4, N, 0, 0, 0) /* version below 5.0, message connection id from 5.0 */ \
	F(VERSION_RESPONSE, supported_features, 16, 4, N, VMB_V6_0, 0, 0) \
	F(VERSION_RESPONSE, parent_to_child_page, 24, 8, A, VMB_V6_0, 0, VMB_FEATURE_SERVER_MONITOR) \
	F(VERSION_RESPONSE, child_to_parent_page, 32, 8, A, VMB_V6_0, 0, VMB_FEATURE_SERVER_MONITOR) \
	F(OPEN_RESERVED_CHANNEL, channel_id, 8, 4, N, 0, 0, 0) \
	F(OPEN_RESERVED_CHANNEL, target_vp, 12, 4, N, 0, 0, 0) \
	F(OPEN_RESERVED_CHANNEL, target_sint, 16, 4, N, 0, 0, 0) \
	F(OPEN_RESERVED_CHANNEL, ring_gpadl, 20, 4, N, 0, 0, 0) \
	F(OPEN_RESERVED_CHANNEL, downstream_page_offset, 24, 4, N, 0, 0, 0) \
	F(CLOSE_RESERVED_CHANNEL, channel_id, 8, 4, N, 0, 0, 0) \
	F(CLOSE_RESERVED_CHANNEL, target_vp, 12, 4, N, 0, 0, 0) \
	F(CLOSE_RESERVED_CHANNEL, target_sint, 16, 4, N, 0, 0, 0) \
	F(CLOSE_RESERVED_RESPONSE, channel_id, 8, 4, N, 0, 0, 0) \
	F(TL_CONNECT_REQUEST, endpoint_id, 8, 16, U, 0, 0, 0) \
	F(TL_CONNECT_REQUEST, service_id, 24, 16, U, 0, 0, 0) \
	F(TL_CONNECT_REQUEST, silo_id, 40, 16, U, 0, 0, 0) /* by length */ \
	F(MODIFY_CHANNEL, channel_id, 8, 4, N, 0, 0, 0) \
	F(MODIFY_CHANNEL, target_vp, 12, 4, N, 0, 0, 0) \
	F(TL_CONNECT_RESULT, endpoint_id, 8, 16, U, 0, 0, 0) \
	F(TL_CONNECT_RESULT, service_id, 24, 16, U, 0, 0, 0) \
	F(TL_CONNECT_RESULT, status, 40, 4, N, 0, 0, 0) \
	F(MODIFY_CHANNEL_RESPONSE, channel_id, 8, 4, N, 0, 0, 0) \
	F(MODIFY_CHANNEL_RESPONSE, status, 12, 4, N, 0, 0, 0) \
	F(MODIFY_CONNECTION, parent_to_child_page, 8, 8, A, 0, 0, 0) \
	F(MODIFY_CONNECTION, child_to_parent_page, 16, 8, A, 0, 0, 0) \
	F(MODIFY_CONNECTION_RESPONSE, connection_state, 8, 1, N, 0, 0, 0)

#define VMBI_MSG_ENUM(type, name, dir, size, version, feature) VMBI_MSG_##name = type,
enum { VMBI_MESSAGES(VMBI_MSG_ENUM) VMBI_MSG_COUNT = 30 };
#undef VMBI_MSG_ENUM
#define VMBI_AT_ENUM(msg, field, offset, bytes, kind, from, gone, feature) VMBI_AT_##msg##_##field = offset,
enum { VMBI_FIELDS(VMBI_AT_ENUM) VMBI_AT_TYPE = 0 };
#undef VMBI_AT_ENUM

/* Offset of a field: msg + VMBI_AT(OPEN_CHANNEL, target_vp). */
#define VMBI_AT(msg, field) VMBI_AT_##msg##_##field

#define VMBI_GPADL_HEADER_DATA 20u /* where range data starts */
#define VMBI_GPADL_BODY_DATA 16u
#define VMBI_FAILED 0x8000ffffu    /* the status that says no. control-plane.md 4 */
#define VMBI_SINT 2u
#define VMBI_CONNECTION_LEGACY 1u
#define VMBI_CONNECTION_EVENT 2u   /* below 1.1: the one event connection of all channels */
#define VMBI_CONNECTION_MULTICLIENT 4u
#define VMBI_CONNECTION_REDIRECTED 0x800074u /* VTL 2, SINT 7, VP 0 */
#define VMBI_REDIRECT_SINT 7u
#define VMBI_REDIRECT_VTL 2u
#define VMBI_MAX_CHANNEL_ID 2047u

/* 1 if these 16 bytes are all 0: no GUID. */
int vmbi_guid_is_zero(const void *guid);
/* 1 if this is one of the protocol's versions: an in-between number is none. control-plane.md 3 */
int vmbi_version_known(uint32_t version);

#endif /* VMBI_PROTOCOL_MESSAGE_H */
