/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/fulldisk.c: stores into holes of a mapped file until the disk is full.
 *
 *   fulldisk FILE PAGES
 *
 * Prints which pages were SIGBUS, how many blocks the file has, and that all else is there; then makes room and goes on. R20.
 */
#include "guest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sys/stat.h>

static sigjmp_buf back;

static void on_bus(int n)
{
	siglongjmp(back, 1);
}

static int stored(volatile char *p, char v)
{
	if (sigsetjmp(back, 1))
		return 0;
	*p = v;
	return 1;
}

static int loaded(volatile char *p)
{
	if (sigsetjmp(back, 1))
		return -1;
	return *p;
}

int main(int argc, char **argv)
{
	int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600), n = atoi(argv[2]);
	int fine = 0, first = -1, lost = 0;
	struct stat st;
	char *p, c;

	check(fd >= 0 && ftruncate(fd, (off_t)n * PAGE) == 0, "open");
	p = mmap(NULL, (size_t)n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(p != MAP_FAILED, "mmap");
	signal(SIGBUS, on_bus);
	for (int i = 0; i < n; i++)
		if (stored(p + (size_t)i * PAGE, (char)(i + 1)))
			fine++;
		else if (first < 0)
			first = i;
	printf("%d stores, the first SIGBUS at %d\n", fine, first);
	printf("fsync %d, msync %d\n", fsync(fd), msync(p, (size_t)n * PAGE, MS_SYNC));
	for (int i = 0; i < fine; i++)
		lost += pread(fd, &c, 1, (off_t)i * PAGE) != 1 || c != (char)(i + 1);
	check(fstat(fd, &st) == 0, "fstat");
	printf("%d lost, %ld blocks\n", lost, (long)st.st_blocks / 8);
	printf("a load from a hole: %d\n", loaded(p + (size_t)(n - 1) * PAGE));
	check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * PAGE) == 0, "punch");
	printf("with room for two: ");
	for (int i = 0; i < 3; i++)
		printf("%d ", stored(p + (size_t)(n - 1 - i) * PAGE, 'x'));
	printf("\nfsync %d\n", fsync(fd));
	return 0;
}
