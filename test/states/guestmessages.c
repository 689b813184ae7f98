/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The messages of guestcell.h, from the layouts of control-plane.md 6 and gpadl.md 2. */
#include "guestcell.h"

#include <string.h>

#include "test/bus/hostbench.h"

#define F(form) (1u << (form))

/* Least bytes, by type; 0: not from a host. control-plane.md 2 */
static const uint8_t least[TABLE_TYPES] = {
	[H_OFFER] = 196, [H_RESCIND] = 12, [H_ALL_OFFERS] = 8, [H_OPEN_RESULT] = 20, [H_CREATED] = 20, [H_TORNDOWN] = 12,
	[H_VERSION] = 16, [H_UNLOADED] = 8, [H_RESERVED_CLOSED] = 12, [H_TL_RESULT] = 44, [H_MODIFIED] = 16,
	[H_CONNECTION_MODIFIED] = 9, [H_PAUSED] = 8,
};

/* Bytes of what a guest sends. */
static const uint8_t from_guest[TABLE_TYPES] = {
	[3] = 8, [5] = 148, [7] = 12, [8] = 36, [9] = 24, [11] = 16, [13] = 12, [14] = 40, [16] = 8, [18] = 28, [19] = 20,
	[21] = 40, [22] = 16, [25] = 24, [27] = 8, [29] = 8,
};

static uint32_t forms_of(unsigned type)
{
	uint32_t forms = F(G_LEGAL) | F(G_LONG) | F(G_SHORT);

	if (type == TABLE_UNKNOWN)
		return F(G_UNKNOWN);
	switch (type) {
	case H_OFFER:
		return forms | F(G_WRONG_ID) | F(G_BAD) | F(G_TAKEN) | F(G_TWIN) | F(G_SUB) | F(G_ORPHAN) | F(G_SOCKET);
	case H_RESCIND: case H_TORNDOWN: case H_RESERVED_CLOSED:
		return forms | F(G_WRONG_ID);
	case H_OPEN_RESULT: case H_CREATED: case H_MODIFIED:
		return forms | F(G_WRONG_ID) | F(G_FAIL);
	case H_VERSION:
		return forms | F(G_NO) | F(G_FAIL) | F(G_BARE) | F(G_BAD);
	case H_TL_RESULT:
		return forms | F(G_WRONG_ID) | F(G_BAD);
	case H_CONNECTION_MODIFIED:
		return forms | F(G_FAIL);
	default:
		return least[type] ? forms : F(G_WRONG_DIRECTION);
	}
}

static const char *const state_names[GUEST_STATES] = {
	"disconnected", "negotiating", "requested", "running", "offered", "announcing", "opening", "open", "moving",
	"failed-early", "failed", "closing", "closing-announcing", "closing-opening", "released", "listing", "listed",
	"unlisting", "unlisting-early", "rescinded", "rescinded-announcing", "rescinded-opening", "rescinded-open",
	"rescinded-moving", "rescinded-closing", "rescinded-listing", "rescinded-listed", "rescinded-unlisting", "calling",
	"swapping", "reserved-closing", "pausing", "paused", "leaving", "unloading", "left", "reserved-closing-left",
};
static const char *const form_names[GUEST_FORMS] = {
	"legal", "long", "short", "wrong-direction", "unknown", "wrong-id", "fail", "no", "bare", "bad", "taken", "twin",
	"sub", "orphan", "socket",
};

const struct table_end guest_end = { "test/states/guest.table", state_names, GUEST_STATES, form_names, GUEST_FORMS, forms_of };

static uint32_t least_now(unsigned type)
{
	return type == H_OFFER && cell.v < VMB_V1_1 ? 190 : least[type];
}

static void words(struct bench_message *m, unsigned n, uint32_t a, uint32_t b, uint32_t c)
{
	const uint32_t w[3] = { a, b, c };

	for (unsigned i = 0; i < n; i++)
		put32(m->bytes + 8 + 4 * i, w[i]);
}

