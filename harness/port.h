/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A port of lib/env.h (VMB_ENV_HEADER) that shows every access to a test before it happens, and can let the test do it instead: so
 * shared memory can change between any two loads. With no hook set it does what lib/env.h does. test/ring/hooked.h builds lib/ring
 * with it.
 */
#ifndef HARNESS_PORT_H
#define HARNESS_PORT_H

#include <stddef.h>
#include <stdint.h>

enum port_op {
	PORT_LOAD, PORT_LOAD_ACQUIRE, PORT_STORE, PORT_STORE_RELEASE, PORT_PUBLISH, PORT_OR, /* 32 bits */
	PORT_READ64, PORT_WRITE64,
	PORT_COPY_OUT, PORT_COPY_IN, PORT_CLEAR
};

struct port_access {
	enum port_op op;
	void *shared;      /* what is accessed. Counters and the like in storage come here as well: look at the address */
	void *other;       /* copies: the private side */
	size_t bytes;
	uint64_t value;    /* of stores; of loads, if the hook does them. 32 bits: as in memory; 64 bits: in the order of the CPU */
};

/* Returns 1 if it has done the access itself. Of this thread. */
extern _Thread_local int (*port_hook)(struct port_access *a);

uint64_t port_do(enum port_op op, const volatile void *shared, const void *other, size_t bytes, uint64_t value);

#define VMBI_LOAD32_RELAXED(p) ((uint32_t)port_do(PORT_LOAD, (p), NULL, 4, 0))
#define VMBI_LOAD32_ACQUIRE(p) ((uint32_t)port_do(PORT_LOAD_ACQUIRE, (p), NULL, 4, 0))
#define VMBI_STORE32_RELAXED(p, v) ((void)port_do(PORT_STORE, (p), NULL, 4, (v)))
#define VMBI_STORE32_RELEASE(p, v) ((void)port_do(PORT_STORE_RELEASE, (p), NULL, 4, (v)))
#define VMBI_PUBLISH32(p, v) ((void)port_do(PORT_PUBLISH, (p), NULL, 4, (v)))
#define VMBI_FETCH_OR32(p, v) ((uint32_t)port_do(PORT_OR, (p), NULL, 4, (v)))
#define VMBI_READ64(p) port_do(PORT_READ64, (p), NULL, 8, 0)
#define VMBI_WRITE64(p, v) ((void)port_do(PORT_WRITE64, (p), NULL, 8, (v)))
#define VMBI_COPY_OUT(dst, s, n) ((void)port_do(PORT_COPY_OUT, (s), (dst), (n), 0))
#define VMBI_COPY_IN(s, src, n) ((void)port_do(PORT_COPY_IN, (s), (src), (n), 0))
#define VMBI_CLEAR(s, n) ((void)port_do(PORT_CLEAR, (s), NULL, (n), 0))

#endif /* HARNESS_PORT_H */
