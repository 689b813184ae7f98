/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Every message, in every form, in every state of the host end, at every version: host.table says what must come of it. For
 * each of them a fresh host is brought into the state; then what it says, tells and counts is compared, nothing else may have
 * changed, the state after it is proved by what the host does next, channel 2 goes on working, and a reset frees everything.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "hostcell.h"

static unsigned failures, shown;

struct view { /* of a host, from outside */
	struct vmb_bus_info info;
	unsigned mapped, interrupts, wakes;
};

static struct view look(void)
{
	return (struct view){ hb_info(), hb->all_mapped, hb->interrupts, hb->wakes };
}

/* What a message that leaves the state as it is must not change. */
static const char *changed(const struct view *a, const struct view *b, const char *effects)
{
	bool maps = strstr(effects, "maps") != NULL;

	if (a->info.state != b->info.state || a->info.version != b->info.version || a->info.features != b->info.features)
		return "the connection";
	if (a->info.message_vp != b->info.message_vp || a->info.trusted != b->info.trusted ||
	    memcmp(&a->info.client_id, &b->info.client_id, 16))
		return "message VP, trust or client id";
	if (a->info.channels != b->info.channels || a->info.attached != b->info.attached)
		return "channels";
	if (b->mapped != a->mapped + (maps ? 1 : 0))
		return "mapped pages";
	if (!maps && (a->info.monitor_gpa[0] != b->info.monitor_gpa[0] || a->info.monitor_gpa[1] != b->info.monitor_gpa[1]))
		return "monitor pages";
	if (a->interrupts != b->interrupts || a->wakes != b->wakes)
		return "interrupts or wakes";
	return NULL;
}

/* The counters and events in the words of the table. */
static const char *effects(const struct view *a, const struct view *b, int status, const char *events, bool lists_stay)
{
	static char text[700];
	bool others = b->info.refused_quota != a->info.refused_quota || b->info.stray_events != a->info.stray_events;
	int lists = lists_stay ? (int)b->info.gpadls - (int)a->info.gpadls : 0;

	snprintf(text, sizeof text, "%s %s%s%s%s%s%s", events,
		 status == VMB_HV_NO_BUFFERS ? "NO_BUFFERS " : status ? "status? " : "",
		 b->info.dropped == a->info.dropped ? "" : b->info.dropped == a->info.dropped + 1 ? "dropped " : "dropped? ",
		 lists == 1 ? "+list " : lists == -1 ? "-list " : lists ? "lists? " : "",
		 lists_stay && b->mapped == a->mapped + 1 ? "maps " : "", others ? "counter? " : "",
		 b->info.late_answers != a->info.late_answers ? "late? " : "");
	return text;
}

static void complain(unsigned type, unsigned form, unsigned variant, const struct table_row *row, const char *what,
	const char *got)
{
	failures++;
	if (shown++ < 200)
		fprintf(stderr, "%s:%d: %s, %s (%u), %s, %s: %s: %s\n", host_end.path, row->line, table_message(type),
			host_end.forms[form],
			variant, host_end.states[scene.state], table_versions[scene.version].name, what, got);
}

static unsigned state_named(const char *name)
{
	for (unsigned i = 0; i < HOST_STATES; i++)
		if (!strcmp(name, host_end.states[i]))
			return i;
	cr_assert_fail("host.table: no state \"%s\"", name);
	return 0;
}

/* What the bench must know of the new state to prove it. */
static void note(unsigned type, unsigned form, enum host_state next, const char *effect)
{
	if (strstr(effect, "-list") && type == M_TEARDOWN)
		scene.spare2_gone = true;
	if (next == REFUSING && type == M_CONTACT)
		scene.contact_fails = (uint8_t)form;
	if (next == RECONTACTING)
		scene.contact_fails = 0;
	if (type == M_TEARDOWN && form == RING)
		scene.ring_torn = true;
	if (type == M_MODIFY && scene.state == MOVING && form != WRONG_ID && form != SHORT && form != BAD)
		scene.moved_again = true;
	if (next == RESERVED_OPENING && type == M_OPEN_RESERVED)
		scene.reserved = true;
	if ((scene.state == REOFFERED || scene.state == CONTACTED) && next == OFFERED)
		scene.spare2_gone = true;
}

