/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The guest's process: an interrupt thread (event flags first, then the message), and a driver thread that keeps requests with
 * pages in flight and checks what the device wrote there. Control calls are made under one mutex.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RING_PAGES = 17, RING_PFN = FIRST_FREE_PFN, DEPTH = 64, BUFFER_PFN = RING_PFN + 2 * RING_PAGES };

static unsigned char *ram;
static int socket_fd, irq_fd, wake_fd, done;
static struct vmb_guest *guest;
static struct vmb_channel *channel;
static void *channel_mem;
static pthread_mutex_t control = PTHREAD_MUTEX_INITIALIZER;
static pthread_t driver;
static vmb_handle handle;
static unsigned long answers, bad;
static struct timespec begin, end;

static int on_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	struct call c = { .what = CALL_POST };
	uint32_t head[4] = { htole32(connection), 0, htole32(1), htole32(len) };
	int status;

	(void)ctx;
	memcpy(c.input, head, sizeof head);
	memcpy(c.input + sizeof head, payload, len);
	if (send(socket_fd, &c, sizeof c, 0) != sizeof c || recv(socket_fd, &status, sizeof status, 0) != sizeof status)
		return VMB_HV_INVALID_PARAMETER;
	return status;
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	struct call c = { .what = CALL_SIGNAL, .connection = connection, .flag = flag };

	(void)ctx;
	return send(socket_fd, &c, sizeof c, 0) == sizeof c ? VMB_HV_SUCCESS : VMB_HV_INVALID_CONNECTION;
}

static void on_wake(void *ctx, uint64_t user)
{
	uint64_t one = 1;

	(void)ctx, (void)user;
	if (write(wake_fd, &one, sizeof one) != sizeof one)
		perror("eventfd");
}

/* Send what fits. The first byte of the payload says what the device shall fill the request's page with. */
static int send_requests(unsigned long *sent, uint64_t *idle, uint64_t in_flight[DEPTH])
{
	int r = 0;

	while (*idle && *sent < REQUESTS) {
		unsigned slot = (unsigned)__builtin_ctzll(*idle);
		uint64_t words[2] = { VMB_RANGE(VMB_PAGE, 0), BUFFER_PFN + slot }, payload = htole64(*sent & 0xff);
		struct vmb_packet p = { .kind = VMB_PKT_GPA, .flags = VMB_PKT_WANTS_REPLY, .payload = &payload, .len = sizeof payload,
					.list = { words, 2, 1 }, .user = slot };

		in_flight[slot] = *sent & 0xff;
		r = vmb_channel_put(channel, &p);
		if (r < 0)
			break;
		*idle &= ~(1ull << slot);
		++*sent;
	}
	if (r == VMB_EFULL || r == VMB_ENOSLOT)
		r = 0; /* a wake or an answer will come */
	return r < 0 ? r : vmb_channel_flush(channel);
}

static void *driver_thread(void *arg)
{
	uint64_t buf[64], n, idle = ~0ull, in_flight[DEPTH];
	unsigned long sent = 0;
	struct vmb_packet p;
	int r;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (;;) {
		if ((r = send_requests(&sent, &idle, in_flight)) < 0)
			break;
		while ((r = vmb_channel_recv(channel, buf, sizeof buf, &p)) > 0) {
			const unsigned char *page = ram + (BUFFER_PFN + p.user) * VMB_PAGE;

			if (p.kind != VMB_PKT_COMPLETION || page[0] != in_flight[p.user] || page[VMB_PAGE - 1] != in_flight[p.user])
				bad++;
			idle |= 1ull << p.user;
			if (++answers == REQUESTS)
				clock_gettime(CLOCK_MONOTONIC, &end);
		}
		if (r < 0)
			break;
		if (sent < REQUESTS && idle)
			continue;
		if (read(wake_fd, &n, sizeof n) != sizeof n)
			break;
	}
	pthread_mutex_lock(&control); /* VMB_ESTOPPED: the device was taken away */
	must(vmb_guest_release(guest, handle), "release");
	pthread_mutex_unlock(&control);
	n = 1;
	if (write(irq_fd, &n, sizeof n) != sizeof n) /* let the control side look for events */
		perror("eventfd");
	return NULL;
}

static void open_channel(vmb_handle ch)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .requests = DEPTH };
	struct vmb_open open = { .size = sizeof open, .tx_pages = RING_PAGES, .rx_pages = RING_PAGES, .ring_gpa = RING_PFN * VMB_PAGE };
	struct vmb_storage need;

	open.ring = ram + RING_PFN * VMB_PAGE;
	must(vmb_channel_storage(&cfg, &need), "channel storage");
	channel_mem = block(&need);
	handle = ch;
	must(vmb_guest_open(guest, ch, channel_mem, need.bytes, &cfg, &open, &channel), "open");
}

static void on_event(const struct vmb_event *ev)
{
	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		must(ev->status, "connect");
		break;
	case VMB_EV_OFFER:
		open_channel(ev->ch);
		break;
	case VMB_EV_OPENED:
		must(ev->status, "open");
		if (pthread_create(&driver, NULL, driver_thread, NULL))
			abort();
		break;
	case VMB_EV_CLOSED:
		free(channel_mem);
		break;
	case VMB_EV_GONE:
		must(vmb_guest_disconnect(guest), "disconnect");
		break;
	case VMB_EV_DISCONNECTED:
		done = 1;
		break;
	}
}

static void control_work(void)
{
	unsigned char *slot = ram + SIMP_PFN * VMB_PAGE + SINT * 256;
	struct vmb_event ev;
	int r;

	pthread_mutex_lock(&control);
	while ((r = vmb_guest_slot(guest, slot)) > 0)
		if (r & VMB_EOM) {
			struct call c = { .what = CALL_EOM };

			if (send(socket_fd, &c, sizeof c, 0) != sizeof c)
				perror("send");
		}
	while (vmb_guest_poll(guest, 0, &ev) > 0)
		on_event(&ev);
	pthread_mutex_unlock(&control);
}

int guest_main(int ram_fd, int socket, int irq)
{
	struct vmb_guest_config cfg = { .size = sizeof cfg, .post = on_post, .signal = on_signal, .wake = on_wake };
	struct vmb_storage need;
	uint64_t n;
	double seconds;

	socket_fd = socket;
	irq_fd = irq;
	wake_fd = eventfd(0, 0);
	ram = mmap(NULL, (size_t)RAM_PAGES * VMB_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
	if (ram == MAP_FAILED || wake_fd < 0)
		return 1;
	must(vmb_guest_storage(&cfg, &need), "guest storage");
	must(vmb_guest_init(block(&need), need.bytes, &cfg, &guest), "guest");
	must(vmb_guest_connect(guest), "connect");
	control_work();
	while (!done && read(irq, &n, sizeof n) == sizeof n) {
		vmb_guest_interrupt(guest, ram + SIEFP_PFN * VMB_PAGE + SINT * 256, ram + SIMP_PFN * VMB_PAGE + SINT * 256);
		control_work();
	}
	pthread_join(driver, NULL);
	must(vmb_guest_end(guest), "end");
	seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	printf("guest   process %d: %lu requests with a page each, %lu answers, %lu wrong: %.0f a second\n", (int)getpid(),
	       (unsigned long)REQUESTS, answers, bad, (double)answers / seconds);
	return answers == REQUESTS && !bad ? 0 : 1;
}
