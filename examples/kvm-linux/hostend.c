/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The host-end process: a libvmbus host end and its devices. The VMM process tells what the guest's processors do (wire.h);
 * this one maps the guest's memory and speaks VMBus with it.
 *
 * usage: hostend [-V VERSION] [-n NUMBER] [-e DEVICE=LEAST]... [-s] [-d DISKS] [-S] [-p PLAN] [-l KIND=N]... [-w] [-c] [-H SOCKETS]
 *	        [-k FILE]
 *	-V  highest protocol version to accept: 2.4, 3.0 ... 5.3
 *	-n  a random number that the guest must write on the disk (mail.h)
 *	-e  when all is over, this device must have been open, be content, and have reached this figure (device.h: measure)
 *	-s  ask for shutdown once the guest's mail has come and the figures of all other devices are reached
 *	-d  so many disks (1), each with a random number of its own at its beginning
 *	-S  offer the devices in a random order, with random channel ids
 *	-p  what the host end does meanwhile, and checks (plan.h): with @N, N times
 *	-l  lose one in N of them on purpose (loss.h): interrupt, event, message or signal
 *	-c  each disk has a subchannel for whoever asks for it
 *	-H  so many Hyper-V sockets at once
 *	-k  this file is on the second disk (plan.h)
 *	-b  offer a dynamic-memory device too, which asks the guest for so many pages: PAGES[,NUMBER] (dev_balloon.c)
 *	-w  do not look for what was lost: then a guest may hang, as it would on a host that loses interrupts
 *
 * Kinds of threads: the main one takes packets from the VMM and makes control calls; one pulls events; each open channel has its
 * own; and so has a plan.
 */
#define _GNU_SOURCE
#include "device.h"
#include "hostlink.h"
#include "keep.h"
#include "loss.h"
#include "mail.h"
#include "plan.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { SINT = 2, DISK_BYTES = 64 << 20, DISK_STEP = 8 << 20, DISKS_MOST = 4, LATENCY_US = 4000, BALLOON_INSTANCE = 0x40 };
enum { LOOK_MS = 200, LOSS_LOOK_MS = 100, HVSOCK_MS = 3000 };
enum { MODIFY_CHANNEL = 22, MODIFY_CHANNEL_RESPONSE = 24, POST_HEADER = 16 }; /* control-plane.md 1.2, 2 */

/* The last one may be there several times. */
static const struct device_ops *const table[] = { &dev_heartbeat, &dev_shutdown, &dev_timesync, &dev_storvsp };
enum { KINDS = sizeof table / sizeof *table, FIRST_DISK = KINDS - 1, SOCKETS_MOST = 8,
       DEVICES = FIRST_DISK + 2 * DISKS_MOST + SOCKETS_MOST };

static struct hostlink link_;
static struct host host;
static struct device device[DEVICES];
static struct image image[DISKS_MOST];
static struct device balloon;            /* only with -b */
static long least[KINDS];                /* -1: not asked for */
static const char *number = "", *plan_name;
static const char *file_on_disk;
static unsigned disks = 1, sockets;
static uint64_t seed;
static int ask_shutdown, reset_done, ending, shuffled, unwatched, subchannels, resumed;
static pthread_cond_t reset_ended = PTHREAD_COND_INITIALIZER;
static uint8_t *simp[WIRE_MAX_VPS], *siefp[WIRE_MAX_VPS]; /* as the guest set them; NULL while off. Any thread */

/* ---- callbacks of the host end: leaves */

static struct device *device_of_flag(uint32_t flag)
{
	for (unsigned i = 0; i < host.devices + host.extras; i++)
		if (__atomic_load_n(&device[i].flag, __ATOMIC_RELAXED) == flag)
			return &device[i];
	return NULL;
}

