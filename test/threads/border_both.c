/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Ten thousand ends of channels that are in use. Both ends of a bus, eight channels, and for each of them four threads that send
 * and receive all the time: two of the device, two of the driver. Meanwhile channels are rescinded, closed, released, paused,
 * and all at once unloaded, taken over by a new contact, or reset. Memory is really taken away (border.h): the host's by its
 * unmap callback, the guest's as soon as the guest end says that a ring is free.
 */
#include "border.h"

#include <endian.h>

enum { LANES = 8, RING_PAGES = 6, HALF = 3, CPUS = 2, OFFERS = 1 << 18, LIMIT_SECONDS = 280 };

enum kind { RESCIND, CLOSE, RELEASE, PAUSE, UNLOAD, CONTACT, RESET, KINDS };

static const struct { const char *name; uint32_t cycles; } plan[KINDS] = {
	{ "rescind by the host", 2400 }, { "close by the guest", 2800 }, { "release by the guest", 1200 },
	{ "detach and attach", 1200 }, { "unload", 800 }, { "new contact", 800 }, { "reset", 800 },
};

struct lane {
	uint32_t number;          /* from 1: its channel id, too */
	/* the device: below the host's lock */
	vmb_handle device;
	struct vmb_channel *hc;
	void *hmem;
	uint64_t user;            /* of the last offer */
	uint32_t served;          /* its workers are at it, or have not given it back yet */
	uint32_t ending;          /* a kind + 1: it is being ended so; also read without the lock */
	uint32_t pausing;
	struct worker h[2];
	uint32_t h_out, h_quit;
	/* the driver: below the guest's lock */
	vmb_handle channel;
	struct vmb_channel *gc;
	void *gmem;
	uint64_t pfn;
	uint64_t open;            /* the number of the last open */
	uint32_t driven;          /* its workers are at it, or have not given it back yet */
	uint32_t rescinded, released, offered, release_next;
	struct worker g[2];
	uint32_t g_working, g_out, g_quit; /* those that are not done with it; those that have done their last data call */
};

static struct lane lanes[LANES];
static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER, guest_lock = PTHREAD_MUTEX_INITIALIZER; /* guest before host */
static pthread_rwlock_t guest_there = PTHREAD_RWLOCK_INITIALIZER; /* so that it can be replaced */
static struct vmb_host *host;
static struct vmb_guest *guest;
static void *guest_mem;
static size_t guest_bytes, channel_bytes;
static sem_t cpu_wake[CPUS];
static uint8_t flags[CPUS][256] __attribute__((aligned(256))), slot[CPUS][256] __attribute__((aligned(256)));
static uint32_t over, crash, alive[2][OFFERS]; /* by user: of an offer, of an open */
static uint64_t offers, opens;
static uint32_t begun[KINDS], ended[KINDS], packets[KINDS], late, connected, resets, interrupts, signals;
static uint64_t seed = 7;

static void poke(void *ctx)
{
	(void)ctx;
	sem_post(&control);
}

/* ---- what workers do, and how they give their channels back */

/* The last one out gives the channel back. */
static void device_left(struct lane *l)
{
	if (ADD(l->h_out, 1) == 1) {
		pthread_mutex_lock(&host_lock);
		l->served = 0;
		must(!vmb_host_detach(host, l->device), "detach");
		pthread_mutex_unlock(&host_lock);
		sem_post(&control);
	}
}

static void driver_give_back(struct lane *l)
{
	l->driven = 0;
	if (l->rescinded || l->release_next) {
		l->released = 1;
		l->release_next = 0;
		must(!vmb_guest_release(guest, l->channel), "release");
	} else {
		must(!vmb_guest_close(guest, l->channel), "close");
	}
}

static void driver_left(struct lane *l)
{
	if (ADD(l->g_out, 1) == 1 && !GET(crash)) { /* else its kernel is dead */
		pthread_mutex_lock(&guest_lock);
		driver_give_back(l);
		pthread_mutex_unlock(&guest_lock);
	}
	ADD(l->g_working, -1u);
	sem_post(&control);
}

static void device_tx(struct worker *w)
{
	worker_send(w, w->lane->hc, &w->lane->h_quit);
	device_left(w->lane);
}

