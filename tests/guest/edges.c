/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/edges.c: what long runs of tests/mapping found once, by hand: the last page of a file that grows, stacks under a limit of the
 * address space, regions that merge as they move, buffers that are not to be touched. Guards R16, R20.
 */
#include "cases.h"

#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define AT ((char *)0x8000000000ul)

/* --- the end of a file in its last page --------------------------------------------------------------------------- */

#define END 0x123

/* The runs of equal bytes in [p, p + n). */
static void say_runs(const char *what, const unsigned char *p, unsigned n)
{
	printf("%s", what);
	for (unsigned i = 0, from = 0; i < n; i++)
		if (i + 1 == n || p[i + 1] != p[i]) {
			printf(" %x:%02x", from, p[i]);
			from = i + 1;
		}
	printf("\n");
}

static void grow(int fd, unsigned how, const unsigned char *bytes)
{
	char name[32];
	off_t from = 0;

	switch (how) {
	case 0:
		check(pwrite(fd, bytes, 16, 0x200) == 16, "pwrite");
		break;
	case 1: /* leaves a hole that begins in the page */
		check(pwrite(fd, bytes, 16, 2 * PAGE) == 16, "pwrite");
		break;
	case 2:
		check(ftruncate(fd, 2 * PAGE) == 0, "ftruncate");
		break;
	case 3:
		check(fallocate(fd, 0, 0, 2 * PAGE) == 0, "fallocate");
		break;
	case 4:
		snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
		check(truncate(name, 0x200) == 0, "truncate");
		break;
	default:
		check(lseek(fd, 0x200, SEEK_SET) == 0x200, "lseek");
		check(sendfile(fd, fd, &from, 8) == 8, "sendfile");
	}
}

/*
 * Stores behind the end are no part of the file: when it grows over them a file on a disk reads as zero there, one in memory has them. What lies
 * behind the new end is the file system's own affair.
 */
static void tails(int (*make)(void))
{
	for (unsigned how = 0; how < 6; how++) {
		unsigned char bytes[PAGE], again[PAGE];
		int fd = make();
		struct stat st;
		unsigned char *p;

		memset(bytes, 'a', sizeof bytes);
		check(fd >= 0 && write(fd, bytes, END) == END, "write");
		p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		check(p != MAP_FAILED, "mmap");
		memset(p + 0x100, 'Z', PAGE - 0x100);
		check(read(fd, bytes, 1) == 0, "read at the end");
		memset(bytes, 'b', sizeof bytes);
		grow(fd, how, bytes);
		check(fstat(fd, &st) == 0, "fstat");
		unsigned n = (unsigned)(st.st_size < (off_t)PAGE ? st.st_size : (off_t)PAGE);
		printf("%u, %ld bytes", how, (long)st.st_size);
		say_runs(":", p, n);
		check(pread(fd, again, n, 0) == (ssize_t)n && memcmp(again, p, n) == 0,
			"the file is what is mapped");
		munmap(p, 2 * PAGE);
		check(pread(fd, again, n, 0) == (ssize_t)n, "pread");
		say_runs("  then", again, n);
		close(fd);
	}
}

static int on_disk(void)
{
	char name[64];
	int fd = temporary_file(name, sizeof name);

	unlink(name);
	return fd;
}

static int in_memory(void)
{
	return memfd_create("tail", 0);
}

static void case_tails(void)
{
	int fd = on_disk();
	unsigned char *p;

	printf("on a disk\n");
	tails(on_disk);
	printf("in memory\n");
	tails(in_memory);
	check(write(fd, "abc", 3) == 3, "write");
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(p != MAP_FAILED, "mmap");
	p[100] = 'x';
	check(pread(fd, p, 0, 0) == 0 && p[100] == 'x', "a read changes nothing");
	say_call("msync", msync(p, PAGE, MS_SYNC));
	printf("behind the end after it: %d\n", p[100]);
	close(fd);
}

/* --- the address space's limit ------------------------------------------------------------------------------------ */

static sigjmp_buf back;
static volatile sig_atomic_t code;

static void on_fault(int sig, siginfo_t *i, void *context)
{
	(void)sig;
	(void)context;
	code = i->si_code;
	siglongjmp(back, 1);
}

