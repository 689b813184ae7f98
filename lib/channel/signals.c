/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The account of signals, both ways: see signals.h. ring.md 10.1, 10.5 */
#include "channel.h"

void vmbi_signals_init(struct vmbi_signals *s)
{
	s->line = VMBI_SIGNALS_FIRST;
	s->in.alarm = s->out.alarm = VMBI_SIGNALS_NEVER;
}

static uint32_t signals_alarm(uint32_t needless, uint32_t budget)
{
	return budget < VMBI_SIGNALS_NEVER ? needless + budget + 1 : needless + VMBI_SIGNALS_NEVER;
}

void vmbi_signals_watch(struct vmbi_signals *s, uint64_t now, uint32_t budget)
{
	s->in.since = s->out.since = now;
	VMBI_STORE32_RELAXED(&s->in.alarm, signals_alarm(0, budget));
	VMBI_STORE32_RELAXED(&s->out.alarm, signals_alarm(0, budget));
}

uint32_t vmbi_signals_needless(const struct vmbi_signals *s)
{
	uint32_t known = VMBI_LOAD32_RELAXED(&s->needless);
	uint32_t now = vmbi_signals_difference(s, VMBI_LOAD32_RELAXED(&s->arrived));

	return (int32_t)(now - known) > 0 ? now : known;
}

/* ---- budgets */

static int signals_is_over(struct vmbi_signals_budget *b, uint32_t needless, uint64_t now, uint64_t period, uint32_t budget)
{
	int over = 0;

	if (needless - b->base <= budget)
		return 0;
	if (!now || now - b->since < period) {
		over = 1;
		VMBI_STORE32_RELAXED(&b->over, b->over + 1);
	}
	b->since = now;
	b->base = needless;
	VMBI_STORE32_RELAXED(&b->alarm, signals_alarm(needless, budget));
	return over;
}

uint32_t vmbi_signals_over(struct vmbi_signals *s, uint64_t now, uint64_t period, uint32_t budget)
{
	uint32_t over = 0;

	if (!VMBI_LOAD32_RELAXED(&s->look) || !VMBI_EXCHANGE32(&s->look, 0u))
		return 0;
	if (signals_is_over(&s->in, vmbi_signals_needless(s), now, period, budget))
		over |= VMB_OVER_IN;
	if (signals_is_over(&s->out, VMBI_LOAD32_RELAXED(&s->extra), now, period, budget))
		over |= VMB_OVER_OUT;
	return over;
}

/* ---- the calls */

int vmb_channel_signalled(struct vmb_channel *ch)
{
	VMBI_CHANNEL_CHECK(ch, 1);
	(void)vmbi_signals_arrive(&ch->signals);
	return 0;
}

int vmb_channel_signal(struct vmb_channel *ch)
{
	struct vmbi_signals *s;
	uint32_t rung;

	VMBI_CHANNEL_CHECK(ch, 1);
	s = &ch->signals;
	rung = VMBI_FETCH_ADD32(&s->rung, 1u) + 1;
	if ((int32_t)(rung - VMBI_LOAD32_RELAXED(&s->extra) - VMBI_LOAD32_RELAXED(&s->deferred)) > 0 &&
	    VMBI_FETCH_ADD32(&s->extra, 1u) + 1 == VMBI_LOAD32_RELAXED(&s->out.alarm))
		VMBI_STORE32_RELAXED(&s->look, 1u);
	if (ch->signal)
		ch->signal(ch->ctx);
	return 0;
}
