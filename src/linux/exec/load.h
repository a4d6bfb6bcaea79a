/* SPDX-License-Identifier: MIT */
/*
 * linux/exec/load.h: the parts of a program that exec.c puts together: its block, its stack.
 *
 * Included by the files of this folder alone.
 */
#ifndef PG_LINUX_EXEC_LOAD_H
#define PG_LINUX_EXEC_LOAD_H

#include "linux/exec/elf.h"
#include "linux/exec/exec.h"

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
