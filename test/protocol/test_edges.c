/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Words at the very end of the caller's memory: nothing behind them is read. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/protocol/packet.h"
#include "test/gpadl/fixture.h"

/* A list whose ranges are more than its words, in memory that ends with them. ring.md 5.3 */
Test(edges, a_list_to_be_sent_is_not_read_beyond_its_words)
{
	uint64_t *words = guarded_alloc(2 * sizeof *words, 0);
	struct vmb_packet p = { .kind = VMB_PKT_GPA, .list = { words, 2, 2 } };
	uint32_t head;

	words[0] = VMB_RANGE(16, 0);
	words[1] = 0x1000;
	cr_assert_eq(vmbi_packet_head(&p, &head), VMB_EINVAL);
	p.kind = VMB_PKT_XFER;
	p.list.ranges = 3;
	cr_assert_eq(vmbi_packet_head(&p, &head), VMB_EINVAL);
	p.list.ranges = 2;
	cr_assert_eq(vmbi_packet_head(&p, &head), 0);
	cr_assert_eq(head, 8 + 16);
}

/* The same of a list that was received. gpadl.md 3.1 */
Test(edges, a_list_received_is_not_read_beyond_its_words)
{
	uint64_t *words = guarded_alloc(2 * sizeof *words, 0);
	struct vmb_list list;

	words[0] = VMB_RANGE(16, 0);
	words[1] = 0x1000;
	cr_assert_eq(vmb_list_check(words, 2, 2, &list, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_list_check(words, 2, 3, &list, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_list_check(words, 2, 1, &list, NULL), 0);
}

/* A message that is too short is not read beyond its end, to see how long it ought to be. control-plane.md 6 */
Test(edges, a_short_message_is_not_read_beyond_its_end)
{
	for (uint32_t type = 1; type < 30; type++)
		for (uint32_t len = 8; len < 64; len++) {
			uint8_t *msg = guarded_alloc(len, 0xff);
			int to_host, least, r;

			memset(msg, 0, 8);
			msg[0] = (uint8_t)type;
			to_host = vmb_message_check(msg, 8, VMB_V6_0, 0xff, 1) != VMB_EINVAL;
			least = vmb_message_size(type, VMB_V0_13, 0);
			r = vmb_message_check(msg, len, VMB_V6_0, 0xff, to_host);
			cr_assert(least < 0 || len >= (uint32_t)least || r == VMB_EPEER, "type %u, %u bytes", type, len);
		}
}
