/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The host, seen from the guest: it keeps what it was given, and answers it, or says whatever the input wants. What it has let go of is known
 * from what it has said, be it true or not: more a guest cannot know.
 */
#include "guest.h"

/* ---- what was given to it */

struct peer_list *guest_peer_list(uint32_t id)
{
	for (unsigned i = guest.lists; i; i--) /* the newest of that id */
		if (guest.list[i - 1].id == id)
			return &guest.list[i - 1];
	return NULL;
}

struct peer_list *guest_peer_ring(unsigned ring)
{
	for (unsigned i = guest.lists; i; i--)
		if (guest.list[i - 1].ring == (int)ring + 1)
			return &guest.list[i - 1];
	return NULL;
}

int guest_peer_let_go(const struct peer_list *l)
{
	return !l || l->refused || l->torn || l->rescinded;
}

static struct peer_channel *peer_channel(uint32_t id)
{
	return id < GUEST_IDS ? &guest.peer[id] : NULL;
}

static void peer_ask(uint32_t type, uint32_t a, uint32_t b)
{
	if (guest.asked - guest.answered < GUEST_QUESTIONS)
		guest.question[guest.asked++ % GUEST_QUESTIONS] = (struct peer_question){ type, a, b };
}

static uint64_t peer_get64(const uint8_t *p)
{
	return fuzz_get32(p) | (uint64_t)fuzz_get32(p + 4) << 32;
}

/* A header, first or repeated. Rings are known by their page numbers. */
static void peer_header(const uint8_t *msg, uint32_t len)
{
	uint32_t id = fuzz_get32(msg + 12);
	struct peer_list *l = guest_peer_list(id);
	uint64_t pfn;

	fuzz_need(id && len >= 36 && fuzz_get32(msg + 8));
	if (l && !l->got)
		l = NULL;
	if (l && !guest_peer_let_go(l))
		return; /* posted twice */
	if (guest.lists == GUEST_LISTS * 2)
		return;
	l = &guest.list[guest.lists++];
	pfn = peer_get64(msg + 28);
	*l = (struct peer_list){ .id = id, .channel = fuzz_get32(msg + 8), .words = (fuzz_get32(msg + 16) & 0xffff) / 8, .got = (len - 20) / 8 };
	if (pfn < GUEST_LIST_PFN)
		l->ring = 1 + (int)((pfn - GUEST_RING_PFN) / GUEST_RING_PAGES);
	fuzz_need(l->got <= l->words);
	if (l->got == l->words)
		peer_ask(8, l->channel, id);
}

static void peer_body(const uint8_t *msg, uint32_t len)
{
	struct peer_list *l = guest_peer_list(fuzz_get32(msg + 12));

	if (!l || l->got >= l->words)
		return;
	l->got += (len - 16) / 8;
	if (l->got >= l->words)
		peer_ask(8, l->channel, l->id);
}

static void peer_teardown(const uint8_t *msg)
{
	struct peer_list *l = guest_peer_list(fuzz_get32(msg + 12));

	if (l)
		l->teardown = 1;
	peer_ask(11, fuzz_get32(msg + 8), fuzz_get32(msg + 12)); /* it may have said that there is such a list */
}

static void peer_open(const uint8_t *msg)
{
	struct peer_channel *c = peer_channel(fuzz_get32(msg + 8));
	struct peer_list *l = guest_peer_list(fuzz_get32(msg + 16));

	fuzz_need(!l || l->created); /* its list is there */
	peer_ask(5, fuzz_get32(msg + 8), fuzz_get32(msg + 12));
	if (!c)
		return;
	c->open_id = fuzz_get32(msg + 12);
	c->asked = 1;
	c->yes = c->reserved = 0;
}

static void peer_open_reserved(const uint8_t *msg)
{
	struct peer_channel *c = peer_channel(fuzz_get32(msg + 8));
	struct peer_list *l = guest_peer_list(fuzz_get32(msg + 20));

	fuzz_need(!l || l->created);
	peer_ask(5, fuzz_get32(msg + 8), 0);
	if (c)
		*c = (struct peer_channel){ .asked = 1, .reserved = 1 };
}

static void peer_forget_all(void)
{
	for (unsigned i = 0; i < GUEST_IDS; i++)
		if (!guest.peer[i].reserved) /* those outlive the connection */
			memset(&guest.peer[i], 0, sizeof guest.peer[i]);
	for (unsigned i = 0; i < guest.lists; i++)
		guest.list[i].torn = 1;
}

