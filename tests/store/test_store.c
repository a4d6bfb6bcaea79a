/* SPDX-License-Identifier: MIT */
/*
 * tests/store/test_store.c: store/store.h: specifications, each kind of failure, what a file holds. Rows R6, R11.
 */
#include "pages.h"
#include "store/fault.h"
#include "store/slots.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#define SWAP "test-swap-file"

/* Host calls on the n-th page of the file fail with `host_error`; -1: none does. Linked by --wrap. */
static int64_t bad_page = -1;
static int host_error;
static unsigned host_calls;

ssize_t __real_preadv64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __real_pwritev64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t at);

static bool hits(int n, off_t at)
{
	__atomic_add_fetch(&host_calls, 1, __ATOMIC_RELAXED); /* by several threads */
	if (bad_page < at / (off_t)PG_PAGE_SIZE || bad_page >= at / (off_t)PG_PAGE_SIZE + n)
		return false;
	errno = host_error;
	return true;
}

ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int n, off_t at)
{
	return hits(n, at) ? -1 : __real_preadv64(fd, iov, n, at);
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t at)
{
	return hits(n, at) ? -1 : __real_pwritev64(fd, iov, n, at);
}

static const struct pg_store_options plain = {.no_uring = true};

static struct pg_store *make(const char *spec)
{
	struct pg_store *s = NULL;
	const char *why = NULL;
	int rc = pg_store_create(spec, &plain, &s, &why);

	if (rc < 0)
		print_error("%s: %d %s\n", spec, rc, why ? why : "");
	assert_int_equal(rc, 0);
	assert_null(pg_store_check(s));
	return s;
}

static void unmake(struct pg_store *s)
{
	assert_null(pg_store_check(s));
	pg_store_destroy(s);
}

/* A batch of pages in slots that follow each other, of seeds seed, seed + 1, ... */
struct batch {
	unsigned n;
	uint64_t seed;
	struct pg_store_io io[256];
	uint8_t *pages;
};

static void batch_begin(struct batch *b, struct pg_store *s, unsigned n, uint64_t seed)
{
	b->n = n;
	b->seed = seed;
	b->pages = page_new(n);
	for (unsigned i = 0; i < n;) {
		pg_slot first;
		int got = pg_store_reserve(s, n - i, &first);

		assert_true(got > 0);
		for (int k = 0; k < got; k++, i++)
			b->io[i] = (struct pg_store_io){.slot = {first.v + (unsigned)k},
				.page = b->pages + i * PG_PAGE_SIZE};
	}
}

static int batch_write(struct batch *b, struct pg_store *s)
{
	for (unsigned i = 0; i < b->n; i++)
		page_fill(b->io[i].page, b->seed + i);
	return pg_store_write(s, b->io, b->n);
}

/* Reads; pages with status 0 must be right. */
static int batch_read(struct batch *b, struct pg_store *s)
{
	uint8_t *want = page_new(1);
	int rc;

	memset(b->pages, 0x55, b->n * PG_PAGE_SIZE);
	rc = pg_store_read(s, b->io, b->n);
	for (unsigned i = 0; i < b->n; i++) {
		page_fill(want, b->seed + i);
		if (b->io[i].status == 0)
			assert_memory_equal(want, b->io[i].page, PG_PAGE_SIZE);
	}
	free(want);
	return rc;
}

static void batch_end(struct batch *b, struct pg_store *s)
{
	for (unsigned i = 0; i < b->n; i++)
		pg_store_release(s, b->io[i].slot, 1);
	free(b->pages);
}

static void create_bad_specification_is_refused_with_a_reason(void **state)
{
	static const char *const bad[] = {"", ",", "1G,", ",1G", "0", "1", "1X", "G", "-1G", "1GG",
		"99999999999999999999G", "17T", "zstd", "zstd:", "zstd:x", "zstd:1K", "lz4:200G",
		"lzo:1M", "file:", "file::1M", "file:nosize", "file:" SWAP ":0", "fault:1G",
		"fault:eio", "fault:eio:", "fault:eoi:1M", "fault:eio@0:1M", "fault:eio@1/0:1M",
		"fault:slow=:1M", "fault:eio@1x:1M", "1M,zstd:1M,oops"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pg_store *s = NULL;
		const char *why = NULL;
		int rc = pg_store_create(bad[i], NULL, &s, &why);

		if (rc != -EINVAL || !why)
			print_error("'%s': %d %s\n", bad[i], rc, why ? why : "no reason");
		assert_int_equal(rc, -EINVAL);
		assert_non_null(why);
		assert_null(s);
	}
	unlink(SWAP);
}

