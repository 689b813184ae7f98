/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* One processor: gates, the local APIC with a periodic tick, sleeping, and how to end. */
#include "bare.h"

#define GATES 256u
#define EXCEPTIONS 32u
#define GATE_INTERRUPT 0x8eu    /* present, interrupts off in the handler */
#define CODE 0x08u
#define TASK 0x18u
#define IST_INTERRUPT 1u        /* stacks: see boot.S */
#define IST_FAULT 2u
#define VECTOR_SPURIOUS 0xffu

#define APIC 0xfee00000u
#define APIC_EOI 0xb0u
#define APIC_SPURIOUS 0xf0u     /* bit 8: on */
#define APIC_TIMER 0x320u
#define APIC_TIMER_PERIODIC 0x20000u
#define APIC_TIMER_COUNT 0x380u
#define APIC_TIMER_DIVIDE 0x3e0u
#define APIC_DIVIDE_BY_16 3u
#define APIC_NS 16u             /* the timer of KVM's APIC counts nanoseconds; by 16. platform.md 3 */

#define PIC_MASK_1 0x21
#define PIC_MASK_2 0xa1
#define ACPI_PM1_CONTROL 0x604  /* in QEMU's pc and in ours */
#define ACPI_SLEEP 0x2000u      /* sleep type in bits 12:10: */
#define S5_QEMU 0u
#define S5_OURS (5u << 10)

struct gate {
	uint16_t low, selector;
	uint8_t ist, type;
	uint16_t middle;
	uint32_t high, reserved;
};

struct __attribute__((packed)) task {
	uint32_t reserved_1;
	uint64_t rsp[3], reserved_2, ist[7], reserved_3;
	uint16_t reserved_4, io_map;
};

extern uint64_t gdt[];
extern const char entry_fault[], entry_sint[], entry_tick[], entry_spurious[];
void on_tick(void);
_Noreturn void on_fault(uint64_t vector, uint64_t code, uint64_t rip);

static struct gate gates[GATES];
static struct task task;
static uint8_t interrupt_stack[16384] __attribute__((aligned(16))), fault_stack[4096] __attribute__((aligned(16)));
static volatile uint32_t ticked;

static void gate_set(uint32_t vector, const char *entry, uint8_t ist)
{
	uint64_t to = (uintptr_t)entry;

	gates[vector] = (struct gate){ .low = (uint16_t)to, .selector = CODE, .ist = ist, .type = GATE_INTERRUPT,
				       .middle = (uint16_t)(to >> 16), .high = (uint32_t)(to >> 32) };
}

static void apic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)(APIC + reg) = value;
}

void cpu_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void cpu_init(void)
{
	struct __attribute__((packed)) { uint16_t limit; uint64_t base; } idt = { sizeof gates - 1, (uintptr_t)gates };
	uint64_t base = (uintptr_t)&task;
	uint32_t i;

	task.ist[IST_INTERRUPT - 1] = (uintptr_t)interrupt_stack + sizeof interrupt_stack;
	task.ist[IST_FAULT - 1] = (uintptr_t)fault_stack + sizeof fault_stack;
	task.io_map = sizeof task;
	gdt[TASK / 8] = (sizeof task - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	gdt[TASK / 8 + 1] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(TASK) : "memory");
	for (i = 0; i < EXCEPTIONS; i++)
		gate_set(i, entry_fault + 16 * i, IST_FAULT);
	gate_set(VECTOR_SINT, entry_sint, IST_INTERRUPT);
	gate_set(VECTOR_TICK, entry_tick, IST_INTERRUPT);
	gate_set(VECTOR_SPURIOUS, entry_spurious, IST_INTERRUPT);
	__asm__ volatile("lidt %0" : : "m"(idt) : "memory");

	out8(PIC_MASK_1, 0xff);
	out8(PIC_MASK_2, 0xff);
	apic_write(APIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
	apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_16);
	apic_write(APIC_TIMER, APIC_TIMER_PERIODIC | VECTOR_TICK);
	apic_write(APIC_TIMER_COUNT, TICK_MS * 1000000 / APIC_NS);
}

void on_tick(void)
{
	ticked = 1;
	cpu_eoi();
}

/* STI takes effect after the next instruction: nothing gets in between the last look and HLT. */
void cpu_sleep(const volatile uint32_t *a, const volatile uint32_t *b, const volatile uint32_t *c)
{
	__asm__ volatile("cli" : : : "memory");
	while (!*a && !*b && !*c && !ticked)
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	ticked = 0;
	__asm__ volatile("sti" : : : "memory");
}

/* The two machines that this is for differ in the sleep type; the wrong one does nothing. */
void cpu_off(void)
{
	out16(ACPI_PM1_CONTROL, ACPI_SLEEP | S5_QEMU);
	out16(ACPI_PM1_CONTROL, ACPI_SLEEP | S5_OURS);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void die(const char *why, int64_t code)
{
	say("bare: FAILED: %s: %s%u\n", why, code < 0 ? "-" : "", (uint64_t)(code < 0 ? -code : code));
	cpu_off();
}

void on_fault(uint64_t vector, uint64_t code, uint64_t rip)
{
	say("bare: FAILED: exception %u, code %x, at %x\n", vector, code, rip);
	cpu_off();
}
