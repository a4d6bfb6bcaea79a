/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/forks.c: fork, vfork, clone and exec: who sees which bytes afterwards. Guards R5, R10, R16, R20.
 */
#include "cases.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define MANY 64

static uint8_t global[3 * PAGE] = {1};

/* Writes n random bytes of a region that parent and children began with alike. */
static void scribble(uint8_t *p, size_t bytes, uint64_t seed, int n)
{
	for (int i = 0; i < n; i++) {
		uint64_t r = mix(&seed);

		p[r % bytes] = (uint8_t)(r >> 40);
	}
}

static int grandchild(void *arg)
{
	uint8_t *p = arg;

	scribble(p, MANY * PAGE, 300, 500);
	printf("grandchild %016lx\n", sum_of(p, MANY * PAGE));
	return 5;
}

static int cow_child(void *arg)
{
	uint8_t *p = arg;
	pid_t g;

	printf("child begins with %016lx\n", sum_of(p, MANY * PAGE));
	scribble(p, MANY * PAGE, 200, 500);
	g = child(grandchild, p);
	reap("grandchild", g);
	printf("child %016lx\n", sum_of(p, MANY * PAGE));
	return 4;
}

static void case_cow(void)
{
	uint8_t *p = map_anon(MANY * PAGE, PROT_READ | PROT_WRITE);
	pid_t c;

	scribble(p, MANY * PAGE / 2, 100, 2000); /* the upper half stays untouched */
	c = child(cow_child, p);
	scribble(p, MANY * PAGE, 400, 500);
	reap("child", c);
	printf("parent %016lx\n", sum_of(p, MANY * PAGE));
	munmap(p, MANY * PAGE);
}

struct shared_view {
	uint8_t *shared, *private_file, *shared_file;
	struct gate down, up;
};

static int shared_child(void *arg)
{
	struct shared_view *v = arg;

	v->shared[0] = 11;
	v->shared_file[1] = 12;
	v->private_file[2] = 13;
	global[PAGE] = 14;
	let(&v->up);
	await(&v->down);
	printf("child sees %d %d %d %d\n", v->shared[PAGE], v->shared_file[3], v->private_file[4],
		global[2 * PAGE]);
	return 0;
}

static void case_sharing(void)
{
	int fd = memfd_create("sharing", 0);
	struct shared_view v;
	uint8_t byte = 0;
	pid_t c;

	check(ftruncate(fd, 4 * PAGE) == 0, "ftruncate");
	v.shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	v.shared_file = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	v.private_file = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	v.down = gate_open();
	v.up = gate_open();
	c = child(shared_child, &v);
	await(&v.up);
	printf("parent sees %d %d %d %d\n", v.shared[0], v.shared_file[1], v.private_file[2],
		global[PAGE]);
	check(pread(fd, &byte, 1, 1) == 1, "pread");
	printf("file has %d, private mapping of it %d\n", byte, v.private_file[1]);
	v.shared[PAGE] = 21;
	v.shared_file[3] = 22;
	v.private_file[4] = 23;
	global[2 * PAGE] = 24;
	let(&v.down);
	reap("child", c);
	close(fd);
}

static int count_down(void *arg)
{
	long n = (long)arg;
	pid_t c;

	if (n == 0)
		return 0;
	c = child(count_down, (void *)(n - 1));
	reap("next", c);
	return (int)n;
}

static void case_deep(void)
{
	pid_t c = child(count_down, (void *)12);

	reap("first", c);
}

static int leave(void *arg)
{
	return (int)(long)arg;
}

/* More processes at once than frames could copy, each touching a little. */
static void case_wide(void)
{
	enum { N = 40 };
	uint8_t *p = map_anon(512 * PAGE, PROT_READ | PROT_WRITE);
	pid_t c[N];
	int sum = 0;

	memset(p, 7, 512 * PAGE);
	for (long i = 0; i < N; i++)
		c[i] = child(leave, (void *)i);
	for (int i = 0; i < N; i++) {
		int status = -1;

		check(waitpid(c[i], &status, 0) == c[i], "waitpid");
		sum += WEXITSTATUS(status);
	}
	printf("sum %d of %d children, own memory %016lx\n", sum, N, sum_of(p, 512 * PAGE));
}

static void case_many(void)
{
	int ended = 0;

	for (long i = 0; i < 300; i++) {
		int status = -1;
		pid_t c = child(leave, (void *)(i % 200));

		ended += waitpid(c, &status, 0) == c && WEXITSTATUS(status) == i % 200;
	}
	printf("%d of 300\n", ended);
}