static void create_host_failure_is_reported(void **state)
{
	struct pg_store_options nowhere = {.tmp_dir = "/nonexistent/folder"};
	struct pg_store *s;
	const char *why;

	assert_int_equal(pg_store_create("1M", &nowhere, &s, &why), -ENOENT);
	assert_non_null(why);
	assert_int_equal(
		pg_store_create("file:/nonexistent/folder/swap:1M", NULL, &s, &why), -ENOENT);
	assert_int_equal(pg_store_create("file:/dev/null:1M", NULL, &s, &why), -EINVAL);
	assert_non_null(strstr(why, "regular"));
}

static void name_and_parts_are_those_of_the_specification(void **state)
{
	struct pg_store *s = make("zstd:2M,fault:none:lz4:1M,512K");

	assert_string_equal(pg_store_name(s), "zstd:2M,fault:none:lz4:1M,512K");
	assert_string_equal(pg_store_name(pg_store_part(s, 0)), "zstd:2M");
	assert_string_equal(pg_store_name(pg_store_part(pg_store_part(s, 1), 0)), "lz4:1M");
	assert_string_equal(pg_store_name(pg_store_part(s, 2)), "512K");
	assert_null(pg_store_part(s, 3));
	unmake(s);
}

/* What goes out together comes in together: slots reserved one after another are neighbours. */
static void reserve_one_after_another_gives_neighbours(void **state)
{
	static const char *const specs[] = {"4M", "lz4:1M", "lz4:1M,4M"};

	for (int k = 0; k < 3; k++) {
		struct pg_store *s = make(specs[k]);
		pg_slot before, at;

		assert_int_equal(pg_store_reserve(s, 1, &before), 1);
		for (int i = 1; i < 500; i++, before = at) {
			assert_int_equal(pg_store_reserve(s, 1, &at), 1);
			assert_int_equal(at.v, before.v + 1);
		}
		unmake(s);
	}
}

/* An empty cluster is taken before the holes of others are. */
static void reserve_prefers_an_empty_cluster_to_holes(void **state)
{
	struct pg_store *s = make("2M"); /* two clusters */
	pg_slot at;

	assert_int_equal(pg_store_reserve(s, 256, &at), 256);
	assert_int_equal(pg_store_reserve(s, 256, &at), 256);
	assert_int_equal(pg_store_reserve(s, 1, &at), -ENOSPC);
	for (uint32_t i = 0; i < 256; i += 2)
		pg_store_release(s, (pg_slot){256 + i}, 1);
	pg_store_release(s, (pg_slot){0}, 256);
	assert_int_equal(pg_store_reserve(s, 256, &at), 256);
	assert_int_equal(at.v, 0);
	for (uint32_t i = 0; i < 128; i++)
		assert_int_equal(pg_store_reserve(s, 7, &at), 1);
	assert_int_equal(pg_store_reserve(s, 1, &at), -ENOSPC);
	unmake(s);
}

static void read_before_write_says_no_data(void **state)
{
	static const char *const specs[] = {"1M", "zstd:2M", "lz4:1M,1M", "fault:none:1M"};

	for (int k = 0; k < 4; k++) {
		struct pg_store *s = make(specs[k]);
		struct batch b;

		batch_begin(&b, s, 4, 10);
		assert_int_equal(pg_store_read(s, b.io, 4), -ENODATA);
		assert_int_equal(batch_write(&b, s), 0);
		assert_int_equal(batch_read(&b, s), 0);
		batch_end(&b, s);
		batch_begin(&b, s, 4,
			20); /* the same slots, or some of them: nothing is left in them */
		assert_int_equal(pg_store_read(s, b.io, 4), -ENODATA);
		batch_end(&b, s);
		unmake(s);
	}
}

