/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* lib/ring inside a test program, on the port that shows every access. The library's own copy is then not linked. */
#ifndef TEST_RING_HOOKED_H
#define TEST_RING_HOOKED_H

#define VMB_ENV_HEADER "harness/port.h"
#include "lib/ring/memory.c"
#include "lib/ring/tx.c"
#include "lib/ring/rx.c"

#endif /* TEST_RING_HOOKED_H */
