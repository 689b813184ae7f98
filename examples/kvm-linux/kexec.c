/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * For scenarios, in the guest: boots the same kernel again without a reset. usage: kexec KERNEL INITRD COMMAND_LINE
 *
 * By kexec_load: what kexec_file_load adds, a checksum of all in C without caches, takes minutes under emulation. The boot
 * parameters are those of the kernel that runs, but for initrd and command line.
 */
#define _GNU_SOURCE
#include <asm/bootparam.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kexec.h>
#include <linux/reboot.h>

#define PAGE 4096ul
#define BOOT_PARAMS 0x90000ul    /* in low memory, as a boot loader does: one page, then one for the command line, one for the stub */
#define CMDLINE (BOOT_PARAMS + PAGE)
#define STUB (CMDLINE + PAGE)
#define INITRD 0xa000000ul       /* 160 MiB, above what the kernel needs before it has read the memory map */
#define ENTRY_64 0x200ul         /* of the 64-bit entry in the protected-mode part */

static uint8_t low[3 * PAGE];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint8_t *file_read(const char *path, size_t *bytes)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	uint8_t *p;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);
	*bytes = (size_t)st.st_size;
	p = malloc(*bytes);
	if (!p || read(fd, p, *bytes) != st.st_size)
		die(path);
	close(fd);
	return p;
}

static size_t whole_pages(size_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

/* Entered in long mode, with all memory mapped onto itself, and with all registers 0. */
static void stub_write(uint8_t *at, uint64_t entry)
{
	static const uint8_t code[] = {
		0xbe, BOOT_PARAMS & 0xff, BOOT_PARAMS >> 8 & 0xff, BOOT_PARAMS >> 16 & 0xff, 0, /* mov $BOOT_PARAMS, %esi */
		0xb8, 0, 0, 0, 0,                                                               /* mov $entry, %eax */
		0xff, 0xe0,                                                                     /* jmp *%rax */
	};

	memcpy(at, code, sizeof code);
	memcpy(at + 6, &entry, 4);
}

/* The page of the running kernel's parameters, with our initrd and command line. */
static void params_write(uint8_t *at, size_t initrd_bytes)
{
	struct boot_params b;
	int fd = open("/sys/kernel/boot_params/data", O_RDONLY);

	if (fd < 0 || read(fd, &b, sizeof b) != sizeof b)
		die("boot parameters");
	close(fd);
	b.hdr.ramdisk_image = INITRD;
	b.hdr.ramdisk_size = (uint32_t)initrd_bytes;
	b.ext_ramdisk_image = b.ext_ramdisk_size = 0;
	b.hdr.cmd_line_ptr = CMDLINE;
	b.ext_cmd_line_ptr = 0;
	b.hdr.setup_data = 0;
	memcpy(at, &b, sizeof b);
}

int main(int argc, char **argv)
{
	size_t kernel_bytes, initrd_bytes, setup;
	uint8_t *kernel, *initrd;
	struct setup_header h;

	if (argc != 4 || strlen(argv[3]) >= PAGE) {
		fprintf(stderr, "usage: kexec KERNEL INITRD COMMAND_LINE\n");
		return 2;
	}
	kernel = file_read(argv[1], &kernel_bytes);
	initrd = file_read(argv[2], &initrd_bytes);
	memcpy(&h, kernel + 0x1f1, sizeof h);
	setup = (h.setup_sects ? h.setup_sects + 1u : 5u) * 512u;
	if (kernel_bytes < setup || memcmp(&h.header, "HdrS", 4) != 0 || h.pref_address + h.init_size > INITRD) {
		fprintf(stderr, "kexec: not a kernel that we can place\n");
		return 1;
	}
	params_write(low, initrd_bytes);
	memcpy(low + (CMDLINE - BOOT_PARAMS), argv[3], strlen(argv[3]));
	stub_write(low + (STUB - BOOT_PARAMS), h.pref_address + ENTRY_64);

	struct kexec_segment segment[] = {
		{ low, sizeof low, (void *)BOOT_PARAMS, sizeof low },
		{ kernel + setup, kernel_bytes - setup, (void *)(uintptr_t)h.pref_address, whole_pages(kernel_bytes - setup) },
		{ initrd, initrd_bytes, (void *)INITRD, whole_pages(initrd_bytes) },
	};

	if (syscall(SYS_kexec_load, STUB, 3ul, segment, (unsigned long)KEXEC_ARCH_X86_64) < 0)
		die("kexec_load");
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	die("kexec");
}
