/* SPDX-License-Identifier: MIT */
/*
 * tests/loader/hostile.c: a guest that makes system calls with wild arguments. Only to be run under Pagoda, which must refuse or
 * obey each of them and live (a guest may ruin itself, never Pagoda).
 *
 * Left out are calls that would end or hang the guest itself, and those by which it could harm the host as any
 * program of the same user can: signals to others, clocks, ids, priorities, names of files that exist.
 *
 * hostile SEED CALLS: the same calls for the same seed. Prints how many gave each kind of answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static const int left_out[] = {SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill, SYS_tgkill,
	SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_rt_sigreturn, SYS_rt_sigaction,
	SYS_rt_sigprocmask, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_pause, SYS_execve,
	SYS_execveat, SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_setuid, SYS_setgid,
	SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_setfsuid,
	SYS_setfsgid, SYS_capset, SYS_chroot, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex,
	SYS_clock_adjtime, SYS_setpriority, SYS_sched_setscheduler, SYS_sched_setparam,
	SYS_sched_setaffinity, SYS_unlink, SYS_unlinkat, SYS_rmdir, SYS_rename, SYS_renameat,
	SYS_renameat2, SYS_link, SYS_linkat, SYS_symlink, SYS_symlinkat, SYS_mknod, SYS_mknodat,
	SYS_mkdir, SYS_mkdirat, SYS_chmod, SYS_fchmod, SYS_fchmodat, SYS_chown, SYS_fchown,
	SYS_fchownat, SYS_lchown, SYS_truncate, SYS_creat, SYS_open, SYS_openat, SYS_openat2,
	SYS_sync, SYS_syncfs, SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_setitimer, SYS_alarm,
	SYS_timer_create, SYS_arch_prctl, SYS_prctl, SYS_setrlimit, SYS_prlimit64, SYS_fallocate,
	SYS_ftruncate, SYS_setsid, SYS_setpgid, SYS_flock, SYS_wait4, SYS_waitid, SYS_mlockall,
	SYS_umask, SYS_utime, SYS_utimes, SYS_utimensat, SYS_futimesat};

static uint64_t state;

static uint64_t random64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static char own[512 * 4096] __attribute__((aligned(4096))); /* what is around it is hit too */
static char *arena; /* 64 pages: even ones there, odd ones without rights or not mapped */

static uint64_t argument(void)
{
	switch (random64() % 10) {
	case 0:
		return random64() % 8;
	case 1:
		return random64() % 1024;
	case 2:
		return (uint64_t) - (int64_t)(random64() % 100);
	case 3:
		return (uint64_t)1 << (random64() % 64);
	case 4:
		return ((uint64_t)1 << (random64() % 64)) - 1;
	case 5:
		return random64();
	case 6:
		return 16000 + random64() % 4000; /* where Pagoda keeps its descriptors */
	default:
		return (uint64_t)(uintptr_t)arena + random64() % (64 * 4096);
	}
}

static void tick(int n)
{
	(void)n;
}

/* Calls that change mappings stay in the arena. */
static void confine(long n, uint64_t *a)
{
	if (n == SYS_munmap || n == SYS_mprotect || n == SYS_mremap || n == SYS_madvise ||
		n == SYS_mmap) {
		a[0] = (uint64_t)(uintptr_t)arena + random64() % 64 * 4096;
		if (n != SYS_mremap || random64() % 4 != 0)
			a[1] = random64() % (((uint64_t)(uintptr_t)arena + 64 * 4096 - a[0]) + 1);
	}
	if (n == SYS_mremap) {
		a[3] &= 1;
		if (a[1] > 64 * 4096 && a[2] < a[1])
			a[2] = a[1]; /* one that shrinks unmaps all that lies behind: the library and the stack */
	}
	if (n == SYS_brk)
		a[0] = (uint64_t)(uintptr_t)sbrk(0) + random64() % 65536;
	if (n == SYS_set_tid_address || n == SYS_set_robust_list || n == SYS_sigaltstack)
		a[0] = a[0] % 2 ? 0 : a[0];
}

static void refresh(void)
{
	mmap(arena, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		0);
	for (unsigned i = 0; i < 64 * 4096; i++)
		arena[i] = (char)(random64() % 5 == 0 ? 0 : 'a' + random64() % 26);
	for (unsigned i = 1; i < 64; i += 4)
		mprotect(arena + i * 4096, 4096, PROT_NONE);
	for (unsigned i = 3; i < 64; i += 4)
		munmap(arena + i * 4096, 4096);
}

int main(int argc, char **argv)
{
	unsigned long calls = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000, worked = 0, refused = 0;
	struct itimerval every = {{0, 5000}, {0, 5000}};
	struct sigaction on_tick = {.sa_handler = tick};
	FILE *out;

	state = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1) * 0x9e3779b97f4a7c15u + 1;
	out = fdopen(dup2(1, 200), "w");
	if (chdir("/proc/self/fdinfo") != 0 || out == NULL)
		return 2;
	for (int n = 1; n < 32; n++)
		signal(n, SIG_IGN);
	sigaction(SIGALRM, &on_tick, NULL); /* ends calls that wait */
	setitimer(ITIMER_REAL, &every, NULL);
	arena = mmap(NULL, 64 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED)
		arena = own + 128 * 4096; /* a machine that maps nothing: all pages stay */
	for (unsigned long i = 0; i < calls; i++) {
		long n = (long)(random64() % 470);
		uint64_t a[6];
		unsigned skip = 0;

		if (i % 64 == 0) {
			refresh();
			for (int fd = 0; fd < 3; fd++)
				dup2(open("/dev/null", O_RDWR), fd);
		}
		for (unsigned k = 0; k < sizeof(left_out) / sizeof(left_out[0]); k++)
			skip |= left_out[k] == n;
		for (unsigned k = 0; k < 6; k++)
			a[k] = argument();
		if (skip)
			continue;
		if (n == SYS_close_range || n == SYS_close || n == SYS_dup2 || n == SYS_dup3)
			a[0] = a[0] == 200 ? 3 : a[0], a[1] = a[1] == 200 ? 3 : a[1];
		if (n == SYS_close_range)
			a[0] |= 256;
		confine(n, a);
		if (syscall(n, a[0], a[1], a[2], a[3], a[4], a[5]) < 0)
			refused++;
		else
			worked++;
	}
	fprintf(out, "%lu calls worked, %lu refused\n", worked, refused);
	fflush(out);
	_exit(worked > 0 && refused > 0 ? 0 : 1);
}
