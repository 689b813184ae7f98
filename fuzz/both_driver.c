/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The guest's embedder: a driver for each channel that it was offered. It opens, closes, releases, makes lists and gives them up as the input says;
 * left alone it does what its events ask for. Each open has its one CLOSED, each list its last event, each handle its GONE.
 */
#include "both.h"
#include "watch.h"

#define DRIVER_USER 1000u

static struct both_driver *driver_of(vmb_handle handle)
{
	for (unsigned i = 0; i < both.drivers; i++)
		if (both.driver[i].handle == handle && !both.driver[i].dead)
			return &both.driver[i];
	return NULL;
}

struct both_side *both_driver_at(uint64_t user)
{
	return user >= DRIVER_USER && user < DRIVER_USER + both.drivers ? &both.driver[user - DRIVER_USER].side : NULL;
}

static struct both_list *driver_list(uint32_t gpadl)
{
	for (unsigned i = 0; i < BOTH_LISTS; i++)
		if (gpadl && both.list[i].gpadl == gpadl)
			return &both.list[i];
	return NULL;
}

static uint32_t driver_list_page(const struct both_list *l)
{
	return BOTH_LIST_PAGE + (uint32_t)(l - both.list) * BOTH_LIST_PAGES;
}

static uint32_t driver_ring_page(unsigned line)
{
	return BOTH_RING_PAGE + line * BOTH_RING_PAGES;
}

/* Memory comes back: free, or perhaps still the host's. */
static void driver_back(uint32_t page, uint32_t n, int status)
{
	fuzz_need(status == 0 || (status == VMB_ELEAK && both.lossy));
	if (!status)
		both_wire_back(page, n);
	else if (both.lent[page] != BOTH_FOR_GOOD)
		both_wire_lend(page, n, BOTH_KEPT);
}

/* ---- opens */

static void driver_forget(struct both_driver *d)
{
	d->side.ch = NULL;
	d->side.may_wake = d->side.stopped = 0;
	free(d->side.mem);
	d->side.mem = NULL;
}

/* bits: sizes and ways of an open, always the same for the same bits. */
static int driver_call_open(struct both_driver *d, uint32_t bits)
{
	uint32_t page = driver_ring_page(d->side.line), flags = bits >> 4 & (VMB_CHANNEL_DEFER | VMB_CHANNEL_POLLED | VMB_CHANNEL_DIRTY);
	struct vmb_channel_config cfg = { .size = sizeof cfg, .flags = flags, .requests = BOTH_ASKED };
	struct vmb_open open = { .size = sizeof open, .tx_pages = 2 + (bits & 1), .rx_pages = 2 + (bits >> 1 & 1) };
	uint32_t n = (uint32_t)(d - both.driver), life = both.line[d->side.line].life;
	struct vmb_storage need;
	int r;

	cfg.least_free = bits & 4 ? 64 : 0;
	cfg.tx.data_pages = open.tx_pages - 1;
	cfg.rx.data_pages = open.rx_pages - 1;
	cfg.tx.control = cfg.rx.control = cfg.tx.data = cfg.rx.data = both_wire_guest_page(page);
	fuzz_need(!vmb_channel_storage(&cfg, &need));
	open.ring_gpa = (uint64_t)page * VMB_PAGE;
	open.ring = both_wire_guest_page(page);
	open.user = DRIVER_USER + n;
	open.target_vp = bits & 0x400 ? VMB_VP_NONE : bits >> 11 & 3;
	open.flags = bits >> 13 & 3;
	if (bits & 0x8000) {
		open.connection_id = 0x3000 + n;
		open.event_flag = 100 + n;
	}
	open.user_data[0] = (uint8_t)d->side.line;
	for (unsigned i = 0; i < 4; i++)
		open.user_data[4 + i] = (uint8_t)(life >> (8 * i));
	d->side.mem = fuzz_alloc(need.align, need.bytes);
	d->side.may_wake = d->side.look = 1;
	d->side.full = d->side.stopped = 0;
	d->side.polled = (flags & VMB_CHANNEL_POLLED) || open.target_vp == VMB_VP_NONE || open.flags & VMB_OPEN_RESERVED;
	d->reserved = (open.flags & VMB_OPEN_RESERVED) != 0;
	BOTH_GUEST(r, vmb_guest_open(both.g, d->handle, d->side.mem, need.bytes, &cfg, &open, &d->side.ch));
	fuzz_trace("\topen of %u: %d\n", n, r);
	if (r)
		driver_forget(d);
	return r;
}

