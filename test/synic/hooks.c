/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
#include "test/synic/hooks.h"

#include <string.h>

void (*synic_at_fence)(void);
void (*synic_at_swap)(void);
void (*synic_at_copy)(void);

static void call_once(void (**hook)(void))
{
	void (*act)(void) = *hook;

	*hook = NULL;
	if (act)
		act();
}

static uint32_t hooks_barrier;

void synic_fence(void)
{
	call_once(&synic_at_fence);
	(void)__atomic_exchange_n(&hooks_barrier, 0u, __ATOMIC_SEQ_CST); /* gcc refuses a fence under the thread sanitizer */
}

int synic_swap(void *word, uint32_t from, uint32_t to)
{
	call_once(&synic_at_swap);
	return __atomic_compare_exchange_n((uint32_t *)word, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void synic_copy(void *to, const void *from, size_t n)
{
	call_once(&synic_at_copy);
	memcpy(to, from, n);
}
