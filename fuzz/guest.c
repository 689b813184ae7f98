/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The guest target: an end with tight limits, its callbacks, its ring memory, and the steps of an input. See guest.h. */
#include "guest.h"
#include "watch.h"

#include <stddef.h>

#define GUEST_DEPTH 2u

struct guest guest;

static uint8_t rings[GUEST_RINGS][GUEST_RING_PAGES * VMB_PAGE] __attribute__((aligned(4096)));
static uint8_t pages[3][VMB_PAGE] __attribute__((aligned(4096)));

/* ---- memory */

uint8_t *guest_ring(unsigned ring)
{
	return rings[ring];
}

/* From an open that worked until EV_CLOSED the library may touch a ring. */
void guest_ring_lend(unsigned ring, int lent)
{
	guest.ring_used[ring] = lent;
	if (lent)
		fuzz_unpoison(rings[ring], sizeof rings[ring]);
	else
		fuzz_poison(rings[ring], sizeof rings[ring]);
}

void fuzz_touch(const volatile void *p, size_t n)
{
	size_t at = (uintptr_t)p - (uintptr_t)rings;

	if (guest.slot_after && (const volatile uint8_t *)p >= guest.slot && (const volatile uint8_t *)p < guest.slot + 256 && !--guest.slot_after)
		guest.slot[0] ^= 2;
	if (guest.preempt && !guest.control && !--guest.preempt)
		guest_nested();
	if (at < sizeof rings)
		fuzz_need(guest.ring_used[at / sizeof rings[0]] && at % sizeof rings[0] + n <= sizeof rings[0]);
}

/* ---- callbacks */

/* Is a control call refused inside of one? */
static void guest_is_inside(void)
{
	struct vmb_event ev;

	fuzz_need(guest.control == 1);
	fuzz_need(vmb_guest_poll(guest.g, guest.now, &ev) == VMB_EREENTRY);
}

static int guest_post(void *ctx, uint32_t connection, const void *payload, uint32_t len)
{
	uint8_t *msg;
	int r;

	fuzz_need(ctx == &guest && len >= 8 && len <= VMB_MESSAGE_MAX);
	if (guest.crashing < 2)
		guest_is_inside();
	msg = fuzz_alloc(1, len);
	memcpy(msg, payload, len);
	r = guest_peer_post(connection, msg, len);
	free(msg);
	return r;
}

static int guest_signal(void *ctx, uint32_t connection, uint32_t flag)
{
	(void)connection;
	fuzz_need(ctx == &guest && !flag);
	guest_nested();
	return 0;
}

static void guest_wake(void *ctx, uint64_t user)
{
	struct guest_channel *c = guest_owner_at(user);
	const struct fuzz_step look = { 0, 0, 0, 0, 0 };

	fuzz_need(ctx == &guest && c && c->may_wake);
	c->inside++;
	if (guest.control)
		guest_owner_data(c, &look); /* it runs on its own thread */
	guest_nested();
	fuzz_need(c->may_wake);
	c->inside--;
}

static void guest_poke(void *ctx)
{
	fuzz_need(ctx == &guest);
}

/* ---- steps */

/* Text of up to 5 steps as a GUID. */
static void guest_guid(const struct fuzz_step *s)
{
	char text[48] = "", back[37];
	struct vmb_guid guid, again;
	struct vmb_class class;
	struct fuzz_step more;
	uint32_t n = 0;

	for (unsigned i = 0; i < s->a % 6u && fuzz_next(&guest.in, &more); i++, n += FUZZ_STEP)
		memcpy(text + n, guest.in.at - FUZZ_STEP, FUZZ_STEP);
	if (s->b & 1 && !vmb_class_at(s->c % 40, &class))
		memcpy(text, class.text, 36);
	if (vmb_guid_parse(text, &guid))
		return;
	fuzz_need(!vmb_guid_format(&guid, back) && strlen(back) == 36);
	fuzz_need(!vmb_guid_parse(back, &again) && !memcmp(&again, &guid, sizeof guid));
	if (!vmb_class_find(&guid, &class))
		fuzz_need(!memcmp(&class.guid, &guid, sizeof guid));
}

