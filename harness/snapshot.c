/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* An end as text: see snapshot.h. */
#include "snapshot.h"

static const char *bits(uint32_t set, char out[160])
{
	size_t n = 0;

	out[0] = '\0';
	for (uint32_t bit = 1; bit; bit <<= 1)
		if (set & bit)
			n += (size_t)snprintf(out + n, 160 - n, " %s", vmb_name(VMB_NAMES_HAS, bit));
	return out;
}

/* ---- the connection */

static void print_fates(FILE *to, const struct vmb_bus_info *i)
{
	fprintf(to, "          messages in:");
	for (uint32_t f = 1; f < sizeof i->fate / sizeof *i->fate; f++)
		if (i->fate[f])
			fprintf(to, " %s %llu", vmb_name(VMB_NAMES_FATE, f), (unsigned long long)i->fate[f]);
	fprintf(to, "\n          messages out: %llu, again %llu, lost %llu, waiting %u, most %u\n", (unsigned long long)i->messages_out,
		(unsigned long long)i->post_retries, (unsigned long long)i->post_failed, i->queued, i->queued_most);
}

static void print_connection(FILE *to, const char *end, const struct vmb_bus_info *i, const struct vmb_part *p)
{
	fprintf(to, "%-7s connection %s, version %u.%u, features 0x%x, messages to VP %u\n", end, vmb_name(VMB_NAMES_BUS, p->state),
		i->version >> 16, i->version & 0xffff, i->features, i->message_vp);
	print_fates(to, i);
	fprintf(to, "          channels %u, objects out %u, GPADLs %u with %u pages\n", i->channels, i->attached, i->gpadls, i->gpadl_pages);
	fprintf(to, "          over a quota %llu, stray events %llu, late answers %llu, events waiting %u, most %u, over signal budget %llu\n",
		(unsigned long long)i->refused_quota, (unsigned long long)i->stray_events, (unsigned long long)i->late_answers, i->events,
		i->events_most, (unsigned long long)i->over_budget);
}

/* ---- channels and GPADLs */

static void print_object(FILE *to, const struct vmb_channel *ch)
{
	struct vmb_channel_info i = { .size = sizeof i };

	if (vmb_channel_info(ch, &i) < 0)
		return;
	fprintf(to, "          packets %llu sent, %llu received; bytes %llu, %llu; ring full %llu%s\n", (unsigned long long)i.sent,
		(unsigned long long)i.received, (unsigned long long)i.bytes_sent, (unsigned long long)i.bytes_received,
		(unsigned long long)i.full, i.error ? i.error == VMB_EPEER ? "; broken" : "; stopped" : "");
	fprintf(to, "          requests %llu, in flight %u; cancelled %u, completed late %u, completions of nothing %llu\n",
		(unsigned long long)i.requests_sent, i.requests, i.cancelled, i.late, (unsigned long long)i.unmatched);
	fprintf(to, "          signals out %llu, without need %u; in %u, without need %u; not sent for a mask %llu%s%s\n",
		(unsigned long long)(i.signals_data + i.signals_room + i.signals_out_needless), i.signals_out_needless, i.signals_in,
		i.signals_in_needless, (unsigned long long)i.masked, i.over & VMB_OVER_IN ? "; OVER BUDGET in" : "",
		i.over & VMB_OVER_OUT ? "; OVER BUDGET out" : "");
	if (i.reason)
		fprintf(to, "          violation: %s, at 0x%x\n", vmb_reason_name(i.reason), i.reason_at);
}

static void print_channel(FILE *to, const char *end, const struct vmb_part *p, int host)
{
	struct vmb_class class;
	char instance[37], has[160];

	vmb_guid_format(&p->instance, instance);
	fprintf(to, "%-7s channel %u %s%s%s%s; handle 0x%x\n", end, p->channel, vmb_name(VMB_NAMES_STATE, p->state), bits(p->flags, has),
		host ? "; device " : "", host ? vmb_name(VMB_NAMES_DEVICE, p->device) : "", p->ch);
	fprintf(to, "          class %s, instance %s, subchannel %u, connection id 0x%x\n",
		vmb_class_find(&p->class_id, &class) == 0 ? class.name : "unknown", instance, p->subchannel, p->connection_id);
	if (p->target_vp != VMB_VP_NONE)
		fprintf(to, "          ring GPADL 0x%x, interrupts VP %u by flag %u\n", p->gpadl, p->target_vp, p->event_flag);
	fprintf(to, "          opened %u, refused %u, closed %u, lost %u\n", p->opens, p->refused, p->closes, p->lost);
	if (p->object)
		print_object(to, p->object);
}

