/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A guest end on a bench: it records what the guest posts, signals, wakes and pokes, and feeds it raw messages. A small
 * scripted host answers by itself as far as a test lets it, and judges: every message must have the exact size and form of its
 * version, and must be one that a guest may send in that state (control-plane.md 17.2, gpadl.md 5). A message that breaks a
 * rule fails the test.
 */
#ifndef TEST_GUESTBENCH_H
#define TEST_GUESTBENCH_H

#include <criterion/criterion.h>
#include <vmbus.h>

enum { BENCH_POSTS = 4096, BENCH_EVENTS = 16384, BENCH_REPLIES = 8192, BENCH_IDS = 2048, BENCH_GPADLS = 256, BENCH_PAGES = 4 };

/* Message types, as the wire has them. */
enum {
	OFFER = 1, RESCIND, REQUEST_OFFERS, ALL_OFFERS, OPEN, OPEN_RESULT, CLOSE, GPADL_HEADER, GPADL_BODY, GPADL_CREATED,
		GPADL_TEARDOWN,
	GPADL_TORNDOWN, RELEASED, CONTACT, VERSION_RESPONSE, UNLOAD, UNLOAD_COMPLETE, TL_RESULT = 23, MODIFY = 22,
		MODIFY_RESPONSE = 24,
};
#define BIT(type) (1u << (type))

struct bench_message {
	uint32_t connection, len;
	uint8_t bytes[VMB_MESSAGE_MAX];
};

struct bench_channel { /* the host's view of one id */
	int offered;       /* and not released */
	int revoked;
	int opening, open;
	uint32_t open_id;
	int gpadls;        /* known lists */
	int releases;      /* how often it was released, in all */
	uint32_t modifies; /* not answered */
};

struct bench_gpadl {
	uint32_t id, channel;
	uint32_t words, got, ranges; /* of its list */
	int created, tearing;
	uint64_t first[4];           /* words */
	uint64_t sum;                /* of each word times its number, from 1 */
};

struct bench_open { /* a channel that a test has opened */
	vmb_handle handle;
	struct vmb_channel *ch;
	void *mem, *ring;
	size_t bytes;
};

struct bench {
	struct vmb_guest_config cfg;
	struct vmb_guest *g;
	void *mem;
	size_t bytes;
	int dirt;            /* what storage is filled with before init */
	uint64_t now;        /* for polls; 0: no clock */
	uint32_t version;    /* highest that the host accepts; default 6.0 */
	uint32_t selected;   /* message connection id that it gives; default 1 */

	/* how the scripted host answers, by message type of the question */
	uint32_t silent;     /* not at all */
	uint32_t refuse;     /* with a failure */
	int off;             /* nothing is judged or answered: the test is the host */

	/* which post fails: numbers fail_at ... fail_at + fail_count - 1, with fail_status */
	uint32_t fail_at, fail_count;
	int fail_status;
	uint32_t fail_types; /* bits: only these count; 0: all */
	int fail_arrived;    /* the host gets the message all the same */
	uint32_t attempts;   /* posts tried, of fail_types */

	/* recorded */
	struct bench_message posts[BENCH_POSTS];
	uint32_t posted, read;
	struct vmb_event events[BENCH_EVENTS];
	uint32_t told, taken;
	uint64_t wakes[64];  /* by user */
	uint64_t wake_user;  /* the last one */
	uint32_t pokes, signals, signal_connection, signal_flag;
	void (*on_post)(struct bench *b); /* called inside the callback */
	void (*on_wake)(struct bench *b, uint64_t user);

	/* the host */
	struct bench_channel id[BENCH_IDS];
	struct bench_gpadl gpadl[BENCH_GPADLS];
	struct bench_message reply[BENCH_REPLIES];
	uint32_t replies, answered;
	uint32_t negotiated;
	int connected, asked; /* offers */
	int contacts, unloads;
	uint32_t offers[BENCH_IDS], offer_count; /* ids offered when the guest asks */

	struct bench_open open[64];
	void *pages[8];
	uint32_t page_count;
	uint64_t user; /* anything of the test's */
};

struct bench *bench_new(void);        /* defaults; change b->cfg, then: */
void bench_init(struct bench *b);     /* make the guest */
void bench_free(struct bench *b);
struct bench *bench_connected(uint32_t version); /* new, init, connect at this version, offers done; events taken */
struct bench *bench_offered(uint32_t version, uint32_t id); /* and one offer seen */

/* Build a message of the version in force and queue it, or give it to the guest at once. Pairs of field name and value, then
 * NULL. */
void bench_make(const struct bench *b, struct bench_message *m, uint32_t type, ...);
void bench_say(struct bench *b, uint32_t type, ...);
void bench_feed(struct bench *b, const struct bench_message *m);
/* The scripted host offers or rescinds, behind what it has queued. */
void bench_offer(struct bench *b, uint32_t id, uint32_t device, uint32_t subchannel);
void bench_rescind(struct bench *b, uint32_t id);

uint32_t bench_poll(struct bench *b);     /* all events there are; how many */
void bench_answer(struct bench *b);       /* give the guest what the host has queued */
void bench_run(struct bench *b);          /* both until nothing is left; with a clock, past retries of posts */
void bench_wait(struct bench *b, uint64_t ms); /* let time pass, then poll */

/* Events: the next one must be this; NULL if there must be none. */
const struct vmb_event *bench_expect(struct bench *b, uint32_t kind, int status);
void bench_quiet(struct bench *b);        /* no event is left */
/* Throw events away until one of this kind, which there must be. */
const struct vmb_event *bench_until(struct bench *b, uint32_t kind);
uint32_t bench_count(const struct bench *b, uint32_t kind); /* of all events told so far */

/* Posts: the next one that was sent must be of this type. */
const struct bench_message *bench_posted(struct bench *b, uint32_t type);
void bench_posted_none(struct bench *b);
uint32_t bench_number(const struct bench_message *m, const struct bench *b, const char *field);
uint32_t bench_sent(const struct bench *b, uint32_t type); /* how many were sent, in all */

/* Open: memory is the bench's. n: 0...63, user will be n + 1. */
int bench_open(struct bench *b, vmb_handle h, uint32_t n);
struct bench_open *bench_opened(struct bench *b, vmb_handle h, uint32_t n); /* until EV_OPENED(0) */
struct vmb_bus_info bench_info(struct bench *b);
void *bench_page(struct bench *b); /* one aligned page, dirty, the bench's */
void bench_old_pages(struct bench *b); /* config: interrupt page at GPA 0x109000, monitor pages at 0x10a000 and 0x10b000 */

#define BENCH_GPA(n) (0x1000000ull + (n) * 0x100000ull)

#endif /* TEST_GUESTBENCH_H */
