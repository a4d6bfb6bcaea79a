/* SPDX-License-Identifier: MIT */
/*
 * tests/model/linux.c: the same random mapping calls made to the kernel that runs this test and to
 * libpagoda, at the same addresses.
 *
 *   linux [SEQUENCES [FIRST_SEED]]
 *
 * Compared after each call: its result; the regions in the window, as /proc/self/maps shows them
 * (bounds, rights, shared or private, offset, which file), and so every cut and every merge; for
 * private anonymous memory also which pages are present (/proc/self/pagemap). At the end of a sequence: every
 * page's first bytes, or the signal that reading it gives. Rules of merging differ between kernels;
 * ours are those of 6.16 and later, and on anything else the test is skipped. Guards R13, R14, R16, R20.
 *
 * Not compared: what maps at once around a fault of a file (fault-around), holes in the ranges of
 * mprotect and madvise (the kernel changes what comes before the hole; the library nothing).
 */
#include "space/impl.h"

#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BASE 0x200000000000ull
#define PAGE 4096ull
#define PAGES 2048u /* the window */
#define FILE_PAGES 32u
#define FILES 2
#define STEPS 60
#define SEQUENCES 120
#define SKIPPED 77

struct line {
	uint64_t start, end, offset;
	char perms[5];
	char what; /* 'a' private anonymous, 'z' shared anonymous, '0' + n: file n */
};

struct lines {
	struct line line[PAGES];
	unsigned n;
};

struct run {
	struct pg_vm *vm;
	struct pg_space *s;
	struct pg_object *object[FILES];
	int fd[FILES];
	int pagemap;
	struct pg_random rnd;
	uint64_t seed;
	int step;
	char did[200];
	bool broken;
};

static void differ(struct run *t, const char *what, uint64_t ours, uint64_t theirs)
{
	if (!t->broken)
		fprintf(stderr, "seed %llu step %d, %s: %s: %#llx, Linux %#llx\n",
			(unsigned long long)t->seed, t->step, t->did, what,
			(unsigned long long)ours, (unsigned long long)theirs);
	t->broken = true;
}

/* ---- files: the library's pager reads and writes the same memfd */

static int fd_read(void *ctx, uint64_t index, void *buf)
{
	ssize_t n = pread(*(int *)ctx, buf, PAGE, (off_t)(index * PAGE));

	if (n < 0)
		return -errno;
	memset((char *)buf + n, 0, PAGE - (size_t)n);
	return 0;
}

/* The kernel's own mapping of the file holds the truth; ours must not write over it. */
static int fd_write(void *ctx, uint64_t index, const void *buf)
{
	return 0;
}

static uint64_t fd_size(void *ctx)
{
	return FILE_PAGES * PAGE;
}

static const struct pg_pager pager = {"memfd", fd_read, fd_write, fd_size, NULL};

/* ---- the kernel's view */

static void host_lines(struct lines *out)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char text[600];

	out->n = 0;
	while (f && fgets(text, sizeof text, f)) {
		struct line *l = &out->line[out->n];
		unsigned long long start, end, offset, inode;
		char path[400] = "";

		if (sscanf(text, "%llx-%llx %4s %llx %*s %llu %399[^\n]", &start, &end, l->perms,
			    &offset, &inode, path) < 5)
			continue;
		if (end <= BASE || start >= BASE + PAGES * PAGE)
			continue;
		l->start = start;
		l->end = end;
		l->offset = inode ? offset : 0;
		l->what = strstr(path, "pagoda-file") ? strstr(path, "pagoda-file")[11]
			  : strstr(path, "/dev/zero") ? 'z'
						      : 'a';
		out->n++;
	}
	if (f)
		fclose(f);
}

static sigjmp_buf jump;

static void on_signal(int sig)
{
	siglongjmp(jump, sig);
}

/* Touches one byte of the host's memory; 0 or the signal. */
static int host_touch(uint64_t a, bool write, uint8_t value, uint8_t *got)
{
	volatile uint8_t *p = (volatile uint8_t *)(uintptr_t)a;
	int sig = sigsetjmp(jump, 1);

	if (sig)
		return sig;
	if (write)
		*p = value;
	*got = *p;
	return 0;
}

/* ---- the library's view */

struct listing {
	struct run *t;
	struct lines *out;
};

static bool our_line(void *ctx, const struct pg_region *r)
{
	struct listing *l = ctx;
	struct line *x = &l->out->line[l->out->n++];

	*x = (struct line){.start = r->start.v, .end = r->end.v, .offset = r->offset, .what = 'a'};
	snprintf(x->perms, sizeof x->perms, "%c%c%c%c", r->prot & PG_READ ? 'r' : '-',
		r->prot & PG_WRITE ? 'w' : '-', r->prot & PG_EXEC ? 'x' : '-',
		r->flags & PG_MAP_SHARED ? 's' : 'p');
	if (r->object)
		x->what = 'z';
	for (int i = 0; i < FILES; i++) {
		if (r->object == l->t->object[i])
			x->what = (char)('0' + i);
	}
	return l->out->n < PAGES;
}

