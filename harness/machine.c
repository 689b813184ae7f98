/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The machine: memory, processors, hypercalls, the scheduler, faults. See machine.h. */
#define _GNU_SOURCE
#include "machine.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, DELAYED = 64, TICK = 1000000 };

struct machine {
	struct machine_config cfg;
	uint64_t rng, now, host_deadline, guest_deadline;
	int fd;
	uint8_t *ram;
	uint32_t *map_count;  /* per page */
	uint8_t *allocated;   /* per page */
	unsigned next_page;
	struct { void *at; size_t bytes; } windows[2 * MACHINE_CHANNELS];
	unsigned window_count;
	uint8_t *simp[MACHINE_VPS], *siefp[MACHINE_VPS];
	int irq[MACHINE_VPS], slot_due[MACHINE_VPS], eom[MACHINE_VPS];
	int host_poke, guest_poke;
	struct { uint32_t connection, flag; } delayed[DELAYED];
	unsigned delayed_count;
	unsigned nth_map, nth_post, nth_slot;
	struct vmb_host *host;
	struct vmb_guest *guest;
	void *host_mem, *guest_mem;
	uint64_t interrupt_pfn, monitor_pfn[2];
	struct vmb_mapper mapper;
	struct machine_counts counts;
	char error[160];
};

static char machine_new_error[160];

static int chance(struct machine *m, unsigned percent)
{
	return percent && machine_random(m) % 100 < percent;
}

uint64_t machine_random(struct machine *m)
{
	m->rng ^= m->rng << 13; /* xorshift64 */
	m->rng ^= m->rng >> 7;
	m->rng ^= m->rng << 17;
	return m->rng;
}

void machine_fail(struct machine *m, const char *what)
{
	if (!m->error[0])
		snprintf(m->error, sizeof m->error, "%s (step %lu)", what, m->counts.steps);
}

const char *machine_error(const struct machine *m)
{
	if (!m)
		return machine_new_error;
	return m->error[0] ? m->error : NULL;
}

/* ---- memory */

uint64_t machine_alloc(struct machine *m, unsigned pages)
{
	unsigned total = m->cfg.ram_pages;

	for (unsigned tries = 0, first = m->next_page; tries < 2 * total; tries++, first++) {
		unsigned n = 0;

		if (first + pages > total)
			first = 1 + MACHINE_VPS * 2;
		while (n < pages && first + n < total && !m->allocated[first + n])
			n++;
		if (n < pages) {
			first += n;
			continue;
		}
		memset(m->allocated + first, 1, pages);
		memset(m->ram + (size_t)first * PAGE, 0, (size_t)pages * PAGE);
		m->next_page = first + pages; /* so that a freed page is not used again at once: late accesses would go unseen */
		return first;
	}
	return 0;
}

void machine_release(struct machine *m, uint64_t pfn, unsigned pages)
{
	for (uint64_t p = pfn; p < pfn + pages; p++) {
		if (!m->allocated[p])
			machine_fail(m, "a page is freed twice");
		if (m->map_count[p])
			machine_fail(m, "a page is freed while the host has it mapped");
		m->allocated[p] = 0;
		memset(m->ram + p * PAGE, 0xdb, PAGE);
	}
}

void *machine_at(struct machine *m, uint64_t pfn)
{
	return pfn < m->cfg.ram_pages ? m->ram + pfn * PAGE : NULL;
}

unsigned machine_in_use(const struct machine *m)
{
	unsigned n = 0;

	for (unsigned p = 1 + 2 * MACHINE_VPS; p < m->cfg.ram_pages; p++)
		n += m->allocated[p];
	return n;
}

unsigned machine_mapped(const struct machine *m)
{
	unsigned n = 0;

	for (unsigned p = 0; p < m->cfg.ram_pages; p++)
		n += m->map_count[p];
	return n;
}

void *machine_twice(struct machine *m, uint64_t pfn, unsigned pages)
{
	size_t bytes = (size_t)pages * PAGE;
	uint8_t *at;

	if (m->window_count == sizeof m->windows / sizeof *m->windows)
		return NULL;
	at = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	for (int i = 0; i < 2; i++)
		if (mmap(at + (size_t)i * bytes, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, m->fd,
			 (off_t)(pfn * PAGE)) == MAP_FAILED)
			return NULL;
	m->windows[m->window_count].at = at;
	m->windows[m->window_count++].bytes = 2 * bytes;
	return at;
}

static int machine_map(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void **pages)
{
	struct machine *m = ctx;

	(void)flags;
	m->counts.maps++;
	if (++m->nth_map == m->cfg.faults.map_at)
		return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] >= m->cfg.ram_pages)
			return VMB_EMAP;
	for (uint32_t i = 0; i < n; i++) {
		m->map_count[pfns[i]]++;
		pages[i] = m->ram + pfns[i] * PAGE;
	}
	return 0;
}

