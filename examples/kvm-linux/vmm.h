/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What the parts of the VMM share: the machine, its virtual processors, and who guards what.
 *
 * Threads: one per vCPU, the link's reader, and main, which waits for the vCPUs. A vCPU thread handles its own exits.
 */
#ifndef KVM_LINUX_VMM_H
#define KVM_LINUX_VMM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"

enum outcome {           /* how a run of the machine ended; the first one counts */
	RUNNING = 0,
	POWERED_OFF,
	RESET,
	HOST_END_DIED,
	TOLD_TO_STOP,    /* SIGTERM: it took too long */
	BROKEN           /* KVM refused, or an exit nobody can handle */
};

struct hv_vp {
	uint64_t vp_assist;                 /* stored for the guest to read back, never used */
	/* Written by the VP's thread, read by the link's reader too. */
	_Atomic uint64_t scontrol, sint[16];
	uint64_t siefp, simp;
};

struct hv_partition {
	pthread_mutex_t lock;               /* of the MSRs that all VPs share: */
	uint64_t guest_os_id, hypercall, reference_tsc, crash[5];
	/* Reference time, in 100 ns, is (tsc * scale >> 64) + offset. Constant once the first vCPU runs. */
	uint64_t tsc_hz, tsc_scale;
	int64_t tsc_offset;
};

struct uart {
	int out;                            /* where the guest's console goes */
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	bool thr_empty_pending, irq_level;
};

struct ports {
	pthread_mutex_t lock;               /* of all that follows */
	struct uart uart;
	uint8_t cmos_index;
	uint16_t pm1_enable, pm1_control;
};

struct machine;

struct vcpu {
	struct machine *m;
	uint32_t index;                     /* = VP index = APIC id */
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	struct hv_vp hv;
};

struct machine {
	int kvm, vm;
	size_t run_bytes;
	uint8_t *ram;                       /* guest physical 0 .. ram_bytes-1 */
	uint64_t ram_bytes;
	uint64_t time_zero_ns;              /* CLOCK_MONOTONIC_RAW when reference time was 0; survives resets */
	uint32_t vps;
	struct vcpu vcpu[WIRE_MAX_VPS];
	struct hv_partition hv;
	struct ports ports;
	struct link link;
	atomic_int outcome;                 /* enum outcome */
	pthread_mutex_t lock;               /* of started */
	uint32_t started;                   /* vCPU threads; 0: there is nobody to stop or to interrupt */
};

/* machine.c: the KVM side of it. 0 or -1, with a message printed. */
int machine_create(struct machine *m);
enum outcome machine_run(struct machine *m);
void machine_destroy(struct machine *m);
/* From any thread: end the run. The vCPUs stop soon. */
void machine_stop(struct machine *m, enum outcome outcome);
/* When it has stopped: what each vCPU was about, to standard error. */
void machine_tell(struct machine *m);
/* From any thread. SINT's vector to the VP, if the guest wants it (platform.md 5.3). */
void machine_raise(struct machine *m, uint32_t vp, uint32_t sint);

/* cpuid.c */
int cpuid_set(struct machine *m, struct vcpu *v);

/* hyperv.c. MSR functions return 0, or -1: #GP. */
void hv_reset(struct machine *m);
int hv_time_init(struct machine *m);
int hv_rdmsr(struct vcpu *v, uint32_t index, uint64_t *value);
int hv_wrmsr(struct vcpu *v, uint32_t index, uint64_t value);
/* hypercall.c */
void hypercall_page_fill(uint8_t *page);
uint64_t hypercall_do(struct vcpu *v, uint64_t control, uint64_t in, uint64_t out);

/* ports.c: port I/O of one unit. */
void ports_reset(struct machine *m, int console);
void ports_write(struct vcpu *v, uint16_t port, uint32_t value, unsigned int bytes);
uint32_t ports_read(struct vcpu *v, uint16_t port, unsigned int bytes);
#define PORT_HYPERCALL 0xea /* what the hypercall page writes to. Free on a PC (platform.md 4.2) */
#define PORT_PM1_EVENT 0x600 /* ACPI PM1a event block, 4 bytes; where exactly is ours to choose: the FADT says it */
#define PORT_PM1_CONTROL 0x604 /* ACPI PM1a control block, 2 bytes */
#define PORT_RESET 0xcf9 /* the PC's reset control register; the FADT names it too */
#define RESET_VALUE 0x06 /* bit 1 system reset, bit 2 do it */
#define SLEEP_TYPE_S5 5 /* SLP_TYP that the DSDT's \_S5 names */

/* uart.c */
void uart_reset(struct uart *u, int console);
void uart_write(struct uart *u, unsigned int reg, uint8_t value);
uint8_t uart_read(struct uart *u, unsigned int reg);
bool uart_irq(const struct uart *u);
/* cmos.c */
uint8_t cmos_read(uint8_t index);

/* acpi.c: lay the tables into guest RAM; returns the address of the RSDP. */
uint64_t acpi_build(struct machine *m);
/* linux_boot.c: load and point vCPU 0 at the kernel. 0 or -1, with a message printed. */
int linux_boot(struct machine *m, const char *kernel, const char *initrd, const char *cmdline);
/* multiboot.c: is it such a file? And the same for it. */
bool multiboot_is(const char *path);
int multiboot_boot(struct machine *m, const char *kernel, const char *cmdline);

/* Guest memory: NULL if any of it is not RAM. */
static inline uint8_t *guest_ram(const struct machine *m, uint64_t gpa, uint64_t bytes)
{
	return bytes <= m->ram_bytes && gpa <= m->ram_bytes - bytes ? m->ram + gpa : NULL;
}

#endif