/* A reserved channel outlives its connection, and so do the lists that were made for it. */
static void driver_for_good(const struct both_driver *d)
{
	both.lossy = 1; /* what is said to it may find the place occupied */
	for (const struct both_list *l = both.list; l < both.list + BOTH_LISTS; l++)
		if (l->gpadl && &both.driver[l->driver] == d)
			both_wire_lend(driver_list_page(l), BOTH_LIST_PAGES, BOTH_FOR_GOOD);
}

static void driver_open(struct both_driver *d, uint32_t bits)
{
	struct vmb_offer offer = { .size = sizeof offer };
	unsigned line = 0;
	int r;

	while (line < BOTH_RINGS && both.lent[driver_ring_page(line)])
		line++;
	if (line == BOTH_RINGS || d->out || d->gone || d->away)
		return;
	if (!both.gcfg.reply_ms)
		bits &= ~0x2000u; /* what is asked of a channel that outlives the connection may never be answered */
	BOTH_GUEST(r, vmb_guest_offer(both.g, d->handle, &offer));
	fuzz_need(!r || d->released);
	d->side.line = line;
	both.line[line] = (struct both_line){ .life = both.line[line].life + 1, .pipe = (offer.flags & VMB_OFFER_PIPE) != 0 };
	both_wire_lend(driver_ring_page(line), BOTH_RING_PAGES, bits & 0x2000 ? BOTH_FOR_GOOD : BOTH_LENT);
	d->how = bits;
	r = driver_call_open(d, bits);
	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EVERSION || r == VMB_EINVAL || r == VMB_ENOSPACE || r == VMB_EHANDLE);
	fuzz_need(r || (!d->released && !d->rescinded));
	if (r) {
		both_wire_back(driver_ring_page(line), BOTH_RING_PAGES);
		return;
	}
	d->out = 1;
	d->opened = d->closing = d->targeting = 0;
	if (d->reserved)
		driver_for_good(d);
}

static void driver_close(struct both_driver *d)
{
	int r, out = d->out && !d->closing;

	if (d->away)
		return;
	if (out)
		d->closing = 1;
	d->side.ch = NULL;
	BOTH_GUEST(r, vmb_guest_close(both.g, d->handle));
	fuzz_trace("\tclose: %d\n", r);
	fuzz_need(out ? r == 0 : r == VMB_ESTATE || r == VMB_EHANDLE);
}

static void driver_release(struct both_driver *d)
{
	int r, was = d->released || d->dead, slept = d->away == BOTH_ASLEEP;

	if (d->away == BOTH_AWAY)
		return;
	d->away = 0;
	d->released = 1;
	if (d->out)
		d->closing = 1;
	d->side.ch = NULL;
	BOTH_GUEST(r, vmb_guest_release(both.g, d->handle));
	fuzz_trace("\trelease: %d\n", r);
	if (slept && r == VMB_EHANDLE) { /* it had been rescinded before the sleep */
		d->dead = d->gone = 1;
		return;
	}
	fuzz_need(was ? r == VMB_ESTATE || r == VMB_EHANDLE : r == 0);
}

static void driver_target(struct both_driver *d, uint32_t vp)
{
	int r;

	BOTH_GUEST(r, vmb_guest_target(both.g, d->handle, vp));
	fuzz_need(r == 0 || r == VMB_ESTATE || r == VMB_EVERSION || r == VMB_EHANDLE || (r == VMB_EINVAL && vp == VMB_VP_NONE));
	fuzz_need(r || (d->out && !d->closing && (d->opened == 1 || d->goes_on) && !d->targeting));
	d->targeting |= !r;
}

/* ---- lists */

