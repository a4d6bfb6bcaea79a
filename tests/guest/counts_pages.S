/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/counts_pages.S: demand zero, page by page. R11, R17, R21.
 *
 * A bss of 24 pages. Pages 0..9 are read (10 zero-page reads); of these 0..4 are then written (5 frames); pages 10..16 are
 * written at once (7 frames); pages 17..23 are never touched. So 12 frames of bss, 10 faults by the zero page, 12 by zero fill.
 * By hand: 2 + 10 x 4, 2 + 5 x 4, 2 + 7 x 4, 3: 2+40+2+20+2+28+3 = 97 instructions; 10 loads; 12 stores.
 * Lookups: 22, and each of 22 faults repeats one: 44.
 * Fetch runs: 1 + 9 + 4 + 6 taken jumps, and the first repeated after its fault: 21.
 * One more zero fill is the stack's page, which exec writes the arguments to.
 *
 * EXPECT instructions=97 loads=10 stores=12 page_crossings=0 zero_read=10 zero_fill=13 data_lookups=44 fetch_lookups=21
 */
	.globl _start
	.text
	.balign 4096
_start:
	lea	buf(%rip), %rbx
	mov	$10, %ecx
1:	movb	(%rbx), %al
	add	$4096, %rbx
	dec	%ecx
	jnz	1b
	lea	buf(%rip), %rdx
	mov	$5, %ecx
2:	movb	$1, 17(%rdx)
	add	$4096, %rdx
	dec	%ecx
	jnz	2b
	lea	buf+40960(%rip), %rdx
	mov	$7, %ecx
3:	movq	$1, 4088(%rdx)
	add	$4096, %rdx
	dec	%ecx
	jnz	3b
	mov	$231, %eax
	xor	%edi, %edi
	syscall

	.bss
	.balign 4096
buf:	.skip	24 * 4096
	.section .note.GNU-stack, "", @progbits
