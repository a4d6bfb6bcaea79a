/* SPDX-License-Identifier: MIT */
/*
 * trace/value.h: bytes of a type of C as text, and the type's name.
 *
 * Inside trace/, called by variables.c in elfutils' thread.
 */
#ifndef PG_TRACE_VALUE_H
#define PG_TRACE_VALUE_H

#include <elfutils/libdw.h>

#include "space/space.h"

#define PG_VALUE_BYTES 512 /* of a value that are looked at: what is behind is not shown */

/* The type behind names and qualifiers; false: void, or unreadable. */
bool pg_type_strip(Dwarf_Die *type);
/* Bytes of a type; 0: void, incomplete, or of variable length. */
uint64_t pg_type_bytes(Dwarf_Die *type);
/* "struct point *", "int [10]"; malloc'd, NULL: no memory. type NULL: void. */
char *pg_type_name(Dwarf_Die *type);
/*
 * "-1", "65 'A'", "0x7ffc0 \"text\"", "{x = 1, y = 2}" for the first `got` of the value's bytes; strings are read from the space.
 * malloc'd, NULL: no memory.
 */
char *pg_value_text(struct pg_space *space, Dwarf_Die *type, const uint8_t *bytes, size_t got);

#endif