static uint8_t peer_socket[32]; /* that was asked for last */

static void peer_heard(const uint8_t *msg, uint32_t len)
{
	uint32_t type = fuzz_get32(msg), first = len >= 12 ? fuzz_get32(msg + 8) : 0;
	struct peer_channel *c = peer_channel(first);

	switch (type) {
	case 14:
		guest.version = first;
		peer_forget_all();
		guest.answered = guest.asked; /* to the connection before nobody answers */
		peer_ask(14, first, 0);
		break;
	case 3: peer_ask(3, 0, 0); break;
	case 5: peer_open(msg); break;
	case 7:
		if (c)
			c->open = 0;
		break;
	case 8: peer_header(msg, len); break;
	case 9: peer_body(msg, len); break;
	case 11: peer_teardown(msg); break;
	case 13:
		if (c)
			memset(c, 0, sizeof *c);
		break;
	case 16: peer_ask(16, 0, 0); break;
	case 22:
		if (guest.version >= VMB_V5_3)
			peer_ask(22, first, 0);
		break;
	case 18: peer_open_reserved(msg); break;
	case 19:
		if (c)
			c->open = 0;
		peer_ask(19, first, 0);
		break;
	case 21:
		memcpy(peer_socket, msg + 8, 32);
		peer_ask(21, 0, 0);
		break;
	case 25: case 27: peer_ask(type, 0, 0); break;
	case 29: break;
	default: fuzz_need(type == 3); /* nothing else is ever said */
	}
}

int guest_peer_post(uint32_t connection, const uint8_t *msg, uint32_t len)
{
	int fails = !guest.fail_after && guest.fail_count;

	fuzz_trace("\tpost %u on %u, %u bytes%s\n", fuzz_get32(msg), connection, len, fails ? ": fails" : "");
	fuzz_need(!vmb_message_check(msg, len, VMB_V6_0, 0, 1) || !vmb_message_check(msg, len, VMB_V6_0, guest.cfg.features, 1));
	fuzz_need(!fuzz_get32(msg + 4));
	if (guest.fail_after)
		guest.fail_after--;
	if (!fails || guest.fail_arrived)
		peer_heard(msg, len);
	else if (guest.fail_status == VMB_HV_TIMEOUT && fuzz_get32(msg) == 11)
		peer_teardown(msg); /* for all that the guest knows, it has arrived */
	if (fails)
		guest.fail_count--;
	return fails ? guest.fail_status : VMB_HV_SUCCESS;
}

/* ---- what it says */

static void peer_rescinds(uint32_t id)
{
	struct peer_channel *c = peer_channel(id);

	if (c) {
		c->rescinded = 1;
		c->open = c->asked = 0;
	}
	for (unsigned i = 0; i < guest.lists; i++)
		if (guest.list[i].channel == id)
			guest.list[i].rescinded = 1;
}

/* What follows from words of its that the guest may believe. */
static void peer_said(const uint8_t *msg, uint32_t len)
{
	uint32_t type = len >= 4 ? fuzz_get32(msg) : 0, a = len >= 12 ? fuzz_get32(msg + 8) : 0, b = len >= 16 ? fuzz_get32(msg + 12) : 0;
	uint32_t status = len >= 20 ? fuzz_get32(msg + 16) : 0;
	struct peer_channel *c = peer_channel(a);
	struct peer_list *l;

	switch (type) {
	case 2:
		peer_rescinds(a);
		break;
	case 6:
		if (c && c->open_id == b && len >= 20) {
			c->open = c->open || (!status && c->asked);
			c->yes = c->yes || !status;
			c->asked = 0;
		}
		break;
	case 10:
		l = guest_peer_list(b);
		if (l && status)
			l->refused = 1;
		else if (l)
			l->created = 1;
		break;
	case 12:
		l = guest_peer_list(a);
		if (l && l->teardown)
			l->torn = 1;
		break;
	case 17: /* it has let go of everything; if it was asked or not, the guest must judge */
		for (unsigned i = 0; i < GUEST_IDS; i++)
			guest.peer[i].open = guest.peer[i].asked = 0;
		for (unsigned i = 0; i < guest.lists; i++)
			guest.list[i].torn = 1;
		break;
	}
}

