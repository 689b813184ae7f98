/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The message slot, from both sides, also while the other side acts in the middle of a call (hooks.h). */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/synic/synic.h"
#include "test/synic/hooks.h"
#include "test/vectors/vectors.h"

struct page { _Alignas(256) uint8_t slot[256]; uint8_t out[VMB_MESSAGE_MAX]; uint32_t len; };

static int take(struct page *p)
{
	p->len = 0xdead;
	return vmbi_slot_take(p->slot, p->out, &p->len);
}

Test(slot, every_length_arrives_as_it_was_posted)
{
	struct page p = { .len = 0 };
	uint8_t payload[VMB_MESSAGE_MAX];

	for (uint32_t len = 0; len <= VMB_MESSAGE_MAX; len++) {
		for (uint32_t i = 0; i < len; i++)
			payload[i] = (uint8_t)(len + i * 7);
		memset(p.out, 0xee, sizeof p.out);
		cr_assert_eq(vmbi_slot_busy(p.slot), 0);
		cr_assert_eq(vmb_synic_post(p.slot, payload, len), 0);
		cr_assert_eq(vmbi_slot_busy(p.slot), 1);
		cr_assert_eq(p.slot[4], len, "exactly the message's size");
		cr_assert_eq(p.slot[5], 0);
		cr_assert_eq(take(&p), VMB_YES);
		cr_assert_eq(p.len, len);
		cr_assert_arr_eq(p.out, payload, len);
		cr_assert(len == VMB_MESSAGE_MAX || p.out[len] == 0xee);
	}
	cr_assert_eq(take(&p), 0);
	cr_assert_eq(p.len, 0xdead);
}

/* control-plane.md 23 and platform.md 12 */
Test(slot, vectors)
{
	struct vectors *control = vectors_load("control-plane", 45), *platform = vectors_load("platform", 2);
	struct page p = { .len = 0 };
	uint32_t len, want_len;
	const uint8_t *bytes = vector_part(vectors_find(control, "CP-45"), 0, &len);
	const uint8_t *want = vector_part(vectors_find(control, "CP-26"), 0, &want_len);

	memcpy(p.slot, bytes, len);
	cr_assert_eq(take(&p), VMB_YES | VMB_EOM, "another message is pending");
	cr_assert_eq(p.len, want_len);
	cr_assert_arr_eq(p.out, want, want_len);
	cr_assert_eq(vmbi_slot_busy(p.slot), 0);

	bytes = vector_part(vectors_find(platform, "PV-02"), 0, &len);
	memset(p.slot, 0, sizeof p.slot);
	cr_assert_eq(vmb_synic_post(p.slot, bytes + 16, len - 16), 0);
	cr_assert_arr_eq(p.slot, bytes, len, "the host writes the same");
	cr_assert_eq(take(&p), VMB_YES);
	vectors_free(control);
	vectors_free(platform);
}

Test(slot, an_occupied_one_is_marked_pending)
{
	struct page p = { .len = 0 };
	uint8_t first[8] = { 3 }, second[8] = { 4 };

	cr_assert_eq(vmb_synic_post(p.slot, first, 8), 0);
	cr_assert_eq(vmb_synic_post(p.slot, second, 8), VMB_EAGAIN);
	cr_assert_eq(p.slot[4], 8);
	cr_assert_eq(p.slot[5], 1);
	cr_assert_eq(vmb_synic_post(p.slot, second, 8), VMB_EAGAIN);
	cr_assert_eq(take(&p), VMB_YES | VMB_EOM);
	cr_assert_eq(p.out[0], 3);
	cr_assert_eq(vmb_synic_post(p.slot, second, 8), 0);
	cr_assert_eq(p.slot[5], 0, "pending no more");
	cr_assert_eq(take(&p), VMB_YES);
	cr_assert_eq(p.out[0], 4);
}

static struct page *shared; /* of a test with hooks */
static const uint8_t late[12] = { 2, 0, 0, 0, 0, 0, 0, 0, 5 };
static int late_result;

static void guest_takes(void)
{
	cr_assert_eq(take(shared), VMB_YES | VMB_EOM);
}

static void host_posts(void)
{
	late_result = vmb_synic_post(shared->slot, late, sizeof late);
}

static void host_writes_another_type(void)
{
	shared->slot[0] = 0x10;
}

/* The guest empties the slot just after the host has set the pending bit: the host must see that itself. */
Test(slot, a_message_taken_while_the_host_marks_it_pending_is_no_obstacle)
{
	struct page p = { .len = 0 };

	shared = &p;
	cr_assert_eq(vmb_synic_post(p.slot, "firstone", 8), 0);
	synic_at_fence = guest_takes;
	cr_assert_eq(vmb_synic_post(p.slot, late, sizeof late), 0);
	cr_assert_arr_eq(p.out, "firstone", 8);
	cr_assert_eq(take(&p), VMB_YES);
	cr_assert_arr_eq(p.out, late, sizeof late);
}

