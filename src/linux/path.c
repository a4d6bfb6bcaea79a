/* SPDX-License-Identifier: MIT */
/*
 * linux/path.c: the names a guest gives, and the few that do not mean the same on the host.
 *
 * Called by every system call that takes a path, and by exec.c. The guest's own entries of /proc are the host
 * process's with other contents (proc.c), under the guest's process id. So:
 *
 *   /proc/1000/X, /proc/self/task/1000/X, /proc/thread-self/X    are /proc/self/X
 *   /proc/self/exe                                                is the guest's program, not Pagoda
 *
 * Paths that reach /proc in other ways (a link, a directory descriptor) are seen after the open, by what was opened.
 */
#include "linux/internal.h"

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

/* What follows the guest's own directory under /proc in `in`, or NULL if it is not such a path. */
static const char *own_proc(const struct pg_thread *me, const char *in, bool *thread)
{
	char self[16], *const pid = self;
	const char *p, *q;

	*thread = false;
	if (in[0] != '/')
		return NULL;
	p = component(skip_slashes(in), "proc");
	if (p == NULL)
		return NULL;
	snprintf(pid, sizeof(self), "%d", me->proc->pid);
	q = component(p, "thread-self");
	if (q != NULL) {
		*thread = true;
		return q;
	}
	q = component(p, "self");
	if (q == NULL)
		q = component(p, pid);
	if (q == NULL)
		return NULL;
	p = component(q, "task");
	if (p == NULL)
		return q;
	p = component(p, pid);
	if (p == NULL)
		return q;
	*thread = true;
	return p;
}

bool pg_path_is_exe_link(struct pg_thread *me, const char *path)
{
	bool thread;
	const char *rest = own_proc(me, path, &thread);

	return rest != NULL && strcmp(rest, "exe") == 0;
}

/* Entries that the host has for processes and not for threads; all others show the table of the thread that asks. */
static bool only_of_process(const char *rest)
{
	static const char *const names[] = {"task", "coredump_filter", "map_files", "mountstats",
		"autogroup", "timers", "timerslack_ns", "net"};

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

int pg_path_map(struct pg_thread *me, const char *in, char out[PATH_MAX])
{
	bool thread;
	const char *rest = own_proc(me, in, &thread), *fd = descriptor_path(in);
	int n;

	if (fd != NULL)
		n = snprintf(out, PATH_MAX, "/proc/thread-self/fd/%s", fd);
	else if (rest == NULL)
		n = snprintf(out, PATH_MAX, "%s", in);
	else if (rest[0] == '\0' && strstr(in, "self") != NULL)
		n = snprintf(out, PATH_MAX, "%s", in); /* the link itself may be meant */
	else if (component(rest, "exe") != NULL && me->mm != NULL && me->mm->exe[0] != '\0')
		n = snprintf(out, PATH_MAX, "%s", me->mm->exe);
	else if (!thread && only_of_process(rest))
		n = snprintf(out, PATH_MAX, "/proc/self/%s", rest);
	else
		n = snprintf(out, PATH_MAX, "/proc/thread-self/%s", rest);
	return n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int pg_path_get(struct pg_thread *me, uint64_t va, char out[PATH_MAX])
{
	char in[PATH_MAX];
	int64_t n = pg_guest_string(me, in, sizeof(in), va);

	if (n < 0)
		return (int)n;
	return pg_path_map(me, in, out);
}
