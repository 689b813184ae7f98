/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Ends the QEMU that this runs in with exit status 2 * N + 1, through its isa-debug-exit device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>

#define PORT_DEBUG_EXIT 0xf4 /* as `run` places the device */

int main(int argc, char **argv)
{
	if (argc != 2 || ioperm(PORT_DEBUG_EXIT, 1, 1) < 0) {
		fputs("qexit: usage: qexit N, as root, in QEMU\n", stderr);
		return 1;
	}
	outb((unsigned char)strtoul(argv[1], NULL, 10), PORT_DEBUG_EXIT);
	return 1; /* still here: no such device */
}
