/* SPDX-License-Identifier: MIT */
/*
 * store/file.c: a swap file: slot s is the page at byte base + s * PG_PAGE_SIZE of a host file.
 *
 *   write, read -> runs of neighbours in slots -> pwritev, preadv; or io_uring when there are several
 *
 * Called by store.c. Calls slots.c, ring.c and the host. Owns the descriptor, a checksum for each slot.
 *
 * Two kinds of file. Without a name: temporary, sparse, gone with the process. With a name: created,
 * or taken again if its first page says that it was ours; any other file that is not empty is
 * refused, so that a slip of the pen costs nobody a file. It is locked (flock) while in use, and keeps its size but not its contents.
 *
 * A file is sparse: the disk may be full when a page is written (-ENOSPC for that page).
 * A run that fails is made again page by page, so that one bad page costs one page.
 *
 * Invariants (pg_store_check):
 *   W1 a slot that is not reserved has checksum 0; it is 0 as well until its page is written.
 */
#include "store/impl.h"
#include "store/ring.h"
#include "store/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define RUN_MAX PG_STORE_CLUSTER /* pages of one host request */
#define RUNS_MAX 64u             /* requests prepared at once */
#define KEEP_EMPTY 16u           /* empty clusters whose place is not given back: 16 MiB */

static const char magic[] =
	"PAGODA-SWAP 1\nA swap file of pagoda; it may be removed when none runs.\n";

struct file_store {
	struct pg_store head;
	uint64_t *sums;    /* one a slot, mapped; a slot's word is its user's */
	uint64_t total;    /* slots */
	uint64_t base;     /* bytes before slot 0 */
	uint64_t punched;  /* slots; under head.lock */
	uint64_t host[2];  /* requests: reads, writes; under head.lock */
	uint64_t bytes[2]; /* moved; under head.lock */
	pthread_mutex_t ring_lock;
	struct pg_ring *ring; /* under ring_lock; NULL: not permitted, or not wanted */
	int fd;
	bool no_punch; /* the file system cannot; under head.lock */
	bool named;
};

static void release(struct pg_store *s, pg_slot first, unsigned n)
{
	struct file_store *f = (struct file_store *)s;
	uint32_t c = first.v / PG_STORE_CLUSTER;
	bool empty;

	for (unsigned i = 0; i < n; i++)
		f->sums[first.v + i] = 0;
	pthread_mutex_lock(&s->lock);
	empty = pg_slots_release(f->head.slots, first, n,
		!f->no_punch && pg_slots_emptied(f->head.slots) >= KEEP_EMPTY);
	pthread_mutex_unlock(&s->lock);
	if (!empty)
		return;
	/* The cluster is detached: nobody writes to it now. */
	{
		uint64_t at = (uint64_t)c * PG_STORE_CLUSTER;
		uint64_t slots =
			f->total - at < PG_STORE_CLUSTER ? f->total - at : PG_STORE_CLUSTER;
		int rc = fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)(f->base + at * PG_PAGE_SIZE), (off_t)(slots * PG_PAGE_SIZE));

		pthread_mutex_lock(&s->lock);
		if (rc == 0)
			f->punched += slots;
		else if (errno != EINTR)
			f->no_punch = true;
		pg_slots_attach(f->head.slots, c);
		pthread_mutex_unlock(&s->lock);
	}
}

/* A run: io[n], whose slots are neighbours in ascending order. */
struct run {
	struct pg_store_io *io;
	struct iovec *iov;
	unsigned n;
};

static uint64_t place(const struct file_store *f, pg_slot slot)
{
	return f->base + (uint64_t)slot.v * PG_PAGE_SIZE;
}