static void device_rx(struct worker *w)
{
	worker_receive(w, w->lane->hc, &w->lane->h_quit);
	device_left(w->lane);
}

static void driver_tx(struct worker *w)
{
	worker_send(w, w->lane->gc, &w->lane->g_quit);
	driver_left(w->lane);
}

static void driver_rx(struct worker *w)
{
	worker_receive(w, w->lane->gc, &w->lane->g_quit);
	driver_left(w->lane);
}

/* Inside a wake, before it is seen whose it is: time for control to come by, now and then. */
static void linger(void)
{
	static uint32_t wakes;

	if (ADD(wakes, 1) % 16 == 0)
		usleep(30);
}

/* ---- the host's platform */

static struct lane *lane_of_user(uint64_t user)
{
	return &lanes[user % LANES];
}

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *msg, uint32_t len)
{
	uint32_t type;
	int r;

	(void)ctx, (void)vtl, (void)sint;
	memcpy(&type, msg, 4);
	type = le32toh(type);
	if (type == 15 || type == 17)
		must(!border_memory.mapped, "nothing is mapped when a guest is told that it is alone");
	r = vmb_synic_post(slot[vp], msg, len);
	if (!r)
		sem_post(&cpu_wake[vp]);
	return r;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	(void)ctx, (void)vtl, (void)sint;
	ADD(interrupts, 1);
	if (vmb_synic_set(flags[vp], flag) == VMB_YES)
		sem_post(&cpu_wake[vp]);
}

static void on_host_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	linger();
	if (!GET(alive[0][user]))
		ADD(late, 1);
	workers_wake(lane_of_user(user)->h);
}

/* ---- the guest's platform */

static int on_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	uint32_t in[64] = { htole32(connection), 0, htole32(1), htole32(len) };
	int r;

	(void)ctx;
	memcpy(in + 4, payload, len);
	pthread_mutex_lock(&host_lock);
	r = vmb_host_post(host, in, sizeof in);
	pthread_mutex_unlock(&host_lock);
	return r;
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)ctx;
	ADD(signals, 1);
	return vmb_host_signal(host, connection, flag);
}

static void on_guest_wake(void *ctx, uint64_t user)
{
	(void)ctx;
	linger();
	if (!GET(alive[1][user]))
		ADD(late, 1);
	workers_wake(lane_of_user(user)->g);
}

static void *cpu(void *arg)
{
	uintptr_t vp = (uintptr_t)arg;

	while (!GET(over)) {
		int r = 0;

		border_wait(&cpu_wake[vp]);
		pthread_rwlock_rdlock(&guest_there);
		if (guest)
			r = vmb_guest_interrupt(guest, flags[vp], slot[vp]);
		pthread_rwlock_unlock(&guest_there);
		must(r >= 0, "an interrupt");
		if (r == VMB_YES)
			sem_post(&control);
	}
	return NULL;
}

/* Signals and interrupts that nobody asked for: for channels that are, that were and that will be. */
static void *noise(void *arg)
{
	uint64_t random = 3;

	while (!GET(over)) {
		uint32_t n = border_random(&random), id = 1 + n % LANES;

		(void)!vmb_host_signal(host, 0x2000 | id, 0);
		if (n & 0x100 && vmb_synic_set(flags[n >> 9 & 1], id) == VMB_YES)
			sem_post(&cpu_wake[n >> 9 & 1]);
		usleep(40);
	}
	(void)arg;
	return NULL;
}

/* ---- the host's control, below its lock */

static void host_offer(struct lane *l)
{
	struct vmb_offer o = { .size = sizeof o, .channel_id = l->number };

	l->user = offers++ * LANES + l->number - 1;
	must(l->user < OFFERS, "offers");
	o.user = l->user;
	o.class_id.byte[0] = 1;
	o.instance.byte[0] = (uint8_t)l->number;
	must(!vmb_host_offer(host, &o, &l->device), "offer");
}

