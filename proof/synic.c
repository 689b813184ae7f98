/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* lib/synic: message slots, event flags, monitor bits, with any bytes in them at each load. */
#include "proof/proof.h"
#include "lib/synic/synic.h"

#define SLOT_BYTES 256u
#define HALF_BYTES 256u /* 2048 flags */

static uint8_t slot[SLOT_BYTES], flags[HALF_BYTES], page[VMB_PAGE];

void prove_slot(void)
{
	uint8_t out[VMB_MESSAGE_MAX];
	uint32_t len;

	PROOF_ANY(slot);
	(void)vmbi_slot_busy(slot);
	if (vmbi_slot_take(slot, out, &len) > 0) {
		/*@ check length: \initialized(&len) && len <= VMB_MESSAGE_MAX; */
	}
}

/* Each size that the slot can say: all bytes of it have been written. */
void prove_slot_whole(void)
{
	/*@ loop unroll 300; */
	for (uint32_t len = 0; len <= VMB_MESSAGE_MAX + 2; len++) {
		uint8_t *payload = proof_bytes(len);

		PROOF_ANY(slot);
		(void)vmb_synic_post(slot, payload, len);
		free(payload);
	}
	(void)vmb_synic_post(NULL, slot, 1);
	(void)vmb_synic_post(slot, NULL, proof_any32);
}

void prove_flags(void)
{
	PROOF_ANY(flags);
	PROOF_ANY(page);
	(void)vmbi_flags_take(flags, proof_between(0, VMBI_FLAG_WORDS - 1));
	(void)vmbi_flags_set(flags, proof_between(0, VMBI_FLAG_WORDS * 32 - 1));
	(void)vmb_synic_set(flags, proof_any32);
	(void)vmb_synic_set(NULL, proof_any32);
	vmbi_monitor_set(page, proof_between(0, 127));
	(void)vmbi_trigger_take(page, proof_between(0, 3));
	vmbi_trigger_init(page, proof_any32);
	vmbi_trigger_connect(page, proof_between(0, 127), proof_any32);
}
