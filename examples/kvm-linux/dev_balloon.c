/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Dynamic memory (devices.md 7): takes a number of pages from the guest, really (they read as zeros afterwards), and gives them
 * back in as many messages as there were ranges. Offered only where the command line says how many (hostend -b).
 *
 * With a number (-b PAGES,NUMBER) it is examples/bare-guest that it talks to: its status report must hold that number, inverted
 * at every second open, and each page that it gives the number xor its PFN in the first and the last word.
 */
#define _GNU_SOURCE
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	DM_VERSION = 1, DM_VERSION_RESPONSE, DM_CAPS, DM_CAPS_RESPONSE, DM_STATUS, DM_BALLOON, DM_BALLOON_RESPONSE, DM_UNBALLOON,
	DM_UNBALLOON_RESPONSE
};
enum { HEAD = 8, RANGES = 4096, LAST_WORD = VMB_PAGE / 8 - 1 };
#define RANGE_PFN ((1ull << 40) - 1)
#define VERSION_BEST 0x20000u
#define CAP_BALLOON 1u

static struct {
	unsigned pages, has_number;
	uint64_t number;
} ask;

struct balloon {
	uint32_t version, transaction, asked, given, n, back, done;
	uint32_t reports, wrong, marked;     /* status reports that hold the number; pages that bore their mark */
	uint64_t range[RANGES];
};

int dev_balloon_ask(const char *text)
{
	char *end;

	ask.pages = (unsigned)strtoul(text, &end, 10);
	if (*end == ',') {
		ask.has_number = 1;
		ask.number = strtoull(end + 1, &end, 16);
	}
	return ask.pages && !*end ? 0 : -1;
}

unsigned dev_balloon_asked(void)
{
	return ask.pages;
}

static int say(struct device *d, uint16_t type, const void *body, uint32_t len)
{
	struct balloon *b = d->state;
	uint16_t head[2] = { type, (uint16_t)(HEAD + len) };
	uint8_t m[HEAD + 16];
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = m, .len = HEAD + len };

	b->transaction++;
	memcpy(m, head, sizeof head);
	memcpy(m + 4, &b->transaction, 4);
	memcpy(m + HEAD, body, len);
	return device_send(d, &p);
}

static int balloon_open(struct device *d)
{
	(void)d;
	return 0; /* the guest speaks first */
}

/* One range of the guest's. Nobody maps these pages but for a moment: they can go. */
static void take_range(struct device *d, uint64_t range)
{
	struct balloon *b = d->state;
	const struct vmb_mapper *memory = d->host->memory;
	uint64_t pfn = range & RANGE_PFN, count = range >> 40;

	if (!count || count > b->asked - b->given || b->n == RANGES) {
		b->wrong++;
		return;
	}
	b->range[b->n++] = range;
	b->given += (uint32_t)count;
	for (; count; count--, pfn++) {
		void *page;
		const uint64_t *words;

		if (memory->map(memory->ctx, &pfn, 1, VMB_MAP_WRITE, &page) < 0) {
			b->wrong++;
			continue;
		}
		words = page;
		b->marked += words[0] == (ask.number ^ pfn) && words[LAST_WORD] == (ask.number ^ pfn);
		if (madvise(page, VMB_PAGE, MADV_REMOVE) < 0)
			b->wrong++;
		memory->unmap(memory->ctx, &pfn, 1, VMB_MAP_WRITE, &page);
	}
}

static int give_back(struct device *d)
{
	struct balloon *b = d->state;
	int r = 0;

	while (b->back < b->n && r == 0) {
		uint32_t body[4] = { b->back + 1 < b->n, 1 }; /* more; one range */

		memcpy(body + 2, &b->range[b->back++], 8);
		r = say(d, DM_UNBALLOON, body, sizeof body);
	}
	return r;
}

