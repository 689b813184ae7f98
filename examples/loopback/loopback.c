/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Both ends of a VMBus in one program: a hypervisor that offers two disks and an echo device, and a guest that opens the echo
 * device, sends it requests and gets completions, until the hypervisor takes the device away. "Guest memory" is an array,
 * hypercalls are function calls, and an interrupt is a flag that the loop looks at. Run it with: make demo. With the argument -t it tells each
 * message and each change of state as well.
 */
#include <endian.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vmbus.h>

#include "snapshot.h"

enum { RAM_PAGES = 256, RING_PAGES = 17, SINT = 2, DEPTH = 64 };

static alignas(4096) unsigned char ram[RAM_PAGES][VMB_PAGE]; /* page n is guest-physical page n */
static unsigned char *const slot = ram[1] + SINT * 256;      /* SynIC message page: the slot of our SINT */
static unsigned char *const flags = ram[2] + SINT * 256;     /* SynIC event flags */
static int interrupt_pending, posts, signals_to_host, interrupts, telling;

static struct vmb_host *host;
static struct vmb_guest *guest;

static void must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, vmb_strerror(r));
		exit(1);
	}
}

static void *block(const struct vmb_storage *need)
{
	void *p = aligned_alloc(need->align, (need->bytes + need->align - 1) / need->align * need->align);

	if (!p)
		abort();
	return p;
}

/* ------------------------------------------------------------------------------------------- the hypervisor */

static struct {
	vmb_handle handle;
	struct vmb_channel *ch;
	void *mem;
	int ready;
} echo;

static int host_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	int r = vmb_synic_post(slot, payload, len);

	(void)ctx, (void)vp, (void)vtl, (void)sint;
	interrupt_pending |= r == 0;
	return r;
}

static void host_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx, (void)vp, (void)vtl, (void)sint;
	if (vmb_synic_set(flags, flag) > 0)
		interrupt_pending = 1;
	interrupts++;
}

static void host_wake(void *ctx, uint64_t user)
{
	(void)ctx, (void)user; /* only the echo device is ever opened */
	echo.ready = 1;
}

static int host_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t map_flags, void **pages)
{
	(void)ctx, (void)map_flags;
	for (uint32_t i = 0; i < n; i++) {
		if (pfns[i] >= RAM_PAGES)
			return VMB_EMAP;
		pages[i] = ram[pfns[i]];
	}
	return 0;
}

static void host_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t map_flags, void *const *pages)
{
	(void)ctx, (void)pfns, (void)n, (void)map_flags, (void)pages;
}

static void host_trace(void *ctx, const struct vmb_trace *what)
{
	(void)ctx;
	snapshot_trace(stdout, "host", what);
}

static void host_offer(const char *class_id, unsigned char instance, uint64_t user, vmb_handle *handle)
{
	struct vmb_offer offer = { .size = sizeof offer, .user = user };

	vmb_guid_parse(class_id, &offer.class_id);
	offer.instance.byte[0] = instance;
	must(vmb_host_offer(host, &offer, handle), "offer");
}

static void host_start(void)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .message = host_message, .interrupt = host_interrupt, .wake = host_wake,
				       .map = host_map, .unmap = host_unmap, .vps = 1, .trace = telling ? host_trace : NULL };
	struct vmb_storage need;
	vmb_handle disk;

	must(vmb_host_storage(&cfg, &need), "host storage");
	must(vmb_host_init(block(&need), need.bytes, &cfg, &host), "host");
	printf("host    storage of the end: %zu bytes\n", need.bytes);
	host_offer(VMB_CLASS_SCSI, 1, 1, &disk);
	host_offer(VMB_CLASS_SCSI, 2, 2, &disk);
	host_offer("11111111-2222-3333-4444-555555555555", 3, 3, &echo.handle);
}

static void host_attach(void)
{
	struct vmb_open_info info = { .size = sizeof info };
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_storage need;

	must(vmb_host_open_info(host, echo.handle, &info), "open info");
	cfg.ring_pages = info.ring_pages;
	must(vmb_channel_storage(&cfg, &need), "channel storage");
	echo.mem = block(&need);
	must(vmb_host_attach(host, echo.handle, echo.mem, need.bytes, &cfg, &echo.ch), "attach");
	echo.ready = 1;
	printf("host    the guest opens the echo device: %u ring pages, GPADL 0x%x\n", info.ring_pages, info.ring_gpadl);
}

