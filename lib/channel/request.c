/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The table of requests in flight: what is not done once per request. See request.h. ring.md 7 */
#include "channel.h"

void vmbi_requests_carve(struct vmbi_carve *c, uint32_t size, struct vmbi_requests *r)
{
	uint32_t places = 1;

	while (places < size)
		places *= 2;
	r->size = size;
	r->mask = places - 1;
	r->slots = vmbi_carve(c, size, sizeof *r->slots);
	r->free = vmbi_carve(c, size ? places : 0, sizeof *r->free);
}

void vmbi_requests_init(struct vmbi_requests *r)
{
	for (uint32_t i = 0; i < r->size; i++) {
		r->slots[i] = (struct vmbi_request){ .word = VMBI_REQUEST_FREE, .place = i };
		r->free[i] = (uint16_t)i;
	}
	r->out = 0;
	r->sent = 0;
	r->zombies = 0;
	r->buried = 0;
	r->in = r->size;
	r->seen = r->size;
}

int vmbi_request_look(const struct vmbi_requests *r, uint64_t id, uint64_t *user, uint32_t *late)
{
	uint32_t live, word, slot = vmbi_request_find(r, id, &live);

	if (slot == r->size)
		return VMB_ENOENT;
	word = VMBI_LOAD32_ACQUIRE(&r->slots[slot].word);
	if (word != live && word != live - VMBI_REQUEST_LIVE + VMBI_REQUEST_ZOMBIE)
		return VMB_ENOENT;
	*user = r->slots[slot].user;
	*late = word == live ? 0 : VMB_PKT_LATE;
	return VMB_YES;
}

int vmbi_request_cancel(struct vmbi_requests *r, uint64_t id, uint64_t *user)
{
	uint32_t live, slot = vmbi_request_find(r, id, &live);

	if (slot == r->size || !VMBI_SWAP32(&r->slots[slot].word, live, live - VMBI_REQUEST_LIVE + VMBI_REQUEST_ZOMBIE))
		return VMB_ENOENT;
	VMBI_STORE32_RELAXED(&r->zombies, r->zombies + 1);
	if (user)
		*user = r->slots[slot].user;
	return 0;
}

/* Where in the ring is this free slot? Always the hint, until slots have been freed. */
static uint32_t request_place(const struct vmbi_requests *r, uint32_t slot)
{
	uint32_t at = r->slots[slot].place;

	if (at - r->out < r->in - r->out && r->free[at & r->mask] == slot)
		return at;
	for (at = r->out; at != r->in && r->free[at & r->mask] != slot; at++)
		;
	return at;
}

int vmbi_request_adopt(struct vmbi_requests *r, uint64_t id, uint64_t user)
{
	uint32_t live, slot = vmbi_request_find(r, id, &live), at, first;

	if (slot == r->size || VMBI_LOAD32_ACQUIRE(&r->slots[slot].word) & VMBI_REQUEST_STATE)
		return VMB_EINVAL;
	/* Out of the ring of free slots: the first of them takes its place there. */
	at = request_place(r, slot);
	first = r->free[r->out & r->mask];
	r->free[at & r->mask] = (uint16_t)first;
	r->slots[first].place = at;
	r->seen = VMBI_LOAD32_ACQUIRE(&r->in);
	VMBI_STORE32_RELAXED(&r->out, r->out + 1);
	r->slots[slot].user = user;
	VMBI_STORE32_RELEASE(&r->slots[slot].word, live);
	return 0;
}

int vmbi_request_outstanding(const struct vmbi_requests *r, uint32_t *cursor, uint64_t *id, uint64_t *user, uint32_t *flags)
{
	for (uint32_t slot = *cursor; slot < r->size; slot++) {
		uint32_t word = VMBI_LOAD32_ACQUIRE(&r->slots[slot].word);

		if (!(word & VMBI_REQUEST_STATE))
			continue;
		*cursor = slot + 1;
		*id = ((uint64_t)(word >> 2) << 16 | slot) + 1;
		if (user)
			*user = r->slots[slot].user;
		if (flags)
			*flags = word & VMBI_REQUEST_ZOMBIE ? VMB_PKT_LATE : 0;
		return VMB_YES;
	}
	*cursor = r->size;
	return 0;
}

void vmbi_requests_count(const struct vmbi_requests *r, uint32_t *requests, uint32_t *zombies)
{
	uint32_t buried = VMBI_LOAD32_RELAXED(&r->buried), in = VMBI_LOAD32_RELAXED(&r->in);
	uint32_t out = VMBI_LOAD32_RELAXED(&r->out), cancelled = VMBI_LOAD32_RELAXED(&r->zombies);

	*requests = r->size - (in - out);
	if (*requests > r->size) /* the four words are not of one moment */
		*requests = r->size;
	*zombies = cancelled - buried;
	if (*zombies > *requests)
		*zombies = *requests;
}

/* ---- the calls of a channel. They look at the table only, so they are the same in any state of it, also after its end. */

int vmb_channel_cancel(struct vmb_channel *ch, uint64_t id, uint64_t *user)
{
	VMBI_CHANNEL_CHECK(ch, 1);
	return vmbi_request_cancel(&ch->requests, id, user);
}

int vmb_channel_outstanding(const struct vmb_channel *ch, uint32_t *cursor, uint64_t *id, uint64_t *user, uint32_t *flags)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC || !cursor || !id)
		return VMB_EINVAL;
	return vmbi_request_outstanding(&ch->requests, cursor, id, user, flags);
}

int vmb_channel_adopt(struct vmb_channel *ch, uint64_t id, uint64_t user)
{
	if (!ch || ch->magic != VMBI_CHANNEL_MAGIC)
		return VMB_EINVAL;
	return vmbi_request_adopt(&ch->requests, id, user);
}