/* Neighbours are one request of the host, in and out. */
static void write_of_neighbours_is_one_request(void **state)
{
	struct pg_store *s = make("4M");
	struct pg_store_stats st;
	struct batch b;

	batch_begin(&b, s, 64, 100);
	host_calls = 0;
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(host_calls, 1);
	assert_int_equal(batch_read(&b, s), 0);
	assert_int_equal(host_calls, 2);
	pg_store_stats(s, &st);
	assert_int_equal(st.host_out, 1);
	assert_int_equal(st.host_in, 1);
	assert_int_equal(st.pages_out, 64);
	assert_int_equal(st.bytes_out, 64 * PG_PAGE_SIZE);
	assert_int_equal(st.calls_out, 1);
	assert_int_equal(st.slots_peak, 64);
	batch_end(&b, s);
	pg_store_stats(s, &st);
	assert_int_equal(st.slots_used, 0);
	unmake(s);
}

/* A bad place costs the page that lies there, and no other. */
static void host_error_costs_one_page_of_the_run(void **state)
{
	struct pg_store *s = make("4M");
	struct pg_store_stats st;
	struct batch b;

	batch_begin(&b, s, 32, 7);
	assert_int_equal(batch_write(&b, s), 0);
	bad_page = b.io[13].slot.v;
	host_error = EIO;
	assert_int_equal(batch_read(&b, s), -EIO);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(b.io[i].status, i == 13 ? -EIO : 0);
	assert_int_equal(batch_write(&b, s), -EIO);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(b.io[i].status, i == 13 ? -EIO : 0);
	bad_page = -1;
	assert_int_equal(
		batch_read(&b, s), -ENODATA); /* what was there before is not taken for it */
	assert_int_equal(b.io[13].status, -ENODATA);
	pg_store_stats(s, &st);
	assert_int_equal(st.failures, 3);
	batch_end(&b, s);
	unmake(s);
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x40;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* Never wrong data: one changed byte of the file is one page with -EILSEQ. */
static void corrupt_byte_in_the_file_is_noticed(void **state)
{
	struct pg_store *s = make("file:" SWAP ":1M");
	struct pg_store_stats st;
	struct batch b;

	batch_begin(&b, s, 16, 300);
	assert_int_equal(batch_write(&b, s), 0);
	for (unsigned i = 0; i < 16; i += 5) {
		off_t at = (off_t)((1 + b.io[i].slot.v) * PG_PAGE_SIZE + 1000 * i % PG_PAGE_SIZE);

		flip(SWAP, at);
		assert_int_equal(batch_read(&b, s), -EILSEQ);
		for (unsigned k = 0; k < 16; k++)
			assert_int_equal(b.io[k].status, k == i ? -EILSEQ : 0);
		flip(SWAP, at);
		assert_int_equal(batch_read(&b, s), 0);
	}
	pg_store_stats(s, &st);
	assert_int_equal(st.checksum_errors, 4);
	assert_int_equal(st.failures, 0);
	batch_end(&b, s);
	unmake(s);
	unlink(SWAP);
}

/* A good page in the wrong place is as wrong as a bad one. */
static void page_of_another_slot_is_noticed(void **state)
{
	struct pg_store *s = make("file:" SWAP ":1M");
	uint8_t *page = page_new(1);
	struct batch b;
	int fd = open(SWAP, O_RDWR);

	batch_begin(&b, s, 2, 40);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(
		pread(fd, page, PG_PAGE_SIZE, (off_t)((1 + b.io[0].slot.v) * PG_PAGE_SIZE)),
		PG_PAGE_SIZE);
	assert_int_equal(
		pwrite(fd, page, PG_PAGE_SIZE, (off_t)((1 + b.io[1].slot.v) * PG_PAGE_SIZE)),
		PG_PAGE_SIZE);
	close(fd);
	assert_int_equal(batch_read(&b, s), -EILSEQ);
	assert_int_equal(b.io[0].status, 0);
	assert_int_equal(b.io[1].status, -EILSEQ);
	batch_end(&b, s);
	free(page);
	unmake(s);
	unlink(SWAP);
}

static void file_cut_short_fails_what_is_behind_its_end(void **state)
{
	struct pg_store *s = make("file:" SWAP ":1M");
	struct batch b;

	batch_begin(&b, s, 16, 41);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(truncate(SWAP, (off_t)((1 + b.io[10].slot.v) * PG_PAGE_SIZE + 100)), 0);
	assert_int_equal(batch_read(&b, s), -EIO);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(b.io[i].status, i < 10 ? 0 : -EIO);
	batch_end(&b, s);
	unmake(s);
	unlink(SWAP);
}

static void named_file_is_kept_and_emptied(void **state)
{
	struct pg_store *s = make("file:" SWAP ":1M");
	struct stat st;
	struct batch b;
	uint8_t page[PG_PAGE_SIZE];
	int fd;

	batch_begin(&b, s, 8, 60);
	assert_int_equal(batch_write(&b, s), 0);
	batch_end(&b, s);
	unmake(s);
	assert_int_equal(stat(SWAP, &st), 0);
	assert_int_equal(st.st_size, 1024 * 1024 + PG_PAGE_SIZE);
	assert_int_equal(st.st_mode & 0777, 0600);
	fd = open(SWAP, O_RDONLY);
	for (off_t at = PG_PAGE_SIZE; at < st.st_size; at += PG_PAGE_SIZE) {
		assert_int_equal(pread(fd, page, sizeof(page), at), PG_PAGE_SIZE);
		for (size_t i = 0; i < sizeof(page); i++)
			assert_int_equal(page[i], 0);
	}
	close(fd);
	s = make("file:./" SWAP); /* the size that it has */
	{
		struct pg_store_room room;

		pg_store_room(s, &room);
		assert_int_equal(room.slots, 256);
		assert_int_equal(room.sure, 256);
		assert_int_equal(room.used, 0);
	}
	unmake(s);
	unlink(SWAP);
}

static void file_of_somebody_else_is_left_alone(void **state)
{
	static const char text[] = "dear diary";
	char back[sizeof(text)] = "";
	struct pg_store *s;
	const char *why;
	int fd = open(SWAP, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
	assert_int_equal(pg_store_create("file:" SWAP ":1M", NULL, &s, &why), -EEXIST);
	assert_non_null(why);
	assert_int_equal(lseek(fd, 0, SEEK_END), sizeof(text));
	assert_int_equal(pread(fd, back, sizeof(back), 0), sizeof(text));
	assert_string_equal(back, text);
	close(fd);
	unlink(SWAP);
}

static void file_in_use_is_refused(void **state)
{
	struct pg_store *s = make("file:" SWAP ":1M"), *other;
	const char *why;
	struct batch b;

	batch_begin(&b, s, 8, 61);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(pg_store_create("file:" SWAP ":1M", NULL, &other, &why), -EBUSY);
	assert_int_equal(batch_read(&b, s), 0);
	batch_end(&b, s);
	unmake(s);
	unlink(SWAP);
}

static unsigned descriptors_below(int limit)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(dir)))
		n += e->d_name[0] != '.' && atoi(e->d_name) < limit &&
		     atoi(e->d_name) != dirfd(dir);
	closedir(dir);
	return n;
}

