/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Built against the header of an older or of a newer release than the library that it runs with; see scripts/check-abi. The argument says
 * which. Structs of either are taken and given in their own size. The last 8 bytes of a newer one are a field that the library does not know.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmbus.h>

enum { GUARD = 64 };

static int bad, newer;

static void is(int got, int wanted, const char *what)
{
	if (got != wanted) {
		printf("%s: %d, not %d\n", what, got, wanted);
		bad = 1;
	}
}

/* A struct to be filled: its size is told, it and what lies behind it are full of ones. */
static void *blank(uint32_t size)
{
	unsigned char *p = malloc(size + GUARD);

	if (!p)
		abort();
	memset(p, 0xff, size + GUARD);
	memcpy(p, &size, sizeof size);
	return p;
}

/* It has been filled: nothing behind it was written, its size is as it was, and what the library does not know is zero. */
static void filled(void *out, uint32_t size, const char *what)
{
	unsigned char *p = out, zero[8] = { 0 };
	uint32_t said;

	memcpy(&said, p, sizeof said);
	is(said == size, 1, what);
	for (uint32_t i = size; i < size + GUARD; i++)
		is(p[i], 0xff, what);
	if (newer)
		is(memcmp(p + size - sizeof zero, zero, sizeof zero), 0, what);
	free(out);
}

/* Set or clear what only a newer header has. */
static void tail(void *in, size_t size, unsigned char value)
{
	memset((unsigned char *)in + size - 8, value, 8);
}

/* call: with a struct whose tail is zero it gives `wanted`, with another tail it is refused. */
#define TAKES(in, wanted, call) do { \
		is(call, wanted, #call); \
		if (newer) { \
			tail(&(in), sizeof (in), 1); \
			is(call, VMB_ESTRUCT, #call " with a tail"); \
			tail(&(in), sizeof (in), 0); \
		} \
	} while (0)

static int post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	(void)ctx, (void)connection, (void)payload, (void)len;
	return VMB_HV_NO_BUFFERS;
}

static int signal_host(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx, (void)connection, (void)flag;
	return 0;
}

static int message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	(void)ctx, (void)vp, (void)vtl, (void)sint, (void)payload, (void)len;
	return VMB_EAGAIN;
}

static void interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx, (void)vp, (void)vtl, (void)sint, (void)flag;
}

static void wake(void *ctx, uint64_t user)
{
	(void)ctx, (void)user;
}

static void *block(const struct vmb_storage *need)
{
	void *p = aligned_alloc(need->align, (need->bytes + need->align - 1) / need->align * need->align);

	if (!p)
		abort();
	return p;
}

static void guest(void)
{
	struct vmb_guest_config cfg = { .size = sizeof cfg, .post = post, .signal = signal_host };
	struct vmb_bus_info *info = blank(sizeof *info);
	struct vmb_part *part = blank(sizeof *part);
	struct vmb_storage need = { 64, 64 };
	struct vmb_guest *g;
	uint32_t cursor = 0;
	void *mem;

	TAKES(cfg, 0, vmb_guest_storage(&cfg, &need));
	mem = block(&need);
	TAKES(cfg, 0, vmb_guest_init(mem, need.bytes, &cfg, &g));
	is(vmb_guest_info(g, info), 0, "vmb_guest_info");
	filled(info, sizeof *info, "vmb_bus_info of a guest");
	is(vmb_guest_snapshot(g, &cursor, part), VMB_YES, "vmb_guest_snapshot");
	filled(part, sizeof *part, "vmb_part of a guest");
	is(vmb_guest_end(g), 0, "vmb_guest_end");
	free(mem);
}

static void host(void)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .message = message, .interrupt = interrupt, .wake = wake };
	struct vmb_channel_config channel = { .size = sizeof channel };
	struct vmb_offer offer = { .size = sizeof offer, .instance = { { 1 } } };
	struct vmb_bus_info *info = blank(sizeof *info);
	struct vmb_part *part = blank(sizeof *part);
	struct vmb_storage need = { 64, 64 };
	struct vmb_channel *ch;
	struct vmb_host *h;
	vmb_handle handle;
	uint32_t cursor = 0;
	void *mem;

	TAKES(cfg, 0, vmb_host_storage(&cfg, &need));
	mem = block(&need);
	TAKES(cfg, 0, vmb_host_init(mem, need.bytes, &cfg, &h));
	TAKES(channel, VMB_EHANDLE, vmb_host_attach(h, 0x801, mem, need.bytes, &channel, &ch));
	TAKES(offer, 0, vmb_host_offer(h, &offer, &handle));
	is(vmb_host_info(h, info), 0, "vmb_host_info");
	filled(info, sizeof *info, "vmb_bus_info of a host");
	is(vmb_host_snapshot(h, &cursor, part), VMB_YES, "vmb_host_snapshot");
	filled(part, sizeof *part, "vmb_part of a host");
	is(vmb_host_end(h), 0, "vmb_host_end");
	free(mem);
}

static void channel(void)
{
	const struct vmb_storage pages = { (size_t)4 * VMB_PAGE, VMB_PAGE };
	unsigned char *ring = aligned_alloc(pages.align, pages.bytes);
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_channel_info *info = blank(sizeof *info);
	struct vmb_storage need = { 64, 64 };
	struct vmb_channel *ch;
	void *mem;

	if (!ring)
		abort();
	cfg.tx = (struct vmb_ring_mem){ .control = ring, .data = ring + VMB_PAGE, .data_pages = 1, .flags = VMB_RING_FRESH };
	cfg.rx = (struct vmb_ring_mem){ .control = ring + 2 * VMB_PAGE, .data = ring + 3 * VMB_PAGE, .data_pages = 1, .flags = VMB_RING_FRESH };
	TAKES(cfg, 0, vmb_channel_storage(&cfg, &need));
	mem = block(&need);
	TAKES(cfg, 0, vmb_channel_init(mem, need.bytes, &cfg, &ch));
	is(vmb_channel_info(ch, info), 0, "vmb_channel_info");
	filled(info, sizeof *info, "vmb_channel_info");
	is(vmb_channel_end(ch, NULL, NULL), 0, "vmb_channel_end");
	free(mem);
	free(ring);
}

int main(int argc, char **argv)
{
	newer = argc == 2 && !strcmp(argv[1], "newer");
	guest();
	host();
	channel();
	return bad;
}
