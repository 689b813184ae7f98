/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A library built with VMB_CHECKED catches null and foreign objects in every data call. */
#define VMB_CHECKED
#include "hooked.h"

#include <criterion/criterion.h>
#include <string.h>

#include "rig.h"

static struct rig *r;
static uint8_t bytes[64];

static void setup(void)
{
	r = rig_new(RIG_ONCE, 1);
	rig_both_at(r, 0);
}

static void teardown(void)
{
	rig_free(r);
}

TestSuite(ring_checked, .init = setup, .fini = teardown);

static void refused_tx(struct vmb_tx *tx)
{
	struct vmb_packet p = rig_packet(bytes, 8);
	struct vmb_span part = { bytes, 8 };
	struct vmb_view v = { 0, 8 };
	struct vmb_cursor at;
	uint32_t where = 7;

	cr_assert_eq(vmb_tx_put(tx, &p), VMB_EINVAL);
	cr_assert_eq(vmb_tx_putv(tx, &p, &part, 1), VMB_EINVAL);
	cr_assert_eq(vmb_tx_reserve(tx, &p, &v), VMB_EINVAL);
	cr_assert_null(vmb_tx_place(tx, &p));
	cr_assert_eq(vmb_tx_commit(tx), VMB_EINVAL);
	cr_assert_eq(vmb_tx_discard(tx), VMB_EINVAL);
	cr_assert_eq(vmb_tx_arm(tx, &p, 0), VMB_EINVAL);
	cr_assert_eq(vmb_tx_spans(tx, &v, 0, &part, 1), VMB_EINVAL);
	cr_assert_eq(vmb_tx_copy(tx, &v, 0, bytes, 8), VMB_EINVAL);
	cr_assert_eq(vmb_tx_end(tx, &at), VMB_EINVAL);
	cr_assert_eq(vmb_tx_reason(tx, &where), 0);
	cr_assert_eq(where, 0);
}

static void refused_rx(struct vmb_rx *rx)
{
	struct vmb_packet p;
	struct vmb_view v = { 0, 8 };
	struct vmb_span part;
	struct vmb_cursor at;
	uint32_t where = 7;

	cr_assert_eq(vmb_rx_next(rx, &p, &v), VMB_EINVAL);
	cr_assert_eq(vmb_rx_get(rx, NULL, 0, &p), VMB_EINVAL);
	cr_assert_eq(vmb_rx_release(rx), VMB_EINVAL);
	cr_assert_eq(vmb_rx_rewind(rx), VMB_EINVAL);
	cr_assert_eq(vmb_rx_sleep(rx), VMB_EINVAL);
	cr_assert_eq(vmb_rx_mask(rx), VMB_EINVAL);
	cr_assert_eq(vmb_rx_spans(rx, &v, 0, &part, 1), VMB_EINVAL);
	cr_assert_eq(vmb_rx_copy(rx, &v, 0, bytes, 8), VMB_EINVAL);
	cr_assert_eq(vmb_rx_end(rx, &at), VMB_EINVAL);
	cr_assert_eq(vmb_rx_reason(rx, &where), 0);
	cr_assert_eq(where, 0);
}

Test(ring_checked, null_halves_are_refused)
{
	refused_tx(NULL);
	refused_rx(NULL);
}

Test(ring_checked, foreign_halves_are_refused)
{
	static _Alignas(64) uint8_t zeros[1024];

	refused_tx((struct vmb_tx *)zeros);
	refused_rx((struct vmb_rx *)zeros);
	refused_tx((struct vmb_tx *)r->rx);
	refused_rx((struct vmb_rx *)r->tx);
}

Test(ring_checked, ended_halves_are_refused)
{
	cr_assert_eq(vmb_tx_end(r->tx, NULL), 0);
	cr_assert_eq(vmb_rx_end(r->rx, NULL), 0);
	refused_tx(r->tx);
	refused_rx(r->rx);
}

Test(ring_checked, null_arguments_are_refused_and_change_nothing)
{
	struct vmb_packet p = rig_packet(NULL, 8), good = rig_packet(bytes, 8);
	struct vmb_span none = { NULL, 8 }, part = { bytes, 8 };
	struct vmb_view v = { 0, 8 };

	cr_assert_eq(vmb_tx_put(r->tx, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_tx_put(r->tx, &p), VMB_EINVAL);
	cr_assert_eq(vmb_tx_putv(r->tx, NULL, &part, 1), VMB_EINVAL);
	cr_assert_eq(vmb_tx_putv(r->tx, &good, NULL, 1), VMB_EINVAL);
	cr_assert_eq(vmb_tx_putv(r->tx, &good, &none, 1), VMB_EINVAL);
	cr_assert_eq(vmb_tx_reserve(r->tx, NULL, &v), VMB_EINVAL);
	cr_assert_null(vmb_tx_place(r->tx, NULL));
	cr_assert_eq(vmb_tx_reserve(r->tx, &good, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_tx_arm(r->tx, NULL, 0), VMB_EINVAL);
	cr_assert_eq(vmb_tx_spans(r->tx, NULL, 0, &part, 1), VMB_EINVAL);
	cr_assert_eq(vmb_tx_spans(r->tx, &v, 0, NULL, 1), VMB_EINVAL);
	cr_assert_eq(vmb_tx_copy(r->tx, NULL, 0, bytes, 8), VMB_EINVAL);
	cr_assert_eq(vmb_tx_copy(r->tx, &v, 0, NULL, 8), VMB_EINVAL);
	cr_assert_eq(vmb_tx_commit(r->tx), 0);
	cr_assert_eq(rig_send(r, 8), VMB_SIGNAL);
	cr_assert_eq(vmb_rx_next(r->rx, NULL, &v), VMB_EINVAL);
	cr_assert_eq(vmb_rx_get(r->rx, NULL, 0, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_rx_get(r->rx, NULL, 8, &p), VMB_EINVAL);
	cr_assert_eq(vmb_rx_next(r->rx, &p, NULL), VMB_EINVAL);
	cr_assert_eq(vmb_rx_spans(r->rx, NULL, 0, &part, 1), VMB_EINVAL);
	cr_assert_eq(vmb_rx_spans(r->rx, &v, 0, NULL, 1), VMB_EINVAL);
	cr_assert_eq(vmb_rx_copy(r->rx, NULL, 0, bytes, 8), VMB_EINVAL);
	cr_assert_eq(vmb_rx_copy(r->rx, &v, 0, NULL, 8), VMB_EINVAL);
	cr_assert_eq(vmb_rx_next(r->rx, &p, &v), VMB_YES);
}

/* What may be NULL. */
Test(ring_checked, optional_arguments_may_be_null)
{
	struct vmb_packet p = rig_packet(NULL, 0);
	struct vmb_view v = { 0, 8 };

	cr_assert_eq(vmb_tx_put(r->tx, &p), 0);
	cr_assert_eq(vmb_tx_putv(r->tx, &p, NULL, 0), 0);
	cr_assert_eq(vmb_tx_spans(r->tx, &v, 0, NULL, 0), 0);
	cr_assert_eq(vmb_rx_spans(r->rx, &v, 0, NULL, 0), 0);
	cr_assert_eq(vmb_tx_copy(r->tx, &v, 0, NULL, 0), 0);
	cr_assert_eq(vmb_rx_copy(r->rx, &v, 0, NULL, 0), 0);
	cr_assert_eq(vmb_tx_reason(r->tx, NULL), 0);
	cr_assert_eq(vmb_rx_reason(r->rx, NULL), 0);
}
