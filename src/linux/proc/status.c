/* SPDX-License-Identifier: MIT */
/*
 * linux/proc/status.c: the text of /proc/PID/status, stat, statm, limits, ...
 *
 * Called by proc.c. Reads processes, threads and space/. What speaks of the host thread (times, capabilities, context switches) is the
 * host's own file of that thread with our lines in it. Formats are Linux's, to the blank.
 *
 * Source of the formats: Linux fs/proc/array.c, base.c; proc(5).
 */
#include "linux/files/files.h"
#include "linux/machine/machine.h"
#include "linux/proc/text.h"

#include <stdlib.h>
#include <string.h>

/* --- sizes by purpose, for status and statm ------------------------------------------------------------------------- */

struct sizes {
	uint64_t data, stack, exe, lib, locked;
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
static void get_sizes(struct pg_mm *mm, struct sizes *s)
{
	const struct pg_linux_layout *y = &mm->layout;

	*s = (struct sizes){0};
	pg_space_each_region(mm->space, add_sizes, s);
	s->exe =
		pg_align_up(y->code_end, PG_PAGE_SIZE) - pg_align_down(y->code_start, PG_PAGE_SIZE);
	if (s->exe > s->lib)
		s->exe = s->lib;
	s->lib -= s->exe;
}

void pg_proc_statm(struct pg_proc_text *t)
{
	struct pg_space_stats st;
	struct sizes s;

	if (t->mm == NULL) {
		fputs("0 0 0 0 0 0 0\n", t->out);
		return;
	}
	pg_space_stats(t->mm->space, &st);
	get_sizes(t->mm, &s);
	fprintf(t->out, "%lu %lu %lu %lu 0 %lu 0\n", st.vsz_bytes / PG_PAGE_SIZE, st.rss_pages,
		st.rss_file_pages + st.rss_shmem_pages, s.exe / PG_PAGE_SIZE,
		(s.data + s.stack) / PG_PAGE_SIZE);
}

/* What the process is at, as one of Linux's letters. */
static char state_of(const struct pg_proc_text *t)
{
	if (t->proc->state == PG_ZOMBIE || t->thread == NULL)
		return 'Z';
	if (t->proc->stopped)
		return 'T';
	return t->thread->asleep || t->thread->in_host ? 'S' : 'R';
}

static const char *state_word(char c)
{
	switch (c) {
	case 'Z':
		return "Z (zombie)";
	case 'T':
		return "T (stopped)";
	case 'S':
		return "S (sleeping)";
	default:
		return "R (running)";
	}
}

static const char *name_of(const struct pg_proc_text *t)
{
	return t->thread != NULL ? t->thread->comm : t->proc->comm;
}

/* A file of the thread's host thread, or of Pagoda's when there is none. */
static FILE *open_host(const struct pg_proc_text *t, const char *name)
{
	char path[64];

	if (t->thread != NULL && t->thread->host_tid != 0)
		snprintf(path, sizeof(path), "/proc/self/task/%d/%s", t->thread->host_tid, name);
	else
		snprintf(path, sizeof(path), "/proc/self/%s", name);
	return fopen(path, "re");
}

static unsigned long long handled(const struct pg_process *p, bool ignored)
{
	unsigned long long set = 0;

	for (int n = 1; n <= PG_NSIG; n++)
		if (ignored ? p->sig.act[n].handler == 1 : p->sig.act[n].handler > 1)
			set |= 1ull << (n - 1);
	return set;
}

/* Signals on the queue for the process, or for the thread alone. */
static unsigned long long pending(const struct pg_proc_text *t, bool own)
{
	unsigned long long set = 0;

	for (const struct pg_queued *q = t->proc->sig.queue; q != NULL; q = q->next)
		if (own ? t->thread != NULL && q->tid == t->thread->tid : q->tid == 0)
			set |= 1ull << (q->info.host.si_signo - 1);
	return set;
}

/* The memory lines of status; n: their number is Linux's. */
static void put_memory_lines(struct pg_proc_text *t)
{
	struct pg_space_stats st;
	struct sizes s;

	pg_space_stats(t->mm->space, &st);
	get_sizes(t->mm, &s);
	fprintf(t->out,
		"VmPeak:\t%8llu kB\nVmSize:\t%8llu kB\nVmLck:\t%8llu kB\nVmPin:\t%8u kB\n"
		"VmHWM:\t%8llu kB\nVmRSS:\t%8llu kB\nRssAnon:\t%8llu kB\nRssFile:\t%8llu "
		"kB\nRssShmem:\t%8llu kB\n"
		"VmData:\t%8llu kB\nVmStk:\t%8llu kB\nVmExe:\t%8llu kB\nVmLib:\t%8llu kB\n"
		"VmPTE:\t%8llu kB\nVmSwap:\t%8llu kB\nHugetlbPages:\t%8u kB\n",
		PG_KB(st.vsz_peak_bytes), PG_KB(st.vsz_bytes), PG_KB(s.locked), 0u,
		PG_KB(st.rss_peak_pages * PG_PAGE_SIZE), PG_KB(st.rss_pages * PG_PAGE_SIZE),
		PG_KB(st.rss_anon_pages * PG_PAGE_SIZE), PG_KB(st.rss_file_pages * PG_PAGE_SIZE),
		PG_KB(st.rss_shmem_pages * PG_PAGE_SIZE), PG_KB(s.data), PG_KB(s.stack),
		PG_KB(s.exe), PG_KB(s.lib), PG_KB(st.table.node_frames * PG_PAGE_SIZE),
		PG_KB(pg_space_swap_pages(t->mm->space) * PG_PAGE_SIZE), 0u);
}

static bool begins(const char *line, const char *word)
{
	return strncmp(line, word, strlen(word)) == 0;
}

/* One line of the host's status that is ours to say; false: it is as the host has it. */
static bool own_line(struct pg_proc_text *t, const char *line, bool *memory)
{
	const struct pg_process *p = t->proc;
	const int name = (int)(strcspn(line, ":")) + 1;
	unsigned long long set;

	if (begins(line, "Name:"))
		fprintf(t->out, "Name:\t%s\n", name_of(t));
	else if (begins(line, "State:"))
		fprintf(t->out, "State:\t%s\n", state_word(state_of(t)));
	else if (begins(line, "Tgid:") || begins(line, "NStgid:"))
		fprintf(t->out, "%.*s\t%d\n", name, line, p->pid);
	else if (begins(line, "Pid:") || begins(line, "NSpid:"))
		fprintf(t->out, "%.*s\t%d\n", name, line,
			t->thread != NULL ? t->thread->tid : p->pid);
	else if (begins(line, "PPid:"))
		fprintf(t->out, "PPid:\t%d\n", pg_process_ppid(p));
	else if (begins(line, "NSpgid:"))
		fprintf(t->out, "NSpgid:\t%d\n", p->pgid);
	else if (begins(line, "NSsid:"))
		fprintf(t->out, "NSsid:\t%d\n", p->sid);
	else if (begins(line, "Vm") || begins(line, "Rss") || begins(line, "HugetlbPages")) {
		if (!*memory && t->mm != NULL)
			put_memory_lines(t);
		*memory = true;
	} else if (begins(line, "Threads:"))
		fprintf(t->out, "Threads:\t%u\n", p->threads != 0 ? p->threads : 1);
	else if (begins(line, "SigQ:"))
		fprintf(t->out, "SigQ:\t%u%s", p->sig.queued, strchr(line, '/'));
	else if (begins(line, "SigPnd:") || begins(line, "ShdPnd:"))
		fprintf(t->out, "%.*s\t%016llx\n", name, line, pending(t, line[1] == 'i'));
	else if (begins(line, "SigBlk:")) {
		set = t->thread != NULL ? t->thread->sig.blocked : 0;
		fprintf(t->out, "SigBlk:\t%016llx\n", set);
	} else if (begins(line, "SigIgn:") || begins(line, "SigCgt:"))
		fprintf(t->out, "%.*s\t%016llx\n", name, line, handled(p, line[3] == 'I'));
	else
		return false;
	return true;
}

void pg_proc_status(struct pg_proc_text *t)
{
	FILE *host = open_host(t, "status");
	char line[512];
	bool memory = false;

	while (host != NULL && fgets(line, sizeof(line), host) != NULL)
		if (!own_line(t, line, &memory))
			fputs(line, t->out);
	if (host != NULL)
		fclose(host);
}

/* Numbers 4 and on of the host's line, behind the name in brackets and the state. */
static void host_stat(const struct pg_proc_text *t, unsigned long long f[53])
{
	FILE *host = open_host(t, "stat");
	char line[1024] = "", *p;

	if (host != NULL) {
		if (fgets(line, sizeof(line), host) == NULL)
			line[0] = '\0';
		fclose(host);
	}
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
}

/* CPU time: of all threads, user and system split as the host has it for this one; and of children that were waited for. */
static void put_times(const struct pg_proc_text *t, unsigned long long f[53])
{
	const struct rusage *k = &t->proc->children;
	unsigned long long all = pg_process_cpu_ns(t->proc) / 10000000u;

	if (t->thread == NULL)
		f[15] = 0;
	if (f[15] > all)
		f[15] = all;
	f[14] = all - f[15];
	f[16] = (unsigned long long)(k->ru_utime.tv_sec * 100 + k->ru_utime.tv_usec / 10000);
	f[17] = (unsigned long long)(k->ru_stime.tv_sec * 100 + k->ru_stime.tv_usec / 10000);
	f[11] = (unsigned long long)k->ru_minflt;
	f[13] = (unsigned long long)k->ru_majflt;
}

static void put_layout(const struct pg_proc_text *t, unsigned long long f[53])
{
	const struct pg_linux_layout *y = &t->mm->layout;
	struct pg_space_stats st;

	pg_space_stats(t->mm->space, &st);
	f[23] = st.vsz_bytes;
	f[24] = st.rss_pages;
	f[26] = y->code_start;
	f[27] = y->code_end;
	f[28] = y->stack_start;
	if (t->thread != NULL) {
		f[29] = t->thread->regs->gpr[PG_RSP];
		f[30] = t->thread->regs->rip;
	}
	f[45] = y->data_start;
	f[46] = y->data_end;
	f[47] = y->brk_start;
	f[48] = y->args_start;
	f[49] = y->args_end;
	f[50] = y->env_start;
	f[51] = y->env_end;
}

/* stat: one line of 52 numbers. */
void pg_proc_stat(struct pg_proc_text *t)
{
	const struct pg_process *p = t->proc;
	unsigned long long f[53] = {0};
	struct pg_space_stats st;
	uint32_t tty;
	int foreground;

	host_stat(t, f);
	pg_process_stats(p, NULL, &st);
	f[4] = (unsigned long long)pg_process_ppid(p);
	f[5] = (unsigned long long)p->pgid;
	f[6] = (unsigned long long)p->sid;
	pg_terminal_stat(p, &tty, &foreground);
	f[7] = tty;
	f[8] = (unsigned long long)(long long)foreground;
	f[10] = st.minor;
	f[12] = st.major;
	put_times(t, f);
	f[20] = p->threads != 0 ? p->threads : 1;
	f[22] = p->start_ticks;
	f[23] = f[24] = 0;
	f[25] = p->limits[RLIMIT_RSS].rlim_cur;
	for (int i = 26; i <= 30; i++)
		f[i] = 0;
	f[31] = p->sig.pending & 0x7fffffff;
	f[32] = t->thread != NULL ? t->thread->sig.blocked & 0x7fffffff : 0;
	f[33] = handled(p, true) & 0x7fffffff;
	f[34] = handled(p, false) & 0x7fffffff;
	f[35] = 0;
	f[38] = (unsigned long long)p->exit_signal;
	for (int i = 45; i <= 51; i++)
		f[i] = 0;
	if (t->mm != NULL)
		put_layout(t, f);
	f[52] = 0;
	fprintf(t->out, "%d (%s) %c", t->thread != NULL ? t->thread->tid : p->pid, name_of(t),
		state_of(t));
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

/* Bytes of its memory as they are now; those that are not resident read as Linux would fault them. */
static void put_bytes(struct pg_proc_text *t, uint64_t from, uint64_t to)
{
	struct pg_mm *mm = t->mm;
	uint8_t part[4096];

	pg_mm_look(mm);
	while (from < to) {
		uint64_t n = to - from < sizeof(part) ? to - from : sizeof(part);

		if (pg_space_read(mm->space, part, (pg_va){from}, n, 0) != n)
			break;
		fwrite(part, 1, n, t->out);
		from += n;
	}
	pg_mm_looked(mm);
}

void pg_proc_cmdline(struct pg_proc_text *t)
{
	if (t->mm != NULL)
		put_bytes(t, t->mm->layout.args_start, t->mm->layout.args_end);
}

void pg_proc_environ(struct pg_proc_text *t)
{
	if (t->mm != NULL)
		put_bytes(t, t->mm->layout.env_start, t->mm->layout.env_end);
}

void pg_proc_auxv(struct pg_proc_text *t)
{
	if (t->mm != NULL)
		fwrite(t->mm->auxv, 1, t->mm->auxv_bytes, t->out);
}

void pg_proc_comm(struct pg_proc_text *t)
{
	fprintf(t->out, "%s\n", name_of(t));
}

void pg_proc_personality(struct pg_proc_text *t)
{
	fprintf(t->out, "%08x\n", (unsigned)t->proc->personality);
}

void pg_proc_oom_score_adj(struct pg_proc_text *t)
{
	fprintf(t->out, "%d\n", t->proc->oom_score_adj);
}

void pg_proc_oom_score(struct pg_proc_text *t)
{
	int64_t all = (int64_t)(pg_frames_total(pg_vm_frames(t->machine->vm)) +
				pg_vm_swap(t->machine->vm));
	int64_t points = pg_process_badness(t->proc);

	/* as Linux since 5.8: thousandths of memory and swap, moved up by a thousand, two thirds of it */
	points = points <= -all ? 0 : (1000 + points * 1000 / all) * 2 / 3;
	fprintf(t->out, "%lld\n", points > 0 ? (long long)points : 0ll);
}

static void put_limit(FILE *out, uint64_t v)
{
	if (v == RLIM64_INFINITY)
		fprintf(out, "%-20s ", "unlimited");
	else
		fprintf(out, "%-20llu ", (unsigned long long)v);
}

void pg_proc_limits(struct pg_proc_text *t)
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
		put_limit(t->out, t->proc->limits[rows[i].what].rlim_cur);
		put_limit(t->out, t->proc->limits[rows[i].what].rlim_max);
		if (rows[i].unit != NULL)
			fprintf(t->out, "%-10s\n", rows[i].unit);
		else
			fputc('\n', t->out);
	}
}

void pg_proc_wchan(struct pg_proc_text *t)
{
	fputc('0', t->out);
}