/* Of any length, of two pages that come again and again. */
static void driver_create(struct both_driver *d, uint32_t words)
{
	uint64_t word[BOTH_LIST_WORDS];
	struct vmb_list list = { word, 2 + words % (BOTH_LIST_WORDS - 1), 1 };
	struct both_list *l = both.list;
	uint32_t gpadl = 0, page;
	int r;

	while (l < both.list + BOTH_LISTS && (l->gpadl || both.lent[driver_list_page(l)]))
		l++;
	if (l == both.list + BOTH_LISTS || d->away)
		return;
	page = driver_list_page(l);
	word[0] = VMB_RANGE((list.count - 1) * VMB_PAGE, 0);
	for (uint32_t i = 1; i < list.count; i++)
		word[i] = page + (i - 1) % BOTH_LIST_PAGES;
	both_wire_lend(page, BOTH_LIST_PAGES, d->out && d->reserved ? BOTH_FOR_GOOD : BOTH_LENT);
	BOTH_GUEST(r, vmb_guest_gpadl_create(both.g, d->handle, &list, &gpadl));
	fuzz_trace("\tcreate: %d %#x\n", r, gpadl);
	fuzz_need(r == 0 || r == VMB_ENOSPACE || r == VMB_ESTATE || r == VMB_EHANDLE);
	if (r) {
		both_wire_back(page, BOTH_LIST_PAGES);
		return;
	}
	fuzz_need(gpadl && !driver_list(gpadl) && !d->released && !d->rescinded);
	*l = (struct both_list){ .gpadl = gpadl, .driver = (uint32_t)(d - both.driver) };
}

static void driver_destroy(struct both_list *l)
{
	int r;

	if (!l->gpadl)
		return;
	BOTH_GUEST(r, vmb_guest_gpadl_destroy(both.g, l->gpadl));
	fuzz_need(r == 0 || (r == VMB_ENOENT && (l->destroyed || !l->created || both.driver[l->driver].released)));
	fuzz_need(r || !l->destroyed);
	l->destroyed |= !r;
}

/* ---- events */

static void driver_on_restored(struct both_driver *d, const struct vmb_event *ev)
{
	struct vmb_offer offer = { .size = sizeof offer };
	int r;

	fuzz_need(d && d->away && !d->released);
	fuzz_need(d->away == BOTH_AWAY || !(ev->flags & VMB_EVF_OPEN)); /* a new connection has nothing open */
	d->away = 0;
	BOTH_GUEST(r, vmb_guest_offer(both.g, ev->ch, &offer));
	fuzz_need(!r);
	d->id = offer.channel_id;
	if (!(ev->flags & VMB_EVF_OPEN))
		return;
	fuzz_need(d->out && !d->closing);
	d->opened = 0;
	r = driver_call_open(d, d->how);
	fuzz_need(r == 0 || r == VMB_ESTATE);
	d->goes_on = !r;
	if (r)
		driver_close(d);
	else
		both_data_adopt(&d->side);
}

static void driver_on_offer(const struct vmb_event *ev)
{
	struct vmb_offer offer = { .size = sizeof offer };
	struct both_driver *d = driver_of(ev->ch);
	unsigned alive = 0;
	int r;

	if (ev->flags & VMB_EVF_RESTORED) {
		driver_on_restored(d, ev);
		return;
	}
	fuzz_need(ev->ch && !d && !ev->status);
	BOTH_GUEST(r, vmb_guest_offer(both.g, ev->ch, &offer));
	fuzz_need(!r && offer.channel_id >= 1 && offer.channel_id < 2048);
	if (both.drivers == BOTH_DRIVERS) {
		BOTH_GUEST(r, vmb_guest_release(both.g, ev->ch));
		fuzz_need(!r);
		return;
	}
	d = &both.driver[both.drivers++];
	*d = (struct both_driver){ .handle = ev->ch, .id = offer.channel_id,
				   .sub = offer.subchannel || offer.flags & VMB_OFFER_HVSOCK };
	for (unsigned i = 0; i < both.drivers; i++)
		alive += !both.driver[i].gone && !both.driver[i].released && !both.driver[i].dead && both.driver[i].away != BOTH_ASLEEP;
	fuzz_need(alive <= (both.gcfg.max_channels ? both.gcfg.max_channels : 64));
}

static void driver_on_opened(struct both_driver *d, const struct vmb_event *ev)
{
	fuzz_need(d->out && !d->closing && !d->opened && !d->released);
	fuzz_need(ev->status != VMB_ETIMEDOUT || both.lossy);
	fuzz_need(ev->status || both.mad || both.line[d->side.line].attaches);
	d->opened = ev->status ? 2 : 1;
	d->goes_on = 0;
}

static void driver_on_closed(struct both_driver *d, const struct vmb_event *ev)
{
	fuzz_need(d->out && d->closing);
	d->out = d->closing = d->targeting = d->opened = d->goes_on = 0;
	driver_forget(d);
	driver_back(driver_ring_page(d->side.line), BOTH_RING_PAGES, ev->status);
}

