/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include <vmbus.h>

struct vp { unsigned char messages[4096], flags[4096]; void (*raise)(struct vp *vp, uint32_t sint); };

/* The two callbacks of a host's config that write to a virtual processor's SynIC pages. */
int message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	struct vp *v = (struct vp *)ctx + vp;
	int r = vmb_synic_post(v->messages + sint * 256, payload, len);

	(void)vtl;
	if (r == 0)
		v->raise(v, sint);
	return r;
}

void interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	struct vp *v = (struct vp *)ctx + vp;

	(void)vtl;
	if (vmb_synic_set(v->flags + sint * 256, flag) == VMB_YES)
		v->raise(v, sint);
}
