/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Which of the signals that come were needed, as Hyper-V counts it (ring.md 10.5): the receiver expects 2 to begin with, one more each
 * time that it has emptied its ring and takes the mask off, and one more each time that it begins to wait for room. 64 are remembered at
 * most. One that was not expected is needless.
 *
 * Who is signalled may be any thread, on several CPUs at once, so the one word that it changes is a count. The account is drawn up by the
 * owner, [rx], before it sleeps, and what came since is added by whoever looks. The account is one difference: n - line - asked, where n
 * have come, line is the owner's word and asked that of [tx]. Above `needless` it is the number of needless ones, and below it the
 * distance is what is still expected.
 *
 * Signals sent without need are those that vmb_channel_signal makes and no VMB_SIGNAL had asked for.
 */
#ifndef VMBI_SIGNALS_H
#define VMBI_SIGNALS_H

#include "vmbus.h"
#include "../env.h"

#define VMBI_SIGNALS_FIRST 2u /* expected to begin with */
#define VMBI_SIGNALS_MOST 64u /* remembered */
#define VMBI_SIGNALS_NEVER 0x80000000u /* as many needless ones never come before somebody has looked */

/* One direction against its budget. Control's, but for `alarm` */
struct vmbi_signals_budget {
	uint64_t since;  /* beginning of the period */
	uint32_t base;   /* needless ones before it */
	uint32_t over;   /* times over the budget */
	uint32_t alarm;  /* at so many needless ones control is to look. Read by [any] */
	uint32_t reserved;
};

struct vmbi_signals {
	/* [rx] writes */
	uint32_t line;
	uint32_t needless;  /* found when it slept last */
	/* [tx] writes */
	uint32_t asked;     /* times it began to wait for room */
	uint32_t deferred;  /* VMB_SIGNAL was returned so often */
	/* control writes; with what is above one line, which [any] reads */
	struct vmbi_signals_budget in, out;
	/* [any] writes; on a line of its own */
	uint32_t arrived __attribute__((aligned(64)));
	uint32_t rung;      /* calls of vmb_channel_signal */
	uint32_t extra;     /* of them those that nothing had asked for */
	uint32_t look;      /* control is to look at the budgets */
};

/* How an account begins. */
void vmbi_signals_init(struct vmbi_signals *s);
/* [control] A bus watches the budgets, from this time on. */
void vmbi_signals_watch(struct vmbi_signals *s, uint64_t now, uint32_t budget);
/* [any] Needless ones that have come so far. */
uint32_t vmbi_signals_needless(const struct vmbi_signals *s);
/* [control] Is a direction over its budget: more than `budget` needless ones since less than `period`? VMB_OVER_*, 0. A period that has
 * brought a budget's worth is over, and the next begins. */
uint32_t vmbi_signals_over(struct vmbi_signals *s, uint64_t now, uint64_t period, uint32_t budget);

/* n - line - asked */
static inline uint32_t vmbi_signals_difference(const struct vmbi_signals *s, uint32_t n)
{
	return n - VMBI_LOAD32_RELAXED(&s->line) - VMBI_LOAD32_RELAXED(&s->asked);
}

/* [rx] Before it sleeps. emptied: 1 if it takes the mask off. */
static inline void vmbi_signals_settle(struct vmbi_signals *s, uint32_t emptied)
{
	uint32_t now = vmbi_signals_difference(s, VMBI_LOAD32_RELAXED(&s->arrived)), line = s->line + emptied;
	int32_t expected = (int32_t)(s->needless - now);

	if (expected < 0)
		VMBI_STORE32_RELAXED(&s->needless, now);
	else if ((uint32_t)expected + emptied > VMBI_SIGNALS_MOST)
		line -= (uint32_t)expected + emptied - VMBI_SIGNALS_MOST;
	VMBI_STORE32_RELAXED(&s->line, line);
}

/* [any] One has come. 1: control is to look. */
static inline int vmbi_signals_arrive(struct vmbi_signals *s)
{
	uint32_t n = VMBI_FETCH_ADD32(&s->arrived, 1u) + 1;

	if (vmbi_signals_difference(s, n) != VMBI_LOAD32_RELAXED(&s->in.alarm))
		return 0;
	VMBI_STORE32_RELAXED(&s->look, 1u);
	return 1;
}

/* [tx] It begins to wait for room. Before the pending size is stored. */
static inline void vmbi_signals_ask(struct vmbi_signals *s)
{
	VMBI_STORE32_RELAXED(&s->asked, s->asked + 1);
}

#endif /* VMBI_SIGNALS_H */
