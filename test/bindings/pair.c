/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * One side of make test-bindings, in C. test/bindings/launch starts it beside the other side, which may be written in another language, and
 * scripts/test-bindings says what happens:
 *
 *     pair guest N [--wrong]
 *     pair host N [--wrong]
 *
 * One device; the guest opens it and has N requests answered; the host takes it away, and offers it anew once the guest has let go of it; N / 10
 * more; the guest closes the channel and unloads. Request s has 8 + s % 57 bytes: s, then (s + 7 * i) & 255 at each place i; its completion is
 * as long: ~s, then the request's bytes ^ 0x5a. --wrong: one byte of request, or completion, N / 2 is not what it should be.
 */
#include <endian.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "examples/two-process/wire.h"

enum { RAM_FD = 3, SOCKET_FD = 4, IRQ_FD = 5, RING_PAGES = 17, DEPTH = 64, LARGEST = 64 };

static const char class_text[] = "6ac83d8f-6e16-4e5c-ab3d-fd8c8c2fda1b", instance_text[] = "5d8c1ba0-0f5f-4a3f-9c0b-3a9b1f3f7e11";
static const char *side;
static unsigned char *ram;
static struct vmb_guest *guest;
static struct vmb_host *host;
static struct vmb_channel *channel;
static void *channel_mem;
static vmb_handle device;
static uint64_t total, count[2], plan[2], wrong = UINT64_MAX; /* plan: how many requests before the device goes, and after that */
static unsigned part, rescinds, closes;
static int wanted, opened, stopped, over; /* wanted: wake was called */

static void fail(const char *what)
{
	fprintf(stderr, "pair: C %s, part %u, transaction %llu: %s\n", side, part, (unsigned long long)count[part], what);
	exit(1);
}

static void result(int r, const char *what)
{
	char text[200];

	if (r >= 0)
		return;
	snprintf(text, sizeof text, "%s: %s", what, vmb_strerror(r));
	fail(text);
}

/* ---- what is sent */

static void words(unsigned char *bytes, uint64_t first)
{
	first = htole64(first);
	memcpy(bytes, &first, sizeof first);
}

static uint32_t make_request(unsigned char *bytes, uint64_t s)
{
	uint32_t len = 8 + (uint32_t)(s % 57);

	words(bytes, s);
	for (uint32_t i = 8; i < len; i++)
		bytes[i] = (unsigned char)(s + 7 * i);
	return len;
}

static uint32_t make_completion(unsigned char *bytes, uint64_t s)
{
	uint32_t len = make_request(bytes, s);

	words(bytes, ~s);
	for (uint32_t i = 8; i < len; i++)
		bytes[i] ^= 0x5a;
	return len;
}

static void spoil(unsigned char *bytes, uint32_t len, uint64_t s)
{
	if (s == wrong && part == 0)
		bytes[len - 1] ^= 1;
}

/* A ring has zeros behind it, up to a multiple of 8. */
static void compare(const struct vmb_packet *p, unsigned char expected[LARGEST], uint32_t len)
{
	uint32_t padded = (len + 7) & ~7u;

	memset(expected + len, 0, padded - len);
	if (p->len != padded)
		fail("wrong length");
	if (memcmp(p->payload, expected, padded))
		fail("wrong bytes");
}

static void *map_ram(void)
{
	void *at = mmap(NULL, (size_t)RAM_PAGES * VMB_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, RAM_FD, 0);

	if (at == MAP_FAILED)
		fail("no guest memory");
	return at;
}

static void on_wake(void *ctx, uint64_t user)
{
	(void)ctx, (void)user;
	wanted = 1;
}

/* ------------------------------------------------------------------------------------------------- the guest */

static int call(const struct call *c)
{
	return send(SOCKET_FD, c, sizeof *c, MSG_NOSIGNAL) == sizeof *c;
}

static int on_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	struct call c = { .what = CALL_POST };
	uint32_t head[4] = { htole32(connection), 0, htole32(1), htole32(len) };
	int status;

	(void)ctx;
	memcpy(c.input, head, sizeof head);
	memcpy(c.input + sizeof head, payload, len);
	if (!call(&c) || recv(SOCKET_FD, &status, sizeof status, 0) != sizeof status)
		fail("the host has gone");
	return status;
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	struct call c = { .what = CALL_SIGNAL, .connection = connection, .flag = flag };

	(void)ctx;
	return call(&c) ? VMB_HV_SUCCESS : VMB_HV_INVALID_CONNECTION;
}

