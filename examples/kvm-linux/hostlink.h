/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The host-end process's end of the socket to the VMM.
 */
#ifndef KVM_LINUX_HOSTLINK_H
#define KVM_LINUX_HOSTLINK_H

#include <stdint.h>

#include "wire.h"

struct hostlink {
	int fd;
	uint32_t vps;
	uint8_t *ram;            /* guest physical 0 .. ram_bytes-1. The guest writes it at any time */
	uint64_t ram_bytes;
	uint64_t time_zero_ns;
};

/* Take HELLO from the inherited descriptor WIRE_HELLO_FD, and map the guest's RAM. 0 or -1. */
int hostlink_open(struct hostlink *l);
/* Until there is a packet to receive, or nobody to send any: 0 or -1. */
int hostlink_wait(struct hostlink *l);
/* Next packet: 1; none within timeout_ms (-1: for ever): 0; the VMM is gone or talks nonsense: -1. One caller at a time. */
int hostlink_receive(struct hostlink *l, union wire_packet *p, int timeout_ms);
/* From any thread. A failure shows in hostlink_receive. */
void hostlink_status(struct hostlink *l, uint32_t vp, uint32_t status);
void hostlink_raise(struct hostlink *l, uint32_t vp, uint32_t sint);
void hostlink_kill(struct hostlink *l); /* the machine is reset */
void hostlink_saved(struct hostlink *l); /* the process is killed, and started anew */
/* The memory that outlives the process, all of it, made this long if it is new: NULL if it cannot be had. */
void *hostlink_keep(uint64_t bytes);
/* Guest memory: NULL if any of it is not RAM. */
void *hostlink_memory(const struct hostlink *l, uint64_t gpa, uint64_t bytes);
/* The guest's reference time now, in 100 ns. */
uint64_t hostlink_time(const struct hostlink *l);

#endif
