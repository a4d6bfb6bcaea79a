/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/counts_tlb.S: TLB misses by conflict, to be run with --tlb d4x1,i4x1 and --tlb d4x2,i4x1. R4.
 *
 * Twelve pages, aligned to a multiple of 4 pages, are written once (12 faults: 24 lookups, each a miss: the second fills). Then pages
 * 0 and 4 are read in turn 100 times each, then 0, 4 and 8 in turn 50 times each.
 *   4 entries, 1 way: 4 sets; pages 0, 4, 8 share set 0. The last write went to page 11; set 0 holds 8: every
 *     read misses: 200 + 150. 24 + 350 = 374.
 *   4 entries, 2 ways: 2 sets; even pages share set 0, which holds 8 and 10. Page 0, page 4 miss once and stay: 2; then 0, 4, 8 in
 *     turn over 2 ways by LRU: 0 hits (0 and 4 are there), 4 hits, 8 misses and evicts 0, and from then on every read misses: 148. 24 + 2 + 148 = 174.
 * Instructions: 2 + 12 x 4; 3 + 100 x 4; 1 + 50 x 5; 3 = 50 + 403 + 251 + 3 = 707. Loads 350, stores 12.
 * One more zero fill is the stack's page, which exec writes the arguments to.
 *
 * EXPECT instructions=707 loads=350 stores=12 zero_fill=13 data_lookups=374
 * EXPECT[--tlb d4x1,i4x1] l1_data_misses=374
 * EXPECT[--tlb d4x2,i4x1] l1_data_misses=174
 */
	.globl _start
	.text
	.balign 4096
_start:
	lea	buf(%rip), %rbx
	mov	$12, %ecx
1:	movb	$1, (%rbx)
	add	$4096, %rbx
	dec	%ecx
	jnz	1b
	lea	buf(%rip), %rbx
	xor	%eax, %eax
	mov	$100, %ecx
2:	mov	(%rbx), %eax
	mov	16384(%rbx), %eax
	dec	%ecx
	jnz	2b
	mov	$50, %ecx
3:	mov	(%rbx), %eax
	mov	16384(%rbx), %eax
	mov	32768(%rbx), %eax
	dec	%ecx
	jnz	3b
	mov	$231, %eax
	xor	%edi, %edi
	syscall

	.bss
	.balign 16384
buf:	.skip	12 * 4096
	.section .note.GNU-stack, "", @progbits
