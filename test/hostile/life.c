/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* See life.h. One thread plays everybody: hypervisor, both control sides, devices and drivers. */
#include "life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, SIM = 1, SIEF = 2, INTERRUPT = 3, MONITOR = 4, RINGS = 8, RING_PAGES = 4, DATA = 72, SLOT = 512, REQUESTS = 8 };
enum { HOST, GUEST, AT_GUEST, AT_HOST = AT_GUEST + LIFE_CHANNELS, STORAGES = AT_HOST + LIFE_CHANNELS };

struct life_side {
	struct vmb_channel *ch;
	vmb_handle handle;
	int ready, open;
};

static struct guard kept[STORAGES];

static struct {
	const struct life_config *cfg;
	struct life_trace *t;
	int fd, irq, eom;
	uint8_t *ram, *window[2 * LIFE_CHANNELS];
	struct vmb_host *host;
	struct vmb_guest *guest;
	struct life_side guests[LIFE_CHANNELS], hosts[LIFE_CHANNELS];
	struct vmb_event question;
	uint64_t held_id; /* a request that its device answers later */
	uint32_t gpadl;
	uint64_t now;
	int used[STORAGES], deaf;
} life;

/* ---- writing down */

static void need(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "life: %s; so far:\n%s", what,
			life.t->text ? life.t->text + (life.t->used > 3000 ? life.t->used - 3000 : 0) : "");
		abort();
	}
}

#define note(...) life_note(life.t, __VA_ARGS__)
#define sum life_sum

static void note_bytes(const char *what, const void *from, size_t n)
{
	note("  %s: %zu bytes %016llx\n", what, n, (unsigned long long)sum(from, n));
}

/* The result of a call, and what all memory that is shared is now; but while somebody else writes there. */
static int done(const char *what, int r)
{
	if (life.deaf)
		return r;
	note("%s = %d, memory %016llx\n", what, r, (unsigned long long)sum(life.ram, (size_t)LIFE_PAGES * PAGE));
	return r;
}

/* What an output holds before. */
static void dirty(void *at, size_t n)
{
	guard_fill(at, n, life.cfg->fill);
}

#define OUTPUT(type, name) \
	struct type name; \
	dirty(&name, sizeof name); \
	name.size = sizeof name

/* ---- storage */

static void *storage(unsigned which, const struct vmb_storage *s)
{
	struct guard *g = &kept[which];

	need(s->bytes % s->align == 0, "storage ends unaligned");
	if (!g->at || (!life.used[which] && !life.cfg->again)) {
		guard_free(g);
		guard_make(g, s->bytes, life.cfg->right, life.cfg->fill);
	}
	need(g->bytes == s->bytes && (uintptr_t)g->at % s->align == 0, "the size of storage");
	life.used[which] = 1;
	return g->at;
}

void life_forget(void)
{
	for (unsigned i = 0; i < STORAGES; i++)
		guard_free(&kept[i]);
}

/* A call that was given too little storage has left it as it was. */
static void refused(const char *what, int r, unsigned which, uint64_t before)
{
	need(done(what, r) == VMB_ENOSPACE, "too little storage was taken");
	need(sum(kept[which].at, kept[which].bytes) == before, "storage was touched by a call that refused it");
}

static struct guard buffer(size_t bytes)
{
	struct guard g;

	guard_make(&g, (bytes + 7) & ~(size_t)7, life.cfg->right, life.cfg->fill);
	return g;
}

static void drop(struct guard *g)
{
	life.t->bad += !guard_intact(g);
	guard_free(g);
}

/* ---- the hypervisor, and what the ends ask of it */

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	int r = vmb_synic_post(life.ram + SIM * PAGE + SLOT, payload, len);

	(void)ctx;
	note("  message to %u %u %u: %d\n", vp, vtl, sint, r);
	note_bytes("message", payload, len);
	life.irq = 1;
	return r;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx;
	note("  interrupt %u %u %u %u: %d\n", vp, vtl, sint, flag, vmb_synic_set(life.ram + SIEF * PAGE + SLOT, flag));
	life.irq = 1;
}

