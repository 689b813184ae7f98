/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What was said over the wire, and what is owed: each request is answered once, or has lost its sense by a RESCIND or by the end of the
 * connection; an id is given back once, and is not used again before; what frees memory of the guest's is said when the host is off it.
 * control-plane.md 10 to 12, 17, gpadl.md 5. Judged where both ends are what they should be and no post was doubtful.
 */
#include "world.h"
#include "lib/bus/guest.h"

#include <string.h>

static uint32_t wire_word(const uint8_t *msg, uint32_t at)
{
	return vmbi_get32(msg + at);
}

/* What is late is owed all the same. */
static void wire_strict(uint32_t ok, const char *what)
{
	if (!ok && (iv_strict() || (iv.faulted == IV_EARLY && !(iv_scenario->flags & IV_LOSSY))))
		iv_fail(what);
}

static struct iv_list *wire_list(uint32_t id)
{
	for (uint32_t i = 0; i < IV_LISTS; i++)
		if (iv.wire.list[i].id == id)
			return &iv.wire.list[i];
	return NULL;
}

static uint32_t wire_id(const uint8_t *msg)
{
	uint32_t id = wire_word(msg, 8);

	if (id >= IV_IDS) {
		wire_strict(0, "an id that is nobody's");
		return 0;
	}
	return id;
}

/* ---- what the guest says */

static void sent_release(uint32_t id, int arrived)
{
	if (iv_peer_is_sane() && iv.wire.id[id].released && iv.wire.id[id].released == iv.wire.id[id].epoch)
		iv_fail("REL_ID_RELEASED a second time");
	if (iv_peer_is_sane() && iv.wire.id[id].may_release != iv.wire.id[id].epoch)
		iv_fail("REL_ID_RELEASED, and nobody has released it");
	if (arrived)
		iv.wire.id[id].released = iv.wire.id[id].epoch;
}

void iv_wire_sent(const uint8_t *msg, uint32_t len, int arrived)
{
	uint32_t type = wire_word(msg, 0), id;

	(void)len;
	switch (type) {
	case VMBI_MSG_REL_ID_RELEASED:
		sent_release(wire_id(msg), arrived);
		break;
	case VMBI_MSG_OPEN_CHANNEL:
	case VMBI_MSG_CLOSE_CHANNEL:
	case VMBI_MSG_MODIFY_CHANNEL:
	case VMBI_MSG_GPADL_HEADER:
	case VMBI_MSG_GPADL_TEARDOWN:
		id = wire_id(msg);
		wire_strict(iv.wire.id[id].epoch && iv.wire.id[id].released != iv.wire.id[id].epoch,
			    "the guest names a channel that it has released");
		break;
	case VMBI_MSG_UNLOAD:
	case VMBI_MSG_INITIATE_CONTACT:
		for (id = 0; id < IV_IDS; id++)
			iv.wire.id[id].released = iv.wire.id[id].may_release = iv.wire.id[id].epoch;
		break;
	}
}

/* A new guest knows nothing of the old one's. */
void iv_wire_reboot(void)
{
	for (uint32_t id = 0; id < IV_IDS; id++)
		iv.wire.id[id].epoch = iv.wire.id[id].released = iv.wire.id[id].may_release = 0;
}

/* ---- what the host takes */

static void taken_header(const uint8_t *msg, uint32_t len)
{
	struct iv_list *list = wire_list(0);

	if (!list) {
		wire_strict(0, "the bench has too few lists");
		return;
	}
	*list = (struct iv_list){ .id = wire_word(msg, 12), .channel = wire_id(msg), .page = wire_word(msg, 28),
				  .words = (wire_word(msg, 16) & 0xffff) / 8, .got = (len - 20) / 8 };
	list->created_due = list->got >= list->words;
}

static void taken_body(const uint8_t *msg, uint32_t len)
{
	struct iv_list *list = wire_list(wire_word(msg, 12));

	if (!list)
		return;
	list->got += (len - 16) / 8;
	list->created_due = list->got >= list->words;
}

/* All that the connection owed is owed no more. */
static void taken_end(void)
{
	memset(iv.wire.list, 0, sizeof iv.wire.list);
	for (uint32_t id = 0; id < IV_IDS; id++)
		iv.wire.id[id].offered = iv.wire.id[id].rescinded = iv.wire.id[id].open_due = iv.wire.id[id].open_id = iv.wire.id[id].modify_due = 0;
	iv.wire.contact_due = iv.wire.unload_due = iv.wire.offers_due = iv.wire.pause_due = iv.wire.monitor_due = 0;
}

static void taken_release(uint32_t id)
{
	iv.wire.id[id].offered = iv.wire.id[id].rescinded = iv.wire.id[id].open_due = iv.wire.id[id].open_id = 0;
	for (uint32_t i = 0; i < IV_LISTS; i++)
		if (iv.wire.list[i].channel == id)
			memset(&iv.wire.list[i], 0, sizeof iv.wire.list[i]);
}

