/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include <vmbus.h>

/* The host's control thread, after each message of the guest's: open and close what the guest opens and closes. */
int host_work(struct vmb_host *h, uint64_t now, int (*start)(struct vmb_host *h, vmb_handle ch), void (*stop)(uint64_t user), uint64_t *next)
{
	struct vmb_event ev;
	int r;

	while ((r = vmb_host_poll(h, now, &ev)) > 0) {
		if (ev.kind == VMB_EV_OPEN && start(h, ev.ch) < 0) /* it calls vmb_host_attach */
			vmb_host_answer(h, &ev, VMB_EPLATFORM);
		if (ev.kind == VMB_EV_CLOSE) {
			stop(ev.user); /* its threads call nothing of the channel any more */
			vmb_host_detach(h, ev.ch);
		}
	}
	*next = ev.deadline;
	return r;
}