static void offer(struct bench_message *m, uint32_t id, uint32_t device, uint32_t subchannel)
{
	m->bytes[8] = G_CLASS;
	m->bytes[24] = (uint8_t)device;
	m->bytes[56] = 1;
	put16(m->bytes + 180, subchannel);
	put32(m->bytes + 184, id);
	m->bytes[188] = 0xff;
	if (cell.v >= VMB_V1_1) {
		m->bytes[190] = 1;
		put32(m->bytes + 192, 0x2000 + id);
	}
}

/* 6.10; the number is that of the version last asked for, or the message connection. */
static void version(struct bench_message *m)
{
	uint32_t v = cell.asked ? cell.asked : cell.v;

	m->bytes[8] = 1;
	put32(m->bytes + 12, v >= VMB_V5_0 ? 1 : v);
	if (v >= VMB_V6_0) {
		put32(m->bytes + 16, cell.features);
		m->len = 20;
	}
}

static void legal(unsigned type, struct bench_message *m)
{
	memset(m, 0, sizeof *m);
	put32(m->bytes, type);
	m->len = least_now(type) ? least_now(type) : 8;
	switch (type) {
	case H_OFFER:
		offer(m, G_NEW, G_NEW, 0);
		break;
	case H_RESCIND:
		words(m, 1, 1, 0, 0);
		break;
	case H_OPEN_RESULT:
		words(m, 3, 1, cell.open_id, 0);
		break;
	case H_CREATED:
		words(m, 3, 1, cell.list ? cell.list : cell.ring, 0);
		break;
	case H_TORNDOWN:
		words(m, 1, cell.list ? cell.list : cell.ring, 0, 0);
		break;
	case H_VERSION:
		version(m);
		break;
	case H_RESERVED_CLOSED:
		words(m, 1, G_RESERVED, 0, 0);
		break;
	case H_TL_RESULT:
		memset(m->bytes + 8, 0xe0, 16);
		memset(m->bytes + 24, 0x5e, 16);
		put32(m->bytes + 40, 0xc0000236);
		break;
	case H_MODIFIED:
		words(m, 2, 1, 0, 0);
		break;
	default:
		break;
	}
}

static bool cut(unsigned type, unsigned variant, struct bench_message *m)
{
	const uint32_t lengths[] = { 0, 7, 8, least_now(type) - 1 };
	unsigned n = 0;

	legal(type, m);
	for (unsigned i = 0; i < 4; i++) {
		bool known = lengths[i] >= least_now(type);

		for (unsigned k = 0; k < i; k++)
			known = known || lengths[k] == lengths[i];
		if (!known && n++ == variant) {
			m->len = lengths[i];
			return true;
		}
	}
	return false;
}

static bool wrong_id(unsigned type, unsigned variant, struct bench_message *m)
{
	static const uint32_t no_channel[] = { 0, 8, 2048, 0xffffffff, 0x10001 };
	uint32_t list = cell.list ? cell.list : cell.ring;
	const uint32_t result[][2] = { { 8, cell.open_id }, { 1, cell.open_id + 1 }, { 2, cell.open_id }, { 0, 0 },
		{ 0xffffffff, cell.open_id } };
	const uint32_t created[][2] = { { 8, list }, { 2, list }, { 1, 0x1234 }, { 1, 0 }, { 0xffffffff, 0xffffffff } };

	if (type == H_TL_RESULT) {
		m->bytes[8 + 16 * (variant & 1)] ^= 1;
		return variant <= 1;
	}
	if (variant >= 5)
		return false;
	if (type == H_OFFER)
		put32(m->bytes + 184, variant == 1 ? 4096 : no_channel[variant]);
	else if (type == H_OPEN_RESULT)
		words(m, 2, result[variant][0], result[variant][1], 0);
	else if (type == H_CREATED)
		words(m, 2, created[variant][0], created[variant][1], 0);
	else if (type == H_TORNDOWN)
		words(m, 1, variant == 1 ? 0x1234 : no_channel[variant], 0, 0);
	else
		words(m, 1, type == H_MODIFIED && variant == 1 ? 2 : no_channel[variant], 0, 0);
	return true;
}

