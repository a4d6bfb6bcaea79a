/* SPDX-License-Identifier: MIT */
/*
 * tests/cpu/guest.S: guest code of side.h: page 0, then page 1 in two versions that are put at the same address of two
 * spaces. All of it is reached by relative jumps, so that it may lie anywhere.
 *
 * In: rdi rounds, rbx a word of data, r8 the address of page 1's function. Out: rax, what the rounds added up to.
 * A round adds 1 to the word; compares its low byte with 100 and jumps to page 1 with the flags; calls the function.
 */
	.section .rodata
	.balign 4096
	.global guest_page0, guest_page1_flags, guest_page1_none
guest_page0:
	xor %eax, %eax
	mov $1, %ecx
round:
	mov (%rbx), %rdx
	add $1, %rdx
	mov %rdx, (%rbx)
	cmp $100, %dl
	jmp page1
back:
	call *%r8
	add %rcx, %rax
	dec %rdi
	jnz round
	syscall

/* Adds what the flags say. */
	.org guest_page0 + 4096
guest_page1_flags:
page1:
	adc $0, %rax
	setb %dl
	seto %ch
	jmp back
	.org guest_page0 + 4096 + 0x100
	mov $2, %ecx
	ret

/* The same addresses, other bytes: does not want the flags. */
	.org guest_page0 + 2 * 4096
guest_page1_none:
	xor %edx, %edx
	add $7, %rax
	jmp back + 4096
	.org guest_page0 + 2 * 4096 + 0x100
	push %rdi
	mov $5, %ecx
	pop %rdi
	ret
	.org guest_page0 + 3 * 4096
	.section .note.GNU-stack, "", @progbits
