/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The I/O ports: who sits where. Console, clock, ACPI power management, reset, and the hypercall page's door.
 */
#include "vmm.h"

#include <string.h>
#include <sys/ioctl.h>

#define PORT_COM1 0x3f8
#define COM1_IRQ 4
#define PORT_KEYBOARD 0x64       /* i8042 command port: not there, but known for one thing */
#define KEYBOARD_RESET 0xfe      /* pulse the processor's reset line */
#define PORT_CMOS_INDEX 0x70
#define PORT_CMOS_DATA 0x71
#define PM1_SCI_ENABLED 0x0001   /* of PM1 control: ACPI mode is on, there is no other */
#define PM1_SLEEP_TYPE(v) ((v) >> 10 & 7)
#define PM1_SLEEP_ENABLE 0x2000

void ports_reset(struct machine *m, int console)
{
	struct ports *p = &m->ports;

	p->cmos_index = 0;
	p->pm1_enable = 0;
	p->pm1_control = PM1_SCI_ENABLED;
	uart_reset(&p->uart, console);
}

static void hypercall(struct vcpu *v)
{
	struct kvm_regs r;

	/* RIP stays: KVM itself steps over the OUT when the vCPU goes on (platform.md 9.1). */
	if (ioctl(v->fd, KVM_GET_REGS, &r) < 0) {
		machine_stop(v->m, BROKEN);
		return;
	}
	r.rax = hypercall_do(v, r.rcx, r.rdx, r.r8);
	if (ioctl(v->fd, KVM_SET_REGS, &r) < 0)
		machine_stop(v->m, BROKEN);
}

/* KVM's IO-APIC wants to hear of changes only. */
static void com1_irq(struct machine *m)
{
	struct uart *u = &m->ports.uart;
	bool level = uart_irq(u);
	struct kvm_irq_level line = { .irq = COM1_IRQ, .level = level };

	if (level == u->irq_level)
		return;
	u->irq_level = level;
	ioctl(m->vm, KVM_IRQ_LINE, &line);
}

static void pm1_control(struct machine *m, uint16_t value)
{
	m->ports.pm1_control = (uint16_t)((value & ~PM1_SLEEP_ENABLE) | PM1_SCI_ENABLED);
	if ((value & PM1_SLEEP_ENABLE) && PM1_SLEEP_TYPE(value) == SLEEP_TYPE_S5)
		machine_stop(m, POWERED_OFF);
}

static void device_write(struct machine *m, uint16_t port, uint32_t value)
{
	if (port >= PORT_COM1 && port < PORT_COM1 + 8) {
		uart_write(&m->ports.uart, port - PORT_COM1, (uint8_t)value);
		com1_irq(m);
		return;
	}
	switch (port) {
	case PORT_CMOS_INDEX:
		m->ports.cmos_index = value & 0x7f; /* bit 7 masks the NMI */
		break;
	case PORT_PM1_EVENT + 2:
		m->ports.pm1_enable = (uint16_t)value; /* read back and checked by ACPICA; no event ever comes */
		break;
	case PORT_PM1_CONTROL:
		pm1_control(m, (uint16_t)value);
		break;
	case PORT_RESET:
		if (value & 0x04)
			machine_stop(m, RESET);
		break;
	case PORT_KEYBOARD:
		if (value == KEYBOARD_RESET)
			machine_stop(m, RESET);
		break;
	}
}

static uint32_t device_read(struct machine *m, uint16_t port)
{
	uint32_t value;

	if (port >= PORT_COM1 && port < PORT_COM1 + 8) {
		value = uart_read(&m->ports.uart, port - PORT_COM1);
		com1_irq(m);
		return value;
	}
	switch (port) {
	case PORT_CMOS_DATA:
		return cmos_read(m->ports.cmos_index);
	case PORT_PM1_EVENT: /* status: nothing ever happened */
		return 0;
	case PORT_PM1_EVENT + 2:
		return m->ports.pm1_enable;
	case PORT_PM1_CONTROL:
		return m->ports.pm1_control;
	}
	return 0xffffffffu; /* nobody there */
}

void ports_write(struct vcpu *v, uint16_t port, uint32_t value, unsigned int bytes)
{
	(void)bytes; /* all devices here are used at their natural width */
	if (port == PORT_HYPERCALL) {
		hypercall(v);
		return;
	}
	pthread_mutex_lock(&v->m->ports.lock);
	device_write(v->m, port, value);
	pthread_mutex_unlock(&v->m->ports.lock);
}

uint32_t ports_read(struct vcpu *v, uint16_t port, unsigned int bytes)
{
	uint32_t value;

	(void)bytes;
	pthread_mutex_lock(&v->m->ports.lock);
	value = device_read(v->m, port);
	pthread_mutex_unlock(&v->m->ports.lock);
	return value;
}
