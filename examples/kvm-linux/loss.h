/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Interrupts and signals that are lost on purpose, one time in N, and what becomes of each: the guest or the device came upon
 * the work by itself, it was not needed, or somebody here noticed that it was missing, said so, and did it again. None may be
 * left over.
 *
 * Real hosts lose nothing, and no bus can promise to live through it: a ring's reader sleeps until it is told. What the library
 * offers to those who must: vmb_channel_info says what the peer leaves unread, vmb_channel_signal tells it again, and
 * vmb_channel_recv may be called with no wake. Message slots and event flags are the embedder's own to look at.
 */
#ifndef KVM_LINUX_LOSS_H
#define KVM_LINUX_LOSS_H

#include <stdint.h>

enum loss_kind {
	LOSS_INTERRUPT, /* the event flag was set, the processor is not interrupted */
	LOSS_EVENT,     /* nor is the flag set */
	LOSS_MESSAGE,   /* the message is in its slot, the processor is not interrupted */
	LOSS_SIGNAL,    /* the guest's HvSignalEvent never arrives */
	LOSS_KINDS
};

enum loss_fate {
	LOSS_SELF,      /* another interrupt or signal led to the work */
	LOSS_NEEDLESS,  /* it had been done without */
	LOSS_REPORTED,  /* noticed here, reported, repaired */
	LOSS_FATES
};

/* "interrupt=100": lose one in so many. 0 or -1. */
int loss_parse(const char *text);
void loss_seed(uint64_t seed);
void loss_stop(void);                    /* lose no more */
int loss_wanted(void);                   /* 1: some kind is lost */
/* Any thread. One more of a kind: shall it be lost? One of each N is, at random. */
int loss_now(enum loss_kind kind);
void loss_ended(enum loss_kind kind, enum loss_fate fate, unsigned n);

/* Interrupts lost, until somebody looks: `flag` of an event, or LOSS_NO_FLAG for a message. */
#define LOSS_NO_FLAG 0xffffffffu
void loss_remember(uint32_t vp, uint32_t flag);
/* A new message could be posted to this VP's slot: the guest took the one before. */
void loss_slot_was_free(uint32_t vp);
/* To be called now and then. flags and slot: of one VP and SINT; NULL: there are none. 1: what is too old wants an interrupt. */
int loss_look(uint32_t vp, const uint8_t *flags, const uint8_t *slot);

struct loss_count {
	unsigned long chances, lost, fate[LOSS_FATES];
};
void loss_counts(enum loss_kind kind, struct loss_count *out);
const char *loss_name(enum loss_kind kind);

#endif
