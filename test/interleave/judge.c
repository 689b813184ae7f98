/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* How a scenario begins, and what is left when nothing can happen any more: nothing. See world.h. */
#include "world.h"
#include "lib/bus/guest.h"
#include "lib/bus/host.h"

#include <stdio.h>

void iv_begin(void)
{
	for (const struct iv_op *op = iv_scenario->before; op->op; op++) {
		iv_must(iv_op_ready(op) > 0, "the scenario does not begin");
		if (iv_bad)
			return;
		iv_op_do(op);
		iv_settle();
	}
}

static void judge_host(void)
{
	struct vmb_bus_info info = { .size = sizeof info };

	iv_must(!vmb_host_info(iv.h, &info), "info was refused");
	iv_must(info.state == VMB_BUS_NONE, "the host has a connection still");
	iv_must(!info.attached, "a channel object of the host's is still out");
	iv_must(!info.gpadls && !info.gpadl_pages, "lists are left at the host");
	iv_must(!info.queued, "messages are left at the host");
	for (uint32_t id = 0; id < VMBI_HOST_IDS; id++)
		iv_must(!(iv.h->route[id] & VMBI_HOST_KNOWN), "an id is left at the host");
	for (uint32_t i = 0; i < IV_PAGES; i++) {
		iv_must(!iv.mapped[i], "a page is still mapped");
		iv_must(!iv.held[i], "a page is still held");
	}
	for (uint32_t i = 0; i < iv.devices; i++) {
		iv_must(!iv.device[i].alive && !iv.device[i].asked, "a device waits for ever");
		iv_must(iv.device[i].removed == iv.device[i].gone, "EV_GONE did not come");
	}
}

static void judge_guest(void)
{
	struct vmb_bus_info info = { .size = sizeof info };

	iv_must(!vmb_guest_info(iv.g, &info), "info was refused");
	iv_must(info.state == VMB_BUS_NONE && !iv.connected && !iv.connecting && !iv.leaving, "the guest has a connection still");
	iv_must(!info.channels && !info.attached, "channels are left at the guest");
	iv_must(!info.gpadls && !info.queued, "lists or messages are left at the guest");
	for (uint32_t id = 0; id <= VMBI_MAX_CHANNEL_ID; id++)
		iv_must(!vmbi_guest_map_get(iv.g, iv.g->ids, id) && !vmbi_guest_map_get(iv.g, iv.g->event_slots, id), "an id is left at the guest");
	for (uint32_t i = 0; i < iv.drivers; i++) {
		const struct iv_driver *d = &iv.driver[i];

		iv_must(d->dead || (d->gone && !d->object && !d->closing && !d->list), "a driver waits for ever");
	}
	for (uint32_t i = 0; i < iv.pages && iv_strict(); i++)
		iv_must(iv.lent[i] != IV_LENT, "memory did not come back");
}

void iv_judge_end(void)
{
	for (uint32_t i = 0; i < IV_SCRIPTS; i++)
		iv_must(iv_scenario->script[i][iv.at[i]].op == IV_END, "somebody waits for ever");
	iv_wire_judge_end();
	if (iv_bad)
		return;
	judge_guest();
	if (!iv_strict() && !iv_bad) { /* what a guest that was misled has left at the host goes with the machine */
		iv_reset();
		iv_settle();
	}
	judge_host();
}

const char *iv_step_name(const struct iv_choice *c, char *out, size_t size)
{
	static const char *const step[] = { "to_host", "to_guest", "host_poll", "guest_poll", "signal", "interrupt", "echo_host", "echo_guest",
					    "time", "script", "attach", "refuse", "serve", "give", "hold", "let_go", "late", "work", "stop",
					    "release", "again", "save_host", "save_guest" };
	static const char *const fault[] = { "", "!busy", "!busy2", "!lost", "!twice", "!twice2", "!fails", "!map", "!message", "!echo", "!echo",
					     "!early" };

	snprintf(out, size, "%s%u%s", step[c->step], c->n, fault[c->fault]);
	return out;
}
