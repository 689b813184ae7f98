/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The parts of the target of both ends: a guest end and a host end of the library, the machine between them, drivers on the one side and
 * devices on the other. All of them are honest. The input says when each does something, and which of the faults that an honest
 * machine has come between: a post that fails or whose answer is lost, a message that is lost, comes late or twice, memory that cannot be
 * mapped, an interrupt that is lost, a guest that dies, an end that is saved and goes on elsewhere.
 *
 * Pages of guest memory are seen at two places, by the guest's end and by the host's: each access is judged by whose it is.
 */
#ifndef FUZZ_BOTH_H
#define FUZZ_BOTH_H

#include "fuzz.h"

#include <vmbus.h>

enum {
	BOTH_VPS = 4,
	BOTH_RINGS = 6,
	BOTH_RING_PAGES = 6,
	BOTH_LISTS = 8,
	BOTH_LIST_PAGES = 2,
	BOTH_LIST_WORDS = 62,
	BOTH_INTERRUPT_PAGE = 1,
	BOTH_MONITOR_PAGE = 2, /* two of the config's, two to change to */
	BOTH_RING_PAGE = 8,
	BOTH_LIST_PAGE = BOTH_RING_PAGE + BOTH_RINGS * BOTH_RING_PAGES,
	BOTH_PAGES = BOTH_LIST_PAGE + BOTH_LISTS * BOTH_LIST_PAGES,
	BOTH_DRIVERS = 48,
	BOTH_DEVICES = 48,
	BOTH_POSTS = 16,
	BOTH_SOCKETS = 4,
	BOTH_ASKED = 8,  /* requests in flight, each way of a ring */
	BOTH_SERVER_GPA = 0x7000000
};

/* Whose a page of a ring or a list is. Old: lent by a guest that is no more. */
enum { BOTH_FREE, BOTH_LENT, BOTH_FOR_GOOD, BOTH_KEPT, BOTH_OLD };

/* One direction of a ring pair: packets are numbered. */
struct both_flow {
	uint32_t sent, got;
	uint32_t asked[BOTH_ASKED];                              /* sent as requests, not completed: their numbers, or 0 */
	struct { uint64_t id; uint32_t number; } todo[BOTH_ASKED]; /* received as requests, not completed */
};

/* What is said through one ring memory since its guest has opened it. */
struct both_line {
	uint32_t life;     /* counts opens */
	uint32_t attaches; /* of this life */
	int pipe;
	struct both_flow flow[2]; /* from the guest, from the host */
};

/* One channel object, of either end. */
struct both_side {
	struct vmb_channel *ch;
	void *mem;
	unsigned line;
	int host;
	int may_wake, look, full, stopped, polled;
	struct { uint64_t id, user; } kept[BOTH_ASKED]; /* requests in flight of the object before */
	unsigned keeps;
};

enum { BOTH_AWAY = 1, BOTH_ASLEEP };

struct both_driver {
	vmb_handle handle;
	uint32_t id, sub;
	int out;                              /* there is an open that EV_CLOSED has not ended */
	int released, gone, rescinded, dead;
	int closing, opened, targeting, reserved;
	int goes_on; /* it was opened again after a restore, and is not told yet */
	int away;                             /* BOTH_AWAY: until it is told that it was restored; BOTH_ASLEEP: or not */
	uint32_t how;                         /* it was opened, to do the same again */
	struct both_side side;
};

struct both_list {
	uint32_t gpadl, driver; /* gpadl 0: none */
	int created, destroyed;
};

enum { BOTH_NONE, BOTH_ASKS, BOTH_SERVES, BOTH_DRAINS };

struct both_device {
	vmb_handle handle;
	struct vmb_offer offer;
	int state, close_asked, paused, removed, gone, expires;
	int served; /* by the process before; this one has heard nothing of it */
	uint32_t primary; /* of a subchannel: its number + 1 */
	uint32_t hold;    /* a list that is held, or 0 */
	unsigned hold_slot;
	int hold_asked, hold_known;
	struct vmb_event question, hold_question;
	struct both_side side;
};

struct both_post {
	uint32_t connection, len;
	uint8_t bytes[VMB_MESSAGE_MAX];
};

