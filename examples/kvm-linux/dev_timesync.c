/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Time synchronisation: one sample that sets the guest's clock, then one every five seconds that guides it. devices.md 4.3 */
#define _GNU_SOURCE
#include "ic.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define EPOCH_1601 116444736000000000ull /* 1601 to 1970 in 100 ns */
enum { FLAG_SYNC = 1, FLAG_SAMPLE = 2, PERIOD_MS = 250, EVERY = 20 };

struct timesync {
	struct ic ic;
	unsigned ticks, sent, answered;
};

static int timesync_open(struct device *d)
{
	static const uint32_t versions[] = { IC_VERSION(1, 0), IC_VERSION(3, 0), IC_VERSION(4, 0) };

	return ic_negotiate(d, versions, 3);
}

static int timesync_packet(struct device *d, const struct vmb_packet *p)
{
	struct timesync *t = d->state;
	struct ic_reply reply;

	if (ic_reply(&t->ic, p, &reply) && reply.type == IC_TIMESYNC)
		t->answered++;
	return 0;
}

static int timesync_timer(struct device *d)
{
	struct timesync *t = d->state;
	struct timespec now;
	uint64_t words[4] = { 0 };
	uint8_t *bytes = (uint8_t *)words;

	if (!t->ic.message || t->ticks++ % EVERY)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	words[0] = EPOCH_1601 + (uint64_t)now.tv_sec * 10000000u + (uint64_t)now.tv_nsec / 100;
	words[1] = d->host->reference_time();
	if (t->ic.message == IC_VERSION(4, 0)) { /* host time, reference time, flags, leap, stratum */
		bytes[16] = t->sent ? FLAG_SAMPLE : FLAG_SYNC;
		bytes[18] = 1;
		t->sent++;
		return ic_request(d, &t->ic, IC_TIMESYNC, words, 24);
	}
	words[1] = 0; /* host time, guest time, round trip, flags */
	bytes[24] = t->sent ? FLAG_SAMPLE : FLAG_SYNC;
	t->sent++;
	return ic_request(d, &t->ic, IC_TIMESYNC, words, 32);
}

static void timesync_close(struct device *d)
{
	const struct timesync *t = d->state;

	d->measure = t->answered;
	d->content = t->answered <= t->sent;
	snprintf(d->result, sizeof d->result, "version=%u.%u sent=%u answered=%u", t->ic.message & 0xffff, t->ic.message >> 16, t->sent,
		 t->answered);
}

const struct device_ops dev_timesync = {
	.name = "timesync", .class_id = VMB_CLASS_TIMESYNC, .offer_flags = VMB_OFFER_ENUMERATE | VMB_OFFER_PIPE, .period_ms = PERIOD_MS,
	.state_bytes = sizeof(struct timesync), .open = timesync_open, .packet = timesync_packet, .timer = timesync_timer,
	.close = timesync_close,
};
