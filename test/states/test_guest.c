/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Every message, in every form, in every state of the guest end, at every version: guest.table says what must come of it. For
 * each of them a fresh guest is brought into the state; then what it posts, tells and counts is compared, nothing else may
 * have changed, the state after it is proved by what the guest does next, channel 2 goes on working, and a disconnect gives
 * everything back.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "guestcell.h"

static unsigned failures, shown;

struct view { /* of a guest, from outside */
	struct vmb_bus_info info;
	uint32_t signals;
	uint64_t wakes[64];
};

static struct view look(void)
{
	struct view v = { .info = bench_info(cell.b), .signals = cell.b->signals };

	memcpy(v.wakes, cell.b->wakes, sizeof v.wakes);
	return v;
}

/* What a message that leaves the state as it is must not change. */
static const char *changed(const struct view *a, const struct view *b, const char *effects)
{
	uint32_t more = strstr(effects, "OFFER(") || strstr(effects, "HVSOCK(") ? 1 : 0;

	if (a->info.state != b->info.state || a->info.version != b->info.version || a->info.features != b->info.features ||
	    a->info.message_vp != b->info.message_vp || a->info.paused != b->info.paused)
		return "the connection";
	if (b->info.channels != a->info.channels + more || a->info.attached != b->info.attached)
		return "channels";
	if (a->info.gpadls != b->info.gpadls || a->info.gpadl_pages != b->info.gpadl_pages)
		return "page lists";
	if (a->info.monitor_gpa[0] != b->info.monitor_gpa[0] || a->info.monitor_gpa[1] != b->info.monitor_gpa[1])
		return "monitor pages";
	if (a->signals != b->signals || memcmp(a->wakes, b->wakes, sizeof a->wakes))
		return "signals or wakes";
	return NULL;
}

/* The counters and events in the words of the table. */
static const char *effects(const struct view *a, const struct view *b, const char *events, bool ignored)
{
	static char text[700];
	uint64_t dropped = b->info.dropped - a->info.dropped, late = b->info.late_answers - a->info.late_answers;

	snprintf(text, sizeof text, "%s %s", events,
		 dropped + late == 0 ? "" : dropped + late > 1 ? "counters?" :
		 ignored ? "ignored" : dropped ? "dropped" : "late");
	return text;
}

static void complain(unsigned type, unsigned form, unsigned variant, const struct table_row *row, const char *what,
	const char *got)
{
	failures++;
	if (shown++ < 200)
		fprintf(stderr, "%s:%d: %s, %s (%u), %s, %s: %s: %s\n", guest_end.path, row->line, table_message(type),
			guest_end.forms[form],
			variant, guest_end.states[cell.state], table_versions[cell.version].name, what, got);
}

static unsigned state_named(const char *name)
{
	for (unsigned i = 0; i < GUEST_STATES; i++)
		if (!strcmp(name, guest_end.states[i]))
			return i;
	cr_assert_fail("guest.table: no state \"%s\"", name);
	return 0;
}

static void judge(unsigned type, unsigned form, unsigned variant, const struct table_row *row, const struct bench_message *m)
{
	bool same = !strcmp(row->next, "=");
	enum guest_state next = same ? cell.state : state_named(row->next);
	struct view before = look(), after;
	const char *said, *wrong;
	char told[512];

	cell_feed(m);
	snprintf(told, sizeof told, "%s", cell_events());
	said = cell_posts();
	after = look();
	if (!table_same_words(row->answers, said))
		complain(type, form, variant, row, "it posts", said);
	said = effects(&before, &after, told, strstr(row->effects, "ignored"));
	if (!table_same_words(row->effects, said))
		complain(type, form, variant, row, "effects", said);
	if (same && (wrong = changed(&before, &after, row->effects)))
		complain(type, form, variant, row, "changed", wrong);
	if (!cell_bystander())
		complain(type, form, variant, row, "channel 2", "does not work");
	if ((wrong = cell_prove(next)))
		complain(type, form, variant, row, "is not in the next state", wrong);
}

