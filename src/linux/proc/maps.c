/* SPDX-License-Identifier: MIT */
/*
 * linux/proc/maps.c: /proc/PID/maps, smaps, smaps_rollup and pagemap.
 *
 * Called by proc.c. Reads space/ only; every figure is counted when it is asked for. Formats are Linux's, to the blank.
 *
 * Source of the formats: Linux fs/proc/task_mmu.c; proc(5); Documentation/admin-guide/mm/pagemap.rst.
 */
#include "linux/machine/machine.h"
#include "linux/proc/text.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The device and inode of a region's file; zeros if it has none. */
static void file_of(
	const struct pg_region *r, unsigned *major_no, unsigned *minor_no, unsigned long *inode)
{
	struct pg_object_key key = {0, 0};
	struct stat st;

	*major_no = *minor_no = 0;
	*inode = 0;
	if (r->object ==
		NULL) { /* a private mapping of /dev/zero is anonymous memory with that file's name */
		if (r->name != NULL && strcmp(r->name, "/dev/zero") == 0 &&
			stat(r->name, &st) == 0) {
			*major_no = major(st.st_dev);
			*minor_no = minor(st.st_dev);
			*inode = st.st_ino;
		}
		return;
	}
	key = pg_object_get_key(r->object);
	if (key.device == 0)
		return;
	*major_no = major(key.device - 1);
	*minor_no = minor(key.device - 1);
	*inode = key.inode;
}

static bool put_region(void *ctx, const struct pg_region *r)
{
	struct pg_proc_text *t = ctx;
	unsigned major_no, minor_no;
	unsigned long inode;
	int n;

	file_of(r, &major_no, &minor_no, &inode);
	n = fprintf(t->out, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)r->start.v,
		(unsigned long)r->end.v, r->prot & PG_READ ? 'r' : '-',
		r->prot & PG_WRITE ? 'w' : '-', r->prot & PG_EXEC ? 'x' : '-',
		r->flags & PG_MAP_SHARED ? 's' : 'p', (unsigned long)r->offset, major_no, minor_no,
		inode);
	if (r->name != NULL && r->name[0] != '\0') {
		fprintf(t->out, "%*s", 73 - n > 0 ? 73 - n : 0, "");
		for (const char *c = r->name; *c != '\0'; c++)
			if (*c == '\n')
				fputs("\\012", t->out);
			else
				fputc(*c, t->out);
	}
	fputc('\n', t->out);
	return true;
}

void pg_proc_maps(struct pg_proc_text *t)
{
	if (t->mm != NULL)
		pg_space_each_region(t->mm->space, put_region, t);
}

/* Shares are kept in units of 1/4096 byte. */
#define PSS_KB(v) PG_KB((v) >> 12)

static void put_figures(FILE *out, const struct pg_region_figures *f, bool rollup)
{
	fprintf(out,
		"Rss:            %8llu kB\nPss:            %8llu kB\nPss_Dirty:      %8llu kB\n",
		PG_KB(f->rss), PSS_KB(f->pss), PSS_KB(f->pss_dirty));
	if (rollup)
		fprintf(out,
			"Pss_Anon:       %8llu kB\nPss_File:       %8llu kB\nPss_Shmem:      %8llu "
			"kB\n",
			PSS_KB(f->pss_anon), PSS_KB(f->pss_file), PSS_KB(f->pss_shmem));
	fprintf(out,
		"Shared_Clean:   %8llu kB\nShared_Dirty:   %8llu kB\n"
		"Private_Clean:  %8llu kB\nPrivate_Dirty:  %8llu kB\n"
		"Referenced:     %8llu kB\nAnonymous:      %8llu kB\nKSM:            %8u kB\n"
		"LazyFree:       %8llu kB\nAnonHugePages:  %8u kB\nShmemPmdMapped: %8u kB\n"
		"FilePmdMapped:  %8u kB\nShared_Hugetlb: %8u kB\nPrivate_Hugetlb: %7u kB\n"
		"Swap:           %8llu kB\nSwapPss:        %8llu kB\nLocked:         %8llu kB\n",
		PG_KB(f->shared_clean), PG_KB(f->shared_dirty), PG_KB(f->private_clean),
		PG_KB(f->private_dirty), PG_KB(f->referenced), PG_KB(f->anonymous), 0u,
		PG_KB(f->lazy_free), 0u, 0u, 0u, 0u, 0u, PG_KB(f->swap), PSS_KB(f->swap_pss),
		PSS_KB(f->pss_locked));
}

