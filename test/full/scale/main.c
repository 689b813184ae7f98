/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What control costs with 10, 100 and 2000 channels open: instructions of both ends together, from the call to the last event, per signal,
 * message, offer, open, close, removal and deadline check, and per channel that is offered to a guest which connects; and the storage of a channel.
 * Each is measured on the channels offered first, in the middle and last; the dearest counts. With 2000 channels it may be 1.2 times what it is with
 * 10; an offer, which is sorted in, that times the ratio of the logarithms. Last line: "N passed, M failed".
 *
 * With the argument -t: nanoseconds in their place, medians of 300 times (connect: 5), and no judgement.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vmbus.h>

#include "steps.h"
#include "test/threads/tally.h"

enum { MOST = 2000, SPARE = 4, TX = 2, RX = 2, RINGS = TX + RX, QUEUE = 2 * (MOST + SPARE) + 16, REQUESTS = 16, FIRST_PFN = 256 };
enum { CONNECT, SIGNAL_HOST, SIGNAL_GUEST, MESSAGE, OFFER, OPEN, CLOSE, REMOVE, DEADLINE, WORKS };
enum { TIMES = 100, CONNECTS = 5, SAMPLES = 3 * TIMES * CONNECTS };

static const char *const work_name[WORKS] = {
	"connect, per channel", "signal, guest to host", "signal, host to guest", "message and its answer", "offer", "open", "close", "removal",
	"deadline check",
};

struct message {
	uint32_t len;
	uint8_t bytes[VMB_MESSAGE_MAX];
};

struct device {
	vmb_handle host, guest;
	void *hmem, *gmem;
	struct vmb_channel *hch, *gch;
};

static struct {
	struct vmb_host *h;
	struct vmb_guest *g;
	void *hmem, *gmem;
	uint8_t *ram;
	struct message *queue;
	uint32_t in, out, hold;
	struct device *device;
	uint32_t last_event[2]; /* kind, of host and guest */
	vmb_handle last_offer;
	uint64_t now;
	uint32_t wakes;
} world;

/* ---- the platform */

static int on_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	uint32_t in[64] = { connection, 0, 1, len };

	(void)ctx;
	memcpy(in + 4, payload, len);
	return vmb_host_post(world.h, in, sizeof in);
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx;
	return vmb_host_signal(world.h, connection, flag);
}

static void on_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	(void)user;
	world.wakes++;
}

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	struct message *m = &world.queue[world.in++ % QUEUE];

	(void)ctx;
	(void)vp, (void)vtl, (void)sint;
	must(world.in - world.out <= QUEUE, "the queue holds all messages");
	m->len = len;
	memcpy(m->bytes, payload, len);
	return 0;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	static uint32_t flags[64], slot[64];

	(void)ctx;
	(void)vp, (void)vtl, (void)sint;
	must(vmb_synic_set(flags, flag) == VMB_YES && vmb_guest_interrupt(world.g, flags, slot) == 0, "an interrupt");
}

static int on_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx;
	(void)flags;
	for (uint32_t i = 0; i < n; i++)
		pages[i] = world.ram + (pfns[i] - FIRST_PFN) * VMB_PAGE;
	return 0;
}

static void on_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx;
	(void)pfns, (void)n, (void)flags, (void)pages;
}

/* ---- running */

static void run(void)
{
	struct vmb_event ev;
	int more = 1;

	while (more) {
		more = 0;
		while (vmb_host_poll(world.h, world.now, &ev) == VMB_YES) {
			world.last_event[0] = ev.kind;
			more = 1;
		}
		while (vmb_guest_poll(world.g, world.now, &ev) == VMB_YES) {
			world.last_event[1] = ev.kind;
			if (ev.kind == VMB_EV_OFFER) {
				struct vmb_offer o = { .size = sizeof o };

				must(vmb_guest_offer(world.g, ev.ch, &o) == 0, "its offer");
				world.device[o.instance.byte[0] | o.instance.byte[1] << 8].guest = ev.ch;
			}
			more = 1;
		}
		while (!world.hold && world.out != world.in) {
			const struct message *m = &world.queue[world.out++ % QUEUE];

			must(vmb_guest_message(world.g, m->bytes, m->len) == 0, "a message");
			more = 1;
		}
	}
}

