/* SPDX-License-Identifier: MIT */
/*
 * trace/demangle.h: the names of C++, Rust and D functions as their programmers write them.
 *
 * pg_demangle() is called by symbols.c and variables.c, who keep what comes out; pg_brief_name() by who writes text. Calls GNU libiberty.
 */
#ifndef PG_TRACE_DEMANGLE_H
#define PG_TRACE_DEMANGLE_H

#include "base/types.h"

/*
 * "std::vector<int, std::allocator<int> >::push_back" for "_ZNSt6vectorIiSaIiEE9push_backERKi": without parameters and, of Rust, without
 * the hash. A version behind '@' is cut; what compilers append to the name of a part or a copy (".cold", ".isra.0") stays as it is.
 * The caller frees it. NULL: no mangled name, or no memory; the name is then best shown as it is.
 */
char *pg_demangle(const char *name);

/*
 * The same for people's eyes: template arguments that are longer than 16 bytes become "<...>", as in "std::vector<...>::push_back". Into
 * text[cap], NUL-ended, cut where it is full. Returns text. What has no template arguments stays as it is.
 */
const char *pg_brief_name(const char *name, char *text, size_t cap);

#endif
