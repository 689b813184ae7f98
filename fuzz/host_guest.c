/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The hostile guest. It says things in three ways: whole messages with plausible values, drafts that are changed field by field, and
 * plain bytes. And it notes what it is told: whatever frees its memory must come when nothing of that memory is in use.
 */
#include "host.h"

#define GUEST_HEADER 16u /* of the hypercall's input */

static const uint32_t guest_versions[] = { VMB_V0_13, VMB_V1_1, VMB_V2_4, VMB_V3_0, VMB_V4_0, VMB_V4_1, VMB_V5_0, VMB_V5_1,
					   VMB_V5_2,  VMB_V5_3, VMB_V6_0, 0,	    0x00070000u, VMB_V6_0, VMB_V5_3, VMB_V1_1 };

static uint32_t guest_version(uint32_t n)
{
	return guest_versions[n % (sizeof guest_versions / sizeof *guest_versions)];
}

/* Channel ids that there may be. */
static uint32_t guest_id(uint32_t n)
{
	return host.cfg.first_channel_id + n % 12;
}

static uint32_t guest_gpadl(uint32_t n)
{
	return 1 + n % 6;
}

static struct vmb_bus_info guest_info(void)
{
	struct vmb_bus_info info = { .size = sizeof info };
	int r;

	HOST_CALL(r, vmb_host_info(host.h, &info));
	fuzz_need(!r);
	return info;
}

/* ---- saying it */

static struct host_device *guest_device(uint32_t id)
{
	for (uint32_t i = 0; i < host.devices; i++)
		if (host.device[i].id == id)
			return &host.device[i];
	return NULL;
}

static void guest_post(uint32_t connection, const uint8_t *msg, uint32_t len, const struct fuzz_step *odd)
{
	uint8_t input[GUEST_HEADER + VMB_MESSAGE_MAX] = { 0 }, *exact;
	uint32_t bytes = len > VMB_MESSAGE_MAX ? VMB_MESSAGE_MAX : len, total = GUEST_HEADER + bytes;
	struct host_device *released, *reserved;
	int r;

	for (unsigned i = 0; i < 4; i++)
		input[i] = (uint8_t)(connection >> (8 * i));
	input[8] = odd && odd->a == 9 ? odd->b : 1;
	input[12] = (uint8_t)len;
	memcpy(input + GUEST_HEADER, msg, bytes);
	if (odd && odd->a == 8)
		total = odd->b % (total + 1);
	exact = fuzz_alloc(1, total);
	memcpy(exact, input, total);
	released = len >= 12 && fuzz_get32(msg) == 13 ? guest_device(fuzz_get32(msg + 8)) : NULL;
	if (released)
		released->released = 1;
	reserved = len >= 12 && fuzz_get32(msg) == 18 ? guest_device(fuzz_get32(msg + 8)) : NULL;
	if (reserved)
		reserved->reserved = 1;
	if (host.trusted)
		HOST_CALL(r, vmb_host_post_trusted(host.h, exact, total));
	else
		HOST_CALL(r, vmb_host_post(host.h, exact, total));
	fuzz_trace("\tpost type %u, %u bytes: %d\n", len >= 4 ? fuzz_get32(msg) : 0, len, r);
	free(exact);
	fuzz_need(vmb_strerror(r)[0] == 'n');
	fuzz_need(r == VMB_HV_SUCCESS || r == VMB_HV_INVALID_PARAMETER || r == VMB_HV_INVALID_CONNECTION || r == VMB_HV_NO_BUFFERS ||
		  r == VMB_HV_NO_MEMORY);
}

void host_guest_post(uint32_t connection, const uint8_t *msg, uint32_t len)
{
	guest_post(connection, msg, len, NULL);
}

static void guest_set(uint8_t *msg, uint32_t len, uint32_t version, const char *name, uint64_t value)
{
	(void)vmb_message_set(msg, len, version, 0, name, value);
}

/* A message of this type in the form that is in force, or in that of the newest version where it does not exist. */
static uint32_t guest_message(uint8_t *msg, uint32_t type)
{
	const struct vmb_bus_info info = guest_info();
	int len = vmb_message_init(msg, VMB_MESSAGE_MAX, type, info.version, info.features);

	if (len < 0)
		len = vmb_message_init(msg, VMB_MESSAGE_MAX, type, VMB_V6_0, 0xff);
	fuzz_need(len > 0);
	return (uint32_t)len;
}

