/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The instructions of x86-64 that compilers use for memory, general registers and SSE2: how many bytes, read or written. */
#include "trace.h"

struct insn {
	uint32_t operand16, wide, lock, repeat; /* prefixes: 66, REX.W, F0, F2 or F3 */
	uint32_t reg; /* the middle field of the byte behind the opcode */
	int write;
	enum trace_kind kind;
};

static uint32_t word(const struct insn *n)
{
	return n->wide ? 8 : n->operand16 ? 2 : 4;
}

static uint32_t load(struct insn *n, uint32_t bytes)
{
	n->kind = TRACE_LOAD;
	return bytes;
}

static uint32_t store(struct insn *n, uint32_t bytes)
{
	n->kind = TRACE_STORE;
	return bytes;
}

static uint32_t both(struct insn *n, uint32_t bytes)
{
	n->kind = TRACE_BOTH;
	return bytes;
}

static uint32_t arithmetic(struct insn *n, uint32_t op)
{
	uint32_t bytes = op & 1 ? word(n) : 1;

	if ((op & 7) > 3)
		return 0;
	return op & 2 || op >> 3 == 7 ? load(n, bytes) : both(n, bytes); /* 38...3b: cmp */
}

static uint32_t one_byte(struct insn *n, uint32_t op)
{
	uint32_t bytes = op & 1 ? word(n) : 1;

	if (op < 0x40)
		return arithmetic(n, op);
	switch (op) {
	case 0x63: return load(n, 4);                          /* movsxd */
	case 0x69: case 0x6b: return load(n, word(n));         /* imul */
	case 0x80: return n->reg == 7 ? load(n, 1) : both(n, 1);
	case 0x81: case 0x83: return n->reg == 7 ? load(n, word(n)) : both(n, word(n));
	case 0x84: case 0x85: return load(n, bytes);           /* test */
	case 0x86: case 0x87: return both(n, bytes);           /* xchg */
	case 0x88: case 0x89: return store(n, bytes);
	case 0x8a: case 0x8b: return load(n, bytes);
	case 0xa4: case 0xa5: return n->write ? store(n, bytes) : load(n, bytes); /* movs: each repetition is a step */
	case 0xa6: case 0xa7: return load(n, bytes);           /* cmps */
	case 0xaa: case 0xab: return store(n, bytes);          /* stos */
	case 0xc0: case 0xc1: case 0xd0: case 0xd1: case 0xd2: case 0xd3: return both(n, bytes);
	case 0xc6: case 0xc7: return store(n, bytes);
	case 0xf6: case 0xf7: return n->reg == 2 || n->reg == 3 ? both(n, bytes) : load(n, bytes);
	case 0xfe: return both(n, 1);
	case 0xff: return n->reg < 2 ? both(n, word(n)) : load(n, 8); /* inc, dec; call, jmp, push */
	default: return 0;
	}
}

static uint32_t two_bytes(struct insn *n, uint32_t op)
{
	uint32_t packed = n->repeat == 0xf3 ? 4 : n->repeat == 0xf2 ? 8 : 16;

	switch (op) {
	case 0x10: return load(n, packed);                     /* movups, movss, movsd */
	case 0x11: return store(n, packed);
	case 0x12: case 0x14: case 0x16: return load(n, op == 0x14 ? 16 : 8); /* movlps, unpcklps, movhps */
	case 0x13: case 0x17: return store(n, 8);
	case 0x28: return load(n, 16);
	case 0x29: case 0x2b: case 0xe7: return store(n, 16);
	case 0x6e: return load(n, n->wide ? 8 : 4);            /* movd, movq */
	case 0x6f: return load(n, n->operand16 || n->repeat ? 16 : 8);
	case 0x7e: return n->repeat == 0xf3 ? load(n, 8) : store(n, n->wide ? 8 : 4);
	case 0x7f: return store(n, n->operand16 || n->repeat ? 16 : 8);
	case 0xd6: return store(n, 8);
	case 0xa3: return load(n, word(n));                    /* bt */
	case 0xab: case 0xb3: case 0xbb: return both(n, word(n));
	case 0xba: return n->reg == 4 ? load(n, word(n)) : both(n, word(n));
	case 0xb0: case 0xc0: return both(n, 1);               /* cmpxchg, xadd */
	case 0xb1: case 0xc1: return both(n, word(n));
	case 0xb6: case 0xbe: return load(n, 1);               /* movzx, movsx */
	case 0xb7: case 0xbf: return load(n, 2);
	case 0xaf: case 0xb8: case 0xbc: case 0xbd: return load(n, word(n));
	default: break;
	}
	if (op >= 0x40 && op < 0x50) /* cmov */
		return load(n, word(n));
	if (op >= 0x90 && op < 0xa0) /* setcc */
		return store(n, 1);
	if (n->operand16 && ((op >= 0x60 && op < 0x77) || op >= 0xd0)) /* SSE2 on whole numbers */
		return load(n, 16);
	if (op >= 0x51 && op < 0x60)
		return load(n, packed);
	return 0;
}

static int is_prefix(struct insn *n, uint8_t byte)
{
	switch (byte) {
	case 0x66: n->operand16 = 1; return 1;
	case 0xf0: n->lock = 1; return 1;
	case 0xf2: case 0xf3: n->repeat = byte; return 1;
	case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: return 1;
	default: return 0;
	}
}

uint32_t trace_decode(const uint8_t *code, int write, enum trace_kind *kind, uint32_t *string)
{
	struct insn n = { .write = write, .kind = write ? TRACE_BOTH : TRACE_LOAD };
	uint32_t op, bytes;

	while (is_prefix(&n, *code))
		code++;
	if (*code >> 4 == 4)
		n.wide = *code++ >> 3 & 1;
	op = *code++;
	*string = op == 0xa4 || op == 0xa5;
	if (op == 0x0f) {
		op = *code++;
		n.reg = *code >> 3 & 7;
		bytes = two_bytes(&n, op);
	} else {
		n.reg = *code >> 3 & 7;
		bytes = one_byte(&n, op);
	}
	*kind = n.kind;
	if ((n.kind == TRACE_LOAD) == !!write) /* not what the processor says that it did */
		return 0;
	return bytes;
}
