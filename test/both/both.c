/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include "both.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

struct both both;

enum { TX = 2, RX = 2 };

/* ---- the guest's platform */

static int both_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	uint32_t in[64] = { htole32(connection), 0, htole32(1), htole32(len) };
	int r;

	(void)ctx;
	if (both.post_status)
		return both.post_status;
	memcpy(in + 4, payload, len);
	both.posts++;
	r = both.hcfg.flags & VMB_HOST_TRUSTED ? vmb_host_post_trusted(both.h, in, sizeof in) : vmb_host_post(both.h, in, sizeof in);
	cr_assert_geq(r, 0, "post: %d", r);
	return r;
}

static int both_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx;
	both.signals++;
	both.signal_connection = connection;
	return vmb_host_signal(both.h, connection, flag);
}

static void both_guest_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	both.guest_wakes++;
	both.guest_woken = user;
}

/* ---- the host's */

static int both_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	struct both_message *m = &both.queue[both.in % BOTH_QUEUE];

	(void)ctx;
	cr_assert_lt(both.in - both.out, BOTH_QUEUE);
	*m = (struct both_message){ vp, vtl, sint, len, { 0 } };
	memcpy(m->bytes, payload, len);
	both.in++;
	return 0;
}

static void both_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	static uint32_t flags[64], slot[64];

	(void)ctx;
	both.interrupt[both.interrupts % BOTH_QUEUE].vp = vp;
	both.interrupt[both.interrupts % BOTH_QUEUE].vtl = vtl;
	both.interrupt[both.interrupts % BOTH_QUEUE].sint = sint;
	both.interrupt[both.interrupts % BOTH_QUEUE].flag = flag;
	both.interrupts++;
	cr_assert_eq(vmb_synic_set(flags, flag), VMB_YES);
	cr_assert_eq(vmb_guest_interrupt(both.g, flags, slot), 0);
}

static void both_host_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	both.host_wakes++;
	both.host_woken = user;
}

static int both_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx;
	(void)flags;
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] >= BOTH_PAGES)
			return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++) {
		both.mapped[pfns[i]]++;
		pages[i] = both_page(pfns[i]);
	}
	return 0;
}

static void both_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx;
	(void)flags;
	for (uint32_t i = 0; i < n; i++) {
		cr_assert_gt(both.mapped[pfns[i]], 0);
		cr_assert_eq(pages[i], both_page(pfns[i]));
		both.mapped[pfns[i]]--;
	}
}

/* ---- making */

static void both_free(void)
{
	for (uint32_t n = 0; n < BOTH_CHANNELS; n++) {
		free(both.ch[n].hmem);
		free(both.ch[n].gmem);
	}
	free(both.hmem);
	free(both.gmem);
	free(both.ram);
	memset(&both, 0, sizeof both);
}

void both_config(void)
{
	both_free(); /* of the pair before */
	memset(&both, 0, sizeof both);
	both.next_pfn = 16;
	both.hcfg = (struct vmb_host_config){ .size = sizeof both.hcfg, .max_channels = BOTH_CHANNELS, .message = both_message,
					      .interrupt = both_interrupt, .wake = both_host_wake, .map = both_map, .unmap = both_unmap };
	both.gcfg = (struct vmb_guest_config){ .size = sizeof both.gcfg, .max_channels = BOTH_CHANNELS, .post = both_post,
					       .signal = both_signal, .wake = both_guest_wake };
	both.ram = aligned_alloc(VMB_PAGE, BOTH_PAGES * VMB_PAGE);
	memset(both.ram, 0, BOTH_PAGES * VMB_PAGE);
}

void both_init(void)
{
	struct vmb_storage need;

	cr_assert_eq(vmb_host_storage(&both.hcfg, &need), 0);
	both.hmem = aligned_alloc(64, need.bytes);
	cr_assert_eq(vmb_host_init(both.hmem, need.bytes, &both.hcfg, &both.h), 0);
	cr_assert_eq(vmb_guest_storage(&both.gcfg, &need), 0);
	both.gmem = aligned_alloc(64, need.bytes);
	cr_assert_eq(vmb_guest_init(both.gmem, need.bytes, &both.gcfg, &both.g), 0);
}

