/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The least ACPI with which Linux finds its processors, its VMBus and the power switch: RSDP, XSDT, FADT, FACS, MADT, DSDT.
 * Without ACPI hv_vmbus does not load (real-guest.md 1).
 */
#include "vmm.h"

#include <string.h>

#define TABLES 0xe0000u          /* in the BIOS area, which the memory map reserves */
#define HEADER 36u               /* bytes of the header that all tables but RSDP and FACS have */

/*
 * DSDT, assembled by hand (iasl refuses the _HID). Each package length counts itself and what follows.
 *
 *	Name (_S5, Package () { 5, 5, 0, 0 })
 *	Scope (\_SB) { Device (VMBS) { Name (_HID, "VMBus") Name (_STA, 0x0f) } }
 */
static const uint8_t dsdt_code[] = {
	0x08, '_', 'S', '5', '_',                               /* Name _S5_ */
	0x12, 0x08, 0x04,                                       /* Package, 8 bytes, 4 elements */
	0x0a, SLEEP_TYPE_S5, 0x0a, SLEEP_TYPE_S5, 0x00, 0x00,   /* bytes 5 and 5 (SLP_TYPa, SLP_TYPb), zero, zero */
	0x10, 0x20, '\\', '_', 'S', 'B', '_',                   /* Scope, 32 bytes, \_SB_ */
	0x5b, 0x82, 0x18, 'V', 'M', 'B', 'S',                   /* Device, 24 bytes, VMBS */
	0x08, '_', 'H', 'I', 'D',                               /* Name _HID */
	0x0d, 'V', 'M', 'B', 'u', 's', 0x00,                    /* string */
	0x08, '_', 'S', 'T', 'A', 0x0a, 0x0f,                   /* Name _STA, byte: present, enabled, shown, working */
};

/* Where the next table goes. */
struct writer {
	struct machine *m;
	uint64_t next;
};

static void put(uint8_t *table, size_t at, uint64_t value, unsigned int bytes)
{
	memcpy(table + at, &value, bytes);
}

static uint8_t *table_new(struct writer *w, size_t bytes, uint64_t *gpa)
{
	uint8_t *table = w->m->ram + w->next;

	*gpa = w->next;
	memset(table, 0, bytes);
	w->next += (bytes + 63) & ~63ull; /* FACS wants 64; the rest gets it too */
	return table;
}

/* Makes the sum of all bytes 0. */
static void checksum(uint8_t *table, size_t bytes, size_t at)
{
	uint8_t sum = 0;
	size_t i;

	table[at] = 0;
	for (i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + table[i]);
	table[at] = (uint8_t)(0x100 - sum);
}

static void finish(uint8_t *table, const char *signature, size_t bytes, uint8_t revision)
{
	memcpy(table, signature, 4);
	put(table, 4, bytes, 4);
	table[8] = revision;
	memcpy(table + 10, "VMBUS ", 6);         /* OEM id */
	memcpy(table + 16, "KVMLINUX", 8);       /* OEM table id */
	put(table, 24, 1, 4);                    /* OEM revision */
	memcpy(table + 28, "VMBS", 4);           /* creator */
	put(table, 32, 1, 4);                    /* creator's revision */
	checksum(table, bytes, 9);
}

static uint64_t dsdt_build(struct writer *w)
{
	size_t bytes = HEADER + sizeof(dsdt_code);
	uint64_t gpa;
	uint8_t *t = table_new(w, bytes, &gpa);

	memcpy(t + HEADER, dsdt_code, sizeof(dsdt_code));
	finish(t, "DSDT", bytes, 2);
	return gpa;
}

static uint64_t facs_build(struct writer *w)
{
	uint64_t gpa;
	uint8_t *t = table_new(w, 64, &gpa);

	memcpy(t, "FACS", 4);
	put(t, 4, 64, 4);
	t[32] = 2;                               /* version */
	return gpa;
}

/* Generic address structure: an I/O port. */
static void put_port(uint8_t *table, size_t at, uint16_t port, uint8_t bits, uint8_t access)
{
	table[at] = 1;                           /* system I/O */
	table[at + 1] = bits;
	table[at + 3] = access;                  /* 1 byte, 2 word */
	put(table, at + 4, port, 8);
}