static bool failure(unsigned type, unsigned variant, struct bench_message *m)
{
	static const uint32_t status[] = { 0x8000ffff, 1, 0xc0000001 };

	if (type == H_VERSION || type == H_CONNECTION_MODIFIED) {
		m->bytes[type == H_VERSION ? 9 : 8] = (uint8_t)(variant + 1);
		return variant <= 1;
	}
	if (variant >= 3)
		return false;
	put32(m->bytes + (type == H_MODIFIED ? 12 : 16), status[variant]);
	return true;
}

static bool bad(unsigned type, unsigned variant, struct bench_message *m)
{
	if (type == H_OFFER) {
		m->bytes[188] = variant ? 0xff : 128;
		m->bytes[189] = 1;
		return variant <= 1;
	}
	if (type == H_VERSION)
		put32(m->bytes + 12, cell.v >= VMB_V5_0 ? 0x81000001 : 0);
	else
		put32(m->bytes + 40, 0);
	return variant == 0;
}

static bool special_offer(unsigned form, unsigned variant, struct bench_message *m)
{
	bool known = cell.state >= G_OFFERED && cell.state <= G_RESCINDED_UNLISTING && cell.state != G_RELEASED; /* id 1 */
	bool present = known && cell.state < G_RESCINDED; /* the device: a rescinded one may come again */

	switch (form) {
	case G_TAKEN:
		put32(m->bytes + 184, variant ? 1 : 2);
		return variant <= known;
	case G_TWIN:
		m->bytes[24] = variant ? 1 : 2;
		return variant <= present;
	case G_SUB:
		m->bytes[24] = 2;
		put16(m->bytes + 180, 1);
		return variant == 0;
	case G_ORPHAN:
		m->bytes[24] = 7;
		put16(m->bytes + 180, 1);
		return variant == 0;
	default: /* G_SOCKET. 15.1 */
		memset(m->bytes + 8, 0x5e, 16);
		memset(m->bytes + 24, 0xe0, 16);
		put16(m->bytes + 56, 0x2011);
		return variant == 0;
	}
}

static bool other_types(unsigned type, unsigned form, unsigned variant, struct bench_message *m)
{
	static const uint32_t types[] = { 0, 30, 31, 255, 0x10005, 0xffffffff };
	const uint32_t lengths[] = { from_guest[type], 8, from_guest[type] - 1u, VMB_MESSAGE_MAX };

	for (uint32_t i = 8; i < VMB_MESSAGE_MAX; i += 4)
		put32(m->bytes + i, 1);
	if (form == G_WRONG_DIRECTION) {
		m->len = lengths[variant & 3];
		return variant < 4;
	}
	if (variant >= 6)
		return false;
	put32(m->bytes, types[variant]);
	m->len = 48;
	return true;
}

bool cell_message(unsigned type, unsigned form, unsigned variant, struct bench_message *m)
{
	uint32_t to;

	legal(type, m);
	switch (form) {
	case G_LEGAL:
		return variant == 0;
	case G_LONG:
		to = variant ? VMB_MESSAGE_MAX : m->len + 1;
		memset(m->bytes + m->len, 0xee, to - m->len);
		m->len = to;
		return variant <= 1;
	case G_SHORT:
		return cut(type, variant, m);
	case G_WRONG_DIRECTION: case G_UNKNOWN:
		return other_types(type, form, variant, m);
	case G_WRONG_ID:
		return wrong_id(type, variant, m);
	case G_FAIL:
		return failure(type, variant, m);
	case G_NO:
		memset(m->bytes + 8, 0, 8);
		m->len = 16;
		return variant == 0;
	case G_BARE:
		m->len = 16;
		return variant == 0;
	case G_BAD:
		return bad(type, variant, m);
	default:
		return special_offer(form, variant, m);
	}
}

void cell_feed(const struct bench_message *m)
{
	(void)vmb_guest_message(cell.b->g, m->bytes, m->len);
}

void cell_say(unsigned type, unsigned form)
{
	struct bench_message m;

	cr_assert(cell_message(type, form, 0, &m));
	cell_feed(&m);
}

void cell_legal(unsigned type)
{
	cell_say(type, G_LEGAL);
}

void cell_offer(uint32_t id, uint32_t device)
{
	struct bench_message m;

	legal(H_OFFER, &m);
	offer(&m, id, device, 0);
	cell_feed(&m);
}