static int guest_translate(void *ctx, uint64_t address, uint64_t *gpa)
{
	const struct fuzz_step *s = ctx;

	*gpa = address ^ (s->c & 1 ? (uint64_t)s->v << 16 : 0);
	return s->c & 2 && address >> 16 & 1;
}

/* A list of a few pieces: it is one, and it names as many bytes. */
static void guest_build(const struct fuzz_step *s)
{
	struct vmb_piece piece[3];
	uint64_t sum = 0, words[64], bytes;
	struct vmb_list list, check;
	struct fuzz_step more;
	uint32_t n = 0, page = 4096u << s->b % 3 * 2;
	int r;

	for (; n < 3 && n < s->a % 4u && fuzz_next(&guest.in, &more); n++) {
		piece[n].address = more.op & 0x80 ? UINT64_MAX - more.v : (uint64_t)more.v << (more.op & 31);
		piece[n].bytes = more.a | (uint64_t)more.b << 8 | (uint64_t)more.c << 16;
		sum += piece[n].bytes;
	}
	if (s->b > 250)
		page = 8192;
	if (n && s->b > 240 && s->b <= 250)
		piece[0].bytes |= UINT64_C(1) << 45; /* more pages than a list has words */
	r = vmb_list_build(piece, n, page, guest_translate, (void *)(uintptr_t)s, words, 64, &list);
	fuzz_need(r == 0 || r == VMB_EINVAL || r == VMB_EMAP || r == VMB_ENOSPACE);
	if (!r)
		fuzz_need(list.count <= 64 && !vmb_list_check(words, list.count, list.ranges, &check, &bytes) && bytes == sum);
}

/* Arguments that are none are refused, before anything happens. */
static void guest_null(uint32_t n)
{
	struct vmb_bus_info info = { .size = sizeof info };
	struct vmb_offer offer = { .size = sizeof offer };
	struct vmb_guest *g = n & 1 ? guest.g : NULL;
	uint8_t slot[256] __attribute__((aligned(8))) = { 0 };
	struct vmb_list list = { NULL, 0, 0 };
	struct vmb_class class;
	struct vmb_guid guid = { { 1 } };
	struct vmb_storage need;
	uint32_t id;

	guest.control++;
	fuzz_need(vmb_guest_storage(NULL, &need) == VMB_EINVAL);
	fuzz_need(vmb_guest_storage(NULL, NULL) == VMB_EINVAL && vmb_guest_init(guest.mem, 0, &guest.cfg, NULL) == VMB_EINVAL);
	fuzz_need(vmb_guest_end(NULL) == VMB_EINVAL && vmb_guest_connect(NULL) == VMB_EINVAL && vmb_guest_disconnect(NULL) == VMB_EINVAL);
	fuzz_need(vmb_guest_poll(g, 0, NULL) == VMB_EINVAL && vmb_guest_info(NULL, &info) == VMB_EINVAL && vmb_guest_info(g, NULL) == VMB_EINVAL);
	fuzz_need(vmb_guest_slot(g, NULL) == VMB_EINVAL && vmb_guest_slot(NULL, slot) == VMB_EINVAL);
	fuzz_need(vmb_guest_message(g, NULL, 8) == VMB_EINVAL && vmb_guest_message(NULL, slot, 8) == VMB_EINVAL);
	fuzz_need(vmb_guest_interrupt(g, NULL, slot) == VMB_EINVAL && vmb_synic_post(NULL, slot, 8) == VMB_EINVAL);
	fuzz_need(vmb_guest_open(NULL, 1, NULL, 0, NULL, NULL, NULL) == VMB_EINVAL && vmb_guest_close(NULL, 1) == VMB_EINVAL);
	fuzz_need(vmb_guest_close(guest.g, 0xffffffff) == VMB_EHANDLE && vmb_guest_release(NULL, 1) == VMB_EINVAL);
	fuzz_need(vmb_guest_offer(NULL, 1, &offer) == VMB_EINVAL && vmb_guest_offer(guest.g, 0xffffffff, &offer) == VMB_EHANDLE);
	fuzz_need(vmb_guest_target(NULL, 1, 0) == VMB_EINVAL && vmb_guest_gpadl_destroy(NULL, 1) == VMB_EINVAL);
	fuzz_need(vmb_guest_gpadl_create(NULL, 1, &list, &id) == VMB_EINVAL && vmb_guest_gpadl_create(guest.g, 1, &list, &id) == VMB_EINVAL);
	fuzz_need(vmb_guest_pause(NULL) == VMB_EINVAL && vmb_guest_resume(NULL) == VMB_EINVAL && vmb_guest_hvsock(NULL, NULL, 0) == VMB_EINVAL);
	guest.control--;
	fuzz_need(vmb_guid_parse(NULL, &guid) == VMB_EINVAL && vmb_guid_format(&guid, NULL) == VMB_EINVAL);
	fuzz_need(vmb_class_at(0, NULL) == VMB_EINVAL && vmb_class_find(NULL, &class) == VMB_EINVAL);
	fuzz_need(vmb_class_find(&guid, &class) == VMB_ENOENT);
	fuzz_need(vmb_message_check(NULL, 8, 0, 0, 0) == VMB_EINVAL && vmb_message_init(NULL, 8, 3, 0, 0) == VMB_EINVAL);
	fuzz_need(vmb_message_init(slot, 7, 3, VMB_V6_0, 0) == VMB_ETOOSMALL && vmb_message_size(n | 128, VMB_V6_0, 0) == VMB_EINVAL);
	fuzz_need(vmb_message_set(NULL, 0, 0, 0, "type", 0) == VMB_EINVAL && vmb_message_field(NULL, 0, 0, 0, 0, NULL) == VMB_EINVAL);
	fuzz_need(vmb_message_set(slot, 8, VMB_V6_0, 0, "type", UINT64_MAX) == VMB_EINVAL && vmb_packet_name(n)[0]);
}

