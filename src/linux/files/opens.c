/* SPDX-License-Identifier: MIT */
/*
 * linux/files/opens.c: open files (Linux's struct file) and what each of them was told of failed write-backs: once, by fsync, fdatasync, msync,
 * sync_file_range or syncfs, whichever comes first, through whatever descriptor or mapping of it.
 *
 * Called by calls/mem.c (shared mappings), calls/path.c (opening), calls/fd.c, exec/exec.c and process/end.c (closing), calls/io.c and objects.c (telling). Calls the
 * holder (descriptors.c), which keeps a descriptor of each open file that is known here, and the host's kcmp(2), which tells whether
 * two descriptors are of one open file.
 *
 * An open file is made known when it is mapped shared, and stays known while it is, as Linux keeps it open then; and when there was an error
 * that it has or must not be told. All others have been told of nothing: their word is 0 (base/errseq.h). One that is not mapped is
 * forgotten with its last descriptor: whenever guests close something of that file, those that are left are counted.
 *
 * The object of a file of which a page could not be written back does not end with its last mapping (it is *kept*), but
 * when no guest has the file open: till then the page is tried again by each fsync, and its error told.
 *
 * Invariants:
 *   E1 no two known open files are one.
 *   E2 an open file that is not known was told of no error that was told to anybody before it was opened, and of none since.
 *      Broken by those whose last descriptor was on its way through a socket while guests closed: they may be told again.
 *
 * Without kcmp (a host whose policy forbids it) all open files of a file count as one: the first fsync is told.
 */
#include "base/errseq.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <dirent.h>
#include <errno.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

struct pg_open {
	struct pg_open_file file; /* first: idle() gets it */
	struct pg_open *next;
	struct pg_linux *machine;
	uint64_t dev, ino;
	int number;       /* the holder's descriptor */
	uint32_t fs_seen; /* of the errors of its file system: syncfs */
	bool here;        /* a guest has a descriptor: while they are counted */
};

/* A file system on which a write-back failed. */
struct pg_open_fs {
	struct pg_open_fs *next;
	uint64_t dev;
	uint32_t error, seen; /* seen: told to whom cannot be told apart */
};

static struct pg_open_fs *fs_of(struct pg_linux *l, uint64_t dev)
{
	struct pg_open_fs *f = l->open_fs;

	while (f != NULL && f->dev != dev)
		f = f->next;
	return f;
}

void pg_open_write_failed(struct pg_linux *l, uint64_t dev, int err)
{
	struct pg_open_fs *f = fs_of(l, dev);

	if (f == NULL) {
		f = calloc(1, sizeof(*f));
		if (f == NULL)
			return; /* syncfs will not know */
		f->dev = dev;
		f->next = l->open_fs;
		l->open_fs = f;
	}
	pg_errseq_set(&f->error, err);
}

/* --- who is who ------------------------------------------------------------------------------------------------ */

/* 1: fd of thread tid's table is of the open file; 0: it is not; -errno: the host does not say. */
static int is_of(const struct pg_open *o, int tid, int fd)
{
	long r = syscall(SYS_kcmp, tid, pg_holder_tid(o->machine), KCMP_FILE, fd, o->number);

	return r < 0 ? -errno : r == 0;
}

static void forget(struct pg_open *o)
{
	struct pg_open **at = &o->machine->opens;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	o->machine->opens_idle -= o->file.maps == 0;
	pg_holder_forget(o->machine, o->number);
	free(o);
}

/* Whether it was told of something that may not be told again. */
static bool was_told(const struct pg_open *o)
{
	return o->file.seen != 0 || o->fs_seen != 0;
}

/* Its last mapping is gone. */
static void idle(struct pg_open_file *f)
{
	struct pg_open *o = (struct pg_open *)f;

	o->machine->opens_idle++;
	if (!was_told(o))
		forget(o);
}

/* The open file behind fd; NULL and 0: not known; NULL and an error: the host cannot tell. */
static struct pg_open *find(struct pg_thread *me, int fd, const struct stat *st, int *err)
{
	*err = 0;
	for (struct pg_open *o = me->machine->opens; o != NULL; o = o->next) {
		int is;

		if (o->dev != (uint64_t)st->st_dev || o->ino != (uint64_t)st->st_ino)
			continue;
		is = is_of(o, me->host_tid, fd);
		if (is > 0)
			return o;
		if (is < 0)
			*err = is;
	}
	return NULL;
}

/* The same, made known if it is not. NULL: the host cannot tell, or has no more descriptors. */
static struct pg_open *know(struct pg_thread *me, int fd, const struct stat *st)
{
	struct pg_linux *l = me->machine;
	int err, number;
	struct pg_open *o = find(me, fd, st, &err);

	if (o != NULL || err != 0)
		return o;
	number = pg_holder_store(l, fd);
	o = number >= 0 ? calloc(1, sizeof(*o)) : NULL;
	if (o == NULL) {
		if (number >= 0)
			pg_holder_forget(l, number);
		return NULL;
	}
	*o = (struct pg_open){.file.idle = idle,
		.next = l->opens,
		.machine = l,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.number = number};
	if (is_of(o, me->host_tid, fd) != 1) { /* no kcmp here */
		pg_holder_forget(l, number);
		free(o);
		return NULL;
	}
	l->opens = o;
	l->opens_idle++;
	return o;
}

