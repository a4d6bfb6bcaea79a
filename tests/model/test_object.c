/* SPDX-License-Identifier: MIT */
/*
 * tests/model/test_object.c: objects and the page cache: sharing, writing back, pins, and pagers
 * during whose calls the world changes, as it does when they release the machine lock.
 */
#include "fixture.h"

#include <errno.h>

/* A file of 8 pages whose pager can be told to do something in the middle of a call. */
struct file {
	uint8_t bytes[8 * 4096];
	uint64_t size;
	struct machine *m;
	struct pg_object *o;
	pg_va at; /* for what happens meanwhile */
	unsigned reads, writes, closes;
	int fail_read, fail_write;           /* this many calls fail */
	void (*meanwhile)(struct file *f);   /* once, in the middle of the next call */
	void (*before_lock)(struct file *f); /* once, while the next lock is waited for */
	unsigned
		locks; /* held: what happens in the middle of a write is another thread's, which would wait */
};

static void happen(struct file *f)
{
	void (*what)(struct file *) = f->meanwhile;

	f->meanwhile = NULL;
	if (what)
		what(f);
}

static int file_read(void *ctx, uint64_t index, void *buf)
{
	struct file *f = ctx;

	f->reads++;
	if (f->fail_read > 0 && f->fail_read--)
		return -EIO;
	memset(buf, 0, PAGE);
	if (index * PAGE < f->size)
		memcpy(buf, f->bytes + index * PAGE, PAGE);
	happen(f);
	return 0;
}

static int file_write(void *ctx, uint64_t index, const void *buf)
{
	struct file *f = ctx;

	assert_true(f->locks > 0);
	f->writes++;
	if (f->fail_write > 0 && f->fail_write--)
		return -ENOSPC;
	if (index * PAGE < f->size)
		memcpy(f->bytes + index * PAGE, buf, PAGE);
	happen(f);
	return 0;
}

static uint64_t file_size(void *ctx)
{
	return ((struct file *)ctx)->size;
}

static void file_close(void *ctx)
{
	((struct file *)ctx)->closes++;
}

static void file_lock(void *ctx)
{
	struct file *f = ctx;
	void (*what)(struct file *) = f->before_lock;

	f->before_lock = NULL;
	if (what)
		what(f);
	f->locks++;
}

static void file_unlock(void *ctx)
{
	((struct file *)ctx)->locks--;
}

static const struct pg_pager pager = {
	.name = "test",
	.read = file_read,
	.write = file_write,
	.size = file_size,
	.close = file_close,
	.lock = file_lock,
	.unlock = file_unlock,
};

static void file_begin(struct machine *m, struct file *f)
{
	bool existed;

	memset(f, 0, sizeof *f);
	f->m = m;
	f->size = sizeof f->bytes;
	for (size_t i = 0; i < sizeof f->bytes; i++)
		f->bytes[i] = (uint8_t)(i / PAGE + 1);
	assert_int_equal(pg_object_open(m->vm, (struct pg_object_key){3, 4}, "file", &pager, f, 0,
				 &f->o, &existed),
		0);
	assert_false(existed);
}

static void file_end(struct file *f)
{
	pg_object_unref(f->o);
	assert_int_equal(f->closes, 1);
	assert_int_equal(f->locks, 0);
}

static void finish(struct machine *m, struct file *f)
{
	check(m->s);
	pg_space_destroy(m->s);
	m->s = NULL;
	file_end(f);
	machine_end(m);
}