static void print_gpadl(FILE *to, const char *end, const struct vmb_part *p)
{
	char has[160];

	fprintf(to, "%-7s GPADL 0x%x %s%s; of channel %u, %u words, %u ranges", end, p->gpadl, vmb_name(VMB_NAMES_LIST, p->state),
		bits(p->flags, has), p->channel, p->words, p->ranges);
	if (p->held)
		fprintf(to, ", used %u times", p->held);
	fprintf(to, "\n");
}

static void print_part(FILE *to, const char *end, const struct vmb_bus_info *i, const struct vmb_part *p, int host)
{
	if (p->kind == VMB_PART_CONNECTION)
		print_connection(to, end, i, p);
	else if (p->kind == VMB_PART_CHANNEL)
		print_channel(to, end, p, host);
	else
		print_gpadl(to, end, p);
}

void snapshot_guest(FILE *to, struct vmb_guest *g)
{
	struct vmb_bus_info i = { .size = sizeof i };
	struct vmb_part p = { .size = sizeof p };
	uint32_t cursor = 0;

	if (vmb_guest_info(g, &i) < 0)
		return;
	while (vmb_guest_snapshot(g, &cursor, &p) > 0)
		print_part(to, "guest", &i, &p, 0);
}

void snapshot_host(FILE *to, struct vmb_host *h)
{
	struct vmb_bus_info i = { .size = sizeof i };
	struct vmb_part p = { .size = sizeof p };
	uint32_t cursor = 0;

	if (vmb_host_info(h, &i) < 0)
		return;
	while (vmb_host_snapshot(h, &cursor, &p) > 0)
		print_part(to, "host", &i, &p, 1);
}

/* ---- as it happens */

static void trace_message(FILE *to, const struct vmb_trace *t)
{
	fprintf(to, " %s, %u bytes: %s", vmb_message_name(t->a), t->b, vmb_name(VMB_NAMES_FATE, t->c));
	if (t->channel)
		fprintf(to, "; channel %u", t->channel);
	if (t->gpadl)
		fprintf(to, "; GPADL 0x%x", t->gpadl);
	if (t->point == VMB_TRACE_MESSAGE_IN)
		fprintf(to, "; while %s\n", vmb_name(VMB_NAMES_BUS, t->d));
	else
		fprintf(to, "; status %d\n", (int)t->d);
}

void snapshot_trace(FILE *to, const char *end, const struct vmb_trace *t)
{
	char before[160], now[160];

	fprintf(to, "%-7s %s", end, vmb_name(VMB_NAMES_TRACE, t->point));
	switch (t->point) {
	case VMB_TRACE_MESSAGE_IN:
	case VMB_TRACE_MESSAGE_OUT:
		trace_message(to, t);
		break;
	case VMB_TRACE_CONNECTION:
		fprintf(to, " %s -> %s, version %u.%u, features 0x%x\n", vmb_name(VMB_NAMES_BUS, t->a), vmb_name(VMB_NAMES_BUS, t->b), t->c >> 16,
			t->c & 0xffff, t->d);
		break;
	case VMB_TRACE_CHANNEL:
		fprintf(to, " %u, handle 0x%x: %s%s -> %s%s\n", t->channel, t->ch, vmb_name(VMB_NAMES_STATE, t->a), bits(t->c, before),
			vmb_name(VMB_NAMES_STATE, t->b), bits(t->d, now));
		break;
	case VMB_TRACE_DEVICE:
		fprintf(to, " of channel %u, handle 0x%x: %s -> %s\n", t->channel, t->ch, vmb_name(VMB_NAMES_DEVICE, t->a),
			vmb_name(VMB_NAMES_DEVICE, t->b));
		break;
	case VMB_TRACE_GPADL:
		fprintf(to, " 0x%x of channel %u: %s -> %s, %u words, %u ranges\n", t->gpadl, t->channel, vmb_name(VMB_NAMES_LIST, t->a),
			vmb_name(VMB_NAMES_LIST, t->b), t->c, t->d);
		break;
	case VMB_TRACE_SIGNALS:
		fprintf(to, " of channel %u: %s, %u without need, budget %u, %u times over\n", t->channel,
			t->a & VMB_OVER_IN ? "the peer's" : "our own", t->b, t->c, t->d);
		break;
	default:
		fprintf(to, " %u %u %u %u\n", t->a, t->b, t->c, t->d);
	}
}
