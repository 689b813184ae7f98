/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Packets, the same for both sides. Each says its number and its length, so whoever receives knows which one should come and each byte of it.
 * Nobody looks into a ring again before it was woken: if a wake is missing, what was sent never arrives, and the end of the input notices.
 */
#include "both.h"

#define DATA_MAX 1600u
#define DATA_REPLY 0x80000000u /* in the number: a completion */

static uint8_t data_at(uint32_t number, uint32_t i)
{
	return (uint8_t)(number * 7 + i * 13);
}

static void data_fill(uint8_t *p, uint32_t number, uint32_t len)
{
	for (uint32_t i = 0; i < 4; i++) {
		p[i] = (uint8_t)(number >> (8 * i));
		p[4 + i] = (uint8_t)(len >> (8 * i));
	}
	for (uint32_t i = 8; i < len; i++)
		p[i] = data_at(number, i);
}

/* The number of a packet, whose bytes are all as they were sent. */
static uint32_t data_number(const struct vmb_packet *p, int exact)
{
	const uint8_t *at = p->payload;
	uint32_t number, len;

	fuzz_need(p->len >= 8);
	number = fuzz_get32(at);
	len = fuzz_get32(at + 4);
	fuzz_need(exact ? p->len == len : p->len == (len + 7) / 8 * 8);
	for (uint32_t i = 8; i < len; i++)
		fuzz_need(at[i] == data_at(number, i));
	return number;
}

static struct both_flow *data_out(const struct both_side *side)
{
	return &both.line[side->line].flow[side->host];
}

static struct both_flow *data_in(const struct both_side *side)
{
	return &both.line[side->line].flow[!side->host];
}

/* What every data call may say: nothing is ever the peer's fault. */
static int data_result(struct both_side *side, int r)
{
	if (r > 0 && r & VMB_SIGNAL) {
		fuzz_need(!vmb_channel_signal(side->ch));
		r &= ~VMB_SIGNAL;
	}
	fuzz_need(r >= 0 || VMB_GROUP(r) == VMB_GROUP_INFO);
	if (r == VMB_ESTOPPED)
		side->stopped = 1;
	else
		fuzz_need(!side->stopped || r < 0); /* for good */
	if (r == VMB_EFULL)
		side->full = 1;
	return r;
}

static unsigned data_slot(const uint32_t *asked, uint32_t number)
{
	unsigned i = 0;

	while (i < BOTH_ASKED && asked[i] != number)
		i++;
	return i;
}

/* ---- sending */

static int data_put(struct both_side *side, struct vmb_packet *p, int flush)
{
	if (side->full && !both.deaf && !side->polled)
		return VMB_EFULL; /* a wake will come */
	return data_result(side, flush ? vmb_channel_send(side->ch, p) : vmb_channel_put(side->ch, p));
}

void both_data_send(struct both_side *side, const struct fuzz_step *s)
{
	uint64_t words[4] = { VMB_RANGE(2 * VMB_PAGE, 0), BOTH_LIST_PAGE, BOTH_LIST_PAGE + 1 };
	struct both_flow *flow = data_out(side);
	uint8_t payload[DATA_MAX];
	int r = 0;

	for (unsigned n = 1 + s->b % 8u; side->ch && n && !r; n--) {
		uint32_t number = flow->sent + 1, len = 8 + (s->v + number * 57) % (s->v & 0x100 ? DATA_MAX - 8 : 64);
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .len = len, .payload = payload, .user = number };
		unsigned slot = data_slot(flow->asked, 0);

		if (s->v & 1 && slot < BOTH_ASKED)
			p.flags = VMB_PKT_WANTS_REPLY;
		if (s->v & 2 && !side->host) {
			p.kind = VMB_PKT_GPA;
			p.list = (struct vmb_list){ words, 3, 1 };
		}
		data_fill(payload, number, len);
		r = data_put(side, &p, !(s->v & 4));
		fuzz_need(r <= 0);
		if (r)
			break;
		flow->sent = number;
		if (p.flags)
			flow->asked[slot] = number;
	}
}

void both_data_complete(struct both_side *side, unsigned which)
{
	struct both_flow *flow = data_in(side);
	uint8_t payload[64];
	struct vmb_packet p = { .kind = VMB_PKT_COMPLETION, .payload = payload };

	which %= BOTH_ASKED;
	if (!side->ch || !flow->todo[which].number)
		return;
	p.id = flow->todo[which].id;
	p.len = 8 + flow->todo[which].number % 5 * 8;
	data_fill(payload, flow->todo[which].number | DATA_REPLY, p.len);
	if (!data_put(side, &p, 1))
		flow->todo[which].number = 0;
}

