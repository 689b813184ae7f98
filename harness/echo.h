/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Two programs for the machine: devices that answer every request, and a driver that opens every channel offered, keeps
 * requests in flight, checks each answer byte for byte, closes, opens again, and gives its memory back. In-band requests come
 * back in the completion; GPA-direct requests have their pages inverted by the device. All choices come from the machine's
 * seed.
 */
#ifndef HARNESS_ECHO_H
#define HARNESS_ECHO_H

#include "machine.h"

enum { ECHO_DEVICES = 8, ECHO_CLIENTS = 16, ECHO_DEPTH = 16 };
enum echo_ring { ECHO_RING_PLAIN, ECHO_RING_TWICE, ECHO_RING_PAGES, ECHO_RING_ANY };

struct echo_config {
	unsigned devices;       /* offered at the start, two instances of each class */
	unsigned requests;      /* per open */
	unsigned reopen;        /* times each channel is opened again */
	unsigned ring_pages;    /* data pages of each ring; 0: 3 */
	enum echo_ring ring;
	unsigned late_open;     /* percent of opens that the device answers only later */
	unsigned gpadls;        /* extra GPADLs that each client makes while it is open */
	int pipe;               /* the devices are pipes */
};

struct echo_device {
	vmb_handle handle;
	struct vmb_channel *ch;
	void *mem;
	int offered, open, ready, closing;
	struct vmb_event question;
	unsigned long served;
};

struct echo_request {
	int busy, gpa;
	uint64_t id, pfn;
	uint32_t bytes, offset, seed;
};

struct echo_client {
	int used, opened, ready, rescinded, closed, gone, stuck;
	vmb_handle handle;
	struct vmb_channel *ch;
	void *mem;
	enum echo_ring ring;
	uint64_t ring_pfn, pfns[64];
	unsigned ring_pages, sent, answered, opens, failed;
	struct echo_request requests[ECHO_DEPTH];
	uint32_t gpadl[4];
	uint64_t gpadl_pfn[4];
};

struct echo {
	struct echo_config cfg;
	struct echo_device device[ECHO_DEVICES];
	struct echo_client client[ECHO_CLIENTS];
	unsigned long answered, opened, closed, offers, gones, host_gones, leaked;
	int connected, offers_done, disconnected, connect_status;
};

/* Fill in programs and user of a machine's config; e must outlive the machine. */
void echo_programs(struct echo *e, const struct echo_config *cfg, struct machine_config *m);
/* Offer device n; a second call after GONE offers it again. Returns vmb_host_offer's result. */
int echo_offer(struct machine *m, unsigned n);
/* All requests answered, everything closed and released? */
int echo_done(const struct echo *e);
/* Forget the guest's side: it has crashed. */
void echo_forget(struct machine *m);

#endif