static void guest_machine(const struct fuzz_step *s)
{
	static const int statuses[] = { VMB_HV_NO_BUFFERS, VMB_HV_NO_MEMORY, VMB_HV_TIMEOUT, VMB_HV_TIMEOUT, VMB_HV_INVALID_CONNECTION,
					VMB_HV_INVALID_PARAMETER, 0xffff, 2 };
	uint8_t *p;

	switch (s->op & 15) {
	case 0:
	case 1:
		guest.fail_after = s->b % 8;
		guest.fail_count = s->c < 250 ? s->c % 8 : 120;
		guest.fail_status = statuses[s->a % 8];
		guest.fail_arrived = s->a % 8 == 3;
		break;
	case 2:
	case 3:
		if (guest.now)
			guest.now += s->v % 40000000;
		break;
	case 4: /* the host writes into a ring */
		if (!guest.ring_used[s->a % GUEST_RINGS])
			break;
		p = guest_ring(s->a % GUEST_RINGS) + (s->c & 1 ? 4096u * (s->b % GUEST_RING_PAGES) : 0) + s->c / 2 % 64 * 4;
		for (unsigned i = 0; i < 4; i++)
			p[i] = (uint8_t)(s->v >> (8 * i));
		break;
	case 5:
		guest_guid(s);
		break;
	case 6:
		guest_build(s);
		break;
	case 8:
	case 9:
		guest.preempt = s->a;
		break;
	case 10:
		guest_null(s->a);
		break;
	default:
		if (guest.cfg.interrupt_page)
			((uint8_t *)guest.cfg.interrupt_page)[s->v % 260] = s->b;
		break;
	}
}

void guest_run(const struct fuzz_step *s)
{
	switch (s->op >> 4 == 12 ? 4 : s->op >> 4 & 3) {
	case 4:
		guest_more_step(s);
		break;
	case 0:
		guest_peer_step(s);
		break;
	case 1:
	case 2:
		guest_owner_step(s);
		break;
	default:
		guest_machine(s);
		break;
	}
}

/* Another thread gets the control lock while this one is inside a callback. */
void guest_nested(void)
{
	struct fuzz_step s;

	if (guest.control || guest.depth == GUEST_DEPTH)
		return;
	guest.depth++;
	for (unsigned i = 0; i < 4 && fuzz_next(&guest.in, &s); i++)
		guest_run(&s);
	guest.depth--;
}

static void guest_watch(void *ctx, const struct vmb_trace *what)
{
	(void)ctx;
	fuzz_watched(what);
}

