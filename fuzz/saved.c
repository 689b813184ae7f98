/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Target: a saved end made by anybody. The input's first step says which end, which format, and how it goes on; what follows are the records of
 * the blob, in steps of 8 bytes as they are. Header, number of records and checksum are put right, so that every input gets as far as it can.
 *
 * An end that refuses is as it was: it takes the next blob. An end that accepts can be saved again, and what it says then is accepted, too.
 * Then its embedder answers everything, in some way, and the end is brought to its end, with nothing left.
 */
#include "fuzz.h"

#include <vmbus.h>

enum { SAVED_PAGES = 512, SAVED_MAX = 1 << 16, SAVED_DEVICES = 10 };

static struct {
	uint8_t blob[SAVED_MAX], again[SAVED_MAX];
	size_t bytes;
	uint32_t mapped[SAVED_PAGES];
	uint32_t all_mapped;
	uint32_t how;
	void *mem, *channel, *ring;
	size_t channel_bytes;
	uint32_t channel_out; /* the memory is in use by this handle */
} saved;

static uint8_t saved_ram[SAVED_PAGES * VMB_PAGE] __attribute__((aligned(4096)));

void fuzz_touch(const volatile void *p, size_t n)
{
	(void)p;
	(void)n;
}

/* ---- the blob */

static void saved_put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* Records as they are, behind a header that fits them. */
static void saved_make(const uint8_t *data, size_t size, uint32_t format, uint32_t whose)
{
	uint32_t records = 0, crc = 0xffffffffu;

	memset(saved.blob, 0, 32);
	memcpy(saved.blob, "VMBusSav", 8);
	saved_put32(saved.blob + 8, format);
	saved_put32(saved.blob + 12, whose);
	memcpy(saved.blob + 32, data, size);
	saved.bytes = 32 + size;
	for (size_t at = 32; at + 8 <= saved.bytes; records++)
		at += 8 + ((size_t)fuzz_get32(saved.blob + at + 4) + 7) / 8 * 8;
	saved_put32(saved.blob + 16, (uint32_t)saved.bytes);
	saved_put32(saved.blob + 24, records);
	for (size_t i = 0; i < saved.bytes; i++) {
		crc ^= saved.blob[i];
		for (int b = 0; b < 8; b++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	saved_put32(saved.blob + 20, ~crc);
}

static void saved_result(int r)
{
	fuzz_need(r == 0 || r == VMB_EINVAL || r == VMB_EVERSION || r == VMB_ENOSPACE || r == VMB_EMAP || r == VMB_ESTATE);
	fuzz_trace("restore: %d\n", r);
}

/* One channel object at a time: memory of exactly its size. */
static int saved_channel_config(struct vmb_channel_config *cfg, vmb_handle ch)
{
	struct vmb_storage need;

	if (saved.channel_out)
		return 0;
	fuzz_need(vmb_channel_storage(cfg, &need) == 0);
	free(saved.channel);
	saved.channel = fuzz_alloc(need.align, need.bytes);
	saved.channel_bytes = need.bytes;
	saved.channel_out = ch;
	return 1;
}

/* ---- the host */

static int saved_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	(void)ctx, (void)vp, (void)vtl, (void)sint, (void)payload;
	fuzz_need(len >= 8 && len <= VMB_MESSAGE_MAX && vp < 8);
	return saved.how & 1 ? VMB_EAGAIN : 0;
}

static void saved_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx, (void)vtl, (void)sint;
	fuzz_need(vp < 8 && flag < 2048);
}

static void saved_wake(void *ctx, uint64_t user)
{
	(void)ctx, (void)user;
}

static int saved_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx, (void)flags;
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] >= SAVED_PAGES)
			return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++) {
		saved.mapped[pfns[i]]++;
		pages[i] = saved_ram + pfns[i] * VMB_PAGE;
	}
	saved.all_mapped += n;
	return 0;
}

static void saved_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)flags;
	for (uint32_t i = 0; i < n; i++)
		fuzz_need(pfns[i] < SAVED_PAGES && saved.mapped[pfns[i]]-- && pages[i] == saved_ram + pfns[i] * VMB_PAGE);
	saved.all_mapped -= n;
}

