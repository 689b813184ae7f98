/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The external memory of a packet. GPA direct: the list in the packet itself. Transfer pages: windows into a set, and whoever
 * sent them is not believed that they lie within it. ring.md 5.3, 5.4, 9.1
 */
#include "access.h"
#include "list.h"

/* The bytes of all windows, each of which must lie in a set of this size; they may overlap, repeat, and be in any order. */
static int packet_windows(const struct vmb_list *windows, uint64_t size, uint64_t *bytes)
{
	uint64_t sum = 0;

	if (!windows->words || windows->ranges > windows->count)
		return VMB_EINVAL;
	for (uint32_t i = 0; i < windows->ranges; i++) {
		uint64_t word = windows->words[i];

		if ((uint64_t)vmbi_range_offset(word) + vmbi_range_bytes(word) > size)
			return VMB_EINVAL;
		sum += vmbi_range_bytes(word);
	}
	*bytes = sum;
	return 0;
}

/* Transfer n bytes from `offset` of the windows on. */
static int packet_run(struct vmbi_access *a, const struct vmb_list *windows, uint64_t offset, uint32_t n)
{
	for (uint32_t i = 0; i < windows->ranges && n; i++) {
		uint32_t bytes = vmbi_range_bytes(windows->words[i]), part;
		int err;

		if (offset >= bytes) {
			offset -= bytes;
			continue;
		}
		part = bytes - (uint32_t)offset < n ? bytes - (uint32_t)offset : n;
		err = vmbi_access_run(a, vmbi_range_offset(windows->words[i]) + offset, part);
		if (err)
			return err;
		n -= part;
		offset = 0;
	}
	return 0;
}

static int packet_access(const struct vmb_packet *p, const struct vmb_list *set, const struct vmb_mapper *m, uint64_t offset,
			 uint32_t n, struct vmbi_access *a)
{
	uint64_t size, bytes;
	struct vmb_list pages;

	if (!p || !m || (n && !a->dst && !a->src))
		return VMB_EINVAL;
	a->mapper = m;
	if (p->kind == VMB_PKT_GPA) {
		a->list = &p->list;
		return vmbi_access_check(a, offset, n) ? VMB_EINVAL : vmbi_access_run(a, offset, n);
	}
	if (p->kind != VMB_PKT_XFER || !set || vmb_list_check(set->words, set->count, set->ranges, &pages, &size))
		return VMB_EINVAL;
	if (packet_windows(&p->list, size, &bytes) || offset > bytes || n > bytes - offset)
		return VMB_EINVAL;
	a->list = &pages;
	return packet_run(a, &p->list, offset, n);
}

int vmb_packet_read(const struct vmb_packet *p, const struct vmb_list *set, const struct vmb_mapper *m, uint64_t offset,
		    void *dst, uint32_t n)
{
	struct vmbi_access a = { .kind = VMBI_ACCESS_READ, .dst = dst };

	return packet_access(p, set, m, offset, n, &a);
}

int vmb_packet_write(const struct vmb_packet *p, const struct vmb_list *set, const struct vmb_mapper *m, uint64_t offset,
		     const void *src, uint32_t n)
{
	struct vmbi_access a = { .kind = VMBI_ACCESS_WRITE, .src = src };

	return packet_access(p, set, m, offset, n, &a);
}

int vmb_packet_compare(const struct vmb_packet *p, const struct vmb_list *set, const struct vmb_mapper *m, uint64_t offset,
		       const void *with, uint32_t n)
{
	struct vmbi_access a = { .kind = VMBI_ACCESS_COMPARE, .src = with };

	return packet_access(p, set, m, offset, n, &a);
}

uint64_t vmb_packet_bytes(const struct vmb_packet *p)
{
	uint64_t bytes = 0;
	struct vmb_list list;

	if (!p)
		return 0;
	if (p->kind == VMB_PKT_GPA)
		return vmb_list_check(p->list.words, p->list.count, p->list.ranges, &list, &bytes) ? 0 : bytes;
	if (p->kind == VMB_PKT_XFER)
		return packet_windows(&p->list, UINT64_MAX, &bytes) ? 0 : bytes;
	return 0;
}
