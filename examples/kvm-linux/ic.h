/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What the integration components have in common: the 20-byte header and the negotiation. devices.md 3 */
#ifndef KVM_LINUX_IC_H
#define KVM_LINUX_IC_H

#include "device.h"

enum ic_type { IC_NEGOTIATE = 0, IC_HEARTBEAT = 1, IC_SHUTDOWN = 3, IC_TIMESYNC = 4 };
enum { IC_HEADER = 20, IC_REQUEST = 3, IC_RESPONSE = 5 }; /* flags: transaction | request, transaction | response */

#define IC_VERSION(major, minor) ((uint32_t)(major) | (uint32_t)(minor) << 16) /* as on the wire */

struct ic {
	uint32_t framework, message; /* negotiated; 0: not yet */
};

struct ic_reply {
	uint32_t type, status, flags;
	const uint8_t *body;
	uint32_t body_len;
};

/* Send the version lists: frameworks 1.0 and 3.0, and n message versions. */
int ic_negotiate(struct device *d, const uint32_t *versions, unsigned n);
/* Take a reply apart; 1 if it is one. A reply to the negotiation is handled here: *ic is filled in and 0 returned. */
int ic_reply(struct ic *ic, const struct vmb_packet *p, struct ic_reply *out);
/* Send a request with the negotiated versions. */
int ic_request(struct device *d, const struct ic *ic, enum ic_type type, const void *body, uint32_t len);

#endif