static int our_touch(struct run *t, uint64_t a, bool write, uint8_t value, uint8_t *got)
{
	enum pg_fault_end end =
		pg_space_fault(t->s, (pg_va){a}, write ? PG_WRITE : PG_READ, 0, false);

	if (end != PG_FAULT_RESUME)
		return end == PG_FAULT_BUS ? SIGBUS : SIGSEGV;
	if (write && pg_space_write(t->s, (pg_va){a}, &value, 1, 0) != 1)
		return -1;
	return pg_space_read(t->s, got, (pg_va){a}, 1, 0) == 1 ? 0 : SIGSEGV;
}

/* ---- comparing */

static void compare_lines(struct run *t)
{
	static struct lines ours, theirs;
	struct listing l = {t, &ours};

	ours.n = 0;
	pg_space_each_region(t->s, our_line, &l);
	host_lines(&theirs);
	for (unsigned i = 0; i < ours.n && i < theirs.n && !t->broken; i++) {
		const struct line *a = &ours.line[i], *b = &theirs.line[i];

		if (a->start != b->start)
			differ(t, "start of a region", a->start, b->start);
		else if (a->end != b->end)
			differ(t, "end of a region", a->end, b->end);
		else if (strcmp(a->perms, b->perms) || a->what != b->what)
			differ(t, "rights or source at", a->start, b->start);
		else if (a->offset != b->offset)
			differ(t, "offset of a region", a->offset, b->offset);
	}
	if (ours.n != theirs.n)
		differ(t, "regions", ours.n, theirs.n);
}

static void compare_present(struct run *t)
{
	static uint64_t map[PAGES];
	struct pg_region r;

	if (pread(t->pagemap, map, sizeof map, (off_t)(BASE / PAGE * 8)) != (ssize_t)sizeof map)
		return;
	for (unsigned p = 0; p < PAGES && !t->broken; p++) {
		pg_va a = {BASE + p * PAGE};

		if (pg_space_find(t->s, a, false, &r) && !r.object &&
			pg_pfn_is_none(pg_space_resident(t->s, a, NULL)) != !(map[p] >> 63))
			differ(t, "absent page", a.v, !(map[p] >> 63));
	}
}

static void compare_contents(struct run *t)
{
	struct pg_region r;

	for (unsigned p = 0; p < PAGES && !t->broken; p++) {
		uint64_t a = BASE + p * PAGE;
		uint8_t x = 0, y = 0;
		int sx, sy;

		if (!pg_space_find(t->s, (pg_va){a}, false, &r))
			continue;
		sx = our_touch(t, a, false, 0, &x);
		sy = host_touch(a, false, 0, &y);
		if (sx != sy || x != y)
			differ(t, "contents or signal of a page", (uint64_t)sx << 8 | x,
				(uint64_t)sy << 8 | y);
	}
}

/* ---- the calls */

static uint64_t below(struct run *t, uint64_t n)
{
	return pg_random_below(&t->rnd, n);
}

static bool chance(struct run *t, unsigned percent)
{
	return below(t, 100) < percent;
}

static int host_prot(pg_prot p)
{
	return (p & PG_READ ? PROT_READ : 0) | (p & PG_WRITE ? PROT_WRITE : 0) |
	       (p & PG_EXEC ? PROT_EXEC : 0);
}

static pg_prot some_prot(struct run *t)
{
	static const pg_prot usual[] = {3, 3, 3, 1, 1, 5, 0, 7};

	return usual[below(t, sizeof usual)];
}

/* A range: often one that begins or ends where a region does. */
static void some_range(struct run *t, uint64_t *a, uint64_t *len)
{
	struct pg_region r;

	*a = BASE + (chance(t, 85) ? 1000 + below(t, 50) : below(t, PAGES - 20)) * PAGE;
	*len = (1 + below(t, 12)) * PAGE;
	if (!pg_space_find(t->s, (pg_va){*a}, true, &r) || chance(t, 10))
		return;
	if (chance(t, 50)) {
		*a = r.start.v + below(t, (r.end.v - r.start.v) / PAGE) * PAGE;
		if (chance(t, 50))
			*len = r.end.v - *a;
	} else if (chance(t, 50)) {
		*a = r.end.v;
	} else if (r.start.v >= BASE + *len) {
		*a = r.start.v - *len;
	}
	if (*a == BASE + PAGES * PAGE)
		*a -= PAGE;
	if (*a + *len > BASE + PAGES * PAGE)
		*len = BASE + PAGES * PAGE - *a;
}