static void host_event(const struct vmb_event *ev)
{
	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		printf("host    a guest makes contact\n");
		break;
	case VMB_EV_OPEN:
		host_attach();
		break;
	case VMB_EV_CLOSED:
		printf("host    the channel is closed, its memory is free\n");
		free(echo.mem);
		echo.ch = NULL;
		break;
	case VMB_EV_GONE:
		printf("host    the guest has let go of the device\n");
		break;
	}
}

/* What the device's thread would do: take requests, invert the bytes, answer. */
static void host_device(void)
{
	uint64_t buf[512];
	struct vmb_packet p;
	int r;

	while ((r = vmb_channel_recv(echo.ch, buf, sizeof buf, &p)) > 0) {
		struct vmb_packet answer = { .kind = VMB_PKT_COMPLETION, .id = p.id, .payload = p.payload, .len = p.len };
		unsigned char *bytes = (unsigned char *)buf + p.head_len;

		for (uint32_t i = 0; i < p.len; i++)
			bytes[i] ^= 0xff;
		must(vmb_channel_put(echo.ch, &answer), "answer");
	}
	echo.ready = 0;
	if (r == VMB_ESTOPPED) { /* the device is being removed: give the rings back */
		must(vmb_host_detach(host, echo.handle), "detach");
		return;
	}
	must(r, "receive");
	must(vmb_channel_flush(echo.ch), "flush"); /* all answers, one signal */
}

/* ------------------------------------------------------------------------------------------------ the guest */

static struct {
	vmb_handle handle;
	struct vmb_channel *ch;
	void *mem;
	int open, ready, gone;
	unsigned long answers, batches;
} driver;

static int guest_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	struct { uint32_t connection, zero, type, len; unsigned char payload[VMB_MESSAGE_MAX]; } in = {
		htole32(connection), 0, htole32(1), htole32(len), { 0 } };
	int r;

	(void)ctx; /* HvPostMessage: an exit to the hypervisor */
	memcpy(in.payload, payload, len);
	r = vmb_host_post(host, &in, sizeof in);
	must(r, "post");
	posts++;
	return r;
}

static int guest_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx; /* HvSignalEvent */
	signals_to_host++;
	return vmb_host_signal(host, connection, flag);
}

static void guest_wake(void *ctx, uint64_t user)
{
	(void)ctx, (void)user;
	driver.ready = 1;
}

static void guest_trace(void *ctx, const struct vmb_trace *what)
{
	(void)ctx;
	snapshot_trace(stdout, "guest", what);
}

static void guest_open(vmb_handle ch)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = DEPTH };
	struct vmb_open open = { .size = sizeof open, .tx_pages = RING_PAGES, .rx_pages = RING_PAGES,
				 .ring = ram[16], .ring_gpa = 16 * VMB_PAGE };
	struct vmb_storage need;

	must(vmb_channel_storage(&cfg, &need), "channel storage");
	driver.handle = ch;
	driver.mem = block(&need);
	must(vmb_guest_open(guest, ch, driver.mem, need.bytes, &cfg, &open, &driver.ch), "open");
	printf("guest   opens it: two rings of 64 KiB, storage of the channel %zu bytes\n", need.bytes);
}

static void guest_offer(vmb_handle ch)
{
	struct vmb_offer offer = { .size = sizeof offer };
	struct vmb_class class;
	char text[37];

	must(vmb_guest_offer(guest, ch, &offer), "offer");
	vmb_guid_format(&offer.instance, text);
	printf("guest   is offered channel %u, class %s, instance %s\n", offer.channel_id,
	       vmb_class_find(&offer.class_id, &class) == 0 ? class.name : "of our own", text);
	if (offer.class_id.byte[0] == 0x11)
		guest_open(ch);
	else
		must(vmb_guest_release(guest, ch), "release"); /* no driver for this one */
}

static void guest_event(const struct vmb_event *ev)
{
	struct vmb_bus_info info = { .size = sizeof info };

	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		must(ev->status, "connect");
		must(vmb_guest_info(guest, &info), "info");
		printf("guest   is connected, protocol version %u.%u\n", info.version >> 16, info.version & 0xffff);
		break;
	case VMB_EV_OFFER:
		guest_offer(ev->ch);
		break;
	case VMB_EV_OPENED:
		must(ev->status, "open");
		driver.open = 1;
		break;
	case VMB_EV_RESCINDED:
		printf("guest   is told that the device is gone; stops and gives the channel back\n");
		driver.open = 0;
		must(vmb_guest_release(guest, ev->ch), "release");
		break;
	case VMB_EV_CLOSED:
		free(driver.mem);
		driver.ch = NULL;
		break;
	case VMB_EV_GONE:
		if (ev->ch == driver.handle)
			driver.gone = 1;
		break;
	}
}

