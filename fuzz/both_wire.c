/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The machine between both ends: memory that is seen twice, hypercalls, slots and flags of each processor. Here the faults happen; each says
 * what can be demanded no more.
 */
#include "both.h"
#include "watch.h"

#include <sys/mman.h>
#include <unistd.h>

#define WIRE_MAPS 64u
#define WIRE_REDIRECTED 0x800074u /* the connection for messages of a guest in VTL 2 */
#define WIRE_OTHERS 8u /* messages to another SINT than the connection's */

enum { POST_BUSY, POST_NO_MEMORY, POST_LOST, POST_TWICE, POST_FAILS };
enum { MESSAGE_BUSY, MESSAGE_FAILS, MESSAGE_LOST, MESSAGE_TWICE };

static uint8_t *view_guest, *view_host;
static struct { uint64_t pfns[32]; uint32_t n, flags; } wire_map[WIRE_MAPS];
static struct {
	uint8_t slot[BOTH_VPS][256], flags[BOTH_VPS][256], redirected[BOTH_VPS][256];
	uint8_t twice[BOTH_VPS][256]; /* what comes once more; the first word 0: nothing */
	uint8_t other[WIRE_OTHERS][256];
	unsigned others;
	uint8_t server[VMB_PAGE];
} wire __attribute__((aligned(4096)));

/* ---- memory */

static uint8_t *wire_view(int fd)
{
	uint8_t *at = mmap(NULL, BOTH_PAGES * VMB_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	fuzz_need(at != MAP_FAILED);
	return at;
}

void both_wire_begin(void)
{
	if (!view_guest) {
		int fd = memfd_create("both", 0);

		fuzz_need(fd >= 0 && !ftruncate(fd, BOTH_PAGES * VMB_PAGE));
		view_guest = wire_view(fd);
		view_host = wire_view(fd);
		close(fd);
	}
	memset(view_guest, 0xa5, BOTH_PAGES * VMB_PAGE);
	memset(view_guest, 0, BOTH_RING_PAGE * VMB_PAGE);
	memset(&wire, 0, sizeof wire);
	memset(wire_map, 0, sizeof wire_map);
	memset(both.lent, BOTH_LENT, BOTH_RING_PAGE);
}

uint8_t *both_wire_guest_page(uint32_t page)
{
	return view_guest + page * VMB_PAGE;
}

void both_wire_lend(uint32_t page, uint32_t n, int whose)
{
	memset(both.lent + page, whose, n);
}

/* Said to be free: the host has no map of it, and no device of its a hold. */
void both_wire_back(uint32_t page, uint32_t n)
{
	for (uint32_t i = page; i < page + n; i++) {
		fuzz_need(both.mad || !both.mapped[i]);
		fuzz_need(both.mad || i < BOTH_LIST_PAGE || !both_device_holds((i - BOTH_LIST_PAGE) / BOTH_LIST_PAGES));
		both.lent[i] = BOTH_FREE;
	}
}

void both_wire_all_back(int how)
{
	for (uint32_t i = BOTH_RING_PAGE; i < BOTH_PAGES; i++)
		if (both.lent[i] == how)
			both_wire_back(i, 1);
}

/* The guest touches what it has lent, the host what it has mapped. */
void fuzz_touch(const volatile void *p, size_t n)
{
	size_t guest = (uintptr_t)p - (uintptr_t)view_guest, host = (uintptr_t)p - (uintptr_t)view_host, last = n ? n - 1 : 0;

	if (guest < BOTH_PAGES * VMB_PAGE)
		fuzz_need(both.lent[guest / VMB_PAGE] && both.lent[(guest + last) / VMB_PAGE]);
	if (host < BOTH_PAGES * VMB_PAGE)
		fuzz_need(both.mapped[host / VMB_PAGE] && both.mapped[(host + last) / VMB_PAGE]);
}

/* A control call inside of one is refused. */
static void wire_inside_host(void)
{
	struct vmb_event ev;

	fuzz_need(both.host_control == 1);
	fuzz_need(vmb_host_poll(both.h, both.now, &ev) == VMB_EREENTRY);
}

static int wire_do_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	unsigned m = 0;

	fuzz_need(ctx == &both && n >= 1 && n <= 32);
	wire_inside_host();
	while (m < WIRE_MAPS && wire_map[m].n)
		m++;
	if ((both.map_after && !--both.map_after) || m == WIRE_MAPS) {
		both.unmappable = 1;
		return VMB_EMAP;
	}
	for (uint32_t i = 0; i < n; i++)
		fuzz_need(pfns[i] < BOTH_PAGES && (both.mad || both.lent[pfns[i]]));
	wire_map[m].n = n;
	wire_map[m].flags = flags;
	memcpy(wire_map[m].pfns, pfns, n * sizeof *pfns);
	for (uint32_t i = 0; i < n; i++) {
		both.mapped[pfns[i]]++;
		pages[i] = view_host + pfns[i] * VMB_PAGE;
	}
	both.maps++;
	return 0;
}

