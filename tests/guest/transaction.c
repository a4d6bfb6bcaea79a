/* SPDX-License-Identifier: MIT */
/* tests/guest/transaction.c: xbegin, which the guest's CPUID does not offer: SIGILL, also on a host that has it. */
#include <stdio.h>

int main(void)
{
	__asm__ volatile("mov $-1, %%eax\n\t"
			 ".byte 0xc7, 0xf8\n\t.long 2f - 1f\n" /* xbegin 2f */
			 "1:\n\tnop\n"
			 "2:" ::
				 : "eax", "memory");
	puts("not reached");
	return 0;
}
