/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The host target: an end with tight limits, the steps of an input, and the end of it all. See host.h. */
#include "host.h"
#include "watch.h"

#include <stddef.h>

#define HOST_DEPTH 2u

struct host host;

/* Arguments that are none are refused, before anything happens. */
static void host_null(uint32_t n)
{
	struct vmb_bus_info info = { .size = sizeof info };
	struct vmb_gpadl_info gpadl = { .size = sizeof gpadl };
	struct vmb_open_info open = { .size = sizeof open };
	struct vmb_host *h = n & 1 ? host.h : NULL;
	struct vmb_event ev = { .kind = n & 2 ? VMB_EV_GONE : VMB_EV_CLOSE };
	vmb_handle handle;
	uint32_t cursor = 0;
	uint64_t word;
	struct vmb_list list;
	struct vmb_hvsock socket;
	struct vmb_host_config bad = host.cfg;
	struct vmb_storage need;

	host.control++;
	fuzz_need(vmb_host_storage(NULL, NULL) == VMB_EINVAL && vmb_host_storage(&host.cfg, NULL) == VMB_EINVAL);
	fuzz_need(vmb_host_init(host.mem, 0, &host.cfg, NULL) == VMB_EINVAL && vmb_host_end(NULL) == VMB_EINVAL);
	fuzz_need(vmb_host_post(h, NULL, 0) == VMB_EINVAL && vmb_host_post(NULL, &ev, sizeof ev) == VMB_EINVAL);
	fuzz_need(vmb_host_poll(h, 0, NULL) == VMB_EINVAL && vmb_host_info(NULL, &info) == VMB_EINVAL && vmb_host_info(h, NULL) == VMB_EINVAL);
	fuzz_need(vmb_host_eom(NULL, 0) == VMB_EINVAL && vmb_host_reset(NULL) == VMB_EINVAL && vmb_host_remove(NULL, 1) == VMB_EINVAL);
	fuzz_need(vmb_host_signal(NULL, 1, 0) == VMB_HV_INVALID_PARAMETER && vmb_host_offer(h, NULL, &handle) == VMB_EINVAL);
	fuzz_need(vmb_host_detach(NULL, 1) == VMB_EINVAL && vmb_host_detach(host.h, 0xffffffff) == VMB_EHANDLE);
	fuzz_need(vmb_host_attach(h, 1, NULL, 0, NULL, NULL) == VMB_EINVAL && vmb_host_open_info(NULL, 1, &open) == VMB_EINVAL);
	fuzz_need(vmb_host_answer(h, NULL, 0) == VMB_EINVAL && vmb_host_answer(NULL, &ev, 0) == VMB_EINVAL);
	fuzz_need(vmb_host_answer(host.h, &ev, n & 2 ? 0 : -1) == VMB_EINVAL);
	fuzz_need(vmb_host_gpadl_info(NULL, 1, 1, &gpadl) == VMB_EINVAL && vmb_host_gpadl_release(NULL, 1, 1) == VMB_EINVAL);
	fuzz_need(vmb_host_gpadl_hold(NULL, 1, 1, &word, 1, &list) == VMB_EINVAL && vmb_host_gpadl_hold(h, 1, 1, &word, 1, NULL) == VMB_EINVAL);
	fuzz_need(vmb_host_users(NULL, 0, 1, &cursor, &handle, &cursor) == VMB_EINVAL);
	fuzz_need(vmb_host_hvsock(h, NULL, NULL) == VMB_EINVAL && vmb_host_hvsock(NULL, &ev, &socket) == VMB_EINVAL);
	bad.monitor_gpa[0] = 8;
	fuzz_need(vmb_host_storage(&bad, &need) == VMB_EINVAL);
	info.size = 4;
	fuzz_need(vmb_host_info(host.h, &info) == VMB_ESTRUCT);
	host.control--;
	fuzz_need(vmb_synic_set(NULL, 0) == VMB_EINVAL && vmb_synic_set(&word, 2048) == VMB_EINVAL);
	fuzz_need(vmb_strerror(-(int)n)[0] && vmb_feature_name(1u << n % 32)[0] && vmb_version() == (int)VMB_VERSION);
}

/* What the machine does by itself: slots empty, pages cannot be mapped, the guest writes to its memory. */
static void host_parts(void)
{
	uint32_t cursor = 0, kind = 0;
	int r;

	do {
		struct vmb_part part = { .size = sizeof part };

		HOST_CALL(r, vmb_host_snapshot(host.h, &cursor, &part));
		fuzz_need(r == VMB_YES || r == 0);
		if (r)
			kind = fuzz_part(&part, kind);
	} while (r);
}

static void host_machine(const struct fuzz_step *s)
{
	int r;

	switch (s->op % 8) {
	case 0:
		host.busy = s->a % 3;
		break;
	case 4:
	case 5:
		host.preempt = s->a;
		break;
	case 6:
		host_null(s->a);
		break;
	case 1:
		if (s->a & 1)
			host.busy = 0;
		HOST_CALL(r, vmb_host_eom(host.h, s->b % (HOST_VPS + 1)));
		fuzz_need(!r);
		break;
	case 2:
		host.map_fail = s->a % 8;
		break;
	default:
		/* rings, or what the guest says in an interrupt page */
		host_platform_write(s->a * 1024u + (s->b < 128 ? 0 : 512) + s->b % 32u, s->v);
		break;
	}
}

