/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A guest without an operating system: a multiboot payload that embeds libvmbus's guest end, takes the dynamic-memory device of
 * whatever Hyper-V it finds itself on, and gives and takes memory as the host demands. No C library, one processor.
 *
 * Words of its command line:
 *	number=HEX         64 bits, which it reports to the host by the device, and on the console at the end
 *	mode=interrupts    (default) nothing is looked at before the SINT's interrupt says so
 *	mode=polling       the SINT is masked, the channel asks for no signals: everything is looked at every 10 ms
 *	version=4.0        negotiate this one only
 *	features=HEX       VMB_FEATURE_* to ask for at 6.0; with bit 0, connection id and event flag are ours
 *	ring=PAGES         of each direction, with its control page (2: every longer talk fills the ring)
 *	balloon=N,M...     connect so often (1); stay on the n-th connection until N requests have been done since the beginning
 *	linger=MS          stay so much longer on each connection
 *	crash              leave the last connection as a system does that dies: UNLOAD with the channel open, interrupts off
 *	expect=refused     the host must refuse the version; expect=nothing: it must offer no such device
 * It says "bare: up ...", "bare: ready ..." for each connection, and at last "bare: result=0 ..." or "bare: FAILED: ...".
 */
#include "bare.h"

#include <stdbool.h>

enum { CONNECTIONS_MOST = 8, RING_MOST = 16, ARENA = 1 << 20, CMDLINE_MOST = 1024, OWN_CONNECTION = 0x4321, OWN_FLAG = 99 };
#define PATIENCE_NS 500000000000u        /* for all of it */
#define ANSWER_MS 60000u                 /* for each answer of the host */
#define BOOT_MEMORY 0x1u                 /* flags of the multiboot information */
#define BOOT_CMDLINE 0x4u

struct multiboot {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline; /* KiB above 1 MiB; physical address */
};

static struct {
	uint64_t number;
	uint32_t version, features, ring, linger_ms, connections, until[CONNECTIONS_MOST];
	bool polling, crash, refused, nothing;
} want = { .ring = 2, .connections = 1 };

static uint8_t arena[ARENA] __attribute__((aligned(64)));
static uint8_t ring[2 * RING_MOST * VMB_PAGE] __attribute__((aligned(4096))), legacy_page[VMB_PAGE] __attribute__((aligned(4096)));
static uint8_t monitor_page[2][VMB_PAGE] __attribute__((aligned(4096)));
static char cmdline[CMDLINE_MOST];

static struct vmb_guest *guest;
static struct vmb_channel *channel;      /* while open */
static void *channel_mem;
static size_t channel_bytes;
static vmb_handle balloon;
static uint32_t connection, offers;      /* which one, from 1 on; on this one */
static uint32_t version_met, features_met;
static uint64_t done_at;
static bool opened, done, left, refused, crashed;
/* Of handlers: */
static volatile uint32_t woken, poked, slot_full;
static volatile uint64_t interrupts;

void bare_main(const struct multiboot *info);
void on_sint(void);

static void must(int r, const char *what)
{
	if (r < 0)
		die(what, r);
}

/* ---- command line */

static uint64_t number(const char **text, unsigned base)
{
	uint64_t v = 0;

	for (;; ++*text) {
		unsigned c = (unsigned char)**text, digit = c - '0';

		if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		if (digit >= base)
			return v;
		v = v * base + digit;
	}
}

/* If the text begins with this word, step behind it. */
static bool is(const char **text, const char *word)
{
	const char *p = *text;

	while (*word)
		if (*p++ != *word++)
			return false;
	*text = p;
	return true;
}

static void take_word(const char *p)
{
	if (is(&p, "number=")) {
		want.number = number(&p, 16);
	} else if (is(&p, "mode=polling")) {
		want.polling = true;
	} else if (is(&p, "version=")) {
		want.version = (uint32_t)number(&p, 10) << 16;
		if (is(&p, "."))
			want.version |= (uint32_t)number(&p, 10);
	} else if (is(&p, "features=")) {
		want.features = (uint32_t)number(&p, 16);
	} else if (is(&p, "ring=")) {
		want.ring = (uint32_t)number(&p, 10);
	} else if (is(&p, "linger=")) {
		want.linger_ms = (uint32_t)number(&p, 10);
	} else if (is(&p, "crash")) {
		want.crash = true;
	} else if (is(&p, "expect=refused")) {
		want.refused = true;
	} else if (is(&p, "expect=nothing")) {
		want.nothing = true;
	} else if (is(&p, "balloon=")) {
		want.connections = 0;
		do
			want.until[want.connections++] = (uint32_t)number(&p, 10);
		while (is(&p, ",") && want.connections < CONNECTIONS_MOST);
	}
}

