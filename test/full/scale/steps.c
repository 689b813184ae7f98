/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include "steps.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

extern const char __executable_start, etext; /* the linker's */

static volatile unsigned long steps;
static volatile uintptr_t before;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *c = context;
	uintptr_t at = (uintptr_t)c->uc_mcontext.gregs[REG_RIP];

	(void)signal, (void)info;
	/* A string instruction is stepped through byte by byte: it counts once. */
	steps += at != before && (at < (uintptr_t)&__executable_start || at >= (uintptr_t)&etext);
	before = at;
}

void steps_init(void)
{
	struct sigaction a;

	memset(&a, 0, sizeof a);
	a.sa_flags = SA_SIGINFO;
	a.sa_sigaction = on_trap;
	sigaction(SIGTRAP, &a, NULL);
}

void steps_begin(void)
{
	steps = 0;
	__asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
}

unsigned long steps_end(void)
{
	__asm__ volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
	return steps;
}
