/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A SCSI disk: requests are in-band or GPA-direct packets with a vstor packet as payload, answers are completions with the
 * same. Requests are first collected, then executed, so that many are in flight. One disk: path 0, target 0, LUN 0. devices.md
 * 8
 *
 * Before such a disk is taken away, all requests must have been answered, and the guest must have read the answers: Linux waits
 * for each of them for ever, also after a rescind (it resets a request's timer whenever that runs out, and the removal waits for
 * the last request); and when a RESCIND comes it stops reading the ring before anything else. So a disk that is about to go
 * answers everything with an error (struct image: vanish), until those who sent have stopped and have read it.
 */
#define _GNU_SOURCE
#include "device.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SETTLE_NS = 1000000, DEPTH = 64, WORDS = 160, BLOCK = 512, MAX_TRANSFER = 0x40000, VSTOR = 64, SRB = 12, CDB = SRB + 16 };
enum operation { OP_COMPLETE = 1, OP_EXECUTE = 3, OP_RESET_LUN = 4, OP_RESET_ADAPTER = 5, OP_RESET_BUS = 6, OP_BEGIN = 7,
		 OP_END = 8, OP_VERSION = 9, OP_PROPERTIES = 10, OP_SUBCHANNELS = 13 };
enum { MULTI_CHANNEL = 1 };  /* flag in the properties */
enum { SRB_SUCCESS = 1, SRB_ERROR = 4, SRB_SENSE_VALID = 0x80 };
#define STATUS_REVISION_MISMATCH 0xc0000059u
#define STATUS_INVALID_PARAMETER 0xc000000du
#define STATUS_INVALID_REQUEST 0xc0000010u

struct request {
	uint64_t id;
	uint8_t vstor[VSTOR];
	uint64_t words[WORDS];    /* the packet's list outlives the packet */
	struct vmb_packet packet; /* for vmb_packet_read and vmb_packet_write */
};

struct disk {
	struct request queue[DEPTH];
	unsigned queued, seen, deepest; /* seen: so many of those queued at the last look */
	int vanish;               /* image->vanish, as it was when this batch began */
	unsigned long requests, reads, writes, errors;
	uint64_t bytes_read, bytes_written;
	unsigned version;
};

