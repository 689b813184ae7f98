/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Faults, single steps, and the log of them. See trace.h. */
#include "trace.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define STEP 0x100 /* the trap flag */
#define FAULT_WRITE 2

struct trace_access trace_log[TRACE_MAX];
unsigned trace_count, trace_unknown;
unsigned long trace_total;
void (*trace_before)(void);

static struct { uint8_t *at; size_t bytes; } range[TRACE_RANGES];
static unsigned ranges;
static int tracing;
static unsigned step_first; /* entry of the log where the instruction that is being stepped over began */

static void die(const char *what)
{
	if (write(2, what, strlen(what)) < 0 || write(2, "\n", 1) < 0)
		_exit(2);
	_exit(2);
}

static void protect(int access)
{
	for (unsigned i = 0; i < ranges; i++)
		if (mprotect(range[i].at, range[i].bytes, access))
			die("loads: mprotect failed");
}

static int watched(const void *p, size_t n)
{
	for (unsigned i = 0; i < ranges; i++)
		if ((const uint8_t *)p < range[i].at + range[i].bytes && (const uint8_t *)p + n > range[i].at)
			return 1;
	return 0;
}

static void note(struct trace_access a)
{
	if (trace_count == TRACE_MAX)
		die("loads: the log is full");
	trace_log[trace_count++] = a;
	trace_total++;
	if (trace_before && !a.string)
		trace_before();
}

/* Does an access that is in the log already, of the instruction that is being stepped over, reach to here from the page before? */
static int goes_on(const uint8_t *at, uintptr_t code)
{
	for (unsigned i = step_first; i < trace_count; i++)
		if (trace_log[i].code == code && at > trace_log[i].at && at < trace_log[i].at + trace_log[i].bytes)
			return 1;
	return 0;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	uintptr_t code = (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
	enum trace_kind kind;
	uint32_t bytes, string;

	(void)signal;
	if (!tracing || !watched(info->si_addr, 1)) {
		char text[120];

		snprintf(text, sizeof text, "loads: an access to %p by %p, which is watched by nobody", info->si_addr, (void *)code);
		die(text);
	}
	if (!(c->uc_mcontext.gregs[REG_EFL] & STEP))
		step_first = trace_count; /* else it is the same instruction, on another page */
	bytes = trace_decode((const uint8_t *)code, (c->uc_mcontext.gregs[REG_ERR] & FAULT_WRITE) != 0, &kind, &string);
	if (!bytes) {
		trace_unknown++;
		fprintf(stderr, "loads: unknown instruction at %p:", (void *)code);
		for (unsigned i = 0; i < 12; i++)
			fprintf(stderr, " %02x", ((const uint8_t *)code)[i]);
		fprintf(stderr, "\n");
		bytes = 8;
	}
	if (!goes_on(info->si_addr, code))
		note((struct trace_access){ info->si_addr, bytes, kind, code, string });
	/* Only this page, so that an instruction that goes on to another one faults there as well. */
	if (mprotect((void *)((uintptr_t)info->si_addr & ~(uintptr_t)4095), 4096, PROT_READ | PROT_WRITE))
		die("loads: mprotect failed");
	c->uc_mcontext.gregs[REG_EFL] |= STEP;
}

static void on_step(int signal, siginfo_t *info, void *context)
{
	ucontext_t *c = context;

	(void)signal, (void)info;
	c->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)STEP;
	if (tracing)
		protect(PROT_NONE);
}

void trace_init(void)
{
	struct sigaction a;

	memset(&a, 0, sizeof a);
	a.sa_flags = SA_SIGINFO;
	a.sa_sigaction = on_fault;
	sigaction(SIGSEGV, &a, NULL);
	a.sa_sigaction = on_step;
	sigaction(SIGTRAP, &a, NULL);
}

void trace_forget(void)
{
	ranges = 0;
}

void trace_watch(void *page, size_t bytes)
{
	if (ranges == TRACE_RANGES || (uintptr_t)page % 4096 || bytes % 4096)
		die("loads: cannot watch that");
	range[ranges].at = page;
	range[ranges++].bytes = bytes;
}

void trace_begin(void)
{
	trace_count = 0;
	tracing = 1;
	protect(PROT_NONE);
}

