/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The protocol between the VMM and the host-end process: one SOCK_SEQPACKET Unix socket, one struct per packet.
 *
 * The VMM owns the virtual processors, the hypercalls and the SynIC registers. The host-end process owns the VMBus: it maps
 * the guest's RAM, and writes message slots and event flags there itself. Neither can touch the other's memory.
 *
 * ORDER. The socket keeps the order of each sender. A VP's SYNIC is sent before any later POST or EOM of that VP.
 * STATUS and RAISE are independent: the VMM reads them in a thread of their own, which never waits for the host end, so the
 * host end may block in send() without harm. Nothing is lost and nothing is dropped: a full socket makes the sender wait.
 *
 * ANOTHER PROCESS. After SAVED the VMM kills the host-end process and starts the same program with the same arguments, the same
 * socket and the same WIRE_KEEP_FD. The guest does not stop meanwhile: what it posts and signals waits in the socket.
 *
 * All integers are in the byte order of the machine; both processes run on it. Packets have exactly the size of their struct.
 */
#ifndef KVM_LINUX_WIRE_H
#define KVM_LINUX_WIRE_H

#include <stdint.h>

#define WIRE_VERSION 3u
#define WIRE_FD 3                /* the host end inherits its end of the socket as this descriptor */
#define WIRE_HELLO_FD 4          /* on a socket of its own, this one gets HELLO and nothing else */
#define WIRE_KEEP_FD 5           /* a memfd that is the host end's alone, to keep what must outlive the process; empty at first */
#define WIRE_NO_VP 0xffffffffu   /* head.vp where no VP is meant */
#define WIRE_MAX_VPS 64u

#define WIRE_POST_BYTES 256      /* HvPostMessage input: 16 bytes of header, 240 of payload (platform.md 4.3) */

enum wire_type {
	/* VMM -> host end */
	WIRE_HELLO = 1,          /* on WIRE_HELLO_FD, when the process starts; carries the memfd of the guest's RAM (SCM_RIGHTS) */
	WIRE_POST = 2,           /* HvPostMessage. This VP stands still until STATUS */
	WIRE_SIGNAL = 3,         /* HvSignalEvent. No answer: the guest has already been told that it succeeded */
	WIRE_EOM = 4,            /* this VP wrote the end-of-message register */
	WIRE_SYNIC = 5,          /* this VP wrote SCONTROL, SIMP, SIEFP or SINT2; all four as they are now */
	WIRE_RESET = 6,          /* no VP runs. Forget the guest, let go of its memory, then answer: STATUS, vp WIRE_NO_VP */
	WIRE_OFF = 7,            /* no VP runs, nothing follows. Exit: status 0 says that the host end is content */
	/* host end -> VMM */
	WIRE_STATUS = 64,        /* answer to POST (head.vp: whose) or RESET */
	WIRE_RAISE = 65,         /* interrupt this VP with the vector of this SINT, unless it is masked or the SynIC is off */
	WIRE_KILL = 66,          /* reset the machine now, whatever it is doing; RESET follows, as ever. vp: WIRE_NO_VP */
	WIRE_SAVED = 67          /* all is in WIRE_KEEP_FD: kill this process with SIGKILL and start it anew. vp: WIRE_NO_VP */
};

struct wire_head {
	uint32_t type;           /* enum wire_type */
	uint32_t vp;
};

struct wire_hello {
	struct wire_head head;   /* vp: WIRE_NO_VP */
	uint32_t version;        /* WIRE_VERSION */
	uint32_t vps;            /* VP indexes 0 .. vps-1 */
	uint64_t ram_bytes;      /* guest physical 0 .. ram_bytes-1 is the memfd from offset 0 on */
	uint64_t time_zero_ns;   /* reference time (platform.md 3: TIME_REF_COUNT) is (CLOCK_MONOTONIC_RAW - this) / 100 */
};

struct wire_post {
	struct wire_head head;
	uint8_t input[WIRE_POST_BYTES]; /* copied out of guest memory once */
};

struct wire_signal {
	struct wire_head head;
	uint32_t connection;
	uint32_t flag;
};

/* Register values exactly as the guest wrote them (platform.md 3). A VP that never sent one has SIMP and SIEFP off. The VMM has
 * zeroed a page that was just enabled, and has checked that it is RAM. */
struct wire_synic {
	struct wire_head head;
	uint64_t scontrol, simp, siefp, sint2;
};

struct wire_status {
	struct wire_head head;
	uint32_t status;         /* the hypercall's status (platform.md 4.5) */
	uint32_t reserved;
};

struct wire_raise {
	struct wire_head head;
	uint32_t sint;           /* 0 .. 15 */
	uint32_t reserved;
};

/* EOM, RESET, OFF, KILL and SAVED are a wire_head alone. */
union wire_packet {
	struct wire_head head;
	struct wire_hello hello;
	struct wire_post post;
	struct wire_signal signal;
	struct wire_synic synic;
	struct wire_status status;
	struct wire_raise raise;
};

#endif
