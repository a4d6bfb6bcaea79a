/* SPDX-License-Identifier: MIT */
/*
 * linux/exec/exec.h: a program becomes the guest.
 *
 * Called by linux/linux.c (the first program), linux/jobs.c (those of a scheduler) and calls/clone.c (execve). What the files of this
 * folder say to each other is in load.h, what an ELF file says in elf.h.
 */
#ifndef PG_LINUX_EXEC_H
#define PG_LINUX_EXEC_H

#include "linux/machine/machine.h"

/* As execvp(3): the first executable of that name in PATH of envp. 0, or a negative errno and the error is set. */
PG_MUST_CHECK int pg_linux_find_program(
	struct pg_linux *l, const char *path, char *const *envp, char out[PATH_MAX]);

struct pg_exec_args {
	const char *filename; /* as given to execve: AT_EXECFN, comm */
	char **argv, **envp;  /* borrowed */
	/* On a partition machine: of its block; 0: by the options. */
	uint64_t block_bytes;
	uint64_t *size; /* not NULL: nothing is loaded, this becomes the bytes of its block */
};
/*
 * Replaces the program. On failure a negative errno, pg_linux_error() set and the old program as it was. After the point
 * of no return a failure ends the guest with SIGKILL and 0 is returned.
 */
PG_MUST_CHECK int pg_exec(struct pg_thread *me, const struct pg_exec_args *x);
/* Frees a NULL-ended list of strings. */
void pg_strings_free(char **v);
char **pg_strings_copy(const char *const *v);

#endif
