/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The two hypercalls that VMBus needs, and the page through which the guest calls them (platform.md 4).
 */
#include "vmm.h"

#include <string.h>

#define CALL_POST_MESSAGE 0x005cu
#define CALL_SIGNAL_EVENT 0x005du
#define CONTROL_CODE 0xffffu
#define CONTROL_FAST (1u << 16)

#define STATUS_SUCCESS 0x00u
#define STATUS_INVALID_CODE 0x02u
#define STATUS_INVALID_INPUT 0x03u
#define STATUS_INVALID_ALIGNMENT 0x04u
#define STATUS_INVALID_PARAMETER 0x05u

void hypercall_page_fill(uint8_t *page)
{
	/* ENDBR64 first, or a guest with IBT gives IBT up. Not VMMCALL: KVM answers that one itself. */
	static const uint8_t code[] = {
		0xf3, 0x0f, 0x1e, 0xfa,  /* endbr64 */
		0xe6, PORT_HYPERCALL,    /* out %al, $PORT_HYPERCALL: exits to ports_write */
		0xc3,                    /* ret */
	};

	memset(page, 0xcc, 4096); /* int3 */
	memcpy(page, code, sizeof(code));
}

/* The guest's other vCPUs may write there meanwhile, so each byte is read once, and whoever judges it judges the copy. */
static unsigned int copy_in(struct machine *m, uint64_t gpa, uint8_t *to, unsigned int bytes)
{
	const volatile uint8_t *from = guest_ram(m, gpa, bytes);
	unsigned int i;

	if ((gpa & 7) || (gpa & 0xfff) + bytes > 0x1000)
		return STATUS_INVALID_ALIGNMENT;
	if (!from)
		return STATUS_INVALID_PARAMETER;
	for (i = 0; i < bytes; i++)
		to[i] = from[i];
	return STATUS_SUCCESS;
}

static unsigned int post_message(struct vcpu *v, uint64_t control, uint64_t in)
{
	uint8_t input[WIRE_POST_BYTES];
	unsigned int status;

	if (control & CONTROL_FAST)
		return STATUS_INVALID_INPUT;
	status = copy_in(v->m, in, input, sizeof(input));
	return status ? status : link_post(&v->m->link, v->index, input);
}

static unsigned int signal_event(struct vcpu *v, uint64_t control, uint64_t in)
{
	uint64_t param = in; /* u32 connection, u16 flag, u16 0 (platform.md 4.4) */
	unsigned int status = STATUS_SUCCESS;

	if (!(control & CONTROL_FAST))
		status = copy_in(v->m, in, (uint8_t *)&param, sizeof(param));
	if (!status)
		link_signal(&v->m->link, v->index, (uint32_t)param, (uint32_t)(param >> 32) & 0xffffu);
	return status;
}

/* Registers RCX, RDX, R8 in; RAX out: the status, and no completed repetitions (platform.md 4.1). */
uint64_t hypercall_do(struct vcpu *v, uint64_t control, uint64_t in, uint64_t out)
{
	(void)out; /* neither call has output; in R8 Linux leaves whatever was there */
	switch (control & CONTROL_CODE) {
	case CALL_POST_MESSAGE:
		return post_message(v, control, in);
	case CALL_SIGNAL_EVENT:
		return signal_event(v, control, in);
	}
	return STATUS_INVALID_CODE;
}