/* Through the slot and its interrupt, or as a payload. */
static void peer_say(const uint8_t *msg, uint32_t len, int by_slot)
{
	uint8_t slot[256] __attribute__((aligned(256))), flags[256] __attribute__((aligned(256)));
	uint8_t *exact = fuzz_alloc(8, len);
	int r;

	fuzz_trace("\tsay %u (%u %u), %u bytes\n", len >= 4 ? fuzz_get32(msg) : 0, len >= 12 ? fuzz_get32(msg + 8) : 0,
		   len >= 16 ? fuzz_get32(msg + 12) : 0, len);
	memcpy(exact, msg, len);
	if (by_slot && len <= VMB_MESSAGE_MAX) {
		memset(slot, 0, sizeof slot);
		memset(flags, 0, sizeof flags);
		fuzz_need(!vmb_synic_post(slot, exact, len));
		if (by_slot == 2)
			fuzz_need(vmb_synic_post(slot, exact, len) == VMB_EAGAIN);
		fuzz_need(vmb_guest_interrupt(guest.g, flags, slot) == VMB_YES);
		peer_said(exact, len); /* the guest hears it only now: others may have gone on before */
		GUEST_CALL(r, vmb_guest_slot(guest.g, slot));
		fuzz_need(r == (by_slot == 2 ? VMB_YES | VMB_EOM : VMB_YES) && !fuzz_get32(slot));
	} else {
		peer_said(exact, len);
		GUEST_CALL(r, vmb_guest_message(guest.g, exact, len));
		fuzz_need(!r);
	}
	free(exact);
}

static void peer_words(uint32_t type, uint32_t n, uint32_t a, uint32_t b, uint32_t c, int by_slot)
{
	uint32_t words[] = { type, 0, a, b, c };
	uint8_t msg[20];

	for (uint32_t i = 0; i < sizeof msg; i++)
		msg[i] = (uint8_t)(words[i / 4] >> (i % 4 * 8));
	peer_say(msg, 8 + 4 * n, by_slot);
}

static void peer_version(uint32_t version, int supported, uint32_t state, int by_slot)
{
	uint32_t features = supported && version >= VMB_V6_0 ? guest.cfg.features & ~guest.denied : 0;
	uint8_t msg[40];
	int len = vmb_message_init(msg, sizeof msg, 15, supported && version >= VMB_V6_0 ? VMB_V6_0 : VMB_V5_0, features);

	(void)vmb_message_set(msg, (uint32_t)len, VMB_V6_0, features, "supported_features", features);
	(void)vmb_message_set(msg, (uint32_t)len, VMB_V6_0, features, "child_to_parent_page", guest.denied & 1 ? 0x100000 : 0x601000);

	msg[8] = (uint8_t)supported;
	msg[9] = (uint8_t)state;
	msg[12] = (uint8_t)(version >= VMB_V5_0 ? 4 : version);
	if (version < VMB_V5_0) {
		msg[13] = (uint8_t)(version >> 8);
		msg[14] = (uint8_t)(version >> 16);
	}
	peer_say(msg, (uint32_t)len, by_slot);
}

/* Of a socket: no, or an offer of a channel. */
static void peer_socket_result(uint32_t status, int by_slot)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	struct vmb_hvsock socket = { .flags = status >> 8 & 7 };
	struct vmb_offer offer = { .size = sizeof offer };
	uint32_t len = (uint32_t)vmb_message_init(msg, sizeof msg, status >> 31 ? 23 : 1, VMB_V6_0, 0), id = 20 + guest.asked % 8;

	memcpy(&socket, peer_socket, 32);
	if (status >> 31) {
		memcpy(msg + 8, peer_socket, 32);
		(void)vmb_message_set(msg, len, VMB_V6_0, 0, "status", status);
	} else {
		fuzz_need(!vmb_hvsock_offer(&socket, &offer));
		memcpy(msg + 8, &offer.class_id, 16);
		memcpy(msg + 24, &offer.instance, 16);
		memcpy(msg + 60, offer.user_defined, 120);
		(void)vmb_message_set(msg, len, 0, 0, "flags", offer.flags);
		(void)vmb_message_set(msg, len, 0, 0, "channel_id", id);
		(void)vmb_message_set(msg, len, 0, 0, "is_dedicated", 1);
		(void)vmb_message_set(msg, len, 0, 0, "connection_id", 0x2000 + id);
	}
	peer_say(msg, len, by_slot);
}