/* A guest's descriptors are the host's: those of a store stay out of their way. */
static void descriptors_are_not_below_the_least(void **state)
{
	struct pg_store_options high = {.fd_min = 600};
	unsigned before = descriptors_below(600), all = descriptors_below(100000);
	struct pg_store *s;
	struct batch b;

	assert_int_equal(pg_store_create("lz4:1M,1M,file:" SWAP ":1M", &high, &s, NULL), 0);
	assert_int_equal(descriptors_below(600), before);
	assert_true(descriptors_below(100000) > all);
	batch_begin(&b, s, 200, 70);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_read(&b, s), 0);
	batch_end(&b, s);
	pg_store_destroy(s);
	assert_int_equal(descriptors_below(100000), all);
	unlink(SWAP);
}

/* Several runs at once: by io_uring where the host permits it, and with the same outcome where not. */
static void many_runs_at_once_are_right(void **state)
{
	for (int k = 0; k < 2; k++) {
		struct pg_store_options options = {.no_uring = k == 1};
		struct pg_store *s;
		struct batch b;

		assert_int_equal(pg_store_create("8M", &options, &s, NULL), 0);
		batch_begin(&b, s, 256, 1000);
		for (unsigned i = 0; i < 128;
			i++) { /* even slots first, backwards: no two are neighbours */
			struct pg_store_io swap = b.io[i];

			b.io[i] = b.io[255 - i];
			b.io[255 - i] = swap;
		}
		host_calls = 0;
		assert_int_equal(batch_write(&b, s), 0);
		assert_int_equal(batch_read(&b, s), 0);
		if (k == 1)
			assert_int_equal(host_calls, 512);
		batch_end(&b, s);
		unmake(s);
	}
}

