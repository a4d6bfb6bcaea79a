/* SPDX-License-Identifier: MIT */
/*
 * linux/exec.c: a program becomes the guest: its file found, checked, mapped into a new space.
 *
 * Called by linux.c (the first program), jobs.c (those of a scheduler) and sys_clone.c (execve). Calls elf.c, stack.c, files.c, space/, cpu/.
 * Everything of the new program is made in a space of its own beside the old one, and only then the
 * guest changes over: a failure leaves the old program as it was.
 *
 * The layout is Linux's for x86-64 without randomisation, drawn from the engine's address top T (2^47 - 4096 when
 * nothing limits it):
 *
 *   non-PIE at its own addresses; PIE at 2/3 T; heap behind the program's bss (a static PIE: at 2/3 T)
 *   mappings downwards from T - gap, the interpreter first; gap = the stack limit and its guard, 128 MiB at least
 *   stack downwards from T
 *
 * Where Linux has mapped its vvar and vdso pages there is a region of the same size without rights, named
 * [no vdso]: there is no vDSO here, and what follows lies where it lies natively.
 *
 * Source: Linux fs/binfmt_elf.c load_elf_binary(), fs/binfmt_script.c, arch/x86/mm/mmap.c.
 */
#include "linux/elf.h"
#include "linux/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_SCRIPTS 5       /* scripts whose interpreters are scripts */
#define SCRIPT_LINE 256     /* bytes of a file in which its #! line must end */
#define MMAP_MIN_ADDR 65536 /* as vm.mmap_min_addr */
#define STACK_GAP_PAGES 256 /* as Linux's stack_guard_gap */

/* One file on its way to become a program. */
struct image {
	int fd;
	struct stat st;
	char path[PATH_MAX]; /* absolute, as the host resolved it */
	struct pg_elf elf;
	struct pg_object *object; /* a reference */
	uint64_t bias, base;      /* base: where its lowest page lies */
};

/* The load in hand. */
struct load {
	uint8_t auxv[512];
	uint32_t auxv_bytes;
	struct pg_thread *me;
	const struct pg_exec_args *args;
	char filename[PATH_MAX]; /* the file that is opened at last: a script's interpreter */
	char **argv;             /* owned, after scripts changed it */
	struct image exe, interp;
	bool has_interp;
	struct pg_space *space;
	struct pg_linux_layout layout;
	uint64_t top; /* the layout lies below it */
	uint64_t entry, sp;
};

static void image_close(struct image *m)
{
	if (m->object != NULL)
		pg_object_unref(m->object);
	if (m->fd >= 0)
		close(m->fd);
	pg_elf_free(&m->elf);
}

/* err, with the reason told. A file that is not the one that was asked for is its interpreter. */
static int fail(struct load *x, int err, const char *file, const char *why)
{
	if (strcmp(file, x->args->filename) != 0)
		pg_linux_fail(
			x->me->machine, "%s: its interpreter %s: %s", x->args->filename, file, why);
	else
		pg_linux_fail(x->me->machine, "%s: %s", file, why);
	return err;
}

/* --- the file ------------------------------------------------------------------------------------- */

