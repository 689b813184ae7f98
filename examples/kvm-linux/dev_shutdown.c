/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Shutdown: the host asks once, when host.shutdown_wanted is set; the guest answers, then powers off by itself. devices.md 4.2 */
#include "ic.h"

#include <stdio.h>
#include <string.h>

#define REASON 0x80020007u
enum { BODY = 2060, SECONDS = 60 }; /* the guest refuses a shorter body */

struct shutdown {
	struct ic ic;
	int asked, answered;
	uint32_t status;
};

static int shutdown_open(struct device *d)
{
	static const uint32_t versions[] = { IC_VERSION(1, 0), IC_VERSION(3, 0), IC_VERSION(3, 1), IC_VERSION(3, 2) };

	return ic_negotiate(d, versions, 4);
}

static int shutdown_packet(struct device *d, const struct vmb_packet *p)
{
	struct shutdown *s = d->state;
	struct ic_reply reply;

	if (ic_reply(&s->ic, p, &reply) && reply.type == IC_SHUTDOWN) {
		s->answered = 1;
		s->status = reply.status;
	}
	return 0;
}

static int shutdown_timer(struct device *d)
{
	struct shutdown *s = d->state;
	uint8_t body[BODY] = { 0 };
	uint32_t head[3] = { REASON, SECONDS, 0 }; /* flags 0: power off */

	if (!s->ic.message || s->asked || !__atomic_load_n(&d->host->shutdown_wanted, __ATOMIC_ACQUIRE))
		return 0;
	s->asked = 1;
	memcpy(body, head, sizeof head);
	return ic_request(d, &s->ic, IC_SHUTDOWN, body, sizeof body);
}

static void shutdown_close(struct device *d)
{
	const struct shutdown *s = d->state;

	d->measure = (unsigned)s->answered;
	d->content = !s->status;
	snprintf(d->result, sizeof d->result, "version=%u.%u asked=%d answered=%d status=0x%x", s->ic.message & 0xffff,
		 s->ic.message >> 16, s->asked, s->answered, s->status);
}

const struct device_ops dev_shutdown = {
	.name = "shutdown", .class_id = VMB_CLASS_SHUTDOWN, .offer_flags = VMB_OFFER_ENUMERATE | VMB_OFFER_PIPE, .period_ms = 100,
	.state_bytes = sizeof(struct shutdown), .open = shutdown_open, .packet = shutdown_packet, .timer = shutdown_timer,
	.close = shutdown_close,
};