/* R10, R20: one file, one object; two spaces, one frame; a store in one is seen in the other. */
static void file_pages_are_shared(void **state)
{
	struct pg_space_config l = fixture_layout();
	struct pg_object *again;
	struct pg_space_stats st;
	struct pg_space *other;
	struct machine m;
	struct file f;
	bool existed;
	pg_va a, b, c;

	machine_begin(&m);
	file_begin(&m, &f);
	assert_int_equal(pg_object_open(m.vm, (struct pg_object_key){3, 4}, "x", &pager, NULL, 0,
				 &again, &existed),
		0);
	assert_true(existed);
	assert_ptr_equal(again, f.o);
	assert_ptr_equal(pg_object_find(m.vm, (struct pg_object_key){3, 4}), f.o);
	assert_null(pg_object_find(m.vm, (struct pg_object_key){4, 3}));
	pg_object_unref(again);
	assert_int_equal(pg_space_create(m.vm, &l, &other), 0);
	a = map_object(m.s, f.o, 8, RW, PG_MAP_SHARED);
	b = map_object(other, f.o, 8, RW, PG_MAP_SHARED);
	c = map_object(other, f.o, 8, RW, 0);
	assert_int_equal(get(m.s, a.v), 1);
	assert_int_equal(m.last.kind, PG_FAULT_FILE_DISK);
	assert_int_equal(get(other, b.v), 1);
	assert_int_equal(m.last.kind, PG_FAULT_FILE_CACHE);
	assert_int_equal(get(other, c.v), 1);
	assert_int_equal(f.reads, 1);
	assert_int_equal(frame_at(m.s, a.v).v, frame_at(other, b.v).v);
	assert_int_equal(pg_frames_row(pg_vm_frames(m.vm), frame_at(m.s, a.v))->map_count, 3);
	put(m.s, a.v, 77);
	assert_int_equal(get(other, b.v), 77);
	assert_int_equal(get(other, c.v), 77); /* private, not yet written: still the file's page */
	put(other, c.v, 78);
	assert_int_equal(m.last.fcase, PG_CASE_2B);
	assert_int_equal(get(m.s, a.v), 77);
	pg_space_stats(other, &st);
	assert_int_equal(st.rss_file_pages, 1);
	assert_int_equal(st.rss_anon_pages, 1);
	assert_int_equal(st.copies, 1);
	check(m.s);
	check(other);
	assert_int_equal(f.bytes[0], 1);
	pg_space_destroy(other);
	assert_int_equal(f.bytes[0], 1); /* still mapped elsewhere */
	assert_int_equal(pg_space_unmap(m.s, a, 8 * PAGE), 0);
	assert_int_equal(f.bytes[0], 77); /* the last mapping went */
	assert_int_equal(pg_object_resident(f.o), 1);
	check(m.s);
	file_end(&f);
	machine_end(&m);
}

/* R20: what could not be written stays dirty and is written later; errors are reported. */
static void failed_write_back_keeps_data(void **state)
{
	struct machine m;
	struct file f;
	pg_va a;

	machine_begin(&m);
	file_begin(&m, &f);
	a = map_object(m.s, f.o, 8, RW, PG_MAP_SHARED);
	put(m.s, a.v, 50);
	put(m.s, a.v + PAGE, 51);
	f.fail_write = 1;
	assert_int_equal(pg_space_sync(m.s, a, 8 * PAGE), -ENOSPC);
	assert_int_equal(f.bytes[0], 1);
	assert_int_equal(f.bytes[PAGE], 51);
	check(m.s);
	f.fail_write = 1;
	assert_int_equal(pg_space_unmap(m.s, a, 8 * PAGE), 0); /* cannot be told; kept */
	assert_int_equal(f.bytes[0], 1);
	assert_int_equal(pg_object_before_host_read(f.o, PAGE, 8 * PAGE), 0); /* not this page */
	assert_int_equal(f.bytes[0], 1);
	assert_int_equal(pg_object_before_host_read(f.o, 10, 20), 0);
	assert_int_equal(f.bytes[0], 50);
	f.writes = 0;
	assert_int_equal(pg_object_sync(f.o, 0, UINT64_MAX), 0);
	assert_int_equal(f.writes, 0); /* nothing is dirty any more */
	check(m.s);
	file_end(&f);
	machine_end(&m);
}

/* R12: a page that cannot be read, or lies beyond the end, is SIGBUS and leaves nothing behind. */
static void unreadable_page_is_bus(void **state)
{
	struct machine m;
	struct file f;
	uint64_t free;
	pg_va a;

	machine_begin(&m);
	file_begin(&m, &f);
	a = map_object(m.s, f.o, 8, RW, 0);
	free = pg_frames_free_count(pg_vm_frames(m.vm));
	f.fail_read = 1;
	assert_int_equal(pg_space_fault(m.s, a, PG_WRITE, 0, false), PG_FAULT_BUS);
	assert_int_equal(pg_frames_free_count(pg_vm_frames(m.vm)), free);
	f.size = 5 * PAGE + 1;
	assert_int_equal(
		pg_space_fault(m.s, (pg_va){a.v + 5 * PAGE}, PG_READ, 0, false), PG_FAULT_RESUME);
	assert_int_equal(
		pg_space_fault(m.s, (pg_va){a.v + 6 * PAGE}, PG_READ, 0, false), PG_FAULT_BUS);
	finish(&m, &f);
}

