/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A host end on a bench: a scripted guest made of raw messages on one side, a recorder of every callback on the other. Nothing
 * here knows the protocol but the offsets of what it writes. One bench at a time may be the current one; all calls are about
 * that.
 */
#ifndef TEST_BUS_HOSTBENCH_H
#define TEST_BUS_HOSTBENCH_H

#include <vmbus.h>
#include <stdbool.h>

enum { HB_RAM_PAGES = 512, HB_LOG = 8192, HB_RING_PFN = 0x10, HB_PAGE_PFN = 0x100, HB_TRACE = 1 << 20 };

struct hb_message {
	uint32_t vp, vtl, sint, len;
	uint8_t data[VMB_MESSAGE_MAX];
};

struct hb_interrupt {
	uint32_t vp, vtl, sint, flag;
};

struct hb {
	struct vmb_host_config cfg;
	struct vmb_host *h;
	uint8_t *mem, *ram;
	size_t bytes;
	struct vmb_event ev;         /* the last that hb_poll gave */
	/* what the guest got */
	struct hb_message *sent;
	unsigned n_sent, n_read;
	unsigned message_calls;
	unsigned busy_at, busy_for;  /* calls number busy_at ... busy_at + busy_for - 1 find the slot occupied; busy_at 0: none */
	int busy_error;              /* what they return */
	bool busy;                   /* occupied until this is cleared */
	struct hb_interrupt interrupt[64];
	unsigned interrupts;
	uint64_t wake_user[64];
	unsigned wakes, pokes;
	/* mapping */
	unsigned map_calls, map_fail_at, mapped[HB_RAM_PAGES], all_mapped, unmapped;
	uint64_t guest_ram_pages;    /* map refuses numbers beyond */
	const char *broken;          /* what no callback may see */
	int (*inside)(void);         /* called from each callback */
	int inside_result;
	char *trace;                 /* all callbacks and events, as text */
	size_t trace_len;
	struct hb *older;            /* of the bench itself */
};

extern struct hb *hb;

/* A host with these settings over the defaults of the bench (8 VPs, 16 channels), in storage filled with `fill`. */
struct hb *hb_new(const struct vmb_host_config *cfg, int fill);
void hb_free(struct hb *b);
/* The same with 8 VPs, nothing else set, and the offers 1...n. */
void hb_start(unsigned n);

/* ---- words as on the wire */
static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v);
	put16(p + 2, v >> 16);
}

static inline void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)v);
	put32(p + 4, (uint32_t)(v >> 32));
}

static inline uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ---- devices: number n has the class 0xc0, instance n, user 100 + n, flags ENUMERATE */
void hb_offer_fill(struct vmb_offer *o, unsigned n, uint32_t sub);
vmb_handle hb_offer(unsigned n);
vmb_handle hb_suboffer(unsigned n, uint32_t sub);
vmb_handle hb_handle(unsigned n); /* of what hb_start offered */

/* ---- the guest's hypercalls */
int hb_post(uint32_t connection, const void *payload, uint32_t len);
int hb_words(uint32_t type, unsigned n, ...);    /* type, then n words; through connection 1; must be accepted */
void hb_ones(uint32_t type);                      /* 40 words, each 1 */
void hb_contact(uint32_t version);                /* connection 1; pages 0, but an interrupt page below 2.4 */
void hb_contact_bytes(uint8_t out[56], uint32_t version, uint32_t vp);
void hb_connect(uint32_t version);                /* contact, checked answer, request, checked offers read */
void hb_gpadl(uint32_t channel, uint32_t id, uint64_t pfn, uint32_t pages);
uint32_t hb_gpadl_bytes(uint8_t out[VMB_MESSAGE_MAX], uint32_t channel, uint32_t id, uint64_t pfn, uint32_t pages);
void hb_open_bytes(uint8_t out[148], uint32_t channel, uint32_t open_id, uint32_t gpadl, uint32_t vp, uint32_t rx_pages);
void hb_open(uint32_t channel, uint32_t open_id, uint32_t gpadl, uint32_t vp);
#define hb_close(channel) hb_words(7, 1, (uint32_t)(channel))
#define hb_teardown(channel, gpadl) hb_words(11, 2, (uint32_t)(channel), (uint32_t)(gpadl))
#define hb_rel(channel) hb_words(13, 1, (uint32_t)(channel))
#define hb_modify(channel, vp) hb_words(22, 2, (uint32_t)(channel), (uint32_t)(vp))
#define hb_unload() hb_words(16, 0)
#define hb_request() hb_words(3, 0)

/* ---- what the guest got: the next unread message is this one, of exactly this size, at SINT 2 */
void hb_expect_at(int line, uint32_t type, unsigned n, ...);
#define hb_expect(...) hb_expect_at(__LINE__, __VA_ARGS__)
const struct hb_message *hb_next(void); /* NULL: none */
void hb_skip(void);                   /* whatever it was */
void hb_quiet_at(int line);             /* no unread message */
#define hb_quiet() hb_quiet_at(__LINE__)

/* ---- the embedder */
uint32_t hb_poll(void); /* kind of one event, 0: none */
void hb_event_at(int line, uint32_t kind, vmb_handle ch);
#define hb_event(kind, ch) hb_event_at(__LINE__, kind, ch)
void hb_no_event_at(int line);
#define hb_no_event() hb_no_event_at(__LINE__)
void hb_drain_events(void);
/* A channel object of the bench for device n. */
int hb_attach(unsigned n, vmb_handle ch, struct vmb_channel **out);
void *hb_channel_mem(unsigned n, size_t *bytes);
/* Ring of 2 + 2 pages, GPADL id 0xe1e10 + channel, OPEN, EV_OPEN, attach: all answers read. */
struct vmb_channel *hb_serve(unsigned n, vmb_handle ch, uint32_t channel, uint32_t vp);
uint32_t hb_ring_id(uint32_t channel);
uint64_t hb_ring_pfn(uint32_t channel);
struct vmb_bus_info hb_info(void);
/* No callback saw anything that may not be. */
void hb_sound_at(int line);
#define hb_sound() hb_sound_at(__LINE__)

#endif
