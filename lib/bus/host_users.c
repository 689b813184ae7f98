/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Who uses a piece of guest memory: for an embedder that takes memory away. */
#include "host.h"

int vmb_host_users(struct vmb_host *h, uint64_t pfn, uint64_t pages, uint32_t *cursor, vmb_handle *ch, uint32_t *gpadl)
{
	uint32_t ref, slot;
	int r = cursor && ch && gpadl && pages && pfn <= UINT64_MAX - pages ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	ref = vmbi_gpadls_touching(h->store, *cursor, pfn, pages, &slot);
	if (ref) {
		*cursor = ref;
		*ch = vmbi_handle(slot, h->ch[slot].generation);
		*gpadl = vmbi_gpadls_id(h->store, ref);
		r = VMB_YES;
	}
	vmbi_guard_leave(&h->guard);
	return r;
}
