/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Numbers that the scripted guest of hostcell.h uses. */
#ifndef TEST_STATES_HOSTIDS_H
#define TEST_STATES_HOSTIDS_H

enum {
	OPEN_ID = 79,   /* of the message under test; the way into a state uses 77 */
	SPARE = 0x77,   /* page lists of channel 1: four pages for a ring */
	SPARE2 = 0x78,  /* what is torn down, or held */
	HALF = 0x79,    /* InProgress where the state says so */
	NEW = 0x7a,
	PROOF = 0x7b,
	PROOF2 = 0x7c,
	NO_LIST = 0x55,
	FAR_VP = 1,     /* where answers about a reserved channel go */
	FAR_SINT = 5,
};

#endif