/* Words of others are none of ours. */
static void take_cmdline(const struct multiboot *info)
{
	const char *from = (const char *)(uintptr_t)info->cmdline, *p = cmdline;
	size_t i;

	for (i = 0; (info->flags & BOOT_CMDLINE) && from[i] && i < CMDLINE_MOST - 1; i++)
		cmdline[i] = from[i];
	while (*p) {
		take_word(p);
		while (*p && *p != ' ')
			p++;
		while (*p == ' ')
			p++;
	}
	if (want.ring < 2 || want.ring > RING_MOST)
		die("ring", want.ring);
}

/* ---- callbacks, and the interrupt */

static void on_wake(void *ctx, uint64_t user)
{
	(void)ctx, (void)user;
	woken = 1;
}

static void on_poke(void *ctx)
{
	(void)ctx;
	poked = 1;
}

static void look_at_flags(void)
{
	if (vmb_guest_interrupt(guest, hv_flags(), hv_slot()) == VMB_YES)
		slot_full = 1;
}

void on_sint(void)
{
	interrupts++;
	look_at_flags();
	cpu_eoi();
}

/* ---- the bus */

static void *allocate(const struct vmb_storage *need)
{
	static size_t used;
	size_t at = (used + need->align - 1) / need->align * need->align;

	if (at + need->bytes > ARENA)
		die("memory for the library", (int64_t)need->bytes);
	used = at + need->bytes;
	return arena + at;
}

static struct vmb_channel_config channel_config(void)
{
	return (struct vmb_channel_config){ .size = sizeof(struct vmb_channel_config), .flags = want.polling ? VMB_CHANNEL_POLLED : 0 };
}

static void init(void)
{
	struct vmb_guest_config cfg = {
		.size = sizeof cfg, .min_version = want.version, .max_version = want.version, .features = want.features,
		.message_vp = hv_vp(), .connect_ms = ANSWER_MS, .reply_ms = ANSWER_MS, .unload_ms = ANSWER_MS,
		.interrupt_gpa = (uintptr_t)legacy_page, .interrupt_page = legacy_page,
		.post = hv_post, .signal = hv_signal, .wake = on_wake, .poke = on_poke,
	};
	struct vmb_channel_config ch = channel_config();
	struct vmb_storage need;
	unsigned i;

	for (i = 0; i < 2; i++) {
		cfg.monitor_gpa[i] = (uintptr_t)monitor_page[i];
		cfg.monitor_page[i] = monitor_page[i];
	}
	__builtin_memcpy(cfg.client_id.byte, &want.number, sizeof want.number);
	must(vmb_guest_storage(&cfg, &need), "storage");
	must(vmb_guest_init(allocate(&need), need.bytes, &cfg, &guest), "init");
	must(vmb_channel_storage(&ch, &need), "channel storage");
	channel_mem = allocate(&need);
	channel_bytes = need.bytes;
}

static void on_offer(vmb_handle ch)
{
	struct vmb_offer offer = { .size = sizeof offer };
	struct vmb_channel_config cfg = channel_config();
	struct vmb_open open = { .size = sizeof open, .tx_pages = want.ring, .rx_pages = want.ring, .target_vp = hv_vp(),
				 .ring_gpa = (uintptr_t)ring, .ring = ring };
	struct vmb_guid class;

	offers++;
	must(vmb_guest_offer(guest, ch, &offer), "offer");
	must(vmb_guid_parse(VMB_CLASS_BALLOON, &class), "class");
	if (__builtin_memcmp(&offer.class_id, &class, sizeof class) != 0) {
		must(vmb_guest_release(guest, ch), "release");
		return;
	}
	if (balloon)
		die("a second balloon", ch);
	balloon = ch;
	if (features_met & VMB_FEATURE_SIGNAL_PARAMETERS) {
		open.connection_id = OWN_CONNECTION;
		open.event_flag = OWN_FLAG;
	}
	must(vmb_guest_open(guest, ch, channel_mem, channel_bytes, &cfg, &open, &channel), "open");
}