/* Forks until it is refused; the limit counts all of a user's processes, so only that there is an end is said. */
static int bomb(void *arg)
{
	struct rlimit limit = {40, 40};
	struct timespec now;
	int made = 0, status;

	clock_gettime(CLOCK_REALTIME, &now);
	if (getuid() == 0 && setuid(60000 + (uid_t)(now.tv_nsec / 1000 % 5000)) != 0)
		return 77; /* a user that nobody else is */
	setrlimit(RLIMIT_NPROC, &limit);
	for (; made < 500; made++) {
		pid_t p = fork();

		if (p == 0) {
			pause();
			_exit(0);
		}
		if (p < 0)
			break;
	}
	/* who is not root is a user who may have 40 already */
	printf("refused with %s after some: %d\n", strerrorname_np(errno),
		(made > 0 || getuid() < 60000) && made <= 40);
	fflush(stdout);
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	for (int i = 0; i < made; i++)
		if (wait(&status) < 0 || !WIFSIGNALED(status))
			return 1;
	return 0;
}

static int bomb_group(void *arg)
{
	setpgid(0, 0);
	return bomb(arg);
}

static void case_bomb(void)
{
	reap("bomb", child(bomb_group, NULL));
}

/* vfork: the parent stands still until the child execs or leaves, and its memory is the child's. */
static void case_vfork(void)
{
	static char *const argv[] = {"sh", "-c", "exit 9", NULL};
	static volatile int seen;
	int status = 0;
	pid_t p;

	p = vfork();
	if (p == 0) {
		seen = 33;
		_exit(3);
	}
	printf("vfork: the child's store is seen: %d\n", seen);
	reap("vfork", p);
	fflush(stdout);
	p = vfork();
	if (p == 0) {
		execv("/bin/sh", argv);
		_exit(127);
	}
	check(waitpid(p, &status, 0) == p, "waitpid");
	printf("vfork and exec: %d\n", WEXITSTATUS(status));
}

static void case_exec(void)
{
	static char *const echo[] = {"echo", "from the other program", NULL};
	static char *const none[] = {"none", NULL};
	pid_t p;

	fflush(stdout);
	p = fork();
	if (p == 0) {
		execv("/bin/echo", echo);
		_exit(127);
	}
	reap("exec", p);
	p = fork();
	if (p == 0) {
		execv("/no/such/program", none);
		_exit(errno == ENOENT ? 42 : 43);
	}
	reap("exec of nothing", p);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int counter;

static void *count(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		pthread_mutex_unlock(&mutex);
	}
	return arg;
}

static int thread_child(void *arg)
{
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		pthread_create(t + i, NULL, count, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	return counter == 6000 ? 0 : 1;
}

static void *fork_in_thread(void *arg)
{
	int status = -1;
	pid_t p = fork();

	if (p == 0)
		_exit((int)(long)arg);
	if (p < 0 || waitpid(p, &status, 0) != p)
		return (void *)-1l;
	return (void *)(long)WEXITSTATUS(status);
}

static void case_threads(void)
{
	pthread_t t[4];
	long sum = 0;
	void *r;

	for (long i = 0; i < 4; i++)
		pthread_create(t + i, NULL, fork_in_thread, (void *)(i + 10));
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		sum += (long)r;
	}
	printf("children of threads: %ld\n", sum);
	reap("threads in a child", child(thread_child, NULL));
	reap("and again", child(thread_child, NULL));
}

/* A program that ends while its threads run, and one whose first thread leaves first. */
static void *spin(void *arg)
{
	for (;;)
		pause_ms(1);
	return arg;
}

static int ends_among_threads(void *arg)
{
	pthread_t t;

	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, spin, NULL);
	pause_ms(5);
	exit(6);
}

static void *ends_process(void *arg)
{
	pause_ms(5);
	exit(8);
}

static int first_leaves(void *arg)
{
	pthread_t t;

	pthread_create(&t, NULL, ends_process, NULL);
	pthread_exit(NULL);
}

static void *execs(void *arg)
{
	static char *const argv[] = {"sh", "-c", "exit 5", NULL};

	execv("/bin/sh", argv);
	return arg;
}

static int exec_among_threads(void *arg)
{
	pthread_t t;

	pthread_create(&t, NULL, spin, NULL);
	pthread_create(&t, NULL, execs, NULL);
	pthread_join(t, NULL);
	return 1;
}

static void case_ends(void)
{
	reap("exit among threads", child(ends_among_threads, NULL));
	reap("the first thread leaves first", child(first_leaves, NULL));
	reap("exec among threads", child(exec_among_threads, NULL));
}

