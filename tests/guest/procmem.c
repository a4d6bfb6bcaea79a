/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/procmem.c: /proc/PID/mem: one's own and another's memory as a file, beyond the rights of its mappings. Guards R10, R21.
 */
#include "cases.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static const char constant[PAGE] __attribute__((aligned(PAGE))) = "constant";

__attribute__((noinline, aligned(64))) static int gives_one(void)
{
	int r;

	__asm__ volatile("movl $1, %0" : "=r"(r));
	return r;
}

static int open_memory(pid_t p, int flags)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/mem", p);
	return open(path, flags);
}

static void at(const char *what, int fd, void *p, size_t n)
{
	char text[32] = "";
	ssize_t r = pread(fd, text, n, (off_t)(uintptr_t)p);

	if (r < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %zd \"%.*s\"\n", what, r, (int)r, text);
	fflush(stdout);
}

static int sees_constant(void *arg)
{
	printf("child has %s\n", constant);
	await(arg);
	printf("and still %s\n", constant);
	return 0;
}

static void case_own(void)
{
	int fd = open("/proc/self/mem", O_RDWR), only = open("/proc/self/mem", O_RDONLY),
	    file = memfd_create("file", 0);
	char *p = map_anon(4 * PAGE, PROT_READ | PROT_WRITE), *shared, *private;
	struct iovec v[2] = {{(char[4]){0}, 4}, {(char[8]){0}, 8}};
	struct gate g = gate_open();
	unsigned char code[16], *f = (unsigned char *)(uintptr_t)gives_one;
	pid_t c;

	check(fd >= 0 && only >= 0, "open");
	strcpy(p, "readable");
	at("read", fd, p, 8);
	say_call("write", pwrite(fd, "written", 8, (off_t)(uintptr_t)p));
	printf("%s\n", p);
	say_call("not for writing", pwrite(only, "x", 1, (off_t)(uintptr_t)p));
	/* a page that may only be read */
	c = child(sees_constant, &g);
	say_call("constant", pwrite(fd, "changed!", 8, (off_t)(uintptr_t)constant));
	printf("%s\n", *(const char *volatile *)&(const char *){constant});
	let(&g);
	reap("child", c);
	/* one that has no rights at all */
	mprotect(p + PAGE, 2 * PAGE, PROT_NONE);
	say_call("no rights, write", pwrite(fd, "in the dark", 11, (off_t)(uintptr_t)(p + PAGE)));
	at("no rights, read", fd, p + PAGE, 11);
	at("no rights, never touched", fd, p + 2 * PAGE, 4);
	mprotect(p + PAGE, PAGE, PROT_READ);
	printf("%s\n", p + PAGE);
	at("across pages", fd, p + PAGE - 1, 4);
	/* files */
	check(write(file, "of the file", 11) == 11, "write");
	shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
	private = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
	say_call("shared, may only be read", pwrite(fd, "x", 1, (off_t)(uintptr_t)shared));
	say_call("private", pwrite(fd, "my", 2, (off_t)(uintptr_t) private));
	printf("%s, %s\n", shared, private);
	/* nothing there */
	munmap(p + 3 * PAGE, PAGE);
	at("not mapped", fd, p + 3 * PAGE, 4);
	at("in part", fd, p + 3 * PAGE - 2, 4);
	say_call("write where nothing is", pwrite(fd, "x", 1, (off_t)(uintptr_t)(p + 3 * PAGE)));
	at("at 0", fd, NULL, 4);
	say_call("to a bad address", syscall(SYS_pread64, fd, 16, 4, p));
	/* position and vectors */
	say_call("seek", lseek(fd, (off_t)(uintptr_t)p, SEEK_SET) == (off_t)(uintptr_t)p ? 0 : -1);
	say_call("read vectors", readv(fd, v, 2));
	printf("%.4s %.3s\n", (char *)v[0].iov_base, (char *)v[1].iov_base);
	printf("moved on by %ld\n", (long)(lseek(fd, 0, SEEK_CUR) - (off_t)(uintptr_t)p));
	/* code */
	printf("one %d\n", gives_one());
	check(pread(fd, code, sizeof code, (off_t)(uintptr_t)f) == (ssize_t)sizeof code, "pread");
	for (unsigned i = 0; i + 4 < sizeof code; i++)
		if (code[i] == 0xb8 && code[i + 1] == 1) {
			say_call("code", pwrite(fd, "\x2a", 1, (off_t)(uintptr_t)(f + i + 1)));
			break;
		}
	printf("now %d\n", gives_one());
}

struct other {
	struct gate ready, go;
	char *place;
};

static int is_looked_at(void *arg)
{
	struct other *o = arg;

	strcpy(o->place, "of the child");
	let(&o->ready);
	await(&o->go);
	printf("child has %s, %s\n", o->place, constant);
	fflush(stdout);
	fcntl(o->ready.fd[1], F_SETFD, FD_CLOEXEC);
	execl("/bin/sh", "sh", "-c", "exit 3", NULL);
	return 1;
}

static void case_other(void)
{
	struct other o = {gate_open(), gate_open(), map_anon(PAGE, PROT_READ | PROT_WRITE)};
	pid_t p = child(is_looked_at, &o);
	int fd = open_memory(p, O_RDWR), later;

	check(fd >= 0, "open");
	await(&o.ready);
	at("child's", fd, o.place, 12);
	printf("own \"%s\"\n", o.place);
	say_call("write", pwrite(fd, "by the parent", 14, (off_t)(uintptr_t)o.place));
	say_call("constant", pwrite(fd, "childish", 8, (off_t)(uintptr_t)constant));
	printf("own %s\n", constant);
	let(&o.go);
	reap("child", p);
	at("after exec and end", fd, o.place, 4);
	say_call("write", pwrite(fd, "x", 1, (off_t)(uintptr_t)o.place));
	later = open_memory(p, O_RDONLY);
	say_call("gone", later < 0 ? -1 : 0);
	say_call("a directory beside it", open("/proc/self/mem/x", O_RDONLY));
}

static char *arguments; /* the first of them */

/* Gives the page of its arguments to swap, far away from where its own stack is now, tells, and sleeps. */
static int sleeps_without_arguments(void *arg)
{
	volatile char far[64 * 1024];

	far[0] = 0;
	*(volatile char *)arguments = arguments[0]; /* a copy of its own */
	madvise((void *)((uintptr_t)arguments & ~(PAGE - 1)), PAGE, MADV_PAGEOUT);
	check(write(*(int *)arg, ".", 1) == 1, "write");
	pause_ms(10);
	_exit(far[0]);
}

/*
 * A process ends while another one reads its command line, which is in swap: the text is there, or is not. With a slow store the
 * reader waits for it meanwhile; tests/sanitize/run.py sees what is used after it is freed.
 */
static void case_gone(void)
{
	for (int i = 0; i < 5; i++) {
		char name[64], text[4096], told;
		int ready[2], fd;
		pid_t p;

		check(pipe(ready) == 0, "pipe");
		p = child(sleeps_without_arguments, &ready[1]);
		check(read(ready[0], &told, 1) == 1, "read");
		snprintf(name, sizeof name, "/proc/%d/cmdline", p);
		fd = open(name, O_RDONLY);
		check(fd >= 0 || errno == ENOENT, name);
		check(fd < 0 || read(fd, text, sizeof text) >= 0 || errno == ESRCH, "its text");
		close(fd);
		close(ready[0]);
		close(ready[1]);
		reap("the one that is read", p);
	}
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"own", case_own}, {"other", case_other}, {"gone", case_gone}, {NULL, NULL}};

	arguments = argv[0];
	return run_cases(cases, argc, argv);
}
