/* SPDX-License-Identifier: MIT */
/*
 * ui/run/malloc.h: `pagoda run --malloc NAME`: the environment of a guest that is to use libpagoda-malloc.
 */
#ifndef PG_UI_RUN_MALLOC_H
#define PG_UI_RUN_MALLOC_H

#include <stddef.h>

/*
 * A copy of environ with PAGODA_MALLOC=family and the library in front in LD_PRELOAD; pg_malloc_environment_free() frees
 * it. NULL: the library is not where this program's build or installation would have it, or there is no memory;
 * why[cap] says which.
 */
char **pg_malloc_environment(const char *family, char **env, char *why, size_t cap);

void pg_malloc_environment_free(char **env);

#endif
