/* SPDX-License-Identifier: MIT */
/*
 * tests/mapping/files.c: the files of a sequence, and the steps that change them.
 *
 * file0 and file2 are memory files, file2 without a written page; file1 and file3 lie in a directory. The last page of file0 and
 * file1 is written in part.
 */
#include "mapping.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t inode[FILES];
static char path[2][256];
static unsigned char bytes[64 * PAGE];

static bool fill(int fd, unsigned number, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)(i / PAGE * 5 + i + number * 64);
	return pwrite(fd, bytes, n, 0) == (ssize_t)n;
}

bool files_open(const char *directory)
{
	static const unsigned size[FILES] = {14 * PAGE + 100, 9 * PAGE + 2000, 20 * PAGE, 6 * PAGE};
	struct stat st;

	for (int i = 0; i < 2; i++)
		snprintf(path[i], sizeof path[i], "%s/file%d", directory, i * 2 + 1);
	w.fd[0] = memfd_create("file0", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	w.fd[1] = open(path[0], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	w.fd[2] = memfd_create("file2", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	w.fd[3] = open(path[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	w.fd_read_only = open(path[1], O_RDONLY | O_CLOEXEC);
	w.scratch = memfd_create("scratch", MFD_CLOEXEC);
	w.zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	for (unsigned i = 0; i < FILES; i++) {
		if (w.fd[i] < 0 || fstat(w.fd[i], &st) != 0)
			return false;
		inode[i] = st.st_ino;
		if (i == 2 ? ftruncate(w.fd[i], size[i]) != 0 : !fill(w.fd[i], i, size[i]))
			return false;
	}
	return w.fd_read_only >= 0 && w.scratch >= 0 && w.zero >= 0 &&
	       pipe2(w.pipe, O_CLOEXEC) == 0 && fcntl(w.pipe[0], F_SETFL, O_NONBLOCK) == 0;
}

void files_close(void)
{
	for (int i = 0; i < FILES; i++)
		close(w.fd[i]);
	close(w.fd_read_only);
	close(w.scratch);
	close(w.zero);
	close(w.pipe[0]);
	close(w.pipe[1]);
	unlink(path[0]);
	unlink(path[1]);
}

int file_of(uint64_t number)
{
	for (int i = 0; i < FILES; i++)
		if (inode[i] == number)
			return i;
	return -3;
}

void step_truncate(void)
{
	uint64_t n = chance(70) ? below(FILE_PAGES) * PAGE : below(FILE_PAGES * PAGE);
	unsigned f = (unsigned)below(FILES);

	say("ftruncate file%u %#lx", f, n);
	/* a file system with large folios takes away more entries than it must */
	*w.stale |= f % 2 == 1;
	say_result(call(SYS_ftruncate, (uint64_t)w.fd[f], n, 0, 0, 0, 0));
}

void step_hole(void)
{
	static const int modes[] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE, 0,
		FALLOC_FL_ZERO_RANGE, FALLOC_FL_PUNCH_HOLE};
	int mode = modes[below(sizeof modes / sizeof *modes)];
	uint64_t at = below(FILE_PAGES) * PAGE, n = (1 + below(8)) * PAGE;
	unsigned f = (unsigned)below(FILES);

	if (chance(30)) {
		at += below(PAGE);
		n = 1 + below(3 * PAGE);
	}
	say("fallocate file%u mode %d %#lx %#lx", f, mode, at, n);
	*w.stale |= f % 2 == 1 || !has(PART_REMOVE);
	say_result(call(SYS_fallocate, (uint64_t)w.fd[f], (uint64_t)mode, at, n, 0, 0));
}

/* Whether [a, a + n) holds a mapping of file f. What a copy of overlapping bytes gives is not defined. */
static bool maps_file(uint64_t a, uint64_t n, unsigned f)
{
	static struct region r[600];
	unsigned count = regions(r, 600);

	for (unsigned i = 0; i < count; i++)
		if (r[i].start < a + n && r[i].end > a && r[i].file == (int)f)
			return true;
	return false;
}

/* From this program's own memory, or from the arena. */
void step_file_write(void)
{
	uint64_t n = 1 + below(3 * PAGE), at = below(FILE_PAGES * PAGE), from = (uintptr_t)bytes;
	unsigned f = (unsigned)below(FILES), x = (unsigned)below(256);
	struct stat size;

	if (has(PART_SYSCALL) && chance(30)) {
		struct stat st;

		from = some_address();
		if (fstat(w.fd[f], &st) ==
			0) /* some file systems grow a file even if nothing could be written */
			at %= (uint64_t)st.st_size + 1;
		if (maps_file(from, n, f))
			from = (uintptr_t)bytes;
	}
	for (uint64_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)(x + i * 3);
	/* behind the end of a disk's file: a hole between, whose pages are in memory only if they are read ahead */
	*w.stale |= f % 2 == 1 && fstat(w.fd[f], &size) == 0 && at > (uint64_t)size.st_size;
	say("write file%u %#lx %#lx from %s %x", f, at, n,
		from == (uintptr_t)bytes ? "here" : where(from), x);
	say_result(call(SYS_pwrite64, (uint64_t)w.fd[f], from, n, at, 0, 0));
}

void step_file_read(void)
{
	uint64_t n = 1 + below(4 * PAGE), at = below(FILE_PAGES * PAGE), to = (uintptr_t)bytes;
	unsigned f = (unsigned)below(FILES);
	int64_t r;

	if (has(PART_SYSCALL) && chance(30)) {
		struct stat st;

		to = some_address();
		if (!has(PART_SHORT) && fstat(w.fd[f], &st) == 0) {
			at %= (uint64_t)st.st_size / 2 + 1;
			n = n < (uint64_t)st.st_size - at ? n : (uint64_t)st.st_size - at;
		}
		if (maps_file(to, n, f))
			to = (uintptr_t)bytes;
	}
	say("read file%u %#lx %#lx to %s", f, at, n, to == (uintptr_t)bytes ? "here" : where(to));
	r = call(SYS_pread64, (uint64_t)w.fd[f], to, n, at, 0, 0);
	say_result(r);
	if (to == (uintptr_t)bytes && r > 0)
		say(" %lx", hash(HASH, bytes, (size_t)r));
}

void step_seal(void)
{
	unsigned f = (unsigned)below(2) * 2, seal = 1u << below(5);

	say("seal file%u %x", f, seal);
	say_result(call(SYS_fcntl, (uint64_t)w.fd[f], F_ADD_SEALS, seal, 0, 0, 0));
	say_result(call(SYS_fcntl, (uint64_t)w.fd[f], F_GET_SEALS, 0, 0, 0, 0));
}

void say_files(void)
{
	if (!has(PART_FILE))
		return;
	for (int i = 0; i < FILES; i++) {
		uint64_t h = HASH;
		int64_t r;

		for (uint64_t at = 0;; at += (uint64_t)r) {
			r = pread(w.fd[i], bytes, sizeof bytes, (off_t)at);
			if (r <= 0)
				break;
			h = hash(h, bytes, (size_t)r);
		}
		say("\n  file%d %ld bytes %lx", i, (long)lseek(w.fd[i], 0, SEEK_END), h);
	}
}
