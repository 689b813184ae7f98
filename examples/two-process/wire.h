/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What the two processes share: guest memory by a memfd, a socket for hypercalls, an eventfd as the interrupt line. */
#ifndef TWO_PROCESS_WIRE_H
#define TWO_PROCESS_WIRE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <vmbus.h>

enum { RAM_PAGES = 1024, SINT = 2, SIMP_PFN = 1, SIEFP_PFN = 2, FIRST_FREE_PFN = 16, REQUESTS = 200000 };

/* One hypercall, as a datagram from the guest. POST is answered with its status; the others are not answered. */
struct call {
	uint32_t what; /* CALL_* */
	uint32_t connection, flag, length;
	unsigned char input[256]; /* of POST */
};
enum { CALL_POST, CALL_SIGNAL, CALL_EOM };

/* Run one side until its work is done; the result is the process's exit code. */
int host_main(int ram_fd, int socket, int irq);
int guest_main(int ram_fd, int socket, int irq);

static inline void must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, vmb_strerror(r));
		exit(1);
	}
}

static inline void *block(const struct vmb_storage *need)
{
	void *p = aligned_alloc(need->align, (need->bytes + need->align - 1) / need->align * need->align);

	if (!p)
		abort();
	return p;
}

#endif