static void taken_of_channel(uint32_t type, const uint8_t *msg)
{
	uint32_t id = wire_id(msg);
	struct iv_list *list;

	if (type == VMBI_MSG_OPEN_CHANNEL && iv.wire.id[id].offered && !iv.wire.id[id].rescinded) {
		iv.wire.id[id].open_due = 1;
		iv.wire.id[id].open_id = wire_word(msg, 12);
	} else if (type == VMBI_MSG_MODIFY_CHANNEL && iv_scenario->version >= VMB_V5_3) {
		iv.wire.id[id].modify_due = 1;
	} else if (type == VMBI_MSG_GPADL_TEARDOWN) {
		list = wire_list(wire_word(msg, 12));
		if (list && list->there)
			list->torn_due = 1;
	} else if (type == VMBI_MSG_REL_ID_RELEASED) {
		taken_release(id);
	}
}

void iv_wire_taken(const uint8_t *msg, uint32_t len)
{
	uint32_t type = wire_word(msg, 0);

	switch (type) {
	case VMBI_MSG_INITIATE_CONTACT:
		taken_end();
		iv.wire.contact_due = 1;
		break;
	case VMBI_MSG_UNLOAD:
		taken_end();
		iv.wire.unload_due = 1;
		break;
	case VMBI_MSG_REQUEST_OFFERS:
		iv.wire.offers_due = 1;
		break;
	case VMBI_MSG_PAUSE:
		iv.wire.pause_due = 1;
		break;
	case VMBI_MSG_MODIFY_CONNECTION:
		iv.wire.monitor_due = 1;
		break;
	case VMBI_MSG_GPADL_HEADER:
		taken_header(msg, len);
		break;
	case VMBI_MSG_GPADL_BODY:
		taken_body(msg, len);
		break;
	case VMBI_MSG_OPEN_CHANNEL:
	case VMBI_MSG_MODIFY_CHANNEL:
	case VMBI_MSG_GPADL_TEARDOWN:
	case VMBI_MSG_REL_ID_RELEASED:
		taken_of_channel(type, msg);
		break;
	}
}

/* ---- what the host says */

/* Has the host something of this list's memory? */
static int told_is_used(const struct iv_list *list)
{
	uint32_t pages = list->words > 8 ? (uint32_t)IV_LIST_PAGES : list->words - 1;

	for (uint32_t i = list->page; i < list->page + pages && i < IV_PAGES; i++)
		if (iv.mapped[i] || iv.held[i])
			return 1;
	return 0;
}

static void told_all_off(uint32_t channel, const char *what)
{
	for (uint32_t i = 0; i < IV_LISTS; i++)
		if (iv.wire.list[i].id && iv.wire.list[i].channel == channel && told_is_used(&iv.wire.list[i]) && iv_peer_is_sane())
			iv_fail(what);
}

static void told_everything_off(const char *what)
{
	for (uint32_t i = 0; i < IV_PAGES; i++)
		if ((iv.mapped[i] || iv.held[i]) && iv.lent[i] != IV_LENT_FOR_GOOD && iv_peer_is_sane())
			iv_fail(what);
}

static void told_torndown(struct iv_list *list)
{
	if (!list || !list->torn_due) { /* after a leak was told, the channel may have been released before the answer */
		iv_must(!iv_strict(), "TORNDOWN for no TEARDOWN");
		return;
	}
	if (told_is_used(list) && iv_peer_is_sane())
		iv_fail("TORNDOWN, and the host is not off the memory");
	memset(list, 0, sizeof *list);
}

static void told_created(struct iv_list *list, const uint8_t *msg)
{
	wire_strict(list && list->created_due && list->channel == wire_word(msg, 8), "GPADL_CREATED for no list");
	if (!list)
		return;
	list->created_due = 0;
	list->there = !wire_word(msg, 16);
	if (!list->there)
		memset(list, 0, sizeof *list);
}

static void told_rescind(uint32_t id)
{
	wire_strict(iv.wire.id[id].offered && !iv.wire.id[id].rescinded, "RESCIND of what is not offered");
	told_all_off(id, "RESCIND, and the host is not off the memory");
	iv.wire.id[id].rescinded = 1;
	iv.wire.id[id].open_due = iv.wire.id[id].open_id = 0;
}