/* Exactly what one map gave, once. */
static void wire_do_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	unsigned m = 0;

	fuzz_need(ctx == &both && n >= 1 && n <= 32);
	wire_inside_host();
	while (wire_map[m].n != n || wire_map[m].flags != flags || memcmp(wire_map[m].pfns, pfns, n * sizeof *pfns))
		fuzz_need(++m < WIRE_MAPS);
	for (uint32_t i = 0; i < n; i++)
		fuzz_need(pages[i] == view_host + pfns[i] * VMB_PAGE && both.mapped[pfns[i]]--);
	wire_map[m].n = 0;
	both.maps--;
}

void both_wire_moved(void)
{
	memset(wire_map, 0, sizeof wire_map);
	memset(both.mapped, 0, sizeof both.mapped);
	both.maps = 0;
}

static int wire_monitor(void *ctx, const uint64_t gpa[2], void *page[2])
{
	fuzz_need(ctx == &both && both.guest_control == 1 && !gpa[0] && gpa[1] == BOTH_SERVER_GPA);
	page[0] = NULL;
	page[1] = wire.server;
	return 0;
}

/* ---- from the guest to the host */

static int wire_host_post(const struct both_post *m)
{
	uint32_t head[4] = { m->connection, 0, 1, m->len };
	uint8_t in[256];
	int r;

	for (unsigned i = 0; i < sizeof head; i++)
		in[i] = (uint8_t)(head[i / 4] >> (i % 4 * 8));
	memcpy(in + sizeof head, m->bytes, m->len);
	if (both.hcfg.flags & VMB_HOST_TRUSTED)
		BOTH_HOST(r, vmb_host_post_trusted(both.h, in, 16 + m->len));
	else
		BOTH_HOST(r, vmb_host_post(both.h, in, 16 + m->len));
	fuzz_trace("\tpost %u on %#x: %d\n", fuzz_get32(m->bytes), m->connection, r);
	fuzz_need(r == VMB_HV_SUCCESS || r == VMB_HV_NO_BUFFERS || r == VMB_HV_INVALID_CONNECTION);
	if (r == VMB_HV_INVALID_CONNECTION)
		fuzz_need(both.disagree);
	return r;
}

static int wire_posted(const struct both_post *m)
{
	if (m->connection == WIRE_REDIRECTED && both.hcfg.vtl != 2)
		return VMB_HV_INVALID_CONNECTION; /* there is no such port */
	both.moved = 1;
	if (!both.posts && !both.post_late)
		return wire_host_post(m);
	if (both.posts == BOTH_POSTS)
		return VMB_HV_NO_BUFFERS;
	both.post[both.posts++] = *m;
	return VMB_HV_SUCCESS;
}