/* 1: the device has it. */
static int host_attach(struct lane *l, int fresh)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg, .ring_pages = RING_PAGES };
	int r;

	SET(alive[0][l->user], 1);
	r = vmb_host_attach(host, l->device, l->hmem, channel_bytes, &cfg, &l->hc);
	if (r) {
		must(r == VMB_ESTOPPED || (!fresh && r == VMB_ESTATE), "attach, unless the guest has gone meanwhile");
		SET(alive[0][l->user], 0);
		return 0;
	}
	if (fresh)
		l->h[TX].next = l->h[RX].next = 0;
	l->served = 1;
	workers_go(l->h, &l->h_out, &l->h_quit);
	return 1;
}

static void host_closed(struct lane *l, uint64_t user)
{
	uint32_t kind = GET(l->ending);

	SET(alive[0][user], 0);
	if (kind) {
		ended[kind - 1]++;
		packets[kind - 1] += GET(l->h[TX].moved) + GET(l->h[RX].moved);
	}
	SET(l->ending, 0);
	if (l->pausing) {
		l->pausing = 0;
		(void)host_attach(l, 0);
	}
}

static int host_events(void)
{
	struct vmb_event ev;
	int n = 0;

	pthread_mutex_lock(&host_lock);
	while (vmb_host_poll(host, 0, &ev) > 0) {
		struct lane *l = ev.ch ? lane_of_user(ev.user) : NULL;

		n++;
		if (ev.kind == VMB_EV_OPEN)
			(void)host_attach(l, 1);
		else if (ev.kind == VMB_EV_CLOSED)
			host_closed(l, ev.user);
		else if (ev.kind == VMB_EV_GONE && !GET(over))
			host_offer(l);
		else if (ev.kind == VMB_EV_RESET)
			resets++;
	}
	pthread_mutex_unlock(&host_lock);
	return n;
}

/* ---- the guest's control, below its lock */

static void guest_open(struct lane *l)
{
	struct vmb_channel_config cfg = { .size = sizeof cfg };
	struct vmb_open o = { .size = sizeof o, .tx_pages = HALF, .rx_pages = HALF, .target_vp = l->number % CPUS,
			      .ring_gpa = l->pfn * VMB_PAGE, .ring = border_guest_page(l->pfn) };
	int r;

	l->open = opens++ * LANES + l->number - 1;
	must(l->open < OFFERS, "opens");
	o.user = l->open;
	SET(alive[1][l->open], 1);
	border_guest_has(l->pfn, RING_PAGES, 1);
	r = vmb_guest_open(guest, l->channel, l->gmem, channel_bytes, &cfg, &o, &l->gc);
	if (!r)
		return;
	must(r == VMB_ESTATE, "open, or rescinded");
	SET(alive[1][l->open], 0);
	border_guest_has(l->pfn, RING_PAGES, 0);
}

static void guest_offered(const struct vmb_event *ev)
{
	struct vmb_offer o = { .size = sizeof o };
	struct lane *l;

	must(!vmb_guest_offer(guest, ev->ch, &o) && o.channel_id && o.channel_id <= LANES, "the offer");
	l = &lanes[o.channel_id - 1];
	l->channel = ev->ch;
	l->rescinded = l->released = 0;
	l->offered = 1;
	guest_open(l);
}

static struct lane *guest_lane(vmb_handle ch)
{
	for (unsigned i = 0; i < LANES; i++)
		if (lanes[i].channel == ch && lanes[i].offered)
			return &lanes[i];
	must(0, "a handle that is known");
	return NULL;
}

static void guest_closed(struct lane *l, const struct vmb_event *ev)
{
	must(!ev->status, "memory is given back for certain");
	SET(alive[1][ev->user], 0);
	border_guest_has(l->pfn, RING_PAGES, 0);
	if (!l->rescinded && !l->released)
		guest_open(l);
}

static void guest_rescinded(struct lane *l)
{
	l->rescinded = 1;
	if (l->driven || l->released)
		return;
	l->released = 1;
	must(!vmb_guest_release(guest, l->channel), "release after a rescind");
}

