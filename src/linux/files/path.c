/* SPDX-License-Identifier: MIT */
/*
 * linux/files/path.c: the names a guest gives, and the few that do not mean the same on the host.
 *
 * Called by every system call that takes a path, by exec/find.c and by proc/proc.c. A guest's processes are not the host's (proc/proc.c), so
 *
 *   /proc/N/X, /proc/self/X          is /proc/self/task/H/X, H the host thread of N's first thread
 *   /proc/N/task/T/X                 the same for thread T
 *   /proc/N/task                     is .../attr, whose list proc/proc.c exchanges
 *   /proc/N for a host process N     is not there
 *   /proc/N/exe                      is the guest's program, not Pagoda
 *   /dev/fd/X, /dev/stdin ...        is /proc/thread-self/fd/X: the host's links lead to Pagoda's first thread
 *
 * Paths that reach /proc in other ways (a link, a directory descriptor) are seen after the open, by what was opened.
 */
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Skips "/", "//", "/./" at p; p must be at a slash or the end. */
static const char *skip_slashes(const char *p)
{
	for (;;) {
		if (p[0] == '/')
			p++;
		else if (p[0] == '.' && (p[1] == '/' || p[1] == '\0'))
			p++;
		else
			return p;
	}
}

/* If p begins with the component `name`, what follows behind its slashes; else NULL. */
static const char *component(const char *p, const char *name)
{
	size_t n = strlen(name);

	if (strncmp(p, name, n) != 0 || (p[n] != '/' && p[n] != '\0'))
		return NULL;
	return skip_slashes(p + n);
}

/* If p begins with a component that is a number, what follows, and the number. */
static const char *number(const char *p, int *out)
{
	char *end;
	long v;

	if (*p < '0' || *p > '9')
		return NULL;
	v = strtol(p, &end, 10);
	if ((*end != '/' && *end != '\0') || v > INT32_MAX)
		return NULL;
	*out = (int)v;
	return skip_slashes(end);
}

bool pg_path_proc(struct pg_thread *me, const char *in, struct pg_proc_name *out)
{
	const char *p, *q;
	int id;

	memset(out, 0, sizeof(*out));
	if (in[0] != '/')
		return false;
	p = component(skip_slashes(in), "proc");
	if (p == NULL)
		return false;
	if ((q = component(p, "thread-self")) != NULL) {
		out->proc = me->proc;
		out->thread = me;
		out->rest = q;
		return true;
	}
	if ((q = component(p, "self")) != NULL) {
		out->proc = me->proc;
	} else if ((q = number(p, &id)) != NULL) {
		struct pg_thread *t;

		out->proc = pg_process_find(me->machine, id);
		if (out->proc == NULL && (t = pg_thread_find(me->machine, id)) != NULL)
			out->proc = t->proc; /* hidden, but there: as on Linux */
		if (out->proc == NULL)
			return true;
	} else {
		return false;
	}
	out->rest = q;
	p = component(q, "task");
	if (p == NULL)
		return true;
	out->task_list = *p == '\0';
	q = number(p, &id);
	if (q == NULL)
		return true;
	out->thread = pg_thread_of(out->proc, id);
	if (out->thread == NULL)
		out->proc = NULL;
	out->rest = q;
	return true;
}

/* Entries that the host has for processes and not for threads; all others show the table of the thread that asks. */
static bool only_of_process(const char *rest)
{
	static const char *const names[] = {"coredump_filter", "map_files", "mountstats",
		"autogroup", "timers", "timerslack_ns"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (component(rest, names[i]) != NULL)
			return true;
	return false;
}

/* What /dev/fd and its kin lead to on the host is the table of Pagoda's first thread. NULL if `in` is none of them. */
static const char *descriptor_path(const char *in)
{
	static const struct {
		const char *name, *means;
	} links[] = {{"/dev/stdin", "0"}, {"/dev/stdout", "1"}, {"/dev/stderr", "2"}};

	for (unsigned i = 0; i < 3; i++)
		if (strcmp(in, links[i].name) == 0)
			return links[i].means;
	if (strncmp(in, "/dev/fd", 7) == 0 && (in[7] == '/' || in[7] == '\0'))
		return skip_slashes(in + 7);
	return NULL;
}

const char *pg_path_exe_link(struct pg_thread *me, const char *path)
{
	struct pg_proc_name n;

	if (!pg_path_proc(me, path, &n) || n.proc == NULL || strcmp(n.rest, "exe") != 0)
		return NULL;
	return n.proc->mm != NULL && n.proc->state != PG_ZOMBIE ? n.proc->mm->exe : "";
}

/* Whether me may go on behind /proc/PID/: to the host every guest's links and descriptors are Pagoda's own. */
static bool may_follow(const struct pg_thread *me, const struct pg_proc_name *n)
{
	static const char *const links[] = {"cwd", "root", "exe", "fd", "map_files", "ns"};

	if (strcmp(n->rest, "fd") == 0) /* a directory like others */
		return pg_cred_owns(me, n->proc) || n->proc == me->proc;
	for (unsigned i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (component(n->rest, links[i]) != NULL)
			return pg_cred_may_look(me, n->proc,
				n->proc->state == PG_ZOMBIE ? NULL : n->proc->mm, true);
	return true;
}

/* The host's directory for the process or thread. */
static int host_directory(struct pg_thread *me, const struct pg_proc_name *n, char *out, size_t cap)
{
	const struct pg_thread *t = n->thread != NULL ? n->thread : n->proc->thread;

	if (t == me && me->host_tid == 0) /* it is being loaded: there is no host thread yet */
		return snprintf(out, cap, "/proc/self");
	if (t != NULL && t->host_tid != 0)
		return snprintf(out, cap, "/proc/self/task/%d", t->host_tid);
	return snprintf(out, cap, "/proc/thread-self"); /* a zombie: there is a directory */
}

int pg_path_map(struct pg_thread *me, const char *in, char out[PATH_MAX])
{
	const char *fd = descriptor_path(in);
	struct pg_proc_name n;
	char dir[64];
	int len;

	if (fd != NULL) {
		len = snprintf(out, PATH_MAX, "/proc/thread-self/fd/%s", fd);
	} else if (!pg_path_proc(me, in, &n)) {
		len = snprintf(out, PATH_MAX, "%s", in);
	} else if (n.proc == NULL) {
		return -ENOENT;
	} else if (n.rest[0] == '\0' && strstr(in, "self") != NULL && in[strlen(in) - 1] != '/') {
		len = snprintf(out, PATH_MAX, "%s", in); /* the link itself may be meant */
	} else if (!may_follow(me, &n)) {
		return -EACCES;
	} else if (component(n.rest, "exe") != NULL && n.proc->mm != NULL &&
		   n.proc->mm->exe[0] != '\0') {
		len = snprintf(out, PATH_MAX, "%s", n.proc->mm->exe);
	} else {
		if (only_of_process(n.rest))
			snprintf(dir, sizeof(dir), "/proc/self");
		else
			host_directory(me, &n, dir, sizeof(dir));
		len = snprintf(out, PATH_MAX, "%s/%s", dir, n.task_list ? "attr" : n.rest);
	}
	return len >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int pg_path_get(struct pg_thread *me, uint64_t va, char out[PATH_MAX])
{
	char in[PATH_MAX];
	int64_t n = pg_guest_string(me, in, sizeof(in), va);

	if (n < 0)
		return (int)n;
	return pg_path_map(me, in, out);
}
