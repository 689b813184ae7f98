/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The messages of hostcell.h, from the layouts of control-plane.md 6 and gpadl.md 2. */
#include "hostcell.h"
#include "hostids.h"

#include <string.h>

#define F(form) (1u << (form))

/* Least bytes, by type; 0: not from a guest. control-plane.md 2 */
static const uint8_t least[TABLE_TYPES] = {
	[M_REQUEST_OFFERS] = 8, [M_OPEN] = 148, [M_CLOSE] = 12, [M_HEADER] = 20, [M_BODY] = 16, [M_TEARDOWN] = 16,
	[M_RELEASED] = 12, [M_CONTACT] = 40, [M_UNLOAD] = 8, [M_OPEN_RESERVED] = 28, [M_CLOSE_RESERVED] = 20,
	[M_TL_CONNECT] = 40, [M_MODIFY] = 16, [M_MODIFY_CONNECTION] = 24, [M_PAUSE] = 8, [M_RESUME] = 8,
};

/* Bytes of what a host sends. */
static const uint8_t from_host[TABLE_TYPES] = {
	[1] = 196, [2] = 12, [4] = 8, [6] = 20, [10] = 20, [12] = 12, [15] = 16, [17] = 8, [20] = 12, [23] = 44, [24] = 16,
	[26] = 9, [28] = 8,
};

static uint32_t forms_of(unsigned type)
{
	uint32_t forms = F(LEGAL) | F(LONG) | F(SHORT);

	if (type == TABLE_UNKNOWN)
		return F(UNKNOWN);
	switch (type) {
	case M_OPEN: case M_CONTACT: case M_OPEN_RESERVED: case M_MODIFY:
		return forms | F(WRONG_ID) | F(BAD);
	case M_CLOSE: case M_RELEASED: case M_CLOSE_RESERVED:
		return forms | F(WRONG_ID);
	case M_HEADER:
		return forms | F(WRONG_ID) | F(BAD) | F(PART);
	case M_BODY:
		return forms | F(WRONG_ID) | F(BAD) | F(EMPTY);
	case M_TEARDOWN:
		return forms | F(WRONG_ID) | F(RING);
	case M_TL_CONNECT: case M_MODIFY_CONNECTION:
		return forms | F(BAD);
	default:
		return least[type] ? forms : F(WRONG_DIRECTION);
	}
}

static const char *const state_names[HOST_STATES] = {
	"disconnected", "left", "contacted", "paused-early", "offered", "opening", "open", "open-silent", "open-tearing",
	"moving", "closing", "closing-tearing", "reopening", "closing-released", "released", "revoking", "revoked",
	"reoffered", "building", "building-revoked", "held", "tearing", "reserved-opening", "reserved-open",
	"reserved-closing", "reserved-kept", "reserved-left", "reserved-closing-left", "paused", "unloading",
	"unloading-opening", "unloading-reserved", "recontacting", "refusing", "resetting", "trusted",
};
static const char *const form_names[HOST_FORMS] = {
	"legal", "long", "short", "wrong-direction", "unknown", "wrong-id", "bad", "part", "empty", "ring",
};

const struct table_end host_end = { "test/states/host.table", state_names, HOST_STATES, form_names, HOST_FORMS, forms_of };

static uint32_t least_now(unsigned type)
{
	if (type == M_OPEN && scene.features)
		return 156;
	if (type == M_CONTACT && scene.features)
		return 56;
	return least[type];
}

static void range(struct post *p, uint32_t at, uint32_t bytes, uint32_t offset, uint64_t pfn, uint32_t pages)
{
	put32(p->bytes + at, bytes);
	put32(p->bytes + at + 4, offset);
	for (uint32_t i = 0; i < pages; i++)
		put64(p->bytes + at + 8 + 8 * i, pfn + i);
	p->len = at + 8 + 8 * pages;
}

static void words(struct post *p, unsigned n, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)
{
	const uint32_t w[5] = { a, b, c, d, e };

	for (unsigned i = 0; i < n; i++)
		put32(p->bytes + 8 + 4 * i, w[i]);
	p->len = 8 + 4 * n;
}

static void header(struct post *p, uint32_t channel, uint32_t id, uint32_t buflen, uint32_t ranges)
{
	words(p, 3, channel, id, buflen | ranges << 16, 0, 0);
}

static void legal_contact(struct post *p)
{
	hb_contact_bytes(p->bytes, scene.v, 0);
	p->len = 40;
	if (!scene.features)
		return;
	p->bytes[20] = (uint8_t)scene.features;
	memset(p->bytes + 40, 0xc1, 16);
	p->len = 56;
}