static void machine_unmap(void *ctx, const uint64_t *pfns, uint32_t n, uint32_t flags, void *const *pages)
{
	struct machine *m = ctx;

	(void)flags;
	for (uint32_t i = 0; i < n; i++)
		if (pfns[i] >= m->cfg.ram_pages || !m->map_count[pfns[i]] || pages[i] != m->ram + pfns[i] * PAGE)
			machine_fail(m, "an unmap without its map");
		else
			m->map_count[pfns[i]]--;
}

const struct vmb_mapper *machine_mapper(struct machine *m)
{
	return &m->mapper;
}

/* ---- the host end's callbacks */

static void raise_irq(struct machine *m, uint32_t vp)
{
	m->counts.interrupts++;
	if (chance(m, m->cfg.faults.lose_interrupt))
		return; /* comes with the next tick: machine_run */
	m->irq[vp] = chance(m, m->cfg.faults.repeat_interrupt) ? 2 : m->irq[vp] ? m->irq[vp] : 1;
}

static int on_message(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, const void *payload, uint32_t len)
{
	struct machine *m = ctx;
	int r;

	if (vp >= m->cfg.vps || vtl || sint != MACHINE_SINT) {
		machine_fail(m, "a message to nowhere");
		return 0;
	}
	if (++m->nth_slot == m->cfg.faults.slot_busy_at) {
		m->eom[vp] = 1;
		return VMB_EAGAIN;
	}
	r = vmb_synic_post(m->simp[vp] + MACHINE_SINT * 256, payload, len);
	if (r == 0) {
		m->counts.messages++;
		raise_irq(m, vp);
	}
	return r;
}

static void on_interrupt(void *ctx, uint32_t vp, uint32_t vtl, uint32_t sint, uint32_t flag)
{
	struct machine *m = ctx;

	if (vp >= m->cfg.vps || vtl || sint != MACHINE_SINT || flag > 2047)
		machine_fail(m, "an interrupt to nowhere");
	else if (vmb_synic_set(m->siefp[vp] + MACHINE_SINT * 256, flag) > 0)
		raise_irq(m, vp);
}

static void on_host_wake(void *ctx, uint64_t user)
{
	struct machine *m = ctx;

	if (m->cfg.host_program.wake)
		m->cfg.host_program.wake(m, user);
}

static void on_host_poke(void *ctx)
{
	((struct machine *)ctx)->host_poke = 1;
}

/* ---- the guest end's callbacks */

static int on_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	struct machine *m = ctx;
	uint8_t in[256] = { 0 };
	uint32_t words[4] = { htole32(connection), 0, htole32(1), htole32(len) }; /* control-plane.md 1.2 */
	int r;

	m->nth_post++;
	if (m->nth_post == m->cfg.faults.post_busy_at)
		return VMB_HV_NO_BUFFERS;
	if (m->nth_post == m->cfg.faults.post_fatal_at || len > VMB_MESSAGE_MAX)
		return VMB_HV_INVALID_PARAMETER;
	memcpy(in, words, sizeof words);
	memcpy(in + 16, payload, len);
	r = vmb_host_post(m->host, in, sizeof in);
	if (r < 0) {
		machine_fail(m, "vmb_host_post blames the embedder");
		return VMB_HV_INVALID_PARAMETER;
	}
	m->counts.posts += r == 0;
	return r;
}

static int on_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	struct machine *m = ctx;

	m->counts.signals++;
	if (m->delayed_count < DELAYED && chance(m, m->cfg.faults.delay_signal)) {
		m->delayed[m->delayed_count].connection = connection;
		m->delayed[m->delayed_count++].flag = flag;
		return 0;
	}
	return vmb_host_signal(m->host, connection, flag);
}

static void on_guest_wake(void *ctx, uint64_t user)
{
	struct machine *m = ctx;

	if (m->cfg.guest_program.wake)
		m->cfg.guest_program.wake(m, user);
}

static void on_guest_poke(void *ctx)
{
	((struct machine *)ctx)->guest_poke = 1;
}

/* ---- making and unmaking */

static int make_guest(struct machine *m)
{
	struct vmb_guest_config cfg = m->cfg.guest;
	struct vmb_storage need;
	int r;

	cfg.size = sizeof cfg;
	cfg.ctx = m;
	cfg.post = on_post;
	cfg.signal = on_signal;
	cfg.wake = on_guest_wake;
	cfg.poke = on_guest_poke;
	if (m->cfg.old_pages) {
		cfg.interrupt_gpa = m->interrupt_pfn * PAGE;
		cfg.interrupt_page = machine_at(m, m->interrupt_pfn);
		for (int i = 0; i < 2; i++) {
			cfg.monitor_gpa[i] = m->monitor_pfn[i] * PAGE;
			cfg.monitor_page[i] = machine_at(m, m->monitor_pfn[i]);
		}
	}
	if ((r = vmb_guest_storage(&cfg, &need)) < 0)
		return r;
	free(m->guest_mem);
	m->guest_mem = aligned_alloc(need.align, (need.bytes + need.align - 1) / need.align * need.align);
	if (!m->guest_mem)
		return VMB_ENOSPACE;
	memset(m->guest_mem, 0xa5, need.bytes);
	return vmb_guest_init(m->guest_mem, need.bytes, &cfg, &m->guest);
}