/* ---- copies in place */

enum { NEAR = 96 }; /* bytes of code in which such a copy lies */

static int is_plain_load(const struct trace_access *a, uintptr_t string)
{
	return a->kind == TRACE_LOAD && !a->string && a->code && a->code < string && string - a->code < NEAR;
}

/* Are the entries from i to j, all by one string instruction, the middle of a copy that the two entries before them began? */
static int is_copy(unsigned i, unsigned j)
{
	const struct trace_access *head = &trace_log[i - 2], *tail = &trace_log[i - 1], *last = &trace_log[j - 1];
	uint32_t step = trace_log[i].bytes;

	if (!is_plain_load(head, last->code) || !is_plain_load(tail, last->code) || head->bytes != step || tail->bytes != step)
		return 0;
	if (trace_log[i].at <= head->at || trace_log[i].at > head->at + step || last->at > tail->at || last->at + step < tail->at)
		return 0;
	for (unsigned k = i + 1; k < j; k++)
		if (trace_log[k].at != trace_log[k - 1].at + step)
			return 0;
	return 1;
}

/* A copy of so few bytes that the first word and the last overlap. No field lies like that: the last is not aligned. */
static int is_short_copy(const struct trace_access *head, const struct trace_access *tail)
{
	return is_plain_load(head, tail->code) && tail->kind == TRACE_LOAD && !tail->string && head->bytes == tail->bytes &&
	       tail->at > head->at && tail->at < head->at + head->bytes && (uintptr_t)tail->at % tail->bytes;
}

static void merge(void)
{
	unsigned n = 0;

	for (unsigned i = 0, j; i < trace_count; i = j) {
		for (j = i + 1; trace_log[i].string && j < trace_count && trace_log[j].code == trace_log[i].code; j++)
			;
		if (trace_log[i].string && trace_log[i].kind == TRACE_LOAD && i >= 2 && n >= 2 && is_copy(i, j)) {
			struct trace_access *head = &trace_log[n - 2];

			head->bytes = (uint32_t)(trace_log[i - 1].at + trace_log[i - 1].bytes - head->at);
			head->code = 0;
			n--;
			continue;
		}
		if (n && is_short_copy(&trace_log[n - 1], &trace_log[i])) {
			trace_log[n - 1].bytes = (uint32_t)(trace_log[i].at + trace_log[i].bytes - trace_log[n - 1].at);
			trace_log[n - 1].code = 0;
			continue;
		}
		for (unsigned k = i; k < j; k++)
			trace_log[n++] = trace_log[k];
	}
	trace_count = n;
}

void trace_end(void)
{
	tracing = 0;
	protect(PROT_READ | PROT_WRITE);
	merge();
}

/* ---- the memory functions of the object */

static int open_for(const void *at, size_t n, enum trace_kind kind)
{
	if (!tracing || !n || !watched(at, n))
		return 0;
	if (!watched(at, 1) || !watched((const uint8_t *)at + n - 1, 1))
		die("loads: a memory function goes beyond what is watched");
	protect(PROT_READ | PROT_WRITE);
	note((struct trace_access){ at, (uint32_t)n, kind, 0, 0 });
	return 1;
}

static void close_after(int opened)
{
	if (opened)
		protect(PROT_NONE);
}

void *trace_memcpy(void *dst, const void *src, size_t n)
{
	int from = open_for(src, n, TRACE_LOAD), to = open_for(dst, n, TRACE_STORE);

	memcpy(dst, src, n);
	close_after(from | to);
	return dst;
}

void *trace_memmove(void *dst, const void *src, size_t n)
{
	int from = open_for(src, n, TRACE_LOAD), to = open_for(dst, n, TRACE_STORE);

	memmove(dst, src, n);
	close_after(from | to);
	return dst;
}

void *trace_memset(void *dst, int c, size_t n)
{
	int to = open_for(dst, n, TRACE_STORE);

	memset(dst, c, n);
	close_after(to);
	return dst;
}

int trace_memcmp(const void *a, const void *b, size_t n)
{
	int one = open_for(a, n, TRACE_LOAD), two = open_for(b, n, TRACE_LOAD), r = memcmp(a, b, n);

	close_after(one | two);
	return r;
}
