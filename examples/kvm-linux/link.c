/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The VMM's end of the socket to the host-end process. Senders are the vCPU threads. One reader thread takes what comes back and
 * never waits for anything but the socket; that is why no vCPU can deadlock with the host end.
 */
#define _GNU_SOURCE
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HV_INVALID_CONNECTION_ID 0x12u /* platform.md 4.5 */
#define OFF_PATIENCE_MS 10000          /* how long the host end may take to exit */

/* A failed send needs no reaction: the reader sees the same end of the socket, and says so. */
static void link_send(struct link *l, const void *packet, size_t bytes)
{
	while (send(l->fd, packet, bytes, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

static int send_hello(const struct link *l, int fd)
{
	struct wire_hello hello = {
		.head = { .type = WIRE_HELLO, .vp = WIRE_NO_VP },
		.version = WIRE_VERSION, .vps = l->vps, .ram_bytes = l->ram_bytes, .time_zero_ns = l->time_zero_ns,
	};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = &hello, .iov_len = sizeof(hello) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c;

	memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &l->ram, sizeof(int));
	return sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof(hello) ? 0 : -1;
}

/* In the child. Only the three descriptors of wire.h and the standard streams survive: everything else is close-on-exec. */
static void child_exec(const int from[3], char *const argv[])
{
	static const int to[3] = { WIRE_FD, WIRE_HELLO_FD, WIRE_KEEP_FD };
	int safe[3], i, ok = 1;
	sigset_t none;

	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	for (i = 0; i < 3; i++)
		safe[i] = fcntl(from[i], F_DUPFD_CLOEXEC, WIRE_KEEP_FD + 1); /* out of the way */
	for (i = 0; i < 3; i++)
		ok &= dup2(safe[i], to[i]) == to[i];
	if (ok)
		execv(argv[0], argv);
	fprintf(stderr, "vmm: cannot start %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* The process, for the first time or once more. 0 or -1. */
static int process_start(struct link *l)
{
	int hello[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, hello) < 0)
		return -1;
	l->pid = fork();
	if (l->pid == 0)
		child_exec((const int[3]){ l->far, hello[1], l->keep }, l->argv);
	r = l->pid < 0 ? -1 : send_hello(l, hello[0]);
	l->process = l->pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, l->pid, 0);
	close(hello[0]);
	close(hello[1]);
	return r < 0 || l->process < 0 ? -1 : 0;
}

/* It has saved all and does nothing any more. What the guest said meanwhile waits in the socket, which we hold open. */
static const char *process_renew(struct link *l)
{
	kill(l->pid, SIGKILL);
	waitpid(l->pid, NULL, 0);
	close(l->process);
	l->renewed++;
	return process_start(l) < 0 ? "cannot be started anew" : NULL;
}

static void answer_give(struct link *l, uint32_t vp, uint32_t status)
{
	struct link_answer *a = &l->answer[vp == WIRE_NO_VP ? WIRE_MAX_VPS : vp];

	if (!atomic_exchange(&a->wanted, false))
		return;
	a->status = status;
	sem_post(&a->ready);
}

/* One packet. NULL, or what is wrong with it. */
static const char *reader_take(struct link *l, const union wire_packet *p, size_t bytes)
{
	if (bytes < sizeof(p->head) || (p->head.vp >= l->vps && p->head.vp != WIRE_NO_VP))
		return "sent a packet for no VP";
	if (p->head.type == WIRE_STATUS && bytes == sizeof(p->status)) {
		answer_give(l, p->head.vp, p->status.status);
		return NULL;
	}
	if (p->head.type == WIRE_RAISE && bytes == sizeof(p->raise) && p->head.vp != WIRE_NO_VP && p->raise.sint < 16) {
		l->raise(l->ctx, p->head.vp, p->raise.sint);
		return NULL;
	}
	if (p->head.type == WIRE_KILL && bytes == sizeof(p->head)) {
		l->kill(l->ctx);
		return NULL;
	}
	if (p->head.type == WIRE_SAVED && bytes == sizeof(p->head))
		return process_renew(l);
	return "sent a packet of no known kind";
}

/* The next packet: NULL, or why there is none. Our own copy of the far end keeps the socket open, so the process is watched too. */
static const char *reader_next(struct link *l)
{
	struct pollfd ready[2] = { { .fd = l->fd, .events = POLLIN }, { .fd = l->process, .events = POLLIN } };
	union wire_packet p;
	ssize_t n;

	if (poll(ready, 2, -1) < 0)
		return errno == EINTR ? NULL : "cannot be watched";
	if (!ready[0].revents)
		return "has ended";
	n = recv(l->fd, &p, sizeof(p), 0);
	if (n < 0 && errno == EINTR)
		return NULL;
	return n <= 0 ? "closed the socket" : reader_take(l, &p, (size_t)n);
}

static void *reader_main(void *arg)
{
	struct link *l = arg;
	const char *why;
	uint32_t i;

	while ((why = reader_next(l)) == NULL)
		;
	if (!atomic_load(&l->ending))
		l->died(l->ctx, why);
	/* Later senders fail at once instead of waiting for a reader that is gone; those who wait for an answer get one. */
	shutdown(l->fd, SHUT_RDWR);
	for (i = 0; i < l->vps; i++)
		answer_give(l, i, HV_INVALID_CONNECTION_ID);
	answer_give(l, WIRE_NO_VP, HV_INVALID_CONNECTION_ID);
	return NULL;
}

int link_start(struct link *l, char *const argv[], int memfd, uint64_t ram_bytes, uint32_t vps, uint64_t time_zero_ns)
{
	int pair[2];
	uint32_t i;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	l->fd = pair[0];
	l->far = pair[1];
	l->keep = memfd_create("host-end", MFD_CLOEXEC);
	l->ram = memfd;
	l->argv = argv;
	l->ram_bytes = ram_bytes;
	l->time_zero_ns = time_zero_ns;
	l->vps = vps;
	atomic_init(&l->ending, false);
	for (i = 0; i <= WIRE_MAX_VPS; i++) {
		atomic_init(&l->answer[i].wanted, false);
		sem_init(&l->answer[i].ready, 0, 0);
	}
	if (l->keep < 0 || process_start(l) < 0)
		return -1;
	return pthread_create(&l->reader, NULL, reader_main, l) ? -1 : 0;
}

/* Send, and wait for the STATUS that answers it. */
static uint32_t link_ask(struct link *l, const void *packet, size_t bytes, struct link_answer *a)
{
	atomic_store(&a->wanted, true);
	while (send(l->fd, packet, bytes, MSG_NOSIGNAL) < 0) {
		/* The reader may answer this one too while it ends; then its post must be taken. */
		if (errno != EINTR && atomic_exchange(&a->wanted, false))
			return HV_INVALID_CONNECTION_ID;
		if (errno != EINTR)
			break;
	}
	while (sem_wait(&a->ready) < 0)
		;
	return a->status;
}

uint32_t link_post(struct link *l, uint32_t vp, const uint8_t input[WIRE_POST_BYTES])
{
	struct wire_post post = { .head = { .type = WIRE_POST, .vp = vp } };

	if (l->fd < 0)
		return HV_INVALID_CONNECTION_ID;
	memcpy(post.input, input, sizeof(post.input));
	return link_ask(l, &post, sizeof(post), &l->answer[vp]);
}

void link_signal(struct link *l, uint32_t vp, uint32_t connection, uint32_t flag)
{
	struct wire_signal s = { .head = { .type = WIRE_SIGNAL, .vp = vp }, .connection = connection, .flag = flag };

	if (l->fd >= 0)
		link_send(l, &s, sizeof(s));
}

void link_eom(struct link *l, uint32_t vp)
{
	struct wire_head eom = { .type = WIRE_EOM, .vp = vp };

	if (l->fd >= 0)
		link_send(l, &eom, sizeof(eom));
}

void link_synic(struct link *l, const struct wire_synic *state)
{
	if (l->fd >= 0)
		link_send(l, state, sizeof(*state));
}

void link_reset(struct link *l)
{
	struct wire_head reset = { .type = WIRE_RESET, .vp = WIRE_NO_VP };

	if (l->fd >= 0)
		link_ask(l, &reset, sizeof(reset), &l->answer[WIRE_MAX_VPS]);
}

int link_off(struct link *l)
{
	struct wire_head off = { .type = WIRE_OFF, .vp = WIRE_NO_VP };
	struct timespec ms = { .tv_nsec = 1000000 };
	int status = 0, left = OFF_PATIENCE_MS;

	if (l->fd < 0)
		return 0;
	atomic_store(&l->ending, true);
	link_send(l, &off, sizeof(off));
	while (waitpid(l->pid, &status, WNOHANG) == 0) {
		if (left-- == 0) {
			fprintf(stderr, "vmm: the host end does not exit\n");
			kill(l->pid, SIGKILL);
			waitpid(l->pid, &status, 0);
			break;
		}
		nanosleep(&ms, NULL);
	}
	pthread_join(l->reader, NULL);
	if (l->renewed)
		fprintf(stderr, "VMB-NOTE: the host end's process was killed and started anew %u times\n", l->renewed);
	close(l->fd);
	close(l->far);
	close(l->keep);
	close(l->process);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
