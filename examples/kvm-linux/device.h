/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A device of this host: what every device file fills in, and what it gets. To add one, copy dev_heartbeat.c (it speaks first,
 * with pipe framing) or dev_storvsp.c (it answers requests that name guest memory), and name it in the table of hostend.c.
 */
#ifndef KVM_LINUX_DEVICE_H
#define KVM_LINUX_DEVICE_H

#include <pthread.h>
#include <stdint.h>
#include <vmbus.h>

struct device;

struct device_ops {
	const char *name, *class_id;
	uint32_t offer_flags;        /* VMB_OFFER_* */
	unsigned period_ms;          /* how often timer is called while the channel is open; 0: never */
	uint32_t state_bytes;        /* of d->state, zeroed at each open */
	/* All on the device's own thread. A negative result is a VMB_E* of a channel call: the channel is given back. */
	int (*open)(struct device *d);                                /* the channel has just been attached */
	int (*packet)(struct device *d, const struct vmb_packet *p);  /* one packet came; it is valid during this call */
	/* No packet is left, or many came. VMB_YES: look once more. May be NULL. */
	int (*drained)(struct device *d);
	int (*timer)(struct device *d);                               /* may be NULL */
	void (*close)(struct device *d);                              /* the channel is about to be given back; may be NULL */
};

/* A disk's image and its controls: they outlive opens, rescinds and resets. All words are read and written atomically. */
struct image {
	pthread_mutex_t lock;        /* of the bytes, around each transfer */
	uint8_t *bytes;
	uint64_t size;
	unsigned latency_us;         /* between the first request of a batch and the answers */
	unsigned hold, held;         /* answer nothing; how many requests are kept in flight so */
	unsigned vanish;             /* answer all requests with an error, at once: the disk is about to go */
	unsigned in_flight;          /* requests taken and not answered, now */
	unsigned failed, settled;    /* requests answered with an error since vanish was set; of them those the guest has read */
	unsigned long reads, writes; /* since the process began */
};

/* The part of the process that all devices share. */
struct host {
	struct vmb_host *bus;
	pthread_mutex_t control;     /* around every [control] call */
	const struct vmb_mapper *memory; /* guest RAM, for the list and packet calls */
	struct device *device;       /* all there are: integration components, then disks */
	unsigned devices;
	uint64_t (*reference_time)(void); /* the guest's partition time, in 100 ns */
	unsigned shutdown_wanted;    /* dev_shutdown.c: set, then wake the device */
	int poke_fd;                 /* eventfd: vmb_host_poll has something */
	unsigned look_ms;            /* how long a device sleeps at most, so that it notices a lost signal; 0: for ever */
	unsigned long pages, blocks; /* guest pages mapped; pieces of memory allocated for open channels */
	unsigned opens, gone;        /* VMB_EV_OPEN and VMB_EV_GONE so far */
};

struct device {
	const struct device_ops *ops;
	struct host *host;
	struct image *image;         /* of a disk */
	unsigned instance;           /* first byte of the instance GUID */
	uint32_t order, channel_id;  /* as in struct vmb_offer */
	vmb_handle handle;           /* 0: not offered */
	struct vmb_channel *ch;      /* the device thread's, while open */
	void *state;
	int wake_fd;                 /* eventfd */
	/* of serve.c */
	void *ch_mem;
	pthread_t thread;
	int running;
	unsigned opens;
	int woken;                   /* out of the last sleep: 1 by a wake, 0 by the clock, -1 if it did not sleep */
	unsigned lost_signals, lost_events; /* loss.h; whoever loses one counts it here, atomically */
	uint64_t looked_ms;
	uint32_t unread_at;          /* the guest's index when it left something unread at the last look, else UNREAD_NONE */
	uint32_t connection, flag;   /* of the last open, for any thread: the guest signals this, we interrupt with that */
	struct vmb_open_info info;   /* of the last open */
	struct vmb_channel_info last; /* when the last open ended */
	/* what the device has to say when it closes, for people and for the report */
	char result[192];            /* "name=value" words */
	uint64_t measure;            /* one figure that says how much worked: heartbeats answered, most requests in flight ... */
	int content;                 /* nothing was wrong */
};

/* ---- for devices: queue one packet, waiting for room if there is none. 0, VMB_ESTOPPED, VMB_EPEER. Flushed by serve.c. */
int device_send(struct device *d, struct vmb_packet *p);

/* ---- for hostend.c and the plans */
int device_make(struct device *d);                               /* once: what it needs for good. 0 or -1 */
int device_offer(struct device *d);                              /* vmb_host_offer, with `user` the device. [control] */
void device_instance(const struct device *d, struct vmb_guid *guid);
void device_opened(struct device *d);                            /* VMB_EV_OPEN: start the thread that attaches and serves */
void device_closed(struct device *d);                            /* VMB_EV_CLOSED: free what the thread used */
void device_wake(struct device *d);                              /* any thread */

uint64_t dev_heartbeat_answered(const struct device *d);         /* any thread: so far, since the last open */

extern const struct device_ops dev_heartbeat, dev_shutdown, dev_timesync, dev_storvsp;

#endif