void iv_wire_told(const uint8_t *msg, uint32_t len)
{
	uint32_t type = wire_word(msg, 0), id;

	switch (type) {
	case VMBI_MSG_OFFER_CHANNEL:
		id = wire_word(msg, VMBI_AT(OFFER_CHANNEL, channel_id)) % IV_IDS;
		wire_strict(!iv.wire.id[id].offered, "an id is offered that the guest has not released");
		iv.wire.id[id].offered = 1;
		iv.wire.id[id].rescinded = 0;
		break;
	case VMBI_MSG_RESCIND_CHANNEL_OFFER:
		told_rescind(wire_id(msg));
		break;
	case VMBI_MSG_ALL_OFFERS_DELIVERED:
		wire_strict(iv.wire.offers_due, "ALL_OFFERS_DELIVERED for nothing");
		iv.wire.offers_due = 0;
		break;
	case VMBI_MSG_OPEN_CHANNEL_RESULT:
		id = wire_id(msg);
		wire_strict(iv.wire.id[id].open_due && iv.wire.id[id].open_id == wire_word(msg, 12), "OPEN_CHANNEL_RESULT for no OPEN");
		iv.wire.id[id].open_due = iv.wire.id[id].open_id = 0;
		break;
	case VMBI_MSG_GPADL_CREATED:
		told_created(wire_list(wire_word(msg, 12)), msg);
		break;
	case VMBI_MSG_GPADL_TORNDOWN:
		told_torndown(wire_list(wire_word(msg, 8)));
		break;
	case VMBI_MSG_MODIFY_CHANNEL_RESPONSE:
		id = wire_id(msg);
		wire_strict(iv.wire.id[id].modify_due, "MODIFY_CHANNEL_RESPONSE for nothing");
		iv.wire.id[id].modify_due = 0;
		break;
	case VMBI_MSG_VERSION_RESPONSE:
		wire_strict(iv.wire.contact_due, "VERSION_RESPONSE for nothing");
		told_everything_off("a new contact is answered, and the host is not off the old one's memory");
		iv.wire.contact_due = 0;
		break;
	case VMBI_MSG_UNLOAD_COMPLETE:
		wire_strict(iv.wire.unload_due, "UNLOAD_COMPLETE for nothing");
		told_everything_off("UNLOAD_COMPLETE, and the host is not off the memory");
		iv.wire.unload_due = 0;
		break;
	case VMBI_MSG_PAUSE_RESPONSE:
		wire_strict(iv.wire.pause_due, "PAUSE_RESPONSE for nothing");
		iv.wire.pause_due = 0;
		break;
	case VMBI_MSG_MODIFY_CONNECTION_RESPONSE:
		wire_strict(iv.wire.monitor_due, "MODIFY_CONNECTION_RESPONSE for nothing");
		iv.wire.monitor_due = 0;
		break;
	}
	(void)len;
}

/* ---- what the guest reads */

static uint32_t read_generation(uint32_t id)
{
	struct vmbi_gc *c = vmbi_guest_by_id(iv.g, id);

	return c ? (vmbi_gc_slot(iv.g, c) << 16) + c->generation : 0;
}

/* Before the guest reads it: which channel has the id of an offer? That may be declined at once, and what nobody has seen is given back
 * as soon as it is rescinded. */
uint32_t iv_wire_reads(const uint8_t *msg)
{
	uint32_t type = wire_word(msg, 0), id;
	int listens = iv.g->state == VMB_BUS_CONNECTED || iv.g->state == VMB_BUS_RUNNING;
	struct vmbi_gc *c;

	if (type == VMBI_MSG_OFFER_CHANNEL && listens) {
		id = wire_word(msg, VMBI_AT(OFFER_CHANNEL, channel_id)) % IV_IDS;
		iv.wire.id[id].may_release = ++iv.wire.id[id].epoch;
		return read_generation(id);
	}
	if (type == VMBI_MSG_RESCIND_CHANNEL_OFFER) {
		c = vmbi_guest_by_id(iv.g, wire_word(msg, 8));
		id = wire_id(msg);
		if (c && !(c->flags & VMBI_GC_SEEN))
			iv.wire.id[id].may_release = iv.wire.id[id].epoch;
	}
	return UINT32_MAX;
}

/* And after. */
void iv_wire_read(const uint8_t *msg, uint32_t before)
{
	uint32_t id = wire_word(msg, VMBI_AT(OFFER_CHANNEL, channel_id)) % IV_IDS, after;

	if (before == UINT32_MAX)
		return;
	after = read_generation(id);
	if (after)
		iv.wire.id[id].may_release--;
	if (after && after == before && iv_peer_is_sane() && iv.faulted != IV_EARLY)
		iv_fail("an offer is lost");
}

/* ---- when nothing happens any more */

void iv_wire_judge_end(void)
{
	for (uint32_t id = 0; id < IV_IDS; id++) {
		wire_strict(!iv.wire.id[id].open_due, "an OPEN is not answered");
		wire_strict(!iv.wire.id[id].modify_due, "a MODIFY_CHANNEL is not answered");
	}
	for (uint32_t i = 0; i < IV_LISTS; i++)
		wire_strict(!iv.wire.list[i].created_due && !iv.wire.list[i].torn_due, "a GPADL message is not answered");
	wire_strict(!iv.wire.contact_due, "a contact is not answered");
	wire_strict(!iv.wire.unload_due, "UNLOAD is not answered");
	wire_strict(!iv.wire.offers_due, "REQUEST_OFFERS is not answered");
	wire_strict(!iv.wire.pause_due, "PAUSE is not answered");
	wire_strict(!iv.wire.monitor_due, "MODIFY_CONNECTION is not answered");
}