/* --- mapping, opening ------------------------------------------------------------------------------------------ */

struct pg_open_file *pg_open_hold(struct pg_thread *me, int fd)
{
	struct pg_open *o;
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return NULL;
	o = know(me, fd, &st);
	if (o == NULL)
		return NULL;
	if (o->file.maps++ == 0)
		me->machine->opens_idle--;
	return &o->file;
}

void pg_open_drop(struct pg_open_file *f)
{
	if (f != NULL && --f->maps == 0)
		f->idle(f);
}

void pg_open_opened(struct pg_thread *me, int fd, const struct stat *st)
{
	struct pg_linux *l = me->machine;
	struct pg_open_fs *f = fs_of(l, st->st_dev);
	uint32_t fs_seen = f != NULL ? pg_errseq_sample(f->error) : 0, seen = 0;
	struct pg_object *object;
	struct pg_open *o;

	if (f == NULL)
		return; /* no write-back failed there */
	object = pg_files_find(me, st);
	if (object != NULL)
		seen = pg_object_error_now(object);
	o = seen != 0 || fs_seen != 0 ? know(me, fd, st) : NULL;
	if (o != NULL) {
		o->file.seen = seen;
		o->fs_seen = fs_seen;
	}
}

/* --- telling --------------------------------------------------------------------------------------------------- */

int pg_open_error(struct pg_thread *me, int fd, const struct stat *st, struct pg_object *object,
	uint32_t *else_seen)
{
	struct pg_open *o;

	if (!pg_object_failed(object))
		return 0;
	o = know(me, fd, st);
	return pg_object_error_since(object, o != NULL ? &o->file.seen : else_seen);
}

int pg_open_fs_error(struct pg_thread *me, int fd, const struct stat *st)
{
	struct pg_open_fs *f = fs_of(me->machine, st->st_dev);
	struct pg_open *o = f != NULL ? know(me, fd, st) : NULL;

	if (f == NULL)
		return 0;
	return pg_errseq_tell(&f->error, o != NULL ? &o->fs_seen : &f->seen);
}

/* --- closing --------------------------------------------------------------------------------------------------- */

static bool anything_to_forget(const struct pg_linux *l)
{
	return l->opens_idle != 0 || l->kept_files != 0;
}

bool pg_open_closing(struct pg_thread *me, int fd)
{
	struct pg_linux *l = me->machine;
	struct stat st;

	if (!anything_to_forget(l) || fstat(fd, &st) != 0)
		return false;
	for (const struct pg_open *o = l->opens; o != NULL; o = o->next)
		if (o->file.maps == 0 && o->dev == (uint64_t)st.st_dev &&
			o->ino == (uint64_t)st.st_ino)
			return true;
	return pg_files_kept(me, &st, false);
}

/* Notes what the descriptors of one table, that of host thread tid, are of. */
static void count_table(struct pg_thread *me, int tid)
{
	struct pg_linux *l = me->machine;
	char path[64];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/self/task/%d/fd", tid);
	d = opendir(path);
	while (d != NULL && (e = readdir(d)) != NULL) {
		int fd = atoi(e->d_name);
		struct stat st;

		if (e->d_name[0] == '.' || !pg_fd_ok(fd) ||
			fstatat(dirfd(d), e->d_name, &st, 0) != 0)
			continue;
		(void)pg_files_kept(me, &st, true);
		for (struct pg_open *o = l->opens; o != NULL; o = o->next)
			if (o->file.maps == 0 && !o->here && o->dev == (uint64_t)st.st_dev &&
				o->ino == (uint64_t)st.st_ino && is_of(o, tid, fd) != 0)
				o->here = true;
	}
	if (d != NULL)
		closedir(d);
}

void pg_open_closed(struct pg_thread *me)
{
	struct pg_linux *l = me->machine;
	struct pg_open *o, *next;

	if (!anything_to_forget(l))
		return;
	for (o = l->opens; o != NULL; o = o->next)
		o->here = false;
	pg_files_let_go(l, true);
	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		for (struct pg_thread *t = p->thread; t != NULL; t = t->next)
			if (t->host_tid != 0 && (t == p->thread || t->fds != p->thread->fds))
				count_table(me, t->host_tid);
	for (o = l->opens; o != NULL; o = next) {
		next = o->next;
		if (o->file.maps == 0 && !o->here)
			forget(o);
	}
	pg_files_let_go(l, false);
}

void pg_open_end(struct pg_linux *l)
{
	while (l->opens != NULL) {
		struct pg_open *o = l->opens;

		l->opens = o->next;
		free(o);
	}
	while (l->open_fs != NULL) {
		struct pg_open_fs *f = l->open_fs;

		l->open_fs = f->next;
		free(f);
	}
}