/* Two letters for each thing that is true of a region, in Linux's order. */
static void put_flags(FILE *out, const struct pg_region *r, bool guards)
{
	static const struct {
		uint32_t flag;
		char name[3];
	} marks[] = {{PG_MAP_LOCKED, "lo"}, {PG_MAP_SEQUENTIAL, "sr"}, {PG_MAP_RANDOM, "rr"},
		{PG_MAP_DONTFORK, "dc"}};
	static const struct {
		uint32_t flag;
		char name[3];
	} later[] = {{PG_MAP_NORESERVE, "nr"}, {PG_MAP_WIPEONFORK, "wf"}, {PG_MAP_DONTDUMP, "dd"},
		{PG_MAP_HUGE, "hg"}, {PG_MAP_NOHUGE, "nh"}, {PG_MAP_MERGEABLE, "mg"}};
	bool shared = r->flags & PG_MAP_SHARED;

	fprintf(out, "VmFlags: %s%s%s%s", r->prot & PG_READ ? "rd " : "",
		r->prot & PG_WRITE ? "wr " : "", r->prot & PG_EXEC ? "ex " : "",
		shared ? "sh " : "");
	fprintf(out, "mr %sme ", r->max_prot & PG_WRITE ? "mw " : "");
	if (shared && (r->max_prot & PG_WRITE))
		fputs("ms ", out);
	if (r->flags & PG_MAP_GROWSDOWN)
		fputs("gd ", out);
	if (guards)
		fputs("gu ", out);
	for (unsigned i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (r->flags & marks[i].flag)
			fprintf(out, "%s ", marks[i].name);
	if (r->charged)
		fputs("ac ", out);
	for (unsigned i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (r->flags & later[i].flag)
			fprintf(out, "%s ", later[i].name);
	fputc('\n', out);
}

static bool put_smap(void *ctx, const struct pg_region *r)
{
	struct pg_proc_text *t = ctx;
	struct pg_region_figures f;

	memset(&f, 0, sizeof(f));
	put_region(ctx, r);
	pg_space_measure(t->mm->space, r->start, &f);
	fprintf(t->out,
		"Size:           %8llu kB\nKernelPageSize: %8u kB\nMMUPageSize:    %8u kB\n",
		PG_KB(r->end.v - r->start.v), 4u, 4u);
	put_figures(t->out, &f, false);
	fprintf(t->out, "THPeligible:    %8u\n", 0u);
	put_flags(t->out, r, f.guards);
	return true;
}

void pg_proc_smaps(struct pg_proc_text *t)
{
	if (t->mm != NULL)
		pg_space_each_region(t->mm->space, put_smap, t);
}

struct sum {
	struct pg_space *space;
	struct pg_region_figures all;
	uint64_t first, last;
};

static bool add_region(void *ctx, const struct pg_region *r)
{
	struct pg_region_figures f;
	struct sum *s = ctx;

	if (s->last == 0)
		s->first = r->start.v;
	s->last = r->end.v;
	if (pg_space_measure(s->space, r->start, &f))
		for (size_t i = 0; i < sizeof(f) / sizeof(uint64_t); i++)
			((uint64_t *)&s->all)[i] += ((const uint64_t *)&f)[i];
	return true;
}

void pg_proc_smaps_rollup(struct pg_proc_text *t)
{
	struct sum s;

	_Static_assert(sizeof(s.all) % sizeof(uint64_t) == 0, "figures are 64-bit numbers");
	if (t->mm == NULL)
		return;
	memset(&s, 0, sizeof(s));
	s.space = t->mm->space;
	pg_space_each_region(s.space, add_region, &s);
	fprintf(t->out, "%08lx-%08lx ---p 00000000 00:00 0 %*s[rollup]\n", (unsigned long)s.first,
		(unsigned long)s.last, 73 - 53, "");
	put_figures(t->out, &s.all, true);
}

struct pages {
	struct pg_space *space;
	int fd, err;
};

/* Entries of a region, where one is not 0. A stretch of pages that nothing was ever put into costs one look a page. */
static bool put_pages(void *ctx, const struct pg_region *r)
{
	struct pages *p = ctx;
	uint64_t part[512];
	uint64_t end = r->end.v >> PG_PAGE_SHIFT;

	for (uint64_t at = r->start.v >> PG_PAGE_SHIFT; at < end && p->err == 0;) {
		uint64_t n = 512 - at % 512, any = 0;

		if (n > end - at)
			n = end - at;
		for (uint64_t i = 0; i < n; i++)
			any |= part[i] = pg_space_pagemap(p->space, (pg_vpn){at + i});
		if (any != 0 && pwrite(p->fd, part, n * 8, (off_t)(at * 8)) != (ssize_t)(n * 8))
			p->err = -EIO;
		at += n;
	}
	return p->err == 0;
}

int pg_proc_pagemap(struct pg_mm *mm, int fd)
{
	struct pages p = {mm->space, fd, 0};

	if (ftruncate(fd, (off_t)(((uint64_t)1 << 47 >> PG_PAGE_SHIFT) * 8)) != 0)
		return -errno;
	pg_space_each_region(mm->space, put_pages, &p);
	return p.err;
}
