/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The host-end process: a libvmbus host end and its devices. The VMM process tells what the guest's processors do (wire.h);
 * this one maps the guest's memory and speaks VMBus with it.
 *
 * usage: hostend [-V VERSION] [-n NUMBER] [-e DEVICE=LEAST]... [-s]
 *	-V  highest protocol version to accept: 2.4, 3.0 ... 5.3
 *	-n  a random number that the guest must write on the disk (mail.h)
 *	-e  when all is over, this device must have been open, be content, and have reached this figure (device.h: measure)
 *	-s  ask for shutdown once the guest's mail has come and the figures of all other devices are reached
 *
 * Three kinds of threads: the main one takes packets from the VMM and makes control calls; one pulls events; each open channel
 * has its own.
 */
#define _GNU_SOURCE
#include "device.h"
#include "hostlink.h"
#include "mail.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SINT = 2, DISK_BYTES = 64 << 20, LOOK_MS = 200 };

static const struct device_ops *const table[] = { &dev_heartbeat, &dev_shutdown, &dev_timesync, &dev_storvsp };
enum { DEVICES = sizeof table / sizeof *table };

static struct hostlink link_;
static struct host host;
static struct device device[DEVICES];
static long least[DEVICES];              /* -1: not asked for */
static const char *number = "";
static int ask_shutdown, reset_done, ending;
static pthread_cond_t reset_ended = PTHREAD_COND_INITIALIZER;
static uint8_t *simp[WIRE_MAX_VPS], *siefp[WIRE_MAX_VPS]; /* as the guest set them; NULL while off. Any thread */
static uint32_t version;                 /* of the last connection */

/* ---- callbacks of the host end: leaves */

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	uint8_t *page = vp < WIRE_MAX_VPS ? __atomic_load_n(&simp[vp], __ATOMIC_ACQUIRE) : NULL;
	int r = page ? vmb_synic_post(page + sint * 256, payload, len) : VMB_EAGAIN;

	(void)ctx, (void)vtl;
	if (r == 0)
		hostlink_raise(&link_, vp, sint);
	return r;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	uint8_t *page = vp < WIRE_MAX_VPS ? __atomic_load_n(&siefp[vp], __ATOMIC_ACQUIRE) : NULL;

	(void)ctx, (void)vtl;
	if (page && vmb_synic_set(page + sint * 256, flag) > 0)
		hostlink_raise(&link_, vp, sint);
}

static void on_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	device_wake((struct device *)(uintptr_t)user);
}

static void on_poke(void *ctx)
{
	uint64_t one = 1;

	(void)ctx;
	if (write(host.poke_fd, &one, sizeof one) != sizeof one)
		perror("poke");
}

static int on_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	(void)ctx, (void)flags;
	for (uint32_t i = 0; i < n; i++) {
		if (pfns[i] > UINT64_MAX / VMB_PAGE)
			return VMB_EMAP;
		pages[i] = hostlink_memory(&link_, pfns[i] * VMB_PAGE, VMB_PAGE);
		if (!pages[i])
			return VMB_EMAP;
	}
	return 0;
}

static void on_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)pfns, (void)n, (void)flags, (void)pages; /* RAM is always there */
}

static const struct vmb_mapper memory = { NULL, on_map, on_unmap };

static uint64_t reference_time(void)
{
	return hostlink_time(&link_);
}

/* ---- events */

static void on_event(const struct vmb_event *ev)
{
	struct device *d = (struct device *)(uintptr_t)ev->user;
	struct vmb_bus_info info = { .size = sizeof info };

	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		if (vmb_host_info(host.bus, &info) == 0) {
			version = info.version;
			fprintf(stderr, "VMB-NOTE: guest connected, version %u.%u\n", version >> 16, version & 0xffff);
		}
		break;
	case VMB_EV_OPEN:
		device_opened(d);
		break;
	case VMB_EV_CLOSED:
		device_closed(d);
		break;
	case VMB_EV_RESET:
		reset_done = 1;
		pthread_cond_signal(&reset_ended);
		break;
	}
}

