/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Ring packets: the descriptor word, its checks, sizes. Pure. ring.md 4, 5, 9.1 */
#ifndef VMBI_PROTOCOL_PACKET_H
#define VMBI_PROTOCOL_PACKET_H

#include "vmbus.h"
#include "../env.h"

#define VMBI_DESCRIPTOR 16u /* bytes */
#define VMBI_FOOTER 8u
#define VMBI_LEN8_MAX 65535u
#define VMBI_PIPE_HEADER 8u
#define VMBI_PIPE_DATA 1u
#define VMBI_PIPE_MAX 16384u /* bytes of data in one pipe packet. ring.md 6 */

/* The first word of a descriptor, taken apart. */
struct vmbi_descriptor {
	uint32_t kind, data8, len8, flags;
};

static inline struct vmbi_descriptor vmbi_descriptor_get(uint64_t word)
{
	struct vmbi_descriptor d = { (uint32_t)word & 0xffff, (uint32_t)(word >> 16) & 0xffff, (uint32_t)(word >> 32) & 0xffff,
				     (uint32_t)(word >> 48) };
	return d;
}

static inline uint64_t vmbi_descriptor_put(uint32_t kind, uint32_t data8, uint32_t len8, uint32_t flags)
{
	return kind | (uint64_t)data8 << 16 | (uint64_t)len8 << 32 | (uint64_t)flags << 48;
}

/* Bytes that a packet with this header and payload takes in a ring, footer included: T of ring.md 1. */
static inline uint64_t vmbi_packet_total(uint64_t head, uint64_t payload)
{
	return VMBI_DESCRIPTOR + head + ((payload + 7) & ~(uint64_t)7) + VMBI_FOOTER;
}

/* May a receiver act on this descriptor, `avail` bytes being there? 0 or VMB_R_*. loose: unknown kinds and flags pass. The count
 * words of GPA and transfer packets are not looked at: they are in shared memory. ring.md 9.1 rules 5, 6 */
uint32_t vmbi_descriptor_check(const struct vmbi_descriptor *d, uint32_t avail, int loose);

/* Bytes of variable header that sending p needs (a multiple of 8). VMB_EINVAL where kind, flags or list do not fit each other:
 * the list must be exactly its ranges, each word is read once. VMB_ETOOBIG where length8 cannot express header and payload. */
int vmbi_packet_head(const struct vmb_packet *p, uint32_t *head);

#endif /* VMBI_PROTOCOL_PACKET_H */