static void guest_event(const struct vmb_event *ev)
{
	struct lane *l = ev->ch && ev->kind != VMB_EV_OFFER ? guest_lane(ev->ch) : NULL;

	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		must(!ev->status, "connected");
		connected++;
		break;
	case VMB_EV_DISCONNECTED:
		must(!ev->status, "disconnected");
		if (!GET(over))
			must(!vmb_guest_connect(guest), "connect");
		connected = 0;
		break;
	case VMB_EV_OFFER:
		guest_offered(ev);
		break;
	case VMB_EV_OPENED:
		must(!ev->status || ev->status == VMB_ERESCINDED, "opened, or rescinded");
		if (ev->status)
			break; /* EV_RESCINDED comes, too */
		l->g[TX].next = l->g[RX].next = 0;
		l->driven = 1;
		ADD(l->g_working, 2);
		workers_go(l->g, &l->g_out, &l->g_quit);
		break;
	case VMB_EV_RESCINDED:
		guest_rescinded(l);
		break;
	case VMB_EV_CLOSED:
		guest_closed(l, ev);
		break;
	case VMB_EV_GONE: {
		int by_us = !l->rescinded;

		l->offered = 0;
		if (!by_us)
			break;
		pthread_mutex_lock(&host_lock); /* a device that was given up is offered again as a new one */
		must(!vmb_host_remove(host, l->device), "remove");
		pthread_mutex_unlock(&host_lock);
		break;
	}
	default:
		break;
	}
}

static int guest_events(void)
{
	struct vmb_event ev;
	int n = 0, r;

	if (!guest)
		return 0;
	pthread_mutex_lock(&guest_lock);
	for (uint32_t vp = 0; vp < CPUS; vp++) {
		while ((r = vmb_guest_slot(guest, slot[vp])) > 0) {
			n++;
			if (!(r & VMB_EOM))
				continue;
			pthread_mutex_lock(&host_lock);
			must(!vmb_host_eom(host, vp), "eom");
			pthread_mutex_unlock(&host_lock);
		}
		must(!r, "a slot");
	}
	while (vmb_guest_poll(guest, 0, &ev) > 0) {
		n++;
		guest_event(&ev);
	}
	pthread_mutex_unlock(&guest_lock);
	return n;
}

/* ---- the plan */

static void guest_new(void)
{
	struct vmb_guest_config cfg = { .size = sizeof cfg, .max_channels = 2 * LANES, .post = on_post, .signal = on_signal,
					.wake = on_guest_wake, .poke = poke };
	struct vmb_storage need;

	must(!vmb_guest_storage(&cfg, &need), "storage");
	if (!guest_mem) {
		guest_bytes = need.bytes;
		guest_mem = border_block(guest_bytes);
	}
	pthread_mutex_lock(&host_lock);
	memset(slot, 0, sizeof slot); /* a new kernel has new pages */
	memset(flags, 0, sizeof flags);
	(void)vmb_host_eom(host, 0);
	pthread_mutex_unlock(&host_lock);
	pthread_rwlock_wrlock(&guest_there);
	must(!vmb_guest_init(guest_mem, guest_bytes, &cfg, &guest), "init");
	pthread_rwlock_unlock(&guest_there);
	connected = 0;
	pthread_mutex_lock(&guest_lock);
	must(!vmb_guest_connect(guest), "connect");
	pthread_mutex_unlock(&guest_lock);
}

/* It dies wherever its threads are, and its memory is out of reach until a new one has made contact. */
static void guest_dies(void)
{
	pthread_mutex_lock(&guest_lock);
	SET(crash, 1);
	for (unsigned i = 0; i < LANES; i++)
		workers_quit(lanes[i].g, &lanes[i].g_quit);
	pthread_mutex_unlock(&guest_lock);
	for (unsigned i = 0; i < LANES; i++)
		while (GET(lanes[i].g_working))
			border_wait(&control);
	sem_post(&control); /* it may have been posted for something else, too */
	pthread_mutex_lock(&guest_lock);
	pthread_rwlock_wrlock(&guest_there);
	guest = NULL;
	pthread_rwlock_unlock(&guest_there);
	for (unsigned i = 0; i < LANES; i++) {
		lanes[i].driven = lanes[i].offered = lanes[i].channel = 0;
		border_guest_has(lanes[i].pfn, RING_PAGES, 0);
		SET(alive[1][lanes[i].open], 0);
	}
	SET(crash, 0);
	pthread_mutex_unlock(&guest_lock);
}

