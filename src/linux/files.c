/* SPDX-License-Identifier: MIT */
/*
 * linux/files.c: host files as objects of the page cache, and whose descriptors are whose.
 *
 * Called by exec.c and sys_mem.c (mappings), io.c (coherence). Calls space/object.h and the host.
 * Owns the pager's descriptors.
 *
 * Invariants:
 *   F1 two mappings of one host file (device and inode) share one object, however it was opened.
 *   F2 every descriptor of Pagoda's own is at or above pg_linux_fd_limit(), every one of the guest's below.
 *   F3 a pager's descriptor may be written as soon as one writable shared mapping was made.
 *   F4 closing a pager's descriptor never drops a guest's fcntl lock: once the guest has taken one, they are
 *      kept until the guest ends (closing any descriptor of a file drops a process's locks on it).
 */
#include "linux/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OWN_FDS 512 /* how many numbers are kept for Pagoda at the top */
#define OWN_FDS_FROM                                                                               \
	16384 /* not higher than this: the host's table of descriptors grows with the number */

/* The hard limit is never changed while Pagoda lives, so neither is what follows from it. */
static int compute_fd_limit(void)
{
	struct rlimit r;
	uint64_t top;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return 512;
	top = r.rlim_max;
	if (top >= OWN_FDS_FROM + OWN_FDS)
		return OWN_FDS_FROM;
	if (top >= 2 * OWN_FDS)
		return (int)(top - OWN_FDS);
	return (int)(top / 2);
}

int pg_linux_fd_limit(void)
{
	static _Atomic int limit; /* a constant, remembered */

	if (limit == 0)
		limit = compute_fd_limit();
	return limit;
}

/* A copy of fd among our own numbers, close-on-exec; the old one stays open. Or a negative errno. */
static int own_copy(int fd)
{
	int limit = pg_linux_fd_limit(), n;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return -errno;
	if (r.rlim_cur < r.rlim_max) {
		struct rlimit up = {r.rlim_max, r.rlim_max};

		if (setrlimit(RLIMIT_NOFILE, &up) != 0)
			return -errno;
	}
	n = fcntl(fd, F_DUPFD_CLOEXEC, limit);
	if (n < 0)
		n = -errno;
	if (r.rlim_cur < r.rlim_max)
		(void)setrlimit(RLIMIT_NOFILE, &r);
	return n;
}

int pg_linux_own_fd(int fd)
{
	int n;

	if (fd >= pg_linux_fd_limit())
		return fd;
	n = own_copy(fd);
	if (n >= 0)
		close(fd);
	return n;
}

bool pg_fd_ok(int fd)
{
	return fd >= 0 && fd < pg_linux_fd_limit();
}

bool pg_fd_path(int fd, char *out, size_t cap)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", fd);
	n = readlink(link, out, cap - 1);
	if (n <= 0)
		return false;
	out[n] = '\0';
	return true;
}

/* --- the pager of a host file ------------------------------------------------------------------ */

static uint64_t file_size(void *ctx)
{
	const struct pg_file *f = ctx;
	struct stat st;

	return fstat(f->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int file_read(void *ctx, uint64_t index, void *buf)
{
	struct pg_file *f = ctx;
	uint64_t done = 0;
	int err = 0;

	pg_block_begin(f->l);
	while (done < PG_PAGE_SIZE) {
		ssize_t n = pread(f->fd, (char *)buf + done, PG_PAGE_SIZE - done,
			(off_t)(index * PG_PAGE_SIZE + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	pg_block_end(f->l);
	if (err == 0)
		memset((char *)buf + done, 0, PG_PAGE_SIZE - done);
	return err;
}

static int file_write(void *ctx, uint64_t index, const void *buf)
{
	struct pg_file *f = ctx;
	uint64_t size = file_size(f), from = index * PG_PAGE_SIZE, done = 0, want;
	int err = 0;

	if (from >= size)
		return 0;
	want = size - from < PG_PAGE_SIZE ? size - from : PG_PAGE_SIZE;
	pg_block_begin(f->l);
	while (done < want) {
		ssize_t n =
			pwrite(f->fd, (const char *)buf + done, want - done, (off_t)(from + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = -errno;
			break;
		}
		done += (uint64_t)n;
	}
	pg_block_end(f->l);
	return err;
}

static void keep_fd(struct pg_thread *me, int fd)
{
	if (me->machine->kept_count == me->machine->kept_cap) {
		unsigned cap = me->machine->kept_cap != 0 ? 2 * me->machine->kept_cap : 16;
		int *more = realloc(me->machine->kept_fds, cap * sizeof(*more));

		if (more == NULL) {
			close(fd);
			return;
		}
		me->machine->kept_fds = more;
		me->machine->kept_cap = cap;
	}
	me->machine->kept_fds[me->machine->kept_count++] = fd;
}

void pg_files_close_kept(struct pg_thread *me)
{
	for (unsigned i = 0; i < me->machine->kept_count; i++)
		close(me->machine->kept_fds[i]);
	free(me->machine->kept_fds);
	me->machine->kept_fds = NULL;
	me->machine->kept_count = me->machine->kept_cap = 0;
}

static void file_close(void *ctx)
{
	struct pg_file *f = ctx;
	struct pg_file **at = &f->me->machine->files;

	while (*at != NULL && *at != f)
		at = &(*at)->next;
	if (*at == f)
		*at = f->next;
	if (f->me->fds->posix_locks)
		keep_fd(f->l, f->fd);
	else
		close(f->fd);
	free(f);
}

static const struct pg_pager file_pager = {
	.name = "host file",
	.read = file_read,
	.write = file_write,
	.size = file_size,
	.close = file_close,
};

static struct pg_file *find_file(struct pg_thread *me, struct pg_object_key key)
{
	for (struct pg_file *f = me->machine->files; f != NULL; f = f->next)
		if (f->key.device == key.device && f->key.inode == key.inode)
			return f;
	return NULL;
}

static struct pg_object_key key_of(const struct stat *st)
{
	/* a device number of 0 is not a host file's; the key {0, 0} means "not shared" */
	return (struct pg_object_key){(uint64_t)st->st_dev + 1, (uint64_t)st->st_ino};
}

struct pg_object *pg_files_find(struct pg_thread *me, const struct stat *st)
{
	if (me->machine->files == NULL || !S_ISREG(st->st_mode))
		return NULL;
	return pg_object_find(me->machine->vm, key_of(st));
}

int pg_files_object(struct pg_thread *me, int fd, const struct stat *st, bool writable,
	const char *name, struct pg_object **out)
{
	struct pg_object_key key = key_of(st);
	struct pg_file *f = find_file(me, key);
	bool existed = false;
	int err, own;

	if (!S_ISREG(st->st_mode))
		return -ENODEV;
	if (f != NULL && pg_object_find(me->machine->vm, key) != NULL) {
		if (writable && !f->writable) {
			own = own_copy(fd);
			if (own < 0)
				return own;
			if (me->fds->posix_locks)
				keep_fd(me, f->fd);
			else
				close(f->fd);
			f->fd = own;
			f->writable = true;
		}
		return pg_object_open(me->machine->vm, key, name, &file_pager, f, 0, out, &existed);
	}
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	own = own_copy(fd);
	if (own < 0) {
		free(f);
		return own;
	}
	*f = (struct pg_file){
		.next = me->machine->files, .l = l, .key = key, .fd = own, .writable = writable};
	err = pg_object_open(me->machine->vm, key, name, &file_pager, f, 0, out, &existed);
	if (err != 0) {
		close(own);
		free(f);
		return err;
	}
	PG_ASSERT(!existed);
	me->machine->files = f;
	return 0;
}
