/* SPDX-License-Identifier: MIT */
/*
 * linux/proc/proc.c: /proc as the guests see it: which files are answered from our own structures, and the lists of processes and
 * threads.
 *
 * Called by calls/path.c (open, by name before the host opens anything, and by what was opened), calls/fd.c (directories) and files/io.c
 * (writes). The text of a file is made when it is opened and goes into a memory file whose descriptor the guest gets, so that
 * reading and seeking are the host's.
 *
 * A guest's process N is not the host's. /proc/N is /proc/self/task/H, where H is the host thread of its first thread; what is
 * there of descriptors, working directory and mounts is that thread's and so the guest's. /proc/N/task has no such
 * counterpart: it is opened as .../attr, and its list is made here.
 *
 * What is not here: the names themselves (files/path.c), the text (maps.c, status.c).
 */
#include "linux/proc/proc.h"
#include "linux/calls/calls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"
#include "linux/proc/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- what there is ----------------------------------------------------------------------------------------------------- */

/* It has no text: what is read is the process's memory at that moment. */
static void put_nothing(struct pg_proc_text *t)
{
}

static const struct {
	const char *name;
	void (*put)(struct pg_proc_text *t);
	enum pg_proc_writing writing; /* what a write to it does */
} own_files[] = {
	{"maps", pg_proc_maps, PG_PROC_READ_ONLY}, {"smaps", pg_proc_smaps, PG_PROC_READ_ONLY},
	{"smaps_rollup", pg_proc_smaps_rollup, PG_PROC_READ_ONLY},
	{"status", pg_proc_status, PG_PROC_READ_ONLY}, {"statm", pg_proc_statm, PG_PROC_READ_ONLY},
	{"stat", pg_proc_stat, PG_PROC_READ_ONLY}, {"cmdline", pg_proc_cmdline, PG_PROC_READ_ONLY},
	{"environ", pg_proc_environ, PG_PROC_READ_ONLY}, {"auxv", pg_proc_auxv, PG_PROC_READ_ONLY},
	{"comm", pg_proc_comm, PG_PROC_COMM}, {"limits", pg_proc_limits, PG_PROC_READ_ONLY},
	{"wchan", pg_proc_wchan, PG_PROC_READ_ONLY},
	{"personality", pg_proc_personality, PG_PROC_READ_ONLY},
	{"oom_score", pg_proc_oom_score, PG_PROC_READ_ONLY},
	{"oom_score_adj", pg_proc_oom_score_adj, PG_PROC_OOM_ADJ},
	{"clear_refs", NULL, PG_PROC_CLEAR_REFS}, {"pagemap", NULL, PG_PROC_READ_ONLY},
	{"mem", put_nothing, PG_PROC_MEMORY},
	{"fdinfo/", pg_proc_fdinfo, PG_PROC_READ_ONLY}, /* each file of the directory */
};
#define OWN_FILES (sizeof(own_files) / sizeof(own_files[0]))

/* Whether `rest`, behind /proc/PID/, is the file or one of the directory `name`; then the number of that goes to *fd. */
static bool is_file(const char *rest, const char *name, int *fd)
{
	size_t n = strlen(name);
	char *end;

	if (name[n - 1] != '/' || strncmp(rest, name, n) != 0)
		return strcmp(rest, name) == 0;
	*fd = (int)strtol(rest + n, &end, 10);
	return end != rest + n && *end == '\0';
}

static void put_shm(struct pg_proc_text *t)
{
	pg_shm_list(t->machine, t->out);
}

static void put_sem(struct pg_proc_text *t)
{
	pg_sem_list(t->machine, t->out);
}

static void put_msg(struct pg_proc_text *t)
{
	pg_msg_list(t->machine, t->out);
}

/* Files about the machine; read only. */
static const struct {
	const char *path;
	void (*put)(struct pg_proc_text *t);
} machine_files[] = {
	{"/proc/meminfo", pg_proc_meminfo},
	{"/proc/locks", pg_proc_locks},
	{"/proc/swaps", pg_proc_swaps},
	{"/proc/vmstat", pg_proc_vmstat},
	{"/proc/pressure/memory", pg_proc_pressure},
	{"/proc/sysvipc/shm", put_shm},
	{"/proc/sysvipc/sem", put_sem},
	{"/proc/sysvipc/msg", put_msg},
};
#define MACHINE_FILES (sizeof(machine_files) / sizeof(machine_files[0]))

static int machine_file(const char *path)
{
	for (unsigned i = 0; i < MACHINE_FILES; i++)
		if (strcmp(path, machine_files[i].path) == 0)
			return (int)i;
	return -1;
}

