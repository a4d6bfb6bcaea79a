/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/counts_known.S: accesses to addresses that the instruction names, in pages that only some bits tell apart; to be run with
 * --tlb d16x1,i16x1 and --tlb d96x6,i16x1. R4.
 *
 * Six pages of set 0 of 16, some of which differ in one bit, from the lowest that a program may map to the highest terabytes that fast mode has: each is written
 * once (6 faults: 12 lookups, each a miss: the second fills). Then they are read in turn 100 times, and each must have its own byte.
 *   16 entries, 1 way: every read misses: 12 + 600 = 612.
 *   96 entries, 6 ways: all six stay: 12.
 * Instructions: 6 x 8; 6 x 2; 1 + 100 x 20; 3 = 48 + 12 + 2001 + 3 = 2064. Loads 600, stores 6.
 * One more zero fill is the stack's page, which exec writes the arguments to.
 *
 * EXPECT instructions=2064 loads=600 stores=6 zero_fill=7 data_lookups=612
 * EXPECT[--tlb d16x1,i16x1] l1_data_misses=612
 * EXPECT[--tlb d96x6,i16x1] l1_data_misses=12
 */
	.macro	each what
	\what	0x10000, 1
	\what	0x20000, 2
	\what	0x7fff0000, 3
	\what	0x012300020000, 4
	\what	0x032300020000, 5
	\what	0x020000020000, 6
	.endm

	.macro	map at, byte
	mov	$9, %eax
	movabs	$\at, %rdi
	mov	$4096, %esi
	mov	$3, %edx
	mov	$0x32, %r10d
	mov	$-1, %r8
	xor	%r9d, %r9d
	syscall
	.endm

	.macro	put at, byte
	mov	$\byte, %al
	movabs	%al, \at + 8
	.endm

	.macro	get at, byte
	movabs	\at + 8, %al
	cmp	$\byte, %al
	jne	bad
	.endm

	.globl _start
	.text
	.balign 4096
_start:
	each	map
	each	put
	mov	$100, %ecx
1:	each	get
	dec	%ecx
	jnz	1b
	mov	$231, %eax
	xor	%edi, %edi
	syscall
bad:	mov	$231, %eax
	mov	$1, %edi
	syscall
	.section .note.GNU-stack, "", @progbits