/* An answer to the oldest question, or to another one. */
static void peer_answer(const struct peer_question *q, uint32_t status, int by_slot)
{
	switch (q->type) {
	case 14: peer_version(q->a, !status, 0, by_slot); break;
	case 3: peer_words(4, 0, 0, 0, 0, by_slot); break;
	case 5: peer_words(6, 3, q->a, q->b, status, by_slot); break;
	case 8: peer_words(10, 3, q->a, q->b, status, by_slot); break;
	case 11: peer_words(12, 1, q->b, 0, 0, by_slot); break;
	case 22: peer_words(24, 2, q->a, status, 0, by_slot); break;
	case 19: peer_words(20, 1, q->a, 0, 0, by_slot); break;
	case 21: peer_socket_result(status, by_slot); break;
	case 25: peer_words(26, 1, status ? 2 : 0, 0, 0, by_slot); break;
	case 27: peer_words(28, 0, 0, 0, 0, by_slot); break;
	default: peer_words(17, 0, 0, 0, 0, by_slot); break;
	}
}

static void peer_answer_next(uint32_t n, uint32_t status, int by_slot)
{
	while (n-- && guest.answered != guest.asked)
		peer_answer(&guest.question[guest.answered++ % GUEST_QUESTIONS], status, by_slot);
}

void guest_peer_answer_all(int status)
{
	peer_answer_next(GUEST_QUESTIONS, status ? 0x8000ffffu : 0, 0);
	/* And once more what was answered before and perhaps dropped. */
	for (unsigned i = 0; i < GUEST_IDS; i++)
		if (guest.peer[i].open_id || guest.peer[i].asked)
			peer_words(6, 3, i, guest.peer[i].open_id, 0x8000ffffu, 0);
	for (unsigned i = 0; i < guest.lists; i++) {
		if (guest.list[i].got >= guest.list[i].words && !guest.list[i].created)
			peer_words(10, 3, guest.list[i].channel, guest.list[i].id, 0x8000ffffu, 0);
		if (guest.list[i].teardown)
			peer_words(12, 1, guest.list[i].id, 0, 0, 0);
	}
	for (unsigned i = 0; i < guest.channels; i++)
		if (guest.channel[i].targeting)
			peer_words(24, 2, guest.channel[i].id, 0, 0, 0);
	for (unsigned i = 0; i < GUEST_IDS; i++)
		peer_words(20, 1, i, 0, 0, 0);
	peer_words(17, 0, 0, 0, 0, 0);
}

/* Answers that nobody may have asked for. */
void guest_peer_more(const struct fuzz_step *s)
{
	int by_slot = s->c % 3;

	switch (s->op & 15) {
	case 9: peer_words(28, 0, 0, 0, 0, by_slot); break;
	case 10: peer_words(26, 1, s->v, 0, 0, by_slot); break;
	case 11: peer_words(20, 1, 1 + s->a % 11, 0, 0, by_slot); break;
	case 12: peer_socket_result(s->v, by_slot); break;
	default: guest.denied = s->v; break; /* of features, from the next contact on */
	}
}

static void peer_offer(const struct fuzz_step *s)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	int len = vmb_message_init(msg, sizeof msg, 1, s->c & 1 ? VMB_V0_13 : VMB_V6_0, 0);
	uint32_t id = s->a < 240 ? 1 + s->a % 10u : s->v;

	msg[8] = s->b & 1;
	msg[24] = (uint8_t)(s->v % 7);
	(void)vmb_message_set(msg, (uint32_t)len, 0, 0, "channel_id", id);
	(void)vmb_message_set(msg, (uint32_t)len, 0, 0, "subchannel_index", s->b & 2 ? 1 + s->b / 64u : 0);
	(void)vmb_message_set(msg, (uint32_t)len, 0, 0, "flags", s->b & 4 ? 0x10 : s->b & 8 ? s->v & 0xffff : 1);
	(void)vmb_message_set(msg, (uint32_t)len, 0, 0, "monitor_id", s->b & 0x10 ? s->v & 0xff : 5);
	(void)vmb_message_set(msg, (uint32_t)len, 0, 0, "monitor_allocated", s->b >> 5 & 1);
	(void)vmb_message_set(msg, (uint32_t)len, 0, 0, "is_dedicated", s->c >> 1 & 1);
	(void)vmb_message_set(msg, (uint32_t)len, 0, 0, "connection_id", 0x2000 + id);
	peer_say(msg, (uint32_t)len, s->c >> 2 & 1);
}

static uint32_t peer_some_list(uint32_t n)
{
	return guest.lists && n < 240 ? guest.list[n % guest.lists].id : 0xe1e10u + n % 16;
}

/* ---- drafts */