static uint64_t fadt_build(struct writer *w, uint64_t facs, uint64_t dsdt)
{
	enum { BYTES = 276 };                    /* revision 6 */
	uint64_t gpa;
	uint8_t *t = table_new(w, BYTES, &gpa);

	put(t, 36, facs, 4);
	put(t, 40, dsdt, 4);
	put(t, 46, 9, 2);                        /* SCI: IRQ 9 */
	/* SMI_CMD (48) stays 0: ACPI mode is on from the beginning. */
	put(t, 56, PORT_PM1_EVENT, 4);
	put(t, 64, PORT_PM1_CONTROL, 4);
	t[88] = 4;                               /* bytes of the PM1 event block: status, enable */
	t[89] = 2;                               /* of the PM1 control block */
	put(t, 96, 0xffff, 2);                   /* C2 latency: no C2 */
	put(t, 98, 0xffff, 2);                   /* C3 */
	/* IAPC_BOOT_ARCH: 2 no VGA, 4 no ASPM, 5 no CMOS RTC device. Bit 1 clear: no i8042 (platform.md 7) */
	put(t, 109, 1u << 2 | 1u << 4 | 1u << 5, 2);
	/* Flags: 0 WBINVD works, 4 and 5 no fixed buttons, 6 no fixed RTC wake, 10 there is a reset register */
	put(t, 112, 1u << 0 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 10, 4);
	put_port(t, 116, PORT_RESET, 8, 1);
	t[128] = RESET_VALUE;
	put(t, 132, facs, 8);
	put(t, 140, dsdt, 8);
	put_port(t, 148, PORT_PM1_EVENT, 32, 2);
	put_port(t, 172, PORT_PM1_CONTROL, 16, 2);
	finish(t, "FACP", BYTES, 6);
	return gpa;
}

static uint64_t madt_build(struct writer *w)
{
	size_t bytes = HEADER + 8 + 8 * w->m->vps + 12 + 10, at = HEADER + 8;
	uint64_t gpa;
	uint8_t *t = table_new(w, bytes, &gpa);
	uint32_t i;

	put(t, HEADER, 0xfee00000, 4);           /* local APICs */
	put(t, HEADER + 4, 1, 4);                /* there are 8259s too */
	for (i = 0; i < w->m->vps; i++, at += 8) {
		t[at + 1] = 8;                   /* type 0, processor: 8 bytes */
		t[at + 2] = (uint8_t)i;          /* ACPI processor id */
		t[at + 3] = (uint8_t)i;          /* APIC id */
		put(t, at + 4, 1, 4);            /* enabled */
	}
	t[at] = 1;                               /* type 1, I/O APIC: 12 bytes */
	t[at + 1] = 12;
	put(t, at + 4, 0xfec00000, 4);           /* its address; id and first interrupt are 0 */
	at += 12;
	t[at] = 2;                               /* type 2, override: 10 bytes */
	t[at + 1] = 10;
	t[at + 3] = 9;                           /* ISA IRQ 9, the SCI, ... */
	put(t, at + 4, 9, 4);                    /* ... is input 9, ... */
	put(t, at + 8, 0x000d, 2);               /* ... active high, level */
	finish(t, "APIC", bytes, 5);
	return gpa;
}

uint64_t acpi_build(struct machine *m)
{
	struct writer w = { .m = m, .next = TABLES };
	uint64_t rsdp_gpa, xsdt_gpa, fadt;
	uint8_t *rsdp = table_new(&w, 36, &rsdp_gpa);
	uint8_t *xsdt = table_new(&w, HEADER + 16, &xsdt_gpa);

	fadt = fadt_build(&w, facs_build(&w), dsdt_build(&w));
	put(xsdt, HEADER, fadt, 8);
	put(xsdt, HEADER + 8, madt_build(&w), 8);
	finish(xsdt, "XSDT", HEADER + 16, 1);

	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "VMBUS ", 6);
	rsdp[15] = 2;                            /* revision */
	put(rsdp, 20, 36, 4);                    /* length */
	put(rsdp, 24, xsdt_gpa, 8);
	checksum(rsdp, 20, 8);                   /* of the first version's part */
	checksum(rsdp, 36, 32);                  /* of the whole */
	return rsdp_gpa;
}
