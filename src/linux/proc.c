/* SPDX-License-Identifier: MIT */
/*
 * linux/proc.c: the files of /proc that speak of the guest, answered from our own structures.
 *
 * Called by sys_path.c after an open, with the name under which the host knows what was opened. Reads space/ and the
 * handle; the text goes into a sealed memory file whose descriptor the guest gets, so that reading and seeking are the
 * host's. Formats are Linux's, to the blank.
 *
 * What is not here: /proc/self/exe and the guest's process id in names (path.c), /proc/self/fd (sys_fd.c), files that
 * are the same for the host process (cgroup, mountinfo, ...), which pass.
 *
 * Source of the formats: Linux fs/proc/task_mmu.c, array.c, meminfo.c; proc(5).
 */
#include "linux/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define KB(bytes) ((unsigned long long)(bytes) / 1024)

/* Text that grows; `out` is a host stream on memory. */
struct text {
	struct pg_thread *me;
	FILE *out;
};

/* --- maps, smaps ------------------------------------------------------------------------------------------------- */

/* The device and inode of a region's file; zeros if it has none. */
static void file_of(
	const struct pg_region *r, unsigned *major_no, unsigned *minor_no, unsigned long *inode)
{
	struct pg_object_key key = {0, 0};

	*major_no = *minor_no = 0;
	*inode = 0;
	if (r->object == NULL)
		return;
	key = pg_object_get_key(r->object);
	if (key.device == 0)
		return;
	*major_no = major(key.device - 1);
	*minor_no = minor(key.device - 1);
	*inode = key.inode;
}

static bool put_region(void *ctx, const struct pg_region *r)
{
	struct text *t = ctx;
	unsigned major_no, minor_no;
	unsigned long inode;
	int n;

	file_of(r, &major_no, &minor_no, &inode);
	n = fprintf(t->out, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)r->start.v,
		(unsigned long)r->end.v, r->prot & PG_READ ? 'r' : '-',
		r->prot & PG_WRITE ? 'w' : '-', r->prot & PG_EXEC ? 'x' : '-',
		r->flags & PG_MAP_SHARED ? 's' : 'p',
		(unsigned long)(r->object != NULL ? r->offset : 0), major_no, minor_no, inode);
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

static void put_maps(struct text *t)
{
	pg_space_each_region(t->me->mm->space, put_region, t);
}

static bool put_smap(void *ctx, const struct pg_region *r)
{
	struct text *t = ctx;
	uint64_t rss = r->resident_pages * PG_PAGE_SIZE, anon = 0, dirty = 0;
	struct pg_frames *fs = pg_vm_frames(t->me->machine->vm);

	put_region(ctx, r);
	for (uint64_t a = r->start.v; rss != 0 && a < r->end.v; a += PG_PAGE_SIZE) {
		pg_pte pte = 0;
		pg_pfn f = pg_space_resident(t->me->mm->space, (pg_va){a}, &pte);

		if (pg_pfn_is_none(f) || f.v == pg_vm_zero_page(t->me->machine->vm).v)
			continue;
		if (pg_frames_row(fs, f)->state == PG_FRAME_ANON)
			anon += PG_PAGE_SIZE;
		if (pte & PG_PTE_D)
			dirty += PG_PAGE_SIZE;
	}
	fprintf(t->out,
		"Size:           %8llu kB\nKernelPageSize: %8u kB\nMMUPageSize:    %8u kB\n"
		"Rss:            %8llu kB\nPss:            %8llu kB\nPss_Dirty:      %8llu kB\n"
		"Shared_Clean:   %8u kB\nShared_Dirty:   %8u kB\n"
		"Private_Clean:  %8llu kB\nPrivate_Dirty:  %8llu kB\n"
		"Referenced:     %8llu kB\nAnonymous:      %8llu kB\nKSM:            %8u kB\n"
		"LazyFree:       %8u kB\nAnonHugePages:  %8u kB\nShmemPmdMapped: %8u "
		"kB\nFilePmdMapped:  %8u kB\n"
		"Shared_Hugetlb: %8u kB\nPrivate_Hugetlb: %7u kB\nSwap:           %8u kB\nSwapPss: "
		"       %8u kB\n"
		"Locked:         %8llu kB\nTHPeligible:    %8u\n",
		KB(r->end.v - r->start.v), 4u, 4u, KB(rss), KB(rss), KB(dirty), 0u, 0u,
		KB(rss - dirty), KB(dirty), KB(rss), KB(anon), 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u,
		r->flags & PG_MAP_LOCKED ? KB(rss) : 0ull, 0u);
	fprintf(t->out, "VmFlags: %s%s%s%smr mw me %s%s%ssd \n", r->prot & PG_READ ? "rd " : "",
		r->prot & PG_WRITE ? "wr " : "", r->prot & PG_EXEC ? "ex " : "",
		r->flags & PG_MAP_SHARED ? "sh " : "", r->flags & PG_MAP_GROWSDOWN ? "gd " : "",
		r->flags & PG_MAP_LOCKED ? "lo " : "", r->flags & PG_MAP_SHARED ? "" : "ac ");
	return true;
}

