/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A small virtual machine monitor that boots a stock Linux kernel as a guest which sees Hyper-V, with the VMBus's host end
 * in another process. This file: options, guest RAM, and the order of things.
 */
#define _GNU_SOURCE
#include "vmm.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CLEAR_NS 20000000 /* how long somebody has time to touch memory that is not his */
#define MAX_RAM_MIB 3072u /* one piece from 0 on, below the hole that the APICs are in */

static const char usage[] =
	"usage: vmm -k KERNEL [options] [-- HOST_END [ARGUMENT...]]\n"
	"  -k FILE   bzImage, or a multiboot payload (no -i then)\n"
	"  -i FILE   initrd\n"
	"  -a TEXT   kernel command line; \"life=N\" is added, N the number of resets before\n"
	"  -m MIB    guest RAM (256)\n"
	"  -c N      vCPUs (1)\n"
	"  -o FILE   where the guest's console goes (standard output)\n"
	"  -r N      follow the guest through N resets (0), by itself or by the host end (wire.h: KILL)\n"
	"  -z        after every second reset, clear the guest's memory, and see that nobody touches it before the next boot;\n"
	"            else the next guest finds what the last one left there\n"
	"HOST_END is started with the socket of wire.h as descriptor 3; without it the guest finds a bus where nobody answers.\n"
	"exit status: 0 the guest powered off and the host end was content, 2 usage or set-up, 3 the guest was reset,\n"
	"             4 the host end failed, 5 KVM failed, 6 told to stop, by SIGTERM: then it tells where the guest was\n";

struct options {
	const char *kernel, *initrd, *cmdline, *console;
	unsigned int mib, vcpus, resets;
	bool clear;
	char **host_end;
};

/* One machine; its initialisers are those of the objects that live as long as the process. */
static struct machine machine = {
	.kvm = -1, .vm = -1, .link = { .fd = -1 },
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.hv = { .lock = PTHREAD_MUTEX_INITIALIZER }, .ports = { .lock = PTHREAD_MUTEX_INITIALIZER },
};
static atomic_bool host_end_died;

static int options_read(struct options *o, int argc, char **argv)
{
	int c;

	*o = (struct options){ .cmdline = "console=ttyS0", .mib = 256, .vcpus = 1 };
	while ((c = getopt(argc, argv, "k:i:a:m:c:o:r:z")) != -1) {
		switch (c) {
		case 'k':
			o->kernel = optarg;
			break;
		case 'i':
			o->initrd = optarg;
			break;
		case 'a':
			o->cmdline = optarg;
			break;
		case 'm':
			o->mib = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			o->vcpus = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'o':
			o->console = optarg;
			break;
		case 'r':
			o->resets = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'z':
			o->clear = true;
			break;
		default:
			return -1;
		}
	}
	o->host_end = optind < argc ? argv + optind : NULL;
	return o->kernel && o->mib >= 16 && o->mib <= MAX_RAM_MIB && o->vcpus >= 1 && o->vcpus <= WIRE_MAX_VPS ? 0 : -1;
}

