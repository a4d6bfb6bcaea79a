/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/smc.c: code that is changed: in the loop that runs it, in the same block, from another page, by
 * a system call, by a mapping put over it. x86 sees new code at the next branch; a store to the next
 * instruction is seen as well.
 */
#include "guest.h"

#include <fcntl.h>

typedef unsigned (*fn)(void);

/* mov eax, value; ret */
static void emit(uint8_t *p, unsigned value)
{
	p[0] = 0xb8;
	memcpy(p + 1, &value, 4);
	p[5] = 0xc3;
}

int main(void)
{
	uint8_t *code = map_anon(4 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	unsigned long sum = 0;

	for (unsigned i = 0; i < 2000; i++) { /* again and again, hot */
		emit(code, i * 3);
		sum = sum * 5 + ((fn)code)();
	}
	printf("rewritten: %lx\n", sum);

	/* across a page boundary, only the second page's bytes change */
	uint8_t *edge = code + PAGE - 3;
	emit(edge, 1);
	sum = ((fn)edge)();
	for (unsigned i = 0; i < 100; i++) {
		edge[4] = (uint8_t)i;
		sum = sum * 5 + ((fn)edge)();
	}
	printf("across pages: %lx\n", sum);

	/* mov dword [rip + 0], new ; mov eax, old ; ret: the store hits the very next instruction */
	uint8_t next[] = {0xc7, 0x05, 1, 0, 0, 0, 0x78, 0x56, 0x34, 0x12, 0xb8, 1, 1, 1, 1, 0xc3};
	memcpy(code + 256, next, sizeof next);
	printf("next instruction: %x\n", ((fn)(code + 256))());
	printf("again: %x\n", ((fn)(code + 256))());

	/* a loop that counts its own immediate up: add dword [rip - x], 1 ... */
	uint8_t loop[] = {0xb9, 10, 0, 0, 0,           /* mov ecx, 10 */
		0x31, 0xc0,                            /* xor eax, eax */
		0x05, 1, 0, 0, 0,                      /* add eax, 1  <- immediate at 8 */
		0x83, 0x05, 0xf5, 0xff, 0xff, 0xff, 1, /* add dword [rip - 11], 1: the immediate */
		0xff, 0xc9,                            /* dec ecx */
		0x75, 0xf0,                            /* jnz to the add */
		0xc3};
	memcpy(code + 512, loop, sizeof loop);
	printf("own loop: %u\n", ((fn)(code + 512))());

	/* changed by the kernel: read(2) into code */
	int p[2];
	uint8_t body[6];
	emit(code + 1024, 7);
	printf("before read: %u\n", ((fn)(code + 1024))());
	emit(body, 42);
	check(pipe(p) == 0 && write(p[1], body, 6) == 6 && read(p[0], code + 1024, 6) == 6, "pipe");
	printf("after read: %u\n", ((fn)(code + 1024))());

	/* a new mapping at the same place */
	emit(code + 2 * PAGE, 1);
	printf("old page: %u\n", ((fn)(code + 2 * PAGE))());
	check(mmap(code + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED,
		"mmap");
	emit(code + 2 * PAGE, 2);
	check(mprotect(code + 2 * PAGE, PAGE, PROT_READ | PROT_EXEC) == 0, "mprotect");
	printf("new page: %u\n", ((fn)(code + 2 * PAGE))());

	/* one page of code at two addresses: written through the one, run through the other */
	int fd = memfd_create("code", 0);
	check(fd >= 0 && ftruncate(fd, PAGE) == 0, "memfd");
	uint8_t *w = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint8_t *x = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	check(w != MAP_FAILED && x != MAP_FAILED, "mmap");
	sum = 0;
	for (unsigned i = 0; i < 300; i++) {
		emit(w, i);
		sum = sum * 7 + ((fn)x)();
	}
	printf("two mappings: %lx\n", sum);
	return 0;
}