/* Control messages that went by, for plans: how many of each type, and where a channel's interrupts may go. */
static void count_message(unsigned *counts, const void *payload, uint32_t len)
{
	struct device *d;
	uint32_t m[4] = { 0 }; /* type, reserved; of both MODIFY_CHANNEL messages: channel id, then a VP or a status */

	memcpy(m, payload, len < sizeof m ? len : sizeof m);
	if (m[0] < MESSAGE_TYPES)
		__atomic_fetch_add(&counts[m[0]], 1, __ATOMIC_RELEASE);
	d = m[0] == MODIFY_CHANNEL || m[0] == MODIFY_CHANNEL_RESPONSE ? device_of_flag(m[2]) : NULL;
	if (!d)
		return;
	if (m[0] == MODIFY_CHANNEL)
		__atomic_store_n(&d->vp_wanted, m[3], __ATOMIC_RELAXED);
	__atomic_store_n(&d->vp_promised, m[0] == MODIFY_CHANNEL ? DEVICE_NO_VP : d->vp_wanted, __ATOMIC_RELEASE);
}

static void count_interrupt(uint32_t vp, uint32_t flag)
{
	struct device *d = device_of_flag(flag);
	uint32_t promised = d ? __atomic_load_n(&d->vp_promised, __ATOMIC_ACQUIRE) : DEVICE_NO_VP;

	if (d)
		__atomic_fetch_add(&d->raised[vp < DEVICE_VPS ? vp : DEVICE_VPS - 1], 1, __ATOMIC_RELAXED);
	if (promised != DEVICE_NO_VP && promised != vp)
		__atomic_fetch_add(&d->stray, 1, __ATOMIC_RELAXED);
}

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	uint8_t *page = vp < WIRE_MAX_VPS ? __atomic_load_n(&simp[vp], __ATOMIC_ACQUIRE) : NULL;
	int r = page ? vmb_synic_post(page + sint * 256, payload, len) : VMB_EAGAIN;

	(void)ctx, (void)vtl;
	if (r != 0)
		return r;
	count_message(host.given, payload, len);
	if (loss_wanted())
		loss_slot_was_free(vp);
	if (loss_now(LOSS_MESSAGE))
		loss_remember(vp, LOSS_NO_FLAG);
	else
		hostlink_raise(&link_, vp, sint);
	return 0;
}

/* Shall this event be lost, flag and all? Then its device knows. */
static int lose_event(uint32_t flag)
{
	struct device *d = loss_wanted() ? device_of_flag(flag) : NULL;

	if (!d || !loss_now(LOSS_EVENT))
		return 0;
	__atomic_fetch_add(&d->lost_events, 1, __ATOMIC_ACQ_REL);
	return 1;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	uint8_t *page = vp < WIRE_MAX_VPS ? __atomic_load_n(&siefp[vp], __ATOMIC_ACQUIRE) : NULL;

	(void)ctx, (void)vtl;
	if (!page || lose_event(flag) || vmb_synic_set(page + sint * 256, flag) <= 0)
		return;
	count_interrupt(vp, flag);
	if (loss_now(LOSS_INTERRUPT))
		loss_remember(vp, flag);
	else
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
	__atomic_fetch_add(&host.pages, n, __ATOMIC_RELAXED);
	return 0;
}

static void on_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	(void)ctx, (void)pfns, (void)flags, (void)pages; /* RAM is always there; it is only counted */
	__atomic_fetch_sub(&host.pages, n, __ATOMIC_RELAXED);
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
		if (!plan_name && vmb_host_info(host.bus, &info) == 0) /* a plan's guest may come often */
			fprintf(stderr, "VMB-NOTE: guest connected, version %u.%u\n", info.version >> 16, info.version & 0xffff);
		break;
	case VMB_EV_OPEN:
		d->resumes = (ev->flags & VMB_EVF_RESTORED) != 0;
		device_opened(d);
		__atomic_fetch_add(&host.opens, 1, __ATOMIC_RELEASE);
		break;
	case VMB_EV_CLOSED:
		device_closed(d);
		if (d->sub && d->sub->handle) /* the guest asks for it again when it opens this one again */
			vmb_host_remove(host.bus, d->sub->handle);
		break;
	case VMB_EV_GONE:
		if (d->handle == ev->ch) /* it may have been offered again already */
			d->handle = 0;
		__atomic_fetch_add(&host.gone, 1, __ATOMIC_RELEASE);
		break;
	case VMB_EV_HVSOCK:
		dev_socket_asked(&host, ev);
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

	return mail_from_guest(&image[0], NULL, 0) > 0 && dev_heartbeat_answered(&device[0]) >= heartbeats;
}