static void on_host_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	note("  host wake %llu\n", (unsigned long long)user);
	life.hosts[user - 1].ready = 1;
}

static void on_guest_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	note("  guest wake %llu\n", (unsigned long long)user);
	life.guests[user - 1].ready = 1;
}

static int on_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx;
	note("  map %u %x", n, flags);
	for (uint32_t i = 0; i < n; i++) {
		note(" %llu", (unsigned long long)pfns[i]);
		need(pfns[i] < LIFE_PAGES, "a page that there is not");
		pages[i] = life.ram + pfns[i] * PAGE;
	}
	note("\n");
	return 0;
}

static void on_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx;
	note("  unmap %u %x", n, flags);
	for (uint32_t i = 0; i < n; i++) {
		note(" %llu", (unsigned long long)pfns[i]);
		need(pages[i] == life.ram + pfns[i] * PAGE, "another page is unmapped");
	}
	note("\n");
}

static const struct vmb_mapper mapper = { NULL, on_map, on_unmap };

static int on_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	struct guard in = buffer(16 + len);
	int r;

	(void)ctx;
	memset(in.at, 0, 16);
	in.at[0] = (uint8_t)connection;
	in.at[8] = 1;
	in.at[12] = (uint8_t)len;
	memcpy(in.at + 16, payload, len);
	note_bytes("post", payload, len);
	r = vmb_host_post(life.host, in.at, 16 + len);
	note("  post to %u: %d\n", connection, r);
	drop(&in);
	return r;
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	int r = vmb_host_signal(life.host, connection, flag);

	(void)ctx;
	note("  signal %u %u: %d\n", connection, flag, r);
	return r;
}

/* ---- making the ends */

static void make_host(void)
{
	static const char *const classes[LIFE_CHANNELS] = { VMB_CLASS_SCSI, VMB_CLASS_NET, VMB_CLASS_SCSI, VMB_CLASS_HEARTBEAT };
	struct vmb_host_config cfg = { .size = sizeof cfg, .max_version = life.cfg->version, .vps = 2, .max_channels = 8, .max_gpadls = 16,
				       .max_gpadl_pages = 200, .max_messages = 20, .message = on_message, .interrupt = on_interrupt,
				       .wake = on_host_wake, .map = on_map, .unmap = on_unmap };
	struct vmb_storage s;

	dirty(&s, sizeof s);
	need(!done("vmb_host_storage", vmb_host_storage(&cfg, &s)), "host storage");
	need(!done("vmb_host_init", vmb_host_init(storage(HOST, &s), s.bytes, &cfg, &life.host)), "host");
	for (unsigned i = 0; i < LIFE_CHANNELS; i++) {
		struct vmb_offer offer = { .size = sizeof offer, .flags = VMB_OFFER_ENUMERATE, .user = i + 1 };

		(void)vmb_guid_parse(classes[i], &offer.class_id);
		offer.instance.byte[3] = (uint8_t)(i + 1);
		if (i == 3) {
			offer.flags |= VMB_OFFER_PIPE;
			offer.user_defined[0] = 4;
		}
		need(!done("vmb_host_offer", vmb_host_offer(life.host, &offer, &life.hosts[i].handle)), "offer");
		note("  handle %u\n", life.hosts[i].handle);
	}
}

static void make_guest(void)
{
	struct vmb_guest_config cfg = { .size = sizeof cfg, .max_version = life.cfg->version, .max_channels = 8, .max_gpadls = 16,
					.max_gpadl_pages = 100, .post = on_post, .signal = on_signal, .wake = on_guest_wake };
	struct vmb_storage s;

	if (life.cfg->version && life.cfg->version < VMB_V2_4) {
		cfg.interrupt_gpa = INTERRUPT * PAGE;
		cfg.interrupt_page = life.ram + INTERRUPT * PAGE;
		for (unsigned i = 0; i < 2; i++) {
			cfg.monitor_gpa[i] = (MONITOR + i) * PAGE;
			cfg.monitor_page[i] = life.ram + (MONITOR + i) * PAGE;
		}
	}
	dirty(&s, sizeof s);
	need(!done("vmb_guest_storage", vmb_guest_storage(&cfg, &s)), "guest storage");
	need(!done("vmb_guest_init", vmb_guest_init(storage(GUEST, &s), s.bytes, &cfg, &life.guest)), "guest");
}