static void open_channel(vmb_handle ch)
{
	struct vmb_offer offer = { .size = sizeof offer };
	struct vmb_guid class, instance;
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = DEPTH };
	struct vmb_open open = { .size = sizeof open, .tx_pages = RING_PAGES, .rx_pages = RING_PAGES,
				 .ring = ram + FIRST_FREE_PFN * VMB_PAGE, .ring_gpa = FIRST_FREE_PFN * VMB_PAGE };
	struct vmb_storage need;

	vmb_guid_parse(class_text, &class);
	vmb_guid_parse(instance_text, &instance);
	result(vmb_guest_offer(guest, ch, &offer), "offer");
	if (memcmp(&offer.class_id, &class, sizeof class) || memcmp(&offer.instance, &instance, sizeof instance))
		fail("another device was offered");
	result(vmb_channel_storage(&cfg, &need), "channel storage");
	channel_mem = block(&need);
	device = ch;
	result(vmb_guest_open(guest, ch, channel_mem, need.bytes, &cfg, &open, &channel), "open");
}

static void greet(void)
{
	struct vmb_bus_info info = { .size = sizeof info };

	result(vmb_guest_info(guest, &info), "info");
	if (info.version != VMB_V6_0)
		fail("not the newest version");
}

static void guest_event(const struct vmb_event *ev)
{
	result(ev->status, "event");
	if (ev->kind == VMB_EV_CONNECTED) {
		greet();
	} else if (ev->kind == VMB_EV_OFFER) {
		if (part != rescinds || channel_mem)
			fail("an offer too many");
		open_channel(ev->ch);
	} else if (ev->kind == VMB_EV_OPENED) {
		opened = wanted = 1;
	} else if (ev->kind == VMB_EV_RESCINDED) {
		if (part == 0 && count[0] != plan[0])
			fail("rescinded too early");
		rescinds += part == 0;
		opened = 0;
		result(vmb_guest_release(guest, ev->ch), "release");
	} else if (ev->kind == VMB_EV_CLOSED) {
		free(channel_mem);
		channel_mem = NULL;
		if (closes++ == 1)
			result(vmb_guest_disconnect(guest), "disconnect");
	} else if (ev->kind == VMB_EV_GONE && part == 0) {
		part = 1;
	} else if (ev->kind == VMB_EV_DISCONNECTED) {
		over = 1;
	}
}

static void guest_control(void)
{
	unsigned char *slot = ram + SIMP_PFN * VMB_PAGE + SINT * 256;
	struct vmb_event ev;
	int r;

	while ((r = vmb_guest_slot(guest, slot)) > 0)
		if (r & VMB_EOM) {
			struct call c = { .what = CALL_EOM };

			call(&c); /* a host that has ended does not mind */
		}
	result(r, "slot");
	while ((r = vmb_guest_poll(guest, 0, &ev)) > 0)
		guest_event(&ev);
	result(r, "poll");
}

static void guest_answer(const struct vmb_packet *p)
{
	unsigned char expected[LARGEST];
	uint32_t len = make_completion(expected, count[part]);

	if (p->kind != VMB_PKT_COMPLETION || p->user != count[part])
		fail("the wrong packet");
	compare(p, expected, len);
	count[part]++;
}

/* All answers that are there, and as many requests as fit. */
static void guest_drive(void)
{
	static uint64_t sent[2];
	unsigned char payload[LARGEST];
	uint64_t buf[64];
	struct vmb_packet p;
	int r;

	wanted = 0;
	while ((r = vmb_channel_recv(channel, buf, sizeof buf, &p)) > 0)
		guest_answer(&p);
	if (r == VMB_ESTOPPED)
		return;
	result(r, "receive");
	for (; sent[part] < plan[part]; sent[part]++) {
		struct vmb_packet request = { .kind = VMB_PKT_INBAND, .flags = VMB_PKT_WANTS_REPLY, .payload = payload, .user = sent[part] };

		request.len = make_request(payload, sent[part]);
		spoil(payload, request.len, sent[part]);
		r = vmb_channel_put(channel, &request);
		if (r == VMB_EFULL || r == VMB_ENOSLOT || r == VMB_ESTOPPED)
			break; /* a wake or an answer will come */
		result(r, "put");
	}
	r = vmb_channel_flush(channel);
	result(r == VMB_ESTOPPED ? 0 : r, "flush");
	if (part == 1 && count[1] == plan[1]) {
		opened = 0;
		result(vmb_guest_close(guest, device), "close");
	}
}

