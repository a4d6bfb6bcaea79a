/* SPDX-License-Identifier: MIT */
/*
 * base/errseq.h: an error that many watch, and that each of them is told once.
 *
 * Used by space/object.c (pages of a file that could not be written) and linux/files/opens.c (the same for a file system). What is written is kept in one word:
 * the last error, whether anybody was told of it, and a counter that goes up when an error comes after that. A watcher keeps the word that it saw
 * last; 0 to begin with, so that who begins to watch after an error that nobody was told of is told of it. The caller keeps others out.
 *
 * Source: Linux, Documentation/core-api/errseq.rst.
 */
#ifndef PG_BASE_ERRSEQ_H
#define PG_BASE_ERRSEQ_H

#include <stdint.h>

#define PG_ERRSEQ_ERRNO 4095u /* bits 0-11: the error, positive; 0: there was none, ever */
#define PG_ERRSEQ_TOLD 4096u  /* bit 12; above it the counter */

/* err: a negative errno value. */
static inline void pg_errseq_set(uint32_t *word, int err)
{
	uint32_t old = *word;

	*word = (old & ~(PG_ERRSEQ_ERRNO | PG_ERRSEQ_TOLD)) | ((uint32_t)-err & PG_ERRSEQ_ERRNO);
	if (old & PG_ERRSEQ_TOLD)
		*word += PG_ERRSEQ_TOLD * 2;
}

/* What a watcher that begins now has seen. */
static inline uint32_t pg_errseq_sample(uint32_t word)
{
	return word & PG_ERRSEQ_TOLD ? word : 0;
}

/* An error that has come since *seen, negative, or 0; *seen is up to date then. */
static inline int pg_errseq_tell(uint32_t *word, uint32_t *seen)
{
	if (*word == *seen)
		return 0;
	*word |= PG_ERRSEQ_TOLD;
	*seen = *word;
	return -(int)(*word & PG_ERRSEQ_ERRNO);
}

#endif
