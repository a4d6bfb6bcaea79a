/* SPDX-License-Identifier: MIT */
/*
 * tests/programs/failwrites.c: preloaded into Pagoda: its writes to the file FAIL_FILE fail with EIO while the file FAIL_FLAG exists.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t pwrite(int fd, const void *data, size_t n, off_t at);
ssize_t pwrite64(int fd, const void *data, size_t n, off_t at);

static ssize_t write_or_fail(int fd, const void *data, size_t n, off_t at)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);
	const char *file = getenv("FAIL_FILE"), *flag = getenv("FAIL_FLAG");
	struct stat a, b;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "pwrite64");
	if (file != NULL && flag != NULL && access(flag, F_OK) == 0 && fstat(fd, &a) == 0 &&
		stat(file, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev) {
		errno = EIO;
		return -1;
	}
	return real(fd, data, n, at);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
	return write_or_fail(fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off_t at)
{
	return write_or_fail(fd, data, n, at);
}