/* ---- opening */

/* Channel 0 and 3: in a row; 1: mapped twice; 2: a list of pages in another order. */
static void guest_open(unsigned i)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = REQUESTS, .flags = VMB_CHANNEL_DIRTY };
	struct vmb_open open = { .size = sizeof open, .tx_pages = RING_PAGES, .rx_pages = RING_PAGES, .user = i + 1, .user_data = "hello" };
	uint64_t first = RINGS + i * 2 * RING_PAGES, pfns[2 * RING_PAGES];
	void *pages[2 * RING_PAGES], *mem;
	struct vmb_storage s;
	uint64_t before;

	for (unsigned k = 0; k < 2 * RING_PAGES; k++) {
		pfns[k] = i == 2 ? first + 2 * RING_PAGES - 1 - k : first + k;
		pages[k] = life.ram + pfns[k] * PAGE;
	}
	if (i == 1 || i == 2) {
		open.pfns = pfns;
		cfg.tx = (struct vmb_ring_mem){ .control = pages[0], .data_pages = RING_PAGES - 1 };
		cfg.rx = (struct vmb_ring_mem){ .control = pages[RING_PAGES], .data_pages = RING_PAGES - 1 };
		if (i == 1) {
			cfg.tx.data = life.window[0];
			cfg.rx.data = life.window[1];
			cfg.tx.flags = cfg.rx.flags = VMB_RING_TWICE;
		} else {
			cfg.tx.pages = pages + 1;
			cfg.rx.pages = pages + RING_PAGES + 1;
		}
	} else {
		open.ring_gpa = first * PAGE;
		open.ring = life.ram + first * PAGE;
		cfg.ring_pages = 2 * RING_PAGES;
	}
	need(!done("vmb_channel_storage", vmb_channel_storage(&cfg, &s)), "channel storage");
	mem = storage(AT_GUEST + i, &s);
	before = sum(mem, s.bytes);
	refused("vmb_guest_open, too little", vmb_guest_open(life.guest, life.guests[i].handle, mem, s.bytes - 1, &cfg, &open,
							     &life.guests[i].ch), AT_GUEST + i, before);
	need(!done("vmb_guest_open", vmb_guest_open(life.guest, life.guests[i].handle, mem, s.bytes, &cfg, &open,
						    &life.guests[i].ch)), "open");
}

static void host_attach(unsigned i)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .flags = VMB_CHANNEL_DIRTY };
	struct vmb_storage s;
	uint64_t before;
	void *mem;
	OUTPUT(vmb_open_info, info);

	need(!done("vmb_host_open_info", vmb_host_open_info(life.host, life.hosts[i].handle, &info)), "open info");
	note_bytes("info", &info, sizeof info);
	cfg.ring_pages = info.ring_pages;
	need(!vmb_channel_storage(&cfg, &s), "channel storage");
	mem = storage(AT_HOST + i, &s);
	before = sum(mem, s.bytes);
	refused("vmb_host_attach, too little", vmb_host_attach(life.host, life.hosts[i].handle, mem, s.bytes - 1, &cfg, &life.hosts[i].ch),
		AT_HOST + i, before);
	need(!done("vmb_host_attach", vmb_host_attach(life.host, life.hosts[i].handle, mem, s.bytes, &cfg, &life.hosts[i].ch)), "attach");
	life.hosts[i].ready = 1;
}

/* ---- events */

static unsigned guest_index(vmb_handle ch)
{
	for (unsigned i = 0; i < LIFE_CHANNELS; i++)
		if (life.guests[i].handle == ch)
			return i;
	need(0, "an event of a channel that there is not");
	return 0;
}

