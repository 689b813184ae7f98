/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What the host end does of its own accord while a guest works: each plan goes with the scenario of its name, whose script says
 * by mail how far it is (mail.h: a first line of the words given here). Every check prints one line, "VMB-PASS: ..." or
 * "VMB-FAIL: ...".
 *
 *	disks     two disks were offered in an order of our own; a third comes while the others work
 *	rescind   the second disk is taken away in the middle of I/O and offered again, N times
 *	rebind    the guest takes drivers off devices and back, N times
 *	kill      the guest is reset in the middle of I/O, N times
 *	lossy     interrupts and signals are lost (loss.h); each must be made up for
 *	move      the guest moves the second disk's channel from processor to processor, N times, as the host drew it
 *	hot       two disks are added and taken away, N times, with other numbers each time
 *	reload    the guest removes the modules of its drivers and loads them again, N times, some times with that of the bus
 *	sub       disks with subchannels: who counts which requests; drivers off and on; one is taken away with its subchannel
 *	socket    Hyper-V sockets both ways, and connects that nobody takes
 *	life      the host-end process saves itself, is killed and started anew, N times (keep.h)
 *	kexec     the guest boots its next kernel by itself, N times, with no reset
 *
 * When it is done, it asks the guest to shut down. At the end, whatever the plan, nothing of the guest may be left in the host
 * end.
 */
#ifndef KVM_LINUX_PLAN_H
#define KVM_LINUX_PLAN_H

#include "device.h"
#include "mail.h"

/* ---- for hostend.c */
/* name: with @N, N times. kill: has the machine reset. */
int plan_start(struct host *h, const char *name, uint64_t seed, void (*kill)(void));
int plan_verdict(void);                      /* when all is over: 0, or -1 after saying what is wrong */
void plan_before_reset(struct host *h);      /* [control]; before and after every vmb_host_reset */
void plan_after_reset(struct host *h);
/* The order in which devices shall be offered, and with it ranks and channel ids. */
void plan_shuffle(struct host *h, unsigned *order, unsigned first_disk, uint64_t seed);
int plan_is_late(const char *name, const struct device *d); /* is it offered later, by the plan? */
/* Disk i's own number, at its beginning as text, and from 8 MiB on, over and over. */
enum { NUMBER_TEXT = 17, PATTERN_AT = 8 << 20, PATTERN_OF_GUEST = 16 << 20, PATTERN_BYTES = 1 << 20 };
void plan_number(uint8_t *bytes, uint64_t seed, unsigned i);

/* A file on a disk: its length as a note, "file %lu\n", its bytes from 20 MiB on. 0, or -1 after saying why. */
enum { NOTE_AT = 4096, NOTE_BYTES = 4096, FILE_AT = 20 << 20 };
int plan_file(struct image *m, const char *path);

/* ---- for plans */
struct figures { /* what the host end holds for a guest */
	unsigned channels, attached, gpadls, gpadl_pages, queued, users, threads, files;
	unsigned long pages, blocks;
};

struct plan {
	const char *name;
	struct host *host;
	struct device *first_disk;
	unsigned times;
	uint64_t seed;
	void (*kill)(void);
	char mail[MAIL_ROOM];                /* the last one that came */
	struct figures start;                /* no guest has been there */
	unsigned resets, held_at_reset;      /* so far; requests in flight when the last one came */
	struct figures after_reset;
};

/* A check, which is counted; and something for people to read. */
int plan_check(int ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
void plan_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void plan_figures(struct host *h, struct figures *f);            /* takes the control lock */
int plan_same(const struct figures *a, const struct figures *b); /* 1, or 0 after printing both */
void plan_print(const struct figures *f, char out[160]);
/* Until the guest's mail begins with this line: 1, or 0 after a long time (the check has failed then). */
int plan_mail(struct plan *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "go " and the last mail's first line: the guest may go on (l2-lib: mail_and_wait). */
void plan_go(struct plan *p);
/* Text for the guest in the second block of a disk. */
void plan_leave(struct image *m, const char *text);
/* Until *word (of any thread) is at least this: 1, or 0 after a long time. */
int plan_reach(const unsigned *word, unsigned least, const char *what);
int plan_grows(const unsigned long *word, unsigned long above, const char *what); /* the same, for *word > above */
int plan_beats(struct plan *p, unsigned least); /* heartbeats answered since its last open */
void plan_sleep_us(unsigned us);
uint64_t plan_random(uint64_t *state);

void plan_disks(struct plan *p);
void plan_rescind(struct plan *p);
void plan_rebind(struct plan *p);
void plan_kill(struct plan *p);
void plan_lossy(struct plan *p);
void plan_move(struct plan *p);
void plan_hot(struct plan *p);
void plan_reload(struct plan *p);
void plan_sub(struct plan *p);
void plan_socket(struct plan *p);
void plan_kexec(struct plan *p);
void plan_life(struct plan *p);

#endif
