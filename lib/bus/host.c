/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The host end as an object: its storage, init and end, the frame of every [control] call, and looking at it. */
#include "host.h"

#define HOST_COUNT_MAX 0x1000000u /* of what a config may ask for */

static uint32_t host_default(uint32_t value, uint32_t otherwise)
{
	return value ? value : otherwise;
}

/* What may be granted, and what that needs. control-plane.md 3.1 */
static int host_features(struct vmb_host_config *c)
{
	uint32_t possible = VMB_FEATURES_DEFAULT | VMB_FEATURE_PINNING;

	if (!c->monitor_gpa[1] != !c->monitor_page[1] || !c->monitor_gpa[0] != !c->monitor_page[0] ||
	    (c->monitor_gpa[0] && !c->monitor_gpa[1]) || (c->monitor_gpa[0] | c->monitor_gpa[1]) % VMB_PAGE)
		return VMB_EINVAL;
	if (c->monitor_gpa[1] && c->flags & VMB_HOST_MONITOR)
		possible |= VMB_FEATURE_SERVER_MONITOR;
	if (c->flags & VMB_HOST_TRUSTED)
		possible |= VMB_FEATURE_CONFIDENTIAL;
	if (!c->features)
		c->features = possible & ~VMB_FEATURE_PINNING;
	else if (c->features == VMB_FEATURE_NONE)
		c->features = 0;
	return c->features & ~possible ? VMB_EINVAL : 0;
}

/* Take a config in and fill its defaults. */
static int host_config(struct vmb_host_config *c, const struct vmb_host_config *from)
{
	int r;

	if (!from)
		return VMB_EINVAL;
	r = vmbi_struct_in(c, sizeof *c, from, offsetof(struct vmb_host_config, signal_budget));
	if (r)
		return r;
	c->first_channel_id = host_default(c->first_channel_id, 1);
	c->max_channels = host_default(c->max_channels, 64);
	c->max_gpadls = host_default(c->max_gpadls, 256);
	c->max_gpadl_pages = host_default(c->max_gpadl_pages, 65536);
	c->max_gpadls_building = host_default(c->max_gpadls_building, c->max_gpadls < 64 ? c->max_gpadls : 64);
	c->max_messages = host_default(c->max_messages, c->max_channels + 64);
	c->monitor_latency = host_default(c->monitor_latency, 1000);
	c->hvsock_ms = host_default(c->hvsock_ms, 5000);
	c->signal_budget = host_default(c->signal_budget, VMB_SIGNAL_BUDGET);
	c->signal_ms = host_default(c->signal_ms, VMBI_SIGNAL_MS);
	if (!c->message || !c->interrupt || !c->wake || !c->map != !c->unmap || c->reserved)
		return VMB_EINVAL;
	if (c->flags & ~(VMB_HOST_MONITOR | VMB_HOST_REDIRECT | VMB_HOST_TRUSTED) || c->vtl > 15 || c->monitor_latency > 0xffff)
		return VMB_EINVAL;
	r = host_features(c);
	if (r)
		return r;
	if (c->max_version && !vmbi_version_known(c->max_version))
		return VMB_EINVAL;
	if (c->max_channels > VMBI_MAX_CHANNEL_ID || c->first_channel_id > VMBI_MAX_CHANNEL_ID + 1 - c->max_channels)
		return VMB_EINVAL;
	if (c->max_hvsock > HOST_COUNT_MAX || c->max_gpadls > HOST_COUNT_MAX ||
	    c->max_gpadl_pages > 16 * HOST_COUNT_MAX || c->max_messages > HOST_COUNT_MAX)
		return VMB_EINVAL;
	return c->max_gpadls_building > c->max_gpadls ? VMB_EINVAL : 0;
}

static struct vmbi_gpadl_limits host_limits(const struct vmb_host_config *c)
{
	return (struct vmbi_gpadl_limits){ c->max_gpadls, c->max_gpadls_building, c->max_gpadl_pages, c->max_channels };
}

/*
 * How many replies there can be. A message is taken only while fewer than max_messages are queued, so at most that many replies
 * are there right after it. What it leaves open is answered later whatever the queue holds: one TORNDOWN for each GPADL, and
 * for each channel one OPEN_RESULT or one MODIFY_CHANNEL_RESPONSE, which cannot be due both, and one
 * MODIFY_CONNECTION_RESPONSE. So none is ever lost. Connects have nodes of their own.
 * control-plane.md 1.4
 */