static void driver_on_gone(struct both_driver *d)
{
	fuzz_need(d->released && !d->out);
	for (unsigned i = 0; i < BOTH_LISTS; i++)
		fuzz_need(!both.list[i].gpadl || &both.driver[both.list[i].driver] != d);
	d->gone = 1;
}

static void driver_on_list(struct both_driver *d, const struct vmb_event *ev)
{
	struct both_list *l = driver_list(ev->gpadl);

	fuzz_need(l && &both.driver[l->driver] == d);
	if (ev->kind == VMB_EV_GPADL) {
		fuzz_need(!l->created && !l->destroyed && !d->released && (ev->status != VMB_ETIMEDOUT || both.lossy));
		l->created = 1;
		if (!ev->status)
			return;
	} else {
		fuzz_need(l->destroyed || d->released);
	}
	driver_back(driver_list_page(l), BOTH_LIST_PAGES, ev->kind == VMB_EV_GPADL && ev->status != VMB_ELEAK ? 0 : ev->status);
	l->gpadl = 0;
}

static void driver_on_disconnected(const struct vmb_event *ev)
{
	fuzz_need(both.leaving || both.owed);
	fuzz_need(!ev->status || ev->status == VMB_ELEAK || ev->status == VMB_ETIMEDOUT || ev->status == VMB_EPLATFORM);
	fuzz_need(!ev->status || both.lossy || (ev->status == VMB_ELEAK && both.cut)); /* the host may answer yet */
	if (!ev->status)
		both_wire_all_back(BOTH_KEPT);
	both.stale |= ev->status || both.cut; /* it may have accepted the contact */
	if (both.leaving)
		both.connected = 0;
	both.owed = ev->status != 0;
	both.leaving = both.cut = 0;
}

static void driver_on_bus(const struct vmb_event *ev)
{
	switch (ev->kind) {
	case VMB_EV_CONNECTED:
		fuzz_need(both.may_connect && (!ev->status || both.lossy || both.disagree || both.unmappable));
		both.connecting = both.may_connect = 0;
		both.connected = !ev->status;
		both.stale &= ev->status != 0;
		if (both.connected) /* an earlier guest's memory is not in use any more */
			both_wire_all_back(BOTH_OLD);
		break;
	case VMB_EV_DISCONNECTED:
		driver_on_disconnected(ev);
		break;
	default:
		fuzz_need(ev->kind == VMB_EV_OFFERS_DONE);
		break;
	}
}

static void driver_event(const struct vmb_event *ev)
{
	struct both_driver *d = ev->ch ? driver_of(ev->ch) : NULL;

	fuzz_trace("\tguest: event %u of %d: %d\n", ev->kind, d ? (int)(d - both.driver) : -1, ev->status);
	if (both_more_event(ev))
		return;
	if (ev->kind == VMB_EV_OFFER || ev->kind == VMB_EV_HVSOCK) {
		driver_on_offer(ev);
		return;
	}
	if (!ev->ch) {
		driver_on_bus(ev);
		return;
	}
	if (!d) {
		fuzz_need(both.drivers == BOTH_DRIVERS && ev->kind == VMB_EV_GONE);
		return;
	}
	fuzz_need(!d->gone && (!d->released || ev->kind == VMB_EV_CLOSED || ev->kind == VMB_EV_GPADL_DOWN || ev->kind == VMB_EV_GONE));
	switch (ev->kind) {
	case VMB_EV_OPENED: driver_on_opened(d, ev); break;
	case VMB_EV_CLOSED: driver_on_closed(d, ev); break;
	case VMB_EV_RESCINDED:
		fuzz_need(!d->rescinded && d->away != BOTH_AWAY);
		d->rescinded = 1;
		d->away = 0;
		break;
	case VMB_EV_GONE: driver_on_gone(d); break;
	case VMB_EV_TARGET:
		fuzz_need(d->targeting && (ev->status != VMB_ETIMEDOUT || both.lossy));
		d->targeting = 0;
		break;
	default:
		fuzz_need(ev->kind == VMB_EV_GPADL || ev->kind == VMB_EV_GPADL_DOWN);
		driver_on_list(d, ev);
		break;
	}
}

int both_driver_poll(int n)
{
	struct vmb_event ev;
	int got = 0;
	int r;

	for (; got < n; got++) {
		BOTH_GUEST(r, vmb_guest_poll(both.g, both.now, &ev));
		fuzz_need((r == VMB_YES || r == 0) && (r || ev.deadline > both.now));
		both.guest_deadline = ev.deadline;
		if (!r)
			break;
		driver_event(&ev);
	}
	return got;
}

