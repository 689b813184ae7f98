/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A guest end, a host end, the platform between them, a driver and a device for each channel, and what all of them are doing: one block of
 * memory at a fixed place, so that a state is kept, compared and gone back to by copying bytes. Whatever can happen next is a step; walk.h
 * takes all of them, in every order. The platform judges as they go: who has which page, which question still wants an answer.
 *
 * Pages of guest memory are seen three times: by the guest's end, by the host's, and by us. What an end must not touch any more cannot be
 * touched: its view of the page is taken away.
 */
#ifndef TEST_INTERLEAVE_WORLD_H
#define TEST_INTERLEAVE_WORLD_H

#include <stddef.h>
#include <stdint.h>
#include <vmbus.h>

enum { IV_PAGES = 32, IV_KEPT = 192, IV_QUEUE = 10, IV_DEVICES = 5, IV_DRIVERS = 6, IV_IDS = 8, IV_LISTS = 16, IV_SCRIPTS = 3,
       IV_RING = 2, IV_LIST_PAGES = 2, IV_LIST_WORDS = 31, IV_POISON = 0xdd, IV_CHOICES = 512 };

/* What may go wrong, once in a schedule. */
enum iv_fault {
	IV_FINE,
	IV_POST_BUSY,      /* the n-th post of this step is refused: come again */
	IV_POST_BUSY_2,
	IV_POST_LOST,      /* it ends with a time-out, and has not arrived */
	IV_POST_TWICE,     /* and has: it will arrive again */
	IV_POST_TWICE_2,
	IV_POST_FAILS,     /* it fails for good */
	IV_MAP_FAILS,
	IV_MESSAGE_FAILS,  /* the callback that tells the guest something */
	IV_ECHO_HOST,      /* a hostile guest: this message comes once more, at any time */
	IV_ECHO_GUEST,     /* a hostile host: the same */
	IV_EARLY,          /* time runs out while an answer is on its way */
	IV_FAULTS
};

struct iv_message {
	uint32_t len, connection;
	uint8_t bytes[VMB_MESSAGE_MAX];
};

/* ---- what the embedders know and do */

struct iv_device {             /* one offer; its number is its user */
	vmb_handle handle;
	struct vmb_channel *channel;
	uint64_t asked, down;      /* tokens of EV_OPEN, of EV_GPADL_DOWN */
	uint64_t old;              /* that of a question which has been answered */
	uint64_t close;            /* of EV_CLOSE */
	uint32_t device, sub;      /* what it offers */
	uint8_t offered, removed, gone;
	uint8_t attached, close_asked, closing, woken, stopped, alive;
	uint8_t holds, held;       /* has tried to; does */
	uint32_t hold;             /* which list */
	uint32_t hold_page;
	uint32_t ring;             /* first page of the rings that it has mapped */
	/* After a save: what it will be asked again (IV_DUE_*); it had the channel open; its hold is that of before; it is on the rings of before. */
	uint8_t due, was, untaken, elsewhere;
};

struct iv_driver {             /* one offer as the guest sees it; its number is the user of its opens */
	vmb_handle handle;
	struct vmb_channel *channel;
	uint32_t device, sub, id, epoch;
	uint8_t here, opening, open, object, failed, closing, rescinded, released, gone;
	uint8_t woken, stopped, asking, answered; /* requests */
	uint8_t target;            /* EV_TARGET is due */
	uint8_t dead;              /* its guest was */
	uint32_t page;             /* first one of its ring */
	uint32_t list, list_page;  /* an own list */
	uint8_t list_waits, list_there, list_goes;
	uint8_t reserved;          /* open as a reserved channel */
	/* After a save: EV_OFFER is to come again; its object is no more (IV_AWAY and so on); EV_OPENED, EV_RESCINDED are told once more. */
	uint8_t untold, away, reopened, again;
	uint8_t kept;              /* requests in flight when the object went */
	uint64_t kept_id, kept_user;
};

enum { IV_DUE_OPEN = 1, IV_DUE_CLOSE = 2, IV_DUE_DOWN = 4 };
enum { IV_AWAY = 1, IV_AWAY_OPEN = 2, IV_AWAY_SHUT = 3 }; /* nothing is known; it can be opened again; it cannot */

struct iv_op {
	uint8_t op, n;
};

/* ---- what was said, as the wire has it */

struct iv_list {
	uint32_t id, channel, page, words, got;
	uint8_t created_due, torn_due, there, host_used;
};