static int64_t read_host(void *ctx, uint64_t off, void *buf, uint64_t n)
{
	int fd = *(int *)ctx;
	uint64_t done = 0;

	while (done < n) {
		ssize_t r = pread(fd, (char *)buf + done, n - done, (off_t)(off + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (uint64_t)r;
	}
	return (int64_t)done;
}

static const char *open_phrase(int err)
{
	switch (err) {
	case ENOENT:
		return "no such file";
	case EACCES:
		return "permission denied";
	case ENOTDIR:
		return "a part of its path is not a directory";
	case ELOOP:
		return "too many symbolic links";
	default:
		return strerror(err);
	}
}

/* Opens a file that is to be executed. Its descriptor is one of ours. */
static int image_open(struct load *x, struct image *m, const char *name)
{
	char path[PATH_MAX];
	struct statvfs vfs;
	int err = pg_path_map(x->me, name, path), own;

	if (err != 0)
		return fail(x, err, name, open_phrase(-err));
	m->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (m->fd < 0)
		return fail(x, -errno, name, open_phrase(errno));
	own = pg_linux_own_fd(m->fd);
	if (own < 0)
		return fail(x, own, name, "no descriptor is left for it");
	m->fd = own;
	if (fstat(m->fd, &m->st) != 0)
		return fail(x, -errno, name, strerror(errno));
	if (S_ISDIR(m->st.st_mode))
		return fail(x, -EACCES, name, "is a directory");
	if (!S_ISREG(m->st.st_mode))
		return fail(x, -EACCES, name, "not a regular file");
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0)
		return fail(x, -EACCES, name, "permission denied: not executable (chmod +x)");
	if (fstatvfs(m->fd, &vfs) == 0 && (vfs.f_flag & ST_NOEXEC) != 0)
		return fail(
			x, -EACCES, name, "permission denied: its file system is mounted noexec");
	if (!pg_fd_path(m->fd, m->path, sizeof(m->path)))
		snprintf(m->path, sizeof(m->path), "%s", path);
	return 0;
}

/* --- #! ------------------------------------------------------------------------------------------- */

/*
 * Splits "#! interpreter argument" as Linux does: the interpreter up to a blank, the rest without blanks around it as one
 * argument. false: no interpreter there, or its name was cut.
 */
static bool split_script(char *line, int64_t got, char **interp, char **arg)
{
	char *end, *p = line + 2;
	bool ended = false;

	line[got] = '\0';
	end = memchr(line, '\n', (size_t)got);
	if (end != NULL)
		ended = true;
	else
		end = line + strlen(line);
	if (!ended && got < SCRIPT_LINE)
		ended = true; /* the whole file was read */
	*end = '\0';
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	while (*p == ' ' || *p == '\t')
		p++;
	if (*p == '\0')
		return false;
	*interp = p;
	p += strcspn(p, " \t");
	if (*p == '\0') {
		*arg = NULL;
		return ended;
	}
	*p++ = '\0';
	while (*p == ' ' || *p == '\t')
		p++;
	*arg = *p != '\0' ? p : NULL;
	return true;
}

/* The script `file` is run by its interpreter: argv becomes interpreter, argument, file, old argv[1 ..]. */
static int apply_script(struct load *x, const char *file, const char *interp, const char *arg)
{
	unsigned n = 0, argc = 0, extra = arg != NULL ? 3 : 2;
	char **v;

	while (x->argv[argc] != NULL)
		argc++;
	v = calloc(argc + extra + 1, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	v[n++] = strdup(interp);
	if (arg != NULL)
		v[n++] = strdup(arg);
	v[n++] = strdup(file);
	for (unsigned i = 0; i < extra; i++) {
		if (v[i] != NULL)
			continue;
		for (unsigned k = 0; k < extra; k++)
			free(v[k]);
		free(v);
		return -ENOMEM;
	}
	for (unsigned i = 1; i < argc; i++)
		v[n++] = x->argv[i];
	if (argc > 0)
		free(x->argv[0]);
	free(x->argv);
	x->argv = v;
	return 0;
}

static bool looks_like_text(const char *line, int64_t got)
{
	for (int64_t i = 0; i < got; i++)
		if (line[i] == '\0' ||
			((uint8_t)line[i] < ' ' && strchr("\t\n\r\f\x1b", line[i]) == NULL))
			return false;
	return true;
}

/* Opens x->filename, following scripts to the program that runs them, and parses it. */
static int find_program(struct load *x)
{
	for (unsigned depth = 0;; depth++) {
		char line[SCRIPT_LINE + 1], *interp, *arg;
		const char *why = "";
		int64_t got;
		int err = image_open(x, &x->exe, x->filename);

		if (err != 0)
			return err;
		got = read_host(&x->exe.fd, 0, line, SCRIPT_LINE);
		if (got < 0)
			return fail(x, (int)got, x->filename, strerror((int)-got));
		if (got < 2 || line[0] != '#' || line[1] != '!') {
			err = pg_elf_parse(read_host, &x->exe.fd, &x->exe.elf, &why);
			if (err == -ENOEXEC && got == 0)
				why = "an empty file, not an ELF file";
			else if (err == -ENOEXEC && looks_like_text(line, got))
				why = "a text without a #! line: name what runs it, as in pagoda "
				      "run -- sh FILE";
			return err != 0 ? fail(x, err, x->filename, why) : 0;
		}
		if (depth == MAX_SCRIPTS)
			return fail(
				x, -ELOOP, x->filename, "too many scripts that run one another");
		if (!split_script(line, got, &interp, &arg))
			return fail(x, -ENOEXEC, x->filename, "its #! line names no interpreter");
		err = apply_script(x, x->filename, interp, arg);
		if (err != 0)
			return fail(x, err, x->filename, "no memory for its arguments");
		image_close(&x->exe);
		memset(&x->exe, 0, sizeof(x->exe));
		x->exe.fd = -1;
		snprintf(x->filename, sizeof(x->filename), "%s", interp);
	}
}

static int find_interp(struct load *x)
{
	const char *name = x->exe.elf.interp;
	char whole[PATH_MAX + 64];
	const char *why = "";
	int err;

	if (name[0] == '\0')
		return 0;
	err = image_open(x, &x->interp, name);
	if (err == -ENOENT) {
		snprintf(whole, sizeof(whole), "its interpreter %s is missing", name);
		return fail(x, err, x->filename, whole);
	}
	if (err != 0)
		return err;
	err = pg_elf_parse(read_host, &x->interp.fd, &x->interp.elf, &why);
	if (err != 0)
		return fail(x, err == -ENOEXEC ? -ELIBBAD : err, name, why);
	x->has_interp = true;
	return 0;
}

/* --- the layout ----------------------------------------------------------------------------------- */

/* How many of Linux's random bits are left where the address space is smaller than 2^47. */
static unsigned random_bits(const struct load *x, unsigned bits)
{
	unsigned top = 63 - (unsigned)__builtin_clzll(x->top + PG_PAGE_SIZE);

	return top >= 47 ? bits : bits > 47 - top ? bits - (47 - top) : 0;
}

static uint64_t random_pages(struct load *x, unsigned bits)
{
	return pg_linux_random_below(x->me->machine, (uint64_t)1 << random_bits(x, bits)) *
	       PG_PAGE_SIZE;
}

/*
 * Linux's ELF_ET_DYN_BASE. In a smaller address space it is that, less whole multiples of what one entry of a radix table's root
 * spans, as the top is: so the same program has as many page-table nodes in either, and as many frames for the rest.
 */
static uint64_t dyn_base(const struct load *x)
{
	const uint64_t base = (((uint64_t)1 << 47) - PG_PAGE_SIZE) / 3 * 2,
		       span = (uint64_t)1 << 39, most = x->top / 3 * 2;

	return base <= most ? base : base - pg_align_up(base - most, span);
}

static int make_space(struct load *x)
{
	struct pg_thread *me = x->me;
	uint64_t top = x->top, limit = me->proc->limits[RLIMIT_STACK].rlim_cur;
	uint64_t gap = limit, pad = STACK_GAP_PAGES * PG_PAGE_SIZE, least = (uint64_t)128 << 20,
		 most = top / 6 * 5;
	struct pg_space_config c = {0};
	int err;

	if (me->machine->aslr)
		pad += ((uint64_t)1 << random_bits(x, 22)) * PG_PAGE_SIZE;
	if (gap + pad > gap)
		gap += pad;
	if (gap < least)
		gap = least;
	if (gap > most)
		gap = most;
	x->layout.mmap_top = pg_align_up(
		top - gap - (me->machine->aslr ? random_pages(x, 28) : 0), PG_PAGE_SIZE);
	x->layout.stack_top = top - (me->machine->aslr ? random_pages(x, 22) : 0);
	c.lo.v = MMAP_MIN_ADDR;
	c.hi.v = x->layout.address_top;
	c.mmap_top.v = x->layout.mmap_top;
	c.stack_limit_bytes = limit;
	c.stack_gap_bytes = STACK_GAP_PAGES * PG_PAGE_SIZE;
	c.max_regions = me->machine->max_regions;
	err = pg_space_create(me->machine->vm, &c, &x->space);
	if (err != 0)
		return fail(x, err, x->filename,
			"the machine has too little memory for an address space");
	return 0;
}

/* --- mapping -------------------------------------------------------------------------------------- */

static const char *map_phrase(int err)
{
	switch (err) {
	case -ENOMEM:
		return "too large: no room for its segments in the address space or in memory";
	case -EEXIST:
		return "its segments lie over one another or over the stack";
	case -EPERM:
		return "its segments lie below 64 KiB";
	default:
		return "its segments cannot be mapped";
	}
}

/* Maps one segment at bias + vaddr. at: the page to put it at, result of a search if not fixed. */
static int map_segment(struct load *x, struct image *m, const struct pg_elf_segment *s,
	uint64_t bias, unsigned flags, uint64_t total, pg_va *at)
{
	const pg_prot all = PG_READ | PG_WRITE | PG_EXEC;
	uint64_t page = pg_align_down(bias + s->vaddr, PG_PAGE_SIZE);
	uint64_t head = s->vaddr & PG_PAGE_MASK, len = pg_align_up(s->filesz + head, PG_PAGE_SIZE);
	uint64_t mem_end, file_end;
	int err;

	at->v = page;
	if (s->filesz != 0) {
		uint64_t want = total > len ? total : len;

		err = pg_space_map(x->space, at, want, s->prot, all, flags, m->object,
			s->offset - head, m->path);
		if (err != 0)
			return err;
		if (want > len && pg_space_unmap(x->space, (pg_va){at->v + len}, want - len) != 0)
			return -ENOMEM;
	} else {
		len = 0;
		if (!(flags & (PG_MAP_FIXED | PG_MAP_FIXED_FREE))) {
			/* find room, then fall through to the anonymous part */
			err = pg_space_map(x->space, at, total, 0, all, 0, NULL, 0, "");
			if (err != 0)
				return err;
			if (pg_space_unmap(x->space, *at, total) != 0)
				return -ENOMEM;
		}
	}
	if (s->memsz == s->filesz)
		return 0;
	mem_end = pg_align_up(at->v + head + s->memsz, PG_PAGE_SIZE);
	file_end = at->v + len;
	if (s->filesz != 0) {
		static const uint8_t zeros[PG_PAGE_SIZE];
		uint64_t from = at->v + head + s->filesz, n = -from & PG_PAGE_MASK;

		if (n != 0 && pg_space_write(x->space, (pg_va){from}, zeros, n, 0) != n &&
			(s->prot & PG_WRITE))
			return -EFAULT;
	}
	if (mem_end > file_end) {
		pg_va a = {file_end};
		pg_prot prot = PG_READ | PG_WRITE | (s->prot & PG_EXEC);

		return pg_space_map(x->space, &a, mem_end - file_end, prot, all,
			flags & PG_MAP_FIXED_FREE ? PG_MAP_FIXED_FREE : PG_MAP_FIXED, NULL, 0, "");
	}
	return 0;
}

/* Maps all segments. hint: where a position-free image goes; 0: wherever there is room. */
static int map_image(struct load *x, struct image *m, uint64_t hint, bool fixed)
{
	const struct pg_elf *e = &m->elf;
	const char *why = NULL;
	uint64_t top = x->layout.address_top, span = e->hi - e->lo;
	int err;

	err = pg_files_object(x->me, m->fd, &m->st, false, m->path, &m->object);
	if (err != 0)
		return fail(x, err, m->path, "cannot be mapped");
	if (span > top || (!e->position_free && e->hi > top))
		return fail(x, -ENOMEM, m->path, "its segments lie outside the address space");
	m->bias = e->position_free ? pg_align_down(hint - e->lo, PG_PAGE_SIZE) : 0;
	if (e->position_free && hint == 0)
		m->bias = 0;
	for (unsigned i = 0; i < e->segments; i++) {
		const struct pg_elf_segment *s = &e->segment[i];
		unsigned flags = PG_MAP_FIXED;
		bool search = i == 0 && e->position_free && !fixed;
		pg_va at;

		if (i == 0)
			flags = search ? 0 : PG_MAP_FIXED_FREE;
		if (search && e->max_align > PG_PAGE_SIZE && e->max_align < top - span) {
			/* more room, then the aligned place in it */
			at.v = 0;
			err = pg_space_map(
				x->space, &at, span + e->max_align, 0, 0, 0, NULL, 0, "");
			if (err == 0)
				err = pg_space_unmap(x->space, at, span + e->max_align);
			if (err != 0)
				return fail(x, err, m->path, map_phrase(err));
			m->bias = pg_align_up(at.v, e->max_align) - e->lo;
			flags = PG_MAP_FIXED_FREE;
			search = false;
		}
		if (m->bias + s->vaddr + s->memsz > top)
			return fail(
				x, -ENOMEM, m->path, "its segments lie outside the address space");
		err = map_segment(
			x, m, s, m->bias, flags, i == 0 && e->position_free ? span : 0, &at);
		if (err != 0)
			why = map_phrase(err);
		if (why != NULL)
			return fail(x, err, m->path, why);
		if (search)
			m->bias = at.v - e->lo;
	}
	m->base = m->bias + e->lo;
	return 0;
}

static void note_bounds(struct load *x)
{
	const struct pg_elf *e = &x->exe.elf;
	struct pg_linux_layout *y = &x->layout;
	uint64_t bias = x->exe.bias, brk = 0;

	y->code_start = UINT64_MAX;
	for (unsigned i = 0; i < e->segments; i++) {
		const struct pg_elf_segment *s = &e->segment[i];

		if ((s->prot & PG_EXEC) && s->vaddr + bias < y->code_start)
			y->code_start = s->vaddr + bias;
		if ((s->prot & PG_EXEC) && s->vaddr + s->filesz + bias > y->code_end)
			y->code_end = s->vaddr + s->filesz + bias;
		if (s->vaddr + bias > y->data_start)
			y->data_start = s->vaddr + bias;
		if (s->vaddr + s->filesz + bias > y->data_end)
			y->data_end = s->vaddr + s->filesz + bias;
		if (s->vaddr + s->memsz + bias > brk)
			brk = s->vaddr + s->memsz + bias;
	}
	if (y->code_start == UINT64_MAX)
		y->code_start = 0;
	if (e->position_free && !x->has_interp)
		brk = dyn_base(x); /* a static PIE lies among the mappings: its heap does not */
	brk = pg_align_up(brk, PG_PAGE_SIZE);
	if (x->me->machine->aslr)
		brk += random_pages(x, 13);
	y->brk_start = brk;
	y->exe_base = bias;
	y->interp_base = x->has_interp ? x->interp.base : 0;
	y->entry = e->entry + bias;
	y->phdr = e->phdr_mapped ? e->phdr_vaddr + bias : 0;
}

static int map_program(struct load *x)
{
	struct pg_thread *me = x->me;
	struct pg_stack_in in = {0};
	const char *why = "";
	uint64_t hint = 0;
	int err;

	in.auxv = x->auxv;
	in.auxv_bytes = &x->auxv_bytes;
	in.space = x->space;
	in.top = x->layout.stack_top;
	in.execfn = x->args->filename;
	in.argv = x->argv;
	in.envp = x->args->envp;
	in.stack_limit = me->proc->limits[RLIMIT_STACK].rlim_cur;
	in.exec_stack = x->exe.elf.stack_exec;
	if (x->has_interp) {
		hint = dyn_base(x) + (me->machine->aslr ? random_pages(x, 28) : 0);
		if (x->exe.elf.max_align != 0)
			hint &= ~(x->exe.elf.max_align - 1);
	}
	err = map_image(x, &x->exe, hint, x->has_interp);
	if (err == 0 && x->has_interp)
		err = map_image(x, &x->interp, 0, false);
	if (err != 0)
		return err;
	if (me->machine->vdso_bytes != 0 && !me->machine->aslr) {
		pg_va at = {0};

		err = pg_space_map(
			x->space, &at, me->machine->vdso_bytes, 0, 0, 0, NULL, 0, "[no vdso]");
		if (err != 0)
			return fail(x, err, x->filename, "no room in the address space");
	}
	note_bounds(x);
	in.phdr = x->layout.phdr;
	in.phnum = x->exe.elf.phnum;
	in.base = x->layout.interp_base;
	in.entry = x->layout.entry;
	err = pg_stack_build(me, &in, &x->layout, &x->sp, &why);
	if (err != 0)
		return fail(x, err, x->filename, why);
	pg_space_set_brk_start(x->space, (pg_va){x->layout.brk_start});
	x->entry = x->has_interp ? x->interp.elf.entry + x->interp.bias : x->layout.entry;
	return 0;
}

/* --- one block instead of mappings ------------------------------------------------------------------- */

/* The program in a contiguous block, its stack at the end. */
static int load_block(struct load *x)
{
	struct pg_thread *me = x->me;
	const struct pg_block_program b = {.me = me,
		.file = x->filename,
		.path = x->exe.path,
		.fd = x->exe.fd,
		.elf = &x->exe.elf,
		.argv = x->argv,
		.envp = x->args->envp,
		.bytes = x->args->block_bytes,
		.address_top = x->top};
	struct pg_space_config c = {.lo.v = MMAP_MIN_ADDR,
		.hi.v = x->top,
		.mmap_top.v = x->top,
		.stack_limit_bytes = me->proc->limits[RLIMIT_STACK].rlim_cur};
	struct pg_stack_in in = {.auxv = x->auxv,
		.auxv_bytes = &x->auxv_bytes,
		.execfn = x->args->filename,
		.argv = x->argv,
		.envp = x->args->envp,
		.stack_limit = c.stack_limit_bytes,
		.phnum = x->exe.elf.phnum,
		.mapped = true};
	struct pg_block_shape shape;
	const char *why = "";
	int err = pg_block_program_shape(&b, &shape);

	if (x->args->size != NULL)
		*x->args->size = shape.pages << PG_PAGE_SHIFT;
	if (err != 0 || x->args->size != NULL)
		return err == -EFBIG && me->proc->execed ? -ENOMEM : err;
	err = pg_space_create(me->machine->vm, &c, &x->space);
	if (err != 0)
		return fail(x, err, x->filename, "no memory to load it");
	err = pg_block_program_load(&b, &shape, x->space);
	if (err != 0)
		return err == -ENOSPC && !me->machine->partition->spawning ? -ENOMEM : err;
	me->loading = x->space;
	note_bounds(x);
	x->layout.mmap_top = c.mmap_top.v;
	in.space = x->space;
	in.top = shape.origin.v + (shape.span_pages << PG_PAGE_SHIFT);
	in.phdr = x->layout.phdr;
	in.entry = x->layout.entry;
	err = pg_stack_build(me, &in, &x->layout, &x->sp, &why);
	if (err != 0)
		return fail(x, err, x->filename, why);
	pg_space_set_brk_start(x->space, (pg_va){x->layout.brk_start});
	x->entry = x->layout.entry;
	return 0;
}

/* --- changing over -------------------------------------------------------------------------------- */

/* Closes the guest's close-on-exec descriptors. */
static void close_on_exec(void)
{
	int limit = pg_linux_fd_limit(),
	    dir = open("/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool all = true;
	char buf[4096];

	while (dir >= 0 && all) {
		int64_t n = PG_QUICK(SYS_getdents64, dir, (uintptr_t)buf, sizeof(buf), 0, 0, 0);

		if (n <= 0)
			break;
		for (int64_t i = 0; i < n;) {
			uint16_t len;
			int fd = atoi(buf + i + 19);

			memcpy(&len, buf + i + 16, sizeof(len));
			if (buf[i + 19] != '.' && fd != dir && fd < limit &&
				(fcntl(fd, F_GETFD) & FD_CLOEXEC))
				close(fd);
			i += len;
		}
	}
	if (dir >= 0)
		close(dir);
}

static void reset_registers(struct pg_thread *me, uint64_t entry, uint64_t sp)
{
	struct pg_xsave *xs = me->regs->x;
	const uint16_t fcw = 0x37f;
	const uint32_t mxcsr = 0x1f80;

	memset(me->regs->gpr, 0, sizeof(me->regs->gpr));
	me->regs->gpr[PG_RSP] = sp;
	me->regs->rip = entry;
	me->regs->rflags = 0x202;
	me->regs->fs_base = me->regs->gs_base = 0;
	memset(xs, 0, sizeof(*xs));
	memcpy(xs->bytes, &fcw, sizeof(fcw));
	memcpy(xs->bytes + 24, &mxcsr, sizeof(mxcsr));
}

static int change_over(struct load *x)
{
	struct pg_thread *me = x->me;
	const char *base = strrchr(x->args->filename, '/');
	bool first = me->proc->mm == NULL;
	struct pg_mm *mm;

	if (me->must_end)
		return -EINTR; /* another thread was quicker, this one is to end */
	mm = pg_mm_make(x->space);
	if (mm == NULL)
		return fail(x, -ENOMEM, x->filename, "no memory for its process");
	if (first) {
		int err = me->machine->ops->cpu_create(me->machine->engine, x->space, &me->cpu);

		if (err != 0) {
			free(mm);
			return fail(x, err, x->filename, "no memory for the guest's processor");
		}
		me->regs = me->machine->ops->regs(me->cpu);
	} else {
		pg_thread_alone(me);
		pg_thread_farewell(me);
		me->tid = me->proc->pid;
	}
	x->space = NULL;
	pg_process_new_mm(me, mm);
	if (!first) {
		pg_timers_delete(me->proc, false);
		pg_fds_own(me);
		close_on_exec();
		pg_open_closed(me);
		pg_terminal_closed(me->machine);
	}
	me->clear_tid = me->robust_list = me->robust_len = 0;
	me->proc->execed = true;
	mm->layout = x->layout;
	memcpy(mm->auxv, x->auxv, x->auxv_bytes);
	mm->auxv_bytes = x->auxv_bytes;
	snprintf(me->mm->exe, sizeof(me->mm->exe), "%s", x->exe.path);
	me->mm->exe_dev = (uint64_t)x->exe.st.st_dev;
	me->mm->exe_ino = (uint64_t)x->exe.st.st_ino;
	snprintf(me->comm, sizeof(me->comm), "%.15s", base != NULL ? base + 1 : x->args->filename);
	if (!first)
		pg_cred_exec(me);
	pg_signal_exec(me);
	reset_registers(me, x->entry, x->sp);
	me->machine->execs++;
	me->proc->execs++;
	if (me->machine->hooks.exec != NULL)
		me->machine->hooks.exec(me->machine->hooks.ctx, me->mm->exe);
	return 0;
}

int pg_exec(struct pg_thread *me, const struct pg_exec_args *args)
{
	struct load *x = calloc(1, sizeof(*x));
	int err;

	if (x == NULL) {
		pg_linux_fail(me->machine, "%s: no memory to load it", args->filename);
		return -ENOMEM;
	}
	x->me = me;
	x->args = args;
	x->exe.fd = x->interp.fd = -1;
	x->layout.address_top = me->machine->ops->address_top(me->machine->engine);
	x->top = me->machine->ops->layout_top(me->machine->engine);
	snprintf(x->filename, sizeof(x->filename), "%s", args->filename);
	x->argv = pg_strings_copy((const char *const *)args->argv);
	err = x->argv != NULL ? find_program(x)
			      : fail(x, -ENOMEM, args->filename, "no memory to load it");
	if (err == 0 && x->me->machine->partition != NULL) {
		err = load_block(x);
	} else {
		if (err == 0)
			err = find_interp(x);
		if (err == 0)
			err = make_space(x);
		if (err == 0)
			err = map_program(x);
	}
	if (err == 0 && args->size == NULL)
		err = change_over(x);
	me->loading = NULL;
	if (x->space != NULL)
		pg_space_destroy(x->space);
	image_close(&x->exe);
	image_close(&x->interp);
	pg_strings_free(x->argv);
	free(x);
	return err;
}
