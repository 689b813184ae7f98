/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Instructions counted by the processor's trap flag: each one between steps_begin and steps_end that does not lie in this program's own text, so
 * the library's and those of the memory functions that it calls. x86-64 Linux; the library is the shared one, bound at once.
 */
#ifndef TEST_FULL_SCALE_STEPS_H
#define TEST_FULL_SCALE_STEPS_H

void steps_init(void);
void steps_begin(void);
unsigned long steps_end(void);

#endif /* TEST_FULL_SCALE_STEPS_H */