void both_end(void)
{
	for (uint32_t i = 0; i < BOTH_PAGES; i++)
		cr_assert_eq(both.mapped[i], 0, "page %u", i);
	both_free();
}

void both_stop(void)
{
	cr_assert_eq(vmb_host_reset(both.h), 0);
	for (uint32_t n = 0; n < BOTH_CHANNELS; n++)
		if (both.ch[n].host)
			(void)vmb_host_detach(both.h, both.ch[n].host);
	both_run();
	both_end();
}

uint64_t both_pages(uint32_t n)
{
	uint64_t pfn = both.next_pfn;

	both.next_pfn += n;
	cr_assert_leq(both.next_pfn, BOTH_PAGES);
	return pfn;
}

void *both_page(uint64_t pfn)
{
	return both.ram + pfn * VMB_PAGE;
}

/* ---- running */

static int both_poll(void)
{
	struct vmb_event ev;
	int more = 0;

	while (vmb_host_poll(both.h, both.now, &ev) == VMB_YES) {
		both.hev[both.hn++ % BOTH_EVENTS] = ev;
		more = 1;
	}
	while (vmb_guest_poll(both.g, both.now, &ev) == VMB_YES) {
		both.gev[both.gn++ % BOTH_EVENTS] = ev;
		more = 1;
	}
	return more;
}

void both_run(void)
{
	int more = 1;

	while (more) {
		more = both_poll();
		while (!both.hold && both.out != both.in) {
			const struct both_message *m = &both.queue[both.out++ % BOTH_QUEUE];

			cr_assert_eq(vmb_guest_message(both.g, m->bytes, m->len), 0);
			more = 1;
		}
	}
}

const struct vmb_event *both_guest_at(int line, uint32_t kind, int status)
{
	const struct vmb_event *ev = &both.gev[both.gr++ % BOTH_EVENTS];

	cr_assert_leq(both.gr, both.gn, "line %d: no event, %u expected", line, kind);
	cr_assert_eq(ev->kind, kind, "line %d: guest event %u, not %u", line, ev->kind, kind);
	cr_assert_eq(ev->status, status, "line %d: status %d", line, ev->status);
	return ev;
}

const struct vmb_event *both_host_at(int line, uint32_t kind, int status)
{
	const struct vmb_event *ev = &both.hev[both.hr++ % BOTH_EVENTS];

	cr_assert_leq(both.hr, both.hn, "line %d: no event, %u expected", line, kind);
	cr_assert_eq(ev->kind, kind, "line %d: host event %u, not %u", line, ev->kind, kind);
	cr_assert_eq(ev->status, status, "line %d: status %d", line, ev->status);
	return ev;
}

void both_quiet_at(int line)
{
	both_run();
	cr_assert_eq(both.gr, both.gn, "line %d: guest event %u", line, both.gev[both.gr % BOTH_EVENTS].kind);
	cr_assert_eq(both.hr, both.hn, "line %d: host event %u", line, both.hev[both.hr % BOTH_EVENTS].kind);
}

void both_forget(void)
{
	both_run();
	both.gr = both.gn;
	both.hr = both.hn;
}

void both_connect(void)
{
	cr_assert_eq(vmb_guest_connect(both.g), 0);
	both_run();
	both_guest(VMB_EV_CONNECTED, 0);
	both_host(VMB_EV_CONNECTED, 0);
	while (both.gr < both.gn && both.gev[both.gr % BOTH_EVENTS].kind == VMB_EV_OFFER) {
		struct vmb_offer o = { .size = sizeof o };
		const struct vmb_event *ev = both_guest(VMB_EV_OFFER, 0);

		cr_assert_eq(vmb_guest_offer(both.g, ev->ch, &o), 0);
		both.ch[o.instance.byte[0]].guest = ev->ch;
	}
	both_guest(VMB_EV_OFFERS_DONE, 0);
	both_quiet();
}

