/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Heartbeat: the host sends a number every second, the guest answers with the next one. devices.md 4.1 */
#include "ic.h"

#include <stdio.h>
#include <string.h>

struct heartbeat {
	struct ic ic;
	uint64_t sent, answered, wrong, last;
};

static int heartbeat_open(struct device *d)
{
	static const uint32_t versions[] = { IC_VERSION(1, 0), IC_VERSION(3, 0) };

	return ic_negotiate(d, versions, 2);
}

static int heartbeat_packet(struct device *d, const struct vmb_packet *p)
{
	struct heartbeat *h = d->state;
	struct ic_reply reply;
	uint64_t sequence;

	if (!ic_reply(&h->ic, p, &reply))
		return 0;
	if (reply.type != IC_HEARTBEAT || reply.body_len < 8) {
		h->wrong++;
		return 0;
	}
	memcpy(&sequence, reply.body, sizeof sequence);
	if (sequence == h->last + 2) /* ours was last + 1 */
		__atomic_store_n(&h->answered, h->answered + 1, __ATOMIC_RELAXED);
	else
		h->wrong++;
	h->last = h->last + 1;
	return 0;
}

static int heartbeat_timer(struct device *d)
{
	struct heartbeat *h = d->state;
	uint8_t body[16] = { 0 };
	uint64_t sequence = h->sent + 1;

	if (!h->ic.message || h->sent != h->answered + h->wrong) /* not negotiated, or the last one is still out */
		return 0;
	memcpy(body, &sequence, sizeof sequence);
	h->sent++;
	return ic_request(d, &h->ic, IC_HEARTBEAT, body, sizeof body);
}

uint64_t dev_heartbeat_answered(const struct device *d)
{
	return __atomic_load_n(&((const struct heartbeat *)d->state)->answered, __ATOMIC_RELAXED);
}

static void heartbeat_close(struct device *d)
{
	const struct heartbeat *h = d->state;

	d->measure = h->answered;
	d->content = !h->wrong;
	snprintf(d->result, sizeof d->result, "version=%u.%u sent=%llu answered=%llu wrong=%llu", h->ic.message & 0xffff,
		 h->ic.message >> 16, (unsigned long long)h->sent, (unsigned long long)h->answered, (unsigned long long)h->wrong);
}

const struct device_ops dev_heartbeat = {
	.name = "heartbeat", .class_id = VMB_CLASS_HEARTBEAT, .offer_flags = VMB_OFFER_ENUMERATE | VMB_OFFER_PIPE, .period_ms = 1000,
	.state_bytes = sizeof(struct heartbeat), .open = heartbeat_open, .packet = heartbeat_packet, .timer = heartbeat_timer,
	.close = heartbeat_close,
};
