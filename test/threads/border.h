/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Memory for programs that look at who owns it. Guest-physical memory is one file in memory. The guest sees all of it at one
 * place, and pages that are nobody's are taken away there (PROT_NONE). The host sees a page only while it has it mapped, each
 * time at an address that never was and never will be used for anything else. So a late access by either is a SIGSEGV, not luck.
 */
#ifndef TEST_THREADS_BORDER_H
#define TEST_THREADS_BORDER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tally.h"
#include "vmbus.h"

#define GET(word) __atomic_load_n(&(word), __ATOMIC_ACQUIRE)
#define SET(word, value) __atomic_store_n(&(word), (value), __ATOMIC_RELEASE)
#define ADD(word, n) __atomic_fetch_add(&(word), (n), __ATOMIC_ACQ_REL)

static struct {
	int fd;
	uint8_t *guest;           /* all pages */
	uint8_t *host;            /* addresses to be used up */
	uint32_t pages, addresses, used;
	uint32_t mapped;          /* pages that the host has, now */
	uint32_t maps;            /* in all */
} border_memory;

static void border_memory_make(uint32_t pages, uint32_t addresses)
{
	border_memory.fd = memfd_create("guest", 0);
	border_memory.pages = pages;
	border_memory.addresses = addresses;
	must(border_memory.fd >= 0 && !ftruncate(border_memory.fd, (off_t)pages * VMB_PAGE), "a file of memory");
	border_memory.guest = mmap(NULL, (size_t)pages * VMB_PAGE, PROT_NONE, MAP_SHARED, border_memory.fd, 0);
	border_memory.host = mmap(NULL, (size_t)addresses * VMB_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
				  0);
	must(border_memory.guest != MAP_FAILED && border_memory.host != MAP_FAILED, "addresses");
}

static void *border_guest_page(uint64_t pfn)
{
	return border_memory.guest + pfn * VMB_PAGE;
}

/* The guest has these pages in use, or has not. */
static void border_guest_has(uint64_t pfn, uint32_t pages, int has)
{
	must(!mprotect(border_guest_page(pfn), (size_t)pages * VMB_PAGE, has ? PROT_READ | PROT_WRITE : PROT_NONE), "mprotect");
}

/* Of the host's end, below its lock. */
static int border_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx, (void)flags;
	for (uint32_t i = 0; i < n; i++) {
		void *at = border_memory.host + (size_t)border_memory.used++ * VMB_PAGE;

		must(border_memory.used <= border_memory.addresses && pfns[i] < border_memory.pages, "an address for a page");
		pages[i] = mmap(at, VMB_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, border_memory.fd,
				(off_t)(pfns[i] * VMB_PAGE));
		must(pages[i] == at, "mmap");
	}
	border_memory.mapped += n;
	border_memory.maps += n;
	return 0;
}

static void border_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)pfns, (void)flags;
	for (uint32_t i = 0; i < n; i++)
		must(mmap(pages[i], VMB_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
			     pages[i],
		     "taking a page away");
	must(border_memory.mapped >= n, "nothing is unmapped twice");
	border_memory.mapped -= n;
}

static void *border_block(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

	must(p != NULL, "memory");
	memset(p, 0, bytes);
	return p;
}

static inline uint32_t border_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

/* Until it is posted, or for so many microseconds. */
static void border_nap(sem_t *s, uint32_t us)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += (long)us * 1000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	(void)sem_timedwait(s, &t);
}

static void border_wait(sem_t *s)
{
	while (sem_wait(s))
		;
	while (!sem_trywait(s)) /* one is as good as many */
		;
}

/* ---- threads that send and receive */

enum { ENOUGH = 3 }; /* packets, for a channel to count as in use */

static sem_t control; /* there is something to do for the threads of control */

struct lane;

struct worker {
	struct lane *lane;
	void (*body)(struct worker *w); /* NULL: it is over */
	sem_t go, wake;
	pthread_t thread;
	uint64_t next;            /* packet number */
	uint32_t moved;           /* packets since the open, or the attach */
	uint64_t random;
};

enum { TX, RX };

static void worker_moved(struct worker *w)
{
	if (ADD(w->moved, 1) + 1 == ENOUGH)
		sem_post(&control);
}

/* Bursts, with pauses between them: there are few processors. */
static void worker_send(struct worker *w, struct vmb_channel *ch, uint32_t *quit)
{
	uint32_t burst = border_random(&w->random) % 8;

	while (!GET(*quit)) {
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = &w->next, .len = 8 };
		int r = vmb_channel_send(ch, &p);

		if (r == VMB_ESTOPPED)
			break;
		if (r == VMB_EFULL) {
			border_wait(&w->wake);
			continue;
		}
		must(!r, "a packet is sent");
		w->next++;
		worker_moved(w);
		if (!burst--) {
			burst = border_random(&w->random) % 8;
			border_nap(&w->wake, 50 + border_random(&w->random) % 400);
		}
	}
}

static void worker_receive(struct worker *w, struct vmb_channel *ch, uint32_t *quit)
{
	while (!GET(*quit)) {
		struct vmb_packet p;
		uint64_t buf[8];
		int r = vmb_channel_recv(ch, buf, sizeof buf, &p);

		if (r == VMB_ESTOPPED)
			break;
		if (!r) {
			border_wait(&w->wake);
			continue;
		}
		must(r == VMB_YES && buf[0] == w->next, "packets come in order, none is missing");
		w->next++;
		worker_moved(w);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	for (;;) {
		while (sem_wait(&w->go))
			;
		if (!GET(w->body))
			return NULL;
		w->body(w);
	}
}

static void workers_go(struct worker w[2], uint32_t *out, uint32_t *quit)
{
	SET(*quit, 0);
	SET(*out, 0);
	for (unsigned i = 0; i < 2; i++) {
		SET(w[i].moved, 0);
		sem_post(&w[i].go);
	}
}

static void workers_wake(struct worker w[2])
{
	for (unsigned i = 0; i < 2; i++)
		sem_post(&w[i].wake);
}

static void workers_quit(struct worker w[2], uint32_t *quit)
{
	SET(*quit, 1);
	workers_wake(w);
}

#endif /* TEST_THREADS_BORDER_H */
