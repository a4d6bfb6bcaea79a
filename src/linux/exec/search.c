/* SPDX-License-Identifier: MIT */
/*
 * linux/exec/search.c: the file that a name without '/' means, and lists of strings as programs get them.
 *
 * Called by linux.c and jobs.c: the programs that no guest's execve names. A guest's C library searches PATH itself. Owns nothing.
 */
#include "linux/exec/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *environment(char *const *envp, const char *name)
{
	size_t n = strlen(name);

	for (; *envp != NULL; envp++)
		if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
			return *envp + n + 1;
	return NULL;
}

/* As execvp(3): the first executable in PATH. 0 and `out`, or -ENOENT, -EACCES. */
static int search_path(const char *path, char *const *envp, char out[PATH_MAX])
{
	const char *p = environment(envp, "PATH");
	int err = -ENOENT;

	if (strchr(path, '/') != NULL) {
		if (strlen(path) >= PATH_MAX)
			return -ENAMETOOLONG;
		snprintf(out, PATH_MAX, "%s", path);
		return 0;
	}
	for (p = p != NULL ? p : "/bin:/usr/bin";; p++) {
		size_t n = strcspn(p, ":");
		struct stat st;

		snprintf(out, PATH_MAX, "%.*s%s%s", (int)n, p, n != 0 ? "/" : "", path);
		if (stat(out, &st) == 0 && S_ISREG(st.st_mode)) {
			if (faccessat(AT_FDCWD, out, X_OK, AT_EACCESS) == 0)
				return 0;
			err = -EACCES;
		}
		p += n;
		if (*p == '\0')
			return err;
	}
}

int pg_linux_find_program(
	struct pg_linux *l, const char *path, char *const *envp, char out[PATH_MAX])
{
	int err = search_path(path, envp, out);

	if (err == -ENOENT)
		pg_linux_fail(l, "%s: no such program in PATH", path);
	else if (err == -EACCES)
		pg_linux_fail(l, "%s: found in PATH, but not executable", path);
	else if (err != 0)
		pg_linux_fail(l, "%.64s...: name too long", path);
	return err;
}

void pg_strings_free(char **v)
{
	if (v == NULL)
		return;
	for (char **s = v; *s != NULL; s++)
		free(*s);
	free(v);
}

char **pg_strings_copy(const char *const *v)
{
	size_t n = 0;
	char **out;

	while (v != NULL && v[n] != NULL)
		n++;
	out = calloc(n + 1, sizeof(*out));
	for (size_t i = 0; out != NULL && i < n; i++) {
		out[i] = strdup(v[i]);
		if (out[i] == NULL) {
			pg_strings_free(out);
			return NULL;
		}
	}
	return out;
}