/* ---- while the pager has released the lock */

static void unmap_meanwhile(struct file *f)
{
	assert_int_equal(pg_space_unmap(f->m->s, f->at, 8 * PAGE), 0);
}

static void map_anon_meanwhile(struct file *f)
{
	assert_int_equal(
		pg_space_map(f->m->s, &f->at, 8 * PAGE, RW, 7, PG_MAP_FIXED, NULL, 0, NULL), 0);
}

static void truncate_meanwhile(struct file *f)
{
	f->size = 0;
	pg_object_truncated(f->o, 0);
}

static void host_write_meanwhile(struct file *f)
{
	memset(f->bytes, 99, PAGE);
	assert_int_equal(pg_object_after_host_write(f->o, 0, PAGE), 0);
}

static void fault_meanwhile(struct file *f)
{
	assert_int_equal(get(f->m->s, f->at.v), 1);
}

static void store_meanwhile(struct file *f)
{
	put(f->m->s, f->at.v, 60);
}

/* Another process brings the page in and stores into it, and it is written back and evicted: O5. */
static void store_and_evict_meanwhile(struct file *f)
{
	pg_pfn page;

	put(f->m->s, f->at.v, 60);
	page = pg_object_page(f->o, 0);
	assert_int_equal(pg_object_write_back(f->o, 0, 0, false), 0);
	assert_true(pg_cache_drop(f->m->vm, page));
	assert_int_equal(f->bytes[0], 60);
}

static void prepare(
	struct machine *m, struct file *f, void (*meanwhile)(struct file *), unsigned flags)
{
	machine_begin(m);
	file_begin(m, f);
	f->at = map_object(m->s, f->o, 8, RW, flags);
	f->meanwhile = meanwhile;
}

static void region_gone_during_read_is_maperr(void **state)
{
	struct machine m;
	struct file f;

	prepare(&m, &f, unmap_meanwhile, 0);
	assert_int_equal(pg_space_fault(m.s, f.at, PG_WRITE, 0, false), PG_FAULT_MAPERR);
	assert_int_equal(m.faults, 1);
	finish(&m, &f);
}

static void region_replaced_during_read_is_obeyed(void **state)
{
	struct machine m;
	struct file f;

	prepare(&m, &f, map_anon_meanwhile, 0);
	assert_int_equal(pg_space_fault(m.s, f.at, PG_READ, 0, false), PG_FAULT_RESUME);
	assert_int_equal(m.last.fcase, PG_CASE_3A);
	finish(&m, &f);
}

static void truncation_during_read_is_bus(void **state)
{
	struct machine m;
	struct file f;

	prepare(&m, &f, truncate_meanwhile, PG_MAP_SHARED);
	assert_int_equal(pg_space_fault(m.s, f.at, PG_READ, 0, false), PG_FAULT_BUS);
	finish(&m, &f);
}

static void host_write_during_read_is_seen(void **state)
{
	struct machine m;
	struct file f;

	prepare(&m, &f, host_write_meanwhile, PG_MAP_SHARED);
	assert_int_equal(get(m.s, f.at.v), 99);
	assert_int_equal(f.reads, 2);
	finish(&m, &f);
}

static void page_brought_twice_is_kept_once(void **state)
{
	struct machine m;
	struct file f;

	prepare(&m, &f, fault_meanwhile, PG_MAP_SHARED);
	assert_int_equal(get(m.s, f.at.v), 1);
	assert_int_equal(pg_object_resident(f.o), 1);
	assert_int_equal(f.reads, 2);
	finish(&m, &f);
}

/* O5 */
static void page_that_came_and_went_during_read_is_read_again(void **state)
{
	struct machine m;
	struct file f;

	prepare(&m, &f, store_and_evict_meanwhile, PG_MAP_SHARED);
	assert_int_equal(get(m.s, f.at.v), 60);
	assert_int_equal(f.reads, 3);
	finish(&m, &f);
}