static void note_event(const char *whose, const struct vmb_event *ev)
{
	note("%s event %u flags %x channel %u status %d user %llu gpadl %u peer %u vp %u token %llu deadline %llu\n", whose, ev->kind,
	     ev->flags, ev->ch, ev->status, (unsigned long long)ev->user, ev->gpadl, ev->peer_status, ev->vp,
	     (unsigned long long)ev->token, (unsigned long long)ev->deadline);
	note("  reserved %u %llu\n", ev->reserved, (unsigned long long)ev->spare);
}

static void guest_event(const struct vmb_event *ev)
{
	OUTPUT(vmb_offer, offer);

	life.t->events[0][ev->kind]++;
	note_event("guest", ev);
	if (ev->kind == VMB_EV_OFFER) {
		unsigned i;

		need(!done("vmb_guest_offer", vmb_guest_offer(life.guest, ev->ch, &offer)), "offer");
		note_bytes("offer", &offer, sizeof offer);
		i = offer.instance.byte[3] - 1u;
		life.guests[i].handle = ev->ch;
		guest_open(i);
	} else if (ev->kind == VMB_EV_OPENED) {
		need(!ev->status, "not opened");
		life.guests[guest_index(ev->ch)].open = 1;
	} else if (ev->kind == VMB_EV_RESCINDED) {
		need(!done("vmb_guest_release", vmb_guest_release(life.guest, ev->ch)), "release");
	} else if (ev->kind == VMB_EV_CLOSED) {
		struct life_side *s = &life.guests[guest_index(ev->ch)];
		uint32_t cursor = 0, flags;
		uint64_t id, user;

		while (vmb_channel_outstanding(s->ch, &cursor, &id, &user, &flags) > 0)
			note("  outstanding %llx %llu %x\n", (unsigned long long)id, (unsigned long long)user, flags);
		s->ch = NULL;
		s->open = 0;
	}
}

static void host_event(const struct vmb_event *ev)
{
	life.t->events[1][ev->kind]++;
	note_event("host", ev);
	if (ev->kind == VMB_EV_OPEN)
		host_attach((unsigned)ev->user - 1);
	else if (ev->kind == VMB_EV_CLOSE)
		need(!done("vmb_host_detach", vmb_host_detach(life.host, ev->ch)), "detach");
	else if (ev->kind == VMB_EV_CLOSED)
		life.hosts[ev->user - 1].ch = NULL;
	else if (ev->kind == VMB_EV_GPADL_DOWN)
		need(!done("vmb_host_gpadl_release", vmb_host_gpadl_release(life.host, ev->ch, ev->gpadl)), "release of a GPADL");
}

/* ---- the devices and the drivers */

static void note_packet(const struct vmb_packet *p)
{
	note("  packet %u flags %x len %u id %llx user %llu head %u set %u list %u %u reserved %u\n", p->kind, p->flags, p->len,
	     (unsigned long long)p->id, (unsigned long long)p->user, p->head_len, p->page_set, p->list.count, p->list.ranges, p->reserved);
	life.t->packets++;
	life.t->answers += p->kind == VMB_PKT_COMPLETION;
	life.t->lates += (p->flags & VMB_PKT_LATE) != 0;
}

static void device_memory(const struct vmb_packet *p)
{
	uint32_t n = (uint32_t)vmb_packet_bytes(p);
	struct guard g = buffer(n);

	need(!done("vmb_packet_read", vmb_packet_read(p, NULL, &mapper, 0, g.at, n)), "read");
	note_bytes("memory", g.at, n);
	for (uint32_t i = 0; i < n; i++)
		g.at[i] ^= 0x5a;
	need(!done("vmb_packet_write", vmb_packet_write(p, NULL, &mapper, 0, g.at, n)), "write");
	need(!done("vmb_packet_compare", vmb_packet_compare(p, NULL, &mapper, 0, g.at, n)), "compare");
	drop(&g);
}

