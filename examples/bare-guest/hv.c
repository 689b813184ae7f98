/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The hypervisor as a guest meets it: hypercall page, SynIC pages, the two hypercalls and the clock. platform.md 2...6 */
#include "bare.h"

#define LEAF_VENDOR 0x40000000u
#define LEAF_FEATURES 0x40000003u
#define NEEDED 0x66u                     /* EAX: reference counter, SynIC, hypercalls, VP index */
#define OS_ID (1ull << 63 | 0x7eull << 56 | 1u << 16) /* open source, none of the known systems, version 1 */
#define MASKED 0x10000u
#define ENABLE 1u
#define CALL_POST 0x5cu
#define CALL_SIGNAL 0x1005du             /* fast: the input is in registers */

enum {
	MSR_OS_ID = 0x40000000, MSR_HYPERCALL = 0x40000001, MSR_VP_INDEX = 0x40000002, MSR_TIME = 0x40000020,
	MSR_SCONTROL = 0x40000080, MSR_SIEFP = 0x40000082, MSR_SIMP = 0x40000083, MSR_EOM = 0x40000084, MSR_SINT0 = 0x40000090
};

/* The page that the hypervisor fills, those of the SynIC, and one for what is posted: input must not cross a page. */
static uint8_t code[VMB_PAGE] __attribute__((aligned(4096))), messages[VMB_PAGE] __attribute__((aligned(4096)));
static uint8_t events[VMB_PAGE] __attribute__((aligned(4096))), input[VMB_PAGE] __attribute__((aligned(4096)));

static void cpuid(uint32_t leaf, uint32_t r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

static uint64_t hypercall(uint64_t control, uint64_t in, uint64_t out)
{
	register uint64_t r8 __asm__("r8") = out;
	uint64_t result;

	__asm__ volatile("call *%4"
			 : "=a"(result), "+c"(control), "+d"(in), "+r"(r8)
			 : "r"(code)
			 : "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "memory", "cc");
	return result;
}

void hv_on(int interrupts)
{
	uint32_t r[4];

	cpuid(1, r);
	if (!(r[2] >> 31))
		die("no hypervisor", 0);
	cpuid(LEAF_VENDOR, r);
	if (r[0] < LEAF_FEATURES || r[1] != 0x7263694d || r[2] != 0x666f736f || r[3] != 0x76482074) /* Microsoft Hv */
		die("a hypervisor, but not Hyper-V", r[1]);
	cpuid(LEAF_FEATURES, r);
	if ((r[0] & NEEDED) != NEEDED)
		die("Hyper-V without what this needs", r[0]);
	wrmsr(MSR_OS_ID, OS_ID);
	wrmsr(MSR_HYPERCALL, (uintptr_t)code | ENABLE);
	if (!(rdmsr(MSR_HYPERCALL) & ENABLE))
		die("no hypercall page", 0);
	wrmsr(MSR_SIMP, (uintptr_t)messages | ENABLE);
	wrmsr(MSR_SIEFP, (uintptr_t)events | ENABLE);
	wrmsr(MSR_SINT0 + SINT, VECTOR_SINT | (interrupts ? 0 : MASKED));
	wrmsr(MSR_SCONTROL, ENABLE);
}

void hv_off(void)
{
	wrmsr(MSR_SINT0 + SINT, MASKED);
	wrmsr(MSR_SIMP, 0);
	wrmsr(MSR_SIEFP, 0);
	wrmsr(MSR_SCONTROL, 0);
	wrmsr(MSR_HYPERCALL, 0);
	wrmsr(MSR_OS_ID, 0);
}

uint32_t hv_vp(void)
{
	return (uint32_t)rdmsr(MSR_VP_INDEX);
}

uint64_t hv_now(void)
{
	return rdmsr(MSR_TIME) * 100;
}

int hv_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	const uint32_t head[4] = { connection, 0, 1, len };

	(void)ctx;
	__builtin_memcpy(input, head, sizeof head);
	__builtin_memcpy(input + sizeof head, payload, len);
	return (int)(hypercall(CALL_POST, (uintptr_t)input, 0) & 0xffff);
}

int hv_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx;
	return (int)(hypercall(CALL_SIGNAL, connection | (uint64_t)flag << 32, 0) & 0xffff);
}

void hv_eom(void)
{
	wrmsr(MSR_EOM, 0);
}

void *hv_slot(void)
{
	return messages + SINT * 256;
}

void *hv_flags(void)
{
	return events + SINT * 256;
}
