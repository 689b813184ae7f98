/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A 16550A that only sends: the guest's console. The line is infinitely fast, so the transmitter is always empty, and its
 * interrupt follows each write at once.
 */
#include "vmm.h"

#include <string.h>
#include <unistd.h>

enum { DATA = 0, IER = 1, IIR_FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

#define IER_THR_EMPTY 0x02
#define IIR_NONE 0x01
#define IIR_THR_EMPTY 0x02
#define IIR_FIFOS 0xc0
#define FCR_ENABLE 0x01
#define LCR_DLAB 0x80            /* registers 0 and 1 are the divisor */
#define MCR_OUT2 0x08            /* on a PC: the interrupt's gate */
#define MCR_LOOP 0x10
#define LSR_EMPTY 0x60           /* holding register and shift register */
#define MSR_CONNECTED 0xb0       /* CTS, DSR, DCD */

void uart_reset(struct uart *u, int console)
{
	memset(u, 0, sizeof(*u));
	u->out = console;
}

bool uart_irq(const struct uart *u)
{
	return u->thr_empty_pending && (u->ier & IER_THR_EMPTY) && (u->mcr & MCR_OUT2) && !(u->mcr & MCR_LOOP);
}

static void send_byte(struct uart *u, uint8_t value)
{
	ssize_t n = 1;

	if (!(u->mcr & MCR_LOOP))
		n = write(u->out, &value, 1);
	(void)n; /* a console that cannot be written is no reason to stop the guest */
	u->thr_empty_pending = true;
}

void uart_write(struct uart *u, unsigned int reg, uint8_t value)
{
	switch (reg) {
	case DATA:
		if (u->lcr & LCR_DLAB)
			u->dll = value;
		else
			send_byte(u, value);
		break;
	case IER:
		if (u->lcr & LCR_DLAB) {
			u->dlm = value;
			break;
		}
		if (value & ~u->ier & IER_THR_EMPTY)
			u->thr_empty_pending = true; /* enabling it while empty interrupts at once */
		u->ier = value & 0x0f;
		break;
	case IIR_FCR:
		u->fcr = value;
		break;
	case LCR:
		u->lcr = value;
		break;
	case MCR:
		u->mcr = value & 0x1f;
		break;
	case SCR:
		u->scr = value;
		break;
	}
}

static uint8_t read_iir(struct uart *u)
{
	uint8_t fifos = u->fcr & FCR_ENABLE ? IIR_FIFOS : 0;

	if (!u->thr_empty_pending || !(u->ier & IER_THR_EMPTY))
		return fifos | IIR_NONE;
	u->thr_empty_pending = false; /* reading the cause takes it away */
	return fifos | IIR_THR_EMPTY;
}

/* Looped back, the four outputs are the four inputs; Linux tests for the chip with it. */
static uint8_t read_msr(const struct uart *u)
{
	unsigned int m = u->mcr;

	if (!(m & MCR_LOOP))
		return MSR_CONNECTED;
	return (uint8_t)((m & 0x02) << 3 | (m & 0x01) << 5 | (m & 0x0c) << 4); /* RTS->CTS, DTR->DSR, OUT1->RI, OUT2->DCD */
}

uint8_t uart_read(struct uart *u, unsigned int reg)
{
	switch (reg) {
	case DATA:
		return u->lcr & LCR_DLAB ? u->dll : 0;
	case IER:
		return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case IIR_FCR:
		return read_iir(u);
	case LCR:
		return u->lcr;
	case MCR:
		return u->mcr;
	case LSR:
		return LSR_EMPTY;
	case MSR:
		return read_msr(u);
	}
	return u->scr;
}