static void answer(struct life_side *s, uint64_t id)
{
	struct vmb_packet p = { .kind = VMB_PKT_COMPLETION, .id = id, .payload = "well, yes", .len = 9 };

	(void)done("vmb_channel_send", vmb_channel_send(s->ch, &p));
}

/* One packet, into a buffer that is as large as it needs. */
static int receive(struct life_side *s, int device)
{
	struct vmb_packet p;
	struct guard g;
	int r;

	dirty(&p, sizeof p);
	r = done("vmb_channel_recv, no buffer", vmb_channel_recv(s->ch, NULL, 0, &p));
	if (r != VMB_ETOOSMALL)
		return r;
	g = buffer(p.head_len + p.len);
	r = done("vmb_channel_recv", vmb_channel_recv(s->ch, g.at, (p.head_len + p.len + 7) & ~7u, &p));
	need(r == VMB_YES, "it said that it would fit");
	note_packet(&p);
	note_bytes("head", g.at, p.head_len);
	note_bytes("payload", p.payload, p.len);
	if (device && p.kind == VMB_PKT_GPA)
		device_memory(&p);
	if (device && p.flags & VMB_PKT_WANTS_REPLY) {
		if (*(const char *)p.payload == 'Z')
			life.held_id = p.id;
		else if (*(const char *)p.payload != 'Q')
			answer(s, p.id);
	}
	drop(&g);
	return r;
}

static int receive_batch(struct life_side *s)
{
	struct guard g = buffer(2048), recs = buffer(3 * sizeof(struct vmb_record));
	struct vmb_record *rec = (void *)recs.at;
	int r = done("vmb_channel_recv_batch", vmb_channel_recv_batch(s->ch, g.at, 2048, rec, 3));

	for (int i = 0; i < r; i++) {
		note("  record %u %x at %u head %u len %u id %llx user %llu\n", rec[i].kind, rec[i].flags, rec[i].offset, rec[i].head_len,
		     rec[i].len, (unsigned long long)rec[i].id, (unsigned long long)rec[i].user);
		note_bytes("bytes", g.at + rec[i].offset, rec[i].head_len + rec[i].len);
		life.t->packets++;
		life.t->answers += rec[i].kind == VMB_PKT_COMPLETION;
	}
	drop(&g);
	drop(&recs);
	return r;
}

static int receive_in_place(struct life_side *s)
{
	struct vmb_packet p;
	struct vmb_view all;
	struct vmb_rx *rx;
	struct guard g;
	int r;

	dirty(&p, sizeof p);
	r = done("vmb_channel_next", vmb_channel_next(s->ch, &p, &all));
	if (r != VMB_YES)
		return r;
	note_packet(&p);
	g = buffer(all.len);
	(void)vmb_channel_rx(s->ch, &rx);
	need(!vmb_rx_copy(rx, &all, 0, g.at, all.len), "copy");
	note_bytes("in place", g.at, all.len);
	drop(&g);
	return done("vmb_channel_release", vmb_channel_release(s->ch)) < 0 ? -1 : r;
}

static int serve(unsigned i)
{
	int any = 0, r = 1;

	if (life.hosts[i].ch && life.hosts[i].ready) {
		for (any = 1; r > 0;)
			r = receive(&life.hosts[i], 1);
		life.hosts[i].ready = 0;
	}
	if (life.guests[i].ch && life.guests[i].ready) {
		for (any = r = 1; r > 0;)
			r = i == 1 ? receive_batch(&life.guests[i]) : i == 2 ? receive_in_place(&life.guests[i]) :
							     receive(&life.guests[i], 0);
		life.guests[i].ready = 0;
	}
	return any;
}

