/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What is shared beside rings: message slots, event flags, the interrupt page of old versions, and the pages that lists name.
 * Messages to the host end come as copies. What may be touched twice:
 *   the type of a slot: looked at, and then freed by a compare-and-swap; its second word: the size first, and once more, for the flag that
 *   another message waits, after the slot was freed (control-plane.md 1.3); a word of flags: looked at, then exchanged.
 */
#include "cases.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOT = 512, CONNECTED = VMB_BUS_CONNECTED };

static uint8_t *page[4], *other[4]; /* what the library is given; the test's view */
static struct vmb_guest *guest;
static struct vmb_host *host;
static void *storage;

static void make_pages(void)
{
	int fd = memfd_create("loads", 0);

	if (fd < 0 || ftruncate(fd, 4 * 4096))
		abort();
	trace_forget();
	for (unsigned i = 0; i < 4; i++) {
		page[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)i * 4096);
		other[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)i * 4096);
		if (page[i] == MAP_FAILED || other[i] == MAP_FAILED)
			abort();
		trace_watch(page[i], 4096);
	}
	close(fd);
}

/* How often the bytes from `from` to `to` of a page were loaded, at most. */
static unsigned most_loads(unsigned n, size_t from, size_t to)
{
	unsigned most = 0;
	size_t at = 0;

	while (cases_repeated(page[n] + from, to - from, most, &at))
		most++;
	return most;
}

/* Is each byte of [from, to) of a page loaded exactly once? */
static int loaded_once(unsigned n, size_t from, size_t to)
{
	static uint8_t count[4096];

	memset(count, 0, sizeof count);
	for (unsigned i = 0; i < trace_count; i++)
		for (size_t k = 0; trace_log[i].kind != TRACE_STORE && k < trace_log[i].bytes; k++)
			if ((size_t)(trace_log[i].at + k - page[n]) < 4096)
				count[trace_log[i].at + k - page[n]]++;
	for (size_t i = 0; i < 4096; i++)
		if (count[i] != (i >= from && i < to))
			return 0;
	return 1;
}

/* ---- a guest that has asked for contact at version 5.3 or 1.1 */

static int on_post(void *ctx, uint32_t connection, const void *message, uint32_t len)
{
	(void)ctx, (void)connection, (void)message, (void)len;
	return 0;
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx, (void)connection, (void)flag;
	return 0;
}

static void make_guest(uint32_t version)
{
	struct vmb_guest_config cfg = { .size = sizeof cfg, .min_version = version, .max_version = version, .post = on_post,
					.signal = on_signal };
	struct vmb_storage need;
	struct vmb_event ev;

	if (version < VMB_V2_4) {
		cfg.interrupt_gpa = 0x5000;
		cfg.interrupt_page = page[2];
	}
	if (vmb_guest_storage(&cfg, &need))
		abort();
	free(storage);
	storage = aligned_alloc(need.align, need.bytes);
	if (!storage || vmb_guest_init(storage, need.bytes, &cfg, &guest) || vmb_guest_connect(guest))
		abort();
	while (vmb_guest_poll(guest, 0, &ev) > 0)
		;
}

static uint32_t guest_state(void)
{
	struct vmb_bus_info info = { .size = sizeof info };

	(void)vmb_guest_info(guest, &info);
	return info.state;
}

static uint32_t version_response(uint8_t *at, uint32_t version)
{
	int len = vmb_message_init(at, VMB_MESSAGE_MAX, 15, version, 0);

	(void)vmb_message_set(at, (uint32_t)len, version, 0, "version_supported", 1);
	if (version >= VMB_V5_0)
		(void)vmb_message_set(at, (uint32_t)len, version, 0, "selected", 4);
	return (uint32_t)len;
}

/* The host lays a message of len bytes into the slot. */
static void fill_slot(uint32_t type, uint32_t len, uint32_t flag)
{
	uint32_t words[2] = { type, len | flag << 8 };

	memcpy(other[0] + SLOT, words, sizeof words);
}

static unsigned changed; /* entries of the log */

/* The host changes what was loaded: the payload, the size. */
static void change(void)
{
	for (; changed + 1 < trace_count; changed++) {
		const struct trace_access *a = &trace_log[changed];
		size_t at = (size_t)(a->at - page[0]);

		if (a->kind == TRACE_LOAD && at < 4096 && at >= SLOT + 16)
			memset(other[0] + at, 0xee, a->bytes);
		else if (a->kind == TRACE_LOAD && at == SLOT + 4)
			other[0][at] = 255;
	}
}