static void offer(uint32_t n)
{
	struct vmb_offer o = { .size = sizeof o, .class_id = { { 0xc0 } }, .user = n };

	o.instance.byte[0] = (uint8_t)n;
	o.instance.byte[1] = (uint8_t)(n >> 8);
	must(vmb_host_offer(world.h, &o, &world.device[n].host) == 0, "offer");
	run();
}

static void open_device(uint32_t n)
{
	struct device *d = &world.device[n];
	uint8_t *ring = world.ram + (size_t)n * RINGS * VMB_PAGE;
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = REQUESTS };
	struct vmb_open o = { .size = sizeof o, .tx_pages = TX, .rx_pages = RX, .user = n, .ring = ring };
	struct vmb_storage need;

	cfg.tx.data_pages = TX - 1;
	cfg.rx.data_pages = RX - 1;
	cfg.tx.control = cfg.tx.data = cfg.rx.control = cfg.rx.data = ring;
	must(vmb_channel_storage(&cfg, &need) == 0, "storage");
	o.ring_gpa = (uint64_t)(ring - world.ram) + FIRST_PFN * VMB_PAGE;
	must(vmb_guest_open(world.g, d->guest, d->gmem, need.bytes, &cfg, &o, &d->gch) == 0, "open");
	run();
	must(world.last_event[0] == VMB_EV_OPEN, "EV_OPEN");
	cfg = (struct vmb_channel_config){ .size = sizeof cfg, .requests = REQUESTS, .ring_pages = RINGS };
	must(vmb_channel_storage(&cfg, &need) == 0, "storage");
	must(vmb_host_attach(world.h, d->host, d->hmem, need.bytes, &cfg, &d->hch) == 0, "attach");
	run();
	must(world.last_event[1] == VMB_EV_OPENED, "EV_OPENED");
}

static void close_device(uint32_t n)
{
	struct device *d = &world.device[n];

	must(vmb_guest_close(world.g, d->guest) == 0, "close");
	run();
	must(world.last_event[0] == VMB_EV_CLOSE, "EV_CLOSE");
	must(vmb_host_detach(world.h, d->host) == 0, "detach");
	run();
	must(world.last_event[0] == VMB_EV_CLOSED && world.last_event[1] == VMB_EV_CLOSED, "EV_CLOSED");
}

static void remove_device(uint32_t n)
{
	must(vmb_host_remove(world.h, world.device[n].host) == 0, "remove");
	run();
	must(world.last_event[1] == VMB_EV_RESCINDED, "EV_RESCINDED");
	must(vmb_guest_release(world.g, world.device[n].guest) == 0, "release");
	run();
	must(world.last_event[0] == VMB_EV_GONE && world.last_event[1] == VMB_EV_GONE, "EV_GONE");
}

/* ---- measuring */

static int timing;
static uint64_t start;
static unsigned long *cost, sample[WORKS][SAMPLES];
static unsigned samples[WORKS];

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void begin(void)
{
	if (timing)
		start = clock_ns();
	else
		steps_begin();
}

/* Since begin, for `times` of this work. */
static void end(unsigned work, uint32_t times)
{
	unsigned long n = (timing ? clock_ns() - start : steps_end()) / times;

	must(n > 0, "something was counted");
	if (timing)
		sample[work][samples[work]++ % SAMPLES] = n;
	else if (n > cost[work])
		cost[work] = n;
}

