/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The CMOS clock, read only: the host's time, UTC. Without it Linux waits 4 s at boot for an update that never ends.
 */
#define _GNU_SOURCE
#include "vmm.h"

#include <time.h>

static uint8_t bcd(int n)
{
	return (uint8_t)(n / 10 % 10 << 4 | n % 10);
}

uint8_t cmos_read(uint8_t index)
{
	time_t now = time(NULL);
	struct tm t;

	gmtime_r(&now, &t);
	switch (index) {
	case 0x00:
		return bcd(t.tm_sec);
	case 0x02:
		return bcd(t.tm_min);
	case 0x04:
		return bcd(t.tm_hour);
	case 0x06:
		return bcd(t.tm_wday + 1);
	case 0x07:
		return bcd(t.tm_mday);
	case 0x08:
		return bcd(t.tm_mon + 1);
	case 0x09:
		return bcd(t.tm_year % 100);
	case 0x0a: /* status A: 32768 Hz, no update in progress */
		return 0x26;
	case 0x0b: /* status B: 24 hours, BCD */
		return 0x02;
	case 0x0d: /* status D: the battery is good */
		return 0x80;
	}
	return 0;
}