static void take_slot(uint32_t type, uint32_t len, uint32_t flag, int want, uint32_t state)
{
	int r;

	make_guest(VMB_V5_3);
	memset(other[0], 0, 4096);
	(void)version_response(other[0] + SLOT + 16, VMB_V5_3);
	fill_slot(type, len, flag);
	changed = 0;
	trace_before = change;
	trace_begin();
	r = vmb_guest_slot(guest, page[0] + SLOT);
	trace_end();
	trace_before = NULL;
	cases_result(most_loads(0, SLOT + 16, SLOT + 256) <= 1, "vmb_guest_slot, %u bytes: the message is loaded twice", len);
	cases_result(most_loads(0, SLOT, SLOT + 8) <= 2, "vmb_guest_slot: the header is loaded more than twice");
	cases_result(most_loads(0, SLOT + 8, SLOT + 16) == 0, "vmb_guest_slot: the sender is loaded");
	if (want > 0) /* the type once, and the swap */
		cases_result(most_loads(0, SLOT, SLOT + 4) == 2 && most_loads(0, SLOT + 4, SLOT + 8) == 2, "vmb_guest_slot: header");
	else
		cases_result(most_loads(0, SLOT, SLOT + 4) == 1 && most_loads(0, SLOT + 4, SLOT + 8) == 0, "vmb_guest_slot: not taken");
	cases_result(r == want, "vmb_guest_slot, type %u, %u bytes: result %d", type, len, r);
	cases_result(guest_state() == state, "vmb_guest_slot, type %u, %u bytes: state %u", type, len, guest_state());
}

static void slots(void)
{
	uint8_t message[VMB_MESSAGE_MAX];
	uint32_t len = version_response(message, VMB_V5_3);
	int r;

	take_slot(0, len, 0, 0, VMB_BUS_CONNECTING);
	take_slot(0x80000010, len, 0, VMB_EFOREIGN, VMB_BUS_CONNECTING);
	take_slot(1, len, 0, VMB_YES, CONNECTED);
	take_slot(1, len, 1, VMB_YES | VMB_EOM, CONNECTED);
	take_slot(1, 240, 1, VMB_YES | VMB_EOM, CONNECTED);
	take_slot(1, 0, 0, VMB_YES, VMB_BUS_CONNECTING);
	take_slot(1, 255, 0, VMB_YES, VMB_BUS_CONNECTING);

	make_guest(VMB_V5_3);
	memcpy(other[0] + 40, message, len);
	trace_begin();
	r = vmb_guest_message(guest, page[0] + 40, len);
	trace_end();
	cases_result(!r && guest_state() == CONNECTED && loaded_once(0, 40, 40 + len), "vmb_guest_message: %d", r);

	memset(other[0], 0, 4096);
	for (unsigned i = 0; i < 2; i++) { /* free, then occupied: looked at once more after the flag was set */
		trace_begin();
		r = vmb_synic_post(page[0] + SLOT, message, len);
		trace_end();
		cases_result(r == (i ? VMB_EAGAIN : 0), "vmb_synic_post: %d", r);
		cases_result(most_loads(0, SLOT, SLOT + 4) == 1 + i && most_loads(0, SLOT + 4, 4096) == i, "vmb_synic_post: loads");
	}
	trace_begin();
	r = vmb_synic_set(page[1], 77);
	trace_end();
	/* One instruction, or a swap that must find what was loaded before it. */
	cases_result(r == VMB_YES && trace_count <= 2 && trace_log[trace_count - 1].kind == TRACE_BOTH, "vmb_synic_set: %d", r);
}

/* ---- flags: each word is looked at once, and exchanged where one is set */

static void judge_flags(const char *what, unsigned n, size_t from, size_t to)
{
	unsigned loads = 0, both = 0;

	for (unsigned i = 0; i < trace_count; i++) {
		size_t at = (size_t)(trace_log[i].at - page[n]);

		if (at < from || at >= to)
			continue;
		loads += trace_log[i].kind == TRACE_LOAD;
		both += trace_log[i].kind == TRACE_BOTH;
		cases_result(trace_log[i].kind != TRACE_STORE && trace_log[i].bytes == 4, "%s: a word of flags is written", what);
	}
	cases_result(loads > 0 && loads <= (to - from) / 4 && both > 0 && both <= 2 && most_loads(n, from, to) == 2,
		     "%s: %u words loaded, %u exchanged", what, loads, both);
}

static void interrupts(uint32_t version)
{
	uint8_t message[VMB_MESSAGE_MAX];
	int r;

	make_guest(version);
	if (vmb_guest_message(guest, message, version_response(message, version)) || guest_state() != CONNECTED)
		abort();
	for (unsigned i = 0; i < 3; i++)
		memset(other[i], 0, 4096);
	other[1][0] = 1;
	other[1][1] = 2;
	other[2][1] = 2;
	fill_slot(1, 16, 0);
	trace_begin();
	r = vmb_guest_interrupt(guest, page[1], page[0] + SLOT);
	trace_end();
	cases_result(r == VMB_YES && most_loads(0, 0, 4096) == 1, "vmb_guest_interrupt: %d", r);
	judge_flags("vmb_guest_interrupt, flags", 1, 0, 256);
	if (version < VMB_V2_4)
		judge_flags("vmb_guest_interrupt, page", 2, 0, 2048);
}

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *message, uint32_t len)
{
	(void)ctx, (void)vp, (void)vtl, (void)sint, (void)message, (void)len;
	return 0;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx, (void)vp, (void)vtl, (void)sint, (void)flag;
}

