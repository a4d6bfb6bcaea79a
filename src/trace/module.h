/* SPDX-License-Identifier: MIT */
/*
 * trace/module.h: an ELF file that the guest maps, as elfutils sees it; and the thread in which elfutils is asked.
 *
 * Inside trace/ only: symbols.c owns the modules; unwind.c and variables.c ask them for more.
 *
 * Everything of elfutils is called by one thread, the worker of struct pg_symbols: guest processes have tables of
 * descriptors of their own, and elfutils may open a file at any call. Addresses: a *file offset* counts bytes of
 * the file; an *ELF address* is what its headers say; an address of elfutils is that plus `bias`.
 */
#ifndef PG_TRACE_MODULE_H
#define PG_TRACE_MODULE_H

#include <elfutils/libdwfl.h>
#include <gelf.h>

#include "trace/symbols.h"

struct pg_module {
	struct pg_module *next;
	char *path;           /* owned */
	Dwfl *dwfl;           /* owned; NULL: not readable as ELF */
	Dwfl_Module *module;  /* borrowed from dwfl */
	Elf *elf;             /* borrowed from module */
	GElf_Addr bias;       /* elfutils' address = ELF address + bias */
	uint64_t hdr_address; /* of .eh_frame_hdr; meaningful when starts is set */
	const uint8_t
		*starts; /* its table: pairs of 32-bit numbers relative to hdr_address; or NULL */
	uint32_t start_count;
	/* What of the file is loaded where: program headers of type LOAD. Owned. */
	struct pg_module_segment {
		uint64_t offset, bytes, address; /* in the file; ELF address */
	} * segments;
	struct pg_module_section {
		uint64_t start, end; /* ELF addresses, [start, end) */
	} * sections;                /* owned; those that are loaded */
	size_t segment_count, section_count;
	/* All that its symbol tables name, by address, once indexed is set: a search in elfutils is linear. Owned. */
	struct pg_module_name {
		uint64_t start, size; /* ELF address; bytes, 0: not known */
		uint64_t end_below;   /* the greatest end of this and all before it */
		const char *raw;      /* borrowed from elfutils */
		char *shown;  /* owned; demangled, without a version; NULL: not asked for yet */
		uint32_t nth; /* in elfutils' order */
		uint8_t rank; /* global, weak, local: 2, 1, 0 */
	} * names;
	size_t name_count;
	bool indexed, has_lines; /* lines: there is debug information */
};

/*
 * Has the worker call question(arg) and waits for it; from the worker itself a plain call. The caller holds the machine
 * lock all the while, so that the question may look at guest memory.
 */
void pg_symbols_ask(struct pg_symbols *s, void (*question)(void *arg), void *arg);

/* The worker only: the module of a file, opened if need be; NULL: not readable as ELF. Valid until destroy. */
struct pg_module *pg_symbols_module(struct pg_symbols *s, const char *path);
/* The worker only: the ELF address of a byte of the file; false if no segment loads it. */
bool pg_module_address(const struct pg_module *m, uint64_t file_offset, uint64_t *address);

#endif
