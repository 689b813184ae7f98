/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The synthetic MSRs 0x40000000..0x400001ff (platform.md 3), all in user space: what makes a Hyper-V of a KVM.
 */
#define _GNU_SOURCE
#include "vmm.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define PAGE 4096u
#define ENABLE 1ull                      /* bit 0 of HYPERCALL, REFERENCE_TSC, SIMP, SIEFP, SCONTROL */
#define HYPERCALL_LOCKED 2ull
#define GPN_MASK 0xfffffffffffff000ull   /* bits 11:0 are flags, not address (platform.md 11.5) */
#define SINT_RESET 0x10000ull            /* masked */
#define SINT_MASKED 0x10000ull
#define SINT_POLLING 0x40000ull
#define APIC_HZ 1000000000ull            /* KVM's local APIC timer counts nanoseconds (platform.md 3) */
#define CRASH_MESSAGE (1ull << 62)       /* P3 is the address, P4 the length of a text */
#define CRASH_NOTIFY (1ull << 63)

enum {
	MSR_GUEST_OS_ID = 0x40000000, MSR_HYPERCALL = 0x40000001, MSR_VP_INDEX = 0x40000002, MSR_RESET = 0x40000003,
	MSR_TIME_REF_COUNT = 0x40000020, MSR_REFERENCE_TSC = 0x40000021,
	MSR_TSC_FREQUENCY = 0x40000022, MSR_APIC_FREQUENCY = 0x40000023, MSR_VP_ASSIST_PAGE = 0x40000073,
	MSR_SCONTROL = 0x40000080, MSR_SVERSION = 0x40000081, MSR_SIEFP = 0x40000082, MSR_SIMP = 0x40000083,
	MSR_EOM = 0x40000084, MSR_SINT0 = 0x40000090, MSR_SINT2 = 0x40000092, MSR_SINT15 = 0x4000009f,
	MSR_CRASH_P0 = 0x40000100, MSR_CRASH_P4 = 0x40000104, MSR_CRASH_CTL = 0x40000105,
	MSR_IA32_TSC = 0x10 /* the processor's own */
};

/* ---------------------------------------------------------------------------------------------------- reference time */

__extension__ typedef unsigned __int128 u128;

static uint64_t guest_tsc(struct vcpu *v)
{
	union {
		struct kvm_msrs list;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} q = { .list = { .nmsrs = 1 } };

	/* KVM can always read this one; it is what the guest's own RDTSC would give now. */
	q.list.entries[0].index = MSR_IA32_TSC;
	return ioctl(v->fd, KVM_GET_MSRS, &q) == 1 ? q.list.entries[0].data : 0;
}

/* The formula of the reference TSC page, so that page and MSR are one clock (platform.md 3.2). */
static uint64_t reference_time(struct vcpu *v)
{
	const struct hv_partition *p = &v->m->hv;

	return (uint64_t)((u128)guest_tsc(v) * p->tsc_scale >> 64) + (uint64_t)p->tsc_offset;
}

static uint64_t raw_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* When the vCPUs exist and none has run. KVM starts all their TSCs together. Reference time goes on over resets. */
int hv_time_init(struct machine *m)
{
	struct hv_partition *p = &m->hv;
	int khz = ioctl(m->vcpu[0].fd, KVM_GET_TSC_KHZ, 0);

	if (khz <= 0) {
		fprintf(stderr, "vmm: KVM does not tell the TSC frequency\n");
		return -1;
	}
	p->tsc_hz = (uint64_t)khz * 1000u;
	/* 10^7 units a second, as a fraction of 2^64 per tick. A TSC below 10 MHz would not fit. */
	p->tsc_scale = (uint64_t)(((u128)10000000u << 64) / p->tsc_hz);
	p->tsc_offset = 0;
	p->tsc_offset = (int64_t)((raw_ns() - m->time_zero_ns) / 100u) - (int64_t)reference_time(&m->vcpu[0]);
	return 0;
}

