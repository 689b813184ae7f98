/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What the guest's processors say of themselves: KVM's own list, less what is trouble, plus the Hyper-V leaves.
 */
#include "vmm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define MAX_ENTRIES 256u
#define BIT(n) (1u << (n))

/* Leaf 0x40000003 EAX (platform.md 2.2): every bit obliges; hyperv.c keeps each of these promises. */
#define HV_TIME_REF_COUNT BIT(1)
#define HV_SYNIC BIT(2)
#define HV_HYPERCALL BIT(5)
#define HV_VP_INDEX BIT(6)
#define HV_RESET BIT(7)
#define HV_REFERENCE_TSC BIT(9)
#define HV_FREQUENCIES BIT(11)
/* EBX */
#define HV_POST_MESSAGES BIT(4)
#define HV_SIGNAL_EVENTS BIT(5)
/* EDX */
#define HV_FREQUENCY_MSRS BIT(8)
#define HV_CRASH_MSRS BIT(10)
/* Leaf 0x40000004 EAX (platform.md 2.3) */
#define HV_RELAXED_TIMING BIT(5)
#define HV_NO_AUTO_EOI BIT(9) /* must be set: an injected MSI leaves its bit in the APIC's ISR for the guest to clear */

static const struct kvm_cpuid_entry2 hv_leaves[] = {
	{ .function = 0x40000000, .eax = 0x40000006, .ebx = 0x7263694d, .ecx = 0x666f736f, .edx = 0x76482074 }, /* Microsoft Hv */
	{ .function = 0x40000001, .eax = 0x31237648 }, /* Hv#1 */
	{ .function = 0x40000002, .eax = 0x4563, .ebx = 0x000a0000 }, /* build 17763, version 10.0: printed, nothing else */
	{ .function = 0x40000003,
	  .eax = HV_TIME_REF_COUNT | HV_SYNIC | HV_HYPERCALL | HV_VP_INDEX | HV_RESET | HV_REFERENCE_TSC | HV_FREQUENCIES,
	  .ebx = HV_POST_MESSAGES | HV_SIGNAL_EVENTS,
	  .edx = HV_FREQUENCY_MSRS | HV_CRASH_MSRS },
	{ .function = 0x40000004, .eax = HV_RELAXED_TIMING | HV_NO_AUTO_EOI, .ebx = 0xffffffff /* spinning: never tell */ },
	{ .function = 0x40000005, .eax = WIRE_MAX_VPS, .ebx = WIRE_MAX_VPS },
	{ .function = 0x40000006 },
};

#define HV_LEAVES (sizeof(hv_leaves) / sizeof(hv_leaves[0]))

/*
 * XSAVE and all that needs it goes: KVM nested in QEMU 7.2 never learns the guest's XCR0 (real-guest.md 1). Nested virtualisation
 * and speculation controls go too: they only cost exits. So does CMPXCHG16B: as QEMU 7.2 emulates it, it may leave the operand of an
 * earlier instruction in RFLAGS, and Linux 6.12, which allocates memory with it, then dies of a set direction flag. Linux can do
 * without. The rest is KVM's choice.
 */
static void leaf_1(struct kvm_cpuid_entry2 *e, const struct vcpu *v)
{
	/* 5 VMX, 12 FMA, 13 CMPXCHG16B, 26 XSAVE, 27 OSXSAVE, 28 AVX, 29 F16C */
	e->ecx &= ~(BIT(5) | BIT(12) | BIT(13) | BIT(26) | BIT(27) | BIT(28) | BIT(29));
	e->ecx |= BIT(31); /* a hypervisor is present */
	e->ebx = (e->ebx & 0xffffu) | v->m->vps << 16 | v->index << 24; /* logical processors, initial APIC id */
	e->edx = v->m->vps > 1 ? e->edx | BIT(28) : e->edx & ~BIT(28); /* HTT: more than one logical processor */
}

static void leaf_7(struct kvm_cpuid_entry2 *e)
{
	if (e->index != 0) {
		e->eax = e->ebx = e->ecx = e->edx = 0;
		return;
	}
	/* 0 FSGSBASE, 3 BMI1, 7 SMEP, 8 BMI2, 9 ERMS, 10 INVPCID, 18 RDSEED, 19 ADX, 20 SMAP, 23 CLFLUSHOPT, 24 CLWB, 29 SHA */
	e->eax = 0;
	e->ebx &= BIT(0) | BIT(3) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(18) | BIT(19) | BIT(20) | BIT(23) | BIT(24) |
		  BIT(29);
	e->ecx &= BIT(2); /* UMIP */
	e->edx = 0;
}

/* Returns false to leave the leaf out. */
static bool leaf_edit(struct kvm_cpuid_entry2 *e, const struct vcpu *v)
{
	if (e->function >= 0x40000000 && e->function < 0x50000000)
		return false; /* a KVM signature left in would win over ours (platform.md 2.6) */
	switch (e->function) {
	case 0x1:
		leaf_1(e, v);
		break;
	case 0x4:
		if (e->eax & 0x1f) /* a cache: nobody shares it; 31:26 cores of the package less one */
			e->eax = (e->eax & 0x3fffu) | (v->m->vps - 1) << 26;
		break;
	case 0x7:
		leaf_7(e);
		break;
	case 0xa: /* performance counters: not ours to give */
	case 0xb: /* topologies: the real machine's would contradict leaf 1 */
	case 0xd: /* XSAVE's areas */
	case 0x1f:
	case 0x8000000a: /* SVM */
	case 0x8000001d:
	case 0x8000001e:
		return false;
	case 0x80000001:
		/* 2 SVM, 11 XOP, 16 FMA4, 22 topology extensions (leaf 0x8000001e), 23 and 24 performance counters */
		e->ecx &= ~(BIT(2) | BIT(11) | BIT(16) | BIT(22) | BIT(23) | BIT(24));
		break;
	case 0x80000008:
		e->ebx = 0; /* speculation controls and the like */
		e->ecx = v->m->vps - 1; /* processors less one */
		break;
	}
	return true;
}

int cpuid_set(struct machine *m, struct vcpu *v)
{
	size_t bytes = sizeof(struct kvm_cpuid2) + MAX_ENTRIES * sizeof(struct kvm_cpuid_entry2);
	struct kvm_cpuid2 *c = calloc(1, bytes);
	uint32_t i, n = 0;
	int r = -1;

	if (!c)
		return -1;
	c->nent = MAX_ENTRIES - HV_LEAVES;
	if (ioctl(m->kvm, KVM_GET_SUPPORTED_CPUID, c) < 0) {
		fprintf(stderr, "vmm: KVM_GET_SUPPORTED_CPUID: %s\n", strerror(errno));
		goto out;
	}
	for (i = 0; i < c->nent; i++)
		if (leaf_edit(&c->entries[i], v))
			c->entries[n++] = c->entries[i];
	memcpy(&c->entries[n], hv_leaves, sizeof(hv_leaves));
	c->nent = n + (uint32_t)HV_LEAVES;
	r = ioctl(v->fd, KVM_SET_CPUID2, c);
	if (r < 0)
		fprintf(stderr, "vmm: KVM_SET_CPUID2: %s\n", strerror(errno));
out:
	free(c);
	return r;
}
