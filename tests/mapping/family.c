/* SPDX-License-Identifier: MIT */
/*
 * tests/mapping/family.c: System V shared memory.
 *
 * Called by mapping.c. A process makes at most one segment; shm_end() of its maker removes it.
 */
#include "mapping.h"

#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

void shm_end(void)
{
	if (w.shm >= 0 && w.shm_maker == getpid())
		shmctl(w.shm, IPC_RMID, NULL);
	w.shm = -1;
}

void step_shm(void)
{
	uint64_t a = some_page(), kind = below(100), flags = 0;
	struct shmid_ds ds;
	int64_t r;

	if (a < ARENA || a >= ARENA + ARENA_PAGES * PAGE)
		a = ARENA + HOT * PAGE;
	if (w.shm < 0) {
		w.shm = shmget(IPC_PRIVATE, 5 * PAGE + 100, IPC_CREAT | 0600);
		w.shm_maker = getpid();
		say("shmget %d", w.shm >= 0);
	}
	if (kind < 60) {
		flags |= chance(50) ? SHM_REMAP : 0;
		flags |= chance(20) ? SHM_RDONLY : 0;
		flags |= chance(10) ? SHM_EXEC : 0;
		if (chance(15)) {
			a += below(PAGE);
			flags |= chance(60) ? SHM_RND : 0;
		}
		if (has(PART_PLACE) && chance(20))
			a = 0;
		say(" shmat %s %lx", a ? where(a) : "0", flags);
		r = call(SYS_shmat, (uint64_t)w.shm, a, flags, 0, 0, 0);
		say_address_result(r);
		if (!a && r > 0)
			w.slot[below(SLOTS)] = (uint64_t)r;
	} else if (kind < 90) {
		a = chance(20) ? some_address() : a;
		say(" shmdt %s", where(a));
		say_result(call(SYS_shmdt, a, 0, 0, 0, 0, 0));
	} else {
		say(" shmctl");
		r = shmctl(w.shm, IPC_STAT, &ds);
		say_result(r);
		if (r == 0)
			say(" size %lu attached %lu", ds.shm_segsz, (unsigned long)ds.shm_nattch);
	}
}