/* Entries that would show or change Pagoda itself in the guest's place, and for which we have nothing truer. */
static const char *const refused[] = {"numa_maps", "syscall", "stack", "coredump_filter", "oom_adj",
	"patch_state", "arch_status", "map_files"};

/* --- opening -------------------------------------------------------------------------------------------------------------- */

/* What a write to memory file `ino` means. The oldest is forgotten when there are too many. */
static void note_write(
	struct pg_linux *l, int fd, const struct pg_proc_text *t, enum pg_proc_writing what)
{
	struct stat st;
	unsigned n = sizeof(l->proc_writes) / sizeof(l->proc_writes[0]);

	if (fstat(fd, &st) != 0)
		return;
	l->proc_write_dev = (uint64_t)st.st_dev;
	l->proc_writes[l->proc_write_count++ % n] = (struct pg_proc_write){
		(uint64_t)st.st_ino, t->proc->pid, t->thread != NULL ? t->thread->tid : 0, what};
}

static int fill(struct pg_proc_text *t, void (*put)(struct pg_proc_text *t), int fd)
{
	char *buf = NULL;
	size_t n = 0, done = 0;

	t->out = open_memstream(&buf, &n);
	if (t->out == NULL)
		return -ENOMEM;
	put(t);
	if (fclose(t->out) != 0) {
		free(buf);
		return -ENOMEM;
	}
	while (done < n) {
		ssize_t k = pwrite(fd, buf + done, n - done, (off_t)done);

		if (k <= 0)
			break;
		done += (size_t)k;
	}
	free(buf);
	return done == n ? 0 : -ENOSPC;
}

/*
 * A memory file with the text of row `row` of own_files, then machine_files, open as the guest asked. The descriptor is the lowest that is free, as that of any open. Or a negative
 * errno.
 */
static int make(struct pg_proc_text *t, unsigned row, const char *name, int flags)
{
	bool writable = (flags & O_ACCMODE) != O_RDONLY;
	char link[48];
	int fd, reading, err = 0;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (row < OWN_FILES && own_files[row].put == NULL) {
		if (t->mm != NULL && own_files[row].writing == PG_PROC_READ_ONLY)
			err = pg_proc_pagemap(t->mm, fd);
	} else {
		err = fill(t,
			row < OWN_FILES ? own_files[row].put : machine_files[row - OWN_FILES].put,
			fd);
	}
	if (err == 0 && row < OWN_FILES && own_files[row].writing == PG_PROC_MEMORY)
		err = t->mm != NULL ? pg_proc_memory_open(t->machine, fd, t->proc) : 0;
	if (err != 0) {
		close(fd);
		return err;
	}
	if (writable && row < OWN_FILES && own_files[row].writing != PG_PROC_MEMORY)
		note_write(t->machine, fd, t, own_files[row].writing);
	else
		fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", fd);
	reading = open(link, (flags & O_ACCMODE) | O_CLOEXEC);
	if (reading < 0)
		return fd;
	(void)dup3(reading, fd, flags & O_CLOEXEC);
	close(reading);
	return fd;
}

/* Whether the process has the descriptor open. */
static bool descriptor_there(const struct pg_proc_text *t)
{
	const struct pg_thread *h = t->thread;
	char path[96];
	struct stat st;

	while (h != NULL && h->host_tid == 0)
		h = h->next;
	if (h == NULL || !pg_fd_ok(t->fd))
		return false;
	snprintf(path, sizeof(path), "/proc/self/task/%d/fd/%d", (int)h->host_tid, t->fd);
	return lstat(path, &st) == 0;
}

/*
 * Whether me may open the file of p at all: some are its owner's, who is root if p is not to be looked at; some ask for a debugger's right.
 * Linux: the modes in fs/proc/base.c, task_dump_owner().
 */
