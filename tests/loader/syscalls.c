/* SPDX-License-Identifier: MIT */
/*
 * tests/loader/syscalls.c: what Linux answers, printed; run natively and under Pagoda, the two must be equal.
 *
 * Edges rather than uses: errors and their order, partial results, restarts, signal contexts, coherence of files.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static char dir[64];

static const char *result(long r)
{
	static char buf[4][64];
	static int k;
	char *b = buf[k++ & 3];

	if (r == -1)
		snprintf(b, 64, "-1 %s", strerrorname_np(errno));
	else
		snprintf(b, 64, "%ld", r);
	return b;
}
#define SHOW(e) (errno = 0, printf("%s = %s\n", #e, result((long)(e))))
#define OK(e) printf("%s: %s\n", #e, (e) ? "yes" : "no")

static void memory(void)
{
	char *p, *q;
	unsigned char vec[4];

	SHOW(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	SHOW(mmap(NULL, 4096, PROT_READ, MAP_ANONYMOUS, -1, 0));
	SHOW(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0));
	SHOW(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1));
	SHOW(mmap((void *)1, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	SHOW(mmap(NULL, (size_t)1 << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	SHOW(mmap((void *)0x7ffffffff000, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		-1, 0));
	p = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SHOW(mmap(p, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	SHOW(munmap(p + 1, 4096));
	SHOW(munmap(p, 0));
	SHOW(mprotect(p + 1, 4096, PROT_READ));
	SHOW(mprotect(p, 0, PROT_READ));
	SHOW(mprotect(p, 4096, 0x100));
	SHOW(mprotect((void *)0x10000, 4096, PROT_READ));
	SHOW(munmap(p + 4096, 4096));
	SHOW(mprotect(p, 16384, PROT_READ));
	SHOW(madvise(p, 16384, MADV_DONTNEED));
	SHOW(madvise(p, 4096, 12345));
	SHOW(madvise(p + 1, 4096, MADV_DONTNEED));
	SHOW(msync(p, 16384, MS_SYNC));
	SHOW(msync(p, 4096, MS_SYNC | MS_ASYNC));
	SHOW(mincore(p, 16384, vec));
	SHOW(mincore(p, 4096, vec));
	SHOW(mlock(p, 16384));
	SHOW(mlock(p + 8192, 8192));
	SHOW(munlock(p + 8192, 8192));
	SHOW(mremap(p, 4096, 0, 0));
	SHOW(mremap(p + 1, 4096, 8192, 0));
	SHOW(mremap(p + 4096, 4096, 8192, MREMAP_MAYMOVE));
	q = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	q[0] = 'a';
	q[8191] = 'b';
	q = mremap(q, 12288, 4 << 20, MREMAP_MAYMOVE);
	printf("%c%c%d\n", q[0], q[8191], q[(4 << 20) - 1]);
	SHOW(mremap(q, 4 << 20, 4096, 0) == q);
	OK((uintptr_t)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0) <
		1u << 31);
	p = sbrk(0);
	SHOW(brk(p + 10000));
	p[9999] = 1;
	SHOW(brk(p));
	SHOW(brk((void *)1));
	p = mmap(NULL, 4096, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p[1] = 7;
	printf("write-only page reads %d\n", p[1]);
	p = mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("exec-only page reads %d\n", p[1]);
}

static void files(void)
{
	char path[128], buf[64], *p, *bad;
	struct stat st;
	struct iovec v[3];
	int fd, r, fds[2];
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct statvfs vfs;

	bad = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(bad + 4096, 4096);
	snprintf(path, sizeof(path), "%s/f", dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0640);
	printf("fd %d\n", fd);
	SHOW(open(path, O_RDWR | O_CREAT | O_EXCL, 0640));
	SHOW(open("/no/such", O_RDONLY));
	SHOW(open("/etc/passwd/x", O_RDONLY));
	SHOW(open((char *)1, O_RDONLY));
	SHOW(open("", O_RDONLY));
	SHOW(write(fd, "0123456789", 10));
	SHOW(pread(fd, bad + 4090, 10, 0));
	SHOW(pread(fd, bad + 4096, 10, 0));
	SHOW(pread(fd, bad + 4096, 10, 10));
	SHOW(pread(fd, bad + 4096, 0, 0));
	SHOW(pwrite(fd, bad + 4090, 10, 0));
	SHOW(pwrite(fd, bad + 4096, 10, 0));
	SHOW(pread(fd, (void *)-1L, 10, 0));
	SHOW(read(-1, buf, 1));
	SHOW(read(1000, buf, 1));
	SHOW(write(0x7fffffff, buf, 1));
	SHOW(lseek(fd, -1, SEEK_SET));
	SHOW(lseek(fd, 0, 99));
	SHOW(pread(fd, buf, 1, -1));
	v[0] = (struct iovec){buf, 3};
	v[1] = (struct iovec){bad + 4096, 3};
	v[2] = (struct iovec){buf + 3, 3};
	SHOW(preadv(fd, v, 3, 0));
	SHOW(preadv(fd, v, 2000, 0));
	SHOW(preadv(fd, v, 0, 0));
	SHOW(readv(fd, (void *)8, 1));
	v[1].iov_len = (size_t)-1;
	SHOW(preadv(fd, v, 3, 0));
	SHOW(pwritev(fd, v, 1, 3));
	SHOW(ftruncate(fd, 100000));
	SHOW(ftruncate(fd, -1));
	p = mmap(NULL, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p[50000] = 'M';
	SHOW(pread(fd, buf, 1, 50000));
	printf("read sees the mapping: %c\n", buf[0]);
	SHOW(pwrite(fd, "W", 1, 50001));
	printf("the mapping sees write: %c\n", p[50001]);
	SHOW(ftruncate(fd, 10));
	SHOW(ftruncate(fd, 100000));
	printf("cut away: %d %d\n", p[50000], p[50001]);
	SHOW(munmap(p, 100000));
	p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	SHOW(pwrite(fd, "zz", 2, 0));
	printf("a private mapping not written yet: %.2s\n", p);
	SHOW(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 100));
	r = open(path, O_RDONLY);
	SHOW(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r, 0));
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, r, 0);
	SHOW(mprotect(p, 4096, PROT_READ | PROT_WRITE));
	SHOW(write(r, "x", 1));
	close(r);
	r = open(path, O_WRONLY);
	SHOW(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, r, 0));
	SHOW(read(r, buf, 1));
	close(r);
	r = open(dir, O_RDONLY | O_DIRECTORY);
	SHOW(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, r, 0));
	SHOW(read(r, buf, 1));
	SHOW(syscall(SYS_getdents64, r, buf, 1));
	SHOW(syscall(SYS_getdents64, fd, buf, 60));
	SHOW(fchdir(r));
	SHOW(openat(r, "f", O_RDONLY));
	SHOW(openat(999, "f", O_RDONLY));
	SHOW(openat(999, path, O_RDONLY));
	SHOW(fstat(fd, &st));
	printf("mode %o size %ld links %ld\n", st.st_mode, (long)st.st_size, (long)st.st_nlink);
	SHOW(fstatat(AT_FDCWD, "nope", &st, 0));
	SHOW(fstatat(fd, "", &st, AT_EMPTY_PATH));
	SHOW(stat("f", (void *)8));
	SHOW(faccessat(AT_FDCWD, "f", X_OK, 0));
	SHOW(rename("f", "g"));
	SHOW(symlink("g", "l"));
	SHOW(readlink("l", buf, 60));
	SHOW(readlink("g", buf, 60));
	SHOW(readlink("l", buf, 0));
	SHOW(link("g", "h"));
	SHOW(unlink("h"));
	SHOW(rmdir("g"));
	SHOW(mkdir("g", 0700));
	SHOW(chmod("g", 0600));
	SHOW(utimensat(AT_FDCWD, "g", (struct timespec[]){{5, 6}, {7, 8}}, 0));
	stat("g", &st);
	printf("times %ld.%09ld %ld.%09ld\n", st.st_atim.tv_sec, st.st_atim.tv_nsec,
		st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	SHOW(truncate("g", 5));
	SHOW(statvfs("g", &vfs));
	SHOW(fcntl(fd, F_SETLK, &lk));
	SHOW(fcntl(fd, F_GETLK, &lk));
	printf("lock %d\n", lk.l_type);
	SHOW(fcntl(fd, 9999));
	SHOW(fcntl(fd, F_GETFL) & O_ACCMODE);
	SHOW(fcntl(fd, F_DUPFD, 100));
	SHOW(fcntl(100, F_GETFD));
	SHOW(dup2(fd, 101));
	SHOW(dup2(fd, -1));
	SHOW(dup3(fd, fd, 0));
	SHOW(close(100));
	SHOW(close(100));
	SHOW(syscall(SYS_close_range, 101, 200, 0));
	SHOW(fcntl(101, F_GETFD));
	SHOW(pipe((int *)8));
	SHOW(pipe(fds));
	SHOW(write(fds[1], "abc", 3));
	SHOW(read(fds[0], bad, 2));
	SHOW(read(fds[0], bad + 4096, 1));
	SHOW(ioctl(fds[0], FIONREAD, &r));
	printf("queued %d\n", r);
	SHOW(ioctl(fd, TIOCGWINSZ, buf));
	SHOW(ioctl(fd, 0x12345678, buf));
	SHOW(lseek(fds[0], 0, SEEK_CUR));
	SHOW(copy_file_range(fd, NULL, fd, NULL, 1, 99));
	SHOW(fallocate(fd, 0, 0, 5000));
	SHOW(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	SHOW(fsync(fds[0]));
	SHOW(flock(fd, LOCK_EX));
	SHOW(setxattr("g", "user.a", "b", 1, 0) == 0 || errno == ENOTSUP);
	SHOW(getxattr("g", "user.none", buf, 10) == -1);
	SHOW(memfd_create("x", 0x8000));
	SHOW(eventfd(3, EFD_NONBLOCK) >= 0);
	SHOW(umask(022));
	SHOW(umask(022));
	SHOW(getcwd(buf, 2) == NULL);
}

static volatile sig_atomic_t got;
static siginfo_t last;
static ucontext_t uc;
static sigjmp_buf back;

static void note(int n, siginfo_t *si, void *c)
{
	got++;
	last = *si;
	memcpy(&uc, c, sizeof(uc));
}

static void leave(int n, siginfo_t *si, void *c)
{
	note(n, si, c);
	siglongjmp(back, 1);
}

static void handle(int n, void (*f)(int, siginfo_t *, void *), int flags)
{
	struct sigaction a = {.sa_sigaction = f, .sa_flags = SA_SIGINFO | flags};

	sigaction(n, &a, NULL);
}

static void fault(const char *what, volatile char *p, int write)
{
	if (sigsetjmp(back, 1) == 0) {
		if (write)
			*p = 1;
		else
			(void)*p;
		printf("%s: no fault\n", what);
		return;
	}
	printf("%s: signal %d code %d addr %s trapno %lld err %lld cr2 %s\n", what, last.si_signo,
		last.si_code, last.si_addr == p ? "right" : "wrong",
		(long long)uc.uc_mcontext.gregs[REG_TRAPNO],
		(long long)uc.uc_mcontext.gregs[REG_ERR],
		uc.uc_mcontext.gregs[REG_CR2] == (greg_t)p ? "right" : "wrong");
}

static void *sender(void *arg)
{
	usleep(30000);
	kill(getpid(), SIGUSR1);
	return NULL;
}

static void signals(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	     path[128], b;
	sigset_t set, old;
	union sigval val = {.sival_int = 77};
	struct timespec t = {0, 20000000};
	struct itimerval it = {{0, 20000}, {0, 20000}},
			 off = {{0}}; /* again and again: the first may be early */
	stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536}, os;
	int fds[2], fd;
	siginfo_t info;
	timer_t timer;
	pthread_t th;

	handle(SIGSEGV, leave, 0);
	handle(SIGBUS, leave, 0);
	handle(SIGUSR1, note, 0);
	handle(SIGALRM, note, 0);
	handle(SIGPIPE, note, 0);
	p[0] = 1;
	mprotect(p, 4096, PROT_READ);
	fault("write to read-only", p, 1);
	mprotect(p, 4096, PROT_NONE);
	fault("read of none", p, 0);
	fault("write to none, untouched", p + 4096 - 1, 1);
	munmap(p, 4096);
	fault("read of unmapped", p, 0);
	fault("write to unmapped", p, 1);
	fault("null", NULL, 0);
	fault("non-canonical", (char *)0x8000000000000000, 0);
	fault("kernel", (char *)0xffff800000000000, 0);
	snprintf(path, sizeof(path), "%s/b", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	p = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	fault("beyond end of file", p, 0);
	SHOW(read(fd, NULL, 0));
	SHOW(raise(SIGUSR1));
	printf("got %d code %d pid %d\n", (int)got, last.si_code, last.si_pid == getpid());
	SHOW(sigqueue(getpid(), SIGUSR1, val));
	printf("got %d code %d value %d\n", (int)got, last.si_code, last.si_value.sival_int);
	SHOW(kill(getpid(), 0));
	SHOW(kill(getpid(), 65));
	SHOW(sigaction(SIGKILL, &(struct sigaction){.sa_handler = SIG_IGN}, NULL));
	SHOW(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
	SHOW(syscall(SYS_tgkill, getpid(), 12345678, 0));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, &old);
	got = 0;
	raise(SIGUSR1);
	raise(SIGUSR1);
	printf("blocked: %d\n", (int)got);
	sigpending(&set);
	OK(sigismember(&set, SIGUSR1));
	sigprocmask(SIG_SETMASK, &old, NULL);
	printf("unblocked: %d\n", (int)got);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 3; i++) {
		val.sival_int = i;
		sigqueue(getpid(), SIGRTMIN, val);
	}
	for (int i = 0; i < 4; i++) {
		int r = sigtimedwait(&set, &info, &t);

		printf("timed wait %d %s\n", r == SIGRTMIN ? info.si_value.sival_int : -1,
			r < 0 ? strerrorname_np(errno) : "");
	}
	pipe(fds);
	got = 0;
	setitimer(ITIMER_REAL, &it, NULL);
	SHOW(read(fds[0], &b, 1));
	printf("interrupted read: %d\n", (int)got);
	handle(SIGALRM, note, SA_RESTART);
	SHOW(poll(&(struct pollfd){fds[0], POLLIN, 0}, 1, 100000));
	t = (struct timespec){500, 0};
	SHOW(nanosleep(&t, &t));
	OK(t.tv_sec > 300 && t.tv_sec < 500);
	SHOW(pause());
	sigemptyset(&set);
	SHOW(sigsuspend(&set));
	setitimer(ITIMER_REAL, &off, NULL);
	SHOW(select(fds[0] + 1, NULL, NULL, NULL, &(struct timeval){0, 1000}));
	close(fds[0]);
	got = 0;
	SHOW(write(fds[1], "x", 1));
	printf("broken pipe: %d %d\n", (int)got, last.si_signo == SIGPIPE);
	SHOW(timer_create(CLOCK_MONOTONIC,
		&(struct sigevent){.sigev_notify = SIGEV_SIGNAL,
			.sigev_signo = SIGUSR1,
			.sigev_value.sival_int = 55},
		&timer));
	got = 0;
	timer_settime(timer, 0, &(struct itimerspec){{0, 0}, {0, 10000000}}, NULL);
	while (!got)
		pause();
	printf("timer: code %d value %d\n", last.si_code, last.si_value.sival_int);
	timer_delete(timer);
	SHOW(sigaltstack(&ss, NULL));
	SHOW(sigaltstack(NULL, &os));
	printf("alt %d %zu\n", os.ss_flags, os.ss_size);
	handle(SIGUSR1, note, SA_ONSTACK | SA_RESETHAND);
	raise(SIGUSR1);
	OK((char *)uc.uc_mcontext.fpregs > (char *)ss.ss_sp &&
		(char *)uc.uc_mcontext.fpregs < (char *)ss.ss_sp + 65536);
	OK(uc.uc_stack.ss_sp == ss.ss_sp);
	printf("uc_flags %lx\n", uc.uc_flags);
	sigaction(SIGUSR1, NULL, &(struct sigaction){0});
	SHOW(sigaltstack(&(stack_t){.ss_sp = ss.ss_sp, .ss_size = 100}, NULL));
	SHOW(sigaltstack(&(stack_t){.ss_flags = 77}, NULL));
	handle(SIGUSR1, note, 0);
	got = 0;
	pthread_create(&th, NULL, sender, NULL);
	while (!got)
		;
	pthread_join(th, NULL);
	printf("signal from a thread\n");
}

