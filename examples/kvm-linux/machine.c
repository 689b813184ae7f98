/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The KVM side: a machine with in-kernel interrupt controllers, one thread per vCPU, and what to do with each exit.
 */
#define _GNU_SOURCE
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define TSS_ADDRESS 0xfffbd000u          /* three pages that KVM on old Intel processors wants; any hole will do */
#define MSR_FIRST 0x40000000u            /* Hyper-V's MSRs, all of which come to us (platform.md 9.1) */
#define MSR_COUNT 0x200u
#define MSI_ADDRESS 0xfee00000u          /* APIC id in bits 19:12 */
#define SINT_MASKED 0x10000u
#define SINT_POLLING 0x40000u
#define RFLAGS_IF 0x200u
#define LAPIC_ISR 0x100u                 /* register offsets */
#define LAPIC_IRR 0x200u
#define KICK SIGUSR1                     /* makes a vCPU's thread look at the outcome */

static int complain(const char *what)
{
	fprintf(stderr, "vmm: %s: %s\n", what, strerror(errno));
	return -1;
}

/* ---------------------------------------------------------------------------------------------------------------- set-up */

/* Every access to Hyper-V's MSRs exits, whatever KVM itself would do about it. */
static int msr_filter(struct machine *m)
{
	static uint8_t deny[MSR_COUNT / 8]; /* a clear bit denies */
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_FILTER } };
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges[0] = { .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, .base = MSR_FIRST, .nmsrs = MSR_COUNT,
			       .bitmap = deny },
	};

	if (ioctl(m->vm, KVM_ENABLE_CAP, &cap) < 0)
		return complain("KVM_CAP_X86_USER_SPACE_MSR");
	if (ioctl(m->vm, KVM_X86_SET_MSR_FILTER, &filter) < 0)
		return complain("KVM_X86_SET_MSR_FILTER");
	return 0;
}

static int vm_create(struct machine *m)
{
	struct kvm_userspace_memory_region region = {
		.memory_size = m->ram_bytes, .userspace_addr = (uintptr_t)m->ram,
	};

	m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m->kvm < 0)
		return complain("/dev/kvm");
	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	if (m->vm < 0)
		return complain("KVM_CREATE_VM");
	if (ioctl(m->vm, KVM_SET_TSS_ADDR, TSS_ADDRESS) < 0 || ioctl(m->vm, KVM_CREATE_IRQCHIP, 0) < 0)
		return complain("KVM_CREATE_IRQCHIP");
	if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return complain("KVM_SET_USER_MEMORY_REGION");
	m->run_bytes = (size_t)ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	return msr_filter(m);
}

static int vcpu_create(struct machine *m, uint32_t index)
{
	struct vcpu *v = &m->vcpu[index];

	v->m = m;
	v->index = index;
	v->fd = ioctl(m->vm, KVM_CREATE_VCPU, index);
	if (v->fd < 0)
		return complain("KVM_CREATE_VCPU");
	v->run = mmap(NULL, m->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		return complain("mmap of a vCPU");
	}
	return cpuid_set(m, v);
}

int machine_create(struct machine *m)
{
	uint32_t i;

	m->vm = -1;
	atomic_store(&m->outcome, RUNNING);
	for (i = 0; i < m->vps; i++) {
		m->vcpu[i].fd = -1;
		m->vcpu[i].run = NULL;
	}
	if (vm_create(m) < 0)
		return -1;
	for (i = 0; i < m->vps; i++)
		if (vcpu_create(m, i) < 0)
			return -1;
	hv_reset(m);
	return hv_time_init(m);
}

void machine_destroy(struct machine *m)
{
	uint32_t i;

	for (i = 0; i < m->vps; i++) {
		if (m->vcpu[i].run)
			munmap(m->vcpu[i].run, m->run_bytes);
		if (m->vcpu[i].fd >= 0)
			close(m->vcpu[i].fd);
	}
	if (m->vm >= 0)
		close(m->vm);
	if (m->kvm >= 0)
		close(m->kvm);
}

/* ----------------------------------------------------------------------------------------------------------- interrupts */

void machine_raise(struct machine *m, uint32_t vp, uint32_t sint)
{
	struct hv_vp *hv = &m->vcpu[vp].hv;
	struct kvm_msi msi = { .address_lo = MSI_ADDRESS | vp << 12 };
	uint64_t value;

	pthread_mutex_lock(&m->lock);
	if (m->started && (atomic_load(&hv->scontrol) & 1)) {
		value = atomic_load(&hv->sint[sint]);
		msi.data = value & 0xff; /* fixed delivery, edge */
		if (!(value & (SINT_MASKED | SINT_POLLING)) && ioctl(m->vm, KVM_SIGNAL_MSI, &msi) < 0)
			complain("KVM_SIGNAL_MSI");
	}
	pthread_mutex_unlock(&m->lock);
}

/* ----------------------------------------------------------------------------------------------------------------- exits */

static void exit_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint32_t i, value;

	for (i = 0; i < run->io.count; i++, data += run->io.size) {
		value = 0;
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, data, run->io.size);
			ports_write(v, run->io.port, value, run->io.size);
		} else {
			value = ports_read(v, run->io.port, run->io.size);
			memcpy(data, &value, run->io.size);
		}
	}
}