/* One plain call for pages [from, n) of a run: bytes moved, 0 at the file's end, or -errno. */
static int64_t plain(struct file_store *f, struct run *r, unsigned from, unsigned n, bool write)
{
	ssize_t got;

	do
		if (write)
			got = pwritev(f->fd, r->iov + from, (int)(n - from),
				(off_t)place(f, r->io[from].slot));
		else
			got = preadv(f->fd, r->iov + from, (int)(n - from),
				(off_t)place(f, r->io[from].slot));
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

/*
 * Sets the status of each page of a run whose first request moved `res` bytes or failed: what is
 * missing is asked for again; pages of a request that moved nothing, one by one.
 */
static void finish(struct file_store *f, struct run *r, int64_t res, bool write, uint64_t *requests)
{
	unsigned done = 0, n = r->n;

	for (;;) {
		unsigned whole = res > 0 ? (unsigned)(res / (int64_t)PG_PAGE_SIZE) : 0;

		for (unsigned i = 0; i < whole; i++)
			r->io[done + i].status = 0;
		done += whole;
		if (done == n) {
			if (n == r->n)
				return;
			n = r->n;
		} else if (whole == 0 && done + 1 == n) {
			r->io[done++].status = res < 0 ? (int)res : -EIO;
			n = r->n;
			if (done == n)
				return;
		} else if (whole == 0) {
			n = done + 1;
		}
		(*requests)++;
		res = plain(f, r, done, n, write);
	}
}

/* Makes the requests of runs[n] at once; false if there is no ring to do so. */
static bool together(
	struct file_store *f, struct run *runs, struct pg_ring_op *op, unsigned n, bool write)
{
	bool fine = false;

	if (n < 2 || pthread_mutex_trylock(&f->ring_lock) != 0)
		return false; /* another thread has it: plain calls are no slower than to wait */
	if (f->ring) {
		for (unsigned i = 0; i < n; i++)
			op[i] = (struct pg_ring_op){
				runs[i].iov, runs[i].n, write, place(f, runs[i].io[0].slot), 0};
		fine = pg_ring_run(f->ring, op, n) == 0;
		if (!fine) {
			pg_ring_destroy(f->ring);
			f->ring = NULL;
		}
	}
	pthread_mutex_unlock(&f->ring_lock);
	return fine;
}

/* io[n] in runs, up to RUNS_MAX runs and RUN_MAX pages at a time. */
static void move(struct file_store *f, struct pg_store_io *io, unsigned n, bool write)
{
	struct iovec iov[RUN_MAX];
	struct run runs[RUNS_MAX];
	struct pg_ring_op op[RUNS_MAX];
	uint64_t requests = 0, bytes = 0;
	bool disk_full = false;
	unsigned at = 0;

	while (at < n) {
		unsigned count = 0, pages = 0;

		while (at < n && pages < RUN_MAX) {
			struct run *r = count ? &runs[count - 1] : NULL;
			bool joins = r && io[at].slot.v == r->io[r->n - 1].slot.v + 1;

			PG_ASSERT(io[at].slot.v < f->total);
			if (!joins && count == RUNS_MAX)
				break;
			iov[pages] = (struct iovec){io[at].page, PG_PAGE_SIZE};
			if (joins)
				r->n++;
			else
				runs[count++] = (struct run){&io[at], &iov[pages], 1};
			at++, pages++;
		}
		requests += count;
		if (together(f, runs, op, count, write))
			for (unsigned i = 0; i < count; i++) {
				if (op[i].res == -EAGAIN || op[i].res == -EINTR ||
					op[i].res == -ECANCELED)
					op[i].res = plain(f, &runs[i], 0, runs[i].n, write);
				finish(f, &runs[i], op[i].res, write, &requests);
			}
		else
			for (unsigned i = 0; i < count; i++)
				finish(f, &runs[i], plain(f, &runs[i], 0, runs[i].n, write), write,
					&requests);
	}
	for (unsigned i = 0; i < n; i++) {
		bytes += io[i].status == 0 ? PG_PAGE_SIZE : 0;
		disk_full |= write && io[i].status == -ENOSPC;
	}
	pthread_mutex_lock(&f->head.lock);
	if (disk_full)
		pg_slots_prefer_used(f->head.slots);
	f->host[write] += requests;
	f->bytes[write] += bytes;
	pthread_mutex_unlock(&f->head.lock);
}

static void write_pages(struct pg_store *s, struct pg_store_io *io, unsigned n, bool last)
{
	struct file_store *f = (struct file_store *)s;

	move(f, io, n, true);
	for (unsigned i = 0; i < n; i++)
		f->sums[io[i].slot.v] =
			io[i].status == 0 ? pg_store_sum(io[i].page, io[i].slot) : 0;
}

static void read_pages(struct pg_store *s, struct pg_store_io *io, unsigned n)
{
	struct file_store *f = (struct file_store *)s;

	move(f, io, n, false);
	for (unsigned i = 0; i < n; i++) {
		uint64_t sum = f->sums[io[i].slot.v];

		if (sum == 0)
			io[i].status = -ENODATA;
		else if (io[i].status == 0 && pg_store_sum(io[i].page, io[i].slot) != sum)
			io[i].status = -EILSEQ;
	}
}

static void add_stats(struct pg_store *s, struct pg_store_stats *out)
{
	struct file_store *f = (struct file_store *)s;

	pthread_mutex_lock(&s->lock);
	out->host_in += f->host[0];
	out->host_out += f->host[1];
	out->bytes_in += f->bytes[0];
	out->bytes_out += f->bytes[1];
	out->punched += f->punched;
	pthread_mutex_unlock(&s->lock);
}

static void room(struct pg_store *s, struct pg_store_room *out)
{
	struct file_store *f = (struct file_store *)s;

	pthread_mutex_lock(&s->lock);
	out->slots = out->sure = f->total;
	out->used = pg_slots_used(f->head.slots);
	out->free = out->slots - out->used;
	out->limit_bytes = f->total * PG_PAGE_SIZE;
	pthread_mutex_unlock(&s->lock);
}

static const char *check(struct pg_store *s)
{
	struct file_store *f = (struct file_store *)s;
	const char *broken;

	pthread_mutex_lock(&s->lock);
	broken = pg_slots_check(f->head.slots);
	for (uint64_t i = 0; !broken && i < f->total; i++)
		if (f->sums[i] && !pg_slots_taken(f->head.slots, (pg_slot){(uint32_t)i}))
			broken = "W1: a slot that is free has a checksum";
	pthread_mutex_unlock(&s->lock);
	return broken;
}

static void destroy(struct pg_store *s)
{
	struct file_store *f = (struct file_store *)s;

	if (f->named && f->fd >= 0) {
		/* What programs had in memory is nothing to leave on a disk; the size is kept. */
		off_t size = (off_t)(f->base + f->total * PG_PAGE_SIZE);

		if (ftruncate(f->fd, (off_t)f->base) == 0)
			(void)!ftruncate(f->fd, size);
	}
	pg_ring_destroy(f->ring);
	if (f->fd >= 0)
		close(f->fd);
	if (f->sums)
		munmap(f->sums, f->total * sizeof(uint64_t));
	pthread_mutex_destroy(&f->ring_lock);
	pg_store_fini(s);
	free(f);
}

static const struct pg_store_ops ops = {
	.destroy = destroy,
	.reserve = pg_store_take_slots,
	.release = release,
	.write = write_pages,
	.read = read_pages,
	.stats = add_stats,
	.room = room,
	.is_reserved = pg_store_slot_taken,
	.check = check,
};

/* An open file without a name in `folder`; -errno. */
static int open_unnamed(const char *folder, int flags)
{
	char *path = NULL;
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | flags, 0600);

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return -errno;
	/* The file system, or the kernel, has no O_TMPFILE. */
	if (asprintf(&path, "%s/pagoda-swap-XXXXXX", folder) < 0)
		return -ENOMEM;
	fd = mkostemp(path, O_CLOEXEC | flags);
	if (fd < 0)
		fd = -errno;
	else
		unlink(path);
	free(path);
	return fd;
}