static void put_smaps(struct text *t)
{
	pg_space_each_region(t->me->mm->space, put_smap, t);
}

/* --- sizes by purpose, for status and statm ------------------------------------------------------------------------- */

struct sizes {
	uint64_t data, stack, exe, lib, locked;
	const struct pg_thread *me;
};

static bool add_sizes(void *ctx, const struct pg_region *r)
{
	struct sizes *s = ctx;
	uint64_t n = r->end.v - r->start.v;

	if (r->flags & PG_MAP_LOCKED)
		s->locked += n;
	if (r->flags & PG_MAP_GROWSDOWN)
		s->stack += n;
	else if ((r->prot & PG_WRITE) && !(r->flags & PG_MAP_SHARED))
		s->data += n;
	else if ((r->prot & PG_EXEC) && !(r->prot & PG_WRITE))
		s->lib += n;
	return true;
}

/* As Linux: exe is the program's text, page by page; lib all other executable mappings. */
static void get_sizes(struct pg_thread *me, struct sizes *s)
{
	const struct pg_linux_layout *y = &me->mm->layout;

	*s = (struct sizes){.me = me};
	pg_space_each_region(me->mm->space, add_sizes, s);
	s->exe =
		pg_align_up(y->code_end, PG_PAGE_SIZE) - pg_align_down(y->code_start, PG_PAGE_SIZE);
	if (s->exe > s->lib)
		s->exe = s->lib;
	s->lib -= s->exe;
}

static void put_statm(struct text *t)
{
	struct pg_space_stats st;
	struct sizes s;

	pg_space_stats(t->me->mm->space, &st);
	get_sizes(t->me, &s);
	fprintf(t->out, "%lu %lu %lu %lu 0 %lu 0\n", st.vsz_bytes / PG_PAGE_SIZE, st.rss_pages,
		st.rss_file_pages + st.rss_shmem_pages, s.exe / PG_PAGE_SIZE,
		(s.data + s.stack) / PG_PAGE_SIZE);
}

static unsigned long long handled(const struct pg_thread *me, bool ignored)
{
	unsigned long long set = 0;

	for (int n = 1; n <= PG_NSIG; n++)
		if (ignored ? me->proc->sig.act[n].handler == 1 : me->proc->sig.act[n].handler > 1)
			set |= 1ull << (n - 1);
	return set;
}

/* The memory lines of status; n: their number is Linux's. */
static void put_memory_lines(struct text *t)
{
	struct pg_space_stats st;
	struct sizes s;

	pg_space_stats(t->me->mm->space, &st);
	get_sizes(t->me, &s);
	fprintf(t->out,
		"VmPeak:\t%8llu kB\nVmSize:\t%8llu kB\nVmLck:\t%8llu kB\nVmPin:\t%8u kB\n"
		"VmHWM:\t%8llu kB\nVmRSS:\t%8llu kB\nRssAnon:\t%8llu kB\nRssFile:\t%8llu "
		"kB\nRssShmem:\t%8llu kB\n"
		"VmData:\t%8llu kB\nVmStk:\t%8llu kB\nVmExe:\t%8llu kB\nVmLib:\t%8llu kB\n"
		"VmPTE:\t%8llu kB\nVmSwap:\t%8u kB\nHugetlbPages:\t%8u kB\n",
		KB(st.vsz_peak_bytes), KB(st.vsz_bytes), KB(s.locked), 0u,
		KB(st.rss_peak_pages * PG_PAGE_SIZE), KB(st.rss_pages * PG_PAGE_SIZE),
		KB(st.rss_anon_pages * PG_PAGE_SIZE), KB(st.rss_file_pages * PG_PAGE_SIZE),
		KB(st.rss_shmem_pages * PG_PAGE_SIZE), KB(s.data), KB(s.stack), KB(s.exe),
		KB(s.lib), KB(st.table.node_frames * PG_PAGE_SIZE), 0u, 0u);
}

