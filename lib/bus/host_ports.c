/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Connection ids that guests choose for their signals (6.0, feature 0x01): a hash table of slots, open addressing, written by control and
 * read from any thread. An entry is a slot, whose connection id does not change while the entry stands. One that is taken out leaves a mark
 * behind, so that no search ends early; marks are used again, and go when a connection ends. So a guest that changes its ids all the time
 * makes its own signals slower, up to one look at each entry. control-plane.md 9.1, 20.1
 */
#include "host.h"

#define PORTS_MARK 0xffffffffu

static uint32_t ports_hash(const struct vmb_host *h, uint32_t connection)
{
	return (connection * 0x9e3779b1u >> 16) & h->port_mask;
}

/* 24 bits; none of the ports for messages and the monitor; no id that is offered with another channel. */
int vmbi_ports_may(const struct vmb_host *h, const struct vmbi_hc *c, uint32_t connection)
{
	uint32_t entry;

	if (connection >> 24 || connection <= VMBI_CONNECTION_MULTICLIENT || connection == VMBI_CONNECTION_REDIRECTED)
		return 0;
	if ((connection & ~VMBI_MAX_CHANNEL_ID) == vmbi_host_event_base(h))
		return connection == vmbi_host_connection(h, c);
	for (uint32_t n = 0, i = ports_hash(h, connection); n <= h->port_mask; n++, i = (i + 1) & h->port_mask) {
		entry = h->ports[i];
		if (!entry)
			break;
		if (entry != PORTS_MARK && entry != c->slot && h->ch[entry].connection == connection)
			return 0;
	}
	return 1;
}

/* There are twice as many entries as slots: one is free. */
void vmbi_ports_add(struct vmb_host *h, struct vmbi_hc *c, uint32_t connection)
{
	uint32_t i = ports_hash(h, connection);

	if (connection == vmbi_host_connection(h, c))
		return;
	while (h->ports[i] && h->ports[i] != PORTS_MARK)
		i = (i + 1) & h->port_mask;
	VMBI_STORE32_RELAXED(&c->connection, connection);
	VMBI_STORE32_RELEASE(&h->ports[i], c->slot);
}

void vmbi_ports_remove(struct vmb_host *h, struct vmbi_hc *c)
{
	uint32_t i = ports_hash(h, c->connection);

	if (!c->connection)
		return;
	while (h->ports[i] != c->slot)
		i = (i + 1) & h->port_mask;
	VMBI_STORE32_RELEASE(&h->ports[i], PORTS_MARK);
	VMBI_STORE32_RELAXED(&c->connection, 0u);
}

void vmbi_ports_clear(struct vmb_host *h)
{
	for (uint32_t i = 0; i <= h->port_mask; i++)
		if (h->ports[i] == PORTS_MARK)
			VMBI_STORE32_RELAXED(&h->ports[i], 0u);
}

int vmbi_ports_signal(struct vmb_host *h, uint32_t connection)
{
	for (uint32_t n = 0, i = ports_hash(h, connection); n <= h->port_mask; n++, i = (i + 1) & h->port_mask) {
		uint32_t entry = VMBI_LOAD32_ACQUIRE(&h->ports[i]);

		if (!entry)
			return 0;
		if (entry == PORTS_MARK || VMBI_LOAD32_RELAXED(&h->ch[entry].connection) != connection)
			continue;
		vmbi_host_wake(h, entry, &h->ch[entry].connection, connection);
		return 1;
	}
	return 0;
}
