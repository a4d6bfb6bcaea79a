/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/memfd.c: memory files and their seals.
 *
 * Called through table.c and by fd.c (fcntl). A memory file is the host's (memfd_create), and reaches frames as any other file
 * does, through the page cache; so reads, writes, truncation, passing and seals on them are the host's own. What the host does
 * not know is who maps it here: F_SEAL_WRITE must be refused while a guest has a mapping that is or may become
 * writable, and what guests stored must be in the file before no write is let through.
 * Source: Linux mm/memfd.c, 6.18. mmap's side is in mem.c.
 */
#include "linux/calls/calls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

int64_t pg_memfd_seal(struct pg_thread *me, int fd, unsigned seals)
{
	const unsigned writes = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
	int have = fcntl(fd, F_GET_SEALS), err;
	struct pg_object *o;
	struct stat st;

	/* What the host will refuse anyhow, or what touches no mapping, is for the host to say. */
	if (have < 0 || (have & F_SEAL_SEAL) || !(seals & writes) || fstat(fd, &st) != 0 ||
		(fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return PG_QUICK(SYS_fcntl, fd, F_ADD_SEALS, seals, 0, 0, 0);
	o = pg_files_find(me, &st);
	if (o == NULL)
		return PG_QUICK(SYS_fcntl, fd, F_ADD_SEALS, seals, 0, 0, 0);
	if ((seals & F_SEAL_WRITE) && !(have & F_SEAL_WRITE) && pg_object_mapped_writable(o))
		return -EBUSY;
	pg_object_ref(o); /* writing back may give up the machine lock */
	err = pg_object_sync(o, 0, UINT64_MAX);
	if (err == 0 && pg_object_mapped_writable(o))
		err = pg_files_keep_writable(me, &st);
	pg_object_unref(o);
	return err != 0 ? err : PG_QUICK(SYS_fcntl, fd, F_ADD_SEALS, seals, 0, 0, 0);
}