static int wire_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	static const int status[] = { VMB_HV_NO_BUFFERS, VMB_HV_NO_MEMORY, VMB_HV_TIMEOUT, VMB_HV_TIMEOUT, VMB_HV_INVALID_PARAMETER };
	struct both_post m = { .connection = connection, .len = len };
	struct vmb_event ev;
	unsigned how = both.post_how % 5;

	fuzz_need(ctx == &both && both.guest_control == 1 && len >= 8 && len <= VMB_MESSAGE_MAX);
	fuzz_need(both.dying || vmb_guest_poll(both.g, both.now, &ev) == VMB_EREENTRY);
	memcpy(m.bytes, payload, len);
	if (!both.post_count || (both.post_after && both.post_after--))
		return wire_posted(&m);
	both.post_count--;
	fuzz_trace("\tpost %u fails by %u\n", fuzz_get32(m.bytes), how);
	if (how >= POST_LOST)
		both.lossy = 1;
	if (how == POST_TWICE) {
		int r = wire_posted(&m);

		if (r)
			return r;
	}
	return status[how];
}

static int wire_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	int r;

	fuzz_need(ctx == &both);
	if (both.signal_count) {
		both.signal_count--;
		both.deaf = 1;
		return VMB_HV_NO_BUFFERS;
	}
	r = vmb_host_signal(both.h, connection, flag);
	fuzz_need(r == VMB_HV_SUCCESS || r == VMB_HV_INVALID_CONNECTION);
	return r;
}

static void wire_guest_wake(void *ctx, uint64_t user)
{
	struct both_side *side = both_driver_at(user);

	fuzz_need(ctx == &both && side && side->may_wake);
	both.moved = side->look = 1;
	side->full = 0;
}

static void wire_poke(void *ctx)
{
	fuzz_need(ctx == &both);
}

/* Whatever was withdrawn or is lost: nobody waits for what follows from it. */
static void wire_watch(void *ctx, const struct vmb_trace *t)
{
	fuzz_need(ctx == &both);
	fuzz_watched(t);
	if (t->point == VMB_TRACE_MESSAGE_OUT && t->c == VMB_FATE_LOST)
		both.lossy = 1;
}

/* ---- from the host to the guest */

static int wire_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	unsigned how = both.message_how % 4;
	int fails = both.message_count && !(both.message_after && both.message_after--);

	fuzz_need(ctx == &both && vp < BOTH_VPS && vtl == both.hcfg.vtl && sint < 16 && len >= 8 && len <= VMB_MESSAGE_MAX);
	wire_inside_host();
	both.moved = 1;
	if (sint != 2) {
		if (wire.others == WIRE_OTHERS)
			return VMB_EPLATFORM;
		fuzz_need(!vmb_synic_post(wire.other[wire.others++], payload, len));
		return 0;
	}
	if (fuzz_get32(wire.slot[vp]) || (fails && how == MESSAGE_BUSY)) {
		if (fails && how == MESSAGE_BUSY)
			both.message_count--;
		both.refused = 1;
		return VMB_EAGAIN;
	}
	if (fails)
		both.message_count--;
	fuzz_trace("\tmessage %u%s\n", fuzz_get32(payload), fails ? ": a fault" : "");
	if (fails && how == MESSAGE_FAILS) {
		both.refused = 1;
		return VMB_EPLATFORM;
	}
	if (fails && how == MESSAGE_LOST) {
		both.lossy = both.refused = 1;
		return 0;
	}
	fuzz_need(!vmb_synic_post(wire.slot[vp], payload, len));
	if (fails) {
		both.mad = both.lossy = 1;
		memcpy(wire.twice[vp], wire.slot[vp], 256);
	}
	return 0;
}

static void wire_take_interrupt(unsigned vp)
{
	fuzz_need(vmb_guest_interrupt(both.g, wire.flags[vp], wire.slot[vp]) == (fuzz_get32(wire.slot[vp]) ? VMB_YES : 0));
}