/* The host finds the slot full while the guest is copying: the guest must see the pending bit, though it was clear when it began. */
Test(slot, a_message_that_came_too_early_makes_the_guest_write_eom)
{
	struct page p = { .len = 0 };

	shared = &p;
	cr_assert_eq(vmb_synic_post(p.slot, "firstone", 8), 0);
	synic_at_swap = host_posts;
	cr_assert_eq(take(&p), VMB_YES | VMB_EOM);
	cr_assert_eq(late_result, VMB_EAGAIN);
	cr_assert_arr_eq(p.out, "firstone", 8);
}

/* It comes just after the guest has emptied the slot: it is in, and nobody needs EOM. */
Test(slot, a_message_that_came_right_after_needs_no_eom)
{
	struct page p = { .len = 0 };

	shared = &p;
	cr_assert_eq(vmb_synic_post(p.slot, "firstone", 8), 0);
	synic_at_fence = host_posts;
	cr_assert_eq(take(&p), VMB_YES);
	cr_assert_eq(late_result, 0);
	cr_assert_arr_eq(p.out, "firstone", 8);
	cr_assert_eq(take(&p), VMB_YES);
	cr_assert_arr_eq(p.out, late, sizeof late);
}

static void guest_looks(void)
{
	cr_assert_eq(vmbi_slot_busy(shared->slot), 0, "not before the message is there in full");
	cr_assert_eq(take(shared), 0);
}

/* The type is stored last: a guest that looks meanwhile sees no message. control-plane.md 1.3 */
Test(slot, a_message_that_is_being_written_is_none)
{
	struct page p = { .len = 0 };

	shared = &p;
	synic_at_copy = guest_looks;
	cr_assert_eq(vmb_synic_post(p.slot, "firstone", 8), 0);
	cr_assert_eq(synic_at_copy, NULL);
	cr_assert_eq(take(&p), VMB_YES);
	cr_assert_arr_eq(p.out, "firstone", 8);
}

/* Whatever was in the slot before: flags, reserved bytes and the sender are 0. control-plane.md 1.3 */
Test(slot, nothing_of_before_is_left_in_its_header)
{
	struct page p = { .len = 0 };

	memset(p.slot + 4, 0xff, sizeof p.slot - 4);
	cr_assert_eq(vmb_synic_post(p.slot, "firstone", 8), 0);
	cr_assert_eq(p.slot[4], 8);
	for (uint32_t i = 5; i < 16; i++)
		cr_assert_eq(p.slot[i], 0, "byte %u", i);
	cr_assert_eq(p.slot[24], 0xff, "what is behind the message is left alone");
}

Test(slot, a_type_that_changed_meanwhile_is_not_wiped)
{
	struct page p = { .len = 0 };

	shared = &p;
	cr_assert_eq(vmb_synic_post(p.slot, "firstone", 8), 0);
	synic_at_swap = host_writes_another_type;
	cr_assert_eq(take(&p), 0);
	cr_assert_eq(p.slot[0], 0x10);
	cr_assert_eq(take(&p), VMB_EFOREIGN);
}

Test(slot, a_foreign_message_is_left_alone)
{
	struct page p = { .slot = { 0x10, 0, 0, 0x80, 16 } }, before = p;

	cr_assert_eq(take(&p), VMB_EFOREIGN);
	cr_assert_eq(vmbi_slot_busy(p.slot), 1);
	cr_assert_arr_eq(p.slot, before.slot, 256);
	cr_assert_eq(vmb_synic_post(p.slot, "12345678", 8), VMB_EAGAIN);
	cr_assert_eq(p.slot[5], 1, "whoever takes it writes EOM");
	p.slot[3] = 0;
	cr_assert_eq(take(&p), VMB_EFOREIGN);
}

/* A size that no message has: the slot is freed, and what comes out is nothing that passes the gate. */
Test(slot, an_impossible_size_is_freed_and_dropped)
{
	for (uint32_t size = 0; size < 256; size++) {
		struct page p = { .slot = { 1, 0, 0, 0, (uint8_t)size, 0xfe, 0xff, 0xff } };

		memset(p.slot + 16, 0x55, 240);
		cr_assert_eq(take(&p), VMB_YES, "bits of the flags other than 0 mean nothing");
		cr_assert_eq(p.len, size <= 240 ? size : 0);
		cr_assert_eq(vmbi_slot_busy(p.slot), 0);
	}
}

Test(slot, arguments)
{
	struct page p = { .len = 0 };
	uint8_t payload[VMB_MESSAGE_MAX + 1] = { 0 };

	cr_assert_eq(vmb_synic_post(p.slot, payload, 241), VMB_EINVAL);
	cr_assert_eq(vmb_synic_post(p.slot, payload, UINT32_MAX), VMB_EINVAL);
	cr_assert_eq(vmb_synic_post(p.slot, NULL, 8), VMB_EINVAL);
	cr_assert_eq(vmb_synic_post(NULL, payload, 8), VMB_EINVAL);
	cr_assert_eq(vmbi_slot_busy(p.slot), 0);
}