static void store_during_write_back_is_not_lost(void **state)
{
	struct machine m;
	struct file f;

	prepare(&m, &f, NULL, PG_MAP_SHARED);
	put(m.s, f.at.v, 50);
	f.meanwhile = store_meanwhile;
	assert_int_equal(pg_space_sync(m.s, f.at, PAGE), 0);
	check(m.s);
	assert_int_equal(pg_space_sync(m.s, f.at, PAGE), 0);
	assert_int_equal(f.bytes[0], 60);
	finish(&m, &f);
}

/* What the host wrote before the page's turn came is not covered by what the page had; a page that was cut off is not written at all. */
static void change_before_write_back_is_obeyed(void **state)
{
	struct machine m;
	struct file f;

	prepare(&m, &f, NULL, PG_MAP_SHARED);
	put(m.s, f.at.v, 50);
	f.before_lock = host_write_meanwhile;
	assert_int_equal(pg_space_sync(m.s, f.at, PAGE), 0);
	assert_int_equal(f.writes, 1);
	assert_int_equal(f.bytes[0], 99);
	put(m.s, f.at.v, 51);
	f.before_lock = truncate_meanwhile;
	assert_int_equal(pg_space_sync(m.s, f.at, PAGE), 0);
	assert_int_equal(f.writes, 1);
	assert_int_equal(pg_object_resident(f.o), 0);
	finish(&m, &f);
}

static void truncation_during_write_back_frees_the_page(void **state)
{
	struct machine m;
	struct file f;

	prepare(&m, &f, NULL, PG_MAP_SHARED);
	put(m.s, f.at.v, 50);
	put(m.s, f.at.v + PAGE, 51);
	f.meanwhile = truncate_meanwhile;
	assert_int_equal(pg_space_sync(m.s, f.at, 8 * PAGE), 0);
	assert_int_equal(pg_object_resident(f.o), 0);
	finish(&m, &f);
}

static void unmapping_during_sync_is_survived(void **state)
{
	struct machine m;
	struct file f;

	prepare(&m, &f, NULL, PG_MAP_SHARED);
	put(m.s, f.at.v, 50);
	put(m.s, f.at.v + 4 * PAGE, 51);
	f.meanwhile = unmap_meanwhile;
	assert_int_equal(pg_space_sync(m.s, f.at, 8 * PAGE), 0);
	assert_int_equal(f.bytes[4 * PAGE], 51);
	finish(&m, &f);
}

/* ---- the host uses frames */

/* Pinned frames outlive their mapping, and are free when the last pin goes. */
static void pinned_frames_outlive_unmapping(void **state)
{
	struct machine m;
	struct iovec iov[8];
	unsigned n = 0;
	enum pg_fault_end end;
	uint64_t before;
	pg_va a;

	machine_begin(&m);
	a = map_anon(m.s, 4, RW);
	before = pg_frames_free_count(pg_vm_frames(m.vm));
	assert_int_equal(
		pg_space_pin(m.s, (pg_va){a.v + 100}, 3 * PAGE, PG_WRITE, 0, iov, &n, 8, &end),
		3 * PAGE);
	assert_int_equal(end, PG_FAULT_RESUME);
	assert_in_range(n, 1, 4);
	assert_int_equal(pg_space_unmap(m.s, a, 4 * PAGE), 0);
	check(m.s);
	assert_int_equal(pg_frames_free_count(pg_vm_frames(m.vm)), before - 4 + 0);
	for (unsigned i = 0; i < n; i++)
		memset(iov[i].iov_base, 1, iov[i].iov_len); /* the host may still write */
	pg_space_unpin(m.s, PG_WRITE, iov, n);
	check(m.s);
	machine_end(&m);
}

