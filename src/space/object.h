/* SPDX-License-Identifier: MIT */
/*
 * space/object.h: objects (files and shared memory as pages) and their pages, the page cache.
 *
 * Called by linux/ (makes objects from open files) and space/ (faults, regions). Calls frame/ and
 * the object's pager.
 */
#ifndef PG_SPACE_OBJECT_H
#define PG_SPACE_OBJECT_H

#include "base/types.h"
#include "frame/frame.h"

struct pg_vm;
struct pg_object; /* reference-counted; regions and the upper floor hold references */

/*
 * Where an object's pages come from and go to. Small enough to fake in a test. All calls with the
 * machine lock held, which a pager may release around host calls that block.
 */
struct pg_pager {
	const char *name;
	/*
	 * Fills buf[PG_PAGE_SIZE] with page `index`; bytes past the end of the object are zeroed.
	 * 0, or a negative error: the guest gets SIGBUS (BUS_ADRERR).
	 */
	int (*read)(void *ctx, uint64_t index, void *buf);
	/* Writes page `index` back, only the bytes below the present size. 0 or a negative error.
	 */
	int (*write)(void *ctx, uint64_t index, const void *buf);
	/* The object's present size in bytes: pages wholly beyond it are SIGBUS. */
	uint64_t (*size)(void *ctx);
	/* The last reference is gone; frees ctx. May be NULL. */
	void (*close)(void *ctx);
	/*
	 * Makes bytes [start, end) zero and gives their room back; the size stays. 0, -EOPNOTSUPP or
	 * another error. May be NULL: -EOPNOTSUPP.
	 */
	int (*punch)(void *ctx, uint64_t start, uint64_t end);
	/*
	 * A guest is about to store into page `index` of a shared mapping, or, if the object counts as shared memory, to touch it: sees
	 * that there will be room for it. 0: done; 1: there was nothing to do, and the lock was not released; or a
	 * negative error: the guest gets SIGBUS. May be NULL: entries are writable from the first read on.
	 */
	int (*reserve)(void *ctx, uint64_t index);
	/*
	 * The object's last reference is to go, and writing a page of it back has failed. True: the reference is the pager's now, for as long
	 * as somebody may ask what became of the pages. May be NULL.
	 */
	bool (*keep)(void *ctx, struct pg_object *o);
	/*
	 * Between the two calls nobody else changes the bytes behind the object: around the writing back of a page, and around what is done
	 * to them behind the object's back (pg_object_lock()). lock may release the machine lock; nothing is locked twice by one thread.
	 * May both be NULL: there is one thread.
	 */
	void (*lock)(void *ctx);
	void (*unlock)(void *ctx);
};

/*
 * A new object with one reference, or the existing one with the same key and one reference more
 * (then ctx is not taken, *existed is true). key: e.g. device and inode; {0, 0}: never shared by
 * key. name (copied) is what reports show, e.g. a path. pager NULL: anonymous shared memory of
 * fixed size_bytes (zero-filled on demand). -ENOMEM.
 */
struct pg_object_key {
	uint64_t device;
	uint64_t inode;
};
PG_MUST_CHECK int pg_object_open(struct pg_vm *vm, struct pg_object_key key, const char *name,
	const struct pg_pager *pager, void *ctx, uint64_t size_bytes, struct pg_object **out,
	bool *existed);
void pg_object_ref(struct pg_object *o);
void pg_object_unref(struct pg_object *o); /* the last one writes dirty pages back and frees all */
const char *pg_object_name(const struct pg_object *o);
struct pg_object_key pg_object_get_key(const struct pg_object *o);
struct pg_object *pg_object_find(struct pg_vm *vm, struct pg_object_key key); /* borrowed or NULL */

/*
 * Coherence with host reads and writes of the same file. Before the host reads [start, end) of
 * the file: writes dirty pages of it back. Before it writes or resizes it: how large it is. After it wrote it: refreshes the resident pages.
 * After truncation: pages at or beyond the new size leave every page table and the cache. Bytes.
 * What guests stored behind the end, in the last page, is zero when the file has grown over it; but a memory file keeps it. As on Linux.
 */
PG_MUST_CHECK int pg_object_before_host_read(struct pg_object *o, uint64_t start, uint64_t end);
void pg_object_before_host_write(struct pg_object *o, uint64_t size_bytes);
/*
 * From before the host writes, resizes or punches the file until the object has been told of it: no page is written back meanwhile, which could
 * put old bytes over new ones or make the file long again. The caller has a reference, and causes no page fault in between. lock may
 * release the machine lock.
 */
void pg_object_lock(struct pg_object *o);
void pg_object_unlock(struct pg_object *o);
PG_MUST_CHECK int pg_object_after_host_write(struct pg_object *o, uint64_t start, uint64_t end);
void pg_object_truncated(struct pg_object *o, uint64_t new_size);
/* After the host made a hole of [start, end): its bytes read as zero, whole pages leave the cache and
 * every page table. Private copies stay, as on Linux. */
void pg_object_punched(struct pg_object *o, uint64_t start, uint64_t end);
/* Writes dirty pages of [start, end) back. The first error; the data of a failed page is kept,
 * dirty. A page that holds the end of a file is zero behind it from then on, as on Linux. */
PG_MUST_CHECK int pg_object_sync(struct pg_object *o, uint64_t start, uint64_t end);

/* The bytes of page `index`, if they are in memory and differ from the file's: it could not be written back. Else NULL. */
const void *pg_object_unwritten(struct pg_object *o, uint64_t index);
uint64_t pg_object_resident(const struct pg_object *o); /* pages in frames */
uint64_t pg_object_bytes(const struct pg_object *o);    /* its size now */
/* Its pages count as shared memory, not as file pages, though a pager holds them (tmpfs, memfd). */
void pg_object_set_shmem(struct pg_object *o);
bool pg_object_is_shmem(const struct pg_object *o);
/*
 * A System V segment, whose mappings Linux treats otherwise than a file's: a region that is mapped whole never merges with its neighbour (the
 * segment counts its attachments), and one is not moved together with others.
 */
void pg_object_set_segment(struct pg_object *o);
/* Counts its size against the commit limit as long as it lives. -ENOMEM: too much. Once. */
PG_MUST_CHECK int pg_object_charge(struct pg_object *o);
uint64_t pg_object_mappings(const struct pg_object *o); /* regions that map it, in all spaces */
/* True if a shared mapping of it that may become writable exists: F_ADD_SEALS. */
bool pg_object_mapped_writable(const struct pg_object *o);
/*
 * An error of writing a page back (negative errno) that has happened since *seen was told; 0: none. *seen is up to date afterwards. For
 * fsync(2) of each open file; starts at pg_object_error_now() when the file is opened: 0 if nobody was told of the last error, so that
 * it is not lost (base/errseq.h).
 */
int pg_object_error_since(struct pg_object *o, uint32_t *seen);
uint32_t pg_object_error_now(const struct pg_object *o);
bool pg_object_failed(const struct pg_object *o); /* a page could not be written back, ever */

/*
 * An open file (Linux's struct file) behind shared mappings, as far as space/ needs it: what it was told. Its owner is the upper floor, which
 * hands it to pg_space_opening().
 */
struct pg_open_file {
	uint32_t seen; /* see pg_object_error_since() */
	uint32_t maps; /* regions that hold it; space/'s own */
	/* The last region has let go of it. May free it. */
	void (*idle)(struct pg_open_file *f);
};

#endif
