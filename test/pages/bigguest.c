/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See bigguest.h. */
#include "bigguest.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- memory */

static size_t big_bytes(const struct big *b)
{
	return (size_t)BIG_FRAMES * b->page;
}

static int big_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	struct big *b = ctx;

	(void)flags;
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] >= BIG_FRAMES * b->pages)
			return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++) {
		pages[i] = b->host_view + pfns[i] * VMB_PAGE;
		if (!b->mapped[pfns[i]]++)
			cr_assert_eq(mprotect(pages[i], VMB_PAGE, PROT_READ | PROT_WRITE), 0);
		b->touched[pfns[i]] = 1;
		b->all_mapped++;
	}
	return 0;
}

static void big_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	struct big *b = ctx;

	(void)flags;
	for (uint32_t i = 0; i < n; i++) {
		cr_assert(pfns[i] < BIG_FRAMES * b->pages && b->mapped[pfns[i]], "an unmap without its map");
		cr_assert(pages[i] == b->host_view + pfns[i] * VMB_PAGE);
		if (!--b->mapped[pfns[i]])
			cr_assert_eq(mprotect(pages[i], VMB_PAGE, PROT_NONE), 0);
		b->all_mapped--;
	}
}

static const struct big_region *big_find(const struct big *b, uintptr_t at)
{
	for (uint32_t i = 0; i < b->regions; i++)
		if (at - (uintptr_t)b->region[i].at < (size_t)b->region[i].frames * b->page)
			return &b->region[i];
	return NULL;
}

uint64_t big_pfn(const struct big *b, const void *at)
{
	const struct big_region *r = big_find(b, (uintptr_t)at);
	size_t offset;

	cr_assert_not_null(r);
	offset = (size_t)((uintptr_t)at - (uintptr_t)r->at);
	return (uint64_t)r->frame[offset / b->page] * b->pages + offset % b->page / VMB_PAGE;
}

int big_translate(void *ctx, uint64_t address, uint64_t *gpa)
{
	struct big *b = ctx;

	cr_assert_eq(address % b->page, 0, "asked for what is no page of this guest");
	if (!big_find(b, (uintptr_t)address))
		return -1;
	*gpa = big_pfn(b, (const void *)(uintptr_t)address) * VMB_PAGE;
	return 0;
}

/* How the guest itself follows a list: any page of any region. */
static int big_own_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	struct big *b = ctx;

	(void)flags;
	for (uint32_t i = 0; i < n; i++) {
		pages[i] = NULL;
		for (uint32_t r = 0; r < b->regions; r++)
			for (uint32_t f = 0; f < b->region[r].frames; f++)
				if (pfns[i] / b->pages == b->region[r].frame[f])
					pages[i] = b->region[r].at + (size_t)f * b->page + pfns[i] % b->pages * VMB_PAGE;
		if (!pages[i])
			return VMB_EMAP;
	}
	return 0;
}

static void big_own_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)pfns, (void)n, (void)flags, (void)pages;
}

uint8_t *big_alloc(struct big *b, uint32_t frames, int twice)
{
	struct big_region *r = &b->region[b->regions++];
	size_t bytes = (size_t)frames * b->page;

	cr_assert(b->regions <= BIG_REGIONS && frames <= BIG_FRAMES);
	r->frames = frames;
	r->at = mmap(NULL, 2 * bytes + 2 * b->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq((void *)r->at, MAP_FAILED);
	r->at += (b->page - (uintptr_t)r->at % b->page) % b->page; /* the guest's own alignment; inaccessible beyond the end */
	for (uint32_t i = 0; i < frames; i++) {
		cr_assert_lt(b->next_frame, BIG_FRAMES - 1);
		r->frame[i] = 1 + b->next_frame++ * 37 % (BIG_FRAMES - 1); /* 95 and 37 have no common factor: each once, far apart */
		for (int k = 0; k < 1 + twice; k++) {
			uint8_t *at = r->at + (size_t)k * bytes + (size_t)i * b->page;

			cr_assert_eq(mmap(at, b->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, b->fd,
					  (off_t)r->frame[i] * b->page), (void *)at);
		}
	}
	memset(r->at, BIG_FILL, bytes);
	return r->at;
}

/* ---- the host's callbacks */

static int big_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	struct big *b = ctx;

	(void)vp, (void)vtl, (void)sint;
	cr_assert(b->messages < BIG_MESSAGES && len <= VMB_MESSAGE_MAX);
	memcpy(b->message[b->messages].bytes, payload, len);
	b->message[b->messages++].len = len;
	return 0;
}

static void big_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	struct big *b = ctx;

	(void)vp, (void)vtl, (void)sint;
	if (vmb_synic_set(b->flags, flag) == VMB_YES)
		b->interrupt = 1;
}

static void big_host_wake(void *ctx, uint64_t user)
{
	(void)user;
	((struct big *)ctx)->host_wakes++;
}

/* ---- the guest's */

static int big_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	struct big *b = ctx;
	uint32_t in[64] = { htole32(connection), 0, htole32(1), htole32(len) }; /* control-plane.md 1.2 */

	memcpy(in + 4, payload, len);
	return vmb_host_post(b->host, in, sizeof in);
}