static void be_guest(void)
{
	struct vmb_guest_config cfg = { .size = sizeof cfg, .post = on_post, .signal = on_signal, .wake = on_wake };
	struct vmb_storage need;
	uint64_t n;

	result(vmb_guest_storage(&cfg, &need), "guest storage");
	result(vmb_guest_init(block(&need), need.bytes, &cfg, &guest), "guest");
	result(vmb_guest_connect(guest), "connect");
	for (;;) {
		guest_control();
		while (opened && wanted) {
			guest_drive();
			guest_control();
		}
		if (over)
			break;
		if (read(IRQ_FD, &n, sizeof n) != sizeof n)
			fail("no interrupt line");
		vmb_guest_interrupt(guest, ram + SIEFP_PFN * VMB_PAGE + SINT * 256, ram + SIMP_PFN * VMB_PAGE + SINT * 256);
	}
	result(vmb_guest_end(guest), "end");
}

/* -------------------------------------------------------------------------------------------------- the host */

static void raise_line(void)
{
	uint64_t one = 1;

	if (write(IRQ_FD, &one, sizeof one) != sizeof one)
		fail("no interrupt line");
}

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	int r = vmb_synic_post(ram + SIMP_PFN * VMB_PAGE + sint * 256, payload, len);

	(void)ctx, (void)vp, (void)vtl;
	if (r == 0)
		raise_line();
	return r;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx, (void)vp, (void)vtl;
	if (vmb_synic_set(ram + SIEFP_PFN * VMB_PAGE + sint * 256, flag) > 0)
		raise_line();
}

static int on_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx, (void)flags;
	for (uint32_t i = 0; i < n; i++) {
		if (pfns[i] >= RAM_PAGES)
			return VMB_EMAP;
		pages[i] = ram + pfns[i] * VMB_PAGE;
	}
	return 0;
}

static void on_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)pfns, (void)n, (void)flags, (void)pages;
}

/* The completion of the request that is next, queued; 0: no room, a wake will come. */
static int host_answer(const struct vmb_packet *request)
{
	static struct vmb_packet answer = { .kind = VMB_PKT_COMPLETION };
	static unsigned char payload[LARGEST];
	int r;

	if (request) {
		answer.id = request->id;
		answer.payload = payload;
		answer.len = make_completion(payload, count[part]);
		spoil(payload, answer.len, count[part]);
	}
	r = vmb_channel_put(channel, &answer);
	if (r == VMB_EFULL || r == VMB_ESTOPPED)
		return 0;
	result(r, "put");
	count[part]++;
	return 1;
}

static void host_serve(void)
{
	static int held; /* a completion had no room */
	unsigned char expected[LARGEST];
	uint64_t buf[64];
	struct vmb_packet p;
	int r;

	wanted = 0;
	if (held && !host_answer(NULL))
		return;
	held = 0;
	while ((r = vmb_channel_recv(channel, buf, sizeof buf, &p)) > 0) {
		uint32_t len = make_request(expected, count[part]);

		if (p.kind != VMB_PKT_INBAND || !(p.flags & VMB_PKT_WANTS_REPLY) || count[part] == plan[part])
			fail("the wrong packet");
		compare(&p, expected, len);
		if (!host_answer(&p)) {
			held = 1;
			return;
		}
	}
	if (r == 0)
		r = vmb_channel_flush(channel);
	if (r == VMB_ESTOPPED)
		stopped = 1;
	else
		result(r, "receive");
}

/* Has the guest read all answers? What it has not read when the device goes, it does not get. */
static int all_read(void)
{
	struct vmb_channel_info info = { .size = sizeof info };

	return !vmb_channel_info(channel, &info) && info.tx.in == info.tx.out;
}

