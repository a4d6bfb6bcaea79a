/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/counts_loop.S: loads, stores, read-modify-writes and stack operations in a counted loop. R4, R23.
 *
 * By hand: 2 instructions before the loop, 8 in each of 1000 rounds, 3 after it (the system call included): 8005. Each round
 * loads (%rbx), 16(%rbx) and by pop; stores 8(%rbx), 16(%rbx) and by push: 3000 and 3000, of which the
 * add is one lookup for both: 5 lookups a round. Two lookups fault and are made again: the first load (zero page) and the first store (frame).
 * Fetch runs: the first instruction and each of 999 taken jumps; the very first faults and is made again.
 * One more zero fill is the stack's page, which exec writes the arguments to.
 *
 * EXPECT instructions=8005 loads=3000 stores=3000 page_crossings=0 fetch_lookups=1001 data_lookups=5002 zero_read=1 zero_fill=2
 */
	.globl _start
	.text
	.balign 4096
_start:
	lea	buf(%rip), %rbx
	mov	$1000, %ecx
1:	mov	(%rbx), %rax
	add	$1, %rax
	mov	%rax, 8(%rbx)
	addq	$3, 16(%rbx)
	push	%rax
	pop	%rdx
	dec	%ecx
	jnz	1b
	mov	$231, %eax
	xor	%edi, %edi
	syscall

	.bss
	.balign 4096
buf:	.skip	4096
	.section .note.GNU-stack, "", @progbits
