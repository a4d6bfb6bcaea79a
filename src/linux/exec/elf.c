/* SPDX-License-Identifier: MIT */
/*
 * linux/exec/elf.c: reads and checks ELF headers. See elf.h for what it promises.
 *
 * Called by find.c for programs and interpreters. What is not here: mapping (map.c).
 */
#include "linux/exec/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Linux takes at most 64 KiB of program headers. */
#define MAX_PHDRS (65536u / sizeof(Elf64_Phdr))

_Static_assert(sizeof(Elf64_Phdr) == PG_ELF_PHDR_BYTES, "program header size");

/* Reads exactly n bytes or says why not. */
static int read_all(pg_elf_read read, void *ctx, uint64_t off, void *buf, uint64_t n,
	const char *short_why, const char **why)
{
	int64_t got;

	if (off > INT64_MAX - n) {
		*why = short_why;
		return -ENOEXEC;
	}
	got = read(ctx, off, buf, n);
	if (got < 0) {
		*why = "cannot be read";
		return (int)got;
	}
	if ((uint64_t)got != n) {
		*why = short_why;
		return -ENOEXEC;
	}
	return 0;
}

static int check_ident(const Elf64_Ehdr *h, uint64_t got, const char **why)
{
	if (got < SELFMAG || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
		*why = "not an ELF file";
	else if (got < EI_NIDENT)
		*why = "truncated ELF header";
	else if (h->e_ident[EI_CLASS] == ELFCLASS32)
		*why = "a 32-bit ELF file; Pagoda runs 64-bit x86-64 programs";
	else if (h->e_ident[EI_CLASS] != ELFCLASS64)
		*why = "ELF header with an unknown class";
	else if (h->e_ident[EI_DATA] != ELFDATA2LSB)
		*why = "a big-endian ELF file; Pagoda runs x86-64 programs";
	else if (got < sizeof(*h))
		*why = "truncated ELF header";
	else
		return 0;
	return -ENOEXEC;
}

static const char *machine_phrase(unsigned machine)
{
	switch (machine) {
	case EM_AARCH64:
		return "a program for AArch64 (ARM); Pagoda runs x86-64 programs";
	case EM_ARM:
		return "a program for 32-bit ARM; Pagoda runs x86-64 programs";
	case EM_RISCV:
		return "a program for RISC-V; Pagoda runs x86-64 programs";
	case EM_PPC64:
		return "a program for PowerPC; Pagoda runs x86-64 programs";
	case EM_S390:
		return "a program for s390; Pagoda runs x86-64 programs";
	case EM_386:
		return "a program for i386; Pagoda runs x86-64 programs";
	default:
		return "a program for another machine; Pagoda runs x86-64 programs";
	}
}

static int check_header(const Elf64_Ehdr *h, const char **why)
{
	if (h->e_machine != EM_X86_64)
		*why = machine_phrase(h->e_machine);
	else if (h->e_type == ET_REL)
		*why = "an object file, not a program: link it first";
	else if (h->e_type == ET_CORE)
		*why = "a core dump, not a program";
	else if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		*why = "an ELF file that is neither executable nor shared";
	else if (h->e_phentsize != sizeof(Elf64_Phdr))
		*why = "ELF header with a wrong program header size";
	else if (h->e_phnum == 0)
		*why = "ELF file without program headers";
	else if (h->e_phnum > MAX_PHDRS)
		*why = "ELF header with too many program headers";
	else
		return 0;
	return -ENOEXEC;
}

static pg_prot prot_of(uint32_t flags)
{
	return (pg_prot)(((flags & PF_R) ? PG_READ : 0) | ((flags & PF_W) ? PG_WRITE : 0) |
			 ((flags & PF_X) ? PG_EXEC : 0));
}

/* Checks E2 and E3 of one PT_LOAD. */
static int check_load(const Elf64_Phdr *p, const char **why)
{
	if (p->p_filesz > p->p_memsz)
		*why = "inconsistent ELF: a segment is larger in the file than in memory";
	else if (p->p_offset > (uint64_t)INT64_MAX - p->p_filesz)
		*why = "inconsistent ELF: a segment's file offset is out of range";
	else if (p->p_vaddr >= PG_ELF_TOP || p->p_memsz > PG_ELF_TOP ||
		 pg_align_up(p->p_vaddr + p->p_memsz, PG_PAGE_SIZE) > PG_ELF_TOP)
		*why = "inconsistent ELF: a segment lies outside the address space";
	else if (p->p_filesz != 0 && ((p->p_offset ^ p->p_vaddr) & PG_PAGE_MASK) != 0)
		*why = "inconsistent ELF: a segment's address and file offset differ within the "
		       "page";
	else
		return 0;
	return -EINVAL;
}

static int read_interp(
	pg_elf_read read, void *ctx, const Elf64_Phdr *p, struct pg_elf *out, const char **why)
{
	int err;

	if (p->p_filesz < 2 || p->p_filesz > sizeof(out->interp)) {
		*why = "inconsistent ELF: the interpreter's name is too short or too long";
		return -ENOEXEC;
	}
	err = read_all(read, ctx, p->p_offset, out->interp, p->p_filesz,
		"truncated ELF file: the interpreter's name is missing", why);
	if (err != 0)
		return err;
	if (out->interp[p->p_filesz - 1] != '\0' || out->interp[0] == '\0') {
		*why = "inconsistent ELF: the interpreter's name is not ended";
		return -ENOEXEC;
	}
	return 0;
}

/* Takes the PT_LOADs in; out->segment has room for all of them. */
static int take_segments(
	const Elf64_Ehdr *h, const Elf64_Phdr *ph, struct pg_elf *out, const char **why)
{
	for (unsigned i = 0; i < h->e_phnum; i++) {
		const Elf64_Phdr *p = &ph[i];
		uint64_t end;
		int err;

		if (p->p_type != PT_LOAD)
			continue;
		if (p->p_align > out->max_align && (p->p_align & (p->p_align - 1)) == 0)
			out->max_align = p->p_align;
		if (p->p_offset <= h->e_phoff && h->e_phoff - p->p_offset < p->p_filesz) {
			out->phdr_vaddr = h->e_phoff - p->p_offset + p->p_vaddr;
			out->phdr_mapped = true;
		}
		err = check_load(p, why);
		if (err != 0)
			return err;
		if (p->p_memsz == 0)
			continue;
		end = pg_align_up(p->p_vaddr + p->p_memsz, PG_PAGE_SIZE);
		if (out->segments == 0)
			out->lo = pg_align_down(p->p_vaddr, PG_PAGE_SIZE);
		else if (pg_align_down(p->p_vaddr, PG_PAGE_SIZE) < out->lo) {
			*why = "inconsistent ELF: segments are not in order of their addresses";
			return -EINVAL;
		}
		if (end > out->hi)
			out->hi = end;
		out->segment[out->segments++] = (struct pg_elf_segment){
			.offset = p->p_offset,
			.filesz = p->p_filesz,
			.vaddr = p->p_vaddr,
			.memsz = p->p_memsz,
			.prot = prot_of(p->p_flags),
		};
	}
	if (out->segments == 0) {
		*why = "ELF file without a loadable segment";
		return -ENOEXEC;
	}
	return 0;
}

static int take_others(pg_elf_read read, void *ctx, const Elf64_Ehdr *h, const Elf64_Phdr *ph,
	struct pg_elf *out, const char **why)
{
	for (unsigned i = 0; i < h->e_phnum; i++) {
		if (ph[i].p_type == PT_GNU_STACK)
			out->stack_exec = (ph[i].p_flags & PF_X) != 0;
		if (ph[i].p_type == PT_INTERP && out->interp[0] == '\0') {
			int err = read_interp(read, ctx, &ph[i], out, why);

			if (err != 0)
				return err;
		}
	}
	return 0;
}

int pg_elf_parse(pg_elf_read read, void *ctx, struct pg_elf *out, const char **why)
{
	Elf64_Ehdr h;
	Elf64_Phdr *ph;
	int64_t got;
	int err;

	memset(out, 0, sizeof(*out));
	memset(&h, 0, sizeof(h));
	got = read(ctx, 0, &h, sizeof(h));
	if (got < 0) {
		*why = "cannot be read";
		return (int)got;
	}
	err = check_ident(&h, (uint64_t)got, why);
	if (err == 0)
		err = check_header(&h, why);
	if (err != 0)
		return err;
	ph = calloc(h.e_phnum, sizeof(*ph));
	out->segment = calloc(h.e_phnum, sizeof(*out->segment));
	if (ph == NULL || out->segment == NULL) {
		*why = "no memory for its headers";
		err = -ENOMEM;
		goto out;
	}
	err = read_all(read, ctx, h.e_phoff, ph, (uint64_t)h.e_phnum * sizeof(*ph),
		"truncated ELF file: program headers are missing", why);
	if (err == 0)
		err = take_segments(&h, ph, out, why);
	if (err == 0)
		err = take_others(read, ctx, &h, ph, out, why);
	out->position_free = h.e_type == ET_DYN;
	out->entry = h.e_entry;
	out->phnum = h.e_phnum;
out:
	free(ph);
	if (err != 0) {
		pg_elf_free(out);
		memset(out, 0, sizeof(*out));
	}
	return err;
}

void pg_elf_free(struct pg_elf *e)
{
	free(e->segment);
	e->segment = NULL;
	e->segments = 0;
}