/* What the driver's thread would do: keep DEPTH requests in flight, check each answer. */
static void guest_driver(unsigned long *todo)
{
	unsigned char text[64];
	uint64_t buf[512];
	struct vmb_packet p;
	int r;

	while ((r = vmb_channel_recv(driver.ch, buf, sizeof buf, &p)) > 0) {
		if (p.kind != VMB_PKT_COMPLETION || ((const unsigned char *)p.payload)[5] != (unsigned char)~p.user)
			must(VMB_EPEER, "a wrong answer");
		driver.answers++;
	}
	driver.ready = 0;
	if (r == VMB_ESTOPPED)
		return;
	must(r, "receive");
	for (; *todo; --*todo) {
		struct vmb_packet request = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .payload = text,
					      .len = sizeof text, .user = *todo };

		memset(text, (int)(*todo & 0xff), sizeof text);
		r = vmb_channel_put(driver.ch, &request);
		if (r == VMB_ENOSLOT || r == VMB_EFULL)
			break;
		must(r, "request");
	}
	driver.batches++;
	must(vmb_channel_flush(driver.ch), "flush");
}

static void guest_start(void)
{
	struct vmb_guest_config cfg = { .size = sizeof cfg, .post = guest_post, .signal = guest_signal, .wake = guest_wake,
					.trace = telling ? guest_trace : NULL };
	struct vmb_storage need;

	must(vmb_guest_storage(&cfg, &need), "guest storage");
	must(vmb_guest_init(block(&need), need.bytes, &cfg, &guest), "guest");
	printf("guest   storage of the end: %zu bytes\n", need.bytes);
	must(vmb_guest_connect(guest), "connect");
}

/* ------------------------------------------------------------------------------------------------- the world */

/* Let both ends do what is due. 1 if anything was. */
static int turn(unsigned long *todo)
{
	struct vmb_event ev;
	int any = 0, r;

	if (interrupt_pending) { /* the guest's interrupt handler, then its work queue */
		interrupt_pending = 0;
		vmb_guest_interrupt(guest, flags, slot);
		while ((r = vmb_guest_slot(guest, slot)) > 0)
			if (r & VMB_EOM)
				must(vmb_host_eom(host, 0), "eom");
		any = 1;
	}
	while (vmb_guest_poll(guest, 0, &ev) > 0)
		guest_event(&ev), any = 1;
	while (vmb_host_poll(host, 0, &ev) > 0)
		host_event(&ev), any = 1;
	if (echo.ch && echo.ready)
		host_device(), any = 1;
	if (driver.open && driver.ch && (driver.ready || (*todo && !driver.batches)))
		guest_driver(todo), any = 1;
	return any;
}

static void table(const char *end, struct vmb_channel *ch)
{
	struct vmb_channel_info i = { .size = sizeof i };

	must(vmb_channel_info(ch, &i), "info");
	printf("  %-8s %10llu %10llu %10llu %10llu %10llu\n", end, (unsigned long long)i.sent, (unsigned long long)i.received,
	       (unsigned long long)i.signals_data, (unsigned long long)i.signals_room, (unsigned long long)i.full);
}

int main(int argc, char **argv)
{
	unsigned long todo = 1000000, total = todo;
	clock_t start;
	double seconds;

	telling = argc > 1 && !strcmp(argv[1], "-t");
	host_start();
	guest_start();
	start = clock();
	while (turn(&todo))
		;
	seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
	printf("guest   %lu requests, %lu answers, all bytes as they should be: %.2f million requests a second\n\n", total,
	       driver.answers, (double)total / seconds / 1e6);
	printf("  end            sent   received  sig. data  sig. room       full\n");
	table("guest", driver.ch);
	table("host", echo.ch);
	printf("\n  %d control messages from the guest, %d signals to the host, %d interrupts to the guest\n\n", posts, signals_to_host,
	       interrupts);
	printf("What there is of both ends now:\n\n");
	snapshot_host(stdout, host);
	snapshot_guest(stdout, guest);
	printf("\n");

	printf("host    takes the device away\n");
	must(vmb_host_remove(host, echo.handle), "remove");
	while (turn(&todo))
		;
	if (driver.answers != total || !driver.gone || echo.ch || driver.ch)
		return 1;
	must(vmb_guest_disconnect(guest), "disconnect");
	while (turn(&todo))
		;
	must(vmb_guest_end(guest), "end");
	must(vmb_host_end(host), "end");
	printf("guest   has left; both ends are done\n");
	return 0;
}
