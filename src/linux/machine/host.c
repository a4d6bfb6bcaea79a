/* SPDX-License-Identifier: MIT */
/*
 * linux/machine/host.c: calls to the host: those that may block, those that do not, and facts about it.
 *
 * Called by every family of system calls. Owns nothing.
 *
 * The race it closes: a signal for the guest may come after one has looked whether there is one and before the host
 * call blocks. pg_host_call() looks in assembly right before its syscall instruction; the handler of PG_HOST_KICK
 * (linux/service.c) asks pg_host_call_window() whether it interrupted just there, and if so makes it leave
 * without calling.
 */
#include "linux/machine/machine.h"

#include <asm/prctl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* long (volatile sig_atomic_t *poke, long number, a, b, c, d, e, f): System V calling convention */
__asm__(".text\n"
	".p2align 4\n"
	".type pg_host_call_raw,@function\n"
	"pg_host_call_raw:\n"
	"	mov %rdi,%r11\n"
	"	mov %rsi,%rax\n"
	"	mov %rdx,%rdi\n"
	"	mov %rcx,%rsi\n"
	"	mov %r8,%rdx\n"
	"	mov %r9,%r10\n"
	"	mov 8(%rsp),%r8\n"
	"	mov 16(%rsp),%r9\n"
	"pg_host_call_open:\n"
	"	cmpl $0,(%r11)\n"
	"	jne pg_host_call_out\n"
	"	syscall\n"
	"pg_host_call_shut:\n"
	"	ret\n"
	"pg_host_call_out:\n"
	"	mov $-512,%rax\n"
	"	ret\n"
	".size pg_host_call_raw,.-pg_host_call_raw\n");

long pg_host_call_raw(volatile sig_atomic_t *poke, long number, uint64_t a, uint64_t b, uint64_t c,
	uint64_t d, uint64_t e, uint64_t f);
extern const char pg_host_call_open[], pg_host_call_shut[], pg_host_call_out[];

_Static_assert(sizeof(sig_atomic_t) == 4, "the assembly above compares 32 bits");

bool pg_host_call_window(uint64_t pc, uint64_t *out)
{
	if (pc < (uint64_t)(uintptr_t)pg_host_call_open ||
		pc >= (uint64_t)(uintptr_t)pg_host_call_shut)
		return false;
	*out = (uint64_t)(uintptr_t)pg_host_call_out;
	return true;
}

void pg_block_begin(struct pg_thread *me)
{
	if (me == NULL) /* the machine is being taken down: nobody holds the lock */
		return;
	me->in_host = true;
	pg_lock_give(me->machine);
}

void pg_block_end(struct pg_thread *me)
{
	if (me == NULL)
		return;
	pg_lock_take(me->machine, me);
	me->in_host = false;
}

int64_t pg_host_call(struct pg_thread *me, long number, uint64_t a, uint64_t b, uint64_t c,
	uint64_t d, uint64_t e, uint64_t f)
{
	long r;

	pg_block_begin(me);
	r = pg_host_call_raw(&me->poke, number, a, b, c, d, e, f);
	pg_block_end(me);
	return r == -EINTR ? -PG_ERESTARTSYS : r;
}

int64_t pg_host_quick(
	long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	long r = syscall(number, a, b, c, d, e, f);

	return r == -1 ? -errno : r;
}

/*
 * A guest's process is no process of the host: the number 0 stands for "the caller" in what is asked of the host. Others are
 * the outside world's, and the same on both sides.
 */
int64_t pg_host_pid(const struct pg_linux *l, int64_t pid)
{
	if (pid == PG_LINUX_PPID)
		return getppid();
	return pid;
}

int64_t pg_guest_pid(const struct pg_linux *l, int64_t pid)
{
	if (pid == l->host_pid)
		return PG_LINUX_PID;
	if (pid > 0 && pid == getppid())
		return PG_LINUX_PPID;
	return pid;
}

uint64_t pg_host_clock_ns(int clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return pg_timespec_ns(&t);
}

/* Linux's vvar and vdso are neighbours: from the first one named [vv... to the end of [vdso]. */
uint64_t pg_host_vdso_bytes(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	uint64_t sum = 0;

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		unsigned long lo, hi;
		const char *name = strchr(line, '[');

		if (name == NULL ||
			(strncmp(name, "[vvar", 5) != 0 && strncmp(name, "[vdso]", 6) != 0))
			continue;
		if (sscanf(line, "%lx-%lx", &lo, &hi) == 2 && hi > lo)
			sum += hi - lo;
	}
	fclose(f);
	return sum;
}