static void run_cell(unsigned type, unsigned form, unsigned state, unsigned version, const struct table_row *row)
{
	struct bench_message m;
	const char *wrong;

	if (!row) {
		failures++;
		return;
	}
	for (unsigned variant = 0; variant < 16; variant++) {
		cell_enter(state, version);
		if (!cell_message(type, form, variant, &m)) {
			cr_assert(variant > 0, "no message of %s, %s", table_message(type), guest_end.forms[form]);
			wrong = cell_end();
			cr_assert_null(wrong, "%s after %s", wrong, guest_end.states[state]);
			return;
		}
		if (row->answers[0] == '?') { /* harmless, whatever it does */
			cell_feed(&m);
			cell_events();
			cell_posts();
			if (!cell_bystander())
				complain(type, form, variant, row, "channel 2", "does not work");
		} else {
			judge(type, form, variant, row, &m);
		}
		if ((wrong = cell_end()))
			complain(type, form, variant, row, "at the end", wrong);
	}
}

static void all_cells_of(enum guest_state state)
{
	table_walk(&guest_end, state, run_cell);
	cr_assert_eq(failures, 0, "%u times the guest does not do what guest.table says in %s", failures,
		guest_end.states[state]);
}

#define CELLS(name, state) Test(guest_cells, name) { all_cells_of(state); }

CELLS(disconnected, G_DISCONNECTED)
CELLS(negotiating, G_NEGOTIATING)
CELLS(requested, G_REQUESTED)
CELLS(running, G_RUNNING)
CELLS(offered, G_OFFERED)
CELLS(announcing, G_ANNOUNCING)
CELLS(opening, G_OPENING)
CELLS(open, G_OPEN)
CELLS(moving, G_MOVING)
CELLS(failed_early, G_FAILED_EARLY)
CELLS(failed, G_FAILED)
CELLS(closing, G_CLOSING)
CELLS(closing_announcing, G_CLOSING_ANNOUNCING)
CELLS(closing_opening, G_CLOSING_OPENING)
CELLS(released, G_RELEASED)
CELLS(listing, G_LISTING)
CELLS(listed, G_LISTED)
CELLS(unlisting, G_UNLISTING)
CELLS(unlisting_early, G_UNLISTING_EARLY)
CELLS(rescinded, G_RESCINDED)
CELLS(rescinded_announcing, G_RESCINDED_ANNOUNCING)
CELLS(rescinded_opening, G_RESCINDED_OPENING)
CELLS(rescinded_open, G_RESCINDED_OPEN)
CELLS(rescinded_moving, G_RESCINDED_MOVING)
CELLS(rescinded_closing, G_RESCINDED_CLOSING)
CELLS(rescinded_listing, G_RESCINDED_LISTING)
CELLS(rescinded_listed, G_RESCINDED_LISTED)
CELLS(rescinded_unlisting, G_RESCINDED_UNLISTING)
CELLS(calling, G_CALLING)
CELLS(swapping, G_SWAPPING)
CELLS(reserved_closing, G_RESERVED_CLOSING)
CELLS(pausing, G_PAUSING)
CELLS(paused, G_PAUSED)
CELLS(leaving, G_LEAVING)
CELLS(unloading, G_UNLOADING)
CELLS(left, G_LEFT)
CELLS(reserved_closing_left, G_RESERVED_CLOSING_LEFT)

Test(guest_table, each_cell_has_one_line_and_each_line_a_cell)
{
	table_complete(&guest_end, "guest end");
}

/* A proof that any state passes would prove nothing: each is tried in all other states. */
Test(guest_table, proofs_tell_states_apart)
{
	unsigned version[2] = { 9, 11 }, pairs = 0, alike = 0;

	for (unsigned s = 0; s < GUEST_STATES; s++)
		for (unsigned t = 0; t < GUEST_STATES; t++)
			for (unsigned i = 0; i < 2; i++) {
				if (!(table_of(&guest_end)->exists[s] >> version[i] & 1) || cell_alike(s, t))
					continue;
				cell_enter(s, version[i]);
				if (!cell_prove(t)) {
					fprintf(stderr, "in %s the proof of %s succeeds\n", guest_end.states[s],
						guest_end.states[t]);
					alike++;
				}
				(void)cell_end();
				pairs++;
			}
	cr_assert_gt(pairs, 1000);
	cr_assert_eq(alike, 0);
}
