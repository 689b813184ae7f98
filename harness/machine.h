/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A deterministic machine in one process: guest-physical memory, virtual processors with their SynIC pages, the hypercalls
 * between them, one host end and one guest end of libvmbus, a seeded scheduler, and faults. It owns no thread and no clock:
 * machine_step does one thing that a real machine could do next, chosen by the seed; time is a counter.
 *
 * It checks what nobody may do: a page freed while the host has it mapped, an unmap without its map, an interrupt to a
 * processor that does not exist, a wake after CLOSED. Violations are counted and the first is told by machine_error.
 */
#ifndef HARNESS_MACHINE_H
#define HARNESS_MACHINE_H

#include <vmbus.h>

enum { MACHINE_VPS = 4, MACHINE_SINT = 2, MACHINE_CHANNELS = 64 };

/* What may go wrong, each at its n-th occurrence (1: the first; 0: never), or by chance in percent. */
struct machine_faults {
	unsigned map_at;          /* map refuses */
	unsigned post_busy_at;    /* HvPostMessage says "insufficient buffers" */
	unsigned post_fatal_at;   /* HvPostMessage says "invalid parameter" */
	unsigned slot_busy_at;    /* the message slot is said to be occupied */
	unsigned lose_interrupt;  /* percent of interrupts that come only with the next timer tick */
	unsigned repeat_interrupt; /* percent of interrupts that come twice */
	unsigned delay_signal;    /* percent of guest signals that the host sees later */
};

struct machine;

/* The two programs that run on the machine: what they do with events and when something may be done. Any may be NULL. */
struct machine_program {
	void (*event)(struct machine *m, const struct vmb_event *ev);
	void (*wake)(struct machine *m, uint64_t user);
	/* One step of its threads; 1 if there was something to do. */
	int (*work)(struct machine *m);
};

struct machine_config {
	uint64_t seed;
	unsigned vps;             /* 0: 1 */
	unsigned ram_pages;       /* 0: 4096 */
	struct vmb_host_config host;   /* size 0: defaults; callbacks are the machine's */
	struct vmb_guest_config guest; /* the same */
	struct machine_faults faults;
	struct machine_program host_program, guest_program;
	void *user;               /* for the programs */
	int old_pages;            /* give the guest interrupt and monitor pages */
};

struct machine *machine_new(const struct machine_config *cfg); /* NULL: no memory, or an init failed (machine_error(NULL)) */
void machine_free(struct machine *m);

struct vmb_host *machine_host(struct machine *m);
struct vmb_guest *machine_guest(struct machine *m);
void *machine_user(struct machine *m);
uint64_t machine_now(const struct machine *m);
uint64_t machine_random(struct machine *m); /* the machine's own sequence */

/* One thing that could happen next; 0 if nothing is left but waiting for time. */
int machine_step(struct machine *m);
/* Steps until nothing is left, time jumping to the next deadline at most `jumps` times. The steps; -1 when it does not end. */
long machine_run(struct machine *m, unsigned jumps);
/* A new guest kernel without a word of goodbye: the guest end is made anew, its memory forgotten. */
int machine_crash_guest(struct machine *m);

/* Guest-physical memory. */
uint64_t machine_alloc(struct machine *m, unsigned pages);             /* first PFN of consecutive zeroed pages; 0: none left */
void machine_release(struct machine *m, uint64_t pfn, unsigned pages); /* checks that the host has let go */
void *machine_at(struct machine *m, uint64_t pfn);                     /* as the guest sees it; NULL beyond RAM */
unsigned machine_in_use(const struct machine *m);                      /* pages allocated */
unsigned machine_mapped(const struct machine *m);                      /* pages that the host has mapped, counted as often */
/* The same pages mapped twice in a row, as the guest sees them; unmapped by machine_free. */
void *machine_twice(struct machine *m, uint64_t pfn, unsigned pages);
/* How list calls of the host's devices reach guest memory. */
const struct vmb_mapper *machine_mapper(struct machine *m);

struct machine_counts {
	unsigned long posts, messages, signals, interrupts, maps, host_events, guest_events, steps;
};
struct machine_counts machine_counts(const struct machine *m);
/* The first violation, or NULL. */
const char *machine_error(const struct machine *m);
void machine_fail(struct machine *m, const char *what); /* for programs: report a violation */

#endif