static int segv(void *arg)
{
	volatile int *volatile nothing = NULL;

	signal(SIGSEGV, SIG_DFL);
	nothing[2] = 1;
	return 0;
}

static int overflow_depth(int n)
{
	volatile char room[4096];

	room[0] = (char)n;
	return overflow_depth(n + 1) + room[0];
}

static int overflow(void *arg)
{
	return overflow_depth(0);
}

static void case_faults(void)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	reap("null", child(segv, NULL));
	reap("stack overflow", child(overflow, NULL));
}

static int advised(void *arg)
{
	uint8_t **p = arg;
	unsigned char in[1];

	printf("dontfork: %s\n", mincore(p[0], PAGE, in) != 0 ? strerrorname_np(errno) : "there");
	printf("wipeonfork: %d, kept: %d\n", p[1][0], p[2][0]);
	p[1][0] = 9;
	return 0;
}

static void case_madvise(void)
{
	uint8_t *p[3];

	for (int i = 0; i < 3; i++) {
		p[i] = map_anon(2 * PAGE, PROT_READ | PROT_WRITE);
		p[i][0] = 5;
	}
	say_call("dontfork", madvise(p[0], 2 * PAGE, MADV_DONTFORK));
	say_call("wipeonfork", madvise(p[1], 2 * PAGE, MADV_WIPEONFORK));
	reap("child", child(advised, p));
	printf("parent has %d %d %d\n", p[0][0], p[1][0], p[2][0]);
	say_call("dofork", madvise(p[0], 2 * PAGE, MADV_DOFORK));
	say_call("keeponfork", madvise(p[1], 2 * PAGE, MADV_KEEPONFORK));
	reap("child", child(advised, p));
}

static int raw_child(void *arg)
{
	*(int *)arg += 1;
	return 12;
}

/* clone(2) without a thread library: CLONE_VM shares memory, without it not; clone3. */
static void case_clone(void)
{
	static char stack[16384] __attribute__((aligned(16)));
	static int number;
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	} args = {.exit_signal = SIGCHLD};
	int status = 0;
	long p = clone(raw_child, stack + sizeof stack, CLONE_VM | SIGCHLD, &number);

	check(p > 0 && waitpid((pid_t)p, &status, 0) == p, "clone");
	printf("CLONE_VM: %d, exit %d\n", number, WEXITSTATUS(status));
	p = clone(raw_child, stack + sizeof stack, SIGCHLD, &number);
	check(p > 0 && waitpid((pid_t)p, &status, 0) == p, "clone");
	printf("no CLONE_VM: %d, exit %d\n", number, WEXITSTATUS(status));
	p = clone(raw_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &number);
	printf("CLONE_VFORK: %d\n", number);
	check(p > 0 && waitpid((pid_t)p, &status, 0) == p, "clone");
	fflush(stdout);
	p = syscall(SYS_clone3, &args, sizeof args);
	if (p == 0)
		_exit(13);
	check(p > 0 && waitpid((pid_t)p, &status, 0) == p, "clone3");
	printf("clone3: exit %d\n", WEXITSTATUS(status));
	errno = 0;
	say_call("clone3 short", syscall(SYS_clone3, &args, 8));
	say_call("THREAD without SIGHAND", syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0));
	say_call("SIGHAND without VM", syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0));
}

struct orphans {
	struct gate go, done;
	pid_t parent;
};

static int orphan(void *arg)
{
	struct orphans *o = arg;

	await(&o->go);
	printf("orphan: the parent is another: %d\n", getppid() != o->parent);
	fflush(stdout);
	let(&o->done);
	return 0;
}

static int leaves_orphan(void *arg)
{
	((struct orphans *)arg)->parent = getpid();
	child(orphan, arg);
	return 0;
}

static void case_orphans(void)
{
	struct orphans o = {gate_open(), gate_open(), 0};

	reap("parent", child(leaves_orphan, &o));
	let(&o.go);
	await(&o.done);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"cow", case_cow}, {"sharing", case_sharing},
		{"deep", case_deep}, {"wide", case_wide}, {"many", case_many},
		{"vfork", case_vfork}, {"exec", case_exec}, {"threads", case_threads},
		{"ends", case_ends}, {"faults", case_faults}, {"madvise", case_madvise},
		{"clone", case_clone}, {"orphans", case_orphans}, {"bomb", case_bomb},
		{NULL, NULL}};

	return run_cases(cases, argc, argv);
}