struct both {
	struct fuzz_input in;
	uint64_t now, guest_deadline;
	unsigned guest_control, host_control; /* control calls that are running */
	/* what has been, and what can be demanded therefore */
	int lossy;      /* an answer may be lost, memory may leak */
	int mad;        /* one end was told what is not true */
	int deaf;       /* a signal was lost: everybody looks again */
	int unmappable; /* a map failed */
	int disagree;   /* contact may fail */
	/* the guest */
	struct vmb_guest *g;
	struct vmb_guest_config gcfg;
	void *gmem;
	struct both_driver driver[BOTH_DRIVERS];
	unsigned drivers;
	struct both_list list[BOTH_LISTS];
	int connecting, connected, leaving, resetting, dying, asleep;
	int may_connect; /* EV_CONNECTED may come: of a connect that was taken back, perhaps */
	int cut;         /* the connect that is being left had no answer */
	int answer_late; /* that answer may come to the next one */
	int owed;  /* the last EV_DISCONNECTED said that the host may have something still */
	int stale; /* the host may think that a guest is there */
	int monitoring, pausing, closing_reserved, socket[BOTH_SOCKETS];
	/* the host */
	struct vmb_host *h;
	struct vmb_host_config hcfg;
	void *hmem;
	struct both_device device[BOTH_DEVICES];
	unsigned devices;
	int host_connected;
	struct vmb_event asked_socket[BOTH_SOCKETS];
	unsigned asked_sockets;
	/* the machine */
	struct both_line line[BOTH_RINGS];
	uint8_t lent[BOTH_PAGES];
	uint32_t mapped[BOTH_PAGES], maps;
	struct both_post post[BOTH_POSTS];
	unsigned posts;
	int refused;       /* messages that a slot did not take: EOM is owed */
	int moved;         /* something was said or signalled */
	/* faults: so many of the next, and how */
	unsigned post_after, post_count, post_how, post_late;
	unsigned message_after, message_count, message_how;
	unsigned map_after, signal_count, interrupt_late;
};

extern struct both both;

/* A control call of an end: no two at once. */
#define BOTH_GUEST(var, call) \
	do { \
		both.guest_control++; \
		(var) = (call); \
		both.guest_control--; \
	} while (0)
#define BOTH_HOST(var, call) \
	do { \
		both.host_control++; \
		(var) = (call); \
		both.host_control--; \
	} while (0)

/* both.c */
void both_settle(void); /* everybody does what is to be done, until nothing moves */
void both_guest_anew(void); /* the guest is another one; the host does not know */
void both_machine_reset(void); /* the machine: the guest is another one, and the host is told */

/* both_wire.c: memory, messages, signals */
void both_wire_begin(void);
void both_wire_config(void);
uint8_t *both_wire_guest_page(uint32_t page);
void both_wire_lend(uint32_t page, uint32_t n, int whose);
void both_wire_back(uint32_t page, uint32_t n);  /* the guest may free them */
void both_wire_all_back(int how);                /* all that are lent as `how` */
int both_wire_deliver(void);                     /* posts and messages that are on their way; 1: there were some */
int both_wire_posts(void);                       /* posts only */
int both_wire_eom(void);                         /* the host is told of slots that it has found occupied */
int both_wire_slots(int (*read)(void *slot));    /* each slot with a message in it; 1: there was one */
void both_wire_interrupts(void);
void both_wire_silence(void);                    /* another system has slots of its own */
void both_wire_moved(void);                      /* the host's maps are another process's */

/* both_data.c: packets */
int both_data_work(struct both_side *side); /* all that it was woken for; 1: something went through */
void both_data_send(struct both_side *side, const struct fuzz_step *s);
void both_data_recv(struct both_side *side, unsigned n);
void both_data_complete(struct both_side *side, unsigned which);
void both_data_quiet(struct both_side *side); /* flush and release */
void both_data_cancel(struct both_side *side);
void both_data_remember(struct both_side *side); /* its requests in flight, before the object goes */
void both_data_adopt(struct both_side *side);    /* by the next one */
void both_data_info(const struct both_side *side);
void both_data_done(const struct both_line *line);

/* both_driver.c: the guest's embedder */
void both_driver_step(const struct fuzz_step *s);
int both_driver_poll(int n);
int both_driver_react(void);
void both_driver_judge(void);
void both_driver_disconnect(void);
void both_driver_leave(void);
void both_driver_die(void);   /* all objects with their guest */
void both_driver_gone(void);
int both_driver_saved(uint32_t format);
void both_driver_sleeps(void);
struct both_side *both_driver_at(uint64_t user);

/* both_device.c: the host's */
void both_device_step(const struct fuzz_step *s);
int both_device_poll(int n);
int both_device_react(void);
void both_device_judge(void);
void both_device_leave(void);
void both_device_gone(void);
void both_device_saved(uint32_t format);
struct both_side *both_device_at(uint64_t user);
struct both_side *both_device_serves(unsigned line);
int both_device_offers(struct vmb_offer *o, struct both_device *d);
int both_device_holds(unsigned slot);

/* both_more.c: sockets, monitor pages, pause, the end of a dying guest */
void both_more_config(uint32_t bits);
void both_more_step(const struct fuzz_step *s);
int both_more_event(const struct vmb_event *ev);
int both_more_react(void);
void both_more_judge(void);
void both_more_saved(void);
void both_more_asked(const struct vmb_event *ev);

#endif /* FUZZ_BOTH_H */