static void on_event(const struct vmb_event *ev)
{
	struct vmb_bus_info info = { .size = sizeof info };

	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		/* Refused in words; or the connection that carries contact from 5.0 on is not there. */
		if (want.refused && (ev->status == VMB_EVERSION ||
				     (ev->status == VMB_EPLATFORM && ev->peer_status == VMB_HV_INVALID_CONNECTION))) {
			refused = left = true;
			break;
		}
		must(ev->status, "connect");
		must(vmb_guest_info(guest, &info), "info");
		version_met = info.version;
		features_met = info.features;
		break;
	case VMB_EV_OFFER:
		on_offer(ev->ch);
		break;
	case VMB_EV_OFFERS_DONE:
		if (!balloon && !want.nothing)
			die("no balloon among so many offers", offers);
		if (!balloon) {
			say("bare: ready %u, nothing offered\n", (uint64_t)connection);
			must(vmb_guest_disconnect(guest), "disconnect");
		}
		break;
	case VMB_EV_OPENED:
		must(ev->status, "open");
		opened = true;
		woken = 1;
		balloon_start(channel, connection % 2 ? want.number : ~want.number, want.until[connection - 1]);
		say("bare: ready %u\n", (uint64_t)connection);
		break;
	case VMB_EV_CLOSED:
		must(ev->status, "close");
		channel = NULL;
		must(vmb_guest_release(guest, balloon), "release");
		break;
	case VMB_EV_GONE:
		if (ev->ch == balloon)
			must(vmb_guest_disconnect(guest), "disconnect");
		break;
	case VMB_EV_RESCINDED:
		if (ev->ch == balloon)
			die("the balloon was taken away", 0);
		break;
	case VMB_EV_DISCONNECTED:
		must(ev->status, "unload");
		left = true;
		break;
	}
}

/* The control side: what the host said, and what follows from it. */
static void bus_work(void)
{
	struct vmb_event ev;
	int r;

	if (__atomic_exchange_n(&slot_full, 0, __ATOMIC_SEQ_CST))
		while ((r = vmb_guest_slot(guest, hv_slot())) > 0)
			if (r & VMB_EOM)
				hv_eom();
	poked = 0;
	while (vmb_guest_poll(guest, hv_now(), &ev) > 0)
		on_event(&ev);
}

/* What a dying system does: nothing of the end is used any more, and the slot is looked at until the host has let go. */
static void crash(void)
{
	int r;

	__asm__ volatile("cli");
	while ((r = vmb_guest_crash(guest, NULL)) == VMB_EAGAIN)
		;
	must(r, "unload of a crash");
	do {
		r = vmb_guest_crash(guest, hv_slot());
		must(r, "answer to a crash");
		if (r & VMB_EOM)
			hv_eom();
		if (hv_now() > PATIENCE_NS)
			die("no answer to a crash", connection);
	} while (!(r & VMB_YES));
	left = crashed = true;
}

static void device_work(void)
{
	int r = 0;

	if (!opened)
		return;
	if (__atomic_exchange_n(&woken, 0, __ATOMIC_SEQ_CST) || want.polling)
		r = balloon_run();
	must(r, "balloon");
	if (r == VMB_YES && !done) {
		done = true;
		done_at = hv_now();
	}
	if (!done || !balloon_heard() || hv_now() - done_at < want.linger_ms * 1000000ull)
		return;
	opened = done = false;
	if (want.crash && connection == want.connections) {
		crash();
		return;
	}
	must(vmb_guest_close(guest, balloon), "close");
	poked = 1;
}

/* From contact to unload. */
static void connect_once(void)
{
	balloon = 0;
	offers = 0;
	opened = done = left = false;
	must(vmb_guest_connect(guest), "connect");
	while (!left) {
		if (want.polling)
			look_at_flags();
		bus_work();
		device_work();
		if (!left)
			cpu_sleep(&woken, &poked, &slot_full);
		if (hv_now() > PATIENCE_NS)
			die("time is over", connection);
	}
}

static void report(void)
{
	const struct balloon_figures *f = &figures;
	uint64_t n = want.connections, major = version_met >> 16, minor = version_met & 0xffff;

	say("bare: result=0 number=%X version=%u.%u features=%x", want.number, major, minor, (uint64_t)features_met);
	say(" connections=%u crashed=%u mode=%s", n, (uint64_t)crashed, want.polling ? "polling" : "interrupts");
	say(" interrupts=%u dynamic=%x", (uint64_t)interrupts, (uint64_t)f->version);
	say(" asked=%u given=%u replies=%u", f->asked, f->given, f->replies);
	say(" returned=%u wiped=%u releases=%u", f->returned, f->wiped, f->releases);
	say(" wrong=%u done=%u\n", f->wrong, f->done);
}

void bare_main(const struct multiboot *info)
{
	uint64_t top = 0x100000 + ((info->flags & BOOT_MEMORY) ? (uint64_t)info->mem_upper << 10 : 0);

	take_cmdline(info);
	say("bare: up number=%X\n", want.number);
	cpu_init();
	hv_on(!want.polling);
	pages_init(top, want.number);
	init();
	for (connection = 1; connection <= want.connections; connection++)
		connect_once();
	if (want.refused && !refused)
		die("the version was not refused", want.version);
	if (!crashed)
		must(vmb_guest_end(guest), "end");
	__asm__ volatile("cli");
	hv_off();
	report();
	cpu_off();
}