/* Until nothing is left to do. */
static void run(void)
{
	uint8_t *slot = life.ram + SIM * PAGE + SLOT;
	int any = 1;

	for (unsigned turns = 0; any; turns++) {
		struct vmb_event ev;
		int r;

		need(turns < 1000, "it does not end");
		any = life.irq;
		life.irq = 0;
		if (any && done("vmb_guest_interrupt", vmb_guest_interrupt(life.guest, life.ram + SIEF * PAGE + SLOT, slot)))
			while ((r = done("vmb_guest_slot", vmb_guest_slot(life.guest, slot))) > 0)
				if (r & VMB_EOM)
					(void)done("vmb_host_eom", vmb_host_eom(life.host, 0));
		for (dirty(&ev, sizeof ev); vmb_guest_poll(life.guest, life.now++, &ev) > 0; any = 1)
			guest_event(&ev);
		note("guest deadline %llu\n", (unsigned long long)ev.deadline);
		for (dirty(&ev, sizeof ev); vmb_host_poll(life.host, life.now++, &ev) > 0; any = 1)
			host_event(&ev);
		note("host deadline %llu\n", (unsigned long long)ev.deadline);
		for (unsigned i = 0; i < LIFE_CHANNELS && !life.deaf; i++)
			any |= serve(i);
	}
}

static void send(struct life_side *s, struct vmb_packet *p)
{
	int r = done("vmb_channel_send", vmb_channel_send(s->ch, p));

	need(!r || r == VMB_EFULL || r == VMB_ENOSLOT, "send");
	note("  id %llx\n", (unsigned long long)p->id);
}

static void talk_in_place(struct life_side *s)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .len = 2000 };
	struct vmb_view v;
	struct vmb_tx *tx;

	for (unsigned n = 0; n < 8; n++) {
		if (done("vmb_channel_reserve", vmb_channel_reserve(s->ch, &p, &v)))
			break;
		note("  view %u %u\n", v.pos, v.len);
		(void)vmb_channel_tx(s->ch, &tx);
		for (uint32_t at = 0; at < v.len; at += 100)
			need(!vmb_tx_copy(tx, &v, at, "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"
						      "0123456789abcdefghijklmnopqrstuvwxyz0123456789", 100), "copy");
	}
	(void)done("vmb_channel_flush", vmb_channel_flush(s->ch));
}

/* What a driver says: requests of each kind, some in parts, some in one call. */
static void talk(unsigned i)
{
	static const char text[128] = "The quick brown fox jumps over the lazy dog, as long as there is a ring to jump in.";
	const uint64_t words[4] = { VMB_RANGE(5000, 100), DATA, DATA + 1, 0 };
	struct vmb_span parts[2] = { { (void *)(uintptr_t)text, 20 }, { (void *)(uintptr_t)(text + 20), 33 } };
	struct life_side *s = &life.guests[i];

	for (unsigned k = 0; k < 5; k++) {
		struct vmb_packet p = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .payload = text, .len = 1 + k * 21,
					.user = 100 + k };

		if (k == 2 || k == 4) {
			p.kind = VMB_PKT_GPA;
			p.list = (struct vmb_list){ words, 3, 1 };
		}
		send(s, &p);
		p = (struct vmb_packet){ .kind = VMB_PKT_INBAND, .len = 53 };
		(void)done("vmb_channel_putv", vmb_channel_putv(s->ch, &p, parts, 2));
	}
	talk_in_place(s);
	run();
}

/* What is cancelled is answered late, what is left is outstanding at the end. */
static void leave_requests(unsigned i)
{
	struct vmb_packet z = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .payload = "Z", .len = 1, .user = 7 }, q = z;
	uint64_t user = 0;

	q.payload = "Q";
	q.user = 8;
	send(&life.guests[i], &z);
	send(&life.guests[i], &q);
	(void)done("vmb_channel_cancel", vmb_channel_cancel(life.guests[i].ch, z.id, &user));
	note("  user %llu\n", (unsigned long long)user);
	run();
	answer(&life.hosts[i], life.held_id);
	run();
}

