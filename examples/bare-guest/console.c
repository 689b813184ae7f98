/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The first serial port, and as much of printf as is needed. */
#include "bare.h"

#include <stdarg.h>

#define COM1 0x3f8
#define LINE_STATUS (COM1 + 5)
#define CAN_SEND 0x20

static void put(char c)
{
	while (!(in8(LINE_STATUS) & CAN_SEND))
		;
	out8(COM1, (uint8_t)c);
}

static void put_text(const char *text)
{
	for (; *text; text++)
		put(*text);
}

/* With zeros before it, if it takes fewer digits. */
static void put_number(uint64_t value, unsigned base, unsigned digits)
{
	char text[21];
	unsigned at = sizeof text - 1;

	text[at] = 0;
	do
		text[--at] = "0123456789abcdef"[value % base];
	while ((value /= base) || sizeof text - 1 - at < digits);
	put_text(text + at);
}

void say(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	for (; *format; format++) {
		if (*format != '%') {
			put(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			put_text(va_arg(ap, const char *));
			break;
		case 'u':
			put_number(va_arg(ap, uint64_t), 10, 1);
			break;
		case 'x':
			put_number(va_arg(ap, uint64_t), 16, 1);
			break;
		case 'X':
			put_number(va_arg(ap, uint64_t), 16, 16);
			break;
		default:
			put(*format);
		}
	}
	va_end(ap);
}
