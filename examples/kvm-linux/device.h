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

enum { DEVICE_VPS = 8, DEVICE_NO_VP = 0xffff, MESSAGE_TYPES = 32 }; /* processors above the first are counted as the last */

struct device_ops {
	const char *name, *class_id; /* class_id NULL: a Hyper-V socket, whose offer is made of d->socket */
	uint32_t offer_flags;        /* VMB_OFFER_* */
	unsigned period_ms;          /* how often timer is called while the channel is open; 0: never */
	uint32_t state_bytes;        /* of d->state, zeroed at each open */
	/* All on the device's own thread. A negative result is a VMB_E* of a channel call: the channel is given back. */
	int (*open)(struct device *d);                                /* the channel has just been attached */
	int (*packet)(struct device *d, const struct vmb_packet *p);  /* one packet came; it is valid during this call */
	/* No packet is left, or many came. VMB_YES: look once more. May be NULL. */
	int (*drained)(struct device *d);
	int (*timer)(struct device *d);                               /* may be NULL */
	void (*resumed)(struct device *d);                            /* state is that of a process before this one (keep.h); may be NULL */
	void (*close)(struct device *d);                              /* the channel is about to be given back; may be NULL */
};

/* A disk's image and its controls: they outlive opens, rescinds and resets. All words are read and written atomically. */
struct image {
	pthread_mutex_t lock;        /* of the bytes, around each transfer */
	uint8_t *bytes;
	uint64_t size;
	unsigned latency_us;         /* between looks for more requests; when none came, all are answered */
	unsigned hold, held;         /* answer nothing; how many requests are kept in flight so */
	unsigned vanish;             /* answer all requests with an error, at once: the disk is about to go */
	unsigned in_flight;          /* requests taken and not answered, now */
	unsigned cut;                /* requests that were in flight when a channel ended, so far */
	unsigned failed, settled;    /* requests answered with an error since vanish was set; of them those the guest has read */
	unsigned long reads, writes; /* since the process began */
};

/* The part of the process that all devices share. */
struct host {
	struct vmb_host *bus;
	pthread_mutex_t control;     /* around every [control] call */
	pthread_mutex_t traffic;     /* around each packet of the VMM's; taken before control */
	unsigned parking, parked;    /* device threads shall stand still; so many do (keep.h) */
	const struct vmb_mapper *memory; /* guest RAM, for the list and packet calls */
	struct device *device;       /* all there are: integration components, then disks */
	unsigned devices, disks;
	struct device *extra;        /* offered when there is a reason: subchannels of disks, then sockets; they follow in memory */
	unsigned extras;
	uint64_t (*reference_time)(void); /* the guest's partition time, in 100 ns */
	unsigned shutdown_wanted;    /* dev_shutdown.c: set, then wake the device */
	int poke_fd;                 /* eventfd: vmb_host_poll has something */
	unsigned look_ms;            /* how long a device sleeps at most, so that it notices a lost signal; 0: for ever */
	unsigned long pages, blocks; /* guest pages mapped; pieces of memory allocated for open channels */
	unsigned opens, gone;        /* VMB_EV_OPEN and VMB_EV_GONE so far */
	unsigned connects, refused;  /* VMB_EV_HVSOCK so far; of them answered with no */
	unsigned taken[MESSAGE_TYPES], given[MESSAGE_TYPES]; /* control messages of each type, from and to guests */
};

struct device {
	const struct device_ops *ops;
	struct host *host;
	struct image *image;         /* of a disk */
	unsigned instance;           /* first byte of the instance GUID */
	uint32_t subchannel;         /* 0: a primary channel */
	struct device *sub;          /* a disk's subchannel, if it may have one */
	struct vmb_hvsock socket;    /* of dev_socket.c; its class and instance are in the offer */
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
	int resumes;                 /* the open is of a process before this one */
	int woken;                   /* out of the last sleep: 1 by a wake, 0 by the clock, -1 if it did not sleep */
	unsigned lost_signals, lost_events; /* loss.h; whoever loses one counts it here, atomically */
	uint64_t looked_ms;
	uint32_t unread_at;          /* the guest's index when it left something unread at the last look, else UNREAD_NONE */
	uint32_t connection, flag;   /* of the last open, for any thread: the guest signals this, we interrupt with that */
	struct vmb_open_info info;   /* of the last open */
	/* interrupts raised for it, by processor; of them those to another one than the last MODIFY_CHANNEL_RESPONSE promised */
	unsigned long raised[DEVICE_VPS], stray;
	uint32_t vp_wanted, vp_promised; /* the last MODIFY_CHANNEL; the same once it has been answered, else DEVICE_NO_VP */
	unsigned long requests;      /* of a disk: SCSI requests of the guest that came by this channel, since the process began */
	struct vmb_channel_info last; /* when the last open ended */
	/* what the device has to say when it closes, for people and for the report */
	char result[192];            /* "name=value" words */
	uint64_t measure;            /* one figure that says how much worked: heartbeats answered, most requests in flight ... */
	int content;                 /* nothing was wrong */
};

/* ---- for devices: queue one packet, waiting for room if there is none. 0, VMB_ESTOPPED, VMB_EPEER. Flushed by serve.c. */
int device_send(struct device *d, struct vmb_packet *p);

/* ---- for serve.c, by keep.c */
void device_park(struct device *d);
void device_resume(struct device *d);

/* ---- for hostend.c and the plans */
int device_make(struct device *d);                               /* once: what it needs for good. 0 or -1 */
int device_offer(struct device *d);                              /* vmb_host_offer, with `user` the device. [control] */
void device_instance(const struct device *d, struct vmb_guid *guid);
void device_opened(struct device *d);                            /* VMB_EV_OPEN: start the thread that attaches and serves */
void device_closed(struct device *d);                            /* VMB_EV_CLOSED: free what the thread used */
void device_wake(struct device *d);                              /* any thread */

/* PAGES[,NUMBER] of the command line: 0 or -1; the pages, 0: no such device is to be offered */
int dev_balloon_ask(const char *text);
unsigned dev_balloon_asked(void);
uint64_t dev_heartbeat_answered(const struct device *d);         /* any thread: so far, since the last open */


/* ---- dev_socket.c */
/* where the host listens; what it sends in each connection; how many ended ones are kept for plans */
enum { SOCKET_PORT = 5000, SOCKET_BYTES = 300000, SOCKETS_KEPT = 16 };

struct socket_result {
	uint64_t sent, received;     /* bytes */
	uint32_t sent_sum, received_sum; /* as crc32 prints it */
};

void dev_socket_asked(struct host *h, const struct vmb_event *ev); /* VMB_EV_HVSOCK. [control] */
int dev_socket_connect(struct host *h, uint32_t port);           /* to a listener of the guest. 0 or VMB_E*. [control] */
/* Connections in which both sides said all, and the guest has read it. Any thread. */
const struct socket_result *dev_socket_finished(unsigned *count);

extern const struct device_ops dev_heartbeat, dev_balloon, dev_shutdown, dev_timesync, dev_storvsp, dev_ide, dev_socket;

#endif
