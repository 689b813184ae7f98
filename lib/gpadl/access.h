/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Moving bytes between private memory and the pages of a list. */
#ifndef VMBI_GPADL_ACCESS_H
#define VMBI_GPADL_ACCESS_H

#include "vmbus.h"

#define VMBI_ACCESS_READ 0u
#define VMBI_ACCESS_WRITE 1u
#define VMBI_ACCESS_COMPARE 2u
#define VMBI_ACCESS_PAGES 32u /* mapped at once */

/* A range of a list: its word, how many ranges there are from it on, and how many bytes lie before it. */
struct vmbi_access_place {
	uint32_t at, left;
	uint64_t start;
};

/* One transfer. Set list, mapper, kind, and dst (read) or src; the rest is zero. */
struct vmbi_access {
	const struct vmb_list *list;
	const struct vmb_mapper *mapper;
	uint8_t *dst;
	const uint8_t *src;
	uint32_t kind;
	uint32_t one_by_one; /* the mapper has refused several pages at once */
	struct vmbi_access_place place;
};

/* Are all of [offset, offset + n) in the list? 0 or VMB_EINVAL. */
int vmbi_access_check(struct vmbi_access *a, uint64_t offset, uint32_t n);
/* Transfer the next n bytes, from `offset` of the list on. 0, VMB_YES (different), VMB_EMAP, VMB_EINVAL (not in the list). */
int vmbi_access_run(struct vmbi_access *a, uint64_t offset, uint32_t n);

#endif /* VMBI_GPADL_ACCESS_H */