/* Row R11: memory that the store's file has taken is given back when its slots are. */
static void release_of_clusters_punches_holes(void **state)
{
	struct pg_store *s = make("file:" SWAP ":40M");
	struct pg_store_stats st;
	struct stat full, empty;
	struct batch b[40];

	for (int i = 0; i < 40; i++) {
		batch_begin(&b[i], s, 256, 4 + 6 * (uint64_t)i);
		assert_int_equal(batch_write(&b[i], s), 0);
	}
	assert_int_equal(stat(SWAP, &full), 0);
	for (int i = 0; i < 40; i++)
		batch_end(&b[i], s);
	assert_int_equal(stat(SWAP, &empty), 0);
	pg_store_stats(s, &st);
	if (st.punched == 0)
		print_message("the file system punches no holes\n");
	else
		assert_true((uint64_t)empty.st_blocks * 512 < 20 << 20);
	assert_true((uint64_t)full.st_blocks * 512 >= 40 << 20);
	batch_begin(&b[0], s, 256, 99);
	assert_int_equal(batch_write(&b[0], s), 0);
	assert_int_equal(batch_read(&b[0], s), 0);
	batch_end(&b[0], s);
	unmake(s);
	unlink(SWAP);
}

static void disk_full_is_enospc_and_loses_nothing(void **state)
{
	char folder[] = "/tmp/pagoda-test-XXXXXX";
	struct pg_store_options there = {.no_uring = true};
	struct pg_store *s;
	struct batch b[8];
	unsigned written = 0, refused = 0;

	assert_non_null(mkdtemp(folder));
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("tmpfs", folder, "tmpfs", 0, "size=2m") != 0) {
		rmdir(folder);
		skip(); /* needs the right to mount */
	}
	there.tmp_dir = folder;
	assert_int_equal(pg_store_create("8M", &there, &s, NULL), 0);
	for (int i = 0; i < 8; i++) {
		batch_begin(&b[i], s, 200, 5000 * (uint64_t)(i + 1));
		(void)!batch_write(&b[i], s);
		for (unsigned k = 0; k < 200; k++) {
			assert_true(b[i].io[k].status == 0 || b[i].io[k].status == -ENOSPC);
			written += b[i].io[k].status == 0;
			refused += b[i].io[k].status != 0;
		}
	}
	assert_in_range(written, 400, 512);
	assert_int_equal(written + refused, 1600);
	for (int i = 0; i < 8; i++) {
		int statuses[200];

		for (unsigned k = 0; k < 200; k++)
			statuses[k] = b[i].io[k].status;
		(void)!batch_read(&b[i], s);
		for (unsigned k = 0; k < 200; k++)
			assert_int_equal(b[i].io[k].status, statuses[k] ? -ENODATA : 0);
	}
	for (int i = 0; i < 8; i++)
		batch_end(&b[i], s);
	unmake(s);
	/* In a stack the next store takes what the disk does not. */
	assert_int_equal(pg_store_create("8M,lz4:16M", &there, &s, NULL), 0);
	for (int i = 0; i < 8; i++) {
		batch_begin(&b[i], s, 200, 7000 * (uint64_t)(i + 1));
		assert_int_equal(batch_write(&b[i], s), 0);
	}
	for (int i = 0; i < 8; i++) {
		assert_int_equal(batch_read(&b[i], s), 0);
		batch_end(&b[i], s);
	}
	unmake(s);
	umount2(folder, MNT_DETACH);
	rmdir(folder);
}

/* --- the failing store */