static void do_map(struct run *t, uint64_t a, uint64_t len)
{
	static const int flag_of[] = {MAP_NORESERVE, MAP_POPULATE, MAP_GROWSDOWN};
	static const unsigned our_flag[] = {PG_MAP_NORESERVE, PG_MAP_POPULATE, PG_MAP_GROWSDOWN};
	int file = chance(t, 35) ? (int)below(t, FILES) : -1;
	bool shared = chance(t, 30);
	pg_prot prot = some_prot(t);
	uint64_t offset = file >= 0 ? below(t, FILE_PAGES - 12) * PAGE : 0;
	int flags =
		MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE) | (file < 0 ? MAP_ANONYMOUS : 0);
	unsigned ours = PG_MAP_FIXED | (shared ? PG_MAP_SHARED : 0);
	pg_va at = {a};
	void *p;
	int err;

	for (int i = 0; i < 3; i++) {
		if (chance(t, 10) && (i < 2 || (file < 0 && !shared))) {
			flags |= flag_of[i];
			ours |= our_flag[i];
		}
	}
	if (file >= 0 && chance(t, 50)) { /* often what would continue a neighbour */
		struct pg_region r;

		if (pg_space_find(t->s, (pg_va){a - PAGE}, false, &r) &&
			r.object == t->object[file])
			offset = r.offset + (a - r.start.v);
		if (offset + len > FILE_PAGES * PAGE)
			offset = 0;
	}
	snprintf(t->did, sizeof t->did,
		"map %#llx %llu pages prot %d flags %u file %d offset %#llx",
		(unsigned long long)(a - BASE) >> 12, (unsigned long long)len >> 12, prot, ours,
		file, (unsigned long long)offset);
	p = mmap((void *)(uintptr_t)a, len, host_prot(prot), flags, file < 0 ? -1 : t->fd[file],
		(off_t)offset);
	err = pg_space_map(t->s, &at, len, prot, 7, ours, file < 0 ? NULL : t->object[file], offset,
		file < 0 ? NULL : "file");
	if ((p == MAP_FAILED) != (err != 0))
		differ(t, "result", (uint64_t)-err, p == MAP_FAILED ? (uint64_t)errno : 0);
}

/* The library chooses where to move; the kernel is told to go there too. */
static void do_remap(struct run *t, uint64_t a, uint64_t len)
{
	uint64_t to = (1 + below(t, 14)) * PAGE;
	bool move = chance(t, 60);
	struct pg_region r;
	pg_va result;
	void *p;
	int err;

	if (!pg_space_find(t->s, (pg_va){a}, false, &r) || a + len > r.end.v ||
		a + to > BASE + PAGES * PAGE)
		return;
	snprintf(t->did, sizeof t->did, "remap %#llx %llu to %llu pages%s",
		(unsigned long long)(a - BASE) >> 12, (unsigned long long)len >> 12,
		(unsigned long long)to >> 12, move ? ", may move" : "");
	err = pg_space_remap(t->s, (pg_va){a}, len, to, move, &result);
	if (!err && result.v != a)
		p = mremap((void *)(uintptr_t)a, len, to, MREMAP_MAYMOVE | MREMAP_FIXED,
			(void *)(uintptr_t)result.v);
	else
		p = mremap((void *)(uintptr_t)a, len, to, 0);
	if ((p == MAP_FAILED ? errno : 0) != -err)
		differ(t, "result", (uint64_t)-err, p == MAP_FAILED ? (uint64_t)errno : 0);
}

static void do_touch(struct run *t, uint64_t a, uint64_t len)
{
	bool write = chance(t, 60);
	uint8_t value = (uint8_t)below(t, 256), x = 0, y = 0;
	int sx, sy;

	a += below(t, len);
	if (chance(t, 10) && a > BASE + 400 * PAGE)
		a -= below(t, 300) * PAGE; /* a stack may grow, or not */
	snprintf(t->did, sizeof t->did, "%s %#llx", write ? "write" : "read",
		(unsigned long long)(a - BASE));
	sx = our_touch(t, a, write, value, &x);
	sy = host_touch(a, write, value, &y);
	if (sx != sy || x != y)
		differ(t, "signal or byte", (uint64_t)sx << 8 | x, (uint64_t)sy << 8 | y);
}