static void guest_contact(const struct fuzz_step *s)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t version = guest_version(s->a), len = (uint32_t)vmb_message_init(msg, sizeof msg, 14, VMB_V6_0, 0);

	guest_set(msg, len, 0, "version", version);
	guest_set(msg, len, 0, "target_vp", s->b < 200 ? s->b % HOST_VPS : s->b);
	if (version < VMB_V5_0) {
		guest_set(msg, len, 0, "interrupt_page", s->c & 1 ? 0 : (uint64_t)(HOST_FIRST_PFN + s->v % 70) * VMB_PAGE + (s->c > 250));
	} else {
		guest_set(msg, len, 0, "target_sint", s->c & 0x10 ? s->v % 20 : 2);
		guest_set(msg, len, 0, "target_vtl", s->c & 0x20 ? 1 : 0);
		guest_set(msg, len, 0, "feature_flags", s->c & 0x40 ? s->v & 0xff : 0);
	}
	if (s->c & 2)
		guest_set(msg, len, 0, "parent_to_child_page", (uint64_t)(s->v >> 8) * 0x100);
	if (s->c & 4)
		guest_set(msg, len, 0, "child_to_parent_page", (uint64_t)(s->v >> 16) * 0x1000);
	guest_post(s->c & 8 ? 1 + s->v % 5 : version >= VMB_V5_0 ? 4 : 1, msg, len, NULL);
}

/* Messages of a few numbers. */
static void guest_say(uint32_t type, const struct fuzz_step *s)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t len = guest_message(msg, type);

	guest_set(msg, len, 0, "channel_id", guest_id(s->a));
	guest_set(msg, len, 0, "gpadl_id", guest_gpadl(s->b));
	guest_set(msg, len, 0, "ring_gpadl", guest_gpadl(s->b));
	guest_set(msg, len, 0, "target_vp", s->v & 0x80 ? VMB_VP_NONE : s->v % 6);
	guest_set(msg, len, 0, "open_id", s->v >> 8);
	guest_set(msg, len, 0, "downstream_page_offset", s->c);
	guest_set(msg, len, 0, "connection_id", 0x2000 + guest_id(s->a)); /* as offered */
	guest_set(msg, len, 0, "event_flag", guest_id(s->a));
	guest_post(guest_info().version >= VMB_V5_0 ? 4 : 1, msg, len, NULL);
}

/* A list of c pages in one range, as much of it as one message holds. v: first page; its high bits: not quite so. */
static void guest_list(const struct fuzz_step *s)
{
	uint8_t msg[VMB_MESSAGE_MAX];
	uint32_t pages = s->c % 64, words = pages + 1, len = 20 + 8 * (words < 27 ? words : 27);
	uint64_t range = VMB_RANGE((pages ? pages : 1) * VMB_PAGE, 0);

	memset(msg, 0, sizeof msg);
	fuzz_need(vmb_message_init(msg, sizeof msg, 8, VMB_V6_0, 0) > 0);
	if (s->v & 0x80000000) /* only a part of the words counts */
		range = VMB_RANGE((s->v >> 16) & 0x7fff, 0);
	if (s->v & 0x40000000) /* not from the beginning of a page on */
		range = VMB_RANGE((pages ? pages : 1) * VMB_PAGE - (s->v & 0xff), s->v & 0xff);
	guest_set(msg, len, 0, "channel_id", guest_id(s->a));
	guest_set(msg, len, 0, "gpadl_id", guest_gpadl(s->b));
	guest_set(msg, len, 0, "range_buflen", words * 8);
	guest_set(msg, len, 0, "range_count", s->v & 0x20000000 ? s->b >> 4 : s->v & 0x08000000 ? words / 2 : 1);
	for (uint32_t i = 0; i < words && i < 27; i++) {
		uint64_t word = i ? HOST_FIRST_PFN + (s->v + i - 1) % HOST_PAGES : range;

		if (i && s->v & 0x10000000)
			word += 60;
		if (s->v & 0x08000000 && i % 2 == 0) /* many ranges of one page */
			word = VMB_RANGE(VMB_PAGE, 0);
		for (uint32_t b = 0; b < 8; b++)
			msg[20 + 8 * i + b] = (uint8_t)(word >> (8 * b));
	}
	guest_post(1, msg, len, NULL);
}

