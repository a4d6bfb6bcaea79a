/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/counts_string.S: string instructions: each element is an access, the whole is one instruction.
 *
 * By hand (instructions; loads; stores; lookups):
 *   stosq x 1000            4; 0; 1000; 1000     lea, mov, mov, rep stosq: fills 8000 bytes from page 0, offset 0
 *   movsb x 5000            4; 5000; 5000; 10000 from page 0, offset 10, to page 2, offset 0
 *   movsq x 600, unaligned  4; 600; 600; 1200 + crossings: from page 0, offset 4: the element at offset 4092 crosses (1);
 *                           to page 4, offset 0: none
 *   cmpsb: 5000 equal ones  4; 10000; 0; 10000
 *   scasb: the 101st byte   5; 101; 0; 101       page 2 holds 0x5a but for the zero put at offset 100: 1 more store
 *   rep with count zero     2; 0; 0; 0
 *   lodsb x 3 by loop       2 + 3 x 2; 3; 0; 3
 *   exit                    3
 * Sums: 4+4+4+4+5+2+8+3 = 34; 15704 loads, 6601 stores, 22305 accesses and 1 crossing.
 *
 * EXPECT instructions=34 loads=15704 stores=6601 page_crossings=1
 */
	.globl _start
	.text
	.balign 4096
_start:
	lea	buf(%rip), %rdi
	movabs	$0x5a5a5a5a5a5a5a5a, %rax
	mov	$1000, %ecx
	rep stosq

	lea	buf+10(%rip), %rsi
	lea	buf+8192(%rip), %rdi
	mov	$5000, %ecx
	rep movsb

	lea	buf+4(%rip), %rsi
	lea	buf+16384(%rip), %rdi
	mov	$600, %ecx
	rep movsq

	lea	buf+10(%rip), %rsi
	lea	buf+8192(%rip), %rdi
	mov	$5000, %ecx
	repe cmpsb

	movb	$0, buf+8192+100(%rip)
	lea	buf+8192(%rip), %rdi
	mov	$4000, %ecx
	xor	%eax, %eax
	repne scasb

	xor	%ecx, %ecx
	rep movsb

	lea	buf(%rip), %rsi
	mov	$3, %ecx
1:	lodsb
	loop	1b

	mov	$231, %eax
	xor	%edi, %edi
	syscall

	.bss
	.balign 4096
buf:	.skip	8 * 4096
	.section .note.GNU-stack, "", @progbits
