/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The hostile peer. See peer.h. */
#include "peer.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "test/ring/rig.h"

#define WORD(kind, off8, len8, flags) \
	((uint64_t)(kind) | (uint64_t)(off8) << 16 | (uint64_t)(len8) << 32 | (uint64_t)(flags) << 48)

struct peer_ring peer_ring_of(const struct rig *r)
{
	struct peer_ring p = { .control = r->control, .size = r->size };

	for (uint32_t i = 0; i < r->pages; i++)
		p.page[i] = r->data + i * VMB_PAGE;
	return p;
}

static uint32_t dice(struct peer *p)
{
	return rig_random(&p->state);
}

static void set_word(const struct peer_ring *r, uint32_t word, uint32_t value)
{
	*(volatile uint32_t *)(r->control + word) = htole32(value);
}

static uint32_t get_word(const struct peer_ring *r, uint32_t word)
{
	return le32toh(*(volatile uint32_t *)(r->control + word));
}

static volatile uint64_t *qword(const struct peer_ring *r, uint32_t at)
{
	at %= r->size;
	return (volatile uint64_t *)(r->page[at / VMB_PAGE] + at % VMB_PAGE);
}

static void set_qword(const struct peer_ring *r, uint32_t at, uint64_t value)
{
	*qword(r, at) = htole64(value);
}

/* ---- what is right */

/* A range of a list: page numbers that there are, mostly. */
static uint32_t put_list(struct peer *p, uint32_t at, uint32_t kind)
{
	uint32_t ranges = 1 + dice(p) % 3, words = 0, start = at;

	at += 8;
	for (uint32_t i = 0; i < ranges; i++) {
		uint32_t bytes = 1 + dice(p) % 6000, offset = dice(p) % VMB_PAGE, pages = (bytes + offset + VMB_PAGE - 1) / VMB_PAGE;

		if (kind == VMB_PKT_XFER) {
			offset = dice(p) % 9000;
			pages = 0;
		}
		set_qword(&p->from, at + 8 * words++, (uint64_t)offset << 32 | bytes);
		for (; pages; pages--)
			set_qword(&p->from, at + 8 * words++, dice(p) % 50 ? dice(p) % PEER_MEMORY : PEER_MEMORY);
	}
	set_qword(&p->from, start, (uint64_t)ranges << 32 | 0xcafe);
	return 1 + words;
}

/* An id that was in a request, if there is one where it looks. */
static uint64_t some_id(struct peer *p)
{
	uint32_t at = (get_word(&p->to, RIG_OUT) + 8 * (dice(p) % 64)) & ~7u;

	for (uint32_t i = 0; i < 64; i++, at += 8)
		if ((le64toh(*qword(&p->to, at)) & 0xffff00000000ffff) == (uint64_t)(VMB_PKT_INBAND | (uint64_t)1 << 48))
			return le64toh(*qword(&p->to, at + 8));
	return dice(p) % 40;
}

static void put_packet(struct peer *p)
{
	static const uint8_t kinds[] = { 6, 6, 6, 11, 11, 7, 9, 9 };
	uint32_t kind = kinds[dice(p) % 8], head = 0, payload = dice(p) % 12, at = p->in, end;

	if (dice(p) % 16 == 0)
		payload = dice(p) % 700; /* over pages */
	if (kind == VMB_PKT_XFER || kind == VMB_PKT_GPA)
		head = put_list(p, at + 16, kind);
	if (p->pipe && kind == VMB_PKT_INBAND && ++payload)
		set_qword(&p->from, at + 16, 1 | (uint64_t)(8 * payload - 8 - dice(p) % 8 * (payload > 1)) << 32);
	else
		for (uint32_t i = 0; i < payload; i++)
			set_qword(&p->from, at + 16 + 8 * (head + i), p->state + i);
	set_qword(&p->from, at, WORD(kind, 2 + head, 2 + head + payload, kind == VMB_PKT_COMPLETION ? 0 : dice(p) & 1));
	set_qword(&p->from, at + 8, kind == VMB_PKT_COMPLETION ? some_id(p) : dice(p));
	end = at + 24 + 8 * (head + payload);
	set_qword(&p->from, end - 8, (uint64_t)at << 32);
	p->in = end % p->from.size;
}

static void be_tame(struct peer *p)
{
	uint32_t used = get_word(&p->from, RIG_OUT), size = p->from.size;

	used = p->in >= used ? p->in - used : size - used + p->in;
	for (uint32_t n = used < size / 2 ? 1 + dice(p) % 4 : 0; n; n--)
		put_packet(p);
	__atomic_store_n((uint32_t *)(void *)(p->from.control + RIG_IN), htole32(p->in), __ATOMIC_RELEASE);
	set_word(&p->from, RIG_PENDING, 0);
	set_word(&p->to, RIG_OUT, get_word(&p->to, RIG_IN));
	set_word(&p->to, RIG_MASK, 0);
}

/* ---- what is not */

static uint32_t any_index(struct peer *p, uint32_t size)
{
	switch (dice(p) % 12) {
	case 0: return dice(p);
	case 1: return size + dice(p) % 24;
	case 2: return (dice(p) % size) | 1;
	default: return dice(p) % (size / 8) * 8;
	}
}