/* Opens, or makes, a file that is ours; *size is its size in bytes, 0 if new. -errno and *why. */
static int open_named(const char *path, int flags, uint64_t *size, const char **why)
{
	char page[sizeof(magic) - 1];
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), rc;

	if (fd < 0) {
		rc = -errno;
		*why = errno == EACCES || errno == EPERM
			       ? "no permission to open or make the swap file"
		       : errno == ENOENT || errno == ENOTDIR ? "the swap file's folder is not there"
		       : errno == EROFS  ? "the swap file's file system is for reading only"
		       : errno == EISDIR ? "the swap file is a folder"
					 : "the swap file cannot be opened";
		return rc;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		*why = "the swap file is in use";
		rc = -EBUSY;
	} else if (fstat(fd, &st) != 0) {
		rc = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		*why = "the swap file is not a regular file";
		rc = -EINVAL;
	} else if (st.st_size > 0 && (pread(fd, page, sizeof(page), 0) != (ssize_t)sizeof(page) ||
					     memcmp(page, magic, sizeof(page)) != 0)) {
		*why = "the file is there already and was not made by pagoda";
		rc = -EEXIST;
	} else if (flags && fcntl(fd, F_SETFL, flags) != 0) {
		*why = "the file system has no direct access";
		rc = -errno;
	} else {
		*size = (uint64_t)st.st_size;
		return fd;
	}
	close(fd);
	return rc;
}

