/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Starts a guest and its host, two programs that know each other by what they inherit only:
 *
 *     launch SECONDS "GUEST COMMAND" "HOST COMMAND"
 *
 * Descriptor 3 is the guest's memory, 4 the socket to the other side, 5 the eventfd that is the guest's interrupt line. It ends with 0 if both
 * did so, in time. Once one has failed the other has a second left.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "examples/two-process/wire.h"

static const char *const name[2] = { "guest", "host" };
static volatile pid_t child[2];

static void too_late(int signal)
{
	static const char text[] = "launch: time is up\n";
	ssize_t n = write(2, text, sizeof text - 1);

	(void)signal, (void)n;
	for (int i = 0; i < 2; i++)
		if (child[i] > 0)
			kill(child[i], SIGKILL);
}

/* The descriptor out of the way of 3, 4 and 5. */
static int above(int fd)
{
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);

	if (high < 0) {
		perror("launch");
		exit(1);
	}
	close(fd);
	return high;
}

static pid_t start(const char *command, int ram, int socket, int irq)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("launch");
		exit(1);
	}
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* none is left behind */
		dup2(ram, 3);
		dup2(socket, 4);
		dup2(irq, 5);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	return pid;
}

int main(int argc, char **argv)
{
	int ram, irq, pair[2], status, bad = 0;
	char command[2][4096];

	if (argc != 4)
		return 2;
	ram = above(memfd_create("guest-memory", 0));
	irq = above(eventfd(0, 0));
	if (ftruncate(ram, (off_t)RAM_PAGES * VMB_PAGE) || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair)) {
		perror("launch");
		return 1;
	}
	signal(SIGALRM, too_late);
	for (int i = 0; i < 2; i++) {
		pair[i] = above(pair[i]);
		snprintf(command[i], sizeof command[i], "exec %s", argv[2 + i]);
	}
	for (int i = 0; i < 2; i++)
		child[i] = start(command[i], ram, pair[i], irq);
	close(pair[0]), close(pair[1]); /* the end of one is then seen by the other */
	alarm((unsigned)strtoul(argv[1], NULL, 10));
	for (int left = 2; left; left--) {
		pid_t pid;

		while ((pid = wait(&status)) < 0) /* interrupted by the alarm */
			;
		for (int i = 0; i < 2; i++) {
			if (child[i] != pid)
				continue;
			child[i] = 0;
			if (!WIFEXITED(status) || WEXITSTATUS(status)) {
				fprintf(stderr, "launch: the %s failed: %s %d\n", name[i], WIFEXITED(status) ? "exit status" : "signal",
					WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
				bad = 1;
				alarm(1);
			}
		}
	}
	return bad;
}
