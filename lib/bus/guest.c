/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The guest end as an object: its config, its storage, its beginning and end, and the frame around every [control] call. */
#include "guest.h"

#define GUEST_CHANNELS 64u
#define GUEST_GPADL_PAGES 8190u
#define GUEST_PAGES_MAX 0x1000000u /* of lists being announced at once: 64 GiB of memory */
#define GUEST_IDS 2048u

/* ---- config */

int vmbi_guest_check_monitor(const uint64_t gpa[2], void *const page[2])
{
	int pages = !!gpa[0] + !!gpa[1] + !!page[0] + !!page[1];

	if (pages != 0 && pages != 4)
		return VMB_EINVAL;
	return (gpa[0] | gpa[1]) % VMB_PAGE || ((uintptr_t)page[0] | (uintptr_t)page[1]) % VMB_PAGE ? VMB_EINVAL : 0;
}

static int guest_check_pages(const struct vmb_guest_config *cfg)
{
	if (!cfg->interrupt_gpa != !cfg->interrupt_page || cfg->interrupt_gpa % VMB_PAGE || (uintptr_t)cfg->interrupt_page % VMB_PAGE)
		return VMB_EINVAL;
	return vmbi_guest_check_monitor(cfg->monitor_gpa, cfg->monitor_page);
}

/* control-plane.md 3.1 */
static int guest_check_features(const struct vmb_guest_config *cfg)
{
	if (cfg->features >= VMB_FEATURE_PINNING << 1 || cfg->vtl > 15)
		return VMB_EINVAL;
	return cfg->features & VMB_FEATURE_SERVER_MONITOR && !cfg->monitor ? VMB_EINVAL : 0;
}

static int guest_check_versions(struct vmb_guest_config *cfg)
{
	if ((cfg->min_version && !vmbi_version_known(cfg->min_version)) ||
	    (cfg->max_version && !vmbi_version_known(cfg->max_version)))
		return VMB_EINVAL;
	if (!cfg->max_version)
		cfg->max_version = VMB_V6_0;
	return vmbi_guest_version_below(cfg, UINT32_MAX) ? 0 : VMB_EINVAL;
}

static int guest_config(struct vmb_guest_config *to, const struct vmb_guest_config *from)
{
	int r;

	if (!from)
		return VMB_EINVAL;
	r = vmbi_struct_in(to, sizeof *to, from, offsetof(struct vmb_guest_config, signal_budget));
	if (r < 0)
		return r;
	if (!to->sint)
		to->sint = VMBI_SINT;
	if (!to->signal_budget)
		to->signal_budget = VMB_SIGNAL_BUDGET;
	if (!to->signal_ms)
		to->signal_ms = VMBI_SIGNAL_MS;
	if (!to->max_channels)
		to->max_channels = GUEST_CHANNELS;
	if (to->flags || to->sint > 15 || to->max_channels > VMBI_MAX_CHANNEL_ID || !to->post || !to->signal)
		return VMB_EINVAL;
	if (!to->max_gpadls)
		to->max_gpadls = 2 * to->max_channels;
	if (!to->max_gpadl_pages)
		to->max_gpadl_pages = GUEST_GPADL_PAGES;
	if (to->max_gpadls > VMBI_GUEST_MAX_GPADLS || to->max_gpadl_pages > GUEST_PAGES_MAX || to->max_hvsock > VMBI_GUEST_MAX_GPADLS ||
	    to->reserved)
		return VMB_EINVAL;
	r = guest_check_features(to);
	if (r >= 0)
		r = guest_check_pages(to);
	return r < 0 ? r : guest_check_versions(to);
}

/* ---- storage */

/* A power of two, at least twice as many. */
static uint32_t guest_map_size(uint32_t gpadls)
{
	uint32_t n = 4;

	while (n < 2 * gpadls)
		n *= 2;
	return n;
}

static uint32_t guest_map_bits(const struct vmb_guest_config *cfg)
{
	return cfg->max_channels < 256 ? 8 : 16;
}

