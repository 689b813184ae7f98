/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The hypervisor's process: the main thread takes hypercalls from the socket and pulls events; the device has a thread of its
 * own from attach to detach. After REQUESTS requests the device is taken away.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static unsigned char *ram;
static int irq_fd, poke_fd, wake_fd;
static struct vmb_host *host;
static pthread_mutex_t control = PTHREAD_MUTEX_INITIALIZER;
static pthread_t device;
static struct vmb_channel *channel;
static void *channel_mem;
static vmb_handle handle;
static unsigned long served, bad;

static void bump(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof one) != sizeof one)
		perror("eventfd");
}

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	int r = vmb_synic_post(ram + SIMP_PFN * VMB_PAGE + sint * 256, payload, len);

	(void)ctx, (void)vp, (void)vtl;
	if (r == 0)
		bump(irq_fd);
	return r;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx, (void)vp, (void)vtl;
	if (vmb_synic_set(ram + SIEFP_PFN * VMB_PAGE + sint * 256, flag) > 0)
		bump(irq_fd);
}

static void on_wake(void *ctx, uint64_t user)
{
	(void)ctx, (void)user;
	bump(wake_fd);
}

static void on_poke(void *ctx)
{
	(void)ctx;
	bump(poke_fd);
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

/* Fill the request's pages with the byte that it asks for. */
static void serve(const struct vmb_packet *p)
{
	static const struct vmb_mapper mapper = { NULL, on_map, on_unmap };
	struct vmb_packet answer = { .kind = VMB_PKT_COMPLETION, .id = p->id, .payload = p->payload, .len = 8 };
	unsigned char fill[512];
	uint64_t bytes = vmb_packet_bytes(p);
	int r;

	if (p->len < 8 || !(p->flags & VMB_PKT_WANTS_REPLY)) {
		bad++;
		return;
	}
	memset(fill, *(const unsigned char *)p->payload, sizeof fill);
	for (uint64_t at = 0; at < bytes; at += sizeof fill)
		if (vmb_packet_write(p, NULL, &mapper, at, fill, bytes - at < sizeof fill ? (uint32_t)(bytes - at) : (uint32_t)sizeof fill) < 0)
			bad++;
	served++;
	r = vmb_channel_put(channel, &answer);
	if (r < 0 && r != VMB_ESTOPPED) /* it has fewer requests in flight than its ring has room for answers */
		bad++;
}

/* Has the guest read all answers? What it has not read when the device goes, it does not get. */
static int all_read(void)
{
	struct vmb_channel_info info = { .size = sizeof info };

	return !vmb_channel_info(channel, &info) && info.tx.in == info.tx.out;
}

static void *device_thread(void *arg)
{
	uint64_t buf[1024], n;
	struct vmb_packet p;
	int r;

	(void)arg;
	for (;;) {
		while ((r = vmb_channel_recv(channel, buf, sizeof buf, &p)) > 0)
			serve(&p);
		if (r == 0)
			r = vmb_channel_flush(channel);
		if (r < 0)
			break;
		if (served == REQUESTS && !all_read()) {
			nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
			continue;
		}
		if (served == REQUESTS) { /* hot-remove: our own calls will say VMB_ESTOPPED */
			pthread_mutex_lock(&control);
			must(vmb_host_remove(host, handle), "remove");
			pthread_mutex_unlock(&control);
			bump(poke_fd);
			continue;
		}
		if (read(wake_fd, &n, sizeof n) != sizeof n)
			break;
	}
	pthread_mutex_lock(&control);
	must(vmb_host_detach(host, handle), "detach");
	pthread_mutex_unlock(&control);
	bump(poke_fd);
	return NULL;
}

static void attach(const struct vmb_event *question)
{
	struct vmb_open_info info = { .size = sizeof info };
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_storage need;

	must(vmb_host_open_info(host, question->ch, &info), "open info");
	cfg.ring_pages = info.ring_pages;
	must(vmb_channel_storage(&cfg, &need), "channel storage");
	channel_mem = block(&need);
	must(vmb_host_attach(host, question->ch, channel_mem, need.bytes, &cfg, &channel), "attach");
	if (pthread_create(&device, NULL, device_thread, NULL))
		abort();
}

static int events(void)
{
	struct vmb_event ev;
	int gone = 0;

	pthread_mutex_lock(&control);
	while (vmb_host_poll(host, 0, &ev) > 0) {
		if (ev.kind == VMB_EV_OPEN)
			attach(&ev);
		else if (ev.kind == VMB_EV_CLOSED)
			free(channel_mem);
		else if (ev.kind == VMB_EV_GONE)
			gone = 1;
	}
	pthread_mutex_unlock(&control);
	return gone;
}

static void hypercall(int socket, const struct call *c)
{
	int status;

	if (c->what == CALL_SIGNAL) {
		status = vmb_host_signal(host, c->connection, c->flag); /* no lock */
		return;
	}
	pthread_mutex_lock(&control);
	if (c->what == CALL_EOM) {
		must(vmb_host_eom(host, 0), "eom");
	} else {
		status = vmb_host_post(host, c->input, sizeof c->input);
		must(status, "post");
		if (send(socket, &status, sizeof status, 0) != sizeof status)
			perror("send");
	}
	pthread_mutex_unlock(&control);
}

static void start(void)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .vps = 1, .message = on_message, .interrupt = on_interrupt, .wake = on_wake,
				       .poke = on_poke, .map = on_map, .unmap = on_unmap };
	struct vmb_offer offer = { .size = sizeof offer, .instance = { { 7 } }, .user = 1 };
	struct vmb_storage need;

	must(vmb_host_storage(&cfg, &need), "host storage");
	must(vmb_host_init(block(&need), need.bytes, &cfg, &host), "host");
	vmb_guid_parse(VMB_CLASS_SCSI, &offer.class_id);
	must(vmb_host_offer(host, &offer, &handle), "offer");
}

int host_main(int ram_fd, int socket, int irq)
{
	struct pollfd fds[2] = { { socket, POLLIN, 0 }, { -1, POLLIN, 0 } };
	struct call c;
	uint64_t n;
	int gone = 0;

	irq_fd = irq;
	fds[1].fd = poke_fd = eventfd(0, 0);
	wake_fd = eventfd(0, 0);
	ram = mmap(NULL, (size_t)RAM_PAGES * VMB_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
	if (ram == MAP_FAILED || poke_fd < 0 || wake_fd < 0)
		return 1;
	start();
	while (poll(fds, 2, -1) > 0) {
		if (fds[1].revents && read(poke_fd, &n, sizeof n) != sizeof n)
			return 1;
		if (fds[0].revents) {
			if (recv(socket, &c, sizeof c, 0) <= 0)
				break; /* the guest has gone */
			hypercall(socket, &c);
		}
		gone |= events();
	}
	if (!gone || bad)
		return 1;
	pthread_join(device, NULL);
	printf("host    process %d: %lu requests served, device removed, the guest let go of it\n", (int)getpid(), served);
	return 0;
}