static int big_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	return vmb_host_signal(((struct big *)ctx)->host, connection, flag);
}

static void big_guest_wake(void *ctx, uint64_t user)
{
	(void)user;
	((struct big *)ctx)->guest_wakes++;
}

/* ---- making and unmaking */

static void *big_block(const struct vmb_storage *need)
{
	void *p = aligned_alloc(need->align, (need->bytes + need->align - 1) / need->align * need->align);

	cr_assert_not_null(p);
	return p;
}

static void big_ends(struct big *b)
{
	struct vmb_host_config host = { .size = sizeof host, .ctx = b, .vps = 1, .message = big_message, .interrupt = big_interrupt,
					.wake = big_host_wake, .map = big_map, .unmap = big_unmap };
	struct vmb_guest_config guest = { .size = sizeof guest, .ctx = b, .post = big_post, .signal = big_signal, .wake = big_guest_wake };
	struct vmb_offer offer = { .size = sizeof offer, .flags = VMB_OFFER_ENUMERATE, .class_id = { { 1 } }, .instance = { { 2 } } };
	struct vmb_storage need;

	cr_assert_eq(vmb_host_storage(&host, &need), 0);
	b->host_mem = big_block(&need);
	cr_assert_eq(vmb_host_init(b->host_mem, need.bytes, &host, &b->host), 0);
	cr_assert_eq(vmb_guest_storage(&guest, &need), 0);
	b->guest_mem = big_block(&need);
	cr_assert_eq(vmb_guest_init(b->guest_mem, need.bytes, &guest, &b->guest), 0);
	cr_assert_eq(vmb_host_offer(b->host, &offer, &b->offer), 0);
	cr_assert_eq(vmb_guest_connect(b->guest), 0);
	big_run(b);
	(void)big_host_event(b, VMB_EV_CONNECTED);
	(void)big_guest_event(b, VMB_EV_CONNECTED);
	b->channel = big_guest_event(b, VMB_EV_OFFER).ch;
	(void)big_guest_event(b, VMB_EV_OFFERS_DONE);
}

struct big *big_new(uint32_t page)
{
	struct big *b = aligned_alloc(256, (sizeof *b + 255) / 256 * 256);

	cr_assert_not_null(b);
	memset(b, 0, sizeof *b);
	b->page = page;
	b->pages = page / VMB_PAGE;
	b->host_mapper = (struct vmb_mapper){ b, big_map, big_unmap };
	b->guest_mapper = (struct vmb_mapper){ b, big_own_map, big_own_unmap };
	b->fd = memfd_create("guest", 0);
	cr_assert(b->fd >= 0 && !ftruncate(b->fd, (off_t)big_bytes(b)));
	b->host_view = mmap(NULL, big_bytes(b), PROT_NONE, MAP_SHARED, b->fd, 0);
	cr_assert_neq((void *)b->host_view, MAP_FAILED);
	big_ends(b);
	return b;
}

void big_free(struct big *b)
{
	munmap(b->host_view, big_bytes(b));
	close(b->fd); /* the regions go with the process: a test has a process of its own */
	free(b->host_mem);
	free(b->guest_mem);
	free(b);
}

/* ---- running */

static int big_poll(struct big *b, int host)
{
	uint32_t *n = host ? &b->host_events : &b->guest_events;
	struct vmb_event *ev = (host ? b->host_event : b->guest_event) + *n;
	int r;

	cr_assert_lt(*n, BIG_EVENTS);
	r = host ? vmb_host_poll(b->host, 0, ev) : vmb_guest_poll(b->guest, 0, ev);
	cr_assert(r == 0 || r == VMB_YES);
	*n += r == VMB_YES;
	return r;
}

void big_run(struct big *b)
{
	for (int busy = 1; busy;) {
		busy = 0;
		for (uint32_t i = 0; i < b->messages; i++, busy = 1)
			cr_assert_eq(vmb_guest_message(b->guest, b->message[i].bytes, b->message[i].len), 0);
		b->messages = 0;
		if (b->interrupt) {
			b->interrupt = 0;
			cr_assert_eq(vmb_guest_interrupt(b->guest, b->flags, b->slot), 0);
			busy = 1;
		}
		for (int host = 0; host < 2; host++)
			while (big_poll(b, host))
				busy = 1;
		busy |= b->messages != 0;
	}
}

static struct vmb_event big_take(struct vmb_event *events, uint32_t *n, uint32_t kind)
{
	for (uint32_t i = 0; i < *n; i++)
		if (events[i].kind == kind) {
			struct vmb_event found = events[i];

			cr_assert_eq(found.status, 0, "event %u: %s", kind, vmb_strerror(found.status));
			memmove(events + i, events + i + 1, (--*n - i) * sizeof *events);
			return found;
		}
	cr_assert_fail("no event %u", kind);
	return events[0];
}

struct vmb_event big_host_event(struct big *b, uint32_t kind)
{
	return big_take(b->host_event, &b->host_events, kind);
}

struct vmb_event big_guest_event(struct big *b, uint32_t kind)
{
	return big_take(b->guest_event, &b->guest_events, kind);
}