/* A pin stops at a bad page and at a full vector; neighbours inside one page are not merged. */
static void pin_stops_where_it_must(void **state)
{
	struct machine m;
	struct iovec iov[2];
	enum pg_fault_end end;
	unsigned n = 0;
	pg_va a;

	machine_begin(&m);
	a = map_anon(m.s, 2, RW);
	assert_int_equal(
		pg_space_pin(m.s, (pg_va){a.v + PAGE}, 2 * PAGE, PG_READ, 0, iov, &n, 2, &end),
		PAGE);
	assert_int_equal(end, PG_FAULT_MAPERR);
	assert_int_equal(
		pg_space_pin(m.s, (pg_va){a.v + 2 * PAGE}, 5, PG_READ, 0, iov, &n, 2, &end), 0);
	assert_int_equal(end, PG_FAULT_MAPERR);
	assert_int_equal(n, 1);
	pg_space_unpin(m.s, PG_READ, iov, n);
	n = 0;
	put(m.s, a.v, 1);
	assert_int_equal(pg_space_pin(m.s, a, 10, PG_WRITE, 0, iov, &n, 2, &end), 10);
	assert_int_equal(
		pg_space_pin(m.s, (pg_va){a.v + 10}, 10, PG_WRITE, 0, iov, &n, 2, &end), 10);
	assert_int_equal(n, 2);
	assert_int_equal(
		pg_space_pin(m.s, (pg_va){a.v + 30}, 10, PG_WRITE, 0, iov, &n, 2, &end), 0);
	assert_int_equal(end, PG_FAULT_RESUME); /* only full */
	assert_int_equal(pg_frames_row(pg_vm_frames(m.vm), frame_at(m.s, a.v))->pins, 2);
	pg_space_unpin(m.s, PG_WRITE, iov, n);
	assert_int_equal(pg_frames_row(pg_vm_frames(m.vm), frame_at(m.s, a.v))->pins, 0);
	machine_end(&m);
}

/* What the host writes through a pin reaches the file, even if a sync passed in between. */
static void pinned_write_is_dirty(void **state)
{
	struct machine m;
	struct file f;
	struct iovec iov[2];
	enum pg_fault_end end;
	unsigned n = 0;

	prepare(&m, &f, NULL, PG_MAP_SHARED);
	assert_int_equal(pg_space_pin(m.s, f.at, 8, PG_WRITE, 0, iov, &n, 2, &end), 8);
	assert_int_equal(pg_space_sync(m.s, f.at, PAGE), 0);
	memset(iov[0].iov_base, 70, 8);
	pg_space_unpin(m.s, PG_WRITE, iov, n);
	assert_int_equal(pg_space_sync(m.s, f.at, PAGE), 0);
	assert_int_equal(f.bytes[7], 70);
	finish(&m, &f);
}

/* A host call fills the parent's page although it forked meanwhile: the child has its own copy. */
static void fork_copies_pinned_pages(void **state)
{
	struct pg_space_config l = fixture_layout();
	struct pg_space *child;
	struct machine m;
	struct iovec iov[2];
	enum pg_fault_end end;
	unsigned n = 0;
	pg_va a;

	machine_begin(&m);
	a = map_anon(m.s, 2, RW);
	put(m.s, a.v, 5);
	put(m.s, a.v + PAGE, 6);
	assert_int_equal(pg_space_pin(m.s, a, 8, PG_WRITE, 0, iov, &n, 2, &end), 8);
	assert_int_equal(pg_space_create(m.vm, &l, &child), 0);
	assert_int_equal(pg_space_fork(m.s, child), 0);
	check(m.s);
	put(m.s, a.v + 100, 1); /* must not move the parent away from the pinned frame */
	memset(iov[0].iov_base, 70, 8);
	pg_space_unpin(m.s, PG_WRITE, iov, n);
	assert_int_equal(get(m.s, a.v), 70);
	assert_int_equal(get(child, a.v), 5);
	assert_int_equal(frame_at(child, a.v + PAGE).v, frame_at(m.s, a.v + PAGE).v);
	check(m.s);
	pg_space_destroy(child);
	machine_end(&m);
}

