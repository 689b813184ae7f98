/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * For scenarios, in the guest: one AF_VSOCK connection between this guest and its host. Standard input goes there and, at the same
 * time, what comes from there to standard output, until both have ended.
 *
 * usage: vsock connect PORT SECONDS     to the host; give up after so long
 *        vsock listen PORT FILE         take one connection of the host; make the file once that can come
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static int complain(const char *what)
{
	fprintf(stderr, "vsock: %s: %s\n", what, strerror(errno));
	return -1;
}

static int go(int s, unsigned port, long seconds)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port };
	struct timeval limit = { .tv_sec = seconds };

	if (setsockopt(s, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof limit) < 0)
		return complain("timeout");
	return connect(s, (struct sockaddr *)&to, sizeof to) < 0 ? complain("connect") : s;
}

static int come(int s, unsigned port, const char *file)
{
	struct sockaddr_vm at = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port };
	int ready;

	if (bind(s, (struct sockaddr *)&at, sizeof at) < 0 || listen(s, 1) < 0)
		return complain("listen");
	ready = open(file, O_WRONLY | O_CREAT, 0644);
	if (ready < 0)
		return complain(file);
	close(ready);
	s = accept(s, NULL, NULL);
	return s < 0 ? complain("accept") : s;
}

/* What is read from `from` must go to `to`, now or later. */
struct flow {
	int from, to;
	size_t have, done;
	int ended;
	char bytes[65536];
};

static int flow_read(struct flow *f)
{
	ssize_t n = read(f->from, f->bytes, sizeof f->bytes);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : complain("read");
	f->have = (size_t)n;
	f->done = 0;
	f->ended = n == 0;
	return 0;
}

static int flow_write(struct flow *f)
{
	ssize_t n = write(f->to, f->bytes + f->done, f->have - f->done);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : complain("write");
	f->done += (size_t)n;
	return 0;
}

/* Regular files are always ready, so only the socket is polled for. */
static int flow_both(int s)
{
	static struct flow out = { .from = STDIN_FILENO }, in = { .to = STDOUT_FILENO };
	struct pollfd p = { .fd = s };
	int shut = 0;

	out.to = in.from = s;
	fcntl(s, F_SETFL, O_NONBLOCK);
	while (!in.ended || !shut) {
		if (!out.ended && out.done == out.have && flow_read(&out) < 0)
			return -1;
		if (out.ended && !shut) {
			if (shutdown(s, SHUT_WR) < 0)
				return complain("shutdown");
			shut = 1;
		}
		p.events = (short)((in.ended ? 0 : POLLIN) | (out.ended ? 0 : POLLOUT));
		if (p.events && poll(&p, 1, -1) < 0 && errno != EINTR)
			return complain("poll");
		if (!in.ended && p.revents & (POLLIN | POLLHUP | POLLERR) && flow_read(&in) < 0)
			return -1;
		while (in.done < in.have)
			if (flow_write(&in) < 0)
				return -1;
		if (!out.ended && p.revents & (POLLOUT | POLLHUP | POLLERR) && flow_write(&out) < 0)
			return -1;
	}
	return close(s);
}

int main(int argc, char **argv)
{
	unsigned port = argc == 4 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	int s = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (!port || s < 0) {
		fprintf(stderr, "usage: vsock connect PORT SECONDS | listen PORT FILE\n");
		return 2;
	}
	s = !strcmp(argv[1], "listen") ? come(s, port, argv[3]) : go(s, port, strtol(argv[3], NULL, 10));
	return s < 0 || flow_both(s) < 0;
}