static void guest_body(const struct fuzz_step *s)
{
	uint8_t msg[VMB_MESSAGE_MAX] = { 9 };
	uint32_t words = s->c % 29, len = 16 + 8 * words;

	msg[12] = (uint8_t)guest_gpadl(s->b);
	for (uint32_t i = 0; i < words; i++) {
		uint64_t word = HOST_FIRST_PFN + (s->v + i) % HOST_PAGES;

		for (uint32_t b = 0; b < 8; b++)
			msg[16 + 8 * i + b] = (uint8_t)(word >> (8 * b));
	}
	guest_post(1, msg, len, NULL);
}

/* ---- drafts */

/* What a field may be worth: anything, or a number that means something. */
static uint64_t guest_value(const struct fuzz_step *s)
{
	switch (s->b % 8) {
	case 0:
		return guest_id(s->v);
	case 1:
		return guest_gpadl(s->v);
	case 2:
		return s->v % 6;
	case 3:
		return guest_version(s->v);
	case 4:
		return (uint64_t)(HOST_FIRST_PFN + s->v % 70) * VMB_PAGE;
	case 5:
		return VMB_RANGE(s->v % 65 * VMB_PAGE, s->c);
	default:
		return s->v;
	}
}

static void guest_draft_set(const struct fuzz_step *s)
{
	uint64_t value = guest_value(s);
	struct vmb_field f;

	if (vmb_message_field(host.draft, host.draft_len, 0, 0xff, s->a, &f) != VMB_YES)
		return;
	for (uint32_t i = 0; i < f.bytes && i < 8; i++)
		host.draft[f.offset + i] = (uint8_t)(value >> (8 * i));
}

/* All that a dumper would ask of it. */
static void guest_draft_read(void)
{
	uint32_t version = guest_info().version, i = 0;
	struct vmb_field f;
	int r;

	while ((r = vmb_message_field(host.draft, host.draft_len, version, 0, i++, &f)) == VMB_YES)
		fuzz_need(f.name && f.offset <= host.draft_len && f.bytes <= host.draft_len - f.offset && i < 100);
	fuzz_need(r == VMB_ENOENT);
	r = vmb_message_check(host.draft, host.draft_len, version, 0xff, 1);
	fuzz_need(r == 0 || r == VMB_EPEER || r == VMB_EVERSION || r == VMB_EINVAL);
	fuzz_need(r || vmb_message_name(fuzz_get32(host.draft))[0] != '?');
}

static void guest_draft_bytes(uint32_t n)
{
	struct fuzz_step s;

	host.draft_len = 0;
	while (n-- && host.draft_len + FUZZ_STEP <= VMB_MESSAGE_MAX && fuzz_next(&host.in, &s)) {
		memcpy(host.draft + host.draft_len, host.in.at - FUZZ_STEP, FUZZ_STEP);
		host.draft_len += FUZZ_STEP;
	}
}

void host_guest_step(const struct fuzz_step *s)
{
	static const uint32_t types[] = { 3, 5, 7, 8, 9, 11, 13, 14, 16, 18, 19, 21, 22, 25, 27, 29 };

	switch (s->op % 16) {
	case 0: guest_contact(s); break;
	case 1: guest_say(3, s); break;
	case 2: case 3: guest_list(s); break;
	case 4: guest_body(s); break;
	case 5: case 6: guest_say(5, s); break;
	case 7: guest_say(s->b & 1 ? 7 : 22, s); break;
	case 8: guest_say(11, s); break;
	case 9: guest_say(13, s); break;
	case 10: guest_say(s->c > 200 ? 16 : types[s->a % 16], s); break;
	case 11: host.draft_len = guest_message(host.draft, 1 + s->a % 29); break;
	case 12: guest_draft_set(s); break;
	case 13:
		if (s->a % 2)
			host.draft_len = s->v % (VMB_MESSAGE_MAX + 1);
		else
			host.draft[s->v % VMB_MESSAGE_MAX] = s->b;
		break;
	case 14: guest_draft_bytes(1 + s->a % 8); break;
	default:
		guest_draft_read();
		guest_post(s->c > 240 ? s->b : s->c & 1 ? 4 : 1, host.draft, s->a == 7 ? s->b : host.draft_len, s);
		break;
	}
}