static void guest_config(const struct fuzz_step *s)
{
	static const uint32_t versions[] = { 0, 0, 0, VMB_V5_3, VMB_V5_0, VMB_V4_1, VMB_V2_4, VMB_V1_1 };
	static const uint32_t budgets[] = { 0, 1, 3, VMB_SIGNAL_BUDGET_NONE };
	struct vmb_guest_config *cfg = &guest.cfg;

	*cfg = (struct vmb_guest_config){ .size = sizeof *cfg, .ctx = &guest, .post = guest_post, .signal = guest_signal, .wake = guest_wake,
					  .poke = guest_poke, .trace = guest_watch };
	cfg->max_version = versions[s->a % 8];
	cfg->max_channels = 1 + s->b % 5;
	cfg->max_gpadls = s->b & 0x80 ? 3 : 0;
	cfg->max_gpadl_pages = s->b & 0x40 ? 40 : 0;
	cfg->connect_ms = s->c & 1 ? 10 : 0;
	cfg->reply_ms = s->c & 2 ? 20 : 0;
	cfg->unload_ms = s->c & 4 ? 30 : 0;
	if (s->c & 8 || s->a % 8 == 7) {
		cfg->interrupt_gpa = 0x300000;
		cfg->interrupt_page = pages[0];
	}
	if (s->c & 0x10)
		for (unsigned i = 0; i < 2; i++) {
			cfg->monitor_gpa[i] = 0x301000 + 0x1000u * i;
			cfg->monitor_page[i] = pages[1 + i];
		}
	cfg->signal_budget = budgets[s->v >> 24 & 3];
	guest_more_config(s->v >> 8);
	if (s->v & 1)
		cfg->wake = NULL;
	if (s->v & 2)
		cfg->poke = NULL;
	guest.now = s->v & 4 ? 0 : 1;
}

/* A config with one wrong number in it, or a newer caller's: an end is made of it, or not, and nothing else happens. */
static void guest_try(const struct fuzz_step *s)
{
	struct { struct vmb_guest_config cfg; uint32_t tail[2]; } wrong;
	struct vmb_storage need = { 0, 0 };
	struct vmb_guest *g;
	uint8_t *mem;
	int r;

	memset(&wrong, 0, sizeof wrong);
	wrong.cfg = guest.cfg;
	memcpy((uint8_t *)&wrong + s->a % (offsetof(struct vmb_guest_config, interrupt_page) / 4) * 4, &s->v, 4);
	if (s->b & 1 || wrong.cfg.size > sizeof wrong)
		wrong.cfg.size = sizeof wrong;
	wrong.tail[1] = s->b & 2;
	r = vmb_guest_storage(&wrong.cfg, &need);
	fuzz_need(r == 0 || r == VMB_EINVAL || r == VMB_ESTRUCT);
	if (r)
		fuzz_need(vmb_guest_init(&need, sizeof need, &wrong.cfg, &g) == r);
	if (r || need.bytes > 1 << 20)
		return;
	mem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(vmb_guest_init(mem, need.bytes - 1, &wrong.cfg, &g) == VMB_ENOSPACE);
	fuzz_need(vmb_guest_init(NULL, need.bytes, &wrong.cfg, &g) == VMB_EINVAL);
	fuzz_need(!vmb_guest_init(mem, need.bytes, &wrong.cfg, &g) && !vmb_guest_end(g));
	free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size, 0 };
	struct vmb_storage need;
	struct fuzz_step s;

	memset(&guest, 0, sizeof guest);
	if (!fuzz_next(&in, &s))
		return 0;
	for (unsigned i = 0; i < GUEST_RINGS; i++)
		guest_ring_lend(i, 0);
	memset(pages, 0xa5, sizeof pages);
	guest_config(&s);
	guest.in = in;
	if (s.v & 0x80 && fuzz_next(&guest.in, &s))
		guest_try(&s);
	fuzz_need(!vmb_guest_storage(&guest.cfg, &need));
	guest.mem = fuzz_alloc(need.align, need.bytes);
	fuzz_need(!vmb_guest_init(guest.mem, need.bytes, &guest.cfg, &guest.g));
	while (fuzz_next(&guest.in, &s))
		guest_run(&s);
	guest.in.left = 0;
	if (guest.crashing)
		guest_more_crash();
	else
		guest_owner_finish(guest.in.steps & 1);
	for (unsigned i = 0; i < guest.channels; i++)
		free(guest.channel[i].mem);
	free(guest.mem);
	return 0;
}
