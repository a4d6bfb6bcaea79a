/* SPDX-License-Identifier: MIT */
/*
 * linux/exec/find.c: the file of a program: searched in PATH, opened, scripts followed to what runs them, its interpreter.
 *
 * Called by exec.c; linux/linux.c and linux/jobs.c for the programs that no guest's execve names (a guest's C library searches PATH itself). Calls
 * elf.c and files/path.c. Why a file cannot be run is told by pg_linux_fail().
 *
 * Source: Linux fs/binfmt_script.c, fs/exec.c.
 */
#include "linux/exec/load.h"
#include "linux/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAX_SCRIPTS 5   /* scripts whose interpreters are scripts */
#define SCRIPT_LINE 256 /* bytes of a file in which its #! line must end */

void pg_load_close(struct pg_load_file *m)
{
	if (m->object != NULL)
		pg_object_unref(m->object);
	if (m->fd >= 0)
		close(m->fd);
	pg_elf_free(&m->elf);
}

int pg_load_fail(struct pg_load *x, int err, const char *file, const char *why)
{
	if (strcmp(file, x->args->filename) != 0)
		pg_linux_fail(
			x->me->machine, "%s: its interpreter %s: %s", x->args->filename, file, why);
	else
		pg_linux_fail(x->me->machine, "%s: %s", file, why);
	return err;
}

/* --- the file ------------------------------------------------------------------------------------- */