static void wire_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	static const uint8_t empty[256] __attribute__((aligned(8)));
	int redirected = sint == 7;

	fuzz_need(ctx == &both && vp < BOTH_VPS && flag < 2048);
	fuzz_need(redirected ? vtl == 2 && both.hcfg.flags & VMB_HOST_REDIRECT : sint == 2 && vtl == both.hcfg.vtl);
	fuzz_need(vmb_synic_set(redirected ? wire.redirected[vp] : wire.flags[vp], flag) >= 0);
	if (both.interrupt_late)
		return;
	if (redirected)
		fuzz_need(!vmb_guest_interrupt(both.g, wire.redirected[vp], empty));
	else
		wire_take_interrupt(vp);
}

static void wire_host_wake(void *ctx, uint64_t user)
{
	struct both_side *side = both_device_at(user);

	fuzz_need(ctx == &both && side && side->may_wake);
	both.moved = side->look = 1;
	side->full = 0;
}

/* ---- what is on its way */

void both_wire_interrupts(void)
{
	static const uint8_t empty[256] __attribute__((aligned(8)));

	both.interrupt_late = 0;
	for (unsigned vp = 0; vp < BOTH_VPS; vp++) {
		wire_take_interrupt(vp);
		fuzz_need(!vmb_guest_interrupt(both.g, wire.redirected[vp], empty));
	}
}

int both_wire_posts(void)
{
	int some = 0;

	while (both.posts) {
		int r = wire_host_post(&both.post[0]);

		if (r == VMB_HV_NO_BUFFERS) /* until its own messages have gone */
			return some;
		memmove(&both.post[0], &both.post[1], --both.posts * sizeof both.post[0]);
		some = 1;
	}
	return some;
}

static int wire_read(void *slot)
{
	int r;

	BOTH_GUEST(r, vmb_guest_slot(both.g, slot));
	fuzz_need(r == 0 || r & VMB_YES);
	return r;
}

int both_wire_slots(int (*read)(void *slot))
{
	int some = 0, r;

	for (unsigned vp = 0; vp < BOTH_VPS; vp++) {
		if (!fuzz_get32(wire.slot[vp]))
			continue;
		r = read(wire.slot[vp]);
		if (!(r & VMB_YES))
			continue;
		some = r & VMB_YES;
		if (fuzz_get32(wire.twice[vp])) {
			memcpy(wire.slot[vp], wire.twice[vp], 256);
			memset(wire.twice[vp], 0, 256);
		} else if (r & VMB_EOM || both.refused) {
			BOTH_HOST(r, vmb_host_eom(both.h, vp));
			fuzz_need(!r);
		}
	}
	for (unsigned i = 0; i < wire.others; i++)
		some |= read(wire.other[i]);
	wire.others = 0;
	return some;
}

int both_wire_eom(void)
{
	int r;

	if (!both.refused)
		return 0;
	both.refused = 0;
	for (unsigned vp = 0; vp < BOTH_VPS; vp++) {
		BOTH_HOST(r, vmb_host_eom(both.h, vp));
		fuzz_need(!r);
	}
	return 1;
}

int both_wire_deliver(void)
{
	return both_wire_slots(wire_read) | both_wire_posts() | both_wire_eom();
}

void both_wire_silence(void)
{
	wire.others = 0;
	memset(wire.slot, 0, sizeof wire.slot);
	memset(wire.flags, 0, sizeof wire.flags);
	memset(wire.redirected, 0, sizeof wire.redirected);
	memset(wire.twice, 0, sizeof wire.twice);
	both.refused = 1;
}

/* ---- configs */

void both_wire_config(void)
{
	both.gcfg = (struct vmb_guest_config){ .size = sizeof both.gcfg, .ctx = &both, .post = wire_post, .signal = wire_signal,
					       .wake = wire_guest_wake, .poke = wire_poke, .trace = wire_watch, .monitor = wire_monitor };
	both.hcfg = (struct vmb_host_config){ .size = sizeof both.hcfg, .ctx = &both, .vps = BOTH_VPS, .message = wire_message,
					      .interrupt = wire_interrupt, .wake = wire_host_wake, .poke = wire_poke, .map = wire_do_map,
					      .unmap = wire_do_unmap, .trace = wire_watch };
	both.hcfg.monitor_page[1] = wire.server;
}
