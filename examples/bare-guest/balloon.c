/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A driver for the dynamic-memory device (devices.md 7): negotiates, reports the number once, and gives and takes memory as it is
 * told to. It waits nowhere: what cannot be sent now is tried again at the next balloon_run.
 */
#include "bare.h"

enum {
	DM_VERSION = 1, DM_VERSION_RESPONSE, DM_CAPS, DM_CAPS_RESPONSE, DM_STATUS, DM_BALLOON, DM_BALLOON_RESPONSE, DM_UNBALLOON,
	DM_UNBALLOON_RESPONSE
};
#define HEAD 8u
#define ACCEPTED 1u
#define CAP_BALLOON 1u
#define MORE 1u
#define RANGES 64u                       /* of one message of ours */
#define RANGE_PFN ((1ull << 40) - 1)

struct balloon_figures figures;

static const uint32_t versions[] = { 0x20000, 0x10000, 3 }; /* best first */
enum { VERSIONS = sizeof versions / sizeof *versions };

static struct {
	struct vmb_channel *ch;
	uint64_t number, until;
	uint32_t version;                    /* index of the one asked for */
	uint32_t transaction;
	uint32_t ask_version, tell_caps, tell_status, tell_returned; /* what is to be said next */
	uint32_t answering, give;            /* a request is at hand; so many of its pages are still to be given */
	uint32_t reported;                   /* the status has been said */
	uint8_t out[HEAD + 8 + RANGES * 8] __attribute__((aligned(8)));
	uint32_t out_len;                    /* a message that waits for room */
} b;

static uint8_t in[VMB_PAGE] __attribute__((aligned(8)));

void balloon_start(struct vmb_channel *ch, uint64_t number, uint64_t until)
{
	__builtin_memset(&b, 0, sizeof b);
	b.ch = ch;
	b.number = number;
	b.until = until;
	b.ask_version = 1;
}

/* ---- what is said */

static uint8_t *message(uint16_t type, uint32_t len)
{
	uint16_t head[2] = { type, (uint16_t)len };

	b.transaction++;
	b.out_len = len;
	__builtin_memset(b.out, 0, len);
	__builtin_memcpy(b.out, head, sizeof head);
	__builtin_memcpy(b.out + 4, &b.transaction, 4);
	return b.out + HEAD;
}

static void say_version(void)
{
	uint32_t body[2] = { versions[b.version], b.version + 1 == VERSIONS };

	b.ask_version = 0;
	__builtin_memcpy(message(DM_VERSION, HEAD + 8), body, sizeof body);
}

static void say_caps(void)
{
	uint64_t body[3] = { CAP_BALLOON, 0, ~0ull }; /* pages: at least, at most */

	b.tell_caps = 0;
	__builtin_memcpy(message(DM_CAPS, HEAD + 24), body, sizeof body);
}

/* The number as pages available and committed: that is where a host shows it. */
static void say_status(void)
{
	uint64_t body[5] = { b.number & 0xffffffff, b.number >> 32, 0, pages_free(), 0 };

	b.tell_status = 0;
	b.reported = 1;
	__builtin_memcpy(message(DM_STATUS, HEAD + 40), body, sizeof body);
}

static void say_given(void)
{
	uint64_t ranges[RANGES];
	uint32_t n, count = pages_give(b.give, ranges, RANGES, &n), word;
	uint8_t *body;

	b.give -= count;
	if (!count)
		b.give = 0; /* there is no more */
	b.answering = b.give != 0;
	figures.given += count;
	figures.replies++;
	figures.done += !b.give;
	word = n << 1 | (b.give ? MORE : 0);
	body = message(DM_BALLOON_RESPONSE, HEAD + 8 + n * 8);
	__builtin_memcpy(body + 4, &word, 4);
	__builtin_memcpy(body + 8, ranges, n * 8);
}

static void say_returned(void)
{
	b.tell_returned = 0;
	figures.done++;
	message(DM_UNBALLOON_RESPONSE, HEAD);
}

/* Put the next message into b.out, if there is one. */
static void next_message(void)
{
	if (b.ask_version)
		say_version();
	else if (b.tell_caps)
		say_caps();
	else if (b.tell_status)
		say_status();
	else if (b.answering)
		say_given();
	else if (b.tell_returned)
		say_returned();
}

/* Until there is nothing to say, or no room. */
static int speak(void)
{
	for (;;) {
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = b.out, .id = b.transaction };
		int r;

		if (!b.out_len)
			next_message();
		if (!b.out_len)
			return 0;
		p.len = b.out_len;
		r = vmb_channel_send(b.ch, &p);
		if (r < 0)
			return r == VMB_EFULL ? 0 : r;
		b.out_len = 0;
	}
}

/* ---- what is heard */

static uint32_t word(const uint8_t *body, uint32_t at)
{
	uint32_t v;

	__builtin_memcpy(&v, body + at, 4);
	return v;
}

static void hear_unballoon(const uint8_t *body, uint32_t len)
{
	uint32_t more = word(body, 0) & MORE, n = word(body, 4), i, wiped, taken;
	uint64_t range;

	if (n > (len - 8) / 8) {
		figures.wrong++;
		n = (len - 8) / 8;
	}
	for (i = 0; i < n; i++) {
		__builtin_memcpy(&range, body + 8 + i * 8, 8);
		taken = pages_take(range & RANGE_PFN, range >> 40, &wiped);
		figures.returned += taken;
		figures.wiped += wiped;
		figures.wrong += taken != range >> 40;
	}
	figures.releases++;
	b.tell_returned = !more;
}

static void hear_version(uint32_t accepted)
{
	if (accepted & ACCEPTED) {
		figures.version = versions[b.version];
		b.tell_caps = 1;
	} else if (b.version + 1 < VERSIONS) {
		b.version++;
		b.ask_version = 1;
	} else {
		die("no version of the dynamic-memory protocol was accepted", 0);
	}
}

/* Every message of the host that this knows has at least 8 bytes of body. */
static void hear(const uint8_t *m, uint32_t len)
{
	const uint8_t *body = m + HEAD;
	uint16_t type;

	if (len < HEAD + 8) {
		figures.wrong++;
		return;
	}
	__builtin_memcpy(&type, m, 2);
	switch (type) {
	case DM_VERSION_RESPONSE:
		hear_version(word(body, 0));
		break;
	case DM_CAPS_RESPONSE:
		if (!(word(body, 0) & ACCEPTED))
			die("capabilities refused", 0);
		b.tell_status = 1;
		break;
	case DM_BALLOON:
		if (b.answering)
			die("a request before the last one was answered", b.give);
		b.give = word(body, 0);
		b.answering = 1;
		figures.asked += b.give;
		break;
	case DM_UNBALLOON:
		hear_unballoon(body, len - HEAD);
		break;
	default:
		figures.wrong++;
	}
}

int balloon_heard(void)
{
	struct vmb_channel_info info = { .size = sizeof info };

	return vmb_channel_info(b.ch, &info) == 0 && info.tx.in == info.tx.out;
}

int balloon_run(void)
{
	struct vmb_packet p;
	int r = speak();

	while (r == 0 && (r = vmb_channel_recv(b.ch, in, sizeof in, &p)) > 0) {
		if (p.kind == VMB_PKT_INBAND)
			hear(p.payload, p.len);
		else
			figures.wrong++;
		r = speak();
	}
	if (r < 0 && r != VMB_EAGAIN)
		return r;
	/* Everything is said. */
	return b.reported && !b.out_len && figures.done >= b.until ? VMB_YES : 0;
}
