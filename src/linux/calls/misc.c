/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/misc.c: system calls about the machine: its name, memory, randomness.
 *
 * Called through table.c.
 */
#include "linux/calls/syscalls.h"
#include "linux/machine/machine.h"
#include "linux/proc/proc.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

int64_t pg_sys_uname(struct pg_thread *me, const uint64_t *a)
{
	struct utsname u;
	int64_t r = PG_QUICK(SYS_uname, (uintptr_t)&u, 0, 0, 0, 0, 0);

	return r != 0 ? r : pg_guest_write(me, a[0], &u, sizeof(u));
}

int64_t pg_sys_sysinfo(struct pg_thread *me, const uint64_t *a)
{
	struct pg_frames_stats fs;
	uint64_t total, used;
	struct sysinfo s;
	int64_t r = PG_QUICK(SYS_sysinfo, (uintptr_t)&s, 0, 0, 0, 0, 0);

	if (r != 0)
		return r;
	/* the machine's own memory: its frames are the guest's RAM */
	pg_vm_frames_stats(me->machine->vm, &fs);
	s.mem_unit = 1;
	s.totalram = fs.total * PG_PAGE_SIZE;
	s.freeram = fs.by_state[PG_FRAME_FREE] * PG_PAGE_SIZE;
	s.bufferram = s.sharedram = 0;
	used = pg_proc_swap(me->machine, &total);
	s.totalswap = total * PG_PAGE_SIZE;
	s.freeswap = (total - used) * PG_PAGE_SIZE;
	s.totalhigh = s.freehigh = 0;
	s.procs = (unsigned short)me->proc->threads;
	return pg_guest_write(me, a[0], &s, sizeof(s));
}

int64_t pg_sys_getrandom(struct pg_thread *me, const uint64_t *a)
{
	uint8_t part[4096];
	uint64_t n = a[1] < 0x1ffffff ? a[1] : 0x1ffffff, done = 0;

	if ((unsigned)a[2] & ~7u || ((unsigned)a[2] & 6u) == 6u)
		return -EINVAL;
	while (done < n) {
		uint64_t k = n - done < sizeof(part) ? n - done : sizeof(part);

		pg_linux_random(me->machine, part, k);
		if (pg_guest_write(me, a[0] + done, part, k) != 0)
			return done != 0 ? (int64_t)done : -EFAULT;
		done += k;
	}
	return (int64_t)done;
}

/* Calls that need rights over the host which a guest is not given. */
int64_t pg_sys_refused(struct pg_thread *me, const uint64_t *a)
{
	return -EPERM;
}
