/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A guest and its hypervisor in two processes: each has its own address space and maps the same guest memory at another place;
 * posts and signals go over a socket, interrupts through an eventfd, and each side has a control thread and a device thread, as
 * real ones do.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int ram = memfd_create("guest-memory", 0), irq = eventfd(0, 0), pair[2], status, guest;
	pid_t host;

	if (ram < 0 || irq < 0 || ftruncate(ram, (off_t)RAM_PAGES * VMB_PAGE) || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair)) {
		perror("two-process");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	host = fork();
	if (host == 0) {
		close(pair[0]);
		_exit(host_main(ram, pair[1], irq));
	}
	close(pair[1]);
	guest = host < 0 ? 1 : guest_main(ram, pair[0], irq);
	close(pair[0]); /* the host process sees it and ends */
	if (host < 0 || waitpid(host, &status, 0) != host || !WIFEXITED(status) || WEXITSTATUS(status))
		return 1;
	return guest;
}