void both_offer(uint32_t n, uint32_t flags)
{
	struct vmb_offer o = { .size = sizeof o, .class_id = { { 0xc0 } }, .instance = { { (uint8_t)n } }, .user = n, .flags = flags };

	cr_assert_eq(vmb_host_offer(both.h, &o, &both.ch[n].host), 0);
	if (!both_info(1).state)
		return;
	both_run();
	both.ch[n].guest = both_guest(VMB_EV_OFFER, 0)->ch;
}

int both_try_open(uint32_t n, const struct vmb_open *with)
{
	struct vmb_open open = with ? *with : (struct vmb_open){ 0 };
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 4 };
	struct both_channel *c = &both.ch[n];
	struct vmb_storage need;
	uint64_t pfn = both_pages(TX + RX);

	open.size = sizeof open;
	open.tx_pages = TX;
	open.rx_pages = RX;
	open.user = n;
	open.ring_gpa = pfn * VMB_PAGE;
	open.ring = both_page(pfn);
	cfg.tx.data_pages = TX - 1;
	cfg.rx.data_pages = RX - 1;
	cfg.tx.control = cfg.rx.control = open.ring;
	cfg.tx.data = cfg.rx.data = open.ring;
	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	free(c->gmem);
	c->gmem = aligned_alloc(64, need.bytes);
	return vmb_guest_open(both.g, c->guest, c->gmem, need.bytes, &cfg, &open, &c->g);
}

void both_attach(uint32_t n)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = 4, .ring_pages = TX + RX };
	struct both_channel *c = &both.ch[n];
	struct vmb_storage need;

	cr_assert_eq(both_host(VMB_EV_OPEN, 0)->ch, c->host);
	cr_assert_eq(vmb_channel_storage(&cfg, &need), 0);
	free(c->hmem);
	c->hmem = aligned_alloc(64, need.bytes);
	cr_assert_eq(vmb_host_attach(both.h, c->host, c->hmem, need.bytes, &cfg, &c->h), 0);
	both_run();
}

void both_open(uint32_t n, const struct vmb_open *with)
{
	cr_assert_eq(both_try_open(n, with), 0);
	both_run();
	both_attach(n);
	cr_assert_eq(both_guest(VMB_EV_OPENED, 0)->ch, both.ch[n].guest);
	both_quiet();
}

void both_give_back_at(int line, uint32_t n)
{
	both_run();
	both_host_at(line, VMB_EV_CLOSE, 0);
	cr_assert_eq(vmb_host_detach(both.h, both.ch[n].host), 0, "line %d", line);
	both_run();
	both_host_at(line, VMB_EV_CLOSED, 0);
}

void both_close(uint32_t n)
{
	cr_assert_eq(vmb_guest_close(both.g, both.ch[n].guest), 0);
	both_give_back(n);
	both_guest(VMB_EV_CLOSED, 0);
	both_quiet();
}

static void both_one(struct vmb_channel *from, struct vmb_channel *to, const char *text)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = text, .len = 8 };
	uint8_t buf[64] __attribute__((aligned(8)));

	cr_assert_eq(vmb_channel_recv(to, buf, sizeof buf, &p), 0);
	p = (struct vmb_packet){ .kind = VMB_PKT_INBAND, .payload = text, .len = 8 };
	cr_assert_eq(vmb_channel_send(from, &p), 0);
	cr_assert_eq(vmb_channel_recv(to, buf, sizeof buf, &p), VMB_YES);
	cr_assert_eq(memcmp(p.payload, text, 8), 0);
}

void both_talk(uint32_t n)
{
	both_one(both.ch[n].g, both.ch[n].h, "upstream");
	both_one(both.ch[n].h, both.ch[n].g, "downward");
}

struct vmb_bus_info both_info(int host)
{
	struct vmb_bus_info info = { .size = sizeof info };

	cr_assert_eq(host ? vmb_host_info(both.h, &info) : vmb_guest_info(both.g, &info), 0);
	return info;
}