void both_data_cancel(struct both_side *side)
{
	uint64_t id, user, back;
	uint32_t cursor = 0, flags;
	int r;

	if (!side->ch || vmb_channel_outstanding(side->ch, &cursor, &id, &user, &flags) != VMB_YES)
		return;
	r = vmb_channel_cancel(side->ch, id, &back);
	fuzz_need(r == (flags & VMB_PKT_LATE ? VMB_ENOENT : 0) && (r || back == user));
}

void both_data_quiet(struct both_side *side)
{
	if (!side->ch)
		return;
	(void)data_result(side, vmb_channel_flush(side->ch));
	(void)data_result(side, vmb_channel_release(side->ch));
}

/* ---- receiving */

static void data_completed(struct both_side *side, const struct vmb_packet *p)
{
	struct both_flow *flow = data_out(side);
	uint32_t number = data_number(p, 0);
	unsigned slot = data_slot(flow->asked, number & ~DATA_REPLY);

	fuzz_need(number & DATA_REPLY && (number & ~DATA_REPLY) && slot < BOTH_ASKED); /* of a request, once */
	fuzz_need(p->flags & VMB_PKT_LATE || p->user == (number & ~DATA_REPLY));
	flow->asked[slot] = 0;
}

static void data_received(struct both_side *side, const struct vmb_packet *p)
{
	struct both_flow *flow = data_in(side);
	unsigned slot = 0;

	if (p->kind == VMB_PKT_COMPLETION) {
		data_completed(side, p);
		return;
	}
	fuzz_need(p->kind == VMB_PKT_INBAND || (p->kind == VMB_PKT_GPA && side->host));
	fuzz_need(data_number(p, both.line[side->line].pipe && p->kind == VMB_PKT_INBAND) == ++flow->got);
	if (p->kind == VMB_PKT_GPA)
		fuzz_need(p->list.count == 3 && p->list.words[1] == BOTH_LIST_PAGE && vmb_packet_bytes(p) == 2 * VMB_PAGE);
	if (!(p->flags & VMB_PKT_WANTS_REPLY))
		return;
	while (flow->todo[slot].number)
		fuzz_need(++slot < BOTH_ASKED);
	flow->todo[slot].id = p->id;
	flow->todo[slot].number = flow->got;
}

/* 1: there was one. */
static int data_recv_one(struct both_side *side)
{
	uint8_t buf[2048] __attribute__((aligned(8)));
	struct vmb_packet p;
	int r;

	side->look = 0; /* after 0 somebody wakes us */
	r = data_result(side, vmb_channel_recv(side->ch, buf, sizeof buf, &p));
	if (r == VMB_YES) {
		side->look = 1;
		data_received(side, &p);
		return 1;
	}
	fuzz_need(r == 0 || r == VMB_ESTOPPED);
	return 0;
}

void both_data_recv(struct both_side *side, unsigned n)
{
	while (n-- && side->ch && data_recv_one(side))
		;
}

/* What an owner does when there is time: honest ones wait for a wake. */
int both_data_work(struct both_side *side)
{
	const struct both_flow *in = data_in(side);
	int did = 0;

	if (!side->ch || side->stopped)
		return 0;
	while ((side->look || side->polled || both.deaf) && data_recv_one(side))
		did = 1;
	for (unsigned i = 0; i < BOTH_ASKED; i++) {
		uint32_t owed = in->todo[i].number;

		both_data_complete(side, i);
		did |= owed != in->todo[i].number;
	}
	(void)data_result(side, vmb_channel_flush(side->ch));
	return did;
}

/* ---- objects that follow each other */

void both_data_remember(struct both_side *side)
{
	uint32_t cursor = 0;

	if (!side->ch)
		return; /* what an object before it has left is still owed */
	side->keeps = 0;
	while (side->keeps < BOTH_ASKED &&
	       vmb_channel_outstanding(side->ch, &cursor, &side->kept[side->keeps].id, &side->kept[side->keeps].user, NULL) == VMB_YES)
		side->keeps++;
}

void both_data_adopt(struct both_side *side)
{
	for (unsigned i = 0; i < side->keeps; i++)
		fuzz_need(!vmb_channel_adopt(side->ch, side->kept[i].id, side->kept[i].user));
	side->keeps = 0;
}

void both_data_info(const struct both_side *side)
{
	struct vmb_channel_info info = { .size = sizeof info };

	if (!side->ch)
		return;
	fuzz_need(!vmb_channel_info(side->ch, &info) && info.error != VMB_EPEER && !info.reason && info.requests <= BOTH_ASKED);
	fuzz_need(info.zombies <= info.requests && info.late <= info.cancelled);
}

/* Both sides have the channel, and are quiet: all is there, once. */
void both_data_done(const struct both_line *line)
{
	for (unsigned i = 0; i < 2; i++) {
		fuzz_need(line->flow[i].got == line->flow[i].sent);
		for (unsigned k = 0; k < BOTH_ASKED; k++)
			fuzz_need(!line->flow[i].asked[k] && !line->flow[i].todo[k].number);
	}
}