static void step(struct run *t)
{
	uint64_t a, len, kind = below(t, 100);
	int ours = 0, theirs = 0;

	some_range(t, &a, &len);
	if (kind < 28) {
		do_map(t, a, len);
	} else if (kind < 36) {
		snprintf(t->did, sizeof t->did, "unmap %#llx %llu pages",
			(unsigned long long)(a - BASE) >> 12, (unsigned long long)len >> 12);
		ours = pg_space_unmap(t->s, (pg_va){a}, len);
		theirs = munmap((void *)(uintptr_t)a, len) ? -errno : 0;
	} else if (kind < 54 && pg_map_whole(t->s, a, a + len)) {
		pg_prot prot = some_prot(t);

		snprintf(t->did, sizeof t->did, "protect %#llx %llu pages %d",
			(unsigned long long)(a - BASE) >> 12, (unsigned long long)len >> 12, prot);
		ours = pg_space_protect(t->s, (pg_va){a}, len, prot);
		theirs = mprotect((void *)(uintptr_t)a, len, host_prot(prot)) ? -errno : 0;
	} else if (kind < 62) {
		do_remap(t, a, len);
	} else if (kind < 66 && pg_map_whole(t->s, a, a + len)) {
		snprintf(t->did, sizeof t->did, "discard %#llx %llu pages",
			(unsigned long long)(a - BASE) >> 12, (unsigned long long)len >> 12);
		ours = pg_space_discard(t->s, (pg_va){a}, len);
		theirs = madvise((void *)(uintptr_t)a, len, MADV_DONTNEED) ? -errno : 0;
	} else {
		do_touch(t, a, len);
	}
	if (ours != theirs)
		differ(t, "result", (uint64_t)-ours, (uint64_t)-theirs);
	compare_lines(t);
	compare_present(t);
}

static void begin(struct run *t, uint64_t seed)
{
	struct pg_vm_config v = {
		.memory_bytes = 16 << 20, .form = &pg_table_radix, .geometry = pg_geometry_x86_64};
	struct rlimit stack = {8 << 20, 8 << 20};
	struct pg_space_config c = {.lo = {BASE},
		.hi = {BASE + PAGES * PAGE},
		.mmap_top = {BASE + PAGES * PAGE},
		.stack_gap_bytes = 256 * PAGE};
	bool existed;

	getrlimit(RLIMIT_STACK, &stack);
	c.stack_limit_bytes = stack.rlim_cur > PAGES * PAGE ? 2 * PAGES * PAGE : stack.rlim_cur;
	t->seed = seed;
	t->broken = false;
	pg_random_seed(&t->rnd, seed);
	if (pg_vm_create(&v, &t->vm) || pg_space_create(t->vm, &c, &t->s))
		abort();
	for (int i = 0; i < FILES; i++) {
		char name[32], bytes[FILE_PAGES * PAGE];

		snprintf(name, sizeof name, "pagoda-file%d", i);
		t->fd[i] = memfd_create(name, 0);
		for (size_t k = 0; k < sizeof bytes; k++)
			bytes[k] = (char)(k / PAGE * 3 + (size_t)i);
		if (t->fd[i] < 0 || write(t->fd[i], bytes, sizeof bytes) != (ssize_t)sizeof bytes ||
			pg_object_open(t->vm, (struct pg_object_key){1, (uint64_t)i + 1}, "file",
				&pager, &t->fd[i], 0, &t->object[i], &existed))
			abort();
	}
}

static void end(struct run *t)
{
	munmap((void *)(uintptr_t)BASE, PAGES * PAGE);
	pg_space_destroy(t->s);
	for (int i = 0; i < FILES; i++) {
		pg_object_unref(t->object[i]);
		close(t->fd[i]);
	}
	pg_vm_destroy(t->vm);
}

/* The kernel's version as major * 1000 + minor; 0: not Linux itself. */
static int kernel(void)
{
	struct utsname u;
	int major, minor;

	if (uname(&u) || strcmp(u.sysname, "Linux") ||
		sscanf(u.release, "%d.%d", &major, &minor) != 2)
		return 0;
	return major * 1000 + minor;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : SEQUENCES;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	struct sigaction sa = {.sa_handler = on_signal};
	struct run t = {.pagemap = open("/proc/self/pagemap", O_RDONLY)};

	if (kernel() < 6016) {
		printf("skipped: this kernel merges otherwise than Linux 6.16 and later\n");
		return SKIPPED;
	}
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	for (uint64_t seed = first; seed < first + n && !t.broken; seed++) {
		begin(&t, seed);
		for (t.step = 0; t.step < STEPS && !t.broken; t.step++)
			step(&t);
		if (!t.broken)
			compare_contents(&t);
		end(&t);
	}
	if (!t.broken)
		printf("%llu sequences of %d calls, seeds %llu to %llu: as the kernel\n",
			(unsigned long long)n, STEPS, (unsigned long long)first,
			(unsigned long long)(first + n - 1));
	return t.broken;
}
