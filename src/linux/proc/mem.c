/* SPDX-License-Identifier: MIT */
/*
 * linux/proc/mem.c: /proc/PID/mem: a guest's memory as a file.
 *
 * Called by proc.c when it is opened and by files/io.c for each read and write. The descriptor is one of an empty memory file of the host, which
 * keeps the position; the bytes go between two guests' spaces, with faults and copies, a page at a time. Rights are passed
 * over as Linux does (FOLL_FORCE): all that is mapped can be read, and what is private can be written, and is copied.
 *
 * The file is of the program that ran when it was opened: after its exec or end there is nothing in it.
 *
 * Source: Linux fs/proc/base.c, mem_rw(), 6.18.
 */
#include "linux/machine/machine.h"
#include "linux/proc/proc.h"
#include "linux/proc/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define OPEN_MOST 1024 /* nobody tells when one is closed: the oldest is forgotten */

struct pg_proc_mem {
	struct pg_proc_mem *next;
	uint64_t dev, ino;
	int pid;
	uint64_t execs; /* of the process, when it was opened */
};

static void drop_oldest(struct pg_linux *l)
{
	struct pg_proc_mem **at = &l->mems;

	while ((*at)->next != NULL)
		at = &(*at)->next;
	free(*at);
	*at = NULL;
	l->mem_count--;
}

int pg_proc_memory_open(struct pg_linux *l, int fd, const struct pg_process *p)
{
	struct pg_proc_mem *m = malloc(sizeof(*m));
	struct stat st;

	if (m == NULL || fstat(fd, &st) != 0) {
		free(m);
		return -ENOMEM;
	}
	if (l->mem_count >= OPEN_MOST)
		drop_oldest(l);
	*m = (struct pg_proc_mem){l->mems, st.st_dev, st.st_ino, p->pid, p->execs};
	l->mems = m;
	l->mem_count++;
	return 0;
}

void pg_proc_memory_end(struct pg_linux *l)
{
	while (l->mems != NULL) {
		struct pg_proc_mem *m = l->mems;

		l->mems = m->next;
		free(m);
	}
}

/* The memory that fd stands for, to be looked at; NULL: it is gone. */
static struct pg_mm *memory_of(struct pg_linux *l, const struct pg_proc_mem *m)
{
	struct pg_process *p = pg_process_find(l, m->pid);

	if (p == NULL || p->state == PG_ZOMBIE || p->mm == NULL || p->execs != m->execs)
		return NULL;
	pg_mm_look(p->mm);
	return p->mm;
}

/* n bytes, at most a page, between the caller's memory and theirs: how many went, or -EFAULT: the caller's. */
static int64_t part(struct pg_thread *me, struct pg_mm *mm, uint64_t there, uint64_t here,
	uint64_t n, bool write)
{
	uint8_t buf[PG_PAGE_SIZE];
	uint64_t got;

	if (there >= mm->layout.address_top)
		return 0;
	if (n > mm->layout.address_top - there)
		n = mm->layout.address_top - there;
	if (write) {
		if (pg_guest_read(me, buf, here, n) != 0)
			return -EFAULT;
		return (int64_t)pg_space_write_forced(mm->space, (pg_va){there}, buf, n, me->pc);
	}
	got = pg_space_read_forced(mm->space, buf, (pg_va){there}, n, me->pc);
	return got != 0 && pg_guest_write(me, here, buf, got) != 0 ? -EFAULT : (int64_t)got;
}

static int64_t move(struct pg_thread *me, struct pg_mm *mm, const struct iovec *v, unsigned count,
	uint64_t at, bool write)
{
	uint64_t done = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t here = (uint64_t)(uintptr_t)v[i].iov_base, left = v[i].iov_len;

		while (left != 0) {
			uint64_t n = PG_PAGE_SIZE - ((at + done) & PG_PAGE_MASK);
			int64_t r = part(me, mm, at + done, here, n < left ? n : left, write);

			if (r <= 0)
				return done != 0 ? (int64_t)done : r < 0 ? r : -EIO;
			done += (uint64_t)r;
			here += (uint64_t)r;
			left -= (uint64_t)r;
		}
	}
	return (int64_t)done;
}

bool pg_proc_memory(struct pg_thread *me, int fd, const struct iovec *v, unsigned count,
	int64_t offset, bool write, int64_t *result)
{
	const struct pg_proc_mem *m = me->machine->mems;
	struct pg_mm *mm;
	struct stat st;
	int mode;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	while (m != NULL && (m->ino != st.st_ino || m->dev != st.st_dev))
		m = m->next;
	if (m == NULL)
		return false;
	mode = fcntl(fd, F_GETFL) & O_ACCMODE;
	*result = -EBADF;
	if (mode == (write ? O_RDONLY : O_WRONLY))
		return true;
	mm = memory_of(me->machine, m);
	*result = 0;
	if (mm == NULL)
		return true;
	*result = move(me, mm, v, count,
		offset >= 0 ? (uint64_t)offset : (uint64_t)lseek(fd, 0, SEEK_CUR), write);
	pg_mm_looked(mm);
	if (*result > 0 && offset < 0)
		lseek(fd, *result, SEEK_CUR);
	return true;
}
