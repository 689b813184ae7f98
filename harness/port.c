/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Every access goes through here, one after the other. */
#include "harness/port.h"

#include <endian.h>
#include <string.h>

_Thread_local int (*port_hook)(struct port_access *a);

uint64_t port_do(enum port_op op, const volatile void *shared, const void *other, size_t bytes, uint64_t value)
{
	void *at = (void *)(uintptr_t)shared;
	struct port_access a = { op, at, (void *)(uintptr_t)other, bytes, value };

	if (port_hook && port_hook(&a))
		return a.value;
	switch (op) {
	case PORT_LOAD:
		return __atomic_load_n((uint32_t *)at, __ATOMIC_RELAXED);
	case PORT_LOAD_ACQUIRE:
		return __atomic_load_n((uint32_t *)at, __ATOMIC_ACQUIRE);
	case PORT_STORE:
		__atomic_store_n((uint32_t *)at, (uint32_t)value, __ATOMIC_RELAXED);
		return 0;
	case PORT_STORE_RELEASE:
		__atomic_store_n((uint32_t *)at, (uint32_t)value, __ATOMIC_RELEASE);
		return 0;
	case PORT_PUBLISH:
		return __atomic_exchange_n((uint32_t *)at, (uint32_t)value, __ATOMIC_SEQ_CST);
	case PORT_OR:
		return __atomic_fetch_or((uint32_t *)at, (uint32_t)value, __ATOMIC_SEQ_CST);
	case PORT_READ64:
		return le64toh(__atomic_load_n((uint64_t *)at, __ATOMIC_RELAXED));
	case PORT_WRITE64:
		__atomic_store_n((uint64_t *)at, htole64(value), __ATOMIC_RELAXED);
		return 0;
	case PORT_COPY_OUT:
		memcpy(a.other, at, bytes);
		return 0;
	case PORT_COPY_IN:
		memcpy(at, a.other, bytes);
		return 0;
	case PORT_CLEAR:
		memset(at, 0, bytes);
		return 0;
	}
	return 0;
}