/* The one place that knows what the storage is made of. base NULL: only computing. In the arena each list has one word of its own
 * beside its pages; further range words count as pages. */
static struct vmb_guest *guest_carve(struct vmbi_carve *c, const struct vmb_guest_config *cfg)
{
	struct vmb_guest *g = vmbi_carve(c, 1, sizeof *g);
	uint32_t posts = cfg->max_channels + 3 + cfg->max_gpadls + cfg->max_hvsock + 1, events = posts + cfg->max_channels;
	uint32_t arena = cfg->max_gpadl_pages + cfg->max_gpadls;
	void *part;

#define GUEST_PART(member, count) \
	part = vmbi_carve(c, (count), sizeof *g->member); \
	if (g) \
		g->member = part
	GUEST_PART(channels, cfg->max_channels + 1);
	GUEST_PART(gpadls, cfg->max_gpadls + 1);
	GUEST_PART(connects, cfg->max_hvsock + 1);
	GUEST_PART(ids, GUEST_IDS * guest_map_bits(cfg) / 32);
	GUEST_PART(event_slots, GUEST_IDS * guest_map_bits(cfg) / 32);
	GUEST_PART(declined, VMBI_FLAG_WORDS);
	GUEST_PART(device_keys, cfg->max_channels + 1);
	GUEST_PART(device_next, cfg->max_channels + 1);
	GUEST_PART(devices, guest_map_size(cfg->max_channels) / 2);
	GUEST_PART(gone, cfg->max_channels);
	GUEST_PART(gpadl_map, guest_map_size(cfg->max_gpadls));
	GUEST_PART(post_links, posts);
	GUEST_PART(wait_links, posts);
	GUEST_PART(event_links, events);
	GUEST_PART(drain_links, cfg->max_channels + 1);
	GUEST_PART(arena_links, cfg->max_gpadls + 1);
	GUEST_PART(deadlines, posts);
	GUEST_PART(marks, events);
	GUEST_PART(arena, arena);
#undef GUEST_PART
	if (g)
		g->arena_words = arena;
	return g;
}

static int guest_need(const struct vmb_guest_config *cfg, struct vmb_storage *need)
{
	struct vmbi_carve c = { NULL, 0 };

	(void)guest_carve(&c, cfg);
	return vmbi_carve_end(&c, need);
}

int vmb_guest_storage(const struct vmb_guest_config *cfg, struct vmb_storage *need)
{
	struct vmb_guest_config own;
	int r = need ? guest_config(&own, cfg) : VMB_EINVAL;

	return r < 0 ? r : guest_need(&own, need);
}

/* Its memory is all 0, but for the pointers into it. */
static void guest_begin(struct vmb_guest *g, const struct vmb_guest_config *own)
{
	g->cfg = *own;
	g->next_gpadl = VMBI_GUEST_FIRST_GPADL;
	g->map_bits = guest_map_bits(own);
	g->gpadl_mask = guest_map_size(own->max_gpadls) - 1;
	g->device_mask = guest_map_size(own->max_channels) / 2 - 1;
	for (uint32_t i = 1; i <= own->max_channels; i++) {
		g->channels[i].guest = g;
		g->channels[i].next = i < own->max_channels ? i + 1 : 0;
		vmbi_gate_init(&g->channels[i].gate);
	}
	g->free_slot = 1;
	g->last_free_slot = own->max_channels;
	for (uint32_t i = 1; i <= own->max_gpadls; i++)
		g->gpadls[i].next = i < own->max_gpadls ? i + 1 : 0;
	g->free_gpadl = 1;
	for (uint32_t i = 1; i <= own->max_hvsock; i++)
		g->connects[i].next = i < own->max_hvsock ? i + 1 : 0;
	g->free_connect = own->max_hvsock != 0;
}

