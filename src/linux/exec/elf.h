/* SPDX-License-Identifier: MIT */
/*
 * linux/exec/elf.h: what an ELF file's headers say, checked.
 *
 * Called by find.c and the fuzz target. Calls nobody: the file is read through a callback, so that this compiles
 * and is tested alone. No field of the file is trusted; every sum is checked against overflow here, once, so that
 * map.c can compute with what it gets.
 *
 * What holds of a struct pg_elf that pg_elf_parse() filled (its invariants, checked by the fuzz target):
 *   E1 there is at least one segment; segments are in file order with memory sizes above 0.
 *   E2 of each segment: filesz <= memsz; offset + filesz and vaddr + memsz do not wrap, and the latter
 *      rounded up to a page lies at or below PG_ELF_TOP.
 *   E3 vaddr and offset of a segment with filesz > 0 are the same modulo the page size.
 *   E4 lo is the first segment's page; hi the end of the highest, page-aligned; lo < hi.
 *   E5 max_align is 0 or a power of two.
 *   E6 the interpreter's name, if any, is NUL-ended, not empty and shorter than PG_ELF_INTERP.
 *
 * Source: System V ABI, chapters 4 and 5; the order of checks and their errors follow Linux's load_elf_binary().
 */
#ifndef PG_LINUX_EXEC_ELF_H
#define PG_LINUX_EXEC_ELF_H

#include "base/types.h"

#define PG_ELF_TOP ((uint64_t)1 << 47) /* nothing of a program lies at or above */
#define PG_ELF_INTERP 4096 /* longest interpreter name with its NUL, as Linux's PATH_MAX */
#define PG_ELF_PHDR_BYTES 56

struct pg_elf_segment {
	uint64_t offset, filesz; /* bytes of the file */
	uint64_t vaddr, memsz;   /* bytes of memory, before the load bias */
	pg_prot prot;
};

struct pg_elf {
	bool position_free; /* ET_DYN: may be put anywhere */
	uint64_t entry;     /* before the bias */
	uint16_t phnum;
	uint64_t phdr_vaddr; /* where the program headers lie, before the bias */
	bool phdr_mapped;    /* false: in no segment */
	unsigned segments;
	struct pg_elf_segment *segment; /* owned; segments of them */
	uint64_t lo, hi;                /* [lo, hi): what all segments cover */
	uint64_t max_align; /* the largest p_align of a segment that is a power of two; else 0 */
	bool stack_exec;    /* PT_GNU_STACK asks for an executable stack */
	char interp[PG_ELF_INTERP]; /* "" : none */
};

/* Reads up to n bytes from byte `off`: how many were read (fewer only at the end of file), or a negative error. */
typedef int64_t (*pg_elf_read)(void *ctx, uint64_t off, void *buf, uint64_t n);

/*
 * Reads and checks the headers. 0; or -ENOEXEC, -EINVAL, -ENOMEM or the callback's error, and then *why is a static
 * phrase that names the cause ("not an ELF file") and *out holds nothing. A file that is not an ELF at all is
 * -ENOEXEC.
 */
PG_MUST_CHECK int pg_elf_parse(pg_elf_read read, void *ctx, struct pg_elf *out, const char **why);
void pg_elf_free(struct pg_elf *e);

#endif
