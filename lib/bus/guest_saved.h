/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What is saved of a guest end, record by record, and the functions that write and read each kind. doc/SAVED.md has the bytes.
 *
 * The order of the records: the connection, the generations of its handles, connects, channels, page lists, then what stands in the two queues,
 * in their order, then the counters.
 */
#ifndef VMBI_GUEST_SAVED_H
#define VMBI_GUEST_SAVED_H

#include "guest.h"
#include "blob.h"

#define VMBI_GSV_CONNECTION 1u
#define VMBI_GSV_SLOTS 2u
#define VMBI_GSV_CONNECT 3u
#define VMBI_GSV_CHANNEL 4u
#define VMBI_GSV_LIST 5u
#define VMBI_GSV_QUEUED 6u
#define VMBI_GSV_EVENT 7u
#define VMBI_GSV_STATISTICS 8u

/* An object of the end, as queues name it. */
struct vmbi_gsv_node {
	uint32_t kind, n; /* n: slot, GPADL id, number of a connect, or handle */
};
#define VMBI_GSV_OF_CONNECTION 1u
#define VMBI_GSV_OF_DECLINER 2u
#define VMBI_GSV_OF_CLOSER 3u
#define VMBI_GSV_OF_CHANNEL 4u
#define VMBI_GSV_OF_LIST 5u
#define VMBI_GSV_OF_CONNECT 6u
#define VMBI_GSV_OF_GONE 7u

struct vmbi_gsv_connection {
	/* where the host's messages and interrupts go, and where it has pages: must be the same as before */
	uint32_t message_vp, sint, vtl, reserved;
	uint64_t interrupt_gpa, monitor_gpa[2];
	uint32_t declined[VMBI_FLAG_WORDS];
};

struct vmbi_gsv_channel {
	uint32_t slot, mapped; /* mapped: its id leads to it */
	struct vmb_cursor tx_at, rx_at;
};

void vmbi_gsv_connection(struct vmbi_blob *b, struct vmbi_gsv_connection *c, struct vmb_guest *g);
void vmbi_gsv_connect(struct vmbi_blob *b, struct vmbi_gs *s);
/* c is where to read the channel from; or, loading, into: it is chosen by the slot, which is read first. */
void vmbi_gsv_channel_head(struct vmbi_blob *b, struct vmbi_gsv_channel *s);
void vmbi_gsv_channel(struct vmbi_blob *b, struct vmbi_gc *c);
void vmbi_gsv_list(struct vmbi_blob *b, struct vmbi_gg *d, uint32_t *ring); /* *ring: it is its channel's. An announced list's words come after it */
void vmbi_gsv_node(struct vmbi_blob *b, struct vmbi_gsv_node *n);
void vmbi_gsv_statistics(struct vmbi_blob *b, struct vmb_guest *g);

/* Does this list wait for an answer; does this channel? */
int vmbi_gsv_list_waits(const struct vmbi_gg *d);
int vmbi_gsv_channel_waits(const struct vmbi_gc *c);

#endif /* VMBI_GUEST_SAVED_H */
