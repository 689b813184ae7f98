/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What the two files of the explorer know of each other. walk.c: who runs, which choice; walk_memory.c: what memory is. */
#ifndef TEST_ORDER_WALK_MEMORY_H
#define TEST_ORDER_WALK_MEMORY_H

#include "walk.h"

struct walk_hash { uint64_t a, b; };

/* walk.c */
void walk_need(int ok, const char *what);
const struct walk_case *walk_running_case(void); /* NULL: nothing runs */
uint32_t walk_choose(uint32_t n);                /* one of n: as the replay says, else the first */
void walk_yield(void);                           /* either side may go on */
_Noreturn void walk_impossible(void);            /* a guess did not come true: no such execution */

/* walk_memory.c */
void walk_memory_begin(void);
void walk_memory_done(void);      /* the running side has come to its end */
int walk_can_run(uint32_t side);
int walk_memory_asleep(void);     /* is a side waiting? */
int walk_memory_late(void);       /* are there guesses that did not come true? */
int walk_memory_learn(int again); /* 0: forget all values; 1: are there new ones, for another walk with them? */
struct walk_hash walk_memory_hash(void);

#endif /* TEST_ORDER_WALK_MEMORY_H */
