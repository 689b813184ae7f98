/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What an offer says of a Hyper-V socket. control-plane.md 15.1, 15.2 */
#include "message.h"
#include "words.h"

/* In user_defined; the pipe type before them is 0, a byte stream. The version is that of RS5. */
#define HVSOCK_AT_ACCEPT 4u
#define HVSOCK_AT_CONTAINER 5u
#define HVSOCK_AT_VERSION 6u
#define HVSOCK_AT_SILO 10u

int vmb_hvsock_offer(const struct vmb_hvsock *socket, struct vmb_offer *offer)
{
	uint8_t *user = offer ? offer->user_defined : NULL;

	if (!socket || !offer || socket->flags >= VMB_HVSOCK_SILO << 1)
		return VMB_EINVAL;
	offer->class_id = socket->service;
	offer->instance = socket->endpoint;
	offer->flags = VMB_OFFER_HVSOCK | VMB_OFFER_PIPE | VMB_OFFER_ENUMERATE;
	VMBI_MEMSET(user, 0, sizeof offer->user_defined);
	user[HVSOCK_AT_ACCEPT] = (socket->flags & VMB_HVSOCK_TO_GUEST) != 0;
	user[HVSOCK_AT_CONTAINER] = (socket->flags & VMB_HVSOCK_CONTAINER) != 0;
	if (socket->flags & VMB_HVSOCK_SILO) {
		user[HVSOCK_AT_VERSION] = 1;
		VMBI_MEMCPY(user + HVSOCK_AT_SILO, &socket->silo, 16);
	}
	return 0;
}

int vmb_hvsock_of(const struct vmb_offer *offer, struct vmb_hvsock *out)
{
	const uint8_t *user = offer ? offer->user_defined : NULL;

	if (!offer || !out)
		return VMB_EINVAL;
	if (!(offer->flags & VMB_OFFER_HVSOCK))
		return VMB_ENOENT;
	out->service = offer->class_id;
	out->endpoint = offer->instance;
	out->reserved = 0;
	out->flags = user[HVSOCK_AT_ACCEPT] ? VMB_HVSOCK_TO_GUEST : 0;
	out->flags |= user[HVSOCK_AT_CONTAINER] ? VMB_HVSOCK_CONTAINER : 0;
	out->flags |= vmbi_get32(user + HVSOCK_AT_VERSION) ? VMB_HVSOCK_SILO : 0;
	VMBI_MEMCPY(&out->silo, user + HVSOCK_AT_SILO, 16);
	return 0;
}

int vmb_hvsock_port(uint32_t port, struct vmb_guid *service)
{
	int r = service ? vmb_guid_parse("00000000-facb-11e6-bd58-64006a7986d3", service) : VMB_EINVAL;

	if (!r)
		vmbi_put32(service->byte, port);
	return r;
}