static void fault_rule_hits_what_it_says(void **state)
{
	struct pg_store *s = make("fault:eio@3/4:1M");
	struct batch b;

	batch_begin(&b, s, 12, 500);
	assert_int_equal(batch_write(&b, s), -EIO); /* pages 3, 7 and 11 of the first call */
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(b.io[i].status, i % 4 == 2 ? -EIO : 0);
	assert_int_equal(pg_store_fault_hits(s), 3);
	pg_store_fault_set(
		s, &(struct pg_fault_rule){.kind = PG_FAULT_EIO, .in = true, .first = 2});
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_read(&b, s), -EIO);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(b.io[i].status, i == 1 ? -EIO : 0);
	assert_int_equal(batch_read(&b, s), 0);
	batch_end(&b, s);
	unmake(s);
}

static void fault_short_fails_the_rest_of_the_call(void **state)
{
	struct pg_store *s = make("fault:short@5:1M");
	struct batch b;

	batch_begin(&b, s, 12, 500);
	assert_int_equal(batch_write(&b, s), -EIO);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(b.io[i].status, i < 4 ? 0 : -EIO);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_read(&b, s), 0);
	batch_end(&b, s);
	unmake(s);
}

static void fault_corrupt_is_never_wrong_data(void **state)
{
	static const char *const specs[] = {"fault:corrupt-out@4:1M", "fault:corrupt-in@4:1M",
		"fault:corrupt-out@4:zstd:2M", "fault:corrupt-in@4:lz4:1M"};

	for (int k = 0; k < 4; k++) {
		struct pg_store *s = make(specs[k]);
		struct pg_store_stats st;
		struct batch b;

		batch_begin(&b, s, 12, 500);
		assert_int_equal(batch_write(&b, s), 0);
		assert_int_equal(batch_read(&b, s), -EILSEQ);
		for (unsigned i = 0; i < 12; i++)
			assert_int_equal(b.io[i].status, i == 3 ? -EILSEQ : 0);
		pg_store_stats(s, &st);
		assert_int_equal(st.checksum_errors, 1);
		batch_end(&b, s);
		unmake(s);
	}
}

static void fault_full_refuses_writes_and_slots(void **state)
{
	struct pg_store *s = make("fault:full@10+:1M");
	struct batch b;
	pg_slot at;

	batch_begin(&b, s, 4, 1); /* counts as one */
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_write(&b, s), -ENOSPC);
	assert_int_equal(pg_store_reserve(s, 1, &at), -ENOSPC);
	assert_int_equal(pg_store_read(s, b.io, 4), -ENODATA);
	batch_end(&b, s);
	unmake(s);
}

struct blocked {
	struct pg_store *s;
	struct batch *b;
	int rc;
};

static void *write_blocked(void *arg)
{
	struct blocked *x = arg;

	x->rc = batch_write(x->b, x->s);
	return NULL;
}

/* A call that blocks stops nobody else. */
static void fault_block_holds_one_call_up(void **state)
{
	struct pg_store *s = make("1M,fault:none:1M");
	struct pg_store *inner = pg_store_part(s, 1);
	struct batch a, b, filler;
	struct blocked x = {s, &b, 1};
	pthread_t thread;

	batch_begin(&a, s, 16, 900);
	assert_int_equal(batch_write(&a, s), 0);
	batch_begin(&filler, s, 240, 902);
	assert_int_equal(batch_write(&filler, s), 0); /* the first store is full now */
	batch_begin(&b, s, 16, 901);
	pg_store_fault_set(
		inner, &(struct pg_fault_rule){.kind = PG_FAULT_BLOCK, .out = true, .first = 2});
	assert_int_equal(pthread_create(&thread, NULL, write_blocked, &x), 0);
	while (pg_store_fault_blocked(inner) == 0)
		sched_yield();
	assert_int_equal(batch_read(&a, s), 0);
	assert_int_equal(batch_write(&a, s), 0);
	assert_int_equal(x.rc, 1); /* still in there */
	pg_store_fault_set(inner, &(struct pg_fault_rule){0});
	pthread_join(thread, NULL);
	assert_int_equal(x.rc, 0);
	assert_int_equal(batch_read(&b, s), 0);
	batch_end(&a, s);
	batch_end(&b, s);
	batch_end(&filler, s);
	unmake(s);
}

