/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Loads a multiboot payload (Multiboot specification 0.6.96) whose header says where it wants to be (flag 16), as
 * examples/bare-guest is, and enters it as the specification demands: 32-bit protected mode, no paging, EBX = information.
 */
#define _GNU_SOURCE
#include "vmm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define SEARCH 8192u                     /* the header lies in the file's first 8 KiB, at a multiple of 4 */
#define MAGIC 0x1badb002u
#define LOADED 0x2badb002u               /* in EAX at entry */
#define HAS_ADDRESSES 0x10000u
#define INFO 0x10000u                    /* where the information and the command line go: low memory */
#define CMDLINE 0x11000u
#define CMDLINE_END 0x20000u
#define INFO_MEMORY 0x1u
#define INFO_CMDLINE 0x4u
#define LOW_KIB 640u
#define HIGH_START 0x100000u

struct header {
	uint32_t magic, flags, checksum, header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, rest[24];
};

/* Where in the file it is, or -1. */
static long header_find(FILE *f, struct header *h)
{
	uint8_t text[SEARCH];
	size_t n = fread(text, 1, sizeof(text), f), at;

	for (at = 0; at + sizeof(*h) <= n; at += 4) {
		memcpy(h, text + at, sizeof(*h));
		if (h->magic == MAGIC && h->magic + h->flags + h->checksum == 0)
			return (long)at;
	}
	return -1;
}

bool multiboot_is(const char *path)
{
	FILE *f = fopen(path, "rbe");
	struct header h;
	bool is = f && header_find(f, &h) >= 0;

	if (f)
		fclose(f);
	return is;
}

static int load(struct machine *m, FILE *f, struct header *h)
{
	long at = header_find(f, h);
	uint32_t bytes = h->load_end_addr - h->load_addr, all = h->bss_end_addr - h->load_addr;
	uint8_t *to;

	if (at < 0 || !(h->flags & HAS_ADDRESSES) || h->load_addr < HIGH_START || h->load_end_addr < h->load_addr ||
	    h->bss_end_addr < h->load_end_addr || h->header_addr < h->load_addr || h->header_addr - h->load_addr > (uint32_t)at)
		return -1;
	to = guest_ram(m, h->load_addr, all);
	if (!to || fseek(f, at - (long)(h->header_addr - h->load_addr), SEEK_SET) < 0 || fread(to, 1, bytes, f) != bytes)
		return -1;
	memset(to + bytes, 0, all - bytes);
	return 0;
}

static int cpu_enter(struct machine *m, uint32_t entry)
{
	const struct kvm_segment code = { .selector = 0x08, .limit = ~0u, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1 };
	const struct kvm_segment data = { .selector = 0x10, .limit = ~0u, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	struct kvm_regs r = { .rip = entry, .rax = LOADED, .rbx = INFO, .rflags = 2 /* always set */ };
	struct kvm_sregs s;
	int fd = m->vcpu[0].fd;

	if (ioctl(fd, KVM_GET_SREGS, &s) < 0)
		return -1;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x11; /* ET, PE */
	return ioctl(fd, KVM_SET_SREGS, &s) < 0 || ioctl(fd, KVM_SET_REGS, &r) < 0 ? -1 : 0;
}

int multiboot_boot(struct machine *m, const char *kernel, const char *cmdline)
{
	struct info info = { .flags = INFO_MEMORY | INFO_CMDLINE, .mem_lower = LOW_KIB, .cmdline = CMDLINE,
			     .mem_upper = (uint32_t)((m->ram_bytes - HIGH_START) >> 10) };
	size_t length = strlen(cmdline);
	FILE *f = fopen(kernel, "rbe");
	struct header h;
	int r = f ? load(m, f, &h) : -1;

	if (f)
		fclose(f);
	if (r < 0 || CMDLINE + length >= CMDLINE_END) {
		fprintf(stderr, "vmm: %s: not a multiboot payload that fits\n", kernel);
		return -1;
	}
	memcpy(m->ram + INFO, &info, sizeof(info));
	memcpy(m->ram + CMDLINE, cmdline, length + 1);
	if (cpu_enter(m, h.entry_addr) < 0) {
		fprintf(stderr, "vmm: cannot set the first vCPU's registers: %s\n", strerror(errno));
		return -1;
	}
	return 0;
}
