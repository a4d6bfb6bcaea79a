/* SPDX-License-Identifier: MIT */
/*
 * linux/exec/load.h: a load in hand, and its parts, which exec.c puts together: files, mappings or a block, the stack.
 *
 * Included by the files of this folder alone.
 */
#ifndef PG_LINUX_EXEC_LOAD_H
#define PG_LINUX_EXEC_LOAD_H

#include "linux/exec/elf.h"
#include "linux/exec/exec.h"

#define PG_MMAP_MIN_ADDR 65536 /* as vm.mmap_min_addr */

/* One file on its way to become a program. */
struct pg_load_file {
	int fd;
	struct stat st;
	char path[PATH_MAX]; /* absolute, as the host resolved it */
	struct pg_elf elf;
	struct pg_object *object; /* a reference */
	uint64_t bias, base;      /* base: where its lowest page lies */
};

/* The load in hand. */
struct pg_load {
	uint8_t auxv[512];
	uint32_t auxv_bytes;
	struct pg_thread *me;
	const struct pg_exec_args *args;
	char filename[PATH_MAX]; /* the file that is opened at last: a script's interpreter */
	char **argv;             /* owned, after scripts changed it */
	struct pg_load_file exe, interp;
	bool has_interp;
	struct pg_space *space;
	struct pg_linux_layout layout;
	uint64_t top; /* the layout lies below it */
	uint64_t entry, sp;
};

/* find.c: files. Who fails has told why. */

/* Opens x->filename, following scripts to the program that runs them, and parses it. */
PG_MUST_CHECK int pg_load_find_program(struct pg_load *x);
PG_MUST_CHECK int pg_load_find_interp(struct pg_load *x);
void pg_load_close(struct pg_load_file *m);
/* err, with the reason told. A file that is not the one that was asked for is its interpreter. */
int pg_load_fail(struct pg_load *x, int err, const char *file, const char *why);

/* map.c: mappings. */

PG_MUST_CHECK int pg_load_make_space(struct pg_load *x);
PG_MUST_CHECK int pg_load_map(struct pg_load *x);
/* Where the program lies, for the layout. */
void pg_load_note_bounds(struct pg_load *x);

/* block.c: the block of a static program. */
struct pg_block_program {
	struct pg_thread *me;
	const char *file; /* for messages */
	const char *path; /* for maps */
	int fd;
	const struct pg_elf *elf;
	char *const *argv, *const *envp;
	uint64_t bytes; /* wanted of the block; 0: by the options */
	uint64_t address_top;
};
/* Whether it can be loaded, and into what. A negative errno: the error is set. */
PG_MUST_CHECK int pg_block_program_shape(
	const struct pg_block_program *b, struct pg_block_shape *shape);
/* Places it in s and copies its segments. */
PG_MUST_CHECK int pg_block_program_load(
	const struct pg_block_program *b, const struct pg_block_shape *shape, struct pg_space *s);

/* stack.c: the first stack. */

/* Lays out argv, envp and auxv on the new space's stack; sets the layout's fields of it, in->auxv and *sp. */
struct pg_stack_in {
	uint8_t *auxv; /* 512 bytes: what is written there goes here too */
	uint32_t *auxv_bytes;
	struct pg_space *space;
	uint64_t top; /* end of the stack region: STACK_TOP less randomisation */
	uint64_t phdr, phnum, base, entry;
	const char *execfn;
	char **argv, **envp;
	uint64_t stack_limit;
	bool exec_stack;
	bool mapped; /* the stack is there already */
};
PG_MUST_CHECK int pg_stack_build(struct pg_thread *me, const struct pg_stack_in *in,
	struct pg_linux_layout *layout, uint64_t *sp, const char **why);

#endif
