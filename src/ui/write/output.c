/* SPDX-License-Identifier: MIT */
/*
 * ui/write/output.c: what a command writes: complaints, and files beside the program's own.
 *
 * See output.h. Calls linux/linux.h for descriptors that guests cannot reach.
 */
#include "ui/write/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/linux.h"

int pg_complain(const char *command, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "pagoda: %s: ", command);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return 2;
}

FILE *pg_output_own(int fd)
{
	int own = pg_linux_own_fd(fd);

	if (own < 0) {
		close(fd);
		errno = -own;
		return NULL;
	}
	FILE *f = fdopen(own, "w");
	if (!f)
		close(own);
	return f;
}

int pg_output_open(struct pg_output *o, FILE *standard)
{
	o->shared = !o->path && standard;
	if (o->shared) {
		o->file = standard;
		return 0;
	}
	int fd = !o->path ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)
		 : strcmp(o->path, "-") == 0
			 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
			 : open(o->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
	o->file = fd < 0 ? NULL : pg_output_own(fd);
	return o->file ? 0 : -errno;
}

bool pg_output_close(struct pg_output *o)
{
	FILE *f = o->file;

	o->file = NULL;
	if (!f || o->shared)
		return true;
	bool fine = !ferror(f);
	return fclose(f) == 0 && fine;
}

const char *pg_output_name(const struct pg_output *o)
{
	return !o->path                    ? "standard error"
	       : strcmp(o->path, "-") == 0 ? "standard output"
					   : o->path;
}

int pg_output_begin(const char *command, struct pg_output *o)
{
	int error = pg_output_open(o, NULL);

	return error ? pg_complain(
			       command, "cannot write %s: %s", pg_output_name(o), strerror(-error))
		     : 0;
}

int pg_output_end(const char *command, struct pg_output *o)
{
	return pg_output_close(o)
		       ? 0
		       : pg_complain(command, "cannot write all of %s", pg_output_name(o));
}

bool pg_output_coloured(FILE *f)
{
	const char *term = getenv("TERM");

	return isatty(fileno(f)) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}