static struct vmb_host *saved_host(void)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .vps = 8, .max_channels = 16, .max_gpadls = 32, .max_gpadl_pages = 256,
				       .max_hvsock = 2, .flags = VMB_HOST_MONITOR, .message = saved_message, .interrupt = saved_interrupt,
				       .wake = saved_wake, .map = saved_map, .unmap = saved_unmap };
	struct vmb_storage need;
	struct vmb_host *h;
	vmb_handle ch;

	fuzz_need(vmb_host_storage(&cfg, &need) == 0);
	free(saved.mem);
	saved.mem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(vmb_host_init(saved.mem, need.bytes, &cfg, &h) == 0);
	for (uint32_t n = 0; n <= SAVED_DEVICES; n++) { /* as test/bus/test_host_save.c has them: their blobs are good seeds */
		struct vmb_offer o = { .size = sizeof o, .flags = VMB_OFFER_ENUMERATE, .class_id = { { 0xc0 } }, .user = n };

		o.instance.byte[15] = (uint8_t)(n ? n : 1);
		o.subchannel = !n;
		if (n && n != 5)
			fuzz_need(vmb_host_offer(h, &o, &ch) == 0);
	}
	{
		struct vmb_offer o = { .size = sizeof o, .flags = VMB_OFFER_ENUMERATE, .class_id = { { 0xc0 } }, .subchannel = 1 };

		o.instance.byte[15] = 1;
		fuzz_need(vmb_host_offer(h, &o, &ch) == 0);
	}
	return h;
}

static void saved_host_event(struct vmb_host *h, const struct vmb_event *ev)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 2 };
	struct vmb_open_info info = { .size = sizeof info };
	struct vmb_channel *c;
	uint64_t buf[64];
	struct vmb_packet p;
	int r;

	if (ev->kind == VMB_EV_OPEN) {
		fuzz_need(vmb_host_open_info(h, ev->ch, &info) == 0);
		cfg.ring_pages = info.ring_pages;
		if (saved.how & 2 || !saved_channel_config(&cfg, ev->ch)) {
			fuzz_need(vmb_host_answer(h, ev, saved.how & 4 ? 0 : VMB_ENOENT) == 0);
			return;
		}
		r = vmb_host_attach(h, ev->ch, saved.channel, saved.channel_bytes, &cfg, &c);
		fuzz_need(r == 0 || r == VMB_EMAP || r == VMB_EPEER);
		if (r)
			saved.channel_out = 0;
		else
			(void)!vmb_channel_recv(c, buf, sizeof buf, &p);
	} else if (ev->kind == VMB_EV_CLOSE) {
		fuzz_need(vmb_host_detach(h, ev->ch) == 0);
	} else if (ev->kind == VMB_EV_CLOSED && saved.channel_out == ev->ch) {
		saved.channel_out = 0;
	} else if (ev->kind == VMB_EV_GPADL_DOWN) {
		fuzz_need(vmb_host_answer(h, ev, 0) == 0);
	}
}

static void saved_host_run(struct vmb_host *h)
{
	struct vmb_event ev;
	uint32_t n = 0;

	while (vmb_host_poll(h, 0, &ev) == VMB_YES) {
		saved_host_event(h, &ev);
		fuzz_need(++n < 10000);
	}
}

static void saved_host_input(uint32_t format)
{
	struct vmb_host *h = saved_host();
	struct vmb_bus_info info = { .size = sizeof info };
	size_t bytes;
	int r = vmb_host_restore(h, saved.blob, saved.bytes);

	saved_result(r);
	if (r) {
		fuzz_need(vmb_host_info(h, &info) == 0 && !info.state && !info.gpadls && !info.queued && !saved.all_mapped);
		fuzz_need(vmb_host_save(h, format, saved.blob, sizeof saved.blob, &saved.bytes) == 0);
		fuzz_need(vmb_host_restore(h, saved.blob, saved.bytes) == 0);
	} else {
		fuzz_need(vmb_host_save(h, format, saved.again, sizeof saved.again, &bytes) == 0);
		if (saved.how & 8) { /* into the next one, which begins with all that this one had mapped */
			memset(saved.mapped, 0, sizeof saved.mapped);
			saved.all_mapped = 0;
			h = saved_host();
			fuzz_need(vmb_host_restore(h, saved.again, bytes) == 0);
		}
	}
	saved_host_run(h);
	fuzz_need(vmb_host_reset(h) == 0);
	saved_host_run(h);
	fuzz_need(vmb_host_info(h, &info) == 0 && !info.state && !info.gpadls && !info.attached && !saved.all_mapped);
	fuzz_need(vmb_host_end(h) == 0);
}

/* ---- the guest */

static int saved_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	(void)ctx, (void)connection, (void)payload;
	fuzz_need(len >= 8 && len <= VMB_MESSAGE_MAX);
	return saved.how & 1 ? VMB_HV_NO_BUFFERS : VMB_HV_SUCCESS;
}