/* status is the host's with the lines that are ours exchanged: so it has what this kernel has. */
static void put_status(struct text *t)
{
	struct pg_thread *me = t->me;
	FILE *host = fopen("/proc/thread-self/status", "re");
	char line[512];
	bool memory = false;

	while (host != NULL && fgets(line, sizeof(line), host) != NULL) {
		if (strncmp(line, "Name:", 5) == 0)
			fprintf(t->out, "Name:\t%s\n", me->comm);
		else if (strncmp(line, "State:", 6) == 0)
			fprintf(t->out, "State:\tR (running)\n");
		else if (strncmp(line, "Tgid:", 5) == 0 || strncmp(line, "Pid:", 4) == 0)
			fprintf(t->out, "%.*s\t%d\n", (int)(strchr(line, ':') - line) + 1, line,
				me->proc->pid);
		else if (strncmp(line, "PPid:", 5) == 0)
			fprintf(t->out, "PPid:\t%d\n", pg_process_ppid(me->proc));
		else if (strncmp(line, "NStgid:", 7) == 0 || strncmp(line, "NSpid:", 6) == 0)
			fprintf(t->out, "%.*s\t%d\n", (int)(strchr(line, ':') - line) + 1, line,
				me->proc->pid);
		else if (strncmp(line, "NSpgid:", 7) == 0)
			fprintf(t->out, "NSpgid:\t%d\n", me->proc->pgid);
		else if (strncmp(line, "NSsid:", 6) == 0)
			fprintf(t->out, "NSsid:\t%d\n", me->proc->sid);
		else if (strncmp(line, "Vm", 2) == 0 || strncmp(line, "Rss", 3) == 0 ||
			 strncmp(line, "HugetlbPages", 12) == 0) {
			if (!memory)
				put_memory_lines(t);
			memory = true;
		} else if (strncmp(line, "Threads:", 8) == 0)
			fprintf(t->out, "Threads:\t%u\n", me->proc->threads);
		else if (strncmp(line, "SigQ:", 5) == 0)
			fprintf(t->out, "SigQ:\t%u%s", me->proc->sig.queued, strchr(line, '/'));
		else if (strncmp(line, "SigPnd:", 7) == 0)
			fprintf(t->out, "SigPnd:\t%016llx\n",
				(unsigned long long)me->proc->sig.pending);
		else if (strncmp(line, "ShdPnd:", 7) == 0)
			fprintf(t->out, "ShdPnd:\t%016llx\n", 0ull);
		else if (strncmp(line, "SigBlk:", 7) == 0)
			fprintf(t->out, "SigBlk:\t%016llx\n", (unsigned long long)me->sig.blocked);
		else if (strncmp(line, "SigIgn:", 7) == 0)
			fprintf(t->out, "SigIgn:\t%016llx\n", handled(me, true));
		else if (strncmp(line, "SigCgt:", 7) == 0)
			fprintf(t->out, "SigCgt:\t%016llx\n", handled(me, false));
		else
			fputs(line, t->out);
	}
	if (host != NULL)
		fclose(host);
}

/* stat: one line of 52 numbers. Those about time and terminals are the host process's. */
static void put_stat(struct text *t)
{
	struct pg_thread *me = t->me;
	const struct pg_linux_layout *y = &me->mm->layout;
	struct pg_space_stats st;
	FILE *host = fopen("/proc/thread-self/stat", "re");
	unsigned long long f[53] = {0};
	char line[1024] = "", *p;

	pg_space_stats(me->mm->space, &st);
	if (host != NULL) {
		if (fgets(line, sizeof(line), host) == NULL)
			line[0] = '\0';
		fclose(host);
	}
	/* fields 4 and on, behind the name in brackets and the state */
	p = strrchr(line, ')');
	if (p != NULL && p[1] != '\0')
		p += 4;
	for (int i = 4; p != NULL && i <= 52 && *p != '\0'; i++) {
		char *end;

		f[i] = (unsigned long long)strtoll(p, &end, 10);
		if (f[i] == (unsigned long long)INT64_MAX)
			f[i] = strtoull(p, &end, 10);
		if (end == p)
			break;
		p = end;
	}
	f[4] = (unsigned long long)pg_process_ppid(me->proc);
	f[5] = (unsigned long long)me->proc->pgid;
	f[6] = (unsigned long long)me->proc->sid;
	f[8] = (unsigned long long)me->machine->foreground;
	f[10] = st.minor;
	f[12] = st.major;
	f[20] = me->proc->threads;
	f[22] = me->proc->start_ticks;
	f[23] = st.vsz_bytes;
	f[24] = st.rss_pages;
	f[25] = me->proc->limits[RLIMIT_RSS].rlim_cur;
	f[26] = y->code_start;
	f[27] = y->code_end;
	f[28] = y->stack_start;
	f[29] = me->regs->gpr[PG_RSP];
	f[30] = me->regs->rip;
	f[31] = me->proc->sig.pending & 0x7fffffff;
	f[32] = me->sig.blocked & 0x7fffffff;
	f[33] = handled(me, true) & 0x7fffffff;
	f[34] = handled(me, false) & 0x7fffffff;
	f[35] = 0;
	f[45] = y->data_start;
	f[46] = y->data_end;
	f[47] = y->brk_start;
	f[48] = y->args_start;
	f[49] = y->args_end;
	f[50] = y->env_start;
	f[51] = y->env_end;
	f[52] = 0;
	fprintf(t->out, "%d (%s) R", me->proc->pid, me->comm);
	for (int i = 4; i <= 52; i++) {
		bool is_signed = i <= 8 || (i >= 16 && i <= 19) || i == 38 || i == 44;

		if (is_signed)
			fprintf(t->out, " %lld", (long long)f[i]);
		else
			fprintf(t->out, " %llu", f[i]);
	}
	fputc('\n', t->out);
}

