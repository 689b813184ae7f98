/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What makes a ring packet's header legal: one that was received, and one that is to be sent. ring.md 4.1, 5, 9.1 */
#include "packet.h"

uint32_t vmbi_descriptor_check(const struct vmbi_descriptor *d, uint32_t avail, int loose)
{
	int external = d->kind == VMB_PKT_XFER || d->kind == VMB_PKT_GPA;

	if (avail < VMBI_DESCRIPTOR + VMBI_FOOTER || d->len8 < VMBI_DESCRIPTOR / 8 || d->len8 * 8 + VMBI_FOOTER > avail)
		return VMB_R_LENGTH;
	if (d->data8 < VMBI_DESCRIPTOR / 8 || d->data8 > d->len8)
		return VMB_R_HEADER;
	if (external && d->data8 < VMBI_DESCRIPTOR / 8 + 1) /* the word with the count must lie before the payload */
		return VMB_R_HEADER;
	if (loose)
		return 0;
	if (!external && d->kind != VMB_PKT_INBAND && d->kind != VMB_PKT_COMPLETION)
		return VMB_R_TYPE;
	return d->flags & ~(uint32_t)VMB_PKT_WANTS_REPLY ? VMB_R_FLAGS : 0;
}

/* Is this list, in the byte order of the CPU, exactly its ranges? Those of transfer pages have no page numbers. */
static int packet_list_fits(const struct vmb_list *list, int has_pages)
{
	uint64_t pos = 0;

	if (!list->words || !list->count || !list->ranges)
		return 0;
	for (uint32_t r = 0; r < list->ranges; r++) {
		uint64_t bytes, offset;

		if (pos >= list->count)
			return 0;
		bytes = list->words[pos] & 0xffffffff;
		offset = list->words[pos++] >> 32;
		if (!bytes)
			return 0;
		if (!has_pages)
			continue;
		if (offset >= VMB_PAGE)
			return 0;
		pos += (offset + bytes + VMB_PAGE - 1) >> 12;
	}
	return pos == list->count;
}

int vmbi_packet_head(const struct vmb_packet *p, uint32_t *head)
{
	int external = p->kind == VMB_PKT_XFER || p->kind == VMB_PKT_GPA;
	uint64_t bytes = external ? 8 + (uint64_t)p->list.count * 8 : 0;

	if (!external && p->kind != VMB_PKT_INBAND && p->kind != VMB_PKT_COMPLETION)
		return VMB_EINVAL;
	if (p->flags & ~VMB_PKT_WANTS_REPLY || (p->kind == VMB_PKT_COMPLETION && p->flags))
		return VMB_EINVAL;
	if (external ? !packet_list_fits(&p->list, p->kind == VMB_PKT_GPA) : p->list.count || p->list.ranges)
		return VMB_EINVAL;
	if (vmbi_packet_total(bytes, p->len) - VMBI_FOOTER > VMBI_LEN8_MAX * 8)
		return VMB_ETOOBIG;
	*head = (uint32_t)bytes;
	return 0;
}
