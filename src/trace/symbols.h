/* SPDX-License-Identifier: MIT */
/*
 * trace/symbols.h: which function and source line the bytes of a mapped file belong to.
 *
 * Called by trace/faults.c and trace/faultlog.c (who caused a fault) and ui/ (where a guest died).
 * Calls elfutils' libdw on the host's copy of the file; never looks at guest memory.
 */
#ifndef PG_TRACE_SYMBOLS_H
#define PG_TRACE_SYMBOLS_H

#include "base/types.h"

struct pg_symbols; /* the files opened so far, each opened once */

struct pg_symbol {
	const char *
		function; /* name as its programmer knows it, or NULL: the file does not say. Valid until destroy */
	const char
		*symbol; /* the same as the file's symbol table has it: mangled, with its version */
	uint64_t address;   /* of the function's first byte, as the ELF file counts addresses */
	uint64_t offset;    /* bytes from there to the byte asked for */
	const char *source; /* source file, or NULL: no debug information. Valid until destroy */
	int line;           /* in source, from 1; 0: unknown */
};

/* -ENOMEM. */
PG_MUST_CHECK int pg_symbols_create(struct pg_symbols **out);
void pg_symbols_destroy(struct pg_symbols *s); /* NULL allowed */
/* From now on names are shown as the files have them. Before the first question. */
void pg_symbols_keep_mangled(struct pg_symbols *s);
/* A name as `function` would show it; the caller frees it. NULL: no memory. */
char *pg_symbols_shown(const struct pg_symbols *s, const char *raw);

/*
 * The function that holds the byte at `file_offset` of the ELF file `path`. A function without a
 * name (a stripped file) is found by the start that the file's unwind table gives it; failing that,
 * address is that of the byte itself and offset 0. False, and *out zeroed, if the file cannot be
 * read as ELF or loads nothing from there.
 */
bool pg_symbols_find(
	struct pg_symbols *s, const char *path, uint64_t file_offset, struct pg_symbol *out);

/* The same without source and line, which are left empty: much cheaper where many are asked for while the guest runs. */
bool pg_symbols_name(
	struct pg_symbols *s, const char *path, uint64_t file_offset, struct pg_symbol *out);

/*
 * Writes "function+0x12", "libx.so+0x1234" or "path+0x1234" for a byte of a file, or the bare
 * address when path is NULL or empty, into text[cap]. Always NUL-ended. Returns text.
 */
const char *pg_symbols_format(struct pg_symbols *s, const char *path, uint64_t file_offset,
	uint64_t address, char *text, size_t cap);

/* A name to be found in a file. */
struct pg_symbol_wanted {
	const char *name;
	uint64_t
		address; /* out: as the ELF file counts addresses; 0: the file defines no such name */
};

/*
 * Looks up wanted[n] among the functions and objects that the file defines, in all its symbol tables. *base: what is to be added
 * to an address of the file when its byte at file_offset was loaded at `at`. False: not readable as ELF, or nothing is loaded
 * from file_offset.
 */
bool pg_symbols_lookup(struct pg_symbols *s, const char *path, uint64_t file_offset, uint64_t at,
	struct pg_symbol_wanted *wanted, size_t n, uint64_t *base);

/*
 * The addresses of all functions of the file that are called `name`: as its symbol tables have it, or demangled, when overloaded functions
 * have one name. As the guest sees them, when the byte at file_offset was loaded at `at`. At most `room` into addresses[]. Returns how many.
 */
size_t pg_symbols_named(struct pg_symbols *s, const char *path, uint64_t file_offset, uint64_t at,
	const char *name, uint64_t *addresses, size_t room);

/*
 * The first text in the file's bytes that begins with `prefix`, up to its NUL, into text[cap], cut where that is full. False: there is none, or
 * the file cannot be read as ELF.
 */
bool pg_symbols_text_in(
	struct pg_symbols *s, const char *path, const char *prefix, char *text, size_t cap);

/* The part of a path behind its last slash. */
const char *pg_symbols_base_name(const char *path);

#endif
