/* SPDX-License-Identifier: MIT */
/*
 * ui/run/malloc.c: `pagoda run --malloc NAME`: finds libpagoda-malloc.so beside this program and makes the guest's environment.
 *
 * Called by run.c. The library is searched where a build has it,
 * relative to the program, then where an installation has it, relative again and then under the prefix.
 *
 * Owns the copy of the environment that it makes. Not here: which families there are (words/options.c, heap/layout.h).
 */
#include "ui/run/malloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libpagoda-malloc.so"

/* The library's path, malloc'd; NULL: it is nowhere. */
static char *find_library(void)
{
	static const char *const places[] = {"src/heap", "../" PG_LIBDIR, "../lib", NULL};
	char program[4096], *path = NULL;
	ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);

	program[n > 0 ? n : 0] = 0;
	char *slash = strrchr(program, '/');
	if (slash)
		*slash = 0;
	for (int i = 0; slash && places[i]; i++) {
		if (asprintf(&path, "%s/%s/" LIBRARY, program, places[i]) < 0)
			return NULL;
		char *real = realpath(path, NULL);
		free(path);
		if (real)
			return real;
	}
	return realpath(PG_PREFIX "/" PG_LIBDIR "/" LIBRARY, NULL);
}

void pg_malloc_environment_free(char **env)
{
	if (!env)
		return;
	free(env[0]); /* the two that are ours come first */
	free(env[1]);
	free(env);
}

char **pg_malloc_environment(const char *family, char **env, char *why, size_t cap)
{
	size_t count = 0, kept = 2;
	const char *preload = getenv("LD_PRELOAD");
	char *library = find_library(), **copy = NULL;

	if (!library) {
		snprintf(why, cap,
			"--malloc: " LIBRARY " is not beside this program, nor in " PG_PREFIX
			"/" PG_LIBDIR);
		return NULL;
	}
	while (env[count])
		count++;
	copy = calloc(count + 3, sizeof *copy);
	if (!copy)
		goto out;
	if (asprintf(&copy[0], "PAGODA_MALLOC=%s", family) < 0)
		copy[0] = NULL;
	if (asprintf(&copy[1], "LD_PRELOAD=%s%s%s", library, preload && preload[0] ? ":" : "",
		    preload ? preload : "") < 0)
		copy[1] = NULL;
	if (!copy[0] || !copy[1]) {
		pg_malloc_environment_free(copy);
		copy = NULL;
		goto out;
	}
	for (size_t i = 0; i < count; i++) {
		if (strncmp(env[i], "PAGODA_MALLOC=", 14) != 0 &&
			strncmp(env[i], "LD_PRELOAD=", 11) != 0)
			copy[kept++] = env[i];
	}
out:
	free(library);
	if (!copy)
		snprintf(why, cap, "--malloc: %s", strerror(ENOMEM));
	return copy;
}
