/* SPDX-License-Identifier: MIT */
/*
 * linux/files/objects.c: host files as objects of the page cache.
 *
 * Called by exec/map.c and calls/mem.c (mappings), io.c (coherence). Calls descriptors.c, space/object.h and the host.
 * Owns the machine's list of files and the windows of those that are sealed.
 *
 * Invariants:
 *   F1 two mappings of one host file (device and inode) share one object, however it was opened.
 *   F2 a pager's descriptor may be written as soon as one writable shared mapping was made.
 */
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t file_size(void *ctx)
{
	struct pg_file *f = ctx;
	int fd = pg_pager_fd(f);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int file_read(void *ctx, uint64_t index, void *buf)
{
	struct pg_file *f = ctx;
	struct pg_thread *me = f->machine->current;
	uint64_t done = 0;
	int err = 0, fd = pg_pager_fd(f);

	if (fd < 0)
		return fd;
	pg_block_begin(me);
	while (done < PG_PAGE_SIZE) {
		ssize_t n = pread(fd, (char *)buf + done, PG_PAGE_SIZE - done,
			(off_t)(index * PG_PAGE_SIZE + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	pg_block_end(me);
	if (err == 0)
		memset((char *)buf + done, 0, PG_PAGE_SIZE - done);
	return err;
}

/*
 * Of a memory file what was stored behind its end, in its last page, is there when the file grows: the host's page gets it. Other file
 * systems forget it.
 */
static void write_tail(int fd, uint64_t from, const uint8_t *buf, uint64_t want)
{
	uint8_t *page, any = 0;

	for (uint64_t i = want; i < PG_PAGE_SIZE; i++)
		any |= buf[i];
	page = any ? mmap(NULL, PG_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)from)
		   : MAP_FAILED;
	if (page == MAP_FAILED)
		return;
	memcpy(page + want, buf + want, PG_PAGE_SIZE - want);
	munmap(page, PG_PAGE_SIZE);
}

static int file_write(void *ctx, uint64_t index, const void *buf)
{
	struct pg_file *f = ctx;
	struct pg_thread *me = f->machine->current;
	uint64_t size = file_size(f), from = index * PG_PAGE_SIZE, done = 0, want;
	int err = 0, fd = pg_pager_fd(f);

	if (fd < 0)
		return fd;

	if (from >= size)
		return 0;
	want = size - from < PG_PAGE_SIZE ? size - from : PG_PAGE_SIZE;
	if (f->window != NULL && from < f->window_bytes) {
		memcpy(f->window + from, buf, want); /* within its size: no guest runs meanwhile */
		return 0;
	}
	pg_block_begin(me);
	while (done < want) {
		ssize_t n = pwrite(fd, (const char *)buf + done, want - done, (off_t)(from + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = -errno;
			break;
		}
		done += (uint64_t)n;
	}
	if (err == 0 && f->memory && want < PG_PAGE_SIZE)
		write_tail(fd, from, buf, want);
	pg_block_end(me);
	if (err != 0)
		pg_open_write_failed(f->machine, f->key.device - 1, err);
	return err;
}

/*
 * Room for the page, if the file has holes: what is stored there must not meet a full disk when it is written back. Linux asks the file system for it at the
 * first store (page_mkwrite), and memory files at the first touch; a guest that gets none gets SIGBUS in both.
 */
static int file_reserve(void *ctx, uint64_t index)
{
	struct pg_file *f = ctx;
	struct pg_thread *me = f->machine->current;
	uint64_t from = index * PG_PAGE_SIZE, size;
	int err = 0, fd = pg_pager_fd(f);
	struct stat st;

	if (fd < 0)
		return fd;
	if (!f->writable || fstat(fd, &st) != 0)
		return 1;
	size = (uint64_t)st.st_size;
	if (from >= size || (uint64_t)st.st_blocks * 512 >= size)
		return 1;
	pg_block_begin(me);
	while (err == 0 &&
		fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from,
			(off_t)(size - from < PG_PAGE_SIZE ? size - from : PG_PAGE_SIZE)) != 0)
		err = errno == EINTR ? 0 : -errno;
	pg_block_end(me);
	/* others: the file system cannot, or may not (seals); writing will show */
	return err == -ENOSPC || err == -EDQUOT || err == -EIO ? err : 0;
}

static bool file_keep(void *ctx, struct pg_object *o)
{
	struct pg_file *f = ctx;

	if (f->leaves || f->machine->over)
		return false;
	f->kept = o;
	f->machine->kept_files++;
	return true;
}

static int file_punch(void *ctx, uint64_t start, uint64_t end)
{
	struct pg_file *f = ctx;
	struct pg_thread *me = f->machine->current;
	int err = 0, fd = pg_pager_fd(f);

	if (fd < 0)
		return fd;
	pg_block_begin(me);
	while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
		       (off_t)(end - start)) != 0) {
		err = errno == EINTR ? 0 : -errno;
		if (err != 0)
			break;
	}
	pg_block_end(me);
	return err;
}

static void file_close(void *ctx)
{
	struct pg_file *f = ctx;
	struct pg_file **at = &f->machine->files;

	while (*at != NULL && *at != f)
		at = &(*at)->next;
	if (*at == f)
		*at = f->next;
	if (f->window != NULL)
		munmap(f->window, f->window_bytes);
	pg_pager_close(f->machine, f->fd);
	pthread_mutex_destroy(&f->bytes);
	free(f);
}

static void file_lock(void *ctx)
{
	struct pg_file *f = ctx;
	struct pg_thread *me = f->machine->current;

	if (pthread_mutex_trylock(&f->bytes) == 0)
		return;
	pg_block_begin(me);
	pthread_mutex_lock(&f->bytes);
	pg_block_end(me);
}

static void file_unlock(void *ctx)
{
	pthread_mutex_unlock(&((struct pg_file *)ctx)->bytes);
}

static const struct pg_pager file_pager = {
	.name = "host file",
	.read = file_read,
	.write = file_write,
	.size = file_size,
	.close = file_close,
	.punch = file_punch,
	.reserve = file_reserve,
	.keep = file_keep,
	.lock = file_lock,
	.unlock = file_unlock,
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

bool pg_files_kept(struct pg_thread *me, const struct stat *st, bool here)
{
	struct pg_file *f = me->machine->kept_files != 0 ? find_file(me, key_of(st)) : NULL;

	if (f == NULL || f->kept == NULL)
		return false;
	f->open_here = f->open_here || here;
	return true;
}

static void let_go(struct pg_linux *l, struct pg_file *f)
{
	struct pg_object *o = f->kept;

	f->kept = NULL;
	f->leaves = true;
	l->kept_files--;
	pg_object_unref(o); /* the last try to write; frees f */
}

void pg_files_let_go(struct pg_linux *l, bool begin)
{
	struct pg_file *f = l->files;

	while (f != NULL) {
		if (begin)
			f->open_here = false;
		if (begin || f->kept == NULL || f->open_here) {
			f = f->next;
		} else {
			let_go(l, f);
			f = l->files; /* others may have come and gone meanwhile */
		}
	}
}

struct pg_object *pg_files_find(struct pg_thread *me, const struct stat *st)
{
	if (me->machine->files == NULL || !S_ISREG(st->st_mode))
		return NULL;
	return pg_object_find(me->machine->vm, key_of(st));
}

int pg_files_sync(struct pg_thread *me, int fd, uint64_t start, uint64_t end, bool tell)
{
	struct pg_object *o;
	struct pg_file *f;
	struct stat st;
	int err, told = 0;

	if (me->machine->files == NULL || fstat(fd, &st) != 0)
		return 0;
	o = pg_files_find(me, &st);
	if (o == NULL)
		return 0;
	pg_object_ref(o); /* writing back may give up the machine lock */
	err = pg_object_sync(o, start, end);
	f = find_file(me, key_of(&st));
	if (tell && f != NULL)
		told = pg_open_error(me, fd, &st, o, &f->error_seen);
	pg_object_unref(o);
	return err != 0 && tell ? err : told;
}

void pg_files_sync_all(struct pg_thread *me, const struct stat *on)
{
	struct pg_object_key *keys;
	size_t n = 0, i = 0;

	for (const struct pg_file *f = me->machine->files; f != NULL; f = f->next)
		n++;
	keys = calloc(n + 1, sizeof(*keys));
	if (keys == NULL)
		return;
	for (const struct pg_file *f = me->machine->files; f != NULL; f = f->next)
		keys[i++] = f->key;
	for (i = 0; i < n; i++) {
		struct pg_object *o = pg_object_find(me->machine->vm, keys[i]);

		if (o == NULL || (on != NULL && key_of(on).device != keys[i].device))
			continue;
		pg_object_ref(o);
		(void)!pg_object_sync(
			o, 0, UINT64_MAX); /* the page stays dirty, the error is told later */
		pg_object_unref(o);
	}
	free(keys);
}

int pg_files_to_disk(struct pg_thread *me, struct pg_object_key key)
{
	struct pg_file *f = find_file(me, key);
	int fd = f != NULL ? pg_pager_fd(f) : -1;

	if (f == NULL)
		return 0;
	return fd < 0 ? fd : (int)PG_HOST(me, SYS_fdatasync, fd, 0, 0, 0, 0, 0);
}

int pg_files_keep_writable(struct pg_thread *me, const struct stat *st)
{
	struct pg_file *f = find_file(me, key_of(st));
	/* room to grow: pages beyond the end are only written when the file has them */
	uint64_t bytes = pg_align_up((uint64_t)st->st_size, PG_PAGE_SIZE) + ((uint64_t)64 << 20);
	int fd = f != NULL ? pg_pager_fd(f) : -1;
	void *p;

	if (f == NULL || f->window != NULL)
		return 0;
	if (fd < 0)
		return fd;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	f->window = p;
	f->window_bytes = bytes;
	return 0;
}

int pg_files_object(struct pg_thread *me, int fd, const struct stat *st, bool writable,
	const char *name, struct pg_object **out)
{
	struct pg_object_key key = key_of(st);
	struct pg_file *f = find_file(me, key);
	bool existed = false;
	struct statfs fs;
	int err, own;

	if (!S_ISREG(st->st_mode))
		return -ENODEV;
	if (f != NULL && pg_object_find(me->machine->vm, key) != NULL) {
		if (writable && !f->writable) {
			own = pg_pager_open(me->machine, fd, f->fd);
			if (own < 0)
				return own;
			f->writable = true;
		}
		return pg_object_open(me->machine->vm, key, name, &file_pager, f, 0, out, &existed);
	}
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	own = pg_pager_open(me->machine, fd, -1);
	if (own < 0) {
		free(f);
		return own;
	}
	*f = (struct pg_file){.next = me->machine->files,
		.machine = me->machine,
		.key = key,
		.fd = own,
		.writable = writable};
	pthread_mutex_init(&f->bytes, NULL);
	err = pg_object_open(me->machine->vm, key, name, &file_pager, f, 0, out, &existed);
	if (err != 0) {
		pg_pager_close(me->machine, own);
		pthread_mutex_destroy(&f->bytes);
		free(f);
		return err;
	}
	PG_ASSERT(!existed);
	if (fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
		pg_object_set_shmem(*out);
	f->memory = pg_object_is_shmem(*out);
	me->machine->files = f;
	return 0;
}