static int64_t read_host(void *ctx, uint64_t off, void *buf, uint64_t n)
{
	int fd = *(int *)ctx;
	uint64_t done = 0;

	while (done < n) {
		ssize_t r = pread(fd, (char *)buf + done, n - done, (off_t)(off + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (uint64_t)r;
	}
	return (int64_t)done;
}

static const char *open_phrase(int err)
{
	switch (err) {
	case ENOENT:
		return "no such file";
	case EACCES:
		return "permission denied";
	case ENOTDIR:
		return "a part of its path is not a directory";
	case ELOOP:
		return "too many symbolic links";
	default:
		return strerror(err);
	}
}

/* Opens a file that is to be executed. Its descriptor is one of ours. */
static int image_open(struct pg_load *x, struct pg_load_file *m, const char *name)
{
	char path[PATH_MAX];
	struct statvfs vfs;
	int err = pg_path_map(x->me, name, path), own;

	if (err != 0)
		return pg_load_fail(x, err, name, open_phrase(-err));
	m->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (m->fd < 0)
		return pg_load_fail(x, -errno, name, open_phrase(errno));
	own = pg_linux_own_fd(m->fd);
	if (own < 0)
		return pg_load_fail(x, own, name, "no descriptor is left for it");
	m->fd = own;
	if (fstat(m->fd, &m->st) != 0)
		return pg_load_fail(x, -errno, name, strerror(errno));
	if (S_ISDIR(m->st.st_mode))
		return pg_load_fail(x, -EACCES, name, "is a directory");
	if (!S_ISREG(m->st.st_mode))
		return pg_load_fail(x, -EACCES, name, "not a regular file");
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0)
		return pg_load_fail(
			x, -EACCES, name, "permission denied: not executable (chmod +x)");
	if (fstatvfs(m->fd, &vfs) == 0 && (vfs.f_flag & ST_NOEXEC) != 0)
		return pg_load_fail(
			x, -EACCES, name, "permission denied: its file system is mounted noexec");
	if (!pg_fd_path(m->fd, m->path, sizeof(m->path)))
		snprintf(m->path, sizeof(m->path), "%s", path);
	return 0;
}

/* --- #! ------------------------------------------------------------------------------------------- */

/*
 * Splits "#! interpreter argument" as Linux does: the interpreter up to a blank, the rest without blanks around it as one
 * argument. false: no interpreter there, or its name was cut.
 */
static bool split_script(char *line, int64_t got, char **interp, char **arg)
{
	char *end, *p = line + 2;
	bool ended = false;

	line[got] = '\0';
	end = memchr(line, '\n', (size_t)got);
	if (end != NULL)
		ended = true;
	else
		end = line + strlen(line);
	if (!ended && got < SCRIPT_LINE)
		ended = true; /* the whole file was read */
	*end = '\0';
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	while (*p == ' ' || *p == '\t')
		p++;
	if (*p == '\0')
		return false;
	*interp = p;
	p += strcspn(p, " \t");
	if (*p == '\0') {
		*arg = NULL;
		return ended;
	}
	*p++ = '\0';
	while (*p == ' ' || *p == '\t')
		p++;
	*arg = *p != '\0' ? p : NULL;
	return true;
}

/* The script `file` is run by its interpreter: argv becomes interpreter, argument, file, old argv[1 ..]. */
static int apply_script(struct pg_load *x, const char *file, const char *interp, const char *arg)
{
	unsigned n = 0, argc = 0, extra = arg != NULL ? 3 : 2;
	char **v;

	while (x->argv[argc] != NULL)
		argc++;
	v = calloc(argc + extra + 1, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	v[n++] = strdup(interp);
	if (arg != NULL)
		v[n++] = strdup(arg);
	v[n++] = strdup(file);
	for (unsigned i = 0; i < extra; i++) {
		if (v[i] != NULL)
			continue;
		for (unsigned k = 0; k < extra; k++)
			free(v[k]);
		free(v);
		return -ENOMEM;
	}
	for (unsigned i = 1; i < argc; i++)
		v[n++] = x->argv[i];
	if (argc > 0)
		free(x->argv[0]);
	free(x->argv);
	x->argv = v;
	return 0;
}

static bool looks_like_text(const char *line, int64_t got)
{
	for (int64_t i = 0; i < got; i++)
		if (line[i] == '\0' ||
			((uint8_t)line[i] < ' ' && strchr("\t\n\r\f\x1b", line[i]) == NULL))
			return false;
	return true;
}

int pg_load_find_program(struct pg_load *x)
{
	for (unsigned depth = 0;; depth++) {
		char line[SCRIPT_LINE + 1], *interp, *arg;
		const char *why = "";
		int64_t got;
		int err = image_open(x, &x->exe, x->filename);

		if (err != 0)
			return err;
		got = read_host(&x->exe.fd, 0, line, SCRIPT_LINE);
		if (got < 0)
			return pg_load_fail(x, (int)got, x->filename, strerror((int)-got));
		if (got < 2 || line[0] != '#' || line[1] != '!') {
			err = pg_elf_parse(read_host, &x->exe.fd, &x->exe.elf, &why);
			if (err == -ENOEXEC && got == 0)
				why = "an empty file, not an ELF file";
			else if (err == -ENOEXEC && looks_like_text(line, got))
				why = "a text without a #! line: name what runs it, as in pagoda "
				      "run -- sh FILE";
			return err != 0 ? pg_load_fail(x, err, x->filename, why) : 0;
		}
		if (depth == MAX_SCRIPTS)
			return pg_load_fail(
				x, -ELOOP, x->filename, "too many scripts that run one another");
		if (!split_script(line, got, &interp, &arg))
			return pg_load_fail(
				x, -ENOEXEC, x->filename, "its #! line names no interpreter");
		err = apply_script(x, x->filename, interp, arg);
		if (err != 0)
			return pg_load_fail(x, err, x->filename, "no memory for its arguments");
		pg_load_close(&x->exe);
		memset(&x->exe, 0, sizeof(x->exe));
		x->exe.fd = -1;
		snprintf(x->filename, sizeof(x->filename), "%s", interp);
	}
}

int pg_load_find_interp(struct pg_load *x)
{
	const char *name = x->exe.elf.interp;
	char whole[PATH_MAX + 64];
	const char *why = "";
	int err;

	if (name[0] == '\0')
		return 0;
	err = image_open(x, &x->interp, name);
	if (err == -ENOENT) {
		snprintf(whole, sizeof(whole), "its interpreter %s is missing", name);
		return pg_load_fail(x, err, x->filename, whole);
	}
	if (err != 0)
		return err;
	err = pg_elf_parse(read_host, &x->interp.fd, &x->interp.elf, &why);
	if (err != 0)
		return pg_load_fail(x, err == -ENOEXEC ? -ELIBBAD : err, name, why);
	x->has_interp = true;
	return 0;
}

/* --- PATH, and lists of strings ---------------------------------------------------------------------- */

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