void host_run(const struct fuzz_step *s)
{
	struct vmb_bus_info info = { .size = sizeof info };
	int r;

	switch (s->op >> 4 == 12 ? 4 : s->op >> 4 & 3) {
	case 4:
		host_more_step(s);
		break;
	case 0:
		host_guest_step(s);
		break;
	case 1:
	case 2:
		host_device_step(s);
		break;
	default:
		host_machine(s);
		break;
	}
	HOST_CALL(r, vmb_host_info(host.h, &info));
	fuzz_need(!r);
	if (s->op == 4)
		host_parts();
	fuzz_need(info.gpadls <= host.cfg.max_gpadls && info.gpadl_pages <= host.cfg.max_gpadl_pages);
	if (!info.queued && !host.busy)
		host.was_blocked = 0;
}

/* Another thread gets the control lock while this one is inside a callback. */
void host_nested(void)
{
	struct fuzz_step s;

	if (host.control || host.depth == HOST_DEPTH)
		return;
	host.depth++;
	for (unsigned i = 0; i < 4 && fuzz_next(&host.in, &s); i++)
		host_run(&s);
	host.depth--;
}

static void host_config(const struct fuzz_step *s)
{
	static const uint32_t versions[] = { 0, 0, 0, 0, VMB_V5_3, VMB_V4_1, VMB_V2_4, VMB_V1_1 };
	static const uint32_t budgets[] = { 0, 1, 3, VMB_SIGNAL_BUDGET_NONE };

	host.cfg = (struct vmb_host_config){ .size = sizeof host.cfg, .vps = HOST_VPS };
	host_platform_callbacks(&host.cfg);
	host.cfg.max_version = versions[s->a % 8];
	host.cfg.max_channels = 1 + s->b % 8;
	host.cfg.first_channel_id = s->b & 0x80 ? 2040 : 1;
	host.cfg.max_gpadls = 1 + s->c % 8;
	host.cfg.max_gpadls_building = 1 + s->c % 8 / 2;
	host.cfg.max_gpadl_pages = s->c & 8 ? 40 : 200;
	host.cfg.max_messages = s->c & 0x10 ? 2 : 0;
	host.cfg.signal_budget = budgets[s->v >> 24 & 3];
	host_more_config(s->v >> 8);
	if (s->v & 1)
		host.cfg.poke = NULL;
	if ((s->v & 6) == 6)
		host.cfg.map = NULL, host.cfg.unmap = NULL;
}

/* A config with one wrong number in it, or a newer caller's: an end is made of it, or not, and nothing else happens. */
static void host_try(const struct fuzz_step *s)
{
	struct { struct vmb_host_config cfg; uint32_t tail[2]; } wrong;
	struct vmb_storage need = { 0, 0 };
	struct vmb_host *h;
	uint8_t *mem;
	int r;

	memset(&wrong, 0, sizeof wrong);
	wrong.cfg = host.cfg;
	memcpy((uint8_t *)&wrong + s->a % (offsetof(struct vmb_host_config, ctx) / 4) * 4, &s->v, 4);
	if (s->b & 1 || wrong.cfg.size > sizeof wrong)
		wrong.cfg.size = sizeof wrong;
	wrong.tail[1] = s->b & 2;
	r = vmb_host_storage(&wrong.cfg, &need);
	fuzz_need(r == 0 || r == VMB_EINVAL || r == VMB_ESTRUCT);
	if (r)
		fuzz_need(vmb_host_init(&need, sizeof need, &wrong.cfg, &h) == r);
	if (r || need.bytes > 1 << 20)
		return;
	mem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(vmb_host_init(mem, need.bytes - 1, &wrong.cfg, &h) == VMB_ENOSPACE);
	fuzz_need(vmb_host_init(NULL, need.bytes, &wrong.cfg, &h) == VMB_EINVAL);
	fuzz_need(!vmb_host_init(mem, need.bytes, &wrong.cfg, &h) && !vmb_host_end(h));
	free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size, 0 };
	struct vmb_storage need;
	struct fuzz_step s;

	memset(&host, 0, sizeof host);
	if (!fuzz_next(&in, &s))
		return 0;
	host_platform_reset();
	host_config(&s);
	host.in = in;
	if (s.v & 0x80 && fuzz_next(&host.in, &s))
		host_try(&s);
	fuzz_need(!vmb_host_storage(&host.cfg, &need));
	host.mem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(!vmb_host_init(host.mem, need.bytes, &host.cfg, &host.h));
	while (fuzz_next(&host.in, &s))
		host_run(&s);
	if (host.in.steps & 1)
		host.busy = 0;
	host.in.left = 0;
	host_device_finish();
	free(host.mem);
	return 0;
}