static __attribute__((noinline)) void dig(char *from)
{
	volatile char room[4096];

	room[0] = 1;
	if (from - (char *)room < 6 << 20)
		dig(from);
	room[1] = 1;
}

static __attribute__((noinline)) int grow(int n)
{
	volatile char room[4096];

	room[0] = 1;
	return n <= 4096 ? room[0] : grow(n - 4096) + room[0] - 1;
}

static void processes(void)
{
	struct rlimit r;
	char name[17] = {0};
	struct rusage ru;

	SHOW(getpid() == syscall(SYS_gettid));
	SHOW(prctl(PR_SET_NAME, "a-name-longer-than-fifteen", 0, 0, 0));
	prctl(PR_GET_NAME, name, 0, 0, 0);
	printf("name %s\n", name);
	SHOW(prctl(9999, 0, 0, 0, 0));
	SHOW(getrlimit(99, &r));
	SHOW(getrlimit(RLIMIT_STACK, &r));
	r.rlim_cur = r.rlim_max;
	r.rlim_cur = 1 << 20;
	handle(SIGSEGV, leave, SA_ONSTACK);
	sigaltstack(&(stack_t){.ss_sp = malloc(65536), .ss_size = 65536}, NULL);
	SHOW(setrlimit(RLIMIT_STACK, &r));
	if (sigsetjmp(back, 1) == 0)
		dig((char *)&r);
	OK((char *)&r - (char *)last.si_addr > 900 << 10 &&
		(char *)&r - (char *)last.si_addr < 1100 << 10);
	r.rlim_cur = 8 << 20;
	SHOW(setrlimit(RLIMIT_STACK, &r));
	printf("it grows again %d\n", grow(3 << 20));
	SHOW(setrlimit(RLIMIT_CORE, &(struct rlimit){5, 4}));
	SHOW(setrlimit(RLIMIT_AS, &(struct rlimit){1 << 30, RLIM_INFINITY}));
	SHOW(mmap(NULL, (size_t)2 << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	SHOW(setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}));
	SHOW(getrusage(RUSAGE_SELF, &ru));
	OK(ru.ru_minflt > 10 && ru.ru_maxrss > 100);
	SHOW(getrusage(42, &ru));
	SHOW(waitpid(-1, NULL, WNOHANG));
	SHOW(syscall(SYS_futex, &(int){5}, 0, 4, NULL));
	SHOW(syscall(SYS_futex, &(int){5}, 0, 5, &(struct timespec){0, 1000000}));
	SHOW(syscall(SYS_futex, &(int){5}, 1, 5, NULL));
	SHOW(syscall(SYS_futex, 1, 1, 5, NULL));
	SHOW(syscall(9999));
	SHOW(syscall(SYS_execve, "/no/such", NULL, NULL));
	SHOW(execl("/etc/passwd", "x", NULL));
	SHOW(syscall(SYS_clock_gettime, 999, 8));
	SHOW(syscall(SYS_clock_gettime, CLOCK_REALTIME, 8));
	SHOW(nanosleep(&(struct timespec){0, 2000000000}, NULL));
	SHOW(sysconf(_SC_PAGESIZE));
	SHOW(access("/proc/self/exe", X_OK));
	SHOW(getgroups(-1, NULL));
}