/* A stack grows by itself, so the limit that was set last holds, though no call has asked for memory since. */
static void case_stack_limit(void)
{
	struct rlimit old, now;
	volatile char *stack = mmap(AT, 4 * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);

	check(stack == AT, "mmap");
	handle(SIGSEGV, on_fault, SA_NODEFER);
	check(getrlimit(RLIMIT_AS, &old) == 0, "getrlimit");
	now = (struct rlimit){PAGE, old.rlim_max};
	check(setrlimit(RLIMIT_AS, &now) == 0, "setrlimit");
	code = 0;
	if (sigsetjmp(back, 1) == 0)
		stack[-1] = 1;
	printf("with the limit: code %d\n", code);
	check(setrlimit(RLIMIT_AS, &old) == 0, "setrlimit");
	code = 0;
	if (sigsetjmp(back, 1) == 0)
		stack[-1] = 1;
	printf("without: code %d\n", code);
	munmap(AT - PAGE, 5 * PAGE);
}

/* --- regions ------------------------------------------------------------------------------------------------------ */

/* The lines of maps from AT on, up to AT + 64 pages. */
static void say_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[512], rights[5];

	check(f != NULL, "maps");
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3 &&
			from >= (unsigned long)AT && to <= (unsigned long)AT + 64 * PAGE)
			printf("  %lx-%lx %s\n", (from - (unsigned long)AT) / PAGE,
				(to - (unsigned long)AT) / PAGE, rights);
	fclose(f);
}

/* What mremap leaves behind is unlocked after what it moved has merged: with the region that it was moved from, here. */
static void case_dontunmap(void)
{
	for (int touch = 0; touch < 2; touch++) {
		char *p = mmap(AT, 8 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_FIXED_NOREPLACE, -1, 0);

		check(p == AT, "mmap");
		if (!touch) { /* locked, but without pages of its own */
			munmap(p, 8 * PAGE);
			p = mmap(AT, 8 * PAGE, PROT_READ,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_FIXED_NOREPLACE, -1,
				0);
			check(p == AT, "mmap");
		}
		p = mremap(AT + 5 * PAGE, 3 * PAGE, 3 * PAGE,
			MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, AT + 8 * PAGE);
		check(p == AT + 8 * PAGE, "mremap");
		printf("%s\n", touch ? "written" : "not written");
		say_maps();
		munmap(AT, 16 * PAGE);
	}
}

static void case_zero(void)
{
	int fd = open("/dev/zero", O_RDWR);
	char *file = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), *none = map_anon(PAGE, 3);

	check(fd >= 0 && file != MAP_FAILED, "zero");
	say_call("a hole in private /dev/zero", madvise(file, PAGE, MADV_REMOVE));
	say_call("in private memory", madvise(none, PAGE, MADV_REMOVE));
	close(fd);
}

static int unmaps_all(void *unused)
{
	(void)unused;
	for (size_t len = SIZE_MAX / 2 + 1 - PAGE; len > PAGE;
		len >>= 1) /* from 0 on, where nothing can be */
		munmap(NULL, len);
	return 7;
}

static void case_unmap_all(void)
{
	reap("who unmaps all", child(unmaps_all, NULL));
	say_call("below all", munmap(NULL, PAGE));
	say_call("nothing", munmap(NULL, 0));
	say_call("beyond all", munmap(NULL, SIZE_MAX - PAGE));
}

/* --- buffers ------------------------------------------------------------------------------------------------------ */

/* What a seal forbids is refused before the buffer is looked at: a stack below it does not grow. Before Linux 6.16 it did. */
static void case_seal(void)
{
	static const int seals[] = {F_SEAL_WRITE, F_SEAL_FUTURE_WRITE, F_SEAL_GROW};
	unsigned major = 0, minor = 0;
	struct utsname u;

	check(uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2, "uname");
	if (major * 100 + minor < 616)
		return;

	for (unsigned i = 0; i < 3; i++) {
		int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
		char *stack = mmap(AT + 8 * PAGE, PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);

		check(fd >= 0 && stack == AT + 8 * PAGE && ftruncate(fd, PAGE) == 0, "file");
		check(fcntl(fd, F_ADD_SEALS, seals[i]) == 0, "F_ADD_SEALS");
		say_call("behind the end", pwrite(fd, stack - PAGE, 10, PAGE));
		say_maps();
		say_call("within", pwrite(fd, stack - PAGE, 10, 0));
		say_maps();
		munmap(AT, 16 * PAGE);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"tails", case_tails},
		{"stack_limit", case_stack_limit}, {"dontunmap", case_dontunmap},
		{"zero", case_zero}, {"unmap_all", case_unmap_all}, {"seal", case_seal},
		{NULL, NULL}};

	return run_cases(cases, argc, argv);
}
