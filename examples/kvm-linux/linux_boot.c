/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Puts a bzImage, its initrd and its command line into guest RAM and enters it by the 64-bit boot protocol
 * (Linux, Documentation/arch/x86/boot.rst): long mode, identity page tables, RSI = boot_params, RIP = image + 0x200.
 */
#define _GNU_SOURCE
#include "vmm.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Low memory, all below 640 KiB */
#define GDT 0x1000u
#define PAGE_TABLES 0x2000u      /* one PML4, one PDPT, four PDs: 6 pages */
#define BOOT_PARAMS 0x10000u
#define CMDLINE 0x20000u
#define STACK 0x30000u
#define LOW_END 0xa0000u
#define HIGH_START 0x100000u

#define PTE_TABLE 0x03ull        /* present, writable */
#define PTE_LARGE 0x83ull        /* and 2 MiB */
#define SETUP_OFFSET 0x1f1u      /* struct setup_header in the file */
#define ENTRY_64 0x200u          /* of the 64-bit entry in the protected-mode part */
#define SECTOR 512u
#define SETUP_SECTS_DEFAULT 4u   /* what 0 means */

/* ------------------------------------------------------------------------------------------------------------- files */

static int file_open(const char *path, uint64_t *bytes)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0) {
		fprintf(stderr, "vmm: %s: %s\n", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*bytes = (uint64_t)st.st_size;
	return fd;
}

static int file_read(int fd, uint64_t at, void *to, uint64_t bytes)
{
	uint8_t *p = to;
	ssize_t n;

	for (; bytes; bytes -= (uint64_t)n, at += (uint64_t)n, p += n) {
		n = pread(fd, p, bytes, (off_t)at);
		if (n <= 0)
			return -1;
	}
	return 0;
}

/* -------------------------------------------------------------------------------------------------------------- image */

/* Header checked; the protected-mode part loaded at its preferred address. */
static int kernel_load(struct machine *m, const char *path, struct setup_header *h)
{
	uint64_t bytes, setup;
	uint8_t *to;
	int r = -1, fd = file_open(path, &bytes);

	if (fd < 0)
		return -1;
	if (file_read(fd, SETUP_OFFSET, h, sizeof(*h)) < 0 || memcmp(&h->header, "HdrS", 4) != 0 || h->version < 0x020c ||
	    !(h->xloadflags & XLF_KERNEL_64)) {
		fprintf(stderr, "vmm: %s: not a bzImage with a 64-bit entry\n", path);
		goto out;
	}
	setup = (uint64_t)((h->setup_sects ? h->setup_sects : SETUP_SECTS_DEFAULT) + 1u) * SECTOR;
	/* init_size: what the kernel uses there before it has read the memory map. */
	to = h->pref_address >= HIGH_START ? guest_ram(m, h->pref_address, h->init_size) : NULL;
	if (!to || bytes < setup || bytes - setup > h->init_size) {
		fprintf(stderr, "vmm: %s: does not fit into the guest's RAM\n", path);
		goto out;
	}
	r = file_read(fd, setup, to, bytes - setup);
	if (r < 0)
		fprintf(stderr, "vmm: %s: cannot be read\n", path);
out:
	close(fd);
	return r;
}

/* At the top of RAM, or below what the kernel can reach. */
static int initrd_load(struct machine *m, const char *path, struct boot_params *b)
{
	uint64_t bytes, at, top = m->ram_bytes;
	int r = -1, fd = file_open(path, &bytes);

	if (fd < 0)
		return -1;
	if (b->hdr.initrd_addr_max && top > (uint64_t)b->hdr.initrd_addr_max + 1)
		top = (uint64_t)b->hdr.initrd_addr_max + 1;
	at = bytes < top ? (top - bytes) & ~0xfffull : 0;
	if (at < b->hdr.pref_address + b->hdr.init_size) {
		fprintf(stderr, "vmm: %s: does not fit into the guest's RAM\n", path);
		goto out;
	}
	r = file_read(fd, 0, m->ram + at, bytes);
	if (r < 0)
		fprintf(stderr, "vmm: %s: cannot be read\n", path);
	b->hdr.ramdisk_image = (uint32_t)at;
	b->hdr.ramdisk_size = (uint32_t)bytes;
out:
	close(fd);
	return r;
}

static int params_build(struct machine *m, struct boot_params *b, const char *cmdline)
{
	const struct boot_e820_entry map[] = {
		{ .addr = 0, .size = LOW_END, .type = 1 /* RAM */ },
		{ .addr = LOW_END, .size = HIGH_START - LOW_END, .type = 2 /* reserved: ACPI tables are in it */ },
		{ .addr = HIGH_START, .size = m->ram_bytes - HIGH_START, .type = 1 },
	};
	size_t length = strlen(cmdline);

	if (length > b->hdr.cmdline_size || CMDLINE + length >= STACK) {
		fprintf(stderr, "vmm: the kernel command line is too long\n");
		return -1;
	}
	memcpy(m->ram + CMDLINE, cmdline, length + 1);
	b->hdr.cmd_line_ptr = CMDLINE;
	b->hdr.type_of_loader = 0xff; /* none of the registered ones */
	memcpy(b->e820_table, map, sizeof(map));
	b->e820_entries = sizeof(map) / sizeof(map[0]);
	b->acpi_rsdp_addr = acpi_build(m);
	memcpy(m->ram + BOOT_PARAMS, b, sizeof(*b));
	return 0;
}

/* ---------------------------------------------------------------------------------------------------------- processor */

/* The first 4 GiB map onto themselves, in pages of 2 MiB. */
static void page_tables_build(struct machine *m)
{
	uint64_t *t = (uint64_t *)(void *)(m->ram + PAGE_TABLES); /* 512 entries a page: PML4, PDPT, PD 0..3 */
	uint64_t i;

	memset(t, 0, 2 * 4096);
	t[0] = (PAGE_TABLES + 0x1000) | PTE_TABLE;
	for (i = 0; i < 4; i++)
		t[512 + i] = (PAGE_TABLES + 0x2000 + i * 0x1000) | PTE_TABLE;
	for (i = 0; i < 4 * 512; i++)
		t[1024 + i] = i << 21 | PTE_LARGE;
}

/* The boot protocol fixes the selectors: code 0x10, data 0x18. */
static void segments_set(struct machine *m, struct kvm_sregs *s)
{
	const struct kvm_segment code = { .selector = 0x10, .limit = ~0u, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	const struct kvm_segment data = { .selector = 0x18, .limit = ~0u, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };

	memcpy(m->ram + GDT, gdt, sizeof(gdt));
	s->gdt.base = GDT;
	s->gdt.limit = sizeof(gdt) - 1;
	s->idt.limit = 0;
	s->cs = code;
	s->ds = s->es = s->fs = s->gs = s->ss = data;
}

static int cpu_enter(struct machine *m, uint64_t rip)
{
	struct kvm_regs r = { .rip = rip, .rsi = BOOT_PARAMS, .rsp = STACK, .rflags = 2 /* always set */ };
	struct kvm_sregs s;
	int fd = m->vcpu[0].fd;

	if (ioctl(fd, KVM_GET_SREGS, &s) < 0)
		return -1;
	page_tables_build(m);
	segments_set(m, &s);
	s.cr3 = PAGE_TABLES;
	s.cr4 = 1u << 5;                         /* PAE */
	s.cr0 = 0x80050033;                      /* PG, AM, WP, NE, ET, MP, PE */
	s.efer = 0x500;                          /* LMA, LME */
	return ioctl(fd, KVM_SET_SREGS, &s) < 0 || ioctl(fd, KVM_SET_REGS, &r) < 0 ? -1 : 0;
}

int linux_boot(struct machine *m, const char *kernel, const char *initrd, const char *cmdline)
{
	struct boot_params b;

	memset(&b, 0, sizeof(b));
	if (kernel_load(m, kernel, &b.hdr) < 0 || (initrd && initrd_load(m, initrd, &b) < 0) || params_build(m, &b, cmdline) < 0)
		return -1;
	if (cpu_enter(m, b.hdr.pref_address + ENTRY_64) < 0) {
		fprintf(stderr, "vmm: cannot set the first vCPU's registers: %s\n", strerror(errno));
		return -1;
	}
	return 0;
}