static uint32_t host_replies(const struct vmb_host_config *c)
{
	return c->max_messages + c->max_gpadls + c->max_channels + 1;
}

/* Records of connects: four more than may wait for an answer, for refusals that wait for the slot. */
static uint32_t host_connects(const struct vmb_host_config *c)
{
	return c->max_hvsock + 4;
}

/* Entries of a hash table: a power of two, more than n. */
static uint32_t host_table(uint32_t n)
{
	uint32_t entries = 4;

	while (entries <= n)
		entries *= 2;
	return entries;
}

/* Of chosen connection ids: half of it is always free. */
static uint32_t host_ports(const struct vmb_host_config *c)
{
	return host_table(2 * c->max_channels);
}

/* The one layout, used to compute (base NULL) and to carve. */
static void host_carve(struct vmbi_carve *carve, const struct vmb_host_config *c, struct vmb_host **out)
{
	struct vmbi_gpadl_limits limits = host_limits(c);
	uint64_t slots = (uint64_t)c->max_channels + 1, replies = (uint64_t)host_replies(c) + 1;
	uint64_t connects = (uint64_t)host_connects(c) + 1;
	struct vmb_host *h = vmbi_carve(carve, 1, sizeof *h);
	uint64_t first = carve->used;
	uint64_t devices = host_table(c->max_channels);
	uint32_t *route = vmbi_carve(carve, VMBI_HOST_IDS + host_ports(c) + devices + slots, sizeof *route); /* and three more tables */
	struct vmbi_hc *ch = vmbi_carve(carve, slots, sizeof *ch);
	struct vmbi_link *out_links = vmbi_carve(carve, slots + connects + replies, sizeof *out_links);
	struct vmbi_link *event_links = vmbi_carve(carve, slots + c->max_gpadls + connects + 1, sizeof *event_links);
	struct vmbi_link *wait_links = vmbi_carve(carve, slots, sizeof *wait_links);
	struct vmbi_link *timed_links = vmbi_carve(carve, slots, sizeof *timed_links);
	struct vmbi_host_connect *connect = vmbi_carve(carve, connects, sizeof *connect);
	struct vmbi_host_reply *reply = vmbi_carve(carve, replies, sizeof *reply);
	struct vmbi_host_gpadl *gpadl = vmbi_carve(carve, (uint64_t)c->max_gpadls + 1, sizeof *gpadl);
	uint64_t after = carve->used;
	struct vmbi_gpadl_store *store = vmbi_gpadls_carve(carve, &limits);

	if (!h)
		return;
	VMBI_MEMSET(h, 0, sizeof *h);
	VMBI_MEMSET(carve->base + (size_t)first, 0, (size_t)(after - first));
	h->route = route;
	h->ports = h->route + VMBI_HOST_IDS;
	h->port_mask = host_ports(c) - 1;
	h->devices = h->ports + host_ports(c);
	h->device_mask = (uint32_t)devices - 1;
	h->sorted = h->devices + devices;
	h->ch = ch;
	h->out_links = out_links;
	h->event_links = event_links;
	h->wait_links = wait_links;
	h->timed_links = timed_links;
	h->connect = connect;
	h->reply = reply;
	h->gpadl = gpadl;
	h->store = store;
	vmbi_gpadls_init(store, &limits);
	*out = h;
}

int vmb_host_storage(const struct vmb_host_config *cfg, struct vmb_storage *need)
{
	struct vmbi_carve carve = { NULL, 0 };
	struct vmb_host_config c;
	int r = host_config(&c, cfg);

	if (r)
		return r;
	if (!need)
		return VMB_EINVAL;
	host_carve(&carve, &c, NULL);
	return vmbi_carve_end(&carve, need);
}

static void host_slots(struct vmb_host *h)
{
	for (uint32_t i = h->slots; i; i--) {
		struct vmbi_hc *c = &h->ch[i];

		vmbi_gate_init(&c->gate);
		c->host = h;
		c->slot = i;
		c->generation = 1;
		c->next_free = h->free_slot;
		h->free_slot = i;
	}
}