static int by_value(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

static void take_medians(void)
{
	for (unsigned w = 0; w < WORKS; w++) {
		unsigned n = samples[w] < SAMPLES ? samples[w] : SAMPLES;

		qsort(sample[w], n, sizeof sample[w][0], by_value);
		cost[w] = sample[w][n / 2];
		samples[w] = 0;
	}
}

/* A signal wakes; the packet behind it makes it a needed one. */
static void signal_of(struct vmb_channel *from, struct vmb_channel *to, unsigned work)
{
	struct vmb_packet p = { .kind = VMB_PKT_INBAND, .payload = "12345678", .len = 8 };
	uint8_t buf[64] __attribute__((aligned(8)));
	uint32_t wakes = world.wakes;

	must(vmb_channel_recv(to, buf, sizeof buf, &p) == 0, "nothing to receive: interrupts are on from here");
	p = (struct vmb_packet){ .kind = VMB_PKT_INBAND, .payload = "12345678", .len = 8 };
	begin();
	must(vmb_channel_send(from, &p) == 0, "send");
	end(work, 1);
	must(world.wakes == wakes + 1, "one wake");
	must(vmb_channel_recv(to, buf, sizeof buf, &p) > 0, "receive");
}

static void channels(uint32_t n, uint32_t at)
{
	struct device *d = &world.device[at];
	uint32_t add = n + at % 3;

	signal_of(d->gch, d->hch, SIGNAL_HOST);
	signal_of(d->hch, d->gch, SIGNAL_GUEST);

	begin();
	must(vmb_guest_target(world.g, d->guest, 1) == 0, "target");
	run();
	end(MESSAGE, 1);
	must(world.last_event[1] == VMB_EV_TARGET, "EV_TARGET");

	begin();
	close_device(at);
	end(CLOSE, 1);
	begin();
	open_device(at);
	end(OPEN, 1);

	begin();
	offer(add);
	end(OFFER, 1);
	begin();
	remove_device(add);
	end(REMOVE, 1);
}

/* Each channel waits for an answer; then only time passes. */
static void deadlines(uint32_t n)
{
	struct vmb_event ev;

	world.hold = 1;
	for (uint32_t i = 0; i < n; i++)
		must(vmb_guest_target(world.g, world.device[i].guest, 0) == 0, "target");
	run();
	world.now += 1000000;
	run();
	world.now += 1000000;
	begin();
	must(vmb_guest_poll(world.g, world.now, &ev) == 0 && ev.deadline != UINT64_MAX && ev.deadline > world.now, "a deadline is waited for");
	must(vmb_host_poll(world.h, world.now, &ev) == 0, "nothing is due");
	end(DEADLINE, 1);
	world.hold = 0;
	run();
}

static void *storage_of(int r, struct vmb_storage need)
{
	void *mem = aligned_alloc(64, (need.bytes + 63) / 64 * 64);

	must(r == 0 && mem, "storage");
	return mem;
}

static void configs(uint32_t n, struct vmb_host_config *h, struct vmb_guest_config *g)
{
	*h = (struct vmb_host_config){ .size = sizeof *h, .max_channels = n, .max_gpadls = n, .max_gpadl_pages = 16 * n, .message = on_message,
				       .interrupt = on_interrupt, .wake = on_wake, .map = on_map, .unmap = on_unmap };
	*g = (struct vmb_guest_config){ .size = sizeof *g, .max_channels = n, .reply_ms = 60000, .post = on_post, .signal = on_signal,
					.wake = on_wake };
}

static void measure(uint32_t n)
{
	struct vmb_channel_config hc = { .size = sizeof hc, .requests = REQUESTS, .ring_pages = RINGS };
	struct vmb_channel_config gc = { .size = sizeof gc, .requests = REQUESTS };
	struct vmb_storage need, channel[2];
	struct vmb_host_config hcfg;
	struct vmb_guest_config gcfg;

	memset(&world, 0, sizeof world);
	world.now = 1;
	world.device = calloc(n + SPARE, sizeof *world.device);
	world.queue = calloc(QUEUE, sizeof *world.queue);
	world.ram = aligned_alloc(VMB_PAGE, (size_t)(n + SPARE) * RINGS * VMB_PAGE);
	must(world.device && world.queue && world.ram, "memory");
	memset(world.ram, 0, (size_t)(n + SPARE) * RINGS * VMB_PAGE);
	configs(n + SPARE, &hcfg, &gcfg);
	world.hmem = storage_of(vmb_host_storage(&hcfg, &need), need);
	must(vmb_host_init(world.hmem, need.bytes, &hcfg, &world.h) == 0, "host");
	world.gmem = storage_of(vmb_guest_storage(&gcfg, &need), need);
	must(vmb_guest_init(world.gmem, need.bytes, &gcfg, &world.g) == 0, "guest");
	gc.tx.data_pages = TX - 1;
	gc.rx.data_pages = RX - 1;
	gc.tx.control = gc.tx.data = gc.rx.control = gc.rx.data = world.ram;
	must(vmb_channel_storage(&hc, &channel[0]) == 0 && vmb_channel_storage(&gc, &channel[1]) == 0, "storage");
	for (uint32_t i = 0; i < n; i++) {
		world.device[i].hmem = storage_of(0, channel[0]);
		world.device[i].gmem = storage_of(0, channel[1]);
		offer(i);
	}
	begin();
	must(vmb_guest_connect(world.g) == 0, "connect");
	run();
	end(CONNECT, n);
	must(world.last_event[1] == VMB_EV_OFFERS_DONE, "EV_OFFERS_DONE");
	for (uint32_t i = 0; i < n; i++)
		open_device(i);
	for (int i = 0; i < (timing ? TIMES : 1); i++) {
		channels(n, 0);
		channels(n, n / 2);
		channels(n, n - 1);
	}
	deadlines(n);
	for (uint32_t i = 0; i < n; i++) {
		free(world.device[i].hmem);
		free(world.device[i].gmem);
	}
	free(world.hmem);
	free(world.gmem);
	free(world.ram);
	free(world.queue);
	free(world.device);
}

/* ---- judging */

static double log_ratio(uint32_t n) /* of n to 10, in whole halvings: 10 has 4 */
{
	uint32_t bits = 0;

	while (n >> bits)
		bits++;
	return bits / 4.0;
}

static void costs(void)
{
	static const uint32_t counts[] = { 10, 100, MOST };
	unsigned long of[3][WORKS] = { { 0 } };
	char what[120];

	for (unsigned i = 0; i < 3; i++) {
		cost = of[i];
		for (int k = 0; k < (timing ? CONNECTS : 1); k++)
			measure(counts[i]);
		if (timing)
			take_medians();
	}
	printf("%-28s %8s %8s %8s channels\n", timing ? "nanoseconds, both ends" : "instructions, both ends", "10", "100", "2000");
	for (unsigned w = 0; w < WORKS; w++)
		printf("  %-26s %8lu %8lu %8lu\n", work_name[w], of[0][w], of[1][w], of[2][w]);
	for (unsigned i = 1; i < 3 && !timing; i++)
		for (unsigned w = 0; w < WORKS; w++) {
			double most = 1.2 * (w == OFFER || w == CONNECT ? log_ratio(counts[i]) : 1);

			snprintf(what, sizeof what, "%s with %u channels: %.2f times that with 10, at most %.2f", work_name[w], counts[i],
				 (double)of[i][w] / (double)of[0][w], most);
			check((double)of[i][w] <= most * (double)of[0][w], what);
		}
}

static void bytes(void)
{
	struct vmb_channel_config hc = { .size = sizeof hc, .requests = REQUESTS, .ring_pages = RINGS };
	struct vmb_channel_config gc = { .size = sizeof gc, .requests = REQUESTS };
	struct vmb_storage host[2], guest[2], channel[2];
	struct vmb_host_config hcfg;
	struct vmb_guest_config gcfg;
	size_t per[2];

	for (uint32_t i = 0; i < 2; i++) {
		configs(i ? 1010 : 10, &hcfg, &gcfg);
		hcfg.max_gpadls = hcfg.max_gpadl_pages = 0; /* what a channel takes when it is open */
		gcfg.max_gpadls = 4096;
		must(vmb_host_storage(&hcfg, &host[i]) == 0 && vmb_guest_storage(&gcfg, &guest[i]) == 0, "storage");
	}
	per[0] = (host[1].bytes - host[0].bytes) / 1000;
	per[1] = (guest[1].bytes - guest[0].bytes) / 1000;
	gc.tx.data_pages = TX - 1;
	gc.rx.data_pages = RX - 1;
	gc.tx.control = gc.tx.data = gc.rx.control = gc.rx.data = (void *)(uintptr_t)VMB_PAGE; /* only sizes count */
	must(vmb_channel_storage(&hc, &channel[0]) == 0 && vmb_channel_storage(&gc, &channel[1]) == 0, "storage");
	printf("bytes per channel                 closed     open, with room for %d requests\n", REQUESTS);
	for (unsigned i = 0; i < 2; i++)
		printf("  %-28s %8zu %8zu\n", i ? "guest" : "host", per[i], per[i] + channel[i].bytes);
	check(per[0] <= 1024, "a closed channel takes at most 1 KiB of the host");
	check(per[1] <= 1024, "a closed channel takes at most 1 KiB of the guest");
}

int main(int argc, char **argv)
{
	timing = argc > 1 && !strcmp(argv[1], "-t");
	steps_init();
	costs();
	bytes();
	return tally();
}