static void peer_draft_set(const struct fuzz_step *s)
{
	uint64_t value = s->b % 4 == 0 ? s->v % 11 : s->b % 4 == 1 ? peer_some_list(s->v & 0xff) : s->v;
	struct vmb_field f;

	if (vmb_message_field(guest.draft, guest.draft_len, 0, 0xff, s->a, &f) != VMB_YES)
		return;
	fuzz_need(f.offset <= guest.draft_len && f.bytes <= guest.draft_len - f.offset);
	for (uint32_t i = 0; i < f.bytes && i < 8; i++)
		guest.draft[f.offset + i] = (uint8_t)(value >> (8 * i));
}

static void peer_draft_bytes(uint32_t n)
{
	struct fuzz_step s;

	guest.draft_len = 0;
	while (n-- && guest.draft_len + FUZZ_STEP <= VMB_MESSAGE_MAX && fuzz_next(&guest.in, &s)) {
		memcpy(guest.draft + guest.draft_len, guest.in.at - FUZZ_STEP, FUZZ_STEP);
		guest.draft_len += FUZZ_STEP;
	}
}

/* A slot of any content. */
static void peer_slot(const struct fuzz_step *s)
{
	uint8_t slot[256] __attribute__((aligned(256))), flags[256] __attribute__((aligned(256)));
	int r;

	memcpy(slot + 16, guest.draft, VMB_MESSAGE_MAX);
	memset(slot, 0, 16);
	slot[0] = s->a & 1 ? 1 : s->b;
	slot[4] = s->c;
	slot[5] = s->a >> 1 & 1;
	memset(flags, 0, sizeof flags);
	flags[s->v % 8] = (uint8_t)(s->v >> 8);
	flags[(s->v >> 16) & 255] = (uint8_t)(s->v >> 24);
	r = vmb_guest_interrupt(guest.g, flags, slot);
	fuzz_need(r == (slot[0] ? VMB_YES : 0));
	if (s->a & 4) { /* the host writes into it once more, at some time */
		memset(slot + 16, 0, 8);
		slot[16] = 4;
		guest.slot = slot;
		guest.slot_after = 1 + s->b % 4;
	} else if (slot[0] == 1) {
		peer_said(slot + 16, slot[4] <= VMB_MESSAGE_MAX ? slot[4] : 0);
	}
	GUEST_CALL(r, vmb_guest_slot(guest.g, slot));
	guest.slot_after = 0;
	fuzz_need(r == 0 || r == VMB_EFOREIGN || (r & VMB_YES && !(r & ~(VMB_YES | VMB_EOM))));
}

void guest_peer_step(const struct fuzz_step *s)
{
	static const uint32_t types[] = { 1, 2, 4, 6, 10, 12, 15, 17, 20, 23, 24, 26, 28, 3, 14, 29 };
	uint32_t status = s->c & 8 ? s->v | 1 : 0;
	int by_slot = s->c % 3;

	switch (s->op % 16) {
	case 0: case 1: case 2: peer_answer_next(1 + s->a % 4, s->b & 1 ? 0x8000ffffu : 0, by_slot); break;
	case 3: case 4: peer_offer(s); break;
	case 5: peer_words(2, 1, 1 + s->a % 11, 0, 0, by_slot); break;
	case 6: peer_words(10, 3, 1 + s->a % 11, peer_some_list(s->b), status, by_slot); break;
	case 7: peer_words(12, 1, peer_some_list(s->b), 0, 0, by_slot); break;
	case 8: peer_words(6, 3, 1 + s->a % 11, s->b & 1 ? s->v : guest.peer[1 + s->a % 11].open_id, status, by_slot); break;
	case 9: peer_words(24, 2, 1 + s->a % 11, status, 0, by_slot); break;
	case 10: peer_version(s->v & 1 ? guest.version : s->v, s->a & 1, s->b % 4, by_slot); break;
	case 11: {
		int len = vmb_message_init(guest.draft, VMB_MESSAGE_MAX, types[s->a % 16], VMB_V6_0, 0xff);

		guest.draft_len = len > 0 ? (uint32_t)len : 0;
		break;
	}
	case 12: peer_draft_set(s); break;
	case 13:
		if (s->a & 1)
			peer_draft_bytes(1 + s->b % 8);
		else
			guest.draft[s->v % VMB_MESSAGE_MAX] = s->b;
		break;
	case 14: peer_say(guest.draft, s->a == 7 ? s->v % 256 : guest.draft_len, by_slot); break;
	default: peer_slot(s); break;
	}
}