static uint64_t any_descriptor(struct peer *p)
{
	static const uint8_t kinds[] = { 6, 6, 11, 7, 9, 9, 6, 10, 0, 6 };
	uint32_t more = dice(p);
	uint64_t off8 = more & 1 ? 2 : more >> 4 & 15;

	return WORD(kinds[dice(p) % 10], off8, off8 + (more >> 16) % 40 - (more % 64 == 0), dice(p) % 30 ? more >> 2 & 1 : more >> 16);
}

static void be_wild(struct peer *p)
{
	struct peer_ring *r = dice(p) % 8 ? &p->from : &p->to;
	uint32_t near = (get_word(&p->from, RIG_OUT) & ~7u) + dice(p) % 40 * 8, any = dice(p) % p->from.size & ~7u;
	uint8_t *page;

	switch (dice(p) % 17) {
	case 0: set_word(&p->from, RIG_IN, any_index(p, p->from.size)); break;
	case 1: set_word(&p->to, RIG_OUT, any_index(p, p->to.size)); break;
	case 2: set_word(&p->to, RIG_MASK, dice(p) % 3 ? 0 : dice(p)); break;
	case 3: set_word(&p->from, RIG_PENDING, dice(p) % 2 ? dice(p) % p->from.size : dice(p)); break;
	case 4: set_word(r, RIG_FEATURES, dice(p)); break;
	case 5: r->control[dice(p) % 128] = (uint8_t)dice(p); break; /* a byte of any word, ours as well */
	case 6: set_word(dice(p) & 1 ? &p->from : &p->to, dice(p) & 1 ? RIG_IN : RIG_OUT, any_index(p, r->size)); break;
	case 7: case 8: set_qword(&p->from, near, any_descriptor(p)); break;
	case 9: set_qword(&p->from, near, some_id(p)); break;
	case 10: set_qword(&p->from, near, (uint64_t)(dice(p) % 5) << 32 | dice(p) % 2); break; /* a count, a pipe header */
	case 11: set_qword(&p->from, near, (uint64_t)(dice(p) % 5000) << 32 | dice(p) % 20000); break; /* a range */
	case 12: set_qword(&p->from, any, dice(p) % PEER_MEMORY); break;
	case 13: set_qword(&p->from, any, (uint64_t)dice(p) << 32 | dice(p)); break;
	case 14:
		page = r->page[dice(p) % (r->size / VMB_PAGE)];
		for (uint32_t i = dice(p) % VMB_PAGE, n = dice(p) % 64; n && i < VMB_PAGE; n--, i++)
			((volatile uint8_t *)page)[i] = (uint8_t)dice(p);
		break;
	case 15: set_qword(&p->to, any, any_descriptor(p)); break; /* what we have just written */
	default:
		page = p->memory[dice(p) % PEER_MEMORY];
		for (uint32_t i = dice(p) % VMB_PAGE, n = 256; page && n && i < VMB_PAGE; n--, i++)
			((volatile uint8_t *)page)[i] = (uint8_t)i;
	}
}

/* It goes on by itself, but not for long where we do not come to do anything, as we do not without it: see peer_step. */
static void *body(void *arg)
{
	struct peer *p = arg;
	unsigned long bursts = 0, steps = 0;

	pthread_mutex_lock(&p->turn);
	while (!p->stop) {
		if (steps != p->steps) {
			steps = p->steps;
			bursts = 0;
		}
		if (bursts++ > 64) {
			pthread_cond_wait(&p->moved, &p->turn);
			continue;
		}
		for (unsigned n = 1 + dice(p) % 16; n; n--, p->changes++) {
			if (dice(p) % 100 < p->tame)
				be_tame(p);
			else
				be_wild(p);
		}
		pthread_cond_broadcast(&p->moved);
		pthread_mutex_unlock(&p->turn);
		pthread_mutex_lock(&p->turn);
	}
	pthread_mutex_unlock(&p->turn);
	return NULL;
}

void peer_start(struct peer *p)
{
	p->stop = 0;
	p->changes = p->steps = p->seen = 0;
	p->state = 77;
	pthread_mutex_init(&p->turn, NULL);
	pthread_cond_init(&p->moved, NULL);
	if (pthread_create(&p->thread, NULL, body, p))
		abort();
}

void peer_stop(struct peer *p)
{
	pthread_mutex_lock(&p->turn);
	p->stop = 1;
	pthread_cond_broadcast(&p->moved);
	pthread_mutex_unlock(&p->turn);
	pthread_join(p->thread, NULL);
	pthread_mutex_destroy(&p->turn);
	pthread_cond_destroy(&p->moved);
}

void peer_step(struct peer *p)
{
	pthread_mutex_lock(&p->turn);
	p->steps++;
	pthread_cond_broadcast(&p->moved);
	while (p->changes == p->seen)
		pthread_cond_wait(&p->moved, &p->turn);
	p->seen = p->changes;
	pthread_mutex_unlock(&p->turn);
}

void peer_pause(struct peer *p)
{
	pthread_mutex_lock(&p->turn);
}

void peer_go_on(struct peer *p)
{
	p->in = 0;
	pthread_mutex_unlock(&p->turn);
}

int peer_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	uint8_t *const *memory = ctx;

	(void)flags;
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] >= PEER_MEMORY)
			return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++)
		pages[i] = memory[pfns[i]];
	return 0;
}

void peer_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	uint8_t *const *memory = ctx;

	(void)flags;
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] >= PEER_MEMORY || pages[i] != memory[pfns[i]])
			abort();
}