/* What devices send by themselves: transfer pages, and several at once. */
static void devices_talk(void)
{
	const uint64_t windows[2] = { VMB_RANGE(100, 0), VMB_RANGE(300, 4000) };
	struct vmb_packet p = { .kind = VMB_PKT_XFER, .payload = "windows", .len = 7, .page_set = 0xcafe, .list = { windows, 2, 2 } };
	uint64_t buf[8] = { 0 };
	struct vmb_record recs[2] = { { .kind = VMB_PKT_INBAND, .len = 11 }, { .kind = VMB_PKT_INBAND, .offset = 16, .len = 33 } };

	for (unsigned i = 0; i < LIFE_CHANNELS; i++) {
		if (!life.hosts[i].ch)
			continue;
		send(&life.hosts[i], &p);
		memcpy(buf, "several packets in one call, no less", 36);
		(void)done("vmb_channel_send_batch", vmb_channel_send_batch(life.hosts[i].ch, (uint8_t *)buf, sizeof buf, recs, 2));
	}
	run();
}

static void gpadls(void)
{
	const uint64_t words[6] = { VMB_RANGE(2 * 4096 + 10, 5), DATA + 4, DATA + 3, DATA + 2, VMB_RANGE(8, 0), DATA + 5 };
	const struct vmb_list list = { words, 6, 2 };
	struct guard copy = buffer(6 * sizeof(uint64_t)), bytes = buffer(8210);
	struct vmb_list held;
	uint32_t cursor = 0, gpadl;
	vmb_handle ch;
	OUTPUT(vmb_gpadl_info, info);

	need(!done("vmb_guest_gpadl_create", vmb_guest_gpadl_create(life.guest, life.guests[0].handle, &list, &life.gpadl)), "gpadl");
	note("  gpadl %u\n", life.gpadl);
	run();
	need(!done("vmb_host_gpadl_info", vmb_host_gpadl_info(life.host, life.hosts[0].handle, life.gpadl, &info)), "gpadl info");
	note_bytes("info", &info, sizeof info);
	need(!done("vmb_host_gpadl_hold", vmb_host_gpadl_hold(life.host, life.hosts[0].handle, life.gpadl, (uint64_t *)(void *)copy.at, 6,
							      &held)), "hold");
	note_bytes("list", copy.at, 48);
	need(!done("vmb_list_read", vmb_list_read(&held, &mapper, 0, bytes.at, 8210)), "read");
	note_bytes("memory", bytes.at, 8210);
	while (vmb_host_users(life.host, 0, LIFE_PAGES, &cursor, &ch, &gpadl) > 0)
		note("  user %u %u\n", ch, gpadl);
	need(!done("vmb_guest_gpadl_destroy", vmb_guest_gpadl_destroy(life.guest, life.gpadl)), "destroy");
	run();
	drop(&copy);
	drop(&bytes);
}

static void look(void)
{
	for (unsigned i = 0; i < 2 * LIFE_CHANNELS; i++) {
		struct vmb_channel *ch = i < LIFE_CHANNELS ? life.guests[i].ch : life.hosts[i - LIFE_CHANNELS].ch;
		uint64_t bits[1] = { 0 };
		OUTPUT(vmb_channel_info, info);

		if (!ch)
			continue;
		(void)done("vmb_channel_info", vmb_channel_info(ch, &info));
		note_bytes("info", &info, sizeof info);
		(void)done("vmb_channel_dirty", vmb_channel_dirty(ch, bits, 1));
		note("  dirty %llx\n", (unsigned long long)bits[0]);
	}
	for (unsigned i = 0; i < 2; i++) {
		OUTPUT(vmb_bus_info, info);

		(void)done("info", i ? vmb_host_info(life.host, &info) : vmb_guest_info(life.guest, &info));
		note_bytes("bus", &info, sizeof info);
	}
}

/* ---- the whole */

