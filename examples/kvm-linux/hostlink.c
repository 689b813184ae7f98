/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The host-end process's end of the socket to the VMM: receive, answer, interrupt, and the guest's RAM.
 */
#define _GNU_SOURCE
#include "hostlink.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The descriptor that came with the packet, or -1. */
static int hello_receive(int fd, struct wire_hello *hello)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = hello, .iov_len = sizeof(*hello) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c;
	int memfd = -1;

	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(*hello))
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&memfd, CMSG_DATA(c), sizeof(int));
	return memfd;
}

int hostlink_open(struct hostlink *l)
{
	struct wire_hello hello;
	int memfd = hello_receive(WIRE_HELLO_FD, &hello);

	if (memfd < 0 || hello.head.type != WIRE_HELLO || hello.version != WIRE_VERSION)
		return -1;
	l->fd = WIRE_FD;
	l->vps = hello.vps;
	l->ram_bytes = hello.ram_bytes;
	l->time_zero_ns = hello.time_zero_ns;
	l->ram = mmap(NULL, l->ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	close(memfd);
	close(WIRE_HELLO_FD);
	return l->ram == MAP_FAILED ? -1 : 0;
}

static size_t packet_bytes(uint32_t type)
{
	switch (type) {
	case WIRE_POST:
		return sizeof(struct wire_post);
	case WIRE_SIGNAL:
		return sizeof(struct wire_signal);
	case WIRE_SYNIC:
		return sizeof(struct wire_synic);
	case WIRE_EOM:
	case WIRE_RESET:
	case WIRE_OFF:
		return sizeof(struct wire_head);
	}
	return 0;
}

int hostlink_wait(struct hostlink *l)
{
	struct pollfd ready = { .fd = l->fd, .events = POLLIN };

	while (poll(&ready, 1, -1) < 0)
		if (errno != EINTR)
			return -1;
	return 0;
}

int hostlink_receive(struct hostlink *l, union wire_packet *p, int timeout_ms)
{
	struct pollfd ready = { .fd = l->fd, .events = POLLIN };
	ssize_t n;

	do
		n = poll(&ready, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n == 0 ? 0 : -1;
	n = recv(l->fd, p, sizeof(*p), 0);
	if (n < (ssize_t)sizeof(p->head) || (size_t)n != packet_bytes(p->head.type))
		return -1;
	return p->head.vp < l->vps || p->head.vp == WIRE_NO_VP ? 1 : -1;
}

static void packet_send(struct hostlink *l, const void *packet, size_t bytes)
{
	while (send(l->fd, packet, bytes, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

void hostlink_status(struct hostlink *l, uint32_t vp, uint32_t status)
{
	struct wire_status s = { .head = { .type = WIRE_STATUS, .vp = vp }, .status = status };

	packet_send(l, &s, sizeof(s));
}

void hostlink_raise(struct hostlink *l, uint32_t vp, uint32_t sint)
{
	struct wire_raise r = { .head = { .type = WIRE_RAISE, .vp = vp }, .sint = sint };

	packet_send(l, &r, sizeof(r));
}

void hostlink_kill(struct hostlink *l)
{
	struct wire_head kill = { .type = WIRE_KILL, .vp = WIRE_NO_VP };

	packet_send(l, &kill, sizeof(kill));
}

void hostlink_saved(struct hostlink *l)
{
	struct wire_head saved = { .type = WIRE_SAVED, .vp = WIRE_NO_VP };

	packet_send(l, &saved, sizeof(saved));
}

void *hostlink_keep(uint64_t bytes)
{
	struct stat st;
	void *p;

	if (fstat(WIRE_KEEP_FD, &st) < 0 || (st.st_size == 0 && ftruncate(WIRE_KEEP_FD, (off_t)bytes) < 0))
		return NULL;
	p = st.st_size && (uint64_t)st.st_size != bytes ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, WIRE_KEEP_FD, 0);
	return p == MAP_FAILED ? NULL : p;
}

void *hostlink_memory(const struct hostlink *l, uint64_t gpa, uint64_t bytes)
{
	return bytes <= l->ram_bytes && gpa <= l->ram_bytes - bytes ? l->ram + gpa : NULL;
}

uint64_t hostlink_time(const struct hostlink *l)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec - l->time_zero_ns) / 100u;
}
