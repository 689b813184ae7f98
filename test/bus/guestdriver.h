/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A driver on the bench that does all a guest can do with one device: it opens it, makes two page lists, moves the interrupt,
 * destroys a list, closes, opens again, closes, releases, and disconnects. It goes on tick by tick: a tick gives the guest one
 * message or pulls one event. So a test can do something else at any moment of this life, and whatever happens then, the rules
 * of driver_end must hold.
 */
#ifndef TEST_GUESTDRIVER_H
#define TEST_GUESTDRIVER_H

#include "guestbench.h"

struct driver_list {
	uint32_t gpadl;
	int made, created, ended, destroyed;
};

struct driver {
	struct bench *b;
	vmb_handle h;           /* while known */
	int out;                /* the channel object is out */
	int is_open;            /* and EV_OPENED(0) was told */
	int released, rescinded;
	int opens;              /* how often it has opened it: twice is enough */
	int stay;               /* do not close by yourself once all is up */
	int target_asked;
	int disconnecting;
	struct driver_list list[2];
	uint32_t leaks;         /* reports of VMB_ELEAK */
	/* counts over its life */
	uint32_t offers, opened, closed, gones, disconnects, made, ends, connects, targets;
	int connect_status, disconnect_status;
	char trace[4096];       /* events, one letter and status each */
	uint32_t traced;
};

struct driver *driver_new(uint32_t version); /* connects */
/* One message or one event; 0 when nothing is left. */
int driver_tick(struct driver *d);
void driver_run(struct driver *d);           /* until nothing is left */
void driver_disconnect(struct driver *d);    /* if that can be done now */
void driver_close(struct driver *d);
void driver_release(struct driver *d);
/* Disconnect, if not yet, and demand: every open ended with EV_CLOSED, every list with its last event, every offer with EV_GONE,
 * nothing is left. leaks: whether some may have been told. Frees all. */
void driver_end(struct driver *d, int leaks);

#endif /* TEST_GUESTDRIVER_H */
