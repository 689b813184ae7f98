/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What the parts of the payload share. One processor, no C library, addresses are physical ones. Two kinds of context: the
 * program, and the handlers of interrupts, which only note things down and call what vmbus.h marks [any].
 */
#ifndef BARE_GUEST_H
#define BARE_GUEST_H

#include <stddef.h>
#include <stdint.h>
#include <vmbus.h>

/* ---- console.c: COM1. %s; of uint64_t: %u, %x, and %X, 16 digits; %% */
void say(const char *format, ...);

/* ---- cpu.c */
#define VECTOR_SINT 0x50u
#define VECTOR_TICK 0x51u
#define TICK_MS 10u

void cpu_init(void);                     /* interrupt gates, the local APIC and its timer; interrupts stay off */
void cpu_eoi(void);
/* Until *a, *b or *c is set by a handler, or the next tick at the latest. */
void cpu_sleep(const volatile uint32_t *a, const volatile uint32_t *b, const volatile uint32_t *c);
_Noreturn void cpu_off(void);            /* switches the machine off */
_Noreturn void die(const char *why, int64_t code);

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t rdmsr(uint32_t index)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t index, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* ---- hv.c: the hypervisor, for one VP and SINT 2 (platform.md 2...6) */
#define SINT 2u

void hv_on(int interrupts);              /* without: the SINT is masked, and somebody looks into slot and flags now and then */
void hv_off(void);
uint32_t hv_vp(void);
uint64_t hv_now(void);                   /* ns */
int hv_post(void *ctx, uint32_t connection, const void *payload, uint32_t len); /* as vmb_guest_config wants them */
int hv_signal(void *ctx, uint32_t connection, uint32_t flag);
void hv_eom(void);
void *hv_slot(void), *hv_flags(void);

/* ---- pages.c: the memory that this guest can do without */
void pages_init(uint64_t top, uint64_t number); /* of RAM; the number goes into patterns and decides which pages go first */
/* Give away at most `want` pages in at most `max` ranges (count << 40 | PFN), each page marked before. Returns how many pages. */
uint32_t pages_give(uint32_t want, uint64_t *ranges, uint32_t max, uint32_t *n);
/* These are back. *wiped: how many hold zeros where the mark was. Returns how many had been away. */
uint32_t pages_take(uint64_t pfn, uint64_t count, uint32_t *wiped);
uint64_t pages_free(void);

/* ---- balloon.c: the dynamic-memory device (devices.md 7) */
struct balloon_figures {
	uint64_t asked, given, returned, wiped, wrong, done; /* pages; done: requests of either kind answered to the end */
	uint64_t replies, releases;                          /* messages of ours with ranges; of the host with ranges */
	uint32_t version;                                    /* of the protocol, as negotiated */
};
extern struct balloon_figures figures;   /* since the beginning, over all connections */

/* The channel has just been opened. number: to be reported to the host. until: figures.done at which all is done. */
void balloon_start(struct vmb_channel *ch, uint64_t number, uint64_t until);
/* Do what can be done: 0, VMB_YES: all is done, or an error of a channel call. */
int balloon_run(void);
/* Has the host taken all that was said? What is left in the ring when the channel is closed, nobody hears. */
int balloon_heard(void);

#endif