/* Has everything happened that shall happen before the shutdown? */
static int all_reached(void)
{
	uint64_t heartbeats = least[0] > 0 ? (uint64_t)least[0] : 0;

	return mail_from_guest(host.disk, host.disk_bytes, NULL, 0) > 0 && dev_heartbeat_answered(&device[0]) >= heartbeats;
}

static void *event_thread(void *arg)
{
	struct pollfd fd = { host.poke_fd, POLLIN, 0 };
	struct vmb_event ev = { .deadline = UINT64_MAX };
	struct timespec t;
	uint64_t n, now;

	(void)arg;
	while (!__atomic_load_n(&ending, __ATOMIC_ACQUIRE)) {
		pthread_mutex_lock(&host.control);
		do {
			clock_gettime(CLOCK_MONOTONIC, &t);
			now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
			if (vmb_host_poll(host.bus, now, &ev) <= 0)
				break;
			on_event(&ev);
		} while (1);
		pthread_mutex_unlock(&host.control);
		if (ask_shutdown && all_reached()) {
			ask_shutdown = 0;
			__atomic_store_n(&host.shutdown_wanted, 1u, __ATOMIC_RELEASE);
		}
		now = ev.deadline == UINT64_MAX ? LOOK_MS : ev.deadline > now ? (ev.deadline - now) / 1000000 + 1 : 0;
		if (poll(&fd, 1, now < LOOK_MS ? (int)now : LOOK_MS) > 0 && read(host.poke_fd, &n, sizeof n) != sizeof n)
			perror("poke");
	}
	return NULL;
}

/* ---- what the VMM says */

static uint8_t *synic_page(uint64_t reg)
{
	return reg & 1 ? hostlink_memory(&link_, reg & ~0xfffull, VMB_PAGE) : NULL;
}

static void set_synic(const struct wire_synic *s)
{
	if (s->head.vp >= WIRE_MAX_VPS)
		return;
	__atomic_store_n(&simp[s->head.vp], s->scontrol & 1 ? synic_page(s->simp) : NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&siefp[s->head.vp], s->scontrol & 1 ? synic_page(s->siefp) : NULL, __ATOMIC_RELEASE);
}

/* The guest is reset or gone: have every device let go of its memory. */
static void reset(void)
{
	pthread_mutex_lock(&host.control);
	reset_done = 0;
	if (vmb_host_reset(host.bus) == 0)
		while (!reset_done)
			pthread_cond_wait(&reset_ended, &host.control);
	for (unsigned i = 0; i < WIRE_MAX_VPS; i++) {
		__atomic_store_n(&simp[i], NULL, __ATOMIC_RELEASE);
		__atomic_store_n(&siefp[i], NULL, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&host.control);
}

static uint32_t post(const struct wire_post *p)
{
	int r;

	pthread_mutex_lock(&host.control);
	r = vmb_host_post(host.bus, p->input, sizeof p->input);
	pthread_mutex_unlock(&host.control);
	return r < 0 ? VMB_HV_INVALID_PARAMETER : (uint32_t)r;
}

/* Until the machine is switched off. 0, or -1: the VMM is gone. */
static int take_packets(void)
{
	union wire_packet p;

	while (hostlink_receive(&link_, &p, -1) > 0)
		switch (p.head.type) {
		case WIRE_POST:
			hostlink_status(&link_, p.head.vp, post(&p.post));
			break;
		case WIRE_SIGNAL:
			if (vmb_host_signal(host.bus, p.signal.connection, p.signal.flag) != VMB_HV_SUCCESS)
				fprintf(stderr, "a signal to unknown connection %u\n", p.signal.connection);
			break;
		case WIRE_EOM:
		case WIRE_SYNIC:
			if (p.head.type == WIRE_SYNIC)
				set_synic(&p.synic);
			pthread_mutex_lock(&host.control);
			vmb_host_eom(host.bus, p.head.vp);
			pthread_mutex_unlock(&host.control);
			break;
		case WIRE_RESET:
			reset();
			hostlink_status(&link_, WIRE_NO_VP, 0);
			break;
		case WIRE_OFF:
			reset();
			return 0;
		}
	return -1;
}

/* ---- beginning and end */

static int start(uint32_t max_version)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .max_version = max_version, .vps = link_.vps, .message = on_message,
				       .interrupt = on_interrupt, .wake = on_wake, .poke = on_poke, .map = on_map, .unmap = on_unmap };
	struct vmb_storage need;
	void *mem;
	int r = vmb_host_storage(&cfg, &need);

	if (r < 0)
		return r;
	mem = aligned_alloc(need.align, (need.bytes + need.align - 1) / need.align * need.align);
	r = mem ? vmb_host_init(mem, need.bytes, &cfg, &host.bus) : VMB_ENOSPACE;
	for (unsigned i = 0; i < DEVICES && r == 0; i++) {
		device[i].ops = table[i];
		device[i].host = &host;
		r = device_offer(&device[i], i + 1);
	}
	return r;
}

