/* SPDX-License-Identifier: MIT */
/*
 * tests/model/model_parts.h: what the parts of the model offer to each other: model.c (regions, pages,
 * faults), model_map.c, model_advise.c and model_calls.c. Nobody else includes it.
 */
#ifndef PG_TESTS_MODEL_PARTS_H
#define PG_TESTS_MODEL_PARTS_H

#include "model.h"

#define LO ((uint64_t)FIRST * 4096)
#define HI (LO + (uint64_t)PAGES * 4096)

void m_anon_drop(struct m_page *p);
void m_page_clear(struct m_page *p);
/* Its first private page or guard is about to be made. */
void m_want_anon_id(struct model *m, struct m_space *s, struct m_region *r);
long m_index_of(const struct m_region *r, int page);
bool m_is_private(const struct m_region *r);
void m_write_back(struct model *m, int o, long index);
void m_insert_at(struct m_space *s, int i, struct m_region r);
void m_remove_at(struct m_space *s, int i);
int m_position(struct m_space *s, int page);
void m_cut(struct m_space *s, int page);
bool m_can_merge(const struct m_region *a, const struct m_region *b);
void m_merge_around(struct m_space *s, int i);
bool m_is_free(struct m_space *s, int start, int end);
int m_place(struct model *m, struct m_space *s, int pages);
void m_clear(struct model *m, struct m_space *s, int start, int end);
/* The two halves of it: out of the space; then what the regions mapped last is written back. */
int m_take_out(struct m_space *s, int start, int end, struct m_region *gone);
void m_settle(struct model *m, const struct m_region *gone, int n);
bool m_hint_free(struct m_space *s, int start, int pages);
bool m_whole(struct m_space *s, int start, int end);
bool m_serves(const struct m_region *r, const struct m_page *p, enum pg_access access);
enum pg_fault_end m_fault(
	struct model *m, struct m_space *s, int page, enum pg_access access, bool by_kernel);

/* ---- model_map.c */

#define LOCKS ((unsigned)(PG_MAP_LOCKED | PG_MAP_LOCKONFAULT))

static inline int m_page_of(uint64_t a)
{
	return (int)(int64_t)(a >> 12) - FIRST;
}

/* Faults in what does not allow the access; how the first that cannot be had ended. */
enum pg_fault_end m_bring_in(
	struct model *m, struct m_space *s, int start, int end, enum pg_access access);
enum pg_access m_as_region(const struct m_region *r);
bool m_range(const struct op *op, uint64_t len, int *start, int *end);
struct outcome m_do_map(struct model *m, struct m_space *s, const struct op *op);
struct outcome m_do_unmap(struct model *m, struct m_space *s, const struct op *op);
struct outcome m_do_protect(struct model *m, struct m_space *s, const struct op *op);
struct outcome m_do_remap(struct model *m, struct m_space *s, const struct op *op);
struct outcome m_do_brk(struct model *m, struct m_space *s, const struct op *op);

/* ---- model_advise.c */

void m_make_hole(struct model *m, int object, uint64_t from, uint64_t to);
struct outcome m_do_mark(struct m_space *s, const struct op *op);
struct outcome m_do_lock(struct model *m, struct m_space *s, const struct op *op);
struct outcome m_do_lock_all(struct model *m, struct m_space *s, const struct op *op);
struct outcome m_do_advise(struct model *m, struct m_space *s, const struct op *op);
struct outcome m_do_discard(struct model *m, struct m_space *s, const struct op *op);
struct outcome m_do_sync(struct model *m, struct m_space *s, const struct op *op);

#endif
