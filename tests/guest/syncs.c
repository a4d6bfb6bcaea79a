/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/syncs.c: every call that brings a mapped file to its disk, each after a store that only it can bring there. tests/programs/sync.py
 * looks from outside at what reached the host, and in which order. R20.
 */
#include "guest.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	int fd = open(argc > 1 ? argv[1] : "synced", O_RDWR | O_CREAT | O_TRUNC, 0600);
	check(fd >= 0 && ftruncate(fd, 8 * PAGE) == 0, "open");
	char *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(p != MAP_FAILED, "mmap");
	p[0] = 'a';
	check(msync(p, PAGE, MS_SYNC) == 0, "msync");
	p[PAGE] = 'b';
	check(fsync(fd) == 0, "fsync");
	p[2 * PAGE] = 'c';
	check(fdatasync(fd) == 0, "fdatasync");
	p[3 * PAGE] = 'd';
	check(sync_file_range(fd, 3 * PAGE, PAGE, SYNC_FILE_RANGE_WRITE) == 0, "sync_file_range");
	p[4 * PAGE] = 'e';
	sync();
	p[5 * PAGE] = 'f';
	check(syncfs(fd) == 0, "syncfs");
	p[6 * PAGE] = 'g';
	check(msync(p, 8 * PAGE, MS_ASYNC) == 0, "msync, later");
	puts("synced");
	return 0;
}