static void fault_slow_counts_its_time(void **state)
{
	struct pg_store *s = make("fault:slow=3-in@2:1M");
	struct pg_store_stats st;
	struct batch b;

	batch_begin(&b, s, 4, 902);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_read(&b, s), 0);
	pg_store_stats(s, &st);
	assert_true(st.ns_in >= 3000000);
	batch_end(&b, s);
	unmake(s);
}

/* --- stacks */

static void stack_passes_on_what_a_store_cannot_take(void **state)
{
	struct pg_store *s = make("zstd:2M,4M");
	struct pg_store_stats first, second, all;
	struct batch b;
	unsigned random = 0, same = 0;

	batch_begin(&b, s, 240, 0);
	assert_int_equal(batch_write(&b, s), 0);
	for (uint64_t i = 0; i < 240; i++) {
		random += page_kind_of(i) == PAGE_RANDOM;
		same += page_kind_of(i) == PAGE_ZERO || page_kind_of(i) == PAGE_SAME;
	}
	pg_store_stats(pg_store_part(s, 0), &first);
	pg_store_stats(pg_store_part(s, 1), &second);
	pg_store_stats(s, &all);
	assert_int_equal(first.held_same, same);
	assert_true(second.pages_out >= random && second.pages_out < random + 20);
	assert_int_equal(first.incompressible, second.pages_out);
	assert_int_equal(first.pages_out + second.pages_out, 240);
	assert_int_equal(all.pages_out, 240);
	assert_int_equal(all.incompressible, first.incompressible);
	assert_int_equal(batch_read(&b, s), 0);
	/* Other pages in the same slots go where they belong now. */
	b.seed = 3;
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_read(&b, s), 0);
	assert_null(pg_store_check(s));
	batch_end(&b, s);
	pg_store_stats(pg_store_part(s, 1), &second);
	assert_int_equal(second.slots_used, 0);
	unmake(s);
}

static void stack_failing_store_is_passed_by(void **state)
{
	struct pg_store *s = make("fault:eio-out@3+:1M,lz4:1M,1M");
	struct batch b;

	batch_begin(&b, s, 100, 31);
	assert_int_equal(batch_write(&b, s), 0);
	assert_int_equal(batch_read(&b, s), 0);
	batch_end(&b, s);
	unmake(s);
}

static void stack_incompressible_page_is_kept_when_nobody_else_can(void **state)
{
	struct pg_store *s = make("lz4:2M,64K");
	struct pg_store_stats st;
	struct batch b;

	batch_begin(&b, s, 100, 4);
	for (unsigned i = 0; i < 100; i++)
		page_fill(b.io[i].page, 4 + 6 * (uint64_t)i); /* random, all of them */
	assert_int_equal(pg_store_write(s, b.io, 100), 0);
	pg_store_stats(pg_store_part(s, 0), &st);
	assert_int_equal(st.held_pages, 84); /* 16 are in the file */
	batch_end(&b, s);
	unmake(s);
}

/* --- several threads */

struct worker {
	struct pg_store *s;
	uint64_t seed;
	bool fine;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct pg_random r;
	uint8_t *page = page_new(24), *want = page_new(1);

	pg_random_seed(&r, w->seed);
	w->fine = true;
	for (int round = 0; round < 150 && w->fine; round++) {
		struct pg_store_io io[24];
		unsigned n = 0;
		pg_slot first;

		while (n < 24) {
			int got = pg_store_reserve(
				w->s, 1 + (unsigned)pg_random_below(&r, 24 - n), &first);

			if (got < 0)
				break;
			for (int i = 0; i < got; i++, n++) {
				io[n] = (struct pg_store_io){.slot = {first.v + (unsigned)i},
					.page = page + n * PG_PAGE_SIZE};
				page_fill(io[n].page, w->seed * 1000 + n);
			}
		}
		if (n == 0)
			continue;
		w->fine &= pg_store_write(w->s, io, n) == 0;
		memset(page, 0, 24 * PG_PAGE_SIZE);
		w->fine &= pg_store_read(w->s, io, n) == 0;
		for (unsigned i = 0; i < n; i++) {
			page_fill(want, w->seed * 1000 + i);
			w->fine &= memcmp(want, io[i].page, PG_PAGE_SIZE) == 0;
			pg_store_release(w->s, io[i].slot, 1);
		}
	}
	free(page);
	free(want);
	return NULL;
}