static int saved_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx, (void)flag;
	fuzz_need(!(connection >> 24));
	return 0;
}

static struct vmb_guest *saved_guest(void)
{
	struct vmb_guest_config cfg = { .size = sizeof cfg, .max_channels = 16, .max_gpadls = 16, .max_gpadl_pages = 64, .max_hvsock = 4,
					.features = VMB_FEATURE_PAUSE, .reply_ms = 1000, .unload_ms = 1000, .connect_ms = 1000,
					.post = saved_post, .signal = saved_signal, .wake = saved_wake };
	struct vmb_storage need;
	struct vmb_guest *g;

	fuzz_need(vmb_guest_storage(&cfg, &need) == 0);
	free(saved.mem);
	saved.mem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(vmb_guest_init(saved.mem, need.bytes, &cfg, &g) == 0);
	return g;
}

static void saved_guest_event(struct vmb_guest *g, const struct vmb_event *ev)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 2 };
	struct vmb_open open = { .size = sizeof open, .tx_pages = 2, .rx_pages = 2, .ring_gpa = 0x100000, .ring = saved_ram };
	struct vmb_channel *c;
	int r;

	if (ev->kind == VMB_EV_OFFER && ev->flags & VMB_EVF_OPEN && saved.how & 2) {
		cfg.tx.control = cfg.rx.control = cfg.tx.data = cfg.rx.data = saved_ram;
		cfg.tx.data_pages = cfg.rx.data_pages = 1;
		if (!saved_channel_config(&cfg, ev->ch))
			return;
		r = vmb_guest_open(g, ev->ch, saved.channel, saved.channel_bytes, &cfg, &open, &c);
		fuzz_need(r == 0 || r == VMB_EINVAL || r == VMB_EPEER || r == VMB_ESTATE);
		if (r)
			saved.channel_out = 0;
	} else if (ev->kind == VMB_EV_OFFER && saved.how & 4) {
		(void)vmb_guest_close(g, ev->ch);
	} else if (ev->kind == VMB_EV_RESCINDED) {
		r = vmb_guest_release(g, ev->ch);
		fuzz_need(r == 0 || r == VMB_ESTATE);
	} else if (ev->kind == VMB_EV_CLOSED && saved.channel_out == ev->ch) {
		saved.channel_out = 0;
	}
}

static void saved_guest_run(struct vmb_guest *g, uint64_t *now)
{
	struct vmb_event ev;

	for (uint32_t n = 0; n < 300; n++) {
		*now += 400000000;
		if (vmb_guest_poll(g, *now, &ev) == VMB_YES)
			saved_guest_event(g, &ev);
	}
}

static void saved_guest_input(uint32_t format)
{
	struct vmb_guest *g = saved_guest();
	struct vmb_bus_info info = { .size = sizeof info };
	uint32_t anew = saved.how & 16 ? VMB_RESTORE_ANEW : 0;
	uint64_t now = 1;
	size_t bytes;
	int r = vmb_guest_restore(g, saved.blob, saved.bytes, anew);

	saved_result(r);
	if (r) {
		fuzz_need(vmb_guest_info(g, &info) == 0 && !info.state && !info.gpadls && !info.queued && !info.channels);
		fuzz_need(vmb_guest_connect(g) == 0);
	} else if (!anew) {
		r = vmb_guest_save(g, format, saved.again, sizeof saved.again, &bytes);
		fuzz_need(r == 0 || r == VMB_ESTATE);
		if (saved.how & 8 && !r) {
			g = saved_guest();
			fuzz_need(vmb_guest_restore(g, saved.again, bytes, 0) == 0);
		}
	} else {
		fuzz_need(vmb_guest_connect(g) == 0);
	}
	saved_guest_run(g, &now);
	saved.how &= ~1u; /* posts get through again */
	(void)vmb_guest_disconnect(g);
	saved_guest_run(g, &now);
}

/* ---- the input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t format;

	if (size < FUZZ_STEP || size > SAVED_MAX - 64)
		return 0;
	memset(&saved.mapped, 0, sizeof saved.mapped);
	saved.all_mapped = saved.channel_out = 0;
	saved.how = data[1];
	format = 1 + data[2] % VMB_SAVED_FORMAT;
	saved_make(data + FUZZ_STEP, (size - FUZZ_STEP) / FUZZ_STEP * FUZZ_STEP, format, 1 + (data[0] & 1));
	if (data[0] & 1)
		saved_guest_input(format);
	else
		saved_host_input(format);
	free(saved.mem);
	free(saved.channel);
	saved.mem = saved.channel = NULL;
	return 0;
}
