/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A guest end and a host end in one room: what one posts the other gets, in order, when the test says so. No machine, no seed: for tests that
 * want to see each step. One pair at a time.
 */
#ifndef TEST_BOTH_H
#define TEST_BOTH_H

#include <criterion/criterion.h>
#include <vmbus.h>

enum { BOTH_PAGES = 256, BOTH_EVENTS = 256, BOTH_QUEUE = 256, BOTH_CHANNELS = 8 };

struct both_message {
	uint32_t vp, vtl, sint, len;
	uint8_t bytes[VMB_MESSAGE_MAX];
};

struct both_channel {       /* of device number n: what the two sides have open */
	vmb_handle host, guest;
	struct vmb_channel *h, *g;
	void *hmem, *gmem;
};

struct both {
	struct vmb_host_config hcfg;
	struct vmb_guest_config gcfg;
	struct vmb_host *h;
	struct vmb_guest *g;
	void *hmem, *gmem;
	uint8_t *ram;
	uint32_t mapped[BOTH_PAGES];
	struct both_message queue[BOTH_QUEUE]; /* to the guest */
	uint32_t in, out;
	uint32_t next_pfn;
	uint64_t now;               /* of both polls */
	int hold;                   /* messages to the guest wait */
	int post_status;            /* not 0: posts fail with this */
	uint32_t posts;
	struct { uint32_t vp, vtl, sint, flag; } interrupt[BOTH_QUEUE];
	uint32_t interrupts;
	uint32_t signals, signal_connection;
	uint32_t host_wakes, guest_wakes; /* by the number that open and offer gave */
	uint64_t host_woken, guest_woken;
	struct vmb_event hev[BOTH_EVENTS], gev[BOTH_EVENTS];
	uint32_t hn, hr, gn, gr;    /* events given and read */
	struct both_channel ch[BOTH_CHANNELS];
};

extern struct both both;

/* Configs with callbacks, to be changed; then make the ends. */
void both_config(void);
void both_init(void);
void both_end(void); /* frees; judges that no page is mapped any more */
void both_stop(void); /* the same, but whatever is open is taken down first */
/* Let everything be said and told that there is. */
void both_run(void);
void both_connect(void); /* connect, run, and demand success */
/* The next unread event must be this. */
const struct vmb_event *both_guest_at(int line, uint32_t kind, int status);
const struct vmb_event *both_host_at(int line, uint32_t kind, int status);
#define both_guest(kind, status) both_guest_at(__LINE__, kind, status)
#define both_host(kind, status) both_host_at(__LINE__, kind, status)
void both_quiet_at(int line); /* no unread event on either side */
#define both_quiet() both_quiet_at(__LINE__)
void both_forget(void);       /* read all */
uint64_t both_pages(uint32_t n); /* first PFN of consecutive pages, zeroed */
void *both_page(uint64_t pfn);
/* Device n is offered, and seen by the guest where there is a connection. */
void both_offer(uint32_t n, uint32_t flags);
/* Open device n from the guest with these settings over the default, attach, and read the events of both. */
void both_open(uint32_t n, const struct vmb_open *with);
/* Only the guest's call. */
int both_try_open(uint32_t n, const struct vmb_open *with);
void both_attach(uint32_t n);
/* Let be said what there is: the device is asked for the channel, and gives it back. The host's events are read. */
void both_give_back_at(int line, uint32_t n);
#define both_give_back(n) both_give_back_at(__LINE__, n)
/* The guest closes, the device detaches; all events read. */
void both_close(uint32_t n);
/* One packet each way arrives, with its signal. */
void both_talk(uint32_t n);
struct vmb_bus_info both_info(int host);

#endif