int vmb_host_init(void *mem, size_t bytes, const struct vmb_host_config *cfg, struct vmb_host **host)
{
	struct vmbi_carve carve = { NULL, 0 };
	struct vmb_host_config c;
	struct vmb_storage need;
	struct vmb_host *h;
	int r = host_config(&c, cfg);

	if (r)
		return r;
	if (!host)
		return VMB_EINVAL;
	host_carve(&carve, &c, NULL);
	r = vmbi_carve_end(&carve, &need);
	if (!r)
		r = vmbi_storage_fits(mem, bytes, &need);
	if (r)
		return r;
	carve = (struct vmbi_carve){ mem, 0 };
	host_carve(&carve, &c, &h);
	h->cfg = c;
	h->slots = c.max_channels;
	h->gpadls = c.max_gpadls;
	h->replies = host_replies(&c);
	h->connects = host_connects(&c);
	h->lowest_id = c.first_channel_id;
	vmbi_gate_init(&h->page_gate);
	vmbi_gate_init(&h->monitor.gate);
	host_slots(h);
	vmbi_hq_init(h);
	vmbi_hvsock_init(h);
	*host = h;
	return 0;
}

int vmb_host_end(struct vmb_host *h)
{
	int r = vmbi_host_enter(h);

	if (r)
		return r;
	if (h->serving) {
		r = VMB_ESTATE;
	} else { /* the vCPUs have been stopped */
		(void)vmbi_gate_close(&h->page_gate);
		(void)vmbi_gate_close(&h->monitor.gate);
		vmbi_host_unuse_page(h);
		vmbi_monitor_unuse(h);
	}
	vmbi_guard_leave(&h->guard);
	return r;
}

int vmbi_host_enter(struct vmb_host *h)
{
	return h ? vmbi_guard_enter(&h->guard) : VMB_EINVAL;
}

void vmbi_host_leave(struct vmb_host *h)
{
	vmbi_host_settle(h);
	vmbi_hq_pump(h);
	if (h->poke) {
		h->poke = 0;
		VMBI_POKE(&h->cfg);
	}
	vmbi_guard_leave(&h->guard);
}

struct vmbi_hc *vmbi_host_find(struct vmb_host *h, vmb_handle ch)
{
	uint32_t slot = vmbi_handle_slot(ch);
	struct vmbi_hc *c;

	if (slot > h->slots)
		return NULL;
	c = &h->ch[slot];
	return c->state != VMBI_HC_FREE && c->generation == vmbi_handle_generation(ch) ? c : NULL;
}

struct vmbi_hc *vmbi_host_named(struct vmb_host *h, uint32_t id)
{
	uint32_t route = id < VMBI_HOST_IDS ? h->route[id] : 0;

	return route & VMBI_HOST_KNOWN ? &h->ch[route & ~VMBI_HOST_KNOWN] : NULL;
}

struct vmbi_hc *vmbi_host_known(struct vmb_host *h, uint32_t id)
{
	struct vmbi_hc *c = vmbi_host_named(h, id);

	return c && vmbi_hc_is_told(h, c) ? c : NULL;
}

int vmb_host_info(struct vmb_host *h, struct vmb_bus_info *out)
{
	struct vmb_bus_info i;
	int r = out ? vmbi_host_enter(h) : VMB_EINVAL;

	if (r)
		return r;
	VMBI_MEMSET(&i, 0, sizeof i);
	i.state = h->state;
	i.version = h->version;
	i.features = h->features;
	i.channels = h->offers;
	i.attached = h->attached;
	vmbi_gpadls_count(h->store, &i.gpadls, &i.gpadl_pages);
	i.message_vp = h->message_vp;
	i.queued = h->queued;
	i.queued_most = h->out.most;
	i.events = h->events.count;
	i.events_most = h->events.most;
	i.messages_in = h->messages_in;
	i.messages_out = h->messages_out;
	i.dropped = h->dropped;
	i.refused_quota = h->refused_quota;
	i.post_retries = h->post_retries;
	i.stray_events = VMBI_LOAD32_RELAXED(&h->stray);
	i.late_answers = h->late_answers;
	i.monitor_gpa[0] = h->monitor.gpa[0];
	i.monitor_gpa[1] = h->monitor.gpa[1];
	i.client_id = h->client_id;
	i.paused = h->paused;
	i.trusted = h->trusted;
	i.post_failed = h->post_failed;
	i.over_budget = h->over_budget;
	VMBI_MEMCPY(i.fate, h->fates, sizeof i.fate);
	r = vmbi_struct_out(out, &i, sizeof i, offsetof(struct vmb_bus_info, fate));
	vmbi_guard_leave(&h->guard);
	return r;
}