/* Interrupts that were lost are missed after a while; where there is no page, there is nobody to interrupt. */
static void look_for_lost(void)
{
	for (unsigned i = 0; i < link_.vps; i++) {
		uint8_t *flags = __atomic_load_n(&siefp[i], __ATOMIC_ACQUIRE);
		uint8_t *slots = __atomic_load_n(&simp[i], __ATOMIC_ACQUIRE);

		if (loss_look(i, flags ? flags + SINT * 256 : NULL, slots ? slots + SINT * 256 : NULL) > 0)
			hostlink_raise(&link_, i, SINT);
	}
}

static void *event_thread(void *arg)
{
	struct pollfd fd = { host.poke_fd, POLLIN, 0 };
	struct vmb_event ev = { .deadline = UINT64_MAX };
	struct timespec t;
	uint64_t n, now;
	int looking = loss_wanted() && !unwatched, most = looking ? LOSS_LOOK_MS : LOOK_MS;

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
		if (looking)
			look_for_lost();
		/* a host end gives no deadlines */
		if (poll(&fd, 1, most) > 0 && read(host.poke_fd, &n, sizeof n) != sizeof n)
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
	keep_synic(s);
	__atomic_store_n(&simp[s->head.vp], s->scontrol & 1 ? synic_page(s->simp) : NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&siefp[s->head.vp], s->scontrol & 1 ? synic_page(s->siefp) : NULL, __ATOMIC_RELEASE);
}