/* All four of a channel have moved something since it began. */
static int lane_runs(const struct lane *l)
{
	return l->served && l->driven && !GET(l->ending) && GET(l->h[TX].moved) >= ENOUGH && GET(l->h[RX].moved) >= ENOUGH &&
	       GET(l->g[TX].moved) >= ENOUGH && GET(l->g[RX].moved) >= ENOUGH;
}

static int lanes_running(void)
{
	int n = 0;

	for (unsigned i = 0; i < LANES; i++)
		n += lane_runs(&lanes[i]);
	return n;
}

/* Those that run will end so. */
static void lanes_end(enum kind kind)
{
	for (unsigned i = 0; i < LANES; i++)
		if (lane_runs(&lanes[i])) {
			SET(lanes[i].ending, kind + 1);
			begun[kind]++;
		}
}

static void lock_both(void)
{
	pthread_mutex_lock(&guest_lock);
	pthread_mutex_lock(&host_lock);
}

static void unlock_both(void)
{
	pthread_mutex_unlock(&host_lock);
	pthread_mutex_unlock(&guest_lock);
}

/* All channels at once; what is under way otherwise goes under with the rest. */
static void end_all(enum kind kind)
{
	lock_both();
	lanes_end(kind);
	unlock_both();
	if (kind == UNLOAD) {
		pthread_mutex_lock(&guest_lock);
		must(!vmb_guest_disconnect(guest), "disconnect");
		pthread_mutex_unlock(&guest_lock);
		return;
	}
	guest_dies();
	if (kind == CONTACT) {
		guest_new();
		return;
	}
	pthread_mutex_lock(&host_lock);
	must(!vmb_host_reset(host), "reset");
	pthread_mutex_unlock(&host_lock);
	for (uint32_t before = resets; resets == before;) {
		border_wait(&control);
		(void)host_events();
	}
	must(!border_memory.mapped, "nothing is mapped after a reset");
	guest_new();
}

static void end_one(struct lane *l, enum kind kind)
{
	begun[kind]++;
	SET(l->ending, kind + 1);
	if (kind == RESCIND) {
		must(!vmb_host_remove(host, l->device), "remove");
	} else if (kind == PAUSE) {
		l->pausing = 1;
		workers_quit(l->h, &l->h_quit);
	} else {
		l->release_next = kind == RELEASE;
		workers_quit(l->g, &l->g_quit);
	}
}

/* One of those of which there are still enough to do; KINDS: none. */
static enum kind plan_next(enum kind first, enum kind end)
{
	uint32_t left = 0, pick;

	for (unsigned k = first; k < end; k++)
		left += begun[k] < plan[k].cycles ? plan[k].cycles - begun[k] : 0;
	if (!left)
		return KINDS;
	pick = border_random(&seed) % left;
	for (unsigned k = first; k < end; k++) {
		uint32_t n = begun[k] < plan[k].cycles ? plan[k].cycles - begun[k] : 0;

		if (pick < n)
			return (enum kind)k;
		pick -= n;
	}
	return KINDS;
}

/* 0: the plan is done. */
static int conduct(void)
{
	enum kind one, all = plan_next(UNLOAD, KINDS);
	int running;

	lock_both();
	running = lanes_running();
	unlock_both();
	if (all != KINDS && connected && running > LANES / 2 &&
	    (border_random(&seed) % 8 == 0 || plan_next(RESCIND, UNLOAD) == KINDS)) {
		end_all(all);
		return 1;
	}
	lock_both();
	for (unsigned i = 0; i < LANES; i++) {
		one = plan_next(RESCIND, UNLOAD);
		if (one != KINDS && connected && lane_runs(&lanes[i]))
			end_one(&lanes[i], one);
	}
	unlock_both();
	return all != KINDS || plan_next(RESCIND, UNLOAD) != KINDS;
}

static void work(void)
{
	int n;

	do {
		n = host_events();
		n += guest_events();
	} while (n);
}

/* ---- beginning and end */

static void worker_make(struct worker *w, struct lane *l, void (*body)(struct worker *))
{
	w->lane = l;
	w->body = body;
	w->random = (uint64_t)(w - l->h) * 77 + l->number;
	sem_init(&w->go, 0, 0);
	sem_init(&w->wake, 0, 0);
	must(!pthread_create(&w->thread, NULL, worker_main, w), "a thread");
}

