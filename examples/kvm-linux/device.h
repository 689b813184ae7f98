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

/* The part of the process that all devices share. */
struct host {
	struct vmb_host *bus;
	pthread_mutex_t control;     /* around every [control] call */
	const struct vmb_mapper *memory; /* guest RAM, for the list and packet calls */
	void *disk;                  /* dev_storvsp.c: the image */
	uint64_t disk_bytes;
	uint64_t (*reference_time)(void); /* the guest's partition time, in 100 ns */
	unsigned shutdown_wanted;    /* dev_shutdown.c: set, then wake the device */
	int poke_fd;                 /* eventfd: vmb_host_poll has something */
};

struct device {
	const struct device_ops *ops;
	struct host *host;
	vmb_handle handle;
	struct vmb_channel *ch;      /* the device thread's, while open */
	void *state;
	int wake_fd;                 /* eventfd */
	/* of serve.c */
	void *ch_mem;
	pthread_t thread;
	int running;
	unsigned opens;
	struct vmb_open_info info;   /* of the last open */
	struct vmb_channel_info last; /* when the last open ended */
	/* what the device has to say when it closes, for people and for the report */
	char result[192];            /* "name=value" words */
	uint64_t measure;            /* one figure that says how much worked: heartbeats answered, most requests in flight ... */
	int content;                 /* nothing was wrong */
};

/* ---- for devices: queue one packet, waiting for room if there is none. 0, VMB_ESTOPPED, VMB_EPEER. Flushed by serve.c. */
int device_send(struct device *d, struct vmb_packet *p);

/* ---- for hostend.c */
int device_offer(struct device *d, unsigned instance);           /* vmb_host_offer, with `user` the device */
void device_opened(struct device *d);                            /* VMB_EV_OPEN: start the thread that attaches and serves */
void device_closed(struct device *d);                            /* VMB_EV_CLOSED: free what the thread used */
void device_wake(struct device *d);                              /* any thread */

uint64_t dev_heartbeat_answered(const struct device *d);         /* any thread: so far */

extern const struct device_ops dev_heartbeat, dev_shutdown, dev_timesync, dev_storvsp;

#endif