struct iv_wire {
	struct {
		uint32_t offered, rescinded, open_due, open_id, modify_due; /* as the host has it */
		uint32_t epoch, may_release, released;                     /* as the guest has it: how often it was offered, and so on */
	} id[IV_IDS];
	struct iv_list list[IV_LISTS];
	uint32_t contact_due, unload_due, offers_due, pause_due, monitor_due;
	uint32_t live;             /* the guest has a connection */
};

struct iv_world {
	uint8_t host_mem[20480] __attribute__((aligned(64)));
	uint8_t guest_mem[12288] __attribute__((aligned(64)));
	uint8_t host_channel[IV_DEVICES][1280] __attribute__((aligned(64)));
	uint8_t guest_channel[IV_DRIVERS][1280] __attribute__((aligned(64)));
	struct vmb_host *h;
	struct vmb_guest *g;
	uint64_t now, guest_deadline, host_deadline;

	struct iv_message to_host[IV_QUEUE], slot, echo_host, echo_guest;
	uint32_t queued;
	uint8_t host_poke, guest_poke, host_full;
	uint32_t signals, interrupts; /* pending, by channel id */

	uint8_t mapped[IV_PAGES], held[IV_PAGES];
	uint8_t lent[IV_PAGES];    /* IV_LENT and so on */
	uint32_t pages;            /* in use so far */

	struct iv_device device[IV_DEVICES];
	struct iv_driver driver[IV_DRIVERS];
	uint32_t devices, drivers;
	uint8_t attaches[IV_IDS], opens[IV_IDS]; /* by device, of primary and subchannel: that worked */
	uint8_t connecting, connected, leaving, offers_done, pausing, resumed, swapping;
	uint8_t host_connected, resetting, reset_done, rebooted;
	uint8_t at[IV_SCRIPTS];    /* where each script is */
	uint8_t late;              /* the late answer was given */

	uint8_t fault, skip;       /* armed; so many chances are let pass */
	uint8_t faulted;           /* which one happened */
	uint8_t timed_out;
	uint8_t saved;             /* one end was saved, thrown away and restored */
	uint8_t fresh;             /* the host was, and nothing has come to it since */
	uint8_t contact_again;     /* it is to tell EV_CONNECTED once more */
	struct iv_wire wire;
};
enum { IV_LENT = 1, IV_FREED = 2, IV_LENT_FOR_GOOD = 3 }; /* the last: to a reserved channel */

extern struct iv_world iv;

/* ---- what a scenario is */

enum iv_op_code {
	IV_END,
	/* the guest */
	IV_OPEN, IV_CLOSE, IV_CLOSE_NOW, IV_RELEASE, IV_SEND, IV_ANSWERED, IV_TARGET, IV_LIST, IV_UNLIST, IV_UNLIST_NOW, IV_DISCONNECT,
	IV_CONNECT, IV_PAUSE, IV_RESUME, IV_PAGES_OFF, IV_REBOOT, IV_RESERVED,
	/* the host */
	IV_OFFER, IV_SUB, IV_REMOVE, IV_REMOVE_SUB, IV_RESET,
	/* anybody */
	IV_JOIN /* when all other scripts are at their end */
};

struct iv_scenario {
	const char *name;
	uint32_t version;
	struct iv_op before[8];                 /* done first, one after the other */
	struct iv_op script[IV_SCRIPTS][8];
	uint32_t flags;                         /* IV_* */
	uint32_t features;
	uint32_t faults;                        /* bits of those that are tried */
	uint32_t claim;                         /* channel id that device 0 asks for */
};
#define IV_HOLDS 1u      /* devices hold the guest's lists */
#define IV_LATE 2u       /* an old question is answered once more, once */
#define IV_REFUSES 4u    /* devices may say no */
#define IV_RENEWS 8u     /* rescinded and offered again at each close */
#define IV_BOTH 32u      /* who is saved may meet a fault, too */
#define IV_LOSSY 16u     /* answers that may be lost without anybody's fault: to reserved channels */

extern const struct iv_scenario *iv_scenario;

/* ---- steps */

enum iv_step {
	IV_STEP_TO_HOST, IV_STEP_TO_GUEST, IV_STEP_HOST_POLL, IV_STEP_GUEST_POLL, IV_STEP_SIGNAL, IV_STEP_INTERRUPT, IV_STEP_ECHO_HOST,
	IV_STEP_ECHO_GUEST, IV_STEP_TIME, IV_STEP_SCRIPT,
	/* of a device */
	IV_STEP_ATTACH, IV_STEP_REFUSE, IV_STEP_SERVE, IV_STEP_GIVE, IV_STEP_HOLD, IV_STEP_LET_GO, IV_STEP_LATE,
	/* of a driver */
	IV_STEP_WORK, IV_STEP_STOP, IV_STEP_RELEASE, IV_STEP_AGAIN,
	/* of an end: it is saved, thrown away and restored */
	IV_STEP_SAVE_HOST, IV_STEP_SAVE_GUEST
};