static void legal(unsigned type, struct post *p)
{
	memset(p, 0, sizeof *p);
	put32(p->bytes, type);
	p->len = 8;
	switch (type) {
	case M_OPEN:
		p->open_id = OPEN_ID;
		hb_open_bytes(p->bytes, 1, OPEN_ID, SPARE, 1, 2);
		put32(p->bytes + 148, 0x2001);
		put32(p->bytes + 152, 1);
		p->len = scene.features ? 156 : 148;
		break;
	case M_CLOSE: case M_RELEASED:
		words(p, 1, 1, 0, 0, 0, 0);
		break;
	case M_HEADER:
		header(p, 1, NEW, 16, 1);
		range(p, 20, VMB_PAGE, 0, 0x90, 1);
		break;
	case M_BODY:
		words(p, 2, 0, HALF, 0, 0, 0);
		range(p, 16, VMB_PAGE, 0, 0x99, 1);
		break;
	case M_TEARDOWN:
		words(p, 2, 1, SPARE2, 0, 0, 0);
		break;
	case M_CONTACT:
		legal_contact(p);
		break;
	case M_OPEN_RESERVED:
		words(p, 5, 1, FAR_VP, FAR_SINT, SPARE, 2);
		break;
	case M_CLOSE_RESERVED:
		words(p, 3, 1, FAR_VP, FAR_SINT, 0, 0);
		break;
	case M_TL_CONNECT:
		memset(p->bytes + 8, 0xe0, 16);
		memset(p->bytes + 24, 0x5e, 16);
		p->len = 40;
		break;
	case M_MODIFY:
		words(p, 2, 1, 3, 0, 0, 0);
		break;
	case M_MODIFY_CONNECTION:
		words(p, 4, 0x120 * VMB_PAGE, 0, 0x121 * VMB_PAGE, 0, 0);
		break;
	default:
		break;
	}
}

static bool cut(unsigned type, unsigned variant, struct post *p)
{
	const uint32_t lengths[] = { 0, 7, 8, least[type] - 1u, least_now(type) - 1 };
	unsigned n = 0;

	legal(type, p);
	for (unsigned i = 0; i < 5; i++) {
		bool known = lengths[i] >= least_now(type);

		for (unsigned k = 0; k < i; k++)
			known = known || lengths[k] == lengths[i];
		if (!known && n++ == variant) {
			p->len = lengths[i];
			return true;
		}
	}
	return false;
}

static bool wrong_id(unsigned type, unsigned variant, struct post *p)
{
	static const uint32_t id[] = { 0, 9, 2048, 0xffffffff, 0x10001 };
	static const uint32_t no_version[] = { 0, 0x0e, 0x10000, 0x00020003, 0x00050004, 0x00060001, 0xffffffff };

	if (type == M_CONTACT) {
		if (variant >= 7)
			return false;
		hb_contact_bytes(p->bytes, no_version[variant], 0);
		put32(p->bytes + 20, 0);
		p->len = 40;
		return true;
	}
	if (type == M_BODY) {
		put32(p->bytes + 12, variant < 5 ? id[variant] : SPARE);
		return variant <= 5;
	}
	if (type == M_TEARDOWN && variant >= 5) {
		put32(p->bytes + 8, variant == 5 ? 1 : 2);
		put32(p->bytes + 12, variant == 5 ? 0x55 : SPARE2);
		return variant <= 6;
	}
	if (variant >= 5)
		return false;
	put32(p->bytes + 8, id[variant]);
	return true;
}

/* Rings that break gpadl.md 6, a VP that is none, an event flag that is none. */
static bool bad_open(unsigned variant, struct post *p)
{
	static const struct { uint32_t gpadl, vp, offset, flag; } with[] = {
		{ NO_LIST, 1, 2, 1 }, { 0xe1e12, 1, 2, 1 }, { SPARE, 1, 0, 1 }, { SPARE, 1, 1, 1 }, { SPARE, 1, 3, 1 },
			{ SPARE, 1, 4, 1 },
		{ SPARE, 8, 2, 1 }, { SPARE, 1, 2, 0 }, { SPARE, 1, 2, 2048 },
	};
	unsigned n = scene.features ? 9 : scene.v >= VMB_V2_4 ? 7 : 6;

	if (variant >= n)
		return false;
	put32(p->bytes + 16, with[variant].gpadl);
	put32(p->bytes + 20, with[variant].vp);
	put32(p->bytes + 24, with[variant].offset);
	put32(p->bytes + 152, with[variant].flag);
	return true;
}

