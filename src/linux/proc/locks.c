/* SPDX-License-Identifier: MIT */
/*
 * linux/proc/locks.c: which guest holds a lock of a file: for F_GETLK, /proc/locks and /proc/PID/fdinfo, whose text is made here.
 *
 * Called by calls/fd.c and proc.c. Locks are the host's, which knows the guests' tables of descriptors apart, so they conflict and wait
 * as they should; but it shows Pagoda's number as the process of each. In fdinfo of a descriptor the host lists the locks that
 * belong to it and to the table that it is looked at in: so the holder is the guest in whose fdinfo the lock is. Nothing is kept here.
 *
 * Source of the format: Linux fs/locks.c, lock_get_status().
 */
#include "linux/calls/calls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"
#include "linux/proc/proc.h"
#include "linux/proc/text.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

/* A lock as the host writes it; the words are parts of the line. */
struct lock {
	char type[16], file[64], start[24], end[24];
	bool write;
	int pid;
	const char *pid_at; /* where the line has the process */
	int pid_chars;
};

/* Reads "POSIX  ADVISORY  WRITE 1234 00:1f:9876 0 EOF", wherever it begins in the line. */
static bool read_lock(const char *line, struct lock *k)
{
	static const char *const types[] = {"POSIX", "OFDLCK", "FLOCK", "LEASE", "DELEG"};
	const char *at = NULL;
	char mode[16];
	int before, behind;

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]) && at == NULL; i++)
		at = strstr(line, types[i]);
	if (at == NULL || sscanf(at, "%15s %*s %15s %n%d%n %63s %23s %23s", k->type, mode, &before,
				  &k->pid, &behind, k->file, k->start, k->end) != 6)
		return false;
	k->write = strcmp(mode, "WRITE") == 0;
	k->pid_at = at + before;
	k->pid_chars = behind - before;
	return true;
}

static bool same(const struct lock *a, const struct lock *b)
{
	return strcmp(a->type, b->type) == 0 && strcmp(a->file, b->file) == 0 &&
	       strcmp(a->start, b->start) == 0 && strcmp(a->end, b->end) == 0 &&
	       a->write == b->write;
}

/* Whether the descriptor has the lock, by its fdinfo. */
static bool descriptor_holds(const char *path, const struct lock *k)
{
	FILE *f = fopen(path, "re");
	struct lock other;
	char line[256];
	bool is = false;

	while (f != NULL && !is && fgets(line, sizeof(line), f) != NULL)
		is = strncmp(line, "lock:", 5) == 0 && read_lock(line, &other) && same(k, &other);
	if (f != NULL)
		fclose(f);
	return is;
}

static bool process_holds(const struct pg_process *p, const struct lock *k)
{
	const struct pg_thread *t = p->thread;
	char path[96];
	struct dirent *e;
	bool is = false;
	DIR *d;

	while (t != NULL && t->host_tid == 0)
		t = t->next;
	if (t == NULL)
		return false;
	snprintf(path, sizeof(path), "/proc/self/task/%d/fdinfo", (int)t->host_tid);
	d = opendir(path);
	while (d != NULL && !is && (e = readdir(d)) != NULL) {
		char name[128];

		if (e->d_name[0] == '.' || !pg_fd_ok(atoi(e->d_name)))
			continue;
		snprintf(name, sizeof(name), "%s/%.16s", path, e->d_name);
		is = descriptor_holds(name, k);
	}
	if (d != NULL)
		closedir(d);
	return is;
}

/* The guest that holds it; of several that share it, the oldest. 0: none that is known. */
static int holder(struct pg_linux *l, const struct lock *k)
{
	for (const struct pg_process *p = l->processes; p != NULL; p = p->next)
		if (p->state == PG_RUNNING && process_holds(p, k))
			return p->pid;
	return 0;
}

/* The guest that waits for a lock on the file. */
static int waiter(struct pg_linux *l, const struct lock *k)
{
	const char *ino = strrchr(k->file, ':');

	for (const struct pg_process *p = l->processes; p != NULL && ino != NULL; p = p->next)
		for (const struct pg_thread *t = p->thread; t != NULL; t = t->next)
			if (t->in_host && t->lock_ino != 0 &&
				t->lock_ino == strtoull(ino + 1, NULL, 10))
				return p->pid;
	return 0;
}

int pg_locks_holder(struct pg_thread *me, int fd, const struct flock *found)
{
	struct lock k = {.type = "POSIX", .write = found->l_type == F_WRLCK};
	char path[64], line[256], *colon;
	struct stat st;
	FILE *f;

	if (found->l_pid != me->machine->host_pid || fstat(fd, &st) != 0)
		return (int)pg_guest_pid(me->machine, found->l_pid);
	snprintf(k.start, sizeof(k.start), "%lld", (long long)found->l_start);
	if (found->l_len == 0)
		strcpy(k.end, "EOF");
	else
		snprintf(k.end, sizeof(k.end), "%lld",
			(long long)(found->l_start + found->l_len - 1));
	/* the device is written as the file system has it, which stat need not say: it is looked up by the inode */
	strcpy(path, "/proc/locks");
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		struct lock other;

		if (!read_lock(line, &other) || strstr(line, "->") != NULL)
			continue;
		strcpy(k.file, other.file);
		colon = strrchr(other.file, ':');
		if (colon != NULL && strtoull(colon + 1, NULL, 10) == st.st_ino &&
			same(&k, &other)) {
			int pid = holder(me->machine, &k);

			if (pid != 0) {
				fclose(f);
				return pid;
			}
		}
	}
	if (f != NULL)
		fclose(f);
	return (int)pg_guest_pid(me->machine, found->l_pid);
}

/* The line with the guest's number for the host's. */
static void put_line(struct pg_proc_text *t, const char *line)
{
	struct pg_linux *l = t->machine;
	struct lock k;
	int pid;

	if (!read_lock(line, &k) || k.pid != l->host_pid) {
		fputs(line, t->out);
		return;
	}
	pid = strstr(line, "->") != NULL ? waiter(l, &k) : holder(l, &k);
	if (pid == 0)
		pid = (int)pg_guest_pid(l, k.pid);
	fprintf(t->out, "%.*s%d%s", (int)(k.pid_at - line), line, pid, k.pid_at + k.pid_chars);
}

void pg_proc_locks(struct pg_proc_text *t)
{
	FILE *f = fopen("/proc/locks", "re");
	char line[256];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		put_line(t, line);
	if (f != NULL)
		fclose(f);
}

void pg_proc_fdinfo(struct pg_proc_text *t)
{
	const struct pg_thread *h = t->thread;
	char path[96], line[512];
	FILE *f = NULL;

	while (h != NULL && h->host_tid == 0)
		h = h->next;
	if (h != NULL) {
		snprintf(path, sizeof(path), "/proc/self/task/%d/fdinfo/%d", (int)h->host_tid,
			t->fd);
		f = fopen(path, "re");
	}
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "lock:", 5) == 0)
			put_line(t, line);
		else
			fputs(line, t->out);
	}
	if (f != NULL)
		fclose(f);
	/* a descriptor of a process: the one line more that Linux has */
	if (h != NULL) {
		struct stat st;
		int pid;

		snprintf(path, sizeof(path), "/proc/self/task/%d/fd/%d", (int)h->host_tid, t->fd);
		pid = stat(path, &st) == 0 ? pg_pidfd_shown(t->machine, st.st_dev, st.st_ino) : 0;
		if (pid != 0)
			fprintf(t->out, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
	}
}
