/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/counts_crossing.S: accesses and instructions that cross pages. R4.
 *
 * Three pages are written once (3 faults). 100 rounds: a load, a store, an add and a vector load, each across a boundary: 4
 * crossings; the add is one load and one store, and its two lookups serve both: 5 accesses, 8 lookups a round. The loop
 * body holds one instruction that straddles two pages of code. Fetch runs of a round: from the loop head to the end of the first page; the
 * straddling instruction (two lookups); the rest of the round behind it: 4 lookups in all.
 * Before the loop: one run. The jump to the next round is taken 99 times. Behind the loop nothing is
 * new: the run goes on. The code's first page and second page are brought in by one fault each: 2 repeated.
 * So: 1 run that begins at _start goes on into the loop up to the straddling one: round 1: 1 + 2 + 1; rounds 2..100: 4 each. 400, + 2.
 * Instructions: 5 + 100 x 7 + 3 = 708: lea, 3 movb, mov; mov, mov, add, movdqu, the straddling mov, dec, jnz; exit.
 * Loads 300, stores 203, crossings 400, data lookups 3 + 3 (faults) + 800.
 *
 * EXPECT instructions=708 loads=300 stores=203 page_crossings=400 data_lookups=806 fetch_lookups=402
 */
	.globl _start
	.text
	.balign 4096
	.skip	4096 - (straddler - _start) - 2, 0x90
_start:
	lea	buf(%rip), %rbx
	movb	$1, (%rbx)
	movb	$1, 4096(%rbx)
	movb	$1, 8192(%rbx)
	mov	$100, %ecx
1:	mov	4093(%rbx), %rax
	mov	%rdx, 8190(%rbx)
	add	%rdx, 4095(%rbx)
	movdqu	8180(%rbx), %xmm0
straddler:
	mov	$0x12345678, %esi
	dec	%ecx
	jnz	1b
	mov	$231, %eax
	xor	%edi, %edi
	syscall

	.bss
	.balign 4096
buf:	.skip	3 * 4096
	.section .note.GNU-stack, "", @progbits