static void judge(unsigned type, unsigned form, unsigned variant, const struct table_row *row, const struct post *p)
{
	bool paused = !strncmp(row->next, "paused ", 7), asked = !strncmp(row->next, "asked ", 6);
	const char *name = paused ? row->next + 7 : asked ? row->next + 6 : row->next, *said, *wrong;
	bool same = !strcmp(name, "=");
	enum host_state next = same ? scene.state : state_named(name);
	uint32_t open_id = scene.open_id;
	struct view before = look(), after;
	int status = scene_say(p);
	char told[512];

	snprintf(told, sizeof told, "%s", scene_events());
	scene.open_id = type == M_OPEN || type == M_OPEN_RESERVED ? p->open_id : open_id;
	said = scene_answers();
	after = look();
	if (!table_same_words(row->answers, said))
		complain(type, form, variant, row, "it says", said);
	said = effects(&before, &after, status, told, same || strstr(row->effects, "list") || strstr(name, "opening"));
	if (!table_same_words(row->effects, said))
		complain(type, form, variant, row, "effects", said);
	if (same && (wrong = changed(&before, &after, row->effects)))
		complain(type, form, variant, row, "changed", wrong);
	if (same)
		scene.open_id = open_id;
	note(type, form, next, row->effects);
	if (!scene_bystander())
		complain(type, form, variant, row, "channel 2", "does not work");
	if ((wrong = scene_prove(next, paused, asked)))
		complain(type, form, variant, row, "is not in the next state", wrong);
}

static void run_cell(unsigned type, unsigned form, unsigned state, unsigned version, const struct table_row *row)
{
	const char *wrong;
	struct post p;

	if (!row) {
		failures++;
		return;
	}
	for (unsigned variant = 0; variant < 16; variant++) {
		scene_enter(state, version);
		if (!scene_post(type, form, variant, &p)) {
			cr_assert(variant > 0, "no message of %s, %s", table_message(type), host_end.forms[form]);
			wrong = scene_end();
			cr_assert_null(wrong, "%s after %s", wrong, host_end.states[state]);
			return;
		}
		if (row->answers[0] == '?') { /* harmless, whatever it does */
			(void)scene_say(&p);
			scene_events();
			scene_answers();
			if (!scene_bystander())
				complain(type, form, variant, row, "channel 2", "does not work");
		} else {
			judge(type, form, variant, row, &p);
		}
		if ((wrong = scene_end()))
			complain(type, form, variant, row, "at the end", wrong);
	}
}

static void all_cells_of(enum host_state state)
{
	table_walk(&host_end, state, run_cell);
	cr_assert_eq(failures, 0, "%u times the host does not do what host.table says in %s", failures, host_end.states[state]);
}

#define CELLS(name, state) Test(host_cells, name) { all_cells_of(state); }

CELLS(disconnected, DISCONNECTED)
CELLS(left, LEFT)
CELLS(contacted, CONTACTED)
CELLS(paused_early, PAUSED_EARLY)
CELLS(offered, OFFERED)
CELLS(opening, OPENING)
CELLS(open, OPEN)
CELLS(open_silent, OPEN_SILENT)
CELLS(open_tearing, OPEN_TEARING)
CELLS(moving, MOVING)
CELLS(closing, CLOSING)
CELLS(closing_tearing, CLOSING_TEARING)
CELLS(reopening, REOPENING)
CELLS(closing_released, CLOSING_RELEASED)
CELLS(released, RELEASED)
CELLS(revoking, REVOKING)
CELLS(revoked, REVOKED)
CELLS(reoffered, REOFFERED)
CELLS(building, BUILDING)
CELLS(building_revoked, BUILDING_REVOKED)
CELLS(held, HELD)
CELLS(tearing, TEARING)
CELLS(reserved_opening, RESERVED_OPENING)
CELLS(reserved_open, RESERVED_OPEN)
CELLS(reserved_closing, RESERVED_CLOSING)
CELLS(reserved_kept, RESERVED_KEPT)
CELLS(reserved_left, RESERVED_LEFT)
CELLS(reserved_closing_left, RESERVED_CLOSING_LEFT)
CELLS(paused, PAUSED)
CELLS(unloading, UNLOADING)
CELLS(unloading_opening, UNLOADING_OPENING)
CELLS(unloading_reserved, UNLOADING_RESERVED)
CELLS(recontacting, RECONTACTING)
CELLS(refusing, REFUSING)
CELLS(resetting, RESETTING)
CELLS(trusted, TRUSTED)

Test(host_table, each_cell_has_one_line_and_each_line_a_cell)
{
	table_complete(&host_end, "host end");
}

/* A proof that any state passes would prove nothing: each is tried in all other states. */
Test(host_table, proofs_tell_states_apart)
{
	unsigned version[2] = { 9, 11 }, pairs = 0, alike = 0;

	for (unsigned s = 0; s < HOST_STATES; s++)
		for (unsigned t = 0; t < HOST_STATES; t++)
			for (unsigned i = 0; i < 2; i++) {
				if (!(table_of(&host_end)->exists[s] >> version[i] & 1) || scene_alike(s, t) || t == PAUSED ||
					t == PAUSED_EARLY)
					continue;
				scene_enter(s, version[i]);
				if (!scene_prove(t, false, false)) {
					fprintf(stderr, "in %s the proof of %s succeeds\n", host_end.states[s],
						host_end.states[t]);
					alike++;
				}
				(void)scene_end();
				pairs++;
			}
	cr_assert_gt(pairs, 1000);
	cr_assert_eq(alike, 0);
}
