/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/unshare.c: writes after a fork of which it is known how many pages they copy. tests/mapping/unshared.py compares the report with the
 * names and numbers here; natively and here the program says what smaps has of its region. Guards R10.
 *
 * Of PAGES pages the child writes the first CHILD and, by a system call, the next READ. The parent writes, while the child lives, DURING pages that the
 * child has not written: copied; then the first CHILD: the child has its own by then, nothing to copy. After the child's end it writes the rest.
 */
#include "cases.h"

#include <stdbool.h>

#define PAGES 64
#define CHILD 20
#define READ 3
#define DURING 10

#define WRITER(name)                                                                               \
	__attribute__((noinline)) void name(volatile char *p, unsigned first, unsigned n);         \
	void name(volatile char *p, unsigned first, unsigned n)                                    \
	{                                                                                          \
		for (unsigned i = first; i < first + n; i++)                                       \
			p[i * PAGE] = 2;                                                           \
	}

WRITER(child_writes)
WRITER(parent_during)
WRITER(parent_own)
WRITER(parent_after)

static void say_dirty(const char *who, const char *p)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512], start[32];
	bool in = false;
	long n;

	check(f != NULL, "smaps");
	snprintf(start, sizeof start, "%lx-", (unsigned long)p);
	while (fgets(line, sizeof line, f)) {
		if (strchr(line, '-') && strchr(line, ':') > strchr(line, '-'))
			in = strncmp(line, start, strlen(start)) == 0;
		if (in && (sscanf(line, "Private_Dirty: %ld", &n) == 1 ||
				  sscanf(line, "Shared_Dirty: %ld", &n) == 1))
			printf("%s %.13s %ld\n", who, line, n);
	}
	fclose(f);
	fflush(stdout);
}

int main(void)
{
	char *p = mmap((void *)0x8000000000ul, PAGES * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	struct gate written = gate_open(), end = gate_open(), data = gate_open();
	pid_t pid;

	check(p != MAP_FAILED, "mmap");
	madvise(p, PAGES * PAGE, MADV_NOHUGEPAGE);
	memset(p, 1, PAGES * PAGE);
	check(write(data.fd[1], p, READ * PAGE) == READ * PAGE, "write");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		child_writes(p, 0, CHILD);
		check(read(data.fd[0], p + CHILD * PAGE, READ * PAGE) == READ * PAGE, "read");
		say_dirty("child", p);
		let(&written);
		await(&end);
		_exit(0);
	}
	await(&written);
	parent_during(p, CHILD + READ, DURING);
	parent_own(p, 0, CHILD);
	say_dirty("parent", p);
	let(&end);
	reap("child", pid);
	parent_after(p, CHILD + READ + DURING, PAGES - CHILD - READ - DURING);
	say_dirty("parent alone", p);
	return 0;
}
