/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The host end's gates: all interleavings of one to three vCPUs that signal twice, of the device's threads, and of each way in
 * which control can end a channel or change it. What must hold in every one of them is in the callbacks of hostside.c.
 */
#include "hostside.h"

#include <criterion/criterion.h>

TestSuite(border_host, .timeout = 280);

struct scene {
	const char *name;
	uint32_t version;
	unsigned slots;            /* of the host */
	unsigned n;                /* signallers, or senders, that all do the same */
	void (*signaller)(void), (*sender)(void), (*control)(void);
};

static void close_it(void);
static void unload(void);
static void retarget_once(void);

/* Signallers and senders first, then the owner, then control. What happened before what multiplies the states, so with more
 * than one signaller it is looked at in some scenes only. */
static void play(const struct scene *s)
{
	struct border_case c;
	unsigned t = 0;

	hs_make(&c, s->name, s->version, s->slots);
	hs_signallers = 0;
	for (; s->signaller && t < s->n; t++) {
		c.body[t] = s->signaller;
		hs_signallers |= 1u << t;
	}
	if (s->sender) {
		do
			c.body[t++] = s->sender;
		while (!s->signaller && t < s->n);
		hs.senders = s->signaller ? 1 : s->n;
	}
	hs.page_rounds = s->n > 1 ? 1 : HS_ROUNDS; /* that is a long way */
	hs_marks = s->n == 1 || (s->n == 2 && (s->control == close_it || s->control == unload || s->control == retarget_once));
	c.alike = s->n;
	hs_owners = 1u << t;
	c.body[t++] = hs_owner;
	c.body[t++] = s->control;
	c.threads = t;
	border_walk("host", &c);
}

#define SIGNALLED(test, text, ver, count, script) \
	Test(border_host, test) \
	{ \
		play(&(struct scene){ text, ver, 1, count, .signaller = hs_signaller, .control = script }); \
	}