static void attach(vmb_handle ch)
{
	struct vmb_open_info info = { .size = sizeof info };
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_storage need;

	result(vmb_host_open_info(host, ch, &info), "open info");
	cfg.ring_pages = info.ring_pages;
	result(vmb_channel_storage(&cfg, &need), "channel storage");
	channel_mem = block(&need);
	result(vmb_host_attach(host, ch, channel_mem, need.bytes, &cfg, &channel), "attach");
	wanted = opened = 1;
}

static void offer(void)
{
	struct vmb_offer what = { .size = sizeof what };

	vmb_guid_parse(class_text, &what.class_id);
	vmb_guid_parse(instance_text, &what.instance);
	result(vmb_host_offer(host, &what, &device), "offer");
}

static void host_event(const struct vmb_event *ev)
{
	if (ev->kind == VMB_EV_OPEN) {
		attach(ev->ch);
	} else if (ev->kind == VMB_EV_CLOSED) {
		free(channel_mem);
		closes++;
	} else if (ev->kind == VMB_EV_GONE) {
		if (!rescinds || part == 1)
			fail("the guest has let go of it");
		part = 1;
		offer();
	} else if (ev->kind == VMB_EV_DISCONNECTED) {
		over = 1;
	}
}

static void hypercall(const struct call *c)
{
	int status;

	if (c->what == CALL_SIGNAL) {
		status = vmb_host_signal(host, c->connection, c->flag); /* no if the channel has just ended */
	} else if (c->what == CALL_EOM) {
		result(vmb_host_eom(host, 0), "eom");
	} else {
		status = vmb_host_post(host, c->input, sizeof c->input);
		result(status, "post");
		if (send(SOCKET_FD, &status, sizeof status, MSG_NOSIGNAL) != sizeof status)
			fail("the guest has gone");
	}
}

static void host_work(void)
{
	struct vmb_event ev;
	int again, r;

	do {
		while ((r = vmb_host_poll(host, 0, &ev)) > 0)
			host_event(&ev);
		result(r, "poll");
		if (opened && wanted)
			host_serve();
		again = stopped;
		if (stopped) {
			opened = stopped = 0;
			result(vmb_host_detach(host, device), "detach");
		}
	} while (again || (opened && wanted));
}

static void be_host(void)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .vps = 1, .message = on_message, .interrupt = on_interrupt, .wake = on_wake,
				       .map = on_map, .unmap = on_unmap };
	struct pollfd fd = { SOCKET_FD, POLLIN, 0 };
	struct vmb_storage need;
	struct call c;

	result(vmb_host_storage(&cfg, &need), "host storage");
	result(vmb_host_init(block(&need), need.bytes, &cfg, &host), "host");
	offer();
	for (;;) {
		int leaving = part == 0 && count[0] == plan[0] && !rescinds;

		if (poll(&fd, 1, leaving ? 1 : -1) > 0) {
			if (recv(SOCKET_FD, &c, sizeof c, 0) <= 0)
				break; /* the guest has gone */
			hypercall(&c);
		}
		host_work();
		if (leaving && all_read()) {
			result(vmb_host_remove(host, device), "remove");
			rescinds = 1;
			host_work();
		}
	}
	if (!over)
		fail("the guest has gone");
	result(vmb_host_end(host), "end");
}

int main(int argc, char **argv)
{
	int is_guest = argc > 1 && !strcmp(argv[1], "guest");

	if (argc < 3 || (!is_guest && strcmp(argv[1], "host")) || (argc > 3 && strcmp(argv[3], "--wrong"))) {
		fprintf(stderr, "usage: pair guest|host N [--wrong]\n");
		return 2;
	}
	side = argv[1];
	total = strtoull(argv[2], NULL, 10);
	plan[0] = total;
	plan[1] = total / 10;
	if (argc > 3)
		wrong = total / 2;
	ram = map_ram();
	if (is_guest)
		be_guest();
	else
		be_host();
	if (count[0] != plan[0] || count[1] != plan[1] || rescinds != 1 || closes != 2)
		fail("it has ended too early");
	printf("C %s: %llu transactions, rescinded, offered anew, %llu more, closed, unloaded\n", side, (unsigned long long)count[0],
	       (unsigned long long)count[1]);
	return 0;
}
