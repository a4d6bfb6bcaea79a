/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/mapfile.c: file mappings, private and shared: copy-on-write, visibility among mappings and with read
 * and write on the same file. R20, R10.
 */
#include "guest.h"

int main(void)
{
	char name[64], buf[32] = "";
	int fd = temporary_file(name, sizeof name);
	for (unsigned i = 0; i < 5 * PAGE / 16; i++) {
		snprintf(buf, sizeof buf, "line %08x\n", i);
		check(write(fd, buf, 16) == 16, "write");
	}
	char *shared = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *private = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	char *second = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 2 * PAGE);
	check(shared != MAP_FAILED && private != MAP_FAILED && second != MAP_FAILED, "mmap");
	printf("%.13s %.13s %.13s\n", shared + 16, private + PAGE, second);

	memcpy(private + 2 * PAGE, "PRIVATE", 7); /* a copy: nobody else sees it */
	printf("%.13s %.13s %.13s\n", shared + 2 * PAGE, private + 2 * PAGE, second);
	memcpy(shared + 2 * PAGE, "SHARED!", 7); /* all shared ones see it; the copy does not */
	printf("%.13s %.13s %.13s\n", shared + 2 * PAGE, private + 2 * PAGE, second);
	check(pread(fd, buf, 13, 2 * PAGE) == 13, "pread"); /* read sees the mapping's store */
	printf("read: %.13s\n", buf);
	check(pwrite(fd, "WRITTEN", 7, 3 * PAGE) == 7, "pwrite"); /* and mappings see write */
	printf("%.13s %.13s\n", shared + 3 * PAGE, private + 3 * PAGE);
	check(pwrite(fd, "AGAIN", 5, 2 * PAGE) == 5, "pwrite");
	printf("%.13s %.13s %.13s\n", shared + 2 * PAGE, private + 2 * PAGE, second);
	check(msync(shared, 5 * PAGE, MS_SYNC) == 0, "msync");
	check(munmap(shared, 5 * PAGE) == 0, "munmap");
	check(close(fd) == 0, "close");
	printf("after close: %.13s %.13s\n", private + 4 * PAGE, second);

	fd = open(name, O_RDONLY);
	check(fd >= 0 && unlink(name) == 0, "open");
	check(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED,
		"write to read-only file");
	uint64_t sum = 0;
	char page[PAGE];
	while (read(fd, page, PAGE) == (ssize_t)PAGE)
		for (unsigned i = 0; i < PAGE; i++)
			sum = sum * 31 + (uint8_t)page[i];
	printf("file %016lx\n", sum);
	return 0;
}