/* Whoever translated the bytes of a frame hears of every change that is not a guest's store. */
static void code_frames_are_told(void **state)
{
	struct machine m;
	struct file f;
	struct iovec iov[2];
	enum pg_fault_end end;
	unsigned n = 0;
	pg_pfn frame;

	prepare(&m, &f, NULL, PG_MAP_SHARED);
	put(m.s, f.at.v, 1);
	assert_int_equal(m.code_written, 0);
	frame = frame_at(m.s, f.at.v);
	pg_frames_row(pg_vm_frames(m.vm), frame)->flags |= PG_FRAME_CODE;
	put(m.s, f.at.v + 1, 2);
	assert_int_equal(m.code_written, 1);
	assert_int_equal(m.code_frame.v, frame.v);
	(void)get(m.s, f.at.v);
	assert_int_equal(pg_space_pin(m.s, f.at, 8, PG_WRITE, 0, iov, &n, 2, &end), 8);
	assert_int_equal(m.code_written, 1);
	pg_space_unpin(m.s, PG_WRITE, iov, n);
	assert_int_equal(m.code_written, 2);
	assert_int_equal(pg_object_after_host_write(f.o, 0, 10), 0);
	assert_int_equal(m.code_written, 3);
	assert_int_equal(pg_object_after_host_write(f.o, PAGE, 2 * PAGE), 0);
	assert_int_equal(m.code_written, 3); /* another page */
	f.size = 100;
	pg_object_truncated(f.o, 100);
	assert_int_equal(m.code_written, 4);
	finish(&m, &f);
}

/* ---- frames run out */

/* R11: clean file pages make room, the oldest first, unmapped ones before mapped; dirty ones stay.
 */
static void clean_pages_make_room(void **state)
{
	struct machine m;
	struct file f;
	pg_va a, b;
	uint64_t n;

	machine_begin(&m);
	file_begin(&m, &f);
	b = map_object(m.s, f.o, 8, RW, PG_MAP_SHARED);
	for (uint64_t i = 0; i < 8; i++)
		(void)get(m.s, b.v + i * PAGE);
	put(m.s, b.v + 2 * PAGE, 90); /* dirty by a D bit only */
	assert_int_equal(pg_space_unmap(m.s, (pg_va){b.v + 6 * PAGE}, 2 * PAGE), 0);
	assert_int_equal(pg_object_resident(f.o), 8);
	a = map_anon(m.s, 256, RW);
	for (n = 0; pg_frames_free_count(pg_vm_frames(m.vm)) > 0; n++)
		put(m.s, a.v + n * PAGE, 1);
	assert_int_equal(pg_object_resident(f.o), 8);
	put(m.s, a.v + n++ * PAGE, 1);
	assert_true(pg_pfn_is_none(pg_object_page(f.o, 6)));
	put(m.s, a.v + n++ * PAGE, 1);
	assert_true(pg_pfn_is_none(pg_object_page(f.o, 7)));
	put(m.s, a.v + n++ * PAGE, 1);
	assert_true(pg_pfn_is_none(pg_object_page(f.o, 0)));
	assert_true(pg_pfn_is_none(frame_at(m.s, b.v)));
	check(m.s);
	for (; pg_space_fault(m.s, (pg_va){a.v + n * PAGE}, PG_WRITE, 0, false) == PG_FAULT_RESUME;
		n++)
		;
	assert_int_equal(m.last.end, PG_FAULT_OOM);
	assert_int_equal(pg_object_resident(f.o), 1); /* the dirty one */
	assert_int_equal(get(m.s, b.v + 2 * PAGE), 90);
	check(m.s);
	assert_int_equal(pg_space_unmap(m.s, a, 256 * PAGE), 0);
	assert_int_equal(get(m.s, b.v), 1); /* fetched again */
	finish(&m, &f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_pages_are_shared),
		cmocka_unit_test(failed_write_back_keeps_data),
		cmocka_unit_test(unreadable_page_is_bus),
		cmocka_unit_test(region_gone_during_read_is_maperr),
		cmocka_unit_test(region_replaced_during_read_is_obeyed),
		cmocka_unit_test(truncation_during_read_is_bus),
		cmocka_unit_test(host_write_during_read_is_seen),
		cmocka_unit_test(page_brought_twice_is_kept_once),
		cmocka_unit_test(page_that_came_and_went_during_read_is_read_again),
		cmocka_unit_test(store_during_write_back_is_not_lost),
		cmocka_unit_test(change_before_write_back_is_obeyed),
		cmocka_unit_test(truncation_during_write_back_frees_the_page),
		cmocka_unit_test(unmapping_during_sync_is_survived),
		cmocka_unit_test(pinned_frames_outlive_unmapping),
		cmocka_unit_test(pin_stops_where_it_must),
		cmocka_unit_test(pinned_write_is_dirty),
		cmocka_unit_test(fork_copies_pinned_pages),
		cmocka_unit_test(code_frames_are_told),
		cmocka_unit_test(clean_pages_make_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