/* The guest is reset or gone: have every device let go of its memory. */
static void reset(void)
{
	pthread_mutex_lock(&host.control);
	plan_before_reset(&host);
	reset_done = 0;
	if (vmb_host_reset(host.bus) == 0)
		while (!reset_done)
			pthread_cond_wait(&reset_ended, &host.control);
	plan_after_reset(&host);
	for (unsigned i = 0; i < WIRE_MAX_VPS; i++) {
		__atomic_store_n(&simp[i], NULL, __ATOMIC_RELEASE);
		__atomic_store_n(&siefp[i], NULL, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&host.control);
}

/* Shall this signal be lost? Then its device knows. */
static int lose_signal(uint32_t connection)
{
	for (unsigned i = 0; loss_wanted() && i < host.devices; i++)
		if (__atomic_load_n(&device[i].connection, __ATOMIC_RELAXED) == connection) {
			if (!loss_now(LOSS_SIGNAL))
				return 0;
			__atomic_fetch_add(&device[i].lost_signals, 1, __ATOMIC_ACQ_REL);
			return 1;
		}
	return 0;
}

static uint32_t post(const struct wire_post *p)
{
	int r;

	pthread_mutex_lock(&host.control);
	count_message(host.taken, p->input + POST_HEADER, WIRE_POST_BYTES - POST_HEADER);
	r = vmb_host_post(host.bus, p->input, sizeof p->input);
	pthread_mutex_unlock(&host.control);
	return r < 0 ? VMB_HV_INVALID_PARAMETER : (uint32_t)r;
}

/* One packet. 1, 0: the machine is switched off, or -1: the VMM is gone. */
static int take_packet(void)
{
	union wire_packet p;

	if (hostlink_receive(&link_, &p, -1) <= 0)
		return -1;
	switch (p.head.type) {
	case WIRE_POST:
		hostlink_status(&link_, p.head.vp, post(&p.post));
		return 1;
	case WIRE_SIGNAL:
		if (!lose_signal(p.signal.connection) &&
		    vmb_host_signal(host.bus, p.signal.connection, p.signal.flag) != VMB_HV_SUCCESS)
			fprintf(stderr, "a signal to unknown connection %u\n", p.signal.connection);
		return 1;
	case WIRE_EOM:
	case WIRE_SYNIC:
		if (p.head.type == WIRE_SYNIC)
			set_synic(&p.synic);
		pthread_mutex_lock(&host.control);
		vmb_host_eom(host.bus, p.head.vp);
		pthread_mutex_unlock(&host.control);
		return 1;
	case WIRE_RESET:
		reset();
		hostlink_status(&link_, WIRE_NO_VP, 0);
		return 1;
	case WIRE_OFF:
		reset();
		return 0;
	}
	return -1;
}

/* Whoever holds `traffic` finds each packet either done, or still in the socket. 0, or -1: the VMM is gone. */
static int take_packets(void)
{
	int r;

	do {
		r = hostlink_wait(&link_);
		if (r < 0)
			break;
		pthread_mutex_lock(&host.traffic);
		r = take_packet();
		pthread_mutex_unlock(&host.traffic);
	} while (r > 0);
	return r;
}

/* ---- beginning and end */

/* The disks differ in size, so that none is taken for another. */
static void make_image(struct image *m, unsigned i)
{
	m->size = DISK_BYTES - (uint64_t)i * DISK_STEP;
	m->latency_us = LATENCY_US;
	m->bytes = keep_disk(i);
	pthread_mutex_init(&m->lock, NULL);
	if (!resumed)
		plan_number(m->bytes, seed, i);
}

/* Behind the disks: what is offered only when somebody asks for it. */
static int make_extras(void)
{
	for (unsigned i = 0; i < (subchannels ? disks : 0) + sockets; i++) {
		struct device *d = &host.extra[i], *disk = &device[FIRST_DISK + i];

		d->ops = subchannels && i < disks ? &dev_storvsp : &dev_socket;
		d->host = &host;
		if (device_make(d) < 0)
			return -1;
		if (d->ops == &dev_storvsp) {
			d->instance = disk->instance;
			d->image = disk->image;
			d->subchannel = 1;
			disk->sub = d;
		}
		host.extras++;
	}
	return 0;
}

static int make_devices(void)
{
	for (unsigned i = 0; i < KINDS - 1 + disks; i++) {
		struct device *d = &device[i];

		d->ops = table[i < FIRST_DISK ? i : FIRST_DISK];
		d->host = &host;
		d->instance = i + 1;
		if (device_make(d) < 0)
			return -1;
		if (i < FIRST_DISK)
			continue;
		d->image = &image[i - FIRST_DISK];
		make_image(d->image, i - FIRST_DISK);
	}
	host.device = device;
	host.devices = KINDS - 1 + disks;
	host.disks = disks;
	host.extra = &device[host.devices];
	mail_to_guest(&image[0], number);
	if (file_on_disk && (disks < 2 || plan_file(&image[1], file_on_disk) < 0))
		return -1;
	return make_extras();
}

static int offer_balloon(void)
{
	balloon = (struct device){ .ops = &dev_balloon, .host = &host, .instance = BALLOON_INSTANCE };
	return device_make(&balloon) < 0 ? VMB_ENOSPACE : device_offer(&balloon);
}

static int start(uint32_t max_version)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .max_version = max_version, .vps = link_.vps, .max_hvsock = sockets,
				       .hvsock_ms = HVSOCK_MS, .message = on_message, .interrupt = on_interrupt, .wake = on_wake, .poke = on_poke,
				       .map = on_map, .unmap = on_unmap };
	struct vmb_storage need;
	unsigned order[DEVICES];
	void *mem;
	int r = vmb_host_storage(&cfg, &need);

	if (r < 0)
		return r;
	mem = aligned_alloc(need.align, (need.bytes + need.align - 1) / need.align * need.align);
	r = mem ? vmb_host_init(mem, need.bytes, &cfg, &host.bus) : VMB_ENOSPACE;
	for (unsigned i = 0; i < host.devices; i++)
		order[i] = i;
	if (shuffled)
		plan_shuffle(&host, order, FIRST_DISK, seed);
	for (unsigned i = 0; i < host.devices && r == 0; i++)
		if (!plan_name || !plan_is_late(plan_name, &device[order[i]]))
			r = device_offer(&device[order[i]]);
	if (r == 0 && resumed)
		r = keep_restore(&host, set_synic);
	return r == 0 && dev_balloon_asked() ? offer_balloon() : r;
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
	int bad = plan_name && plan_verdict() < 0;

	for (unsigned i = 0; i < host.devices; i++) {
		const struct device *d = &device[i];
		long want = least[i < FIRST_DISK ? i : FIRST_DISK];

		if (!plan_name)
			print_statistics(d);
		if (want >= 0 && (!d->opens || !d->content || d->measure < (uint64_t)want)) {
			fprintf(stderr, "%s: %llu where at least %ld is asked for\n", d->ops->name, (unsigned long long)d->measure, want);
			bad = 1;
		}
	}
	if (dev_balloon_asked() && (!balloon.opens || !balloon.content))
		bad = 1;
	if (*number && mail_check(&image[0], number, device, host.devices) < 0)
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

	for (unsigned i = 0; value && i < KINDS; i++)
		if (strlen(table[i]->name) == (size_t)(value - text) && !strncmp(table[i]->name, text, (size_t)(value - text))) {
			least[i] = strtol(value + 1, NULL, 0);
			return 0;
		}
	return -1;
}