/* Three of them, and a script that ends as soon as the channel has. */
#define THREE(test, text, script, shorter) \
	SIGNALLED(test##_1, text ", 1 signaller", VMB_V5_3, 1, script) \
	SIGNALLED(test##_2, text ", 2 signallers", VMB_V5_3, 2, script) \
	SIGNALLED(test##_3, text ", 3 signallers", VMB_V5_3, 3, shorter)

/* ---- the guest closes, the device goes, the guest leaves, the VM is reset */

static void close_it(void)
{
	HS_POST(7, 0, 1);
	hs_events(VMB_EV_CLOSED);
	HS_POST(11, 0, 1, HS_GPADL);
	hs_message(HS_TORNDOWN);
	hs_done();
}

static void close_only(void)
{
	HS_POST(7, 0, 1);
	hs_events(VMB_EV_CLOSED);
	hs_done();
}

static void rescind_it(void)
{
	hs_remove();
	hs_events(VMB_EV_CLOSED);
	hs_message(HS_RESCIND);
	HS_POST(13, 0, 1);
	hs_events(VMB_EV_GONE);
	hs_done();
}

static void rescind_only(void)
{
	hs_remove();
	hs_events(VMB_EV_CLOSED);
	hs_done();
}

static void unload(void)
{
	HS_POST(16, 0);
	hs_message(HS_UNLOADED);
	hs_done();
}

static void contact(void)
{
	hs_contact(VMB_V5_3, 0);
	hs_message(HS_VERSION);
	hs_done();
}

static void reset(void)
{
	hs_reset();
	hs_events(VMB_EV_RESET);
	hs_done();
}

THREE(close, "close", close_it, close_only)
THREE(rescind, "rescind", rescind_it, rescind_only)
THREE(unload, "unload", unload, unload)
THREE(contact, "new contact", contact, contact)
THREE(reset, "reset", reset, reset)

/* ---- and comes again */

/* The guest does not wait: its next OPEN is there before the device has let go. */
static void reopen(void)
{
	HS_POST(7, 0, 1);
	hs_open(1, HS_GPADL + 1);
	hs_events(VMB_EV_CLOSED);
	hs_message(HS_OPENED);
	HS_POST(7, 0, 1);
	hs_events(VMB_EV_CLOSED);
	hs_done();
}

static void open_after_close(void)
{
	HS_POST(7, 0, 1);
	hs_events(VMB_EV_CLOSED);
	hs_open(1, HS_GPADL + 1);
	hs_message(HS_OPENED);
	hs_done();
}

/* The device gives it back by itself and takes it again; for the guest it is open all the time. */
static void pause(void)
{
	hs_detach();
	hs_events(VMB_EV_CLOSED);
	hs_attach();
	HS_POST(7, 0, 1);
	hs_events(VMB_EV_CLOSED);
	hs_done();
}

/* Another device in the same slot, with the same id. */
static void offer_after_gone(void)
{
	hs_remove();
	hs_events(VMB_EV_CLOSED);
	hs_message(HS_RESCIND);
	HS_POST(13, 0, 1);
	hs_events(VMB_EV_GONE);
	hs_offer(6, 0);
	hs_open(1, HS_GPADL + 1);
	hs_message(HS_OPENED);
	hs_done();
}

/* In the same slot, with another id: signals to the old one are not for it. */
static void another_id(void)
{
	hs_remove();
	hs_events(VMB_EV_CLOSED);
	hs_message(HS_RESCIND);
	HS_POST(13, 0, 1);
	hs_events(VMB_EV_GONE);
	hs.unsignalled = 6;
	hs_offer(6, 2);
	hs_open(2, HS_GPADL + 1);
	hs_message(HS_OPENED);
	hs_done();
}

/* Offered again while the guest still has the old one. */
static void heir(void)
{
	hs_remove();
	hs_events(VMB_EV_CLOSED);
	hs_offer(6, 0);
	hs_message(HS_RESCIND);
	HS_POST(13, 0, 1);
	hs_events(VMB_EV_GONE);
	hs_open(1, HS_GPADL + 1);
	hs_message(HS_OPENED);
	hs_done();
}

SIGNALLED(reopen_1, "close and open at once, 1 signaller", VMB_V5_3, 1, reopen)
SIGNALLED(reopen_2, "close and open at once, 2 signallers", VMB_V5_3, 2, reopen)
SIGNALLED(open_after_close_1, "open after close, 1 signaller", VMB_V5_3, 1, open_after_close)
SIGNALLED(open_after_close_2, "open after close, 2 signallers", VMB_V5_3, 2, open_after_close)
SIGNALLED(pause_1, "detach, attach, close, 1 signaller", VMB_V5_3, 1, pause)
SIGNALLED(pause_2, "detach, attach, close, 2 signallers", VMB_V5_3, 2, pause)
SIGNALLED(offer_after_gone_1, "slot used again, 1 signaller", VMB_V5_3, 1, offer_after_gone)
SIGNALLED(offer_after_gone_2, "slot used again, 2 signallers", VMB_V5_3, 2, offer_after_gone)
SIGNALLED(another_id_1, "slot used by another id, 1 signaller", VMB_V5_3, 1, another_id)
SIGNALLED(another_id_2, "slot used by another id, 2 signallers", VMB_V5_3, 2, another_id)

Test(border_host, heir_2)
{
	play(&(struct scene){ "offered again, 2 signallers", VMB_V5_3, 2, 2, .signaller = hs_signaller, .control = heir });
}

/* ---- the interrupt page of versions below 2.4 */

static void contact_other_page(void)
{
	hs_contact(VMB_V1_1, HS_PAGE2);
	hs_message(HS_VERSION);
	if (hs.mapped[HS_PAGE] || !hs.mapped[HS_PAGE2])
		border_fail("the new contact's page is not the one");
	hs_done();
}

static void reset_twice(void)
{
	hs_reset();
	hs_events(VMB_EV_RESET);
	hs_reset();
	hs_events(VMB_EV_RESET);
	hs_done();
}

#define PAGE(test, text, count, script) \
	Test(border_host, test) \
	{ \
		play(&(struct scene){ text, VMB_V1_1, 1, count, .signaller = hs_page_signaller, .control = script }); \
	}

PAGE(page_unload_1, "interrupt page, unload, 1 signaller", 1, unload)
PAGE(page_unload_2, "interrupt page, unload, 2 signallers", 2, unload)
PAGE(page_contact_1, "interrupt page, contact, 1 signaller", 1, contact_other_page)
PAGE(page_contact_2, "interrupt page, contact, 2 signallers", 2, contact_other_page)
PAGE(page_reset_1, "interrupt page, reset twice, 1 signaller", 1, reset_twice)
PAGE(page_reset_2, "interrupt page, reset twice, 2 signallers", 2, reset_twice)

/* ---- another target */

static void retarget(void)
{
	HS_POST(22, 0, 1, 2);
	hs_message(HS_MODIFIED);
	HS_POST(22, 0, 1, 3);
	hs_message(HS_MODIFIED);
	hs_done();
}

static void retarget_once(void)
{
	HS_POST(22, 0, 1, 2);
	hs_message(HS_MODIFIED);
	hs_done();
}

static void answered_once(void)
{
	if (hs.sent[HS_MODIFIED] != 1)
		border_fail("a retarget was not answered once");
}

/* The close overtakes the retarget; after the next open there is another one. */
static void retarget_close(void)
{
	HS_POST(22, 0, 1, 2);
	HS_POST(7, 0, 1);
	hs_events(VMB_EV_CLOSED);
	answered_once();
	hs_open(1, HS_GPADL + 1);
	hs_message(HS_OPENED);
	hs.sent[HS_MODIFIED] = 0;
	HS_POST(22, 0, 1, 2);
	hs_message(HS_MODIFIED);
	hs_done();
}

static void retarget_rescind(void)
{
	HS_POST(22, 0, 1, 2);
	hs_remove();
	hs_events(VMB_EV_CLOSED);
	answered_once();
	hs_done();
}

static void retarget_reset(void)
{
	HS_POST(22, 0, 1, 2);
	hs_reset();
	hs_events(VMB_EV_RESET);
	hs_done();
}

#define SENDERS(test, text, count, script) \
	Test(border_host, test) \
	{ \
		play(&(struct scene){ text, VMB_V5_3, 1, count, .sender = hs_sender, .control = script }); \
	}

SENDERS(retarget_1, "retarget twice, 1 sender", 1, retarget)
SENDERS(retarget_2, "retarget twice, 2 senders", 2, retarget)
SENDERS(retarget_once_2, "retarget, 2 senders", 2, retarget_once)
SENDERS(retarget_3, "retarget, 3 senders", 3, retarget_once)
SENDERS(retarget_close_1, "retarget, close, open, 1 sender", 1, retarget_close)
SENDERS(retarget_close_2, "retarget, close, open, 2 senders", 2, retarget_close)
SENDERS(retarget_rescind_2, "retarget, rescind, 2 senders", 2, retarget_rescind)
SENDERS(retarget_reset_2, "retarget, reset, 2 senders", 2, retarget_reset)

/* ---- packets */

#define PACKETS(test, text, count, script) \
	Test(border_host, test) \
	{ \
		play(&(struct scene){ text, VMB_V5_3, 1, count, .signaller = hs_signaller, .sender = hs_packet_sender, \
				      .control = script }); \
	}

PACKETS(packets_close, "packets, close, 1 signaller", 1, close_it)
PACKETS(packets_rescind, "packets, rescind, 1 signaller", 1, rescind_it)
PACKETS(packets_reset, "packets, reset, 1 signaller", 1, reset)