/* --- the program's own strings ------------------------------------------------------------------------------------------ */

/* Bytes of the guest's memory as they are now; those that are not resident read as Linux would fault them. */
static void put_memory(struct text *t, uint64_t from, uint64_t to)
{
	uint8_t part[4096];

	while (from < to) {
		uint64_t n = to - from < sizeof(part) ? to - from : sizeof(part);

		if (pg_guest_read(t->me, part, from, n) != 0)
			break;
		fwrite(part, 1, n, t->out);
		from += n;
	}
}

static void put_cmdline(struct text *t)
{
	put_memory(t, t->me->mm->layout.args_start, t->me->mm->layout.args_end);
}

static void put_environ(struct text *t)
{
	put_memory(t, t->me->mm->layout.env_start, t->me->mm->layout.env_end);
}

static void put_auxv(struct text *t)
{
	fwrite(t->me->mm->auxv, 1, t->me->mm->auxv_bytes, t->out);
}

static void put_comm(struct text *t)
{
	fprintf(t->out, "%s\n", t->me->comm);
}

static void put_limit(FILE *out, uint64_t v)
{
	if (v == RLIM64_INFINITY)
		fprintf(out, "%-20s ", "unlimited");
	else
		fprintf(out, "%-20llu ", (unsigned long long)v);
}

static void put_limits(struct text *t)
{
	static const struct {
		const char *name, *unit;
		int what;
	} rows[] = {
		{"Max cpu time", "seconds", RLIMIT_CPU},
		{"Max file size", "bytes", RLIMIT_FSIZE},
		{"Max data size", "bytes", RLIMIT_DATA},
		{"Max stack size", "bytes", RLIMIT_STACK},
		{"Max core file size", "bytes", RLIMIT_CORE},
		{"Max resident set", "bytes", RLIMIT_RSS},
		{"Max processes", "processes", RLIMIT_NPROC},
		{"Max open files", "files", RLIMIT_NOFILE},
		{"Max locked memory", "bytes", RLIMIT_MEMLOCK},
		{"Max address space", "bytes", RLIMIT_AS},
		{"Max file locks", "locks", RLIMIT_LOCKS},
		{"Max pending signals", "signals", RLIMIT_SIGPENDING},
		{"Max msgqueue size", "bytes", RLIMIT_MSGQUEUE},
		{"Max nice priority", NULL, RLIMIT_NICE},
		{"Max realtime priority", NULL, RLIMIT_RTPRIO},
		{"Max realtime timeout", "us", RLIMIT_RTTIME},
	};

	fprintf(t->out, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fprintf(t->out, "%-25s ", rows[i].name);
		put_limit(t->out, t->me->proc->limits[rows[i].what].rlim_cur);
		put_limit(t->out, t->me->proc->limits[rows[i].what].rlim_max);
		if (rows[i].unit != NULL)
			fprintf(t->out, "%-10s\n", rows[i].unit);
		else
			fputc('\n', t->out);
	}
}

static void put_wchan(struct text *t)
{
	fputc('0', t->out);
}

/* --- the machine ---------------------------------------------------------------------------------------------------------- */

