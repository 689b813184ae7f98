/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * UNLOAD by a dying system: one word, published while there is a connection, and the embedder's post. Nothing else of the end is looked at,
 * for its lock may be held by a CPU that is dead. control-plane.md 11, 19
 */
#include "guest.h"

static int guest_crash_post(struct vmb_guest *g, uint32_t unloadable)
{
	uint8_t msg[8] = { VMBI_MSG_UNLOAD };
	int status;

	if (!unloadable)
		return VMB_ESTATE;
	status = g->cfg.post(g->cfg.ctx, unloadable & ~VMBI_GUEST_UNLOADABLE, msg, sizeof msg);
	if (status == VMB_HV_SUCCESS)
		return 0;
	return vmbi_guest_is_busy(status, VMBI_MSG_UNLOAD) ? VMB_EAGAIN : VMB_EPLATFORM;
}

/* Whatever else the host had to say is for nobody any more. */
static int guest_crash_look(void *slot)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len = 0;
	int taken = vmbi_slot_take(slot, msg, &len);

	if (taken > 0 && (len < 8 || vmbi_get32(msg) != VMBI_MSG_UNLOAD_COMPLETE))
		taken &= ~VMB_YES;
	return taken;
}

int vmb_guest_crash(struct vmb_guest *g, void *slot)
{
	if (!g)
		return VMB_EINVAL;
	return slot ? guest_crash_look(slot) : guest_crash_post(g, VMBI_LOAD32_RELAXED(&g->unloadable));
}
