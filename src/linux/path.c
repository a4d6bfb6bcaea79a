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
static const char *own_proc(const char *in, bool *thread)
{
	char self[16], *const pid = self;
	const char *p, *q;

	*thread = false;
	if (in[0] != '/')
		return NULL;
	p = component(skip_slashes(in), "proc");
	if (p == NULL)
		return NULL;
	snprintf(pid, sizeof(self), "%d", PG_LINUX_PID);
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
	const char *rest = own_proc(path, &thread);

	return rest != NULL && strcmp(rest, "exe") == 0;
}

int pg_path_map(struct pg_thread *me, const char *in, char out[PATH_MAX])
{
	bool thread;
	const char *rest = own_proc(in, &thread);
	int n;

	if (rest == NULL)
		n = snprintf(out, PATH_MAX, "%s", in);
	else if (rest[0] == '\0' && strstr(in, "self") != NULL)
		n = snprintf(out, PATH_MAX, "%s", in); /* the link itself may be meant */
	else if (component(rest, "exe") != NULL && me->mm->exe[0] != '\0')
		n = snprintf(out, PATH_MAX, "%s", me->mm->exe);
	else if (thread)
		n = snprintf(out, PATH_MAX, "/proc/self/task/%d/%s", me->machine->host_pid, rest);
	else
		n = snprintf(out, PATH_MAX, "/proc/self/%s", rest);
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