static int parse(int argc, char **argv, uint32_t *max_version)
{
	int option;

	for (unsigned i = 0; i < KINDS; i++)
		least[i] = -1;
	while ((option = getopt(argc, argv, "V:n:e:sd:Sp:l:b:wcH:k:")) != -1)
		switch (option) {
		case 'V':
			*max_version = parse_version(optarg);
			break;
		case 'n':
			number = optarg;
			break;
		case 'e':
			if (parse_expectation(optarg) < 0)
				return -1;
			break;
		case 's':
			ask_shutdown = 1;
			break;
		case 'd':
			disks = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'S':
			shuffled = 1;
			break;
		case 'p':
			plan_name = optarg;
			break;
		case 'l':
			if (loss_parse(optarg) < 0)
				return -1;
			break;
		case 'c':
			subchannels = 1;
			break;
		case 'H':
			sockets = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'k':
			file_on_disk = optarg;
			break;
		case 'b':
			if (dev_balloon_ask(optarg) < 0)
				return -1;
			break;
		case 'w':
			unwatched = 1;
			break;
		default:
			return -1;
		}
	return disks >= 1 && disks <= DISKS_MOST && sockets <= SOCKETS_MOST ? 0 : -1;
}

static void kill_guest(void)
{
	hostlink_kill(&link_);
}

int main(int argc, char **argv)
{
	uint32_t max_version = 0;
	pthread_t events;
	int r;

	if (parse(argc, argv, &max_version) < 0 || getrandom(&seed, sizeof seed, 0) != sizeof seed || hostlink_open(&link_) < 0)
		return 2;
	loss_seed(seed);
	resumed = keep_open(&host, &link_, DISK_BYTES);
	host.memory = &memory;
	host.reference_time = reference_time;
	host.look_ms = loss_wanted() && !unwatched ? LOOK_MS : 0;
	host.poke_fd = eventfd(0, 0);
	if (resumed < 0 || host.poke_fd < 0 || make_devices() < 0)
		return 2;
	pthread_mutex_init(&host.control, NULL);
	r = start(max_version);
	if (r < 0) {
		fprintf(stderr, "hostend: %s\n", vmb_strerror(r));
		return 2;
	}
	if (pthread_create(&events, NULL, event_thread, NULL) ||
	    (plan_name && plan_start(&host, plan_name, seed, kill_guest) < 0))
		return 2;
	r = take_packets();
	__atomic_store_n(&ending, 1, __ATOMIC_RELEASE);
	on_poke(NULL);
	pthread_join(events, NULL);
	return r < 0 ? 2 : verdict();
}
