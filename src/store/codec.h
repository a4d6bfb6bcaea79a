/* SPDX-License-Identifier: MIT */
/*
 * store/codec.h: compression of one page, by libraries: zstd (RFC 8878), LZ4 (block format).
 *
 * Called by compressed.c. A codec holds working memory: one caller at a time each.
 */
#ifndef PG_STORE_CODEC_H
#define PG_STORE_CODEC_H

#include "base/types.h"

enum pg_codec_kind {
	PG_CODEC_ZSTD,
	PG_CODEC_LZ4,
};

struct pg_codec;

PG_MUST_CHECK int pg_codec_create(enum pg_codec_kind kind, struct pg_codec **out); /* -ENOMEM */
void pg_codec_destroy(struct pg_codec *c);
/* Host memory that it holds. */
uint64_t pg_codec_memory(const struct pg_codec *c);
/* PG_PAGE_SIZE bytes into to[max]: bytes used, or 0 if they do not fit. */
unsigned pg_codec_compress(struct pg_codec *c, const void *page, void *to, unsigned max);
/* from[bytes] into a page: true if they gave exactly PG_PAGE_SIZE. Safe on any bytes. */
bool pg_codec_expand(struct pg_codec *c, const void *from, unsigned bytes, void *page);

#endif