static void make(void)
{
	struct vmb_host_config cfg = { .size = sizeof cfg, .vps = CPUS, .max_channels = 2 * LANES, .max_version = VMB_V5_3,
				       .message = on_message, .interrupt = on_interrupt, .wake = on_host_wake, .poke = poke,
				       .map = border_map, .unmap = border_unmap };
	struct vmb_channel_config channel = { .size = sizeof channel, .ring_pages = RING_PAGES };
	struct vmb_storage need;
	void *mem;

	border_memory_make(16 + LANES * RING_PAGES, 1u << 18);
	must(!vmb_channel_storage(&channel, &need), "storage");
	channel_bytes = need.bytes;
	must(!vmb_host_storage(&cfg, &need), "storage");
	mem = border_block(need.bytes);
	must(!vmb_host_init(mem, need.bytes, &cfg, &host), "init");
	for (unsigned i = 0; i < LANES; i++) {
		struct lane *l = &lanes[i];

		l->number = i + 1;
		l->pfn = 16 + i * RING_PAGES;
		l->hmem = border_block(channel_bytes);
		l->gmem = border_block(channel_bytes);
		worker_make(&l->h[TX], l, device_tx);
		worker_make(&l->h[RX], l, device_rx);
		worker_make(&l->g[TX], l, driver_tx);
		worker_make(&l->g[RX], l, driver_rx);
		host_offer(l);
	}
}

static int all_is_still(void)
{
	for (unsigned i = 0; i < LANES; i++)
		if (GET(lanes[i].ending) || lanes[i].offered)
			return 0;
	return !connected;
}

static void finish(pthread_t *threads, unsigned n)
{
	struct lane *l = lanes;

	SET(over, 1); /* nothing is offered, opened or connected any more */
	pthread_mutex_lock(&guest_lock);
	(void)vmb_guest_disconnect(guest); /* unless it is doing that just now */
	pthread_mutex_unlock(&guest_lock);
	for (work(); !all_is_still(); work())
		border_wait(&control);
	for (unsigned i = 0; i < CPUS; i++)
		sem_post(&cpu_wake[i]);
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	for (l = lanes; l < lanes + LANES; l++) {
		struct worker *all[] = { &l->h[0], &l->h[1], &l->g[0], &l->g[1] };

		for (unsigned k = 0; k < 4; k++) {
			SET(all[k]->body, NULL);
			sem_post(&all[k]->go);
			pthread_join(all[k]->thread, NULL);
		}
		free(l->hmem);
		free(l->gmem);
	}
	check(!vmb_guest_end(guest), "the guest end has got everything back");
	check(!vmb_host_end(host), "the host end has got everything back");
	check(!border_memory.mapped, "nothing is mapped any more");
	free(guest_mem);
	free(host);
}

int main(void)
{
	pthread_t threads[CPUS + 1];
	uint32_t sum = 0;

	alarm(LIMIT_SECONDS);
	sem_init(&control, 0, 0);
	for (unsigned i = 0; i < CPUS; i++)
		sem_init(&cpu_wake[i], 0, 0);
	make();
	guest_new();
	for (uintptr_t i = 0; i < CPUS; i++)
		must(!pthread_create(&threads[i], NULL, cpu, (void *)i), "a thread");
	must(!pthread_create(&threads[CPUS], NULL, noise, NULL), "a thread");
	for (work(); conduct(); work())
		border_wait(&control);
	finish(threads, CPUS + 1);
	for (unsigned k = 0; k < KINDS; k++) {
		printf("%-22s %5u begun, %5u ended, %7u packets of the devices meanwhile\n", plan[k].name, begun[k], ended[k],
		       packets[k]);
		check(ended[k] == begun[k] && begun[k] >= plan[k].cycles, plan[k].name);
		check(packets[k] > begun[k], "and they were in use");
		sum += ended[k];
	}
	printf("%u ends in all, %u pages mapped and unmapped, %u signals, %u interrupts\n", sum, border_memory.maps, GET(signals),
	       GET(interrupts));
	check(sum >= 10000, "ten thousand");
	check(GET(late) == 0, "no wake after EV_CLOSED, on either side");
	return tally();
}
