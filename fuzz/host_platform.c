/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The platform of a host end: guest memory that can be touched only while it is mapped, and the callbacks, some of which fail. */
#include "host.h"
#include "watch.h"

#define PLATFORM_MAPS 64u

struct platform_map {
	uint64_t pfns[32];
	uint32_t n, flags; /* n 0: not in use */
};

static uint8_t ram[HOST_PAGES][VMB_PAGE] __attribute__((aligned(4096)));
static unsigned mapped[HOST_PAGES];
static struct platform_map maps[PLATFORM_MAPS];

void host_platform_reset(void)
{
	fuzz_unpoison(ram, sizeof ram);
	memset(ram, 0, sizeof ram);
	fuzz_poison(ram, sizeof ram);
	memset(mapped, 0, sizeof mapped);
	memset(maps, 0, sizeof maps);
}

unsigned host_platform_mapped(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PLATFORM_MAPS; i++)
		n += maps[i].n != 0;
	return n;
}

int host_platform_is_ring(uint64_t pfn)
{
	for (unsigned i = 0; i < PLATFORM_MAPS; i++)
		for (uint32_t k = 0; k < maps[i].n && maps[i].flags & VMB_MAP_RING; k++)
			if (maps[i].pfns[k] == pfn)
				return 1;
	return 0;
}

int host_platform_own(const uint64_t *pfns, uint32_t n, void **pages)
{
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] < HOST_FIRST_PFN || pfns[i] >= HOST_FIRST_PFN + HOST_PAGES)
			return -1;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t page = (uint32_t)pfns[i] - HOST_FIRST_PFN;

		mapped[page]++;
		fuzz_unpoison(ram[page], VMB_PAGE);
		pages[i] = ram[page];
	}
	return 0;
}

void host_platform_disown(uint32_t n, void *const *pages)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t page = (uint32_t)(((uintptr_t)pages[i] - (uintptr_t)ram) / VMB_PAGE);

		if (!--mapped[page])
			fuzz_poison(ram[page], VMB_PAGE);
	}
}

/* The guest writes a word of its memory. */
void host_platform_write(uint32_t at, uint32_t value)
{
	uint32_t page = at / 1024 % HOST_PAGES;
	uint8_t *p = &ram[page][at % 1024 * 4];

	fuzz_unpoison(ram[page], VMB_PAGE);
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(value >> (8 * i));
	if (!mapped[page])
		fuzz_poison(ram[page], VMB_PAGE);
}

/* What is not mapped is not touched. */
void fuzz_touch(const volatile void *p, size_t n)
{
	size_t at = (uintptr_t)p - (uintptr_t)ram;

	if (host.preempt && !host.control && !--host.preempt)
		host_nested();
	if (at >= sizeof ram)
		return;
	fuzz_need(mapped[at / VMB_PAGE] && (!n || mapped[(at + n - 1) / VMB_PAGE]));
}

/* Is a control call refused inside of one? */
static void platform_is_inside(void)
{
	static const uint8_t unload[24] = { 1, [8] = 1, [12] = 8, [16] = 16 };
	struct vmb_event ev;

	fuzz_need(host.control == 1);
	fuzz_need(vmb_host_poll(host.h, 0, &ev) == VMB_EREENTRY);
	fuzz_need(vmb_host_post(host.h, unload, sizeof unload) == VMB_EREENTRY);
}

static int platform_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	struct platform_map *m = maps;

	fuzz_need(ctx == &host && n >= 1 && n <= 32);
	platform_is_inside();
	if (flags & VMB_MAP_RING)
		fuzz_need(flags == (VMB_MAP_WRITE | VMB_MAP_RING) && host.attaching);
	else
		fuzz_need(flags == (VMB_MAP_WRITE | VMB_MAP_ALWAYS) && n == 1);
	if (host.map_fail && !--host.map_fail)
		return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] < HOST_FIRST_PFN || pfns[i] >= HOST_FIRST_PFN + HOST_PAGES)
			return VMB_EMAP;
	while (m->n) {
		if (++m == maps + PLATFORM_MAPS)
			return VMB_EMAP;
	}
	m->n = n;
	m->flags = flags;
	memcpy(m->pfns, pfns, n * sizeof *pfns);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t page = (uint32_t)pfns[i] - HOST_FIRST_PFN;

		mapped[page]++;
		fuzz_unpoison(ram[page], VMB_PAGE);
		pages[i] = ram[page];
	}
	host.ring_maps += (flags & VMB_MAP_RING) != 0;
	return 0;
}

/* Exactly what one map gave, once. */
static void platform_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	struct platform_map *m = maps;

	fuzz_need(ctx == &host && n >= 1 && n <= 32);
	platform_is_inside();
	while (m->n != n || m->flags != flags || memcmp(m->pfns, pfns, n * sizeof *pfns)) {
		m++;
		fuzz_need(m < maps + PLATFORM_MAPS);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t page = (uint32_t)pfns[i] - HOST_FIRST_PFN;

		fuzz_need(pages[i] == ram[page] && mapped[page]);
		if (!--mapped[page])
			fuzz_poison(ram[page], VMB_PAGE);
	}
	m->n = 0;
	host.ring_maps -= (flags & VMB_MAP_RING) != 0;
}

static int platform_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	fuzz_need(ctx == &host && vp < HOST_VPS && vtl == host.cfg.vtl && sint < 16 && len >= 8 && len <= VMB_MESSAGE_MAX);
	platform_is_inside();
	if (sint == 2 && host.busy) {
		host.was_blocked = 1;
		return host.busy == 1 ? VMB_EAGAIN : VMB_EPLATFORM;
	}
	host_guest_told(sint, payload, len);
	return 0;
}

static void platform_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	uint8_t flags[256] __attribute__((aligned(8))) = { 0 };

	fuzz_need(ctx == &host && vp < HOST_VPS && flag < 2048);
	fuzz_need((vtl == host.cfg.vtl && sint == 2) || (vtl == 2 && sint == 7 && host.cfg.flags & VMB_HOST_REDIRECT));
	fuzz_need(vmb_synic_set(flags, flag) == VMB_YES && !vmb_synic_set(flags, flag) && flags[flag / 8] == 1 << flag % 8);
	host_nested();
}

static void platform_wake(void *ctx, uint64_t user)
{
	struct host_device *d = host_device_at(user);
	const struct fuzz_step look = { 0, 0, 0, 0, 0 };

	fuzz_need(ctx == &host && d && d->may_wake);
	d->inside++;
	if (d->ch && !d->busy && host.control)
		host_device_data(d, &look); /* it runs on its own thread */
	host_nested();
	fuzz_need(d->may_wake);
	d->inside--;
}

static void platform_poke(void *ctx)
{
	fuzz_need(ctx == &host);
}

static void platform_watch(void *ctx, const struct vmb_trace *what)
{
	(void)ctx;
	fuzz_watched(what);
}

void host_platform_callbacks(struct vmb_host_config *cfg)
{
	cfg->ctx = &host;
	cfg->message = platform_message;
	cfg->interrupt = platform_interrupt;
	cfg->wake = platform_wake;
	cfg->poke = platform_poke;
	cfg->map = platform_map;
	cfg->unmap = platform_unmap;
	cfg->trace = platform_watch;
}