static void proc(void)
{
	static const char *const lines[] = {"Threads:", "VmExe:"}; /* VmLib counts Linux's vDSO */
	char path[128], line[512], exe[256] = "";
	FILE *f = fopen("/proc/self/status", "r");

	while (fgets(line, sizeof(line), f) != NULL)
		for (unsigned i = 0; i < 2; i++)
			if (strncmp(line, lines[i], strlen(lines[i])) == 0)
				fputs(line, stdout);
	fclose(f);
	SHOW(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	puts(strrchr(exe, '/'));
	snprintf(path, sizeof(path), "/proc/%d/exe", getpid());
	SHOW(access(path, F_OK));
	snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
	f = fopen(path, "r");
	OK(f != NULL);
	OK(fscanf(f, "%d (%255[^)])", &(int){0}, line) == 2);
	puts(line);
	fclose(f);
	f = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof(line), f) != NULL)
		if (strstr(line, "[stack]") || strstr(line, "[heap]"))
			printf("%s", strchr(line, '['));
	fclose(f);
	SHOW(open("/proc/self/nope", O_RDONLY));
}

int main(void)
{
	strcpy(dir, "/tmp/syscalls-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return 2;
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	puts("-- memory");
	memory();
	puts("-- files");
	files();
	puts("-- signals");
	signals();
	puts("-- processes");
	processes();
	puts("-- proc");
	proc();
	fflush(stdout);
	if (chdir("/") == 0)
		execl("/bin/rm", "rm", "-rf", dir,
			NULL); /* in this very process: exec replaces everything */
	return 1;
}
