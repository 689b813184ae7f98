/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include <vmbus.h>

/* Identity: this guest sees its memory where the host does. */
static int translate(void *ctx, uint64_t address, uint64_t *gpa)
{
	(void)ctx;
	*gpa = address;
	return 0;
}

/* Name a buffer of up to 16 pages for a packet. words must live as long as the list. */
int name_buffer(void *buffer, uint32_t bytes, uint64_t words[18], struct vmb_list *list)
{
	struct vmb_piece piece = { (uintptr_t)buffer, bytes };

	return vmb_list_build(&piece, 1, VMB_PAGE, translate, NULL, words, 18, list);
}