static bool bad_header(unsigned variant, struct post *p)
{
	switch (variant) {
	case 0: /* no range */
		header(p, 1, NEW, 16, 0);
		range(p, 20, VMB_PAGE, 0, 0x90, 1);
		return true;
	case 1: /* no whole words */
		header(p, 1, NEW, 12, 1);
		range(p, 20, VMB_PAGE, 0, 0x90, 1);
		return true;
	case 2:
		range(p, 20, 0, 0, 0x90, 1);
		return true;
	case 3:
		range(p, 20, 1, VMB_PAGE, 0x90, 1);
		return true;
	case 4: /* more pages than the list has */
		range(p, 20, 2 * VMB_PAGE, 0, 0x90, 1);
		return true;
	case 5:
		range(p, 20, 0xffffffff, 0, 0x90, 1);
		return true;
	case 6: /* known; the channel has it, or the guest has no channel */
		put32(p->bytes + 12, scene.spare2_gone ? SPARE : SPARE2);
		return true;
	default:
		return false;
	}
}

/* One monitor page of two; pages that no guest has, as far as this host uses them: it does not use the one to the guest (9.4). */
static bool bad_contact(unsigned variant, struct post *p)
{
	static const uint64_t pair[][2] = { { 0x120, 0 }, { 0, 0x121 }, { 0x120, HB_RAM_PAGES } };

	if (variant < 3) {
		put64(p->bytes + 24, pair[variant][0] * VMB_PAGE);
		put64(p->bytes + 32, pair[variant][1] * VMB_PAGE);
		return true;
	}
	if (variant == 3) {
		put64(p->bytes + 24, 0x120 * VMB_PAGE + 8);
		put64(p->bytes + 32, 0x121 * VMB_PAGE);
		return true;
	}
	if (variant > 5 || scene.v >= VMB_V2_4)
		return false;
	put64(p->bytes + 16, variant == 4 ? HB_PAGE_PFN * VMB_PAGE + 1 : (uint64_t)HB_RAM_PAGES * VMB_PAGE);
	return true;
}

static bool bad(unsigned type, unsigned variant, struct post *p)
{
	switch (type) {
	case M_OPEN:
		return bad_open(variant, p);
	case M_HEADER:
		return bad_header(variant, p);
	case M_BODY:
		range(p, 16, 0, 0, 0x99, 1);
		return variant == 0;
	case M_CONTACT:
		return bad_contact(variant, p);
	case M_OPEN_RESERVED:
		put32(p->bytes + (variant ? 24 : 20), variant ? 0 : NO_LIST);
		return variant <= 1;
	case M_TL_CONNECT:
		memset(p->bytes + 24, 0, 16);
		return variant == 0;
	case M_MODIFY:
		put32(p->bytes + 12, variant ? 8 : VMB_VP_NONE);
		return variant <= 1;
	case M_MODIFY_CONNECTION:
		put64(p->bytes + (variant ? 8 : 16), 0);
		return variant <= 1;
	default:
		return false;
	}
}

static bool wrong_direction(unsigned type, unsigned variant, struct post *p)
{
	const uint32_t lengths[] = { from_host[type], 8, from_host[type] - 1u, VMB_MESSAGE_MAX };

	for (uint32_t i = 8; i < VMB_MESSAGE_MAX; i += 4)
		put32(p->bytes + i, 1);
	p->len = lengths[variant & 3];
	return variant < 4;
}

static bool unknown(unsigned variant, struct post *p)
{
	static const uint32_t types[] = { 0, 30, 31, 255, 0x10005, 0xffffffff };

	if (variant >= 6)
		return false;
	put32(p->bytes, types[variant]);
	for (uint32_t i = 8; i < 48; i += 4)
		put32(p->bytes + i, 1);
	p->len = 48;
	return true;
}

bool scene_post(unsigned type, unsigned form, unsigned variant, struct post *p)
{
	uint32_t to;

	legal(type, p);
	switch (form) {
	case LEGAL:
		return variant == 0;
	case LONG:
		to = variant ? VMB_MESSAGE_MAX : p->len + 1;
		memset(p->bytes + p->len, 0xee, to - p->len);
		p->len = to;
		return variant <= 1;
	case SHORT:
		return cut(type, variant, p);
	case WRONG_DIRECTION:
		return wrong_direction(type, variant, p);
	case UNKNOWN:
		return unknown(variant, p);
	case WRONG_ID:
		return wrong_id(type, variant, p);
	case BAD:
		return bad(type, variant, p);
	case PART: /* four pages; none or one of them here */
		header(p, 1, NEW, 40, 1);
		if (variant)
			range(p, 20, 4 * VMB_PAGE, 0, 0x90, 1);
		return variant <= 1;
	case EMPTY:
		p->len = 16;
		return variant == 0;
	case RING:
		put32(p->bytes + 12, hb_ring_id(1));
		return variant == 0;
	default:
		return false;
	}
}