void vmbi_guest_reset(struct vmb_guest *g, int handles)
{
	struct vmb_guest_config own = g->cfg;
	struct vmbi_carve c = { (uint8_t *)g, 0 };
	struct vmb_storage need = { 0, 0 };
	uint8_t *after = (uint8_t *)(handles ? (void *)g->gpadls : (void *)g->channels);

	(void)guest_need(&own, &need);
	VMBI_MEMSET(after, 0, need.bytes - (size_t)(after - (uint8_t *)g));
	VMBI_MEMSET(g, 0, sizeof *g);
	guest_begin(guest_carve(&c, &own), &own);
	(void)vmbi_guard_enter(&g->guard); /* we are inside */
}

int vmb_guest_init(void *mem, size_t bytes, const struct vmb_guest_config *cfg, struct vmb_guest **guest)
{
	struct vmb_guest_config own;
	struct vmb_storage need;
	struct vmbi_carve c = { mem, 0 };
	struct vmb_guest *g;
	int r = guest ? guest_config(&own, cfg) : VMB_EINVAL;

	if (r < 0 || (r = guest_need(&own, &need)) < 0 || (r = vmbi_storage_fits(mem, bytes, &need)) < 0)
		return r;
	VMBI_MEMSET(mem, 0, need.bytes);
	g = guest_carve(&c, &own);
	guest_begin(g, &own);
	*guest = g;
	return 0;
}

/* ---- the frame */

int vmbi_guest_enter(struct vmb_guest *g)
{
	return g ? vmbi_guard_enter(&g->guard) : VMB_EINVAL;
}

int vmbi_guest_leave(struct vmb_guest *g, int r)
{
	vmbi_guest_post(g);
	if (g->poke) {
		g->poke = 0;
		VMBI_POKE(&g->cfg);
	}
	vmbi_guard_leave(&g->guard);
	return r;
}

int vmb_guest_end(struct vmb_guest *g)
{
	int r = vmbi_guest_enter(g);

	if (r < 0)
		return r;
	/* Without a connection only reserved channels have an object out. */
	r = g->state == VMB_BUS_NONE && !g->objects ? 0 : VMB_ESTATE;
	vmbi_guard_leave(&g->guard);
	return r;
}

static uint32_t guest_pages(const struct vmb_guest *g)
{
	uint32_t n = 0;

	for (uint32_t k = 1; k <= g->cfg.max_gpadls; k++)
		n += g->gpadls[k].id ? g->gpadls[k].words - g->gpadls[k].ranges : 0;
	return n;
}

int vmb_guest_info(struct vmb_guest *g, struct vmb_bus_info *out)
{
	struct vmb_bus_info info;
	int connected, r = out ? vmbi_guest_enter(g) : VMB_EINVAL;

	if (r < 0)
		return r;
	VMBI_MEMSET(&info, 0, sizeof info);
	connected = g->state > VMB_BUS_CONNECTING;
	info.state = g->state == VMBI_GUEST_UNLOADING ? VMB_BUS_LEAVING : g->state;
	info.version = connected ? g->version : 0;
	info.features = g->features;
	info.monitor_gpa[0] = g->monitor_gpa[0];
	info.monitor_gpa[1] = g->monitor_gpa[1];
	info.paused = g->paused;
	info.channels = g->live;
	info.attached = g->objects;
	info.gpadls = g->lists;
	info.gpadl_pages = guest_pages(g);
	info.message_vp = g->cfg.message_vp;
	info.queued = g->post.count;
	info.queued_most = g->post.most;
	info.events = g->events.count;
	info.events_most = g->events.most;
	info.messages_in = g->messages_in;
	info.messages_out = g->messages_out;
	info.dropped = g->dropped;
	info.refused_quota = g->refused_quota;
	info.post_retries = g->post_retries;
	g->stray_events += VMBI_EXCHANGE32(&g->stray, 0u);
	info.stray_events = g->stray_events;
	info.late_answers = g->late_answers;
	info.post_failed = g->post_failed;
	info.over_budget = g->over_budget;
	VMBI_MEMCPY(info.fate, g->fates, sizeof info.fate);
	return vmbi_guest_leave(g, vmbi_struct_out(out, &info, sizeof info, offsetof(struct vmb_bus_info, fate)));
}
