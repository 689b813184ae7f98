/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The message slot: one message from host to guest at a time. The type word hands the slot over: the host stores it last, the
 * guest clears it. The pending bit settles who acts when the host finds the slot full: the host sets it and looks at the type
 * once more, the guest clears the type and looks at the bit once more. With a full barrier between the two on either side, at
 * least one of them sees the other. control-plane.md 1.3, platform.md 5.1
 */
#include "synic.h"

#define SLOT_STATE 4u   /* a word: payload size, flags, reserved */
#define SLOT_SENDER 8u
#define SLOT_PAYLOAD 16u

#define SLOT_EMPTY 0u
#define SLOT_VMBUS 1u   /* the hypervisor's message type that carries VMBus */
#define SLOT_PENDING 0x100u

int vmbi_slot_busy(const void *slot)
{
	return VMBI_LOAD32_ACQUIRE(slot) != SLOT_EMPTY;
}

int vmbi_slot_take(void *slot, uint8_t out[VMB_MESSAGE_MAX], uint32_t *len)
{
	uint8_t *s = slot;
	uint32_t type = VMBI_LE32(VMBI_LOAD32_ACQUIRE(s)); /* pairs with the release in vmb_synic_post */
	uint32_t bytes;

	if (type == SLOT_EMPTY)
		return 0;
	if (type != SLOT_VMBUS)
		return VMB_EFOREIGN;
	bytes = VMBI_LE32(VMBI_LOAD32_RELAXED(s + SLOT_STATE)) & 0xff;
	if (bytes > VMB_MESSAGE_MAX)
		bytes = 0;
	VMBI_COPY_OUT(out, s + SLOT_PAYLOAD, bytes);
	/* Not a plain store: were the slot something else by now, it is not ours to free. Releases the copy to the next post. */
	if (!VMBI_SWAP32(s, VMBI_LE32(SLOT_VMBUS), VMBI_LE32(SLOT_EMPTY)))
		return 0;
	VMBI_FENCE(); /* pairs with the one in vmb_synic_post */
	*len = bytes;
	return VMBI_LE32(VMBI_LOAD32_RELAXED(s + SLOT_STATE)) & SLOT_PENDING ? VMB_YES | VMB_EOM : VMB_YES;
}

int vmb_synic_post(void *slot, const void *payload, uint32_t len)
{
	uint8_t *s = slot;

	if (!slot || (!payload && len) || len > VMB_MESSAGE_MAX)
		return VMB_EINVAL;
	if (VMBI_LOAD32_ACQUIRE(s) != SLOT_EMPTY) { /* pairs with the swap in vmbi_slot_take */
		(void)VMBI_FETCH_OR32(s + SLOT_STATE, VMBI_LE32(SLOT_PENDING));
		VMBI_FENCE();
		if (VMBI_LOAD32_ACQUIRE(s) != SLOT_EMPTY)
			return VMB_EAGAIN;
	}
	VMBI_STORE32_RELAXED(s + SLOT_STATE, VMBI_LE32(len));
	VMBI_WRITE64(s + SLOT_SENDER, 0);
	if (len)
		VMBI_COPY_IN(s + SLOT_PAYLOAD, payload, len);
	VMBI_STORE32_RELEASE(s, VMBI_LE32(SLOT_VMBUS));
	return 0;
}