static int make_host(struct machine *m)
{
	struct vmb_host_config cfg = m->cfg.host;
	struct vmb_storage need;
	int r;

	cfg.size = sizeof cfg;
	if (!cfg.vps)
		cfg.vps = m->cfg.vps;
	cfg.ctx = m;
	cfg.message = on_message;
	cfg.interrupt = on_interrupt;
	cfg.wake = on_host_wake;
	cfg.poke = on_host_poke;
	cfg.map = machine_map;
	cfg.unmap = machine_unmap;
	if ((r = vmb_host_storage(&cfg, &need)) < 0)
		return r;
	m->host_mem = aligned_alloc(need.align, (need.bytes + need.align - 1) / need.align * need.align);
	if (!m->host_mem)
		return VMB_ENOSPACE;
	memset(m->host_mem, 0x5a, need.bytes);
	return vmb_host_init(m->host_mem, need.bytes, &cfg, &m->host);
}

static int make_memory(struct machine *m)
{
	size_t bytes = (size_t)m->cfg.ram_pages * PAGE;

	m->fd = memfd_create("ram", 0);
	m->map_count = calloc(m->cfg.ram_pages, sizeof *m->map_count);
	m->allocated = calloc(m->cfg.ram_pages, 1);
	if (m->fd < 0 || !m->map_count || !m->allocated || ftruncate(m->fd, (off_t)bytes) < 0)
		return -1;
	m->ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->ram == MAP_FAILED) {
		m->ram = NULL;
		return -1;
	}
	for (unsigned vp = 0; vp < MACHINE_VPS; vp++) { /* page 0 is nobody's, then two per processor */
		m->simp[vp] = m->ram + (size_t)(1 + 2 * vp) * PAGE;
		m->siefp[vp] = m->ram + (size_t)(2 + 2 * vp) * PAGE;
	}
	memset(m->allocated, 1, 1 + 2 * MACHINE_VPS);
	m->next_page = 1 + 2 * MACHINE_VPS;
	m->interrupt_pfn = machine_alloc(m, 1);
	m->monitor_pfn[0] = machine_alloc(m, 1);
	m->monitor_pfn[1] = machine_alloc(m, 1);
	return 0;
}

struct machine *machine_new(const struct machine_config *cfg)
{
	struct machine *m = calloc(1, sizeof *m);
	int r = 0;

	if (!m)
		return NULL;
	m->fd = -1;
	m->cfg = *cfg;
	m->rng = cfg->seed * 0x9e3779b97f4a7c15u + 1;
	m->cfg.vps = cfg->vps ? cfg->vps : 1;
	m->cfg.ram_pages = cfg->ram_pages ? cfg->ram_pages : 4096;
	m->host_deadline = m->guest_deadline = UINT64_MAX;
	m->mapper = (struct vmb_mapper){ m, machine_map, machine_unmap };
	if (make_memory(m) < 0 || (r = make_host(m)) < 0 || (r = make_guest(m)) < 0) {
		snprintf(machine_new_error, sizeof machine_new_error, "%s", m->ram ? vmb_strerror(r) : "no memory");
		machine_free(m);
		return NULL;
	}
	m->host_poke = m->guest_poke = 1;
	return m;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < m->window_count; i++)
		munmap(m->windows[i].at, m->windows[i].bytes);
	if (m->ram)
		munmap(m->ram, (size_t)m->cfg.ram_pages * PAGE);
	if (m->fd >= 0)
		close(m->fd);
	free(m->map_count);
	free(m->allocated);
	free(m->host_mem);
	free(m->guest_mem);
	free(m);
}

int machine_crash_guest(struct machine *m)
{
	for (unsigned vp = 0; vp < m->cfg.vps; vp++) {
		memset(m->simp[vp], 0, PAGE);
		memset(m->siefp[vp], 0, PAGE);
		m->irq[vp] = m->slot_due[vp] = 0;
		m->eom[vp] = 1;
	}
	m->delayed_count = 0;
	return make_guest(m);
}

/* ---- the scheduler: everything that could happen next */

enum { DO_IRQ, DO_SLOT, DO_EOM, DO_SIGNAL, DO_HOST, DO_GUEST, DO_HOST_WORK, DO_GUEST_WORK, DO_KINDS };