/* Sequence 0 sends the guest to the MSR: right wherever the TSC cannot be trusted. */
static void tsc_page_fill(struct machine *m, uint8_t *page)
{
	struct kvm_clock_data clock;
	uint32_t sequence = 0;

	memset(&clock, 0, sizeof(clock));
	/* KVM says so when all the vCPUs' TSCs are one clock, and the machine's own clock is made from the same TSC. */
	if (ioctl(m->vm, KVM_GET_CLOCK, &clock) == 0 && (clock.flags & KVM_CLOCK_TSC_STABLE))
		sequence = 1;
	memset(page, 0, PAGE);
	memcpy(page + 8, &m->hv.tsc_scale, 8);
	memcpy(page + 16, &m->hv.tsc_offset, 8);
	__atomic_store_n((uint32_t *)(void *)page, sequence, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------------------------------------- partition-wide MSRs */

void hv_reset(struct machine *m)
{
	struct hv_partition *p = &m->hv;
	uint32_t i, n;

	p->guest_os_id = p->hypercall = p->reference_tsc = 0;
	memset(p->crash, 0, sizeof(p->crash));
	for (i = 0; i < m->vps; i++) {
		struct hv_vp *hv = &m->vcpu[i].hv;

		hv->vp_assist = hv->siefp = hv->simp = 0;
		atomic_store(&hv->scontrol, ENABLE); /* as KVM and openvmm reset it (platform.md 3) */
		for (n = 0; n < 16; n++)
			atomic_store(&hv->sint[n], SINT_RESET);
	}
}

static int write_hypercall(struct machine *m, uint64_t value)
{
	struct hv_partition *p = &m->hv;
	uint8_t *page;

	if (p->hypercall & HYPERCALL_LOCKED)
		return 0;
	if (p->guest_os_id == 0)
		value &= ~ENABLE;
	if (value & ENABLE) {
		page = guest_ram(m, value & GPN_MASK, PAGE);
		if (!page)
			return -1;
		hypercall_page_fill(page);
	}
	p->hypercall = value;
	return 0;
}

static int write_reference_tsc(struct machine *m, uint64_t value)
{
	uint8_t *page;

	if (value & ENABLE) {
		page = guest_ram(m, value & GPN_MASK, PAGE);
		if (!page)
			return -1;
		tsc_page_fill(m, page);
	}
	m->hv.reference_tsc = value;
	return 0;
}

static void write_crash(struct machine *m, uint64_t value)
{
	const uint64_t *c = m->hv.crash;
	const uint8_t *text;

	if (!(value & CRASH_NOTIFY))
		return;
	fprintf(stderr, "vmm: the guest reports a crash: %llx %llx %llx %llx %llx\n", (unsigned long long)c[0],
		(unsigned long long)c[1], (unsigned long long)c[2], (unsigned long long)c[3], (unsigned long long)c[4]);
	text = c[4] <= PAGE ? guest_ram(m, c[3], c[4]) : NULL;
	if ((value & CRASH_MESSAGE) && text)
		fprintf(stderr, "%.*s\n", (int)c[4], (const char *)text);
}

static int partition_write(struct machine *m, uint32_t index, uint64_t value)
{
	struct hv_partition *p = &m->hv;

	if (index >= MSR_CRASH_P0 && index <= MSR_CRASH_P4) {
		p->crash[index - MSR_CRASH_P0] = value;
		return 0;
	}
	switch (index) {
	case MSR_GUEST_OS_ID:
		p->guest_os_id = value;
		if (value == 0)
			p->hypercall &= ~ENABLE; /* platform.md 11.14 */
		return 0;
	case MSR_HYPERCALL:
		return write_hypercall(m, value);
	case MSR_REFERENCE_TSC:
		return write_reference_tsc(m, value);
	case MSR_RESET:
		if (value & 1)
			machine_stop(m, RESET);
		return 0;
	case MSR_CRASH_CTL:
		write_crash(m, value);
		return 0;
	}
	return -1;
}

static int partition_read(struct machine *m, uint32_t index, uint64_t *value)
{
	const struct hv_partition *p = &m->hv;

	if (index >= MSR_CRASH_P0 && index <= MSR_CRASH_P4) {
		*value = p->crash[index - MSR_CRASH_P0];
		return 0;
	}
	switch (index) {
	case MSR_GUEST_OS_ID:
		*value = p->guest_os_id;
		return 0;
	case MSR_HYPERCALL:
		*value = p->hypercall;
		return 0;
	case MSR_REFERENCE_TSC:
		*value = p->reference_tsc;
		return 0;
	case MSR_TSC_FREQUENCY:
		*value = p->tsc_hz;
		return 0;
	case MSR_APIC_FREQUENCY:
		*value = APIC_HZ;
		return 0;
	case MSR_RESET:
		*value = 0;
		return 0;
	case MSR_CRASH_CTL:
		*value = CRASH_NOTIFY | CRASH_MESSAGE; /* reading gives what is supported */
		return 0;
	}
	return -1;
}

/* ----------------------------------------------------------------------------------------------------- SynIC, per VP */

static void tell_synic(struct vcpu *v)
{
	struct wire_synic s = {
		.head = { .type = WIRE_SYNIC, .vp = v->index },
		.scontrol = atomic_load(&v->hv.scontrol), .simp = v->hv.simp, .siefp = v->hv.siefp,
		.sint2 = atomic_load(&v->hv.sint[2]),
	};

	link_synic(&v->m->link, &s);
}

/* SIMP and SIEFP are pages of the guest's own RAM; enabling one presents it zeroed (platform.md 5.3). */
static int write_page(struct vcpu *v, uint64_t *reg, uint64_t value)
{
	uint8_t *page;

	if ((value & ENABLE) && (!(*reg & ENABLE) || (*reg & GPN_MASK) != (value & GPN_MASK))) {
		page = guest_ram(v->m, value & GPN_MASK, PAGE);
		if (!page)
			return -1;
		memset(page, 0, PAGE);
	}
	*reg = value;
	tell_synic(v);
	return 0;
}

static int write_sint(struct vcpu *v, uint32_t index, uint64_t value)
{
	if (!(value & (SINT_MASKED | SINT_POLLING)) && (value & 0xff) < 16)
		return -1; /* vectors 0..15 are exceptions' */
	atomic_store(&v->hv.sint[index - MSR_SINT0], value);
	if (index == MSR_SINT2)
		tell_synic(v);
	return 0;
}

static int vp_write(struct vcpu *v, uint32_t index, uint64_t value)
{
	if (index >= MSR_SINT0 && index <= MSR_SINT15)
		return write_sint(v, index, value);
	switch (index) {
	case MSR_VP_ASSIST_PAGE: /* Linux writes it unasked (platform.md 11.15) */
		v->hv.vp_assist = value;
		return 0;
	case MSR_SCONTROL:
		atomic_store(&v->hv.scontrol, value);
		tell_synic(v);
		return 0;
	case MSR_SIEFP:
		return write_page(v, &v->hv.siefp, value);
	case MSR_SIMP:
		return write_page(v, &v->hv.simp, value);
	case MSR_EOM:
		link_eom(&v->m->link, v->index);
		return 0;
	}
	return -1;
}

static int vp_read(struct vcpu *v, uint32_t index, uint64_t *value)
{
	if (index >= MSR_SINT0 && index <= MSR_SINT15) {
		*value = atomic_load(&v->hv.sint[index - MSR_SINT0]);
		return 0;
	}
	switch (index) {
	case MSR_VP_INDEX:
		*value = v->index;
		return 0;
	case MSR_TIME_REF_COUNT:
		*value = reference_time(v);
		return 0;
	case MSR_VP_ASSIST_PAGE:
		*value = v->hv.vp_assist;
		return 0;
	case MSR_SCONTROL:
		*value = atomic_load(&v->hv.scontrol);
		return 0;
	case MSR_SVERSION:
		*value = 1;
		return 0;
	case MSR_SIEFP:
		*value = v->hv.siefp;
		return 0;
	case MSR_SIMP:
		*value = v->hv.simp;
		return 0;
	case MSR_EOM:
		*value = 0;
		return 0;
	}
	return -1;
}

int hv_wrmsr(struct vcpu *v, uint32_t index, uint64_t value)
{
	int r = vp_write(v, index, value);

	if (r < 0) {
		pthread_mutex_lock(&v->m->hv.lock);
		r = partition_write(v->m, index, value);
		pthread_mutex_unlock(&v->m->hv.lock);
	}
	return r;
}

int hv_rdmsr(struct vcpu *v, uint32_t index, uint64_t *value)
{
	int r = vp_read(v, index, value);

	if (r < 0) {
		pthread_mutex_lock(&v->m->hv.lock);
		r = partition_read(v->m, index, value);
		pthread_mutex_unlock(&v->m->hv.lock);
	}
	return r;
}