static bool may_open(
	const struct pg_thread *me, const struct pg_process *p, const char *name, bool write)
{
	static const char *const owners[] = {
		"environ", "auxv", "mem", "pagemap", "personality", "clear_refs"};
	static const char *const looks[] = {"mem", "personality", "fdinfo/"};
	static const char *const reads[] = {
		"maps", "smaps", "smaps_rollup", "environ", "auxv", "pagemap"};
	const struct pg_mm *mm = p->state == PG_ZOMBIE ? NULL : p->mm;
	bool of_owner = write;

	for (unsigned i = 0; i < sizeof(owners) / sizeof(owners[0]); i++)
		of_owner = of_owner || strcmp(name, owners[i]) == 0;
	if (of_owner && !pg_cred_owns(me, p))
		return false;
	for (unsigned i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		if (strcmp(name, looks[i]) == 0)
			return pg_cred_may_look(me, p, mm, true);
	for (unsigned i = 0; i < sizeof(reads) / sizeof(reads[0]); i++)
		if (strcmp(name, reads[i]) == 0)
			return pg_cred_may_read(me, p, mm);
	return true;
}

static int open_entry(struct pg_thread *me, const struct pg_proc_name *n, int flags)
{
	struct pg_proc_text t = {.machine = me->machine,
		.proc = n->proc,
		.thread = n->thread != NULL ? n->thread : n->proc->thread,
		.mm = n->proc->state == PG_ZOMBIE ? NULL : n->proc->mm};

	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (strcmp(n->rest, refused[i]) == 0)
			return -EACCES;
	for (unsigned i = 0; i < OWN_FILES; i++) {
		if (!is_file(n->rest, own_files[i].name, &t.fd))
			continue;
		if (!may_open(me, n->proc, own_files[i].name, (flags & O_ACCMODE) != O_RDONLY))
			return -EACCES;
		if (own_files[i].put == pg_proc_fdinfo && !descriptor_there(&t))
			return -ENOENT;
		if ((flags & O_ACCMODE) != O_RDONLY && own_files[i].writing == PG_PROC_READ_ONLY)
			return -EACCES;
		if (own_files[i].put == NULL && own_files[i].writing != PG_PROC_READ_ONLY &&
			(flags & O_ACCMODE) == O_RDONLY)
			return -EACCES; /* clear_refs is written only */
		return make(&t, i, own_files[i].put == pg_proc_fdinfo ? "fdinfo" : n->rest, flags);
	}
	return PG_PROC_HOSTS;
}

int pg_proc_open_name(struct pg_thread *me, const char *path, int flags)
{
	int row = machine_file(path);
	struct pg_proc_name n;

	if (row >= 0) {
		struct pg_proc_text t = {.machine = me->machine};

		return (flags & O_ACCMODE) != O_RDONLY
			       ? -EACCES
			       : make(&t, (unsigned)(OWN_FILES + (unsigned)row),
					 strrchr(path, '/') + 1, flags);
	}
	if (!pg_path_proc(me, path, &n) || n.proc == NULL || n.rest[0] == '\0')
		return PG_PROC_HOSTS;
	return open_entry(me, &n, flags);
}

int pg_proc_open(struct pg_thread *me, const char *path, int flags)
{
	struct pg_proc_name n = {.proc = me->proc};
	char prefix[32];
	const char *rest;

	if (machine_file(path) >= 0)
		return pg_proc_open_name(me, path, flags);
	snprintf(prefix, sizeof(prefix), "/proc/%d/", me->machine->host_pid);
	if (strncmp(path, prefix, strlen(prefix)) != 0)
		return PG_PROC_HOSTS;
	rest = path + strlen(prefix);
	if (strncmp(rest, "task/", 5) == 0) {
		char *end;
		long tid = strtol(rest + 5, &end, 10);

		n.thread = pg_thread_of_host(me->machine, (int)tid);
		if (n.thread == NULL || *end != '/')
			return -EACCES; /* a thread that is no guest's */
		n.proc = n.thread->proc;
		rest = end + 1;
	}
	n.rest = rest;
	return open_entry(me, &n, flags);
}

/* --- writing ---------------------------------------------------------------------------------------------------------------- */

static int64_t apply(struct pg_linux *l, const struct pg_proc_write *w, char *text)
{
	struct pg_process *p = pg_process_find(l, w->pid);
	struct pg_thread *t = p != NULL ? pg_thread_of(p, w->tid) : NULL;
	char *end;
	long v;

	if (p == NULL || p->state == PG_ZOMBIE)
		return -ESRCH;
	if (w->what == PG_PROC_COMM) {
		text[strcspn(text, "\n")] = '\0';
		if (t != NULL)
			snprintf(t->comm, sizeof(t->comm), "%.15s", text);
		return 0;
	}
	v = strtol(text, &end, 10);
	if (end == text || (*end != '\0' && *end != '\n'))
		return -EINVAL;
	if (w->what == PG_PROC_OOM_ADJ) {
		if (v < -1000 || v > 1000)
			return -EINVAL;
		if (v < p->oom_score_adj && geteuid() != 0)
			return -EACCES;
		p->oom_score_adj = (int)v;
		return 0;
	}
	if (v < 1 || v > 5)
		return -EINVAL;
	if (v <= 3)
		pg_space_clear_referenced(p->mm->space, v != 3, v != 2);
	return 0;
}

/* The bytes that were written last to a file that may be open for writing only. How many, or a negative errno. */
static int64_t last_bytes(int fd, char *text, size_t cap, int64_t written)
{
	off_t end = lseek(fd, 0, SEEK_CUR);
	char link[48];
	int64_t n;
	int in;

	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", fd);
	in = open(link, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return -errno;
	n = pread(in, text, written < (int64_t)cap ? (size_t)written : cap,
		end >= written ? end - written : 0);
	if (n < 0)
		n = -errno;
	close(in);
	return n;
}

int64_t pg_proc_written(struct pg_thread *me, int fd, int64_t result)
{
	struct pg_linux *l = me->machine;
	char text[128];
	struct stat st;
	int64_t n, r;

	if (l->proc_write_count == 0 || result <= 0 || fstat(fd, &st) != 0 ||
		(uint64_t)st.st_dev != l->proc_write_dev)
		return result;
	for (unsigned i = 0; i < sizeof(l->proc_writes) / sizeof(l->proc_writes[0]); i++) {
		if (l->proc_writes[i].ino != (uint64_t)st.st_ino || l->proc_writes[i].pid == 0)
			continue;
		n = last_bytes(fd, text, sizeof(text) - 1, result);
		if (n < 0)
			return n;
		text[n] = '\0';
		r = apply(l, &l->proc_writes[i], text);
		return r != 0 ? r : result;
	}
	return result;
}

/* --- lists ------------------------------------------------------------------------------------------------------------------ */

/* Behind everything that the host lists: positions from here on are ours. */
#define LIST_FROM 0x10000000

enum pg_proc_list pg_proc_lists(struct pg_thread *me, const char *path, struct pg_process **of)
{
	char prefix[32];
	const char *rest;
	size_t n;

	*of = NULL;
	if (strcmp(path, "/proc") == 0)
		return PG_PROC_PROCESSES;
	n = (size_t)snprintf(prefix, sizeof(prefix), "/proc/%d/task/", me->machine->host_pid);
	if (strncmp(path, prefix, n) == 0 && (rest = strchr(path + n, '/')) != NULL &&
		strcmp(rest, "/attr") == 0) {
		struct pg_thread *t = pg_thread_of_host(me->machine, atoi(path + n));

		*of = t != NULL ? t->proc : me->proc;
		return PG_PROC_THREADS;
	}
	return PG_PROC_NO_LIST;
}

/* The number at place `index` of the list, or 0. */
static int listed(struct pg_linux *l, const struct pg_process *of, unsigned index)
{
	if (of != NULL) {
		for (const struct pg_thread *t = of->thread; t != NULL; t = t->next)
			if (index-- == 0)
				return t->tid;
		return 0;
	}
	for (const struct pg_process *p = l->processes; p != NULL; p = p->next)
		if (index-- == 0)
			return p->pid;
	return 0;
}

int64_t pg_proc_list(struct pg_thread *me, int fd, const struct pg_process *of, char *buf,
	uint64_t cap, bool wide)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	unsigned index = at >= LIST_FROM ? (unsigned)(at - LIST_FROM) : 0,
		 dots = of != NULL ? 2 : 0;
	uint64_t done = 0;

	for (;; index++) {
		char name[16];
		int id = index < dots ? 0 : listed(me->machine, of, index - dots);
		uint16_t bytes;
		uint64_t ino, off = LIST_FROM + index + 1;

		if (index < dots)
			snprintf(name, sizeof(name), "%s", index == 0 ? "." : "..");
		else if (id != 0)
			snprintf(name, sizeof(name), "%d", id);
		else
			break;
		/* struct linux_dirent64: ino, off, length, type, name; the old one has the type behind the name */
		bytes = (uint16_t)pg_align_up(8 + 8 + 2 + 1 + strlen(name) + 1, 8);
		if (done + bytes > cap)
			break;
		ino = ((uint64_t)(unsigned)id << 20) + 1;
		memset(buf + done, 0, bytes);
		memcpy(buf + done, &ino, 8);
		memcpy(buf + done + 8, &off, 8);
		memcpy(buf + done + 16, &bytes, 2);
		if (wide)
			buf[done + 18] = 4 /* DT_DIR */;
		else
			buf[done + bytes - 1] = 4 /* DT_DIR */;
		strcpy(buf + done + (wide ? 19 : 18), name);
		done += bytes;
	}
	if (done == 0 && listed(me->machine, of, index - dots) != 0 && index >= dots)
		return -EINVAL; /* the guest's buffer is too small for one */
	lseek(fd, LIST_FROM + (off_t)index, SEEK_SET);
	return (int64_t)done;
}
