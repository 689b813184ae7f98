/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * From what a multiboot loader leaves behind (32 bits, no paging, EBX = its information) to C in long mode, and the way from an
 * interrupt into C.
 *
 * libvmbus is linked as it is, so its functions use the red zone below the stack pointer. Interrupts must not push there: their
 * gates name a stack of their own (IST, cpu.c).
 */
#define MAGIC 0x1badb002
#define FLAGS 0x00010003 /* modules on pages, memory sizes; bit 16: load as the five words after the checksum say */
#define CODE 0x08
#define DATA 0x10

	.section .multiboot, "ax"
	.balign 8
header:
	.long MAGIC, FLAGS, -(MAGIC + FLAGS)
	.long header, image_start, image_end, bss_end, start

	.code32
	.globl start
start:
	cli
	cld
	mov	$image_end, %edi /* .bss; EBX stays */
	mov	$bss_end, %ecx
	sub	%edi, %ecx
	xor	%eax, %eax
	rep stosb
	mov	$stack_top, %esp

	/* The first 4 GiB map onto themselves in pages of 2 MiB; the last of them, where the APIC is, without cache. */
	movl	$(tables + 0x1000 + 3), tables
	mov	$tables + 0x2000 + 3, %eax
	mov	$tables + 0x1000, %edi
	mov	$4, %ecx
1:	mov	%eax, (%edi)
	add	$0x1000, %eax
	add	$8, %edi
	loop	1b
	mov	$0x83, %eax /* present, writable, 2 MiB */
	mov	$tables + 0x2000, %edi
	mov	$2048, %ecx
2:	cmp	$512, %ecx
	jne	3f
	or	$0x18, %eax
3:	mov	%eax, (%edi)
	add	$0x200000, %eax
	add	$8, %edi
	loop	2b

	mov	%cr4, %eax
	or	$0x620, %eax /* PAE; SSE may be used */
	mov	%eax, %cr4
	mov	$tables, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx /* EFER: long mode */
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	%cr0, %eax
	and	$~0xc, %eax /* no emulation, no task switched */
	or	$0x80010023, %eax /* PG, WP, NE, MP, PE */
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$CODE, $long_mode

	.code64
long_mode:
	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%ebx, %edi
	call	bare_main
4:	cli
	hlt
	jmp	4b

	.text
/* entry_*: from the gate, on a stack of its own. The CPU has aligned it to 16 and pushed 40 bytes. */
	.macro ENTRY name, function
	.globl	\name
\name:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	sub	$512, %rsp
	fxsave	(%rsp)
	cld
	call	\function
	fxrstor	(%rsp)
	add	$512, %rsp
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rax
	iretq
	.endm

	ENTRY	entry_sint, on_sint
	ENTRY	entry_tick, on_tick
	.globl	entry_spurious
entry_spurious:
	iretq

/* Exceptions: there is no coming back. entry_fault + 16 * n is that of exception n: 8, 10...14, 17, 21, 29 and 30 push a code. */
	.balign	16
	.globl	entry_fault
entry_fault:
	n = 0
	.rept	32
	.balign	16
	.if	!(n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21 || n == 29 || n == 30)
	pushq	$0
	.endif
	pushq	$n
	jmp	fault
	n = n + 1
	.endr
fault:
	pop	%rdi /* which */
	pop	%rsi /* code */
	pop	%rdx /* RIP */
	and	$-16, %rsp
	call	on_fault

	.data
	.balign	16
	.globl	gdt
gdt:	.quad	0
	.quad	0x00af9b000000ffff /* CODE: 64 bits */
	.quad	0x00cf93000000ffff /* DATA */
	.quad	0, 0               /* 0x18: the task state, which cpu.c fills in */
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt, 0

	.bss
	.balign	4096
tables:	.skip	6 * 4096
	.skip	32768
stack_top:

	.section .note.GNU-stack, "", @progbits