static void on_wake(void *ctx, uint64_t user)
{
	(void)ctx, (void)user;
}

static int map_page(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx, (void)flags;
	for (uint32_t i = 0; i < n; i++) {
		if (pfns[i] >= 4)
			return VMB_EMAP;
		pages[i] = page[pfns[i]];
	}
	return 0;
}

static void unmap_page(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)pfns, (void)n, (void)flags, (void)pages;
}

/* The guest's half of the interrupt page, read by the host end. */
static void host_page(void)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .message = on_message, .interrupt = on_interrupt, .wake = on_wake,
				       .map = map_page, .unmap = unmap_page };
	uint8_t input[16 + VMB_MESSAGE_MAX] = { 1, 0, 0, 0, 0, 0, 0, 0, 1 };
	struct vmb_storage need;
	struct vmb_event ev;
	int len, r;

	if (vmb_host_storage(&cfg, &need))
		abort();
	free(storage);
	storage = aligned_alloc(need.align, need.bytes);
	if (!storage || vmb_host_init(storage, need.bytes, &cfg, &host))
		abort();
	len = vmb_message_init(input + 16, VMB_MESSAGE_MAX, 14, VMB_V1_1, 0);
	input[12] = (uint8_t)len;
	(void)vmb_message_set(input + 16, (uint32_t)len, VMB_V1_1, 0, "version", VMB_V1_1);
	(void)vmb_message_set(input + 16, (uint32_t)len, VMB_V1_1, 0, "interrupt_page", 3 * 4096);
	r = vmb_host_post(host, input, 16 + (uint32_t)len);
	while (vmb_host_poll(host, 0, &ev) > 0)
		;
	memset(other[3], 0, 4096);
	other[3][2048] = 6;
	trace_begin();
	r |= vmb_host_signal(host, 2, 0);
	trace_end();
	cases_result(!r, "vmb_host_signal, page: %d", r);
	judge_flags("vmb_host_signal, page", 3, 2048, 4096);
	cases_result(!most_loads(3, 0, 2048), "vmb_host_signal: the host's half is loaded");
}

void cases_bus(void)
{
	make_pages();
	slots();
	interrupts(VMB_V5_3);
	interrupts(VMB_V1_1);
	host_page();
	free(storage);
	storage = NULL;
}

/* ---- memory that lists name: the pages 0, 1 and 2 */

static const struct vmb_mapper mapper = { NULL, map_page, unmap_page };

static void judge_list(const char *what, int r, int want, int loads)
{
	int ok = r == want;

	/* [100, 4096) of page 0, all of page 1, [0, 300) of page 2 */
	ok &= loads ? loaded_once(0, 100, 4096) && loaded_once(1, 0, 4096) && loaded_once(2, 0, 300) :
		      loaded_once(0, 0, 0) && loaded_once(1, 0, 0) && loaded_once(2, 0, 0);
	cases_result(ok, "%s: not each byte is loaded as often as it should be (result %d)", what, r);
}

void cases_lists(void)
{
	static const uint64_t words[] = { VMB_RANGE(50, 50), 0, VMB_RANGE(3996 + 4096 + 10, 100), 0, 1, 2, VMB_RANGE(290, 10), 2 };
	static const uint64_t windows[] = { VMB_RANGE(50, 0), VMB_RANGE(8000, 50), VMB_RANGE(392, 8050) };
	static uint8_t buf[8392], with[8392];
	const struct vmb_list list = { words, 8, 3 }, shifted = { windows, 3, 3 };
	struct vmb_packet gpa = { .kind = VMB_PKT_GPA, .list = list }, xfer = { .kind = VMB_PKT_XFER, .list = shifted };
	const uint32_t n = 8392;
	int r;

	for (unsigned i = 0; i < 3; i++)
		memset(other[i], 7, 4096);
	memset(with, 7, sizeof with);
#define LISTED(call, want, loads) \
	do { \
		trace_begin(); \
		r = (call); \
		trace_end(); \
		judge_list(#call, r, want, loads); \
	} while (0)
	LISTED(vmb_list_read(&list, &mapper, 50, buf, n), 0, 1);
	LISTED(vmb_list_compare(&list, &mapper, 50, with, n), 0, 1);
	LISTED(vmb_list_write(&list, &mapper, 50, with, n), 0, 0);
	LISTED(vmb_packet_read(&gpa, NULL, &mapper, 50, buf, n), 0, 1);
	LISTED(vmb_packet_compare(&gpa, NULL, &mapper, 50, with, n), 0, 1);
	LISTED(vmb_packet_write(&gpa, NULL, &mapper, 50, with, n), 0, 0);
	LISTED(vmb_packet_read(&xfer, &list, &mapper, 50, buf, n), 0, 1);
	LISTED(vmb_packet_compare(&xfer, &list, &mapper, 50, with, n), 0, 1);
	LISTED(vmb_packet_write(&xfer, &list, &mapper, 50, with, n), 0, 0);
#undef LISTED
}