/* Splits [PATH:]SIZE or PATH; path is a copy or NULL; size 0 if not given. */
static int parse(const char *args, const char *end, char **path, uint64_t *size)
{
	const char *colon = memrchr(args, ':', (size_t)(end - args));
	const char *path_end = NULL;

	*path = NULL;
	*size = 0;
	if (pg_store_parse_size(args, end, size))
		return 0;
	if (colon && pg_store_parse_size(colon + 1, end, size))
		path_end = colon;
	else if (memchr(args, '/', (size_t)(end - args)))
		path_end = end;
	if (!path_end || path_end == args)
		return -EINVAL;
	*path = strndup(args, (size_t)(path_end - args));
	return *path ? 0 : -ENOMEM;
}

/* Moves a descriptor to fd_min or above. */
static int raise_fd(int fd, int fd_min)
{
	int moved;

	if (fd >= fd_min)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, fd_min);
	if (moved < 0)
		moved = -errno;
	close(fd);
	return moved;
}

static int make(const char *name, const char *args, const char *end, int flags,
	const struct pg_store_options *options, struct pg_store **out, const char **why)
{
	struct file_store *f;
	char *path;
	uint64_t size, old = 0;
	int rc = parse(args, end, &path, &size);

	if (rc < 0) {
		*why = "a swap file is given as SIZE, or as PATH:SIZE; a size is a number and K, "
		       "M, G or T";
		return rc;
	}
	f = calloc(1, sizeof(*f));
	if (!f || pg_store_init(&f->head, &ops, name, end) < 0) {
		free(f);
		free(path);
		return -ENOMEM;
	}
	pthread_mutex_init(&f->ring_lock, NULL);
	f->named = path != NULL;
	f->base = path ? PG_PAGE_SIZE : 0;
	if (path)
		f->fd = open_named(path, flags, &old, why);
	else
		f->fd = open_unnamed(options->tmp_dir ? options->tmp_dir : "/var/tmp", flags);
	free(path);
	rc = f->fd;
	if (rc < 0) {
		if (!*why)
			*why = "the folder for temporary files takes no swap file";
		goto fail;
	}
	f->fd = raise_fd(f->fd, options->fd_min);
	rc = f->fd;
	if (rc < 0)
		goto fail;
	f->total = (size ? size : old > f->base ? old - f->base : 0) / PG_PAGE_SIZE;
	rc = -EINVAL;
	*why = f->total ? "a swap file has at most 16 TiB"
			: "a swap file needs a size of one page or more";
	if (f->total == 0 || f->total >= UINT32_MAX) {
		f->total = 0;
		goto fail;
	}
	*why = "the swap file cannot be made that large";
	if (ftruncate(f->fd, (off_t)f->base) != 0 ||
		ftruncate(f->fd, (off_t)(f->base + f->total * PG_PAGE_SIZE)) != 0) {
		rc = -errno;
		goto fail;
	}
	if (f->named) {
		char *page = aligned_alloc(PG_PAGE_SIZE, PG_PAGE_SIZE);
		ssize_t put = 0;

		if (page) {
			memset(page, 0, PG_PAGE_SIZE);
			memcpy(page, magic, sizeof(magic) - 1);
			put = pwrite(f->fd, page, PG_PAGE_SIZE, 0);
			rc = put < 0 ? -errno : -EIO;
		}
		free(page);
		if (put != (ssize_t)PG_PAGE_SIZE) {
			*why = "the swap file cannot be written";
			goto fail;
		}
	}
	*why = NULL;
	rc = -ENOMEM;
	f->sums = mmap(NULL, f->total * sizeof(uint64_t), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (f->sums == MAP_FAILED) {
		f->sums = NULL;
		goto fail;
	}
	rc = pg_slots_create(f->total, &f->head.slots);
	if (rc < 0)
		goto fail;
	if (options->no_uring || pg_ring_create(f->fd, options->fd_min, &f->ring) < 0)
		f->ring = NULL; /* plain calls will do */
	*out = &f->head;
	return 0;
fail:
	destroy(&f->head);
	return rc;
}

int pg_store_make_file(const char *name, const char *args, const char *end,
	const struct pg_store_options *options, struct pg_store **out, const char **why)
{
	return make(name, args, end, 0, options, out, why);
}

int pg_store_make_direct(const char *name, const char *args, const char *end,
	const struct pg_store_options *options, struct pg_store **out, const char **why)
{
	return make(name, args, end, O_DIRECT, options, out, why);
}