struct iv_choice {
	uint8_t step, n, fault;
};

void iv_fail(const char *what); /* the schedule that led here is bad */
extern const char *iv_bad;

static inline void iv_must(int ok, const char *what)
{
	if (!ok)
		iv_fail(what);
}

/* All that can happen now, and what is asked for, once in a schedule each. */
enum { IV_WITH_FAULT = 1, IV_WITH_HOST_SAVED = 2, IV_WITH_GUEST_SAVED = 4 };
uint32_t iv_choices(struct iv_choice *out, uint32_t with);
/* 1: it has happened. 0: its fault had no occasion, or the end cannot be saved now. */
int iv_take(const struct iv_choice *choice);
const char *iv_step_name(const struct iv_choice *choice, char *out, size_t size);
/* Nothing can happen any more: is all as it should be? */
void iv_judge_end(void);
/* The world as the scenario begins. */
void iv_make(const struct iv_scenario *s);
/* Go on, without scripts and faults, until nothing happens any more: embedders before messages. */
void iv_settle(void);

/* ---- states */

struct iv_state;
size_t iv_state_size(void);
/* The hash of what is now; since: the state that it came from, NULL: none. It is not 0. */
uint64_t iv_hash(const struct iv_state *since);
/* Keep what was just hashed, from the same state. */
void iv_save(struct iv_state *to, const struct iv_state *since);
/* Go back to this state; hashed: nothing has happened since iv_hash compared the world with it. */
void iv_restore(const struct iv_state *from, int hashed);

/* ---- for one another */

/* platform.c */
void iv_platform_make(void);
void iv_host_init(int poison);
void iv_guest_init(int poison);
void iv_take_back_all(void);
uint8_t *iv_page(uint32_t page);      /* as we see it */
uint8_t *iv_guest_page(uint32_t page);
uint32_t iv_lend(uint32_t pages);
void iv_take_back(uint32_t page, uint32_t pages); /* the guest may free them */
void iv_protect(void);
int iv_fault_now(enum iv_fault fault); /* 1: now */
int iv_strict(void);                  /* nothing has happened that a peer could be blamed for */
int iv_peer_is_sane(void);            /* nor that a hostile one did */
/* events.c */
struct iv_driver *iv_driver_of(uint32_t device, uint32_t sub);
struct iv_driver *iv_driver_usable(uint32_t n); /* a device, or 8 and its subchannel: neither rescinded nor released */
struct iv_device *iv_device_live(uint32_t device, uint32_t sub);
uint32_t iv_driver_number(const struct iv_driver *d);
uint32_t iv_line_of(uint32_t device, uint32_t sub);
void iv_device_poison(struct iv_device *d);
void iv_host_event(const struct vmb_event *ev);
void iv_guest_event(const struct vmb_event *ev);
/* scripts.c */
int iv_op_ready(const struct iv_op *op); /* -1: it has lost its sense; 0: not yet; 1: now */
void iv_op_do(const struct iv_op *op);
void iv_driver_release(struct iv_driver *d);
void iv_driver_close(struct iv_driver *d);
void iv_reset(void);
void iv_offer(struct iv_device *d);
void iv_driver_open_again(struct iv_driver *d);
/* saves.c */
int iv_save_host(void);
int iv_save_guest(void);
void iv_judge_host_told(void); /* it has no event left: was all that it had to say again said? */
void iv_judge_guest_told(void);
void iv_judge_question(struct iv_device *d, const struct vmb_event *ev, uint8_t due);
void iv_guest_offer_again(struct iv_driver *d, const struct vmb_event *ev);
/* reactions.c */
uint32_t iv_reactions(struct iv_choice *out);
void iv_react(const struct iv_choice *choice);
/* judge.c */
void iv_begin(void);
/* wire.c */
void iv_wire_sent(const uint8_t *msg, uint32_t len, int arrived);
void iv_wire_taken(const uint8_t *msg, uint32_t len);
void iv_wire_told(const uint8_t *msg, uint32_t len);
uint32_t iv_wire_reads(const uint8_t *msg);
void iv_wire_read(const uint8_t *msg, uint32_t before);
void iv_wire_reboot(void);
void iv_wire_judge_end(void);

#endif /* TEST_INTERLEAVE_WORLD_H */
