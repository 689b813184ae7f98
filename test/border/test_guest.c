/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The guest end's gates: all interleavings of one to three CPUs that take two interrupts for a channel, of a sender, and of each
 * way in which a channel ends or comes again. What must hold in every one of them is in the callbacks of guestside.c.
 */
#include "guestside.h"

#include <criterion/criterion.h>

TestSuite(border_guest, .timeout = 280);

struct scene {
	const char *name;
	uint32_t version;
	unsigned n;                /* CPUs */
	void (*cpu)(void), (*sender)(void), (*control)(void);
};

/* CPUs first, then the sender, then control. */
static void play(const struct scene *s)
{
	struct border_case c;
	unsigned t;

	gs_make(&c, s->name, s->version);
	for (t = 0; t < s->n; t++)
		c.body[t] = s->cpu;
	gs_cpus = (1u << t) - 1;
	gs_marks = s->n < 3;
	if (s->sender) {
		c.body[t++] = s->sender;
		gs.senders = 1;
	}
	gs_control = 1u << t;
	c.body[t++] = s->control;
	c.threads = t;
	c.alike = s->n;
	border_walk("guest", &c);
}

#define CPUS(test, text, count, script) \
	Test(border_guest, test) \
	{ \
		play(&(struct scene){ text, VMB_V6_0, count, .cpu = gs_cpu, .control = script }); \
	}
#define THREE(test, text, script) \
	CPUS(test##_1, text ", 1 CPU", 1, script) \
	CPUS(test##_2, text ", 2 CPUs", 2, script) \
	CPUS(test##_3, text ", 3 CPUs", 3, script)

static void close_it(void)
{
	gs_close();
	gs_events(VMB_EV_CLOSED);
}

static void release(void)
{
	gs_release();
	gs_events(VMB_EV_CLOSED);
	gs_events(VMB_EV_GONE);
}

static void rescind(void)
{
	gs_rescind();
	gs_events(VMB_EV_RESCINDED);
	gs_senders();
	gs_close();
	gs_events(VMB_EV_CLOSED);
	gs_release();
	gs_events(VMB_EV_GONE);
}

static void disconnect(void)
{
	gs_disconnect();
	gs_events(VMB_EV_RESCINDED);
	gs_senders();
	gs_release();
	gs_events(VMB_EV_CLOSED);
	gs_events(VMB_EV_DISCONNECTED);
}

/* A wake for the first open must not come any more when there is the second. */
static void reopen(void)
{
	gs_close();
	gs_events(VMB_EV_CLOSED);
	gs_open();
	gs_events(VMB_EV_OPENED);
	gs_close();
	gs_events(VMB_EV_CLOSED);
}

/* Released, offered again, opened again: the same slot. */
static void offer_again(void)
{
	release();
	gs_offer(1);
	gs_events(VMB_EV_OFFER);
	gs_open();
	gs_events(VMB_EV_OPENED);
}

/* The same slot with another id: interrupts for the old one are nobody's. */
static void another_id(void)
{
	release();
	gs_offer(2);
	gs_events(VMB_EV_OFFER);
	gs.uninterrupted = 2;
	gs_open();
	gs_events(VMB_EV_OPENED);
}

THREE(close, "close", close_it)
THREE(release, "release", release)
THREE(rescind, "rescind", rescind)
THREE(disconnect, "disconnect", disconnect)
CPUS(reopen_1, "close and open, 1 CPU", 1, reopen)
CPUS(reopen_2, "close and open, 2 CPUs", 2, reopen)
THREE(offer_again, "offered again", offer_again)
THREE(another_id, "slot used by another id", another_id)

#define SENDER(test, text, script) \
	Test(border_guest, test) \
	{ \
		play(&(struct scene){ text, VMB_V6_0, 1, gs_cpu, gs_sender, script }); \
	}

SENDER(sender_rescind, "packets, rescind, 1 CPU", rescind)
SENDER(sender_disconnect, "packets, disconnect, 1 CPU", disconnect)

/* ---- below 2.4 all CPUs look at the one interrupt page */

#define PAGE(test, text, count, script) \
	Test(border_guest, test) \
	{ \
		play(&(struct scene){ text, VMB_V1_1, count, .cpu = gs_page_cpu, .control = script }); \
	}

PAGE(page_close_2, "interrupt page, close, 2 CPUs", 2, close_it)
PAGE(page_disconnect_2, "interrupt page, disconnect, 2 CPUs", 2, disconnect)