static void exit_msr(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint64_t value = 0;
	int r;

	if (run->exit_reason == KVM_EXIT_X86_WRMSR) {
		r = hv_wrmsr(v, run->msr.index, run->msr.data);
	} else {
		r = hv_rdmsr(v, run->msr.index, &value);
		run->msr.data = value;
	}
	run->msr.error = r < 0; /* #GP in the guest */
}

/* Memory that is not there: reads give ones, writes are lost. */
static void exit_mmio(struct vcpu *v)
{
	if (!v->run->mmio.is_write)
		memset(v->run->mmio.data, 0xff, sizeof(v->run->mmio.data));
}

static void exit_unknown(struct vcpu *v)
{
	struct kvm_regs r;

	memset(&r, 0, sizeof(r));
	ioctl(v->fd, KVM_GET_REGS, &r);
	fprintf(stderr, "vmm: vCPU %u: exit %u, detail %llu, at rip %llx\n", v->index, v->run->exit_reason,
		(unsigned long long)v->run->hw.hardware_exit_reason, (unsigned long long)r.rip);
	machine_stop(v->m, BROKEN);
}

static void vcpu_exit(struct vcpu *v)
{
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		exit_io(v);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		exit_msr(v);
		break;
	case KVM_EXIT_MMIO:
		exit_mmio(v);
		break;
	case KVM_EXIT_SHUTDOWN: /* triple fault */
		machine_stop(v->m, RESET);
		break;
	default:
		exit_unknown(v);
	}
}

/* --------------------------------------------------------------------------------------------------------------- threads */

static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;

	while (atomic_load(&v->m->outcome) == RUNNING) {
		if (ioctl(v->fd, KVM_RUN, 0) == 0) {
			vcpu_exit(v);
		} else if (errno != EINTR && errno != EAGAIN) {
			complain("KVM_RUN");
			machine_stop(v->m, BROKEN);
		}
	}
	return NULL;
}

static void kicked(int sig)
{
	(void)sig; /* it is enough that KVM_RUN returned */
}

/* Under the lock. A vCPU that is not in KVM_RUN yet would miss the signal; KVM sees the flag. */
static void kick_all(struct machine *m)
{
	uint32_t i;

	for (i = 0; i < m->started; i++) {
		__atomic_store_n(&m->vcpu[i].run->immediate_exit, 1, __ATOMIC_RELEASE);
		pthread_kill(m->vcpu[i].thread, KICK);
	}
}

/* The highest vector of a LAPIC's bit field, or 0. */
static unsigned int lapic_highest(const struct kvm_lapic_state *s, unsigned int at)
{
	unsigned int vector = 255;

	while (vector && !(s->regs[at + vector / 32 * 16 + vector % 32 / 8] & 1 << vector % 8))
		vector--;
	return vector;
}

void machine_tell(struct machine *m)
{
	uint32_t i;

	for (i = 0; i < m->vps; i++) {
		struct kvm_mp_state mp = { 0 };
		struct kvm_lapic_state lapic;
		struct kvm_regs r;
		int fd = m->vcpu[i].fd;

		memset(&lapic, 0, sizeof(lapic));
		memset(&r, 0, sizeof(r));
		ioctl(fd, KVM_GET_MP_STATE, &mp);
		ioctl(fd, KVM_GET_LAPIC, &lapic);
		ioctl(fd, KVM_GET_REGS, &r);
		fprintf(stderr, "vmm: vCPU %u: rip %llx, interrupts %s, %s; vectors pending %x, in service %x\n", i,
			(unsigned long long)r.rip, r.rflags & RFLAGS_IF ? "on" : "off",
			mp.mp_state == KVM_MP_STATE_HALTED ? "halted" : "running", lapic_highest(&lapic, LAPIC_IRR),
			lapic_highest(&lapic, LAPIC_ISR));
	}
}

void machine_stop(struct machine *m, enum outcome outcome)
{
	int running = RUNNING;

	if (!atomic_compare_exchange_strong(&m->outcome, &running, (int)outcome))
		return;
	pthread_mutex_lock(&m->lock);
	kick_all(m);
	pthread_mutex_unlock(&m->lock);
}

enum outcome machine_run(struct machine *m)
{
	struct sigaction kick = { .sa_handler = kicked };
	uint32_t i, n;

	sigaction(KICK, &kick, NULL);
	/* Whoever stops the machine while the threads are being made waits for the lock, and then reaches them all. */
	pthread_mutex_lock(&m->lock);
	for (; m->started < m->vps; m->started++) {
		if (pthread_create(&m->vcpu[m->started].thread, NULL, vcpu_main, &m->vcpu[m->started]) != 0) {
			atomic_store(&m->outcome, BROKEN);
			kick_all(m);
			break;
		}
	}
	n = m->started;
	pthread_mutex_unlock(&m->lock);
	for (i = 0; i < n; i++)
		pthread_join(m->vcpu[i].thread, NULL);
	pthread_mutex_lock(&m->lock);
	m->started = 0; /* from here on an interrupt has no one to go to */
	pthread_mutex_unlock(&m->lock);
	return (enum outcome)atomic_load(&m->outcome);
}
