/* SPDX-License-Identifier: MIT */
/*
 * tests/store/test_store.c: store/store.h: specifications, slots, each kind of failure of the host, what a file holds. Rows R6, R11.
 */
#include "batch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

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
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