/* ---- being told */

static void told_offer(const uint8_t *msg)
{
	uint32_t n = msg[120], id = fuzz_get32(msg + 184); /* the device's number is in its user_defined */

	fuzz_need(n < host.devices && id >= 1 && id < 2048);
	for (uint32_t i = 0; i < host.devices; i++) /* the guest gave it back, or the device could not be offered */
		if (host.device[i].id == id)
			host.device[i].id = 0;
	fuzz_need(!host.device[n].removed);
	host.device[n].id = id;
	host.device[n].rescinded = host.device[n].released = 0;
}

static int guest_in_use(const struct host_device *d)
{
	return d->state == DEVICE_SERVING || d->inside || host_device_holds(d);
}

/* The guest may free all memory of the channel from now on. */
static void told_rescind(uint32_t id)
{
	struct host_device *d = guest_device(id);

	fuzz_need(d && (d->removed || d->renews || d->expires) && !d->rescinded);
	fuzz_need(!guest_in_use(d));
	d->rescinded = 1;
	for (uint32_t i = 0; i < host.devices; i++) {
		const struct host_device *sub = &host.device[i];

		/* One that is open as reserved is kept from an earlier connection, and not offered on this one. */
		if (sub->primary && &host.device[sub->primary - 1] == d && sub->id && !sub->rescinded && !sub->reserved)
			fuzz_need(host.was_blocked || sub->released || d->expires);
	}
}

/* How many use a list of this id. */
static uint32_t guest_uses(uint32_t gpadl)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < host.devices; i++) {
		const struct host_device *d = &host.device[i];
		int uses = d->ch && d->state == DEVICE_SERVING && d->ring_gpadl == gpadl;

		for (unsigned k = 0; k < HOST_HOLDS; k++)
			uses |= d->hold[k].n && d->hold[k].gpadl == gpadl;
		n += uses != 0;
	}
	return n;
}

/* Is there a channel that outlives connections, with its lists? */
static int guest_keeps(void)
{
	for (uint32_t i = 0; i < host.devices; i++)
		if (host.device[i].reserved)
			return 1;
	return 0;
}

/* The connection before is over: nothing of the guest's memory is in use. */
static void told_over(int pages)
{
	int kept = guest_keeps();

	if (!kept) {
		memset(host.created, 0, sizeof host.created);
		memset(host.torn, 0, sizeof host.torn);
	}
	if (host.was_blocked)
		return; /* this message is old, and what is now may be of the next connection */
	fuzz_need(kept || (!host.ring_maps && (!pages || !host_platform_mapped())));
	for (uint32_t i = 0; i < host.devices; i++) {
		if (host.device[i].reserved)
			continue;
		fuzz_need(!guest_in_use(&host.device[i]));
		host.device[i].id = 0;
	}
}

void host_guest_told(uint32_t sint, const uint8_t *msg, uint32_t len)
{
	uint32_t type = fuzz_get32(msg), first = len >= 12 ? fuzz_get32(msg + 8) : 0;

	fuzz_trace("\ttold type %u (%u), %u bytes\n", type, first, len);
	fuzz_need(vmb_message_check(msg, len, VMB_V6_0, 0xff, 0) == 0 || type == 15 || type == 1);
	if (sint != 2) { /* to whom it was not for us; or of a reserved channel */
		fuzz_need((type == 15 && !first) || type == 6 || type == 20);
		return;
	}
	switch (type) {
	case 1:
		told_offer(msg);
		break;
	case 2:
		told_rescind(first);
		break;
	case 10:
		if (!fuzz_get32(msg + 16) && fuzz_get32(msg + 12) < HOST_GPADLS)
			host.created[fuzz_get32(msg + 12)]++;
		break;
	case 12:
		if (first >= HOST_GPADLS)
			break;
		host.torn[first]++;
		fuzz_need(host.was_blocked || guest_keeps() || host.created[first] >= host.torn[first] + guest_uses(first));
		break;
	case 15:
		told_over(0);
		break;
	case 17:
		told_over(1);
		break;
	}
}