static void memory(void)
{
	life.fd = memfd_create("life", 0);
	need(life.fd >= 0 && !ftruncate(life.fd, (off_t)LIFE_PAGES * PAGE), "memfd");
	life.ram = mmap(NULL, (size_t)LIFE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, life.fd, 0);
	need(life.ram != MAP_FAILED, "mmap");
	for (unsigned i = 0; i < 2; i++) { /* the data of channel 1's rings, twice in a row */
		size_t bytes = (RING_PAGES - 1) * PAGE;
		off_t at = (off_t)(RINGS + 2 * RING_PAGES + i * RING_PAGES + 1) * PAGE;

		life.window[i] = mmap(NULL, 2 * bytes + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		need(life.window[i] != MAP_FAILED, "mmap");
		life.window[i] += PAGE;
		for (unsigned k = 0; k < 2; k++)
			need(mmap(life.window[i] + k * bytes, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, life.fd, at) !=
			     MAP_FAILED, "mmap");
	}
	for (size_t i = 0; i < 8 * PAGE; i++) /* what requests name */
		life.ram[DATA * PAGE + i] = (uint8_t)(i * 7 + (i >> 8));
}

static void forget_memory(void)
{
	memcpy(life.t->memory, life.ram, (size_t)LIFE_PAGES * PAGE);
	for (unsigned i = 0; i < 2; i++)
		munmap(life.window[i] - PAGE, (2 * RING_PAGES) * PAGE);
	munmap(life.ram, (size_t)LIFE_PAGES * PAGE);
	close(life.fd);
}

static void connect(void)
{
	need(!done("vmb_guest_connect", vmb_guest_connect(life.guest)), "connect");
	run();
	for (unsigned i = 0; i < LIFE_CHANNELS; i++)
		need(life.guests[i].open, "a channel is not open");
}

static void disconnect(void)
{
	need(!done("vmb_guest_disconnect", vmb_guest_disconnect(life.guest)), "disconnect");
	run();
}

static void begin(const struct life_config *cfg, struct life_trace *t)
{
	memset(&life, 0, sizeof life);
	life.cfg = cfg;
	life.t = t;
	memset(t, 0, sizeof *t);
	if (!cfg->again)
		life_forget();
	memory();
	make_host();
	make_guest();
	connect();
}

static void finish(void)
{
	struct vmb_event ev;

	disconnect();
	need(!done("vmb_guest_end", vmb_guest_end(life.guest)), "guest end");
	need(!done("vmb_host_reset", vmb_host_reset(life.host)), "reset");
	while (vmb_host_poll(life.host, life.now++, &ev) > 0)
		host_event(&ev);
	need(!done("vmb_host_end", vmb_host_end(life.host)), "host end");
	for (unsigned i = 0; i < STORAGES; i++)
		life.t->bad += kept[i].at && !guard_intact(&kept[i]);
	forget_memory();
}

void life_run(const struct life_config *cfg, struct life_trace *t)
{
	begin(cfg, t);
	for (unsigned i = 0; i < LIFE_CHANNELS; i++)
		talk(i);
	devices_talk();
	leave_requests(0);
	gpadls();
	look();
	need(!done("vmb_host_remove", vmb_host_remove(life.host, life.hosts[2].handle)), "remove");
	run();
	life_reopen(0);
	talk(0);
	look();
	finish();
}

/* ---- the parts of a life */

void life_begin(const struct life_config *cfg, struct life_trace *t)
{
	begin(cfg, t);
}

void life_reopen(unsigned i)
{
	need(!done("vmb_guest_close", vmb_guest_close(life.guest, life.guests[i].handle)), "close");
	run();
	guest_open(i);
	run();
	need(life.guests[i].open && life.hosts[i].ch, "not open again");
}

void life_deaf(int deaf)
{
	life.deaf = deaf;
}

void life_talk(unsigned i)
{
	talk(i);
}

struct vmb_channel *life_channel(int of_host, unsigned i)
{
	return of_host ? life.hosts[i].ch : life.guests[i].ch;
}

uint8_t *life_ring_page(unsigned i, unsigned page)
{
	unsigned n = i == 2 ? 2 * RING_PAGES - 1 - page : page;

	return life.ram + (RINGS + i * 2 * RING_PAGES + n) * PAGE;
}

uint8_t *life_data_page(unsigned page)
{
	return life.ram + (DATA + page) * PAGE;
}

void life_finish(void)
{
	finish();
}