static void print_statistics(const struct device *d)
{
	const struct vmb_channel_info *c = &d->last;

	fprintf(stderr, "VMB-NOTE: %-9s opens %u channel %u vp %u packets %llu in %llu out, "
			"signals %llu data %llu room, full %llu | %s\n",
		d->ops->name, d->opens, d->info.event_flag, d->info.target_vp, (unsigned long long)c->received, (unsigned long long)c->sent,
		(unsigned long long)c->signals_data, (unsigned long long)c->signals_room, (unsigned long long)c->full, d->result);
}

/* Is all as the command line demands? */
static int verdict(void)
{
	int bad = 0;

	for (unsigned i = 0; i < DEVICES; i++) {
		const struct device *d = &device[i];

		print_statistics(d);
		if (least[i] >= 0 && (!d->opens || !d->content || d->measure < (uint64_t)least[i])) {
			fprintf(stderr, "%s: %llu where at least %ld is asked for\n", d->ops->name, (unsigned long long)d->measure, least[i]);
			bad = 1;
		}
	}
	if (*number && mail_check(host.disk, host.disk_bytes, number, device, DEVICES) < 0)
		bad = 1;
	return bad;
}

static uint32_t parse_version(const char *text)
{
	unsigned major, minor;

	return sscanf(text, "%u.%u", &major, &minor) == 2 ? major << 16 | minor : 0;
}

static int parse_expectation(char *text)
{
	char *value = strchr(text, '=');

	for (unsigned i = 0; value && i < DEVICES; i++)
		if (strlen(table[i]->name) == (size_t)(value - text) && !strncmp(table[i]->name, text, (size_t)(value - text))) {
			least[i] = strtol(value + 1, NULL, 0);
			return 0;
		}
	return -1;
}

int main(int argc, char **argv)
{
	uint32_t max_version = 0;
	pthread_t events;
	int option, r;

	for (unsigned i = 0; i < DEVICES; i++)
		least[i] = -1;
	while ((option = getopt(argc, argv, "V:n:e:s")) != -1) {
		if (option == 'V')
			max_version = parse_version(optarg);
		else if (option == 'n')
			number = optarg;
		else if (option == 's')
			ask_shutdown = 1;
		else if (option != 'e' || parse_expectation(optarg) < 0)
			return 2;
	}
	if (hostlink_open(&link_) < 0)
		return 2;
	host.memory = &memory;
	host.reference_time = reference_time;
	host.poke_fd = eventfd(0, 0);
	host.disk_bytes = DISK_BYTES;
	host.disk = mmap(NULL, DISK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (host.disk == MAP_FAILED || host.poke_fd < 0)
		return 2;
	pthread_mutex_init(&host.control, NULL);
	mail_to_guest(host.disk, host.disk_bytes, number);
	r = start(max_version);
	if (r < 0) {
		fprintf(stderr, "hostend: %s\n", vmb_strerror(r));
		return 2;
	}
	if (pthread_create(&events, NULL, event_thread, NULL))
		return 2;
	r = take_packets();
	__atomic_store_n(&ending, 1, __ATOMIC_RELEASE);
	on_poke(NULL);
	pthread_join(events, NULL);
	return r < 0 ? 2 : verdict();
}