/* ---- left alone: what events ask for; 1: something was done */

int both_driver_react(void)
{
	int did = 0;

	for (unsigned i = 0; i < both.drivers; i++) {
		struct both_driver *d = &both.driver[i];

		if (d->dead || d->gone || d->away)
			continue;
		did |= both_data_work(&d->side);
		if (d->rescinded && !d->released)
			driver_release(d);
		else if (d->opened == 2 && d->out && !d->closing)
			driver_close(d);
		else
			continue;
		did = 1;
	}
	return did;
}

/* Quiet, and nothing was lost: nobody waits for anything. */
void both_driver_judge(void)
{
	fuzz_need(!both.connecting && !both.leaving);
	for (unsigned i = 0; i < both.drivers; i++) {
		const struct both_driver *d = &both.driver[i];
		const struct both_side *device = d->out ? both_device_serves(d->side.line) : NULL;

		if (d->dead || d->gone)
			continue;
		fuzz_need(!d->released && !d->closing && !d->targeting && d->away != BOTH_AWAY && (!d->out || d->opened == 1));
		fuzz_need(!d->side.stopped); /* or it would have been told why */
		if (!d->out)
			continue;
		fuzz_need(device || both.unmappable);
		if (device && !device->stopped)
			both_data_done(&both.line[d->side.line]);
	}
	for (unsigned i = 0; i < BOTH_LISTS; i++)
		fuzz_need(!both.list[i].gpadl || (both.list[i].created && !both.list[i].destroyed));
}

/* ---- ends */

void both_driver_leave(void)
{
	for (unsigned i = 0; i < both.drivers; i++)
		if (!both.driver[i].dead && !both.driver[i].released)
			driver_release(&both.driver[i]);
}

void both_driver_gone(void)
{
	for (unsigned i = 0; i < both.drivers; i++)
		fuzz_need(both.driver[i].dead || both.driver[i].gone);
	for (unsigned i = 0; i < BOTH_LISTS; i++)
		fuzz_need(!both.list[i].gpadl);
}

void both_driver_die(void)
{
	for (unsigned i = 0; i < both.drivers; i++) {
		struct both_driver *d = &both.driver[i];

		d->out = d->closing = d->opened = d->targeting = 0;
		driver_forget(d);
		if (both.asleep && d->away == BOTH_ASLEEP)
			continue;
		d->dead = d->gone = 1;
		d->away = 0;
		d->handle = 0;
	}
	memset(both.list, 0, sizeof both.list);
	for (uint32_t i = BOTH_RING_PAGE; i < BOTH_PAGES; i++)
		if (both.lent[i] == BOTH_LENT || both.lent[i] == BOTH_KEPT)
			both.lent[i] = BOTH_OLD;
}

static uint8_t driver_blob[1 << 15];
static size_t driver_saved;

/* The guest's end goes on in another one. 1: it does. */
int both_driver_saved(uint32_t format)
{
	struct vmb_storage need;
	size_t again;
	int r;

	for (unsigned i = 0; i < both.drivers; i++)
		both_data_quiet(&both.driver[i].side);
	BOTH_GUEST(r, vmb_guest_save(both.g, format, driver_blob, sizeof driver_blob, &driver_saved));
	fuzz_trace("\tguest saved: %d, %zu bytes\n", r, driver_saved);
	fuzz_need(r == 0 || r == VMB_ESTATE);
	if (r)
		return 0;
	BOTH_GUEST(r, vmb_guest_save(both.g, format, NULL, 0, &again));
	fuzz_need(!r && again == driver_saved);
	for (unsigned i = 0; i < both.drivers; i++) {
		struct both_driver *d = &both.driver[i];

		if (d->dead || d->gone)
			continue;
		both_data_remember(&d->side);
		driver_forget(d);
		d->away = d->released ? 0 : BOTH_AWAY;
		d->rescinded = 0; /* it is told again */
	}
	both_more_saved();
	free(both.gmem);
	fuzz_need(!vmb_guest_storage(&both.gcfg, &need));
	both.gmem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(!vmb_guest_init(both.gmem, need.bytes, &both.gcfg, &both.g));
	BOTH_GUEST(r, vmb_guest_restore(both.g, driver_blob, driver_saved, 0));
	fuzz_trace("\tguest restored: %d\n", r);
	fuzz_need(!r);
	return 1;
}

