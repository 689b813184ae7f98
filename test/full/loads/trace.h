/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Every access of compiled code to some memory, as the processor does it. The memory lies on pages that cannot be accessed: each
 * instruction that does so faults, is written down, and is then stepped over alone. The instruction is decoded for its width; one
 * that is not known is told, so that nothing is missed. x86-64 Linux.
 *
 * The object under test has its memory functions renamed (memcpy to trace_memcpy): what one of them reads counts as one load of
 * each byte, whatever it does inside, for only one value of a byte comes out. So does what a compiler makes of a copy in place:
 * the first word, the last word, then a string instruction from the first whole word on (trace_end sees to it).
 */
#ifndef TEST_FULL_LOADS_TRACE_H
#define TEST_FULL_LOADS_TRACE_H

#include <stddef.h>
#include <stdint.h>

enum trace_kind { TRACE_LOAD, TRACE_STORE, TRACE_BOTH }; /* BOTH: one that reads and writes at once, xchg or with a lock prefix */

struct trace_access {
	const uint8_t *at;
	uint32_t bytes;
	enum trace_kind kind;
	uintptr_t code;  /* the instruction; 0: a memory function, or a copy in place */
	uint32_t string; /* by movs */
};

enum { TRACE_MAX = 20000, TRACE_RANGES = 32 };

extern struct trace_access trace_log[TRACE_MAX];
extern unsigned trace_count;
extern unsigned trace_unknown; /* instructions that could not be decoded, ever */
extern unsigned long trace_total;

/* Before each access, but for those by string instructions; it is in the log already. May write to memory, through another mapping. */
extern void (*trace_before)(void);

void trace_init(void);
void trace_forget(void);                        /* watch nothing */
void trace_watch(void *page, size_t bytes);     /* whole pages */
void trace_begin(void);                         /* empties the log */
void trace_end(void);

/* Width and kind of what an instruction does with its operand in memory, from the bytes at code. 0: not known. write: the fault
 * was one of a store. */
uint32_t trace_decode(const uint8_t *code, int write, enum trace_kind *kind, uint32_t *string);

void *trace_memcpy(void *dst, const void *src, size_t n);
void *trace_memmove(void *dst, const void *src, size_t n);
void *trace_memset(void *dst, int c, size_t n);
int trace_memcmp(const void *a, const void *b, size_t n);

#endif /* TEST_FULL_LOADS_TRACE_H */
