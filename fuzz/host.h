/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The parts of the host target: a guest that says anything at any time, and an embedder that answers when and what the input says. The
 * platform below checks what the library may do to the world; the devices above check the life that it promises to each channel.
 *
 * Calls that need no control lock are as if on other threads: inside their callbacks, and before any access of theirs to memory between
 * threads, steps of the input go on. So signals overlap with closing, removal and reset.
 */
#ifndef FUZZ_HOST_H
#define FUZZ_HOST_H

#include "fuzz.h"

#include <vmbus.h>

#define HOST_PAGES 64u
#define HOST_FIRST_PFN 0x100u
#define HOST_VPS 4u
#define HOST_DEVICES 64u
#define HOST_HOLDS 4u
#define HOST_GPADLS 8u /* ids that the model follows */
#define HOST_USER 1000u

enum { DEVICE_NONE, DEVICE_ASKED, DEVICE_SERVING, DEVICE_DRAINING };

struct host_hold {
	uint32_t gpadl, n;
	int asked;
	struct vmb_event question;
};

struct host_device {
	vmb_handle handle; /* 0: there is none */
	int state, removed, gone, remote, close_asked, may_wake;
	int busy;          /* a data call is running */
	int inside;        /* callbacks that are running */
	uint32_t class, instance, sub;
	uint32_t primary;  /* of a subchannel: its number + 1 */
	uint32_t id;       /* as the guest knows it, or 0 */
	int rescinded, released; /* told, said; perhaps in vain */
	int reserved;      /* its last open may be one that outlives the connection */
	int renews;        /* goes and comes again, when the guest closes it */
	int expires;       /* may be removed by the library: a socket that the guest does not open */
	struct vmb_event question;
	struct vmb_channel *ch;
	void *mem;
	void **own;        /* pages of the rings, where the embedder has mapped them itself */
	uint32_t owns;
	uint32_t ring_gpadl;
	struct host_hold hold[HOST_HOLDS];
};

struct host {
	struct vmb_host *h;
	struct vmb_host_config cfg;
	void *mem;
	struct fuzz_input in;
	unsigned control;   /* control calls that are running: 0 or 1 */
	unsigned depth;     /* of steps inside callbacks */
	unsigned preempt;   /* the n-th access of a thread without the control lock is delayed until others have gone on; 0: none */
	/* the platform */
	unsigned busy;      /* slot: 0 free, 1 occupied, 2 broken */
	int was_blocked;    /* some message was not taken when it was first offered */
	unsigned map_fail;  /* the n-th map from now on fails; 0: none */
	struct host_device *attaching;
	unsigned ring_maps;
	/* the guest */
	int trusted; /* speaks by a path that only guest and paravisor see */
	uint8_t draft[VMB_MESSAGE_MAX + 16];
	uint32_t draft_len;
	uint32_t created[HOST_GPADLS], torn[HOST_GPADLS];
	/* the embedder */
	struct host_device device[HOST_DEVICES];
	uint32_t devices;
	int connected, resetting;
	struct vmb_event old[8]; /* questions, answered or not */
	unsigned olds;
};

extern struct host host;

/* A control call: no two at once. */
#define HOST_CALL(var, call) \
	do { \
		host.control++; \
		(var) = (call); \
		host.control--; \
	} while (0)

/* host.c */
void host_run(const struct fuzz_step *s);
/* Go on with the input, inside a callback. */
void host_nested(void);

/* host_platform.c: memory and callbacks */
void host_platform_reset(void);
void host_platform_write(uint32_t at, uint32_t value);
unsigned host_platform_mapped(void); /* mappings alive */
/* The embedder maps n pages itself, without the callback: 0, or -1 and none is mapped. And the way back. */
int host_platform_own(const uint64_t *pfns, uint32_t n, void **pages);
void host_platform_disown(uint32_t n, void *const *pages);
int host_platform_is_ring(uint64_t pfn); /* mapped as a part of a ring? */
void host_platform_callbacks(struct vmb_host_config *cfg);

/* host_guest.c: what the guest says, and what it is told */
void host_guest_step(const struct fuzz_step *s);
void host_guest_post(uint32_t connection, const uint8_t *msg, uint32_t len);
void host_guest_told(uint32_t sint, const uint8_t *msg, uint32_t len);

/* host_device.c: the embedder */
struct host_device *host_device_at(uint64_t user);
void host_device_step(const struct fuzz_step *s);
void host_device_data(struct host_device *d, const struct fuzz_step *s);
void host_device_finish(void);
void host_device_offer(struct vmb_offer *o); /* of a socket */

/* host_more.c: what a connection has beside its channels */
void host_more_config(uint32_t bits);
void host_more_socket(const struct vmb_event *ev);
void host_more_step(const struct fuzz_step *s);
int host_device_holds(const struct host_device *d);

#endif /* FUZZ_HOST_H */