static int hear_given(struct device *d, const uint8_t *body, uint32_t len)
{
	struct balloon *b = d->state;
	uint32_t word, i;
	uint64_t range;

	memcpy(&word, body + 4, 4);
	if (!b->asked || b->done || word >> 1 > (len - 8) / 8) {
		b->wrong++;
		return 0;
	}
	for (i = 0; i < word >> 1; i++) {
		memcpy(&range, body + 8 + i * 8, 8);
		take_range(d, range);
	}
	if (word & 1)
		return 0;
	b->done++;
	return give_back(d);
}

static void hear_status(struct device *d, const uint8_t *body)
{
	struct balloon *b = d->state;
	uint64_t word[2], number = d->opens % 2 ? ask.number : ~ask.number;

	memcpy(word, body, sizeof word); /* pages available, committed */
	if (word[0] == (number & 0xffffffff) && word[1] == number >> 32)
		b->reports++;
	else if (ask.has_number)
		b->wrong++;
}

static int hear_version(struct device *d, const uint8_t *body)
{
	struct balloon *b = d->state;
	uint64_t accepted;

	memcpy(&b->version, body, 4);
	accepted = b->version <= VERSION_BEST;
	return say(d, DM_VERSION_RESPONSE, &accepted, sizeof accepted);
}

static int hear_caps(struct device *d, const uint8_t *body)
{
	struct balloon *b = d->state;
	uint64_t caps, accepted;
	uint32_t request[2] = { ask.pages };
	int r;

	memcpy(&caps, body, sizeof caps);
	accepted = caps & CAP_BALLOON;
	r = say(d, DM_CAPS_RESPONSE, &accepted, sizeof accepted);
	if (r < 0 || !accepted)
		return r;
	b->asked = ask.pages;
	return say(d, DM_BALLOON, request, sizeof request);
}

/* Bytes of body that a message has at least. */
static uint32_t least(uint16_t type)
{
	switch (type) {
	case DM_VERSION:
	case DM_BALLOON_RESPONSE:
		return 8;
	case DM_CAPS:
		return 24;
	case DM_STATUS:
		return 40;
	}
	return 0;
}

static int balloon_packet(struct device *d, const struct vmb_packet *p)
{
	struct balloon *b = d->state;
	const uint8_t *body = (const uint8_t *)p->payload + HEAD;
	uint16_t type = 0;

	if (p->len >= HEAD)
		memcpy(&type, p->payload, 2);
	if (p->kind != VMB_PKT_INBAND || p->len < HEAD + least(type)) {
		b->wrong++;
		return 0;
	}
	switch (type) {
	case DM_VERSION:
		return hear_version(d, body);
	case DM_CAPS:
		return hear_caps(d, body);
	case DM_STATUS:
		hear_status(d, body);
		return 0;
	case DM_BALLOON_RESPONSE:
		return hear_given(d, body, p->len - HEAD);
	case DM_UNBALLOON_RESPONSE:
		if (b->done == 1 && b->back == b->n)
			b->done++;
		else
			b->wrong++;
		return 0;
	}
	b->wrong++;
	return 0;
}

static void balloon_close(struct device *d)
{
	const struct balloon *b = d->state;

	d->measure = b->done;
	d->content = !b->wrong && b->done == 2 && b->given == b->asked;
	if (ask.has_number)
		d->content &= b->marked == b->given && b->reports == 1;
	snprintf(d->result, sizeof d->result, "version=%x asked=%u given=%u marked=%u ranges=%u done=%u reports=%u wrong=%u", b->version,
		 b->asked, b->given, b->marked, b->n, b->done, b->reports, b->wrong);
	fprintf(stderr, "VMB-BALLOON: open=%u content=%d %s\n", d->opens, d->content, d->result);
}

const struct device_ops dev_balloon = {
	.name = "balloon", .class_id = VMB_CLASS_BALLOON, .state_bytes = sizeof(struct balloon), .open = balloon_open,
	.packet = balloon_packet, .close = balloon_close,
};
