/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What is saved of a host end, record by record, and the functions that write and read each kind. doc/SAVED.md has the bytes.
 *
 * The order of the records: the connection, the contact that waits, then for each channel the channel itself, its page lists and its
 * opens, then the messages that wait for the guest, then the counters. So whatever a record is about has been seen before.
 */
#ifndef VMBI_HOST_SAVED_H
#define VMBI_HOST_SAVED_H

#include "host.h"
#include "blob.h"

#define VMBI_HS_CONNECTION 1u
#define VMBI_HS_CONTACT 2u
#define VMBI_HS_CHANNEL 3u
#define VMBI_HS_LIST 4u
#define VMBI_HS_OPEN 5u
#define VMBI_HS_MESSAGE 6u
#define VMBI_HS_STATISTICS 7u

/* A channel's state as saved: 1...6 the guest knows it. */
#define VMBI_HS_CLOSED 1u
#define VMBI_HS_OPENING 2u
#define VMBI_HS_IS_OPEN 3u
#define VMBI_HS_CLOSING 4u
#define VMBI_HS_REOPEN 5u
#define VMBI_HS_REVOKED 6u
#define VMBI_HS_RELEASED 7u /* the guest gave it up: it is not offered again on this connection */
#define VMBI_HS_LEFT 8u     /* the guest knows it no more, a device still uses its memory */

#define VMBI_HS_TOLD 0x1u      /* this connection was told of it */
#define VMBI_HS_KEPT 0x2u      /* open as a reserved channel */
#define VMBI_HS_MODIFYING 0x4u /* MODIFY_CHANNEL is not answered */
#define VMBI_HS_POISONED 0x8u  /* its ring was found to be bad */
#define VMBI_HS_UNOPENED 0x10u /* a socket that is to be opened in time */
#define VMBI_HS_RESCINDED 0x20u
#define VMBI_HS_SERVED 0x40u   /* the device was still on the ring */
#define VMBI_HS_AGAIN 0x80u    /* to be offered when that has ended */

struct vmbi_hs_connection {
	uint32_t vtl, state, action, version, features, trusted, paused, message_vp, reset_done, swapping;
	uint64_t tokens, page_gpa, monitor[2], wanted[2];
	struct vmb_guid client_id;
};

struct vmbi_hs_channel {
	struct vmb_guid class_id, instance;
	uint32_t subchannel, id, state, flags, monitor, reserved;
	struct vmb_cursor tx_at, rx_at;
	uint32_t opens, refused, closes, lost; /* as in vmb_part */
};

struct vmbi_hs_list {
	struct vmbi_gpadl_state s;
	uint32_t quiet, held, reserved;
};

struct vmbi_hs_message {
	uint32_t vp, len;
	uint8_t bytes[48]; /* as it goes out; of an offer only type and channel id, where a rescind has them */
};

void vmbi_hs_connection(struct vmbi_blob *b, struct vmbi_hs_connection *c);
void vmbi_hs_contact(struct vmbi_blob *b, struct vmbi_host_request *q);
void vmbi_hs_channel(struct vmbi_blob *b, struct vmbi_hs_channel *c);
void vmbi_hs_list(struct vmbi_blob *b, struct vmbi_hs_list *l); /* the words come after it */
void vmbi_hs_open(struct vmbi_blob *b, struct vmbi_host_open *o, uint32_t *again); /* *again: of the open that waits for the end of another */
void vmbi_hs_message(struct vmbi_blob *b, struct vmbi_hs_message *m);
void vmbi_hs_statistics(struct vmbi_blob *b, struct vmb_host *h);

/* How many opens stand behind a channel in this state. */
uint32_t vmbi_hs_opens(uint32_t state, uint32_t flags);

#endif /* VMBI_HOST_SAVED_H */