static void threads_do_not_see_each_others_pages(void **state)
{
	static const char *const specs[] = {"8M", "lz4:4M", "lz4:1M,zstd:4M,4M"};

	for (int k = 0; k < 3; k++) {
		struct pg_store *s;
		struct worker w[4];
		pthread_t t[4];

		assert_int_equal(pg_store_create(specs[k], NULL, &s, NULL), 0);
		for (uint64_t i = 0; i < 4; i++) {
			w[i] = (struct worker){s, i + 1, false};
			assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
		}
		for (int i = 0; i < 4; i++) {
			pthread_join(t[i], NULL);
			assert_true(w[i].fine);
		}
		unmake(s);
	}
}

/* A full disk: slots whose place is on it already are given out before those of a cluster that never was. */
static void slots_on_the_disk_go_first_when_it_is_full(void **state)
{
	struct pg_slots *m;
	pg_slot first;

	assert_int_equal(pg_slots_create(4 * PG_STORE_CLUSTER, &m), 0);
	assert_int_equal(pg_slots_reserve(m, PG_STORE_CLUSTER, &first), PG_STORE_CLUSTER);
	assert_int_equal(pg_slots_reserve(m, 10, &first), 10);
	assert_false(pg_slots_release(m, (pg_slot){100}, 60, false));
	pg_slots_prefer_used(m);
	assert_null(pg_slots_check(m));
	assert_int_equal(pg_slots_reserve(m, 60, &first), 60);
	assert_int_equal(first.v, 100);
	assert_true(pg_slots_reserve(m, 20, &first) > 0);
	assert_int_equal(first.v, PG_STORE_CLUSTER + 10);
	assert_null(pg_slots_check(m));
	pg_slots_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_on_the_disk_go_first_when_it_is_full),
		cmocka_unit_test(create_bad_specification_is_refused_with_a_reason),
		cmocka_unit_test(create_host_failure_is_reported),
		cmocka_unit_test(name_and_parts_are_those_of_the_specification),
		cmocka_unit_test(reserve_one_after_another_gives_neighbours),
		cmocka_unit_test(reserve_prefers_an_empty_cluster_to_holes),
		cmocka_unit_test(read_before_write_says_no_data),
		cmocka_unit_test(write_of_neighbours_is_one_request),
		cmocka_unit_test(host_error_costs_one_page_of_the_run),
		cmocka_unit_test(corrupt_byte_in_the_file_is_noticed),
		cmocka_unit_test(page_of_another_slot_is_noticed),
		cmocka_unit_test(file_cut_short_fails_what_is_behind_its_end),
		cmocka_unit_test(named_file_is_kept_and_emptied),
		cmocka_unit_test(file_of_somebody_else_is_left_alone),
		cmocka_unit_test(file_in_use_is_refused),
		cmocka_unit_test(descriptors_are_not_below_the_least),
		cmocka_unit_test(many_runs_at_once_are_right),
		cmocka_unit_test(release_of_clusters_punches_holes),
		cmocka_unit_test(disk_full_is_enospc_and_loses_nothing),
		cmocka_unit_test(fault_rule_hits_what_it_says),
		cmocka_unit_test(fault_short_fails_the_rest_of_the_call),
		cmocka_unit_test(fault_corrupt_is_never_wrong_data),
		cmocka_unit_test(fault_full_refuses_writes_and_slots),
		cmocka_unit_test(fault_block_holds_one_call_up),
		cmocka_unit_test(fault_slow_counts_its_time),
		cmocka_unit_test(stack_passes_on_what_a_store_cannot_take),
		cmocka_unit_test(stack_failing_store_is_passed_by),
		cmocka_unit_test(stack_incompressible_page_is_kept_when_nobody_else_can),
		cmocka_unit_test(threads_do_not_see_each_others_pages),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
