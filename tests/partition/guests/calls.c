/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/guests/calls.c: what the memory calls of Linux answer in a partition, where there is nothing to map.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

static char page[8192] __attribute__((aligned(4096)));

static void say(const char *what, long result)
{
	printf("%s: %s\n", what, result == -1 ? strerrorname_np(errno) : "0");
}

static long as_long(void *p)
{
	return p == MAP_FAILED ? -1 : 0;
}

int main(void)
{
	const int rw = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS;
	void *brk = sbrk(0);
	int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600), status;
	pid_t pid;

	say("mmap", as_long(mmap(NULL, 4096, rw, anon, -1, 0)));
	say("mmap fixed", as_long(mmap(page, 4096, rw, anon | MAP_FIXED, -1, 0)));
	say("mmap nothing", as_long(mmap(NULL, 0, rw, anon, -1, 0)));
	say("mremap", as_long(mremap(page, 4096, 8192, MREMAP_MAYMOVE)));
	say("munmap inside", munmap(page, 4096));
	say("munmap outside", munmap((void *)0x10000000, 4096));
	say("mprotect inside", mprotect(page, 4096, PROT_READ));
	page[0] = 1; /* which is allowed all the same */
	say("mprotect outside", mprotect((void *)0x10000000, 4096, PROT_READ));
	say("mlock", mlock(page, 4096));
	say("msync", msync(page, 4096, MS_SYNC));
	say("madvise free", madvise(page, 4096, MADV_FREE));
	say("madvise dontneed", madvise(page, 4096, MADV_DONTNEED));
	say("madvise guard", madvise(page, 4096, 102 /* MADV_GUARD_INSTALL */));
	say("madvise dontfork", madvise(page, 4096, MADV_DONTFORK));
	if (id >= 0) {
		say("shmat", as_long(shmat(id, NULL, 0)));
		shmctl(id, IPC_RMID, NULL);
	}
	say("sbrk far", sbrk(1l << 40) == (void *)-1 ? -1 : 0);
	say("sbrk", sbrk(4096) == (void *)-1 ? -1 : 0);
	memset(brk, 1, 4096);
	say("sbrk back", sbrk(-4096) == (void *)-1 ? -1 : 0);
	say("sbrk again", sbrk(4096) == (void *)-1 ? -1 : 0);
	printf("zero again: %d\n", *(char *)brk);
	pid = vfork();
	if (pid == 0)
		_exit(7);
	if (pid > 0 && wait(&status) == pid)
		printf("vfork: %d\n", WEXITSTATUS(status));
	return 0;
}
