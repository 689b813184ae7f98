/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The plan of Hyper-V sockets. See plan.h, and the scenario of this name. */
#define _GNU_SOURCE
#include "plan.h"

#include <stdio.h>
#include <string.h>

enum { TO_HOST = 3, TO_GUEST = 2, GUEST_PORT = 6001, TL_CONNECT_REQUEST = 21, TL_CONNECT_RESULT = 23 };

/* Lines "pair <sum> <bytes> <sum> <bytes>", sent and received as the guest has it: which of our connections are there? */
static unsigned pairs_right(struct plan *p)
{
	unsigned count, right = 0, sum[2];
	const struct socket_result *r = dev_socket_finished(&count);
	unsigned long bytes[2];
	const char *line = p->mail;

	while ((line = strstr(line, "\npair ")) != NULL) {
		line++;
		if (sscanf(line, "pair %x %lu %x %lu", &sum[0], &bytes[0], &sum[1], &bytes[1]) != 4)
			return 0;
		for (unsigned i = 0; i < count; i++)
			right += bytes[0] > 0 && bytes[0] == r[i].received && sum[0] == r[i].received_sum && bytes[1] == SOCKET_BYTES &&
				 bytes[1] == r[i].sent && sum[1] == r[i].sent_sum;
	}
	return right;
}

static int connect_to(struct plan *p, uint32_t port)
{
	int r;

	pthread_mutex_lock(&p->host->control);
	r = dev_socket_connect(p->host, port);
	pthread_mutex_unlock(&p->host->control);
	return r == 0 || !plan_check(0, "a connect to the guest's port %u: %s", port, vmb_strerror(r));
}

void plan_socket(struct plan *p)
{
	struct host *h = p->host;
	uint32_t version;
	struct figures before, after;
	unsigned opens, right;
	char text[160];

	if (!plan_mail(p, "listening"))
		return;
	plan_figures(h, &before);
	opens = h->opens;
	plan_go(p);
	for (uint32_t i = 0; i <= TO_GUEST; i++) /* at the last port nobody listens */
		if (!connect_to(p, GUEST_PORT + i))
			return;
	if (!plan_mail(p, "done"))
		return;
	version = h->device->info.version;
	right = pairs_right(p);
	plan_check(right == TO_HOST + TO_GUEST,
		   "%u connections, %u of them the host's: lengths and sums of both directions are the same here and there", right,
		   TO_GUEST);
	if (!plan_reach(&h->gone, TO_HOST + TO_GUEST + 1, "the channels to go"))
		return;
	plan_check(h->opens - opens == TO_HOST + TO_GUEST, "the guest opened %u channels, and not the one to a port where nobody listens",
		   h->opens - opens);
	plan_check(h->connects == TO_HOST + 1 && h->taken[TL_CONNECT_REQUEST] == h->connects && h->refused == 1 &&
			   h->given[TL_CONNECT_RESULT] == (version >= VMB_V4_1),
		   "version %u.%u: TL_CONNECT_REQUEST %u times, %u refused, TL_CONNECT_RESULT %u", version >> 16, version & 0xffff,
		   h->connects, h->refused, h->given[TL_CONNECT_RESULT]);
	plan_figures(h, &after);
	plan_print(&after, text);
	plan_check(plan_same(&before, &after), "nothing leaked: %s", text);
}