static void put_meminfo(struct text *t)
{
	struct pg_frames_stats fs;
	struct pg_space_stats st;
	uint64_t total, free_bytes, cache, anon, table;

	pg_frames_stats(pg_vm_frames(t->me->machine->vm), &fs);
	pg_space_stats(t->me->mm->space, &st);
	total = fs.total * PG_PAGE_SIZE;
	free_bytes = fs.by_state[PG_FRAME_FREE] * PG_PAGE_SIZE;
	cache = fs.by_state[PG_FRAME_CACHE] * PG_PAGE_SIZE;
	anon = fs.by_state[PG_FRAME_ANON] * PG_PAGE_SIZE;
	table = fs.by_state[PG_FRAME_TABLE] * PG_PAGE_SIZE;
	fprintf(t->out,
		"MemTotal:       %8llu kB\nMemFree:        %8llu kB\nMemAvailable:   %8llu "
		"kB\nBuffers:        %8u kB\n"
		"Cached:         %8llu kB\nSwapCached:     %8u kB\nActive:         %8llu "
		"kB\nInactive:       %8u kB\n"
		"SwapTotal:      %8u kB\nSwapFree:       %8u kB\nAnonPages:      %8llu kB\nMapped: "
		"        %8llu kB\n"
		"Shmem:          %8llu kB\nPageTables:     %8llu kB\nCommitLimit:    %8llu "
		"kB\nCommitted_AS:   %8llu kB\n",
		KB(total), KB(free_bytes), KB(free_bytes), 0u, KB(cache), 0u, KB(anon + cache), 0u,
		0u, 0u, KB(anon), KB(st.rss_file_pages * PG_PAGE_SIZE),
		KB(st.rss_shmem_pages * PG_PAGE_SIZE), KB(table), KB(total), KB(st.vsz_bytes));
}

/* --- opening -------------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*put)(struct text *t);
} own_files[] = {
	{"maps", put_maps},
	{"smaps", put_smaps},
	{"status", put_status},
	{"statm", put_statm},
	{"stat", put_stat},
	{"cmdline", put_cmdline},
	{"environ", put_environ},
	{"auxv", put_auxv},
	{"comm", put_comm},
	{"limits", put_limits},
	{"wchan", put_wchan},
};

/* Entries that would show or change Pagoda itself in the guest's place, and for which we have nothing truer. */
static const char *const refused[] = {"mem", "smaps_rollup", "numa_maps", "pagemap", "clear_refs",
	"syscall", "stack", "personality", "coredump_filter", "oom_adj", "oom_score_adj",
	"patch_state", "arch_status"};

static int make(struct pg_thread *me, const char *name, void (*put)(struct text *t))
{
	char *buf = NULL;
	size_t n = 0, done = 0;
	struct text t = {.me = me, .out = open_memstream(&buf, &n)};
	char link[32];
	int fd, reading;

	if (t.out == NULL)
		return -ENOMEM;
	put(&t);
	if (fclose(t.out) != 0) {
		free(buf);
		return -ENOMEM;
	}
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0) {
		free(buf);
		return -errno;
	}
	while (done < n) {
		ssize_t k = pwrite(fd, buf + done, n - done, (off_t)done);

		if (k <= 0)
			break;
		done += (size_t)k;
	}
	free(buf);
	fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	/* as the guest opened it: to be read */
	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", fd);
	reading = open(link, O_RDONLY | O_CLOEXEC);
	if (reading < 0)
		return fd;
	close(fd);
	return reading;
}

/* The name under the guest's own directory of a host path below /proc, or NULL. */
static const char *own_name(const struct pg_thread *me, const char *path)
{
	char prefix[64];
	int n = snprintf(prefix, sizeof(prefix), "/proc/%d/", me->machine->host_pid), m;

	if (strncmp(path, prefix, (size_t)n) != 0)
		return NULL;
	path += n;
	m = snprintf(prefix, sizeof(prefix), "task/%d/", me->host_tid);
	if (strncmp(path, prefix, (size_t)m) == 0)
		path += m;
	return path;
}

int pg_proc_open(struct pg_thread *me, const char *path, int flags)
{
	const char *name;

	if (strcmp(path, "/proc/meminfo") == 0)
		return make(me, "meminfo", put_meminfo);
	name = own_name(me, path);
	if (name == NULL)
		return 1;
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (strcmp(name, refused[i]) == 0)
			return -EACCES;
	for (unsigned i = 0; i < sizeof(own_files) / sizeof(own_files[0]); i++) {
		if (strcmp(name, own_files[i].name) != 0)
			continue;
		if ((flags & O_ACCMODE) != O_RDONLY)
			return -EACCES;
		return make(me, name, own_files[i].put);
	}
	return 1;
}
