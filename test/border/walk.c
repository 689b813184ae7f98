/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A case, walked whole: how much there was, and that all of it is well. */
#include "explore.h"
#include "lib/channel/channel.h"

#include <criterion/criterion.h>
#include <stdio.h>

void border_walk(const char *end, const struct border_case *c)
{
	struct border_result r;

	border_explore(c, &r);
	printf("border %-5s %-34s %8.3g schedules, %7llu states, %2u words\n", end, c->name, r.schedules,
	       (unsigned long long)r.states, r.words);
	fflush(stdout);
	cr_assert_null(r.bad, "%s: %s; schedule %s", c->name, r.bad ? r.bad : "", r.schedule);
	cr_assert_gt(r.states, 10);
}

void border_keep(struct border_case *c, void *at, size_t bytes)
{
	unsigned i = 0;

	while (c->memory[i].bytes)
		i++;
	cr_assert_lt(i, BORDER_MEMORIES);
	c->memory[i].at = at;
	c->memory[i].bytes = bytes;
}

void border_keep_channel(struct border_case *c, void *at, size_t bytes)
{
	struct vmb_channel *ch = at;
	struct vmbi_signals *s = &ch->signals;
	const void *words[] = { &s->line, &s->needless, &s->asked, &s->deferred, &s->arrived, &s->rung, &s->extra, &s->look, &s->in.alarm,
				&s->out.alarm };

	border_keep(c, at, bytes);
	for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
		c->exempt[BORDER_EXEMPT - 1 - i] = words[i];
}