static uint64_t big(const uint8_t *p, unsigned bytes) /* SCSI is big-endian */
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static void put_big(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

static uint32_t little(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_little(uint8_t *p, uint32_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* ---- SCSI. Each command leaves srb status, scsi status and transfer length in the vstor packet. */

static void fail_sense(struct request *q, uint8_t key, uint8_t asc)
{
	uint8_t *srb = q->vstor + SRB;

	srb[2] = SRB_ERROR | SRB_SENSE_VALID;
	srb[3] = 2; /* check condition */
	srb[9] = 18;
	put_little(srb + 12, 0, 4);
	memset(srb + 16, 0, 20);
	srb[16] = 0x70;
	srb[18] = key;
	srb[23] = 10;
	srb[28] = asc;
}

/* Data for the guest, at most what it has room for. */
static void give(struct device *d, struct request *q, const void *data, uint32_t n)
{
	uint32_t room = little(q->vstor + SRB + 12);

	if (n > room)
		n = room;
	if (vmb_packet_write(&q->packet, NULL, d->host->memory, 0, data, n) < 0) {
		fail_sense(q, 5, 0x24);
		return;
	}
	put_little(q->vstor + SRB + 12, n, 4);
}

static void inquiry(struct device *d, struct request *q, int present)
{
	uint8_t data[36] = { 0, 0, 5, 2, 31 };

	if (q->vstor[CDB + 1] & 1) { /* vital product data: none */
		fail_sense(q, 5, 0x24);
		return;
	}
	if (!present) { /* no device, of a kind that need not be asked for its LUNs */
		data[0] = 0x7f;
		data[2] = 0;
	}
	memcpy(data + 8, "libvmbusexample disk    0001", 28);
	give(d, q, data, sizeof data);
}

static void capacity(struct device *d, struct request *q, int wide)
{
	uint8_t data[32] = { 0 };
	uint64_t last = d->image->size / BLOCK - 1;

	put_big(data, wide || last < 0xffffffff ? last : 0xffffffff, wide ? 8 : 4);
	put_big(data + (wide ? 8 : 4), BLOCK, 4);
	give(d, q, data, wide ? 32 : 8);
}

static void transfer(struct device *d, struct request *q, int writing, uint64_t lba, uint64_t blocks)
{
	struct disk *k = d->state;
	struct image *image = d->image;
	uint64_t size = image->size / BLOCK;
	uint32_t bytes = (uint32_t)blocks * BLOCK;
	uint8_t *at;
	int r;

	if (lba > size || blocks > size - lba) {
		fail_sense(q, 5, 0x21); /* out of range */
		return;
	}
	if (blocks > MAX_TRANSFER / BLOCK || bytes > vmb_packet_bytes(&q->packet)) {
		fail_sense(q, 5, 0x24);
		return;
	}
	at = image->bytes + lba * BLOCK;
	pthread_mutex_lock(&image->lock);
	r = writing ? vmb_packet_read(&q->packet, NULL, d->host->memory, 0, at, bytes)
		    : vmb_packet_write(&q->packet, NULL, d->host->memory, 0, at, bytes);
	pthread_mutex_unlock(&image->lock);
	if (r < 0) {
		fail_sense(q, 5, 0x24);
		return;
	}
	*(writing ? &k->writes : &k->reads) += 1;
	*(writing ? &k->bytes_written : &k->bytes_read) += bytes;
	__atomic_fetch_add(writing ? &image->writes : &image->reads, 1, __ATOMIC_RELAXED);
	put_little(q->vstor + SRB + 12, bytes, 4);
}

static void execute(struct device *d, struct request *q)
{
	const struct disk *k = d->state;
	uint8_t *srb = q->vstor + SRB;
	const uint8_t *cdb = q->vstor + CDB;
	static const uint8_t luns[16] = { 0, 0, 0, 8 };
	int present = srb[5] == 0 && srb[6] == 0 && srb[7] == 0;

	srb[2] = SRB_SUCCESS;
	srb[3] = 0;
	if (cdb[0] == 0x12) {
		inquiry(d, q, present);
		return;
	}
	/* not with "invalid LUN": that makes Linux remove this LUN of this target on path 0, whatever the path */
	if (!present || k->vanish) {
		fail_sense(q, 5, 0x25);
		return;
	}
	switch (cdb[0]) {
	case 0x00: /* TEST UNIT READY */
	case 0x35: /* SYNCHRONIZE CACHE: the image is memory */
		put_little(srb + 12, 0, 4);
		break;
	case 0xa0: /* REPORT LUNS */
		give(d, q, luns, sizeof luns);
		break;
	case 0x25: /* READ CAPACITY (10) */
		capacity(d, q, 0);
		break;
	case 0x9e: /* SERVICE ACTION IN: READ CAPACITY (16) */
		if ((cdb[1] & 0x1f) == 0x10)
			capacity(d, q, 1);
		else
			fail_sense(q, 5, 0x24);
		break;
	case 0x28: /* READ, WRITE (10) */
	case 0x2a:
		transfer(d, q, cdb[0] == 0x2a, big(cdb + 2, 4), big(cdb + 7, 2));
		break;
	case 0x88: /* READ, WRITE (16) */
	case 0x8a:
		transfer(d, q, cdb[0] == 0x8a, big(cdb + 2, 8), big(cdb + 10, 4));
		break;
	default:
		fail_sense(q, 5, 0x20); /* no such command */
	}
}

/* ---- vstor packets */

static void answer_properties(const struct device *d, uint8_t *vstor)
{
	memset(vstor + SRB, 0, VSTOR - SRB);
	put_little(vstor + SRB + 4, d->sub != NULL, 2); /* at most */
	put_little(vstor + SRB + 8, d->sub ? MULTI_CHANNEL : 0, 4);
	put_little(vstor + SRB + 12, MAX_TRANSFER, 4);
}

/* The guest wants so many subchannels. They serve requests like the primary channel, for the same disk. */
static uint32_t offer_subchannels(struct device *d, uint32_t count)
{
	int r;

	if (!d->sub || count > 1)
		return STATUS_INVALID_PARAMETER;
	if (!count)
		return 0;
	pthread_mutex_lock(&d->host->control);
	r = device_offer(d->sub);
	pthread_mutex_unlock(&d->host->control);
	return r < 0 ? STATUS_INVALID_REQUEST : 0;
}

static void run(struct device *d, struct request *q)
{
	struct disk *k = d->state;
	uint32_t status = 0, version;

	switch (little(q->vstor)) {
	case OP_BEGIN:
	case OP_END:
	case OP_RESET_LUN:
	case OP_RESET_ADAPTER:
	case OP_RESET_BUS:
		break;
	case OP_VERSION:
		version = little(q->vstor + SRB) & 0xffff;
		if (version == 0x0602 || version == 0x0600 || version == 0x0501)
			k->version = version;
		else
			status = STATUS_REVISION_MISMATCH;
		break;
	case OP_PROPERTIES:
		answer_properties(d, q->vstor);
		break;
	case OP_SUBCHANNELS:
		status = offer_subchannels(d, little(q->vstor + SRB) & 0xffff);
		break;
	case OP_EXECUTE:
		k->requests++;
		__atomic_fetch_add(&d->requests, 1, __ATOMIC_RELAXED);
		execute(d, q);
		k->errors += q->vstor[SRB + 2] != SRB_SUCCESS;
		break;
	default:
		status = STATUS_INVALID_REQUEST;
	}
	put_little(q->vstor, OP_COMPLETE, 4);
	put_little(q->vstor + 8, status, 4);
}

/* Answer all that was collected. */
static int answer_all(struct device *d)
{
	struct disk *k = d->state;
	struct image *image = d->image;
	unsigned long errors = k->errors;
	int r = 0;

	k->vanish = (int)__atomic_load_n(&image->vanish, __ATOMIC_ACQUIRE);
	if (k->queued > k->deepest)
		k->deepest = k->queued;
	for (unsigned i = 0; i < k->queued && r >= 0; i++) {
		struct request *q = &k->queue[i];
		struct vmb_packet answer = { .kind = VMB_PKT_COMPLETION, .id = q->id, .payload = q->vstor, .len = VSTOR };

		run(d, q);
		r = device_send(d, &answer);
	}
	if (r >= 0)
		r = vmb_channel_flush(d->ch);
	if (r < 0)
		return r;
	__atomic_fetch_sub(&image->in_flight, k->queued, __ATOMIC_RELEASE);
	k->queued = k->seen = 0;
	if (!k->vanish)
		return 0;
	__atomic_fetch_add(&image->failed, (unsigned)(k->errors - errors), __ATOMIC_RELEASE);
	return VMB_YES; /* to settle */
}

/* All requests have an error now. Has the guest read them? No signal tells: look again until it has. */
static int settle(struct device *d)
{
	struct vmb_channel_info info = { .size = sizeof info };

	if (vmb_channel_info(d->ch, &info) == 0 && info.tx.in == info.tx.out) {
		__atomic_store_n(&d->image->settled, __atomic_load_n(&d->image->failed, __ATOMIC_RELAXED), __ATOMIC_RELEASE);
		return 0;
	}
	nanosleep(&(struct timespec){ 0, SETTLE_NS }, NULL);
	return VMB_YES;
}

static int storvsp_drained(struct device *d)
{
	struct disk *k = d->state;
	unsigned us = __atomic_load_n(&d->image->latency_us, __ATOMIC_RELAXED);

	if (!k->queued && k->vanish && __atomic_load_n(&d->image->failed, __ATOMIC_RELAXED))
		return settle(d);
	if (!k->queued)
		return 0;
	if (__atomic_load_n(&d->image->hold, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&d->image->held, k->queued, __ATOMIC_RELEASE);
		return 0;
	}
	/* a disk takes its time, and more requests come meanwhile: let serve.c look once more, until no more come */
	if (k->queued > k->seen && k->queued < DEPTH && us && !__atomic_load_n(&d->image->vanish, __ATOMIC_ACQUIRE)) {
		k->seen = k->queued;
		nanosleep(&(struct timespec){ 0, us * 1000 }, NULL);
		return VMB_YES;
	}
	return answer_all(d);
}

static int storvsp_packet(struct device *d, const struct vmb_packet *p)
{
	struct disk *k = d->state;
	struct request *q = &k->queue[k->queued];

	if (!(p->flags & VMB_PKT_WANTS_REPLY) || p->list.count > WORDS)
		return 0; /* nothing that we could answer */
	memset(q->vstor, 0, VSTOR);
	memcpy(q->vstor, p->payload, p->len < VSTOR ? p->len : VSTOR); /* old guests send 48 bytes */
	q->id = p->id;
	q->packet = *p;
	q->packet.payload = NULL;
	q->packet.list.words = q->words;
	if (p->list.count)
		memcpy(q->words, p->list.words, p->list.count * sizeof *q->words);
	k->queued++;
	__atomic_fetch_add(&d->image->in_flight, 1, __ATOMIC_RELEASE);
	return k->queued < DEPTH ? 0 : answer_all(d);
}

static int storvsp_open(struct device *d)
{
	(void)d; /* the guest speaks first */
	return 0;
}

/* Requests that the last process had taken are here, for it left no answer. */
static void storvsp_resumed(struct device *d)
{
	struct disk *k = d->state;

	for (unsigned i = 0; i < k->queued; i++)
		k->queue[i].packet.list.words = k->queue[i].words;
	__atomic_fetch_add(&d->image->in_flight, k->queued, __ATOMIC_RELEASE);
}

static void storvsp_close(struct device *d)
{
	const struct disk *k = d->state;

	__atomic_fetch_sub(&d->image->in_flight, k->queued, __ATOMIC_RELEASE);
	__atomic_fetch_add(&d->image->cut, k->queued, __ATOMIC_RELAXED);
	d->measure = k->deepest;
	d->content = k->version != 0 || d->subchannel; /* which is not negotiated */
	snprintf(d->result, sizeof d->result,
		 "version=%u.%u requests=%lu reads=%lu writes=%lu read=%llu written=%llu errors=%lu in_flight=%u",
		 k->version >> 8, k->version & 0xff, k->requests, k->reads, k->writes, (unsigned long long)k->bytes_read,
		 (unsigned long long)k->bytes_written, k->errors, k->deepest);
}

const struct device_ops dev_storvsp = {
	.name = "storvsp", .class_id = VMB_CLASS_SCSI, .offer_flags = 0, .state_bytes = sizeof(struct disk),
	.open = storvsp_open, .packet = storvsp_packet, .drained = storvsp_drained, .resumed = storvsp_resumed, .close = storvsp_close,
};

/* The same under another name: Linux looks for one disk there, not for sixteen. devices.md 8.7 */
const struct device_ops dev_ide = {
	.name = "ide", .class_id = VMB_CLASS_IDE, .offer_flags = 0, .state_bytes = sizeof(struct disk),
	.open = storvsp_open, .packet = storvsp_packet, .drained = storvsp_drained, .resumed = storvsp_resumed, .close = storvsp_close,
};
