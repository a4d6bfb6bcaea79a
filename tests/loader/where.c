/* SPDX-License-Identifier: MIT */
/*
 * tests/loader/where.c: a guest that says where everything of it lies, by system calls alone so that the C library's own
 * mappings do not hide the loader's. Run by compare.py under `setarch -R` and under Pagoda.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	static const int aux[] = {AT_PHDR, AT_PHENT, AT_PHNUM, AT_BASE, AT_ENTRY, AT_RANDOM,
		AT_EXECFN, AT_PLATFORM, AT_PAGESZ, AT_CLKTCK, AT_UID, AT_SECURE, AT_FLAGS,
		AT_HWCAP2};
	char out[65536];
	size_t n = 0;
	int fd = open("/proc/self/maps", O_RDONLY);
	ssize_t r;

	while ((r = read(fd, out + n, sizeof(out) - 1 - n)) > 0)
		n += (size_t)r;
	close(fd);
	out[n] = '\0';
	printf("descriptor %d\n", fd);
	printf("argc at %p argv %p %p environ %p %p\n", (void *)(argv - 1), (void *)argv, argv[0],
		(void *)environ, environ[0]);
	for (unsigned i = 0; i < sizeof(aux) / sizeof(aux[0]); i++)
		printf("aux %d %lx\n", aux[i], getauxval((unsigned long)aux[i]));
	printf("main %p break %p\n", (void *)main, sbrk(0));
	printf("mapped %p\n", mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	fputs(out, stdout);
	return argc > 5;
}