/* The machine sleeps, and wakes up with another host: of its guest there is what it has saved, of the host nothing. */
void both_driver_sleeps(void)
{
	int r;

	for (unsigned i = 0; i < both.drivers; i++)
		both_data_quiet(&both.driver[i].side);
	BOTH_GUEST(r, vmb_guest_save(both.g, 0, driver_blob, sizeof driver_blob, &driver_saved));
	fuzz_need(r == 0 || r == VMB_ESTATE);
	if (r)
		return;
	for (unsigned i = 0; i < both.drivers; i++) {
		struct both_driver *d = &both.driver[i];

		if (d->dead || d->released || d->sub)
			continue;
		d->away = BOTH_ASLEEP;
		d->rescinded = 0; /* it is told again */
	}
	both.asleep = 1;
	both_machine_reset();
	both.asleep = 0;
	BOTH_GUEST(r, vmb_guest_restore(both.g, driver_blob, driver_saved, VMB_RESTORE_ANEW));
	fuzz_trace("\tguest wakes up: %d\n", r);
	fuzz_need(r == 0 || r == VMB_ESTATE);
	both.disagree = 1; /* no other version will do than that of before */
	for (unsigned i = 0; i < both.drivers && r; i++)
		if (both.driver[i].away) { /* there was no connection */
			both.driver[i].away = 0;
			both.driver[i].dead = both.driver[i].gone = 1;
			both.driver[i].handle = 0;
		}
}

/* ---- steps */

static void driver_info(void)
{
	struct vmb_bus_info info = { .size = sizeof info };
	uint32_t cursor = 0, kind = 0;
	int r;

	BOTH_GUEST(r, vmb_guest_info(both.g, &info));
	fuzz_need(!r && info.channels <= (both.gcfg.max_channels ? both.gcfg.max_channels : 64));
	for (unsigned i = 0; i < both.drivers; i++)
		both_data_info(&both.driver[i].side);
	do {
		struct vmb_part part = { .size = sizeof part };

		BOTH_GUEST(r, vmb_guest_snapshot(both.g, &cursor, &part));
		fuzz_need(r == VMB_YES || r == 0);
		if (r)
			kind = fuzz_part(&part, kind);
	} while (r);
}

void both_driver_disconnect(void)
{
	int r;

	BOTH_GUEST(r, vmb_guest_disconnect(both.g));
	fuzz_trace("\tdisconnect: %d\n", r);
	fuzz_need(r == 0 || r == VMB_ESTATE);
	if (r)
		return;
	both.leaving = 1;
	both.cut = both.connecting;
	both.answer_late |= both.cut;
	both.connecting = 0;
}

static void driver_connect(void)
{
	int r;

	if (both.resetting)
		return;
	BOTH_GUEST(r, vmb_guest_connect(both.g));
	fuzz_trace("\tconnect: %d\n", r);
	fuzz_need(r == 0 || r == VMB_ESTATE);
	if (r)
		return;
	both.connecting = both.may_connect = 1;
	both.monitoring = both.pausing = 0;
	if (both.answer_late)
		both.mad = both.lossy = 1;
}

static void driver_some(struct both_driver *d, const struct fuzz_step *s)
{
	switch (s->op % 16) {
	case 7: case 8: driver_open(d, s->v); break;
	case 9: driver_close(d); break;
	case 10: driver_release(d); break;
	case 11: driver_target(d, s->b < 250 ? s->b % BOTH_VPS : VMB_VP_NONE); break;
	case 12: driver_create(d, s->c); break;
	case 13:
		if (s->b & 1)
			both_data_cancel(&d->side);
		else
			both_data_complete(&d->side, s->c);
		break;
	case 14: both_data_send(&d->side, s); break;
	case 15: both_data_recv(&d->side, 1 + s->b % 8u); break;
	}
}

void both_driver_step(const struct fuzz_step *s)
{
	switch (s->op % 16) {
	case 0:
		if (s->b & 1)
			both_driver_disconnect();
		else
			driver_connect();
		return;
	case 1: case 2: case 3:
		if (!(s->c & 1))
			(void)both_wire_deliver();
		(void)both_driver_poll(1 + s->b % 8);
		return;
	case 4: driver_info(); return;
	case 5: both_wire_interrupts(); return;
	case 6: driver_destroy(&both.list[s->a % BOTH_LISTS]); return;
	}
	if (both.drivers)
		driver_some(&both.driver[s->a < 128 ? both.drivers - 1 - s->a % both.drivers : s->a % both.drivers], s);
}