static int do_slot(struct machine *m, unsigned vp)
{
	int r = vmb_guest_slot(m->guest, m->simp[vp] + MACHINE_SINT * 256);

	if (r == VMB_EFOREIGN || (r < 0 && r != VMB_EAGAIN))
		machine_fail(m, "vmb_guest_slot fails");
	m->slot_due[vp] = r > 0;
	if (r > 0 && r & VMB_EOM)
		m->eom[vp] = 1;
	m->guest_poke = 1;
	return 1;
}

static int do_poll(struct machine *m, int host)
{
	const struct machine_program *p = host ? &m->cfg.host_program : &m->cfg.guest_program;
	struct vmb_event ev;
	int r = host ? vmb_host_poll(m->host, m->now, &ev) : vmb_guest_poll(m->guest, m->now, &ev);

	*(host ? &m->host_deadline : &m->guest_deadline) = ev.deadline;
	*(host ? &m->host_poke : &m->guest_poke) = r > 0;
	if (r < 0)
		machine_fail(m, "poll fails");
	if (r <= 0)
		return 1;
	if (host)
		m->counts.host_events++;
	else
		m->counts.guest_events++;
	if (p->event)
		p->event(m, &ev);
	return 1;
}

/* Is something of this kind to be done, on this processor? Do it if so. */
static int do_kind(struct machine *m, unsigned kind, unsigned vp)
{
	switch (kind) {
	case DO_IRQ:
		if (!m->irq[vp])
			return 0;
		m->irq[vp]--;
		if (vmb_guest_interrupt(m->guest, m->siefp[vp] + MACHINE_SINT * 256, m->simp[vp] + MACHINE_SINT * 256) > 0)
			m->slot_due[vp] = 1;
		return 1;
	case DO_SLOT:
		return m->slot_due[vp] ? do_slot(m, vp) : 0;
	case DO_EOM:
		if (!m->eom[vp])
			return 0;
		m->eom[vp] = 0;
		if (vmb_host_eom(m->host, vp) < 0)
			machine_fail(m, "vmb_host_eom fails");
		return 1;
	case DO_SIGNAL:
		if (!m->delayed_count)
			return 0;
		m->delayed_count--;
		if (vmb_host_signal(m->host, m->delayed[m->delayed_count].connection, m->delayed[m->delayed_count].flag) < 0)
			machine_fail(m, "vmb_host_signal fails");
		return 1;
	case DO_HOST:
		return m->host_poke ? do_poll(m, 1) : 0;
	case DO_GUEST:
		return m->guest_poke ? do_poll(m, 0) : 0;
	case DO_HOST_WORK:
		return m->cfg.host_program.work ? m->cfg.host_program.work(m) : 0;
	default:
		return m->cfg.guest_program.work ? m->cfg.guest_program.work(m) : 0;
	}
}

int machine_step(struct machine *m)
{
	unsigned first = (unsigned)(machine_random(m) % (DO_KINDS * m->cfg.vps));

	m->counts.steps++;
	m->now++;
	for (unsigned i = 0; i < DO_KINDS * m->cfg.vps; i++) {
		unsigned n = (first + i) % (DO_KINDS * m->cfg.vps);

		if (do_kind(m, n % DO_KINDS, n / DO_KINDS))
			return 1;
	}
	return 0;
}

/* Time passes: what was lost or waits for a deadline comes. 0: nothing waits. */
static int jump(struct machine *m)
{
	uint64_t next = m->host_deadline < m->guest_deadline ? m->host_deadline : m->guest_deadline;
	int any = 0;

	for (unsigned vp = 0; vp < m->cfg.vps && m->cfg.faults.lose_interrupt; vp++) {
		const uint8_t *slot = m->simp[vp] + MACHINE_SINT * 256, *flags = m->siefp[vp] + MACHINE_SINT * 256;
		int pending = slot[0] || slot[1] || slot[2] || slot[3];

		for (int i = 0; i < 256; i++)
			pending |= flags[i];
		if (pending)
			m->irq[vp] = any = 1;
	}
	if (any) {
		m->now += TICK;
		return 1;
	}
	if (next == UINT64_MAX)
		return 0;
	m->now = next > m->now ? next : m->now;
	m->host_poke = m->guest_poke = 1;
	return 1;
}

long machine_run(struct machine *m, unsigned jumps)
{
	for (long steps = 0; steps < 4000000; steps++)
		if (!machine_step(m)) {
			if (!jumps || !jump(m))
				return steps;
			jumps--;
		}
	return -1;
}

struct vmb_host *machine_host(struct machine *m) { return m->host; }
struct vmb_guest *machine_guest(struct machine *m) { return m->guest; }
void *machine_user(struct machine *m) { return m->cfg.user; }
uint64_t machine_now(const struct machine *m) { return m->now; }
struct machine_counts machine_counts(const struct machine *m) { return m->counts; }
