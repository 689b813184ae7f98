/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The VMM's end of the socket to the host-end process, and that process itself.
 */
#ifndef KVM_LINUX_LINK_H
#define KVM_LINUX_LINK_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire.h"

struct link_answer {
	sem_t ready;
	atomic_bool wanted;
	uint32_t status;
};

struct link {
	int fd;                  /* -1: no host end; every post fails with INVALID_CONNECTION_ID */
	int far, keep, ram;      /* the host end's end of it, for the next process; WIRE_KEEP_FD's memfd; the guest's RAM */
	int process;             /* pidfd: ready when the process has ended */
	pid_t pid;
	char *const *argv;
	uint64_t ram_bytes, time_zero_ns;
	unsigned renewed;        /* times that the process was killed and started anew */
	pthread_t reader;
	uint32_t vps;
	atomic_bool ending;      /* OFF was sent: the other side may close */
	struct link_answer answer[WIRE_MAX_VPS + 1]; /* by VP; the last is RESET's */
	/* Called by the reader thread. They must not call link_post or link_reset. */
	void *ctx;
	void (*raise)(void *ctx, uint32_t vp, uint32_t sint);
	void (*kill)(void *ctx);
	void (*died)(void *ctx, const char *why);
};

/* Start the program argv[0], which stays the caller's, and say HELLO. Fill ctx, raise, kill and died in before. 0 or -1. */
int link_start(struct link *l, char *const argv[], int memfd, uint64_t ram_bytes, uint32_t vps, uint64_t time_zero_ns);

/* On the thread of that VP. */
uint32_t link_post(struct link *l, uint32_t vp, const uint8_t input[WIRE_POST_BYTES]);
void link_signal(struct link *l, uint32_t vp, uint32_t connection, uint32_t flag);
void link_eom(struct link *l, uint32_t vp);
void link_synic(struct link *l, const struct wire_synic *state);

/* No VP may be running. reset returns when the host end has let go of guest memory; off returns its exit status, or -1. */
void link_reset(struct link *l);
int link_off(struct link *l);

#endif