/* A memfd, so that the host end can map the same pages. Returns the descriptor or -1. */
static int ram_create(struct machine *m, unsigned int mib)
{
	int fd = memfd_create("guest-ram", MFD_CLOEXEC);

	m->ram_bytes = (uint64_t)mib << 20;
	if (fd < 0 || ftruncate(fd, (off_t)m->ram_bytes) < 0)
		return -1;
	m->ram = mmap(NULL, m->ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return m->ram == MAP_FAILED ? -1 : fd;
}

static void on_raise(void *ctx, uint32_t vp, uint32_t sint)
{
	machine_raise(ctx, vp, sint);
}

static void on_kill(void *ctx)
{
	machine_stop(ctx, RESET);
}

static void on_died(void *ctx, const char *why)
{
	fprintf(stderr, "vmm: the host end %s\n", why);
	atomic_store(&host_end_died, true);
	machine_stop(ctx, HOST_END_DIED);
}

static int boot(struct machine *m, const struct options *o, const char *cmdline)
{
	return multiboot_is(o->kernel) ? multiboot_boot(m, o->kernel, cmdline) : linux_boot(m, o->kernel, o->initrd, cmdline);
}

/* One life of the guest: from power on, or from a reset. Which one it is, it can see on its command line. */
static enum outcome live(struct machine *m, const struct options *o, int console, unsigned int life)
{
	enum outcome outcome = BROKEN;
	char cmdline[2048];

	snprintf(cmdline, sizeof(cmdline), "%s life=%u", o->cmdline, life);
	if (machine_create(m) == 0) {
		ports_reset(m, console);
		if (atomic_load(&host_end_died))
			outcome = HOST_END_DIED;
		else if (boot(m, o, cmdline) == 0)
			outcome = machine_run(m);
		if (outcome == TOLD_TO_STOP)
			machine_tell(m);
	}
	machine_destroy(m);
	return outcome;
}

/* The guest is gone and the host end has said that it let go of its memory. A page that anybody touches after this comes back. */
static int memory_clear(struct machine *m, int memfd)
{
	struct timespec wait = { .tv_nsec = CLEAR_NS };
	struct stat st;

	if (fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)m->ram_bytes) < 0) {
		perror("vmm: guest RAM");
		return -1;
	}
	nanosleep(&wait, NULL);
	if (fstat(memfd, &st) < 0 || st.st_blocks) {
		fprintf(stderr, "vmm: somebody touched the guest's memory after the reset\n");
		return -1;
	}
	return 0;
}

/* Life after life, on the same host end. */
static enum outcome live_all(struct machine *m, const struct options *o, int console, int memfd)
{
	unsigned int life = 0, cleared = 0;
	enum outcome outcome;

	while ((outcome = live(m, o, console, life)) == RESET && life < o->resets) {
		link_reset(&m->link);
		life++;
		if (!o->clear || life % 2 == 0)
			continue;
		if (memory_clear(m, memfd) < 0)
			return BROKEN;
		cleared++;
	}
	if (o->clear && outcome == POWERED_OFF)
		fprintf(stderr,
			"VMB-PASS: the guest's memory was cleared after %u of %u resets, and nobody touched it before the next boot\n",
			cleared, life);
	return outcome;
}

/* SIGTERM, on a thread of its own, for what it does is no matter for a signal handler. */
static void *wait_for_term(void *arg)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	while (sigwait(&set, &sig) != 0)
		;
	machine_stop(arg, TOLD_TO_STOP);
	return NULL;
}

/* Before there are other threads: all block it, the one that waits for it gets it. */
static int take_term(struct machine *m)
{
	pthread_t thread;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	return pthread_sigmask(SIG_BLOCK, &set, NULL) || pthread_create(&thread, NULL, wait_for_term, m) || pthread_detach(thread) ? -1 : 0;
}

static int result(enum outcome outcome, int host_status)
{
	switch (outcome) {
	case POWERED_OFF:
		if (host_status != 0)
			fprintf(stderr, "vmm: the host end's exit status is %d\n", host_status);
		return host_status == 0 ? 0 : 4;
	case RESET:
		fprintf(stderr, "vmm: the guest was reset\n");
		return 3;
	case HOST_END_DIED:
		return 4;
	case TOLD_TO_STOP:
		return 6;
	case RUNNING:
	case BROKEN:
		break;
	}
	return 5;
}

int main(int argc, char **argv)
{
	struct machine *m = &machine;
	struct options o;
	struct timespec now;
	enum outcome outcome;
	int memfd, console = STDOUT_FILENO;

	if (options_read(&o, argc, argv) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	if (o.console)
		console = open(o.console, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	memfd = ram_create(m, o.mib);
	if (console < 0 || memfd < 0) {
		perror("vmm: console or guest RAM");
		return 2;
	}
	m->vps = o.vcpus;
	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	m->time_zero_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	m->link.ctx = m;
	m->link.raise = on_raise;
	m->link.kill = on_kill;
	m->link.died = on_died;
	if (take_term(m) < 0) {
		perror("vmm: SIGTERM");
		return 2;
	}
	if (o.host_end && link_start(&m->link, o.host_end, memfd, m->ram_bytes, m->vps, m->time_zero_ns) < 0) {
		perror("vmm: the host end");
		return 2;
	}
	outcome = live_all(m, &o, console, memfd);
	return result(outcome, link_off(&m->link));
}
